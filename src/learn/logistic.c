/*
 * logistic.c: the aggregate logistic_regression (features, outcome, l2, signs):
 * regularised logistic regression by Newton's method.
 *
 * The rows are kept in memory, 10 bytes for each value that is not 0 (most are 0:
 * a lead does few of the things that count), and walked once per iteration.
 * Internally, features have standard deviation 1, so that the penalty treats all
 * alike and the Hessian is well scaled; the results are in the features' own
 * units. The objective to maximise is
 *
 *     log likelihood − l2 / 2 × Σ (standardised coefficient)²
 *
 * The intercept has no penalty, so it does not matter where a feature's 0 lies. A
 * feature that is seldom 0 is centred. A feature that is 0 in at least half of the
 * rows is not, and costs nothing in those rows; its mean is at most one deviation
 * from 0, so no digits are lost. A feature is dropped if it is constant, if it is a
 * linear combination of those before it, or if its coefficient has the wrong sign
 * where signs are requested; and where only so many are wanted, those go one by one
 * whose loss, with all others adapted, is least (B. Hassibi and D. G. Stork, Advances
 * in Neural Information Processing Systems 5, 1993).
 *
 * The aggregate held_out_loss judges penalties by rows that had no say.
 * Systems are small (a few hundred unknowns), symmetric and positive definite, so
 * Cholesky decomposition is enough.
 */
#include "array_of.h"
#include "learn/quality.h"
#include "math/cholesky.h"

#include <math.h>

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "libpq/pqformat.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(regression_transition);
PG_FUNCTION_INFO_V1(regression_merge);
PG_FUNCTION_INFO_V1(regression_serialize);
PG_FUNCTION_INFO_V1(regression_deserialize);
PG_FUNCTION_INFO_V1(regression_final);
PG_FUNCTION_INFO_V1(held_out_transition);
PG_FUNCTION_INFO_V1(held_out_final);

#define MOST_FEATURES 1000
#define MOST_ITERATIONS 100
#define CHECK_EVERY 512			/* rows between two checks for interrupts */
#define SAMPLE 5000				/* rows per outcome in the first fit, if there are at least twice as many */
#define LARGEST 1e150			/* the largest feature: its square is finite, too */

/* Newton's steps converge quadratically: after a step or a gain this small, the error is near the last digit. */
#define SMALL_STEP 1e-8
#define ROUGH_STEP 1e-2			/* for a fit to a sample */
#define SMALL_GAIN 1e-16		/* relative to the objective */
/* Variance of a standardised feature, given those before it, below which it counts as their linear combination. */
#define COLLINEAR 1e-9

/* The state: rows of n_features values each, and their outcomes. */
typedef struct Rows
{
	MemoryContext context;
	int32		n_features;
	int64		n;
	int64		capacity;
	int64		n_values;
	int64		values_capacity;
	double		l2;
	double	   *signs;			/* required signs of the coefficients; 0: any; or NULL */
	int32		most;			/* features to keep; 0: any number */
	bool	   *outcomes;
	uint16	   *lengths;		/* number of values in each row */
	double	   *values;			/* those that are not 0, row after row */
	uint16	   *features;		/* feature of each value, ascending in each row */
} Rows;

/*
 * A fit in progress. Vectors and matrices are indexed by unknown: the
 * intercept, the features that are seldom 0, then those that are often 0.
 */
typedef struct Fit
{
	const Rows *rows;
	double	   *means;			/* by feature */
	double	   *deviations;
	double	   *scales;			/* 1 / deviation */
	bool	   *centred;		/* features that are seldom 0 */
	double	   *offsets;		/* their means; 0 for the others */
	double	   *shifts;			/* the same in standard deviations */
	const char **dropped;		/* the reason, or NULL */
	bool	   *separated;		/* features that separate the outcomes by themselves */
	int		   *unknown;		/* the unknown of each feature, or -1 */
	int			n;				/* number of unknowns */
	int			n_dense;		/* those that are seldom 0, and the intercept */
	int		   *feature;		/* the feature of each unknown; -1 for the intercept */
	double	   *beta;
	double	   *gradient;
	double	   *hessian;		/* n by n, the lower half */
	double	   *step;
	int64		every[2];		/* one row in this many of each outcome is read, and counts for all of them */
	/* one row: 1 and the values that are seldom 0, then the others */
	double	   *dense;
	double	   *zeros;			/* the dense part of a row whose values are all 0 */
	int			n_sparse;
	double	   *sparse;
	int		   *at;				/* the unknowns of the sparse values, ascending */
	double		objective;
	double		log_likelihood;
	int			iterations;
} Fit;

/* ---------- the state ---------- */

static Rows *
rows_create(MemoryContext context, int32 n_features, double l2)
{
	Rows	   *rows = MemoryContextAllocZero(context, sizeof(Rows));

	rows->context = context;
	rows->n_features = n_features;
	rows->l2 = l2;
	return rows;
}

/* Enlarge an array to at least this capacity, or allocate it if it is NULL. */
static void *
enlarge(const Rows *rows, void *array, int64 capacity, Size width)
{
	if (capacity > (int64) (MaxAllocHugeSize / width))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many rows to fit to"),
				 errdetail("There are more than " INT64_FORMAT " rows.", rows->n),
				 errhint("Fit to a sample of the rows.")));
	return array ? repalloc_huge(array, capacity * width) : MemoryContextAllocHuge(rows->context, capacity * width);
}

