\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- Reading all leads at once finds what the tables say: leads with a timeline, with a profile or with both; with
-- something pending, also where nothing is left then; with aliases; and those that are excluded.
SELECT publish('{"model": "m", "signals": [{"signal": "visit", "kind": "visit"}, {"signal": "german", "subject": "profile", "match": {"country": "DE"}}],
	"weights": [{"signal": "visit", "points": 1}, {"signal": "german", "points": 100}]}');
CREATE FUNCTION visits(n bigint) RETURNS leadscore.timeline IMMUTABLE LANGUAGE sql AS $$
	SELECT format('{%s: 2026-01-01T00Z %s}', (SELECT signal_id FROM leadscore.signal WHERE signal = 'visit'), n)::leadscore.timeline $$;

-- what the tables say, by plain SQL
CREATE VIEW expected AS
SELECT lead_id, t.timeline, p.profile
FROM (SELECT coalesce(a.lead_id, x.lead_id) AS lead_id, timeline_sum(x.timeline) AS timeline
		FROM (SELECT * FROM lead_timeline UNION ALL SELECT lead_id, delta FROM pending_delta) x LEFT JOIN lead_alias a ON a.alias = x.lead_id
		GROUP BY 1 HAVING timeline_sum(x.timeline) <> '{}') t
FULL JOIN (SELECT c.* FROM current_profile c WHERE c.lead_id NOT IN (SELECT alias FROM lead_alias)) p USING (lead_id)
WHERE lead_id NOT IN (SELECT coalesce(a.lead_id, e.lead_id) FROM excluded_lead e LEFT JOIN lead_alias a ON a.alias = e.lead_id);
CREATE FUNCTION wrong(work_mem text DEFAULT '4MB') RETURNS TABLE (reader text, leads bigint, missing bigint, surplus bigint) LANGUAGE plpgsql AS $$
DECLARE
	part text[];
	expected text;
