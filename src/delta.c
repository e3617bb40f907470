/*
 * delta.c: adding deltas to the timelines of their leads.
 *
 * Locks. Leads are written in the order of their bytes: two writers that share
 * leads then wait for each other, but never in a circle. store.c writes the
 * rows, in lead_timeline or in the tables that it is split into, which makes no
 * difference to the order; where somebody has changed our table, such as by a
 * trigger, statements do. Adding commutes, so it is right to add to a version of the row
 * that is newer than the transaction's snapshot.
 *
 * A statement may fire several triggers: INSERT ... ON CONFLICT DO UPDATE, MERGE,
 * a WITH that writes. Were each to write for itself, the order would hold for
 * each, but not for the statement. So their deltas are collected, and written
 * together when the statement has fired them all. COPY and TRUNCATE, which are
 * no queries, fire one trigger of ours for each mapping, and write at once.
 *
 * Aliases. An alias is resolved before its delta is written, and checked again
 * after: once the row is ours, identify() and unidentify(), which take the rows
 * of both names, have either finished, and we see what they did, or wait for
 * us, and will move what we wrote. If an alias has changed in between, the
 * delta is taken off the row again, which we hold, and appended to
 * pending_delta under the name that the event has; that takes no lock.
 */
#include "delta.h"

#include "catalog.h"
#include "label.h"
#include "partition.h"
#include "store.h"
#include "transition.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(add_delta);
PG_FUNCTION_INFO_V1(add_deltas);
PG_FUNCTION_INFO_V1(hold_leads);
PG_FUNCTION_INFO_V1(fold);

void		_PG_init(void);

/* Leads written by one statement. */
#define BATCH 10000

/* ---------- collecting ---------- */

typedef struct LeadDelta
{
	Label		lead_id;
	uint32		hash;
	char		status;
	TimelineBuilder *builder;
	bool		lenient;		/* as the builder was */
	struct varlena *delta;		/* once it is complete */
	text	   *target;			/* the lead that it goes to */
	bool		written;		/* its row is ours, and has the delta */
	bool		unchanged;		/* that has not changed its segment on any model that is watched */
} LeadDelta;

#define SH_PREFIX delta
#define SH_ELEMENT_TYPE LeadDelta
#define SH_KEY_TYPE Label
#define SH_KEY lead_id
#define SH_HASH_KEY(tb, key) label_hash(key)
#define SH_EQUAL(tb, a, b) label_equal(a, b)
#define SH_STORE_HASH
#define SH_GET_HASH(tb, a) ((a)->hash)
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

struct Deltas
{
	MemoryContext context;
	delta_hash *leads;
	bool		noted;			/* in changed_lead, when they are written */
};

Deltas *
deltas_create(MemoryContext context)
{
	Deltas	   *deltas = MemoryContextAlloc(context, sizeof(Deltas));

	deltas->context = context;
	deltas->leads = delta_create(context, 8, NULL);
	deltas->noted = false;
	return deltas;
}

/*
 * The builder of a lead's delta, made when the lead is first seen; it may move
 * when it is added to. An hour that overflows is an error, unless all that is
 * added is lenient: a shop's statement does not fail because a total is absurd.
 */
TimelineBuilder **
deltas_of(Deltas *deltas, const char *lead_id, int length, bool lenient)
{
	bool		found;
	LeadDelta  *lead = delta_insert(deltas->leads, (Label) {lead_id, length}, &found);

	if (!found)
	{
		lead->lead_id.text = memcpy(MemoryContextAlloc(deltas->context, length), lead_id, length);
		lead->builder = timeline_builder_create(deltas->context);
		lead->builder->lenient = lenient;
	}
	else if (!lenient)
		lead->builder->lenient = false;
	return &lead->builder;
}

static void
warn_overflow(const char *lead_id, int length)
{
	ereport(WARNING,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("an hour of lead \"%s\" is out of range", excerpt(lead_id, length, 100)),
			 errdetail("Its occurrences or its value do not fit into 64 bits (values count in millionths): they wrap around, and the scores that use them are wrong."),
			 errhint("Correct the values: the scores are then right again.")));
}

static text *
lead_id_text(const LeadDelta *lead)
{
	return cstring_to_text_with_len(lead->lead_id.text, lead->lead_id.length);
}

