/*
 * fold.c: merging pending deltas into the rows of their leads.
 *
 * Lock. Only the transaction that holds the lock on a lead's row of lead_timeline (FOR
 * UPDATE, see store.c) merges what is pending for the lead. fold() takes the lock if it
 * is free, and holds it until the transaction ends; otherwise it leaves the lead with all
 * that is pending for it. So fold() never waits, and two concurrent calls share the leads
 * between them. (If somebody has changed lead_timeline, for example by adding a trigger,
 * fold() writes it with statements, which do wait.)
 *
 * Aliases. What is pending under an alias goes to its lead. So does the alias's row,
 * which it has if a writer held the row lock when the name became an alias. fold() locks
 * the alias in exclusive mode, to the end of the transaction, to move these (see
 * identity.c), and skips the alias if the lock is not available. If a lead's own name has
 * become an alias since it was looked up, fold() leaves an empty delta under it, so that
 * its row counts for its new lead, and the next fold() moves the row.
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

/* A name that has something pending. */
typedef struct FoldName
{
	text	   *name;
	text	   *lead;			/* the lead that it counts for */
	bool		locked;			/* it is an alias, locked against unidentify() */
	struct varlena *row;		/* of an alias, removed to be moved; or NULL */
	bool		row_stays;		/* it may have a row, but another transaction holds its lock */
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
	bool		may_wait;		/* for rows that must be written by statements */
	Snapshot	seen;			/* merge only what it sees, too; NULL: merge all */
	Relation	alias_table;
	Lookup		aliases;
	SnapshotData dirty;			/* sees uncommitted rows, too */
	Lookup		new_aliases;	/* look-up with "dirty" */
	const Watching *watching;
	int64		most;			/* limit of pending rows per name; 0: none */
} Folder;

static void
folder_open(Folder *f, bool newest)
{
	memset(f, 0, sizeof(Folder));
	f->may_wait = !newest;
	f->timelines = table_open(our_table("lead_timeline"), RowExclusiveLock);
	f->stores = stores_open(f->timelines, newest);
	if (newest)
		stores_leave_large(f->stores);	/* it is a writer, before it commits */
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
	bool		overflowed;		/* ignored: stored hours wrap around */

	return timeline_combine(a, b, sign, &overflowed);
}

/* ---------- aliases ---------- */

static void
find_rows(Folder *f, FoldName *name)
{
	name->pending = pending_find(&f->pending, name->name, f->seen, Min(f->most, PG_INT32_MAX));
}

/*
 * Lock aliases, find what is pending under them, and remove their rows, to move what
 * these hold. The order matters: a writer that makes such a row, because it has not seen
 * the alias yet, commits the row together with an empty delta. So if we find that delta,
 * and remove it, we also find the row.
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
		/* we hold the lock on the name now, so we see what unidentify() has committed */
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
			case TOO_LARGE:
				names[i].row_stays = true;
				break;
		}
	}
}

/* The lead's row is busy: append the removed rows as deltas under their aliases. */
static void
put_alias_rows_back(Folder *f, FoldName *names, int n)
{
	for (int i = 0; i < n; i++)
		if (names[i].row)
			store_append(f->pending_rows, names[i].name, names[i].row);
}

/*
 * Leave an empty delta under aliases whose rows stay, and under names that have become
 * aliases since they were looked up, or that an open transaction is making aliases: then
 * these rows count for the lead.
 */
static void
mark_aliases(Folder *f, FoldName *names, int n)
{
	for (int i = 0; i < n; i++)
		if (is_alias(&names[i]) ? names[i].locked && names[i].row_stays && names[i].pending.n > 0 : lookup_unique(&f->new_aliases, names[i].name))
			store_append(f->pending_rows, names[i].name, timeline_encode(NULL, 0));
}

/*
 * Have aliases compared whose rows were moved, or that have an empty delta: a writer had the row
 * when the name became an alias. If the writer had compared it as a lead before that, the session that
 * made the alias could not compare it again.
 */
static void
touch_aliases(const FoldName *names, int n)
{
	for (int i = 0; i < n; i++)
	{
		bool		was_lead = names[i].row != NULL;

		for (int j = 0; !was_lead && j < names[i].pending.n; j++)
			was_lead = timeline_is_empty(names[i].pending.deltas[j]);
		if (names[i].locked && was_lead)
			remember_touched(names[i].name, CAUSE_IDENTITY);
	}
}

/* ---------- one lead ---------- */

/*
 * Find what is pending under a lead's own name, after its row has been locked. Returns
 * the sum, with what has been found under its aliases.
 */
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

/* Remove the pending rows that were found; returns the sum of those that another transaction is removing. */
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

/* Subtract from a new row, inserted with all that was found, what could not be removed. */
static void
correct_new_row(Store *store, text *lead, struct varlena *left)
{
	struct varlena *row;

	CommandCounterIncrement();
	if (store_take(store, lead, false, &row) != TAKEN)
		elog(ERROR, "a timeline has been changed under its lock");
	store_put(store, sum_of(DatumGetTimeline(PointerGetDatum(row)), left, -1));
}

/* Fold what is pending under the names of a lead, if the lock on its row is free. */
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
		case TOO_LARGE:
			if (f->watching)
				remember_touched(lead, cause_of_delta(find_pending(f, names, n)));
			put_alias_rows_back(f, names, n);
			return 0;
		default:
			put_alias_rows_back(f, names, n);
			return 0;
	}
	mark_aliases(f, names, n);
	if (f->watching)
	{
		remember_touched(lead, cause_of_delta(sum));
		touch_aliases(names, n);
	}
	return removed;
}

/*
 * Fold a lead by a statement, if somebody has changed lead_timeline. The statement waits
 * for other writers of the row. So that two concurrent calls of fold() do not wait for
 * each other, this locks the lead's name in exclusive mode, if it is free, to the end of
 * the transaction.
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
	/* aliases wait until the table is as we have made it again */
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

/* ---------- many leads ---------- */

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

bool
names_are_busy(text **names, int n)
{
	Relation	timelines = table_open(our_table("lead_timeline"), AccessShareLock);
	Stores	   *stores = stores_open(timelines, true);
	bool		busy = true;

	for (int i = 0; busy && i < n; i++)
	{
		Store	   *store = store_of(stores, names[i]);

		busy = store != NULL && store_is_busy(store, names[i]);
	}
	stores_close(stores);
	table_close(timelines, NoLock);
	return busy;
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
		*end = !table_scan_getnextslot(scan, ForwardScanDirection, slot);	/* would start again after the end */
		if (!*end)
			names[n++] = (text *) PG_DETOAST_DATUM_COPY(slot_getattr(slot, column, &isnull));
	}
	return sort_names(names, n);
}

/*
 * Fold by statements, if somebody has changed pending_delta, for example by a trigger;
 * waits for writers of the same rows.
 */
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

/* fold(max_rows): merge at most max_rows pending deltas (NULL: all). Returns how many were merged. */
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

		CommandCounterIncrement();	/* a later batch may have a lead again */
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
