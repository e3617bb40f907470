/*
 * partition.c: lead_timeline split into tables.
 *
 * partition_timelines(n) creates the tables lead_timeline_0 .. lead_timeline_(n-1) as
 * children of lead_timeline. Each holds the leads whose hash, modulo n, is its number.
 * Queries on lead_timeline include its children automatically. A writer locks
 * lead_timeline before it looks up the children. The children change only under
 * AccessExclusiveLock on lead_timeline. So they stay the same for a writer until its
 * transaction ends.
 *
 * Rows are moved by INSERT ... SELECT, so a snapshot that is older than the move does not
 * see them. The row of timeline_move is written in the same transaction, and its xmin is
 * kept. A reader with an older snapshot gets a serialization failure instead of an empty
 * table. A writer treats a row that its snapshot does not see as locked by another
 * transaction.
 */
#include "live/partition.h"

#include "catalog.h"
#include "compat.h"
#include "encoding.h"
#include "session_cache.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_inherits.h"
#include "commands/trigger.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(timeline_partition);
PG_FUNCTION_INFO_V1(table_of_lead);
PG_FUNCTION_INFO_V1(guard_timelines);
PG_FUNCTION_INFO_V1(check_timelines_seen);

#define PREFIX "lead_timeline_"
#define MAX_TABLES 1024

/* ---------- the table of a lead ---------- */

/*
 * FNV-1a (http://www.isthe.com/chongo/tech/comp/fnv/) with the last steps of
 * MurmurHash3 (https://github.com/aappleby/smhasher): the same on every machine and in
 * every version. It hashes the UTF-8 bytes, so the result is the same in every database
 * encoding.
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

/* ---------- existing tables ---------- */

typedef struct PartitionTables
{
	int			n;
	TransactionId moved_by;		/* invalid: rows have never been moved */
	Oid			tables[MAX_TABLES];
} PartitionTables;

static SessionCache kept_tables = {.name = "leadscore partitions"};

/* The number in the name of a child, or -1 if it is not one of our tables. */
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

/* Find the tables and put each at the index of its number; returns how many there are. */
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

/* The transaction that last moved the rows. */
static TransactionId
last_move(void)
{
	Relation	table = table_open(our_table("timeline_move"), AccessShareLock);
	TupleTableSlot *slot = table_slot_create(table, NULL);
	TableScanDesc scan = begin_table_scan(table, SnapshotSelf);
	TransactionId moved_by = InvalidTransactionId;

	if (table_scan_getnextslot(scan, ForwardScanDirection, slot))
		moved_by = HeapTupleHeaderGetXmin(ExecFetchSlotHeapTuple(slot, false, NULL)->t_data);
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	table_close(table, AccessShareLock);
	return moved_by;
}

static void *
load_tables(SessionCache *cache, void *argument)
{
	Relation	timelines = argument;
	PartitionTables *found = palloc0(sizeof(PartitionTables));

	found->moved_by = last_move();
	if (timelines->rd_rel->relhassubclass)
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

bool
timelines_are_seen(Relation timelines, Snapshot snapshot)
{
	PartitionTables *kept = session_cache_get(&kept_tables, RelationGetRelid(timelines), load_tables, timelines);

	return snapshot->snapshot_type != SNAPSHOT_MVCC || !TransactionIdIsNormal(kept->moved_by) ||
		TransactionIdIsCurrentTransactionId(kept->moved_by) || !XidInMVCCSnapshot(kept->moved_by, snapshot);
}

void
fail_for_move(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("could not serialize access due to concurrent update"),
			 errdetail("lead_timeline has been split into tables, or put together again."),
			 errhint("The transaction might succeed if retried.")));
}

/*
 * check_timelines_seen(): true, or an error if the query's snapshot is older than the
 * last move of the rows.
 */
Datum
check_timelines_seen(PG_FUNCTION_ARGS)
{
	Relation	timelines = table_open(our_table("lead_timeline"), AccessShareLock);

	if (!timelines_are_seen(timelines, GetActiveSnapshot()))
		fail_for_move();
	table_close(timelines, AccessShareLock);
	PG_RETURN_BOOL(true);
}

/* table_of_lead(lead_id): the table for the row of a lead; the caller must have locked lead_timeline. */
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

/*
 * BEFORE INSERT FOR EACH ROW on lead_timeline: refuse rows there while it is split, because
 * neither writers nor score() would find them.
 */
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
