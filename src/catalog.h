/*
 * catalog.h: our tables by their names, and whether there is anything in them.
 *
 * Not for the core, which takes its configuration as an argument.
 */
#ifndef LEADSCORE_CATALOG_H
#define LEADSCORE_CATALOG_H

#include "compat.h"

#include "utils/rel.h"

extern bool is_our_schema(Oid schema);
extern Oid	our_table(const char *name);
extern Oid	our_owner(void);

/* Whether a table, or one of ours, can have rows. */
extern bool has_pages(Relation table);
extern bool table_has_pages(const char *name);

/* Whether it had some when this session last looked, or added one: never asked too often. */
extern bool had_pages(Relation table);

/* Whether a table, which is locked, has a block. */
extern bool has_block(Relation table, BlockNumber block);

/* A static variable of one place in the code, which opens one table with one lock. */
typedef struct Look
{
	uint64		locking;		/* when it last did */
	bool		again;			/* in this transaction, which has the lock since */
} Look;

/* Open one of our tables, and lock it if this transaction has not done so here before: to have a lock again costs as much as all the rest. */
extern Relation open_once(const char *name, LOCKMODE mode, Look *look);

/*
 * Whether a table that has been opened so can have rows, or could when this
 * transaction first opened it, for those who need not know what others have done
 * since: what this session has done is seen.
 */
extern bool has_pages_once(Relation table, const Look *look);

/* A transaction has ended, or a subtransaction has failed: locks are gone that later looks relied on. */
extern void forget_looks(void);

/* Whether a dump is being loaded. */
extern bool in_restore(void);

/* Whether there can be an alias. */
extern bool aliases_exist(void);

/* Whether anything can be derived from the events of a source. */
extern bool is_derived_from(Oid source);

#endif							/* LEADSCORE_CATALOG_H */
