/*
 * measure.h: what one weight measures in the hours of a signal, and what that is worth.
 *
 * It is a header so that scoring at one instant (appraise.c) and at many (over_time.c) inline the
 * same code into their loops and cannot disagree.
 */
#ifndef LEADSCORE_MEASURE_H
#define LEADSCORE_MEASURE_H

#include "model/appraise.h"

#include <math.h>

/* The hours of one signal up to the instant, oldest first: the scorecard's scratch arrays. */
typedef struct Activity
{
	int32		n;
	int32		hour;			/* of the instant */
	const int32 *ages;			/* hours, descending, all >= 0 */
	const double *occurrences;
	const double *values;
	const Scorecard *card;
	int32		days_from;		/* the first hour whose day has been found */
	int32		max_per_day;	/* "counted" holds what counts of "occurrences" from hour "from" on; 0: nothing */
	int32		from;
	const double *counted;
} Activity;

/* Start to read a timeline. */
extern void read_padded(Scorecard *card, TimelineReader *reader, const struct varlena *timeline);

/* Room for the hours of one signal; scratch_release() frees it after an unusually long one. */
extern void scratch_enlarge(Scorecard *card, uint32 n);
extern void scratch_release(Scorecard *card);

/* The first hour that is younger than an age: a binary search without a branch but for its length. */
static inline int32
first_younger(const Activity *a, int32 age)
{
	int32		first = 0;

	for (int32 left = a->n; left > 0;)
	{
		int32		half = (left + 1) / 2;

		first += half & -(int32) (a->ages[first + half - 1] >= age);
		left -= half;
	}
	return first;
}

/* The first hour within a window; 0: all are. */
static inline int32
first_within(const Activity *a, int32 within)
{
	return within == 0 ? 0 : first_younger(a, within);
}

/* The first hour that a weight measures: after the last hour of another signal, and within its window. */
static inline int32
first_since(const Weight *w, const Activity *a, uint64 turn)
{
	int32		within = w->within == 0 ? PG_INT32_MAX : w->within;
	int32		since = w->since->seen == turn ? a->hour - w->since->last_hour : PG_INT32_MAX;

	/* (most often all hours) */
	within = Min(within, since);
	return within > a->ages[0] ? 0 : first_younger(a, within);
}

/* The days of the hours from "first" on, found once. */
static inline const int32 *
days_of(Activity *a, int32 first)
{
	int32	   *days = a->card->day_numbers;

	if (first < a->days_from)
	{
		days_of_hours(a->card->days, a->hour, a->ages + first, a->days_from - first, days + first);
		a->days_from = first;
	}
	return days;
}

/* The occurrences from hour "first" on, at most so many per day. Two weights often have the same limit. */
static inline const double *
count_limited(Activity *a, int32 first, int32 max_per_day)
{
	double		all = 0;
	int32		day = PG_INT32_MIN;
	double		left[2] = {0, max_per_day}; /* on the same day, on a new one */
	const int32 *days;
	double	   *limited;

	if (a->max_per_day == max_per_day && a->from == first)
		return a->counted;
	a->max_per_day = max_per_day;
	a->from = first;
	for (int32 i = first; i < a->n; i++)
		all += Max(a->occurrences[i], 0);
	if (all <= max_per_day)
		return a->counted = a->occurrences;

	days = days_of(a, first);
	limited = a->card->limited;
	for (int32 i = first; i < a->n; i++)
	{
		/* (whether a day is a new one cannot be predicted) */
		double		left_today = left[days[i] != day];

		limited[i] = Min(a->occurrences[i], left_today);
		left[0] = left_today - limited[i];
		day = days[i];
	}
	return a->counted = limited;
}

/* The occurrences from hour "first" on, decayed, with at most max_per_day per day. */
static pg_attribute_always_inline double
measure_count(const Weight *w, Activity *a, int32 first)
{
	const double *occurrences = w->max_per_day == 0 ? a->occurrences : count_limited(a, first, w->max_per_day);
	double		sum = 0;

	if (w->decay == NULL)
		for (int32 i = first; i < a->n; i++)
			sum += occurrences[i];
	else
		for (int32 i = first; i < a->n; i++)
			sum += occurrences[i] * decay_factor(w->decay, a->ages[i]);
	return sum;
}

static inline double
measure_value(const Weight *w, const Activity *a, int32 first)
{
	double		sum = 0;

	if (w->decay == NULL)
		for (int32 i = first; i < a->n; i++)
			sum += a->values[i];
	else
		for (int32 i = first; i < a->n; i++)
			sum += a->values[i] * decay_factor(w->decay, a->ages[i]);
	return sum;
}

