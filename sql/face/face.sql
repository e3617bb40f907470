-- face.sql: what people look at: views, the snapshot, and functions by lead_id

-- private functions
--
-- Views join leads with functions, not with subqueries and configuration, so that the
-- planner knows their cost: it takes a small table that was never analyzed for
-- hundreds of rows, and charges a subquery for every lead, even one that never runs.

-- Only asked where policies bind the user, which is why it is cheap. PL/pgSQL keeps its plan; for the same reason
-- nothing is SET here, and every name is qualified.
CREATE FUNCTION leadscore_internal.is_visible(lead_id text) RETURNS boolean
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

COMMENT ON FUNCTION leadscore_internal.is_visible(text)
	IS 'whether row-level security shows the user the lead: its row of lead and one of its events, where policies bind the user on these tables';

CREATE FUNCTION leadscore_internal.model_cards()
	RETURNS TABLE (model text, scorecard jsonb, conversion_id integer, time_zone text, look_back interval)
	LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 2 SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN QUERY
	SELECT m.model, leadscore.scorecard(m.model), c.signal_id, coalesce(m.time_zone, 'UTC'), c.look_back
	FROM leadscore.model m LEFT JOIN leadscore_internal.model_conversion c ON c.model = m.model;
END
$$;

COMMENT ON FUNCTION leadscore_internal.model_cards() IS 'each model with its scorecard, the number of the signal that is its conversion (NULL: it has none), its time zone, and how long before it a touch counts';

CREATE FUNCTION leadscore_internal.served_models()
	RETURNS TABLE (model text, scorecard jsonb, treated boolean, salt text, share float8, crm_step float8, served text)
	LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 2 SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN QUERY
	SELECT d.model, leadscore.scorecard(d.model), NULL::boolean, NULL::text, NULL::float8, coalesce(d.crm_step, 5), d.model FROM leadscore.model d
	UNION ALL
	-- an experiment's rows: the leads of each arm by its model, while it runs; else all by the control
	SELECT e.experiment, leadscore.scorecard(s.served), CASE WHEN r.running THEN a.treated END, e.salt, e.share, coalesce(c.crm_step, 5), s.served
	FROM leadscore.experiment e JOIN leadscore.model c ON c.model = e.control CROSS JOIN (VALUES (false), (true)) AS a (treated)
	CROSS JOIN LATERAL (SELECT CASE WHEN a.treated THEN e.treatment ELSE e.control END AS served) s
	CROSS JOIN LATERAL (SELECT leadscore_internal.is_running(e.starts_at, e.ends_at, now()) AS running) r
	WHERE r.running OR NOT a.treated;
END
$$;

COMMENT ON FUNCTION leadscore_internal.served_models()
	IS 'each model and experiment with the scorecard that it serves and its model, to all leads or (treated) to one arm of an experiment, and how far a score moves before a CRM is told';

-- live

CREATE FUNCTION leadscore_internal.stored_profile(lead_id text) RETURNS jsonb
	AS 'MODULE_PATHNAME' LANGUAGE C STABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION leadscore_internal.stored_profile(text) IS 'the profile in a name''s row of lead; NULL: it has none';

CREATE FUNCTION leadscore_internal.has_only_profile(lead_id text) RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C STABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION leadscore_internal.has_only_profile(text)
	IS 'whether a name that has a row of lead is a lead by that alone: no alias, and without a timeline';

-- Names come from scans of one table each, so that a condition on the name, also one of a join with a shop's customers,
-- reaches their indexes. Nothing is joined to them: a join would cost each lead as much as finding it, also where there
-- are no profiles. The condition of each part becomes part of its scan.
CREATE VIEW leadscore_internal.visible_lead AS
SELECT s.lead_id, s.timeline,
	CASE WHEN (SELECT EXISTS (SELECT FROM leadscore.pending_profile) OR EXISTS (SELECT FROM leadscore.lead) AND EXISTS (SELECT FROM leadscore.lead_alias))
		THEN nullif(leadscore_internal.with_pending_profile(s.lead_id, coalesce(s.profile, leadscore_internal.stored_profile(s.lead_id)), true), 'null')
		ELSE coalesce(s.profile, CASE WHEN (SELECT EXISTS (SELECT FROM leadscore.lead)) THEN leadscore_internal.stored_profile(s.lead_id) END) END AS profile
