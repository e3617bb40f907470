/*
 * transition.h: leads that change their segment, on the models that are watched.
 */
#ifndef LEADSCORE_TRANSITION_H
#define LEADSCORE_TRANSITION_H

#include "act/cause.h"

#include "utils/rel.h"

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
 * Log which of some leads, each named once, have changed their segments:
 * of those whose rows of lead_timeline are free or ours. Never waits.
 */
extern void see_touched(text **names, int n, Cause cause);

#endif							/* LEADSCORE_TRANSITION_H */
