/*
 * coarsen.c: a fine model told in few whole points.
 *
 * The terms are 0/1 columns. At first they say what the fine model says: its
 * curves in steps, its grids in products. Then they are taken away one by one,
 * each time the one whose loss, with all others adapted, is least (B. Hassibi
 * and D. G. Stork, Advances in Neural Information Processing Systems 5, 1993).
 * A step that goes merges two neighbours. The loss is that of the logits,
 * weighed as the likelihood weighs them, and by how many rows are near: among
 * these a row that is off changes places.
 *
 * Among few rows, columns of different candidates go together by chance, and one
 * would be told by the other. So what columns of two candidates have in common
 * is shrunk towards what they would have if they were independent.
 */
#include "learn/learner.h"

#include <math.h>

#include "math/cholesky.h"

#define MOST_BY_CHANCE 0.1		/* share of what columns have in common that is put down to chance */
#define PLACES 20				/* of logits, in one, by which rows near are counted */
#define NEAR 6					/* places of a standard deviation */
#define FARTHEST 10				/* logit that is told from those beyond */
#define STAY 0.0004			/* penalty, as a share of all rows' weights, that keeps terms together */

bool
is_own(const Card *card, int column)
{
	return card->builder.columns[column - 1].test.kind == COLUMN_OWN;
}

/* Replace a positive definite matrix, the lower half of which is given, by its inverse. */
static void
invert(double *matrix, int n)
{
	double	   *inverse = MemoryContextAllocHuge(CurrentMemoryContext, (Size) n * n * sizeof(double));

	if (!cholesky(matrix, n))
		elog(ERROR, "the columns of a card are not independent");
	memset(inverse, 0, (Size) n * n * sizeof(double));
	for (int j = 0; j < n; j++)
	{
		CHECK_FOR_INTERRUPTS();
		inverse[(Size) j * n + j] = 1;
		cholesky_solve(matrix, n, &inverse[(Size) j * n]);
	}
	memcpy(matrix, inverse, (Size) n * n * sizeof(double));
	pfree(inverse);
}

/* The coefficients by which the columns say what the curves, and the products, say. */
static void
know_curves(Card *card, const Learner *learner, const double *curves, const Products *products)
{
	const Design *design = &card->builder.design;
	int			n_products = 0;

	for (int v = 0; v < design->n_variables; v++)
	{
		int			previous = 0;

		for (int j = design->first[v]; j < design->first[v] + design->variables[v].n_columns; j++)
		{
			const Column *column = &card->builder.columns[j - 1];
			const Candidate *candidate = learner->candidates[column->test.candidate];
			const double *curve = &curves[column->test.candidate * MOST_CODES];

			if (column->is_product)
				card->beta[j] = products->products[n_products++].points;
			else if (column->test.kind == COLUMN_STEP)
			{
				card->beta[j] = curve[column->test.code] - curve[previous];
				previous = column->test.code;
			}
			else if (column->test.kind == COLUMN_OWN)
			{
				/* a line through two of its points */
				const double *values = column_values(design, v, j);

				card->beta[j] = (curve[candidate->n_used - 1] - curve[0]) / (values[candidate->n_used - 1] - values[0]);
			}
			else
				card->beta[j] = curve[column->test.kind == COLUMN_LEVEL ? column->test.code : candidate->absent] - curve[0];
		}
	}
}

/* What columns have in common, by rows, and to so great a share by chance; inverted. */
static double *
inverse_of(const Design *design, const double *weights, double by_chance)
{
	int			n = design->n_columns;
	double	   *matrix = MemoryContextAllocHuge(CurrentMemoryContext, (Size) n * n * sizeof(double));

	weigh_columns(design, weights, matrix);
	for (int v = 0; v < design->n_variables; v++)
		for (int j = design->first[v]; j < design->first[v] + design->variables[v].n_columns; j++)
			for (int k = 1; k < design->first[v]; k++)
			{
				double	   *common = &matrix[(Size) j * n + k];

				*common += by_chance * (matrix[(Size) j * n] * matrix[(Size) k * n] / matrix[0] - *common);
			}
	for (int j = 1; j < n; j++)
		matrix[(Size) j * n + j] += STAY * matrix[0];
	invert(matrix, n);
	return matrix;
}

