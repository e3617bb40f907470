/*
 * cause.h: why a lead has changed its segment.
 */
#ifndef LEADSCORE_CAUSE_H
#define LEADSCORE_CAUSE_H

#include "compat.h"

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

/* Its name. */
extern const char *cause_name(Cause cause);
extern Cause cause_named(const char *name);

/* The set of causes (1 << cause) that an array of their names holds. */
extern int	causes_of(Datum names);

/* The cause of a change for which so much was added to a timeline: an event, or the load of older ones. */
extern Cause cause_of_delta(const struct varlena *delta);

#endif							/* LEADSCORE_CAUSE_H */
