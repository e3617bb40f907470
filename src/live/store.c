/*
 * store.c: writing rows of lead_timeline, pending_delta and lead.
 *
 * All three have the columns (lead_id, timeline, delta or profile). They are written
 * through the table access methods, without planner and executor, at a third of the
 * cost of a statement.
 *
 * Lock. A lead belongs to the transaction that holds the lock on its row of
 * lead_timeline: that has locked it (FOR UPDATE), written it, or deleted it. The lock
 * is held until that transaction ends. store_take() takes a row only if it is free,
 * and never waits:
 *
 *   - It looks the row up by the primary key with a dirty snapshot, in its newest
 *     version, whatever the transaction's snapshot; that is correct because additions
 *     commute. If another transaction is inserting, updating or deleting the row, it
 *     is busy.
 *   - A row of lead_timeline that is written at once is not locked: that would be a record
 *     in the log for each event. Instead, lock_tuple() takes the server's own lock on the
 *     tuple (AccessExclusiveLock, "tuple" in pg_locks), if it is free, and looks at the
 *     version once more. If nobody has written or locked it, the row is taken; store_put()
 *     writes it and releases the lock. From then on the version itself says that the row
 *     is busy. Invariant: every session of ours that writes or locks a row of
 *     lead_timeline holds the lock on its tuple meanwhile, so the write never waits for
 *     one of them. (A statement by hand that changes or locks the row may come in between:
 *     then the write waits for its transaction. After an error, the resource owner
 *     releases the lock.)
 *   - A row that must stay ours without being written, as for a comparison of segments, is
 *     locked with LockWaitSkip, under the lock on its tuple. So is a version to which
 *     something has been done, such as FOR KEY SHARE or a lock of our own. Rows of lead,
 *     which forget() locks by a statement, and those of other tables than heaps are locked
 *     without it.
 *   - A missing row is inserted speculatively, as ON CONFLICT does. If another
 *     transaction inserts it at the same time, both may back off; the row is then busy
 *     for both. After many missing rows in succession, as in a rebuild, the next one is
 *     inserted without a look-up.
 *
 * At REPEATABLE READ and SERIALIZABLE, a row is also busy if the transaction's snapshot
 * does not see its newest version: such a transaction sees the lead as of its snapshot,
 * plus its own additions.
 *
 * Active leads recur. Descending the index costs more than the rest of an update
 * altogether, so a session remembers where it found their rows. The place is only a
 * hint: the row there is used only if its lead_id matches, and as the key is unique it
 * is then the row that the index would return.
 */
#include "live/store.h"

#include "catalog.h"
#include "label.h"
#include "lookup.h"
#include "live/partition.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

/*
 * Where a lead's row was found: the start of its HOT chain, to which its index entry
 * points. Leads with equal hashes overwrite each other's entry.
 */
typedef struct Place
{
	uint32		hash;			/* of the table and lead_id */
	char		status;
	ItemPointerData begin;
} Place;

#define SH_PREFIX place
#define SH_ELEMENT_TYPE Place
#define SH_KEY_TYPE uint32
#define SH_KEY hash
#define SH_HASH_KEY(tb, key) (key)
#define SH_EQUAL(tb, a, b) ((a) == (b))
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* Number of leads remembered, in 4 MB. */
#define MAX_PLACES 200000

/* After this many leads in succession without a row, the next one is assumed to have none. */
#define MANY_MISSES 100

static place_hash *places = NULL;

