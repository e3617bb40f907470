-- crm.sql: leads as a CRM takes them over
--
-- A score decays by the hour, and a CRM is to be told when there is something to
-- say: refresh_crm() keeps rows as they are until their segment, stage or grade
-- changes or their score has moved by crm_step, and numbers those that have changed
-- in the order in which they are committed. crm_lead shows them as they are kept.

-- Each column of crm_lead that is not cheap is a call by itself, with a COST above 10: so ORDER BY ... LIMIT computes
-- what it sorts by for each lead, and the others for the rows that it returns only.

CREATE VIEW leadscore_internal.served_lead AS
SELECT m.model, s.lead_id, m.served, s.timeline, s.profile, m.crm_step
FROM leadscore_internal.served_models() m
CROSS JOIN leadscore_internal.visible_lead s
WHERE m.treated IS NULL OR leadscore_internal.treated(m.salt, m.share, s.lead_id) = m.treated;

COMMENT ON VIEW leadscore_internal.served_lead IS 'every lead on every model, and in every experiment, with the model that serves it';
COMMENT ON COLUMN leadscore_internal.served_lead.model IS 'the model, or the experiment';
COMMENT ON COLUMN leadscore_internal.served_lead.lead_id IS 'the lead';
COMMENT ON COLUMN leadscore_internal.served_lead.served IS 'the model, or that of the lead''s arm';
COMMENT ON COLUMN leadscore_internal.served_lead.timeline IS 'what the lead did; NULL: nothing';
COMMENT ON COLUMN leadscore_internal.served_lead.profile IS 'its attributes; NULL: none';
COMMENT ON COLUMN leadscore_internal.served_lead.crm_step IS 'how far a score moves before a CRM is told';

CREATE FUNCTION leadscore_internal.crm_appraise(model text, timeline leadscore.timeline, profile jsonb, at timestamptz) RETURNS leadscore.appraisal
	AS 'MODULE_PATHNAME' LANGUAGE C STABLE PARALLEL SAFE COST 11;

COMMENT ON FUNCTION leadscore_internal.crm_appraise(text, leadscore.timeline, jsonb, timestamptz) IS 'appraise(), by the name of the model; a lead that is asked for again is not appraised again';

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
COMMENT ON COLUMN leadscore_internal.crm_state.reason_1 IS 'what weighs most';
COMMENT ON COLUMN leadscore_internal.crm_state.reason_2 IS 'the second one';
COMMENT ON COLUMN leadscore_internal.crm_state.reason_3 IS 'the third one';
COMMENT ON COLUMN leadscore_internal.crm_state.deleted IS 'whether the lead has gone';
COMMENT ON COLUMN leadscore_internal.crm_state.change_id IS 'the number of its last change';
COMMENT ON COLUMN leadscore_internal.crm_state.changed_at IS 'when that was found';
COMMENT ON COLUMN leadscore_internal.crm_state.segment_position IS 'the position of the segment';

CREATE FUNCTION leadscore_internal.crm_score(model text, timeline leadscore.timeline, profile jsonb, at timestamptz, crm_step float8, told leadscore_internal.crm_state) RETURNS numeric
	AS 'MODULE_PATHNAME' LANGUAGE C STABLE PARALLEL SAFE COST 20;

CREATE FUNCTION leadscore_internal.crm_stays(model text, timeline leadscore.timeline, profile jsonb, at timestamptz, crm_step float8, told leadscore_internal.crm_state) RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C STABLE PARALLEL SAFE COST 11;

COMMENT ON FUNCTION leadscore_internal.crm_score(text, leadscore.timeline, jsonb, timestamptz, float8, leadscore_internal.crm_state)
	IS 'the rounded score as a CRM was told, if that stays, else as it is now';
COMMENT ON FUNCTION leadscore_internal.crm_stays(text, leadscore.timeline, jsonb, timestamptz, float8, leadscore_internal.crm_state)
	IS 'whether a row that a CRM was told is near enough to what the lead is now; false if it was not told';

