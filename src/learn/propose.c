/*
 * propose.c: the aggregate learn: a readable card from what is known of leads
 * and what came, with all that has to be chosen chosen by cross-validation.
 *
 * Each candidate has columns: steps between bins, levels, absence, and for
 * numbers a line and a logarithm, by their bins' means. Lines, logarithms and
 * steps together shrink towards the curve that few data can bear, since a step
 * more costs l2 and a line next to nothing. What is chosen is judged by the log
 * loss of leads that had no say in the coefficients (four folds of leads).
 *
 * The fine model is then told in few terms: 0/1 columns that come as near to its
 * logits as they can, weighed as the likelihood weighs them. Terms are taken away
 * one by one, each time the one whose loss, with all others adapted, is least
 * (B. Hassibi and D. G. Stork, Advances in Neural Information Processing Systems
 * 5, 1993). A step that goes merges two neighbours.
 */
#include "array_of.h"
#include "learn/additive.h"
#include "learn/candidate.h"
#include "learn/quality.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "math/cholesky.h"
#include "model/appraise.h"
#include "timeline/timeline.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/float.h"
#include "utils/fmgrprotos.h"

PG_FUNCTION_INFO_V1(learn_transition);
PG_FUNCTION_INFO_V1(learn_final);

#define FOLDS 4
#define SAMPLE 20000			/* rows that choices are made by */
#define MOST_GROUPS 12			/* of an axis of a pair */
#define MOST_PAIRED 40			/* candidates that pairs are sought among */
#define ROUNDS 8				/* of pairs, each on what the others have left */
#define MOST_PER_ROUND 10
#define MOST_PAIRS (ROUNDS * MOST_PER_ROUND)
#define PAIR_SHARE 1.0			/* of l2 */
#define SURE 1.0				/* standard errors that a choice has to be better than a simpler one */
#define VERY_SURE 2.0			/* where the best of many is sought */
#define NEARLY_NONE 1e-6		/* penalty that keeps the terms of a card from flying apart */
#define CURVE_L2 1.0			/* penalty of standardised columns, */
#define CURVE_SHARE 0.1			/* and the share of l2 that they have besides */

#define ST_SORT sort_scores
#define ST_ELEMENT_TYPE double
#define ST_COMPARE(a, b) ((*(a) > *(b)) - (*(a) < *(b)))
#define ST_SCOPE static
#define ST_DEFINE
#define ST_CHECK_FOR_INTERRUPTS
#include "lib/sort_template.h"

static const double grid[] = {3000, 1000, 300, 100, 30, 10, 3, 1, 0.3};

typedef enum ColumnKind
{
	COLUMN_STEP,				/* at least a bin's cut */
	COLUMN_LEVEL,
	COLUMN_ABSENT,
	COLUMN_LINE,
	COLUMN_LOG,
	COLUMN_OWN,
	COLUMN_PAIR
} ColumnKind;

/* A condition on one candidate: code from "code" on (but not absent), or that code. */
typedef struct Test
{
	int			candidate;
	ColumnKind	kind;
	int			code;
} Test;

typedef struct Column
{
	Test		test;
	Test		other;			/* of a pair */
} Column;

/* An axis of pairs: groups of a candidate's codes, and the tests between them. */
typedef struct Axis
{
	int			candidate;
	int			n_groups;
	uint8		group_of[MOST_CODES];
	int			n_tests;
	Test		tests[MOST_GROUPS];
	bool		holds[MOST_GROUPS][MOST_GROUPS];	/* test, group */
	uint8	   *groups;			/* of each row */
} Axis;

/* Two tests that hold together, and what that would gain. */
typedef struct Pair
{
	Test		tests[2];
	double		gain;
} Pair;

typedef struct Pairs
{
	int			n;
	Pair		pairs[MOST_PAIRS];
	uint8	   *codes[MOST_PAIRS];	/* of each row: 1 where both hold */
} Pairs;

/* What is to be chosen. */
typedef struct Choice
{
	int			bins;			/* of a number; 0: none but lines */
	bool		logs;
	bool		windows;
	bool		decays;
	const Pairs *pairs;			/* or NULL */
	double		l2;
	double		loss;
	double	   *logits;			/* of rows that had no say */
} Choice;

/* Rows that are learned from, or a sample of them. */
typedef struct Set
{
	int64		n;
	bool	   *outcomes;
	uint8	   *folds;
	uint8	  **codes;			/* by candidate */
} Set;

typedef struct Learner
{
	Gathering  *gathering;
	int			max_weights;	/* 0: any number */
	int			max_pairs;		/* in a round */
	double		l2;				/* NaN: chosen */
	int			bins;			/* -1: chosen */
	double		slope;			/* of a point */
	bool		round;

	int			n_candidates;
	Candidate **candidates;
	bool	   *is_used;
	Set			all;
	Set			sample;
	StringInfoData choices;		/* as JSON */
	int			n_choices;
} Learner;

/* ---------- the aggregate ---------- */

/* (state, measures, timeline, profile, cutoff, outcome, hash, own, max_weights, pairs, l2, bins, slope, round) -> state */
Datum
learn_transition(PG_FUNCTION_ARGS)
{
	MemoryContext context = aggregate_context(fcinfo);
	Learner    *learner = PG_ARGISNULL(0) ? NULL : (Learner *) PG_GETARG_POINTER(0);

	if (PG_ARGISNULL(1) || PG_ARGISNULL(4) || PG_ARGISNULL(5) || PG_ARGISNULL(6))
		elog(ERROR, "nothing to learn from");
	if (learner == NULL)
	{
		learner = MemoryContextAllocZero(context, sizeof(Learner));
		learner->gathering = gathering_create(context, scorecard_compile_in(context, PG_GETARG_DATUM(1)));
		learner->max_weights = PG_ARGISNULL(8) ? 0 : PG_GETARG_INT32(8);
		learner->max_pairs = PG_ARGISNULL(9) ? 0 : Min(PG_GETARG_INT32(9), MOST_PER_ROUND);
		learner->l2 = PG_ARGISNULL(10) ? get_float8_nan() : PG_GETARG_FLOAT8(10);
		learner->bins = PG_ARGISNULL(11) ? -1 : PG_GETARG_INT32(11);
		learner->slope = PG_GETARG_FLOAT8(12);
		learner->round = PG_GETARG_BOOL(13);
	}
	gathering_add(learner->gathering, PG_ARGISNULL(2) ? NULL : PG_GETARG_TIMELINE(2), PG_ARGISNULL(3) ? NULL : PG_GETARG_JSONB_P(3),
				  hour_of(PG_GETARG_TIMESTAMPTZ(4)), PG_GETARG_BOOL(5), PG_GETARG_INT64(6), !PG_ARGISNULL(7), PG_ARGISNULL(7) ? 0 : PG_GETARG_FLOAT8(7));
	PG_RETURN_POINTER(learner);
}

