/*
 * wide_sum.h: exact sums of 64-bit integers whose total may need more bits: counts, and money in
 * millionths.
 */
#ifndef LEADSCORE_WIDE_SUM_H
#define LEADSCORE_WIDE_SUM_H

#include "compat.h"

#include "common/int.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#define MONEY_SCALE 6

typedef struct WideSum
{
	int32		scale;			/* decimals of the numbers: 0 or MONEY_SCALE */
	int32		decimals;		/* of the total, the same as sum() returns */
	int64		low;
	Numeric		high;			/* NULL: 0 */
} WideSum;

/* The number of decimals of an amount in millionths. */
static inline int32
decimals_of(int64 millionths)
{
	int32		decimals = MONEY_SCALE;

	while (decimals > 0 && millionths % 10 == 0)
	{
		millionths /= 10;
		decimals--;
	}
	return decimals;
}

static inline Numeric
wide_sum(const WideSum *sum)
{
	Numeric		low = int64_div_fast_to_numeric(sum->low, sum->scale);

	return sum->high == NULL ? low :
		DatumGetNumeric(DirectFunctionCall2(numeric_add, NumericGetDatum(sum->high), NumericGetDatum(low)));
}

/* If the sum needs more than 64 bits, the rest is kept in the current memory context. */
static inline void
wide_add(WideSum *sum, int64 number)
{
	int64		total;

	if (unlikely(pg_add_s64_overflow(sum->low, number, &total)))
	{
		sum->high = wide_sum(sum);
		total = number;
	}
	sum->low = total;
	if (sum->scale > 0 && sum->decimals < MONEY_SCALE && number != 0)
		sum->decimals = Max(sum->decimals, decimals_of(number));
}

static inline Datum
wide_total(const WideSum *sum)
{
	return DirectFunctionCall2(numeric_round, NumericGetDatum(wide_sum(sum)), Int32GetDatum(sum->decimals));
}

#endif							/* LEADSCORE_WIDE_SUM_H */
