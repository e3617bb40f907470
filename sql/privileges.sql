-- privileges.sql: who may do what
--
-- PUBLIC may call what is pure: the type, the core, and the checks of tables.
-- All else is granted: to readers, writers and admins.

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA leadscore FROM PUBLIC;
REVOKE ALL ON ALL PROCEDURES IN SCHEMA leadscore FROM PUBLIC;
GRANT USAGE ON SCHEMA leadscore TO PUBLIC;

DO $$
DECLARE
	function regprocedure;
BEGIN
	FOR function IN
		SELECT p.oid FROM pg_catalog.pg_proc p
		WHERE p.pronamespace = 'leadscore'::pg_catalog.regnamespace
		AND (p.proname LIKE 'timeline\_%'
			OR p.proname LIKE 'stored\_sum%'
			OR p.proname LIKE 'fit\_clv\_%'
			OR p.proname IN ('scorable', 'coarsen', 'appraise', 'next_segment', 'contributions', 'features', 'template', 'templates', 'only',
				'session_number', 'duration', 'month_of', 'month_start', 'check_property', 'check_event', 'check_scorecard', 'check_condition', 'refuse', 'known', 'diff',
				'roc_auc', 'roc_auc_error', 'average_precision', 'ks', 'gains', 'bands', 'fine_bands', 'log_loss', 'brier', 'logistic_regression')
			OR p.oid IN ('leadscore.score(jsonb, leadscore.timeline, jsonb, timestamptz)'::pg_catalog.regprocedure,
				'leadscore.fit_clv(leadscore.timeline, integer, timestamptz, interval)'::pg_catalog.regprocedure,
				'leadscore.clv(leadscore.timeline, jsonb, interval, timestamptz)'::pg_catalog.regprocedure))
	LOOP
		EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO PUBLIC', function);
	END LOOP;
END
$$;

