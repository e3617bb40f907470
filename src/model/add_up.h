/*
 * add_up.h: adds up what the weights of a signal measure while its hours are read.
 *
 * Most weights are sums of occurrences or values with a factor by age: decay, a window, or both.
 * All sums of a signal take one walk over its bytes, and each hour one look-up for each sum. They
 * are the same to the bit as sums of unpacked hours (measure.h): the same products are added in
 * the same order, and a zero for each hour outside a window.
 *
 * Most signals of a lead have few hours, so the main cost is the mispredicted end of a loop. Here
 * one loop does the work of all weights, and is the same for all signals: it always adds three
 * counts, and a value if the hour has one. (A sum that no weight asks for has another's factors.)
 * A second loop serves the signals of which something is counted by the day.
 */
#ifndef LEADSCORE_ADD_UP_H
#define LEADSCORE_ADD_UP_H

#include "model/appraise.h"

/* Which hours are added up, and how. */
typedef struct Walk
{
	int32		hour;			/* of the instant */
	int32		known;			/* the last hour */
	uint32		ages;			/* the factor tables reach from hour - known for so many hours */
	bool		covered;		/* they reach all hours of the timeline, and so do the time zone's stretches */
} Walk;

/* What is counted by the day, hour by hour. */
typedef struct DayCounts
{
	uint32		day;			/* of the hour before */
	double		left[2];		/* how many occurrences count: on the same day, on a new one */
	int32		active;			/* days in their window */
} DayCounts;

static inline DayCounts
day_counts_begin(const SignalWeights *group)
{
	return (DayCounts) {PG_UINT32_MAX, {group->max_per_day, group->max_per_day}, 0};
}

/*
 * Count an hour; returns how many of its occurrences are within the limit. An hour before a window counts nothing, so
 * that the first one in it begins a day. (Whether a day is a new one cannot be predicted, so there is no branch on it.)
 */
static inline double
count_by_day(DayCounts *counts, uint32 day, double occurrences, bool limited, bool active)
{
	bool		is_new = day != counts->day;
	int32		days = Max(counts->active + is_new, 1);
	double		left_today = counts->left[is_new];
	double		within = 0;

	if (limited)				/* (after it has been once, it always is) */
		within = Min(occurrences, left_today);
	counts->left[0] = left_today - within;
	counts->active = active ? days : 0;
	counts->day = day;
	return within;
}

/*
 * Read the rest of a signal's hours up to the last known one, and set the figures of its group, which is added up.
 * Returns the last known hour, or NO_HOUR if there is none. "by_day" is the group's, and a constant here.
 */
static pg_attribute_always_inline int32
add_up_hours(const Scorecard *card, const SignalWeights *group, TimelineReader *reader, const Walk *walk, bool by_day, double *figures)
{
	const uint8 *next = reader->next;
	uint32		before = walk->known - reader->hour; /* hours before the last known one */
	uint32		last = PG_UINT32_MAX;
	int32		lag = walk->hour - walk->known;
	const double *factors_a = group->factors[FIGURE_COUNT] + lag;
	const double *factors_b = group->factors[FIGURE_COUNT + 1] + lag;
	const double *factors_c = group->factors[FIGURE_COUNT + 2] + lag;
	const double *factors_v = group->factors[FIGURE_VALUE] + lag;
	const double *factors_d = group->factors[FIGURE_LIMITED] + lag;
	const double *factors_e = group->factors[FIGURE_LIMITED + 1] + lag;
	double		a = 0;
	double		b = 0;
	double		c = 0;
	double		v = 0;
	double		d = 0;
	double		e = 0;
	DayCounts	days = day_counts_begin(group);
	int32		limited_before = group->limited_until - lag;	/* windows, as "before" */
	int32		active_before = group->active_until - lag;
	const Stretch *stretch = by_day ? stretch_of_hour(card->days, reader->hour) : NULL;
	int32		stretch_before = by_day ? walk->known - stretch->until : 0;	/* the next one begins */

	for (uint32 left = reader->left; left > 0; left--)
	{
		double		occurrences = 1;
		uint32		numbers;

		before -= padded_distance(&next, reader->end, &numbers);
		if (numbers == 0)
		{
			if (unlikely(before >= walk->ages))	/* it is later */
				continue;
			a += factors_a[before];
			b += factors_b[before];
			c += factors_c[before];
		}
		else
		{
			double		value;

			if (numbers & 2)
				occurrences = (double) padded_number(&next, reader->end);
			value = numbers & 1 ? (double) padded_number(&next, reader->end) / MILLIONTHS : 0;
			if (unlikely(before >= walk->ages))
				continue;
			a += occurrences * factors_a[before];
			b += occurrences * factors_b[before];
			c += occurrences * factors_c[before];
			v += value * factors_v[before];
		}
		if (by_day)
		{
			double		limited;

			while (unlikely((int32) before <= stretch_before))
				stretch_before = walk->known - (++stretch)->until;
			limited = count_by_day(&days, day_in_stretch(stretch, walk->known - (int32) before), occurrences,
								   (int32) before < limited_before, (int32) before < active_before);
			d += limited * factors_d[before];
			e += limited * factors_e[before];
		}
		last = before;
	}
	reader->next = next;
	reader->left = 0;
	figures[FIGURE_COUNT] = a;
	figures[FIGURE_COUNT + 1] = b;
	figures[FIGURE_COUNT + 2] = c;
	figures[FIGURE_VALUE] = v;
	if (by_day)
	{
		figures[FIGURE_LIMITED] = d;
		figures[FIGURE_LIMITED + 1] = e;
		figures[FIGURE_ACTIVE_DAYS] = days.active;
	}
	return last == PG_UINT32_MAX ? NO_HOUR : walk->known - (int32) last;
}

#endif							/* LEADSCORE_ADD_UP_H */
