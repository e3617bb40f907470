-- privileges.sql: who may do what
--
-- Each function is of one class. PUBLIC may call what is pure: the type, the
-- core, and the checks of tables. Monitors, readers, writers, identifiers, redeemers and
-- admins may call what is listed for them, and what functions that run with
-- their rights call in turn. All else is the owner's: functions of triggers and
-- of aggregates, for which nobody else needs a right, and what SECURITY DEFINER
-- functions call. A function that no list has is so from the start.
-- test/t/037_rights.pl has the lists once more.

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA leadscore, leadscore_internal FROM PUBLIC;
REVOKE ALL ON ALL PROCEDURES IN SCHEMA leadscore, leadscore_internal FROM PUBLIC;
GRANT USAGE ON SCHEMA leadscore, leadscore_internal TO PUBLIC;

-- the type
GRANT EXECUTE ON FUNCTION leadscore_internal.timeline_in(cstring), leadscore_internal.timeline_out(leadscore.timeline), leadscore_internal.timeline_recv(internal),
	leadscore_internal.timeline_send(leadscore.timeline), leadscore_internal.timeline_eq(leadscore.timeline, leadscore.timeline),
	leadscore_internal.timeline_ne(leadscore.timeline, leadscore.timeline), leadscore_internal.timeline_lt(leadscore.timeline, leadscore.timeline),
	leadscore_internal.timeline_le(leadscore.timeline, leadscore.timeline), leadscore_internal.timeline_gt(leadscore.timeline, leadscore.timeline),
	leadscore_internal.timeline_ge(leadscore.timeline, leadscore.timeline), leadscore_internal.timeline_cmp(leadscore.timeline, leadscore.timeline),
	leadscore_internal.timeline_hash(leadscore.timeline),
	leadscore_internal.timeline_hash_extended(leadscore.timeline, bigint), leadscore_internal.timeline_add(leadscore.timeline, leadscore.timeline),
	leadscore_internal.timeline_subtract(leadscore.timeline, leadscore.timeline), leadscore_internal.timeline_plus(leadscore.timeline),
	leadscore_internal.timeline_minus(leadscore.timeline) TO PUBLIC;

-- the core
GRANT EXECUTE ON FUNCTION leadscore.timeline_agg(jsonb, text, timestamptz, numeric, jsonb), leadscore.timeline_sum(leadscore.timeline),
	leadscore.scorable(text, timestamptz, numeric, jsonb), leadscore.timeline_entries(leadscore.timeline),
	leadscore.coarsen(leadscore.timeline, timestamptz), leadscore.coarsen(leadscore.timeline, timestamptz, text), leadscore.timeline_before(leadscore.timeline, timestamptz),
	leadscore.timeline_first_hour(leadscore.timeline, integer, timestamptz, timestamptz), leadscore.timeline_last_hour(leadscore.timeline),
	leadscore_internal.timeline_start(leadscore.timeline), leadscore_internal.timeline_total(leadscore.timeline, integer, timestamptz, timestamptz),
	leadscore.timeline_partition(text, integer),
	leadscore.score(jsonb, leadscore.timeline, jsonb, timestamptz), leadscore.appraise(jsonb, leadscore.timeline, jsonb, timestamptz),
	leadscore.contributions(jsonb, leadscore.timeline, jsonb, timestamptz), leadscore.features(jsonb, leadscore.timeline, jsonb, timestamptz),
	leadscore.next_segment(jsonb, leadscore.timeline, jsonb, timestamptz, text, timestamptz),
	leadscore.template(text), leadscore.templates(), leadscore.diff(jsonb, jsonb),
	leadscore.session_number(timestamptz, interval), leadscore.session_number(timestamp, interval),
	leadscore.fit_clv(leadscore.timeline, integer, timestamptz, interval), leadscore.fit_clv(leadscore.timeline, integer, timestamptz, interval, text), leadscore.clv(leadscore.timeline, jsonb, interval, timestamptz),
	leadscore.roc_auc(float8, boolean), leadscore.roc_auc_error(float8, boolean), leadscore.average_precision(float8, boolean),
	leadscore.ks(float8, boolean), leadscore.log_loss(float8, boolean), leadscore.brier(float8, boolean),
	leadscore.logistic_regression(float8[], boolean, float8, float8[]) TO PUBLIC;

-- what constraints call, and hints: with the rights of the writer
GRANT EXECUTE ON FUNCTION leadscore_internal.check_event(text, text, timestamptz, numeric, jsonb), leadscore_internal.check_condition(jsonpath), leadscore_internal.label_fault(text),
	leadscore_internal.check_scorecard(jsonb), leadscore_internal.is_time_zone(text), leadscore_internal.day_start(timestamptz, text), leadscore_internal.check_duration(text, interval, text), leadscore_internal.duration_hours(text, interval, text),
	leadscore_internal.refuse(text, text, text), leadscore_internal.known(text, text[]), leadscore_internal.our_schemas(), leadscore_internal.read_timestamp(text), leadscore_internal.read_date(text), leadscore_internal.check_part_exists(text, text, text, text, text, text[]),
	leadscore_internal.check_model_exists(text, text), leadscore_internal.subject_named(text, text), leadscore_internal.rule_conditions(jsonb, jsonb, jsonb),
	leadscore_internal.sentence_placeholders(text), leadscore_internal.sentence_filled(jsonb, text, jsonb), leadscore_internal.described(jsonb, jsonb), leadscore_internal.signal_noun(jsonb, text, text), leadscore_internal.signal_in_words(jsonb, jsonb) TO PUBLIC;

CREATE FUNCTION leadscore_internal.check_role(role regrole) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF role IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'the role is NULL',
			DETAIL = 'Rights are granted to a role.', HINT = 'Name one, such as SELECT leadscore.grant_reader(''dashboard'').';
	END IF;
	IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = role) THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('role with OID %s does not exist', role::oid),
			DETAIL = 'Rights are granted to a role.', HINT = 'CREATE ROLE makes one.';
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.check_role(regrole) IS 'refuses roles that do not exist';

