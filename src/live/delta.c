/*
 * delta.c: adding deltas to the timelines of their leads.
 *
 * If nobody else holds the lock on a lead's row of lead_timeline, the delta is added to
 * the row, together with what is pending under its name. Otherwise, and for most names that
 * are aliases, the delta is appended to pending_delta, under the name that the event has.
 * So a writer waits for nobody, and the order in which leads are written does not matter.
 * Addition commutes, so it is correct to add to a version of the row that is newer than
 * the transaction's snapshot. If somebody has changed lead_timeline, for example by
 * adding a trigger, all deltas are appended, and fold() writes them with statements.
 *
 * Aliases. A name that is an alias has no row, or one that is still to be moved: such a
 * row counts for the lead while anything is pending under the name, even an empty delta.
 * identify() removes the row or, if a writer holds its lock, appends an empty delta. A
 * writer looks up a name in lead_alias before it locks the row, and again afterwards,
 * then including uncommitted aliases. If the name has become an alias by then, or may
 * become one, the writer appends the empty delta itself.
 *
 * A delta of an alias is added to the row of its lead only under the lock on the alias
 * (share mode is enough, see try_to_keep_name()), which is held to the end of the
 * transaction. A transaction that gives the alias to another lead holds the exclusive lock.
 * So it sees each event of the alias, and its delta either in that row or pending under
 * the alias.
 */
#include "live/delta.h"

#include "catalog.h"
#include "label.h"
#include "lookup.h"
#include "live/commit.h"
#include "live/identity.h"
#include "live/partition.h"
#include "live/pending.h"
#include "live/store.h"
#include "live/transition.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/nodeHash.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(add_delta);
PG_FUNCTION_INFO_V1(add_deltas);
PG_FUNCTION_INFO_V1(lock_lead_rows);

/* Rows that one statement appends. */
#define BATCH 10000

/* Limit of index entries of pending_delta that a writer reads for a lead. */
#define TAKE_ALONG 100

/* A statement of more names appends under aliases: it would keep others from changing them for too long. */
#define MOST_KEPT 10000

/* From this many names on, aliases and what is pending are looked up by walking along an index. */
#define MANY_NAMES 100

/* ---------- collecting ---------- */

typedef struct LeadDelta
{
	Label		lead_id;
	uint32		hash;
	char		status;
	bool		lenient;		/* copied from the builder */
	bool		is_alias;
	bool		written;		/* we hold the row lock, and the row has the delta */
	bool		is_large;		/* its row is not written for each event; fold() does it */
	TimelineBuilder *builder;
	text	   *name;			/* lead_id, set once all is collected */
	struct varlena *delta;		/* what to add, set likewise */
	text	   *counts_for;		/* the lead whose sum has the delta; NULL: none */
} LeadDelta;

#define SH_PREFIX delta
#define SH_ELEMENT_TYPE LeadDelta
#define SH_KEY lead_id
#include "label_table.h"

struct Deltas
{
	MemoryContext context;		/* holds the leads; reset when they have been written */
	delta_hash *leads;			/* NULL: none */
	bool		noted;			/* append the names to changed_lead when the deltas are written */
	int32		archiving_before;	/* append hours before it to timeline_base, too; 0: do not */
};

Deltas *
deltas_create(MemoryContext context, int32 archiving_before)
{
	Deltas	   *deltas = MemoryContextAlloc(context, sizeof(Deltas));

	deltas->context = AllocSetContextCreate(context, "leadscore deltas", ALLOCSET_DEFAULT_SIZES);
	deltas->leads = NULL;
	deltas->noted = false;
	deltas->archiving_before = archiving_before;
	return deltas;
}

bool
deltas_are_full(const Deltas *deltas)
{
	return MemoryContextMemAllocated(deltas->context, true) > get_hash_memory_limit();
}

/*
 * The builder of a lead's delta, created when the lead is first seen; adding to it may
 * move it. An hour that overflows is an error, unless all that is added is lenient: a
 * statement of the shop must not fail because a total is absurd.
 */
