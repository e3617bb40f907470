/*
 * profile_write.c: changing the profiles of leads.
 *
 *     change ──▶ lead, if its row is free ──┐
 *            └─▶ pending_profile ───────────┴─▶ lead, by the next transaction that locks the row
 *
 * Lock. Only the transaction that holds the lock on the lead's row in lead changes
 * the profile. store.c takes that row lock (FOR UPDATE) without waiting; it is released
 * when the transaction ends. Appending to pending_profile takes no row lock. Only
 * the holder of the lock on the lead's row takes pending rows, that is, applies and
 * deletes them, so no pending row is taken twice.
 *
 * Order. A change is written to the row in lead only if no older change that may
 * concern the same attributes stays pending. So the lock holder first takes the
 * pending changes, in their order. If it cannot take all of them, it appends its own
 * change. Changes that other transactions are still appending concern other
 * attributes: a writer of the same attribute waits for the row lock in the table of
 * customers. If a lead has several rows in such a table, writers do not wait for each
 * other: the row that counts is looked up under the lock on the lead's row. Without
 * that lock, the result of the look-up is appended with look_again set, and the row
 * is looked up again when the change is taken.
 *
 * If the tables lead or pending_profile have been altered, for example by adding a
 * trigger, every change is appended, and fold() writes it with SQL statements.
 */
#include "live/profile.h"

#include "catalog.h"
#include "label.h"
#include "session_cache.h"
#include "live/commit.h"
#include "live/fold.h"
#include "live/store.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "executor/executor.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(fold_profiles);

/* How many index entries of pending_profile a writer reads for a lead. */
#define TAKE_ALONG 100

/* Leads that are folded in one batch. */
#define BATCH 10000

/* change_id, lead_id, attributes, removed, look_again */
#define PENDING_PROFILE_COLUMNS 5

/* ---------- the open tables ---------- */

typedef struct ProfileWriter
{
	Relation	leads;
	Store	   *rows;			/* NULL: the table lead has been altered */
	Pending		pending;
	Relation	pending_table;
	bool		may_take;		/* pending_profile has not been altered */
	Snapshot	seen;			/* pending changes are taken only if it sees them; NULL: all are */
	Latest	   *latest;			/* looks up rows of the statement's table; NULL: it has one row per lead */
	List	   *again;			/* of Latest: the tables in which a lead is looked up again */
	bool		again_open;
	bool		may_look_again; /* all of these are ready */
	MemoryContext context;
	Jsonb	   *empty;
	MemoryContext scratch;		/* for one lead; reset after each */
} ProfileWriter;

/* Whether rows of pending_profile can be inserted and deleted without the executor. */
static bool
is_as_made(Relation table)
{
	return table->rd_rel->relkind == RELKIND_RELATION && table->trigdesc == NULL;
}

static void
writer_open(ProfileWriter *w, bool newest)
{
	memset(w, 0, sizeof(ProfileWriter));
	w->context = CurrentMemoryContext;
	w->leads = table_open(our_table("lead"), RowExclusiveLock);
	/* policies do not apply to us as the owner of the table, unless they are forced */
	w->rows = w->leads->rd_rel->relforcerowsecurity ? NULL : store_open(w->leads, true, newest);
	w->seen = IsolationUsesXactSnapshot() && !newest ? GetTransactionSnapshot() : NULL;
	w->pending_table = table_open(our_table("pending_profile"), RowExclusiveLock);
	pending_profiles_open(&w->pending, SnapshotSelf);
	w->may_take = is_as_made(w->pending_table) && (w->pending.table == NULL || w->pending.may_look_up);
	w->empty = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum("{}")));
	w->scratch = AllocSetContextCreate(CurrentMemoryContext, "leadscore profile", ALLOCSET_DEFAULT_SIZES);
}

static void
writer_close(ProfileWriter *w)
{
	ListCell   *cell;

	foreach(cell, w->again)
		latest_close(lfirst(cell));
	MemoryContextDelete(w->scratch);
	pending_close(&w->pending);
	table_close(w->pending_table, NoLock);
	if (w->rows)
		store_close(w->rows);
	table_close(w->leads, NoLock);
}

/* ---------- tables in which the latest row counts ---------- */

