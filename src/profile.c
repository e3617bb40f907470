/*
 * profile.c: the trigger that keeps lead.profile true to a table of customers.
 *
 * A row's attributes are merged into the profile of its lead; those of an old
 * row are taken out first. As in record.c, rows are read as the user who wrote
 * them, whole tables as their owner, and only our own tables are written as
 * ours.
 */
#include "catalog.h"
#include "delta.h"
#include "source.h"

#include "access/table.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(record_profile);
PG_FUNCTION_INFO_V1(add_profiles);

/* Two arrays side by side, text[] and jsonb[], of at most so many bytes: an array has a limit. */
#define CHUNK_BYTES (100 * 1024 * 1024)

typedef struct ProfileChunk
{
	ArrayBuildState *lead_ids;
	ArrayBuildState *profiles;
	Datum		arrays[2];		/* once it is complete */
	Size		bytes;
} ProfileChunk;

/* Profiles of leads. */
typedef struct Profiles
{
	MemoryContext context;
	List	   *chunks;
} Profiles;

static void
add_profile(Profiles *profiles, Datum lead_id, Datum profile)
{
	MemoryContext old = MemoryContextSwitchTo(profiles->context);
	ProfileChunk *chunk = profiles->chunks ? llast(profiles->chunks) : NULL;

	if (chunk == NULL || chunk->bytes > CHUNK_BYTES)
	{
		chunk = palloc0(sizeof(ProfileChunk));
		profiles->chunks = lappend(profiles->chunks, chunk);
	}
	chunk->lead_ids = accumArrayResult(chunk->lead_ids, lead_id, false, TEXTOID, profiles->context);
	chunk->profiles = accumArrayResult(chunk->profiles, profile, false, JSONBOID, profiles->context);
	chunk->bytes += LEAD_ID_MAX + VARSIZE_ANY(DatumGetPointer(profile));
	MemoryContextSwitchTo(old);
}

/* Take a row. */
static void
collect_profile(Source *source, TupleTableSlot *slot, void *argument)
{
	SourceRow	row;
	Jsonb	   *profile = source_read_profile(source, slot, &row);

	if (profile)
		add_profile(argument, PointerGetDatum(cstring_to_text_with_len(row.lead_id, row.lead_id_length)), JsonbPGetDatum(profile));
}

/* Collect the rows of a transition table. */
static void
collect_profiles(Profiles *profiles, Source *source, Tuplestorestate *rows, TupleDesc row_type)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(row_type, &TTSOpsMinimalTuple);

	tuplestore_rescan(rows);
	while (tuplestore_gettupleslot(rows, true, false, slot))
	{
		CHECK_FOR_INTERRUPTS();
		collect_profile(source, slot, profiles);
	}
	ExecDropSingleTupleTableSlot(slot);
}

/* Collect the rows of a whole table, with a snapshot of the moment. */
static void
collect_table(Profiles *profiles, Relation relation, Jsonb *mapping, bool with_children)
{
	PushActiveSnapshot(GetLatestSnapshot());
	source_read_table(relation, mapping, with_children, 0, 0, "its rows are left out", collect_profile, profiles);
	PopActiveSnapshot();
}

/* Run a statement over profiles, as our owner. */
static void
write_profiles(const char *command, Profiles *profiles, int expected)
{
	Oid			types[2] = {TEXTARRAYOID, get_array_type(JSONBOID)};
	ListCell   *cell;

	SPI_connect();
	foreach(cell, profiles->chunks)
	{
		ProfileChunk *chunk = lfirst(cell);

		if (chunk->arrays[0] == (Datum) 0)
		{
			chunk->arrays[0] = makeArrayResult(chunk->lead_ids, profiles->context);
			chunk->arrays[1] = makeArrayResult(chunk->profiles, profiles->context);
		}
		if (SPI_execute_with_args(command, 2, types, chunk->arrays, NULL, false, 0) != expected)
			elog(ERROR, "could not write profiles");
	}
	SPI_finish();
}

