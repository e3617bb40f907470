/*
 * record.c: the trigger that keeps timelines true.
 *
 *     statement's rows ──source──▶ events ──signals──▶ one delta a lead
 *                                                        │ in lead_id order
 *                                                        ▼
 *                                  lead_timeline.timeline + delta
 *
 * New rows are added and old rows subtracted, so that an UPDATE of anything
 * comes out right, and one that changes nothing that counts writes nothing.
 *
 * lead_timeline is locked (as any writer locks it) before the signals are
 * looked up: rebuild() holds a stronger lock, so whoever waited for it counts
 * with the signals that the rebuild has used.
 */
#include "record.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(record);
PG_FUNCTION_INFO_V1(signals_changed);

/* Leads written by one statement of ours. */
#define BATCH 10000

/* ---------- deltas: lead -> what a statement adds ---------- */

typedef struct LeadId
{
	const char *text;
	int			length;
} LeadId;

typedef struct LeadDelta
{
	LeadId		lead_id;
	uint32		hash;
	char		status;
	TimelineBuilder *builder;
} LeadDelta;

static inline uint32
lead_id_hash(LeadId lead_id)
{
	return hash_bytes((const unsigned char *) lead_id.text, lead_id.length);
}

static inline bool
lead_id_equal(LeadId a, LeadId b)
{
	return a.length == b.length && memcmp(a.text, b.text, a.length) == 0;
}

#define SH_PREFIX delta
#define SH_ELEMENT_TYPE LeadDelta
#define SH_KEY_TYPE LeadId
#define SH_KEY lead_id
#define SH_HASH_KEY(tb, key) lead_id_hash(key)
#define SH_EQUAL(tb, a, b) lead_id_equal(a, b)
#define SH_STORE_HASH
#define SH_GET_HASH(tb, a) ((a)->hash)
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* By bytes, so that every session writes leads in the same order. */
static int
delta_compare(const void *a, const void *b)
{
	LeadId		x = (*(LeadDelta *const *) a)->lead_id;
	LeadId		y = (*(LeadDelta *const *) b)->lead_id;
	int			order = memcmp(x.text, y.text, Min(x.length, y.length));

	return order != 0 ? order : (x.length > y.length) - (x.length < y.length);
}

/* ---------- signals, kept between statements ---------- */

static SignalSet *signals = NULL;
static MemoryContext signals_context = NULL;
static bool signals_valid = false;
static bool signals_watched = false;
static Oid	signal_table = InvalidOid;

static void
signals_invalidate(Datum arg pg_attribute_unused(), Oid table)
{
	if (table == InvalidOid || table == signal_table)
		signals_valid = false;
}

static Oid
our_table(const char *name)
{
	return get_relname_relid(name, get_namespace_oid("leadscore", false));
}

/*
 * The signals as of now. They are read with a snapshot of this moment, whatever
 * the transaction's isolation: what is kept is then as new as the last
 * invalidation, and a timeline always follows the configuration in force.
 */
const SignalSet *
current_signals(void)
{
	MemoryContext context;
	MemoryContext old;
	bool		isnull;
	Datum		document;

	if (!signals_watched)
	{
		CacheRegisterRelcacheCallback(signals_invalidate, (Datum) 0);
		signals_watched = true;
	}
	if (signals_valid && signal_table == our_table("signal"))
		return signals;

	signal_table = our_table("signal");
	signals_valid = true;		/* an invalidation from here on resets it */

	PushActiveSnapshot(GetLatestSnapshot());
	SPI_connect();
	if (SPI_execute("SELECT leadscore.signals()", true, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not read the signals");
	document = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	context = AllocSetContextCreate(TopMemoryContext, "leadscore signals", ALLOCSET_SMALL_SIZES);
	PG_TRY();
	{
		old = MemoryContextSwitchTo(context);
		signals = signal_set_compile((Jsonb *) PG_DETOAST_DATUM_COPY(document));
		MemoryContextSwitchTo(old);
	}
	PG_CATCH();
	{
		signals_valid = false;
		MemoryContextDelete(context);
		PG_RE_THROW();
	}
	PG_END_TRY();
	SPI_finish();
	PopActiveSnapshot();

	if (signals_context)
		MemoryContextDelete(signals_context);
	signals_context = context;
	return signals;
}

/*
 * Trigger on the table signal: tell every session, and say that history waits.
 */
Datum
signals_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"signals_changed\" was not called as a trigger")));
	CacheInvalidateRelcache(trigger->tg_relation);
	return PointerGetDatum(NULL);
}

/* ---------- collecting ---------- */