/* The leads whose delta is not empty, with the delta encoded and each its own target. */
static int
deltas_complete(Deltas *deltas, LeadDelta ***leads)
{
	delta_iterator it;
	LeadDelta  *lead;
	int			n = 0;

	*leads = palloc_extended(Max(deltas->leads->members, 1) * sizeof(LeadDelta *), MCXT_ALLOC_HUGE);
	delta_start_iterate(deltas->leads, &it);
	while ((lead = delta_iterate(deltas->leads, &it)) != NULL)
	{
		timeline_builder_compact(lead->builder);
		if (lead->builder->overflowed)
			warn_overflow(lead->lead_id.text, lead->lead_id.length);
		if (lead->builder->n == 0)
			continue;
		lead->lenient = lead->builder->lenient;
		lead->delta = timeline_encode(lead->builder->entries, lead->builder->n);
		lead->target = lead_id_text(lead);
		(*leads)[n++] = lead;
	}
	return n;
}

static int
target_compare(const void *a, const void *b)
{
	return text_compare((*(LeadDelta *const *) a)->target, (*(LeadDelta *const *) b)->target);
}

/* ---------- plans, kept for the session ---------- */

typedef enum PlanName
{
	PLAN_UPSERT,
	PLAN_SWEEP,
	PLAN_HOLD,
	PLAN_RESOLVE,
	PLAN_DEFER,
	PLAN_TAKE,
	N_PLANS
} PlanName;

/* The first three are for lead_timeline, or one of its tables. */
static const char *const commands[N_PLANS] = {
	"INSERT INTO %s AS t (lead_id, timeline)"
	" SELECT d.lead_id, d.delta"
	" FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) AS d (lead_id, delta)"
	" ON CONFLICT (lead_id) DO UPDATE"
	" SET timeline = leadscore.add_delta(t.lead_id, t.timeline, excluded.timeline, $3)",

	"DELETE FROM %s"
	" WHERE lead_id OPERATOR(pg_catalog.=) ANY ($1)"
	" AND timeline OPERATOR(leadscore.=) '{}'::leadscore.timeline",

	/* a row that is there is locked, but not written */
	"INSERT INTO %s AS t (lead_id, timeline)"
	" SELECT d.lead_id, '{}'::leadscore.timeline"
	" FROM pg_catalog.unnest($1) AS d (lead_id)"
	" ON CONFLICT (lead_id) DO UPDATE SET timeline = t.timeline WHERE false",

	"SELECT alias, lead_id FROM leadscore.lead_alias"
	" WHERE alias OPERATOR(pg_catalog.=) ANY ($1)",

	"INSERT INTO leadscore.pending_delta (lead_id, delta)"
	" SELECT d.lead_id, d.delta"
	" FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) AS d (lead_id, delta)",

	"DELETE FROM leadscore.pending_delta"
	" WHERE ctid OPERATOR(pg_catalog.=) ANY (ARRAY("
	"SELECT ctid FROM leadscore.pending_delta LIMIT $1 FOR UPDATE SKIP LOCKED))"
	" RETURNING lead_id, delta",
};

static SPIPlanPtr plans[N_PLANS];
static Oid	plans_type = InvalidOid;

/* Prepare a command. SPI must be connected. */
static SPIPlanPtr
prepare(PlanName name, Oid timeline_type, const char *table)
{
	Oid			types[3] = {name == PLAN_TAKE ? INT8OID : TEXTARRAYOID, get_array_type(timeline_type), BOOLOID};
	SPIPlanPtr	plan;

	plan = SPI_prepare(psprintf(commands[name], table), name == PLAN_UPSERT ? 3 : name == PLAN_DEFER ? 2 : 1, types);
	if (plan == NULL)
		elog(ERROR, "could not prepare \"%s\"", commands[name]);
	return plan;
}

/* A plan; all are made again if the extension was. SPI must be connected. */
static SPIPlanPtr
plan_of(PlanName name, Oid timeline_type)
{
	if (plans_type != timeline_type)
	{
		for (int i = 0; i < N_PLANS; i++)
		{
			if (plans[i])
				SPI_freeplan(plans[i]);
			plans[i] = NULL;
		}
		plans_type = timeline_type;
	}
	if (plans[name] == NULL)
	{
		SPIPlanPtr	plan = prepare(name, timeline_type, "leadscore.lead_timeline");

		if (SPI_keepplan(plan) != 0)
			elog(ERROR, "could not keep \"%s\"", commands[name]);
		plans[name] = plan;
	}
	return plans[name];
}

static Oid
timeline_type_of(Relation table)
{
	return TupleDescAttr(RelationGetDescr(table), 1)->atttypid;
}

