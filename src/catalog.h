/*
 * catalog.h: finds our tables by name, and tells whether they can have rows.
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

/* Whether a table, given open or by its name, can have rows. */
extern bool has_pages(Relation table);
extern bool table_has_pages(const char *name);

/* Whether a table had pages when this session last asked for its size or added a block. Cheaper than has_pages(). */
extern bool had_pages(Relation table);

/* Whether a table has a block. The caller holds a lock on the table. */
extern bool has_block(Relation table, BlockNumber block);

/* A static variable for one call site, which opens one table in one lock mode. */
typedef struct Look
{
	uint64		locking;		/* the lock generation of the last open */
	bool		again;			/* the transaction opened it here before, and still holds the lock */
} Look;

/*
 * Open one of our tables, and lock it unless this transaction has already locked it at this call
 * site: locking it again would cost as much as all the rest. Close it with NoLock, so that the lock
 * is held until the transaction ends.
 */
extern Relation open_once(const char *name, LOCKMODE mode, Look *look);

/*
 * Whether a table opened with open_once() can have rows, now or when this
 * transaction first opened it. For callers that do not need to see what other
 * sessions have done since; changes by this session are seen.
 */
extern bool has_pages_once(Relation table, const Look *look);

/* Called when a transaction ends or a subtransaction fails: the locks that later looks rely on are gone. */
extern void forget_looks(void);

/* Whether a dump is being loaded. */
extern bool in_restore(void);

/* Whether there can be an alias. */
extern bool aliases_exist(void);

/* Whether events can be derived from the events of a source. */
extern bool is_derived_from(Oid source);

#endif							/* LEADSCORE_CATALOG_H */
