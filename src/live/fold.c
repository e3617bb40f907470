/*
 * fold.c: pending deltas, merged into the rows of their leads.
 *
 * Lock. What is pending for a lead is taken only by the transaction that has the
 * lead's row of lead_timeline, see store.c. Here it is taken if it is free, and
 * else left with all that is pending for it. So fold() never waits, and two that
 * fold at once share the leads between them. (Where somebody has changed
 * lead_timeline, such as by a trigger, it is written with statements, which do.)
 *
 * Aliases. What is pending under an alias goes to its lead. So does the row that
 * the alias has, if a writer had it when it became one. An alias is locked while
 * that is moved, see identity.c, and passed over if somebody else has it. If a
 * name of its own has become an alias since it was looked up, an empty delta is
 * left under it, so that its row counts for the lead, and is moved by the next
 * who folds.
 */
#include "live/fold.h"

#include "catalog.h"
#include "label.h"
#include "live/commit.h"
#include "live/delta.h"
#include "live/identity.h"
#include "live/pending.h"
#include "live/store.h"
#include "live/transition.h"
#include "timeline/timeline.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(fold);
PG_FUNCTION_INFO_V1(fold_leads);

/* Names that are folded at a time. */
#define BATCH 10000

/* A name that something is pending under. */
typedef struct FoldName
{
	text	   *name;
	text	   *lead;			/* whom it counts for */
	bool		locked;			/* an alias, which nobody unidentifies now */
	struct varlena *row;		/* of an alias, removed to be moved; or NULL */
	bool		row_stays;		/* it may have one that somebody else has */
	PendingRows pending;
} FoldName;

/* What is open while names are folded. */
typedef struct Folder
{
	Relation	timelines;
	Stores	   *stores;
	Pending		pending;
	Relation	pending_table;
	Store	   *pending_rows;
	bool		by_lead;		/* pending_delta is as we have made it */
	bool		may_wait;		/* for rows that statements must write */
	Snapshot	seen;			/* what is merged must be seen by it, too; NULL: all is */
	Relation	alias_table;
	Lookup		aliases;
	SnapshotData dirty;			/* sees what is not committed, too */
	Lookup		new_aliases;	/* with that */
	const Watching *watching;
	int64		most;			/* rows of a name; 0: all */
} Folder;

static void
folder_open(Folder *f, bool newest)
{
	memset(f, 0, sizeof(Folder));
	f->may_wait = !newest;
	f->timelines = table_open(our_table("lead_timeline"), RowExclusiveLock);
	f->stores = stores_open(f->timelines, newest);
	f->watching = segments_logged();
	f->seen = IsolationUsesXactSnapshot() && !newest ? GetTransactionSnapshot() : NULL;
	f->pending_table = table_open(our_table("pending_delta"), RowExclusiveLock);
	f->pending_rows = store_open(f->pending_table, false, newest);
	f->alias_table = table_open(our_table("lead_alias"), AccessShareLock);
	if (!lookup_open(&f->aliases, f->alias_table, 1, SnapshotSelf))
		elog(ERROR, "leadscore.lead_alias has lost its primary key");
	InitDirtySnapshot(f->dirty);
	(void) lookup_open(&f->new_aliases, f->alias_table, 1, &f->dirty);
	pending_open(&f->pending, SnapshotSelf, NULL);
	f->by_lead = f->pending.may_look_up && f->pending_rows != NULL;
}

static void
folder_close(Folder *f)
{
	pending_close(&f->pending);
	lookup_close(&f->aliases);
	lookup_close(&f->new_aliases);
	table_close(f->alias_table, NoLock);
	if (f->pending_rows)
		store_close(f->pending_rows);
	table_close(f->pending_table, NoLock);
	stores_close(f->stores);
	table_close(f->timelines, NoLock);
}

/* The lead that a name is an alias of now, or NULL. */
static text *
alias_of(Folder *f, const text *name)
{
	return (text *) DatumGetPointer(lookup_value(&f->aliases, name, 2));
}

