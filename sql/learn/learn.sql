-- learn.sql: what happened after what was known: training sets, and how good a
-- model would have been

-- private functions

CREATE FUNCTION leadscore_internal.outcome(timeline leadscore.timeline, signal_id integer, cutoff timestamptz, horizon_hours integer, active_hours integer) RETURNS timestamptz
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 5;

CREATE FUNCTION leadscore_internal.past_score(scorecard jsonb, timeline leadscore.timeline, profile jsonb, cutoff timestamptz) RETURNS float8
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 10;

CREATE FUNCTION leadscore_internal.past_probability(scorecard jsonb, timeline leadscore.timeline, profile jsonb, cutoff timestamptz) RETURNS float8
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 10;

CREATE FUNCTION leadscore_internal.past_features(scorecard jsonb, timeline leadscore.timeline, profile jsonb, cutoff timestamptz) RETURNS float8[]
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 20;

COMMENT ON FUNCTION leadscore_internal.outcome(leadscore.timeline, integer, timestamptz, integer, integer)
	IS 'when a conversion came within the horizon; infinity: it did not; NULL: the lead was not active before the cutoff';
COMMENT ON FUNCTION leadscore_internal.past_score(jsonb, leadscore.timeline, jsonb, timestamptz) IS 'score of what was known before the hour of the cutoff, as of then';
COMMENT ON FUNCTION leadscore_internal.past_probability(jsonb, leadscore.timeline, jsonb, timestamptz) IS 'probability by what was known before the hour of the cutoff; NULL where the scorecard has none';
COMMENT ON FUNCTION leadscore_internal.past_features(jsonb, leadscore.timeline, jsonb, timestamptz) IS 'features of what was known before the hour of the cutoff, as of then';

CREATE FUNCTION leadscore_internal.conversion_id(scorecard jsonb, conversion text, OUT signal_id integer)
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
				DETAIL = 'It is named as the conversion, but neither the scorecard nor leadscore.signal has it.',
				HINT = leadscore_internal.known('event signals'::text, names);
		END IF;
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('signal "%s" cannot be a conversion', conversion),
			DETAIL = 'It is a profile signal, and a conversion is something that happens.',
			HINT = leadscore_internal.known('event signals'::text, names);
	END IF;
END
$$;
COMMENT ON FUNCTION leadscore_internal.conversion_id(jsonb, text) IS 'the number of a conversion''s signal: the scorecard''s, or else the one it has here';

