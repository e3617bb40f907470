/*
 * timeline.c: the bytes of a timeline: reading, writing, adding, building.
 */
#include "timeline/timeline.h"

#include "common/int.h"
#include "mb/pg_wchar.h"
#include "port/pg_bitutils.h"
#include "utils/timestamp.h"

#define MICROSECONDS_AN_HOUR INT64CONST(3600000000)
#define HOURS_TO_2000 ((POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * HOURS_A_DAY)

/* The most bytes that an entry can take, with a signal's head before it. */
#define MAX_ENTRY_BYTES (5 + 5 + 5 + 10 + 10)
#define MAX_HEAD_BYTES (VARHDRSZ + 1 + 5)

#define BUILDER_HEAD offsetof(TimelineBuilder, entries)
#define BUILDER_START 64
/* Smaller builders are enlarged without checking whether sorting would make room. */
#define COMPACT_FROM 42
#define MAX_CAPACITY ((1U << 30) - 1)

StaticAssertDecl(sizeof(TimelineEntry) == 24, "an entry is packed without holes");
StaticAssertDecl(BUILDER_HEAD + 2 * sizeof(TimelineEntry) == BUILDER_START,
				 "a new builder holds two entries in 64 bytes");

/* A copy of at most so many bytes of a text, not cut within a character. */
char *
excerpt(const char *text, int length, int limit)
{
	return pnstrdup(text, pg_mbcliplen(text, length, limit));
}

int
int32_compare(const void *a, const void *b)
{
	int32		x = *(const int32 *) a;
	int32		y = *(const int32 *) b;

	return (x > y) - (x < y);
}

/* ---------- instants and values ---------- */

/* Whether an instant lies in the years that a timeline can hold. */
bool
hour_is_valid(TimestampTz instant)
{
	return !TIMESTAMP_NOT_FINITE(instant) &&
		instant >= -HOURS_TO_2000 * MICROSECONDS_AN_HOUR &&
		instant < (TIMELINE_MAX_HOUR + 1 - HOURS_TO_2000) * MICROSECONDS_AN_HOUR;
}

/*
 * The UTC hour of an instant, clamped to int32 so that any instant is allowed,
 * infinite ones too.
 */
int32
hour_of(TimestampTz instant)
{
	int64		hour = instant / MICROSECONDS_AN_HOUR;

	if (instant % MICROSECONDS_AN_HOUR < 0)
		hour--;
	hour += HOURS_TO_2000;
	if (hour < PG_INT32_MIN / 2)
		return PG_INT32_MIN / 2;
	if (hour > PG_INT32_MAX / 2)
		return PG_INT32_MAX / 2;
	return (int32) hour;
}

/* The instant at which an hour begins. */
TimestampTz
instant_of(int32 hour)
{
	return ((int64) hour - HOURS_TO_2000) * MICROSECONDS_AN_HOUR;
}

/*
 * A numeric in millionths, rounded half away from zero as numeric rounds;
 * false for NaN, an infinity, or an absolute value of 10^12 or more.
 *
 * Reads the on-disk form of numeric, which pg_upgrade has kept since 9.1:
 * base-10000 digits after a header of one or two 16-bit words. Converting
 * through text would cost more than all other work on an event.
 */
bool
numeric_to_millionths(Numeric value, int64 *millionths)
{
	const char *data = VARDATA_ANY(value);
	Size		length = VARSIZE_ANY_EXHDR(value);
	uint16		header;
	int16		weight;
	bool		negative;
	int			ndigits;
	int64		sum = 0;

	memcpy(&header, data, sizeof(header));
	if ((header & 0xC000) == 0xC000)	/* NaN, infinities */
		return false;
	if (header & 0x8000)		/* short form */
	{
		negative = (header & 0x2000) != 0;
		weight = (header & 0x0040) ? (int16) ((header & 0x003F) | ~0x003F) : (int16) (header & 0x003F);
		data += sizeof(uint16);
		length -= sizeof(uint16);
	}
	else
	{
		negative = (header & 0xC000) == 0x4000;
		memcpy(&weight, data + sizeof(uint16), sizeof(weight));
		data += 2 * sizeof(uint16);
		length -= 2 * sizeof(uint16);
	}
	ndigits = length / sizeof(int16);

	if (ndigits > 0 && weight > 2)
		return false;			/* the first digit is not 0: 10^12 or more */

	for (int i = 0; i < ndigits; i++)
	{
		int			place = weight - i; /* this digit counts 10000^place */
		int16		digit;

		memcpy(&digit, data + i * sizeof(int16), sizeof(digit));
		if (place == 2)
			sum += digit * (INT64CONST(100000000) * MILLIONTHS);
		else if (place == 1)
			sum += digit * (INT64CONST(10000) * MILLIONTHS);
		else if (place == 0)
			sum += digit * MILLIONTHS;
		else if (place == -1)
			sum += digit * INT64CONST(100);
		else if (place == -2)
			sum += digit / 100 + (digit % 100 >= 50 ? 1 : 0);
		else
			break;
	}
	*millionths = negative ? -sum : sum;
	return true;
}

