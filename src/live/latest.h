/*
 * latest.h: the row of a table of customers that counts, where several may name
 * one lead.
 */
#ifndef LEADSCORE_LATEST_H
#define LEADSCORE_LATEST_H

#include "compat.h"

#include "nodes/pg_list.h"
#include "utils/jsonb.h"
#include "utils/rel.h"

/* A table, its partitions and children, with the mapping that says by what the latest row is known. */
typedef struct Latest Latest;

/*
 * Open them to look up leads, but for some tables whose rows count no more.
 * Nobody is waited for. They stay locked, AccessShareLock, until the transaction
 * ends.
 */
extern Latest *latest_open(Oid table, Jsonb *mapping, List *excluded);
extern void latest_close(Latest *latest);

/* Whether a lead can be looked up: all tables were free, and have an index that begins with the lead. */
extern bool latest_is_ready(const Latest *latest);

/*
 * The attributes of the row of a lead that counts (NULL: there is none), and an
 * object with the keys of all of its rows (NULL: there are none), in the current
 * memory context.
 */
typedef struct LatestRow
{
	Jsonb	   *attributes;
	Jsonb	   *keys;
} LatestRow;

extern LatestRow latest_row(Latest *latest, const text *lead_id);

#endif							/* LEADSCORE_LATEST_H */