-- (inlined)
CREATE FUNCTION leadscore_internal.crm_row(model text, timeline leadscore.timeline, profile jsonb, at timestamptz)
	RETURNS TABLE (score numeric, grade text, segment text, segment_position integer, stage text, probability numeric, reason_1 text, reason_2 text, reason_3 text)
	LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT leadscore_internal.crm_score(crm_row.model, timeline, profile, at, NULL::float8, NULL::leadscore_internal.crm_state),
		(a.appraisal).grade, (a.appraisal).segment, (a.appraisal).segment_position, (a.appraisal).stage,
		round((a.appraisal).probability::numeric, 2), r.reasons[1], r.reasons[2], r.reasons[3]
	FROM (SELECT leadscore_internal.crm_appraise(crm_row.model, timeline, profile, at) AS appraisal) a
	CROSS JOIN (SELECT leadscore_internal.crm_reasons(crm_row.model, timeline, profile, at, (SELECT leadscore_internal.wording())) AS reasons) r;
END;

COMMENT ON FUNCTION leadscore_internal.crm_row(text, leadscore.timeline, jsonb, timestamptz) IS 'a row of crm_lead as of an instant, as it would be if it were told then';

CREATE FUNCTION leadscore_internal.lock_crm_numbers() RETURNS void
	LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT leadscore_internal.lock_by_name('crm'::text)
$$;

COMMENT ON FUNCTION leadscore_internal.lock_crm_numbers() IS 'locks the numbering of changes until the transaction ends';

CREATE FUNCTION leadscore_internal.refresh_crm_at(at timestamptz) RETURNS bigint
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	n bigint;
BEGIN
	-- reasons are worded behind the comparison
	WITH difference AS (
		SELECT coalesce(c.model, s.model) AS model, coalesce(c.lead_id, s.lead_id) AS lead_id, c.served, c.timeline, c.profile
		FROM leadscore_internal.served_lead c
		FULL JOIN leadscore_internal.crm_state s ON s.model = c.model AND s.lead_id = c.lead_id
		WHERE CASE WHEN c.lead_id IS NULL THEN NOT s.deleted
			ELSE NOT leadscore_internal.crm_stays(c.served, c.timeline, c.profile, at, c.crm_step, s) END
		ORDER BY 1, 2
	)
	INSERT INTO leadscore_internal.crm_state AS t (model, lead_id, score, grade, segment, segment_position, stage, probability, reason_1, reason_2, reason_3, deleted, change_id, changed_at)
	SELECT d.model, d.lead_id, r.score, r.grade, r.segment, r.segment_position, r.stage, r.probability, r.reason_1, r.reason_2, r.reason_3, d.served IS NULL,
		nextval('leadscore_internal.crm_change_id_seq'), clock_timestamp()
	FROM difference d
	CROSS JOIN LATERAL leadscore_internal.crm_row(d.served, d.timeline, d.profile, at) r
	ON CONFLICT (model, lead_id) DO UPDATE
	SET score = excluded.score, grade = excluded.grade, segment = excluded.segment, segment_position = excluded.segment_position, stage = excluded.stage, probability = excluded.probability,
		reason_1 = excluded.reason_1, reason_2 = excluded.reason_2, reason_3 = excluded.reason_3,
		deleted = excluded.deleted, change_id = excluded.change_id, changed_at = excluded.changed_at;
	GET DIAGNOSTICS n = ROW_COUNT;
	RETURN n;
END
$$;

COMMENT ON FUNCTION leadscore_internal.refresh_crm_at(timestamptz) IS 'keeps the rows of crm_lead as of an instant, where they have changed, and returns how many have; changes must be locked';

CREATE FUNCTION leadscore.refresh_crm() RETURNS bigint
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	-- one at a time, so that numbers are committed in their order
	PERFORM leadscore_internal.check_read_committed('refresh_crm()'::text, 'passed over'::text);
	PERFORM leadscore_internal.lock_crm_numbers();
	RETURN leadscore_internal.refresh_crm_at(clock_timestamp());
END
$$;

COMMENT ON FUNCTION leadscore.refresh_crm() IS 'records which rows of crm_lead have moved, for crm_changes(), and returns how many';

