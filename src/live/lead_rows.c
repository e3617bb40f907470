/*
 * lead_rows.c: the rows of lead, for queries that read many leads.
 *
 * visible_lead asks two things of a name: what is its profile, and does its row of lead
 * make it a lead that has no timeline? Joins would cost each lead more than finding its
 * timeline does, even while lead is empty. So the first names of a query are looked up by
 * indexes. Then lead is read into a hash table, as far as hash tables may take memory;
 * names that are not in it are looked up.
 */
#include "live/profile.h"

#include "catalog.h"
#include "label.h"
#include "session_cache.h"
#include "live/current.h"
#include "live/partition.h"
#include "live/query_cache.h"

#include "access/table.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(stored_profile);
PG_FUNCTION_INFO_V1(has_only_profile);

typedef struct LeadRow
{
	Label		lead_id;
	uint32		hash;
	char		status;
	bool		has_more;		/* a timeline, or it is an alias */
	bool		has_pending;	/* so its row of lead_timeline does not tell */
	Jsonb	   *profile;		/* NULL: none, or not asked for */
} LeadRow;

#define SH_PREFIX rows
#define SH_ELEMENT_TYPE LeadRow
#define SH_KEY lead_id
#include "label_table.h"

/* The rows of lead, as of a snapshot. */
typedef struct LeadRows
{
	QueryCache	cache;
	bool		hidden;			/* policies bind the caller */
	int			looked_up;		/* names looked up by the index */
	bool		complete;		/* all rows are in the hash table */
	rows_hash  *rows;			/* NULL: not read yet */
} LeadRows;

/* Read rows of lead, as far as memory allows. */
static void
read_rows(LeadRows *all, bool profiles)
{
	Relation	table = table_open(our_table("lead"), AccessShareLock);
	TableScanDesc scan = begin_table_scan(table, GetActiveSnapshot());
	TupleTableSlot *slot = table_slot_create(table, NULL);
	MemoryContext old = MemoryContextSwitchTo(all->cache.context);

	all->rows = rows_create(all->cache.context, 64, NULL);
	all->complete = true;
	while (all->complete && table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		bool		isnull;
		bool		found;
		LeadRow    *row = rows_insert(all->rows, text_label(DatumGetTextPP(slot_getattr(slot, 1, &isnull))), &found);
		Datum		profile = slot_getattr(slot, 2, &isnull);

		CHECK_FOR_INTERRUPTS();
		row->lead_id.text = memcpy(palloc(Max(row->lead_id.length, 1)), row->lead_id.text, row->lead_id.length);
		row->has_more = row->has_pending = false;
		row->profile = isnull || !profiles ? NULL : DatumGetJsonbPCopy(profile);
		all->complete = MemoryContextMemAllocated(all->cache.context, true) <= get_hash_memory_limit();
	}
	MemoryContextSwitchTo(old);
	ExecDropSingleTupleTableSlot(slot);
	table_endscan(scan);
	table_close(table, AccessShareLock);
}

/* Whether the rows that were read answer for a name; if not, it is to be looked up by an index. */
static bool
are_read(LeadRows *all, bool profiles, void (*look) (LeadRows *))
{
	if (all->rows == NULL && all->looked_up < FEW)
	{
		all->looked_up++;
		return false;
	}
	if (all->rows == NULL)
	{
		read_rows(all, profiles);
		if (look)
			look(all);
	}
	return true;
}

/* ---------- profiles ---------- */

