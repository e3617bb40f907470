/*
 * alias.c: the trigger that keeps aliases in step with a tracked table.
 *
 *     rows ──source──▶ edges: alias, lead, latest ──▶ alias_edge ──closure.c──▶ lead_alias
 *
 * Each row that names an alias and a lead has an edge in alias_edge. The statement that
 * writes the row writes its edge. Edges with the same content are interchangeable, so an
 * edge does not record which row it belongs to: the trigger adds one edge for each new
 * row and removes one for each old row. No other transaction does that for the same row,
 * because the statement's transaction holds the row lock; so the trigger waits for
 * nobody. An edge that a statement removes and adds again is not touched. A statement of
 * a trigger inside another one may have to remove an edge that the other has yet to add:
 * it is removed once no statement is running.
 *
 * As in record.c, rows of a statement are read as the user who wrote them, whole tables
 * as their owner, and only our own tables are written as our owner.
 */
#include "live/alias.h"

#include "bulk.h"
#include "catalog.h"
#include "label_order.h"
#include "lookup.h"
#include "session_cache.h"
#include "live/closure.h"
#include "live/commit.h"
#include "live/delta.h"
#include "live/skipped.h"
#include "live/source.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/nodeHash.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(record_alias);
PG_FUNCTION_INFO_V1(add_aliases);
PG_FUNCTION_INFO_V1(alias_rows);

/* Edges that one statement inserts. */
#define BATCH 10000

/* ---------- collecting ---------- */

/* The content of a row of alias_edge, as the key of a hash table: the lengths, then the bytes. */
typedef struct EdgeHeader
{
	uint16		alias;
	uint16		lead;
	bool		has_latest;
} EdgeHeader;

typedef struct EdgeEntry
{
	Label		edge;
	uint32		hash;
	char		status;
	int64		n;				/* new rows minus old rows */
} EdgeEntry;

#define SH_PREFIX edge
#define SH_ELEMENT_TYPE EdgeEntry
#define SH_KEY edge
#include "label_table.h"

typedef struct Edges
{
	MemoryContext context;		/* holds the edges; reset when they have been written */
	MemoryContext scratch;		/* holds the memory for reading one row */
	edge_hash  *edges;
	int			sign;			/* +1 or -1, for the rows of a whole table */
	bool		inside;			/* of a statement inside another one: see runs_inside() */
	Skips		skips;			/* new rows whose expressions fail */
} Edges;

static void
edges_begin(Edges *edges)
{
	memset(&edges->skips, 0, sizeof(Skips));
	edges->inside = false;
	edges->context = AllocSetContextCreate(CurrentMemoryContext, "leadscore edges", ALLOCSET_DEFAULT_SIZES);
	edges->scratch = AllocSetContextCreate(CurrentMemoryContext, "leadscore row", ALLOCSET_DEFAULT_SIZES);
	edges->edges = edge_create(edges->context, 8, NULL);
}

static Label
pack(const AliasRow *row)
{
	EdgeHeader	header;
	int			length = sizeof(header) + row->alias.length + row->lead.length + row->latest.length;
	char	   *packed = palloc(length);
	char	   *p = packed + sizeof(header);

	memset(&header, 0, sizeof(header));
	header.alias = row->alias.length;
	header.lead = row->lead.length;
	header.has_latest = row->latest.text != NULL;
	memcpy(packed, &header, sizeof(header));
	memcpy(p, row->alias.text, row->alias.length);
	memcpy(p + row->alias.length, row->lead.text, row->lead.length);
	if (header.has_latest)
		memcpy(p + row->alias.length + row->lead.length, row->latest.text, row->latest.length);
	return (Label) {packed, length};
}

static text *
label_text(const char *bytes, int length)
{
	return cstring_to_text_with_len(bytes, length);
}

/* The columns of alias_edge; latest may be NULL. */
static void
unpack(Label edge, text **alias, text **lead, text **latest)
{
	EdgeHeader	header;
	const char *p = edge.text + sizeof(header);

	memcpy(&header, edge.text, sizeof(header));
	*alias = label_text(p, header.alias);
	*lead = label_text(p + header.alias, header.lead);
	*latest = header.has_latest ? label_text(p + header.alias + header.lead, edge.length - sizeof(header) - header.alias - header.lead) : NULL;
}

