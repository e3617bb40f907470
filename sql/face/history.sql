-- history.sql: how many leads each segment had at instants of the past, and what each day has brought

-- private functions

CREATE FUNCTION leadscore_internal.census_transition(internal, jsonb, leadscore.timeline, jsonb, timestamptz[]) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 100;

CREATE FUNCTION leadscore_internal.census_merge(internal, internal) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.census_serialize(internal) RETURNS bytea
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.census_deserialize(bytea, internal) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.census_final(internal) RETURNS float8[]
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION leadscore_internal.census_transition(internal, jsonb, leadscore.timeline, jsonb, timestamptz[]) IS 'aggregate transition function';
COMMENT ON FUNCTION leadscore_internal.census_merge(internal, internal) IS 'aggregate combine function';
COMMENT ON FUNCTION leadscore_internal.census_serialize(internal) IS 'aggregate serial function';
COMMENT ON FUNCTION leadscore_internal.census_deserialize(bytea, internal) IS 'aggregate deserial function';
COMMENT ON FUNCTION leadscore_internal.census_final(internal) IS 'aggregate final function';

CREATE AGGREGATE leadscore_internal.census(scorecard jsonb, timeline leadscore.timeline, profile jsonb, instants timestamptz[]) (
	SFUNC = leadscore_internal.census_transition,
	STYPE = internal,
	SSPACE = 8192,
	FINALFUNC = leadscore_internal.census_final,
	COMBINEFUNC = leadscore_internal.census_merge,
	SERIALFUNC = leadscore_internal.census_serialize,
	DESERIALFUNC = leadscore_internal.census_deserialize,
	PARALLEL = safe
);

COMMENT ON AGGREGATE leadscore_internal.census(jsonb, leadscore.timeline, jsonb, timestamptz[])
	IS 'the number of an instant, that of a segment (0: none), its leads, the sum of their scores, and how many have entered and departed since the instant before';

CREATE FUNCTION leadscore_internal.check_span(name text, since timestamptz, until timestamptz) RETURNS void
	LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	one record;
BEGIN
	FOR one IN SELECT v.argument, v.at FROM (VALUES ('since', since), ('until', until)) AS v (argument, at) LOOP
		IF one.at IS NULL THEN
			RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = format('the argument "%s" is NULL', one.argument),
				DETAIL = format('%s() needs both ends of a span.', name), HINT = 'Leave the argument out to get its default.';
		ELSIF NOT (one.at >= '1970-01-01 00:00Z' AND one.at < '9999-12-31 00:00Z') THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('"%s" is out of range', one.argument),
				DETAIL = format('It is %s.', one.at), HINT = 'Write an instant of the years 1970 to 9999.';
		END IF;
	END LOOP;
	IF since > until THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = '"since" is after "until"',
			DETAIL = format('since is %s, until is %s.', since, until), HINT = 'Swap the two.';
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.check_span(text, timestamptz, timestamptz) IS 'refuses spans without an end, or whose ends are out of range or out of order';

-- Days are those of the time zone: days are added on its calendar, hours on the clock. There is no result that
-- depends on the session, as there would be with generate_series().
CREATE FUNCTION leadscore_internal.instants(since timestamptz, until timestamptz, step interval, time_zone text) RETURNS timestamptz[]
	LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	most CONSTANT integer := 10000;
	days CONSTANT integer := extract(day FROM step);
	clock CONSTANT interval := step - make_interval(days => days);
	n numeric;
BEGIN
	PERFORM leadscore_internal.check_span('segment_history'::text, since, until);
	IF step IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'the argument "step" is NULL',
			DETAIL = 'It is the time from one instant to the next.', HINT = 'Leave it out for 1 day.';
	ELSIF step <> make_interval(days => days, secs => extract(epoch FROM clock)::float8) OR extract(month FROM step) <> 0 OR extract(year FROM step) <> 0 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = '"step" has months',
			DETAIL = format('It is %s, and months have different lengths.', step), HINT = 'Write days, such as 30 days.';
	ELSIF NOT (days >= 0 AND clock >= '0' AND step > '0') THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = '"step" is not above zero',
			DETAIL = format('It is %s.', step), HINT = 'Write a duration such as 1 day.';
	END IF;
	-- (a day of a time zone has 23 hours at least)
	n := floor(extract(epoch FROM until - since) / (days * 82800 + extract(epoch FROM clock))) + 1;
	IF extract(epoch FROM until - since) / extract(epoch FROM step) >= most THEN
		RAISE EXCEPTION USING ERRCODE = 'program_limit_exceeded', MESSAGE = 'there are too many instants',
			DETAIL = format('From %s to %s there are more than %s by a step of %s.', since, until, most, step), HINT = 'Write a longer step, or a shorter span.';
	END IF;
	RETURN ARRAY(
		SELECT i.at
		FROM generate_series(0, n::integer) k
		CROSS JOIN LATERAL (SELECT CASE WHEN k * days = 0 THEN since ELSE ((since AT TIME ZONE time_zone) + make_interval(days => k * days)) AT TIME ZONE time_zone END
			+ k * clock AS at) i
		WHERE i.at <= until
		ORDER BY k);
