/*
 * drift.c: the aggregate tally_measures (values, after): what leads measure at two instants, in one pass over all
 * measures.
 */
#include "learn/quality.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

PG_FUNCTION_INFO_V1(tally_measures_transition);
PG_FUNCTION_INFO_V1(tally_measures_final);

/* One measure, before and after. */
typedef struct Measure
{
	Ranking    *ranking;
	double		sums[2];
} Measure;

typedef struct Tally
{
	MemoryContext context;
	int64		leads[2];
	int			n;
	Measure    *measures;
} Tally;

/* Make the measures up to a number. */
static void
tally_widen(Tally *tally, int n)
{
	MemoryContext old = MemoryContextSwitchTo(tally->context);

	tally->measures = tally->measures ? repalloc(tally->measures, n * sizeof(Measure)) : palloc(n * sizeof(Measure));
	for (; tally->n < n; tally->n++)
		tally->measures[tally->n] = (Measure) {.ranking = ranking_create(tally->context)};
	MemoryContextSwitchTo(old);
}

/* (state, values, after) -> state */
Datum
tally_measures_transition(PG_FUNCTION_ARGS)
{
	MemoryContext context = aggregate_context(fcinfo);
	Tally	   *tally = PG_ARGISNULL(0) ? NULL : (Tally *) PG_GETARG_POINTER(0);
	bool		after;
	Datum	   *values;
	bool	   *nulls;
	int			n;

	if (tally == NULL)
	{
		tally = MemoryContextAllocZero(context, sizeof(Tally));
		tally->context = context;
	}
	if (PG_ARGISNULL(1) || PG_ARGISNULL(2))
		PG_RETURN_POINTER(tally);
	after = PG_GETARG_BOOL(2);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &values, &nulls, &n);
	if (n > tally->n)
		tally_widen(tally, n);
	tally->leads[after]++;
	for (int i = 0; i < n; i++)
	{
		double		value = nulls[i] ? 0 : DatumGetFloat8(values[i]);

		if (nulls[i])
			continue;
		ranking_put(tally->measures[i].ranking, after, value);
		tally->measures[i].sums[after] += value;
	}
	PG_RETURN_POINTER(tally);
}

/* state -> measure_tally[]; NULL: there are no leads */
Datum
tally_measures_final(PG_FUNCTION_ARGS)
{
	Tally	   *tally = PG_ARGISNULL(0) ? NULL : (Tally *) PG_GETARG_POINTER(0);
	Oid			type = get_element_type(get_fn_expr_rettype(fcinfo->flinfo));
	TupleDesc	row;
	Datum	   *rows;

	if (tally == NULL || tally->n == 0)
		PG_RETURN_NULL();
	row = lookup_rowtype_tupdesc(type, -1);
	rows = palloc(tally->n * sizeof(Datum));
	for (int i = 0; i < tally->n; i++)
	{
		const Measure *measure = &tally->measures[i];
		Datum		values[7];
		bool		nulls[7] = {false};

		for (int after = 0; after < 2; after++)
		{
			int64		measured = measure->ranking->of[after].n;

			values[after] = Int64GetDatum(tally->leads[after]);
			values[2 + after] = Int64GetDatum(measured);
			values[4 + after] = Float8GetDatum(measure->sums[after] / Max(measured, 1));
			nulls[4 + after] = measured == 0;
		}
		values[6] = state_figure(fine_bands_final, measure->ranking, &nulls[6]);
		rows[i] = HeapTupleGetDatum(heap_form_tuple(row, values, nulls));
	}
	ReleaseTupleDesc(row);
	PG_RETURN_ARRAYTYPE_P(construct_array(rows, tally->n, type, -1, false, TYPALIGN_DOUBLE));
}
