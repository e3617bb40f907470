/*
 * gather.c: the timelines of whole tables.
 *
 * Rows in time order name a different lead almost every time. An aggregate by lead
 * would wait for memory with each of them, and the longer the more leads there are. So
 * the matched rows are first put aside in portions, by a hash of their leads. Then one
 * portion after the other is counted, whose leads fit into a processor's cache:
 *
 *     row ──signals──▶ portion ──hash──▶ lead ──▶ builder ──▶ timeline
 *         while tables are read          when they have been read
 *
 * When the rows need more than maintenance_work_mem, they are counted, and their leads
 * put into a sort; the parts of one lead are added up when they come out of it. So
 * memory use is bounded, and leads can be returned in byte order.
 *
 * An hour that overflows wraps around. So the sum does not depend on the order of the
 * rows, and equals the sum that the triggers have stored.
 */
#include "live/gather.h"

#include "catalog.h"
#include "progress.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/tuplesort.h"

PG_FUNCTION_INFO_V1(gather);

/* Portions, of which a row belongs to one by the low bits of its hash. */
#define PORTION_BITS 8
#define PORTIONS (1 << PORTION_BITS)

/*
 * The rows of a portion lie in chunks of memory, each twice as large as the one before, within these limits, or as large
 * as a row needs.
 */
#define FIRST_CHUNK 512
#define LAST_CHUNK 8192

/* The slots of the first portion that is counted; a power of two. */
#define FIRST_SLOTS 64

/* A row that matches signals. The bytes of its lead_id follow the signals. */
typedef struct MatchedRow
{
	uint32		hash;			/* of lead_id */
	int32		hour;
	int64		value;
	int32		length;			/* of lead_id */
	int32		nsignals;
	int32		signals[FLEXIBLE_ARRAY_MEMBER];
} MatchedRow;

typedef struct Chunk
{
	struct Chunk *next;
	char	   *end;			/* of its rows */
	char		rows[FLEXIBLE_ARRAY_MEMBER];
} Chunk;

typedef struct Portion
{
	Chunk	   *first;			/* NULL: no rows */
	Chunk	   *last;
	char	   *limit;			/* of the last chunk's memory */
	Size		nentries;		/* that its leads' builders can get: one for each signal of a row */
} Portion;

/* A lead of the portion that is being counted: a slot of a hash table with open addressing. */
typedef struct LeadSlot
{
	const MatchedRow *row;		/* the first one, which has its lead_id; NULL: the slot is empty */
	TimelineBuilder *builder;
	uint32		hash;
} LeadSlot;

struct Gathering
{
	MemoryContext context;
	const SignalSet *signals;
	int			part;			/* the part of the leads to gather, by hash, from 0 */
	int			parts;			/* the number of parts */
	RowTally   *tally;			/* NULL: rows are not tallied */
	TimestampTz now;

	/* rows */
	MemoryContext row_context;	/* memory for reading one row */
	MemoryContext rows_context; /* holds the matched rows */
	Size		most_entries;	/* of a portion */
	bool		is_full;		/* there is no memory for more */
	int			nread;			/* rows since progress was last reported */
	Portion		portions[PORTIONS];

	/* the leads of one portion */
	MemoryContext leads_context;
	LeadSlot   *slots;
	uint32		nslots;			/* a power of two */
	uint32		nleads;

	/* output of the leads: from one portion after the other or, in order, from a sort */
	bool		in_order;
	int			next_portion;
	uint32		next_slot;
	Tuplesortstate *sort;
	TupleTableSlot *unsorted;	/* the next row to put into the sort */
	TupleTableSlot *sorted;		/* the next row to come out of it */
	MemoryContext output_context;	/* holds what goes into the sort, or has come out of it */
};

/* ---------- rows ---------- */

static inline const char *
row_lead_id(const MatchedRow *row)
{
	return (const char *) &row->signals[row->nsignals];
}

static inline Size
row_size(int nsignals, int length)
{
	return MAXALIGN(offsetof(MatchedRow, signals) + nsignals * sizeof(int32) + length);
}

/* The rows, and the largest portion's builders, which can be twice as large as their entries. */
static Size
memory_needed(const Gathering *g)
{
	return MemoryContextMemAllocated(g->rows_context, false) + 2 * g->most_entries * sizeof(TimelineEntry);
}

