/*
 * store.c: writing rows of lead_timeline and pending_delta.
 *
 * Both have the columns (lead_id, timeline or delta). They are written through
 * the table access methods, without planner and executor, at a third of the
 * price of a statement. A row of lead_timeline is looked up by the primary key
 * as it is now, whatever the transaction's snapshot, for adding commutes, and
 * is updated where nobody else has come before; else it is looked up again. One
 * that is not there is inserted speculatively, as ON CONFLICT does it; where many
 * were not there, as in a rebuild, the next one is inserted without a look.
 *
 * Active leads come again and again. Descending the index costs more than all
 * the rest of an update, so a session remembers where it has found their rows.
 * That is no more than a hint: the row that is there is taken only if it is the
 * lead's, and as the key is unique it is then the one that the index would give.
 */
#include "store.h"

#include "label.h"
#include "partition.h"

#include "access/genam.h"
#include "access/stratnum.h"
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
	uint32		hash;			/* of lead_id */
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
	EState	   *estate;
	ResultRelInfo *result;		/* with its indexes open */
	IndexScanDesc scan;			/* of the primary key, for one lead; NULL if the table has none */
	IndexFetchTableData *fetch; /* of rows whose place is remembered; NULL if it means nothing */
	BlockNumber nblocks;		/* of the table when it was last looked at */
	int			misses;			/* leads in a row that had no row */
	SnapshotData now;			/* sees what others are writing, too */
	TupleTableSlot *found;
	TupleTableSlot *row;		/* what is written */
};

/* Whether a table has a trigger that must be fired. The guard's work is done by whoever knows where rows belong. */
static bool
has_triggers(Relation table)
{
	TriggerDesc *triggers = table->trigdesc;

	return triggers && (triggers->numtriggers > 1 || strcmp(triggers->triggers[0].tgname, GUARD_TRIGGER) != 0);
}

/*
 * Begin to write, to a table with a primary key on lead_id or ("keyed" is false)
 * none. NULL if it is not as we have made it: then a statement must do it.
 * The table is locked, and rows of before, of this transaction too, are seen.
 */
Store *
store_open(Relation table, bool keyed)
{
	Store	   *store;
	Oid			key = primary_key_index(table);
	bool		ours = OidIsValid(key) == keyed;

	/* two columns, no trigger, no partitions */
	if (!ours || table->rd_rel->relkind != RELKIND_RELATION || has_triggers(table) || RelationGetNumberOfAttributes(table) != 2)
		return NULL;

	CommandCounterIncrement();
	store = palloc0(sizeof(Store));
	store->table = table;
	store->estate = CreateExecutorState();
	store->result = makeNode(ResultRelInfo);
	InitResultRelInfo(store->result, table, 0, NULL, 0);
	ExecOpenIndices(store->result, false);
	InitDirtySnapshot(store->now);
	for (int i = 0; i < store->result->ri_NumIndices; i++)
	{
		Relation	index = store->result->ri_IndexRelationDescs[i];

		if (RelationGetRelid(index) == key)
		{
			store->scan = begin_index_scan(table, index, &store->now, 1);
			if (table->rd_rel->relam == HEAP_TABLE_AM_OID)
				store->fetch = begin_index_fetch(table);
		}
		else
			ours = ours && !index->rd_index->indisunique && !index->rd_index->indisexclusion;
	}
	store->found = table_slot_create(table, &store->estate->es_tupleTable);
	store->row = table_slot_create(table, &store->estate->es_tupleTable);
	if (ours)
		return store;
	store_close(store);			/* rows can be duplicates for other reasons than the lead's */
	return NULL;
}

void
store_close(Store *store)
{
	if (store->fetch)
		table_index_fetch_end(store->fetch);
	if (store->scan)
		index_endscan(store->scan);
	ExecCloseIndices(store->result);
	ExecResetTupleTable(store->estate->es_tupleTable, false);
	FreeExecutorState(store->estate);
	pfree(store);
}