struct Store
{
	Relation	table;
	MemoryContext context;		/* a scan may allocate at any time, and keeps the memory */
	MemoryContext row_context;	/* lasts as long as the taken row */
	bool		newest;			/* also take rows that the transaction's snapshot does not see */
	bool		leaves_large;	/* store_take() leaves rows whose timeline is stored out of line */
	bool		spares_locks;	/* store_take() need not lock rows: it is lead_timeline, a heap */
	bool		holds_tuple;	/* we hold the lock on the tuple that was found, until it is written */
	bool		dated;			/* it is pending_delta, whose third column is its transaction's start */
	EState	   *estate;			/* NULL: no index written yet */
	ResultRelInfo *result;		/* with its indexes open */
	Relation	key;			/* the primary key's index; NULL: not opened yet */
	IndexScanDesc scan;			/* of that index, for one lead */
	IndexFetchTableData *fetch; /* of rows at remembered places; NULL if places are not used */
	int			misses;			/* leads in succession that had no row */
	SnapshotData now;			/* dirty: also sees uncommitted rows of other transactions */
	TupleTableSlot *found;
	TupleTableSlot *row;		/* the row to write */
	TupleTableSlot *rows[APPENDED_AT_ONCE]; /* the same for several rows; NULL: not made yet */
};

/* Whether a table has a trigger that must be fired. The guard need not be: our callers know where rows belong. */
static bool
has_triggers(Relation table)
{
	TriggerDesc *triggers = table->trigdesc;

	return triggers && (triggers->numtriggers > 1 || strcmp(triggers->triggers[0].tgname, GUARD_TRIGGER) != 0);
}

/*
 * Whether a unique index has the same definition as the primary key's, such as the one
 * that REINDEX CONCURRENTLY builds beside it. A duplicate for one is a duplicate for the
 * other, so a speculative insertion works the same.
 */
static bool
is_key_again(Relation index, Oid key)
{
	Relation	of_key = index_open(key, AccessShareLock);
	bool		same = index->rd_rel->relam == of_key->rd_rel->relam && !index->rd_index->indisexclusion && index->rd_index->indimmediate &&
		index->rd_index->indnatts == 1 && of_key->rd_index->indnatts == 1 &&
		index->rd_index->indkey.values[0] == of_key->rd_index->indkey.values[0] &&
		index->rd_opfamily[0] == of_key->rd_opfamily[0] && index->rd_indcollation[0] == of_key->rd_indcollation[0] &&
		RelationGetIndexPredicate(index) == NIL;

	index_close(of_key, NoLock);
	return same;
}

/* Whether a table has exactly its first n columns, apart from later columns that have been dropped. */
bool
has_columns(Relation table, int n)
{
	TupleDesc	row = RelationGetDescr(table);

	for (int i = 0; i < row->natts; i++)
		if (TupleDescAttr(row, i)->attisdropped != (i >= n))
			return false;
	return row->natts >= n;
}

/* Open the indexes for writing. Few statements need it: most updates of a timeline are HOT. */
static void
open_indexes(Store *store)
{
	MemoryContext old = MemoryContextSwitchTo(store->context);

	if (store->estate == NULL)
	{
		store->estate = CreateExecutorState();
		store->result = makeNode(ResultRelInfo);
		InitResultRelInfo(store->result, store->table, 0, NULL, 0);
		ExecOpenIndices(store->result, false);
	}
	MemoryContextSwitchTo(old);
}

/* Whether the lead's key, whose index is "key", is the only reason why a row can be a duplicate. */
static bool
indexes_fit(Store *store, Oid key)
{
	List	   *indexes = RelationGetIndexList(store->table);
	bool		fit = true;

	/* a table as the extension created it has no other index */
	if (!OidIsValid(key) || list_length(indexes) > 1)
	{
		open_indexes(store);
		for (int i = 0; fit && i < store->result->ri_NumIndices; i++)
		{
			Relation	index = store->result->ri_IndexRelationDescs[i];

			fit = RelationGetRelid(index) == key || (!index->rd_index->indisunique && !index->rd_index->indisexclusion) ||
				(OidIsValid(key) && is_key_again(index, key));
		}
	}
	list_free(indexes);
	return fit;
}

