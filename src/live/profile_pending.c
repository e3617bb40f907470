/*
 * profile_pending.c: current profiles: the rows of lead with their pending changes.
 *
 *     profile of a lead = its row in lead, with its rows of pending_profile
 *                         applied in the order of their numbers
 *
 * Order. Two changes of one attribute are ordered by the row locks in the table of
 * customers: a writer holds its row lock when it draws the number. Changes of
 * different attributes are independent, so their order does not matter.
 *
 * Names. A lead also has the attributes of its aliases. If several names have an
 * attribute, the lead's own value counts, then that of the alias that comes first in
 * byte order. Each name keeps its own profile, so unidentify() need not restore any.
 *
 * For one lead, the rows are looked up by an index. For many leads,
 * with_pending_profile() builds a hash table of all pending changes, and one of the
 * profiles of aliases.
 */
#include "live/profile.h"

#include "catalog.h"
#include "label.h"
#include "session_cache.h"
#include "live/current.h"
#include "live/query_cache.h"

#include "access/table.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(with_pending_profile);

/* ---------- applying ---------- */

void
profile_apply(Profile *profile, const ProfileChange *change)
{
	bool		removes = change->removed != NULL;

	/* (the check constraint that it is an object may have been dropped) */
	if (removes && profile->value && JB_ROOT_IS_OBJECT(profile->value))
		profile->value = DatumGetJsonbP(DirectFunctionCall2(jsonb_delete_array, JsonbPGetDatum(profile->value),
															PointerGetDatum(change->removed)));
	if (change->attributes)
	{
		profile->value = profile->value == NULL ? change->attributes :
			DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(profile->value), JsonbPGetDatum(change->attributes)));
		profile->exists = true;
	}
	if (removes && profile->value && JB_ROOT_IS_OBJECT(profile->value) && JB_ROOT_COUNT(profile->value) == 0)
		*profile = (Profile) {false, NULL};
}

void
profile_add_alias(Profile *profile, const Profile *alias)
{
	/* (the check constraint that it is an object may have been dropped) */
	if (profile->value == NULL)
		profile->value = alias->value;
	else if (alias->value && JB_ROOT_IS_OBJECT(alias->value) && JB_ROOT_IS_OBJECT(profile->value))
		profile->value = DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(alias->value), JsonbPGetDatum(profile->value)));
	profile->exists |= alias->exists;
}

ArrayType *
keys_without(Jsonb *object, Jsonb *other)
{
	Datum	   *keys = palloc((JB_ROOT_COUNT(object) + 1) * sizeof(Datum));
	int			n = 0;
	JsonbIterator *it = JsonbIteratorInit(&object->root);
	JsonbValue	v;
	JsonbValue	ignored;
	JsonbIteratorToken token;

	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
		if (token == WJB_KEY &&
			(other == NULL || getKeyJsonValueFromContainer(&other->root, v.val.string.val, v.val.string.len, &ignored) == NULL))
			keys[n++] = PointerGetDatum(cstring_to_text_with_len(v.val.string.val, v.val.string.len));
	return construct_array(keys, n, TEXTOID, -1, false, TYPALIGN_INT);
}

/* ---------- one lead ---------- */

/* The columns of pending_profile. */
enum
{
	CHANGE_ID = 1,
	LEAD_ID,
	ATTRIBUTES,
	REMOVED,
	LOOK_AGAIN
};

void
pending_profiles_open(Pending *pending, Snapshot snapshot)
{
	pending_open_table(pending, "pending_profile", LEAD_ID, snapshot, NULL);
}

static int
number_compare(const void *a, const void *b)
{
	int64		x = ((const PendingChange *) a)->number;
	int64		y = ((const PendingChange *) b)->number;

	return (x > y) - (x < y);
}