static bool
is_alias(const FoldName *name)
{
	return !text_equal(name->name, name->lead);
}

/* By lead, then by name. */
static int
fold_name_compare(const void *a, const void *b)
{
	const FoldName *x = a;
	const FoldName *y = b;
	int			order = text_compare(x->lead, y->lead);

	return order != 0 ? order : text_compare(x->name, y->name);
}

static struct varlena *
sum_of(const struct varlena *a, const struct varlena *b, int sign)
{
	bool		overflowed;		/* wraps around, as everywhere in what is stored */

	return timeline_combine(a, b, sign, &overflowed);
}

/* ---------- aliases ---------- */

static void
find_rows(Folder *f, FoldName *name)
{
	name->pending = pending_find(&f->pending, name->name, f->seen, Min(f->most, PG_INT32_MAX));
}

/*
 * Lock aliases, find what is pending under them, and remove the rows that they
 * have, to move what these hold. In this order: a writer who makes such a row, as
 * he had not seen the alias, commits it together with an empty delta. So where we
 * find that delta, and remove it, we find the row, too.
 */
static void
take_alias_rows(Folder *f, FoldName *names, int n)
{
	for (int i = 0; i < n; i++)
	{
		Store	   *store;
		struct varlena *row;
		text	   *lead;

		if (!is_alias(&names[i]) || !try_to_lock_name(names[i].name))
			continue;
		/* what unidentify() has committed before is seen now */
		lead = alias_of(f, names[i].name);
		names[i].locked = lead != NULL && text_equal(lead, names[i].lead);
		if (!names[i].locked)
			continue;
		find_rows(f, &names[i]);
		store = store_of(f->stores, names[i].name);
		switch (store ? store_take(store, names[i].name, false, &row) : TAKEN_BY_ANOTHER)
		{
			case TAKEN:
				names[i].row = (struct varlena *) PG_DETOAST_DATUM_COPY(PointerGetDatum(row));
				store_put(store, timeline_encode(NULL, 0));
				break;
			case FREE:
				break;
			case TAKEN_BY_ANOTHER:
				names[i].row_stays = true;
				break;
		}
	}
}

/* The lead's row is busy: what was removed is appended under the alias. */
static void
put_alias_rows_back(Folder *f, FoldName *names, int n)
{
	for (int i = 0; i < n; i++)
		if (names[i].row)
			store_append(f->pending_rows, names[i].name, names[i].row);
}

/*
 * Leave an empty delta under aliases whose rows stay, and under names that have
 * become aliases since they were looked up, or are becoming aliases: these rows
 * count for the lead.
 */
static void
mark_aliases(Folder *f, FoldName *names, int n)
{
	for (int i = 0; i < n; i++)
		if (is_alias(&names[i]) ? names[i].locked && names[i].row_stays && names[i].pending.n > 0 : lookup_unique(&f->new_aliases, names[i].name))
			store_append(f->pending_rows, names[i].name, timeline_encode(NULL, 0));
}

/* ---------- one lead ---------- */

/* Find what is pending under a lead's own name, whose row has been taken; returns the sum with what has been found under its aliases. */
static struct varlena *
find_pending(Folder *f, FoldName *names, int n)
{
	TimelineBuilder *sum = timeline_builder_create(CurrentMemoryContext);

	sum->lenient = true;
	for (int i = 0; i < n; i++)
	{
		if (names[i].row)
			sum = timeline_builder_add_timeline(sum, names[i].row, 1);
		if (!is_alias(&names[i]))
			find_rows(f, &names[i]);
		for (int j = 0; j < names[i].pending.n; j++)
			sum = timeline_builder_add_timeline(sum, names[i].pending.deltas[j], 1);
	}
	timeline_builder_compact(sum);
	return timeline_encode(sum->entries, sum->n);
}