static Datum
text_array(Datum *ids, int n)
{
	return PointerGetDatum(construct_array(ids, n, TEXTOID, -1, false, TYPALIGN_INT));
}

static Datum
timeline_array(Datum *timelines, int n, Oid type)
{
	return PointerGetDatum(construct_array(timelines, n, type, -1, false, TYPALIGN_INT));
}

/* ---------- aliases ---------- */

/* Where a target has changed, of the leads that are sorted by lead_id. */
typedef struct Stray
{
	LeadDelta  *lead;
	text	   *old_target;
} Stray;

static int
lead_id_compare(const void *a, const void *b)
{
	return label_compare((*(LeadDelta *const *) a)->lead_id, (*(LeadDelta *const *) b)->lead_id);
}

/* Set each lead's target as of now; returns those whose target was another. */
static int
resolve(LeadDelta **leads, int n, Oid timeline_type, Stray **strays)
{
	MemoryContext context = CurrentMemoryContext;
	LeadDelta **by_id = palloc_extended(n * sizeof(LeadDelta *), MCXT_ALLOC_HUGE);
	text	  **targets = palloc_extended(n * sizeof(text *), MCXT_ALLOC_HUGE);
	Datum	   *ids = palloc_extended(n * sizeof(Datum), MCXT_ALLOC_HUGE);
	Snapshot	now = RegisterSnapshot(GetLatestSnapshot());
	int			nstrays = 0;

	memcpy(by_id, leads, n * sizeof(LeadDelta *));
	qsort(by_id, n, sizeof(LeadDelta *), lead_id_compare);
	for (int i = 0; i < n; i++)
	{
		targets[i] = lead_id_text(by_id[i]);
		ids[i] = PointerGetDatum(targets[i]);
	}

	SPI_connect();
	for (int first = 0; first < n; first += BATCH)
	{
		Datum		argument = text_array(ids + first, Min(BATCH, n - first));

		if (SPI_execute_snapshot(plan_of(PLAN_RESOLVE, timeline_type), &argument, NULL, now, InvalidSnapshot,
								 true, false, 0) != SPI_OK_SELECT)
			elog(ERROR, "could not resolve aliases");
		for (uint64 row = 0; row < SPI_processed; row++)
		{
			HeapTuple	tuple = SPI_tuptable->vals[row];
			bool		no_alias;
			bool		no_lead;
			Datum		alias = SPI_getbinval(tuple, SPI_tuptable->tupdesc, 1, &no_alias);
			Datum		lead_id = SPI_getbinval(tuple, SPI_tuptable->tupdesc, 2, &no_lead);
			LeadDelta	key;
			LeadDelta  *key_pointer = &key;
			LeadDelta **found;
			MemoryContext old;

			if (no_alias || no_lead)
				continue;		/* somebody has dropped our constraints */
			key.lead_id = text_label(DatumGetTextPP(alias));
			found = bsearch(&key_pointer, by_id, n, sizeof(LeadDelta *), lead_id_compare);
			if (found == NULL)
				continue;		/* the column has a collation that takes another name for the same */
			old = MemoryContextSwitchTo(context);
			targets[found - by_id] = DatumGetTextPCopy(lead_id);
			MemoryContextSwitchTo(old);
		}
		SPI_freetuptable(SPI_tuptable);
	}
	SPI_finish();
	UnregisterSnapshot(now);

	*strays = palloc_extended(n * sizeof(Stray), MCXT_ALLOC_HUGE);
	for (int i = 0; i < n; i++)
	{
		if (text_compare(by_id[i]->target, targets[i]) != 0)
			(*strays)[nstrays++] = (Stray) {by_id[i], by_id[i]->target};
		by_id[i]->target = targets[i];
	}
	return nstrays;
}

/* ---------- writing ---------- */

/* Whether add_delta() has made an empty timeline, which must not stay. */
static bool emptied = false;

/*
 * timeline + delta: (lead_id, timeline, delta, lenient). An hour that overflows
 * is an error or, leniently, wraps around with a warning.
 */
Datum
add_delta(PG_FUNCTION_ARGS)
{
	text	   *lead_id = PG_GETARG_TEXT_PP(0);
	bool		overflowed = false;
	struct varlena *sum = timeline_combine(PG_GETARG_TIMELINE(1), PG_GETARG_TIMELINE(2), 1,
										   PG_GETARG_BOOL(3) ? &overflowed : NULL);

	if (overflowed)
		warn_overflow(VARDATA_ANY(lead_id), VARSIZE_ANY_EXHDR(lead_id));
	emptied = emptied || timeline_is_empty(sum);
	PG_RETURN_POINTER(sum);
}

