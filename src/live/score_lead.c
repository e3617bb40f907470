/*
 * score_lead.c: the score of one lead, by its name.
 *
 * Planning and executing queries for the model, timeline and profile would cost many
 * times as much as computing the score. So each is looked up by its index, with the
 * query's snapshot and the caller's rights. If a row-level security policy may apply,
 * or a table has been altered, score_by_query() runs a query instead.
 */
#include "catalog.h"
#include "lookup.h"
#include "session_cache.h"
#include "live/current.h"
#include "live/profile.h"
#include "model/appraise.h"

#include "access/table.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(score_lead);

/* Open one of our tables for reading; NULL if a query must read it, because of rights, policies or its relkind. */
static Relation
open_to_read(const char *name)
{
	Relation	table = table_open(our_table(name), AccessShareLock);

	if (table->rd_rel->relkind == RELKIND_RELATION && OidIsValid(table->rd_rel->relam) &&
		pg_class_aclcheck(RelationGetRelid(table), GetUserId(), ACL_SELECT) == ACLCHECK_OK &&
		(!table->rd_rel->relrowsecurity || check_enable_rls(RelationGetRelid(table), InvalidOid, false) != RLS_ENABLED))
		return table;
	table_close(table, AccessShareLock);
	return NULL;
}

/*
 * Look up a row by its primary key, one text column. *value is its second column, or 0
 * if there is no row or it is NULL. False if a query must look it up.
 */
static bool
look_up(const char *name, const text *key, Datum *value)
{
	Relation	table = open_to_read(name);
	Lookup		lookup;
	bool		can;

	if (table == NULL)
		return false;
	can = lookup_open(&lookup, table, 1, GetActiveSnapshot());
	*value = (Datum) 0;
	if (can)
	{
		lookup_begin(&lookup, key);
		if (lookup_next(&lookup))
		{
			bool		isnull;
			Datum		found = slot_getattr(lookup.slot, 2, &isnull);

			/* copied as stored: a compiled scorecard is found by these bytes, without detoasting them */
			if (!isnull)
				*value = datumCopy(found, false, -1);
		}
		lookup_close(&lookup);
	}
	table_close(table, AccessShareLock);
	return can;
}

/*
 * The profile of a name with its pending changes, 0 if it has none; false if a query must
 * look it up. A user with SELECT on lead may see pending changes, too.
 */
static bool
look_up_profile_of(const text *name, Datum *value)
{
	Pending		pending;
	Profile		profile;
	bool		can;

	if (!look_up("lead", name, value))
		return false;
	pending_profiles_open(&pending, GetActiveSnapshot());
	can = pending.table == NULL || pending.may_look_up;
	if (can && pending.table)
	{
		/* (it makes no difference whether there is a row without a profile) */
		profile = (Profile) {*value != 0, *value ? DatumGetJsonbP(*value) : NULL};
		pending_profiles_apply(&pending, name, &profile);
		*value = JsonbPGetDatum(profile.value);
	}
	pending_close(&pending);
	return can;
}

/* The same for a lead, with the profiles of its aliases. */
static bool
look_up_profile(const text *lead_id, text **aliases, int n, Datum *value)
{
	if (!look_up_profile_of(lead_id, value))
		return false;
	for (int i = 0; i < n; i++)
	{
		Profile		profile = {true, *value ? DatumGetJsonbP(*value) : NULL};
		Profile		alias = {true, NULL};
		Datum		found;

		if (!look_up_profile_of(aliases[i], &found))
			return false;
		if (found == 0)
			continue;
		alias.value = DatumGetJsonbP(found);
		profile_add_alias(&profile, &alias);
		*value = JsonbPGetDatum(profile.value);
	}
	return true;
}

static bool
may_read(const char *name)
{
	Relation	table = open_to_read(name);

	if (table)
		table_close(table, AccessShareLock);
	return table != NULL;
}

/*
 * Look up the lead that a name stands for, its aliases, its timeline (NULL: none), and
 * whether it is excluded; false if a query must look them up.
 */
static bool
look_up_timeline(text **lead_id, text ***aliases, int *naliases, Datum *timeline, bool *excluded)
{
	Relation	timelines = open_to_read("lead_timeline");
	Current    *current;
	text	   *lead;

	if (timelines == NULL)
		return false;
	if (!may_read("lead_alias") || !may_read("pending_delta") ||
		(current = current_open(timelines, GetActiveSnapshot())) == NULL)
	{
		table_close(timelines, AccessShareLock);
		return false;
	}
	lead = current_lead_of(current, *lead_id);
	if (lead)
		*lead_id = lead;
	*timeline = PointerGetDatum(current_timeline(current, *lead_id));
	*aliases = current_aliases(current, *lead_id, naliases);
	*excluded = current_is_excluded(current, *lead_id);
	current_close(current);
	table_close(timelines, AccessShareLock);
	return true;
}

/* Whether policies on events apply to the caller; the caller needs no right to read events for this check. */
static bool
events_are_hidden(void)
{
	return check_enable_rls(our_table("event"), InvalidOid, true) == RLS_ENABLED;
}

/* The score by a query, whose plan the session keeps. */
static Datum
score_by_query(FunctionCallInfo fcinfo)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[3] = {TEXTOID, TEXTOID, TIMESTAMPTZOID};
	Datum		arguments[3] = {PG_GETARG_DATUM(0), PG_GETARG_DATUM(1), PG_GETARG_DATUM(2)};
	bool		isnull;
	Datum		result;

	SPI_connect();
	session_plan(&plan, "SELECT leadscore_internal.score_by_query($1, $2, $3)", 3, types);
	if (SPI_execute_plan(plan, arguments, NULL, true, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not score a lead");
	result = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	SPI_finish();
	if (isnull)
		PG_RETURN_NULL();
	return result;
}

/* score(lead_id, model, at) */
Datum
score_lead(PG_FUNCTION_ARGS)
{
	/* call the core's score() with an FmgrInfo of our own, so that the session keeps no extra scorecards */
	FmgrInfo	core = {.fn_addr = score, .fn_nargs = 4, .fn_mcxt = CurrentMemoryContext};
	text	   *lead_id = PG_GETARG_TEXT_PP(0);
	Datum		card;
	Datum		timeline;
	Datum		profile;
	Datum		result;
	text	  **aliases;
	int			naliases;
	bool		excluded;
	LOCAL_FCINFO(call, 4);

	if (events_are_hidden() || !look_up_timeline(&lead_id, &aliases, &naliases, &timeline, &excluded) ||
		!look_up("model_document", PG_GETARG_TEXT_PP(1), &card) || card == 0 || !look_up_profile(lead_id, aliases, naliases, &profile))
		return score_by_query(fcinfo);
	if (excluded)
		PG_RETURN_NULL();

	InitFunctionCallInfoData(*call, &core, 4, InvalidOid, NULL, NULL);
	call->args[0] = (NullableDatum) {card, false};
	call->args[1] = (NullableDatum) {timeline, timeline == 0};
	call->args[2] = (NullableDatum) {profile, profile == 0};
	call->args[3] = (NullableDatum) {PG_GETARG_DATUM(2), false};
	result = FunctionCallInvoke(call);
	if (call->isnull)
		PG_RETURN_NULL();
	return result;
}
