-- experiment.sql: champion and challenger: two models, each for its share of the leads

CREATE TABLE leadscore.experiment (
	experiment text PRIMARY KEY
		CONSTRAINT experiment_not_empty CHECK ((experiment <> '') IS NOT FALSE OR leadscore_internal.refuse(
			'experiment name is empty', '""', 'Name the experiment, such as "spring".'))
		CONSTRAINT experiment_not_default CHECK ((experiment <> 'default') IS NOT FALSE OR leadscore_internal.refuse(
			'an experiment cannot be named default', experiment, 'That is the model that calls without one mean. Name the experiment otherwise, such as "spring".')),
	control text NOT NULL REFERENCES leadscore.model ON UPDATE CASCADE,
	treatment text NOT NULL REFERENCES leadscore.model ON UPDATE CASCADE,
	share float8 NOT NULL DEFAULT 0.5
		CONSTRAINT experiment_share_is_share CHECK ((share BETWEEN 0 AND 1) IS NOT FALSE OR leadscore_internal.refuse(
			'experiment share is not between 0 and 1', share::text, 'Write the share of leads that are treated, such as 0.5.')),
	starts_at timestamptz NOT NULL DEFAULT now()
		CONSTRAINT experiment_starts_at_finite CHECK ((starts_at BETWEEN '1970-01-01 00:00Z' AND '9999-12-31 00:00Z') IS NOT FALSE OR leadscore_internal.refuse(
			'experiment starts_at is out of range', starts_at::text, 'Write an instant of the years 1970 to 9999.')),
	ends_at timestamptz,
	salt text NOT NULL DEFAULT gen_random_uuid()::text,
	description text,
	CONSTRAINT experiment_starts_before_it_ends CHECK ((starts_at < ends_at) IS NOT FALSE OR leadscore_internal.refuse(
		'experiment starts_at is not before ends_at', format('starts_at %s, ends_at %s', starts_at, ends_at), 'Swap the two, or write NULL for no end.'))
);

COMMENT ON TABLE leadscore.experiment IS 'two models, each for its share of the leads; the same one twice compares what a shop does with each arm()';
COMMENT ON COLUMN leadscore.experiment.experiment IS 'name; also that of its rows in lead_score, so no model may have it; not default';
COMMENT ON COLUMN leadscore.experiment.control IS 'the model to compare with';
COMMENT ON COLUMN leadscore.experiment.treatment IS 'the model to try; may be the control';
COMMENT ON COLUMN leadscore.experiment.share IS 'the share of leads that get the treatment';
COMMENT ON COLUMN leadscore.experiment.starts_at IS 'when it starts; before that all leads get the control';
COMMENT ON COLUMN leadscore.experiment.ends_at IS 'when it ends; NULL: no end; after that all leads get the control';
COMMENT ON COLUMN leadscore.experiment.salt IS 'determines which leads are treated; another salt gives another assignment';
COMMENT ON COLUMN leadscore.experiment.description IS 'for people';

SELECT pg_catalog.pg_extension_config_dump('leadscore.experiment', '');

CREATE FUNCTION leadscore_internal.check_names() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF TG_TABLE_NAME = 'experiment' THEN
		IF EXISTS (SELECT FROM leadscore.model m WHERE m.model = NEW.experiment) THEN
			PERFORM leadscore_internal.refuse('there is a model of this name'::text, NEW.experiment, 'Choose another name for the experiment.'::text);
		END IF;
	ELSIF EXISTS (SELECT FROM leadscore.experiment e WHERE e.experiment = NEW.model) THEN
		PERFORM leadscore_internal.refuse('there is an experiment of this name'::text, NEW.model, 'Choose another name for the model.'::text);
	END IF;
	RETURN NEW;
END
$$;

COMMENT ON FUNCTION leadscore_internal.check_names() IS 'trigger: models and experiments have different names';

CREATE TRIGGER check_names BEFORE INSERT OR UPDATE OF experiment ON leadscore.experiment
	FOR EACH ROW EXECUTE FUNCTION leadscore_internal.check_names();