/* Bring the coefficients of the columns that are kept nearer to the logits. */
static void
come_nearer(Card *card, const double *inverse, const double *logits, const double *weights)
{
	const Design *design = &card->builder.design;
	int			n = design->n_columns;
	double	   *rest = MemoryContextAllocHuge(CurrentMemoryContext, Max(design->n, 1) * sizeof(double));
	double	   *right = palloc(n * sizeof(double));

	spread(design, card->beta, rest);
	for (int64 i = 0; i < design->n; i++)
		rest[i] = (logits[i] - rest[i]) * weights[i];
	collect(design, rest, right);
	for (int j = 0; j < n; j++)
		for (int k = 0; k < n && card->is_kept[j]; k++)
			if (card->is_kept[k])
				card->beta[j] += inverse[(Size) j * n + k] * right[k];
	pfree(rest);
	pfree(right);
}

/* Drop one column, and adapt the others. */
static void
drop(Card *card, double *inverse, int column)
{
	int			n = card->builder.design.n_columns;
	const double *line = &inverse[(Size) column * n];
	double		share = card->beta[column] / line[column];
	double		pivot = 1 / line[column];

	for (int j = 0; j < n; j++)
		if (card->is_kept[j])
			card->beta[j] -= share * line[j];
	for (int j = 0; j < n; j++)
	{
		double		factor = pivot * line[j];

		if (j == column || !card->is_kept[j] || factor == 0)
			continue;
		for (int k = 0; k < n; k++)
			inverse[(Size) j * n + k] -= factor * line[k];
	}
	card->beta[column] = 0;
	card->is_kept[column] = false;
	card->n_kept--;
}

/* Drop columns until there are so many, and all that bring less than so much. */
static void
coarsen(Card *card, double *inverse, int most, double least)
{
	int			n = card->builder.design.n_columns;

	for (;;)
	{
		int			worst = -1;
		double		lowest = INFINITY;

		CHECK_FOR_INTERRUPTS();
		for (int j = 1; j < n; j++)
		{
			double		loss = card->is_kept[j] && !is_own(card, j) ? card->beta[j] * card->beta[j] / inverse[(Size) j * n + j] : INFINITY;

			if (loss < lowest)
			{
				worst = j;
				lowest = loss;
			}
		}
		if (worst < 0 || ((most == 0 || card->n_kept <= most) && fabs(card->beta[worst]) >= least))
			return;
		drop(card, inverse, worst);
	}
}

/* How much each row's logit matters; returns what all of them would matter at even odds. */
static double
weigh_rows(const double *logits, int64 n, double *weights)
{
	double		rows[2 * PLACES * FARTHEST + 1] = {0};
	double		effective = 0;
	double		sum = 0;

	for (int64 i = 0; i < n; i++)
		rows[(int) ((Min(Max(logits[i], -FARTHEST), FARTHEST) + FARTHEST) * PLACES)]++;
	for (int64 i = 0; i < n; i++)
	{
		int			place = (Min(Max(logits[i], -FARTHEST), FARTHEST) + FARTHEST) * PLACES;
		double		e = exp(-fabs(logits[i]));
		double		near = 0;

		if (i % 1024 == 0)
			CHECK_FOR_INTERRUPTS();
		for (int other = Max(place - 2 * NEAR, 0); other <= Min(place + 2 * NEAR, 2 * PLACES * FARTHEST); other++)
			near += rows[other] * exp(-0.5 * (other - place) * (other - place) / (NEAR * NEAR));
		effective += 4 * e / ((1 + e) * (1 + e));
		weights[i] = near * e / ((1 + e) * (1 + e));
		sum += 4 * weights[i];
	}
	for (int64 i = 0; i < n; i++)
		weights[i] *= effective / sum;
	return effective;
}

