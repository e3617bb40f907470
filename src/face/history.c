/*
 * history.c: the aggregate census (scorecard, timeline, profile, instants): how many leads each segment has at
 * each instant, the sum of their scores, and how many have entered and left since the previous instant.
 */
#include "face/census.h"
#include "learn/quality.h"

#include "catalog/pg_type.h"
#include "libpq/pqformat.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(census_transition);
PG_FUNCTION_INFO_V1(census_merge);
PG_FUNCTION_INFO_V1(census_serialize);
PG_FUNCTION_INFO_V1(census_deserialize);
PG_FUNCTION_INFO_V1(census_final);

#define CENSUS_COLUMNS 6

Census *
census_create(MemoryContext context, int32 rows, int32 columns)
{
	Census	   *census = MemoryContextAllocZero(context, sizeof(Census));

	census->rows = rows;
	census->columns = columns;
	census->cells = MemoryContextAllocExtended(context, Max((Size) rows * columns, 1) * sizeof(Cell), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	return census;
}

/* Count a lead at an instant; "before" is its segment at the previous one, -1: not yet a lead. */
void
census_count(Census *census, int32 row, const Scorecard *card, const Appraisal *appraisal, int32 *before)
{
	int32		segment = segment_number(card, appraisal, NULL, 0);
	Cell	   *cells = census->cells + (Size) row * census->columns;

	cells[segment].leads++;
	cells[segment].sum += appraisal->score;
	if (segment != *before)
	{
		cells[segment].entered++;
		if (*before >= 0)
			cells[*before].departed++;
		*before = segment;
	}
}

/* The hours of an array of instants, which ascend. */
int32 *
hours_of_instants(ArrayType *instants, int32 *n)
{
	Datum	   *values;
	bool	   *nulls;
	int32	   *hours;

	deconstruct_array(instants, TIMESTAMPTZOID, sizeof(TimestampTz), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &values, &nulls, n);
	hours = palloc(Max(*n, 1) * sizeof(int32));
	for (int32 i = 0; i < *n; i++)
	{
		if (nulls[i] || (i > 0 && DatumGetTimestampTz(values[i]) < DatumGetTimestampTz(values[i - 1])))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("instants are NULL or out of order"),
					 errdetail("It is instant %d.", i + 1),
					 errhint("Write the earliest first.")));
		hours[i] = hour_of(DatumGetTimestampTz(values[i]));
	}
	return hours;
}

/* (state, scorecard, timeline, profile, instants) -> state; scorecard and instants are those of the first row */
Datum
census_transition(PG_FUNCTION_ARGS)
{
	MemoryContext context = aggregate_context(fcinfo);
	Census	   *census = PG_ARGISNULL(0) ? NULL : (Census *) PG_GETARG_POINTER(0);
	OverTime   *over;
	int32		before = -1;

	if (PG_ARGISNULL(1) || PG_ARGISNULL(4))
	{
		if (census == NULL)
			PG_RETURN_NULL();
		PG_RETURN_POINTER(census);
	}
	if (census == NULL)
	{
		Scorecard  *card = scorecard_compile_in(context, PG_GETARG_DATUM(1));
		int32		n;
		int32	   *hours = hours_of_instants(PG_GETARG_ARRAYTYPE_P(4), &n);

		census = census_create(context, n, card->nsegments + 1);
		census->over = over_time_create(context, card, n, hours);
	}

	over = census->over;
	for (int32 k = over_time_lead(over, PG_ARGISNULL(2) ? NULL : PG_GETARG_TIMELINE(2),
								  PG_ARGISNULL(3) || over->card->nprofiles == 0 ? NULL : PG_GETARG_JSONB_P(3)); k < over->n; k++)
		census_count(census, k, over->card, &over->appraisals[k], &before);
	PG_RETURN_POINTER(census);
}

