-- catalog.sql: the configuration: tables that a person edits, and the
-- documents that the core takes

-- private functions

CREATE FUNCTION leadscore_internal.refuse(problem text, value text, hint text) RETURNS boolean
	LANGUAGE plpgsql VOLATILE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RAISE EXCEPTION USING ERRCODE = 'check_violation', MESSAGE = problem,
		DETAIL = 'The value is ' || coalesce(value, 'NULL') || '.', HINT = hint;
END
$$;

COMMENT ON FUNCTION leadscore_internal.refuse(text, text, text) IS 'the error of a failed check, for use in the check';

-- What the columns of another table hold may be of types whose casts run code of its owner.

CREATE FUNCTION leadscore_internal.check_trigger(fired_on oid, own regclass) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF fired_on <> own THEN
		RAISE EXCEPTION USING ERRCODE = 'trigger_protocol_violated', MESSAGE = format('the trigger function is for %s alone', own),
			DETAIL = format('It was called on %s.', fired_on::regclass), HINT = 'Drop the trigger.';
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.check_trigger(oid, regclass) IS 'refuses a trigger function that runs as the owner on another table than its own';

CREATE FUNCTION leadscore_internal.utf8(name text) RETURNS bytea
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION leadscore_internal.utf8(text) IS 'the bytes of a name in UTF-8, or as they are if they have no form in it: the input of hashes of names';

CREATE FUNCTION leadscore_internal.check_duration(what text, duration interval, hint text) RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.duration_hours(what text, duration interval, hint text) RETURNS integer
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION leadscore_internal.check_duration(text, interval, text) IS 'true, or an error if a duration in a table is under an hour or too long';
COMMENT ON FUNCTION leadscore_internal.duration_hours(text, interval, text) IS 'a duration in hours, rounded up, or an error if an argument is under an hour or too long';

CREATE FUNCTION leadscore_internal.label_fault(label text) RETURNS text
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION leadscore_internal.label_fault(text) IS 'what is the matter with the label of a signal; NULL: nothing';

CREATE FUNCTION leadscore_internal.check_scorecard(document jsonb) RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION leadscore_internal.check_scorecard(jsonb) IS 'true, or an error that names the path of what is wrong';

CREATE FUNCTION leadscore_internal.check_condition(condition jsonpath) RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION leadscore_internal.check_condition(jsonpath) IS 'true, or an error if a jsonpath is no predicate';

CREATE FUNCTION leadscore_internal.is_time_zone(name text) RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION leadscore_internal.is_time_zone(text) IS 'whether there is a time zone of a name, other than a POSIX rule';

CREATE FUNCTION leadscore_internal.day_start(at timestamptz, time_zone text) RETURNS timestamptz
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION leadscore_internal.day_start(timestamptz, text) IS 'the first hour of an instant''s day in a time zone: an hour belongs to the day that it begins on';

CREATE FUNCTION leadscore_internal.signals_changed() RETURNS trigger
	AS 'MODULE_PATHNAME' LANGUAGE C;

COMMENT ON FUNCTION leadscore_internal.signals_changed() IS 'trigger: tells every session that the signals have changed';

CREATE FUNCTION leadscore_internal.lock_by_name(what text) RETURNS void
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;

COMMENT ON FUNCTION leadscore_internal.lock_by_name(text) IS 'takes the exclusive lock of a name until the transaction ends; advisory locks of SQL cannot conflict with it';

-- signal

CREATE TABLE leadscore.signal (
	signal text PRIMARY KEY
		CONSTRAINT signal_not_empty CHECK ((signal <> '') IS NOT FALSE OR leadscore_internal.refuse(
			'signal name is empty', '""', 'Name what is counted, such as "visit".')),
	signal_id integer NOT NULL UNIQUE GENERATED ALWAYS AS IDENTITY,
	subject text NOT NULL DEFAULT 'event'
		CONSTRAINT signal_subject_known CHECK ((subject IN ('event', 'profile')) IS NOT FALSE OR leadscore_internal.refuse(
			'signal subject is unknown', subject, 'Write event or profile.')),
	kind text
		CONSTRAINT signal_kind_not_empty CHECK ((kind <> '') IS NOT FALSE OR leadscore_internal.refuse(
			'signal kind is empty', '""', 'Write NULL for any kind.')),
	match jsonb
		CONSTRAINT signal_match_is_object CHECK ((jsonb_typeof(match) = 'object') IS NOT FALSE OR leadscore_internal.refuse(
			'signal match is not a JSON object', match::text, 'Write an object such as {"device": "mobile"}, or NULL.')),
	condition jsonpath
		CONSTRAINT signal_condition_is_predicate CHECK (leadscore_internal.check_condition(condition)),
	description text,
	label text
		CONSTRAINT signal_label_is_short_text CHECK (leadscore_internal.label_fault(label) IS NULL OR leadscore_internal.refuse(
			'signal label ' || leadscore_internal.label_fault(label), to_json(label)::text, 'Write a name for people, such as "purchase" or "purchase|purchases", or NULL.')),
	CONSTRAINT signal_profile_has_no_kind CHECK ((subject <> 'profile' OR kind IS NULL) IS NOT FALSE OR leadscore_internal.refuse(
		'a profile signal has no kind', kind, 'Kinds belong to events; write NULL.'))
);

COMMENT ON TABLE leadscore.signal IS 'what is counted: an event''s kind and what its properties must look like, or what a profile must look like';
COMMENT ON COLUMN leadscore.signal.signal IS 'name';
COMMENT ON COLUMN leadscore.signal.signal_id IS 'number in timelines: assigned, stable, never used again';
COMMENT ON COLUMN leadscore.signal.subject IS 'event or profile';
COMMENT ON COLUMN leadscore.signal.kind IS 'the kind of event; NULL: any';
COMMENT ON COLUMN leadscore.signal.match IS 'what the properties must contain, as with @>; NULL: anything';
COMMENT ON COLUMN leadscore.signal.condition IS 'a predicate that the properties must satisfy, as with @@; NULL: none';
COMMENT ON COLUMN leadscore.signal.description IS 'for people';
COMMENT ON COLUMN leadscore.signal.label IS 'its short name for people, in explanations: one and, behind a bar, many, as in order|orders; NULL: its name';

-- A session counts with the signals that it has compiled: changes must always
-- reach it, also those made under session_replication_role = replica.
CREATE TRIGGER signals_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON leadscore.signal
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.signals_changed();
ALTER TABLE leadscore.signal ENABLE ALWAYS TRIGGER signals_changed;

-- model

CREATE TABLE leadscore.model (
	model text PRIMARY KEY
		CONSTRAINT model_not_empty CHECK ((model <> '') IS NOT FALSE OR leadscore_internal.refuse(
			'model name is empty', '""', 'Name the model, such as "default".')),
	description text,
	floor float8
		CONSTRAINT model_floor_finite CHECK ((floor > '-Infinity' AND floor < 'Infinity') IS NOT FALSE OR leadscore_internal.refuse(
			'model floor is not finite', floor::text, 'Write a number, or NULL for none.')),
	ceiling float8
		CONSTRAINT model_ceiling_finite CHECK ((ceiling > '-Infinity' AND ceiling < 'Infinity') IS NOT FALSE OR leadscore_internal.refuse(
			'model ceiling is not finite', ceiling::text, 'Write a number, or NULL for none.')),
	intercept float8
		CONSTRAINT model_intercept_finite CHECK ((intercept > '-Infinity' AND intercept < 'Infinity') IS NOT FALSE OR leadscore_internal.refuse(
			'model intercept is not finite', intercept::text, 'Write a number, or NULL for none.')),
	slope float8
		CONSTRAINT model_slope_finite CHECK ((slope > '-Infinity' AND slope < 'Infinity') IS NOT FALSE OR leadscore_internal.refuse(
			'model slope is not finite', slope::text, 'Write a number, or NULL for none.')),
	time_zone text
		CONSTRAINT model_time_zone_known CHECK (leadscore_internal.is_time_zone(time_zone) IS NOT FALSE OR leadscore_internal.refuse(
			'model time_zone is unknown', time_zone, 'Write a name from pg_timezone_names, such as Europe/Berlin, or NULL for UTC.')),
	crm_step float8
		CONSTRAINT model_crm_step_in_range CHECK ((crm_step >= 0 AND crm_step < 'Infinity') IS NOT FALSE OR leadscore_internal.refuse(
			'model crm_step is out of range', crm_step::text, 'Write how far a score moves before a CRM is told, from 0, or NULL for 5.')),
	CONSTRAINT model_floor_below_ceiling CHECK ((floor < ceiling) IS NOT FALSE OR leadscore_internal.refuse(
		'model floor is not below its ceiling', format('floor %s, ceiling %s', floor, ceiling), 'Lower the floor, or raise the ceiling.'))
);

