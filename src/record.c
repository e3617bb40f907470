/*
 * record.c: the trigger that keeps timelines true.
 *
 *     statement's rows ──source──▶ events ──signals──▶ one delta a lead
 *                                                        │ delta.c
 *                                                        ▼
 *                           lead_timeline.timeline + delta, or pending_delta
 *
 * New rows are added and old rows subtracted, so that an UPDATE of anything
 * comes out right, and one that changes nothing that counts writes nothing.
 *
 * lead_timeline is locked (as any writer locks it) before the signals are
 * looked up: rebuild() waits for the holders of that lock, so whoever takes it
 * afterwards counts with the signals that the rebuild uses.
 *
 * Rows are read as the user who wrote them, or for TRUNCATE as the table's
 * owner, for a type's functions may be anybody's. Only our own tables are
 * written as our owner.
 */
#include "catalog.h"
#include "delta.h"
#include "source.h"

#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(record);
PG_FUNCTION_INFO_V1(add_source);
PG_FUNCTION_INFO_V1(read_source);

/* Leads read at a time from a whole table. */
#define BATCH 10000

/* ---------- collecting ---------- */

/* Count the rows of a transition table, "sign" times. */
static void
collect_rows(Deltas *deltas, Source *source, Tuplestorestate *rows, TupleDesc row_type,
			 const SignalSet *signals, int sign, bool lenient)
{
	MemoryContext keep = CurrentMemoryContext;
	MemoryContext scratch = AllocSetContextCreate(keep, "leadscore row", ALLOCSET_DEFAULT_SIZES);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(row_type, &TTSOpsMinimalTuple);

	/* a row that was spilled is read into the current context, and must not lie in what is reset */
	tuplestore_rescan(rows);
	while (tuplestore_gettupleslot(rows, true, false, slot))
	{
		SourceRow	row;

		MemoryContextReset(scratch);
		MemoryContextSwitchTo(scratch);
		if (source_read(source, slot, &row))
		{
			TimelineBuilder **builder = deltas_of(deltas, row.lead_id, row.lead_id_length, lenient);

			*builder = signal_set_count(signals, &row.event, sign, *builder);
		}
		MemoryContextSwitchTo(keep);
	}
	ExecDropSingleTupleTableSlot(slot);
	MemoryContextDelete(scratch);
}

/* ---------- whole tables ---------- */

/*
 * Prepare timeline_query() for a table: all of its leads, or one. SPI must be
 * connected, and the query then run as the table's owner.
 */
