/*
 * transition.c: leads that change their segment, on the models that are watched.
 *
 *     timeline just written ──scorecard──▶ segment ──┐ differ?
 *     lead_state: the segment that it was in ────────┘ │
 *                                                      ▼
 *                     lead_state, segment_change, NOTIFY, vouchers
 *
 * Locks. Whoever compares holds the lead's row of lead_timeline: writers, who
 * have just written it, those who look at leads, identify(). So a lead is compared
 * by one after the other, each sees what those before have written, and nothing
 * is locked where nothing has changed. Rows are read as they are now, whatever
 * the transaction's snapshot, for so is the timeline written. lead_state is
 * locked as any writer locks it before the watched models are looked up, so that
 * who takes a model away can wait for those who still know it.
 *
 * Order. Readers of the log want each row once, in an order that never gets a
 * row in between. Neither the order of a sequence nor that of transactions'
 * numbers is the order of commits. A row's tick is the number of its
 * transaction, or the tick of the lead's change before if that is larger. So
 * ticks do not descend along the changes of a lead, on all models, and a row
 * whose tick lies below the oldest running transaction's number was written by
 * one that has ended: no row comes any more below that. What a restore brings from a server
 * whose numbers are larger would wait for ours to catch up, and what we write
 * would come before it. So what is written comes behind what is there ("floor"),
 * and the first who takes changes has numbers counted from further on ("ahead"),
 * with writers locked out: nobody goes on with two ways of counting.
 */
#include "transition.h"

#include "appraise.h"
#include "catalog.h"
#include "label.h"
#include "offer.h"
#include "partition.h"
#include "session_cache.h"

#include "access/genam.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/json.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(see_leads);
PG_FUNCTION_INFO_V1(watching_changed);
PG_FUNCTION_INFO_V1(set_clock);

/* Changes of one statement that are told one by one; of more, only how many there are. */
#define MOST_NOTICES 1000
/* What a notification may hold, with the NUL (NOTIFY_PAYLOAD_MAX_LENGTH, commands/async.c). */
#define LONGEST_NOTICE (BLCKSZ - NAMEDATALEN - 128)
/* Leads that are compared before their changes are written. */
#define BATCH 10000

/* ---------- what is watched, kept between statements ---------- */

typedef struct Watched
{
	text	   *model;
	Scorecard  *card;
} Watched;

struct Watching
{
	int			n;
	Watched    *models;
	bool		profiles;		/* some model looks at profiles */
	bool		offers;			/* there are some */
	int64		ahead;			/* of transactions' numbers */
	int64		floor;			/* ticks are not below */
};

static SessionCache watching = {.name = "leadscore watching"};

/* Run a command of ours on what there is now; SPI must be connected. */
static void
run(const char *command, int nargs, Oid *types, Datum *values, const char *nulls, bool read_only, int expected)
{
	SPIPlanPtr	plan = SPI_prepare(command, nargs, types);
	Snapshot	now = RegisterSnapshot(GetLatestSnapshot());

	if (plan == NULL || SPI_execute_snapshot(plan, values, nulls, now, InvalidSnapshot, read_only, true, 0) != expected)
		elog(ERROR, "could not run \"%s\"", command);
	UnregisterSnapshot(now);
}

static int64
number_found(int column)
{
	bool		isnull = true;
	Datum		number = SPI_processed == 1 ? SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, &isnull) : (Datum) 0;

	if (isnull)
		elog(ERROR, "a query of ours has found no number");
	return DatumGetInt64(number);
}

/*
 * By how much ticks are ahead of transactions' numbers, and the tick behind all
 * that there are, if they would come before some; else 0. SPI must be connected.
 */
static void
read_clock(int64 *ahead, int64 *floor)
{
	int64		last;

	/* all ticks that we see belong to numbers below the next one, if that is read after them */
	run("SELECT coalesce((SELECT pg_catalog.max(c.ahead) FROM leadscore.change_clock c), 0),"
		" greatest((SELECT pg_catalog.max(c.tick) FROM leadscore.segment_change c), (SELECT pg_catalog.max(c.given_tick) FROM leadscore.change_consumer c), 0)",
		0, NULL, NULL, NULL, true, SPI_OK_SELECT);
	*ahead = number_found(1);
	last = number_found(2);
	*floor = last < (int64) U64FromFullTransactionId(ReadNextFullTransactionId()) + *ahead ? 0 : last + 1;
}

