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

CREATE TYPE leadscore_internal.question AS (
	signal_id integer,
	horizon_hours integer,
	active_hours integer,
	profiles boolean,
	cutoffs timestamptz[],
	once boolean,
	after_hours integer,
	data_end timestamptz,
	lead_filter text,
	part integer,
	share float8
);

COMMENT ON TYPE leadscore_internal.question IS 'what is to be predicted, of which leads, at which instants';
COMMENT ON COLUMN leadscore_internal.question.signal_id IS 'number of the conversion''s signal';
COMMENT ON COLUMN leadscore_internal.question.horizon_hours IS 'within how many hours after a cutoff a conversion counts';
COMMENT ON COLUMN leadscore_internal.question.active_hours IS 'within how many hours before a cutoff something must have happened; NULL: all leads count';
COMMENT ON COLUMN leadscore_internal.question.profiles IS 'whether profiles are wanted';
COMMENT ON COLUMN leadscore_internal.question.cutoffs IS 'the same for all leads';
COMMENT ON COLUMN leadscore_internal.question.once IS 'whether a lead that has converted before a cutoff does not count at it';
COMMENT ON COLUMN leadscore_internal.question.after_hours IS 'instead of cutoffs: how many hours after its own first event the cutoff of a lead is; NULL: cutoffs';
COMMENT ON COLUMN leadscore_internal.question.data_end IS 'up to when there are events: cutoffs of leads whose horizon ends later do not count';
COMMENT ON COLUMN leadscore_internal.question.lead_filter IS 'a condition on lead_id and profile; NULL: none';
COMMENT ON COLUMN leadscore_internal.question.part IS '0 to 3: all leads but those of this fold; -1: seven in ten; NULL: all';
COMMENT ON COLUMN leadscore_internal.question.share IS 'of leads that are a sample of all; NULL: all';