Store *
store_open(Relation table, bool keyed, bool newest)
{
	Store	   *store;
	Oid			key = primary_key_index(table);

	/* require our columns, no trigger and no partitions */
	if (OidIsValid(key) != keyed || table->rd_rel->relkind != RELKIND_RELATION || has_triggers(table) || !has_columns(table, keyed ? 2 : 3))
		return NULL;

	CommandCounterIncrement();
	store = palloc0(sizeof(Store));
	store->table = table;
	store->context = CurrentMemoryContext;
	store->row_context = AllocSetContextCreate(CurrentMemoryContext, "leadscore row", ALLOCSET_DEFAULT_SIZES);
	store->newest = newest;
	store->dated = !keyed;
	InitDirtySnapshot(store->now);
	if (keyed && table->rd_rel->relam == HEAP_TABLE_AM_OID)
		store->fetch = begin_index_fetch(table);
	store->found = table_slot_create(table, NULL);
	store->row = table_slot_create(table, NULL);
	if (indexes_fit(store, key))
		return store;
	store_close(store);
	return NULL;
}

void
store_close(Store *store)
{
	if (store->fetch)
		table_index_fetch_end(store->fetch);
	ExecDropSingleTupleTableSlot(store->found);
	ExecDropSingleTupleTableSlot(store->row);
	for (int i = 0; i < APPENDED_AT_ONCE && store->rows[i]; i++)
		ExecDropSingleTupleTableSlot(store->rows[i]);
	if (store->key)
	{
		index_endscan(store->scan);
		index_close(store->key, NoLock);
	}
	if (store->estate)
	{
		ExecCloseIndices(store->result);
		FreeExecutorState(store->estate);
	}
	MemoryContextDelete(store->row_context);
	pfree(store);
}

/* Free the memory of the row that was found and of the one that was written. */
static void
free_row_memory(Store *store)
{
	MemoryContextReset(store->row_context);
	if (store->estate)
		ResetPerTupleExprContext(store->estate);
}

/* Fill in a row to write, and check its constraints. (No column is NULL.) */
static void
set_row(Store *store, TupleTableSlot *row, Datum lead_id, struct varlena *timeline)
{
	TupleConstr *constraints = store->table->rd_att->constr;

	ExecClearTuple(row);
	row->tts_values[0] = lead_id;
	row->tts_values[1] = PointerGetDatum(timeline);
	memset(row->tts_isnull, true, RelationGetNumberOfAttributes(store->table) * sizeof(bool));	/* dropped columns */
	row->tts_isnull[0] = row->tts_isnull[1] = false;
	if (store->dated)
	{
		row->tts_values[2] = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
		row->tts_isnull[2] = false;
	}
	ExecStoreVirtualTuple(row);
	if (constraints && constraints->num_check > 0)
	{
		open_indexes(store);
		ExecConstraints(store->result, row, store->estate);
	}
}

/* Add a written row to the indexes. */
static void
index_row(Store *store, TupleTableSlot *row, bool update, bool *conflict, UpdateIndexes indexes)
{
	open_indexes(store);
	insert_index_tuples(store->result, row, store->estate, update, conflict, indexes);
}

/* ---------- finding ---------- */

static inline uint32
place_key(const Store *store, text *lead_id)
{
	return label_hash(text_label(lead_id)) ^ murmurhash32(RelationGetRelid(store->table));
}

static void
remember_place(const Store *store, text *lead_id, const ItemPointerData *begin)
{
	bool		found;

	if (places == NULL)
		places = place_create(TopMemoryContext, 64, NULL);
	if (places->members >= MAX_PLACES)
		place_reset(places);
	ItemPointerCopy(begin, &place_insert(places, place_key(store, lead_id), &found)->begin);
}

