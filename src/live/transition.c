/*
 * transition.c: leads that change their segment, on the models that are watched.
 *
 *     timeline just written ──scorecard──▶ segment ──┐ differ?
 *     lead_state: the segment that it was in ────────┘ │
 *                                                      ▼
 *                     lead_state, segment_change with its cause, NOTIFY, vouchers
 *
 * Locks. A transaction that compares a lead holds the lock on its row of lead_timeline
 * until it ends: a writer that has just written the row, a look at leads, identify(). So
 * transactions compare a lead one after the other, each sees what the earlier ones have
 * written, and no further row is locked if nothing has changed. Rows are read in their
 * newest version, whatever the transaction's snapshot, because the timeline is written
 * that way. Before the watched models are looked up, lead_state is locked in ROW EXCLUSIVE
 * mode, as by any writer, until the transaction ends. So a session that removes a model can
 * wait for the transactions that still know it.
 *
 * Order. Readers of the log want each row once, in an order into which no row is inserted
 * later. Neither the order of a sequence nor that of transaction IDs is the order of
 * commits. A row's tick is its transaction's ID, or the tick of the lead's previous change
 * if that is larger. So ticks do not descend along the changes of a lead, on all models.
 * A row whose tick is below the ID of the oldest running transaction was written by one
 * that has ended, so no row can appear below that ID any more.
 *
 * A restore may bring rows from a server whose transaction IDs are larger. They would not
 * be readable until our IDs catch up, and our own rows would be ordered before them.
 * So new rows get ticks behind all existing ones ("floor"), and the first consumer that
 * takes changes shifts the counting ("ahead") while SHARE ROW EXCLUSIVE on lead_state locks
 * writers out: no two writers count in different ways.
 */
#include "live/transition.h"

#include "array_of.h"
#include "catalog.h"
#include "label.h"
#include "session_cache.h"
#include "act/offer.h"
#include "live/current.h"
#include "live/profile.h"
#include "live/store.h"
#include "model/appraise.h"

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
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/json.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(see_leads);
PG_FUNCTION_INFO_V1(issue_to);
PG_FUNCTION_INFO_V1(watching_changed);
PG_FUNCTION_INFO_V1(set_clock);
PG_FUNCTION_INFO_V1(run_latest);

/* Changes of one statement that get a notification each; of the rest, only the number is sent. */
#define MOST_NOTICES 1000
/* Longest payload of a notification, with the NUL (NOTIFY_PAYLOAD_MAX_LENGTH, commands/async.c). */
#define LONGEST_NOTICE (BLCKSZ - NAMEDATALEN - 128)
/* Leads that are compared before their changes are written. */
#define BATCH 10000

/* ---------- causes ---------- */

/* ---------- what is watched, kept between statements ---------- */

typedef struct Watched
{
	text	   *model;
	Scorecard  *card;
	bool		seen;			/* every lead has been compared since the model is watched */
	Scorecard  *card_before;	/* as of the last complete look; NULL: the same */
	int64		edition;		/* distinguishes versions of the card: see edition() */
	int64		edition_before; /* as of the last complete look; the same if unknown */
} Watched;

struct Watching
{
	int			n;
	Watched    *models;
	bool		profiles;		/* some model uses profiles */
	Offers		offers;
	int64		ahead;			/* added to transaction IDs */
	int64		floor;			/* no tick is below it */
};

static SessionCache watching = {.name = "leadscore watching"};

/* Run one of our commands with the latest snapshot; SPI must be connected. */
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
 * Read how far ticks are ahead of transaction IDs. "floor" is the tick behind all existing
 * ones if new ticks would come before some of them, else 0. SPI must be connected.
 */
static void
read_clock(int64 *ahead, int64 *floor)
{
	int64		last;

	/* read the next transaction ID after the ticks: it is then above those of all ticks that we see */
	run("SELECT coalesce((SELECT pg_catalog.max(c.ahead) FROM leadscore_internal.change_clock c), 0),"
		" greatest((SELECT pg_catalog.max(c.tick) FROM leadscore.segment_change c), (SELECT pg_catalog.max(c.given_tick) FROM leadscore.change_consumer c), 0)",
		0, NULL, NULL, NULL, true, SPI_OK_SELECT);
	*ahead = number_found(1);
	last = number_found(2);
	*floor = last < (int64) U64FromFullTransactionId(ReadNextFullTransactionId()) + *ahead ? 0 : last + 1;
}

/* Read a row of models_watched() into the current memory context. */
static void
read_watched(Watching *loaded, Watched *watched, HeapTuple row)
{
	bool		no_model;
	bool		no_card;
	bool		isnull;
	Datum		model = SPI_getbinval(row, SPI_tuptable->tupdesc, 1, &no_model);
	Datum		card = SPI_getbinval(row, SPI_tuptable->tupdesc, 2, &no_card);
	Datum		before;

	if (no_model || no_card)
		elog(ERROR, "a watched model has no name or no scorecard");
	watched->model = DatumGetTextPCopy(model);
	watched->card = scorecard_compile_in(CurrentMemoryContext, card);
	watched->seen = DatumGetBool(SPI_getbinval(row, SPI_tuptable->tupdesc, 3, &isnull));
	before = SPI_getbinval(row, SPI_tuptable->tupdesc, 4, &isnull);
	if (!isnull)
		watched->card_before = scorecard_compile_in(CurrentMemoryContext, before);
	watched->edition = DatumGetInt64(SPI_getbinval(row, SPI_tuptable->tupdesc, 5, &isnull));
	watched->edition_before = DatumGetInt64(SPI_getbinval(row, SPI_tuptable->tupdesc, 6, &isnull));
	loaded->profiles = loaded->profiles || watched->card->nprofiles > 0;
}

