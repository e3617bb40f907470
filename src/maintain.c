/*
 * maintain.c: what the procedures of maintenance.sql need and SQL cannot say.
 */
#include "catalog.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/array.h"

PG_FUNCTION_INFO_V1(in_transaction_block);
PG_FUNCTION_INFO_V1(wait_for_writers);
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
