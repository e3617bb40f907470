/*
 * partition.c: lead_timeline split into tables.
 *
 * partition_timelines(n) makes the tables lead_timeline_0 .. lead_timeline_(n-1)
 * as children of lead_timeline; each has the leads whose hash, modulo n, is its
 * number. Reads of lead_timeline include its children by themselves. Whoever
 * writes has lead_timeline locked before he looks for its children, and they
 * change under an exclusive lock on it: so they stay as he has found them
 * until his transaction ends.
 *
 * Rows are moved as CLUSTER moves them, with all versions that somebody may
 * still see. A query that has taken its snapshot before it waits for our lock
 * finds in the new tables what it would have found in the old ones.
 */
#include "partition.h"

#include "catalog.h"
#include "compat.h"
#include "encoding.h"
#include "session_cache.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/multixact.h"
#include "access/rewriteheap.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/tupconvert.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_am.h"
#include "catalog/pg_inherits.h"
#include "commands/defrem.h"
#include "commands/trigger.h"
#include "executor/tuptable.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(timeline_partition);
PG_FUNCTION_INFO_V1(table_of_lead);
PG_FUNCTION_INFO_V1(guard_timelines);
PG_FUNCTION_INFO_V1(move_timelines);

#define PREFIX "lead_timeline_"
#define MAX_TABLES 1024

/* Tables that are written at a time: each keeps up to 256 kB of pages. */
#define TARGETS 64

/* ---------- which table ---------- */

/*
 * FNV-1a (http://www.isthe.com/chongo/tech/comp/fnv/) with the last steps of
 * MurmurHash3 (https://github.com/aappleby/smhasher): the same on every machine
 * and in every version. So that it is the same in every database, the bytes
 * are those of UTF-8.
 */
int
partition_of(const char *lead_id, int length, int ntables)
{
	uint64		hash = UINT64CONST(0xcbf29ce484222325);
	const char *utf8 = utf8_bytes(lead_id, length, &length);

	for (int i = 0; i < length; i++)
		hash = (hash ^ (unsigned char) utf8[i]) * UINT64CONST(0x100000001b3);
	hash = (hash ^ (hash >> 33)) * UINT64CONST(0xff51afd7ed558ccd);
	hash = (hash ^ (hash >> 33)) * UINT64CONST(0xc4ceb9fe1a85ec53);
	return (hash ^ (hash >> 33)) % (uint64) ntables;
}

/* timeline_partition(lead_id, partitions): the number of a lead's table. */
Datum
timeline_partition(PG_FUNCTION_ARGS)
{
	text	   *lead_id = PG_GETARG_TEXT_PP(0);
	int32		n = PG_GETARG_INT32(1);

	if (n < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the number of partitions must be at least 1"),
				 errdetail("It is %d.", n),
				 errhint("leadscore.partitions() says how many there are.")));
	PG_RETURN_INT32(partition_of(VARDATA_ANY(lead_id), VARSIZE_ANY_EXHDR(lead_id), n));
}

/* ---------- the tables that there are ---------- */

typedef struct PartitionTables
{
	int			n;
	Oid			tables[MAX_TABLES];
} PartitionTables;

static SessionCache kept_tables = {.name = "leadscore partitions"};

/* The number in the name of a child; -1 if it is somebody else's. */
static int
number_of(Oid child, Oid schema)
{
	char	   *name = get_rel_name(child);
	int			number;

	if (name == NULL || get_rel_namespace(child) != schema || strncmp(name, PREFIX, strlen(PREFIX)) != 0)
		return -1;
	number = atoi(name + strlen(PREFIX));
	return number < MAX_TABLES && strcmp(name, psprintf(PREFIX "%d", number)) == 0 ? number : -1;
}

/* Look for the tables, and put each where its number says; returns how many there are. */
static int
find_tables(Relation timelines, Oid *tables)
{
	List	   *children = find_inheritance_children(RelationGetRelid(timelines), NoLock);
	ListCell   *cell;
	int			n = 0;

	memset(tables, 0, MAX_TABLES * sizeof(Oid));
	foreach(cell, children)
	{
		int			number = number_of(lfirst_oid(cell), RelationGetNamespace(timelines));

		if (number < 0)
			continue;
		tables[number] = lfirst_oid(cell);
		n++;
	}
	return n;
}

static void
check_tables(const Oid *tables, int n)
{
	for (int i = 0; i < n; i++)
		if (!OidIsValid(tables[i]))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("the table leadscore." PREFIX "%d is missing", i),
					 errdetail("lead_timeline is split, and %d of its tables are there.", n),
					 errhint("See leadscore.status.")));
}

