-- distribute.sql: tables that Citus has spread over several servers
--
-- A lead lives on one worker, with its rows and its timeline: each shard is tracked there, as any table is. The
-- coordinator has the configuration and the names of leads, and sends them to the workers when they change. It asks
-- each worker about its leads, and puts the answers together.
--
-- What is sent or asked goes through the table leadscore_internal.part, which distribute() makes: it is distributed as
-- the tracked tables are, and has a row in each shard. One row of a worker stands for the worker. A transaction that
-- sends something updates these rows first, so Citus commits it in two phases: on all workers or on none.
--
-- No catalog of Citus is named but in dynamic statements, which run only where it is there.

CREATE TABLE leadscore_internal.distributed_source (
	source regclass NOT NULL,
	feeds text NOT NULL,
	mapping jsonb NOT NULL
);

CREATE UNIQUE INDEX distributed_source_key ON leadscore_internal.distributed_source (source, feeds, md5(mapping::text));
ALTER TABLE leadscore_internal.distributed_source REPLICA IDENTITY FULL;

COMMENT ON TABLE leadscore_internal.distributed_source IS 'distributed tables whose shards are tracked, on their coordinator';
COMMENT ON COLUMN leadscore_internal.distributed_source.source IS 'the table';
COMMENT ON COLUMN leadscore_internal.distributed_source.feeds IS 'timeline (rows are events) or profile (rows are leads)';
COMMENT ON COLUMN leadscore_internal.distributed_source.mapping IS 'the mapping of its shards';

SELECT pg_catalog.pg_extension_config_dump('leadscore_internal.distributed_source', '');

CREATE TABLE leadscore_internal.tracked_placement (
	placement_id bigint PRIMARY KEY,
	source regclass NOT NULL
);

COMMENT ON TABLE leadscore_internal.tracked_placement IS 'where distribute() has tracked shards; a shard that moves gets another placement';
COMMENT ON COLUMN leadscore_internal.tracked_placement.placement_id IS 'the number that Citus gives a shard on a worker';
COMMENT ON COLUMN leadscore_internal.tracked_placement.source IS 'the distributed table';

CREATE TABLE leadscore_internal.part_key (
	shard_id bigint PRIMARY KEY,
	key text NOT NULL
);

COMMENT ON TABLE leadscore_internal.part_key IS 'the rows of leadscore_internal.part, one for each shard';
COMMENT ON COLUMN leadscore_internal.part_key.shard_id IS 'the shard of that table';
COMMENT ON COLUMN leadscore_internal.part_key.key IS 'the key of the row in it';

CREATE TABLE leadscore_internal.unsent_configuration (
	only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row)
);

COMMENT ON TABLE leadscore_internal.unsent_configuration IS 'has a row while a transaction that has changed the configuration of a coordinator is open';
COMMENT ON COLUMN leadscore_internal.unsent_configuration.only_row IS 'true';

-- what Citus says

CREATE FUNCTION leadscore_internal.is_distributed(source regclass) RETURNS boolean
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	distributed boolean := false;
BEGIN
	IF to_regclass('pg_catalog.pg_dist_partition') IS NOT NULL THEN
		EXECUTE 'SELECT EXISTS (SELECT FROM pg_catalog.pg_dist_partition p WHERE p.logicalrelid = $1 AND p.partmethod = ''h'')' INTO distributed USING source;
	END IF;
	RETURN distributed;
END
$$;

COMMENT ON FUNCTION leadscore_internal.is_distributed(regclass) IS 'whether Citus has distributed a table';

CREATE FUNCTION leadscore_internal.check_not_distributed(source regclass) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF leadscore_internal.is_distributed(source) THEN
		RAISE EXCEPTION USING ERRCODE = 'wrong_object_type', MESSAGE = format('%s is a distributed table of Citus', source),
			DETAIL = 'Its rows lie in shards on the workers, where no trigger of this table sees them.',
			HINT = format('SELECT leadscore.distribute(%1$L, ...), with the arguments of track(), or distribute_profile(%1$L, ...) tracks its shards.', source::text);
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.check_not_distributed(regclass) IS 'refuses a table that Citus has distributed';

CREATE FUNCTION leadscore_internal.has_distributed() RETURNS boolean
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	-- (which is no part of a dump: after a restore there is nobody to ask before distribute())
	SELECT EXISTS (SELECT FROM leadscore_internal.part_key)
$$;

COMMENT ON FUNCTION leadscore_internal.has_distributed() IS 'whether this server is a coordinator that has called distribute()';

CREATE FUNCTION leadscore_internal.placements() RETURNS TABLE (source regclass, shard_id bigint, placement_id bigint, group_id integer)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF to_regclass('pg_catalog.pg_dist_placement') IS NOT NULL THEN
		RETURN QUERY EXECUTE 'SELECT s.logicalrelid, s.shardid, p.placementid, p.groupid
			FROM pg_catalog.pg_dist_shard s JOIN pg_catalog.pg_dist_placement p ON p.shardid = s.shardid
			WHERE s.logicalrelid IN (SELECT d.source FROM leadscore_internal.distributed_source d)';
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.placements() IS 'where the shards of distributed sources lie';