BEGIN
	PERFORM set_config('work_mem', work_mem, true);
	FOREACH part SLICE 1 IN ARRAY ARRAY[
		['all', 'TABLE visible_lead'],
		['by name', 'SELECT v.* FROM (SELECT DISTINCT lead_id FROM (SELECT lead_id FROM lead_timeline UNION ALL SELECT lead_id FROM pending_delta UNION ALL SELECT lead_id FROM lead
			UNION ALL SELECT lead_id FROM pending_profile UNION ALL SELECT lead_id FROM lead_alias) x) n CROSS JOIN LATERAL (SELECT * FROM visible_lead v WHERE v.lead_id = n.lead_id OFFSET 0) v'],
		['current_timeline', 'SELECT t.*, e.profile FROM current_timeline t JOIN expected e USING (lead_id)'],
		['scores', 'SELECT lead_id, score FROM lead_score WHERE model = ''m'''],
		['crm', 'SELECT lead_id, score FROM crm_lead WHERE model = ''m''']]
	LOOP
		reader := part[1];
		expected := CASE WHEN reader IN ('scores', 'crm') THEN 'SELECT e.lead_id, score(scorecard(''m''), e.timeline, e.profile, now()) FROM expected e'
			WHEN reader = 'current_timeline' THEN 'SELECT * FROM expected WHERE timeline IS NOT NULL' ELSE 'TABLE expected' END;
		EXECUTE format('WITH found AS MATERIALIZED (%s), expected AS MATERIALIZED (%s)
			SELECT (SELECT count(*) FROM found), (SELECT count(*) FROM (TABLE expected EXCEPT ALL TABLE found) m), (SELECT count(*) FROM (TABLE found EXCEPT ALL TABLE expected) s)', part[2], expected)
		INTO leads, missing, surplus;
		RETURN NEXT;
	END LOOP;
END
$$;

-- How often a query calls functions of ours, and looks up rows of lead_timeline.
CREATE FUNCTION calls(query text, OUT functions text, OUT looks_up bigint) LANGUAGE plpgsql SET track_functions = 'all' AS $$
DECLARE
	before bigint := coalesce((SELECT sum(idx_scan) FROM pg_stat_xact_user_tables WHERE relid = 'leadscore.lead_timeline'::regclass), 0);
	called jsonb := (SELECT jsonb_object_agg(funcname, calls) FROM pg_stat_xact_user_functions WHERE schemaname = 'leadscore_internal');
BEGIN
	EXECUTE query;
	SELECT string_agg(format('%s %s', funcname, calls - coalesce((called ->> funcname)::bigint, 0)), ', ' ORDER BY funcname) INTO functions FROM pg_stat_xact_user_functions
	WHERE schemaname = 'leadscore_internal' AND funcname IN ('has_pending', 'timeline_of', 'stored_profile', 'has_only_profile', 'with_pending_profile', 'is_excluded')
	AND calls > coalesce((called ->> funcname)::bigint, 0);
	looks_up := coalesce((SELECT sum(idx_scan) FROM pg_stat_xact_user_tables WHERE relid = 'leadscore.lead_timeline'::regclass), 0) - before;
END
$$;

-- Timelines alone: nothing is asked of a lead but its row. (Without track_functions the functions that are not called
-- would be missing, too.)
INSERT INTO lead_timeline SELECT 'lead ' || n, visits(n) FROM generate_series(1, 400) n;
SELECT * FROM calls('SELECT count(profile) FROM leadscore_internal.visible_lead');
SELECT * FROM wrong();
-- A lead goes from the scan into the query through one node: nothing is joined.
CREATE FUNCTION nodes_above_timelines(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	node jsonb;
	path text := '';
BEGIN
	EXECUTE 'EXPLAIN (FORMAT json) ' || query INTO node;
	node := node -> 0 -> 'Plan';
	WHILE node IS NOT NULL LOOP
		path := path || ' > ' || (node ->> 'Node Type') || coalesce(' ' || (node ->> 'Relation Name'), '');
		node := (SELECT p FROM jsonb_array_elements(node -> 'Plans') p WHERE p ->> 'Parent Relationship' IN ('Outer', 'Member') LIMIT 1);
	END LOOP;
	RETURN path;
END
$$;
SELECT nodes_above_timelines('SELECT count(profile) FROM leadscore_internal.visible_lead');

-- Profiles: of every third lead, of 100 others, and some that are NULL. The first of a query are looked up, then all
-- are read; where they do not fit into the memory of a hash table, the others are looked up.
INSERT INTO lead SELECT 'lead ' || n, CASE WHEN n % 5 > 0 THEN jsonb_build_object('country', CASE WHEN n % 2 = 0 THEN 'DE' ELSE 'FR' END, 'note', repeat('x', 400)) END
FROM generate_series(3, 1500, 3) n;
SELECT * FROM calls('SELECT count(profile) FROM leadscore_internal.visible_lead');
SELECT * FROM wrong();
SELECT * FROM wrong('64kB');

-- Something pending for a few: more for a row, all that there is of a lead, and what leaves nothing; of leads with a
-- profile, too.
INSERT INTO pending_delta (lead_id, delta) SELECT 'lead ' || n, visits(1) FROM generate_series(1, 20) n;
INSERT INTO pending_delta (lead_id, delta) SELECT 'lead ' || n, -visits(n) FROM generate_series(21, 30) n;
INSERT INTO pending_delta (lead_id, delta) SELECT 'new ' || n % 5, visits(1) FROM generate_series(1, 10) n;
INSERT INTO pending_delta (lead_id, delta) VALUES ('lead 900', visits(9)), ('lead 903', visits(9)), ('lead 903', -visits(9)), ('lead 906', '{}');
SELECT * FROM calls('SELECT count(timeline) FROM leadscore.current_timeline');
SELECT * FROM wrong();
-- and for many, whose rows are then read by one scan, not looked up
INSERT INTO pending_delta (lead_id, delta) SELECT 'lead ' || n, visits(2) FROM generate_series(1, 400) n, generate_series(1, 2);
SELECT * FROM calls('SELECT count(timeline) FROM leadscore.current_timeline');
SELECT * FROM wrong();
SELECT * FROM wrong('64kB');

-- Aliases: some whose row could not be moved yet, which counts for the lead while something is pending under the alias.
-- Then nothing may be left of alias and lead together.
INSERT INTO lead_alias SELECT 'alias ' || n, 'lead ' || n FROM generate_series(1, 200, 7) n;
INSERT INTO lead_timeline SELECT 'alias ' || n, visits(100) FROM generate_series(1, 100, 7) n;
INSERT INTO pending_delta (lead_id, delta) SELECT 'alias ' || n, visits(5) FROM generate_series(1, 150, 7) n;
INSERT INTO pending_delta (lead_id, delta) VALUES ('alias 1', -visits(100)), ('alias 22', -visits(105));
INSERT INTO lead SELECT 'alias ' || n, '{"city": "Berlin"}' FROM generate_series(1, 200, 14) n;
SELECT * FROM wrong();
SELECT * FROM wrong('64kB');

-- Changes of profiles that are pending, of leads, of aliases and of names that have nothing else.
INSERT INTO pending_profile (lead_id, attributes) SELECT x || ' ' || n, '{"country": "AT"}' FROM generate_series(1, 400, 10) n, unnest('{lead,alias,other}'::text[]) x;
INSERT INTO pending_profile (lead_id, removed) SELECT 'lead ' || n, '{country,note}' FROM generate_series(3, 1500, 30) n;
SELECT * FROM wrong();
SELECT * FROM wrong('64kB');

-- Excluded leads, by their name or by an alias.
INSERT INTO excluded_lead SELECT 'lead ' || n FROM generate_series(1, 1500, 50) n;
INSERT INTO excluded_lead SELECT 'alias ' || n FROM generate_series(8, 200, 35) n;
SELECT * FROM wrong();
SELECT * FROM wrong('64kB');
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT * FROM wrong();
COMMIT;

-- A partitioned lead_timeline, and none at all.
SELECT partition_timelines(4);
SELECT * FROM wrong();
SELECT partition_timelines(1);
DELETE FROM lead_timeline;
SELECT * FROM wrong();
DELETE FROM pending_delta;
SELECT * FROM wrong();

-- Row-level security shows a reader the profiles of its leads alone.
CREATE ROLE regress_lead_rows;
SELECT grant_reader('regress_lead_rows');
GRANT SELECT ON expected TO regress_lead_rows;
ALTER TABLE lead ENABLE ROW LEVEL SECURITY;
CREATE POLICY german ON lead FOR SELECT TO regress_lead_rows USING (profile ->> 'country' = 'DE');
INSERT INTO lead_timeline SELECT 'lead ' || n, visits(n) FROM generate_series(300, 700) n;
SET ROLE regress_lead_rows;
SELECT profile ->> 'country' AS country, count(*) AS leads, count(timeline) AS with_a_timeline FROM visible_lead GROUP BY 1;
SELECT stored_profile('lead 306') IS NOT NULL AS german, stored_profile('lead 303') IS NOT NULL AS french;
RESET ROLE;
REVOKE SELECT ON lead FROM regress_lead_rows;
SET ROLE regress_lead_rows;
SELECT refused($$SELECT stored_profile('lead 306')$$);
RESET ROLE;
DROP OWNED BY regress_lead_rows;
DROP ROLE regress_lead_rows;