/* Load the models that are watched now. */
static void *
load_watching(SessionCache *cache pg_attribute_unused(), void *arg pg_attribute_unused())
{
	MemoryContext context = CurrentMemoryContext;
	Watching   *loaded = palloc0(sizeof(Watching));
	int			settings;

	/* a new session plans no query if nothing is watched; watch() sends an invalidation when it commits */
	if (!table_has_pages("watched_model"))
		return loaded;
	settings = pin_plans();
	SPI_connect();
	run("SELECT * FROM leadscore_internal.models_watched()", 0, NULL, NULL, NULL, true, SPI_OK_SELECT);
	if (SPI_processed > 0)
	{
		MemoryContext old = MemoryContextSwitchTo(context);
		Snapshot	now;

		loaded->n = (int) SPI_processed;
		loaded->models = palloc0(loaded->n * sizeof(Watched));
		for (int i = 0; i < loaded->n; i++)
			read_watched(loaded, &loaded->models[i], SPI_tuptable->vals[i]);
		MemoryContextSwitchTo(old);
		now = RegisterSnapshot(GetLatestSnapshot());
		offers_read(&loaded->offers, context, now);
		UnregisterSnapshot(now);
		read_clock(&loaded->ahead, &loaded->floor);
	}
	SPI_finish();
	AtEOXact_GUC(false, settings);
	return loaded;
}

const Watching *
segments_watched(void)
{
	Oid			table = our_table("watched_model");
	Watching   *watched;

	if (!OidIsValid(table))
		return NULL;			/* a version of the extension without this table */
	watched = session_cache_get(&watching, table, load_watching, NULL);
	return watched->n > 0 ? watched : NULL;
}

/* Trigger on the tables that load_watching() reads: makes every session load them again. */
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
 * run_latest(command, arguments): run one of our commands, whose $1 is the array of
 * arguments, on all committed rows, also at REPEATABLE READ and SERIALIZABLE.
 */
Datum
run_latest(PG_FUNCTION_ARGS)
{
	Oid			type = TEXTARRAYOID;
	Datum		arguments = PG_GETARG_DATUM(1);
	char	   *command = text_to_cstring(PG_GETARG_TEXT_PP(0));

	SPI_connect();
	run(command, 1, &type, &arguments, NULL, false, strncmp(command, "UPDATE", 6) == 0 ? SPI_OK_UPDATE : SPI_OK_DELETE);
	SPI_finish();
	PG_RETURN_VOID();
}

/*
 * set_clock(): if new ticks would come before some existing ones, count from behind all of
 * them; returns whether. It locks lead_state in SHARE ROW EXCLUSIVE mode until the
 * transaction ends: every writer that counts the old way has ended by then, and none begins
 * before we end.
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
		run("INSERT INTO leadscore_internal.change_clock AS c (ahead) VALUES ($1) ON CONFLICT ((true)) DO UPDATE SET ahead = excluded.ahead",
			1, &type, &value, NULL, false, SPI_OK_INSERT);
	SPI_finish();
	PG_RETURN_BOOL(floor != 0);
}

/* ---------- changes ---------- */

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
	Datum	   *causes;
	Datum	   *doubts;			/* the cause instead if no complete look began after "doubted_since"; NULL: none */
	bool	   *doubt_null;
	Datum	   *doubted_since;
	Datum	   *editions;
	Bitmapset **offers;			/* of the entered segment, with their conditions met */
	struct varlena **already;	/* if there are such offers: the lead's events of the last day */
} Changes;

static void
add_change(Changes *changes, const Watched *model, text *lead_id, const char *from, const char *to, double score, bool is_lead, Cause cause)
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
		GROW(causes);
		GROW(doubts);
		GROW(doubt_null);
		GROW(doubted_since);
		GROW(editions);
		GROW(offers);
		GROW(already);
#undef GROW
	}
	changes->models[i] = PointerGetDatum(model->model);
	changes->lead_ids[i] = PointerGetDatum(lead_id);
	changes->from_null[i] = from == NULL;
	changes->from[i] = from ? CStringGetTextDatum(from) : (Datum) 0;
	changes->to_null[i] = to == NULL;
	changes->to[i] = to ? CStringGetTextDatum(to) : (Datum) 0;
	changes->scores[i] = Float8GetDatum(score);
	changes->score_null[i] = !is_lead;
	changes->causes[i] = CStringGetTextDatum(cause_name(cause));
	changes->doubts[i] = (Datum) 0;
	changes->doubt_null[i] = true;
	changes->doubted_since[i] = TimestampTzGetDatum(0);
	changes->editions[i] = Int64GetDatum(model->edition);
	changes->offers[i] = NULL;
	changes->already[i] = NULL;
}

/* Profiles that have changed since their leads were last compared. */
typedef struct SeenProfiles
{
	List	   *lead_ids;		/* of leads that have one */
	List	   *values;			/* their profiles; NULL: the row of lead has none */
	List	   *gone;			/* lead_ids of leads that have none any more */
} SeenProfiles;

