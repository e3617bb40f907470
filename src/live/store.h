/*
 * store.h: the rows of lead_timeline, pending_delta and lead.
 */
#ifndef LEADSCORE_STORE_H
#define LEADSCORE_STORE_H

#include "timeline/timeline.h"

#include "utils/rel.h"

typedef struct Store Store;

/* Whether a table has its first columns, so many, and no others but such as have been dropped. */
extern bool has_columns(Relation table, int n);

/*
 * Begin to write to a table with a primary key on lead_id or ("keyed" is false)
 * none. NULL if it is not as we have made it. The table must be locked; what this
 * transaction has written before is seen. "newest": take rows that the
 * transaction's snapshot does not see, too, at whatever level of isolation.
 */
extern Store *store_open(Relation table, bool keyed, bool newest);
extern void store_close(Store *store);

typedef enum Taken
{
	TAKEN,						/* the row is ours until the transaction ends */
	FREE,						/* there is none: store_insert() may make it */
	TAKEN_BY_ANOTHER
} Taken;

/*
 * Take a lead's row; never waits. "guess": where many leads in a row had none, the
 * next one is taken to have none, too, and store_insert() finds out. The timeline that it holds (perhaps toasted)
 * is there until store_put(), store_set() or store_leave(), one of which must follow TAKEN.
 * (Of lead it is a profile, or NULL.)
 */
extern Taken store_take(Store *store, text *lead_id, bool guess, struct varlena **timeline);
extern void store_put(Store *store, struct varlena *timeline);	/* an empty timeline removes the row */
extern void store_set(Store *store, struct varlena *value);	/* NULL removes the row */
extern void store_leave(Store *store);

/* Memory that lasts as long as the row that was taken. */
extern MemoryContext store_memory(Store *store);

/* Make a row; false if somebody else is making it, too. */
extern bool store_insert(Store *store, text *lead_id, struct varlena *timeline);

/* Take a lead's row to keep it, "made" empty where there is none. False: somebody else has it, and we are not to wait. */
extern bool store_lock(Store *store, text *lead_id, bool wait, bool *made);

/* Append a row, whatever rows there are. */
extern void store_append(Store *store, text *lead_id, struct varlena *delta);

/* Append several, which takes less of the server's log. */
#define APPENDED_AT_ONCE 64
extern void store_append_some(Store *store, text **lead_ids, struct varlena **deltas, int n);

/* Remove a row; false if somebody else is at it, or was: it is left alone. */
extern bool store_remove(Store *store, ItemPointer row);

/* lead_timeline, which must be locked, or the tables that it is split into. */
typedef struct Stores Stores;

extern Stores *stores_open(Relation timelines, bool newest);
extern void stores_close(Stores *stores);

/* Where a lead has its row. The store is NULL if the table is not as we have made it. */
extern Store *store_of(Stores *stores, const text *lead_id);
extern Relation table_of(Stores *stores, const text *lead_id);

#endif							/* LEADSCORE_STORE_H */
