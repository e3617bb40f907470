/*
 * latest.h: the row of a customer table that counts, if several rows name one lead.
 */
#ifndef LEADSCORE_LATEST_H
#define LEADSCORE_LATEST_H

#include "compat.h"

#include "nodes/pg_list.h"
#include "utils/jsonb.h"
#include "utils/rel.h"

/* A table, its partitions and children, with the mapping that names the column latest_by. */
typedef struct Latest Latest;

/*
 * Open the tables to look up leads, except tables whose rows no longer count. The
 * tables are locked in AccessShareLock mode without waiting, until the end of the
 * transaction.
 */
extern Latest *latest_open(Oid table, Jsonb *mapping, List *excluded);
extern void latest_close(Latest *latest);

/*
 * Whether leads can be looked up: all tables could be locked and have an index that
 * begins with the lead.
 */
extern bool latest_is_ready(const Latest *latest);

/*
 * The attributes of the row that counts for a lead, and an object with the keys of all
 * its rows (NULL if there are no rows), in the current memory context.
 */
typedef struct LatestRow
{
	Jsonb	   *attributes;
	Jsonb	   *keys;
} LatestRow;

extern LatestRow latest_row(Latest *latest, const text *lead_id);

#endif							/* LEADSCORE_LATEST_H */