/* The segment that a lead was in, and since when. */
typedef struct State
{
	const char *segment;		/* NULL: in none */
	TimestampTz since;
	Cause		cause;			/* why the lead entered it */
	bool		has_edition;
	int64		edition;		/* of the model at that time */
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

		slot_getallattrs(lookup->slot);	/* lead_id, model, segment, since, tick, cause, edition */
		model = DatumGetTextPP(lookup->slot->tts_values[1]);
		for (int i = 0; i < watched->n; i++)
			if (text_equal(model, watched->models[i].model))
				states[i] = (State) {
					.segment = lookup->slot->tts_isnull[2] ? NULL : TextDatumGetCString(lookup->slot->tts_values[2]),
					.since = DatumGetTimestampTz(lookup->slot->tts_values[3]),
					.cause = lookup->slot->tts_isnull[5] ? CAUSE_WATCH : cause_named(TextDatumGetCString(lookup->slot->tts_values[5])),
					.has_edition = !lookup->slot->tts_isnull[6],
					.edition = DatumGetInt64(lookup->slot->tts_values[6]),
					.is_new = TransactionIdIsCurrentTransactionId(xmin)
				};
		MemoryContextSwitchTo(keep);
	}
}

/* Whether two appraisals give the same segment, whichever segment the lead was in. */
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

/* The data that a lead is compared by, in its newest version: the lead's row lock keeps it from changing. */
typedef struct Reader
{
	Current    *current;
	Lookup		states;
	Relation	lead_table;
	Lookup		profiles;
	Relation	seen_table;
	Lookup		seen;
	Pending		pending;
	bool		is_worker;
} Reader;

/*
 * Whether this server is a worker of a coordinator. That compares leads whose events may lie elsewhere: those that have
 * aliases, and those that have nothing here any more, for their shard may have moved. (The library may be newer than
 * the extension's objects.)
 */
static bool
is_worker(void)
{
	Relation	table;
	TableScanDesc scan;
	TupleTableSlot *slot;
	bool		found;

	if (!OidIsValid(our_table("worker")) || !table_has_pages("worker"))
		return false;
	table = table_open(our_table("worker"), NoLock);
	slot = table_slot_create(table, NULL);
	scan = begin_table_scan(table, SnapshotSelf);
	found = table_scan_getnextslot(scan, ForwardScanDirection, slot);
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	table_close(table, NoLock);
	return found;
}

static void
reader_open(Reader *reader, Relation timelines, Relation state_table)
{
	reader->current = current_open(timelines, SnapshotSelf);
	reader->lead_table = table_open(our_table("lead"), AccessShareLock);
	reader->seen_table = table_open(our_table("seen_profile"), RowExclusiveLock);
	pending_profiles_open(&reader->pending, SnapshotSelf);
	reader->is_worker = is_worker();
	if (reader->current == NULL || !lookup_open(&reader->seen, reader->seen_table, 1, SnapshotSelf) || !lookup_open(&reader->states, state_table, 1, SnapshotSelf) ||
		!lookup_open(&reader->profiles, reader->lead_table, 1, SnapshotSelf) ||
		(reader->pending.table && !reader->pending.may_look_up))
		fail_for_index("lead, lead_timeline, lead_alias, lead_state and seen_profile have primary keys; lead_alias, pending_delta and pending_profile have an index on lead_id.");
}

static void
reader_close(Reader *reader)
{
	pending_close(&reader->pending);
	lookup_close(&reader->seen);
	table_close(reader->seen_table, NoLock);
	lookup_close(&reader->profiles);
	lookup_close(&reader->states);
	table_close(reader->lead_table, NoLock);
	current_close(reader->current);
}

/* Copy a lead's row of lead or seen_profile; "place" is set to the TID of its version. */
static Profile
read_row(Lookup *lookup, const text *lead_id, ItemPointer place)
{
	Profile		row = {lookup_unique(lookup, lead_id), NULL};
	bool		isnull;

	ItemPointerSetInvalid(place);
	if (row.exists)
	{
		Datum		value = slot_getattr(lookup->slot, 2, &isnull);

		row.value = isnull ? NULL : DatumGetJsonbPCopy(value);
		*place = lookup->slot->tts_tid;
		ExecClearTuple(lookup->slot);
	}
	return row;
}

