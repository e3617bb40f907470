/*
 * journey.h: what a lead has bought, and through which channels it came before.
 */
#ifndef LEADSCORE_JOURNEY_H
#define LEADSCORE_JOURNEY_H

#include "timeline/timeline.h"

#include "datatype/timestamp.h"
#include "utils/array.h"

/* By the first and by the last touch. */
enum
{
	FIRST_TOUCH,
	LAST_TOUCH,
	ATTRIBUTIONS
};

/* When something happened: in which hour of the timeline, and when in it, by the events. */
typedef struct Moment
{
	int32		hour;
	TimestampTz at;				/* from HOUR_BEGINS to HOUR_ENDS */
} Moment;

#define HOUR_BEGINS DT_NOBEGIN
#define HOUR_ENDS (DT_NOEND - 1)

typedef struct Touch
{
	Moment		moment;
	int32		signal_id;
	int32		channel;
	int64		occurrences;
} Touch;

typedef struct Order
{
	Moment		moment;
	int64		occurrences;
	int64		value;
} Order;

typedef struct Journey
{
	MemoryContext context;
	int32		conversion;		/* signal_id, or -1 */
	int32		n_touch_signals;
	int32	   *touch_signals;	/* ascending */
	int32	   *channels;		/* of each one, from 1, ordered by name */
	int32		n_channels;		/* including none */

	/* of one lead */
	int32		n_orders;
	int32		order_capacity;
	Order	   *orders;			/* by moment */
	int32		n_touches;
	int32		touch_capacity;
	Touch	   *touches;		/* by moment and channel */
	int32		first_touch;	/* the first of touch_signals that is the one that is read */
	int32		signal_id;
} Journey;

/* Room for one more item of an array in a context. */
#define make_room(context, array, n, capacity) \
	do { \
		if ((n) == (capacity)) \
		{ \
			(capacity) = Max(2 * (capacity), 64); \
			(array) = (array) ? repalloc_huge((array), (Size) (capacity) * sizeof(*(array))) \
				: MemoryContextAllocHuge((context), (Size) (capacity) * sizeof(*(array))); \
		} \
	} while (0)

extern int32 *journey_numbers(ArrayType *array, MemoryContext context, int32 highest, int32 *n);
extern void journey_configure(Journey *journey, MemoryContext context, int32 conversion, ArrayType *touch_signals, ArrayType *channels);
extern void journey_begin(Journey *journey);
extern void journey_signal(Journey *journey, int32 signal_id);
extern void journey_entry(Journey *journey, int32 hour, int64 occurrences, int64 value);
extern void journey_end(Journey *journey, ArrayType *instants, ArrayType *timelines);
extern void journey_channels(const Journey *journey, int32 from, Moment until, int32 channels[ATTRIBUTIONS]);

#endif							/* LEADSCORE_JOURNEY_H */
