/*
 * leadscore_fuzz.c: calls the functions that read what others wrote with
 * random and mutated input, in one backend, without a statement for each.
 *
 *     fuzz_text(inputs, seed, samples text[])        timeline_in
 *     fuzz_bytes(inputs, seed, samples bytea[])      timeline_recv
 *     fuzz_state(inputs, seed, samples bytea[])      timeline_builder_deserialize
 *     fuzz_scorecard(inputs, seed, samples text[])   check_scorecard, score, appraise, contributions, features
 *     fuzz_signals(inputs, seed, samples text[])     timeline_agg_transition
 *
 * Each gives "N accepted, N refused", or fails with the input that shows what
 * is wrong: a value that does not come back the same, a refusal with another
 * SQLSTATE than the documented ones, or a message that is not valid text.
 *
 * Bytes are handed over in blocks of malloc of exactly their length, so that
 * AddressSanitizer and valgrind see a read past their end.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "common/pg_prng.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "libpq/pqformat.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/execnodes.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/regproc.h"
#include "utils/timestamp.h"

#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(fuzz_text);
PG_FUNCTION_INFO_V1(fuzz_bytes);
PG_FUNCTION_INFO_V1(fuzz_state);
PG_FUNCTION_INFO_V1(fuzz_scorecard);
PG_FUNCTION_INFO_V1(fuzz_signals);

/* ---------- chance ---------- */

static pg_prng_state prng;

static uint32
below(uint32 n)
{
	return n == 0 ? 0 : (uint32) (pg_prng_uint64(&prng) % n);
}

/* A length that is mostly short. */
static uint32
some_length(uint32 most)
{
	return below(1 + below(1 + below(most + 1)));
}

/* ---------- inputs ---------- */

/* Bytes in a block of malloc of exactly their length (and a zero, where they are text). */
static struct
{
	char	   *bytes;
	Size		length;
}			input;

static void
set_input(const char *bytes, Size length, bool text)
{
	free(input.bytes);
	input.bytes = malloc(length + (text ? 1 : 0));
	if (input.bytes == NULL && length > 0)
		elog(ERROR, "out of memory");
	input.length = length;
	if (length > 0)
		memcpy(input.bytes, bytes, length);
	if (text)
		input.bytes[length] = '\0';
}

typedef struct Samples
{
	Datum	   *datums;
	int			n;
} Samples;

static Samples
samples_of(FunctionCallInfo fcinfo, Oid type)
{
	Samples		s;

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(2), type, -1, false, TYPALIGN_INT, &s.datums, NULL, &s.n);
	if (s.n == 0)
		elog(ERROR, "there are no samples");
	return s;
}

/* letters of several bytes */
static const char *const wide[] = {"\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x8e\x88", "\xce\xb1"};

static void
append_random(StringInfo buf, uint32 n, const char *alphabet)
{
	for (uint32 i = 0; i < n; i++)
		appendStringInfoChar(buf, alphabet ? alphabet[below(strlen(alphabet))] : (char) below(256));
}

/* A mutation of a sample, or something random; as text it has no zero bytes and is valid in the encoding. */
static void
mutate(StringInfo buf, Samples samples, const char *alphabet)
{
	struct varlena *sample = PG_DETOAST_DATUM_PACKED(samples.datums[below(samples.n)]);
	const char *bytes = VARDATA_ANY(sample);
	uint32		length = VARSIZE_ANY_EXHDR(sample);
	uint32		times = 1 + (below(4) == 0 ? below(6) : 0);

	resetStringInfo(buf);
	if (below(8) == 0)
	{
		append_random(buf, some_length(64), alphabet);
		return;
	}
	appendBinaryStringInfo(buf, bytes, length);
	if (below(50) == 0)
		return;					/* the sample itself */
	while (times-- > 0)
	{
		uint32		at = below(buf->len + 1);
		uint32		cut = some_length(12);
		StringInfoData tail;

		cut = Min(cut, (uint32) buf->len - at);
		initStringInfo(&tail);
		switch (below(7))
		{
			case 0:				/* cut short */
				buf->len = at;
				break;
			case 1:				/* take out */
				appendBinaryStringInfo(&tail, buf->data + at + cut, buf->len - at - cut);
				break;
			case 2:				/* put in */
				append_random(&tail, 1 + some_length(8), alphabet);
				appendBinaryStringInfo(&tail, buf->data + at, buf->len - at);
				break;
			case 3:				/* change */
				append_random(&tail, cut, alphabet);
				appendBinaryStringInfo(&tail, buf->data + at + cut, buf->len - at - cut);
				break;
			case 4:				/* double a part */
				appendBinaryStringInfo(&tail, buf->data + at, cut);
				appendBinaryStringInfo(&tail, buf->data + at, buf->len - at);
				break;
			case 5:				/* go on as another sample does */
				sample = PG_DETOAST_DATUM_PACKED(samples.datums[below(samples.n)]);
				cut = below(VARSIZE_ANY_EXHDR(sample) + 1);
				appendBinaryStringInfo(&tail, VARDATA_ANY(sample) + cut, VARSIZE_ANY_EXHDR(sample) - cut);
				break;
			default:
				if (alphabet)	/* a letter of several bytes */
					appendStringInfoString(&tail, wide[below(lengthof(wide))]);
				else			/* one bit, or the largest varints */
				{
					if (at < (uint32) buf->len && below(2))
						buf->data[at] ^= 1 << below(8);
					else
						append_random(&tail, some_length(10), "\xff\x80\x7f\x01");
				}
				appendBinaryStringInfo(&tail, buf->data + at, buf->len - at);
				break;
		}
		buf->len = at;
		appendBinaryStringInfo(buf, tail.data, tail.len);
		pfree(tail.data);
	}
	if (alphabet && (memchr(buf->data, '\0', buf->len) != NULL ||
					 !pg_verify_mbstr(GetDatabaseEncoding(), buf->data, buf->len, true)))
		append_random((resetStringInfo(buf), buf), some_length(64), alphabet);
}

