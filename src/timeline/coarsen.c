/*
 * coarsen.c: timelines that keep old hours by the day.
 *
 * coarsen() maps each hour before a given day to the first hour of its own day, in
 * UTC or in a time zone. It maps hours only, so it is a homomorphism of timelines:
 * coarsen(a + b) = coarsen(a) + coarsen(b). Mapping events as they are counted
 * (signal_set_hour()) therefore gives the same result as mapping their sum later.
 * Coarsening to an earlier day and then to a later one is the same as coarsening to
 * the later one.
 */
#include "timeline/local_day.h"
#include "timeline/timeline.h"

#include "common/int.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(coarsen);

/* Add an entry to another one of the same signal and day. */
static void
add_to_day(TimelineEntry *day, const TimelineEntry *e)
{
	if (pg_add_s64_overflow(day->occurrences, e->occurrences, &day->occurrences) ||
		pg_add_s64_overflow(day->value, e->value, &day->value))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("timeline day out of range"),
				 errdetail("The occurrences or the value of signal %d in the day of %s do not fit into 64 bits (values count in millionths).",
						   day->signal_id, timestamptz_to_str(instant_of(day->hour))),
				 errhint("Record the value in a larger unit, such as thousands.")));
}

/* The days of the time zone that an argument names, cached in fn_extra. */
typedef struct NamedDays
{
	char	   *name;
	LocalDays  *days;
} NamedDays;

static LocalDays *
days_argument(FunctionCallInfo fcinfo, int argument)
{
	NamedDays  *named = fcinfo->flinfo->fn_extra;
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(argument));
	MemoryContext old;

	if (named && strcmp(named->name, name) == 0)
		return named->days;
	old = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
	named = palloc(sizeof(NamedDays));
	*named = (NamedDays) {pstrdup(name), local_days(name)};
	MemoryContextSwitchTo(old);
	fcinfo->flinfo->fn_extra = named;
	return named->days;
}

/* coarsen(timeline, before [, time_zone]): keep the hours before the day of an instant by the day */
Datum
coarsen(PG_FUNCTION_ARGS)
{
	struct varlena *timeline = PG_GETARG_TIMELINE(0);
	int32		before = hour_of(PG_GETARG_TIMESTAMPTZ(1));
	LocalDays  *days = PG_NARGS() > 2 ? days_argument(fcinfo, 2) : NULL;
	TimelineReader reader;
	TimelineEntry *entries;
	uint32		n;
	uint32		kept = 0;

	before = before < 0 ? 0 : day_start_of_hour(days, before);
	timeline_read(&reader, timeline);
	if (timeline_is_empty(timeline) || reader.base >= before)
		PG_RETURN_POINTER(timeline);

	n = timeline_decode(timeline, &entries);
	for (uint32 i = 0; i < n; i++)
	{
		TimelineEntry e = entries[i];
		TimelineEntry *last = kept > 0 ? &entries[kept - 1] : NULL;

		e.hour = coarse_hour(days, e.hour, before);
		if (last && last->signal_id == e.signal_id && last->hour == e.hour)
		{
			add_to_day(last, &e);
			continue;
		}
		if (last && last->occurrences == 0 && last->value == 0)
			kept--;				/* the day's sums are zero */
		entries[kept++] = e;
	}
	if (entries[kept - 1].occurrences == 0 && entries[kept - 1].value == 0)
		kept--;
	PG_RETURN_POINTER(timeline_encode(entries, kept));
}
