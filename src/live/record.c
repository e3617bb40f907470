/*
 * record.c: the trigger that keeps timelines up to date.
 *
 *     statement's rows ──source──▶ events ──signals──▶ one delta a lead
 *                                                        │ delta.c
 *                                                        ▼
 *                           lead_timeline.timeline + delta, or pending_delta
 *
 * New rows are added and old rows subtracted. So an UPDATE of any column is counted
 * correctly, and an UPDATE that changes nothing relevant writes nothing.
 *
 * lead_timeline is locked in ROW EXCLUSIVE mode, as by any writer, before the signals
 * are looked up, and stays locked until the transaction ends. rebuild() waits for the
 * holders of that lock, so a transaction that takes it afterwards counts with the
 * signals that the rebuild uses.
 *
 * Rows are read as the user who wrote them or, for TRUNCATE, as the table's
 * owner. Only our own tables are written as our owner.
 */
#include "catalog.h"
#include "progress.h"
#include "live/commit.h"
#include "live/delta.h"
#include "live/gather.h"
#include "live/signals.h"
#include "live/skipped.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "commands/trigger.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(record);
PG_FUNCTION_INFO_V1(add_source);

/* Leads of a whole table that are written in one batch. */
#define BATCH 10000

/* ---------- collecting ---------- */

/* Reads a transition table row by row. */
typedef struct RowReader
{
	Tuplestorestate *rows;		/* NULL: the statement has none */
	TupleTableSlot *slot;
	int			sign;			/* new rows are added, old ones subtracted */
	uint64		archived;		/* hash of what the current row would count for, if it is archived; else 0 */
} RowReader;

static RowReader
rows_open(Tuplestorestate *rows, TupleDesc row_type, int sign)
{
	RowReader	reader = {rows, NULL, sign, 0};

	if (rows)
	{
		tuplestore_rescan(rows);
		reader.slot = MakeSingleTupleTableSlot(row_type, &TTSOpsMinimalTuple);
	}
	return reader;
}

static void
rows_close(RowReader *reader)
{
	if (reader->slot)
		ExecDropSingleTupleTableSlot(reader->slot);
}

/* Count the next row, if there is one; "scratch" is the memory for reading it. */
static bool
collect_row(Deltas *deltas, Reading *reading, RowReader *reader, const SignalSet *signals, bool lenient, Skips *skips,
			MemoryContext scratch)
{
	MemoryContext keep = CurrentMemoryContext;
	SourceRow	row;
	bool		is_event;

	reader->archived = 0;
	/* a spilled row is read into the current context, which must not be the one that is reset */
	if (reader->rows == NULL || !tuplestore_gettupleslot(reader->rows, true, false, reader->slot))
		return false;
	MemoryContextReset(scratch);
	MemoryContextSwitchTo(scratch);
	is_event = source_read(reading, reader->slot, &row);
	if (reader->sign > 0)
		skips_note(skips, reading, &row, is_event);
	if (is_event)
	{
		TimelineBuilder **builder = deltas_of(deltas, row.lead_id, row.lead_id_length, lenient);

		*builder = signal_set_count(signals, &row.event, reader->sign, *builder);
		reader->archived = signal_set_archived(signals, &row.event);
		if (reader->archived)
			reader->archived = hash_combine64(reader->archived, hash_bytes_extended((const unsigned char *) row.lead_id, row.lead_id_length, 0));
	}
	MemoryContextSwitchTo(keep);
	return true;
}

/* Say that rows of an INSERT or UPDATE are older than the archive. */
static void
warn_archived(const Relation table, int64 rows, const SignalSet *signals)
{
	if (rows > 0)
		ereport(WARNING,
				(errmsg("rows of %s are archived, and not counted: %lld", relation_name(table), (long long) rows),
				 errdetail("Events before %s count as they were when leadscore.archive() was called.",
						   timestamptz_to_str(instant_of(signals->archived_before))),
				 errhint("See leadscore.skipped_row.")));
}

/*
 * Count the rows of a statement. For an UPDATE, new and old rows are read alternately:
 * they come in the same order, so unchanged values cancel out at once. Whenever the
 * deltas exceed the memory limit of a hash table, they are written. Skipped new rows
 * are noted, and archived ones that would count for something else than their old row.
 */