/* ---------- documents ---------- */

/* Where a value stands in a JSON text, and the member or element that holds it. */
typedef struct Span
{
	int			start;			/* of the value */
	int			end;
	int			whole;			/* of the member ("key": value) or the value itself */
} Span;

typedef struct Spans
{
	Span	   *spans;
	int			n;
	int			capacity;
} Spans;

static int
scan_space(const char *s, int i)
{
	while (s[i] == ' ' || s[i] == '\n' || s[i] == '\t' || s[i] == '\r')
		i++;
	return i;
}

static int
scan_string(const char *s, int i)
{
	for (i++; s[i] && s[i] != '"'; i++)
		if (s[i] == '\\' && s[i + 1])
			i++;
	return s[i] ? i + 1 : i;
}

/* Note every value of a JSON text (which is valid); returns where the value ends. */
static int
scan_value(Spans *spans, const char *s, int start, int whole)
{
	int			i = start;
	int			mine;

	check_stack_depth();
	if (spans->n == spans->capacity)
	{
		spans->capacity = Max(64, spans->capacity * 2);
		spans->spans = spans->spans ? repalloc(spans->spans, spans->capacity * sizeof(Span)) :
			palloc(spans->capacity * sizeof(Span));
	}
	mine = spans->n++;
	if (s[i] == '"')
		i = scan_string(s, i);
	else if (s[i] == '{' || s[i] == '[')
	{
		bool		object = s[i] == '{';

		i = scan_space(s, i + 1);
		while (s[i] && s[i] != '}' && s[i] != ']')
		{
			int			begin = i;

			if (object)
			{
				i = scan_space(s, scan_string(s, i));
				i = scan_space(s, i + 1);	/* the colon */
			}
			i = scan_space(s, scan_value(spans, s, i, begin));
			if (s[i] == ',')
				i = scan_space(s, i + 1);
		}
		i++;
	}
	else
		while (s[i] && strchr(",]} \n\t\r", s[i]) == NULL)
			i++;
	spans->spans[mine] = (Span) {start, i, whole};
	return i;
}

static void
append_nested(StringInfo buf, int depth)
{
	bool		object = below(2);

	for (int i = 0; i < depth; i++)
		appendStringInfoString(buf, object ? "{\"a\":" : "[");
	appendStringInfoString(buf, "1");
	for (int i = 0; i < depth; i++)
		appendStringInfoChar(buf, object ? '}' : ']');
}

