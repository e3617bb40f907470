/*
 * offer.c: vouchers for leads that enter a segment.
 *
 *     change ──cause, condition──▶ leads ──had one?──▶ brake ──▶ slots ──▶ voucher
 *
 * The transaction that writes the change issues the vouchers. It holds the lock on the
 * lead's row of lead_timeline until it ends, so transactions issue a lead's vouchers one
 * after the other, and each sees the earlier ones.
 *
 * No writer updates a running total. A budget has one row of offer_slot for each voucher
 * that is still available. A writer that takes one skips the rows that other transactions
 * have locked or deleted, so no writer waits for another, and no row is taken twice. (Rows
 * with a slot below zero are what a lowered budget is overspent by: vouchers that expire
 * remove these first.) A session that changes a budget locks offer_slot in SHARE ROW
 * EXCLUSIVE mode until it commits; writers lock it in ROW EXCLUSIVE mode before they take
 * a snapshot. The brake counts the vouchers that exist; a writer that reaches it appends
 * to offer_stop.
 *
 * Leads are looked up by index, one by one, and statements are planned for that, because a
 * plan made while the tables were empty may be cached.
 */
#include "act/offer.h"

#include "act/cause.h"
#include "catalog.h"
#include "encoding.h"
#include "label.h"
#include "lookup.h"
#include "array_of.h"
#include "session_cache.h"
#include "timeline/timeline.h"

#include "access/table.h"
#include "model/appraise.h"
#include "catalog/pg_type.h"
#include "common/cryptohash.h"
#include "common/sha2.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(keeps_tombstones);
PG_FUNCTION_INFO_V1(voucher_code);
PG_FUNCTION_INFO_V1(voucher_key);

/* The most hours that a day has in any time zone: 25, when clocks go back. */
#define LONGEST_DAY 26

/*
 * voucher_code(): 80 random bits that cannot be guessed, as 16 digits of Crockford's base 32
 * (without I, L, O and U), in groups of four.
 */
