/*
 * current.h: a lead's timeline as it is: its row of lead_timeline, and what is
 * pending for it.
 */
#ifndef LEADSCORE_CURRENT_H
#define LEADSCORE_CURRENT_H

#include "lookup.h"

typedef struct Current Current;

/* Read leads one by one with a snapshot; lead_timeline must be locked, and stay so. NULL if our tables are not as we have made them. */
extern Current *current_open(Relation timelines, Snapshot snapshot);
extern void current_close(Current *current);

/* The same, or an error. */
extern Current *current_open_or_fail(Relation timelines, Snapshot snapshot);

/* The lead that a name is an alias of, or NULL. */
extern text *current_lead_of(Current *current, const text *name);

/* The aliases of a lead, in the order of their bytes, by an index of lead_alias on lead_id; or as a Current has it. */
extern text **aliases_of(Lookup *names, const text *lead_id, int *n);
extern text **current_aliases(Current *current, const text *lead_id, int *n);

/* Whether something is pending under a name, or under its aliases. */
extern bool current_is_pending(Current *current, const text *name);

/* Whether a lead, which is no alias, is excluded under its name or one of its aliases. */
extern bool current_is_excluded(Current *current, const text *lead_id);

/* A lead's timeline, in the memory that is current; NULL if nothing is left of it. */
extern struct varlena *current_timeline(Current *current, const text *lead_id);

#endif							/* LEADSCORE_CURRENT_H */