/*
 * The next lead of those that are in order, with the sum of its deltas, for leads
 * may repeat; i goes on behind them. A sum of nothing is passed over. False at
 * the end.
 */
static bool
next_target(LeadDelta **leads, int n, int *i, struct varlena **delta, bool *lenient)
{
	while (*i < n)
	{
		LeadDelta  *lead = leads[(*i)++];
		bool		overflowed;

		*delta = lead->delta;
		*lenient = lead->lenient;
		for (; *i < n && text_compare(lead->target, leads[*i]->target) == 0; (*i)++)
		{
			*lenient = *lenient && leads[*i]->lenient;
			*delta = timeline_combine(*delta, leads[*i]->delta, 1, *lenient ? &overflowed : NULL);
		}
		if (!timeline_is_empty(*delta))
			return true;
	}
	return false;
}

/* Add to the rows of leads, which are in order, with a few statements: in lead_timeline or, if it is not NULL, one of its tables. */
static void
upsert_rows(Relation timelines, const char *table, LeadDelta **leads, int n)
{
	Oid			type = timeline_type_of(timelines);
	SPIPlanPtr	upsert;
	SPIPlanPtr	sweep;
	Datum	   *ids = palloc(Min(n, BATCH) * sizeof(Datum));
	Datum	   *values = palloc(Min(n, BATCH) * sizeof(Datum));

	SPI_connect();
	upsert = table ? prepare(PLAN_UPSERT, type, table) : plan_of(PLAN_UPSERT, type);
	sweep = table ? prepare(PLAN_SWEEP, type, table) : plan_of(PLAN_SWEEP, type);
	for (int i = 0; i < n;)
	{
		Datum		arguments[3];
		int			size = 0;
		bool		all_lenient = true;
		bool		lenient;
		struct varlena *delta;

		while (size < BATCH && next_target(leads, n, &i, &delta, &lenient))
		{
			all_lenient = all_lenient && lenient;
			leads[i - 1]->written = true;
			ids[size] = PointerGetDatum(leads[i - 1]->target);
			values[size++] = PointerGetDatum(delta);
		}
		if (size == 0)
			continue;
		arguments[0] = text_array(ids, size);
		arguments[1] = timeline_array(values, size, type);
		arguments[2] = BoolGetDatum(all_lenient);
		emptied = false;
		if (SPI_execute_plan(upsert, arguments, NULL, false, 0) != SPI_OK_INSERT ||
			(emptied && SPI_execute_plan(sweep, arguments, NULL, false, 0) != SPI_OK_DELETE))
			elog(ERROR, "could not write timelines");
	}
	SPI_finish();
}

/* A lead whose row is being written, and the models that are watched. */
typedef struct Written
{
	const Watching *watching;
	LeadDelta  *lead;
} Written;

static void
compare_row(void *arg, const struct varlena *before, const struct varlena *after)
{
	Written    *written = arg;

	written->lead->unchanged = !segment_may_change(written->watching, before, after);
}

/* Add to the row of a lead's target. */
static void
add_to_row(Store *store, LeadDelta *lead, struct varlena *delta, bool lenient, const Watching *watching)
{
	bool		overflowed = false;
	Written		written = {watching, lead};

	store_add(store, lead->target, delta, lenient ? &overflowed : NULL, watching ? compare_row : NULL, &written);
	lead->written = true;
	if (overflowed)
		warn_overflow(VARDATA_ANY(lead->target), VARSIZE_ANY_EXHDR(lead->target));
}

/* lead_timeline, or one of the tables that it is split into. */
typedef struct Part
{
	Relation	table;			/* NULL: not opened yet */
	Store	   *store;			/* NULL: statements must write to it */
} Part;

/* Where leads have their rows. */
typedef struct Parts
{
	Relation	timelines;
	int			n;				/* of tables that it is split into */
	Oid		   *tables;
	Part	   *parts;			/* at least one */
} Parts;

/* lead_timeline is locked. */
static Parts
parts_of(Relation timelines)
{
	Parts		parts = {.timelines = timelines};

	parts.n = partition_tables(timelines, &parts.tables);
	parts.parts = palloc0(Max(parts.n, 1) * sizeof(Part));
	return parts;
}

