/*
 * leadscore.c: the library that functions of version 0.1.0 name, until a database is updated.
 *
 * Version 1 and later have the library leadscore-1. So when its files are installed, a database
 * that still has the tables of 0.1.0 meets this library instead of one that would write to
 * tables that are not there.
 *
 *   - Statements on tracked tables go on. They add nothing; the update counts all rows anew.
 *   - Reads go on: the values in lead_timeline and the SQL of 0.1.0 are still there, and what
 *     computes with values only is the same in the new library. Scores are as of the moment when
 *     the new version was installed.
 *   - identify(), redeem() and refresh_segments() go on. Transitions are logged after the update.
 *   - A dump can be restored, and then updated.
 *
 * Each session gets one WARNING that says so. All other functions, those that count rows,
 * refuse and say what to do.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "catalog/namespace.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "nodes/pg_list.h"
#include "nodes/value.h"
#include "parser/parse_func.h"
#include "utils/lsyscache.h"

PG_MODULE_MAGIC;

#define LIBRARY "$libdir/leadscore-1"

/* What every message of ours begins and ends with. */
#define NOT_UPDATED \
	errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), \
	errmsg("this database still has version 0.1.0 of leadscore, and a newer one is installed"), \
	errhint("As a superuser: ALTER EXTENSION leadscore UPDATE.")

/* Tell each session once that counting stands still. */
static void
warn_once(void)
{
	static bool warned = false;

	if (warned || IsParallelWorker())
		return;
	warned = true;
	ereport(WARNING,
			(NOT_UPDATED,
			 errdetail("Rows written since then are not counted, and scores do not change. The update counts them.")));
}

/* Call the function of the same name in the new library. */
static Datum
hand_on(PGFunction *function, const char *name, FunctionCallInfo fcinfo)
{
	if (*function == NULL)
		*function = load_external_function(LIBRARY, name, true, NULL);
	return (*function) (fcinfo);
}

/* The error of a function that is not served. */
static Datum
refuse(const char *name)
{
	ereport(ERROR,
			(NOT_UPDATED,
			 errdetail("The function %s() is no longer there. Tracked tables can be written; "
					   "the update counts their rows.", name)));
	return (Datum) 0;
}

#define DEFINED(name, body) \
	PG_FUNCTION_INFO_V1(name); \
	Datum \
	name(PG_FUNCTION_ARGS) \
	{ \
		body \
	}

/* Event triggers, triggers on configuration, locks, the log of transitions: nothing is done. */
#define PASSED_OVER(name) DEFINED(name, PG_RETURN_POINTER(NULL);)

/* Triggers on tracked tables. */
#define NOT_COUNTED(name) DEFINED(name, warn_once(); PG_RETURN_POINTER(NULL);)

/*
 * Functions of values that are the same in the new library, and what a dump, its restore and the
 * update call. (Where a result has more columns now, they are the last ones, and are left out.)
 */
#define HANDED_ON(name) DEFINED(name, static PGFunction function = NULL; return hand_on(&function, #name, fcinfo);)

