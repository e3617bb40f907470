/*
 * lookup.c: looks up rows of our tables by a text column that is the first
 * column of an index.
 */
#include "lookup.h"

#include "access/heapam.h"
#include "access/nbtree.h"
#include "access/stratnum.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

bool
must_look(Snapshot snapshot)
{
	return IsolationIsSerializable() && IsMVCCSnapshot(snapshot);
}

void
fail_for_index(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("the tables of leadscore have lost an index"),
			 errdetail("%s", detail),
			 errhint("Make the index again that was dropped.")));
}

/* Whether the first column of an index is this column, compared by text equality, and the index is not partial. */
static bool
fits(Relation index, AttrNumber column)
{
	Form_pg_index form = index->rd_index;

	return form->indisvalid && index->rd_rel->relam == BTREE_AM_OID && form->indkey.values[0] == column &&
		index->rd_opcintype[0] == TEXTOID && RelationGetIndexPredicate(index) == NIL;
}

bool
lookup_open(Lookup *lookup, Relation table, AttrNumber column, Snapshot snapshot)
{
	List	   *indexes = NIL;
	ListCell   *cell;

	memset(lookup, 0, sizeof(Lookup));
	lookup->table = table;
	lookup->context = CurrentMemoryContext;
	if (table->rd_rel->relkind == RELKIND_RELATION)
		indexes = RelationGetIndexList(table);
	foreach(cell, indexes)
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);

		if (fits(index, column))
		{
			lookup->index = index;
			lookup->scan = begin_index_scan(table, index, snapshot, 1);
			lookup->slot = table_slot_create(table, NULL);
			break;
		}
		index_close(index, AccessShareLock);
	}
	list_free(indexes);
	return lookup->scan != NULL;
}

bool
lookup_open_sorted(Lookup *lookup, Relation table, AttrNumber column, Snapshot snapshot)
{
	if (!lookup_open(lookup, table, column, snapshot))
		return false;
	if (lookup->index->rd_indoption[0] & INDOPTION_DESC)
		return true;			/* the index was replaced by a descending one */
	lookup->compare = index_getprocinfo(lookup->index, 1, BTORDER_PROC);
	lookup->not_below = get_opcode(get_opfamily_member(lookup->index->rd_opfamily[0], TEXTOID, TEXTOID, BTGreaterEqualStrategyNumber));
	lookup->scan->xs_want_itup = true;
	return true;
}

void
lookup_close(Lookup *lookup)
{
	if (lookup->scan == NULL)
		return;
	index_endscan(lookup->scan);
	ExecDropSingleTupleTableSlot(lookup->slot);
	index_close(lookup->index, NoLock);
	lookup->scan = NULL;
}

/* Begin a scan at a key: of its entries, or of all entries from there on. */
static void
rescan(Lookup *lookup, const text *key, bool from_here)
{
	ScanKeyData scan_key;

	ScanKeyEntryInitialize(&scan_key, 0, 1, from_here ? BTGreaterEqualStrategyNumber : BTEqualStrategyNumber, InvalidOid,
						   lookup->index->rd_indcollation[0], from_here ? lookup->not_below : F_TEXTEQ, PointerGetDatum(key));
	index_rescan(lookup->scan, &scan_key, 1, NULL, 0);
}

/* ---------- keys in ascending order ---------- */

/* Entries to skip before descending the index again. */
#define FEW_ENTRIES 8

static void
next_entry(Lookup *lookup)
{
	bool		isnull;

	lookup->is_read = false;
	lookup->entry = index_getnext_tid(lookup->scan, ForwardScanDirection) == NULL ? (Datum) 0 :
		index_getattr(lookup->scan->xs_itup, 1, lookup->scan->xs_itupdesc, &isnull);
}

/* Compare a key with the previous one, or with the current entry of the scan. */
static int
compare(const Lookup *lookup, const text *key, Datum other)
{
	return DatumGetInt32(FunctionCall2Coll(lookup->compare, lookup->index->rd_indcollation[0], PointerGetDatum(key), other));
}

/*
 * Go to the first entry that is not less than a key. Where the keys lie far apart, go to
 * the entries of the key: others would be read in vain, with all that are on their page.
 */
static void
go_to(Lookup *lookup, const text *key)
{
	bool		far = lookup->far > FEW_ENTRIES;
	bool		follows = !far && lookup->key && compare(lookup, key, PointerGetDatum(lookup->key)) > 0;

	lookup->key = key;
	for (int i = 0; follows && i < FEW_ENTRIES; i++)
	{
		if (lookup->entry == (Datum) 0 || compare(lookup, key, lookup->entry) <= 0)
		{
			lookup->far = Max(lookup->far - 1, 0);
			return;
		}
		next_entry(lookup);
	}
	lookup->far++;
	rescan(lookup, key, !far);
	next_entry(lookup);
}

static bool
is_at_key(const Lookup *lookup)
{
	return lookup->entry != (Datum) 0 && compare(lookup, lookup->key, lookup->entry) == 0;
}

/*
 * The next row of the key. An entry may lead to several row versions, and a non-MVCC snapshot may
 * see more than one of them.
 */
static bool
next_of_key(Lookup *lookup)
{
	for (;;)
	{
		if (lookup->is_read && !lookup->scan->xs_heap_continue)
			next_entry(lookup);
		if (!lookup->is_read && !is_at_key(lookup))
			return false;
		lookup->is_read = true;
		if (index_fetch_heap(lookup->scan, lookup->slot))
			return true;
	}
}

bool
lookup_has_entry(Lookup *lookup)
{
	return lookup->compare ? is_at_key(lookup) : lookup_next(lookup);
}

