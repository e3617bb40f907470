/*
 * current.c: the current timeline of a lead: its row of lead_timeline, and what is
 * pending for it.
 *
 *     timeline of a lead =   its row
 *                          + what is pending under its name and its aliases
 *                          + the rows of aliases that have something pending
 *
 * The third part exists if a writer held the lock on a visitor's row when identify() made
 * the visitor an alias, so that the row could not be moved. identify() then leaves an
 * empty delta, so that something is pending until fold() has moved the row.
 *
 * For one lead, each part is looked up by an index. A query that asks for many leads,
 * with has_pending() and timeline_of(), reads all that is pending into a hash table.
 */
#include "live/current.h"

#include "catalog.h"
#include "label.h"
#include "live/partition.h"
#include "live/pending.h"
#include "live/query_cache.h"
#include "timeline/timeline.h"

#include "access/table.h"
#include "catalog/pg_type.h"
#include "storage/bufmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(timeline_of);
PG_FUNCTION_INFO_V1(has_pending);

struct Current
{
	Relation	timelines;
	int			ntables;		/* partitions of lead_timeline */
	Oid		   *tables;
	Lookup	   *rows;			/* one per partition, or one for lead_timeline; its table is NULL: not opened yet */
	Snapshot	snapshot;
	Snapshot	newer;			/* a newer snapshot than the caller's; NULL: the caller's is used */
	Relation	aliases;		/* NULL: there are none */
	Lookup		leads;			/* by alias */
	Lookup		names;			/* by lead */
	Pending		pending;
	Pending		excluded;		/* excluded_lead, opened when first needed */
	bool		excluded_is_open;
};

Current *
current_open(Relation timelines, Snapshot snapshot)
{
	Current    *current = palloc0(sizeof(Current));
	bool		ours = true;

	current->timelines = timelines;
	if (!timelines_are_seen(timelines, snapshot))
	{
		/* at READ COMMITTED, a statement that has waited for the move reads the current rows */
		if (IsolationUsesXactSnapshot() || IsInParallelMode())
			fail_for_move();
		current->newer = snapshot = RegisterSnapshot(GetLatestSnapshot());
	}
	current->snapshot = snapshot;
	current->ntables = partition_tables(timelines, &current->tables);
	current->rows = palloc0(Max(current->ntables, 1) * sizeof(Lookup));
	if (aliases_exist() || must_look(snapshot))
	{
		current->aliases = table_open(our_table("lead_alias"), AccessShareLock);
		ours = lookup_open(&current->leads, current->aliases, 1, snapshot) &&
			lookup_open(&current->names, current->aliases, 2, snapshot);
	}
	pending_open(&current->pending, snapshot, NULL);
	ours = ours && (current->pending.table == NULL || current->pending.may_look_up) &&
		timelines->rd_rel->relkind == RELKIND_RELATION;
	if (ours)
		return current;
	current_close(current);
	return NULL;
}

void
current_close(Current *current)
{
	for (int i = 0; i < Max(current->ntables, 1); i++)
		if (current->rows[i].table)
		{
			lookup_close(&current->rows[i]);
			table_close(current->rows[i].table, NoLock);
		}
	if (current->aliases)
	{
		lookup_close(&current->leads);
		lookup_close(&current->names);
		table_close(current->aliases, NoLock);
	}
	pending_close(&current->pending);
	if (current->excluded_is_open)
		pending_close(&current->excluded);
	if (current->newer)
		UnregisterSnapshot(current->newer);
	pfree(current);
}

text *
current_lead_of(Current *current, const text *name)
{
	return current->aliases ? (text *) DatumGetPointer(lookup_value(&current->leads, name, 2)) : NULL;
}

static int
name_compare(const void *a, const void *b)
{
	return text_compare(*(text *const *) a, *(text *const *) b);
}

text **
aliases_of(Lookup *names, const text *lead_id, int *n)
{
	int			capacity = 4;
	text	  **aliases = palloc(capacity * sizeof(text *));

	*n = 0;
	lookup_begin(names, lead_id);
	while (lookup_next(names))
	{
		bool		isnull;

		CHECK_FOR_INTERRUPTS();
		if (*n == capacity)
			aliases = repalloc_huge(aliases, (capacity *= 2) * sizeof(text *));
		aliases[(*n)++] = DatumGetTextPCopy(slot_getattr(names->slot, 1, &isnull));
	}
	ExecClearTuple(names->slot);
	qsort(aliases, *n, sizeof(text *), name_compare);
	return aliases;
}