-- What nobody can learn from is refused in words of ours: the expression sees a lead's name and profile, and nothing
-- else. The attempt is a subtransaction, which no parallel worker may begin: so all that takes a filter is not
-- parallel safe.
CREATE FUNCTION leadscore_internal.check_lead_filter(lead_filter text) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	-- without what is quoted
	bare CONSTANT text := regexp_replace(lead_filter, $re$'(?:[^']|'')*'|"(?:[^"]|"")*"$re$, '''''', 'g');
	type regtype;
BEGIN
	IF lead_filter IS NULL THEN
		RETURN;
	END IF;
	IF bare ~* $re$\m(select|table|values|with)\M$re$ OR bare ~ $re$;|--|/[*]|[$]$re$ THEN
		RAISE EXCEPTION USING ERRCODE = 'feature_not_supported', MESSAGE = 'lead_filter is not a plain expression',
			DETAIL = format('It is %s.', lead_filter), HINT = 'Write a condition on lead_id and profile, without sub-selects, such as (profile ->> ''number'')::int % 10 < 7.';
	END IF;
	BEGIN
		EXECUTE format('SELECT pg_typeof((%s)) FROM (SELECT NULL::text AS lead_id, NULL::jsonb AS profile) lead', lead_filter) INTO type;
	EXCEPTION WHEN syntax_error_or_access_rule_violation THEN
		RAISE EXCEPTION USING ERRCODE = SQLSTATE, MESSAGE = format('invalid lead_filter: %s', SQLERRM),
			DETAIL = format('It is %s.', lead_filter), HINT = 'Write a condition on lead_id (text) and profile (jsonb), such as profile ->> ''country'' = ''DE''.';
	END;
	IF type <> 'boolean'::regtype THEN
		RAISE EXCEPTION USING ERRCODE = 'datatype_mismatch', MESSAGE = 'lead_filter is no condition',
			DETAIL = format('Its type is %s.', type), HINT = 'Write what is true of the leads that count.';
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.check_lead_filter(text) IS 'refuses what is no condition on a lead''s name and profile';

CREATE FUNCTION leadscore_internal.check_cutoffs(cutoffs timestamptz[], horizon interval, horizon_hours integer) RETURNS void
	LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	one record;
	latest timestamptz;
BEGIN
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
END
$$;

COMMENT ON FUNCTION leadscore_internal.check_cutoffs(timestamptz[], interval, integer) IS 'refuses cutoffs that do not separate what was known from what happened';

CREATE FUNCTION leadscore_internal.check_outcome(scorecard jsonb, conversion text, horizon interval, cutoffs timestamptz[], active_within interval,
	once boolean DEFAULT false, cutoff_after interval DEFAULT NULL, lead_filter text DEFAULT NULL) RETURNS leadscore_internal.question
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	missing CONSTANT text := CASE WHEN scorecard IS NULL THEN 'scorecard' WHEN conversion IS NULL THEN 'conversion'
		WHEN horizon IS NULL THEN 'horizon' WHEN cutoffs IS NULL AND cutoff_after IS NULL THEN 'cutoffs' END;
	q leadscore_internal.question;
BEGIN
	IF missing IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = format('the argument "%s" is NULL', missing),
			DETAIL = 'A prediction needs a scorecard, a conversion, a horizon and cutoffs.',
			HINT = 'Such as (leadscore.scorecard(), ''purchase'', ''30 days'', ARRAY[now() - interval ''30 days'']).';
	END IF;
	PERFORM leadscore_internal.check_scorecard(scorecard);
	q.signal_id := leadscore_internal.conversion_id(scorecard, conversion);
	q.horizon_hours := leadscore_internal.duration_hours('horizon'::text, horizon, 'Write a duration such as 30 days.'::text);
	q.active_hours := leadscore_internal.duration_hours('active_within'::text, active_within, 'Write a duration such as 90 days, or NULL for all leads.'::text);
	q.after_hours := leadscore_internal.duration_hours('cutoff_after'::text, cutoff_after, 'Write a duration such as 7 days.'::text);
	IF cutoff_after IS NULL THEN
		PERFORM leadscore_internal.check_cutoffs(cutoffs, horizon, q.horizon_hours);
	ELSIF cutoffs IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'there are both cutoffs and cutoff_after',
			DETAIL = 'A lead counts at instants that are the same for all, or so long after its own first event.', HINT = 'Leave one out: write NULL.';
	ELSE
		q.data_end := leadscore_internal.data_end();
	END IF;
	PERFORM leadscore_internal.check_lead_filter(lead_filter);
	q.cutoffs := cutoffs;
	q.once := coalesce(once, false);
	q.lead_filter := lead_filter;
	q.profiles := EXISTS (
		SELECT FROM jsonb_to_recordset(nullif(scorecard -> 'signals', 'null')) AS c (subject text) WHERE c.subject = 'profile');
	RETURN q;
END
$$;

COMMENT ON FUNCTION leadscore_internal.check_outcome(jsonb, text, interval, timestamptz[], interval, boolean, interval, text)
	IS 'checks a conversion and who counts: its number, the windows in hours, and whether profiles matter';

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

-- A set of names, so that what follows reads timelines in parallel, as without a filter.
CREATE FUNCTION leadscore_internal.filtered_leads(lead_filter text, everybody boolean) RETURNS TABLE (lead_id text)
	LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
BEGIN
	RETURN QUERY EXECUTE format('SELECT lead.lead_id FROM (SELECT p.lead_id, p.profile FROM leadscore_internal.pasts(true, $1) p OFFSET 0) lead WHERE (%s)', lead_filter) USING everybody;
END
$$;

COMMENT ON FUNCTION leadscore_internal.filtered_leads(text, boolean) IS 'the leads that a condition on name and profile holds for';

CREATE FUNCTION leadscore_internal.takes_part(lead_id text, part integer, share float8) RETURNS boolean
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN CASE WHEN part IS NULL THEN true WHEN part < 0 THEN hashtextextended(lead_id, 0) & 1023 < 717 ELSE hashtextextended(lead_id, 0) & 3 <> part END
		AND (share IS NULL OR hashtextextended(lead_id, 1) & 1048575 < 1048576 * share);

COMMENT ON FUNCTION leadscore_internal.takes_part(text, integer, float8) IS 'whether a lead is in a part, and in a sample, of all leads';

-- Whether a lead counts at a cutoff is decided here alone.
CREATE FUNCTION leadscore_internal.outcomes_at(q leadscore_internal.question, timeline leadscore.timeline)
	RETURNS TABLE (place bigint, cutoff timestamptz, outcome timestamptz)
	LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT c.place, c.cutoff,
		CASE WHEN (NOT (q).once OR leadscore.timeline_first_hour(timeline, (q).signal_id, NULL, c.cutoff) IS NULL)
			AND ((q).after_hours IS NULL OR c.cutoff + (q).horizon_hours * interval '1 hour' <= (q).data_end)
			THEN leadscore_internal.outcome(timeline, (q).signal_id, c.cutoff, (q).horizon_hours, (q).active_hours) END
	FROM unnest(CASE WHEN (q).after_hours IS NULL THEN (q).cutoffs
		ELSE ARRAY[leadscore_internal.timeline_start(timeline) + (q).after_hours * interval '1 hour'] END) WITH ORDINALITY AS c (cutoff, place);
END;

COMMENT ON FUNCTION leadscore_internal.outcomes_at(leadscore_internal.question, leadscore.timeline)
	IS 'the cutoffs of a lead, and when the conversion came within the horizon (infinity: it did not; NULL: the lead does not count)';

CREATE FUNCTION leadscore_internal.pasts_at(q leadscore_internal.question)
	RETURNS TABLE (lead_id text, place bigint, cutoff timestamptz, timeline leadscore.timeline, profile jsonb, outcome timestamptz, last_hour timestamptz)
	LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT s.lead_id, o.place, o.cutoff, s.timeline, s.profile,
		CASE WHEN (q).lead_filter IS NULL OR s.lead_id IN (SELECT f.lead_id FROM leadscore_internal.filtered_leads((q).lead_filter, (q).active_hours IS NULL) f)
			THEN o.outcome END,
		CASE WHEN o.place = 1 THEN leadscore.timeline_last_hour(s.timeline) END
	FROM leadscore_internal.pasts((q).profiles, (q).active_hours IS NULL) s
	CROSS JOIN LATERAL leadscore_internal.outcomes_at(q, s.timeline) o
	WHERE leadscore_internal.takes_part(s.lead_id, (q).part, (q).share)
	OFFSET 0;
END;

COMMENT ON FUNCTION leadscore_internal.pasts_at(leadscore_internal.question)
	IS 'each lead at each cutoff, when the conversion came within the horizon (infinity: it did not; NULL: the lead does not count), and once a lead its last hour';

CREATE FUNCTION leadscore_internal.examples(q leadscore_internal.question)
	RETURNS TABLE (lead_id text, cutoff timestamptz, timeline leadscore.timeline, profile jsonb, outcome timestamptz)
	LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT p.lead_id, p.cutoff, p.timeline, p.profile, p.outcome FROM leadscore_internal.pasts_at(q) p WHERE p.outcome IS NOT NULL;
END;

COMMENT ON FUNCTION leadscore_internal.examples(leadscore_internal.question)
	IS 'each lead that counts at each cutoff, and when the conversion came within the horizon (infinity: it did not)';

-- the end of the data

-- Where all that happened last happened at midnight, the data have days only, and the last one is over.
CREATE FUNCTION leadscore_internal.is_midnight(instant timestamptz, time_zone text) RETURNS boolean
	LANGUAGE sql STABLE PARALLEL SAFE
	RETURN instant = date_trunc('day', instant, 'UTC') OR instant = date_trunc('day', instant, coalesce(time_zone, 'UTC'));

COMMENT ON FUNCTION leadscore_internal.is_midnight(timestamptz, text) IS 'whether a day begins, by UTC or in a time zone';

CREATE FUNCTION leadscore_internal.end_of(last_hour timestamptz, only_days boolean) RETURNS timestamptz
	LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT least(last_hour + CASE WHEN only_days THEN interval '1 day' ELSE interval '1 hour' END, now())
$$;

COMMENT ON FUNCTION leadscore_internal.end_of(timestamptz, boolean) IS 'when the last hour, or day, of events is over';

CREATE FUNCTION leadscore_internal.data_end() RETURNS timestamptz
	LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	zone CONSTANT text := leadscore_internal.default_time_zone();
BEGIN
	RETURN (SELECT leadscore_internal.end_of(max(t.last_hour), bool_and(leadscore_internal.is_midnight(t.last_hour, zone)))
		FROM (SELECT leadscore.timeline_last_hour(c.timeline) AS last_hour FROM leadscore.current_timeline c OFFSET 0) t);
END
$$;

COMMENT ON FUNCTION leadscore_internal.data_end() IS 'up to when there are events';

CREATE FUNCTION leadscore_internal.tally_transition(bigint[], bigint) RETURNS bigint[]
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.tally_merge(bigint[], bigint[]) RETURNS bigint[]
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION leadscore_internal.tally_transition(bigint[], bigint) IS 'aggregate transition function';
COMMENT ON FUNCTION leadscore_internal.tally_merge(bigint[], bigint[]) IS 'aggregate combine function';

CREATE AGGREGATE leadscore_internal.tally(place bigint) (
	SFUNC = leadscore_internal.tally_transition,
	STYPE = bigint[],
	INITCOND = '{}',
	COMBINEFUNC = leadscore_internal.tally_merge,
	PARALLEL = safe
);

COMMENT ON AGGREGATE leadscore_internal.tally(bigint) IS 'how often each number from 1 on occurs';

CREATE FUNCTION leadscore_internal.warn_of_censoring(q leadscore_internal.question, data_end timestamptz, n bigint, open bigint[]) RETURNS void
	LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	censored bigint;
BEGIN
	IF q.after_hours IS NOT NULL THEN
		RETURN;		-- whose horizon is not over does not count
	END IF;
	SELECT sum(o.leads) INTO censored FROM unnest(q.cutoffs, open) AS o (cutoff, leads)
	WHERE date_trunc('hour', o.cutoff, 'UTC') + q.horizon_hours * interval '1 hour' > data_end;
	IF censored > 0 THEN
		RAISE WARNING USING MESSAGE = format('the horizon reaches past the end of the data for %s %% of the leads', round(100.0 * censored / n, 1)),
			DETAIL = format('Of %s of %s it is not known whether they convert within the horizon: the data end at %s. They count as not converted.',
				censored, n, data_end),
			HINT = format('Take cutoffs up to %s, or a shorter horizon.', data_end - q.horizon_hours * interval '1 hour');
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.warn_of_censoring(leadscore_internal.question, timestamptz, bigint, bigint[])
	IS 'warns where the data end before the horizon does; open: leads at each cutoff that did not convert';

-- For what reads timelines more than once. Most often the first few show that there are events up to the end.
CREATE FUNCTION leadscore_internal.warn_of_censoring(q leadscore_internal.question) RETURNS void
	LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	latest CONSTANT timestamptz := date_trunc('hour', (SELECT max(c) FROM unnest(q.cutoffs) c), 'UTC') + q.horizon_hours * interval '1 hour';
	data_end timestamptz;
	read record;
BEGIN
	IF q.after_hours IS NOT NULL OR latest <= now()
		AND EXISTS (SELECT FROM leadscore.current_timeline t WHERE leadscore.timeline_last_hour(t.timeline) >= latest - interval '1 hour') THEN
		RETURN;
	END IF;
	data_end := leadscore_internal.data_end();
	q.profiles := false;
	SELECT count(*) AS n, leadscore_internal.tally(p.place) FILTER (WHERE p.outcome = 'infinity') AS open INTO read FROM leadscore_internal.pasts_at(q) p WHERE p.outcome IS NOT NULL;
	PERFORM leadscore_internal.warn_of_censoring(q, data_end, read.n, read.open);
END
$$;

COMMENT ON FUNCTION leadscore_internal.warn_of_censoring(leadscore_internal.question) IS 'warns where the data end before the horizon does';

-- training sets

CREATE FUNCTION leadscore.training_set(scorecard jsonb, conversion text, horizon interval, cutoffs timestamptz[], active_within interval DEFAULT '90 days',
	once boolean DEFAULT false, cutoff_after interval DEFAULT NULL, lead_filter text DEFAULT NULL)
	RETURNS TABLE (lead_id text, cutoff timestamptz, converted boolean, converted_at timestamptz, features float8[], score float8)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	q leadscore_internal.question;
BEGIN
	q := leadscore_internal.check_outcome(scorecard, conversion, horizon, cutoffs, active_within, once, cutoff_after, lead_filter);
	PERFORM leadscore_internal.warn_of_censoring(q);
	RETURN QUERY
		SELECT e.lead_id, e.cutoff, e.outcome < 'infinity', nullif(e.outcome, 'infinity'),
			leadscore_internal.past_features(training_set.scorecard, e.timeline, e.profile, e.cutoff),
			leadscore_internal.past_score(training_set.scorecard, e.timeline, e.profile, e.cutoff)
		FROM leadscore_internal.examples(q) e;
END
$$;

COMMENT ON FUNCTION leadscore.training_set(jsonb, text, interval, timestamptz[], interval, boolean, interval, text)
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

-- One reading of the timelines says how good the scores are and where the data end.
CREATE FUNCTION leadscore_internal.assessed(scorecard jsonb, q leadscore_internal.question) RETURNS leadscore_internal.assessment
	LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	zone CONSTANT text := leadscore_internal.default_time_zone();
	read record;
BEGIN
	SELECT leadscore_internal.assess(scorecard, p.timeline, p.profile, p.cutoff, p.outcome < 'infinity') FILTER (WHERE p.outcome IS NOT NULL) AS assessment,
		leadscore_internal.end_of(max(p.last_hour), bool_and(leadscore_internal.is_midnight(p.last_hour, zone))) AS data_end,
		leadscore_internal.tally(p.place) FILTER (WHERE p.outcome = 'infinity') AS open
	INTO read FROM leadscore_internal.pasts_at(q) p;
	PERFORM leadscore_internal.warn_of_censoring(q, read.data_end, (read.assessment).leads, read.open);
	RETURN read.assessment;
END
$$;

COMMENT ON FUNCTION leadscore_internal.assessed(jsonb, leadscore_internal.question) IS 'how well a scorecard predicts; warns where the data end before the horizon does';

CREATE FUNCTION leadscore_internal.evaluation(a leadscore_internal.assessment)
	RETURNS TABLE (leads bigint, conversions bigint, base_rate float8, auc float8, auc_low float8, auc_high float8,
		average_precision float8, log_loss float8, brier float8, ks float8, lift_10 float8)
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE ROWS 1 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	z CONSTANT float8 := 1.959963984540054;	-- 97.5 % of a normal distribution lie below it
BEGIN
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
	RETURN NEXT;
END
$$;

COMMENT ON FUNCTION leadscore_internal.evaluation(leadscore_internal.assessment) IS 'the figures that evaluate() returns';

CREATE FUNCTION leadscore.evaluate(scorecard jsonb, conversion text, horizon interval, cutoffs timestamptz[], active_within interval DEFAULT '90 days',
	once boolean DEFAULT false, cutoff_after interval DEFAULT NULL, lead_filter text DEFAULT NULL)
	-- a set of one row: the server calls such a function once for (evaluate(...)).*, and another once a column
	RETURNS TABLE (leads bigint, conversions bigint, base_rate float8, auc float8, auc_low float8, auc_high float8,
		average_precision float8, log_loss float8, brier float8, ks float8, lift_10 float8)
	LANGUAGE plpgsql STABLE ROWS 1 SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
BEGIN
	RETURN QUERY SELECT e.* FROM leadscore_internal.evaluation(leadscore_internal.assessed(scorecard,
		leadscore_internal.check_outcome(scorecard, conversion, horizon, cutoffs, active_within, once, cutoff_after, lead_filter))) e;
END
$$;

COMMENT ON FUNCTION leadscore.evaluate(jsonb, text, interval, timestamptz[], interval, boolean, interval, text)
	IS 'how well a scorecard would have predicted a conversion';

CREATE FUNCTION leadscore.lift_table(scorecard jsonb, conversion text, horizon interval, cutoffs timestamptz[], active_within interval DEFAULT '90 days',
	once boolean DEFAULT false, cutoff_after interval DEFAULT NULL, lead_filter text DEFAULT NULL)
	RETURNS TABLE (decile integer, leads float8, conversions float8, rate float8, lift float8, captured float8, min_score float8, max_score float8)
	LANGUAGE plpgsql STABLE ROWS 10 SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	a CONSTANT leadscore_internal.assessment := leadscore_internal.assessed(scorecard, leadscore_internal.check_outcome(scorecard, conversion, horizon, cutoffs, active_within, once, cutoff_after, lead_filter));
BEGIN
	RETURN QUERY
		SELECT i, a.tenths[i][1], a.tenths[i][2], a.tenths[i][2] / a.tenths[i][1], a.tenths[i][2] / a.tenths[i][1] / nullif(a.conversions / nullif(a.leads, 0)::float8, 0),
			sum(a.tenths[i][2]) OVER (ORDER BY i) / nullif(a.conversions, 0), a.tenths[i][3], a.tenths[i][4]
		FROM generate_series(1, array_length(a.tenths, 1)) i ORDER BY i;
END
$$;

COMMENT ON FUNCTION leadscore.lift_table(jsonb, text, interval, timestamptz[], interval, boolean, interval, text)
	IS 'conversions by tenths of the leads, the highest scores first';

CREATE FUNCTION leadscore.calibration_table(scorecard jsonb, conversion text, horizon interval, cutoffs timestamptz[], active_within interval DEFAULT '90 days',
	once boolean DEFAULT false, cutoff_after interval DEFAULT NULL, lead_filter text DEFAULT NULL)
	RETURNS TABLE (bin integer, leads float8, predicted float8, observed float8, observed_low float8, observed_high float8,
		min_probability float8, max_probability float8)
	LANGUAGE plpgsql STABLE ROWS 10 SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	z CONSTANT float8 := 1.959963984540054;	-- 97.5 % of a normal distribution lie below it
	zone CONSTANT text := leadscore_internal.default_time_zone();
	q leadscore_internal.question;
	read record;
	tenths float8[];
BEGIN
	q := leadscore_internal.check_outcome(scorecard, conversion, horizon, cutoffs, active_within, once, cutoff_after, lead_filter);
	IF coalesce(scorecard -> 'intercept', 'null') = 'null' OR coalesce(scorecard -> 'slope', 'null') = 'null' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'the scorecard has no probabilities',
			DETAIL = 'It has no intercept, or no slope.', HINT = 'Set both in the document.';
	END IF;
	SELECT leadscore_internal.gains(leadscore_internal.past_probability(calibration_table.scorecard, p.timeline, p.profile, p.cutoff), p.outcome < 'infinity')
			FILTER (WHERE p.outcome IS NOT NULL) AS tenths, count(p.outcome) AS leads,
		leadscore_internal.end_of(max(p.last_hour), bool_and(leadscore_internal.is_midnight(p.last_hour, zone))) AS data_end,
		leadscore_internal.tally(p.place) FILTER (WHERE p.outcome = 'infinity') AS open
	INTO read FROM leadscore_internal.pasts_at(q) p;
	PERFORM leadscore_internal.warn_of_censoring(q, read.data_end, read.leads, read.open);
	tenths := read.tenths;
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

COMMENT ON FUNCTION leadscore.calibration_table(jsonb, text, interval, timestamptz[], interval, boolean, interval, text)
	IS 'predicted and observed conversions by tenths of the leads, the lowest probabilities first';
