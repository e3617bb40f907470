/*
 * session_number.c: a window function that numbers sessions.
 *
 *     session_number(occurred_at, gap) OVER (PARTITION BY visitor ORDER BY occurred_at)
 *
 * A session ends where the next row of the partition is more than "gap" away.
 * Rows without a time or without a gap belong to no session and do not end one.
 */
#include "compat.h"

#include "common/int.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "windowapi.h"

PG_FUNCTION_INFO_V1(session_number);

/* What is kept of the previous rows. */
typedef struct SessionState
{
	int64		session;		/* 0: no row yet */
	TimestampTz last;
} SessionState;

/* A duration in microseconds: a month is 30 days and a year 365.25 days, as extract(epoch) counts them. */
static int64
gap_length(Interval *gap)
{
	double		length = (double) gap->time + (double) gap->day * USECS_PER_DAY +
		(double) (gap->month / MONTHS_PER_YEAR) * DAYS_PER_YEAR * USECS_PER_DAY +
		(double) (gap->month % MONTHS_PER_YEAR) * DAYS_PER_MONTH * USECS_PER_DAY;

	if (length < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the gap between sessions is negative"),
				 errdetail("It is %s.", DatumGetCString(DirectFunctionCall1(interval_out, IntervalPGetDatum(gap)))),
				 errhint("Write a duration such as 30 minutes.")));
	/* a double is exact to the microsecond up to a century; 2^63 and more count as infinite */
	return length >= (double) PG_INT64_MAX ? PG_INT64_MAX : (int64) length;
}

/* Whether two instants, in either order, are more than so many microseconds apart. */
static bool
is_apart(TimestampTz a, TimestampTz b, int64 length)
{
	int64		distance;

	return pg_sub_s64_overflow(Max(a, b), Min(a, b), &distance) || distance > length;
}

Datum
session_number(PG_FUNCTION_ARGS)
{
	WindowObject window = PG_WINDOW_OBJECT();
	SessionState *state = WinGetPartitionLocalMemory(window, sizeof(SessionState));
	bool		no_time;
	bool		no_gap;
	TimestampTz occurred_at = DatumGetTimestampTz(WinGetFuncArgCurrent(window, 0, &no_time));
	Datum		gap = WinGetFuncArgCurrent(window, 1, &no_gap);
	int64		length = no_gap ? 0 : gap_length(DatumGetIntervalP(gap));

	/* previous rows are not fetched again */
	WinSetMarkPosition(window, WinGetCurrentPosition(window));
	if (no_time || no_gap)
		PG_RETURN_NULL();
	if (state->session == 0 || is_apart(occurred_at, state->last, length))
		state->session++;
	state->last = occurred_at;
	PG_RETURN_INT64(state->session);
}