/* Open the tables of customers in which the latest row counts. */
static void
open_again(ProfileWriter *w)
{
	static SPIPlanPtr plan = NULL;

	w->again_open = w->may_look_again = true;
	SPI_connect();
	session_plan(&plan, "SELECT s.source::oid, s.mapping FROM leadscore.source s WHERE s.feeds = 'profile' AND s.latest_by IS NOT NULL", 0, NULL);
	/* a source tracked after the transaction's snapshot may have pending changes with look_again, too */
	PushActiveSnapshot(GetLatestSnapshot());
	if (SPI_execute_plan(plan, NULL, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not find the tables of customers");
	PopActiveSnapshot();
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		TupleDesc	type = SPI_tuptable->tupdesc;
		bool		isnull;
		Oid			source = DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[i], type, 1, &isnull));
		Jsonb	   *mapping = DatumGetJsonbP(SPI_getbinval(SPI_tuptable->vals[i], type, 2, &isnull));
		MemoryContext old = MemoryContextSwitchTo(w->context);
		Latest	   *latest = latest_open(source, mapping, NIL);

		w->again = lappend(w->again, latest);
		w->may_look_again = w->may_look_again && latest_is_ready(latest);
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
}

static bool
may_look_again(ProfileWriter *w)
{
	if (!w->again_open)
		open_again(w);
	return w->may_look_again;
}

static Jsonb *
concat(Jsonb *a, Jsonb *b)
{
	return a == NULL ? b : b == NULL ? a : DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(a), JsonbPGetDatum(b)));
}

/* The change that puts the latest row into effect, for a lead whose rows had these keys. */
static ProfileChange
latest_change(Latest *latest, const text *lead_id, Jsonb *keys)
{
	LatestRow	row = latest_row(latest, lead_id);
	Jsonb	   *all = concat(keys, row.keys);

	return (ProfileChange) {all ? keys_without(all, row.attributes) : NULL, row.attributes, true};
}

/* ---------- one lead ---------- */

/* A row of lead that we have locked. */
typedef struct TakenProfile
{
	Profile		before;
	Profile		profile;		/* the new profile */
	bool		made;			/* we inserted it, and no other transaction has seen it */
} TakenProfile;

static void
taken(TakenProfile *row, struct varlena *stored)
{
	row->before = (Profile) {true, stored ? DatumGetJsonbP(PointerGetDatum(stored)) : NULL};
	row->profile = row->before;
	row->made = false;
}

/* Insert a row and lock it; false if another transaction is inserting it, too. */
static bool
make_row(ProfileWriter *w, text *lead_id, TakenProfile *row)
{
	struct varlena *stored;

	if (!store_insert(w->rows, lead_id, (struct varlena *) w->empty))
		return false;
	CommandCounterIncrement();
	if (store_take(w->rows, lead_id, false, &stored) != TAKEN)
		elog(ERROR, "a row that was made is not there");
	row->before = row->profile = (Profile) {false, NULL};
	row->made = true;
	return true;
}

static bool
same_jsonb(const Jsonb *a, const Jsonb *b)
{
	return a && b && VARSIZE(a) == VARSIZE(b) && memcmp(a, b, VARSIZE(a)) == 0;
}

/* Write the row that we have locked, unless it is unchanged. */
static void
put(ProfileWriter *w, const TakenProfile *row)
{
	if (!row->profile.exists)
		store_set(w->rows, NULL);
	else if (row->profile.value == NULL || (!row->made && same_jsonb(row->before.value, row->profile.value)))
		store_leave(w->rows);
	else
		store_set(w->rows, (struct varlena *) row->profile.value);
}

/*
 * Remove the stale attributes, which were looked up without the lock on the lead's row,
 * and apply the latest row of the lead from each table.
 */
static void
look_up_again(ProfileWriter *w, const text *lead_id, Profile *profile, Jsonb *stale)
{
	ListCell   *cell;

	if (stale)
		profile_apply(profile, &(ProfileChange) {keys_without(stale, NULL), NULL, false});
	foreach(cell, w->again)
	{
		ProfileChange change = latest_change(lfirst(cell), lead_id, NULL);

		profile_apply(profile, &change);
	}
}

