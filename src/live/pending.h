/*
 * pending.h: pending changes by name: rows of pending_delta or pending_profile.
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
	bool		may_look_up;	/* by_name has found its index */
} Pending;

/*
 * Open pending_delta to read with a snapshot. With "look", rows that other transactions
 * append during this transaction may be missed; with NULL they may not.
 */
extern void pending_open(Pending *pending, Snapshot snapshot, Look *look);

/* The same for another table that has an index on a column of names. */
extern void pending_open_table(Pending *pending, const char *name, AttrNumber column, Snapshot snapshot, Look *look);
extern void pending_close(Pending *pending);

/* Whether anything is pending under a name, even if only an empty delta. */
extern bool pending_exist_for(Pending *pending, const text *name);

/*
 * Add the pending deltas of a name. Returns the builder, which may have moved; sets "any"
 * if there were some.
 */
extern TimelineBuilder *pending_add(Pending *pending, const text *name, TimelineBuilder *builder, bool *any);

/* Some rows of one name. */
typedef struct PendingRows
{
	int			n;
	ItemPointerData *rows;
	struct varlena **deltas;
} PendingRows;

/*
 * The rows of a name that the snapshot "seen" also sees (NULL: all rows). If "limit" is not
 * 0, at most that many index entries are examined.
 */
extern PendingRows pending_find(Pending *pending, const text *name, Snapshot seen, int limit);

/*
 * Remove the i-th row and return its delta; NULL if another transaction is removing it. The
 * caller must hold the lock on the lead's row.
 */
extern struct varlena *pending_take(Store *store, PendingRows *found, int i);

#endif							/* LEADSCORE_PENDING_H */