static SPIPlanPtr
prepare_timeline_query(Relation relation, Datum mapping, bool with_children, Datum lead_id, bool all_leads)
{
	Oid			types[4] = {OIDOID, JSONBOID, BOOLOID, TEXTOID};
	Datum		arguments[4] = {ObjectIdGetDatum(RelationGetRelid(relation)), mapping, BoolGetDatum(with_children), lead_id};
	char		nulls[4] = {' ', ' ', ' ', all_leads ? 'n' : ' '};
	SPIPlanPtr	plan;

	if (SPI_execute_with_args("SELECT leadscore.timeline_query($1::pg_catalog.regclass, $2, $3, $4)",
							  4, types, arguments, nulls, true, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not make the query of a source");
	plan = SPI_prepare(SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1), 0, NULL);
	if (plan == NULL)
		elog(ERROR, "could not prepare the query of a source");
	return plan;
}

/*
 * Add every row of a table to the timelines, "sign" times, in batches of leads
 * that go up in the order of lead_timeline's keys. The rows are read with a
 * snapshot of the moment, as the table's owner.
 */
static void
add_table(Relation relation, Datum mapping, bool with_children, int sign, Relation timelines)
{
	Identity	us = become(timelines->rd_rel->relowner, 0);
	int			settings = NewGUCNestLevel();
	Portal		portal = NULL;
	SPIPlanPtr	plan;

	pin_settings();
	SPI_connect();
	PushActiveSnapshot(GetLatestSnapshot());
	plan = prepare_timeline_query(relation, mapping, with_children, (Datum) 0, true);
	for (;;)
	{
		MemoryContext batch = AllocSetContextCreate(CurrentMemoryContext, "leadscore batch", ALLOCSET_DEFAULT_SIZES);
		MemoryContext old = MemoryContextSwitchTo(batch);
		Deltas	   *deltas = deltas_create(batch);
		Identity	before = become(relation->rd_rel->relowner, SECURITY_RESTRICTED_OPERATION);

		if (portal == NULL)
			portal = SPI_cursor_open(NULL, plan, NULL, NULL, true);
		SPI_cursor_fetch(portal, true, BATCH);
		become_again(before);
		if (SPI_processed == 0)
			break;

		for (uint64 row = 0; row < SPI_processed; row++)
		{
			HeapTuple	tuple = SPI_tuptable->vals[row];
			bool		isnull;
			text	   *lead_id = DatumGetTextPP(SPI_getbinval(tuple, SPI_tuptable->tupdesc, 1, &isnull));
			Datum		timeline = SPI_getbinval(tuple, SPI_tuptable->tupdesc, 2, &isnull);
			TimelineBuilder **builder = deltas_of(deltas, VARDATA_ANY(lead_id), VARSIZE_ANY_EXHDR(lead_id), true);

			*builder = timeline_builder_add_timeline(*builder, DatumGetTimeline(timeline), sign);
		}
		SPI_freetuptable(SPI_tuptable);
		deltas_apply(deltas, timelines);
		MemoryContextSwitchTo(old);
		MemoryContextDelete(batch);
	}
	SPI_cursor_close(portal);
	PopActiveSnapshot();
	SPI_finish();
	AtEOXact_GUC(true, settings);
	become_again(us);
}

/*
 * add_source(source, mapping, with_children, subtract): add the rows of a
 * table to the timelines, or subtract them.
 */
Datum
add_source(PG_FUNCTION_ARGS)
{
	Relation	relation = table_open(PG_GETARG_OID(0), AccessShareLock);
	Relation	timelines = table_open(our_table("lead_timeline"), RowExclusiveLock);

	check_may_read(relation, timelines->rd_rel->relowner);
	add_table(relation, PG_GETARG_DATUM(1), PG_GETARG_BOOL(2), PG_GETARG_BOOL(3) ? -1 : 1, timelines);
	table_close(timelines, NoLock);
	table_close(relation, NoLock);
	PG_RETURN_VOID();
}

/* read_source(source, mapping, lead_id): the timeline of one lead's rows, NULL if there are none. */
Datum
read_source(PG_FUNCTION_ARGS)
{
	Relation	relation = table_open(PG_GETARG_OID(0), AccessShareLock);
	int			settings = NewGUCNestLevel();
	Datum		timeline = (Datum) 0;
	bool		found;
	SPIPlanPtr	plan;
	Identity	before;
	Relation	timelines = table_open(our_table("lead_timeline"), AccessShareLock);

	check_may_read(relation, timelines->rd_rel->relowner);
	table_close(timelines, NoLock);
	pin_settings();
	SPI_connect();
	plan = prepare_timeline_query(relation, PG_GETARG_DATUM(1), true, PG_GETARG_DATUM(2), false);
	before = become(relation->rd_rel->relowner, SECURITY_RESTRICTED_OPERATION);
	/* in the caller's snapshot, so that it fits what else the caller reads */
	if (SPI_execute_plan(plan, NULL, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read a source");
	become_again(before);
	found = SPI_processed > 0;
	if (found)
	{
		bool		isnull;

		timeline = SPI_datumTransfer(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull), false, -1);
	}
	SPI_finish();
	AtEOXact_GUC(true, settings);
	table_close(relation, NoLock);
	if (!found)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(timeline);
}

/* ---------- the trigger ---------- */

/*
 * Whether pg_restore or a plain dump is loading our own event table. The
 * timelines are in the dump too, so nothing must be counted twice. These are
 * settings that every dump begins with.
 */
static bool
in_restore(Relation relation)
{
	return !check_function_bodies && !row_security && namespace_search_path[0] == '\0' &&
		RelationGetRelid(relation) == our_table("event");
}

/* AFTER INSERT/UPDATE/DELETE FOR EACH STATEMENT, BEFORE TRUNCATE, on a tracked table. */
Datum
record(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;
	Source	   *source;
	Relation	timelines;
	MemoryContext context;
	MemoryContext old;
	Deltas	   *deltas;
	Deltas	   *collected;
	const SignalSet *signals;
	Identity	user;
	int			settings = -1;
	bool		lenient;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_STATEMENT(data->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"record\" was not called as a statement trigger"),
				 errhint("Use leadscore.track() to make the triggers of a table.")));
	if (in_restore(data->tg_relation))
		return PointerGetDatum(NULL);

	source = source_of_trigger(data->tg_trigger, data->tg_relation);
	if (source_has_problem(source, data->tg_relation, "its rows are not counted"))
		return PointerGetDatum(NULL);

	context = AllocSetContextCreate(CurrentMemoryContext, "leadscore record", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	lenient = RelationGetRelid(data->tg_relation) != our_table("event");
	collected = statement_deltas(source->deferred);
	deltas = collected ? collected : deltas_create(context);
	timelines = table_open(our_table("lead_timeline"), RowExclusiveLock);


	if (TRIGGER_FIRED_BY_TRUNCATE(data->tg_event))
	{
		/* the table's children are truncated, and subtracted, each by itself */
		add_table(data->tg_relation, DirectFunctionCall1(jsonb_in, CStringGetDatum(data->tg_trigger->tgargs[0])),
				  false, -1, timelines);
		goto done;
	}

	user = become(timelines->rd_rel->relowner, 0);
	signals = current_signals();
	become_again(user);

	if (source->pinned_settings)
	{
		settings = NewGUCNestLevel();
		pin_settings();
	}
	if (data->tg_newtable)
		collect_rows(deltas, source, data->tg_newtable, RelationGetDescr(data->tg_relation), signals, 1, lenient);
	if (data->tg_oldtable)
		collect_rows(deltas, source, data->tg_oldtable, RelationGetDescr(data->tg_relation), signals, -1, lenient);
	if (settings >= 0)
		AtEOXact_GUC(true, settings);

	if (collected == NULL)
		deltas_write(deltas, source->deferred);

done:
	table_close(timelines, NoLock);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return PointerGetDatum(NULL);
}