COMMENT ON TABLE leadscore.model IS 'a way to score: all models read the same timelines';
COMMENT ON COLUMN leadscore.model.model IS 'name';
COMMENT ON COLUMN leadscore.model.description IS 'for people';
COMMENT ON COLUMN leadscore.model.floor IS 'the lowest score; NULL: none';
COMMENT ON COLUMN leadscore.model.ceiling IS 'the highest score; NULL: none';
COMMENT ON COLUMN leadscore.model.intercept IS 'probability = 1 / (1 + exp(-(intercept + slope * (engagement + fit))))';
COMMENT ON COLUMN leadscore.model.slope IS 'probability = 1 / (1 + exp(-(intercept + slope * (engagement + fit))))';
COMMENT ON COLUMN leadscore.model.time_zone IS 'whose days max_per_day and active_days count, such as Europe/Berlin; NULL: UTC';
COMMENT ON COLUMN leadscore.model.crm_step IS 'how far a score moves before its row of crm_lead does; NULL: 5';

-- category

CREATE TABLE leadscore.category (
	model text NOT NULL REFERENCES leadscore.model ON UPDATE CASCADE ON DELETE CASCADE,
	category text NOT NULL
		CONSTRAINT category_not_empty CHECK ((category <> '') IS NOT FALSE OR leadscore_internal.refuse(
			'category name is empty', '""', 'Name the category, such as "email".')),
	min_points float8
		CONSTRAINT category_min_points_finite CHECK ((min_points > '-Infinity' AND min_points < 'Infinity') IS NOT FALSE OR leadscore_internal.refuse(
			'category min_points is not finite', min_points::text, 'Write a number, or NULL for none.')),
	max_points float8
		CONSTRAINT category_max_points_finite CHECK ((max_points > '-Infinity' AND max_points < 'Infinity') IS NOT FALSE OR leadscore_internal.refuse(
			'category max_points is not finite', max_points::text, 'Write a number, or NULL for none.')),
	PRIMARY KEY (model, category),
	CONSTRAINT category_min_not_above_max CHECK ((min_points <= max_points) IS NOT FALSE OR leadscore_internal.refuse(
		'category min_points is above max_points', format('min_points %s, max_points %s', min_points, max_points), 'Swap the two.'))
);

COMMENT ON TABLE leadscore.category IS 'weights that are limited together';
COMMENT ON COLUMN leadscore.category.model IS 'the model';
COMMENT ON COLUMN leadscore.category.category IS 'name';
COMMENT ON COLUMN leadscore.category.min_points IS 'the least that its weights add up to; NULL: no limit';
COMMENT ON COLUMN leadscore.category.max_points IS 'the most that its weights add up to; NULL: no limit';

-- stage

CREATE TABLE leadscore.stage (
	model text NOT NULL REFERENCES leadscore.model ON UPDATE CASCADE ON DELETE CASCADE,
	stage text NOT NULL
		CONSTRAINT stage_not_empty CHECK ((stage <> '') IS NOT FALSE OR leadscore_internal.refuse(
			'stage name is empty', '""', 'Name the stage, such as "decision".')),
	position integer NOT NULL,
	within interval
		CONSTRAINT stage_within_positive CHECK (leadscore_internal.check_duration('stage window', within, 'Write a duration such as 30 days, or NULL for ever.')),
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
		CONSTRAINT weight_measure_known CHECK ((measure IN ('count', 'value', 'average_value', 'active_days', 'days_since_last', 'days_since_first', 'present')) IS NOT FALSE OR leadscore_internal.refuse('weight measure is unknown', measure,
				'Write count, value, average_value, active_days, days_since_last, days_since_first, or present for a profile signal.')),
	points float8 NOT NULL
		CONSTRAINT weight_points_finite CHECK ((points > '-Infinity' AND points < 'Infinity') IS NOT FALSE OR leadscore_internal.refuse(
			'weight points are not finite', points::text, 'Write a number.')),
	curve text NOT NULL DEFAULT 'linear'
		CONSTRAINT weight_curve_known CHECK ((curve IN ('linear', 'log')) IS NOT FALSE OR leadscore_internal.refuse(
			'weight curve is unknown', curve, 'Write linear or log.')),
	half_life interval
		CONSTRAINT weight_half_life_positive CHECK (leadscore_internal.check_duration('weight half_life', half_life, 'Write a duration such as 14 days, or NULL for no decay.')),
	fades_over interval
		CONSTRAINT weight_fades_over_positive CHECK (leadscore_internal.check_duration('weight fades_over', fades_over, 'Write a duration such as 30 days, or NULL for no fading.')),
	within interval
		CONSTRAINT weight_within_positive CHECK (leadscore_internal.check_duration('weight window', within, 'Write a duration such as 90 days, or NULL for ever.')),
	at_least float8
		CONSTRAINT weight_at_least_finite CHECK ((at_least > '-Infinity' AND at_least < 'Infinity') IS NOT FALSE OR leadscore_internal.refuse(
			'weight at_least is not finite', at_least::text, 'Write a number, or NULL for no lower bound.')),
	below float8
		CONSTRAINT weight_below_finite CHECK ((below > '-Infinity' AND below < 'Infinity') IS NOT FALSE OR leadscore_internal.refuse(
			'weight below is not finite', below::text, 'Write a number, or NULL for no upper bound.')),
	max_per_day integer
		CONSTRAINT weight_max_per_day_positive CHECK ((max_per_day > 0) IS NOT FALSE OR leadscore_internal.refuse(
			'weight max_per_day is not above zero', max_per_day::text, 'Write a whole number from 1, or NULL for no limit.')),
	min_points float8
		CONSTRAINT weight_min_points_finite CHECK ((min_points > '-Infinity' AND min_points < 'Infinity') IS NOT FALSE OR leadscore_internal.refuse(
			'weight min_points is not finite', min_points::text, 'Write a number, or NULL for none.')),
	max_points float8
		CONSTRAINT weight_max_points_finite CHECK ((max_points > '-Infinity' AND max_points < 'Infinity') IS NOT FALSE OR leadscore_internal.refuse(
			'weight max_points is not finite', max_points::text, 'Write a number, or NULL for none.')),
	category text,
	stage text,
	if_none float8
		CONSTRAINT weight_if_none_finite CHECK ((if_none > '-Infinity' AND if_none < 'Infinity') IS NOT FALSE OR leadscore_internal.refuse(
			'weight if_none is not finite', if_none::text, 'Write a number, or NULL for no points.')),
	since_signal text REFERENCES leadscore.signal ON UPDATE CASCADE,
	CONSTRAINT weight_if_none_fits_measure CHECK ((if_none IS NULL OR measure <> 'present') IS NOT FALSE OR leadscore_internal.refuse(
		format('weight if_none does not fit the profile signal "%s", which is never none', signal), if_none::text,
		'Give points to a profile signal with the opposite condition, such as !exists($.website).')),
	CONSTRAINT weight_since_another_signal CHECK ((since_signal <> signal) IS NOT FALSE OR leadscore_internal.refuse(
		'weight since_signal is the signal that the weight measures', since_signal,
		'Name another signal, such as the purchase that the weight counts from.')),
	FOREIGN KEY (model, category) REFERENCES leadscore.category ON UPDATE CASCADE,
	FOREIGN KEY (model, stage) REFERENCES leadscore.stage ON UPDATE CASCADE,
	CONSTRAINT weight_at_least_below_below CHECK ((at_least < below) IS NOT FALSE OR leadscore_internal.refuse(
		'weight at_least is not below "below"', format('at_least %s, below %s', at_least, below), 'A band holds at_least <= measured < below.')),
	CONSTRAINT weight_min_not_above_max CHECK ((min_points <= max_points) IS NOT FALSE OR leadscore_internal.refuse(
		'weight min_points is above max_points', format('min_points %s, max_points %s', min_points, max_points), 'Swap the two.'))
);