static inline double
measure_active_days(Activity *a, int32 first)
{
	const int32 *days = days_of(a, first);
	int32		active = 1;

	for (int32 i = first + 1; i < a->n; i++)
		active += days[i] != days[i - 1];
	return active;
}

/* What a weight measures from hour "first" on; false if there is none. */
static pg_attribute_always_inline bool
measure(const Weight *w, Activity *a, int32 first, double *measured)
{
	double		value;
	double		occurrences;

	if (first == a->n)
		return false;

	/* (most are, and a jump by table is hard to predict) */
	if (likely(w->measure == MEASURE_COUNT))
	{
		*measured = measure_count(w, a, first);
		return true;
	}
	switch (w->measure)
	{
		case MEASURE_VALUE:
			*measured = measure_value(w, a, first);
			return true;
		case MEASURE_AVERAGE_VALUE:
			value = occurrences = 0;
			for (int32 i = first; i < a->n; i++)
			{
				value += a->values[i];
				occurrences += a->occurrences[i];
			}
			if (occurrences == 0)
				return false;
			*measured = value / occurrences;
			return true;
		case MEASURE_ACTIVE_DAYS:
			*measured = measure_active_days(a, first);
			return true;
		case MEASURE_DAYS_SINCE_LAST:
			*measured = a->ages[a->n - 1] / (double) HOURS_A_DAY;
			return true;
		case MEASURE_DAYS_SINCE_FIRST:
			*measured = a->ages[first] / (double) HOURS_A_DAY;
			return true;
		case MEASURE_COUNT:
		case MEASURE_PRESENT:
			break;
	}
	return false;
}

/* The points for a measured figure, before the weight's own limits. */
static inline double
worth(const Weight *w, double measured)
{
	if (w->linear)
		return w->points * measured;
	if (w->banded)
		return measured >= w->at_least && measured < w->below ? w->points : 0;
	return w->points * log1p(Max(0.0, measured));
}

static inline double
clamp(double x, double low, double high)
{
	x = low > x ? low : x;		/* compiled to maximum and minimum instructions, */
	return high < x ? high : x; /* without a branch */
}

/* Whether a measured figure lies in a condition's band. */
static inline bool
condition_holds(const Weight *condition, double measured)
{
	return measured >= condition->at_least && measured < condition->below;
}

/* Unpack the known hours of the reader's signal, with values if needed, into the scratch arrays; returns how many. */
static inline int32
unpack_signal(Scorecard *card, TimelineReader *reader, int32 hour, int32 known, bool needs_values)
{
	TimelineReader r = *reader; /* stays in registers, whatever is stored below */
	int32	   *ages;
	double	   *occurrences;
	double	   *values;
	int32		n = 0;

	if (unlikely(r.left > (uint32) card->scratch_capacity))
		scratch_enlarge(card, r.left);
	ages = card->ages;
	occurrences = card->occurrences;
	values = card->values;
	while (r.left > 0)
	{
		int64		o;
		int64		v;

		padded_next_entry(&r, &o, &v);
		/* later hours are written too, but not kept */
		ages[n] = hour - r.hour;
		occurrences[n] = (double) o;
		if (needs_values)
			values[n] = (double) v / MILLIONTHS;
		n += r.hour <= known;
	}
	*reader = r;
	return n;
}

/* Skip the reader's signal; returns its last hour that is not after "hour", or NO_HOUR. */
static inline int32
skip_signal(TimelineReader *reader, int32 hour)
{
	int32		last = NO_HOUR;

	while (reader->left > 0)
	{
		int64		occurrences;
		int64		value;

		padded_next_entry(reader, &occurrences, &value);
		if (reader->hour <= hour)
			last = reader->hour;
	}
	return last;
}

/* The weights of a signal, or NULL. */
static inline SignalWeights *
group_of_signal(const Scorecard *card, int32 signal_id)
{
	int32		low = 0;
	int32		high = card->ngroups;

	if (likely(signal_id < card->nsignal_ids))
		return card->group_of[signal_id];
	while (low < high)
	{
		int32		middle = low + (high - low) / 2;

		if (card->groups[middle].signal_id < signal_id)
			low = middle + 1;
		else
			high = middle;
	}
	return low < card->ngroups && card->groups[low].signal_id == signal_id ? &card->groups[low] : NULL;
}

#endif							/* LEADSCORE_MEASURE_H */
