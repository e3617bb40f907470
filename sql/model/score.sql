-- score.sql: the pure core: values in, values out, no table is read

-- private functions

CREATE FUNCTION leadscore_internal.timeline_agg_transition(internal, jsonb, text, timestamptz, numeric, jsonb) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 15;

CREATE FUNCTION leadscore_internal.timeline_agg_inverse(internal, jsonb, text, timestamptz, numeric, jsonb) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 15;

CREATE FUNCTION leadscore_internal.timeline_agg_final(internal) RETURNS leadscore.timeline
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.timeline_sum_transition(internal, leadscore.timeline) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 15;

CREATE FUNCTION leadscore_internal.timeline_sum_inverse(internal, leadscore.timeline) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 15;

CREATE FUNCTION leadscore_internal.timeline_sum_final(internal) RETURNS leadscore.timeline
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.timeline_builder_merge(internal, internal) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.timeline_builder_serialize(internal) RETURNS bytea
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.timeline_builder_deserialize(bytea, internal) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION leadscore_internal.timeline_agg_transition(internal, jsonb, text, timestamptz, numeric, jsonb) IS 'aggregate transition function';
COMMENT ON FUNCTION leadscore_internal.timeline_agg_inverse(internal, jsonb, text, timestamptz, numeric, jsonb) IS 'aggregate inverse transition function';
COMMENT ON FUNCTION leadscore_internal.timeline_agg_final(internal) IS 'aggregate final function';
COMMENT ON FUNCTION leadscore_internal.timeline_sum_transition(internal, leadscore.timeline) IS 'aggregate transition function';
COMMENT ON FUNCTION leadscore_internal.timeline_sum_inverse(internal, leadscore.timeline) IS 'aggregate inverse transition function';
COMMENT ON FUNCTION leadscore_internal.timeline_sum_final(internal) IS 'aggregate final function';
COMMENT ON FUNCTION leadscore_internal.timeline_builder_merge(internal, internal) IS 'aggregate combine function';
COMMENT ON FUNCTION leadscore_internal.timeline_builder_serialize(internal) IS 'aggregate serial function';
COMMENT ON FUNCTION leadscore_internal.timeline_builder_deserialize(bytea, internal) IS 'aggregate deserial function';

-- aggregates

CREATE AGGREGATE leadscore.timeline_agg(signals jsonb, kind text, occurred_at timestamptz, value numeric, properties jsonb) (
	SFUNC = leadscore_internal.timeline_agg_transition,
	STYPE = internal,
	SSPACE = 512,
	FINALFUNC = leadscore_internal.timeline_agg_final,
	COMBINEFUNC = leadscore_internal.timeline_builder_merge,
	SERIALFUNC = leadscore_internal.timeline_builder_serialize,
	DESERIALFUNC = leadscore_internal.timeline_builder_deserialize,
	MSFUNC = leadscore_internal.timeline_agg_transition,
	MINVFUNC = leadscore_internal.timeline_agg_inverse,
	MSTYPE = internal,
	MSSPACE = 512,
	MFINALFUNC = leadscore_internal.timeline_agg_final,
	PARALLEL = safe
);

COMMENT ON AGGREGATE leadscore.timeline_agg(jsonb, text, timestamptz, numeric, jsonb)
	IS 'the timeline of events; NULL if none counts for a signal';

CREATE AGGREGATE leadscore.timeline_sum(leadscore.timeline) (
	SFUNC = leadscore_internal.timeline_sum_transition,
	STYPE = internal,
	SSPACE = 512,
	FINALFUNC = leadscore_internal.timeline_sum_final,
	COMBINEFUNC = leadscore_internal.timeline_builder_merge,
	SERIALFUNC = leadscore_internal.timeline_builder_serialize,
	DESERIALFUNC = leadscore_internal.timeline_builder_deserialize,
	MSFUNC = leadscore_internal.timeline_sum_transition,
	MINVFUNC = leadscore_internal.timeline_sum_inverse,
	MSTYPE = internal,
	MSSPACE = 512,
	MFINALFUNC = leadscore_internal.timeline_sum_final,
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

CREATE FUNCTION leadscore_internal.timeline_start(timeline leadscore.timeline) RETURNS timestamptz
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore.timeline_last_hour(timeline leadscore.timeline) RETURNS timestamptz
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 5;

CREATE FUNCTION leadscore_internal.timeline_total(timeline leadscore.timeline, signal_id integer, since timestamptz, until timestamptz,
	OUT occurrences numeric, OUT value numeric)
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 10;

COMMENT ON FUNCTION leadscore.timeline_before(leadscore.timeline, timestamptz) IS 'the part of a timeline before the hour of an instant';
COMMENT ON FUNCTION leadscore.timeline_first_hour(leadscore.timeline, integer, timestamptz, timestamptz)
	IS 'the first hour within bounds in which a signal occurred; any signal, if it is NULL';
COMMENT ON FUNCTION leadscore_internal.timeline_start(leadscore.timeline) IS 'the hour of the first entry';
COMMENT ON FUNCTION leadscore.timeline_last_hour(leadscore.timeline) IS 'the last hour of any signal';
COMMENT ON FUNCTION leadscore_internal.timeline_total(leadscore.timeline, integer, timestamptz, timestamptz)
	IS 'occurrences and value of a signal within bounds; NULL: no bound';

CREATE FUNCTION leadscore.coarsen(timeline leadscore.timeline, before timestamptz) RETURNS leadscore.timeline
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore.coarsen(timeline leadscore.timeline, before timestamptz, time_zone text) RETURNS leadscore.timeline
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION leadscore.coarsen(leadscore.timeline, timestamptz, text)
	IS 'a timeline with the hours before the day of an instant, in a time zone, kept by the day';

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
	OUT uncapped_points float8, OUT category text, OUT stage text, OUT last_at timestamptz, OUT rule text
) RETURNS SETOF record
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE ROWS 30;

COMMENT ON FUNCTION leadscore.contributions(jsonb, leadscore.timeline, jsonb, timestamptz)
	IS 'what each weight measured and is worth, then each rule';

CREATE FUNCTION leadscore.features(scorecard jsonb, timeline leadscore.timeline, profile jsonb, at timestamptz) RETURNS float8[]
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 20;

COMMENT ON FUNCTION leadscore.features(jsonb, leadscore.timeline, jsonb, timestamptz)
	IS 'what each weight measured, in the order of the scorecard, then 1 or 0 for each rule';
