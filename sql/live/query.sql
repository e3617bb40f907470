-- query.sql: tables that are kept equal to a query
--
-- What depends on several rows, such as an order's total in the rate of its day,
-- is no event of one row. So its query fills a table, which is then tracked like
-- any other. A refresh writes the differences alone, in one statement: triggers
-- see what has changed, once.

CREATE TABLE leadscore_internal.query_table (
	target oid PRIMARY KEY,
	schema_name name NOT NULL,
	table_name name NOT NULL,
	query text NOT NULL,
	key text[] NOT NULL,
	refreshed_at timestamptz,
	failed_at timestamptz
);

COMMENT ON TABLE leadscore_internal.query_table IS 'the tables of track_query() and their queries';
COMMENT ON COLUMN leadscore_internal.query_table.target IS 'the table, by its OID';
COMMENT ON COLUMN leadscore_internal.query_table.schema_name IS 'its schema, when it was made: a dump goes by names';
COMMENT ON COLUMN leadscore_internal.query_table.table_name IS 'its name, when it was made';
COMMENT ON COLUMN leadscore_internal.query_table.query IS 'the query, with every name qualified';
COMMENT ON COLUMN leadscore_internal.query_table.key IS 'the columns that tell its rows apart';
COMMENT ON COLUMN leadscore_internal.query_table.refreshed_at IS 'the instant that the rows of the table are as of';
COMMENT ON COLUMN leadscore_internal.query_table.failed_at IS 'the first of the refreshes that have failed since; NULL: none has';

CREATE VIEW leadscore.tracked_query AS
SELECT q.target::regclass AS target, q.query, q.key, q.refreshed_at, q.failed_at
FROM leadscore_internal.query_table q JOIN pg_class c ON c.oid = q.target;

COMMENT ON VIEW leadscore.tracked_query IS 'the tables of track_query(), and when they were refreshed';
COMMENT ON COLUMN leadscore.tracked_query.target IS 'the table';
COMMENT ON COLUMN leadscore.tracked_query.query IS 'the query, with every name qualified';
COMMENT ON COLUMN leadscore.tracked_query.key IS 'the columns that tell its rows apart';
COMMENT ON COLUMN leadscore.tracked_query.refreshed_at IS 'the instant that the rows of the table are as of';
COMMENT ON COLUMN leadscore.tracked_query.failed_at IS 'the first of the scheduled refreshes that have failed since; NULL: none has';

-- In a dump, a table has its name.

CREATE FUNCTION leadscore_internal.query_restored() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM leadscore_internal.check_trigger(TG_RELID, 'leadscore_internal.query_table'::regclass);
	IF leadscore_internal.in_restore() THEN
		NEW.target := to_regclass(format('%I.%I', NEW.schema_name, NEW.table_name));
		IF NEW.target IS NULL THEN
			RETURN NULL;
		END IF;
	END IF;
	RETURN NEW;
END
$$;

COMMENT ON FUNCTION leadscore_internal.query_restored() IS 'trigger: looks up again what a dump knows by its name';

CREATE TRIGGER query_restored BEFORE INSERT ON leadscore_internal.query_table
	FOR EACH ROW EXECUTE FUNCTION leadscore_internal.query_restored();

CREATE FUNCTION leadscore_internal.forget_queries() RETURNS event_trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	DELETE FROM leadscore_internal.query_table q
	WHERE q.target IN (SELECT d.objid FROM pg_event_trigger_dropped_objects() d WHERE d.classid = 'pg_class'::regclass AND d.objsubid = 0);
END
$$;

COMMENT ON FUNCTION leadscore_internal.forget_queries() IS 'event trigger: a table that is dropped has no query any more';

CREATE EVENT TRIGGER leadscore_forget_queries ON sql_drop
	WHEN TAG IN ('DROP TABLE', 'DROP SCHEMA', 'DROP OWNED')
	EXECUTE FUNCTION leadscore_internal.forget_queries();

COMMENT ON EVENT TRIGGER leadscore_forget_queries IS 'forgets the queries of tables that are dropped';

-- refreshing

CREATE FUNCTION leadscore_internal.query_of(target oid) RETURNS text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	known leadscore_internal.query_table;
BEGIN
	SELECT q.* INTO known FROM leadscore_internal.query_table q WHERE q.target = query_of.target;
	IF NOT FOUND THEN
		RETURN NULL;
	END IF;
	-- an OID alone is no proof: rows may have been loaded with triggers disabled
	IF known.target <> coalesce(to_regclass(format('%I.%I', known.schema_name, known.table_name))::oid, 0) THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_table', MESSAGE = format('%s has another name than track_query() gave it', known.target::regclass),
			DETAIL = format('It was called %I.%I.', known.schema_name, known.table_name), HINT = 'Rename it back, or DROP TABLE it and track_query() again.';
	END IF;
	RETURN known.query;