/* ---------- sets ---------- */

static void
fill_set(Set *set, const Learner *learner, const int64 *rows, int64 n, const bool *outcomes, const int64 *hashes)
{
	set->n = n;
	set->outcomes = MemoryContextAllocHuge(CurrentMemoryContext, Max(n, 1));
	set->folds = MemoryContextAllocHuge(CurrentMemoryContext, Max(n, 1));
	set->codes = palloc(Max(learner->n_candidates, 1) * sizeof(uint8 *));
	for (int64 i = 0; i < n; i++)
	{
		int64		row = rows ? rows[i] : i;

		set->outcomes[i] = outcomes[row];
		set->folds[i] = (uint64) hashes[row] % FOLDS;
	}
	for (int c = 0; c < learner->n_candidates; c++)
	{
		CHECK_FOR_INTERRUPTS();
		set->codes[c] = learner->candidates[c]->codes;
		if (rows == NULL)
			continue;
		set->codes[c] = MemoryContextAllocHuge(CurrentMemoryContext, n);
		for (int64 i = 0; i < n; i++)
			set->codes[c][i] = learner->candidates[c]->codes[rows[i]];
	}
}

/* All rows, and those of one lead in so many. */
static void
make_sets(Learner *learner)
{
	const bool *outcomes;
	const int64 *hashes;
	int64		n = gathering_rows(learner->gathering, &outcomes, &hashes);
	uint64		every = (n + SAMPLE - 1) / SAMPLE;
	int64	   *rows;
	int64		taken = 0;

	fill_set(&learner->all, learner, NULL, n, outcomes, hashes);
	if (every <= 1)
	{
		learner->sample = learner->all;
		return;
	}
	rows = MemoryContextAllocHuge(CurrentMemoryContext, n * sizeof(int64));
	for (int64 i = 0; i < n; i++)
		if ((uint64) hashes[i] / FOLDS % every == 0)
			rows[taken++] = i;
	fill_set(&learner->sample, learner, rows, taken, outcomes, hashes);
}

/* ---------- columns ---------- */

static bool
is_number(const Candidate *candidate)
{
	return candidate->kind == CANDIDATE_NUMBER || candidate->kind == CANDIDATE_MEASURE;
}

static bool
has_absence(const Learner *learner, const Candidate *candidate)
{
	const Weight *weight;

	if (candidate->absent < 0 || candidate->kind == CANDIDATE_OWN)
		return false;
	if (candidate->kind != CANDIDATE_MEASURE)
		return true;
	/* nothing of a kind is nothing to all measures of it: one of them says so */
	weight = gathering_weight(learner->gathering, candidate->measure);
	return weight->measure == MEASURE_COUNT && weight->decay == NULL;
}

/* Whether a choice has the candidate. */
static bool
takes(const Learner *learner, const Choice *choice, int c)
{
	const Candidate *candidate = learner->candidates[c];
	const Weight *weight;

	if (!learner->is_used[c])
		return false;
	if (candidate->kind != CANDIDATE_MEASURE)
		return true;
	weight = gathering_weight(learner->gathering, candidate->measure);
	return (choice->decays || weight->decay == NULL) && (choice->windows || weight->within == 0);
}

/* How many bins of a number are one. */
static int
stride_of(const Candidate *candidate, int bins)
{
	return bins == 0 ? (candidate->n_used <= 2 ? 1 : candidate->n_used) : (candidate->n_used + bins - 1) / bins;
}

static bool
holds(const Candidate *candidate, const Test *test, int code)
{
	switch (test->kind)
	{
		case COLUMN_STEP:
			return code < candidate->n_used && code >= test->code;
		case COLUMN_LEVEL:
			return code == test->code;
		default:
			return code == candidate->absent;
	}
}

/* A standardised curve through the means of the bins; false if it is flat. */
static bool
curve_of(const Candidate *candidate, ColumnKind kind, double *values)
{
	double		n = 0;
	double		mean = 0;
	double		variance = 0;

	for (int code = 0; code < candidate->n_used; code++)
	{
		values[code] = kind == COLUMN_LOG ? log1p(Max(candidate->means[code], 0)) : candidate->means[code];
		n += candidate->counts[code];
	}
	for (int code = 0; code < candidate->n_used; code++)
		mean += values[code] * (candidate->counts[code] / n);
	for (int code = 0; code < candidate->n_used; code++)
		variance += (values[code] - mean) * (values[code] - mean) * (candidate->counts[code] / n);
	if (!(sqrt(variance) > 1e-12 * fabs(mean)) || !isfinite(variance))
		return false;
	for (int code = 0; code < candidate->n_codes; code++)
		values[code] = code < candidate->n_used ? (values[code] - mean) / sqrt(variance) : 0;
	return true;
}

/* A design under construction. */
typedef struct Builder
{
	Design		design;
	Column	   *columns;		/* from 1 on */
	int			n_columns;
	int			capacity;
} Builder;

static Column *
add_column(Builder *builder, Variable *variable, double raw, double fixed)
{
	if (builder->n_columns == builder->capacity)
	{
		builder->capacity = Max(2 * builder->capacity, 256);
		builder->columns = builder->columns ? repalloc(builder->columns, builder->capacity * sizeof(Column)) : palloc(builder->capacity * sizeof(Column));
	}
	memset(&builder->columns[builder->n_columns], 0, sizeof(Column));
	variable->raw[variable->n_columns] = raw;
	variable->fixed[variable->n_columns++] = fixed;
	return &builder->columns[builder->n_columns++];
}

static Variable *
add_variable(Builder *builder, const uint8 *codes, int n_codes, int most_columns)
{
	Variable   *variable = &builder->design.variables[builder->design.n_variables++];

	*variable = (Variable) {codes, n_codes, 0, palloc(most_columns * n_codes * sizeof(double)), palloc(most_columns * sizeof(double)), palloc(most_columns * sizeof(double))};
	return variable;
}