TimelineBuilder **
deltas_of(Deltas *deltas, const char *lead_id, int length, bool lenient)
{
	bool		found;
	LeadDelta  *lead;

	if (deltas->leads == NULL)
		deltas->leads = delta_create(deltas->context, 2, NULL);
	lead = delta_insert(deltas->leads, (Label) {lead_id, length}, &found);
	if (!found)
	{
		lead->lead_id.text = memcpy(MemoryContextAlloc(deltas->context, length), lead_id, length);
		lead->builder = timeline_builder_create(deltas->context);
		lead->builder->lenient = lenient;
	}
	else if (!lenient)
		lead->builder->lenient = false;
	return &lead->builder;
}

static void
warn_overflow(const char *lead_id, int length)
{
	ereport(WARNING,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("an hour of lead \"%s\" is out of range", excerpt(lead_id, length, 100)),
			 errdetail("Its occurrences or its value do not fit into 64 bits (values count in millionths): they wrap around, and the scores that use them are wrong."),
			 errhint("Correct the values: the scores are then right again.")));
}

static text *
name_of(const LeadDelta *lead)
{
	return cstring_to_text_with_len(lead->lead_id.text, lead->lead_id.length);
}

static int
name_compare(const void *a, const void *b)
{
	return label_compare((*(LeadDelta *const *) a)->lead_id, (*(LeadDelta *const *) b)->lead_id);
}

/* Encode the deltas, and return the leads whose delta is not empty, in index order. */
static int
deltas_complete(Deltas *deltas, LeadDelta ***leads)
{
	delta_iterator it;
	LeadDelta  *lead;
	int			n = 0;

	*leads = NULL;
	if (deltas->leads == NULL)
		return 0;
	*leads = palloc_extended(Max(deltas->leads->members, 1) * sizeof(LeadDelta *), MCXT_ALLOC_HUGE);
	delta_start_iterate(deltas->leads, &it);
	while ((lead = delta_iterate(deltas->leads, &it)) != NULL)
	{
		timeline_builder_compact(lead->builder);
		if (lead->builder->overflowed)
			warn_overflow(lead->lead_id.text, lead->lead_id.length);
		if (lead->builder->n == 0)
			continue;
		lead->lenient = lead->builder->lenient;
		lead->delta = timeline_encode(lead->builder->entries, lead->builder->n);
		lead->name = name_of(lead);
		(*leads)[n++] = lead;
	}
	qsort(*leads, n, sizeof(LeadDelta *), name_compare);
	return n;
}

/* ---------- appending ---------- */

/*
 * Append deltas with a few executions of a statement. Its $1 and $2 are arrays of names and
 * timelines, its $3 is an instant.
 */
static void
insert_deltas(const char *insert, LeadDelta **leads, int n, Relation timelines, TimestampTz instant)
{
	Oid			timeline_type = TupleDescAttr(RelationGetDescr(timelines), 1)->atttypid;
	Oid			types[3] = {TEXTARRAYOID, get_array_type(timeline_type), TIMESTAMPTZOID};
	Datum	   *ids = palloc(Min(n, BATCH) * sizeof(Datum));
	Datum	   *values = palloc(Min(n, BATCH) * sizeof(Datum));

	SPI_connect();
	for (int first = 0; first < n; first += BATCH)
	{
		int			size = Min(BATCH, n - first);
		Datum		arguments[3];

		for (int i = 0; i < size; i++)
		{
			ids[i] = PointerGetDatum(leads[first + i]->name);
			values[i] = PointerGetDatum(leads[first + i]->delta);
		}
		arguments[0] = PointerGetDatum(construct_array(ids, size, TEXTOID, -1, false, TYPALIGN_INT));
		arguments[1] = PointerGetDatum(construct_array(values, size, timeline_type, -1, false, TYPALIGN_INT));
		arguments[2] = TimestampTzGetDatum(instant);
		if (SPI_execute_with_args(insert, 3, types, arguments, NULL, false, 0) != SPI_OK_INSERT)
			elog(ERROR, "could not append deltas");
	}
	SPI_finish();
}

