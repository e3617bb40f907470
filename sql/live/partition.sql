-- partition.sql: lead_timeline split into tables
--
-- The tables are children of lead_timeline by inheritance, and no members of
-- the extension: so pg_dump carries them, and views and plans that depend on
-- lead_timeline know nothing of them. src/live/partition.c tells the rest.
--
-- The base of archived hours (archive.sql) is split with it, by PARTITION BY.

CREATE FUNCTION leadscore.timeline_partition(lead_id text, partitions integer) RETURNS integer
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION leadscore.timeline_partition(text, integer)
	IS 'the number of the table that a lead is in where lead_timeline is split into so many';

CREATE FUNCTION leadscore_internal.table_of_lead(lead_id text) RETURNS regclass
	AS 'MODULE_PATHNAME' LANGUAGE C STABLE STRICT;

COMMENT ON FUNCTION leadscore_internal.table_of_lead(text) IS 'the table that a lead''s timeline is written to';

CREATE FUNCTION leadscore_internal.guard_timelines() RETURNS trigger
	AS 'MODULE_PATHNAME' LANGUAGE C;

COMMENT ON FUNCTION leadscore_internal.guard_timelines() IS 'trigger: refuses rows in lead_timeline itself while it is split';

CREATE TRIGGER guard_timelines BEFORE INSERT ON leadscore.lead_timeline
	FOR EACH ROW EXECUTE FUNCTION leadscore_internal.guard_timelines();

-- its row is written with each move: a snapshot that does not see it does not see the rows that were moved, either
CREATE TABLE leadscore_internal.timeline_move (
	only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
	moved_at timestamptz NOT NULL
);

COMMENT ON TABLE leadscore_internal.timeline_move IS 'the last time that partition_timelines() moved the rows of lead_timeline: one row, or none';
COMMENT ON COLUMN leadscore_internal.timeline_move.only_row IS 'true';
COMMENT ON COLUMN leadscore_internal.timeline_move.moved_at IS 'when';

CREATE FUNCTION leadscore_internal.check_timelines_seen() RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C STABLE PARALLEL SAFE;

COMMENT ON FUNCTION leadscore_internal.check_timelines_seen()
	IS 'true, or a serialization failure where the rows of lead_timeline have been moved since the query''s snapshot was taken';

CREATE FUNCTION leadscore_internal.split_tables() RETURNS TABLE (number integer, name regclass, of integer)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
AS $$
	SELECT substring(c.relname FROM '[0-9]+$')::integer, c.oid::regclass,
		(SELECT substring(pg_get_expr(k.conbin, k.conrelid) FROM 'timeline_partition[(]lead_id, ([0-9]+)[)]')::integer
			FROM pg_constraint k WHERE k.conrelid = c.oid AND k.conname = c.relname || '_leads')
	FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
	WHERE i.inhparent = 'leadscore.lead_timeline'::regclass AND c.relnamespace = 'leadscore'::regnamespace
	AND c.relname ~ '^lead_timeline_(0|[1-9][0-9]{0,3})$'
	ORDER BY 1
$$;

COMMENT ON FUNCTION leadscore_internal.split_tables() IS 'the tables that lead_timeline is split into';

CREATE FUNCTION leadscore.partitions() RETURNS integer
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT greatest(count(*), 1)::integer FROM leadscore_internal.split_tables()
$$;

COMMENT ON FUNCTION leadscore.partitions() IS 'how many tables lead_timeline is split into; 1: it is whole';

CREATE FUNCTION leadscore_internal.split_problem() RETURNS TABLE (state text, action text)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	IF NOT EXISTS (SELECT FROM leadscore_internal.split_tables()) THEN
		RETURN;
	END IF;
	IF EXISTS (SELECT FROM ONLY leadscore.lead_timeline) THEN
		RETURN QUERY SELECT 'is split, but has rows itself', 'DELETE FROM ONLY leadscore.lead_timeline; CALL leadscore.rebuild()';
	END IF;
	IF EXISTS (SELECT FROM leadscore_internal.split_tables() t HAVING count(*) <> max(t.of) OR min(t.of) IS DISTINCT FROM max(t.of)
			OR max(t.number) <> count(*) - 1 OR count(t.of) <> count(*)) THEN
		RETURN QUERY SELECT 'is split, but some of its tables are missing', 'SELECT leadscore.partition_timelines(1); CALL leadscore.rebuild()';
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.split_problem() IS 'what is wrong with the tables that lead_timeline is split into';