static void
rows_reserve(Rows *rows, int64 more, int64 more_values)
{
	if (rows->n + more > rows->capacity)
	{
		rows->capacity = Max(2 * rows->capacity, Max(rows->n + more, 16));
		rows->outcomes = enlarge(rows, rows->outcomes, rows->capacity, sizeof(bool));
		rows->lengths = enlarge(rows, rows->lengths, rows->capacity, sizeof(uint16));
	}
	if (rows->n_values + more_values > rows->values_capacity)
	{
		rows->values_capacity = Max(2 * rows->values_capacity, Max(rows->n_values + more_values, 64));
		rows->values = enlarge(rows, rows->values, rows->values_capacity, sizeof(double));
		rows->features = enlarge(rows, rows->features, rows->values_capacity, sizeof(uint16));
	}
}

/* The elements of a one-dimensional float8[] that are neither NULL nor 0; returns how many. */
static int
read_features(ArrayType *array, int n, double *values, uint16 *features)
{
	const char *data = ARR_DATA_PTR(array);
	const uint8 *bitmap = ARR_NULLBITMAP(array);
	int			found = 0;

	for (int i = 0; i < n; i++)
	{
		if (bitmap && !(bitmap[i / 8] & (1 << (i % 8))))
			continue;
		memcpy(&values[found], data, sizeof(double));
		data += sizeof(double);
		if (!(fabs(values[found]) <= LARGEST))
			ereport(ERROR,
					(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					 errmsg("feature %d is not a number, or too large", i + 1),
					 errdetail("Its value is %g.", values[found]),
					 errhint("Leave the row out, or write NULL where nothing was measured.")));
		features[found] = i;
		found += values[found] != 0;
	}
	return found;
}

static int
length_of(ArrayType *array)
{
	int			n = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));

	if (ARR_NDIM(array) > 1 || n > MOST_FEATURES)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("features are not an array of one dimension and at most %d elements", MOST_FEATURES),
				 errdetail("The array has %d dimensions and %d elements.", ARR_NDIM(array), n),
				 errhint("Write ARRAY[first, second, ...], the same in each row.")));
	return n;
}

static void
read_signs(Rows *rows, ArrayType *signs)
{
	int			n = rows->n_features;

	if (length_of(signs) != n)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("signs do not fit the features"),
				 errdetail("There are %d signs and %d features.", length_of(signs), n),
				 errhint("Write one sign for each feature, 0 or NULL for any.")));
	rows->signs = MemoryContextAllocZero(rows->context, Max(n, 1) * sizeof(double));
	rows_reserve(rows, 0, n + 1);
	for (int i = read_features(signs, n, rows->values, rows->features) - 1; i >= 0; i--)
		rows->signs[rows->features[i]] = rows->values[i];
}

static void
add_row(Rows *rows, ArrayType *features, bool outcome)
{
	int			n = length_of(features);

	if (n != rows->n_features)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("rows differ in the number of features"),
				 errdetail("One has %d, another %d.", rows->n_features, n),
				 errhint("Write the same features in each row, NULL where nothing was measured.")));
	rows_reserve(rows, 1, n + 1);	/* one more: read_features() also writes a value that it does not keep */
	rows->lengths[rows->n] = read_features(features, n, rows->values + rows->n_values, rows->features + rows->n_values);
	rows->n_values += rows->lengths[rows->n];
	rows->outcomes[rows->n++] = outcome;
}

/* (state, features, outcome, l2, signs [, most]) -> state */
Datum
regression_transition(PG_FUNCTION_ARGS)
{
	MemoryContext context = aggregate_context(fcinfo);
	Rows	   *rows = PG_ARGISNULL(0) ? NULL : (Rows *) PG_GETARG_POINTER(0);

	if (PG_ARGISNULL(1) || PG_ARGISNULL(2))
	{
		if (rows == NULL)
			PG_RETURN_NULL();
		PG_RETURN_POINTER(rows);
	}
	if (rows == NULL)
	{
		double		l2 = PG_ARGISNULL(3) ? 0 : PG_GETARG_FLOAT8(3);

		if (!(l2 >= 0 && isfinite(l2)))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("l2 is below zero, or not finite"),
					 errdetail("The penalty is %g.", l2),
					 errhint("Write a number such as 1; 0 is no penalty.")));
		rows = rows_create(context, length_of(PG_GETARG_ARRAYTYPE_P(1)), l2);
		if (!PG_ARGISNULL(4))
			read_signs(rows, PG_GETARG_ARRAYTYPE_P(4));
		if (PG_NARGS() > 5 && !PG_ARGISNULL(5))
			rows->most = PG_GETARG_INT32(5);
	}
	add_row(rows, PG_GETARG_ARRAYTYPE_P(1), PG_GETARG_BOOL(2));
	PG_RETURN_POINTER(rows);
}

static Rows *
rows_copy(MemoryContext context, const Rows *from)
{
	Rows	   *rows = rows_create(context, from->n_features, from->l2);

	rows->most = from->most;
	if (from->signs)
	{
		rows->signs = MemoryContextAlloc(context, Max(from->n_features, 1) * sizeof(double));
		memcpy(rows->signs, from->signs, from->n_features * sizeof(double));
	}
	return rows;
}