CREATE FUNCTION leadscore.grant_monitor(role regrole) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM leadscore_internal.check_role(role);
	EXECUTE format('GRANT SELECT ON leadscore.health, leadscore.progress TO %s', role);
	EXECUTE format('GRANT EXECUTE ON FUNCTION leadscore.metrics(), leadscore_internal.health_checks(), leadscore_internal.samples(),'
		' leadscore_internal.progress_names(integer), leadscore_internal.progress_object(text, oid) TO %s', role);
END
$$;

COMMENT ON FUNCTION leadscore.grant_monitor(regrole) IS 'lets a role read health, progress and metrics(), which name no lead';

CREATE FUNCTION leadscore.grant_reader(role regrole) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM leadscore.grant_monitor(role);
	EXECUTE format('GRANT SELECT ON leadscore.signal, leadscore.model, leadscore.weight, leadscore.category, leadscore.stage,'
		' leadscore.rule, leadscore_internal.signal_use, leadscore.grade, leadscore.segment, leadscore.default_model, leadscore.compaction, leadscore.archive, leadscore_internal.archiving, leadscore.model_document, leadscore.lead, leadscore.lead_timeline,'
		' leadscore.lead_alias, leadscore.pending_delta, leadscore_internal.pending_identity, leadscore_internal.alias_edge, leadscore_internal.alias_path, leadscore_internal.changed_lead, leadscore_internal.counted_signal, leadscore_internal.snapshot_state, leadscore_internal.signal_definition,'
		' leadscore_internal.source_trigger, leadscore.source, leadscore_internal.trigger_set, leadscore_internal.query_table, leadscore.tracked_query, leadscore_internal.distributed_source, leadscore_internal.tracked_placement, leadscore_internal.part_key, leadscore_internal.split_lead, leadscore_internal.split_segment, leadscore_internal.worker, leadscore_internal.own_column, leadscore.known_source, leadscore_internal.known_event_trigger, leadscore_internal.known_collation, leadscore_internal.skipped, leadscore.skipped_row, leadscore_internal.task, leadscore.status, leadscore.current_timeline, leadscore_internal.pending_timeline, leadscore_internal.alias_profile, leadscore.current_profile, leadscore_internal.visible_lead, leadscore_internal.whole_lead, leadscore_internal.served_lead, leadscore.lead_score,'
		' leadscore.lead_segment, leadscore.segment_summary, leadscore.sentence, leadscore_internal.delivered_sentence, leadscore_internal.wording_document, leadscore.model_version, leadscore.experiment, leadscore.watched_model,'
		' leadscore.lead_state, leadscore.segment_change, leadscore.offer, leadscore.excluded_lead,'
		' leadscore.derivation, leadscore.conversion, leadscore_internal.model_conversion,'
		' leadscore.rfm_group, leadscore.spend, leadscore.channel, leadscore.monthly_figure,'
		' leadscore.sales_cycle, leadscore.funnel, leadscore.attribution, leadscore.segment_day, leadscore.rfm_lead, leadscore.rfm_grid,'
		' leadscore.offer_figure, leadscore.experiment_figure, leadscore.model_quality, leadscore_internal.crm_state, leadscore.crm_lead TO %s', role);
	EXECUTE format('GRANT SELECT (lead_id) ON leadscore.event TO %s', role);	-- for row-level security in lead_score
	-- its rows are shown to users to whom no policy on lead applies
	EXECUTE format('GRANT SELECT (lead_id) ON leadscore.pending_profile TO %s', role);
	EXECUTE format('GRANT EXECUTE ON FUNCTION leadscore.signals(), leadscore_internal.hour_text(timestamptz), leadscore.scorecard(text), leadscore_internal.make_document(text), leadscore_internal.model_named(text), leadscore_internal.wording(), leadscore_internal.chosen_language(), leadscore_internal.say(text, jsonb), leadscore.describe(text), leadscore_internal.date_in_words(jsonb, timestamptz),'
		' leadscore_internal.begin_progress(text, oid), leadscore_internal.report_progress(text, text, bigint, bigint), leadscore_internal.end_progress(text),'
		' leadscore_internal.is_excluded(text), leadscore_internal.anybody_excluded(),'
		' leadscore_internal.lead_named(text), leadscore_internal.timeline_of(text), leadscore_internal.has_pending(text), leadscore_internal.check_timelines_seen(), leadscore_internal.with_pending_profile(text, jsonb, boolean), leadscore_internal.stored_profile(text), leadscore_internal.has_only_profile(text), leadscore_internal.alias_profiles(), leadscore_internal.is_visible(text), leadscore_internal.model_cards(), leadscore_internal.served_models(), leadscore_internal.children(regclass), leadscore_internal.source_problem(regclass, jsonb), leadscore_internal.lead_key_problem(regclass, jsonb), leadscore_internal.alias_key_problem(regclass, jsonb), leadscore_internal.event_index_problem(regclass, text), leadscore_internal.index_key(regclass, text), leadscore_internal.reads_one_unique_column(regclass, text), leadscore_internal.has_lead_index(oid, text, boolean), leadscore_internal.split_problem(), leadscore_internal.log_has(text, boolean), leadscore_internal.logged_kinds(text[]), leadscore_internal.signals_waiting(text[]), leadscore_internal.transition_problem(), leadscore_internal.table_problem(), leadscore_internal.known_source_problem(), leadscore_internal.own_problem(), leadscore_internal.collation_version(), leadscore_internal.event_trigger_state(), leadscore_internal.mapped_columns(oid, jsonb), leadscore_internal.keeps_values(text, text), leadscore_internal.family_above(oid[]), leadscore_internal.family_below(oid[]), leadscore_internal.split_tables(), leadscore.partitions(),'
		-- distributed tables, on the coordinator and on its workers
		' leadscore_internal.has_distributed(), leadscore_internal.placements(), leadscore_internal.untracked_shards(), leadscore_internal.cluster_state(), leadscore_internal.worker_rows(), leadscore_internal.ask(text, jsonb),'
		' leadscore_internal.cards_request(text, timestamptz), leadscore_internal.card_for(jsonb, text), leadscore_internal.split_leads(), leadscore_internal.own_profile(text, jsonb), leadscore_internal.joined_profile(jsonb), leadscore_internal.scores_here(jsonb), leadscore_internal.top_here(jsonb),'
		' leadscore_internal.segments_here(jsonb), leadscore_internal.timeline_here(jsonb), leadscore_internal.leads_here(jsonb), leadscore_internal.history_here(jsonb), leadscore_internal.cards_of_history(jsonb),'
		' leadscore.distributed_leads(float8), leadscore.distributed_segment_history(text, timestamptz, timestamptz, interval), leadscore.distributed_score(text, text, timestamptz), leadscore.distributed_scores(text, timestamptz),'
		' leadscore.distributed_top(integer, text, timestamptz), leadscore.distributed_segments(text, timestamptz),'
		' leadscore_internal.summary_here(jsonb), leadscore_internal.snapshot_here(jsonb), leadscore.distributed_segment_summary(), leadscore.distributed_segment_leads(text, integer, text),'
		' leadscore_internal.joined_leads(), leadscore_internal.whole_buyers_here(jsonb), leadscore.distributed_rfm(text, timestamptz, integer),'
		' leadscore_internal.assess_part(jsonb, leadscore.timeline, jsonb, timestamptz, boolean), leadscore_internal.assess_parts(bytea), leadscore_internal.tallies(bigint[]), leadscore_internal.assess_here(jsonb), leadscore_internal.end_here(jsonb),'
		' leadscore_internal.filtered_names(text, text[], jsonb[]), leadscore_internal.assessed_everywhere(jsonb, leadscore_internal.question), leadscore_internal.evaluation(leadscore_internal.assessment),'
		' leadscore.distributed_evaluate(jsonb, text, interval, timestamptz[], interval, boolean, interval, text),'
		' leadscore_internal.compare_part(jsonb, jsonb, text, leadscore.timeline, jsonb, timestamptz), leadscore_internal.compare_parts(bytea), leadscore_internal.compare_here(jsonb), leadscore_internal.check_preview(jsonb, text, timestamptz),'
		' leadscore_internal.comparison_rows(jsonb, jsonb, leadscore_internal.comparison), leadscore_internal.vouchers_here(jsonb), leadscore_internal.vouchers_of_split_leads(jsonb, text, timestamptz), leadscore.distributed_preview(jsonb, text, timestamptz),'
		' leadscore_internal.fit_clv_part(leadscore.timeline, integer, timestamptz, interval, text), leadscore_internal.fit_clv_parts(bytea), leadscore_internal.fit_clv_here(jsonb), leadscore.distributed_fit_clv(text, timestamptz, interval),'
		' leadscore_internal.column_type(regclass, text), leadscore_internal.has_column(oid, text), leadscore_internal.looks_like_name(text), leadscore_internal.is_term_for_column(oid, text), leadscore_internal.term_type(regclass, text, text), leadscore_internal.property_value(oid, text), leadscore_internal.property_name(oid, text), leadscore_internal.terms(oid, jsonb), leadscore_internal.expression_type(regclass, text, text), leadscore_internal.expression_columns(text), leadscore_internal.expression_has_index(oid, text, boolean), leadscore_internal.hint_of_future(regclass, text), leadscore_internal.property_type(regtype), leadscore_internal.trigger_mapping(bytea), leadscore.top(integer, text, timestamptz), leadscore.score(text, text, timestamptz), leadscore_internal.score_by_query(text, text, timestamptz), leadscore.explain(text, text, timestamptz),'
		' leadscore.score(bigint, text, timestamptz), leadscore.score(uuid, text, timestamptz), leadscore.explain(bigint, text, timestamptz), leadscore.explain(uuid, text, timestamptz),'
		' leadscore.segment_history(text, timestamptz, timestamptz, interval), leadscore.segment_flow(text, timestamptz, timestamptz), leadscore_internal.check_span(text, timestamptz, timestamptz),'
		' leadscore_internal.instants(timestamptz, timestamptz, interval, text), leadscore_internal.serving_cards(text, timestamptz[]), leadscore_internal.card_segments(jsonb),'
		' leadscore_internal.segment_counts(text, timestamptz[]), leadscore_internal.census(jsonb, leadscore.timeline, jsonb, timestamptz[]),'
		' leadscore.score_history(text, text, timestamptz, timestamptz, interval), leadscore.score_change(text, interval, timestamptz),'
		' leadscore.explain_change(text, text, timestamptz, timestamptz), leadscore.explain_change(bigint, text, timestamptz, timestamptz), leadscore.explain_change(uuid, text, timestamptz, timestamptz),'
		' leadscore_internal.score_lines(jsonb, leadscore.timeline, jsonb, timestamptz, jsonb), leadscore_internal.events_of_change(jsonb, jsonb, leadscore.timeline, timestamptz, timestamptz),'
		' leadscore_internal.weight_change(jsonb, jsonb, jsonb, jsonb, jsonb, jsonb), leadscore_internal.change_in_words(jsonb, leadscore.timeline, timestamptz, timestamptz, jsonb, jsonb, jsonb), leadscore_internal.weights_in_words(jsonb, jsonb),'
		' leadscore.percentile_rank(text, text, timestamptz), leadscore.percentile_rank(bigint, text, timestamptz), leadscore.percentile_rank(uuid, text, timestamptz), leadscore.rfm_groups(), leadscore.rfm(text[], timestamptz, integer),'
		' leadscore.rfm(text, timestamptz, integer), leadscore_internal.conversion_of(text), leadscore_internal.bought(leadscore.timeline, integer[], timestamptz), leadscore_internal.tile_shares(bigint, integer), leadscore_internal.buyers_here(integer[], timestamptz), leadscore_internal.buyers_of_workers(integer[], timestamptz), leadscore_internal.rfm_tiles(integer[], timestamptz, integer, interval[], bigint[], numeric[], boolean),'
		' leadscore_internal.rfm_checked(text[], timestamptz, integer, interval[], bigint[], numeric[], boolean), leadscore_internal.signals_named(text[]),'
		' leadscore.crm_changes(bigint, integer), leadscore_internal.crm_appraise(text, leadscore.timeline, jsonb, timestamptz), leadscore_internal.crm_score(text, leadscore.timeline, jsonb, timestamptz, float8, leadscore_internal.crm_state), leadscore_internal.crm_stays(text, leadscore.timeline, jsonb, timestamptz, float8, leadscore_internal.crm_state), leadscore_internal.crm_row(text, leadscore.timeline, jsonb, timestamptz), leadscore_internal.crm_reasons(jsonb, leadscore.timeline, jsonb, timestamptz, jsonb), leadscore_internal.crm_reasons(text, leadscore.timeline, jsonb, timestamptz, jsonb), leadscore_internal.explained(jsonb, leadscore.timeline, jsonb, timestamptz, jsonb),'
		' leadscore_internal.conversion_id(jsonb, text), leadscore_internal.check_lead_filter(text), leadscore_internal.check_cutoffs(timestamptz[], interval, integer), leadscore_internal.check_outcome(jsonb, text, interval, timestamptz[], interval, boolean, interval, text),'
		' leadscore_internal.pasts(boolean, boolean), leadscore_internal.filtered_leads(text, boolean), leadscore_internal.takes_part(text, integer, float8), leadscore_internal.outcomes_at(leadscore_internal.question, leadscore.timeline), leadscore_internal.pasts_at(leadscore_internal.question), leadscore_internal.examples(leadscore_internal.question),'
		' leadscore_internal.is_midnight(timestamptz, text), leadscore_internal.end_of(timestamptz, boolean), leadscore_internal.data_end(), leadscore_internal.tally(bigint),'
		' leadscore_internal.warn_of_censoring(leadscore_internal.question), leadscore_internal.warn_of_censoring(leadscore_internal.question, timestamptz, bigint, bigint[]), leadscore_internal.assessed(jsonb, leadscore_internal.question),'
		' leadscore_internal.outcome(leadscore.timeline, integer, timestamptz, integer, integer),'
		' leadscore_internal.past_score(jsonb, leadscore.timeline, jsonb, timestamptz), leadscore_internal.past_probability(jsonb, leadscore.timeline, jsonb, timestamptz),'
		' leadscore_internal.assess(jsonb, leadscore.timeline, jsonb, timestamptz, boolean),'
		' leadscore_internal.past_features(jsonb, leadscore.timeline, jsonb, timestamptz), leadscore_internal.past_measures(jsonb, leadscore.timeline, jsonb, timestamptz), leadscore_internal.tally_measures(float8[], boolean),'
		' leadscore_internal.past_points(jsonb, leadscore.timeline, jsonb, timestamptz), leadscore_internal.compacted_day(timestamptz), leadscore_internal.unbounded(jsonb), leadscore_internal.card_terms(jsonb), leadscore_internal.rounded(float8, float8),'
		' leadscore_internal.with_points(jsonb, float8[], float8),'
		' leadscore.fit(jsonb, text, interval, timestamptz[], float8, float8, boolean, float8, interval, boolean, text, boolean, boolean, interval, text, integer, integer),'
		' leadscore_internal.check_fitting(float8, float8, float8, text, integer, integer), leadscore_internal.fit_points(leadscore_internal.question, jsonb, jsonb, float8, float8[], float8[], integer), leadscore_internal.judge_points(leadscore_internal.question, jsonb, jsonb, jsonb, float8), leadscore_internal.with_coefficients(jsonb, leadscore.regression, float8, float8), leadscore_internal.report_terms(jsonb, jsonb, jsonb, leadscore.regression),'
		' leadscore_internal.short_regression(float8[], boolean, float8, float8[], integer), leadscore_internal.held_out_loss(float8[], boolean, boolean, float8[], float8[]),'
		' leadscore_internal.is_proposed(text, text), leadscore_internal.is_proposed_rule(jsonb, jsonb), leadscore_internal.without_unused(jsonb), leadscore_internal.without_fitted(jsonb, boolean, boolean), leadscore_internal.without_dropped(jsonb, boolean),'
		' leadscore_internal.pair_measures(jsonb), leadscore_internal.with_pairs(jsonb, leadscore_internal.question, text, integer), leadscore_internal.proposed_name(text), leadscore_internal.profile_test(jsonb), leadscore_internal.profile_test_signals(jsonb), leadscore_internal.learned_document(jsonb, jsonb, jsonb, text),'
		' leadscore_internal.learn(jsonb, leadscore.timeline, jsonb, timestamptz, boolean, bigint, float8, integer, integer, float8, integer, float8, boolean),'
		' leadscore_internal.chosen_card(jsonb, leadscore_internal.question, text, float8, boolean, boolean, text, integer), leadscore_internal.wanted_signs(jsonb), leadscore_internal.sample_for_choices(leadscore_internal.question),'
		' leadscore_internal.cross_validated(jsonb, leadscore_internal.question, text, float8[], boolean, boolean, boolean, text, integer), leadscore_internal.choose(jsonb, leadscore_internal.question, text, boolean, boolean, float8, boolean, text, integer),'
		' leadscore_internal.stored_sum(leadscore.timeline),'
		' leadscore_internal.gains(float8, boolean), leadscore_internal.bands(float8, boolean), leadscore_internal.fine_bands(float8, boolean),'
		' leadscore_internal.normal_tails(float8), leadscore_internal.student_tails(float8, float8), leadscore_internal.student_bound(float8, float8),'
		' leadscore_internal.profile_values(leadscore_internal.question, integer), leadscore_internal.with_profile(jsonb, leadscore_internal.question),'
		' leadscore.profile_report(text, interval, timestamptz[], interval, integer),'
		' leadscore_internal.merge_bands(float8[]), leadscore_internal.likelihood(float8, float8), leadscore_internal.measured_once(jsonb),'
		' leadscore_internal.with_bands(jsonb, leadscore_internal.question), leadscore_internal.with_half_lives(jsonb, text[], text),'
		' leadscore_internal.sample_likelihood(jsonb, leadscore.timeline[], jsonb[], timestamptz[], boolean[], float8),'
		' leadscore_internal.learn_decay(jsonb, leadscore_internal.question, float8),'
		' leadscore_internal.information_value(float8[], float8, float8),'
		' leadscore.signal_report(jsonb, text, interval, timestamptz[], float8, interval),'
		' leadscore_internal.compare(jsonb, jsonb, text, leadscore.timeline, jsonb, timestamptz), leadscore_internal.with_signal_ids(jsonb), leadscore_internal.document_signals(jsonb), leadscore_internal.tell_of_uncounted(jsonb),'
		' leadscore_internal.stability_index(float8[], float8, float8), leadscore.preview(jsonb, text, timestamptz), leadscore_internal.voucher_preview(jsonb, text, timestamptz), leadscore_internal.vouchers_due(text, text[], timestamptz, jsonb[]), leadscore_internal.vouchers_for_entering(text, timestamptz, text[], text[], jsonb[]),'
		' leadscore.segment_limits(jsonb, jsonb, timestamptz), leadscore_internal.score_limit(jsonb, text, bigint, timestamptz), leadscore_internal.has_limit(jsonb),'
		' leadscore_internal.check_shares(jsonb, text[]), leadscore_internal.shares_today(jsonb, timestamptz),'
		' leadscore.stability_report(text, timestamptz, timestamptz, interval, float8),'
		' leadscore_internal.anybody_forgotten(), leadscore_internal.came_again(text), leadscore_internal.treated(text, float8, text), leadscore_internal.is_running(timestamptz, timestamptz, timestamptz), leadscore_internal.serving_model(text, text, timestamptz), leadscore_internal.cards_at(text, timestamptz), leadscore.arm(text, text), leadscore.experiment_result(text, text, float8, timestamptz),'
		' leadscore.training_set(jsonb, text, interval, timestamptz[], interval, boolean, interval, text),'
		' leadscore.evaluate(jsonb, text, interval, timestamptz[], interval, boolean, interval, text),'
		' leadscore.lift_table(jsonb, text, interval, timestamptz[], interval, boolean, interval, text),'
		' leadscore.calibration_table(jsonb, text, interval, timestamptz[], interval, boolean, interval, text),'
		' leadscore_internal.check_fit(text, timestamptz), leadscore_internal.default_time_zone(), leadscore.fit_clv(text, timestamptz, interval), leadscore.clv(text, jsonb, interval, timestamptz), leadscore_internal.not_a_timeline(text) TO %s', role);
