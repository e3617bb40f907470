/*
 * identity.c: changes of names, and the locks that order them.
 *
 *     identify(), unidentify() ──all locks are free──▶ lead_alias
 *                              ──one is not free─────▶ pending_identity ──the next change, or fold()──▶ lead_alias
 *
 * Locks. A change of an alias locks the alias exclusively (ExclusiveLock) and its
 * lead shared (ShareLock) until the end of the transaction. These are advisory locks
 * of classes that SQL cannot take. So changes of one name run one after the other,
 * and a lead cannot become an alias itself while another transaction makes an alias
 * of it. fold() locks an alias exclusively while it moves the deltas that are pending
 * under it, and a writer locks it shared where it adds to the row of its lead, so
 * unidentify() knows where they are.
 *
 * Deadlocks. A session that holds a lock could wait for a session that waits for it.
 * So a session waits only if it holds no lock at all, and only for the names that it
 * was given. Otherwise it tries the locks without waiting, and a change that does not
 * get its locks is left in pending_identity. Only the transaction that holds the lock
 * on the alias removes a row of pending_identity, so each change is carried out once.
 * A new change queues behind the waiting changes of the same names.
 *
 * Stripes. The server's lock table is small, so names are divided by their hashes into
 * stripes. A transaction that locks a name also locks its stripe (RowShareLock for a
 * shared lock, RowExclusiveLock for an exclusive one). A transaction with many names
 * locks whole stripes instead (ShareLock, AccessExclusiveLock). It does not get such a
 * lock while another transaction holds a conflicting lock on a name of the stripe.
 *
 * The line. A transaction that appends to pending_identity did not get the lock on the
 * name. It holds another lock on it, IN_LINE, in ShareLock mode until it ends. forget(),
 * which has locked the name, tries IN_LINE exclusively and so detects a change that it
 * cannot see.
 */
#include "live/identity.h"

#include "attempt.h"
#include "catalog.h"
#include "label.h"
#include "lookup.h"
#include "session_cache.h"
#include "live/commit.h"
#include "live/delta.h"
#include "live/store.h"
#include "timeline/timeline.h"

#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(wait_for_names);
PG_FUNCTION_INFO_V1(try_names);
PG_FUNCTION_INFO_V1(try_aliases);
PG_FUNCTION_INFO_V1(try_leads);
PG_FUNCTION_INFO_V1(line_is_free);
PG_FUNCTION_INFO_V1(lead_now);
PG_FUNCTION_INFO_V1(has_aliases);
PG_FUNCTION_INFO_V1(is_tracked);
PG_FUNCTION_INFO_V1(has_edges);
PG_FUNCTION_INFO_V1(names_are_seen);
PG_FUNCTION_INFO_V1(aliases_are_seen);
PG_FUNCTION_INFO_V1(change_waits);
PG_FUNCTION_INFO_V1(waiting_lead);
PG_FUNCTION_INFO_V1(waiting_changes);
PG_FUNCTION_INFO_V1(append_change);
PG_FUNCTION_INFO_V1(remove_change);
PG_FUNCTION_INFO_V1(is_first_change);
PG_FUNCTION_INFO_V1(give_up_row);
PG_FUNCTION_INFO_V1(append_delta);
PG_FUNCTION_INFO_V1(statement_is_running);
PG_FUNCTION_INFO_V1(postpone_rebuild);
PG_FUNCTION_INFO_V1(check_not_running);

/* ---------- locks ---------- */

/*
 * What a name is locked for. pg_advisory_lock() and similar functions use classes 1
 * and 2. The stripes of a class use the next class.
 */
typedef enum NameLock
{
	CHANGED = 4,				/* exclusive: the name is changed; shared: a name is made to count for it */
	IN_LINE = 6					/* shared: a change of it has been appended; exclusive, briefly: is there any? */
} NameLock;

#define LAST_CLASS (IN_LINE + 1)

/* Stripes of a class: the most locks on stripes that a transaction holds in it. */
#define STRIPES 512

/* A transaction that has locked this many names one by one locks whole stripes for the others. */
#define MANY_NAMES 100

/* The most NOTICEs on waiting changes in a transaction; the last one says that there are more. */
#define MOST_NOTICES 10

/* State of the transaction. Counts from a subtransaction that was rolled back are kept. */
static int	nlocked = 0;		/* names that it has locked one by one */
static int	nwaiting = 0;		/* changes that it has left in pending_identity */
static bool has_changed = false;	/* it has looked at the waiting changes */

