# 13: the size of the timelines with their index, beside the heap of the events.

figure 13 'size of lead_timeline with its index, of the events (%)' \
    "100.0 * pg_total_relation_size('leadscore.lead_timeline') / pg_relation_size('leadscore.event')" ' %' 'at most' 10
