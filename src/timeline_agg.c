/*
 * timeline_agg.c: the aggregates timeline_agg (events -> timeline) and
 * timeline_sum (timelines -> timeline).
 *
 * Both keep their state in a TimelineBuilder in the aggregate's context. Since
 * timelines form a group, both have an exact inverse for moving windows.
 */
#include "signal.h"
#include "timeline.h"

#include "libpq/pqformat.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(scorable);
PG_FUNCTION_INFO_V1(check_event);
PG_FUNCTION_INFO_V1(timeline_agg_transition);
PG_FUNCTION_INFO_V1(timeline_agg_inverse);
PG_FUNCTION_INFO_V1(timeline_agg_final);
PG_FUNCTION_INFO_V1(timeline_sum_transition);
PG_FUNCTION_INFO_V1(timeline_sum_inverse);
PG_FUNCTION_INFO_V1(timeline_sum_final);
PG_FUNCTION_INFO_V1(stored_sum_transition);
PG_FUNCTION_INFO_V1(stored_sum_merge);
PG_FUNCTION_INFO_V1(timeline_builder_merge);
PG_FUNCTION_INFO_V1(timeline_builder_serialize);
PG_FUNCTION_INFO_V1(timeline_builder_deserialize);

/* ---------- which rows can be counted ---------- */

static const char *const filter_hint =
"Leave such rows out with FILTER (WHERE leadscore.scorable(kind, occurred_at, value, properties)).";

/* Whether a jsonb is an object, without unpacking it where it lies in the row. */
static bool
is_object(Datum datum)
{
	struct varlena *packed = PG_DETOAST_DATUM_PACKED(datum);
	uint32		header;

	memcpy(&header, VARDATA_ANY(packed), sizeof(header));
	return (header & JB_FOBJECT) != 0;
}

static char *
jsonb_excerpt(Datum datum)
{
	char	   *text = DatumGetCString(DirectFunctionCall1(jsonb_out, datum));

	return excerpt(text, strlen(text), 200);
}

static Jsonb *
detoast_properties(void *row)
{
	return row ? DatumGetJsonbP(PointerGetDatum(row)) : NULL;
}

/* Whether an event can be counted: (kind, occurred_at, value, properties) */
Datum
scorable(PG_FUNCTION_ARGS)
{
	int64		millionths;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_BOOL(false);
	if (VARSIZE_ANY_EXHDR(PG_GETARG_TEXT_PP(0)) == 0 || !hour_is_valid(PG_GETARG_TIMESTAMPTZ(1)))
		PG_RETURN_BOOL(false);
	if (!PG_ARGISNULL(2) && !numeric_to_millionths(PG_GETARG_NUMERIC(2), &millionths))
		PG_RETURN_BOOL(false);
	if (!PG_ARGISNULL(3) && !is_object(PG_GETARG_DATUM(3)))
		PG_RETURN_BOOL(false);
	PG_RETURN_BOOL(true);
}

/*
 * Read an event's columns from arguments that start at "first", in the order
 * (kind, occurred_at, value, properties). False if there is no kind or time;
 * an error if one of them makes no sense. "check" is an SQLSTATE for all of
 * them, or 0 for the fitting one of class 22.
 */