/* A value to put in the place of another. */
static void
append_any_value(StringInfo buf)
{
	static const char *const values[] = {
		"null", "true", "false", "0", "-0", "1", "-1", "2", "3", "0.5", "1e3", "1e-400", "1e308", "1e309", "-1e308", "1e131071",
		"2147483647", "2147483648", "-2147483648", "-2147483649", "4294967297", "9223372036854775808", "1e100000",
		"99999999999999999999999999999999999999999999.9999999999999999", "0.000000000000000000000001",
		"\"\"", "\"x\"", "\"visit\"", "\"purchase\"", "\"count\"", "\"value\"", "\"present\"", "\"log\"", "\"profile\"", "\"event\"",
		"\"1 hour\"", "\"14 days\"", "\"-1 day\"", "\"0\"", "\"1 microsecond\"", "\"178000000 years\"", "\"1000000 years\"", "\"infinity\"",
		"\"1 year 1 mon 1 day 1:00:00.000001\"", "\"P1Y2M\"", "\"@ 1 minute ago\"", "\"60000 years\"",
		"\"$.a > 1\"", "\"$.a\"", "\"$\"", "\"$.** == 1\"", "\"exists($.a[*] ? (@.b like_regex \\\"^(a|b)*$\\\"))\"", "\"$.a like_regex \\\"(\\\"\"",
		"\"$.a.datetime() < $.b\"", "\"$v == 1\"", "\"$.a / 0 == 1\"", "\"$.a[9999999999999] == 1\"", "\"$.a[last - 1 to $.b] == 1\"", "\"strict $.a.b == 1\"", "\"lax $[*].a.double() > 1e308\"",
		"\"!(!(!($.a == 1)))\"", "\"$.a.keyvalue().id > 0\"", "\"($.a == 1) is unknown\"", "\"$.type() == \\\"object\\\"\"", "\"$.a starts with \\\"x\\\"\"",
		"\"\\u00e9\\u20ac\"", "\"\\ud83c\\udf88\"", "\"NaN\"",
		"{}", "[]", "[null]", "[{}]", "[[]]", "{\"a\":1}", "{\"a\":{\"b\":[1,2]}}", "{\"a\":null,\"b\":true}", "[1,\"a\",{}]"
	};

	switch (below(12))
	{
		case 0:
			append_nested(buf, below(20) == 0 ? 5000 : below(200));
			break;
		case 1:
			appendStringInfo(buf, "%d", (int) pg_prng_uint64(&prng));
			break;
		case 2:
			appendStringInfo(buf, "%.17g", ldexp((double) (int64) pg_prng_uint64(&prng), (int) below(2000) - 1000));
			break;
		case 3:
			appendStringInfoChar(buf, '"');
			for (int i = some_length(200); i > 0; i--)
				if (below(3) == 0)
					appendStringInfoString(buf, wide[below(lengthof(wide))]);
				else
					append_random(buf, 1, "abcxyz0123456789.$@?()[]*: ");
			appendStringInfoChar(buf, '"');
			break;
		default:
			appendStringInfoString(buf, values[below(lengthof(values))]);
	}
}

/* A document with a few of its values changed, moved, doubled or left out; now and then its text is damaged. */
static void
mutate_document(StringInfo buf, Samples samples)
{
	struct varlena *sample = PG_DETOAST_DATUM_PACKED(samples.datums[below(samples.n)]);
	uint32		times = 1 + (below(3) == 0 ? below(8) : 0);

	if (below(20) == 0)
	{
		mutate(buf, samples, "{}[]\",:0123456789.eE+-truefalsenul \\\n$@?()&|<>=!*abcdefghijklmnopqrstuvwxyz_");
		return;
	}
	resetStringInfo(buf);
	appendBinaryStringInfo(buf, VARDATA_ANY(sample), VARSIZE_ANY_EXHDR(sample));
	while (times-- > 0)
	{
		Spans		spans = {0};
		Span		s;
		Span		other;
		StringInfoData out;

		(void) scan_value(&spans, buf->data, scan_space(buf->data, 0), scan_space(buf->data, 0));
		s = spans.spans[below(spans.n)];
		if (spans.n > 1 && below(10) != 0)
			s = spans.spans[1 + below(spans.n - 1)];	/* not the whole document */
		other = spans.spans[below(spans.n)];
		initStringInfo(&out);
		appendBinaryStringInfo(&out, buf->data, s.start);
		switch (below(8))
		{
			case 0:				/* left out, with its comma */
				{
					int			end = scan_space(buf->data, s.end);

					out.len = s.whole;
					if (buf->data[end] == ',')
						s.end = end + 1;
					else
					{
						while (out.len > 0 && strchr(" \n\t\r", out.data[out.len - 1]))
							out.len--;
						if (out.len > 0 && out.data[out.len - 1] == ',')
							out.len--;
					}
					out.data[out.len] = '\0';
					if (s.whole == scan_space(buf->data, 0))
						appendStringInfoString(&out, "null");
					break;
				}
			case 1:				/* as another value of the document */
				if (other.end - other.start < 4000)
				{
					appendBinaryStringInfo(&out, buf->data + other.start, other.end - other.start);
					break;
				}
				appendStringInfoString(&out, "null");
				break;
			case 2:				/* the member or element again, several times */
				{
					uint32		n = below(30) == 0 ? 3000 : 1 + below(3);

					if (s.end - s.whole > 1000)
						n = 1;
					appendBinaryStringInfo(&out, buf->data + s.start, s.end - s.start);
					if (s.whole > scan_space(buf->data, 0))
						while (n-- > 0)
						{
							appendStringInfoChar(&out, ',');
							appendBinaryStringInfo(&out, buf->data + s.whole, s.end - s.whole);
						}
					break;
				}
			case 3:				/* wrapped */
				appendStringInfoString(&out, below(2) ? "[" : "{\"signal\": ");
				appendBinaryStringInfo(&out, buf->data + s.start, s.end - s.start);
				appendStringInfoChar(&out, out.data[s.start] == '[' ? ']' : '}');
				break;
			default:
				append_any_value(&out);
		}
		appendStringInfoString(&out, buf->data + s.end);
		pfree(spans.spans);
		resetStringInfo(buf);
		appendBinaryStringInfo(buf, out.data, out.len);
		pfree(out.data);
		if (buf->len > 1000000)
			break;
	}
	if (!pg_verify_mbstr(GetDatabaseEncoding(), buf->data, buf->len, true))
	{
		resetStringInfo(buf);
		append_any_value(buf);
		if (!pg_verify_mbstr(GetDatabaseEncoding(), buf->data, buf->len, true))
			appendStringInfoString((resetStringInfo(buf), buf), "{}");
	}
}