END
$$;

COMMENT ON FUNCTION leadscore_internal.instants(timestamptz, timestamptz, interval, text) IS 'the instants from one to another by a step, by the days of a time zone';

CREATE FUNCTION leadscore_internal.serving_cards(model text, instants timestamptz[])
	RETURNS TABLE (scorecard jsonb, treated boolean, salt text, share float8, served timestamptz[])
	LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 1 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	e leadscore.experiment;
BEGIN
	SELECT x.* INTO e FROM leadscore.experiment x WHERE x.experiment = serving_cards.model;
	IF NOT FOUND THEN
		RETURN QUERY SELECT leadscore.scorecard(leadscore_internal.model_named(serving_cards.model)), NULL::boolean, NULL::text, NULL::float8, instants;
		RETURN;
	END IF;
	RETURN QUERY
	SELECT leadscore.scorecard(CASE WHEN p.running AND p.treated THEN e.treatment ELSE e.control END), p.treated, e.salt, e.share, p.served
	FROM (
		SELECT a.treated, r.running, array_agg(i.at ORDER BY i.at) AS served
		FROM unnest(instants) AS i (at)
		CROSS JOIN LATERAL (SELECT leadscore_internal.is_running(e.starts_at, e.ends_at, i.at) AS running) r
		CROSS JOIN (VALUES (false), (true)) AS a (treated)
		GROUP BY a.treated, r.running
	) p;
END
$$;

COMMENT ON FUNCTION leadscore_internal.serving_cards(text, timestamptz[])
	IS 'the scorecards that a model, or an experiment, serves at instants: to all leads, or (treated) to one arm';

CREATE FUNCTION leadscore_internal.card_segments(scorecard jsonb) RETURNS TABLE (n bigint, segment text, "position" integer)
	LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 5 SET search_path = pg_catalog, pg_temp
AS $$
	SELECT row_number() OVER (ORDER BY d.position), d.segment, d.position::integer
	FROM jsonb_to_recordset(nullif(scorecard -> 'segments', 'null')) AS d (segment text, position numeric)
$$;

COMMENT ON FUNCTION leadscore_internal.card_segments(jsonb) IS 'the segments of a scorecard by position, numbered from 1';

CREATE FUNCTION leadscore_internal.segment_counts(model text, instants timestamptz[])
	RETURNS TABLE (at timestamptz, segment text, segment_position integer, leads bigint, score_sum float8, entered bigint, departed bigint)
	LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	card record;
BEGIN
	FOR card IN SELECT c.scorecard, c.treated, c.salt, c.share, c.served FROM leadscore_internal.serving_cards(model, instants) c LOOP
		RETURN QUERY
		WITH counted AS MATERIALIZED (
			SELECT leadscore_internal.census(card.scorecard, v.timeline, v.profile, card.served) AS figures
			FROM leadscore_internal.visible_lead v
			WHERE card.treated IS NULL OR leadscore_internal.treated(card.salt, card.share, v.lead_id) = card.treated
		)
		SELECT card.served[(c.figures[i][1])::integer], s.segment, s.position,
			(c.figures[i][3])::bigint, c.figures[i][4], (c.figures[i][5])::bigint, (c.figures[i][6])::bigint
		FROM counted c
		CROSS JOIN generate_series(1, array_length(c.figures, 1)) i
		LEFT JOIN leadscore_internal.card_segments(card.scorecard) s ON s.n = c.figures[i][2];
	END LOOP;
END
$$;

COMMENT ON FUNCTION leadscore_internal.segment_counts(text, timestamptz[])
	IS 'the leads of each segment at instants, the sum of their scores, and how many have entered and departed since the instant before; of an experiment for each arm';

-- history

CREATE FUNCTION leadscore.segment_history(model text DEFAULT 'default', since timestamptz DEFAULT now() - interval '90 days',
	until timestamptz DEFAULT now(), step interval DEFAULT '1 day')
	RETURNS TABLE (at timestamptz, segment text, segment_position integer, leads bigint, average_score float8)
	LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	served CONSTANT text := leadscore_internal.serving_model(model, NULL::text, since);
	time_zone CONSTANT text := coalesce((SELECT m.time_zone FROM leadscore.model m WHERE m.model = served), 'UTC');
BEGIN
	RETURN QUERY
	SELECT c.at, c.segment, c.segment_position, sum(c.leads)::bigint, sum(c.score_sum) / sum(c.leads)::float8
	FROM leadscore_internal.segment_counts(segment_history.model, leadscore_internal.instants(since, until, step, time_zone)) c
	WHERE c.leads > 0
	GROUP BY c.at, c.segment, c.segment_position
	ORDER BY c.at, c.segment_position, c.segment;