/* Add a copy of a row of pending_profile. */
static void
add_row(PendingChanges *changes, TupleTableSlot *slot)
{
	PendingChange *added;

	if (changes->n == changes->capacity)
	{
		bool		first = changes->capacity == 0;

		changes->capacity = first ? 4 : changes->capacity * 2;
		changes->changes = first ? palloc(changes->capacity * sizeof(PendingChange)) :
			repalloc_huge(changes->changes, changes->capacity * sizeof(PendingChange));
	}
	added = &changes->changes[changes->n++];
	slot_getsomeattrs(slot, LOOK_AGAIN);
	added->number = DatumGetInt64(slot->tts_values[CHANGE_ID - 1]);
	added->row = slot->tts_tid;
	added->change.attributes = slot->tts_isnull[ATTRIBUTES - 1] ? NULL : DatumGetJsonbPCopy(slot->tts_values[ATTRIBUTES - 1]);
	added->change.removed = slot->tts_isnull[REMOVED - 1] ? NULL : DatumGetArrayTypePCopy(slot->tts_values[REMOVED - 1]);
	added->change.look_again = DatumGetBool(slot->tts_values[LOOK_AGAIN - 1]);
}

PendingChanges
pending_changes_of(Pending *pending, const text *lead_id, Snapshot seen, int limit)
{
	PendingChanges found = {.complete = true};
	Lookup	   *lookup = &pending->by_name;
	int			looked_at = 0;
	bool		is_there;

	if (pending->table == NULL)
		return found;
	if (!pending->may_look_up)
		return (PendingChanges) {.complete = false};
	lookup_begin(lookup, lead_id);
	while (lookup_next_entry(lookup, &is_there))
	{
		CHECK_FOR_INTERRUPTS();
		if (limit > 0 && looked_at++ >= limit)
		{
			found.n = 0;
			found.complete = false;
			break;
		}
		if (!is_there)
			continue;
		if (seen && !table_tuple_satisfies_snapshot(pending->table, lookup->slot, seen))
			found.complete = false;
		else
			add_row(&found, lookup->slot);
	}
	ExecClearTuple(lookup->slot);
	qsort(found.changes, found.n, sizeof(PendingChange), number_compare);
	return found;
}

void
pending_profiles_apply(Pending *pending, const text *lead_id, Profile *profile)
{
	PendingChanges found = pending_changes_of(pending, lead_id, NULL, 0);

	for (int i = 0; i < found.n; i++)
		profile_apply(profile, &found.changes[i].change);
}

/* ---------- many ---------- */

/* The pending changes of a lead. */
typedef struct PendingLead
{
	Label		lead_id;
	uint32		hash;
	char		status;
	PendingChanges changes;
} PendingLead;

/* The merged profiles of the aliases of a lead. */
typedef struct AliasedLead
{
	Label		lead_id;
	uint32		hash;
	char		status;
	Profile		profile;
} AliasedLead;

#define SH_PREFIX aliased
#define SH_ELEMENT_TYPE AliasedLead
#define SH_KEY lead_id
#include "label_table.h"

#define SH_PREFIX profiles
#define SH_ELEMENT_TYPE PendingLead
#define SH_KEY lead_id
#include "label_table.h"

/* All pending changes that a snapshot sees. */
typedef struct AllPending
{
	QueryCache	cache;
	bool		hidden;			/* the caller may not see pending changes */
	int			looked_up;		/* number of leads that were looked up by the index */
	profiles_hash *leads;		/* NULL: not read */
	aliased_hash *aliased;		/* leads whose aliases have profiles; NULL: none, or not read */
} AllPending;

bool
profiles_are_hidden(void)
{
	Oid			leads = our_table("lead");

	if (pg_class_aclcheck(leads, GetUserId(), ACL_SELECT) != ACLCHECK_OK &&
		pg_attribute_aclcheck_all(leads, GetUserId(), ACL_SELECT, ACLMASK_ALL) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, "lead");
	return check_enable_rls(leads, InvalidOid, true) == RLS_ENABLED;
}