/* ---------- calls ---------- */

/* A function of ours by its signature. */
static FmgrInfo *
function_of(const char *signature)
{
	FmgrInfo   *function = palloc(sizeof(FmgrInfo));

	fmgr_info(DatumGetObjectId(DirectFunctionCall1(regprocedurein, CStringGetDatum(signature))), function);
	return function;
}

/* The functions of the type. */
static struct
{
	FmgrInfo   *in;
	FmgrInfo   *out;
	FmgrInfo   *recv;
	FmgrInfo   *send;
	FmgrInfo   *eq;
	FmgrInfo   *hash;
	FmgrInfo   *subtract;
	FmgrInfo   *add;
}			type;

static void
find_type_functions(void)
{
	type.in = function_of("leadscore_internal.timeline_in(cstring)");
	type.out = function_of("leadscore_internal.timeline_out(leadscore.timeline)");
	type.recv = function_of("leadscore_internal.timeline_recv(internal)");
	type.send = function_of("leadscore_internal.timeline_send(leadscore.timeline)");
	type.eq = function_of("leadscore_internal.timeline_eq(leadscore.timeline, leadscore.timeline)");
	type.hash = function_of("leadscore_internal.timeline_hash(leadscore.timeline)");
	type.subtract = function_of("leadscore_internal.timeline_subtract(leadscore.timeline, leadscore.timeline)");
	type.add = function_of("leadscore_internal.timeline_add(leadscore.timeline, leadscore.timeline)");
}

static Datum
receive(const char *bytes, int length)
{
	StringInfoData buf;

	/* the server keeps a zero behind a message; not so here, it must not be needed */
	buf.data = (char *) bytes;
	buf.len = buf.maxlen = length;
	buf.cursor = 0;
	return ReceiveFunctionCall(type.recv, &buf, InvalidOid, -1);
}

static bool
equal_bytes(bytea *a, const char *bytes, Size length)
{
	return VARSIZE_ANY_EXHDR(a) == length && memcmp(VARDATA_ANY(a), bytes, length) == 0;
}

/* The input as a hexadecimal string, for a message. */
static char *
hex_of_input(void)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (Size i = 0; i < Min(input.length, 2000); i++)
		appendStringInfo(&buf, "%02x", (unsigned char) input.bytes[i]);
	return buf.data;
}

#define WRONG(...) ereport(ERROR, (errcode(ERRCODE_ASSERT_FAILURE), errmsg(__VA_ARGS__), errdetail("The input is %s.", hex_of_input())))

/* Whatever the way in, an accepted timeline goes out and comes in again the same, and a - a is nothing. */
static void
check_timeline(Datum timeline)
{
	bytea	   *bytes = SendFunctionCall(type.send, timeline);
	char	   *text = OutputFunctionCall(type.out, timeline);
	Datum		by_text = InputFunctionCall(type.in, text, InvalidOid, -1);
	Datum		by_bytes = receive(VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
	bytea	   *again = SendFunctionCall(type.send, by_text);
	char	   *text_again = OutputFunctionCall(type.out, by_bytes);

	if (!equal_bytes(again, VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes)) || strcmp(text, text_again) != 0)
		WRONG("a timeline does not come back the same");
	if (!DatumGetBool(FunctionCall2(type.eq, timeline, by_text)) || !DatumGetBool(FunctionCall2(type.eq, by_bytes, timeline)) ||
		DatumGetUInt32(FunctionCall1(type.hash, timeline)) != DatumGetUInt32(FunctionCall1(type.hash, by_text)))
		WRONG("a timeline does not equal itself");
	if (strcmp(OutputFunctionCall(type.out, FunctionCall2(type.subtract, timeline, by_bytes)), "{}") != 0)
		WRONG("a timeline less itself is not empty");
}

/* ---------- the loop ---------- */

typedef struct Run
{
	int64		accepted;
	int64		refused;
	int64		by_others;		/* refused by the server before our function saw it */
} Run;

typedef enum Outcome
{
	ACCEPTED,
	REFUSED_BY_OTHERS
} Outcome;

typedef Outcome (*TryInput) (void);

static const int *allowed;		/* SQLSTATEs, ended by 0 */