FROM (
	SELECT t.lead_id, t.timeline, NULL::jsonb AS profile, 1 AS part FROM leadscore.lead_timeline t
	UNION ALL
	SELECT p.lead_id, NULL, p.profile, 2 FROM leadscore.lead p
	UNION ALL
	-- (read, too, where a snapshot that is older than a move of the rows finds none in the first)
	SELECT p.lead_id, p.timeline, NULL, 3 FROM leadscore_internal.pending_timeline p WHERE (SELECT leadscore_internal.check_timelines_seen())
	UNION ALL
	-- who has a profile only by what is pending, or by an alias
	SELECT n.lead_id, NULL, NULL, 4
	FROM (SELECT p.lead_id FROM leadscore.pending_profile p UNION SELECT a.lead_id FROM leadscore_internal.alias_profile a) n
	WHERE NOT EXISTS (SELECT FROM leadscore.lead p WHERE p.lead_id = n.lead_id)
	AND NOT EXISTS (SELECT FROM leadscore.lead_alias a WHERE a.alias = n.lead_id)
	AND leadscore_internal.timeline_of(n.lead_id) IS NULL
	AND leadscore_internal.with_pending_profile(n.lead_id, NULL, false) IS NOT NULL
) s
WHERE CASE s.part
	WHEN 1 THEN NOT (SELECT EXISTS (SELECT FROM leadscore.pending_delta)) OR NOT leadscore_internal.has_pending(s.lead_id)
	WHEN 2 THEN leadscore_internal.has_only_profile(s.lead_id)
		AND (NOT (SELECT EXISTS (SELECT FROM leadscore.pending_profile)) OR leadscore_internal.with_pending_profile(s.lead_id, s.profile, true) IS NOT NULL)
	ELSE true END
-- where row-level security hides leads or events from the user, it hides their scores
AND (NOT (SELECT row_security_active('leadscore.lead') OR row_security_active('leadscore.event'))
	OR leadscore_internal.is_visible(s.lead_id))
AND (NOT (SELECT leadscore_internal.anybody_excluded()) OR NOT leadscore_internal.is_excluded(s.lead_id));

COMMENT ON VIEW leadscore_internal.visible_lead IS 'the leads that the user may see and that are not excluded, with timeline and profile';
COMMENT ON COLUMN leadscore_internal.visible_lead.lead_id IS 'the lead';
COMMENT ON COLUMN leadscore_internal.visible_lead.timeline IS 'what it did; NULL: nothing';
COMMENT ON COLUMN leadscore_internal.visible_lead.profile IS 'its attributes; NULL: none';

CREATE VIEW leadscore.lead_score AS
SELECT m.model, s.lead_id,
	(a.appraisal).score,
	(a.appraisal).engagement,
	(a.appraisal).fit,
	(a.appraisal).probability,
	(a.appraisal).grade,
	(a.appraisal).stage,
	(a.appraisal).segment,
	(a.appraisal).last_active,
	(a.appraisal).segment_position
FROM leadscore_internal.served_models() m
CROSS JOIN leadscore_internal.visible_lead s
CROSS JOIN LATERAL (SELECT leadscore.appraise(m.scorecard, s.timeline, s.profile, now()) AS appraisal OFFSET 0) a
WHERE m.treated IS NULL OR leadscore_internal.treated(m.salt, m.share, s.lead_id) = m.treated;

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
COMMENT ON COLUMN leadscore.lead_score.segment_position IS 'the position of the segment';

-- the snapshot
--
-- It is not marked for pg_dump, which would have it refreshed after the data:
-- pg_upgrade could not do that, as a matview of an extension is restored before
-- what it reads can be read. pg_upgrade moves it as it is; after the restore of
-- a dump it is empty, and status says so.

CREATE VIEW leadscore_internal.lead_segment_now AS
SELECT s.model, s.lead_id, s.score, s.engagement, s.fit, s.probability, s.grade, s.stage, s.segment, s.last_active,
	(SELECT date_trunc('hour', now(), 'UTC')) AS scored_at, s.segment_position
FROM leadscore.lead_score s;

