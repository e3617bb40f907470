/*
 * lookup.h: looks up rows of our tables by a text column that is the first
 * column of an index.
 *
 * The caller chooses the snapshot. Triggers use SnapshotSelf: it shows what
 * is committed now and what the transaction itself has written, and a
 * serializable transaction takes no predicate lock for it.
 */
#ifndef LEADSCORE_LOOKUP_H
#define LEADSCORE_LOOKUP_H

#include "compat.h"

#include "access/genam.h"
#include "utils/rel.h"
#include "utils/snapshot.h"

typedef struct Lookup
{
	Relation	table;
	Relation	index;			/* NULL: no usable index */
	IndexScanDesc scan;
	TupleTableSlot *slot;		/* the row found */
	MemoryContext context;		/* current when it was opened: a scan allocates memory at any time and keeps it */

	/* for keys in ascending order: */
	FmgrInfo   *compare;		/* compares two values of the index; NULL: keys come in any order */
	RegProcedure not_below;		/* its operator >= */
	const text *key;			/* the last key, which the caller must keep in place */
	Datum		entry;			/* key of the current index entry; 0: no more entries */
	bool		is_read;		/* the row of the entry has been fetched */
	int			far;			/* how many more keys than not were far from the previous one */
} Lookup;

/*
 * Whether a lookup must scan a table even though it has no rows: a
 * serializable transaction that finds no row needs the predicate lock that
 * the scan takes.
 */
extern bool must_look(Snapshot snapshot);

/* Raise an error because an index of our tables is missing; the detail is a sentence. */
pg_noreturn extern void fail_for_index(const char *detail);

/* Delete a row unless another transaction has changed or locked it; returns whether it was deleted. */
extern bool remove_row(Relation table, ItemPointer row);

/* Open a table to look up rows by a column (numbered from 1); false if no index fits. */
extern bool lookup_open(Lookup *lookup, Relation table, AttrNumber column, Snapshot snapshot);
extern void lookup_close(Lookup *lookup);

/*
 * The same for keys that come mostly in ascending order: the entry after one key
 * usually tells whether the next key has one. The scan may miss entries that are
 * added to the index while keys are looked up, but not the entries of a key that the
 * caller has locked.
 */
extern bool lookup_open_sorted(Lookup *lookup, Relation table, AttrNumber column, Snapshot snapshot);

extern void lookup_begin(Lookup *lookup, const text *key);
extern bool lookup_next(Lookup *lookup);

/* The next entry of the index; "found" tells whether it leads to a visible row. */
extern bool lookup_next_entry(Lookup *lookup, bool *found);

/*
 * Whether the index has an entry for the key passed to lookup_begin(), whether or not its row is
 * visible. For lookups opened with lookup_open_sorted().
 */
extern bool lookup_has_entry(Lookup *lookup);

/* The row of a key in a unique index; it is in lookup->slot. */
extern bool lookup_unique(Lookup *lookup, const text *key);

/*
 * The same, with a scan of a unique index and any snapshot; "begin" (or NULL) receives the TID in
 * the index entry. "to_write": fetch the row as fetch_to_write() does.
 */
extern bool scan_unique(IndexScanDesc scan, const text *key, TupleTableSlot *slot, ItemPointer begin, bool to_write);

/*
 * Fetch the visible version of a row of a heap that is to be updated, by the TID where its HOT
 * chain begins. The page is cleaned up only if it lacks room for one more version of the row:
 * the server's own fetch does it, and logs it, almost each time that a row is updated.
 * "all_dead": no transaction can see any version.
 */
extern bool fetch_to_write(IndexFetchTableData *fetch, const ItemPointerData *begin, Snapshot snapshot, TupleTableSlot *slot, bool *all_dead);

/*
 * A varlena column of the row of a key in a unique index, copied and detoasted; 0 if there is no
 * row or the column is NULL.
 */
extern Datum lookup_value(Lookup *lookup, const text *key, AttrNumber column);

#endif							/* LEADSCORE_LOOKUP_H */