END
$$;

COMMENT ON FUNCTION leadscore.grant_reader(regrole) IS 'lets a role read scores, segments and configuration, as dashboards do';

CREATE FUNCTION leadscore.grant_writer(role regrole) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM leadscore_internal.check_role(role);
	EXECUTE format('GRANT INSERT ON leadscore.event TO %s', role);
	EXECUTE format('GRANT SELECT (event_id, dedup_key) ON leadscore.event TO %s', role);	-- RETURNING, ON CONFLICT
	EXECUTE format('GRANT EXECUTE ON FUNCTION leadscore.take_changes(text, integer), leadscore.acknowledge_changes(text, bigint) TO %s', role);
END
$$;

COMMENT ON FUNCTION leadscore.grant_writer(regrole) IS 'lets a role insert events and take changes, as trackers and workers do';

CREATE FUNCTION leadscore.grant_identifier(role regrole) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM leadscore_internal.check_role(role);
	EXECUTE format('GRANT EXECUTE ON FUNCTION leadscore.identify(text, text), leadscore.identify(text[], text[]), leadscore.unidentify(text) TO %s', role);
END
$$;

COMMENT ON FUNCTION leadscore.grant_identifier(regrole) IS 'lets a role identify visitors as any lead: for servers that log customers in';

CREATE FUNCTION leadscore.grant_redeemer(role regrole) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM leadscore_internal.check_role(role);
	EXECUTE format('GRANT EXECUTE ON FUNCTION leadscore.redeem(text, text, text, numeric), leadscore.unredeem(text, text) TO %s', role);
