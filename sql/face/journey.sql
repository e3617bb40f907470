-- journey.sql: the order in which touches and orders of one hour came
--
-- Timelines keep hours. For leads whose attribution depends on what is earlier within one, the events are read.

CREATE FUNCTION leadscore_internal.tied_leads_transition(internal, text, leadscore.timeline, integer, integer[], integer[]) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 10;

CREATE FUNCTION leadscore_internal.tied_leads_final(internal) RETURNS text[]
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION leadscore_internal.tied_leads_transition(internal, text, leadscore.timeline, integer, integer[], integer[]) IS 'aggregate transition function';
COMMENT ON FUNCTION leadscore_internal.tied_leads_final(internal) IS 'aggregate final function';

CREATE AGGREGATE leadscore_internal.tied_leads(lead_id text, timeline leadscore.timeline, conversion_id integer, touch_signals integer[], channels integer[]) (
	SFUNC = leadscore_internal.tied_leads_transition,
	STYPE = internal,
	FINALFUNC = leadscore_internal.tied_leads_final
);

COMMENT ON AGGREGATE leadscore_internal.tied_leads(text, leadscore.timeline, integer, integer[], integer[])
	IS 'the leads that have an hour with touches of several channels, or with a touch and an order; NULL: there are none';

-- No lock is waited for: of a table that is being changed or truncated, the hours count.
CREATE FUNCTION leadscore_internal.event_moments(lead_ids text[], signal_ids integer[])
	RETURNS TABLE (lead_id text, instants timestamptz[], timelines leadscore.timeline[])
	LANGUAGE plpgsql STABLE ROWS 1000 SET search_path = pg_catalog, pg_temp SET jit = off SET client_min_messages = error
AS $$
#variable_conflict use_column
DECLARE
	named CONSTANT text[] := ARRAY(SELECT s.signal FROM leadscore.signal s WHERE s.signal_id = ANY (signal_ids));
	signals CONSTANT jsonb := leadscore_internal.signals_named(named);
	-- (NULL: a signal of any kind)
	kinds CONSTANT text[] := (SELECT CASE WHEN bool_and(s.kind IS NOT NULL) THEN array_agg(DISTINCT s.kind) END FROM leadscore.signal s WHERE s.signal = ANY (named));
	sources regclass[];
	mappings jsonb[];
BEGIN
	IF lead_ids IS NULL THEN
		RETURN;
	END IF;
	SELECT array_agg(s.source), array_agg(s.mapping) INTO sources, mappings
	FROM leadscore_internal.source_trigger s
	WHERE CASE WHEN s.feeds = 'timeline' AND NOT s.mapping ? 'partition' THEN leadscore_internal.try_table(s.source, false) END;
	RETURN QUERY
	WITH name AS MATERIALIZED (
		SELECT l AS name, l AS lead_id FROM unnest(lead_ids) l
		UNION ALL
		SELECT a.alias, a.lead_id FROM leadscore.lead_alias a WHERE a.lead_id = ANY (lead_ids)
	), moment AS (
		SELECT n.lead_id, e.occurred_at, leadscore.timeline_agg(signals, e.kind, e.occurred_at, e.value, e.properties) AS timeline
		FROM leadscore_internal.source_events(sources, mappings, ARRAY(SELECT n.name FROM name n), kinds) e JOIN name n ON n.name = e.lead_id
		GROUP BY n.lead_id, e.occurred_at
	)
	SELECT m.lead_id, array_agg(m.occurred_at), array_agg(m.timeline)
	FROM moment m
	WHERE m.timeline IS NOT NULL
	GROUP BY m.lead_id;
END
$$;

COMMENT ON FUNCTION leadscore_internal.event_moments(text[], integer[])
	IS 'the events of leads that some signals count: instants, and what each has added to the timeline';
