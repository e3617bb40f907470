/*
 * timeline.h: a lead's history as one small value.
 *
 * A timeline maps signal -> UTC hour -> (occurrences, value). Its bytes are
 * canonical: equal timelines are equal byte strings, so "=" is memcmp and
 * hashing is hashing of bytes.
 *
 * Layout of the varlena's data (all integers are LEB128 varints of minimal
 * length; signed ones are zigzagged):
 *
 *     byte      version (TIMELINE_VERSION)
 *     -- an empty timeline ends here
 *     varint    base: the smallest hour of the whole timeline
 *     per signal, in ascending order of signal_id:
 *       varint    signal_id (the first signal), or its distance to the
 *                 previous signal_id (>= 1)
 *       varint    number of entries (>= 1)
 *       per entry, in ascending order of hour:
 *         varint    distance << 2 | has_occurrences << 1 | has_value
 *                   distance: to base for the first entry, else to the
 *                   previous entry (>= 1), in hours
 *         varint    occurrences, if has_occurrences (else they are 1)
 *         varint    value in millionths, if has_value (else it is 0)
 *
 * Hours count from 1970-01-01 00:00 UTC. An entry with neither occurrences
 * nor value does not exist. Both may be negative: a timeline may be a delta.
 * An entry of one occurrence without a value takes one byte if it comes less
 * than 32 hours after the one before it, and two if less than 170 days.
 */
#ifndef LEADSCORE_TIMELINE_H
#define LEADSCORE_TIMELINE_H

#include "compat.h"

#include "datatype/timestamp.h"
#include "utils/numeric.h"

#define TIMELINE_VERSION 1

#define MILLIONTHS INT64CONST(1000000)	/* of one unit of value */
#define TIMELINE_MAX_HOUR 70389527	/* 9999-12-31 23:00 UTC */
#define HOURS_A_DAY 24
#define LEAD_ID_MAX 1024		/* bytes */
#define VALUE_LIMIT INT64CONST(1000000000000)	/* upper limit of the value of one event */

/* One hour of one signal: 24 bytes. */
typedef struct TimelineEntry
{
	int32		signal_id;
	int32		hour;			/* since 1970-01-01 00:00 UTC */
	int64		occurrences;
	int64		value;			/* in millionths */
} TimelineEntry;

/*
 * An aggregate builds a timeline in this: one chunk of memory that starts at
 * 64 bytes (most leads have a handful of events) and doubles. Entries are
 * appended as they come. A full builder of a kilobyte or more is sorted and
 * merged, and enlarged only if that frees less than a quarter of it.
 */
typedef struct TimelineBuilder
{
	uint32		n;				/* entries in use */
	uint32		capacity:30;
	uint32		lenient:1;		/* an hour that overflows wraps around without an error */
	uint32		overflowed:1;	/* an hour has overflowed */
	int64		inputs;			/* timelines or events added, less those removed */
	TimelineEntry entries[FLEXIBLE_ARRAY_MEMBER];
} TimelineBuilder;

/* A cursor over the entries of a timeline. */
typedef struct TimelineReader
{
	const uint8 *next;
	const uint8 *end;
	int32		base;
	int32		signal_id;
	int32		hour;
	uint32		left;			/* entries left in this signal */
} TimelineReader;

#define DatumGetTimeline(d) ((struct varlena *) PG_DETOAST_DATUM_PACKED(d))
#define PG_GETARG_TIMELINE(n) DatumGetTimeline(PG_GETARG_DATUM(n))

/* reading */
extern const char *timeline_fault(const uint8 *bytes, Size length);
extern uint32 timeline_decode(const struct varlena *timeline, TimelineEntry **entries);

/* writing */
extern struct varlena *timeline_encode(const TimelineEntry *entries, uint32 n);
extern struct varlena *timeline_combine(const struct varlena *a, const struct varlena *b, int sign,
										bool *overflowed);
extern bool timeline_is_empty(const struct varlena *timeline);

/* building */
extern TimelineBuilder *timeline_builder_create(MemoryContext context);
extern TimelineBuilder *timeline_builder_add(TimelineBuilder *builder, int32 signal_id, int32 hour,
											 int64 occurrences, int64 value);