/* Add the rows of a transition table, "sign" times. */
static void
collect(delta_hash *deltas, Source *source, Tuplestorestate *rows, TupleDesc row_type,
		const SignalSet *set, int sign)
{
	MemoryContext keep = CurrentMemoryContext;
	MemoryContext scratch = AllocSetContextCreate(keep, "leadscore row", ALLOCSET_DEFAULT_SIZES);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(row_type, &TTSOpsMinimalTuple);

	tuplestore_rescan(rows);
	while (tuplestore_gettupleslot(rows, true, false, slot))
	{
		SourceRow	row;
		LeadDelta  *delta;
		bool		found;

		MemoryContextReset(scratch);
		MemoryContextSwitchTo(scratch);
		if (!source_read(source, slot, &row))
			continue;
		delta = delta_insert(deltas, (LeadId) {row.lead_id, row.lead_id_length}, &found);
		if (!found)
		{
			char	   *text = MemoryContextAlloc(keep, row.lead_id_length);

			delta->lead_id.text = memcpy(text, row.lead_id, row.lead_id_length);
			delta->builder = timeline_builder_create(keep);
		}
		delta->builder = signal_set_count(set, &row.event, sign, delta->builder);
	}
	MemoryContextSwitchTo(keep);
	ExecDropSingleTupleTableSlot(slot);
	MemoryContextDelete(scratch);
}

/* ---------- writing ---------- */

/* Plans kept for the session; made again if the extension was. */
static SPIPlanPtr upsert_plan = NULL;
static SPIPlanPtr sweep_plan = NULL;
static Oid	plans_table = InvalidOid;

static SPIPlanPtr
keep_plan(const char *command, int nargs, Oid *types)
{
	SPIPlanPtr	plan = SPI_prepare(command, nargs, types);

	if (plan == NULL || SPI_keepplan(plan) != 0)
		elog(ERROR, "could not prepare \"%s\"", command);
	return plan;
}

static void
prepare_plans(Relation timelines)
{
	Oid			types[2] = {TEXTARRAYOID,
	get_array_type(TupleDescAttr(RelationGetDescr(timelines), 1)->atttypid)};

	if (plans_table == RelationGetRelid(timelines))
		return;
	if (upsert_plan)
		SPI_freeplan(upsert_plan);
	if (sweep_plan)
		SPI_freeplan(sweep_plan);
	upsert_plan = sweep_plan = NULL;
	plans_table = InvalidOid;
	upsert_plan = keep_plan("INSERT INTO leadscore.lead_timeline AS t (lead_id, timeline)"
							" SELECT d.lead_id, d.timeline"
							" FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) AS d (lead_id, timeline)"
							" ON CONFLICT (lead_id) DO UPDATE"
							" SET timeline = t.timeline OPERATOR(leadscore.+) excluded.timeline",
							2, types);
	sweep_plan = keep_plan("DELETE FROM leadscore.lead_timeline"
						   " WHERE lead_id OPERATOR(pg_catalog.=) ANY ($1)"
						   " AND timeline OPERATOR(leadscore.=) '{}'::leadscore.timeline",
						   1, types);
	plans_table = RelationGetRelid(timelines);
}

/*
 * Add the deltas to lead_timeline, in lead_id order: two statements that share
 * leads then wait for each other, but never in a circle. Timelines that become
 * empty are removed.
 */
static void
apply(delta_hash *deltas, Relation timelines, bool subtracted)
{
	delta_iterator it;
	LeadDelta  *delta;
	LeadDelta **sorted = palloc_extended(Max(deltas->members, 1) * sizeof(LeadDelta *), MCXT_ALLOC_HUGE);
	int			n = 0;
	Oid			timeline_type = TupleDescAttr(RelationGetDescr(timelines), 1)->atttypid;

	delta_start_iterate(deltas, &it);
	while ((delta = delta_iterate(deltas, &it)) != NULL)
	{
		timeline_builder_compact(delta->builder);
		if (delta->builder->n > 0)
			sorted[n++] = delta;
	}
	if (n == 0)
		return;
	qsort(sorted, n, sizeof(LeadDelta *), delta_compare);

	SPI_connect();
	prepare_plans(timelines);
	for (int first = 0; first < n; first += BATCH)
	{
		int			size = Min(BATCH, n - first);
		Datum	   *ids = palloc(size * sizeof(Datum));
		Datum	   *values = palloc(size * sizeof(Datum));
		Datum		arguments[2];

		for (int i = 0; i < size; i++)
		{
			LeadDelta  *d = sorted[first + i];

			ids[i] = PointerGetDatum(cstring_to_text_with_len(d->lead_id.text, d->lead_id.length));
			values[i] = PointerGetDatum(timeline_encode(d->builder->entries, d->builder->n));
		}
		arguments[0] = PointerGetDatum(construct_array(ids, size, TEXTOID, -1, false, TYPALIGN_INT));
		arguments[1] = PointerGetDatum(construct_array(values, size, timeline_type, -1, false, TYPALIGN_INT));
		if (SPI_execute_plan(upsert_plan, arguments, NULL, false, 0) != SPI_OK_INSERT ||
			(subtracted && SPI_execute_plan(sweep_plan, arguments, NULL, false, 0) != SPI_OK_DELETE))
			elog(ERROR, "could not write timelines");
	}
	SPI_finish();
}