/* ---------- writing ---------- */

static inline uint64
zigzag(int64 v)
{
	return ((uint64) v << 1) ^ (uint64) (v >> 63);
}

static inline uint8 *
put_varint(uint8 *p, uint64 v)
{
	while (v >= 0x80)
	{
		*p++ = (uint8) (v | 0x80);
		v >>= 7;
	}
	*p++ = (uint8) v;
	return p;
}

/* Write an entry that is "distance" hours after the previous one, or after base. */
static inline uint8 *
put_entry(uint8 *p, const TimelineEntry *e, int32 distance)
{
	p = put_varint(p, (uint64) distance << 2 | (e->occurrences != 1 ? 2 : 0) | (e->value != 0 ? 1 : 0));
	if (e->occurrences != 1)
		p = put_varint(p, zigzag(e->occurrences));
	if (e->value != 0)
		p = put_varint(p, zigzag(e->value));
	return p;
}

/* The timeline of entries that are in order, distinct and not zero. */
struct varlena *
timeline_encode(const TimelineEntry *entries, uint32 n)
{
	Size		bound = MAX_HEAD_BYTES + (Size) n * MAX_ENTRY_BYTES;
	struct varlena *result;
	uint8	   *p;
	Size		size;
	int32		base = PG_INT32_MAX;

	if (bound > MaxAllocSize)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("timeline is too large"),
				 errdetail("It would have %u entries.", n)));

	for (uint32 i = 0; i < n; i++)
		base = Min(base, entries[i].hour);

	result = palloc(bound);
	p = (uint8 *) VARDATA(result);
	*p++ = TIMELINE_VERSION;
	if (n > 0)
		p = put_varint(p, base);

	for (uint32 first = 0, end; first < n; first = end)
	{
		int32		signal_id = entries[first].signal_id;
		int32		hour = base;

		CHECK_FOR_INTERRUPTS();
		for (end = first + 1; end < n && entries[end].signal_id == signal_id; end++)
			;
		p = put_varint(p, first == 0 ? signal_id : signal_id - entries[first - 1].signal_id);
		p = put_varint(p, end - first);
		for (uint32 i = first; i < end; i++)
		{
			const TimelineEntry *e = &entries[i];

			Assert(e->occurrences != 0 || e->value != 0);
			Assert(i == first ? e->hour >= hour : e->hour > hour);
			p = put_entry(p, e, e->hour - hour);
			hour = e->hour;
		}
	}

	size = p - (uint8 *) result;
	Assert(size <= bound);
	SET_VARSIZE(result, size);
	Assert(timeline_fault((uint8 *) VARDATA(result), size - VARHDRSZ) == NULL);
	return bound > 2 * size + 1024 ? repalloc(result, size) : result;
}

/* ---------- reading ---------- */

/* Read a varint from unchecked bytes; false if it is cut short, too long or not minimal. */
static bool
untrusted_varint(const uint8 **next, const uint8 *end, uint64 limit, uint64 *result)
{
	const uint8 *p = *next;
	uint64		v = 0;

	for (int shift = 0; shift < 64; shift += 7)
	{
		uint8		byte;

		if (p >= end)
			return false;
		byte = *p++;
		if (shift == 63 && byte > 1)
			return false;
		v |= (uint64) (byte & 0x7f) << shift;
		if (byte < 0x80)
		{
			*next = p;
			*result = v;
			return (byte != 0 || shift == 0) && v <= limit;
		}
	}
	return false;
}

/*
 * Check bytes that claim to be a timeline; trusts nothing. Returns the fault, or
 * NULL if there is none: the bytes are then canonical and safe to read.
 */
