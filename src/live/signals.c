/*
 * signals.c: the signals that a session keeps between statements.
 *
 * They are read with the latest snapshot at every isolation level, so that they are
 * as new as the last invalidation: a cache filled with an old snapshot would stay
 * stale. A trigger on the table sends the invalidations.
 *
 * Planning and running signals() is the most expensive part of a session's first event.
 * So unless something is archived or compacted, its document is put together here.
 */
#include "live/signals.h"

#include "catalog.h"
#include "session_cache.h"

#include "access/table.h"
#include "access/tableam.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(signals_changed);

static SessionCache signals = {.name = "leadscore signals"};

/* ---------- the document ---------- */

/* Members of a signal in the document, and columns of its table, that are text; the last is a jsonpath. */
static const char *const text_members[] = {"signal", "kind", "condition"};

#define TEXT_MEMBERS ((int) lengthof(text_members))

/* An event signal. */
typedef struct SignalRow
{
	int32		signal_id;
	char	   *texts[TEXT_MEMBERS];	/* NULL: the column is NULL */
	Jsonb	   *match;
} SignalRow;

static int
signal_row_compare(const void *a, const void *b)
{
	int32		x = ((const SignalRow *) a)->signal_id;
	int32		y = ((const SignalRow *) b)->signal_id;

	return (x > y) - (x < y);
}

/* A column of table signal; 0: it is NULL. By the row type, as a first look-up in pg_attribute is dear. */
static Datum
column_of(TupleTableSlot *slot, const char *column)
{
	TupleDesc	row = slot->tts_tupleDescriptor;
	Datum		value;
	bool		isnull;
	int			i = 0;

	while (i < row->natts && (TupleDescAttr(row, i)->attisdropped || strcmp(NameStr(TupleDescAttr(row, i)->attname), column) != 0))
		i++;
	if (i == row->natts)
		elog(ERROR, "table signal has no column \"%s\"", column);
	value = slot_getattr(slot, i + 1, &isnull);
	return isnull ? (Datum) 0 : value;
}

/* Read a row of table signal; false if it is no signal of events. */
static bool
read_signal(TupleTableSlot *slot, SignalRow *row)
{
	Datum		match = column_of(slot, "match");

	if (strcmp(TextDatumGetCString(column_of(slot, "subject")), "event") != 0)
		return false;
	row->signal_id = DatumGetInt32(column_of(slot, "signal_id"));
	row->match = match ? DatumGetJsonbPCopy(match) : NULL;
	for (int i = 0; i < TEXT_MEMBERS; i++)
	{
		Datum		value = column_of(slot, text_members[i]);

		row->texts[i] = value == (Datum) 0 ? NULL : i < TEXT_MEMBERS - 1 ? TextDatumGetCString(value)
			: DatumGetCString(DirectFunctionCall1(jsonpath_out, value));
	}
	return true;
}

/* The event signals by their numbers, as the active snapshot sees them. */
static SignalRow *
read_signals(int *n)
{
	Relation	table = table_open(our_table("signal"), AccessShareLock);
	TupleTableSlot *slot = table_slot_create(table, NULL);
	TableScanDesc scan = begin_table_scan(table, GetActiveSnapshot());
	int			capacity = 16;
	SignalRow  *rows = palloc(capacity * sizeof(SignalRow));

	*n = 0;
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		if (*n == capacity)
			rows = repalloc(rows, (capacity *= 2) * sizeof(SignalRow));
		*n += read_signal(slot, &rows[*n]);
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	table_close(table, NoLock);
	qsort(rows, *n, sizeof(SignalRow), signal_row_compare);
	return rows;
}

static void
push_string(JsonbBuilder *json, JsonbIteratorToken token, const char *string)
{
	JsonbValue	value = {.type = jbvString};

	value.val.string.val = unconstify(char *, string);
	value.val.string.len = strlen(string);
	push_jsonb(json, token, &value);
}

static void
push_signal(JsonbBuilder *json, const SignalRow *row)
{
	JsonbValue	value = {.type = jbvNumeric};

	push_jsonb(json, WJB_BEGIN_OBJECT, NULL);
	push_string(json, WJB_KEY, "signal_id");
	value.val.numeric = int64_to_numeric(row->signal_id);
	push_jsonb(json, WJB_VALUE, &value);
	for (int i = 0; i < TEXT_MEMBERS; i++)
		if (row->texts[i])
		{
			push_string(json, WJB_KEY, text_members[i]);
			push_string(json, WJB_VALUE, row->texts[i]);
		}
	if (row->match)
	{
		push_string(json, WJB_KEY, "match");
		JsonbToJsonbValue(row->match, &value);
		push_jsonb(json, WJB_VALUE, &value);
	}
	push_jsonb(json, WJB_END_OBJECT, NULL);
}

/* signals(), where nothing is archived or compacted. */
static Jsonb *
signals_by_scan(void)
{
	int			n;
	SignalRow  *rows = read_signals(&n);
	JsonbBuilder json = {0};

	push_jsonb(&json, WJB_BEGIN_OBJECT, NULL);
	push_string(&json, WJB_KEY, "signals");
	push_jsonb(&json, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < n; i++)
		push_signal(&json, &rows[i]);
	push_jsonb(&json, WJB_END_ARRAY, NULL);
	push_jsonb(&json, WJB_END_OBJECT, NULL);
	return JsonbValueToJsonb(json.result);
}

static Jsonb *
signals_by_query(void)
{
	MemoryContext context = CurrentMemoryContext;
	Jsonb	   *document;
	bool		isnull;
	Datum		value;

	SPI_connect();
	if (SPI_execute("SELECT leadscore.signals()", true, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not read the signals");
	value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (isnull)
		elog(ERROR, "leadscore.signals() is NULL");
	MemoryContextSwitchTo(context);
	document = DatumGetJsonbPCopy(value);
	SPI_finish();
	return document;
}

/* Whether the document has more than signals; the library may be newer than the extension's tables. */
static bool
has_more(void)
{
	return table_has_pages("archive") || table_has_pages("compaction") ||
		!OidIsValid(our_table("archiving")) || table_has_pages("archiving");
}

/* ---------- what a session keeps ---------- */

/* Read the signals with the latest snapshot, and compile them. */
static void *
load_signals(SessionCache *cache pg_attribute_unused(), void *arg pg_attribute_unused())
{
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "leadscore signals", ALLOCSET_DEFAULT_SIZES);
	MemoryContext context = MemoryContextSwitchTo(scratch);
	Jsonb	   *document;
	SignalSet  *set;

	PushActiveSnapshot(GetLatestSnapshot());
	document = has_more() ? signals_by_query() : signals_by_scan();
	Assert(compareJsonbContainers(&document->root, &signals_by_query()->root) == 0);
	PopActiveSnapshot();
	MemoryContextSwitchTo(context);
	set = signal_set_compile(DatumGetJsonbPCopy(JsonbPGetDatum(document)));
	MemoryContextDelete(scratch);
	return set;
}

const SignalSet *
current_signals(void)
{
	return session_cache_get(&signals, our_table("signal"), load_signals, NULL);
}

/*
 * Trigger on the tables that signals() reads, signal and compaction among them, and on
 * derivation: makes every session compile the signals again, and look for rules (see
 * is_derived_from()). Sessions watch only the table signal, so a change of any of these
 * tables invalidates signal.
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