/* What every score goes through. */
#define SCORED(name) \
	DEFINED(name, static PGFunction function = NULL; warn_once(); return hand_on(&function, #name, fcinfo);)

#define REFUSED(name) DEFINED(name, return refuse(#name);)

NOT_COUNTED(record) NOT_COUNTED(record_profile)
PASSED_OVER(follow_children) PASSED_OVER(follow_drops) PASSED_OVER(hold_lock)
PASSED_OVER(see_leads) PASSED_OVER(signals_changed) PASSED_OVER(watching_changed)

SCORED(appraise) SCORED(contributions) SCORED(score)

HANDED_ON(add_delta) HANDED_ON(assess_deserialize) HANDED_ON(assess_final)
HANDED_ON(assess_merge) HANDED_ON(assess_serialize) HANDED_ON(assess_transition)
HANDED_ON(average_precision_final) HANDED_ON(bands_final) HANDED_ON(brier_transition)
HANDED_ON(check_condition) HANDED_ON(check_duration) HANDED_ON(check_event)
HANDED_ON(check_scorecard) HANDED_ON(check_seen) HANDED_ON(clv) HANDED_ON(coarsen)
HANDED_ON(compare_deserialize) HANDED_ON(compare_final) HANDED_ON(compare_merge)
HANDED_ON(compare_serialize) HANDED_ON(compare_transition) HANDED_ON(difference)
HANDED_ON(duration_hours) HANDED_ON(features) HANDED_ON(fine_bands_final)
HANDED_ON(fit_clv_deserialize) HANDED_ON(fit_clv_final) HANDED_ON(fit_clv_merge)
HANDED_ON(fit_clv_serialize) HANDED_ON(fit_clv_transition) HANDED_ON(gains_final)
HANDED_ON(guard_timelines) HANDED_ON(in_transaction_block) HANDED_ON(ks_final)
HANDED_ON(log_loss_transition) HANDED_ON(mean_loss_deserialize) HANDED_ON(mean_loss_final)
HANDED_ON(mean_loss_merge) HANDED_ON(mean_loss_serialize) HANDED_ON(merge_bands)
HANDED_ON(next_segment) HANDED_ON(normal_tails) HANDED_ON(only) HANDED_ON(past_features)
HANDED_ON(past_points) HANDED_ON(past_probability) HANDED_ON(past_score)
HANDED_ON(property_type) HANDED_ON(ranking_deserialize) HANDED_ON(ranking_merge)
HANDED_ON(ranking_serialize) HANDED_ON(ranking_transition) HANDED_ON(regression_deserialize)
HANDED_ON(regression_final) HANDED_ON(regression_merge) HANDED_ON(regression_serialize)
HANDED_ON(regression_transition) HANDED_ON(roc_auc_error_final) HANDED_ON(roc_auc_final)
HANDED_ON(scorable) HANDED_ON(session_number) HANDED_ON(stored_sum_merge)
HANDED_ON(stored_sum_transition) HANDED_ON(student_bound) HANDED_ON(student_tails)
HANDED_ON(timeline_add) HANDED_ON(timeline_agg_final) HANDED_ON(timeline_agg_inverse)
HANDED_ON(timeline_agg_transition) HANDED_ON(timeline_before)
HANDED_ON(timeline_builder_deserialize) HANDED_ON(timeline_builder_merge)
HANDED_ON(timeline_builder_serialize) HANDED_ON(timeline_entries) HANDED_ON(timeline_eq)
HANDED_ON(timeline_first_hour) HANDED_ON(timeline_hash) HANDED_ON(timeline_hash_extended)
HANDED_ON(timeline_in) HANDED_ON(timeline_last_hour) HANDED_ON(timeline_minus)
HANDED_ON(timeline_ne) HANDED_ON(timeline_out) HANDED_ON(timeline_partition)
HANDED_ON(timeline_plus) HANDED_ON(timeline_recv) HANDED_ON(timeline_send)
HANDED_ON(timeline_start) HANDED_ON(timeline_subtract) HANDED_ON(timeline_sum_final)
HANDED_ON(timeline_sum_inverse) HANDED_ON(timeline_sum_transition) HANDED_ON(timeline_total)
HANDED_ON(treated) HANDED_ON(trigger_mapping) HANDED_ON(utf8) HANDED_ON(voucher_code)

REFUSED(add_deltas) REFUSED(add_profiles) REFUSED(add_source) REFUSED(count_rows)
REFUSED(crm_reasons) REFUSED(gather) REFUSED(has_rows) REFUSED(hold_rebuild)
REFUSED(hold_source) REFUSED(move_timelines) REFUSED(outcome) REFUSED(release_rebuild)
REFUSED(set_clock) REFUSED(source_events) REFUSED(wait_for_writers)

/* score(lead_id, model, at): by the query of 0.1.0, which adds what is pending. */
PG_FUNCTION_INFO_V1(score_lead);
Datum
score_lead(PG_FUNCTION_ARGS)
{
	Oid			types[] = {TEXTOID, TEXTOID, TIMESTAMPTZOID};
	Oid			query = LookupFuncName(list_make2(makeString("leadscore"), makeString("score_by_query")), 3, types, false);
	LOCAL_FCINFO(call, 3);
	FmgrInfo	function;
	Datum		score;

	warn_once();
	fmgr_info(query, &function);
	InitFunctionCallInfoData(*call, &function, 3, PG_GET_COLLATION(), NULL, NULL);
	for (int i = 0; i < 3; i++)
	{
		call->args[i].value = PG_GETARG_DATUM(i);
		call->args[i].isnull = false;
	}
	score = FunctionCallInvoke(call);
	if (call->isnull)
		PG_RETURN_NULL();
	return score;
}

/* table_of_lead(lead_id): the table that has the row of a lead. */
PG_FUNCTION_INFO_V1(table_of_lead);
Datum
table_of_lead(PG_FUNCTION_ARGS)
{
	Oid			schema = get_namespace_oid("leadscore", false);
	Oid			table = get_relname_relid("lead_timeline", schema);
	int			n = list_length(find_inheritance_children(table, NoLock));
	PGFunction	partition;

	if (n == 0)
		PG_RETURN_OID(table);
	partition = load_external_function(LIBRARY, "timeline_partition", true, NULL);
	n = DatumGetInt32(DirectFunctionCall2(partition, PG_GETARG_DATUM(0), Int32GetDatum(n)));
	PG_RETURN_OID(get_relname_relid(psprintf("lead_timeline_%d", n), schema));
}

/* fold(): nothing is moved, and readers add what is pending. */
PG_FUNCTION_INFO_V1(fold);
Datum
fold(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(0);
}

/* hold_leads(lead_ids, wait): no lead is compared with its segment, so none is held. */
PG_FUNCTION_INFO_V1(hold_leads);
Datum
hold_leads(PG_FUNCTION_ARGS)
{
	PG_RETURN_NULL();
}
