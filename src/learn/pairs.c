/*
 * pairs.c: what two candidates say together beyond what each says by itself.
 *
 * A grid is two candidates in at most twelve groups each. In each round the
 * grids are added that would gain most on what is unexplained (Y. Lou et al.,
 * Proceedings of KDD 2013), and then many small steps are taken: each the trees
 * of two levels on the grid where they gain most, shrunk to a tenth
 * (J. H. Friedman, The Annals of Statistics 29, 2001). How many rounds there are
 * is chosen by rows that had no say.
 */
#include "learn/learner.h"

#include <math.h>

#define MOST_GROUPS 12			/* of an axis */
#define MOST_CELLS (MOST_GROUPS * MOST_GROUPS)
#define MOST_AXES 40			/* candidates that pairs are sought among */
#define ROUNDS 16
#define PATIENCE 3				/* rounds without gain, after which no more are tried */
#define STEPS 20				/* in a round */
#define MOST_GRIDS (MOST_AXES * (MOST_AXES - 1) / 2)
#define MOST_OF_GRID 12			/* products that a grid is told in */
#define RATE 0.1				/* share of a step that is taken */
#define LEAF_L2 5.0				/* penalty of a leaf */
#define BAGS 8					/* fits, each of three rows in four, that the mean is taken of, */
#define BAG_ROWS 200000			/* unless they have more rows together */

typedef struct Axis
{
	int			candidate;
	bool		ordered;		/* a test holds from its group on, or for it alone */
	int			n_groups;
	uint8		group_of[MOST_CODES];
	int			n_tests;
	Test		tests[MOST_GROUPS]; /* of each group but the first */
	bool		holds[MOST_GROUPS][MOST_GROUPS];	/* test, group */
	uint8	   *groups;			/* of each row */
} Axis;

typedef struct Grid
{
	const Axis *axes[2];
	uint8	   *cells;			/* of each row: the first axis' group * MOST_GROUPS + the second's */
	double		effect[MOST_CELLS];
} Grid;

struct Grids
{
	int			n_axes;
	Axis		axes[MOST_AXES];
	int			n;
	Grid		grids[MOST_GRIDS];
};

/* What is unexplained in a cell or a leaf. */
typedef struct Rest
{
	double		residual;
	double		weight;
} Rest;

/* A tree of two levels: a test of one axis, and one of the other on each side (-1: none). */
typedef struct Tree
{
	Grid	   *grid;
	int			first;			/* axis */
	int			test;
	int			tests[2];
	double		gain;
} Tree;

static inline double
gain_of(Rest rest)
{
	return rest.residual * rest.residual / (rest.weight + LEAF_L2);
}

static inline void
add_rest(Rest *sum, const Rest *rest)
{
	sum->residual += rest->residual;
	sum->weight += rest->weight;
}

/* ---------- axes and grids ---------- */

/* Groups of an axis: neighbouring bins, or the commonest levels. */
static void
make_axis(const Learner *learner, const Set *set, int c, Axis *axis)
{
	const Candidate *candidate = learner->candidates[c];
	bool		ordered = is_number(candidate);
	int			groups = Min(candidate->n_used, MOST_GROUPS);

	memset(axis, 0, sizeof(Axis));
	axis->ordered = ordered;
	if (ordered)
		groups = group_bins(candidate, MOST_GROUPS, axis->group_of);
	else
		for (int code = 1; code < groups; code++)
			axis->group_of[code] = code;
	axis->candidate = c;
	axis->n_groups = groups;
	for (int group = 1; group < groups; group++)
	{
		Test	   *test = &axis->tests[axis->n_tests];

		*test = (Test) {c, ordered ? COLUMN_STEP : COLUMN_LEVEL, group};
		while (ordered && axis->group_of[test->code] < group)
			test->code++;
		for (int g = 0; g < groups; g++)
			axis->holds[axis->n_tests][g] = ordered ? g >= group : g == group;
		axis->n_tests++;
	}
	axis->groups = MemoryContextAllocHuge(CurrentMemoryContext, Max(set->n, 1));
	for (int64 i = 0; i < set->n; i++)
		axis->groups[i] = axis->group_of[set->codes[c][i]];
}

/* Whether conditions of rules can tell the candidate: they have no half-lives. */
static bool
can_pair(const Learner *learner, const Choice *choice, int c)
{
	const Candidate *candidate = learner->candidates[c];

	return takes(learner, choice, c) && candidate->kind != CANDIDATE_OWN && candidate->n_used > 1
		&& (candidate->kind != CANDIDATE_MEASURE || gathering_weight(learner->gathering, candidate->measure)->decay == NULL);
}