void
forget_locked_names(void)
{
	nlocked = nwaiting = 0;
	has_changed = false;
}

/* The locks for one name. */
typedef struct NameLocks
{
	LOCKTAG		stripe;
	LOCKMODE	stripe_mode;
	LOCKTAG		name;
	LOCKMODE	name_mode;		/* NoLock: the lock on the stripe is enough */
} NameLocks;

static void
name_locks(NameLocks *locks, NameLock what, const text *name, bool exclusive)
{
	uint64		key = hash_bytes_extended((const unsigned char *) VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name), 0);
	bool		many = nlocked >= MANY_NAMES;

	SET_LOCKTAG_ADVISORY(locks->stripe, MyDatabaseId, 0, (uint32) (key % STRIPES), what + 1);
	SET_LOCKTAG_ADVISORY(locks->name, MyDatabaseId, (uint32) (key >> 32), (uint32) key, what);
	locks->name_mode = exclusive ? ExclusiveLock : ShareLock;
	/* a name that is already locked one by one stays so, even past MANY_NAMES */
	if (many && lock_is_held(&locks->name, locks->name_mode))
		many = false;
	if (many)
	{
		locks->stripe_mode = exclusive ? AccessExclusiveLock : ShareLock;
		locks->name_mode = NoLock;
	}
	else
		locks->stripe_mode = exclusive ? RowExclusiveLock : RowShareLock;
}

static bool
take_locks(const NameLocks *locks, bool wait)
{
	LockAcquireResult result;

	if (LockAcquire(&locks->stripe, locks->stripe_mode, false, !wait) == LOCKACQUIRE_NOT_AVAIL)
		return false;
	if (locks->name_mode == NoLock)
		return true;
	result = LockAcquire(&locks->name, locks->name_mode, false, !wait);
	if (result == LOCKACQUIRE_OK)
		nlocked++;
	else if (result == LOCKACQUIRE_NOT_AVAIL)
		(void) LockRelease(&locks->stripe, locks->stripe_mode, false);
	return result != LOCKACQUIRE_NOT_AVAIL;
}

static void
release_locks(const NameLocks *locks)
{
	if (locks->name_mode != NoLock)
		(void) LockRelease(&locks->name, locks->name_mode, false);
	(void) LockRelease(&locks->stripe, locks->stripe_mode, false);
}

static bool
lock_name(NameLock what, const text *name, bool exclusive, bool wait)
{
	NameLocks	locks;

	name_locks(&locks, what, name, exclusive);
	return take_locks(&locks, wait);
}

/* Lock one name exclusively and another one shared (NULL: none). Gets both locks or neither. */
static bool
lock_both(const text *exclusive, const text *shared, bool wait)
{
	/* in byte order, so that two sessions that wait for the same names do not deadlock */
	bool		swap = shared != NULL && text_compare(shared, exclusive) < 0;
	const text *names[2] = {exclusive, shared};
	NameLocks	first;
	NameLocks	second;

	name_locks(&first, CHANGED, names[swap], !swap);
	if (!take_locks(&first, wait))
		return false;
	if (shared == NULL)
		return true;
	name_locks(&second, CHANGED, names[!swap], swap);
	if (take_locks(&second, wait))
		return true;
	release_locks(&first);
	return false;
}

bool
try_to_lock_name(const text *name)
{
	return lock_name(CHANGED, name, true, false);
}

bool
try_to_share_name(const text *name)
{
	return lock_name(CHANGED, name, false, false);
}

/* Whether this transaction holds the exclusive lock on a name. */
static bool
holds_name(const text *name)
{
	NameLocks	locks;

	if (nlocked == 0)
		return false;
	name_locks(&locks, CHANGED, name, true);
	return locks.name_mode == NoLock ? lock_is_held(&locks.stripe, locks.stripe_mode) : lock_is_held(&locks.name, locks.name_mode);
}

bool
try_to_keep_name(const text *name)
{
	return holds_name(name) || (statement_is_transaction() && try_to_share_name(name));
}