const char *
timeline_fault(const uint8 *bytes, Size length)
{
	const uint8 *p = bytes;
	const uint8 *end = bytes + length;
	uint64		base;
	uint64		signal_id = 0;
	bool		first_signal = true;
	bool		base_seen = false;

	if (length == 0)
		return "There is no version byte.";
	if (*p++ != TIMELINE_VERSION)
		return "The version is unknown.";
	if (p == end)
		return NULL;
	if (!untrusted_varint(&p, end, TIMELINE_MAX_HOUR, &base))
		return "The first hour is cut short or out of range.";
	if (p == end)
		return "There is a first hour, but no signal.";

	while (p < end)
	{
		uint64		step;
		uint64		count;
		uint64		hour = base;

		CHECK_FOR_INTERRUPTS();
		if (!untrusted_varint(&p, end, PG_INT32_MAX, &step) ||
			(!first_signal && step == 0) ||
			(signal_id += step) > PG_INT32_MAX)
			return "A signal is cut short, out of range or out of order.";
		first_signal = false;
		if (!untrusted_varint(&p, end, PG_UINT32_MAX, &count) || count == 0)
			return "A signal's number of entries is cut short or zero.";

		for (uint64 i = 0; i < count; i++)
		{
			uint64		token;
			uint64		occurrences = zigzag(1);
			uint64		value = 0;

			if (!untrusted_varint(&p, end, PG_UINT64_MAX, &token) ||
				token >> 2 > TIMELINE_MAX_HOUR ||
				(i > 0 && token >> 2 == 0) ||
				(hour += token >> 2) > TIMELINE_MAX_HOUR)
				return "An hour is cut short, out of range or out of order.";
			if ((token & 2) &&
				(!untrusted_varint(&p, end, PG_UINT64_MAX, &occurrences) || occurrences == zigzag(1)))
				return "Occurrences are cut short or not in the shortest form.";
			if ((token & 1) &&
				(!untrusted_varint(&p, end, PG_UINT64_MAX, &value) || value == 0))
				return "A value is cut short or not in the shortest form.";
			if (occurrences == 0 && value == 0)
				return "An entry has neither occurrences nor a value.";
			if (hour == base)
				base_seen = true;
		}
	}
	return base_seen ? NULL : "No entry lies in the first hour.";
}

/* All entries of a timeline, in order. */
uint32
timeline_decode(const struct varlena *timeline, TimelineEntry **entries)
{
	TimelineReader reader;
	uint32		n = 0;
	uint32		capacity = 0;

	*entries = NULL;
	timeline_read(&reader, timeline);
	while (timeline_next_signal(&reader))
	{
		CHECK_FOR_INTERRUPTS();
		if (n + reader.left > capacity)
		{
			capacity = Max(capacity * 2, n + reader.left + 8);
			*entries = *entries ?
				repalloc_huge(*entries, capacity * sizeof(TimelineEntry)) :
				palloc_extended(capacity * sizeof(TimelineEntry), MCXT_ALLOC_HUGE);
		}
		while (reader.left > 0)
		{
			TimelineEntry *e = &(*entries)[n++];

			timeline_next_entry(&reader, &e->occurrences, &e->value);
			e->signal_id = reader.signal_id;
			e->hour = reader.hour;
		}
	}
	return n;
}

bool
timeline_is_empty(const struct varlena *timeline)
{
	return VARSIZE_ANY_EXHDR(timeline) <= 1;
}

/* ---------- adding ---------- */

/*
 * Add sign times (occurrences, value) to an entry; false if it cannot hold the
 * sum, which then wraps around: it is exact modulo 2^64, in any order of additions.
 */
static inline bool
entry_add(TimelineEntry *e, int64 occurrences, int64 value, int sign)
{
	TimelineEntry sum;
	bool		overflows = sign >= 0
		? (pg_add_s64_overflow(e->occurrences, occurrences, &sum.occurrences) ||
		   pg_add_s64_overflow(e->value, value, &sum.value))
		: (pg_sub_s64_overflow(e->occurrences, occurrences, &sum.occurrences) ||
		   pg_sub_s64_overflow(e->value, value, &sum.value));

	e->occurrences = (int64) ((uint64) e->occurrences + (sign >= 0 ? (uint64) occurrences : -(uint64) occurrences));
	e->value = (int64) ((uint64) e->value + (sign >= 0 ? (uint64) value : -(uint64) value));
	return !overflows;
}

/* Report that an hour cannot hold a sum: an error, unless it may wrap around. */
static void
overflow(const TimelineEntry *e, bool *overflowed)
{
	if (overflowed == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("timeline hour out of range"),
				 errdetail("The occurrences or the value of signal %d in the hour of %s do not fit into 64 bits (values count in millionths).",
						   e->signal_id, timestamptz_to_str(instant_of(e->hour))),
				 errhint("Record the value in a larger unit, such as thousands.")));
	*overflowed = true;
}