/* (state, state) -> state */
Datum
regression_merge(PG_FUNCTION_ARGS)
{
	MemoryContext context = aggregate_context(fcinfo);
	Rows	   *rows = PG_ARGISNULL(0) ? NULL : (Rows *) PG_GETARG_POINTER(0);
	Rows	   *other = PG_ARGISNULL(1) ? NULL : (Rows *) PG_GETARG_POINTER(1);

	if (other == NULL)
	{
		if (rows == NULL)
			PG_RETURN_NULL();
		PG_RETURN_POINTER(rows);
	}
	if (rows == NULL)
		rows = rows_copy(context, other);
	if (rows->n_features != other->n_features)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("rows differ in the number of features"),
				 errdetail("One has %d, another %d.", rows->n_features, other->n_features),
				 errhint("Write the same features in each row, NULL where nothing was measured.")));
	rows_reserve(rows, other->n, other->n_values);
	memcpy(rows->outcomes + rows->n, other->outcomes, other->n);
	memcpy(rows->lengths + rows->n, other->lengths, other->n * sizeof(uint16));
	memcpy(rows->values + rows->n_values, other->values, other->n_values * sizeof(double));
	memcpy(rows->features + rows->n_values, other->features, other->n_values * sizeof(uint16));
	rows->n += other->n;
	rows->n_values += other->n_values;
	PG_RETURN_POINTER(rows);
}

/* state -> bytea: a header, then the arrays as they are in memory */
typedef struct SerialHead
{
	int64		n;
	int64		n_values;
	double		l2;
	int32		n_features;
	int32		has_signs;
	int64		most;
} SerialHead;

Datum
regression_serialize(PG_FUNCTION_ARGS)
{
	Rows	   *rows = (Rows *) PG_GETARG_POINTER(0);
	SerialHead	head = {rows->n, rows->n_values, rows->l2, rows->n_features, rows->signs != NULL, rows->most};
	StringInfoData buf;

	if (rows->n > (int64) MaxAllocSize / 16 || rows->n_values > (int64) MaxAllocSize / 16)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many rows to fit to in a parallel worker"),
				 errdetail("A worker has " INT64_FORMAT " rows.", rows->n),
				 errhint("Set max_parallel_workers_per_gather to 0, or fit to a sample of the rows.")));
	pq_begintypsend(&buf);
	pq_sendbytes(&buf, (char *) &head, sizeof(head));
	if (rows->signs)
		pq_sendbytes(&buf, (char *) rows->signs, rows->n_features * sizeof(double));
	pq_sendbytes(&buf, (char *) rows->outcomes, rows->n);
	pq_sendbytes(&buf, (char *) rows->lengths, rows->n * sizeof(uint16));
	pq_sendbytes(&buf, (char *) rows->values, rows->n_values * sizeof(double));
	pq_sendbytes(&buf, (char *) rows->features, rows->n_values * sizeof(uint16));
	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}

/* Whether the features of each row are valid and ascending. */
static bool
rows_are_sound(const Rows *rows)
{
	int64		next = 0;

	for (int64 i = 0; i < rows->n; i++)
	{
		int			previous = -1;

		if (i % CHECK_EVERY == 0)
			CHECK_FOR_INTERRUPTS();
		if (rows->lengths[i] > rows->n_values - next)
			return false;
		for (int k = 0; k < rows->lengths[i]; k++, next++)
		{
			if (rows->features[next] <= previous || rows->features[next] >= rows->n_features)
				return false;
			previous = rows->features[next];
		}
	}
	return next == rows->n_values;
}

/* bytea -> state; does not trust its input */
Datum
regression_deserialize(PG_FUNCTION_ARGS)
{
	SerialHead	head;
	StringInfoData buf;
	Rows	   *rows = NULL;

	(void) aggregate_context(fcinfo);
	message_of(&buf, PG_GETARG_BYTEA_PP(0));
	pq_copymsgbytes(&buf, (char *) &head, sizeof(head));
	if (head.n_features >= 0 && head.n_features <= MOST_FEATURES && head.most >= 0 && head.most <= PG_INT32_MAX && head.l2 >= 0 && isfinite(head.l2) &&
		head.n >= 0 && head.n <= buf.len && head.n_values >= 0 && head.n_values <= buf.len)
	{
		rows = rows_create(CurrentMemoryContext, head.n_features, head.l2);
		rows->most = head.most;
		if (head.has_signs)
		{
			rows->signs = palloc(Max(head.n_features, 1) * sizeof(double));
			pq_copymsgbytes(&buf, (char *) rows->signs, head.n_features * sizeof(double));
		}
		rows_reserve(rows, head.n, head.n_values);
		for (int64 i = 0; i < head.n; i++)
			rows->outcomes[i] = pq_getmsgbyte(&buf) != 0;
		pq_copymsgbytes(&buf, (char *) rows->lengths, head.n * sizeof(uint16));
		pq_copymsgbytes(&buf, (char *) rows->values, head.n_values * sizeof(double));
		pq_copymsgbytes(&buf, (char *) rows->features, head.n_values * sizeof(uint16));
		pq_getmsgend(&buf);
		rows->n = head.n;
		rows->n_values = head.n_values;
	}
	if (rows == NULL || !rows_are_sound(rows))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid bytes for the state of logistic_regression"),
				 errdetail("The numbers of rows, values and features do not fit each other.")));
	PG_RETURN_POINTER(rows);
}

/* ---------- which features are used ---------- */