/* ---------- keys in any order ---------- */

void
lookup_begin(Lookup *lookup, const text *key)
{
	MemoryContext old = MemoryContextSwitchTo(lookup->context);

	if (lookup->compare)
		go_to(lookup, key);
	else
		rescan(lookup, key, false);
	MemoryContextSwitchTo(old);
}

bool
lookup_next(Lookup *lookup)
{
	MemoryContext old = MemoryContextSwitchTo(lookup->context);
	bool		found = lookup->compare ? next_of_key(lookup) : index_getnext_slot(lookup->scan, ForwardScanDirection, lookup->slot);

	MemoryContextSwitchTo(old);
	return found;
}

bool
lookup_next_entry(Lookup *lookup, bool *found)
{
	MemoryContext old = MemoryContextSwitchTo(lookup->context);
	bool		entry = index_getnext_tid(lookup->scan, ForwardScanDirection) != NULL;

	*found = entry && index_fetch_heap(lookup->scan, lookup->slot);
	MemoryContextSwitchTo(old);
	return entry;
}

/* Bytes that a row may grow by when it is written: an event adds a few. */
#define ROOM_TO_GROW 32

bool
fetch_to_write(IndexFetchTableData *fetch, const ItemPointerData *begin, Snapshot snapshot, TupleTableSlot *slot, bool *all_dead)
{
	HeapTuple	row = &((BufferHeapTupleTableSlot *) slot)->base.tupdata;
	ItemPointerData tid = *begin;
	Buffer		buffer = ReadBuffer(fetch->rel, ItemPointerGetBlockNumber(&tid));
	bool		found;
	bool		has_room;
	bool		again = false;

	ExecClearTuple(slot);
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	found = heap_hot_search_buffer(&tid, fetch->rel, buffer, snapshot, row, all_dead, true);
	has_room = found && PageGetHeapFreeSpace(BufferGetPage(buffer)) >= MAXALIGN(row->t_len + ROOM_TO_GROW);
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	if (has_room)
	{
		slot->tts_tableOid = RelationGetRelid(fetch->rel);
		ExecStorePinnedBufferHeapTuple(row, slot, buffer);
		return true;
	}
	ReleaseBuffer(buffer);		/* a page that is pinned twice is not cleaned up */
	tid = *begin;
	return table_index_fetch_tuple(fetch, &tid, snapshot, slot, &again, all_dead);
}

/* Fetch the row of the entry that a scan has found. */
static bool
fetch_entry(IndexScanDesc scan, TupleTableSlot *slot, bool to_write)
{
	bool		all_dead = false;
	bool		found;

	if (!to_write)
		return index_fetch_heap(scan, slot);
	found = fetch_to_write(scan->xs_heapfetch, &scan->xs_heaptid, scan->xs_snapshot, slot, &all_dead);
	scan->kill_prior_tuple = all_dead && !scan->xactStartedInRecovery;
	return found;
}

/* Identifies an entry that a scan has found. */
static uint64
entry_hash(const ItemPointerData *entry)
{
	return hash_bytes_extended((const unsigned char *) entry, sizeof(ItemPointerData), 0);
}

/*
 * A non-MVCC snapshot judges each row version when it is fetched from the heap,
 * after the index has been read. If a concurrent transaction updates the row in
 * between and adds a new entry, neither entry leads to a visible row: the old
 * version is dead by then, and the scan has not seen the new entry. So if the
 * scan finds entries but no row, it is repeated until it finds the same entries
 * as before: a concurrent update would have added another entry. (No entries: no
 * row.)
 */
bool
scan_unique(IndexScanDesc scan, const text *key, TupleTableSlot *slot, ItemPointer begin, bool to_write)
{
	bool		once = IsMVCCSnapshot(scan->xs_snapshot);
	uint64		before;
	uint64		entries = 0;
	ScanKeyData scan_key;
	ItemPointer entry;

	ScanKeyEntryInitialize(&scan_key, 0, 1, BTEqualStrategyNumber, InvalidOid, scan->indexRelation->rd_indcollation[0],
						   F_TEXTEQ, PointerGetDatum(key));
	do
	{
		CHECK_FOR_INTERRUPTS();
		before = entries;
		entries = 0;
		index_rescan(scan, &scan_key, 1, NULL, 0);
		while ((entry = index_getnext_tid(scan, ForwardScanDirection)) != NULL)
		{
			ItemPointerData found = *entry;

			if (fetch_entry(scan, slot, to_write))
			{
				if (begin)
					*begin = found;
				return true;
			}
			entries += entry_hash(&found);
		}
	} while (entries != before && !once);
	return false;
}

bool
lookup_unique(Lookup *lookup, const text *key)
{
	MemoryContext old = MemoryContextSwitchTo(lookup->context);
	bool		found = scan_unique(lookup->scan, key, lookup->slot, NULL, false);

	MemoryContextSwitchTo(old);
	return found;
}

Datum
lookup_value(Lookup *lookup, const text *key, AttrNumber column)
{
	Datum		value = (Datum) 0;
	bool		isnull;

	if (lookup_unique(lookup, key))
	{
		value = slot_getattr(lookup->slot, column, &isnull);
		value = isnull ? (Datum) 0 : PointerGetDatum(PG_DETOAST_DATUM_COPY(value));
		ExecClearTuple(lookup->slot);
	}
	return value;
}

bool
remove_row(Relation table, ItemPointer row)
{
	TM_FailureData failure;

	return delete_tuple(table, row, GetCurrentCommandId(true), GetActiveSnapshot(), false, &failure) == TM_Ok;
}
