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
#include "port/pg_bitutils.h"
#include "port/pg_bswap.h"
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

/*
 * ---------- reading a copy with room behind it ----------
 *
 * Most leads have a few dozen bytes, so checking for each number whether the end is near costs more
 * than a copy. The fast paths below check nothing: an hour takes two bytes at most, a number is read
 * from where the bytes end at the latest, and a signal has no more entries than bytes are left. So
 * reading never leaves PADDED_SIZE bytes, whatever they hold.
 */
#define PADDED_SIZE(length) (3 * (Size) (length) + 64)

/* Read a number of any length: up to eight bytes at once. */
static inline uint64
padded_varint(const uint8 **next, const uint8 *end)
{
	const uint8 *p = Min(*next, end);
	uint64		v;
	uint64		stops;			/* the high bits of bytes that end a number */

	memcpy(&v, p, sizeof(v));
#ifdef WORDS_BIGENDIAN
	v = pg_bswap64(v);
#endif
	stops = ~v & UINT64CONST(0x8080808080808080);
	if (unlikely(stops == 0))
	{
		v = timeline_varint(&p, end);
		*next = p;
		return v;
	}
	*next = p + (pg_rightmost_one_pos64(stops) + 1) / 8;
	v &= (stops ^ (stops - 1)) & UINT64CONST(0x7f7f7f7f7f7f7f7f);
	/* seven bits of each byte, moved together */
	v = (v & UINT64CONST(0x007f007f007f007f)) | (v & UINT64CONST(0x7f007f007f007f00)) >> 1;
	v = (v & UINT64CONST(0x00003fff00003fff)) | (v & UINT64CONST(0x3fff00003fff0000)) >> 2;
	return (v & UINT64CONST(0x000000000fffffff)) | (v & UINT64CONST(0x0fffffff00000000)) >> 4;
}

/* Start to read a copy of a timeline in "padded", which has room for PADDED_SIZE. */
static inline void
padded_read(TimelineReader *reader, uint8 *padded, const struct varlena *timeline)
{
	Size		length = VARSIZE_ANY_EXHDR(timeline);

	memcpy(padded, VARDATA_ANY(timeline), length);
	reader->next = padded + 1;	/* behind the version */
	reader->end = padded + length;
	reader->base = 0;
	if (reader->next < reader->end)
		reader->base = (int32) padded_varint(&reader->next, reader->end);
	reader->signal_id = 0;
	reader->hour = 0;
	reader->left = 0;
}

/* The next two bytes as a number, the first one lowest. */
static inline uint32
two_bytes(const uint8 *p)
{
	uint16		bytes;

	memcpy(&bytes, p, sizeof(bytes));
#ifdef WORDS_BIGENDIAN
	bytes = pg_bswap16(bytes);
#endif
	return bytes;
}

static inline bool
padded_next_signal(TimelineReader *reader)
{
	uint32		head;

	Assert(reader->left == 0);
	if (reader->next >= reader->end)
		return false;
	head = two_bytes(reader->next);
	if (likely((head & 0x8080) == 0))
	{
		reader->signal_id += head & 0x7f;
		reader->left = head >> 8;
		reader->next += 2;
	}
	else
	{
		reader->signal_id += (int32) timeline_varint(&reader->next, reader->end);
		reader->left = (uint32) timeline_varint(&reader->next, reader->end);
	}
	reader->hour = reader->base;
	reader->left = Min(reader->left, (uint32) (reader->end - reader->next));
	return true;
}

/* Read how far the next hour is from the one before it, and which numbers follow: 2, occurrences; 1, a value. */
static inline int32
padded_distance(const uint8 **next, const uint8 *end, uint32 *numbers)
{
	uint32		bytes = two_bytes(*next);
	uint64		token;

	*numbers = bytes & 3;
	if (likely((bytes & 0x8080) != 0x8080))
	{
		/* one byte about as often as two, so without a branch: see timeline_next_entry() */
		uint32		two = bytes >> 7 & 1;

		*next += 1 + two;
		return (int32) ((bytes >> 2 & 0x1f) + (bytes >> 3 & 0xfe0) * two);
	}
	token = timeline_varint(next, end);
	return (int32) (token >> 2);
}

/* Read a number that follows an hour. */
static inline int64
padded_number(const uint8 **next, const uint8 *end)
{
	return timeline_unzigzag(padded_varint(next, end));
}

/* Read the next entry of the reader's signal, of which some are left. */
static inline void
padded_next_entry(TimelineReader *reader, int64 *occurrences, int64 *value)
{
	uint32		numbers;

	reader->left--;
	reader->hour += padded_distance(&reader->next, reader->end, &numbers);
	*occurrences = 1;
	*value = 0;
	if (numbers)
	{
		if (numbers & 2)
			*occurrences = padded_number(&reader->next, reader->end);
		if (numbers & 1)
			*value = padded_number(&reader->next, reader->end);
	}
}

#endif							/* LEADSCORE_TIMELINE_H */