/* Means and deviations, measured from 0 or from the first row, so that a constant has exactly none. */
static void
standardise(Fit *fit)
{
	const Rows *rows = fit->rows;
	int			p = rows->n_features;
	int64	   *found = palloc0((p + 1) * sizeof(int64));
	double	   *first = palloc0((p + 1) * sizeof(double));

	for (int64 i = 0; i < rows->n_values; i++)
	{
		if (i % CHECK_EVERY == 0)
			CHECK_FOR_INTERRUPTS();
		found[rows->features[i]]++;
	}
	for (int k = 0; rows->n > 0 && k < rows->lengths[0]; k++)
		if (found[rows->features[k]] == rows->n)
			first[rows->features[k]] = rows->values[k];
	for (int64 i = 0; i < rows->n_values; i++)
	{
		int			j = rows->features[i];

		if (i % CHECK_EVERY == 0)
			CHECK_FOR_INTERRUPTS();
		fit->means[j] += (rows->values[i] - first[j]) / rows->n;
	}
	for (int j = 0; j < p; j++)
	{
		fit->means[j] += first[j];
		fit->deviations[j] = fit->means[j] * fit->means[j] * ((rows->n - found[j]) / (double) rows->n);
	}
	for (int64 i = 0; i < rows->n_values; i++)
	{
		double		distance = rows->values[i] - fit->means[rows->features[i]];

		if (i % CHECK_EVERY == 0)
			CHECK_FOR_INTERRUPTS();
		fit->deviations[rows->features[i]] += distance * distance / rows->n;
	}
	for (int j = 0; j < p; j++)
	{
		fit->deviations[j] = sqrt(fit->deviations[j]);
		fit->scales[j] = 1 / fit->deviations[j];
		fit->centred[j] = 2 * found[j] > rows->n;
		fit->offsets[j] = fit->centred[j] ? fit->means[j] : 0;
		fit->shifts[j] = fit->offsets[j] * fit->scales[j];
		/* a negligible deviation counts as none */
		if (!(fit->deviations[j] > 1e-13 * fabs(fit->means[j])) || !isfinite(fit->deviations[j]))
			fit->dropped[j] = "constant";
	}
}

/* List the unknowns: the intercept and the features that are not dropped, centred ones first. */
static void
list_unknowns(Fit *fit)
{
	fit->n = fit->n_dense = 1;
	fit->feature[0] = -1;
	fit->zeros[0] = 1;
	for (int centred = 1; centred >= 0; centred--)
		for (int j = 0; j < fit->rows->n_features; j++)
		{
			if (fit->centred[j] != centred)
				continue;
			fit->unknown[j] = -1;
			if (fit->dropped[j])
				continue;
			fit->zeros[fit->n] = -fit->shifts[j];
			fit->feature[fit->n] = j;
			fit->unknown[j] = fit->n++;
			fit->n_dense += centred;
		}
}

/* Read a row whose values begin at "next". */
static inline void
read_row(Fit *fit, int64 i, int64 next)
{
	const Rows *rows = fit->rows;

	memcpy(fit->dense, fit->zeros, fit->n_dense * sizeof(double));
	fit->n_sparse = 0;
	for (int64 end = next + rows->lengths[i]; next < end; next++)
	{
		int			feature = rows->features[next];
		int			unknown = fit->unknown[feature];
		double		value = (rows->values[next] - fit->offsets[feature]) * fit->scales[feature];

		if (unknown < 0)
			continue;
		if (unknown < fit->n_dense)
			fit->dense[unknown] = value;
		else
		{
			fit->at[fit->n_sparse] = unknown;
			fit->sparse[fit->n_sparse++] = value;
		}
	}
}

/* Add the current row, with a weight. */
static inline void
add_to_hessian(Fit *fit, double weight)
{
	int			n_dense = fit->n_dense;
	const double *restrict dense = fit->dense;
	const double *restrict sparse = fit->sparse;

	for (int j = 0; j < n_dense; j++)
	{
		double	   *restrict line = fit->hessian + (Size) j * fit->n;
		double		weighted = weight * dense[j];

		for (int k = 0; k <= j; k++)
			line[k] += weighted * dense[k];
	}
	for (int j = 0; j < fit->n_sparse; j++)
	{
		double	   *restrict line = fit->hessian + (Size) fit->at[j] * fit->n;
		double		weighted = weight * sparse[j];

		for (int k = 0; k < n_dense; k++)
			line[k] += weighted * dense[k];
		for (int k = 0; k <= j; k++)
			line[fit->at[k]] += weighted * sparse[k];
	}
}

/*
 * Find features whose ranges in the rows of the two outcomes overlap in at most
 * one value: the likelihood increases with the coefficient without limit (A.
 * Albert and J. A. Anderson, Biometrika 71, 1984). They are dropped unless a
 * penalty bounds the coefficient.
 */