static void
collect_statement(Deltas *deltas, Source *source, TriggerData *data, const SignalSet *signals, Relation timelines, bool lenient)
{
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "leadscore row", ALLOCSET_DEFAULT_SIZES);
	TupleDesc	row_type = RelationGetDescr(data->tg_relation);
	RowReader	new_rows = rows_open(data->tg_newtable, row_type, 1);
	RowReader	old_rows = rows_open(data->tg_oldtable, row_type, -1);
	Reading		reading = {.source = source};
	Skips		skips = {0};
	bool		more = true;

	while (more)
	{
		CHECK_FOR_INTERRUPTS();
		more = collect_row(deltas, &reading, &new_rows, signals, lenient, &skips, scratch);
		more = collect_row(deltas, &reading, &old_rows, signals, lenient, &skips, scratch) || more;
		skips.archived += data->tg_newtable && new_rows.archived != old_rows.archived;
		if (deltas_are_full(deltas))
		{
			reading_end(&reading);
			deltas_write(deltas, timelines, source->deferred);
		}
	}
	reading_end(&reading);
	skips_write(&skips, RelationGetRelid(data->tg_relation));
	warn_archived(data->tg_relation, skips.archived, signals);
	rows_close(&new_rows);
	rows_close(&old_rows);
	MemoryContextDelete(scratch);
}

/* ---------- whole tables ---------- */

/*
 * Add every row of a table to the timelines, "sign" times, in batches of leads
 * sorted by the key of lead_timeline. The rows are read with the latest snapshot, as
 * the table's owner. "tally" returns how many rows were counted or skipped, and why.
 */
static void
add_table(Relation relation, Jsonb *mapping, bool with_children, int sign, Relation timelines, RowTally *tally)
{
	Identity	us = switch_to_owner(timelines->rd_rel->relowner, 0);
	const SignalSet *signals = current_signals();
	int32		archiving_before = signals->archiving_before;
	Gathering  *gathering = gather_begin(signals, true);
	bool		more = true;

	gather_tally(gathering, tally);
	PushActiveSnapshot(GetLatestSnapshot());
	if (is_derived_from(RelationGetRelid(relation)) && table_has_rows(RelationGetRelid(relation)))
		note_everybody();
	gather_table(gathering, relation, mapping, with_children, 0, 0);
	PopActiveSnapshot();
	gather_complete(gathering);
	progress_phase("track", "writing");
	while (more)
	{
		MemoryContext batch = AllocSetContextCreate(CurrentMemoryContext, "leadscore batch", ALLOCSET_DEFAULT_SIZES);
		MemoryContext old = MemoryContextSwitchTo(batch);
		Deltas	   *deltas = deltas_create(batch, archiving_before);
		const char *lead_id;
		int			length;
		TimelineBuilder *gathered;
		int			n;

		for (n = 0; n < BATCH && (more = gather_next(gathering, &lead_id, &length, &gathered)); n++)
		{
			TimelineBuilder **builder = deltas_of(deltas, lead_id, length, true);

			*builder = timeline_builder_add_builder(*builder, gathered, sign);
		}
		deltas_apply(deltas, timelines);
		progress_advance("writing", n);
		MemoryContextSwitchTo(old);
		MemoryContextDelete(batch);
	}
	gather_end(gathering);
	restore_user(us);
}

/*
 * add_source(source, mapping, with_children, subtract) -> setof (what, rows,
 * example_table, example, message): add the rows of a table to the timelines, or subtract
 * them. Returns how many rows were counted or skipped, and why.
 */
