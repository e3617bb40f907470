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
#include "current.h"
#include "label.h"
#include "offer.h"
#include "profile.h"
#include "session_cache.h"
#include "store.h"

#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
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
	bool		is_new;			/* written by this transaction */
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
		bool		isnull;
		TransactionId xmin = DatumGetTransactionId(slot_getsysattr(lookup->slot, MinTransactionIdAttributeNumber, &isnull));

		slot_getallattrs(lookup->slot);	/* lead_id, model, segment, since, tick */
		model = DatumGetTextPP(lookup->slot->tts_values[1]);
		for (int i = 0; i < watched->n; i++)
			if (text_equal(model, watched->models[i].model))
				states[i] = (State) {
					.segment = lookup->slot->tts_isnull[2] ? NULL : TextDatumGetCString(lookup->slot->tts_values[2]),
					.since = DatumGetTimestampTz(lookup->slot->tts_values[3]),
					.is_new = TransactionIdIsCurrentTransactionId(xmin)
				};
		MemoryContextSwitchTo(keep);
	}
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

/* What a lead is compared by, read as it is now: whoever has the lead's row keeps others from changing it. */
typedef struct Reader
{
	Current    *current;
	Lookup		states;
	Relation	lead_table;
	Lookup		profiles;
	Pending		pending;
} Reader;

static void
reader_open(Reader *reader, Relation timelines, Relation state_table)
{
	reader->current = current_open(timelines, SnapshotSelf);
	reader->lead_table = table_open(our_table("lead"), AccessShareLock);
	pending_profiles_open(&reader->pending, SnapshotSelf);
	if (reader->current == NULL || !lookup_open(&reader->states, state_table, 1, SnapshotSelf) ||
		!lookup_open(&reader->profiles, reader->lead_table, 1, SnapshotSelf) ||
		(reader->pending.table && !reader->pending.may_look_up))
		fail_for_index("lead, lead_timeline, lead_alias and lead_state have primary keys; lead_alias, pending_delta and pending_profile have an index on lead_id.");
}

static void
reader_close(Reader *reader)
{
	pending_close(&reader->pending);
	lookup_close(&reader->profiles);
	lookup_close(&reader->states);
	table_close(reader->lead_table, NoLock);
	current_close(reader->current);
}

/* A lead's row of lead, copied; "place": which version of it. */
static Profile
read_row(Reader *reader, const text *lead_id, ItemPointer place)
{
	Profile		row = {lookup_unique(&reader->profiles, lead_id), NULL};
	bool		isnull;

	ItemPointerSetInvalid(place);
	if (row.exists)
	{
		Datum		value = slot_getattr(reader->profiles.slot, 2, &isnull);

		row.value = isnull ? NULL : DatumGetJsonbPCopy(value);
		*place = reader->profiles.slot->tts_tid;
		ExecClearTuple(reader->profiles.slot);
	}
	return row;
}

/* The profile of a name with what is pending. Somebody may move that into the row meanwhile: then once more. */
static Profile
read_profile_of(Reader *reader, const text *lead_id)
{
	ItemPointerData before;
	ItemPointerData after;
	Profile		next = read_row(reader, lead_id, &after);
	Profile		profile;

	do
	{
		CHECK_FOR_INTERRUPTS();
		profile = next;
		before = after;
		if (reader->pending.table == NULL)
			break;
		pending_profiles_apply(&reader->pending, lead_id, &profile);
		next = read_row(reader, lead_id, &after);
	} while (memcmp(&before, &after, sizeof(ItemPointerData)) != 0);
	return profile;
}

/* A lead's profile, with those of its aliases. */
static Profile
read_profile(Reader *reader, const text *lead_id)
{
	Profile		profile = read_profile_of(reader, lead_id);
	int			n;
	text	  **aliases = current_aliases(reader->current, lead_id, &n);

	for (int i = 0; i < n; i++)
	{
		Profile		alias = read_profile_of(reader, aliases[i]);

		profile_add_alias(&profile, &alias);
	}
	return profile;
}