COMMENT ON VIEW leadscore_internal.lead_segment_now IS 'the rows that lead_segment gets at its next refresh';
COMMENT ON COLUMN leadscore_internal.lead_segment_now.model IS 'the model';
COMMENT ON COLUMN leadscore_internal.lead_segment_now.lead_id IS 'the lead';
COMMENT ON COLUMN leadscore_internal.lead_segment_now.score IS 'engagement + fit, within the model''s floor and ceiling';
COMMENT ON COLUMN leadscore_internal.lead_segment_now.engagement IS 'points of the event signals';
COMMENT ON COLUMN leadscore_internal.lead_segment_now.fit IS 'points of the profile signals';
COMMENT ON COLUMN leadscore_internal.lead_segment_now.probability IS 'of a conversion, where the model has intercept and slope';
COMMENT ON COLUMN leadscore_internal.lead_segment_now.grade IS 'by fit';
COMMENT ON COLUMN leadscore_internal.lead_segment_now.stage IS 'the furthest stage reached within its window';
COMMENT ON COLUMN leadscore_internal.lead_segment_now.segment IS 'the first segment whose conditions hold';
COMMENT ON COLUMN leadscore_internal.lead_segment_now.last_active IS 'the last hour of any signal';
COMMENT ON COLUMN leadscore_internal.lead_segment_now.scored_at IS 'the hour as of which the row was scored';
COMMENT ON COLUMN leadscore_internal.lead_segment_now.segment_position IS 'the position of the segment';

CREATE MATERIALIZED VIEW leadscore.lead_segment AS
SELECT n.model, n.lead_id, n.score, n.engagement, n.fit, n.probability, n.grade, n.stage, n.segment, n.last_active, n.scored_at, n.segment_position
FROM leadscore_internal.lead_segment_now n;

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
COMMENT ON COLUMN leadscore.lead_segment.segment_position IS 'the position of the segment';

CREATE FUNCTION leadscore_internal.refresh_snapshot() RETURNS void
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE;

COMMENT ON FUNCTION leadscore_internal.refresh_snapshot() IS 'writes the rows of lead_segment that differ from what is computed now';

CREATE FUNCTION leadscore.refresh_segments("concurrently" boolean DEFAULT true) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
BEGIN
	PERFORM leadscore_internal.on_workers(format('SELECT leadscore_internal.refresh_here(%L)', coalesce("concurrently", true)));
	PERFORM leadscore_internal.hand_over_states(NULL::text[]);
	PERFORM leadscore_internal.begin_progress('refresh_segments'::text, 'leadscore.lead_segment'::regclass::oid);
	PERFORM leadscore_internal.report_progress('refresh_segments'::text, 'folding'::text, NULL::bigint, NULL::bigint);
	PERFORM leadscore.fold(NULL::bigint);
	PERFORM leadscore_internal.see_written();
	PERFORM leadscore_internal.report_progress('refresh_segments'::text, 'refreshing'::text, NULL::bigint, NULL::bigint);
	-- a snapshot that holds nothing yet cannot be compared with
	IF "concurrently" AND (SELECT c.relispopulated FROM pg_class c WHERE c.oid = 'leadscore.lead_segment'::regclass) THEN
		PERFORM leadscore_internal.refresh_snapshot();
	ELSE
		REFRESH MATERIALIZED VIEW leadscore.lead_segment;
	END IF;
	IF leadscore_internal.has_distributed() THEN
		PERFORM leadscore_internal.refresh_split_segments();
	END IF;
	INSERT INTO leadscore_internal.snapshot_state (first_refreshed_at)
	SELECT now() WHERE NOT EXISTS (SELECT FROM leadscore_internal.snapshot_state) ON CONFLICT (only_row) DO NOTHING;
	BEGIN
		UPDATE leadscore_internal.snapshot_state SET refreshed_at = now();
	EXCEPTION WHEN serialization_failure THEN
		NULL;	-- above read committed: another refresh has just noted that
	END;
	CALL leadscore_internal.look('time'::text);
	PERFORM leadscore_internal.end_progress('refresh_segments'::text);
END
$$;

COMMENT ON FUNCTION leadscore.refresh_segments(boolean)
	IS 'refreshes lead_segment, and logs which leads have changed their segment on watched models; concurrently: without blocking readers';

CREATE VIEW leadscore.segment_summary AS
SELECT s.model, s.segment, s.position, s.leads, round(s.leads / nullif(sum(s.leads) OVER (PARTITION BY s.model), 0), 4) AS share,
	s.average_score, s.lowest_score, s.highest_score, s.scored_at, s.position AS segment_position