/* Remove what has been found; returns the sum of what somebody else was at. */
static struct varlena *
remove_pending(Folder *f, FoldName *names, int n, int64 *removed)
{
	struct varlena *left = timeline_encode(NULL, 0);

	for (int i = 0; i < n; i++)
		for (int j = 0; j < names[i].pending.n; j++)
		{
			if (pending_take(f->pending_rows, &names[i].pending, j))
				(*removed)++;
			else
				left = sum_of(left, names[i].pending.deltas[j], 1);
		}
	return left;
}

/* Fold into a row that has been made for the purpose, with all that was found in it. */
static void
correct_new_row(Store *store, text *lead, struct varlena *left)
{
	struct varlena *row;

	CommandCounterIncrement();
	if (store_take(store, lead, false, &row) != TAKEN)
		elog(ERROR, "a timeline has been changed under its lock");
	store_put(store, sum_of(DatumGetTimeline(PointerGetDatum(row)), left, -1));
}

/* Fold what is pending under the names of a lead, if its row is free. */
static int64
fold_lead(Folder *f, Store *store, FoldName *names, int n)
{
	text	   *lead = names[0].lead;
	struct varlena *row;
	struct varlena *sum;		/* of what is pending */
	struct varlena *left;
	int64		removed = 0;

	take_alias_rows(f, names, n);
	switch (store_take(store, lead, false, &row))
	{
		case TAKEN:
			row = (struct varlena *) PG_DETOAST_DATUM_PACKED(PointerGetDatum(row));
			sum = find_pending(f, names, n);
			left = remove_pending(f, names, n, &removed);
			store_put(store, sum_of(sum_of(row, sum, 1), left, -1));
			break;
		case FREE:
			sum = find_pending(f, names, n);
			if (!store_insert(store, lead, sum))
			{
				put_alias_rows_back(f, names, n);
				return 0;
			}
			left = remove_pending(f, names, n, &removed);
			if (timeline_is_empty(sum) || !timeline_is_empty(left))
				correct_new_row(store, lead, left);
			break;
		default:
			put_alias_rows_back(f, names, n);
			return 0;
	}
	mark_aliases(f, names, n);
	if (f->watching)
		remember_touched(lead, cause_of_delta(sum));
	return removed;
}

/*
 * The same where somebody has changed lead_timeline. A statement waits for others
 * who write the row; so that two who fold do not wait for each other, the lead's
 * name is locked, if it is free, to the end of the transaction.
 */
static int64
fold_lead_by_statement(Folder *f, FoldName *names, int n)
{
	static const char *const command = "SELECT leadscore_internal.add_by_statement($1, $2)";
	Oid			types[2] = {TEXTOID, TupleDescAttr(RelationGetDescr(f->timelines), 1)->atttypid};
	Datum		values[2];
	int64		removed = 0;
	struct varlena *sum;
	struct varlena *left;

	if (!try_to_lock_name(names[0].lead))
		return 0;
	/* aliases wait until the table is ours again */
	sum = find_pending(f, names, n);
	left = remove_pending(f, names, n, &removed);

	values[0] = PointerGetDatum(names[0].lead);
	values[1] = PointerGetDatum(sum_of(sum, left, -1));
	SPI_connect();
	if (SPI_execute_with_args(command, 2, types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not run \"%s\"", command);
	SPI_finish();
	if (f->watching)
		remember_touched(names[0].lead, cause_of_delta(sum));
	return removed;
}

/* ---------- many ---------- */

static int64
fold_some(Folder *f, text **names, int n)
{
	FoldName   *all = palloc0(Max(n, 1) * sizeof(FoldName));
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "leadscore fold lead", ALLOCSET_DEFAULT_SIZES);
	int64		removed = 0;

	for (int i = 0; i < n; i++)
	{
		text	   *lead = alias_of(f, names[i]);

		all[i].name = names[i];
		all[i].lead = lead ? lead : names[i];
	}
	qsort(all, n, sizeof(FoldName), fold_name_compare);
	for (int first = 0, end; first < n; first = end)
	{
		MemoryContext old = MemoryContextSwitchTo(scratch);
		Store	   *store = store_of(f->stores, all[first].lead);

		CHECK_FOR_INTERRUPTS();
		for (end = first + 1; end < n && text_equal(all[end].lead, all[first].lead);)
			end++;
		if (store)
			removed += fold_lead(f, store, all + first, end - first);
		else if (f->may_wait)
			removed += fold_lead_by_statement(f, all + first, end - first);
		MemoryContextSwitchTo(old);
		MemoryContextReset(scratch);
	}
	MemoryContextDelete(scratch);
	return removed;
}

