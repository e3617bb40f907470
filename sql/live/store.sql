-- store.sql: events, leads and their timelines, and the triggers that keep
-- timelines true

-- tables

CREATE FUNCTION leadscore_internal.check_event(lead_id text, kind text, occurred_at timestamptz, value numeric, properties jsonb) RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION leadscore_internal.check_event(text, text, timestamptz, numeric, jsonb)
	IS 'true, or an error that says what is wrong with an event';

CREATE TABLE leadscore.event (
	event_id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
	lead_id text NOT NULL,
	kind text NOT NULL,
	occurred_at timestamptz NOT NULL DEFAULT now(),
	value numeric,
	properties jsonb,
	dedup_key text UNIQUE,
	CONSTRAINT event_valid CHECK (leadscore_internal.check_event(lead_id, kind, occurred_at, value, properties))
);

CREATE INDEX event_lead_id_idx ON leadscore.event (lead_id, occurred_at);

COMMENT ON TABLE leadscore.event IS 'what leads did; tracked from the start';
COMMENT ON COLUMN leadscore.event.event_id IS 'number, assigned';
COMMENT ON COLUMN leadscore.event.lead_id IS 'the lead: 1 to 1024 bytes';
COMMENT ON COLUMN leadscore.event.kind IS 'what was done, such as visit or purchase';
COMMENT ON COLUMN leadscore.event.occurred_at IS 'when, in the years 1970 to 9999 (UTC)';
COMMENT ON COLUMN leadscore.event.value IS 'what it was worth, such as the order''s total: below 10^12, kept to six decimals';
COMMENT ON COLUMN leadscore.event.properties IS 'more about it: an object';
COMMENT ON COLUMN leadscore.event.dedup_key IS 'a key of the sender: with INSERT ... ON CONFLICT (dedup_key) DO NOTHING an event counts once';

CREATE TABLE leadscore.lead (
	lead_id text PRIMARY KEY
		CONSTRAINT lead_id_length CHECK ((octet_length(lead_id) BETWEEN 1 AND 1024) IS NOT FALSE OR leadscore_internal.refuse(
			'lead_id is empty or too long', left(quote_literal(lead_id), 100), 'Name the lead by 1 to 1024 bytes.')),
	profile jsonb
		CONSTRAINT lead_profile_is_object CHECK ((jsonb_typeof(profile) = 'object') IS NOT FALSE OR leadscore_internal.refuse(
			'lead profile is not a JSON object', profile::text, 'Write an object such as {"country": "DE"}, or NULL.'))
);

COMMENT ON TABLE leadscore.lead IS 'the profiles of leads';
COMMENT ON COLUMN leadscore.lead.lead_id IS 'the lead';
COMMENT ON COLUMN leadscore.lead.profile IS 'attributes that profile signals read: an object';

CREATE TABLE leadscore.lead_timeline (
	lead_id text PRIMARY KEY,
	timeline leadscore.timeline NOT NULL
) WITH (fillfactor = 75);		-- room for versions: a page that lacks it is cleaned up, which is logged

COMMENT ON TABLE leadscore.lead_timeline IS 'each lead''s timeline, kept by record(); a lead that no signal has counted has no row';
COMMENT ON COLUMN leadscore.lead_timeline.lead_id IS 'the lead';
COMMENT ON COLUMN leadscore.lead_timeline.timeline IS 'what it did';

CREATE TABLE leadscore.lead_alias (
	alias text PRIMARY KEY,
	lead_id text NOT NULL,
	tracked boolean NOT NULL DEFAULT false
);

CREATE INDEX lead_alias_lead_id_idx ON leadscore.lead_alias (lead_id);

COMMENT ON TABLE leadscore.lead_alias IS 'other names of leads, such as those of anonymous visitors that became known; kept by identify() and track_alias()';
COMMENT ON COLUMN leadscore.lead_alias.alias IS 'the name in events';
COMMENT ON COLUMN leadscore.lead_alias.lead_id IS 'the lead that they count for';
COMMENT ON COLUMN leadscore.lead_alias.tracked IS 'whether rows of a tracked table say so, not identify()';

CREATE TABLE leadscore.pending_delta (
	lead_id text NOT NULL,
	delta leadscore.timeline NOT NULL,
	since timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX pending_delta_lead_id_idx ON leadscore.pending_delta (lead_id);

-- rows come and go: it is vacuumed by how many have gone, however small or large it is
ALTER TABLE leadscore.pending_delta SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
	autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 10000, autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 10000);

COMMENT ON TABLE leadscore.pending_delta IS 'changes that fold() has not merged yet: those of deferred sources, and those to leads that another transaction was writing; reads include them';
COMMENT ON COLUMN leadscore.pending_delta.lead_id IS 'the lead, as the event names it';
COMMENT ON COLUMN leadscore.pending_delta.delta IS 'what is added to its timeline';
COMMENT ON COLUMN leadscore.pending_delta.since IS 'when the transaction that appended it began';

-- neither has a key: a publication of all tables could not delete from them
ALTER TABLE leadscore.pending_delta REPLICA IDENTITY FULL;

CREATE TABLE leadscore.pending_profile (
	change_id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
	lead_id text NOT NULL,
	attributes jsonb,
	removed text[],
	look_again boolean NOT NULL DEFAULT false
);

CREATE INDEX pending_profile_lead_id_idx ON leadscore.pending_profile (lead_id);

ALTER TABLE leadscore.pending_profile SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
	autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 10000, autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 10000);

COMMENT ON TABLE leadscore.pending_profile IS 'changes of customer tables to profiles that another transaction was writing, which fold() has not merged yet; reads include them';
COMMENT ON COLUMN leadscore.pending_profile.change_id IS 'number: a lead''s changes are applied in this order';
COMMENT ON COLUMN leadscore.pending_profile.lead_id IS 'the lead';
COMMENT ON COLUMN leadscore.pending_profile.attributes IS 'the attributes to set after that; NULL: no row names the lead any more';
COMMENT ON COLUMN leadscore.pending_profile.removed IS 'the keys that are taken out first; where it is not NULL, a profile that is empty then is removed';
COMMENT ON COLUMN leadscore.pending_profile.look_again IS 'whether the row of the lead that counts is looked up again when this is merged';

-- Changes of names that did not get their locks. A restore brings them along.
CREATE TABLE leadscore_internal.pending_identity (
	change_id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
	alias text NOT NULL,
	lead_id text,
	look_again boolean NOT NULL DEFAULT false
);

CREATE INDEX pending_identity_alias_idx ON leadscore_internal.pending_identity (alias);
CREATE INDEX pending_identity_lead_id_idx ON leadscore_internal.pending_identity (lead_id);

ALTER TABLE leadscore_internal.pending_identity SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
	autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 10000, autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 10000);

COMMENT ON TABLE leadscore_internal.pending_identity IS 'identify() and unidentify() that met another change of the same names, or were called while a statement was writing a source: the next one, or fold(), carries them out';
COMMENT ON COLUMN leadscore_internal.pending_identity.change_id IS 'number: they are carried out in this order';
COMMENT ON COLUMN leadscore_internal.pending_identity.alias IS 'the name that is to become an alias, or to be one no longer';
COMMENT ON COLUMN leadscore_internal.pending_identity.lead_id IS 'the lead that it is to count for; NULL: unidentify()';
COMMENT ON COLUMN leadscore_internal.pending_identity.look_again IS 'whether, instead, rows of tracked tables have changed that name the alias';

-- What unidentify() has parted while a rebuild is at work.
CREATE TABLE leadscore_internal.parted_lead (
	lead_id text NOT NULL
);

ALTER TABLE leadscore_internal.parted_lead REPLICA IDENTITY FULL;

COMMENT ON TABLE leadscore_internal.parted_lead IS 'names that unidentify() has parted while a rebuild is at work, which looks at them once more';
COMMENT ON COLUMN leadscore_internal.parted_lead.lead_id IS 'the alias, or the lead that it counted for';

-- Who writes events appends here, where there are rules of what follows from them.
CREATE TABLE leadscore_internal.changed_lead (
	lead_id text
);

ALTER TABLE leadscore_internal.changed_lead REPLICA IDENTITY FULL;

COMMENT ON TABLE leadscore_internal.changed_lead IS 'leads whose events have changed since derive() last looked at them';
COMMENT ON COLUMN leadscore_internal.changed_lead.lead_id IS 'the lead, as the event names it; NULL: all';

-- triggers

CREATE FUNCTION leadscore.record() RETURNS trigger
	AS 'MODULE_PATHNAME' LANGUAGE C;

COMMENT ON FUNCTION leadscore.record() IS 'trigger: adds a statement''s rows to the timelines of their leads; created by track()';

CREATE FUNCTION leadscore.record_profile() RETURNS trigger
	AS 'MODULE_PATHNAME' LANGUAGE C;

COMMENT ON FUNCTION leadscore.record_profile() IS 'trigger: keeps profiles in step with a table''s rows; created by track_profile()';

CREATE FUNCTION leadscore.record_alias() RETURNS trigger
	AS 'MODULE_PATHNAME' LANGUAGE C;

COMMENT ON FUNCTION leadscore.record_alias() IS 'trigger: keeps lead_alias true to a table''s rows; made by track_alias()';

CREATE FUNCTION leadscore_internal.add_delta(lead_id text, timeline leadscore.timeline, delta leadscore.timeline, lenient boolean DEFAULT true)
	RETURNS leadscore.timeline
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;

COMMENT ON FUNCTION leadscore_internal.add_delta(text, leadscore.timeline, leadscore.timeline, boolean)
	IS 'timeline + delta; leniently, an hour that overflows wraps around, with a warning';

CREATE FUNCTION leadscore_internal.add_by_statement(lead_id text, delta leadscore.timeline) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	EXECUTE format('INSERT INTO %s AS t (lead_id, timeline) VALUES ($1, $2)'
		' ON CONFLICT (lead_id) DO UPDATE SET timeline = leadscore_internal.add_delta(t.lead_id, t.timeline, excluded.timeline, true)',
		leadscore_internal.table_of_lead(lead_id)) USING lead_id, delta;
	DELETE FROM leadscore.lead_timeline t WHERE t.lead_id = add_by_statement.lead_id AND t.timeline OPERATOR(leadscore.=) '{}'::leadscore.timeline;
END
$$;

COMMENT ON FUNCTION leadscore_internal.add_by_statement(text, leadscore.timeline) IS 'adds to a lead''s row where somebody has changed lead_timeline, such as by a trigger';