/* The profile of a name, with pending changes. Read again if another backend moves those into the row meanwhile. */
static Profile
read_profile_of(Reader *reader, const text *lead_id)
{
	ItemPointerData before;
	ItemPointerData after;
	Profile		next = read_row(&reader->profiles, lead_id, &after);
	Profile		profile;

	do
	{
		CHECK_FOR_INTERRUPTS();
		profile = next;
		before = after;
		if (reader->pending.table == NULL)
			break;
		pending_profiles_apply(&reader->pending, lead_id, &profile);
		next = read_row(&reader->profiles, lead_id, &after);
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

/* A lead in its newest version; the name need not be a lead. */
typedef struct Lead
{
	bool		exists;
	bool		is_excluded;	/* not a lead, whatever its events */
	bool		is_elsewhere;	/* the coordinator compares it */
	struct varlena *timeline;	/* NULL: empty */
	Profile		profile;
	bool		has_new_profile;
	Profile		seen;			/* the one it was last compared by, if it has a new one */
} Lead;

static bool
has_aliases(Reader *reader, const text *lead_id)
{
	int			n;

	(void) current_aliases(reader->current, lead_id, &n);
	return n > 0;
}

/* A name without events is a lead if it has a row of lead, or a pending one. Aliases and excluded names are not. */
static Lead
read_lead(Reader *reader, text *lead_id, bool with_profiles)
{
	Lead		lead = {0};
	ItemPointerData place;

	if (current_lead_of(reader->current, lead_id) == NULL && !(lead.is_excluded = current_is_excluded(reader->current, lead_id)))
	{
		lead.timeline = current_timeline(reader->current, lead_id);
		lead.profile = read_profile(reader, lead_id);
		lead.exists = lead.profile.exists || lead.timeline != NULL;
		lead.is_elsewhere = reader->is_worker && (!lead.exists || has_aliases(reader, lead_id));
	}
	if (with_profiles)
	{
		lead.seen = read_row(&reader->seen, lead_id, &place);
		lead.has_new_profile = lead.seen.exists != lead.profile.exists || (lead.seen.value == NULL) != (lead.profile.value == NULL) ||
			(lead.seen.value && compareJsonbContainers(&lead.seen.value->root, &lead.profile.value->root) != 0);
	}
	return lead;
}

/* ---------- comparing ---------- */

typedef struct Comparing
{
	const Watching *watched;
	Reader		reader;
	Cause		cause;			/* why leads are compared */
	TimestampTz now;
	TimestampTz *looked_at;		/* per model: up to when the last complete look vouches; 0: unknown; NULL: not needed */
	State	   *states;			/* of one lead, on each model */
	MemoryContext scratch;		/* for one lead */
	Changes    *changes;		/* in the current memory context */
	SeenProfiles *profiles;
	List	   *left;			/* leads that the transaction has already logged and that would change again */
} Comparing;

/* A lead's segment at an instant, on a scorecard and with a given profile; NULL: none. */
static const char *
segment_at(Comparing *c, TimestampTz at, Scorecard *card, const Lead *lead, const Profile *profile, const State *state, Appraisal *appraisal)
{
	MemoryContext keep = MemoryContextSwitchTo(c->scratch);
	int32		hour = hour_of(at);
	int32		number = 0;

	if (profile->exists || lead->timeline)
	{
		appraise_lead(card, lead->timeline, profile->value, hour, hour, appraisal, NULL);
		number = segment_number(card, appraisal, state->segment, at - state->since);
	}
	MemoryContextSwitchTo(keep);
	return number > 0 ? card->segments[number - 1].segment : NULL;
}

/* The same for now. */
static const char *
segment_on(Comparing *c, Scorecard *card, const Lead *lead, const Profile *profile, const State *state, Appraisal *appraisal)
{
	return segment_at(c, c->now, card, lead, profile, state, appraisal);
}

static bool
is_same(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/*
 * Whether a lead would have been in another segment already when it was last compared or
 * looked at. If so, a transaction that could not log the change has added to its past
 * events, or removed some.
 */
static bool
has_more_past(Comparing *c, const Watched *model, const Lead *lead, const State *state)
{
	TimestampTz looked_at = c->looked_at ? c->looked_at[model - c->watched->models] : 0;
	Appraisal	appraisal;

	return looked_at != 0 &&
		!is_same(segment_at(c, Max(looked_at, state->since), model->card_before ? model->card_before : model->card, lead,
							lead->has_new_profile ? &lead->seen : &lead->profile, state, &appraisal), state->segment);
}

/* Why a lead is in another segment: would it be so on the model, and with the profile, of the last comparison? */
static Cause
cause_of(Comparing *c, const Watched *model, text *lead_id, const Lead *lead, const State *state, const char *is)
{
	Cause		cause = c->cause == CAUSE_WATCH && model->seen ? CAUSE_TIME : c->cause;
	Appraisal	appraisal;

	if (cause == CAUSE_WATCH)
		return cause;
	if (lead->is_excluded)
		return CAUSE_IDENTITY;
	if (model->card_before && !is_same(segment_on(c, model->card_before, lead, &lead->profile, state, &appraisal), is))
		return CAUSE_MODEL;
	if (lead->has_new_profile && !is_same(segment_on(c, model->card, lead, &lead->seen, state, &appraisal), is))
		return CAUSE_PROFILE;
	/* either change alone would have been enough */
	if (model->card_before && lead->has_new_profile &&
		!is_same(segment_on(c, model->card_before, lead, &lead->seen, state, &appraisal), is))
		return CAUSE_MODEL;
	/* pending events were written by a transaction that could not lock the row: time is not the cause */
	if (cause == CAUSE_TIME && lead->timeline &&
		(current_is_pending(c->reader.current, lead_id) || has_more_past(c, model, lead, state)))
		return cause_of_delta(lead->timeline);
	return cause;
}

/*
 * Whether a model was edited since the last complete look. Until the next one, the profiles
 * of that time are kept, too. An edit may be reverted: a new profile that had no effect on
 * the edited model may then have one, and the profile is the cause of that change.
 */
static bool
is_edited(const Watching *watched)
{
	for (int m = 0; m < watched->n; m++)
		if (watched->models[m].card_before)
			return true;
	return false;
}

/*
 * Note the cause to log instead, unless a complete look has begun since the lead entered
 * its segment. Such a look vouches for the segment, as it does if the lead was compared by
 * the edition of the model that the look used. Without one, an edit or a profile may have been
 * reverted before any look, which reverts its effect. Or the transaction that compared the
 * lead knew the model as it was before an edit, and ran longer than the look at the edit.
 */
static void
note_doubt(Comparing *c, const Watched *model, const State *state, Cause cause)
{
	int			i = c->changes->n - 1;
	bool		is_strange = state->has_edition && state->edition != model->edition;
	Cause		doubt;

	/* the profile of this comparison is not kept */
	if (cause == CAUSE_PROFILE && is_edited(c->watched))
		c->changes->editions[i] = Int64GetDatum(0);
	if (state->has_edition && state->edition == model->edition_before)
		return;
	if (state->cause == CAUSE_PROFILE && cause == CAUSE_TIME)
		doubt = CAUSE_PROFILE;
	else if (state->cause == CAUSE_MODEL || is_strange)
		doubt = CAUSE_MODEL;
	else
		return;
	c->changes->doubts[i] = CStringGetTextDatum(cause_name(doubt));
	c->changes->doubt_null[i] = false;
	c->changes->doubted_since[i] = TimestampTzGetDatum(state->since);
}

/* Note the offers for a lead that enters a segment. */
static void
note_offers(Comparing *c, const Watched *model, const Lead *lead, const char *is)
{
	const Offers *offers = &c->watched->offers;
	int			i = c->changes->n - 1;

	for (int o = 0; o < offers->n; o++)
		if (offer_is_for(&offers->offers[o], model->model, is, c->now) && offer_is_met(&offers->offers[o], lead->profile.value))
			c->changes->offers[i] = bms_add_member(c->changes->offers[i], o);
	if (c->changes->offers[i])
		c->changes->already[i] = done_lately(lead->timeline, c->now);
}

static void
note_profile(SeenProfiles *profiles, text *lead_id, const Profile *profile)
{
	if (!profile->exists)
	{
		profiles->gone = lappend(profiles->gone, lead_id);
		return;
	}
	profiles->lead_ids = lappend(profiles->lead_ids, lead_id);
	profiles->values = lappend(profiles->values, profile->value ? PG_DETOAST_DATUM_COPY(PointerGetDatum(profile->value)) : NULL);
}

static void
compare_lead(Comparing *c, text *lead_id)
{
	MemoryContext keep = MemoryContextSwitchTo(c->scratch);
	Lead		lead = read_lead(&c->reader, lead_id, c->watched->profiles);

	MemoryContextSwitchTo(keep);
	read_states(&c->reader.states, c->watched, lead_id, c->states, c->scratch);
	for (int m = 0; m < c->watched->n && !lead.is_elsewhere; m++)
	{
		const Watched *model = &c->watched->models[m];
		const State *state = &c->states[m];
		Appraisal	appraisal = {0};
		const char *is = segment_on(c, model->card, &lead, &lead.profile, state, &appraisal);
		Cause		cause;

		if (is_same(state->segment, is))
			continue;
		/* one change a transaction: later commits of others are left to the next fold or look */
		if (state->is_new)
		{
			if (c->left == NIL || llast(c->left) != lead_id)
				c->left = lappend(c->left, lead_id);
			continue;
		}
		cause = cause_of(c, model, lead_id, &lead, state, is);
		add_change(c->changes, model, lead_id, state->segment, is, appraisal.score, lead.exists, cause);
		note_doubt(c, model, state, cause);
		if (is)
			note_offers(c, model, &lead, is);
	}
	if (lead.has_new_profile && !is_edited(c->watched))
		note_profile(c->profiles, lead_id, &lead.profile);
	ExecClearTuple(c->reader.states.slot);
}

/*
 * When the last complete look at each watched model began. (Every look updates this, so sessions
 * do not cache it.)
 */
static TimestampTz *
last_looks(const Watching *watched)
{
	TimestampTz *looks = palloc0(watched->n * sizeof(TimestampTz));

	SPI_connect();
	run("SELECT w.model, w.looked_at FROM leadscore.watched_model w WHERE w.looked_at IS NOT NULL", 0, NULL, NULL, NULL, true, SPI_OK_SELECT);
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		bool		isnull;
		text	   *model = DatumGetTextPP(SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 1, &isnull));

		for (int m = 0; m < watched->n; m++)
			if (text_equal(model, watched->models[m].model))
				looks[m] = DatumGetTimestampTz(SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 2, &isnull));
	}
	SPI_finish();
	return looks;
}

