/*
 * additive.c: logistic regression with a ridge penalty, on columns that are
 * functions of codes.
 *
 * A number in up to 32 bins, or an attribute with its levels, is one byte for
 * each row; its columns (steps, levels, curves) are tables by that byte. So a
 * sum over columns is one look-up a variable, and the sums over rows that a
 * step needs are those over codes, then over the table: the work goes by the
 * variables, not by the columns, and memory is a byte for each row and variable.
 *
 * What is maximised is
 *
 *     log likelihood - sum of penalty / 2 * coefficient²
 *
 * with columns as they are. Newton's steps are found by conjugate gradients
 * (M. R. Hestenes and E. Stiefel, 1952), preconditioned with the Cholesky
 * factor of one Hessian, that of all rows: for rows of a part, or another
 * penalty nearby, it takes a few passes more, and no other factor.
 */
#include "learn/additive.h"

#include "math/cholesky.h"

#include <math.h>

#define BLOCK 1024				/* rows, between interrupts */
#define MOST_STEPS 50
#define MOST_PASSES 30			/* of conjugate gradients for a step */

/* Number the columns. */
void
design_finish(Design *design)
{
	design->first = palloc((design->n_variables + 1) * sizeof(int));
	design->n_columns = 1;
	for (int v = 0; v < design->n_variables; v++)
	{
		design->first[v] = design->n_columns;
		design->n_columns += design->variables[v].n_columns;
	}
	if (design->n_columns > 2 * MOST_COLUMNS)
		elog(ERROR, "too many columns: %d", design->n_columns);
}

void
set_penalties(Problem *problem, double l2)
{
	const Design *design = problem->design;

	problem->penalties[0] = 0;
	for (int v = 0; v < design->n_variables; v++)
		for (int j = 0; j < design->variables[v].n_columns; j++)
			problem->penalties[design->first[v] + j] = design->variables[v].fixed[j] + l2 * design->variables[v].raw[j];
}

/* For each row, the sum of its columns, each times a coefficient. */
void
spread(const Design *design, const double *beta, double *rows)
{
	double		sums[MOST_CODES];

	for (int64 i = 0; i < design->n; i++)
		rows[i] = beta[0];
	for (int v = 0; v < design->n_variables; v++)
	{
		const Variable *variable = &design->variables[v];
		const uint8 *codes = variable->codes;

		CHECK_FOR_INTERRUPTS();
		memset(sums, 0, sizeof(sums));
		for (int j = 0; j < variable->n_columns; j++)
			for (int code = 0; code < variable->n_codes; code++)
				sums[code] += beta[design->first[v] + j] * variable->table[j * variable->n_codes + code];
		for (int64 i = 0; i < design->n; i++)
			rows[i] += sums[codes[i]];
	}
}

/* For each column, the sum of a number of each row, times the column. */
void
collect(const Design *design, const double *rows, double *columns)
{
	double		sums[MOST_CODES];

	columns[0] = 0;
	for (int64 i = 0; i < design->n; i++)
		columns[0] += rows[i];
	for (int v = 0; v < design->n_variables; v++)
	{
		const Variable *variable = &design->variables[v];
		const uint8 *codes = variable->codes;

		CHECK_FOR_INTERRUPTS();
		memset(sums, 0, sizeof(sums));
		for (int64 i = 0; i < design->n; i++)
			sums[codes[i]] += rows[i];
		for (int j = 0; j < variable->n_columns; j++)
		{
			double		sum = 0;

			for (int code = 0; code < variable->n_codes; code++)
				sum += sums[code] * variable->table[j * variable->n_codes + code];
			columns[design->first[v] + j] = sum;
		}
	}
}

/* The block of the Hessian of two variables, the second not after the first. */
static void
weigh_pair(const Design *design, int a, int b, const double *weights, double *cells, double *half, double *hessian)
{
	const Variable *x = &design->variables[a];
	const Variable *y = &design->variables[b];
	int			n = design->n_columns;

	memset(cells, 0, x->n_codes * y->n_codes * sizeof(double));
	for (int64 i = 0; i < design->n; i++)
		cells[x->codes[i] * y->n_codes + y->codes[i]] += weights[i];
	for (int j = 0; j < x->n_columns; j++)
	{
		memset(half, 0, y->n_codes * sizeof(double));
		for (int code = 0; code < x->n_codes; code++)
		{
			double		value = x->table[j * x->n_codes + code];

			if (value == 0)
				continue;
			for (int other = 0; other < y->n_codes; other++)
				half[other] += value * cells[code * y->n_codes + other];
		}
		for (int k = 0; k < y->n_columns; k++)
		{
			double		sum = 0;

			for (int other = 0; other < y->n_codes; other++)
				sum += half[other] * y->table[k * y->n_codes + other];
			hessian[(Size) (design->first[a] + j) * n + design->first[b] + k] = sum;
		}
	}
}