/* A lead's profile as a query by the caller finds it, so that row-level security applies. */
static Datum
profile_by_query(Datum lead_id)
{
	static SPIPlanPtr plan = NULL;
	MemoryContext caller = CurrentMemoryContext;
	Oid			types[1] = {TEXTOID};
	bool		isnull = true;
	Datum		profile = (Datum) 0;

	SPI_connect();
	session_plan(&plan, "SELECT l.profile FROM leadscore.lead l WHERE l.lead_id OPERATOR(pg_catalog.=) $1", 1, types);
	if (SPI_execute_plan(plan, &lead_id, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read a profile");
	if (SPI_processed == 1)
		profile = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (!isnull)
	{
		MemoryContext old = MemoryContextSwitchTo(caller);

		profile = PointerGetDatum(PG_DETOAST_DATUM_COPY(profile));
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	return isnull ? (Datum) 0 : profile;
}

static Datum
look_up_profile(const text *lead_id)
{
	Relation	table = table_open(our_table("lead"), AccessShareLock);
	Lookup		lookup;
	Datum		profile;

	if (!lookup_open(&lookup, table, 1, GetActiveSnapshot()))
		fail_for_index("lead has a primary key.");
	profile = lookup_value(&lookup, lead_id, 2);
	lookup_close(&lookup);
	table_close(table, AccessShareLock);
	return profile;
}

/* stored_profile(lead_id): the profile in a name's row of lead; NULL: it has none. */
Datum
stored_profile(PG_FUNCTION_ARGS)
{
	LeadRows   *all = query_cache_get(fcinfo);
	text	   *lead_id = PG_GETARG_TEXT_PP(0);
	Datum		profile;

	if (all == NULL)
	{
		bool		hidden = profiles_are_hidden();

		all = query_cache_new(fcinfo, sizeof(LeadRows));
		all->hidden = hidden;
	}
	if (all->hidden)
		profile = profile_by_query(PointerGetDatum(lead_id));
	else if (are_read(all, true, NULL))
	{
		LeadRow    *row = rows_lookup(all->rows, text_label(lead_id));

		profile = row ? JsonbPGetDatum(row->profile) : all->complete ? (Datum) 0 : look_up_profile(lead_id);
	}
	else
		profile = look_up_profile(lead_id);
	if (profile == (Datum) 0)
		PG_RETURN_NULL();
	return profile;
}

/* ---------- leads without a timeline ---------- */

static void
mark_more(LeadRows *all, Current *current pg_attribute_unused(), const text *name)
{
	LeadRow    *row = rows_lookup(all->rows, text_label(name));

	if (row)
		row->has_more = true;
}

/* Mark the lead of a pending delta. (An alias has more in any case.) */
static void
mark_pending(LeadRows *all, Current *current, const text *name)
{
	text	   *target = current_lead_of(current, name);
	LeadRow    *row = rows_lookup(all->rows, text_label(target ? target : name));

	if (row)
		row->has_pending = true;
}

/* Mark the rows of the names in the first column of a table. */
static void
mark_rows(LeadRows *all, Oid table_id, Current *current, void (*mark) (LeadRows *, Current *, const text *))
{
	Relation	table = table_open(table_id, AccessShareLock);
	TableScanDesc scan = begin_table_scan(table, GetActiveSnapshot());
	TupleTableSlot *slot = table_slot_create(table, NULL);
	bool		isnull;

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		mark(all, current, DatumGetTextPP(slot_getattr(slot, 1, &isnull)));
	}
	ExecDropSingleTupleTableSlot(slot);
	table_endscan(scan);
	table_close(table, AccessShareLock);
}

/* Mark all rows that have been read. */
static void
mark_all(LeadRows *all)
{
	Relation	timelines = table_open(our_table("lead_timeline"), AccessShareLock);
	Current    *current = current_open_or_fail(timelines, GetActiveSnapshot());
	Oid		   *tables;
	int			ntables = partition_tables(timelines, &tables);

	for (int i = 0; i < ntables; i++)
		mark_rows(all, tables[i], NULL, mark_more);
	if (ntables == 0)
		mark_rows(all, RelationGetRelid(timelines), NULL, mark_more);
	mark_rows(all, our_table("lead_alias"), NULL, mark_more);
	mark_rows(all, our_table("pending_delta"), current, mark_pending);
	current_close(current);
	table_close(timelines, AccessShareLock);
}

static bool
look_up_has_only_profile(const text *name)
{
	Relation	timelines = table_open(our_table("lead_timeline"), AccessShareLock);
	Current    *current = current_open_or_fail(timelines, GetActiveSnapshot());
	bool		only = current_lead_of(current, name) == NULL && current_timeline(current, name) == NULL;

	current_close(current);
	table_close(timelines, AccessShareLock);
	return only;
}

/* has_only_profile(lead_id): whether a name, which has a row of lead, is no alias and has no timeline. */
Datum
has_only_profile(PG_FUNCTION_ARGS)
{
	LeadRows   *all = query_cache_get(fcinfo);
	text	   *name = PG_GETARG_TEXT_PP(0);
	LeadRow    *row = NULL;

	if (all == NULL)
	{
		check_timeline_rights();
		all = query_cache_new(fcinfo, sizeof(LeadRows));
	}
	if (are_read(all, false, mark_all))
		row = rows_lookup(all->rows, text_label(name));
	if (row != NULL && !row->has_pending)
		PG_RETURN_BOOL(!row->has_more);
	PG_RETURN_BOOL(look_up_has_only_profile(name));
}