static void
read_all(AllPending *all, Snapshot snapshot)
{
	Relation	table = table_open(our_table("pending_profile"), AccessShareLock);
	TableScanDesc scan = begin_table_scan(table, snapshot);
	TupleTableSlot *slot = table_slot_create(table, NULL);
	MemoryContext old = MemoryContextSwitchTo(all->cache.context);
	profiles_iterator it;
	PendingLead *lead;

	all->leads = profiles_create(all->cache.context, 64, NULL);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		bool		isnull;
		bool		found;
		text	   *lead_id = DatumGetTextPP(slot_getattr(slot, LEAD_ID, &isnull));

		CHECK_FOR_INTERRUPTS();
		lead = profiles_insert(all->leads, text_label(lead_id), &found);
		if (!found)
		{
			lead->lead_id.text = memcpy(palloc(Max(lead->lead_id.length, 1)), lead->lead_id.text, lead->lead_id.length);
			memset(&lead->changes, 0, sizeof(PendingChanges));
		}
		add_row(&lead->changes, slot);
	}
	profiles_start_iterate(all->leads, &it);
	while ((lead = profiles_iterate(all->leads, &it)) != NULL)
		qsort(lead->changes.changes, lead->changes.n, sizeof(PendingChange), number_compare);
	MemoryContextSwitchTo(old);
	ExecDropSingleTupleTableSlot(slot);
	table_endscan(scan);
	table_close(table, AccessShareLock);
}

/* Apply the pending changes of a name that have been read. */
static void
apply_read(AllPending *all, Label name, Profile *profile)
{
	PendingLead *lead = profiles_lookup(all->leads, name);

	for (int i = 0; lead && i < lead->changes.n; i++)
		profile_apply(profile, &lead->changes.changes[i].change);
}

/* Add a row of alias_profiles(); the aliases of a lead come in their order of precedence. */
static void
add_alias(AllPending *all, HeapTuple row, TupleDesc type)
{
	bool		no_profile;
	bool		isnull;
	Datum		stored = SPI_getbinval(row, type, 3, &no_profile);
	Profile		profile = {DatumGetBool(SPI_getbinval(row, type, 4, &isnull)), no_profile ? NULL : DatumGetJsonbPCopy(stored)};
	Label		alias = text_label(DatumGetTextPP(SPI_getbinval(row, type, 2, &isnull)));
	bool		found;
	AliasedLead *lead;

	apply_read(all, alias, &profile);
	if (!profile.exists)
		return;
	lead = aliased_insert(all->aliased, text_label(DatumGetTextPCopy(SPI_getbinval(row, type, 1, &isnull))), &found);
	if (!found)
		lead->profile = profile;
	else
		profile_add_alias(&lead->profile, &profile);
}

