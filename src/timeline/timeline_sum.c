/*
 * timeline_sum.c: the aggregate timeline_sum (timelines -> timeline), and the
 * state it shares with timeline_agg.
 *
 * The state is a TimelineBuilder in the aggregate's context. Since timelines
 * form a group, there is an exact inverse for moving windows.
 */
#include "timeline/timeline.h"

#include "libpq/pqformat.h"

PG_FUNCTION_INFO_V1(timeline_sum_transition);
PG_FUNCTION_INFO_V1(timeline_sum_inverse);
PG_FUNCTION_INFO_V1(timeline_sum_final);
PG_FUNCTION_INFO_V1(stored_sum_transition);
PG_FUNCTION_INFO_V1(stored_sum_merge);
PG_FUNCTION_INFO_V1(timeline_builder_merge);
PG_FUNCTION_INFO_V1(timeline_builder_serialize);
PG_FUNCTION_INFO_V1(timeline_builder_deserialize);

/* ---------- state ---------- */

TimelineBuilder *
timeline_builder_state(FunctionCallInfo fcinfo)
{
	MemoryContext context;

	if (!AggCheckCallContext(fcinfo, &context))
		elog(ERROR, "aggregate function called in non-aggregate context");
	return PG_ARGISNULL(0) ? timeline_builder_create(context) : (TimelineBuilder *) PG_GETARG_POINTER(0);
}

/* The timeline in a builder, which can still take more rows. */
struct varlena *
timeline_of_builder(TimelineBuilder *builder)
{
	timeline_builder_compact(builder);
	return timeline_encode(builder->entries, builder->n);
}

/* ---------- timeline_sum ---------- */

static Datum
sum_timeline(FunctionCallInfo fcinfo, int sign)
{
	TimelineBuilder *state = timeline_builder_state(fcinfo);

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

/* the inverse, for a moving window */
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
	return PointerGetDatum(timeline_of_builder(state));
}

/* ---------- stored_sum: timeline_sum for stored timelines, in which an hour that overflows wraps around ---------- */

static Datum
leniently(FunctionCallInfo fcinfo, PGFunction transition)
{
	TimelineBuilder *state = timeline_builder_state(fcinfo);

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
	TimelineBuilder *state = timeline_builder_state(fcinfo);

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
	struct varlena *timeline = timeline_of_builder(state);
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