static bool
event_from_arguments(FunctionCallInfo fcinfo, int first, int check, const char *hint, Event *event)
{
	text	   *kind;
	TimestampTz occurred_at;

	if (PG_ARGISNULL(first) || PG_ARGISNULL(first + 1))
		return false;

	kind = PG_GETARG_TEXT_PP(first);
	event->kind = VARDATA_ANY(kind);
	event->kind_length = VARSIZE_ANY_EXHDR(kind);
	if (event->kind_length == 0)
		ereport(ERROR,
				(errcode(check ? check : ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("event kind is empty"),
				 errdetail("The kind is \"\"."),
				 errhint("%s", hint ? hint : "Name what happened, such as \"visit\" or \"purchase\".")));

	occurred_at = PG_GETARG_TIMESTAMPTZ(first + 1);
	if (!hour_is_valid(occurred_at))
		ereport(ERROR,
				(errcode(check ? check : ERRCODE_DATETIME_FIELD_OVERFLOW),
				 errmsg("event time out of range"),
				 errdetail("The event occurred at %s.", timestamptz_to_str(occurred_at)),
				 errhint("%s", hint ? hint : "Events lie in the years 1970 to 9999 (UTC).")));
	event->hour = hour_of(occurred_at);

	event->value = 0;
	if (!PG_ARGISNULL(first + 2) &&
		!numeric_to_millionths(PG_GETARG_NUMERIC(first + 2), &event->value))
		ereport(ERROR,
				(errcode(check ? check : ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("event value out of range"),
				 errdetail("The value is %s.",
						   DatumGetCString(DirectFunctionCall1(numeric_out, PG_GETARG_DATUM(first + 2)))),
				 errhint("%s", hint ? hint : "A value is a number of less than 10^12, or NULL.")));

	event->row = PG_ARGISNULL(first + 3) ? NULL : DatumGetPointer(PG_GETARG_DATUM(first + 3));
	event->fetch_properties = detoast_properties;
	if (event->row && !is_object(PG_GETARG_DATUM(first + 3)))
		ereport(ERROR,
				(errcode(check ? check : ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("event properties are not a JSON object"),
				 errdetail("The properties are %s.", jsonb_excerpt(PG_GETARG_DATUM(first + 3))),
				 errhint("%s", hint ? hint : "Write an object such as {\"device\": \"mobile\"}, or NULL.")));
	return true;
}

/*
 * The check of the table event: (lead_id, kind, occurred_at, value,
 * properties). True, or an error that says what to do.
 */
Datum
check_event(PG_FUNCTION_ARGS)
{
	Event		event;

	if (!PG_ARGISNULL(0))
	{
		int			length = VARSIZE_ANY_EXHDR(PG_GETARG_TEXT_PP(0));

		if (length == 0 || length > LEAD_ID_MAX)
			ereport(ERROR,
					(errcode(ERRCODE_CHECK_VIOLATION),
					 errmsg("event lead_id is %s", length == 0 ? "empty" : "too long"),
					 errdetail("The lead_id has %d bytes.", length),
					 errhint("Every event belongs to a lead, named by 1 to %d bytes; give anonymous visitors an id of their own.",
							 LEAD_ID_MAX)));
	}
	(void) event_from_arguments(fcinfo, 1, ERRCODE_CHECK_VIOLATION, NULL, &event);
	PG_RETURN_BOOL(true);
}

/* ---------- state ---------- */

static TimelineBuilder *
state_of(FunctionCallInfo fcinfo)
{
	MemoryContext context;

	if (!AggCheckCallContext(fcinfo, &context))
		elog(ERROR, "aggregate function called in non-aggregate context");
	return PG_ARGISNULL(0) ? timeline_builder_create(context) : (TimelineBuilder *) PG_GETARG_POINTER(0);
}

/* The timeline in a builder; it stays fit for more rows. */
static Datum
timeline_of(TimelineBuilder *builder)
{
	timeline_builder_compact(builder);
	return PointerGetDatum(timeline_encode(builder->entries, builder->n));
}

/* ---------- timeline_agg ---------- */

static Datum
count_event(FunctionCallInfo fcinfo, int sign)
{
	TimelineBuilder *state = state_of(fcinfo);
	Event		event;

	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("signals must not be null"),
				 errdetail("Without signals nothing is counted."),
				 errhint("Pass (SELECT leadscore.signals()).")));
	if (event_from_arguments(fcinfo, 2, 0, filter_hint, &event))
	{
		const SignalSet *signals = doc_compiled(fcinfo, 1, signal_set_compile);

		state = signal_set_count(signals, &event, sign, state);
		state->inputs += sign;
	}
	PG_RETURN_POINTER(state);
}

/* (state, signals, kind, occurred_at, value, properties) -> state */
Datum
timeline_agg_transition(PG_FUNCTION_ARGS)
{
	return count_event(fcinfo, 1);
}

/* the inverse, for a window that moves on */
Datum
timeline_agg_inverse(PG_FUNCTION_ARGS)
{
	return count_event(fcinfo, -1);
}

/* state -> timeline, or NULL if nothing was counted */
Datum
timeline_agg_final(PG_FUNCTION_ARGS)
{
	TimelineBuilder *state;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	state = (TimelineBuilder *) PG_GETARG_POINTER(0);
	timeline_builder_compact(state);
	if (state->n == 0)
		PG_RETURN_NULL();
	return timeline_of(state);
}

/* ---------- timeline_sum ---------- */

static Datum
sum_timeline(FunctionCallInfo fcinfo, int sign)
{
	TimelineBuilder *state = state_of(fcinfo);

	if (!PG_ARGISNULL(1))
	{
		state = timeline_builder_add_timeline(state, PG_GETARG_TIMELINE(1), sign);
		state->inputs += sign;
	}
	PG_RETURN_POINTER(state);
}

/* (state, timeline) -> state */
Datum
timeline_sum_transition(PG_FUNCTION_ARGS)
{
	return sum_timeline(fcinfo, 1);
}

/* the inverse, for a window that moves on */
Datum
timeline_sum_inverse(PG_FUNCTION_ARGS)
{
	return sum_timeline(fcinfo, -1);
}

/* state -> timeline, or NULL if there was no timeline to add */
Datum
timeline_sum_final(PG_FUNCTION_ARGS)
{
	TimelineBuilder *state;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	state = (TimelineBuilder *) PG_GETARG_POINTER(0);
	if (state->inputs == 0)
		PG_RETURN_NULL();
	return timeline_of(state);
}

/* ---------- stored_sum: timeline_sum for what is stored, where an hour that overflows wraps around ---------- */

static Datum
leniently(FunctionCallInfo fcinfo, PGFunction transition)
{
	TimelineBuilder *state = state_of(fcinfo);

	state->lenient = true;
	fcinfo->args[0].value = PointerGetDatum(state);
	fcinfo->args[0].isnull = false;
	return transition(fcinfo);
}

/* (state, timeline) -> state */
Datum
stored_sum_transition(PG_FUNCTION_ARGS)
{
	return leniently(fcinfo, timeline_sum_transition);
}

/* (state, state) -> state */
Datum
stored_sum_merge(PG_FUNCTION_ARGS)
{
	return leniently(fcinfo, timeline_builder_merge);
}

/* ---------- partial aggregation ---------- */

/* (state, state) -> state */
Datum
timeline_builder_merge(PG_FUNCTION_ARGS)
{
	TimelineBuilder *state = state_of(fcinfo);

	if (!PG_ARGISNULL(1))
	{
		TimelineBuilder *other = (TimelineBuilder *) PG_GETARG_POINTER(1);

		state = timeline_builder_add_builder(state, other, 1);
		state->inputs += other->inputs;
	}
	PG_RETURN_POINTER(state);
}

/* state -> bytea: the number of inputs, then the timeline's bytes */
Datum
timeline_builder_serialize(PG_FUNCTION_ARGS)
{
	TimelineBuilder *state = (TimelineBuilder *) PG_GETARG_POINTER(0);
	struct varlena *timeline = (struct varlena *) DatumGetPointer(timeline_of(state));
	StringInfoData buf;

	pq_begintypsend(&buf);
	pq_sendint64(&buf, state->inputs);
	pq_sendbytes(&buf, VARDATA_ANY(timeline), VARSIZE_ANY_EXHDR(timeline));
	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}

/* bytea -> state; trusts the bytes no more than timeline_recv does */
Datum
timeline_builder_deserialize(PG_FUNCTION_ARGS)
{
	bytea	   *bytes = PG_GETARG_BYTEA_PP(0);
	const uint8 *p = (const uint8 *) VARDATA_ANY(bytes);
	Size		length = VARSIZE_ANY_EXHDR(bytes);
	const char *fault = "The number of inputs is cut short.";
	TimelineBuilder *state;
	struct varlena *timeline;
	uint64		inputs;

	if (!AggCheckCallContext(fcinfo, NULL))
		elog(ERROR, "aggregate function called in non-aggregate context");
	if (length < sizeof(inputs) ||
		(fault = timeline_fault(p + sizeof(inputs), length - sizeof(inputs))) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid bytes for the state of a timeline aggregate"),
				 errdetail("%s", fault)));
	memcpy(&inputs, p, sizeof(inputs));

	timeline = palloc(VARHDRSZ + length - sizeof(inputs));
	SET_VARSIZE(timeline, VARHDRSZ + length - sizeof(inputs));
	memcpy(VARDATA(timeline), p + sizeof(inputs), length - sizeof(inputs));
	state = timeline_builder_add_timeline(timeline_builder_create(CurrentMemoryContext), timeline, 1);
	state->inputs = (int64) pg_ntoh64(inputs);
	PG_RETURN_POINTER(state);
}