extern TimelineBuilder *timeline_builder_add_timeline(TimelineBuilder *builder,
													  const struct varlena *timeline, int sign);
extern TimelineBuilder *timeline_builder_add_builder(TimelineBuilder *builder, const TimelineBuilder *other, int sign);
extern void timeline_builder_compact(TimelineBuilder *builder);
extern TimelineBuilder *timeline_builder_state(FunctionCallInfo fcinfo);	/* an aggregate's state, argument 0 */
extern struct varlena *timeline_of_builder(TimelineBuilder *builder);

/* at most so many bytes of a text, for an error message */
extern char *excerpt(const char *text, int length, int limit);

/* for qsort and bsearch */
extern int	int32_compare(const void *a, const void *b);

/* instants and values */
extern int32 hour_of(TimestampTz instant);
extern TimestampTz instant_of(int32 hour);
extern bool hour_is_valid(TimestampTz instant);
extern bool numeric_to_millionths(Numeric value, int64 *millionths);

/* Read one varint; the bytes were validated when the timeline was made. */
static inline uint64
timeline_varint(const uint8 **next, const uint8 *end)
{
	const uint8 *p = *next;
	uint64		result = 0;

	/* one or two bytes are usual */
	if (likely(end - p >= 2))
	{
		if (p[0] < 0x80)
		{
			*next = p + 1;
			return p[0];
		}
		if (p[1] < 0x80)
		{
			*next = p + 2;
			return (p[0] & 0x7f) | (uint64) p[1] << 7;
		}
	}
	for (int shift = 0; p < end && shift < 64; shift += 7)
	{
		uint8		byte = *p++;

		result |= (uint64) (byte & 0x7f) << shift;
		if (byte < 0x80)
			break;
	}
	*next = p;
	return result;
}

static inline int64
timeline_unzigzag(uint64 v)
{
	return (int64) (v >> 1) ^ -(int64) (v & 1);
}

/* Start to read a timeline. */
static inline void
timeline_read(TimelineReader *reader, const struct varlena *timeline)
{
	reader->next = (const uint8 *) VARDATA_ANY(timeline);
	reader->end = reader->next + VARSIZE_ANY_EXHDR(timeline);
	reader->next++;				/* the version */
	reader->base = 0;
	if (reader->next < reader->end)
		reader->base = (int32) timeline_varint(&reader->next, reader->end);
	reader->signal_id = 0;
	reader->hour = 0;
	reader->left = 0;
}

/* Go to the next signal; all entries of the one before it must have been read. */
static inline bool
timeline_next_signal(TimelineReader *reader)
{
	Assert(reader->left == 0);
	if (reader->next >= reader->end)
		return false;
	reader->signal_id += (int32) timeline_varint(&reader->next, reader->end);
	reader->left = (uint32) timeline_varint(&reader->next, reader->end);
	reader->hour = reader->base;
	return true;
}

/*
 * Read the next entry of the reader's signal; reader->left must not be 0.
 * An hour takes one byte about as often as two. A branch on that would be
 * mispredicted, and cost more than everything else here.
 */
static inline void
timeline_next_entry(TimelineReader *reader, int64 *occurrences, int64 *value)
{
	const uint8 *p = reader->next;
	uint64		token;

	if (likely(reader->end - p >= 2 && (p[0] & p[1] & 0x80) == 0))
	{
		uint32		two = p[0] >> 7;

		token = (p[0] & 0x7f) | (uint32) (p[1] & -two) << 7;
		reader->next = p + 1 + two;
	}
	else
		token = timeline_varint(&reader->next, reader->end);

	reader->hour += (int32) (token >> 2);
	*occurrences = 1;
	*value = 0;
	if (token & 3)
	{
		if (token & 2)
			*occurrences = timeline_unzigzag(timeline_varint(&reader->next, reader->end));
		if (token & 1)
			*value = timeline_unzigzag(timeline_varint(&reader->next, reader->end));
	}
	reader->left--;
}

#endif							/* LEADSCORE_TIMELINE_H */
