/*
 * profile.c: the trigger that keeps profiles in step with a table of customers.
 *
 *     statement's rows ──source──▶ attributes ──▶ one change a lead ──▶ profile_write.c
 *
 * The attributes of a row are merged into the profile of its lead; those of an old
 * row are removed first. As in record.c, rows are read as the user who wrote them,
 * and whole tables as their owner. Only our own tables are written as our owner.
 *
 * Memory. When the collected changes exceed the memory limit of a hash table, they
 * are written. Old rows are collected before new rows: otherwise an old row that no
 * longer names a lead could remove the attributes that a new row has just added.
 */
#include "live/profile.h"

#include "catalog.h"
#include "label.h"
#include "live/commit.h"
#include "live/delta.h"
#include "live/skipped.h"
#include "live/source.h"

#include "access/table.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/nodeHash.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(record_profile);
PG_FUNCTION_INFO_V1(add_profiles);

/* ---------- collecting ---------- */

/* The collected rows of one lead. */
typedef struct LeadRows
{
	Label		lead_id;
	uint32		hash;
	char		status;
	Jsonb	   *old;			/* merged attributes of the old rows; NULL: no old row */
	Jsonb	   *new;			/* attributes of the new row that counts; NULL: no new row */
	LeadChange	change;			/* to be written */
} LeadRows;

#define SH_PREFIX rows
#define SH_ELEMENT_TYPE LeadRows
#define SH_KEY lead_id
#include "label_table.h"

typedef struct Collection
{
	MemoryContext context;		/* holds the leads; reset when they have been written */
	MemoryContext scratch;		/* for reading one row; reset after each */
	rows_hash  *leads;
	Latest	   *latest;			/* looks up the rows that count; NULL: each lead has one row */
	Latest	   *current;		/* looks up that row, which may have been changed since; NULL: it is the statement's */
} Collection;

static Collection
collection_create(MemoryContext context)
{
	Collection	c;

	c.context = AllocSetContextCreate(context, "leadscore profiles", ALLOCSET_DEFAULT_SIZES);
	c.scratch = AllocSetContextCreate(context, "leadscore row", ALLOCSET_DEFAULT_SIZES);
	c.leads = rows_create(c.context, 8, NULL);
	c.latest = c.current = NULL;
	return c;
}

static bool
has_same_keys(Jsonb *a, Jsonb *b)
{
	JsonbIterator *x = JsonbIteratorInit(&a->root);
	JsonbIterator *y = JsonbIteratorInit(&b->root);
	JsonbValue	v;
	JsonbValue	w;
	JsonbIteratorToken token;

	if (JB_ROOT_COUNT(a) != JB_ROOT_COUNT(b))
		return false;
	do
	{
		token = JsonbIteratorNext(&x, &v, true);
		(void) JsonbIteratorNext(&y, &w, true);
		if (token == WJB_KEY && !label_equal((Label) {v.val.string.val, v.val.string.len}, (Label) {w.val.string.val, w.val.string.len}))
			return false;
	} while (token != WJB_DONE);
	return true;
}

static Jsonb *
copy_jsonb(MemoryContext context, const Jsonb *value)
{
	return memcpy(MemoryContextAlloc(context, VARSIZE(value)), value, VARSIZE(value));
}

/* Store a copy of a value, and free the value that it replaces. */
static void
replace(Jsonb **place, MemoryContext context, const Jsonb *value)
{
	Jsonb	   *before = *place;

	*place = copy_jsonb(context, value);
	if (before)
		pfree(before);
}

/*
 * Collect a row, which is an old row ("was_there") or a new one. If a lead has several
 * new rows, the one with the smallest attributes is kept. If the row that counts is
 * looked up when the change is written, only the keys of the rows matter here.
 */
static void
collect(Collection *c, Label lead_id, Jsonb *attributes, bool was_there)
{
	bool		found;
	LeadRows   *lead = rows_insert(c->leads, lead_id, &found);
	bool		is_old = was_there || c->latest || c->current;

	if (!found)
	{
		lead->lead_id.text = memcpy(MemoryContextAlloc(c->context, lead_id.length), lead_id.text, lead_id.length);
		lead->old = lead->new = NULL;
	}
	if (is_old && lead->old == NULL)
		replace(&lead->old, c->context, attributes);
	else if (is_old && !has_same_keys(lead->old, attributes))
		replace(&lead->old, c->context,
				DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(lead->old), JsonbPGetDatum(attributes))));
	else if (!is_old && (lead->new == NULL || compareJsonbContainers(&attributes->root, &lead->new->root) < 0))
		replace(&lead->new, c->context, attributes);
}

/* ---------- writing ---------- */

static int
change_compare(const void *a, const void *b)
{
	return text_compare((*(LeadChange *const *) a)->lead_id, (*(LeadChange *const *) b)->lead_id);
}