/* The sums over rows of weight * column * column: the lower half. */
void
weigh_columns(const Design *design, const double *weights, double *hessian)
{
	int			n = design->n_columns;
	double	   *cells = palloc(MOST_CODES * MOST_CODES * sizeof(double));
	double	   *half = palloc(MOST_CODES * sizeof(double));
	double	   *sums = palloc(n * sizeof(double));

	memset(hessian, 0, (Size) n * n * sizeof(double));
	collect(design, weights, sums);
	for (int j = 0; j < n; j++)
		hessian[(Size) j * n] = sums[j];
	for (int a = 0; a < design->n_variables; a++)
		for (int b = 0; b <= a; b++)
		{
			CHECK_FOR_INTERRUPTS();
			weigh_pair(design, a, b, weights, cells, half, hessian);
		}
	pfree(cells);
	pfree(half);
	pfree(sums);
}

static inline bool
takes_part(const Problem *problem, int64 i)
{
	return problem->left_out < 0 || problem->folds[i] != problem->left_out;
}

/*
 * Log odds of the rows that take part, as if nothing else were known. Half a row more of each
 * outcome keeps them finite.
 */
double
starting_intercept(const Problem *problem)
{
	double		n[2] = {0.5, 0.5};

	for (int64 i = 0; i < problem->design->n; i++)
		if (takes_part(problem, i))
			n[problem->design->outcomes[i]]++;
	return log(n[1] / n[0]);
}

/* Residual and weight of each row at its logit; returns the log likelihood. */
static double
look_at_rows(const Problem *problem, const double *logits, double *residuals, double *weights)
{
	const Design *design = problem->design;
	double		likelihood = 0;

	for (int64 i = 0; i < design->n; i++)
	{
		double		e;
		double		p;

		if (i % BLOCK == 0)
			CHECK_FOR_INTERRUPTS();
		if (!takes_part(problem, i))
		{
			residuals[i] = weights[i] = 0;
			continue;
		}
		/* exp() of what is not positive cannot overflow */
		e = exp(-fabs(logits[i]));
		p = logits[i] >= 0 ? 1 / (1 + e) : e / (1 + e);
		residuals[i] = (design->outcomes[i] ? 1 : 0) - p;
		weights[i] = e / ((1 + e) * (1 + e));
		likelihood -= log1p(e) + (design->outcomes[i] ? Max(-logits[i], 0) : Max(logits[i], 0));
	}
	return likelihood;
}

/* The mean log loss of rows by their logits. */
double
log_loss_of(const bool *outcomes, const double *logits, int64 n)
{
	double		loss = 0;

	for (int64 i = 0; i < n; i++)
	{
		double		towards = outcomes[i] ? logits[i] : -logits[i];

		if (i % BLOCK == 0)
			CHECK_FOR_INTERRUPTS();
		loss += log1p(exp(-fabs(towards))) + Max(-towards, 0);
	}
	return n > 0 ? loss / n : 0;
}

/* The Hessian at some coefficients, without penalties: the lower half. */
double *
hessian_at(const Problem *problem, const double *beta)
{
	const Design *design = problem->design;
	int			n = design->n_columns;
	double	   *logits = MemoryContextAllocHuge(CurrentMemoryContext, Max(design->n, 1) * sizeof(double));
	double	   *residuals = MemoryContextAllocHuge(CurrentMemoryContext, Max(design->n, 1) * sizeof(double));
	double	   *weights = MemoryContextAllocHuge(CurrentMemoryContext, Max(design->n, 1) * sizeof(double));
	double	   *hessian = MemoryContextAllocHuge(CurrentMemoryContext, (Size) n * n * sizeof(double));

	spread(design, beta, logits);
	look_at_rows(problem, logits, residuals, weights);
	weigh_columns(design, weights, hessian);
	pfree(logits);
	pfree(residuals);
	pfree(weights);
	return hessian;
}

