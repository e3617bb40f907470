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
 */
#ifndef LEADSCORE_ADD_UP_H
#define LEADSCORE_ADD_UP_H

#include "model/appraise.h"

/*
 * Read the hours of a signal up to "known", whose group is added up, and set what its weights measure
 * at "hour". The factor tables reach from hour - known for "ages" hours. Returns the last known hour,
 * or NO_HOUR if there is none.
 */
static inline int32
add_up(const SignalWeights *group, TimelineReader *reader, int32 hour, int32 known, uint32 ages, double *figures)
{
	const uint8 *next = reader->next;
	uint32		before = known - reader->base;	/* hours before "known" */
	uint32		last = PG_UINT32_MAX;
	const double *factors_a = group->factors[0] + (hour - known);
	const double *factors_b = group->factors[1] + (hour - known);
	const double *factors_c = group->factors[2] + (hour - known);
	const double *factors_v = group->factors[FIGURE_VALUE] + (hour - known);
	double		a = 0;
	double		b = 0;
	double		c = 0;
	double		v = 0;

	for (uint32 left = reader->left; left > 0; left--)
	{
		uint32		numbers;

		before -= padded_distance(&next, reader->end, &numbers);
		if (numbers == 0)
		{
			if (unlikely(before >= ages))	/* it is later */
				continue;
			a += factors_a[before];
			b += factors_b[before];
			c += factors_c[before];
		}
		else
		{
			double		occurrences = numbers & 2 ? (double) padded_number(&next, reader->end) : 1;
			double		value = numbers & 1 ? (double) padded_number(&next, reader->end) / MILLIONTHS : 0;

			if (unlikely(before >= ages))
				continue;
			a += occurrences * factors_a[before];
			b += occurrences * factors_b[before];
			c += occurrences * factors_c[before];
			v += value * factors_v[before];
		}
		last = before;
	}
	reader->next = next;
	reader->left = 0;
	figures[0] = a;
	figures[1] = b;
	figures[2] = c;
	figures[FIGURE_VALUE] = v;
	return last == PG_UINT32_MAX ? NO_HOUR : known - (int32) last;
}

/* The same, where the tables do not reach back to all hours. */
extern int32 add_up_slowly(const SignalWeights *group, TimelineReader *reader, int32 hour, int32 known, double *figures);

#endif							/* LEADSCORE_ADD_UP_H */
