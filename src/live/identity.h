/*
 * identity.h: changes of names: who may make them, and when.
 */
#ifndef LEADSCORE_IDENTITY_H
#define LEADSCORE_IDENTITY_H

#include "compat.h"

#include "nodes/pg_list.h"

/* Lock a name exclusively, to the end of the transaction; false if somebody else has it. */
extern bool try_to_lock_name(const text *name);

/* The transaction has ended, and its locks with it. */
extern void forget_locked_names(void);

/* Carry out changes of names that wait, from a number on, at most so many. */
extern void carry_out_changes(int64 first, int64 most);

/* Carry out rebuilds that were asked for while statements were running: a list of PostponedRebuild. */
extern void carry_out_rebuilds(List *postponed);

#endif							/* LEADSCORE_IDENTITY_H */