CREATE FUNCTION leadscore_internal.shard_of(source regclass, shard_id bigint) RETURNS text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	name text[];
BEGIN
	EXECUTE 'SELECT parse_ident(pg_catalog.shard_name($1, $2))' INTO name USING source, shard_id;
	RETURN (SELECT format('%I.%I', n.nspname, name[cardinality(name)]) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = source);
END
$$;

COMMENT ON FUNCTION leadscore_internal.shard_of(regclass, bigint) IS 'the name that a shard has on its worker, with its schema';

CREATE FUNCTION leadscore_internal.untracked_shards() RETURNS TABLE (source regclass, shards bigint)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT p.source, count(*) FROM leadscore_internal.placements() p
	WHERE NOT EXISTS (SELECT FROM leadscore_internal.tracked_placement t WHERE t.placement_id = p.placement_id)
	GROUP BY p.source
$$;

COMMENT ON FUNCTION leadscore_internal.untracked_shards() IS 'shards of distributed sources that are new or have moved since distribute()';

-- asking and sending

CREATE FUNCTION leadscore_internal.worker_rows() RETURNS text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	keys text[];
BEGIN
	EXECUTE 'SELECT array_agg(w.key ORDER BY w.key) FROM (
			SELECT DISTINCT ON (p.groupid) k.key FROM leadscore_internal.part_key k JOIN pg_catalog.pg_dist_placement p ON p.shardid = k.shard_id
			WHERE p.groupid <> 0 ORDER BY p.groupid, k.shard_id) w' INTO keys;
	RETURN format('p.key = ANY (%L::%s[])', keys, (SELECT format_type(a.atttypid, NULL) FROM pg_attribute a
		WHERE a.attrelid = to_regclass('leadscore_internal.part') AND a.attname = 'key'));
END
$$;

COMMENT ON FUNCTION leadscore_internal.worker_rows() IS 'the condition for the rows p of leadscore_internal.part that stand for the workers';

CREATE FUNCTION leadscore_internal.cluster_state(OUT condition text, OUT placements text)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	untracked record;
BEGIN
	IF NOT leadscore_internal.has_distributed() THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = 'no table is distributed',
			DETAIL = 'The workers of Citus are asked about the shards that distribute() has tracked.', HINT = 'SELECT leadscore.distribute(...) on the coordinator.';
	END IF;
	SELECT u.* INTO untracked FROM leadscore_internal.untracked_shards() u ORDER BY u.source LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = format('shards of %s are not tracked: %s', untracked.source, untracked.shards),
			DETAIL = 'They are new or have moved, and their rows are not counted where they lie.', HINT = 'SELECT leadscore.distribute() tracks them.';
	END IF;
	condition := leadscore_internal.worker_rows();
	SELECT string_agg(p.placement_id::text, ',' ORDER BY p.placement_id) INTO placements FROM leadscore_internal.placements() p;
END
$$;

COMMENT ON FUNCTION leadscore_internal.cluster_state() IS 'which rows stand for the workers, and where the shards lie; an error if one is not tracked there';

-- A query that has nothing else in it: what is local to the coordinator could be looked up on a worker.
CREATE FUNCTION leadscore_internal.ask(call text, request jsonb) RETURNS SETOF record
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	state CONSTANT record := leadscore_internal.cluster_state();
BEGIN
	RETURN QUERY EXECUTE format('WITH d AS MATERIALIZED (SELECT $1 AS request)'
		' SELECT f.* FROM d CROSS JOIN leadscore_internal.part p CROSS JOIN LATERAL leadscore_internal.%s f WHERE %s', call, state.condition) USING request;
	IF leadscore_internal.cluster_state() IS DISTINCT FROM state THEN
		RAISE EXCEPTION USING ERRCODE = 'serialization_failure', MESSAGE = 'shards have moved while the workers were asked',
			DETAIL = 'Their leads may be missing, or be there twice.', HINT = 'Try again.';
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.ask(text, jsonb) IS 'what a function gives on each worker, for d.request';

-- In one connection for each worker, the one that commits in two phases.
CREATE FUNCTION leadscore_internal.begin_sending() RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM set_config('citus.multi_shard_modify_mode', 'sequential', true);
	EXECUTE 'UPDATE leadscore_internal.part p SET changes = p.changes + 1 WHERE ' || leadscore_internal.worker_rows();
END
$$;

COMMENT ON FUNCTION leadscore_internal.begin_sending() IS 'has what is called on the workers from now on commit with this transaction';

CREATE FUNCTION leadscore_internal.send(call text, document jsonb) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	answered boolean;
BEGIN
	PERFORM leadscore_internal.begin_sending();
	EXECUTE format('WITH d AS MATERIALIZED (SELECT $1 AS document) SELECT bool_and(leadscore_internal.%s) FROM d, leadscore_internal.part p WHERE %s',
		call, leadscore_internal.worker_rows()) INTO answered USING document;
END
$$;

COMMENT ON FUNCTION leadscore_internal.send(text, jsonb) IS 'calls a function on each worker, with d.document or a member of it, in this transaction';

-- the configuration