/* Collect the edge of a row, if it has one. */
static void
collect(Edges *edges, Reading *reading, TupleTableSlot *slot, int sign)
{
	MemoryContext old = MemoryContextSwitchTo(edges->scratch);
	AliasRow	row;

	if (source_read_alias(reading, slot, &row))
	{
		Label		edge = pack(&row);
		bool		found;
		EdgeEntry  *entry = edge_insert(edges->edges, edge, &found);

		if (!found)
		{
			entry->edge.text = memcpy(MemoryContextAlloc(edges->context, edge.length), edge.text, edge.length);
			entry->n = 0;
		}
		entry->n += sign;
	}
	else if (row.row.fault == ROW_FAILED && sign > 0)
		skips_note(&edges->skips, reading, &row.row, false);
	MemoryContextSwitchTo(old);
	MemoryContextReset(edges->scratch);
}

/* ---------- writing ---------- */

/* Remove one edge with this content; another transaction may be removing an equal one. False if there is none. */
static bool
remove_edge(Lookup *lookup, const text *alias, const text *lead, const text *latest)
{
	bool		removed = false;

	lookup_begin(lookup, alias);
	while (!removed && lookup_next(lookup))
	{
		bool		isnull[3];
		text	   *its_lead = DatumGetTextPP(slot_getattr(lookup->slot, 2, &isnull[0]));
		Datum		its_latest = slot_getattr(lookup->slot, 3, &isnull[1]);
		Datum		identified = slot_getattr(lookup->slot, 4, &isnull[2]);

		if (text_equal(its_lead, lead) && isnull[1] == (latest == NULL) && !DatumGetBool(identified) &&
			(latest == NULL || text_equal(DatumGetTextPP(its_latest), latest)))
			removed = remove_row(lookup->table, &lookup->slot->tts_tid);
	}
	return removed;
}

/* Open alias_edge to look up the edges of an alias. */
static void
look_up_edges(Lookup *lookup, Relation table)
{
	if (!lookup_open(lookup, table, 1, SnapshotSelf))
		fail_for_index("alias_edge has an index on alias.");
}

void
remove_edges(Tuplestorestate *edges, TupleTableSlot *slot)
{
	Identity	user = switch_to_owner(our_owner(), 0);
	Relation	table = table_open(our_table("alias_edge"), RowExclusiveLock);
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "leadscore edge", ALLOCSET_SMALL_SIZES);
	Lookup		lookup = {0};

	look_up_edges(&lookup, table);
	while (tuplestore_gettupleslot(edges, true, false, slot))
	{
		MemoryContext old = MemoryContextSwitchTo(scratch);
		bool		isnull;
		text	   *alias;
		text	   *lead;
		text	   *latest;

		CHECK_FOR_INTERRUPTS();
		unpack(text_label(DatumGetTextPP(slot_getattr(slot, 1, &isnull))), &alias, &lead, &latest);
		MemoryContextSwitchTo(old);
		(void) remove_edge(&lookup, alias, lead, latest);
		MemoryContextReset(scratch);
	}
	MemoryContextDelete(scratch);
	lookup_close(&lookup);
	table_close(table, NoLock);
	CommandCounterIncrement();
	restore_user(user);
}

/* Edges to add: in bulk past the executor or, if somebody has changed the table, by a statement. */
typedef struct Added
{
	Bulk	   *bulk;			/* NULL: collect arrays for a statement */
	int			n;
	Datum	   *columns[3];
	bool	   *nulls;
} Added;

static void
add_begin(Added *added, Relation table)
{
	memset(added, 0, sizeof(Added));
	added->bulk = table->trigdesc ? NULL : bulk_open(table, 4);
	for (int i = 0; added->bulk == NULL && i < 3; i++)
		added->columns[i] = palloc(BATCH * sizeof(Datum));
	if (added->bulk == NULL)
		added->nulls = palloc(BATCH * sizeof(bool));
}