CREATE FUNCTION leadscore_internal.stored_sum_transition(internal, leadscore.timeline) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.stored_sum_merge(internal, internal) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION leadscore_internal.stored_sum_transition(internal, leadscore.timeline) IS 'transition of stored_sum()';
COMMENT ON FUNCTION leadscore_internal.stored_sum_merge(internal, internal) IS 'merges two states of stored_sum()';

CREATE AGGREGATE leadscore_internal.stored_sum(leadscore.timeline) (
	SFUNC = leadscore_internal.stored_sum_transition,
	STYPE = internal,
	SSPACE = 256,
	FINALFUNC = leadscore_internal.timeline_sum_final,
	FINALFUNC_MODIFY = READ_WRITE,
	COMBINEFUNC = leadscore_internal.stored_sum_merge,
	SERIALFUNC = leadscore_internal.timeline_builder_serialize,
	DESERIALFUNC = leadscore_internal.timeline_builder_deserialize,
	PARALLEL = SAFE
);

COMMENT ON AGGREGATE leadscore_internal.stored_sum(leadscore.timeline) IS 'timeline_sum(), where an hour that overflows wraps around';

CREATE FUNCTION leadscore_internal.in_restore() RETURNS boolean
	LANGUAGE sql STABLE
AS $$
	-- settings that every dump begins with
	SELECT pg_catalog.current_setting('check_function_bodies') OPERATOR(pg_catalog.=) 'off'
		AND pg_catalog.current_setting('row_security') OPERATOR(pg_catalog.=) 'off'
$$;

COMMENT ON FUNCTION leadscore_internal.in_restore() IS 'whether a dump is being restored: what triggers would add is in it';

CREATE FUNCTION leadscore_internal.trigger_function(feeds text) RETURNS text
	LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE feeds WHEN 'timeline' THEN 'record' WHEN 'profile' THEN 'record_profile' ELSE 'record_alias' END
$$;

COMMENT ON FUNCTION leadscore_internal.trigger_function(text) IS 'the trigger that keeps true what a table feeds';

-- Sources: the triggers are their registry, with the mapping as their argument.
-- What track() would not have made is none of it: then nobody who reads it has to wonder.

CREATE FUNCTION leadscore_internal.trigger_mapping(arguments bytea) RETURNS jsonb
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION leadscore_internal.trigger_mapping(bytea) IS 'the mapping that a trigger''s arguments are, or NULL if they are none';

CREATE VIEW leadscore_internal.source_trigger AS
SELECT t.tgrelid::regclass AS source,
	CASE p.proname WHEN 'record' THEN 'timeline' WHEN 'record_profile' THEN 'profile' ELSE 'alias' END AS feeds,
	m.mapping ->> 'lead_id' AS lead_id,
	m.mapping ->> 'kind' AS kind,
	m.mapping ->> 'kind_column' AS kind_column,
	m.mapping ->> 'occurred_at' AS occurred_at,
	m.mapping ->> 'value' AS value,
	ARRAY(SELECT jsonb_array_elements_text(m.mapping -> 'properties')) AS properties,
	CASE p.proname WHEN 'record' THEN coalesce(m.mapping ->> 'maintenance', 'immediate') END AS maintenance,
	regexp_replace(t.tgname, '_insert$', '') AS trigger_prefix,
	m.mapping,
	m.mapping ->> 'latest_by' AS latest_by,
	m.mapping ->> 'alias' AS alias,
	m.mapping ->> 'filter' AS filter
FROM pg_trigger t
JOIN pg_class c ON c.oid = t.tgrelid AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
JOIN pg_proc p ON p.oid = t.tgfoid AND p.pronamespace = 'leadscore'::regnamespace
	AND p.proname IN ('record', 'record_profile', 'record_alias')
CROSS JOIN LATERAL (SELECT leadscore_internal.trigger_mapping(t.tgargs) AS mapping OFFSET 0) m
-- after INSERT, for each statement, with the new rows
WHERE t.tgtype = 4 AND t.tgnewtable IS NOT NULL AND NOT t.tgisinternal AND t.tgname ~ '_insert$' AND m.mapping IS NOT NULL;

COMMENT ON VIEW leadscore_internal.source_trigger IS 'the tables that have triggers of ours: sources, and their partitions and children';
COMMENT ON COLUMN leadscore_internal.source_trigger.source IS 'the table';
COMMENT ON COLUMN leadscore_internal.source_trigger.feeds IS 'timeline, profile or alias';
COMMENT ON COLUMN leadscore_internal.source_trigger.lead_id IS 'the column or expression that names the lead';
COMMENT ON COLUMN leadscore_internal.source_trigger.kind IS 'the kind of all its events, where it is one';
COMMENT ON COLUMN leadscore_internal.source_trigger.kind_column IS 'the column or expression that names the kind';
COMMENT ON COLUMN leadscore_internal.source_trigger.occurred_at IS 'the column with the time, or an expression';
COMMENT ON COLUMN leadscore_internal.source_trigger.value IS 'the column with the value, or an expression';
COMMENT ON COLUMN leadscore_internal.source_trigger.properties IS 'the columns that are properties, or name => expression';
COMMENT ON COLUMN leadscore_internal.source_trigger.maintenance IS 'immediate or deferred';
COMMENT ON COLUMN leadscore_internal.source_trigger.trigger_prefix IS 'how the names of its triggers begin';
COMMENT ON COLUMN leadscore_internal.source_trigger.mapping IS 'the argument of its triggers';
COMMENT ON COLUMN leadscore_internal.source_trigger.latest_by IS 'the column by which one row of a lead or alias counts';
COMMENT ON COLUMN leadscore_internal.source_trigger.alias IS 'the column or expression that names an alias';
COMMENT ON COLUMN leadscore_internal.source_trigger.filter IS 'the condition for the rows that count';

CREATE VIEW leadscore.source AS
SELECT s.source, s.feeds, s.lead_id, s.kind, s.kind_column, s.occurred_at, s.value, s.properties, s.maintenance,
	s.trigger_prefix, s.mapping, s.alias, s.filter, s.latest_by
FROM leadscore_internal.source_trigger s
WHERE NOT s.mapping ? 'partition'
AND s.source::oid IS DISTINCT FROM to_regclass('leadscore.derived_event');	-- ours, whatever is tracked

COMMENT ON VIEW leadscore.source IS 'the tables that are tracked, and how their rows are read';
COMMENT ON COLUMN leadscore.source.source IS 'the table';
COMMENT ON COLUMN leadscore.source.feeds IS 'timeline (rows are events), profile (rows are leads) or alias (rows say whose a name is)';
COMMENT ON COLUMN leadscore.source.lead_id IS 'the column or expression that names the lead';
COMMENT ON COLUMN leadscore.source.kind IS 'the kind of all its events, where it is one';
COMMENT ON COLUMN leadscore.source.kind_column IS 'the column or expression that names the kind';
COMMENT ON COLUMN leadscore.source.occurred_at IS 'the column with the time, or an expression';
COMMENT ON COLUMN leadscore.source.value IS 'the column with the value, or an expression';
COMMENT ON COLUMN leadscore.source.properties IS 'the columns that are properties, or name => expression';
COMMENT ON COLUMN leadscore.source.maintenance IS 'immediate, or deferred: see fold()';
COMMENT ON COLUMN leadscore.source.trigger_prefix IS 'how the names of its triggers begin';
COMMENT ON COLUMN leadscore.source.mapping IS 'the argument of its triggers';
COMMENT ON COLUMN leadscore.source.alias IS 'the column or expression that names an alias';
COMMENT ON COLUMN leadscore.source.filter IS 'the condition for the rows that count; NULL: all do';
COMMENT ON COLUMN leadscore.source.latest_by IS 'the column by which one row counts, of those that name the same lead or alias';

-- private functions: the columns of a source

CREATE FUNCTION leadscore_internal.column_type(source regclass, name text) RETURNS regtype
	LANGUAGE plpgsql STABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	type oid;
	base oid;
	generated "char";
BEGIN
	SELECT a.atttypid, a.attgenerated INTO type, generated FROM pg_attribute a
	WHERE a.attrelid = source AND a.attname = name AND a.attnum > 0 AND NOT a.attisdropped;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_column',
			MESSAGE = format('column "%s" of table %s does not exist', name, source),
			DETAIL = format('The mapping of %s names the column "%s".', source, name),
			HINT = leadscore_internal.known('columns'::text, ARRAY(SELECT a.attname::text FROM pg_attribute a
				WHERE a.attrelid = source AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum));
	END IF;
	IF generated = 'v' THEN
		RAISE EXCEPTION USING ERRCODE = 'feature_not_supported',
			MESSAGE = format('column "%s" of table %s is a virtual generated column', name, source),
			DETAIL = 'Triggers do not see its values.', HINT = 'Make it STORED, or name another column.';
	END IF;
	LOOP
		SELECT t.typbasetype INTO base FROM pg_type t WHERE t.oid = type AND t.typtype = 'd';
		EXIT WHEN NOT FOUND;
		type := base;
	END LOOP;
	RETURN type;
END
$$;

COMMENT ON FUNCTION leadscore_internal.column_type(regclass, text) IS 'the type of a column, below any domain';

