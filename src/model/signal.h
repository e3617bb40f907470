/*
 * signal.h: finds the signals that an event counts for.
 */
#ifndef LEADSCORE_SIGNAL_H
#define LEADSCORE_SIGNAL_H

#include "label.h"
#include "model/document.h"
#include "timeline/local_day.h"
#include "timeline/timeline.h"

#include "utils/jsonb.h"
#include "utils/jsonpath.h"

/* A comparison of one property with a constant. */
typedef struct PropertyTest
{
	Label		name;
	JsonPathItemType comparison;	/* jpiEqual and the like, or jpiStartsWith */
	JsonbValue	constant;		/* a scalar */
	bool		unwraps;		/* of an array, it is enough that an element compares so */
} PropertyTest;

/* A condition on the properties of an event, or on a profile. */
typedef struct PropertyMatcher
{
	Jsonb	   *match;			/* properties @> match, or NULL */
	JsonPath   *condition;		/* properties @@ condition, or NULL */
	bool		match_is_tested;	/* the tests say all of match */
	bool		condition_is_tested;	/* the tests say all of condition */
	int			ntests;
	PropertyTest *tests;		/* all must hold */
} PropertyMatcher;

/* One event signal. */
typedef struct Signal
{
	int32		signal_id;
	bool		looks_inside;	/* has a matcher */
	bool		matches_nothing;	/* the matcher accepts an event without properties */
	PropertyMatcher matcher;
	struct Signal *next;		/* the next signal of the same kind */
} Signal;

/*
 * Compiled signals: a hash table from kind to the chain of its signals, and
 * the chain of the signals that accept any kind. They live in the memory
 * context in which they were compiled.
 */
typedef struct SignalSet
{
	struct kind_hash *kinds;
	Signal	   *any_kind;
	int32	   *matched;		/* room for the result of signal_set_match() */
	int			nids;
	int32	   *ids;			/* their numbers, in ascending order */
	int32		compacted_before;	/* hours before this one are kept by the day; 0: none */
	LocalDays  *days;			/* of a time zone; NULL: by the UTC day */
	int32		archived_before;	/* events before this hour are archived, and match nothing; 0: none */
	int32		archiving_before;	/* the same of an archive() that is at work; 0: none is */
} SignalSet;

/* An event, as the core sees it. Its properties are fetched only if a signal needs them. */
typedef struct Event
{
	const char *kind;
	int			kind_length;
	int32		hour;
	int64		value;			/* in millionths */
	Jsonb	   *(*fetch_properties) (void *row);	/* an object, or NULL */
	void	   *row;
} Event;

extern void property_matcher_compile(PropertyMatcher *matcher, JsonbContainer *object, const DocPath *path);
extern bool property_matcher_matches(const PropertyMatcher *matcher, Jsonb *properties);
extern bool property_matcher_matches_nothing(const PropertyMatcher *matcher);
extern Jsonb *known_attributes(Jsonb *profile);

extern void *signal_set_compile(Jsonb *document);
extern int	signal_set_match(const SignalSet *set, const Event *event);
extern TimelineBuilder *signal_set_count(const SignalSet *set, const Event *event, int64 sign,
										 TimelineBuilder *builder);

/*
 * A hash of what an archived event has counted for; 0: it is not archived, or has counted
 * for nothing.
 */
extern uint64 signal_set_archived(const SignalSet *set, const Event *event);

/* The hour in which an event counts, given the hour of the event. */
static inline int32
signal_set_hour(const SignalSet *set, int32 hour)
{
	return coarse_hour(set->days, hour, set->compacted_before);
}

#endif							/* LEADSCORE_SIGNAL_H */