/* What a lead is: false if it is none. A lead without events is one if it has a row of lead, or will have; an alias is none. */
static bool
read_lead(Reader *reader, text *lead_id, struct varlena **timeline, Jsonb **profile)
{
	Profile		row;

	*timeline = NULL;
	*profile = NULL;
	if (current_lead_of(reader->current, lead_id) != NULL)
		return false;
	*timeline = current_timeline(reader->current, lead_id);
	row = read_profile(reader, lead_id);
	*profile = row.value;
	return row.exists || *timeline != NULL;
}

/*
 * Compare, and collect what has changed, in the memory that is current; apart
 * those of leads that have something pending, if they are to be told apart.
 */
static void
compare(Relation timeline_table, Relation state_table, const Watching *watched, text **lead_ids, int n, TimestampTz now,
		Changes *changes, Changes *of_pending)
{
	MemoryContext keep = CurrentMemoryContext;
	MemoryContext scratch = AllocSetContextCreate(keep, "leadscore segments", ALLOCSET_DEFAULT_SIZES);
	State	   *states = palloc(watched->n * sizeof(State));
	int32		hour = hour_of(now);
	Reader		reader;

	reader_open(&reader, timeline_table, state_table);
	for (int i = 0; i < n; i++)
	{
		text	   *lead_id = lead_ids[i];
		struct varlena *timeline;
		Jsonb	   *profile;
		bool		is_lead;

		CHECK_FOR_INTERRUPTS();
		MemoryContextSwitchTo(scratch);
		is_lead = read_lead(&reader, lead_id, &timeline, &profile);
		MemoryContextSwitchTo(keep);
		read_states(&reader.states, watched, lead_id, states, scratch);
		for (int m = 0; m < watched->n; m++)
		{
			Scorecard  *card = watched->models[m].card;
			const char *was = states[m].segment;
			const char *is = NULL;
			Appraisal	appraisal = {0};

			/* one change a transaction: what others have committed since is left to who folds or looks next */
			if (states[m].is_new)
				continue;
			if (is_lead)
			{
				int32		number;

				MemoryContextSwitchTo(scratch);
				appraise_lead(card, timeline, profile, hour, hour, &appraisal, NULL);
				MemoryContextSwitchTo(keep);
				number = segment_number(card, &appraisal, was, now - states[m].since);
				is = number > 0 ? card->segments[number - 1].segment : NULL;
			}
			if (was == NULL ? is != NULL : is == NULL || strcmp(was, is) != 0)
				add_change(of_pending && current_is_pending(reader.current, lead_id) ? of_pending : changes, watched->models[m].model, lead_id, was, is, appraisal.score, is_lead);
		}
		ExecClearTuple(reader.states.slot);
		MemoryContextReset(scratch);
	}
	reader_close(&reader);
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

/* Compare leads whose rows are ours, a batch at a time, and log what has changed; lead_state is locked. */
static void
see_segments(Relation timelines, Relation state_table, text **lead_ids, int n, const char *cause)
{
	const Watching *watched = segments_watched();
	MemoryContext batch = AllocSetContextCreate(CurrentMemoryContext, "leadscore changes", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(batch);
	TimestampTz now = GetCurrentTimestamp();
	uint64		told = 0;

	for (int first = 0; watched && first < n; first += BATCH)
	{
		Changes		changes = {0};
		Changes		of_pending = {0};

		/* what is pending was written by somebody who had not got the row: time is not the cause */
		compare(timelines, state_table, watched, lead_ids + first, Min(BATCH, n - first), now,
				&changes, strcmp(cause, "time") == 0 ? &of_pending : NULL);
		if (changes.n > 0)
			write_changes(watched, &changes, now, cause, &told);
		if (of_pending.n > 0)
			write_changes(watched, &of_pending, now, "event", &told);
		MemoryContextReset(batch);
	}
	if (told > MOST_NOTICES)
		Async_Notify("leadscore", psprintf("{\"more\": " UINT64_FORMAT "}", told - MOST_NOTICES));
	MemoryContextSwitchTo(old);
	MemoryContextDelete(batch);
}

/* see_leads(lead_ids, cause): compare leads whose rows of lead_timeline the caller holds. */
Datum
see_leads(PG_FUNCTION_ARGS)
{
	Relation	timelines = table_open(our_table("lead_timeline"), RowExclusiveLock);
	Relation	state_table = table_open(our_table("lead_state"), RowExclusiveLock);
	Datum	   *datums;
	text	  **lead_ids;
	int			n;

	CommandCounterIncrement();
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), TEXTOID, -1, false, TYPALIGN_INT, &datums, NULL, &n);
	lead_ids = palloc_extended(Max(n, 1) * sizeof(text *), MCXT_ALLOC_HUGE);
	for (int i = 0; i < n; i++)
		lead_ids[i] = DatumGetTextPP(datums[i]);
	see_segments(timelines, state_table, lead_ids, sort_names(lead_ids, n), text_to_cstring(PG_GETARG_TEXT_PP(1)));
	table_close(state_table, NoLock);
	table_close(timelines, NoLock);
	PG_RETURN_VOID();
}

