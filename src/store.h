/*
 * store.h: the rows of lead_timeline and pending_delta.
 */
#ifndef LEADSCORE_STORE_H
#define LEADSCORE_STORE_H

#include "timeline.h"

#include "utils/rel.h"

typedef struct Store Store;

extern Store *store_open(Relation table, bool keyed);
extern void store_add(Store *store, text *lead_id, struct varlena *delta, bool *overflowed);
extern void store_append(Store *store, text *lead_id, struct varlena *delta);
extern void store_close(Store *store);

#endif							/* LEADSCORE_STORE_H */