CREATE FUNCTION leadscore_internal.configuration_tables() RETURNS TABLE (n bigint, name regclass, key text[])
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	-- tables that others refer to come first, and are updated by their key: a renamed signal keeps its number
	SELECT t.n, t.name, t.key::text[]
	FROM unnest('{leadscore.signal,leadscore.model,leadscore.category,leadscore.stage,leadscore.rule,leadscore.grade,leadscore.segment,leadscore.weight,leadscore.default_model,leadscore.excluded_lead}'::regclass[],
		'{"{signal_id}","{model}","{model,category}","{model,stage}",NULL,NULL,NULL,NULL,"{only_row}",NULL}'::text[]) WITH ORDINALITY AS t (name, key, n)
$$;

COMMENT ON FUNCTION leadscore_internal.configuration_tables() IS 'the tables that the workers have as the coordinator has them, and the keys of those that others refer to';

CREATE FUNCTION leadscore_internal.configuration() RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET IntervalStyle = 'postgres' SET TimeZone = 'UTC'
AS $$
DECLARE
	configured regclass;
	rows jsonb;
	document jsonb := '{}';
BEGIN
	FOR configured IN SELECT t.name FROM leadscore_internal.configuration_tables() t ORDER BY t.n LOOP
		EXECUTE format('SELECT coalesce(jsonb_agg(to_jsonb(t)), ''[]'') FROM %s t', configured) INTO rows;
		document := document || jsonb_build_object(configured::text, rows);
	END LOOP;
	RETURN document;
END
$$;

COMMENT ON FUNCTION leadscore_internal.configuration() IS 'all rows of the configuration';

CREATE FUNCTION leadscore_internal.take_configuration(document jsonb) RETURNS boolean
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET IntervalStyle = 'postgres' SET TimeZone = 'UTC'
AS $$
DECLARE
	configured record;
	of_table text;
	columns text;
	settings text;
BEGIN
	FOR configured IN SELECT t.name, t.key FROM leadscore_internal.configuration_tables() t ORDER BY t.n DESC LOOP
		of_table := format('jsonb_populate_recordset(NULL::%s, $1) n', configured.name);
		EXECUTE format('DELETE FROM %s o WHERE NOT EXISTS (SELECT FROM %s WHERE %s)', configured.name, of_table,
			coalesce((SELECT string_agg(format('n.%I = o.%1$I', k), ' AND ') FROM unnest(configured.key) k), 'to_jsonb(n) = to_jsonb(o)'))
			USING document -> configured.name::text;
	END LOOP;
	FOR configured IN SELECT t.name, t.key FROM leadscore_internal.configuration_tables() t ORDER BY t.n LOOP
		SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum), string_agg(format('%I = excluded.%1$I', a.attname), ', ' ORDER BY a.attnum) FILTER (WHERE a.attidentity <> 'a')
		INTO columns, settings FROM pg_attribute a WHERE a.attrelid = configured.name AND a.attnum > 0 AND NOT a.attisdropped;
		EXECUTE format('INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %2$s FROM jsonb_populate_recordset(NULL::%1$s, $1) n'
			' WHERE NOT EXISTS (SELECT FROM %1$s o WHERE to_jsonb(o) = to_jsonb(n))', configured.name, columns)
			|| CASE WHEN configured.key IS NULL THEN '' ELSE format(' ON CONFLICT (%s) DO UPDATE SET %s', (SELECT string_agg(quote_ident(k), ', ') FROM unnest(configured.key) k), settings) END
			USING document -> configured.name::text;
	END LOOP;
	RETURN true;
END
$$;

COMMENT ON FUNCTION leadscore_internal.take_configuration(jsonb) IS 'on a worker: makes the configuration that of the coordinator';

CREATE FUNCTION leadscore_internal.note_unsent() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM leadscore_internal.check_trigger(TG_RELID, CASE TG_TABLE_NAME WHEN 'model_document' THEN 'leadscore.model_document'::regclass
		WHEN 'default_model' THEN 'leadscore.default_model' WHEN 'excluded_lead' THEN 'leadscore.excluded_lead' ELSE 'leadscore.signal' END);
	IF leadscore_internal.has_distributed() AND NOT leadscore_internal.in_restore() THEN
		INSERT INTO leadscore_internal.unsent_configuration VALUES (true) ON CONFLICT DO NOTHING;
	END IF;
	RETURN NULL;
END
$$;

CREATE FUNCTION leadscore_internal.send_configuration() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM leadscore_internal.check_trigger(TG_RELID, 'leadscore_internal.unsent_configuration'::regclass);
	DELETE FROM leadscore_internal.unsent_configuration;
	IF FOUND THEN
		PERFORM leadscore_internal.send('take_configuration(d.document)'::text, leadscore_internal.configuration());
	END IF;
	RETURN NULL;
END
$$;

COMMENT ON FUNCTION leadscore_internal.note_unsent() IS 'trigger: has the configuration be sent to the workers when the transaction commits';
COMMENT ON FUNCTION leadscore_internal.send_configuration() IS 'trigger: sends the configuration to the workers';

CREATE TRIGGER note_unsent AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON leadscore.signal
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.note_unsent();
CREATE TRIGGER note_unsent AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON leadscore.model_document
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.note_unsent();
CREATE TRIGGER note_unsent AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON leadscore.default_model
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.note_unsent();
CREATE TRIGGER note_unsent AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON leadscore.excluded_lead
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.note_unsent();
CREATE CONSTRAINT TRIGGER send_configuration AFTER INSERT ON leadscore_internal.unsent_configuration
	DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION leadscore_internal.send_configuration();