/* How much the effect of a candidate varies. */
static double
strength_of(const Candidate *candidate, const double *curve)
{
	double		mean = 0;
	double		square = 0;
	double		total = 0;

	for (int code = 0; code < candidate->n_codes; code++)
	{
		mean += candidate->counts[code] * curve[code];
		square += candidate->counts[code] * curve[code] * curve[code];
		total += candidate->counts[code];
	}
	return square / total - (mean / total) * (mean / total);
}

/* No grids yet, and the axes of those candidates whose effects vary most. */
static Grids *
grids_create(const Learner *learner, const Set *set, const Choice *choice, const double *curves)
{
	Grids	   *grids = palloc0(sizeof(Grids));
	double	   *strengths = palloc(Max(learner->n_candidates, 1) * sizeof(double));

	for (int c = 0; c < learner->n_candidates; c++)
		strengths[c] = can_pair(learner, choice, c) ? strength_of(learner->candidates[c], &curves[c * MOST_CODES]) : -1;
	while (grids->n_axes < MOST_AXES)
	{
		int			best = -1;

		CHECK_FOR_INTERRUPTS();
		for (int c = 0; c < learner->n_candidates; c++)
			if (strengths[c] >= 0 && (best < 0 || strengths[c] > strengths[best]))
				best = c;
		if (best < 0)
			break;
		make_axis(learner, set, best, &grids->axes[grids->n_axes++]);
		strengths[best] = -1;
	}
	pfree(strengths);
	return grids;
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

/* What is unexplained where each test of an axis holds, from what is in each group. */
static void
sum_tests(const Axis *axis, const Rest *groups, Rest *sums)
{
	memcpy(sums, &groups[1], axis->n_tests * sizeof(Rest));
	for (int t = axis->n_tests - 2; axis->ordered && t >= 0; t--)
		add_rest(&sums[t], &sums[t + 1]);
}

/* The same for one axis of a grid's cells, in each group of the other, and what is in that group in all. */
static void
sum_tests_of_cells(const Grid *grid, int axis, const Rest *cells, Rest sums[MOST_GROUPS][MOST_GROUPS], Rest *totals)
{
	const Axis *x = grid->axes[axis];
	const Axis *y = grid->axes[1 - axis];

	for (int b = 0; b < y->n_groups; b++)
	{
		Rest		groups[MOST_GROUPS];
		Rest		tests[MOST_GROUPS];

		totals[b] = (Rest) {0, 0};
		for (int a = 0; a < x->n_groups; a++)
		{
			groups[a] = cells[axis == 0 ? a * MOST_GROUPS + b : b * MOST_GROUPS + a];
			add_rest(&totals[b], &groups[a]);
		}
		sum_tests(x, groups, tests);
		for (int t = 0; t < x->n_tests; t++)
			sums[t][b] = tests[t];
	}
}

static inline Rest
without(Rest all, Rest part)
{
	return (Rest) {all.residual - part.residual, all.weight - part.weight};
}

static Rest
sum_rests(const Rest *rests, int n)
{
	Rest		sum = {0, 0};

	for (int i = 0; i < n; i++)
		add_rest(&sum, &rests[i]);
	return sum;
}

/*
 * What the best product of a test of each axis would gain if both tests were in
 * the model by themselves: the contrast of the four fields, against its variance.
 */
static double
gain_of_product(const Grid *grid, const Rest *cells)
{
	const Axis *x = grid->axes[0];
	const Axis *y = grid->axes[1];
	Rest		in_x[MOST_GROUPS][MOST_GROUPS];
	Rest		totals[MOST_GROUPS];
	Rest		in_y[MOST_GROUPS];
	Rest		in_both[MOST_GROUPS];
	double		best = 0;

	sum_tests_of_cells(grid, 0, cells, in_x, totals);
	sum_tests(y, totals, in_y);
	for (int i = 0; i < x->n_tests; i++)
	{
		Rest		all_x = sum_rests(in_x[i], y->n_groups);
		Rest		rest = without(sum_rests(totals, y->n_groups), all_x);

		sum_tests(y, in_x[i], in_both);
		for (int j = 0; j < y->n_tests; j++)
		{
			Rest		alone = without(in_y[j], in_both[j]);
			Rest		fields[4] = {without(rest, alone), alone, without(all_x, in_both[j]), in_both[j]};
			double		contrast = 0;
			double		variance = 0;

			for (int field = 0; field < 4; field++)
			{
				double		weight = Max(fields[field].weight, 0) + 1e-9;

				contrast += (field == 0 || field == 3 ? 1 : -1) * fields[field].residual / weight;
				variance += 1 / weight;
			}
			best = Max(best, contrast * contrast / (variance * (1 + LEAF_L2 * variance)));
		}
	}
	return best;
}

/* Add the grids of a round: those that would gain most. */
static void
add_grids(Grids *grids, const Learner *learner, const Set *set, const Rest *rests)
{
	double		gains[MOST_AXES][MOST_AXES] = {{0}};

	for (int a = 0; a < grids->n_axes; a++)
		for (int b = 0; b < a; b++)
		{
			const Grid	grid = {.axes = {&grids->axes[a], &grids->axes[b]}};
			Rest		cells[MOST_CELLS] = {{0}};

			CHECK_FOR_INTERRUPTS();
			if (!differ(learner, grid.axes[0]->candidate, grid.axes[1]->candidate))
				continue;
			for (int64 i = 0; i < set->n; i++)
				add_rest(&cells[grid.axes[0]->groups[i] * MOST_GROUPS + grid.axes[1]->groups[i]], &rests[i]);
			gains[a][b] = gain_of_product(&grid, cells);
		}
	for (int g = 0; g < grids->n; g++)
		gains[grids->grids[g].axes[0] - grids->axes][grids->grids[g].axes[1] - grids->axes] = 0;
	for (int more = 0; more < learner->max_pairs && grids->n < MOST_GRIDS; more++)
	{
		Grid	   *grid = &grids->grids[grids->n];
		int			best[2] = {0, 0};

		for (int a = 0; a < grids->n_axes; a++)
			for (int b = 0; b < a; b++)
				if (gains[a][b] > gains[best[0]][best[1]])
				{
					best[0] = a;
					best[1] = b;
				}
		if (gains[best[0]][best[1]] <= 0)
			break;
		gains[best[0]][best[1]] = 0;
		memset(grid, 0, sizeof(Grid));
		for (int axis = 0; axis < 2; axis++)
			grid->axes[axis] = &grids->axes[best[axis]];
		grid->cells = MemoryContextAllocHuge(CurrentMemoryContext, Max(set->n, 1));
		for (int64 i = 0; i < set->n; i++)
			grid->cells[i] = grid->axes[0]->groups[i] * MOST_GROUPS + grid->axes[1]->groups[i];
		grids->n++;
	}
}

/* ---------- boosting ---------- */

/* What rows that take part have unexplained. */
static void
look_at_rests(const Set *set, const uint8 *folds, int left_out, const double *logits, Rest *rests)
{
	for (int64 i = 0; i < set->n; i++)
	{
		double		p = 1 / (1 + exp(-logits[i]));

		if (i % 1024 == 0)
			CHECK_FOR_INTERRUPTS();
		rests[i] = folds[i] == left_out ? (Rest) {0, 0} : (Rest) {set->outcomes[i] - p, p * (1 - p)};
	}
}

/* The best test of an axis for what its groups have unexplained, or -1; returns its gain. */
static double
best_test(const Axis *axis, const Rest *groups, int *test)
{
	Rest		all = sum_rests(groups, axis->n_groups);
	Rest		sums[MOST_GROUPS];
	double		best = gain_of(all);

	*test = -1;
	sum_tests(axis, groups, sums);
	for (int t = 0; t < axis->n_tests; t++)
	{
		double		gain = gain_of(sums[t]) + gain_of(without(all, sums[t]));

		if (gain > best)
		{
			best = gain;
			*test = t;
		}
	}
	return best;
}

/* The best tree on a grid, if it is better than another. */
static void
grow(Grid *grid, const Rest *cells, Tree *best)
{
	for (int first = 0; first < 2; first++)
	{
		const Axis *y = grid->axes[1 - first];
		Rest		sums[MOST_GROUPS][MOST_GROUPS];
		Rest		totals[MOST_GROUPS];

		sum_tests_of_cells(grid, first, cells, sums, totals);
		for (int t = 0; t < grid->axes[first]->n_tests; t++)
		{
			Rest		rest[MOST_GROUPS];
			Tree		tree = {grid, first, t, {-1, -1}, 0};

			for (int b = 0; b < y->n_groups; b++)
				rest[b] = without(totals[b], sums[t][b]);
			tree.gain = best_test(y, rest, &tree.tests[0]) + best_test(y, sums[t], &tree.tests[1]);
			if (tree.gain > best->gain)
				*best = tree;
		}
	}
}

/* Which leaf of a tree a cell is in. */
static int
leaf_of(const Tree *tree, int cell)
{
	const int	groups[2] = {cell / MOST_GROUPS, cell % MOST_GROUPS};
	int			side = tree->grid->axes[tree->first]->holds[tree->test][groups[tree->first]];

	return 2 * side + (tree->tests[side] >= 0 && tree->grid->axes[1 - tree->first]->holds[tree->tests[side]][groups[1 - tree->first]]);
}

/* A small step: the best tree of all grids, shrunk. False if there is none. */
static bool
take_step(Grids *grids, const Set *set, const Rest *rests, double *logits)
{
	Tree		tree = {.gain = 0};
	Rest		leaves[4] = {{0}};
	double		steps[MOST_CELLS];

	for (int g = 0; g < grids->n; g++)
	{
		Grid	   *grid = &grids->grids[g];
		Rest		cells[MOST_CELLS] = {{0}};

		CHECK_FOR_INTERRUPTS();
		for (int64 i = 0; i < set->n; i++)
			add_rest(&cells[grid->cells[i]], &rests[i]);
		grow(grid, cells, &tree);
	}
	if (tree.grid == NULL || !(tree.gain > 1e-9))
		return false;
	for (int64 i = 0; i < set->n; i++)
		add_rest(&leaves[leaf_of(&tree, tree.grid->cells[i])], &rests[i]);
	for (int cell = 0; cell < MOST_CELLS; cell++)
	{
		const Rest *leaf = &leaves[leaf_of(&tree, cell)];

		steps[cell] = RATE * leaf->residual / (leaf->weight + LEAF_L2);
		tree.grid->effect[cell] += steps[cell];
	}
	for (int64 i = 0; i < set->n; i++)
		logits[i] += steps[tree.grid->cells[i]];
	return true;
}

/* A round: more grids, and steps on all of them, by rows that are not in the fold; the logits of all rows follow. */
static void
boost(Grids *grids, const Learner *learner, const Set *set, const uint8 *folds, int left_out, double *logits)
{
	Rest	   *rests = MemoryContextAllocHuge(CurrentMemoryContext, Max(set->n, 1) * sizeof(Rest));

	look_at_rests(set, folds, left_out, logits, rests);
	add_grids(grids, learner, set, rests);
	for (int step = 0; step < STEPS && take_step(grids, set, rests, logits); step++)
		look_at_rests(set, folds, left_out, logits, rests);
	pfree(rests);
}

/* Add a share of the effects of grids to those of others, which have the same axes. */
static void
add_effects(Grids *sum, const Grids *grids, double share)
{
	for (int g = 0; g < grids->n; g++)
	{
		const Grid *grid = &grids->grids[g];
		int			x = grid->axes[0] - grids->axes;
		int			y = grid->axes[1] - grids->axes;
		int			at = 0;

		while (at < sum->n && (sum->grids[at].axes[0] != &sum->axes[x] || sum->grids[at].axes[1] != &sum->axes[y]))
			at++;
		if (at == sum->n)
		{
			sum->grids[sum->n] = (Grid) {{&sum->axes[x], &sum->axes[y]}, grid->cells, {0}};
			sum->n++;
		}
		for (int cell = 0; cell < MOST_CELLS; cell++)
			sum->grids[at].effect[cell] += share * grid->effect[cell];
	}
}

/* Add what pairs explain to the logits of all rows: the mean of several fits, each without other rows. */
Grids *
fit_pairs(const Learner *learner, const Mixture *mixture, const double *curves, double *logits)
{
	const Set  *set = &learner->all;
	int			bags = Max(Min(BAGS, BAG_ROWS / Max(set->n, 1)), 1);
	Grids	   *sum = grids_create(learner, set, &mixture->widest, curves);
	double	   *bag_logits = MemoryContextAllocHuge(CurrentMemoryContext, set->n * sizeof(double));
	double	   *mean = MemoryContextAllocHuge(CurrentMemoryContext, set->n * sizeof(double));
	uint8	   *folds = MemoryContextAllocHuge(CurrentMemoryContext, set->n);

	memset(mean, 0, set->n * sizeof(double));
	for (int bag = 0; bag < bags; bag++)
	{
		Grids	   *grids = palloc(sizeof(Grids));

		memcpy(grids, sum, sizeof(Grids));
		grids->n = 0;
		for (int64 i = 0; i < set->n; i++)
			folds[i] = bags == 1 ? 1 : set->hashes[i] / FOLDS >> 2 * (bag + 1) & 3;
		memcpy(bag_logits, logits, set->n * sizeof(double));
		for (int round = 0; round < mixture->rounds; round++)
			boost(grids, learner, set, folds, 0, bag_logits);
		for (int64 i = 0; i < set->n; i++)
			mean[i] += bag_logits[i] / bags;
		add_effects(sum, grids, 1.0 / bags);
	}
	memcpy(logits, mean, set->n * sizeof(double));
	pfree(bag_logits);
	pfree(mean);
	pfree(folds);
	return sum;
}

/* ---------- in tests ---------- */

static bool
same_test(const Test *a, const Test *b)
{
	return a->candidate == b->candidate && a->kind == b->kind && a->code == b->code;
}

/* Keep the products that matter most, each once. */
static void
keep_product(Products *products, Product product)
{
	int			at = 0;

	while (at < products->n && !(same_test(&products->products[at].tests[0], &product.tests[0]) && same_test(&products->products[at].tests[1], &product.tests[1])))
		at++;
	if (at < products->n)
	{
		product.points += products->products[at].points;
		product.weight += products->products[at].weight;
	}
	else if (products->n < MOST_PRODUCTS)
		products->n++;
	else if (products->products[--at].weight >= product.weight)
		return;
	for (; at > 0 && products->products[at - 1].weight < product.weight; at--)
		products->products[at] = products->products[at - 1];
	products->products[at] = product;
}

/* Take out of the cells what the axes say by themselves, cells weighed by their rows; it is added to "parts". */
static void
take_out_axes(const Grid *grid, const double *rows, double *cells, double parts[2][MOST_GROUPS], double factor)
{
	for (int turn = 0; turn < 20; turn++)
		for (int axis = 0; axis < 2; axis++)
		{
			int			across = axis == 0 ? MOST_GROUPS : 1;
			int			along = axis == 0 ? 1 : MOST_GROUPS;

			for (int g = 0; g < grid->axes[axis]->n_groups; g++)
			{
				double		sum = 0;
				double		total = 0;

				for (int other = 0; other < grid->axes[1 - axis]->n_groups; other++)
				{
					sum += rows[g * across + other * along] * cells[g * across + other * along];
					total += rows[g * across + other * along];
				}
				if (total == 0)
					continue;
				for (int other = 0; other < grid->axes[1 - axis]->n_groups; other++)
					cells[g * across + other * along] -= sum / total;
				parts[axis][g] += factor * sum / total;
			}
		}
}

/* What a product of tests says beyond its axes. */
typedef struct Beyond
{
	double		cells[MOST_CELLS];
	double		square;
} Beyond;

static void
look_beyond(const Grid *grid, const double *rows, int i, int j, Beyond *beyond, double parts[2][MOST_GROUPS], double factor)
{
	memset(beyond, 0, sizeof(Beyond));
	for (int a = 0; a < grid->axes[0]->n_groups; a++)
		for (int b = 0; b < grid->axes[1]->n_groups; b++)
			beyond->cells[a * MOST_GROUPS + b] = grid->axes[0]->holds[i][a] && grid->axes[1]->holds[j][b];
	take_out_axes(grid, rows, beyond->cells, parts, factor);
	for (int cell = 0; cell < MOST_CELLS; cell++)
		beyond->square += rows[cell] * beyond->cells[cell] * beyond->cells[cell];
}

/* The product that explains most of what is left of a grid; weight 0 if none does. */
static Product
best_product(const Grid *grid, const double *rows, const Beyond *beyonds, const double *left, int *best)
{
	const Axis *x = grid->axes[0];
	const Axis *y = grid->axes[1];
	Product		product = {{{0}}, 0, 0};

	for (int i = 0; i < x->n_tests; i++)
		for (int j = 0; j < y->n_tests; j++)
		{
			const Beyond *beyond = &beyonds[i * MOST_GROUPS + j];
			double		common = 0;

			for (int cell = 0; cell < MOST_CELLS; cell++)
				common += rows[cell] * beyond->cells[cell] * left[cell];
			if (beyond->square < 1e-9 || common * common / beyond->square <= product.weight)
				continue;
			product = (Product) {{x->tests[i], y->tests[j]}, common / beyond->square, common * common / beyond->square};
			*best = i * MOST_GROUPS + j;
		}
	return product;
}

/*
 * A grid in few products, each of which explains most of what the others leave
 * (S. Mallat and Z. Zhang, 1993), and what its axes say by themselves, which is
 * added to their curves.
 */
static void
tell_grid(const Grid *grid, const Learner *learner, const double *rows, double *curves, Products *products)
{
	Beyond	   *beyonds = palloc(MOST_CELLS * sizeof(Beyond));
	double		left[MOST_CELLS];
	double		parts[2][MOST_GROUPS] = {{0}};
	double		ignored[2][MOST_GROUPS];

	memcpy(left, grid->effect, sizeof(left));
	take_out_axes(grid, rows, left, parts, 1);
	for (int i = 0; i < grid->axes[0]->n_tests; i++)
		for (int j = 0; j < grid->axes[1]->n_tests; j++)
			look_beyond(grid, rows, i, j, &beyonds[i * MOST_GROUPS + j], ignored, 0);
	for (int n = 0; n < MOST_OF_GRID; n++)
	{
		int			best = 0;
		Product		product = best_product(grid, rows, beyonds, left, &best);
		Beyond		again;

		if (!(product.weight > 0))
			break;
		for (int cell = 0; cell < MOST_CELLS; cell++)
			left[cell] -= product.points * beyonds[best].cells[cell];
		look_beyond(grid, rows, best / MOST_GROUPS, best % MOST_GROUPS, &again, parts, -product.points);
		keep_product(products, product);
	}
	for (int axis = 0; axis < 2; axis++)
	{
		int			c = grid->axes[axis]->candidate;

		for (int code = 0; code < learner->candidates[c]->n_codes; code++)
			curves[c * MOST_CODES + code] += parts[axis][grid->axes[axis]->group_of[code]];
	}
	pfree(beyonds);
}

/* All grids: their axes' own effects are added to the curves. */
void
grids_tell(const Grids *grids, const Learner *learner, int64 n, double *curves, Products *products)
{
	for (int g = 0; g < grids->n; g++)
	{
		const Grid *grid = &grids->grids[g];
		double		rows[MOST_CELLS] = {0};

		CHECK_FOR_INTERRUPTS();
		for (int64 i = 0; i < n; i++)
			rows[grid->cells[i]]++;
		tell_grid(grid, learner, rows, curves, products);
	}
}

/* ---------- choosing ---------- */

/* Pairs, in as many rounds as leads that had no say in them bear out; none if they do not. */
void
choose_pairs(Learner *learner, Mixture *best)
{
	const Set  *set = &learner->sample;
	Size		size = Max(set->n, 1) * sizeof(double);
	Grids	   *grids[FOLDS];		/* a model of the rows that are not in each fold */
	double	   *logits[FOLDS];
	double	   *curves;
	Choice		tried = best->choices[0];
	Mixture		kept = *best;

	for (int fold = 0; fold < FOLDS; fold++)
		logits[fold] = MemoryContextAllocHuge(CurrentMemoryContext, size);
	tried.logits = MemoryContextAllocHuge(CurrentMemoryContext, size);
	curves = fit_mixture(learner, best, set, 1e-3, tried.logits, logits);
	for (int fold = 0; fold < FOLDS; fold++)
		grids[fold] = grids_create(learner, set, &best->widest, curves);
	for (int round = 0; grids[0]->n_axes >= 2 && round < ROUNDS && round < kept.rounds + PATIENCE; round++)
	{
		tried.logits = MemoryContextAllocHuge(CurrentMemoryContext, size);
		for (int fold = 0; fold < FOLDS; fold++)
			boost(grids[fold], learner, set, set->folds, fold, logits[fold]);
		for (int64 i = 0; i < set->n; i++)
			tried.logits[i] = logits[set->folds[i]][i];
		tried.loss = log_loss_of(set->outcomes, tried.logits, set->n);
		note_choice(learner, &tried, (round + 1) * learner->max_pairs);
		if (tried.loss < kept.loss)
		{
			kept.loss = tried.loss;
			kept.logits = tried.logits;
			kept.rounds = round + 1;
		}
	}
	if (kept.rounds > 0 && advantage(set, kept.logits, best->logits) > VERY_SURE)
		*best = kept;
}
