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

extern void lookup_begin(Lookup *lookup, const text *key);
extern bool lookup_next(Lookup *lookup);

/* The next entry of the index; "found": and its row is there, and is seen. */
extern bool lookup_next_entry(Lookup *lookup, bool *found);

/* The row of a key, where the index is unique; lookup->slot holds it. */
extern bool lookup_unique(Lookup *lookup, const text *key);

/* The same by a scan of a unique index with any snapshot; "begin" (or NULL): where the index entry points to. */
extern bool scan_unique(IndexScanDesc scan, const text *key, TupleTableSlot *slot, ItemPointer begin);

/* A varlena column of the row of a key, where the index is unique, copied and detoasted; 0 if there is none, or it is NULL. */
extern Datum lookup_value(Lookup *lookup, const text *key, AttrNumber column);

#endif							/* LEADSCORE_LOOKUP_H */