/*
 * Take the pending changes of a lead into its row in lead, which we have locked: at
 * most "most" of them. *all: no change that is committed or our own is left.
 */
static int64
take_pending(ProfileWriter *w, const text *lead_id, TakenProfile *row, int limit, int64 most, bool *all)
{
	PendingChanges found = pending_changes_of(&w->pending, lead_id, w->seen, limit);
	bool		look_again = false;
	Jsonb	   *stale = NULL;	/* attributes that were looked up without the lock on the lead's row */
	int64		n = 0;

	while (w->may_take && n < Min(found.n, most))
	{
		const ProfileChange *change = &found.changes[n].change;

		if ((change->look_again && !may_look_again(w)) || !remove_row(w->pending_table, &found.changes[n].row))
			break;
		profile_apply(&row->profile, change);
		if (change->look_again)
		{
			look_again = true;
			stale = concat(stale, change->attributes);
		}
		n++;
	}
	if (look_again)
		look_up_again(w, lead_id, &row->profile, stale);
	*all = found.complete && n == found.n;
	return n;
}

static bool
anything_pending(ProfileWriter *w, const text *lead_id)
{
	PendingChanges found = pending_changes_of(&w->pending, lead_id, NULL, TAKE_ALONG);

	return found.n > 0 || !found.complete;
}

/* Change the row that we have locked; false if the change must be appended. */
static bool
change_taken(ProfileWriter *w, const LeadChange *lead, TakenProfile *row)
{
	ProfileChange change = lead->change;
	bool		all;

	(void) take_pending(w, lead->lead_id, row, TAKE_ALONG, PG_INT64_MAX, &all);
	if (all && w->latest)
		change = latest_change(w->latest, lead->lead_id, lead->keys);
	if (all)
		profile_apply(&row->profile, &change);
	put(w, row);
	return all;
}

/* Change a lead that seems to have no row; *again: it does have one. False if the change must be appended. */
static bool
change_missing(ProfileWriter *w, const LeadChange *lead, bool is_pending, bool *again)
{
	TakenProfile row = {.made = true};

	*again = false;
	if (is_pending)
	{
		*again = !make_row(w, lead->lead_id, &row);
		return !*again && change_taken(w, lead, &row);
	}
	profile_apply(&row.profile, &lead->change);
	if (!row.profile.exists)
		return true;
	*again = !store_insert(w->rows, lead->lead_id, (struct varlena *) row.profile.value);
	return !*again;
}

/*
 * Change a lead's row. False if the change must be appended, because another transaction
 * holds the row lock or an older change stays pending.
 */
static bool
change_row(ProfileWriter *w, const LeadChange *lead)
{
	text	   *lead_id = lead->lead_id;

	/*
	 * Guess that there is no row only if the change would leave one. Otherwise look for pending changes before
	 * looking for the row: fold() could move them into the row in between. If the latest row counts, it is looked
	 * up under the lock on the lead's row, so that row is inserted first.
	 */
	bool		guess = w->latest == NULL && lead->change.attributes && JB_ROOT_COUNT(lead->change.attributes) > 0;
	bool		is_pending = w->latest || (!guess && anything_pending(w, lead_id));
	struct varlena *stored;
	TakenProfile row;
	bool		again = true;

	for (int i = 0; again && i < 2; i++)
		switch (store_take(w->rows, lead_id, guess, &stored))
		{
			case TAKEN:
				taken(&row, stored);
				return change_taken(w, lead, &row);
			case FREE:
				if (change_missing(w, lead, guess ? anything_pending(w, lead_id) : is_pending, &again))
					return true;
				break;
			case TAKEN_BY_ANOTHER:
			case TOO_LARGE:
				return false;
		}
	return false;
}

/* ---------- many ---------- */

