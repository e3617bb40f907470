/*
 * pending.h: what is pending, by name: rows of pending_delta, or of pending_profile.
 */
#ifndef LEADSCORE_PENDING_H
#define LEADSCORE_PENDING_H

#include "catalog.h"
#include "lookup.h"
#include "live/store.h"

typedef struct Pending
{
	Relation	table;			/* NULL: nothing is pending */
	Lookup		by_name;
	bool		may_look_up;	/* by_name has its index */
} Pending;

/* Open pending_delta to read with a snapshot. "look": what others append while this transaction lasts may be missed; NULL: it may not. */
extern void pending_open(Pending *pending, Snapshot snapshot, Look *look);

/* The same of another table that has an index on a column of names. */
extern void pending_open_table(Pending *pending, const char *name, AttrNumber column, Snapshot snapshot, Look *look);
extern void pending_close(Pending *pending);

/* Whether anything is pending under a name, be it nothing but an empty delta. */
extern bool pending_exist_for(Pending *pending, const text *name);

/* Add what is pending under a name. Returns the builder, which may have moved; "any": whether there was something. */
extern TimelineBuilder *pending_add(Pending *pending, const text *name, TimelineBuilder *builder, bool *any);

/* Some rows of one name. */
typedef struct PendingRows
{
	int			n;
	ItemPointerData *rows;
	struct varlena **deltas;
} PendingRows;

/*
 * The rows of a name that a snapshot sees, too (NULL: all); with a limit, at most
 * so many entries of the index are looked at.
 */
extern PendingRows pending_find(Pending *pending, const text *name, Snapshot seen, int limit);

/* Remove the i-th row, and say what was pending; NULL if somebody else was at it. The lead's row must be ours. */
extern struct varlena *pending_take(Store *store, PendingRows *found, int i);

#endif							/* LEADSCORE_PENDING_H */