/* Make room for a row in its portion. */
static MatchedRow *
portion_add(Gathering *g, Portion *portion, Size size)
{
	char	   *place = portion->last ? portion->last->end : NULL;

	if (place == NULL || size > (Size) (portion->limit - place))
	{
		Size		former = portion->last ? portion->limit - (char *) portion->last : FIRST_CHUNK / 2;
		Size		bytes = Max(Min(2 * former, LAST_CHUNK), offsetof(Chunk, rows) + size);
		Chunk	   *chunk = MemoryContextAlloc(g->rows_context, bytes);

		chunk->next = NULL;
		*(portion->last ? &portion->last->next : &portion->first) = chunk;
		portion->last = chunk;
		portion->limit = (char *) chunk + bytes;
		place = chunk->rows;
		g->is_full = memory_needed(g) / 1024 > (Size) maintenance_work_mem;
	}
	portion->last->end = place + size;
	return (MatchedRow *) place;
}

/* Put aside a row that matches signals. */
static void
rows_add(Gathering *g, const SourceRow *read, uint32 hash, int nsignals)
{
	Portion    *portion = &g->portions[hash % PORTIONS];
	MatchedRow *row = portion_add(g, portion, row_size(nsignals, read->lead_id_length));

	portion->nentries += nsignals;
	g->most_entries = Max(g->most_entries, portion->nentries);
	row->hash = hash;
	row->hour = signal_set_hour(g->signals, read->event.hour);
	row->value = read->event.value;
	row->length = read->lead_id_length;
	row->nsignals = nsignals;
	memcpy(row->signals, g->signals->matched, nsignals * sizeof(int32));
	memcpy(&row->signals[nsignals], read->lead_id, row->length);
}

/* ---------- leads ---------- */