CREATE FUNCTION leadscore_internal.follow_tablespace() RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
AS $$
DECLARE
	command text;
BEGIN
	FOR command IN
		SELECT format('ALTER TABLE %s SET TABLESPACE %I', c.oid::regclass, coalesce(s.spcname, d.spcname))
		FROM pg_class p JOIN leadscore_internal.split_tables() t ON true JOIN pg_class c ON c.oid = t.name AND c.reltablespace <> p.reltablespace
		JOIN pg_database b ON b.datname = current_database() JOIN pg_tablespace d ON d.oid = b.dattablespace LEFT JOIN pg_tablespace s ON s.oid = p.reltablespace
		WHERE p.oid = 'leadscore.lead_timeline'::regclass
		UNION ALL
		SELECT format('ALTER INDEX %s SET TABLESPACE %I', c.oid::regclass, coalesce(s.spcname, d.spcname))
		FROM pg_index i JOIN pg_class p ON p.oid = i.indexrelid JOIN leadscore_internal.split_tables() t ON true
		JOIN pg_index j ON j.indrelid = t.name AND j.indkey = i.indkey AND j.indisunique = i.indisunique AND pg_get_indexdef(j.indexrelid, 1, true) = pg_get_indexdef(i.indexrelid, 1, true)
		JOIN pg_class c ON c.oid = j.indexrelid AND c.reltablespace <> p.reltablespace
		JOIN pg_database b ON b.datname = current_database() JOIN pg_tablespace d ON d.oid = b.dattablespace LEFT JOIN pg_tablespace s ON s.oid = p.reltablespace
		WHERE i.indrelid = 'leadscore.lead_timeline'::regclass
	LOOP
		EXECUTE command;
	END LOOP;
END
$$;

COMMENT ON FUNCTION leadscore_internal.follow_tablespace() IS 'moves the tables that lead_timeline is split into, and their indexes, to where it is';

CREATE FUNCTION leadscore_internal.create_like(of_table regclass, name text, more text, inherits boolean) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	parent CONSTANT pg_class := (SELECT c FROM pg_class c WHERE c.oid = of_table);
	child CONSTANT text := format('%s.%I', parent.relnamespace::regnamespace, name);
	settings CONSTANT text[] := parent.reloptions
		|| ARRAY(SELECT 'toast.' || unnest(t.reloptions) FROM pg_class t WHERE t.oid = parent.reltoastrelid);
	command text;
