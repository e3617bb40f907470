/*
 * score_lead.c: the score of one lead by its name.
 *
 * Planning and executing the queries that find its model, timeline and profile
 * would cost many times what the score does. Where each is one row under a
 * primary key, it is looked up by the index, with the query's snapshot and the
 * caller's rights. Where a pending delta or a policy may matter, the query of
 * score_by_query() finds the answer.
 */
#include "appraise.h"
#include "catalog.h"
#include "partition.h"
#include "session_cache.h"

#include "access/genam.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "storage/bufmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(score_lead);

/* Open one of our tables to read it; NULL if a query must: for rights, policies, or as it is no plain table. */
static Relation
open_to_read(const char *name)
{
	Relation	table = table_open(our_table(name), AccessShareLock);

	if (table->rd_rel->relkind == RELKIND_RELATION && OidIsValid(table->rd_rel->relam) &&
		pg_class_aclcheck(RelationGetRelid(table), GetUserId(), ACL_SELECT) == ACLCHECK_OK &&
		(!table->rd_rel->relrowsecurity || check_enable_rls(RelationGetRelid(table), InvalidOid, false) != RLS_ENABLED))
		return table;
	table_close(table, AccessShareLock);
	return NULL;
}

/* Where lead_timeline is split, the table of a lead in its place; whoever may read the one may read the other through it. */
static Relation
open_part(Relation table, text *lead_id)
{
	Oid		   *parts;
	int			n = partition_tables(table, &parts);

	if (n > 0)
	{
		Relation	part = table_open(parts[partition_of(VARDATA_ANY(lead_id), VARSIZE_ANY_EXHDR(lead_id), n)], AccessShareLock);

		table_close(table, NoLock);
		table = part;
	}
	return table;
}

/*
 * Look up the second column of the row with a primary key of one text, with the
 * query's snapshot; the value is 0 if there is none. False if a query must look
 * it up.
 */
static bool
look_up(const char *name, text *key, Datum *value)
{
	Relation	table = open_to_read(name);
	Relation	index;
	IndexScanDesc scan;
	ScanKeyData scan_key;
	TupleTableSlot *slot;

	*value = (Datum) 0;
	if (table == NULL)
		return false;
	if (table->rd_rel->relhassubclass)
		table = open_part(table, key);
	index = index_open(primary_key_index(table), AccessShareLock);
	scan = begin_index_scan(table, index, GetActiveSnapshot(), 1);
	slot = table_slot_create(table, NULL);
	ScanKeyEntryInitialize(&scan_key, 0, 1, BTEqualStrategyNumber, InvalidOid, index->rd_indcollation[0],
						   F_TEXTEQ, PointerGetDatum(key));
	index_rescan(scan, &scan_key, 1, NULL, 0);
	if (index_getnext_slot(scan, ForwardScanDirection, slot))
	{
		bool		isnull;
		Datum		found = slot_getattr(slot, 2, &isnull);

		if (!isnull)
			*value = datumCopy(found, false, -1);
	}
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	index_close(index, AccessShareLock);
	table_close(table, AccessShareLock);
	return true;
}

/* Whether a table that is mostly empty has no page. */
static bool
is_empty(const char *name)
{
	Relation	table = open_to_read(name);
	bool		empty = table != NULL && RelationGetNumberOfBlocks(table) == 0;

	if (table)
		table_close(table, AccessShareLock);
	return empty;
}

/* Whether policies on events bind the caller; to know it, he need not have the right to read them. */
static bool
events_are_hidden(void)
{
	return check_enable_rls(our_table("event"), InvalidOid, true) == RLS_ENABLED;
}

/* By a query, whose plan is kept for the session. */
static Datum
score_by_query(FunctionCallInfo fcinfo)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[3] = {TEXTOID, TEXTOID, TIMESTAMPTZOID};
	Datum		arguments[3] = {PG_GETARG_DATUM(0), PG_GETARG_DATUM(1), PG_GETARG_DATUM(2)};
	bool		isnull;
	Datum		result;

	SPI_connect();
	session_plan(&plan, "SELECT leadscore.score_by_query($1, $2, $3)", 3, types);
	if (SPI_execute_plan(plan, arguments, NULL, true, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not score a lead");
	result = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	SPI_finish();
	if (isnull)
		PG_RETURN_NULL();
	return result;
}

/* score(lead_id, model, at) */
Datum
score_lead(PG_FUNCTION_ARGS)
{
	/* the core's function: a call site of its own, so that the session keeps no more scorecards than it would anyhow */
	FmgrInfo	core = {.fn_addr = score, .fn_nargs = 4, .fn_mcxt = CurrentMemoryContext};
	text	   *lead_id = PG_GETARG_TEXT_PP(0);
	Datum		alias_of;
	Datum		card;
	Datum		timeline;
	Datum		profile;
	Datum		result;
	LOCAL_FCINFO(call, 4);

	if (!is_empty("pending_delta") || events_are_hidden() || !look_up("lead_alias", lead_id, &alias_of))
		return score_by_query(fcinfo);
	if (alias_of)
		lead_id = DatumGetTextPP(alias_of);
	if (!look_up("model_document", PG_GETARG_TEXT_PP(1), &card) || card == 0 ||
		!look_up("lead_timeline", lead_id, &timeline) || !look_up("lead", lead_id, &profile))
		return score_by_query(fcinfo);

	InitFunctionCallInfoData(*call, &core, 4, InvalidOid, NULL, NULL);
	call->args[0] = (NullableDatum) {card, false};
	call->args[1] = (NullableDatum) {timeline, timeline == 0};
	call->args[2] = (NullableDatum) {profile, profile == 0};
	call->args[3] = (NullableDatum) {PG_GETARG_DATUM(2), false};
	result = FunctionCallInvoke(call);
	if (call->isnull)
		PG_RETURN_NULL();
	return result;
}