Datum
voucher_code(PG_FUNCTION_ARGS)
{
	static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
	uint8		random[16];
	char		code[20];
	int			n = 0;

	if (!pg_strong_random(random, sizeof(random)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate random values")));
	for (int i = 0; i < 16; i++)
	{
		if (i > 0 && i % 4 == 0)
			code[n++] = '-';
		code[n++] = digits[random[i] % 32];
	}
	PG_RETURN_TEXT_P(cstring_to_text_with_len(code, n));
}

/* ---------- hashes ---------- */

/* A hash of an offer or a salt, and a name; the same on every server. */
static void
hash_of(const text *offer, const text *name, uint8 hash[PG_SHA256_DIGEST_LENGTH])
{
	StringInfoData key;
	const char *bytes;
	int			length;
	pg_cryptohash_ctx *context = pg_cryptohash_create(PG_SHA256);

	initStringInfo(&key);
	appendStringInfo(&key, "%d ", pg_mbstrlen_with_len(VARDATA_ANY(offer), VARSIZE_ANY_EXHDR(offer)));
	appendBinaryStringInfo(&key, VARDATA_ANY(offer), VARSIZE_ANY_EXHDR(offer));
	appendBinaryStringInfo(&key, VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name));
	bytes = utf8_bytes(key.data, key.len, &length);
	if (pg_cryptohash_init(context) < 0 || pg_cryptohash_update(context, (const uint8 *) bytes, length) < 0 ||
		pg_cryptohash_final(context, hash, PG_SHA256_DIGEST_LENGTH) < 0)
		elog(ERROR, "could not compute a hash: %s", pg_cryptohash_error(context));
	pg_cryptohash_free(context);
	pfree(key.data);
}

static text *
key_of(const text *offer, const text *name)
{
	uint8		hash[PG_SHA256_DIGEST_LENGTH];
	char		hex[2 * PG_SHA256_DIGEST_LENGTH];

	hash_of(offer, name, hash);
	hex_encode((const char *) hash, PG_SHA256_DIGEST_LENGTH, hex);
	return cstring_to_text_with_len(hex, sizeof(hex));
}

/* voucher_key(offer, lead_id): the same hash as hexadecimal digits. */
Datum
voucher_key(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(key_of(PG_GETARG_TEXT_PP(0), PG_GETARG_TEXT_PP(1)));
}

/* Whether a lead is held out from an offer: is_held_out() in SQL. */
static bool
is_held_out(const Offer *offer, const text *lead_id)
{
	uint8		hash[PG_SHA256_DIGEST_LENGTH];

	if (offer->held_out_below == 0)
		return false;
	hash_of(offer->offer, lead_id, hash);
	return (int64) ((uint32) hash[0] << 24 | (uint32) hash[1] << 16 | (uint32) hash[2] << 8 | hash[3]) < offer->held_out_below;
}

/* ---------- tombstones ---------- */

/* keeps_tombstones(): the setting leadscore.keep_tombstones, defined when it is first read: see chosen_language(). */
Datum
keeps_tombstones(PG_FUNCTION_ARGS)
{
	static bool keep = true;
	static bool defined = false;

	if (!defined)
		DefineCustomBoolVariable("leadscore.keep_tombstones", "Whether forget() keeps hashes of the names.",
								 "A person who comes back is not taken for somebody new by offers and experiments.",
								 &keep, true, PGC_USERSET, 0, NULL, NULL, NULL);
	defined = true;
	PG_RETURN_BOOL(keep);
}

/* ---------- offers ---------- */

int
pin_plans(void)
{
	static const char *const settings[][2] = {
		{"enable_seqscan", "off"}, {"enable_bitmapscan", "off"}, {"enable_nestloop", "off"}, {"jit", "off"}, {"TimeZone", "UTC"}
	};
	int			level = NewGUCNestLevel();

	for (Size i = 0; i < lengthof(settings); i++)
		(void) set_config_option(settings[i][0], settings[i][1], PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	return level;
}

/* One column of a row that SPI has returned. */
static Datum
column_of(HeapTuple row, int column, bool *isnull)
{
	return SPI_getbinval(row, SPI_tuptable->tupdesc, column, isnull);
}

static void
read_offer(Offer *offer, HeapTuple row)
{
	bool		isnull;
	bool		never;
	Datum		again_after = column_of(row, 7, &never);
	Datum		condition;

	offer->offer = DatumGetTextPCopy(column_of(row, 1, &isnull));
	offer->model = DatumGetTextPCopy(column_of(row, 2, &isnull));
	offer->segment = TextDatumGetCString(column_of(row, 3, &isnull));
	offer->starts_at = DatumGetTimestampTz(column_of(row, 4, &isnull));
	offer->ends_at = DatumGetTimestampTz(column_of(row, 5, &isnull));
	offer->causes = causes_of(column_of(row, 6, &isnull));
	if (!never)
	{
		offer->again_after = palloc(sizeof(Interval));
		*offer->again_after = *DatumGetIntervalP(again_after);
	}
	offer->held_out_below = DatumGetInt64(column_of(row, 8, &isnull));
	offer->has_slots = DatumGetBool(column_of(row, 9, &isnull));
	offer->brake = DatumGetInt32(column_of(row, 10, &isnull));
	offer->resumed_at = DatumGetTimestampTz(column_of(row, 11, &isnull));
	offer->stopped = DatumGetBool(column_of(row, 12, &isnull));
	offer->has_condition = DatumGetBool(column_of(row, 13, &isnull));
	condition = column_of(row, 14, &isnull);
	if (!isnull)
		offer->condition = scorecard_compile_in(CurrentMemoryContext, condition);
}

void
offers_read(Offers *offers, MemoryContext context, Snapshot now)
{
	SPIPlanPtr	plan = SPI_prepare("SELECT * FROM leadscore_internal.offers_to_issue()", 0, NULL);
	MemoryContext old;

	if (plan == NULL || SPI_execute_snapshot(plan, NULL, NULL, now, InvalidSnapshot, true, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the offers");
	old = MemoryContextSwitchTo(context);
	offers->n = (int) SPI_processed;
	offers->offers = palloc0(Max(offers->n, 1) * sizeof(Offer));
	for (int i = 0; i < offers->n; i++)
		read_offer(&offers->offers[i], SPI_tuptable->vals[i]);
	MemoryContextSwitchTo(old);
}

bool
offer_is_for(const Offer *offer, const text *model, const char *segment, TimestampTz at)
{
	return text_equal(offer->model, model) && strcmp(offer->segment, segment) == 0 &&
		offer->starts_at <= at && at < offer->ends_at && !offer->stopped;
}

bool
offer_is_met(const Offer *offer, Jsonb *profile)
{
	Appraisal	appraisal;

	if (!offer->has_condition)
		return true;
	if (offer->condition == NULL)
		return false;
	appraise_lead(offer->condition, NULL, profile, 0, 0, &appraisal, NULL);
	return appraisal.fit > 0;
}

struct varlena *
done_lately(const struct varlena *timeline, TimestampTz at)
{
	TimelineBuilder *builder;
	TimelineReader reader;
	int32		from = hour_of(at) - LONGEST_DAY;

	if (timeline == NULL)
		return NULL;
	builder = timeline_builder_create(CurrentMemoryContext);
	timeline_read(&reader, timeline);
	while (timeline_next_signal(&reader))
		while (reader.left > 0)
		{
			int64		occurrences;
			int64		value;

			timeline_next_entry(&reader, &occurrences, &value);
			if (reader.hour > from)
				builder = timeline_builder_add(builder, reader.signal_id, reader.hour, occurrences, value);
		}
	timeline_builder_compact(builder);
	return builder->n > 0 ? timeline_encode(builder->entries, builder->n) : NULL;
}

/* Run a statement with the snapshot "now"; returns the number of rows. */
static int64
run(SPIPlanPtr plan, Datum *values, Snapshot now, bool read_only, int expected)
{
	if (SPI_execute_snapshot(plan, values, NULL, now, InvalidSnapshot, read_only, true, 0) != expected)
		elog(ERROR, "could not issue vouchers");
	return (int64) SPI_processed;
}

/* ---------- earlier vouchers ---------- */

/* The tables that are looked up for each lead. */
typedef struct History
{
	Relation	aliases;		/* NULL: there are none */
	Relation	vouchers;
	Relation	tombstones;		/* NULL: there are none */
	text	   *salt;			/* of the tombstones' keys */
	Lookup		names;			/* the aliases of a lead */
	Lookup		by_lead;
	Lookup		by_key;
} History;

/* The salt of tombstones; NULL: there is none yet, and no tombstone either. */
static text *
read_salt(Snapshot now)
{
	static SPIPlanPtr plan = NULL;
	bool		isnull;

	session_plan(&plan, "SELECT s.salt FROM leadscore_internal.tombstone_salt s", 0, NULL);
	if (run(plan, NULL, now, true, SPI_OK_SELECT) == 0)
		return NULL;
	return DatumGetTextPCopy(column_of(SPI_tuptable->vals[0], 1, &isnull));
}

static void
history_open(History *history, Snapshot now)
{
	bool		found;

	memset(history, 0, sizeof(History));
	history->vouchers = table_open(our_table("voucher"), RowExclusiveLock);
	found = lookup_open(&history->by_lead, history->vouchers, 5, now);
	if (aliases_exist())
	{
		history->aliases = table_open(our_table("lead_alias"), AccessShareLock);
		found = found && lookup_open(&history->names, history->aliases, 2, now);
	}
	if (table_has_pages("tombstone") && (history->salt = read_salt(now)) != NULL)
	{
		history->tombstones = table_open(our_table("tombstone"), AccessShareLock);
		found = found && lookup_open(&history->by_key, history->tombstones, 1, now);
	}
	if (!found)
		fail_for_index("voucher and lead_alias have an index on lead_id, tombstone has a primary key.");
}

static void
history_close(History *history)
{
	lookup_close(&history->by_lead);
	table_close(history->vouchers, NoLock);
	if (history->aliases)
	{
		lookup_close(&history->names);
		table_close(history->aliases, NoLock);
	}
	if (history->tombstones)
	{
		lookup_close(&history->by_key);
		table_close(history->tombstones, NoLock);
	}
}

/* Whether a voucher issued at an instant excludes a lead from another one. */
static bool
is_recent(const Offer *offer, TimestampTz issued_at, TimestampTz at)
{
	if (offer->again_after == NULL)
		return true;
	return DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval, TimestampTzGetDatum(issued_at),
												   IntervalPGetDatum(offer->again_after))) > at;
}

/* Whether a name has had a voucher of an offer; a tombstone counts as one of every offer. */
static bool
name_had(History *history, const Offer *offer, const text *name, TimestampTz at)
{
	TupleTableSlot *slot = history->by_lead.slot;
	bool		had = false;

	lookup_begin(&history->by_lead, name);
	while (!had && lookup_next(&history->by_lead))
	{
		slot_getallattrs(slot);	/* voucher_id, offer, kind, terms, lead_id, code, issued_at, …, revoked_at */
		had = text_equal(DatumGetTextPP(slot->tts_values[1]), offer->offer) && slot->tts_isnull[13 - 1] &&
			is_recent(offer, DatumGetTimestampTz(slot->tts_values[6]), at);
	}
	ExecClearTuple(slot);
	if (!had && history->tombstones && lookup_unique(&history->by_key, key_of(history->salt, name)))
	{
		bool		isnull;

		had = is_recent(offer, DatumGetTimestampTz(slot_getattr(history->by_key.slot, 2, &isnull)), at);
		ExecClearTuple(history->by_key.slot);
	}
	return had;
}

/* The same for a lead under any of its names. */
static bool
lead_had(History *history, const Offer *offer, const text *lead_id, TimestampTz at)
{
	bool		had = name_had(history, offer, lead_id, at);

	if (had || history->aliases == NULL)
		return had;
	lookup_begin(&history->names, lead_id);
	while (!had && lookup_next(&history->names))
	{
		bool		isnull;

		had = name_had(history, offer, DatumGetTextPP(slot_getattr(history->names.slot, 1, &isnull)), at);
	}
	ExecClearTuple(history->names.slot);
	return had;
}

/* Remove leads that have had a voucher, and mark those held out; returns the number of leads left. */
static int
choose(const Offer *offer, Recipient *leads, int n, TimestampTz at, Snapshot now, int64 *wanted)
{
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "leadscore voucher", ALLOCSET_SMALL_SIZES);
	MemoryContext old;
	History		history;
	int			left = 0;

	*wanted = 0;
	history_open(&history, now);
	old = MemoryContextSwitchTo(scratch);
	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!lead_had(&history, offer, leads[i].lead_id, at))
		{
			leads[left] = leads[i];
			leads[left].held_out = is_held_out(offer, leads[i].lead_id);
			*wanted += !leads[left].held_out;
			left++;
		}
		MemoryContextReset(scratch);
	}
	MemoryContextSwitchTo(old);
	history_close(&history);
	MemoryContextDelete(scratch);
	return left;
}