Datum
add_source(PG_FUNCTION_ARGS)
{
	static const char *const names[TALLY_ENTRIES] = {
		[ROW_FILTERED] = "filtered", [ROW_FAILED] = "failed",
		[ROW_WITHOUT_TIME] = "no time", [ROW_WITHOUT_VALUE] = "no value", [ROW_WITHOUT_LEAD] = "no lead", [ROW_WITHOUT_KIND] = "no kind",
		[TALLY_COUNTED] = "counted", [TALLY_WITHOUT_SIGNAL] = "no signal", [TALLY_ARCHIVED] = "archived", [TALLY_IN_FUTURE] = "in the future"
	};
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Relation	relation = source_open(PG_GETARG_OID(0));
	Relation	timelines = table_open(our_table("lead_timeline"), RowExclusiveLock);
	RowTally	tally[TALLY_ENTRIES];

	InitMaterializedSRF(fcinfo, 0);
	add_table(relation, PG_GETARG_JSONB_P(1), PG_GETARG_BOOL(2), PG_GETARG_BOOL(3) ? -1 : 1, timelines, tally);
	for (int i = 0; i < TALLY_ENTRIES; i++)
	{
		Datum		values[5] = {CStringGetTextDatum(names[i]), Int64GetDatum(tally[i].rows), ObjectIdGetDatum(tally[i].table), PointerGetDatum(&tally[i].row)};
		bool		nulls[5] = {false, false, false, false, tally[i].message == NULL};

		if (tally[i].message)
			values[4] = CStringGetTextDatum(tally[i].message);
		if (tally[i].rows > 0)
			tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	table_close(timelines, NoLock);
	table_close(relation, NoLock);
	return (Datum) 0;
}

/* ---------- the trigger ---------- */

/* Count the rows that a statement has changed. */
static void
count_statement(TriggerData *data, Source *source)
{
	static Look look;
	Relation	timelines = open_once("lead_timeline", RowExclusiveLock, &look);
	Deltas	   *deltas;
	/* the overflow of a total raises an error only for an INSERT into our own table of events */
	bool		lenient = !TRIGGER_FIRED_BY_INSERT(data->tg_event) || RelationGetRelid(data->tg_relation) != our_table("event");
	Identity	user = switch_to_owner(timelines->rd_rel->relowner, 0);
	const SignalSet *signals = current_signals();
	int			settings = -1;

	restore_user(user);
	deltas = deltas_create(CurrentMemoryContext, signals->archiving_before);
	if (source->pinned_settings)
	{
		settings = NewGUCNestLevel();
		pin_settings();
	}
	if (is_derived_from(RelationGetRelid(data->tg_relation)))
		deltas_note(deltas);
	collect_statement(deltas, source, data, signals, timelines, lenient);
	if (settings >= 0)
		AtEOXact_GUC(false, settings);
	deltas_write(deltas, timelines, source->deferred);
	table_close(timelines, NoLock);
}

/* Subtract the rows of a table that is about to be truncated. */
static void
subtract_table(TriggerData *data, bool with_partitions)
{
	Relation	timelines = table_open(our_table("lead_timeline"), RowExclusiveLock);
	RowTally	tally[TALLY_ENTRIES];

	add_table(data->tg_relation, mapping_of(data->tg_trigger), with_partitions, -1, timelines, tally);
	table_close(timelines, NoLock);
}

/* Count the rows of a statement that has ended. Before a TRUNCATE, subtract the rows of the table. */
static void
count_rows_of(TriggerData *data, Source *source, bool with_partitions)
{
	MemoryContext context;
	MemoryContext old;

	if (source_has_problem(source, data->tg_relation, true, "its rows are not counted"))
		return;
	context = AllocSetContextCreate(CurrentMemoryContext, "leadscore record", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	if (TRIGGER_FIRED_BY_TRUNCATE(data->tg_event))
		subtract_table(data, with_partitions);
	else
		write_rows_of(data, source, count_statement);
	/* a snapshot taken from here on sees the rows and the deltas together */
	CommandCounterIncrement();
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/*
 * BEFORE TRUNCATE: subtract the rows while they still exist. TRUNCATE of a
 * partitioned table includes its partitions, whose triggers fire after its own. So
 * the rows of all partitions are subtracted at once, unless those of a partition have
 * been already: TRUNCATE may name a partition before its parent.
 */
static void
begin_truncate(TriggerData *data, Source *source, Statement statement)
{
	Relation	table = data->tg_relation;

	statement.with_partitions = table->rd_rel->relkind == RELKIND_PARTITIONED_TABLE &&
		!is_running_below(table, statement.kind, statement.family);
	if (running_on(table, statement.kind, statement.family) == NULL)
		count_rows_of(data, source, statement.with_partitions);
	running_begin(statement);
}

/*
 * BEFORE and AFTER INSERT/UPDATE/DELETE/TRUNCATE FOR EACH STATEMENT, on a tracked
 * table. The statement is registered as running from BEFORE to AFTER. While a TRUNCATE
 * is running, after the rows of the table have been subtracted, other statements on
 * the table are not counted: the TRUNCATE removes their rows, too.
 */
Datum
record(PG_FUNCTION_ARGS)
{
	TriggerData *data = statement_trigger(fcinfo, "record", "track");
	Source	   *source;
	Statement	statement;
	bool		truncates;

	/* the dump of our own events contains their timelines, too */
	if (in_restore() && RelationGetNamespace(data->tg_relation) == get_namespace_oid("leadscore", false))
		return PointerGetDatum(NULL);
	/* what one table loses another gets, by the same statement */
	if (running_on(data->tg_relation, STATEMENT_MOVE, 0))
		return PointerGetDatum(NULL);

	source = source_of_trigger(data->tg_trigger, data->tg_relation);
	statement = statement_of(data, source->family);
	truncates = statement.kind == TRIGGER_EVENT_TRUNCATE;
	if (TRIGGER_FIRED_AFTER(data->tg_event))
	{
		if (!truncates && running_on(data->tg_relation, TRIGGER_EVENT_TRUNCATE, statement.family) == NULL)
			count_rows_of(data, source, false);
		running_end(statement);
	}
	else if (truncates)
		begin_truncate(data, source, statement);
	else
		running_begin(statement);
	return PointerGetDatum(NULL);
}
