/*
 * quality.c: quality of a score or a probability: the aggregates roc_auc, roc_auc_error,
 * average_precision, ks, gains, bands and fine_bands (score, outcome), and log_loss and
 * brier (probability, outcome).
 *
 * Those over scores share one state, a Ranking: the scores of the converted and of the
 * others, 8 bytes per row. It is sorted when it is complete (in a parallel worker before
 * it is sent, so that the leader only merges). All figures come from walking both arrays
 * together, one distinct score after the other, so ties are exact and the order of rows
 * does not matter.
 */
#include "learn/quality.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "libpq/pqformat.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(ranking_transition);
PG_FUNCTION_INFO_V1(ranking_merge);
PG_FUNCTION_INFO_V1(ranking_serialize);
PG_FUNCTION_INFO_V1(ranking_deserialize);
PG_FUNCTION_INFO_V1(roc_auc_final);
PG_FUNCTION_INFO_V1(roc_auc_error_final);
PG_FUNCTION_INFO_V1(average_precision_final);
PG_FUNCTION_INFO_V1(ks_final);
PG_FUNCTION_INFO_V1(gains_final);
PG_FUNCTION_INFO_V1(bands_final);
PG_FUNCTION_INFO_V1(fine_bands_final);
PG_FUNCTION_INFO_V1(log_loss_transition);
PG_FUNCTION_INFO_V1(brier_transition);
PG_FUNCTION_INFO_V1(mean_loss_merge);
PG_FUNCTION_INFO_V1(mean_loss_serialize);
PG_FUNCTION_INFO_V1(mean_loss_deserialize);
PG_FUNCTION_INFO_V1(mean_loss_final);

/* Twice the number of pairs fits into 64 bits. */
#define MOST_ROWS (INT64CONST(1) << 31)

#define DECILES 10
#define BANDS 5
#define FINE_BANDS 20			/* for the values that are not frequent enough to be a band of their own */

/* The rows with one distinct score. */
typedef struct Tie
{
	double		score;
	int64		n[2];			/* by outcome */
	int64		before[2];		/* rows already walked over */
} Tie;

#define ST_SORT sort_scores
#define ST_ELEMENT_TYPE double
#define ST_COMPARE(a, b) ((*(a) > *(b)) - (*(a) < *(b)))
#define ST_SCOPE static
#define ST_DEFINE
#define ST_CHECK_FOR_INTERRUPTS
#include "lib/sort_template.h"

/* ---------- the state ---------- */

MemoryContext
aggregate_context(FunctionCallInfo fcinfo)
{
	MemoryContext context;

	if (!AggCheckCallContext(fcinfo, &context))
		elog(ERROR, "aggregate function called in non-aggregate context");
	return context;
}

/* The bytes of a state, read in place. */
void
message_of(StringInfo buf, bytea *bytes)
{
	buf->data = VARDATA_ANY(bytes);
	buf->len = buf->maxlen = VARSIZE_ANY_EXHDR(bytes);
	buf->cursor = 0;
}

/*
 * Parts of aggregates, which other servers send: a state as it comes from a parallel worker, serialised, behind a hash
 * of its bytes. Whoever calls the aggregate with others is told so.
 */

/* state -> bytea, by an aggregate's serial function; NULL: no row */
Datum
end_part(FunctionCallInfo fcinfo, PGFunction serialize)
{
	bytea	   *state;
	bytea	   *part;
	uint64		hash;
	Size		size;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	state = DatumGetByteaPP(serialize(fcinfo));
	size = VARSIZE_ANY_EXHDR(state);
	hash = hash_bytes_extended((const unsigned char *) VARDATA_ANY(state), size, 0);
	part = palloc(VARHDRSZ + sizeof(hash) + size);
	SET_VARSIZE(part, VARHDRSZ + sizeof(hash) + size);
	memcpy(VARDATA(part), &hash, sizeof(hash));
	memcpy(VARDATA(part) + sizeof(hash), VARDATA_ANY(state), size);
	PG_RETURN_BYTEA_P(part);
}

