/*
 * bulk.h: adds many rows to one of our tables, bypassing the executor.
 */
#ifndef LEADSCORE_BULK_H
#define LEADSCORE_BULK_H

#include "compat.h"

#include "utils/rel.h"

typedef struct Bulk Bulk;

/*
 * Begin to add rows to a table. The caller holds a lock on the table. Returns NULL if the table
 * has been altered: it does not have ncolumns columns, or has something that only the executor
 * handles. Triggers are not fired.
 */
extern Bulk *bulk_open(Relation table, int ncolumns);

/* Add a row. Memory that its values point to must last until bulk_close(). */
extern void bulk_add(Bulk *bulk, const Datum *values, const bool *nulls);
extern void bulk_close(Bulk *bulk);

#endif							/* LEADSCORE_BULK_H */
