/*
 * preview.c: the aggregate compare (before, after, lead_id, timeline, profile,
 * at): compares the results of two scorecards for the same leads, in one walk
 * over them.
 *
 * The state holds the number of leads that move from each segment to each
 * other, the leads that gain and lose most, and both scores of each lead, 16
 * bytes, for the quantiles.
 */
#include "learn/quality.h"
#include "model/appraise.h"

#include <math.h>

#include "access/htup_details.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "libpq/pqformat.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(compare_transition);
PG_FUNCTION_INFO_V1(compare_merge);
PG_FUNCTION_INFO_V1(compare_serialize);
PG_FUNCTION_INFO_V1(compare_deserialize);
PG_FUNCTION_INFO_V1(compare_end_part);
PG_FUNCTION_INFO_V1(compare_add_part);
PG_FUNCTION_INFO_V1(compare_final);

#define MOST_MOVERS 10			/* leads listed in each direction: gainers and losers */
#define QUANTILES 11			/* scores at 0 %, 10 %, ..., 100 % of the leads */

/* A figure before and after, of one lead or several. */
typedef struct Pair
{
	double		before;
	double		after;
} Pair;

/* The leads that move from one segment to another. */
typedef struct Move
{
	int64		leads;
	Pair		sum;			/* of their scores */
} Move;

typedef struct Mover
{
	Pair		score;
	text	   *lead_id;
} Mover;

typedef struct Comparison
{
	MemoryContext context;
	Scorecard  *before;			/* NULL in a state that only merges other states */
	Scorecard  *after;
	Ranking    *scores;
	int32		rows;			/* number of segments before, plus 1 for none */
	int32		columns;		/* number of segments after, plus 1 for none */
	Move	   *moves;			/* rows by columns */
	int32		n_movers[2];	/* losers, gainers */
	Mover		movers[2][MOST_MOVERS]; /* largest change first, ties by name */
} Comparison;

static Comparison *
comparison_create(MemoryContext context, int32 rows, int32 columns)
{
	Comparison *comparison = MemoryContextAllocZero(context, sizeof(Comparison));

	comparison->context = context;
	comparison->scores = ranking_create(context);
	comparison->rows = rows;
	comparison->columns = columns;
	comparison->moves = MemoryContextAllocZero(context, (Size) rows * columns * sizeof(Move));
	return comparison;
}

/* Whether a lead ranks before another among those that gain (or lose) most. */
static bool
moves_farther(const Pair *score, text *lead_id, const Mover *other)
{
	double		distance = fabs(score->after - score->before);
	double		others = fabs(other->score.after - other->score.before);

	if (distance != others)
		return distance > others;
	return DatumGetInt32(DirectFunctionCall2Coll(bttextcmp, DEFAULT_COLLATION_OID, PointerGetDatum(lead_id),
												 PointerGetDatum(other->lead_id))) < 0;
}

/* List a lead if it is among those that gain or lose most. */
static void
list_mover(Comparison *comparison, const Pair *score, text *lead_id)
{
	bool		gains = score->after > score->before;
	Mover	   *movers = comparison->movers[gains];
	int32	   *n = &comparison->n_movers[gains];
	int32		i = *n;

	if (!gains && !(score->after < score->before))
		return;
	if (*n == MOST_MOVERS)
	{
		if (!moves_farther(score, lead_id, &movers[--i]))
			return;
		pfree(movers[i].lead_id);
	}
	else
		++*n;
	for (; i > 0 && moves_farther(score, lead_id, &movers[i - 1]); i--)
		movers[i] = movers[i - 1];
	movers[i].score = *score;
	movers[i].lead_id = MemoryContextAlloc(comparison->context, VARSIZE_ANY(lead_id));
	memcpy(movers[i].lead_id, lead_id, VARSIZE_ANY(lead_id));
}