/* The state in a part. */
static bytea *
open_part(bytea *part)
{
	Size		size = VARSIZE_ANY_EXHDR(part);
	const char *bytes = VARDATA_ANY(part);
	uint64		hash = 0;

	if (size >= sizeof(hash))
		memcpy(&hash, bytes, sizeof(hash));
	if (size < sizeof(hash) || hash_bytes_extended((const unsigned char *) bytes + sizeof(hash), size - sizeof(hash), 0) != hash)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid bytes for a part of an aggregate"),
				 errdetail("They do not have the hash that they begin with."),
				 errhint("Pass what the aggregate for parts has returned.")));
	return (bytea *) cstring_to_text_with_len(bytes + sizeof(hash), size - sizeof(hash));
}

/* (state, part) -> state, by an aggregate's deserial and combine functions */
Datum
add_part(FunctionCallInfo fcinfo, PGFunction deserialize, PGFunction merge)
{
	LOCAL_FCINFO(call, 2);
	Datum		state;

	if (PG_ARGISNULL(1))
	{
		if (PG_ARGISNULL(0))
			PG_RETURN_NULL();
		PG_RETURN_DATUM(PG_GETARG_DATUM(0));
	}
	InitFunctionCallInfoData(*call, fcinfo->flinfo, 2, InvalidOid, fcinfo->context, NULL);
	call->args[0] = (NullableDatum) {PointerGetDatum(open_part(PG_GETARG_BYTEA_PP(1))), false};
	call->args[1] = (NullableDatum) {(Datum) 0, true};
	state = deserialize(call);
	call->args[0] = fcinfo->args[0];
	call->args[1] = (NullableDatum) {state, false};
	state = merge(call);
	fcinfo->isnull = call->isnull;
	return state;
}

Ranking *
ranking_create(MemoryContext context)
{
	Ranking    *ranking = MemoryContextAllocZero(context, sizeof(Ranking));

	ranking->context = context;
	ranking->of[0].sorted = ranking->of[1].sorted = true;
	return ranking;
}

/* Make room for this many more scores. */
void
ranking_reserve(Ranking *ranking, Scores *scores, int64 more)
{
	int64		capacity = Max(scores->capacity, 8);

	if (more > MOST_ROWS - scores->n)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many rows to rank"),
				 errdetail("There are more than " INT64_FORMAT " rows of one outcome.", MOST_ROWS),
				 errhint("Rank a sample of the rows.")));
	while (capacity < scores->n + more)
		capacity *= 2;
	if (capacity == scores->capacity)
		return;
	scores->values = scores->values
		? repalloc_huge(scores->values, capacity * sizeof(double))
		: MemoryContextAllocHuge(ranking->context, capacity * sizeof(double));
	scores->capacity = capacity;
}

/* Sort the new scores; more rows may follow. */
void
ranking_sort(Ranking *ranking)
{
	for (int outcome = 0; outcome < 2; outcome++)
	{
		Scores	   *scores = &ranking->of[outcome];

		if (!scores->sorted)
			sort_scores(scores->values, scores->n);
		scores->sorted = true;
	}
}

void
refuse_nan(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("score is not a number"),
			 errdetail("The score is NaN, which is neither above nor below another."),
			 errhint("Leave such rows out with FILTER (WHERE score <> 'NaN').")));
}

/* (state, score, outcome) -> state */
Datum
ranking_transition(PG_FUNCTION_ARGS)
{
	MemoryContext context = aggregate_context(fcinfo);
	Ranking    *ranking = PG_ARGISNULL(0) ? NULL : (Ranking *) PG_GETARG_POINTER(0);

	if (ranking == NULL)
		ranking = ranking_create(context);
	if (!PG_ARGISNULL(1) && !PG_ARGISNULL(2))
		ranking_put(ranking, PG_GETARG_BOOL(2), PG_GETARG_FLOAT8(1));
	PG_RETURN_POINTER(ranking);
}

/* Append the scores of another state; parts sorted on both sides stay sorted. */
static void
scores_add(Ranking *ranking, Scores *scores, const Scores *other)
{
	int64		i = scores->n - 1;
	int64		j = other->n - 1;

	if (other->n == 0)
		return;
	ranking_reserve(ranking, scores, other->n);
	if (scores->sorted && other->sorted)
		while (j >= 0)			/* from the end, so that nothing is overwritten before it is read */
		{
			bool		own = i >= 0 && scores->values[i] > other->values[j];

			scores->values[i + j + 1] = own ? scores->values[i] : other->values[j];
			i -= own;
			j -= !own;
		}
	else
	{
		memcpy(scores->values + scores->n, other->values, other->n * sizeof(double));
		scores->sorted = false;
	}
	scores->n += other->n;
}