-- names: ranges of them, so that no document becomes too large

CREATE FUNCTION leadscore_internal.names_digest() RETURNS text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT concat_ws(' ', count(*), sum(hashtextextended(a.alias, hashtextextended(a.lead_id, 0)))) FROM leadscore.lead_alias a
$$;

COMMENT ON FUNCTION leadscore_internal.names_digest() IS 'the same where lead_alias has the same rows';

CREATE FUNCTION leadscore_internal.take_names(document jsonb) RETURNS boolean
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM leadscore.unidentify(a.alias) FROM leadscore.lead_alias a
	WHERE a.alias COLLATE "C" > (document ->> 'above') AND (a.alias COLLATE "C" <= (document ->> 'up_to')) IS NOT FALSE AND NOT document -> 'names' ? a.alias;
	PERFORM leadscore.identify(n.alias, n.lead_id) FROM jsonb_each_text(document -> 'names') AS n (alias, lead_id)
	WHERE NOT EXISTS (SELECT FROM leadscore.lead_alias a WHERE a.alias = n.alias AND a.lead_id = n.lead_id);
	RETURN true;
END
$$;

COMMENT ON FUNCTION leadscore_internal.take_names(jsonb) IS 'on a worker: makes the names of a range those of the coordinator';

CREATE FUNCTION leadscore_internal.send_names() RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	same boolean;
	above text := '';
	sent record;
BEGIN
	EXECUTE 'SELECT bool_and(leadscore_internal.names_digest() = $1) FROM leadscore_internal.part p WHERE ' || leadscore_internal.worker_rows()
		INTO same USING leadscore_internal.names_digest();
	WHILE NOT same LOOP
		SELECT count(*) AS n, coalesce(jsonb_object_agg(a.alias, a.lead_id), '{}') AS names, max(a.alias COLLATE "C") AS up_to INTO sent
		FROM (SELECT l.alias, l.lead_id FROM leadscore.lead_alias l WHERE l.alias COLLATE "C" > above ORDER BY l.alias COLLATE "C" LIMIT 100000) a;
		same := sent.n < 100000;
		PERFORM leadscore_internal.send('take_names(d.document)'::text,
			jsonb_build_object('above', above, 'up_to', CASE WHEN NOT same THEN sent.up_to END, 'names', sent.names));
		above := sent.up_to;
	END LOOP;
END
$$;

COMMENT ON FUNCTION leadscore_internal.send_names() IS 'sends the names of leads to the workers, unless they have them';

CREATE FUNCTION leadscore_internal.take_changes_of_names(document jsonb) RETURNS boolean
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	change record;
BEGIN
	FOR change IN SELECT c.alias, c.lead_id FROM jsonb_to_recordset(document) AS c (alias text, lead_id text) LOOP
		IF change.lead_id IS NULL THEN
			PERFORM leadscore.unidentify(change.alias);
		ELSE
			PERFORM leadscore.identify(change.alias, change.lead_id);
		END IF;
	END LOOP;
	RETURN true;
END
$$;

COMMENT ON FUNCTION leadscore_internal.take_changes_of_names(jsonb) IS 'on a worker: what identify() and unidentify() have done on the coordinator';

CREATE FUNCTION leadscore_internal.send_changes_of_names(aliases text[], lead_ids text[], former text DEFAULT NULL) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF leadscore_internal.has_distributed() AND cardinality(aliases) > 0 THEN
		PERFORM leadscore_internal.send('take_changes_of_names(d.document)'::text,
			(SELECT jsonb_agg(jsonb_build_object('alias', c.alias, 'lead_id', c.lead_id) ORDER BY c.n) FROM unnest(aliases, lead_ids) WITH ORDINALITY AS c (alias, lead_id, n)));
		PERFORM leadscore_internal.hand_over_states(ARRAY(
			SELECT n.name FROM unnest(aliases || lead_ids || former) AS n (name) WHERE n.name IS NOT NULL
			UNION SELECT a.lead_id FROM leadscore.lead_alias a WHERE a.alias = ANY (aliases)));
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.send_changes_of_names(text[], text[], text)
	IS 'has the workers of a coordinator do what identify() and unidentify() have done (lead NULL: unidentify, which gives the lead that it was)';

-- shards

CREATE FUNCTION leadscore_internal.take_shards(document jsonb) RETURNS boolean
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	wanted CONSTANT jsonb := document -> 'shards';
	shard record;
	known boolean;