END
$$;

COMMENT ON FUNCTION leadscore.segment_history(text, timestamptz, timestamptz, interval)
	IS 'the leads and the mean score of each segment at instants of the past or future, by the model and the profiles of today';

CREATE FUNCTION leadscore.segment_flow(model text DEFAULT 'default', since timestamptz DEFAULT now() - interval '30 days', until timestamptz DEFAULT now())
	RETURNS TABLE (from_segment text, to_segment text, leads bigint, from_position integer, to_position integer, is_new boolean)
	LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
BEGIN
	PERFORM leadscore_internal.check_span('segment_flow'::text, since, until);
	RETURN QUERY
	WITH arm AS MATERIALIZED (
		SELECT b.scorecard AS before, a.scorecard AS after, b.treated, b.salt, b.share
		FROM leadscore_internal.serving_cards(segment_flow.model, ARRAY[since]) b
		JOIN leadscore_internal.serving_cards(segment_flow.model, ARRAY[until]) a ON a.treated IS NOT DISTINCT FROM b.treated
	), moved AS (
		SELECT m.from_segment, m.to_segment, m.is_new, count(*) AS leads
		FROM (
			SELECT n.is_new,
				CASE WHEN NOT n.is_new THEN leadscore.next_segment(arm.before, v.timeline, v.profile, since, NULL::text, NULL::timestamptz) END AS from_segment,
				leadscore.next_segment(arm.after, v.timeline, v.profile, until, NULL::text, NULL::timestamptz) AS to_segment
			FROM arm CROSS JOIN leadscore_internal.visible_lead v
			CROSS JOIN LATERAL (SELECT leadscore_internal.timeline_start(v.timeline) AS started_at) t
			CROSS JOIN LATERAL (SELECT coalesce(t.started_at > since, false) AS is_new) n
			WHERE (t.started_at <= until) IS NOT FALSE
			AND (arm.treated IS NULL OR leadscore_internal.treated(arm.salt, arm.share, v.lead_id) = arm.treated)
			OFFSET 0
		) m
		GROUP BY m.from_segment, m.to_segment, m.is_new
	)
	SELECT m.from_segment, m.to_segment, m.leads,
		(SELECT min(s.position) FROM arm CROSS JOIN LATERAL leadscore_internal.card_segments(arm.before) s WHERE s.segment = m.from_segment) AS from_position,
		(SELECT min(s.position) FROM arm CROSS JOIN LATERAL leadscore_internal.card_segments(arm.after) s WHERE s.segment = m.to_segment) AS to_position,
		m.is_new
	FROM moved m
	ORDER BY m.is_new, 4, 5, m.from_segment, m.to_segment;
END
$$;

COMMENT ON FUNCTION leadscore.segment_flow(text, timestamptz, timestamptz)
	IS 'how many leads went from which segment to which between two instants, by the model and the profiles of today; is_new: they came in between';

-- days

CREATE TABLE leadscore.segment_day (
	model text NOT NULL REFERENCES leadscore.model ON UPDATE CASCADE ON DELETE CASCADE,
	day date NOT NULL,
	segment text,
	segment_position integer,
	leads bigint NOT NULL,
	entered bigint NOT NULL,
	departed bigint NOT NULL,
	average_score float8,
	backfilled boolean NOT NULL DEFAULT false
);

CREATE UNIQUE INDEX segment_day_key ON leadscore.segment_day (model, day, coalesce(segment, ''));

COMMENT ON TABLE leadscore.segment_day IS 'each day''s segments as they were when it ended, by the model of that day; today as of the last refresh_figures()';
COMMENT ON COLUMN leadscore.segment_day.model IS 'the model';
COMMENT ON COLUMN leadscore.segment_day.day IS 'the day in the model''s time zone';
COMMENT ON COLUMN leadscore.segment_day.segment IS 'the segment; NULL: leads that are in none';
COMMENT ON COLUMN leadscore.segment_day.segment_position IS 'the position of the segment then';
COMMENT ON COLUMN leadscore.segment_day.leads IS 'how many leads were in it when the day ended';
COMMENT ON COLUMN leadscore.segment_day.entered IS 'how many of them were not in it when the day before ended; new leads are among them';
COMMENT ON COLUMN leadscore.segment_day.departed IS 'how many that were in it when the day before ended were in another, or in none';
COMMENT ON COLUMN leadscore.segment_day.average_score IS 'the mean score of those in it; NULL: nobody was';
COMMENT ON COLUMN leadscore.segment_day.backfilled IS 'whether the day was computed later, by the model as it was at that time';

SELECT pg_catalog.pg_extension_config_dump('leadscore.segment_day', '');