void
ranking_add(Ranking *ranking, const Ranking *other)
{
	for (int kind = 0; kind < 2; kind++)
		scores_add(ranking, &ranking->of[kind], &other->of[kind]);
}

/* (state, state) -> state */
Datum
ranking_merge(PG_FUNCTION_ARGS)
{
	MemoryContext context = aggregate_context(fcinfo);
	Ranking    *ranking = PG_ARGISNULL(0) ? ranking_create(context) : (Ranking *) PG_GETARG_POINTER(0);

	if (!PG_ARGISNULL(1))
		ranking_add(ranking, (Ranking *) PG_GETARG_POINTER(1));
	PG_RETURN_POINTER(ranking);
}

/* Both numbers of rows, then both arrays, sorted, as they are in memory. */
void
ranking_send(StringInfo buf, Ranking *ranking)
{
	int64		rows = ranking->of[0].n + ranking->of[1].n;

	if (rows > (int64) (MaxAllocSize / sizeof(double) / 2))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many rows to rank in a parallel worker"),
				 errdetail("A worker has ranked " INT64_FORMAT " rows.", rows),
				 errhint("Set max_parallel_workers_per_gather to 0, or rank a sample of the rows.")));
	ranking_sort(ranking);
	for (int kind = 0; kind < 2; kind++)
		pq_sendint64(buf, ranking->of[kind].n);
	for (int kind = 0; kind < 2; kind++)
		if (ranking->of[kind].n > 0)
			pq_sendbytes(buf, (char *) ranking->of[kind].values, ranking->of[kind].n * sizeof(double));
}

/* Reads what ranking_send() wrote; does not trust its input. */
Ranking *
ranking_receive(StringInfo buf)
{
	Ranking    *ranking = ranking_create(CurrentMemoryContext);
	const char *fault = NULL;
	uint64		n[2];

	for (int kind = 0; kind < 2; kind++)
		n[kind] = pq_getmsgint64(buf);
	for (int kind = 0; kind < 2 && fault == NULL; kind++)
	{
		Scores	   *scores = &ranking->of[kind];
		Size		left = buf->len - buf->cursor;

		if (n[kind] > left / sizeof(double))
			fault = "The numbers of rows do not fit the number of bytes.";
		else if (n[kind] > 0)
		{
			ranking_reserve(ranking, scores, n[kind]);
			pq_copymsgbytes(buf, (char *) scores->values, n[kind] * sizeof(double));
			scores->n = n[kind];
		}
		for (int64 i = 0; i < scores->n; i++)
			if (isnan(scores->values[i]) || (i > 0 && scores->values[i] < scores->values[i - 1]))
				fault = "The scores are not in order.";
	}
	if (fault)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid bytes for the state of a quality aggregate"),
				 errdetail("%s", fault)));
	return ranking;
}

/* state -> bytea */
Datum
ranking_serialize(PG_FUNCTION_ARGS)
{
	StringInfoData buf;

	pq_begintypsend(&buf);
	ranking_send(&buf, (Ranking *) PG_GETARG_POINTER(0));
	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}

/* bytea -> state */
Datum
ranking_deserialize(PG_FUNCTION_ARGS)
{
	StringInfoData buf;
	Ranking    *ranking;

	(void) aggregate_context(fcinfo);
	message_of(&buf, PG_GETARG_BYTEA_PP(0));
	ranking = ranking_receive(&buf);
	pq_getmsgend(&buf);
	PG_RETURN_POINTER(ranking);
}

/* ---------- walking over distinct scores ---------- */

