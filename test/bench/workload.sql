-- Workload W: :events events of :events / 20 leads in the 90 days up to now, in order of time. The same at every run
-- (but for the end of time): chance is a hash. Activity is log-normal: of 500,000 leads the top one has about 6,700
-- events, the median 7. Timelines are not made here: leadscore.event is loaded with its triggers off.

CREATE SCHEMA IF NOT EXISTS bench;

-- the instant that everything is scored at; plain SQL reads it from here
CREATE TABLE bench.clock AS SELECT date_trunc('hour', now()) AS at, date_part('epoch', date_trunc('hour', now())) / 3600 AS hour;

-- evenly spread in 0 < chance < 1, for row n; each use has its own salt
CREATE FUNCTION bench.chance(n bigint, salt bigint) RETURNS float8
	IMMUTABLE PARALLEL SAFE LANGUAGE sql
RETURN ((hashint8extended(n, salt) & ((1::bigint << 52) - 1)) + 0.5) / (1::bigint << 52)::float8;

CREATE FUNCTION bench.choice(choices text[], chance float8) RETURNS text
	IMMUTABLE PARALLEL SAFE LANGUAGE sql
RETURN choices[1 + floor(chance * cardinality(choices))::int];

-- who, how often, and from when to when; each lead's number of events is a step of the running sum
CREATE TEMPORARY TABLE lead AS
WITH activity AS (
	SELECT n, exp(1.45 * sqrt(-2 * ln(bench.chance(n, 1))) * cos(2 * pi() * bench.chance(n, 2))) AS weight
	FROM generate_series(1::bigint, greatest(:events / 20, 1)) AS n
), running AS (
	SELECT n, sum(weight) OVER (ORDER BY n ROWS UNBOUNDED PRECEDING) / sum(weight) OVER () * :events AS upto FROM activity
)
SELECT n, round(upto)::bigint - coalesce(lag(round(upto)::bigint) OVER (ORDER BY n), 0) AS events,
	0.7 * bench.chance(n, 3) AS begins, 0.3 + 0.7 * bench.chance(n, 4) AS reach
FROM running;

CREATE TEMPORARY TABLE happening AS
SELECT n AS lead, i, clock.at - interval '90 days' * (1 - begins - (1 - begins) * reach * bench.chance(n * 65536 + i, 5)) AS occurred_at
FROM bench.clock, lead, generate_series(1, events) AS i
ORDER BY occurred_at, lead, i;

-- 46 % page views, 1 % purchases; 13 % carry a value
BEGIN;
SET LOCAL session_replication_role = replica;
INSERT INTO leadscore.event (lead_id, kind, occurred_at, value, properties)
SELECT lead::text,
	kind,
	occurred_at,
	CASE WHEN kind IN ('add_to_cart', 'video_play', 'support_ticket', 'purchase') THEN round((8 / (0.03 + bench.chance(id, 12)))::numeric, 2) END,
	jsonb_build_object('url', CASE WHEN page < 40 THEN bench.choice('{/pricing,/demo,/careers,/docs/start,/docs/api}', page / 40.0)
			ELSE '/page/' || page END,
		'device', bench.choice('{mobile,mobile,mobile,desktop,desktop,tablet}', bench.chance(id, 14)),
		'category', bench.choice('{shoes,shirts,coats,bags,toys,books}', bench.chance(id, 15)))
FROM happening,
	LATERAL (SELECT lead * 65536 + i AS id, floor(400 * bench.chance(lead * 65536 + i, 13))::int AS page) AS h,
	LATERAL (SELECT ('{page_view,product_view,email_open,search,add_to_cart,email_click,video_play,form_submit,download,'
		'login,support_ticket,purchase}'::text[])[1 + width_bucket(bench.chance(id, 11),
			ARRAY[0.46, 0.59, 0.69, 0.77, 0.84, 0.89, 0.93, 0.95, 0.97, 0.98, 0.99])]) AS k (kind);
COMMIT;

DROP TABLE lead, happening;
