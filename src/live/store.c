/*
 * store.c: writing rows of lead_timeline, pending_delta and lead.
 *
 * All have the columns (lead_id, timeline, delta or profile). They are written through
 * the table access methods, without planner and executor, at a third of the
 * price of a statement.
 *
 * Lock. A lead belongs to the transaction that has its row of lead_timeline:
 * that has locked it (FOR UPDATE), written it, or deleted it. It keeps it
 * until it ends. store_take() gets a row only if it is free, and never waits:
 *
 *   - The row is looked up by the primary key with a dirty snapshot, as it is
 *     now, whatever the transaction's snapshot, for adding commutes. If somebody
 *     is making, changing or deleting it, it is busy.
 *   - It is then locked with LockWaitSkip, which closes the gap between the look
 *     and the write: the write that follows finds nobody to wait for.
 *   - A row that is not there is inserted speculatively, as ON CONFLICT does it. If
 *     somebody else inserts it at the same time, both may back off; it is busy
 *     for both. Where many rows were not there, as in a rebuild, the next one is
 *     inserted without a look.
 *
 * At the stricter levels of isolation a row whose newest version the
 * transaction's snapshot does not see is busy, too: what the transaction sees of
 * the lead is its snapshot with what it has added itself.
 *
 * Active leads come again and again. Descending the index costs more than all
 * the rest of an update, so a session remembers where it has found their rows.
 * That is no more than a hint: the row that is there is taken only if it is the
 * lead's, and as the key is unique it is then the one that the index would give.
 */
#include "live/store.h"

#include "catalog.h"
#include "label.h"
#include "lookup.h"
#include "live/partition.h"

#include "access/genam.h"
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
 * Where a lead's row was found: where its HOT chain begins, that is, where its
 * index entry points to. Leads whose hashes are equal take each other's place.
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

/* As many leads are remembered, in 4 MB. */
#define MAX_PLACES 200000

/* After so many leads in a row that had none, the next one is taken to have no row. */
#define MANY_MISSES 100

static place_hash *places = NULL;

struct Store
{
	Relation	table;
	MemoryContext context;		/* a scan allocates when it likes to, and keeps that */
	MemoryContext row_context;	/* lasts as long as the row that was taken */
	bool		newest;			/* take rows that the transaction's snapshot does not see, too */
	bool		dated;			/* it is pending_delta, whose third column says since when */
	EState	   *estate;			/* NULL: no index has been written to */
	ResultRelInfo *result;		/* with its indexes open */
	Relation	key;			/* the primary key's index; NULL: not opened yet */
	IndexScanDesc scan;			/* of it, for one lead */
	IndexFetchTableData *fetch; /* of rows whose place is remembered; NULL if it means nothing */
	int			misses;			/* leads in a row that had no row */
	SnapshotData now;			/* sees what others are writing, too */
	TupleTableSlot *found;
	TupleTableSlot *row;		/* what is written */
	TupleTableSlot *rows[APPENDED_AT_ONCE]; /* the same where several are; NULL: not made yet */
};

/* Whether a table has a trigger that must be fired. The guard's work is done by whoever knows where rows belong. */
static bool
has_triggers(Relation table)
{
	TriggerDesc *triggers = table->trigdesc;

	return triggers && (triggers->numtriggers > 1 || strcmp(triggers->triggers[0].tgname, GUARD_TRIGGER) != 0);
}

/*
 * Whether a unique index has the definition of the primary key's: such as REINDEX
 * CONCURRENTLY makes beside it. What is a duplicate for the one is so for the
 * other, so that a speculative insertion is as good.
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

/* Whether a table has its first columns, so many, and no others but such as have been dropped. */
bool
has_columns(Relation table, int n)
{
	TupleDesc	row = RelationGetDescr(table);

	for (int i = 0; i < row->natts; i++)
		if (TupleDescAttr(row, i)->attisdropped != (i >= n))
			return false;
	return row->natts >= n;
}

/* Open the indexes to write to them. Few statements do: an update of a timeline is HOT, mostly. */
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

