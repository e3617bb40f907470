-- Without Citus: what it would distribute is refused, and all else is as if there were no such thing. With it:
-- test/goals/check-citus.

\set SHOW_CONTEXT never

SELECT leadscore.publish(leadscore.template('ecommerce')) \g /dev/null
CREATE TABLE orders (order_id bigint PRIMARY KEY, customer text NOT NULL, placed_at timestamptz NOT NULL, total numeric);

-- arguments are those of track()
SELECT leadscore.distribute('orders', 'customer', 'purchase', occurred_at => 'placed_at', value => 'total');
SELECT leadscore.distribute('orders', 'customer', occurred_at => 'placed_at');
SELECT leadscore.distribute('orders', NULL, 'purchase', occurred_at => 'placed_at');
SELECT leadscore.distribute('orders', 'client', 'purchase', occurred_at => 'placed_at');
SELECT leadscore.distribute('leadscore.lead', 'lead_id', 'purchase', occurred_at => 'placed_at');
SELECT leadscore.distribute(NULL, 'customer', 'purchase', occurred_at => 'placed_at');
SELECT leadscore.distribute_profile('orders', 'order_id', '{total}');
SELECT leadscore.distribute_profile('orders', 'customer', '{total}');
SELECT leadscore.distribute_profile('orders', 'order_id', '{}');

-- there is nobody to ask
SELECT leadscore.distribute();
SELECT leadscore.distributed_score('anna');
SELECT * FROM leadscore.distributed_scores();
SELECT * FROM leadscore.distributed_top(3);
SELECT * FROM leadscore.distributed_segments();
SELECT * FROM leadscore.distributed_segment_history();
SELECT * FROM leadscore.distributed_leads();
SELECT leadscore.distributed_score('anna', 'none');
SELECT * FROM leadscore.distributed_segment_summary();
SELECT * FROM leadscore.distributed_segment_leads('high');
SELECT * FROM leadscore.distributed_take_changes('crm');
SELECT leadscore.distributed_acknowledge_changes('crm');
SELECT leadscore.distributed_acknowledge_changes('crm', '{"1": 1}');
SELECT * FROM leadscore.distributed_rfm();
SELECT * FROM leadscore.distributed_evaluate(leadscore.scorecard(), 'purchase', '7 days', '{2024-06-01Z}');
SELECT * FROM leadscore.distributed_preview(leadscore.scorecard());
SELECT leadscore.distributed_fit_clv('purchase', '2024-06-01Z');
SELECT leadscore.distributed_fit(leadscore.scorecard(), 'purchase', '7 days', '{2024-06-01Z}');
SELECT leadscore.distributed_propose('purchase');
SELECT * FROM leadscore.distributed_leads(1.5);

-- NULLs as for one server
SELECT leadscore.distributed_score(NULL), leadscore.distributed_score('anna', at => NULL);
SELECT * FROM leadscore.distributed_scores(at => NULL);
SELECT * FROM leadscore.distributed_top(3, at => NULL);
SELECT * FROM leadscore.distributed_segments(at => NULL);

-- and nothing is sent
SELECT leadscore.track('orders', 'customer', 'purchase', occurred_at => 'placed_at', value => 'total');
INSERT INTO orders VALUES (1, 'anna', '2024-06-01Z', 10), (2, 'visitor', '2024-06-02Z', 20);
BEGIN;
INSERT INTO leadscore.excluded_lead (lead_id) VALUES ('ben');
SELECT count(*) FROM leadscore_internal.unsent_configuration;
COMMIT;
SELECT leadscore.identify('visitor', 'anna');
CALL leadscore.rebuild();
SELECT * FROM leadscore.verify();
SELECT source, removed, remaining FROM leadscore.forget('anna', true) WHERE removed > 0;
SELECT leadscore.untrack('orders');
SELECT * FROM leadscore.status;
SELECT count(*) FROM leadscore_internal.distributed_source;

-- a worker takes the configuration of a coordinator, whatever it has: renamed signals, other points, models of its own
INSERT INTO leadscore.excluded_lead (lead_id) VALUES ('staff');
SELECT leadscore.publish(leadscore.template('funnel') || '{"model": "default of two"}'), leadscore.set_default_model('default of two') \g /dev/null
CREATE TEMP TABLE sent AS SELECT leadscore_internal.configuration() AS document;
SELECT leadscore_internal.take_configuration(document) FROM sent;
SELECT t.name FROM leadscore_internal.configuration_tables() t, leadscore_internal.configuration() c, sent
WHERE c -> t.name::text <> document -> t.name::text ORDER BY t.n;
UPDATE leadscore.signal SET signal = 'seen', description = 'renamed' WHERE signal = 'visit';
UPDATE leadscore.weight SET points = points + 0.1 WHERE signal = 'purchase';
UPDATE leadscore.category SET max_points = 77;
DELETE FROM leadscore.segment WHERE segment = 'low';
DELETE FROM leadscore.excluded_lead;
INSERT INTO leadscore.signal (signal, kind) VALUES ('extra', 'extra');
SELECT leadscore.publish(leadscore.template('funnel') || '{"model": "other"}') \g /dev/null
SELECT leadscore_internal.take_configuration(document) FROM sent;
SELECT t.name FROM leadscore_internal.configuration_tables() t, leadscore_internal.configuration() c, sent
WHERE NOT ((c -> t.name::text) @> (document -> t.name::text) AND (document -> t.name::text) @> (c -> t.name::text)) ORDER BY t.n;
-- ... or nothing
DELETE FROM leadscore.weight;
DELETE FROM leadscore.model;
DELETE FROM leadscore.signal;
SELECT leadscore_internal.take_configuration(document) FROM sent;
SELECT t.name FROM leadscore_internal.configuration_tables() t, leadscore_internal.configuration() c, sent
WHERE NOT ((c -> t.name::text) @> (document -> t.name::text) AND (document -> t.name::text) @> (c -> t.name::text)) ORDER BY t.n;

