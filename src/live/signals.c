/*
 * signals.c: the signals that a session keeps between statements.
 *
 * They are read with the latest snapshot at every isolation level, so that they are
 * as new as the last invalidation: a cache filled with an old snapshot would stay
 * stale. A trigger on the table sends the invalidations.
 */
#include "live/signals.h"

#include "catalog.h"
#include "session_cache.h"

#include "commands/trigger.h"
#include "executor/spi.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(signals_changed);

static SessionCache signals = {.name = "leadscore signals"};

/* Read the signals with the latest snapshot, and compile them. */
static void *
load_signals(SessionCache *cache pg_attribute_unused(), void *arg pg_attribute_unused())
{
	MemoryContext context = CurrentMemoryContext;
	Datum		document;
	bool		isnull;
	SignalSet  *set;

	SPI_connect();
	PushActiveSnapshot(GetLatestSnapshot());
	if (SPI_execute("SELECT leadscore.signals()", true, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not read the signals");
	PopActiveSnapshot();
	document = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (isnull)
		elog(ERROR, "leadscore.signals() is NULL");
	MemoryContextSwitchTo(context);
	set = signal_set_compile((Jsonb *) PG_DETOAST_DATUM_COPY(document));
	SPI_finish();
	return set;
}

const SignalSet *
current_signals(void)
{
	return session_cache_get(&signals, our_table("signal"), load_signals, NULL);
}

/*
 * Trigger on the tables that signals() reads, signal and compaction: makes every
 * session compile the signals again. Sessions watch only the table signal, so a change
 * of either table invalidates signal.
 */
Datum
signals_changed(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"signals_changed\" was not called as a trigger")));
	CacheInvalidateRelcacheByRelid(our_table("signal"));
	return PointerGetDatum(NULL);
}
