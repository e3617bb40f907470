/*
 * refresh.c: bringing lead_segment up to date without blocking its readers.
 *
 *     what the view computes now ──▶ sort by (lead_id, model) ──┐
 *     the rows of the snapshot ────▶ the same, with their places ┴─merge──▶ update, insert, delete
 *
 * REFRESH MATERIALIZED VIEW CONCURRENTLY writes what is computed to a temporary table, joins
 * that with the snapshot, and has the executor delete each row that differs and insert another.
 * Here nothing is written but what differs, and such a row is updated: nearly all of them differ
 * if an hour has passed.
 *
 * Lock. lead_segment is locked in EXCLUSIVE mode until the end of the transaction, as that
 * command locks it. Readers go on; refreshes run one after the other. The MVCC snapshot is taken
 * once the lock is held, so each refresh sees what the one before it has written. At REPEATABLE
 * READ and SERIALIZABLE it is the transaction's, and a refresh that meets a later one fails with
 * 40001, as that command does.
 */
#include "catalog.h"
#include "label.h"
#include "progress.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_collation_d.h"
#include "catalog/pg_operator_d.h"
#include "catalog/pg_type_d.h"
#include "executor/spi.h"
#include "tcop/dest.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/tuplesort.h"

PG_FUNCTION_INFO_V1(refresh_snapshot);

#define COLUMN_MODEL 1
#define COLUMN_LEAD_ID 2

/* Rows in the order of the bytes of (lead_id, model). */
typedef struct Sorted
{
	DestReceiver receiver;		/* must be first; for the query */
	Tuplesortstate *sort;
	TupleTableSlot *row;		/* the current one; empty: there are no more */
} Sorted;

typedef struct Refresh
{
	Relation	table;
	int			columns;
	Sorted		present;		/* rows of the table; an additional column is their place */
	Sorted		computed;
	Snapshot	snapshot;
	EState	   *estate;
	ResultRelInfo *result;		/* with the table's indexes open */
	TupleTableSlot *written;
	Tuplestorestate *added;		/* rows to insert once all others are written: a unique index may confuse them with deleted ones */
	int64		done;
} Refresh;

/* ---------- sorting ---------- */

static void
sorted_begin(Sorted *sorted, TupleDesc row)
{
	AttrNumber	keys[] = {COLUMN_LEAD_ID, COLUMN_MODEL};
	Oid			less[] = {TextLessOperator, TextLessOperator};
	Oid			collations[] = {C_COLLATION_OID, C_COLLATION_OID};
	bool		nulls_first[] = {false, false};

	sorted->sort = tuplesort_begin_heap(row, 2, keys, less, collations, nulls_first, maintenance_work_mem / 2, NULL, false);
	sorted->row = MakeSingleTupleTableSlot(row, &TTSOpsMinimalTuple);
}

static void
sorted_next(Sorted *sorted)
{
	if (tuplesort_gettupleslot(sorted->sort, true, false, sorted->row, NULL))
		slot_getallattrs(sorted->row);
}

static void
sorted_end(Sorted *sorted)
{
	ExecDropSingleTupleTableSlot(sorted->row);
	tuplesort_end(sorted->sort);
}

static bool
receive(TupleTableSlot *slot, DestReceiver *self)
{
	tuplesort_puttupleslot(((Sorted *) self)->sort, slot);
	return true;
}

static void
startup(DestReceiver *self pg_attribute_unused(), int operation pg_attribute_unused(), TupleDesc row pg_attribute_unused())
{
}

static void
nothing(DestReceiver *self pg_attribute_unused())
{
}