/* The Cholesky factor of a Hessian with the problem's penalties. */
double *
factor_of(const Problem *problem, const double *hessian)
{
	int			n = problem->design->n_columns;
	double	   *factor = MemoryContextAllocHuge(CurrentMemoryContext, (Size) n * n * sizeof(double));

	memcpy(factor, hessian, (Size) n * n * sizeof(double));
	for (int j = 0; j < n; j++)
		factor[(Size) j * n + j] += problem->penalties[j] + 1e-6;
	if (!cholesky(factor, n))
		elog(ERROR, "the Hessian is singular");
	return factor;
}

static double
dot(const double *a, const double *b, int n)
{
	double		sum = 0;

	for (int j = 0; j < n; j++)
		sum += a[j] * b[j];
	return sum;
}

/* Room for the vectors of a fit, by row and by column. */
typedef struct Work
{
	double	   *logits;
	double	   *residuals;
	double	   *weights;
	double	   *along;			/* rows of a direction */
	double	   *gradient;
	double	   *step;
	double	   *rest;
	double	   *solved;
	double	   *direction;
	double	   *image;
} Work;

/* A Newton step by conjugate gradients, to so small a part of the gradient; returns the step's gain, twice. */
static double
newton_step(const Problem *problem, const double *factor, Work *work)
{
	const Design *design = problem->design;
	int			n = design->n_columns;
	double		before;
	double		first;

	memset(work->step, 0, n * sizeof(double));
	memcpy(work->rest, work->gradient, n * sizeof(double));
	memcpy(work->solved, work->rest, n * sizeof(double));
	cholesky_solve(factor, n, work->solved);
	memcpy(work->direction, work->solved, n * sizeof(double));
	before = first = dot(work->rest, work->solved, n);
	for (int pass = 0; pass < MOST_PASSES && before > 1e-4 * first; pass++)
	{
		double		length;
		double		after;

		spread(design, work->direction, work->along);
		for (int64 i = 0; i < design->n; i++)
			work->along[i] *= work->weights[i];
		collect(design, work->along, work->image);
		for (int j = 0; j < n; j++)
			work->image[j] += problem->penalties[j] * work->direction[j];
		length = before / dot(work->direction, work->image, n);
		for (int j = 0; j < n; j++)
		{
			work->step[j] += length * work->direction[j];
			work->rest[j] -= length * work->image[j];
		}
		memcpy(work->solved, work->rest, n * sizeof(double));
		cholesky_solve(factor, n, work->solved);
		after = dot(work->rest, work->solved, n);
		for (int j = 0; j < n; j++)
			work->direction[j] = work->solved[j] + after / before * work->direction[j];
		before = after;
	}
	return dot(work->gradient, work->step, n);
}

/* Objective, gradient and weights at the coefficients. */
static double
look(const Problem *problem, const double *beta, Work *work)
{
	const Design *design = problem->design;
	double		objective;

	spread(design, beta, work->logits);
	objective = look_at_rows(problem, work->logits, work->residuals, work->weights);
	collect(design, work->residuals, work->gradient);
	for (int j = 0; j < design->n_columns; j++)
	{
		objective -= problem->penalties[j] / 2 * beta[j] * beta[j];
		work->gradient[j] -= problem->penalties[j] * beta[j];
	}
	return objective;
}

/* Improve the coefficients until a step would gain less than so much log likelihood. */
void
fit_additive(const Problem *problem, const double *factor, double small, double *beta)
{
	const Design *design = problem->design;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "leadscore fit", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Size		rows = Max(design->n, 1) * sizeof(double);
	Size		columns = design->n_columns * sizeof(double);
	Work		work = {
		MemoryContextAllocHuge(context, rows), MemoryContextAllocHuge(context, rows), MemoryContextAllocHuge(context, rows),
		MemoryContextAllocHuge(context, rows), palloc(columns), palloc(columns), palloc(columns), palloc(columns), palloc(columns), palloc(columns)
	};
	double		objective = look(problem, beta, &work);

	for (int step = 0; step < MOST_STEPS; step++)
	{
		double		gain = newton_step(problem, factor, &work);
		double		before = objective;

		for (int j = 0; j < design->n_columns; j++)
			beta[j] += work.step[j];
		objective = look(problem, beta, &work);
		/* a step too far is taken back by halves; what rounding takes is none */
		for (int half = 0; !(objective >= before - 1e-9 * (1 + fabs(before))) && half < 30; half++)
		{
			for (int j = 0; j < design->n_columns; j++)
			{
				work.step[j] /= 2;
				beta[j] -= work.step[j];
			}
			objective = look(problem, beta, &work);
		}
		if (!(gain > small))
			break;
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}
