/*
 * delta.h: what is to be added to the timelines of some leads.
 */
#ifndef LEADSCORE_DELTA_H
#define LEADSCORE_DELTA_H

#include "timeline.h"

#include "utils/rel.h"

/* Deltas by lead, as the events name it (aliases not yet resolved). */
typedef struct Deltas Deltas;

extern Deltas *deltas_create(MemoryContext context);
extern TimelineBuilder **deltas_of(Deltas *deltas, const char *lead_id, int length);

/* As the owner of the tables: add to lead_timeline, or append to pending_delta. */
extern void deltas_apply(Deltas *deltas, Relation timelines);
extern void deltas_defer(Deltas *deltas);

#endif							/* LEADSCORE_DELTA_H */