-- the parts of an aggregate, as they come from workers, are the whole
CREATE TABLE people AS
SELECT i, 'lead ' || i AS lead_id, i % 3 AS worker, leadscore.timeline_agg(leadscore.signals(), k.kind, k.at, i % 50 + 1, NULL) AS timeline, i % 5 = 0 AS converted
FROM generate_series(1, 200) i
CROSS JOIN LATERAL (SELECT (ARRAY['visit', 'purchase'])[1 + j % 2] AS kind, timestamptz '2024-01-01Z' + i * j * interval '5 hours' AS at FROM generate_series(1, 1 + i % 7) j) k
GROUP BY i;
SELECT leadscore.publish(leadscore.template('ecommerce')) \g /dev/null
SET client_min_messages = warning;
SELECT (SELECT leadscore_internal.assess_parts(p.part) FROM (
		SELECT leadscore_internal.assess_part(leadscore.scorecard('ecommerce'), timeline, NULL, '2024-02-01Z', converted) AS part FROM people GROUP BY worker UNION ALL SELECT NULL) p)
	= (SELECT leadscore_internal.assess(leadscore.scorecard('ecommerce'), timeline, NULL, '2024-02-01Z', converted) FROM people) AS assessed,
	(SELECT ROW((c).leads, (c).quantiles, (c).movers, (c).mover_scores) FROM (SELECT leadscore_internal.compare_parts(p.part) AS c FROM (
		SELECT leadscore_internal.compare_part(leadscore.scorecard('ecommerce'), leadscore.scorecard('ecommerce') || '{"floor": 5}', lead_id, timeline, NULL, '2024-02-01Z') AS part FROM people GROUP BY worker) p) c)
	= (SELECT ROW((c).leads, (c).quantiles, (c).movers, (c).mover_scores) FROM (
		SELECT leadscore_internal.compare(leadscore.scorecard('ecommerce'), leadscore.scorecard('ecommerce') || '{"floor": 5}', lead_id, timeline, NULL, '2024-02-01Z') AS c FROM people) c) AS compared,
	(SELECT leadscore_internal.fit_clv_parts(p.part) -> 'customers' FROM (
		SELECT leadscore_internal.fit_clv_part(timeline, signal_id, '2024-02-01Z', '7 days', NULL) AS part FROM people, leadscore.signal WHERE signal = 'purchase' GROUP BY worker) p)
	IS NOT DISTINCT FROM (SELECT leadscore.fit_clv(timeline, signal_id, '2024-02-01Z', '7 days') -> 'customers' FROM people, leadscore.signal WHERE signal = 'purchase') AS fitted,
	(SELECT leadscore_internal.tallies(t) FROM (VALUES ('{1,2}'::bigint[]), ('{1,2,3}'), (NULL)) u (t)) AS tallied;
RESET client_min_messages;
SELECT leadscore_internal.assess_parts(NULL), leadscore_internal.compare_parts(NULL);
SELECT leadscore_internal.fit_clv_parts(NULL);
SELECT leadscore_internal.assess_parts('\x00');

-- on a worker, leads with aliases are left to the coordinator, with their states
CALL leadscore.watch('ecommerce', false);
INSERT INTO leadscore.event (lead_id, kind, occurred_at) SELECT l, 'purchase', now() FROM unnest('{whole,split,cookie}'::text[]) l;
SELECT lead_id, from_segment IS NULL AS enters, to_segment IS NULL AS leaves, cause FROM leadscore.segment_change WHERE lead_id IN ('whole', 'split', 'cookie') ORDER BY change_id;
SELECT leadscore_internal.take_watching(true, '["ecommerce", "default of two"]');
SELECT model, active, seen, notify FROM leadscore.watched_model ORDER BY model;
BEGIN;
SELECT leadscore.identify('cookie', 'split');
CREATE TEMP TABLE given AS SELECT * FROM leadscore_internal.give_states_here('{"names": ["split", "cookie", "whole"]}');
COMMIT;
SELECT lead_id, model, segment IS NULL AS leaves, cause FROM given ORDER BY 1, 2;
INSERT INTO leadscore.event (lead_id, kind, occurred_at) SELECT l, 'purchase', now() FROM unnest('{whole,split,cookie}'::text[]) l;
CALL leadscore.see_changes();
SELECT lead_id, from_segment IS NULL AS enters, to_segment IS NULL AS leaves, cause FROM leadscore.segment_change
WHERE model = 'ecommerce' AND lead_id IN ('split', 'cookie') ORDER BY change_id;
BEGIN;
SELECT leadscore.unidentify('cookie');
SELECT lead_id, model FROM leadscore_internal.take_states_here((SELECT jsonb_agg(to_jsonb(g)) FROM given g)) ORDER BY 1, 2;
COMMIT;
CALL leadscore.see_changes();
SELECT lead_id, from_segment IS NULL AS enters, to_segment IS NULL AS leaves, cause FROM leadscore.segment_change
WHERE model = 'ecommerce' AND lead_id IN ('split', 'cookie') ORDER BY change_id;
SELECT leadscore_internal.take_watching(false, '[]');
SELECT count(*) FROM leadscore_internal.worker;
