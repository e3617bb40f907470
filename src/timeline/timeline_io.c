/*
 * timeline_io.c: the type timeline in SQL: text and binary form, comparison,
 * arithmetic, and its entries as rows.
 *
 * Text form, exact both ways:
 *
 *     {1: 2026-11-21T13Z 2 49.9, 2026-11-21T15Z 1; 4: 2026-11-22T00Z 1}
 *
 * that is, for each signal its id and its hours, each with its occurrences and
 * its value, if there is one.
 */
#include "timeline/timeline.h"

#include "common/hashfn.h"
#include "common/int.h"
#include "lib/stringinfo.h"
#include "libpq/pqformat.h"
#include "utils/builtins.h"
#include "utils/datetime.h"

PG_FUNCTION_INFO_V1(timeline_in);
PG_FUNCTION_INFO_V1(timeline_out);
PG_FUNCTION_INFO_V1(timeline_recv);
PG_FUNCTION_INFO_V1(timeline_send);
PG_FUNCTION_INFO_V1(timeline_eq);
PG_FUNCTION_INFO_V1(timeline_ne);
PG_FUNCTION_INFO_V1(timeline_lt);
PG_FUNCTION_INFO_V1(timeline_le);
PG_FUNCTION_INFO_V1(timeline_gt);
PG_FUNCTION_INFO_V1(timeline_ge);
PG_FUNCTION_INFO_V1(timeline_cmp);
PG_FUNCTION_INFO_V1(timeline_hash);
PG_FUNCTION_INFO_V1(timeline_hash_extended);
PG_FUNCTION_INFO_V1(timeline_add);
PG_FUNCTION_INFO_V1(timeline_subtract);
PG_FUNCTION_INFO_V1(timeline_plus);
PG_FUNCTION_INFO_V1(timeline_minus);
PG_FUNCTION_INFO_V1(timeline_entries);

/* ---------- text ---------- */

/* The position in the text, and the whole text for error messages. */
typedef struct TextCursor
{
	const char *text;
	const char *p;
} TextCursor;

pg_noreturn static void
text_fail(TextCursor *c, const char *expected)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
			 errmsg("invalid input syntax for type leadscore.timeline: \"%s\"", excerpt(c->text, strlen(c->text), 100)),
			 errdetail("Expected %s at byte %d: \"%s\".", expected, (int) (c->p - c->text) + 1,
					   excerpt(c->p, strlen(c->p), 30)),
			 errhint("A timeline looks like {1: 2026-11-21T13Z 2 49.9, 2026-11-21T15Z 1; 4: 2026-11-22T00Z 1}.")));
}

static void
skip_space(TextCursor *c)
{
	while (*c->p == ' ' || *c->p == '\t' || *c->p == '\n' || *c->p == '\r')
		c->p++;
}

static bool
take(TextCursor *c, char symbol)
{
	skip_space(c);
	if (*c->p != symbol)
		return false;
	c->p++;
	return true;
}

/* Exactly n digits, as part of an hour. */
static int
take_digits(TextCursor *c, int n)
{
	int			v = 0;

	for (; n > 0; n--, c->p++)
	{
		if (*c->p < '0' || *c->p > '9')
			text_fail(c, "an hour such as 2026-11-21T13Z");
		v = v * 10 + (*c->p - '0');
	}
	return v;
}

