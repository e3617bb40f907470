# Who may call which function and use which table: each is of one class. A function that is new stands in no class, and fails this test
# until somebody has decided. What the classes are good for is in 026_privileges.pl.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use Test::More;
use Workload;

my $node = new_node('main');
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE shop');
$node->safe_psql('shop', q{SET client_min_messages = warning; CREATE EXTENSION leadscore; SELECT leadscore.publish(leadscore.template('ecommerce'))});

# Overloaded functions are told apart by their first argument.
my %functions = (
	# everybody
	core => q{
		timeline_in timeline_out timeline_recv timeline_send timeline_eq timeline_ne timeline_lt timeline_le timeline_gt timeline_ge timeline_cmp timeline_hash timeline_hash_extended timeline_add
		timeline_subtract timeline_plus timeline_minus
		timeline_agg timeline_sum scorable timeline_entries coarsen(timeline) timeline_before timeline_first_hour timeline_last_hour timeline_start timeline_total
		timeline_partition
		score(jsonb) appraise contributions features next_segment template templates diff session_number(timestamptz) session_number(timestamp)
		fit_clv(timeline) clv(timeline) roc_auc roc_auc_error average_precision ks log_loss brier logistic_regression
		check_event check_condition label_fault check_scorecard is_time_zone day_start check_duration duration_hours check_part_exists check_model_exists subject_named rule_conditions refuse known our_schemas read_timestamp read_date
		sentence_placeholders sentence_filled described signal_noun signal_in_words},
	reader => q{
		begin_progress report_progress end_progress
		signals scorecard make_document model_named wording chosen_language say describe date_in_words lead_named is_excluded anybody_excluded is_visible model_cards served_models
		timeline_of has_pending check_timelines_seen with_pending_profile stored_profile has_only_profile alias_profiles top score(text) score(bigint) score(uuid) score_by_query explain(text) explain(bigint) explain(uuid) segment_history segment_flow check_span instants serving_cards card_segments segment_counts census score_history serving_model cards_at
		explain_change(text) explain_change(bigint) explain_change(uuid) score_lines events_of_change weight_change change_in_words weights_in_words score_change percentile_rank(text) percentile_rank(bigint) percentile_rank(uuid)
		rfm(text) rfm(text[]) rfm_groups conversion_of bought rfm_tiles tile_shares rfm_checked signals_named crm_changes crm_appraise crm_score crm_stays crm_row crm_reasons(jsonb) crm_reasons(text) explained stored_sum
		is_visible model_cards served_models
		log_has(text) logged_kinds signals_waiting children family_above family_below mapped_columns keeps_values table_problem known_source_problem own_problem collation_version event_trigger_state source_problem lead_key_problem alias_key_problem event_index_problem index_key reads_one_unique_column has_lead_index split_problem transition_problem split_tables partitions column_type property_type trigger_mapping
		has_column looks_like_name is_term_for_column term_type property_value property_name terms expression_type expression_columns expression_has_index hint_of_future
		conversion_id check_lead_filter check_cutoffs check_outcome pasts filtered_leads takes_part outcomes_at pasts_at examples is_midnight end_of data_end tally
		warn_of_censoring(leadscore_internal.question) warn_of_censoring(leadscore_internal.question) assessed outcome past_score past_probability past_features past_measures tally_measures past_points assess
		has_distributed placements untracked_shards cluster_state worker_rows ask cards_request card_for split_leads own_profile joined_profile scores_here top_here segments_here timeline_here
		leads_here history_here cards_of_history distributed_leads distributed_segment_history distributed_score distributed_scores distributed_top distributed_segments
		joined_leads buyers_here buyers_of_workers whole_buyers_here distributed_rfm assess_part assess_parts tallies assess_here end_here filtered_names assessed_everywhere
		evaluation distributed_evaluate compare_part compare_parts compare_here check_preview comparison_rows vouchers_here vouchers_of_split_leads distributed_preview fit_clv_part fit_clv_parts fit_clv_here distributed_fit_clv
		summary_here snapshot_here distributed_segment_summary distributed_segment_leads
		compacted_day hour_text default_time_zone unbounded card_terms rounded with_points with_coefficients check_fitting fit_points judge_points report_terms short_regression held_out_loss is_proposed is_proposed_rule without_unused without_fitted without_dropped
		pair_measures with_pairs proposed_name profile_test profile_test_signals learned_document learn chosen_card wanted_signs sample_for_choices cross_validated choose fit normal_tails student_tails student_bound profile_values with_profile profile_report
		merge_bands likelihood measured_once with_bands with_half_lives sample_likelihood learn_decay information_value signal_report
		compare with_signal_ids document_signals tell_of_uncounted stability_index preview voucher_preview vouchers_due vouchers_for_entering segment_limits score_limit has_limit check_shares shares_today stability_report anybody_forgotten came_again treated is_running arm experiment_result training_set evaluate lift_table
		calibration_table gains bands fine_bands check_fit fit_clv(text) clv(text) not_a_timeline},
	monitor => q{metrics health_checks samples progress_names progress_object},
	writer => q{take_changes acknowledge_changes},
	identifier => q{identify(text) identify(text[]) unidentify},
	redeemer => q{redeem unredeem},
	backup => q{},
	admin => q{
		publish lint tell_of_findings document_findings lint_weights lint_caps lint_segments lint_signals document_weights document_categories document_rules document_segments highest_sums lint_crm_step signals_never_met signals_unmet profile_signals_unmet why_never properties_asked property_types
		check_redefined keep_version set_default_model restore_version keep_documents keep_wordings
		checked_mapping checked_profile_mapping is_distributed check_not_distributed end_distribution verify_workers verify_here on_workers forget_on_workers forget_here shard_of begin_sending
		track track_query qualified_query make_query_table check_query_key note_query query_of query_named refresh_query query_failed refresh_queries
		tell_of_size add_past tell_of_column equal_may_differ merge_duplicates track_profile is_ordered untrack check_source check_properties begin_tracking end_tracking check_children retrack check_mapping repair_triggers rename_source replace_source look_at_source note_due forget_mapping drop_trigger_sets present_mappings sources_due sources_counted create_triggers
		drop_triggers record record_profile record_alias trigger_function track_alias check_event_index add_aliases alias_rows
		lock_alias_sources said_edges edge_differences alias_closure unsettled_names aliases_differ apply_edges correct_edges add_source add_profiles note_everybody
		lock_sources lock_source source_timelines gather gather_parts rows_estimated source_events log_events row_condition column_text difference only
		propose proposed event_counts event_counts_here event_counts_of_workers fresh_signals fresh_timelines_here fresh_timelines_of_workers data_range fresh_timelines fresh_pasts fresh_examples measures_document without_proposed report_text with_segments
		term_condition find_rows delete_rows delete_free_rows gather_alone has_expression forget_skipped(oid) forget_skipped(regclass) attributes tell_of_attributes
		verify rebuild compact fold partition_timelines partition_events move_events event_tables event_bounds event_blocks archive_for prepare_move wait_for_readers move_rows delete_archived_rows drop_event_table find_corrections leads_named apply_corrections add_corrections add_deltas find_hours compaction_zone check_compaction
		archive check_before check_archive begin_archive keep_base keep_last_events tell_of_unaccounted forget_base drop_former_base counted begin_compaction compaction_finished signal_definitions signals_counted in_transaction_block refuse_block wait_for_writers writers rebuilders transaction_name wait_for_partings take_parted correct_parted lock_rebuild
		unlock_rebuild check_read_committed
		everything_about person_tables row_as_json rows_of_person scores_of_person timeline_of_person names_of forgotten_at leave_tombstones keeps_tombstones drop_tombstone prune_tombstones
		forget count_rows check_lead_id lock_person lock_vouchers try_unidentify fold_leads rebuild_is_at_work check_not_running postpone_rebuild lock_derivations lock_crm_numbers lock_figures derive are_all_due derive_once wait_for_rules duration affinity make_signals check_property check_kinds
		refresh_crm refresh_crm_at crm_forget refresh_segments refresh_here refresh_split_segments check_no_leads hand_over_states borrow_split_leads return_split_leads refresh_figures see_changes look watch unwatch begin_watching finish_watching end_watching leads_to_see see_written see_batch
		drop_consumer watched_documents look_completed prune_changes expire_vouchers offer_result money to_unit offer_named check_offer_gone check_counted voucher_key issue_offer resume_offer revoke_vouchers in_restore schedule unschedule prune_runs has_cron job_problem jobs cron_line note_scheduled shell_word},
	# nobody but the owner: rights to others
	internal => q{
		distribute() distribute(regclass) distribute_profile begin_distribution distribute_all check_nodes check_distributed make_part drop_part send configuration configuration_tables take_configuration note_unsent send_configuration
		names_digest take_names send_names take_changes_of_names send_changes_of_names take_shards send_shards
		borrow_leads distributed_fit distributed_propose take_watching is_here give_states_here take_states_here node_here changes_here acknowledge_here
		distributed_take_changes distributed_acknowledge_changes
		log_has(text[]) refresh_snapshot grant_monitor grant_reader grant_writer grant_identifier grant_redeemer grant_admin grant_backup check_role}
	# ... what aggregates call
	  . q{
		timeline_agg_transition timeline_agg_inverse timeline_agg_final timeline_sum_transition timeline_sum_inverse timeline_sum_final
		timeline_builder_merge timeline_builder_serialize timeline_builder_deserialize stored_sum_transition stored_sum_merge
		regression_transition(internal) regression_transition(internal) held_out_transition held_out_final tally_transition tally_merge regression_merge regression_serialize regression_deserialize regression_final
		assess_transition assess_merge assess_serialize assess_deserialize assess_final assess_end_part assess_add_part compare_end_part compare_add_part fit_clv_end_part fit_clv_add_part learn_transition learn_final
		figures_transition figures_final gather_figures tied_leads_transition tied_leads_final tied_leads tally_measures_transition tally_measures_final
		census_transition census_merge census_serialize census_deserialize census_final
		compare_transition compare_merge compare_serialize compare_deserialize compare_final
		fit_clv_transition(internal) fit_clv_merge fit_clv_serialize fit_clv_deserialize fit_clv_final
		ranking_transition ranking_merge ranking_serialize ranking_deserialize roc_auc_final roc_auc_error_final average_precision_final
		ks_final gains_final bands_final fine_bands_final log_loss_transition brier_transition mean_loss_merge mean_loss_serialize
		mean_loss_deserialize mean_loss_final}
	# ... what triggers call
	  . q{
		signals_changed configuration_changed keep_default_model document_changed check_position check_measure check_rule check_segment_rules rule_renamed rule_removed signal_renamed signal_removed tell_of_zero check_subject check_sentence sentences_changed check_names check_event_signal check_offer offer_restored offer_changed
		offers_renamed segment_renamed note_signals note_uncounted_signals watching_changed model_gone fill_derivation derivations_changed alias_changed round_amount
		warn_of_no_groups exclusion_changed guard_timelines source_restored query_restored forget_queries leave_references follow_drops follow_children}
	# ... and what functions call that run as the owner
	  . q{
		figures_of due_days event_moments month_number channel_names model_stages month_of month_start conversions monthly_figure_rows sales_cycle_rows funnel_rows attribution_rows
		rfm_lead_now offer_figure_now experiment_figure_now write_segment_days write_model_quality
		query_refreshed deliver insert_query key_columns difference_statement follow_tables follow_drop leave_to_look look_at_columns look_at_names look_at_own note_dropped note_subscribed check_trigger utf8 check_seen is_seen check_sources_seen lock_by_name release_timelines lock_lead_rows
		add_edges add_paths append_look_again change_edges has_edges identified_lead is_tracked keep_edges look_again make_aliases move_names point_aliases remove_paths settle
		give_up_row append_delta wait_for_names try_names try_aliases try_leads line_is_free lead_now has_aliases names_are_seen aliases_are_seen append_change remove_change change_waits
		waiting_lead waiting_changes is_first_change statement_is_running change_problem moved_timelines begin_parting try_sources try_table try_change make_change
		carry_out_one carry_out change_name add_by_statement fold_by_statements
		see_leads leads_with_new_profile change_horizon set_clock run_latest edition tombstone_keys voucher_code is_held_out fill_slots history_exists has_rows has_events fold_rows fold_profiles fold_profile follow_tablespace by_bytes keyed_by_lead merge_rows merge_profile look_up_again profile_tables latest_profile add_delta note_skipped condense_skipped
		source_sample add_rows table_of_lead create_split_table create_like base_tables split_base check_not_published create_event_table event_table_name check_event_triggers begin_move end_move changes_to_log models_watched offers_to_issue vouchers_to_issue condition_card issue_to give_back takes_slot
		cron_interval cron_jobs server_setting server_problem default_for patience size_of our_sizes archived_shares kinds_uncounted metric_label
		health_of_tasks health_of_jobs health_of_ages health_of_sizes health_of_archive health_of_models health_of_quality health_of_kinds health_of_version
		voucher_with check_voucher_owner lock_order wait_for_vouchers check_redeemable discount_of take_money},
);

