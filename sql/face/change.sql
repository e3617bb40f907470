-- change.sql: how scores have moved, and where a lead stands among all
--
-- Scores of the past are by the model and the profiles of today, as score() of a past instant is.

CREATE FUNCTION leadscore.score_change(model text DEFAULT 'default', span interval DEFAULT '1 day', at timestamptz DEFAULT now())
	RETURNS TABLE (lead_id text, score_before float8, score float8, change float8)
	LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 100000 SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	before record;
	after record;
BEGIN
	IF model IS NULL OR span IS NULL OR at IS NULL THEN
		RETURN;
	END IF;
	IF span <= '0' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'span is not above zero',
			DETAIL = format('It is %s.', span), HINT = 'Write how far to look back, such as 1 day.';
	END IF;
	before := leadscore_internal.cards_at(model, at - span);
	after := leadscore_internal.cards_at(model, at);
	RETURN QUERY
	SELECT s.lead_id, s.score_before, s.score, s.score - s.score_before
	FROM (
		SELECT l.lead_id,
			leadscore.score(CASE WHEN leadscore_internal.treated(before.salt, before.share, l.lead_id) THEN before.treatment ELSE before.control END,
				l.timeline, l.profile, score_change.at - score_change.span) AS score_before,
			leadscore.score(CASE WHEN leadscore_internal.treated(after.salt, after.share, l.lead_id) THEN after.treatment ELSE after.control END,
				l.timeline, l.profile, score_change.at) AS score
		FROM leadscore_internal.visible_lead l
		OFFSET 0	-- each score is computed once
	) s;
END
$$;

COMMENT ON FUNCTION leadscore.score_change(text, interval, timestamptz) IS 'how far the score of every lead has moved in the time before an instant';

CREATE FUNCTION leadscore.percentile_rank(lead_id text, model text DEFAULT 'default', at timestamptz DEFAULT now()) RETURNS float8
	LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	lead CONSTANT text := leadscore_internal.lead_named(lead_id);
	cards record;
	own float8;
	rank float8;
BEGIN
	cards := leadscore_internal.cards_at(model, at);
	-- (of a lead that is none there is no row)
	SELECT leadscore.score(CASE WHEN leadscore_internal.treated(cards.salt, cards.share, l.lead_id) THEN cards.treatment ELSE cards.control END,
		l.timeline, l.profile, at) INTO own
	FROM leadscore_internal.visible_lead l WHERE l.lead_id = lead;
	IF own IS NULL THEN
		RETURN NULL;
	END IF;
	SELECT (count(*) FILTER (WHERE s.score < own) + count(*) FILTER (WHERE s.score = own) / 2.0::float8) / count(*) INTO rank
	FROM (
		SELECT leadscore.score(CASE WHEN leadscore_internal.treated(cards.salt, cards.share, l.lead_id) THEN cards.treatment ELSE cards.control END,
			l.timeline, l.profile, at) AS score
		FROM leadscore_internal.visible_lead l
		OFFSET 0
	) s;
	RETURN rank;
END
$$;

COMMENT ON FUNCTION leadscore.percentile_rank(text, text, timestamptz)
	IS 'the share of leads with a lower score, and half of those with the same: 0 to 1; NULL: there is no such lead';

CREATE FUNCTION leadscore.percentile_rank(lead_id bigint, model text DEFAULT 'default', at timestamptz DEFAULT now()) RETURNS float8
	LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
	SELECT leadscore.percentile_rank(percentile_rank.lead_id::text, model, at);
END;

CREATE FUNCTION leadscore.percentile_rank(lead_id uuid, model text DEFAULT 'default', at timestamptz DEFAULT now()) RETURNS float8
	LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
	SELECT leadscore.percentile_rank(percentile_rank.lead_id::text, model, at);
END;

COMMENT ON FUNCTION leadscore.percentile_rank(bigint, text, timestamptz) IS 'the rank of a lead whose id is a number';
COMMENT ON FUNCTION leadscore.percentile_rank(uuid, text, timestamptz) IS 'the rank of a lead whose id is a UUID';