/* Append changes to pending_profile with SQL statements. */
static void
insert_changes(LeadChange **changes, int n)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[4] = {TEXTOID, JSONBOID, TEXTARRAYOID, BOOLOID};

	SPI_connect();
	session_plan(&plan, "INSERT INTO leadscore.pending_profile (lead_id, attributes, removed, look_again) VALUES ($1, $2, $3, $4)", 4, types);
	for (int i = 0; i < n; i++)
	{
		ProfileChange *change = &changes[i]->change;
		Datum		values[4] = {PointerGetDatum(changes[i]->lead_id), PointerGetDatum(change->attributes), PointerGetDatum(change->removed), BoolGetDatum(change->look_again)};
		char		nulls[4] = {' ', change->attributes ? ' ' : 'n', change->removed ? ' ' : 'n', ' '};

		CHECK_FOR_INTERRUPTS();
		if (SPI_execute_plan(plan, values, nulls, false, 0) != SPI_OK_INSERT)
			elog(ERROR, "could not append the change of a profile");
	}
	SPI_finish();
}

/* The same without planner and executor, as in store.c. */
static void
append_rows(Relation table, LeadChange **changes, int n)
{
	EState	   *estate = CreateExecutorState();
	ResultRelInfo *result = makeNode(ResultRelInfo);
	TupleTableSlot *slot = table_slot_create(table, &estate->es_tupleTable);
	Oid			sequence = identity_sequence(table, 1);

	InitResultRelInfo(result, table, 0, NULL, 0);
	ExecOpenIndices(result, false);
	for (int i = 0; i < n; i++)
	{
		ProfileChange *change = &changes[i]->change;

		CHECK_FOR_INTERRUPTS();
		ExecClearTuple(slot);
		memset(slot->tts_isnull, false, PENDING_PROFILE_COLUMNS * sizeof(bool));
		slot->tts_values[0] = Int64GetDatum(nextval_internal(sequence, false));
		slot->tts_values[1] = PointerGetDatum(changes[i]->lead_id);
		slot->tts_values[2] = PointerGetDatum(change->attributes);
		slot->tts_isnull[2] = change->attributes == NULL;
		slot->tts_values[3] = PointerGetDatum(change->removed);
		slot->tts_isnull[3] = change->removed == NULL;
		slot->tts_values[4] = BoolGetDatum(change->look_again);
		ExecStoreVirtualTuple(slot);
		ExecConstraints(result, slot, estate);
		table_tuple_insert(table, slot, GetCurrentCommandId(true), 0, NULL);
		insert_index_tuples(result, slot, estate, false, NULL, INDEXES_ALL);
		ResetPerTupleExprContext(estate);
	}
	ExecCloseIndices(result);
	ExecResetTupleTable(estate->es_tupleTable, false);
	FreeExecutorState(estate);
}

/* Append changes to pending_profile. */
static void
append_changes(LeadChange **changes, int n)
{
	Relation	table;

	if (n == 0)
		return;
	table = table_open(our_table("pending_profile"), RowExclusiveLock);
	if (is_as_made(table) && RelationGetNumberOfAttributes(table) == PENDING_PROFILE_COLUMNS)
		append_rows(table, changes, n);
	else
		insert_changes(changes, n);
	table_close(table, NoLock);
}

/*
 * Prepare a change to be appended: look up the latest row without the lock on the lead's
 * row. The result is provisional, so look_again is set.
 */
static void
look_up_unlocked(LeadChange *lead, Latest *latest)
{
	if (latest_is_ready(latest))
		lead->change = latest_change(latest, lead->lead_id, lead->keys);
	else
		lead->change = (ProfileChange) {NULL, NULL, true};
}

void
write_profile_changes(LeadChange **changes, int n, Latest *latest)
{
	ProfileWriter w;
	bool		may_write;
	LeadChange **left = palloc_extended(Max(n, 1) * sizeof(LeadChange *), MCXT_ALLOC_HUGE);
	int			nleft = 0;
	bool		may_try_again;

	if (n == 0)
		return;
	writer_open(&w, false);
	w.latest = latest;
	may_write = w.rows && (latest == NULL || latest_is_ready(latest));
	may_try_again = w.rows != NULL;
	for (int i = 0; i < n; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(w.scratch);

		CHECK_FOR_INTERRUPTS();
		if (!may_write || !change_row(&w, changes[i]))
			left[nleft++] = changes[i];
		MemoryContextSwitchTo(old);
		MemoryContextReset(w.scratch);
	}
	writer_close(&w);
	for (int i = 0; latest && i < nleft; i++)
		look_up_unlocked(left[i], latest);
	append_changes(left, nleft);
	for (int i = 0; may_try_again && i < nleft; i++)
		remember_profile(left[i]->lead_id);
}