static Part *
part_of(Parts *parts, const text *lead_id)
{
	int			number = parts->n > 0 ? partition_of(VARDATA_ANY(lead_id), VARSIZE_ANY_EXHDR(lead_id), parts->n) : 0;
	Part	   *part = &parts->parts[number];

	if (part->table == NULL)
	{
		part->table = table_open(parts->n > 0 ? parts->tables[number] : RelationGetRelid(parts->timelines), RowExclusiveLock);
		part->store = store_open(part->table, true);
	}
	return part;
}

static void
parts_close(Parts *parts)
{
	for (int i = 0; i < Max(parts->n, 1); i++)
	{
		if (parts->parts[i].store)
			store_close(parts->parts[i].store);
		if (parts->parts[i].table)
			table_close(parts->parts[i].table, NoLock);
	}
}

static char *
name_of(Relation table)
{
	return quote_qualified_identifier(get_namespace_name(RelationGetNamespace(table)), RelationGetRelationName(table));
}

/*
 * Add to the rows of leads. Rows of which nothing is left are removed. Where
 * models are watched, note what has not changed a segment.
 */
static void
add_to_rows(Relation timelines, LeadDelta **leads, int n, const Watching *watching)
{
	Parts		parts = parts_of(timelines);
	struct varlena *delta;
	bool		lenient;

	if (n > 1)
		qsort(leads, n, sizeof(LeadDelta *), target_compare);
	for (int i = 0, first = 0; next_target(leads, n, &i, &delta, &lenient); first = i)
	{
		Part	   *part = part_of(&parts, leads[i - 1]->target);

		if (part->store)
			add_to_row(part->store, leads[i - 1], delta, lenient, watching);
		else if (parts.n > 0)
			upsert_rows(timelines, name_of(part->table), leads + first, i - first);
		else
		{
			upsert_rows(timelines, NULL, leads, n);
			break;
		}
	}
	parts_close(&parts);
}

/* Append to pending_delta with a few statements. */
static void
insert_pending(LeadDelta **leads, int n, Oid timeline_type)
{
	Datum	   *ids = palloc(Min(n, BATCH) * sizeof(Datum));
	Datum	   *values = palloc(Min(n, BATCH) * sizeof(Datum));

	SPI_connect();
	for (int first = 0; first < n; first += BATCH)
	{
		int			size = Min(BATCH, n - first);
		Datum		arguments[2];

		for (int i = 0; i < size; i++)
		{
			ids[i] = PointerGetDatum(lead_id_text(leads[first + i]));
			values[i] = PointerGetDatum(leads[first + i]->delta);
		}
		arguments[0] = text_array(ids, size);
		arguments[1] = timeline_array(values, size, timeline_type);
		if (SPI_execute_plan(plan_of(PLAN_DEFER, timeline_type), arguments, NULL, false, 0) != SPI_OK_INSERT)
			elog(ERROR, "could not append deltas");
	}
	SPI_finish();
}

/* Append deltas to pending_delta, under the names that the events have. */
static void
append_pending(LeadDelta **leads, int n)
{
	Relation	pending = table_open(our_table("pending_delta"), RowExclusiveLock);
	Store	   *store = store_open(pending, false);

	qsort(leads, n, sizeof(LeadDelta *), lead_id_compare);
	if (store)
	{
		for (int i = 0; i < n; i++)
			store_append(store, lead_id_text(leads[i]), leads[i]->delta);
		store_close(store);
	}
	else
		insert_pending(leads, n, timeline_type_of(pending));
	table_close(pending, NoLock);
}

/*
 * Take deltas off the rows that they were added to, and append them instead.
 * The rows are ours, though an emptied one may be gone and is then made anew.
 */
static void
move_strays(Relation timelines, Stray *strays, int n)
{
	LeadDelta **leads = palloc(n * sizeof(LeadDelta *));
	LeadDelta **back = palloc(n * sizeof(LeadDelta *));
	struct varlena *empty = timeline_encode(NULL, 0);
	bool		overflowed;

	for (int i = 0; i < n; i++)
	{
		leads[i] = strays[i].lead;
		back[i] = palloc0(sizeof(LeadDelta));
		back[i]->lenient = true;
		back[i]->target = strays[i].old_target;
		back[i]->delta = timeline_combine(empty, strays[i].lead->delta, -1, &overflowed);
	}
	add_to_rows(timelines, back, n, NULL);
	append_pending(leads, n);
}

/*
 * Write down which leads have changed their segments. Those that have not, on
 * the models that were watched before, are passed over, if these still are
 * what is watched.
 */