static void
builder_overflow(TimelineBuilder *builder, const TimelineEntry *e)
{
	bool		noted;

	overflow(e, builder->lenient ? &noted : NULL);
	builder->overflowed = true;
}

/* Signal, then hour, as one number: ordering takes a single comparison. */
static inline uint64
entry_key(const TimelineEntry *e)
{
	return (uint64) (uint32) e->signal_id << 32 | (uint32) e->hour;
}

static inline int
entry_compare(const TimelineEntry *a, const TimelineEntry *b)
{
	uint64		x = entry_key(a);
	uint64		y = entry_key(b);

	return (x > y) - (x < y);
}

#define ST_SORT sort_entries
#define ST_ELEMENT_TYPE TimelineEntry
#define ST_COMPARE(a, b) entry_compare(a, b)
#define ST_SCOPE static
#define ST_CHECK_FOR_INTERRUPTS
#define ST_DEFINE
#include "lib/sort_template.h"

/* The entries of a signal that a sum keeps: their number, their bytes, and the hour of the last one. */
typedef struct KeptEntries
{
	uint32		n;
	const uint8 *from;
	const uint8 *to;
	int32		hour;
} KeptEntries;

/* Pass over the entries of the reader's signal. Its hour is not read. */
static inline void
skip_entries(TimelineReader *reader)
{
	const uint8 *p = reader->next;

	for (; reader->left > 0; reader->left--)
	{
		/* an hour alone takes one byte about as often as two, so without a branch: see timeline_next_entry() */
		if (likely(reader->end - p >= 2 && (p[0] & p[1] & 0x80) == 0 && (p[0] & 3) == 0))
			p += 1 + (p[0] >> 7);
		else
			for (int numbers = 1 + (p[0] & 1) + (p[0] >> 1 & 1); numbers > 0; p++)
				numbers -= *p < 0x80;
	}
	reader->next = p;
}

/*
 * Read all entries of a signal. "first" is the first of the new entries (NULL:
 * there are none). If the last old entry has the same hour, it is added to "first"
 * instead of being kept. False if the last old entry is later than "first", or if
 * the sum of the two is zero or overflows.
 */
static inline bool
keep_entries(TimelineReader *reader, TimelineEntry *first, KeptEntries *kept)
{
	int64		occurrences = 0;
	int64		value = 0;

	kept->n = reader->left;
	if (first == NULL)
		skip_entries(reader);
	while (reader->left > 0)
	{
		kept->to = reader->next;
		kept->hour = reader->hour;
		timeline_next_entry(reader, &occurrences, &value);
	}
	if (first && first->hour < reader->hour)
		return false;
	if (first && first->hour == reader->hour)
	{
		kept->n--;
		return entry_add(first, occurrences, value, 1) && (first->occurrences != 0 || first->value != 0);
	}
	kept->to = reader->next;
	kept->hour = reader->hour;
	return true;
}

/*
 * a + b if no signal has an hour in b before its last hour in a, as is the case for
 * events that have just happened: the entries of a are then copied as bytes. NULL
 * otherwise, or if a sum is zero or overflows.
 */
static struct varlena *
append_entries(const struct varlena *a, const TimelineEntry *b, uint32 nb)
{
	TimelineReader reader;
	struct varlena *result;
	uint8	   *p;
	int32		previous = 0;	/* signal */
	uint32		j = 0;
	bool		more;

	timeline_read(&reader, a);
	for (uint32 i = 0; i < nb; i++)
		if (b[i].hour < reader.base)
			return NULL;
	more = timeline_next_signal(&reader);
	if (!more)
		return NULL;

	result = palloc(VARSIZE_ANY(a) + VARHDRSZ + MAX_HEAD_BYTES + (Size) nb * MAX_ENTRY_BYTES);
	p = (uint8 *) VARDATA(result);
	*p++ = TIMELINE_VERSION;
	p = put_varint(p, reader.base);
	while (more || j < nb)
	{
		bool		in_a = more && (j == nb || reader.signal_id <= b[j].signal_id);
		int32		signal_id = in_a ? reader.signal_id : b[j].signal_id;
		uint32		end = j;	/* of the signal's entries in b */
		KeptEntries kept = {0, reader.next, reader.next, reader.base};	/* of its entries in a */
		TimelineEntry first = {0};	/* of the new ones */

		CHECK_FOR_INTERRUPTS();

		if (j < nb && b[j].signal_id == signal_id)
			first = b[j];
		while (end < nb && b[end].signal_id == signal_id)
			end++;
		if (in_a && !keep_entries(&reader, j < end ? &first : NULL, &kept))
			return NULL;

		p = put_varint(p, signal_id - previous);
		previous = signal_id;
		p = put_varint(p, kept.n + (end - j));
		memcpy(p, kept.from, kept.to - kept.from);
		p += kept.to - kept.from;
		for (const TimelineEntry *e = &first; j < end; e = &b[j])
		{
			p = put_entry(p, e, e->hour - kept.hour);
			kept.hour = e->hour;
			j++;
		}
		if (in_a)
			more = timeline_next_signal(&reader);
		if (more && j == nb)	/* the rest of a is unchanged, except this signal's distance to the previous one */
		{
			p = put_varint(p, reader.signal_id - previous);
			p = put_varint(p, reader.left);
			memcpy(p, reader.next, reader.end - reader.next);
			p += reader.end - reader.next;
			break;
		}
	}
	SET_VARSIZE(result, p - (uint8 *) result);
	Assert(timeline_fault((uint8 *) VARDATA(result), VARSIZE(result) - VARHDRSZ) == NULL);
	return result;
}