/* Before a TRUNCATE: subtract every row of the table. */
static void
subtract_table(Relation relation, Trigger *trigger)
{
	Oid			types[2] = {OIDOID, TEXTOID};
	Datum		arguments[2] = {ObjectIdGetDatum(RelationGetRelid(relation)), CStringGetTextDatum(trigger->tgargs[0])};

	SPI_connect();
	if (SPI_execute_with_args("SELECT leadscore.add_source($1::pg_catalog.regclass, $2::pg_catalog.jsonb, subtract => true)",
							  2, types, arguments, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not subtract the table");
	SPI_finish();
}

/* ---------- the trigger ---------- */

/* Make the text of every type depend on its value alone, as source_query() does. */
static void
pin_settings(void)
{
	static const char *const settings[][2] = {
		{"TimeZone", "UTC"}, {"DateStyle", "ISO, MDY"}, {"IntervalStyle", "postgres"},
		{"extra_float_digits", "1"}, {"bytea_output", "hex"}, {"lc_monetary", "C"}
	};

	for (Size i = 0; i < lengthof(settings); i++)
		(void) set_config_option(settings[i][0], settings[i][1], PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
}

/*
 * Whether pg_restore or a plain dump is loading our own event table. The
 * timelines are in the dump too, so nothing must be counted twice. These are
 * settings that every dump begins with.
 */
static bool
in_restore(Relation relation)
{
	return !check_function_bodies && !row_security &&
		RelationGetRelid(relation) == our_table("event");
}

/* AFTER INSERT/UPDATE/DELETE FOR EACH STATEMENT, BEFORE TRUNCATE, on a tracked table. */
Datum
record(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;
	Source	   *source;
	Relation	timelines;
	MemoryContext context;
	MemoryContext old;
	Oid			user;
	int			security;
	int			settings = -1;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_STATEMENT(data->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"record\" was not called as a statement trigger"),
				 errhint("Use leadscore.track() to make the triggers of a table.")));
	if (in_restore(data->tg_relation))
		return PointerGetDatum(NULL);

	source = source_of_trigger(data->tg_trigger, data->tg_relation);
	if (source->problem)
	{
		ereport(WARNING,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("leadscore cannot read table \"%s\": its rows are not counted",
						RelationGetRelationName(data->tg_relation)),
				 errdetail("%s", source->problem),
				 errhint("Call leadscore.untrack() and leadscore.track() with the columns of today, then leadscore.rebuild().")));
		return PointerGetDatum(NULL);
	}

	context = AllocSetContextCreate(CurrentMemoryContext, "leadscore record", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	timelines = table_open(our_table("lead_timeline"), RowExclusiveLock);
	GetUserIdAndSecContext(&user, &security);
	SetUserIdAndSecContext(timelines->rd_rel->relowner, security | SECURITY_LOCAL_USERID_CHANGE);
	if (source->pinned_settings)
	{
		settings = NewGUCNestLevel();
		pin_settings();
	}

	if (TRIGGER_FIRED_BY_TRUNCATE(data->tg_event))
		subtract_table(data->tg_relation, data->tg_trigger);
	else
	{
		TupleDesc	row_type = RelationGetDescr(data->tg_relation);
		const SignalSet *set = current_signals();
		delta_hash *deltas = delta_create(context, 16, NULL);

		if (data->tg_newtable)
			collect(deltas, source, data->tg_newtable, row_type, set, 1);
		if (data->tg_oldtable)
			collect(deltas, source, data->tg_oldtable, row_type, set, -1);
		apply(deltas, timelines, data->tg_oldtable != NULL);
	}

	if (settings >= 0)
		AtEOXact_GUC(true, settings);
	SetUserIdAndSecContext(user, security);
	table_close(timelines, NoLock);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return PointerGetDatum(NULL);
}