static void
see_written(Relation timelines, LeadDelta **leads, int n, const Watching *before)
{
	text	  **written = palloc_extended(n * sizeof(text *), MCXT_ALLOC_HUGE);
	const Watching *watching = segments_watched();
	int			nwritten = 0;

	for (int i = 0; i < n; i++)
		if (leads[i]->written && !(leads[i]->unchanged && watching == before))
			written[nwritten++] = leads[i]->target;
	if (watching && nwritten > 0)
		see_segments(timelines, written, nwritten, "event");
	pfree(written);
}

/* Add the deltas of leads to lead_timeline, in the order of its keys. */
static void
leads_apply(LeadDelta **leads, int n, Relation timelines)
{
	Oid			type = timeline_type_of(timelines);
	const Watching *watching;
	Stray	   *strays;

	if (n == 0)
		return;
	watching = segments_watched();
	if (aliases_exist())
		(void) resolve(leads, n, type, &strays);

	add_to_rows(timelines, leads, n, watching);

	if (aliases_exist())
	{
		int			nstrays = resolve(leads, n, type, &strays);

		if (nstrays > 0)
		{
			move_strays(timelines, strays, nstrays);
			/* the rows that are ours are those of before, and have lost something since */
			for (int i = 0; i < nstrays; i++)
				strays[i].lead->target = strays[i].old_target;
			for (int i = 0; i < n; i++)
				leads[i]->unchanged = false;
		}
	}
	if (watching || segments_watched())
		see_written(timelines, leads, n, watching);
}

void
deltas_apply(Deltas *deltas, Relation timelines)
{
	LeadDelta **leads;
	int			n = deltas_complete(deltas, &leads);

	leads_apply(leads, n, timelines);
}

/* Append the deltas to pending_delta: no row is locked, nobody waits. */
static void
deltas_defer(Deltas *deltas)
{
	LeadDelta **leads;
	int			n = deltas_complete(deltas, &leads);

	if (n > 0)
		append_pending(leads, n);
}

/* ---------- whose rights ---------- */

Identity
become(Oid user, int flags)
{
	Identity	before;

	GetUserIdAndSecContext(&before.user, &before.security);
	SetUserIdAndSecContext(user, before.security | SECURITY_LOCAL_USERID_CHANGE | flags);
	return before;
}

void
become_again(Identity identity)
{
	SetUserIdAndSecContext(identity.user, identity.security);
}

/* ---------- leads whose events have changed ---------- */

void
deltas_note(Deltas *deltas)
{
	deltas->noted = true;
}