/* (state, state) -> state */
Datum
census_merge(PG_FUNCTION_ARGS)
{
	MemoryContext context = aggregate_context(fcinfo);
	Census	   *census = PG_ARGISNULL(0) ? NULL : (Census *) PG_GETARG_POINTER(0);
	Census	   *other = PG_ARGISNULL(1) ? NULL : (Census *) PG_GETARG_POINTER(1);

	if (other == NULL)
	{
		if (census == NULL)
			PG_RETURN_NULL();
		PG_RETURN_POINTER(census);
	}
	if (census == NULL)
		census = census_create(context, other->rows, other->columns);
	if (census->rows != other->rows || census->columns != other->columns)
		elog(ERROR, "states of different instants cannot be added");
	for (Size i = 0; i < (Size) other->rows * other->columns; i++)
	{
		census->cells[i].leads += other->cells[i].leads;
		census->cells[i].entered += other->cells[i].entered;
		census->cells[i].departed += other->cells[i].departed;
		census->cells[i].sum += other->cells[i].sum;
	}
	PG_RETURN_POINTER(census);
}

/* state -> bytea: the cells as they lie in memory */
Datum
census_serialize(PG_FUNCTION_ARGS)
{
	Census	   *census = (Census *) PG_GETARG_POINTER(0);
	StringInfoData buf;

	pq_begintypsend(&buf);
	pq_sendint32(&buf, census->rows);
	pq_sendint32(&buf, census->columns);
	pq_sendbytes(&buf, (char *) census->cells, (Size) census->rows * census->columns * sizeof(Cell));
	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}

/* bytea -> state; trusts no length */
Datum
census_deserialize(PG_FUNCTION_ARGS)
{
	StringInfoData buf;
	Census	   *census;
	uint32		rows;
	uint32		columns;

	(void) aggregate_context(fcinfo);
	message_of(&buf, PG_GETARG_BYTEA_PP(0));
	rows = pq_getmsgint(&buf, 4);
	columns = pq_getmsgint(&buf, 4);
	if (columns == 0 || (uint64) rows * columns > buf.len / sizeof(Cell))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid bytes for the state of census"),
				 errdetail("The numbers of instants and segments do not fit the number of bytes.")));
	census = census_create(CurrentMemoryContext, rows, columns);
	pq_copymsgbytes(&buf, (char *) census->cells, (Size) rows * columns * sizeof(Cell));
	pq_getmsgend(&buf);
	PG_RETURN_POINTER(census);
}

/*
 * A row for each instant and segment that has leads, or has lost some: {number of the instant, number of the segment by
 * position (0: none), leads, sum of scores, entered, departed}; NULL: there is none
 */
Datum
census_figures(const Census *census, bool *isnull)
{
	Datum	   *figures = palloc_extended(Max((Size) census->rows * census->columns, 1) * CENSUS_COLUMNS * sizeof(Datum), MCXT_ALLOC_HUGE);
	int			sizes[2] = {0, CENSUS_COLUMNS};
	int			lower[2] = {1, 1};

	for (int32 k = 0; k < census->rows; k++)
		for (int32 segment = 0; segment < census->columns; segment++)
		{
			const Cell *cell = &census->cells[(Size) k * census->columns + segment];
			Datum	   *row = figures + (Size) sizes[0] * CENSUS_COLUMNS;

			if (cell->leads == 0 && cell->departed == 0)
				continue;
			row[0] = Float8GetDatum(k + 1);
			row[1] = Float8GetDatum(segment);
			row[2] = Float8GetDatum(cell->leads);
			row[3] = Float8GetDatum(cell->sum);
			row[4] = Float8GetDatum(cell->entered);
			row[5] = Float8GetDatum(cell->departed);
			sizes[0]++;
		}
	*isnull = sizes[0] == 0;
	return *isnull ? (Datum) 0 :
		PointerGetDatum(construct_md_array(figures, NULL, 2, sizes, lower, FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/* state -> its figures */
Datum
census_final(PG_FUNCTION_ARGS)
{
	Census	   *census = PG_ARGISNULL(0) ? NULL : (Census *) PG_GETARG_POINTER(0);
	Datum		figures;
	bool		isnull;

	if (census == NULL)
		PG_RETURN_NULL();
	figures = census_figures(census, &isnull);
	if (isnull)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(figures);
}