/*
 * a + sign * b. An hour that overflows is an error; if the caller passes a place
 * to note it, it is noted there instead, and the hour wraps around.
 */
struct varlena *
timeline_combine(const struct varlena *a, const struct varlena *b, int sign, bool *overflowed)
{
	TimelineEntry *ea;
	TimelineEntry *eb;
	TimelineEntry *sum;
	uint32		na;
	uint32		nb = timeline_decode(b, &eb);
	uint32		n = 0;

	if (sign > 0)
	{
		struct varlena *appended = append_entries(a, eb, nb);

		if (appended)
			return appended;
	}
	na = timeline_decode(a, &ea);
	sum = palloc_extended(((Size) na + nb + 1) * sizeof(TimelineEntry), MCXT_ALLOC_HUGE);
	for (uint32 i = 0, j = 0; i < na || j < nb;)
	{
		int			order = i >= na ? 1 : j >= nb ? -1 : entry_compare(&ea[i], &eb[j]);
		TimelineEntry *e = &sum[n];

		if (order <= 0)
			*e = ea[i++];
		else
		{
			*e = eb[j];
			e->occurrences = 0;
			e->value = 0;
		}
		if (order >= 0)
		{
			if (!entry_add(e, eb[j].occurrences, eb[j].value, sign))
				overflow(&eb[j], overflowed);
			j++;
		}
		if (e->occurrences != 0 || e->value != 0)
			n++;
	}
	return timeline_encode(sum, n);
}

/* ---------- building ---------- */

/* Create an empty builder in a memory context. */
TimelineBuilder *
timeline_builder_create(MemoryContext context)
{
	TimelineBuilder *builder = MemoryContextAlloc(context, BUILDER_START);

	builder->n = 0;
	builder->capacity = (BUILDER_START - BUILDER_HEAD) / sizeof(TimelineEntry);
	builder->lenient = builder->overflowed = false;
	builder->inputs = 0;
	return builder;
}

/*
 * Limits of distribute_entries(): signal_ids below the first, and at most so many entries. A copy of as many as the
 * last says lies on the stack.
 */
#define DISTRIBUTED_SIGNALS 128
#define DISTRIBUTED_ENTRIES 16384
#define DISTRIBUTED_ON_STACK 256

/*
 * Sort entries by distributing them to their signals, if the hours of each signal ascend.
 * They do if a lead's events came in the order of time, also if some of them have been
 * put in order before. False, and unsorted, if they do not or the entries exceed the
 * limits.
 */
static bool
distribute_entries(TimelineEntry *entries, uint32 n)
{
	TimelineEntry on_stack[DISTRIBUTED_ON_STACK];
	TimelineEntry *copy = on_stack;
	uint32		place[DISTRIBUTED_SIGNALS] = {0};
	int32		hour[DISTRIBUTED_SIGNALS];	/* the last one of a signal that has a place */
	uint32		next = 0;

	if (n > DISTRIBUTED_ENTRIES)
		return false;
	for (uint32 i = 0; i < n; i++)
	{
		uint32		signal_id = entries[i].signal_id;

		if (signal_id >= DISTRIBUTED_SIGNALS || (place[signal_id] > 0 && entries[i].hour < hour[signal_id]))
			return false;
		place[signal_id]++;
		hour[signal_id] = entries[i].hour;
	}
	for (int i = 0; i < DISTRIBUTED_SIGNALS; i++)
	{
		uint32		count = place[i];

		place[i] = next;
		next += count;
	}
	if (n > DISTRIBUTED_ON_STACK)
		copy = palloc(n * sizeof(TimelineEntry));
	for (uint32 i = 0; i < n; i++)
		copy[place[entries[i].signal_id]++] = entries[i];
	memcpy(entries, copy, n * sizeof(TimelineEntry));
	if (copy != on_stack)
		pfree(copy);
	return true;
}