/*
 * Compare leads and collect the changes in the current memory context. Returns the leads that are
 * left to the next look.
 */
static List *
compare(Relation timeline_table, Relation state_table, const Watching *watched, text **lead_ids, int n, TimestampTz now, Cause cause,
		Changes *changes, SeenProfiles *profiles)
{
	Comparing	c = {
		.watched = watched, .cause = cause, .now = now, .changes = changes, .profiles = profiles,
		.states = palloc(watched->n * sizeof(State)), .looked_at = cause == CAUSE_TIME ? last_looks(watched) : NULL,
		.scratch = AllocSetContextCreate(CurrentMemoryContext, "leadscore segments", ALLOCSET_DEFAULT_SIZES)
	};

	reader_open(&c.reader, timeline_table, state_table);
	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		compare_lead(&c, lead_ids[i]);
		MemoryContextReset(c.scratch);
	}
	reader_close(&c.reader);
	MemoryContextDelete(c.scratch);
	return c.left;
}

/* ---------- writing ---------- */

static void
append_member(StringInfo json, const char *key, const char *value)
{
	appendStringInfo(json, "%s\"%s\": ", json->len > 1 ? ", " : "", key);
	if (value)
		escape_json(json, value);
	else
		appendStringInfoString(json, "null");
}

/* Send a NOTIFY for each row (change_id, model, lead_id, from, to, notify) just written; n counts them. */
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