/* Fill the row that is written, and check it. */
static void
set_row(Store *store, Datum lead_id, struct varlena *timeline)
{
	ExecClearTuple(store->row);
	store->row->tts_values[0] = lead_id;
	store->row->tts_values[1] = PointerGetDatum(timeline);
	store->row->tts_isnull[0] = store->row->tts_isnull[1] = false;
	ExecStoreVirtualTuple(store->row);
	if (store->table->rd_att->constr)
		ExecConstraints(store->result, store->row, store->estate);
}

/* ---------- finding ---------- */

static inline uint32
place_key(text *lead_id)
{
	return label_hash(text_label(lead_id));
}

static void
remember_place(text *lead_id, const ItemPointerData *begin)
{
	bool		found;

	if (places == NULL)
		places = place_create(TopMemoryContext, 64, NULL);
	if (places->members >= MAX_PLACES)
		place_reset(places);
	ItemPointerCopy(begin, &place_insert(places, place_key(lead_id), &found)->begin);
}

/* Look a lead's row up where it was found before. */
static bool
find_by_place(Store *store, text *lead_id)
{
	Place	   *place = places && store->fetch ? place_lookup(places, place_key(lead_id)) : NULL;
	ItemPointerData tid;
	bool		again = false;

	if (place == NULL)
		return false;
	tid = place->begin;
	/* the place may be of another table, or of a time when this one had more rows */
	if (ItemPointerGetBlockNumber(&tid) >= store->nblocks)
	{
		store->nblocks = RelationGetNumberOfBlocks(store->table);
		if (ItemPointerGetBlockNumber(&tid) >= store->nblocks)
			return false;
	}
	if (!table_index_fetch_tuple(store->fetch, &tid, &store->now, store->found, &again, NULL))
		return false;
	slot_getsomeattrs(store->found, 1);
	if (text_equal(DatumGetTextPP(store->found->tts_values[0]), lead_id))
		return true;
	ExecClearTuple(store->found);
	return false;
}

static bool
find_by_index(Store *store, text *lead_id)
{
	Oid			collation = store->scan->indexRelation->rd_indcollation[0];
	ScanKeyData key;
	ItemPointer tid;

	ScanKeyEntryInitialize(&key, 0, 1, BTEqualStrategyNumber, InvalidOid, collation, F_TEXTEQ, PointerGetDatum(lead_id));
	index_rescan(store->scan, &key, 1, NULL, 0);
	while ((tid = index_getnext_tid(store->scan, ForwardScanDirection)) != NULL)
	{
		ItemPointerData begin = *tid;

		if (index_fetch_heap(store->scan, store->found))
		{
			remember_place(lead_id, &begin);
			return true;
		}
	}
	return false;
}

typedef enum Found
{
	NONE,
	FOUND,
	BUSY						/* somebody else is making or changing it */
} Found;

