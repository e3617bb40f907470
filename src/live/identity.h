/*
 * identity.h: changes of names: who may make them, and when.
 */
#ifndef LEADSCORE_IDENTITY_H
#define LEADSCORE_IDENTITY_H

#include "compat.h"

#include "nodes/pg_list.h"

/* Lock a name exclusively, to the end of the transaction; false if somebody else has it. */
extern bool try_to_lock_name(const text *name);

/* Lock a name that is counted for, likewise. */
extern bool try_to_share_name(const text *name);

/*
 * Whether the transaction's snapshot sees some names, their edges and those that
 * lead to them as they are now.
 */
extern bool edges_are_seen(text **names, int n);

/* Leave what the rows of names that have become aliases hold under them: lead_alias has them already. */
extern void give_up_rows(text **aliases, int n);

/* Leave names in pending_identity, to be looked at again. */
extern void append_look_again(text **names, int n);

/* The transaction has ended, and its locks with it. */
extern void forget_locked_names(void);

/* Carry out changes of names that wait, from a number on, at most so many. */
extern void carry_out_changes(int64 first, int64 most);

/* Carry out rebuilds that were asked for while statements were running: a list of PostponedRebuild. */
extern void carry_out_rebuilds(List *postponed);

#endif							/* LEADSCORE_IDENTITY_H */