/* Whether this session holds no lock that another session can wait for, except locks on names. */
static bool
holds_nothing(void)
{
	LockData   *all;

	if (IsTransactionBlock() || TransactionIdIsValid(GetTopTransactionIdIfAny()))
		return false;
	all = GetLockStatusData();
	for (int i = 0; i < all->nelements; i++)
	{
		const LockInstanceData *lock = &all->locks[i];
		const LOCKTAG *tag = &lock->locktag;
		bool		is_name = tag->locktag_type == LOCKTAG_ADVISORY && tag->locktag_field4 >= CHANGED && tag->locktag_field4 <= LAST_CLASS;

		if (lock->pid == MyProcPid && lock->holdMask != 0 && tag->locktag_type != LOCKTAG_VIRTUALTRANSACTION && !is_name)
			return false;
	}
	return true;
}

static text *
name_argument(FunctionCallInfo fcinfo, int i)
{
	if (PG_ARGISNULL(i))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("the name is NULL")));
	return PG_GETARG_TEXT_PP(i);
}

/*
 * wait_for_names(exclusive, shared): lock both names. Wait for the locks only if no
 * session can be waiting for us. DDL may be waiting for any table that the session has
 * read, even in the same statement, and the holder of a name may have to queue behind
 * that DDL. So this function must be called before any table is read, and it checks
 * all locks of the session.
 */
Datum
wait_for_names(PG_FUNCTION_ARGS)
{
	text	   *exclusive = name_argument(fcinfo, 0);
	text	   *shared = PG_ARGISNULL(1) ? NULL : PG_GETARG_TEXT_PP(1);
	bool		is_first = nlocked == 0;

	if (!lock_both(exclusive, shared, false) && is_first && holds_nothing())
		(void) lock_both(exclusive, shared, true);
	PG_RETURN_VOID();
}

/* try_names(exclusive, shared): lock both names if the locks are free. */
Datum
try_names(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(lock_both(name_argument(fcinfo, 0), PG_ARGISNULL(1) ? NULL : PG_GETARG_TEXT_PP(1), false));
}

/* The elements of an array of names, without NULLs; returns how many. */
static int
names_of_array(ArrayType *array, text ***names)
{
	Datum	   *datums;
	bool	   *nulls;
	int			n;
	int			nnames = 0;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &datums, &nulls, &n);
	*names = palloc(Max(n, 1) * sizeof(text *));
	for (int i = 0; i < n; i++)
		if (!nulls[i])
			(*names)[nnames++] = DatumGetTextPP(datums[i]);
	return nnames;
}

/*
 * line_is_free(names): whether no open transaction has appended a change of one of
 * the names. The caller must hold the locks on the names.
 */
Datum
line_is_free(PG_FUNCTION_ARGS)
{
	text	  **names;
	int			n = names_of_array(PG_GETARG_ARRAYTYPE_P(0), &names);

	for (int i = 0; i < n; i++)
	{
		NameLocks	locks;

		CHECK_FOR_INTERRUPTS();
		/*
		 * Held only for a moment, in which we wait for nothing: a transaction that appends now may
		 * wait for it.
		 */
		name_locks(&locks, IN_LINE, names[i], true);
		if (!take_locks(&locks, false))
			PG_RETURN_BOOL(false);
		release_locks(&locks);
	}
	PG_RETURN_BOOL(true);
}

/*
 * try_leads(names): lock the rows of some names in lead_timeline without waiting, and
 * create the missing ones. Only the transaction that holds the lock on a lead's row
 * writes the known segment of the lead. If the table has been altered, no
 * transaction locks rows of it.
 */
Datum
try_leads(PG_FUNCTION_ARGS)
{
	Relation	timelines = table_open(our_table("lead_timeline"), RowExclusiveLock);
	Stores	   *stores = stores_open(timelines, true);
	text	  **names;
	int			n = names_of_array(PG_GETARG_ARRAYTYPE_P(0), &names);
	bool		all_free = true;

	for (int i = 0; all_free && i < n; i++)
	{
		Store	   *store = store_of(stores, names[i]);
		bool		made;

		all_free = store == NULL || store_lock(store, names[i], false, &made);
	}
	stores_close(stores);
	table_close(timelines, NoLock);
	CommandCounterIncrement();
	PG_RETURN_BOOL(all_free);
}

/* ---------- names as they are now ---------- */

/* A table of names to look up by a column, as it is now and without predicate locks. */
typedef struct NameTable
{
	Relation	table;
	Lookup		lookup;
} NameTable;

/*
 * pending_identity: change_id, alias, lead_id, look_again; lead_alias: alias, lead_id, tracked;
 * alias_edge, alias_path: alias, lead_id
 */