CREATE INDEX weight_model_idx ON leadscore.weight (model);
CREATE INDEX weight_signal_idx ON leadscore.weight (signal);
CREATE INDEX weight_since_signal_idx ON leadscore.weight (since_signal);

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
COMMENT ON COLUMN leadscore.weight.max_per_day IS 'count: the most occurrences of one day of the model''s time zone, earliest first; NULL: all';
COMMENT ON COLUMN leadscore.weight.min_points IS 'the least that the weight is worth; NULL: no limit';
COMMENT ON COLUMN leadscore.weight.max_points IS 'the most that the weight is worth; NULL: no limit';
COMMENT ON COLUMN leadscore.weight.category IS 'weights that are limited together';
COMMENT ON COLUMN leadscore.weight.stage IS 'the stage that the signal shows';
COMMENT ON COLUMN leadscore.weight.if_none IS 'points where nothing happened in the weight''s window; NULL: none';
COMMENT ON COLUMN leadscore.weight.since_signal IS 'only hours after the last of this event signal are measured; NULL: all';

-- grade

CREATE TABLE leadscore.grade (
	model text NOT NULL REFERENCES leadscore.model ON UPDATE CASCADE ON DELETE CASCADE,
	grade text NOT NULL
		CONSTRAINT grade_not_empty CHECK ((grade <> '') IS NOT FALSE OR leadscore_internal.refuse(
			'grade name is empty', '""', 'Name the grade, such as "A".')),
	min_fit float8
		CONSTRAINT grade_min_fit_finite CHECK ((min_fit > '-Infinity' AND min_fit < 'Infinity') IS NOT FALSE OR leadscore_internal.refuse(
			'grade min_fit is not finite', min_fit::text, 'Write a number, or NULL for the grade of all others.')),
	PRIMARY KEY (model, grade)
);

CREATE UNIQUE INDEX grade_min_fit_key ON leadscore.grade (model, coalesce(min_fit, '-Infinity'));

COMMENT ON TABLE leadscore.grade IS 'grades by fit: the highest min_fit that is reached';
COMMENT ON COLUMN leadscore.grade.model IS 'the model';
COMMENT ON COLUMN leadscore.grade.grade IS 'name';
COMMENT ON COLUMN leadscore.grade.min_fit IS 'the fit that it requires; NULL: any';

-- segment

CREATE TABLE leadscore.segment (
	model text NOT NULL REFERENCES leadscore.model ON UPDATE CASCADE ON DELETE CASCADE,
	segment text NOT NULL
		CONSTRAINT segment_not_empty CHECK ((segment <> '') IS NOT FALSE OR leadscore_internal.refuse(
			'segment name is empty', '""', 'Name the segment, such as "high".')),
	position integer NOT NULL,
	min_score float8
		CONSTRAINT segment_min_score_finite CHECK ((min_score > '-Infinity' AND min_score < 'Infinity') IS NOT FALSE OR leadscore_internal.refuse(
			'segment min_score is not finite', min_score::text, 'Write a number, or NULL for no condition.')),
	min_fit float8
		CONSTRAINT segment_min_fit_finite CHECK ((min_fit > '-Infinity' AND min_fit < 'Infinity') IS NOT FALSE OR leadscore_internal.refuse(
			'segment min_fit is not finite', min_fit::text, 'Write a number, or NULL for no condition.')),
	min_engagement float8
		CONSTRAINT segment_min_engagement_finite CHECK ((min_engagement > '-Infinity' AND min_engagement < 'Infinity') IS NOT FALSE OR leadscore_internal.refuse(
			'segment min_engagement is not finite', min_engagement::text, 'Write a number, or NULL for no condition.')),
	hysteresis float8
		CONSTRAINT segment_hysteresis_not_negative CHECK ((hysteresis >= 0 AND hysteresis < 'Infinity') IS NOT FALSE OR leadscore_internal.refuse(
			'segment hysteresis is negative or not finite', hysteresis::text, 'Write a number of points from 0, or NULL for none.')),
	cool_down interval
		CONSTRAINT segment_cool_down_positive CHECK (leadscore_internal.check_duration('segment cool_down', cool_down, 'Write a duration such as 1 day, or NULL for none.')),
	above_score float8
		CONSTRAINT segment_above_score_finite CHECK ((above_score > '-Infinity' AND above_score < 'Infinity') IS NOT FALSE OR leadscore_internal.refuse(
			'segment above_score is not finite', above_score::text, 'Write a number, or NULL for no condition.')),
	rules text[],
	PRIMARY KEY (model, segment),
	UNIQUE (model, position) DEFERRABLE
);

COMMENT ON TABLE leadscore.segment IS 'segments: the first by position whose conditions all hold';
COMMENT ON COLUMN leadscore.segment.model IS 'the model';
COMMENT ON COLUMN leadscore.segment.segment IS 'name';
COMMENT ON COLUMN leadscore.segment.position IS 'the order in which segments are tried, lowest first';
COMMENT ON COLUMN leadscore.segment.min_score IS 'the score that it requires; NULL: any';
COMMENT ON COLUMN leadscore.segment.min_fit IS 'the fit that it requires; NULL: any';
COMMENT ON COLUMN leadscore.segment.min_engagement IS 'the engagement that it requires; NULL: any';
COMMENT ON COLUMN leadscore.segment.hysteresis IS 'of a watched model: a lead stays until it is this many points below its conditions; NULL: none';
COMMENT ON COLUMN leadscore.segment.cool_down IS 'of a watched model: the minimum time that a lead stays, unless it moves to a segment of a lower position; NULL: none';
COMMENT ON COLUMN leadscore.segment.above_score IS 'the score must be higher than this; NULL: any';
COMMENT ON COLUMN leadscore.segment.rules IS 'the rules of the model that must all hold; NULL: none';

-- rule

CREATE TABLE leadscore.rule (
	model text NOT NULL REFERENCES leadscore.model ON UPDATE CASCADE ON DELETE CASCADE,
	rule text NOT NULL
		CONSTRAINT rule_not_empty CHECK ((rule <> '') IS NOT FALSE OR leadscore_internal.refuse(
			'rule name is empty', '""', 'Name the rule, such as "abandoned".')),
	all_of jsonb,
	any_of jsonb,
	none_of jsonb,
	points float8
		CONSTRAINT rule_points_finite CHECK ((points > '-Infinity' AND points < 'Infinity') IS NOT FALSE OR leadscore_internal.refuse(
			'rule points are not finite', points::text, 'Write a number, or NULL for a rule that only segments name.')),
	category text,
	description text,
	PRIMARY KEY (model, rule),
	FOREIGN KEY (model, category) REFERENCES leadscore.category ON UPDATE CASCADE
);

COMMENT ON TABLE leadscore.rule IS 'conditions across signals, for points and for segments';
COMMENT ON COLUMN leadscore.rule.model IS 'the model';
COMMENT ON COLUMN leadscore.rule.rule IS 'name';
COMMENT ON COLUMN leadscore.rule.all_of IS 'conditions that must all hold: an array of {signal, measure, within, at_least, below}; NULL: none';
COMMENT ON COLUMN leadscore.rule.any_of IS 'conditions of which one must hold; NULL: none';
COMMENT ON COLUMN leadscore.rule.none_of IS 'conditions of which none may hold; NULL: none';
COMMENT ON COLUMN leadscore.rule.points IS 'what it is worth where it holds; NULL: nothing';
COMMENT ON COLUMN leadscore.rule.category IS 'weights and rules that are limited together';
COMMENT ON COLUMN leadscore.rule.description IS 'for people';

CREATE FUNCTION leadscore_internal.rule_conditions(all_of jsonb, any_of jsonb, none_of jsonb)
	RETURNS TABLE (list text, n bigint, condition jsonb)
	LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 3 SET search_path = pg_catalog, pg_temp
AS $$
	SELECT l.list, c.n, c.condition
	FROM (VALUES ('all_of', all_of), ('any_of', any_of), ('none_of', none_of)) AS l (list, conditions)
	CROSS JOIN LATERAL jsonb_array_elements(CASE jsonb_typeof(l.conditions) WHEN 'array' THEN l.conditions END) WITH ORDINALITY AS c (condition, n)
$$;

COMMENT ON FUNCTION leadscore_internal.rule_conditions(jsonb, jsonb, jsonb) IS 'the conditions of a rule as rows';

CREATE VIEW leadscore_internal.signal_use AS
SELECT w.model, w.signal FROM leadscore.weight w
UNION ALL
SELECT w.model, w.since_signal FROM leadscore.weight w WHERE w.since_signal IS NOT NULL
UNION ALL
SELECT r.model, c.condition ->> 'signal' FROM leadscore.rule r CROSS JOIN LATERAL leadscore_internal.rule_conditions(r.all_of, r.any_of, r.none_of) c;