/* Whether rows can be duplicates for no other reason than the lead's, whose index is "key". */
static bool
indexes_fit(Store *store, Oid key)
{
	List	   *indexes = RelationGetIndexList(store->table);
	bool		fit = true;

	/* as we have made it there is no other index */
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

	/* its columns, no trigger, no partitions */
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

/* What the row that was found, and the one that was written, have taken. */
static void
free_row_memory(Store *store)
{
	MemoryContextReset(store->row_context);
	if (store->estate)
		ResetPerTupleExprContext(store->estate);
}

/* Fill a row that is written, and check it. (No column is NULL.) */
static void
set_row(Store *store, TupleTableSlot *row, Datum lead_id, struct varlena *timeline)
{
	TupleConstr *constraints = store->table->rd_att->constr;

	ExecClearTuple(row);
	row->tts_values[0] = lead_id;
	row->tts_values[1] = PointerGetDatum(timeline);
	memset(row->tts_isnull, true, RelationGetNumberOfAttributes(store->table) * sizeof(bool));	/* columns that were dropped */
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

/* Add a row that was written to the indexes. */
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

/* Look a lead's row up where it was found before. */
static bool
find_by_place(Store *store, text *lead_id)
{
	Place	   *place = places && store->fetch ? place_lookup(places, place_key(store, lead_id)) : NULL;
	ItemPointerData tid;
	bool		again = false;

	if (place == NULL)
		return false;
	tid = place->begin;
	/* the place may be of another table, or of a time when this one had more rows */
	if (!has_block(store->table, ItemPointerGetBlockNumber(&tid)))
		return false;
	if (!table_index_fetch_tuple(store->fetch, &tid, &store->now, store->found, &again, NULL))
		return false;
	slot_getsomeattrs(store->found, 1);
	if (text_equal(DatumGetTextPP(store->found->tts_values[0]), lead_id))
		return true;
	ExecClearTuple(store->found);
	return false;
}

/* The primary key's index, which is opened when a lead's place is not known. */
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
	if (!scan_unique(store->scan, lead_id, store->found, &begin))
		return false;
	remember_place(store, lead_id, &begin);
	return true;
}

typedef enum Found
{
	NONE,
	FOUND,
	BUSY						/* somebody else is making or changing it */
} Found;

/* Whether the transaction may not know the version of a row that was found. */
static bool
is_hidden(Store *store)
{
	return !store->newest && IsolationUsesXactSnapshot() &&
		!table_tuple_satisfies_snapshot(store->table, store->found, GetTransactionSnapshot());
}

/*
 * Whether the transaction's snapshot sees a row of a lead that has none any more:
 * with a new one there would be two. (No version is skipped by the scan, and none
 * is read for a predicate lock.)
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

/* Look a lead's row up, as it is now. Waits for whoever is making or changing it, if it is to. */
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

/* ---------- taking ---------- */

/* Whether the row that was found has been written by this transaction: then it is ours already. */
static bool
is_written_by_us(Store *store)
{
	bool		isnull;
	Datum		xmin = slot_getsysattr(store->found, MinTransactionIdAttributeNumber, &isnull);

	return TransactionIdIsCurrentTransactionId(DatumGetTransactionId(xmin));
}

/* Lock the row that was found; against those who lock it as the target of a foreign key, too, for it may be deleted. */
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

/* Whether something was done to a row; false if somebody else has changed it since it was found. */
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

/* Look a lead's row up and, where there is one that is free, lock it. */
static Found
take_row(Store *store, text *lead_id, bool wait)
{
	for (;;)
	{
		Found		found = find_row(store, lead_id, wait);
		TM_Result	result;

		if (found != FOUND)
			return found;
		result = lock_row(store, wait);
		if (result == TM_WouldBlock)
			return BUSY;
		if (was_done(result))
			return FOUND;
	}
}

/* ---------- writing ---------- */

/* Put a timeline into the row that was found, which is ours. */
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

/* Remove the row that was found, which is ours. */
static void
delete_row(Store *store)
{
	TM_FailureData failure;

	if (!was_done(delete_tuple(store->table, &store->found->tts_tid, GetCurrentCommandId(true),
							   GetActiveSnapshot(), true, &failure)))
		elog(ERROR, "a row of a lead has been changed under its lock");
}

/* Make a row; false if somebody else has made it meanwhile. */
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
		found = take_row(store, lead_id, false);
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
	return found == FOUND ? TAKEN : found == NONE ? FREE : TAKEN_BY_ANOTHER;
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
	store_leave(store);
}

void
store_leave(Store *store)
{
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
		Found		found = take_row(store, lead_id, wait);
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

/* ---------- lead_timeline, and the tables that it is split into ---------- */

/* One table. */
typedef struct Part
{
	Relation	table;			/* NULL: not opened yet */
	Store	   *store;			/* NULL: it is not as we have made it */
} Part;

struct Stores
{
	Relation	timelines;
	bool		newest;
	int			n;				/* of tables that it is split into */
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

static Part *
part_of(Stores *stores, const text *lead_id)
{
	int			number = stores->n > 0 ? partition_of(VARDATA_ANY(lead_id), VARSIZE_ANY_EXHDR(lead_id), stores->n) : 0;
	Part	   *part = &stores->parts[number];

	if (part->table == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(GetMemoryChunkContext(stores));	/* it lasts as long as they do */

		part->table = stores->n > 0 ? table_open(stores->tables[number], RowExclusiveLock) : stores->timelines;
		part->store = store_open(part->table, true, stores->newest);
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
