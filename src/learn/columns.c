/*
 * columns.c: rows and columns of what propose() learns with.
 *
 * Each candidate has columns: steps between bins, levels, absence, and for
 * numbers a line and a logarithm, by their bins' means. Steps are cumulative, so
 * neighbours shrink together.
 */
#include "learn/learner.h"

#include <math.h>

#define SAMPLE 20000			/* rows that choices are made by, */
#define SAMPLE_CODES 3000000	/* and how many of their codes */
#define FEWEST_IN_SAMPLE 5000
#define MOST_CARD_COLUMNS 700
#define CURVE_L2 1.0			/* penalty of standardised columns, */
#define CURVE_SHARE 0.1			/* and the share of l2 that they have besides */
#define NEARLY_NONE 1e-6		/* penalty of a card's own points */

/* ---------- sets ---------- */

static void
fill_set(Set *set, const Learner *learner, const int64 *rows, int64 n, const bool *outcomes, const int64 *hashes)
{
	set->n = n;
	set->rows = rows;
	set->outcomes = MemoryContextAllocHuge(CurrentMemoryContext, Max(n, 1));
	set->folds = MemoryContextAllocHuge(CurrentMemoryContext, Max(n, 1));
	set->hashes = MemoryContextAllocHuge(CurrentMemoryContext, Max(n, 1) * sizeof(uint64));
	set->codes = palloc(Max(learner->n_candidates, 1) * sizeof(uint8 *));
	for (int64 i = 0; i < n; i++)
	{
		int64		row = rows ? rows[i] : i;

		set->outcomes[i] = outcomes[row];
		set->hashes[i] = (uint64) hashes[row];
		set->folds[i] = set->hashes[i] % FOLDS;
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
void
make_sets(Learner *learner)
{
	const bool *outcomes;
	const int64 *hashes;
	int64		n = gathering_rows(learner->gathering, &outcomes, &hashes);
	int64		most = Min(SAMPLE, Max(FEWEST_IN_SAMPLE, SAMPLE_CODES / Max(learner->n_candidates, 1)));
	uint64		every = (n + most - 1) / most;
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

bool
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
bool
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

/* A share of the rows, by which bins are finer towards both ends. */
static double
warp(double share)
{
	return acos(1 - 2 * Min(share, 1)) / M_PI;
}

/* Put the bins of a number into at most so many groups, and return how many: a bin with many rows is one by itself. */
int
group_bins(const Candidate *candidate, int most, uint8 *group_of)
{
	double		masses[MOST_CODES];
	double		all = 0;
	double		before = 0;
	double		total = 0;
	double		passed = 0;
	int			groups = 0;

	if (candidate->n_used <= most)
	{
		for (int code = 0; code < candidate->n_used; code++)
			group_of[code] = code;
		return candidate->n_used;
	}
	for (int code = 0; code < candidate->n_used; code++)
		all += candidate->counts[code];
	for (int code = 0; code < candidate->n_used; code++)
	{
		masses[code] = Min(warp((before + candidate->counts[code]) / all) - warp(before / all), 1.0 / most);
		before += candidate->counts[code];
		total += masses[code];
	}
	for (int code = 0; code < candidate->n_used; code++)
	{
		/* the first bin, one that is large or comes after a large one, and whatever begins another share */
		if (groups == 0 || (groups < most && (passed >= total * groups / most - 1e-9 || masses[code - 1] >= 1.0 / most || masses[code] >= 1.0 / most)))
			groups++;
		group_of[code] = groups - 1;
		passed += masses[code];
	}
	return groups;
}

bool
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

/* A curve through the means of the bins, and its mean and standard deviation; false if it is flat. */
static bool
moments_of(const Candidate *candidate, ColumnKind kind, double *values, double *mean, double *deviation)
{
	double		n = 0;
	double		variance = 0;

	*mean = 0;
	for (int code = 0; code < candidate->n_used; code++)
	{
		double		number = candidate->means[code];

		values[code] = kind == COLUMN_LOG ? copysign(log1p(fabs(number)), number) : number;
		n += candidate->counts[code];
	}
	for (int code = 0; code < candidate->n_used; code++)
		*mean += values[code] * (candidate->counts[code] / n);
	for (int code = 0; code < candidate->n_used; code++)
		variance += (values[code] - *mean) * (values[code] - *mean) * (candidate->counts[code] / n);
	*deviation = sqrt(variance);
	return *deviation > 1e-12 * fabs(*mean) && isfinite(variance);
}

/* A standardised curve; false if it is flat. */
static bool
curve_of(const Candidate *candidate, ColumnKind kind, double *values)
{
	double		mean;
	double		deviation;

	if (!moments_of(candidate, kind, values, &mean, &deviation))
		return false;
	for (int code = 0; code < candidate->n_codes; code++)
		values[code] = code < candidate->n_used ? (values[code] - mean) / deviation : 0;
	return true;
}

/* How a card's own points are standardised. */
bool
own_moments(const Candidate *candidate, double *mean, double *deviation)
{
	double		values[MOST_CODES];

	return moments_of(candidate, COLUMN_OWN, values, mean, deviation);
}

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
add_test(Builder *builder, Variable *variable, const Candidate *candidate, Test test, bool standard)
{
	double	   *values = &variable->table[variable->n_columns * variable->n_codes];
	double		ones = 0;
	double		n = 0;
	double		variance;

	for (int code = 0; code < variable->n_codes; code++)
	{
		values[code] = holds(candidate, &test, code);
		ones += candidate->counts[code] * values[code];
		n += candidate->counts[code];
	}
	variance = ones / n * (1 - ones / n);
	add_column(builder, variable, standard ? CURVE_SHARE * variance : 1, standard ? CURVE_L2 * variance : 0)->test = test;
}

static void
add_curve(Builder *builder, Variable *variable, const Candidate *candidate, Test test)
{
	if (curve_of(candidate, test.kind, &variable->table[variable->n_columns * variable->n_codes]))
		add_column(builder, variable, test.kind == COLUMN_OWN ? 0 : CURVE_SHARE, test.kind == COLUMN_OWN ? NEARLY_NONE : CURVE_L2)->test = test;
}

/* The columns of a candidate, as a choice has them; those of a card are 0/1 columns alone. */
static void
add_candidate(Builder *builder, const Learner *learner, const Set *set, int c, const Choice *choice, bool is_card)
{
	const Candidate *candidate = learner->candidates[c];
	Variable   *variable = add_variable(builder, set->codes[c], candidate->n_codes, candidate->n_codes + 3);

	if (candidate->kind == CANDIDATE_OWN)
		add_curve(builder, variable, candidate, (Test) {c, COLUMN_OWN, 0});
	else if (is_number(candidate))
	{
		uint8		group_of[MOST_CODES];
		/* two values are told apart by a step, whatever a curve would be */
		int			bins = candidate->n_used > 2 ? choice->bins : 2;

		(void) group_bins(candidate, Max(bins, 1), group_of);
		for (int code = 1; code < candidate->n_used; code++)
			if (group_of[code] != group_of[code - 1])
				add_test(builder, variable, candidate, (Test) {c, COLUMN_STEP, code}, choice->standard);
		if (choice->lines && !is_card && candidate->n_used > 2)
			add_curve(builder, variable, candidate, (Test) {c, COLUMN_LINE, 0});
		if (choice->logs && !is_card && candidate->n_used > 2)
			add_curve(builder, variable, candidate, (Test) {c, COLUMN_LOG, 0});
	}
	else
		for (int code = 1; code < candidate->n_used; code++)	/* the commonest is what others are compared with */
			add_test(builder, variable, candidate, (Test) {c, COLUMN_LEVEL, code}, choice->standard);
	if (has_absence(learner, candidate))
		add_test(builder, variable, candidate, (Test) {c, COLUMN_ABSENT, 0}, choice->standard);
	if (variable->n_columns == 0)
		builder->design.n_variables--;
}

/* A column that is 1 where both tests hold. */
static void
add_product(Builder *builder, const Learner *learner, const Set *set, const Product *product)
{
	uint8	   *codes = MemoryContextAllocHuge(CurrentMemoryContext, Max(set->n, 1));
	Variable   *variable = add_variable(builder, codes, 2, 1);
	const uint8 *theirs[2];
	bool		table[2][MOST_CODES];
	Column	   *column;

	for (int t = 0; t < 2; t++)
	{
		const Test *test = &product->tests[t];

		theirs[t] = set->codes[test->candidate];
		for (int code = 0; code < MOST_CODES; code++)
			table[t][code] = holds(learner->candidates[test->candidate], test, code);
	}
	for (int64 i = 0; i < set->n; i++)
		codes[i] = table[0][theirs[0][i]] && table[1][theirs[1][i]];
	variable->table[0] = 0;
	variable->table[1] = 1;
	column = add_column(builder, variable, 1, 0);
	column->is_product = true;
	column->test = product->tests[0];
	column->other = product->tests[1];
}

static void
start_building(Builder *builder, const Learner *learner, const Set *set, int most_products)
{
	memset(builder, 0, sizeof(Builder));
	builder->design.n = set->n;
	builder->design.outcomes = set->outcomes;
	builder->design.variables = palloc((learner->n_candidates + most_products + 1) * sizeof(Variable));
}

/* The design of a choice. */
void
build(Builder *builder, const Learner *learner, const Set *set, const Choice *choice)
{
	start_building(builder, learner, set, 0);
	for (int c = 0; c < learner->n_candidates; c++)
		if (takes(learner, choice, c))
			add_candidate(builder, learner, set, c, choice, false);
	design_finish(&builder->design);
}

/* The design of a card: bins as fine as can be, for curves to be told in steps. */
void
build_card(Builder *builder, const Learner *learner, const Set *set, const Choice *choice, const Products *products)
{
	Choice		fine = *choice;

	for (fine.bins = FINEST_BINS; fine.bins > 4 && count_columns(learner, &fine) > MOST_CARD_COLUMNS; fine.bins /= 2)
		;
	start_building(builder, learner, set, products->n);
	for (int c = 0; c < learner->n_candidates; c++)
		if (takes(learner, &fine, c))
			add_candidate(builder, learner, set, c, &fine, true);
	for (int p = 0; p < products->n; p++)
		add_product(builder, learner, set, &products->products[p]);
	design_finish(&builder->design);
}

/* Add a share of what each code of each candidate is worth. */
void
add_curves(const Builder *builder, const double *beta, double share, double *curves)
{
	for (int v = 0; v < builder->design.n_variables; v++)
	{
		const Variable *variable = &builder->design.variables[v];
		int			first = builder->design.first[v];
		double	   *curve = &curves[builder->columns[first - 1].test.candidate * MOST_CODES];

		for (int j = 0; j < variable->n_columns; j++)
			for (int code = 0; code < variable->n_codes; code++)
				curve[code] += share * beta[first + j] * variable->table[j * variable->n_codes + code];
	}
}

/* How many columns the design of a choice has, or a few more. */
int
count_columns(const Learner *learner, const Choice *choice)
{
	int			n = 1;

	for (int c = 0; c < learner->n_candidates; c++)
		if (takes(learner, choice, c))
		{
			const Candidate *candidate = learner->candidates[c];

			if (is_number(candidate))
				n += Min(candidate->n_used, choice->bins) + choice->lines + choice->logs;
			else if (candidate->kind != CANDIDATE_OWN)
				n += candidate->n_used;
			n++;
		}
	return n;
}
/*
 * What a candidate's codes say of the outcomes, each with a rate of its own, less
 * their price (G. Schwarz, The Annals of Statistics 6, 1978).
 */
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
void
limit_candidates(Learner *learner)
{
	const Choice few = {.bins = 8, .lines = true, .logs = true, .windows = true, .decays = true};
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

		CHECK_FOR_INTERRUPTS();
		for (int c = 0; c < learner->n_candidates; c++)
			if (learner->is_used[c] && (worst < 0 || information[c] < information[worst]))
				worst = c;
		learner->is_used[worst] = false;
	}
}