COMMENT ON VIEW leadscore_internal.signal_use IS 'which models measure which signals, or count from them';
COMMENT ON COLUMN leadscore_internal.signal_use.model IS 'the model';
COMMENT ON COLUMN leadscore_internal.signal_use.signal IS 'the signal; a model may use it several times';

-- what one table's check cannot see: the measure must fit the signal's subject

CREATE FUNCTION leadscore_internal.check_part_exists(model text, named_by text, part text, parts text, name text, names text[]) RETURNS void
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF name IS NOT NULL AND name <> ALL (names) THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object',
			MESSAGE = format('there is no %s "%s" in model "%s"', part, name, model),
			DETAIL = format('%s names it.', named_by),
			HINT = format('Add it to the model''s %s first. ', parts) || leadscore_internal.known(parts, names);
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.check_part_exists(text, text, text, text, text, text[]) IS 'refuses what names a part that its model lacks';

CREATE FUNCTION leadscore_internal.check_model_exists(model text, named_by text) RETURNS void
	LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM leadscore.model m WHERE m.model = check_model_exists.model) THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object',
			MESSAGE = format('model "%s" does not exist', model),
			DETAIL = format('%s names it.', named_by),
			HINT = leadscore_internal.known('models'::text, ARRAY(SELECT m.model FROM leadscore.model m ORDER BY 1));
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.check_model_exists(text, text) IS 'refuses what names a model that is not there';

CREATE FUNCTION leadscore_internal.subject_named(signal text, named_by text) RETURNS text
	LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	subject text;
BEGIN
	SELECT s.subject INTO subject FROM leadscore.signal s WHERE s.signal = subject_named.signal;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object',
			MESSAGE = format('signal "%s" does not exist', signal),
			DETAIL = format('%s names it.', named_by),
			HINT = leadscore_internal.known('signals'::text, ARRAY(SELECT s.signal FROM leadscore.signal s ORDER BY 1));
	END IF;
	RETURN subject;
END
$$;

COMMENT ON FUNCTION leadscore_internal.subject_named(text, text) IS 'the subject of a signal, or an error if it is not there';

CREATE FUNCTION leadscore_internal.check_measure() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	subject text;
BEGIN
	-- what it names may be loaded later
	IF leadscore_internal.in_restore() THEN
		RETURN NEW;
	END IF;
	PERFORM leadscore_internal.check_model_exists(NEW.model, format('A weight of signal "%s"', NEW.signal));
	subject := leadscore_internal.subject_named(NEW.signal, format('A weight of model "%s"', NEW.model));
	NEW.measure := coalesce(NEW.measure, CASE subject WHEN 'profile' THEN 'present' ELSE 'count' END);
	IF (subject = 'profile') <> (NEW.measure = 'present') THEN
		PERFORM leadscore_internal.refuse(format('the measure does not fit the %s signal "%s"', subject, NEW.signal), NEW.measure,
			CASE subject WHEN 'profile' THEN 'Profile signals are measured by present.'
			ELSE 'Event signals are measured by count, value, average_value, active_days, days_since_last or days_since_first.' END);
	END IF;
	IF NEW.since_signal IS NOT NULL AND (subject = 'profile' OR leadscore_internal.subject_named(NEW.since_signal, format('A weight of model "%s"', NEW.model)) = 'profile') THEN
		PERFORM leadscore_internal.refuse(format('weight since_signal does not fit: "%s" is a profile signal, which has no hours',
			CASE subject WHEN 'profile' THEN NEW.signal ELSE NEW.since_signal END), NEW.since_signal,
			CASE subject WHEN 'profile' THEN 'Write NULL.' ELSE 'Name an event signal.' END);
	END IF;
	-- (when a model is renamed, the cascade may reach weights before categories and stages)
	IF TG_OP = 'INSERT' OR NEW.category IS DISTINCT FROM OLD.category THEN
		PERFORM leadscore_internal.check_part_exists(NEW.model, format('A weight of signal "%s"', NEW.signal), 'category'::text, 'categories'::text, NEW.category,
			ARRAY(SELECT c.category FROM leadscore.category c WHERE c.model = NEW.model ORDER BY 1));
	END IF;
	IF TG_OP = 'INSERT' OR NEW.stage IS DISTINCT FROM OLD.stage THEN
		PERFORM leadscore_internal.check_part_exists(NEW.model, format('A weight of signal "%s"', NEW.signal), 'stage'::text, 'stages'::text, NEW.stage,
			ARRAY(SELECT t.stage FROM leadscore.stage t WHERE t.model = NEW.model ORDER BY t.position));
	END IF;
	RETURN NEW;
END
$$;

COMMENT ON FUNCTION leadscore_internal.check_measure() IS 'trigger: a weight''s measure fits its signal''s subject, and what it names is there';

CREATE TRIGGER check_measure BEFORE INSERT OR UPDATE OF model, signal, measure, category, stage, since_signal ON leadscore.weight
	FOR EACH ROW EXECUTE FUNCTION leadscore_internal.check_measure();

-- rules: a row is checked as the document that it makes is

CREATE FUNCTION leadscore_internal.check_rule() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	name text;
BEGIN
	IF leadscore_internal.in_restore() THEN
		RETURN NEW;
	END IF;
	PERFORM leadscore_internal.check_model_exists(NEW.model, format('Rule "%s"', NEW.rule));
	FOR name IN SELECT c.condition ->> 'signal' FROM leadscore_internal.rule_conditions(NEW.all_of, NEW.any_of, NEW.none_of) c
			WHERE jsonb_typeof(c.condition -> 'signal') = 'string' LOOP
		PERFORM leadscore_internal.subject_named(name, format('Rule "%s" of model "%s"', NEW.rule, NEW.model));
	END LOOP;
	IF TG_OP = 'INSERT' OR NEW.category IS DISTINCT FROM OLD.category THEN
		PERFORM leadscore_internal.check_part_exists(NEW.model, format('Rule "%s"', NEW.rule), 'category'::text, 'categories'::text, NEW.category,
			ARRAY(SELECT c.category FROM leadscore.category c WHERE c.model = NEW.model ORDER BY 1));
	END IF;
	PERFORM leadscore_internal.check_scorecard(jsonb_build_object('model', NEW.model, 'rules', jsonb_build_array(to_jsonb(NEW) - '{model,category}'::text[]),
		'signals', (SELECT coalesce(jsonb_agg(jsonb_build_object('signal', s.signal, 'subject', s.subject)), '[]')
			FROM leadscore.signal s
			WHERE s.signal IN (SELECT c.condition ->> 'signal' FROM leadscore_internal.rule_conditions(NEW.all_of, NEW.any_of, NEW.none_of) c))));
	RETURN NEW;
END
$$;

COMMENT ON FUNCTION leadscore_internal.check_rule() IS 'trigger: the conditions of a rule can be checked, and what it names is there';

CREATE TRIGGER check_rule BEFORE INSERT OR UPDATE ON leadscore.rule
	FOR EACH ROW EXECUTE FUNCTION leadscore_internal.check_rule();

CREATE FUNCTION leadscore_internal.check_segment_rules() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	name text;
BEGIN
	IF NOT leadscore_internal.in_restore() THEN
		FOREACH name IN ARRAY NEW.rules LOOP
			PERFORM leadscore_internal.check_part_exists(NEW.model, format('Segment "%s"', NEW.segment), 'rule'::text, 'rules'::text, coalesce(name, ''),
				ARRAY(SELECT r.rule FROM leadscore.rule r WHERE r.model = NEW.model ORDER BY 1));
		END LOOP;
	END IF;
	RETURN NEW;
END
$$;

COMMENT ON FUNCTION leadscore_internal.check_segment_rules() IS 'trigger: the rules that a segment names are there';

CREATE TRIGGER check_segment_rules BEFORE INSERT OR UPDATE OF rules ON leadscore.segment
	FOR EACH ROW WHEN (NEW.rules IS NOT NULL) EXECUTE FUNCTION leadscore_internal.check_segment_rules();

-- names in arrays follow what they name, as a foreign key would have it

CREATE FUNCTION leadscore_internal.rule_renamed() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	UPDATE leadscore.segment s SET rules = array_replace(s.rules, OLD.rule, NEW.rule) WHERE s.model = NEW.model AND OLD.rule = ANY (s.rules);
	RETURN NULL;