#define PENDING_ALIAS 2
#define PENDING_LEAD 3
#define PENDING_LOOK_AGAIN 4
#define ALIAS 1
#define ALIAS_LEAD 2
#define ALIAS_TRACKED 3

/* Open such a table; false if it has no rows. */
static bool
names_open(NameTable *names, const char *table, AttrNumber column, Snapshot snapshot)
{
	names->table = table_open(our_table(table), AccessShareLock);
	if (!has_pages(names->table))
	{
		table_close(names->table, NoLock);
		return false;
	}
	if (!lookup_open(&names->lookup, names->table, column, snapshot))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("our table \"%s\" has lost an index", table),
				 errdetail("lead_alias, alias_path and pending_identity have indexes on alias and on lead_id, alias_edge has one on alias."),
				 errhint("Make the index again that was dropped.")));
	return true;
}

static void
names_close(NameTable *names)
{
	lookup_close(&names->lookup);
	table_close(names->table, NoLock);
}

/* lead_now(name): the lead that a name is an alias of, or NULL if it is no alias. */
Datum
lead_now(PG_FUNCTION_ARGS)
{
	NameTable	aliases;
	Datum		lead;

	if (!names_open(&aliases, "lead_alias", ALIAS, SnapshotSelf))
		PG_RETURN_NULL();
	lead = lookup_value(&aliases.lookup, PG_GETARG_TEXT_PP(0), ALIAS_LEAD);
	names_close(&aliases);
	if (lead == (Datum) 0)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(lead);
}

/* Whether a column of a table contains a name. */
static bool
has_name(const char *table, AttrNumber column, const text *name)
{
	NameTable	names;
	bool		any;

	if (!names_open(&names, table, column, SnapshotSelf))
		return false;
	lookup_begin(&names.lookup, name);
	any = lookup_next(&names.lookup);
	names_close(&names);
	return any;
}

/* has_aliases(name): whether a name has aliases. */
Datum
has_aliases(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(has_name("lead_alias", ALIAS_LEAD, PG_GETARG_TEXT_PP(0)));
}

/* Whether an alias of a name has an edge in alias_edge. */
static bool
aliases_have_edges(const text *name)
{
	NameTable	aliases;
	bool		any = false;

	if (!names_open(&aliases, "lead_alias", ALIAS_LEAD, SnapshotSelf))
		return false;
	lookup_begin(&aliases.lookup, name);
	while (!any && lookup_next(&aliases.lookup))
	{
		bool		isnull;

		CHECK_FOR_INTERRUPTS();
		any = DatumGetBool(slot_getattr(aliases.lookup.slot, ALIAS_TRACKED, &isnull)) ||
			has_name("alias_edge", ALIAS, DatumGetTextPP(slot_getattr(aliases.lookup.slot, ALIAS, &isnull)));
	}
	names_close(&aliases);
	return any;
}

/* has_edges(name): whether a name has an edge in alias_edge, or names have whose edges lead to it. */
Datum
has_edges(PG_FUNCTION_ARGS)
{
	text	   *name = PG_GETARG_TEXT_PP(0);

	PG_RETURN_BOOL(has_name("alias_edge", ALIAS, name) || has_name("alias_path", ALIAS_LEAD, name) || aliases_have_edges(name));
}

/* is_tracked(name): whether a name is an alias because of a tracked table. */
Datum
is_tracked(PG_FUNCTION_ARGS)
{
	NameTable	aliases;
	bool		isnull;
	bool		tracked;

	if (!names_open(&aliases, "lead_alias", ALIAS, SnapshotSelf))
		PG_RETURN_BOOL(false);
	tracked = lookup_unique(&aliases.lookup, PG_GETARG_TEXT_PP(0)) && DatumGetBool(slot_getattr(aliases.lookup.slot, ALIAS_TRACKED, &isnull));
	names_close(&aliases);
	PG_RETURN_BOOL(tracked);
}

/* try_aliases(lead_id): lock the aliases of a name exclusively, if the locks are free. */
Datum
try_aliases(PG_FUNCTION_ARGS)
{
	NameTable	aliases;
	bool		all_free = true;

	if (!names_open(&aliases, "lead_alias", ALIAS_LEAD, SnapshotSelf))
		PG_RETURN_BOOL(true);
	lookup_begin(&aliases.lookup, PG_GETARG_TEXT_PP(0));
	while (all_free && lookup_next(&aliases.lookup))
	{
		bool		isnull;

		CHECK_FOR_INTERRUPTS();
		all_free = try_to_lock_name(DatumGetTextPP(slot_getattr(aliases.lookup.slot, ALIAS, &isnull)));
	}
	names_close(&aliases);
	PG_RETURN_BOOL(all_free);
}