END
$$;

CREATE FUNCTION leadscore_internal.query_refreshed(target oid, at timestamptz) RETURNS void
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	UPDATE leadscore_internal.query_table q SET refreshed_at = at, failed_at = NULL WHERE q.target = query_refreshed.target
$$;

CREATE FUNCTION leadscore_internal.query_failed(target oid, state text, reason text, details text) RETURNS void
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	UPDATE leadscore_internal.query_table q SET failed_at = coalesce(q.failed_at, clock_timestamp()) WHERE q.target = query_failed.target;
	RAISE WARNING USING ERRCODE = state, MESSAGE = format('%s is not refreshed: its query has failed', target::regclass),
		DETAIL = concat_ws(' ', reason || '.', nullif(details, '')), HINT = 'The others are. leadscore.status shows it until a refresh succeeds.';
END
$$;

COMMENT ON FUNCTION leadscore_internal.query_of(oid) IS 'the query of a table; NULL: it has none';
COMMENT ON FUNCTION leadscore_internal.query_refreshed(oid, timestamptz) IS 'notes that a table is as its query says';
COMMENT ON FUNCTION leadscore_internal.query_failed(oid, text, text, text) IS 'notes, and tells, that the query of a table has failed';

CREATE FUNCTION leadscore_internal.key_columns(target oid) RETURNS TABLE (name text, equals text)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	names CONSTANT text[] := (SELECT q.key FROM leadscore_internal.query_table q WHERE q.target = key_columns.target);
BEGIN
	-- two rows are the same where the unique index says so
	RETURN QUERY
	SELECT a.attname::text, format('OPERATOR(%I.%s)', n.nspname, o.oprname)
	FROM (
		SELECT i.* FROM pg_index i
		WHERE i.indrelid = key_columns.target AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL AND i.indnkeyatts = cardinality(names)
		AND NOT EXISTS (SELECT FROM unnest(names) k WHERE NOT EXISTS (SELECT FROM pg_attribute a
			WHERE a.attrelid = i.indrelid AND a.attname = k AND a.attnum = ANY ((i.indkey::smallint[])[0:i.indnkeyatts - 1])))
		ORDER BY i.indisprimary DESC, i.indexrelid LIMIT 1
	) i
	CROSS JOIN generate_series(0, i.indnkeyatts - 1) k
	JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k]
	JOIN pg_opclass c ON c.oid = i.indclass[k]
	JOIN pg_amop m ON m.amopfamily = c.opcfamily AND m.amoplefttype = c.opcintype AND m.amoprighttype = c.opcintype AND m.amopstrategy = 3
	JOIN pg_operator o ON o.oid = m.amopopr
	JOIN pg_namespace n ON n.oid = o.oprnamespace
	ORDER BY k;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = format('%s has no unique index on its key', target::regclass),
			DETAIL = format('The key is %s.', array_to_string(names, ', ')),
			HINT = format('ALTER TABLE %s ADD PRIMARY KEY (%s).', target::regclass, (SELECT string_agg(quote_ident(k), ', ') FROM unnest(names) k));
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.key_columns(oid) IS 'the key of a table of track_query(), and what its columns are compared with';

CREATE FUNCTION leadscore_internal.difference_statement(target regclass, query text, columns text[]) RETURNS text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
AS $$
	-- No column of a table is called ctid. Values are compared by their bytes: what is the same to = may be another lead.
	SELECT format(
		'WITH n AS MATERIALIZED (SELECT * FROM (%2$s) q),'
		' fault AS MATERIALIZED (SELECT jsonb_build_object(%6$s)::text AS key, %7$s AS is_null FROM n GROUP BY %8$s HAVING count(*) > 1 OR %7$s LIMIT 1),'
		' d AS MATERIALIZED (SELECT n.*, t.ctid FROM n FULL JOIN ONLY %1$s t ON %9$s'
			' WHERE NOT EXISTS (SELECT FROM fault) AND (%10$s IS NULL OR t.ctid IS NULL OR record_image_ne(ROW(%4$s), ROW(%5$s)))),'
		' removed AS (DELETE FROM ONLY %1$s t USING d WHERE t.ctid = d.ctid AND %11$s IS NULL),'
		' changed AS (UPDATE ONLY %1$s t SET (%3$s) = ROW(%12$s) FROM d WHERE t.ctid = d.ctid AND %11$s IS NOT NULL),'
		' added AS (INSERT INTO %1$s (%3$s) SELECT %12$s FROM d WHERE d.ctid IS NULL)'
		' SELECT fault.key, fault.is_null FROM fault',
		target, query, c.plain, c.new, c.old, k.example, k.is_null, k.new, k.same, k.first, k.first_difference, c.difference)
	FROM (SELECT string_agg(quote_ident(name), ', ' ORDER BY i) AS plain, string_agg('n.' || quote_ident(name), ', ' ORDER BY i) AS new,
			string_agg('t.' || quote_ident(name), ', ' ORDER BY i) AS old, string_agg('d.' || quote_ident(name), ', ' ORDER BY i) AS difference
		FROM unnest(columns) WITH ORDINALITY AS u (name, i)) c,
	(SELECT string_agg(format('%1$L, n.%1$I', name), ', ' ORDER BY i) AS example, string_agg(format('n.%I IS NULL', name), ' OR ' ORDER BY i) AS is_null,
			string_agg('n.' || quote_ident(name), ', ' ORDER BY i) AS new, string_agg(format('t.%1$I %2$s n.%1$I', name, equals), ' AND ' ORDER BY i) AS same,
			(array_agg('n.' || quote_ident(name) ORDER BY i))[1] AS first, (array_agg('d.' || quote_ident(name) ORDER BY i))[1] AS first_difference
		FROM leadscore_internal.key_columns(target::oid) WITH ORDINALITY AS u (name, equals, i)) k
