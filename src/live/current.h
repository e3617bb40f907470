/*
 * current.h: the current timeline of a lead: its row of lead_timeline, and what is
 * pending for it.
 */
#ifndef LEADSCORE_CURRENT_H
#define LEADSCORE_CURRENT_H

#include "lookup.h"

typedef struct Current Current;

/*
 * Prepare to read leads one by one with a snapshot. The caller holds a lock on
 * lead_timeline until current_close(). Returns NULL if our tables are not as we have made
 * them.
 */
extern Current *current_open(Relation timelines, Snapshot snapshot);
extern void current_close(Current *current);

/* The same, but raises an error instead of returning NULL. */
extern Current *current_open_or_fail(Relation timelines, Snapshot snapshot);

/* The lead that a name is an alias of, or NULL. */
extern text *current_lead_of(Current *current, const text *name);

/* The aliases of a lead, in byte order: by an index of lead_alias on lead_id, or from a Current. */
extern text **aliases_of(Lookup *names, const text *lead_id, int *n);
extern text **current_aliases(Current *current, const text *lead_id, int *n);

/* Whether anything is pending under a name, or under one of its aliases. */
extern bool current_is_pending(Current *current, const text *name);

/* Whether a lead (not an alias) is excluded under its name or one of its aliases. */
extern bool current_is_excluded(Current *current, const text *lead_id);

/* A lead's timeline, in the current memory context; NULL if it is empty. */
extern struct varlena *current_timeline(Current *current, const text *lead_id);

/* Require SELECT on the tables that timelines are computed from. */
extern void check_timeline_rights(void);

#endif							/* LEADSCORE_CURRENT_H */