END
$$;

COMMENT ON FUNCTION leadscore.grant_redeemer(regrole) IS 'lets a role redeem vouchers, and undo it: for servers that take orders';

CREATE FUNCTION leadscore.grant_admin(role regrole) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM leadscore.grant_reader(role), leadscore.grant_writer(role), leadscore.grant_identifier(role), leadscore.grant_redeemer(role);
	-- what a person edits, and what functions change that run with his rights
	EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON leadscore.signal, leadscore.model, leadscore.weight, leadscore.category, leadscore.stage,'
		' leadscore.rule, leadscore.grade, leadscore.segment, leadscore.default_model, leadscore.compaction, leadscore.archive, leadscore_internal.archiving, leadscore_internal.timeline_base, leadscore_internal.archived_event, leadscore.sentence, leadscore.model_version, leadscore.experiment, leadscore.event, leadscore.lead, leadscore.excluded_lead,'
		' leadscore.derivation, leadscore.conversion, leadscore.rfm_group, leadscore.spend, leadscore.channel, leadscore.offer,'
		' leadscore.voucher, leadscore_internal.changed_lead, leadscore.derived_event, leadscore_internal.derivation_due, leadscore_internal.derivation_state,'
		' leadscore_internal.crm_state, leadscore_internal.pending_identity, leadscore_internal.parted_lead, leadscore.watched_model, leadscore.lead_state, leadscore.segment_change, leadscore.change_consumer TO %s', role);
	-- (what a rebuild, or refresh_figures(), brings again)
	EXECUTE format('GRANT DELETE ON leadscore.lead_timeline, leadscore.known_source, leadscore.segment_day, leadscore.model_quality, leadscore.rfm_lead, leadscore_internal.split_lead, leadscore_internal.split_segment TO %s', role);
	EXECUTE format('GRANT SELECT, DELETE ON leadscore.pending_profile, leadscore_internal.seen_profile, leadscore_internal.voucher_order TO %s', role);
	EXECUTE format('GRANT SELECT ON leadscore_internal.tombstone, leadscore_internal.offer_slot, leadscore_internal.offer_money, leadscore_internal.offer_stop, leadscore_internal.change_clock, leadscore_internal.event_partitioning TO %s', role);
	EXECUTE format('GRANT USAGE ON SEQUENCE leadscore.weight_weight_id_seq, leadscore_internal.crm_change_id_seq TO %s', role);
	EXECUTE format('GRANT EXECUTE ON FUNCTION leadscore.publish(jsonb, boolean), leadscore_internal.check_redefined(jsonb), leadscore_internal.keep_version(text, jsonb), leadscore.set_default_model(text), leadscore.restore_version(text, integer, boolean), leadscore_internal.keep_documents(text[]), leadscore_internal.keep_wordings(),'
		-- what is probably not meant
		' leadscore.lint(text), leadscore_internal.tell_of_findings(text), leadscore_internal.document_findings(jsonb), leadscore_internal.lint_weights(jsonb), leadscore_internal.lint_caps(jsonb),'
		' leadscore_internal.lint_segments(jsonb), leadscore_internal.lint_signals(jsonb), leadscore_internal.document_weights(jsonb), leadscore_internal.document_categories(jsonb),'
		' leadscore_internal.document_rules(jsonb), leadscore_internal.document_segments(jsonb), leadscore_internal.highest_sums(jsonb), leadscore_internal.lint_crm_step(jsonb), leadscore_internal.signals_never_met(jsonb), leadscore_internal.signals_unmet(integer[], bigint), leadscore_internal.profile_signals_unmet(jsonb[], bigint),'
		' leadscore_internal.why_never(text, text, jsonb, jsonpath), leadscore_internal.properties_asked(jsonb, jsonpath), leadscore_internal.property_types(text, text),'
		-- tracking
		' leadscore.track(regclass, text, text, text, text, text, text[], text, text, boolean), leadscore_internal.checked_mapping(text, regclass, text, text, text, text, text, text[], text, text, boolean), leadscore_internal.checked_profile_mapping(text, regclass, text, text[], text, text), leadscore_internal.is_distributed(regclass), leadscore_internal.check_not_distributed(regclass), leadscore_internal.end_distribution(regclass, text), leadscore_internal.tell_of_size(regclass), leadscore_internal.add_past(regclass, jsonb), leadscore_internal.tell_of_column(regclass, text), leadscore_internal.equal_may_differ(regclass, text), leadscore_internal.merge_duplicates(), leadscore.track_profile(regclass, text, text[], text, text), leadscore_internal.is_ordered(regtype),'
		' leadscore.track_query(text, text, text[]), leadscore_internal.qualified_query(text), leadscore_internal.make_query_table(text, name, text, text[]), leadscore_internal.check_query_key(regclass, text[]),'
		' leadscore_internal.note_query(oid, text, text[]), leadscore_internal.query_of(oid), leadscore_internal.query_named(text, regclass), leadscore_internal.refresh_query(oid, boolean), leadscore_internal.query_failed(oid, text, text, text),'
		' leadscore.untrack(regclass, text),  leadscore_internal.check_source(regclass), leadscore_internal.check_properties(regclass, text[]), leadscore.forget_skipped(regclass), leadscore_internal.forget_skipped(oid), leadscore_internal.attributes(regclass, text[]), leadscore_internal.tell_of_attributes(regclass, text[]),'
		' leadscore_internal.begin_tracking(regclass, jsonb, text), leadscore_internal.end_tracking(regclass, text[], jsonb), leadscore_internal.check_children(oid[]),'
		' leadscore.retrack(regclass), leadscore_internal.check_mapping(regclass, jsonb), leadscore_internal.repair_triggers(regclass, jsonb), leadscore_internal.rename_source(regclass), leadscore_internal.replace_source(oid),'
		' leadscore_internal.look_at_source(regclass), leadscore_internal.note_due(oid, text), leadscore_internal.forget_mapping(oid, text, jsonb), leadscore_internal.drop_trigger_sets(regclass, jsonb, text),'
		' leadscore_internal.present_mappings(oid), leadscore_internal.sources_due(), leadscore_internal.sources_counted(jsonb), leadscore_internal.create_triggers(regclass, jsonb, text), leadscore_internal.drop_triggers(regclass, text),'
		' leadscore.record(), leadscore.record_profile(), leadscore.record_alias(), leadscore_internal.trigger_function(text), leadscore_internal.add_source(regclass, jsonb, boolean, boolean),'
		' leadscore.track_alias(regclass, text, text, text, text), leadscore_internal.check_event_index(regclass, text),'
		' leadscore_internal.add_aliases(regclass, jsonb, boolean, boolean), leadscore_internal.alias_rows(regclass, jsonb), leadscore_internal.lock_alias_sources(),'
		' leadscore_internal.said_edges(), leadscore_internal.edge_differences(), leadscore_internal.alias_closure(boolean), leadscore_internal.unsettled_names(), leadscore_internal.aliases_differ(),'
		' leadscore_internal.apply_edges(text[], text[], text[], bigint[]), leadscore_internal.correct_edges(),'
		' leadscore_internal.add_profiles(regclass, jsonb, boolean, boolean), leadscore_internal.note_everybody(),'
		-- sources, read whole: each looks at the rights of the caller
		' leadscore_internal.lock_sources(), leadscore_internal.lock_source(regclass), leadscore_internal.source_timelines(text[], jsonb, boolean),'
		' leadscore_internal.gather(regclass[], jsonb[], jsonb, text[], text[], integer, integer), leadscore_internal.gather_alone(regclass[], jsonb[], jsonb, text[], text[], integer, integer), leadscore_internal.has_expression(oid, jsonb), leadscore_internal.gather_parts(regclass[]), leadscore_internal.rows_estimated(regclass[]),'
		' leadscore_internal.source_events(regclass[], jsonb[], text[], text[]), leadscore_internal.log_events(text[]),'
		' leadscore_internal.row_condition(regclass, jsonb, boolean, boolean), leadscore_internal.term_condition(regclass, text, text), leadscore_internal.column_text(regclass, text),'
		' leadscore_internal.difference(leadscore.timeline, leadscore.timeline), leadscore_internal.only(leadscore.timeline, integer[]),'
		-- learning from all events
		' leadscore.propose(text, interval, timestamptz[], text, interval, boolean, interval, boolean, boolean, integer, text, integer), leadscore_internal.proposed(text, interval, timestamptz[], text, interval, boolean, interval, boolean, boolean, integer, text, integer, float8), leadscore_internal.fresh_signals(float8), leadscore_internal.data_range(jsonb),'
		' leadscore_internal.event_counts(bigint, float8, jsonb), leadscore_internal.event_counts_here(jsonb), leadscore_internal.event_counts_of_workers(bigint, float8), leadscore_internal.fresh_timelines_here(jsonb), leadscore_internal.fresh_timelines_of_workers(jsonb),'
		' leadscore_internal.fresh_timelines(jsonb), leadscore_internal.fresh_pasts(jsonb, boolean, text), leadscore_internal.fresh_examples(leadscore_internal.question, jsonb), leadscore_internal.measures_document(jsonb, interval), leadscore_internal.without_proposed(jsonb),'
		' leadscore_internal.report_text(text, interval, jsonb, jsonb), leadscore_internal.with_segments(jsonb, jsonb, timestamptz),'
		-- maintenance
		' leadscore.verify(), leadscore_internal.verify_workers(), leadscore_internal.verify_here(jsonb), leadscore_internal.on_workers(text), leadscore.fold(bigint), leadscore_internal.check_not_running(text), leadscore_internal.postpone_rebuild(text[], text[]), leadscore.partition_timelines(integer), leadscore.partition_events(interval, interval), leadscore_internal.find_corrections(text[], jsonb), leadscore_internal.leads_named(text[]),'
		' leadscore_internal.apply_corrections(bigint, bigint), leadscore_internal.add_deltas(text[], leadscore.timeline[]), leadscore_internal.find_hours(),'
		' leadscore_internal.check_before(timestamptz, text, text, text, text), leadscore_internal.check_archive(timestamptz), leadscore_internal.begin_archive(timestamptz), leadscore_internal.keep_base(timestamptz), leadscore_internal.keep_last_events(timestamptz), leadscore_internal.tell_of_unaccounted(bigint), leadscore_internal.forget_base(text[]), leadscore_internal.drop_former_base(),'
		' leadscore_internal.counted(leadscore.timeline, jsonb),'
		' leadscore_internal.event_tables(), leadscore_internal.event_bounds(timestamptz), leadscore_internal.event_blocks(), leadscore_internal.archive_for(timestamptz), leadscore_internal.prepare_move(timestamptz),'
		' leadscore_internal.wait_for_readers(), leadscore_internal.move_rows(bigint, bigint, timestamptz), leadscore_internal.delete_archived_rows(bigint, bigint, timestamptz), leadscore_internal.drop_event_table(regclass, timestamptz),'
		' leadscore_internal.compaction_zone(text), leadscore_internal.check_compaction(timestamptz, text), leadscore_internal.begin_compaction(timestamptz, text), leadscore_internal.compaction_finished(),'
		' leadscore_internal.signal_definitions(text[]), leadscore_internal.signals_counted(jsonb), leadscore_internal.in_transaction_block(), leadscore_internal.refuse_block(text), leadscore_internal.wait_for_writers(), leadscore_internal.writers(regclass), leadscore_internal.rebuilders(bigint), leadscore_internal.transaction_name(integer, text), leadscore_internal.wait_for_partings(), leadscore_internal.take_parted(),'
		' leadscore_internal.lock_rebuild(boolean), leadscore_internal.unlock_rebuild(), leadscore_internal.check_read_committed(text, text),'
		-- identities and what follows from events
		' leadscore.everything_about(text), leadscore_internal.person_tables(), leadscore_internal.row_as_json(regclass), leadscore_internal.rows_of_person(regclass, text, text[]),'
		' leadscore_internal.scores_of_person(text), leadscore_internal.timeline_of_person(text), leadscore_internal.names_of(text), leadscore_internal.forgotten_at(text[]),'
		' leadscore_internal.leave_tombstones(text[]), leadscore_internal.keeps_tombstones(), leadscore.drop_tombstone(text), leadscore.prune_tombstones(timestamptz),'
		' leadscore.forget(text, boolean), leadscore_internal.forget_on_workers(text, boolean), leadscore_internal.forget_here(jsonb), leadscore_internal.shard_of(regclass, bigint), leadscore_internal.begin_sending(), leadscore_internal.count_rows(regclass, jsonb, text[]), leadscore_internal.find_rows(regclass, jsonb, text[]), leadscore_internal.delete_rows(regclass, text, text[]), leadscore_internal.delete_free_rows(regclass, text, text[]), leadscore_internal.check_lead_id(text, text), leadscore_internal.lock_person(text), leadscore_internal.lock_vouchers(text, text[]),'
		' leadscore_internal.try_unidentify(text), leadscore_internal.fold_leads(text[]), leadscore_internal.rebuild_is_at_work(), leadscore_internal.lock_derivations(),'
		' leadscore_internal.lock_crm_numbers(), leadscore_internal.lock_figures(), leadscore.derive(timestamptz, boolean), leadscore_internal.are_all_due(timestamptz, boolean), leadscore_internal.derive_once(timestamptz, boolean), leadscore_internal.wait_for_rules(), leadscore_internal.duration(interval),'
		' leadscore.affinity(text, timestamptz, interval, text[], float8), leadscore.make_signals(text, text, integer),'
		' leadscore_internal.check_property(text, integer), leadscore_internal.check_kinds(text[]), leadscore.refresh_crm(), leadscore_internal.refresh_crm_at(timestamptz), leadscore.crm_forget(bigint),'
		-- scores, transitions and offers
		' leadscore.refresh_segments(boolean), leadscore_internal.refresh_here(boolean), leadscore_internal.refresh_split_segments(), leadscore_internal.check_no_leads(), leadscore_internal.hand_over_states(text[]), leadscore_internal.borrow_split_leads(), leadscore_internal.return_split_leads(text[]), leadscore.refresh_figures(), leadscore.unwatch(text), leadscore_internal.begin_watching(text, boolean), leadscore_internal.finish_watching(text, jsonb), leadscore_internal.end_watching(text),'
		' leadscore_internal.leads_to_see(text, integer), leadscore_internal.see_written(), leadscore_internal.see_batch(text[], text, boolean), leadscore.drop_consumer(text),'
		' leadscore_internal.watched_documents(), leadscore_internal.look_completed(jsonb), leadscore.prune_changes(timestamptz), leadscore.expire_vouchers(), leadscore.offer_result(text, text), leadscore_internal.money(numeric, text),'
		' leadscore_internal.to_unit(numeric, numeric), leadscore_internal.offer_named(text), leadscore_internal.check_offer_gone(text), leadscore_internal.check_counted(leadscore.offer), leadscore_internal.voucher_key(text, text), leadscore.issue_offer(text, integer),'
		' leadscore.resume_offer(text), leadscore.revoke_vouchers(text, timestamptz),'
		' leadscore_internal.in_restore(), leadscore.schedule(interval), leadscore.unschedule(), leadscore.prune_runs(interval), leadscore_internal.has_cron(), leadscore_internal.job_problem(), leadscore_internal.jobs(), leadscore_internal.cron_line(interval), leadscore_internal.note_scheduled(bigint),'
		' leadscore_internal.shell_word(text) TO %s', role);
	EXECUTE format('GRANT EXECUTE ON PROCEDURE leadscore.refresh_queries(text), leadscore.rebuild(text[], text[]), leadscore.compact(timestamptz, text), leadscore.archive(timestamptz), leadscore.move_events(timestamptz), leadscore.watch(text, boolean),'
		' leadscore.see_changes(), leadscore_internal.look(text), leadscore_internal.add_corrections(text, bigint, boolean), leadscore_internal.correct_parted(text, jsonb, boolean) TO %s', role);