/* A signed number with at most the given number of decimals, scaled to an integer. */
static int64
take_number(TextCursor *c, int decimals, const char *expected)
{
	const char *start;
	bool		negative;
	int64		v = 0;
	int			places = -1;	/* decimals read, or -1 before the point */

	skip_space(c);
	start = c->p;
	negative = *c->p == '-';
	if (negative)
		c->p++;
	if (*c->p < '0' || *c->p > '9')
		text_fail(c, expected);
	for (;; c->p++)
	{
		if (*c->p == '.' && places < 0 && decimals > 0 && c->p[1] >= '0' && c->p[1] <= '9')
		{
			places = 0;
			continue;
		}
		if (*c->p < '0' || *c->p > '9')
			break;
		if (places >= 0 && ++places > decimals)
			text_fail(c, "a value with at most six decimals");
		if (pg_mul_s64_overflow(v, 10, &v) || pg_sub_s64_overflow(v, *c->p - '0', &v))
			goto overflow;
	}
	for (places = Max(places, 0); places < decimals; places++)
		if (pg_mul_s64_overflow(v, 10, &v))
			goto overflow;
	if (!negative && pg_sub_s64_overflow(0, v, &v))
		goto overflow;
	return v;

overflow:
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("timeline number out of range: \"%s\"", excerpt(start, strlen(start), 30)),
			 errdetail("Occurrences, and values in millionths, must fit into 64 bits.")));
}

/* An hour such as 2026-11-21T13Z. */
static int32
take_hour(TextCursor *c)
{
	static const int month_days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	const char *start;
	int			year;
	int			month;
	int			day;
	int			hour;

	skip_space(c);
	start = c->p;
	year = take_digits(c, 4);
	if (*c->p++ != '-')
		c->p--, text_fail(c, "an hour such as 2026-11-21T13Z");
	month = take_digits(c, 2);
	if (*c->p++ != '-')
		c->p--, text_fail(c, "an hour such as 2026-11-21T13Z");
	day = take_digits(c, 2);
	if (*c->p++ != 'T')
		c->p--, text_fail(c, "an hour such as 2026-11-21T13Z");
	hour = take_digits(c, 2);
	if (*c->p++ != 'Z')
		c->p--, text_fail(c, "an hour such as 2026-11-21T13Z");

	if (year < 1970 || month < 1 || month > 12 || day < 1 || day > month_days[month - 1] ||
		(month == 2 && day == 29 && !isleap(year)) || hour > 23)
	{
		c->p = start;
		text_fail(c, "an hour that exists in the years 1970 to 9999");
	}
	return (date2j(year, month, day) - UNIX_EPOCH_JDATE) * HOURS_A_DAY + hour;
}

/* timeline from text */
Datum
timeline_in(PG_FUNCTION_ARGS)
{
	TextCursor	cursor = {.text = PG_GETARG_CSTRING(0)};
	TextCursor *c = &cursor;
	TimelineBuilder *builder = timeline_builder_create(CurrentMemoryContext);
	int64		last_signal = -1;

	c->p = c->text;
	if (!take(c, '{'))
		text_fail(c, "\"{\"");
	if (!take(c, '}'))
	{
		do
		{
			const char *start = c->p;
			int64		signal_id = take_number(c, 0, "a signal's id");
			int64		last_hour = -1;

			if (signal_id <= last_signal || signal_id > PG_INT32_MAX)
			{
				c->p = start;
				text_fail(c, "a signal's id above the one before it");
			}
			last_signal = signal_id;
			if (!take(c, ':'))
				text_fail(c, "\":\"");
			do
			{
				const char *at = c->p;
				int32		hour = take_hour(c);
				int64		occurrences = take_number(c, 0, "a number of occurrences");
				int64		value = 0;

				CHECK_FOR_INTERRUPTS();
				skip_space(c);
				if (*c->p == '-' || (*c->p >= '0' && *c->p <= '9'))
					value = take_number(c, 6, "a value");
				if (hour <= last_hour)
				{
					c->p = at;
					text_fail(c, "an hour later than the one before it");
				}
				if (occurrences == 0 && value == 0)
				{
					c->p = at;
					text_fail(c, "occurrences or a value other than zero");
				}
				last_hour = hour;
				builder = timeline_builder_add(builder, (int32) signal_id, hour, occurrences, value);
			} while (take(c, ','));
		} while (take(c, ';'));
		if (!take(c, '}'))
			text_fail(c, "\",\", \";\" or \"}\"");
	}
	skip_space(c);
	if (*c->p != '\0')
		text_fail(c, "the end");

	PG_RETURN_POINTER(timeline_encode(builder->entries, builder->n));
}