/* ---------- issuing ---------- */

/* The number of vouchers that the brake lets through; wanting more than that stops the offer. */
static int64
pass_brake(const Offer *offer, int64 wanted, TimestampTz at, Snapshot now)
{
	static SPIPlanPtr count_plan = NULL;
	static SPIPlanPtr stop_plan = NULL;
	Oid			types[3] = {TEXTOID, TIMESTAMPTZOID, INT4OID};
	Datum		values[3] = {PointerGetDatum(offer->offer), TimestampTzGetDatum(Max(at - USECS_PER_HOUR, offer->resumed_at)), Int32GetDatum(offer->brake)};
	int64		left;

	session_plan(&count_plan, "SELECT FROM leadscore.voucher v WHERE v.offer OPERATOR(pg_catalog.=) $1 AND v.issued_at OPERATOR(pg_catalog.>) $2"
				 " AND v.code IS NOT NULL AND v.change_id IS NOT NULL LIMIT $3", 3, types);
	left = offer->brake - run(count_plan, values, now, true, SPI_OK_SELECT);
	if (wanted <= left)
		return wanted;
	values[1] = TimestampTzGetDatum(at);
	session_plan(&stop_plan, "INSERT INTO leadscore_internal.offer_stop (offer, stopped_at) SELECT $1, $2"
				 " WHERE NOT EXISTS (SELECT FROM leadscore_internal.offer_stop s WHERE s.offer OPERATOR(pg_catalog.=) $1)", 2, types);
	(void) run(stop_plan, values, now, false, SPI_OK_INSERT);
	return left;
}

