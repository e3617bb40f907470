/*
 * cause.c: why a lead has changed its segment.
 */
#include "act/cause.h"

#include "timeline/timeline.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

static const char *const cause_names[N_CAUSES] = {"identity", "model", "event", "load", "time", "profile", "watch"};

const char *
cause_name(Cause cause)
{
	return cause_names[cause];
}

Cause
cause_named(const char *name)
{
	for (Cause cause = 0; cause < N_CAUSES; cause++)
		if (strcmp(cause_names[cause], name) == 0)
			return cause;
	elog(ERROR, "unknown cause \"%s\"", name);
}

int
causes_of(Datum names)
{
	Datum	   *values;
	int			n;
	int			causes = 0;

	deconstruct_array(DatumGetArrayTypeP(names), TEXTOID, -1, false, TYPALIGN_INT, &values, NULL, &n);
	for (int i = 0; i < n; i++)
		causes |= 1 << cause_named(TextDatumGetCString(values[i]));
	return causes;
}

Cause
cause_of_delta(const struct varlena *delta)
{
	TimelineReader reader;
	int32		newest = PG_INT32_MIN;

	timeline_read(&reader, delta);
	while (timeline_next_signal(&reader))
		while (reader.left > 0)
		{
			int64		occurrences;
			int64		value;

			timeline_next_entry(&reader, &occurrences, &value);
			newest = Max(newest, reader.hour);
		}
	return newest < hour_of(GetCurrentTimestamp()) - HOURS_A_DAY ? CAUSE_LOAD : CAUSE_EVENT;
}