# (a reader is a monitor, too)
my @roles = qw(monitor reader writer identifier redeemer backup admin);
$node->safe_psql('shop', join ';', 'CREATE ROLE anybody', map { "CREATE ROLE $_; SELECT leadscore.grant_$_('$_')" } @roles);

# Two lists have the same lines.
sub same
{
	my ($got, $expected, $name) = @_;
	my %got = map { $_ => 1 } @$got;
	my %expected = map { $_ => 1 } @$expected;

	return is(join("\n", (map { "not in the test: $_" } grep { !$expected{$_} } sort keys %got), map { "not so: $_" } grep { !$got{$_} } sort keys %expected), '', $name);
}

# ---------- functions ----------

my $may = join ', ', map { "CASE WHEN has_function_privilege('$_', p.oid, 'EXECUTE') THEN '$_' END" } @roles;
my @got = split /\n/, $node->safe_psql('shop', qq{
	WITH function AS (
		SELECT p.oid, p.proname || CASE WHEN count(*) OVER (PARTITION BY p.proname) > 1 THEN format('(%s)',
				(CASE format_type(p.proargtypes[0], NULL) WHEN 'timestamp with time zone' THEN 'timestamptz' WHEN 'timestamp without time zone' THEN 'timestamp'
					ELSE replace(format_type(p.proargtypes[0], NULL), 'leadscore.', '') END)) ELSE '' END AS name
		FROM pg_proc p
		JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
		JOIN pg_extension x ON x.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass AND x.extname = 'leadscore'
	)
	SELECT concat_ws(' ', CASE WHEN has_function_privilege('anybody', p.oid, 'EXECUTE') THEN 'core' ELSE coalesce(nullif(concat_ws(' ', $may), ''), 'internal') END, p.name)
	FROM function p});
