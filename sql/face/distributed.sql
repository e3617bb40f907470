-- distributed.sql: the scores of leads that lie on several workers of Citus
--
-- Each worker scores its own leads. A lead with aliases may have events on other workers, too: what each worker has of
-- it is added up on the coordinator. Functions named ..._here run on the workers.

CREATE FUNCTION leadscore_internal.cards_request(model text, at timestamptz) RETURNS jsonb
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC'
AS $$
	SELECT to_jsonb(c) || jsonb_build_object('at', at) FROM leadscore_internal.cards_at(model, at) c
$$;

COMMENT ON FUNCTION leadscore_internal.cards_request(text, timestamptz) IS 'what a worker is to know to score its leads: cards_at(), and the instant';

CREATE FUNCTION leadscore_internal.card_for(request jsonb, lead_id text) RETURNS jsonb
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT nullif(CASE WHEN leadscore_internal.treated(request ->> 'salt', (request ->> 'share')::float8, lead_id) THEN request -> 'treatment' ELSE request -> 'control' END, 'null');
END;

COMMENT ON FUNCTION leadscore_internal.card_for(jsonb, text) IS 'the scorecard of a lead, of a request';

CREATE FUNCTION leadscore_internal.cards_of_history(request jsonb)
	RETURNS TABLE (card bigint, scorecard jsonb, treated boolean, salt text, share float8, instants timestamptz[])
	LANGUAGE sql STABLE ROWS 1 SET search_path = pg_catalog, pg_temp
AS $$
	SELECT c.n, c.card -> 'scorecard', (c.card ->> 'treated')::boolean, c.card ->> 'salt', (c.card ->> 'share')::float8,
		ARRAY(SELECT i.at::timestamptz FROM jsonb_array_elements_text(c.card -> 'served') WITH ORDINALITY AS i (at, n) ORDER BY i.n)
	FROM jsonb_array_elements(request) WITH ORDINALITY AS c (card, n)
$$;

COMMENT ON FUNCTION leadscore_internal.cards_of_history(jsonb) IS 'serving_cards(), as they are sent to the workers';

-- The attributes of a lead's names: the last that has one wins, the lead itself before its aliases.
CREATE AGGREGATE leadscore_internal.joined_profile(jsonb) (
	SFUNC = pg_catalog.jsonb_concat,
	STYPE = jsonb,
	PARALLEL = safe
);

COMMENT ON AGGREGATE leadscore_internal.joined_profile(jsonb) IS 'profiles put together, in the order in which they come';

-- (While something is pending for the lead itself, its aliases here are part of its own profile.)
CREATE FUNCTION leadscore_internal.own_profile(lead_id text, profile jsonb) RETURNS jsonb
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN profile IS NULL OR EXISTS (SELECT FROM leadscore.pending_profile p WHERE p.lead_id = own_profile.lead_id) THEN profile
		ELSE (SELECT l.profile FROM leadscore.lead l WHERE l.lead_id = own_profile.lead_id) END
$$;

COMMENT ON FUNCTION leadscore_internal.own_profile(text, jsonb) IS 'the profile of a lead without what its aliases have, of the one with them';

-- A lead that has aliases may have events on other workers, too.
CREATE VIEW leadscore_internal.whole_lead AS
SELECT v.lead_id, v.timeline, v.profile FROM leadscore_internal.visible_lead v
WHERE NOT EXISTS (SELECT FROM leadscore.lead_alias a WHERE a.lead_id = v.lead_id);

COMMENT ON VIEW leadscore_internal.whole_lead IS 'on a worker: the leads of visible_lead that have all their events here';
COMMENT ON COLUMN leadscore_internal.whole_lead.lead_id IS 'the lead';
COMMENT ON COLUMN leadscore_internal.whole_lead.timeline IS 'what it did; NULL: nothing';
COMMENT ON COLUMN leadscore_internal.whole_lead.profile IS 'its attributes; NULL: none';

CREATE FUNCTION leadscore_internal.split_leads() RETURNS TABLE (lead_id text, name text, timeline leadscore.timeline, profile jsonb)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT v.lead_id, v.lead_id, v.timeline, leadscore_internal.own_profile(v.lead_id, v.profile)
	FROM leadscore_internal.visible_lead v
	WHERE v.lead_id IN (SELECT a.lead_id FROM leadscore.lead_alias a)
	UNION ALL
	SELECT a.lead_id, a.alias, NULL, p.profile FROM leadscore.lead_alias a JOIN leadscore.current_profile p ON p.lead_id = a.alias
	WHERE p.profile IS NOT NULL