/* Read the profiles of aliases with the active snapshot. */
static void
read_aliases(AllPending *all)
{
	static SPIPlanPtr plan = NULL;

	if (!aliases_exist() && !must_look(GetActiveSnapshot()))
		return;
	SPI_connect();
	session_plan(&plan, "SELECT a.lead_id, a.alias, a.profile, a.is_there FROM leadscore_internal.alias_profiles() a", 0, NULL);
	if (SPI_execute_plan(plan, NULL, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the profiles of aliases");
	if (SPI_processed > 0)
	{
		MemoryContext old = MemoryContextSwitchTo(all->cache.context);

		all->aliased = aliased_create(all->cache.context, 64, NULL);
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			CHECK_FOR_INTERRUPTS();
			add_alias(all, SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
		}
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
}

/* The cache of the query, created if need be. */
static AllPending *
all_pending(FunctionCallInfo fcinfo)
{
	AllPending *all = query_cache_get(fcinfo);

	if (all == NULL)
	{
		bool		hidden = profiles_are_hidden();

		all = query_cache_new(fcinfo, sizeof(AllPending));
		all->hidden = hidden;
	}
	return all;
}

/* Add the profiles of the aliases of a lead, for one of the first leads of a query. */
static void
look_up_aliases(Pending *pending, const text *lead_id, Profile *profile)
{
	Relation	alias_table = table_open(our_table("lead_alias"), AccessShareLock);
	Relation	lead_table = table_open(our_table("lead"), AccessShareLock);
	Lookup		names;
	Lookup		leads;
	text	  **aliases;
	int			n;

	if (!lookup_open(&names, alias_table, 2, GetActiveSnapshot()) || !lookup_open(&leads, lead_table, 1, GetActiveSnapshot()))
		fail_for_index("lead has a primary key; lead_alias has an index on lead_id.");
	aliases = aliases_of(&names, lead_id, &n);
	for (int i = 0; i < n; i++)
	{
		Profile		alias = {false, NULL};

		lookup_begin(&leads, aliases[i]);
		if (lookup_next(&leads))
		{
			bool		isnull;
			Datum		value = slot_getattr(leads.slot, 2, &isnull);

			alias = (Profile) {true, isnull ? NULL : DatumGetJsonbPCopy(value)};
		}
		pending_profiles_apply(pending, aliases[i], &alias);
		profile_add_alias(profile, &alias);
	}
	lookup_close(&leads);
	lookup_close(&names);
	table_close(lead_table, AccessShareLock);
	table_close(alias_table, AccessShareLock);
}

/* Add the pending changes of a lead and the profiles of its aliases, for one of the first leads of a query. */
static void
look_up(const text *lead_id, Profile *profile)
{
	Pending		pending;

	pending_profiles_open(&pending, GetActiveSnapshot());
	if (pending.table && !pending.may_look_up)
		fail_for_index("pending_profile has an index on lead_id.");
	pending_profiles_apply(&pending, lead_id, profile);
	if (aliases_exist() || must_look(GetActiveSnapshot()))
		look_up_aliases(&pending, lead_id, profile);
	pending_close(&pending);
}

/* The result of with_pending_profile() for a row of lead. */
static Datum
result_of(FunctionCallInfo fcinfo, bool exists, Datum value)
{
	if (!exists)
		PG_RETURN_NULL();
	return value ? value : DirectFunctionCall1(jsonb_in, CStringGetDatum("null"));
}

/*
 * with_pending_profile(lead_id, profile, is_there): the profile of a lead with its
 * pending changes and the profiles of its aliases. The arguments are its row in lead;
 * "is_there" says whether there is one. Returns NULL if the lead has no row then, and
 * JSON null if the row has no profile.
 */
Datum
with_pending_profile(PG_FUNCTION_ARGS)
{
	bool		exists = !PG_ARGISNULL(2) && PG_GETARG_BOOL(2);
	Datum		stored = exists && !PG_ARGISNULL(1) ? PG_GETARG_DATUM(1) : (Datum) 0;
	AllPending *all;
	text	   *lead_id;
	Label		name;
	Profile		profile;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	lead_id = PG_GETARG_TEXT_PP(0);
	all = all_pending(fcinfo);
	if (all->hidden)
		return result_of(fcinfo, exists, stored);
	if (all->leads == NULL && all->looked_up >= FEW)
	{
		read_all(all, GetActiveSnapshot());
		read_aliases(all);
	}
	name = text_label(lead_id);
	if (all->leads && profiles_lookup(all->leads, name) == NULL && (all->aliased == NULL || aliased_lookup(all->aliased, name) == NULL))
		return result_of(fcinfo, exists, stored);

	profile = (Profile) {exists, stored ? DatumGetJsonbP(stored) : NULL};
	if (all->leads)
	{
		AliasedLead *lead = all->aliased ? aliased_lookup(all->aliased, name) : NULL;

		apply_read(all, name, &profile);
		if (lead)
			profile_add_alias(&profile, &lead->profile);
	}
	else
	{
		all->looked_up++;
		look_up(lead_id, &profile);
	}
	return result_of(fcinfo, profile.exists, JsonbPGetDatum(profile.value));
}