/* Look up a lead's row where it was found before. */
static bool
find_by_place(Store *store, text *lead_id)
{
	Place	   *place = places && store->fetch ? place_lookup(places, place_key(store, lead_id)) : NULL;
	bool		all_dead;

	if (place == NULL)
		return false;
	/* the place may belong to another table, or to a time when this one had more rows */
	if (!has_block(store->table, ItemPointerGetBlockNumber(&place->begin)))
		return false;
	if (!fetch_to_write(store->fetch, &place->begin, &store->now, store->found, &all_dead))
		return false;
	slot_getsomeattrs(store->found, 1);
	if (text_equal(DatumGetTextPP(store->found->tts_values[0]), lead_id))
		return true;
	ExecClearTuple(store->found);
	return false;
}

/* The primary key's index, opened when the place of a lead is not known. */
static Relation
key_index(Store *store)
{
	if (store->key == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(store->context);

		store->key = index_open(primary_key_index(store->table), AccessShareLock);
		store->scan = begin_index_scan(store->table, store->key, &store->now, 1);
		MemoryContextSwitchTo(old);
	}
	return store->key;
}

static bool
find_by_index(Store *store, text *lead_id)
{
	ItemPointerData begin;

	(void) key_index(store);
	if (!scan_unique(store->scan, lead_id, store->found, &begin, store->fetch != NULL))
		return false;
	remember_place(store, lead_id, &begin);
	return true;
}

typedef enum Found
{
	NONE,
	FOUND,
	BUSY,						/* another transaction is inserting, updating or deleting it */
	LARGE						/* its timeline is stored out of line, and such rows are left */
} Found;

/* Whether the version that was found is hidden from the transaction, at REPEATABLE READ or SERIALIZABLE. */
static bool
is_hidden(Store *store)
{
	return !store->newest && IsolationUsesXactSnapshot() &&
		!table_tuple_satisfies_snapshot(store->table, store->found, GetTransactionSnapshot());
}

/*
 * Whether the transaction's snapshot still sees a row of a lead that has none any more:
 * with a new row it would see two. (The scan skips no version, and takes no predicate
 * lock on any.)
 */
static bool
is_still_seen(Store *store, text *lead_id)
{
	Relation	index = key_index(store);
	IndexScanDesc scan = begin_index_scan(store->table, index, SnapshotAny, 1);
	ScanKeyData key;
	bool		seen = false;

	ScanKeyEntryInitialize(&key, 0, 1, BTEqualStrategyNumber, InvalidOid, index->rd_indcollation[0], F_TEXTEQ, PointerGetDatum(lead_id));
	index_rescan(scan, &key, 1, NULL, 0);
	while (!seen && index_getnext_slot(scan, ForwardScanDirection, store->found))
		seen = table_tuple_satisfies_snapshot(store->table, store->found, GetTransactionSnapshot());
	ExecClearTuple(store->found);
	index_endscan(scan);
	return seen;
}

/* Look up a lead's row in its newest version. With "wait", wait for a transaction that is writing it. */
static Found
find_row(Store *store, text *lead_id, bool wait)
{
	SnapshotData *now = &store->now;

	for (;;)
	{
		MemoryContext old = MemoryContextSwitchTo(store->context);
		bool		found = find_by_place(store, lead_id) || find_by_index(store, lead_id);

		MemoryContextSwitchTo(old);
		CHECK_FOR_INTERRUPTS();
		if (!found)
			return NONE;
		if (!TransactionIdIsValid(now->xmin) && !TransactionIdIsValid(now->xmax))
			return is_hidden(store) ? BUSY : FOUND;
		if (!wait)
			return BUSY;
		if (TransactionIdIsValid(now->xmin) && now->speculativeToken != 0)
			SpeculativeInsertionWait(now->xmin, now->speculativeToken);
		else if (TransactionIdIsValid(now->xmin))
			XactLockTableWait(now->xmin, store->table, &store->found->tts_tid, XLTW_Update);
		else
			XactLockTableWait(now->xmax, store->table, &store->found->tts_tid, XLTW_Update);
	}
}

bool
store_is_busy(Store *store, text *lead_id)
{
	bool		busy = find_row(store, lead_id, false) == BUSY;

	ExecClearTuple(store->found);
	return busy;
}

