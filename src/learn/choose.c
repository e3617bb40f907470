/*
 * choose.c: what propose() chooses by cross-validation.
 *
 * A choice is judged by the log loss of leads that had no say in the
 * coefficients: four folds of leads. The plain card comes first, straight lines
 * alone; what has more columns replaces it only if that is more than chance.
 */
#include "learn/learner.h"

#include <math.h>

#include "learn/quality.h"
#include "utils/builtins.h"
#include "utils/float.h"


#define STRICTER 10				/* times the penalty, beside pairs */

static const double grid[] = {3000, 1000, 300, 100, 30, 10, 3, 1, 0.3};

double
figure_of(PGFunction final, const Set *set, const double *logits)
{
	Ranking    *ranking = ranking_create(CurrentMemoryContext);
	Datum		figure;
	bool		isnull;

	for (int64 i = 0; i < set->n; i++)
		ranking_put(ranking, set->outcomes[i], logits[i]);
	figure = state_figure(final, ranking, &isnull);
	return isnull ? get_float8_nan() : DatumGetFloat8(figure);
}

void
append_number(StringInfo json, double number)
{
	if (isfinite(number))
		appendStringInfoString(json, float8out_internal(number));
	else
		appendStringInfoString(json, "null");
}

/* A line of the report. */
void
note_choice(Learner *learner, const Choice *choice, int pairs)
{
	StringInfo	json = &learner->choices;

	appendStringInfo(json, "%s{\"standardised\": %s, \"bins\": %d, \"lines\": %s, \"logarithms\": %s, \"windows\": %s, \"half_lives\": %s, \"pairs\": %d, \"l2\": ", learner->n_choices++ > 0 ? ", " : "",
					 choice->standard ? "true" : "false", choice->bins, choice->lines ? "true" : "false", choice->logs ? "true" : "false", choice->windows ? "true" : "false", choice->decays ? "true" : "false", pairs);
	append_number(json, choice->l2);
	appendStringInfoString(json, ", \"log_loss\": ");
	append_number(json, choice->loss);
	appendStringInfoString(json, ", \"auc\": ");
	append_number(json, figure_of(roc_auc_final, &learner->sample, choice->logits));
	appendStringInfoString(json, ", \"auc_error\": ");
	append_number(json, figure_of(roc_auc_error_final, &learner->sample, choice->logits));
	appendStringInfoChar(json, '}');
}

/* The logits of rows by coefficients that the other folds have, into choice->logits, and their loss. */
static void
cross_validate(const Builder *builder, const Set *set, Choice *choice, const double *factor, const double *beta)
{
	const Design *design = &builder->design;
	double	   *fold_beta = palloc(design->n_columns * sizeof(double));
	double	   *rows = MemoryContextAllocHuge(CurrentMemoryContext, Max(design->n, 1) * sizeof(double));
	Problem		problem = {design, set->folds, 0, palloc(design->n_columns * sizeof(double))};

	set_penalties(&problem, choice->l2);
	for (int fold = 0; fold < FOLDS; fold++)
	{
		problem.left_out = fold;
		memcpy(fold_beta, beta, design->n_columns * sizeof(double));
		fit_additive(&problem, factor, 1e-4, fold_beta);
		spread(design, fold_beta, rows);
		for (int64 i = 0; i < design->n; i++)
			if (set->folds[i] == fold)
				choice->logits[i] = rows[i];
	}
	choice->loss = log_loss_of(set->outcomes, choice->logits, set->n);
	pfree(fold_beta);
	pfree(rows);
	pfree(problem.penalties);
}

/* A fit by all rows, before its first step. */
void
start_fit(Problem *problem, const Builder *builder, const Set *set, double l2, double **beta)
{
	*beta = palloc0(builder->design.n_columns * sizeof(double));
	*problem = (Problem) {&builder->design, set->folds, -1, palloc(builder->design.n_columns * sizeof(double))};
	(*beta)[0] = starting_intercept(problem);
	set_penalties(problem, l2);
}

/* Try a choice with each penalty of the grid (or the one that is given); keep the best in it. */
static void
try_choice(Learner *learner, Choice *choice, const double *l2s, int n_l2s)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "leadscore choice", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old;
	double	   *best = MemoryContextAllocHuge(CurrentMemoryContext, Max(learner->sample.n, 1) * sizeof(double));
	Choice		tried = *choice;
	Builder		builder;
	Problem		problem;
	double	   *beta;
	double	   *hessian;

	choice->loss = INFINITY;
	old = MemoryContextSwitchTo(context);
	tried.logits = MemoryContextAllocHuge(context, Max(learner->sample.n, 1) * sizeof(double));
	build(&builder, learner, &learner->sample, choice);
	start_fit(&problem, &builder, &learner->sample, l2s[0], &beta);
	hessian = hessian_at(&problem, beta);
	for (int i = 0; i < n_l2s; i++)
	{
		double	   *factor;

		CHECK_FOR_INTERRUPTS();
		tried.l2 = l2s[i];
		set_penalties(&problem, tried.l2);
		factor = factor_of(&problem, hessian);
		fit_additive(&problem, factor, 1e-3, beta);
		cross_validate(&builder, &learner->sample, &tried, factor, beta);
		pfree(factor);
		if (tried.loss < choice->loss)
		{
			choice->loss = tried.loss;
			choice->l2 = tried.l2;
			memcpy(best, tried.logits, learner->sample.n * sizeof(double));
		}
		else if (tried.loss > choice->loss * 1.02)
			break;				/* the path leads away */
	}
	choice->logits = best;
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	note_choice(learner, choice, 0);
}

