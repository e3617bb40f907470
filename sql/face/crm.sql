-- crm.sql: leads as a CRM takes them over
--
-- A score decays by the hour. What a CRM is told is rounded, so that a row
-- changes when there is something to say; refresh_crm() writes down what has
-- changed, numbered in the order in which it is committed.

-- Views name it in their target lists, and it has a cost: so ORDER BY ... LIMIT words reasons for the rows that it returns only.

CREATE FUNCTION leadscore_internal.crm_reasons(card jsonb, timeline leadscore.timeline, profile jsonb, at timestamptz) RETURNS text[]
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 20;

COMMENT ON FUNCTION leadscore_internal.crm_reasons(jsonb, leadscore.timeline, jsonb, timestamptz) IS 'the three signals that weigh most, in words';

-- (inlined, so that a condition on the lead reaches the timelines)
CREATE FUNCTION leadscore_internal.crm_at(at timestamptz)
	RETURNS TABLE (model text, lead_id text, score numeric, grade text, segment text, stage text, probability numeric,
		reason_1 text, reason_2 text, reason_3 text, segment_position integer)
	LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT m.model, s.lead_id,
		round((a.appraisal).score::numeric),
		(a.appraisal).grade, (a.appraisal).segment, (a.appraisal).stage,
		round((a.appraisal).probability::numeric, 2),
		(leadscore_internal.crm_reasons(m.scorecard, s.timeline, s.profile, crm_at.at))[1],
		(leadscore_internal.crm_reasons(m.scorecard, s.timeline, s.profile, crm_at.at))[2],
		(leadscore_internal.crm_reasons(m.scorecard, s.timeline, s.profile, crm_at.at))[3],
		(a.appraisal).segment_position
	FROM leadscore_internal.served_models() m
	CROSS JOIN leadscore_internal.visible_lead s
	CROSS JOIN LATERAL (SELECT leadscore.appraise(m.scorecard, s.timeline, s.profile, crm_at.at) AS appraisal OFFSET 0) a
	WHERE m.treated IS NULL OR leadscore_internal.treated(m.salt, m.share, s.lead_id) = m.treated;
END;

COMMENT ON FUNCTION leadscore_internal.crm_at(timestamptz) IS 'the rows of crm_lead as of an instant';

CREATE TABLE leadscore_internal.crm_state (
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
	segment_position integer,
	PRIMARY KEY (model, lead_id)
);

CREATE UNIQUE INDEX crm_state_change_id_key ON leadscore_internal.crm_state (change_id);

CREATE SEQUENCE leadscore_internal.crm_change_id_seq OWNED BY leadscore_internal.crm_state.change_id;

COMMENT ON TABLE leadscore_internal.crm_state IS 'what the last refresh_crm() has found';
COMMENT ON COLUMN leadscore_internal.crm_state.model IS 'the model';
COMMENT ON COLUMN leadscore_internal.crm_state.lead_id IS 'the lead';
COMMENT ON COLUMN leadscore_internal.crm_state.score IS 'the score, rounded';
COMMENT ON COLUMN leadscore_internal.crm_state.grade IS 'by fit';
COMMENT ON COLUMN leadscore_internal.crm_state.segment IS 'the segment';
COMMENT ON COLUMN leadscore_internal.crm_state.stage IS 'the stage';
COMMENT ON COLUMN leadscore_internal.crm_state.probability IS 'of a conversion, rounded';
COMMENT ON COLUMN leadscore_internal.crm_state.reason_1 IS 'the signal worth most';
COMMENT ON COLUMN leadscore_internal.crm_state.reason_2 IS 'the second one';
COMMENT ON COLUMN leadscore_internal.crm_state.reason_3 IS 'the third one';
COMMENT ON COLUMN leadscore_internal.crm_state.deleted IS 'whether the lead has gone';
COMMENT ON COLUMN leadscore_internal.crm_state.change_id IS 'the number of its last change';
COMMENT ON COLUMN leadscore_internal.crm_state.changed_at IS 'when that was found';
COMMENT ON COLUMN leadscore_internal.crm_state.segment_position IS 'the position of the segment';

CREATE FUNCTION leadscore_internal.lock_crm_numbers() RETURNS void
	LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT leadscore_internal.lock_by_name('crm'::text)
$$;

COMMENT ON FUNCTION leadscore_internal.lock_crm_numbers() IS 'locks the numbering of changes until the transaction ends';

CREATE FUNCTION leadscore.refresh_crm() RETURNS bigint
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	at timestamptz;
	n bigint;
