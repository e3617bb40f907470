/*
 * transition.h: leads that change their segment, on the models that are watched.
 */
#ifndef LEADSCORE_TRANSITION_H
#define LEADSCORE_TRANSITION_H

#include "compat.h"

#include "utils/rel.h"

/*
 * Why a lead has changed its segment. Those that writers touch leads for come
 * first: of several in a transaction the first counts.
 */
typedef enum Cause
{
	CAUSE_IDENTITY,
	CAUSE_MODEL,				/* rebuild(), or an edited model */
	CAUSE_EVENT,
	CAUSE_LOAD,
	N_OF_WRITERS,
	CAUSE_TIME = N_OF_WRITERS,
	CAUSE_PROFILE,
	CAUSE_WATCH,
	N_CAUSES
} Cause;

/* The set of causes (1 << cause) that an array of their names holds. */
extern int	causes_of(Datum names);

/* The cause of a change for which so much was added to a timeline: an event, or the load of older ones. */
extern Cause cause_of_delta(const struct varlena *delta);

/* The models that are watched. */
typedef struct Watching Watching;

/* Those of now, valid until the transaction ends; NULL: none. lead_timeline must be locked. */
extern const Watching *segments_watched(void);

/*
 * Those whose transitions this transaction logs before it commits; NULL: none. At
 * SERIALIZABLE what is read for that would take predicate locks, for which the
 * user's transaction could fail: the next look finds them.
 */
extern const Watching *segments_logged(void);

/*
 * Whether an event can have changed a lead's segment on one of them, as the
 * timeline was (NULL: there was none) and is. Mostly it has not, and then no
 * state need be looked up. What time alone has changed is left to
 * refresh_segments().
 */
extern bool segment_may_change(const Watching *watching, const struct varlena *before, const struct varlena *after);

/*
 * Write down which of some leads, each named once, have changed their segments:
 * of those whose rows of lead_timeline are free or ours. Never waits.
 */
extern void see_touched(text **names, int n, Cause cause);

#endif							/* LEADSCORE_TRANSITION_H */