static void *
load_tables(SessionCache *cache, void *timelines)
{
	PartitionTables *found = palloc0(sizeof(PartitionTables));

	found->n = find_tables(timelines, found->tables);
	check_tables(found->tables, found->n);
	for (int i = 0; i < found->n; i++)
		session_cache_depends_on(cache, found->tables[i]);
	return found;
}

int
partition_tables(Relation timelines, Oid **tables)
{
	PartitionTables *kept;

	if (!timelines->rd_rel->relhassubclass)
		return 0;
	kept = session_cache_get(&kept_tables, RelationGetRelid(timelines), load_tables, timelines);
	*tables = kept->tables;
	return kept->n;
}

/* table_of_lead(lead_id): where its row is written; the caller has lead_timeline locked. */
Datum
table_of_lead(PG_FUNCTION_ARGS)
{
	text	   *lead_id = PG_GETARG_TEXT_PP(0);
	Relation	timelines = table_open(our_table("lead_timeline"), AccessShareLock);
	Oid		   *tables;
	int			n = partition_tables(timelines, &tables);
	Oid			table = RelationGetRelid(timelines);

	if (n > 0)
		table = tables[partition_of(VARDATA_ANY(lead_id), VARSIZE_ANY_EXHDR(lead_id), n)];
	table_close(timelines, AccessShareLock);
	PG_RETURN_OID(table);
}

/* BEFORE INSERT FOR EACH ROW on lead_timeline: rows there would be found neither by writers nor by score(). */
Datum
guard_timelines(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;
	Oid		   *tables;
	int			n;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_ROW(data->tg_event) || !TRIGGER_FIRED_BY_INSERT(data->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"guard_timelines\" was not called as a row trigger")));
	n = partition_tables(data->tg_relation, &tables);
	if (n > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("lead_timeline is split into %d tables, and has no rows itself", n),
				 errdetail("leadscore.timeline_partition(lead_id, %d) says in which of them a lead is.", n),
				 errhint("Write to that table; or SELECT leadscore.partition_timelines(1) first.")));
	return PointerGetDatum(data->tg_trigtuple);
}

/* ---------- moving ---------- */

/* Note how old the transactions in a table can be whose rows were not inserted, but moved. */
static void
set_age(Oid table, TransactionId xid, MultiXactId multi)
{
	Relation	pg_class = table_open(RelationRelationId, RowExclusiveLock);
	HeapTuple	tuple = SearchSysCacheCopy1(RELOID, ObjectIdGetDatum(table));
	Form_pg_class form;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "could not find table %u", table);
	form = (Form_pg_class) GETSTRUCT(tuple);
	form->relfrozenxid = xid;
	form->relminmxid = multi;
	CatalogTupleUpdate(pg_class, &tuple->t_self, tuple);
	heap_freetuple(tuple);
	table_close(pg_class, RowExclusiveLock);
	CommandCounterIncrement();
}

/* What a version of a row is. Nobody writes it now, unless this transaction has. */
static HTSV_Result
state_of(HeapTuple tuple, Buffer buffer, TransactionId horizon)
{
	HTSV_Result state;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	state = HeapTupleSatisfiesVacuum(tuple, horizon, buffer);
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	return state;
}

/*
 * A copy of the last version of a row that does not point to the next one. That
 * was given up; but if this transaction has made both, and gone back to a
 * savepoint in between, the first does not say so, and would go with the second.
 */
static HeapTuple
without_next(HeapTuple tuple)
{
	HeapTuple	copy = heap_copytuple(tuple);

	copy->t_data->t_infomask &= ~HEAP_XMAX_BITS;
	copy->t_data->t_infomask |= HEAP_XMAX_INVALID;
	copy->t_data->t_infomask2 &= ~(HEAP_KEYS_UPDATED | HEAP_HOT_UPDATED);
	copy->t_data->t_ctid = tuple->t_self;
	return copy;
}

