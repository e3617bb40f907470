/*
 * cause.h: why a lead has changed its segment.
 */
#ifndef LEADSCORE_CAUSE_H
#define LEADSCORE_CAUSE_H

#include "compat.h"

/*
 * Why a lead has changed its segment. The causes for which writers touch leads come first:
 * of several in a transaction, the first in this order counts.
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

/* The set of causes (bits 1 << cause) in an array of their names. */
extern int	causes_of(Datum names);

/* The cause of a change after adding a delta to a timeline: an event, or a load of older events. */
extern Cause cause_of_delta(const struct varlena *delta);

#endif							/* LEADSCORE_CAUSE_H */