/* Whether a snapshot sees the rows of some names as they are now. */
static bool
rows_are_seen(const char *table, AttrNumber column, text **keys, int n, Snapshot snapshot)
{
	NameTable	names;
	bool		seen = true;

	/* SnapshotAny returns every row version and takes no predicate lock */
	if (!names_open(&names, table, column, SnapshotAny))
		return true;
	for (int i = 0; seen && i < n; i++)
	{
		lookup_begin(&names.lookup, keys[i]);
		while (seen && lookup_next(&names.lookup))
			seen = table_tuple_satisfies_snapshot(names.table, names.lookup.slot, snapshot) ==
				table_tuple_satisfies_snapshot(names.table, names.lookup.slot, SnapshotSelf);
	}
	names_close(&names);
	return seen;
}

bool
edges_are_seen(text **names, int n)
{
	Snapshot	snapshot = GetTransactionSnapshot();

	return rows_are_seen("lead_alias", ALIAS, names, n, snapshot) && rows_are_seen("lead_alias", ALIAS_LEAD, names, n, snapshot) &&
		rows_are_seen("alias_path", ALIAS, names, n, snapshot) && rows_are_seen("alias_path", ALIAS_LEAD, names, n, snapshot) &&
		rows_are_seen("alias_edge", ALIAS, names, n, snapshot);
}

/*
 * names_are_seen(names): whether the transaction's snapshot sees the leads of some
 * names, and the waiting changes of the names, as they are now. If not, nothing that
 * depends on them is changed; the next transaction does it.
 */
Datum
names_are_seen(PG_FUNCTION_ARGS)
{
	text	  **names;
	int			n;

	if (!IsolationUsesXactSnapshot())
		PG_RETURN_BOOL(true);
	n = names_of_array(PG_GETARG_ARRAYTYPE_P(0), &names);
	PG_RETURN_BOOL(rows_are_seen("lead_alias", ALIAS, names, n, GetTransactionSnapshot()) &&
				   rows_are_seen("pending_identity", PENDING_ALIAS, names, n, GetTransactionSnapshot()));
}

/*
 * aliases_are_seen(name): the same for the aliases of a name, and for the waiting
 * changes that make a name its alias.
 */
Datum
aliases_are_seen(PG_FUNCTION_ARGS)
{
	text	   *name = PG_GETARG_TEXT_PP(0);

	PG_RETURN_BOOL(!IsolationUsesXactSnapshot() ||
				   (rows_are_seen("lead_alias", ALIAS_LEAD, &name, 1, GetTransactionSnapshot()) &&
					rows_are_seen("pending_identity", PENDING_LEAD, &name, 1, GetTransactionSnapshot())));
}

/* ---------- waiting changes ---------- */

static int64
change_of_row(TupleTableSlot *slot)
{
	bool		isnull;

	return DatumGetInt64(slot_getattr(slot, 1, &isnull));
}

/* Whether a change of a name waits that was requested earlier than the change "before". */
static bool
waits(AttrNumber column, const text *name, int64 before)
{
	NameTable	changes;
	bool		found = false;

	if (!names_open(&changes, "pending_identity", column, SnapshotSelf))
		return false;
	lookup_begin(&changes.lookup, name);
	while (!found && lookup_next(&changes.lookup))
		found = change_of_row(changes.lookup.slot) < before;
	names_close(&changes);
	return found;
}

/*
 * change_waits(alias, lead_id, before): whether a change waits that must come first: a
 * change of the alias, of its lead or, if the alias is given back, one that makes a
 * name count for it. "before": only changes requested earlier than that one (NULL: all).
 */
Datum
change_waits(PG_FUNCTION_ARGS)
{
	text	   *alias = name_argument(fcinfo, 0);
	int64		before = PG_ARGISNULL(2) ? PG_INT64_MAX : PG_GETARG_INT64(2);

	PG_RETURN_BOOL(waits(PENDING_ALIAS, alias, before) ||
				   (PG_ARGISNULL(1) ? waits(PENDING_LEAD, alias, before) : waits(PENDING_ALIAS, PG_GETARG_TEXT_PP(1), before)));
}