static void
add_arrays(Added *added)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[3] = {TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID};
	Datum		values[3];
	int			lower = 1;

	if (added->n == 0)
		return;
	for (int i = 0; i < 3; i++)
		values[i] = PointerGetDatum(construct_md_array(added->columns[i], i == 2 ? added->nulls : NULL, 1, &added->n, &lower,
													   TEXTOID, -1, false, TYPALIGN_INT));
	SPI_connect();
	session_plan(&plan, "SELECT leadscore_internal.add_edges($1, $2, $3)", 3, types);
	if (SPI_execute_plan(plan, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not add edges");
	SPI_finish();
	added->n = 0;
}

static void
add_edge(Added *added, text *alias, text *lead, text *latest)
{
	Datum		values[4] = {PointerGetDatum(alias), PointerGetDatum(lead), PointerGetDatum(latest), BoolGetDatum(false)};
	bool		nulls[4] = {false, false, latest == NULL, false};

	if (added->bulk)
	{
		bulk_add(added->bulk, values, nulls);
		return;
	}
	for (int i = 0; i < 3; i++)
		added->columns[i][added->n] = values[i];
	added->nulls[added->n] = latest == NULL;
	if (++added->n == BATCH)
		add_arrays(added);
}

static void
add_end(Added *added)
{
	if (added->bulk)
		bulk_close(added->bulk);
	else
		add_arrays(added);
}

static Label
alias_of(Label edge)
{
	EdgeHeader	header;

	memcpy(&header, edge.text, sizeof(header));
	return (Label) {edge.text + sizeof(header), header.alias};
}

/* The edges whose number has changed, in the order of their aliases. */
static int
changed_edges(Edges *edges, EdgeEntry ***entries)
{
	Size		most = Max(edges->edges->members, 1);
	EdgeEntry **changed = palloc_extended(most * sizeof(EdgeEntry *), MCXT_ALLOC_HUGE);
	LabelOrder *order = palloc_extended(most * sizeof(LabelOrder), MCXT_ALLOC_HUGE);
	edge_iterator it;
	EdgeEntry  *entry;
	int			n = 0;

	edge_start_iterate(edges->edges, &it);
	while ((entry = edge_iterate(edges->edges, &it)) != NULL)
		if (entry->n != 0)
		{
			order[n] = (LabelOrder) {.label = alias_of(entry->edge), .place = n};
			changed[n++] = entry;
		}
	order_labels(order, n);
	*entries = palloc_extended(most * sizeof(EdgeEntry *), MCXT_ALLOC_HUGE);
	for (int i = 0; i < n; i++)
		(*entries)[i] = changed[order[i].place];
	pfree(order);
	pfree(changed);
	return n;
}

/* Whether an edge is new, and the only one of its alias that changes. A table with latest_by mostly has others. */
static bool
is_single(EdgeEntry *const *entries, int n, int i)
{
	EdgeHeader	header;

	memcpy(&header, entries[i]->edge.text, sizeof(header));
	return entries[i]->n == 1 && !header.has_latest &&
		(i == 0 || !label_equal(alias_of(entries[i]->edge), alias_of(entries[i - 1]->edge))) &&
		(i + 1 == n || !label_equal(alias_of(entries[i]->edge), alias_of(entries[i + 1]->edge)));
}

/* Settle the names of such edges among these where that is easily done now; marks the edges. */
static void
settle_singles(EdgeEntry *const *entries, int n, bool *settled)
{
	NewEdge    *edges = palloc(n * sizeof(NewEdge));
	int		   *places = palloc(n * sizeof(int));
	text	   *latest;
	int			nedges = 0;

	for (int i = 0; i < n; i++)
	{
		settled[i] = false;
		if (!is_single(entries, n, i))
			continue;
		unpack(entries[i]->edge, &edges[nedges].alias, &edges[nedges].lead, &latest);
		places[nedges++] = i;
	}
	if (nedges > 0)
		settle_new_edges(edges, nedges);
	for (int i = 0; i < nedges; i++)
		settled[places[i]] = edges[i].is_settled;
}

/* Write one edge, or remove it, as often as its number has changed. */
static void
write_edge(Edges *edges, const EdgeEntry *entry, Added *added, Lookup *lookup, Relation table, bool settled)
{
	text	   *alias;
	text	   *lead;
	text	   *latest;

	unpack(entry->edge, &alias, &lead, &latest);
	if (entry->n < 0 && lookup->scan == NULL)
		look_up_edges(lookup, table);
	for (int64 j = entry->n; j < 0; j++)
		if (!remove_edge(lookup, alias, lead, latest) && edges->inside)
			remember_owed(label_text(entry->edge.text, entry->edge.length));
	for (int64 j = 0; j < entry->n; j++)
		add_edge(added, alias, lead, latest);
	if (!settled)
		remember_edges(alias, entry->n < 0);
}

/* Write the collected edges as our owner, remember their names to be settled, and empty the collection. */
static void
edges_write(Edges *edges)
{
	Identity	user = switch_to_owner(our_owner(), 0);
	MemoryContext old = MemoryContextSwitchTo(edges->context);
	Relation	table = table_open(our_table("alias_edge"), RowExclusiveLock);
	/* at REPEATABLE READ and above, what the snapshot does not see makes a name wait: see settle_names() */
	bool		may_settle = !IsolationUsesXactSnapshot() && is_last_running();
	bool	   *settled = palloc0(BATCH * sizeof(bool));
	Added		added;
	EdgeEntry **entries;
	int			n = changed_edges(edges, &entries);
	Lookup		lookup = {0};

	add_begin(&added, table);
	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (may_settle && i % BATCH == 0)
			settle_singles(entries + i, Min(n - i, BATCH), settled);
		write_edge(edges, entries[i], &added, &lookup, table, settled[i % BATCH]);
	}
	add_end(&added);
	lookup_close(&lookup);
	table_close(table, NoLock);
	CommandCounterIncrement();
	MemoryContextSwitchTo(old);
	restore_user(user);
	MemoryContextReset(edges->context);
	edges->edges = edge_create(edges->context, 8, NULL);
}