$$;

COMMENT ON FUNCTION leadscore_internal.split_leads() IS 'on a worker: what it has of leads that may have events on others, and the profiles of their names';

CREATE FUNCTION leadscore_internal.scores_here(request jsonb)
	RETURNS TABLE (lead_id text, name text, timeline leadscore.timeline, profile jsonb, appraisal leadscore.appraisal)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	control CONSTANT jsonb := nullif(request -> 'control', 'null');
	treatment CONSTANT jsonb := nullif(request -> 'treatment', 'null');
	salt CONSTANT text := request ->> 'salt';
	share CONSTANT float8 := request ->> 'share';
	at CONSTANT timestamptz := request ->> 'at';
BEGIN
	RETURN QUERY
	SELECT v.lead_id, NULL::text, NULL::leadscore.timeline, NULL::jsonb,
		leadscore.appraise(CASE WHEN leadscore_internal.treated(salt, share, v.lead_id) THEN treatment ELSE control END, v.timeline, v.profile, at)
	FROM leadscore_internal.whole_lead v;
	RETURN QUERY SELECT s.lead_id, s.name, s.timeline, s.profile, NULL::leadscore.appraisal FROM leadscore_internal.split_leads() s;
END
$$;

CREATE FUNCTION leadscore_internal.top_here(request jsonb) RETURNS TABLE (lead_id text, name text, timeline leadscore.timeline, profile jsonb)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	control CONSTANT jsonb := nullif(request -> 'control', 'null');
	treatment CONSTANT jsonb := nullif(request -> 'treatment', 'null');
	salt CONSTANT text := request ->> 'salt';
	share CONSTANT float8 := request ->> 'share';
	at CONSTANT timestamptz := request ->> 'at';
BEGIN
	RETURN QUERY
	SELECT r.lead_id, r.lead_id, r.timeline, r.profile
	FROM (
		SELECT leadscore.score(CASE WHEN leadscore_internal.treated(salt, share, v.lead_id) THEN treatment ELSE control END, v.timeline, v.profile, at) AS score,
			v.lead_id, v.timeline, v.profile
		FROM leadscore_internal.whole_lead v
		ORDER BY 1 DESC, 2
		LIMIT (request ->> 'n')::bigint
	) r;
	RETURN QUERY SELECT s.* FROM leadscore_internal.split_leads() s;
END
$$;

CREATE FUNCTION leadscore_internal.segments_here(request jsonb)
	RETURNS TABLE (segment text, leads bigint, score_sum float8, lowest float8, highest float8, lead_id text, name text, timeline leadscore.timeline, profile jsonb)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
BEGIN
	RETURN QUERY
	SELECT (s.appraisal).segment, count(*), sum((s.appraisal).score), min((s.appraisal).score), max((s.appraisal).score), NULL::text, NULL::text, NULL::leadscore.timeline, NULL::jsonb
	FROM leadscore_internal.scores_here(request) s
	WHERE s.name IS NULL
	GROUP BY 1;
	RETURN QUERY SELECT NULL::text, 0::bigint, NULL::float8, NULL::float8, NULL::float8, s.* FROM leadscore_internal.split_leads() s;
END
$$;

CREATE FUNCTION leadscore_internal.timeline_here(request jsonb) RETURNS TABLE (name text, timeline leadscore.timeline, profile jsonb)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT request ->> 'lead_id', leadscore_internal.timeline_of(request ->> 'lead_id'),
		leadscore_internal.own_profile(request ->> 'lead_id', (SELECT p.profile FROM leadscore.current_profile p WHERE p.lead_id = request ->> 'lead_id'))
	UNION ALL
	SELECT a.alias, NULL, p.profile FROM leadscore.lead_alias a JOIN leadscore.current_profile p ON p.lead_id = a.alias
	WHERE a.lead_id = request ->> 'lead_id'
$$;

