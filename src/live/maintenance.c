/*
 * maintenance.c: functions that the procedures of maintenance.sql need and that SQL cannot express.
 */
#include "catalog.h"
#include "session_cache.h"
#include "model/signal.h"
#include "timeline/timeline.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(in_transaction_block);
PG_FUNCTION_INFO_V1(wait_for_writers);
PG_FUNCTION_INFO_V1(wait_for_readers);
PG_FUNCTION_INFO_V1(wait_for_partings);
PG_FUNCTION_INFO_V1(wait_for_rules);
PG_FUNCTION_INFO_V1(lock_rebuild);
PG_FUNCTION_INFO_V1(unlock_rebuild);
PG_FUNCTION_INFO_V1(rebuild_is_at_work);
PG_FUNCTION_INFO_V1(lock_by_name);
PG_FUNCTION_INFO_V1(check_seen);
PG_FUNCTION_INFO_V1(is_seen);
PG_FUNCTION_INFO_V1(difference);
PG_FUNCTION_INFO_V1(only);
PG_FUNCTION_INFO_V1(counted);

/* Whether a procedure must not commit: it runs in a transaction block, or a function or trigger has called it. */
Datum
in_transaction_block(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(IsTransactionBlock() || !SPI_inside_nonatomic_context());
}

/* Milliseconds of waiting before a NOTICE reports the transactions that we wait for. */
#define PATIENCE 1000

/*
 * Report the transactions that we wait for, which a query finds by its argument. Does
 * nothing if they have ended.
 */