# an administrator may do what the others may
s/^monitor reader /monitor / for @got;
same([ map { s/^(?!admin )(.*?) admin /$1 /r } @got ],
	[ map { my $class = $_; map { "$class $_" } split ' ', $functions{$class} } keys %functions ], 'each function is of one class');
same([ grep { /^(monitor|reader|writer|identifier|redeemer|backup) (?!admin )/ } @got ], [], '... and administrators may call all but the owner\'s');
is($node->safe_psql('shop', q{SELECT count(*) FROM pg_proc WHERE pronamespace IN ('leadscore'::regnamespace, 'leadscore_internal'::regnamespace)}), scalar @got, 'the schema has no other functions');

# ---------- tables ----------

my %tables = (
	'reader=r admin=arwd' => 'signal model weight rule category stage grade segment default_model compaction archive archiving sentence model_version experiment lead derivation conversion rfm_group spend channel
		offer excluded_lead pending_identity changed_lead crm_state watched_model lead_state segment_change',
	'admin=arwd' => 'voucher parted_lead timeline_base archived_event derived_event derivation_due derivation_state change_consumer',
	'writer=a admin=arwd' => 'event',		# and columns of it
	'reader=r admin=rd' => 'lead_timeline known_source segment_day model_quality rfm_lead split_lead split_segment',
	'reader=r admin=r' => 'lead_alias alias_edge alias_path pending_delta counted_signal snapshot_state model_document signal_definition skipped skipped_row source source_trigger trigger_set query_table tracked_query known_event_trigger known_collation own_column distributed_source tracked_placement part_key worker task status current_timeline pending_timeline alias_profile current_profile visible_lead whole_lead served_lead
		lead_score lead_segment segment_summary delivered_sentence wording_document model_conversion signal_use monthly_figure sales_cycle funnel attribution rfm_grid offer_figure experiment_figure crm_lead',
	'monitor=r reader=r admin=r' => 'health progress',
	'admin=rd' => 'pending_profile seen_profile voucher_order',
	'admin=r' => 'tombstone offer_slot offer_money offer_stop change_clock event_partitioning',
	'admin=U' => 'weight_weight_id_seq crm_change_id_seq',
	'nobody' => 'unsent_configuration lead_segment_now timeline_move timeline_base_whole tombstone_salt signal_signal_id_seq event_event_id_seq pending_identity_change_id_seq pending_profile_change_id_seq derived_event_derived_event_id_seq segment_change_change_id_seq voucher_voucher_id_seq offer_slot_seq scheduled_job',
);
my $letters = join ', ', map {
	my $role = $_;
	"'$role=' || nullif(concat(" . join(', ', map { my ($letter, $right) = split /=/;
		"CASE WHEN c.relkind " . ($right eq 'USAGE' ? '=' : '<>') . " 'S' AND " . ($right eq 'USAGE' ? 'has_sequence_privilege' : 'has_table_privilege') . "('$role', c.oid, '$right') THEN '$letter' END" }
		qw(a=INSERT r=SELECT w=UPDATE d=DELETE D=TRUNCATE x=REFERENCES t=TRIGGER U=USAGE)) . "), '')"
} 'anybody', grep { $_ ne 'backup' } @roles;
same([ split /\n/, $node->safe_psql('shop', qq{
		SELECT coalesce(nullif(concat_ws(' ', $letters), ''), 'nobody') || ' ' || c.relname
		FROM pg_class c WHERE c.relnamespace IN ('leadscore'::regnamespace, 'leadscore_internal'::regnamespace) AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')}) ],
	[ map { my $rights = $_; map { "$rights $_" } split ' ', $tables{$rights} } keys %tables ], 'each table is of one class');
is($node->safe_psql('shop', q{
	SELECT string_agg(DISTINCT format('%s %s(%s) %s', a.grantee::regrole, c.relname, t.attname, a.privilege_type), ', ') FROM pg_attribute t JOIN pg_class c ON c.oid = t.attrelid CROSS JOIN aclexplode(t.attacl) a
	WHERE c.relnamespace IN ('leadscore'::regnamespace, 'leadscore_internal'::regnamespace) AND a.grantee::regrole::text NOT IN ('backup', 'admin')}),
	'reader event(lead_id) SELECT, reader pending_profile(lead_id) SELECT, writer event(dedup_key) SELECT, writer event(event_id) SELECT', 'and so are columns');

# ---------- locks ----------

# What a table's owner does not allow, we do not do for others: neither lock it, nor tell whether it has rows.
$node->safe_psql('shop', q{
	CREATE SCHEMA private; CREATE TABLE private.orders (lead text, placed timestamptz); GRANT USAGE ON SCHEMA private TO admin, reader;
	CREATE TABLE public.readable (lead text, placed timestamptz); GRANT SELECT ON public.readable TO admin;
	-- the rights to call are another matter, and a superuser may have given them away
	GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA leadscore, leadscore_internal TO admin});
for my $call (q{SELECT leadscore_internal.lock_source('private.orders')}, q{SELECT leadscore_internal.has_rows('private.orders')},
	q{SELECT leadscore_internal.gather('{private.orders}', ARRAY['{"lead_id": "lead"}'::jsonb], '{"signals": []}', NULL, NULL, 0, 1)},
	q{SELECT leadscore_internal.source_events('{private.orders}', ARRAY['{"lead_id": "lead"}'::jsonb], NULL, NULL)},
	q{SELECT leadscore_internal.add_source('private.orders', '{"lead_id": "lead"}', true, false)}, q{SELECT leadscore_internal.add_profiles('private.orders', '{"lead_id": "lead"}', true, false)},
	q{SELECT leadscore_internal.add_rows('private.orders', 'timeline', '{"lead_id": "lead"}', false)}, q{SELECT leadscore.track('private.orders', lead_id => 'lead', kind => 'v', occurred_at => 'placed')},
	q{SELECT leadscore.untrack('private.orders')})
{
	# somebody has the table: whoever asked for the lock before he asked for the right would wait
	my ($status, $out, $error) = $node->psql('shop', qq{
		BEGIN; LOCK TABLE private.orders IN ACCESS EXCLUSIVE MODE; PREPARE TRANSACTION 'holder';
		SET lock_timeout = '1s'; SET ROLE admin; $call; RESET ROLE; ROLLBACK PREPARED 'holder'}, on_error_stop => 0);
	like($error, qr/permission denied|must be owner/, "not on a table of others: $call");
}
is($node->psql('shop', q{SET ROLE admin; SELECT leadscore_internal.lock_source('public.readable'), leadscore_internal.has_rows('public.readable')}), 0, '... but on one that may be read');

# Whatever advisory locks a role takes, nothing of ours waits for them.
$node->safe_psql('shop', q{
	SET client_min_messages = warning;
	SET SESSION AUTHORIZATION anybody;
	BEGIN;
	SELECT pg_advisory_xact_lock(hashtextextended(prefix || name, seed)), pg_advisory_xact_lock(hashtext(prefix || name), seed)
	FROM unnest(ARRAY['', 'leadscore ', 'leadscore model ', 'name ', 'model ']) prefix, unnest(ARRAY['anna', 'visitor', 'ecommerce', 'crm', 'derive', 'rebuild', 'leadscore']) name, unnest(ARRAY[0, 1]) seed;
	SELECT pg_advisory_xact_lock(x'6c656164'::int, 0), pg_advisory_xact_lock(x'6c656164'::bigint), pg_advisory_xact_lock(x'6c65616400000000'::bigint);
	PREPARE TRANSACTION 'locks'});
my @ours = (q{SELECT leadscore.identify('visitor', 'anna')}, q{SELECT leadscore.unidentify('visitor')}, q{SELECT leadscore.forget('anna')}, 'SELECT * FROM leadscore.derive()', 'SELECT leadscore.refresh_crm()',
	'UPDATE leadscore.derivation SET gap = gap', q{SELECT leadscore.publish(leadscore.template('ecommerce'))}, q{UPDATE leadscore.weight SET points = points + 1},
	'SELECT leadscore_internal.lock_rebuild(), leadscore_internal.unlock_rebuild()', 'CALL leadscore.rebuild()', q{CALL leadscore.compact('2020-01-01')}, q{CALL leadscore.watch('ecommerce')});
for my $command (@ours)
{
	my ($status, $out, $error) = $node->psql('shop', "SET lock_timeout = '5s'; SET client_min_messages = warning; $command");
	is($error, '', "does not wait: $command");
}
# ... for they are of a class that SQL cannot name
my $held = $node->safe_psql('shop', "SET client_min_messages = warning; BEGIN; SELECT leadscore.identify('visitor', 'anna');" . join(';', @ours[1 .. 8])
	  . q{; SELECT 'class ' || l.objsubid FROM pg_locks l WHERE l.pid = pg_backend_pid() AND l.locktype = 'advisory' ORDER BY 1});
like($held, qr/^class \d+$/m, 'there are advisory locks of ours');
unlike($held, qr/^class [12]$/m, '... none of which pg_advisory_lock() can take');
$node->safe_psql('shop', q{ROLLBACK PREPARED 'locks'});
$node->stop;

done_testing();