CREATE FUNCTION leadscore_internal.leads_here(request jsonb) RETURNS TABLE (lead_id text, name text, timeline leadscore.timeline, profile jsonb)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT v.lead_id, v.lead_id, v.timeline, v.profile FROM leadscore_internal.whole_lead v
	WHERE leadscore_internal.takes_part(v.lead_id, NULL::integer, (request ->> 'share')::float8)
	UNION ALL
	SELECT s.* FROM leadscore_internal.split_leads() s
	WHERE leadscore_internal.takes_part(s.lead_id, NULL::integer, (request ->> 'share')::float8)
$$;

CREATE FUNCTION leadscore_internal.history_here(request jsonb) RETURNS TABLE (card bigint, figures float8[], lead_id text, name text, timeline leadscore.timeline, profile jsonb)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	served record;
BEGIN
	FOR served IN SELECT c.card, c.scorecard, c.treated, c.salt, c.share, c.instants FROM leadscore_internal.cards_of_history(request) c LOOP
		RETURN QUERY
		SELECT served.card, leadscore_internal.census(served.scorecard, v.timeline, v.profile, served.instants), NULL::text, NULL::text, NULL::leadscore.timeline, NULL::jsonb
		FROM leadscore_internal.whole_lead v
		WHERE served.treated IS NULL OR leadscore_internal.treated(served.salt, served.share, v.lead_id) = served.treated;
	END LOOP;
	RETURN QUERY SELECT NULL::bigint, NULL::float8[], s.* FROM leadscore_internal.split_leads() s;
END
$$;

COMMENT ON FUNCTION leadscore_internal.leads_here(jsonb) IS 'on a worker: its leads, and what it has of others';
COMMENT ON FUNCTION leadscore_internal.history_here(jsonb) IS 'on a worker: its leads by segment at instants, and what it has of others';
COMMENT ON FUNCTION leadscore_internal.scores_here(jsonb) IS 'on a worker: its leads, appraised, and what it has of others';
COMMENT ON FUNCTION leadscore_internal.top_here(jsonb) IS 'on a worker: its leads with the highest scores, and what it has of others';
COMMENT ON FUNCTION leadscore_internal.segments_here(jsonb) IS 'on a worker: its leads by segment, and what it has of others';
COMMENT ON FUNCTION leadscore_internal.timeline_here(jsonb) IS 'on a worker: what it has of one lead';

CREATE FUNCTION leadscore.distributed_score(lead_id text, model text DEFAULT 'default', at timestamptz DEFAULT now()) RETURNS float8
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	lead CONSTANT text := leadscore_internal.lead_named(lead_id);
	request CONSTANT jsonb := leadscore_internal.cards_request(model, at);
BEGIN
	IF lead IS NULL OR at IS NULL THEN
		RETURN NULL;
	END IF;
	RETURN (SELECT leadscore.score(leadscore_internal.card_for(request, lead), leadscore_internal.stored_sum(t.timeline),
			leadscore_internal.joined_profile(t.profile ORDER BY t.name = lead, t.name COLLATE "C" DESC), at)
		FROM leadscore_internal.ask('timeline_here(d.request)'::text, jsonb_build_object('lead_id', lead)) AS t (name text, timeline leadscore.timeline, profile jsonb));
END
$$;

COMMENT ON FUNCTION leadscore.distributed_score(text, text, timestamptz) IS 'one lead''s score by its events on all workers';

CREATE FUNCTION leadscore.distributed_scores(model text DEFAULT 'default', at timestamptz DEFAULT now())
	RETURNS TABLE (lead_id text, score float8, engagement float8, fit float8, probability float8, grade text, stage text,
		segment text, last_active timestamptz, segment_position integer)
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	request CONSTANT jsonb := leadscore_internal.cards_request(model, at);
BEGIN
	IF at IS NULL THEN
		RETURN;
	END IF;
	RETURN QUERY
	WITH answer AS MATERIALIZED (
		SELECT s.* FROM leadscore_internal.ask('scores_here(d.request)'::text, request)
			AS s (lead_id text, name text, timeline leadscore.timeline, profile jsonb, appraisal leadscore.appraisal)
	)
	SELECT s.lead_id, (s.appraisal).*
	FROM (
		SELECT a.lead_id, a.appraisal FROM answer a WHERE a.name IS NULL
		UNION ALL
		SELECT p.lead_id, leadscore.appraise(leadscore_internal.card_for(request, p.lead_id), p.timeline, p.profile, distributed_scores.at)
		FROM (
			SELECT a.lead_id, leadscore_internal.stored_sum(a.timeline) AS timeline, leadscore_internal.joined_profile(a.profile ORDER BY a.name = a.lead_id, a.name COLLATE "C" DESC) AS profile
			FROM answer a WHERE a.name IS NOT NULL GROUP BY a.lead_id HAVING bool_or(a.name = a.lead_id)
		) p
		OFFSET 0
	) s;