/* Write the collected changes as our owner, in index order, and empty the collection. */
static void
write_collected(Collection *c)
{
	Identity	user = switch_to_owner(our_owner(), 0);
	MemoryContext old = MemoryContextSwitchTo(c->context);
	LeadChange **changes = palloc_extended(Max(c->leads->members, 1) * sizeof(LeadChange *), MCXT_ALLOC_HUGE);
	rows_iterator it;
	LeadRows   *lead;
	int			n = 0;

	rows_start_iterate(c->leads, &it);
	while ((lead = rows_iterate(c->leads, &it)) != NULL)
	{
		lead->change.lead_id = cstring_to_text_with_len(lead->lead_id.text, lead->lead_id.length);
		lead->change.keys = c->latest ? lead->old : NULL;
		if (c->current)
			lead->new = latest_row(c->current, lead->change.lead_id).attributes;
		lead->change.change = (ProfileChange) {lead->old ? keys_without(lead->old, lead->new) : NULL, lead->new, false};
		changes[n++] = &lead->change;
	}
	qsort(changes, n, sizeof(LeadChange *), change_compare);
	write_profile_changes(changes, n, c->latest);
	MemoryContextSwitchTo(old);
	restore_user(user);
	MemoryContextReset(c->context);
	c->leads = rows_create(c->context, 8, NULL);
}

static bool
is_full(const Collection *c)
{
	return MemoryContextMemAllocated(c->context, true) > get_hash_memory_limit();
}

/* ---------- statements ---------- */

/* Collect the rows of a transition table, which is NULL if the statement has none. */
static void
collect_rows(Collection *c, Source *source, Tuplestorestate *rows, TupleDesc row_type, bool is_old, Skips *skips)
{
	TupleTableSlot *slot;
	Reading		reading = {.source = source};

	if (rows == NULL)
		return;
	slot = MakeSingleTupleTableSlot(row_type, &TTSOpsMinimalTuple);
	tuplestore_rescan(rows);
	/* a spilled row is read into the current context, which must not be the one that is reset */
	while (tuplestore_gettupleslot(rows, true, false, slot))
	{
		MemoryContext old = MemoryContextSwitchTo(c->scratch);
		SourceRow	row;
		Jsonb	   *attributes;

		CHECK_FOR_INTERRUPTS();
		attributes = source_read_profile(&reading, slot, &row);
		if (!is_old)
			skips_note(skips, &reading, &row, attributes != NULL || row.fault == ROW_FAULTS);
		if (attributes)
			collect(c, (Label) {row.lead_id, row.lead_id_length}, attributes, is_old);
		MemoryContextSwitchTo(old);
		MemoryContextReset(c->scratch);
		if (is_full(c))
		{
			reading_end(&reading);
			write_collected(c);
		}
	}
	reading_end(&reading);
	ExecDropSingleTupleTableSlot(slot);
}

/* ---------- whole tables ---------- */

/* The rows of a table, all read as its owner before any change is written; kept in work_mem, then on disk. */
typedef struct TableRows
{
	TupleDesc	row_type;		/* (lead_id text, attributes jsonb) */
	Tuplestorestate *rows;
	MemoryContext scratch;
} TableRows;