END
$$;

CREATE FUNCTION leadscore_internal.rule_removed() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	name text;
BEGIN
	SELECT s.segment INTO name FROM leadscore.segment s JOIN leadscore.model m ON m.model = s.model
	WHERE s.model = OLD.model AND OLD.rule = ANY (s.rules) ORDER BY s.position LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'foreign_key_violation', MESSAGE = format('rule "%s" of model "%s" is in use', OLD.rule, OLD.model),
			DETAIL = format('Segment "%s" names it.', name), HINT = 'Take it out of the segment first.';
	END IF;
	RETURN NULL;
END
$$;

CREATE FUNCTION leadscore_internal.signal_renamed() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	UPDATE leadscore.rule r SET all_of = n.all_of, any_of = n.any_of, none_of = n.none_of
	FROM (
		SELECT u.model, u.rule, jsonb_agg(u.condition ORDER BY u.n) FILTER (WHERE u.list = 'all_of') AS all_of,
			jsonb_agg(u.condition ORDER BY u.n) FILTER (WHERE u.list = 'any_of') AS any_of, jsonb_agg(u.condition ORDER BY u.n) FILTER (WHERE u.list = 'none_of') AS none_of
		FROM (
			SELECT o.model, o.rule, c.list, c.n,
				CASE WHEN c.condition ->> 'signal' = OLD.signal THEN c.condition || jsonb_build_object('signal', NEW.signal) ELSE c.condition END AS condition
			FROM leadscore.rule o CROSS JOIN LATERAL leadscore_internal.rule_conditions(o.all_of, o.any_of, o.none_of) c
		) u
		GROUP BY u.model, u.rule
		HAVING bool_or(u.condition ->> 'signal' = NEW.signal)
	) n
	WHERE n.model = r.model AND n.rule = r.rule;
	RETURN NULL;
END
$$;

CREATE FUNCTION leadscore_internal.signal_removed() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	used record;
BEGIN
	SELECT r.model, r.rule INTO used FROM leadscore.rule r CROSS JOIN LATERAL leadscore_internal.rule_conditions(r.all_of, r.any_of, r.none_of) c
	WHERE c.condition ->> 'signal' = OLD.signal ORDER BY 1, 2 LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'foreign_key_violation', MESSAGE = format('signal "%s" is in use', OLD.signal),
			DETAIL = format('Rule "%s" of model "%s" names it.', used.rule, used.model), HINT = 'Change or delete the rule first.';
	END IF;
	RETURN NULL;
END
$$;

COMMENT ON FUNCTION leadscore_internal.rule_renamed() IS 'trigger: segments name a rule by its new name';
COMMENT ON FUNCTION leadscore_internal.rule_removed() IS 'trigger: a rule that segments name stays';
COMMENT ON FUNCTION leadscore_internal.signal_renamed() IS 'trigger: rules name a signal by its new name';
COMMENT ON FUNCTION leadscore_internal.signal_removed() IS 'trigger: a signal that rules name stays';

CREATE TRIGGER rule_renamed AFTER UPDATE OF rule ON leadscore.rule
	FOR EACH ROW WHEN (OLD.rule <> NEW.rule) EXECUTE FUNCTION leadscore_internal.rule_renamed();
CREATE TRIGGER rule_removed AFTER DELETE ON leadscore.rule
	FOR EACH ROW EXECUTE FUNCTION leadscore_internal.rule_removed();
CREATE TRIGGER signal_renamed AFTER UPDATE OF signal ON leadscore.signal
	FOR EACH ROW WHEN (OLD.signal <> NEW.signal) EXECUTE FUNCTION leadscore_internal.signal_renamed();
CREATE TRIGGER signal_removed AFTER DELETE ON leadscore.signal
	FOR EACH ROW EXECUTE FUNCTION leadscore_internal.signal_removed();

-- a band that includes 0 looks as if it took leads that have done nothing

CREATE FUNCTION leadscore_internal.tell_of_zero() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	bands text[];
BEGIN
	IF leadscore_internal.in_restore() THEN
		RETURN NULL;
	END IF;
	IF TG_TABLE_NAME = 'weight' THEN
		SELECT array_agg(DISTINCT format('the %s of "%s"', w.measure, w.signal)) INTO bands
		FROM new_rows w
		WHERE w.measure IN ('count', 'value', 'active_days') AND w.if_none IS NULL AND (w.at_least <= 0 OR w.at_least IS NULL AND w.below > 0) AND (w.below > 0) IS NOT FALSE;
	ELSE
		SELECT array_agg(DISTINCT format('the %s of "%s"', coalesce(b.measure, 'count'), b.signal)) INTO bands
		FROM new_rows r CROSS JOIN LATERAL leadscore_internal.rule_conditions(r.all_of, r.any_of, r.none_of) c
		CROSS JOIN LATERAL jsonb_to_record(c.condition) AS b (signal text, measure text, at_least float8, below float8)
		JOIN leadscore.signal s ON s.signal = b.signal AND s.subject = 'event'
		WHERE coalesce(b.measure, 'count') IN ('count', 'value', 'active_days') AND (b.at_least <= 0 OR b.at_least IS NULL AND b.below > 0) AND (b.below > 0) IS NOT FALSE;
	END IF;
	IF bands IS NOT NULL THEN
		RAISE NOTICE USING MESSAGE = CASE TG_TABLE_NAME WHEN 'weight' THEN 'bands that include 0 do not take leads with none: '
				ELSE 'conditions that include 0 do not hold for leads with none: ' END || array_to_string(bands[1:20], ', '),
			DETAIL = 'Where nothing happened, there is nothing to measure.',
			HINT = CASE TG_TABLE_NAME WHEN 'weight' THEN 'Write if_none for the points of leads with none.'
				ELSE 'Write the opposite into none_of, such as at_least 3 for less than 3.' END;
	END IF;
	RETURN NULL;
END
$$;

COMMENT ON FUNCTION leadscore_internal.tell_of_zero() IS 'trigger: a NOTICE about bands that include 0';

CREATE TRIGGER tell_of_zero_insert AFTER INSERT ON leadscore.weight REFERENCING NEW TABLE AS new_rows
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.tell_of_zero();
CREATE TRIGGER tell_of_zero_update AFTER UPDATE ON leadscore.weight REFERENCING NEW TABLE AS new_rows
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.tell_of_zero();
CREATE TRIGGER tell_of_zero_insert AFTER INSERT ON leadscore.rule REFERENCING NEW TABLE AS new_rows
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.tell_of_zero();
CREATE TRIGGER tell_of_zero_update AFTER UPDATE ON leadscore.rule REFERENCING NEW TABLE AS new_rows
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.tell_of_zero();

-- (the error of NOT NULL has no hint)

CREATE FUNCTION leadscore_internal.check_position() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RAISE EXCEPTION USING ERRCODE = 'not_null_violation',
		MESSAGE = format('invalid %s "%s" of model "%s"', TG_TABLE_NAME, to_jsonb(NEW) ->> TG_TABLE_NAME, NEW.model),
		DETAIL = 'It has no position.', HINT = TG_ARGV[0];
END
$$;

COMMENT ON FUNCTION leadscore_internal.check_position() IS 'trigger: stages and segments have a position';

CREATE TRIGGER check_position BEFORE INSERT OR UPDATE OF position ON leadscore.stage
	FOR EACH ROW WHEN (NEW.position IS NULL) EXECUTE FUNCTION leadscore_internal.check_position('Number the stages; a higher position is further along.');
CREATE TRIGGER check_position BEFORE INSERT OR UPDATE OF position ON leadscore.segment
	FOR EACH ROW WHEN (NEW.position IS NULL) EXECUTE FUNCTION leadscore_internal.check_position('Number the segments; the first that holds is a lead''s.');

CREATE FUNCTION leadscore_internal.check_subject() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NEW.subject <> OLD.subject AND EXISTS (SELECT FROM leadscore_internal.signal_use u WHERE u.signal = OLD.signal) THEN
		PERFORM leadscore_internal.refuse(format('signal "%s" has weights or rules that measure it as %s', OLD.signal, OLD.subject), NEW.subject,
			'Add a signal of another name, or delete its weights and rules first.'::text);
	END IF;
	IF NEW.subject <> OLD.subject AND (EXISTS (SELECT FROM leadscore.conversion c WHERE c.signal = OLD.signal)
			OR EXISTS (SELECT FROM leadscore.channel c WHERE c.signal = OLD.signal)) THEN
		PERFORM leadscore_internal.refuse(format('signal "%s" is a conversion, or shows a channel', OLD.signal), NEW.subject,
			'Add a signal of another name, or delete its rows in leadscore.conversion and leadscore.channel first.'::text);
	END IF;
	RETURN NEW;