/* By how many standard errors of the difference, lead by lead, logits have less loss than others. */
double
advantage(const Set *set, const double *logits, const double *others)
{
	double		sum = 0;
	double		squares = 0;

	for (int64 i = 0; i < set->n; i++)
	{
		double		sign = set->outcomes[i] ? 1 : -1;
		double		a = sign * logits[i];
		double		b = sign * others[i];
		double		less = log1p(exp(-fabs(b))) + Max(-b, 0) - log1p(exp(-fabs(a))) - Max(-a, 0);

		if (i % 1024 == 0)
			CHECK_FOR_INTERRUPTS();
		sum += less;
		squares += less * less;
	}
	squares -= sum * sum / Max(set->n, 1);
	return squares > 0 ? sum / sqrt(squares) : 0;
}

/* Take a choice instead of another if it is better by so many standard errors. */
static void
prefer(const Set *set, Choice *best, const Choice *other, double sure)
{
	if (other->loss < best->loss && (sure == 0 || advantage(set, other->logits, best->logits) > sure))
		*best = *other;
}
/* The penalties around one that is good for another choice. */
static int
penalties_near(double l2, double *near)
{
	int			at = 0;
	int			n = 0;

	while (at < (int) lengthof(grid) - 1 && grid[at] > l2)
		at++;
	for (int i = Max(at - 2, 0); i < Min(at + 3, (int) lengthof(grid)); i++)
		near[n++] = grid[i];
	return n;
}

/* Try a choice that differs from the best; take it if it is better by so many standard errors. */
static void
try_instead(Learner *learner, Choice *best, Choice tried, double sure)
{
	double		near[lengthof(grid)];

	if (!isnan(learner->l2))
		try_choice(learner, &tried, &learner->l2, 1);
	else if (tried.standard != best->standard || (tried.bins > 0 && best->bins == 0))
		try_choice(learner, &tried, grid, lengthof(grid));
	else
		try_choice(learner, &tried, near, penalties_near(best->l2, near));
	learner->tried[learner->n_tried++] = tried;
	prefer(&learner->sample, best, &tried, sure);
}

/* Curves and bins of numbers. */
static void
choose_bins(Learner *learner, Choice *best)
{
	static const int binnings[] = {8, 16, 32};
	Choice		tried = *best;

	tried.standard = false;
	try_instead(learner, best, tried, SURE);
	tried = *best;
	tried.logs = true;
	tried.lines = false;
	try_instead(learner, best, tried, SURE);
	tried.lines = true;
	try_instead(learner, best, tried, SURE);
	for (int i = 0; i < (int) lengthof(binnings); i++)
	{
		tried = *best;
		tried.bins = binnings[i];
		tried.standard = false;
		tried.lines = tried.logs = true;
		if (count_columns(learner, &tried) > MOST_COLUMNS)
			break;
		try_instead(learner, best, tried, best->bins == 0 ? SURE : 0);
	}
}

/* The same choices with stricter penalties. */
static void
mix_stricter(Learner *learner, const Mixture *mixture, Mixture *strict)
{
	*strict = *mixture;
	for (int m = 0; m < strict->n; m++)
	{
		double		l2 = strict->choices[m].l2 * STRICTER;

		try_choice(learner, &strict->choices[m], &l2, 1);
	}
	mixture_finish(learner, strict);
}

/* All that is to be chosen. */
void
choose(Learner *learner, Mixture *chosen)
{
	bool		fixed = !isnan(learner->l2);
	Choice		best = {.standard = learner->bins < 0, .bins = Max(learner->bins, 0), .lines = true, .logs = learner->bins > 0};
	bool		measures = false;

	for (int c = 0; c < learner->n_candidates; c++)
		measures = measures || learner->candidates[c]->kind == CANDIDATE_MEASURE;
	try_choice(learner, &best, fixed ? &learner->l2 : grid, fixed ? 1 : lengthof(grid));
	learner->tried[learner->n_tried++] = best;
	if (learner->bins < 0)
		choose_bins(learner, &best);
	for (int more = 1; measures && more < 4; more++)
	{
		Choice		tried = best;

		tried.windows = more != 2;
		tried.decays = more != 1;
		try_instead(learner, &best, tried, best.windows || best.decays ? 0 : SURE);
	}
	mix(learner, chosen);
	if (learner->max_pairs > 0)
	{
		Mixture		strict;

		/* what pairs explain need not be told by curves: these may be shrunk more */
		mix_stricter(learner, chosen, &strict);
		choose_pairs(learner, &strict);
		choose_pairs(learner, chosen);
		if (strict.loss < chosen->loss && advantage(&learner->sample, strict.logits, chosen->logits) > (chosen->rounds > 0 ? 0 : VERY_SURE))
			*chosen = strict;
	}
}