/* (state, before, after, lead_id, timeline, profile, at) -> state; the scorecards are those of the first row */
Datum
compare_transition(PG_FUNCTION_ARGS)
{
	MemoryContext context = aggregate_context(fcinfo);
	Comparison *comparison = PG_ARGISNULL(0) ? NULL : (Comparison *) PG_GETARG_POINTER(0);
	struct varlena *timeline;
	Jsonb	   *profile;
	Appraisal	before;
	Appraisal	after;
	Pair		scores;
	Move	   *move;
	int32		hour;

	if (PG_ARGISNULL(1) || PG_ARGISNULL(2) || PG_ARGISNULL(3) || PG_ARGISNULL(6))
	{
		if (comparison == NULL)
			PG_RETURN_NULL();
		PG_RETURN_POINTER(comparison);
	}
	if (comparison == NULL)
	{
		Scorecard  *first = scorecard_compile_in(context, PG_GETARG_DATUM(1));
		Scorecard  *second = scorecard_compile_in(context, PG_GETARG_DATUM(2));

		comparison = comparison_create(context, first->nsegments + 1, second->nsegments + 1);
		comparison->before = first;
		comparison->after = second;
	}

	timeline = PG_ARGISNULL(4) ? NULL : PG_GETARG_TIMELINE(4);
	profile = PG_ARGISNULL(5) || comparison->before->nprofiles + comparison->after->nprofiles == 0 ? NULL : PG_GETARG_JSONB_P(5);
	hour = hour_of(PG_GETARG_TIMESTAMPTZ(6));
	appraise_lead(comparison->before, timeline, profile, hour, hour, &before, NULL);
	appraise_lead(comparison->after, timeline, profile, hour, hour, &after, NULL);
	scores = (Pair) {before.score, after.score};
	ranking_put(comparison->scores, 0, scores.before);
	ranking_put(comparison->scores, 1, scores.after);
	move = &comparison->moves[segment_number(comparison->before, &before, NULL, 0) * comparison->columns +
							  segment_number(comparison->after, &after, NULL, 0)];
	move->leads++;
	move->sum.before += scores.before;
	move->sum.after += scores.after;
	list_mover(comparison, &scores, PG_GETARG_TEXT_PP(3));
	PG_RETURN_POINTER(comparison);
}

/* (state, state) -> state */
Datum
compare_merge(PG_FUNCTION_ARGS)
{
	MemoryContext context = aggregate_context(fcinfo);
	Comparison *comparison = PG_ARGISNULL(0) ? NULL : (Comparison *) PG_GETARG_POINTER(0);
	Comparison *other = PG_ARGISNULL(1) ? NULL : (Comparison *) PG_GETARG_POINTER(1);

	if (other == NULL)
	{
		if (comparison == NULL)
			PG_RETURN_NULL();
		PG_RETURN_POINTER(comparison);
	}
	if (comparison == NULL)
		comparison = comparison_create(context, other->rows, other->columns);
	if (comparison->rows != other->rows || comparison->columns != other->columns)
		elog(ERROR, "states of different scorecards cannot be added");
	ranking_add(comparison->scores, other->scores);
	for (int32 i = 0; i < other->rows * other->columns; i++)
	{
		comparison->moves[i].leads += other->moves[i].leads;
		comparison->moves[i].sum.before += other->moves[i].sum.before;
		comparison->moves[i].sum.after += other->moves[i].sum.after;
	}
	for (int gains = 0; gains < 2; gains++)
		for (int32 i = 0; i < other->n_movers[gains]; i++)
			list_mover(comparison, &other->movers[gains][i].score, other->movers[gains][i].lead_id);
	PG_RETURN_POINTER(comparison);
}

/* state -> bytea: the moves as they are in memory, the movers, the scores */
Datum
compare_serialize(PG_FUNCTION_ARGS)
{
	Comparison *comparison = (Comparison *) PG_GETARG_POINTER(0);
	StringInfoData buf;

	pq_begintypsend(&buf);
	pq_sendint32(&buf, comparison->rows);
	pq_sendint32(&buf, comparison->columns);
	pq_sendbytes(&buf, (char *) comparison->moves, comparison->rows * comparison->columns * sizeof(Move));
	for (int gains = 0; gains < 2; gains++)
	{
		pq_sendint32(&buf, comparison->n_movers[gains]);
		for (int32 i = 0; i < comparison->n_movers[gains]; i++)
		{
			const Mover *mover = &comparison->movers[gains][i];

			pq_sendbytes(&buf, (char *) &mover->score, sizeof(Pair));
			pq_sendint32(&buf, VARSIZE_ANY_EXHDR(mover->lead_id));
			pq_sendbytes(&buf, VARDATA_ANY(mover->lead_id), VARSIZE_ANY_EXHDR(mover->lead_id));
		}
	}
	ranking_send(&buf, comparison->scores);
	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}