END
$$;

COMMENT ON FUNCTION leadscore.grant_admin(regrole) IS 'lets a role configure models, track its own tables, rebuild and forget, and do what the other roles can';

CREATE FUNCTION leadscore.grant_backup(role regrole) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	object regclass;
BEGIN
	PERFORM leadscore_internal.check_role(role);
	-- what pg_dump reads: the tables and sequences that are part of a dump, and those that lead_timeline, the base
	-- and event are split into
	FOR object IN
		SELECT unnest(x.extconfig) FROM pg_extension x WHERE x.extname = 'leadscore'
		UNION
		SELECT t.name FROM leadscore_internal.split_tables() t
		UNION
		SELECT b.name FROM leadscore_internal.base_tables() b
		UNION
		SELECT e.name FROM leadscore_internal.event_tables() e
		ORDER BY 1
	LOOP
		EXECUTE format('GRANT SELECT ON %s TO %s', object, role);
	END LOOP;
END
$$;

COMMENT ON FUNCTION leadscore.grant_backup(regrole) IS 'lets a role that is not a superuser run pg_dump';

REVOKE ALL ON FUNCTION leadscore_internal.check_role(regrole), leadscore.grant_monitor(regrole), leadscore.grant_reader(regrole), leadscore.grant_writer(regrole), leadscore.grant_identifier(regrole),
	leadscore.grant_redeemer(regrole), leadscore.grant_admin(regrole), leadscore.grant_backup(regrole) FROM PUBLIC;