/* A value in millionths as the shortest decimal. */
static void
append_value(StringInfo buf, int64 value)
{
	uint64		magnitude = value < 0 ? -(uint64) value : (uint64) value;
	uint64		fraction = magnitude % MILLIONTHS;
	int			width = 6;

	appendStringInfo(buf, "%s" UINT64_FORMAT, value < 0 ? "-" : "", magnitude / MILLIONTHS);
	if (fraction == 0)
		return;
	while (fraction % 10 == 0)
	{
		fraction /= 10;
		width--;
	}
	appendStringInfo(buf, ".%0*d", width, (int) fraction);
}

/* timeline to text */
Datum
timeline_out(PG_FUNCTION_ARGS)
{
	TimelineReader reader;
	StringInfoData buf;
	const char *signal_separator = "";

	initStringInfo(&buf);
	appendStringInfoChar(&buf, '{');
	timeline_read(&reader, PG_GETARG_TIMELINE(0));
	while (timeline_next_signal(&reader))
	{
		const char *separator = " ";

		appendStringInfo(&buf, "%s%d:", signal_separator, reader.signal_id);
		signal_separator = "; ";
		while (reader.left > 0)
		{
			int64		occurrences;
			int64		value;
			int			year;
			int			month;
			int			day;

			CHECK_FOR_INTERRUPTS();
			timeline_next_entry(&reader, &occurrences, &value);
			j2date(reader.hour / HOURS_A_DAY + UNIX_EPOCH_JDATE, &year, &month, &day);
			appendStringInfo(&buf, "%s%04d-%02d-%02dT%02dZ " INT64_FORMAT,
							 separator, year, month, day, reader.hour % HOURS_A_DAY, occurrences);
			if (value != 0)
			{
				appendStringInfoChar(&buf, ' ');
				append_value(&buf, value);
			}
			separator = ", ";
		}
	}
	appendStringInfoChar(&buf, '}');
	PG_RETURN_CSTRING(buf.data);
}

/* ---------- binary ---------- */

/* timeline from the wire: the bytes as stored, checked */
Datum
timeline_recv(PG_FUNCTION_ARGS)
{
	StringInfo	buf = (StringInfo) PG_GETARG_POINTER(0);
	int			length = buf->len - buf->cursor;
	const char *bytes = pq_getmsgbytes(buf, length);
	const char *fault = timeline_fault((const uint8 *) bytes, length);
	struct varlena *result;

	if (fault)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid bytes for type leadscore.timeline"),
				 errdetail("%s There are %d bytes.", fault, length),
				 errhint("Send the result of timeline_send unchanged.")));
	result = palloc(VARHDRSZ + length);
	SET_VARSIZE(result, VARHDRSZ + length);
	memcpy(VARDATA(result), bytes, length);
	PG_RETURN_POINTER(result);
}

/* timeline to the wire: the bytes as stored */
Datum
timeline_send(PG_FUNCTION_ARGS)
{
	struct varlena *timeline = PG_GETARG_TIMELINE(0);
	StringInfoData buf;

	pq_begintypsend(&buf);
	pq_sendbytes(&buf, VARDATA_ANY(timeline), VARSIZE_ANY_EXHDR(timeline));
	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}

/* ---------- comparison: canonical bytes are compared as bytes ---------- */

static bool
timelines_equal(FunctionCallInfo fcinfo)
{
	struct varlena *a = PG_GETARG_TIMELINE(0);
	struct varlena *b = PG_GETARG_TIMELINE(1);

	return VARSIZE_ANY_EXHDR(a) == VARSIZE_ANY_EXHDR(b) &&
		memcmp(VARDATA_ANY(a), VARDATA_ANY(b), VARSIZE_ANY_EXHDR(a)) == 0;
}

/* timeline = timeline */
Datum
timeline_eq(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(timelines_equal(fcinfo));
}

