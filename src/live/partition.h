/*
 * partition.h: the tables that lead_timeline is split into.
 */
#ifndef LEADSCORE_PARTITION_H
#define LEADSCORE_PARTITION_H

#include "compat.h"

#include "utils/rel.h"
#include "utils/snapshot.h"

/* The trigger on lead_timeline that refuses rows while it is split; those who know where rows belong need not fire it. */
#define GUARD_TRIGGER "guard_timelines"

/* The table of a lead, of so many. */
extern int	partition_of(const char *lead_id, int length, int ntables);

/* How many tables lead_timeline, which the caller has locked, is split into: 0 if it is whole. Sets an array of them. */
extern int	partition_tables(Relation timelines, Oid **tables);

/* Whether a snapshot sees the rows of lead_timeline where they are: false if they have been moved since it was taken. */
extern bool timelines_are_seen(Relation timelines, Snapshot snapshot);
pg_noreturn extern void fail_for_move(void);

#endif							/* LEADSCORE_PARTITION_H */
