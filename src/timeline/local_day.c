/*
 * local_day.c: the days of a time zone.
 */
#include "timeline/local_day.h"

#include <ctype.h>

/* 2100-01-01: from then on the zone is asked each time. */
#define LAST_SECOND INT64CONST(4102444800)

/* Whether a name is a rule of its own in the form of POSIX, such as EST5EDT, and not the name of a zone's file. */
static bool
is_posix_rule(pg_tz *zone)
{
	static const char *const files[] = {"CST6CDT", "EST5EDT", "GMT+0", "GMT-0", "GMT0", "MST7MDT", "PST8PDT"};
	const char *name = pg_get_timezone_name(zone);

	for (int i = 0; i < (int) lengthof(files); i++)
		if (strcmp(name, files[i]) == 0)
			return false;
	/* the server writes such a rule in capitals; names of files that have digits have small letters, too */
	for (const char *c = name; *c; c++)
		if (islower((unsigned char) *c))
			return false;
	return strpbrk(name, "0123456789") != NULL;
}

/* Why a name is no time zone, or NULL. */
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

/* The days of a time zone that there is, in the current memory context. */
LocalDays *
local_days(const char *name)
{
	LocalDays  *days = palloc0(sizeof(LocalDays));
	pg_time_t	at = 0;
	int			capacity = 16;

	days->zone = pg_tzset(name);
	if (days->zone == NULL)
		elog(ERROR, "there is no time zone \"%s\"", name);
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
			days->stretches[days->n++] = (Stretch) {found == 0 ? PG_INT32_MAX : LAST_SECOND / SECS_PER_HOUR, (int32) offset};
			return days;
		}
		days->stretches[days->n++] = (Stretch) {(int32) ((boundary + SECS_PER_HOUR - 1) / SECS_PER_HOUR), (int32) offset};
		at = boundary;
	}
}

/* How many seconds the zone is east of UTC when an hour (>= 0) begins. */
int32
local_offset(LocalDays *days, int32 hour)
{
	int32		low = 0;
	int32		high = days->n - 1;

	/* hours come in order, and most in the same stretch */
	if (hour < days->stretches[days->last].until && (days->last == 0 || hour >= days->stretches[days->last - 1].until))
		return days->stretches[days->last].offset;
	if (hour >= days->stretches[high].until)
	{
		pg_time_t	second = (pg_time_t) hour * SECS_PER_HOUR;

		return (int32) pg_localtime(&second, days->zone)->tm_gmtoff;
	}
	while (low < high)
	{
		int32		middle = low + (high - low) / 2;

		if (hour >= days->stretches[middle].until)
			low = middle + 1;
		else
			high = middle;
	}
	days->last = low;
	return days->stretches[low].offset;
}