END
$$;

COMMENT ON FUNCTION leadscore_internal.check_subject() IS 'trigger: a signal that has weights or rules, is a conversion or shows a channel keeps its subject';

CREATE TRIGGER check_subject BEFORE UPDATE OF subject ON leadscore.signal
	FOR EACH ROW EXECUTE FUNCTION leadscore_internal.check_subject();

CREATE FUNCTION leadscore_internal.known(things text, names text[]) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT CASE WHEN cardinality(names) = 0 THEN format('There are no %s yet.', things)
		ELSE format('The %s are: %s%s.', things, array_to_string(names[1:50], ', '),
			CASE WHEN cardinality(names) > 50 THEN ', ...' ELSE '' END) END;
END;

COMMENT ON FUNCTION leadscore_internal.known(text, text[]) IS 'the hint that lists what there is';

-- compaction

CREATE TABLE leadscore.compaction (
	compacted_before timestamptz NOT NULL,
	finished boolean NOT NULL DEFAULT false,
	time_zone text
		CONSTRAINT compaction_time_zone_known CHECK (leadscore_internal.is_time_zone(time_zone) IS NOT FALSE OR leadscore_internal.refuse(
			'compaction time_zone is unknown', time_zone, 'Let CALL leadscore.compact() set it.')),
	CONSTRAINT compacted_before_begins_a_day CHECK ((CASE WHEN compacted_before BETWEEN '1970-01-01 00:00Z' AND '9999-12-31 00:00Z'
			THEN leadscore_internal.day_start(compacted_before, coalesce(time_zone, 'UTC')) = compacted_before ELSE false END) IS NOT FALSE OR leadscore_internal.refuse(
		'compacted_before does not begin a day of the years 1970 to 9999', compacted_before::text, 'Let CALL leadscore.compact() set it.'))
);

CREATE UNIQUE INDEX compaction_one_row ON leadscore.compaction ((true));

COMMENT ON TABLE leadscore.compaction IS 'the instant from which on timelines keep hours: one row, set by compact(), or none';
COMMENT ON COLUMN leadscore.compaction.compacted_before IS 'hours before it are kept by the day: the first hour of a day';
COMMENT ON COLUMN leadscore.compaction.finished IS 'whether all timelines have been compacted; what is counted is counted so in any case';

COMMENT ON COLUMN leadscore.compaction.time_zone IS 'whose days they are; NULL: UTC';

CREATE FUNCTION leadscore_internal.compacted_day(at timestamptz) RETURNS timestamptz
	LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
	SELECT leadscore_internal.day_start(at, coalesce((SELECT c.time_zone FROM leadscore.compaction c), 'UTC'));
END;

COMMENT ON FUNCTION leadscore_internal.compacted_day(timestamptz) IS 'the hour at which the day of an instant is kept, if it is compacted';

CREATE TRIGGER signals_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON leadscore.compaction
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.signals_changed();
ALTER TABLE leadscore.compaction ENABLE ALWAYS TRIGGER signals_changed;

-- the archive

CREATE TABLE leadscore.archive (
	archived_before timestamptz NOT NULL
		CONSTRAINT archived_before_is_an_hour CHECK ((archived_before BETWEEN '1970-01-01 00:00Z' AND '9999-12-31 00:00Z'
			AND date_trunc('hour', archived_before, 'UTC') = archived_before) IS NOT FALSE OR leadscore_internal.refuse(
			'archived_before is not a whole hour of the years 1970 to 9999', archived_before::text, 'Let CALL leadscore.archive() set it.'))
);

CREATE UNIQUE INDEX archive_one_row ON leadscore.archive ((true));
ALTER TABLE leadscore.archive REPLICA IDENTITY FULL;

COMMENT ON TABLE leadscore.archive IS 'the instant before which events are archived: one row, set by archive(), or none';
COMMENT ON COLUMN leadscore.archive.archived_before IS 'events before it may be deleted: timelines keep what they counted for';

-- While archive() is at work, or after one that was broken off. Writers count as before, and keep for the base what
-- they write of the hours before the instant.
CREATE TABLE leadscore_internal.archiving (
	archiving_before timestamptz NOT NULL
);

CREATE UNIQUE INDEX archiving_one_row ON leadscore_internal.archiving ((true));
ALTER TABLE leadscore_internal.archiving REPLICA IDENTITY FULL;

COMMENT ON TABLE leadscore_internal.archiving IS 'the instant of an archive() that is at work: one row, or none';
COMMENT ON COLUMN leadscore_internal.archiving.archiving_before IS 'the instant';

CREATE TRIGGER signals_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON leadscore.archive
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.signals_changed();
ALTER TABLE leadscore.archive ENABLE ALWAYS TRIGGER signals_changed;
CREATE TRIGGER signals_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON leadscore_internal.archiving
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.signals_changed();
ALTER TABLE leadscore_internal.archiving ENABLE ALWAYS TRIGGER signals_changed;