static void
find_separated(Fit *fit)
{
	const Rows *rows = fit->rows;
	int			p = rows->n_features;
	int64		n[2] = {0};
	int64	   *found[2];
	double	   *low[2];
	double	   *high[2];
	int64		next = 0;

	for (int outcome = 0; outcome < 2; outcome++)
	{
		found[outcome] = palloc0((p + 1) * sizeof(int64));
		low[outcome] = palloc0((p + 1) * sizeof(double));
		high[outcome] = palloc0((p + 1) * sizeof(double));
	}
	for (int64 i = 0; i < rows->n; i++)
	{
		int			outcome = rows->outcomes[i];

		if (i % CHECK_EVERY == 0)
			CHECK_FOR_INTERRUPTS();
		n[outcome]++;
		for (int k = 0; k < rows->lengths[i]; k++, next++)
		{
			int			j = rows->features[next];
			double		value = rows->values[next];

			low[outcome][j] = found[outcome][j] == 0 ? value : Min(low[outcome][j], value);
			high[outcome][j] = found[outcome][j] == 0 ? value : Max(high[outcome][j], value);
			found[outcome][j]++;
		}
	}
	for (int j = 0; j < p; j++)
	{
		for (int outcome = 0; outcome < 2; outcome++)
			if (found[outcome][j] < n[outcome])
			{
				low[outcome][j] = Min(low[outcome][j], 0);
				high[outcome][j] = Max(high[outcome][j], 0);
			}
		fit->separated[j] = fit->dropped[j] == NULL && (high[0][j] <= low[1][j] || high[1][j] <= low[0][j]);
		if (fit->separated[j] && rows->l2 == 0)
			fit->dropped[j] = "separated";
	}
}

/* Drop linear combinations of earlier features: decompose the matrix of moments in the features' order. */
static void
drop_collinear(Fit *fit)
{
	const Rows *rows = fit->rows;
	int			n = fit->n;
	int64		next = 0;
	double	   *r = palloc((Size) n * n * sizeof(double));
	int		   *order = palloc(n * sizeof(int));
	int			listed = 1;

	memset(fit->hessian, 0, (Size) n * n * sizeof(double));
	for (int64 i = 0; i < rows->n; i++)
	{
		if (i % CHECK_EVERY == 0)
			CHECK_FOR_INTERRUPTS();
		read_row(fit, i, next);
		add_to_hessian(fit, 1.0 / rows->n);
		next += rows->lengths[i];
	}
	order[0] = 0;
	for (int j = 0; j < rows->n_features; j++)
		if (fit->dropped[j] == NULL)
			order[listed++] = fit->unknown[j];
	for (int i = 0; i < n; i++)
		for (int j = 0; j <= i; j++)
			r[i * n + j] = fit->hessian[Max(order[i], order[j]) * n + Min(order[i], order[j])];

	for (int j = 0; j < n; j++)
	{
		double		pivot = r[j * n + j];

		CHECK_FOR_INTERRUPTS();
		for (int k = 0; k < j; k++)
			pivot -= r[j * n + k] * r[j * n + k];
		if (j > 0 && !(pivot > COLLINEAR))
		{
			fit->dropped[fit->feature[order[j]]] = "collinear";
			for (int i = j; i < n; i++)
				r[i * n + j] = 0;
			continue;
		}
		r[j * n + j] = sqrt(pivot);
		for (int i = j + 1; i < n; i++)
		{
			double		sum = r[i * n + j];

			for (int k = 0; k < j; k++)
				sum -= r[i * n + k] * r[j * n + k];
			r[i * n + j] = sum / r[j * n + j];
		}
	}
	list_unknowns(fit);
}

/* ---------- Newton's method ---------- */

/*
 * Compute objective, gradient and Hessian at the coefficients in one walk over
 * the rows. In a sample, one row in so many of each outcome counts for all of
 * them.
 */
static void
evaluate_rows(Fit *fit)
{
	const Rows *rows = fit->rows;
	double		l2 = rows->l2;
	int			n = fit->n;
	double		likelihood = 0;
	double		penalty = 0;
	int64		seen[2] = {0};
	int64		next = 0;

	memset(fit->gradient, 0, n * sizeof(double));
	memset(fit->hessian, 0, (Size) n * n * sizeof(double));
	for (int64 i = 0; i < rows->n; next += rows->lengths[i++])
	{
		bool		converted = rows->outcomes[i];
		double		weight = fit->every[converted];
		double		eta = 0;
		double		e;
		double		residual;

		if (i % CHECK_EVERY == 0)
			CHECK_FOR_INTERRUPTS();
		if (weight > 1 && seen[converted]++ % fit->every[converted] != 0)
			continue;
		read_row(fit, i, next);
		for (int j = 0; j < fit->n_dense; j++)
			eta += fit->beta[j] * fit->dense[j];
		for (int j = 0; j < fit->n_sparse; j++)
			eta += fit->beta[fit->at[j]] * fit->sparse[j];
		/* the argument of exp() is not positive, so it cannot overflow */
		e = exp(-fabs(eta));
		residual = weight * ((converted ? 1 : 0) - (eta >= 0 ? 1 / (1 + e) : e / (1 + e)));
		likelihood -= weight * (log1p(e) + (converted ? Max(-eta, 0) : Max(eta, 0)));
		for (int j = 0; j < fit->n_dense; j++)
			fit->gradient[j] += residual * fit->dense[j];
		for (int j = 0; j < fit->n_sparse; j++)
			fit->gradient[fit->at[j]] += residual * fit->sparse[j];
		add_to_hessian(fit, weight * e / ((1 + e) * (1 + e)));
	}
	for (int j = 1; j < n; j++)
	{
		penalty += l2 / 2 * fit->beta[j] * fit->beta[j];
		fit->gradient[j] -= l2 * fit->beta[j];
		fit->hessian[j * n + j] += l2;
	}
	fit->log_likelihood = likelihood;
	fit->objective = likelihood - penalty;
}