/*
 * waiting_lead(alias): the lead in the last waiting change of an alias. NULL if no
 * change waits, or if that change gives the alias back.
 */
Datum
waiting_lead(PG_FUNCTION_ARGS)
{
	NameTable	changes;
	int64		last = 0;
	text	   *lead = NULL;

	if (!names_open(&changes, "pending_identity", PENDING_ALIAS, SnapshotSelf))
		PG_RETURN_NULL();
	lookup_begin(&changes.lookup, PG_GETARG_TEXT_PP(0));
	while (lookup_next(&changes.lookup))
	{
		bool		isnull;
		bool		looks = DatumGetBool(slot_getattr(changes.lookup.slot, PENDING_LOOK_AGAIN, &isnull));
		Datum		value = slot_getattr(changes.lookup.slot, PENDING_LEAD, &isnull);

		if (looks || change_of_row(changes.lookup.slot) < last)
			continue;
		last = change_of_row(changes.lookup.slot);
		lead = isnull ? NULL : DatumGetTextPCopy(value);
	}
	names_close(&changes);
	if (lead == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(lead);
}

/* waiting_changes(first, most): the waiting changes in order, from number "first" on, at most "most" (NULL: all). */
Datum
waiting_changes(PG_FUNCTION_ARGS)
{
	int64		most = PG_ARGISNULL(1) ? PG_INT64_MAX : PG_GETARG_INT64(1);
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Relation	table = table_open(our_table("pending_identity"), AccessShareLock);
	Relation	index;
	IndexScanDesc scan;
	TupleTableSlot *slot;
	ScanKeyData key;

	InitMaterializedSRF(fcinfo, 0);
	if (!OidIsValid(primary_key_index(table)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the table leadscore_internal.pending_identity has lost its primary key"),
				 errhint("Make it again.")));
	index = index_open(primary_key_index(table), AccessShareLock);
	scan = begin_index_scan(table, index, SnapshotSelf, 1);
	slot = table_slot_create(table, NULL);
	ScanKeyEntryInitialize(&key, 0, 1, BTGreaterEqualStrategyNumber, InvalidOid, InvalidOid, F_INT8GE,
						   Int64GetDatum(PG_ARGISNULL(0) ? 0 : PG_GETARG_INT64(0)));
	index_rescan(scan, &key, 1, NULL, 0);
	while (most-- > 0 && index_getnext_slot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		slot_getallattrs(slot);
		tuplestore_putvalues(result->setResult, result->setDesc, slot->tts_values, slot->tts_isnull);
	}
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	index_close(index, NoLock);
	table_close(table, NoLock);
	return (Datum) 0;
}

/* Report that a change waits; after several, only that there are more. */
static void
tell_waiting(const text *alias)
{
	const char *hint = "SELECT leadscore.fold() carries it out; leadscore.status tells whether it still waits.";

	if (++nwaiting < MOST_NOTICES)
		ereport(NOTICE,
				(errmsg("the change of \"%s\" waits for another change of the same names", text_to_cstring(alias)),
				 errhint("%s", hint)));
	else if (nwaiting == MOST_NOTICES)
		ereport(NOTICE,
				(errmsg("more changes of names wait for other changes"),
				 errhint("SELECT leadscore.fold() makes them; leadscore.status says whether they still wait.")));
}

/*
 * append_change(alias, lead_id): leave a change in pending_identity until the running
 * statement has ended, or until the transaction that holds the locks on the names has.
 */
Datum
append_change(PG_FUNCTION_ARGS)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[2] = {TEXTOID, TEXTOID};
	text	   *alias = name_argument(fcinfo, 0);
	text	   *lead = PG_ARGISNULL(1) ? NULL : PG_GETARG_TEXT_PP(1);
	Datum		values[2] = {PointerGetDatum(alias), PointerGetDatum(lead)};
	char		nulls[2] = {' ', lead ? ' ' : 'n'};
	int64		change;
	bool		isnull;

	/* held until the transaction ends; line_is_free() holds them exclusively only for a moment */
	(void) lock_name(IN_LINE, alias, false, true);
	if (lead)
		(void) lock_name(IN_LINE, lead, false, true);
	SPI_connect();
	session_plan(&plan, "INSERT INTO leadscore_internal.pending_identity (alias, lead_id) VALUES ($1, $2) RETURNING change_id", 2, types);
	if (SPI_execute_plan(plan, values, nulls, false, 1) != SPI_OK_INSERT_RETURNING || SPI_processed != 1)
		elog(ERROR, "could not append a change of names");
	change = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	remember_change(change);
	if (!is_running())
		tell_waiting(alias);
	PG_RETURN_VOID();
}