/* Append to pending_delta past the executor. */
static void
append_rows(Store *store, LeadDelta **leads, int n)
{
	text	   *names[APPENDED_AT_ONCE];
	struct varlena *deltas[APPENDED_AT_ONCE];
	int			size;

	for (int first = 0; first < n; first += size)
	{
		CHECK_FOR_INTERRUPTS();
		size = Min(APPENDED_AT_ONCE, n - first);
		for (int i = 0; i < size; i++)
		{
			names[i] = leads[first + i]->name;
			deltas[i] = leads[first + i]->delta;
		}
		store_append_some(store, names, deltas, size);
	}
}

/* Append deltas to pending_delta, under the names that the events have. */
static void
append_pending(LeadDelta **leads, int n)
{
	static Look look;
	Relation	pending;
	Store	   *store;

	if (n == 0)
		return;
	pending = open_once("pending_delta", RowExclusiveLock, &look);
	store = store_open(pending, false, false);
	if (store)
	{
		append_rows(store, leads, n);
		store_close(store);
	}
	else
		insert_deltas("INSERT INTO leadscore.pending_delta (lead_id, delta)"
					  " SELECT d.lead_id, d.delta"
					  " FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) AS d (lead_id, delta)",
					  leads, n, pending, 0);
	table_close(pending, NoLock);
}

/*
 * While archive() is at work: append what the deltas say of the hours that it archives to
 * timeline_base, under the names that the events have. archive() takes what its snapshot
 * sees of that, and what is committed later belongs to the base as it is.
 */
static void
append_base(const Deltas *deltas, LeadDelta **leads, int n, Relation timelines)
{
	LeadDelta **archived;
	int			narchived = 0;

	if (deltas->archiving_before == 0)
		return;
	archived = palloc_extended(Max(n, 1) * sizeof(LeadDelta *), MCXT_ALLOC_HUGE);
	for (int i = 0; i < n; i++)
	{
		TimelineBuilder *builder = leads[i]->builder;
		TimelineEntry *entries = palloc(builder->n * sizeof(TimelineEntry));
		LeadDelta  *part;
		int			kept = 0;

		for (uint32 j = 0; j < builder->n; j++)
			if (builder->entries[j].hour < deltas->archiving_before)
				entries[kept++] = builder->entries[j];
		if (kept == 0)
			continue;
		part = palloc0(sizeof(LeadDelta));
		part->name = leads[i]->name;
		part->delta = timeline_encode(entries, kept);
		archived[narchived++] = part;
	}
	insert_deltas("INSERT INTO leadscore_internal.timeline_base (lead_id, archived_before, timeline)"
				  " SELECT d.lead_id, $3, d.timeline"
				  " FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) AS d (lead_id, timeline)",
				  archived, narchived, timelines, instant_of(deltas->archiving_before));
}

/* ---------- writing ---------- */

/* What a writer has open. */
typedef struct Writer
{
	Stores	   *stores;
	Relation	aliases;
	Pending		pending;
	bool		walks;			/* of many leads, only those in "entries" are looked up in "pending" */
	Lookup		entries;		/* of its index, in the order of the leads */
	MemoryContext context;		/* lasts as long as the writer */
	Relation	pending_table;	/* to remove pending rows; NULL: none has been found yet */
	Store	   *pending_rows;	/* NULL: none found yet, or the table is not as the extension created it */
	Snapshot	seen;			/* at REPEATABLE READ and above, merge only pending rows that it sees */
	const Watching *watching;
	bool		recounts;		/* called by rebuild(), which does not leave large timelines to fold() */
	Deltas	   *sums;			/* of deltas of aliases, by their leads; NULL: none */
} Writer;

static void
writer_open(Writer *writer, Relation timelines, int n, bool recounts)
{
	static Look look;
	static Look look_at_aliases;

	memset(writer, 0, sizeof(Writer));
	writer->context = CurrentMemoryContext;
	writer->recounts = recounts;
	writer->stores = stores_open(timelines, false);
	if (!recounts)
		stores_leave_large(writer->stores);
	writer->aliases = open_once("lead_alias", AccessShareLock, &look_at_aliases);
	writer->watching = segments_logged();
	writer->seen = IsolationUsesXactSnapshot() ? GetTransactionSnapshot() : NULL;
	pending_open(&writer->pending, SnapshotSelf, &look);	/* rows that it misses are left to fold() */
	writer->walks = n >= MANY_NAMES && writer->pending.may_look_up &&
		lookup_open_sorted(&writer->entries, writer->pending.table, 1, SnapshotAny);
}