FROM (
	-- (an experiment has no segments of its own, but those of its models)
	SELECT u.model, u.segment, coalesce(min(u.position) FILTER (WHERE u.lead_id IS NULL), min(u.position)) AS position, count(u.lead_id) AS leads,
		avg(u.score) AS average_score, min(u.score) AS lowest_score, max(u.score) AS highest_score, max(u.scored_at) AS scored_at
	FROM (
		SELECT d.model, d.segment, d.position, NULL::text AS lead_id, NULL::float8 AS score, NULL::timestamptz AS scored_at FROM leadscore.segment d
		UNION ALL
		SELECT l.model, l.segment, l.segment_position, l.lead_id, l.score, l.scored_at FROM leadscore.lead_segment l
	) u
	GROUP BY u.model, u.segment
) s
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
COMMENT ON COLUMN leadscore.segment_summary.segment_position IS 'the position, under the name that it has everywhere';

-- Without an experiment the salt is NULL, and no lead is treated.
CREATE FUNCTION leadscore_internal.cards_at(name text, at timestamptz, OUT control jsonb, OUT treatment jsonb, OUT salt text, OUT share float8)
	LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	e leadscore.experiment;
BEGIN
	control := leadscore.scorecard(leadscore_internal.serving_model(name, NULL::text, at));
	SELECT x.* INTO e FROM leadscore.experiment x WHERE x.experiment = name AND leadscore_internal.is_running(x.starts_at, x.ends_at, at);
	IF FOUND THEN
		treatment := leadscore.scorecard(e.treatment);
		salt := e.salt;
		share := e.share;
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.cards_at(text, timestamptz)
	IS 'the scorecard of a model or experiment at an instant, and that of the treated while an experiment runs';

-- Ranking needs the score alone; only those who come out on top are appraised.

CREATE FUNCTION leadscore.top(n integer, model text DEFAULT 'default', at timestamptz DEFAULT now())
	RETURNS TABLE (lead_id text, score float8, engagement float8, fit float8, probability float8, grade text, stage text,
		segment text, last_active timestamptz, segment_position integer)
	LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 100 SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	cards record;
	-- rows of lead_timeline that may not stand for themselves: that of a name and, if it is an alias, that of its lead
	pending bigint;
BEGIN
	IF at IS NULL THEN
		RETURN;
	END IF;
	cards := leadscore_internal.cards_at(model, at);
	-- all that there is of a lead is its timeline: the name is enough to rank, and finds the timelines of the few again
	IF cards.treatment IS NULL AND NOT EXISTS (SELECT FROM leadscore.lead) AND NOT EXISTS (SELECT FROM leadscore.pending_profile)
		AND NOT row_security_active('leadscore.lead') AND NOT row_security_active('leadscore.event')
		AND NOT leadscore_internal.anybody_excluded() THEN
		PERFORM leadscore_internal.check_timelines_seen();
		SELECT 2 * count(DISTINCT p.lead_id) INTO pending FROM leadscore.pending_delta p;
		RETURN QUERY
		SELECT b.lead_id, b.score, (a.appraisal).engagement, (a.appraisal).fit, (a.appraisal).probability, (a.appraisal).grade,
			(a.appraisal).stage, (a.appraisal).segment, (a.appraisal).last_active, (a.appraisal).segment_position
		FROM (
			-- so many more are ranked; who has something pending is left out of the few, and added with it (what
			-- is sorted by comes first in a row, where it is found at once)
			SELECT r.lead_id, r.score
			FROM (
				SELECT leadscore.score(cards.control, t.timeline, NULL::jsonb, top.at) AS score, t.lead_id
				FROM leadscore.lead_timeline t
				ORDER BY 1 DESC, 2
				LIMIT top.n + pending
			) r
			WHERE NOT leadscore_internal.has_pending(r.lead_id)
			UNION ALL
			SELECT p.lead_id, leadscore.score(cards.control, p.timeline, NULL::jsonb, top.at)
			FROM leadscore_internal.pending_timeline p
			ORDER BY 2 DESC, 1
			LIMIT top.n
		) b
		CROSS JOIN LATERAL (SELECT leadscore.appraise(cards.control, leadscore_internal.timeline_of(b.lead_id), NULL::jsonb, top.at) AS appraisal OFFSET 0) a
		ORDER BY 2 DESC, 1;
		RETURN;
	END IF;
	RETURN QUERY
	SELECT b.lead_id, b.score, (a.appraisal).engagement, (a.appraisal).fit, (a.appraisal).probability, (a.appraisal).grade,
		(a.appraisal).stage, (a.appraisal).segment, (a.appraisal).last_active, (a.appraisal).segment_position
	FROM (
		SELECT s.lead_id, s.timeline, s.profile, t.treated,
			leadscore.score(CASE WHEN t.treated THEN cards.treatment ELSE cards.control END, s.timeline, s.profile, top.at) AS score
		FROM leadscore_internal.visible_lead s
		-- without an experiment the salt is NULL, and none is treated
		CROSS JOIN LATERAL (SELECT leadscore_internal.treated(cards.salt, cards.share, s.lead_id) AS treated) t
		ORDER BY 5 DESC, 1
		LIMIT top.n
	) b
	CROSS JOIN LATERAL (
		SELECT leadscore.appraise(CASE WHEN b.treated THEN cards.treatment ELSE cards.control END, b.timeline, b.profile, top.at) AS appraisal OFFSET 0
	) a
	ORDER BY 2 DESC, 1;