CREATE FUNCTION leadscore_internal.check_outcome(scorecard jsonb, conversion text, horizon interval, cutoffs timestamptz[], active_within interval,
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
			DETAIL = 'A prediction needs a scorecard, a conversion, a horizon and cutoffs.',
			HINT = 'Such as (leadscore.scorecard(), ''purchase'', ''30 days'', ARRAY[now() - interval ''30 days'']).';
	END IF;
	PERFORM leadscore_internal.check_scorecard(scorecard);

	signal_id := leadscore_internal.conversion_id(scorecard, conversion);

	horizon_hours := leadscore_internal.duration_hours('horizon'::text, horizon, 'Write a duration such as 30 days.'::text);
	active_hours := leadscore_internal.duration_hours('active_within'::text, active_within, 'Write a duration such as 90 days, or NULL for all leads.'::text);

	IF cardinality(cutoffs) = 0 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'there is no cutoff',
			DETAIL = 'The array of cutoffs is empty.', HINT = 'Write at least one, such as ARRAY[now() - interval ''30 days''].';
	END IF;
	FOR one IN SELECT u.cutoff, u.n FROM unnest(cutoffs) WITH ORDINALITY AS u (cutoff, n) ORDER BY u.n LOOP
		IF one.cutoff IS NULL THEN
			RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = format('cutoff %s is NULL', one.n),
				DETAIL = 'A cutoff is the instant that separates what was known from what happened afterwards.', HINT = 'Leave it out of the array.';
		ELSIF one.cutoff > now() THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('cutoff %s lies in the future', one.n),
				DETAIL = format('It is %s.', one.cutoff), HINT = 'Take cutoffs that are at least the horizon ago.';
		ELSIF NOT (one.cutoff >= '1970-01-01 00:00Z') THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('cutoff %s is out of range', one.n),
				DETAIL = format('It is %s.', one.cutoff), HINT = 'Events lie in the years from 1970 on (UTC).';
		ELSIF one.cutoff < (SELECT c.compacted_before FROM leadscore.compaction c) AND date_trunc('hour', one.cutoff, 'UTC') <> leadscore_internal.compacted_day(one.cutoff) THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('cutoff %s lies within a compacted day', one.n),
				DETAIL = format('It is %s, and the hours of that day are no longer known.', one.cutoff), HINT = format('Take the beginning of a day, such as %s.', leadscore_internal.compacted_day(one.cutoff));
		ELSIF EXISTS (SELECT FROM leadscore.compaction c, LATERAL (SELECT date_trunc('hour', one.cutoff, 'UTC') + horizon_hours * interval '1 hour' AS ends) h
				WHERE h.ends < c.compacted_before AND h.ends <> leadscore_internal.compacted_day(h.ends)) THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('the horizon of cutoff %s ends within a compacted day', one.n),
				DETAIL = format('The horizon is %s, and the hours of that day are no longer known.', horizon), HINT = 'Take a horizon of whole days.';
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

COMMENT ON FUNCTION leadscore_internal.check_outcome(jsonb, text, interval, timestamptz[], interval)
	IS 'checks a conversion: its number, the windows in hours, and whether profiles matter';

CREATE FUNCTION leadscore_internal.pasts(profiles boolean, everybody boolean) RETURNS TABLE (lead_id text, timeline leadscore.timeline, profile jsonb)
	LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT s.lead_id, s.timeline, s.profile
	FROM (
		SELECT t.lead_id, t.timeline, CASE WHEN profiles AND (SELECT EXISTS (SELECT FROM leadscore.pending_profile) OR EXISTS (SELECT FROM leadscore.lead_alias))
			THEN nullif(leadscore_internal.with_pending_profile(t.lead_id, l.profile, l.lead_id IS NOT NULL), 'null') ELSE l.profile END AS profile
		FROM leadscore.current_timeline t LEFT JOIN leadscore.lead l ON profiles AND l.lead_id = t.lead_id
		UNION ALL
		SELECT l.lead_id, NULL, l.profile
		FROM leadscore.current_profile l
		WHERE everybody
		AND NOT EXISTS (SELECT FROM leadscore.current_timeline t WHERE t.lead_id = l.lead_id)
		AND NOT EXISTS (SELECT FROM leadscore.lead_alias a WHERE a.alias = l.lead_id)
	) s
	-- where row-level security hides leads or events from the user, it hides what can be learned from them
	WHERE (NOT (SELECT row_security_active('leadscore.lead') OR row_security_active('leadscore.event'))
		OR leadscore_internal.is_visible(s.lead_id))
	AND (NOT (SELECT leadscore_internal.anybody_excluded()) OR NOT leadscore_internal.is_excluded(s.lead_id));
END;

COMMENT ON FUNCTION leadscore_internal.pasts(boolean, boolean) IS 'what is known of each lead that counts: timeline and, where they are wanted, profile; with everybody those without events, too';

CREATE FUNCTION leadscore_internal.examples(signal_id integer, horizon_hours integer, active_hours integer, profiles boolean, cutoffs timestamptz[])
	RETURNS TABLE (lead_id text, cutoff timestamptz, timeline leadscore.timeline, profile jsonb, outcome timestamptz)
	LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT x.lead_id, x.cutoff, x.timeline, x.profile, x.outcome
	FROM (
		SELECT s.lead_id, c.cutoff, s.timeline, s.profile,
			leadscore_internal.outcome(s.timeline, examples.signal_id, c.cutoff, horizon_hours, active_hours) AS outcome
		FROM leadscore_internal.pasts(profiles, active_hours IS NULL) s
		CROSS JOIN unnest(cutoffs) AS c (cutoff)
		OFFSET 0
	) x
	WHERE x.outcome IS NOT NULL;
END;

COMMENT ON FUNCTION leadscore_internal.examples(integer, integer, integer, boolean, timestamptz[])
	IS 'each lead that counts at each cutoff, and when the conversion came within the horizon (infinity: it did not)';

CREATE FUNCTION leadscore_internal.warn_of_censoring(signal_id integer, horizon_hours integer, active_hours integer, cutoffs timestamptz[]) RETURNS void
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
	FROM leadscore_internal.examples(signal_id, horizon_hours, active_hours, false, cutoffs) e;
	IF censored > 0 THEN
		RAISE WARNING USING MESSAGE = format('the horizon reaches past the end of the data for %s %% of the leads', round(100.0 * censored / n, 1)),
			DETAIL = format('Of %s of %s it is not known whether they convert within the horizon: the data end at %s. They count as not converted.',
				censored, n, data_end),
			HINT = format('Take cutoffs up to %s, or a shorter horizon.', data_end - horizon_hours * interval '1 hour');
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.warn_of_censoring(integer, integer, integer, timestamptz[]) IS 'warns where the data end before the horizon does';

-- training sets

CREATE FUNCTION leadscore.training_set(scorecard jsonb, conversion text, horizon interval, cutoffs timestamptz[], active_within interval DEFAULT '90 days')
	RETURNS TABLE (lead_id text, cutoff timestamptz, converted boolean, converted_at timestamptz, features float8[], score float8)
	LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	q record;
BEGIN
	q := leadscore_internal.check_outcome(scorecard, conversion, horizon, cutoffs, active_within);
	PERFORM leadscore_internal.warn_of_censoring(q.signal_id, q.horizon_hours, q.active_hours, cutoffs);
	RETURN QUERY
		SELECT e.lead_id, e.cutoff, e.outcome < 'infinity', nullif(e.outcome, 'infinity'),
			leadscore_internal.past_features(training_set.scorecard, e.timeline, e.profile, e.cutoff),
			leadscore_internal.past_score(training_set.scorecard, e.timeline, e.profile, e.cutoff)
		FROM leadscore_internal.examples(q.signal_id, q.horizon_hours, q.active_hours, q.profiles, training_set.cutoffs) e;
END
$$;

COMMENT ON FUNCTION leadscore.training_set(jsonb, text, interval, timestamptz[], interval)
	IS 'what was known of each lead at each cutoff, and whether it converted within the horizon';

-- quality

CREATE TYPE leadscore_internal.assessment AS (
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

COMMENT ON TYPE leadscore_internal.assessment IS 'how well a scorecard separates conversions from others';
COMMENT ON COLUMN leadscore_internal.assessment.leads IS 'how many leads';
COMMENT ON COLUMN leadscore_internal.assessment.conversions IS 'how many of them converted';
COMMENT ON COLUMN leadscore_internal.assessment.auc IS 'roc_auc() of the score';
COMMENT ON COLUMN leadscore_internal.assessment.auc_error IS 'its standard error';
COMMENT ON COLUMN leadscore_internal.assessment.average_precision IS 'average_precision() of the score';
COMMENT ON COLUMN leadscore_internal.assessment.ks IS 'ks() of the score';
COMMENT ON COLUMN leadscore_internal.assessment.log_loss IS 'log_loss() of the probability, where there is one';
COMMENT ON COLUMN leadscore_internal.assessment.brier IS 'brier() of the probability, where there is one';
COMMENT ON COLUMN leadscore_internal.assessment.tenths IS 'gains() of the score';

CREATE FUNCTION leadscore_internal.assess_transition(internal, jsonb, leadscore.timeline, jsonb, timestamptz, boolean) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 10;

CREATE FUNCTION leadscore_internal.assess_merge(internal, internal) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.assess_serialize(internal) RETURNS bytea
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.assess_deserialize(bytea, internal) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.assess_final(internal) RETURNS leadscore_internal.assessment
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION leadscore_internal.assess_transition(internal, jsonb, leadscore.timeline, jsonb, timestamptz, boolean) IS 'aggregate transition function';
COMMENT ON FUNCTION leadscore_internal.assess_merge(internal, internal) IS 'aggregate combine function';
COMMENT ON FUNCTION leadscore_internal.assess_serialize(internal) IS 'aggregate serial function';
COMMENT ON FUNCTION leadscore_internal.assess_deserialize(bytea, internal) IS 'aggregate deserial function';
COMMENT ON FUNCTION leadscore_internal.assess_final(internal) IS 'aggregate final function';

CREATE AGGREGATE leadscore_internal.assess(scorecard jsonb, timeline leadscore.timeline, profile jsonb, cutoff timestamptz, converted boolean) (
	SFUNC = leadscore_internal.assess_transition,
	STYPE = internal,
	SSPACE = 8192,
	FINALFUNC = leadscore_internal.assess_final,
	COMBINEFUNC = leadscore_internal.assess_merge,
	SERIALFUNC = leadscore_internal.assess_serialize,
	DESERIALFUNC = leadscore_internal.assess_deserialize,
	PARALLEL = safe
);

COMMENT ON AGGREGATE leadscore_internal.assess(jsonb, leadscore.timeline, jsonb, timestamptz, boolean)
	IS 'how well scores from before the hour of the cutoff predict a conversion';

CREATE FUNCTION leadscore.evaluate(scorecard jsonb, conversion text, horizon interval, cutoffs timestamptz[], active_within interval DEFAULT '90 days',
	OUT leads bigint, OUT conversions bigint, OUT base_rate float8, OUT auc float8, OUT auc_low float8, OUT auc_high float8,
	OUT average_precision float8, OUT log_loss float8, OUT brier float8, OUT ks float8, OUT lift_10 float8)
	LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	z CONSTANT float8 := 1.959963984540054;	-- 97.5 % of a normal distribution lie below it
	q record;
	a leadscore_internal.assessment;
BEGIN
	q := leadscore_internal.check_outcome(scorecard, conversion, horizon, cutoffs, active_within);
	PERFORM leadscore_internal.warn_of_censoring(q.signal_id, q.horizon_hours, q.active_hours, cutoffs);
	a := (
		SELECT leadscore_internal.assess(evaluate.scorecard, e.timeline, e.profile, e.cutoff, e.outcome < 'infinity')
		FROM leadscore_internal.examples(q.signal_id, q.horizon_hours, q.active_hours, q.profiles, evaluate.cutoffs) e);
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
	IS 'how well a scorecard would have predicted a conversion';

CREATE FUNCTION leadscore.lift_table(scorecard jsonb, conversion text, horizon interval, cutoffs timestamptz[], active_within interval DEFAULT '90 days')
	RETURNS TABLE (decile integer, leads float8, conversions float8, rate float8, lift float8, captured float8, min_score float8, max_score float8)
	LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 10 SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	q record;
	a leadscore_internal.assessment;
BEGIN
	q := leadscore_internal.check_outcome(scorecard, conversion, horizon, cutoffs, active_within);
	PERFORM leadscore_internal.warn_of_censoring(q.signal_id, q.horizon_hours, q.active_hours, cutoffs);
	a := (
		SELECT leadscore_internal.assess(lift_table.scorecard, e.timeline, e.profile, e.cutoff, e.outcome < 'infinity')
		FROM leadscore_internal.examples(q.signal_id, q.horizon_hours, q.active_hours, q.profiles, lift_table.cutoffs) e);
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
	q := leadscore_internal.check_outcome(scorecard, conversion, horizon, cutoffs, active_within);
	IF coalesce(scorecard -> 'intercept', 'null') = 'null' OR coalesce(scorecard -> 'slope', 'null') = 'null' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'the scorecard has no probabilities',
			DETAIL = 'It has no intercept, or no slope.', HINT = 'Set both in the document.';
	END IF;
	PERFORM leadscore_internal.warn_of_censoring(q.signal_id, q.horizon_hours, q.active_hours, cutoffs);
	tenths := (
		SELECT leadscore_internal.gains(leadscore_internal.past_probability(calibration_table.scorecard, e.timeline, e.profile, e.cutoff), e.outcome < 'infinity')
		FROM leadscore_internal.examples(q.signal_id, q.horizon_hours, q.active_hours, q.profiles, calibration_table.cutoffs) e);
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