/* The next distinct score upwards; start with a tie of all zeros. */
static bool
next_higher(const Ranking *ranking, Tie *tie)
{
	double		lowest = 0;
	bool		found = false;

	CHECK_FOR_INTERRUPTS();
	for (int outcome = 0; outcome < 2; outcome++)
	{
		const Scores *scores = &ranking->of[outcome];

		tie->before[outcome] += tie->n[outcome];
		tie->n[outcome] = 0;
		if (tie->before[outcome] < scores->n && (!found || scores->values[tie->before[outcome]] < lowest))
		{
			lowest = scores->values[tie->before[outcome]];
			found = true;
		}
	}
	tie->score = lowest;
	for (int outcome = 0; outcome < 2; outcome++)
	{
		const Scores *scores = &ranking->of[outcome];
		int64		i = tie->before[outcome];

		while (i < scores->n && scores->values[i] == lowest)
			i++;
		tie->n[outcome] = i - tie->before[outcome];
	}
	return found;
}

/* The next distinct score downwards. */
static bool
next_lower(const Ranking *ranking, Tie *tie)
{
	double		highest = 0;
	bool		found = false;

	CHECK_FOR_INTERRUPTS();
	for (int outcome = 0; outcome < 2; outcome++)
	{
		const Scores *scores = &ranking->of[outcome];

		tie->before[outcome] += tie->n[outcome];
		tie->n[outcome] = 0;
		if (tie->before[outcome] < scores->n &&
			(!found || scores->values[scores->n - 1 - tie->before[outcome]] > highest))
		{
			highest = scores->values[scores->n - 1 - tie->before[outcome]];
			found = true;
		}
	}
	tie->score = highest;
	for (int outcome = 0; outcome < 2; outcome++)
	{
		const Scores *scores = &ranking->of[outcome];
		int64		i = tie->before[outcome];

		while (i < scores->n && scores->values[scores->n - 1 - i] == highest)
			i++;
		tie->n[outcome] = i - tie->before[outcome];
	}
	return found;
}

/* The state, sorted; NULL unless there are rows of both outcomes. */
static Ranking *
complete_ranking(FunctionCallInfo fcinfo)
{
	Ranking    *ranking;

	if (PG_ARGISNULL(0))
		return NULL;
	ranking = (Ranking *) PG_GETARG_POINTER(0);
	if (ranking->of[0].n == 0 || ranking->of[1].n == 0)
		return NULL;
	ranking_sort(ranking);
	return ranking;
}

/* ---------- figures ---------- */

/* The area under the curve as the share of pairs in order, ties counting half (Mann and Whitney, 1947). */
static double
area(const Ranking *ranking)
{
	Tie			tie = {0};
	uint64		twice = 0;

	while (next_higher(ranking, &tie))
		twice += (uint64) tie.n[1] * (2 * tie.before[0] + tie.n[0]);
	return (double) twice / 2 / ((double) ranking->of[0].n * ranking->of[1].n);
}

Datum
roc_auc_final(PG_FUNCTION_ARGS)
{
	Ranking    *ranking = complete_ranking(fcinfo);

	if (ranking == NULL)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(area(ranking));
}

/*
 * The standard error of the area (E. R. DeLong, D. M. DeLong and D. L.
 * Clarke-Pearson, Biometrics 44, 1988). For each row, take the share of rows
 * of the other outcome that it is ranked against correctly. The error follows
 * from the variances of these shares among the converted and among the
 * others. NULL if either outcome has only one row.
 */
Datum
roc_auc_error_final(PG_FUNCTION_ARGS)
{
	Ranking    *ranking = complete_ranking(fcinfo);
	Tie			tie = {0};
	double		none;
	double		some;
	double		squares[2] = {0};
	double		auc;

	if (ranking == NULL || ranking->of[0].n < 2 || ranking->of[1].n < 2)
		PG_RETURN_NULL();
	none = ranking->of[0].n;
	some = ranking->of[1].n;
	auc = area(ranking);
	while (next_higher(ranking, &tie))
	{
		double		below = (tie.before[0] + tie.n[0] / 2.0) / none - auc;
		double		above = (some - tie.before[1] - tie.n[1] / 2.0) / some - auc;

		squares[1] += tie.n[1] * below * below;
		squares[0] += tie.n[0] * above * above;
	}
	PG_RETURN_FLOAT8(sqrt(squares[1] / (some - 1) / some + squares[0] / (none - 1) / none));
}