/* A card that says nearly what the logits of all rows say, which are those of the curves and products. */
void
make_card(Card *card, const Learner *learner, const Choice *choice, const double *curves, const Products *products, const double *logits)
{
	const Set  *set = &learner->sample;
	int			n;
	double	   *ours = MemoryContextAllocHuge(CurrentMemoryContext, Max(set->n, 1) * sizeof(double));
	double	   *weights = MemoryContextAllocHuge(CurrentMemoryContext, Max(set->n, 1) * sizeof(double));
	double		effective;
	double	   *inverse;

	for (int64 i = 0; i < set->n; i++)
		ours[i] = logits[set->rows ? set->rows[i] : i];
	effective = weigh_rows(ours, set->n, weights);
	build_card(&card->builder, learner, set, choice, products);
	n = card->builder.design.n_columns;
	card->beta = palloc0(n * sizeof(double));
	card->is_kept = palloc(n * sizeof(bool));
	memset(card->is_kept, true, n);
	card->n_kept = 0;
	for (int j = 1; j < n; j++)
		card->n_kept += !is_own(card, j);
	know_curves(card, learner, curves, products);
	inverse = inverse_of(&card->builder.design, weights, Min(MOST_BY_CHANCE, MOST_BINS / (MOST_BINS + effective)));
	come_nearer(card, inverse, ours, weights);
	coarsen(card, inverse, learner->max_weights, learner->round ? learner->slope / 2 : 0);
	come_nearer(card, inverse, ours, weights);
	pfree(inverse);
	pfree(ours);
	pfree(weights);
	if (set->rows)
		build_card(&card->builder, learner, &learner->all, choice, products);
}

/* Whole points. What rounding takes from a step is given to the next, so a curve is off by half a point at most. */
void
round_points(Card *card, double unit)
{
	const Design *design = &card->builder.design;

	for (int v = 0; v < design->n_variables; v++)
	{
		double		owed = 0;

		for (int j = design->first[v]; j < design->first[v] + design->variables[v].n_columns; j++)
		{
			const Column *column = &card->builder.columns[j - 1];
			bool		is_step = !column->is_product && column->test.kind == COLUMN_STEP;
			double		wanted = card->beta[j] + (is_step ? owed : 0);

			if (!card->is_kept[j] || is_own(card, j))
				continue;
			card->beta[j] = rint(wanted / unit) * unit;
			if (is_step)
				owed = wanted - card->beta[j];
		}
	}
}

/*
 * The line through scores that makes the targets, outcomes or probabilities,
 * most likely; false if it may be by chance that its slope is not 1.
 */
bool
line_through(const double *targets, const double *scores, int64 n, double *intercept, double *slope)
{
	double		mean = 0;
	double		rate = 0;
	double		variance = 0;

	for (int64 i = 0; i < n; i++)
	{
		mean += scores[i] / n;
		rate += targets[i] / n;
	}
	/* from the middle, where Newton's steps are safe */
	*intercept = log(rate / (1 - rate));
	*slope = 0;
	for (int step = 0; step < 25; step++)
	{
		double		g[2] = {0};
		double		h[3] = {1e-9, 0, 1e-9};
		double		determinant;

		for (int64 i = 0; i < n; i++)
		{
			double		x = scores[i] - mean;
			double		p = 1 / (1 + exp(-(*intercept + *slope * x)));
			double		w = p * (1 - p);

			if (i % 1024 == 0)
				CHECK_FOR_INTERRUPTS();
			g[0] += targets[i] - p;
			g[1] += (targets[i] - p) * x;
			h[0] += w;
			h[1] += w * x;
			h[2] += w * x * x;
		}
		determinant = h[0] * h[2] - h[1] * h[1];
		if (!(determinant > 1e-12 * h[0] * h[2]))
			break;
		*intercept += (h[2] * g[0] - h[1] * g[1]) / determinant;
		*slope += (h[0] * g[1] - h[1] * g[0]) / determinant;
		variance = h[0] / determinant;
	}
	*intercept -= *slope * mean;
	return isfinite(*slope) && isfinite(*intercept) && fabs(*slope - 1) > 2 * sqrt(variance);
}