/* What is watched now. */
static void *
load_watching(SessionCache *cache pg_attribute_unused(), void *arg pg_attribute_unused())
{
	MemoryContext context = CurrentMemoryContext;
	Watching   *loaded = palloc0(sizeof(Watching));

	SPI_connect();
	run("SELECT w.model, leadscore.scorecard(w.model) FROM leadscore.watched_model w WHERE w.active ORDER BY w.model",
		0, NULL, NULL, NULL, true, SPI_OK_SELECT);
	if (SPI_processed > 0)
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		loaded->n = (int) SPI_processed;
		loaded->models = palloc(loaded->n * sizeof(Watched));
		for (int i = 0; i < loaded->n; i++)
		{
			bool		no_model;
			bool		no_card;
			HeapTuple	row = SPI_tuptable->vals[i];
			Datum		model = SPI_getbinval(row, SPI_tuptable->tupdesc, 1, &no_model);
			Datum		card = SPI_getbinval(row, SPI_tuptable->tupdesc, 2, &no_card);

			if (no_model || no_card)
				elog(ERROR, "a watched model has no name or no scorecard");
			loaded->models[i].model = DatumGetTextPCopy(model);
			loaded->models[i].card = scorecard_compile_in(context, card);
			loaded->profiles = loaded->profiles || loaded->models[i].card->nprofiles > 0;
		}
		MemoryContextSwitchTo(old);
		run("SELECT pg_catalog.count(*) FROM (SELECT FROM leadscore.offer LIMIT 1) o", 0, NULL, NULL, NULL, true, SPI_OK_SELECT);
		loaded->offers = number_found(1) != 0;
		read_clock(&loaded->ahead, &loaded->floor);
	}
	SPI_finish();
	return loaded;
}

const Watching *
segments_watched(void)
{
	Oid			table = our_table("watched_model");
	Watching   *watched;

	if (!OidIsValid(table))
		return NULL;			/* a version of the extension that has none */
	watched = session_cache_get(&watching, table, load_watching, NULL);
	return watched->n > 0 ? watched : NULL;
}

/* Trigger on what load_watching() reads: every session looks again. */
Datum
watching_changed(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"watching_changed\" was not called as a trigger")));
	CacheInvalidateRelcacheByRelid(our_table("watched_model"));
	return PointerGetDatum(NULL);
}

/*
 * set_clock(): count from behind all ticks that there are, if ours would come
 * before some; returns whether. Who writes with the old way of counting has
 * ended then, and nobody begins before we have.
 */
Datum
set_clock(PG_FUNCTION_ARGS)
{
	int64		ahead;
	int64		floor;
	Oid			type = INT8OID;
	Datum		value;

	SPI_connect();
	read_clock(&ahead, &floor);
	if (floor != 0)
	{
		table_close(table_open(our_table("lead_state"), ShareRowExclusiveLock), NoLock);
		read_clock(&ahead, &floor);
	}
	value = Int64GetDatum(floor);
	if (floor != 0)
		run("INSERT INTO leadscore.change_clock AS c (ahead) VALUES ($1) ON CONFLICT ((true)) DO UPDATE SET ahead = excluded.ahead",
			1, &type, &value, NULL, false, SPI_OK_INSERT);
	SPI_finish();
	PG_RETURN_BOOL(floor != 0);
}

/* ---------- looking up ---------- */

/* Rows of a table by a primary key that begins with lead_id, as they are now. */
typedef struct Lookup
{
	Relation	table;
	Relation	index;
	IndexScanDesc scan;
	TupleTableSlot *slot;
} Lookup;

/* A table that is none of ours any more, such as a partitioned one, gets no scan. */
static void
lookup_open(Lookup *lookup, Relation table, Snapshot snapshot)
{
	memset(lookup, 0, sizeof(Lookup));
	lookup->table = table;
	if (table->rd_rel->relkind != RELKIND_RELATION || !OidIsValid(primary_key_index(table)))
		return;
	lookup->index = index_open(primary_key_index(table), AccessShareLock);
	lookup->scan = begin_index_scan(table, lookup->index, snapshot, 1);
	lookup->slot = table_slot_create(table, NULL);
}

static void
lookup_close(Lookup *lookup)
{
	if (lookup->scan == NULL)
		return;
	index_endscan(lookup->scan);
	ExecDropSingleTupleTableSlot(lookup->slot);
	index_close(lookup->index, NoLock);
}