/* Precision at each distinct score, weighted by the recall that it adds. */
Datum
average_precision_final(PG_FUNCTION_ARGS)
{
	Ranking    *ranking = complete_ranking(fcinfo);
	Tie			tie = {0};
	double		sum = 0;

	if (ranking == NULL)
		PG_RETURN_NULL();
	while (next_lower(ranking, &tie))
	{
		double		hits = tie.before[1] + tie.n[1];

		sum += tie.n[1] * (hits / (hits + tie.before[0] + tie.n[0]));
	}
	PG_RETURN_FLOAT8(sum / ranking->of[1].n);
}

/* The largest distance between the two distribution functions (Kolmogorov and Smirnov). */
Datum
ks_final(PG_FUNCTION_ARGS)
{
	Ranking    *ranking = complete_ranking(fcinfo);
	Tie			tie = {0};
	double		largest = 0;

	if (ranking == NULL)
		PG_RETURN_NULL();
	while (next_higher(ranking, &tie))
	{
		double		distance = fabs((tie.before[0] + tie.n[0]) / (double) ranking->of[0].n -
									(tie.before[1] + tie.n[1]) / (double) ranking->of[1].n);

		largest = Max(largest, distance);
	}
	PG_RETURN_FLOAT8(largest);
}

/*
 * For each tenth of the rows, highest scores first: its rows, conversions,
 * lowest, highest and mean score, as an array of 10 by 5. Rows with the same
 * score that fall into several tenths are shared out in proportion. NULL
 * without rows.
 */