/* Open pending_delta to remove rows of it; NULL if it is not as the extension created it. */
static Store *
pending_rows_of(Writer *writer)
{
	if (writer->pending_table == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(writer->context);

		writer->pending_table = table_open(our_table("pending_delta"), RowExclusiveLock);
		writer->pending_rows = store_open(writer->pending_table, false, false);
		MemoryContextSwitchTo(old);
	}
	return writer->pending_rows;
}

static void
writer_close(Writer *writer)
{
	if (writer->pending_rows)
		store_close(writer->pending_rows);
	if (writer->pending_table)
		table_close(writer->pending_table, NoLock);
	if (writer->walks)
		lookup_close(&writer->entries);
	pending_close(&writer->pending);
	table_close(writer->aliases, NoLock);
	stores_close(writer->stores);
}

/* Whether an index that is walked along has an entry for a name. */
static bool
has_entry(Lookup *entries, const text *name)
{
	lookup_begin(entries, name);
	return lookup_has_entry(entries);
}

/* Merge what is pending under a name whose row we have locked, and return its sum; NULL: nothing was pending. */
static struct varlena *
take_along(Writer *writer, const text *name, struct varlena **timeline)
{
	PendingRows found;
	TimelineBuilder *taken;
	struct varlena *sum;
	bool		overflowed;

	if (!writer->pending.may_look_up || (writer->walks && !has_entry(&writer->entries, name)))
		return NULL;
	found = pending_find(&writer->pending, name, writer->seen, TAKE_ALONG);
	if (found.n == 0 || pending_rows_of(writer) == NULL)
		return NULL;
	taken = timeline_builder_create(CurrentMemoryContext);
	taken->lenient = true;
	for (int i = 0; i < found.n; i++)
	{
		struct varlena *delta = pending_take(writer->pending_rows, &found, i);

		if (delta)
			taken = timeline_builder_add_timeline(taken, delta, 1);
	}
	timeline_builder_compact(taken);
	sum = timeline_encode(taken->entries, taken->n);
	*timeline = timeline_combine(*timeline, sum, 1, &overflowed);
	return sum;
}

/*
 * Remember a lead whose timeline has changed, unless its segment cannot have changed;
 * "taken": what was merged, or NULL.
 */
static void
note_written(Writer *writer, LeadDelta *lead, const struct varlena *before, const struct varlena *after, const struct varlena *taken)
{
	Cause		cause;

	lead->written = true;
	if (writer->watching == NULL)
		return;
	/* what is pending under other names of the lead counts, too */
	if (taken == NULL && !(writer->pending.table && has_pages(writer->aliases)) &&
		!segment_may_change(writer->watching, before, timeline_is_empty(after) ? NULL : after))
		return;
	cause = writer->recounts ? CAUSE_MODEL : cause_of_delta(lead->delta);
	if (cause == CAUSE_LOAD && taken)
		cause = cause_of_delta(taken);
	remember_touched(lead->name, cause);
}

/* Add to the row that we have locked. */
static void
add_to_taken(Writer *writer, Store *store, LeadDelta *lead, struct varlena *before)
{
	MemoryContext old = MemoryContextSwitchTo(store_memory(store));
	bool		overflowed = false;
	struct varlena *after;
	struct varlena *taken;

	before = DatumGetTimeline(PointerGetDatum(before));
	after = timeline_combine(before, lead->delta, 1, lead->lenient ? &overflowed : NULL);
	taken = take_along(writer, lead->name, &after);
	MemoryContextSwitchTo(old);
	note_written(writer, lead, before, after, taken);
	store_put(store, after);
	if (overflowed)
		warn_overflow(lead->lead_id.text, lead->lead_id.length);
}