static void
lookup_begin(Lookup *lookup, text *key)
{
	ScanKeyData scan_key;

	ScanKeyEntryInitialize(&scan_key, 0, 1, BTEqualStrategyNumber, InvalidOid, lookup->index->rd_indcollation[0],
						   F_TEXTEQ, PointerGetDatum(key));
	index_rescan(lookup->scan, &scan_key, 1, NULL, 0);
}

static bool
lookup_next(Lookup *lookup)
{
	return index_getnext_slot(lookup->scan, ForwardScanDirection, lookup->slot);
}

/* The first column of the only row that a query finds, or 0; for tables that somebody has changed, and rare cases. */
static Datum
query_for(const char *query, text *key, MemoryContext context)
{
	Oid			type = TEXTOID;
	Datum		argument = PointerGetDatum(key);
	Datum		found = (Datum) 0;
	bool		isnull;

	/* what we have written ourselves is seen only by the next command */
	CommandCounterIncrement();
	SPI_connect();
	run(query, 1, &type, &argument, NULL, true, SPI_OK_SELECT);
	if (SPI_processed > 0)
	{
		Datum		value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
		MemoryContext old = MemoryContextSwitchTo(context);

		if (!isnull)
			found = PointerGetDatum(PG_DETOAST_DATUM_COPY(value));
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	return found;
}

/* ---------- comparing ---------- */

typedef struct Changes
{
	int			n;
	int			capacity;
	Datum	   *models;
	Datum	   *lead_ids;
	Datum	   *from;
	Datum	   *to;
	bool	   *from_null;
	bool	   *to_null;
	Datum	   *scores;
	bool	   *score_null;
} Changes;

static void
add_change(Changes *changes, text *model, text *lead_id, const char *from, const char *to, double score, bool is_lead)
{
	int			i = changes->n++;

	if (i == changes->capacity)
	{
		bool		first = i == 0;

		changes->capacity = first ? 8 : i * 2;
#define GROW(array) \
		changes->array = first ? palloc_extended(changes->capacity * sizeof(*changes->array), MCXT_ALLOC_HUGE) \
			: repalloc_huge(changes->array, changes->capacity * sizeof(*changes->array))
		GROW(models);
		GROW(lead_ids);
		GROW(from);
		GROW(to);
		GROW(from_null);
		GROW(to_null);
		GROW(scores);
		GROW(score_null);
#undef GROW
	}
	changes->models[i] = PointerGetDatum(model);
	changes->lead_ids[i] = PointerGetDatum(lead_id);
	changes->from_null[i] = from == NULL;
	changes->from[i] = from ? CStringGetTextDatum(from) : (Datum) 0;
	changes->to_null[i] = to == NULL;
	changes->to[i] = to ? CStringGetTextDatum(to) : (Datum) 0;
	changes->scores[i] = Float8GetDatum(score);
	changes->score_null[i] = !is_lead;
}

/* The segment that a lead was in, and for how long. */
typedef struct State
{
	const char *segment;		/* NULL: in none */
	TimestampTz since;
} State;

static void
read_states(Lookup *lookup, const Watching *watched, text *lead_id, State *states, MemoryContext scratch)
{
	memset(states, 0, watched->n * sizeof(State));
	lookup_begin(lookup, lead_id);
	while (lookup_next(lookup))
	{
		MemoryContext keep = MemoryContextSwitchTo(scratch);
		text	   *model;

		slot_getallattrs(lookup->slot);	/* lead_id, model, segment, since, tick */
		model = DatumGetTextPP(lookup->slot->tts_values[1]);
		for (int i = 0; i < watched->n; i++)
			if (!lookup->slot->tts_isnull[2] && text_equal(model, watched->models[i].model))
				states[i] = (State) {TextDatumGetCString(lookup->slot->tts_values[2]), DatumGetTimestampTz(lookup->slot->tts_values[3])};
		MemoryContextSwitchTo(keep);
	}
}

/* The second column of a lead's row, or 0; by a query where the table is none of ours any more. */
static Datum
value_of(Lookup *lookup, const char *query, text *lead_id, MemoryContext scratch)
{
	Datum		value = (Datum) 0;
	MemoryContext keep;
	bool		isnull;

	if (lookup->scan == NULL)
		return query_for(query, lead_id, scratch);
	/* a scan allocates when it likes to, and keeps that */
	lookup_begin(lookup, lead_id);
	if (!lookup_next(lookup))
		return value;
	keep = MemoryContextSwitchTo(scratch);
	value = slot_getattr(lookup->slot, 2, &isnull);
	value = isnull ? (Datum) 0 : PointerGetDatum(PG_DETOAST_DATUM_PACKED(value));
	MemoryContextSwitchTo(keep);
	return value;
}

/* Whether two appraisals come to the same segment, whatever segment the lead was in. */
static bool
same_segment(const Scorecard *card, const Appraisal *before, const Appraisal *after)
{
	if (segment_number(card, before, NULL, 0) != segment_number(card, after, NULL, 0))
		return false;
	for (int32 i = 0; i < card->nsegments; i++)
	{
		const Segment *s = &card->segments[i];

		if (s->hysteresis > 0 &&
			segment_number(card, before, s->segment, PG_INT64_MAX) != segment_number(card, after, s->segment, PG_INT64_MAX))
			return false;
	}
	return true;
}

bool
segment_may_change(const Watching *watched, const struct varlena *before, const struct varlena *after)
{
	int32		hour = hour_of(GetCurrentTimestamp());

	if (before == NULL || after == NULL || watched->profiles)
		return true;
	for (int m = 0; m < watched->n; m++)
	{
		Scorecard  *card = watched->models[m].card;
		Appraisal	was;
		Appraisal	is;

		appraise_lead(card, before, NULL, hour, hour, &was, NULL);
		appraise_lead(card, after, NULL, hour, hour, &is, NULL);
		if (!same_segment(card, &was, &is))
			return true;
	}
	return false;
}

/* lead_timeline, or the tables that it is split into, each opened when it is first asked. */
typedef struct Timelines
{
	Relation	table;
	int			n;				/* of tables that it is split into */
	Oid		   *tables;
	Lookup	   *lookups;		/* at least one; its table is NULL: not opened yet */
} Timelines;

static Lookup *
timelines_of(Timelines *timelines, const text *lead_id)
{
	int			number = timelines->n > 0 ? partition_of(VARDATA_ANY(lead_id), VARSIZE_ANY_EXHDR(lead_id), timelines->n) : 0;
	Lookup	   *lookup = &timelines->lookups[number];

	if (lookup->table == NULL)
		lookup_open(lookup, table_open(timelines->n > 0 ? timelines->tables[number] : RelationGetRelid(timelines->table), AccessShareLock),
					SnapshotSelf);
	return lookup;
}

/* Compare, and collect what has changed, in the memory that is current. */
static void
compare(Relation timeline_table, Relation state_table, const Watching *watched, text **lead_ids, int n, TimestampTz now, Changes *changes)
{
	MemoryContext keep = CurrentMemoryContext;
	MemoryContext scratch = AllocSetContextCreate(keep, "leadscore segments", ALLOCSET_DEFAULT_SIZES);
	State	   *states = palloc(watched->n * sizeof(State));
	int32		hour = hour_of(now);
	Timelines	timelines = {.table = timeline_table};
	Relation	leads = NULL;
	Snapshot	snapshot = NULL;
	Lookup		state_lookup;
	Lookup		profile_lookup;

	/* rows that the lead's lock keeps others from changing; profiles change without it */
	timelines.n = partition_tables(timeline_table, &timelines.tables);
	timelines.lookups = palloc0(Max(timelines.n, 1) * sizeof(Lookup));
	lookup_open(&state_lookup, state_table, SnapshotSelf);
	if (state_lookup.scan == NULL)
		elog(ERROR, "leadscore.lead_state is no table with a primary key");
	if (watched->profiles)
	{
		leads = table_open(our_table("lead"), AccessShareLock);
		snapshot = RegisterSnapshot(GetLatestSnapshot());
		lookup_open(&profile_lookup, leads, snapshot);
	}
	for (int i = 0; i < n; i++)
	{
		text	   *lead_id = lead_ids[i];
		Lookup	   *timeline_lookup = timelines_of(&timelines, lead_id);
		Datum		timeline = value_of(timeline_lookup, "SELECT t.timeline FROM leadscore.lead_timeline t"
										" WHERE t.lead_id OPERATOR(pg_catalog.=) $1", lead_id, scratch);
		Datum		profile = (Datum) 0;
		bool		is_lead;

		CHECK_FOR_INTERRUPTS();
		if (timeline && timeline_is_empty(DatumGetTimeline(timeline)))
			timeline = (Datum) 0;
		/* a lead without events is one if it has a profile, and is no alias */
		is_lead = timeline != (Datum) 0 ||
			query_for("SELECT l.lead_id FROM leadscore.lead l WHERE l.lead_id OPERATOR(pg_catalog.=) $1"
					  " AND NOT EXISTS (SELECT FROM leadscore.lead_alias a WHERE a.alias OPERATOR(pg_catalog.=) $1)", lead_id, scratch) != (Datum) 0;
		if (is_lead && watched->profiles)
			profile = value_of(&profile_lookup, "SELECT l.profile FROM leadscore.lead l WHERE l.lead_id OPERATOR(pg_catalog.=) $1", lead_id, scratch);

		read_states(&state_lookup, watched, lead_id, states, scratch);
		for (int m = 0; m < watched->n; m++)
		{
			Scorecard  *card = watched->models[m].card;
			const char *was = states[m].segment;
			const char *is = NULL;
			Appraisal	appraisal = {0};

			if (is_lead)
			{
				int32		number;

				MemoryContextSwitchTo(scratch);
				appraise_lead(card, timeline ? DatumGetTimeline(timeline) : NULL,
							  profile ? DatumGetJsonbP(profile) : NULL, hour, hour, &appraisal, NULL);
				MemoryContextSwitchTo(keep);
				number = segment_number(card, &appraisal, was, now - states[m].since);
				is = number > 0 ? card->segments[number - 1].segment : NULL;
			}
			if (was == NULL ? is != NULL : is == NULL || strcmp(was, is) != 0)
				add_change(changes, watched->models[m].model, lead_id, was, is, appraisal.score, is_lead);
		}
		if (timeline_lookup->slot)
			ExecClearTuple(timeline_lookup->slot);
		ExecClearTuple(state_lookup.slot);
		MemoryContextReset(scratch);
	}
	for (int i = 0; i < Max(timelines.n, 1); i++)
		if (timelines.lookups[i].table)
		{
			lookup_close(&timelines.lookups[i]);
			table_close(timelines.lookups[i].table, NoLock);
		}
	lookup_close(&state_lookup);
	if (leads)
	{
		lookup_close(&profile_lookup);
		UnregisterSnapshot(snapshot);
		table_close(leads, NoLock);
	}
	MemoryContextDelete(scratch);
}

/* ---------- writing ---------- */

static Datum
array_of(Datum *values, bool *nulls, int n, Oid type)
{
	int			lower = 1;

	if (type == FLOAT8OID)
		return PointerGetDatum(construct_md_array(values, nulls, 1, &n, &lower, type, sizeof(float8), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	return PointerGetDatum(construct_md_array(values, nulls, 1, &n, &lower, type, -1, false, TYPALIGN_INT));
}

static void
append_member(StringInfo json, const char *key, const char *value)
{
	appendStringInfo(json, "%s\"%s\": ", json->len > 1 ? ", " : "", key);
	if (value)
		escape_json(json, value);
	else
		appendStringInfoString(json, "null");
}

/* Tell listeners of the rows (change_id, model, lead_id, from, to, notify) that have just been written; n: of how many by now. */
static void
notify(uint64 *n)
{
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;
		Datum		wanted = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 6, &isnull);

		if (isnull || !DatumGetBool(wanted))
			continue;
		if (++*n <= MOST_NOTICES)
		{
			StringInfoData json;

			initStringInfo(&json);
			appendStringInfoChar(&json, '{');
			for (int column = 1; column <= 5; column++)
			{
				static const char *const keys[] = {"change_id", "model", "lead_id", "from", "to"};
				char	   *value = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, column);

				if (column == 1)
					appendStringInfo(&json, "\"change_id\": %s", value);
				else
					append_member(&json, keys[column - 1], value);
			}
			appendStringInfoChar(&json, '}');
			if (json.len >= LONGEST_NOTICE)
			{
				resetStringInfo(&json);
				appendStringInfo(&json, "{\"change_id\": %s}", SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1));
			}
			Async_Notify("leadscore", json.data);
			pfree(json.data);
		}
	}
}