/* Copy the versions of rows that belong to some tables, numbers "first" on, of so many; what all see is frozen. */
static void
copy_rows(Relation from, Relation *to, int first, int nto, int ntables, TransactionId horizon, MultiXactId multi)
{
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "leadscore row", ALLOCSET_DEFAULT_SIZES);
	TupleDesc	old_type = RelationGetDescr(from);
	TupleConversionMap *map = convert_tuples_by_name(old_type, RelationGetDescr(to[0]));
	Datum	   *values = palloc(old_type->natts * sizeof(Datum));
	bool	   *nulls = palloc(old_type->natts * sizeof(bool));
	RewriteState *states = palloc(nto * sizeof(RewriteState));
	TupleTableSlot *slot = table_slot_create(from, NULL);
	TableScanDesc scan;

	for (int i = 0; i < nto; i++)
		states[i] = begin_heap_rewrite(from, to[i], horizon, horizon, multi);
	scan = begin_table_scan(from, SnapshotAny);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		HeapTuple	tuple = ExecFetchSlotHeapTuple(slot, false, NULL);
		HTSV_Result state = state_of(tuple, ((BufferHeapTupleTableSlot *) slot)->buffer, horizon);
		MemoryContext old = MemoryContextSwitchTo(scratch);

		CHECK_FOR_INTERRUPTS();
		if (state == HEAPTUPLE_DEAD)
		{
			/* a version that came before it may wait for it */
			for (int i = 0; i < nto; i++)
				(void) rewrite_heap_dead_tuple(states[i], tuple);
		}
		else
		{
			text	   *lead_id;
			int			number;

			if ((state == HEAPTUPLE_LIVE || state == HEAPTUPLE_INSERT_IN_PROGRESS) && !(tuple->t_data->t_infomask & HEAP_XMAX_INVALID))
				tuple = without_next(tuple);
			heap_deform_tuple(tuple, old_type, values, nulls);
			lead_id = DatumGetTextPP(values[0]);
			number = partition_of(VARDATA_ANY(lead_id), VARSIZE_ANY_EXHDR(lead_id), ntables) - first;
			if (number >= 0 && number < nto)
				rewrite_heap_tuple(states[number], tuple,
								   map ? execute_attr_map_tuple(tuple, map) : heap_form_tuple(RelationGetDescr(to[0]), values, nulls));
		}
		MemoryContextSwitchTo(old);
		MemoryContextReset(scratch);
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	for (int i = 0; i < nto; i++)
		end_heap_rewrite(states[i]);
	MemoryContextDelete(scratch);
}

/*
 * Autovacuum takes TOAST tables by themselves; it would remove what rows still
 * need that died a moment ago, and that are copied as well.
 */
static void
hold_toast(Relation table)
{
	if (OidIsValid(table->rd_rel->reltoastrelid))
		LockRelationOid(table->rd_rel->reltoastrelid, AccessExclusiveLock);
}

static void
check_empty(Relation table)
{
	if (RelationGetNumberOfBlocks(table) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" is not empty", RelationGetRelationName(table)),
				 errdetail("Rows are moved into new tables."),
				 errhint("Call leadscore.partition_timelines().")));
}

/*
 * move_timelines(back): copy what lead_timeline holds into the tables that it
 * is split into or, back, what they hold into it. The files that are copied
 * into are new and empty, and their indexes are made anew by the caller.
 */
Datum
move_timelines(PG_FUNCTION_ARGS)
{
	bool		back = PG_GETARG_BOOL(0);
	Relation	timelines;
	Oid			tables[MAX_TABLES];
	Relation	relations[MAX_TABLES];
	int			n;
	TransactionId horizon;
	MultiXactId multi;

	/* before it is locked */
	if (!owns(RelationRelationId, our_table("lead_timeline")))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of table lead_timeline")));
	timelines = table_open(our_table("lead_timeline"), AccessExclusiveLock);
	n = find_tables(timelines, tables);
	if (timelines->rd_rel->relam != HEAP_TABLE_AM_OID)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("lead_timeline cannot be split, or put together again"),
				 errdetail("It has the access method %s.", get_am_name(timelines->rd_rel->relam)),
				 errhint("ALTER TABLE leadscore.lead_timeline SET ACCESS METHOD heap.")));
	hold_toast(timelines);
	for (int i = 0; i < MAX_TABLES; i++)
		if (OidIsValid(tables[i]))
		{
			Relation	child = table_open(tables[i], AccessExclusiveLock);

			hold_toast(child);
			if (!back)
				check_empty(child);
			table_close(child, NoLock);
		}
	if (back)
		check_empty(timelines);
	horizon = GetOldestNonRemovableTransactionId(timelines);
	multi = GetOldestMultiXactId();
	if (back)
	{
		/* whichever are left */
		for (int i = 0; i < MAX_TABLES; i++)
		{
			if (!OidIsValid(tables[i]))
				continue;
			relations[0] = table_open(tables[i], AccessExclusiveLock);
			copy_rows(relations[0], &timelines, 0, 1, 1, horizon, multi);
			table_close(relations[0], NoLock);
		}
		set_age(RelationGetRelid(timelines), horizon, multi);
	}
	else
	{
		check_tables(tables, n);
		for (int i = 0; i < n; i++)
			relations[i] = table_open(tables[i], AccessExclusiveLock);
		for (int first = 0; first < n; first += TARGETS)
			copy_rows(timelines, relations + first, first, Min(TARGETS, n - first), n, horizon, multi);
		for (int i = 0; i < n; i++)
		{
			set_age(tables[i], horizon, multi);
			table_close(relations[i], NoLock);
		}
	}
	table_close(timelines, NoLock);
	PG_RETURN_VOID();
}