BEGIN
	EXECUTE format('CREATE %s TABLE %s (LIKE %s INCLUDING STORAGE INCLUDING COMPRESSION INCLUDING INDEXES INCLUDING STATISTICS INCLUDING COMMENTS%s)'
		' %s USING %I %s %s',
		CASE parent.relpersistence WHEN 'u' THEN 'UNLOGGED' END, child, of_table, more, CASE WHEN inherits THEN format('INHERITS (%s)', of_table) END,
		(SELECT m.amname FROM pg_am m WHERE m.oid = parent.relam),
		(SELECT 'WITH (' || string_agg(format('%s = %L', split_part(s, '=', 1), substr(s, strpos(s, '=') + 1)), ', ') || ')' FROM unnest(settings) s),
		(SELECT format('TABLESPACE %I', t.spcname) FROM pg_tablespace t WHERE t.oid = parent.reltablespace));
	-- its rights, unless it has policies: a right on the new table would bypass them
	IF NOT parent.relrowsecurity THEN
		FOR command IN
			SELECT format('GRANT %s ON %s TO %s%s', a.privilege_type, child, coalesce(quote_ident(r.rolname), 'PUBLIC'),
				CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
			FROM aclexplode(parent.relacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
			WHERE a.grantee <> parent.relowner
			UNION ALL
			SELECT format('GRANT %s (%I) ON %s TO %s%s', a.privilege_type, c.attname, child, coalesce(quote_ident(r.rolname), 'PUBLIC'),
				CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
			FROM pg_attribute c CROSS JOIN aclexplode(c.attacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
			WHERE c.attrelid = parent.oid AND a.grantee <> parent.relowner
		LOOP
			EXECUTE command;
		END LOOP;
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.create_like(regclass, text, text, boolean) IS 'makes a table that is like one of ours, with more constraints, and inherits from it or not';

CREATE FUNCTION leadscore_internal.create_split_table(number integer, of integer) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM leadscore_internal.create_like('leadscore.lead_timeline'::regclass, format('lead_timeline_%s', number),
		format(', CONSTRAINT lead_timeline_%s_leads CHECK (leadscore.timeline_partition(lead_id, %s) = %1$s)', number, of), true);
	EXECUTE format('COMMENT ON TABLE leadscore.lead_timeline_%s IS %L', number, format('timelines of the leads with leadscore.timeline_partition(lead_id, %s) = %s', of, number));
END
$$;

COMMENT ON FUNCTION leadscore_internal.create_split_table(integer, integer) IS 'makes one of the tables that lead_timeline is split into';

CREATE FUNCTION leadscore_internal.base_tables() RETURNS TABLE (number integer, name regclass)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT substring(c.relname FROM '[0-9]+$')::integer, c.oid::regclass
	FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
	WHERE i.inhparent = 'leadscore_internal.timeline_base'::regclass AND c.relname ~ '^timeline_base_[0-9]+$'
	ORDER BY 1
$$;

COMMENT ON FUNCTION leadscore_internal.base_tables() IS 'the tables that timeline_base is split into';

-- The caller holds lead_timeline in ACCESS EXCLUSIVE mode until its transaction ends. All that writes or reads the base
-- locks lead_timeline first.
CREATE FUNCTION leadscore_internal.split_base(tables integer) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	child regclass;
BEGIN
	FOREACH child IN ARRAY ARRAY(SELECT t.name FROM leadscore_internal.base_tables() t) LOOP
		EXECUTE format('ALTER TABLE leadscore_internal.timeline_base DETACH PARTITION %s', child);
		EXECUTE format('INSERT INTO leadscore_internal.timeline_base_whole SELECT * FROM %s', child);
		EXECUTE format('DROP TABLE %s', child);
	END LOOP;
	IF tables > 1 THEN
		ALTER TABLE leadscore_internal.timeline_base DETACH PARTITION leadscore_internal.timeline_base_whole;
		FOR n IN 0 .. tables - 1 LOOP
			PERFORM leadscore_internal.create_like('leadscore_internal.timeline_base_whole'::regclass, format('timeline_base_%s', n), ''::text, false);
			EXECUTE format('ALTER TABLE leadscore_internal.timeline_base_%s REPLICA IDENTITY FULL', n);
			EXECUTE format('ALTER TABLE leadscore_internal.timeline_base ATTACH PARTITION leadscore_internal.timeline_base_%s FOR VALUES FROM (%s) TO (%s)',
				n, 1024 * n / tables, 1024 * (n + 1) / tables);
		END LOOP;
		INSERT INTO leadscore_internal.timeline_base SELECT * FROM leadscore_internal.timeline_base_whole;
		TRUNCATE leadscore_internal.timeline_base_whole;
		ALTER TABLE leadscore_internal.timeline_base ATTACH PARTITION leadscore_internal.timeline_base_whole DEFAULT;
	END IF;
	ANALYZE leadscore_internal.timeline_base;
END
$$;

COMMENT ON FUNCTION leadscore_internal.split_base(integer) IS 'splits timeline_base into so many tables; 1 puts it together again';

CREATE FUNCTION leadscore_internal.check_not_published(source regclass, what text) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	publications CONSTANT text := (SELECT string_agg(p.pubname, ', ' ORDER BY p.pubname) FROM pg_publication p
		WHERE p.puballtables OR EXISTS (SELECT FROM pg_publication_rel r WHERE r.prpubid = p.oid AND r.prrelid = source)
		OR EXISTS (SELECT FROM pg_publication_namespace n WHERE n.pnpubid = p.oid AND n.pnnspid = 'leadscore'::regnamespace));
BEGIN
	IF publications IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'feature_not_supported', MESSAGE = format('%s is published', (SELECT c.relname FROM pg_class c WHERE c.oid = source)),
			DETAIL = format('Subscribers of %s would be sent %s, and rows of tables that they do not have.', publications, what),
			HINT = 'Publish the tables of the shop by name, and let subscribers count for themselves.';
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.check_not_published(regclass, text) IS 'refuses to move rows of a table whose changes are sent to subscribers';

CREATE FUNCTION leadscore.partition_timelines(partitions integer) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET client_min_messages = 'warning' SET jit = off
	SET default_tablespace = '' SET quote_all_identifiers = off SET enable_seqscan = off
AS $$
DECLARE
	columns CONSTANT text := (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute a
		WHERE a.attrelid = 'leadscore.lead_timeline'::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '');
	-- little but archive() writes it, and to attach a table takes longer the more there are
	base_partitions CONSTANT integer := least(partitions, 64);
	tables regclass[];
	child regclass;
	problem record;
BEGIN
	IF partitions IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'the number of partitions is NULL',
			DETAIL = 'lead_timeline is split into so many tables.', HINT = 'For example: SELECT leadscore.partition_timelines(8). 1 puts it together again.';
	END IF;
	IF partitions NOT BETWEEN 1 AND 1024 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'the number of partitions must be between 1 and 1024',
			DETAIL = format('It is %s.', partitions), HINT = 'Take as many as the server has cores, or some more. 1 puts lead_timeline together again.';
	END IF;
	PERFORM leadscore_internal.check_read_committed('partition_timelines()'::text, 'lost'::text);

	-- writers and readers wait here, and look for the tables when they go on
	LOCK TABLE leadscore.lead_timeline IN ACCESS EXCLUSIVE MODE;
	PERFORM leadscore_internal.check_not_published('leadscore.lead_timeline'::regclass, 'that it was emptied'::text);
	IF EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = 'leadscore.lead_timeline'::regclass AND t.tgname <> 'guard_timelines') THEN
		RAISE EXCEPTION USING ERRCODE = 'feature_not_supported', MESSAGE = 'lead_timeline has triggers or foreign keys',
			DETAIL = 'They would not apply to the tables into which it is split.', HINT = 'Drop them.';
	END IF;
	tables := ARRAY(SELECT t.name FROM leadscore_internal.split_tables() t ORDER BY t.number);
	IF partitions = greatest(cardinality(tables), 1) AND base_partitions = (SELECT greatest(count(*), 1) FROM leadscore_internal.base_tables())
		AND NOT EXISTS (SELECT FROM leadscore_internal.split_problem()) THEN
		RETURN;
	END IF;

	IF tables <> '{}' THEN
		IF EXISTS (SELECT FROM ONLY leadscore.lead_timeline) THEN
			RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = 'lead_timeline is split, but has rows itself',
				DETAIL = 'A lead may have rows in two tables now.', HINT = 'DELETE FROM ONLY leadscore.lead_timeline, then CALL leadscore.rebuild().';
		END IF;
		TRUNCATE ONLY leadscore.lead_timeline;
		FOREACH child IN ARRAY tables LOOP
			EXECUTE format('ALTER TABLE %s NO INHERIT leadscore.lead_timeline', child);
		END LOOP;
		FOREACH child IN ARRAY tables LOOP
			EXECUTE format('INSERT INTO leadscore.lead_timeline (%s) SELECT %1$s FROM %s', columns, child);
		END LOOP;
		EXECUTE format('DROP TABLE %s', array_to_string(tables, ', '));
	END IF;
	IF partitions > 1 THEN
		PERFORM leadscore_internal.create_split_table(n, partitions) FROM generate_series(0, partitions - 1) n;
		-- each table finds its rows by this index
		EXECUTE format('CREATE INDEX lead_timeline_partition ON leadscore.lead_timeline (leadscore.timeline_partition(lead_id, %s))', partitions);
		FOR n IN 0 .. partitions - 1 LOOP
			EXECUTE format('INSERT INTO leadscore.lead_timeline_%s (%s) SELECT %2$s FROM ONLY leadscore.lead_timeline WHERE leadscore.timeline_partition(lead_id, %s) = %1$s',
				n, columns, partitions);
			EXECUTE format('ANALYZE leadscore.lead_timeline_%s', n);
		END LOOP;
		DROP INDEX leadscore.lead_timeline_partition;
		TRUNCATE ONLY leadscore.lead_timeline;
	END IF;
	PERFORM leadscore_internal.split_base(base_partitions);
	INSERT INTO leadscore_internal.timeline_move AS m (moved_at) VALUES (now()) ON CONFLICT (only_row) DO UPDATE SET moved_at = excluded.moved_at;
	ANALYZE leadscore.lead_timeline;
END
$$;

COMMENT ON FUNCTION leadscore.partition_timelines(integer)
	IS 'splits lead_timeline, and the base of archived hours, into so many tables, by a hash of lead_id; 1 puts them together again';