/* Add to a lead's row; false: another transaction holds its lock, or it is too large: append the delta instead. */
static bool
add_to_row(Writer *writer, LeadDelta *lead)
{
	Store	   *store = store_of(writer->stores, lead->name);
	struct varlena *before;

	/* if the row was assumed to be missing, but exists, the second attempt locks it */
	for (int i = 0; store && i < 2; i++)
		switch (store_take(store, lead->name, true, &before))
		{
			case TAKEN:
				add_to_taken(writer, store, lead, before);
				return true;
			case FREE:
				if (!store_insert(store, lead->name, lead->delta))
					break;
				note_written(writer, lead, NULL, lead->delta, NULL);
				return true;
			case TOO_LARGE:
				lead->is_large = true;
				return false;
			case TAKEN_BY_ANOTHER:
				return false;
		}
	return false;
}

/* Open lead_alias to look up n names in byte order. */
static void
open_names(Writer *writer, Lookup *lookup, int n, Snapshot snapshot)
{
	if (!(n < MANY_NAMES ? lookup_open : lookup_open_sorted) (lookup, writer->aliases, 1, snapshot))
		elog(ERROR, "leadscore.lead_alias has lost its primary key");
}

/* The lead of an alias that was found, if the alias cannot change before the transaction ends; else NULL. */
static text *
lead_of_locked(Writer *writer, Lookup *found, const text *alias)
{
	bool		isnull;

	/* it may have changed before we had the lock */
	if (!try_to_keep_name(alias) || !table_tuple_satisfies_snapshot(writer->aliases, found->slot, SnapshotSelf))
		return NULL;
	return (text *) PG_DETOAST_DATUM_COPY(slot_getattr(found->slot, 2, &isnull));
}

/* Add the delta of a name to the sum of a lead, to be written with it. */
static void
add_to_sum(Writer *writer, LeadDelta *lead, text *counts_for)
{
	TimelineBuilder **sum;

	if (writer->sums == NULL)
		writer->sums = deltas_create(CurrentMemoryContext, 0);
	sum = deltas_of(writer->sums, VARDATA_ANY(counts_for), VARSIZE_ANY_EXHDR(counts_for), lead->lenient);
	*sum = timeline_builder_add_timeline(*sum, lead->delta, 1);
	lead->counts_for = counts_for;
}

/* Look up which names are aliases, and sum the deltas of those that cannot change by their leads. */
static void
look_up_names(Writer *writer, LeadDelta **leads, int n)
{
	/* above READ COMMITTED, the transaction's snapshot may not see the aliases as they are */
	bool		keep = n <= MOST_KEPT && !writer->recounts && !IsolationUsesXactSnapshot();
	Lookup		lookup;

	open_names(writer, &lookup, n, SnapshotSelf);
	for (int i = 0; i < n; i++)
	{
		text	   *counts_for = NULL;

		CHECK_FOR_INTERRUPTS();
		lookup_begin(&lookup, leads[i]->name);
		leads[i]->is_alias = lookup_next(&lookup);
		if (leads[i]->is_alias && keep)
			counts_for = lead_of_locked(writer, &lookup, leads[i]->name);
		if (counts_for)
			add_to_sum(writer, leads[i], counts_for);
	}
	lookup_close(&lookup);
}

/* The deltas to add to rows, in index order. A lead that has a sum is part of it, as a row is written once. */
static int
find_rows(Writer *writer, LeadDelta **leads, int n, LeadDelta ***rows)
{
	LeadDelta **sums = NULL;
	int			nsums;
	int			nrows = 0;

	*rows = palloc_extended(2 * n * sizeof(LeadDelta *), MCXT_ALLOC_HUGE);
	for (int i = 0; i < n; i++)
		if (!leads[i]->is_alias)
		{
			if (writer->sums && delta_lookup(writer->sums->leads, leads[i]->lead_id))
				add_to_sum(writer, leads[i], leads[i]->name);
			else
				(*rows)[nrows++] = leads[i];
		}
	nsums = writer->sums ? deltas_complete(writer->sums, &sums) : 0;
	for (int i = 0; i < nsums; i++)
		(*rows)[nrows++] = sums[i];
	qsort(*rows, nrows, sizeof(LeadDelta *), name_compare);
	return nrows;
}

/* Note the names whose deltas have been written in sums. (One that has come to nothing need not be written.) */
static void
note_summed(Writer *writer, LeadDelta **leads, int n)
{
	for (int i = 0; writer->sums && i < n; i++)
		if (leads[i]->counts_for)
		{
			const LeadDelta *sum = delta_lookup(writer->sums->leads, text_label(leads[i]->counts_for));

			leads[i]->written = sum->delta == NULL || sum->written;
			leads[i]->is_large = sum->is_large;
		}
}

