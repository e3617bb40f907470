/*
 * exclusion.c: leads that are left out of all scores: rows of excluded_lead.
 *
 * A row names a lead, or one of its aliases. Names are resolved when they are read, so it
 * does not matter whether a name was excluded before or after it became an alias.
 * Timelines of excluded leads are kept like all others; everything that shows or uses
 * scores calls is_excluded(), or current_is_excluded() in C.
 *
 * That a lead is excluded is not a secret: privileges and policies on excluded_lead
 * control who may read the reasons. Hiding a row from a user does not put the lead back
 * in that user's lists.
 */
#include "live/commit.h"
#include "live/current.h"
#include "live/query_cache.h"

#include "catalog.h"
#include "label.h"

#include "access/table.h"
#include "commands/trigger.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(anybody_excluded);
PG_FUNCTION_INFO_V1(is_excluded);
PG_FUNCTION_INFO_V1(exclusion_changed);

static bool
may_be_excluded(void)
{
	return table_has_pages("excluded_lead") || must_look(GetActiveSnapshot());
}

/* anybody_excluded(): false: no lead is excluded; true: some may be. One call per query saves all other checks. */
Datum
anybody_excluded(PG_FUNCTION_ARGS pg_attribute_unused())
{
	PG_RETURN_BOOL(may_be_excluded());
}

typedef struct ExcludedName
{
	Label		name;
	uint32		hash;
	char		status;
} ExcludedName;

#define SH_PREFIX names
#define SH_ELEMENT_TYPE ExcludedName
#define SH_KEY name
#include "label_table.h"

/* All names of excluded leads, as of a snapshot. */
typedef struct Excluded
{
	QueryCache	cache;
	int			looked_up;		/* names looked up by the index */
	bool		exist;			/* a lead may be excluded */
	names_hash *names;			/* NULL: not read yet */
} Excluded;

static void
add_name(Excluded *excluded, const text *name)
{
	bool		found;
	Label		label = text_label(name);
	ExcludedName *added = names_insert(excluded->names, label, &found);

	if (!found)
		added->name.text = memcpy(MemoryContextAlloc(excluded->cache.context, Max(label.length, 1)), label.text, label.length);
}

/* Add the lead that a row excludes, with its aliases. */
static void
add_row(Excluded *excluded, Current *current, const text *name)
{
	text	   *target = current_lead_of(current, name);
	int			n;
	text	  **aliases = current_aliases(current, target ? target : name, &n);

	add_name(excluded, target ? target : name);
	for (int i = 0; i < n; i++)
		add_name(excluded, aliases[i]);
}

static void
read_all(Excluded *excluded, Current *current)
{
	Relation	table = table_open(our_table("excluded_lead"), AccessShareLock);
	TableScanDesc scan = begin_table_scan(table, GetActiveSnapshot());
	TupleTableSlot *slot = table_slot_create(table, NULL);
	MemoryContext scratch = AllocSetContextCreate(excluded->cache.context, "leadscore excluded row", ALLOCSET_DEFAULT_SIZES);

	excluded->names = names_create(excluded->cache.context, 64, NULL);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		MemoryContext old = MemoryContextSwitchTo(scratch);
		bool		isnull;

		CHECK_FOR_INTERRUPTS();
		add_row(excluded, current, DatumGetTextPP(slot_getattr(slot, 1, &isnull)));
		MemoryContextSwitchTo(old);
		MemoryContextReset(scratch);
	}
	ExecDropSingleTupleTableSlot(slot);
	table_endscan(scan);
	MemoryContextDelete(scratch);
	table_close(table, AccessShareLock);
}

/* Whether a name is excluded: the first few names of a query are looked up one by one, then all are read. */
static bool
look_up(Excluded *excluded, const text *name)
{
	Relation	timelines;
	Current    *current;
	text	   *target;
	bool		found = false;

	if (excluded->names)
		return names_lookup(excluded->names, text_label(name)) != NULL;
	timelines = table_open(our_table("lead_timeline"), AccessShareLock);
	current = current_open_or_fail(timelines, GetActiveSnapshot());
	if (excluded->looked_up++ < FEW)
	{
		target = current_lead_of(current, name);
		found = current_is_excluded(current, target ? target : name);
	}
	else
	{
		read_all(excluded, current);
		found = names_lookup(excluded->names, text_label(name)) != NULL;
	}
	current_close(current);
	table_close(timelines, AccessShareLock);
	return found;
}

/* is_excluded(name): whether a lead, or the lead of an alias, is excluded under any of its names. */
Datum
is_excluded(PG_FUNCTION_ARGS)
{
	Excluded   *excluded = query_cache_get(fcinfo);

	if (excluded == NULL)
	{
		excluded = query_cache_new(fcinfo, sizeof(Excluded));
		excluded->exist = may_be_excluded();
	}
	PG_RETURN_BOOL(excluded->exist && look_up(excluded, PG_GETARG_TEXT_PP(0)));
}

static void
touch(Relation table, HeapTuple row)
{
	bool		isnull;
	Datum		name = heap_getattr(row, 1, RelationGetDescr(table), &isnull);

	if (!isnull)
		remember_touched(DatumGetTextPP(name), CAUSE_IDENTITY);
}

/*
 * Row trigger on excluded_lead: the lead leaves its segment, or enters one again, before
 * the transaction commits. (After a TRUNCATE, the next refresh_segments() or
 * see_changes() finds it.)
 */
Datum
exclusion_changed(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_ROW(data->tg_event) || !TRIGGER_FIRED_AFTER(data->tg_event) ||
		RelationGetRelid(data->tg_relation) != our_table("excluded_lead"))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"exclusion_changed\" was not called by its trigger")));
	if (!in_restore())
	{
		touch(data->tg_relation, data->tg_trigtuple);
		if (TRIGGER_FIRED_BY_UPDATE(data->tg_event))
			touch(data->tg_relation, data->tg_newtuple);
	}
	return PointerGetDatum(NULL);
}
