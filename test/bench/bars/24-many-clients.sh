# 24: 64 clients that insert for the same few leads (20,000 by Zipf's law, exponent 1.1) and read their scores, durable,
# beside the same table without its triggers.

make_writers
percentiles=1
for table in no_trigger immediate; do
    contest "insert and score, $table" "\\set lead random_zipfian(1, 20000, 1.1)
INSERT INTO bench.$table (lead_id, kind, occurred_at, properties) VALUES (:lead::text, 'page_view', now(), '{\"url\": \"/pricing\"}');
SELECT leadscore.score(:lead::text, 'bench')" synchronous_commit=on
done
SECONDS_EACH=$((SECONDS_EACH * 5)) race_clients 24 64    # 64 sessions take a while to begin
leave_race
percentiles=
verdict 24 '64 clients on 20000 leads, transactions' 'insert and score, immediate, 64 clients' 'insert and score, no_trigger, 64 clients' 'at least' 0.8
verdict 24 '64 clients on 20000 leads, 99th percentile' 'insert and score, immediate, 64 clients, 99th percentile' \
    'insert and score, no_trigger, 64 clients, 99th percentile' 'at most' 2