text **
current_aliases(Current *current, const text *lead_id, int *n)
{
	*n = 0;
	return current->aliases ? aliases_of(&current->names, lead_id, n) : NULL;
}

/* Find a row by a sequential scan, if somebody has dropped the primary key. */
static struct varlena *
row_by_scan(Relation table, Snapshot snapshot, const text *name)
{
	TableScanDesc scan = begin_table_scan(table, snapshot);
	TupleTableSlot *slot = table_slot_create(table, NULL);
	struct varlena *row = NULL;
	bool		isnull;

	while (row == NULL && table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		if (text_equal(DatumGetTextPP(slot_getattr(slot, 1, &isnull)), name))
			row = (struct varlena *) PG_DETOAST_DATUM_COPY(slot_getattr(slot, 2, &isnull));
	}
	ExecDropSingleTupleTableSlot(slot);
	table_endscan(scan);
	return row;
}

/* The row of a name, or NULL. */
static struct varlena *
row_of(Current *current, const text *name)
{
	int			number = current->ntables > 0 ? partition_of(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name), current->ntables) : 0;
	Lookup	   *row = &current->rows[number];

	if (row->table == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(GetMemoryChunkContext(current));	/* the context of current */
		Relation	table = table_open(current->ntables > 0 ? current->tables[number] : RelationGetRelid(current->timelines), AccessShareLock);

		(void) lookup_open(row, table, 1, current->snapshot);
		MemoryContextSwitchTo(old);
	}
	if (row->scan == NULL)
		return row_by_scan(row->table, current->snapshot, name);
	return (struct varlena *) DatumGetPointer(lookup_value(row, name, 2));
}

/* Add what is pending for a lead under all its names, and the rows of its aliases that have something pending. */
static TimelineBuilder *
add_names(Current *current, const text *lead_id, TimelineBuilder *builder)
{
	bool		any;

	builder = pending_add(&current->pending, lead_id, builder, &any);
	if (current->aliases == NULL)
		return builder;
	lookup_begin(&current->names, lead_id);
	while (lookup_next(&current->names))
	{
		bool		isnull;
		text	   *alias = DatumGetTextPP(slot_getattr(current->names.slot, 1, &isnull));
		struct varlena *row;

		builder = pending_add(&current->pending, alias, builder, &any);
		if (any && (row = row_of(current, alias)) != NULL)
			builder = timeline_builder_add_timeline(builder, row, 1);
	}
	ExecClearTuple(current->names.slot);
	return builder;
}

struct varlena *
current_timeline(Current *current, const text *lead_id)
{
	struct varlena *timeline = row_of(current, lead_id);

	if (current->pending.table)
	{
		TimelineBuilder *builder = timeline_builder_create(CurrentMemoryContext);
		bool		overflowed;

		builder->lenient = true;
		builder = add_names(current, lead_id, builder);
		timeline_builder_compact(builder);
		if (timeline == NULL || builder->n > 0)
			timeline = timeline_combine(timeline ? timeline : timeline_encode(NULL, 0),
										timeline_encode(builder->entries, builder->n), 1, &overflowed);
		pfree(builder);
	}
	return timeline && timeline_is_empty(timeline) ? NULL : timeline;
}

/* Whether a table has a row for a name or for one of its aliases. */
static bool
exist_for_names(Current *current, Pending *rows, const text *name)
{
	bool		any = pending_exist_for(rows, name);

	if (!any && current->aliases)
	{
		lookup_begin(&current->names, name);
		while (!any && lookup_next(&current->names))
		{
			bool		isnull;

			any = pending_exist_for(rows, DatumGetTextPP(slot_getattr(current->names.slot, 1, &isnull)));
		}
		ExecClearTuple(current->names.slot);
	}
	return any;
}

bool
current_is_pending(Current *current, const text *name)
{
	return exist_for_names(current, &current->pending, name);
}

bool
current_is_excluded(Current *current, const text *lead_id)
{
	if (!current->excluded_is_open)
	{
		MemoryContext old = MemoryContextSwitchTo(GetMemoryChunkContext(current));	/* the context of current */

		pending_open_table(&current->excluded, "excluded_lead", 1, current->snapshot, NULL);
		current->excluded_is_open = true;
		MemoryContextSwitchTo(old);
	}
	if (current->excluded.table == NULL)
		return false;
	if (!current->excluded.may_look_up)
		fail_for_index("excluded_lead has a primary key.");
	return exist_for_names(current, &current->excluded, lead_id);
}

