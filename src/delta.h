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
extern TimelineBuilder **deltas_of(Deltas *deltas, const char *lead_id, int length, bool lenient);
extern void deltas_apply(Deltas *deltas, Relation timelines);

/* What is derived from the events of these leads, or of all, is to be looked at again. */
extern void deltas_note(Deltas *deltas);
extern void note_everybody(void);

/*
 * Where a trigger collects: the deltas of the statement that has fired it,
 * which are added (or, of deferred sources, appended) when it has fired all of
 * its triggers; NULL if we cannot see the statement end.
 */
extern Deltas *statement_deltas(bool deferred);

/* Add, or append to pending_delta, as the owner of the tables. */
extern void deltas_write(Deltas *deltas, bool deferred);

/* Acting as another user, for a while. */
typedef struct Identity
{
	Oid			user;
	int			security;
} Identity;

extern Identity become(Oid user, int flags);
extern void become_again(Identity identity);

#endif							/* LEADSCORE_DELTA_H */