/* What refused the input must be a documented error, and its words valid text. */
static void
judge(ErrorData *error)
{
	const char *words[] = {error->message, error->detail, error->hint};
	const int  *state = allowed;

	if (error->sqlerrcode == ERRCODE_ASSERT_FAILURE || error->sqlerrcode == ERRCODE_QUERY_CANCELED ||
		error->sqlerrcode == ERRCODE_ADMIN_SHUTDOWN)
		ReThrowError(error);
	while (*state && *state != error->sqlerrcode)
		state++;
	if (*state == 0)
		WRONG("refused with the SQLSTATE %s: %s", unpack_sql_state(error->sqlerrcode), error->message);
	for (Size i = 0; i < lengthof(words); i++)
		if (words[i] && strstr(words[i], "of jsonpath input") == NULL &&	/* the server itself cuts letters in two there */
			!pg_verify_mbstr(GetDatabaseEncoding(), words[i], strlen(words[i]), true))
			WRONG("a message is no valid text, SQLSTATE %s", unpack_sql_state(error->sqlerrcode));
}

/* Try the input in a context of its own. Nothing that is called holds resources, so no subtransaction is needed. */
static void
run_one(Run *run, TryInput try, MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	ErrorData  *error = NULL;

	CHECK_FOR_INTERRUPTS();
	PG_TRY();
	{
		if (try() == ACCEPTED)
			run->accepted++;
		else
			run->by_others++;
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	if (error)
	{
		judge(error);
		run->refused++;
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(context);
}

static MemoryContext
begin(FunctionCallInfo fcinfo)
{
	pg_prng_seed(&prng, PG_GETARG_INT64(1));
	find_type_functions();
	return AllocSetContextCreate(CurrentMemoryContext, "fuzz input", ALLOCSET_DEFAULT_SIZES);
}

static Datum
finish(Run *run)
{
	if (run->by_others > 0)
		return CStringGetTextDatum(psprintf(INT64_FORMAT " accepted, " INT64_FORMAT " refused, " INT64_FORMAT " not even JSON",
											run->accepted, run->refused, run->by_others));
	return CStringGetTextDatum(psprintf(INT64_FORMAT " accepted, " INT64_FORMAT " refused", run->accepted, run->refused));
}

/* ---------- the type ---------- */

static Outcome
try_text(void)
{
	check_timeline(InputFunctionCall(type.in, input.bytes, InvalidOid, -1));
	return ACCEPTED;
}

static Outcome
try_bytes(void)
{
	Datum		timeline = receive(input.bytes, input.length);

	if (!equal_bytes(SendFunctionCall(type.send, timeline), input.bytes, input.length))
		WRONG("the bytes of a timeline do not come back the same");
	check_timeline(timeline);
	return ACCEPTED;
}

static Datum
fuzz_type(FunctionCallInfo fcinfo, bool text)
{
	static const int text_states[] = {ERRCODE_INVALID_TEXT_REPRESENTATION, ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE, 0};
	static const int byte_states[] = {ERRCODE_INVALID_BINARY_REPRESENTATION, 0};
	MemoryContext context = begin(fcinfo);
	Samples		samples = samples_of(fcinfo, text ? TEXTOID : BYTEAOID);
	StringInfoData buf;
	Run			run = {0};

	initStringInfo(&buf);
	allowed = text ? text_states : byte_states;
	for (int64 i = PG_GETARG_INT64(0); i > 0; i--)
	{
		mutate(&buf, samples, text ? "{}:;, -.0123456789TZ2026-01-01T00Z\n" : NULL);
		if (!text && below(16) == 0)
			buf.data[0] = 1;	/* the version, so that random bytes come further */
		set_input(buf.data, buf.len, text);
		run_one(&run, text ? try_text : try_bytes, context);
	}
	return finish(&run);
}

Datum
fuzz_text(PG_FUNCTION_ARGS)
{
	return fuzz_type(fcinfo, true);
}

Datum
fuzz_bytes(PG_FUNCTION_ARGS)
{
	return fuzz_type(fcinfo, false);
}

/* ---------- the state of the aggregates ---------- */

static FmgrInfo *deserialize;
static FmgrInfo *serialize;
static FmgrInfo *sum_final;
static FmgrInfo *merge;
static AggState *aggregate;

/* Call a support function of an aggregate, as if by the executor. */
static Datum
call_for_aggregate(FmgrInfo *function, Datum a, Datum b, bool *isnull)
{
	LOCAL_FCINFO(call, 2);
	Datum		result;

	InitFunctionCallInfoData(*call, function, 2, InvalidOid, (Node *) aggregate, NULL);
	call->args[0] = (NullableDatum) {.value = a};
	call->args[1] = (NullableDatum) {.value = b};
	result = FunctionCallInvoke(call);
	*isnull = call->isnull;
	return result;
}

/* A varlena in a block of malloc of exactly its length. */
static Datum
input_as_varlena(void)
{
	static struct varlena *block = NULL;

	free(block);
	block = malloc(VARHDRSZ + input.length);
	SET_VARSIZE(block, VARHDRSZ + input.length);
	memcpy(VARDATA(block), input.bytes, input.length);
	return PointerGetDatum(block);
}

static Outcome
try_state(void)
{
	bool		isnull;
	Datum		bytes = input_as_varlena();
	Datum		state = call_for_aggregate(deserialize, bytes, (Datum) 0, &isnull);
	Datum		other = call_for_aggregate(deserialize, bytes, (Datum) 0, &isnull);
	bytea	   *again = DatumGetByteaPP(call_for_aggregate(serialize, state, (Datum) 0, &isnull));
	Datum		sum;

	if (!equal_bytes(again, input.bytes, input.length))
		WRONG("a state does not come back the same");
	sum = call_for_aggregate(sum_final, state, (Datum) 0, &isnull);
	if (!isnull)
	{
		check_timeline(sum);
		PG_TRY();
		{
			Datum		twice = call_for_aggregate(merge, state, other, &isnull);
			Datum		added = FunctionCall2(type.add, sum, sum);

			sum = call_for_aggregate(sum_final, twice, (Datum) 0, &isnull);
			if (!isnull && !DatumGetBool(FunctionCall2(type.eq, sum, added)))
				WRONG("a merge is not the sum");
		}
		PG_CATCH();
		{
			if (geterrcode() != ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE)
				PG_RE_THROW();
			FlushErrorState();
		}
		PG_END_TRY();
	}
	return ACCEPTED;
}

Datum
fuzz_state(PG_FUNCTION_ARGS)
{
	static const int states[] = {ERRCODE_INVALID_BINARY_REPRESENTATION, 0};
	MemoryContext context = begin(fcinfo);
	Samples		samples = samples_of(fcinfo, BYTEAOID);
	StringInfoData buf;
	StringInfoData timeline;
	ExprContext *expression = CreateStandaloneExprContext();
	Run			run = {0};

	deserialize = function_of("leadscore_internal.timeline_builder_deserialize(bytea, internal)");
	serialize = function_of("leadscore_internal.timeline_builder_serialize(internal)");
	sum_final = function_of("leadscore_internal.timeline_sum_final(internal)");
	merge = function_of("leadscore_internal.timeline_builder_merge(internal, internal)");
	aggregate = makeNode(AggState);
	aggregate->curaggcontext = expression;

	initStringInfo(&buf);
	initStringInfo(&timeline);
	allowed = states;
	for (int64 i = PG_GETARG_INT64(0); i > 0; i--)
	{
		int64		inputs = below(3) == 0 ? (int64) pg_prng_uint64(&prng) : (int64) below(100);

		mutate(&timeline, samples, NULL);
		resetStringInfo(&buf);
		pq_sendint64(&buf, inputs);
		appendBinaryStringInfo(&buf, timeline.data, timeline.len);
		if (below(20) == 0)
			buf.len = below(buf.len + 1);
		set_input(buf.data, buf.len, false);
		run_one(&run, try_state, context);
		ResetExprContext(expression);
	}
	FreeExprContext(expression, true);
	return finish(&run);
}

/* ---------- documents ---------- */

/* The input as jsonb; NULL if the server itself refuses it. */
static Datum
input_as_jsonb(bool *refused)
{
	volatile Datum result = (Datum) 0;
	MemoryContext context = CurrentMemoryContext;

	*refused = false;
	PG_TRY();
	{
		result = DirectFunctionCall1(jsonb_in, CStringGetDatum(input.bytes));
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		if (geterrcode() == ERRCODE_QUERY_CANCELED || geterrcode() == ERRCODE_ADMIN_SHUTDOWN)
			PG_RE_THROW();
		FlushErrorState();
		*refused = true;
	}
	PG_END_TRY();
	return result;
}

static FmgrInfo *check_scorecard;
static FmgrInfo *score;
static FmgrInfo *appraise;
static FmgrInfo *features;
static FmgrInfo *contributions;
static Datum timelines[6];
static Datum profiles[4];

/* Count the rows of contributions(), and add up their points. */
static int
call_contributions(Datum card, Datum timeline, Datum profile, Datum at)
{
	LOCAL_FCINFO(call, 4);
	ReturnSetInfo rsinfo = {.type = T_ReturnSetInfo};
	ExprContext *expression = CreateStandaloneExprContext();
	TupleTableSlot *slot;
	int			n = 0;

	rsinfo.econtext = expression;
	rsinfo.allowedModes = SFRM_Materialize;
	rsinfo.returnMode = SFRM_ValuePerCall;
	InitFunctionCallInfoData(*call, contributions, 4, InvalidOid, NULL, (Node *) &rsinfo);
	call->args[0] = (NullableDatum) {.value = card};
	call->args[1] = (NullableDatum) {.value = timeline};
	call->args[2] = (NullableDatum) {.value = profile};
	call->args[3] = (NullableDatum) {.value = at};
	(void) FunctionCallInvoke(call);

	slot = MakeSingleTupleTableSlot(rsinfo.setDesc, &TTSOpsMinimalTuple);
	while (tuplestore_gettupleslot(rsinfo.setResult, true, false, slot))
	{
		slot_getallattrs(slot);
		n++;
	}
	ExecDropSingleTupleTableSlot(slot);
	tuplestore_end(rsinfo.setResult);
	FreeExprContext(expression, true);
	return n;
}

static Outcome
try_scorecard(void)
{
	static const TimestampTz instants[] = {0, INT64CONST(820454400000000), INT64CONST(851990400000000), PG_INT64_MIN, PG_INT64_MAX, -INT64CONST(946684800000000)};
	bool		refused;
	Datum		card = input_as_jsonb(&refused);
	Datum		timeline = timelines[below(lengthof(timelines))];
	Datum		profile = profiles[below(lengthof(profiles))];
	Datum		at = TimestampTzGetDatum(instants[below(lengthof(instants))]);
	double		points;
	double		again;
	HeapTupleHeader row;
	bool		isnull;
	ArrayType  *measured;

	if (refused)
		return REFUSED_BY_OTHERS;
	if (below(4) == 0)
		(void) FunctionCall1(check_scorecard, card);

	points = DatumGetFloat8(FunctionCall4(score, card, timeline, profile, at));
	row = DatumGetHeapTupleHeader(FunctionCall4(appraise, card, timeline, profile, at));
	again = DatumGetFloat8(GetAttributeByNum(row, 1, &isnull));
	if (points != again && !(isnan(points) && isnan(again)))
		WRONG("score %g, appraisal %g", points, again);
	measured = DatumGetArrayTypeP(FunctionCall4(features, card, timeline, profile, at));
	if (call_contributions(card, timeline, profile, at) != (ARR_NDIM(measured) == 0 ? 0 : ARR_DIMS(measured)[0]))
		WRONG("contributions and features differ in number");
	return ACCEPTED;
}

Datum
fuzz_scorecard(PG_FUNCTION_ARGS)
{
	static const int states[] = {ERRCODE_INVALID_PARAMETER_VALUE, 0};
	static const char *const timeline_texts[] = {
		"{}", "{1: 2026-01-01T00Z 2 49.9, 2026-01-02T13Z 1, 2026-01-02T14Z 30 -5; 2: 2025-06-01T00Z 1; 3: 2024-01-01T00Z -1 1}",
		"{0: 1970-01-01T00Z 9223372036854775807 -9223372036854.775808, 9999-12-31T23Z 1; 4: 2026-01-01T00Z -9223372036854775808; 2147483647: 2000-01-01T00Z 0 9223372036854.775807}",
		"{5: 2025-12-31T23Z 0 1; 6: 2025-12-31T23Z 1 0.000001; 7: 2025-12-31T22Z 1, 2025-12-31T23Z 1; 8: 2025-12-31T23Z 5 100; 9: 2000-01-01T00Z 1; 10: 2000-01-01T00Z 1; 11: 2000-01-01T00Z 1; 12: 2000-01-01T00Z 1}"
	};
	static const char *const profile_texts[] = {
		"{}", "{\"age\": 30, \"country\": \"DE\", \"a\": 1, \"b\": \"x\"}", "[1, 2]", "{\"a\": {\"b\": [1, {\"c\": null}]}, \"employees\": 1e300}"
	};
	MemoryContext context = begin(fcinfo);
	Samples		samples = samples_of(fcinfo, TEXTOID);
	StringInfoData buf;
	StringInfoData text;
	Run			run = {0};

	initStringInfo(&buf);
	initStringInfo(&text);
	/* one timeline with many hours, one with many signals */
	for (int i = 0; i < (int) lengthof(timelines); i++)
	{
		resetStringInfo(&text);
		if (i < (int) lengthof(timeline_texts))
			appendStringInfoString(&text, timeline_texts[i]);
		else
			for (int j = 0; j < 300; j++)
				if (i % 2)
					appendStringInfo(&text, "%s 20%02d-%02d-01T%02dZ %d", j == 0 ? "{1:" : ",", 10 + j / 24, 1 + j / 2 % 12, j % 2, 1 + j % 3);
				else
					appendStringInfo(&text, "%s %d: 2025-12-%02dT07Z %d 1.5", j == 0 ? "{" : ";", j, 1 + j % 31, 1 + j % 5);
		if (i >= (int) lengthof(timeline_texts))
			appendStringInfoChar(&text, '}');
		timelines[i] = InputFunctionCall(type.in, text.data, InvalidOid, -1);
	}
	for (int i = 0; i < (int) lengthof(profiles); i++)
		profiles[i] = DirectFunctionCall1(jsonb_in, CStringGetDatum(profile_texts[i]));

	allowed = states;
	for (int64 i = PG_GETARG_INT64(0), n = 0; i > 0; i--, n++)
	{
		/* the compiled documents stay with the function: some of them meet full ones, some new ones */
		static MemoryContext functions = NULL;

		if (n % 200 == 0)
		{
			MemoryContext old;

			if (n > 0)
				MemoryContextDelete(functions);
			functions = AllocSetContextCreate(CurrentMemoryContext, "fuzz functions", ALLOCSET_DEFAULT_SIZES);
			old = MemoryContextSwitchTo(functions);
			check_scorecard = function_of("leadscore_internal.check_scorecard(jsonb)");
			score = function_of("leadscore.score(jsonb, leadscore.timeline, jsonb, timestamptz)");
			appraise = function_of("leadscore.appraise(jsonb, leadscore.timeline, jsonb, timestamptz)");
			features = function_of("leadscore.features(jsonb, leadscore.timeline, jsonb, timestamptz)");
			contributions = function_of("leadscore.contributions(jsonb, leadscore.timeline, jsonb, timestamptz)");
			MemoryContextSwitchTo(old);
		}
		mutate_document(&buf, samples);
		set_input(buf.data, buf.len, true);
		run_one(&run, try_scorecard, context);
	}
	return finish(&run);
}

/* ---------- signals ---------- */

static FmgrInfo *count_event;
static FmgrInfo *agg_final;

static Outcome
try_signals(void)
{
	static const char *const kinds[] = {"visit", "purchase", "a", "x"};
	static const char *const properties[] = {
		"{}", "{\"a\": 1, \"device\": \"mobile\", \"b\": true}", "{\"a\": {\"b\": [1, 2, 3]}, \"price\": 1e300}", "{\"a\": \"x\", \"b\": null, \"t\": \"2026-01-01\"}"
	};
	LOCAL_FCINFO(call, 6);
	bool		refused;
	Datum		signals = input_as_jsonb(&refused);
	Datum		state = (Datum) 0;
	Datum		timeline;
	bool		isnull;

	if (refused)
		return REFUSED_BY_OTHERS;
	for (int i = 0; i < 4; i++)
	{
		InitFunctionCallInfoData(*call, count_event, 6, InvalidOid, (Node *) aggregate, NULL);
		call->args[0] = (NullableDatum) {.value = state, .isnull = i == 0};
		call->args[1] = (NullableDatum) {.value = signals};
		call->args[2] = (NullableDatum) {.value = CStringGetTextDatum(kinds[below(lengthof(kinds))])};
		call->args[3] = (NullableDatum) {.value = TimestampTzGetDatum(INT64CONST(820454400000000) + i * INT64CONST(3600000000))};
		call->args[4] = (NullableDatum) {.value = DirectFunctionCall1(int8_numeric, Int64GetDatum(below(1000))), .isnull = i % 2};
		call->args[5] = (NullableDatum) {.value = DirectFunctionCall1(jsonb_in, CStringGetDatum(properties[below(lengthof(properties))])), .isnull = i == 3};
		state = FunctionCallInvoke(call);
	}
	timeline = call_for_aggregate(agg_final, state, (Datum) 0, &isnull);
	if (!isnull)
		check_timeline(timeline);
	return ACCEPTED;
}

Datum
fuzz_signals(PG_FUNCTION_ARGS)
{
	static const int states[] = {ERRCODE_INVALID_PARAMETER_VALUE, 0};
	MemoryContext context = begin(fcinfo);
	Samples		samples = samples_of(fcinfo, TEXTOID);
	StringInfoData buf;
	ExprContext *expression = CreateStandaloneExprContext();
	Run			run = {0};

	agg_final = function_of("leadscore_internal.timeline_agg_final(internal)");
	aggregate = makeNode(AggState);
	aggregate->curaggcontext = expression;
	initStringInfo(&buf);
	allowed = states;
	for (int64 i = PG_GETARG_INT64(0), n = 0; i > 0; i--, n++)
	{
		static MemoryContext functions = NULL;

		if (n % 200 == 0)
		{
			MemoryContext old;

			if (n > 0)
				MemoryContextDelete(functions);
			functions = AllocSetContextCreate(CurrentMemoryContext, "fuzz functions", ALLOCSET_DEFAULT_SIZES);
			old = MemoryContextSwitchTo(functions);
			count_event = function_of("leadscore_internal.timeline_agg_transition(internal, jsonb, text, timestamptz, numeric, jsonb)");
			MemoryContextSwitchTo(old);
		}
		mutate_document(&buf, samples);
		set_input(buf.data, buf.len, true);
		run_one(&run, try_signals, context);
		ResetExprContext(expression);
	}
	FreeExprContext(expression, true);
	return finish(&run);
}
