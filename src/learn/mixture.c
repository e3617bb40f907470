/*
 * mixture.c: the mean of several choices.
 *
 * Often many choices are as good as the best, as far as chance allows to tell.
 * One of them by itself would be an accident of the folds; their mean has less
 * error than most of them (L. Breiman, Machine Learning 24, 1996). All are
 * curves of the same candidates, and so is their mean.
 */
#include "learn/learner.h"

#include <math.h>

/* All choices that were tried and are not worse than the best by more than chance. */
void
mix(const Learner *learner, Mixture *mixture)
{
	const Set  *set = &learner->sample;
	const Choice *best = &learner->tried[0];

	for (int i = 1; i < learner->n_tried; i++)
		if (learner->tried[i].loss < best->loss)
			best = &learner->tried[i];
	memset(mixture, 0, sizeof(Mixture));
	mixture->choices[mixture->n++] = *best;
	for (int i = 0; i < learner->n_tried; i++)
		if (&learner->tried[i] != best && advantage(set, best->logits, learner->tried[i].logits) <= SURE)
			mixture->choices[mixture->n++] = learner->tried[i];
	mixture_finish(learner, mixture);
}

/* What choices have together: candidates, logits of rows that had no say, and their loss. */
void
mixture_finish(const Learner *learner, Mixture *mixture)
{
	const Set  *set = &learner->sample;

	mixture->widest = mixture->choices[0];
	mixture->logits = MemoryContextAllocHuge(CurrentMemoryContext, Max(set->n, 1) * sizeof(double));
	memset(mixture->logits, 0, set->n * sizeof(double));
	for (int m = 0; m < mixture->n; m++)
	{
		mixture->widest.windows |= mixture->choices[m].windows;
		mixture->widest.decays |= mixture->choices[m].decays;
		for (int64 i = 0; i < set->n; i++)
			mixture->logits[i] += mixture->choices[m].logits[i] / mixture->n;
	}
	mixture->loss = log_loss_of(set->outcomes, mixture->logits, set->n);
}

/*
 * Fit all choices to the rows of a set: the mean of their logits, and their curves.
 * With fold_logits, those by rows outside each fold, too.
 */
double *
fit_mixture(const Learner *learner, const Mixture *mixture, const Set *set, double small,
			double *logits, double **fold_logits)
{
	Size		size = Max(set->n, 1) * sizeof(double);
	double	   *rows = MemoryContextAllocHuge(CurrentMemoryContext, size);
	double	   *curves = palloc0(Max(learner->n_candidates, 1) * MOST_CODES * sizeof(double));

	memset(logits, 0, size);
	for (int fold = 0; fold_logits && fold < FOLDS; fold++)
		memset(fold_logits[fold], 0, size);
	for (int m = 0; m < mixture->n; m++)
	{
		Builder		builder;
		Problem		problem;
		double	   *beta;
		double	   *fold_beta;
		double	   *factor;

		build(&builder, learner, set, &mixture->choices[m]);
		start_fit(&problem, &builder, set, mixture->choices[m].l2, &beta);
		factor = factor_of(&problem, hessian_at(&problem, beta));
		fit_additive(&problem, factor, small, beta);
		add_curves(&builder, beta, 1.0 / mixture->n, curves);
		spread(&builder.design, beta, rows);
		for (int64 i = 0; i < set->n; i++)
			logits[i] += rows[i] / mixture->n;
		fold_beta = palloc(builder.design.n_columns * sizeof(double));
		for (int fold = 0; fold_logits && fold < FOLDS; fold++)
		{
			problem.left_out = fold;
			memcpy(fold_beta, beta, builder.design.n_columns * sizeof(double));
			fit_additive(&problem, factor, small, fold_beta);
			spread(&builder.design, fold_beta, rows);
			for (int64 i = 0; i < set->n; i++)
				fold_logits[fold][i] += rows[i] / mixture->n;
		}
		pfree(factor);
		pfree(fold_beta);
	}
	pfree(rows);
	return curves;
}