-- Views read with the rights of the user, so that row-level security on our
-- tables holds in them.

DO $$
DECLARE
	view regclass;
BEGIN
	FOR view IN
		SELECT c.oid FROM pg_catalog.pg_class c
		WHERE c.relnamespace OPERATOR(pg_catalog.=) ANY (leadscore_internal.our_schemas()) AND c.relkind = 'v'
	LOOP
		EXECUTE pg_catalog.format('ALTER VIEW %s SET (security_invoker = true)', view);
	END LOOP;
END
$$;

-- What our tables are made with: see own_problem().

INSERT INTO leadscore_internal.own_column (table_name, column_name)
SELECT c.relname, a.attname
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) c.oid
WHERE c.relnamespace OPERATOR(pg_catalog.=) ANY (leadscore_internal.our_schemas()) AND c.relkind OPERATOR(pg_catalog.=) 'r'
AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped;

-- Parallel workers of pg_restore load our tables in any order, whatever refers to whatever. So in a restore by a
-- superuser, who may do so anyway, references are left unchecked, and row triggers of configuration do not fire.

CREATE FUNCTION leadscore_internal.leave_references() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF TG_WHEN = 'AFTER' THEN
		IF current_setting('leadscore.references_left', true) = 'on' THEN
			PERFORM set_config('session_replication_role', 'origin', true), set_config('leadscore.references_left', 'off', true);
		END IF;
	ELSIF leadscore_internal.in_restore() AND (SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = current_user) THEN
		PERFORM set_config('session_replication_role', 'replica', true), set_config('leadscore.references_left', 'on', true);
	END IF;
	RETURN NULL;
