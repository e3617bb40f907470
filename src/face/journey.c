/*
 * journey.c: what a lead has bought, and through which channels it came before.
 *
 * A timeline tells hours. Where an order and a touch, or touches of several channels, lie in the same hour, their order
 * is that of the events: tied_leads lists the leads that have such an hour, and journey_end() takes the moments of
 * their events. Events may be gone, or be more than the timeline has counted so far. So what a signal has in an hour
 * stays together, unless the events are exactly what the timeline has there: touches are at the beginning of the hour,
 * orders at its end.
 */
#include "face/journey.h"

#include "learn/quality.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(tied_leads_transition);
PG_FUNCTION_INFO_V1(tied_leads_final);

/* Numbers out of an array, from 0 to the highest; NULL is 0. */
int32 *
journey_numbers(ArrayType *array, MemoryContext context, int32 highest, int32 *n)
{
	Datum	   *values;
	bool	   *nulls;
	int32	   *result;

	deconstruct_array(array, INT4OID, sizeof(int32), true, TYPALIGN_INT, &values, &nulls, n);
	result = MemoryContextAlloc(context, Max(*n, 1) * sizeof(int32));
	for (int32 i = 0; i < *n; i++)
		result[i] = nulls[i] ? 0 : Max(0, Min(DatumGetInt32(values[i]), highest));
	return result;
}

void
journey_configure(Journey *journey, MemoryContext context, int32 conversion, ArrayType *touch_signals, ArrayType *channels)
{
	int32		n;

	*journey = (Journey) {.context = context, .conversion = conversion};
	journey->touch_signals = journey_numbers(touch_signals, context, PG_INT32_MAX, &journey->n_touch_signals);
	journey->channels = journey_numbers(channels, context, PG_INT16_MAX, &n);
	journey->n_touch_signals = Min(journey->n_touch_signals, n);
	journey->n_channels = 1;
	for (int32 i = 0; i < n; i++)
		journey->n_channels = Max(journey->n_channels, journey->channels[i] + 1);
}

/* ---------- the hours of a timeline ---------- */

void
journey_begin(Journey *journey)
{
	journey->n_orders = journey->n_touches = 0;
}

void
journey_signal(Journey *journey, int32 signal_id)
{
	journey->signal_id = signal_id;
	journey->first_touch = 0;
	while (journey->first_touch < journey->n_touch_signals && journey->touch_signals[journey->first_touch] != signal_id)
		journey->first_touch++;
}

void
journey_entry(Journey *journey, int32 hour, int64 occurrences, int64 value)
{
	if (journey->signal_id == journey->conversion)
	{
		make_room(journey->context, journey->orders, journey->n_orders, journey->order_capacity);
		journey->orders[journey->n_orders++] = (Order) {{hour, HOUR_ENDS}, occurrences, value};
	}
	/* a signal may show several channels */
	for (int32 i = journey->first_touch; i < journey->n_touch_signals && occurrences > 0; i++)
		if (journey->touch_signals[i] == journey->signal_id)
		{
			make_room(journey->context, journey->touches, journey->n_touches, journey->touch_capacity);
			journey->touches[journey->n_touches++] = (Touch) {{hour, HOUR_BEGINS}, journey->signal_id, journey->channels[i], occurrences};
		}
}

/* ---------- the moments of events ---------- */

/* What an event, or several of one instant, have added to a signal. */
typedef struct Event
{
	int32		signal_id;
	Moment		moment;
	int64		occurrences;
	int64		value;
} Event;

static int
compare_moments(const Moment *one, const Moment *other)
{
	if (one->hour != other->hour)
		return one->hour < other->hour ? -1 : 1;
	return one->at < other->at ? -1 : one->at > other->at;
}

static int
compare_events(const void *a, const void *b)
{
	const Event *one = a;
	const Event *other = b;

	if (one->signal_id != other->signal_id)
		return one->signal_id < other->signal_id ? -1 : 1;
	return compare_moments(&one->moment, &other->moment);
}

static int
compare_orders(const void *a, const void *b)
{
	return compare_moments(&((const Order *) a)->moment, &((const Order *) b)->moment);
}

