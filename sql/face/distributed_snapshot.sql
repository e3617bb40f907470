-- distributed_snapshot.sql: lead_segment of each worker, as one
--
-- Each worker refreshes its own snapshot: so a lead's row lies with its events, nothing travels, and what has not
-- changed is not written. A lead with aliases has no whole row on any of them. Its rows are made on the coordinator.

CREATE TABLE leadscore_internal.split_lead (
	lead_id text PRIMARY KEY
);

COMMENT ON TABLE leadscore_internal.split_lead IS 'on a worker: the leads that had aliases when its snapshot was refreshed, whose rows there are not whole';
COMMENT ON COLUMN leadscore_internal.split_lead.lead_id IS 'the lead';

CREATE TABLE leadscore_internal.split_segment (
	model text NOT NULL,
	lead_id text NOT NULL,
	score float8,
	engagement float8,
	fit float8,
	probability float8,
	grade text,
	stage text,
	segment text,
	last_active timestamptz,
	scored_at timestamptz NOT NULL,
	segment_position integer,
	PRIMARY KEY (lead_id, model)
);

CREATE INDEX split_segment_score_idx ON leadscore_internal.split_segment (model, segment, score DESC);

COMMENT ON TABLE leadscore_internal.split_segment IS 'on a coordinator: the rows of lead_segment of leads that have aliases';
COMMENT ON COLUMN leadscore_internal.split_segment.model IS 'the model';
COMMENT ON COLUMN leadscore_internal.split_segment.lead_id IS 'the lead';
COMMENT ON COLUMN leadscore_internal.split_segment.score IS 'engagement + fit, within the model''s floor and ceiling';
COMMENT ON COLUMN leadscore_internal.split_segment.engagement IS 'points of the event signals';
COMMENT ON COLUMN leadscore_internal.split_segment.fit IS 'points of the profile signals';
COMMENT ON COLUMN leadscore_internal.split_segment.probability IS 'of a conversion, where the model has intercept and slope';
COMMENT ON COLUMN leadscore_internal.split_segment.grade IS 'by fit';
COMMENT ON COLUMN leadscore_internal.split_segment.stage IS 'the furthest stage reached within its window';
COMMENT ON COLUMN leadscore_internal.split_segment.segment IS 'the first segment whose conditions hold';
COMMENT ON COLUMN leadscore_internal.split_segment.last_active IS 'the last hour of any signal';
COMMENT ON COLUMN leadscore_internal.split_segment.scored_at IS 'the hour as of which the row was scored';
COMMENT ON COLUMN leadscore_internal.split_segment.segment_position IS 'the position of the segment';

-- refresh

CREATE FUNCTION leadscore_internal.refresh_here("concurrently" boolean) RETURNS void
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	DELETE FROM leadscore_internal.split_lead s WHERE NOT EXISTS (SELECT FROM leadscore.lead_alias a WHERE a.lead_id = s.lead_id);
	INSERT INTO leadscore_internal.split_lead (lead_id) SELECT DISTINCT a.lead_id FROM leadscore.lead_alias a ON CONFLICT DO NOTHING;
	PERFORM leadscore.refresh_segments("concurrently");
END
$$;

COMMENT ON FUNCTION leadscore_internal.refresh_here(boolean) IS 'on a worker: refresh_segments(), and which leads its rows are not whole of';

CREATE FUNCTION leadscore_internal.refresh_split_segments() RETURNS void
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
BEGIN
	DELETE FROM leadscore_internal.split_segment;
	INSERT INTO leadscore_internal.split_segment
		(model, lead_id, score, engagement, fit, probability, grade, stage, segment, last_active, scored_at, segment_position)
	SELECT s.model, s.lead_id, (s.appraisal).score, (s.appraisal).engagement, (s.appraisal).fit, (s.appraisal).probability, (s.appraisal).grade,
		(s.appraisal).stage, (s.appraisal).segment, (s.appraisal).last_active, date_trunc('hour', now(), 'UTC'), (s.appraisal).segment_position
	FROM (
		SELECT m.model, l.lead_id, leadscore.appraise(m.scorecard, l.timeline, l.profile, now()) AS appraisal
		FROM leadscore_internal.joined_leads() l CROSS JOIN leadscore_internal.served_models() m
		WHERE m.treated IS NULL OR leadscore_internal.treated(m.salt, m.share, l.lead_id) = m.treated
		OFFSET 0
	) s;
END
$$;

COMMENT ON FUNCTION leadscore_internal.refresh_split_segments() IS 'writes the rows of lead_segment of leads that have aliases, on a coordinator';

-- reading