END
$$;

COMMENT ON FUNCTION leadscore_internal.leave_references() IS 'trigger: in a restore, rows are not checked against tables that may come later';

REVOKE ALL ON FUNCTION leadscore_internal.leave_references() FROM PUBLIC;

DO $$
DECLARE
	referring regclass;
BEGIN
	FOR referring IN
		SELECT DISTINCT k.conrelid FROM pg_catalog.pg_constraint k
		WHERE k.connamespace OPERATOR(pg_catalog.=) ANY (leadscore_internal.our_schemas()) AND k.contype OPERATOR(pg_catalog.=) 'f'
	LOOP
		EXECUTE pg_catalog.format('CREATE TRIGGER a_leave_references BEFORE INSERT ON %s FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.leave_references()', referring);
		EXECUTE pg_catalog.format('CREATE TRIGGER z_mind_references AFTER INSERT ON %s FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.leave_references()', referring);
		EXECUTE pg_catalog.format('ALTER TABLE %s ENABLE ALWAYS TRIGGER z_mind_references', referring);
	END LOOP;
END
$$;

-- A publication of all tables could not update or delete where there is no key.

DO $$
DECLARE
	keyless regclass;
BEGIN
	FOR keyless IN
		SELECT c.oid FROM pg_catalog.pg_class c
		WHERE c.relnamespace OPERATOR(pg_catalog.=) ANY (leadscore_internal.our_schemas()) AND c.relkind OPERATOR(pg_catalog.=) 'r'
		AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conrelid OPERATOR(pg_catalog.=) c.oid AND k.contype OPERATOR(pg_catalog.=) 'p')
	LOOP
		EXECUTE pg_catalog.format('ALTER TABLE %s REPLICA IDENTITY FULL', keyless);
	END LOOP;
END
$$;