END
$$;

COMMENT ON FUNCTION leadscore.distributed_scores(text, timestamptz) IS 'the leads of all workers, appraised, as lead_score has those of one server';

CREATE FUNCTION leadscore.distributed_top(n integer, model text DEFAULT 'default', at timestamptz DEFAULT now())
	RETURNS TABLE (lead_id text, score float8, engagement float8, fit float8, probability float8, grade text, stage text,
		segment text, last_active timestamptz, segment_position integer)
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	request CONSTANT jsonb := leadscore_internal.cards_request(model, at) || jsonb_build_object('n', n);
BEGIN
	IF at IS NULL THEN
		RETURN;
	END IF;
	RETURN QUERY
	SELECT s.lead_id, (s.appraisal).*
	FROM (
		SELECT p.lead_id, leadscore.appraise(leadscore_internal.card_for(request, p.lead_id), p.timeline, p.profile, distributed_top.at) AS appraisal
		FROM (
			SELECT t.lead_id, leadscore_internal.stored_sum(t.timeline) AS timeline, leadscore_internal.joined_profile(t.profile ORDER BY t.name = t.lead_id, t.name COLLATE "C" DESC) AS profile
			FROM leadscore_internal.ask('top_here(d.request)'::text, request) AS t (lead_id text, name text, timeline leadscore.timeline, profile jsonb)
			GROUP BY t.lead_id HAVING bool_or(t.name = t.lead_id)
		) p
		OFFSET 0
	) s
	ORDER BY 2 DESC, 1
	LIMIT distributed_top.n;
END
$$;

COMMENT ON FUNCTION leadscore.distributed_top(integer, text, timestamptz) IS 'the leads with the highest scores on all workers, appraised';

CREATE FUNCTION leadscore.distributed_segments(model text DEFAULT 'default', at timestamptz DEFAULT now())
	RETURNS TABLE (segment text, segment_position integer, leads bigint, share numeric, average_score float8, lowest_score float8, highest_score float8)
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	request CONSTANT jsonb := leadscore_internal.cards_request(model, at);
BEGIN
	IF at IS NULL THEN
		RETURN;
	END IF;
	RETURN QUERY
	WITH answer AS MATERIALIZED (
		SELECT s.* FROM leadscore_internal.ask('segments_here(d.request)'::text, request)
			AS s (segment text, leads bigint, score_sum float8, lowest float8, highest float8, lead_id text, name text, timeline leadscore.timeline, profile jsonb)
	), defined AS (
		SELECT DISTINCT ON (c.segment) c.segment, c.position
		FROM (VALUES (nullif(request -> 'control', 'null')), (nullif(request -> 'treatment', 'null'))) AS d (card) CROSS JOIN LATERAL leadscore_internal.card_segments(d.card) c ORDER BY 1, 2
	), part AS (
		SELECT a.segment, a.leads, a.score_sum, a.lowest, a.highest FROM answer a WHERE a.lead_id IS NULL
		UNION ALL
		SELECT (p.appraisal).segment, 1, (p.appraisal).score, (p.appraisal).score, (p.appraisal).score
		FROM (
			SELECT leadscore.appraise(leadscore_internal.card_for(request, a.lead_id), leadscore_internal.stored_sum(a.timeline),
				leadscore_internal.joined_profile(a.profile ORDER BY a.name = a.lead_id, a.name COLLATE "C" DESC), distributed_segments.at) AS appraisal
			FROM answer a WHERE a.lead_id IS NOT NULL GROUP BY a.lead_id HAVING bool_or(a.name = a.lead_id)
			OFFSET 0
		) p
		UNION ALL
		SELECT d.segment, 0, NULL, NULL, NULL FROM defined d
	)
	SELECT p.segment, max(d.position), sum(p.leads)::bigint, round(sum(p.leads) / nullif(sum(sum(p.leads)) OVER (), 0), 4),
		sum(p.score_sum) / nullif(sum(p.leads), 0)::float8, min(p.lowest), max(p.highest)
	FROM part p LEFT JOIN defined d ON d.segment = p.segment
	GROUP BY p.segment
	ORDER BY 2, 1;