/* Whether a name is an alias, or an open transaction is making it one. "entries": of the index; NULL: not open. */
static bool
is_or_becomes_alias(Lookup *entries, Lookup *dirty, const text *name)
{
	CHECK_FOR_INTERRUPTS();
	return (entries == NULL || has_entry(entries, name)) && lookup_unique(dirty, name);
}

/*
 * Append an empty delta under each name that has become an alias after we locked its row,
 * or that an open transaction is making an alias: then the row counts for the lead. (If
 * the name does not become an alias, fold() removes the delta.)
 *
 * The look-ups begin after all rows are locked. They may miss an entry that is added while
 * they walk along the index, but the session that adds it finds the row locked: see give_up().
 */
static void
mark_new_aliases(Writer *writer, LeadDelta **rows, int n)
{
	LeadDelta **marks = palloc_extended(n * sizeof(LeadDelta *), MCXT_ALLOC_HUGE);
	int			nmarks = 0;
	SnapshotData snapshot;
	Lookup		dirty;
	Lookup		entries;
	bool		many = n >= MANY_NAMES;

	InitDirtySnapshot(snapshot);
	open_names(writer, &dirty, 1, &snapshot);
	if (many)
		open_names(writer, &entries, n, SnapshotAny);
	for (int i = 0; i < n; i++)
		if (rows[i]->written && is_or_becomes_alias(many ? &entries : NULL, &dirty, rows[i]->name))
		{
			LeadDelta  *mark = palloc0(sizeof(LeadDelta));

			mark->name = rows[i]->name;
			mark->delta = timeline_encode(NULL, 0);
			marks[nmarks++] = mark;
			remember_appended(mark->name);
		}
	if (many)
		lookup_close(&entries);
	lookup_close(&dirty);
	append_pending(marks, nmarks);
}

/* Append the deltas that could not be added to rows. */
static void
append_rest(Writer *writer, LeadDelta **leads, int n)
{
	LeadDelta **left = palloc_extended(n * sizeof(LeadDelta *), MCXT_ALLOC_HUGE);
	int			nleft = 0;

	for (int i = 0; i < n; i++)
		if (!leads[i]->written)
			left[nleft++] = leads[i];
	append_pending(left, nleft);
	for (int i = 0; i < nleft; i++)
	{
		const text *lead = left[i]->counts_for ? left[i]->counts_for : left[i]->name;

		if (!left[i]->is_large)
			remember_appended(left[i]->name);
		if (writer->watching && (left[i]->is_large || writer->recounts))
			remember_touched(lead, writer->recounts ? CAUSE_MODEL : cause_of_delta(left[i]->delta));
	}
}

/* Add deltas to the rows of their leads, and append those that cannot be added. */
static void
write_leads(LeadDelta **leads, int n, Relation timelines, bool recounts)
{
	Writer		writer;
	LeadDelta **rows = leads;
	int			nrows = n;

	if (n == 0)
		return;
	writer_open(&writer, timelines, n, recounts);
	/* shops without anonymous visitors have no aliases; this may miss the very first one */
	if (had_pages(writer.aliases))
	{
		look_up_names(&writer, leads, n);
		nrows = find_rows(&writer, leads, n, &rows);
	}
	for (int i = 0; i < nrows; i++)
		(void) add_to_row(&writer, rows[i]);
	/*
	 * Either the session that makes an alias has seen our row lock, or we see the alias now: see
	 * give_up() in identity.c.
	 */
	if (nrows > 0 && has_pages(writer.aliases))
		mark_new_aliases(&writer, rows, nrows);
	note_summed(&writer, leads, n);
	append_rest(&writer, leads, n);
	writer_close(&writer);
}

/*
 * timeline + delta: (lead_id, timeline, delta, lenient). If an hour overflows, raise an
 * error or, if lenient, let it wrap around with a warning.
 */