static int
compare_touches(const void *a, const void *b)
{
	const Touch *one = a;
	const Touch *other = b;
	int			order = compare_moments(&one->moment, &other->moment);

	return order != 0 ? order : one->channel < other->channel ? -1 : one->channel > other->channel;
}

/* The events of a lead by signal and moment, from the timelines of single instants. */
static Event *
read_events(ArrayType *instants, ArrayType *timelines, int *n)
{
	Datum	   *times;
	Datum	   *values;
	int			n_times;
	int			n_values;
	int			capacity = 64;
	Event	   *events = palloc(capacity * sizeof(Event));

	*n = 0;
	deconstruct_array(instants, TIMESTAMPTZOID, sizeof(TimestampTz), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &times, NULL, &n_times);
	deconstruct_array(timelines, ARR_ELEMTYPE(timelines), -1, false, TYPALIGN_INT, &values, NULL, &n_values);
	for (int i = 0; i < Min(n_times, n_values); i++)
	{
		TimelineReader reader;

		timeline_read(&reader, DatumGetTimeline(values[i]));
		while (timeline_next_signal(&reader))
			while (reader.left > 0)
			{
				Event		event = {.signal_id = reader.signal_id};

				timeline_next_entry(&reader, &event.occurrences, &event.value);
				event.moment = (Moment) {reader.hour, DatumGetTimestampTz(times[i])};
				if (*n == capacity)
					events = repalloc_huge(events, (Size) (capacity *= 2) * sizeof(Event));
				events[(*n)++] = event;
			}
	}
	qsort(events, *n, sizeof(Event), compare_events);
	return events;
}