/* ---------- functions ---------- */

void
check_timeline_rights(void)
{
	static const char *const names[] = {"lead_timeline", "lead_alias", "pending_delta"};

	for (Size i = 0; i < lengthof(names); i++)
		if (pg_class_aclcheck(our_table(names[i]), GetUserId(), ACL_SELECT) != ACLCHECK_OK &&
			pg_attribute_aclcheck_all(our_table(names[i]), GetUserId(), ACL_SELECT, ACLMASK_ALL) != ACLCHECK_OK)
			aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, names[i]);
}

Current *
current_open_or_fail(Relation timelines, Snapshot snapshot)
{
	Current    *current = current_open(timelines, snapshot);

	if (current == NULL)
		fail_for_index("lead_timeline and lead_alias have primary keys; lead_alias and pending_delta have an index on lead_id.");
	return current;
}

/* What is pending for a lead. */
typedef struct PendingLead
{
	Label		lead_id;
	uint32		hash;
	char		status;
	bool		is_alias;		/* it is an alias, not a lead: its row counts for its lead */
	struct varlena *sum;		/* of what is pending and, when rows are read, its row; NULL: it is in the builder */
	TimelineBuilder *builder;	/* NULL: there has been one delta at the most */
} PendingLead;

#define SH_PREFIX leads
#define SH_ELEMENT_TYPE PendingLead
#define SH_KEY lead_id
#include "label_table.h"

/* All that is pending, as of a snapshot. */
typedef struct AllPending
{
	QueryCache	cache;
	uint32		looked_up;		/* leads looked up by the index */
	uint32		few;			/* so many are, before all is read */
	bool		exists;			/* something may be pending */
	bool		sums;			/* timelines are asked for, not only names */
	leads_hash *leads;			/* NULL: not read yet */
	int			shift;			/* from a mark to a bit number of "marked" */
	uint64	   *marked;			/* a bitmap of the leads' marks: most names that a query asks for are not in it */
} AllPending;

/* About so many rows of pending_delta fit into a page. */
#define LEADS_A_PAGE 64
/* Bits of "marked" per lead. */
#define BITS_A_LEAD 16

/* A hash of the first and last bytes of a name, much cheaper than one of the whole name; use its upper bits. */
static inline uint64
name_mark(Label name)
{
	uint64		first = 0;
	uint64		last = name.length;

	if (name.length >= 8)
	{
		memcpy(&first, name.text, 8);
		memcpy(&last, name.text + name.length - 8, 8);
	}
	else
		for (int i = 0; i < name.length; i++)
			first = first << 8 | (unsigned char) name.text[i];
	first = (first ^ (last * UINT64CONST(0x9e3779b97f4a7c15))) * UINT64CONST(0xff51afd7ed558ccd);
	return (first ^ first >> 32) * UINT64CONST(0xc4ceb9fe1a85ec53);
}