/* Sort the rows that the view computes. A query that is run to its end, as here, may use parallel workers. */
static void
sort_computed(Refresh *refresh)
{
	SPIExecuteOptions options = {.dest = &refresh->computed.receiver};

	sorted_begin(&refresh->computed, RelationGetDescr(refresh->table));
	refresh->computed.receiver = (DestReceiver) {receive, startup, nothing, nothing, DestNone};
	SPI_connect();
	if (SPI_execute_extended("SELECT n.* FROM leadscore_internal.lead_segment_now n", &options) < 0)
		elog(ERROR, "could not compute the snapshot");
	SPI_finish();
	tuplesort_performsort(refresh->computed.sort);
}

/* Sort the rows of the table, with their places. */
static void
sort_present(Refresh *refresh)
{
	TupleDesc	row = CreateTemplateTupleDesc(refresh->columns + 1);
	TupleTableSlot *found = table_slot_create(refresh->table, NULL);
	TupleTableSlot *placed;
	TableScanDesc scan = begin_table_scan(refresh->table, refresh->snapshot);

	for (int i = 1; i <= refresh->columns; i++)
		TupleDescCopyEntry(row, i, RelationGetDescr(refresh->table), i);
	TupleDescInitEntry(row, refresh->columns + 1, "place", TIDOID, -1, 0);
	finish_row_type(row);
	placed = MakeSingleTupleTableSlot(row, &TTSOpsVirtual);
	sorted_begin(&refresh->present, row);
	while (table_scan_getnextslot(scan, ForwardScanDirection, found))
	{
		CHECK_FOR_INTERRUPTS();
		slot_getallattrs(found);
		ExecClearTuple(placed);
		memcpy(placed->tts_values, found->tts_values, refresh->columns * sizeof(Datum));
		memcpy(placed->tts_isnull, found->tts_isnull, refresh->columns * sizeof(bool));
		placed->tts_values[refresh->columns] = PointerGetDatum(&found->tts_tid);
		placed->tts_isnull[refresh->columns] = false;
		ExecStoreVirtualTuple(placed);
		tuplesort_puttupleslot(refresh->present.sort, placed);
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(placed);
	ExecDropSingleTupleTableSlot(found);
	tuplesort_performsort(refresh->present.sort);
}

/* ---------- writing ---------- */

static void
check_written(TM_Result result)
{
	if (result == TM_Updated || result == TM_Deleted)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to concurrent update"),
				 errdetail("Another refresh of lead_segment has committed since this transaction's snapshot was taken."),
				 errhint("Retry the transaction, or refresh at READ COMMITTED.")));
	if (result != TM_Ok)
		elog(ERROR, "could not write a row of lead_segment: %d", result);
}

static void
write_indexes(Refresh *refresh, bool update, UpdateIndexes indexes)
{
	insert_index_tuples(refresh->result, refresh->written, refresh->estate, update, NULL, indexes);
	ResetPerTupleExprContext(refresh->estate);
}

static ItemPointer
place_of(const Refresh *refresh)
{
	return (ItemPointer) DatumGetPointer(refresh->present.row->tts_values[refresh->columns]);
}

static void
insert_rows(Refresh *refresh)
{
	TupleTableSlot *row = refresh->computed.row;

	while (tuplestore_gettupleslot(refresh->added, true, false, row))
	{
		CHECK_FOR_INTERRUPTS();
		ExecCopySlot(refresh->written, row);
		table_tuple_insert(refresh->table, refresh->written, GetCurrentCommandId(true), 0, NULL);
		write_indexes(refresh, false, INDEXES_ALL);
	}
}

static void
delete_row(Refresh *refresh)
{
	TM_FailureData failure;

	check_written(delete_tuple(refresh->table, place_of(refresh), GetCurrentCommandId(true), refresh->snapshot, true, &failure));
}

static void
update_row(Refresh *refresh)
{
	TM_FailureData failure;
	LockTupleMode lock;
	UpdateIndexes indexes;

	ExecCopySlot(refresh->written, refresh->computed.row);
	check_written(update_tuple(refresh->table, place_of(refresh), refresh->written, GetCurrentCommandId(true), refresh->snapshot, true,
							   &failure, &lock, &indexes));
	if (indexes)
		write_indexes(refresh, true, indexes);
}