/* ---------- before commit ---------- */

/* Those of some names that are aliases, followed by their leads: what an alias had is its lead's now. Returns how many names there are. */
static int
add_leads_of_aliases(Relation timelines, text **names, int n)
{
	Current    *current = current_open(timelines, SnapshotSelf);
	int			total = n;

	for (int i = 0; current && i < n; i++)
	{
		text	   *lead = current_lead_of(current, names[i]);

		if (lead)
			names[total++] = lead;
	}
	if (current)
		current_close(current);
	return sort_names(names, total);
}

/* Remove rows that were made only to be held. */
static void
release_made(Relation timelines, text **made, int n)
{
	Stores	   *stores;

	if (n == 0)
		return;
	stores = stores_open(timelines, true);
	for (int i = 0; i < n; i++)
	{
		struct varlena *row;
		Store	   *store = store_of(stores, made[i]);

		if (store_take(store, made[i], false, &row) == TAKEN)
			store_put(store, DatumGetTimeline(PointerGetDatum(row)));
	}
	stores_close(stores);
}

const Watching *
segments_logged(void)
{
	return IsolationIsSerializable() ? NULL : segments_watched();
}

/*
 * Whether changes can be written without waiting: the tables are locked, as any
 * writer locks them, to the end of the transaction. Who renames or deletes a model
 * has lead_state, who changes a budget offer_slot, a DBA any.
 */
static bool
can_write(void)
{
	static const char *const tables[] = {"lead_state", "segment_change", "offer_slot", "voucher"};
	const Watching *watched = segments_logged();
	int			n = watched == NULL ? 0 : watched->offers ? 4 : 2;

	for (int i = 0; i < n; i++)
		if (!ConditionalLockRelationOid(our_table(tables[i]), RowExclusiveLock))
			return false;
	return n > 0;
}

void
see_touched(text **names, int n, const char *cause)
{
	Relation	timelines = table_open(our_table("lead_timeline"), RowExclusiveLock);
	text	  **lead_ids = palloc_extended(2 * (Size) n * sizeof(text *), MCXT_ALLOC_HUGE);
	text	  **made;
	Stores	   *stores;
	int			nleads;
	int			nheld = 0;
	int			nmade = 0;

	if (can_write())
	{
		Relation	state_table = table_open(our_table("lead_state"), NoLock);

		memcpy(lead_ids, names, n * sizeof(text *));
		nleads = add_leads_of_aliases(timelines, lead_ids, n);
		made = palloc_extended(nleads * sizeof(text *), MCXT_ALLOC_HUGE);
		stores = stores_open(timelines, true);
		for (int i = 0; i < nleads; i++)
		{
			Store	   *store = store_of(stores, lead_ids[i]);
			bool		is_made;

			if (store == NULL || !store_hold(store, lead_ids[i], false, &is_made))
				continue;
			lead_ids[nheld++] = lead_ids[i];
			if (is_made)
				made[nmade++] = lead_ids[i];
		}
		stores_close(stores);
		CommandCounterIncrement();
		see_segments(timelines, state_table, lead_ids, nheld, cause);
		release_made(timelines, made, nmade);
		table_close(state_table, NoLock);
	}
	table_close(timelines, NoLock);
}