void
append_look_again(text **names, int n)
{
	static SPIPlanPtr plan = NULL;
	Oid			type = TEXTARRAYOID;
	Datum		value;
	bool		isnull;

	if (n == 0)
		return;
	for (int i = 0; i < n; i++)
		(void) lock_name(IN_LINE, names[i], false, true);
	value = PointerGetDatum(construct_array((Datum *) names, n, TEXTOID, -1, false, TYPALIGN_INT));
	SPI_connect();
	session_plan(&plan, "SELECT leadscore_internal.append_look_again($1)", 1, &type);
	if (SPI_execute_plan(plan, &value, NULL, false, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not leave names to be looked at again");
	remember_change(DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull)));
	SPI_finish();
}

/*
 * remove_change(change_id, alias): remove a change that is now carried out; false if
 * another transaction has already done so. The caller holds the lock on the alias.
 */
Datum
remove_change(PG_FUNCTION_ARGS)
{
	int64		change = PG_GETARG_INT64(0);
	NameTable	changes;
	bool		removed = false;

	if (!names_open(&changes, "pending_identity", PENDING_ALIAS, SnapshotSelf))
		PG_RETURN_BOOL(false);
	lookup_begin(&changes.lookup, PG_GETARG_TEXT_PP(1));
	while (!removed && lookup_next(&changes.lookup))
		if (change_of_row(changes.lookup.slot) == change)
			removed = remove_row(changes.table, &changes.lookup.slot->tts_tid);
	names_close(&changes);
	CommandCounterIncrement();
	PG_RETURN_BOOL(removed);
}

/*
 * is_first_change(): whether the transaction is yet to look at the waiting changes. In
 * REPEATABLE READ and SERIALIZABLE it never does, because those changes are not its own.
 */
Datum
is_first_change(PG_FUNCTION_ARGS)
{
	bool		first = !has_changed && !IsolationUsesXactSnapshot();

	has_changed = true;
	PG_RETURN_BOOL(first);
}

/*
 * Carry out at most "most" waiting changes, from number "first" on, as the owner of the
 * extension. A change that cannot be carried out raises a warning and stays.
 */
void
carry_out_changes(int64 first, int64 most)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[2] = {INT8OID, INT8OID};
	Datum		values[2] = {Int64GetDatum(first), Int64GetDatum(most)};
	Identity	user = switch_to_owner(our_owner(), 0);

	SPI_connect();
	session_plan(&plan, "SELECT leadscore_internal.carry_out($1, $2)", 2, types);
	if (SPI_execute_plan(plan, values, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not carry out changes of names");
	SPI_finish();
	restore_user(user);
}

/* ---------- moving ---------- */

static void
append_one(text *name, struct varlena *delta)
{
	Relation	pending = table_open(our_table("pending_delta"), RowExclusiveLock);
	Store	   *store = store_open(pending, false, false);

	if (store == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the table leadscore.pending_delta is not as the extension created it"),
				 errhint("Drop what was added to it.")));
	store_append(store, name, delta);
	store_close(store);
	table_close(pending, NoLock);
	remember_appended(name);
}

/* append_delta(name, delta): append a delta under a name; its segment is compared before the transaction commits. */
Datum
append_delta(PG_FUNCTION_ARGS)
{
	append_one(PG_GETARG_TEXT_PP(0), PG_GETARG_TIMELINE(1));
	remember_touched(PG_GETARG_TEXT_PP(0), CAUSE_IDENTITY);
	CommandCounterIncrement();
	PG_RETURN_VOID();
}

/*
 * Move the timeline in the row of a new alias to a delta under that name, if the row
 * exists and is not locked. If a writer holds the lock on the row, append an empty
 * delta, which makes the row count for the lead. A writer that creates the row later
 * sees the alias, committed or not: the alias was in lead_alias before we looked at the
 * row, and a writer reads lead_alias after it has locked the row.
 */