static void
add_test(Builder *builder, Variable *variable, const Candidate *candidate, Test test)
{
	double	   *values = &variable->table[variable->n_columns * variable->n_codes];

	for (int code = 0; code < variable->n_codes; code++)
		values[code] = holds(candidate, &test, code);
	add_column(builder, variable, 1, 0)->test = test;
}

static void
add_curve(Builder *builder, Variable *variable, const Candidate *candidate, Test test)
{
	if (curve_of(candidate, test.kind, &variable->table[variable->n_columns * variable->n_codes]))
		add_column(builder, variable, test.kind == COLUMN_OWN ? 0 : CURVE_SHARE, test.kind == COLUMN_OWN ? 1e-6 : CURVE_L2)->test = test;
}

/* The columns of a candidate. */
static void
add_candidate(Builder *builder, const Learner *learner, const Set *set, int c, int bins, bool lines, bool logs)
{
	const Candidate *candidate = learner->candidates[c];
	Variable   *variable = add_variable(builder, set->codes[c], candidate->n_codes, candidate->n_codes + 3);
	int			stride = stride_of(candidate, bins);

	if (candidate->kind == CANDIDATE_OWN)
		add_curve(builder, variable, candidate, (Test) {c, COLUMN_OWN, 0});
	else if (is_number(candidate))
	{
		for (int code = stride; code < candidate->n_used; code += stride)
			add_test(builder, variable, candidate, (Test) {c, COLUMN_STEP, code});
		if (lines && candidate->n_used > 2)
			add_curve(builder, variable, candidate, (Test) {c, COLUMN_LINE, 0});
		if (lines && logs && candidate->n_used > 2)
			add_curve(builder, variable, candidate, (Test) {c, COLUMN_LOG, 0});
	}
	else
		for (int code = 1; code < candidate->n_used; code++)	/* the commonest is what others are compared with */
			add_test(builder, variable, candidate, (Test) {c, COLUMN_LEVEL, code});
	if (has_absence(learner, candidate))
		add_test(builder, variable, candidate, (Test) {c, COLUMN_ABSENT, 0});
	if (variable->n_columns == 0)
		builder->design.n_variables--;
}

static void
add_pair(Builder *builder, const Pair *pair, const uint8 *codes)
{
	Variable   *variable = add_variable(builder, codes, 2, 1);
	Column	   *column = add_column(builder, variable, PAIR_SHARE, 0);

	variable->table[0] = 0;
	variable->table[1] = 1;
	column->test = pair->tests[0];
	column->other = pair->tests[1];
}

/* The design of a choice; without lines, all is told by 0/1 columns. */
static void
build(Builder *builder, const Learner *learner, const Set *set, const Choice *choice, bool lines)
{
	memset(builder, 0, sizeof(Builder));
	builder->design.n = set->n;
	builder->design.outcomes = set->outcomes;
	builder->design.variables = palloc((learner->n_candidates + MOST_PAIRS + 1) * sizeof(Variable));
	builder->n_columns = 0;
	for (int c = 0; c < learner->n_candidates; c++)
		if (takes(learner, choice, c))
			add_candidate(builder, learner, set, c, choice->bins, lines, choice->logs);
	for (int p = 0; choice->pairs && p < choice->pairs->n; p++)
		add_pair(builder, &choice->pairs->pairs[p], choice->pairs->codes[p]);
	design_finish(&builder->design);
}

static int
count_columns(const Learner *learner, const Choice *choice)
{
	int			n = 1;

	for (int c = 0; c < learner->n_candidates; c++)
		if (takes(learner, choice, c))
		{
			const Candidate *candidate = learner->candidates[c];

			if (is_number(candidate))
				n += (candidate->n_used - 1) / Max(stride_of(candidate, choice->bins), 1) + 2;
			else if (candidate->kind != CANDIDATE_OWN)
				n += candidate->n_used;
			n++;
		}
	return n;
}

/* ---------- choosing ---------- */

static double
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

static void
append_number(StringInfo json, double number)
{
	if (isfinite(number))
		appendStringInfoString(json, float8out_internal(number));
	else
		appendStringInfoString(json, "null");
}