BEGIN
	-- one at a time, so that numbers are committed in their order
	PERFORM leadscore_internal.check_read_committed('refresh_crm()'::text, 'passed over'::text);
	PERFORM leadscore_internal.lock_crm_numbers();
	at := clock_timestamp();
	WITH difference AS (
		SELECT coalesce(c.model, s.model) AS model, coalesce(c.lead_id, s.lead_id) AS lead_id,
			c.score, c.grade, c.segment, c.segment_position, c.stage, c.probability, c.reason_1, c.reason_2, c.reason_3, c.lead_id IS NULL AS deleted
		FROM leadscore_internal.crm_at(at) c
		FULL JOIN leadscore_internal.crm_state s ON s.model = c.model AND s.lead_id = c.lead_id
		WHERE (c.score, c.grade, c.segment, c.segment_position, c.stage, c.probability, c.reason_1, c.reason_2, c.reason_3, c.lead_id IS NULL)
			IS DISTINCT FROM (s.score, s.grade, s.segment, s.segment_position, s.stage, s.probability, s.reason_1, s.reason_2, s.reason_3, s.deleted)
		ORDER BY 1, 2
	)
	INSERT INTO leadscore_internal.crm_state AS t (model, lead_id, score, grade, segment, segment_position, stage, probability, reason_1, reason_2, reason_3, deleted, change_id, changed_at)
	SELECT d.*, nextval('leadscore_internal.crm_change_id_seq'), clock_timestamp()
	FROM difference d
	ON CONFLICT (model, lead_id) DO UPDATE
	SET score = excluded.score, grade = excluded.grade, segment = excluded.segment, segment_position = excluded.segment_position, stage = excluded.stage, probability = excluded.probability,
		reason_1 = excluded.reason_1, reason_2 = excluded.reason_2, reason_3 = excluded.reason_3,
		deleted = excluded.deleted, change_id = excluded.change_id, changed_at = excluded.changed_at;
	GET DIAGNOSTICS n = ROW_COUNT;
	RETURN n;
END
$$;

COMMENT ON FUNCTION leadscore.refresh_crm() IS 'records which rows of crm_lead have changed, for crm_changes(), and returns how many';

CREATE VIEW leadscore.crm_lead AS
SELECT c.model, c.lead_id, c.score, c.grade, c.segment, c.stage, c.probability, c.reason_1, c.reason_2, c.reason_3,
	CASE WHEN (c.score, c.grade, c.segment, c.segment_position, c.stage, c.probability, c.reason_1, c.reason_2, c.reason_3, false)
		IS NOT DISTINCT FROM (s.score, s.grade, s.segment, s.segment_position, s.stage, s.probability, s.reason_1, s.reason_2, s.reason_3, s.deleted)
		THEN s.changed_at ELSE now() END AS changed_at,
	c.segment_position
FROM leadscore_internal.crm_at(now()) c
LEFT JOIN leadscore_internal.crm_state s ON s.model = c.model AND s.lead_id = c.lead_id;

COMMENT ON VIEW leadscore.crm_lead IS 'every lead on every model, live, and in every experiment by the model of its arm, in the columns for a CRM';
COMMENT ON COLUMN leadscore.crm_lead.model IS 'the model, or the experiment';
COMMENT ON COLUMN leadscore.crm_lead.lead_id IS 'the lead';
COMMENT ON COLUMN leadscore.crm_lead.score IS 'the score, rounded to a whole number';
COMMENT ON COLUMN leadscore.crm_lead.grade IS 'by fit';
COMMENT ON COLUMN leadscore.crm_lead.segment IS 'the first segment whose conditions hold';
COMMENT ON COLUMN leadscore.crm_lead.stage IS 'the furthest stage reached within its window';
COMMENT ON COLUMN leadscore.crm_lead.probability IS 'of a conversion, rounded to hundredths';
COMMENT ON COLUMN leadscore.crm_lead.reason_1 IS 'the signal that weighs most, by its description, with its points, before categories and the model limit them';
COMMENT ON COLUMN leadscore.crm_lead.reason_2 IS 'the second one';
COMMENT ON COLUMN leadscore.crm_lead.reason_3 IS 'the third one';
COMMENT ON COLUMN leadscore.crm_lead.changed_at IS 'when refresh_crm() first found the row as it is; now() if it has not yet';
COMMENT ON COLUMN leadscore.crm_lead.segment_position IS 'the position of the segment';

CREATE FUNCTION leadscore.crm_changes(since bigint DEFAULT 0, n integer DEFAULT NULL)
	RETURNS TABLE (change_id bigint, model text, lead_id text, score numeric, grade text, segment text, stage text, probability numeric,
		reason_1 text, reason_2 text, reason_3 text, deleted boolean, changed_at timestamptz, segment_position integer)
	LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT s.change_id, s.model, s.lead_id, s.score, s.grade, s.segment, s.stage, s.probability, s.reason_1, s.reason_2, s.reason_3, s.deleted, s.changed_at, s.segment_position
	FROM leadscore_internal.crm_state s
	WHERE s.change_id > coalesce(crm_changes.since, 0)
	-- where row-level security hides leads, what was written down of them is hidden, too
	AND (NOT (SELECT row_security_active('leadscore.lead') OR row_security_active('leadscore.event'))
		OR NOT s.deleted AND leadscore_internal.is_visible(s.lead_id))
	ORDER BY s.change_id
	LIMIT crm_changes.n;
END;

COMMENT ON FUNCTION leadscore.crm_changes(bigint, integer) IS 'the rows that have changed since a number, the first n or all: to upsert or delete';

CREATE FUNCTION leadscore.crm_forget(until bigint) RETURNS bigint
	LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	WITH gone AS (DELETE FROM leadscore_internal.crm_state s WHERE s.deleted AND s.change_id <= crm_forget.until RETURNING 1)
	SELECT count(*) FROM gone
$$;

COMMENT ON FUNCTION leadscore.crm_forget(bigint) IS 'drops the deleted leads up to a number that all CRMs have processed, and returns how many';

SELECT pg_catalog.pg_extension_config_dump('leadscore_internal.crm_state', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore_internal.crm_change_id_seq', '');
