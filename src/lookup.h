/*
 * lookup.h: rows of our tables by a text column that an index begins with.
 *
 * Whoever looks up chooses the snapshot. Triggers use SnapshotSelf: it shows
 * what is committed now and what the transaction has written itself, and a
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
	Relation	index;			/* NULL: none that fits */
	IndexScanDesc scan;
	TupleTableSlot *slot;		/* the row that was found */
	MemoryContext context;		/* a scan allocates when it likes to, and keeps that */

	/* of keys that come in their order: */
	FmgrInfo   *compare;		/* two values of the index; NULL: keys come in any order */
	RegProcedure not_below;		/* its operator >= */
	const text *key;			/* the last one, which must stay where it is */
	Datum		entry;			/* of the index, where the scan stands; 0: there are no more */
	bool		is_read;		/* its row has been looked at */
} Lookup;

/*
 * Whether a table has to be looked into, though it has no rows: what a
 * serializable transaction has not found, it must have looked for.
 */
extern bool must_look(Snapshot snapshot);

/* The error of tables that lack what we have made; the detail is a sentence. */
pg_noreturn extern void fail_for_index(const char *detail);

/* Delete a row, if nobody else has it; returns whether it is done. */
extern bool remove_row(Relation table, ItemPointer row);

/* Open a table to look up by a column, numbered from 1; false if it has no index for that. */
extern bool lookup_open(Lookup *lookup, Relation table, AttrNumber column, Snapshot snapshot);
extern void lookup_close(Lookup *lookup);

/*
 * The same for keys that come in their order, nearly: the entry that follows one
 * key tells, mostly, whether there is another. What is added to the index while keys
 * are looked up may not be found; entries of a key that the caller has locked are.
 */
extern bool lookup_open_sorted(Lookup *lookup, Relation table, AttrNumber column, Snapshot snapshot);

extern void lookup_begin(Lookup *lookup, const text *key);
extern bool lookup_next(Lookup *lookup);

/* The next entry of the index; "found": and its row is there, and is seen. */
extern bool lookup_next_entry(Lookup *lookup, bool *found);

/* Whether the index has an entry of the key that lookup_begin() was called with, in whatever state its row is; keys come in their order. */
extern bool lookup_has_entry(Lookup *lookup);

/* The row of a key, where the index is unique; lookup->slot holds it. */
extern bool lookup_unique(Lookup *lookup, const text *key);

/* The same by a scan of a unique index with any snapshot; "begin" (or NULL): where the index entry points to. */
extern bool scan_unique(IndexScanDesc scan, const text *key, TupleTableSlot *slot, ItemPointer begin);

/* A varlena column of the row of a key, where the index is unique, copied and detoasted; 0 if there is none, or it is NULL. */
extern Datum lookup_value(Lookup *lookup, const text *key, AttrNumber column);

#endif							/* LEADSCORE_LOOKUP_H */