static void
mark_leads(AllPending *all)
{
	leads_iterator it;
	PendingLead *lead;
	uint64		bits = pg_nextpower2_64(Max(all->leads->members, 4) * (uint64) BITS_A_LEAD);

	all->shift = 64 - pg_leftmost_one_pos64(bits);
	all->marked = MemoryContextAllocExtended(all->cache.context, bits / 8, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	leads_start_iterate(all->leads, &it);
	while ((lead = leads_iterate(all->leads, &it)) != NULL)
	{
		uint64		bit = name_mark(lead->lead_id) >> all->shift;

		all->marked[bit / 64] |= UINT64CONST(1) << (bit % 64);
	}
}

/* What is pending for a lead, after read_all(); NULL: nothing. */
static inline PendingLead *
find_lead(const AllPending *all, Label name)
{
	uint64		bit = name_mark(name) >> all->shift;

	return all->marked[bit / 64] >> (bit % 64) & 1 ? leads_lookup(all->leads, name) : NULL;
}

static PendingLead *
pending_lead(AllPending *all, const text *name)
{
	bool		found;
	Label		label = text_label(name);
	PendingLead *lead = leads_insert(all->leads, label, &found);

	if (!found)
	{
		lead->lead_id.text = memcpy(MemoryContextAlloc(all->cache.context, Max(label.length, 1)), label.text, label.length);
		lead->is_alias = false;
		lead->sum = NULL;
		lead->builder = NULL;
	}
	return lead;
}

/* Add to the sum of a lead. Most have one delta, which is kept as it is. */
static void
add_to_lead(AllPending *all, PendingLead *lead, const struct varlena *delta)
{
	if (!all->sums)
		return;
	if (lead->sum == NULL && lead->builder == NULL)
	{
		lead->sum = memcpy(MemoryContextAlloc(all->cache.context, VARSIZE_ANY(delta)), delta, VARSIZE_ANY(delta));
		return;
	}
	if (lead->builder == NULL)
	{
		lead->builder = timeline_builder_create(all->cache.context);
		lead->builder->lenient = true;
		lead->builder = timeline_builder_add_timeline(lead->builder, lead->sum, 1);
		pfree(lead->sum);
		lead->sum = NULL;
	}
	lead->builder = timeline_builder_add_timeline(lead->builder, delta, 1);
}

/* The sum of a lead; NULL: an alias has none of its own. */
static struct varlena *
sum_of(AllPending *all, PendingLead *lead)
{
	if (lead->builder)
	{
		MemoryContext old = MemoryContextSwitchTo(all->cache.context);

		timeline_builder_compact(lead->builder);
		lead->sum = timeline_encode(lead->builder->entries, lead->builder->n);
		pfree(lead->builder);
		lead->builder = NULL;
		MemoryContextSwitchTo(old);
	}
	return lead->sum;
}

/* Add a pending delta to its lead. If its name is an alias, add the alias's row, too, but only once. */
static void
add_pending(AllPending *all, Current *current, const text *name, const struct varlena *delta)
{
	text	   *target = current_lead_of(current, name);
	PendingLead *lead;

	if (target)
	{
		struct varlena *row;
		PendingLead *alias = pending_lead(all, name);

		row = alias->is_alias || !all->sums ? NULL : row_of(current, name);
		alias->is_alias = true;
		if (row)
			add_to_lead(all, pending_lead(all, target), row);
	}
	lead = pending_lead(all, target ? target : name);
	add_to_lead(all, lead, delta);
}

/* Add the rows that leads have themselves, from a table of timelines. */
static void
add_rows(AllPending *all, Oid table_id, Snapshot snapshot, MemoryContext scratch)
{
	Relation	table = table_open(table_id, AccessShareLock);
	TableScanDesc scan = begin_table_scan(table, snapshot);
	TupleTableSlot *slot = table_slot_create(table, NULL);
	bool		overflowed;
	bool		isnull;

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		PendingLead *lead = find_lead(all, text_label(DatumGetTextPP(slot_getattr(slot, 1, &isnull))));

		CHECK_FOR_INTERRUPTS();
		if (lead && !lead->is_alias)
		{
			MemoryContext old = MemoryContextSwitchTo(scratch);
			struct varlena *sum = timeline_combine(DatumGetTimeline(slot_getattr(slot, 2, &isnull)), sum_of(all, lead), 1, &overflowed);

			pfree(lead->sum);
			lead->sum = memcpy(MemoryContextAlloc(all->cache.context, VARSIZE(sum)), sum, VARSIZE(sum));
			MemoryContextSwitchTo(old);
			MemoryContextReset(scratch);
		}
	}
	ExecDropSingleTupleTableSlot(slot);
	table_endscan(scan);
	table_close(table, AccessShareLock);
}

static void
read_all(AllPending *all)
{
	Relation	timelines = table_open(our_table("lead_timeline"), AccessShareLock);
	Relation	table = table_open(our_table("pending_delta"), AccessShareLock);
	Current    *current = current_open_or_fail(timelines, GetActiveSnapshot());
	TableScanDesc scan = begin_table_scan(table, current->snapshot);
	TupleTableSlot *slot = table_slot_create(table, NULL);
	MemoryContext scratch = AllocSetContextCreate(all->cache.context, "leadscore pending row", ALLOCSET_DEFAULT_SIZES);

	/* (a table that grows clears and copies more than one that has room from the start) */
	all->leads = leads_create(all->cache.context, Min(RelationGetNumberOfBlocks(table), 16384) * LEADS_A_PAGE, NULL);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		MemoryContext old = MemoryContextSwitchTo(scratch);
		bool		isnull;

		CHECK_FOR_INTERRUPTS();
		add_pending(all, current, DatumGetTextPP(slot_getattr(slot, 1, &isnull)), DatumGetTimeline(slot_getattr(slot, 2, &isnull)));
		MemoryContextSwitchTo(old);
		MemoryContextReset(scratch);
	}
	ExecDropSingleTupleTableSlot(slot);
	table_endscan(scan);
	mark_leads(all);
	for (int i = 0; all->sums && i < Max(current->ntables, 1); i++)
		add_rows(all, current->ntables > 0 ? current->tables[i] : RelationGetRelid(timelines), current->snapshot, scratch);
	MemoryContextDelete(scratch);
	current_close(current);
	table_close(table, AccessShareLock);
	table_close(timelines, AccessShareLock);
}