BEGIN
	PERFORM set_config('citus.enable_manual_changes_to_shards', 'on', true);
	PERFORM leadscore_internal.take_watching(wanted <> '[]', document -> 'watched');
	-- a shard that has moved stays for a while where it was
	FOR shard IN SELECT s.source, s.feeds, s.mapping FROM leadscore.source s
		WHERE NOT EXISTS (SELECT FROM jsonb_array_elements(wanted) w
			WHERE to_regclass(w ->> 'shard') = s.source AND w ->> 'feeds' = s.feeds AND w -> 'mapping' = s.mapping) LOOP
		EXECUTE 'SELECT pg_catalog.relation_is_a_known_shard($1)' INTO known USING shard.source;
		CONTINUE WHEN NOT known;
		-- (profiles stay where a table is untracked)
		PERFORM leadscore_internal.add_profiles(shard.source, shard.mapping, with_children => true, subtract => true)
		WHERE shard.feeds = 'profile' AND NOT (document -> 'untracked')::boolean;
		PERFORM leadscore_internal.end_tracking(shard.source, ARRAY[shard.feeds], shard.mapping);
	END LOOP;
	FOR shard IN SELECT (w ->> 'shard')::regclass AS source, w ->> 'feeds' AS feeds, w -> 'mapping' AS mapping, (w ->> 'past')::boolean AS past
		FROM jsonb_array_elements(wanted) w LOOP
		CONTINUE WHEN EXISTS (SELECT FROM leadscore.source s WHERE s.source = shard.source AND s.feeds = shard.feeds AND s.mapping = shard.mapping);
		IF shard.feeds = 'profile' THEN
			PERFORM leadscore.track_profile(shard.source, shard.mapping ->> 'lead_id', ARRAY(SELECT jsonb_array_elements_text(shard.mapping -> 'properties')),
				shard.mapping ->> 'filter', shard.mapping ->> 'latest_by');
			CONTINUE;
		END IF;
		PERFORM leadscore.track(shard.source, shard.mapping ->> 'lead_id', shard.mapping ->> 'kind', shard.mapping ->> 'kind_column',
			shard.mapping ->> 'occurred_at', shard.mapping ->> 'value',
			CASE WHEN shard.mapping ? 'properties' THEN ARRAY(SELECT jsonb_array_elements_text(shard.mapping -> 'properties')) END,
			coalesce(shard.mapping ->> 'maintenance', 'immediate'), shard.mapping ->> 'filter', shard.past);
	END LOOP;
	RETURN true;
END
$$;

COMMENT ON FUNCTION leadscore_internal.take_shards(jsonb) IS 'on a worker: tracks the shards that lie here, and no others';

CREATE FUNCTION leadscore_internal.send_shards(past boolean, untracked boolean) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	wanted jsonb;
BEGIN
	-- the shards of a worker, by the key of the row that stands for it
	EXECUTE 'SELECT jsonb_object_agg(w.key, jsonb_build_object(''shards'', w.shards, ''untracked'', $2, ''watched'', $3)) FROM (
			SELECT DISTINCT ON (q.groupid) k.key, coalesce(l.shards, ''[]'') AS shards
			FROM leadscore_internal.part_key k JOIN pg_catalog.pg_dist_placement q ON q.shardid = k.shard_id
			LEFT JOIN (
				SELECT p.group_id, jsonb_agg(jsonb_build_object(''shard'', leadscore_internal.shard_of(p.source, p.shard_id), ''feeds'', d.feeds, ''mapping'', d.mapping, ''past'', $1)) AS shards
				FROM leadscore_internal.placements() p JOIN leadscore_internal.distributed_source d ON d.source = p.source
				GROUP BY p.group_id) l ON l.group_id = q.groupid
			ORDER BY q.groupid, k.shard_id) w' INTO wanted
		USING past, untracked, (SELECT coalesce(jsonb_agg(w.model), '[]') FROM leadscore.watched_model w WHERE w.active);
	PERFORM leadscore_internal.send('take_shards(d.document -> p.key::text)'::text, wanted);
	DELETE FROM leadscore_internal.tracked_placement;
	INSERT INTO leadscore_internal.tracked_placement (placement_id, source) SELECT p.placement_id, p.source FROM leadscore_internal.placements() p;
	PERFORM leadscore_internal.hand_over_states(NULL::text[]);
END
$$;

COMMENT ON FUNCTION leadscore_internal.send_shards(boolean, boolean) IS 'has each worker track the shards that lie there';

-- distribute

CREATE FUNCTION leadscore_internal.check_nodes() RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET client_min_messages = 'error'
AS $$
DECLARE
	version CONSTANT text := (SELECT e.extversion FROM pg_extension e WHERE e.extname = 'leadscore');
	node record;