CREATE TRIGGER check_names BEFORE INSERT OR UPDATE OF model ON leadscore.model
	FOR EACH ROW EXECUTE FUNCTION leadscore_internal.check_names();

-- which arm

CREATE FUNCTION leadscore_internal.treated(salt text, share float8, lead_id text) RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10;

COMMENT ON FUNCTION leadscore_internal.treated(text, float8, text) IS 'whether a lead belongs to the share that gets the treatment';

CREATE FUNCTION leadscore.arm(experiment text, lead_id text) RETURNS text
	LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	treated boolean;
BEGIN
	SELECT leadscore_internal.treated(e.salt, e.share, coalesce((SELECT a.lead_id FROM leadscore.lead_alias a WHERE a.alias = arm.lead_id), arm.lead_id)) INTO treated
	FROM leadscore.experiment e WHERE e.experiment = arm.experiment;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object',
			MESSAGE = format('experiment "%s" does not exist', experiment),
			DETAIL = 'There is no such row in leadscore.experiment.',
			HINT = leadscore_internal.known('experiments'::text, ARRAY(SELECT e.experiment FROM leadscore.experiment e ORDER BY 1));
	END IF;
	RETURN CASE WHEN treated THEN 'treatment' ELSE 'control' END;
END
$$;

COMMENT ON FUNCTION leadscore.arm(text, text) IS 'control or treatment: the arm of a lead, always the same';

-- When an experiment runs is said here alone.
CREATE FUNCTION leadscore_internal.is_running(starts_at timestamptz, ends_at timestamptz, at timestamptz) RETURNS boolean
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN at >= starts_at AND (at < ends_at) IS NOT FALSE;

COMMENT ON FUNCTION leadscore_internal.is_running(timestamptz, timestamptz, timestamptz) IS 'whether an experiment runs at an instant';

-- A lead that is NULL gets the control.
CREATE FUNCTION leadscore_internal.serving_model(name text, lead_id text, at timestamptz) RETURNS text
	LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	model text;
BEGIN
	SELECT CASE WHEN leadscore_internal.is_running(e.starts_at, e.ends_at, at) AND leadscore_internal.treated(e.salt, e.share, serving_model.lead_id)
		THEN e.treatment ELSE e.control END INTO model
	FROM leadscore.experiment e WHERE e.experiment = name;
	RETURN coalesce(model, leadscore_internal.model_named(name));
END
$$;

COMMENT ON FUNCTION leadscore_internal.serving_model(text, text, timestamptz)
	IS 'the model that a lead is scored by at an instant: the one of the name, or that of its arm in an experiment';

-- what came of it

CREATE FUNCTION leadscore.experiment_result(experiment text, conversion text, effect float8 DEFAULT NULL, at timestamptz DEFAULT now(),
	OUT control_leads bigint, OUT treatment_leads bigint, OUT sample_ratio_p float8,
	OUT control_conversions bigint, OUT treatment_conversions bigint, OUT control_rate float8, OUT treatment_rate float8,
	OUT rate_difference float8, OUT rate_low float8, OUT rate_high float8, OUT rate_p float8,
	OUT control_revenue numeric, OUT treatment_revenue numeric, OUT control_mean float8, OUT treatment_mean float8,
	OUT mean_difference float8, OUT mean_low float8, OUT mean_high float8, OUT mean_p float8,
	OUT leads_needed bigint, OUT leads_missing bigint, OUT crossed bigint)
	LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	z CONSTANT float8 := 1.959963984540054;			-- 97.5 % of a normal distribution lie below it
	z_power CONSTANT float8 := 0.8416212335729143;	-- and 80 % below this
	e leadscore.experiment;
	conversion_signal integer;
	since timestamptz;
	until timestamptz;
	r record;
	pooled float8;
	error float8;
	degrees float8;
	wanted float8;
