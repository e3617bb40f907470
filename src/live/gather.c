/*
 * gather.c: the timelines of whole tables.
 *
 * Rows in time order name a different lead almost every time, so an aggregate by
 * lead spends most of its time on cache misses. Here rows are matched in batches, and
 * the memory of their leads is prefetched while other rows are processed:
 *
 *     row ──signals──▶ pending ──hash──▶ slot ──▶ lead ──▶ builder
 *                              each step for the whole batch
 *
 * When the leads need more than maintenance_work_mem, they are put into a sort, and
 * the parts of one lead are added up when they come out of it. So memory use is
 * bounded, and leads can be returned in byte order.
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

/* Rows in a batch. */
#define BATCH 256

typedef struct GatheredLead
{
	TimelineBuilder *builder;
	int			length;
	char		lead_id[FLEXIBLE_ARRAY_MEMBER];
} GatheredLead;

typedef struct LeadSlot
{
	GatheredLead *lead;
	uint32		hash;
} LeadSlot;

/* A row that is to be added to its lead. */
typedef struct PendingRow
{
	const char *lead_id;
	int			length;
	uint32		hash;
	uint32		slot;
	int32		hour;
	int64		value;
	int32		nsignals;
	int32	   *signals;
} PendingRow;

struct Gathering
{
	MemoryContext context;
	const SignalSet *signals;
	int			part;			/* the part of the leads to gather, by hash, from 0 */
	int			parts;			/* the number of parts */
	RowTally   *tally;			/* NULL: rows are not tallied */
	TimestampTz now;

	/* leads, in a hash table with open addressing */
	MemoryContext leads_context;
	LeadSlot   *slots;
	uint32		nslots;			/* a power of two */
	uint32		nleads;

	/* rows */
	MemoryContext row_context;	/* memory for reading one row */
	MemoryContext batch_context;	/* memory for the pending rows of a batch */
	int			nread;			/* rows since progress was last reported */
	int			npending;
	PendingRow	pending[BATCH];

	/* output of the leads: from the slots or, in order, from a sort */
	bool		in_order;
	uint32		next_slot;
	Tuplesortstate *sort;
	TupleTableSlot *unsorted;	/* the next row to put into the sort */
	TupleTableSlot *sorted;		/* the next row to come out of it */
};

/* ---------- leads ---------- */

static void
leads_init(Gathering *g, uint32 nslots)
{
	g->nslots = nslots;
	g->nleads = 0;
	g->slots = MemoryContextAllocExtended(g->leads_context, nslots * sizeof(LeadSlot), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
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
		uint32		slot = old[i].hash & (g->nslots - 1);

		if (old[i].lead == NULL)
			continue;
		while (g->slots[slot].lead)
			slot = (slot + 1) & (g->nslots - 1);
		g->slots[slot] = old[i];
	}
	pfree(old);
}

static GatheredLead *
lead_create(Gathering *g, const PendingRow *row)
{
	GatheredLead *lead = MemoryContextAlloc(g->leads_context, offsetof(GatheredLead, lead_id) + row->length);

	lead->builder = timeline_builder_create(g->leads_context);
	lead->builder->lenient = true;
	lead->length = row->length;
	memcpy(lead->lead_id, row->lead_id, row->length);
	g->nleads++;
	return lead;
}

/* The first slot, from a given one on, that is empty or has the given hash. */
static inline uint32
slot_of(const Gathering *g, uint32 hash, uint32 slot)
{
	while (g->slots[slot].lead && g->slots[slot].hash != hash)
		slot = (slot + 1) & (g->nslots - 1);
	return slot;
}

/* ---------- rows ---------- */