Datum
gains_final(PG_FUNCTION_ARGS)
{
	Ranking    *ranking = PG_ARGISNULL(0) ? NULL : (Ranking *) PG_GETARG_POINTER(0);
	Datum		values[DECILES][5];
	double		conversions[DECILES] = {0};
	double		sums[DECILES] = {0};
	int			sizes[2] = {DECILES, 5};
	int			lower[2] = {1, 1};
	Tie			tie = {0};
	int64		n;

	if (ranking == NULL || ranking->of[0].n + ranking->of[1].n == 0)
		PG_RETURN_NULL();
	ranking_sort(ranking);
	n = ranking->of[0].n + ranking->of[1].n;
	while (next_lower(ranking, &tie))
	{
		/* counted in tenths of a row, so that a tenth of the rows is a whole number */
		int64		rows = tie.n[0] + tie.n[1];
		int64		first = (tie.before[0] + tie.before[1]) * DECILES;
		int64		last = first + rows * DECILES;

		for (int i = 0; i < DECILES; i++)
		{
			int64		shared = Min(n * (i + 1), last) - Max(n * i, first);

			if (shared <= 0)
				continue;
			conversions[i] += (double) tie.n[1] * shared / (rows * DECILES);
			sums[i] += tie.score * shared / DECILES;
			if (first <= n * i)
				values[i][3] = Float8GetDatum(tie.score);
			values[i][2] = Float8GetDatum(tie.score);
		}
	}
	for (int i = 0; i < DECILES; i++)
	{
		values[i][0] = Float8GetDatum((double) n / DECILES);
		values[i][1] = Float8GetDatum(conversions[i]);
		values[i][4] = Float8GetDatum(sums[i] / ((double) n / DECILES));
	}
	PG_RETURN_ARRAYTYPE_P(construct_md_array(&values[0][0], NULL, 2, sizes, lower,
											 FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/*
 * The rows without and with a conversion in each of up to five bands of
 * similar size, highest scores first, as an array of up to 5 by 2. Rows with
 * the same score stay together. NULL without rows.
 */
Datum
bands_final(PG_FUNCTION_ARGS)
{
	Ranking    *ranking = PG_ARGISNULL(0) ? NULL : (Ranking *) PG_GETARG_POINTER(0);
	Datum		values[BANDS][2];
	int			sizes[2] = {0, 2};
	int			lower[2] = {1, 1};
	int64		begun[2] = {0};
	Tie			tie = {0};
	int64		n;

	if (ranking == NULL || ranking->of[0].n + ranking->of[1].n == 0)
		PG_RETURN_NULL();
	ranking_sort(ranking);
	n = ranking->of[0].n + ranking->of[1].n;
	while (next_lower(ranking, &tie))
	{
		const int64 upto[2] = {tie.before[0] + tie.n[0], tie.before[1] + tie.n[1]};

		/* a band is full when it reaches the next fifth of the rows */
		if ((upto[0] + upto[1]) * BANDS / n == (begun[0] + begun[1]) * BANDS / n)
			continue;
		for (int outcome = 0; outcome < 2; outcome++)
		{
			values[sizes[0]][outcome] = Float8GetDatum(upto[outcome] - begun[outcome]);
			begun[outcome] = upto[outcome];
		}
		sizes[0]++;
	}
	PG_RETURN_ARRAYTYPE_P(construct_md_array(&values[0][0], NULL, 2, sizes, lower,
											 FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/*
 * The shortest decimal number above one number and up to another: a readable
 * border between the two.
 */
static double
border_between(double below, double upto)
{
	for (int digits = -12; digits <= 15; digits++)
	{
		double		power = pow(10, abs(digits));
		double		border = digits < 0 ? floor(upto / power) * power : floor(upto * power) / power;

		if (border > below && border <= upto)
			return border + 0.0;	/* not -0 */
	}
	return upto;
}

/*
 * state -> {rows without a conversion, with one, lower border}, lowest band
 * first: about a twentieth of the rows each. A value with at least as many
 * rows is a band of its own, and the others are divided among themselves.
 */
Datum
fine_bands_final(PG_FUNCTION_ARGS)
{
	Ranking    *ranking = PG_ARGISNULL(0) ? NULL : (Ranking *) PG_GETARG_POINTER(0);
	Datum		(*values)[3];
	int			sizes[2] = {0, 3};
	int			lower[2] = {1, 1};
	int64		others = 0;
	int64		in_band = 0;
	bool		closed = true;
	double		previous = -INFINITY;
	double		counts[2] = {0};
	Tie			tie = {0};
	int64		n;

	if (ranking == NULL || ranking->of[0].n + ranking->of[1].n == 0)
		PG_RETURN_NULL();
	ranking_sort(ranking);
	n = ranking->of[0].n + ranking->of[1].n;
	while (next_higher(ranking, &tie))
	{
		int64		rows = tie.n[0] + tie.n[1];

		if (rows * FINE_BANDS < n)
			others += rows;
	}
	/* frequent values, the bands of the others, and the remainder of a band before each frequent value */
	values = palloc((3 * FINE_BANDS + 2) * sizeof(*values));
	memset(&tie, 0, sizeof(tie));
	while (next_higher(ranking, &tie))
	{
		int64		rows = tie.n[0] + tie.n[1];
		bool		frequent = rows * FINE_BANDS >= n;

		if (closed || frequent)
		{
			values[sizes[0]][2] = Float8GetDatum(border_between(previous, tie.score));
			sizes[0]++;
			in_band = 0;
			counts[0] = counts[1] = 0;
		}
		for (int outcome = 0; outcome < 2; outcome++)
		{
			counts[outcome] += tie.n[outcome];
			values[sizes[0] - 1][outcome] = Float8GetDatum(counts[outcome]);
		}
		in_band += rows;
		closed = frequent || in_band * FINE_BANDS >= others;
		previous = tie.score;
	}
	PG_RETURN_ARRAYTYPE_P(construct_md_array(&values[0][0], NULL, 2, sizes, lower,
											 FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/* ---------- losses of probabilities ---------- */

/* The state and the row's probability; false if the row is to be skipped. */
static bool
loss_arguments(FunctionCallInfo fcinfo, MeanLoss **state, double *probability)
{
	MemoryContext context = aggregate_context(fcinfo);

	*state = PG_ARGISNULL(0)
		? MemoryContextAllocZero(context, sizeof(MeanLoss))
		: (MeanLoss *) PG_GETARG_POINTER(0);
	if (PG_ARGISNULL(1) || PG_ARGISNULL(2))
		return false;
	*probability = PG_GETARG_FLOAT8(1);
	if (!(*probability >= 0 && *probability <= 1))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("probability out of range"),
				 errdetail("The probability is %s.",
						   DatumGetCString(DirectFunctionCall1(float8out, Float8GetDatum(*probability)))),
				 errhint("A probability lies between 0 and 1. Scores are judged by roc_auc(), average_precision() and ks().")));
	return true;
}

static void
mean_loss_put(MeanLoss *state, double loss)
{
	double		sum = state->sum + loss;

	state->compensation += fabs(state->sum) >= fabs(loss) ? (state->sum - sum) + loss : (loss - sum) + state->sum;
	state->sum = sum;
}

/* Minus the natural logarithm of the probability given to the outcome. */
void
log_loss_put(MeanLoss *loss, double probability, bool outcome)
{
	mean_loss_put(loss, outcome ? -log(probability) : -log1p(-probability));
	loss->n++;
}

/* The same, from ln(p / (1 - p)); exact even if p rounds to 0 or 1. */
void
logit_loss_put(MeanLoss *loss, double logit, bool outcome)
{
	mean_loss_put(loss, log1p(exp(-fabs(logit))) + Max(outcome ? -logit : logit, 0));
	loss->n++;
}

/* The squared error (G. W. Brier, Monthly Weather Review 78, 1950). */
void
brier_put(MeanLoss *loss, double probability, bool outcome)
{
	double		distance = outcome ? 1 - probability : probability;

	mean_loss_put(loss, distance * distance);
	loss->n++;
}

void
mean_loss_add(MeanLoss *loss, const MeanLoss *other)
{
	mean_loss_put(loss, other->sum);
	loss->compensation += other->compensation;
	loss->n += other->n;
}

void
mean_loss_send(StringInfo buf, const MeanLoss *loss)
{
	pq_sendint64(buf, loss->n);
	pq_sendfloat8(buf, loss->sum);
	pq_sendfloat8(buf, loss->compensation);
}

void
mean_loss_receive(StringInfo buf, MeanLoss *loss)
{
	loss->n = pq_getmsgint64(buf);
	loss->sum = pq_getmsgfloat8(buf);
	loss->compensation = pq_getmsgfloat8(buf);
}

/* (state, probability, outcome) -> state */
Datum
log_loss_transition(PG_FUNCTION_ARGS)
{
	MeanLoss   *state;
	double		probability;

	if (loss_arguments(fcinfo, &state, &probability))
		log_loss_put(state, probability, PG_GETARG_BOOL(2));
	PG_RETURN_POINTER(state);
}

/* (state, probability, outcome) -> state */
Datum
brier_transition(PG_FUNCTION_ARGS)
{
	MeanLoss   *state;
	double		probability;

	if (loss_arguments(fcinfo, &state, &probability))
		brier_put(state, probability, PG_GETARG_BOOL(2));
	PG_RETURN_POINTER(state);
}

/* (state, state) -> state */
Datum
mean_loss_merge(PG_FUNCTION_ARGS)
{
	MemoryContext context = aggregate_context(fcinfo);
	MeanLoss   *state = PG_ARGISNULL(0)
		? MemoryContextAllocZero(context, sizeof(MeanLoss))
		: (MeanLoss *) PG_GETARG_POINTER(0);

	if (!PG_ARGISNULL(1))
		mean_loss_add(state, (MeanLoss *) PG_GETARG_POINTER(1));
	PG_RETURN_POINTER(state);
}

/* state -> bytea */
Datum
mean_loss_serialize(PG_FUNCTION_ARGS)
{
	StringInfoData buf;

	pq_begintypsend(&buf);
	mean_loss_send(&buf, (MeanLoss *) PG_GETARG_POINTER(0));
	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}

/* bytea -> state */
Datum
mean_loss_deserialize(PG_FUNCTION_ARGS)
{
	MeanLoss   *state = palloc(sizeof(MeanLoss));
	StringInfoData buf;

	(void) aggregate_context(fcinfo);
	message_of(&buf, PG_GETARG_BYTEA_PP(0));
	mean_loss_receive(&buf, state);
	pq_getmsgend(&buf);
	PG_RETURN_POINTER(state);
}

/* state -> mean, or NULL without rows */
Datum
mean_loss_final(PG_FUNCTION_ARGS)
{
	MeanLoss   *state = PG_ARGISNULL(0) ? NULL : (MeanLoss *) PG_GETARG_POINTER(0);

	if (state == NULL || state->n == 0)
		PG_RETURN_NULL();
	/* an infinite sum has no compensation */
	PG_RETURN_FLOAT8((isinf(state->sum) ? state->sum : state->sum + state->compensation) / state->n);
}