/* How many pages of timelines there are. */
static BlockNumber
timeline_pages(void)
{
	Relation	timelines = table_open(our_table("lead_timeline"), AccessShareLock);
	BlockNumber pages = 0;
	Oid		   *tables;
	int			ntables = partition_tables(timelines, &tables);

	for (int i = 0; i < ntables; i++)
	{
		Relation	table = table_open(tables[i], AccessShareLock);

		pages += RelationGetNumberOfBlocks(table);
		table_close(table, AccessShareLock);
	}
	if (ntables == 0 && timelines->rd_rel->relkind == RELKIND_RELATION)
		pages = RelationGetNumberOfBlocks(timelines);
	table_close(timelines, AccessShareLock);
	return pages;
}

/* The state kept for the duration of the query. */
static AllPending *
all_pending(FunctionCallInfo fcinfo, bool sums)
{
	AllPending *all = query_cache_get(fcinfo);

	if (all)
		return all;
	check_timeline_rights();
	all = query_cache_new(fcinfo, sizeof(AllPending));
	all->exists = table_has_pages("pending_delta");
	all->sums = sums;
	/* to look up a lead costs about as much as to read a few pages of timelines */
	all->few = sums && all->exists ? Max(FEW, timeline_pages() / 8) : FEW;
	return all;
}

/* Whether anything is pending for a name, looked up by indexes. */
static bool
look_up_pending(const text *name)
{
	Relation	timelines = table_open(our_table("lead_timeline"), AccessShareLock);
	Current    *current = current_open_or_fail(timelines, GetActiveSnapshot());
	bool		any = current_is_pending(current, name);

	current_close(current);
	table_close(timelines, AccessShareLock);
	return any;
}

/* A timeline, looked up by indexes. */
static struct varlena *
look_up_timeline(const text *lead_id)
{
	Relation	timelines = table_open(our_table("lead_timeline"), AccessShareLock);
	Current    *current = current_open_or_fail(timelines, GetActiveSnapshot());
	struct varlena *timeline = current_lead_of(current, lead_id) ? NULL : current_timeline(current, lead_id);

	current_close(current);
	table_close(timelines, AccessShareLock);
	return timeline;
}

/* Whether to look up a name on its own, as one of the first of a query; otherwise all that is pending has been read. */
static bool
is_one_of_few(AllPending *all)
{
	if (all->marked)
		return false;
	if (!all->exists || all->looked_up < all->few)
	{
		all->looked_up++;
		return true;
	}
	read_all(all);
	return false;
}

/*
 * has_pending(lead_id): whether more counts for the lead than its row of lead_timeline,
 * or its row counts for another.
 */
Datum
has_pending(PG_FUNCTION_ARGS)
{
	AllPending *all = all_pending(fcinfo, false);
	text	   *lead_id = PG_GETARG_TEXT_PP(0);

	if (is_one_of_few(all))
		PG_RETURN_BOOL(all->exists && look_up_pending(lead_id));
	PG_RETURN_BOOL(find_lead(all, text_label(lead_id)) != NULL);
}

/* timeline_of(lead_id): the timeline of a lead, as of the query's snapshot; NULL: it has none, or is an alias. */
Datum
timeline_of(PG_FUNCTION_ARGS)
{
	AllPending *all = all_pending(fcinfo, true);
	text	   *lead_id = PG_GETARG_TEXT_PP(0);
	PendingLead *lead = is_one_of_few(all) ? NULL : find_lead(all, text_label(lead_id));
	struct varlena *timeline = lead == NULL ? look_up_timeline(lead_id) : lead->is_alias ? NULL : sum_of(all, lead);

	if (timeline == NULL || timeline_is_empty(timeline))
		PG_RETURN_NULL();
	PG_RETURN_POINTER(timeline);
}
