\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- Whose days: a model counts days of its time zone. All figures are worked out by hand.
CREATE FUNCTION days(zone text, timeline timeline, at timestamptz DEFAULT '2200-01-01Z') RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(c.measured::text, ' ' ORDER BY c.weight_id)
	FROM contributions(jsonb_strip_nulls(jsonb_build_object('time_zone', zone)) || '{"model": "m", "signals": [{"signal": "s", "signal_id": 1}], "weights": [
		{"weight_id": 1, "signal": "s", "measure": "active_days", "points": 1}, {"weight_id": 2, "signal": "s", "points": 1, "max_per_day": 2}]}', timeline, NULL, at) c $$;
-- ten evenings in Auckland, 12 hours ahead of UTC in June, are ten days by UTC, too; ten mornings, at 11:00 and 13:00,
-- lie on 11 UTC days
SELECT days(NULL, t), days('Pacific/Auckland', t)
FROM (SELECT ('{1: ' || string_agg(to_char(h AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24"Z" 1'), ', ' ORDER BY h) || '}')::timeline AS t
	FROM generate_series(0, 9) d, unnest(ARRAY[8, 10]) o, LATERAL (SELECT '2026-06-01Z'::timestamptz + d * interval '1 day' + o * interval '1 hour' AS h) x) e;
SELECT days(NULL, t), days('Pacific/Auckland', t), days('America/Los_Angeles', t)
FROM (SELECT ('{1: ' || string_agg(to_char(h AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24"Z" 1'), ', ' ORDER BY h) || '}')::timeline AS t
	FROM generate_series(0, 9) d, unnest(ARRAY[-1, 1]) o, LATERAL (SELECT '2026-06-01Z'::timestamptz + d * interval '1 day' + o * interval '1 hour' AS h) x) e;
-- half an hour off: the hour from 18:00 UTC begins at 23:30 in Kolkata, and belongs to that day
SELECT days('Asia/Kolkata', '{1: 2026-06-01T12Z 1, 2026-06-01T18Z 2}'), days('Asia/Kolkata', '{1: 2026-06-01T12Z 1, 2026-06-01T18Z 2, 2026-06-01T19Z 1}');
-- clocks go forward on 29 March, a day of 23 hours (from 23:00 to 22:00 UTC), and back on 25 October, one of 25 (from
-- 22:00 to 23:00)
SELECT days('Europe/Berlin', '{1: 2026-03-28T23Z 1, 2026-03-29T21Z 1}'), days('Europe/Berlin', '{1: 2026-03-28T22Z 1, 2026-03-28T23Z 1}'), days('Europe/Berlin', '{1: 2026-03-29T21Z 1, 2026-03-29T22Z 1}');
SELECT days('Europe/Berlin', '{1: 2026-10-24T22Z 1, 2026-10-25T22Z 1}'), days('Europe/Berlin', '{1: 2026-10-24T21Z 1, 2026-10-24T22Z 1}'), days('Europe/Berlin', '{1: 2026-10-25T22Z 1, 2026-10-25T23Z 1}');
-- the first hours of 1970, and a summer of the next century
SELECT days('America/New_York', '{1: 1970-01-01T00Z 1, 1970-01-01T04Z 1}'), days('America/New_York', '{1: 1970-01-01T04Z 1, 1970-01-01T05Z 1}'), days('Europe/Berlin', '{1: 2150-07-01T21Z 1, 2150-07-01T22Z 1}');
-- every hour of three years, in zones of all kinds, as timezone() has it
SELECT z, count(*) FILTER (WHERE d.day <> (h AT TIME ZONE z)::date) AS wrong
FROM unnest(ARRAY['UTC', 'Europe/Berlin', 'America/St_Johns', 'Australia/Lord_Howe', 'Asia/Kathmandu', 'Pacific/Apia', 'Pacific/Kiritimati', 'Africa/Casablanca', 'EST5EDT', 'Etc/GMT+5']) z,
	generate_series('2025-01-01Z'::timestamptz, '2027-12-31Z', '1 hour') h,
	LATERAL (SELECT (day_start(h, z) AT TIME ZONE z + interval '1 hour')::date AS day) d
GROUP BY z ORDER BY z;
-- a name in any case; what is none, and what would be a rule of its own, are refused
SELECT is_time_zone('europe/berlin'), is_time_zone('UTC'), is_time_zone('Nowhere'), is_time_zone('Berlin-1'), is_time_zone('XYZ5'), is_time_zone(''), is_time_zone('PST8PDT');

-- figures: an order at 22:30 UTC on 30 June is of July in Berlin, and of June elsewhere
SELECT publish('{"model": "berlin", "time_zone": "Europe/Berlin", "signals": [{"signal": "order", "kind": "order"}], "weights": [{"signal": "order", "points": 1}], "segments": [{"segment": "all", "position": 1}]}');
SELECT publish('{"model": "utc", "signals": [{"signal": "order", "kind": "order"}], "weights": [{"signal": "order", "points": 1}], "segments": [{"segment": "all", "position": 1}]}');
INSERT INTO conversion (model, signal) VALUES ('berlin', 'order'), ('utc', 'order');
INSERT INTO event (lead_id, kind, occurred_at, value) VALUES ('a', 'order', '2026-05-31 22:30Z', 7), ('a', 'order', '2026-06-30 22:30Z', 10), ('b', 'order', '2026-06-30 21:59Z', 5), ('b', 'order', '2026-07-31 21:00Z', 1);
SELECT refresh_figures();
SELECT model, month, is_new, customers, orders, revenue FROM monthly_figure WHERE month BETWEEN '2026-05-01' AND '2026-08-01' AND (orders > 0 OR customers > 0) ORDER BY 1, 2, 3;
SELECT model, month, customers FROM sales_cycle WHERE NOT all_segments ORDER BY 1, 2;

-- purchases: those of two hours on two UTC days are one in Berlin; the parameters have the zone, and clv() counts by it
SELECT set_default_model('berlin');
SELECT default_time_zone();
INSERT INTO event (lead_id, kind, occurred_at, value)
SELECT 'c' || i, 'order', '2026-01-01 22:30Z'::timestamptz + (i % 40) * interval '1 day' + j * (1 + i % 7) * interval '6 days', 10 + i % 9 FROM generate_series(1, 200) i, generate_series(0, i % 4) j;
INSERT INTO event (lead_id, kind, occurred_at, value) SELECT 'c' || i, 'order', '2026-01-01 23:30Z'::timestamptz + (i % 40) * interval '1 day', 3 FROM generate_series(1, 200) i;
SELECT f.params -> 'time_zone' AS zone, (clv('{1: 2026-06-30T21Z 1, 2026-06-30T22Z 1}'::timeline, f.params || jsonb_build_object('signal_id', 1), at => '2026-07-15Z')).purchases, c.purchases, c.last_purchase,
	round(c.probability_alive::numeric, 6) AS probability_alive, round(c.expected_purchases::numeric, 6) AS expected_purchases, round(c.average_value::numeric, 6) AS average_value, round(c.expected_value::numeric, 6) AS expected_value, c.next_order
FROM (SELECT fit_clv('order', '2026-06-01Z') AS params) f, clv('{1: 2026-06-30T22Z 1, 2026-07-01T01Z 1}'::timeline, f.params || jsonb_build_object('signal_id', 1), at => '2026-07-15Z') c;
SELECT (clv('{1: 2026-06-30T21Z 1, 2026-06-30T22Z 1}'::timeline, f.params - 'time_zone' || jsonb_build_object('signal_id', 1), at => '2026-07-15Z')).purchases, (clv('{1: 2026-06-30T22Z 1, 2026-07-01T01Z 1}'::timeline, f.params - 'time_zone' || jsonb_build_object('signal_id', 1), at => '2026-07-15Z')).purchases
FROM (SELECT fit_clv('order', '2026-06-01Z') AS params) f;
-- the aggregate by UTC days and by days of the zone is the function's
SELECT fit_clv(t.timeline, s.signal_id, '2026-06-01Z', '7 days', 'Europe/Berlin') = fit_clv('order', '2026-06-01Z') - 'signal' AS same, fit_clv(t.timeline, s.signal_id, '2026-06-01Z', '7 days', NULL) = fit_clv(t.timeline, s.signal_id, '2026-06-01Z', '7 days') AS utc,
	fit_clv(t.timeline, s.signal_id, '2026-06-01Z', '7 days') = fit_clv('order', '2026-06-01Z') - 'signal' AS differs
FROM current_timeline t, signal s WHERE s.signal = 'order' GROUP BY s.signal_id;
SELECT refused(ARRAY['SELECT fit_clv(timeline ''{1: 2026-01-01T00Z 1}'', 1, ''2026-06-01Z'', ''7 days'', ''Nowhere'')', 'SELECT clv(timeline ''{1: 2026-01-01T00Z 1}'', ''{"signal_id": 1, "time_zone": "Nowhere"}'')']);

-- a voucher that is valid to the end of the day, in the model's zone: at midnight in Berlin
INSERT INTO offer (offer, model, segment, kind, discount, valid_for, unlimited, ends_of_day) VALUES ('b', 'berlin', 'all', 'percent', 5, '3 days', true, true), ('u', 'utc', 'all', 'percent', 5, '3 days', true, true);
CALL watch('berlin', notify => false);
CALL watch('utc', notify => false);
INSERT INTO event (lead_id, kind) VALUES ('new', 'order');
SELECT v.offer, v.expires_at = (((v.issued_at + interval '3 days') AT TIME ZONE z.zone)::date + 1)::timestamp AT TIME ZONE z.zone AS at_midnight
FROM voucher v JOIN (VALUES ('b', 'Europe/Berlin'), ('u', 'UTC')) z (offer, zone) USING (offer) WHERE v.lead_id = 'new' ORDER BY 1;

-- hours of long ago by the day of a zone
SELECT coarsen('{1: 2026-05-31T21Z 1, 2026-05-31T22Z 2 1, 2026-06-01T21Z 4 2, 2026-06-01T22Z 8}', '2026-06-02Z', 'Europe/Berlin');
SELECT coarsen('{1: 2026-06-01T18Z 1, 2026-06-01T19Z 2, 2026-06-02T18Z 4}', '2026-06-05Z', 'Asia/Kolkata');
SELECT coarsen('{1: 2026-06-01T18Z 1, 2026-06-01T19Z 2}', '2026-06-05Z', 'UTC') = coarsen('{1: 2026-06-01T18Z 1, 2026-06-01T19Z 2}', '2026-06-05Z') AS same;
SELECT coarsen('{1: 1970-01-01T03Z 1, 1970-01-01T04Z 1, 1970-01-01T05Z 1}', '1980-01-01Z', 'America/New_York');
SELECT refused('SELECT coarsen(''{}'', now(), ''Nowhere'')');
-- it is a map of hours, so sums agree, and a later day after an earlier one is the later one alone
SELECT z, count(*) FILTER (WHERE coarsen(a + b, c, z) <> coarsen(a, c, z) + coarsen(b, c, z)) AS sums, count(*) FILTER (WHERE coarsen(coarsen(a, c - interval '40 days', z), c, z) <> coarsen(a, c, z)) AS later
FROM unnest(ARRAY['Europe/Berlin', 'Asia/Kolkata', 'America/St_Johns', 'Australia/Lord_Howe']) z, (SELECT setseed(0.5)) s, LATERAL (SELECT n, '2026-11-01Z'::timestamptz - n * interval '13 hours' AS c,
		('{1: ' || string_agg(to_char('2026-11-05Z'::timestamptz - (k * 7 + n % 7) * interval '1 hour', 'YYYY-MM-DD"T"HH24"Z" 1'), ', ' ORDER BY k DESC) || '}')::timeline AS a,
		('{1: ' || string_agg(to_char('2026-11-05Z'::timestamptz - (k * 11 + n % 5) * interval '1 hour', 'YYYY-MM-DD"T"HH24"Z" 2 1.5'), ', ' ORDER BY k DESC) || '}')::timeline AS b
	FROM generate_series(1, 40) n, generate_series(1, 300) k GROUP BY n) x
GROUP BY z ORDER BY z;

-- compact(): refused while models differ and none is named; by the one that all have; kept from then on
SELECT refused('CALL compact(''2026-06-10Z'')');
SELECT refused('CALL compact(''2026-06-10Z'', ''Nowhere'')');
CREATE TABLE before AS SELECT c.model, m.lead_id, score(m.lead_id, c.model, '2026-06-01 22:00Z') AS score FROM (VALUES ('berlin')) c (model), current_timeline m;
UPDATE model SET time_zone = 'Europe/Berlin';
CALL compact('2026-06-10 12:00Z');
SELECT compacted_before, finished, time_zone FROM compaction;
SELECT signals() - 'signals';
SELECT count(*) AS hours, count(*) FILTER (WHERE e.hour <> day_start(e.hour, 'Europe/Berlin')) AS within_days FROM current_timeline t, timeline_entries(t.timeline) e WHERE e.hour < '2026-06-09 22:00Z';
SELECT * FROM verify();
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('late', 'order', '2026-06-01 21:30Z'), ('late', 'order', '2026-06-01 22:30Z'), ('late', 'order', '2026-06-09 21:30Z'), ('late', 'order', '2026-06-09 22:30Z');
SELECT timeline FROM current_timeline WHERE lead_id = 'late';
SELECT count(*) FILTER (WHERE b.score <> score(b.lead_id, 'berlin', '2026-06-01 22:00Z')) AS changed, count(*) > 100 AS many FROM before b;
CALL rebuild();
SELECT * FROM verify();
-- by another one it cannot go on; by its own it does, whatever models have now
SELECT refused('CALL compact(''2026-06-20Z'', ''UTC'')');
UPDATE model SET time_zone = 'Asia/Kolkata' WHERE model = 'utc';
CALL compact('2026-06-20Z');
SELECT compacted_before, time_zone FROM compaction;
SELECT refused('CALL compact(''2026-06-12Z'')');
SELECT count(*) > 0 AS ok FROM evaluate(scorecard('utc'), 'order', '4 days', ARRAY['2026-06-01 22:00Z'::timestamptz]);
SELECT refused('SELECT * FROM evaluate(scorecard(''utc''), ''order'', ''4 days'', ARRAY[''2026-06-02 00:00Z''::timestamptz])');
SELECT refused(ARRAY['UPDATE compaction SET time_zone = ''Nowhere''', 'UPDATE compaction SET compacted_before = ''2026-06-20Z''']);
SELECT refused(format('SELECT timeline_agg(%L, ''a'', now(), 1, NULL)', d)) FROM unnest(ARRAY['{"signals": [], "compacted_before": "2026-06-01T22:00:00Z"}', '{"signals": [], "compacted_before": "2026-06-01T00:00:00Z", "time_zone": "Europe/Berlin"}',
	'{"signals": [], "compacted_before": "2026-06-01T24:00:00Z", "time_zone": "Europe/Berlin"}', '{"signals": [], "time_zone": "Nowhere"}']) d;