/* Climb to the maximum and leave the Hessian decomposed. Returns NULL, or the reason for a failure. */
static const char *
climb(Fit *fit, double small_step)
{
	int			n = fit->n;
	bool		there = false;

	evaluate_rows(fit);
	for (fit->iterations = 0;; fit->iterations++)
	{
		double		before = fit->objective;
		double		largest = 0;
		double		gain = 0;

		if (!cholesky(fit->hessian, n))
			return "The Hessian is singular";
		if (there)
			return NULL;
		if (fit->iterations == MOST_ITERATIONS)
			return "The coefficients still change";
		memcpy(fit->step, fit->gradient, n * sizeof(double));
		cholesky_solve(fit->hessian, n, fit->step);
		for (int j = 0; j < n; j++)
		{
			largest = Max(largest, fabs(fit->step[j]));
			gain += fit->gradient[j] * fit->step[j] / 2;
			fit->beta[j] += fit->step[j];
		}
		if (!isfinite(largest))
			return "The coefficients grow beyond bounds";
		/*
		 * a negligible gain from steps that do not shrink: the outcomes are separated, and the
		 * coefficients are unbounded
		 */
		there = largest <= small_step || (largest <= ROUGH_STEP && gain <= SMALL_GAIN * (1 + fabs(before)));
		evaluate_rows(fit);
		/* halve a step that went too far; a decrease by rounding does not count */
		for (int half = 0; !(fit->objective >= before - 1e-9 * (1 + fabs(before))) && half < 50; half++)
		{
			for (int j = 0; j < n; j++)
			{
				fit->step[j] /= 2;
				fit->beta[j] -= fit->step[j];
			}
			evaluate_rows(fit);
		}
	}
}

/*
 * Find the coefficients. First fit a sample of the rows, with as many of the
 * rarer outcome as possible: it comes near the solution at little cost. If
 * that fit fails, start with all rows from the base rate.
 */
static void
find_coefficients(Fit *fit, int64 conversions)
{
	int64		n = fit->rows->n;
	double		base = log(conversions / (double) (n - conversions));
	const char *obstacle;

	memset(fit->beta, 0, fit->n * sizeof(double));
	fit->beta[0] = base;
	fit->every[0] = Max(1, (n - conversions) / SAMPLE);
	fit->every[1] = Max(1, conversions / SAMPLE);
	if ((fit->every[0] > 1 || fit->every[1] > 1) && climb(fit, ROUGH_STEP) != NULL)
	{
		memset(fit->beta, 0, fit->n * sizeof(double));
		fit->beta[0] = base;
	}
	fit->every[0] = fit->every[1] = 1;
	obstacle = climb(fit, SMALL_STEP);
	if (obstacle)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("logistic regression does not converge"),
				 errdetail("%s after %d iterations with l2 = %g. Perhaps the features separate the outcomes perfectly.",
						   obstacle, fit->iterations, fit->rows->l2),
				 errhint("Raise l2; 1 is enough for most data.")));
}

/* Drop features whose coefficients have the wrong sign; false if there are none. */
static bool
drop_wrong_signs(Fit *fit)
{
	bool		any = false;

	if (fit->rows->signs == NULL)
		return false;
	for (int j = 1; j < fit->n; j++)
		if (fit->beta[j] * fit->rows->signs[fit->feature[j]] < 0)
		{
			fit->dropped[fit->feature[j]] = "sign";
			any = true;
		}
	list_unknowns(fit);
	return any;
}

/* Drop the features that the model can do without, until there are no more than wanted; false if there are not. */
static bool
drop_weakest(Fit *fit)
{
	int			n = fit->n;
	double	   *inverse;		/* of the Hessian, line after line */

	if (fit->rows->most == 0 || n - 1 <= fit->rows->most)
		return false;
	inverse = palloc0((Size) n * n * sizeof(double));
	for (int j = 0; j < n; j++)
	{
		CHECK_FOR_INTERRUPTS();
		inverse[(Size) j * n + j] = 1;
		cholesky_solve(fit->hessian, n, &inverse[(Size) j * n]);
	}
	for (int left = n - 1; left > fit->rows->most; left--)
	{
		int			weakest = 0;
		double		least = INFINITY;
		double	   *line;
		double		pivot;

		CHECK_FOR_INTERRUPTS();
		for (int j = 1; j < n; j++)
		{
			double		loss = fit->dropped[fit->feature[j]] ? INFINITY : fit->beta[j] * fit->beta[j] / inverse[(Size) j * n + j];

			if (loss < least)
			{
				weakest = j;
				least = loss;
			}
		}
		line = &inverse[(Size) weakest * n];
		pivot = line[weakest];
		for (int j = 0; j < n; j++)
		{
			double		share = line[j] / pivot;

			if (j == weakest || (j > 0 && fit->dropped[fit->feature[j]] != NULL))
				continue;
			fit->beta[j] -= share * fit->beta[weakest];
			for (int k = 0; k < n; k++)
				inverse[(Size) j * n + k] -= share * line[k];
		}
		fit->dropped[fit->feature[weakest]] = "weak";
	}
	list_unknowns(fit);
	pfree(inverse);
	return true;
}

