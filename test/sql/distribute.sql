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
