/*
 * partition.h: the tables that lead_timeline is split into.
 */
#ifndef LEADSCORE_PARTITION_H
#define LEADSCORE_PARTITION_H

#include "compat.h"

#include "utils/rel.h"
#include "utils/snapshot.h"

/*
 * The trigger on lead_timeline that refuses rows while it is split. Code that chooses the
 * right table itself need not fire it.
 */
#define GUARD_TRIGGER "guard_timelines"

/* The number of the table of a lead, out of "ntables". */
extern int	partition_of(const char *lead_id, int length, int ntables);

/*
 * The number of tables that lead_timeline is split into, or 0 if it is whole. Sets "tables"
 * to an array of them. The caller must have locked lead_timeline.
 */
extern int	partition_tables(Relation timelines, Oid **tables);

/*
 * Whether a snapshot sees the rows of lead_timeline in their current tables; false if they
 * have been moved since it was taken.
 */
extern bool timelines_are_seen(Relation timelines, Snapshot snapshot);
pg_noreturn extern void fail_for_move(void);

#endif							/* LEADSCORE_PARTITION_H */