/* The standard error of a linear combination of the coefficients: sqrt(c' H^-1 c). */
static double
standard_error(const Fit *fit, const double *combination)
{
	double		sum = 0;

	memcpy(fit->step, combination, fit->n * sizeof(double));
	cholesky_solve(fit->hessian, fit->n, fit->step);
	for (int j = 0; j < fit->n; j++)
		sum += combination[j] * fit->step[j];
	return sqrt(sum);
}

/* Allocate the results of a fit: for the intercept and each feature. */
static void
fit_init(Fit *fit, Rows *rows)
{
	int			n = rows->n_features + 1;

	memset(fit, 0, sizeof(Fit));
	fit->rows = rows;
	fit->means = palloc0(n * sizeof(double));
	fit->deviations = palloc0(n * sizeof(double));
	fit->scales = palloc0(n * sizeof(double));
	fit->dropped = palloc0(n * sizeof(char *));
	fit->separated = palloc0(n * sizeof(bool));
	fit->feature = palloc(n * sizeof(int));
	fit->beta = palloc(n * sizeof(double));
	fit->gradient = palloc(n * sizeof(double));
	fit->hessian = palloc(n * n * sizeof(double));
	fit->step = palloc(n * sizeof(double));
	fit->centred = palloc0(n * sizeof(bool));
	fit->offsets = palloc0(n * sizeof(double));
	fit->shifts = palloc0(n * sizeof(double));
	fit->unknown = palloc(n * sizeof(int));
	fit->dense = palloc(n * sizeof(double));
	fit->zeros = palloc(n * sizeof(double));
	fit->sparse = palloc(n * sizeof(double));
	fit->at = palloc(n * sizeof(int));
}

/* Which features there are coefficients for. */
static void
find_features(Fit *fit)
{
	standardise(fit);
	find_separated(fit);
	list_unknowns(fit);
	drop_collinear(fit);
}

/* The intercept and the coefficients, with their standard errors, in the features' own units. */
static void
report_coefficients(const Fit *fit, Datum *values)
{
	int			p = fit->rows->n_features;
	double	   *combination = palloc0((p + 1) * sizeof(double));
	Datum	   *coefficients = palloc((p + 1) * sizeof(Datum));
	Datum	   *errors = palloc((p + 1) * sizeof(Datum));
	double		intercept = fit->beta[0];

	for (int j = 0; j < p; j++)
		coefficients[j] = errors[j] = Float8GetDatum(0);
	for (int j = 1; j < fit->n; j++)
	{
		int			feature = fit->feature[j];

		memset(combination, 0, fit->n * sizeof(double));
		combination[j] = 1 / fit->deviations[feature];
		coefficients[feature] = Float8GetDatum(fit->beta[j] / fit->deviations[feature]);
		errors[feature] = Float8GetDatum(standard_error(fit, combination));
		intercept -= fit->beta[j] * fit->shifts[feature];
	}
	combination[0] = 1;
	for (int j = 1; j < fit->n; j++)
		combination[j] = -fit->shifts[fit->feature[j]];
	values[0] = Float8GetDatum(intercept);
	values[1] = Float8GetDatum(standard_error(fit, combination));
	values[2] = array_of(coefficients, NULL, p, FLOAT8OID);
	values[3] = array_of(errors, NULL, p, FLOAT8OID);
}

/* Why each feature was dropped (NULL: it was not), and whether it separates the outcomes. */
static void
report_features(const Fit *fit, Datum *values)
{
	int			p = fit->rows->n_features;
	Datum	   *dropped = palloc((p + 1) * sizeof(Datum));
	Datum	   *separated = palloc((p + 1) * sizeof(Datum));
	bool	   *kept = palloc((p + 1) * sizeof(bool));

	for (int j = 0; j < p; j++)
	{
		kept[j] = fit->dropped[j] == NULL;
		dropped[j] = kept[j] ? (Datum) 0 : CStringGetTextDatum(fit->dropped[j]);
		separated[j] = BoolGetDatum(fit->separated[j]);
	}
	values[0] = array_of(dropped, kept, p, TEXTOID);
	values[1] = array_of(separated, NULL, p, BOOLOID);
}

static int64
count_conversions(const Rows *rows)
{
	int64		conversions = 0;

	for (int64 i = 0; i < rows->n; i++)
		conversions += rows->outcomes[i];
	return conversions;
}

/*
 * state -> (leads, conversions, intercept, intercept_error, coefficients,
 * standard_errors, dropped, separated, log_likelihood, iterations), in the features' own
 * units; NULL unless there are rows of both outcomes
 */
Datum
regression_final(PG_FUNCTION_ARGS)
{
	Rows	   *rows = PG_ARGISNULL(0) ? NULL : (Rows *) PG_GETARG_POINTER(0);
	Fit			fit;
	int64		conversions;
	Datum		values[10];
	bool		nulls[10] = {false};
	TupleDesc	row;

	if (rows == NULL)
		PG_RETURN_NULL();
	conversions = count_conversions(rows);
	if (conversions == 0 || conversions == rows->n)
		PG_RETURN_NULL();

	fit_init(&fit, rows);
	find_features(&fit);
	do
		find_coefficients(&fit, conversions);
	while (drop_wrong_signs(&fit) || drop_weakest(&fit));

	values[0] = Int64GetDatum(rows->n);
	values[1] = Int64GetDatum(conversions);
	report_coefficients(&fit, &values[2]);
	report_features(&fit, &values[6]);
	values[8] = Float8GetDatum(fit.log_likelihood);
	values[9] = Int32GetDatum(fit.iterations);
	if (get_call_result_type(fcinfo, NULL, &row) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(row), values, nulls)));
}

