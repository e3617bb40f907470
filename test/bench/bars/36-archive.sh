# 36: archive() of all but the last month, beside a rebuild(); and what timelines take before and after: to score
# everyone, and to store.

instant=$(sql -c "SELECT date_trunc('day', max(occurred_at) - interval '30 days') FROM leadscore.event")
contest 'rebuild() of what is right' 'CALL leadscore.rebuild()' 'DELETE FROM leadscore.archive; CALL leadscore.rebuild()'
contest 'score everyone, nothing archived' "$(everyone)"
contest 'archive()' "CALL leadscore.archive('$instant')"
contest 'score everyone, archived' "$(everyone)"
size=$(sql -c "SELECT pg_total_relation_size('leadscore.lead_timeline')")
race 36
verdict 36 'archive of all but a month' 'archive()' 'rebuild() of what is right' 'at most' 2 computing
verdict 36 'score everyone after that' 'score everyone, archived' 'score everyone, nothing archived' 'at most' 1.1 computing
figure 36 'size of lead_timeline after that, % of the size before' "100.0 * pg_total_relation_size('leadscore.lead_timeline') / $size" ' %' 'at most' 105
sql -c 'DELETE FROM leadscore.archive' -c 'CALL leadscore.rebuild()'
