/*
 * transition.h: leads that change their segment, on the models that are watched.
 */
#ifndef LEADSCORE_TRANSITION_H
#define LEADSCORE_TRANSITION_H

#include "act/cause.h"

#include "utils/rel.h"

/* The models that are watched. */
typedef struct Watching Watching;

/* The current ones, valid until the transaction ends; NULL: none. The caller holds a lock on lead_timeline. */
extern const Watching *segments_watched(void);

/*
 * The models whose transitions this transaction logs before it commits; NULL: none. At
 * SERIALIZABLE it logs none: reading for that would take predicate locks, which could make
 * the user's transaction fail. The next look logs them.
 */
extern const Watching *segments_logged(void);

/*
 * Whether an event can have changed a lead's segment on one of the watched models, given
 * the timeline before (NULL: there was none) and after it. In most cases it has not, and
 * no state need be looked up. Changes due to time alone are left to refresh_segments().
 */
extern bool segment_may_change(const Watching *watching, const struct varlena *before, const struct varlena *after);

/*
 * Log which of some leads, each named once, have changed their segments. Leads whose rows
 * of lead_timeline are locked by another transaction are skipped. Never waits.
 */
extern void see_touched(text **names, int n, Cause cause);

#endif							/* LEADSCORE_TRANSITION_H */
