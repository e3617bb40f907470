-- exclusion.sql: leads that are scored for nobody: staff, bots, people who object
--
-- Their events are counted like any others, so that timelines stay what the tables
-- say. What shows or uses scores leaves them out: see visible_lead, examples() and
-- read_lead() in src/live/transition.c.

CREATE TABLE leadscore.excluded_lead (
	lead_id text PRIMARY KEY
		CONSTRAINT excluded_lead_id_length CHECK ((octet_length(lead_id) BETWEEN 1 AND 1024) IS NOT FALSE OR leadscore_internal.refuse(
			'lead_id is empty or too long', left(quote_literal(lead_id), 100), 'Name the lead by 1 to 1024 bytes.')),
	reason text,
	excluded_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE leadscore.excluded_lead IS 'leads that are scored for nobody: staff, bots, people who object';
COMMENT ON COLUMN leadscore.excluded_lead.lead_id IS 'the lead, or one of its aliases';
COMMENT ON COLUMN leadscore.excluded_lead.reason IS 'why, for people';
COMMENT ON COLUMN leadscore.excluded_lead.excluded_at IS 'since when, for people: it is excluded from all that is computed';

CREATE FUNCTION leadscore_internal.anybody_excluded() RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C STABLE PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.is_excluded(name text) RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C STABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.exclusion_changed() RETURNS trigger
	AS 'MODULE_PATHNAME' LANGUAGE C;

COMMENT ON FUNCTION leadscore_internal.anybody_excluded() IS 'false: nobody is excluded, and is_excluded() need not be asked';
COMMENT ON FUNCTION leadscore_internal.is_excluded(text) IS 'whether a lead, or the lead of an alias, is excluded under any of its names';
COMMENT ON FUNCTION leadscore_internal.exclusion_changed() IS 'trigger: the segments of who is excluded, or no longer, are compared before the transaction commits';

CREATE TRIGGER exclusion_changed AFTER INSERT OR UPDATE OR DELETE ON leadscore.excluded_lead
	FOR EACH ROW EXECUTE FUNCTION leadscore_internal.exclusion_changed();

SELECT pg_catalog.pg_extension_config_dump('leadscore.excluded_lead', '');
