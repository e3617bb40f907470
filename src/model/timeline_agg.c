/*
 * timeline_agg.c: the aggregate timeline_agg (events -> timeline).
 *
 * Its state is that of timeline_sum. Since timelines form a group, it has an
 * exact inverse for moving windows.
 */
#include "model/signal.h"
#include "timeline/timeline.h"

#include "utils/builtins.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(scorable);
PG_FUNCTION_INFO_V1(check_event);
PG_FUNCTION_INFO_V1(timeline_agg_transition);
PG_FUNCTION_INFO_V1(timeline_agg_inverse);
PG_FUNCTION_INFO_V1(timeline_agg_final);

/* ---------- which rows can be counted ---------- */

static const char *const filter_hint =
"Leave such rows out with FILTER (WHERE leadscore.scorable(kind, occurred_at, value, properties)).";

/* Whether a jsonb is an object, without copying a value stored inline in the row. */
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
 * (kind, occurred_at, value, properties). False if kind or time is NULL; an
 * error if one of them is invalid. "check" is an SQLSTATE for all of these
 * errors, or 0 for the matching one of class 22.
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
 * properties). True, or an error that says how to fix it.
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

/* ---------- timeline_agg ---------- */

static Datum
count_event(FunctionCallInfo fcinfo, int sign)
{
	TimelineBuilder *state = timeline_builder_state(fcinfo);
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
	return PointerGetDatum(timeline_of_builder(state));
}
