/*
 * delta.h: what is to be added to the timelines of some leads.
 */
#ifndef LEADSCORE_DELTA_H
#define LEADSCORE_DELTA_H

#include "timeline/timeline.h"

#include "utils/rel.h"

/* Deltas by lead, as the events name it (aliases not yet resolved). */
typedef struct Deltas Deltas;

extern Deltas *deltas_create(MemoryContext context);
extern TimelineBuilder **deltas_of(Deltas *deltas, const char *lead_id, int length, bool lenient);
extern void deltas_apply(Deltas *deltas, Relation timelines);

/* What is derived from the events of these leads, or of all, is to be looked at again. */
extern void deltas_note(Deltas *deltas);
extern void note_everybody(void);

/* Whether they take as much memory as a hash table may: work_mem times hash_mem_multiplier. */
extern bool deltas_are_full(const Deltas *deltas);

/*
 * Add the deltas to their leads or, of deferred sources, append them all, as the
 * owner of the tables. None are left.
 */
extern void deltas_write(Deltas *deltas, Relation timelines, bool deferred);

/* Acting as another user, for a while. */
typedef struct Identity
{
	Oid			user;
	int			security;
} Identity;

extern Identity switch_to_owner(Oid user, int flags);
extern void restore_user(Identity identity);

#endif							/* LEADSCORE_DELTA_H */