END
$$;

COMMENT ON FUNCTION leadscore.distributed_segments(text, timestamptz) IS 'how many leads of all workers each segment has at an instant, and their scores';

CREATE FUNCTION leadscore.distributed_leads(share float8 DEFAULT 1) RETURNS TABLE (lead_id text, timeline leadscore.timeline, profile jsonb)
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
#variable_conflict use_column
BEGIN
	IF NOT coalesce(share > 0 AND share <= 1, false) THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'share is not above 0 and at most 1',
			DETAIL = format('It is %s.', coalesce(share::text, 'NULL')), HINT = 'Write the share of leads to read, such as 0.01 for a hundredth of them, or 1 for all.';
	END IF;
	RETURN QUERY
	SELECT t.lead_id, leadscore_internal.stored_sum(t.timeline), leadscore_internal.joined_profile(t.profile ORDER BY t.name = t.lead_id, t.name COLLATE "C" DESC)
	FROM leadscore_internal.ask('leads_here(d.request)'::text, jsonb_build_object('share', nullif(share, 1))) AS t (lead_id text, name text, timeline leadscore.timeline, profile jsonb)
	GROUP BY t.lead_id HAVING bool_or(t.name = t.lead_id);
END
$$;

COMMENT ON FUNCTION leadscore.distributed_leads(float8)
	IS 'the leads of all workers, or a share of them that is always the same, with timelines and profiles, for functions that take them, and to be copied';

CREATE FUNCTION leadscore.distributed_segment_history(model text DEFAULT 'default', since timestamptz DEFAULT now() - interval '90 days',
	until timestamptz DEFAULT now(), step interval DEFAULT '1 day')
	RETURNS TABLE (at timestamptz, segment text, segment_position integer, leads bigint, average_score float8)
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	time_zone CONSTANT text := coalesce((SELECT m.time_zone FROM leadscore.model m WHERE m.model = leadscore_internal.serving_model(model, NULL::text, since)), 'UTC');
	instants CONSTANT timestamptz[] := leadscore_internal.instants(since, until, step, time_zone);
	request CONSTANT jsonb := (SELECT jsonb_agg(to_jsonb(c)) FROM leadscore_internal.serving_cards(model, instants) c);
BEGIN
	IF model IS NULL THEN
		RETURN;
	END IF;
	RETURN QUERY
	WITH answer AS MATERIALIZED (
		SELECT h.* FROM leadscore_internal.ask('history_here(d.request)'::text, request)
			AS h (card bigint, figures float8[], lead_id text, name text, timeline leadscore.timeline, profile jsonb)
	), served AS MATERIALIZED (
		SELECT c.* FROM leadscore_internal.cards_of_history(request) c
	), split AS (
		SELECT a.lead_id, leadscore_internal.stored_sum(a.timeline) AS timeline, leadscore_internal.joined_profile(a.profile ORDER BY a.name = a.lead_id, a.name COLLATE "C" DESC) AS profile
		FROM answer a WHERE a.lead_id IS NOT NULL GROUP BY a.lead_id HAVING bool_or(a.name = a.lead_id)
	), census AS (
		SELECT a.card, a.figures FROM answer a WHERE a.lead_id IS NULL
		UNION ALL
		SELECT c.card, leadscore_internal.census(c.scorecard, p.timeline, p.profile, c.instants)
		FROM served c JOIN split p ON c.treated IS NULL OR leadscore_internal.treated(c.salt, c.share, p.lead_id) = c.treated
		GROUP BY c.card
	)
	SELECT c.instants[(n.figures[i][1])::integer], s.segment, s.position, sum((n.figures[i][3])::bigint)::bigint, sum(n.figures[i][4]) / sum(n.figures[i][3])
	FROM census n
	JOIN served c ON c.card = n.card
	CROSS JOIN generate_series(1, array_length(n.figures, 1)) i
	LEFT JOIN leadscore_internal.card_segments(c.scorecard) s ON s.n = n.figures[i][2]
	WHERE n.figures[i][3] > 0
	GROUP BY 1, 2, 3
	ORDER BY 1, 3, 2;
END
$$;

COMMENT ON FUNCTION leadscore.distributed_segment_history(text, timestamptz, timestamptz, interval)
	IS 'the leads of all workers in each segment at instants of the past or future, and their mean score';