CREATE FUNCTION leadscore_internal.summary_here(request jsonb)
	RETURNS TABLE (model text, segment text, segment_position integer, leads bigint, score_sum float8, lowest float8, highest float8, scored_at timestamptz)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
	SELECT l.model, l.segment, min(l.segment_position), count(*), sum(l.score), min(l.score), max(l.score), max(l.scored_at)
	FROM leadscore.lead_segment l WHERE NOT EXISTS (SELECT FROM leadscore_internal.split_lead s WHERE s.lead_id = l.lead_id)
	GROUP BY l.model, l.segment
$$;

CREATE FUNCTION leadscore_internal.snapshot_here(request jsonb)
	RETURNS TABLE (model text, lead_id text, score float8, engagement float8, fit float8, probability float8, grade text, stage text,
		segment text, last_active timestamptz, scored_at timestamptz, segment_position integer)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	name CONSTANT text := request ->> 'model';
	wanted CONSTANT text := request ->> 'segment';
	n CONSTANT bigint := request ->> 'n';
BEGIN
	RETURN QUERY
	SELECT l.model, l.lead_id, l.score, l.engagement, l.fit, l.probability, l.grade, l.stage, l.segment, l.last_active, l.scored_at, l.segment_position
	FROM leadscore.lead_segment l
	WHERE l.model = name AND l.segment = wanted AND NOT EXISTS (SELECT FROM leadscore_internal.split_lead s WHERE s.lead_id = l.lead_id)
	ORDER BY l.score DESC, l.lead_id LIMIT n;
END
$$;

COMMENT ON FUNCTION leadscore_internal.summary_here(jsonb) IS 'on a worker: the segments of its snapshot';
COMMENT ON FUNCTION leadscore_internal.snapshot_here(jsonb) IS 'on a worker: the leads of a segment with the highest scores, in its snapshot';

CREATE FUNCTION leadscore.distributed_segment_summary()
	RETURNS TABLE (model text, segment text, segment_position integer, leads bigint, share numeric,
		average_score float8, lowest_score float8, highest_score float8, scored_at timestamptz)
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
#variable_conflict use_column
BEGIN
	RETURN QUERY
	SELECT p.model, p.segment, coalesce(min(p.position) FILTER (WHERE p.leads = 0), min(p.position)), sum(p.leads)::bigint,
		round(sum(p.leads) / nullif(sum(sum(p.leads)) OVER (PARTITION BY p.model), 0), 4),
		sum(p.score_sum) / nullif(sum(p.leads), 0)::float8, min(p.lowest), max(p.highest), max(p.scored_at)
	FROM (
		SELECT w.model, w.segment, w.position, w.leads, w.score_sum, w.lowest, w.highest, w.scored_at
		FROM leadscore_internal.ask('summary_here(d.request)'::text, NULL::jsonb)
			AS w (model text, segment text, position integer, leads bigint, score_sum float8, lowest float8, highest float8, scored_at timestamptz)
		UNION ALL
		SELECT s.model, s.segment, s.segment_position, 1, s.score, s.score, s.score, s.scored_at FROM leadscore_internal.split_segment s
		UNION ALL
		SELECT d.model, d.segment, d.position, 0, NULL, NULL, NULL, NULL FROM leadscore.segment d
	) p
	GROUP BY p.model, p.segment
	ORDER BY 1, 3;
END
$$;

COMMENT ON FUNCTION leadscore.distributed_segment_summary() IS 'how many leads of all workers each segment of each model has, in their snapshots';

CREATE FUNCTION leadscore.distributed_segment_leads(segment text, n integer DEFAULT 100, model text DEFAULT 'default')
	RETURNS TABLE (lead_id text, score float8, engagement float8, fit float8, probability float8, grade text, stage text,
		last_active timestamptz, scored_at timestamptz)
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	name CONSTANT text := CASE WHEN EXISTS (SELECT FROM leadscore.experiment e WHERE e.experiment = distributed_segment_leads.model)
		THEN distributed_segment_leads.model ELSE leadscore_internal.model_named(distributed_segment_leads.model) END;
	wanted CONSTANT text := distributed_segment_leads.segment;
BEGIN
	RETURN QUERY
	SELECT a.lead_id, a.score, a.engagement, a.fit, a.probability, a.grade, a.stage, a.last_active, a.scored_at
	FROM (
		SELECT w.* FROM leadscore_internal.ask('snapshot_here(d.request)'::text, jsonb_build_object('model', name, 'segment', wanted, 'n', n))
			AS w (model text, lead_id text, score float8, engagement float8, fit float8, probability float8, grade text, stage text,
				segment text, last_active timestamptz, scored_at timestamptz, segment_position integer)
		UNION ALL
		SELECT s.* FROM leadscore_internal.split_segment s WHERE s.model = name AND s.segment = wanted
	) a
	ORDER BY a.score DESC, a.lead_id
	LIMIT n;
END
$$;

COMMENT ON FUNCTION leadscore.distributed_segment_leads(text, integer, text) IS 'the leads of a segment with the highest scores, in the snapshots of all workers';