/* Add the pending rows to their leads. */
static void
batch_count(Gathering *g)
{
	while ((g->nleads + BATCH) * 2 > g->nslots)
		leads_enlarge(g);

	for (int i = 0; i < g->npending; i++)
	{
		PendingRow *row = &g->pending[i];

		row->slot = row->hash & (g->nslots - 1);
		__builtin_prefetch(&g->slots[row->slot]);
	}
	for (int i = 0; i < g->npending; i++)
	{
		PendingRow *row = &g->pending[i];

		row->slot = slot_of(g, row->hash, row->slot);
		__builtin_prefetch(g->slots[row->slot].lead);
	}
	for (int i = 0; i < g->npending; i++)
	{
		GatheredLead *lead = g->slots[g->pending[i].slot].lead;

		if (lead)
			__builtin_prefetch(lead->builder);
	}
	for (int i = 0; i < g->npending; i++)
	{
		GatheredLead *lead = g->slots[g->pending[i].slot].lead;

		if (lead && lead->builder->n > 1)
			__builtin_prefetch(&lead->builder->entries[lead->builder->n]);
	}
	for (int i = 0; i < g->npending; i++)
	{
		PendingRow *row = &g->pending[i];
		LeadSlot   *slot;
		TimelineBuilder *builder;

		/* an earlier row of the batch may have taken the slot */
		for (;;)
		{
			row->slot = slot_of(g, row->hash, row->slot);
			slot = &g->slots[row->slot];
			if (slot->lead == NULL ||
				(slot->lead->length == row->length && memcmp(slot->lead->lead_id, row->lead_id, row->length) == 0))
				break;
			row->slot = (row->slot + 1) & (g->nslots - 1);
		}
		if (slot->lead == NULL)
			*slot = (LeadSlot) {lead_create(g, row), row->hash};
		builder = slot->lead->builder;
		for (int j = 0; j < row->nsignals; j++)
			builder = timeline_builder_add(builder, row->signals[j], row->hour, 1, row->value);
		slot->lead->builder = builder;
	}
	g->npending = 0;
	MemoryContextReset(g->batch_context);
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

/* Put all leads into the sort, and start with an empty hash table again. */
static void
leads_put_out(Gathering *g)
{
	if (g->sort == NULL)
		sort_begin(g);

	for (uint32 i = 0; i < g->nslots; i++)
	{
		GatheredLead *lead = g->slots[i].lead;
		MemoryContext old;

		CHECK_FOR_INTERRUPTS();
		if (lead == NULL)
			continue;
		timeline_builder_compact(lead->builder);
		if (lead->builder->n == 0)
			continue;
		old = MemoryContextSwitchTo(g->batch_context);
		ExecClearTuple(g->unsorted);
		g->unsorted->tts_values[0] = PointerGetDatum(cstring_to_text_with_len(lead->lead_id, lead->length));
		g->unsorted->tts_values[1] = PointerGetDatum(timeline_encode(lead->builder->entries, lead->builder->n));
		g->unsorted->tts_isnull[0] = g->unsorted->tts_isnull[1] = false;
		ExecStoreVirtualTuple(g->unsorted);
		tuplesort_puttupleslot(g->sort, g->unsorted);
		MemoryContextSwitchTo(old);
		if (i % 64 == 0)
			MemoryContextReset(g->batch_context);
	}
	MemoryContextReset(g->batch_context);
	MemoryContextReset(g->leads_context);
	leads_init(g, 4 * BATCH);
}

/* Whether a lead belongs to our part: by the high bits of its hash, since the low bits choose its slot. */
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
	PendingRow *row = &g->pending[g->npending];
	MemoryContext old = MemoryContextSwitchTo(g->row_context);
	SourceRow	read;
	bool		is_event = source_read(reading, slot, &read);

	if (++g->nread == PROGRESS_ROWS)
	{
		progress_advance("reading", g->nread);
		g->nread = 0;
	}
	row->nsignals = 0;
	if (is_event &&
		is_ours(g, row->hash = hash_bytes((const unsigned char *) read.lead_id, read.lead_id_length)))
		row->nsignals = signal_set_match(g->signals, &read.event);
	if (g->tally)
		tally(g, reading, slot, is_event, &read, row->nsignals);
	if (row->nsignals > 0)
	{
		MemoryContextSwitchTo(g->batch_context);
		row->length = read.lead_id_length;
		row->lead_id = memcpy(palloc(row->length), read.lead_id, row->length);
		row->hour = signal_set_hour(g->signals, read.event.hour);
		row->value = read.event.value;
		row->signals = memcpy(palloc(row->nsignals * sizeof(int32)), g->signals->matched, row->nsignals * sizeof(int32));
		g->npending++;
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(g->row_context);

	if (g->npending == BATCH)
	{
		batch_count(g);
		if (MemoryContextMemAllocated(g->leads_context, false) / 1024 > (Size) maintenance_work_mem)
			leads_put_out(g);
	}
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
	g->leads_context = AllocSetContextCreate(CurrentMemoryContext, "leadscore gathered leads", ALLOCSET_DEFAULT_SIZES);
	g->row_context = AllocSetContextCreate(CurrentMemoryContext, "leadscore row", ALLOCSET_DEFAULT_SIZES);
	g->batch_context = AllocSetContextCreate(CurrentMemoryContext, "leadscore gathered rows", ALLOCSET_DEFAULT_SIZES);
	leads_init(g, 4 * BATCH);
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
	batch_count(g);
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
		while (g->next_slot < g->nslots)
		{
			GatheredLead *lead = g->slots[g->next_slot++].lead;

			CHECK_FOR_INTERRUPTS();
			if (lead == NULL)
				continue;
			timeline_builder_compact(lead->builder);
			if (lead->builder->n == 0)
				continue;
			*lead_id = lead->lead_id;
			*length = lead->length;
			*builder = lead->builder;
			return true;
		}
		return false;
	}

	/* the parts of a lead are adjacent in the sort */
	while (!TupIsNull(g->sorted))
	{
		MemoryContext old;
		text	   *lead;

		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(g->batch_context);
		old = MemoryContextSwitchTo(g->batch_context);
		slot_getallattrs(g->sorted);
		lead = DatumGetTextPCopy(g->sorted->tts_values[0]);
		*builder = timeline_builder_create(g->batch_context);
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
	MemoryContextDelete(g->leads_context);
	MemoryContextDelete(g->row_context);
	MemoryContextDelete(g->batch_context);
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