BEGIN
	EXECUTE 'SELECT n.nodename, n.nodeport, r.success, r.result
		FROM pg_catalog.run_command_on_all_nodes(''SELECT coalesce((SELECT extversion FROM pg_catalog.pg_extension WHERE extname = ''''leadscore''''), ''''none'''')'', true, true) r
		JOIN pg_catalog.pg_dist_node n ON n.nodeid = r.nodeid WHERE (r.success AND r.result = $1) IS NOT TRUE ORDER BY n.nodeid LIMIT 1' INTO node USING version;
	IF node.nodename IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = CASE WHEN node.success THEN 'object_not_in_prerequisite_state' ELSE 'connection_failure' END,
			MESSAGE = CASE WHEN NOT node.success THEN format('node %s:%s does not answer', node.nodename, node.nodeport)
				WHEN node.result = 'none' THEN format('node %s:%s does not have the extension leadscore', node.nodename, node.nodeport)
				ELSE format('node %s:%s has another version of leadscore', node.nodename, node.nodeport) END,
			DETAIL = CASE WHEN NOT node.success THEN node.result WHEN node.result = 'none' THEN 'Each worker keeps the timelines of its leads.'
				ELSE format('It has %s, this one has %s.', node.result, version) END,
			HINT = CASE WHEN NOT node.success THEN 'Start it, or remove it from the cluster; nothing has been changed.'
				WHEN node.result = 'none' THEN 'CREATE EXTENSION leadscore there.' ELSE 'ALTER EXTENSION leadscore UPDATE on all nodes.' END;
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.check_nodes() IS 'refuses a cluster of which a node is down, or without this version of the extension';

CREATE FUNCTION leadscore_internal.check_distributed(source regclass, lead_id text) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	distributed_by text;
	is_coordinator boolean;
	has_shards boolean;
	is_replicated boolean;
	others text;
BEGIN
	IF NOT leadscore_internal.is_distributed(source) THEN
		RAISE EXCEPTION USING ERRCODE = 'wrong_object_type', MESSAGE = format('%s is not a distributed table', source),
			DETAIL = 'It lies on this server alone, or Citus has not distributed it by a column.',
			HINT = format('SELECT create_distributed_table(%L, %L), or leadscore.track() if it is to stay.', source::text, lead_id);
	END IF;
	EXECUTE 'SELECT pg_catalog.citus_is_coordinator(), pg_catalog.column_to_column_name(p.logicalrelid, p.partkey) FROM pg_catalog.pg_dist_partition p WHERE p.logicalrelid = $1'
		INTO is_coordinator, distributed_by USING source;
	IF NOT is_coordinator THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = 'this server is not the coordinator',
			DETAIL = 'The configuration and the names of leads are sent to the workers from there.', HINT = 'Call distribute() on the coordinator.';
	END IF;
	EXECUTE 'SELECT EXISTS (SELECT FROM pg_catalog.pg_dist_shard s JOIN pg_catalog.pg_dist_placement p ON p.shardid = s.shardid WHERE s.logicalrelid = $1 AND p.groupid = 0)'
		INTO has_shards USING source;
	IF has_shards THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = format('shards of %s lie on the coordinator', source),
			DETAIL = 'The coordinator has the configuration; the timelines of leads are kept by workers.',
			HINT = 'SELECT citus_drain_node(...) with the coordinator''s name and port moves them to the workers.';
	END IF;
	EXECUTE 'SELECT EXISTS (SELECT FROM pg_catalog.pg_dist_shard s JOIN pg_catalog.pg_dist_placement p ON p.shardid = s.shardid WHERE s.logicalrelid = $1
		GROUP BY s.shardid HAVING count(*) > 1)' INTO is_replicated USING source;
	IF is_replicated THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = format('shards of %s lie on several workers each', source),
			DETAIL = 'Each of these workers would count the same rows.',
			HINT = format('SELECT undistribute_table(%L), then distribute it with citus.shard_replication_factor = 1.', source::text);
	END IF;
	IF distributed_by IS DISTINCT FROM lead_id THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('%s is distributed by "%s", not by the lead', source, distributed_by),
			DETAIL = format('The lead is %s. All rows of a lead have to lie in one shard.', quote_literal(lead_id)),
			HINT = format('SELECT alter_distributed_table(%L, distribution_column => %L), if the lead is a column.', source::text, lead_id);
	END IF;
	EXECUTE 'SELECT string_agg(DISTINCT d.source::text, '', '') FROM leadscore_internal.distributed_source d
		JOIN pg_catalog.pg_dist_partition p ON p.logicalrelid = d.source
		WHERE p.colocationid <> (SELECT q.colocationid FROM pg_catalog.pg_dist_partition q WHERE q.logicalrelid = $1)' INTO others USING source;
	IF others IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = format('%s is not colocated with the other tables of leads', source),
			DETAIL = format('They are %s. Events of a lead would lie on several workers.', others),
			HINT = format('SELECT alter_distributed_table(%L, colocate_with => ...).', source::text);
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.check_distributed(regclass, text) IS 'refuses a table whose shards do not have whole leads';

CREATE FUNCTION leadscore_internal.make_part(source regclass) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET client_min_messages = 'warning'
AS $$
DECLARE
	key_type regtype;
	present boolean := false;
	shards bigint;
	shard bigint;
	key text;
BEGIN
	IF to_regclass('leadscore_internal.part') IS NOT NULL THEN
		EXECUTE 'SELECT count(DISTINCT p.colocationid) = 1 AND count(*) = 2 FROM pg_catalog.pg_dist_partition p WHERE p.logicalrelid IN (''leadscore_internal.part'', $1)' INTO present USING source;
	END IF;
	IF NOT present THEN
		EXECUTE 'SELECT a.atttypid::regtype FROM pg_catalog.pg_dist_partition p JOIN pg_attribute a ON a.attrelid = p.logicalrelid
			AND a.attname = pg_catalog.column_to_column_name(p.logicalrelid, p.partkey)::name WHERE p.logicalrelid = $1' INTO key_type USING source;
		DROP TABLE IF EXISTS leadscore_internal.part;
		EXECUTE format('CREATE TABLE leadscore_internal.part (key %s PRIMARY KEY, changes bigint NOT NULL DEFAULT 0)', key_type);
		EXECUTE 'COMMENT ON TABLE leadscore_internal.part IS ''a row in each shard of the tracked tables; made by distribute()''';
		EXECUTE 'GRANT SELECT ON leadscore_internal.part TO PUBLIC';
		EXECUTE 'SELECT pg_catalog.create_distributed_table(''leadscore_internal.part'', ''key'', colocate_with => $1)' USING source::text;
		DELETE FROM leadscore_internal.part_key;
	END IF;
	-- keys until each shard has one
	EXECUTE 'DELETE FROM leadscore_internal.part_key k WHERE k.shard_id <> pg_catalog.get_shard_id_for_distribution_column(''leadscore_internal.part'', k.key)';
	EXECUTE 'SELECT count(*) FROM pg_catalog.pg_dist_shard s WHERE s.logicalrelid = ''leadscore_internal.part''::regclass' INTO shards;
	FOR n IN 1 .. 1000000 LOOP
		EXIT WHEN (SELECT count(*) FROM leadscore_internal.part_key) = shards;
		key := CASE WHEN key_type = 'uuid'::regtype THEN md5(n::text)::uuid::text ELSE n::text END;
		EXECUTE 'SELECT pg_catalog.get_shard_id_for_distribution_column(''leadscore_internal.part'', $1)' INTO shard USING key;
		INSERT INTO leadscore_internal.part_key (shard_id, key) VALUES (shard, key) ON CONFLICT DO NOTHING;
		IF FOUND THEN
			EXECUTE format('INSERT INTO leadscore_internal.part (key) VALUES (%L) ON CONFLICT DO NOTHING', key);
		END IF;
	END LOOP;
END
$$;

COMMENT ON FUNCTION leadscore_internal.make_part(regclass) IS 'makes the table through which the workers are asked, with a row in each shard';

CREATE FUNCTION leadscore_internal.drop_part() RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	DELETE FROM leadscore_internal.part_key;
	DELETE FROM leadscore_internal.tracked_placement;
	DROP TABLE leadscore_internal.part;
END
$$;

COMMENT ON FUNCTION leadscore_internal.drop_part() IS 'undoes make_part(), where nothing is distributed any more';

CREATE FUNCTION leadscore_internal.distribute_all(past boolean) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM set_config('citus.multi_shard_modify_mode', 'sequential', true);
	PERFORM leadscore_internal.make_part((SELECT min(d.source::oid)::regclass FROM leadscore_internal.distributed_source d));
	PERFORM leadscore_internal.send('take_configuration(d.document)'::text, leadscore_internal.configuration());
	PERFORM leadscore_internal.send_names();
	PERFORM leadscore_internal.send_shards(past, false);
END
$$;

COMMENT ON FUNCTION leadscore_internal.distribute_all(boolean) IS 'makes the workers have what the coordinator says, or changes nothing';

CREATE FUNCTION leadscore_internal.begin_distribution(source regclass, feeds text, mapping jsonb, past boolean) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM leadscore_internal.check_distributed(source, mapping ->> 'lead_id');
	PERFORM leadscore_internal.check_nodes(), leadscore_internal.lock_by_name('distribute'::text);
	-- writers are kept out here, before they have a lock on any shard
	EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', source);
	INSERT INTO leadscore_internal.distributed_source (source, feeds, mapping) VALUES (source, feeds, mapping) ON CONFLICT DO NOTHING;
	PERFORM leadscore_internal.distribute_all(past);
END
$$;

COMMENT ON FUNCTION leadscore_internal.begin_distribution(regclass, text, jsonb, boolean) IS 'adds a mapping of a distributed table, and has the workers track its shards by it';

CREATE FUNCTION leadscore.distribute(source regclass, lead_id text, kind text DEFAULT NULL, kind_column text DEFAULT NULL,
	occurred_at text DEFAULT NULL, value text DEFAULT NULL, properties text[] DEFAULT NULL,
	maintenance text DEFAULT 'immediate', filter text DEFAULT NULL, past boolean DEFAULT true) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	mapping CONSTANT jsonb := leadscore_internal.checked_mapping('distribute'::text, source, lead_id, kind, kind_column, occurred_at, value, properties, maintenance, filter, past);
BEGIN
	PERFORM leadscore_internal.begin_distribution(source, 'timeline'::text, mapping, past);
END
$$;

COMMENT ON FUNCTION leadscore.distribute(regclass, text, text, text, text, text, text[], text, text, boolean)
	IS 'counts the rows of a distributed table of Citus as events: tracks each shard where it lies';

CREATE FUNCTION leadscore.distribute_profile(source regclass, lead_id text, properties text[], filter text DEFAULT NULL, latest_by text DEFAULT NULL) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM leadscore_internal.begin_distribution(source, 'profile'::text,
		leadscore_internal.checked_profile_mapping('distribute_profile'::text, source, lead_id, properties, filter, latest_by), true);
END
$$;

COMMENT ON FUNCTION leadscore.distribute_profile(regclass, text, text[], text, text)
	IS 'keeps profiles true to a distributed table of Citus: tracks each shard where it lies';

CREATE FUNCTION leadscore.distribute() RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	known record;
BEGIN
	DELETE FROM leadscore_internal.distributed_source d WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = d.source);
	IF NOT EXISTS (SELECT FROM leadscore_internal.distributed_source) THEN
		IF leadscore_internal.has_distributed() THEN
			PERFORM leadscore_internal.drop_part();
			RETURN;
		END IF;
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = 'no table is distributed',
			DETAIL = 'Without arguments, distribute() tracks the shards again of tables that it knows.', HINT = 'Name the table, and how its rows are read.';
	END IF;
	PERFORM leadscore_internal.check_nodes(), leadscore_internal.lock_by_name('distribute'::text);
	FOR known IN SELECT d.source, d.mapping ->> 'lead_id' AS lead_id FROM leadscore_internal.distributed_source d ORDER BY d.source LOOP
		PERFORM leadscore_internal.check_distributed(known.source, known.lead_id);
		EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', known.source);
	END LOOP;
	PERFORM leadscore_internal.distribute_all(true);
END
$$;

COMMENT ON FUNCTION leadscore.distribute() IS 'tracks the shards of distributed tables that are new or have moved, and sends the workers what they lack';

CREATE FUNCTION leadscore_internal.end_distribution(source regclass, prefix text) RETURNS boolean
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM leadscore_internal.distributed_source d WHERE d.source = end_distribution.source) THEN
		RETURN false;
	END IF;
	IF prefix IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'feature_not_supported', MESSAGE = 'mappings of a distributed table end together',
			DETAIL = format('%s has triggers on its shards only, with names of their own.', source), HINT = format('SELECT leadscore.untrack(%L), then distribute() it anew.', source::text);
	END IF;
	PERFORM leadscore_internal.lock_by_name('distribute'::text);
	DELETE FROM leadscore_internal.distributed_source d WHERE d.source = end_distribution.source;
	IF leadscore_internal.has_distributed() THEN
		PERFORM leadscore_internal.check_nodes();
		EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', source);
		PERFORM leadscore_internal.send_shards(true, true);
		PERFORM leadscore_internal.drop_part() WHERE NOT EXISTS (SELECT FROM leadscore_internal.distributed_source);
	END IF;
	RETURN true;