/* Start with an empty hash table. */
static void
leads_init(Gathering *g, uint32 nslots)
{
	g->nslots = nslots;
	g->nleads = 0;
	g->slots = MemoryContextAllocExtended(g->leads_context, nslots * sizeof(LeadSlot), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
}

/* The first slot to try for a hash. (The low bits are those of the portion.) */
static inline uint32
slot_of(const Gathering *g, uint32 hash)
{
	return (hash >> PORTION_BITS) & (g->nslots - 1);
}

static void
leads_enlarge(Gathering *g)
{
	LeadSlot   *old = g->slots;
	uint32		nold = g->nslots;
	uint32		nleads = g->nleads;

	leads_init(g, nold * 2);
	g->nleads = nleads;
	for (uint32 i = 0; i < nold; i++)
	{
		uint32		slot = slot_of(g, old[i].hash);

		if (old[i].row == NULL)
			continue;
		while (g->slots[slot].row)
			slot = (slot + 1) & (g->nslots - 1);
		g->slots[slot] = old[i];
	}
	pfree(old);
}

static inline bool
is_of_lead(const MatchedRow *row, const LeadSlot *lead)
{
	return lead->hash == row->hash && lead->row->length == row->length &&
		memcmp(row_lead_id(lead->row), row_lead_id(row), row->length) == 0;
}

static LeadSlot *
lead_of(Gathering *g, const MatchedRow *row)
{
	uint32		slot = slot_of(g, row->hash);
	LeadSlot   *lead;

	while ((lead = &g->slots[slot])->row && !is_of_lead(row, lead))
		slot = (slot + 1) & (g->nslots - 1);
	if (lead->row == NULL)
	{
		*lead = (LeadSlot) {row, timeline_builder_create(g->leads_context), row->hash};
		lead->builder->lenient = true;
		g->nleads++;
	}
	return lead;
}

/* Count the rows of a portion, in place of those of the one before. */
static void
portion_count(Gathering *g, const Portion *portion)
{
	MemoryContextReset(g->leads_context);
	leads_init(g, g->nslots);
	for (const Chunk *chunk = portion->first; chunk; chunk = chunk->next)
		for (const char *p = chunk->rows; p < chunk->end;)
		{
			const MatchedRow *row = (const MatchedRow *) p;
			LeadSlot   *lead;

			CHECK_FOR_INTERRUPTS();
			if (g->nleads * 2 >= g->nslots)
				leads_enlarge(g);
			lead = lead_of(g, row);
			for (int i = 0; i < row->nsignals; i++)
				lead->builder = timeline_builder_add(lead->builder, row->signals[i], row->hour, 1, row->value);
			p += row_size(row->nsignals, row->length);
		}
}

/* The next lead of the portions, with its compacted timeline; NULL at the end. */
static const LeadSlot *
next_lead(Gathering *g)
{
	for (;;)
	{
		for (; g->next_slot < g->nslots; g->next_slot++)
		{
			LeadSlot   *lead = &g->slots[g->next_slot];

			CHECK_FOR_INTERRUPTS();
			if (lead->row == NULL)
				continue;
			timeline_builder_compact(lead->builder);
			if (lead->builder->n == 0)
				continue;
			g->next_slot++;
			return lead;
		}
		while (g->next_portion < PORTIONS && g->portions[g->next_portion].first == NULL)
			g->next_portion++;
		if (g->next_portion == PORTIONS)
			return NULL;
		portion_count(g, &g->portions[g->next_portion++]);
		g->next_slot = 0;
	}
}

/* Begin a sort by the bytes of lead_id. */
static void
sort_begin(Gathering *g)
{
	MemoryContext old = MemoryContextSwitchTo(g->context);
	AttrNumber	key = 1;
	Oid			less = TextLessOperator;
	Oid			collation = C_COLLATION_OID;
	bool		nulls_first = false;
	TupleDesc	row = CreateTemplateTupleDesc(2);

	TupleDescInitEntry(row, 1, "lead_id", TEXTOID, -1, 0);
	TupleDescInitEntry(row, 2, "timeline", BYTEAOID, -1, 0);
	finish_row_type(row);
	g->sort = tuplesort_begin_heap(row, 1, &key, &less, &collation, &nulls_first, maintenance_work_mem, NULL, false);
	g->unsorted = MakeSingleTupleTableSlot(row, &TTSOpsVirtual);
	g->sorted = MakeSingleTupleTableSlot(row, &TTSOpsMinimalTuple);
	MemoryContextSwitchTo(old);
}

/* Put the leads of all rows into the sort, and forget the rows. */
static void
leads_put_out(Gathering *g)
{
	const LeadSlot *lead;

	if (g->sort == NULL)
		sort_begin(g);
	while ((lead = next_lead(g)) != NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(g->output_context);

		ExecClearTuple(g->unsorted);
		g->unsorted->tts_values[0] = PointerGetDatum(cstring_to_text_with_len(row_lead_id(lead->row), lead->row->length));
		g->unsorted->tts_values[1] = PointerGetDatum(timeline_encode(lead->builder->entries, lead->builder->n));
		g->unsorted->tts_isnull[0] = g->unsorted->tts_isnull[1] = false;
		ExecStoreVirtualTuple(g->unsorted);
		tuplesort_puttupleslot(g->sort, g->unsorted);
		MemoryContextSwitchTo(old);
		MemoryContextReset(g->output_context);
	}
	MemoryContextReset(g->leads_context);
	MemoryContextReset(g->rows_context);
	memset(g->portions, 0, sizeof(g->portions));
	g->most_entries = 0;
	g->next_portion = 0;
	g->is_full = false;
}

/* Whether a lead belongs to our part: by the high bits of its hash, since the low bits choose its portion. */
static inline bool
is_ours(const Gathering *g, uint32 hash)
{
	return g->parts == 1 || ((uint64) hash * g->parts) >> 32 == (uint64) g->part;
}

static void
tally_row(RowTally *entry, const TupleTableSlot *slot)
{
	if (entry->rows++ == 0)
	{
		entry->table = slot->tts_tableOid;
		entry->row = slot->tts_tid;
	}
}

/* Tally a row: by its fault or, if it is an event, by whether any signal matches it. */
static void
tally(Gathering *g, const Reading *reading, const TupleTableSlot *slot, bool is_event, const SourceRow *row,
	  int nsignals)
{
	if (!is_event && row->fault == ROW_FAILED && g->tally[ROW_FAILED].rows == 0)
		g->tally[ROW_FAILED].message = MemoryContextStrdup(g->context, reading->attempts.message);
	if (!is_event)
		tally_row(&g->tally[row->fault], slot);
	else if (row->event.hour < g->signals->archived_before)
		tally_row(&g->tally[TALLY_ARCHIVED], slot);
	else
		tally_row(&g->tally[nsignals > 0 ? TALLY_COUNTED : TALLY_WITHOUT_SIGNAL], slot);
	if (is_event && nsignals > 0 && row->occurred_at > g->now)
		tally_row(&g->tally[TALLY_IN_FUTURE], slot);
}

/* Read and match one row of a table. */
static bool
gather_row(Reading *reading, TupleTableSlot *slot, void *argument)
{
	Gathering  *g = argument;
	MemoryContext old = MemoryContextSwitchTo(g->row_context);
	SourceRow	read;
	bool		is_event = source_read(reading, slot, &read);
	int			nsignals = 0;
	uint32		hash;

	if (++g->nread == PROGRESS_ROWS)
	{
		progress_advance("reading", g->nread);
		g->nread = 0;
	}
	if (is_event && is_ours(g, hash = hash_bytes((const unsigned char *) read.lead_id, read.lead_id_length)))
		nsignals = signal_set_match(g->signals, &read.event);
	if (g->tally)
		tally(g, reading, slot, is_event, &read, nsignals);
	if (nsignals > 0)
		rows_add(g, &read, hash, nsignals);
	MemoryContextSwitchTo(old);
	MemoryContextReset(g->row_context);
	if (g->is_full)
		leads_put_out(g);
	return true;
}

/* ---------- gathering ---------- */

/* Begin to gather. If "in_order" is set, leads are returned in byte order. */
Gathering *
gather_begin(const SignalSet *signals, bool in_order)
{
	Gathering  *g = palloc0(sizeof(Gathering));

	g->context = CurrentMemoryContext;
	g->signals = signals;
	g->parts = 1;
	g->in_order = in_order;
	g->row_context = AllocSetContextCreate(CurrentMemoryContext, "leadscore row", ALLOCSET_DEFAULT_SIZES);
	g->rows_context = AllocSetContextCreate(CurrentMemoryContext, "leadscore gathered rows", ALLOCSET_DEFAULT_SIZES);
	g->leads_context = AllocSetContextCreate(CurrentMemoryContext, "leadscore gathered leads", ALLOCSET_DEFAULT_SIZES);
	g->output_context = AllocSetContextCreate(CurrentMemoryContext, "leadscore gathered lead", ALLOCSET_SMALL_SIZES);
	g->nslots = g->next_slot = FIRST_SLOTS;
	return g;
}

void
gather_tally(Gathering *g, RowTally *tally)
{
	memset(tally, 0, TALLY_ENTRIES * sizeof(RowTally));
	g->tally = tally;
	g->now = GetCurrentTransactionStartTimestamp();
}

/* Gather the rows of a table, using the active snapshot. lead_ids and kinds: see source_read_table(). */
void
gather_table(Gathering *g, Relation relation, Jsonb *mapping, bool with_children, Datum lead_ids, Datum kinds)
{
	source_read_table(relation, mapping, with_children, lead_ids, kinds,
					  g->part == 0 ? "its rows are left out" : NULL, gather_row, g);
	progress_advance("reading", g->nread);
	g->nread = 0;
}

/* Call after the last table, before gather_next(). */
void
gather_complete(Gathering *g)
{
	if (g->in_order || g->sort)
	{
		leads_put_out(g);
		tuplesort_performsort(g->sort);
		(void) tuplesort_gettupleslot(g->sort, true, false, g->sorted, NULL);
	}
}

/* Return the next lead with its compacted timeline, or false at the end. Both are valid until the next call. */
bool
gather_next(Gathering *g, const char **lead_id, int *length, TimelineBuilder **builder)
{
	if (g->sort == NULL)
	{
		const LeadSlot *found = next_lead(g);

		if (found == NULL)
			return false;
		*lead_id = row_lead_id(found->row);
		*length = found->row->length;
		*builder = found->builder;
		return true;
	}

	/* the parts of a lead are adjacent in the sort */
	while (!TupIsNull(g->sorted))
	{
		MemoryContext old;
		text	   *lead;

		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(g->output_context);
		old = MemoryContextSwitchTo(g->output_context);
		slot_getallattrs(g->sorted);
		lead = DatumGetTextPCopy(g->sorted->tts_values[0]);
		*builder = timeline_builder_create(g->output_context);
		(*builder)->lenient = true;
		do
		{
			CHECK_FOR_INTERRUPTS();
			*builder = timeline_builder_add_timeline(*builder, DatumGetTimeline(g->sorted->tts_values[1]), 1);
			if (!tuplesort_gettupleslot(g->sort, true, false, g->sorted, NULL))
				break;
			slot_getallattrs(g->sorted);
		} while (DatumGetBool(DirectFunctionCall2Coll(texteq, C_COLLATION_OID, PointerGetDatum(lead), g->sorted->tts_values[0])));
		timeline_builder_compact(*builder);
		MemoryContextSwitchTo(old);
		if ((*builder)->n == 0)
			continue;
		*lead_id = VARDATA(lead);
		*length = VARSIZE(lead) - VARHDRSZ;
		return true;
	}
	return false;
}

void
gather_end(Gathering *g)
{
	if (g->sort)
	{
		ExecDropSingleTupleTableSlot(g->unsorted);
		ExecDropSingleTupleTableSlot(g->sorted);
		tuplesort_end(g->sort);
	}
	MemoryContextDelete(g->row_context);
	MemoryContextDelete(g->rows_context);
	MemoryContextDelete(g->leads_context);
	MemoryContextDelete(g->output_context);
	pfree(g);
}

/*
 * gather(sources regclass[], mappings jsonb[], signals, lead_ids, kinds, part,
 * parts) -> setof (lead_id, timeline): the timelines of the rows of some tables,
 * using the caller's snapshot. lead_ids and kinds narrow the rows that are read; the
 * result may contain more. The leads are divided into "parts" parts, and only the one
 * numbered "part", from 0, is gathered: parallel workers take one part each. Each
 * worker reads all rows, but a row costs little before its lead is known, and no
 * lead has to be merged from the results of several workers.
 */
Datum
gather(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Datum		wanted[2] = {PG_ARGISNULL(3) ? 0 : PG_GETARG_DATUM(3), PG_ARGISNULL(4) ? 0 : PG_GETARG_DATUM(4)};
	Datum	   *sources;
	Datum	   *mappings;
	int			nsources;
	int			nmappings;
	Gathering  *g;
	MemoryContext row_context;
	const char *lead_id;
	int			length;
	TimelineBuilder *builder;

	for (int i = 0; i < 7; i++)
		if (PG_ARGISNULL(i) && (i < 3 || i > 4))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("gather() needs sources, mappings, signals and parts")));
	InitMaterializedSRF(fcinfo, 0);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), REGCLASSOID, sizeof(Oid), true, TYPALIGN_INT, &sources, NULL, &nsources);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), JSONBOID, -1, false, TYPALIGN_INT, &mappings, NULL, &nmappings);

	g = gather_begin(doc_compiled(fcinfo, 2, signal_set_compile), false);
	g->part = PG_GETARG_INT32(5);
	g->parts = PG_GETARG_INT32(6);
	progress_restart("reading");
	for (int i = 0; i < Min(nsources, nmappings); i++)
	{
		Relation	relation = source_open(DatumGetObjectId(sources[i]));

		gather_table(g, relation, DatumGetJsonbP(mappings[i]), true, wanted[0], wanted[1]);
		table_close(relation, NoLock);
	}
	gather_complete(g);

	row_context = AllocSetContextCreate(CurrentMemoryContext, "leadscore timeline", ALLOCSET_DEFAULT_SIZES);
	while (gather_next(g, &lead_id, &length, &builder))
	{
		MemoryContext old = MemoryContextSwitchTo(row_context);
		Datum		values[2] = {PointerGetDatum(cstring_to_text_with_len(lead_id, length)),
		PointerGetDatum(timeline_encode(builder->entries, builder->n))};
		bool		nulls[2] = {false, false};

		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
		MemoryContextSwitchTo(old);
		MemoryContextReset(row_context);
	}
	MemoryContextDelete(row_context);
	gather_end(g);
	return (Datum) 0;
}
