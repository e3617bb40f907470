/*
 * maintain.c: what the procedures of maintenance.sql need and SQL cannot say.
 */
#include "catalog.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(in_transaction_block);
PG_FUNCTION_INFO_V1(wait_for_writers);
PG_FUNCTION_INFO_V1(hold_rebuild);
PG_FUNCTION_INFO_V1(release_rebuild);
PG_FUNCTION_INFO_V1(check_seen);
PG_FUNCTION_INFO_V1(difference);
PG_FUNCTION_INFO_V1(only);

/* Whether BEGIN was said, so that a procedure must not commit. */
Datum
in_transaction_block(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(IsTransactionBlock());
}

/*
 * Wait until every transaction that is writing timelines now has ended. Nobody
 * waits for us meanwhile: no lock is taken or queued for.
 */
Datum
wait_for_writers(PG_FUNCTION_ARGS)
{
	LOCKTAG		tag;

	SET_LOCKTAG_RELATION(tag, MyDatabaseId, our_table("lead_timeline"));
	WaitForLockers(tag, ShareLock, false);
	PG_RETURN_VOID();
}

/*
 * One rebuild at a time: what one has found, another must not add too. The lock
 * outlives the commits of a rebuild; it goes when that ends or fails.
 */
#define REBUILD_LOCK 0x6c656164	/* an advisory lock of a class of its own */

static bool rebuilding = false;

static void
rebuild_aborted(XactEvent event, void *arg pg_attribute_unused())
{
	if (event == XACT_EVENT_ABORT && rebuilding)
	{
		LOCKTAG		tag;

		rebuilding = false;
		SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, REBUILD_LOCK, 0, 3);
		(void) LockRelease(&tag, ExclusiveLock, true);
	}
}

/*
 * hold_rebuild(shared): wait for the rebuilds of other sessions, and keep them
 * waiting: while one is at work here or, shared, to the end of the transaction.
 */
Datum
hold_rebuild(PG_FUNCTION_ARGS)
{
	static bool watching = false;
	bool		session = !IsTransactionBlock();
	LOCKTAG		tag;

	if (!watching)
		RegisterXactCallback(rebuild_aborted, NULL);
	watching = true;
	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, REBUILD_LOCK, 0, 3);
	if (PG_GETARG_BOOL(0))
	{
		(void) LockAcquire(&tag, ShareLock, false, false);
		PG_RETURN_VOID();
	}
	(void) LockAcquire(&tag, ExclusiveLock, session, false);
	rebuilding = session;
	PG_RETURN_VOID();
}

/* release_rebuild(): the rebuild has ended. */
Datum
release_rebuild(PG_FUNCTION_ARGS)
{
	LOCKTAG		tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, REBUILD_LOCK, 0, 3);
	if (rebuilding)
		(void) LockRelease(&tag, ExclusiveLock, true);
	rebuilding = false;
	PG_RETURN_VOID();
}

/*
 * check_seen(what, query, names): at the stricter levels of isolation, refuse
 * to go on if the text that a query of ours gives (of names, its $1) is no
 * longer that of the transaction's snapshot.
 */
Datum
check_seen(PG_FUNCTION_ARGS)
{
	Oid			type = TEXTARRAYOID;
	Datum		names = PG_GETARG_DATUM(2);
	char		no_names = PG_ARGISNULL(2) ? 'n' : ' ';
	char	   *texts[2];
	SPIPlanPtr	plan;
	Snapshot	now;

	if (!IsolationUsesXactSnapshot())
		PG_RETURN_VOID();
	SPI_connect();
	plan = SPI_prepare(text_to_cstring(PG_GETARG_TEXT_PP(1)), 1, &type);
	now = RegisterSnapshot(GetLatestSnapshot());
	for (int i = 0; i < 2; i++)
	{
		if (SPI_execute_snapshot(plan, &names, &no_names, i == 0 ? GetTransactionSnapshot() : now, InvalidSnapshot,
								 true, false, 1) != SPI_OK_SELECT)
			elog(ERROR, "could not look again");
		texts[i] = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	}
	UnregisterSnapshot(now);
	if ((texts[0] == NULL) != (texts[1] == NULL) || (texts[0] && strcmp(texts[0], texts[1]) != 0))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to concurrent update"),
				 errdetail("%s have changed.", text_to_cstring(PG_GETARG_TEXT_PP(0))),
				 errhint("The transaction might succeed if retried.")));
	SPI_finish();
	PG_RETURN_VOID();
}

/* timeline - other, where NULL is empty, and an hour that overflows wraps around: (timeline, other) */
Datum
difference(PG_FUNCTION_ARGS)
{
	struct varlena *terms[2];
	bool		overflowed;

	if (PG_ARGISNULL(1) && !PG_ARGISNULL(0))
		PG_RETURN_DATUM(PG_GETARG_DATUM(0));
	for (int i = 0; i < 2; i++)
		terms[i] = PG_ARGISNULL(i) ? timeline_encode(NULL, 0) : PG_GETARG_TIMELINE(i);
	PG_RETURN_POINTER(timeline_combine(terms[0], terms[1], -1, &overflowed));
}

/* The part of a timeline that belongs to some signals: (timeline, signal_ids). */
Datum
only(PG_FUNCTION_ARGS)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(1);
	Datum	   *datums;
	int			nids;
	int32	   *ids;
	TimelineEntry *entries;
	uint32		n = timeline_decode(PG_GETARG_TIMELINE(0), &entries);
	uint32		kept = 0;

	if (array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("signal_ids must not contain nulls")));
	deconstruct_array(array, INT4OID, sizeof(int32), true, TYPALIGN_INT, &datums, NULL, &nids);
	ids = palloc(Max(nids, 1) * sizeof(int32));
	for (int i = 0; i < nids; i++)
		ids[i] = DatumGetInt32(datums[i]);
	qsort(ids, nids, sizeof(int32), int32_compare);

	for (uint32 i = 0; i < n; i++)
		if (bsearch(&entries[i].signal_id, ids, nids, sizeof(int32), int32_compare))
			entries[kept++] = entries[i];
	PG_RETURN_POINTER(timeline_encode(entries, kept));
}