/* Put the entries in order, one for each hour of a signal, none of them zero. */
void
timeline_builder_compact(TimelineBuilder *builder)
{
	TimelineEntry *entries = builder->entries;
	uint32		n = builder->n;
	uint32		kept = 0;
	bool		sorted = true;

	for (uint32 i = 1; i < n && sorted; i++)
		sorted = entry_compare(&entries[i - 1], &entries[i]) <= 0;
	if (!sorted && !distribute_entries(entries, n))
		sort_entries(entries, n);

	for (uint32 i = 0; i < n;)
	{
		TimelineEntry e = entries[i++];

		if (i % 65536 == 0)
			CHECK_FOR_INTERRUPTS();
		while (i < n && entry_compare(&e, &entries[i]) == 0)
		{
			if (!entry_add(&e, entries[i].occurrences, entries[i].value, 1))
				builder_overflow(builder, &e);
			i++;
		}
		if (e.occurrences != 0 || e.value != 0)
			entries[kept++] = e;
	}
	builder->n = kept;
}

/* Add to one hour of one signal. Returns the builder, which may have moved. */
TimelineBuilder *
timeline_builder_add(TimelineBuilder *builder, int32 signal_id, int32 hour,
					 int64 occurrences, int64 value)
{
	TimelineEntry *e;

	if (builder->n > 0)
	{
		e = &builder->entries[builder->n - 1];
		if (e->signal_id == signal_id && e->hour == hour)
		{
			if (!entry_add(e, occurrences, value, 1))
				builder_overflow(builder, e);
			return builder;
		}
	}

	if (builder->n == (uint32) builder->capacity)
	{
		if ((uint32) builder->capacity >= COMPACT_FROM)
			timeline_builder_compact(builder);
		if (builder->n > (uint32) builder->capacity / 4 * 3)
		{
			/* a power of two bytes, as the allocator rounds up to one */
			Size		size = 2 * pg_nextpower2_size_t(BUILDER_HEAD + (Size) builder->capacity * sizeof(TimelineEntry));

			builder = repalloc_huge(builder, size);
			builder->capacity = (uint32) Min((size - BUILDER_HEAD) / sizeof(TimelineEntry), MAX_CAPACITY);
		}
	}

	e = &builder->entries[builder->n++];
	e->signal_id = signal_id;
	e->hour = hour;
	e->occurrences = occurrences;
	e->value = value;
	return builder;
}

/* Add an entry, sign times. */
static inline TimelineBuilder *
builder_add_entry(TimelineBuilder *builder, const TimelineEntry *entry, int sign)
{
	TimelineEntry e = {.signal_id = entry->signal_id, .hour = entry->hour};

	if (!entry_add(&e, entry->occurrences, entry->value, sign))
		builder_overflow(builder, &e);
	return timeline_builder_add(builder, e.signal_id, e.hour, e.occurrences, e.value);
}

/* Add sign times the entries of another builder. Returns the builder, which may have moved. */
TimelineBuilder *
timeline_builder_add_builder(TimelineBuilder *builder, const TimelineBuilder *other, int sign)
{
	CHECK_FOR_INTERRUPTS();
	for (uint32 i = 0; i < other->n; i++)
		builder = builder_add_entry(builder, &other->entries[i], sign);
	return builder;
}

/* Add sign times a timeline. Returns the builder, which may have moved. */
TimelineBuilder *
timeline_builder_add_timeline(TimelineBuilder *builder, const struct varlena *timeline, int sign)
{
	TimelineReader reader;

	timeline_read(&reader, timeline);
	while (timeline_next_signal(&reader))
	{
		CHECK_FOR_INTERRUPTS();
		while (reader.left > 0)
		{
			TimelineEntry e = {0};

			timeline_next_entry(&reader, &e.occurrences, &e.value);
			e.signal_id = reader.signal_id;
			e.hour = reader.hour;
			builder = builder_add_entry(builder, &e, sign);
		}
	}
	return builder;
}