END
$$;

COMMENT ON FUNCTION leadscore.top(integer, text, timestamptz) IS 'the leads with the highest scores at an instant, appraised';

-- by lead_id: an alias stands for its lead, an unknown one has done nothing

CREATE FUNCTION leadscore_internal.lead_named(name text) RETURNS text
	LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT l.lead_id
	FROM (SELECT coalesce((SELECT a.lead_id FROM leadscore.lead_alias a WHERE a.alias = name), name) AS lead_id) l
	WHERE (NOT (row_security_active('leadscore.lead') OR row_security_active('leadscore.event'))
		OR leadscore_internal.is_visible(l.lead_id))
	AND NOT leadscore_internal.is_excluded(l.lead_id);
END;

COMMENT ON FUNCTION leadscore_internal.lead_named(text) IS 'the lead of an alias, or the lead itself; NULL if row-level security hides it, or it is excluded';

-- PL/pgSQL keeps the plans of a session; planning is most of what one score
-- would cost. For the same reason nothing is SET here, and every name qualified.

CREATE FUNCTION leadscore_internal.score_by_query(lead_id text, model text, at timestamptz) RETURNS float8
	LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
AS $$
DECLARE
	lead pg_catalog.text := lead_id;
	card pg_catalog.jsonb;
BEGIN
	IF pg_catalog.row_security_active('leadscore.lead') OR pg_catalog.row_security_active('leadscore.event') THEN
		lead := leadscore_internal.lead_named(lead_id);
	ELSE
		SELECT a.lead_id INTO lead FROM leadscore.lead_alias a WHERE a.alias OPERATOR(pg_catalog.=) score_by_query.lead_id;
		IF NOT FOUND THEN
			lead := lead_id;
		END IF;
	END IF;
	SELECT d.document INTO card FROM leadscore.model_document d WHERE d.model OPERATOR(pg_catalog.=) score_by_query.model;
	IF NOT FOUND THEN
		card := leadscore.scorecard(leadscore_internal.serving_model(model, lead, at));
	END IF;
	IF leadscore_internal.is_excluded(score_by_query.lead_id) THEN
		RETURN NULL;
	END IF;
	RETURN leadscore.score(card, leadscore_internal.timeline_of(lead),
		(SELECT l.profile FROM leadscore.current_profile l WHERE l.lead_id OPERATOR(pg_catalog.=) lead), at);
END
$$;

CREATE FUNCTION leadscore.score(lead_id text, model text DEFAULT 'default', at timestamptz DEFAULT now()) RETURNS float8
	AS 'MODULE_PATHNAME', 'score_lead' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 20;

COMMENT ON FUNCTION leadscore_internal.score_by_query(text, text, timestamptz) IS 'score(), where aliases, pending deltas or policies matter';
COMMENT ON FUNCTION leadscore.score(text, text, timestamptz) IS 'the score of a lead at an instant';

CREATE FUNCTION leadscore.explain(lead_id text, model text DEFAULT 'default', at timestamptz DEFAULT now())
	RETURNS TABLE (signal text, measure text, measured float8, points float8, uncapped_points float8,
		category text, stage text, last_at timestamptz, reason text, weight_id integer, rule text, label text)
	LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	WITH lead AS MATERIALIZED (
		SELECT leadscore.scorecard(leadscore_internal.serving_model(model, leadscore_internal.lead_named(explain.lead_id), at)) AS card,
			leadscore_internal.timeline_of(leadscore_internal.lead_named(explain.lead_id)) AS timeline,
			(SELECT l.profile FROM leadscore.current_profile l WHERE l.lead_id = leadscore_internal.lead_named(explain.lead_id)) AS profile
		WHERE NOT leadscore_internal.is_excluded(explain.lead_id)
	)
	SELECT e.signal, e.measure, e.measured, e.points, e.uncapped_points, e.category, e.stage, e.last_at, e.reason, e.weight_id, e.rule, e.label
	FROM lead CROSS JOIN LATERAL leadscore_internal.explained(lead.card, lead.timeline, lead.profile, at, (SELECT leadscore_internal.wording()))
		WITH ORDINALITY AS e (signal, measure, measured, points, uncapped_points, category, stage, last_at, reason, weight_id, rule, label, place)
	ORDER BY e.place;