int64
fold_names(text **names, int n, bool newest)
{
	Folder		f;
	int64		removed = 0;

	folder_open(&f, newest);
	if (f.by_lead)
		removed = fold_some(&f, names, n);
	folder_close(&f);
	return removed;
}

/* fold_leads(names): merge what is pending under some names. */
Datum
fold_leads(PG_FUNCTION_ARGS)
{
	Datum	   *datums;
	text	  **names;
	int			n;

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), TEXTOID, -1, false, TYPALIGN_INT, &datums, NULL, &n);
	names = palloc(Max(n, 1) * sizeof(text *));
	for (int i = 0; i < n; i++)
		names[i] = DatumGetTextPP(datums[i]);
	PG_RETURN_INT64(fold_names(names, n, false));
}

int
read_names(TableScanDesc scan, TupleTableSlot *slot, AttrNumber column, text **names, int most, bool *end)
{
	int			n = 0;

	while (n < most && !*end)
	{
		bool		isnull;

		CHECK_FOR_INTERRUPTS();
		*end = !table_scan_getnextslot(scan, ForwardScanDirection, slot);	/* after the end it would begin again */
		if (!*end)
			names[n++] = (text *) PG_DETOAST_DATUM_COPY(slot_getattr(slot, column, &isnull));
	}
	return sort_names(names, n);
}

/* Where somebody has changed pending_delta, such as by a trigger; waits for others who write the same rows. */
static int64
fold_by_statements(void)
{
	bool		isnull;
	int64		removed;

	SPI_connect();
	if (SPI_execute("SELECT leadscore_internal.fold_by_statements()", false, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not fold by statements");
	removed = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	return removed;
}

/* fold(max_rows): merge pending deltas, at most so many rows (NULL: all). Returns how many. */
Datum
fold(PG_FUNCTION_ARGS)
{
	bool		all = PG_ARGISNULL(0);
	int64		most = all ? PG_INT64_MAX : PG_GETARG_INT64(0);
	MemoryContext batch = AllocSetContextCreate(CurrentMemoryContext, "leadscore fold", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old;
	Snapshot	snapshot;
	TupleTableSlot *slot;
	TableScanDesc scan;
	Folder		f;
	int64		removed = 0;
	bool		end = false;

	if (most < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_rows is negative"),
				 errdetail("It is " INT64_FORMAT ".", most),
				 errhint("Pass NULL to fold all rows.")));
	folder_open(&f, false);
	if (!f.by_lead)
	{
		bool		exists = f.pending.table != NULL;

		folder_close(&f);
		PG_RETURN_INT64(exists ? fold_by_statements() : 0);
	}
	snapshot = RegisterSnapshot(IsolationUsesXactSnapshot() ? GetTransactionSnapshot() : GetLatestSnapshot());
	slot = table_slot_create(f.pending_table, NULL);
	scan = begin_table_scan(f.pending_table, snapshot);
	while (!end && removed < most)
	{
		text	  **names;
		int			n;

		CommandCounterIncrement();	/* a lead may come again in another batch */
		old = MemoryContextSwitchTo(batch);
		names = palloc(BATCH * sizeof(text *));
		n = read_names(scan, slot, 1, names, Min(BATCH, most - removed), &end);
		f.most = all ? 0 : most - removed;
		removed += fold_some(&f, names, n);
		MemoryContextSwitchTo(old);
		MemoryContextReset(batch);
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	UnregisterSnapshot(snapshot);
	folder_close(&f);
	MemoryContextDelete(batch);
	PG_RETURN_INT64(removed);
}