/* ---------- merging ---------- */

static int
compare_column(const Refresh *refresh, AttrNumber column)
{
	return text_compare(DatumGetTextPP(refresh->present.row->tts_values[column - 1]), DatumGetTextPP(refresh->computed.row->tts_values[column - 1]));
}

/* The order of the two current rows; one that is missing comes last. */
static int
compare_rows(const Refresh *refresh)
{
	int			order;

	if (TupIsNull(refresh->present.row) || TupIsNull(refresh->computed.row))
		return (int) TupIsNull(refresh->present.row) - (int) TupIsNull(refresh->computed.row);
	order = compare_column(refresh, COLUMN_LEAD_ID);
	return order != 0 ? order : compare_column(refresh, COLUMN_MODEL);
}

static bool
rows_differ(const Refresh *refresh)
{
	const TupleTableSlot *a = refresh->present.row;
	const TupleTableSlot *b = refresh->computed.row;

	for (int i = 0; i < refresh->columns; i++)
	{
		Form_pg_attribute column = TupleDescAttr(RelationGetDescr(refresh->table), i);

		if (a->tts_isnull[i] != b->tts_isnull[i] ||
			(!a->tts_isnull[i] && !datum_image_eq(a->tts_values[i], b->tts_values[i], column->attbyval, column->attlen)))
			return true;
	}
	return false;
}

static void
merge(Refresh *refresh)
{
	sorted_next(&refresh->present);
	sorted_next(&refresh->computed);
	while (!TupIsNull(refresh->present.row) || !TupIsNull(refresh->computed.row))
	{
		int			order = compare_rows(refresh);

		CHECK_FOR_INTERRUPTS();
		if (order < 0)
			delete_row(refresh);
		else if (order > 0)
			tuplestore_puttupleslot(refresh->added, refresh->computed.row);
		else if (rows_differ(refresh))
			update_row(refresh);
		if (order <= 0)
			sorted_next(&refresh->present);
		if (order >= 0)
			sorted_next(&refresh->computed);
		if (++refresh->done % PROGRESS_ROWS == 0)
			progress_advance("refreshing", PROGRESS_ROWS);
	}
	insert_rows(refresh);
}

/* refresh_snapshot(): write what has changed since the last refresh of lead_segment. */
Datum
refresh_snapshot(PG_FUNCTION_ARGS)
{
	Refresh		refresh = {.table = table_open(our_table("lead_segment"), ExclusiveLock)};
	Oid			user;
	int			security;

	/* as REFRESH does: expressions of an index may call functions of whoever owns the table */
	GetUserIdAndSecContext(&user, &security);
	SetUserIdAndSecContext(refresh.table->rd_rel->relowner, security | SECURITY_RESTRICTED_OPERATION);
	refresh.columns = RelationGetNumberOfAttributes(refresh.table);
	sort_computed(&refresh);
	CommandCounterIncrement();
	refresh.snapshot = RegisterSnapshot(GetTransactionSnapshot());
	sort_present(&refresh);
	refresh.estate = CreateExecutorState();
	refresh.result = makeNode(ResultRelInfo);
	InitResultRelInfo(refresh.result, refresh.table, 0, NULL, 0);
	ExecOpenIndices(refresh.result, false);
	refresh.written = table_slot_create(refresh.table, NULL);
	refresh.added = tuplestore_begin_heap(false, false, work_mem);

	merge(&refresh);

	tuplestore_end(refresh.added);
	ExecDropSingleTupleTableSlot(refresh.written);
	ExecCloseIndices(refresh.result);
	FreeExecutorState(refresh.estate);
	sorted_end(&refresh.present);
	sorted_end(&refresh.computed);
	UnregisterSnapshot(refresh.snapshot);
	SetUserIdAndSecContext(user, security);
	table_close(refresh.table, NoLock);
	PG_RETURN_VOID();
}