END
$$;

COMMENT ON FUNCTION leadscore_internal.end_distribution(regclass, text) IS 'untracks the shards of a table and says whether it was distributed';

-- the same on all workers

CREATE FUNCTION leadscore_internal.verify_workers() RETURNS TABLE (lead_id text, stored leadscore.timeline, expected leadscore.timeline)
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF leadscore_internal.has_distributed() THEN
		RETURN QUERY SELECT v.* FROM leadscore_internal.ask('verify_here(d.request)'::text, NULL::jsonb) AS v (lead_id text, stored leadscore.timeline, expected leadscore.timeline);
	END IF;
END
$$;

CREATE FUNCTION leadscore_internal.verify_here(request jsonb) RETURNS TABLE (lead_id text, stored leadscore.timeline, expected leadscore.timeline)
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT v.lead_id, v.stored, v.expected FROM leadscore.verify() v
$$;

COMMENT ON FUNCTION leadscore_internal.verify_workers() IS 'verify() on all workers; no rows where nothing is distributed';
COMMENT ON FUNCTION leadscore_internal.verify_here(jsonb) IS 'on a worker: verify()';

-- In transactions of their own, which may commit. (One of ours that has written on a worker could be what they wait
-- for.)
CREATE FUNCTION leadscore_internal.on_workers(command text) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET client_min_messages = 'error'
AS $$
DECLARE
	failed record;
