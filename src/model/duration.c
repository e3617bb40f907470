/*
 * duration.c: intervals counted in whole hours, such as half-lives and windows.
 * All checks of them are here.
 *
 * PostgreSQL reads a number without a unit as seconds. Nobody means that here,
 * where hours are rounded up: "14" would be one hour.
 */
#include "model/duration.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/builtins.h"

/* The longest: 31,688 years. */
#define MAX_SECONDS 1e12

/* A number without a unit leaves only seconds; above this many, it was hardly meant as days. */
#define MOST_DAYS 366

PG_FUNCTION_INFO_V1(check_duration);
PG_FUNCTION_INFO_V1(duration_hours);

/* An interval in seconds, counting a month as 30 days and a year as 365.25 days, like extract(epoch). */
double
interval_seconds(const Interval *interval)
{
	return (interval->month / MONTHS_PER_YEAR) * (DAYS_PER_YEAR * SECS_PER_DAY) +
		(interval->month % MONTHS_PER_YEAR) * (double) DAYS_PER_MONTH * SECS_PER_DAY +
		interval->day * (double) SECS_PER_DAY + interval->time / (double) USECS_PER_SEC;
}

/* The hours of a valid duration, rounded up. */
int32
hours_of_interval(const Interval *interval)
{
	return (int32) ceil(interval_seconds(interval) / SECS_PER_HOUR);
}

/* An interval in words that do not depend on IntervalStyle. */
char *
interval_words(const Interval *interval)
{
	int			style = IntervalStyle;
	char	   *words = NULL;

	IntervalStyle = INTSTYLE_POSTGRES;
	PG_TRY();
	{
		words = DatumGetCString(DirectFunctionCall1(interval_out, IntervalPGetDatum(interval)));
	}
	PG_FINALLY();
	{
		IntervalStyle = style;
	}
	PG_END_TRY();
	return words;
}

/*
 * The fault of a duration, as the end of a sentence, or NULL. Sets the hint
 * if there is a better one than the caller's.
 */
const char *
duration_fault(const Interval *interval, bool is_bare_number, const char **hint)
{
	double		seconds = interval_seconds(interval);

	if (!(seconds > 0))
		return "is not above zero";
	if (seconds > MAX_SECONDS)
		return "is too long";
	if (seconds >= SECS_PER_HOUR)
		return NULL;
	*hint = is_bare_number ?
		psprintf("%g is %g second%s: did you mean %g day%s?", seconds, seconds, seconds == 1 ? "" : "s", seconds, seconds == 1 ? "" : "s") :
		"Durations are counted in whole hours: write \"1 hour\" or more.";
	return "is under an hour";
}

/* Raise an error for an invalid duration; its name and the usual hint are arguments 0 and 2. */
static void
check(FunctionCallInfo fcinfo, int code)
{
	const Interval *interval = PG_GETARG_INTERVAL_P(1);
	double		seconds = interval_seconds(interval);
	const char *hint = text_to_cstring(PG_GETARG_TEXT_PP(2));
	const char *fault = duration_fault(interval, seconds == floor(seconds) && seconds <= MOST_DAYS, &hint);

	if (fault)
		ereport(ERROR,
				(errcode(code),
				 errmsg("%s %s", text_to_cstring(PG_GETARG_TEXT_PP(0)), fault),
				 errdetail("The value is %s.", interval_words(interval)),
				 errhint("%s", hint)));
}

/* check_duration(what, duration, hint): true, for CHECK constraints, or an error. */
Datum
check_duration(PG_FUNCTION_ARGS)
{
	check(fcinfo, ERRCODE_CHECK_VIOLATION);
	PG_RETURN_BOOL(true);
}

/* duration_hours(what, duration, hint): the hours of an argument, rounded up, or an error. */
Datum
duration_hours(PG_FUNCTION_ARGS)
{
	check(fcinfo, ERRCODE_INVALID_PARAMETER_VALUE);
	PG_RETURN_INT32(hours_of_interval(PG_GETARG_INTERVAL_P(1)));
}