/* Append names to changed_lead with a statement. */
static void
insert_changed(text **names, int n)
{
	Datum	   *ids = palloc(n * sizeof(Datum));
	bool	   *nulls = palloc(n * sizeof(bool));
	int			length = n;
	int			first = 1;
	Oid			type = TEXTARRAYOID;
	Datum		argument;

	for (int i = 0; i < n; i++)
	{
		ids[i] = PointerGetDatum(names[i]);
		nulls[i] = names[i] == NULL;
	}
	argument = PointerGetDatum(construct_md_array(ids, nulls, 1, &length, &first, TEXTOID, -1, false, TYPALIGN_INT));
	SPI_connect();
	if (SPI_execute_with_args("INSERT INTO leadscore.changed_lead (lead_id) SELECT pg_catalog.unnest($1)",
							  1, &type, &argument, NULL, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not note whose events have changed");
	SPI_finish();
}

/* Append names, NULL for everybody, to changed_lead: past the executor, if the table is as we have made it. */
static void
append_changed(text **names, int n)
{
	Relation	changed = table_open(our_table("changed_lead"), RowExclusiveLock);

	if (changed->rd_rel->relkind != RELKIND_RELATION || changed->rd_rel->relhasindex || changed->trigdesc ||
		changed->rd_att->constr || RelationGetNumberOfAttributes(changed) != 1)
		insert_changed(names, n);
	else
	{
		TupleTableSlot *slot = table_slot_create(changed, NULL);

		for (int i = 0; i < n; i++)
		{
			ExecClearTuple(slot);
			slot->tts_values[0] = PointerGetDatum(names[i]);
			slot->tts_isnull[0] = names[i] == NULL;
			ExecStoreVirtualTuple(slot);
			table_tuple_insert(changed, slot, GetCurrentCommandId(true), 0, NULL);
		}
		ExecDropSingleTupleTableSlot(slot);
	}
	table_close(changed, NoLock);
}

/* Append the names that the events have: whatever they count for, also if it is nothing. */
static void
append_noted(Deltas *deltas)
{
	text	  **names = palloc_extended(Max(deltas->leads->members, 1) * sizeof(text *), MCXT_ALLOC_HUGE);
	int			n = 0;
	delta_iterator it;
	LeadDelta  *lead;

	delta_start_iterate(deltas->leads, &it);
	while ((lead = delta_iterate(deltas->leads, &it)) != NULL)
		names[n++] = lead_id_text(lead);
	if (n > 0)
		append_changed(names, n);
}

void
note_everybody(void)
{
	text	   *nobody = NULL;

	append_changed(&nobody, 1);
}

void
deltas_write(Deltas *deltas, bool deferred)
{
	Relation	timelines = table_open(our_table("lead_timeline"), RowExclusiveLock);
	Identity	user = become(timelines->rd_rel->relowner, 0);

	if (deltas->noted)
		append_noted(deltas);
	if (deferred)
		deltas_defer(deltas);
	else
		deltas_apply(deltas, timelines);
	become_again(user);
	table_close(timelines, NoLock);
}

/* ---------- statements ---------- */

/* A query whose triggers are firing. */
typedef struct Statement
{
	MemoryContext context;		/* of the query */
	Deltas	   *immediate;		/* or NULL */
	Deltas	   *deferred;		/* or NULL */
} Statement;

static Statement *statement = NULL;
static ExecutorFinish_hook_type previous_finish = NULL;

Deltas *
statement_deltas(bool deferred)
{
	Deltas	  **deltas;

	if (statement == NULL)
		return NULL;
	deltas = deferred ? &statement->deferred : &statement->immediate;
	if (*deltas == NULL)
		*deltas = deltas_create(AllocSetContextCreate(statement->context, "leadscore deltas", ALLOCSET_DEFAULT_SIZES));
	return *deltas;
}

static void
write_statement(Statement *finished)
{
	MemoryContext old = MemoryContextSwitchTo(finished->context);

	if (finished->deferred)
		deltas_write(finished->deferred, true);
	if (finished->immediate)
		deltas_write(finished->immediate, false);
	MemoryContextSwitchTo(old);
}

/* The end of a query, in which its AFTER triggers fire. */
static void
finish(QueryDesc *query)
{
	Statement  *outer = statement;
	Statement	this = {.context = query->estate->es_query_cxt};

	statement = &this;
	PG_TRY();
	{
		if (previous_finish)
			previous_finish(query);
		else
			standard_ExecutorFinish(query);
	}
	PG_FINALLY();
	{
		statement = outer;
	}
	PG_END_TRY();
	if (this.immediate || this.deferred)
		write_statement(&this);
}

/* When the module is loaded: see the ends of queries. */
void
_PG_init(void)
{
	previous_finish = ExecutorFinish_hook;
	ExecutorFinish_hook = finish;
}

/* ---------- holding leads ---------- */

static void
hold_by_statement(Relation timelines, Relation table, text *lead_id)
{
	Datum		id = PointerGetDatum(lead_id);
	Datum		argument = text_array(&id, 1);

	SPI_connect();
	if (SPI_execute_plan(prepare(PLAN_HOLD, timeline_type_of(timelines), name_of(table)), &argument, NULL, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not lock a timeline");
	SPI_finish();
}

/*
 * hold_leads(lead_ids, wait): lock rows of leads, made where there are none, in
 * the order in which all write them. Not to wait is to pass over those that
 * somebody else has. Returns those that are ours.
 */
Datum
hold_leads(PG_FUNCTION_ARGS)
{
	Relation	timelines = table_open(our_table("lead_timeline"), RowExclusiveLock);
	bool		wait = PG_GETARG_BOOL(1);
	Parts		parts = parts_of(timelines);
	Datum	   *ids;
	int			n;
	int			nheld = 0;

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), TEXTOID, -1, false, TYPALIGN_INT, &ids, NULL, &n);
	for (int i = 0; i < n; i++)
		ids[i] = PointerGetDatum(DatumGetTextPP(ids[i]));
	qsort(ids, n, sizeof(Datum), text_pointer_compare);
	for (int i = 0; i < n; i++)
	{
		text	   *lead_id = DatumGetTextPP(ids[i]);
		Part	   *part;

		if (nheld > 0 && text_compare(lead_id, DatumGetTextPP(ids[nheld - 1])) == 0)
			continue;
		part = part_of(&parts, lead_id);
		if (part->store == NULL)
			hold_by_statement(timelines, part->table, lead_id);
		else if (!store_hold(part->store, lead_id, wait))
			continue;
		ids[nheld++] = PointerGetDatum(lead_id);
	}
	parts_close(&parts);
	table_close(timelines, NoLock);
	PG_RETURN_DATUM(text_array(ids, nheld));
}

/* ---------- fold ---------- */

/* add_deltas(lead_ids, deltas): add to timelines what rebuild() has found to lack, aliases resolved. */
Datum
add_deltas(PG_FUNCTION_ARGS)
{
	Relation	timelines;
	Identity	user;
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(1);
	Datum	   *ids;
	Datum	   *values;
	int			nids;
	int			nvalues;
	int			n;
	LeadDelta  *deltas;
	LeadDelta **leads;

	/* as rebuild() itself fails for those who do not see every lead */
	if (check_enable_rls(our_table("lead_timeline"), InvalidOid, true) == RLS_ENABLED)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("row-level security hides rows of table \"lead_timeline\""),
				 errhint("Have somebody do this whom its policies do not bind.")));
	timelines = table_open(our_table("lead_timeline"), RowExclusiveLock);
	user = become(timelines->rd_rel->relowner, 0);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), TEXTOID, -1, false, TYPALIGN_INT, &ids, NULL, &nids);
	deconstruct_array(array, ARR_ELEMTYPE(array), -1, false, TYPALIGN_INT, &values, NULL, &nvalues);
	n = Min(nids, nvalues);
	deltas = palloc_extended(Max(n, 1) * sizeof(LeadDelta), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	leads = palloc_extended(Max(n, 1) * sizeof(LeadDelta *), MCXT_ALLOC_HUGE);
	for (int i = 0; i < n; i++)
	{
		text	   *lead_id = DatumGetTextPP(ids[i]);

		deltas[i].lead_id = (Label) {VARDATA_ANY(lead_id), VARSIZE_ANY_EXHDR(lead_id)};
		deltas[i].target = lead_id_text(&deltas[i]);
		deltas[i].delta = DatumGetTimeline(values[i]);
		deltas[i].lenient = true;
		leads[i] = &deltas[i];
	}
	leads_apply(leads, n, timelines);
	become_again(user);
	table_close(timelines, NoLock);
	PG_RETURN_VOID();
}