/* The events of a signal in an hour, if they are what the timeline has there; NULL: the value does not matter. */
static const Event *
find_events(const Event *events, int n, int32 signal_id, int32 hour, int64 occurrences, const int64 *value, int *found)
{
	Event		key = {.signal_id = signal_id, .moment = {hour, HOUR_BEGINS}};
	int			low = 0;
	int			high = n;
	int64		value_sum = 0;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (compare_events(&events[middle], &key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (*found = 0; low + *found < n; (*found)++)
	{
		const Event *event = &events[low + *found];

		if (event->signal_id != signal_id || event->moment.hour != hour)
			break;
		occurrences -= event->occurrences;
		value_sum += event->value;
	}
	return *found > 0 && occurrences == 0 && (value == NULL || value_sum == *value) ? &events[low] : NULL;
}

static void
split_orders(Journey *journey, const Event *events, int n)
{
	for (int32 i = 0, hours = journey->n_orders; i < hours; i++)
	{
		Order		hour = journey->orders[i];
		int			found;
		const Event *of_hour = find_events(events, n, journey->conversion, hour.moment.hour, hour.occurrences, &hour.value, &found);

		for (int j = 0; of_hour && j < found; j++)
		{
			Order		order = {of_hour[j].moment, of_hour[j].occurrences, of_hour[j].value};

			if (j == 0)
				journey->orders[i] = order;
			else
			{
				make_room(journey->context, journey->orders, journey->n_orders, journey->order_capacity);
				journey->orders[journey->n_orders++] = order;
			}
		}
	}
	qsort(journey->orders, journey->n_orders, sizeof(Order), compare_orders);
}

static void
split_touches(Journey *journey, const Event *events, int n)
{
	for (int32 i = 0, hours = journey->n_touches; i < hours; i++)
	{
		Touch		touch = journey->touches[i];
		int			found;
		const Event *of_hour = find_events(events, n, touch.signal_id, touch.moment.hour, touch.occurrences, NULL, &found);

		for (int j = 0; of_hour && j < found; j++)
		{
			touch.moment = of_hour[j].moment;
			if (j == 0)
				journey->touches[i] = touch;
			else
			{
				make_room(journey->context, journey->touches, journey->n_touches, journey->touch_capacity);
				journey->touches[journey->n_touches++] = touch;
			}
		}
	}
}

/* The timeline has been read; instants and timelines are those of the lead's events, or NULL. */
void
journey_end(Journey *journey, ArrayType *instants, ArrayType *timelines)
{
	if (instants && timelines)
	{
		int			n;
		Event	   *events = read_events(instants, timelines, &n);

		split_orders(journey, events, n);
		split_touches(journey, events, n);
		pfree(events);
	}
	if (journey->n_touches > 1)
		qsort(journey->touches, journey->n_touches, sizeof(Touch), compare_touches);
}

/* ---------- attribution ---------- */

/* The number of touches before a moment. */
static int32
touches_before(const Journey *journey, Moment moment)
{
	int32		low = 0;
	int32		high = journey->n_touches;

	while (low < high)
	{
		int32		middle = (low + high) / 2;

		if (compare_moments(&journey->touches[middle].moment, &moment) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/*
 * The channels of the first and the last touch from an hour to before a moment; 0: none. Of one moment, the first by
 * name counts.
 */
void
journey_channels(const Journey *journey, int32 from, Moment until, int32 channels[ATTRIBUTIONS])
{
	int32		first = touches_before(journey, (Moment) {from, HOUR_BEGINS});
	int32		end = touches_before(journey, until);

	channels[FIRST_TOUCH] = channels[LAST_TOUCH] = 0;
	if (first >= end)
		return;
	channels[FIRST_TOUCH] = journey->touches[first].channel;
	channels[LAST_TOUCH] = journey->touches[touches_before(journey, journey->touches[end - 1].moment)].channel;
}

/* ---------- the aggregate tied_leads ---------- */

typedef struct TiedLeads
{
	Journey		journey;
	ArrayBuildState *lead_ids;	/* NULL: none yet */
} TiedLeads;

/* Whether an hour has touches of several channels, or a touch and an order. */
static bool
is_tied(const Journey *journey)
{
	int32		order = 0;

	for (int32 i = 0; i < journey->n_touches; i++)
	{
		const Touch *touch = &journey->touches[i];

		if (i > 0 && touch[-1].moment.hour == touch->moment.hour && touch[-1].channel != touch->channel)
			return true;
		while (order < journey->n_orders && journey->orders[order].moment.hour < touch->moment.hour)
			order++;
		if (order < journey->n_orders && journey->orders[order].moment.hour == touch->moment.hour)
			return true;
	}
	return false;
}

/*
 * (state, lead_id, timeline, conversion_id, touch_signals, channels) -> state; all but lead_id and timeline are those
 * of the first row
 */
Datum
tied_leads_transition(PG_FUNCTION_ARGS)
{
	MemoryContext context = aggregate_context(fcinfo);
	TiedLeads  *tied = PG_ARGISNULL(0) ? NULL : (TiedLeads *) PG_GETARG_POINTER(0);
	TimelineReader reader;

	if (tied == NULL)
	{
		if (PG_ARGISNULL(3) || PG_ARGISNULL(4) || PG_ARGISNULL(5))
			PG_RETURN_NULL();
		tied = MemoryContextAllocZero(context, sizeof(TiedLeads));
		journey_configure(&tied->journey, context, PG_GETARG_INT32(3), PG_GETARG_ARRAYTYPE_P(4), PG_GETARG_ARRAYTYPE_P(5));
	}
	if (PG_ARGISNULL(1) || PG_ARGISNULL(2))
		PG_RETURN_POINTER(tied);
	journey_begin(&tied->journey);
	timeline_read(&reader, PG_GETARG_TIMELINE(2));
	while (timeline_next_signal(&reader))
	{
		CHECK_FOR_INTERRUPTS();
		journey_signal(&tied->journey, reader.signal_id);
		while (reader.left > 0)
		{
			int64		occurrences;
			int64		value;

			timeline_next_entry(&reader, &occurrences, &value);
			journey_entry(&tied->journey, reader.hour, occurrences, value);
		}
	}
	journey_end(&tied->journey, NULL, NULL);
	if (is_tied(&tied->journey))
		tied->lead_ids = accumArrayResult(tied->lead_ids, PG_GETARG_DATUM(1), false, TEXTOID, context);
	PG_RETURN_POINTER(tied);
}

/* state -> the leads; NULL: none */
Datum
tied_leads_final(PG_FUNCTION_ARGS)
{
	TiedLeads  *tied = PG_ARGISNULL(0) ? NULL : (TiedLeads *) PG_GETARG_POINTER(0);

	if (tied == NULL || tied->lead_ids == NULL)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(makeArrayResult(tied->lead_ids, CurrentMemoryContext));
}