/* ---------- taking ---------- */

/* Whether this transaction wrote the row that was found: then it already holds the row's lock. */
static bool
is_written_by_us(Store *store)
{
	bool		isnull;
	Datum		xmin = slot_getsysattr(store->found, MinTransactionIdAttributeNumber, &isnull);

	return TransactionIdIsCurrentTransactionId(DatumGetTransactionId(xmin));
}

/* Lock the row that was found, FOR UPDATE: it may be deleted, so conflict with foreign keys' FOR KEY SHARE, too. */
static TM_Result
lock_row(Store *store, bool wait)
{
	TM_FailureData failure;
	TM_Result	result;

	if (is_written_by_us(store))
		return TM_Ok;
	result = table_tuple_lock(store->table, &store->found->tts_tid, GetActiveSnapshot(), store->row, GetCurrentCommandId(false),
							  LockTupleExclusive, wait ? LockWaitBlock : LockWaitSkip, 0, &failure);
	ExecClearTuple(store->row);
	return result;
}

/*
 * Take the server's lock on the tuple that was found; false if somebody else has it. (If the lock
 * table is full, it counts as taken, unless we wait.) Release it with unlock_tuple().
 */
static bool
lock_tuple(Store *store, bool wait)
{
	if (wait)
		LockTuple(store->table, &store->found->tts_tid, AccessExclusiveLock);
	else
	{
		LOCKTAG		tag;

		SET_LOCKTAG_TUPLE(tag, store->table->rd_lockInfo.lockRelId.dbId, store->table->rd_lockInfo.lockRelId.relId,
						  ItemPointerGetBlockNumber(&store->found->tts_tid), ItemPointerGetOffsetNumber(&store->found->tts_tid));
		if (!try_lock(&tag, AccessExclusiveLock, false))
			return false;
	}
	store->holds_tuple = true;
	return true;
}

static void
unlock_tuple(Store *store)
{
	if (store->holds_tuple)
		UnlockTuple(store->table, &store->found->tts_tid, AccessExclusiveLock);
	store->holds_tuple = false;
}

/* Whether nobody has written or locked the version that was found, in a heap: a write of it would not wait. */
static bool
is_untouched(Store *store)
{
	BufferHeapTupleTableSlot *slot = (BufferHeapTupleTableSlot *) store->found;
	TM_Result	result;

	LockBuffer(slot->buffer, BUFFER_LOCK_SHARE);
	result = HeapTupleSatisfiesUpdate(slot->base.tuple, GetCurrentCommandId(false), slot->buffer);
	LockBuffer(slot->buffer, BUFFER_LOCK_UNLOCK);
	return result == TM_Ok;
}

/* Whether the row was locked or written; false if another transaction has changed it since it was found. */
static bool
was_done(TM_Result result)
{
	switch (result)
	{
		case TM_Ok:
			return true;
		case TM_Updated:
		case TM_Deleted:
			return false;
		default:
			elog(ERROR, "could not write a row of a lead: %d", result);
	}
}

/* Whether the timeline in the row that was found is stored out of line. */
static bool
is_large(Store *store)
{
	bool		isnull;
	Datum		timeline = slot_getattr(store->found, 2, &isnull);

	return !isnull && VARATT_IS_EXTERNAL(DatumGetPointer(timeline));
}

/*
 * Look up a lead's row and, if there is one, it is free and not left for its size, take it: lock it
 * or, if it is "to_write" at once and the table allows it, only its tuple.
 */
static Found
take_row(Store *store, text *lead_id, bool wait, bool to_write)
{
	for (;;)
	{
		Found		found = find_row(store, lead_id, wait);
		TM_Result	result;

		if (found != FOUND)
			return found;
		if (store->leaves_large && is_large(store))
			return LARGE;
		if (store->spares_locks && !lock_tuple(store, wait))
			return BUSY;
		if (to_write && store->spares_locks && is_untouched(store))
			return FOUND;
		result = lock_row(store, wait);
		unlock_tuple(store);
		if (result == TM_WouldBlock)
			return BUSY;
		if (was_done(result))
			return FOUND;
	}
}

