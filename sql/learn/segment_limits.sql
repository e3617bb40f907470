-- segment_limits.sql: thresholds of segments that follow from how many leads they are to have

CREATE FUNCTION leadscore_internal.score_limit(card jsonb, segment text, leads bigint, at timestamptz) RETURNS jsonb
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off SET extra_float_digits = 1
AS $$
	WITH ranked AS (
		SELECT s.score, sum(count(*)) OVER (ORDER BY s.score DESC) AS leads
		FROM (
			SELECT (a.appraisal).score, (a.appraisal).segment
			FROM leadscore_internal.visible_lead v
			CROSS JOIN LATERAL (SELECT leadscore.appraise(card, v.timeline, v.profile, at) AS appraisal OFFSET 0) a
		) s
		WHERE s.segment = score_limit.segment
		GROUP BY s.score
	)
	SELECT jsonb_build_object(CASE WHEN l.leads > 0 THEN 'min_score' ELSE 'above_score' END, l.score)
	FROM (SELECT r.score, r.leads FROM ranked r UNION ALL SELECT max(r.score), 0 FROM ranked r) l
	WHERE l.score IS NOT NULL
	-- leads with equal scores stay together
	ORDER BY abs(l.leads - score_limit.leads), l.leads
	LIMIT 1
$$;

COMMENT ON FUNCTION leadscore_internal.score_limit(jsonb, text, bigint, timestamptz)
	IS 'the limit by which a segment of a scorecard has so many leads, or as near to it as equal scores allow; NULL: no lead can be in it';

CREATE FUNCTION leadscore_internal.has_limit(segment jsonb) RETURNS boolean
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(segment ->> 'min_score', segment ->> 'above_score') IS NOT NULL
$$;

COMMENT ON FUNCTION leadscore_internal.has_limit(jsonb) IS 'whether a segment of a document asks for a score';

CREATE FUNCTION leadscore_internal.check_shares(shares jsonb, segments text[]) RETURNS void
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	share record;
	total numeric := 0;
BEGIN
	IF jsonb_typeof(shares) <> 'object' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'shares are not a JSON object',
			DETAIL = format('The value is %s.', shares), HINT = 'Write the share of each segment, such as {"high": 0.1, "medium": 0.3}.';
	END IF;
	FOR share IN SELECT s.key, s.value FROM jsonb_each(shares) s LOOP
		IF share.key <> ALL (segments) THEN
			RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('there is no segment "%s" in the document', share.key),
				DETAIL = 'Shares name it.', HINT = leadscore_internal.known('segments'::text, segments);
		END IF;
		IF jsonb_typeof(share.value) <> 'number' OR (share.value)::numeric NOT BETWEEN 0 AND 1 THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('invalid share of segment "%s"', share.key),
				DETAIL = format('The value is %s.', share.value), HINT = 'Write a number from 0 to 1: 0.1 is a tenth of all leads.';
		END IF;
		total := total + (share.value)::numeric;
	END LOOP;
	IF total > 1.000001 THEN	-- thirds may be rounded up
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'the shares come to more than all leads',
			DETAIL = format('Their sum is %s.', total), HINT = 'Lower some, to 1 at most.';
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.check_shares(jsonb, text[]) IS 'refuses what are no shares of segments';

CREATE FUNCTION leadscore_internal.shares_today(document jsonb, at timestamptz) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	name CONSTANT text := document ->> 'model';
	present CONSTANT text[] := ARRAY(SELECT s.segment FROM leadscore.segment s WHERE s.model = name ORDER BY s.position);
	-- what has a limit follows, what has none takes who remains
	wanted CONSTANT text[] := ARRAY(SELECT s ->> 'segment' FROM jsonb_array_elements(nullif(document -> 'segments', 'null')) s WHERE leadscore_internal.has_limit(s));
	unknown text;
BEGIN
	SELECT w INTO unknown FROM unnest(wanted) w WHERE w <> ALL (present) LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('segment "%s" of model "%s" has no share today', unknown, name),
			DETAIL = CASE WHEN present = '{}' THEN 'There is no such model, or it has no segments.'
				ELSE format('The segments of the model are: %s.', array_to_string(present, ', ')) END,
			HINT = format('Pass the shares, such as leadscore.segment_limits(document, %L).', jsonb_build_object(unknown, 0.1));
	END IF;
	RETURN (
		WITH found AS (
			SELECT (a.appraisal).segment
			FROM (SELECT leadscore.scorecard(name) AS card) m
			CROSS JOIN leadscore_internal.visible_lead v
			CROSS JOIN LATERAL (SELECT leadscore.appraise(m.card, v.timeline, v.profile, at) AS appraisal OFFSET 0) a
		)
		SELECT coalesce(jsonb_object_agg(w, (SELECT coalesce(count(*) FILTER (WHERE f.segment = w) / nullif(count(*), 0)::numeric, 0) FROM found f)), '{}')
		FROM unnest(wanted) w);
END
$$;

COMMENT ON FUNCTION leadscore_internal.shares_today(jsonb, timestamptz) IS 'of the segments of a document that ask for a score, the shares that those of the same name have in the model that there is';

CREATE FUNCTION leadscore.segment_limits(document jsonb, shares jsonb DEFAULT NULL, at timestamptz DEFAULT now()) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	card CONSTANT jsonb := leadscore_internal.with_signal_ids(document);
	total CONSTANT bigint := (SELECT count(*) FROM leadscore_internal.visible_lead);
	wanted jsonb := shares;
	others jsonb := '[]';
	segment jsonb;
	name text;
	is_rest boolean;
BEGIN
	IF document IS NULL OR at IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = format('the %s is NULL', CASE WHEN document IS NULL THEN 'document' ELSE 'instant' END),
			DETAIL = 'The leads are ranked by a document as of an instant.', HINT = 'Such as leadscore.segment_limits(leadscore.fit(...), ''{"high": 0.1}'').';
	END IF;
	PERFORM leadscore_internal.check_scorecard(document);
	IF total = 0 THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = 'there are no leads',
			DETAIL = 'Limits follow from the scores of leads.', HINT = 'Track a table, or insert events, first.';
	END IF;
	IF wanted IS NULL THEN
		wanted := leadscore_internal.shares_today(document, at);
	ELSE
		PERFORM leadscore_internal.check_shares(wanted, ARRAY(SELECT s ->> 'segment' FROM jsonb_array_elements(nullif(document -> 'segments', 'null')) s));
	END IF;
	-- each among the leads that the segments before it, with their new limits, have left
	FOR segment, name, is_rest IN
		SELECT s, s ->> 'segment', NOT jsonb_strip_nulls(s) ?| '{min_score,above_score,min_fit,min_engagement,rules}'
			AND row_number() OVER (ORDER BY (s ->> 'position')::numeric DESC) = 1
		FROM jsonb_array_elements(nullif(document -> 'segments', 'null')) s
		ORDER BY (s ->> 'position')::numeric
	LOOP
		IF wanted ? name AND NOT is_rest THEN
			segment := coalesce(segment - '{min_score,above_score}'::text[] || leadscore_internal.score_limit(
				card || jsonb_build_object('segments', others || jsonb_build_array(segment - '{min_score,above_score}'::text[])),
				name, round((wanted ->> name)::numeric * total)::bigint, at), segment);
		END IF;
		others := others || jsonb_build_array(segment);
	END LOOP;
	RETURN document || jsonb_build_object('segments', others);
END
$$;

COMMENT ON FUNCTION leadscore.segment_limits(jsonb, jsonb, timestamptz)
	IS 'a scorecard document with the scores that its segments take such that each has its share of the leads';
