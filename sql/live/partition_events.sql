-- partition_events.sql: leadscore.event split by time
--
-- New events go into leadscore.event. move_events() moves older ones into children of it
-- by inheritance, one for each month (or day, week, year), which are no members of the
-- extension: so pg_dump carries them, and a month of the past can be dropped as a whole.
--
-- A batch of rows is deleted and inserted by one statement, of which record() takes no
-- notice: in every snapshot the rows are the same, and so are their timelines.

CREATE TABLE leadscore_internal.event_partitioning (
	only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
	unit text NOT NULL,
	keep interval
);

COMMENT ON TABLE leadscore_internal.event_partitioning IS 'what partition_events() has set: one row, or none';
COMMENT ON COLUMN leadscore_internal.event_partitioning.only_row IS 'true';
COMMENT ON COLUMN leadscore_internal.event_partitioning.unit IS 'day, week, month or year: what each table holds';
COMMENT ON COLUMN leadscore_internal.event_partitioning.keep IS 'how long events are kept; NULL: for ever';

SELECT pg_catalog.pg_extension_config_dump('leadscore_internal.event_partitioning', '');

CREATE FUNCTION leadscore_internal.begin_move(tables regclass[]) RETURNS void
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;

COMMENT ON FUNCTION leadscore_internal.begin_move(regclass[]) IS 'has record() take no notice of statements on some tables, until end_move() or the end of the subtransaction';

CREATE FUNCTION leadscore_internal.end_move(tables regclass[]) RETURNS void
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;

COMMENT ON FUNCTION leadscore_internal.end_move(regclass[]) IS 'ends what begin_move() has begun';

CREATE FUNCTION leadscore_internal.wait_for_readers() RETURNS void
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE;

COMMENT ON FUNCTION leadscore_internal.wait_for_readers() IS 'waits for the transactions that read or write leadscore.event now: their plans may lack a new child';

CREATE FUNCTION leadscore_internal.event_tables() RETURNS TABLE (name regclass, since timestamptz)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT c.oid::regclass, make_timestamptz(p[1]::integer, coalesce(p[2], '1')::integer, coalesce(p[3], '1')::integer, 0, 0, 0, 'UTC')
	FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
	CROSS JOIN LATERAL regexp_match(c.relname, '^event_([0-9]{4})(?:_(0[1-9]|1[0-2]))?(?:_(0[1-9]|[12][0-9]|3[01]))?$') p
	WHERE i.inhparent = 'leadscore.event'::regclass AND c.relnamespace = 'leadscore'::regnamespace AND p IS NOT NULL
	ORDER BY 2, 1
$$;

COMMENT ON FUNCTION leadscore_internal.event_tables() IS 'the tables that events have been moved into, and the instant at which the time of each begins';

CREATE FUNCTION leadscore_internal.event_table_name(unit text, since timestamptz) RETURNS text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT 'event_' || to_char(since AT TIME ZONE 'UTC', CASE unit WHEN 'year' THEN 'YYYY' WHEN 'month' THEN 'YYYY_MM' ELSE 'YYYY_MM_DD' END)
$$;

COMMENT ON FUNCTION leadscore_internal.event_table_name(text, timestamptz) IS 'the name of the table for the events of a day, week, month or year';

CREATE FUNCTION leadscore_internal.event_bounds(at timestamptz, OUT unit text, OUT moved_before timestamptz, OUT kept_since timestamptz)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	-- (least() passes over NULL)
	SELECT p.unit, b.moved_before, CASE WHEN p.keep IS NOT NULL THEN least(date_trunc(p.unit, at AT TIME ZONE 'UTC' - p.keep) AT TIME ZONE 'UTC', b.moved_before) END
	FROM leadscore_internal.event_partitioning p
	CROSS JOIN LATERAL (SELECT (date_trunc(p.unit, at AT TIME ZONE 'UTC') - ('1 ' || p.unit)::interval) AT TIME ZONE 'UTC' AS moved_before) b