/* timeline <> timeline */
Datum
timeline_ne(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(!timelines_equal(fcinfo));
}

/* Negative, 0 or positive: the order of the bytes, a prefix first. Frees detoasted copies, as indexes require. */
static int
compare_timelines(FunctionCallInfo fcinfo)
{
	struct varlena *a = PG_GETARG_TIMELINE(0);
	struct varlena *b = PG_GETARG_TIMELINE(1);
	size_t		length_a = VARSIZE_ANY_EXHDR(a);
	size_t		length_b = VARSIZE_ANY_EXHDR(b);
	int			result = memcmp(VARDATA_ANY(a), VARDATA_ANY(b), Min(length_a, length_b));

	if (result == 0)
		result = (length_a > length_b) - (length_a < length_b);
	PG_FREE_IF_COPY(a, 0);
	PG_FREE_IF_COPY(b, 1);
	return result;
}

/* timeline < timeline */
Datum
timeline_lt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_timelines(fcinfo) < 0);
}

/* timeline <= timeline */
Datum
timeline_le(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_timelines(fcinfo) <= 0);
}

/* timeline > timeline */
Datum
timeline_gt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_timelines(fcinfo) > 0);
}

/* timeline >= timeline */
Datum
timeline_ge(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_timelines(fcinfo) >= 0);
}

/* the comparison of a B-tree */
Datum
timeline_cmp(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(compare_timelines(fcinfo));
}

/* hash of a timeline, 32 bits */
Datum
timeline_hash(PG_FUNCTION_ARGS)
{
	struct varlena *t = PG_GETARG_TIMELINE(0);

	return hash_any((unsigned char *) VARDATA_ANY(t), VARSIZE_ANY_EXHDR(t));
}

/* hash of a timeline with a seed, 64 bits */
Datum
timeline_hash_extended(PG_FUNCTION_ARGS)
{
	struct varlena *t = PG_GETARG_TIMELINE(0);

	return hash_any_extended((unsigned char *) VARDATA_ANY(t), VARSIZE_ANY_EXHDR(t),
							 PG_GETARG_INT64(1));
}

/* ---------- arithmetic ---------- */

/* timeline + timeline */
Datum
timeline_add(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(timeline_combine(PG_GETARG_TIMELINE(0), PG_GETARG_TIMELINE(1), 1, NULL));
}

/* timeline - timeline */
Datum
timeline_subtract(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(timeline_combine(PG_GETARG_TIMELINE(0), PG_GETARG_TIMELINE(1), -1, NULL));
}

/* + timeline */
Datum
timeline_plus(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(PG_GETARG_TIMELINE(0));
}

/* - timeline */
Datum
timeline_minus(PG_FUNCTION_ARGS)
{
	struct varlena *empty = timeline_encode(NULL, 0);

	PG_RETURN_POINTER(timeline_combine(empty, PG_GETARG_TIMELINE(0), -1, NULL));
}

/* ---------- entries ---------- */

/* The entries of a timeline as rows (signal_id, hour, occurrences, value). */
Datum
timeline_entries(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	TimelineReader reader;

	InitMaterializedSRF(fcinfo, 0);
	timeline_read(&reader, PG_GETARG_TIMELINE(0));
	while (timeline_next_signal(&reader))
	{
		while (reader.left > 0)
		{
			Datum		values[4];
			bool		nulls[4] = {0};
			int64		occurrences;
			int64		value;

			CHECK_FOR_INTERRUPTS();
			timeline_next_entry(&reader, &occurrences, &value);
			values[0] = Int32GetDatum(reader.signal_id);
			values[1] = TimestampTzGetDatum(instant_of(reader.hour));
			values[2] = Int64GetDatum(occurrences);
			values[3] = DirectFunctionCall1(numeric_trim_scale,
											NumericGetDatum(int64_div_fast_to_numeric(value, 6)));
			tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
		}
	}
	return (Datum) 0;
}
