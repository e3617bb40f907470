# 38: propose() on 100,000 leads with thirty attributes and twenty kinds of events: what its session computes, and the
# most memory that it has of its own. Half of the attributes are numbers, some of them few; two attributes tell
# together what neither tells alone.

sql -c 'CREATE DATABASE learn'
sql -d learn <<'SQL'
CREATE EXTENSION leadscore;
INSERT INTO leadscore.lead
SELECT n, (SELECT jsonb_object_agg('attribute ' || i, CASE WHEN i <= 15 THEN to_jsonb(h % 10007) WHEN i <= 20 THEN to_jsonb(h % 12) WHEN i <= 25 THEN to_jsonb('level ' || h % 20) ELSE to_jsonb(h % 3 = 0) END)
	FROM (SELECT i, hashtextextended(n || ' ' || i, 0) & 1048575 AS h FROM generate_series(1, 30) i) a)
FROM generate_series(1, 100000) n;
INSERT INTO leadscore.event (lead_id, kind, occurred_at, value)
SELECT n, 'kind ' || h % 20, timestamptz '2026-01-01Z' - (h / 20 % 2160) * interval '1 hour', CASE WHEN h % 20 < 5 THEN h / 20 % 100 END
FROM generate_series(1, 100000) n, LATERAL (SELECT hashtextextended(n || ' of ' || e, 0) & 1048575 AS h FROM generate_series(1, 10) e) e;
INSERT INTO leadscore.event (lead_id, kind, occurred_at)
SELECT lead_id, 'buy', '2026-01-02 12:00Z' FROM leadscore.lead
WHERE (hashtextextended(lead_id, 7) & 1048575) / 1048576.0 < 1 / (1 + exp(3 - (profile -> 'attribute 1')::int / 5000.0 - CASE WHEN profile -> 'attribute 21' = '"level 3"' THEN 1 ELSE 0 END
	- CASE WHEN (profile -> 'attribute 2')::int < 5000 AND (profile -> 'attribute 30')::bool THEN 1.5 ELSE 0 END));
SQL
# what is of its own: the peak without the shared memory that it has touched
read -r computed memory < <(sql -d learn -F ' ' <<'SQL'
SELECT split_part(pg_read_file('/proc/self/schedstat'), ' ', 1) AS before \gset
SELECT leadscore.propose('buy', '2 days', '{2026-01-02Z}') \g /dev/null
SELECT round((split_part(pg_read_file('/proc/self/schedstat'), ' ', 1)::float8 - :before) / 1e9),
	round((substring(s FROM 'VmHWM:\s*(\d+)')::float8 - substring(s FROM 'RssShmem:\s*(\d+)')::float8) / 1024)
FROM pg_read_file('/proc/self/status') s;
SQL
)
figure 38 'propose() for 100,000 leads, computing' "$computed" ' s' 'at most' 60
figure 38 'propose() for 100,000 leads, memory' "$memory" ' MB' 'at most' 400
sql -c 'DROP DATABASE learn'