CREATE FUNCTION leadscore_internal.hour_text(at timestamptz) RETURNS text
	LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
	-- (not to_char(), which fails where a name of a month in lc_time has no form in the database's encoding)
	SELECT (to_jsonb(at AT TIME ZONE 'UTC') #>> '{}') || 'Z';
END;

COMMENT ON FUNCTION leadscore_internal.hour_text(timestamptz) IS 'an hour as documents write it';

-- documents

CREATE FUNCTION leadscore.signals() RETURNS jsonb
	LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT jsonb_build_object('signals', coalesce(jsonb_agg(
		jsonb_strip_nulls(jsonb_build_object('signal_id', signal_id, 'signal', signal, 'kind', kind, 'condition', condition))
			|| CASE WHEN match IS NULL THEN '{}' ELSE jsonb_build_object('match', match) END
		ORDER BY signal_id), '[]'))
		|| coalesce((SELECT jsonb_build_object('archived_before', leadscore_internal.hour_text(a.archived_before)) FROM leadscore.archive a), '{}')
		|| coalesce((SELECT jsonb_build_object('archiving_before', leadscore_internal.hour_text(a.archiving_before)) FROM leadscore_internal.archiving a), '{}')
		|| coalesce((SELECT jsonb_build_object('compacted_before', leadscore_internal.hour_text(c.compacted_before))
				|| CASE WHEN c.time_zone IS NULL THEN '{}' ELSE jsonb_build_object('time_zone', c.time_zone) END
			FROM leadscore.compaction c), '{}')
	FROM leadscore.signal
	WHERE subject = 'event'
$$;

COMMENT ON FUNCTION leadscore.signals() IS 'the event signals as the document that timeline_agg() takes';

-- the default model

CREATE TABLE leadscore.default_model (
	only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
	model text NOT NULL REFERENCES leadscore.model ON UPDATE CASCADE ON DELETE CASCADE
);

COMMENT ON TABLE leadscore.default_model IS 'the default model, for calls that name none: one row, or none';
COMMENT ON COLUMN leadscore.default_model.only_row IS 'true';
COMMENT ON COLUMN leadscore.default_model.model IS 'the model';

SELECT pg_catalog.pg_extension_config_dump('leadscore.default_model', '');

CREATE FUNCTION leadscore_internal.model_named(name text) RETURNS text
	LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	models text[];
	chosen text;
	arms text;
BEGIN
	IF EXISTS (SELECT FROM leadscore.model m WHERE m.model = name) THEN
		RETURN name;
	END IF;
	IF name = 'default' THEN
		SELECT d.model INTO chosen FROM leadscore.default_model d;
		IF FOUND THEN
			RETURN chosen;
		END IF;
	END IF;
	models := ARRAY(SELECT m.model FROM leadscore.model m ORDER BY 1);
	IF name = 'default' AND cardinality(models) = 1 THEN
		RETURN models[1];
	ELSIF name = 'default' AND cardinality(models) > 1 THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = 'there is no default model',
			DETAIL = 'No model is named, there are several, and none of them is the default.',
			HINT = 'Choose one with leadscore.set_default_model(), or name it in the call. ' || leadscore_internal.known('models'::text, models);
	END IF;
	SELECT format('"%s" and "%s"', e.control, e.treatment) INTO arms FROM leadscore.experiment e WHERE e.experiment = name;
	RAISE EXCEPTION USING ERRCODE = 'undefined_object',
		MESSAGE = format('model "%s" does not exist', name),
		DETAIL = coalesce('It is an experiment, which serves the models ' || arms || '.', format('There is no row with the model "%s" in leadscore.model.', name)),
		HINT = CASE WHEN arms IS NOT NULL THEN 'Name one of its models.' WHEN cardinality(models) = 0
			THEN 'There are no models yet. Begin with SELECT leadscore.publish(leadscore.template(''ecommerce'')).'
			ELSE leadscore_internal.known('models'::text, models) END;
END
$$;

COMMENT ON FUNCTION leadscore_internal.model_named(text)
	IS 'the model of a name; default means the model of that name, else the one that was set, else the only one';

CREATE FUNCTION leadscore.set_default_model(model text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF model IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'model is NULL',
			DETAIL = 'There is nothing to set.', HINT = 'Name a model.';
	END IF;
	IF NOT EXISTS (SELECT FROM leadscore.model m WHERE m.model = set_default_model.model) THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('model "%s" does not exist', model),
			DETAIL = format('There is no row with the model "%s" in leadscore.model.', model),
			HINT = leadscore_internal.known('models'::text, ARRAY(SELECT m.model FROM leadscore.model m ORDER BY 1));
	END IF;
	INSERT INTO leadscore.default_model AS d (model) VALUES (set_default_model.model)
	ON CONFLICT (only_row) DO UPDATE SET model = excluded.model WHERE d.model <> excluded.model;
	IF model <> 'default' AND EXISTS (SELECT FROM leadscore.model m WHERE m.model = 'default') THEN
		RAISE NOTICE USING MESSAGE = 'calls without a model still mean the model that is named "default"',
			HINT = 'Rename that model, such as by UPDATE leadscore.model SET model = ''first'' WHERE model = ''default''.';
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore.set_default_model(text) IS 'sets the default model, for calls that name none';

-- The first model becomes the default, so that adding a second one breaks no call. So does the only one, where no
-- default is set when another is added.

CREATE FUNCTION leadscore_internal.keep_default_model() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	former text[];
BEGIN
	PERFORM leadscore_internal.check_trigger(TG_RELID, 'leadscore.model'::regclass);
	IF leadscore_internal.in_restore() OR EXISTS (SELECT FROM leadscore.default_model) THEN
		RETURN NULL;
	END IF;
	former := ARRAY(SELECT m.model FROM leadscore.model m WHERE m.model NOT IN (SELECT n.model FROM new_rows n) LIMIT 2);
	IF cardinality(former) < 2 THEN
		INSERT INTO leadscore.default_model (model)
		SELECT coalesce(former[1], (SELECT n.model FROM new_rows n LIMIT 1)) WHERE EXISTS (SELECT FROM new_rows)
		ON CONFLICT (only_row) DO NOTHING;
	END IF;
	RETURN NULL;
END
$$;

COMMENT ON FUNCTION leadscore_internal.keep_default_model() IS 'trigger: the first model becomes the default';

CREATE TRIGGER keep_default_model AFTER INSERT ON leadscore.model REFERENCING NEW TABLE AS new_rows
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.keep_default_model();

-- Each model's document is kept, so that a score by lead_id need not gather it
-- from eight tables.

CREATE TABLE leadscore.model_document (
	model text PRIMARY KEY,
	document jsonb NOT NULL
);

-- Compressed, not out of line: the core compares documents as they come.
ALTER TABLE leadscore.model_document ALTER COLUMN document SET STORAGE MAIN;

COMMENT ON TABLE leadscore.model_document IS 'each model as the document that scorecard() returns; maintained by triggers on the configuration tables';
COMMENT ON COLUMN leadscore.model_document.model IS 'the model';
COMMENT ON COLUMN leadscore.model_document.document IS 'its scorecard document';

CREATE FUNCTION leadscore_internal.make_document(name text) RETURNS jsonb
	LANGUAGE sql STABLE STRICT
	SET search_path = pg_catalog, pg_temp SET IntervalStyle = 'postgres' SET extra_float_digits = 1
AS $$
	SELECT jsonb_strip_nulls(to_jsonb(m)) || jsonb_build_object(
		'signals', (SELECT coalesce(jsonb_agg(
				jsonb_strip_nulls(to_jsonb(s) - 'match')
					|| CASE WHEN s.match IS NULL THEN '{}' ELSE jsonb_build_object('match', s.match) END
				ORDER BY s.signal_id), '[]')
			FROM leadscore.signal s
			WHERE s.signal IN (SELECT u.signal FROM leadscore_internal.signal_use u WHERE u.model = name)),
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
		|| coalesce((SELECT jsonb_build_object('rules', jsonb_agg(jsonb_strip_nulls(to_jsonb(r) - 'model') ORDER BY r.rule))
			FROM leadscore.rule r WHERE r.model = name HAVING count(*) > 0), '{}')
	FROM leadscore.model m
	WHERE m.model = name
$$;

COMMENT ON FUNCTION leadscore_internal.make_document(text) IS 'a model''s document, gathered from the configuration tables';

CREATE FUNCTION leadscore_internal.keep_documents(models text[] DEFAULT NULL) RETURNS void
	LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	-- changes of one model are gathered one after the other, each seeing those before it; in a restore in parallel, also
	-- where the model itself is not there yet
	SELECT leadscore_internal.lock_by_name('model ' || m.model)
	FROM (
		SELECT unnest(models) AS model
		UNION SELECT n.model FROM leadscore.model n WHERE models IS NULL
		UNION SELECT d.model FROM leadscore.model_document d WHERE models IS NULL
		ORDER BY 1
	) m;

	DELETE FROM leadscore.model_document d
	WHERE (models IS NULL OR d.model = ANY (models))
	AND NOT EXISTS (SELECT FROM leadscore.model m WHERE m.model = d.model);

	INSERT INTO leadscore.model_document AS d (model, document)
	SELECT m.model, leadscore_internal.make_document(m.model)
	FROM leadscore.model m WHERE models IS NULL OR m.model = ANY (models)
	ORDER BY m.model
	ON CONFLICT (model) DO UPDATE SET document = excluded.document WHERE d.document <> excluded.document;
$$;

COMMENT ON FUNCTION leadscore_internal.keep_documents(text[]) IS 'brings model_document up to date: some models, or all';

CREATE FUNCTION leadscore_internal.configuration_changed() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	models text[];
	changed text := CASE TG_OP WHEN 'INSERT' THEN 'SELECT * FROM new_rows' WHEN 'DELETE' THEN 'SELECT * FROM old_rows'
		ELSE 'SELECT * FROM new_rows UNION ALL SELECT * FROM old_rows' END;
BEGIN
	IF TG_OP <> 'TRUNCATE' THEN
		EXECUTE format(CASE TG_TABLE_NAME
			WHEN 'signal' THEN 'SELECT array_agg(DISTINCT u.model) FROM leadscore_internal.signal_use u WHERE u.signal IN (SELECT c.signal FROM (%s) c)'
			ELSE 'SELECT array_agg(DISTINCT c.model) FROM (%s) c' END,
			changed) INTO models;
		IF models IS NULL THEN
			RETURN NULL;
		END IF;
	END IF;
	PERFORM leadscore_internal.keep_documents(models);
	RETURN NULL;
END
$$;

COMMENT ON FUNCTION leadscore_internal.configuration_changed() IS 'trigger: keeps model_document up to date';

DO $$
DECLARE
	name text;
BEGIN
	FOREACH name IN ARRAY ARRAY['signal', 'model', 'category', 'stage', 'weight', 'rule', 'grade', 'segment'] LOOP
		EXECUTE format('CREATE TRIGGER keep_documents_insert AFTER INSERT ON leadscore.%I REFERENCING NEW TABLE AS new_rows'
			' FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.configuration_changed()', name);
		EXECUTE format('CREATE TRIGGER keep_documents_update AFTER UPDATE ON leadscore.%I REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows'
			' FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.configuration_changed()', name);
		EXECUTE format('CREATE TRIGGER keep_documents_delete AFTER DELETE ON leadscore.%I REFERENCING OLD TABLE AS old_rows'
			' FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.configuration_changed()', name);
		EXECUTE format('CREATE TRIGGER keep_documents_truncate AFTER TRUNCATE ON leadscore.%I'
			' FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.configuration_changed()', name);
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
		SELECT d.document INTO document FROM leadscore.model_document d WHERE d.model = leadscore_internal.model_named(scorecard.model);
	END IF;
	-- a restore may have kept the triggers from firing
	RETURN coalesce(document, leadscore_internal.make_document(leadscore_internal.model_named(model)));
END
$$;

COMMENT ON FUNCTION leadscore.scorecard(text) IS 'a model as the document that score(), appraise() and publish() take';

CREATE FUNCTION leadscore_internal.document_signals(document jsonb)
	RETURNS TABLE (n bigint, signal text, subject text, kind text, match jsonb, condition jsonpath, description text, label text)
	LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 20 SET search_path = pg_catalog, pg_temp
AS $$
	SELECT d.n, d.signal, coalesce(d.subject, 'event'), d.kind, nullif(d.match, 'null'), d.condition, d.description, d.label
	FROM ROWS FROM (jsonb_to_recordset(nullif(document -> 'signals', 'null'))
		AS (signal text, subject text, kind text, match jsonb, condition jsonpath, description text, label text))
		WITH ORDINALITY AS d (signal, subject, kind, match, condition, description, label, n)
$$;

COMMENT ON FUNCTION leadscore_internal.document_signals(jsonb) IS 'the signals of a scorecard document as rows of signal';

CREATE FUNCTION leadscore_internal.check_redefined(document jsonb) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	signals text[];
	models text[];
BEGIN
	SELECT array_agg(DISTINCT d.signal ORDER BY d.signal), array_agg(DISTINCT u.model ORDER BY u.model) INTO signals, models
	FROM leadscore_internal.document_signals(document) d
	-- (check_subject() refuses another subject in any case)
	JOIN leadscore.signal s ON s.signal = d.signal AND s.subject = d.subject
		AND (s.kind, s.match, s.condition::text) IS DISTINCT FROM (d.kind, d.match, d.condition::text)
	JOIN leadscore_internal.signal_use u ON u.signal = s.signal AND u.model <> document ->> 'model';
	IF signals IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'object_in_use',
			MESSAGE = format('the document redefines signals of other models: %s', array_to_string(signals, ', ')),
			DETAIL = 'Signals are shared by all models; each has one definition.',
			HINT = 'Rename them in the document, or pass redefine => true to change them for these models, too. '
				|| leadscore_internal.known('models that use them'::text, models);
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.check_redefined(jsonb) IS 'refuses a document that changes the meaning of signals that other models use';

CREATE FUNCTION leadscore.publish(document jsonb, redefine boolean DEFAULT false) RETURNS text
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
	PERFORM leadscore_internal.check_scorecard(document);
	IF redefine IS NOT TRUE THEN
		PERFORM leadscore_internal.check_redefined(document);
	END IF;

	INSERT INTO leadscore.model (model, description, floor, ceiling, intercept, slope, time_zone, crm_step)
	SELECT d.model, d.description, d.floor, d.ceiling, d.intercept, d.slope, d.time_zone, d.crm_step
	FROM jsonb_to_record(document)
		AS d (model text, description text, floor float8, ceiling float8, intercept float8, slope float8, time_zone text, crm_step float8)
	ON CONFLICT (model) DO UPDATE
	SET description = excluded.description, floor = excluded.floor, ceiling = excluded.ceiling,
		intercept = excluded.intercept, slope = excluded.slope, time_zone = excluded.time_zone, crm_step = excluded.crm_step;

	WITH gone AS (DELETE FROM leadscore.weight w WHERE w.model = name RETURNING w.weight_id)
	SELECT array_agg(weight_id) INTO kept FROM gone;
	DELETE FROM leadscore.segment e WHERE e.model = name;
	DELETE FROM leadscore.rule r WHERE r.model = name;
	DELETE FROM leadscore.category c WHERE c.model = name;
	DELETE FROM leadscore.stage t WHERE t.model = name;
	DELETE FROM leadscore.grade g WHERE g.model = name;

	INSERT INTO leadscore.signal AS s (signal, subject, kind, match, condition, description, label)
	SELECT w.signal, w.subject, w.kind, w.match, w.condition, w.description, w.label FROM leadscore_internal.document_signals(document) w
	WHERE NOT EXISTS (
		SELECT FROM leadscore.signal o
		WHERE o.signal = w.signal
		AND (o.subject, o.kind, o.match, o.condition::text, o.description, o.label)
			IS NOT DISTINCT FROM (w.subject, w.kind, w.match, w.condition::text, w.description, coalesce(w.label, o.label)))
	ORDER BY w.n
	ON CONFLICT (signal) DO UPDATE
	SET subject = excluded.subject, kind = excluded.kind, match = excluded.match,
		condition = excluded.condition, description = excluded.description,
		label = coalesce(excluded.label, s.label);	-- a model that does not name it takes no other's name away

	INSERT INTO leadscore.category (model, category, min_points, max_points)
	SELECT name, d.category, d.min_points, d.max_points
	FROM jsonb_to_recordset(nullif(document -> 'categories', 'null')) AS d (category text, min_points float8, max_points float8);

	INSERT INTO leadscore.stage (model, stage, position, within)
	SELECT name, d.stage, d.position, d.within
	FROM jsonb_to_recordset(nullif(document -> 'stages', 'null')) AS d (stage text, position numeric, within interval);

	INSERT INTO leadscore.grade (model, grade, min_fit)
	SELECT name, d.grade, d.min_fit
	FROM jsonb_to_recordset(nullif(document -> 'grades', 'null')) AS d (grade text, min_fit float8);

	INSERT INTO leadscore.rule (model, rule, all_of, any_of, none_of, points, category, description)
	SELECT name, d.rule, nullif(d.all_of, 'null'), nullif(d.any_of, 'null'), nullif(d.none_of, 'null'), d.points, d.category, d.description
	FROM jsonb_to_recordset(nullif(document -> 'rules', 'null'))
		AS d (rule text, all_of jsonb, any_of jsonb, none_of jsonb, points float8, category text, description text);

	INSERT INTO leadscore.segment (model, segment, position, min_score, min_fit, min_engagement, hysteresis, cool_down, above_score, rules)
	SELECT name, d.segment, d.position, d.min_score, d.min_fit, d.min_engagement, d.hysteresis, d.cool_down, d.above_score, d.rules
	FROM jsonb_to_recordset(nullif(document -> 'segments', 'null'))
		AS d (segment text, position numeric, min_score float8, min_fit float8, min_engagement float8, hysteresis float8, cool_down interval,
			above_score float8, rules text[]);

	INSERT INTO leadscore.weight (weight_id, model, signal, measure, points, curve, half_life, fades_over, within,
		at_least, below, max_per_day, min_points, max_points, category, stage, if_none, since_signal)
	SELECT CASE WHEN d.weight_id::integer = ANY (kept) THEN d.weight_id::integer
			ELSE nextval(pg_get_serial_sequence('leadscore.weight', 'weight_id')) END,
		name, d.signal, d.measure, d.points, coalesce(d.curve, 'linear'), d.half_life, d.fades_over, d.within,
		d.at_least, d.below, d.max_per_day, d.min_points, d.max_points, d.category, d.stage, d.if_none, d.since_signal
	FROM ROWS FROM (jsonb_to_recordset(nullif(document -> 'weights', 'null'))
		AS (weight_id numeric, signal text, measure text, points float8, curve text,
			half_life interval, fades_over interval, within interval, at_least float8, below float8,
			max_per_day numeric, min_points float8, max_points float8, category text, stage text, if_none float8, since_signal text))
		WITH ORDINALITY AS d (weight_id, signal, measure, points, curve, half_life, fades_over, within,
			at_least, below, max_per_day, min_points, max_points, category, stage, if_none, since_signal, ordinal)
	ORDER BY d.ordinal;

	PERFORM leadscore_internal.keep_version(name, nullif(document -> 'report', 'null'));
	PERFORM leadscore_internal.tell_of_findings(name);

	RETURN name;
END
$$;

COMMENT ON FUNCTION leadscore.publish(jsonb, boolean) IS 'makes a scorecard document the model of its name, all or nothing';

SELECT pg_catalog.pg_extension_config_dump('leadscore.signal', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.signal_signal_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.model', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.category', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.stage', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.weight', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.weight_weight_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.rule', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.grade', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.segment', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.archive', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore_internal.archiving', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.compaction', '');
