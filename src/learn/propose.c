/*
 * propose.c: the aggregate learn: a readable card from what is known of leads
 * and what came.
 *
 *     rows ──gather──▶ candidates ──code──▶ columns ──choose──▶ fine model ──coarsen──▶ card
 */
#include "learn/learner.h"

#include <math.h>

#include "learn/quality.h"
#include "model/appraise.h"
#include "progress.h"
#include "timeline/timeline.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"

PG_FUNCTION_INFO_V1(learn_transition);
PG_FUNCTION_INFO_V1(learn_final);

#define FEWEST_CONVERSIONS 20
#define MOST_PAIRS 10

#define ST_SORT sort_scores
#define ST_ELEMENT_TYPE double
#define ST_COMPARE(a, b) ((*(a) > *(b)) - (*(a) < *(b)))
#define ST_SCOPE static
#define ST_DEFINE
#define ST_CHECK_FOR_INTERRUPTS
#include "lib/sort_template.h"

/* ---------- the aggregate ---------- */

/*
 * (state, measures, timeline, profile, cutoff, outcome, hash, own, max_weights, pairs, l2, bins,
 * slope, round) -> state
 */
Datum
learn_transition(PG_FUNCTION_ARGS)
{
	MemoryContext context = aggregate_context(fcinfo);
	Learner    *learner = PG_ARGISNULL(0) ? NULL : (Learner *) PG_GETARG_POINTER(0);

	/* a row that says nothing is passed over, as by any aggregate */
	if (PG_ARGISNULL(1) || PG_ARGISNULL(4) || PG_ARGISNULL(5) || PG_ARGISNULL(6) || PG_ARGISNULL(12) || PG_ARGISNULL(13))
	{
		if (learner == NULL)
			PG_RETURN_NULL();
		PG_RETURN_POINTER(learner);
	}
	if (learner == NULL)
	{
		learner = MemoryContextAllocZero(context, sizeof(Learner));
		learner->gathering = gathering_create(context, scorecard_compile_in(context, PG_GETARG_DATUM(1)));
		learner->max_weights = PG_ARGISNULL(8) ? 0 : PG_GETARG_INT32(8);
		learner->max_pairs = PG_ARGISNULL(9) ? 0 : Min(PG_GETARG_INT32(9), MOST_PAIRS);
		learner->l2 = PG_ARGISNULL(10) ? get_float8_nan() : PG_GETARG_FLOAT8(10);
		learner->bins = PG_ARGISNULL(11) ? -1 : PG_GETARG_INT32(11);
		learner->slope = PG_GETARG_FLOAT8(12);
		learner->round = PG_GETARG_BOOL(13);
	}
	gathering_add(learner->gathering, PG_ARGISNULL(2) ? NULL : PG_GETARG_TIMELINE(2), PG_ARGISNULL(3) ? NULL : PG_GETARG_JSONB_P(3),
				  hour_of(PG_GETARG_TIMESTAMPTZ(4)), PG_GETARG_BOOL(5), PG_GETARG_INT64(6), !PG_ARGISNULL(7), PG_ARGISNULL(7) ? 0 : PG_GETARG_FLOAT8(7));
	if (++learner->all.n % PROGRESS_ROWS == 0)
		progress_advance("reading", PROGRESS_ROWS);
	PG_RETURN_POINTER(learner);
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

	CHECK_FOR_INTERRUPTS();
	while (design->first[v] > column)
		v--;
	values = column_values(design, v, column);
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

		if (!card->is_kept[j] || is_own(card, j) || card->beta[j] == 0)
			continue;
		appendStringInfoString(json, first ? "" : ", ");
		first = false;
		if (column->is_product)
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
append_limits(StringInfo json, const double *scores, int64 n, double unit, double shift)
{
	double	   *sorted = MemoryContextAllocHuge(CurrentMemoryContext, n * sizeof(double));

	memcpy(sorted, scores, n * sizeof(double));
	sort_scores(sorted, n);
	appendStringInfoString(json, ", \"limits\": [");
	append_number(json, rint((sorted[n - 1 - n / 10] + shift) / unit));
	appendStringInfoString(json, ", ");
	append_number(json, rint((sorted[n - 1 - n * 4 / 10] + shift) / unit));
	appendStringInfoChar(json, ']');
	pfree(sorted);
}
/* ---------- all of it ---------- */

/* A fine model: what it says of each row, and of each code of each candidate. */
typedef struct Model
{
	double	   *logits;
	double	   *curves;
	Products	products;
} Model;

/* Fit what was chosen to all rows. */
static void
fit_model(const Learner *learner, const Mixture *chosen, Model *model)
{
	const Set  *set = &learner->all;

	model->logits = MemoryContextAllocHuge(CurrentMemoryContext, Max(set->n, 1) * sizeof(double));
	model->products.n = 0;
	model->curves = fit_mixture(learner, chosen, set, 1e-9, model->logits, NULL);
	if (chosen->rounds > 0)
		grids_tell(fit_pairs(learner, chosen, model->curves, model->logits), learner, set->n, model->curves, &model->products);
}

/* The score of each row, without the intercept. */
static void
score_rows(Card *card, double *scores)
{
	card->beta[0] = 0;
	spread(&card->builder.design, card->beta, scores);
}

/* The line that logits of rows that had no say need, for probabilities to be right, if chance does not explain it. */
static void
calibrate(const Learner *learner, const Mixture *chosen, double *intercept, double *slope)
{
	const Set  *set = &learner->sample;
	double	   *targets = MemoryContextAllocHuge(CurrentMemoryContext, Max(set->n, 1) * sizeof(double));

	for (int64 i = 0; i < set->n; i++)
		targets[i] = set->outcomes[i];
	if (!line_through(targets, chosen->logits, set->n, intercept, slope) || *slope <= 0)
	{
		*intercept = 0;
		*slope = 1;
	}
	pfree(targets);
}

/* The line that turns the card's scores into the model's probabilities. */
static void
scale_card(const Learner *learner, const Mixture *chosen, const double *logits, const double *scores, double *intercept, double *slope)
{
	int64		n = learner->all.n;
	double	   *targets = MemoryContextAllocHuge(CurrentMemoryContext, Max(n, 1) * sizeof(double));
	double		line[2];

	calibrate(learner, chosen, &line[0], &line[1]);
	for (int64 i = 0; i < n; i++)
	{
		if (i % 1024 == 0)
			CHECK_FOR_INTERRUPTS();
		targets[i] = 1 / (1 + exp(-(line[0] + line[1] * logits[i])));
	}
	(void) line_through(targets, scores, n, intercept, slope);
	pfree(targets);
}

/* The factor that the card's own points have in log odds, and what scores lack because their column has a mean of 0. */
static double
own_factor(const Learner *learner, const Card *card, double *shift)
{
	*shift = 0;
	for (int j = 1; j < card->builder.design.n_columns; j++)
		if (is_own(card, j))
		{
			double		mean;
			double		deviation;

			if (!own_moments(learner->candidates[card->builder.columns[j - 1].test.candidate], &mean, &deviation))
				break;
			*shift = card->beta[j] * mean / deviation;
			return card->beta[j] / deviation;
		}
	return 0;
}

static void
append_figure(StringInfo json, const char *name, double number)
{
	appendStringInfo(json, ", \"%s\": ", name);
	append_number(json, number);
}

static void
append_choice(StringInfo json, const Learner *learner, const Mixture *chosen)
{
	append_figure(json, "l2", chosen->choices[0].l2);
	appendStringInfo(json, ", \"bins\": %d, \"pairs\": %d, \"windows\": %s, \"half_lives\": %s", chosen->choices[0].bins, chosen->rounds * learner->max_pairs,
					 chosen->widest.windows ? "true" : "false", chosen->widest.decays ? "true" : "false");
	appendStringInfo(json, ", \"averaged\": %d", chosen->n);
	append_figure(json, "log_loss_cross_validated", chosen->loss);
	append_figure(json, "auc_cross_validated", figure_of(roc_auc_final, &learner->sample, chosen->logits));
	append_figure(json, "auc_error", figure_of(roc_auc_error_final, &learner->sample, chosen->logits));
	appendStringInfo(json, ", \"choices\": [%s]", learner->choices.data);
}

/* Learn, and say so. */
static void
append_card(StringInfo json, Learner *learner)
{
	int64		n;
	Mixture		chosen;
	Model		model;
	Card		card;
	double	   *scores;
	double		intercept;
	double		slope;
	double		shift;

	progress_phase("propose", "choosing");
	learner->n_candidates = gathering_finish(learner->gathering, &learner->candidates);
	make_sets(learner);
	limit_candidates(learner);
	initStringInfo(&learner->choices);
	choose(learner, &chosen);
	progress_phase("propose", "fitting");
	fit_model(learner, &chosen, &model);
	make_card(&card, learner, &chosen.widest, model.curves, &model.products, model.logits);
	n = learner->all.n;
	scores = MemoryContextAllocHuge(CurrentMemoryContext, n * sizeof(double));
	score_rows(&card, scores);
	append_figure(json, "auc_fine", figure_of(roc_auc_final, &learner->all, model.logits));
	append_figure(json, "auc_unrounded", figure_of(roc_auc_final, &learner->all, scores));
	if (learner->round)
		round_points(&card, learner->slope);
	score_rows(&card, scores);
	append_figure(json, "auc_card", figure_of(roc_auc_final, &learner->all, scores));
	scale_card(learner, &chosen, model.logits, scores, &intercept, &slope);
	append_figure(json, "own", own_factor(learner, &card, &shift));
	append_figure(json, "intercept", intercept - slope * shift);
	append_figure(json, "slope", slope * learner->slope);
	append_choice(json, learner, &chosen);
	append_terms(json, learner, &card, learner->slope);
	append_limits(json, scores, n, learner->slope, shift);
	append_left_out(json, learner);
}

Datum
learn_final(PG_FUNCTION_ARGS)
{
	Learner    *learner = PG_ARGISNULL(0) ? NULL : (Learner *) PG_GETARG_POINTER(0);
	const bool *outcomes;
	const int64 *hashes;
	int64		n;
	int64		conversions = 0;
	StringInfoData json;

	if (learner == NULL)
		PG_RETURN_NULL();
	n = gathering_rows(learner->gathering, &outcomes, &hashes);
	for (int64 i = 0; i < n; i++)
		conversions += outcomes[i];
	initStringInfo(&json);
	appendStringInfo(&json, "{\"leads\": " INT64_FORMAT ", \"conversions\": " INT64_FORMAT, n, conversions);
	if (conversions >= FEWEST_CONVERSIONS && conversions < n)
		append_card(&json, learner);
	appendStringInfoChar(&json, '}');
	PG_RETURN_DATUM(DirectFunctionCall1(jsonb_in, CStringGetDatum(json.data)));
}
