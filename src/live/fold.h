/*
 * fold.h: pending deltas, merged into the rows of their leads.
 */
#ifndef LEADSCORE_FOLD_H
#define LEADSCORE_FOLD_H

#include "compat.h"

/*
 * Merge what is pending under some names, which are in order and each once, into
 * the rows of their leads; those that somebody else has are left. "newest": what
 * the transaction's snapshot does not see, too. Returns how many rows of
 * pending_delta have been merged.
 */
extern int64 fold_names(text **names, int n, bool newest);

/* The next names of a scan of pending rows, in order and each once; "end": those were the last. */
extern int	read_names(TableScanDesc scan, TupleTableSlot *slot, AttrNumber column, text **names, int most, bool *end);

#endif							/* LEADSCORE_FOLD_H */