/* ---------- the aggregate held_out_loss (features, outcome, held_out, l2s, signs) ---------- */

/* Its state: rows to learn from, and rows to judge by. */
typedef struct HeldOut
{
	Rows	   *training;
	Rows	   *test;
	int			n_penalties;
	double	   *penalties;
} HeldOut;

/* (state, features, outcome, held_out, l2s, signs) -> state */
Datum
held_out_transition(PG_FUNCTION_ARGS)
{
	MemoryContext context = aggregate_context(fcinfo);
	HeldOut    *state = PG_ARGISNULL(0) ? NULL : (HeldOut *) PG_GETARG_POINTER(0);
	ArrayType  *features;

	if (PG_ARGISNULL(1) || PG_ARGISNULL(2) || PG_ARGISNULL(3) || PG_ARGISNULL(4))
	{
		if (state == NULL)
			PG_RETURN_NULL();
		PG_RETURN_POINTER(state);
	}
	features = PG_GETARG_ARRAYTYPE_P(1);
	if (state == NULL)
	{
		ArrayType  *l2s = PG_GETARG_ARRAYTYPE_P(4);

		if (array_contains_nulls(l2s))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("a penalty is NULL"),
					 errhint("Write numbers such as 1; 0 is no penalty.")));
		state = MemoryContextAlloc(context, sizeof(HeldOut));
		state->training = rows_create(context, length_of(features), 0);
		state->test = rows_create(context, length_of(features), 0);
		if (!PG_ARGISNULL(5))
			read_signs(state->training, PG_GETARG_ARRAYTYPE_P(5));
		state->n_penalties = length_of(l2s);
		state->penalties = MemoryContextAlloc(context, Max(state->n_penalties, 1) * sizeof(double));
		memcpy(state->penalties, ARR_DATA_PTR(l2s), state->n_penalties * sizeof(double));
	}
	add_row(PG_GETARG_BOOL(3) ? state->test : state->training, features, PG_GETARG_BOOL(2));
	PG_RETURN_POINTER(state);
}

/*
 * Judge rows by coefficients that were fitted to others: how many there are, their log loss, and
 * the area under their ROC curve with its error.
 */
static void
judge(Fit *fit, const Rows *test, Datum *figures)
{
	const Rows *training = fit->rows;
	Ranking    *ranking = ranking_create(CurrentMemoryContext);
	double		loss = 0;
	int64		next = 0;
	bool		isnull;

	fit->rows = test;
	for (int64 i = 0; i < test->n; next += test->lengths[i++])
	{
		double		eta = 0;

		if (i % CHECK_EVERY == 0)
			CHECK_FOR_INTERRUPTS();
		read_row(fit, i, next);
		for (int j = 0; j < fit->n_dense; j++)
			eta += fit->beta[j] * fit->dense[j];
		for (int j = 0; j < fit->n_sparse; j++)
			eta += fit->beta[fit->at[j]] * fit->sparse[j];
		loss += log1p(exp(-fabs(eta))) + (test->outcomes[i] ? Max(-eta, 0) : Max(eta, 0));
		ranking_put(ranking, test->outcomes[i], eta);
	}
	fit->rows = training;
	figures[0] = Float8GetDatum(test->n);
	figures[1] = Float8GetDatum(loss);
	figures[2] = state_figure(roc_auc_final, ranking, &isnull);
	if (isnull)
		figures[2] = Float8GetDatum(get_float8_nan());
	figures[3] = state_figure(roc_auc_error_final, ranking, &isnull);
	if (isnull)
		figures[3] = Float8GetDatum(get_float8_nan());
}

/* state -> for each penalty {rows, loss, area, its error}; NULL if the rows to learn from are not of both outcomes */
Datum
held_out_final(PG_FUNCTION_ARGS)
{
	HeldOut    *state = PG_ARGISNULL(0) ? NULL : (HeldOut *) PG_GETARG_POINTER(0);
	int64		conversions = state ? count_conversions(state->training) : 0;
	Datum		(*figures)[4];
	Fit			fit;
	const char **dropped;
	int			sizes[2] = {0, 4};
	int			lower[2] = {1, 1};

	if (conversions == 0 || conversions == state->training->n || state->n_penalties == 0)
		PG_RETURN_NULL();
	figures = palloc(state->n_penalties * sizeof(*figures));
	state->training->l2 = state->penalties[0];
	fit_init(&fit, state->training);
	find_features(&fit);
	dropped = palloc((state->training->n_features + 1) * sizeof(char *));
	memcpy(dropped, fit.dropped, (state->training->n_features + 1) * sizeof(char *));
	for (int i = 0; i < state->n_penalties; i++)
	{
		state->training->l2 = state->penalties[i];
		/* which signs are wrong depends on the penalty */
		memcpy(fit.dropped, dropped, (state->training->n_features + 1) * sizeof(char *));
		list_unknowns(&fit);
		do
			find_coefficients(&fit, conversions);
		while (drop_wrong_signs(&fit));
		judge(&fit, state->test, figures[i]);
	}
	sizes[0] = state->n_penalties;
	PG_RETURN_ARRAYTYPE_P(construct_md_array(&figures[0][0], NULL, 2, sizes, lower, FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}