BEGIN
	IF NOT leadscore_internal.has_distributed() THEN
		RETURN;
	END IF;
	PERFORM leadscore_internal.cluster_state();
	EXECUTE 'SELECT r.nodename, r.nodeport, r.result FROM pg_catalog.run_command_on_workers($1) r WHERE NOT r.success LIMIT 1' INTO failed USING command;
	IF failed.nodename IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = format('node %s:%s has failed', failed.nodename, failed.nodeport),
			DETAIL = failed.result, HINT = 'Call it again when that is mended; the other workers have done it.';
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.on_workers(text) IS 'runs a command on all workers at once, each by itself, where something is distributed; an error if one fails';

CREATE FUNCTION leadscore_internal.forget_here(request jsonb) RETURNS TABLE (shard text, removed bigint, remaining bigint)
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM set_config('citus.enable_manual_changes_to_shards', 'on', true);
	RETURN QUERY SELECT f.source::text, f.removed, f.remaining FROM leadscore.forget(request ->> 'lead_id', (request ->> 'tracked')::boolean) f;
END
$$;

CREATE FUNCTION leadscore_internal.forget_on_workers(lead_id text, tracked boolean) RETURNS TABLE (source regclass, removed bigint, remaining bigint)
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF leadscore_internal.has_distributed() THEN
		PERFORM leadscore_internal.begin_sending();
		RETURN QUERY
		SELECT s.source, sum(f.removed)::bigint, sum(f.remaining)::bigint
		FROM leadscore_internal.ask('forget_here(d.request)'::text, jsonb_build_object('lead_id', lead_id, 'tracked', tracked)) AS f (shard text, removed bigint, remaining bigint)
		JOIN (SELECT l.source, leadscore_internal.shard_of(l.source, l.shard_id) AS shard FROM leadscore_internal.placements() l) s ON s.shard = f.shard
		GROUP BY s.source ORDER BY s.source;
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.forget_here(jsonb) IS 'on a worker: forget()';
COMMENT ON FUNCTION leadscore_internal.forget_on_workers(text, boolean) IS 'forget() on all workers, in this transaction: what of the distributed tables was removed, and remains';