$$;

COMMENT ON FUNCTION leadscore_internal.event_bounds(timestamptz)
	IS 'events before moved_before leave leadscore.event, for the running period and the one before it stay; those before kept_since go (NULL: none)';

CREATE FUNCTION leadscore_internal.check_event_triggers() RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	name text;
BEGIN
	-- of deletes from leadscore.event, and of inserts into its children
	SELECT format('the trigger "%s" of %s', t.tgname, t.tgrelid::regclass) INTO name
	FROM (SELECT 'leadscore.event'::regclass AS source, 8 AS event UNION ALL SELECT e.name, 4 FROM leadscore_internal.event_tables() e) m
	JOIN pg_trigger t ON t.tgrelid = m.source AND t.tgtype & m.event <> 0 AND t.tgfoid <> 'leadscore.record()'::regprocedure
	ORDER BY 1 LIMIT 1;
	name := coalesce(name, (SELECT format('the rule "%s" of %s', r.rulename, r.ev_class::regclass) FROM pg_rewrite r
		WHERE r.ev_class = 'leadscore.event'::regclass OR r.ev_class IN (SELECT e.name FROM leadscore_internal.event_tables() e) ORDER BY 1 LIMIT 1));
	IF name IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = 'events cannot be moved: leadscore.event has triggers, rules or foreign keys of others',
			DETAIL = format('A row that is moved is deleted and inserted, which %s would take for a change.', name),
			HINT = 'Drop it, or SELECT leadscore.partition_events(NULL).';
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.check_event_triggers() IS 'refuses to move events where triggers of others would see that';

CREATE FUNCTION leadscore.partition_events(every interval DEFAULT '1 month', keep interval DEFAULT NULL) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET IntervalStyle = 'postgres'
AS $$
DECLARE
	unit CONSTANT text := CASE every::text WHEN '1 day' THEN 'day' WHEN '7 days' THEN 'week' WHEN '1 mon' THEN 'month' WHEN '1 year' THEN 'year' END;
BEGIN
	IF every IS NULL THEN
		DELETE FROM leadscore_internal.event_partitioning;
		RETURN;
	END IF;
	IF unit IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'events cannot be split by that interval',
			DETAIL = format('It is %s.', every), HINT = 'Write 1 day, 1 week, 1 month or 1 year. NULL ends it: the tables that there are stay.';
	END IF;
	IF keep < every THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'keep is shorter than every',
			DETAIL = format('keep is %s, and every is %s.', keep, every), HINT = 'Keep more, such as 13 months; NULL keeps all.';
	END IF;
	PERFORM leadscore_internal.check_not_published('leadscore.event'::regclass, 'deletes of events that are moved'::text);
	PERFORM leadscore_internal.check_event_triggers();
	INSERT INTO leadscore_internal.event_partitioning AS p (unit, keep) VALUES (unit, keep)
	ON CONFLICT ON CONSTRAINT event_partitioning_pkey DO UPDATE SET unit = excluded.unit, keep = excluded.keep;
END
$$;

COMMENT ON FUNCTION leadscore.partition_events(interval, interval)
	IS 'has move_events() move older events into tables of a month each, and drop those that are older than is to be kept';

-- A child has the indexes of its parent, but none that is unique: what an event of the same key in another table would
-- be is not asked there, either. That of the time is small, and tells at once whether later events are in the table.