/* Write the edges when they fill their memory. Ends the reading first: see attempt_next(). */
static void
write_if_full(Edges *edges, Reading *reading)
{
	if (MemoryContextMemAllocated(edges->context, true) <= get_hash_memory_limit())
		return;
	reading_end(reading);
	edges_write(edges);
}

/* ---------- statements ---------- */

/* Collect the rows of a transition table; NULL: the statement has none. */
static void
collect_rows(Edges *edges, Source *source, Tuplestorestate *rows, TupleDesc row_type, int sign)
{
	TupleTableSlot *slot;
	Reading		reading = {.source = source};

	if (rows == NULL)
		return;
	slot = MakeSingleTupleTableSlot(row_type, &TTSOpsMinimalTuple);
	tuplestore_rescan(rows);
	/* a spilled row is read into the current context, so that must not be one that collect() resets */
	while (tuplestore_gettupleslot(rows, true, false, slot))
	{
		CHECK_FOR_INTERRUPTS();
		collect(edges, &reading, slot, sign);
		write_if_full(edges, &reading);
	}
	reading_end(&reading);
	ExecDropSingleTupleTableSlot(slot);
}

/* ---------- whole tables ---------- */

/* Collect a row of a whole table, which is read as its owner. */
static bool
collect_table_row(Reading *reading, TupleTableSlot *slot, void *argument)
{
	Edges	   *edges = argument;

	collect(edges, reading, slot, edges->sign);
	write_if_full(edges, reading);
	return true;
}

static void
collect_table(Edges *edges, Relation relation, Jsonb *mapping, bool with_children, int sign)
{
	edges->sign = sign;
	PushActiveSnapshot(GetLatestSnapshot());
	source_read_table(relation, mapping, with_children, 0, 0, "its rows are left out", collect_table_row, edges);
	PopActiveSnapshot();
}

/* ---------- the trigger ---------- */