BEGIN
	SELECT x.* INTO e FROM leadscore.experiment x WHERE x.experiment = experiment_result.experiment;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object',
			MESSAGE = format('experiment "%s" does not exist', coalesce(experiment, 'NULL')),
			DETAIL = 'There is no such row in leadscore.experiment.',
			HINT = leadscore_internal.known('experiments'::text, ARRAY(SELECT x.experiment FROM leadscore.experiment x ORDER BY 1));
	END IF;
	IF conversion IS NULL OR at IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = format('the argument "%s" is NULL', CASE WHEN conversion IS NULL THEN 'conversion' ELSE 'at' END),
			DETAIL = 'The result of an experiment needs a conversion and an instant.', HINT = 'Leave "at" out for now.';
	END IF;
	conversion_signal := leadscore_internal.conversion_id('{}'::jsonb, conversion);
	IF effect = 0 OR NOT (effect > -1 AND effect < 1) THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'effect is not a difference of two rates',
			DETAIL = format('The value is %s.', effect), HINT = 'Write a number such as 0.01, for one conversion more in a hundred leads.';
	END IF;
	-- a compacted day stands at its first hour: it counts whole, or not at all
	SELECT CASE WHEN e.starts_at < c.compacted_before THEN leadscore_internal.compacted_day(e.starts_at) ELSE e.starts_at END,
		CASE WHEN least(e.ends_at, at) < c.compacted_before THEN leadscore_internal.compacted_day(least(e.ends_at, at)) ELSE least(e.ends_at, at) END
	INTO since, until
	FROM (SELECT (SELECT c.compacted_before FROM leadscore.compaction c)) AS c (compacted_before);

	SELECT count(*) FILTER (WHERE NOT x.treated) AS n0, count(*) FILTER (WHERE x.treated) AS n1,
		count(*) FILTER (WHERE NOT x.treated AND x.converted) AS c0, count(*) FILTER (WHERE x.treated AND x.converted) AS c1,
		coalesce(sum(x.revenue) FILTER (WHERE NOT x.treated), 0) AS s0, coalesce(sum(x.revenue) FILTER (WHERE x.treated), 0) AS s1,
		avg(x.revenue) FILTER (WHERE NOT x.treated) AS m0, avg(x.revenue) FILTER (WHERE x.treated) AS m1,
		var_samp(x.revenue) FILTER (WHERE NOT x.treated) AS v0, var_samp(x.revenue) FILTER (WHERE x.treated) AS v1
	INTO r
	FROM (
		SELECT leadscore_internal.treated(e.salt, e.share, l.lead_id) AS treated, c.converted,
			CASE WHEN c.converted THEN (leadscore_internal.timeline_total(l.timeline, conversion_signal, since, until)).value ELSE 0 END AS revenue
		FROM leadscore_internal.visible_lead l
		CROSS JOIN LATERAL (SELECT leadscore.timeline_first_hour(l.timeline, conversion_signal, since, until) IS NOT NULL AS converted OFFSET 0) c
		WHERE leadscore.timeline_first_hour(l.timeline, NULL::integer, since, until) IS NOT NULL
		-- of who was forgotten a part is known, of an earlier time or of this one
		AND (NOT (SELECT leadscore_internal.anybody_forgotten()) OR NOT leadscore_internal.came_again(l.lead_id))
		OFFSET 0	-- what is computed here is used by several aggregates, and is not to be computed for each
	) x;
	-- visitors who may have been treated in one way, and became a lead that is treated in the other
	SELECT count(DISTINCT a.lead_id) INTO crossed
	FROM leadscore.lead_alias a JOIN leadscore_internal.visible_lead l ON l.lead_id = a.lead_id
	WHERE leadscore_internal.treated(e.salt, e.share, a.alias) <> leadscore_internal.treated(e.salt, e.share, a.lead_id)
	AND leadscore.timeline_first_hour(l.timeline, NULL::integer, since, until) IS NOT NULL
	AND (NOT (SELECT leadscore_internal.anybody_forgotten()) OR NOT leadscore_internal.came_again(l.lead_id));
	control_leads := r.n0;
	treatment_leads := r.n1;
	control_conversions := r.c0;
	treatment_conversions := r.c1;
	control_revenue := r.s0;
	treatment_revenue := r.s1;
	control_rate := r.c0 / nullif(r.n0, 0)::float8;
	treatment_rate := r.c1 / nullif(r.n1, 0)::float8;
	control_mean := r.m0;
	treatment_mean := r.m1;

	-- more leads in one arm than chance would put there: something is wrong with the experiment
	IF r.n0 + r.n1 > 0 AND e.share > 0 AND e.share < 1 THEN
		sample_ratio_p := leadscore_internal.normal_tails((r.n1 - (r.n0 + r.n1) * e.share) / sqrt((r.n0 + r.n1) * e.share * (1 - e.share)));
		IF sample_ratio_p < 0.001 THEN
			RAISE WARNING USING MESSAGE = format('the sizes of the arms of experiment "%s" do not match its share', experiment),
				DETAIL = format('Of %s leads %s got the treatment, and the share is %s. By chance this happens once in %s times.', r.n0 + r.n1, r.n1, e.share,
					CASE WHEN sample_ratio_p > 1e-15 THEN round(1 / sample_ratio_p::numeric)::text ELSE 'more than 1000000000000000' END),
				HINT = 'Trust no figure before the cause is found, such as a share that was changed, or leads that are recorded in one arm only.';
		END IF;
	END IF;

	IF r.n0 > 0 AND r.n1 > 0 THEN
		rate_difference := treatment_rate - control_rate;
		pooled := (r.c0 + r.c1) / (r.n0 + r.n1)::float8;
		rate_p := leadscore_internal.normal_tails(rate_difference / nullif(sqrt(pooled * (1 - pooled) * (1 / r.n0::float8 + 1 / r.n1::float8)), 0));
		error := sqrt(control_rate * (1 - control_rate) / r.n0 + treatment_rate * (1 - treatment_rate) / r.n1);
		rate_low := rate_difference - z * error;
		rate_high := rate_difference + z * error;
		mean_difference := treatment_mean - control_mean;
	END IF;
	-- B. L. Welch, Biometrika 34, 1947
	IF r.n0 > 1 AND r.n1 > 1 AND r.v0 + r.v1 > 0 THEN
		error := sqrt(r.v0 / r.n0 + r.v1 / r.n1);
		degrees := error ^ 4 / ((r.v0 / r.n0)::float8 ^ 2 / (r.n0 - 1) + (r.v1 / r.n1)::float8 ^ 2 / (r.n1 - 1));
		mean_p := leadscore_internal.student_tails(mean_difference / error, degrees);
		mean_low := mean_difference - leadscore_internal.student_bound(0.05::float8, degrees) * error;
		mean_high := mean_difference + leadscore_internal.student_bound(0.05::float8, degrees) * error;
	END IF;
	-- J. L. Fleiss, Statistical Methods for Rates and Proportions, 2nd ed. 1981, with arms of two sizes
	wanted := coalesce(effect, control_rate / 10);
	IF control_rate > 0 AND e.share > 0 AND e.share < 1 AND control_rate + wanted BETWEEN 0 AND 1 THEN
		pooled := control_rate * (1 - e.share) + (control_rate + wanted) * e.share;
		leads_needed := ceil((z * sqrt(pooled * (1 - pooled) / (e.share * (1 - e.share)))
			+ z_power * sqrt(control_rate * (1 - control_rate) / (1 - e.share) + (control_rate + wanted) * (1 - control_rate - wanted) / e.share)) ^ 2 / wanted ^ 2);
		leads_missing := greatest(0, leads_needed - r.n0 - r.n1);
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore.experiment_result(text, text, float8, timestamptz)
	IS 'conversions and revenue of both arms, their differences, how sure they are, how many leads it takes, and how many have a name in each arm';
