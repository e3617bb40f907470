/*
 * delta.h: deltas to add to the timelines of some leads.
 */
#ifndef LEADSCORE_DELTA_H
#define LEADSCORE_DELTA_H

#include "timeline/timeline.h"

#include "utils/rel.h"

/* Deltas by lead, under the name that the events have (aliases are not resolved yet). */
typedef struct Deltas Deltas;

/* While archive() is at work, hours before "archiving_before" are written for its base, too; 0: it is not. */
extern Deltas *deltas_create(MemoryContext context, int32 archiving_before);
extern TimelineBuilder **deltas_of(Deltas *deltas, const char *lead_id, int length, bool lenient);
extern void deltas_apply(Deltas *deltas, Relation timelines);

/* Have the names of these leads, or all leads, appended to changed_lead, so that derived data is recomputed. */
extern void deltas_note(Deltas *deltas);
extern void note_everybody(void);

/* Whether they use as much memory as a hash table may: work_mem times hash_mem_multiplier. */
extern bool deltas_are_full(const Deltas *deltas);

/*
 * Write the deltas as the owner of the tables, and empty the collection: add them to the
 * rows of their leads or, for deferred sources, append them all.
 */
extern void deltas_write(Deltas *deltas, Relation timelines, bool deferred);

/* The user and security context to restore after acting as another user. */
typedef struct Identity
{
	Oid			user;
	int			security;
} Identity;

extern Identity switch_to_owner(Oid user, int flags);
extern void restore_user(Identity identity);

#endif							/* LEADSCORE_DELTA_H */