CREATE FUNCTION leadscore_internal.create_event_table(name text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	command text;
BEGIN
	PERFORM leadscore_internal.create_like('leadscore.event'::regclass, name, ''::text, true);
	FOR command IN
		SELECT CASE WHEN k.conname IS NULL THEN format('DROP INDEX %s', i.indexrelid::regclass) ELSE format('ALTER TABLE %s DROP CONSTRAINT %I', i.indrelid::regclass, k.conname) END
		FROM pg_index i LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.conrelid = i.indrelid
		WHERE i.indrelid = format('leadscore.%I', name)::regclass AND i.indisunique AND NOT i.indisprimary
	LOOP
		EXECUTE command;
	END LOOP;
	EXECUTE format('CREATE INDEX ON leadscore.%I USING brin (occurred_at)', name);
END
$$;

COMMENT ON FUNCTION leadscore_internal.create_event_table(text) IS 'makes a table that events are moved into';

CREATE FUNCTION leadscore_internal.prepare_move(at timestamptz, OUT moves boolean, OUT drops boolean)
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET client_min_messages = 'warning' SET row_security = off SET jit = off
	SET default_tablespace = '' SET quote_all_identifiers = off
AS $$
DECLARE
	bounds record;
	present timestamptz;
BEGIN
	IF at IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'at is NULL',
			DETAIL = 'Events that are old at that instant are moved.', HINT = 'Leave it out: it is now.';
	END IF;
	IF at > clock_timestamp() THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'move_events() must not reach into the future',
			DETAIL = format('The instant is %s.', at), HINT = 'Leave it out: it is now.';
	END IF;
	moves := false;
	drops := false;
	SELECT b.* INTO bounds FROM leadscore_internal.event_bounds(at) b;
	IF NOT FOUND THEN
		RETURN;
	END IF;
	PERFORM leadscore_internal.check_not_published('leadscore.event'::regclass, 'deletes of events that are moved'::text);
	PERFORM leadscore_internal.check_event_triggers();
	-- one session at a time makes the tables; forget() does not wait for it, as it may wait for a CREATE INDEX
	-- CONCURRENTLY
	PERFORM leadscore_internal.lock_by_name('events'::text);
	drops := EXISTS (SELECT FROM leadscore_internal.event_tables() t WHERE t.since < bounds.kept_since);
	FOR present IN
		SELECT DISTINCT date_trunc(bounds.unit, e.occurred_at, 'UTC') FROM ONLY leadscore.event e WHERE e.occurred_at < bounds.moved_before ORDER BY 1
	LOOP
		IF present < bounds.kept_since THEN
			drops := true;
			CONTINUE;
		END IF;
		moves := true;
		PERFORM leadscore_internal.create_event_table(n) FROM leadscore_internal.event_table_name(bounds.unit, present) n
		WHERE NOT EXISTS (SELECT FROM leadscore_internal.event_tables() t WHERE t.name = to_regclass('leadscore.' || n));
	END LOOP;
END
$$;

COMMENT ON FUNCTION leadscore_internal.prepare_move(timestamptz) IS 'makes the tables that are missing for events of an instant''s past, and says whether there are any to move, or to drop';

-- Rows that others have locked are left to the next time. So a batch waits for nobody once it holds a row.

CREATE FUNCTION leadscore_internal.move_rows(first_block bigint, end_block bigint, at timestamptz) RETURNS bigint
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET row_security = off SET jit = off SET quote_all_identifiers = off
AS $$
DECLARE
	bounds record;
	columns CONSTANT text := (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute a
		WHERE a.attrelid = 'leadscore.event'::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '');
	tables regclass[];
	periods timestamptz[];
	statement text;
	moved bigint;
BEGIN
	-- forget() takes it before it deletes: so no event leaves the table that it has looked at
	PERFORM leadscore_internal.lock_derivations();
	LOCK TABLE ONLY leadscore.event IN ROW EXCLUSIVE MODE;
	SELECT b.* INTO bounds FROM leadscore_internal.event_bounds(at) b;
	PERFORM leadscore_internal.check_event_triggers();
	SELECT array_agg(t.name), array_agg(t.since) INTO tables, periods
	FROM leadscore_internal.event_tables() t
	WHERE t.name = to_regclass('leadscore.' || leadscore_internal.event_table_name(bounds.unit, t.since))
	AND t.since < bounds.moved_before AND t.since >= coalesce(bounds.kept_since, '-infinity');
	IF tables IS NULL THEN
		RETURN 0;
	END IF;
	SELECT 'WITH free AS MATERIALIZED ('
			' SELECT e.ctid AS place FROM ONLY leadscore.event e WHERE e.ctid >= $1 AND e.ctid < $2 AND date_trunc($3, e.occurred_at, ''UTC'') = ANY ($4) FOR UPDATE SKIP LOCKED'
			'), moved AS MATERIALIZED ('
			' DELETE FROM ONLY leadscore.event e USING free f WHERE e.ctid = f.place RETURNING e.*'
			|| string_agg(format('), into_%s AS (INSERT INTO %s (%s) SELECT %3$s FROM moved WHERE date_trunc($3, occurred_at, ''UTC'') = %4$L', n, t.name, columns, t.since), '')
			|| ') SELECT count(*) FROM moved' INTO statement
	FROM unnest(tables, periods) WITH ORDINALITY t (name, since, n);
	PERFORM leadscore_internal.begin_move('leadscore.event'::regclass || tables);
	EXECUTE statement INTO moved USING format('(%s,0)', first_block)::tid, format('(%s,0)', end_block)::tid, bounds.unit, periods;
	PERFORM leadscore_internal.end_move('leadscore.event'::regclass || tables);
	RETURN moved;
END
$$;

COMMENT ON FUNCTION leadscore_internal.move_rows(bigint, bigint, timestamptz) IS 'moves events of some blocks of leadscore.event into their tables, and says how many';

CREATE FUNCTION leadscore_internal.delete_archived_rows(first_block bigint, end_block bigint, before timestamptz) RETURNS bigint
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET row_security = off SET jit = off
AS $$
DECLARE
	removed bigint;
BEGIN
	WITH free AS MATERIALIZED (
		SELECT e.ctid AS place FROM ONLY leadscore.event e
		WHERE e.ctid >= format('(%s,0)', first_block)::tid AND e.ctid < format('(%s,0)', end_block)::tid
		AND e.occurred_at < (SELECT least(before, a.archived_before) FROM leadscore.archive a)
		FOR UPDATE SKIP LOCKED
	)
	DELETE FROM ONLY leadscore.event e USING free f WHERE e.ctid = f.place;
	GET DIAGNOSTICS removed = ROW_COUNT;
	RETURN removed;
END
$$;

COMMENT ON FUNCTION leadscore_internal.delete_archived_rows(bigint, bigint, timestamptz) IS 'deletes archived events of some blocks of leadscore.event, and says how many';

-- Nobody waits for the lock: it is taken once it is free, within a second, which is more than autovacuum needs as a
-- rule, and for as long as it takes to drop the table. The triggers go first, for the rows count for nothing, and need
-- not be subtracted.

CREATE FUNCTION leadscore_internal.drop_event_table(name regclass, before timestamptz) RETURNS boolean
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET row_security = off SET jit = off
	SET enable_seqscan = off SET enable_indexscan = off SET enable_indexonlyscan = off SET quote_all_identifiers = off SET client_min_messages = 'warning'
AS $$
DECLARE
	later CONSTANT text := format('SELECT EXISTS (SELECT FROM ONLY %s e WHERE e.occurred_at >= $1)', name);
	is_used boolean;
BEGIN
	IF NOT EXISTS (SELECT FROM leadscore_internal.event_tables() t WHERE t.name = drop_event_table.name) THEN
		RETURN false;
	END IF;
	-- what nobody has put into the index would be read under the lock
	PERFORM brin_summarize_new_values(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam AND m.amname = 'brin'
	WHERE i.indrelid = name;
	EXECUTE later INTO is_used USING before;
	IF is_used OR before > (SELECT a.archived_before FROM leadscore.archive a) IS NOT FALSE THEN
		RETURN false;
	END IF;
	FOR attempt IN 1 .. 100 LOOP
		BEGIN
			EXECUTE format('LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE NOWAIT', name);
			EXIT;
		EXCEPTION WHEN lock_not_available THEN
			IF attempt = 100 THEN
				RETURN false;
			END IF;
			PERFORM pg_sleep(0.01);
		END;
	END LOOP;
	EXECUTE later INTO is_used USING before;
	IF is_used THEN
		RETURN false;
	END IF;
	PERFORM leadscore_internal.drop_triggers(t.source, t.trigger_prefix) FROM leadscore_internal.source_trigger t WHERE t.source = name;
	EXECUTE format('DROP TABLE %s', name);
	RETURN true;
END
$$;

COMMENT ON FUNCTION leadscore_internal.drop_event_table(regclass, timestamptz)
	IS 'drops a table of archived events, unless it has later ones or somebody uses it, and says whether it did';

CREATE FUNCTION leadscore_internal.event_blocks() RETURNS bigint
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_relation_size('leadscore.event'::regclass) / current_setting('block_size')::bigint
$$;

COMMENT ON FUNCTION leadscore_internal.event_blocks() IS 'how many blocks leadscore.event has';

CREATE FUNCTION leadscore_internal.archive_for(kept_since timestamptz) RETURNS timestamptz
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	-- the first day that begins then or later
	SELECT CASE WHEN d.day < kept_since THEN leadscore_internal.compacted_day(kept_since + interval '1 day') ELSE d.day END
	FROM (SELECT leadscore_internal.compacted_day(kept_since) AS day) d
	WHERE NOT EXISTS (SELECT FROM leadscore.archive a WHERE a.archived_before >= kept_since)
$$;

COMMENT ON FUNCTION leadscore_internal.archive_for(timestamptz) IS 'the instant to archive to before events that are older may go; NULL: they may';

CREATE PROCEDURE leadscore.move_events(at timestamptz DEFAULT pg_catalog.now())
	LANGUAGE plpgsql
AS $$
DECLARE
	-- of leadscore.event; a batch is a transaction
	batch CONSTANT pg_catalog.int8 := 256;
	kept_since pg_catalog.timestamptz;
	instant pg_catalog.timestamptz;
	n_blocks pg_catalog.int8;
	present pg_catalog.regclass;
	plan pg_catalog.record;
BEGIN
	PERFORM leadscore_internal.check_read_committed('move_events()'::pg_catalog.text, 'passed over'::pg_catalog.text);
	IF leadscore_internal.in_transaction_block() THEN
		PERFORM leadscore_internal.refuse_block('move_events()'::pg_catalog.text);
	END IF;
	plan := leadscore_internal.prepare_move(at);
	COMMIT;
	n_blocks := leadscore_internal.event_blocks();
	IF plan.moves THEN
		-- from here on everybody knows the tables
		PERFORM leadscore_internal.wait_for_readers();
		COMMIT;
		FOR n IN 0 .. n_blocks BY batch LOOP
			PERFORM leadscore_internal.move_rows(n::pg_catalog.int8, n OPERATOR(pg_catalog.+) batch, at);
			COMMIT;
		END LOOP;
	END IF;
	IF plan.drops THEN
		kept_since := (SELECT b.kept_since FROM leadscore_internal.event_bounds(at) b);
		instant := leadscore_internal.archive_for(kept_since);
		IF instant IS NOT NULL THEN
			CALL leadscore.archive(instant);
		END IF;
		FOR n IN 0 .. n_blocks BY batch LOOP
			PERFORM leadscore_internal.delete_archived_rows(n::pg_catalog.int8, n OPERATOR(pg_catalog.+) batch, kept_since);
			COMMIT;
		END LOOP;
		FOREACH present IN ARRAY ARRAY(SELECT t.name FROM leadscore_internal.event_tables() t WHERE t.since OPERATOR(pg_catalog.<) kept_since) LOOP
			PERFORM leadscore_internal.drop_event_table(present, kept_since);
			COMMIT;
		END LOOP;
	END IF;
END
$$;

COMMENT ON PROCEDURE leadscore.move_events(timestamptz)
	IS 'moves older events into tables of their month, and archives and drops what is not to be kept, as partition_events() says';