static void
give_up(Stores *stores, text *alias)
{
	Store	   *store = store_of(stores, alias);
	struct varlena *held = timeline_encode(NULL, 0);
	struct varlena *row;

	switch (store ? store_take(store, alias, false, &row) : TAKEN_BY_ANOTHER)
	{
		case TAKEN:
			held = (struct varlena *) PG_DETOAST_DATUM_COPY(PointerGetDatum(row));
			store_put(store, timeline_encode(NULL, 0));
			if (!timeline_is_empty(held))
				append_one(alias, held);
			break;
		case TAKEN_BY_ANOTHER:
		case TOO_LARGE:
			append_one(alias, held);
			break;
		case FREE:
			break;
	}
}

/*
 * Which of some names may have a row in lead_timeline: those with an index entry,
 * whatever the state of its row. Most new aliases, such as the names of orders that are
 * loaded, never had a row. NULL: any of the names may have one.
 */
static bool *
with_entries(Relation timelines, text **names, int n)
{
	Lookup		lookup;
	bool	   *can;

	if (n == 1 || timelines->rd_rel->relhassubclass || !lookup_open_sorted(&lookup, timelines, 1, SnapshotAny))
		return NULL;
	can = palloc(n * sizeof(bool));
	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		lookup_begin(&lookup, names[i]);
		can[i] = lookup_has_entry(&lookup);
	}
	lookup_close(&lookup);
	return can;
}

void
give_up_rows(text **aliases, int n)
{
	Relation	timelines = table_open(our_table("lead_timeline"), RowExclusiveLock);
	Stores	   *stores = stores_open(timelines, false);
	bool		watched = segments_logged() != NULL;
	bool	   *can = with_entries(timelines, aliases, n);

	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (can == NULL || can[i])
			give_up(stores, aliases[i]);
		if (watched)
			remember_touched(aliases[i], CAUSE_IDENTITY);
	}
	stores_close(stores);
	table_close(timelines, NoLock);
	CommandCounterIncrement();
}

/* give_up_row(alias): give_up_rows() for one alias. */
Datum
give_up_row(PG_FUNCTION_ARGS)
{
	text	   *alias = PG_GETARG_TEXT_PP(0);

	give_up_rows(&alias, 1);
	PG_RETURN_VOID();
}

/* ---------- inside statements ---------- */

/*
 * statement_is_running(): whether a statement is writing a source. Until it has ended,
 * its events are in the source, but their deltas are not written yet.
 */
Datum
statement_is_running(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(is_running());
}

/*
 * postpone_rebuild(lead_ids, signals): if statements are running, leave a rebuild to
 * the trigger that counts the last of them. Returns whether it was postponed.
 */
Datum
postpone_rebuild(PG_FUNCTION_ARGS)
{
	if (!is_running())
		PG_RETURN_BOOL(false);
	postpone(PG_ARGISNULL(0) ? NULL : PG_GETARG_ARRAYTYPE_P(0), PG_ARGISNULL(1) ? NULL : PG_GETARG_ARRAYTYPE_P(1));
	PG_RETURN_BOOL(true);
}

/*
 * check_not_running(what): refuse a function that returns its result immediately,
 * while a running statement is only partly counted.
 */
Datum
check_not_running(PG_FUNCTION_ARGS)
{
	if (is_running())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s cannot run inside a statement that writes a tracked table", text_to_cstring(PG_GETARG_TEXT_PP(0))),
				 errdetail("The events of the statement are there, and are not counted yet."),
				 errhint("Run it as a statement of its own.")));
	PG_RETURN_VOID();
}

static void
rebuild(void *argument)
{
	const PostponedRebuild *asked = argument;
	Oid			types[2] = {TEXTARRAYOID, TEXTARRAYOID};
	Datum		values[2] = {PointerGetDatum(asked->lead_ids), PointerGetDatum(asked->signals)};
	char		nulls[2] = {asked->lead_ids ? ' ' : 'n', asked->signals ? ' ' : 'n'};

	SPI_connect();
	(void) SPI_execute_with_args("CALL leadscore.rebuild($1, $2)", 2, types, values, nulls, false, 1);
	SPI_finish();
}

void
carry_out_rebuilds(List *postponed)
{
	Identity	user = switch_to_owner(our_owner(), 0);
	ListCell   *cell;

	foreach(cell, postponed)
		attempt(rebuild, lfirst(cell), NULL, NULL);
	restore_user(user);
}
