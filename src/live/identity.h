/*
 * identity.h: changes of names, and the locks that order them.
 */
#ifndef LEADSCORE_IDENTITY_H
#define LEADSCORE_IDENTITY_H

#include "compat.h"

#include "nodes/pg_list.h"

/*
 * Lock a name exclusively until the end of the transaction; false if another
 * transaction holds a conflicting lock.
 */
extern bool try_to_lock_name(const text *name);

/* Lock a name in shared mode, as one that other names count for; otherwise the same. */
extern bool try_to_share_name(const text *name);

/*
 * Whether an alias keeps its lead until the transaction ends: the transaction holds the
 * lock on the name already, or consists of the running statement and gets the lock, in
 * shared mode. So no statement takes a lock for a transaction that may stay open.
 */
extern bool try_to_keep_name(const text *name);

/*
 * Whether the transaction's snapshot sees the aliases and edges from and to some names
 * as they are now.
 */
extern bool edges_are_seen(text **names, int n);

/*
 * Move the timelines in the rows of new aliases to deltas under the same names. The
 * aliases must already be in lead_alias.
 */
extern void give_up_rows(text **aliases, int n);

/* Leave names in pending_identity, to be looked at again later. */
extern void append_look_again(text **names, int n);

/* Call at the end of a transaction, which has released its locks. */
extern void forget_locked_names(void);

/* Carry out at most "most" waiting changes of names, from number "first" on. */
extern void carry_out_changes(int64 first, int64 most);

/* Carry out the rebuilds that were requested while statements were running: a list of PostponedRebuild. */
extern void carry_out_rebuilds(List *postponed);

#endif							/* LEADSCORE_IDENTITY_H */