/*
 * Merge pending deltas into the timelines: at most so many rows (NULL: all),
 * passing over those that another session is merging. Returns how many.
 */
Datum
fold(PG_FUNCTION_ARGS)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "leadscore fold", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Relation	timelines = table_open(our_table("lead_timeline"), RowExclusiveLock);
	Deltas	   *deltas = deltas_create(context);
	Datum		limit = PG_ARGISNULL(0) ? Int64GetDatum(0) : PG_GETARG_DATUM(0);
	char		no_limit = PG_ARGISNULL(0) ? 'n' : ' ';
	int64		taken;

	if (!PG_ARGISNULL(0) && PG_GETARG_INT64(0) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_rows is negative"),
				 errdetail("It is " INT64_FORMAT ".", PG_GETARG_INT64(0)),
				 errhint("Pass NULL to fold all rows.")));

	SPI_connect();
	if (SPI_execute_plan(plan_of(PLAN_TAKE, timeline_type_of(timelines)), &limit, &no_limit, false, 0) != SPI_OK_DELETE_RETURNING)
		elog(ERROR, "could not take pending deltas");
	taken = SPI_processed;
	for (int64 row = 0; row < taken; row++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[row];
		bool		no_lead;
		bool		no_delta;
		Datum		lead = SPI_getbinval(tuple, SPI_tuptable->tupdesc, 1, &no_lead);
		Datum		delta = SPI_getbinval(tuple, SPI_tuptable->tupdesc, 2, &no_delta);
		text	   *lead_id;
		TimelineBuilder **builder;

		if (no_lead || no_delta)
			continue;			/* somebody has dropped our constraints */
		lead_id = DatumGetTextPP(lead);
		builder = deltas_of(deltas, VARDATA_ANY(lead_id), VARSIZE_ANY_EXHDR(lead_id), true);
		*builder = timeline_builder_add_timeline(*builder, DatumGetTimeline(delta), 1);
	}
	SPI_finish();
	MemoryContextSwitchTo(context);
	deltas_apply(deltas, timelines);

	table_close(timelines, NoLock);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	PG_RETURN_INT64(taken);
}
