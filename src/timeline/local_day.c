/*
 * local_day.c: the days of a time zone.
 */
#include "timeline/local_day.h"

#include <ctype.h>

#include "utils/builtins.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(is_time_zone);
PG_FUNCTION_INFO_V1(day_start);

/* 2100-01-01: from then on, each call looks up the zone. */
#define LAST_SECOND INT64CONST(4102444800)

const Stretch utc_stretch = {0, PG_INT32_MAX, 0, 0};

/* Whether a name is a POSIX time zone rule, such as EST5EDT, and not the name of a zone's file. */
static bool
is_posix_rule(pg_tz *zone)
{
	static const char *const files[] = {"CST6CDT", "EST5EDT", "GMT+0", "GMT-0", "GMT0", "MST7MDT", "PST8PDT"};
	const char *name = pg_get_timezone_name(zone);

	for (int i = 0; i < (int) lengthof(files); i++)
		if (strcmp(name, files[i]) == 0)
			return false;
	/* the server writes such a rule in upper case; file names with digits also have lower case letters */
	for (const char *c = name; *c; c++)
		if (islower((unsigned char) *c))
			return false;
	return strpbrk(name, "0123456789") != NULL;
}

/* Why a name is not a time zone; NULL if it is one. */
const char *
time_zone_fault(const char *name)
{
	pg_tz	   *zone = pg_tzset(name);

	if (zone == NULL || is_posix_rule(zone))
		return "There is no such time zone.";
	if (!pg_tz_acceptable(zone))
		return "The time zone has leap seconds.";
	return NULL;
}

/* Add a stretch; hours are rounded down. */
static void
add_stretch(LocalDays *days, int32 from, int32 until, int32 offset)
{
	days->stretches[days->n++] = (Stretch) {from, until, offset, (offset + SECS_PER_DAY) / SECS_PER_HOUR - HOURS_A_DAY};
}

/* The days of a time zone, in the current memory context; an error if there is no such zone. */
LocalDays *
local_days(const char *name)
{
	LocalDays  *days = palloc0(sizeof(LocalDays));
	const char *fault = time_zone_fault(name);
	pg_time_t	at = 0;
	int32		from = 0;
	int			capacity = 16;

	if (fault)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("time_zone is unknown"),
				 errdetail("It is \"%s\". %s", name, fault),
				 errhint("Pass a name from pg_timezone_names, such as 'Europe/Berlin'.")));
	days->zone = pg_tzset(name);
	days->stretches = palloc(capacity * sizeof(Stretch));
	for (;;)
	{
		pg_time_t	boundary;
		long		offset;
		long		offset_after;
		int			is_dst;
		int			is_dst_after;
		int			found = pg_next_dst_boundary(&at, &offset, &is_dst, &boundary, &offset_after, &is_dst_after, days->zone);

		if (found < 0)
			elog(ERROR, "could not read the rules of time zone \"%s\"", name);
		if (days->n == capacity)
		{
			capacity *= 2;
			days->stretches = repalloc(days->stretches, capacity * sizeof(Stretch));
		}
		if (found == 0 || boundary >= LAST_SECOND)
		{
			add_stretch(days, from, found == 0 ? PG_INT32_MAX : LAST_SECOND / SECS_PER_HOUR, (int32) offset);
			return days;
		}
		at = boundary;
		add_stretch(days, from, (int32) ((at + SECS_PER_HOUR - 1) / SECS_PER_HOUR), (int32) offset);
		from = days->stretches[days->n - 1].until;
	}
}

/* local_offset() outside the stretch that was used last: the right one is usually a neighbour. */
int32
local_offset_elsewhere(LocalDays *days, int32 hour)
{
	if (hour >= days->stretches[days->n - 1].until)
	{
		pg_time_t	second = (pg_time_t) hour * SECS_PER_HOUR;

		return (int32) pg_localtime(&second, days->zone)->tm_gmtoff;
	}
	while (hour >= days->stretches[days->last].until)
		days->last++;
	while (hour < days->stretches[days->last].from)
		days->last--;
	return days->stretches[days->last].offset;
}

/*
 * day_of_hour() for hours that lie "ages" before an hour, oldest first. An offset is looked up once for all hours
 * that have it.
 */
void
days_of_hours(LocalDays *days, int32 hour, const int32 *ages, int32 n, int32 *result)
{
	if (days == NULL)
	{
		for (int32 i = 0; i < n; i++)
			result[i] = (hour - ages[i]) / HOURS_A_DAY;
		return;
	}
	for (int32 i = 0; i < n;)
	{
		const Stretch *stretch;

		result[i] = day_of_hour(days, hour - ages[i]);
		stretch = &days->stretches[days->last];
		for (i++; i < n && hour - ages[i] < stretch->until; i++)
			result[i] = (int32) day_in_stretch(stretch, hour - ages[i]) - 1;
	}
}

/* The first hour of an hour's day. Clocks that change on that day move it by less than a day. */
int32
local_day_start(LocalDays *days, int32 hour)
{
	int32		day = day_of_hour(days, hour);
	int64		midnight = (int64) day * SECS_PER_DAY - local_offset(days, hour);
	int32		start = (int32) Max((midnight + SECS_PER_HOUR - 1) / SECS_PER_HOUR, 0);

	while (start > 0 && day_of_hour(days, start - 1) == day)
		start--;
	while (day_of_hour(days, start) < day)
		start++;
	return start;
}

/* The CHECK of columns that hold a time zone. */
Datum
is_time_zone(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(time_zone_fault(text_to_cstring(PG_GETARG_TEXT_PP(0))) == NULL);
}

/* day_start(at, time_zone): the first hour of the day of the instant's hour */
Datum
day_start(PG_FUNCTION_ARGS)
{
	TimestampTz at = PG_GETARG_TIMESTAMPTZ(0);

	if (!hour_is_valid(at))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_FIELD_OVERFLOW),
				 errmsg("instant out of range"),
				 errdetail("It is %s.", timestamptz_to_str(at)),
				 errhint("Timelines hold the years 1970 to 9999.")));
	PG_RETURN_TIMESTAMPTZ(instant_of(local_day_start(local_days(text_to_cstring(PG_GETARG_TEXT_PP(1))), hour_of(at))));
}