static bool
keep_row(Reading *reading, TupleTableSlot *slot, void *argument)
{
	TableRows  *table = argument;
	MemoryContext old = MemoryContextSwitchTo(table->scratch);
	SourceRow	row;
	Jsonb	   *attributes = source_read_profile(reading, slot, &row);

	if (attributes)
	{
		Datum		values[2] = {PointerGetDatum(cstring_to_text_with_len(row.lead_id, row.lead_id_length)), JsonbPGetDatum(attributes)};
		bool		nulls[2] = {false, false};

		tuplestore_putvalues(table->rows, table->row_type, values, nulls);
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(table->scratch);
	return true;
}

/* Collect the rows of a whole table, read with the latest snapshot. */
static void
collect_table(Collection *c, Relation relation, Jsonb *mapping, bool with_children, bool is_old)
{
	TableRows	table;
	TupleTableSlot *slot;

	table.row_type = CreateTemplateTupleDesc(2);
	TupleDescInitEntry(table.row_type, 1, "lead_id", TEXTOID, -1, 0);
	TupleDescInitEntry(table.row_type, 2, "attributes", JSONBOID, -1, 0);
	finish_row_type(table.row_type);
	table.rows = tuplestore_begin_heap(false, false, work_mem);
	table.scratch = AllocSetContextCreate(CurrentMemoryContext, "leadscore row", ALLOCSET_DEFAULT_SIZES);
	PushActiveSnapshot(GetLatestSnapshot());
	source_read_table(relation, mapping, with_children, 0, 0, "its rows are left out", keep_row, &table);
	PopActiveSnapshot();

	slot = MakeSingleTupleTableSlot(table.row_type, &TTSOpsMinimalTuple);
	while (tuplestore_gettupleslot(table.rows, true, false, slot))
	{
		MemoryContext old = MemoryContextSwitchTo(c->scratch);

		CHECK_FOR_INTERRUPTS();
		slot_getallattrs(slot);
		collect(c, text_label(DatumGetTextPP(slot->tts_values[0])), DatumGetJsonbP(slot->tts_values[1]), is_old);
		MemoryContextSwitchTo(old);
		MemoryContextReset(c->scratch);
		if (is_full(c))
			write_collected(c);
	}
	ExecDropSingleTupleTableSlot(slot);
	tuplestore_end(table.rows);
	MemoryContextDelete(table.scratch);
}

/* ---------- rows that are looked up ---------- */

/*
 * Open a table to look up its latest rows; NULL if the mapping has no latest_by. The rows
 * of excluded tables no longer count.
 */
static Latest *
open_latest(Oid table, Jsonb *mapping, List *excluded)
{
	Identity	user;
	Latest	   *latest;

	if (!mapping_has_latest(mapping))
		return NULL;
	user = switch_to_owner(our_owner(), 0);
	latest = latest_open(table, mapping, excluded);
	restore_user(user);
	return latest;
}

/*
 * Open a table to look up rows that a statement of a trigger has changed after this one
 * wrote them; it has been counted before. NULL if there was none. The rows are ours until
 * the transaction ends, so what is found stays.
 */
static Latest *
open_current(TriggerData *data, Source *source)
{
	Jsonb	   *mapping = mapping_of(data->tg_trigger);
	Identity	user;
	Latest	   *current;

	if (mapping_has_latest(mapping) || !is_overtaken(statement_of(data, source->family)))
		return NULL;
	user = switch_to_owner(our_owner(), 0);
	current = latest_open(RelationGetRelid(data->tg_relation), mapping, NIL);
	if (!latest_is_ready(current))
	{
		latest_close(current);
		current = NULL;
	}
	restore_user(user);
	return current;
}

static void
close_latest(Collection *c)
{
	if (c->latest)
		latest_close(c->latest);
	if (c->current)
		latest_close(c->current);
	c->latest = c->current = NULL;
}

/* ---------- the trigger ---------- */

/* Write the changes of a statement. Before a TRUNCATE, remove the rows that the table holds. */
static void
write_statement(TriggerData *data, Source *source)
{
	Collection	c;
	Skips		skips = {0};
	MemoryContext context;
	MemoryContext old;

	if (source_has_problem(source, data->tg_relation, true, "its rows are no profiles"))
		return;
	context = AllocSetContextCreate(CurrentMemoryContext, "leadscore record profile", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	c = collection_create(context);
	c.latest = open_latest(RelationGetRelid(data->tg_relation), mapping_of(data->tg_trigger), NIL);
	c.current = open_current(data, source);
	if (TRIGGER_FIRED_BY_TRUNCATE(data->tg_event))
		collect_table(&c, data->tg_relation, mapping_of(data->tg_trigger), false, true);
	else
	{
		int			settings = NewGUCNestLevel();

		if (source->pinned_settings)
			pin_settings();
		collect_rows(&c, source, data->tg_oldtable, RelationGetDescr(data->tg_relation), true, &skips);
		collect_rows(&c, source, data->tg_newtable, RelationGetDescr(data->tg_relation), false, &skips);
		AtEOXact_GUC(false, settings);
	}
	skips_write(&skips, RelationGetRelid(data->tg_relation));
	write_collected(&c);
	close_latest(&c);
	/* a snapshot taken from here on sees the rows and the profiles together */
	CommandCounterIncrement();
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/*
 * BEFORE and AFTER INSERT/UPDATE/DELETE/TRUNCATE FOR EACH STATEMENT, on a table of
 * customers. The statement is registered as running from BEFORE to AFTER.
 */
Datum
record_profile(PG_FUNCTION_ARGS)
{
	statement_fired(statement_trigger(fcinfo, "record_profile", "track_profile"), write_statement);
	return PointerGetDatum(NULL);
}

/*
 * add_profiles(source, mapping, with_children, subtract): merge the rows of a
 * table into the profiles, or remove them.
 */
Datum
add_profiles(PG_FUNCTION_ARGS)
{
	Oid			oid = PG_GETARG_OID(0);
	Jsonb	   *mapping = PG_GETARG_JSONB_P(1);
	bool		with_children = PG_GETARG_BOOL(2);
	bool		subtract = PG_GETARG_BOOL(3);
	Relation	relation = source_open(oid);
	Collection	c = collection_create(CurrentMemoryContext);

	c.latest = open_latest(oid, mapping,
						   !subtract ? NIL : with_children ? find_all_inheritors(oid, NoLock, NULL) : list_make1_oid(oid));
	collect_table(&c, relation, mapping, with_children, subtract);
	write_collected(&c);
	close_latest(&c);
	CommandCounterIncrement();
	table_close(relation, NoLock);
	PG_RETURN_VOID();
}
