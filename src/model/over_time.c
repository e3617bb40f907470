/*
 * over_time.c: scoring at many instants.
 *
 * The results are those of appraise_lead() at each instant, to the bit: the
 * same figures are added up in the same order. But the loop over instants is
 * the innermost one. Each signal is unpacked once. A decayed sum adds each hour
 * to all later instants, with the decay factors read from one table. Where
 * instants are equally far apart, as the days of a history are, the factors of
 * ages that are a step apart lie side by side. A figure that does not depend on
 * the ages of hours is measured once for all instants with the same hours.
 */
#include "model/over_time.h"
#include "model/measure.h"

/* Room is kept for this many hours of one signal: 128 kB. */
#define MOST_HOURS 32768

/* The hours between two instants, if they are equally far apart. */
static int32
step_of(int32 n, const int32 *hours)
{
	int32		step = n > 1 ? hours[1] - hours[0] : 0;

	for (int32 k = 2; k < n; k++)
		if (hours[k] - hours[k - 1] != step)
			return 0;
	return step;
}

OverTime *
over_time_create(MemoryContext context, Scorecard *card, int32 n, const int32 *hours)
{
	OverTime   *over = MemoryContextAllocZero(context, sizeof(OverTime));
	bool		starts = false;

	over->card = card;
	over->context = context;
	over->n = n;
	over->hours = MemoryContextAlloc(context, n * sizeof(int32));
	memcpy(over->hours, hours, n * sizeof(int32));
	over->step = step_of(n, hours);
	over->appraisals = MemoryContextAlloc(context, n * sizeof(Appraisal));
	over->engagement = MemoryContextAlloc(context, n * sizeof(double));
	over->parts = MemoryContextAllocHuge(context, Max((Size) card->nparts * n, 1) * sizeof(double));
	over->measured = MemoryContextAlloc(context, n * sizeof(double));
	over->found = MemoryContextAlloc(context, n * sizeof(bool));
	over->runs = MemoryContextAlloc(context, n * sizeof(Run));
	over->conditions = MemoryContextAllocHuge(context, Max((Size) card->nconditions * n, 1) * sizeof(bool));
	if (card->absences.n > 0)
		over->happened = MemoryContextAllocHuge(context, (Size) card->nweights * n * sizeof(bool));
	for (int32 i = 0; i < card->ngroups; i++)
		starts |= card->groups[i].is_start;
	if (starts)
		over->last_hours = MemoryContextAllocHuge(context, (Size) card->ngroups * n * sizeof(int32));
	return over;
}

/* ---------- one weight ---------- */

/* Whether a weight adds up all hours, decayed or not. */
static inline bool
adds_all(const Weight *w)
{
	return (w->measure == MEASURE_COUNT || w->measure == MEASURE_VALUE) && w->within == 0 && w->max_per_day == 0 && w->since == NULL;
}