/* Issue vouchers to the leads of the change rows (change_id, model, lead_id, …, cause) just written. */
static void
issue_offers(const Offers *offers, const Changes *changes, TimestampTz now, Snapshot snapshot)
{
	SPITupleTable *rows = SPI_tuptable;
	uint64		nrows = SPI_processed;
	int		   *change_of = palloc_extended(Max(nrows, 1) * sizeof(int), MCXT_ALLOC_HUGE);
	Recipient  *leads = palloc_extended(Max(nrows, 1) * sizeof(Recipient), MCXT_ALLOC_HUGE);
	int			i = 0;
	bool		isnull;

	/* rows are in the order of the changes; models that are no longer watched have none */
	for (uint64 row = 0; row < nrows; row++)
	{
		text	   *model = DatumGetTextPP(SPI_getbinval(rows->vals[row], rows->tupdesc, 2, &isnull));
		text	   *lead_id = DatumGetTextPP(SPI_getbinval(rows->vals[row], rows->tupdesc, 3, &isnull));

		while (!text_equal(model, DatumGetTextPP(changes->models[i])) || !text_equal(lead_id, DatumGetTextPP(changes->lead_ids[i])))
			i++;
		change_of[row] = i++;
	}
	for (int o = 0; o < offers->n; o++)
	{
		int			n = 0;

		for (uint64 row = 0; row < nrows; row++)
		{
			int			change = change_of[row];

			if (bms_is_member(o, changes->offers[change]) &&
				(offers->offers[o].causes & 1 << cause_named(SPI_getvalue(rows->vals[row], rows->tupdesc, 7))))
				leads[n++] = (Recipient) {
					.lead_id = DatumGetTextPP(changes->lead_ids[change]),
					.change_id = DatumGetInt64(SPI_getbinval(rows->vals[row], rows->tupdesc, 1, &isnull)),
					.already = changes->already[change]
				};
		}
		if (n > 0)
			(void) issue_vouchers(&offers->offers[o], leads, n, PG_INT64_MAX, now, snapshot);
	}
}