END;

COMMENT ON FUNCTION leadscore.explain(text, text, timestamptz) IS 'a lead''s score, line by line: the points add up to the score';

-- Shops have numbers and UUIDs as keys, too. The planner inlines these. An untyped literal or NULL still means text.

CREATE FUNCTION leadscore.score(lead_id bigint, model text DEFAULT 'default', at timestamptz DEFAULT now()) RETURNS float8
	LANGUAGE sql STABLE STRICT PARALLEL SAFE COST 20
BEGIN ATOMIC
	SELECT leadscore.score(score.lead_id::text, model, at);
END;

CREATE FUNCTION leadscore.score(lead_id uuid, model text DEFAULT 'default', at timestamptz DEFAULT now()) RETURNS float8
	LANGUAGE sql STABLE STRICT PARALLEL SAFE COST 20
BEGIN ATOMIC
	SELECT leadscore.score(score.lead_id::text, model, at);
END;

CREATE FUNCTION leadscore.explain(lead_id bigint, model text DEFAULT 'default', at timestamptz DEFAULT now())
	RETURNS TABLE (signal text, measure text, measured float8, points float8, uncapped_points float8,
		category text, stage text, last_at timestamptz, reason text, weight_id integer, rule text, label text)
	LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT * FROM leadscore.explain(explain.lead_id::text, model, at);
END;

CREATE FUNCTION leadscore.explain(lead_id uuid, model text DEFAULT 'default', at timestamptz DEFAULT now())
	RETURNS TABLE (signal text, measure text, measured float8, points float8, uncapped_points float8,
		category text, stage text, last_at timestamptz, reason text, weight_id integer, rule text, label text)
	LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT * FROM leadscore.explain(explain.lead_id::text, model, at);
END;

COMMENT ON FUNCTION leadscore.score(bigint, text, timestamptz) IS 'the score of a lead whose id is a number';
COMMENT ON FUNCTION leadscore.score(uuid, text, timestamptz) IS 'the score of a lead whose id is a UUID';
COMMENT ON FUNCTION leadscore.explain(bigint, text, timestamptz) IS 'explain() of a lead whose id is a number';
COMMENT ON FUNCTION leadscore.explain(uuid, text, timestamptz) IS 'explain() of a lead whose id is a UUID';

CREATE FUNCTION leadscore.score_history(lead_id text, model text DEFAULT 'default',
	since timestamptz DEFAULT now() - interval '30 days', until timestamptz DEFAULT now(), step interval DEFAULT '1 day')
	RETURNS TABLE (at timestamptz, score float8, segment text, segment_position integer)
	LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	WITH lead AS MATERIALIZED (
		SELECT leadscore_internal.lead_named(score_history.lead_id) AS lead_id, leadscore.scorecard(leadscore_internal.serving_model(model, NULL, NULL)) AS card,
			EXISTS (SELECT FROM leadscore.experiment x WHERE x.experiment = model) AS varies,
			leadscore_internal.timeline_of(leadscore_internal.lead_named(score_history.lead_id)) AS timeline,
			(SELECT l.profile FROM leadscore.current_profile l WHERE l.lead_id = leadscore_internal.lead_named(score_history.lead_id)) AS profile
		WHERE NOT leadscore_internal.is_excluded(score_history.lead_id)
	)
	SELECT h.at, (h.appraisal).score, (h.appraisal).segment, (h.appraisal).segment_position
	FROM (SELECT g.at, leadscore.appraise(CASE WHEN lead.varies THEN leadscore.scorecard(leadscore_internal.serving_model(model, lead.lead_id, g.at)) ELSE lead.card END,
			lead.timeline, lead.profile, g.at) AS appraisal
		FROM lead CROSS JOIN generate_series(since, until, step) AS g (at) OFFSET 0) h
	ORDER BY h.at;
END;

COMMENT ON FUNCTION leadscore.score_history(text, text, timestamptz, timestamptz, interval)
	IS 'a lead''s score at instants of the past or future';