/* Write what a statement has changed or, before a TRUNCATE, what the table holds. */
static void
write_statement(TriggerData *data, Source *source)
{
	Edges		edges;
	MemoryContext context;
	MemoryContext old;

	if (source_has_problem(source, data->tg_relation, true, "its rows name no aliases"))
		return;
	context = AllocSetContextCreate(CurrentMemoryContext, "leadscore record alias", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	edges_begin(&edges);
	edges.inside = runs_inside(statement_of(data, source->family));
	if (TRIGGER_FIRED_BY_TRUNCATE(data->tg_event))
		collect_table(&edges, data->tg_relation, mapping_of(data->tg_trigger), false, -1);
	else
	{
		int			settings = NewGUCNestLevel();

		if (source->pinned_settings)
			pin_settings();
		collect_rows(&edges, source, data->tg_oldtable, RelationGetDescr(data->tg_relation), -1);
		collect_rows(&edges, source, data->tg_newtable, RelationGetDescr(data->tg_relation), 1);
		AtEOXact_GUC(false, settings);
	}
	edges_write(&edges);
	skips_write(&edges.skips, RelationGetRelid(data->tg_relation));
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/*
 * BEFORE and AFTER INSERT/UPDATE/DELETE/TRUNCATE FOR EACH STATEMENT trigger on a table of
 * aliases. The BEFORE trigger notes the statement as running. The AFTER trigger ends that
 * and settles the names, unless another statement is still running.
 */
Datum
record_alias(PG_FUNCTION_ARGS)
{
	statement_fired(statement_trigger(fcinfo, "record_alias", "track_alias"), write_statement);
	return PointerGetDatum(NULL);
}

/*
 * add_aliases(source, mapping, with_children, subtract): add the edges of a table's rows,
 * or subtract them, and settle the names. Names that have lost an edge are settled before
 * the transaction commits: by then another table may have added the edge again.
 */
Datum
add_aliases(PG_FUNCTION_ARGS)
{
	Relation	relation = source_open(PG_GETARG_OID(0));
	Edges		edges;

	edges_begin(&edges);
	collect_table(&edges, relation, PG_GETARG_JSONB_P(1), PG_GETARG_BOOL(2), PG_GETARG_BOOL(3) ? -1 : 1);
	edges_write(&edges);
	settle_edges();
	table_close(relation, NoLock);
	PG_RETURN_VOID();
}

/* ---------- what the tables contain ---------- */

typedef struct RowsOut
{
	ReturnSetInfo *result;
	MemoryContext scratch;
} RowsOut;

static bool
return_row(Reading *reading, TupleTableSlot *slot, void *argument)
{
	RowsOut    *out = argument;
	MemoryContext old = MemoryContextSwitchTo(out->scratch);
	AliasRow	row;

	if (source_read_alias(reading, slot, &row))
	{
		Datum		values[3] = {PointerGetDatum(label_text(row.alias.text, row.alias.length)), PointerGetDatum(label_text(row.lead.text, row.lead.length))};
		bool		nulls[3] = {false, false, row.latest.text == NULL};

		if (row.latest.text)
			values[2] = PointerGetDatum(label_text(row.latest.text, row.latest.length));
		tuplestore_putvalues(out->result->setResult, out->result->setDesc, values, nulls);
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(out->scratch);
	return true;
}

/*
 * alias_rows(source, mapping) -> setof (alias, lead_id, latest): the edges of the rows of
 * a table and its children.
 */
Datum
alias_rows(PG_FUNCTION_ARGS)
{
	Relation	relation = source_open(PG_GETARG_OID(0));
	RowsOut		out = {(ReturnSetInfo *) fcinfo->resultinfo, AllocSetContextCreate(CurrentMemoryContext, "leadscore row", ALLOCSET_DEFAULT_SIZES)};

	InitMaterializedSRF(fcinfo, 0);
	source_read_table(relation, PG_GETARG_JSONB_P(1), true, 0, 0, "its rows are left out", return_row, &out);
	MemoryContextDelete(out.scratch);
	table_close(relation, NoLock);
	return (Datum) 0;
}
