/*
 * store.h: the rows of lead_timeline, pending_delta and lead.
 */
#ifndef LEADSCORE_STORE_H
#define LEADSCORE_STORE_H

#include "timeline/timeline.h"

#include "utils/rel.h"

typedef struct Store Store;

/* Whether a table has exactly its first n columns, apart from later columns that have been dropped. */
extern bool has_columns(Relation table, int n);

/*
 * Begin to write to a table with a primary key on lead_id or, if "keyed" is false, with
 * none. NULL if the table is not as the extension created it. The caller holds a lock on
 * the table; earlier writes of this transaction are visible. "newest": also take rows
 * that the transaction's snapshot does not see, at any isolation level.
 */
extern Store *store_open(Relation table, bool keyed, bool newest);
extern void store_close(Store *store);

typedef enum Taken
{
	TAKEN,						/* the row is ours: see store_take() */
	FREE,						/* no row: store_insert() may insert it */
	TAKEN_BY_ANOTHER,
	TOO_LARGE					/* not taken: see stores_leave_large() */
} Taken;

/*
 * Take a lead's row; never waits. "guess": after many leads in succession without a row,
 * assume that the next one has none either; store_insert() finds out. The row's timeline
 * (perhaps toasted) is valid until store_put() or store_set(), one of which must follow
 * TAKEN: once the row is written, it is ours until the transaction ends. (In the table
 * lead it is a profile, or NULL, and the row is locked. So store_leave() may follow, too.)
 */
extern Taken store_take(Store *store, text *lead_id, bool guess, struct varlena **timeline);
extern void store_put(Store *store, struct varlena *timeline);	/* an empty timeline removes the row */
extern void store_set(Store *store, struct varlena *value);	/* NULL removes the row */
extern void store_leave(Store *store);

/* Memory that lasts as long as the taken row. */
extern MemoryContext store_memory(Store *store);

/* Insert a row; false if another transaction is inserting it, too. */
extern bool store_insert(Store *store, text *lead_id, struct varlena *timeline);

/* Whether another transaction is writing a lead's row. Locks nothing; a row that is only locked counts as free. */
extern bool store_is_busy(Store *store, text *lead_id);

/* Lock a lead's row, inserting an empty one ("made") if it has none. False: it is busy, and "wait" is false. */
extern bool store_lock(Store *store, text *lead_id, bool wait, bool *made);

/* Append a row without looking for existing ones. */
extern void store_append(Store *store, text *lead_id, struct varlena *delta);

/* Append several rows, which writes less WAL. */
#define APPENDED_AT_ONCE 64
extern void store_append_some(Store *store, text **lead_ids, struct varlena **deltas, int n);

/* Delete a row; false, and no change, if another transaction is changing it, or has changed it. */
extern bool store_remove(Store *store, ItemPointer row);

/* lead_timeline, on which the caller holds a lock, or its partitions. */
typedef struct Stores Stores;

extern Stores *stores_open(Relation timelines, bool newest);
extern void stores_close(Stores *stores);

/*
 * Before any row is taken: leave those whose timeline is stored out of line (by default, rows of
 * more than 2 kB; the table's storage parameter toast_tuple_target).
 */
extern void stores_leave_large(Stores *stores);

/* The table of a lead's row. The store is NULL if the table is not as the extension created it. */
extern Store *store_of(Stores *stores, const text *lead_id);
extern Relation table_of(Stores *stores, const text *lead_id);

#endif							/* LEADSCORE_STORE_H */