/* ---------- folding ---------- */

/* Fold the pending changes of a lead, if no other transaction holds the lock on its row. */
static int64
fold_lead(ProfileWriter *w, text *lead_id, int64 most)
{
	struct varlena *stored;
	TakenProfile row;
	int64		n;
	bool		all;

	switch (store_take(w->rows, lead_id, false, &stored))
	{
		case TAKEN:
			taken(&row, stored);
			break;
		case FREE:
			if (!anything_pending(w, lead_id) || !make_row(w, lead_id, &row))
				return 0;
			break;
		default:
			return 0;
	}
	n = take_pending(w, lead_id, &row, 0, most, &all);
	put(w, &row);
	return n;
}

/* The same with a statement, if the tables have been altered; waits for the lock on the row. */
static int64
fold_lead_by_statement(text *lead_id)
{
	static SPIPlanPtr plan = NULL;
	Oid			type = TEXTOID;
	Datum		value = PointerGetDatum(lead_id);
	bool		isnull;
	int64		n;

	SPI_connect();
	session_plan(&plan, "SELECT leadscore_internal.fold_profile($1)", 1, &type);
	if (SPI_execute_plan(plan, &value, NULL, false, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not fold a profile");
	n = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	return n;
}

static int64
fold_some(ProfileWriter *w, text **lead_ids, int n, bool may_wait, int64 most)
{
	int64		merged = 0;

	for (int i = 0; i < n && merged < most; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(w->scratch);

		CHECK_FOR_INTERRUPTS();
		if (w->rows && w->may_take)
			merged += fold_lead(w, lead_ids[i], most - merged);
		else if (may_wait)
			merged += fold_lead_by_statement(lead_ids[i]);
		MemoryContextSwitchTo(old);
		MemoryContextReset(w->scratch);
	}
	return merged;
}

int64
fold_profiles_of(text **lead_ids, int n, bool newest)
{
	ProfileWriter w;
	int64		merged = 0;

	writer_open(&w, newest);
	if (w.pending.table)
		merged = fold_some(&w, lead_ids, n, !newest, PG_INT64_MAX);
	writer_close(&w);
	return merged;
}

bool
profiles_are_busy(text **lead_ids, int n)
{
	Relation	leads = table_open(our_table("lead"), AccessShareLock);
	Store	   *rows = store_open(leads, true, true);
	bool		busy = rows != NULL;

	for (int i = 0; busy && i < n; i++)
		busy = store_is_busy(rows, lead_ids[i]);
	if (rows)
		store_close(rows);
	table_close(leads, NoLock);
	return busy;
}

/* fold_profiles(max_rows): merge at most max_rows rows of pending_profile (NULL: all). Returns how many were merged. */
Datum
fold_profiles(PG_FUNCTION_ARGS)
{
	int64		most = PG_ARGISNULL(0) ? PG_INT64_MAX : PG_GETARG_INT64(0);
	MemoryContext batch = AllocSetContextCreate(CurrentMemoryContext, "leadscore fold profiles", ALLOCSET_DEFAULT_SIZES);
	Snapshot	snapshot;
	TupleTableSlot *slot;
	TableScanDesc scan;
	ProfileWriter w;
	int64		merged = 0;
	bool		end = false;

	writer_open(&w, false);
	snapshot = RegisterSnapshot(IsolationUsesXactSnapshot() ? GetTransactionSnapshot() : GetLatestSnapshot());
	slot = table_slot_create(w.pending_table, NULL);
	scan = begin_table_scan(w.pending_table, snapshot);
	while (!end && merged < most)
	{
		MemoryContext old = MemoryContextSwitchTo(batch);
		text	  **lead_ids = palloc(BATCH * sizeof(text *));
		int			n;

		CommandCounterIncrement();	/* a lead may occur in several batches */
		n = read_names(scan, slot, 2, lead_ids, BATCH, &end);
		merged += fold_some(&w, lead_ids, n, true, most - merged);
		MemoryContextSwitchTo(old);
		MemoryContextReset(batch);
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	UnregisterSnapshot(snapshot);
	writer_close(&w);
	MemoryContextDelete(batch);
	PG_RETURN_INT64(merged);
}