Datum
add_delta(PG_FUNCTION_ARGS)
{
	text	   *lead_id = PG_GETARG_TEXT_PP(0);
	bool		overflowed = false;
	struct varlena *sum = timeline_combine(PG_GETARG_TIMELINE(1), PG_GETARG_TIMELINE(2), 1,
										   PG_GETARG_BOOL(3) ? &overflowed : NULL);

	if (overflowed)
		warn_overflow(VARDATA_ANY(lead_id), VARSIZE_ANY_EXHDR(lead_id));
	PG_RETURN_POINTER(sum);
}

void
deltas_apply(Deltas *deltas, Relation timelines)
{
	LeadDelta **leads;
	int			n = deltas_complete(deltas, &leads);

	append_base(deltas, leads, n, timelines);
	write_leads(leads, n, timelines, false);
}

/* Append all deltas. */
static void
deltas_defer(Deltas *deltas, Relation timelines)
{
	LeadDelta **leads;
	int			n = deltas_complete(deltas, &leads);

	append_base(deltas, leads, n, timelines);
	append_pending(leads, n);
}

/* ---------- switching users ---------- */

Identity
switch_to_owner(Oid user, int flags)
{
	Identity	before;

	GetUserIdAndSecContext(&before.user, &before.security);
	SetUserIdAndSecContext(user, before.security | SECURITY_LOCAL_USERID_CHANGE | flags);
	return before;
}

void
restore_user(Identity identity)
{
	SetUserIdAndSecContext(identity.user, identity.security);
}

/* ---------- leads whose events have changed ---------- */

void
deltas_note(Deltas *deltas)
{
	deltas->noted = true;
}

/* Append names to changed_lead with a statement. */
static void
insert_changed(text **names, int n)
{
	Datum	   *ids = palloc(n * sizeof(Datum));
	bool	   *nulls = palloc(n * sizeof(bool));
	int			length = n;
	int			first = 1;
	Oid			type = TEXTARRAYOID;
	Datum		argument;

	for (int i = 0; i < n; i++)
	{
		ids[i] = PointerGetDatum(names[i]);
		nulls[i] = names[i] == NULL;
	}
	argument = PointerGetDatum(construct_md_array(ids, nulls, 1, &length, &first, TEXTOID, -1, false, TYPALIGN_INT));
	SPI_connect();
	if (SPI_execute_with_args("INSERT INTO leadscore_internal.changed_lead (lead_id) SELECT pg_catalog.unnest($1)",
							  1, &type, &argument, NULL, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not note whose events have changed");
	SPI_finish();
}

/* Append names (NULL: all leads) to changed_lead, past the executor if the table is as we have made it. */
static void
append_changed(text **names, int n)
{
	Relation	changed = table_open(our_table("changed_lead"), RowExclusiveLock);

	if (changed->rd_rel->relkind != RELKIND_RELATION || changed->rd_rel->relhasindex || changed->trigdesc ||
		changed->rd_att->constr || !has_columns(changed, 1))
		insert_changed(names, n);
	else
	{
		TupleTableSlot *slot = table_slot_create(changed, NULL);

		for (int i = 0; i < n; i++)
		{
			ExecClearTuple(slot);
			slot->tts_values[0] = PointerGetDatum(names[i]);
			memset(slot->tts_isnull, true, RelationGetNumberOfAttributes(changed) * sizeof(bool));
			slot->tts_isnull[0] = names[i] == NULL;
			ExecStoreVirtualTuple(slot);
			table_tuple_insert(changed, slot, GetCurrentCommandId(true), 0, NULL);
		}
		ExecDropSingleTupleTableSlot(slot);
	}
	table_close(changed, NoLock);
}

/* Append the names that the events have, even if their deltas are empty. */
static void
append_noted(Deltas *deltas)
{
	text	  **names = palloc_extended(Max(deltas->leads->members, 1) * sizeof(text *), MCXT_ALLOC_HUGE);
	int			n = 0;
	delta_iterator it;
	LeadDelta  *lead;

	delta_start_iterate(deltas->leads, &it);
	while ((lead = delta_iterate(deltas->leads, &it)) != NULL)
		names[n++] = name_of(lead);
	if (n > 0)
		append_changed(names, n);
}

void
note_everybody(void)
{
	text	   *nobody = NULL;

	append_changed(&nobody, 1);
}

void
deltas_write(Deltas *deltas, Relation timelines, bool deferred)
{
	Identity	user;
	MemoryContext old;

	if (deltas->leads == NULL)
		return;
	user = switch_to_owner(timelines->rd_rel->relowner, 0);
	old = MemoryContextSwitchTo(deltas->context);
	if (deltas->noted)
		append_noted(deltas);
	if (deferred)
		deltas_defer(deltas, timelines);
	else
		deltas_apply(deltas, timelines);
	MemoryContextSwitchTo(old);
	restore_user(user);
	MemoryContextReset(deltas->context);
	deltas->leads = NULL;
}

/* ---------- locking leads ---------- */

static int
name_pointer_compare(const void *a, const void *b)
{
	return text_compare(DatumGetTextPP(*(const Datum *) a), DatumGetTextPP(*(const Datum *) b));
}

/*
 * lock_lead_rows(lead_ids, wait): lock the rows of leads in lead_timeline FOR UPDATE, in
 * the order of the names, until the end of the transaction. Missing rows are inserted.
 * Without "wait", rows that another transaction has locked are skipped. Returns the leads
 * whose rows are locked. Invariant: only the transaction that holds a lead's row lock
 * writes its state.
 */
Datum
lock_lead_rows(PG_FUNCTION_ARGS)
{
	Relation	timelines = table_open(our_table("lead_timeline"), RowExclusiveLock);
	bool		wait = PG_GETARG_BOOL(1);
	Stores	   *stores = stores_open(timelines, true);
	Datum	   *ids;
	int			n;
	int			nheld = 0;

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), TEXTOID, -1, false, TYPALIGN_INT, &ids, NULL, &n);
	qsort(ids, n, sizeof(Datum), name_pointer_compare);
	for (int i = 0; i < n; i++)
	{
		text	   *lead_id = DatumGetTextPP(ids[i]);
		Store	   *store = store_of(stores, lead_id);
		bool		made;

		if (nheld > 0 && text_compare(lead_id, DatumGetTextPP(ids[nheld - 1])) == 0)
			continue;
		if (store && store_lock(store, lead_id, wait, &made))
			ids[nheld++] = PointerGetDatum(lead_id);
	}
	stores_close(stores);
	table_close(timelines, NoLock);
	PG_RETURN_ARRAYTYPE_P(construct_array(ids, nheld, TEXTOID, -1, false, TYPALIGN_INT));
}