/* Look a lead's row up, as it is now. Waits for whoever is making or changing it, if it is to. */
static Found
find_row(Store *store, text *lead_id, bool wait)
{
	SnapshotData *now = &store->now;

	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		if (!find_by_place(store, lead_id) && !find_by_index(store, lead_id))
			return NONE;
		if (!TransactionIdIsValid(now->xmin) && !TransactionIdIsValid(now->xmax))
			return FOUND;
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

/* ---------- writing ---------- */

/* Whether a row could be changed; false if somebody else has changed it since it was found. */
static bool
was_changed(TM_Result result)
{
	switch (result)
	{
		case TM_Ok:
			return true;
		case TM_Updated:
		case TM_Deleted:
			return false;
		default:
			elog(ERROR, "could not write a timeline: %d", result);
	}
}

/* Put a timeline into the row that was found. */
static bool
update_row(Store *store, struct varlena *timeline)
{
	TM_FailureData failure;
	LockTupleMode lock;
	UpdateIndexes indexes;

	set_row(store, store->found->tts_values[0], timeline);
	if (!was_changed(update_tuple(store->table, &store->found->tts_tid, store->row, GetCurrentCommandId(true),
								  GetActiveSnapshot(), true, &failure, &lock, &indexes)))
		return false;
	if (indexes)
		insert_index_tuples(store->result, store->row, store->estate, true, NULL, indexes);
	return true;
}

/* Remove the row that was found. */
static bool
delete_row(Store *store)
{
	TM_FailureData failure;

	return was_changed(delete_tuple(store->table, &store->found->tts_tid, GetCurrentCommandId(true),
									GetActiveSnapshot(), true, &failure));
}

/* Make a row; false if somebody else has made it meanwhile. */
static bool
insert_row(Store *store, text *lead_id, struct varlena *timeline)
{
	TransactionId xact = GetCurrentTransactionId();
	uint32		token = SpeculativeInsertionLockAcquire(xact);
	bool		conflict = false;

	set_row(store, PointerGetDatum(lead_id), timeline);
	table_tuple_insert_speculative(store->table, store->row, GetCurrentCommandId(true), 0, NULL, token);
	insert_index_tuples(store->result, store->row, store->estate, false, &conflict, INDEXES_ALL);
	table_tuple_complete_speculative(store->table, store->row, token, !conflict);
	SpeculativeInsertionLockRelease(xact);
	return !conflict;
}

/*
 * Add a delta to a lead's row, which is made where there is none, and removed
 * when nothing is left of it. An hour that overflows is an error or, where
 * there is room to note it, noted, and wraps around. "written" may be NULL.
 */
void
store_add(Store *store, text *lead_id, struct varlena *delta, bool *overflowed, RowWritten written, void *arg)
{
	bool		done = false;

	while (!done)
	{
		CHECK_FOR_INTERRUPTS();
		/* a scan allocates when it likes to, and keeps that */
		if (store->misses < MANY_MISSES && find_row(store, lead_id, true) == FOUND)
		{
			MemoryContext old = MemoryContextSwitchTo(GetPerTupleMemoryContext(store->estate));
			struct varlena *timeline;
			struct varlena *sum;

			slot_getallattrs(store->found);
			timeline = DatumGetTimeline(store->found->tts_values[1]);
			sum = timeline_combine(timeline, delta, 1, overflowed);
			done = timeline_is_empty(sum) ? delete_row(store) : update_row(store, sum);
			if (done && written)
				written(arg, timeline, timeline_is_empty(sum) ? NULL : sum);
			ExecClearTuple(store->found);
			MemoryContextSwitchTo(old);
			store->misses = 0;
		}
		else
		{
			done = insert_row(store, lead_id, delta);
			store->misses = done ? store->misses + 1 : 0;
			if (done && written)
				written(arg, NULL, delta);
		}
	}
	ResetPerTupleExprContext(store->estate);
}

/* Lock a lead's row, made empty where there is none. False: somebody else has it, and we are not to wait. */
bool
store_hold(Store *store, text *lead_id, bool wait)
{
	struct varlena *empty = timeline_encode(NULL, 0);
	TM_FailureData failure;
	TM_Result	result;

	for (;;)
	{
		Found		found = find_row(store, lead_id, wait);

		if (found == BUSY)
			result = TM_WouldBlock;
		else if (found == NONE)
			result = insert_row(store, lead_id, empty) ? TM_Ok : TM_Deleted;
		else
		{
			result = table_tuple_lock(store->table, &store->found->tts_tid, GetActiveSnapshot(), store->row, GetCurrentCommandId(false),
									  LockTupleNoKeyExclusive, wait ? LockWaitBlock : LockWaitSkip, 0, &failure);
			ExecClearTuple(store->row);
		}
		ExecClearTuple(store->found);
		ResetPerTupleExprContext(store->estate);
		if (result == TM_WouldBlock)
			return false;
		if (was_changed(result))
			return true;
	}
}

/* Append a row, whatever rows there are. */
void
store_append(Store *store, text *lead_id, struct varlena *delta)
{
	set_row(store, PointerGetDatum(lead_id), delta);
	table_tuple_insert(store->table, store->row, GetCurrentCommandId(true), 0, NULL);
	insert_index_tuples(store->result, store->row, store->estate, false, NULL, INDEXES_ALL);
	ResetPerTupleExprContext(store->estate);
}