-- What a CRM was told is one value, as a row that is sorted is copied column by column. (The CASE keeps the server from
-- taking its columns out before the sort.) A row that stays has the grade, segment and stage that it was told.
CREATE VIEW leadscore.crm_lead AS
SELECT c.model, c.lead_id,
	leadscore_internal.crm_score(c.served, c.timeline, c.profile, now(), c.crm_step, s.told) AS score,
	r.grade,
	r.segment,
	r.stage,
	CASE WHEN t.stays THEN (s.told).probability ELSE r.probability END AS probability,
	CASE WHEN t.stays THEN (s.told).reason_1 ELSE r.reason_1 END AS reason_1,
	CASE WHEN t.stays THEN (s.told).reason_2 ELSE r.reason_2 END AS reason_2,
	CASE WHEN t.stays THEN (s.told).reason_3 ELSE r.reason_3 END AS reason_3,
	CASE WHEN t.stays THEN (s.told).changed_at ELSE now() END AS changed_at,
	r.segment_position
FROM leadscore_internal.served_lead c
LEFT JOIN (SELECT k.model, k.lead_id, CASE WHEN k.model IS NOT NULL THEN k END AS told FROM leadscore_internal.crm_state k) s
	-- (a key that is NULL costs no hash)
	ON s.model = CASE WHEN (SELECT EXISTS (SELECT FROM leadscore_internal.crm_state)) THEN c.model END
	AND s.lead_id = CASE WHEN (SELECT EXISTS (SELECT FROM leadscore_internal.crm_state)) THEN c.lead_id END
CROSS JOIN LATERAL leadscore_internal.crm_row(c.served, c.timeline, c.profile, now()) r
CROSS JOIN LATERAL (
	SELECT leadscore_internal.crm_stays(c.served, c.timeline, c.profile, now(), c.crm_step, s.told) AS stays
) t;

COMMENT ON VIEW leadscore.crm_lead
	IS 'every lead on every model, and in every experiment by the model of its arm, in the columns for a CRM: as the last refresh_crm() has found it, or live where it has moved since';
COMMENT ON COLUMN leadscore.crm_lead.model IS 'the model, or the experiment';
COMMENT ON COLUMN leadscore.crm_lead.lead_id IS 'the lead';
COMMENT ON COLUMN leadscore.crm_lead.score IS 'the score, rounded to a whole number; it moves by crm_step at least, or with segment, stage or grade';
COMMENT ON COLUMN leadscore.crm_lead.grade IS 'by fit';
COMMENT ON COLUMN leadscore.crm_lead.segment IS 'the first segment whose conditions hold';
COMMENT ON COLUMN leadscore.crm_lead.stage IS 'the furthest stage reached within its window';
COMMENT ON COLUMN leadscore.crm_lead.probability IS 'of a conversion, rounded to hundredths';
COMMENT ON COLUMN leadscore.crm_lead.reason_1 IS 'what weighs most, as explain() says it, its points net of categories and rounded';
COMMENT ON COLUMN leadscore.crm_lead.reason_2 IS 'the second one';
COMMENT ON COLUMN leadscore.crm_lead.reason_3 IS 'the third one';
COMMENT ON COLUMN leadscore.crm_lead.changed_at IS 'when refresh_crm() found the row as it is; now() if it has moved since';
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
	-- (one that is being written gets a number of its own)
	WITH gone AS (
		DELETE FROM leadscore_internal.crm_state s
		WHERE s.change_id IN (SELECT o.change_id FROM leadscore_internal.crm_state o WHERE o.deleted AND o.change_id <= crm_forget.until FOR UPDATE SKIP LOCKED)
		RETURNING 1)
	SELECT count(*) FROM gone
$$;

COMMENT ON FUNCTION leadscore.crm_forget(bigint) IS 'drops the deleted leads up to a number that all CRMs have processed, and returns how many';

SELECT pg_catalog.pg_extension_config_dump('leadscore_internal.crm_state', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore_internal.crm_change_id_seq', '');