CREATE FUNCTION leadscore_internal.column_text(source regclass, name text) RETURNS text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE
		WHEN leadscore_internal.column_type(source, name) IN ('smallint'::regtype, 'integer'::regtype, 'bigint'::regtype,
			'numeric'::regtype, 'text'::regtype, 'varchar'::regtype, 'bpchar'::regtype, 'uuid'::regtype)
		THEN format('%I::text', name)
		ELSE format('nullif(format(''%%s'', %I), '''')', name) END
$$;

COMMENT ON FUNCTION leadscore_internal.column_text(regclass, text) IS 'an expression for a column as text';

CREATE FUNCTION leadscore_internal.equal_may_differ(source regclass, name text) RETURNS boolean
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(bool_or(NOT c.collisdeterministic OR t.typcategory = 'S' AND t.oid NOT IN ('text'::regtype, 'varchar'::regtype, 'bpchar'::regtype, 'name'::regtype)), false)
	FROM pg_attribute a JOIN pg_type t ON t.oid = leadscore_internal.column_type(source, a.attname::text) LEFT JOIN pg_collation c ON c.oid = a.attcollation
	WHERE a.attrelid = source AND a.attname::text = name AND a.attnum > 0 AND NOT a.attisdropped
$$;

COMMENT ON FUNCTION leadscore_internal.equal_may_differ(regclass, text) IS 'whether a column''s type or collation takes texts of different bytes for equal';

CREATE FUNCTION leadscore_internal.property_type(type regtype) RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C STABLE STRICT;

COMMENT ON FUNCTION leadscore_internal.property_type(regtype) IS 'whether columns of a type can be properties';

-- The text of what stands instead of a column. C code makes it anew in each session.

CREATE FUNCTION leadscore_internal.read_timestamp(value text) RETURNS timestamp
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.read_date(value text) RETURNS date
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION leadscore_internal.read_timestamp(text) IS 'a text as a timestamp, in an expression: not one that stands for the present, such as today';
COMMENT ON FUNCTION leadscore_internal.read_date(text) IS 'a text as a date, in an expression: not one that stands for the present, such as today';

CREATE FUNCTION leadscore_internal.expression_type(source regclass, expression text, used_as text) RETURNS regtype
	AS 'MODULE_PATHNAME' LANGUAGE C STABLE STRICT;

CREATE FUNCTION leadscore_internal.expression_columns(expression text) RETURNS text[]
	AS 'MODULE_PATHNAME' LANGUAGE C STABLE STRICT;

COMMENT ON FUNCTION leadscore_internal.expression_type(regclass, text, text)
	IS 'the type of an expression''s value, used as name, time, number, property or condition, or an error that says what is wrong with it';
COMMENT ON FUNCTION leadscore_internal.expression_columns(text) IS 'the names of the columns that an expression reads; NULL: it is none';

CREATE FUNCTION leadscore_internal.has_column(source oid, name text) RETURNS boolean
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = source AND a.attname::text = name AND a.attnum > 0 AND NOT a.attisdropped)
$$;

COMMENT ON FUNCTION leadscore_internal.has_column(oid, text) IS 'whether a table has a column of a name';

CREATE FUNCTION leadscore_internal.looks_like_name(term text) RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION leadscore_internal.looks_like_name(text) IS 'whether a text can only be a name: letters, digits, _ and $';

CREATE FUNCTION leadscore_internal.is_term_for_column(source oid, term text) RETURNS boolean
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	-- what looks like a name is one, so that a column that is missing is said to be
	SELECT leadscore_internal.has_column(source, term) OR leadscore_internal.looks_like_name(term)
$$;

COMMENT ON FUNCTION leadscore_internal.is_term_for_column(oid, text) IS 'whether a text in a mapping names a column; else it is an expression';

CREATE FUNCTION leadscore_internal.term_type(source regclass, term text, used_as text) RETURNS regtype
	LANGUAGE plpgsql STABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	type regtype;
BEGIN
	IF NOT leadscore_internal.is_term_for_column(source::oid, term) THEN
		RETURN leadscore_internal.expression_type(source, term, used_as);
	END IF;
	type := leadscore_internal.column_type(source, term);
	CASE used_as
		WHEN 'name' THEN
			IF type IN ('json'::regtype, 'jsonb'::regtype) THEN
				RAISE EXCEPTION USING ERRCODE = 'datatype_mismatch', MESSAGE = format('column "%s" is no name', term),
					DETAIL = format('It is of type %s.', type), HINT = format('Name a member of it, as text, such as %I ->> ''customer_id''.', term);
			END IF;
		WHEN 'time' THEN
			IF type NOT IN ('timestamptz'::regtype, 'timestamp'::regtype, 'date'::regtype) THEN
				RAISE EXCEPTION USING ERRCODE = 'datatype_mismatch', MESSAGE = format('column "%s" is no time', term),
					DETAIL = format('It is of type %s.', type), HINT = 'Name a column of type timestamptz, timestamp (read as UTC) or date, or write an expression such as to_timestamp(ms / 1000.0).';
			END IF;
		WHEN 'number' THEN
			IF type NOT IN ('numeric'::regtype, 'bigint'::regtype, 'integer'::regtype, 'smallint'::regtype, 'real'::regtype, 'float8'::regtype) THEN
				RAISE EXCEPTION USING ERRCODE = 'datatype_mismatch', MESSAGE = format('column "%s" is no number', term),
					DETAIL = format('It is of type %s.', type), HINT = 'Name a column of a numeric type, or write an expression such as (payload ->> ''price'')::numeric.';
			END IF;
		WHEN 'property' THEN
			IF type <> 'json'::regtype AND NOT leadscore_internal.property_type(type) THEN
				RAISE EXCEPTION USING ERRCODE = 'datatype_mismatch', MESSAGE = format('column "%s" cannot be a property', term),
					DETAIL = format('It is of type %s, which is not turned into jsonb by PostgreSQL itself, or not always: a row could then fail.', type),
					HINT = 'Change the column to jsonb, or to text.';
			END IF;
		WHEN 'condition' THEN
			IF type <> 'boolean'::regtype THEN
				RAISE EXCEPTION USING ERRCODE = 'datatype_mismatch', MESSAGE = format('column "%s" is no condition', term),
					DETAIL = format('It is of type %s.', type), HINT = 'Write a condition such as state = ''paid''.';
			END IF;
	END CASE;
	RETURN type;
END
$$;

COMMENT ON FUNCTION leadscore_internal.term_type(regclass, text, text)
	IS 'the type of a column or expression that is used as name, time, number, property or condition, or an error, if it cannot be';

-- A property is a column, or an expression with a name.

CREATE FUNCTION leadscore_internal.property_value(source oid, property text) RETURNS text
	LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN NOT leadscore_internal.has_column(source, property) AND strpos(property, '=>') > 0
		THEN substr(property, strpos(property, '=>') + 2) ELSE property END
$$;

CREATE FUNCTION leadscore_internal.property_name(source oid, property text) RETURNS text
	LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN NOT leadscore_internal.has_column(source, property) AND strpos(property, '=>') > 0
		THEN rtrim(left(property, strpos(property, '=>') - 1), E' \t\n\r') ELSE property END
$$;

COMMENT ON FUNCTION leadscore_internal.property_name(oid, text) IS 'the name of an entry of properties: that of the column, or what stands before the arrow';
COMMENT ON FUNCTION leadscore_internal.property_value(oid, text) IS 'the column or expression of an entry of properties: itself, or what stands behind the arrow';

CREATE FUNCTION leadscore_internal.terms(source oid, mapping jsonb) RETURNS TABLE (term text, used_as text)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT mapping ->> m.member, m.used_as
	FROM (VALUES ('lead_id', 'name'), ('alias', 'name'), ('kind_column', 'name'), ('occurred_at', 'time'), ('value', 'number'), ('filter', 'condition'), ('latest_by', NULL)) m (member, used_as)
	WHERE mapping ? m.member
	UNION ALL
	SELECT leadscore_internal.property_value(source, p), 'property' FROM jsonb_array_elements_text(mapping -> 'properties') p
$$;

COMMENT ON FUNCTION leadscore_internal.terms(oid, jsonb) IS 'the columns and expressions of a mapping, and what they are used as (NULL: as they are)';

CREATE FUNCTION leadscore_internal.source_problem(source regclass, mapping jsonb) RETURNS text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	t record;
BEGIN
	FOR t IN SELECT * FROM leadscore_internal.terms(source::oid, mapping) LOOP
		IF t.used_as IS NULL THEN
			PERFORM leadscore_internal.column_type(source, t.term);
		ELSIF t.used_as <> 'name' OR NOT leadscore_internal.has_column(source::oid, t.term) THEN
			PERFORM leadscore_internal.term_type(source, t.term, t.used_as);
		END IF;
	END LOOP;
	RETURN NULL;
EXCEPTION WHEN OTHERS THEN
	IF NOT leadscore_internal.is_term_for_column(source::oid, t.term) THEN
		RETURN format('the expression "%s" cannot be evaluated: %s', t.term, SQLERRM);
	ELSIF SQLSTATE = '42804' THEN
		RETURN format('column "%s" is of type %s, no %s', t.term, leadscore_internal.column_type(source, t.term), CASE t.used_as WHEN 'condition' THEN 'boolean' ELSE t.used_as END);
	END IF;
	RETURN SQLERRM;
END
$$;

COMMENT ON FUNCTION leadscore_internal.source_problem(regclass, jsonb) IS 'why the rows of a source cannot be read any more, or NULL';

CREATE FUNCTION leadscore_internal.is_ordered(type regtype) RETURNS boolean
	LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT type IN ('smallint'::regtype, 'integer'::regtype, 'bigint'::regtype, 'numeric'::regtype, 'real'::regtype, 'float8'::regtype, 'timestamptz'::regtype,
		'timestamp'::regtype, 'date'::regtype, 'time'::regtype, 'text'::regtype, 'varchar'::regtype, 'uuid'::regtype)
$$;

COMMENT ON FUNCTION leadscore_internal.is_ordered(regtype) IS 'whether a column of a type can say which of several rows is the latest';

CREATE FUNCTION leadscore_internal.expression_has_index(source oid, expression text, is_unique boolean) RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C STABLE STRICT;

COMMENT ON FUNCTION leadscore_internal.expression_has_index(oid, text, boolean)
	IS 'whether a table has an index that begins with an expression or, unique, one on it alone, or on the one column that it reads and gives a value of its own to each value of';

CREATE FUNCTION leadscore_internal.has_lead_index(source oid, lead_id text, is_unique boolean) RETURNS boolean
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN NOT leadscore_internal.is_term_for_column(source, lead_id) THEN leadscore_internal.expression_has_index(source, lead_id, is_unique)
	ELSE EXISTS (SELECT FROM pg_index i
		JOIN pg_class x ON x.oid = i.indexrelid
		JOIN pg_am m ON m.oid = x.relam AND m.amname = 'btree'
		JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
		WHERE i.indrelid = has_lead_index.source AND a.attname::text = has_lead_index.lead_id AND i.indisvalid AND i.indpred IS NULL
		AND (NOT is_unique OR i.indisunique AND i.indimmediate AND i.indnkeyatts = 1)) END
$$;

COMMENT ON FUNCTION leadscore_internal.has_lead_index(oid, text, boolean) IS 'whether a table has an index that begins with a column or expression, or is unique on it alone';

-- Of two rows of a lead one counts. So there must be but one, or it must be known which, and where to look it up.
CREATE FUNCTION leadscore_internal.lead_key_problem(source regclass, mapping jsonb, OUT state text, OUT action text)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	members CONSTANT oid[] := leadscore_internal.family_below(ARRAY[source::oid]);
	lead_id CONSTANT text := mapping ->> 'lead_id';
	is_column CONSTANT boolean := leadscore_internal.is_term_for_column(source::oid, lead_id);
	-- as it stands in CREATE INDEX, and in a sentence
	key CONSTANT text := CASE WHEN is_column THEN quote_ident(lead_id) ELSE format('(%s)', lead_id) END;
	said CONSTANT text := CASE WHEN is_column THEN format('"%s"', lead_id) ELSE lead_id END;
	bare regclass;
BEGIN
	IF mapping ? 'latest_by' THEN
		SELECT c.oid INTO bare FROM pg_class c WHERE c.oid = ANY (members) AND c.relkind = 'r' AND NOT leadscore_internal.has_lead_index(c.oid, lead_id, false)
		ORDER BY c.oid LIMIT 1;
		IF NOT FOUND THEN
			RETURN;
		END IF;
		state := format('has no index to look up the rows of a lead: none of %s begins with %s', bare, said);
		action := format('CREATE INDEX ON %s (%s, %I DESC NULLS LAST)', bare, key, mapping ->> 'latest_by');
	ELSIF NOT leadscore_internal.has_lead_index(source::oid, lead_id, true) THEN
		state := format('can have two rows of one lead: %s has no unique key', CASE WHEN is_column THEN format('its column %s', said) ELSE said END);
		action := CASE WHEN (SELECT c.relkind FROM pg_class c WHERE c.oid = source) = 'r' THEN format('CREATE UNIQUE INDEX ON %s (%s), or ', source, key) ELSE '' END
			|| 'track_profile() it with latest_by';
	ELSIF cardinality(members) > 1 AND (SELECT c.relkind FROM pg_class c WHERE c.oid = source) = 'r' THEN
		state := 'can have two rows of one lead: a key says nothing of its children';
		action := 'track_profile() it with latest_by';
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.lead_key_problem(regclass, jsonb) IS 'why it is not known which row of a lead counts in a table of customers, and what to do; NULL: it is known';

CREATE FUNCTION leadscore_internal.term_condition(source regclass, term text, parameter text) RETURNS text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF leadscore_internal.is_term_for_column(source::oid, term) THEN
		RETURN format('%s = ANY (%s)', leadscore_internal.column_text(source, term), parameter);
	-- an expression may fail where it has no index; what has one has been evaluated for all rows
	ELSIF (SELECT bool_and(leadscore_internal.expression_has_index(c.oid, term, false))
			FROM pg_class c WHERE c.oid = ANY (leadscore_internal.family_below(ARRAY[source::oid])) AND c.relkind = 'r') THEN
		RETURN format(CASE WHEN leadscore_internal.expression_type(source, term, 'name'::text) = 'text'::regtype THEN E'(%s\n) = ANY (%s)' ELSE E'(%s\n)::text = ANY (%s)' END,
			term, parameter);
	END IF;
	RETURN NULL;
END
$$;

COMMENT ON FUNCTION leadscore_internal.term_condition(regclass, text, text) IS 'a condition that a column or expression has one of some texts; NULL: none that cannot fail';

CREATE FUNCTION leadscore_internal.row_condition(source regclass, mapping jsonb, by_lead boolean, by_kind boolean) RETURNS text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT nullif(concat_ws(' AND ',
		CASE WHEN by_lead THEN leadscore_internal.term_condition(source, mapping ->> 'lead_id', '$1'::text) END,
		CASE WHEN by_kind AND mapping ? 'kind_column' THEN leadscore_internal.term_condition(source, mapping ->> 'kind_column', '$2'::text) END), '')
$$;

COMMENT ON FUNCTION leadscore_internal.row_condition(regclass, jsonb, boolean, boolean) IS 'a condition for the rows of some leads ($1) and kinds ($2)';

CREATE FUNCTION leadscore_internal.add_profiles(source regclass, mapping jsonb, with_children boolean, subtract boolean) RETURNS void
	AS 'MODULE_PATHNAME' LANGUAGE C STRICT;

COMMENT ON FUNCTION leadscore_internal.add_profiles(regclass, jsonb, boolean, boolean) IS 'merges the rows of a table of customers into the profiles, or takes them out';

CREATE FUNCTION leadscore_internal.profile_tables(source oid, mapping jsonb) RETURNS SETOF oid
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT unnest(leadscore_internal.family_below(leadscore_internal.family_above(
		source || CASE WHEN mapping IS NULL THEN '{}' ELSE ARRAY(SELECT s.source::oid FROM leadscore.source s WHERE s.feeds = 'profile' AND s.mapping = profile_tables.mapping) END)))
$$;

COMMENT ON FUNCTION leadscore_internal.profile_tables(oid, jsonb)
	IS 'the tables that are one with a table of customers, by inheritance or, where a mapping is given, because they are tracked in that way';

CREATE FUNCTION leadscore_internal.latest_profile(source regclass, mapping jsonb, lead_id text, OUT keys jsonb, OUT attributes jsonb)
	AS 'MODULE_PATHNAME' LANGUAGE C STRICT;

COMMENT ON FUNCTION leadscore_internal.latest_profile(regclass, jsonb, text)
	IS 'the attributes of the row of a lead that counts, and an object with the keys of all of its rows';

CREATE FUNCTION leadscore_internal.add_source(source regclass, mapping jsonb, with_children boolean, subtract boolean)
	RETURNS TABLE (what text, rows bigint, example_table regclass, example tid, message text)
	AS 'MODULE_PATHNAME' LANGUAGE C STRICT;

COMMENT ON FUNCTION leadscore_internal.add_source(regclass, jsonb, boolean, boolean)
	IS 'adds every row of a source to the timelines, or subtracts it, and says how many are counted, or why not, with the first one as an example and what its expression fails with';

CREATE FUNCTION leadscore_internal.add_rows(source regclass, feeds text, mapping jsonb, subtract boolean) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF feeds = 'timeline' THEN
		PERFORM leadscore_internal.add_source(source, mapping, with_children => false, subtract => subtract);
	ELSIF feeds = 'profile' THEN
		PERFORM leadscore_internal.add_profiles(source, mapping, with_children => false, subtract => subtract);
	ELSE
		PERFORM leadscore_internal.add_aliases(source, mapping, with_children => false, subtract => subtract);
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.add_rows(regclass, text, jsonb, boolean) IS 'adds the rows of one table, without its children, to what it feeds, or takes them out';

CREATE FUNCTION leadscore_internal.has_rows(source regclass) RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C STABLE STRICT;

CREATE FUNCTION leadscore_internal.has_events(source regclass, mapping jsonb, kind text) RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE;

COMMENT ON FUNCTION leadscore_internal.has_events(regclass, jsonb, text)
	IS 'whether a table or a child of it has an event of a kind (NULL: any); NULL if the first 10,000 rows have none and there may be more';

CREATE FUNCTION leadscore_internal.count_rows(source regclass, mapping jsonb, lead_ids text[]) RETURNS bigint
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;

COMMENT ON FUNCTION leadscore_internal.count_rows(regclass, jsonb, text[]) IS 'how many rows of a table and its children belong to some leads';

CREATE FUNCTION leadscore_internal.find_rows(source regclass, mapping jsonb, lead_ids text[]) RETURNS TABLE (of_table oid, place tid)
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;

COMMENT ON FUNCTION leadscore_internal.find_rows(regclass, jsonb, text[]) IS 'the rows of a table and its children that belong to some leads';

CREATE FUNCTION leadscore_internal.try_table(source regclass, written boolean) RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;

COMMENT ON FUNCTION leadscore_internal.try_table(regclass, boolean) IS 'locks a table and its children, to be read, or itself alone, to be written, if nobody keeps us waiting';

CREATE FUNCTION leadscore_internal.lock_source(source regclass) RETURNS void
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;

COMMENT ON FUNCTION leadscore_internal.has_rows(regclass) IS 'whether a table or a child of it has any row';
COMMENT ON FUNCTION leadscore_internal.lock_source(regclass) IS 'keeps a table and its children from being truncated, dropped or detached until the transaction ends';

CREATE FUNCTION leadscore_internal.check_source(source regclass) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF source IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'the source is NULL',
			DETAIL = 'A source is a table whose rows are events or leads.', HINT = 'Name a table.';
	END IF;
	IF NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = source AND c.relkind IN ('r', 'p')) THEN
		RAISE EXCEPTION USING ERRCODE = 'wrong_object_type', MESSAGE = format('%s is not a table', source),
			DETAIL = 'Only tables and partitioned tables have the triggers that tracking needs.',
			HINT = 'Track the table that the view, foreign table or sequence stands for.';
	END IF;
	IF EXISTS (SELECT FROM pg_class c WHERE c.oid = source AND c.relpersistence <> 'p') THEN
		RAISE EXCEPTION USING ERRCODE = 'wrong_object_type', MESSAGE = format('%s is a temporary or unlogged table', source),
			DETAIL = 'Its rows are gone when the session ends, or after a crash; timelines stay.', HINT = 'Track a permanent, logged table.';
	END IF;
	IF EXISTS (SELECT FROM pg_class c WHERE c.oid = source AND c.relnamespace = ANY (leadscore_internal.our_schemas())) THEN
		RAISE EXCEPTION USING ERRCODE = 'wrong_object_type', MESSAGE = format('%s is a table of leadscore', source),
			DETAIL = 'leadscore.event is tracked from the start; the other tables hold computed data.',
			HINT = 'Name a table of your own.';
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.check_source(regclass) IS 'refuses tables that cannot be tracked';

CREATE FUNCTION leadscore_internal.check_properties(source regclass, properties text[]) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	property text;
	value text;
	names text[] := '{}';
	name text;
BEGIN
	IF cardinality(properties) > 50 THEN
		RAISE EXCEPTION USING ERRCODE = 'program_limit_exceeded', MESSAGE = 'a source has at most 50 properties',
			DETAIL = format('There are %s.', cardinality(properties)), HINT = 'Name only columns that signals look at.';
	END IF;
	FOREACH property IN ARRAY coalesce(properties, '{}') LOOP
		value := leadscore_internal.property_value(source::oid, property);
		name := leadscore_internal.property_name(source::oid, property);
		IF value = property AND NOT leadscore_internal.is_term_for_column(source::oid, property) OR name = '' THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('the property "%s" has no name', property),
				DETAIL = 'It is no column of the table, and an expression has no name of its own.', HINT = 'Write name => expression, such as price => (payload ->> ''price'')::numeric.';
		ELSIF name = ANY (names) THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('the property "%s" is there twice', name),
				DETAIL = 'A property has one value.', HINT = 'Name one of the two otherwise: name => expression.';
		END IF;
		names := names || name;
		PERFORM leadscore_internal.term_type(source, value, 'property'::text);
	END LOOP;
END
$$;

COMMENT ON FUNCTION leadscore_internal.check_properties(regclass, text[]) IS 'refuses what cannot be properties';

CREATE FUNCTION leadscore_internal.create_triggers(source regclass, mapping jsonb, function text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	-- the first number that no trigger of the table has in its name, whosever it is
	prefix CONSTANT text := (SELECT format('LEADSCORE_%s', min(n))
		FROM generate_series(1, 1 + (SELECT count(*) FROM pg_trigger t WHERE t.tgrelid = source)) n
		WHERE NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = source AND starts_with(t.tgname::text, format('LEADSCORE_%s_', n))));
	event text;
BEGIN
	FOREACH event IN ARRAY ARRAY['insert', 'update', 'delete', 'truncate'] LOOP
		EXECUTE format('CREATE TRIGGER %I AFTER %s ON %s %s FOR EACH STATEMENT EXECUTE FUNCTION leadscore.%I(%L)',
			prefix || '_' || event, event, source,
			CASE event WHEN 'insert' THEN 'REFERENCING NEW TABLE AS leadscore_new'
				WHEN 'update' THEN 'REFERENCING NEW TABLE AS leadscore_new OLD TABLE AS leadscore_old'
				WHEN 'delete' THEN 'REFERENCING OLD TABLE AS leadscore_old' ELSE '' END,
			function, mapping);
	END LOOP;
	-- one for all: the server copies each trigger of a table for each statement on it
	EXECUTE format('CREATE TRIGGER %I BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION leadscore.%I(%L)',
		prefix || '_before', source, function, mapping);
END
$$;

COMMENT ON FUNCTION leadscore_internal.create_triggers(regclass, jsonb, text)
	IS 'makes the triggers of a table; by their names they fire before all whose names begin with a small letter';

CREATE FUNCTION leadscore_internal.drop_triggers(source regclass, prefix text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET client_min_messages = 'warning'
AS $$
DECLARE
	name text;
BEGIN
	FOREACH name IN ARRAY ARRAY['insert', 'update', 'delete', 'truncate', 'before'] LOOP
		EXECUTE format('DROP TRIGGER IF EXISTS %I ON %s', prefix || '_' || name, source);
	END LOOP;
END
$$;

COMMENT ON FUNCTION leadscore_internal.drop_triggers(regclass, text) IS 'drops the triggers of a table';

-- Families are looked up from some tables, upwards and downwards, so that it does not matter how many others there are.

CREATE FUNCTION leadscore_internal.family_above(tables oid[]) RETURNS oid[]
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH RECURSIVE member AS (
		SELECT unnest(tables) AS oid
		UNION
		SELECT i.inhparent FROM member m JOIN pg_inherits i ON i.inhrelid = m.oid AND NOT i.inhdetachpending
	)
	SELECT array_agg(m.oid) FROM member m
$$;

COMMENT ON FUNCTION leadscore_internal.family_above(oid[]) IS 'some tables, and those that they are partitions or children of, at any depth';

CREATE FUNCTION leadscore_internal.family_below(tables oid[]) RETURNS oid[]
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH RECURSIVE member AS (
		SELECT unnest(tables) AS oid
		UNION
		SELECT i.inhrelid FROM member m JOIN pg_inherits i ON i.inhparent = m.oid AND NOT i.inhdetachpending
	)
	SELECT array_agg(m.oid) FROM member m
$$;

COMMENT ON FUNCTION leadscore_internal.family_below(oid[]) IS 'some tables with their partitions and children, at any depth';

CREATE FUNCTION leadscore_internal.children(source regclass) RETURNS SETOF regclass
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT m::regclass FROM unnest(leadscore_internal.family_below(ARRAY[source::oid])) m WHERE m <> source
$$;

COMMENT ON FUNCTION leadscore_internal.children(regclass) IS 'the partitions and inheritance children of a table, at any depth';

-- A statement fires the triggers of the table that it names. So partitions and
-- children have triggers of their own, for what is written to them directly;
-- their rows are read through the source.

CREATE FUNCTION leadscore_internal.begin_tracking(source regclass, mapping jsonb, function text) RETURNS boolean
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	what CONSTANT text := CASE function WHEN 'record' THEN 'timeline' WHEN 'record_profile' THEN 'profile' ELSE 'alias' END;
	members oid[];
	was_tracked boolean;
	other regclass;
	child regclass;
BEGIN
	EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', source);
	members := leadscore_internal.family_below(ARRAY[source::oid]);
	IF octet_length(mapping::text) > 1000000 THEN
		RAISE EXCEPTION USING ERRCODE = 'program_limit_exceeded', MESSAGE = 'the mapping is too long',
			DETAIL = format('It has %s bytes.', octet_length(mapping::text)), HINT = 'Give the events a shorter kind.';
	END IF;
	IF EXISTS (SELECT FROM leadscore.source s WHERE s.source = begin_tracking.source AND s.feeds = what
			AND s.mapping - '{maintenance,latest_by}'::text[] = begin_tracking.mapping - '{maintenance,latest_by}'::text[])
		AND NOT EXISTS (SELECT FROM leadscore_internal.trigger_set t WHERE t.source::oid = ANY (members) AND t.feeds = what AND NOT t.complete
			AND t.mapping - '{partition,maintenance,latest_by}'::text[] = begin_tracking.mapping - '{maintenance,latest_by}'::text[]) THEN
		RAISE EXCEPTION USING ERRCODE = 'duplicate_object', MESSAGE = format('%s is already tracked in this way', source),
			DETAIL = format('The mapping is %s.', mapping), HINT = 'See leadscore.source; leadscore.untrack() ends tracking.';
	END IF;
	SELECT s.source INTO other FROM leadscore.source s
	WHERE s.feeds = what AND s.source <> begin_tracking.source
	AND (s.source::oid = ANY (members) OR s.source::oid = ANY (leadscore_internal.family_above(ARRAY[begin_tracking.source::oid])));
	IF FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('%s is already tracked through %s', source, other),
			DETAIL = 'One of the two is a partition or child of the other: its rows would count twice.',
			HINT = format('SELECT leadscore.untrack(%L) first.', other);
	END IF;

	-- somebody has dropped triggers of ours: what was counted before is still in the timelines
	was_tracked := EXISTS (SELECT FROM leadscore_internal.trigger_set t WHERE t.source = begin_tracking.source AND t.feeds = what AND t.mapping = begin_tracking.mapping)
		OR EXISTS (SELECT FROM leadscore.known_source k WHERE k.source = begin_tracking.source AND NOT k.dropped
			AND k.mappings @> jsonb_build_array(jsonb_build_object('feeds', what, 'mapping', begin_tracking.mapping)));
	IF was_tracked THEN
		RAISE NOTICE USING MESSAGE = format('triggers of %s were missing, and have been created again', source), HINT = 'CALL leadscore.rebuild() counts what was written without them.';
		PERFORM leadscore_internal.drop_trigger_sets(source, mapping, what);
	END IF;
	PERFORM leadscore_internal.create_triggers(source, mapping, function);
	FOR child IN SELECT leadscore_internal.children(source) LOOP
		EXIT WHEN EXISTS (SELECT FROM pg_class k WHERE k.oid = child AND k.relkind = 'f');	-- to be refused
		PERFORM leadscore_internal.create_triggers(child, mapping || '{"partition": true}', function);
	END LOOP;
	PERFORM leadscore_internal.check_children(ARRAY[source::oid]);
	PERFORM leadscore_internal.look_at_source(source);
	PERFORM leadscore_internal.note_due(source::oid, 'triggers of leadscore were missing'::text) WHERE was_tracked;
	RETURN NOT was_tracked;
END
$$;

COMMENT ON FUNCTION leadscore_internal.begin_tracking(regclass, jsonb, text)
	IS 'makes the triggers of a source, its partitions and children, and says whether its rows are to be counted, or have been';

CREATE FUNCTION leadscore_internal.check_children(tables oid[]) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	members CONSTANT oid[] := leadscore_internal.family_below(tables);
	family CONSTANT oid[] := leadscore_internal.family_above(members);
	child record;
BEGIN
	SELECT s.source AS child, i.inhparent::regclass AS source INTO child
	FROM leadscore.source s JOIN pg_inherits i ON i.inhrelid = s.source
	WHERE s.source::oid = ANY (members) AND (s.source::oid = ANY (tables) OR i.inhparent = ANY (tables));
	IF FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'feature_not_supported', MESSAGE = format('%s cannot be tracked as a partition or child of %s', child.child, child.source),
			DETAIL = format('Statements on %s do not tell the triggers of %s which of its rows they change.', child.source, child.child),
			HINT = format('Track %s instead.', child.source);
	END IF;
	SELECT k.oid::regclass AS child INTO child
	FROM pg_class k
	WHERE k.oid = ANY (members) AND k.relpersistence <> 'p'
	AND EXISTS (SELECT FROM leadscore.source s WHERE s.source::oid = ANY (leadscore_internal.family_above(ARRAY[k.oid])));
	IF FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'feature_not_supported', MESSAGE = format('the tracked table %s cannot be temporary or unlogged', child.child),
			DETAIL = 'Its rows are gone when the session ends, or after a crash; timelines stay.', HINT = 'Untrack it, or leave it permanent and logged.';
	END IF;
	SELECT k.oid::regclass AS child, s.source INTO child
	FROM pg_class k JOIN leadscore.source s ON s.source::oid = ANY (leadscore_internal.family_above(ARRAY[k.oid]))
	WHERE k.oid = ANY (members) AND k.relkind = 'f' AND s.source::oid = ANY (family);
	IF FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'feature_not_supported', MESSAGE = format('a tracked table cannot have the foreign table %s as a partition or child', child.child),
			DETAIL = format('Statements on %s could not tell its triggers which rows they write there, and would fail.', child.source),
			HINT = 'Keep the foreign table apart from the tracked one, and track it where it lives.';
	END IF;
	-- (once a member: joined to the sources first, which a planner may prefer, it would be once for each pair of members)
	WITH above AS MATERIALIZED (SELECT m AS member, unnest(leadscore_internal.family_above(ARRAY[m])) AS source FROM unnest(members) m)
	SELECT a.member::regclass AS child, min(s.source::text) AS one, max(s.source::text) AS other INTO child
	FROM above a JOIN leadscore.source s ON s.source::oid = a.source AND a.source <> a.member
	WHERE s.source::oid = ANY (family)
	GROUP BY a.member, s.feeds
	HAVING count(DISTINCT s.source) > 1;
	IF FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'feature_not_supported', MESSAGE = format('%s cannot be the child of two tracked tables', child.child),
			DETAIL = format('%s and %s are tracked. A statement on one of them does not tell the other of the rows that it changes in their child.', child.one, child.other),
			HINT = 'Untrack one of the two.';
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.check_children(oid[]) IS 'refuses families of tables, those that some tables belong to, in which some would change unseen';

CREATE FUNCTION leadscore_internal.tell_of_size(source regclass) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	-- by the statistics or, where there are none, by the size
	estimate CONSTANT float8 := (SELECT sum(CASE WHEN c.reltuples < 0 THEN pg_relation_size(c.oid) / 100 ELSE c.reltuples END)
		FROM pg_class c WHERE c.oid = ANY (leadscore_internal.family_below(ARRAY[source::oid])) AND c.relkind = 'r');
BEGIN
	IF estimate > 100000 THEN
		RAISE NOTICE USING MESSAGE = format('counting some %s rows of %s; writers of the table wait in the meantime', round(estimate::numeric, -3), source),
			HINT = 'With past => false track() leaves them to CALL leadscore.rebuild(), which does not block writers.';
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.tell_of_size(regclass) IS 'NOTICE that a large table will be counted';

CREATE FUNCTION leadscore_internal.tell_of_column(source regclass, name text) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF leadscore_internal.equal_may_differ(source, name) THEN
		RAISE NOTICE USING MESSAGE = format('texts in column "%s" of %s can be equal and have other bytes', name, source),
			DETAIL = 'Its type or collation says so, as for upper and lower case. leadscore tells leads apart by their bytes: they are different leads.',
			HINT = 'Write them alike, or name one an alias of the other.';
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.tell_of_column(regclass, text) IS 'NOTICE of a column of leads whose texts can be equal with different bytes';

CREATE FUNCTION leadscore_internal.hint_of_future(source regclass, occurred_at text) RETURNS text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT 'Scores take rows of the future into account when their time has come.'
		|| CASE WHEN leadscore_internal.has_column(source::oid, occurred_at) AND leadscore_internal.column_type(source, occurred_at) = 'timestamp'::regtype
			THEN format(' "%s" is read as UTC. If it is local time, untrack() the table and track() it with occurred_at => %L.', occurred_at, format('%I AT TIME ZONE %L', occurred_at,
				CASE WHEN current_setting('TimeZone') IN ('UTC', 'GMT', 'Etc/UTC') THEN 'Europe/Berlin' ELSE current_setting('TimeZone') END)) ELSE '' END
$$;

COMMENT ON FUNCTION leadscore_internal.hint_of_future(regclass, text) IS 'what to do where rows of a table lie in the future: times of a timestamp may be local';

CREATE FUNCTION leadscore_internal.add_past(source regclass, mapping jsonb) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	counted bigint;
	details text[];
	hints text[];
BEGIN
	SELECT coalesce(sum(a.rows) FILTER (WHERE a.what = 'counted'), 0),
		array_agg(format('%s: %s, such as ctid %s of %s%s.', t.said, a.rows, a.example, a.example_table, ' (' || a.message || ')') ORDER BY t.place) FILTER (WHERE t.said IS NOT NULL),
		array_agg(DISTINCT t.hint) FILTER (WHERE t.hint IS NOT NULL)
	INTO counted, details, hints
	FROM leadscore_internal.add_source(source, mapping, with_children => true, subtract => false) a
	LEFT JOIN (VALUES
		(0, 'filtered', 'Left out by the filter', 'Rows that the filter leaves out count once they pass it.'),
		(1, 'no lead', 'Skipped for a lead that is NULL, empty or over 1024 bytes', 'Rows that are skipped count once an UPDATE has corrected them.'),
		(2, 'no kind', 'Skipped for a kind that is NULL or empty', 'Rows that are skipped count once an UPDATE has corrected them.'),
		(3, 'no time', 'Skipped for a time that is NULL or not in the years 1970 to 9999', 'Rows that are skipped count once an UPDATE has corrected them.'),
		(4, 'no value', 'Skipped for a value that is no number below 10^12', 'Rows that are skipped count once an UPDATE has corrected them.'),
		(5, 'failed', 'Skipped because an expression fails', 'Rows that are skipped count once an UPDATE has corrected them.'),
		(8, 'archived', 'Archived, and not counted', 'Archived events count as they were when CALL leadscore.archive() was made; those of a table that is tracked later do not.'),
		(6, 'no signal', 'Taken by no signal', 'Rows that no signal takes count once there is a signal for them, and after CALL leadscore.rebuild().'),
		(7, 'in the future', 'In the future', leadscore_internal.hint_of_future(source, mapping ->> 'occurred_at'))
	) t (place, what, said, hint) ON t.what = a.what;
	IF details IS NOT NULL THEN
		RAISE NOTICE USING MESSAGE = format('rows of %s that are counted: %s', source, counted), DETAIL = array_to_string(details, ' '), HINT = array_to_string(hints, ' ');
	ELSIF counted > 0 THEN
		RAISE NOTICE USING MESSAGE = format('rows of %s that are counted: %s', source, counted);
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.add_past(regclass, jsonb) IS 'adds the rows of a source to the timelines, and tells how many of them are counted, and which are not';

-- functions

CREATE FUNCTION leadscore_internal.checked_mapping(command text, source regclass, lead_id text, kind text, kind_column text,
	occurred_at text, value text, properties text[], maintenance text, filter text, past boolean) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF maintenance IS NULL OR maintenance NOT IN ('immediate', 'deferred') THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'maintenance is unknown',
			DETAIL = format('It is %s.', coalesce(quote_literal(maintenance), 'NULL')), HINT = 'Write immediate or deferred.';
	END IF;
	IF past IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'past is NULL',
			DETAIL = 'It says whether existing rows are counted at once.', HINT = 'Write true, or false to leave them to CALL leadscore.rebuild().';
	END IF;
	PERFORM leadscore_internal.check_source(source);
	IF lead_id IS NULL OR occurred_at IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
			MESSAGE = format('%s() needs the column %s', command, CASE WHEN lead_id IS NULL THEN 'lead_id' ELSE 'occurred_at' END),
			DETAIL = 'An event belongs to a lead and has a time.',
			HINT = format('For example: SELECT leadscore.%s(''shop.orders'', lead_id => ''customer_id'', kind => ''purchase'', occurred_at => ''placed_at'', value => ''total'').', command);
	END IF;
	IF (kind IS NULL) = (kind_column IS NULL) OR kind = '' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('%s() needs either kind or kind_column', command),
			DETAIL = format('kind is %s, kind_column is %s.', coalesce(quote_literal(kind), 'NULL'), coalesce(quote_literal(kind_column), 'NULL')),
			HINT = 'Give kind if all rows are of one kind, kind_column if a column names it.';
	END IF;

	PERFORM leadscore_internal.term_type(source, occurred_at, 'time'::text), leadscore_internal.term_type(source, value, 'number'::text);
	PERFORM leadscore_internal.check_properties(source, properties);
	PERFORM leadscore_internal.term_type(source, name, 'name'::text) FROM unnest(ARRAY[lead_id, kind_column]) name;
	PERFORM leadscore_internal.term_type(source, filter, 'condition'::text);
	RETURN jsonb_strip_nulls(jsonb_build_object('lead_id', lead_id, 'kind', kind, 'kind_column', kind_column,
		'occurred_at', occurred_at, 'value', value, 'properties', properties, 'maintenance', nullif(maintenance, 'immediate'), 'filter', filter));
END
$$;

COMMENT ON FUNCTION leadscore_internal.checked_mapping(text, regclass, text, text, text, text, text, text[], text, text, boolean)
	IS 'the mapping of a table of events, or an error that says what is wrong with the arguments of a command';

CREATE FUNCTION leadscore.track(source regclass, lead_id text, kind text DEFAULT NULL, kind_column text DEFAULT NULL,
	occurred_at text DEFAULT NULL, value text DEFAULT NULL, properties text[] DEFAULT NULL,
	maintenance text DEFAULT 'immediate', filter text DEFAULT NULL, past boolean DEFAULT true) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	mapping jsonb;
BEGIN
	PERFORM leadscore_internal.check_not_distributed(source);
	mapping := leadscore_internal.checked_mapping('track'::text, source, lead_id, kind, kind_column, occurred_at, value, properties, maintenance, filter, past);
	PERFORM leadscore_internal.check_event_index(source, lead_id) WHERE EXISTS (SELECT FROM leadscore.source s WHERE s.feeds = 'alias');
	IF NOT leadscore_internal.begin_tracking(source, mapping, 'record'::text) THEN
		RETURN;
	END IF;
	PERFORM leadscore_internal.tell_of_column(source, lead_id);
	IF past THEN
		PERFORM leadscore_internal.tell_of_size(source);
		PERFORM leadscore_internal.begin_progress('track'::text, source::oid);
		PERFORM leadscore_internal.report_progress('track'::text, 'reading'::text, 0::bigint, leadscore_internal.rows_estimated(ARRAY[source]));
		PERFORM leadscore_internal.add_past(source, mapping);
		PERFORM leadscore_internal.end_progress('track'::text);
	ELSIF leadscore_internal.has_rows(source) THEN
		PERFORM leadscore_internal.note_due(source::oid, 'the rows that were there when it was tracked are not yet counted'::text);
		RAISE NOTICE USING MESSAGE = format('no row of %s is counted yet', source),
			HINT = 'CALL leadscore.rebuild() counts them while writers go on.';
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore.track(regclass, text, text, text, text, text, text[], text, text, boolean)
	IS 'counts the rows of a table as events: existing ones at once, new ones when they are inserted';

CREATE FUNCTION leadscore_internal.attributes(source regclass, properties text[]) RETURNS SETOF text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT leadscore_internal.property_name(source::oid, p) FROM unnest(properties) p
	-- a jsonb column alone brings its members, whatever it is called
	WHERE cardinality(properties) > 1 OR leadscore_internal.property_value(source::oid, p) <> p
	OR NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = source AND a.attname::text = p AND a.atttypid IN ('json'::regtype, 'jsonb'::regtype))
$$;

COMMENT ON FUNCTION leadscore_internal.attributes(regclass, text[]) IS 'the attributes that a table of customers brings to profiles, as far as its mapping names them';

CREATE FUNCTION leadscore_internal.tell_of_attributes(source regclass, properties text[]) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	other record;
BEGIN
	SELECT s.source, a.name INTO other
	FROM leadscore_internal.attributes(source, properties) AS a (name)
	JOIN leadscore.source s ON s.feeds = 'profile' AND s.source <> tell_of_attributes.source AND a.name IN (SELECT leadscore_internal.attributes(s.source, s.properties))
	LIMIT 1;
	IF FOUND THEN
		RAISE NOTICE USING MESSAGE = format('the attribute "%s" of profiles comes from %s, too', other.name, other.source),
			DETAIL = 'A row takes out of a profile what it has brought: of a lead with rows in both tables, the other one may have brought it.',
			HINT = format('If leads have rows in both, give it a name of its own, such as %L.', format('other_%s => %I', other.name, other.name));
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.tell_of_attributes(regclass, text[]) IS 'tells of an attribute that two tables bring to profiles';

CREATE FUNCTION leadscore_internal.checked_profile_mapping(command text, source regclass, lead_id text, properties text[], filter text, latest_by text) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	mapping CONSTANT jsonb := jsonb_strip_nulls(jsonb_build_object('lead_id', lead_id, 'properties', properties, 'filter', filter, 'latest_by', latest_by));
	problem record;
BEGIN
	PERFORM leadscore_internal.check_source(source);
	IF lead_id IS NULL OR coalesce(cardinality(properties), 0) = 0 THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = format('%s() needs lead_id and properties', command),
			DETAIL = 'A profile belongs to a lead and has at least one attribute.',
			HINT = format('For example: SELECT leadscore.%s(''shop.customers'', ''customer_id'', ''{country,age}'').', command);
	END IF;
	PERFORM leadscore_internal.check_properties(source, properties);
	PERFORM leadscore_internal.term_type(source, lead_id, 'name'::text), leadscore_internal.term_type(source, filter, 'condition'::text);
	IF latest_by IS NOT NULL AND NOT leadscore_internal.is_ordered(leadscore_internal.column_type(source, latest_by)) THEN
		RAISE EXCEPTION USING ERRCODE = 'datatype_mismatch', MESSAGE = format('column "%s" does not say which row is the latest', latest_by),
			DETAIL = format('It is of type %s.', leadscore_internal.column_type(source, latest_by)), HINT = 'Name a column of a time, a number or a text.';
	END IF;
	SELECT p.* INTO problem FROM leadscore_internal.lead_key_problem(source, mapping) p;
	IF problem.state IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = format('table %s %s', source, problem.state),
			DETAIL = 'If a row is deleted, another row of the lead has to take its place.', HINT = problem.action || '.';
	END IF;
	RETURN mapping;
END
$$;

COMMENT ON FUNCTION leadscore_internal.checked_profile_mapping(text, regclass, text, text[], text, text)
	IS 'the mapping of a table of customers, or an error that says what is wrong with the arguments of a command';

CREATE FUNCTION leadscore.track_profile(source regclass, lead_id text, properties text[], filter text DEFAULT NULL, latest_by text DEFAULT NULL) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	mapping jsonb;
BEGIN
	PERFORM leadscore_internal.check_not_distributed(source);
	mapping := leadscore_internal.checked_profile_mapping('track_profile'::text, source, lead_id, properties, filter, latest_by);
	PERFORM leadscore_internal.tell_of_attributes(source, properties);
	IF leadscore_internal.begin_tracking(source, mapping, 'record_profile'::text) THEN
		PERFORM leadscore_internal.add_profiles(source, mapping, with_children => true, subtract => false);
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore.track_profile(regclass, text, text[], text, text)
	IS 'keeps lead.profile true to a table of customers: existing rows and new ones';

-- Rows that do not count. Writers only append here: nobody updates a row, so nobody waits for one.

CREATE TABLE leadscore_internal.skipped (
	source oid NOT NULL,
	reason text NOT NULL,
	rows bigint NOT NULL,
	last_at timestamptz NOT NULL DEFAULT now()
);

ALTER TABLE leadscore_internal.skipped REPLICA IDENTITY FULL;
ALTER TABLE leadscore_internal.skipped SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
	autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 10000, autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 10000);

COMMENT ON TABLE leadscore_internal.skipped IS 'rows of tracked tables that are not counted, by statement and reason; fold() makes one of many';
COMMENT ON COLUMN leadscore_internal.skipped.source IS 'the table';
COMMENT ON COLUMN leadscore_internal.skipped.reason IS 'why';
COMMENT ON COLUMN leadscore_internal.skipped.rows IS 'how many';
COMMENT ON COLUMN leadscore_internal.skipped.last_at IS 'when the last one was written';

CREATE VIEW leadscore.skipped_row AS
SELECT k.source::regclass AS source, k.reason, sum(k.rows)::bigint AS rows, max(k.last_at) AS last_at
FROM leadscore_internal.skipped k JOIN pg_class c ON c.oid = k.source
GROUP BY k.source, k.reason;

COMMENT ON VIEW leadscore.skipped_row IS 'rows of tracked tables that statements have written and that are not counted, or not yet';
COMMENT ON COLUMN leadscore.skipped_row.source IS 'the table';
COMMENT ON COLUMN leadscore.skipped_row.reason IS 'why: no lead, no kind, no time, no value, an expression that fails, a time that is archived, or one in the future';
COMMENT ON COLUMN leadscore.skipped_row.rows IS 'how many, each time that one is written';
COMMENT ON COLUMN leadscore.skipped_row.last_at IS 'when the last one was written';

CREATE FUNCTION leadscore_internal.note_skipped(source oid, reasons text[], rows bigint[]) RETURNS void
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	INSERT INTO leadscore_internal.skipped (source, reason, rows) SELECT note_skipped.source, r.reason, r.rows FROM unnest(reasons, rows) r (reason, rows)
$$;

COMMENT ON FUNCTION leadscore_internal.note_skipped(oid, text[], bigint[]) IS 'notes rows that a statement has skipped';

CREATE FUNCTION leadscore_internal.forget_skipped(source oid) RETURNS void
	LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	DELETE FROM leadscore_internal.skipped k
	WHERE k.ctid = ANY (ARRAY(SELECT o.ctid FROM leadscore_internal.skipped o WHERE o.source = forget_skipped.source FOR UPDATE SKIP LOCKED))
$$;

COMMENT ON FUNCTION leadscore_internal.forget_skipped(oid) IS 'forgets which rows of a table were skipped, or in the future';

CREATE FUNCTION leadscore.forget_skipped(source regclass) RETURNS void
	LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
	SELECT leadscore_internal.forget_skipped(source::oid)
$$;

COMMENT ON FUNCTION leadscore.forget_skipped(regclass) IS 'empties skipped_row of a table, whose rows have been mended or are as they are meant to be';

CREATE FUNCTION leadscore_internal.condense_skipped() RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	-- elsewhere a row that another has removed is an error, locked or not
	IF pg_relation_size('leadscore_internal.skipped') = 0 OR current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
		RETURN;
	END IF;
	WITH many AS (
		SELECT k.source, k.reason FROM leadscore_internal.skipped k GROUP BY 1, 2
		HAVING count(*) > 100 OR NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = k.source)
	), gone AS (
		DELETE FROM leadscore_internal.skipped k
		WHERE k.ctid = ANY (ARRAY(SELECT o.ctid FROM leadscore_internal.skipped o JOIN many m ON m.source = o.source AND m.reason = o.reason FOR UPDATE OF o SKIP LOCKED))
		RETURNING k.source, k.reason, k.rows, k.last_at
	)
	INSERT INTO leadscore_internal.skipped (source, reason, rows, last_at)
	SELECT g.source, g.reason, sum(g.rows), max(g.last_at) FROM gone g JOIN pg_class c ON c.oid = g.source GROUP BY 1, 2;
END
$$;

COMMENT ON FUNCTION leadscore_internal.condense_skipped() IS 'makes one row of those that say the same of a table, where there are many';

CREATE FUNCTION leadscore_internal.note_everybody() RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	INSERT INTO leadscore_internal.changed_lead SELECT NULL WHERE pg_relation_size('leadscore.derivation') > 0;
END
$$;

COMMENT ON FUNCTION leadscore_internal.note_everybody() IS 'has the next derive() look at all leads, where there are rules';

CREATE FUNCTION leadscore_internal.end_tracking(source regclass, what text[], mapping jsonb DEFAULT NULL) RETURNS integer
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tracked record;
	problem text;
	n integer := 0;
BEGIN
	-- as DROP TRIGGER locks it: a transaction that has read the table goes on to write it, which a lesser lock would keep
	-- waiting for us, while we wait for it
	EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', source);
	FOR tracked IN
		SELECT m.feeds, m.mapping, bool_or(m.registered) AS registered
		FROM (
			SELECT s.feeds, s.mapping, true AS registered FROM leadscore.source s WHERE s.source = end_tracking.source
			UNION ALL
			-- what the registry does not know any more, because somebody has dropped triggers of ours
			SELECT t.feeds, t.mapping, false FROM leadscore_internal.trigger_set t WHERE t.source = end_tracking.source AND NOT t.mapping ? 'partition'
			UNION ALL
			SELECT e ->> 'feeds', e -> 'mapping', false FROM leadscore.known_source k CROSS JOIN jsonb_array_elements(k.mappings) e WHERE k.source = end_tracking.source
		) m
		WHERE m.feeds = ANY (what) AND (end_tracking.mapping IS NULL OR m.mapping = end_tracking.mapping)
		GROUP BY m.feeds, m.mapping
	LOOP
		problem := CASE WHEN NOT tracked.registered OR EXISTS (SELECT FROM leadscore_internal.trigger_set t
			WHERE t.source::oid = ANY (leadscore_internal.family_below(ARRAY[end_tracking.source::oid])) AND t.feeds = tracked.feeds AND t.mapping - 'partition' = tracked.mapping
			AND (t.disabled OR NOT t.complete)) THEN 'Triggers of leadscore were missing or disabled' END;
		IF tracked.feeds <> 'profile' AND problem IS NULL THEN
			BEGIN
				IF tracked.feeds = 'timeline' THEN
					PERFORM leadscore_internal.add_source(source, tracked.mapping, with_children => true, subtract => true);
				ELSE
					PERFORM leadscore_internal.add_aliases(source, tracked.mapping, with_children => true, subtract => true);
				END IF;
			EXCEPTION WHEN OTHERS THEN
				problem := SQLERRM;
			END;
		END IF;
		IF tracked.feeds <> 'profile' AND problem IS NOT NULL THEN
			PERFORM leadscore_internal.note_everybody();
			PERFORM leadscore_internal.note_due(source::oid, 'its rows could not be taken out'::text);
			RAISE NOTICE USING MESSAGE = format('the rows of %s stay in the %s', source, CASE tracked.feeds WHEN 'timeline' THEN 'timelines' ELSE 'names' END), DETAIL = problem || '.',
				HINT = 'CALL leadscore.rebuild() removes them.';
		END IF;
		PERFORM leadscore_internal.drop_trigger_sets(source, tracked.mapping, tracked.feeds);
		PERFORM leadscore_internal.forget_mapping(source::oid, tracked.feeds, tracked.mapping);
		n := n + 1;
	END LOOP;
	RETURN n;
END
$$;

COMMENT ON FUNCTION leadscore_internal.end_tracking(regclass, text[], jsonb)
	IS 'ends tracking of a table for timelines, profiles or names, in one way (NULL: in all), and says how many mappings it had';

CREATE FUNCTION leadscore.untrack(source regclass, trigger_prefix text DEFAULT NULL) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	what text[] := '{timeline,profile,alias}';
	mapping jsonb;
BEGIN
	PERFORM leadscore_internal.check_source(source);
	IF leadscore_internal.end_distribution(source, trigger_prefix) THEN
		RETURN;
	END IF;
	IF trigger_prefix IS NOT NULL THEN
		SELECT ARRAY[t.feeds], t.mapping INTO what, mapping FROM leadscore_internal.trigger_set t
		WHERE t.source = untrack.source AND t.trigger_prefix = untrack.trigger_prefix AND NOT t.mapping ? 'partition';
		IF NOT FOUND THEN
			RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('%s has no mapping %s', source, trigger_prefix),
				DETAIL = 'A mapping is known by how the names of its triggers begin.',
				HINT = leadscore_internal.known('mappings'::text, ARRAY(SELECT s.trigger_prefix FROM leadscore.source s WHERE s.source = untrack.source ORDER BY 1));
		END IF;
	END IF;
	IF leadscore_internal.end_tracking(source, what, mapping) = 0 THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('%s is not tracked', source),
			DETAIL = 'It has no triggers of leadscore.',
			HINT = leadscore_internal.known('tracked tables'::text, ARRAY(SELECT DISTINCT s.source::text FROM leadscore.source s ORDER BY 1));
	END IF;
	PERFORM leadscore_internal.forget_skipped(source::oid) WHERE NOT EXISTS (SELECT FROM leadscore.source s WHERE s.source = untrack.source);
END
$$;

COMMENT ON FUNCTION leadscore.untrack(regclass, text)
	IS 'ends tracking of a table, in one way or in all, and takes its rows out of timelines and names; profiles stay';

-- partitions and children that come and go

CREATE FUNCTION leadscore_internal.check_seen(what text, query text, names text[] DEFAULT NULL) RETURNS void
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE;

COMMENT ON FUNCTION leadscore_internal.check_seen(text, text, text[]) IS 'a serialization failure, if the text that a query gives has changed since the snapshot';

CREATE FUNCTION leadscore_internal.is_seen(query text, names text[]) RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;

COMMENT ON FUNCTION leadscore_internal.is_seen(text, text[]) IS 'whether the text that a query gives is still that of the snapshot';

CREATE FUNCTION leadscore_internal.check_sources_seen() RETURNS void
	LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
	SELECT leadscore_internal.check_seen('The sources'::text,
		'SELECT string_agg(format(''%s %s'', source::oid, mapping), '','' ORDER BY source::oid, mapping) FROM leadscore_internal.source_trigger'::text, NULL::text[])
$$;

COMMENT ON FUNCTION leadscore_internal.check_sources_seen() IS 'a serialization failure, if what is tracked has changed since the snapshot';

-- Only the families of tables that the command has touched are looked at. What
-- others have made of theirs, such as a trigger by hand, or hold a lock on,
-- must not keep anybody from making a table. src/live/follow.c calls this only where
-- a table that was touched, or one above it, has triggers of ours.

CREATE FUNCTION leadscore_internal.follow_tables(tables oid[]) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	members CONSTANT oid[] := leadscore_internal.family_below(tables);
	family CONSTANT oid[] := leadscore_internal.family_above(members);
	child record;
BEGIN
	IF EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = ANY (tables) OR i.inhrelid = ANY (tables)) THEN
		PERFORM leadscore_internal.check_sources_seen();
	END IF;
	FOR child IN
		SELECT DISTINCT o.source, s.source AS parent, s.feeds
		FROM leadscore.source o JOIN leadscore.source s ON s.feeds = o.feeds AND s.source <> o.source
		WHERE o.source::oid = ANY (members) AND s.source::oid = ANY (family)
		AND s.source::oid = ANY (leadscore_internal.family_above(ARRAY[o.source::oid]))
	LOOP
		RAISE NOTICE USING MESSAGE = format('%s is no longer a source of its own', child.source),
			DETAIL = format('It is now a partition or child of %s, through which its rows count.', child.parent);
		PERFORM leadscore_internal.end_tracking(child.source, ARRAY[child.feeds], NULL::jsonb);
	END LOOP;
	PERFORM leadscore_internal.check_children(tables);
	FOR child IN
		-- (once a member, as in check_children())
		WITH above AS MATERIALIZED (SELECT m AS member, unnest(leadscore_internal.family_above(ARRAY[m])) AS source FROM unnest(members) m)
		SELECT a.member::regclass AS child, s.mapping, s.feeds
		FROM above a JOIN leadscore.source s ON s.source::oid = a.source AND a.source <> a.member
		WHERE s.source::oid = ANY (family)
		AND NOT EXISTS (SELECT FROM leadscore_internal.source_trigger t
			WHERE t.source::oid = a.member AND t.feeds = s.feeds AND t.mapping = s.mapping || '{"partition": true}')
	LOOP
		PERFORM leadscore_internal.create_triggers(child.child, child.mapping || '{"partition": true}',
			leadscore_internal.trigger_function(child.feeds));
		PERFORM leadscore_internal.add_rows(child.child, child.feeds, child.mapping, subtract => false);
	END LOOP;

	FOR child IN
		SELECT t.source, t.mapping - 'partition' AS mapping, t.feeds, t.trigger_prefix
		FROM leadscore_internal.source_trigger t
		WHERE t.mapping ? 'partition' AND t.source::oid = ANY (members)
		AND NOT EXISTS (SELECT FROM leadscore.source s
			WHERE s.source::oid = ANY (family) AND s.feeds = t.feeds AND s.mapping = t.mapping - 'partition'
			AND s.source <> t.source AND s.source::oid = ANY (leadscore_internal.family_above(ARRAY[t.source::oid])))
	LOOP
		PERFORM leadscore_internal.add_rows(child.source, child.feeds, child.mapping, subtract => true);
		PERFORM leadscore_internal.drop_triggers(child.source, child.trigger_prefix);
	END LOOP;

	PERFORM leadscore_internal.look_at_source(s.source)
	FROM (SELECT DISTINCT s.source FROM leadscore.source s WHERE s.source::oid = ANY (family)
		UNION SELECT k.source::regclass FROM leadscore.known_source k WHERE k.source = ANY (tables)) s
	WHERE s.source::oid = ANY (tables) OR EXISTS (SELECT FROM leadscore_internal.trigger_set t WHERE t.source::oid = ANY (members) AND t.disabled);
	PERFORM leadscore_internal.look_at_names(tables);
	PERFORM leadscore_internal.look_at_own(tables);
END
$$;

COMMENT ON FUNCTION leadscore_internal.follow_tables(oid[])
	IS 'tracks the partitions and children of a source that have come by a command, and no longer those that have gone';

CREATE FUNCTION leadscore_internal.follow_children() RETURNS event_trigger
	AS 'MODULE_PATHNAME' LANGUAGE C;

COMMENT ON FUNCTION leadscore_internal.follow_children() IS 'event trigger: tracks new partitions and children of a source, and ends it for detached ones';

CREATE FUNCTION leadscore_internal.follow_drop(dropped regclass) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	is_worker CONSTANT boolean := EXISTS (SELECT FROM leadscore_internal.worker);
	tracked record;
BEGIN
	PERFORM leadscore_internal.check_sources_seen();
	-- partitions and children are dropped with it; their triggers tell what each of them has brought
	FOR tracked IN
		SELECT t.source, t.feeds, t.mapping - 'partition' AS mapping, t.trigger_prefix
		FROM leadscore_internal.source_trigger t
		WHERE t.source::oid = ANY (leadscore_internal.family_below(ARRAY[dropped::oid]))
	LOOP
		BEGIN
			PERFORM leadscore_internal.add_rows(tracked.source, tracked.feeds, tracked.mapping, subtract => true);
			-- a shard may have moved: its leads are where it is now, and have not changed
			PERFORM leadscore_internal.leave_to_look() WHERE is_worker;
		EXCEPTION WHEN data_exception OR undefined_object OR undefined_function OR undefined_column OR program_limit_exceeded THEN
			PERFORM leadscore_internal.note_everybody();
			PERFORM leadscore_internal.note_due(dropped::oid, 'its rows could not be taken out'::text);
			RAISE NOTICE USING MESSAGE = format('the rows of %s stay in the timelines', tracked.source), DETAIL = SQLERRM || '.',
				HINT = 'CALL leadscore.rebuild() removes them.';
		END;
		-- it may be dropped again by the same command, through its parent
		PERFORM leadscore_internal.drop_triggers(tracked.source, tracked.trigger_prefix);
	END LOOP;
	PERFORM leadscore_internal.note_dropped(dropped);
END
$$;

COMMENT ON FUNCTION leadscore_internal.follow_drop(regclass) IS 'takes the rows of a table that will be dropped out of timelines and profiles';

CREATE FUNCTION leadscore_internal.follow_drops() RETURNS event_trigger
	AS 'MODULE_PATHNAME' LANGUAGE C;

COMMENT ON FUNCTION leadscore_internal.follow_drops() IS 'event trigger: subtracts the rows of a table before it is dropped';

CREATE EVENT TRIGGER leadscore_follow_drops ON ddl_command_start
	WHEN TAG IN ('DROP TABLE', 'DROP SCHEMA', 'DROP OWNED', 'ALTER SUBSCRIPTION', 'DROP SUBSCRIPTION')
	EXECUTE FUNCTION leadscore_internal.follow_drops();

COMMENT ON EVENT TRIGGER leadscore_follow_drops IS 'subtracts the rows of tracked tables that are dropped';

CREATE EVENT TRIGGER leadscore_follow_children ON ddl_command_end
	WHEN TAG IN ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO', 'ALTER TABLE', 'ALTER INDEX', 'CREATE FOREIGN TABLE', 'ALTER FOREIGN TABLE', 'CREATE SCHEMA')
	EXECUTE FUNCTION leadscore_internal.follow_children();

COMMENT ON EVENT TRIGGER leadscore_follow_children IS 'tracks partitions and children that are created or attached, and ends it for detached ones';

-- the table event is tracked from the start

SELECT leadscore_internal.create_triggers('leadscore.event', '{"lead_id": "lead_id", "kind_column": "kind",
	"occurred_at": "occurred_at", "value": "value", "properties": ["properties"]}', 'record');

SELECT pg_catalog.pg_extension_config_dump('leadscore.event', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.event_event_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.lead', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.lead_timeline', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.lead_alias', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.pending_delta', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.pending_profile', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.pending_profile_change_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore_internal.changed_lead', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore_internal.pending_identity', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore_internal.pending_identity_change_id_seq', '');