static void
tell_of(SPIPlanPtr *plan, const char *query, Oid type, Datum argument, const char *message)
{
	char	   *others;

	SPI_connect();
	if (SPI_execute_plan(session_plan(plan, query, 1, &type), &argument, NULL, true, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not look for those who keep us waiting");
	others = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	if (others)
		ereport(NOTICE,
				(errmsg("%s", message),
				 errdetail("They are of %s.", others),
				 errhint("It goes on when they have ended.")));
	SPI_finish();
}

/* Report the transactions that are writing a table. */
static void
tell_writers(Oid table)
{
	static SPIPlanPtr plan = NULL;

	tell_of(&plan, "SELECT leadscore_internal.writers($1)", REGCLASSOID, ObjectIdGetDatum(table), "waiting for transactions that began to write before");
}

/*
 * Wait until every transaction that is writing a table now, or has any lock on it if
 * "lock" is AccessExclusiveLock, has ended. It neither takes nor queues for a lock on the
 * table, so no transaction waits for us meanwhile.
 */
static void
wait_for_holders(const char *name, LOCKMODE lock)
{
	Oid			table = our_table(name);
	TimestampTz began = GetCurrentTimestamp();
	bool		told = lock != ShareLock;	/* only writers are reported */
	VirtualTransactionId *writers;
	LOCKTAG		tag;

	SET_LOCKTAG_RELATION(tag, MyDatabaseId, table);
	writers = GetLockConflicts(&tag, lock, NULL);
	for (; VirtualTransactionIdIsValid(*writers); writers++)
	{
		bool		ended;

		while (!(ended = VirtualXactLock(*writers, false)) && !TimestampDifferenceExceeds(began, GetCurrentTimestamp(), PATIENCE))
		{
			CHECK_FOR_INTERRUPTS();
			pg_usleep(1000L);
		}
		if (ended)
			continue;
		if (!told)
			tell_writers(table);
		told = true;
		(void) VirtualXactLock(*writers, true);
	}
}

/* wait_for_writers(): wait for the transactions that are writing timelines. */
Datum
wait_for_writers(PG_FUNCTION_ARGS)
{
	wait_for_holders("lead_timeline", ShareLock);
	PG_RETURN_VOID();
}

/* wait_for_partings(): the same for transactions that part names; they write parted_lead before they read events. */
Datum
wait_for_partings(PG_FUNCTION_ARGS)
{
	wait_for_holders("parted_lead", ShareLock);
	PG_RETURN_VOID();
}

/*
 * wait_for_rules(): the same for transactions that change the rules of derive(). A commit is
 * seen a moment before it invalidates what other sessions remember, and then releases its locks.
 */
Datum
wait_for_rules(PG_FUNCTION_ARGS)
{
	wait_for_holders("derivation", ShareLock);
	PG_RETURN_VOID();
}

/* wait_for_readers(): wait for the transactions that read or write leadscore.event. */
Datum
wait_for_readers(PG_FUNCTION_ARGS)
{
	wait_for_holders("event", AccessExclusiveLock);
	PG_RETURN_VOID();
}

/*
 * Our advisory locks use a class that SQL cannot reach: pg_advisory_lock() uses the
 * classes 1 and 2. So no user can take them to block us.
 */
#define OUR_CLASS 3

static void
set_lock_tag(LOCKTAG *tag, uint64 key)
{
	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, (uint32) (key >> 32), (uint32) key, OUR_CLASS);
}

/*
 * lock_by_name(what): take the advisory lock of that name in ExclusiveLock mode, until
 * the end of the transaction. So changes of one model's document, of derived data and
 * of the reports to CRMs are committed one after the other.
 */
Datum
lock_by_name(PG_FUNCTION_ARGS)
{
	text	   *what = PG_GETARG_TEXT_PP(0);
	LOCKTAG		tag;

	set_lock_tag(&tag, DatumGetUInt64(hash_any_extended((unsigned char *) VARDATA_ANY(what), VARSIZE_ANY_EXHDR(what), 0)));
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
	PG_RETURN_VOID();
}

/*
 * Only one rebuild runs at a time, so that no two rebuilds add the same events. The lock
 * outlives the commits of a rebuild, and is released when the rebuild ends or fails.
 */
#define REBUILD_LOCK (UINT64CONST(0x6c656164) << 32)

static bool rebuilding = false;

static void
rebuild_aborted(XactEvent event, void *arg pg_attribute_unused())
{
	if (event == XACT_EVENT_ABORT && rebuilding)
	{
		LOCKTAG		tag;

		rebuilding = false;
		set_lock_tag(&tag, REBUILD_LOCK);
		(void) LockRelease(&tag, ExclusiveLock, true);
	}
}

/* Take the rebuild lock; after PATIENCE, report the sessions that we wait for. */
static void
lock_and_tell(const LOCKTAG *tag, bool session)
{
	static SPIPlanPtr plan = NULL;
	TimestampTz began = GetCurrentTimestamp();

	while (LockAcquire(tag, ExclusiveLock, session, true) == LOCKACQUIRE_NOT_AVAIL)
	{
		CHECK_FOR_INTERRUPTS();
		if (TimestampDifferenceExceeds(began, GetCurrentTimestamp(), PATIENCE))
		{
			tell_of(&plan, "SELECT leadscore_internal.rebuilders($1)", INT8OID, Int64GetDatum((int64) REBUILD_LOCK), "waiting for rebuilds of other sessions");
			(void) LockAcquire(tag, ExclusiveLock, session, false);
			return;
		}
		pg_usleep(1000L);
	}
}

/*
 * lock_rebuild(shared): take the rebuild lock. If not shared, it is taken in
 * ExclusiveLock mode and held by the session until unlock_rebuild() or an abort or, in a
 * transaction block, by the transaction. If shared, it is taken in ShareLock mode and
 * held by the transaction. So no two sessions rebuild at the same time, and none rebuilds
 * while another session holds the lock shared.
 */
Datum
lock_rebuild(PG_FUNCTION_ARGS)
{
	static bool watching = false;
	bool		session = !IsTransactionBlock();
	LOCKTAG		tag;

	if (!watching)
		RegisterXactCallback(rebuild_aborted, NULL);
	watching = true;
	set_lock_tag(&tag, REBUILD_LOCK);
	if (PG_GETARG_BOOL(0))
	{
		(void) LockAcquire(&tag, ShareLock, false, false);
		PG_RETURN_VOID();
	}
	lock_and_tell(&tag, session);
	rebuilding = session;
	PG_RETURN_VOID();
}

/* unlock_rebuild(): the rebuild has ended; release the lock of the session. */
Datum
unlock_rebuild(PG_FUNCTION_ARGS)
{
	LOCKTAG		tag;

	set_lock_tag(&tag, REBUILD_LOCK);
	if (rebuilding)
		(void) LockRelease(&tag, ExclusiveLock, true);
	rebuilding = false;
	PG_RETURN_VOID();
}

/*
 * rebuild_is_at_work(): whether any session holds the rebuild lock exclusively. The lock
 * is tried in ShareLock mode and released immediately. A rebuild that begins afterwards
 * does no harm: see begin_parting(), which has locked lead_timeline.
 */
Datum
rebuild_is_at_work(PG_FUNCTION_ARGS)
{
	LOCKTAG		tag;

	set_lock_tag(&tag, REBUILD_LOCK);
	if (lock_is_held(&tag, ExclusiveLock) || LockAcquire(&tag, ShareLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		PG_RETURN_BOOL(true);
	(void) LockRelease(&tag, ShareLock, false);
	PG_RETURN_BOOL(false);
}

/*
 * The text in the first row that one of our queries returns with a snapshot, or NULL. Its
 * $1 is an array of names. SPI must be connected.
 */
static char *
text_seen(SPIPlanPtr plan, Datum names, bool no_names, Snapshot snapshot)
{
	char		nulls = no_names ? 'n' : ' ';

	if (SPI_execute_snapshot(plan, &names, &nulls, snapshot, InvalidSnapshot, true, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not look again");
	return SPI_processed > 0 ? SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1) : NULL;
}

/*
 * In REPEATABLE READ and SERIALIZABLE, whether one of our queries returns the same text
 * now as with the transaction's snapshot. True at lower levels.
 */
static bool
text_is_seen(const char *query, Datum names, bool no_names)
{
	Oid			type = TEXTARRAYOID;
	char	   *before;
	char	   *after;
	SPIPlanPtr	plan;
	Snapshot	now;
	bool		seen;

	if (!IsolationUsesXactSnapshot())
		return true;
	SPI_connect();
	plan = SPI_prepare(query, 1, &type);
	if (plan == NULL)
		elog(ERROR, "could not prepare what is looked at again");
	now = RegisterSnapshot(GetLatestSnapshot());
	before = text_seen(plan, names, no_names, GetTransactionSnapshot());
	after = text_seen(plan, names, no_names, now);
	UnregisterSnapshot(now);
	seen = (before == NULL) == (after == NULL) && (before == NULL || strcmp(before, after) == 0);
	SPI_finish();
	return seen;
}

/*
 * is_seen(query, names): whether a query, with names as its $1, returns the same text now
 * as with the transaction's snapshot.
 */
Datum
is_seen(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(text_is_seen(text_to_cstring(PG_GETARG_TEXT_PP(0)), PG_GETARG_DATUM(1), false));
}

/* check_seen(what, query, names): raise a serialization failure if it does not. */
Datum
check_seen(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("check_seen() needs a query, and a name for what it looks at")));
	if (!text_is_seen(text_to_cstring(PG_GETARG_TEXT_PP(1)), PG_ARGISNULL(2) ? (Datum) 0 : PG_GETARG_DATUM(2), PG_ARGISNULL(2)))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to concurrent update"),
				 errdetail("%s have changed.", text_to_cstring(PG_GETARG_TEXT_PP(0))),
				 errhint("The transaction might succeed if retried.")));
	PG_RETURN_VOID();
}

/* difference(timeline, other): timeline - other. NULL counts as empty, and an hour that overflows wraps around. */
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

/* only(timeline, signal_ids): the entries of a timeline that belong to some signals. */
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

/*
 * counted(timeline, signals): a timeline as events by a signals() document would make it:
 * entries of its signals, and old hours by the day if it is compacted. Totals wrap around.
 */
Datum
counted(PG_FUNCTION_ARGS)
{
	const SignalSet *signals = doc_compiled(fcinfo, 1, signal_set_compile);
	TimelineEntry *entries;
	uint32		n = timeline_decode(PG_GETARG_TIMELINE(0), &entries);
	TimelineBuilder *builder = timeline_builder_create(CurrentMemoryContext);

	builder->lenient = true;
	for (uint32 i = 0; i < n; i++)
		if (bsearch(&entries[i].signal_id, signals->ids, signals->nids, sizeof(int32), int32_compare))
			builder = timeline_builder_add(builder, entries[i].signal_id, signal_set_hour(signals, entries[i].hour),
										   entries[i].occurrences, entries[i].value);
	timeline_builder_compact(builder);
	PG_RETURN_POINTER(timeline_encode(builder->entries, builder->n));
}