/* bytea -> state; trusts no length */
Datum
compare_deserialize(PG_FUNCTION_ARGS)
{
	StringInfoData buf;
	Comparison *comparison;
	uint32		rows;
	uint32		columns;

	(void) aggregate_context(fcinfo);
	message_of(&buf, PG_GETARG_BYTEA_PP(0));
	rows = pq_getmsgint(&buf, 4);
	columns = pq_getmsgint(&buf, 4);
	if (rows == 0 || columns == 0 || (uint64) rows * columns > buf.len / sizeof(Move))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid bytes for the state of compare"),
				 errdetail("The numbers of segments do not fit the number of bytes.")));
	comparison = comparison_create(CurrentMemoryContext, rows, columns);
	pq_copymsgbytes(&buf, (char *) comparison->moves, rows * columns * sizeof(Move));
	for (int gains = 0; gains < 2; gains++)
	{
		uint32		n = pq_getmsgint(&buf, 4);

		for (uint32 i = 0; i < n; i++)
		{
			Pair		scores;
			int32		length;

			pq_copymsgbytes(&buf, (char *) &scores, sizeof(Pair));
			length = pq_getmsgint(&buf, 4);
			list_mover(comparison, &scores, cstring_to_text_with_len(pq_getmsgbytes(&buf, length), length));
		}
	}
	comparison->scores = ranking_receive(&buf);
	pq_getmsgend(&buf);
	PG_RETURN_POINTER(comparison);
}

/* state -> bytea */
Datum
compare_end_part(PG_FUNCTION_ARGS)
{
	return end_part(fcinfo, compare_serialize);
}

/* (state, bytea) -> state */
Datum
compare_add_part(PG_FUNCTION_ARGS)
{
	return add_part(fcinfo, compare_deserialize, compare_merge);
}

static Datum
matrix_of(Datum *values, int rows, int columns)
{
	int			sizes[2] = {rows, columns};
	int			lower[2] = {1, 1};

	return PointerGetDatum(construct_md_array(values, NULL, 2, sizes, lower,
											  FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/*
 * state -> (leads, moves as {segment before, after, leads, mean score before,
 * after}, quantiles as {before, after}, movers, their scores as {before,
 * after}: gainers first); segments by number, 0: none
 */
Datum
compare_final(PG_FUNCTION_ARGS)
{
	Comparison *comparison = PG_ARGISNULL(0) ? NULL : (Comparison *) PG_GETARG_POINTER(0);
	Ranking    *scores;
	Datum	   *figures;
	Datum		names[2 * MOST_MOVERS];
	int			n_names = 0;
	int			n = 0;
	Datum		values[5];
	bool		nulls[5] = {false};
	TupleDesc	row;

	if (comparison == NULL)
		PG_RETURN_NULL();
	scores = comparison->scores;
	ranking_sort(scores);
	values[0] = Int64GetDatum(scores->of[0].n);

	figures = palloc(comparison->rows * comparison->columns * 5 * sizeof(Datum));
	for (int32 i = 0; i < comparison->rows * comparison->columns; i++)
	{
		const Move *move = &comparison->moves[i];

		if (move->leads == 0)
			continue;
		figures[n++] = Float8GetDatum(i / comparison->columns);
		figures[n++] = Float8GetDatum(i % comparison->columns);
		figures[n++] = Float8GetDatum(move->leads);
		figures[n++] = Float8GetDatum(move->sum.before / move->leads);
		figures[n++] = Float8GetDatum(move->sum.after / move->leads);
	}
	values[1] = matrix_of(figures, n / 5, 5);

	figures = palloc(Max(QUANTILES, 2 * MOST_MOVERS) * 2 * sizeof(Datum));
	for (int i = 0; i < QUANTILES; i++)
		for (int side = 0; side < 2; side++)
		{
			int64		at = Min(scores->of[side].n * i / (QUANTILES - 1), scores->of[side].n - 1);

			figures[2 * i + side] = Float8GetDatum(scores->of[side].values[at]);
		}
	values[2] = matrix_of(figures, QUANTILES, 2);

	for (int gains = 1; gains >= 0; gains--)
		for (int32 i = 0; i < comparison->n_movers[gains]; i++)
		{
			const Mover *mover = &comparison->movers[gains][i];

			figures[2 * n_names] = Float8GetDatum(mover->score.before);
			figures[2 * n_names + 1] = Float8GetDatum(mover->score.after);
			names[n_names++] = PointerGetDatum(mover->lead_id);
		}
	values[3] = PointerGetDatum(construct_array(names, n_names, TEXTOID, -1, false, TYPALIGN_INT));
	values[4] = matrix_of(figures, n_names, 2);
	if (get_call_result_type(fcinfo, NULL, &row) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(row), values, nulls)));
}