/* ---------- rebuild ---------- */

/* add_deltas(names, deltas): add to timelines what rebuild() has found to be missing. */
Datum
add_deltas(PG_FUNCTION_ARGS)
{
	Relation	timelines;
	Identity	user;
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(1);
	Datum	   *ids;
	Datum	   *values;
	int			nids;
	int			nvalues;
	int			n;
	LeadDelta  *deltas;
	LeadDelta **leads;

	/* rebuild() itself fails, too, for users who do not see every lead */
	if (check_enable_rls(our_table("lead_timeline"), InvalidOid, true) == RLS_ENABLED)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("row-level security hides rows of table \"lead_timeline\""),
				 errhint("Use a role to which its policies do not apply.")));
	timelines = table_open(our_table("lead_timeline"), RowExclusiveLock);
	user = switch_to_owner(timelines->rd_rel->relowner, 0);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), TEXTOID, -1, false, TYPALIGN_INT, &ids, NULL, &nids);
	deconstruct_array(array, ARR_ELEMTYPE(array), -1, false, TYPALIGN_INT, &values, NULL, &nvalues);
	n = Min(nids, nvalues);
	deltas = palloc_extended(Max(n, 1) * sizeof(LeadDelta), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	leads = palloc_extended(Max(n, 1) * sizeof(LeadDelta *), MCXT_ALLOC_HUGE);
	for (int i = 0; i < n; i++)
	{
		deltas[i].name = DatumGetTextPP(ids[i]);
		deltas[i].lead_id = text_label(deltas[i].name);
		deltas[i].delta = DatumGetTimeline(values[i]);
		deltas[i].lenient = true;
		leads[i] = &deltas[i];
	}
	write_leads(leads, n, timelines, true);
	restore_user(user);
	table_close(timelines, NoLock);
	PG_RETURN_VOID();
}