$$;

COMMENT ON FUNCTION leadscore_internal.difference_statement(regclass, text, text[])
	IS 'the statement that makes a table equal to a query; it does nothing, and gives a key, if rows have none or the same';

CREATE FUNCTION leadscore_internal.refresh_query(target oid, wait boolean) RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;

COMMENT ON FUNCTION leadscore_internal.refresh_query(oid, boolean)
	IS 'makes a table equal to its query, as the table''s owner; false: it has none, or somebody else is writing it, and we are not to wait';

CREATE FUNCTION leadscore_internal.query_named(target text, meant regclass) RETURNS oid
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF leadscore_internal.query_of(meant::oid) IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('%s is no table of track_query()', coalesce(meant::text, target)),
			DETAIL = 'It has no query that it could be refreshed by.',
			HINT = leadscore_internal.known('tables'::text, ARRAY(SELECT q.target::text FROM leadscore.tracked_query q ORDER BY 1));
	END IF;
	RETURN meant::oid;
END
$$;

COMMENT ON FUNCTION leadscore_internal.query_named(text, regclass) IS 'the table of a query, by its name and what that means to the caller';

-- A procedure that commits must not SET anything: every name is qualified.

CREATE PROCEDURE leadscore.refresh_queries(target text DEFAULT NULL)
	LANGUAGE plpgsql
AS $$
DECLARE
	may_commit CONSTANT boolean := NOT leadscore_internal.in_transaction_block();
	present pg_catalog.oid;
	reason pg_catalog.text;
	details pg_catalog.text;
BEGIN
	PERFORM leadscore_internal.check_read_committed('refresh_queries()'::pg_catalog.text, 'missed'::pg_catalog.text);
	IF target IS NOT NULL THEN
		IF NOT leadscore_internal.refresh_query(leadscore_internal.query_named(target, pg_catalog.to_regclass(target)), true) THEN
			-- it was dropped while we waited
			PERFORM leadscore_internal.query_named(target, pg_catalog.to_regclass(target));
		END IF;
		RETURN;
	END IF;
	FOREACH present IN ARRAY ARRAY(SELECT q.target::pg_catalog.oid FROM leadscore.tracked_query q ORDER BY 1) LOOP
		BEGIN
			IF NOT leadscore_internal.refresh_query(present, false) THEN
				RAISE NOTICE USING MESSAGE = pg_catalog.format('%s is not refreshed: another session has locked it', present::pg_catalog.regclass);
			END IF;
		EXCEPTION WHEN OTHERS THEN
			GET STACKED DIAGNOSTICS reason = MESSAGE_TEXT, details = PG_EXCEPTION_DETAIL;
			PERFORM leadscore_internal.query_failed(present, SQLSTATE::pg_catalog.text, reason, details);
		END;
		IF may_commit THEN
			COMMIT;
		END IF;
	END LOOP;
END
$$;

COMMENT ON PROCEDURE leadscore.refresh_queries(text) IS 'makes the tables of track_query() equal to their queries: one, or all';

-- tracking

CREATE FUNCTION leadscore_internal.qualified_query(query text) RETURNS text
	AS 'MODULE_PATHNAME' LANGUAGE C STABLE STRICT;

CREATE FUNCTION leadscore_internal.note_query(target oid, query text, key text[]) RETURNS void
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;

CREATE FUNCTION leadscore_internal.insert_query(target oid, query text, key text[]) RETURNS void
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	INSERT INTO leadscore_internal.query_table (target, schema_name, table_name, query, key)
	SELECT c.oid, n.nspname, c.relname, insert_query.query, insert_query.key
	FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = insert_query.target
$$;

