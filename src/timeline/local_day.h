/*
 * local_day.h: the days of a time zone.
 *
 * An hour belongs to the day that it begins on. So in a zone that is half an
 * hour off, the hour around midnight counts for the day that ends in it.
 */
#ifndef LEADSCORE_LOCAL_DAY_H
#define LEADSCORE_LOCAL_DAY_H

#include "timeline/timeline.h"

#include "pgtime.h"

/* Hours with one distance to UTC. */
typedef struct Stretch
{
	int32		from;			/* the first of them */
	int32		until;			/* the first hour after them */
	int32		offset;			/* seconds east of UTC */
} Stretch;

/* A time zone: its stretches since 1970 up to a year that no lead lives in, and the one that was asked for last. */
typedef struct LocalDays
{
	pg_tz	   *zone;
	int32		n;
	int32		last;
	Stretch    *stretches;
} LocalDays;

extern LocalDays *local_days(const char *zone);
extern int32 local_offset_elsewhere(LocalDays *days, int32 hour);
extern const char *time_zone_fault(const char *name);
extern int32 local_day_start(LocalDays *days, int32 hour);

/* How many seconds the zone is east of UTC when an hour (>= 0) begins. Hours come in order, most in the same stretch. */
static inline int32
local_offset(LocalDays *days, int32 hour)
{
	const Stretch *last = &days->stretches[days->last];

	return hour >= last->from && hour < last->until ? last->offset : local_offset_elsewhere(days, hour);
}

/* The number of an hour's day since 1970-01-01; of NULL the UTC day. */
static inline int32
day_of_hour(LocalDays *days, int32 hour)
{
	int64		second;

	if (days == NULL)
		return hour / HOURS_A_DAY;
	second = (int64) hour * SECS_PER_HOUR + local_offset(days, hour);
	/* the first hours of 1970 may lie on the day before */
	return second < 0 ? -1 : (int32) (second / SECS_PER_DAY);
}

/* The first hour of an hour's day; of NULL the UTC day. */
static inline int32
day_start_of_hour(LocalDays *days, int32 hour)
{
	return days == NULL ? hour - hour % HOURS_A_DAY : local_day_start(days, hour);
}

/*
 * The hour that stands for an hour, where those before a day are kept by the
 * day: the first of its day. "before" begins a day, or is not above 0.
 */
static inline int32
coarse_hour(LocalDays *days, int32 hour, int32 before)
{
	return hour < before ? day_start_of_hour(days, hour) : hour;
}

#endif							/* LEADSCORE_LOCAL_DAY_H */