/* Write the changes to the log and to lead_state, and issue vouchers. */
static void
write_changes(const Watching *watched, const Changes *changes, TimestampTz now, Snapshot snapshot, uint64 *told)
{
	static SPIPlanPtr log_plan = NULL;
	static SPIPlanPtr state_plan = NULL;
	int64		tick = Max((int64) U64FromFullTransactionId(GetTopFullTransactionId()) + watched->ahead, watched->floor);
	Oid			types[11] = {TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, FLOAT8ARRAYOID, TIMESTAMPTZOID, INT8OID, TEXTARRAYOID,
		TEXTARRAYOID, TIMESTAMPTZARRAYOID, INT8ARRAYOID};
	Datum		values[11];
	SPITupleTable *logged;
	uint64		n;

	values[0] = array_of(changes->models, NULL, changes->n, TEXTOID);
	values[1] = array_of(changes->lead_ids, NULL, changes->n, TEXTOID);
	values[2] = array_of(changes->from, changes->from_null, changes->n, TEXTOID);
	values[3] = array_of(changes->to, changes->to_null, changes->n, TEXTOID);
	values[4] = array_of(changes->scores, changes->score_null, changes->n, FLOAT8OID);
	values[5] = TimestampTzGetDatum(now);
	values[6] = Int64GetDatum(tick);
	values[7] = array_of(changes->causes, NULL, changes->n, TEXTOID);
	values[8] = array_of(changes->doubts, changes->doubt_null, changes->n, TEXTOID);
	values[9] = array_of(changes->doubted_since, NULL, changes->n, TIMESTAMPTZOID);
	values[10] = array_of(changes->editions, NULL, changes->n, INT8OID);

	session_plan(&log_plan, "INSERT INTO leadscore.segment_change (model, lead_id, from_segment, to_segment, score, changed_at, cause, tick)"
				 " SELECT c.model, c.lead_id, c.from_segment, c.to_segment, c.score, c.changed_at, c.cause_seen, c.tick_given"
				 " FROM leadscore_internal.changes_to_log($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) c RETURNING change_id, model, lead_id, from_segment, to_segment,"
				 " cause OPERATOR(pg_catalog.<>) 'watch' AND (SELECT w.notify FROM leadscore.watched_model w WHERE w.model OPERATOR(pg_catalog.=) segment_change.model),"
				 " cause", lengthof(types), types);
	session_plan(&state_plan, "INSERT INTO leadscore.lead_state (lead_id, model, segment, since, tick, cause, edition)"
				 " SELECT c.lead_id, c.model, c.to_segment, c.changed_at, c.tick_given, c.cause_seen, c.edition"
				 " FROM leadscore_internal.changes_to_log($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) c"
				 " ON CONFLICT (lead_id, model) DO UPDATE SET segment = excluded.segment, since = excluded.since, tick = excluded.tick,"
				 " cause = excluded.cause, edition = excluded.edition",
				 lengthof(types), types);
	if (SPI_execute_snapshot(log_plan, values, NULL, snapshot, InvalidSnapshot, false, true, 0) != SPI_OK_INSERT_RETURNING)
		elog(ERROR, "could not write changes of segments");
	notify(told);
	logged = SPI_tuptable;
	n = SPI_processed;
	if (SPI_execute_snapshot(state_plan, values, NULL, snapshot, InvalidSnapshot, false, true, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write the states of leads");
	SPI_tuptable = logged;
	SPI_processed = n;
	if (watched->offers.n > 0)
		issue_offers(&watched->offers, changes, now, snapshot);
}

static Datum
array_of_list(List *values, Oid type)
{
	Size		most = Max(list_length(values), 1);
	Datum	   *datums = palloc_extended(most * sizeof(Datum), MCXT_ALLOC_HUGE);
	bool	   *nulls = palloc_extended(most * sizeof(bool), MCXT_ALLOC_HUGE);
	int			n = 0;
	ListCell   *cell;

	foreach(cell, values)
	{
		nulls[n] = lfirst(cell) == NULL;
		datums[n++] = PointerGetDatum(lfirst(cell));
	}
	return array_of(datums, nulls, n, type);
}

/* Store the profiles that leads were compared by. */
static void
write_profiles(const SeenProfiles *profiles, Snapshot snapshot)
{
	static SPIPlanPtr keep_plan = NULL;
	static SPIPlanPtr drop_plan = NULL;
	Oid			types[2] = {TEXTARRAYOID, JSONBARRAYOID};
	Datum		values[2] = {array_of_list(profiles->lead_ids, TEXTOID), array_of_list(profiles->values, JSONBOID)};

	session_plan(&keep_plan, "INSERT INTO leadscore_internal.seen_profile (lead_id, profile)"
				 " SELECT p.lead_id, p.profile FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) AS p (lead_id, profile)"
				 " ON CONFLICT (lead_id) DO UPDATE SET profile = excluded.profile", 2, types);
	session_plan(&drop_plan, "DELETE FROM leadscore_internal.seen_profile WHERE lead_id OPERATOR(pg_catalog.=) ANY ($1)", 1, types);
	if (profiles->lead_ids &&
		SPI_execute_snapshot(keep_plan, values, NULL, snapshot, InvalidSnapshot, false, true, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not keep profiles");
	values[0] = array_of_list(profiles->gone, TEXTOID);
	if (profiles->gone &&
		SPI_execute_snapshot(drop_plan, values, NULL, snapshot, InvalidSnapshot, false, true, 0) != SPI_OK_DELETE)
		elog(ERROR, "could not remove profiles");
}

/* Write the results of a batch of leads. SPI is used only here, in last_looks(), and to load the watched models. */
static void
write_batch(const Watching *watched, const Changes *changes, const SeenProfiles *profiles, TimestampTz now, uint64 *told)
{
	int			settings;
	Snapshot	snapshot;

	if (changes->n == 0 && profiles->lead_ids == NIL && profiles->gone == NIL)
		return;
	settings = pin_plans();
	SPI_connect();
	/* also change rows that are newer than the transaction's snapshot */
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	if (changes->n > 0)
		write_changes(watched, changes, now, snapshot, told);
	write_profiles(profiles, snapshot);
	UnregisterSnapshot(snapshot);
	SPI_finish();
	AtEOXact_GUC(false, settings);
}

/*
 * Whether leads have been compared by the models that are watched now. If we already hold
 * lead_state's lock, only this check detects an edit that was committed since.
 */
static bool
is_current(const Watching *watched)
{
	AcceptInvalidationMessages();
	return segments_watched() == watched;
}

/*
 * Compare leads, a batch at a time, and log the changes. The caller holds the locks on the
 * leads' rows of lead_timeline, and ROW EXCLUSIVE locks on the tables of written_tables,
 * until the transaction ends. Returns the leads that are left to the next look.
 *
 * The profiles are stored only if no edit was committed before we had read all of them. A
 * look that begins after a later edit lists the same profiles. It either sees the ones that
 * we have stored, or finds the leads' rows locked and is not complete.
 */
static List *
see_segments(Relation timelines, Relation state_table, text **lead_ids, int n, Cause cause)
{
	const Watching *watched;
	List	   *left = NIL;
	MemoryContext batch = AllocSetContextCreate(CurrentMemoryContext, "leadscore changes", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(batch);
	TimestampTz now = GetCurrentTimestamp();
	uint64		told = 0;

	AcceptInvalidationMessages();
	watched = segments_watched();
	for (int first = 0; watched && first < n; first += BATCH)
	{
		Changes		changes = {0};
		SeenProfiles profiles = {0};

		List	   *left_of_batch = compare(timelines, state_table, watched, lead_ids + first, Min(BATCH, n - first), now, cause, &changes, &profiles);

		if (!is_current(watched))
			profiles = (SeenProfiles) {0};
		write_batch(watched, &changes, &profiles, now, &told);
		MemoryContextSwitchTo(old);
		left = list_concat(left, left_of_batch);
		MemoryContextSwitchTo(batch);
		MemoryContextReset(batch);
	}
	if (told > MOST_NOTICES)
		Async_Notify("leadscore", psprintf("{\"more\": " UINT64_FORMAT "}", told - MOST_NOTICES));
	MemoryContextSwitchTo(old);
	MemoryContextDelete(batch);
	return left;
}

/* The tables written for leads, besides lead_timeline. */
static const char *const written_tables[] = {"lead_state", "segment_change", "seen_profile", "offer_slot", "voucher", "offer_stop"};

/*
 * Lock lead_state, which is returned, and the other tables in ROW EXCLUSIVE mode until the
 * transaction ends. A session that changes a budget has ended, and we see its budget, or it
 * waits for us.
 */
static Relation
lock_written(void)
{
	for (Size i = 0; i < lengthof(written_tables); i++)
		LockRelationOid(our_table(written_tables[i]), RowExclusiveLock);
	return table_open(our_table("lead_state"), NoLock);
}

/*
 * see_leads(lead_ids, cause): compare leads. The caller holds the locks on their rows of
 * lead_timeline. Returns the leads that are left to the next look.
 */
Datum
see_leads(PG_FUNCTION_ARGS)
{
	Relation	timelines = table_open(our_table("lead_timeline"), RowExclusiveLock);
	Relation	state_table = lock_written();
	Datum	   *datums;
	text	  **lead_ids;
	int			n;
	List	   *left;

	CommandCounterIncrement();
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), TEXTOID, -1, false, TYPALIGN_INT, &datums, NULL, &n);
	lead_ids = palloc_extended(Max(n, 1) * sizeof(text *), MCXT_ALLOC_HUGE);
	for (int i = 0; i < n; i++)
		lead_ids[i] = DatumGetTextPP(datums[i]);
	left = see_segments(timelines, state_table, lead_ids, sort_names(lead_ids, n), cause_named(text_to_cstring(PG_GETARG_TEXT_PP(1))));
	table_close(state_table, NoLock);
	table_close(timelines, NoLock);
	PG_RETURN_DATUM(array_of_list(left, TEXTOID));
}

/* ---------- offers to leads already in a segment ---------- */

/* Find the leads that are in an offer's segment and meet its condition. */
static int
find_recipients(Relation timelines, Relation state_table, const Watching *watched, const Offer *offer, Datum *ids, int n, TimestampTz now,
				Recipient *leads)
{
	MemoryContext keep = CurrentMemoryContext;
	MemoryContext scratch = AllocSetContextCreate(keep, "leadscore segments", ALLOCSET_DEFAULT_SIZES);
	State	   *states = palloc(watched->n * sizeof(State));
	Reader		reader;
	int			found = 0;

	reader_open(&reader, timelines, state_table);
	for (int i = 0; i < n; i++)
	{
		text	   *lead_id = DatumGetTextPP(ids[i]);
		Lead		lead;

		CHECK_FOR_INTERRUPTS();
		MemoryContextSwitchTo(scratch);
		lead = read_lead(&reader, lead_id, false);
		MemoryContextSwitchTo(keep);
		read_states(&reader.states, watched, lead_id, states, scratch);
		for (int m = 0; m < watched->n && lead.exists; m++)
			if (states[m].segment && offer_is_for(offer, watched->models[m].model, states[m].segment, now) && offer_is_met(offer, lead.profile.value))
				leads[found++] = (Recipient) {.lead_id = lead_id, .already = done_lately(lead.timeline, now)};
		ExecClearTuple(reader.states.slot);
		MemoryContextReset(scratch);
	}
	reader_close(&reader);
	MemoryContextDelete(scratch);
	return found;
}

/*
 * issue_to(offer, lead_ids, most): issue vouchers to the leads that are in the offer's
 * segment. The caller holds the locks on their rows of lead_timeline. Returns the number
 * of vouchers.
 */
Datum
issue_to(PG_FUNCTION_ARGS)
{
	text	   *name = PG_GETARG_TEXT_PP(0);
	Relation	timelines = table_open(our_table("lead_timeline"), RowExclusiveLock);
	Relation	state_table = lock_written();
	const Watching *watched = segments_watched();
	const Offer *offer = NULL;
	TimestampTz now = GetCurrentTimestamp();
	Datum	   *ids;
	int			n;
	int64		issued = 0;

	CommandCounterIncrement();
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), TEXTOID, -1, false, TYPALIGN_INT, &ids, NULL, &n);
	for (int o = 0; watched && o < watched->offers.n; o++)
		if (text_equal(watched->offers.offers[o].offer, name))
			offer = &watched->offers.offers[o];
	if (offer)
	{
		Recipient  *leads = palloc_extended(Max(n, 1) * sizeof(Recipient), MCXT_ALLOC_HUGE);
		int			nleads = find_recipients(timelines, state_table, watched, offer, ids, n, now, leads);
		int			settings = pin_plans();
		Snapshot	snapshot;

		SPI_connect();
		snapshot = RegisterSnapshot(GetLatestSnapshot());
		issued = issue_vouchers(offer, leads, nleads, PG_GETARG_INT64(2), now, snapshot);
		UnregisterSnapshot(snapshot);
		SPI_finish();
		AtEOXact_GUC(false, settings);
	}
	table_close(state_table, NoLock);
	table_close(timelines, NoLock);
	PG_RETURN_INT64(issued);
}

/* ---------- before commit ---------- */

/* Add the leads of those names that are aliases: an alias's events count for its lead. Returns the number of names. */
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

/* Delete the rows that were inserted only to be locked. */
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
 * Whether changes can be written without waiting. Takes ROW EXCLUSIVE locks on the tables,
 * as any writer does, without waiting, and keeps them until the transaction ends. A
 * conflicting lock is held on lead_state by a session that renames or deletes a model or a
 * segment, on offer_slot by one that changes a budget, and on any of them by a DBA.
 */
static bool
can_write(void)
{
	if (segments_logged() == NULL)
		return false;
	for (Size i = 0; i < lengthof(written_tables); i++)
		if (!ConditionalLockRelationOid(our_table(written_tables[i]), RowExclusiveLock))
			return false;
	return true;
}

void
see_touched(text **names, int n, Cause cause)
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

			if (store == NULL || !store_lock(store, lead_ids[i], false, &is_made))
				continue;
			lead_ids[nheld++] = lead_ids[i];
			if (is_made)
				made[nmade++] = lead_ids[i];
		}
		stores_close(stores);
		CommandCounterIncrement();
		(void) see_segments(timelines, state_table, lead_ids, nheld, cause);
		release_made(timelines, made, nmade);
		table_close(state_table, NoLock);
	}
	table_close(timelines, NoLock);
}