COMMENT ON FUNCTION leadscore_internal.qualified_query(text) IS 'a query with every name qualified, as the caller''s search_path says; refuses what is no query';
COMMENT ON FUNCTION leadscore_internal.note_query(oid, text, text[]) IS 'gives a table of the caller''s its query';
COMMENT ON FUNCTION leadscore_internal.insert_query(oid, text, text[]) IS 'note_query(), as the owner';

CREATE FUNCTION leadscore_internal.check_query_key(target regclass, key text[]) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	present CONSTANT text[] := ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = target AND a.attnum > 0 ORDER BY a.attnum);
	missing CONSTANT text := (SELECT k FROM unnest(key) k WHERE k <> ALL (present) OR k IS NULL LIMIT 1);
BEGIN
	IF key = '{}' OR array_position(key, NULL) IS NOT NULL OR cardinality(key) > (SELECT count(DISTINCT k) FROM unnest(key) k) THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'the key must name columns of the query, each once',
			DETAIL = format('It is %s.', key), HINT = 'Name the columns that tell the rows apart, such as ''{order_id}''.';
	ELSIF missing IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_column', MESSAGE = format('the query has no column "%s"', missing),
			DETAIL = 'The key names it.', HINT = leadscore_internal.known('columns of the query'::text, present);
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.check_query_key(regclass, text[]) IS 'refuses a key that cannot tell rows apart';

CREATE FUNCTION leadscore_internal.make_query_table(target text, in_schema name, query text, key text[]) RETURNS regclass
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	parts CONSTANT text[] := parse_ident(target);
	name text;
	columns text;
BEGIN
	IF target IS NULL OR query IS NULL OR key IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
			MESSAGE = format('the %s is NULL', CASE WHEN target IS NULL THEN 'target' WHEN query IS NULL THEN 'query' ELSE 'key' END),
			DETAIL = 'A table is made that is kept equal to a query, whose key tells its rows apart.',
			HINT = 'For instance: SELECT leadscore.track_query(''shop.order_total'', ''SELECT order_id, sum(price) AS total FROM shop.line GROUP BY 1'', ''{order_id}'').';
	ELSIF cardinality(parts) > 2 OR cardinality(parts) = 1 AND in_schema IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_schema_name', MESSAGE = format('"%s" names no schema and table', target),
			DETAIL = 'track_query() makes a table of that name.', HINT = 'Write schema.table, or a table alone, which is made in the first schema of the search_path.';
	END IF;
	name := format('%I.%I', CASE cardinality(parts) WHEN 1 THEN in_schema::text ELSE parts[1] END, parts[cardinality(parts)]);
	IF to_regclass(name) IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'duplicate_table', MESSAGE = format('%s exists already', name),
			DETAIL = 'track_query() makes the table that it keeps equal to the query.', HINT = 'Choose another name, or DROP TABLE it first.';
	END IF;
	EXECUTE format('CREATE TABLE %s AS %s WITH NO DATA', name, query);
	IF EXISTS (SELECT FROM pg_class c WHERE c.oid = name::regclass AND c.relpersistence = 't') THEN
		RAISE EXCEPTION USING ERRCODE = 'wrong_object_type', MESSAGE = format('%s would be a temporary table', target),
			DETAIL = 'Other sessions could not refresh it.', HINT = 'Name a schema of the database.';
	END IF;
	PERFORM leadscore_internal.check_query_key(name::regclass, key);
	columns := (SELECT string_agg(quote_ident(k), ', ' ORDER BY i) FROM unnest(key) WITH ORDINALITY AS u (k, i));
	BEGIN
		EXECUTE format('ALTER TABLE %s ADD PRIMARY KEY (%s)', name, columns);
	EXCEPTION WHEN undefined_object OR program_limit_exceeded OR too_many_columns THEN
		RAISE EXCEPTION USING ERRCODE = SQLSTATE, MESSAGE = format('the columns %s cannot be a key', columns), DETAIL = SQLERRM || '.',
			HINT = 'A key has columns that a unique index can be made on: cast json to jsonb or text.';
	END;
	PERFORM leadscore_internal.note_query(name::regclass::oid, query, key);
	PERFORM leadscore_internal.refresh_query(name::regclass::oid, true);
	RETURN name::regclass;
END
$$;

COMMENT ON FUNCTION leadscore_internal.make_query_table(text, name, text, text[]) IS 'track_query(), with the caller''s search_path looked at';

CREATE FUNCTION leadscore.track_query(target text, query text, key text[]) RETURNS regclass
	LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT leadscore_internal.make_query_table(target, current_schema(), leadscore_internal.qualified_query(query), key);
END;

COMMENT ON FUNCTION leadscore.track_query(text, text, text[])
	IS 'makes a table that refresh_queries() keeps equal to a query, to be tracked like any other';

SELECT pg_catalog.pg_extension_config_dump('leadscore_internal.query_table', '');
