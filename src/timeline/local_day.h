/*
 * local_day.h: the days of a time zone.
 *
 * An hour belongs to the day on which it begins. So in a zone with an offset of
 * half an hour, the hour around midnight counts for the day that ends in it.
 */
#ifndef LEADSCORE_LOCAL_DAY_H
#define LEADSCORE_LOCAL_DAY_H

#include "timeline/timeline.h"

#include "pgtime.h"

/* A range of hours with the same offset from UTC. */
typedef struct Stretch
{
	int32		from;			/* the first hour */
	int32		until;			/* the first hour after the range */
	int32		offset;			/* seconds east of UTC */
	int32		hours;			/* the same in hours, rounded down */
} Stretch;

/* A time zone: its stretches from 1970 to 2100, and the index of the one that was used last. */
typedef struct LocalDays
{
	pg_tz	   *zone;
	int32		n;
	int32		last;
	Stretch    *stretches;
} LocalDays;

extern const Stretch utc_stretch;

extern LocalDays *local_days(const char *zone);
extern int32 local_offset_elsewhere(LocalDays *days, int32 hour);
extern const char *time_zone_fault(const char *name);
extern int32 local_day_start(LocalDays *days, int32 hour);
extern void days_of_hours(LocalDays *days, int32 hour, const int32 *ages, int32 n, int32 *result);

/* The zone's seconds east of UTC at the start of an hour (>= 0). Hours come in order, most in the same stretch. */
static inline int32
local_offset(LocalDays *days, int32 hour)
{
	const Stretch *last = &days->stretches[days->last];

	return hour >= last->from && hour < last->until ? last->offset : local_offset_elsewhere(days, hour);
}

/* The stretch of an hour; NULL days: UTC. Hours from local_days_until() on are in none. */
static inline const Stretch *
stretch_of_hour(LocalDays *days, int32 hour)
{
	if (days == NULL)
		return &utc_stretch;
	(void) local_offset(days, hour);
	return &days->stretches[days->last];
}

static inline int32
local_days_until(const LocalDays *days)
{
	return days == NULL ? PG_INT32_MAX : days->stretches[days->n - 1].until;
}

/* The day of an hour in a stretch, one more than day_of_hour(): the first hours of 1970 may be on the day before. */
static inline uint32
day_in_stretch(const Stretch *stretch, int32 hour)
{
	return (uint32) (hour + stretch->hours + HOURS_A_DAY) / HOURS_A_DAY;
}

/* The number of days from 1970-01-01 to an hour's day; NULL days: in UTC. */
static inline int32
day_of_hour(LocalDays *days, int32 hour)
{
	int64		second;

	if (days == NULL)
		return hour / HOURS_A_DAY;
	second = (int64) hour * SECS_PER_HOUR + local_offset(days, hour);
	/* the first hours of 1970 may be on the day before */
	return second < 0 ? -1 : (int32) (second / SECS_PER_DAY);
}

/* The first hour of an hour's day; NULL days: in UTC. */
static inline int32
day_start_of_hour(LocalDays *days, int32 hour)
{
	return days == NULL ? hour - hour % HOURS_A_DAY : local_day_start(days, hour);
}

/*
 * The hour under which an hour is stored if hours before "before" are kept by the
 * day: the first hour of its day. "before" begins a day, or is not above 0.
 */
static inline int32
coarse_hour(LocalDays *days, int32 hour, int32 before)
{
	return hour < before ? day_start_of_hour(days, hour) : hour;
}

#endif							/* LEADSCORE_LOCAL_DAY_H */