CREATE FUNCTION leadscore.grant_reader(role regrole) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	EXECUTE format('GRANT SELECT ON leadscore.signal, leadscore.model, leadscore.weight, leadscore.category, leadscore.stage,'
		' leadscore.grade, leadscore.segment, leadscore.compaction, leadscore.model_document, leadscore.lead, leadscore.lead_timeline,'
		' leadscore.lead_alias, leadscore.pending_delta, leadscore.changed_lead, leadscore.counted_signal, leadscore.snapshot_state, leadscore.signal_definition,'
		' leadscore.source_trigger, leadscore.source, leadscore.status, leadscore.current_timeline, leadscore.visible_lead, leadscore.lead_score,'
		' leadscore.lead_segment, leadscore.segment_summary, leadscore.model_version, leadscore.experiment, leadscore.watched_model,'
		' leadscore.lead_state, leadscore.segment_change, leadscore.offer,'
		' leadscore.derivation, leadscore.conversion, leadscore.model_conversion,'
		' leadscore.rfm_group, leadscore.spend, leadscore.channel, leadscore.lead_start, leadscore.monthly_figure,'
		' leadscore.sales_cycle, leadscore.funnel, leadscore.attribution, leadscore.crm_state, leadscore.crm_lead TO %s', role);
	EXECUTE format('GRANT SELECT (lead_id) ON leadscore.event TO %s', role);	-- for row-level security in lead_score
	EXECUTE format('GRANT EXECUTE ON FUNCTION leadscore.signals(), leadscore.scorecard(text), leadscore.make_document(text), leadscore.model_named(text),'
		' leadscore.lead_named(text), leadscore.is_visible(text), leadscore.model_cards(), leadscore.served_models(), leadscore.months_since(timestamptz), leadscore.model_stages(), leadscore.stage_signals(), leadscore.touch_signals(), leadscore.children(regclass), leadscore.source_problem(regclass, jsonb), leadscore.split_problem(), leadscore.transition_problem(), leadscore.split_tables(), leadscore.partitions(),'
		' leadscore.column_type(regclass, text), leadscore.property_type(regtype), leadscore.known(text, text[]), leadscore.top(integer, text, timestamptz), leadscore.score(text, text, timestamptz), leadscore.score_by_query(text, text, timestamptz), leadscore.explain(text, text, timestamptz),'
		' leadscore.score_history(text, text, timestamptz, timestamptz, interval), leadscore.rfm_groups(), leadscore.rfm(text[], timestamptz, integer),'
		' leadscore.rfm(text, timestamptz, integer), leadscore.conversion_of(text), leadscore.signals_named(text[]),'
		' leadscore.crm_changes(bigint, integer), leadscore.crm_at(timestamptz), leadscore.crm_reasons(jsonb, leadscore.timeline, jsonb, timestamptz),'
		' leadscore.conversion_id(jsonb, text), leadscore.check_outcome(jsonb, text, interval, timestamptz[], interval),'
		' leadscore.examples(integer, integer, integer, boolean, timestamptz[]),'
		' leadscore.warn_of_censoring(integer, integer, integer, timestamptz[]),'
		' leadscore.outcome(leadscore.timeline, integer, timestamptz, integer, integer),'
		' leadscore.past_score(jsonb, leadscore.timeline, jsonb, timestamptz), leadscore.past_probability(jsonb, leadscore.timeline, jsonb, timestamptz),'
		' leadscore.assess(jsonb, leadscore.timeline, jsonb, timestamptz, boolean),'
		' leadscore.past_features(jsonb, leadscore.timeline, jsonb, timestamptz),'
		' leadscore.past_points(jsonb, leadscore.timeline, jsonb, timestamptz), leadscore.unbounded(jsonb),'
		' leadscore.with_points(jsonb, float8[], float8),'
		' leadscore.fit(jsonb, text, interval, timestamptz[], float8, float8, boolean, float8, interval, boolean, text, boolean),'
		' leadscore.normal_tails(float8), leadscore.student_tails(float8, float8), leadscore.student_bound(float8, float8),'
		' leadscore.profile_values(integer, integer, integer, timestamptz[], integer, boolean), leadscore.with_profile(jsonb, integer, integer, integer, timestamptz[], boolean),'
		' leadscore.profile_report(text, interval, timestamptz[], interval, integer),'
		' leadscore.merge_bands(float8[]), leadscore.likelihood(float8, float8), leadscore.measured_once(jsonb),'
		' leadscore.with_bands(jsonb, integer, integer, integer, boolean, timestamptz[], boolean), leadscore.with_half_lives(jsonb, text[], text),'
		' leadscore.sample_likelihood(jsonb, leadscore.timeline[], jsonb[], timestamptz[], boolean[], float8),'
		' leadscore.learn_decay(jsonb, integer, integer, integer, boolean, timestamptz[], float8, boolean),'
		' leadscore.information_value(float8[], float8, float8),'
		' leadscore.signal_report(jsonb, text, interval, timestamptz[], float8, interval),'
		' leadscore.compare(jsonb, jsonb, text, leadscore.timeline, jsonb, timestamptz), leadscore.with_signal_ids(jsonb),'
		' leadscore.stability_index(float8[], float8, float8), leadscore.preview(jsonb, text, timestamptz),'
		' leadscore.stability_report(text, timestamptz, timestamptz, interval),'
		' leadscore.treated(text, float8, text), leadscore.serving_model(text, text, timestamptz), leadscore.arm(text, text), leadscore.experiment_result(text, text, float8, timestamptz),'
		' leadscore.training_set(jsonb, text, interval, timestamptz[], interval),'
		' leadscore.evaluate(jsonb, text, interval, timestamptz[], interval),'
		' leadscore.lift_table(jsonb, text, interval, timestamptz[], interval),'
		' leadscore.calibration_table(jsonb, text, interval, timestamptz[], interval),'
		' leadscore.check_fit(text, timestamptz), leadscore.fit_clv(text, timestamptz, interval), leadscore.clv(text, jsonb, interval, timestamptz) TO %s', role);