/* ---------- writing ---------- */

/* Store a timeline in the row that was found and taken. */
static void
update_row(Store *store, struct varlena *timeline)
{
	TM_FailureData failure;
	LockTupleMode lock;
	UpdateIndexes indexes;

	set_row(store, store->row, store->found->tts_values[0], timeline);
	if (!was_done(update_tuple(store->table, &store->found->tts_tid, store->row, GetCurrentCommandId(true),
							   GetActiveSnapshot(), true, &failure, &lock, &indexes)))
		elog(ERROR, "a row of a lead has been changed under its lock");
	if (indexes)
		index_row(store, store->row, true, NULL, indexes);
}

/* Delete the row that was found and taken. */
static void
delete_row(Store *store)
{
	TM_FailureData failure;

	if (!was_done(delete_tuple(store->table, &store->found->tts_tid, GetCurrentCommandId(true),
							   GetActiveSnapshot(), true, &failure)))
		elog(ERROR, "a row of a lead has been changed under its lock");
}

/* Insert a row; false if another transaction has inserted it meanwhile. */
static bool
insert_row(Store *store, text *lead_id, struct varlena *timeline)
{
	TransactionId xact = GetCurrentTransactionId();
	uint32		token = SpeculativeInsertionLockAcquire(xact);
	bool		conflict = false;

	set_row(store, store->row, PointerGetDatum(lead_id), timeline);
	table_tuple_insert_speculative(store->table, store->row, GetCurrentCommandId(true), 0, NULL, token);
	index_row(store, store->row, false, &conflict, INDEXES_ALL);
	table_tuple_complete_speculative(store->table, store->row, token, !conflict);
	SpeculativeInsertionLockRelease(xact);
	return !conflict;
}

Taken
store_take(Store *store, text *lead_id, bool guess, struct varlena **timeline)
{
	Found		found = NONE;

	*timeline = NULL;
	if (!guess || store->misses < MANY_MISSES || IsolationUsesXactSnapshot())
		found = take_row(store, lead_id, false, true);
	if (found == FOUND)
	{
		MemoryContext old = MemoryContextSwitchTo(store->row_context);

		slot_getallattrs(store->found);
		*timeline = store->found->tts_isnull[1] ? NULL : (struct varlena *) DatumGetPointer(store->found->tts_values[1]);
		MemoryContextSwitchTo(old);
		store->misses = 0;
	}
	if (found == NONE && IsolationUsesXactSnapshot() && !store->newest && is_still_seen(store, lead_id))
		found = BUSY;
	switch (found)
	{
		case FOUND:
			return TAKEN;
		case NONE:
			return FREE;
		case LARGE:
			return TOO_LARGE;
		default:
			return TAKEN_BY_ANOTHER;
	}
}

MemoryContext
store_memory(Store *store)
{
	return store->row_context;
}

void
store_put(Store *store, struct varlena *timeline)
{
	store_set(store, timeline_is_empty(timeline) ? NULL : timeline);
}

void
store_set(Store *store, struct varlena *value)
{
	if (value)
		update_row(store, value);
	else
		delete_row(store);
	unlock_tuple(store);
	store_leave(store);
}

void
store_leave(Store *store)
{
	Assert(!store->holds_tuple);
	ExecClearTuple(store->found);
	free_row_memory(store);
}

bool
store_insert(Store *store, text *lead_id, struct varlena *timeline)
{
	bool		inserted = insert_row(store, lead_id, timeline);

	store->misses = inserted ? store->misses + 1 : 0;
	free_row_memory(store);
	return inserted;
}

