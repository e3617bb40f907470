/*
 * catalog.c: what a session keeps of the configuration between statements.
 *
 * Both things kept are read with a snapshot of the moment, whatever the
 * transaction's isolation, so that they are as new as the last invalidation:
 * a cache filled with an old snapshot would stay stale. Triggers on the tables
 * send the invalidations; the callback only sets flags.
 */
#include "catalog.h"

#include "catalog/namespace.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(signals_changed);
PG_FUNCTION_INFO_V1(aliases_changed);

static SignalSet *signals = NULL;
static MemoryContext signals_context = NULL;
static Oid	signals_table = InvalidOid;
static bool signals_valid = false;

static bool aliases = false;
static Oid	aliases_table = InvalidOid;
static bool aliases_valid = false;

/* The OID of one of our tables. */
Oid
our_table(const char *name)
{
	return get_relname_relid(name, get_namespace_oid("leadscore", false));
}

static void
table_changed(Datum arg pg_attribute_unused(), Oid table)
{
	if (table == InvalidOid || table == signals_table)
		signals_valid = false;
	if (table == InvalidOid || table == aliases_table)
		aliases_valid = false;
}

/* Begin to watch; true if what is kept about a table is still good. */
static bool
still_valid(const char *name, Oid *table, bool *valid)
{
	static bool watching = false;
	Oid			now = our_table(name);

	if (!watching)
	{
		CacheRegisterRelcacheCallback(table_changed, (Datum) 0);
		watching = true;
	}
	if (*valid && *table == now)
		return true;
	*table = now;
	*valid = true;				/* an invalidation from here on resets it */
	return false;
}

/* The single value of a query, with a snapshot of the moment; SPI must be connected. */
static Datum
query_now(const char *query)
{
	Datum		result;
	bool		isnull;

	PushActiveSnapshot(GetLatestSnapshot());
	if (SPI_execute(query, true, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not execute \"%s\"", query);
	PopActiveSnapshot();
	result = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (isnull)
		elog(ERROR, "no result from \"%s\"", query);
	return result;
}

const SignalSet *
current_signals(void)
{
	MemoryContext context;
	SignalSet  *set;

	if (still_valid("signal", &signals_table, &signals_valid))
		return signals;

	PG_TRY();
	{
		MemoryContext old;
		Datum		document;

		SPI_connect();
		document = query_now("SELECT leadscore.signals()");
		/* hangs below this statement's memory until it is complete */
		context = AllocSetContextCreate(CurrentMemoryContext, "leadscore signals", ALLOCSET_SMALL_SIZES);
		old = MemoryContextSwitchTo(context);
		set = signal_set_compile((Jsonb *) PG_DETOAST_DATUM_COPY(document));
		MemoryContextSwitchTo(old);
		MemoryContextSetParent(context, TopMemoryContext);
		SPI_finish();
	}
	PG_CATCH();
	{
		signals_valid = false;
		PG_RE_THROW();
	}
	PG_END_TRY();

	if (signals_context)
		MemoryContextDelete(signals_context);
	signals_context = context;
	signals = set;
	return signals;
}

bool
aliases_exist(void)
{
	if (still_valid("lead_alias", &aliases_table, &aliases_valid))
		return aliases;

	PG_TRY();
	{
		SPI_connect();
		aliases = DatumGetBool(query_now("SELECT EXISTS (SELECT FROM leadscore.lead_alias)"));
		SPI_finish();
	}
	PG_CATCH();
	{
		aliases_valid = false;
		PG_RE_THROW();
	}
	PG_END_TRY();
	return aliases;
}

static TriggerData *
trigger_data(FunctionCallInfo fcinfo)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function %u was not called as a trigger", fcinfo->flinfo->fn_oid)));
	return (TriggerData *) fcinfo->context;
}

/* Trigger on the table signal: every session compiles the signals anew. */
Datum
signals_changed(PG_FUNCTION_ARGS)
{
	CacheInvalidateRelcache(trigger_data(fcinfo)->tg_relation);
	return PointerGetDatum(NULL);
}

/*
 * Trigger on the table lead_alias: sessions that believe that there are no
 * aliases must learn of the first one. Further ones change nothing for them, so
 * a busy shop's log-ins do not disturb its writers.
 */
Datum
aliases_changed(PG_FUNCTION_ARGS)
{
	TriggerData *data = trigger_data(fcinfo);

	if (!TRIGGER_FIRED_BY_INSERT(data->tg_event) || !aliases_valid || !aliases)
		CacheInvalidateRelcache(data->tg_relation);
	return PointerGetDatum(NULL);
}