/*
 * Take the attributes of old rows out of the profiles, then merge those of new
 * rows into them. Where a lead has several rows, one is taken.
 */
static void
change_profiles(Profiles *old_rows, Profiles *new_rows, Oid us)
{
	Identity	before = become(us, 0);

	write_profiles("UPDATE leadscore.lead AS l"
				   " SET profile = l.profile OPERATOR(pg_catalog.-) ARRAY(SELECT pg_catalog.jsonb_object_keys(o.profile))"
				   " FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) AS o (lead_id, profile)"
				   " WHERE l.lead_id OPERATOR(pg_catalog.=) o.lead_id AND l.profile IS NOT NULL",
				   old_rows, SPI_OK_UPDATE);
	write_profiles("INSERT INTO leadscore.lead AS l (lead_id, profile)"
				   " SELECT DISTINCT ON (n.lead_id COLLATE pg_catalog.\"C\") n.lead_id, n.profile"
				   " FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) AS n (lead_id, profile)"
				   " ORDER BY n.lead_id COLLATE pg_catalog.\"C\", n.profile"
				   " ON CONFLICT (lead_id) DO UPDATE"
				   " SET profile = COALESCE(l.profile, '{}') OPERATOR(pg_catalog.||) excluded.profile",
				   new_rows, SPI_OK_INSERT);
	write_profiles("DELETE FROM leadscore.lead AS l"
				   " USING ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) AS o (lead_id, profile)"
				   " WHERE l.lead_id OPERATOR(pg_catalog.=) o.lead_id AND l.profile OPERATOR(pg_catalog.=) '{}'",
				   old_rows, SPI_OK_DELETE);
	become_again(before);
}

/* AFTER INSERT/UPDATE/DELETE FOR EACH STATEMENT, BEFORE TRUNCATE, on a table of customers. */
Datum
record_profile(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;
	Profiles	old_rows = {.context = NULL};
	Profiles	new_rows = {.context = NULL};
	Source	   *source;
	MemoryContext context;
	MemoryContext old;
	int			settings;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_STATEMENT(data->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"record_profile\" was not called as a statement trigger"),
				 errhint("Use leadscore.track_profile() to make the triggers of a table.")));
	source = source_of_trigger(data->tg_trigger, data->tg_relation);
	if (source_has_problem(source, data->tg_relation, "its rows are no profiles"))
		return PointerGetDatum(NULL);

	context = AllocSetContextCreate(CurrentMemoryContext, "leadscore profiles", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	old_rows.context = new_rows.context = context;
	if (TRIGGER_FIRED_BY_TRUNCATE(data->tg_event))
		collect_table(&old_rows, data->tg_relation, mapping_of(data->tg_trigger), false);
	settings = NewGUCNestLevel();
	if (source->pinned_settings)
		pin_settings();
	if (data->tg_oldtable)
		collect_profiles(&old_rows, source, data->tg_oldtable, RelationGetDescr(data->tg_relation));
	if (data->tg_newtable)
		collect_profiles(&new_rows, source, data->tg_newtable, RelationGetDescr(data->tg_relation));
	AtEOXact_GUC(false, settings);
	change_profiles(&old_rows, &new_rows, our_owner());
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return PointerGetDatum(NULL);
}

/*
 * add_profiles(source, mapping, with_children, subtract): merge the rows of a
 * table into the profiles, or take them out.
 */
Datum
add_profiles(PG_FUNCTION_ARGS)
{
	Profiles	rows = {.context = CurrentMemoryContext};
	Profiles	none = {.context = CurrentMemoryContext};
	Relation	relation = source_open(PG_GETARG_OID(0));
	Oid			us = our_owner();

	collect_table(&rows, relation, PG_GETARG_JSONB_P(1), PG_GETARG_BOOL(2));
	change_profiles(PG_GETARG_BOOL(3) ? &rows : &none, PG_GETARG_BOOL(3) ? &none : &rows, us);
	table_close(relation, NoLock);
	PG_RETURN_VOID();
}
