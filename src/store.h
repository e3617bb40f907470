/*
 * store.h: the rows of lead_timeline and pending_delta.
 */
#ifndef LEADSCORE_STORE_H
#define LEADSCORE_STORE_H

#include "timeline.h"

#include "utils/rel.h"

typedef struct Store Store;

/* Told what a lead's timeline was and is, NULL if there was none or is none; both are gone when it has returned. */
typedef void (*RowWritten) (void *arg, const struct varlena *before, const struct varlena *after);

extern Store *store_open(Relation table, bool keyed);
extern void store_add(Store *store, text *lead_id, struct varlena *delta, bool *overflowed, RowWritten written, void *arg);
extern bool store_hold(Store *store, text *lead_id, bool wait);
extern void store_append(Store *store, text *lead_id, struct varlena *delta);
extern void store_close(Store *store);

#endif							/* LEADSCORE_STORE_H */