/* The first instant that is not before an hour: a binary search. */
static int32
first_instant(const OverTime *over, int32 hour)
{
	int32		low = 0;
	int32		high = over->n;

	while (low < high)
	{
		int32		middle = (low + high) / 2;

		if (over->hours[middle] < hour)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The factors of ages that are a step apart, side by side. */
static void
space_factors(OverTime *over, Decay *decay)
{
	int32		rows = (decay->capacity + over->step - 1) / over->step;

	if (decay->spaced)
		pfree(decay->spaced);
	decay->spaced = MemoryContextAllocHuge(over->card->context, (Size) rows * over->step * sizeof(double));
	for (int32 age = 0; age < decay->capacity; age++)
		decay->spaced[age % over->step * rows + age / over->step] = decay->factors[age];
	decay->spaced_step = over->step;
	decay->spaced_rows = rows;
	decay->spaced_capacity = decay->capacity;
}

/* The innermost loop: add an amount, decayed by one factor for each instant. */
static pg_noinline void
add_scaled(double *restrict sums, const double *restrict factors, double amount, int32 n)
{
	for (int32 k = 0; k < n; k++)
		sums[k] += amount * factors[k];
}

/* Add an amount to the sums from an instant on, decayed by factors that are in the table. */
static inline void
add_decayed(OverTime *over, Decay *decay, double amount, int32 hour, int32 from)
{
	int32		age = over->hours[from] - hour;
	double	   *sums = over->measured;

	if (over->step == 0)
	{
		for (int32 k = from; k < over->n; k++)
			sums[k] += amount * decay->factors[over->hours[k] - hour];
		return;
	}
	if (decay->spaced_step != over->step || decay->spaced_capacity != decay->capacity)
		space_factors(over, decay);
	add_scaled(sums + from, decay->spaced + age % over->step * decay->spaced_rows + age / over->step, amount, over->n - from);
}

/* Such a sum at each instant; returns the first instant that has an hour to add. */
static int32
measure_sum(OverTime *over, const Weight *w, const Activity *a)
{
	const double *amounts = w->measure == MEASURE_COUNT ? a->occurrences : a->values;
	double	   *sums = over->measured;
	int32		first = first_instant(over, over->signal_hours[0]);
	int32		from;

	memset(sums + first, 0, (over->n - first) * sizeof(double));
	from = first;
	for (int32 i = 0; i < a->n; i++)
	{
		int32		hour = over->signal_hours[i];

		while (over->hours[from] < hour)
			from++;
		if (w->decay == NULL)
			for (int32 k = from; k < over->n; k++)
				sums[k] += amounts[i];
		else if (a->hour - hour < w->decay->capacity)
			add_decayed(over, w->decay, amounts[i], hour, from);
		else
			for (int32 k = from; k < over->n; k++)
				sums[k] += amounts[i] * decay_factor(w->decay, over->hours[k] - hour);
	}
	return first;
}

/* Whether a figure depends only on which hours lie in the window, not on their ages. */
static inline bool
is_ageless(const Weight *w)
{
	return w->decay == NULL && w->measure != MEASURE_DAYS_SINCE_LAST && w->measure != MEASURE_DAYS_SINCE_FIRST;
}

/* Move on to an instant: the hours from "first" to the end of "part" lie in the weight's window. */
static inline void
move_window(const OverTime *over, const Weight *w, const Activity *a, const int32 *since, int32 k, Activity *part, int32 *first)
{
	int32		border = w->within == 0 ? NO_HOUR : over->hours[k] - w->within;

	if (since)
		border = Max(border, since[k]);
	while (part->n < a->n && over->signal_hours[part->n] <= over->hours[k])
		part->n++;
	while (*first < part->n && over->signal_hours[*first] <= border)
		(*first)++;
}

/* Such a figure: it stays the same until an hour comes into the window, or leaves it. */
static void
measure_runs(OverTime *over, const Weight *w, const Activity *a)
{
	const int32 *since = w->since ? over->last_hours + (w->since - over->card->groups) * over->n : NULL;
	Activity	part = *a;
	int32		first = 0;

	over->n_runs = 0;
	part.n = 0;
	for (int32 k = over->first; k < over->n;)
	{
		int64		change = PG_INT32_MAX;
		Run		   *run = &over->runs[over->n_runs++];

		move_window(over, w, a, since, k, &part, &first);
		part.max_per_day = 0;
		run->first = k;
		run->found = measure(w, &part, first, &run->measured);
		if (part.n < a->n)
			change = over->signal_hours[part.n];
		if (w->within != 0 && first < part.n)
			change = Min(change, (int64) over->signal_hours[first] + w->within);
		for (k++; k < over->n && over->hours[k] < change && (since == NULL || since[k] == since[k - 1]); k++)
			;
	}
}

/* The figure of any weight or condition at each instant, and whether it has one. */
static void
measure_each(OverTime *over, const Weight *w, const Activity *a)
{
	const int32 *since = w->since ? over->last_hours + (w->since - over->card->groups) * over->n : NULL;
	Activity	part = *a;
	int32		first = 0;

	part.n = 0;
	for (int32 k = over->first; k < over->n; k++)
	{
		move_window(over, w, a, since, k, &part, &first);
		part.hour = over->hours[k];
		part.max_per_day = 0;
		for (int32 i = first; i < part.n; i++)
			over->card->ages[i] = part.hour - over->signal_hours[i];
		over->found[k] = measure(w, &part, first, &over->measured[k]);
	}
}

/* Add the points of a linear weight to n totals. */
static pg_noinline void
add_linear(double *restrict totals, const double *restrict measured, const Weight *w, int32 n)
{
	const double points = w->points;
	const double low = w->min_points;
	const double high = w->max_points;

	for (int32 k = 0; k < n; k++)
		totals[k] += clamp(points * measured[k], low, high);
}

/* Book a weight's points from an instant on: in its category's part, or directly in the total. */
static void
book_from(OverTime *over, int32 index, int32 first)
{
	const Weight *w = &over->card->weights[index];
	double	   *total = w->part >= 0 ? over->parts + (Size) w->part * over->n : over->engagement;

	if (w->linear)
		add_linear(total + first, over->measured + first, w, over->n - first);
	else
		for (int32 k = first; k < over->n; k++)
			total[k] += clamp(worth(w, over->measured[k]), w->min_points, w->max_points);
	if (w->has_if_none)
		memset(over->happened + (Size) index * over->n + first, true, over->n - first);
}

/* The same for a weight that was measured in runs. */
static void
book_runs(OverTime *over, int32 index)
{
	const Weight *w = &over->card->weights[index];
	double	   *total = w->part >= 0 ? over->parts + (Size) w->part * over->n : over->engagement;

	for (int32 i = 0; i < over->n_runs; i++)
	{
		const Run  *run = &over->runs[i];
		int32		end = i + 1 < over->n_runs ? run[1].first : over->n;
		double		points = run->found ? clamp(worth(w, run->measured), w->min_points, w->max_points) : 0;

		for (int32 k = run->first; points != 0 && k < end; k++)
			total[k] += points;
		if (w->has_if_none)
			memset(over->happened + (Size) index * over->n + run->first, run->found, end - run->first);
	}
}

/* The same, at the instants where the weight measured something. */
static void
book_found(OverTime *over, int32 index)
{
	const Weight *w = &over->card->weights[index];
	double	   *total = w->part >= 0 ? over->parts + (Size) w->part * over->n : over->engagement;

	for (int32 k = over->first; k < over->n; k++)
		if (over->found[k])
			total[k] += clamp(worth(w, over->measured[k]), w->min_points, w->max_points);
	if (w->has_if_none)
		memcpy(over->happened + (Size) index * over->n + over->first, over->found + over->first, over->n - over->first);
}

/* ---------- one signal ---------- */

/* Unpack the reader's signal up to the last instant; false if it has no such hours. */
static bool
read_signal(OverTime *over, TimelineReader *reader, const SignalWeights *group, Activity *activity)
{
	Scorecard  *card = over->card;
	int32		hour = over->hours[over->n - 1];
	int32		n = unpack_signal(card, reader, hour, hour, group->needs_values);

	*activity = (Activity) {
		.n = n,
		.hour = hour,
		.ages = card->ages,
		.occurrences = card->occurrences,
		.values = card->values,
		.card = card,
		.days_from = 0			/* found here, while ages are of the last instant */
	};
	if (group->needs_days)
		days_of_hours(card->days, hour, card->ages, n, card->day_numbers);
	if (activity->n > over->capacity)
	{
		if (over->signal_hours)
			pfree(over->signal_hours);
		over->capacity = card->scratch_capacity;
		over->signal_hours = MemoryContextAllocHuge(over->context, over->capacity * sizeof(int32));
	}
	for (int32 i = 0; i < activity->n; i++)
		over->signal_hours[i] = hour - card->ages[i];
	return activity->n > 0;
}

static void
appraise_indexes(OverTime *over, const Indexes *weights, const Activity *activity)
{
	for (int32 i = 0; i < weights->n; i++)
	{
		int32		index = weights->items[i];
		const Weight *w = &over->card->weights[index];

		CHECK_FOR_INTERRUPTS();
		if (adds_all(w))
			book_from(over, index, measure_sum(over, w, activity));
		else if (is_ageless(w))
		{
			if (!w->same_figure)
				measure_runs(over, w, activity);
			book_runs(over, index);
		}
		else
		{
			if (!w->same_figure)
				measure_each(over, w, activity);
			book_found(over, index);
		}
	}
}

/* Record the last hour of the signal at each instant, for the weights that count from it. */
static void
note_last_hours(OverTime *over, const SignalWeights *group, const Activity *activity)
{
	int32	   *last_hours = over->last_hours + (group - over->card->groups) * over->n;
	int32		n = 0;

	for (int32 k = over->first; k < over->n; k++)
	{
		while (n < activity->n && over->signal_hours[n] <= over->hours[k])
			n++;
		last_hours[k] = n == 0 ? NO_HOUR : over->signal_hours[n - 1];
	}
}

static void
check_conditions_over_time(OverTime *over, const SignalWeights *group, const Activity *activity)
{
	for (int32 i = 0; i < group->conditions.n; i++)
	{
		int32		index = group->conditions.items[i];
		const Weight *condition = &over->card->conditions[index];
		bool	   *holds = over->conditions + (Size) index * over->n;

		CHECK_FOR_INTERRUPTS();
		measure_each(over, condition, activity);
		for (int32 k = over->first; k < over->n; k++)
			holds[k] = over->found[k] && condition_holds(condition, over->measured[k]);
	}
}

/* ---------- one lead ---------- */

/* Clear the figures of the instants at which the lead exists. */
static void
clear_lead(OverTime *over)
{
	Scorecard  *card = over->card;
	Size		n = over->n;
	Size		length = over->n - over->first;

	memset(over->engagement + over->first, 0, length * sizeof(double));
	for (int32 i = 0; i < card->nparts; i++)
		memset(over->parts + i * n + over->first, 0, length * sizeof(double));
	for (int32 i = 0; i < card->nconditions; i++)
		memset(over->conditions + i * n + over->first, false, length);
	for (int32 i = 0; i < card->absences.n; i++)
		memset(over->happened + card->absences.items[i] * n + over->first, false, length);
	for (int32 i = 0; over->last_hours && i < card->ngroups; i++)
		for (Size k = over->first; card->groups[i].is_start && k < n; k++)
			over->last_hours[i * n + k] = NO_HOUR;
}

static void
walk_timeline(OverTime *over, const struct varlena *timeline)
{
	Scorecard  *card = over->card;
	TimelineReader reader;
	Activity	activity;

	card->nlater = 0;
	read_padded(card, &reader, timeline);
	while (padded_next_signal(&reader))
	{
		SignalWeights *group = group_of_signal(card, reader.signal_id);

		if (group == NULL)
		{
			(void) skip_signal(&reader, NO_HOUR);
			continue;
		}
		if (group->later.n > 0)
		{
			group->reader = reader;
			card->later[card->nlater++] = group;
		}
		if (!read_signal(over, &reader, group, &activity))
			continue;
		if (group->is_start)
			note_last_hours(over, group, &activity);
		appraise_indexes(over, &group->weights, &activity);
		check_conditions_over_time(over, group, &activity);
	}
	for (int32 i = 0; i < card->nlater; i++)
		if (read_signal(over, &card->later[i]->reader, card->later[i], &activity))
			appraise_indexes(over, &card->later[i]->later, &activity);
	scratch_release(card);
	if (over->capacity > MOST_HOURS)
	{
		pfree(over->signal_hours);
		over->signal_hours = NULL;
		over->capacity = 0;
	}
}

/* Book a profile, which is the same at every instant. Returns its points that belong to no category. */
static double
walk_profile(OverTime *over, Jsonb *profile)
{
	Scorecard  *card = over->card;
	Appraisal	once;

	appraise_begin(card, &once);
	appraise_profile(card, profile, &once, NULL);
	for (int32 i = 0; i < card->nparts; i++)
		for (int32 k = over->first; card->parts[i].profile && k < over->n; k++)
			over->parts[(Size) i * over->n + k] = card->totals[i];
	for (int32 i = 0; i < card->nconditions; i++)
		if (condition_noted(card, i))
			memset(over->conditions + (Size) i * over->n + over->first, true, over->n - over->first);
	return card->totals[card->nparts + 1];
}

/* Collect the results of the walk at one instant, as appraise_end() expects them. */
static void
finish_instant(OverTime *over, int32 k, double fit)
{
	Scorecard  *card = over->card;
	Appraisal  *appraisal = &over->appraisals[k];

	appraise_begin(card, appraisal);
	for (int32 i = 0; i < card->nparts; i++)
		card->totals[i] = over->parts[(Size) i * over->n + k];
	card->totals[card->nparts] = over->engagement[k];
	card->totals[card->nparts + 1] = fit;
	for (int32 i = 0; i < card->nconditions; i++)
		note_condition(card, i, over->conditions[(Size) i * over->n + k]);
	for (int32 i = 0; i < card->absences.n; i++)
		if (over->happened[(Size) card->absences.items[i] * over->n + k])
			card->weights[card->absences.items[i]].happened = card->turn;
	appraise_end(card, appraisal, NULL);
}

/* Add a category's part to n totals. */
static pg_noinline void
add_part(double *restrict totals, const double *restrict sums, const CategoryPart *part, int32 n)
{
	const double low = part->min_points;
	const double high = part->max_points;

	for (int32 k = 0; k < n; k++)
		totals[k] += clamp(sums[k], low, high);
}

/* The same at all instants, for a model without rules and without weights that are worth something in absence. */
static void
finish_plain(OverTime *over, double fit)
{
	Scorecard  *card = over->card;

	for (int32 i = 0; i < card->nparts; i++)
	{
		const CategoryPart *part = &card->parts[i];

		if (part->profile)
			fit += clamp(card->totals[i], part->min_points, part->max_points);
		else
			add_part(over->engagement + over->first, over->parts + (Size) i * over->n + over->first, part, over->n - over->first);
	}
	for (int32 k = over->first; k < over->n; k++)
	{
		Appraisal  *appraisal = &over->appraisals[k];

		appraisal->engagement = over->engagement[k];
		appraisal->fit = fit;
		appraisal->score = clamp(appraisal->engagement + fit, card->floor, card->ceiling);
		appraisal->rules = 0;
	}
}

int32
over_time_lead(OverTime *over, const struct varlena *timeline, Jsonb *profile)
{
	double		fit;

	over->first = 0;
	if (timeline && !timeline_is_empty(timeline))
	{
		TimelineReader reader;

		timeline_read(&reader, timeline);
		over->first = first_instant(over, reader.base);
		if (over->first == over->n)
			return over->n;
	}
	clear_lead(over);
	if (timeline)
		walk_timeline(over, timeline);
	fit = walk_profile(over, profile);
	if (over->card->nrules == 0 && over->card->absences.n == 0)
		finish_plain(over, fit);
	else
		for (int32 k = over->first; k < over->n; k++)
			finish_instant(over, k, fit);
	return over->first;
}