/* Write down what has changed. SPI is used only here, and for what current_watching() has to look up. */
static void
write_changes(const Watching *watched, const Changes *changes, TimestampTz now, const char *cause, uint64 *told)
{
	static SPIPlanPtr log_plan = NULL;
	static SPIPlanPtr state_plan = NULL;
	int64		tick = Max((int64) U64FromFullTransactionId(GetTopFullTransactionId()) + watched->ahead, watched->floor);
	Oid			types[8] = {TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, FLOAT8ARRAYOID, TIMESTAMPTZOID, INT8OID, TEXTOID};
	Datum		values[8];
	Snapshot	snapshot;

	values[0] = array_of(changes->models, NULL, changes->n, TEXTOID);
	values[1] = array_of(changes->lead_ids, NULL, changes->n, TEXTOID);
	values[2] = array_of(changes->from, changes->from_null, changes->n, TEXTOID);
	values[3] = array_of(changes->to, changes->to_null, changes->n, TEXTOID);
	values[4] = array_of(changes->scores, changes->score_null, changes->n, FLOAT8OID);
	values[5] = TimestampTzGetDatum(now);
	values[6] = Int64GetDatum(tick);
	values[7] = CStringGetTextDatum(cause);

	SPI_connect();
	session_plan(&log_plan, "INSERT INTO leadscore.segment_change (model, lead_id, \"from\", \"to\", score, changed_at, cause, tick)"
				 " SELECT * FROM leadscore.changes_to_log($1, $2, $3, $4, $5, $6, $7, $8) RETURNING change_id, model, lead_id, \"from\", \"to\","
				 " cause OPERATOR(pg_catalog.<>) 'watch' AND (SELECT w.notify FROM leadscore.watched_model w WHERE w.model OPERATOR(pg_catalog.=) segment_change.model)",
				 8, types);
	session_plan(&state_plan, "INSERT INTO leadscore.lead_state (lead_id, model, segment, since, tick)"
				 " SELECT c.lead_id, c.model, c.\"to\", c.changed_at, c.tick_given FROM leadscore.changes_to_log($1, $2, $3, $4, $5, $6, $7, $8) c"
				 " ON CONFLICT (lead_id, model) DO UPDATE SET segment = excluded.segment, since = excluded.since, tick = excluded.tick",
				 8, types);
	/* whoever changes a budget has ended, and his budget is seen, or waits for us */
	if (watched->offers)
		table_close(table_open(our_table("offer_slot"), RowExclusiveLock), NoLock);
	/* rows that are newer than the transaction's snapshot are changed, too */
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	if (SPI_execute_snapshot(log_plan, values, NULL, snapshot, InvalidSnapshot, false, true, 0) != SPI_OK_INSERT_RETURNING)
		elog(ERROR, "could not write changes of segments");
	notify(told);
	if (SPI_execute_snapshot(state_plan, values, NULL, snapshot, InvalidSnapshot, false, true, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write the states of leads");
	if (watched->offers && strcmp(cause, "watch") != 0)
		issue_vouchers(values, now, snapshot);
	UnregisterSnapshot(snapshot);
	SPI_finish();
}

void
see_segments(Relation timelines, text **lead_ids, int n, const char *cause)
{
	Relation	state_table = table_open(our_table("lead_state"), RowExclusiveLock);
	const Watching *watched = segments_watched();
	MemoryContext batch = AllocSetContextCreate(CurrentMemoryContext, "leadscore changes", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(batch);
	TimestampTz now = GetCurrentTimestamp();
	uint64		told = 0;

	for (int first = 0; watched && first < n; first += BATCH)
	{
		Changes		changes = {0};

		compare(timelines, state_table, watched, lead_ids + first, Min(BATCH, n - first), now, &changes);
		if (changes.n > 0)
			write_changes(watched, &changes, now, cause, &told);
		MemoryContextReset(batch);
	}
	if (told > MOST_NOTICES)
		Async_Notify("leadscore", psprintf("{\"more\": " UINT64_FORMAT "}", told - MOST_NOTICES));
	MemoryContextSwitchTo(old);
	MemoryContextDelete(batch);
	table_close(state_table, NoLock);
}

/* see_leads(lead_ids, cause): compare leads whose rows of lead_timeline the caller holds. */
Datum
see_leads(PG_FUNCTION_ARGS)
{
	Relation	timelines = table_open(our_table("lead_timeline"), RowExclusiveLock);
	Datum	   *datums;
	text	  **lead_ids;
	int			n;
	int			distinct = 0;

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), TEXTOID, -1, false, TYPALIGN_INT, &datums, NULL, &n);
	lead_ids = palloc_extended(Max(n, 1) * sizeof(text *), MCXT_ALLOC_HUGE);
	for (int i = 0; i < n; i++)
		lead_ids[i] = DatumGetTextPP(datums[i]);
	qsort(lead_ids, n, sizeof(text *), text_pointer_compare);
	for (int i = 0; i < n; i++)
		if (distinct == 0 || text_pointer_compare(&lead_ids[i], &lead_ids[distinct - 1]) != 0)
			lead_ids[distinct++] = lead_ids[i];
	see_segments(timelines, lead_ids, distinct, text_to_cstring(PG_GETARG_TEXT_PP(1)));
	table_close(timelines, NoLock);
	PG_RETURN_VOID();
}