/* take_slots() if there is a trigger on offer_slot. */
static int64
take_slots_by_statement(const Offer *offer, int64 n, Snapshot now)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[2] = {TEXTOID, INT8OID};
	Datum		values[2] = {PointerGetDatum(offer->offer), Int64GetDatum(n)};

	session_plan(&plan, "DELETE FROM leadscore_internal.offer_slot WHERE ctid OPERATOR(pg_catalog.=) ANY (ARRAY("
				 "SELECT o.ctid FROM leadscore_internal.offer_slot o WHERE o.offer OPERATOR(pg_catalog.=) $1 AND o.slot OPERATOR(pg_catalog.>) 0"
				 " ORDER BY o.slot LIMIT $2 FOR UPDATE SKIP LOCKED))", 2, types);
	return run(plan, values, now, false, SPI_OK_DELETE);
}

/*
 * Take n slots of an offer's budget, or as many as are free: looked up by the index, each
 * deleted without waiting. (At REPEATABLE READ and SERIALIZABLE, a statement with SKIP
 * LOCKED would fail if another transaction has just taken one.)
 */
static int64
take_slots(const Offer *offer, int64 n, Snapshot now)
{
	Relation	table = table_open(our_table("offer_slot"), RowExclusiveLock);
	Lookup		lookup;
	int64		taken = 0;

	if (table->trigdesc)
		taken = take_slots_by_statement(offer, n, now);
	else
	{
		if (!lookup_open(&lookup, table, 1, SnapshotSelf))
			fail_for_index("offer_slot has a primary key.");
		lookup_begin(&lookup, offer->offer);
		while (taken < n && lookup_next(&lookup))
		{
			bool		isnull;

			CHECK_FOR_INTERRUPTS();
			if (DatumGetInt64(slot_getattr(lookup.slot, 2, &isnull)) > 0 && remove_row(table, &lookup.slot->tts_tid))
				taken++;
		}
		ExecClearTuple(lookup.slot);
		lookup_close(&lookup);
		CommandCounterIncrement();
	}
	table_close(table, NoLock);
	return taken;
}