/* A line of the report. */
static void
note_choice(Learner *learner, const Choice *choice)
{
	StringInfo	json = &learner->choices;

	appendStringInfo(json, "%s{\"bins\": %d, \"logarithms\": %s, \"windows\": %s, \"half_lives\": %s, \"pairs\": %d, \"l2\": ", learner->n_choices++ > 0 ? ", " : "",
					 choice->bins, choice->logs ? "true" : "false", choice->windows ? "true" : "false", choice->decays ? "true" : "false", choice->pairs ? choice->pairs->n : 0);
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
	choice->loss = log_loss_of(design, choice->logits, set->folds, -1);
	pfree(fold_beta);
	pfree(rows);
	pfree(problem.penalties);
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

	choice->loss = INFINITY;
	old = MemoryContextSwitchTo(context);
	tried.logits = MemoryContextAllocHuge(context, Max(learner->sample.n, 1) * sizeof(double));
	build(&builder, learner, &learner->sample, choice, true);
	beta = palloc0(builder.design.n_columns * sizeof(double));
	problem = (Problem) {&builder.design, learner->sample.folds, -1, palloc(builder.design.n_columns * sizeof(double))};
	beta[0] = starting_intercept(&problem);
	for (int i = 0; i < n_l2s; i++)
	{
		double	   *factor;

		CHECK_FOR_INTERRUPTS();
		tried.l2 = l2s[i];
		set_penalties(&problem, tried.l2);
		factor = factor_at(&problem, beta);
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
	note_choice(learner, choice);
}

/* By how many standard errors of the difference, lead by lead, a choice has less loss than another. */
static double
advantage(const Set *set, const Choice *choice, const Choice *other)
{
	double		sum = 0;
	double		squares = 0;

	for (int64 i = 0; i < set->n; i++)
	{
		double		sign = set->outcomes[i] ? 1 : -1;
		double		a = sign * choice->logits[i];
		double		b = sign * other->logits[i];
		double		less = log1p(exp(-fabs(b))) + Max(-b, 0) - log1p(exp(-fabs(a))) - Max(-a, 0);

		sum += less;
		squares += less * less;
	}
	squares -= sum * sum / Max(set->n, 1);
	return squares > 0 ? sum / sqrt(squares) : 0;
}

/* Take a choice instead of another; with "sure", if more than chance speaks for it. */
static void
prefer(const Set *set, Choice *best, const Choice *other, bool sure)
{
	if (other->loss < best->loss && (!sure || advantage(set, other, best) > SURE))
		*best = *other;
}

/* ---------- pairs ---------- */

/* Groups of an axis: neighbouring bins, or the commonest levels. */
static void
make_axis(const Learner *learner, const Set *set, int c, Axis *axis)
{
	const Candidate *candidate = learner->candidates[c];
	int			groups = Min(candidate->n_used, MOST_GROUPS);

	memset(axis, 0, sizeof(Axis));
	axis->candidate = c;
	axis->n_groups = Max(groups, 1);
	for (int code = 0; code < candidate->n_used; code++)
		axis->group_of[code] = is_number(candidate) ? code * groups / candidate->n_used : (code < groups ? code : 0);
	for (int group = 1; group < groups; group++)
	{
		Test	   *test = &axis->tests[axis->n_tests];

		test->candidate = c;
		test->kind = is_number(candidate) ? COLUMN_STEP : COLUMN_LEVEL;
		test->code = group;
		while (is_number(candidate) && axis->group_of[test->code] < group)
			test->code++;
		for (int g = 0; g < groups; g++)
			axis->holds[axis->n_tests][g] = is_number(candidate) ? g >= group : g == group;
		axis->n_tests++;
	}
	axis->groups = MemoryContextAllocHuge(CurrentMemoryContext, Max(set->n, 1));
	for (int64 i = 0; i < set->n; i++)
		axis->groups[i] = axis->group_of[set->codes[c][i]];
}

/*
 * The best product of a test of each axis, judged as if both tests were in the
 * model by themselves: the contrast of the four fields, against its variance.
 */
static Pair
best_pair(const Axis *x, const Axis *y, const double *residuals, const double *weights, double l2)
{
	Pair		best = {.gain = 0};

	for (int i = 0; i < x->n_tests; i++)
		for (int j = 0; j < y->n_tests; j++)
		{
			double		r[4] = {0};
			double		h[4] = {1e-9, 1e-9, 1e-9, 1e-9};
			double		contrast = 0;
			double		variance = 0;
			double		information;
			double		gain;

			for (int a = 0; a < x->n_groups; a++)
				for (int b = 0; b < y->n_groups; b++)
				{
					int			field = 2 * x->holds[i][a] + y->holds[j][b];

					r[field] += residuals[a * y->n_groups + b];
					h[field] += weights[a * y->n_groups + b];
				}
			for (int field = 0; field < 4; field++)
			{
				contrast += (field == 0 || field == 3 ? 1 : -1) * r[field] / h[field];
				variance += 1 / h[field];
			}
			information = 1 / variance;
			gain = contrast * contrast * information * information / (information + l2) / 2;
			if (gain > best.gain)
				best = (Pair) {{x->tests[i], y->tests[j]}, gain};
		}
	return best;
}

static bool
same_test(const Test *a, const Test *b)
{
	return a->candidate == b->candidate && a->kind == b->kind && a->code == b->code;
}

/* Keep the best of a round, best first, and none twice. */
static void
keep_pair(Pairs *pairs, int first, int most, const Pair *pair)
{
	int			at = pairs->n;

	for (int p = 0; p < first; p++)
		if (same_test(&pairs->pairs[p].tests[0], &pair->tests[0]) && same_test(&pairs->pairs[p].tests[1], &pair->tests[1]))
			return;
	if (at - first == most)
	{
		if (pairs->pairs[at - 1].gain >= pair->gain)
			return;
		at--;
	}
	else
		pairs->n++;
	for (; at > first && pairs->pairs[at - 1].gain < pair->gain; at--)
		pairs->pairs[at] = pairs->pairs[at - 1];
	pairs->pairs[at] = *pair;
}

/* Whether conditions of rules can tell the candidate: they have no half-lives. */
static bool
can_pair(const Learner *learner, const Choice *choice, int c)
{
	const Candidate *candidate = learner->candidates[c];

	return takes(learner, choice, c) && candidate->kind != CANDIDATE_OWN && candidate->n_used > 1
		&& (candidate->kind != CANDIDATE_MEASURE || gathering_weight(learner->gathering, candidate->measure)->decay == NULL);
}

/* How much the effect of each candidate varies. */
static double *
strengths(const Learner *learner, const Builder *builder, const double *beta)
{
	double	   *strength = palloc0(Max(learner->n_candidates, 1) * sizeof(double));

	for (int v = 0; v < builder->design.n_variables; v++)
	{
		const Variable *variable = &builder->design.variables[v];
		int			c = builder->columns[builder->design.first[v] - 1].test.candidate;
		double		mean = 0;
		double		square = 0;
		double		total = 0;

		for (int code = 0; code < variable->n_codes; code++)
		{
			double		effect = 0;

			for (int j = 0; j < variable->n_columns; j++)
				effect += beta[builder->design.first[v] + j] * variable->table[j * variable->n_codes + code];
			mean += learner->candidates[c]->counts[code] * effect;
			square += learner->candidates[c]->counts[code] * effect * effect;
			total += learner->candidates[c]->counts[code];
		}
		strength[c] = square / total - (mean / total) * (mean / total);
	}
	return strength;
}

/* The axes of those candidates whose effects vary most. */
static int
make_axes(const Learner *learner, const Set *set, const Choice *choice, double *strength, Axis *axes)
{
	int			n = 0;

	while (n < MOST_PAIRED)
	{
		int			best = -1;

		for (int c = 0; c < learner->n_candidates; c++)
			if (can_pair(learner, choice, c) && strength[c] >= 0 && (best < 0 || strength[c] > strength[best]))
				best = c;
		if (best < 0)
			break;
		make_axis(learner, set, best, &axes[n++]);
		strength[best] = -1;
	}
	return n;
}

/* Whether two candidates measure different things: the same in two ways is no pair. */
static bool
differ(const Learner *learner, int a, int b)
{
	const Candidate *x = learner->candidates[a];
	const Candidate *y = learner->candidates[b];

	if (x->kind == CANDIDATE_MEASURE && y->kind == CANDIDATE_MEASURE)
		return strcmp(gathering_weight(learner->gathering, x->measure)->signal, gathering_weight(learner->gathering, y->measure)->signal) != 0;
	return x->kind == CANDIDATE_MEASURE || y->kind == CANDIDATE_MEASURE || strcmp(x->attribute, y->attribute) != 0;
}

static uint8 *
code_pair(const Learner *learner, const Set *set, const Pair *pair)
{
	uint8	   *codes = MemoryContextAllocHuge(CurrentMemoryContext, Max(set->n, 1));
	bool		table[2][MOST_CODES];

	for (int t = 0; t < 2; t++)
		for (int code = 0; code < MOST_CODES; code++)
			table[t][code] = holds(learner->candidates[pair->tests[t].candidate], &pair->tests[t], code);
	for (int64 i = 0; i < set->n; i++)
		codes[i] = table[0][set->codes[pair->tests[0].candidate][i]] && table[1][set->codes[pair->tests[1].candidate][i]];
	return codes;
}

/* Add the pairs that would gain most on what the model has left of the rows that take part. */
static void
add_round(const Learner *learner, const Set *set, const Axis *axes, int n_axes, const double *logits, int left_out, double l2, Pairs *pairs)
{
	double	   *residuals = MemoryContextAllocHuge(CurrentMemoryContext, Max(set->n, 1) * sizeof(double));
	double	   *weights = MemoryContextAllocHuge(CurrentMemoryContext, Max(set->n, 1) * sizeof(double));
	int			first = pairs->n;

	for (int64 i = 0; i < set->n; i++)
	{
		double		p = 1 / (1 + exp(-logits[i]));
		bool		counts = left_out < 0 || set->folds[i] != left_out;

		residuals[i] = counts ? set->outcomes[i] - p : 0;
		weights[i] = counts ? p * (1 - p) : 0;
	}
	for (int a = 0; a < n_axes; a++)
		for (int b = 0; b < a; b++)
		{
			double		r[MOST_GROUPS * MOST_GROUPS] = {0};
			double		h[MOST_GROUPS * MOST_GROUPS] = {0};
			Pair		pair;

			CHECK_FOR_INTERRUPTS();
			if (!differ(learner, axes[a].candidate, axes[b].candidate))
				continue;
			for (int64 i = 0; i < set->n; i++)
			{
				int			cell = axes[a].groups[i] * axes[b].n_groups + axes[b].groups[i];

				r[cell] += residuals[i];
				h[cell] += weights[i];
			}
			pair = best_pair(&axes[a], &axes[b], r, h, l2 * PAIR_SHARE);
			if (pair.gain > 0)
				keep_pair(pairs, first, learner->max_pairs, &pair);
		}
	for (int p = first; p < pairs->n; p++)
		pairs->codes[p] = code_pair(learner, set, &pairs->pairs[p]);
	pfree(residuals);
	pfree(weights);
}

/* A factor for more columns: theirs by themselves. */
static double *
extend_factor(const double *factor, int n, const Design *design, const double *penalties)
{
	int			m = design->n_columns;
	double	   *extended = MemoryContextAllocHuge(CurrentMemoryContext, (Size) m * m * sizeof(double));

	memset(extended, 0, (Size) m * m * sizeof(double));
	for (int j = 0; j < n; j++)
		memcpy(&extended[(Size) j * m], &factor[(Size) j * n], n * sizeof(double));
	for (int j = n; j < m; j++)
	{
		const Variable *variable = &design->variables[design->n_variables - (m - j)];
		double		ones = 0;

		for (int64 i = 0; i < design->n; i++)
			ones += variable->codes[i];
		extended[(Size) j * m + j] = sqrt(ones * 0.1 + penalties[j] + 1e-6);
	}
	return extended;
}

/* What the search for pairs begins with. */
typedef struct Base
{
	const Choice *choice;
	Builder		builder;
	double	   *beta;
	double	   *factor;
	int			n_axes;
	Axis		axes[MOST_PAIRED];
} Base;

/* Search on all rows but those of a fold, in so many rounds; the logits after each go into "after". */
static void
search_pairs(const Learner *learner, const Base *base, int left_out, int rounds, Pairs *pairs, double **after)
{
	const Set  *set = &learner->sample;
	int			n = base->builder.design.n_columns;
	Choice		choice = *base->choice;
	double	   *beta = palloc0((n + MOST_PAIRS) * sizeof(double));
	double	   *penalties = palloc((n + MOST_PAIRS) * sizeof(double));
	double	   *logits = MemoryContextAllocHuge(CurrentMemoryContext, Max(set->n, 1) * sizeof(double));
	Problem		problem = {&base->builder.design, set->folds, left_out, penalties};

	choice.pairs = pairs;
	pairs->n = 0;
	memcpy(beta, base->beta, n * sizeof(double));
	set_penalties(&problem, choice.l2);
	fit_additive(&problem, base->factor, 1e-3, beta);
	spread(&base->builder.design, beta, logits);
	for (int round = 0; round < rounds; round++)
	{
		Builder		builder;
		double	   *factor;

		add_round(learner, set, base->axes, base->n_axes, logits, left_out, choice.l2, pairs);
		build(&builder, learner, set, &choice, true);
		problem.design = &builder.design;
		set_penalties(&problem, choice.l2);
		factor = extend_factor(base->factor, n, &builder.design, penalties);
		fit_additive(&problem, factor, 1e-3, beta);
		spread(&builder.design, beta, logits);
		for (int64 i = 0; after && i < set->n; i++)
			if (set->folds[i] == left_out)
				after[round][i] = logits[i];
		pfree(factor);
	}
	pfree(logits);
}

static void
start_base(Base *base, const Learner *learner, const Choice *choice)
{
	const Set  *set = &learner->sample;
	Problem		problem;

	base->choice = choice;
	build(&base->builder, learner, set, choice, true);
	base->beta = palloc0(base->builder.design.n_columns * sizeof(double));
	problem = (Problem) {&base->builder.design, set->folds, -1, palloc(base->builder.design.n_columns * sizeof(double))};
	base->beta[0] = starting_intercept(&problem);
	set_penalties(&problem, choice->l2);
	base->factor = factor_at(&problem, base->beta);
	fit_additive(&problem, base->factor, 1e-3, base->beta);
	base->n_axes = make_axes(learner, set, choice, strengths(learner, &base->builder, base->beta), base->axes);
}

/* Pairs, in as many rounds as leads that had no say in them bear out; none if they do not. */
static void
choose_pairs(Learner *learner, Choice *best)
{
	Base	   *base = palloc(sizeof(Base));
	Pairs	   *pairs = palloc0(sizeof(Pairs));
	double	   *after[ROUNDS];
	Choice		tried = *best;
	Choice		kept = *best;
	int			rounds = 0;

	start_base(base, learner, best);
	if (base->n_axes < 2)
		return;
	for (int round = 0; round < ROUNDS; round++)
		after[round] = MemoryContextAllocHuge(CurrentMemoryContext, Max(learner->sample.n, 1) * sizeof(double));
	for (int fold = 0; fold < FOLDS; fold++)
		search_pairs(learner, base, fold, ROUNDS, pairs, after);
	tried.pairs = pairs;
	for (int round = 0; round < ROUNDS; round++)
	{
		tried.logits = after[round];
		tried.loss = log_loss_of(&base->builder.design, tried.logits, learner->sample.folds, -1);
		pairs->n = (round + 1) * learner->max_pairs;
		note_choice(learner, &tried);
		if (tried.loss < kept.loss)
		{
			kept = tried;
			rounds = round + 1;
		}
	}
	if (rounds == 0 || advantage(&learner->sample, &kept, best) < VERY_SURE)
		return;
	search_pairs(learner, base, -1, rounds, pairs, NULL);
	*best = kept;
}

/* All that is to be chosen. */
static Choice
choose(Learner *learner)
{
	static const int binnings[] = {8, 16, 32};
	bool		fixed = !isnan(learner->l2);
	const double *l2s = fixed ? &learner->l2 : grid;
	int			n_l2s = fixed ? 1 : lengthof(grid);
	Choice		best = {.bins = Max(learner->bins, 0), .windows = true, .decays = true};
	Choice		tried;
	bool		measures = false;

	for (int c = 0; c < learner->n_candidates; c++)
		measures = measures || learner->candidates[c]->kind == CANDIDATE_MEASURE;
	best.windows = best.decays = measures;
	if (learner->bins > 0)
		best.logs = true;
	try_choice(learner, &best, l2s, n_l2s);
	if (learner->bins < 0)
	{
		tried = best;
		tried.logs = true;
		try_choice(learner, &tried, l2s, n_l2s);
		prefer(&learner->sample, &best, &tried, false);
		for (int i = 0; i < (int) lengthof(binnings); i++)
		{
			tried.bins = binnings[i];
			tried.logs = true;
			if (count_columns(learner, &tried) > MOST_COLUMNS)
				break;
			try_choice(learner, &tried, l2s, n_l2s);
			prefer(&learner->sample, &best, &tried, best.bins == 0);
		}
	}
	for (int fewer = 1; measures && fewer < 4; fewer++)
	{
		tried = best;
		tried.windows = fewer == 1;
		tried.decays = fewer == 2;
		try_choice(learner, &tried, l2s, n_l2s);
		prefer(&learner->sample, &best, &tried, false);
	}
	if (learner->max_pairs > 0)
		choose_pairs(learner, &best);
	return best;
}

/* ---------- few terms ---------- */

/* A model of 0/1 columns, near another. */
typedef struct Card
{
	Builder		builder;
	double	   *beta;			/* of each column; the intercept is 0 */
	bool	   *is_kept;
	int			n_kept;			/* without the intercept and a card's own points */
} Card;

static bool
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

/* Coefficients of the columns that are kept that come nearest to the logits; in "inverse" what is needed to drop more. */
static void
come_near(Card *card, const double *logits, double *inverse)
{
	const Design *design = &card->builder.design;
	int			n = design->n_columns;
	double	   *weights = MemoryContextAllocHuge(CurrentMemoryContext, Max(design->n, 1) * sizeof(double));
	double	   *right = palloc(n * sizeof(double));

	for (int64 i = 0; i < design->n; i++)
	{
		double		e = exp(-fabs(logits[i]));

		weights[i] = e / ((1 + e) * (1 + e));
	}
	weigh_columns(design, weights, inverse);
	for (int64 i = 0; i < design->n; i++)
		weights[i] *= logits[i];
	collect(design, weights, right);
	for (int j = 0; j < n; j++)
	{
		inverse[(Size) j * n + j] += NEARLY_NONE;
		if (card->is_kept[j])
			continue;
		right[j] = 0;
		for (int k = 0; k < n; k++)
			inverse[(Size) Max(j, k) * n + Min(j, k)] = j == k ? 1 : 0;
	}
	invert(inverse, n);
	for (int j = 0; j < n; j++)
	{
		card->beta[j] = 0;
		for (int k = 0; k < n && card->is_kept[j]; k++)
			card->beta[j] += inverse[(Size) j * n + k] * right[k];
	}
	pfree(weights);
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

/* Drop columns until there are so many, or all that bring less than half a point. */
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

static void
start_card(Card *card, const Learner *learner, const Set *set, const Choice *choice)
{
	Choice		fine = *choice;

	/* as fine as can be, for lines and logarithms to be told in steps */
	for (fine.bins = MOST_BINS; fine.bins > 4 && count_columns(learner, &fine) + MOST_PAIRS > MOST_COLUMNS; fine.bins /= 2)
		;
	build(&card->builder, learner, set, &fine, false);
	card->beta = palloc0(card->builder.design.n_columns * sizeof(double));
	card->is_kept = palloc(card->builder.design.n_columns * sizeof(bool));
	memset(card->is_kept, true, card->builder.design.n_columns);
	card->n_kept = 0;
	for (int j = 1; j < card->builder.design.n_columns; j++)
		card->n_kept += !is_own(card, j);
}

/* The line through a card's logits that gives its probabilities the mean, and the spread, of the fine model's. */
static void
calibrate(const double *logits, const double *scores, int64 n, double *intercept, double *slope)
{
	for (int step = 0; step < 25; step++)
	{
		double		g[2] = {0};
		double		h[3] = {1e-9, 0, 1e-9};
		double		determinant;

		CHECK_FOR_INTERRUPTS();
		for (int64 i = 0; i < n; i++)
		{
			double		p = 1 / (1 + exp(-(*intercept + *slope * scores[i])));
			double		residual = 1 / (1 + exp(-logits[i])) - p;
			double		w = p * (1 - p);

			g[0] += residual;
			g[1] += residual * scores[i];
			h[0] += w;
			h[1] += w * scores[i];
			h[2] += w * scores[i] * scores[i];
		}
		determinant = h[0] * h[2] - h[1] * h[1];
		if (!(determinant > 1e-12 * h[0] * h[2]))
		{
			*intercept += g[0] / h[0];
			continue;
		}
		*intercept += (h[2] * g[0] - h[1] * g[1]) / determinant;
		*slope += (h[0] * g[1] - h[1] * g[0]) / determinant;
	}
}

/* ---------- the result, as JSON ---------- */

static void
append_test(StringInfo json, const Learner *learner, const Test *test)
{
	const Candidate *candidate = learner->candidates[test->candidate];

	if (candidate->kind == CANDIDATE_MEASURE)
		appendStringInfo(json, "{\"measure\": %d", candidate->measure + 1);
	else
	{
		appendStringInfoString(json, "{\"attribute\": ");
		escape_json(json, candidate->attribute);
	}
	if (test->kind == COLUMN_ABSENT)
		appendStringInfoString(json, ", \"absent\": true");
	else if (test->kind == COLUMN_STEP)
	{
		appendStringInfoString(json, ", \"at_least\": ");
		append_number(json, candidate->cuts[test->code]);
	}
	else if (candidate->kind == CANDIDATE_ELEMENT)
		appendStringInfo(json, ", \"element\": %s", candidate->element);
	else
		appendStringInfo(json, ", \"value\": %s", candidate->levels[candidate->level_of[test->code]]);
}

/* For how many rows a 0/1 column is 1. */
static int64
rows_of(const Card *card, int column)
{
	const Design *design = &card->builder.design;
	int			v = design->n_variables - 1;
	const double *values;
	int64		n = 0;

	while (design->first[v] > column)
		v--;
	values = &design->variables[v].table[(column - design->first[v]) * design->variables[v].n_codes];
	for (int64 i = 0; i < design->n; i++)
		n += values[design->variables[v].codes[i]] != 0;
	return n;
}

static void
append_terms(StringInfo json, const Learner *learner, const Card *card, double unit)
{
	bool		first = true;

	appendStringInfoString(json, ", \"terms\": [");
	for (int j = 1; j < card->builder.design.n_columns; j++)
	{
		const Column *column = &card->builder.columns[j - 1];
		bool		is_pair = column->other.code > 0;

		if (!card->is_kept[j] || is_own(card, j) || card->beta[j] == 0)
			continue;
		appendStringInfoString(json, first ? "" : ", ");
		first = false;
		if (is_pair)
		{
			appendStringInfoString(json, "{\"both\": [");
			append_test(json, learner, &column->test);
			appendStringInfoString(json, "}, ");
			append_test(json, learner, &column->other);
			appendStringInfoString(json, "}]");
		}
		else
			append_test(json, learner, &column->test);
		appendStringInfoString(json, ", \"points\": ");
		append_number(json, card->beta[j] / unit);
		appendStringInfo(json, ", \"leads\": " INT64_FORMAT "}", rows_of(card, j));
	}
	appendStringInfoChar(json, ']');
}

static void
append_left_out(StringInfo json, const Learner *learner)
{
	bool		first = true;

	appendStringInfoString(json, ", \"left_out\": [");
	for (int c = 0; c < learner->n_candidates; c++)
		if (learner->candidates[c]->left_out && learner->candidates[c]->kind == CANDIDATE_LEVELS)
		{
			appendStringInfoString(json, first ? "{\"attribute\": " : ", {\"attribute\": ");
			escape_json(json, learner->candidates[c]->attribute);
			appendStringInfo(json, ", \"reason\": \"%s\"}", learner->candidates[c]->left_out);
			first = false;
		}
	appendStringInfoChar(json, ']');
}

/* The scores that a tenth, and four tenths, of the rows reach. */
static void
append_limits(StringInfo json, const double *scores, int64 n, double unit)
{
	double	   *sorted = MemoryContextAllocHuge(CurrentMemoryContext, n * sizeof(double));

	memcpy(sorted, scores, n * sizeof(double));
	sort_scores(sorted, n);
	appendStringInfoString(json, ", \"limits\": [");
	append_number(json, rint(sorted[n - 1 - n / 10] / unit));
	appendStringInfoString(json, ", ");
	append_number(json, rint(sorted[n - 1 - n * 4 / 10] / unit));
	appendStringInfoChar(json, ']');
	pfree(sorted);
}

/* ---------- all of it ---------- */

/* What a candidate's codes say of the outcomes, each with a rate of its own, less their price (G. Schwarz, The Annals of Statistics 6, 1978). */
static double
information_of(const Candidate *candidate, const bool *outcomes, int64 n)
{
	double		converted[MOST_CODES] = {0};
	double		all = 0;
	double		gain = 0;

	for (int64 i = 0; i < n; i++)
		converted[candidate->codes[i]] += outcomes[i];
	for (int code = 0; code < candidate->n_codes; code++)
		all += converted[code];
	for (int code = 0; code < candidate->n_codes; code++)
	{
		double		rows = candidate->counts[code];
		double		yes = converted[code];

		if (yes > 0)
			gain += yes * log(yes / rows / (all / n));
		if (yes < rows)
			gain += (rows - yes) * log((rows - yes) / rows / (1 - all / n));
	}
	return gain - candidate->n_codes * log(n) / 2;
}

/* Which candidates there are columns for: all, or those that say most. */
static void
limit_candidates(Learner *learner)
{
	const Choice few = {.bins = 8, .windows = true, .decays = true};
	double	   *information = palloc0(Max(learner->n_candidates, 1) * sizeof(double));

	learner->is_used = palloc0(Max(learner->n_candidates, 1) * sizeof(bool));
	for (int c = 0; c < learner->n_candidates; c++)
	{
		const Candidate *candidate = learner->candidates[c];

		learner->is_used[c] = candidate->left_out == NULL && (candidate->n_used > 1 || (candidate->absent >= 0 && candidate->n_used > 0));
	}
	if (count_columns(learner, &few) <= MOST_COLUMNS)
		return;
	for (int c = 0; c < learner->n_candidates; c++)
	{
		CHECK_FOR_INTERRUPTS();
		information[c] = learner->candidates[c]->kind == CANDIDATE_OWN ? INFINITY : information_of(learner->candidates[c], learner->all.outcomes, learner->all.n);
	}
	while (count_columns(learner, &few) > MOST_COLUMNS)
	{
		int			worst = -1;

		for (int c = 0; c < learner->n_candidates; c++)
			if (learner->is_used[c] && (worst < 0 || information[c] < information[worst]))
				worst = c;
		learner->is_used[worst] = false;
	}
}

/* Tell the fine model's logits in few terms. */
static void
make_card(Card *card, const Learner *learner, const Choice *choice, const double *logits)
{
	double	   *inverse;
	int			n;

	start_card(card, learner, &learner->all, choice);
	n = card->builder.design.n_columns;
	inverse = MemoryContextAllocHuge(CurrentMemoryContext, (Size) n * n * sizeof(double));
	come_near(card, logits, inverse);
	coarsen(card, inverse, learner->max_weights, learner->round ? learner->slope / 2 : 0);
	come_near(card, logits, inverse);
	pfree(inverse);
}

/* The choice's pairs, for all rows. */
static void
pairs_of_all(const Learner *learner, Choice *choice)
{
	Pairs	   *pairs;

	if (choice->pairs == NULL || learner->all.codes == learner->sample.codes)
		return;
	pairs = palloc(sizeof(Pairs));
	*pairs = *choice->pairs;
	for (int p = 0; p < pairs->n; p++)
		pairs->codes[p] = code_pair(learner, &learner->all, &pairs->pairs[p]);
	choice->pairs = pairs;
}

static void
fit_all(const Learner *learner, const Choice *choice, double *logits, double *l2_beta0)
{
	Builder		builder;
	Problem		problem;
	double	   *beta;

	build(&builder, learner, &learner->all, choice, true);
	beta = palloc0(builder.design.n_columns * sizeof(double));
	problem = (Problem) {&builder.design, learner->all.folds, -1, palloc(builder.design.n_columns * sizeof(double))};
	beta[0] = starting_intercept(&problem);
	set_penalties(&problem, choice->l2);
	fit_additive(&problem, factor_at(&problem, beta), 1e-9, beta);
	spread(&builder.design, beta, logits);
	*l2_beta0 = beta[0];
}

Datum
learn_final(PG_FUNCTION_ARGS)
{
	Learner    *learner = PG_ARGISNULL(0) ? NULL : (Learner *) PG_GETARG_POINTER(0);
	const bool *outcomes;
	const int64 *hashes;
	int64		conversions = 0;
	Choice		choice;
	Card		card;
	double	   *fine;
	double	   *scores;
	double		intercept = 0;
	double		slope = 1;
	double		own = 0;
	StringInfoData json;

	if (learner == NULL)
		PG_RETURN_NULL();
	learner->all.n = gathering_rows(learner->gathering, &outcomes, &hashes);
	for (int64 i = 0; i < learner->all.n; i++)
		conversions += outcomes[i];
	initStringInfo(&json);
	appendStringInfo(&json, "{\"leads\": " INT64_FORMAT ", \"conversions\": " INT64_FORMAT, learner->all.n, conversions);
	if (conversions < 20 || conversions == learner->all.n)
	{
		appendStringInfoChar(&json, '}');
		PG_RETURN_DATUM(DirectFunctionCall1(jsonb_in, CStringGetDatum(json.data)));
	}
	learner->n_candidates = gathering_finish(learner->gathering, &learner->candidates);
	make_sets(learner);
	limit_candidates(learner);
	initStringInfo(&learner->choices);
	choice = choose(learner);

	fine = MemoryContextAllocHuge(CurrentMemoryContext, learner->all.n * sizeof(double));
	scores = MemoryContextAllocHuge(CurrentMemoryContext, learner->all.n * sizeof(double));
	pairs_of_all(learner, &choice);
	fit_all(learner, &choice, fine, &intercept);
	make_card(&card, learner, &choice, fine);
	for (int j = 1; j < card.builder.design.n_columns; j++)
		if (!is_own(&card, j) && learner->round)
			card.beta[j] = rint(card.beta[j] / learner->slope) * learner->slope;
	intercept = card.beta[0];
	card.beta[0] = 0;
	spread(&card.builder.design, card.beta, scores);
	calibrate(fine, scores, learner->all.n, &intercept, &slope);
	for (int j = 1; j < card.builder.design.n_columns; j++)
		if (is_own(&card, j))
			own = card.beta[j];

	appendStringInfoString(&json, ", \"intercept\": ");
	append_number(&json, intercept);
	appendStringInfoString(&json, ", \"slope\": ");
	append_number(&json, slope * learner->slope);
	appendStringInfoString(&json, ", \"own\": ");
	append_number(&json, own);
	appendStringInfoString(&json, ", \"l2\": ");
	append_number(&json, choice.l2);
	appendStringInfo(&json, ", \"bins\": %d, \"pairs\": %d, \"windows\": %s, \"half_lives\": %s", choice.bins, choice.pairs ? choice.pairs->n : 0, choice.windows ? "true" : "false", choice.decays ? "true" : "false");
	appendStringInfoString(&json, ", \"log_loss_cross_validated\": ");
	append_number(&json, choice.loss);
	appendStringInfoString(&json, ", \"auc_cross_validated\": ");
	append_number(&json, figure_of(roc_auc_final, &learner->sample, choice.logits));
	appendStringInfoString(&json, ", \"auc_error\": ");
	append_number(&json, figure_of(roc_auc_error_final, &learner->sample, choice.logits));
	appendStringInfoString(&json, ", \"auc_fine\": ");
	append_number(&json, figure_of(roc_auc_final, &learner->all, fine));
	appendStringInfoString(&json, ", \"auc_card\": ");
	append_number(&json, figure_of(roc_auc_final, &learner->all, scores));
	appendStringInfo(&json, ", \"choices\": [%s]", learner->choices.data);
	append_terms(&json, learner, &card, learner->slope);
	append_limits(&json, scores, learner->all.n, learner->slope);
	append_left_out(&json, learner);
	appendStringInfoChar(&json, '}');
	PG_RETURN_DATUM(DirectFunctionCall1(jsonb_in, CStringGetDatum(json.data)));
}
