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
 * owner. Only our own tables are written as our owner.
 */
#include "catalog.h"
#include "delta.h"
#include "gather.h"

#include "access/table.h"
#include "catalog/namespace.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(record);
PG_FUNCTION_INFO_V1(add_source);

/* Leads of a whole table that are written at a time. */
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

		CHECK_FOR_INTERRUPTS();
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
 * Add every row of a table to the timelines, "sign" times, in batches of leads
 * that go up in the order of lead_timeline's keys. The rows are read with a
 * snapshot of the moment, as the table's owner.
 */
static void
add_table(Relation relation, Jsonb *mapping, bool with_children, int sign, Relation timelines)
{
	Identity	us = become(timelines->rd_rel->relowner, 0);
	Gathering  *gathering = gather_begin(current_signals(), true);
	bool		more = true;

	PushActiveSnapshot(GetLatestSnapshot());
	if (is_derived_from(RelationGetRelid(relation)) && table_has_rows(RelationGetRelid(relation)))
		note_everybody();
	gather_table(gathering, relation, mapping, with_children, 0, 0);
	PopActiveSnapshot();
	gather_complete(gathering);
	while (more)
	{
		MemoryContext batch = AllocSetContextCreate(CurrentMemoryContext, "leadscore batch", ALLOCSET_DEFAULT_SIZES);
		MemoryContext old = MemoryContextSwitchTo(batch);
		Deltas	   *deltas = deltas_create(batch);
		const char *lead_id;
		int			length;
		TimelineBuilder *gathered;

		for (int i = 0; i < BATCH && (more = gather_next(gathering, &lead_id, &length, &gathered)); i++)
		{
			TimelineBuilder **builder = deltas_of(deltas, lead_id, length, true);

			*builder = timeline_builder_add_builder(*builder, gathered, sign);
		}
		deltas_apply(deltas, timelines);
		MemoryContextSwitchTo(old);
		MemoryContextDelete(batch);
	}
	gather_end(gathering);
	become_again(us);
}

/*
 * add_source(source, mapping, with_children, subtract): add the rows of a
 * table to the timelines, or subtract them.
 */
Datum
add_source(PG_FUNCTION_ARGS)
{
	Relation	relation = source_open(PG_GETARG_OID(0));
	Relation	timelines = table_open(our_table("lead_timeline"), RowExclusiveLock);

	add_table(relation, PG_GETARG_JSONB_P(1), PG_GETARG_BOOL(2), PG_GETARG_BOOL(3) ? -1 : 1, timelines);
	table_close(timelines, NoLock);
	table_close(relation, NoLock);
	PG_RETURN_VOID();
}

/* ---------- the trigger ---------- */

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
	/* the timelines of our own events are in the dump, too */
	if (in_restore() && RelationGetNamespace(data->tg_relation) == get_namespace_oid("leadscore", false))
		return PointerGetDatum(NULL);

	source = source_of_trigger(data->tg_trigger, data->tg_relation);
	if (source_has_problem(source, data->tg_relation, "its rows are not counted"))
		return PointerGetDatum(NULL);

	context = AllocSetContextCreate(CurrentMemoryContext, "leadscore record", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	/* a total that would overflow is refused where it can be: when events come into our own table */
	lenient = !TRIGGER_FIRED_BY_INSERT(data->tg_event) || RelationGetRelid(data->tg_relation) != our_table("event");
	collected = statement_deltas(source->deferred);
	deltas = collected ? collected : deltas_create(context);
	timelines = table_open(our_table("lead_timeline"), RowExclusiveLock);

	if (TRIGGER_FIRED_BY_TRUNCATE(data->tg_event))
	{
		/* the table's children are truncated, and subtracted, each by itself */
		add_table(data->tg_relation, mapping_of(data->tg_trigger), false, -1, timelines);
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
	if (is_derived_from(RelationGetRelid(data->tg_relation)))
		deltas_note(deltas);
	if (data->tg_newtable)
		collect_rows(deltas, source, data->tg_newtable, RelationGetDescr(data->tg_relation), signals, 1, lenient);
	if (data->tg_oldtable)
		collect_rows(deltas, source, data->tg_oldtable, RelationGetDescr(data->tg_relation), signals, -1, lenient);
	if (settings >= 0)
		AtEOXact_GUC(false, settings);

	if (collected == NULL)
		deltas_write(deltas, source->deferred);

done:
	table_close(timelines, NoLock);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return PointerGetDatum(NULL);
}