bool
store_lock(Store *store, text *lead_id, bool wait, bool *made)
{
	for (;;)
	{
		Found		found = take_row(store, lead_id, wait, false);
		bool		held = found == FOUND;

		*made = false;
		if (found == NONE)
			held = *made = insert_row(store, lead_id, timeline_encode(NULL, 0));
		store_leave(store);
		if (held || !wait)
			return held;
	}
}

void
store_append(Store *store, text *lead_id, struct varlena *delta)
{
	set_row(store, store->row, PointerGetDatum(lead_id), delta);
	table_tuple_insert(store->table, store->row, GetCurrentCommandId(true), 0, NULL);
	index_row(store, store->row, false, NULL, INDEXES_ALL);
	free_row_memory(store);
}

void
store_append_some(Store *store, text **lead_ids, struct varlena **deltas, int n)
{
	MemoryContext old;

	if (n == 1)
	{
		store_append(store, lead_ids[0], deltas[0]);
		return;
	}
	old = MemoryContextSwitchTo(store->context);
	for (int i = 0; i < n; i++)
	{
		if (store->rows[i] == NULL)
			store->rows[i] = table_slot_create(store->table, NULL);
		set_row(store, store->rows[i], PointerGetDatum(lead_ids[i]), deltas[i]);
	}
	MemoryContextSwitchTo(store->row_context);
	table_multi_insert(store->table, store->rows, n, GetCurrentCommandId(true), 0, NULL);
	MemoryContextSwitchTo(old);
	for (int i = 0; i < n; i++)
	{
		index_row(store, store->rows[i], false, NULL, INDEXES_ALL);
		ExecClearTuple(store->rows[i]);
	}
	free_row_memory(store);
}

bool
store_remove(Store *store, ItemPointer row)
{
	return remove_row(store->table, row);
}

/* ---------- lead_timeline and its partitions ---------- */

/* One table. */
typedef struct Part
{
	Relation	table;			/* NULL: not opened yet */
	Store	   *store;			/* NULL: the table is not as the extension created it */
} Part;

struct Stores
{
	Relation	timelines;
	bool		newest;
	bool		leaves_large;
	int			n;				/* number of partitions */
	Oid		   *tables;
	Part	   *parts;			/* at least one */
};

Stores *
stores_open(Relation timelines, bool newest)
{
	Stores	   *stores = palloc0(sizeof(Stores));

	stores->timelines = timelines;
	stores->newest = newest;
	stores->n = partition_tables(timelines, &stores->tables);
	stores->parts = palloc0(Max(stores->n, 1) * sizeof(Part));
	return stores;
}

void
stores_leave_large(Stores *stores)
{
	stores->leaves_large = true;
}

static Part *
part_of(Stores *stores, const text *lead_id)
{
	int			number = stores->n > 0 ? partition_of(VARDATA_ANY(lead_id), VARSIZE_ANY_EXHDR(lead_id), stores->n) : 0;
	Part	   *part = &stores->parts[number];

	if (part->table == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(GetMemoryChunkContext(stores));	/* lasts as long as the stores */

		part->table = stores->n > 0 ? table_open(stores->tables[number], RowExclusiveLock) : stores->timelines;
		part->store = store_open(part->table, true, stores->newest);
		if (part->store)
		{
			part->store->leaves_large = stores->leaves_large;
			part->store->spares_locks = part->store->fetch != NULL;
		}
		MemoryContextSwitchTo(old);
	}
	return part;
}

Store *
store_of(Stores *stores, const text *lead_id)
{
	return part_of(stores, lead_id)->store;
}

Relation
table_of(Stores *stores, const text *lead_id)
{
	return part_of(stores, lead_id)->table;
}

void
stores_close(Stores *stores)
{
	for (int i = 0; i < Max(stores->n, 1); i++)
	{
		if (stores->parts[i].store)
			store_close(stores->parts[i].store);
		if (stores->parts[i].table && stores->parts[i].table != stores->timelines)
			table_close(stores->parts[i].table, NoLock);
	}
	pfree(stores);
}
