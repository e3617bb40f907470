/*
 * events.c: the rows of tracked tables as events, for derived data, and a sample of them,
 * for reports on signals.
 *
 * Rows are read by the same code that counts them, so an event here is exactly what a
 * timeline has counted.
 */
#include "catalog.h"
#include "label.h"
#include "live/source.h"

#include "access/table.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(source_events);
PG_FUNCTION_INFO_V1(source_sample);

typedef struct EventWriter
{
	ReturnSetInfo *result;
	MemoryContext row_context;
} EventWriter;

static bool
write_event(Reading *reading, TupleTableSlot *slot, void *argument)
{
	EventWriter *writer = argument;
	MemoryContext old = MemoryContextSwitchTo(writer->row_context);
	SourceRow	row;

	if (source_read(reading, slot, &row))
	{
		Jsonb	   *properties = row.event.fetch_properties(row.event.row);
		Datum		values[5] = {
			PointerGetDatum(cstring_to_text_with_len(row.lead_id, row.lead_id_length)),
			PointerGetDatum(cstring_to_text_with_len(row.event.kind, row.event.kind_length)),
			TimestampTzGetDatum(row.occurred_at),
			NumericGetDatum(int64_div_fast_to_numeric(row.event.value, 6)),
			PointerGetDatum(properties),
		};
		bool		nulls[5] = {false, false, false, false, properties == NULL};

		tuplestore_putvalues(writer->result->setResult, writer->result->setDesc, values, nulls);
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(writer->row_context);
	return true;
}

/*
 * source_events(sources regclass[], mappings jsonb[], lead_ids, kinds) -> setof (lead_id,
 * kind, occurred_at, value, properties), with the caller's snapshot. lead_ids and kinds
 * say which rows are wanted; it may return others, too.
 */
Datum
source_events(PG_FUNCTION_ARGS)
{
	Datum		lead_ids = PG_ARGISNULL(2) ? 0 : PG_GETARG_DATUM(2);
	Datum		kinds = PG_ARGISNULL(3) ? 0 : PG_GETARG_DATUM(3);
	EventWriter writer = {.result = (ReturnSetInfo *) fcinfo->resultinfo};
	Datum	   *sources;
	Datum	   *mappings;
	int			nsources;
	int			nmappings;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		return (Datum) 0;
	writer.row_context = AllocSetContextCreate(CurrentMemoryContext, "leadscore event", ALLOCSET_DEFAULT_SIZES);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), REGCLASSOID, sizeof(Oid), true, TYPALIGN_INT, &sources, NULL, &nsources);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), JSONBOID, -1, false, TYPALIGN_INT, &mappings, NULL, &nmappings);
	for (int i = 0; i < Min(nsources, nmappings); i++)
	{
		Relation	relation = source_open(DatumGetObjectId(sources[i]));

		source_read_table(relation, DatumGetJsonbP(mappings[i]), true, lead_ids, kinds,
						  "its rows are left out", write_event, &writer);
		table_close(relation, NoLock);
	}
	MemoryContextDelete(writer.row_context);
	return (Datum) 0;
}

/* Limits of a sample: rows read, and events returned. */
#define MAX_ROWS_SEARCHED 10000
#define MAX_EVENTS_SAMPLED 200

typedef struct Sample
{
	ReturnSetInfo *result;
	const text *kind;			/* NULL: any */
	int			rows;
	int			events;
	MemoryContext row_context;
} Sample;

static bool
sample_event(Reading *reading, TupleTableSlot *slot, void *argument)
{
	Sample	   *sample = argument;
	MemoryContext old = MemoryContextSwitchTo(sample->row_context);
	SourceRow	row;

	if (source_read(reading, slot, &row) &&
		(sample->kind == NULL || label_equal(text_label(sample->kind), (Label) {row.event.kind, row.event.kind_length})))
	{
		Jsonb	   *properties = row.event.fetch_properties(row.event.row);
		Datum		value = PointerGetDatum(properties);
		bool		isnull = properties == NULL;

		tuplestore_putvalues(sample->result->setResult, sample->result->setDesc, &value, &isnull);
		sample->events++;
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(sample->row_context);
	return ++sample->rows < MAX_ROWS_SEARCHED && sample->events < MAX_EVENTS_SAMPLED;
}

/*
 * source_sample(source, mapping, kind) -> setof jsonb: the properties of events of
 * a kind (NULL: any) among the first rows of a table and its children.
 */
Datum
source_sample(PG_FUNCTION_ARGS)
{
	Sample		sample = {.result = (ReturnSetInfo *) fcinfo->resultinfo, .kind = PG_ARGISNULL(2) ? NULL : PG_GETARG_TEXT_PP(2)};
	Relation	relation;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		return (Datum) 0;
	sample.row_context = AllocSetContextCreate(CurrentMemoryContext, "leadscore event", ALLOCSET_DEFAULT_SIZES);
	relation = source_open(PG_GETARG_OID(0));
	source_read_table(relation, PG_GETARG_JSONB_P(1), true, 0, 0, "its rows are left out", sample_event, &sample);
	table_close(relation, NoLock);
	MemoryContextDelete(sample.row_context);
	return (Datum) 0;
}
