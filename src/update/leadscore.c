/*
 * leadscore.c: the library that functions of version 0.1.0 name, until a database is updated.
 *
 * Version 1 and later have the library leadscore-1. So when its files are installed, a database
 * that still has the tables of 0.1.0 meets this library instead of one that would write to
 * tables that are not there. Statements on tracked tables go on: they add nothing, and the
 * update counts all rows anew. A dump can be restored, and then updated. All other functions
 * refuse, and say what to do.
 */
#include "postgres.h"

#include "fmgr.h"

PG_MODULE_MAGIC;

#define LIBRARY "$libdir/leadscore-1"

/* Triggers, event triggers and a lock of configuration: nothing is done. */
#define PASSED_OVER(name) \
	PG_FUNCTION_INFO_V1(name); \
	Datum \
	name(PG_FUNCTION_ARGS) \
	{ \
		PG_RETURN_POINTER(NULL); \
	}

/* What a dump, its restore and the update call is the same in the new library. */
#define HANDED_ON(name) \
	PG_FUNCTION_INFO_V1(name); \
	Datum \
	name(PG_FUNCTION_ARGS) \
	{ \
		static PGFunction function = NULL; \
		\
		if (function == NULL) \
			function = load_external_function(LIBRARY, #name, true, NULL); \
		return function(fcinfo); \
	}

#define REFUSED(name) \
	PG_FUNCTION_INFO_V1(name); \
	Datum \
	name(PG_FUNCTION_ARGS) \
	{ \
		return refuse(#name); \
	}

static Datum
refuse(const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("this database still has version 0.1.0 of leadscore, and a newer one is installed"),
			 errdetail("The function %s() is no longer there. Tracked tables can be written; "
					   "the update counts their rows.", name),
			 errhint("As a superuser: ALTER EXTENSION leadscore UPDATE.")));
	return (Datum) 0;
}

PASSED_OVER(hold_lock) PASSED_OVER(record) PASSED_OVER(record_profile) PASSED_OVER(signals_changed)
PASSED_OVER(watching_changed) PASSED_OVER(follow_children) PASSED_OVER(follow_drops)

HANDED_ON(timeline_in) HANDED_ON(timeline_out) HANDED_ON(timeline_recv)
HANDED_ON(timeline_send) HANDED_ON(check_event) HANDED_ON(check_condition)
HANDED_ON(check_duration) HANDED_ON(guard_timelines) HANDED_ON(trigger_mapping)
HANDED_ON(timeline_partition)

REFUSED(add_delta) REFUSED(add_deltas) REFUSED(add_profiles) REFUSED(add_source)
REFUSED(appraise) REFUSED(assess_deserialize) REFUSED(assess_final) REFUSED(assess_merge)
REFUSED(assess_serialize) REFUSED(assess_transition) REFUSED(average_precision_final)
REFUSED(bands_final) REFUSED(brier_transition) REFUSED(check_scorecard) REFUSED(check_seen)
REFUSED(clv) REFUSED(coarsen) REFUSED(compare_deserialize) REFUSED(compare_final)
REFUSED(compare_merge) REFUSED(compare_serialize) REFUSED(compare_transition)
REFUSED(contributions) REFUSED(count_rows) REFUSED(crm_reasons) REFUSED(difference)
REFUSED(duration_hours) REFUSED(features) REFUSED(fine_bands_final)
REFUSED(fit_clv_deserialize) REFUSED(fit_clv_final) REFUSED(fit_clv_merge)
REFUSED(fit_clv_serialize) REFUSED(fit_clv_transition) REFUSED(fold) REFUSED(gains_final)
REFUSED(gather) REFUSED(has_rows) REFUSED(hold_leads) REFUSED(hold_rebuild)
REFUSED(hold_source) REFUSED(in_transaction_block) REFUSED(ks_final)
REFUSED(log_loss_transition) REFUSED(mean_loss_deserialize) REFUSED(mean_loss_final)
REFUSED(mean_loss_merge) REFUSED(mean_loss_serialize) REFUSED(merge_bands)
REFUSED(move_timelines) REFUSED(next_segment) REFUSED(normal_tails) REFUSED(only)
REFUSED(outcome) REFUSED(past_features) REFUSED(past_points) REFUSED(past_probability)
REFUSED(past_score) REFUSED(property_type) REFUSED(ranking_deserialize) REFUSED(ranking_merge)
REFUSED(ranking_serialize) REFUSED(ranking_transition) REFUSED(regression_deserialize)
REFUSED(regression_final) REFUSED(regression_merge) REFUSED(regression_serialize)
REFUSED(regression_transition) REFUSED(release_rebuild) REFUSED(roc_auc_error_final)
REFUSED(roc_auc_final) REFUSED(scorable) REFUSED(score) REFUSED(score_lead) REFUSED(see_leads)
REFUSED(session_number) REFUSED(set_clock) REFUSED(source_events) REFUSED(stored_sum_merge)
REFUSED(stored_sum_transition) REFUSED(student_bound) REFUSED(student_tails)
REFUSED(table_of_lead) REFUSED(timeline_add) REFUSED(timeline_agg_final)
REFUSED(timeline_agg_inverse) REFUSED(timeline_agg_transition) REFUSED(timeline_before)
REFUSED(timeline_builder_deserialize) REFUSED(timeline_builder_merge)
REFUSED(timeline_builder_serialize) REFUSED(timeline_entries) REFUSED(timeline_eq)
REFUSED(timeline_first_hour) REFUSED(timeline_hash) REFUSED(timeline_hash_extended)
REFUSED(timeline_last_hour) REFUSED(timeline_minus) REFUSED(timeline_ne)
REFUSED(timeline_plus) REFUSED(timeline_start) REFUSED(timeline_subtract)
REFUSED(timeline_sum_final) REFUSED(timeline_sum_inverse) REFUSED(timeline_sum_transition)
REFUSED(timeline_total) REFUSED(treated) REFUSED(utf8) REFUSED(voucher_code)
REFUSED(wait_for_writers)
