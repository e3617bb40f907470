\echo Use "CREATE EXTENSION leadscore" to load this file. \quit
-- schema.sql: whether the schema is safe to install into
--
-- What we do as our owner calls functions of the schema leadscore. Whoever can
-- create objects in it, or has left some there, must be trusted as our owner is.

DO $$
DECLARE
	schema pg_catalog.pg_namespace;
	owner pg_catalog.pg_roles;
	others pg_catalog.text;
BEGIN
	SELECT n.* INTO STRICT schema FROM pg_catalog.pg_namespace n WHERE n.nspname OPERATOR(pg_catalog.=) 'leadscore'::pg_catalog.name;
	SELECT r.* INTO STRICT owner FROM pg_catalog.pg_roles r WHERE r.oid OPERATOR(pg_catalog.=) schema.nspowner;
	IF NOT owner.rolsuper AND owner.rolname OPERATOR(pg_catalog.<>) current_user THEN
		RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
			MESSAGE = pg_catalog.format('schema leadscore belongs to role "%s"', owner.rolname),
			DETAIL = 'Its owner can create functions in it that would be called with the rights of the extension''s owner.',
			HINT = 'ALTER SCHEMA leadscore OWNER TO CURRENT_USER, or drop the schema: CREATE EXTENSION makes it.';
	END IF;

	SELECT pg_catalog.string_agg(coalesce(pg_catalog.quote_ident(r.rolname), 'PUBLIC'::pg_catalog.text), ', '::pg_catalog.text ORDER BY r.rolname) INTO others
	FROM pg_catalog.aclexplode(schema.nspacl) a LEFT JOIN pg_catalog.pg_roles r ON r.oid OPERATOR(pg_catalog.=) a.grantee
	WHERE a.privilege_type OPERATOR(pg_catalog.=) 'CREATE'::pg_catalog.text AND a.grantee OPERATOR(pg_catalog.<>) schema.nspowner
	AND r.rolsuper IS NOT TRUE AND r.rolname IS DISTINCT FROM current_user;
	IF others IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
			MESSAGE = 'others may create objects in schema leadscore',
			DETAIL = pg_catalog.format('The privilege CREATE is granted to %s, whose functions would be called with the rights of the extension''s owner.', others),
			HINT = pg_catalog.format('CREATE SCHEMA IF NOT EXISTS leadscore, REVOKE CREATE ON SCHEMA leadscore FROM %s, then CREATE EXTENSION.', others);
	END IF;

	-- relations, types, functions, operators, and privileges that are to be granted on what is made: all depend on the schema
	SELECT pg_catalog.string_agg(o.object, ', '::pg_catalog.text) INTO others
	FROM (
		SELECT DISTINCT pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid) AS object
		FROM pg_catalog.pg_depend d
		WHERE d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_namespace'::pg_catalog.regclass::pg_catalog.oid
		AND d.refobjid OPERATOR(pg_catalog.=) schema.oid
		AND d.classid OPERATOR(pg_catalog.=) ANY (ARRAY['pg_catalog.pg_class', 'pg_catalog.pg_type', 'pg_catalog.pg_proc', 'pg_catalog.pg_operator',
			'pg_catalog.pg_opclass', 'pg_catalog.pg_opfamily', 'pg_catalog.pg_default_acl']::pg_catalog.regclass[]::pg_catalog.oid[])
		ORDER BY 1
		LIMIT 10
	) o;
	IF others IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = 'schema leadscore is not empty',
			DETAIL = pg_catalog.format('It has: %s.', others),
			HINT = 'Move these objects to another schema, or drop them.';
	END IF;
END
$$;
-- types.sql: the type timeline

-- type

CREATE TYPE leadscore.timeline;

CREATE FUNCTION leadscore.timeline_in(cstring) RETURNS leadscore.timeline
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore.timeline_out(leadscore.timeline) RETURNS cstring
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore.timeline_recv(internal) RETURNS leadscore.timeline
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore.timeline_send(leadscore.timeline) RETURNS bytea
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE TYPE leadscore.timeline (
	INPUT = leadscore.timeline_in,
	OUTPUT = leadscore.timeline_out,
	RECEIVE = leadscore.timeline_recv,
	SEND = leadscore.timeline_send,
	STORAGE = external
);

COMMENT ON TYPE leadscore.timeline IS 'a lead''s history: occurrences and value of each signal by UTC hour';
COMMENT ON FUNCTION leadscore.timeline_in(cstring) IS 'timeline from text';
COMMENT ON FUNCTION leadscore.timeline_out(leadscore.timeline) IS 'timeline to text';
COMMENT ON FUNCTION leadscore.timeline_recv(internal) IS 'timeline from the wire';
COMMENT ON FUNCTION leadscore.timeline_send(leadscore.timeline) IS 'timeline to the wire: its bytes as stored';

-- private functions

CREATE FUNCTION leadscore.timeline_eq(leadscore.timeline, leadscore.timeline) RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore.timeline_ne(leadscore.timeline, leadscore.timeline) RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore.timeline_hash(leadscore.timeline) RETURNS integer
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore.timeline_hash_extended(leadscore.timeline, bigint) RETURNS bigint
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore.timeline_add(leadscore.timeline, leadscore.timeline) RETURNS leadscore.timeline
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore.timeline_subtract(leadscore.timeline, leadscore.timeline) RETURNS leadscore.timeline
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore.timeline_plus(leadscore.timeline) RETURNS leadscore.timeline
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore.timeline_minus(leadscore.timeline) RETURNS leadscore.timeline
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION leadscore.timeline_eq(leadscore.timeline, leadscore.timeline) IS 'implementation of = operator';
COMMENT ON FUNCTION leadscore.timeline_ne(leadscore.timeline, leadscore.timeline) IS 'implementation of <> operator';
COMMENT ON FUNCTION leadscore.timeline_hash(leadscore.timeline) IS 'hash';
COMMENT ON FUNCTION leadscore.timeline_hash_extended(leadscore.timeline, bigint) IS 'hash with a seed';
COMMENT ON FUNCTION leadscore.timeline_add(leadscore.timeline, leadscore.timeline) IS 'implementation of + operator';
COMMENT ON FUNCTION leadscore.timeline_subtract(leadscore.timeline, leadscore.timeline) IS 'implementation of - operator';
COMMENT ON FUNCTION leadscore.timeline_plus(leadscore.timeline) IS 'implementation of + operator';
COMMENT ON FUNCTION leadscore.timeline_minus(leadscore.timeline) IS 'implementation of - operator';

-- operators

CREATE OPERATOR leadscore.= (
	LEFTARG = leadscore.timeline, RIGHTARG = leadscore.timeline, FUNCTION = leadscore.timeline_eq,
	COMMUTATOR = OPERATOR(leadscore.=), NEGATOR = OPERATOR(leadscore.<>),
	RESTRICT = eqsel, JOIN = eqjoinsel, HASHES
);

CREATE OPERATOR leadscore.<> (
	LEFTARG = leadscore.timeline, RIGHTARG = leadscore.timeline, FUNCTION = leadscore.timeline_ne,
	COMMUTATOR = OPERATOR(leadscore.<>), NEGATOR = OPERATOR(leadscore.=),
	RESTRICT = neqsel, JOIN = neqjoinsel
);

CREATE OPERATOR leadscore.+ (
	LEFTARG = leadscore.timeline, RIGHTARG = leadscore.timeline, FUNCTION = leadscore.timeline_add,
	COMMUTATOR = OPERATOR(leadscore.+)
);

CREATE OPERATOR leadscore.- (
	LEFTARG = leadscore.timeline, RIGHTARG = leadscore.timeline, FUNCTION = leadscore.timeline_subtract
);

CREATE OPERATOR leadscore.+ (RIGHTARG = leadscore.timeline, FUNCTION = leadscore.timeline_plus);

CREATE OPERATOR leadscore.- (RIGHTARG = leadscore.timeline, FUNCTION = leadscore.timeline_minus);

COMMENT ON OPERATOR leadscore.= (leadscore.timeline, leadscore.timeline) IS 'equal';
COMMENT ON OPERATOR leadscore.<> (leadscore.timeline, leadscore.timeline) IS 'not equal';
COMMENT ON OPERATOR leadscore.+ (leadscore.timeline, leadscore.timeline) IS 'add hour by hour';
COMMENT ON OPERATOR leadscore.- (leadscore.timeline, leadscore.timeline) IS 'subtract hour by hour';
COMMENT ON OPERATOR leadscore.+ (NONE, leadscore.timeline) IS 'the timeline itself';
COMMENT ON OPERATOR leadscore.- (NONE, leadscore.timeline) IS 'negate every occurrence and value';

CREATE OPERATOR CLASS leadscore.timeline_ops DEFAULT FOR TYPE leadscore.timeline USING hash AS
	OPERATOR 1 leadscore.= (leadscore.timeline, leadscore.timeline),
	FUNCTION 1 leadscore.timeline_hash(leadscore.timeline),
	FUNCTION 2 leadscore.timeline_hash_extended(leadscore.timeline, bigint);

COMMENT ON OPERATOR CLASS leadscore.timeline_ops USING hash IS 'equality of timelines';
-- core.sql: the pure core: values in, values out, no table is read

-- private functions

CREATE FUNCTION leadscore.timeline_agg_transition(internal, jsonb, text, timestamptz, numeric, jsonb) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 15;

CREATE FUNCTION leadscore.timeline_agg_inverse(internal, jsonb, text, timestamptz, numeric, jsonb) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 15;

CREATE FUNCTION leadscore.timeline_agg_final(internal) RETURNS leadscore.timeline
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION leadscore.timeline_sum_transition(internal, leadscore.timeline) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 15;

CREATE FUNCTION leadscore.timeline_sum_inverse(internal, leadscore.timeline) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 15;

CREATE FUNCTION leadscore.timeline_sum_final(internal) RETURNS leadscore.timeline
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION leadscore.timeline_builder_merge(internal, internal) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION leadscore.timeline_builder_serialize(internal) RETURNS bytea
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore.timeline_builder_deserialize(bytea, internal) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION leadscore.timeline_agg_transition(internal, jsonb, text, timestamptz, numeric, jsonb) IS 'aggregate transition function';
COMMENT ON FUNCTION leadscore.timeline_agg_inverse(internal, jsonb, text, timestamptz, numeric, jsonb) IS 'aggregate inverse transition function';
COMMENT ON FUNCTION leadscore.timeline_agg_final(internal) IS 'aggregate final function';
COMMENT ON FUNCTION leadscore.timeline_sum_transition(internal, leadscore.timeline) IS 'aggregate transition function';
COMMENT ON FUNCTION leadscore.timeline_sum_inverse(internal, leadscore.timeline) IS 'aggregate inverse transition function';
COMMENT ON FUNCTION leadscore.timeline_sum_final(internal) IS 'aggregate final function';
COMMENT ON FUNCTION leadscore.timeline_builder_merge(internal, internal) IS 'aggregate combine function';
COMMENT ON FUNCTION leadscore.timeline_builder_serialize(internal) IS 'aggregate serial function';
COMMENT ON FUNCTION leadscore.timeline_builder_deserialize(bytea, internal) IS 'aggregate deserial function';

-- aggregates

CREATE AGGREGATE leadscore.timeline_agg(signals jsonb, kind text, occurred_at timestamptz, value numeric, properties jsonb) (
	SFUNC = leadscore.timeline_agg_transition,
	STYPE = internal,
	SSPACE = 512,
	FINALFUNC = leadscore.timeline_agg_final,
	COMBINEFUNC = leadscore.timeline_builder_merge,
	SERIALFUNC = leadscore.timeline_builder_serialize,
	DESERIALFUNC = leadscore.timeline_builder_deserialize,
	MSFUNC = leadscore.timeline_agg_transition,
	MINVFUNC = leadscore.timeline_agg_inverse,
	MSTYPE = internal,
	MSSPACE = 512,
	MFINALFUNC = leadscore.timeline_agg_final,
	PARALLEL = safe
);

COMMENT ON AGGREGATE leadscore.timeline_agg(jsonb, text, timestamptz, numeric, jsonb)
	IS 'the timeline of events; NULL if none counts for a signal';

CREATE AGGREGATE leadscore.timeline_sum(leadscore.timeline) (
	SFUNC = leadscore.timeline_sum_transition,
	STYPE = internal,
	SSPACE = 512,
	FINALFUNC = leadscore.timeline_sum_final,
	COMBINEFUNC = leadscore.timeline_builder_merge,
	SERIALFUNC = leadscore.timeline_builder_serialize,
	DESERIALFUNC = leadscore.timeline_builder_deserialize,
	MSFUNC = leadscore.timeline_sum_transition,
	MINVFUNC = leadscore.timeline_sum_inverse,
	MSTYPE = internal,
	MSSPACE = 512,
	MFINALFUNC = leadscore.timeline_sum_final,
	PARALLEL = safe
);

COMMENT ON AGGREGATE leadscore.timeline_sum(leadscore.timeline) IS 'the sum of timelines; NULL if there is none';

-- functions

CREATE FUNCTION leadscore.scorable(kind text, occurred_at timestamptz, value numeric, properties jsonb) RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION leadscore.scorable(text, timestamptz, numeric, jsonb)
	IS 'whether timeline_agg() can count an event';

CREATE FUNCTION leadscore.timeline_entries(
	timeline leadscore.timeline,
	OUT signal_id integer, OUT hour timestamptz, OUT occurrences bigint, OUT value numeric
) RETURNS SETOF record
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 20;

COMMENT ON FUNCTION leadscore.timeline_entries(leadscore.timeline) IS 'the entries of a timeline as rows';

CREATE FUNCTION leadscore.timeline_before(timeline leadscore.timeline, at timestamptz) RETURNS leadscore.timeline
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 5;

CREATE FUNCTION leadscore.timeline_first_hour(timeline leadscore.timeline, signal_id integer, "from" timestamptz, "to" timestamptz) RETURNS timestamptz
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 5;

CREATE FUNCTION leadscore.timeline_start(timeline leadscore.timeline) RETURNS timestamptz
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore.timeline_last_hour(timeline leadscore.timeline) RETURNS timestamptz
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 5;

CREATE FUNCTION leadscore.timeline_total(timeline leadscore.timeline, signal_id integer, since timestamptz, until timestamptz,
	OUT occurrences numeric, OUT value numeric)
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 10;

COMMENT ON FUNCTION leadscore.timeline_before(leadscore.timeline, timestamptz) IS 'the part of a timeline before the hour of an instant';
COMMENT ON FUNCTION leadscore.timeline_first_hour(leadscore.timeline, integer, timestamptz, timestamptz)
	IS 'the first hour within bounds in which a signal occurred; any signal, if it is NULL';
COMMENT ON FUNCTION leadscore.timeline_start(leadscore.timeline) IS 'the hour of the first entry';
COMMENT ON FUNCTION leadscore.timeline_last_hour(leadscore.timeline) IS 'the last hour of any signal';
COMMENT ON FUNCTION leadscore.timeline_total(leadscore.timeline, integer, timestamptz, timestamptz)
	IS 'occurrences and value of a signal within bounds; NULL: no bound';

CREATE FUNCTION leadscore.coarsen(timeline leadscore.timeline, before timestamptz) RETURNS leadscore.timeline
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION leadscore.coarsen(leadscore.timeline, timestamptz)
	IS 'a timeline with the hours before the UTC day of an instant kept by the day';

CREATE FUNCTION leadscore.score(scorecard jsonb, timeline leadscore.timeline, profile jsonb, at timestamptz) RETURNS float8
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 10;

COMMENT ON FUNCTION leadscore.score(jsonb, leadscore.timeline, jsonb, timestamptz)
	IS 'the score of a timeline and a profile at an instant';

CREATE TYPE leadscore.appraisal AS (
	score float8,
	engagement float8,
	fit float8,
	probability float8,
	grade text,
	stage text,
	segment text,
	last_active timestamptz
);

COMMENT ON TYPE leadscore.appraisal IS 'what a lead is worth to a model, and why';
COMMENT ON COLUMN leadscore.appraisal.score IS 'engagement + fit, within the model''s floor and ceiling';
COMMENT ON COLUMN leadscore.appraisal.engagement IS 'points of the event signals';
COMMENT ON COLUMN leadscore.appraisal.fit IS 'points of the profile signals';
COMMENT ON COLUMN leadscore.appraisal.probability IS 'of a conversion, where the model has intercept and slope';
COMMENT ON COLUMN leadscore.appraisal.grade IS 'by fit';
COMMENT ON COLUMN leadscore.appraisal.stage IS 'the furthest stage reached within its window';
COMMENT ON COLUMN leadscore.appraisal.segment IS 'the first segment whose conditions hold';
COMMENT ON COLUMN leadscore.appraisal.last_active IS 'the last hour of any signal up to the instant';

CREATE FUNCTION leadscore.appraise(scorecard jsonb, timeline leadscore.timeline, profile jsonb, at timestamptz) RETURNS leadscore.appraisal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 20;

COMMENT ON FUNCTION leadscore.appraise(jsonb, leadscore.timeline, jsonb, timestamptz)
	IS 'score, grade, stage and segment of a timeline and a profile at an instant';

CREATE FUNCTION leadscore.contributions(
	scorecard jsonb, timeline leadscore.timeline, profile jsonb, at timestamptz,
	OUT weight_id integer, OUT signal text, OUT measure text, OUT measured float8, OUT points float8,
	OUT uncapped_points float8, OUT category text, OUT stage text, OUT last_at timestamptz
) RETURNS SETOF record
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE ROWS 30;

COMMENT ON FUNCTION leadscore.contributions(jsonb, leadscore.timeline, jsonb, timestamptz)
	IS 'what each weight measured and is worth';

CREATE FUNCTION leadscore.features(scorecard jsonb, timeline leadscore.timeline, profile jsonb, at timestamptz) RETURNS float8[]
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 20;

COMMENT ON FUNCTION leadscore.features(jsonb, leadscore.timeline, jsonb, timestamptz)
	IS 'what each weight measured, in the order of the scorecard''s weights';
-- catalog.sql: the configuration: tables that a person edits, and the
-- documents that the core takes

-- private functions

CREATE FUNCTION leadscore.refuse(problem text, value text, hint text) RETURNS boolean
	LANGUAGE plpgsql VOLATILE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RAISE EXCEPTION USING ERRCODE = 'check_violation', MESSAGE = problem,
		DETAIL = 'The value is ' || coalesce(value, 'NULL') || '.', HINT = hint;
END
$$;

COMMENT ON FUNCTION leadscore.refuse(text, text, text) IS 'the error of a failed check, for use in the check';

-- What the columns of another table hold may be of types whose casts run code of its owner.

CREATE FUNCTION leadscore.check_trigger(fired_on oid, own regclass) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF fired_on <> own THEN
		RAISE EXCEPTION USING ERRCODE = 'trigger_protocol_violated', MESSAGE = format('the trigger function is for %s alone', own),
			DETAIL = format('It was called on %s.', fired_on::regclass), HINT = 'Drop the trigger.';
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore.check_trigger(oid, regclass) IS 'refuses a trigger function that runs as the owner on another table than its own';

CREATE FUNCTION leadscore.utf8(name text) RETURNS bytea
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION leadscore.utf8(text) IS 'the bytes of a name in UTF-8, or as they are where they have no form in it: what hashes of names are made of';

CREATE FUNCTION leadscore.check_duration(what text, duration interval, hint text) RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore.duration_hours(what text, duration interval, hint text) RETURNS integer
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION leadscore.check_duration(text, interval, text) IS 'true, or an error if a duration in a table is under an hour or too long';
COMMENT ON FUNCTION leadscore.duration_hours(text, interval, text) IS 'a duration in hours, rounded up, or an error if an argument is under an hour or too long';

CREATE FUNCTION leadscore.check_scorecard(document jsonb) RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION leadscore.check_scorecard(jsonb) IS 'true, or an error that names the path of what is wrong';

CREATE FUNCTION leadscore.check_condition(condition jsonpath) RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION leadscore.check_condition(jsonpath) IS 'true, or an error if a jsonpath is no predicate';

CREATE FUNCTION leadscore.signals_changed() RETURNS trigger
	AS 'MODULE_PATHNAME' LANGUAGE C;

COMMENT ON FUNCTION leadscore.signals_changed() IS 'trigger: tells every session that the signals have changed';

CREATE FUNCTION leadscore.hold_lock(what text) RETURNS void
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;

COMMENT ON FUNCTION leadscore.hold_lock(text) IS 'keeps others who want the lock of a name waiting until the transaction ends; no advisory lock of SQL is in its way';

-- signal

CREATE TABLE leadscore.signal (
	signal text PRIMARY KEY
		CONSTRAINT signal_not_empty CHECK ((signal <> '') IS NOT FALSE OR leadscore.refuse(
			'signal name is empty', '""', 'Name what is counted, such as "visit".')),
	signal_id integer NOT NULL UNIQUE GENERATED ALWAYS AS IDENTITY,
	subject text NOT NULL DEFAULT 'event'
		CONSTRAINT signal_subject_known CHECK ((subject IN ('event', 'profile')) IS NOT FALSE OR leadscore.refuse(
			'signal subject is unknown', subject, 'Write event or profile.')),
	kind text
		CONSTRAINT signal_kind_not_empty CHECK ((kind <> '') IS NOT FALSE OR leadscore.refuse(
			'signal kind is empty', '""', 'Write NULL for any kind.')),
	match jsonb
		CONSTRAINT signal_match_is_object CHECK ((jsonb_typeof(match) = 'object') IS NOT FALSE OR leadscore.refuse(
			'signal match is not a JSON object', match::text, 'Write an object such as {"device": "mobile"}, or NULL.')),
	condition jsonpath
		CONSTRAINT signal_condition_is_predicate CHECK (leadscore.check_condition(condition)),
	description text,
	CONSTRAINT signal_profile_has_no_kind CHECK ((subject <> 'profile' OR kind IS NULL) IS NOT FALSE OR leadscore.refuse(
		'a profile signal has no kind', kind, 'Kinds belong to events; write NULL.'))
);

COMMENT ON TABLE leadscore.signal IS 'what is counted: an event''s kind and what its properties must look like, or what a profile must look like';
COMMENT ON COLUMN leadscore.signal.signal IS 'name';
COMMENT ON COLUMN leadscore.signal.signal_id IS 'number in timelines: assigned, stable, never used again';
COMMENT ON COLUMN leadscore.signal.subject IS 'event or profile';
COMMENT ON COLUMN leadscore.signal.kind IS 'the kind of event; NULL: any';
COMMENT ON COLUMN leadscore.signal.match IS 'what the properties must contain, as with @>; NULL: anything';
COMMENT ON COLUMN leadscore.signal.condition IS 'a predicate that the properties must meet, as with @@; NULL: none';
COMMENT ON COLUMN leadscore.signal.description IS 'for people';

-- A session counts with the signals that it has compiled: changes must always
-- reach it, also those made under session_replication_role = replica.
CREATE TRIGGER signals_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON leadscore.signal
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.signals_changed();
ALTER TABLE leadscore.signal ENABLE ALWAYS TRIGGER signals_changed;

-- model

CREATE TABLE leadscore.model (
	model text PRIMARY KEY
		CONSTRAINT model_not_empty CHECK ((model <> '') IS NOT FALSE OR leadscore.refuse(
			'model name is empty', '""', 'Name the model, such as "default".')),
	description text,
	floor float8
		CONSTRAINT model_floor_finite CHECK ((floor > '-Infinity' AND floor < 'Infinity') IS NOT FALSE OR leadscore.refuse(
			'model floor is not finite', floor::text, 'Write a number, or NULL for none.')),
	ceiling float8
		CONSTRAINT model_ceiling_finite CHECK ((ceiling > '-Infinity' AND ceiling < 'Infinity') IS NOT FALSE OR leadscore.refuse(
			'model ceiling is not finite', ceiling::text, 'Write a number, or NULL for none.')),
	intercept float8
		CONSTRAINT model_intercept_finite CHECK ((intercept > '-Infinity' AND intercept < 'Infinity') IS NOT FALSE OR leadscore.refuse(
			'model intercept is not finite', intercept::text, 'Write a number, or NULL for none.')),
	slope float8
		CONSTRAINT model_slope_finite CHECK ((slope > '-Infinity' AND slope < 'Infinity') IS NOT FALSE OR leadscore.refuse(
			'model slope is not finite', slope::text, 'Write a number, or NULL for none.')),
	CONSTRAINT model_floor_below_ceiling CHECK ((floor < ceiling) IS NOT FALSE OR leadscore.refuse(
		'model floor is not below its ceiling', format('floor %s, ceiling %s', floor, ceiling), 'Lower the floor, or raise the ceiling.'))
);

COMMENT ON TABLE leadscore.model IS 'a way to score: models stand side by side on the same timelines';
COMMENT ON COLUMN leadscore.model.model IS 'name';
COMMENT ON COLUMN leadscore.model.description IS 'for people';
COMMENT ON COLUMN leadscore.model.floor IS 'the lowest score; NULL: none';
COMMENT ON COLUMN leadscore.model.ceiling IS 'the highest score; NULL: none';
COMMENT ON COLUMN leadscore.model.intercept IS 'probability = 1 / (1 + exp(-(intercept + slope * (engagement + fit))))';
COMMENT ON COLUMN leadscore.model.slope IS 'probability = 1 / (1 + exp(-(intercept + slope * (engagement + fit))))';

-- category

CREATE TABLE leadscore.category (
	model text NOT NULL REFERENCES leadscore.model ON UPDATE CASCADE ON DELETE CASCADE,
	category text NOT NULL
		CONSTRAINT category_not_empty CHECK ((category <> '') IS NOT FALSE OR leadscore.refuse(
			'category name is empty', '""', 'Name the category, such as "email".')),
	min_points float8
		CONSTRAINT category_min_points_finite CHECK ((min_points > '-Infinity' AND min_points < 'Infinity') IS NOT FALSE OR leadscore.refuse(
			'category min_points is not finite', min_points::text, 'Write a number, or NULL for none.')),
	max_points float8
		CONSTRAINT category_max_points_finite CHECK ((max_points > '-Infinity' AND max_points < 'Infinity') IS NOT FALSE OR leadscore.refuse(
			'category max_points is not finite', max_points::text, 'Write a number, or NULL for none.')),
	PRIMARY KEY (model, category),
	CONSTRAINT category_min_not_above_max CHECK ((min_points <= max_points) IS NOT FALSE OR leadscore.refuse(
		'category min_points is above max_points', format('min_points %s, max_points %s', min_points, max_points), 'Swap the two.'))
);

COMMENT ON TABLE leadscore.category IS 'weights that are limited together';
COMMENT ON COLUMN leadscore.category.model IS 'the model';
COMMENT ON COLUMN leadscore.category.category IS 'name';
COMMENT ON COLUMN leadscore.category.min_points IS 'the least that its weights come to together; NULL: no limit';
COMMENT ON COLUMN leadscore.category.max_points IS 'the most that its weights come to together; NULL: no limit';

-- stage

CREATE TABLE leadscore.stage (
	model text NOT NULL REFERENCES leadscore.model ON UPDATE CASCADE ON DELETE CASCADE,
	stage text NOT NULL
		CONSTRAINT stage_not_empty CHECK ((stage <> '') IS NOT FALSE OR leadscore.refuse(
			'stage name is empty', '""', 'Name the stage, such as "decision".')),
	position integer NOT NULL,
	within interval
		CONSTRAINT stage_within_positive CHECK (leadscore.check_duration('stage window', within, 'Write a duration such as 30 days, or NULL for ever.')),
	PRIMARY KEY (model, stage),
	UNIQUE (model, position) DEFERRABLE
);

COMMENT ON TABLE leadscore.stage IS 'how far a lead has come: the highest position whose weights'' signals occurred within its window';
COMMENT ON COLUMN leadscore.stage.model IS 'the model';
COMMENT ON COLUMN leadscore.stage.stage IS 'name';
COMMENT ON COLUMN leadscore.stage.position IS 'a higher one is further along';
COMMENT ON COLUMN leadscore.stage.within IS 'how long an occurrence counts; NULL: for ever';

-- weight

CREATE TABLE leadscore.weight (
	weight_id integer PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY,
	model text NOT NULL REFERENCES leadscore.model ON UPDATE CASCADE ON DELETE CASCADE,
	signal text NOT NULL REFERENCES leadscore.signal ON UPDATE CASCADE,
	measure text NOT NULL
		CONSTRAINT weight_measure_known CHECK ((measure IN ('count', 'value', 'average_value', 'active_days', 'days_since_last', 'days_since_first', 'present')) IS NOT FALSE OR leadscore.refuse('weight measure is unknown', measure,
				'Write count, value, average_value, active_days, days_since_last, days_since_first, or present for a profile signal.')),
	points float8 NOT NULL
		CONSTRAINT weight_points_finite CHECK ((points > '-Infinity' AND points < 'Infinity') IS NOT FALSE OR leadscore.refuse(
			'weight points are not finite', points::text, 'Write a number.')),
	curve text NOT NULL DEFAULT 'linear'
		CONSTRAINT weight_curve_known CHECK ((curve IN ('linear', 'log')) IS NOT FALSE OR leadscore.refuse(
			'weight curve is unknown', curve, 'Write linear or log.')),
	half_life interval
		CONSTRAINT weight_half_life_positive CHECK (leadscore.check_duration('weight half_life', half_life, 'Write a duration such as 14 days, or NULL for no decay.')),
	fades_over interval
		CONSTRAINT weight_fades_over_positive CHECK (leadscore.check_duration('weight fades_over', fades_over, 'Write a duration such as 30 days, or NULL for no fading.')),
	within interval
		CONSTRAINT weight_within_positive CHECK (leadscore.check_duration('weight window', within, 'Write a duration such as 90 days, or NULL for ever.')),
	at_least float8
		CONSTRAINT weight_at_least_finite CHECK ((at_least > '-Infinity' AND at_least < 'Infinity') IS NOT FALSE OR leadscore.refuse(
			'weight at_least is not finite', at_least::text, 'Write a number, or NULL for no lower bound.')),
	below float8
		CONSTRAINT weight_below_finite CHECK ((below > '-Infinity' AND below < 'Infinity') IS NOT FALSE OR leadscore.refuse(
			'weight below is not finite', below::text, 'Write a number, or NULL for no upper bound.')),
	max_per_day integer
		CONSTRAINT weight_max_per_day_positive CHECK ((max_per_day > 0) IS NOT FALSE OR leadscore.refuse(
			'weight max_per_day is not above zero', max_per_day::text, 'Write a whole number from 1, or NULL for no limit.')),
	min_points float8
		CONSTRAINT weight_min_points_finite CHECK ((min_points > '-Infinity' AND min_points < 'Infinity') IS NOT FALSE OR leadscore.refuse(
			'weight min_points is not finite', min_points::text, 'Write a number, or NULL for none.')),
	max_points float8
		CONSTRAINT weight_max_points_finite CHECK ((max_points > '-Infinity' AND max_points < 'Infinity') IS NOT FALSE OR leadscore.refuse(
			'weight max_points is not finite', max_points::text, 'Write a number, or NULL for none.')),
	category text,
	stage text,
	FOREIGN KEY (model, category) REFERENCES leadscore.category ON UPDATE CASCADE,
	FOREIGN KEY (model, stage) REFERENCES leadscore.stage ON UPDATE CASCADE,
	CONSTRAINT weight_at_least_below_below CHECK ((at_least < below) IS NOT FALSE OR leadscore.refuse(
		'weight at_least is not below "below"', format('at_least %s, below %s', at_least, below), 'A band holds at_least <= measured < below.')),
	CONSTRAINT weight_min_not_above_max CHECK ((min_points <= max_points) IS NOT FALSE OR leadscore.refuse(
		'weight min_points is above max_points', format('min_points %s, max_points %s', min_points, max_points), 'Swap the two.'))
);

CREATE INDEX weight_model_idx ON leadscore.weight (model);
CREATE INDEX weight_signal_idx ON leadscore.weight (signal);

COMMENT ON TABLE leadscore.weight IS 'what a signal is worth to a model';
COMMENT ON COLUMN leadscore.weight.weight_id IS 'number, assigned';
COMMENT ON COLUMN leadscore.weight.model IS 'the model';
COMMENT ON COLUMN leadscore.weight.signal IS 'the signal that is measured';
COMMENT ON COLUMN leadscore.weight.measure IS 'count, value, average_value, active_days, days_since_last, days_since_first; present for a profile signal (the defaults are count and present)';
COMMENT ON COLUMN leadscore.weight.points IS 'for each unit measured or, with a band, for being in it';
COMMENT ON COLUMN leadscore.weight.curve IS 'linear: points * measured; log: points * ln(1 + measured)';
COMMENT ON COLUMN leadscore.weight.half_life IS 'count and value: an hour this old counts half; NULL: no decay';
COMMENT ON COLUMN leadscore.weight.fades_over IS 'count and value: an hour counts less and less, and nothing from this age on; NULL: no fading';
COMMENT ON COLUMN leadscore.weight.within IS 'only hours younger than this are measured; NULL: all';
COMMENT ON COLUMN leadscore.weight.at_least IS 'the band''s lower bound, included; NULL: none';
COMMENT ON COLUMN leadscore.weight.below IS 'the band''s upper bound, not included; NULL: none';
COMMENT ON COLUMN leadscore.weight.max_per_day IS 'count: the most occurrences of one UTC day, earliest first; NULL: all';
COMMENT ON COLUMN leadscore.weight.min_points IS 'the least that the weight is worth; NULL: no limit';
COMMENT ON COLUMN leadscore.weight.max_points IS 'the most that the weight is worth; NULL: no limit';
COMMENT ON COLUMN leadscore.weight.category IS 'weights that are limited together';
COMMENT ON COLUMN leadscore.weight.stage IS 'the stage that the signal shows';

-- grade

CREATE TABLE leadscore.grade (
	model text NOT NULL REFERENCES leadscore.model ON UPDATE CASCADE ON DELETE CASCADE,
	grade text NOT NULL
		CONSTRAINT grade_not_empty CHECK ((grade <> '') IS NOT FALSE OR leadscore.refuse(
			'grade name is empty', '""', 'Name the grade, such as "A".')),
	min_fit float8
		CONSTRAINT grade_min_fit_finite CHECK ((min_fit > '-Infinity' AND min_fit < 'Infinity') IS NOT FALSE OR leadscore.refuse(
			'grade min_fit is not finite', min_fit::text, 'Write a number, or NULL for the grade of all others.')),
	PRIMARY KEY (model, grade)
);

CREATE UNIQUE INDEX grade_min_fit_key ON leadscore.grade (model, coalesce(min_fit, '-Infinity'));

COMMENT ON TABLE leadscore.grade IS 'grades by fit: the highest min_fit that is reached';
COMMENT ON COLUMN leadscore.grade.model IS 'the model';
COMMENT ON COLUMN leadscore.grade.grade IS 'name';
COMMENT ON COLUMN leadscore.grade.min_fit IS 'the fit it takes; NULL: any';

-- segment

CREATE TABLE leadscore.segment (
	model text NOT NULL REFERENCES leadscore.model ON UPDATE CASCADE ON DELETE CASCADE,
	segment text NOT NULL
		CONSTRAINT segment_not_empty CHECK ((segment <> '') IS NOT FALSE OR leadscore.refuse(
			'segment name is empty', '""', 'Name the segment, such as "high".')),
	position integer NOT NULL,
	min_score float8
		CONSTRAINT segment_min_score_finite CHECK ((min_score > '-Infinity' AND min_score < 'Infinity') IS NOT FALSE OR leadscore.refuse(
			'segment min_score is not finite', min_score::text, 'Write a number, or NULL for no condition.')),
	min_fit float8
		CONSTRAINT segment_min_fit_finite CHECK ((min_fit > '-Infinity' AND min_fit < 'Infinity') IS NOT FALSE OR leadscore.refuse(
			'segment min_fit is not finite', min_fit::text, 'Write a number, or NULL for no condition.')),
	min_engagement float8
		CONSTRAINT segment_min_engagement_finite CHECK ((min_engagement > '-Infinity' AND min_engagement < 'Infinity') IS NOT FALSE OR leadscore.refuse(
			'segment min_engagement is not finite', min_engagement::text, 'Write a number, or NULL for no condition.')),
	hysteresis float8
		CONSTRAINT segment_hysteresis_not_negative CHECK ((hysteresis >= 0 AND hysteresis < 'Infinity') IS NOT FALSE OR leadscore.refuse(
			'segment hysteresis is negative or not finite', hysteresis::text, 'Write a number of points from 0, or NULL for none.')),
	cool_down interval
		CONSTRAINT segment_cool_down_positive CHECK (leadscore.check_duration('segment cool_down', cool_down, 'Write a duration such as 1 day, or NULL for none.')),
	PRIMARY KEY (model, segment),
	UNIQUE (model, position) DEFERRABLE
);

COMMENT ON TABLE leadscore.segment IS 'segments: the first by position whose conditions all hold';
COMMENT ON COLUMN leadscore.segment.model IS 'the model';
COMMENT ON COLUMN leadscore.segment.segment IS 'name';
COMMENT ON COLUMN leadscore.segment.position IS 'the order in which segments are tried, lowest first';
COMMENT ON COLUMN leadscore.segment.min_score IS 'the score it takes; NULL: any';
COMMENT ON COLUMN leadscore.segment.min_fit IS 'the fit it takes; NULL: any';
COMMENT ON COLUMN leadscore.segment.min_engagement IS 'the engagement it takes; NULL: any';
COMMENT ON COLUMN leadscore.segment.hysteresis IS 'of a watched model: a lead that is in it stays until it is so many points below what it takes; NULL: none';
COMMENT ON COLUMN leadscore.segment.cool_down IS 'of a watched model: how long a lead stays at least, unless it moves to one of a lower position; NULL: no time';

-- what one table's check cannot see: the measure must fit the signal's subject

CREATE FUNCTION leadscore.check_measure() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	subject text;
BEGIN
	IF NOT EXISTS (SELECT FROM leadscore.model m WHERE m.model = NEW.model) THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object',
			MESSAGE = format('model "%s" does not exist', NEW.model),
			DETAIL = format('A weight of signal "%s" names it.', NEW.signal),
			HINT = leadscore.known('models'::text, ARRAY(SELECT m.model FROM leadscore.model m ORDER BY 1));
	END IF;
	SELECT s.subject INTO subject FROM leadscore.signal s WHERE s.signal = NEW.signal;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object',
			MESSAGE = format('signal "%s" does not exist', NEW.signal),
			DETAIL = format('A weight of model "%s" names it.', NEW.model),
			HINT = leadscore.known('signals'::text, ARRAY(SELECT s.signal FROM leadscore.signal s ORDER BY 1));
	END IF;
	NEW.measure := coalesce(NEW.measure, CASE subject WHEN 'profile' THEN 'present' ELSE 'count' END);
	IF (subject = 'profile') <> (NEW.measure = 'present') THEN
		PERFORM leadscore.refuse(format('the measure does not fit the %s signal "%s"', subject, NEW.signal), NEW.measure,
			CASE subject WHEN 'profile' THEN 'Profile signals are measured by present.'
			ELSE 'Event signals are measured by count, value, average_value, active_days, days_since_last or days_since_first.' END);
	END IF;
	RETURN NEW;
END
$$;

COMMENT ON FUNCTION leadscore.check_measure() IS 'trigger: a weight''s measure fits its signal''s subject';

CREATE TRIGGER check_measure BEFORE INSERT OR UPDATE OF model, signal, measure ON leadscore.weight
	FOR EACH ROW EXECUTE FUNCTION leadscore.check_measure();

CREATE FUNCTION leadscore.check_subject() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NEW.subject <> OLD.subject AND EXISTS (SELECT FROM leadscore.weight w WHERE w.signal = OLD.signal) THEN
		PERFORM leadscore.refuse(format('signal "%s" has weights that measure it as %s', OLD.signal, OLD.subject), NEW.subject,
			'Add a signal of another name, or delete its weights first.'::text);
	END IF;
	IF NEW.subject <> OLD.subject AND (EXISTS (SELECT FROM leadscore.conversion c WHERE c.signal = OLD.signal)
			OR EXISTS (SELECT FROM leadscore.channel c WHERE c.signal = OLD.signal)) THEN
		PERFORM leadscore.refuse(format('signal "%s" is a conversion, or shows a channel', OLD.signal), NEW.subject,
			'Add a signal of another name, or delete its rows in leadscore.conversion and leadscore.channel first.'::text);
	END IF;
	RETURN NEW;
END
$$;

COMMENT ON FUNCTION leadscore.check_subject() IS 'trigger: a signal that has weights, is a conversion or shows a channel keeps its subject';

CREATE TRIGGER check_subject BEFORE UPDATE OF subject ON leadscore.signal
	FOR EACH ROW EXECUTE FUNCTION leadscore.check_subject();

CREATE FUNCTION leadscore.known(things text, names text[]) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT CASE WHEN cardinality(names) = 0 THEN format('There are no %s yet.', things)
		ELSE format('The %s are: %s%s.', things, array_to_string(names[1:50], ', '),
			CASE WHEN cardinality(names) > 50 THEN ', ...' ELSE '' END) END;
END;

COMMENT ON FUNCTION leadscore.known(text, text[]) IS 'the hint that lists what there is';

-- compaction

CREATE TABLE leadscore.compaction (
	compacted_before timestamptz NOT NULL
		CONSTRAINT compacted_before_begins_a_day CHECK ((compacted_before BETWEEN '1970-01-01 00:00Z' AND '9999-12-31 00:00Z'
			AND date_trunc('day', compacted_before AT TIME ZONE 'UTC') = compacted_before AT TIME ZONE 'UTC') IS NOT FALSE OR leadscore.refuse(
			'compacted_before does not begin a UTC day of the years 1970 to 9999', compacted_before::text,
			'Let CALL leadscore.compact() set it.')),
	finished boolean NOT NULL DEFAULT false
);

CREATE UNIQUE INDEX compaction_one_row ON leadscore.compaction ((true));

COMMENT ON TABLE leadscore.compaction IS 'since when timelines keep hours: one row, set by compact(), or none';
COMMENT ON COLUMN leadscore.compaction.compacted_before IS 'hours before it are kept by the day: the beginning of a UTC day';
COMMENT ON COLUMN leadscore.compaction.finished IS 'whether all timelines have been compacted; what is counted is counted so in any case';

CREATE TRIGGER signals_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON leadscore.compaction
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.signals_changed();
ALTER TABLE leadscore.compaction ENABLE ALWAYS TRIGGER signals_changed;

-- documents

CREATE FUNCTION leadscore.signals() RETURNS jsonb
	LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT jsonb_build_object('signals', coalesce(jsonb_agg(
		jsonb_strip_nulls(jsonb_build_object('signal_id', signal_id, 'signal', signal, 'kind', kind, 'condition', condition))
			|| CASE WHEN match IS NULL THEN '{}' ELSE jsonb_build_object('match', match) END
		ORDER BY signal_id), '[]'))
		|| coalesce((SELECT jsonb_build_object('compacted_before',
				-- (not to_char(), which fails where a name of a month in lc_time has no form in the database's encoding)
				(to_jsonb(c.compacted_before AT TIME ZONE 'UTC') #>> '{}') || 'Z')
			FROM leadscore.compaction c), '{}')
	FROM leadscore.signal
	WHERE subject = 'event'
$$;

COMMENT ON FUNCTION leadscore.signals() IS 'the event signals as the document that timeline_agg() takes';

CREATE FUNCTION leadscore.model_named(name text) RETURNS text
	LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	models text[];
BEGIN
	IF EXISTS (SELECT FROM leadscore.model m WHERE m.model = name) THEN
		RETURN name;
	END IF;
	models := ARRAY(SELECT m.model FROM leadscore.model m ORDER BY 1);
	IF name = 'default' AND cardinality(models) = 1 THEN
		RETURN models[1];
	END IF;
	RAISE EXCEPTION USING ERRCODE = 'undefined_object',
		MESSAGE = format('model "%s" does not exist', name),
		DETAIL = format('There is no row with the model "%s" in leadscore.model.', name),
		HINT = CASE WHEN cardinality(models) = 0
			THEN 'There are no models yet. Begin with SELECT leadscore.publish(leadscore.template(''ecommerce'')).'
			ELSE leadscore.known('models'::text, models) END;
END
$$;

COMMENT ON FUNCTION leadscore.model_named(text)
	IS 'the model of a name; default also means the only model there is';

-- Each model's document is kept, so that a score by lead_id need not gather it
-- from seven tables.

CREATE TABLE leadscore.model_document (
	model text PRIMARY KEY,
	document jsonb NOT NULL
);

-- Compressed, not out of line: the core compares documents as they come.
ALTER TABLE leadscore.model_document ALTER COLUMN document SET STORAGE MAIN;

COMMENT ON TABLE leadscore.model_document IS 'each model, whole: what scorecard() gives; kept by triggers on the configuration tables';
COMMENT ON COLUMN leadscore.model_document.model IS 'the model';
COMMENT ON COLUMN leadscore.model_document.document IS 'its scorecard document';

CREATE FUNCTION leadscore.make_document(name text) RETURNS jsonb
	LANGUAGE sql STABLE STRICT
	SET search_path = pg_catalog, pg_temp SET IntervalStyle = 'postgres' SET extra_float_digits = 1
AS $$
	SELECT jsonb_strip_nulls(to_jsonb(m)) || jsonb_build_object(
		'signals', (SELECT coalesce(jsonb_agg(
				jsonb_strip_nulls(to_jsonb(s) - 'match')
					|| CASE WHEN s.match IS NULL THEN '{}' ELSE jsonb_build_object('match', s.match) END
				ORDER BY s.signal_id), '[]')
			FROM leadscore.signal s
			WHERE s.signal IN (SELECT w.signal FROM leadscore.weight w WHERE w.model = name)),
		'weights', (SELECT coalesce(jsonb_agg(jsonb_strip_nulls(to_jsonb(w) - 'model') ORDER BY w.weight_id), '[]')
			FROM leadscore.weight w WHERE w.model = name),
		'categories', (SELECT coalesce(jsonb_agg(jsonb_strip_nulls(to_jsonb(c) - 'model') ORDER BY c.category), '[]')
			FROM leadscore.category c WHERE c.model = name),
		'stages', (SELECT coalesce(jsonb_agg(jsonb_strip_nulls(to_jsonb(t) - 'model') ORDER BY t.position), '[]')
			FROM leadscore.stage t WHERE t.model = name),
		'grades', (SELECT coalesce(jsonb_agg(jsonb_strip_nulls(to_jsonb(g) - 'model') ORDER BY g.min_fit DESC NULLS LAST), '[]')
			FROM leadscore.grade g WHERE g.model = name),
		'segments', (SELECT coalesce(jsonb_agg(jsonb_strip_nulls(to_jsonb(e) - 'model') ORDER BY e.position), '[]')
			FROM leadscore.segment e WHERE e.model = name))
	FROM leadscore.model m
	WHERE m.model = name
$$;

COMMENT ON FUNCTION leadscore.make_document(text) IS 'a model''s document, gathered from the configuration tables';

CREATE FUNCTION leadscore.keep_documents(models text[] DEFAULT NULL) RETURNS void
	LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	-- changes of one model are gathered one after the other, each seeing those before it
	SELECT leadscore.hold_lock('model ' || m.model)
	FROM (SELECT model FROM leadscore.model UNION SELECT model FROM leadscore.model_document ORDER BY 1) m
	WHERE models IS NULL OR m.model = ANY (models);

	DELETE FROM leadscore.model_document d
	WHERE (models IS NULL OR d.model = ANY (models))
	AND NOT EXISTS (SELECT FROM leadscore.model m WHERE m.model = d.model);

	INSERT INTO leadscore.model_document AS d (model, document)
	SELECT m.model, leadscore.make_document(m.model)
	FROM leadscore.model m WHERE models IS NULL OR m.model = ANY (models)
	ORDER BY m.model
	ON CONFLICT (model) DO UPDATE SET document = excluded.document WHERE d.document <> excluded.document;
$$;

COMMENT ON FUNCTION leadscore.keep_documents(text[]) IS 'brings model_document up to date: some models, or all';

CREATE FUNCTION leadscore.configuration_changed() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	models text[];
	changed text := CASE TG_OP WHEN 'INSERT' THEN 'SELECT * FROM new_rows' WHEN 'DELETE' THEN 'SELECT * FROM old_rows'
		ELSE 'SELECT * FROM new_rows UNION ALL SELECT * FROM old_rows' END;
BEGIN
	IF TG_OP <> 'TRUNCATE' THEN
		EXECUTE format(CASE TG_TABLE_NAME
			WHEN 'signal' THEN 'SELECT array_agg(DISTINCT w.model) FROM leadscore.weight w WHERE w.signal IN (SELECT c.signal FROM (%s) c)'
			ELSE 'SELECT array_agg(DISTINCT c.model) FROM (%s) c' END,
			changed) INTO models;
		IF models IS NULL THEN
			RETURN NULL;
		END IF;
	END IF;
	PERFORM leadscore.keep_documents(models);
	RETURN NULL;
END
$$;

COMMENT ON FUNCTION leadscore.configuration_changed() IS 'trigger: keeps model_document up to date';

DO $$
DECLARE
	name text;
BEGIN
	FOREACH name IN ARRAY ARRAY['signal', 'model', 'category', 'stage', 'weight', 'grade', 'segment'] LOOP
		EXECUTE format('CREATE TRIGGER keep_documents_insert AFTER INSERT ON leadscore.%I REFERENCING NEW TABLE AS new_rows'
			' FOR EACH STATEMENT EXECUTE FUNCTION leadscore.configuration_changed()', name);
		EXECUTE format('CREATE TRIGGER keep_documents_update AFTER UPDATE ON leadscore.%I REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows'
			' FOR EACH STATEMENT EXECUTE FUNCTION leadscore.configuration_changed()', name);
		EXECUTE format('CREATE TRIGGER keep_documents_delete AFTER DELETE ON leadscore.%I REFERENCING OLD TABLE AS old_rows'
			' FOR EACH STATEMENT EXECUTE FUNCTION leadscore.configuration_changed()', name);
		EXECUTE format('CREATE TRIGGER keep_documents_truncate AFTER TRUNCATE ON leadscore.%I'
			' FOR EACH STATEMENT EXECUTE FUNCTION leadscore.configuration_changed()', name);
		EXECUTE format('ALTER TABLE leadscore.%I ENABLE ALWAYS TRIGGER keep_documents_insert, ENABLE ALWAYS TRIGGER keep_documents_update,'
			' ENABLE ALWAYS TRIGGER keep_documents_delete, ENABLE ALWAYS TRIGGER keep_documents_truncate', name);
	END LOOP;
END
$$;

CREATE FUNCTION leadscore.scorecard(model text DEFAULT 'default') RETURNS jsonb
	LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	document jsonb;
BEGIN
	SELECT d.document INTO document FROM leadscore.model_document d WHERE d.model = scorecard.model;
	IF NOT FOUND THEN
		SELECT d.document INTO document FROM leadscore.model_document d WHERE d.model = leadscore.model_named(scorecard.model);
	END IF;
	-- a restore may have kept the triggers from firing
	RETURN coalesce(document, leadscore.make_document(leadscore.model_named(model)));
END
$$;

COMMENT ON FUNCTION leadscore.scorecard(text) IS 'a model, whole, as the document that score(), appraise() and publish() take';

CREATE FUNCTION leadscore.publish(document jsonb) RETURNS text
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET IntervalStyle = 'postgres'
AS $$
DECLARE
	name CONSTANT text := document ->> 'model';
	kept integer[];
BEGIN
	IF document IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'the document is NULL',
			DETAIL = 'There is nothing to publish.',
			HINT = 'Pass a scorecard document, such as leadscore.template(''ecommerce'').';
	END IF;
	PERFORM leadscore.check_scorecard(document);

	INSERT INTO leadscore.model (model, description, floor, ceiling, intercept, slope)
	SELECT d.model, d.description, d.floor, d.ceiling, d.intercept, d.slope
	FROM jsonb_to_record(document)
		AS d (model text, description text, floor float8, ceiling float8, intercept float8, slope float8)
	ON CONFLICT (model) DO UPDATE
	SET description = excluded.description, floor = excluded.floor, ceiling = excluded.ceiling,
		intercept = excluded.intercept, slope = excluded.slope;

	WITH gone AS (DELETE FROM leadscore.weight w WHERE w.model = name RETURNING w.weight_id)
	SELECT array_agg(weight_id) INTO kept FROM gone;
	DELETE FROM leadscore.category c WHERE c.model = name;
	DELETE FROM leadscore.stage t WHERE t.model = name;
	DELETE FROM leadscore.grade g WHERE g.model = name;
	DELETE FROM leadscore.segment e WHERE e.model = name;

	WITH wanted AS (
		SELECT d.ordinal, d.signal, coalesce(d.subject, 'event') AS subject, d.kind,
			nullif(d.match, 'null') AS match, d.condition, d.description
		FROM ROWS FROM (jsonb_to_recordset(nullif(document -> 'signals', 'null'))
			AS (signal text, subject text, kind text, match jsonb, condition jsonpath, description text))
			WITH ORDINALITY AS d (signal, subject, kind, match, condition, description, ordinal)
	)
	INSERT INTO leadscore.signal AS s (signal, subject, kind, match, condition, description)
	SELECT w.signal, w.subject, w.kind, w.match, w.condition, w.description FROM wanted w
	WHERE NOT EXISTS (
		SELECT FROM leadscore.signal o
		WHERE o.signal = w.signal
		AND (o.subject, o.kind, o.match, o.condition::text, o.description)
			IS NOT DISTINCT FROM (w.subject, w.kind, w.match, w.condition::text, w.description))
	ORDER BY w.ordinal
	ON CONFLICT (signal) DO UPDATE
	SET subject = excluded.subject, kind = excluded.kind, match = excluded.match,
		condition = excluded.condition, description = excluded.description;

	INSERT INTO leadscore.category (model, category, min_points, max_points)
	SELECT name, d.category, d.min_points, d.max_points
	FROM jsonb_to_recordset(nullif(document -> 'categories', 'null')) AS d (category text, min_points float8, max_points float8);

	INSERT INTO leadscore.stage (model, stage, position, within)
	SELECT name, d.stage, d.position, d.within
	FROM jsonb_to_recordset(nullif(document -> 'stages', 'null')) AS d (stage text, position numeric, within interval);

	INSERT INTO leadscore.grade (model, grade, min_fit)
	SELECT name, d.grade, d.min_fit
	FROM jsonb_to_recordset(nullif(document -> 'grades', 'null')) AS d (grade text, min_fit float8);

	INSERT INTO leadscore.segment (model, segment, position, min_score, min_fit, min_engagement, hysteresis, cool_down)
	SELECT name, d.segment, d.position, d.min_score, d.min_fit, d.min_engagement, d.hysteresis, d.cool_down
	FROM jsonb_to_recordset(nullif(document -> 'segments', 'null'))
		AS d (segment text, position numeric, min_score float8, min_fit float8, min_engagement float8, hysteresis float8, cool_down interval);

	INSERT INTO leadscore.weight (weight_id, model, signal, measure, points, curve, half_life, fades_over, within,
		at_least, below, max_per_day, min_points, max_points, category, stage)
	SELECT CASE WHEN d.weight_id::integer = ANY (kept) THEN d.weight_id::integer
			ELSE nextval(pg_get_serial_sequence('leadscore.weight', 'weight_id')) END,
		name, d.signal, d.measure, d.points, coalesce(d.curve, 'linear'), d.half_life, d.fades_over, d.within,
		d.at_least, d.below, d.max_per_day, d.min_points, d.max_points, d.category, d.stage
	FROM ROWS FROM (jsonb_to_recordset(nullif(document -> 'weights', 'null'))
		AS (weight_id numeric, signal text, measure text, points float8, curve text,
			half_life interval, fades_over interval, within interval, at_least float8, below float8,
			max_per_day numeric, min_points float8, max_points float8, category text, stage text))
		WITH ORDINALITY AS d (weight_id, signal, measure, points, curve, half_life, fades_over, within,
			at_least, below, max_per_day, min_points, max_points, category, stage, ordinal)
	ORDER BY d.ordinal;

	-- the row of the model is held, so that nobody else counts on
	INSERT INTO leadscore.model_version (model, version, document, report)
	SELECT name, coalesce(max(v.version), 0) + 1, leadscore.make_document(name), nullif(publish.document -> 'report', 'null')
	FROM leadscore.model_version v WHERE v.model = name;

	RETURN name;
END
$$;

COMMENT ON FUNCTION leadscore.publish(jsonb) IS 'makes a scorecard document the model of its name, all or nothing';

SELECT pg_catalog.pg_extension_config_dump('leadscore.signal', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.signal_signal_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.model', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.category', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.stage', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.weight', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.weight_weight_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.grade', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.segment', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.compaction', '');
-- templates
--
-- Models that come ready: publish one as it is, or take its document, change it and publish that.
-- Signals are shared by all models, so a signal that two templates name is defined alike in both.

-- a ready model as a document for publish()
CREATE FUNCTION leadscore.template(name text) RETURNS jsonb
	LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	CASE name

	-- A purchase's 25 points have no decay, cap or category, the model has no floor, and whatever else a first
	-- purchase brings is not negative: so it lifts any lead's score by 25 or more.
	WHEN 'ecommerce' THEN RETURN $json$
{
  "model": "ecommerce",
  "description": "An online shop: what leads look at, put in the cart and buy, less what puts them off. Interest fades, orders stay. Scores may be negative; 50 is medium, 100 is high.",
  "signals": [
    {"signal": "visit", "kind": "visit", "description": "Came to the site"},
    {"signal": "product_view", "kind": "product_view", "description": "Looked at a product"},
    {"signal": "search", "kind": "search", "description": "Searched the site"},
    {"signal": "mobile_activity", "kind": null, "match": {"device": "mobile"}, "description": "Did anything on a phone: any kind of event whose device is mobile"},

    {"signal": "newsletter_signup", "kind": "newsletter_signup", "description": "Signed up for the newsletter"},
    {"signal": "email_open", "kind": "email_open", "description": "Opened an email"},
    {"signal": "email_click", "kind": "email_click", "description": "Followed a link in an email"},
    {"signal": "form_submit", "kind": "form_submit", "description": "Sent a form, such as a question or a callback request"},
    {"signal": "social_share", "kind": "social_share", "description": "Shared something on a social network"},

    {"signal": "add_to_cart", "kind": "add_to_cart", "description": "Put a product in the cart"},
    {"signal": "cart_abandoned", "kind": "cart_abandoned", "description": "Left with a full cart: wanted to buy, may yet do so"},
    {"signal": "purchase", "kind": "purchase", "description": "Placed an order; the value is the order's total"},

    {"signal": "return", "kind": "return", "description": "Sent goods back"},
    {"signal": "complaint", "kind": "complaint", "description": "Complained"},
    {"signal": "unsubscribe", "kind": "unsubscribe", "description": "Left the mailing list"},
    {"signal": "any_activity", "kind": null, "description": "Did anything at all: shows how long a lead has been silent"},

    {"signal": "country_de", "subject": "profile", "match": {"country": "DE"}, "description": "Is in Germany (an example: put your own market here)"},
    {"signal": "age_25_to_44", "subject": "profile", "condition": "$.age >= 25 && $.age < 45", "description": "Is 25 to 44 years old (an example of an age band)"},
    {"signal": "age_45_to_64", "subject": "profile", "condition": "$.age >= 45 && $.age < 65", "description": "Is 45 to 64 years old (an example of an age band)"},
    {"signal": "profession_designer", "subject": "profile", "match": {"profession": "designer"}, "description": "Works as a designer (an example of a profession)"}
  ],
  "weights": [
    {"signal": "visit", "measure": "count", "points": 1, "half_life": "30 days", "max_per_day": 3, "category": "browsing", "stage": "awareness"},
    {"signal": "product_view", "measure": "count", "points": 2, "half_life": "14 days", "max_per_day": 5, "category": "browsing", "stage": "consideration"},
    {"signal": "search", "measure": "count", "points": 2, "fades_over": "30 days", "max_per_day": 3, "category": "browsing", "stage": "consideration"},
    {"signal": "mobile_activity", "measure": "active_days", "points": 1, "within": "30 days", "max_points": 5, "category": "browsing"},

    {"signal": "newsletter_signup", "measure": "count", "points": 5, "max_points": 5, "stage": "awareness"},
    {"signal": "email_open", "measure": "count", "points": 1, "half_life": "30 days", "max_per_day": 1, "max_points": 5, "category": "email", "stage": "awareness"},
    {"signal": "email_click", "measure": "count", "points": 3, "half_life": "30 days", "max_per_day": 2, "category": "email", "stage": "consideration"},
    {"signal": "form_submit", "measure": "count", "points": 8, "half_life": "60 days", "max_per_day": 1, "max_points": 16, "stage": "consideration"},
    {"signal": "social_share", "measure": "count", "points": 4, "half_life": "60 days", "max_per_day": 1, "max_points": 12, "stage": "awareness"},

    {"signal": "add_to_cart", "measure": "count", "points": 10, "half_life": "14 days", "max_per_day": 2, "max_points": 30, "stage": "decision"},
    {"signal": "cart_abandoned", "measure": "count", "points": 15, "fades_over": "30 days", "max_per_day": 1, "max_points": 30, "stage": "decision"},
    {"signal": "purchase", "measure": "count", "points": 25, "stage": "decision"},

    {"signal": "purchase", "measure": "value", "points": 3, "curve": "log", "half_life": "180 days", "max_points": 25, "category": "loyalty"},
    {"signal": "purchase", "measure": "count", "points": 10, "within": "90 days", "at_least": 2, "below": 4, "category": "loyalty"},
    {"signal": "purchase", "measure": "count", "points": 20, "within": "90 days", "at_least": 4, "category": "loyalty"},
    {"signal": "purchase", "measure": "average_value", "points": 5, "at_least": 50, "below": 100, "category": "loyalty"},
    {"signal": "purchase", "measure": "average_value", "points": 10, "at_least": 100, "below": 250, "category": "loyalty"},
    {"signal": "purchase", "measure": "average_value", "points": 15, "at_least": 250, "category": "loyalty"},
    {"signal": "purchase", "measure": "days_since_last", "points": 10, "at_least": 0, "below": 30, "category": "loyalty"},
    {"signal": "purchase", "measure": "days_since_last", "points": 5, "at_least": 30, "below": 90, "category": "loyalty"},
    {"signal": "purchase", "measure": "days_since_last", "points": 2, "at_least": 90, "below": 180, "category": "loyalty"},

    {"signal": "cart_abandoned", "measure": "count", "points": -20, "within": "30 days", "at_least": 3, "category": "warnings"},
    {"signal": "return", "measure": "count", "points": -10, "half_life": "180 days", "category": "warnings"},
    {"signal": "complaint", "measure": "count", "points": -15, "half_life": "90 days", "category": "warnings"},
    {"signal": "unsubscribe", "measure": "count", "points": -15, "min_points": -15, "category": "warnings"},
    {"signal": "any_activity", "measure": "days_since_last", "points": -10, "at_least": 60, "below": 120, "category": "warnings"},
    {"signal": "any_activity", "measure": "days_since_last", "points": -20, "at_least": 120, "below": 240, "category": "warnings"},
    {"signal": "any_activity", "measure": "days_since_last", "points": -40, "at_least": 240, "category": "warnings"},

    {"signal": "country_de", "measure": "present", "points": 10, "category": "profile"},
    {"signal": "age_25_to_44", "measure": "present", "points": 5, "category": "profile"},
    {"signal": "age_45_to_64", "measure": "present", "points": 3, "category": "profile"},
    {"signal": "profession_designer", "measure": "present", "points": 5, "category": "profile"}
  ],
  "categories": [
    {"category": "browsing", "max_points": 30},
    {"category": "email", "max_points": 15},
    {"category": "loyalty", "max_points": 50},
    {"category": "warnings", "min_points": -60},
    {"category": "profile", "max_points": 15}
  ],
  "stages": [
    {"stage": "awareness", "position": 1, "within": "180 days"},
    {"stage": "consideration", "position": 2, "within": "90 days"},
    {"stage": "decision", "position": 3, "within": "30 days"}
  ],
  "grades": [],
  "segments": [
    {"segment": "high", "position": 1, "min_score": 100},
    {"segment": "medium", "position": 2, "min_score": 50},
    {"segment": "low", "position": 3}
  ]
}
$json$::jsonb;

	WHEN 'funnel' THEN RETURN $json$
{
  "model": "funnel",
  "description": "A mail funnel on a scale of 1 to 100: from a first download to a lead that sales should call. Every point halves in 90 days; from 40 a lead is marketing's, from 80 it is sales'.",
  "floor": 1,
  "ceiling": 100,
  "signals": [
    {"signal": "lead_magnet_download", "kind": "lead_magnet_download", "description": "Downloaded a free guide, checklist or the like"},
    {"signal": "newsletter_open", "kind": "newsletter_open", "description": "Opened a newsletter"},
    {"signal": "email_reply", "kind": "email_reply", "description": "Answered an email"},
    {"signal": "promotion_open", "kind": "promotion_open", "description": "Opened an offer"}
  ],
  "weights": [
    {"signal": "newsletter_open", "measure": "count", "points": 2, "half_life": "90 days", "max_per_day": 1, "max_points": 20},
    {"signal": "lead_magnet_download", "measure": "count", "points": 5, "half_life": "90 days", "max_per_day": 3, "max_points": 25},
    {"signal": "email_reply", "measure": "count", "points": 10, "half_life": "90 days"},
    {"signal": "promotion_open", "measure": "count", "points": 15, "half_life": "90 days", "max_per_day": 1}
  ],
  "categories": [],
  "stages": [],
  "grades": [],
  "segments": [
    {"segment": "sales_qualified", "position": 1, "min_score": 80},
    {"segment": "marketing_qualified", "position": 2, "min_score": 40},
    {"segment": "cold", "position": 3}
  ]
}
$json$::jsonb;

	-- Segments: position 1 is A1, the last D4. The first that holds is the lead's own cell, for an earlier one
	-- asks for a better grade or, within the grade, for more engagement.
	WHEN 'fit_and_engagement' THEN RETURN $json$
{
  "model": "fit_and_engagement",
  "description": "Selling to companies: who a lead is gives a grade, A (60 fit points or more) to D; what it does gives a level, 1 (60 engagement points or more) to 4. A1 should be called today.",
  "signals": [
    {"signal": "company_1000_up", "subject": "profile", "condition": "$.employees >= 1000", "description": "Company with 1000 employees or more"},
    {"signal": "company_50_to_999", "subject": "profile", "condition": "$.employees >= 50 && $.employees < 1000", "description": "Company with 50 to 999 employees"},
    {"signal": "industry_software", "subject": "profile", "match": {"industry": "software"}, "description": "Software industry (an example of an industry you sell to most)"},
    {"signal": "industry_finance", "subject": "profile", "match": {"industry": "finance"}, "description": "Finance industry (an example of an industry you sell to at times)"},
    {"signal": "role_decides", "subject": "profile", "match": {"job_role": "decision_maker"}, "description": "Decides on buying"},
    {"signal": "role_recommends", "subject": "profile", "match": {"job_role": "influencer"}, "description": "Recommends what to buy"},
    {"signal": "role_student", "subject": "profile", "match": {"job_role": "student"}, "description": "Is a student: reads much, buys nothing"},
    {"signal": "country_de", "subject": "profile", "match": {"country": "DE"}, "description": "Is in Germany (an example: put your own market here)"},

    {"signal": "visit", "kind": "visit", "description": "Came to the site"},
    {"signal": "pricing_visit", "kind": "visit", "match": {"page": "pricing"}, "description": "Came to the page with the prices"},
    {"signal": "email_click", "kind": "email_click", "description": "Followed a link in an email"},
    {"signal": "lead_magnet_download", "kind": "lead_magnet_download", "description": "Downloaded a free guide, checklist or the like"},
    {"signal": "form_submit", "kind": "form_submit", "description": "Sent a form, such as a question or a callback request"},
    {"signal": "email_reply", "kind": "email_reply", "description": "Answered an email"},
    {"signal": "webinar_attended", "kind": "webinar_attended", "description": "Attended a webinar"},
    {"signal": "demo_request", "kind": "demo_request", "description": "Asked for a demonstration"},
    {"signal": "unsubscribe", "kind": "unsubscribe", "description": "Left the mailing list"}
  ],
  "weights": [
    {"signal": "company_1000_up", "measure": "present", "points": 25},
    {"signal": "company_50_to_999", "measure": "present", "points": 15},
    {"signal": "industry_software", "measure": "present", "points": 20},
    {"signal": "industry_finance", "measure": "present", "points": 10},
    {"signal": "role_decides", "measure": "present", "points": 25},
    {"signal": "role_recommends", "measure": "present", "points": 15},
    {"signal": "role_student", "measure": "present", "points": -30},
    {"signal": "country_de", "measure": "present", "points": 10},

    {"signal": "visit", "measure": "count", "points": 1, "half_life": "14 days", "max_per_day": 3, "category": "browsing"},
    {"signal": "pricing_visit", "measure": "count", "points": 5, "half_life": "14 days", "max_per_day": 2, "category": "browsing"},
    {"signal": "email_click", "measure": "count", "points": 3, "half_life": "30 days", "max_per_day": 2, "max_points": 15, "category": "content"},
    {"signal": "lead_magnet_download", "measure": "count", "points": 5, "half_life": "30 days", "max_per_day": 3, "max_points": 15, "category": "content"},
    {"signal": "webinar_attended", "measure": "count", "points": 15, "half_life": "30 days", "max_per_day": 1, "category": "content"},
    {"signal": "form_submit", "measure": "count", "points": 10, "half_life": "30 days", "max_per_day": 1, "category": "contact"},
    {"signal": "email_reply", "measure": "count", "points": 10, "half_life": "30 days", "category": "contact"},
    {"signal": "demo_request", "measure": "count", "points": 30, "half_life": "30 days", "max_per_day": 1, "category": "contact"},
    {"signal": "unsubscribe", "measure": "count", "points": -20, "half_life": "180 days", "min_points": -20}
  ],
  "categories": [
    {"category": "browsing", "max_points": 25},
    {"category": "content", "max_points": 35},
    {"category": "contact", "max_points": 60}
  ],
  "stages": [],
  "grades": [
    {"grade": "A", "min_fit": 60},
    {"grade": "B", "min_fit": 40},
    {"grade": "C", "min_fit": 20},
    {"grade": "D"}
  ],
  "segments": [
    {"segment": "A1", "position": 1, "min_fit": 60, "min_engagement": 60},
    {"segment": "A2", "position": 2, "min_fit": 60, "min_engagement": 30},
    {"segment": "A3", "position": 3, "min_fit": 60, "min_engagement": 10},
    {"segment": "A4", "position": 4, "min_fit": 60},
    {"segment": "B1", "position": 5, "min_fit": 40, "min_engagement": 60},
    {"segment": "B2", "position": 6, "min_fit": 40, "min_engagement": 30},
    {"segment": "B3", "position": 7, "min_fit": 40, "min_engagement": 10},
    {"segment": "B4", "position": 8, "min_fit": 40},
    {"segment": "C1", "position": 9, "min_fit": 20, "min_engagement": 60},
    {"segment": "C2", "position": 10, "min_fit": 20, "min_engagement": 30},
    {"segment": "C3", "position": 11, "min_fit": 20, "min_engagement": 10},
    {"segment": "C4", "position": 12, "min_fit": 20},
    {"segment": "D1", "position": 13, "min_engagement": 60},
    {"segment": "D2", "position": 14, "min_engagement": 30},
    {"segment": "D3", "position": 15, "min_engagement": 10},
    {"segment": "D4", "position": 16}
  ]
}
$json$::jsonb;

	ELSE
		RAISE EXCEPTION 'unknown template'
			USING ERRCODE = 'undefined_object',
				  DETAIL = format('There is no template named "%s".', name),
				  HINT = format('The templates are: %s.',
								(SELECT string_agg(t.template, ', ') FROM leadscore.templates() t));
	END CASE;
END
$function$;

COMMENT ON FUNCTION leadscore.template(text) IS
	'A model that comes ready, as a document for leadscore.publish(); leadscore.templates() lists them';

-- what there is; the one list of the names
CREATE FUNCTION leadscore.templates(OUT template text, OUT description text) RETURNS SETOF record
	LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 3
	SET search_path = pg_catalog, pg_temp
AS $function$
	SELECT t.name, leadscore.template(t.name) ->> 'description'
	FROM unnest(ARRAY['ecommerce', 'funnel', 'fit_and_engagement']) WITH ORDINALITY AS t (name, position)
	ORDER BY t.position
$function$;

COMMENT ON FUNCTION leadscore.templates() IS
	'The models that come ready, by name, and what each is for';
-- store.sql: events, leads and their timelines, and the triggers that keep
-- timelines true

-- tables

CREATE FUNCTION leadscore.check_event(lead_id text, kind text, occurred_at timestamptz, value numeric, properties jsonb) RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION leadscore.check_event(text, text, timestamptz, numeric, jsonb)
	IS 'true, or an error that says what is wrong with an event';

CREATE TABLE leadscore.event (
	event_id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
	lead_id text NOT NULL,
	kind text NOT NULL,
	occurred_at timestamptz NOT NULL DEFAULT now(),
	value numeric,
	properties jsonb,
	dedup_key text UNIQUE,
	CONSTRAINT event_valid CHECK (leadscore.check_event(lead_id, kind, occurred_at, value, properties))
);

CREATE INDEX event_lead_id_idx ON leadscore.event (lead_id, occurred_at);

COMMENT ON TABLE leadscore.event IS 'what leads did; tracked from the start';
COMMENT ON COLUMN leadscore.event.event_id IS 'number, assigned';
COMMENT ON COLUMN leadscore.event.lead_id IS 'who did it: 1 to 1024 bytes';
COMMENT ON COLUMN leadscore.event.kind IS 'what was done, such as visit or purchase';
COMMENT ON COLUMN leadscore.event.occurred_at IS 'when, in the years 1970 to 9999 (UTC)';
COMMENT ON COLUMN leadscore.event.value IS 'what it was worth, such as the order''s total: below 10^12, kept to six decimals';
COMMENT ON COLUMN leadscore.event.properties IS 'more about it: an object';
COMMENT ON COLUMN leadscore.event.dedup_key IS 'a key of the sender''s: INSERT ... ON CONFLICT (dedup_key) DO NOTHING takes an event once';

CREATE TABLE leadscore.lead (
	lead_id text PRIMARY KEY
		CONSTRAINT lead_id_length CHECK ((octet_length(lead_id) BETWEEN 1 AND 1024) IS NOT FALSE OR leadscore.refuse(
			'lead_id is empty or too long', left(quote_literal(lead_id), 100), 'Name the lead by 1 to 1024 bytes.')),
	profile jsonb
		CONSTRAINT lead_profile_is_object CHECK ((jsonb_typeof(profile) = 'object') IS NOT FALSE OR leadscore.refuse(
			'lead profile is not a JSON object', profile::text, 'Write an object such as {"country": "DE"}, or NULL.'))
);

COMMENT ON TABLE leadscore.lead IS 'who leads are';
COMMENT ON COLUMN leadscore.lead.lead_id IS 'the lead';
COMMENT ON COLUMN leadscore.lead.profile IS 'attributes that profile signals look at: an object';

CREATE TABLE leadscore.lead_timeline (
	lead_id text PRIMARY KEY,
	timeline leadscore.timeline NOT NULL
);

COMMENT ON TABLE leadscore.lead_timeline IS 'each lead''s timeline, kept by record(); a lead that no signal has counted has no row';
COMMENT ON COLUMN leadscore.lead_timeline.lead_id IS 'the lead';
COMMENT ON COLUMN leadscore.lead_timeline.timeline IS 'what it did';

CREATE TABLE leadscore.lead_alias (
	alias text PRIMARY KEY,
	lead_id text NOT NULL
);

CREATE INDEX lead_alias_lead_id_idx ON leadscore.lead_alias (lead_id);

COMMENT ON TABLE leadscore.lead_alias IS 'other names of leads, such as those of anonymous visitors that became known; kept by identify()';
COMMENT ON COLUMN leadscore.lead_alias.alias IS 'the name in events';
COMMENT ON COLUMN leadscore.lead_alias.lead_id IS 'the lead that they count for';

CREATE TABLE leadscore.pending_delta (
	lead_id text NOT NULL,
	delta leadscore.timeline NOT NULL
);

COMMENT ON TABLE leadscore.pending_delta IS 'what deferred sources have added and fold() has not yet merged; reads include it';
COMMENT ON COLUMN leadscore.pending_delta.lead_id IS 'the lead, as the event names it';
COMMENT ON COLUMN leadscore.pending_delta.delta IS 'what is added to its timeline';

-- neither has a key: a publication of all tables could not delete from them
ALTER TABLE leadscore.pending_delta REPLICA IDENTITY FULL;

-- Who writes events appends here, where there are rules of what follows from them.
CREATE TABLE leadscore.changed_lead (
	lead_id text
);

ALTER TABLE leadscore.changed_lead REPLICA IDENTITY FULL;

COMMENT ON TABLE leadscore.changed_lead IS 'leads whose events have changed since derive() last looked at them';
COMMENT ON COLUMN leadscore.changed_lead.lead_id IS 'the lead, as the event names it; NULL: all';

-- triggers

CREATE FUNCTION leadscore.record() RETURNS trigger
	AS 'MODULE_PATHNAME' LANGUAGE C;

COMMENT ON FUNCTION leadscore.record() IS 'trigger: adds a statement''s rows to the timelines of their leads; made by track()';

CREATE FUNCTION leadscore.record_profile() RETURNS trigger
	AS 'MODULE_PATHNAME' LANGUAGE C;

COMMENT ON FUNCTION leadscore.record_profile() IS 'trigger: keeps lead.profile true to a table''s rows; made by track_profile()';

CREATE FUNCTION leadscore.add_delta(lead_id text, timeline leadscore.timeline, delta leadscore.timeline, lenient boolean DEFAULT true)
	RETURNS leadscore.timeline
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;

COMMENT ON FUNCTION leadscore.add_delta(text, leadscore.timeline, leadscore.timeline, boolean)
	IS 'timeline + delta; leniently, an hour that overflows wraps around, with a warning';

CREATE FUNCTION leadscore.stored_sum_transition(internal, leadscore.timeline) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION leadscore.stored_sum_merge(internal, internal) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION leadscore.stored_sum_transition(internal, leadscore.timeline) IS 'transition of stored_sum()';
COMMENT ON FUNCTION leadscore.stored_sum_merge(internal, internal) IS 'merges two states of stored_sum()';

CREATE AGGREGATE leadscore.stored_sum(leadscore.timeline) (
	SFUNC = leadscore.stored_sum_transition,
	STYPE = internal,
	SSPACE = 256,
	FINALFUNC = leadscore.timeline_sum_final,
	FINALFUNC_MODIFY = READ_WRITE,
	COMBINEFUNC = leadscore.stored_sum_merge,
	SERIALFUNC = leadscore.timeline_builder_serialize,
	DESERIALFUNC = leadscore.timeline_builder_deserialize,
	PARALLEL = SAFE
);

COMMENT ON AGGREGATE leadscore.stored_sum(leadscore.timeline) IS 'timeline_sum(), where an hour that overflows wraps around';

CREATE FUNCTION leadscore.in_restore() RETURNS boolean
	LANGUAGE sql STABLE
AS $$
	-- settings that every dump begins with
	SELECT pg_catalog.current_setting('check_function_bodies') OPERATOR(pg_catalog.=) 'off'
		AND pg_catalog.current_setting('row_security') OPERATOR(pg_catalog.=) 'off'
$$;

COMMENT ON FUNCTION leadscore.in_restore() IS 'whether a dump is being restored: what triggers would add is in it';

-- Sources: the triggers are their registry, with the mapping as their argument.
-- What track() would not have made is none of it: then nobody who reads it has to wonder.

CREATE FUNCTION leadscore.trigger_mapping(arguments bytea) RETURNS jsonb
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION leadscore.trigger_mapping(bytea) IS 'the mapping that a trigger''s arguments are, or NULL if they are none';

CREATE VIEW leadscore.source_trigger AS
SELECT t.tgrelid::regclass AS source,
	CASE p.proname WHEN 'record' THEN 'timeline' ELSE 'profile' END AS feeds,
	m.mapping ->> 'lead_id' AS lead_id,
	m.mapping ->> 'kind' AS kind,
	m.mapping ->> 'kind_column' AS kind_column,
	m.mapping ->> 'occurred_at' AS occurred_at,
	m.mapping ->> 'value' AS value,
	ARRAY(SELECT jsonb_array_elements_text(m.mapping -> 'properties')) AS properties,
	CASE p.proname WHEN 'record' THEN coalesce(m.mapping ->> 'maintenance', 'immediate') END AS maintenance,
	regexp_replace(t.tgname, '_insert$', '') AS trigger_prefix,
	m.mapping
FROM pg_trigger t
JOIN pg_class c ON c.oid = t.tgrelid AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
JOIN pg_proc p ON p.oid = t.tgfoid AND p.pronamespace = 'leadscore'::regnamespace
	AND p.proname IN ('record', 'record_profile')
CROSS JOIN LATERAL (SELECT leadscore.trigger_mapping(t.tgargs) AS mapping OFFSET 0) m
-- after INSERT, for each statement, with the new rows
WHERE t.tgtype = 4 AND t.tgnewtable IS NOT NULL AND NOT t.tgisinternal AND t.tgname ~ '_insert$' AND m.mapping IS NOT NULL;

COMMENT ON VIEW leadscore.source_trigger IS 'the tables that have triggers of ours: sources, and their partitions and children';
COMMENT ON COLUMN leadscore.source_trigger.source IS 'the table';
COMMENT ON COLUMN leadscore.source_trigger.feeds IS 'timeline or profile';
COMMENT ON COLUMN leadscore.source_trigger.lead_id IS 'the column that names the lead';
COMMENT ON COLUMN leadscore.source_trigger.kind IS 'the kind of all its events, where it is one';
COMMENT ON COLUMN leadscore.source_trigger.kind_column IS 'the column that names the kind';
COMMENT ON COLUMN leadscore.source_trigger.occurred_at IS 'the column with the time';
COMMENT ON COLUMN leadscore.source_trigger.value IS 'the column with the value';
COMMENT ON COLUMN leadscore.source_trigger.properties IS 'the columns that are properties';
COMMENT ON COLUMN leadscore.source_trigger.maintenance IS 'immediate or deferred';
COMMENT ON COLUMN leadscore.source_trigger.trigger_prefix IS 'how the names of its triggers begin';
COMMENT ON COLUMN leadscore.source_trigger.mapping IS 'the argument of its triggers';

CREATE VIEW leadscore.source AS
SELECT s.source, s.feeds, s.lead_id, s.kind, s.kind_column, s.occurred_at, s.value, s.properties, s.maintenance,
	s.trigger_prefix, s.mapping
FROM leadscore.source_trigger s
WHERE NOT s.mapping ? 'partition'
AND s.source::oid IS DISTINCT FROM to_regclass('leadscore.derived_event');	-- ours, whatever is tracked

COMMENT ON VIEW leadscore.source IS 'the tables that are tracked, and how their rows are read';
COMMENT ON COLUMN leadscore.source.source IS 'the table';
COMMENT ON COLUMN leadscore.source.feeds IS 'timeline (rows are events) or profile (rows are leads)';
COMMENT ON COLUMN leadscore.source.lead_id IS 'the column that names the lead';
COMMENT ON COLUMN leadscore.source.kind IS 'the kind of all its events, where it is one';
COMMENT ON COLUMN leadscore.source.kind_column IS 'the column that names the kind';
COMMENT ON COLUMN leadscore.source.occurred_at IS 'the column with the time';
COMMENT ON COLUMN leadscore.source.value IS 'the column with the value';
COMMENT ON COLUMN leadscore.source.properties IS 'the columns that are properties';
COMMENT ON COLUMN leadscore.source.maintenance IS 'immediate, or deferred: see fold()';
COMMENT ON COLUMN leadscore.source.trigger_prefix IS 'how the names of its triggers begin';
COMMENT ON COLUMN leadscore.source.mapping IS 'the argument of its triggers';

-- private functions: the columns of a source

CREATE FUNCTION leadscore.column_type(source regclass, name text) RETURNS regtype
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
			HINT = leadscore.known('columns'::text, ARRAY(SELECT a.attname::text FROM pg_attribute a
				WHERE a.attrelid = source AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum));
	END IF;
	IF generated = 'v' THEN
		RAISE EXCEPTION USING ERRCODE = 'feature_not_supported',
			MESSAGE = format('column "%s" of table %s is a virtual generated column', name, source),
			DETAIL = 'Triggers do not see what it holds.', HINT = 'Make it STORED, or name another column.';
	END IF;
	LOOP
		SELECT t.typbasetype INTO base FROM pg_type t WHERE t.oid = type AND t.typtype = 'd';
		EXIT WHEN NOT FOUND;
		type := base;
	END LOOP;
	RETURN type;
END
$$;

COMMENT ON FUNCTION leadscore.column_type(regclass, text) IS 'the type of a column, below any domain';

CREATE FUNCTION leadscore.column_text(source regclass, name text) RETURNS text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE
		WHEN leadscore.column_type(source, name) IN ('smallint'::regtype, 'integer'::regtype, 'bigint'::regtype,
			'numeric'::regtype, 'text'::regtype, 'varchar'::regtype, 'bpchar'::regtype, 'uuid'::regtype)
		THEN format('%I::text', name)
		ELSE format('nullif(format(''%%s'', %I), '''')', name) END
$$;

COMMENT ON FUNCTION leadscore.column_text(regclass, text) IS 'an expression for a column as text';

CREATE FUNCTION leadscore.property_type(type regtype) RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C STABLE STRICT;

COMMENT ON FUNCTION leadscore.property_type(regtype) IS 'whether columns of a type can be properties';

CREATE FUNCTION leadscore.source_problem(source regclass, mapping jsonb) RETURNS text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	type regtype;
	name text;
BEGIN
	PERFORM leadscore.column_type(source, mapping ->> k) FROM unnest(ARRAY['lead_id', 'kind_column']) k WHERE mapping ? k;
	FOR name IN SELECT jsonb_array_elements_text(mapping -> 'properties') LOOP
		IF NOT leadscore.property_type(leadscore.column_type(source, name)) THEN
			RETURN format('column "%s" is of type %s, no property', name, leadscore.column_type(source, name));
		END IF;
	END LOOP;
	type := leadscore.column_type(source, mapping ->> 'occurred_at');
	IF type NOT IN ('timestamptz'::regtype, 'timestamp'::regtype, 'date'::regtype) THEN
		RETURN format('column "%s" is of type %s, no time', mapping ->> 'occurred_at', type);
	END IF;
	type := leadscore.column_type(source, mapping ->> 'value');
	IF type NOT IN ('numeric'::regtype, 'bigint'::regtype, 'integer'::regtype, 'smallint'::regtype, 'real'::regtype, 'float8'::regtype) THEN
		RETURN format('column "%s" is of type %s, no number', mapping ->> 'value', type);
	END IF;
	RETURN NULL;
EXCEPTION WHEN undefined_column OR feature_not_supported THEN
	RETURN SQLERRM;
END
$$;

COMMENT ON FUNCTION leadscore.source_problem(regclass, jsonb) IS 'why the rows of a source cannot be read any more, or NULL';

CREATE FUNCTION leadscore.row_condition(source regclass, mapping jsonb, by_lead boolean, by_kind boolean) RETURNS text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT nullif(concat_ws(' AND ',
		CASE WHEN by_lead THEN leadscore.column_text(source, mapping ->> 'lead_id') || ' = ANY ($1)' END,
		CASE WHEN by_kind AND mapping ? 'kind_column' THEN leadscore.column_text(source, mapping ->> 'kind_column') || ' = ANY ($2)' END), '')
$$;

COMMENT ON FUNCTION leadscore.row_condition(regclass, jsonb, boolean, boolean) IS 'a condition for the rows of some leads ($1) and kinds ($2)';

CREATE FUNCTION leadscore.add_profiles(source regclass, mapping jsonb, with_children boolean, subtract boolean) RETURNS void
	AS 'MODULE_PATHNAME' LANGUAGE C STRICT;

COMMENT ON FUNCTION leadscore.add_profiles(regclass, jsonb, boolean, boolean) IS 'merges the rows of a table of customers into the profiles, or takes them out';

CREATE FUNCTION leadscore.add_source(source regclass, mapping jsonb, with_children boolean, subtract boolean) RETURNS void
	AS 'MODULE_PATHNAME' LANGUAGE C STRICT;

COMMENT ON FUNCTION leadscore.add_source(regclass, jsonb, boolean, boolean) IS 'adds every row of a source to the timelines, or subtracts it';

CREATE FUNCTION leadscore.add_rows(source regclass, feeds text, mapping jsonb, subtract boolean) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF feeds = 'timeline' THEN
		PERFORM leadscore.add_source(source, mapping, with_children => false, subtract => subtract);
	ELSE
		PERFORM leadscore.add_profiles(source, mapping, with_children => false, subtract => subtract);
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore.add_rows(regclass, text, jsonb, boolean) IS 'adds the rows of one table, without its children, to what it feeds, or takes them out';

CREATE FUNCTION leadscore.has_rows(source regclass) RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C STABLE STRICT;

CREATE FUNCTION leadscore.count_rows(source regclass, mapping jsonb, lead_ids text[]) RETURNS bigint
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;

COMMENT ON FUNCTION leadscore.count_rows(regclass, jsonb, text[]) IS 'how many rows of a table and its children belong to some leads';

CREATE FUNCTION leadscore.hold_source(source regclass) RETURNS void
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;

COMMENT ON FUNCTION leadscore.has_rows(regclass) IS 'whether a table or a child of it has any row';
COMMENT ON FUNCTION leadscore.hold_source(regclass) IS 'keeps a table and its children from being truncated, dropped or detached until the transaction ends';

CREATE FUNCTION leadscore.check_source(source regclass) RETURNS void
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
	IF EXISTS (SELECT FROM pg_class c WHERE c.oid = source AND c.relnamespace = 'leadscore'::regnamespace) THEN
		RAISE EXCEPTION USING ERRCODE = 'wrong_object_type', MESSAGE = format('%s is a table of leadscore', source),
			DETAIL = 'leadscore.event is tracked from the start; the others hold what is computed.',
			HINT = 'Name a table of your own.';
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore.check_source(regclass) IS 'refuses what cannot be tracked';

CREATE FUNCTION leadscore.check_properties(source regclass, properties name[]) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	name name;
BEGIN
	IF cardinality(properties) > 50 THEN
		RAISE EXCEPTION USING ERRCODE = 'program_limit_exceeded', MESSAGE = 'a source has at most 50 properties',
			DETAIL = format('There are %s.', cardinality(properties)), HINT = 'Name only columns that signals look at.';
	END IF;
	FOREACH name IN ARRAY coalesce(properties, '{}') LOOP
		IF NOT leadscore.property_type(leadscore.column_type(source, name::text)) THEN
			RAISE EXCEPTION USING ERRCODE = 'datatype_mismatch', MESSAGE = format('column "%s" cannot be a property', name),
				DETAIL = format('It is of type %s, which is not turned into jsonb by PostgreSQL itself, or not always: a row could then fail.',
					leadscore.column_type(source, name::text)),
				HINT = 'Change the column to jsonb, or to text.';
		END IF;
	END LOOP;
END
$$;

COMMENT ON FUNCTION leadscore.check_properties(regclass, name[]) IS 'refuses columns that cannot be properties';

CREATE FUNCTION leadscore.create_triggers(source regclass, mapping jsonb, function text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	-- the first number that no trigger of the table has in its name, whosever it is
	prefix CONSTANT text := (SELECT format('leadscore_%s', min(n))
		FROM generate_series(1, 1 + (SELECT count(*) FROM pg_trigger t WHERE t.tgrelid = source)) n
		WHERE NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = source AND starts_with(t.tgname::text, format('leadscore_%s_', n))));
	event text;
BEGIN
	FOREACH event IN ARRAY ARRAY['insert', 'update', 'delete', 'truncate'] LOOP
		EXECUTE format('CREATE TRIGGER %I %s %s ON %s %s FOR EACH STATEMENT EXECUTE FUNCTION leadscore.%I(%L)',
			prefix || '_' || event,
			CASE event WHEN 'truncate' THEN 'BEFORE' ELSE 'AFTER' END, event, source,
			CASE event WHEN 'insert' THEN 'REFERENCING NEW TABLE AS leadscore_new'
				WHEN 'update' THEN 'REFERENCING NEW TABLE AS leadscore_new OLD TABLE AS leadscore_old'
				WHEN 'delete' THEN 'REFERENCING OLD TABLE AS leadscore_old' ELSE '' END,
			function, mapping);
	END LOOP;
END
$$;

COMMENT ON FUNCTION leadscore.create_triggers(regclass, jsonb, text) IS 'makes the four triggers of a table';

CREATE FUNCTION leadscore.drop_triggers(source regclass, prefix text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET client_min_messages = 'warning'
AS $$
DECLARE
	event text;
BEGIN
	FOREACH event IN ARRAY ARRAY['insert', 'update', 'delete', 'truncate'] LOOP
		EXECUTE format('DROP TRIGGER IF EXISTS %I ON %s', prefix || '_' || event, source);
	END LOOP;
END
$$;

COMMENT ON FUNCTION leadscore.drop_triggers(regclass, text) IS 'drops the four triggers of a table';

CREATE FUNCTION leadscore.children(source regclass) RETURNS SETOF regclass
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH RECURSIVE child AS (
		SELECT i.inhrelid FROM pg_inherits i WHERE i.inhparent = source AND NOT i.inhdetachpending
		UNION
		SELECT i.inhrelid FROM pg_inherits i JOIN child c ON i.inhparent = c.inhrelid WHERE NOT i.inhdetachpending
	)
	SELECT inhrelid::regclass FROM child
$$;

COMMENT ON FUNCTION leadscore.children(regclass) IS 'the partitions and inheritance children of a table, at any depth';

-- A statement fires the triggers of the table that it names. So partitions and
-- children have triggers of their own, for what is written to them directly;
-- their rows are read through the source.

CREATE FUNCTION leadscore.begin_tracking(source regclass, mapping jsonb, function text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	what CONSTANT text := CASE function WHEN 'record' THEN 'timeline' ELSE 'profile' END;
	other regclass;
	child regclass;
BEGIN
	EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', source);
	IF octet_length(mapping::text) > 1000000 THEN
		RAISE EXCEPTION USING ERRCODE = 'program_limit_exceeded', MESSAGE = 'the mapping is too long',
			DETAIL = format('It has %s bytes.', octet_length(mapping::text)), HINT = 'Give the events a shorter kind.';
	END IF;
	IF EXISTS (SELECT FROM leadscore.source s WHERE s.source = begin_tracking.source AND s.feeds = what
			AND s.mapping - 'maintenance' = begin_tracking.mapping - 'maintenance') THEN
		RAISE EXCEPTION USING ERRCODE = 'duplicate_object', MESSAGE = format('%s is already tracked in this way', source),
			DETAIL = format('The mapping is %s.', mapping), HINT = 'See leadscore.source; leadscore.untrack() ends tracking.';
	END IF;
	SELECT s.source INTO other FROM leadscore.source s
	WHERE s.feeds = what
	AND (s.source IN (SELECT leadscore.children(begin_tracking.source)) OR begin_tracking.source IN (SELECT leadscore.children(s.source)));
	IF FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('%s is already tracked through %s', source, other),
			DETAIL = 'One of the two is a partition or child of the other: its rows would count twice.',
			HINT = format('SELECT leadscore.untrack(%L) first.', other);
	END IF;

	PERFORM leadscore.create_triggers(source, mapping, function);
	FOR child IN SELECT leadscore.children(source) LOOP
		EXIT WHEN EXISTS (SELECT FROM pg_class k WHERE k.oid = child AND k.relkind = 'f');	-- to be refused
		PERFORM leadscore.create_triggers(child, mapping || '{"partition": true}', function);
	END LOOP;
	PERFORM leadscore.check_children(ARRAY[source::oid]);
END
$$;

COMMENT ON FUNCTION leadscore.begin_tracking(regclass, jsonb, text) IS 'makes the triggers of a source, its partitions and children';

CREATE FUNCTION leadscore.has_in_family(source regclass, tables oid[]) RETURNS boolean
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT source::oid = ANY (tables) OR EXISTS (SELECT FROM leadscore.children(source) AS c (child) WHERE c.child::oid = ANY (tables))
$$;

COMMENT ON FUNCTION leadscore.has_in_family(regclass, oid[]) IS 'whether one of some tables is a source, or a partition or child of it';

CREATE FUNCTION leadscore.check_children(tables oid[]) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	child record;
BEGIN
	SELECT s.source AS child, i.inhparent::regclass AS source INTO child
	FROM leadscore.source s JOIN pg_inherits i ON i.inhrelid = s.source
	WHERE s.source::oid = ANY (tables) OR i.inhparent = ANY (tables);
	IF FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'feature_not_supported', MESSAGE = format('%s cannot be tracked as a partition or child of %s', child.child, child.source),
			DETAIL = format('Statements on %s do not tell the triggers of %s which of its rows they change.', child.source, child.child),
			HINT = format('Track %s instead.', child.source);
	END IF;
	SELECT k.oid::regclass AS child INTO child
	FROM leadscore.source s JOIN pg_class k ON k.oid = s.source OR k.oid IN (SELECT leadscore.children(s.source))
	WHERE k.relpersistence <> 'p' AND leadscore.has_in_family(s.source, tables);
	IF FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'feature_not_supported', MESSAGE = format('the tracked table %s cannot be temporary or unlogged', child.child),
			DETAIL = 'Its rows are gone when the session ends, or after a crash; timelines stay.', HINT = 'Untrack it, or leave it permanent and logged.';
	END IF;
	SELECT c.child, s.source INTO child
	FROM leadscore.source s CROSS JOIN LATERAL leadscore.children(s.source) AS c (child)
	WHERE EXISTS (SELECT FROM pg_class k WHERE k.oid = c.child AND k.relkind = 'f') AND leadscore.has_in_family(s.source, tables);
	IF FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'feature_not_supported', MESSAGE = format('a tracked table cannot have the foreign table %s as a partition or child', child.child),
			DETAIL = format('Statements on %s could not tell its triggers which rows they write there, and would fail.', child.source),
			HINT = 'Keep the foreign table apart from the tracked one, and track it where it lives.';
	END IF;
	SELECT c.child, min(s.source::text) AS one, max(s.source::text) AS other INTO child
	FROM leadscore.source s CROSS JOIN LATERAL leadscore.children(s.source) AS c (child)
	GROUP BY c.child, s.feeds
	HAVING count(DISTINCT s.source) > 1 AND bool_or(leadscore.has_in_family(s.source, tables));
	IF FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'feature_not_supported', MESSAGE = format('%s cannot be the child of two tracked tables', child.child),
			DETAIL = format('%s and %s are tracked. A statement on one of them does not tell the other of the rows that it changes in their child.', child.one, child.other),
			HINT = 'Untrack one of the two.';
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore.check_children(oid[]) IS 'refuses families of tables, those that some tables belong to, in which some would change unseen';

-- functions

CREATE FUNCTION leadscore.track(source regclass, lead_id name, kind text DEFAULT NULL, kind_column name DEFAULT NULL,
	occurred_at name DEFAULT NULL, value name DEFAULT NULL, properties name[] DEFAULT NULL,
	maintenance text DEFAULT 'immediate') RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	mapping CONSTANT jsonb := jsonb_strip_nulls(jsonb_build_object('lead_id', lead_id, 'kind', kind, 'kind_column', kind_column,
		'occurred_at', occurred_at, 'value', value, 'properties', properties, 'maintenance', nullif(maintenance, 'immediate')));
	type regtype;
BEGIN
	IF maintenance IS NULL OR maintenance NOT IN ('immediate', 'deferred') THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'maintenance is unknown',
			DETAIL = format('It is %s.', coalesce(quote_literal(maintenance), 'NULL')), HINT = 'Write immediate or deferred.';
	END IF;
	PERFORM leadscore.check_source(source);
	IF lead_id IS NULL OR occurred_at IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
			MESSAGE = format('track() needs the column %s', CASE WHEN lead_id IS NULL THEN 'lead_id' ELSE 'occurred_at' END),
			DETAIL = 'An event belongs to a lead and has a time.',
			HINT = 'For example: SELECT leadscore.track(''shop.orders'', lead_id => ''customer_id'', kind => ''purchase'', occurred_at => ''placed_at'', value => ''total'').';
	END IF;
	IF (kind IS NULL) = (kind_column IS NULL) OR kind = '' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'track() needs either kind or kind_column',
			DETAIL = format('kind is %s, kind_column is %s.', coalesce(quote_literal(kind), 'NULL'), coalesce(quote_literal(kind_column), 'NULL')),
			HINT = 'Give kind if all rows are of one kind, kind_column if a column names it.';
	END IF;

	type := leadscore.column_type(source, occurred_at::text);
	IF type NOT IN ('timestamptz'::regtype, 'timestamp'::regtype, 'date'::regtype) THEN
		RAISE EXCEPTION USING ERRCODE = 'datatype_mismatch', MESSAGE = format('column "%s" is no time', occurred_at),
			DETAIL = format('It is of type %s.', type), HINT = 'Name a column of type timestamptz, timestamp (read as UTC) or date.';
	END IF;
	IF value IS NOT NULL THEN
		type := leadscore.column_type(source, value::text);
		IF type NOT IN ('numeric'::regtype, 'bigint'::regtype, 'integer'::regtype, 'smallint'::regtype, 'real'::regtype, 'float8'::regtype) THEN
			RAISE EXCEPTION USING ERRCODE = 'datatype_mismatch', MESSAGE = format('column "%s" is no number', value),
				DETAIL = format('It is of type %s.', type), HINT = 'Name a column of a numeric type.';
		END IF;
	END IF;
	PERFORM leadscore.check_properties(source, properties);
	PERFORM leadscore.column_type(source, name::text) FROM unnest(ARRAY[lead_id, kind_column]) name;

	PERFORM leadscore.begin_tracking(source, mapping, 'record'::text);
	PERFORM leadscore.add_source(source, mapping, with_children => true, subtract => false);
END
$$;

COMMENT ON FUNCTION leadscore.track(regclass, name, text, name, name, name, name[], text)
	IS 'counts the rows of a table as events, those there are and those to come';

CREATE FUNCTION leadscore.track_profile(source regclass, lead_id name, properties name[]) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	mapping CONSTANT jsonb := jsonb_build_object('lead_id', lead_id, 'properties', properties);
BEGIN
	PERFORM leadscore.check_source(source);
	IF lead_id IS NULL OR coalesce(cardinality(properties), 0) = 0 THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'track_profile() needs lead_id and properties',
			DETAIL = 'A profile belongs to a lead and has at least one attribute.',
			HINT = 'For example: SELECT leadscore.track_profile(''shop.customers'', ''customer_id'', ''{country,age}'').';
	END IF;
	PERFORM leadscore.check_properties(source, properties);
	PERFORM leadscore.column_type(source, lead_id::text);	-- names the column if it is missing
	PERFORM leadscore.begin_tracking(source, mapping, 'record_profile'::text);
	PERFORM leadscore.add_profiles(source, mapping, with_children => true, subtract => false);
END
$$;

COMMENT ON FUNCTION leadscore.track_profile(regclass, name, name[])
	IS 'keeps lead.profile true to a table of customers, its rows of today and those to come';

CREATE FUNCTION leadscore.note_everybody() RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	INSERT INTO leadscore.changed_lead SELECT NULL WHERE pg_relation_size('leadscore.derivation') > 0;
END
$$;

COMMENT ON FUNCTION leadscore.note_everybody() IS 'has the next derive() look at all leads, where there are rules';

CREATE FUNCTION leadscore.end_tracking(source regclass, what text[]) RETURNS integer
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tracked record;
	child record;
	n integer := 0;
BEGIN
	EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', source);
	FOR tracked IN SELECT s.feeds, s.mapping, s.trigger_prefix FROM leadscore.source s
			WHERE s.source = end_tracking.source AND s.feeds = ANY (what) LOOP
		IF tracked.feeds = 'timeline' THEN
			BEGIN
				PERFORM leadscore.add_source(source, tracked.mapping, with_children => true, subtract => true);
			EXCEPTION WHEN OTHERS THEN
				PERFORM leadscore.note_everybody();
				RAISE NOTICE USING MESSAGE = format('the rows of %s stay in the timelines', source), DETAIL = SQLERRM || '.',
					HINT = 'CALL leadscore.rebuild() takes them out.';
			END;
		END IF;
		PERFORM leadscore.drop_triggers(source, tracked.trigger_prefix);
		FOR child IN SELECT s.source, s.trigger_prefix FROM leadscore.source_trigger s
				WHERE s.feeds = tracked.feeds AND s.mapping = tracked.mapping || '{"partition": true}'
				AND s.source IN (SELECT leadscore.children(end_tracking.source)) LOOP
			PERFORM leadscore.drop_triggers(child.source, child.trigger_prefix);
		END LOOP;
		n := n + 1;
	END LOOP;
	RETURN n;
END
$$;

COMMENT ON FUNCTION leadscore.end_tracking(regclass, text[]) IS 'ends tracking of a table for timelines, profiles or both, and says how many mappings it had';

CREATE FUNCTION leadscore.untrack(source regclass) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM leadscore.check_source(source);
	IF leadscore.end_tracking(source, '{timeline,profile}'::text[]) = 0 THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('%s is not tracked', source),
			DETAIL = 'It has no triggers of leadscore.',
			HINT = leadscore.known('tracked tables'::text, ARRAY(SELECT DISTINCT s.source::text FROM leadscore.source s ORDER BY 1));
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore.untrack(regclass) IS 'ends tracking of a table and takes its rows out of the timelines; profiles stay';

-- partitions and children that come and go

CREATE FUNCTION leadscore.check_seen(what text, query text, names text[] DEFAULT NULL) RETURNS void
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE;

COMMENT ON FUNCTION leadscore.check_seen(text, text, text[]) IS 'a serialization failure, if the text that a query gives has changed since the snapshot';

CREATE FUNCTION leadscore.check_sources_seen() RETURNS void
	LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
	SELECT leadscore.check_seen('The sources'::text,
		'SELECT string_agg(format(''%s %s'', source::oid, mapping), '','' ORDER BY source::oid, mapping) FROM leadscore.source_trigger'::text, NULL::text[])
$$;

COMMENT ON FUNCTION leadscore.check_sources_seen() IS 'a serialization failure, if what is tracked has changed since the snapshot';

-- Only the families of tables that the command has touched are looked at. What
-- others have made of theirs, such as a trigger by hand, or hold a lock on,
-- must not keep anybody from making a table.

CREATE FUNCTION leadscore.follow_tables(detached oid[]) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tables CONSTANT oid[] := detached || ARRAY(SELECT c.objid FROM pg_event_trigger_ddl_commands() c WHERE c.classid = 'pg_class'::regclass);
	child record;
BEGIN
	IF EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = ANY (tables) OR i.inhrelid = ANY (tables)) THEN
		PERFORM leadscore.check_sources_seen();
	END IF;
	FOR child IN
		SELECT DISTINCT c.child AS source, s.source AS parent, s.feeds
		FROM leadscore.source s CROSS JOIN LATERAL leadscore.children(s.source) AS c (child)
		WHERE EXISTS (SELECT FROM leadscore.source o WHERE o.source = c.child AND o.feeds = s.feeds) AND leadscore.has_in_family(s.source, tables)
	LOOP
		RAISE NOTICE USING MESSAGE = format('%s is no source of its own any more', child.source),
			DETAIL = format('It is now a partition or child of %s, through which its rows count.', child.parent);
		PERFORM leadscore.end_tracking(child.source, ARRAY[child.feeds]);
	END LOOP;
	PERFORM leadscore.check_children(tables);
	FOR child IN
		SELECT c.child, s.mapping, s.feeds
		FROM leadscore.source s CROSS JOIN LATERAL leadscore.children(s.source) AS c (child)
		WHERE NOT EXISTS (SELECT FROM leadscore.source_trigger t
			WHERE t.source = c.child AND t.feeds = s.feeds AND t.mapping = s.mapping || '{"partition": true}')
		AND leadscore.has_in_family(s.source, tables)
	LOOP
		PERFORM leadscore.create_triggers(child.child, child.mapping || '{"partition": true}',
			CASE child.feeds WHEN 'timeline' THEN 'record' ELSE 'record_profile' END);
		PERFORM leadscore.add_rows(child.child, child.feeds, child.mapping, subtract => false);
	END LOOP;

	FOR child IN
		SELECT t.source, t.mapping - 'partition' AS mapping, t.feeds, t.trigger_prefix
		FROM leadscore.source_trigger t
		WHERE t.mapping ? 'partition'
		AND NOT EXISTS (SELECT FROM leadscore.source s
			WHERE s.feeds = t.feeds AND s.mapping = t.mapping - 'partition' AND t.source IN (SELECT leadscore.children(s.source)))
		AND EXISTS (SELECT FROM unnest(tables) u WHERE leadscore.has_in_family(u::regclass, ARRAY[t.source::oid]))
	LOOP
		PERFORM leadscore.add_rows(child.source, child.feeds, child.mapping, subtract => true);
		PERFORM leadscore.drop_triggers(child.source, child.trigger_prefix);
	END LOOP;
END
$$;

COMMENT ON FUNCTION leadscore.follow_tables(oid[])
	IS 'tracks the partitions and children of a source that have come by a command, and no longer those that have gone; detached: partitions that it names';

CREATE FUNCTION leadscore.follow_children() RETURNS event_trigger
	AS 'MODULE_PATHNAME' LANGUAGE C;

COMMENT ON FUNCTION leadscore.follow_children() IS 'event trigger: partitions and children of a source are tracked when they come, and no longer when they go';

CREATE FUNCTION leadscore.follow_drop(dropped regclass) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tracked record;
BEGIN
	PERFORM leadscore.check_sources_seen();
	-- partitions and children are dropped with it; their triggers tell what each of them has brought
	FOR tracked IN
		SELECT t.source, t.feeds, t.mapping - 'partition' AS mapping, t.trigger_prefix
		FROM leadscore.source_trigger t
		WHERE t.source = dropped OR t.source IN (SELECT leadscore.children(dropped))
	LOOP
		BEGIN
			PERFORM leadscore.add_rows(tracked.source, tracked.feeds, tracked.mapping, subtract => true);
		EXCEPTION WHEN data_exception OR undefined_object OR undefined_function OR undefined_column OR program_limit_exceeded THEN
			PERFORM leadscore.note_everybody();
			RAISE NOTICE USING MESSAGE = format('the rows of %s stay in the timelines', tracked.source), DETAIL = SQLERRM || '.',
				HINT = 'CALL leadscore.rebuild() takes them out.';
		END;
		-- it may be dropped again by the same command, through its parent
		PERFORM leadscore.drop_triggers(tracked.source, tracked.trigger_prefix);
	END LOOP;
END
$$;

COMMENT ON FUNCTION leadscore.follow_drop(regclass) IS 'takes the rows of a table that will be dropped out of timelines and profiles';

CREATE FUNCTION leadscore.follow_drops() RETURNS event_trigger
	AS 'MODULE_PATHNAME' LANGUAGE C;

COMMENT ON FUNCTION leadscore.follow_drops() IS 'event trigger: takes the rows of a table out before it is dropped';

CREATE EVENT TRIGGER leadscore_follow_drops ON ddl_command_start
	WHEN TAG IN ('DROP TABLE', 'DROP SCHEMA', 'DROP OWNED')
	EXECUTE FUNCTION leadscore.follow_drops();

COMMENT ON EVENT TRIGGER leadscore_follow_drops IS 'keeps timelines true to sources that are dropped';

CREATE EVENT TRIGGER leadscore_follow_children ON ddl_command_end
	WHEN TAG IN ('CREATE TABLE', 'ALTER TABLE', 'CREATE FOREIGN TABLE', 'ALTER FOREIGN TABLE', 'CREATE SCHEMA')
	EXECUTE FUNCTION leadscore.follow_children();

COMMENT ON EVENT TRIGGER leadscore_follow_children IS 'keeps tracking true to partitions that are made, attached and detached';

-- the table event is tracked from the start

SELECT leadscore.create_triggers('leadscore.event', '{"lead_id": "lead_id", "kind_column": "kind",
	"occurred_at": "occurred_at", "value": "value", "properties": ["properties"]}', 'record');

SELECT pg_catalog.pg_extension_config_dump('leadscore.event', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.event_event_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.lead', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.lead_timeline', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.lead_alias', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.pending_delta', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.changed_lead', '');
-- partition.sql: lead_timeline split into tables
--
-- The tables are children of lead_timeline by inheritance, and no members of
-- the extension: so pg_dump carries them, and views and plans that depend on
-- lead_timeline know nothing of them. src/partition.c tells the rest.

CREATE FUNCTION leadscore.timeline_partition(lead_id text, partitions integer) RETURNS integer
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION leadscore.timeline_partition(text, integer)
	IS 'the number of the table that a lead is in where lead_timeline is split into so many';

CREATE FUNCTION leadscore.table_of_lead(lead_id text) RETURNS regclass
	AS 'MODULE_PATHNAME' LANGUAGE C STABLE STRICT;

COMMENT ON FUNCTION leadscore.table_of_lead(text) IS 'the table that a lead''s timeline is written to';

CREATE FUNCTION leadscore.guard_timelines() RETURNS trigger
	AS 'MODULE_PATHNAME' LANGUAGE C;

COMMENT ON FUNCTION leadscore.guard_timelines() IS 'trigger: refuses rows in lead_timeline itself while it is split';

CREATE TRIGGER guard_timelines BEFORE INSERT ON leadscore.lead_timeline
	FOR EACH ROW EXECUTE FUNCTION leadscore.guard_timelines();

CREATE FUNCTION leadscore.move_timelines(back boolean) RETURNS void
	AS 'MODULE_PATHNAME' LANGUAGE C STRICT;

COMMENT ON FUNCTION leadscore.move_timelines(boolean)
	IS 'copies what lead_timeline holds into its tables, or back, with all versions that somebody may still see';

CREATE FUNCTION leadscore.split_tables() RETURNS TABLE (number integer, name regclass, of integer)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
AS $$
	SELECT substring(c.relname FROM '[0-9]+$')::integer, c.oid::regclass,
		(SELECT substring(pg_get_constraintdef(k.oid) FROM 'timeline_partition[(]lead_id, ([0-9]+)[)]')::integer
			FROM pg_constraint k WHERE k.conrelid = c.oid AND k.conname = c.relname || '_leads')
	FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
	WHERE i.inhparent = 'leadscore.lead_timeline'::regclass AND c.relnamespace = 'leadscore'::regnamespace
	AND c.relname ~ '^lead_timeline_(0|[1-9][0-9]{0,3})$'
	ORDER BY 1
$$;

COMMENT ON FUNCTION leadscore.split_tables() IS 'the tables that lead_timeline is split into';

CREATE FUNCTION leadscore.partitions() RETURNS integer
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT greatest(count(*), 1)::integer FROM leadscore.split_tables()
$$;

COMMENT ON FUNCTION leadscore.partitions() IS 'how many tables lead_timeline is split into; 1: it is whole';

CREATE FUNCTION leadscore.split_problem() RETURNS TABLE (state text, action text)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	IF NOT EXISTS (SELECT FROM leadscore.split_tables()) THEN
		RETURN;
	END IF;
	IF EXISTS (SELECT FROM ONLY leadscore.lead_timeline) THEN
		RETURN QUERY SELECT 'is split, but has rows itself', 'DELETE FROM ONLY leadscore.lead_timeline, then CALL leadscore.rebuild()';
	END IF;
	IF EXISTS (SELECT FROM leadscore.split_tables() t HAVING count(*) <> max(t.of) OR min(t.of) IS DISTINCT FROM max(t.of)
			OR max(t.number) <> count(*) - 1 OR count(t.of) <> count(*)) THEN
		RETURN QUERY SELECT 'is split, but some of its tables are missing', 'SELECT leadscore.partition_timelines(1), then CALL leadscore.rebuild()';
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore.split_problem() IS 'what is wrong with the tables that lead_timeline is split into';

CREATE FUNCTION leadscore.create_split_table(number integer, of integer) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	parent CONSTANT pg_class := (SELECT c FROM pg_class c WHERE c.oid = 'leadscore.lead_timeline'::regclass);
	name CONSTANT text := format('leadscore.lead_timeline_%s', number);
	settings CONSTANT text[] := parent.reloptions
		|| ARRAY(SELECT 'toast.' || unnest(t.reloptions) FROM pg_class t WHERE t.oid = parent.reltoastrelid);
	command text;
BEGIN
	EXECUTE format('CREATE %s TABLE %s (LIKE leadscore.lead_timeline INCLUDING STORAGE INCLUDING COMPRESSION INCLUDING INDEXES INCLUDING STATISTICS INCLUDING COMMENTS,'
		' CONSTRAINT lead_timeline_%s_leads CHECK (leadscore.timeline_partition(lead_id, %s) = %s)) INHERITS (leadscore.lead_timeline) USING %I %s %s',
		CASE parent.relpersistence WHEN 'u' THEN 'UNLOGGED' END, name, number, of, number,
		(SELECT m.amname FROM pg_am m WHERE m.oid = parent.relam),
		(SELECT 'WITH (' || string_agg(format('%s = %L', split_part(s, '=', 1), substr(s, strpos(s, '=') + 1)), ', ') || ')' FROM unnest(settings) s),
		(SELECT format('TABLESPACE %I', t.spcname) FROM pg_tablespace t WHERE t.oid = parent.reltablespace));
	EXECUTE format('COMMENT ON TABLE %s IS %L', name, format('timelines of the leads with leadscore.timeline_partition(lead_id, %s) = %s', of, number));
	-- who may read lead_timeline may read it all the same; where policies bind him there, he must not get past them here
	IF NOT parent.relrowsecurity THEN
		FOR command IN
			SELECT format('GRANT %s ON %s TO %s%s', a.privilege_type, name, coalesce(quote_ident(r.rolname), 'PUBLIC'),
				CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
			FROM aclexplode(parent.relacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
			WHERE a.grantee <> parent.relowner
			UNION ALL
			SELECT format('GRANT %s (%I) ON %s TO %s%s', a.privilege_type, c.attname, name, coalesce(quote_ident(r.rolname), 'PUBLIC'),
				CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
			FROM pg_attribute c CROSS JOIN aclexplode(c.attacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
			WHERE c.attrelid = parent.oid AND a.grantee <> parent.relowner
		LOOP
			EXECUTE command;
		END LOOP;
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore.create_split_table(integer, integer) IS 'makes one of the tables that lead_timeline is split into, like it in all else';

CREATE FUNCTION leadscore.partition_timelines(partitions integer) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET client_min_messages = 'warning' SET jit = off
AS $$
DECLARE
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
	PERFORM leadscore.check_read_committed('partition_timelines()'::text, 'lost'::text);

	-- writers and readers wait here, and look for the tables when they go on
	LOCK TABLE leadscore.lead_timeline IN ACCESS EXCLUSIVE MODE;
	IF EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = 'leadscore.lead_timeline'::regclass AND t.tgname <> 'guard_timelines') THEN
		RAISE EXCEPTION USING ERRCODE = 'feature_not_supported', MESSAGE = 'lead_timeline has triggers or foreign keys',
			DETAIL = 'They would not hold for the tables that it is split into.', HINT = 'Drop them.';
	END IF;
	tables := ARRAY(SELECT t.name FROM leadscore.split_tables() t ORDER BY t.number);
	IF partitions = greatest(cardinality(tables), 1) AND NOT EXISTS (SELECT FROM leadscore.split_problem()) THEN
		RETURN;
	END IF;

	IF tables <> '{}' THEN
		IF EXISTS (SELECT FROM ONLY leadscore.lead_timeline) THEN
			RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = 'lead_timeline is split, but has rows itself',
				DETAIL = 'A lead may have rows in two tables now.', HINT = 'DELETE FROM ONLY leadscore.lead_timeline, then CALL leadscore.rebuild().';
		END IF;
		TRUNCATE ONLY leadscore.lead_timeline;
		PERFORM leadscore.move_timelines(back => true);
		EXECUTE format('DROP TABLE %s', array_to_string(tables, ', '));
	END IF;
	IF partitions > 1 THEN
		PERFORM leadscore.create_split_table(n, partitions) FROM generate_series(0, partitions - 1) n;
		PERFORM leadscore.move_timelines(back => false);
		TRUNCATE ONLY leadscore.lead_timeline;
		FOR child IN SELECT t.name FROM leadscore.split_tables() t LOOP
			EXECUTE format('REINDEX TABLE %s', child);
			EXECUTE format('ANALYZE %s', child);
		END LOOP;
	ELSE
		REINDEX TABLE leadscore.lead_timeline;
	END IF;
	ANALYZE leadscore.lead_timeline;
END
$$;

COMMENT ON FUNCTION leadscore.partition_timelines(integer)
	IS 'splits lead_timeline into so many tables, by a hash of lead_id; 1 puts it together again';
-- maintenance.sql: timelines against events: verify, rebuild, fold, status

-- what is stored: timelines with what is pending

CREATE VIEW leadscore.current_timeline AS
SELECT t.lead_id, t.timeline
FROM leadscore.lead_timeline t
WHERE NOT (SELECT EXISTS (SELECT FROM leadscore.pending_delta))
OR t.lead_id NOT IN (SELECT coalesce(a.lead_id, p.lead_id)
	FROM leadscore.pending_delta p LEFT JOIN leadscore.lead_alias a ON a.alias = p.lead_id)
UNION ALL
SELECT u.lead_id, leadscore.stored_sum(u.timeline)
FROM (
	SELECT coalesce(a.lead_id, p.lead_id) AS lead_id, p.delta AS timeline
	FROM leadscore.pending_delta p LEFT JOIN leadscore.lead_alias a ON a.alias = p.lead_id
	UNION ALL
	SELECT t.lead_id, t.timeline
	FROM leadscore.lead_timeline t
	WHERE t.lead_id IN (SELECT coalesce(a.lead_id, p.lead_id)
		FROM leadscore.pending_delta p LEFT JOIN leadscore.lead_alias a ON a.alias = p.lead_id)
) u
WHERE (SELECT EXISTS (SELECT FROM leadscore.pending_delta))
GROUP BY u.lead_id
HAVING leadscore.stored_sum(u.timeline) OPERATOR(leadscore.<>) '{}';

COMMENT ON VIEW leadscore.current_timeline IS 'each lead''s timeline as of now: lead_timeline with what is pending';
COMMENT ON COLUMN leadscore.current_timeline.lead_id IS 'the lead';
COMMENT ON COLUMN leadscore.current_timeline.timeline IS 'what it did';

-- private functions

CREATE FUNCTION leadscore.in_transaction_block() RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE;

CREATE FUNCTION leadscore.wait_for_writers() RETURNS void
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE;

CREATE FUNCTION leadscore.only(timeline leadscore.timeline, signal_ids integer[]) RETURNS leadscore.timeline
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION leadscore.in_transaction_block() IS 'whether a procedure must not commit';
COMMENT ON FUNCTION leadscore.wait_for_writers() IS 'waits for the transactions that are writing timelines now';
COMMENT ON FUNCTION leadscore.only(leadscore.timeline, integer[]) IS 'the part of a timeline that belongs to some signals';

CREATE FUNCTION leadscore.difference(timeline leadscore.timeline, other leadscore.timeline) RETURNS leadscore.timeline
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION leadscore.difference(leadscore.timeline, leadscore.timeline)
	IS 'timeline - other, where NULL is empty, and an hour that overflows wraps around';

-- costly, so that several are run in parallel
CREATE FUNCTION leadscore.gather(sources regclass[], mappings jsonb[], signals jsonb, lead_ids text[], kinds text[], part integer, parts integer,
	OUT lead_id text, OUT timeline leadscore.timeline) RETURNS SETOF record
	AS 'MODULE_PATHNAME' LANGUAGE C STABLE PARALLEL SAFE COST 100000000 ROWS 100000;

COMMENT ON FUNCTION leadscore.gather(regclass[], jsonb[], jsonb, text[], text[], integer, integer)
	IS 'the timelines of the rows of some tables, for one of some parts of the leads; lead_ids and kinds say which are wanted, but more may come';

-- As PostgreSQL plans a scan: a worker more for three times the size. Sizes are those of the last vacuum or analyze:
-- to ask for today's would take locks, and wait for them.
CREATE FUNCTION leadscore.gather_parts(sources regclass[]) RETURNS integer
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	WITH RECURSIVE family AS (
		SELECT s::oid AS oid FROM unnest(gather_parts.sources) s
		UNION
		SELECT i.inhrelid FROM pg_inherits i JOIN family f ON i.inhparent = f.oid
	), size AS (
		SELECT sum(greatest(c.relpages, 0)) * current_setting('block_size')::numeric
			/ greatest(pg_size_bytes(current_setting('min_parallel_table_scan_size')), 1) AS times
		FROM family f JOIN pg_class c ON c.oid = f.oid
	)
	SELECT CASE WHEN s.times >= 1
		THEN 1 + least(current_setting('max_parallel_workers_per_gather')::integer, 1 + floor(log(3, s.times))::integer)
		ELSE 1 END
	FROM size s;
END;

COMMENT ON FUNCTION leadscore.gather_parts(regclass[]) IS 'how many processes are worth while to gather the timelines of some tables';

CREATE FUNCTION leadscore.source_timelines(lead_ids text[] DEFAULT NULL, signals jsonb DEFAULT NULL, resolve boolean DEFAULT true)
	RETURNS TABLE (lead_id text, timeline leadscore.timeline)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET row_security = off SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	document CONSTANT jsonb := coalesce(signals, leadscore.signals());
	-- the kinds that some signals take; NULL: any
	kinds CONSTANT text[] := (SELECT CASE WHEN source_timelines.signals IS NOT NULL AND bool_and(s ? 'kind') THEN array_agg(s ->> 'kind') END
		FROM jsonb_array_elements(document -> 'signals') s);
	aliases CONSTANT boolean := resolve AND EXISTS (SELECT FROM leadscore.lead_alias);
	names CONSTANT text[] := CASE WHEN aliases AND source_timelines.lead_ids IS NOT NULL
		THEN source_timelines.lead_ids || ARRAY(SELECT a.alias FROM leadscore.lead_alias a WHERE a.lead_id = ANY (source_timelines.lead_ids))
		ELSE source_timelines.lead_ids END;
	sources regclass[];
	mappings jsonb[];
	parts integer := 1;
	gathered text;
BEGIN
	SELECT array_agg(s.source), array_agg(s.mapping) INTO sources, mappings
	FROM leadscore.source_trigger s
	WHERE s.feeds = 'timeline' AND NOT s.mapping ? 'partition' AND (kinds IS NULL OR s.kind IS NULL OR s.kind = ANY (kinds));
	IF sources IS NULL OR document -> 'signals' = '[]' THEN
		RETURN;
	END IF;
	IF names IS NULL AND kinds IS NULL THEN
		parts := leadscore.gather_parts(sources);
	END IF;
	gathered := (SELECT string_agg(format('SELECT * FROM leadscore.gather($1, $2, $3, $4, $5, %s, %s)', part, parts), ' UNION ALL ')
		FROM generate_series(0, parts - 1) part);
	IF aliases THEN
		gathered := 'SELECT * FROM (SELECT coalesce(a.lead_id, g.lead_id) AS lead_id, leadscore.stored_sum(g.timeline) AS timeline FROM (' || gathered ||
			') g LEFT JOIN leadscore.lead_alias a ON a.alias = g.lead_id GROUP BY 1) r WHERE r.timeline OPERATOR(leadscore.<>) ''{}''';
	END IF;
	RETURN QUERY EXECUTE 'SELECT * FROM (' || gathered || ') t WHERE $6 IS NULL OR t.lead_id = ANY ($6)'
		USING sources, mappings, document, names, kinds, source_timelines.lead_ids;
END
$$;

COMMENT ON FUNCTION leadscore.source_timelines(text[], jsonb, boolean) IS 'timelines gathered from the rows of all sources';

-- TRUNCATE, ATTACH and DETACH PARTITION do not obey snapshots: the sources are
-- locked against them before the snapshot is taken that they are read with.

CREATE FUNCTION leadscore.hold_sources() RETURNS void
	LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
	SELECT leadscore.hold_source(t.source)
	FROM (SELECT DISTINCT s.source FROM leadscore.source_trigger s WHERE s.feeds = 'timeline' AND NOT s.mapping ? 'partition' ORDER BY 1) t
$$;

COMMENT ON FUNCTION leadscore.hold_sources() IS 'keeps the sources from being truncated, dropped or detached until the transaction ends';

-- verify

CREATE FUNCTION leadscore.verify() RETURNS TABLE (lead_id text, stored leadscore.timeline, expected leadscore.timeline)
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET row_security = off SET jit = off
AS $$
#variable_conflict use_column
BEGIN
	PERFORM leadscore.hold_sources();
	RETURN QUERY
	SELECT coalesce(t.lead_id, e.lead_id), t.timeline, e.timeline
	FROM leadscore.current_timeline t FULL JOIN leadscore.source_timelines(NULL::text[], NULL::jsonb, true) e ON t.lead_id = e.lead_id
	WHERE coalesce(t.timeline, '{}') OPERATOR(leadscore.<>) coalesce(e.timeline, '{}');
END
$$;

COMMENT ON FUNCTION leadscore.verify() IS 'the leads whose stored timeline differs from the one aggregated from the events: none';

-- rebuild
--
-- Every writer commits its events together with what they add to timelines. So
-- what a timeline lacks is the same in every snapshot, whatever is written
-- meanwhile: it is found in one snapshot and added later, in batches, without
-- keeping a writer out. Only writers that still count with signals of before
-- must have ended first.

CREATE FUNCTION leadscore.hold_rebuild(shared boolean DEFAULT false) RETURNS void
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;

CREATE FUNCTION leadscore.release_rebuild() RETURNS void
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE;

CREATE FUNCTION leadscore.add_deltas(lead_ids text[], deltas leadscore.timeline[]) RETURNS void
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;

COMMENT ON FUNCTION leadscore.hold_rebuild(boolean) IS 'waits for rebuilds of other sessions, and keeps them waiting';
COMMENT ON FUNCTION leadscore.release_rebuild() IS 'lets the next rebuild begin';
COMMENT ON FUNCTION leadscore.add_deltas(text[], leadscore.timeline[]) IS 'adds to timelines, aliases resolved';

CREATE FUNCTION leadscore.find_corrections(lead_ids text[], signals jsonb) RETURNS bigint
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET row_security = off SET client_min_messages = 'warning' SET jit = off
AS $$
DECLARE
	signal_ids CONSTANT integer[] := ARRAY(SELECT (s ->> 'signal_id')::integer FROM jsonb_array_elements(signals -> 'signals') s);
	n bigint;
BEGIN
	PERFORM leadscore.hold_sources();
	DROP TABLE IF EXISTS pg_temp.leadscore_correction;
	CREATE TEMP TABLE leadscore_correction AS
	SELECT coalesce(t.lead_id, e.lead_id) AS lead_id,
		leadscore.difference(e.timeline, t.timeline) AS correction
	FROM leadscore.source_timelines(find_corrections.lead_ids, signals, true) e
	FULL JOIN (
		SELECT c.lead_id, CASE WHEN signals IS NULL THEN c.timeline ELSE leadscore.only(c.timeline, signal_ids) END AS timeline
		FROM leadscore.current_timeline c
		WHERE find_corrections.lead_ids IS NULL OR c.lead_id = ANY (find_corrections.lead_ids)
	) t ON t.lead_id = e.lead_id
	WHERE coalesce(t.timeline, '{}'::leadscore.timeline) OPERATOR(leadscore.<>) coalesce(e.timeline, '{}'::leadscore.timeline)
	ORDER BY coalesce(t.lead_id, e.lead_id) COLLATE "C";
	GET DIAGNOSTICS n = ROW_COUNT;
	RETURN n;
END
$$;

COMMENT ON FUNCTION leadscore.find_corrections(text[], jsonb) IS 'puts what timelines lack into the temporary table leadscore_correction, and says how many there are';

CREATE FUNCTION leadscore.apply_corrections(first_page bigint, pages bigint) RETURNS bigint
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	lead_ids text[];
	corrections leadscore.timeline[];
BEGIN
	-- the table is in order, so a batch is some of its pages
	SELECT array_agg(c.lead_id), array_agg(c.correction) INTO lead_ids, corrections
	FROM pg_temp.leadscore_correction c
	WHERE c.ctid >= format('(%s,0)', first_page)::tid AND c.ctid < format('(%s,0)', first_page + pages)::tid;
	PERFORM leadscore.add_deltas(lead_ids, corrections);
	RETURN coalesce(cardinality(lead_ids), 0);
END
$$;

COMMENT ON FUNCTION leadscore.apply_corrections(bigint, bigint) IS 'adds the corrections of some pages of their table to the timelines, and says how many';

CREATE FUNCTION leadscore.signals_named(names text[]) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	document CONSTANT jsonb := leadscore.signals();
	missing text;
BEGIN
	SELECT n INTO missing FROM unnest(names) n
	WHERE n IS NULL OR NOT EXISTS (SELECT FROM jsonb_array_elements(document -> 'signals') s WHERE s ->> 'signal' = n)
	LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('event signal "%s" does not exist', missing),
			DETAIL = 'There is no row with that signal and the subject event in leadscore.signal.',
			HINT = leadscore.known('event signals'::text, ARRAY(SELECT s ->> 'signal' FROM jsonb_array_elements(document -> 'signals') s ORDER BY 1));
	END IF;
	RETURN document || jsonb_build_object('signals', (
		SELECT jsonb_agg(s) FROM jsonb_array_elements(document -> 'signals') s WHERE s ->> 'signal' = ANY (names)));
END
$$;

COMMENT ON FUNCTION leadscore.signals_named(text[]) IS 'signals() cut down to some';

CREATE FUNCTION leadscore.check_read_committed(procedure text, otherwise text) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	level CONSTANT text := current_setting('transaction_isolation');
BEGIN
	IF level NOT IN ('read committed', 'read uncommitted') THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_transaction_state',
			MESSAGE = format('%s must run at the isolation level read committed', procedure),
			DETAIL = format('The level is %s.', level),
			HINT = format('Events written since the transaction began could be %s. SET default_transaction_isolation = ''read committed'' first.', otherwise);
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore.check_read_committed(text, text) IS 'refuses the stricter levels of isolation';

-- A procedure that commits must not SET anything: every name is qualified.

CREATE PROCEDURE leadscore.add_corrections(what text, total bigint, may_commit boolean)
	LANGUAGE plpgsql
AS $$
DECLARE
	pages CONSTANT bigint := pg_catalog.pg_relation_size('pg_temp.leadscore_correction')
		OPERATOR(pg_catalog./) pg_catalog.current_setting('block_size')::bigint;
	-- some 16,000 leads, or 32 MB
	batch CONSTANT bigint := greatest(1, least(200, (33554432 OPERATOR(pg_catalog.*) pages)
		OPERATOR(pg_catalog./) greatest(1, pg_catalog.pg_total_relation_size('pg_temp.leadscore_correction'))));
	page bigint := 0;
	done bigint := 0;
	began CONSTANT pg_catalog.timestamptz := pg_catalog.clock_timestamp();
	reported pg_catalog.timestamptz := began;
BEGIN
	WHILE page OPERATOR(pg_catalog.<) pages LOOP
		IF may_commit THEN
			COMMIT;
		END IF;
		done := done OPERATOR(pg_catalog.+) leadscore.apply_corrections(page, batch);
		page := page OPERATOR(pg_catalog.+) batch;
		IF pg_catalog.clock_timestamp() OPERATOR(pg_catalog.>) (reported OPERATOR(pg_catalog.+) '1 second'::interval) THEN
			reported := pg_catalog.clock_timestamp();
			RAISE NOTICE '%: % of % leads corrected, % a second', what, done, total,
				pg_catalog.round((done OPERATOR(pg_catalog./) extract(epoch FROM (reported OPERATOR(pg_catalog.-) began)))::numeric);
		END IF;
	END LOOP;
	IF may_commit THEN
		COMMIT;
	END IF;
END
$$;

COMMENT ON PROCEDURE leadscore.add_corrections(text, bigint, boolean) IS 'adds the corrections that were found to the timelines, in batches, and reports';

CREATE PROCEDURE leadscore.rebuild(lead_ids text[] DEFAULT NULL, signals text[] DEFAULT NULL)
	LANGUAGE plpgsql
AS $$
DECLARE
	may_commit CONSTANT boolean := NOT leadscore.in_transaction_block();
	document pg_catalog.jsonb;
	counting pg_catalog.jsonb;
BEGIN
	PERFORM leadscore.check_read_committed('rebuild()'::pg_catalog.text, 'lost'::pg_catalog.text);
	IF signals IS NOT NULL THEN
		document := leadscore.signals_named(signals);
	END IF;
	IF may_commit THEN
		COMMIT;
	END IF;
	PERFORM leadscore.hold_rebuild(false);
	IF may_commit THEN
		COMMIT;
	END IF;
	-- of signals that change while we wait, somebody may still count with those of before
	counting := leadscore.signal_definitions(signals);
	PERFORM leadscore.wait_for_writers();
	CALL leadscore.add_corrections('rebuild'::pg_catalog.text, leadscore.find_corrections(lead_ids, document), may_commit);
	IF lead_ids IS NULL THEN
		PERFORM leadscore.signals_counted(counting);
		PERFORM leadscore.keep_documents(NULL::pg_catalog.text[]);
		IF signals IS NULL THEN
			PERFORM leadscore.compaction_finished();
		END IF;
	END IF;
	DROP TABLE pg_temp.leadscore_correction;
	PERFORM leadscore.release_rebuild();
END
$$;

COMMENT ON PROCEDURE leadscore.rebuild(text[], text[])
	IS 'adds to timelines what they lack: of the given leads and signals, or of all; writers go on meanwhile';

-- compact
--
-- From the moment that the instant is committed, writers count hours before it
-- by the day (signals()); those who may still count otherwise are waited for.
-- Then each timeline lacks the difference to its coarsened form, whatever is
-- written meanwhile: what is added is coarse already, and what fold(),
-- identify() and rebuild() move or add is on both sides. So it is found and
-- added as a rebuild's corrections are.

CREATE FUNCTION leadscore.check_compaction(before timestamptz) RETURNS timestamptz
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	-- infinity has no day, but is refused all the same
	day CONSTANT timestamptz := date_trunc('day', before AT TIME ZONE 'UTC') AT TIME ZONE 'UTC';
	present CONSTANT timestamptz := (SELECT c.compacted_before FROM leadscore.compaction c);
BEGIN
	IF before IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'before is NULL',
			DETAIL = 'Hours before an instant are to be kept by the day.',
			HINT = 'For example: CALL leadscore.compact(now() - interval ''90 days'').';
	END IF;
	IF before > clock_timestamp() THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'compact() must not reach into the future',
			DETAIL = format('The instant is %s.', before),
			HINT = 'What happens until then would be counted by the day at once. Give an instant that lies far enough back for scores to bear it, such as now() - interval ''90 days''.';
	END IF;
	IF before < '1970-01-01 00:00Z' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'compact() must not begin before 1970',
			DETAIL = format('The instant is %s.', before), HINT = 'Timelines hold the years 1970 to 9999.';
	END IF;
	IF day < present THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'timelines are compacted to a later instant already',
			DETAIL = format('Hours before %s are kept by the day, and cannot come back from timelines.', present),
			HINT = 'Where the events are still there, DELETE FROM leadscore.compaction and CALL leadscore.rebuild() count their hours anew.';
	END IF;
	RETURN day;
END
$$;

CREATE FUNCTION leadscore.begin_compaction(before timestamptz) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET row_security = off SET jit = off
AS $$
DECLARE
	day CONSTANT timestamptz := leadscore.check_compaction(before);
BEGIN
	-- a day's sum that does not fit is found before anything has changed
	PERFORM FROM leadscore.current_timeline t WHERE leadscore.coarsen(t.timeline, day) IS NULL;
	INSERT INTO leadscore.compaction AS c (compacted_before) VALUES (day)
	ON CONFLICT ((true)) DO UPDATE SET compacted_before = excluded.compacted_before, finished = false;
END
$$;

CREATE FUNCTION leadscore.find_hours() RETURNS bigint
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET row_security = off SET client_min_messages = 'warning' SET jit = off
AS $$
DECLARE
	n bigint;
BEGIN
	DROP TABLE IF EXISTS pg_temp.leadscore_correction;
	CREATE TEMP TABLE leadscore_correction AS
	SELECT t.lead_id, leadscore.difference(t.coarse, t.timeline) AS correction
	FROM (
		SELECT c.lead_id, c.timeline, leadscore.coarsen(c.timeline, (SELECT compacted_before FROM leadscore.compaction)) AS coarse
		FROM leadscore.current_timeline c
		OFFSET 0
	) t
	WHERE t.coarse OPERATOR(leadscore.<>) t.timeline
	ORDER BY t.lead_id COLLATE "C";
	GET DIAGNOSTICS n = ROW_COUNT;
	RETURN n;
END
$$;

CREATE FUNCTION leadscore.compaction_finished() RETURNS void
	LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	UPDATE leadscore.compaction SET finished = true WHERE NOT finished
$$;

COMMENT ON FUNCTION leadscore.check_compaction(timestamptz) IS 'the UTC day to compact before, or an error';
COMMENT ON FUNCTION leadscore.begin_compaction(timestamptz) IS 'sets the day before which hours are kept by the day';
COMMENT ON FUNCTION leadscore.find_hours() IS 'puts what compacting adds to timelines into the temporary table leadscore_correction, and says how many there are';
COMMENT ON FUNCTION leadscore.compaction_finished() IS 'notes that all timelines have been compacted';

CREATE PROCEDURE leadscore.compact(before timestamptz)
	LANGUAGE plpgsql
AS $$
DECLARE
	may_commit CONSTANT boolean := NOT leadscore.in_transaction_block();
BEGIN
	PERFORM leadscore.check_read_committed('compact()'::pg_catalog.text, 'passed over'::pg_catalog.text);
	PERFORM leadscore.check_compaction(before);
	IF may_commit THEN
		COMMIT;
	END IF;
	PERFORM leadscore.hold_rebuild(false);
	IF may_commit THEN
		COMMIT;
	ELSE
		-- nobody can know of the instant before we commit, so nobody may write until then
		LOCK TABLE leadscore.lead_timeline IN SHARE ROW EXCLUSIVE MODE;
	END IF;
	PERFORM leadscore.begin_compaction(before);
	IF may_commit THEN
		COMMIT;
	END IF;
	PERFORM leadscore.wait_for_writers();
	CALL leadscore.add_corrections('compact'::pg_catalog.text, leadscore.find_hours(), may_commit);
	PERFORM leadscore.compaction_finished();
	DROP TABLE pg_temp.leadscore_correction;
	PERFORM leadscore.release_rebuild();
END
$$;

COMMENT ON PROCEDURE leadscore.compact(timestamptz)
	IS 'keeps hours before the UTC day of an instant by the day, in all timelines and for what is still to come; writers go on meanwhile';

-- what history has been counted with

CREATE TABLE leadscore.counted_signal (
	signal_id integer PRIMARY KEY,
	definition jsonb NOT NULL
);

COMMENT ON TABLE leadscore.counted_signal IS 'the signals that past events have been counted for, as they were then';
COMMENT ON COLUMN leadscore.counted_signal.signal_id IS 'the signal';
COMMENT ON COLUMN leadscore.counted_signal.definition IS 'its kind, match and condition';

CREATE VIEW leadscore.signal_definition AS
SELECT s.signal, s.signal_id, jsonb_build_object('kind', s.kind, 'match', s.match, 'condition', s.condition) AS definition
FROM leadscore.signal s
WHERE s.subject = 'event';

COMMENT ON VIEW leadscore.signal_definition IS 'the event signals as they are now';
COMMENT ON COLUMN leadscore.signal_definition.signal IS 'name';
COMMENT ON COLUMN leadscore.signal_definition.signal_id IS 'number in timelines';
COMMENT ON COLUMN leadscore.signal_definition.definition IS 'its kind, match and condition';

CREATE FUNCTION leadscore.signal_definitions(signals text[]) RETURNS jsonb
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT jsonb_build_object(
		'all', signals IS NULL,
		'definitions', coalesce(jsonb_object_agg(d.signal_id, d.definition), '{}'))
	FROM leadscore.signal_definition d
	WHERE signals IS NULL OR d.signal = ANY (signals)
$$;

COMMENT ON FUNCTION leadscore.signal_definitions(text[]) IS 'what a rebuild counts with, for signals_counted()';

CREATE FUNCTION leadscore.signals_counted(counting jsonb) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF counting -> 'all' = 'true' THEN
		DELETE FROM leadscore.counted_signal c WHERE NOT counting -> 'definitions' ? c.signal_id::text;
	END IF;
	INSERT INTO leadscore.counted_signal AS c (signal_id, definition)
	SELECT d.key::integer, d.value FROM jsonb_each(counting -> 'definitions') d ORDER BY 1
	ON CONFLICT (signal_id) DO UPDATE SET definition = excluded.definition WHERE c.definition <> excluded.definition;
END
$$;

COMMENT ON FUNCTION leadscore.signals_counted(jsonb) IS 'notes that past events have been counted';

CREATE FUNCTION leadscore.history_exists() RETURNS boolean
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT EXISTS (SELECT FROM leadscore.source s WHERE s.feeds = 'timeline' AND leadscore.has_rows(s.source))
$$;

COMMENT ON FUNCTION leadscore.history_exists() IS 'whether any source has a row';

CREATE FUNCTION leadscore.note_signals() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	waiting text[];
BEGIN
	PERFORM leadscore.check_trigger(TG_RELID, 'leadscore.signal'::regclass);
	IF leadscore.in_restore() THEN
		RETURN NULL;
	END IF;
	IF NOT leadscore.history_exists() AND current_setting('transaction_isolation') = 'read committed' THEN
		-- nor may there be a first event that somebody is writing now, with the signals of before
		LOCK TABLE leadscore.lead_timeline IN SHARE ROW EXCLUSIVE MODE;
		IF NOT leadscore.history_exists() THEN
			PERFORM leadscore.signals_counted(leadscore.signal_definitions(NULL::text[]));
			RETURN NULL;
		END IF;
	END IF;
	IF TG_OP <> 'DELETE' THEN
		waiting := ARRAY(SELECT d.signal FROM leadscore.signal_definition d JOIN changed_signals n ON n.signal = d.signal
			WHERE NOT EXISTS (SELECT FROM leadscore.counted_signal c WHERE c.signal_id = d.signal_id AND c.definition = d.definition)
			ORDER BY 1);
		IF waiting <> '{}' THEN
			RAISE NOTICE USING MESSAGE = format('past events are not yet counted for %s', array_to_string(waiting, ', ')),
				HINT = format('CALL leadscore.rebuild(signals => %L) counts them; see leadscore.status.', waiting);
		END IF;
	END IF;
	RETURN NULL;
END
$$;

COMMENT ON FUNCTION leadscore.note_signals() IS 'trigger: says that history waits for a rebuild';

CREATE TRIGGER note_signals_insert AFTER INSERT ON leadscore.signal REFERENCING NEW TABLE AS changed_signals
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.note_signals();
CREATE TRIGGER note_signals_update AFTER UPDATE ON leadscore.signal REFERENCING NEW TABLE AS changed_signals
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.note_signals();
CREATE TRIGGER note_signals_delete AFTER DELETE ON leadscore.signal
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.note_signals();

-- status

CREATE FUNCTION leadscore.transition_problem() RETURNS TABLE (object text, name text, state text, action text)
	LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	RETURN QUERY
	SELECT 'watched_model', w.model, 'is watched, but not every lead has been looked at', format('CALL leadscore.watch(%L, notify => %s)', w.model, w.notify::text)
	FROM leadscore.watched_model w WHERE w.active AND NOT w.seen ORDER BY 2;
	IF EXISTS (SELECT FROM leadscore.segment_change c WHERE c.tick >= leadscore.change_horizon() AND c.changed_at < now() - interval '10 minutes')
		AND EXISTS (SELECT FROM leadscore.change_consumer) THEN
		RETURN QUERY
		SELECT 'segment_change', t.name, 'consumers wait for a transaction that is older than the changes', t.action
		FROM (
			SELECT format('process %s', a.pid) AS name, 'end its transaction' AS action, age(a.backend_xid) AS age
			FROM pg_stat_activity a WHERE a.backend_xid IS NOT NULL AND a.pid <> pg_backend_pid()
			UNION ALL
			SELECT format('prepared transaction %L', p.gid), format('COMMIT PREPARED %L or ROLLBACK PREPARED %L in database %I', p.gid, p.gid, p.database), age(p.transaction)
			FROM pg_prepared_xacts p
		) t
		ORDER BY t.age DESC LIMIT 1;
	END IF;
	RETURN QUERY
	SELECT 'offer', o.offer, format('model "%s" has no segment "%s": nobody gets a voucher', o.model, o.segment), 'UPDATE leadscore.offer, or set its ends_at'
	FROM leadscore.offer o
	WHERE (o.ends_at > now()) IS NOT FALSE AND NOT EXISTS (SELECT FROM leadscore.segment s WHERE s.model = o.model AND s.segment = o.segment)
	ORDER BY 2;
END
$$;

COMMENT ON FUNCTION leadscore.transition_problem() IS 'what is the matter with transitions and offers';

-- A dump has this row, but not the snapshot.
CREATE TABLE leadscore.snapshot_state (
	only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
	first_refreshed_at timestamptz NOT NULL
);

COMMENT ON TABLE leadscore.snapshot_state IS 'whether lead_segment is used: one row, or none before the first refresh_segments()';
COMMENT ON COLUMN leadscore.snapshot_state.only_row IS 'true';
COMMENT ON COLUMN leadscore.snapshot_state.first_refreshed_at IS 'when refresh_segments() was first called';

CREATE VIEW leadscore.status AS
SELECT 'signal' AS object, d.signal AS name, 'past events are not yet counted' AS state,
	format('CALL leadscore.rebuild(signals => %L)', ARRAY[d.signal]) AS action
FROM leadscore.signal_definition d
WHERE NOT EXISTS (SELECT FROM leadscore.counted_signal c WHERE c.signal_id = d.signal_id AND c.definition = d.definition)
UNION ALL
SELECT 'signal', 'number ' || c.signal_id, 'was deleted, but is still in timelines', 'CALL leadscore.rebuild()'
FROM leadscore.counted_signal c
WHERE NOT EXISTS (SELECT FROM leadscore.signal_definition d WHERE d.signal_id = c.signal_id)
UNION ALL
SELECT 'source', s.source::text, p.problem, format('SELECT leadscore.untrack(%L), then track() it again', s.source)
FROM leadscore.source s CROSS JOIN leadscore.source_problem(s.source, s.mapping) AS p (problem)
WHERE p.problem IS NOT NULL
UNION ALL
SELECT 'source', c.child::text, format('is a partition or child of %s, but has no triggers', s.source),
	format('SELECT leadscore.untrack(%L), then track() it again', s.source)
FROM leadscore.source s CROSS JOIN LATERAL leadscore.children(s.source) AS c (child)
WHERE NOT EXISTS (SELECT FROM leadscore.source_trigger t
	WHERE t.source = c.child AND t.feeds = s.feeds AND t.mapping = s.mapping || '{"partition": true}')
UNION ALL
SELECT 'compaction', d.day, 'some timelines still hold hours before that day',
	format('CALL leadscore.compact(%L)', d.day || 'Z')
FROM leadscore.compaction c
CROSS JOIN LATERAL (SELECT to_jsonb((c.compacted_before AT TIME ZONE 'UTC')::date) #>> '{}' AS day) d
WHERE NOT c.finished
UNION ALL
SELECT 'lead_timeline', 'lead_timeline', p.state, p.action
FROM leadscore.split_problem() p
UNION ALL
SELECT p.object, p.name, p.state, p.action
FROM leadscore.transition_problem() p
UNION ALL
SELECT 'pending_delta', p.leads || ' leads', 'deltas wait to be merged; reads include them', 'SELECT leadscore.fold()'
FROM (SELECT count(DISTINCT lead_id) AS leads FROM leadscore.pending_delta) p
WHERE p.leads > 0
UNION ALL
SELECT 'changed_lead', CASE WHEN c.everybody THEN 'all leads' ELSE c.leads || ' leads' END,
	'what follows from their events is not yet derived', 'SELECT * FROM leadscore.derive()'
FROM (SELECT count(DISTINCT lead_id) AS leads, bool_or(lead_id IS NULL) AS everybody FROM leadscore.changed_lead) c
WHERE c.leads > 0 OR c.everybody
UNION ALL
SELECT 'lead_segment', 'lead_segment', CASE WHEN c.relispopulated THEN 'is empty, as after a restore' ELSE 'cannot be read before it is refreshed' END,
	'SELECT leadscore.refresh_segments()'
FROM pg_class c
WHERE c.relnamespace = 'leadscore'::regnamespace AND c.relname = 'lead_segment'
AND (NOT c.relispopulated
	OR pg_relation_size(c.oid) = 0 AND EXISTS (SELECT FROM leadscore.snapshot_state) AND EXISTS (SELECT FROM leadscore.model)
		AND (EXISTS (SELECT FROM leadscore.lead_timeline) OR EXISTS (SELECT FROM leadscore.pending_delta) OR EXISTS (SELECT FROM leadscore.lead)));

COMMENT ON VIEW leadscore.status IS 'what waits for the DBA: nothing, if it has no rows';
COMMENT ON COLUMN leadscore.status.object IS 'signal, source, compaction, lead_timeline, watched_model, segment_change, offer, pending_delta, changed_lead or lead_segment';
COMMENT ON COLUMN leadscore.status.name IS 'which';
COMMENT ON COLUMN leadscore.status.state IS 'what is the matter';
COMMENT ON COLUMN leadscore.status.action IS 'what to do';

-- fold

CREATE FUNCTION leadscore.fold_rows(max_rows bigint) RETURNS bigint
	AS 'MODULE_PATHNAME', 'fold' LANGUAGE C;

COMMENT ON FUNCTION leadscore.fold_rows(bigint) IS 'implementation of fold(), as the owner';

CREATE FUNCTION leadscore.fold(max_rows bigint DEFAULT NULL) RETURNS bigint
	LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT leadscore.fold_rows(max_rows)
$$;

COMMENT ON FUNCTION leadscore.fold(bigint) IS 'merges pending deltas into timelines, at most so many rows, and says how many';

SELECT pg_catalog.pg_extension_config_dump('leadscore.counted_signal', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.snapshot_state', '');
-- identity.sql: anonymous visitors that become known, and people to forget
--
-- A change of an alias takes the rows of both names in lead_timeline, in the
-- order of their keys, before it moves anything; src/delta.c tells why writers
-- then end up right.

CREATE FUNCTION leadscore.check_lead_id(name text, argument text) RETURNS void
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF name IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = format('%s is NULL', argument),
			DETAIL = 'Leads and aliases have names.', HINT = 'Name a lead.';
	END IF;
	IF octet_length(name) NOT BETWEEN 1 AND 1024 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('%s is empty or too long', argument),
			DETAIL = format('It has %s bytes.', octet_length(name)), HINT = 'A lead is named by 1 to 1024 bytes.';
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore.check_lead_id(text, text) IS 'refuses what cannot name a lead';

CREATE FUNCTION leadscore.hold_timelines(VARIADIC lead_ids text[]) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	lead text;
BEGIN
	-- from here on nobody splits it, or puts it together
	LOCK TABLE ONLY leadscore.lead_timeline IN ROW EXCLUSIVE MODE;
	IF leadscore.table_of_lead(''::text) = 'leadscore.lead_timeline'::regclass THEN
		INSERT INTO leadscore.lead_timeline AS t (lead_id, timeline)
		SELECT l.lead_id, '{}'::leadscore.timeline
		FROM (SELECT DISTINCT unnest(lead_ids) AS lead_id) l
		ORDER BY l.lead_id COLLATE "C"
		ON CONFLICT (lead_id) DO UPDATE SET timeline = t.timeline;
		RETURN;
	END IF;
	FOR lead IN SELECT l.lead_id FROM (SELECT DISTINCT unnest(lead_ids) AS lead_id) l ORDER BY l.lead_id COLLATE "C" LOOP
		EXECUTE format('INSERT INTO %s AS t (lead_id, timeline) VALUES ($1, ''{}'')'
			' ON CONFLICT (lead_id) DO UPDATE SET timeline = t.timeline', leadscore.table_of_lead(lead)) USING lead;
	END LOOP;
END
$$;

COMMENT ON FUNCTION leadscore.hold_timelines(text[]) IS 'locks rows of lead_timeline, in the order of their keys, made where there are none';

CREATE FUNCTION leadscore.release_timelines(VARIADIC lead_ids text[]) RETURNS void
	LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
	DELETE FROM leadscore.lead_timeline t
	WHERE t.lead_id = ANY (lead_ids) AND t.timeline OPERATOR(leadscore.=) '{}'::leadscore.timeline
$$;

COMMENT ON FUNCTION leadscore.release_timelines(text[]) IS 'removes rows of lead_timeline that are empty';

CREATE FUNCTION leadscore.hold_names(VARIADIC names text[]) RETURNS void
	LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	-- identify(), unidentify() and forget() of the same names come one after the other
	SELECT leadscore.hold_lock('name ' || n.name)
	FROM (SELECT DISTINCT unnest(names) AS name ORDER BY 1) n
$$;

COMMENT ON FUNCTION leadscore.hold_names(text[]) IS 'keeps other changes of the same names waiting until the transaction ends';

CREATE FUNCTION leadscore.check_aliases_seen(VARIADIC names text[]) RETURNS void
	LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
	SELECT leadscore.check_seen('The aliases of one of the names'::text,
		'SELECT string_agg(format(''%L %L'', alias, lead_id), '','' ORDER BY alias)
			FROM leadscore.lead_alias WHERE alias = ANY ($1) OR lead_id = ANY ($1)'::text, names)
$$;

COMMENT ON FUNCTION leadscore.check_aliases_seen(text[]) IS 'a serialization failure, if aliases of the names have changed since the snapshot';

CREATE FUNCTION leadscore.identify(alias text, lead_id text) RETURNS text
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	target text := lead_id;
	known text;
BEGIN
	PERFORM leadscore.check_lead_id(alias, 'alias'::text);
	PERFORM leadscore.check_lead_id(lead_id, 'lead_id'::text);
	PERFORM leadscore.hold_names(VARIADIC ARRAY[alias, lead_id]);
	PERFORM leadscore.check_aliases_seen(VARIADIC ARRAY[alias, lead_id]);

	-- while we wait for a name, it can become an alias itself
	LOOP
		known := coalesce((SELECT a.lead_id FROM leadscore.lead_alias a WHERE a.alias = identify.lead_id), identify.lead_id);
		EXIT WHEN known = target;
		target := known;
		PERFORM leadscore.hold_names(VARIADIC ARRAY[target]);
		PERFORM leadscore.check_aliases_seen(VARIADIC ARRAY[target]);
	END LOOP;
	IF alias = target THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('"%s" cannot be an alias of itself', alias),
			DETAIL = CASE WHEN alias = lead_id THEN 'Alias and lead are the same.' ELSE format('"%s" is an alias of "%s".', lead_id, alias) END,
			HINT = 'An alias is another name of a lead.';
	END IF;
	SELECT a.lead_id INTO known FROM leadscore.lead_alias a WHERE a.alias = identify.alias;
	IF FOUND THEN
		IF known = target THEN
			RETURN target;
		END IF;
		RAISE EXCEPTION USING ERRCODE = 'unique_violation', MESSAGE = format('"%s" is already an alias of another lead', alias),
			DETAIL = format('It counts for "%s".', known), HINT = format('SELECT leadscore.unidentify(%L) first.', alias);
	END IF;

	IF target <> lead_id THEN
		RAISE NOTICE USING MESSAGE = format('"%s" is itself an alias: "%s" now counts for "%s"', lead_id, alias, target);
	END IF;

	PERFORM leadscore.hold_timelines(VARIADIC ARRAY[alias, target]);
	INSERT INTO leadscore.lead_alias (alias, lead_id) VALUES (alias, target);
	-- aliases of the alias go with it
	UPDATE leadscore.lead_alias a SET lead_id = target WHERE a.lead_id = identify.alias;
	UPDATE leadscore.lead_timeline t SET timeline = leadscore.add_delta(t.lead_id, t.timeline, o.timeline, true)
	FROM leadscore.lead_timeline o
	WHERE t.lead_id = target AND o.lead_id = identify.alias;
	DELETE FROM leadscore.lead_timeline t WHERE t.lead_id = identify.alias;
	PERFORM leadscore.see_leads(ARRAY[alias, target], 'identity'::text);
	PERFORM leadscore.release_timelines(VARIADIC ARRAY[target]);
	RETURN target;
END
$$;

COMMENT ON FUNCTION leadscore.identify(text, text) IS 'makes a name an alias of a lead: its past and future events count for the lead';

CREATE FUNCTION leadscore.unidentify(alias text) RETURNS text
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	known text;
	own leadscore.timeline;
BEGIN
	PERFORM leadscore.check_lead_id(alias, 'alias'::text);
	-- what a timeline lacks stays with the lead, where a rebuild that is at work would not look for it
	PERFORM leadscore.hold_rebuild(shared => true);
	PERFORM leadscore.hold_names(VARIADIC ARRAY[alias]);
	PERFORM leadscore.check_aliases_seen(VARIADIC ARRAY[alias]);
	SELECT a.lead_id INTO known FROM leadscore.lead_alias a WHERE a.alias = unidentify.alias;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('"%s" is not an alias', alias),
			DETAIL = 'There is no such row in leadscore.lead_alias.', HINT = 'Its events count for itself.';
	END IF;

	PERFORM leadscore.hold_sources();
	PERFORM leadscore.hold_timelines(VARIADIC ARRAY[alias, known]);
	-- the events of the alias itself, without what is pending: that follows the alias by itself
	own := leadscore.difference(
		(SELECT t.timeline FROM leadscore.source_timelines(ARRAY[alias], NULL::jsonb, false) t),
		(SELECT leadscore.stored_sum(p.delta) FROM leadscore.pending_delta p WHERE p.lead_id = unidentify.alias));
	DELETE FROM leadscore.lead_alias a WHERE a.alias = unidentify.alias;
	UPDATE leadscore.lead_timeline t
	SET timeline = CASE t.lead_id WHEN known THEN leadscore.difference(t.timeline, own) ELSE leadscore.add_delta(t.lead_id, t.timeline, own, true) END
	WHERE t.lead_id IN (known, unidentify.alias);
	PERFORM leadscore.see_leads(ARRAY[alias, known], 'identity'::text);
	PERFORM leadscore.release_timelines(VARIADIC ARRAY[known, alias]);
	RETURN known;
END
$$;

COMMENT ON FUNCTION leadscore.unidentify(text) IS 'gives an alias its events back: they count for itself again';

CREATE FUNCTION leadscore.forget(lead_id text, tracked boolean DEFAULT false)
	RETURNS TABLE (source regclass, removed bigint, remaining bigint)
	-- the text of a lead's column is to be what the triggers read: see pin_settings() in src/source.c
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO, MDY' SET IntervalStyle = 'postgres'
	SET extra_float_digits = 1 SET bytea_output = 'hex' SET lc_monetary = 'C' SET quote_all_identifiers = off
AS $$
#variable_conflict use_variable
DECLARE
	lead text;
	known text;
	names text[];
	name text;
	rows record;
	timelines bigint;
	leads bigint;
BEGIN
	PERFORM leadscore.check_lead_id(lead_id, 'lead_id'::text);
	-- a pass of derive() that has read these events already would bring back what follows from them
	PERFORM leadscore.hold_derivations();
	lead := coalesce((SELECT a.lead_id FROM leadscore.lead_alias a WHERE a.alias = forget.lead_id), lead_id);
	PERFORM leadscore.hold_names(VARIADIC ARRAY[lead, lead_id]);
	-- while we wait for a name, it can become an alias
	LOOP
		known := coalesce((SELECT a.lead_id FROM leadscore.lead_alias a WHERE a.alias = forget.lead_id), lead_id);
		EXIT WHEN known = lead;
		lead := known;
		PERFORM leadscore.hold_names(VARIADIC ARRAY[lead]);
	END LOOP;
	names := ARRAY(SELECT a.alias FROM leadscore.lead_alias a WHERE a.lead_id = lead) || lead;
	SELECT count(*) INTO timelines FROM leadscore.lead_timeline t WHERE t.lead_id = lead;
	SELECT count(*) INTO leads FROM leadscore.lead l WHERE l.lead_id = ANY (names);

	-- customers last: other tables may refer to them
	FOR rows IN SELECT s.source, s.lead_id AS key, max(s.feeds) = 'timeline' AS first FROM leadscore.source s
			GROUP BY 1, 2 ORDER BY 3 DESC, 1 LOOP
		source := rows.source;
		removed := 0;
		IF NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = rows.source AND a.attname::text = rows.key AND a.attnum > 0 AND NOT a.attisdropped) THEN
			RAISE WARNING USING MESSAGE = format('the rows of %s stay as they are', rows.source),
				DETAIL = format('There is no column "%s" any more, which was to name the lead.', rows.key),
				HINT = format('Look there yourself; SELECT leadscore.untrack(%L), then track() it again.', rows.source);
			remaining := NULL;
			RETURN NEXT;
			CONTINUE;
		END IF;
		IF tracked OR rows.source = 'leadscore.event'::regclass THEN
			EXECUTE format('DELETE FROM %s WHERE %s = ANY ($1)', rows.source, leadscore.column_text(rows.source, rows.key)) USING names;
			GET DIAGNOSTICS removed = ROW_COUNT;
		END IF;
		remaining := leadscore.count_rows(rows.source, jsonb_build_object('lead_id', rows.key), names);
		RETURN NEXT;
	END LOOP;

	-- what is left elsewhere is derived from again
	source := 'leadscore.derived_event';
	DELETE FROM leadscore.derived_event d WHERE d.lead_id = ANY (names);
	GET DIAGNOSTICS removed = ROW_COUNT;
	remaining := 0;
	IF removed > 0 THEN
		RETURN NEXT;
	END IF;
	DELETE FROM leadscore.derivation_due d WHERE d.lead_id = ANY (names);
	INSERT INTO leadscore.changed_lead (lead_id) SELECT unnest(names) WHERE pg_relation_size('leadscore.derivation') > 0;

	-- the name stays, for CRMs that have yet to be told
	source := 'leadscore.crm_state';
	PERFORM leadscore.hold_crm();
	UPDATE leadscore.crm_state s
	SET score = NULL, grade = NULL, segment = NULL, stage = NULL, probability = NULL, reason_1 = NULL, reason_2 = NULL, reason_3 = NULL,
		deleted = true, change_id = nextval('leadscore.crm_change_id_seq'), changed_at = clock_timestamp()
	WHERE s.lead_id = ANY (names);
	GET DIAGNOSTICS remaining = ROW_COUNT;
	removed := 0;
	IF remaining > 0 THEN
		RETURN NEXT;
	END IF;

	source := 'leadscore.lead_alias';
	removed := cardinality(names) - 1;
	remaining := 0;
	FOREACH name IN ARRAY names LOOP
		IF name <> lead THEN
			PERFORM leadscore.unidentify(name);
		END IF;
	END LOOP;
	RETURN NEXT;

	source := 'leadscore.lead';
	DELETE FROM leadscore.lead l WHERE l.lead_id = ANY (names);
	removed := leads;
	RETURN NEXT;

	-- timelines follow their events: what remains of them is what remains there
	PERFORM leadscore.fold(NULL::bigint);
	source := 'leadscore.lead_timeline';
	SELECT count(*) INTO remaining FROM leadscore.lead_timeline t WHERE t.lead_id = ANY (names);
	removed := greatest(timelines - remaining, 0);
	RETURN NEXT;

	-- whoever still has events is still a lead, in a segment
	source := 'leadscore.segment_change';
	IF remaining = 0 THEN
		DELETE FROM leadscore.lead_state s WHERE s.lead_id = ANY (names);
		DELETE FROM leadscore.segment_change c WHERE c.lead_id = ANY (names);
		GET DIAGNOSTICS removed = ROW_COUNT;
		RETURN NEXT;
		-- what has been offered and earned stays true, but nobody's
		source := 'leadscore.voucher';
		UPDATE leadscore.voucher v SET lead_id = NULL, order_ref = NULL WHERE v.lead_id = ANY (names);
		GET DIAGNOSTICS removed = ROW_COUNT;
		RETURN NEXT;
	ELSE
		removed := 0;
		SELECT count(*) INTO remaining FROM leadscore.segment_change c WHERE c.lead_id = ANY (names);
		RETURN NEXT;
		source := 'leadscore.voucher';
		SELECT count(*) INTO remaining FROM leadscore.voucher v WHERE v.lead_id = ANY (names);
		RETURN NEXT;
	END IF;

	source := 'leadscore.lead_segment';
	removed := 0;
	remaining := 0;
	-- (before its first refresh it cannot be read)
	IF (SELECT c.relispopulated FROM pg_class c WHERE c.oid = 'leadscore.lead_segment'::regclass) THEN
		SELECT count(*) INTO remaining FROM leadscore.lead_segment g WHERE g.lead_id = ANY (names);
	END IF;
	RETURN NEXT;
END
$$;

COMMENT ON FUNCTION leadscore.forget(text, boolean)
	IS 'removes a person, under all names, from our tables and, where asked, from tracked ones, and says how many rows';
-- derive.sql: behaviours that are not in the log but follow from it
--
-- A pass computes what follows from the events of some leads, and writes the
-- difference to what was derived before: so it can be repeated, and late events
-- correct it. Derived events are rows of a tracked table, so timelines follow
-- by themselves. The leads to look at are those whose events have changed
-- (record() appends them to changed_lead in the transaction that changes them)
-- and those for whom time alone brings something (derivation_due).

-- session_number

CREATE FUNCTION leadscore.session_number(occurred_at timestamptz, gap interval) RETURNS bigint
	AS 'MODULE_PATHNAME' LANGUAGE C WINDOW IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION leadscore.session_number(occurred_at timestamp, gap interval) RETURNS bigint
	AS 'MODULE_PATHNAME' LANGUAGE C WINDOW IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION leadscore.session_number(timestamptz, interval)
	IS 'window function: numbers sessions from 1, a new one where a row is more than the gap from the row before';
COMMENT ON FUNCTION leadscore.session_number(timestamp, interval)
	IS 'window function: numbers sessions from 1, a new one where a row is more than the gap from the row before';

-- rules

CREATE TABLE leadscore.derivation (
	derivation text PRIMARY KEY
		CONSTRAINT derivation_not_empty CHECK ((derivation <> '') IS NOT FALSE OR leadscore.refuse(
			'derivation name is empty', '""', 'Name the rule, or leave the name out.')),
	behaviour text NOT NULL
		CONSTRAINT derivation_behaviour_known CHECK ((behaviour IN ('visit', 'dwell', 'cart_abandoned', 'returned_visit')) IS NOT FALSE OR leadscore.refuse(
			'behaviour is unknown', behaviour, 'Write visit, dwell, cart_abandoned or returned_visit.')),
	derived_kind text NOT NULL
		CONSTRAINT derivation_derived_kind_not_empty CHECK ((derived_kind <> '') IS NOT FALSE OR leadscore.refuse(
			'derived_kind is empty', '""', 'Name the kind of the derived events, or leave it out.')),
	kinds text[]
		CONSTRAINT derivation_kinds_not_empty CHECK ((cardinality(kinds) > 0 AND array_position(kinds, NULL) IS NULL) IS NOT FALSE OR leadscore.refuse(
			'kinds are empty', kinds::text, 'Name the kinds of events, or write NULL for any kind.')),
	until_kinds text[]
		CONSTRAINT derivation_until_kinds_not_empty CHECK ((cardinality(until_kinds) > 0 AND array_position(until_kinds, NULL) IS NULL) IS NOT FALSE OR leadscore.refuse(
			'until_kinds are empty', until_kinds::text, 'Name the kinds of events, or write NULL for any kind.')),
	gap interval NOT NULL DEFAULT '30 minutes'
		CONSTRAINT derivation_gap_positive CHECK ((extract(epoch FROM gap) > 0 AND extract(epoch FROM gap) <= 1e11) IS NOT FALSE OR leadscore.refuse(
			'gap is not above zero, or too long', gap::text, 'Write a duration such as 30 minutes.')),
	delay interval,
	cap interval
		CONSTRAINT derivation_cap_positive CHECK ((extract(epoch FROM cap) > 0 AND extract(epoch FROM cap) <= 1e11) IS NOT FALSE OR leadscore.refuse(
			'cap is not above zero, or too long', cap::text, 'Write a duration such as 10 minutes, or NULL for none.')),
	CONSTRAINT derivation_delay_needed CHECK ((delay IS NOT NULL) = (behaviour IN ('cart_abandoned', 'returned_visit')) OR leadscore.refuse(
		format('the delay does not fit the behaviour %s', behaviour), delay::text, 'cart_abandoned and returned_visit have a delay, the others have none.')),
	CONSTRAINT derivation_delay_not_below_gap CHECK ((extract(epoch FROM delay) >= extract(epoch FROM gap) AND extract(epoch FROM delay) <= 1e11) IS NOT FALSE OR leadscore.refuse(
		'delay is shorter than the gap, or too long', format('delay %s, gap %s', delay, gap), 'What ends within a visit is not yet over: write a delay of at least the gap.')),
	CONSTRAINT derivation_until_kinds_needed CHECK (CASE behaviour WHEN 'cart_abandoned' THEN kinds IS NOT NULL AND until_kinds IS NOT NULL
			WHEN 'dwell' THEN kinds IS NOT NULL ELSE until_kinds IS NULL END OR leadscore.refuse(
		format('the kinds do not fit the behaviour %s', behaviour), format('kinds %s, until_kinds %s', coalesce(kinds::text, 'NULL'), coalesce(until_kinds::text, 'NULL')),
		'cart_abandoned has both, dwell has kinds and may have until_kinds, the others have no until_kinds.')),
	CONSTRAINT derivation_cap_needed CHECK (cap IS NULL OR behaviour = 'dwell' OR leadscore.refuse(
		format('the behaviour %s has no cap', behaviour), cap::text, 'Write NULL.'))
);

COMMENT ON TABLE leadscore.derivation IS 'rules for derive(): which behaviours follow from the log, and how; without rules nothing is derived';
COMMENT ON COLUMN leadscore.derivation.derivation IS 'name; default: the behaviour';
COMMENT ON COLUMN leadscore.derivation.behaviour IS 'visit, dwell, cart_abandoned or returned_visit';
COMMENT ON COLUMN leadscore.derivation.derived_kind IS 'the kind that the derived events have; default: the behaviour';
COMMENT ON COLUMN leadscore.derivation.kinds IS 'the events that it looks at; NULL: any kind';
COMMENT ON COLUMN leadscore.derivation.until_kinds IS 'cart_abandoned: purchases; dwell: what ends a page, NULL: any kind';
COMMENT ON COLUMN leadscore.derivation.gap IS 'a silence longer than this ends a visit';
COMMENT ON COLUMN leadscore.derivation.delay IS 'cart_abandoned: how long a purchase is waited for; returned_visit: the silence';
COMMENT ON COLUMN leadscore.derivation.cap IS 'dwell: the longest that a page counts; NULL: no limit but the gap';

CREATE FUNCTION leadscore.fill_derivation() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM leadscore.check_trigger(TG_RELID, 'leadscore.derivation'::regclass);
	NEW.derivation := coalesce(NEW.derivation, NEW.behaviour);
	NEW.derived_kind := coalesce(NEW.derived_kind, NEW.behaviour);
	IF leadscore.in_restore() THEN
		RETURN NEW;
	END IF;
	CASE NEW.behaviour
	WHEN 'dwell' THEN
		NEW.kinds := coalesce(NEW.kinds, '{product_view}');
		NEW.cap := coalesce(NEW.cap, '10 minutes');
	WHEN 'cart_abandoned' THEN
		NEW.kinds := coalesce(NEW.kinds, '{add_to_cart}');
		NEW.until_kinds := coalesce(NEW.until_kinds, '{purchase}');
		NEW.delay := coalesce(NEW.delay, greatest('1 hour', NEW.gap));
	WHEN 'returned_visit' THEN
		NEW.delay := coalesce(NEW.delay, greatest('30 days', NEW.gap));
	ELSE
	END CASE;
	RETURN NEW;
END
$$;

COMMENT ON FUNCTION leadscore.fill_derivation() IS 'trigger: what an inserted rule leaves out';

CREATE TRIGGER fill_derivation BEFORE INSERT ON leadscore.derivation
	FOR EACH ROW EXECUTE FUNCTION leadscore.fill_derivation();

-- what is derived, and what is to be looked at

CREATE TABLE leadscore.derived_event (
	derived_event_id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
	lead_id text NOT NULL,
	kind text NOT NULL,
	occurred_at timestamptz NOT NULL,
	value numeric,
	properties jsonb,
	derivation text NOT NULL
);

CREATE INDEX derived_event_lead_id_idx ON leadscore.derived_event (lead_id, occurred_at);

COMMENT ON TABLE leadscore.derived_event IS 'what derive() has found; tracked from the start, and not to be written by hand';
COMMENT ON COLUMN leadscore.derived_event.derived_event_id IS 'number, assigned';
COMMENT ON COLUMN leadscore.derived_event.lead_id IS 'the lead';
COMMENT ON COLUMN leadscore.derived_event.kind IS 'the rule''s derived_kind';
COMMENT ON COLUMN leadscore.derived_event.occurred_at IS 'when';
COMMENT ON COLUMN leadscore.derived_event.value IS 'seconds: how long the visit was, the page was looked at, or the lead was silent; NULL for cart_abandoned';
COMMENT ON COLUMN leadscore.derived_event.properties IS 'visit: the number of events; dwell: those of the page''s event';
COMMENT ON COLUMN leadscore.derived_event.derivation IS 'the rule that it follows from';

-- deferred: a pass locks no timeline, so it cannot deadlock with those who write events
SELECT leadscore.create_triggers('leadscore.derived_event', '{"lead_id": "lead_id", "kind_column": "kind",
	"occurred_at": "occurred_at", "value": "value", "properties": ["properties"], "maintenance": "deferred"}', 'record');

CREATE TABLE leadscore.derivation_due (
	lead_id text PRIMARY KEY,
	due_at timestamptz NOT NULL
);

CREATE INDEX derivation_due_due_at_idx ON leadscore.derivation_due (due_at);

COMMENT ON TABLE leadscore.derivation_due IS 'leads of whom something will follow by time alone';
COMMENT ON COLUMN leadscore.derivation_due.lead_id IS 'the lead';
COMMENT ON COLUMN leadscore.derivation_due.due_at IS 'the first instant at which something may';

CREATE TABLE leadscore.derivation_state (
	only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
	derived_until timestamptz NOT NULL
);

COMMENT ON TABLE leadscore.derivation_state IS 'how far derive() has come: one row, or none before the first pass';
COMMENT ON COLUMN leadscore.derivation_state.only_row IS 'true';
COMMENT ON COLUMN leadscore.derivation_state.derived_until IS 'the instant of the last pass';

-- private functions

CREATE FUNCTION leadscore.hold_derivations() RETURNS void
	LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT leadscore.hold_lock('derive'::text)
$$;

COMMENT ON FUNCTION leadscore.hold_derivations() IS 'keeps other passes of derive() and changes of its rules waiting until the transaction ends';

CREATE FUNCTION leadscore.derivations_changed() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM leadscore.check_trigger(TG_RELID, 'leadscore.derivation'::regclass);
	IF NOT leadscore.in_restore() THEN
		PERFORM leadscore.hold_derivations();
		INSERT INTO leadscore.changed_lead VALUES (NULL);
	END IF;
	RETURN NULL;
END
$$;

COMMENT ON FUNCTION leadscore.derivations_changed() IS 'trigger: the next derive() looks at all leads';

CREATE TRIGGER derivations_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON leadscore.derivation
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.derivations_changed();

CREATE FUNCTION leadscore.alias_changed() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM leadscore.check_trigger(TG_RELID, 'leadscore.lead_alias'::regclass);
	-- its pages, as record() asks, not its rows: a snapshot may be older than the first rule
	IF leadscore.in_restore() OR pg_relation_size('leadscore.derivation') = 0 THEN
		RETURN NULL;
	END IF;
	IF TG_OP <> 'INSERT' THEN
		INSERT INTO leadscore.changed_lead VALUES (OLD.alias), (OLD.lead_id);
	END IF;
	IF TG_OP <> 'DELETE' THEN
		INSERT INTO leadscore.changed_lead VALUES (NEW.alias), (NEW.lead_id);
	END IF;
	RETURN NULL;
END
$$;

COMMENT ON FUNCTION leadscore.alias_changed() IS 'trigger: what was derived of both names is to be looked at again';

CREATE TRIGGER alias_changed AFTER INSERT OR UPDATE OR DELETE ON leadscore.lead_alias
	FOR EACH ROW EXECUTE FUNCTION leadscore.alias_changed();

CREATE FUNCTION leadscore.source_events(sources regclass[], mappings jsonb[], lead_ids text[], kinds text[],
	OUT lead_id text, OUT kind text, OUT occurred_at timestamptz, OUT value numeric, OUT properties jsonb) RETURNS SETOF record
	AS 'MODULE_PATHNAME' LANGUAGE C STABLE ROWS 100000;

COMMENT ON FUNCTION leadscore.source_events(regclass[], jsonb[], text[], text[])
	IS 'the rows of some tables as events; lead_ids and kinds say which are wanted, but more may come';

CREATE FUNCTION leadscore.duration(length interval) RETURNS interval
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT extract(epoch FROM length) * '1 second'::interval
$$;

COMMENT ON FUNCTION leadscore.duration(interval) IS 'the same length in seconds alone, a month being 30 days and a year 365.25 days';

-- One statement, so that one snapshot sees the sources, their events, the
-- aliases, what was derived before, and which leads to look at: a transaction
-- that commits meanwhile is seen by the next pass, whole.

CREATE FUNCTION leadscore.derive_once(until timestamptz, everybody boolean)
	RETURNS TABLE (derivation text, added bigint, removed bigint, unknown_kinds text[])
	LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
	WITH changed AS (
		DELETE FROM leadscore.changed_lead c WHERE everybody OR c.lead_id IS NOT NULL RETURNING c.lead_id
	), touched AS MATERIALIZED (
		SELECT c.lead_id FROM changed c WHERE NOT everybody
		UNION
		SELECT d.lead_id FROM leadscore.derivation_due d WHERE NOT everybody AND d.due_at <= until
	), lead AS MATERIALIZED (
		SELECT t.lead_id FROM touched t
		UNION
		SELECT a.lead_id FROM leadscore.lead_alias a JOIN touched t ON t.lead_id = a.alias
	), name AS MATERIALIZED (
		SELECT l.lead_id FROM lead l
		UNION
		SELECT a.alias FROM leadscore.lead_alias a JOIN lead l ON l.lead_id = a.lead_id
	), rule AS MATERIALIZED (
		SELECT r.derivation, r.behaviour, r.derived_kind, r.kinds, r.until_kinds,
			leadscore.duration(r.gap) AS gap, leadscore.duration(r.delay) AS delay, leadscore.duration(r.cap) AS cap
		FROM leadscore.derivation r
	), source AS MATERIALIZED (
		SELECT array_agg(s.source) AS sources, array_agg(s.mapping) AS mappings
		FROM leadscore.source s
		WHERE s.feeds = 'timeline' AND EXISTS (SELECT FROM rule)
	), wanted_kind AS MATERIALIZED (
		-- the kinds that rules look at; NULL: any
		SELECT CASE WHEN bool_and(r.kinds IS NOT NULL AND (r.until_kinds IS NOT NULL OR r.behaviour <> 'dwell'))
			THEN (SELECT array_agg(DISTINCT k) FROM rule o CROSS JOIN LATERAL unnest(o.kinds || o.until_kinds) k) END AS kinds
		FROM rule r
	), event AS MATERIALIZED (
		SELECT coalesce(a.lead_id, e.lead_id) AS lead_id, e.kind, e.occurred_at, e.properties
		FROM source s CROSS JOIN wanted_kind k
		CROSS JOIN LATERAL leadscore.source_events(s.sources, s.mappings, CASE WHEN NOT everybody THEN ARRAY(SELECT n.lead_id FROM name n) END, k.kinds) e
		LEFT JOIN leadscore.lead_alias a ON a.alias = e.lead_id
		WHERE everybody OR e.lead_id IN (SELECT n.lead_id FROM name n)
	),
	-- visits, and the silence before them
	activity AS (
		SELECT r.derivation, r.behaviour, r.derived_kind, r.delay, e.lead_id, e.occurred_at,
			leadscore.session_number(e.occurred_at, r.gap) OVER w AS session, lag(e.occurred_at) OVER w AS previous
		FROM rule r JOIN event e ON r.kinds IS NULL OR e.kind = ANY (r.kinds)
		WHERE r.behaviour IN ('visit', 'returned_visit') AND e.occurred_at <= until
		WINDOW w AS (PARTITION BY r.derivation, e.lead_id ORDER BY e.occurred_at)
	),
	-- pages, with the next instant at which something happens
	page AS (
		SELECT r.derivation, r.derived_kind, r.gap, r.cap, e.lead_id, e.occurred_at, e.properties,
			e.kind = ANY (r.kinds) AS is_page,
			first_value(e.occurred_at) OVER (PARTITION BY r.derivation, e.lead_id ORDER BY e.occurred_at
				GROUPS BETWEEN 1 FOLLOWING AND 1 FOLLOWING) AS next
		FROM rule r JOIN event e ON r.until_kinds IS NULL OR e.kind = ANY (r.kinds) OR e.kind = ANY (r.until_kinds)
		WHERE r.behaviour = 'dwell' AND e.occurred_at <= until
	),
	-- instants with carts and purchases, and the next such instant
	cart AS (
		SELECT r.derivation, r.derived_kind, r.delay, e.lead_id, e.occurred_at,
			bool_or(e.kind = ANY (r.kinds)) AND NOT bool_or(e.kind = ANY (r.until_kinds)) AS is_open,
			lead(e.occurred_at) OVER (PARTITION BY r.derivation, e.lead_id ORDER BY e.occurred_at) AS next
		FROM rule r JOIN event e ON e.kind = ANY (r.kinds) OR e.kind = ANY (r.until_kinds)
		WHERE r.behaviour = 'cart_abandoned' AND e.occurred_at <= until
		GROUP BY r.derivation, r.derived_kind, r.delay, e.lead_id, e.occurred_at
	), waiting AS MATERIALIZED (
		SELECT c.derivation, c.derived_kind, c.lead_id, c.occurred_at + c.delay AS abandoned_at
		FROM cart c
		WHERE c.is_open AND (c.next - c.occurred_at > c.delay) IS NOT FALSE
	), wanted AS MATERIALIZED (
		SELECT d.*, row_number() OVER (PARTITION BY d.lead_id, d.derivation, d.kind, d.occurred_at, d.value, d.properties) AS n
		FROM (
			SELECT a.lead_id, a.derivation, a.derived_kind AS kind, min(a.occurred_at) AS occurred_at,
				trim_scale(extract(epoch FROM max(a.occurred_at) - min(a.occurred_at))) AS value, jsonb_build_object('events', count(*)) AS properties
			FROM activity a
			WHERE a.behaviour = 'visit'
			GROUP BY a.lead_id, a.derivation, a.derived_kind, a.session
			UNION ALL
			SELECT a.lead_id, a.derivation, a.derived_kind, a.occurred_at, trim_scale(extract(epoch FROM a.occurred_at - a.previous)), NULL
			FROM activity a
			WHERE a.behaviour = 'returned_visit' AND a.occurred_at - a.previous > a.delay
			UNION ALL
			SELECT p.lead_id, p.derivation, p.derived_kind, p.occurred_at, trim_scale(extract(epoch FROM least(p.next - p.occurred_at, p.cap))), p.properties
			FROM page p
			WHERE p.is_page AND p.next - p.occurred_at <= p.gap
			UNION ALL
			SELECT w.lead_id, w.derivation, w.derived_kind, w.abandoned_at, NULL, NULL
			FROM waiting w
			WHERE w.abandoned_at <= until
		) d
	), present AS MATERIALIZED (
		SELECT d.*, row_number() OVER (PARTITION BY d.lead_id, d.derivation, d.kind, d.occurred_at, d.value, d.properties) AS n
		-- (not an OR, which would read all of the table in any case)
		FROM (
			SELECT d.* FROM leadscore.derived_event d WHERE everybody
			UNION ALL
			SELECT d.* FROM lead l JOIN leadscore.derived_event d ON d.lead_id = l.lead_id WHERE NOT everybody
		) d
	), difference AS MATERIALIZED (
		SELECT p.derived_event_id, w.lead_id, w.kind, w.occurred_at, w.value, w.properties, w.derivation
		FROM wanted w FULL JOIN present p
		ON p.lead_id = w.lead_id AND p.derivation = w.derivation AND p.kind = w.kind AND p.occurred_at = w.occurred_at
			AND coalesce(p.value, -1) = coalesce(w.value, -1) AND coalesce(p.properties, 'null') = coalesce(w.properties, 'null') AND p.n = w.n
		WHERE w.lead_id IS NULL OR p.lead_id IS NULL
	), gone AS (
		DELETE FROM leadscore.derived_event d USING difference x
		WHERE d.derived_event_id = x.derived_event_id
		RETURNING d.derivation
	), come AS (
		INSERT INTO leadscore.derived_event (lead_id, kind, occurred_at, value, properties, derivation)
		SELECT x.lead_id, x.kind, x.occurred_at, x.value, x.properties, x.derivation
		FROM difference x
		WHERE x.derived_event_id IS NULL
		ORDER BY x.lead_id, x.occurred_at
		RETURNING derivation
	),
	-- when time alone will bring something
	due AS MATERIALIZED (
		SELECT f.lead_id, min(f.due_at) AS due_at
		FROM (
			SELECT w.lead_id, w.abandoned_at AS due_at FROM waiting w WHERE w.abandoned_at > until
			UNION ALL
			SELECT e.lead_id, e.occurred_at FROM event e WHERE e.occurred_at > until
		) f
		GROUP BY f.lead_id
	), no_longer_due AS (
		DELETE FROM leadscore.derivation_due d
		USING (
			SELECT d.lead_id FROM leadscore.derivation_due d WHERE everybody
			UNION ALL
			SELECT l.lead_id FROM lead l WHERE NOT everybody
		) l
		WHERE d.lead_id = l.lead_id AND NOT EXISTS (SELECT FROM due f WHERE f.lead_id = d.lead_id)
	), newly_due AS (
		INSERT INTO leadscore.derivation_due AS d (lead_id, due_at)
		SELECT f.lead_id, f.due_at FROM due f
		ON CONFLICT (lead_id) DO UPDATE SET due_at = excluded.due_at WHERE d.due_at <> excluded.due_at
	)
	SELECT r.derivation, (SELECT count(*) FROM come c WHERE c.derivation = r.derivation), (SELECT count(*) FROM gone g WHERE g.derivation = r.derivation),
		CASE WHEN everybody THEN ARRAY(SELECT k FROM unnest(r.kinds || r.until_kinds) k EXCEPT SELECT e.kind FROM event e ORDER BY 1) END
	FROM (
		SELECT r.derivation, r.kinds, r.until_kinds FROM rule r
		UNION ALL
		SELECT DISTINCT g.derivation, NULL::text[], NULL::text[] FROM gone g WHERE g.derivation NOT IN (SELECT r.derivation FROM rule r)
	) r
	ORDER BY r.derivation
$$;

COMMENT ON FUNCTION leadscore.derive_once(timestamptz, boolean) IS 'one pass of derive(), over everybody or those who are to be looked at';

-- derive

CREATE FUNCTION leadscore.derive(until timestamptz DEFAULT NULL, everybody boolean DEFAULT false)
	RETURNS TABLE (derivation text, added bigint, removed bigint)
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET row_security = off SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	instant timestamptz := derive.until;
	all_of_them boolean := derive.everybody;
	unknown_kinds text[];
BEGIN
	PERFORM leadscore.check_read_committed('derive()'::text, 'passed over'::text);
	IF NOT isfinite(instant) OR all_of_them IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'derive() needs an instant',
			DETAIL = format('until is %s, everybody is %s.', coalesce(instant::text, 'NULL'), coalesce(all_of_them::text, 'NULL')),
			HINT = 'SELECT * FROM leadscore.derive() derives what follows as of now.';
	END IF;
	PERFORM leadscore.hold_derivations();
	-- now, not when the transaction began: another pass may have come since
	instant := coalesce(instant, clock_timestamp());

	all_of_them := all_of_them OR EXISTS (SELECT FROM leadscore.changed_lead c WHERE c.lead_id IS NULL)
		OR NOT EXISTS (SELECT FROM leadscore.derivation_state s WHERE s.derived_until <= instant);
	IF all_of_them THEN
		-- those who began before there were rules have not said whose events they write
		PERFORM leadscore.wait_for_writers();
	END IF;
	IF all_of_them OR EXISTS (SELECT FROM leadscore.changed_lead) OR EXISTS (SELECT FROM leadscore.derivation_due d WHERE d.due_at <= instant) THEN
		PERFORM leadscore.hold_sources();
		FOR derivation, added, removed, unknown_kinds IN SELECT * FROM leadscore.derive_once(instant, all_of_them) LOOP
			IF unknown_kinds <> '{}' THEN
				RAISE NOTICE USING MESSAGE = format('no event has the kind %s', array_to_string(unknown_kinds, ' or ')),
					DETAIL = format('The rule %s looks at it.', derivation);
			END IF;
			RETURN NEXT;
		END LOOP;
	ELSE
		RETURN QUERY SELECT r.derivation, 0::bigint, 0::bigint FROM leadscore.derivation r ORDER BY 1;
	END IF;
	INSERT INTO leadscore.derivation_state AS s (derived_until) VALUES (instant)
	ON CONFLICT (only_row) DO UPDATE SET derived_until = excluded.derived_until;
END
$$;

COMMENT ON FUNCTION leadscore.derive(timestamptz, boolean)
	IS 'brings derived_event up to date with the log, as of an instant, and says how many events of each rule came and went';

SELECT pg_catalog.pg_extension_config_dump('leadscore.derivation', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.derived_event', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.derived_event_derived_event_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.derivation_due', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.derivation_state', '');
-- experiment.sql: champion and challenger: two models, each for its share of the leads

CREATE TABLE leadscore.experiment (
	experiment text PRIMARY KEY
		CONSTRAINT experiment_not_empty CHECK ((experiment <> '') IS NOT FALSE OR leadscore.refuse(
			'experiment name is empty', '""', 'Name the experiment, such as "spring".')),
	control text NOT NULL REFERENCES leadscore.model ON UPDATE CASCADE,
	treatment text NOT NULL REFERENCES leadscore.model ON UPDATE CASCADE,
	share float8 NOT NULL DEFAULT 0.5
		CONSTRAINT experiment_share_is_share CHECK ((share BETWEEN 0 AND 1) IS NOT FALSE OR leadscore.refuse(
			'experiment share is not between 0 and 1', share::text, 'Write the share of leads that are treated, such as 0.5.')),
	starts_at timestamptz NOT NULL DEFAULT now()
		CONSTRAINT experiment_starts_at_finite CHECK ((starts_at BETWEEN '1970-01-01 00:00Z' AND '9999-12-31 00:00Z') IS NOT FALSE OR leadscore.refuse(
			'experiment starts_at is out of range', starts_at::text, 'Write an instant of the years 1970 to 9999.')),
	ends_at timestamptz,
	salt text NOT NULL DEFAULT gen_random_uuid()::text,
	description text,
	CONSTRAINT experiment_starts_before_it_ends CHECK ((starts_at < ends_at) IS NOT FALSE OR leadscore.refuse(
		'experiment starts_at is not before ends_at', format('starts_at %s, ends_at %s', starts_at, ends_at), 'Swap the two, or write NULL for no end.')),
	CONSTRAINT experiment_compares_two CHECK ((control <> treatment) IS NOT FALSE OR leadscore.refuse(
		'experiment compares a model with itself', control, 'Name two models.'))
);

COMMENT ON TABLE leadscore.experiment IS 'two models, each for its share of the leads';
COMMENT ON COLUMN leadscore.experiment.experiment IS 'name; also that of its rows in lead_score, so no model may have it';
COMMENT ON COLUMN leadscore.experiment.control IS 'the model that is compared with';
COMMENT ON COLUMN leadscore.experiment.treatment IS 'the model that is tried';
COMMENT ON COLUMN leadscore.experiment.share IS 'the share of leads that get the treatment';
COMMENT ON COLUMN leadscore.experiment.starts_at IS 'from when on; before it all leads get the control';
COMMENT ON COLUMN leadscore.experiment.ends_at IS 'until when; NULL: no end; after it all leads get the control';
COMMENT ON COLUMN leadscore.experiment.salt IS 'what assigns leads: another salt, another assignment';
COMMENT ON COLUMN leadscore.experiment.description IS 'for people';

SELECT pg_catalog.pg_extension_config_dump('leadscore.experiment', '');

CREATE FUNCTION leadscore.check_names() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF TG_TABLE_NAME = 'experiment' THEN
		IF EXISTS (SELECT FROM leadscore.model m WHERE m.model = NEW.experiment) THEN
			PERFORM leadscore.refuse('there is a model of this name'::text, NEW.experiment, 'Name the experiment otherwise.'::text);
		END IF;
	ELSIF EXISTS (SELECT FROM leadscore.experiment e WHERE e.experiment = NEW.model) THEN
		PERFORM leadscore.refuse('there is an experiment of this name'::text, NEW.model, 'Name the model otherwise.'::text);
	END IF;
	RETURN NEW;
END
$$;

COMMENT ON FUNCTION leadscore.check_names() IS 'trigger: models and experiments have different names';

CREATE TRIGGER check_names BEFORE INSERT OR UPDATE OF experiment ON leadscore.experiment
	FOR EACH ROW EXECUTE FUNCTION leadscore.check_names();
CREATE TRIGGER check_names BEFORE INSERT OR UPDATE OF model ON leadscore.model
	FOR EACH ROW EXECUTE FUNCTION leadscore.check_names();

-- which arm

CREATE FUNCTION leadscore.treated(salt text, share float8, lead_id text) RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10;

COMMENT ON FUNCTION leadscore.treated(text, float8, text) IS 'whether a lead is of the share that gets the treatment';

CREATE FUNCTION leadscore.arm(experiment text, lead_id text) RETURNS text
	LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	treated boolean;
BEGIN
	SELECT leadscore.treated(e.salt, e.share, coalesce((SELECT a.lead_id FROM leadscore.lead_alias a WHERE a.alias = arm.lead_id), arm.lead_id)) INTO treated
	FROM leadscore.experiment e WHERE e.experiment = arm.experiment;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object',
			MESSAGE = format('experiment "%s" does not exist', experiment),
			DETAIL = 'There is no such row in leadscore.experiment.',
			HINT = leadscore.known('experiments'::text, ARRAY(SELECT e.experiment FROM leadscore.experiment e ORDER BY 1));
	END IF;
	RETURN CASE WHEN treated THEN 'treatment' ELSE 'control' END;
END
$$;

COMMENT ON FUNCTION leadscore.arm(text, text) IS 'control or treatment: the arm of a lead, always the same';

-- A lead that is NULL gets the control.
CREATE FUNCTION leadscore.serving_model(name text, lead_id text, at timestamptz) RETURNS text
	LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	model text;
BEGIN
	SELECT CASE WHEN at >= e.starts_at AND (at < e.ends_at) IS NOT FALSE AND leadscore.treated(e.salt, e.share, serving_model.lead_id)
		THEN e.treatment ELSE e.control END INTO model
	FROM leadscore.experiment e WHERE e.experiment = name;
	RETURN coalesce(model, leadscore.model_named(name));
END
$$;

COMMENT ON FUNCTION leadscore.serving_model(text, text, timestamptz)
	IS 'the model that a lead is scored by at an instant: the one of the name, or that of its arm in an experiment';

-- what came of it

CREATE FUNCTION leadscore.experiment_result(experiment text, conversion text, effect float8 DEFAULT NULL, at timestamptz DEFAULT now(),
	OUT control_leads bigint, OUT treatment_leads bigint, OUT sample_ratio_p float8,
	OUT control_conversions bigint, OUT treatment_conversions bigint, OUT control_rate float8, OUT treatment_rate float8,
	OUT rate_difference float8, OUT rate_low float8, OUT rate_high float8, OUT rate_p float8,
	OUT control_revenue numeric, OUT treatment_revenue numeric, OUT control_mean float8, OUT treatment_mean float8,
	OUT mean_difference float8, OUT mean_low float8, OUT mean_high float8, OUT mean_p float8,
	OUT leads_needed bigint, OUT leads_missing bigint)
	LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	z CONSTANT float8 := 1.959963984540054;			-- 97.5 % of a normal distribution lie below it
	z_power CONSTANT float8 := 0.8416212335729143;	-- and 80 % below this
	e leadscore.experiment;
	conversion_signal integer;
	"from" timestamptz;
	"to" timestamptz;
	r record;
	pooled float8;
	error float8;
	degrees float8;
	wanted float8;
BEGIN
	SELECT x.* INTO e FROM leadscore.experiment x WHERE x.experiment = experiment_result.experiment;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object',
			MESSAGE = format('experiment "%s" does not exist', coalesce(experiment, 'NULL')),
			DETAIL = 'There is no such row in leadscore.experiment.',
			HINT = leadscore.known('experiments'::text, ARRAY(SELECT x.experiment FROM leadscore.experiment x ORDER BY 1));
	END IF;
	IF conversion IS NULL OR at IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = format('the argument "%s" is NULL', CASE WHEN conversion IS NULL THEN 'conversion' ELSE 'at' END),
			DETAIL = 'What has come of an experiment is told by a conversion, up to an instant.', HINT = 'Leave "at" out for now.';
	END IF;
	conversion_signal := leadscore.conversion_id('{}'::jsonb, conversion);
	IF effect = 0 OR NOT (effect > -1 AND effect < 1) THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'effect is no difference of two rates',
			DETAIL = format('The value is %s.', effect), HINT = 'Write a number such as 0.01, for one conversion more in a hundred leads.';
	END IF;
	-- a compacted day stands at its first hour: it counts whole, or not at all
	SELECT CASE WHEN e.starts_at < c.compacted_before THEN date_trunc('day', e.starts_at, 'UTC') ELSE e.starts_at END,
		CASE WHEN least(e.ends_at, at) < c.compacted_before THEN date_trunc('day', least(e.ends_at, at), 'UTC') ELSE least(e.ends_at, at) END
	INTO "from", "to"
	FROM (SELECT (SELECT c.compacted_before FROM leadscore.compaction c)) AS c (compacted_before);

	SELECT count(*) FILTER (WHERE NOT x.treated) AS n0, count(*) FILTER (WHERE x.treated) AS n1,
		count(*) FILTER (WHERE NOT x.treated AND x.converted) AS c0, count(*) FILTER (WHERE x.treated AND x.converted) AS c1,
		coalesce(sum(x.revenue) FILTER (WHERE NOT x.treated), 0) AS s0, coalesce(sum(x.revenue) FILTER (WHERE x.treated), 0) AS s1,
		avg(x.revenue) FILTER (WHERE NOT x.treated) AS m0, avg(x.revenue) FILTER (WHERE x.treated) AS m1,
		var_samp(x.revenue) FILTER (WHERE NOT x.treated) AS v0, var_samp(x.revenue) FILTER (WHERE x.treated) AS v1
	INTO r
	FROM (
		SELECT leadscore.treated(e.salt, e.share, l.lead_id) AS treated, c.converted,
			CASE WHEN c.converted THEN (leadscore.timeline_total(l.timeline, conversion_signal, "from", "to")).value ELSE 0 END AS revenue
		FROM leadscore.visible_lead l
		CROSS JOIN LATERAL (SELECT leadscore.timeline_first_hour(l.timeline, conversion_signal, "from", "to") IS NOT NULL AS converted OFFSET 0) c
		WHERE leadscore.timeline_first_hour(l.timeline, NULL::integer, "from", "to") IS NOT NULL
		OFFSET 0	-- what is computed here is used by several aggregates, and is not to be computed for each
	) x;
	control_leads := r.n0;
	treatment_leads := r.n1;
	control_conversions := r.c0;
	treatment_conversions := r.c1;
	control_revenue := r.s0;
	treatment_revenue := r.s1;
	control_rate := r.c0 / nullif(r.n0, 0)::float8;
	treatment_rate := r.c1 / nullif(r.n1, 0)::float8;
	control_mean := r.m0;
	treatment_mean := r.m1;

	-- more leads in one arm than chance would put there: something is wrong with the experiment
	IF r.n0 + r.n1 > 0 AND e.share > 0 AND e.share < 1 THEN
		sample_ratio_p := leadscore.normal_tails((r.n1 - (r.n0 + r.n1) * e.share) / sqrt((r.n0 + r.n1) * e.share * (1 - e.share)));
		IF sample_ratio_p < 0.001 THEN
			RAISE WARNING USING MESSAGE = format('the arms of experiment "%s" are not of the sizes that its share gives', experiment),
				DETAIL = format('Of %s leads %s got the treatment, and the share is %s. By chance this happens once in %s times.', r.n0 + r.n1, r.n1, e.share,
					CASE WHEN sample_ratio_p > 1e-15 THEN round(1 / sample_ratio_p::numeric)::text ELSE 'more than 1000000000000000' END),
				HINT = 'Trust no figure before the cause is found, such as a share that was changed, or leads that are recorded in one arm only.';
		END IF;
	END IF;

	IF r.n0 > 0 AND r.n1 > 0 THEN
		rate_difference := treatment_rate - control_rate;
		pooled := (r.c0 + r.c1) / (r.n0 + r.n1)::float8;
		rate_p := leadscore.normal_tails(rate_difference / nullif(sqrt(pooled * (1 - pooled) * (1 / r.n0::float8 + 1 / r.n1::float8)), 0));
		error := sqrt(control_rate * (1 - control_rate) / r.n0 + treatment_rate * (1 - treatment_rate) / r.n1);
		rate_low := rate_difference - z * error;
		rate_high := rate_difference + z * error;
		mean_difference := treatment_mean - control_mean;
	END IF;
	-- B. L. Welch, Biometrika 34, 1947
	IF r.n0 > 1 AND r.n1 > 1 AND r.v0 + r.v1 > 0 THEN
		error := sqrt(r.v0 / r.n0 + r.v1 / r.n1);
		degrees := error ^ 4 / ((r.v0 / r.n0)::float8 ^ 2 / (r.n0 - 1) + (r.v1 / r.n1)::float8 ^ 2 / (r.n1 - 1));
		mean_p := leadscore.student_tails(mean_difference / error, degrees);
		mean_low := mean_difference - leadscore.student_bound(0.05::float8, degrees) * error;
		mean_high := mean_difference + leadscore.student_bound(0.05::float8, degrees) * error;
	END IF;
	-- J. L. Fleiss, Statistical Methods for Rates and Proportions, 2nd ed. 1981, with arms of two sizes
	wanted := coalesce(effect, control_rate / 10);
	IF control_rate > 0 AND e.share > 0 AND e.share < 1 AND control_rate + wanted BETWEEN 0 AND 1 THEN
		pooled := control_rate * (1 - e.share) + (control_rate + wanted) * e.share;
		leads_needed := ceil((z * sqrt(pooled * (1 - pooled) / (e.share * (1 - e.share)))
			+ z_power * sqrt(control_rate * (1 - control_rate) / (1 - e.share) + (control_rate + wanted) * (1 - control_rate - wanted) / e.share)) ^ 2 / wanted ^ 2);
		leads_missing := greatest(0, leads_needed - r.n0 - r.n1);
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore.experiment_result(text, text, float8, timestamptz)
	IS 'conversions and revenue of both arms, their differences, how sure they are, and how many leads it takes';
-- face.sql: what people look at: views, the snapshot, and functions by lead_id

-- private functions
--
-- Views join leads with functions, not with subqueries and configuration, so that the
-- planner knows their cost: it takes a small table that was never analyzed for
-- hundreds of rows, and charges a subquery for every lead, even one that never runs.

-- Only asked where policies bind the user, which is why it is cheap. PL/pgSQL keeps its plan; for the same reason
-- nothing is SET here, and every name is qualified.
CREATE FUNCTION leadscore.is_visible(lead_id text) RETURNS boolean
	LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE COST 1
AS $$
BEGIN
	RETURN (NOT pg_catalog.row_security_active('leadscore.lead'::pg_catalog.text)
			OR EXISTS (SELECT FROM leadscore.lead v WHERE v.lead_id OPERATOR(pg_catalog.=) is_visible.lead_id))
		AND (NOT pg_catalog.row_security_active('leadscore.event'::pg_catalog.text)
			OR EXISTS (SELECT FROM leadscore.event v WHERE v.lead_id OPERATOR(pg_catalog.=) is_visible.lead_id)
			OR EXISTS (SELECT FROM leadscore.lead_alias w JOIN leadscore.event v ON v.lead_id OPERATOR(pg_catalog.=) w.alias
				WHERE w.lead_id OPERATOR(pg_catalog.=) is_visible.lead_id));
END
$$;

COMMENT ON FUNCTION leadscore.is_visible(text)
	IS 'whether row-level security shows the user the lead: its row of lead and one of its events, where policies bind the user on these tables';

CREATE FUNCTION leadscore.model_cards()
	RETURNS TABLE (model text, scorecard jsonb, conversion_id integer)
	LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 2 SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN QUERY
	SELECT m.model, leadscore.scorecard(m.model), c.signal_id
	FROM leadscore.model m LEFT JOIN leadscore.model_conversion c ON c.model = m.model;
END
$$;

COMMENT ON FUNCTION leadscore.model_cards() IS 'each model with its scorecard and the number of the signal that is its conversion; NULL: it has none';

CREATE FUNCTION leadscore.served_models()
	RETURNS TABLE (model text, scorecard jsonb, treated boolean, salt text, share float8)
	LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 2 SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN QUERY
	SELECT d.model, leadscore.scorecard(d.model), NULL::boolean, NULL::text, NULL::float8 FROM leadscore.model d
	UNION ALL
	-- an experiment's rows: the leads of each arm by its model, while it runs; else all by the control
	SELECT e.experiment, leadscore.scorecard(CASE WHEN a.treated THEN e.treatment ELSE e.control END), CASE WHEN r.running THEN a.treated END, e.salt, e.share
	FROM leadscore.experiment e CROSS JOIN (VALUES (false), (true)) AS a (treated)
	CROSS JOIN LATERAL (SELECT now() >= e.starts_at AND (now() < e.ends_at) IS NOT FALSE AS running) r
	WHERE r.running OR NOT a.treated;
END
$$;

COMMENT ON FUNCTION leadscore.served_models()
	IS 'each model and experiment with the scorecard that it serves, to all leads or (treated) to one arm of an experiment';

-- live

CREATE VIEW leadscore.visible_lead AS
SELECT s.lead_id, s.timeline, s.profile
FROM (
	SELECT t.lead_id, t.timeline, l.profile
	FROM leadscore.current_timeline t LEFT JOIN leadscore.lead l ON l.lead_id = t.lead_id
	UNION ALL
	SELECT l.lead_id, NULL, l.profile
	FROM leadscore.lead l
	WHERE NOT EXISTS (SELECT FROM leadscore.current_timeline t WHERE t.lead_id = l.lead_id)
	AND NOT EXISTS (SELECT FROM leadscore.lead_alias a WHERE a.alias = l.lead_id)
) s
-- where row-level security hides leads or events from the user, it hides their scores
WHERE NOT (SELECT row_security_active('leadscore.lead') OR row_security_active('leadscore.event'))
OR leadscore.is_visible(s.lead_id);

COMMENT ON VIEW leadscore.visible_lead IS 'the leads that the user may see, with what they are scored by';
COMMENT ON COLUMN leadscore.visible_lead.lead_id IS 'the lead';
COMMENT ON COLUMN leadscore.visible_lead.timeline IS 'what it did; NULL if that is nothing';
COMMENT ON COLUMN leadscore.visible_lead.profile IS 'who it is; NULL if nothing is known';

CREATE VIEW leadscore.lead_score AS
SELECT m.model, s.lead_id,
	(a.appraisal).score,
	(a.appraisal).engagement,
	(a.appraisal).fit,
	(a.appraisal).probability,
	(a.appraisal).grade,
	(a.appraisal).stage,
	(a.appraisal).segment,
	(a.appraisal).last_active
FROM leadscore.served_models() m
CROSS JOIN leadscore.visible_lead s
CROSS JOIN LATERAL (SELECT leadscore.appraise(m.scorecard, s.timeline, s.profile, now()) AS appraisal OFFSET 0) a
WHERE m.treated IS NULL OR leadscore.treated(m.salt, m.share, s.lead_id) = m.treated;

COMMENT ON VIEW leadscore.lead_score IS 'every lead on every model, live, and in every experiment by the model of its arm';
COMMENT ON COLUMN leadscore.lead_score.model IS 'the model, or the experiment';
COMMENT ON COLUMN leadscore.lead_score.lead_id IS 'the lead';
COMMENT ON COLUMN leadscore.lead_score.score IS 'engagement + fit, within the model''s floor and ceiling';
COMMENT ON COLUMN leadscore.lead_score.engagement IS 'points of the event signals';
COMMENT ON COLUMN leadscore.lead_score.fit IS 'points of the profile signals';
COMMENT ON COLUMN leadscore.lead_score.probability IS 'of a conversion, where the model has intercept and slope';
COMMENT ON COLUMN leadscore.lead_score.grade IS 'by fit';
COMMENT ON COLUMN leadscore.lead_score.stage IS 'the furthest stage reached within its window';
COMMENT ON COLUMN leadscore.lead_score.segment IS 'the first segment whose conditions hold';
COMMENT ON COLUMN leadscore.lead_score.last_active IS 'the last hour of any signal';

-- the snapshot
--
-- It is not marked for pg_dump, which would have it refreshed after the data:
-- pg_upgrade could not do that, as a matview of an extension is restored before
-- what it reads can be read. pg_upgrade moves it as it is; after the restore of
-- a dump it is empty, and status says so.

CREATE MATERIALIZED VIEW leadscore.lead_segment AS
SELECT s.model, s.lead_id, s.score, s.engagement, s.fit, s.probability, s.grade, s.stage, s.segment, s.last_active,
	(SELECT date_trunc('hour', now(), 'UTC')) AS scored_at
FROM leadscore.lead_score s;

CREATE UNIQUE INDEX lead_segment_key ON leadscore.lead_segment (lead_id, model);
CREATE INDEX lead_segment_score_idx ON leadscore.lead_segment (model, segment, score DESC);

COMMENT ON MATERIALIZED VIEW leadscore.lead_segment IS 'every lead on every model, as of the last refresh_segments()';
COMMENT ON COLUMN leadscore.lead_segment.model IS 'the model';
COMMENT ON COLUMN leadscore.lead_segment.lead_id IS 'the lead';
COMMENT ON COLUMN leadscore.lead_segment.score IS 'engagement + fit, within the model''s floor and ceiling';
COMMENT ON COLUMN leadscore.lead_segment.engagement IS 'points of the event signals';
COMMENT ON COLUMN leadscore.lead_segment.fit IS 'points of the profile signals';
COMMENT ON COLUMN leadscore.lead_segment.probability IS 'of a conversion, where the model has intercept and slope';
COMMENT ON COLUMN leadscore.lead_segment.grade IS 'by fit';
COMMENT ON COLUMN leadscore.lead_segment.stage IS 'the furthest stage reached within its window';
COMMENT ON COLUMN leadscore.lead_segment.segment IS 'the first segment whose conditions hold';
COMMENT ON COLUMN leadscore.lead_segment.last_active IS 'the last hour of any signal';
COMMENT ON COLUMN leadscore.lead_segment.scored_at IS 'the hour as of which the row was scored';

-- (with quote_all_identifiers the server itself cannot refresh concurrently)
CREATE FUNCTION leadscore.refresh_segments("concurrently" boolean DEFAULT true) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off SET jit = off
AS $$
BEGIN
	-- a snapshot that holds nothing yet cannot be compared with
	IF "concurrently" AND (SELECT c.relispopulated FROM pg_class c WHERE c.oid = 'leadscore.lead_segment'::regclass) THEN
		REFRESH MATERIALIZED VIEW CONCURRENTLY leadscore.lead_segment;
	ELSE
		REFRESH MATERIALIZED VIEW leadscore.lead_segment;
	END IF;
	INSERT INTO leadscore.snapshot_state (first_refreshed_at)
	SELECT now() WHERE NOT EXISTS (SELECT FROM leadscore.snapshot_state) ON CONFLICT (only_row) DO NOTHING;
	PERFORM leadscore.see_all('time'::text);
END
$$;

COMMENT ON FUNCTION leadscore.refresh_segments(boolean)
	IS 'brings lead_segment up to date, and sees which leads have changed their segment on models that are watched; concurrently does not lock readers out';

CREATE VIEW leadscore.segment_summary AS
WITH found AS (
	SELECT s.model, s.segment, count(*) AS leads, avg(s.score) AS average_score,
		min(s.score) AS lowest_score, max(s.score) AS highest_score, max(s.scored_at) AS scored_at
	FROM leadscore.lead_segment s
	GROUP BY s.model, s.segment
)
SELECT coalesce(d.model, f.model) AS model,
	coalesce(d.segment, f.segment) AS segment,
	d.position,
	coalesce(f.leads, 0) AS leads,
	round(coalesce(f.leads, 0) / nullif(sum(f.leads) OVER (PARTITION BY coalesce(d.model, f.model)), 0), 4) AS share,
	f.average_score, f.lowest_score, f.highest_score, f.scored_at
FROM leadscore.segment d FULL JOIN found f ON f.model = d.model AND f.segment = d.segment
ORDER BY 1, 3;

COMMENT ON VIEW leadscore.segment_summary IS 'how many leads each segment of each model has, in the snapshot';
COMMENT ON COLUMN leadscore.segment_summary.model IS 'the model';
COMMENT ON COLUMN leadscore.segment_summary.segment IS 'the segment; NULL: leads that are in none';
COMMENT ON COLUMN leadscore.segment_summary.position IS 'the order in which segments are tried';
COMMENT ON COLUMN leadscore.segment_summary.leads IS 'how many leads are in it';
COMMENT ON COLUMN leadscore.segment_summary.share IS 'their share of the model''s leads, 0 to 1';
COMMENT ON COLUMN leadscore.segment_summary.average_score IS 'their mean score';
COMMENT ON COLUMN leadscore.segment_summary.lowest_score IS 'their lowest score';
COMMENT ON COLUMN leadscore.segment_summary.highest_score IS 'their highest score';
COMMENT ON COLUMN leadscore.segment_summary.scored_at IS 'the hour as of which they were scored';

-- Ranking needs the score alone; only those who come out on top are appraised.

CREATE FUNCTION leadscore.top(n integer, model text DEFAULT 'default', at timestamptz DEFAULT now())
	RETURNS TABLE (lead_id text, score float8, engagement float8, fit float8, probability float8, grade text, stage text,
		segment text, last_active timestamptz)
	LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 100 SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	card CONSTANT jsonb := CASE WHEN at IS NOT NULL THEN leadscore.scorecard(leadscore.serving_model(model, NULL::text, at)) END;
	treatment jsonb;
	e leadscore.experiment;
BEGIN
	IF at IS NULL THEN
		RETURN;
	END IF;
	SELECT x.* INTO e FROM leadscore.experiment x WHERE x.experiment = top.model AND top.at >= x.starts_at AND (top.at < x.ends_at) IS NOT FALSE;
	IF FOUND THEN
		treatment := leadscore.scorecard(e.treatment);
	-- all that there is of a lead is one row: the key is enough to rank, and finds the timelines of the few again
	ELSIF NOT EXISTS (SELECT FROM leadscore.lead) AND NOT EXISTS (SELECT FROM leadscore.pending_delta)
		AND NOT row_security_active('leadscore.lead') AND NOT row_security_active('leadscore.event') THEN
		RETURN QUERY
		SELECT b.lead_id, b.score, (a.appraisal).engagement, (a.appraisal).fit, (a.appraisal).probability, (a.appraisal).grade,
			(a.appraisal).stage, (a.appraisal).segment, (a.appraisal).last_active
		FROM (
			SELECT t.lead_id, leadscore.score(card, t.timeline, NULL::jsonb, top.at) AS score
			FROM leadscore.lead_timeline t
			ORDER BY 2 DESC, 1
			LIMIT top.n
		) b
		JOIN leadscore.lead_timeline t ON t.lead_id = b.lead_id
		CROSS JOIN LATERAL (SELECT leadscore.appraise(card, t.timeline, NULL::jsonb, top.at) AS appraisal OFFSET 0) a
		ORDER BY 2 DESC, 1;
		RETURN;
	END IF;
	RETURN QUERY
	SELECT b.lead_id, b.score, (a.appraisal).engagement, (a.appraisal).fit, (a.appraisal).probability, (a.appraisal).grade,
		(a.appraisal).stage, (a.appraisal).segment, (a.appraisal).last_active
	FROM (
		SELECT s.lead_id, s.timeline, s.profile, t.treated,
			leadscore.score(CASE WHEN t.treated THEN treatment ELSE card END, s.timeline, s.profile, top.at) AS score
		FROM leadscore.visible_lead s
		-- without an experiment the salt is NULL, and none is treated
		CROSS JOIN LATERAL (SELECT leadscore.treated(e.salt, e.share, s.lead_id) AS treated) t
		ORDER BY 5 DESC, 1
		LIMIT top.n
	) b
	CROSS JOIN LATERAL (
		SELECT leadscore.appraise(CASE WHEN b.treated THEN treatment ELSE card END, b.timeline, b.profile, top.at) AS appraisal OFFSET 0
	) a
	ORDER BY 2 DESC, 1;
END
$$;

COMMENT ON FUNCTION leadscore.top(integer, text, timestamptz) IS 'the leads with the highest scores at an instant, appraised';

-- by lead_id: an alias stands for its lead, an unknown one has done nothing

CREATE FUNCTION leadscore.lead_named(name text) RETURNS text
	LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT l.lead_id
	FROM (SELECT coalesce((SELECT a.lead_id FROM leadscore.lead_alias a WHERE a.alias = name), name) AS lead_id) l
	WHERE NOT (row_security_active('leadscore.lead') OR row_security_active('leadscore.event'))
	OR leadscore.is_visible(l.lead_id);
END;

COMMENT ON FUNCTION leadscore.lead_named(text) IS 'the lead of an alias, or the lead itself; NULL if row-level security hides it';

-- PL/pgSQL keeps the plans of a session; planning is most of what one score
-- would cost. For the same reason nothing is SET here, and every name qualified.

CREATE FUNCTION leadscore.score_by_query(lead_id text, model text, at timestamptz) RETURNS float8
	LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
AS $$
DECLARE
	lead pg_catalog.text := lead_id;
	card pg_catalog.jsonb;
	timeline leadscore.timeline;
	pending boolean;
BEGIN
	IF pg_catalog.row_security_active('leadscore.lead') OR pg_catalog.row_security_active('leadscore.event') THEN
		lead := leadscore.lead_named(lead_id);
	ELSE
		SELECT a.lead_id INTO lead FROM leadscore.lead_alias a WHERE a.alias OPERATOR(pg_catalog.=) score_by_query.lead_id;
		IF NOT FOUND THEN
			lead := lead_id;
		END IF;
	END IF;
	SELECT d.document INTO card FROM leadscore.model_document d WHERE d.model OPERATOR(pg_catalog.=) score_by_query.model;
	IF NOT FOUND THEN
		card := leadscore.scorecard(leadscore.serving_model(model, lead, at));
	END IF;
	SELECT t.timeline, EXISTS (SELECT FROM leadscore.pending_delta) INTO timeline, pending
	FROM leadscore.lead_timeline t WHERE t.lead_id OPERATOR(pg_catalog.=) lead;
	IF pending IS NOT FALSE THEN
		SELECT t.timeline INTO timeline FROM leadscore.current_timeline t WHERE t.lead_id OPERATOR(pg_catalog.=) lead;
	END IF;
	RETURN leadscore.score(card, timeline,
		(SELECT l.profile FROM leadscore.lead l WHERE l.lead_id OPERATOR(pg_catalog.=) lead), at);
END
$$;

CREATE FUNCTION leadscore.score(lead_id text, model text DEFAULT 'default', at timestamptz DEFAULT now()) RETURNS float8
	AS 'MODULE_PATHNAME', 'score_lead' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 20;

COMMENT ON FUNCTION leadscore.score_by_query(text, text, timestamptz) IS 'score(), where aliases, pending deltas or policies matter';
COMMENT ON FUNCTION leadscore.score(text, text, timestamptz) IS 'the score of a lead at an instant';

CREATE FUNCTION leadscore.explain(lead_id text, model text DEFAULT 'default', at timestamptz DEFAULT now())
	RETURNS TABLE (signal text, measure text, measured float8, points float8, uncapped_points float8,
		category text, stage text, last_at timestamptz, reason text)
	LANGUAGE sql STABLE PARALLEL SAFE SET extra_float_digits = 1
BEGIN ATOMIC
	WITH lead AS MATERIALIZED (
		SELECT leadscore.scorecard(leadscore.serving_model(model, leadscore.lead_named(explain.lead_id), at)) AS card,
			(SELECT t.timeline FROM leadscore.current_timeline t WHERE t.lead_id = leadscore.lead_named(explain.lead_id)) AS timeline,
			(SELECT l.profile FROM leadscore.lead l WHERE l.lead_id = leadscore.lead_named(explain.lead_id)) AS profile
		WHERE explain.lead_id IS NOT NULL
	), contribution AS MATERIALIZED (
		SELECT c.*
		FROM lead CROSS JOIN LATERAL leadscore.contributions(lead.card, lead.timeline, lead.profile, at) c
	), part AS (
		-- a category clamps its event weights and its profile weights separately
		SELECT c.category, sum(c.points) AS points, least(greatest(sum(c.points), d.min_points), d.max_points) AS clamped,
			d.min_points, d.max_points
		FROM contribution c
		JOIN (SELECT r.category, r.min_points, r.max_points
			FROM lead CROSS JOIN LATERAL jsonb_to_recordset(lead.card -> 'categories')
				AS r (category text, min_points float8, max_points float8)) d ON d.category = c.category
		GROUP BY c.category, c.measure = 'present', d.min_points, d.max_points
	), total AS (
		SELECT (a.appraisal).score AS score, (a.appraisal).engagement + (a.appraisal).fit AS points, a.card
		FROM (SELECT leadscore.appraise(lead.card, lead.timeline, lead.profile, at) AS appraisal, lead.card FROM lead OFFSET 0) a
	), line AS (
		SELECT 1 AS part, c.signal, c.measure, c.measured, c.points, c.uncapped_points, c.category, c.stage, c.last_at,
			format('%s: %s', c.signal, CASE c.measure
				WHEN 'count' THEN format('counts %s', round(c.measured::numeric, 2))
				WHEN 'value' THEN format('value %s', round(c.measured::numeric, 2))
				WHEN 'average_value' THEN format('%s on average', round(c.measured::numeric, 2))
				WHEN 'active_days' THEN format('active days %s', c.measured)
				WHEN 'days_since_last' THEN format('last %s days ago', round(c.measured::numeric, 1))
				WHEN 'days_since_first' THEN format('first %s days ago', round(c.measured::numeric, 1))
				ELSE 'the profile has it' END)
			|| CASE WHEN c.points <> c.uncapped_points
				THEN format(', %s points limited to %s', round(c.uncapped_points::numeric, 2), round(c.points::numeric, 2))
				ELSE '' END AS reason
		FROM contribution c WHERE c.points <> 0 OR c.uncapped_points <> 0
		UNION ALL
		SELECT 2, NULL, NULL, NULL, p.clamped - p.points, NULL, p.category, NULL, NULL,
			CASE WHEN p.clamped < p.points THEN format('category %s: at most %s points', p.category, p.max_points)
			ELSE format('category %s: at least %s points', p.category, p.min_points) END
		FROM part p WHERE p.clamped <> p.points
		UNION ALL
		SELECT 3, NULL, NULL, NULL, t.score - t.points, NULL, NULL, NULL, NULL,
			CASE WHEN t.score < t.points THEN format('ceiling: the score is at most %s', t.score)
			ELSE format('floor: the score is at least %s', t.score) END
		FROM total t WHERE t.score <> t.points
	)
	SELECT line.signal, line.measure, line.measured, line.points, line.uncapped_points,
		line.category, line.stage, line.last_at, line.reason
	FROM line
	ORDER BY line.part, abs(line.points) DESC, line.signal, line.measure;
END;

COMMENT ON FUNCTION leadscore.explain(text, text, timestamptz) IS 'a lead''s score, line by line: the points add up to the score';

CREATE FUNCTION leadscore.score_history(lead_id text, model text DEFAULT 'default',
	"from" timestamptz DEFAULT now() - interval '30 days', "to" timestamptz DEFAULT now(), step interval DEFAULT '1 day')
	RETURNS TABLE (at timestamptz, score float8, segment text)
	LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	WITH lead AS MATERIALIZED (
		SELECT leadscore.lead_named(score_history.lead_id) AS lead_id, leadscore.scorecard(leadscore.serving_model(model, NULL, NULL)) AS card,
			EXISTS (SELECT FROM leadscore.experiment x WHERE x.experiment = model) AS varies,
			(SELECT t.timeline FROM leadscore.current_timeline t WHERE t.lead_id = leadscore.lead_named(score_history.lead_id)) AS timeline,
			(SELECT l.profile FROM leadscore.lead l WHERE l.lead_id = leadscore.lead_named(score_history.lead_id)) AS profile
		WHERE score_history.lead_id IS NOT NULL
	)
	SELECT h.at, (h.appraisal).score, (h.appraisal).segment
	FROM (SELECT g.at, leadscore.appraise(CASE WHEN lead.varies THEN leadscore.scorecard(leadscore.serving_model(model, lead.lead_id, g.at)) ELSE lead.card END,
			lead.timeline, lead.profile, g.at) AS appraisal
		FROM lead CROSS JOIN generate_series("from", "to", step) AS g (at) OFFSET 0) h
	ORDER BY h.at;
END;

COMMENT ON FUNCTION leadscore.score_history(text, text, timestamptz, timestamptz, interval)
	IS 'a lead''s score at instants of the past or future';
-- rfm.sql: what a conversion is, and recency, frequency and monetary value

-- conversions: what is an order to a model

CREATE TABLE leadscore.conversion (
	model text PRIMARY KEY REFERENCES leadscore.model ON UPDATE CASCADE ON DELETE CASCADE,
	signal text NOT NULL REFERENCES leadscore.signal ON UPDATE CASCADE
);

COMMENT ON TABLE leadscore.conversion IS 'the signal that is a conversion to a model, for rfm() and the key figures; without a row it is the signal purchase';
COMMENT ON COLUMN leadscore.conversion.model IS 'the model';
COMMENT ON COLUMN leadscore.conversion.signal IS 'an event signal: its occurrences are orders, its value is money';

-- (a signal that does not exist is the foreign key's business)
CREATE FUNCTION leadscore.check_event_signal() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF EXISTS (SELECT FROM leadscore.signal s WHERE s.signal = NEW.signal AND s.subject <> 'event') THEN
		PERFORM leadscore.refuse(format('a %s is shown by an event signal', TG_TABLE_NAME), NEW.signal,
			leadscore.known('event signals'::text, ARRAY(SELECT s.signal FROM leadscore.signal s WHERE s.subject = 'event' ORDER BY 1)));
	END IF;
	RETURN NEW;
END
$$;

COMMENT ON FUNCTION leadscore.check_event_signal() IS 'trigger: refuses profile signals';

CREATE TRIGGER check_event_signal BEFORE INSERT OR UPDATE OF signal ON leadscore.conversion
	FOR EACH ROW EXECUTE FUNCTION leadscore.check_event_signal();

CREATE VIEW leadscore.model_conversion AS
SELECT m.model, s.signal, s.signal_id
FROM leadscore.model m LEFT JOIN leadscore.conversion c ON c.model = m.model
JOIN leadscore.signal s ON s.signal = coalesce(c.signal, 'purchase') AND s.subject = 'event';

COMMENT ON VIEW leadscore.model_conversion IS 'the conversion of each model that has one';
COMMENT ON COLUMN leadscore.model_conversion.model IS 'the model';
COMMENT ON COLUMN leadscore.model_conversion.signal IS 'the signal that is its conversion';
COMMENT ON COLUMN leadscore.model_conversion.signal_id IS 'its number in timelines';

-- groups

CREATE TABLE leadscore.rfm_group (
	rfm_group text PRIMARY KEY
		CONSTRAINT rfm_group_not_empty CHECK ((rfm_group <> '') IS NOT FALSE OR leadscore.refuse(
			'rfm_group name is empty', '""', 'Name the group, such as "champions".')),
	position integer NOT NULL UNIQUE DEFERRABLE,
	min_recency integer, max_recency integer,
	min_frequency integer, max_frequency integer,
	min_monetary integer, max_monetary integer,
	CONSTRAINT rfm_group_bounds_are_quintiles CHECK ((least(min_recency, max_recency, min_frequency, max_frequency, min_monetary, max_monetary) >= 1
		AND greatest(min_recency, max_recency, min_frequency, max_frequency, min_monetary, max_monetary) <= 5
		AND coalesce(min_recency <= max_recency, true) AND coalesce(min_frequency <= max_frequency, true) AND coalesce(min_monetary <= max_monetary, true)) IS NOT FALSE
		OR leadscore.refuse(format('the bounds of rfm_group "%s" are no quintiles', rfm_group),
			concat_ws(', ', min_recency, max_recency, min_frequency, max_frequency, min_monetary, max_monetary), 'Bounds are whole numbers from 1 (worst) to 5 (best), the lower first.'))
);

COMMENT ON TABLE leadscore.rfm_group IS 'the groups of rfm(): the first by position whose bounds hold; while there are no rows, those of rfm_groups() hold';
COMMENT ON COLUMN leadscore.rfm_group.rfm_group IS 'name';
COMMENT ON COLUMN leadscore.rfm_group.position IS 'the order in which groups are tried, lowest first';
COMMENT ON COLUMN leadscore.rfm_group.min_recency IS 'the lowest quintile of recency, 1 to 5 (most recent); NULL: any';
COMMENT ON COLUMN leadscore.rfm_group.max_recency IS 'the highest quintile of recency; NULL: any';
COMMENT ON COLUMN leadscore.rfm_group.min_frequency IS 'the lowest quintile of frequency; NULL: any';
COMMENT ON COLUMN leadscore.rfm_group.max_frequency IS 'the highest quintile of frequency; NULL: any';
COMMENT ON COLUMN leadscore.rfm_group.min_monetary IS 'the lowest quintile of money; NULL: any';
COMMENT ON COLUMN leadscore.rfm_group.max_monetary IS 'the highest quintile of money; NULL: any';

CREATE FUNCTION leadscore.rfm_groups() RETURNS SETOF leadscore.rfm_group
	LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT g.* FROM leadscore.rfm_group g
	UNION ALL
	SELECT d.* FROM (VALUES
		('champions', 1, 4, NULL::integer, 4, NULL::integer, 4, NULL::integer),
		('loyal', 2, 3, NULL, 4, NULL, NULL, NULL),
		('recent', 3, 4, NULL, NULL, NULL, NULL, NULL),
		('needs attention', 4, 3, NULL, NULL, NULL, NULL, NULL),
		('at risk', 5, NULL, 2, 3, NULL, NULL, NULL),
		('lost', 6, NULL, NULL, NULL, NULL, NULL, NULL)) d
	WHERE NOT EXISTS (SELECT FROM leadscore.rfm_group)
	ORDER BY 2;
END;

CREATE FUNCTION leadscore.warn_of_no_groups() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM leadscore.rfm_group) THEN
		RAISE NOTICE USING MESSAGE = 'there are no groups of your own to change yet', DETAIL = 'Those of leadscore.rfm_groups() hold.',
			HINT = 'INSERT INTO leadscore.rfm_group SELECT * FROM leadscore.rfm_groups() first.';
	END IF;
	RETURN NULL;
END
$$;

COMMENT ON FUNCTION leadscore.warn_of_no_groups() IS 'trigger: says that the ready groups are not in the table';

CREATE TRIGGER warn_of_no_groups BEFORE UPDATE OR DELETE ON leadscore.rfm_group
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.warn_of_no_groups();

COMMENT ON FUNCTION leadscore.rfm_groups() IS 'the groups that hold: those of the table rfm_group or, while it is empty, ready ones';

-- rfm

CREATE FUNCTION leadscore.rfm(signals text[], at timestamptz DEFAULT now(), n integer DEFAULT 5)
	RETURNS TABLE (lead_id text, last_at timestamptz, frequency bigint, monetary numeric,
		recency_tile integer, frequency_tile integer, monetary_tile integer, rfm_group text)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	signal_ids CONSTANT integer[] := ARRAY(SELECT (s ->> 'signal_id')::integer
		FROM jsonb_array_elements(leadscore.signals_named(rfm.signals) -> 'signals') s);
	leads bigint;
BEGIN
	IF n IS NULL OR n < 1 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'rfm() needs a number of tiles above zero',
			DETAIL = format('n is %s.', coalesce(n::text, 'NULL')), HINT = 'Five is usual.';
	END IF;
	RETURN QUERY
	WITH bought AS MATERIALIZED (
		SELECT v.lead_id, max(e.hour) FILTER (WHERE e.occurrences > 0) AS last_at, sum(e.occurrences)::bigint AS frequency, sum(e.value) AS monetary
		FROM leadscore.visible_lead v CROSS JOIN LATERAL leadscore.timeline_entries(v.timeline) e
		WHERE e.signal_id = ANY (signal_ids) AND e.hour <= rfm.at
		GROUP BY v.lead_id
		HAVING sum(e.occurrences) > 0
	), ranked AS (
		-- how many are strictly worse: equal ones share it
		SELECT b.*, rank() OVER (ORDER BY b.last_at) - 1 AS r, rank() OVER (ORDER BY b.frequency) - 1 AS f,
			rank() OVER (ORDER BY b.monetary) - 1 AS m, count(*) OVER () AS leads
		FROM bought b
	)
	SELECT k.lead_id, k.last_at, k.frequency, k.monetary,
		(1 + k.r * rfm.n / k.leads)::integer, (1 + k.f * rfm.n / k.leads)::integer, (1 + k.m * rfm.n / k.leads)::integer,
		(SELECT g.rfm_group FROM leadscore.rfm_groups() g
			WHERE 1 + k.r * 5 / k.leads BETWEEN coalesce(g.min_recency, 1) AND coalesce(g.max_recency, 5)
			AND 1 + k.f * 5 / k.leads BETWEEN coalesce(g.min_frequency, 1) AND coalesce(g.max_frequency, 5)
			AND 1 + k.m * 5 / k.leads BETWEEN coalesce(g.min_monetary, 1) AND coalesce(g.max_monetary, 5)
			ORDER BY g.position LIMIT 1)
	FROM ranked k
	ORDER BY k.lead_id;
	GET DIAGNOSTICS leads = ROW_COUNT;
	IF leads BETWEEN 1 AND n - 1 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'there are more tiles than leads',
			DETAIL = format('n is %s; %s leads have bought by then.', n, leads), HINT = 'Ask for fewer tiles.';
	END IF;
END
$$;

CREATE FUNCTION leadscore.conversion_of(model text) RETURNS text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	name CONSTANT text := leadscore.model_named(model);
	signal text;
BEGIN
	SELECT c.signal INTO signal FROM leadscore.model_conversion c WHERE c.model = name;
	IF NOT FOUND AND name IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('model "%s" has no conversion', name),
			DETAIL = 'There is neither a row for it in leadscore.conversion nor a signal purchase.',
			HINT = format('INSERT INTO leadscore.conversion (model, signal) VALUES (%L, ...).', name);
	END IF;
	RETURN signal;
END
$$;

COMMENT ON FUNCTION leadscore.conversion_of(text) IS 'the signal that is a model''s conversion';

CREATE FUNCTION leadscore.rfm(model text DEFAULT 'default', at timestamptz DEFAULT now(), n integer DEFAULT 5)
	RETURNS TABLE (lead_id text, last_at timestamptz, frequency bigint, monetary numeric,
		recency_tile integer, frequency_tile integer, monetary_tile integer, rfm_group text)
	LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT r.lead_id, r.last_at, r.frequency, r.monetary, r.recency_tile, r.frequency_tile, r.monetary_tile, r.rfm_group
	FROM leadscore.rfm(ARRAY[leadscore.conversion_of(rfm.model)], at, n) r
	ORDER BY r.lead_id;
END;

COMMENT ON FUNCTION leadscore.rfm(text[], timestamptz, integer) IS 'recency, frequency and money of everybody who has bought, in n tiles that keep equals together, and the group';
COMMENT ON FUNCTION leadscore.rfm(text, timestamptz, integer) IS 'the same for the conversion of a model';

SELECT pg_catalog.pg_extension_config_dump('leadscore.conversion', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.rfm_group', '');
-- figures.sql: key figures, from timelines
--
-- A month begins at 00:00 UTC. The segment of a lead in a month is the one it was
-- in when the month began: scored as of the last hour before, for a score counts
-- the whole hour that it is asked for. Money is summed as numeric, exactly.

-- marketing

CREATE TABLE leadscore.spend (
	channel text NOT NULL
		CONSTRAINT spend_channel_not_empty CHECK ((channel <> '') IS NOT FALSE OR leadscore.refuse(
			'spend channel is empty', '""', 'Name the channel, such as "search".')),
	day date NOT NULL
		CONSTRAINT spend_day_finite CHECK (isfinite(day) IS NOT FALSE OR leadscore.refuse(
			'spend day is not finite', day::text, 'Write a day.')),
	amount numeric NOT NULL
		CONSTRAINT spend_amount_in_range CHECK ((amount >= 0 AND amount < 1e12) IS NOT FALSE OR leadscore.refuse(
			'spend amount is negative or out of range', amount::text, 'Write an amount of money from 0 to below 10^12.')),
	PRIMARY KEY (channel, day)
);

COMMENT ON TABLE leadscore.spend IS 'what marketing has cost';
COMMENT ON COLUMN leadscore.spend.channel IS 'the channel';
COMMENT ON COLUMN leadscore.spend.day IS 'the UTC day';
COMMENT ON COLUMN leadscore.spend.amount IS 'money; rounded to six decimals';

CREATE FUNCTION leadscore.round_amount() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF scale(NEW.amount) > 6 THEN
		IF NEW.amount <> round(NEW.amount, 6) THEN
			RAISE NOTICE USING MESSAGE = format('the amount %s is rounded to %s', NEW.amount, round(NEW.amount, 6)),
				DETAIL = 'Money is kept to six decimals.';
		END IF;
		NEW.amount := round(NEW.amount, 6);
	END IF;
	RETURN NEW;
END
$$;

COMMENT ON FUNCTION leadscore.round_amount() IS 'trigger: rounds money to six decimals, and says so';

CREATE TRIGGER round_amount BEFORE INSERT OR UPDATE OF amount ON leadscore.spend
	FOR EACH ROW EXECUTE FUNCTION leadscore.round_amount();

CREATE TABLE leadscore.channel (
	channel text NOT NULL
		CONSTRAINT channel_not_empty CHECK ((channel <> '') IS NOT FALSE OR leadscore.refuse(
			'channel name is empty', '""', 'Name the channel, such as "search".')),
	signal text NOT NULL REFERENCES leadscore.signal ON UPDATE CASCADE ON DELETE CASCADE,
	PRIMARY KEY (channel, signal)
);

CREATE INDEX channel_signal_idx ON leadscore.channel (signal);

CREATE TRIGGER check_event_signal BEFORE INSERT OR UPDATE OF signal ON leadscore.channel
	FOR EACH ROW EXECUTE FUNCTION leadscore.check_event_signal();

COMMENT ON TABLE leadscore.channel IS 'which signals show that a lead came through which channel';
COMMENT ON COLUMN leadscore.channel.channel IS 'the channel, as in spend';
COMMENT ON COLUMN leadscore.channel.signal IS 'an event signal: its occurrences are touches';

-- private view

-- What belongs to a lead is found in its timeline, by a LATERAL look at it, and
-- never by a join of leads with leads: of views like these the planner knows too
-- little to join them well.

CREATE VIEW leadscore.lead_start AS
SELECT v.lead_id, v.timeline, v.profile, leadscore.timeline_start(v.timeline) AS started_at
FROM leadscore.visible_lead v
WHERE leadscore.timeline_start(v.timeline) <= now();

COMMENT ON VIEW leadscore.lead_start IS 'leads that have done something, and since when';
COMMENT ON COLUMN leadscore.lead_start.lead_id IS 'the lead';
COMMENT ON COLUMN leadscore.lead_start.timeline IS 'what it did';
COMMENT ON COLUMN leadscore.lead_start.profile IS 'who it is';
COMMENT ON COLUMN leadscore.lead_start.started_at IS 'the first hour of any signal';

CREATE FUNCTION leadscore.month_of(instant timestamptz) RETURNS date
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
	SELECT date_trunc('month', instant AT TIME ZONE 'UTC')::date;
END;

CREATE FUNCTION leadscore.month_start(month date) RETURNS timestamptz
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
	SELECT month::timestamp AT TIME ZONE 'UTC';
END;

CREATE FUNCTION leadscore.months_since(instant timestamptz) RETURNS TABLE (month date, begins_at timestamptz, next_at timestamptz)
	LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE ROWS 12 SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN QUERY
	SELECT g.month::date, leadscore.month_start(g.month::date), leadscore.month_start((g.month + interval '1 month')::date)
	FROM generate_series(leadscore.month_of(instant)::timestamp, leadscore.month_of(now())::timestamp, '1 month') AS g (month);
END
$$;

COMMENT ON FUNCTION leadscore.months_since(timestamptz) IS 'the UTC months from that of an instant to the present one, and when they and the next ones begin';
COMMENT ON FUNCTION leadscore.month_of(timestamptz) IS 'the first day of the UTC month';
COMMENT ON FUNCTION leadscore.month_start(date) IS 'the instant at which a UTC day begins';

-- conversion, revenue, orders

CREATE VIEW leadscore.monthly_figure AS
WITH lead AS MATERIALIZED (
	SELECT s.lead_id, s.timeline, s.profile, s.started_at FROM leadscore.lead_start s
), month AS (
	-- the present month ends with the present hour
	SELECT g.month, g.begins_at, g.next_at, least(g.next_at, now() + interval '1 hour') AS ends_at
	FROM (SELECT min(l.started_at) AS started_at FROM lead l) s CROSS JOIN leadscore.months_since(s.started_at) g
)
SELECT c.model, m.month, f.segment, f.is_new, f.leads, f.customers,
	round(f.customers::numeric / f.leads, 6) AS conversion_rate,
	f.orders::bigint AS orders,
	f.revenue,
	round(f.revenue / f.leads, 6) AS revenue_per_lead,
	round(f.revenue / nullif(f.orders, 0), 6) AS average_order_value,
	round(f.repeaters::numeric / nullif(f.customers, 0), 6) AS repeat_rate
FROM leadscore.model_cards() c
CROSS JOIN month m
-- (a month at a time, so that its few groups are known to be few)
CROSS JOIN LATERAL (
	SELECT s.segment, s.is_new, count(*) AS leads, count(*) FILTER (WHERE s.orders > 0) AS customers,
		sum(s.orders) AS orders, sum(s.revenue) AS revenue, count(*) FILTER (WHERE s.orders > 0 AND s.orders_so_far > 1) AS repeaters
	FROM (
		SELECT l.started_at >= m.begins_at AS is_new, t.occurrences AS orders, t.value AS revenue,
			(leadscore.timeline_total(l.timeline, c.conversion_id, NULL, m.ends_at)).occurrences AS orders_so_far,
			CASE WHEN l.started_at < m.begins_at
				THEN (leadscore.appraise(c.scorecard, l.timeline, l.profile, m.begins_at - interval '1 hour')).segment END AS segment
		FROM lead l CROSS JOIN LATERAL leadscore.timeline_total(l.timeline, c.conversion_id, m.begins_at, m.ends_at) t
		WHERE l.started_at < m.next_at
	) s
	GROUP BY s.segment, s.is_new
) f
WHERE c.conversion_id IS NOT NULL;

COMMENT ON VIEW leadscore.monthly_figure IS 'conversion rate, revenue, order value and repeat rate, by month and by the segment when the month began';
COMMENT ON COLUMN leadscore.monthly_figure.model IS 'the model: its segments, its conversion';
COMMENT ON COLUMN leadscore.monthly_figure.month IS 'the first day of the UTC month';
COMMENT ON COLUMN leadscore.monthly_figure.segment IS 'the segment when the month began; NULL: none, or not yet a lead';
COMMENT ON COLUMN leadscore.monthly_figure.is_new IS 'whether they have come in this month';
COMMENT ON COLUMN leadscore.monthly_figure.leads IS 'leads that had done something by the end of the month';
COMMENT ON COLUMN leadscore.monthly_figure.customers IS 'those who bought in the month';
COMMENT ON COLUMN leadscore.monthly_figure.conversion_rate IS 'customers / leads';
COMMENT ON COLUMN leadscore.monthly_figure.orders IS 'orders of the month';
COMMENT ON COLUMN leadscore.monthly_figure.revenue IS 'their value, exact';
COMMENT ON COLUMN leadscore.monthly_figure.revenue_per_lead IS 'revenue / leads';
COMMENT ON COLUMN leadscore.monthly_figure.average_order_value IS 'revenue / orders; NULL without orders';
COMMENT ON COLUMN leadscore.monthly_figure.repeat_rate IS 'of the customers, those for whom it was not the only order so far; NULL without customers';

-- the sales cycle

CREATE VIEW leadscore.sales_cycle AS
SELECT f.model, leadscore.month_of(f.bought_at) AS month, f.segment, count(*) AS customers,
	percentile_cont(0.25) WITHIN GROUP (ORDER BY f.days) AS lower_quartile,
	percentile_cont(0.5) WITHIN GROUP (ORDER BY f.days) AS median,
	percentile_cont(0.75) WITHIN GROUP (ORDER BY f.days) AS upper_quartile
FROM (
	SELECT c.model, o.bought_at, (extract(epoch FROM o.bought_at - s.started_at) / 86400)::float8 AS days,
		CASE WHEN s.started_at < o.bought_at
			THEN (leadscore.appraise(c.scorecard, s.timeline, s.profile, o.bought_at - interval '1 hour')).segment END AS segment
	FROM leadscore.model_cards() c
	CROSS JOIN leadscore.lead_start s
	CROSS JOIN LATERAL (
		SELECT leadscore.timeline_first_hour(s.timeline, c.conversion_id, NULL, now() + interval '1 hour') AS bought_at OFFSET 0
	) o
	WHERE c.conversion_id IS NOT NULL AND o.bought_at IS NOT NULL
) f
GROUP BY f.model, leadscore.month_of(f.bought_at), f.segment;

COMMENT ON VIEW leadscore.sales_cycle IS 'days from the first touch to the first purchase, by month of the purchase and by the segment just before it';
COMMENT ON COLUMN leadscore.sales_cycle.model IS 'the model: its segments, its conversion';
COMMENT ON COLUMN leadscore.sales_cycle.month IS 'the month of the first purchase';
COMMENT ON COLUMN leadscore.sales_cycle.segment IS 'the segment in the hour before it; NULL: none, or nothing had been done before';
COMMENT ON COLUMN leadscore.sales_cycle.customers IS 'who bought for the first time';
COMMENT ON COLUMN leadscore.sales_cycle.lower_quartile IS 'a quarter of them took at most so many days';
COMMENT ON COLUMN leadscore.sales_cycle.median IS 'half of them did';
COMMENT ON COLUMN leadscore.sales_cycle.upper_quartile IS 'three quarters of them did';

-- the funnel

CREATE FUNCTION leadscore.model_stages() RETURNS TABLE (model text, stage text, "position" integer)
	LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 5 SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN QUERY SELECT s.model, s.stage, s.position FROM leadscore.stage s;
END
$$;

CREATE FUNCTION leadscore.stage_signals() RETURNS TABLE (model text, signal_id integer, "position" integer)
	LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 10 SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN QUERY
	SELECT s.model, g.signal_id, max(s.position)
	FROM leadscore.stage s
	JOIN leadscore.weight w ON w.model = s.model AND w.stage = s.stage
	JOIN leadscore.signal g ON g.signal = w.signal
	GROUP BY s.model, g.signal_id;
END
$$;

COMMENT ON FUNCTION leadscore.model_stages() IS 'the stages of all models';
COMMENT ON FUNCTION leadscore.stage_signals() IS 'the furthest stage that each signal shows, of each model';

CREATE VIEW leadscore.funnel AS
WITH came AS (
	SELECT m.model, leadscore.month_of(l.started_at) AS month, r.position,
		(leadscore.appraise(m.scorecard, l.timeline, l.profile,
			least(leadscore.month_start((leadscore.month_of(l.started_at) + interval '1 month')::date) - interval '1 hour', now()))).segment
	FROM leadscore.model_cards() m
	CROSS JOIN leadscore.lead_start l
	CROSS JOIN LATERAL (
		SELECT max(s.position) AS position
		FROM leadscore.timeline_entries(l.timeline) e JOIN leadscore.stage_signals() s ON s.signal_id = e.signal_id AND s.model = m.model
		WHERE e.occurrences > 0 AND e.hour <= now()
	) r
	WHERE r.position IS NOT NULL
), furthest AS (
	-- (counted before stages are joined, so that a lead is looked at once, not for each stage)
	SELECT c.model, c.month, c.segment, c.position, count(*) AS leads FROM came c GROUP BY c.model, c.month, c.segment, c.position
), counted AS (
	SELECT s.model, f.month, f.segment, s.stage, s.position, coalesce(sum(f.leads) FILTER (WHERE f.position >= s.position), 0)::bigint AS leads
	FROM leadscore.model_stages() s JOIN furthest f ON f.model = s.model
	GROUP BY s.model, f.month, f.segment, s.stage, s.position
)
SELECT c.model, c.month, c.segment, c.stage, c.position, c.leads,
	round(c.leads::numeric / nullif(first_value(c.leads) OVER w, 0), 6) AS share,
	round(1 - c.leads::numeric / nullif(lag(c.leads) OVER w, 0), 6) AS drop_off
FROM counted c
WINDOW w AS (PARTITION BY c.model, c.month, c.segment ORDER BY c.position);

COMMENT ON VIEW leadscore.funnel IS 'how far leads have come, by the month in which they came and their segment when it ended';
COMMENT ON COLUMN leadscore.funnel.model IS 'the model whose stages they are';
COMMENT ON COLUMN leadscore.funnel.month IS 'the month of their first touch';
COMMENT ON COLUMN leadscore.funnel.segment IS 'the segment in the last hour of that month, or now, if it has not yet ended; NULL: none';
COMMENT ON COLUMN leadscore.funnel.stage IS 'the stage';
COMMENT ON COLUMN leadscore.funnel.position IS 'a higher one is further along';
COMMENT ON COLUMN leadscore.funnel.leads IS 'leads that have ever reached it, or a later one';
COMMENT ON COLUMN leadscore.funnel.share IS 'leads / leads of the first stage';
COMMENT ON COLUMN leadscore.funnel.drop_off IS 'the share of the stage before that has not come as far; NULL for the first';

-- attribution

-- What a channel has spent is shared out by the borders of running sums, which
-- lose nothing.

CREATE FUNCTION leadscore.touch_signals() RETURNS TABLE (signal_id integer, channel text)
	LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 5 SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN QUERY SELECT g.signal_id, c.channel FROM leadscore.channel c JOIN leadscore.signal g ON g.signal = c.signal;
END
$$;

COMMENT ON FUNCTION leadscore.touch_signals() IS 'the signals that show a channel, by their numbers';

CREATE VIEW leadscore.attribution AS
WITH bought AS (
	SELECT c.model, o.occurrences AS orders, o.value AS revenue, leadscore.month_of(o.hour) AS month, t.channels,
		o.hour = min(o.hour) FILTER (WHERE o.occurrences > 0) OVER (PARTITION BY c.model, s.lead_id) AS is_first,
		CASE WHEN s.started_at < o.hour THEN (leadscore.appraise(c.scorecard, s.timeline, s.profile, o.hour - interval '1 hour')).segment END AS segment
	FROM leadscore.model_cards() c
	CROSS JOIN leadscore.lead_start s
	CROSS JOIN LATERAL leadscore.timeline_entries(s.timeline) o
	CROSS JOIN LATERAL (
		-- of the first touch, and of the last before the order
		SELECT ARRAY[(array_agg(t.channel ORDER BY e.hour, t.channel))[1], (array_agg(t.channel ORDER BY e.hour DESC, t.channel))[1]] AS channels
		FROM leadscore.timeline_entries(s.timeline) e JOIN leadscore.touch_signals() t ON t.signal_id = e.signal_id
		WHERE e.occurrences > 0 AND e.hour <= o.hour
	) t
	WHERE o.signal_id = c.conversion_id AND o.hour <= now()
), credited AS (
	SELECT b.model, a.attribution, b.month, b.channels[a.n] AS channel, b.segment,
		count(*) FILTER (WHERE b.is_first) AS new_customers, sum(b.orders)::bigint AS orders, sum(b.revenue) AS revenue
	FROM bought b CROSS JOIN (VALUES (1, 'first'), (2, 'last')) a (n, attribution)
	GROUP BY b.model, a.attribution, b.month, b.channels[a.n], b.segment
), spent AS (
	SELECT c.model, a.attribution, date_trunc('month', s.day::timestamp)::date AS month, s.channel, sum(s.amount) AS amount
	FROM leadscore.spend s CROSS JOIN leadscore.model_cards() c CROSS JOIN (VALUES ('first'), ('last')) a (attribution)
	WHERE c.conversion_id IS NOT NULL
	GROUP BY c.model, a.attribution, date_trunc('month', s.day::timestamp)::date, s.channel
), shared AS (
	SELECT coalesce(c.model, s.model) AS model, coalesce(c.attribution, s.attribution) AS attribution, coalesce(c.month, s.month) AS month,
		coalesce(c.channel, s.channel) AS channel, c.segment,
		coalesce(c.new_customers, 0) AS new_customers, coalesce(c.orders, 0) AS orders, coalesce(c.revenue, 0) AS revenue, coalesce(s.amount, 0) AS amount,
		-- a month that has brought nobody new has paid for its orders
		CASE WHEN sum(c.new_customers) OVER (PARTITION BY c.model, c.attribution, c.month, c.channel) > 0 THEN c.new_customers ELSE c.orders END AS part
	FROM credited c FULL JOIN spent s ON s.model = c.model AND s.attribution = c.attribution AND s.month = c.month AND s.channel = c.channel
), figure AS (
	SELECT s.*, CASE WHEN sum(s.part) OVER w > 0
		THEN trim_scale(round(s.amount * sum(s.part) OVER up_to / sum(s.part) OVER w, 6) - round(s.amount * (sum(s.part) OVER up_to - s.part) / sum(s.part) OVER w, 6))
		WHEN row_number() OVER up_to = 1 THEN s.amount ELSE 0 END AS spend
	FROM shared s
	WINDOW w AS (PARTITION BY s.model, s.attribution, s.month, s.channel), up_to AS (w ORDER BY s.segment)
)
SELECT f.model, f.attribution, f.month, f.channel, f.segment, f.new_customers, f.orders, f.revenue, f.spend,
	round(f.spend / nullif(f.new_customers, 0), 6) AS acquisition_cost,
	round(f.revenue / nullif(f.spend, 0), 6) AS return_on_spend
FROM figure f;

COMMENT ON VIEW leadscore.attribution IS 'what each channel has cost and brought, by first and by last touch, and by segment';
COMMENT ON COLUMN leadscore.attribution.model IS 'the model whose conversion it is';
COMMENT ON COLUMN leadscore.attribution.attribution IS 'first: an order counts for the lead''s first touch; last: for the last one before it';
COMMENT ON COLUMN leadscore.attribution.month IS 'the month of the order, and of the spend';
COMMENT ON COLUMN leadscore.attribution.channel IS 'the channel; NULL: orders without a touch before them';
COMMENT ON COLUMN leadscore.attribution.segment IS 'the segment in the hour before the order; NULL: none, nothing had been done before, or there was no order';
COMMENT ON COLUMN leadscore.attribution.new_customers IS 'leads whose first order it was';
COMMENT ON COLUMN leadscore.attribution.orders IS 'orders';
COMMENT ON COLUMN leadscore.attribution.revenue IS 'their value, exact';
COMMENT ON COLUMN leadscore.attribution.spend IS 'what the channel has cost in the month, shared out over the segments by new customers';
COMMENT ON COLUMN leadscore.attribution.acquisition_cost IS 'spend / new customers (CAC); NULL without any';
COMMENT ON COLUMN leadscore.attribution.return_on_spend IS 'revenue / spend (ROAS); NULL without spend';

SELECT pg_catalog.pg_extension_config_dump('leadscore.spend', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.channel', '');
-- affinity.sql: what leads lean to: categories, brands, and other properties of
-- their events

CREATE FUNCTION leadscore.log_events(kinds text[])
	RETURNS TABLE (lead_id text, kind text, occurred_at timestamptz, properties jsonb)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET row_security = off SET jit = off
AS $$
	SELECT coalesce(a.lead_id, e.lead_id), e.kind, e.occurred_at, e.properties
	FROM (
		SELECT array_agg(s.source ORDER BY s.source::oid, s.mapping) AS sources, array_agg(s.mapping ORDER BY s.source::oid, s.mapping) AS mappings
		FROM leadscore.source s
		WHERE s.feeds = 'timeline'
	) s
	CROSS JOIN LATERAL leadscore.source_events(s.sources, s.mappings, NULL::text[], log_events.kinds) e
	LEFT JOIN leadscore.lead_alias a ON a.alias = e.lead_id
	WHERE log_events.kinds IS NULL OR e.kind = ANY (log_events.kinds)
$$;

COMMENT ON FUNCTION leadscore.log_events(text[]) IS 'the events of all sources, of some kinds or (NULL) of any, by lead';

CREATE FUNCTION leadscore.check_property(property text, n integer DEFAULT 1) RETURNS void
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF property IS NULL OR property = '' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'the property is NULL or empty',
			DETAIL = 'Events are told apart by one of their properties.', HINT = 'Name it, such as ''category''.';
	END IF;
	IF n IS NULL OR n < 1 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'n is not above zero',
			DETAIL = format('It is %s.', coalesce(n::text, 'NULL')), HINT = 'Say how many values to make signals of.';
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore.check_property(text, integer) IS 'refuses what is no property, or no number of values';

CREATE FUNCTION leadscore.check_kinds(kinds text[]) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	unknown CONSTANT text[] := ARRAY(SELECT k FROM unnest(kinds) k EXCEPT SELECT e.kind FROM leadscore.log_events(kinds) e ORDER BY 1);
BEGIN
	IF unknown <> '{}' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'there are no events of a kind',
			DETAIL = format('No event has the kind %s.', array_to_string(unknown, ' or ', 'NULL')), HINT = 'Name kinds that the log has, or none for any.';
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore.check_kinds(text[]) IS 'refuses kinds that no event has';

CREATE FUNCTION leadscore.affinity(property text, at timestamptz DEFAULT now(), half_life interval DEFAULT '30 days',
	kinds text[] DEFAULT NULL, prior float8 DEFAULT 1)
	RETURNS TABLE (lead_id text, value text, weight float8, share float8, shop_share float8, affinity float8)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET row_security = off SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	hours CONSTANT float8 := extract(epoch FROM half_life) / 3600;
	present CONSTANT float8 := floor(extract(epoch FROM affinity.at) / 3600);
BEGIN
	PERFORM leadscore.check_property(property, 1);
	PERFORM leadscore.duration_hours('half_life'::text, half_life, 'Write a duration such as 30 days.'::text);
	IF half_life IS NULL OR (prior >= 0 AND prior < 'Infinity') IS NOT TRUE THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'half_life is NULL, or prior is below zero',
			DETAIL = format('half_life is %s, prior is %s.', coalesce(half_life::text, 'NULL'), coalesce(prior::text, 'NULL')),
			HINT = 'For example: half_life => ''30 days'', prior => 1.';
	END IF;
	RETURN QUERY
	WITH event AS (
		SELECT e.lead_id, e.properties ->> affinity.property AS value, (present - floor(extract(epoch FROM e.occurred_at) / 3600)) / hours AS age
		FROM leadscore.log_events(affinity.kinds) e
		WHERE e.properties ->> affinity.property IS NOT NULL AND date_trunc('hour', e.occurred_at, 'UTC') <= affinity.at
	), leaning AS MATERIALIZED (
		-- what is more than a hundred half-lives old is nothing
		SELECT e.lead_id, e.value, sum(power(2::float8, - e.age)) AS weight
		FROM event e
		WHERE e.age < 100
		GROUP BY e.lead_id, e.value
	), shop AS (
		SELECT l.value, sum(l.weight) / sum(sum(l.weight)) OVER () AS share FROM leaning l GROUP BY l.value
	)
	SELECT l.lead_id, l.value, l.weight, l.weight / t.total, s.share,
		(l.weight + affinity.prior * s.share) / (t.total + affinity.prior) / s.share
	FROM leaning l
	JOIN (SELECT o.lead_id, sum(o.weight) AS total FROM leaning o GROUP BY o.lead_id) t ON t.lead_id = l.lead_id
	JOIN shop s ON s.value = l.value
	WHERE s.share > 0 AND t.total > 0
	ORDER BY l.lead_id, 6 DESC, l.value;
	IF NOT FOUND THEN
		PERFORM leadscore.check_kinds(affinity.kinds);
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore.affinity(text, timestamptz, interval, text[], float8)
	IS 'how much more (above 1) or less a lead leans to each value of a property than the shop''s leads do together';

CREATE FUNCTION leadscore.make_signals(property text, kind text DEFAULT NULL, n integer DEFAULT 20)
	RETURNS TABLE (signal text, value jsonb, events bigint, made boolean)
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET row_security = off SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	kinds CONSTANT text[] := CASE WHEN make_signals.kind IS NOT NULL THEN ARRAY[make_signals.kind] END;
	candidate record;
	known record;
BEGIN
	PERFORM leadscore.check_property(property, n);
	FOR candidate IN
		SELECT concat_ws(' ', make_signals.kind, make_signals.property || ': ' || CASE
				-- 42 and "42" are two values
				WHEN jsonb_typeof(v.value) = 'string' AND v.value #>> '{}' ~ '^(-?[0-9.]+([eE][-+]?[0-9]+)?|true|false)$' THEN v.value::text
				ELSE v.value #>> '{}' END) AS signal,
			v.value, count(*) AS events
		FROM leadscore.log_events(kinds) e
		CROSS JOIN LATERAL (SELECT e.properties -> make_signals.property AS value) v
		WHERE jsonb_typeof(v.value) IN ('string', 'number', 'boolean') AND octet_length(v.value::text) <= 200
		GROUP BY v.value
		ORDER BY 3 DESC, 1
		LIMIT n
	LOOP
		signal := candidate.signal;
		value := candidate.value;
		events := candidate.events;
		INSERT INTO leadscore.signal (signal, kind, match, description)
		VALUES (signal, make_signals.kind, jsonb_build_object(property, value), format('%s of %s', coalesce(make_signals.kind, 'anything'), value #>> '{}'))
		ON CONFLICT (signal) DO NOTHING;
		made := FOUND;
		SELECT s.kind, s.match, s.condition, s.subject INTO known FROM leadscore.signal s WHERE s.signal = candidate.signal;
		IF (known.kind, known.match, known.condition::text, known.subject) IS DISTINCT FROM (make_signals.kind, jsonb_build_object(property, value), NULL::text, 'event'::text) THEN
			RAISE EXCEPTION USING ERRCODE = 'duplicate_object', MESSAGE = format('there is another signal "%s"', signal),
				DETAIL = format('It is an %s signal, its kind is %s, it matches %s, its condition is %s.', known.subject, coalesce(known.kind, 'NULL'),
					coalesce(known.match::text, 'anything'), coalesce(known.condition::text, 'none')),
				HINT = 'Rename it.';
		END IF;
		RETURN NEXT;
	END LOOP;
	IF NOT FOUND THEN
		PERFORM leadscore.check_kinds(kinds);
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore.make_signals(text, text, integer)
	IS 'makes a signal of each of the n most frequent values of a property, so that models can weigh them';
-- crm.sql: leads as a CRM takes them over
--
-- A score decays by the hour. What a CRM is told is rounded, so that a row
-- changes when there is something to say; refresh_crm() writes down what has
-- changed, numbered in the order in which it is committed.

-- Views name it in their target lists, and it has a cost: so ORDER BY ... LIMIT words reasons for the rows that it returns only.

CREATE FUNCTION leadscore.crm_reasons(card jsonb, timeline leadscore.timeline, profile jsonb, at timestamptz) RETURNS text[]
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 20;

COMMENT ON FUNCTION leadscore.crm_reasons(jsonb, leadscore.timeline, jsonb, timestamptz) IS 'the three signals that weigh most, in words';

-- (inlined, so that a condition on the lead reaches the timelines)
CREATE FUNCTION leadscore.crm_at(at timestamptz)
	RETURNS TABLE (model text, lead_id text, score numeric, grade text, segment text, stage text, probability numeric,
		reason_1 text, reason_2 text, reason_3 text)
	LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT m.model, s.lead_id,
		round((a.appraisal).score::numeric),
		(a.appraisal).grade, (a.appraisal).segment, (a.appraisal).stage,
		round((a.appraisal).probability::numeric, 2),
		(leadscore.crm_reasons(m.scorecard, s.timeline, s.profile, crm_at.at))[1],
		(leadscore.crm_reasons(m.scorecard, s.timeline, s.profile, crm_at.at))[2],
		(leadscore.crm_reasons(m.scorecard, s.timeline, s.profile, crm_at.at))[3]
	FROM leadscore.model_cards() m
	CROSS JOIN leadscore.visible_lead s
	CROSS JOIN LATERAL (SELECT leadscore.appraise(m.scorecard, s.timeline, s.profile, crm_at.at) AS appraisal OFFSET 0) a;
END;

COMMENT ON FUNCTION leadscore.crm_at(timestamptz) IS 'what crm_lead says, as of an instant';

CREATE TABLE leadscore.crm_state (
	model text NOT NULL,
	lead_id text NOT NULL,
	score numeric,
	grade text,
	segment text,
	stage text,
	probability numeric,
	reason_1 text,
	reason_2 text,
	reason_3 text,
	deleted boolean NOT NULL DEFAULT false,
	change_id bigint NOT NULL,
	changed_at timestamptz NOT NULL,
	PRIMARY KEY (model, lead_id)
);

CREATE UNIQUE INDEX crm_state_change_id_key ON leadscore.crm_state (change_id);

CREATE SEQUENCE leadscore.crm_change_id_seq OWNED BY leadscore.crm_state.change_id;

COMMENT ON TABLE leadscore.crm_state IS 'what the last refresh_crm() has found';
COMMENT ON COLUMN leadscore.crm_state.model IS 'the model';
COMMENT ON COLUMN leadscore.crm_state.lead_id IS 'the lead';
COMMENT ON COLUMN leadscore.crm_state.score IS 'the score, rounded';
COMMENT ON COLUMN leadscore.crm_state.grade IS 'by fit';
COMMENT ON COLUMN leadscore.crm_state.segment IS 'the segment';
COMMENT ON COLUMN leadscore.crm_state.stage IS 'the stage';
COMMENT ON COLUMN leadscore.crm_state.probability IS 'of a conversion, rounded';
COMMENT ON COLUMN leadscore.crm_state.reason_1 IS 'what weighs most';
COMMENT ON COLUMN leadscore.crm_state.reason_2 IS 'what comes second';
COMMENT ON COLUMN leadscore.crm_state.reason_3 IS 'what comes third';
COMMENT ON COLUMN leadscore.crm_state.deleted IS 'whether the lead has gone';
COMMENT ON COLUMN leadscore.crm_state.change_id IS 'the number of its last change';
COMMENT ON COLUMN leadscore.crm_state.changed_at IS 'when that was found';

CREATE FUNCTION leadscore.hold_crm() RETURNS void
	LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT leadscore.hold_lock('crm'::text)
$$;

COMMENT ON FUNCTION leadscore.hold_crm() IS 'keeps others who number changes waiting until the transaction ends';

CREATE FUNCTION leadscore.refresh_crm() RETURNS bigint
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	at timestamptz;
	n bigint;
BEGIN
	-- one at a time, so that numbers are committed in their order
	PERFORM leadscore.check_read_committed('refresh_crm()'::text, 'passed over'::text);
	PERFORM leadscore.hold_crm();
	at := clock_timestamp();
	WITH difference AS (
		SELECT coalesce(c.model, s.model) AS model, coalesce(c.lead_id, s.lead_id) AS lead_id,
			c.score, c.grade, c.segment, c.stage, c.probability, c.reason_1, c.reason_2, c.reason_3, c.lead_id IS NULL AS deleted
		FROM leadscore.crm_at(at) c
		FULL JOIN leadscore.crm_state s ON s.model = c.model AND s.lead_id = c.lead_id
		WHERE (c.score, c.grade, c.segment, c.stage, c.probability, c.reason_1, c.reason_2, c.reason_3, c.lead_id IS NULL)
			IS DISTINCT FROM (s.score, s.grade, s.segment, s.stage, s.probability, s.reason_1, s.reason_2, s.reason_3, s.deleted)
		ORDER BY 1, 2
	)
	INSERT INTO leadscore.crm_state AS t (model, lead_id, score, grade, segment, stage, probability, reason_1, reason_2, reason_3, deleted, change_id, changed_at)
	SELECT d.*, nextval('leadscore.crm_change_id_seq'), clock_timestamp()
	FROM difference d
	ON CONFLICT (model, lead_id) DO UPDATE
	SET score = excluded.score, grade = excluded.grade, segment = excluded.segment, stage = excluded.stage, probability = excluded.probability,
		reason_1 = excluded.reason_1, reason_2 = excluded.reason_2, reason_3 = excluded.reason_3,
		deleted = excluded.deleted, change_id = excluded.change_id, changed_at = excluded.changed_at;
	GET DIAGNOSTICS n = ROW_COUNT;
	RETURN n;
END
$$;

COMMENT ON FUNCTION leadscore.refresh_crm() IS 'writes down what has changed in crm_lead, for crm_changes(), and says how many rows';

CREATE VIEW leadscore.crm_lead AS
SELECT c.model, c.lead_id, c.score, c.grade, c.segment, c.stage, c.probability, c.reason_1, c.reason_2, c.reason_3,
	CASE WHEN (c.score, c.grade, c.segment, c.stage, c.probability, c.reason_1, c.reason_2, c.reason_3, false)
		IS NOT DISTINCT FROM (s.score, s.grade, s.segment, s.stage, s.probability, s.reason_1, s.reason_2, s.reason_3, s.deleted)
		THEN s.changed_at ELSE now() END AS changed_at
FROM leadscore.crm_at(now()) c
LEFT JOIN leadscore.crm_state s ON s.model = c.model AND s.lead_id = c.lead_id;

COMMENT ON VIEW leadscore.crm_lead IS 'every lead on every model, as a CRM takes it over, live';
COMMENT ON COLUMN leadscore.crm_lead.model IS 'the model';
COMMENT ON COLUMN leadscore.crm_lead.lead_id IS 'the lead';
COMMENT ON COLUMN leadscore.crm_lead.score IS 'the score, rounded to a whole number';
COMMENT ON COLUMN leadscore.crm_lead.grade IS 'by fit';
COMMENT ON COLUMN leadscore.crm_lead.segment IS 'the first segment whose conditions hold';
COMMENT ON COLUMN leadscore.crm_lead.stage IS 'the furthest stage reached within its window';
COMMENT ON COLUMN leadscore.crm_lead.probability IS 'of a conversion, rounded to hundredths';
COMMENT ON COLUMN leadscore.crm_lead.reason_1 IS 'the signal that weighs most, by its description, with its points, before categories and the model limit them';
COMMENT ON COLUMN leadscore.crm_lead.reason_2 IS 'the one that comes second';
COMMENT ON COLUMN leadscore.crm_lead.reason_3 IS 'the one that comes third';
COMMENT ON COLUMN leadscore.crm_lead.changed_at IS 'when refresh_crm() first found the row as it is; now, if it has not yet';

CREATE FUNCTION leadscore.crm_changes(since bigint DEFAULT 0, n integer DEFAULT NULL)
	RETURNS TABLE (change_id bigint, model text, lead_id text, score numeric, grade text, segment text, stage text, probability numeric,
		reason_1 text, reason_2 text, reason_3 text, deleted boolean, changed_at timestamptz)
	LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT s.change_id, s.model, s.lead_id, s.score, s.grade, s.segment, s.stage, s.probability, s.reason_1, s.reason_2, s.reason_3, s.deleted, s.changed_at
	FROM leadscore.crm_state s
	WHERE s.change_id > coalesce(crm_changes.since, 0)
	-- where row-level security hides leads, what was written down of them is hidden, too
	AND (NOT (SELECT row_security_active('leadscore.lead') OR row_security_active('leadscore.event'))
		OR NOT s.deleted AND leadscore.is_visible(s.lead_id))
	ORDER BY s.change_id
	LIMIT crm_changes.n;
END;

COMMENT ON FUNCTION leadscore.crm_changes(bigint, integer) IS 'the rows that have changed since a change, the first n or all: what to upsert, or delete';

CREATE FUNCTION leadscore.crm_forget(until bigint) RETURNS bigint
	LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	WITH gone AS (DELETE FROM leadscore.crm_state s WHERE s.deleted AND s.change_id <= crm_forget.until RETURNING 1)
	SELECT count(*) FROM gone
$$;

COMMENT ON FUNCTION leadscore.crm_forget(bigint) IS 'drops the deleted leads up to a change that all CRMs have taken over, and says how many rows';

SELECT pg_catalog.pg_extension_config_dump('leadscore.crm_state', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.crm_change_id_seq', '');
-- quality.sql: how good scores and probabilities are: aggregates for any table

-- private functions

CREATE FUNCTION leadscore.ranking_transition(internal, float8, boolean) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION leadscore.ranking_merge(internal, internal) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION leadscore.ranking_serialize(internal) RETURNS bytea
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore.ranking_deserialize(bytea, internal) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore.roc_auc_final(internal) RETURNS float8
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION leadscore.roc_auc_error_final(internal) RETURNS float8
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION leadscore.average_precision_final(internal) RETURNS float8
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION leadscore.ks_final(internal) RETURNS float8
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION leadscore.gains_final(internal) RETURNS float8[]
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION leadscore.bands_final(internal) RETURNS float8[]
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION leadscore.fine_bands_final(internal) RETURNS float8[]
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION leadscore.log_loss_transition(internal, float8, boolean) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION leadscore.brier_transition(internal, float8, boolean) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION leadscore.mean_loss_merge(internal, internal) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION leadscore.mean_loss_serialize(internal) RETURNS bytea
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore.mean_loss_deserialize(bytea, internal) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore.mean_loss_final(internal) RETURNS float8
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION leadscore.ranking_transition(internal, float8, boolean) IS 'aggregate transition function';
COMMENT ON FUNCTION leadscore.ranking_merge(internal, internal) IS 'aggregate combine function';
COMMENT ON FUNCTION leadscore.ranking_serialize(internal) IS 'aggregate serial function';
COMMENT ON FUNCTION leadscore.ranking_deserialize(bytea, internal) IS 'aggregate deserial function';
COMMENT ON FUNCTION leadscore.roc_auc_final(internal) IS 'aggregate final function';
COMMENT ON FUNCTION leadscore.roc_auc_error_final(internal) IS 'aggregate final function';
COMMENT ON FUNCTION leadscore.average_precision_final(internal) IS 'aggregate final function';
COMMENT ON FUNCTION leadscore.ks_final(internal) IS 'aggregate final function';
COMMENT ON FUNCTION leadscore.gains_final(internal) IS 'aggregate final function';
COMMENT ON FUNCTION leadscore.bands_final(internal) IS 'aggregate final function';
COMMENT ON FUNCTION leadscore.fine_bands_final(internal) IS 'aggregate final function';
COMMENT ON FUNCTION leadscore.log_loss_transition(internal, float8, boolean) IS 'aggregate transition function';
COMMENT ON FUNCTION leadscore.brier_transition(internal, float8, boolean) IS 'aggregate transition function';
COMMENT ON FUNCTION leadscore.mean_loss_merge(internal, internal) IS 'aggregate combine function';
COMMENT ON FUNCTION leadscore.mean_loss_serialize(internal) IS 'aggregate serial function';
COMMENT ON FUNCTION leadscore.mean_loss_deserialize(bytea, internal) IS 'aggregate deserial function';
COMMENT ON FUNCTION leadscore.mean_loss_final(internal) IS 'aggregate final function';

-- aggregates: the first seven share their state, so that several of them in one
-- query rank the rows once

CREATE AGGREGATE leadscore.roc_auc(score float8, outcome boolean) (
	SFUNC = leadscore.ranking_transition,
	STYPE = internal,
	SSPACE = 1024,
	FINALFUNC = leadscore.roc_auc_final,
	COMBINEFUNC = leadscore.ranking_merge,
	SERIALFUNC = leadscore.ranking_serialize,
	DESERIALFUNC = leadscore.ranking_deserialize,
	PARALLEL = safe
);

CREATE AGGREGATE leadscore.roc_auc_error(score float8, outcome boolean) (
	SFUNC = leadscore.ranking_transition,
	STYPE = internal,
	SSPACE = 1024,
	FINALFUNC = leadscore.roc_auc_error_final,
	COMBINEFUNC = leadscore.ranking_merge,
	SERIALFUNC = leadscore.ranking_serialize,
	DESERIALFUNC = leadscore.ranking_deserialize,
	PARALLEL = safe
);

CREATE AGGREGATE leadscore.average_precision(score float8, outcome boolean) (
	SFUNC = leadscore.ranking_transition,
	STYPE = internal,
	SSPACE = 1024,
	FINALFUNC = leadscore.average_precision_final,
	COMBINEFUNC = leadscore.ranking_merge,
	SERIALFUNC = leadscore.ranking_serialize,
	DESERIALFUNC = leadscore.ranking_deserialize,
	PARALLEL = safe
);

CREATE AGGREGATE leadscore.ks(score float8, outcome boolean) (
	SFUNC = leadscore.ranking_transition,
	STYPE = internal,
	SSPACE = 1024,
	FINALFUNC = leadscore.ks_final,
	COMBINEFUNC = leadscore.ranking_merge,
	SERIALFUNC = leadscore.ranking_serialize,
	DESERIALFUNC = leadscore.ranking_deserialize,
	PARALLEL = safe
);

CREATE AGGREGATE leadscore.gains(score float8, outcome boolean) (
	SFUNC = leadscore.ranking_transition,
	STYPE = internal,
	SSPACE = 1024,
	FINALFUNC = leadscore.gains_final,
	COMBINEFUNC = leadscore.ranking_merge,
	SERIALFUNC = leadscore.ranking_serialize,
	DESERIALFUNC = leadscore.ranking_deserialize,
	PARALLEL = safe
);

CREATE AGGREGATE leadscore.bands(score float8, outcome boolean) (
	SFUNC = leadscore.ranking_transition,
	STYPE = internal,
	SSPACE = 1024,
	FINALFUNC = leadscore.bands_final,
	COMBINEFUNC = leadscore.ranking_merge,
	SERIALFUNC = leadscore.ranking_serialize,
	DESERIALFUNC = leadscore.ranking_deserialize,
	PARALLEL = safe
);

CREATE AGGREGATE leadscore.fine_bands(score float8, outcome boolean) (
	SFUNC = leadscore.ranking_transition,
	STYPE = internal,
	SSPACE = 1024,
	FINALFUNC = leadscore.fine_bands_final,
	COMBINEFUNC = leadscore.ranking_merge,
	SERIALFUNC = leadscore.ranking_serialize,
	DESERIALFUNC = leadscore.ranking_deserialize,
	PARALLEL = safe
);

CREATE AGGREGATE leadscore.log_loss(probability float8, outcome boolean) (
	SFUNC = leadscore.log_loss_transition,
	STYPE = internal,
	SSPACE = 64,
	FINALFUNC = leadscore.mean_loss_final,
	COMBINEFUNC = leadscore.mean_loss_merge,
	SERIALFUNC = leadscore.mean_loss_serialize,
	DESERIALFUNC = leadscore.mean_loss_deserialize,
	PARALLEL = safe
);

CREATE AGGREGATE leadscore.brier(probability float8, outcome boolean) (
	SFUNC = leadscore.brier_transition,
	STYPE = internal,
	SSPACE = 64,
	FINALFUNC = leadscore.mean_loss_final,
	COMBINEFUNC = leadscore.mean_loss_merge,
	SERIALFUNC = leadscore.mean_loss_serialize,
	DESERIALFUNC = leadscore.mean_loss_deserialize,
	PARALLEL = safe
);

COMMENT ON AGGREGATE leadscore.roc_auc(float8, boolean) IS 'the area under the ROC curve: how often one who converts has the higher score';
COMMENT ON AGGREGATE leadscore.roc_auc_error(float8, boolean) IS 'the standard error of roc_auc()';
COMMENT ON AGGREGATE leadscore.average_precision(float8, boolean) IS 'the area under the precision-recall curve, step by step';
COMMENT ON AGGREGATE leadscore.ks(float8, boolean) IS 'how far the score distributions of both outcomes lie apart at the most';
COMMENT ON AGGREGATE leadscore.gains(float8, boolean) IS 'rows, conversions, lowest, highest and mean score of each tenth of the rows';
COMMENT ON AGGREGATE leadscore.bands(float8, boolean) IS 'rows without and with a conversion in each of at most five bands of scores';
COMMENT ON AGGREGATE leadscore.fine_bands(float8, boolean) IS 'rows without and with a conversion, and the lower border, of each of about twenty bands of scores';
COMMENT ON AGGREGATE leadscore.log_loss(float8, boolean) IS 'the mean of minus the natural logarithm of the probability that the outcome was given';
COMMENT ON AGGREGATE leadscore.brier(float8, boolean) IS 'the mean squared distance of the probability from the outcome';
-- learn.sql: what happened after what was known: training sets, and how good a
-- model would have been

-- private functions

CREATE FUNCTION leadscore.outcome(timeline leadscore.timeline, signal_id integer, cutoff timestamptz, horizon_hours integer, active_hours integer) RETURNS timestamptz
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 5;

CREATE FUNCTION leadscore.past_score(scorecard jsonb, timeline leadscore.timeline, profile jsonb, cutoff timestamptz) RETURNS float8
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 10;

CREATE FUNCTION leadscore.past_probability(scorecard jsonb, timeline leadscore.timeline, profile jsonb, cutoff timestamptz) RETURNS float8
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 10;

CREATE FUNCTION leadscore.past_features(scorecard jsonb, timeline leadscore.timeline, profile jsonb, cutoff timestamptz) RETURNS float8[]
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 20;

COMMENT ON FUNCTION leadscore.outcome(leadscore.timeline, integer, timestamptz, integer, integer)
	IS 'when a conversion came within the horizon; infinity: it did not; NULL: the lead was not active before the cutoff';
COMMENT ON FUNCTION leadscore.past_score(jsonb, leadscore.timeline, jsonb, timestamptz) IS 'score of what was known before the hour of the cutoff, as of then';
COMMENT ON FUNCTION leadscore.past_probability(jsonb, leadscore.timeline, jsonb, timestamptz) IS 'probability by what was known before the hour of the cutoff; NULL where the scorecard has none';
COMMENT ON FUNCTION leadscore.past_features(jsonb, leadscore.timeline, jsonb, timestamptz) IS 'features of what was known before the hour of the cutoff, as of then';

CREATE FUNCTION leadscore.conversion_id(scorecard jsonb, conversion text, OUT signal_id integer)
	LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	subject text;
	names text[];
BEGIN
	SELECT coalesce(c.subject, 'event'), c.signal_id::integer INTO subject, signal_id
	FROM jsonb_to_recordset(nullif(scorecard -> 'signals', 'null')) AS c (signal text, subject text, signal_id numeric)
	WHERE c.signal = conversion;
	IF subject IS NULL OR subject = 'event' AND signal_id IS NULL THEN
		SELECT s.subject, s.signal_id INTO subject, signal_id FROM leadscore.signal s WHERE s.signal = conversion;
	END IF;
	IF subject IS DISTINCT FROM 'event' THEN
		names := ARRAY(
			SELECT c.signal FROM jsonb_to_recordset(nullif(scorecard -> 'signals', 'null')) AS c (signal text, subject text)
			WHERE c.subject IS DISTINCT FROM 'profile'
			UNION SELECT s.signal FROM leadscore.signal s WHERE s.subject = 'event' ORDER BY 1);
		IF subject IS NULL THEN
			RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('signal "%s" does not exist', conversion),
				DETAIL = 'It is to be the conversion, but neither the scorecard nor leadscore.signal has it.',
				HINT = leadscore.known('event signals'::text, names);
		END IF;
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('signal "%s" cannot be a conversion', conversion),
			DETAIL = 'It is a profile signal, and a conversion is something that happens.',
			HINT = leadscore.known('event signals'::text, names);
	END IF;
END
$$;
COMMENT ON FUNCTION leadscore.conversion_id(jsonb, text) IS 'the number of a conversion''s signal: the scorecard''s, or else the one it has here';

CREATE FUNCTION leadscore.check_outcome(scorecard jsonb, conversion text, horizon interval, cutoffs timestamptz[], active_within interval,
	OUT signal_id integer, OUT horizon_hours integer, OUT active_hours integer, OUT profiles boolean)
	LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	missing CONSTANT text := CASE WHEN scorecard IS NULL THEN 'scorecard' WHEN conversion IS NULL THEN 'conversion'
		WHEN horizon IS NULL THEN 'horizon' WHEN cutoffs IS NULL THEN 'cutoffs' END;
	one record;
	latest timestamptz;
BEGIN
	IF missing IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = format('the argument "%s" is NULL', missing),
			DETAIL = 'What is to be foretold is said by a scorecard, a conversion, a horizon and cutoffs.',
			HINT = 'Such as (leadscore.scorecard(), ''purchase'', ''30 days'', ARRAY[now() - interval ''30 days'']).';
	END IF;
	PERFORM leadscore.check_scorecard(scorecard);

	signal_id := leadscore.conversion_id(scorecard, conversion);

	horizon_hours := leadscore.duration_hours('horizon'::text, horizon, 'Write a duration such as 30 days.'::text);
	active_hours := leadscore.duration_hours('active_within'::text, active_within, 'Write a duration such as 90 days, or NULL for all leads.'::text);

	IF cardinality(cutoffs) = 0 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'there is no cutoff',
			DETAIL = 'The array of cutoffs is empty.', HINT = 'Write at least one, such as ARRAY[now() - interval ''30 days''].';
	END IF;
	FOR one IN SELECT u.cutoff, u.n FROM unnest(cutoffs) WITH ORDINALITY AS u (cutoff, n) ORDER BY u.n LOOP
		IF one.cutoff IS NULL THEN
			RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = format('cutoff %s is NULL', one.n),
				DETAIL = 'A cutoff is the instant that divides what was known from what came.', HINT = 'Leave it out of the array.';
		ELSIF one.cutoff > now() THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('cutoff %s lies in the future', one.n),
				DETAIL = format('It is %s.', one.cutoff), HINT = 'Take cutoffs that are at least the horizon ago.';
		ELSIF NOT (one.cutoff >= '1970-01-01 00:00Z') THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('cutoff %s is out of range', one.n),
				DETAIL = format('It is %s.', one.cutoff), HINT = 'Events lie in the years from 1970 on (UTC).';
		ELSIF one.cutoff < (SELECT c.compacted_before FROM leadscore.compaction c) AND date_trunc('hour', one.cutoff, 'UTC') <> date_trunc('day', one.cutoff, 'UTC') THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('cutoff %s lies within a compacted day', one.n),
				DETAIL = format('It is %s, and of that day it is no longer known what came before and what after.', one.cutoff), HINT = 'Take the beginning of a UTC day.';
		ELSIF EXISTS (SELECT FROM leadscore.compaction c, LATERAL (SELECT date_trunc('hour', one.cutoff, 'UTC') + horizon_hours * interval '1 hour' AS ends) h
				WHERE h.ends < c.compacted_before AND h.ends <> date_trunc('day', h.ends, 'UTC')) THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('the horizon of cutoff %s ends within a compacted day', one.n),
				DETAIL = format('The horizon is %s, and of that day it is no longer known what came before and what after.', horizon), HINT = 'Take a horizon of whole days.';
		ELSIF one.cutoff <= latest THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'cutoffs are out of order',
				DETAIL = format('Cutoff %s is %s, and the one before it is %s.', one.n, one.cutoff, latest),
				HINT = 'Write each once, the earliest first.';
		END IF;
		latest := one.cutoff;
	END LOOP;

	profiles := EXISTS (
		SELECT FROM jsonb_to_recordset(nullif(scorecard -> 'signals', 'null')) AS c (subject text) WHERE c.subject = 'profile');
END
$$;

COMMENT ON FUNCTION leadscore.check_outcome(jsonb, text, interval, timestamptz[], interval)
	IS 'what is to be foretold, checked: the conversion''s number, the windows in hours, and whether profiles matter';

CREATE FUNCTION leadscore.examples(signal_id integer, horizon_hours integer, active_hours integer, profiles boolean, cutoffs timestamptz[])
	RETURNS TABLE (lead_id text, cutoff timestamptz, timeline leadscore.timeline, profile jsonb, outcome timestamptz)
	LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT x.lead_id, x.cutoff, x.timeline, x.profile, x.outcome
	FROM (
		SELECT s.lead_id, c.cutoff, s.timeline, s.profile,
			leadscore.outcome(s.timeline, examples.signal_id, c.cutoff, horizon_hours, active_hours) AS outcome
		FROM (
			SELECT t.lead_id, t.timeline, l.profile
			FROM leadscore.current_timeline t LEFT JOIN leadscore.lead l ON profiles AND l.lead_id = t.lead_id
			UNION ALL
			SELECT l.lead_id, NULL, l.profile
			FROM leadscore.lead l
			WHERE active_hours IS NULL
			AND NOT EXISTS (SELECT FROM leadscore.current_timeline t WHERE t.lead_id = l.lead_id)
			AND NOT EXISTS (SELECT FROM leadscore.lead_alias a WHERE a.alias = l.lead_id)
		) s
		CROSS JOIN unnest(cutoffs) AS c (cutoff)
		-- where row-level security hides leads or events from the user, it hides what can be learned from them
		WHERE NOT (SELECT row_security_active('leadscore.lead') OR row_security_active('leadscore.event'))
		OR leadscore.is_visible(s.lead_id)
		OFFSET 0
	) x
	WHERE x.outcome IS NOT NULL;
END;

COMMENT ON FUNCTION leadscore.examples(integer, integer, integer, boolean, timestamptz[])
	IS 'each lead that counts at each cutoff, and when the conversion came within the horizon (infinity: it did not)';

CREATE FUNCTION leadscore.warn_of_censoring(signal_id integer, horizon_hours integer, active_hours integer, cutoffs timestamptz[]) RETURNS void
	LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	latest CONSTANT timestamptz := date_trunc('hour', (SELECT max(c) FROM unnest(cutoffs) c), 'UTC') + horizon_hours * interval '1 hour';
	last_hour timestamptz;
	data_end timestamptz := latest;
	n bigint;
	censored bigint;
BEGIN
	-- most often the first few timelines show that there are events up to the end
	IF NOT EXISTS (SELECT FROM leadscore.current_timeline t WHERE leadscore.timeline_last_hour(t.timeline) >= latest - interval '1 hour') THEN
		SELECT max(leadscore.timeline_last_hour(t.timeline)) INTO last_hour FROM leadscore.current_timeline t;
		data_end := last_hour + interval '1 hour';
	END IF;
	data_end := least(data_end, now());
	IF data_end >= latest THEN
		RETURN;
	END IF;
	SELECT count(*), count(*) FILTER (WHERE e.outcome = 'infinity'
		AND date_trunc('hour', e.cutoff, 'UTC') + horizon_hours * interval '1 hour' > data_end)
	INTO n, censored
	FROM leadscore.examples(signal_id, horizon_hours, active_hours, false, cutoffs) e;
	IF censored > 0 THEN
		RAISE WARNING USING MESSAGE = format('the horizon reaches past the end of the data for %s %% of the leads', round(100.0 * censored / n, 1)),
			DETAIL = format('Of %s of %s it is not known whether they convert within the horizon: the data end at %s. They count as not converted.',
				censored, n, data_end),
			HINT = format('Take cutoffs up to %s, or a shorter horizon.', data_end - horizon_hours * interval '1 hour');
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore.warn_of_censoring(integer, integer, integer, timestamptz[]) IS 'warns where the data end before the horizon does';

-- training sets

CREATE FUNCTION leadscore.training_set(scorecard jsonb, conversion text, horizon interval, cutoffs timestamptz[], active_within interval DEFAULT '90 days')
	RETURNS TABLE (lead_id text, cutoff timestamptz, converted boolean, converted_at timestamptz, features float8[], score float8)
	LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	q record;
BEGIN
	q := leadscore.check_outcome(scorecard, conversion, horizon, cutoffs, active_within);
	PERFORM leadscore.warn_of_censoring(q.signal_id, q.horizon_hours, q.active_hours, cutoffs);
	RETURN QUERY
		SELECT e.lead_id, e.cutoff, e.outcome < 'infinity', nullif(e.outcome, 'infinity'),
			leadscore.past_features(training_set.scorecard, e.timeline, e.profile, e.cutoff),
			leadscore.past_score(training_set.scorecard, e.timeline, e.profile, e.cutoff)
		FROM leadscore.examples(q.signal_id, q.horizon_hours, q.active_hours, q.profiles, training_set.cutoffs) e;
END
$$;

COMMENT ON FUNCTION leadscore.training_set(jsonb, text, interval, timestamptz[], interval)
	IS 'what was known of each lead at each cutoff, and whether it converted within the horizon';

-- quality

CREATE TYPE leadscore.assessment AS (
	leads bigint,
	conversions bigint,
	auc float8,
	auc_error float8,
	average_precision float8,
	ks float8,
	log_loss float8,
	brier float8,
	tenths float8[]
);

COMMENT ON TYPE leadscore.assessment IS 'how well a scorecard tells those who converted from those who did not';
COMMENT ON COLUMN leadscore.assessment.leads IS 'how many leads';
COMMENT ON COLUMN leadscore.assessment.conversions IS 'how many of them converted';
COMMENT ON COLUMN leadscore.assessment.auc IS 'roc_auc() of the score';
COMMENT ON COLUMN leadscore.assessment.auc_error IS 'its standard error';
COMMENT ON COLUMN leadscore.assessment.average_precision IS 'average_precision() of the score';
COMMENT ON COLUMN leadscore.assessment.ks IS 'ks() of the score';
COMMENT ON COLUMN leadscore.assessment.log_loss IS 'log_loss() of the probability, where there is one';
COMMENT ON COLUMN leadscore.assessment.brier IS 'brier() of the probability, where there is one';
COMMENT ON COLUMN leadscore.assessment.tenths IS 'gains() of the score';

CREATE FUNCTION leadscore.assess_transition(internal, jsonb, leadscore.timeline, jsonb, timestamptz, boolean) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 10;

CREATE FUNCTION leadscore.assess_merge(internal, internal) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION leadscore.assess_serialize(internal) RETURNS bytea
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore.assess_deserialize(bytea, internal) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore.assess_final(internal) RETURNS leadscore.assessment
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION leadscore.assess_transition(internal, jsonb, leadscore.timeline, jsonb, timestamptz, boolean) IS 'aggregate transition function';
COMMENT ON FUNCTION leadscore.assess_merge(internal, internal) IS 'aggregate combine function';
COMMENT ON FUNCTION leadscore.assess_serialize(internal) IS 'aggregate serial function';
COMMENT ON FUNCTION leadscore.assess_deserialize(bytea, internal) IS 'aggregate deserial function';
COMMENT ON FUNCTION leadscore.assess_final(internal) IS 'aggregate final function';

CREATE AGGREGATE leadscore.assess(scorecard jsonb, timeline leadscore.timeline, profile jsonb, cutoff timestamptz, converted boolean) (
	SFUNC = leadscore.assess_transition,
	STYPE = internal,
	SSPACE = 8192,
	FINALFUNC = leadscore.assess_final,
	COMBINEFUNC = leadscore.assess_merge,
	SERIALFUNC = leadscore.assess_serialize,
	DESERIALFUNC = leadscore.assess_deserialize,
	PARALLEL = safe
);

COMMENT ON AGGREGATE leadscore.assess(jsonb, leadscore.timeline, jsonb, timestamptz, boolean)
	IS 'how well scores of what was known before the hour of the cutoff foretell a conversion';

CREATE FUNCTION leadscore.evaluate(scorecard jsonb, conversion text, horizon interval, cutoffs timestamptz[], active_within interval DEFAULT '90 days',
	OUT leads bigint, OUT conversions bigint, OUT base_rate float8, OUT auc float8, OUT auc_low float8, OUT auc_high float8,
	OUT average_precision float8, OUT log_loss float8, OUT brier float8, OUT ks float8, OUT lift_10 float8)
	LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	z CONSTANT float8 := 1.959963984540054;	-- 97.5 % of a normal distribution lie below it
	q record;
	a leadscore.assessment;
BEGIN
	q := leadscore.check_outcome(scorecard, conversion, horizon, cutoffs, active_within);
	PERFORM leadscore.warn_of_censoring(q.signal_id, q.horizon_hours, q.active_hours, cutoffs);
	a := (
		SELECT leadscore.assess(evaluate.scorecard, e.timeline, e.profile, e.cutoff, e.outcome < 'infinity')
		FROM leadscore.examples(q.signal_id, q.horizon_hours, q.active_hours, q.profiles, evaluate.cutoffs) e);
	leads := a.leads;
	conversions := a.conversions;
	base_rate := a.conversions / nullif(a.leads, 0)::float8;
	auc := a.auc;
	IF a.auc_error IS NOT NULL THEN
		auc_low := greatest(auc - z * a.auc_error, 0);
		auc_high := least(auc + z * a.auc_error, 1);
	END IF;
	average_precision := a.average_precision;
	log_loss := a.log_loss;
	brier := a.brier;
	ks := a.ks;
	lift_10 := a.tenths[1][2] / a.tenths[1][1] / nullif(base_rate, 0);
END
$$;

COMMENT ON FUNCTION leadscore.evaluate(jsonb, text, interval, timestamptz[], interval)
	IS 'how well a scorecard would have foretold a conversion';

CREATE FUNCTION leadscore.lift_table(scorecard jsonb, conversion text, horizon interval, cutoffs timestamptz[], active_within interval DEFAULT '90 days')
	RETURNS TABLE (decile integer, leads float8, conversions float8, rate float8, lift float8, captured float8, min_score float8, max_score float8)
	LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 10 SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	q record;
	a leadscore.assessment;
BEGIN
	q := leadscore.check_outcome(scorecard, conversion, horizon, cutoffs, active_within);
	PERFORM leadscore.warn_of_censoring(q.signal_id, q.horizon_hours, q.active_hours, cutoffs);
	a := (
		SELECT leadscore.assess(lift_table.scorecard, e.timeline, e.profile, e.cutoff, e.outcome < 'infinity')
		FROM leadscore.examples(q.signal_id, q.horizon_hours, q.active_hours, q.profiles, lift_table.cutoffs) e);
	RETURN QUERY
		SELECT i, a.tenths[i][1], a.tenths[i][2], a.tenths[i][2] / a.tenths[i][1], a.tenths[i][2] / a.tenths[i][1] / nullif(a.conversions / nullif(a.leads, 0)::float8, 0),
			sum(a.tenths[i][2]) OVER (ORDER BY i) / nullif(a.conversions, 0), a.tenths[i][3], a.tenths[i][4]
		FROM generate_series(1, array_length(a.tenths, 1)) i ORDER BY i;
END
$$;

COMMENT ON FUNCTION leadscore.lift_table(jsonb, text, interval, timestamptz[], interval)
	IS 'conversions by tenths of the leads, the highest scores first';

CREATE FUNCTION leadscore.calibration_table(scorecard jsonb, conversion text, horizon interval, cutoffs timestamptz[], active_within interval DEFAULT '90 days')
	RETURNS TABLE (bin integer, leads float8, predicted float8, observed float8, observed_low float8, observed_high float8,
		min_probability float8, max_probability float8)
	LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 10 SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	z CONSTANT float8 := 1.959963984540054;	-- 97.5 % of a normal distribution lie below it
	q record;
	tenths float8[];
BEGIN
	q := leadscore.check_outcome(scorecard, conversion, horizon, cutoffs, active_within);
	IF coalesce(scorecard -> 'intercept', 'null') = 'null' OR coalesce(scorecard -> 'slope', 'null') = 'null' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'the scorecard gives no probabilities',
			DETAIL = 'It has no intercept, or no slope.', HINT = 'Set both in the document.';
	END IF;
	PERFORM leadscore.warn_of_censoring(q.signal_id, q.horizon_hours, q.active_hours, cutoffs);
	tenths := (
		SELECT leadscore.gains(leadscore.past_probability(calibration_table.scorecard, e.timeline, e.profile, e.cutoff), e.outcome < 'infinity')
		FROM leadscore.examples(q.signal_id, q.horizon_hours, q.active_hours, q.profiles, calibration_table.cutoffs) e);
	IF tenths IS NULL THEN
		RETURN;
	END IF;
	-- the interval: E. B. Wilson, Journal of the American Statistical Association 22, 1927
	RETURN QUERY
		SELECT 11 - i, n, tenths[i][5], rate,
			greatest(0, (rate + z ^ 2 / (2 * n) - z * sqrt(rate * (1 - rate) / n + z ^ 2 / (4 * n ^ 2))) / (1 + z ^ 2 / n)),
			least(1, (rate + z ^ 2 / (2 * n) + z * sqrt(rate * (1 - rate) / n + z ^ 2 / (4 * n ^ 2))) / (1 + z ^ 2 / n)),
			tenths[i][3], tenths[i][4]
		FROM generate_series(1, 10) i
		CROSS JOIN LATERAL (SELECT tenths[i][1] AS n, least(1, greatest(0, tenths[i][2] / tenths[i][1])) AS rate) r
		ORDER BY i DESC;
END
$$;

COMMENT ON FUNCTION leadscore.calibration_table(jsonb, text, interval, timestamptz[], interval)
	IS 'predicted and observed conversions by tenths of the leads, the lowest probabilities first';
-- fit.sql: points from what happened

-- regression

CREATE TYPE leadscore.regression AS (
	rows bigint,
	conversions bigint,
	intercept float8,
	intercept_error float8,
	coefficients float8[],
	standard_errors float8[],
	dropped text[],
	separated boolean[],
	log_likelihood float8,
	iterations integer
);

COMMENT ON TYPE leadscore.regression IS 'a fitted logistic regression: ln(p / (1 - p)) = intercept + sum of coefficient * feature';
COMMENT ON COLUMN leadscore.regression.rows IS 'rows that it was fitted to';
COMMENT ON COLUMN leadscore.regression.conversions IS 'how many of them converted';
COMMENT ON COLUMN leadscore.regression.intercept IS 'the logarithm of the odds where all features are 0';
COMMENT ON COLUMN leadscore.regression.intercept_error IS 'its standard error';
COMMENT ON COLUMN leadscore.regression.coefficients IS 'what one unit of each feature adds; 0 if it was dropped';
COMMENT ON COLUMN leadscore.regression.standard_errors IS 'of the coefficients; 0 if the feature was dropped';
COMMENT ON COLUMN leadscore.regression.dropped IS 'why a feature was dropped: constant, collinear, separated, sign; NULL: it was not';
COMMENT ON COLUMN leadscore.regression.separated IS 'whether a feature tells the outcomes apart by itself, so that only the penalty bounds its coefficient';
COMMENT ON COLUMN leadscore.regression.log_likelihood IS 'at the coefficients, without the penalty';
COMMENT ON COLUMN leadscore.regression.iterations IS 'Newton steps';

CREATE FUNCTION leadscore.regression_transition(internal, float8[], boolean, float8, float8[]) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION leadscore.regression_merge(internal, internal) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION leadscore.regression_serialize(internal) RETURNS bytea
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore.regression_deserialize(bytea, internal) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore.regression_final(internal) RETURNS leadscore.regression
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION leadscore.regression_transition(internal, float8[], boolean, float8, float8[]) IS 'aggregate transition function';
COMMENT ON FUNCTION leadscore.regression_merge(internal, internal) IS 'aggregate combine function';
COMMENT ON FUNCTION leadscore.regression_serialize(internal) IS 'aggregate serial function';
COMMENT ON FUNCTION leadscore.regression_deserialize(bytea, internal) IS 'aggregate deserial function';
COMMENT ON FUNCTION leadscore.regression_final(internal) IS 'aggregate final function';

CREATE AGGREGATE leadscore.logistic_regression(features float8[], outcome boolean, l2 float8, signs float8[]) (
	SFUNC = leadscore.regression_transition,
	STYPE = internal,
	SSPACE = 8192,
	FINALFUNC = leadscore.regression_final,
	COMBINEFUNC = leadscore.regression_merge,
	SERIALFUNC = leadscore.regression_serialize,
	DESERIALFUNC = leadscore.regression_deserialize,
	PARALLEL = safe
);

COMMENT ON AGGREGATE leadscore.logistic_regression(float8[], boolean, float8, float8[])
	IS 'regularised logistic regression; NULL if the rows are not of both outcomes';

-- private functions

CREATE FUNCTION leadscore.past_points(scorecard jsonb, timeline leadscore.timeline, profile jsonb, cutoff timestamptz) RETURNS float8[]
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 20;

COMMENT ON FUNCTION leadscore.past_points(jsonb, leadscore.timeline, jsonb, timestamptz) IS 'what each weight was worth by what was known before the hour of the cutoff';

-- Points add up without bounds on sums of them; a weight of no points gets one, and no bounds of its own.
CREATE FUNCTION leadscore.unbounded(scorecard jsonb) RETURNS jsonb
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT scorecard - '{floor,ceiling}'::text[]
		|| jsonb_build_object('weights', (SELECT coalesce(jsonb_agg(CASE WHEN (w.weight -> 'points')::float8 = 0
				THEN w.weight - '{min_points,max_points}'::text[] || '{"points": 1}' ELSE w.weight END ORDER BY w.n), '[]')
			FROM jsonb_array_elements(nullif(scorecard -> 'weights', 'null')) WITH ORDINALITY AS w (weight, n)))
		|| CASE WHEN jsonb_typeof(scorecard -> 'categories') = 'array'
			THEN jsonb_build_object('categories', (SELECT coalesce(jsonb_agg(c.category - '{min_points,max_points}'::text[] ORDER BY c.n), '[]')
				FROM jsonb_array_elements(scorecard -> 'categories') WITH ORDINALITY AS c (category, n)))
			ELSE '{}' END
$$;

COMMENT ON FUNCTION leadscore.unbounded(jsonb) IS 'a scorecard without floor, ceiling and bounds of categories, and without weights of no points';

CREATE FUNCTION leadscore.with_points(scorecard jsonb, factors float8[], round_to float8) RETURNS jsonb
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT scorecard || jsonb_build_object('weights', (
		SELECT coalesce(jsonb_agg(w.weight - '{min_points,max_points}'::text[]
			|| jsonb_build_object('points', p.points)
			-- bounds keep their place on what is measured, and change ends with the sign
			|| CASE WHEN p.points = 0 THEN '{}' ELSE jsonb_strip_nulls(jsonb_build_object(
				'min_points', CASE WHEN p.factor > 0 THEN b.min_points ELSE b.max_points END * p.factor,
				'max_points', CASE WHEN p.factor > 0 THEN b.max_points ELSE b.min_points END * p.factor)) END
			ORDER BY w.n), '[]')
		FROM jsonb_array_elements(scorecard -> 'weights') WITH ORDINALITY AS w (weight, n)
		CROSS JOIN LATERAL jsonb_to_record(w.weight) AS b (points float8, min_points float8, max_points float8)
		CROSS JOIN LATERAL (SELECT r.points, r.points / b.points AS factor
			FROM (SELECT CASE WHEN round_to IS NULL THEN b.points * factors[w.n]
				ELSE (round((b.points * factors[w.n] / round_to)::numeric) * round_to::numeric)::float8 END AS points) r) p))
$$;

COMMENT ON FUNCTION leadscore.with_points(jsonb, float8[], float8) IS 'a scorecard whose weights'' points are multiplied, and rounded';

-- fit

CREATE FUNCTION leadscore.fit(scorecard jsonb, conversion text, horizon interval, cutoffs timestamptz[],
	l2 float8 DEFAULT 1, points_to_double_odds float8 DEFAULT 20, keep_signs boolean DEFAULT false, round_to float8 DEFAULT NULL,
	active_within interval DEFAULT '90 days', bins boolean DEFAULT false, decay text DEFAULT 'keep',
	profile boolean DEFAULT false) RETURNS jsonb
	LANGUAGE plpgsql STABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp SET extra_float_digits = 1 SET IntervalStyle = 'postgres' SET TimeZone = 'UTC' SET jit = off
AS $$
DECLARE
	slope float8;
	q record;
	card jsonb := scorecard;	-- with the bands and half-lives that are chosen
	card_part jsonb := scorecard;	-- with those that the part would have
	bare jsonb;
	bare_part jsonb;
	choice record;
	chosen jsonb := '{}';
	signs float8[];
	signs_part float8[];
	r record;
	whole leadscore.regression;
	part leadscore.regression;		-- of seven leads in ten
	scale leadscore.regression;		-- of rounded points
	fitted jsonb;
	trial jsonb;
	intercept float8;
	auc record;
BEGIN
	q := leadscore.check_outcome(scorecard, conversion, horizon, cutoffs, active_within);
	IF NOT (l2 >= 0 AND l2 < 'Infinity') OR l2 IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'l2 is below zero, or no number',
			DETAIL = format('The penalty is %s.', coalesce(l2::text, 'NULL')), HINT = 'Write a number such as 1; 0 is no penalty.';
	END IF;
	IF NOT (points_to_double_odds > 0 AND points_to_double_odds < 'Infinity') OR points_to_double_odds IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'points_to_double_odds is not above zero, or no number',
			DETAIL = format('The value is %s.', coalesce(points_to_double_odds::text, 'NULL')), HINT = 'Write a number such as 20.';
	END IF;
	IF NOT (round_to > 0 AND round_to < 'Infinity') THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'round_to is not above zero, or no number',
			DETAIL = format('The value is %s.', round_to), HINT = 'Write a number such as 1, or NULL to leave points as they are.';
	END IF;
	IF coalesce(decay, 'keep') NOT IN ('keep', 'learn') THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'decay is unknown',
			DETAIL = format('The value is %s.', decay), HINT = 'Write keep or learn.';
	END IF;
	PERFORM leadscore.warn_of_censoring(q.signal_id, q.horizon_hours, q.active_hours, cutoffs);

	-- what is chosen by the outcomes is chosen again for the part, which is to be judged by leads that had no say in it
	IF profile THEN
		q.profiles := true;
		choice := leadscore.with_profile(card, q.signal_id, q.horizon_hours, q.active_hours, cutoffs, false);
		chosen := chosen || jsonb_build_object('profile', choice.proposed);
		card := choice.card;
		choice := leadscore.with_profile(scorecard, q.signal_id, q.horizon_hours, q.active_hours, cutoffs, true);
		card_part := choice.card;
	END IF;
	bare := leadscore.unbounded(card);
	IF jsonb_array_length(bare -> 'weights') = 0 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'the scorecard has no weights',
			DETAIL = 'There are no points to be found.', HINT = 'Add weights to the document; their points may be 0.';
	END IF;
	slope := ln(2::float8) / points_to_double_odds;
	IF bins THEN
		card := leadscore.measured_once(card);
		card_part := leadscore.measured_once(card_part);
	END IF;
	IF decay = 'learn' THEN
		choice := leadscore.learn_decay(card, q.signal_id, q.horizon_hours, q.active_hours, q.profiles, cutoffs, l2, false);
		card := choice.card;
		chosen := chosen || jsonb_build_object('decay', choice.decay);
		choice := leadscore.learn_decay(card_part, q.signal_id, q.horizon_hours, q.active_hours, q.profiles, cutoffs, l2, true);
		card_part := choice.card;
	END IF;
	IF bins THEN
		choice := leadscore.with_bands(card, q.signal_id, q.horizon_hours, q.active_hours, q.profiles, cutoffs, false);
		card := choice.card;
		chosen := chosen || jsonb_build_object('bins', choice.bins);
		choice := leadscore.with_bands(card_part, q.signal_id, q.horizon_hours, q.active_hours, q.profiles, cutoffs, true);
		card_part := choice.card;
	END IF;
	bare := leadscore.unbounded(card);
	bare_part := leadscore.unbounded(card_part);
	-- a weight's worth has the sign of its points, so all factors are to be positive
	IF keep_signs THEN
		SELECT array_agg(CASE WHEN (w.weight -> 'points')::float8 = 0 THEN 0 ELSE 1 END ORDER BY w.n) INTO signs
		FROM jsonb_array_elements(card -> 'weights') WITH ORDINALITY AS w (weight, n);
		SELECT array_agg(CASE WHEN (w.weight -> 'points')::float8 = 0 THEN 0 ELSE 1 END ORDER BY w.n) INTO signs_part
		FROM jsonb_array_elements(card_part -> 'weights') WITH ORDINALITY AS w (weight, n);
	END IF;

	SELECT count(*) AS leads, count(*) FILTER (WHERE x.converted) AS conversions,
		leadscore.logistic_regression(x.points, x.converted, l2, signs) AS whole,
		leadscore.logistic_regression(coalesce(x.points_part, x.points), x.converted, l2, signs_part) FILTER (WHERE x.learned) AS part
	INTO r
	FROM (
		SELECT leadscore.past_points(bare, e.timeline, e.profile, e.cutoff) AS points,
			CASE WHEN bare_part <> bare THEN leadscore.past_points(bare_part, e.timeline, e.profile, e.cutoff) END AS points_part, e.outcome < 'infinity' AS converted,
			hashtextextended(e.lead_id, 0) & 1023 < 717 AS learned
		FROM leadscore.examples(q.signal_id, q.horizon_hours, q.active_hours, q.profiles, fit.cutoffs) e OFFSET 0
	) x;
	whole := r.whole;
	part := r.part;
	IF whole.rows IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'there is nothing to learn from',
			DETAIL = format('Of %s leads at the cutoffs %s converted within the horizon.', r.leads, r.conversions),
			HINT = 'Fitting needs leads that converted and leads that did not: choose other cutoffs, another horizon or another conversion.';
	END IF;

	intercept := whole.intercept;
	fitted := leadscore.with_points(bare, ARRAY(SELECT f.b / slope FROM unnest(whole.coefficients) WITH ORDINALITY AS f (b, i) ORDER BY f.i), round_to);
	IF part.rows IS NOT NULL THEN
		trial := leadscore.with_points(bare_part, ARRAY(SELECT f.b / slope FROM unnest(part.coefficients) WITH ORDINALITY AS f (b, i) ORDER BY f.i), round_to);
	END IF;

	-- as they would be used: rounded points are given the intercept and slope that fit them; the part by what it has not seen
	SELECT leadscore.logistic_regression(ARRAY[x.score], x.converted, l2, NULL::float8[]) FILTER (WHERE round_to IS NOT NULL) AS scale,
		leadscore.roc_auc(x.score, x.converted) AS whole, leadscore.roc_auc(x.trial, x.converted) FILTER (WHERE x.learned) AS in_sample,
		leadscore.roc_auc(x.trial, x.converted) FILTER (WHERE NOT x.learned) AS out_of_sample
	INTO auc
	FROM (
		SELECT leadscore.past_score(fitted, e.timeline, e.profile, e.cutoff) AS score,
			leadscore.past_score(trial, e.timeline, e.profile, e.cutoff) AS trial,
			e.outcome < 'infinity' AS converted, hashtextextended(e.lead_id, 0) & 1023 < 717 AS learned
		FROM leadscore.examples(q.signal_id, q.horizon_hours, q.active_hours, q.profiles, fit.cutoffs) e OFFSET 0
	) x;
	scale := auc.scale;
	IF scale.rows IS NOT NULL THEN
		intercept := scale.intercept;
		-- where rounding has left no points, the base rate is all there is
		IF scale.dropped[1] IS NULL THEN
			slope := scale.coefficients[1];
		END IF;
	END IF;

	RETURN fitted || jsonb_build_object('intercept', intercept, 'slope', slope, 'report', jsonb_build_object(
		'conversion', conversion, 'horizon', horizon, 'cutoffs', to_jsonb(cutoffs), 'active_within', active_within,
		'l2', l2, 'points_to_double_odds', points_to_double_odds, 'keep_signs', coalesce(keep_signs, false), 'round_to', round_to, 'bins', coalesce(bins, false), 'decay', coalesce(decay, 'keep'), 'profile', coalesce(profile, false),
		'leads', r.leads, 'conversions', r.conversions, 'iterations', whole.iterations, 'log_likelihood', whole.log_likelihood,
		'auc_in_sample', auc.in_sample, 'auc_out_of_sample', auc.out_of_sample, 'separated', auc.whole = 1,
		'weights', (SELECT jsonb_agg(jsonb_build_object('weight_id', w.weight -> 'weight_id', 'signal', w.weight -> 'signal',
				'measure', w.weight -> 'measure', 'points_before', w.weight -> 'points', 'points', f.weight -> 'points',
				'coefficient', whole.coefficients[w.n] * (b.weight -> 'points')::float8,
				'standard_error', whole.standard_errors[w.n] * abs((b.weight -> 'points')::float8),
				'dropped', whole.dropped[w.n], 'separated', whole.separated[w.n]) ORDER BY w.n)
			FROM jsonb_array_elements(card -> 'weights') WITH ORDINALITY AS w (weight, n)
			JOIN jsonb_array_elements(bare -> 'weights') WITH ORDINALITY AS b (weight, n) USING (n)
			JOIN jsonb_array_elements(fitted -> 'weights') WITH ORDINALITY AS f (weight, n) USING (n))) || chosen);
END
$$;

COMMENT ON FUNCTION leadscore.fit(jsonb, text, interval, timestamptz[], float8, float8, boolean, float8, interval, boolean, text, boolean)
	IS 'the scorecard with the points, intercept and slope that foretell a conversion best, and a report';

-- which signals tell

CREATE FUNCTION leadscore.information_value(bands float8[], without float8, without_converted float8) RETURNS float8
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	-- half a lead more of each outcome in a band keeps the logarithm of an empty one finite
	SELECT sum((b.converted / t.converted - b.others / t.others)
		* ln(((b.converted + 0.5) / t.converted) / ((b.others + 0.5) / t.others)))
	FROM (
		SELECT bands[i][1] AS others, bands[i][2] AS converted FROM generate_series(1, coalesce(array_length(bands, 1), 0)) i
		UNION ALL SELECT without - without_converted, without_converted WHERE without > 0
	) b
	CROSS JOIN (
		SELECT nullif(coalesce(sum(bands[i][1]), 0) + without - without_converted, 0) AS others, nullif(coalesce(sum(bands[i][2]), 0) + without_converted, 0) AS converted
		FROM generate_series(1, coalesce(array_length(bands, 1), 0)) i
	) t
$$;

COMMENT ON FUNCTION leadscore.information_value(float8[], float8, float8)
	IS 'how much bands tell of an outcome: the sum of (share of conversions - share of others) * weight of evidence';

CREATE FUNCTION leadscore.signal_report(scorecard jsonb, conversion text, horizon interval, cutoffs timestamptz[],
	l2 float8 DEFAULT 1, active_within interval DEFAULT '90 days')
	RETURNS TABLE (weight_id integer, signal text, measure text, leads_with bigint, leads_without bigint, rate_with float8, rate_without float8, lift float8,
		correlation float8, information_value float8, points float8, fitted_points float8, verdict text)
	LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 30 SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	q record;
	report CONSTANT jsonb := leadscore.fit(scorecard, conversion, horizon, cutoffs, l2, active_within => signal_report.active_within) -> 'report';
	bare CONSTANT jsonb := leadscore.unbounded(scorecard);
BEGIN
	q := leadscore.check_outcome(scorecard, conversion, horizon, cutoffs, active_within);
	RETURN QUERY
		WITH weight AS MATERIALIZED (
			SELECT w.n, s.weight_id::integer AS weight_id, s.signal, s.measure, s.at_least IS NOT NULL OR s.below IS NOT NULL AS banded,
				(w.weight -> 'points')::float8 AS bare_points, (f.weight -> 'points_before')::float8 AS points, (f.weight -> 'points')::float8 AS fitted,
				f.weight ->> 'dropped' IS NULL AND abs((f.weight -> 'coefficient')::float8) > 1.96 * (f.weight -> 'standard_error')::float8 AS evident
			FROM jsonb_array_elements(bare -> 'weights') WITH ORDINALITY AS w (weight, n)
			JOIN jsonb_array_elements(report -> 'weights') WITH ORDINALITY AS f (weight, n) USING (n)
			CROSS JOIN LATERAL jsonb_to_record(w.weight) AS s (weight_id numeric, signal text, measure text, at_least float8, below float8)
		), tally AS (
			SELECT u.n, count(*) AS leads, count(*) FILTER (WHERE h.has) AS having, count(*) FILTER (WHERE x.converted) AS converted,
				count(*) FILTER (WHERE h.has AND x.converted) AS having_converted,
				corr(u.worth / w.bare_points, x.converted::integer) AS correlation, stddev_pop(u.worth / w.bare_points) AS deviation,
				leadscore.bands(u.worth / w.bare_points, x.converted) FILTER (WHERE h.has) AS bands
			FROM (
				SELECT leadscore.past_points(bare, e.timeline, e.profile, e.cutoff) AS worths, leadscore.past_features(bare, e.timeline, e.profile, e.cutoff) AS features,
					e.outcome < 'infinity' AS converted
				FROM leadscore.examples(q.signal_id, q.horizon_hours, q.active_hours, q.profiles, signal_report.cutoffs) e OFFSET 0
			) x
			CROSS JOIN LATERAL unnest(x.worths, x.features) WITH ORDINALITY AS u (worth, feature, n)
			JOIN weight w ON w.n = u.n
			CROSS JOIN LATERAL (SELECT u.feature IS NOT NULL AND (NOT w.banded OR u.worth <> 0) AS has) h
			GROUP BY u.n
		), scale AS (
			-- a card without points gets the fitted ones as they are
			SELECT coalesce(nullif(sum(abs(w.points) * t.deviation), 0) / nullif(sum(abs(w.fitted) * t.deviation), 0), 1) AS factor FROM weight w JOIN tally t USING (n)
		)
		SELECT w.weight_id, w.signal, coalesce(w.measure, (
				SELECT CASE c.subject WHEN 'profile' THEN 'present' ELSE 'count' END
				FROM jsonb_to_recordset(scorecard -> 'signals') AS c (signal text, subject text) WHERE c.signal = w.signal), 'count'),
			t.having, t.leads - t.having, t.having_converted / nullif(t.having, 0)::float8,
			(t.converted - t.having_converted) / nullif(t.leads - t.having, 0)::float8,
			t.having_converted / nullif(t.having, 0)::float8 / (t.converted / t.leads::float8),
			t.correlation, leadscore.information_value(t.bands, (t.leads - t.having)::float8, (t.converted - t.having_converted)::float8),
			w.points, w.fitted * scale.factor,
			CASE WHEN NOT w.evident THEN 'no evidence'
				WHEN w.points * w.fitted < 0 OR abs(w.fitted * scale.factor) < 0.8 * abs(w.points) THEN 'overweighted'
				WHEN abs(w.fitted * scale.factor) > 1.25 * abs(w.points) THEN 'underweighted'
				ELSE 'about right' END
		FROM weight w JOIN tally t USING (n) CROSS JOIN scale
		ORDER BY w.n;
END
$$;

COMMENT ON FUNCTION leadscore.signal_report(jsonb, text, interval, timestamptz[], float8, interval)
	IS 'what each weight tells of a conversion, and whether it has the points for it';
-- bins.sql: what fit() may choose beside points: bands, curves and half-lives

-- private functions

CREATE FUNCTION leadscore.merge_bands(fine float8[]) RETURNS float8[]
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION leadscore.merge_bands(float8[]) IS 'the fewest bands that tell what those of fine_bands() do';

CREATE FUNCTION leadscore.likelihood(others float8, converted float8) RETURNS float8
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN others > 0 THEN others * ln(others / (others + converted)) ELSE 0 END
		+ CASE WHEN converted > 0 THEN converted * ln(converted / (others + converted)) ELSE 0 END
$$;

COMMENT ON FUNCTION leadscore.likelihood(float8, float8) IS 'the log likelihood of so many outcomes of each kind at their own rate';

-- One weight for each thing that is measured, without bands and bounds, in the place of the first.
CREATE FUNCTION leadscore.measured_once(scorecard jsonb) RETURNS jsonb
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT scorecard || jsonb_build_object('weights', (
		SELECT coalesce(jsonb_agg(m.weight ORDER BY m.n), '[]')
		FROM (
			SELECT min(w.n) AS n, CASE WHEN w.subject = 'profile' THEN (array_agg(w.weight))[1] ELSE
				((array_agg(w.weight ORDER BY w.n))[1] - '{at_least,below,min_points,max_points,category,stage}'::text[])
				|| '{"curve": "log"}' || jsonb_build_object('measure', w.key -> 1, 'points', CASE WHEN count(*) > 1 OR bool_or(w.banded) THEN 0 ELSE min((w.weight -> 'points')::float8) END)
				|| jsonb_strip_nulls(jsonb_build_object(
					'category', (array_agg(w.weight ->> 'category' ORDER BY w.n) FILTER (WHERE w.weight ->> 'category' IS NOT NULL))[1],
					'stage', (array_agg(w.weight ->> 'stage' ORDER BY w.n) FILTER (WHERE w.weight ->> 'stage' IS NOT NULL))[1])) END AS weight
			FROM (
				SELECT u.n, u.weight, s.subject, coalesce(u.weight ->> 'at_least', u.weight ->> 'below') IS NOT NULL AS banded,
					CASE WHEN s.subject = 'profile' THEN to_jsonb(u.n) ELSE jsonb_build_array(u.weight ->> 'signal', coalesce(u.weight ->> 'measure', 'count'),
						u.weight ->> 'half_life', u.weight ->> 'fades_over', u.weight ->> 'within', u.weight -> 'max_per_day') END AS key
				FROM jsonb_array_elements(nullif(scorecard -> 'weights', 'null')) WITH ORDINALITY AS u (weight, n)
				LEFT JOIN jsonb_to_recordset(nullif(scorecard -> 'signals', 'null')) AS s (signal text, subject text) ON s.signal = u.weight ->> 'signal'
			) w
			GROUP BY w.key, w.subject
		) m))
$$;

COMMENT ON FUNCTION leadscore.measured_once(jsonb) IS 'a scorecard with one weight for each thing that is measured, without bands';

CREATE FUNCTION leadscore.with_bands(scorecard jsonb, signal_id integer, horizon_hours integer, active_hours integer, profiles boolean, cutoffs timestamptz[],
	learned boolean, OUT card jsonb, OUT bins jsonb)
	LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET extra_float_digits = 1 SET jit = off
AS $$
	WITH weight AS MATERIALIZED (
		SELECT w.n, w.weight, s.subject IS DISTINCT FROM 'profile' AS measured
		FROM jsonb_array_elements(nullif(scorecard -> 'weights', 'null')) WITH ORDINALITY AS w (weight, n)
		LEFT JOIN jsonb_to_recordset(nullif(scorecard -> 'signals', 'null')) AS s (signal text, subject text) ON s.signal = w.weight ->> 'signal'
	), plain AS MATERIALIZED (
		SELECT leadscore.unbounded(scorecard || jsonb_build_object('weights', jsonb_agg((w.weight - 'curve') || '{"points": 1}' ORDER BY w.n))) AS card FROM weight w
	), tally AS MATERIALIZED (
		SELECT u.n, count(*) AS leads, count(*) FILTER (WHERE x.converted) AS converted, count(*) FILTER (WHERE u.measured IS NULL AND NOT x.converted) AS missing_others,
			count(*) FILTER (WHERE u.measured IS NULL AND x.converted) AS missing_converted, leadscore.fine_bands(u.measured, x.converted) AS fine,
			leadscore.logistic_regression(ARRAY[u.measured], x.converted, 1::float8, NULL::float8[]) AS linear,
			leadscore.logistic_regression(ARRAY[ln(1 + greatest(u.measured, 0))], x.converted, 1::float8, NULL::float8[]) AS log
		FROM (
			SELECT leadscore.past_features((SELECT p.card FROM plain p), e.timeline, e.profile, e.cutoff) AS features, e.outcome < 'infinity' AS converted
			FROM leadscore.examples(with_bands.signal_id, with_bands.horizon_hours, with_bands.active_hours, with_bands.profiles, with_bands.cutoffs) e
			WHERE NOT learned OR hashtextextended(e.lead_id, 0) & 1023 < 717 OFFSET 0
		) x
		CROSS JOIN LATERAL unnest(x.features) WITH ORDINALITY AS u (measured, n)
		WHERE u.n IN (SELECT w.n FROM weight w WHERE w.measured)
		GROUP BY u.n
		HAVING count(u.measured) > 0 AND count(*) FILTER (WHERE x.converted) BETWEEN 1 AND count(*) - 1
	), merged AS MATERIALIZED (
		SELECT t.*, leadscore.merge_bands(t.fine) AS bands FROM tally t
	), judged AS MATERIALIZED (
		-- G. Schwarz, The Annals of Statistics 6, 1978: each parameter beside the base rate has its price
		SELECT m.*, j.in_bands, j.in_line, j.in_log, CASE WHEN j.in_bands >= greatest(j.in_line, j.in_log) THEN 'bands' WHEN j.in_log >= j.in_line THEN 'log' ELSE 'linear' END AS curve
		FROM merged m
		CROSS JOIN LATERAL (
			SELECT leadscore.likelihood(m.missing_others::float8, m.missing_converted::float8) - b.base
					- ln(m.leads::float8) / 2 * (array_length(m.bands, 1) - CASE WHEN m.missing_others + m.missing_converted > 0 THEN 0 ELSE 1 END)
					+ (SELECT sum(leadscore.likelihood(m.bands[i][1], m.bands[i][2])) FROM generate_series(1, array_length(m.bands, 1)) i) AS in_bands,
				(m.linear).log_likelihood - b.base - ln(m.leads::float8) / 2 AS in_line,
				(m.log).log_likelihood - b.base - ln(m.leads::float8) / 2 AS in_log
			FROM (SELECT leadscore.likelihood((m.leads - m.converted)::float8, m.converted::float8) AS base) b
		) j
	), band AS MATERIALIZED (
		SELECT j.n, i, CASE WHEN i > 1 THEN j.bands[i][3] WHEN array_length(j.bands, 1) = 1 THEN least(j.bands[1][3], 0) END AS at_least, j.bands[i + 1][3] AS below,
			j.bands[i][1] + j.bands[i][2] AS leads, j.bands[i][2] AS converted,
			ln(((j.bands[i][2] + 0.5) / j.converted) / ((j.bands[i][1] + 0.5) / (j.leads - j.converted))) AS evidence
		FROM judged j CROSS JOIN LATERAL generate_series(1, array_length(j.bands, 1)) i
	)
	SELECT scorecard || jsonb_build_object('weights', coalesce((
			SELECT jsonb_agg(CASE WHEN j.n IS NULL OR j.curve <> 'bands' THEN w.weight || jsonb_build_object('curve', CASE WHEN w.measured THEN coalesce(j.curve, 'linear') ELSE coalesce(w.weight ->> 'curve', 'linear') END)
				ELSE (w.weight - 'curve' - CASE WHEN b.i = 1 THEN '' ELSE 'weight_id' END) || '{"points": 0}'
					|| jsonb_strip_nulls(jsonb_build_object('at_least', b.at_least, 'below', b.below)) END ORDER BY w.n, b.i)
			FROM weight w LEFT JOIN judged j USING (n) LEFT JOIN band b ON b.n = w.n AND j.curve = 'bands'), '[]')),
		coalesce((SELECT jsonb_agg(jsonb_build_object('signal', w.weight -> 'signal', 'measure', w.weight -> 'measure', 'curve', j.curve,
				'direction', (SELECT CASE WHEN count(*) FILTER (WHERE r.step > 0) = count(r.step) THEN 'rising' WHEN count(*) FILTER (WHERE r.step < 0) = count(r.step) THEN 'falling' ELSE 'mixed' END
					FROM (SELECT b.converted / b.leads - lag(b.converted / b.leads) OVER (ORDER BY b.i) AS step FROM band b WHERE b.n = j.n) r HAVING count(r.step) > 0),
				'gain', jsonb_build_object('bands', j.in_bands, 'linear', j.in_line, 'log', j.in_log),
				'fine_information_value', leadscore.information_value(j.fine, (j.missing_others + j.missing_converted)::float8, j.missing_converted::float8),
				'information_value', leadscore.information_value(j.bands, (j.missing_others + j.missing_converted)::float8, j.missing_converted::float8),
				'bands', (SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('at_least', b.at_least, 'below', b.below, 'leads', b.leads, 'conversions', b.converted, 'weight_of_evidence', b.evidence)) ORDER BY b.i)
					FROM band b WHERE b.n = j.n),
				'missing', CASE WHEN j.missing_others + j.missing_converted > 0 THEN jsonb_build_object('leads', j.missing_others + j.missing_converted, 'conversions', j.missing_converted,
					'weight_of_evidence', ln(((j.missing_converted + 0.5) / j.converted) / ((j.missing_others + 0.5) / (j.leads - j.converted)))) END) ORDER BY j.n)
			FROM judged j JOIN weight w USING (n)), '[]')
$$;

COMMENT ON FUNCTION leadscore.with_bands(jsonb, integer, integer, integer, boolean, timestamptz[], boolean)
	IS 'a scorecard whose measured signals have bands or the curve that tells most, and how they were chosen';

-- half-lives

CREATE FUNCTION leadscore.with_half_lives(scorecard jsonb, signals text[], half_life text) RETURNS jsonb
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT scorecard || jsonb_build_object('weights', (SELECT coalesce(jsonb_agg(
			CASE WHEN w.weight ->> 'signal' = ANY (signals) AND coalesce(w.weight ->> 'measure', 'count') IN ('count', 'value') AND w.weight ->> 'fades_over' IS NULL
				THEN (w.weight - 'half_life') || jsonb_strip_nulls(jsonb_build_object('half_life', half_life)) ELSE w.weight END ORDER BY w.n), '[]')
		FROM jsonb_array_elements(nullif(scorecard -> 'weights', 'null')) WITH ORDINALITY AS w (weight, n)))
$$;

COMMENT ON FUNCTION leadscore.with_half_lives(jsonb, text[], text) IS 'a scorecard with one half-life for what some signals count and sum up; NULL: no decay';

CREATE FUNCTION leadscore.sample_likelihood(scorecard jsonb, timelines leadscore.timeline[], profiles jsonb[], cutoffs timestamptz[], outcomes boolean[], l2 float8) RETURNS float8
	LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT (leadscore.logistic_regression(leadscore.past_points((SELECT leadscore.unbounded(scorecard)), u.timeline, u.profile, u.cutoff), u.outcome, greatest(l2, 0.001)::float8, NULL::float8[])).log_likelihood
	FROM unnest(timelines, profiles, cutoffs, outcomes) AS u (timeline, profile, cutoff, outcome)
$$;

COMMENT ON FUNCTION leadscore.sample_likelihood(jsonb, leadscore.timeline[], jsonb[], timestamptz[], boolean[], float8)
	IS 'the log likelihood of examples, after their points are fitted';

CREATE FUNCTION leadscore.learn_decay(scorecard jsonb, signal_id integer, horizon_hours integer, active_hours integer, profiles boolean, cutoffs timestamptz[], l2 float8,
	learned boolean, OUT card jsonb, OUT decay jsonb)
	LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	most CONSTANT integer := 20000;	-- examples that are tried
	grid CONSTANT text[] := '{1 day,2 days,4 days,7 days,14 days,30 days,60 days,90 days,180 days,365 days}'::text[] || NULL::text;
	signals CONSTANT text[] := ARRAY(
		SELECT w.weight ->> 'signal'
		FROM jsonb_array_elements(nullif(scorecard -> 'weights', 'null')) WITH ORDINALITY AS w (weight, n)
		LEFT JOIN jsonb_to_recordset(nullif(scorecard -> 'signals', 'null')) AS s (signal text, subject text) ON s.signal = w.weight ->> 'signal'
		WHERE s.subject IS DISTINCT FROM 'profile' AND coalesce(w.weight ->> 'measure', 'count') IN ('count', 'value') AND w.weight ->> 'fades_over' IS NULL
		GROUP BY 1 ORDER BY min(w.n));
	n bigint;
	sample record;
	own float8;
	trial jsonb;
	trial_likelihood float8;
	best float8;
	likelihoods float8[] := '{}';
	common integer;
	chosen integer[];
	tried integer;
BEGIN
	card := scorecard;
	IF cardinality(signals) = 0 THEN
		RETURN;
	END IF;
	SELECT count(*) INTO n
	FROM leadscore.examples(learn_decay.signal_id, learn_decay.horizon_hours, learn_decay.active_hours, learn_decay.profiles, learn_decay.cutoffs) e
	WHERE NOT learned OR hashtextextended(e.lead_id, 0) & 1023 < 717;
	SELECT array_agg(e.timeline) AS timelines, array_agg(e.profile) AS profiles, array_agg(e.cutoff) AS cutoffs, array_agg(e.outcome < 'infinity') AS outcomes, count(*) AS n INTO sample
	FROM leadscore.examples(learn_decay.signal_id, learn_decay.horizon_hours, learn_decay.active_hours, learn_decay.profiles, learn_decay.cutoffs) e
	WHERE (NOT learned OR hashtextextended(e.lead_id, 0) & 1023 < 717) AND hashtextextended(e.lead_id, 1) & 1048575 < 1048576.0 * most / greatest(n, 1);
	own := leadscore.sample_likelihood(scorecard, sample.timelines, sample.profiles, sample.cutoffs, sample.outcomes, l2);
	IF own IS NULL THEN
		RETURN;		-- no examples of both outcomes
	END IF;

	-- one half-life for all
	FOR i IN 1 .. cardinality(grid) LOOP
		trial := leadscore.with_half_lives(scorecard, signals, grid[i]);
		trial_likelihood := leadscore.sample_likelihood(trial, sample.timelines, sample.profiles, sample.cutoffs, sample.outcomes, l2);
		likelihoods := likelihoods || trial_likelihood;
		IF common IS NULL OR trial_likelihood > best THEN
			common := i;
			best := trial_likelihood;
			card := trial;
		END IF;
	END LOOP;

	-- then signal by signal, step by step, as long as it gains more than one parameter more would by chance
	chosen := array_fill(common, ARRAY[cardinality(signals)]);
	IF cardinality(signals) > 1 THEN
		FOR s IN 1 .. cardinality(signals) LOOP
			FOREACH tried IN ARRAY ARRAY[-1, 1] LOOP
				WHILE chosen[s] + tried BETWEEN 1 AND cardinality(grid) LOOP
					trial := leadscore.with_half_lives(card, signals[s:s], grid[chosen[s] + tried]);
					trial_likelihood := leadscore.sample_likelihood(trial, sample.timelines, sample.profiles, sample.cutoffs, sample.outcomes, l2);
					EXIT WHEN NOT trial_likelihood > best + CASE WHEN chosen[s] = common THEN ln(sample.n::float8) / 2 ELSE 0 END;
					chosen[s] := chosen[s] + tried;
					best := trial_likelihood;
					card := trial;
				END LOOP;
				EXIT WHEN chosen[s] <> common;
			END LOOP;
		END LOOP;
	END IF;
	IF own >= best THEN
		card := scorecard;
	END IF;
	decay := jsonb_build_object('leads', sample.n, 'log_likelihood_before', own, 'log_likelihood', greatest(own, best), 'kept', own >= best,
		'grid', (SELECT jsonb_agg(jsonb_build_object('half_life', grid[i], 'log_likelihood', likelihoods[i]) ORDER BY i) FROM generate_series(1, cardinality(grid)) i),
		'half_lives', (SELECT jsonb_object_agg(signals[i], CASE WHEN own >= best THEN (
				SELECT w -> 'half_life' FROM jsonb_array_elements(scorecard -> 'weights') w WHERE w ->> 'signal' = signals[i] LIMIT 1) ELSE to_jsonb(grid[chosen[i]]) END)
			FROM generate_series(1, cardinality(signals)) i));
END
$$;

COMMENT ON FUNCTION leadscore.learn_decay(jsonb, integer, integer, integer, boolean, timestamptz[], float8, boolean)
	IS 'a scorecard with the half-lives of a grid that make what happened most likely, and how they were chosen';
-- profile.sql: the attributes that those who convert share

-- private functions

CREATE FUNCTION leadscore.normal_tails(z float8) RETURNS float8
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore.student_tails(t float8, degrees float8) RETURNS float8
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore.student_bound(probability float8, degrees float8) RETURNS float8
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION leadscore.normal_tails(float8) IS 'how often a normal variable lies as far from 0 as z, or farther';
COMMENT ON FUNCTION leadscore.student_tails(float8, float8) IS 'how often a variable of Student''s distribution lies as far from 0 as t, or farther';
COMMENT ON FUNCTION leadscore.student_bound(float8, float8) IS 'what a variable of Student''s distribution exceeds, up or down, with a probability';

CREATE FUNCTION leadscore.profile_values(signal_id integer, horizon_hours integer, active_hours integer, cutoffs timestamptz[], min_leads integer, learned boolean)
	RETURNS TABLE (attribute text, value jsonb, at_least float8, below float8, leads bigint, conversions bigint, rate float8, rate_without float8, lift float8,
		information_value float8, p_value float8, verdict text, match jsonb, condition text)
	LANGUAGE sql STABLE PARALLEL SAFE ROWS 100 SET search_path = pg_catalog, pg_temp SET extra_float_digits = 1 SET jit = off
AS $$
	WITH example AS MATERIALIZED (
		SELECT row_number() OVER () AS example, CASE WHEN jsonb_typeof(e.profile) = 'object' THEN e.profile END AS profile, e.outcome < 'infinity' AS converted
		FROM leadscore.examples(profile_values.signal_id, profile_values.horizon_hours, profile_values.active_hours, true, profile_values.cutoffs) e
		WHERE NOT profile_values.learned OR hashtextextended(e.lead_id, 0) & 1023 < 717
	), total AS (
		SELECT count(*) AS leads, count(*) FILTER (WHERE e.converted) AS converted FROM example e
	), scalar AS MATERIALIZED (
		SELECT e.example, e.converted, a.key, a.value, false AS element FROM example e CROSS JOIN LATERAL jsonb_each(e.profile) a WHERE jsonb_typeof(a.value) IN ('string', 'number', 'boolean')
		UNION ALL
		SELECT DISTINCT e.example, e.converted, a.key, v.value, true FROM example e CROSS JOIN LATERAL jsonb_each(e.profile) a
		CROSS JOIN LATERAL jsonb_array_elements(CASE jsonb_typeof(a.value) WHEN 'array' THEN a.value END) v WHERE jsonb_typeof(v.value) IN ('string', 'number', 'boolean')
	), number AS (
		-- a number that takes many values is told in bands
		SELECT s.key, leadscore.merge_bands(leadscore.fine_bands(CASE WHEN jsonb_typeof(s.value) = 'number' THEN round((s.value #>> '{}')::numeric, 300)::float8 END, s.converted)) AS bands
		FROM scalar s WHERE NOT s.element AND jsonb_typeof(s.value) = 'number' AND abs((s.value #>> '{}')::numeric) < 1e300
		GROUP BY s.key HAVING count(DISTINCT s.value) > 12
	), found AS (
		SELECT s.key, s.value, NULL::float8 AS at_least, NULL::float8 AS below, count(*) AS leads, count(*) FILTER (WHERE s.converted) AS converted,
			jsonb_build_object(s.key, CASE WHEN s.element THEN jsonb_build_array(s.value) ELSE s.value END) AS match, NULL AS condition
		FROM scalar s WHERE NOT (NOT s.element AND jsonb_typeof(s.value) = 'number' AND s.key IN (SELECT n.key FROM number n))
		GROUP BY s.key, s.value, s.element
		UNION ALL
		SELECT n.key, NULL, b.at_least, b.below, (n.bands[i][1] + n.bands[i][2])::bigint, n.bands[i][2]::bigint, NULL,
			concat_ws(' && ', '$.' || to_json(n.key) || ' >= ' || b.at_least, '$.' || to_json(n.key) || ' < ' || b.below)
		FROM number n CROSS JOIN LATERAL generate_series(1, array_length(n.bands, 1)) i
		CROSS JOIN LATERAL (SELECT CASE WHEN i > 1 THEN n.bands[i][3] END AS at_least, n.bands[i + 1][3] AS below) b
		WHERE array_length(n.bands, 1) > 1
	), judged AS (
		SELECT f.*, t.leads AS all_leads, t.converted AS all_converted, count(*) OVER () AS tests,
			leadscore.normal_tails((f.converted / f.leads::float8 - (t.converted - f.converted) / nullif(t.leads - f.leads, 0)::float8)
				/ nullif(sqrt(t.converted / t.leads::float8 * (1 - t.converted / t.leads::float8) * (1 / f.leads::float8 + 1 / nullif(t.leads - f.leads, 0)::float8)), 0)) AS p
		FROM found f CROSS JOIN total t WHERE f.leads >= profile_values.min_leads
	)
	SELECT j.key, j.value, j.at_least, j.below, j.leads, j.converted, j.converted / j.leads::float8, (j.all_converted - j.converted) / nullif(j.all_leads - j.leads, 0)::float8,
		j.converted / j.leads::float8 / nullif(j.all_converted / j.all_leads::float8, 0),
		leadscore.information_value(ARRAY[ARRAY[j.leads - j.converted, j.converted]]::float8[], (j.all_leads - j.leads)::float8, (j.all_converted - j.converted)::float8), j.p,
		-- as many tests as there are values: C. E. Bonferroni, 1936
		CASE WHEN j.p * j.tests < 0.05 THEN CASE WHEN j.converted * j.all_leads > j.all_converted * j.leads THEN 'more likely' ELSE 'less likely' END ELSE 'no evidence' END,
		j.match, j.condition
	FROM judged j
	ORDER BY j.p, j.key, j.value, j.at_least NULLS FIRST
$$;

COMMENT ON FUNCTION leadscore.profile_values(integer, integer, integer, timestamptz[], integer, boolean)
	IS 'values of profile attributes, and what they tell of a conversion';

CREATE FUNCTION leadscore.with_profile(scorecard jsonb, signal_id integer, horizon_hours integer, active_hours integer, cutoffs timestamptz[], learned boolean,
	OUT card jsonb, OUT proposed jsonb)
	LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
	WITH proposal AS MATERIALIZED (
		SELECT row_number() OVER () AS n, p.*, format('%s: %s', p.attribute, CASE WHEN p.condition IS NULL THEN p.value #>> '{}'
				ELSE concat_ws(' ', 'from ' || p.at_least, 'below ' || p.below) END) AS shown
		FROM leadscore.profile_values(with_profile.signal_id, with_profile.horizon_hours, with_profile.active_hours, with_profile.cutoffs, 20, with_profile.learned) p
		WHERE p.verdict <> 'no evidence'
		AND NOT EXISTS (
			SELECT FROM jsonb_to_recordset(nullif(scorecard -> 'signals', 'null')) AS s (signal text, subject text, match jsonb, condition text)
			WHERE s.subject = 'profile' AND (s.match = p.match AND s.condition IS NULL OR nullif(s.match, 'null') IS NULL AND s.condition::jsonpath::text = p.condition::jsonpath::text))
		LIMIT 50
	), fresh AS (
		SELECT p.n, jsonb_strip_nulls(jsonb_build_object('signal', p.name, 'subject', 'profile', 'match', p.match, 'condition', p.condition)) AS signal,
			jsonb_build_object('signal', p.name, 'measure', 'present', 'points', 0) AS weight, p
		-- what reads the same, such as the text "5" and the number 5, is told apart by what it matches
		FROM (SELECT r.*, CASE WHEN count(*) OVER (PARTITION BY r.shown) > 1 THEN coalesce(r.match::text, r.condition) ELSE r.shown END AS name FROM proposal r) p
		WHERE NOT EXISTS (SELECT FROM jsonb_to_recordset(nullif(scorecard -> 'signals', 'null')) AS s (signal text) WHERE s.signal = p.name)
		AND NOT EXISTS (SELECT FROM leadscore.signal s WHERE s.signal = p.name AND (s.subject <> 'profile' OR s.match IS DISTINCT FROM p.match OR s.condition::text IS DISTINCT FROM p.condition::jsonpath::text))
	)
	SELECT scorecard || jsonb_build_object(
			'signals', coalesce(nullif(scorecard -> 'signals', 'null'), '[]') || coalesce((SELECT jsonb_agg(f.signal ORDER BY f.n) FROM fresh f), '[]'),
			'weights', coalesce(nullif(scorecard -> 'weights', 'null'), '[]') || coalesce((SELECT jsonb_agg(f.weight ORDER BY f.n) FROM fresh f), '[]')),
		coalesce((SELECT jsonb_agg(f.signal || jsonb_build_object('leads', (f.p).leads, 'conversions', (f.p).conversions, 'lift', (f.p).lift,
			'information_value', (f.p).information_value, 'p_value', (f.p).p_value) ORDER BY f.n) FROM fresh f), '[]')
$$;

COMMENT ON FUNCTION leadscore.with_profile(jsonb, integer, integer, integer, timestamptz[], boolean)
	IS 'a scorecard with weights for the profile values that tell, without points as yet';

-- which profiles convert

CREATE FUNCTION leadscore.profile_report(conversion text, horizon interval, cutoffs timestamptz[], active_within interval DEFAULT '90 days', min_leads integer DEFAULT 20)
	RETURNS TABLE (attribute text, value jsonb, at_least float8, below float8, leads bigint, conversions bigint, rate float8, rate_without float8, lift float8,
		information_value float8, p_value float8, verdict text, match jsonb, condition text)
	LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 100 SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	q record;
BEGIN
	q := leadscore.check_outcome('{"model": "profile"}'::jsonb, conversion, horizon, cutoffs, active_within);
	IF min_leads IS NULL OR min_leads < 1 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'min_leads is below one',
			DETAIL = format('The value is %s.', coalesce(min_leads::text, 'NULL')), HINT = 'Write a whole number such as 20.';
	END IF;
	PERFORM leadscore.warn_of_censoring(q.signal_id, q.horizon_hours, q.active_hours, cutoffs);
	RETURN QUERY SELECT * FROM leadscore.profile_values(q.signal_id, q.horizon_hours, q.active_hours, profile_report.cutoffs, profile_report.min_leads, false);
END
$$;

COMMENT ON FUNCTION leadscore.profile_report(text, interval, timestamptz[], interval, integer)
	IS 'the profile attributes that leads who convert share, and others do not';
-- preview.sql: what a change would do before it is made, and what has changed
-- since

-- private functions

CREATE TYPE leadscore.comparison AS (
	leads bigint,
	moves float8[],
	quantiles float8[],
	movers text[],
	mover_scores float8[]
);

COMMENT ON TYPE leadscore.comparison IS 'what two scorecards make of the same leads';
COMMENT ON COLUMN leadscore.comparison.leads IS 'how many leads';
COMMENT ON COLUMN leadscore.comparison.moves IS 'number of the segment before and after, by position (0: none), leads, mean score before and after';
COMMENT ON COLUMN leadscore.comparison.quantiles IS 'scores before and after, from the lowest by tenths of the leads to the highest';
COMMENT ON COLUMN leadscore.comparison.movers IS 'the leads that gain most, then those that lose most';
COMMENT ON COLUMN leadscore.comparison.mover_scores IS 'their scores before and after';

CREATE FUNCTION leadscore.compare_transition(internal, jsonb, jsonb, text, leadscore.timeline, jsonb, timestamptz) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 20;

CREATE FUNCTION leadscore.compare_merge(internal, internal) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION leadscore.compare_serialize(internal) RETURNS bytea
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore.compare_deserialize(bytea, internal) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore.compare_final(internal) RETURNS leadscore.comparison
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION leadscore.compare_transition(internal, jsonb, jsonb, text, leadscore.timeline, jsonb, timestamptz) IS 'aggregate transition function';
COMMENT ON FUNCTION leadscore.compare_merge(internal, internal) IS 'aggregate combine function';
COMMENT ON FUNCTION leadscore.compare_serialize(internal) IS 'aggregate serial function';
COMMENT ON FUNCTION leadscore.compare_deserialize(bytea, internal) IS 'aggregate deserial function';
COMMENT ON FUNCTION leadscore.compare_final(internal) IS 'aggregate final function';

CREATE AGGREGATE leadscore.compare(before jsonb, after jsonb, lead_id text, timeline leadscore.timeline, profile jsonb, at timestamptz) (
	SFUNC = leadscore.compare_transition,
	STYPE = internal,
	SSPACE = 8192,
	FINALFUNC = leadscore.compare_final,
	COMBINEFUNC = leadscore.compare_merge,
	SERIALFUNC = leadscore.compare_serialize,
	DESERIALFUNC = leadscore.compare_deserialize,
	PARALLEL = safe
);

COMMENT ON AGGREGATE leadscore.compare(jsonb, jsonb, text, leadscore.timeline, jsonb, timestamptz)
	IS 'what two scorecards make of the same leads at an instant';

CREATE FUNCTION leadscore.with_signal_ids(document jsonb) RETURNS jsonb
	LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN jsonb_typeof(document -> 'signals') = 'array' THEN document || jsonb_build_object('signals', (
		-- of what is not known here, nothing has been counted: no timeline has such a number
		SELECT coalesce(jsonb_agg(CASE WHEN jsonb_typeof(d.signal) <> 'object' OR d.signal ->> 'subject' = 'profile' AND s.signal_id IS NULL THEN d.signal
			ELSE d.signal || jsonb_build_object('signal_id', coalesce(s.signal_id, 2147483647 - d.n)) END ORDER BY d.n), '[]')
		FROM jsonb_array_elements(document -> 'signals') WITH ORDINALITY AS d (signal, n)
		LEFT JOIN leadscore.signal s ON s.signal = d.signal ->> 'signal')) ELSE document END
$$;

COMMENT ON FUNCTION leadscore.with_signal_ids(jsonb) IS 'a scorecard document with the numbers that its signals have here';

CREATE FUNCTION leadscore.stability_index(bands float8[], missing float8, missing_after float8) RETURNS float8
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	-- half a lead in a band where there is none keeps the logarithm finite
	SELECT sum((b.after / t.after - b.before / t.before) * ln((CASE b.after WHEN 0 THEN 0.5 ELSE b.after END / t.after) / (CASE b.before WHEN 0 THEN 0.5 ELSE b.before END / t.before)))
	FROM (
		SELECT bands[i][1] AS before, bands[i][2] AS after FROM generate_series(1, coalesce(array_length(bands, 1), 0)) i
		UNION ALL SELECT missing - missing_after, missing_after WHERE missing > 0
	) b
	CROSS JOIN (
		SELECT nullif(coalesce(sum(bands[i][1]), 0) + missing - missing_after, 0) AS before, nullif(coalesce(sum(bands[i][2]), 0) + missing_after, 0) AS after
		FROM generate_series(1, coalesce(array_length(bands, 1), 0)) i
	) t
$$;

COMMENT ON FUNCTION leadscore.stability_index(float8[], float8, float8)
	IS 'how far two distributions lie apart: the sum of (share after - share before) * ln(share after / share before)';

-- before it is published

CREATE FUNCTION leadscore.preview(document jsonb, model text DEFAULT 'default', at timestamptz DEFAULT now())
	RETURNS TABLE (part text, segment_before text, segment_after text, quantile float8, lead_id text, leads bigint,
		score_before float8, score_after float8, change float8)
	LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 50 SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	before CONSTANT jsonb := leadscore.scorecard(model);
	after CONSTANT jsonb := leadscore.with_signal_ids(document);
	segments_before text[];
	segments_after text[];
	c leadscore.comparison;
BEGIN
	IF document IS NULL OR model IS NULL OR at IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = format('the %s is NULL', CASE WHEN document IS NULL THEN 'document' WHEN model IS NULL THEN 'model' ELSE 'instant' END),
			DETAIL = 'A preview compares a document with a model as of an instant.', HINT = 'Such as leadscore.preview(leadscore.fit(...), ''shop'', now()).';
	END IF;
	PERFORM leadscore.check_scorecard(document);
	segments_before := ARRAY(SELECT s.segment FROM jsonb_to_recordset(nullif(before -> 'segments', 'null')) AS s (segment text, position numeric) ORDER BY s.position);
	segments_after := ARRAY(SELECT s.segment FROM jsonb_to_recordset(nullif(after -> 'segments', 'null')) AS s (segment text, position numeric) ORDER BY s.position);
	c := (SELECT leadscore.compare(before, after, e.lead_id, e.timeline, e.profile, preview.at) FROM leadscore.visible_lead e);
	RETURN QUERY
		WITH moved AS (
			SELECT c.moves[i][1] AS b, c.moves[i][2] AS a, c.moves[i][3]::bigint AS leads, c.moves[i][4] AS score_before, c.moves[i][5] AS score_after
			FROM generate_series(1, array_length(c.moves, 1)) i
		)
		(
			SELECT 'move', segments_before[b.i], segments_after[a.i], NULL::float8, NULL, coalesce(m.leads, 0), m.score_before, m.score_after, m.score_after - m.score_before
			FROM (SELECT i FROM generate_series(1, cardinality(segments_before)) i UNION ALL SELECT 0 WHERE EXISTS (SELECT FROM moved WHERE moved.b = 0)) b
			CROSS JOIN (SELECT i FROM generate_series(1, cardinality(segments_after)) i UNION ALL SELECT 0 WHERE EXISTS (SELECT FROM moved WHERE moved.a = 0)) a
			LEFT JOIN moved m ON m.b = b.i AND m.a = a.i
			ORDER BY nullif(b.i, 0), nullif(a.i, 0)
		) UNION ALL (
			SELECT 'distribution', NULL, NULL, (i - 1) / 10.0, NULL, c.leads, c.quantiles[i][1], c.quantiles[i][2], c.quantiles[i][2] - c.quantiles[i][1]
			FROM generate_series(1, array_length(c.quantiles, 1)) i ORDER BY i
		) UNION ALL (
			SELECT CASE WHEN m.change > 0 THEN 'gain' ELSE 'loss' END, NULL, NULL, NULL, m.lead_id, 1, c.mover_scores[m.i][1], c.mover_scores[m.i][2], m.change
			FROM (SELECT u.lead_id, u.i, c.mover_scores[u.i][2] - c.mover_scores[u.i][1] AS change FROM unnest(c.movers) WITH ORDINALITY AS u (lead_id, i)) m ORDER BY m.i
		);
END
$$;

COMMENT ON FUNCTION leadscore.preview(jsonb, text, timestamptz)
	IS 'what a document would make of everybody, beside a model: moves between segments, scores, who gains and loses most';

CREATE FUNCTION leadscore.diff(before jsonb, after jsonb)
	RETURNS TABLE (part text, name text, change text, member text, value_before jsonb, value_after jsonb)
	LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 20 SET search_path = pg_catalog, pg_temp SET IntervalStyle = 'postgres'
AS $$
	WITH side AS (
		SELECT true AS after, jsonb_strip_nulls(diff.after) AS document UNION ALL SELECT false, jsonb_strip_nulls(diff.before)
	), item AS (
		SELECT s.after, 'model' AS part, 1 AS place, s.document ->> 'model' AS name, '' AS key,
			s.document - '{signals,weights,categories,stages,grades,segments,report}'::text[] AS item
		FROM side s WHERE s.document IS NOT NULL
		UNION ALL
		SELECT s.after, p.part, p.place, e.item ->> p.part, e.item ->> p.part, p.defaults || (e.item - 'signal_id')
		FROM side s
		CROSS JOIN (VALUES ('signal', 2, 'signals', '{"subject": "event"}'::jsonb), ('category', 4, 'categories', '{}'), ('stage', 5, 'stages', '{}'), ('grade', 6, 'grades', '{}'), ('segment', 7, 'segments', '{}')) p (part, place, list, defaults)
		CROSS JOIN LATERAL jsonb_array_elements(CASE jsonb_typeof(s.document -> p.list) WHEN 'array' THEN s.document -> p.list END) e (item)
		UNION ALL
		-- weights are the same by their number, if both documents have it for the signal, else in the order of those of a signal and measure
		SELECT w.after, 'weight', 3, w.item ->> 'signal', CASE WHEN w.numbered THEN 'number ' || (w.item ->> 'weight_id')
				ELSE jsonb_build_array(w.item -> 'signal', w.item -> 'measure', row_number() OVER (PARTITION BY w.after, w.numbered, w.item -> 'signal', w.item -> 'measure' ORDER BY w.n))::text END,
			w.item - 'weight_id'
		FROM (
			SELECT s.after, e.n, jsonb_build_object('curve', 'linear', 'measure', CASE WHEN EXISTS (
						SELECT FROM jsonb_array_elements(CASE jsonb_typeof(s.document -> 'signals') WHEN 'array' THEN s.document -> 'signals' END) g
						WHERE g ->> 'signal' = e.item ->> 'signal' AND g ->> 'subject' = 'profile') THEN 'present' ELSE 'count' END) || e.item AS item,
				count(*) OVER (PARTITION BY e.item ->> 'weight_id', e.item ->> 'signal') = 2 AND e.item ? 'weight_id' AS numbered
			FROM side s CROSS JOIN LATERAL jsonb_array_elements(CASE jsonb_typeof(s.document -> 'weights') WHEN 'array' THEN s.document -> 'weights' END) WITH ORDINALITY AS e (item, n)
		) w
	), pair AS (
		SELECT coalesce(a.part, b.part) AS part, coalesce(a.place, b.place) AS place, coalesce(a.name, b.name) AS name, coalesce(a.key, b.key) AS key, b.item AS b, a.item AS a
		FROM (SELECT * FROM item i WHERE i.after) a FULL JOIN (SELECT * FROM item i WHERE NOT i.after) b ON a.part = b.part AND a.key = b.key
	)
	SELECT p.part, p.name, CASE WHEN p.b IS NULL THEN 'added' WHEN p.a IS NULL THEN 'removed' ELSE 'changed' END, m.member,
		CASE WHEN p.a IS NULL THEN p.b ELSE p.b -> m.member END, CASE WHEN p.b IS NULL THEN p.a ELSE p.a -> m.member END
	FROM pair p
	CROSS JOIN LATERAL (
		SELECT NULL AS member WHERE p.a IS NULL OR p.b IS NULL
		UNION ALL
		SELECT k FROM (SELECT jsonb_object_keys(p.a) AS k UNION SELECT jsonb_object_keys(p.b)) k
		WHERE p.a IS NOT NULL AND p.b IS NOT NULL AND p.a -> k IS DISTINCT FROM p.b -> k
		AND NOT (k IN ('half_life', 'fades_over', 'within') AND p.a ? k AND p.b ? k AND (p.a ->> k)::interval = (p.b ->> k)::interval)
	) m
	WHERE diff.before IS NOT NULL AND diff.after IS NOT NULL
	ORDER BY p.place, p.name, p.key, m.member
$$;

COMMENT ON FUNCTION leadscore.diff(jsonb, jsonb) IS 'what differs between two scorecard documents';

-- drift

CREATE FUNCTION leadscore.stability_report(model text DEFAULT 'default', "from" timestamptz DEFAULT now() - interval '30 days', "to" timestamptz DEFAULT now(),
	active_within interval DEFAULT '90 days')
	RETURNS TABLE (weight_id integer, signal text, measure text, leads_from bigint, leads_to bigint, measured_from bigint, measured_to bigint,
		mean_from float8, mean_to float8, psi float8, verdict text)
	LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 30 SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	card CONSTANT jsonb := leadscore.scorecard(model);
	active_hours integer;
BEGIN
	IF model IS NULL OR "from" IS NULL OR "to" IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = format('the argument "%s" is NULL', CASE WHEN model IS NULL THEN 'model' WHEN "from" IS NULL THEN 'from' ELSE 'to' END),
			DETAIL = 'The report compares a model''s scores as of two instants.', HINT = 'Such as leadscore.stability_report(''shop'', now() - interval ''30 days'', now()).';
	END IF;
	IF NOT ("from" < "to") OR NOT isfinite("from") OR NOT isfinite("to") THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = '"from" is not before "to"',
			DETAIL = format('The instants are %s and %s.', "from", "to"), HINT = 'Write the earlier first.';
	END IF;
	active_hours := leadscore.duration_hours('active_within'::text, active_within, 'Write a duration such as 90 days, or NULL for all leads.'::text);
	RETURN QUERY
		WITH tally AS (
			SELECT u.n, count(*) FILTER (WHERE NOT x.after) AS leads_from, count(*) FILTER (WHERE x.after) AS leads_to,
				count(u.value) FILTER (WHERE NOT x.after) AS measured_from, count(u.value) FILTER (WHERE x.after) AS measured_to,
				avg(u.value) FILTER (WHERE NOT x.after) AS mean_from, avg(u.value) FILTER (WHERE x.after) AS mean_to, leadscore.fine_bands(u.value, x.after) AS bands
			FROM (
				SELECT c.after, leadscore.past_score(card, e.timeline, e.profile, c.at) AS score, leadscore.past_features(card, e.timeline, e.profile, c.at) AS features
				FROM leadscore.visible_lead e CROSS JOIN (VALUES (false, "from"), (true, "to")) AS c (after, at)
				WHERE leadscore.outcome(e.timeline, -1, c.at, 1, active_hours) IS NOT NULL OFFSET 0
			) x
			CROSS JOIN LATERAL unnest(x.score || x.features) WITH ORDINALITY AS u (value, n)
			GROUP BY u.n
		)
		SELECT (w.weight -> 'weight_id')::integer, w.weight ->> 'signal', w.weight ->> 'measure', t.leads_from, t.leads_to, t.measured_from, t.measured_to, t.mean_from, t.mean_to, p.psi,
			CASE WHEN p.psi < 0.1 THEN 'stable' WHEN p.psi < 0.25 THEN 'shifted' WHEN p.psi IS NOT NULL THEN 'unstable' END
		FROM tally t
		LEFT JOIN jsonb_array_elements(card -> 'weights') WITH ORDINALITY AS w (weight, n) ON w.n + 1 = t.n
		CROSS JOIN LATERAL (SELECT leadscore.stability_index(t.bands, (t.leads_from + t.leads_to - t.measured_from - t.measured_to)::float8, (t.leads_to - t.measured_to)::float8) AS psi) p
		ORDER BY t.n;
END
$$;

COMMENT ON FUNCTION leadscore.stability_report(text, timestamptz, timestamptz, interval)
	IS 'how far the scores and what is measured have moved between two instants';

-- versions

CREATE TABLE leadscore.model_version (
	model text NOT NULL,
	version integer NOT NULL,
	document jsonb NOT NULL,
	report jsonb,
	published_by text NOT NULL DEFAULT session_user,
	published_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	PRIMARY KEY (model, version)
);

COMMENT ON TABLE leadscore.model_version IS 'what has been published: a row for each publish()';
COMMENT ON COLUMN leadscore.model_version.model IS 'the model; it may be gone';
COMMENT ON COLUMN leadscore.model_version.version IS 'counts from 1 for each model';
COMMENT ON COLUMN leadscore.model_version.document IS 'the model, whole, as scorecard() gave it then';
COMMENT ON COLUMN leadscore.model_version.report IS 'the report of fit(), if the document had one';
COMMENT ON COLUMN leadscore.model_version.published_by IS 'the user who had logged in';
COMMENT ON COLUMN leadscore.model_version.published_at IS 'when';

SELECT pg_catalog.pg_extension_config_dump('leadscore.model_version', '');

CREATE FUNCTION leadscore.restore_version(model text, version integer DEFAULT NULL) RETURNS text
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	versions CONSTANT integer[] := ARRAY(SELECT v.version FROM leadscore.model_version v WHERE v.model = restore_version.model ORDER BY 1 DESC);
	wanted CONSTANT integer := coalesce(version, versions[2]);
	document jsonb;
BEGIN
	SELECT v.document || CASE WHEN v.report IS NULL THEN '{}' ELSE jsonb_build_object('report', v.report) END INTO document
	FROM leadscore.model_version v WHERE v.model = restore_version.model AND v.version = wanted;
	IF document IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object',
			MESSAGE = CASE WHEN wanted IS NULL THEN format('model "%s" has no version before its last', coalesce(model, 'NULL')) ELSE format('model "%s" has no version %s', model, wanted) END,
			DETAIL = 'There is no such row in leadscore.model_version.',
			HINT = leadscore.known('versions'::text, versions::text[]);
	END IF;
	RETURN leadscore.publish(document);
END
$$;

COMMENT ON FUNCTION leadscore.restore_version(text, integer) IS 'publishes an earlier version again, the one before the last by default';
-- clv.sql: customer value: the models are fitted to timelines, and tell what a customer is worth

-- private functions

CREATE FUNCTION leadscore.fit_clv_transition(internal, leadscore.timeline, integer, timestamptz, interval) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION leadscore.fit_clv_merge(internal, internal) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION leadscore.fit_clv_serialize(internal) RETURNS bytea
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore.fit_clv_deserialize(bytea, internal) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore.fit_clv_final(internal) RETURNS jsonb
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION leadscore.fit_clv_transition(internal, leadscore.timeline, integer, timestamptz, interval) IS 'aggregate transition function';
COMMENT ON FUNCTION leadscore.fit_clv_merge(internal, internal) IS 'aggregate combine function';
COMMENT ON FUNCTION leadscore.fit_clv_serialize(internal) IS 'aggregate serial function';
COMMENT ON FUNCTION leadscore.fit_clv_deserialize(bytea, internal) IS 'aggregate deserial function';
COMMENT ON FUNCTION leadscore.fit_clv_final(internal) IS 'aggregate final function';

CREATE FUNCTION leadscore.check_fit(signal text, until timestamptz) RETURNS integer
	LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	id integer;
BEGIN
	SELECT s.signal_id INTO id FROM leadscore.signal s WHERE s.signal = check_fit.signal AND s.subject = 'event';
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object',
			MESSAGE = format('event signal "%s" does not exist', signal),
			DETAIL = format('There is no row with the signal "%s" and the subject "event" in leadscore.signal.', signal),
			HINT = leadscore.known('event signals'::text, ARRAY(SELECT s.signal FROM leadscore.signal s WHERE s.subject = 'event' ORDER BY 1));
	END IF;
	IF until > now() THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'until is in the future',
			DETAIL = format('It is %s.', until),
			HINT = 'Pass the instant up to which all purchases are known: now(), or one in the past.';
	END IF;
	RETURN id;
END
$$;

COMMENT ON FUNCTION leadscore.check_fit(text, timestamptz) IS 'the number of the signal that is to be fitted, or an error';

-- fitting

CREATE AGGREGATE leadscore.fit_clv(timeline leadscore.timeline, signal_id integer, until timestamptz, unit interval) (
	SFUNC = leadscore.fit_clv_transition,
	STYPE = internal,
	SSPACE = 2048,
	FINALFUNC = leadscore.fit_clv_final,
	COMBINEFUNC = leadscore.fit_clv_merge,
	SERIALFUNC = leadscore.fit_clv_serialize,
	DESERIALFUNC = leadscore.fit_clv_deserialize,
	PARALLEL = safe
);

COMMENT ON AGGREGATE leadscore.fit_clv(leadscore.timeline, integer, timestamptz, interval)
	IS 'the parameters of BG/NBD and Gamma-Gamma, fitted to the purchases in timelines';

CREATE FUNCTION leadscore.fit_clv(signal text, until timestamptz DEFAULT now(), unit interval DEFAULT '7 days') RETURNS jsonb
	LANGUAGE sql STABLE STRICT PARALLEL SAFE SET jit = off
BEGIN ATOMIC
	SELECT jsonb_build_object('signal', fit_clv.signal)
		|| leadscore.fit_clv(l.timeline, (SELECT leadscore.check_fit(fit_clv.signal, fit_clv.until)), fit_clv.until, fit_clv.unit)
	FROM (SELECT) one LEFT JOIN leadscore.visible_lead l ON true;	-- a row at least, whose arguments are checked
END;

COMMENT ON FUNCTION leadscore.fit_clv(text, timestamptz, interval)
	IS 'the parameters of BG/NBD and Gamma-Gamma, fitted to the purchases of all leads';

-- forecasting

CREATE TYPE leadscore.customer_value AS (
	purchases integer,
	last_purchase date,
	probability_alive float8,
	expected_purchases float8,
	average_value float8,
	expected_value float8,
	next_order date
);

COMMENT ON TYPE leadscore.customer_value IS 'what a customer has done, and is expected to do within a horizon';
COMMENT ON COLUMN leadscore.customer_value.purchases IS 'UTC days on which the lead has bought';
COMMENT ON COLUMN leadscore.customer_value.last_purchase IS 'the last of these days';
COMMENT ON COLUMN leadscore.customer_value.probability_alive IS 'that the lead is still a customer; the risk of churn is 1 less it';
COMMENT ON COLUMN leadscore.customer_value.expected_purchases IS 'within the horizon';
COMMENT ON COLUMN leadscore.customer_value.average_value IS 'expected of a purchase; NULL without gamma_gamma';
COMMENT ON COLUMN leadscore.customer_value.expected_value IS 'of the expected purchases; NULL without gamma_gamma';
COMMENT ON COLUMN leadscore.customer_value.next_order IS 'the UTC day by which half of such customers order again, if they are still customers';

CREATE FUNCTION leadscore.clv(timeline leadscore.timeline, params jsonb, horizon interval DEFAULT '1 year', at timestamptz DEFAULT now())
	RETURNS leadscore.customer_value
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 50;

COMMENT ON FUNCTION leadscore.clv(leadscore.timeline, jsonb, interval, timestamptz)
	IS 'the expected value of a customer, by a timeline';

CREATE FUNCTION leadscore.clv(lead_id text, params jsonb, horizon interval DEFAULT '1 year', at timestamptz DEFAULT now())
	RETURNS leadscore.customer_value
	LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT leadscore.clv((SELECT t.timeline FROM leadscore.current_timeline t WHERE t.lead_id = leadscore.lead_named(clv.lead_id)),
		params, horizon, at);
END;

COMMENT ON FUNCTION leadscore.clv(text, jsonb, interval, timestamptz) IS 'the expected value of a customer, by the lead';
-- transitions.sql: leads that change their segment, on the models that are watched
--
-- src/transition.c compares and writes; it tells about locks and order.

-- core

CREATE FUNCTION leadscore.next_segment(scorecard jsonb, timeline leadscore.timeline, profile jsonb, at timestamptz, segment text, since timestamptz) RETURNS text
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 100;

COMMENT ON FUNCTION leadscore.next_segment(jsonb, leadscore.timeline, jsonb, timestamptz, text, timestamptz)
	IS 'the segment at an instant of a lead that has been in one since another: hysteresis and cool-down hold it';

-- what is watched

CREATE FUNCTION leadscore.watching_changed() RETURNS trigger
	AS 'MODULE_PATHNAME' LANGUAGE C;

COMMENT ON FUNCTION leadscore.watching_changed() IS 'trigger: tells every session that what is watched has changed';

CREATE TABLE leadscore.watched_model (
	model text PRIMARY KEY REFERENCES leadscore.model ON UPDATE CASCADE ON DELETE CASCADE,
	active boolean NOT NULL DEFAULT true,
	seen boolean NOT NULL DEFAULT false,
	notify boolean NOT NULL DEFAULT true
);

COMMENT ON TABLE leadscore.watched_model IS 'the models whose transitions are written down; set by watch() and unwatch()';
COMMENT ON COLUMN leadscore.watched_model.model IS 'the model';
COMMENT ON COLUMN leadscore.watched_model.active IS 'false: it was watched, and its states wait to be watched again';
COMMENT ON COLUMN leadscore.watched_model.seen IS 'whether every lead has been looked at since it is watched';
COMMENT ON COLUMN leadscore.watched_model.notify IS 'whether changes are told with NOTIFY leadscore';

CREATE TABLE leadscore.lead_state (
	lead_id text,
	model text,
	segment text,
	since timestamptz NOT NULL,
	tick bigint NOT NULL,
	PRIMARY KEY (lead_id, model)
);

COMMENT ON TABLE leadscore.lead_state IS 'the segment that each lead is in, on the models that are watched';
COMMENT ON COLUMN leadscore.lead_state.lead_id IS 'the lead';
COMMENT ON COLUMN leadscore.lead_state.model IS 'the model';
COMMENT ON COLUMN leadscore.lead_state.segment IS 'the segment, with hysteresis and cool-down; NULL: none';
COMMENT ON COLUMN leadscore.lead_state.since IS 'since when';
COMMENT ON COLUMN leadscore.lead_state.tick IS 'of its last change';

CREATE TABLE leadscore.segment_change (
	change_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	model text NOT NULL,
	lead_id text NOT NULL,
	"from" text,
	"to" text,
	score float8,
	changed_at timestamptz NOT NULL,
	cause text NOT NULL,
	tick bigint NOT NULL
);

CREATE UNIQUE INDEX segment_change_order ON leadscore.segment_change (tick, change_id);
CREATE INDEX segment_change_lead_idx ON leadscore.segment_change (lead_id, model, change_id);

COMMENT ON TABLE leadscore.segment_change IS 'the log: one row whenever a lead changes its segment on a model that is watched';
COMMENT ON COLUMN leadscore.segment_change.change_id IS 'number, ascending along the changes of a lead';
COMMENT ON COLUMN leadscore.segment_change.model IS 'the model';
COMMENT ON COLUMN leadscore.segment_change.lead_id IS 'the lead';
COMMENT ON COLUMN leadscore.segment_change."from" IS 'the segment that it was in; NULL: none';
COMMENT ON COLUMN leadscore.segment_change."to" IS 'the segment that it is in; NULL: none';
COMMENT ON COLUMN leadscore.segment_change.score IS 'its score then; NULL: it is no lead any more';
COMMENT ON COLUMN leadscore.segment_change.changed_at IS 'when it was seen';
COMMENT ON COLUMN leadscore.segment_change.cause IS 'event: an event that came or went; time: seen by refresh_segments(); identity: of an alias; watch: seen when the model was watched';
COMMENT ON COLUMN leadscore.segment_change.tick IS 'with change_id, the order in which consumers get it';

CREATE TABLE leadscore.change_clock (
	ahead bigint NOT NULL
);

CREATE UNIQUE INDEX change_clock_one_row ON leadscore.change_clock ((true));

COMMENT ON TABLE leadscore.change_clock IS 'by how much ticks are ahead of transactions'' numbers: one row after a restore, or none';
COMMENT ON COLUMN leadscore.change_clock.ahead IS 'what is added to a transaction''s number';

CREATE FUNCTION leadscore.set_clock() RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE;

COMMENT ON FUNCTION leadscore.set_clock() IS 'counts ticks from behind those that there are, if ours would come before some, and says whether';

DO $$
DECLARE
	name text;
BEGIN
	FOREACH name IN ARRAY ARRAY['watched_model', 'model_document', 'change_clock'] LOOP
		EXECUTE format('CREATE TRIGGER watching_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON leadscore.%I'
			' FOR EACH STATEMENT EXECUTE FUNCTION leadscore.watching_changed()', name);
		EXECUTE format('ALTER TABLE leadscore.%I ENABLE ALWAYS TRIGGER watching_changed', name);
	END LOOP;
END
$$;

-- what src/transition.c writes
--
-- Queries of statements that we run inside a shop's: the planner puts them in
-- place of the call, so they are planned once a session, and an error shows the
-- call alone. For that they have no SET; what their names mean is fixed here.

CREATE FUNCTION leadscore.changes_to_log(models text[], lead_ids text[], from_segments text[], to_segments text[], scores float8[],
	at timestamptz, tick bigint, cause text)
	RETURNS TABLE (model text, lead_id text, "from" text, "to" text, score float8, changed_at timestamptz, cause_seen text, tick_given bigint)
	LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT d.model, d.lead_id, d."from", d."to", d.score, changes_to_log.at,
		CASE WHEN d."from" IS NULL AND NOT w.seen THEN 'watch' ELSE changes_to_log.cause END,
		-- along a lead's changes, on all models, ticks do not descend
		greatest(changes_to_log.tick, t.tick)
	FROM ROWS FROM (unnest(models), unnest(lead_ids), unnest(from_segments), unnest(to_segments), unnest(scores))
		WITH ORDINALITY AS d (model, lead_id, "from", "to", score, n)
	JOIN leadscore.watched_model w ON w.model = d.model AND w.active
	-- (found at once: a subquery for each lead would be charged as if lead_state had only a few leads)
	LEFT JOIN (
		SELECT s.lead_id, max(s.tick) AS tick FROM leadscore.lead_state s WHERE s.lead_id = ANY (changes_to_log.lead_ids) GROUP BY s.lead_id
	) t ON t.lead_id = d.lead_id
	ORDER BY d.n;
END;

COMMENT ON FUNCTION leadscore.changes_to_log(text[], text[], text[], text[], float8[], timestamptz, bigint, text)
	IS 'changes of segments as rows of segment_change, of models that are still watched';

-- a model that is gone, or has another name

CREATE FUNCTION leadscore.model_gone() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM leadscore.check_trigger(TG_RELID, 'leadscore.watched_model'::regclass);
	-- whoever still knows the model has ended then
	LOCK TABLE leadscore.lead_state IN SHARE ROW EXCLUSIVE MODE;
	IF TG_OP = 'UPDATE' THEN
		UPDATE leadscore.lead_state s SET model = NEW.model WHERE s.model = OLD.model;
		UPDATE leadscore.segment_change c SET model = NEW.model WHERE c.model = OLD.model;
	ELSE
		DELETE FROM leadscore.lead_state s WHERE NOT EXISTS (SELECT FROM leadscore.watched_model w WHERE w.model = s.model);
		DELETE FROM leadscore.segment_change c WHERE NOT EXISTS (SELECT FROM leadscore.watched_model w WHERE w.model = c.model);
	END IF;
	RETURN NULL;
END
$$;

COMMENT ON FUNCTION leadscore.model_gone() IS 'trigger: states and changes go with their model, and are renamed with it';

CREATE TRIGGER model_gone AFTER DELETE OR TRUNCATE ON leadscore.watched_model
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.model_gone();
CREATE TRIGGER model_renamed AFTER UPDATE OF model ON leadscore.watched_model
	FOR EACH ROW WHEN (OLD.model <> NEW.model) EXECUTE FUNCTION leadscore.model_gone();

-- looking at leads

CREATE FUNCTION leadscore.see_leads(lead_ids text[], cause text) RETURNS void
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;

COMMENT ON FUNCTION leadscore.see_leads(text[], text) IS 'writes down which leads have changed their segment; their rows of lead_timeline must be held';

CREATE FUNCTION leadscore.hold_leads(lead_ids text[], wait boolean) RETURNS text[]
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;

COMMENT ON FUNCTION leadscore.hold_leads(text[], boolean)
	IS 'locks rows of lead_timeline, made where there are none, and says which; not to wait: passes over those that somebody else has';

CREATE FUNCTION leadscore.leads_to_see(after text, n integer) RETURNS text[]
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET row_security = off SET jit = off
AS $$
	SELECT coalesce(array_agg(f.lead_id ORDER BY f.lead_id), '{}')
	FROM (
		SELECT DISTINCT c.lead_id COLLATE "C" AS lead_id
		FROM leadscore.watched_model w
		CROSS JOIN LATERAL (SELECT leadscore.scorecard(w.model) AS card OFFSET 0) d
		CROSS JOIN LATERAL (
			SELECT coalesce(s.lead_id, l.lead_id) AS lead_id
			FROM (
				SELECT t.lead_id, t.timeline, p.profile
				FROM leadscore.lead_timeline t LEFT JOIN leadscore.lead p ON p.lead_id = t.lead_id
				WHERE t.lead_id COLLATE "C" > after
				UNION ALL
				SELECT p.lead_id, NULL, p.profile
				FROM leadscore.lead p
				WHERE p.lead_id COLLATE "C" > after
				AND NOT EXISTS (SELECT FROM leadscore.lead_timeline t WHERE t.lead_id = p.lead_id)
				AND NOT EXISTS (SELECT FROM leadscore.lead_alias a WHERE a.alias = p.lead_id)
			) l
			FULL JOIN (SELECT o.lead_id, o.segment, o.since FROM leadscore.lead_state o
				WHERE o.model = w.model AND o.segment IS NOT NULL AND o.lead_id COLLATE "C" > after) s
			ON s.lead_id = l.lead_id
			WHERE s.segment IS DISTINCT FROM CASE WHEN l.lead_id IS NOT NULL
				THEN leadscore.next_segment(d.card, l.timeline, l.profile, clock_timestamp(), s.segment, s.since) END
		) c
		WHERE w.active
		ORDER BY 1
		LIMIT n
	) f
$$;

COMMENT ON FUNCTION leadscore.leads_to_see(text, integer) IS 'the next leads, in the order of their bytes, that seem to be in another segment than they were';

CREATE FUNCTION leadscore.see_batch(lead_ids text[], cause text, wait boolean) RETURNS text[]
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	held CONSTANT text[] := leadscore.hold_leads(lead_ids, wait);
BEGIN
	PERFORM leadscore.see_leads(held, cause);
	PERFORM leadscore.release_timelines(VARIADIC held);
	RETURN ARRAY(SELECT unnest(lead_ids) EXCEPT SELECT unnest(held));
END
$$;

COMMENT ON FUNCTION leadscore.see_batch(text[], text, boolean)
	IS 'writes down which leads have changed their segment, and says which it has passed over, for somebody else has them';

CREATE FUNCTION leadscore.see_all(cause text) RETURNS bigint
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	page text[];
	n CONSTANT integer := 100000;
	size CONSTANT integer := 10000;
	after text := '';
	seen bigint := 0;
BEGIN
	LOOP
		page := leadscore.leads_to_see(after, n);
		-- who waits for nobody, and is the last to come, is in no circle
		FOR i IN 0 .. cardinality(page) / size LOOP
			PERFORM leadscore.see_batch(page[i * size + 1 : (i + 1) * size], cause, wait => false);
		END LOOP;
		seen := seen + cardinality(page);
		EXIT WHEN cardinality(page) < n;
		after := page[n];
	END LOOP;
	RETURN seen;
END
$$;

COMMENT ON FUNCTION leadscore.see_all(text) IS 'looks at every lead on the models that are watched, and says how many were looked at closely';

-- A procedure that commits must not SET anything: every name is qualified.

CREATE PROCEDURE leadscore.look(cause text)
	LANGUAGE plpgsql
AS $$
DECLARE
	may_commit CONSTANT boolean := NOT leadscore.in_transaction_block();
	page pg_catalog.text[];
	n CONSTANT integer := 100000;
	size CONSTANT integer := 10000;
	after pg_catalog.text := '';
	busy pg_catalog.text[] := '{}';
BEGIN
	LOOP
		page := leadscore.leads_to_see(after, n);
		FOR i IN 0 .. pg_catalog.cardinality(page) OPERATOR(pg_catalog./) size LOOP
			busy := busy OPERATOR(pg_catalog.||) leadscore.see_batch(page[i OPERATOR(pg_catalog.*) size OPERATOR(pg_catalog.+) 1 :
				(i OPERATOR(pg_catalog.+) 1) OPERATOR(pg_catalog.*) size], cause, wait => false);
			IF may_commit THEN
				COMMIT;
			END IF;
		END LOOP;
		EXIT WHEN pg_catalog.cardinality(page) OPERATOR(pg_catalog.<) n;
		after := page[n];
	END LOOP;
	IF cause OPERATOR(pg_catalog.=) 'watch' THEN
		-- nobody may be left out; who has one lead at a time is in no circle either
		FOR i IN 1 .. pg_catalog.cardinality(busy) LOOP
			PERFORM leadscore.see_batch(busy[i : i], cause, wait => true);
			IF may_commit THEN
				COMMIT;
			END IF;
		END LOOP;
	END IF;
END
$$;

COMMENT ON PROCEDURE leadscore.look(text) IS 'looks at every lead on the models that are watched, a batch in a transaction';

CREATE PROCEDURE leadscore.see_changes()
	LANGUAGE plpgsql
AS $$
BEGIN
	CALL leadscore.look('time'::pg_catalog.text);
END
$$;

COMMENT ON PROCEDURE leadscore.see_changes()
	IS 'sees which leads have changed their segment on models that are watched, as refresh_segments() does, but commits after each 10,000';

-- watch, unwatch

CREATE FUNCTION leadscore.begin_watching(name text, notify boolean) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	INSERT INTO leadscore.watched_model AS w (model, notify) VALUES (name, begin_watching.notify)
	ON CONFLICT (model) DO UPDATE SET notify = excluded.notify, active = true, seen = w.active AND w.seen;
END
$$;

CREATE FUNCTION leadscore.finish_watching(name text) RETURNS void
	LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	UPDATE leadscore.watched_model SET seen = true WHERE model = name AND active AND NOT seen
$$;

COMMENT ON FUNCTION leadscore.begin_watching(text, boolean) IS 'from its commit on, writers watch a model';
COMMENT ON FUNCTION leadscore.finish_watching(text) IS 'notes that every lead has been looked at';

CREATE PROCEDURE leadscore.watch(model text DEFAULT 'default', notify boolean DEFAULT true)
	LANGUAGE plpgsql
AS $$
DECLARE
	may_commit CONSTANT boolean := NOT leadscore.in_transaction_block();
	name CONSTANT pg_catalog.text := leadscore.model_named(model);
BEGIN
	IF name IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'model is NULL',
			DETAIL = 'There is nothing to watch.', HINT = 'Name a model.';
	END IF;
	PERFORM leadscore.check_read_committed('watch()'::pg_catalog.text, 'passed over'::pg_catalog.text);
	IF NOT may_commit THEN
		-- nobody can know of it before we commit, so nobody may write until then
		LOCK TABLE ONLY leadscore.lead_timeline IN SHARE ROW EXCLUSIVE MODE;
	END IF;
	PERFORM leadscore.begin_watching(name, coalesce(notify, true));
	IF may_commit THEN
		COMMIT;
		PERFORM leadscore.wait_for_writers();
		COMMIT;
	END IF;
	CALL leadscore.look('watch'::pg_catalog.text);
	PERFORM leadscore.finish_watching(name);
	IF coalesce(notify, true) AND pg_catalog.current_setting('max_prepared_transactions') OPERATOR(pg_catalog.<>) '0' THEN
		RAISE NOTICE USING MESSAGE = 'transactions that change a segment cannot be prepared',
			DETAIL = 'PostgreSQL refuses PREPARE TRANSACTION after NOTIFY, and max_prepared_transactions allows for some.',
			HINT = pg_catalog.format('A shop that commits in two phases watches without notifications: CALL leadscore.watch(%L, notify => false).', name);
	END IF;
END
$$;

COMMENT ON PROCEDURE leadscore.watch(text, boolean) IS 'writes down from now on when leads change their segment on a model, and at once where they are';

CREATE FUNCTION leadscore.unwatch(model text DEFAULT 'default') RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	name CONSTANT text := leadscore.model_named(model);
BEGIN
	UPDATE leadscore.watched_model w SET active = false WHERE w.model = name AND w.active;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('model "%s" is not watched', name),
			DETAIL = 'Its transitions are not written down.',
			HINT = leadscore.known('watched models'::text, ARRAY(SELECT w.model FROM leadscore.watched_model w WHERE w.active ORDER BY 1));
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore.unwatch(text) IS 'ends watching a model; its log stays, and goes on when it is watched again';

-- consumers

CREATE TABLE leadscore.change_consumer (
	consumer text PRIMARY KEY
		CONSTRAINT change_consumer_not_empty CHECK ((consumer <> '') IS NOT FALSE OR leadscore.refuse(
			'consumer name is empty', '""', 'Name who takes changes, such as "crm".')),
	tick bigint NOT NULL DEFAULT 0,
	change_id bigint NOT NULL DEFAULT 0,
	given_tick bigint NOT NULL DEFAULT 0,
	given_id bigint NOT NULL DEFAULT 0,
	taken_tick bigint NOT NULL DEFAULT 0,
	taken_id bigint NOT NULL DEFAULT 0,
	taken_by xid8
);

COMMENT ON TABLE leadscore.change_consumer IS 'who takes changes, and how far each has come';
COMMENT ON COLUMN leadscore.change_consumer.consumer IS 'name';
COMMENT ON COLUMN leadscore.change_consumer.tick IS 'of the last change that it has acknowledged';
COMMENT ON COLUMN leadscore.change_consumer.change_id IS 'the last change that it has acknowledged';
COMMENT ON COLUMN leadscore.change_consumer.given_tick IS 'of the furthest change that it was given';
COMMENT ON COLUMN leadscore.change_consumer.given_id IS 'the furthest change that it was given';
COMMENT ON COLUMN leadscore.change_consumer.taken_tick IS 'of the last change that it was given last';
COMMENT ON COLUMN leadscore.change_consumer.taken_id IS 'the last change that it was given last';
COMMENT ON COLUMN leadscore.change_consumer.taken_by IS 'the transaction that was given it';

CREATE FUNCTION leadscore.change_horizon() RETURNS bigint
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint + coalesce((SELECT c.ahead FROM leadscore.change_clock c), 0)
$$;

COMMENT ON FUNCTION leadscore.change_horizon() IS 'the tick below which nobody is writing any more';

CREATE FUNCTION leadscore.take_changes(consumer text, n integer DEFAULT 100)
	RETURNS TABLE (change_id bigint, model text, lead_id text, "from" text, "to" text, score float8, changed_at timestamptz, cause text)
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	place leadscore.change_consumer;
BEGIN
	IF consumer IS NULL OR n IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'take_changes() needs a consumer and a number',
			DETAIL = 'Each consumer gets every change, in turn.', HINT = 'For example: SELECT * FROM leadscore.take_changes(''crm'', 100).';
	END IF;
	IF n < 1 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'the number of changes to take is not above zero',
			DETAIL = format('It is %s.', n), HINT = 'Write a whole number from 1.';
	END IF;
	IF leadscore.set_clock() AND current_setting('transaction_isolation') <> 'read committed' THEN
		-- our snapshot may lack what writers have written before we locked them out
		RETURN;
	END IF;
	INSERT INTO leadscore.change_consumer AS c (consumer) VALUES (take_changes.consumer) ON CONFLICT ON CONSTRAINT change_consumer_pkey DO NOTHING;
	-- another session that takes for the same consumer waits until we have acknowledged, or not
	SELECT c.* INTO STRICT place FROM leadscore.change_consumer c WHERE c.consumer = take_changes.consumer FOR NO KEY UPDATE;
	RETURN QUERY
	WITH given AS MATERIALIZED (
		SELECT c.*
		FROM leadscore.segment_change c
		WHERE (c.tick, c.change_id) > (place.tick, place.change_id)
		-- nobody is writing any more below the oldest transaction that runs
		AND c.tick < leadscore.change_horizon()
		ORDER BY c.tick, c.change_id
		LIMIT take_changes.n
	), noted AS (
		UPDATE leadscore.change_consumer c
		SET taken_tick = l.tick, taken_id = l.change_id, taken_by = pg_current_xact_id(),
			given_tick = f.tick, given_id = f.change_id
		FROM (SELECT g.tick, g.change_id FROM given g UNION ALL VALUES (place.tick, place.change_id) ORDER BY 1 DESC, 2 DESC LIMIT 1) l,
			LATERAL (VALUES (l.tick, l.change_id), (place.given_tick, place.given_id) ORDER BY 1 DESC, 2 DESC LIMIT 1) f (tick, change_id)
		WHERE c.consumer = take_changes.consumer
	)
	SELECT g.change_id, g.model, g.lead_id, g."from", g."to", g.score, g.changed_at, g.cause
	FROM given g
	ORDER BY g.tick, g.change_id;
END
$$;

COMMENT ON FUNCTION leadscore.take_changes(text, integer)
	IS 'the next changes that a consumer has not acknowledged, those of a lead in their order; again and again until it does';

CREATE FUNCTION leadscore.acknowledge_changes(consumer text, change_id bigint DEFAULT NULL) RETURNS void
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	place leadscore.change_consumer;
	done record;
BEGIN
	SELECT c.* INTO place FROM leadscore.change_consumer c WHERE c.consumer = acknowledge_changes.consumer FOR NO KEY UPDATE;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('consumer "%s" does not exist', consumer),
			DETAIL = 'It has not taken any changes.',
			HINT = leadscore.known('consumers'::text, ARRAY(SELECT c.consumer FROM leadscore.change_consumer c ORDER BY 1));
	END IF;
	IF acknowledge_changes.change_id IS NULL AND place.taken_by IS DISTINCT FROM pg_current_xact_id() THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = 'nothing says which changes are to be acknowledged',
			DETAIL = format('Consumer "%s" was not given any in this transaction; what it was given last may be another session''s to do.', consumer),
			HINT = 'Pass the change_id of the last row that take_changes() has returned.';
	END IF;
	IF acknowledge_changes.change_id IS NULL THEN
		SELECT place.taken_tick AS tick, place.taken_id AS change_id INTO done;
	ELSIF acknowledge_changes.change_id = place.given_id THEN
		SELECT place.given_tick AS tick, place.given_id AS change_id INTO done;
	ELSE
		SELECT c.tick, c.change_id INTO done FROM leadscore.segment_change c WHERE c.change_id = acknowledge_changes.change_id;
		IF NOT FOUND AND acknowledge_changes.change_id <= pg_sequence_last_value('leadscore.segment_change_change_id_seq') THEN
			-- of a lead that was forgotten meanwhile: those before it come again
			RETURN;
		END IF;
		IF NOT FOUND OR (done.tick, done.change_id) > (place.given_tick, place.given_id) THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('change %s was not given to consumer "%s"', acknowledge_changes.change_id, consumer),
				DETAIL = CASE place.given_id WHEN 0 THEN 'It was given none.' ELSE format('The last that it was given is %s.', place.given_id) END,
				HINT = 'Acknowledge the change_id of a row that take_changes() has returned: it and those before it.';
		END IF;
	END IF;
	UPDATE leadscore.change_consumer c SET tick = done.tick, change_id = done.change_id
	WHERE c.consumer = acknowledge_changes.consumer AND (done.tick, done.change_id) > (c.tick, c.change_id);
END
$$;

COMMENT ON FUNCTION leadscore.acknowledge_changes(text, bigint)
	IS 'a consumer has dealt with a change and those that it was given before; NULL: with all that it was given in this transaction';

CREATE FUNCTION leadscore.drop_consumer(consumer text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	DELETE FROM leadscore.change_consumer c WHERE c.consumer = drop_consumer.consumer;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('consumer "%s" does not exist', consumer),
			DETAIL = 'There is no such row in leadscore.change_consumer.',
			HINT = leadscore.known('consumers'::text, ARRAY(SELECT c.consumer FROM leadscore.change_consumer c ORDER BY 1));
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore.drop_consumer(text) IS 'forgets how far a consumer has come';

CREATE FUNCTION leadscore.prune_changes(before timestamptz) RETURNS bigint
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	n bigint;
BEGIN
	-- the last of each lead stays: what is left still tells where everybody is
	DELETE FROM leadscore.segment_change c
	WHERE c.changed_at < before
	AND NOT EXISTS (SELECT FROM leadscore.change_consumer r WHERE (c.tick, c.change_id) > (r.tick, r.change_id))
	AND EXISTS (SELECT FROM leadscore.segment_change l WHERE l.lead_id = c.lead_id AND l.model = c.model AND l.change_id > c.change_id);
	GET DIAGNOSTICS n = ROW_COUNT;
	RETURN n;
END
$$;

COMMENT ON FUNCTION leadscore.prune_changes(timestamptz)
	IS 'deletes changes of before an instant that every consumer has acknowledged, save the last of each lead, and says how many';

SELECT pg_catalog.pg_extension_config_dump('leadscore.watched_model', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.lead_state', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.segment_change', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.segment_change_change_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.change_clock', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.change_consumer', '');
-- offers.sql: vouchers for leads that enter a segment, and what they earn
--
-- src/offer.c issues them, with the change that a watched model's log gets.

CREATE FUNCTION leadscore.voucher_code() RETURNS text
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE;

COMMENT ON FUNCTION leadscore.voucher_code() IS 'a new code, of 80 random bits';

CREATE FUNCTION leadscore.is_held_out(offer text, lead_id text, holdout_share numeric) RETURNS boolean
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
	-- 32 bits of a hash that is the same on every server
	SELECT ('x' || substr(encode(sha256(leadscore.utf8(length(offer) || ' ' || offer || lead_id)), 'hex'), 1, 8))::bit(32)::bigint
		< holdout_share * 4294967296;
END;

COMMENT ON FUNCTION leadscore.is_held_out(text, text, numeric) IS 'whether an offer is kept from a lead, to measure what it earns: the same for ever';

CREATE TABLE leadscore.offer (
	offer text PRIMARY KEY
		CONSTRAINT offer_not_empty CHECK ((offer <> '') IS NOT FALSE OR leadscore.refuse(
			'offer name is empty', '""', 'Name the offer, such as "spring".')),
	model text NOT NULL,
	segment text NOT NULL,
	kind text NOT NULL DEFAULT 'percent'
		CONSTRAINT offer_kind_known CHECK ((kind IN ('percent', 'amount', 'shipping', 'gift')) IS NOT FALSE OR leadscore.refuse(
			'offer kind is unknown', kind, 'Write percent, amount, shipping or gift.')),
	discount numeric NOT NULL
		CONSTRAINT offer_discount_in_range CHECK ((discount >= 0 AND discount < 'Infinity' AND (kind <> 'percent' OR discount <= 100)) IS NOT FALSE OR leadscore.refuse(
			'offer discount is out of range', discount::text, 'Write percent from 0 to 100, or what a voucher costs the shop, from 0.')),
	valid_for interval NOT NULL
		CONSTRAINT offer_valid_for_positive CHECK ((extract(epoch FROM valid_for) > 0 AND extract(epoch FROM valid_for) <= 1e12) IS NOT FALSE OR leadscore.refuse(
			'offer valid_for is not above zero, or too long', valid_for::text, 'Write a duration such as 7 days.')),
	budget integer
		CONSTRAINT offer_budget_in_range CHECK ((budget BETWEEN 0 AND 10000000) IS NOT FALSE OR leadscore.refuse(
			'offer budget is out of range', budget::text, 'Write the most vouchers that may be open or redeemed, 0 to 10 million, or NULL for no limit.')),
	holdout_share numeric NOT NULL DEFAULT 0
		CONSTRAINT offer_holdout_share_in_range CHECK ((holdout_share BETWEEN 0 AND 1) IS NOT FALSE OR leadscore.refuse(
			'offer holdout_share is out of range', holdout_share::text, 'Write a share from 0 to 1, such as 0.1.')),
	starts_at timestamptz NOT NULL DEFAULT '-infinity',
	ends_at timestamptz,
	CONSTRAINT offer_starts_before_it_ends CHECK ((starts_at < ends_at) IS NOT FALSE OR leadscore.refuse(
		'offer starts_at is not before ends_at', format('starts_at %s, ends_at %s', starts_at, ends_at), 'Swap the two.'))
);

COMMENT ON TABLE leadscore.offer IS 'what a lead gets when it enters a segment of a watched model: one voucher';
COMMENT ON COLUMN leadscore.offer.offer IS 'name';
COMMENT ON COLUMN leadscore.offer.model IS 'the model';
COMMENT ON COLUMN leadscore.offer.segment IS 'the segment that is entered';
COMMENT ON COLUMN leadscore.offer.kind IS 'percent of the order, an amount of money, shipping or a gift';
COMMENT ON COLUMN leadscore.offer.discount IS 'percent, or what a redeemed voucher costs the shop';
COMMENT ON COLUMN leadscore.offer.valid_for IS 'how long a voucher can be redeemed';
COMMENT ON COLUMN leadscore.offer.budget IS 'the most vouchers that may be open or redeemed; NULL: no limit';
COMMENT ON COLUMN leadscore.offer.holdout_share IS 'the share of leads that get none, to compare with: 0 to 1';
COMMENT ON COLUMN leadscore.offer.starts_at IS 'from when on vouchers are issued';
COMMENT ON COLUMN leadscore.offer.ends_at IS 'until when vouchers are issued; NULL: no end';

CREATE TRIGGER watching_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON leadscore.offer
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.watching_changed();
ALTER TABLE leadscore.offer ENABLE ALWAYS TRIGGER watching_changed;

-- What is left of budgets. A slot below zero is one that a lowered budget has been overspent by.
CREATE TABLE leadscore.offer_slot (
	offer text,
	slot bigint,
	PRIMARY KEY (offer, slot)
);

COMMENT ON TABLE leadscore.offer_slot IS 'what is left of budgets: a row for each voucher that is still to be had';
COMMENT ON COLUMN leadscore.offer_slot.offer IS 'the offer';
COMMENT ON COLUMN leadscore.offer_slot.slot IS 'number; below zero: a voucher that was issued beyond the budget of now';

CREATE SEQUENCE leadscore.offer_slot_seq;

CREATE TABLE leadscore.voucher (
	voucher_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	offer text NOT NULL,
	kind text NOT NULL,
	terms numeric NOT NULL,
	lead_id text,
	code text UNIQUE,
	issued_at timestamptz NOT NULL,
	expires_at timestamptz NOT NULL,
	expired boolean NOT NULL DEFAULT false,
	redeemed_at timestamptz,
	order_ref text,
	discount numeric,
	UNIQUE (offer, lead_id)
);

CREATE INDEX voucher_lead_id_idx ON leadscore.voucher (lead_id);
CREATE INDEX voucher_open_idx ON leadscore.voucher (expires_at) WHERE redeemed_at IS NULL AND NOT expired;

COMMENT ON TABLE leadscore.voucher IS 'what leads have been offered: a code, or nothing, for comparison';
COMMENT ON COLUMN leadscore.voucher.voucher_id IS 'number';
COMMENT ON COLUMN leadscore.voucher.offer IS 'the offer';
COMMENT ON COLUMN leadscore.voucher.kind IS 'the offer''s when it was issued';
COMMENT ON COLUMN leadscore.voucher.terms IS 'the offer''s discount when it was issued: percent, or an amount';
COMMENT ON COLUMN leadscore.voucher.lead_id IS 'the lead; NULL: forgotten';
COMMENT ON COLUMN leadscore.voucher.code IS 'what the lead shows to redeem it; NULL: the lead is held out';
COMMENT ON COLUMN leadscore.voucher.issued_at IS 'when the lead entered the segment';
COMMENT ON COLUMN leadscore.voucher.expires_at IS 'until when it can be redeemed, or would have been';
COMMENT ON COLUMN leadscore.voucher.expired IS 'whether expire_vouchers() has given it back to the budget';
COMMENT ON COLUMN leadscore.voucher.redeemed_at IS 'when it was redeemed; NULL: it was not';
COMMENT ON COLUMN leadscore.voucher.order_ref IS 'the order that it was redeemed for';
COMMENT ON COLUMN leadscore.voucher.discount IS 'what it has cost the shop; NULL: not known, for redeem() was not told the order''s value';

-- what src/offer.c issues; queries without SET, as those of transitions.sql

CREATE FUNCTION leadscore.offers_entered(models text[], lead_ids text[], from_segments text[], to_segments text[], at timestamptz)
	RETURNS TABLE (offer text, kind text, discount numeric, budget integer, valid_for interval, lead_id text, holdout boolean)
	LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT o.offer, o.kind, o.discount, o.budget, o.valid_for, c.lead_id, leadscore.is_held_out(o.offer, c.lead_id, o.holdout_share)
	FROM ROWS FROM (unnest(models), unnest(lead_ids), unnest(from_segments), unnest(to_segments)) AS c (model, lead_id, "from", "to")
	-- whoever is new to a model that has just been watched was there before
	JOIN leadscore.watched_model w ON w.model = c.model AND w.active AND (w.seen OR c."from" IS NOT NULL)
	JOIN leadscore.offer o ON o.model = c.model AND o.segment = c."to" AND at >= o.starts_at AND (o.ends_at IS NULL OR at < o.ends_at)
	WHERE NOT EXISTS (SELECT FROM leadscore.voucher v WHERE v.offer = o.offer
		AND (v.lead_id = c.lead_id OR v.lead_id = ANY (ARRAY(SELECT a.alias FROM leadscore.lead_alias a WHERE a.lead_id = c.lead_id))));
END;

COMMENT ON FUNCTION leadscore.offers_entered(text[], text[], text[], text[], timestamptz) IS 'what leads are offered that have changed their segment';

CREATE FUNCTION leadscore.slots_wanted(models text[], lead_ids text[], from_segments text[], to_segments text[], at timestamptz)
	RETURNS TABLE (offer text, wanted bigint)
	LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT e.offer, count(*) FILTER (WHERE NOT e.holdout)
	FROM leadscore.offers_entered(models, lead_ids, from_segments, to_segments, at) e
	WHERE e.budget IS NOT NULL
	GROUP BY e.offer;
END;

COMMENT ON FUNCTION leadscore.slots_wanted(text[], text[], text[], text[], timestamptz) IS 'how much of offers'' budgets leads would take that have changed their segment';

CREATE FUNCTION leadscore.vouchers_to_issue(models text[], lead_ids text[], from_segments text[], to_segments text[], at timestamptz, taken text[])
	RETURNS TABLE (offer text, kind text, terms numeric, lead_id text, holdout boolean, expires_at timestamptz)
	LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT e.offer, e.kind, e.discount, e.lead_id, e.holdout, at + e.valid_for
	FROM (
		SELECT n.*, row_number() OVER (PARTITION BY n.offer, n.holdout ORDER BY n.lead_id) AS n
		FROM leadscore.offers_entered(models, lead_ids, from_segments, to_segments, at) n
	) e
	LEFT JOIN (SELECT t.offer, count(*) AS n FROM unnest(taken) AS t (offer) GROUP BY t.offer) g ON g.offer = e.offer
	WHERE e.budget IS NULL OR CASE
		-- whoever is held out takes nothing, but from a budget that is not used up
		WHEN e.holdout THEN g.n IS NOT NULL OR EXISTS (SELECT FROM leadscore.offer_slot s WHERE s.offer = e.offer AND s.slot > 0)
		ELSE e.n <= g.n END;
END;

COMMENT ON FUNCTION leadscore.vouchers_to_issue(text[], text[], text[], text[], timestamptz, text[])
	IS 'vouchers for leads that have changed their segment; taken: the offer of each slot that was taken for them';

-- money, as timelines have it

CREATE FUNCTION leadscore.money(amount numeric, what text) RETURNS numeric
	LANGUAGE plpgsql STRICT SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF amount IN ('NaN', 'Infinity', '-Infinity') THEN
		RAISE EXCEPTION USING ERRCODE = 'numeric_value_out_of_range', MESSAGE = format('%s is not finite', what),
			DETAIL = format('It is %s.', amount), HINT = 'Write an amount of money.';
	END IF;
	IF scale(trim_scale(amount)) > 6 THEN
		RAISE NOTICE USING MESSAGE = format('%s is rounded to six decimals', what), DETAIL = format('%s becomes %s.', amount, round(amount, 6));
		RETURN round(amount, 6);
	END IF;
	RETURN amount;
END
$$;

COMMENT ON FUNCTION leadscore.money(numeric, text) IS 'an amount of money with at most six decimals: what has more is rounded, and said';

-- offers that are made, changed and deleted

CREATE FUNCTION leadscore.check_offer() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF leadscore.in_restore() THEN
		RETURN NEW;
	END IF;
	IF TG_OP = 'DELETE' THEN
		IF EXISTS (SELECT FROM leadscore.voucher v WHERE v.offer = OLD.offer) THEN
			RAISE EXCEPTION USING ERRCODE = 'foreign_key_violation', MESSAGE = format('offer "%s" has vouchers', OLD.offer),
				DETAIL = 'They could not be redeemed any more, nor their result be measured.',
				HINT = 'UPDATE leadscore.offer SET ends_at = now() ends it.';
		END IF;
		RETURN OLD;
	END IF;
	IF TG_OP = 'UPDATE' AND NEW.offer <> OLD.offer THEN
		RAISE EXCEPTION USING ERRCODE = 'feature_not_supported', MESSAGE = format('offer "%s" cannot be renamed', OLD.offer),
			DETAIL = 'Its name decides who is held out.', HINT = 'End it with ends_at, and make another.';
	END IF;
	IF (TG_OP = 'INSERT' OR NEW.model <> OLD.model OR NEW.segment <> OLD.segment)
		AND NOT EXISTS (SELECT FROM leadscore.segment s WHERE s.model = NEW.model AND s.segment = NEW.segment) THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object',
			MESSAGE = format('model "%s" has no segment "%s"', NEW.model, NEW.segment),
			DETAIL = format('The offer "%s" names it.', NEW.offer),
			HINT = leadscore.known('segments'::text, ARRAY(SELECT format('%s (%s)', s.segment, s.model) FROM leadscore.segment s ORDER BY s.model, s.position));
	END IF;
	NEW.discount := leadscore.money(NEW.discount, 'the discount'::text);
	RETURN NEW;
END
$$;

COMMENT ON FUNCTION leadscore.check_offer() IS 'trigger: an offer has a segment, and stays if it has vouchers';

CREATE TRIGGER check_offer BEFORE INSERT OR UPDATE OR DELETE ON leadscore.offer
	FOR EACH ROW EXECUTE FUNCTION leadscore.check_offer();

CREATE FUNCTION leadscore.fill_slots(name text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	budget CONSTANT integer := (SELECT o.budget FROM leadscore.offer o WHERE o.offer = name);
	spent bigint;
BEGIN
	-- nobody issues or gives back while we count
	LOCK TABLE leadscore.offer_slot IN SHARE ROW EXCLUSIVE MODE;
	SELECT count(*) INTO spent FROM leadscore.voucher v WHERE v.offer = name AND v.code IS NOT NULL AND NOT v.expired;
	DELETE FROM leadscore.offer_slot s WHERE s.offer = name;
	INSERT INTO leadscore.offer_slot (offer, slot)
	SELECT name, sign(budget - spent) * nextval('leadscore.offer_slot_seq') FROM generate_series(1, abs(budget - spent));
END
$$;

COMMENT ON FUNCTION leadscore.fill_slots(text) IS 'makes what is left of an offer''s budget anew';

CREATE FUNCTION leadscore.offer_changed() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM leadscore.check_trigger(TG_RELID, 'leadscore.offer'::regclass);
	IF NOT leadscore.in_restore() THEN
		IF TG_OP = 'UPDATE' THEN
			PERFORM leadscore.check_read_committed('A change of a budget'::text, 'overlooked'::text);
		END IF;
		PERFORM leadscore.fill_slots(CASE TG_OP WHEN 'DELETE' THEN OLD.offer ELSE NEW.offer END);
	END IF;
	RETURN NULL;
END
$$;

COMMENT ON FUNCTION leadscore.offer_changed() IS 'trigger: an offer''s slots follow its budget';

CREATE TRIGGER offer_made AFTER INSERT OR DELETE ON leadscore.offer
	FOR EACH ROW EXECUTE FUNCTION leadscore.offer_changed();
CREATE TRIGGER offer_changed AFTER UPDATE ON leadscore.offer
	FOR EACH ROW WHEN (OLD.budget IS DISTINCT FROM NEW.budget) EXECUTE FUNCTION leadscore.offer_changed();

CREATE FUNCTION leadscore.offers_renamed() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM leadscore.check_trigger(TG_RELID, 'leadscore.model'::regclass);
	UPDATE leadscore.offer o SET model = NEW.model WHERE o.model = OLD.model;
	RETURN NULL;
END
$$;

COMMENT ON FUNCTION leadscore.offers_renamed() IS 'trigger: offers follow their model to its new name';

-- by its name after the triggers of foreign keys, which rename the segments
CREATE TRIGGER offers_renamed AFTER UPDATE OF model ON leadscore.model
	FOR EACH ROW WHEN (OLD.model <> NEW.model) EXECUTE FUNCTION leadscore.offers_renamed();

-- redeem, expire

CREATE FUNCTION leadscore.names_of(lead_id text) RETURNS text[]
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT ARRAY(SELECT a.alias FROM leadscore.lead_alias a WHERE a.lead_id = l.lead) || l.lead
	FROM (SELECT coalesce((SELECT a.lead_id FROM leadscore.lead_alias a WHERE a.alias = names_of.lead_id), names_of.lead_id) AS lead) l
$$;

COMMENT ON FUNCTION leadscore.names_of(text) IS 'all names of a lead, by any of them';

CREATE FUNCTION leadscore.redeem(code text, lead_id text, order_ref text, order_value numeric DEFAULT NULL,
	OUT offer text, OUT kind text, OUT discount numeric)
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	voucher leadscore.voucher;
	names text[];
	amount CONSTANT numeric := leadscore.money(order_value, 'the value of the order'::text);
BEGIN
	IF redeem.code IS NULL OR redeem.lead_id IS NULL OR redeem.order_ref IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'redeem() needs a code, a lead and an order',
			DETAIL = 'A voucher is for one lead, and for one order.', HINT = 'For example: SELECT leadscore.redeem(''7QX2-...'', ''anna'', ''order 17'').';
	END IF;
	IF amount < 0 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'the value of the order is negative',
			DETAIL = format('It is %s.', amount), HINT = 'Pass what the order is worth before the discount.';
	END IF;
	SELECT v.* INTO voucher FROM leadscore.voucher v WHERE v.code = upper(redeem.code);
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = 'there is no such voucher',
			DETAIL = format('The code is "%s".', left(redeem.code, 40)), HINT = 'Codes look like 7QX2-0K9M-4DPA-ZZ1C.';
	END IF;
	-- another name of the lead will do, but no other lead's
	names := leadscore.names_of(redeem.lead_id);
	IF (voucher.lead_id = ANY (names)) IS NOT TRUE THEN
		RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege', MESSAGE = 'the voucher belongs to another lead',
			DETAIL = format('It is not for "%s".', left(redeem.lead_id, 100)), HINT = 'A voucher cannot be passed on.';
	END IF;
	-- two at once: the second waits here until the first has committed; of visitors that were found out to be one lead, each may have got one
	PERFORM FROM leadscore.voucher v WHERE v.offer = voucher.offer AND v.lead_id = ANY (names) ORDER BY v.voucher_id FOR UPDATE;
	SELECT v.* INTO STRICT voucher FROM leadscore.voucher v WHERE v.voucher_id = voucher.voucher_id;
	IF voucher.redeemed_at IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'unique_violation', MESSAGE = 'the voucher has been redeemed already',
			DETAIL = format('At %s, for "%s".', voucher.redeemed_at, left(voucher.order_ref, 100)), HINT = 'A voucher can be redeemed once.';
	END IF;
	IF EXISTS (SELECT FROM leadscore.voucher v WHERE v.offer = voucher.offer AND v.lead_id = ANY (names) AND v.redeemed_at IS NOT NULL) THEN
		RAISE EXCEPTION USING ERRCODE = 'unique_violation', MESSAGE = 'the lead has redeemed a voucher of this offer already',
			DETAIL = format('It got another as "%s", before it was known by one name.', left(voucher.lead_id, 100)), HINT = 'A lead can redeem one voucher of an offer.';
	END IF;
	IF voucher.expired OR voucher.expires_at <= clock_timestamp() THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = 'the voucher has expired',
			DETAIL = format('It was valid until %s.', voucher.expires_at), HINT = 'A voucher is valid for as long as the offer says.';
	END IF;

	offer := voucher.offer;
	kind := voucher.kind;
	discount := CASE WHEN kind = 'percent' THEN round(amount * voucher.terms / 100, 6)
		WHEN kind = 'amount' THEN least(voucher.terms, amount) ELSE voucher.terms END;
	UPDATE leadscore.voucher v SET redeemed_at = clock_timestamp(), order_ref = redeem.order_ref, discount = redeem.discount
	WHERE v.voucher_id = voucher.voucher_id;
END
$$;

COMMENT ON FUNCTION leadscore.redeem(text, text, text, numeric)
	IS 'settles a voucher for a lead''s order, once, and says what it is worth; NULL: percent of a value that is not known';

CREATE FUNCTION leadscore.expire_vouchers() RETURNS bigint
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
	-- whoever changes a budget has ended, and his budget is seen, or waits for us
	LOCK TABLE leadscore.offer_slot IN ROW EXCLUSIVE MODE;
	WITH late AS MATERIALIZED (
		SELECT v.voucher_id FROM leadscore.voucher v
		WHERE v.redeemed_at IS NULL AND NOT v.expired AND v.expires_at <= clock_timestamp()
		FOR UPDATE SKIP LOCKED
	), gone AS (
		UPDATE leadscore.voucher v SET expired = true FROM late l WHERE v.voucher_id = l.voucher_id
		RETURNING v.offer, v.code
	), back AS MATERIALIZED (
		SELECT g.offer, count(*) AS n
		FROM gone g JOIN leadscore.offer o ON o.offer = g.offer
		WHERE g.code IS NOT NULL AND o.budget IS NOT NULL
		GROUP BY g.offer
	), debt AS MATERIALIZED (
		-- what a lowered budget was overspent by is made good first
		SELECT b.offer, s.slot
		FROM back b CROSS JOIN LATERAL (
			SELECT s.slot FROM leadscore.offer_slot s WHERE s.offer = b.offer AND s.slot < 0
			ORDER BY s.slot LIMIT b.n FOR UPDATE SKIP LOCKED) s
	), paid AS (
		DELETE FROM leadscore.offer_slot s USING debt d WHERE s.offer = d.offer AND s.slot = d.slot RETURNING s.offer
	), filled AS (
		INSERT INTO leadscore.offer_slot (offer, slot)
		SELECT b.offer, nextval('leadscore.offer_slot_seq')
		FROM back b CROSS JOIN LATERAL generate_series(1, b.n - (SELECT count(*) FROM paid p WHERE p.offer = b.offer))
	)
	SELECT count(*) FILTER (WHERE g.code IS NOT NULL) FROM gone g;
$$;

COMMENT ON FUNCTION leadscore.expire_vouchers() IS 'gives vouchers that nobody has redeemed in time back to the budget, and says how many';

-- what an offer has earned
--
-- Both groups entered the same segment, and chance has parted them: what those
-- with a voucher have spent more than those without is what the voucher did.

CREATE FUNCTION leadscore.offer_result(offer text, signal text)
	RETURNS TABLE ("group" text, leads bigint, redeemed bigint, buyers bigint, conversion_rate numeric, revenue numeric,
		revenue_per_lead numeric, discount numeric, unknown_discounts bigint, earned numeric)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	number integer;
BEGIN
	IF NOT EXISTS (SELECT FROM leadscore.offer o WHERE o.offer = offer_result.offer) THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('offer "%s" does not exist', offer),
			DETAIL = 'There is no such row in leadscore.offer.',
			HINT = leadscore.known('offers'::text, ARRAY(SELECT o.offer FROM leadscore.offer o ORDER BY 1));
	END IF;
	SELECT s.signal_id INTO number FROM leadscore.signal s WHERE s.signal = offer_result.signal AND s.subject = 'event';
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('event signal "%s" does not exist', signal),
			DETAIL = 'It tells what is a purchase, and its value what was paid.',
			HINT = leadscore.known('event signals'::text, ARRAY(SELECT s.signal FROM leadscore.signal s WHERE s.subject = 'event' ORDER BY 1));
	END IF;
	RETURN QUERY
	WITH lead AS (
		-- of those who are forgotten, nobody knows what they bought; visitors that are known by one name now are one lead, and no witness if in both groups
		SELECT coalesce(a.lead_id, v.lead_id) AS lead_id, bool_and(v.code IS NOT NULL) AS treated, min(v.issued_at) AS issued_at, max(v.expires_at) AS expires_at,
			count(v.redeemed_at) AS redeemed, coalesce(sum(v.discount), 0) AS discount, count(*) FILTER (WHERE v.redeemed_at IS NOT NULL AND v.discount IS NULL) AS unknown
		FROM leadscore.voucher v LEFT JOIN leadscore.lead_alias a ON a.alias = v.lead_id
		WHERE v.offer = offer_result.offer AND v.lead_id IS NOT NULL
		GROUP BY 1
		HAVING bool_and(v.code IS NOT NULL) = bool_or(v.code IS NOT NULL)
	), bought AS (
		SELECT l.*, p.occurrences, p.value
		FROM lead l
		CROSS JOIN LATERAL (
			SELECT coalesce(sum(e.occurrences), 0) AS occurrences, coalesce(sum(e.value), 0) AS value
			FROM leadscore.current_timeline t CROSS JOIN LATERAL leadscore.timeline_entries(t.timeline) e
			WHERE t.lead_id = l.lead_id AND e.signal_id = number
			-- of days that are compacted, hours are not known any more
			AND e.hour >= date_trunc(CASE WHEN l.issued_at < (SELECT c.compacted_before FROM leadscore.compaction c) THEN 'day' ELSE 'hour' END, l.issued_at, 'UTC')
			AND e.hour < l.expires_at
		) p
	), grouped AS (
		SELECT g.treated, count(l.treated) AS leads, coalesce(sum(l.redeemed), 0)::bigint AS redeemed, count(*) FILTER (WHERE l.occurrences > 0) AS buyers,
			coalesce(sum(l.value), 0) AS revenue, coalesce(sum(l.discount), 0) AS discount, coalesce(sum(l.unknown), 0)::bigint AS unknown
		FROM (VALUES (true), (false)) AS g (treated) LEFT JOIN bought l ON l.treated = g.treated
		GROUP BY g.treated
	)
	SELECT CASE WHEN g.treated THEN 'voucher' ELSE 'holdout' END, g.leads, g.redeemed, g.buyers,
		round(g.buyers / nullif(g.leads, 0)::numeric, 4), g.revenue, round(g.revenue / nullif(g.leads, 0), 6), g.discount, g.unknown,
		CASE WHEN g.treated THEN round(g.revenue - g.leads * (h.revenue / nullif(h.leads, 0)) - g.discount, 6) END
	FROM grouped g JOIN grouped h ON NOT h.treated
	ORDER BY g.treated DESC;
END
$$;

COMMENT ON FUNCTION leadscore.offer_result(text, text)
	IS 'what leads with a voucher bought while it was valid, beside those held out; earned: what the voucher brought, less what it cost';

SELECT pg_catalog.pg_extension_config_dump('leadscore.offer', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.offer_slot', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.offer_slot_seq', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.voucher', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.voucher_voucher_id_seq', '');
-- schedule.sql: what is to be run again and again, by pg_cron or by cron

CREATE FUNCTION leadscore.jobs() RETURNS TABLE (job text, command text)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	-- what is not there is not run
	SELECT 'leadscore ' || j.job, format('%s leadscore.%s()', CASE p.prokind WHEN 'p' THEN 'CALL' ELSE 'SELECT' END, p.proname)
	FROM (VALUES (1, 'derive', 'derive'), (2, 'fold', 'fold'), (3, 'changes', 'see_changes'), (4, 'refresh', 'refresh_segments'), (5, 'expire', 'expire_vouchers')) AS j (n, job, name)
	JOIN pg_proc p ON p.proname = j.name AND p.pronamespace = 'leadscore'::regnamespace
	WHERE p.pronargs = p.pronargdefaults
	ORDER BY j.n
$$;

COMMENT ON FUNCTION leadscore.jobs() IS 'what schedule() schedules';

CREATE FUNCTION leadscore.cron_line(every interval) RETURNS text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	seconds CONSTANT numeric := extract(epoch FROM every);
	-- by the second from version 1.5 on
	by_second CONSTANT boolean := coalesce((SELECT string_to_array(substring(x.extversion from '^[0-9.]+'), '.')::integer[] >= '{1,5}'
		FROM pg_extension x WHERE x.extname = 'pg_cron'), false);
BEGIN
	RETURN CASE
		WHEN by_second AND seconds IN (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30) THEN seconds::integer || ' seconds'
		WHEN seconds = 60 THEN '* * * * *'
		WHEN seconds IN (120, 180, 240, 300, 360, 600, 720, 900, 1200, 1800) THEN format('*/%s * * * *', (seconds / 60)::integer)
		WHEN seconds = 3600 THEN '0 * * * *'
		WHEN seconds IN (7200, 10800, 14400, 21600, 28800, 43200) THEN format('0 */%s * * *', (seconds / 3600)::integer)
		WHEN seconds = 86400 THEN '0 0 * * *'
		END;
END
$$;

COMMENT ON FUNCTION leadscore.cron_line(interval) IS 'an interval as cron has it; NULL: it cannot say that';

CREATE FUNCTION leadscore.shell_word(word text) RETURNS text
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
	SELECT '''' || replace(word, '''', E'''\\''''') || '''';
END;

COMMENT ON FUNCTION leadscore.shell_word(text) IS 'a text as one word of a shell';

CREATE FUNCTION leadscore.schedule(every interval DEFAULT '1 minute')
	RETURNS TABLE (job text, schedule text, command text, scheduled boolean)
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	line CONSTANT text := leadscore.cron_line(every);
	here CONSTANT boolean := EXISTS (SELECT FROM pg_extension x WHERE x.extname = 'pg_cron');
BEGIN
	IF line IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'cron cannot run jobs at that interval',
			DETAIL = format('It is %s.', coalesce(every::text, 'NULL')),
			HINT = 'Write minutes that divide an hour, hours that divide a day, or 1 day; with pg_cron 1.5 also seconds that divide a minute.';
	END IF;
	FOR job, command IN SELECT j.job, j.command FROM leadscore.jobs() j LOOP
		schedule := line;
		scheduled := here;
		IF here THEN
			-- a job of that name is replaced
			EXECUTE 'SELECT cron.schedule($1, $2, $3)' USING job, line, command;
		ELSE
			-- in a crontab, % is the end of a line unless it is escaped
			command := replace(format('psql -X -q -p %s -d %s -c %s', current_setting('port'),
				leadscore.shell_word(current_database()::text), leadscore.shell_word(command)), '%', E'\\%');
		END IF;
		RETURN NEXT;
	END LOOP;
	IF NOT here THEN
		RAISE NOTICE USING MESSAGE = 'pg_cron is not in this database: nothing is scheduled',
			DETAIL = 'The rows say what to put into a crontab: schedule and command.',
			HINT = 'With shared_preload_libraries = ''pg_cron'' and cron.database_name = ''' || current_database()
				|| ''', CREATE EXTENSION pg_cron and schedule() again. From the database that has pg_cron, cron.schedule_in_database() runs jobs here.';
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore.schedule(interval) IS 'has pg_cron run what is to be run again and again, or says what to put into a crontab';

CREATE FUNCTION leadscore.unschedule() RETURNS integer
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	n integer := 0;
BEGIN
	IF EXISTS (SELECT FROM pg_extension x WHERE x.extname = 'pg_cron') THEN
		EXECUTE 'SELECT count(cron.unschedule(j.jobid)) FROM cron.job j WHERE j.jobname = ANY ($1) AND j.database = current_database() AND j.username = current_user'
			INTO n USING ARRAY['leadscore derive', 'leadscore fold', 'leadscore changes', 'leadscore refresh', 'leadscore expire'];
	END IF;
	RETURN n;
END
$$;

COMMENT ON FUNCTION leadscore.unschedule() IS 'ends what schedule() has begun, and says how many jobs';
-- privileges.sql: who may do what
--
-- Each function is of one class. PUBLIC may call what is pure: the type, the
-- core, and the checks of tables. Readers, writers, identifiers, redeemers and
-- admins may call what is listed for them, and what functions that run with
-- their rights call in turn. All else is the owner's: functions of triggers and
-- of aggregates, for which nobody else needs a right, and what SECURITY DEFINER
-- functions call. A function that no list has is so from the start.
-- test/t/037_rights.pl has the lists once more.

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA leadscore FROM PUBLIC;
REVOKE ALL ON ALL PROCEDURES IN SCHEMA leadscore FROM PUBLIC;
GRANT USAGE ON SCHEMA leadscore TO PUBLIC;

-- the type
GRANT EXECUTE ON FUNCTION leadscore.timeline_in(cstring), leadscore.timeline_out(leadscore.timeline), leadscore.timeline_recv(internal),
	leadscore.timeline_send(leadscore.timeline), leadscore.timeline_eq(leadscore.timeline, leadscore.timeline),
	leadscore.timeline_ne(leadscore.timeline, leadscore.timeline), leadscore.timeline_hash(leadscore.timeline),
	leadscore.timeline_hash_extended(leadscore.timeline, bigint), leadscore.timeline_add(leadscore.timeline, leadscore.timeline),
	leadscore.timeline_subtract(leadscore.timeline, leadscore.timeline), leadscore.timeline_plus(leadscore.timeline),
	leadscore.timeline_minus(leadscore.timeline) TO PUBLIC;

-- the core
GRANT EXECUTE ON FUNCTION leadscore.timeline_agg(jsonb, text, timestamptz, numeric, jsonb), leadscore.timeline_sum(leadscore.timeline),
	leadscore.scorable(text, timestamptz, numeric, jsonb), leadscore.timeline_entries(leadscore.timeline),
	leadscore.coarsen(leadscore.timeline, timestamptz), leadscore.timeline_before(leadscore.timeline, timestamptz),
	leadscore.timeline_first_hour(leadscore.timeline, integer, timestamptz, timestamptz), leadscore.timeline_last_hour(leadscore.timeline),
	leadscore.timeline_start(leadscore.timeline), leadscore.timeline_total(leadscore.timeline, integer, timestamptz, timestamptz),
	leadscore.timeline_partition(text, integer),
	leadscore.score(jsonb, leadscore.timeline, jsonb, timestamptz), leadscore.appraise(jsonb, leadscore.timeline, jsonb, timestamptz),
	leadscore.contributions(jsonb, leadscore.timeline, jsonb, timestamptz), leadscore.features(jsonb, leadscore.timeline, jsonb, timestamptz),
	leadscore.next_segment(jsonb, leadscore.timeline, jsonb, timestamptz, text, timestamptz),
	leadscore.template(text), leadscore.templates(), leadscore.diff(jsonb, jsonb),
	leadscore.session_number(timestamptz, interval), leadscore.session_number(timestamp, interval),
	leadscore.fit_clv(leadscore.timeline, integer, timestamptz, interval), leadscore.clv(leadscore.timeline, jsonb, interval, timestamptz),
	leadscore.roc_auc(float8, boolean), leadscore.roc_auc_error(float8, boolean), leadscore.average_precision(float8, boolean),
	leadscore.ks(float8, boolean), leadscore.log_loss(float8, boolean), leadscore.brier(float8, boolean),
	leadscore.logistic_regression(float8[], boolean, float8, float8[]) TO PUBLIC;

-- what constraints call, and hints: with the rights of whoever writes
GRANT EXECUTE ON FUNCTION leadscore.check_event(text, text, timestamptz, numeric, jsonb), leadscore.check_condition(jsonpath),
	leadscore.check_scorecard(jsonb), leadscore.check_duration(text, interval, text), leadscore.duration_hours(text, interval, text),
	leadscore.refuse(text, text, text), leadscore.known(text, text[]) TO PUBLIC;

CREATE FUNCTION leadscore.check_role(role regrole) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF role IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'the role is NULL',
			DETAIL = 'Rights are granted to a role.', HINT = 'Name one, such as SELECT leadscore.grant_reader(''dashboard'').';
	END IF;
	IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = role) THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('role with OID %s does not exist', role::oid),
			DETAIL = 'Rights are granted to a role.', HINT = 'CREATE ROLE makes one.';
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore.check_role(regrole) IS 'refuses what is no role';

CREATE FUNCTION leadscore.grant_reader(role regrole) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM leadscore.check_role(role);
	EXECUTE format('GRANT SELECT ON leadscore.signal, leadscore.model, leadscore.weight, leadscore.category, leadscore.stage,'
		' leadscore.grade, leadscore.segment, leadscore.compaction, leadscore.model_document, leadscore.lead, leadscore.lead_timeline,'
		' leadscore.lead_alias, leadscore.pending_delta, leadscore.changed_lead, leadscore.counted_signal, leadscore.snapshot_state, leadscore.signal_definition,'
		' leadscore.source_trigger, leadscore.source, leadscore.status, leadscore.current_timeline, leadscore.visible_lead, leadscore.lead_score,'
		' leadscore.lead_segment, leadscore.segment_summary, leadscore.model_version, leadscore.experiment, leadscore.watched_model,'
		' leadscore.lead_state, leadscore.segment_change, leadscore.offer,'
		' leadscore.derivation, leadscore.conversion, leadscore.model_conversion,'
		' leadscore.rfm_group, leadscore.spend, leadscore.channel, leadscore.lead_start, leadscore.monthly_figure,'
		' leadscore.sales_cycle, leadscore.funnel, leadscore.attribution, leadscore.crm_state, leadscore.crm_lead TO %s', role);
	EXECUTE format('GRANT SELECT (lead_id) ON leadscore.event TO %s', role);	-- for row-level security in lead_score
	EXECUTE format('GRANT EXECUTE ON FUNCTION leadscore.signals(), leadscore.scorecard(text), leadscore.make_document(text), leadscore.model_named(text),'
		' leadscore.lead_named(text), leadscore.is_visible(text), leadscore.model_cards(), leadscore.served_models(), leadscore.months_since(timestamptz), leadscore.model_stages(), leadscore.stage_signals(), leadscore.touch_signals(), leadscore.children(regclass), leadscore.source_problem(regclass, jsonb), leadscore.split_problem(), leadscore.transition_problem(), leadscore.split_tables(), leadscore.partitions(),'
		' leadscore.column_type(regclass, text), leadscore.property_type(regtype), leadscore.trigger_mapping(bytea), leadscore.top(integer, text, timestamptz), leadscore.score(text, text, timestamptz), leadscore.score_by_query(text, text, timestamptz), leadscore.explain(text, text, timestamptz),'
		' leadscore.score_history(text, text, timestamptz, timestamptz, interval), leadscore.rfm_groups(), leadscore.rfm(text[], timestamptz, integer),'
		' leadscore.rfm(text, timestamptz, integer), leadscore.conversion_of(text), leadscore.signals_named(text[]),'
		' leadscore.crm_changes(bigint, integer), leadscore.crm_at(timestamptz), leadscore.crm_reasons(jsonb, leadscore.timeline, jsonb, timestamptz),'
		' leadscore.conversion_id(jsonb, text), leadscore.check_outcome(jsonb, text, interval, timestamptz[], interval),'
		' leadscore.examples(integer, integer, integer, boolean, timestamptz[]),'
		' leadscore.warn_of_censoring(integer, integer, integer, timestamptz[]),'
		' leadscore.outcome(leadscore.timeline, integer, timestamptz, integer, integer),'
		' leadscore.past_score(jsonb, leadscore.timeline, jsonb, timestamptz), leadscore.past_probability(jsonb, leadscore.timeline, jsonb, timestamptz),'
		' leadscore.assess(jsonb, leadscore.timeline, jsonb, timestamptz, boolean),'
		' leadscore.past_features(jsonb, leadscore.timeline, jsonb, timestamptz),'
		' leadscore.past_points(jsonb, leadscore.timeline, jsonb, timestamptz), leadscore.unbounded(jsonb),'
		' leadscore.with_points(jsonb, float8[], float8),'
		' leadscore.fit(jsonb, text, interval, timestamptz[], float8, float8, boolean, float8, interval, boolean, text, boolean),'
		' leadscore.stored_sum(leadscore.timeline), leadscore.month_of(timestamptz), leadscore.month_start(date),'
		' leadscore.gains(float8, boolean), leadscore.bands(float8, boolean), leadscore.fine_bands(float8, boolean),'
		' leadscore.normal_tails(float8), leadscore.student_tails(float8, float8), leadscore.student_bound(float8, float8),'
		' leadscore.profile_values(integer, integer, integer, timestamptz[], integer, boolean), leadscore.with_profile(jsonb, integer, integer, integer, timestamptz[], boolean),'
		' leadscore.profile_report(text, interval, timestamptz[], interval, integer),'
		' leadscore.merge_bands(float8[]), leadscore.likelihood(float8, float8), leadscore.measured_once(jsonb),'
		' leadscore.with_bands(jsonb, integer, integer, integer, boolean, timestamptz[], boolean), leadscore.with_half_lives(jsonb, text[], text),'
		' leadscore.sample_likelihood(jsonb, leadscore.timeline[], jsonb[], timestamptz[], boolean[], float8),'
		' leadscore.learn_decay(jsonb, integer, integer, integer, boolean, timestamptz[], float8, boolean),'
		' leadscore.information_value(float8[], float8, float8),'
		' leadscore.signal_report(jsonb, text, interval, timestamptz[], float8, interval),'
		' leadscore.compare(jsonb, jsonb, text, leadscore.timeline, jsonb, timestamptz), leadscore.with_signal_ids(jsonb),'
		' leadscore.stability_index(float8[], float8, float8), leadscore.preview(jsonb, text, timestamptz),'
		' leadscore.stability_report(text, timestamptz, timestamptz, interval),'
		' leadscore.treated(text, float8, text), leadscore.serving_model(text, text, timestamptz), leadscore.arm(text, text), leadscore.experiment_result(text, text, float8, timestamptz),'
		' leadscore.training_set(jsonb, text, interval, timestamptz[], interval),'
		' leadscore.evaluate(jsonb, text, interval, timestamptz[], interval),'
		' leadscore.lift_table(jsonb, text, interval, timestamptz[], interval),'
		' leadscore.calibration_table(jsonb, text, interval, timestamptz[], interval),'
		' leadscore.check_fit(text, timestamptz), leadscore.fit_clv(text, timestamptz, interval), leadscore.clv(text, jsonb, interval, timestamptz) TO %s', role);
END
$$;

COMMENT ON FUNCTION leadscore.grant_reader(regrole) IS 'lets a role read scores, segments and configuration, as dashboards do';

CREATE FUNCTION leadscore.grant_writer(role regrole) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM leadscore.check_role(role);
	EXECUTE format('GRANT INSERT ON leadscore.event TO %s', role);
	EXECUTE format('GRANT SELECT (event_id, dedup_key) ON leadscore.event TO %s', role);	-- RETURNING, ON CONFLICT
	EXECUTE format('GRANT EXECUTE ON FUNCTION leadscore.take_changes(text, integer), leadscore.acknowledge_changes(text, bigint) TO %s', role);
END
$$;

COMMENT ON FUNCTION leadscore.grant_writer(regrole) IS 'lets a role insert events and take changes, as trackers and workers do';

CREATE FUNCTION leadscore.grant_identifier(role regrole) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM leadscore.check_role(role);
	EXECUTE format('GRANT EXECUTE ON FUNCTION leadscore.identify(text, text), leadscore.unidentify(text) TO %s', role);
END
$$;

COMMENT ON FUNCTION leadscore.grant_identifier(regrole) IS 'lets a role say which names belong to one lead, any lead: for what logs customers in';

CREATE FUNCTION leadscore.grant_redeemer(role regrole) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM leadscore.check_role(role);
	EXECUTE format('GRANT EXECUTE ON FUNCTION leadscore.redeem(text, text, text, numeric) TO %s', role);
END
$$;

COMMENT ON FUNCTION leadscore.grant_redeemer(regrole) IS 'lets a role redeem vouchers: for what takes orders';

CREATE FUNCTION leadscore.grant_admin(role regrole) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM leadscore.grant_reader(role), leadscore.grant_writer(role), leadscore.grant_identifier(role), leadscore.grant_redeemer(role);
	-- what a person edits, and what functions change that run with his rights
	EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON leadscore.signal, leadscore.model, leadscore.weight, leadscore.category, leadscore.stage,'
		' leadscore.grade, leadscore.segment, leadscore.compaction, leadscore.model_version, leadscore.experiment, leadscore.event, leadscore.lead,'
		' leadscore.derivation, leadscore.conversion, leadscore.rfm_group, leadscore.spend, leadscore.channel, leadscore.offer,'
		' leadscore.voucher, leadscore.changed_lead, leadscore.derived_event, leadscore.derivation_due, leadscore.derivation_state,'
		' leadscore.crm_state, leadscore.watched_model, leadscore.lead_state, leadscore.segment_change, leadscore.change_consumer TO %s', role);
	-- (what a rebuild brings again)
	EXECUTE format('GRANT DELETE ON leadscore.lead_timeline TO %s', role);
	EXECUTE format('GRANT SELECT ON leadscore.offer_slot, leadscore.change_clock TO %s', role);
	EXECUTE format('GRANT USAGE ON SEQUENCE leadscore.weight_weight_id_seq, leadscore.crm_change_id_seq TO %s', role);
	EXECUTE format('GRANT EXECUTE ON FUNCTION leadscore.publish(jsonb), leadscore.restore_version(text, integer), leadscore.keep_documents(text[]),'
		-- tracking
		' leadscore.track(regclass, name, text, name, name, name, name[], text), leadscore.track_profile(regclass, name, name[]),'
		' leadscore.untrack(regclass), leadscore.check_source(regclass), leadscore.check_properties(regclass, name[]),'
		' leadscore.begin_tracking(regclass, jsonb, text), leadscore.end_tracking(regclass, text[]), leadscore.check_children(oid[]),'
		' leadscore.has_in_family(regclass, oid[]), leadscore.create_triggers(regclass, jsonb, text), leadscore.drop_triggers(regclass, text),'
		' leadscore.record(), leadscore.record_profile(), leadscore.add_source(regclass, jsonb, boolean, boolean),'
		' leadscore.add_profiles(regclass, jsonb, boolean, boolean), leadscore.note_everybody(),'
		-- sources, read whole: each looks at the rights of the caller
		' leadscore.hold_sources(), leadscore.hold_source(regclass), leadscore.source_timelines(text[], jsonb, boolean),'
		' leadscore.gather(regclass[], jsonb[], jsonb, text[], text[], integer, integer), leadscore.gather_parts(regclass[]),'
		' leadscore.source_events(regclass[], jsonb[], text[], text[]), leadscore.log_events(text[]),'
		' leadscore.row_condition(regclass, jsonb, boolean, boolean), leadscore.column_text(regclass, text),'
		' leadscore.difference(leadscore.timeline, leadscore.timeline), leadscore.only(leadscore.timeline, integer[]),'
		-- maintenance
		' leadscore.verify(), leadscore.fold(bigint), leadscore.partition_timelines(integer), leadscore.find_corrections(text[], jsonb),'
		' leadscore.apply_corrections(bigint, bigint), leadscore.add_deltas(text[], leadscore.timeline[]), leadscore.find_hours(),'
		' leadscore.check_compaction(timestamptz), leadscore.begin_compaction(timestamptz), leadscore.compaction_finished(),'
		' leadscore.signal_definitions(text[]), leadscore.signals_counted(jsonb), leadscore.in_transaction_block(), leadscore.wait_for_writers(),'
		' leadscore.hold_rebuild(boolean), leadscore.release_rebuild(), leadscore.check_read_committed(text, text),'
		-- identities and what follows from events
		' leadscore.forget(text, boolean), leadscore.count_rows(regclass, jsonb, text[]), leadscore.check_lead_id(text, text), leadscore.hold_names(text[]), leadscore.hold_derivations(),'
		' leadscore.hold_crm(), leadscore.derive(timestamptz, boolean), leadscore.derive_once(timestamptz, boolean), leadscore.duration(interval),'
		' leadscore.affinity(text, timestamptz, interval, text[], float8), leadscore.make_signals(text, text, integer),'
		' leadscore.check_property(text, integer), leadscore.check_kinds(text[]), leadscore.refresh_crm(), leadscore.crm_forget(bigint),'
		-- scores, transitions and offers
		' leadscore.refresh_segments(boolean), leadscore.unwatch(text), leadscore.begin_watching(text, boolean), leadscore.finish_watching(text),'
		' leadscore.leads_to_see(text, integer), leadscore.see_batch(text[], text, boolean), leadscore.drop_consumer(text),'
		' leadscore.prune_changes(timestamptz), leadscore.expire_vouchers(), leadscore.offer_result(text, text), leadscore.money(numeric, text),'
		' leadscore.in_restore(), leadscore.schedule(interval), leadscore.unschedule(), leadscore.jobs(), leadscore.cron_line(interval),'
		' leadscore.shell_word(text) TO %s', role);
	EXECUTE format('GRANT EXECUTE ON PROCEDURE leadscore.rebuild(text[], text[]), leadscore.compact(timestamptz), leadscore.watch(text, boolean),'
		' leadscore.see_changes(), leadscore.look(text), leadscore.add_corrections(text, bigint, boolean) TO %s', role);
END
$$;

COMMENT ON FUNCTION leadscore.grant_admin(regrole) IS 'lets a role configure models, track its own tables, rebuild and forget, and do what the other roles may';

CREATE FUNCTION leadscore.grant_backup(role regrole) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	object regclass;
BEGIN
	PERFORM leadscore.check_role(role);
	-- what pg_dump reads: the tables and sequences that are part of a dump, and those that lead_timeline is split into
	FOR object IN
		SELECT unnest(x.extconfig) FROM pg_extension x WHERE x.extname = 'leadscore'
		UNION
		SELECT t.name FROM leadscore.split_tables() t
		ORDER BY 1
	LOOP
		EXECUTE format('GRANT SELECT ON %s TO %s', object, role);
	END LOOP;
END
$$;

COMMENT ON FUNCTION leadscore.grant_backup(regrole) IS 'lets a role that is no superuser, such as the owner of the database, dump it with pg_dump';

REVOKE ALL ON FUNCTION leadscore.check_role(regrole), leadscore.grant_reader(regrole), leadscore.grant_writer(regrole), leadscore.grant_identifier(regrole),
	leadscore.grant_redeemer(regrole), leadscore.grant_admin(regrole), leadscore.grant_backup(regrole) FROM PUBLIC;

-- Views read with the rights of the user, so that row-level security on our
-- tables holds in them.

DO $$
DECLARE
	view regclass;
BEGIN
	FOR view IN
		SELECT c.oid FROM pg_catalog.pg_class c
		WHERE c.relnamespace = 'leadscore'::pg_catalog.regnamespace AND c.relkind = 'v'
	LOOP
		EXECUTE pg_catalog.format('ALTER VIEW %s SET (security_invoker = true)', view);
	END LOOP;
END
$$;