/* Whether an offer's budget has a slot left. */
static bool
has_slot(const Offer *offer, Snapshot now)
{
	static SPIPlanPtr plan = NULL;
	Oid			type = TEXTOID;
	Datum		value = PointerGetDatum(offer->offer);

	session_plan(&plan, "SELECT FROM leadscore_internal.offer_slot o WHERE o.offer OPERATOR(pg_catalog.=) $1 AND o.slot OPERATOR(pg_catalog.>) 0 LIMIT 1",
				 1, &type);
	return run(plan, &value, now, true, SPI_OK_SELECT) > 0;
}

static void
insert_vouchers(const Offer *offer, const Recipient *leads, int n, TimestampTz at, Snapshot now)
{
	static SPIPlanPtr plan = NULL;
	Relation	vouchers = table_open(our_table("voucher"), RowExclusiveLock);
	Oid			timeline = TupleDescAttr(RelationGetDescr(vouchers), 15 - 1)->atttypid;
	Oid			types[6] = {TEXTOID, TEXTARRAYOID, BOOLARRAYOID, INT8ARRAYOID, get_array_type(timeline), TIMESTAMPTZOID};
	Datum		values[6];
	Datum	   *columns[4];
	bool	   *nulls[4];

	for (int c = 0; c < 4; c++)
	{
		columns[c] = palloc_extended(n * sizeof(Datum), MCXT_ALLOC_HUGE);
		nulls[c] = palloc0(n * sizeof(bool));
	}
	for (int i = 0; i < n; i++)
	{
		columns[0][i] = PointerGetDatum(leads[i].lead_id);
		columns[1][i] = BoolGetDatum(leads[i].held_out);
		columns[2][i] = Int64GetDatum(leads[i].change_id);
		nulls[2][i] = leads[i].change_id == 0;
		columns[3][i] = PointerGetDatum(leads[i].already);
		nulls[3][i] = leads[i].already == NULL;
	}
	values[0] = PointerGetDatum(offer->offer);
	values[1] = array_of(columns[0], nulls[0], n, TEXTOID);
	values[2] = array_of(columns[1], nulls[1], n, BOOLOID);
	values[3] = array_of(columns[2], nulls[2], n, INT8OID);
	values[4] = array_of(columns[3], nulls[3], n, timeline);
	values[5] = TimestampTzGetDatum(at);
	session_plan(&plan, "INSERT INTO leadscore.voucher (offer, kind, terms, lead_id, code, issued_at, expires_at, change_id, already)"
				 " SELECT v.* FROM leadscore_internal.vouchers_to_issue($1, $2, $3, $4, $5, $6) v", 6, types);
	(void) run(plan, values, now, false, SPI_OK_INSERT);
	table_close(vouchers, NoLock);
}

int64
issue_vouchers(const Offer *offer, Recipient *leads, int n, int64 most, TimestampTz at, Snapshot now)
{
	int64		wanted;
	int64		granted;
	int64		issued = 0;
	int			end = 0;

	n = choose(offer, leads, n, at, now, &wanted);
	if (n == 0)
		return 0;
	granted = Min(wanted, most);
	if (offer->brake > 0 && leads[0].change_id != 0)
		granted = pass_brake(offer, granted, at, now);
	if (offer->has_slots)
		granted = take_slots(offer, granted, now);
	/* held-out leads take no slot; they are recorded only if the budget has one left */
	if (granted == 0 && (wanted > 0 || (offer->has_slots && !has_slot(offer, now))))
		return 0;
	/* the first leads, until enough of them get a voucher */
	while (end < n && (granted == wanted || issued < granted))
		issued += !leads[end++].held_out;
	insert_vouchers(offer, leads, end, at, now);
	return granted;
}