END
$$;

COMMENT ON FUNCTION leadscore.grant_reader(regrole) IS 'lets a role read scores, segments and configuration, as dashboards do';

CREATE FUNCTION leadscore.grant_writer(role regrole) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	EXECUTE format('GRANT INSERT ON leadscore.event TO %s', role);
	EXECUTE format('GRANT SELECT (event_id, dedup_key) ON leadscore.event TO %s', role);	-- RETURNING, ON CONFLICT
	EXECUTE format('GRANT EXECUTE ON FUNCTION leadscore.identify(text, text), leadscore.unidentify(text), leadscore.take_changes(text, integer),'
		' leadscore.acknowledge_changes(text, bigint), leadscore.redeem(text, text, text, numeric) TO %s', role);
END
$$;

COMMENT ON FUNCTION leadscore.grant_writer(regrole) IS 'lets a role insert events and identify visitors, as shop back ends do';

CREATE FUNCTION leadscore.grant_admin(role regrole) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA leadscore TO %s', role);
	-- where policies bind him on lead_timeline, he must not get past them in the tables that it is split into
	IF (SELECT c.relrowsecurity FROM pg_class c WHERE c.oid = 'leadscore.lead_timeline'::regclass) THEN
		EXECUTE (SELECT format('REVOKE ALL ON %s FROM %s', string_agg(t.name::text, ', '), role) FROM leadscore.split_tables() t HAVING count(*) > 0);
	END IF;
	EXECUTE format('GRANT USAGE ON ALL SEQUENCES IN SCHEMA leadscore TO %s', role);
	EXECUTE format('GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA leadscore TO %s', role);
	EXECUTE format('GRANT EXECUTE ON ALL PROCEDURES IN SCHEMA leadscore TO %s', role);
	EXECUTE format('REVOKE EXECUTE ON FUNCTION leadscore.grant_reader(regrole), leadscore.grant_writer(regrole), leadscore.grant_admin(regrole), leadscore.grant_backup(regrole) FROM %s', role);
END
$$;

COMMENT ON FUNCTION leadscore.grant_admin(regrole) IS 'lets a role configure models, track its own tables, rebuild and forget';

CREATE FUNCTION leadscore.grant_backup(role regrole) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	object regclass;
BEGIN
	IF role IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'role is NULL',
			DETAIL = 'There is nobody to grant to.', HINT = 'Name a role.';
	END IF;
	-- what pg_dump reads: the tables and sequences that are part of a dump, and those that lead_timeline is split into
	FOR object IN
		SELECT unnest(x.extconfig) FROM pg_extension x WHERE x.extname = 'leadscore'
		UNION
		SELECT t.name FROM leadscore.split_tables() t
		ORDER BY 1
	LOOP
		EXECUTE format('GRANT SELECT ON %s TO %s', object, role);
	END LOOP;
END
$$;

COMMENT ON FUNCTION leadscore.grant_backup(regrole) IS 'lets a role that is no superuser, such as the owner of the database, dump it with pg_dump';

REVOKE ALL ON FUNCTION leadscore.grant_reader(regrole), leadscore.grant_writer(regrole), leadscore.grant_admin(regrole), leadscore.grant_backup(regrole)
	FROM PUBLIC;

-- Views read with the rights of the user, so that row-level security on our
-- tables holds in them.

DO $$
DECLARE
	view regclass;
BEGIN
	FOR view IN
		SELECT c.oid FROM pg_catalog.pg_class c
		WHERE c.relnamespace = 'leadscore'::pg_catalog.regnamespace AND c.relkind = 'v'
	LOOP
		EXECUTE pg_catalog.format('ALTER VIEW %s SET (security_invoker = true)', view);
	END LOOP;
END
$$;
