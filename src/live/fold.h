/*
 * fold.h: merging pending deltas into the rows of their leads.
 */
#ifndef LEADSCORE_FOLD_H
#define LEADSCORE_FOLD_H

#include "compat.h"

/*
 * Merge what is pending under some names, which must be sorted and distinct, into the
 * rows of their leads. Skips leads whose row another transaction has locked. "newest":
 * also merge what the transaction's snapshot does not see. Returns how many rows of
 * pending_delta have been merged.
 */
extern int64 fold_names(text **names, int n, bool newest);

/* Whether other transactions are writing the rows of all these names, so that nothing can be merged now. */
extern bool names_are_busy(text **names, int n);

/* The next names of a scan of pending rows, sorted and distinct; "end": there are no more. */
extern int	read_names(TableScanDesc scan, TupleTableSlot *slot, AttrNumber column, text **names, int most, bool *end);

#endif							/* LEADSCORE_FOLD_H */
