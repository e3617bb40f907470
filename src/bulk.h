/*
 * bulk.h: many rows that are added to a table of ours, past the executor.
 */
#ifndef LEADSCORE_BULK_H
#define LEADSCORE_BULK_H

#include "compat.h"

#include "utils/rel.h"

typedef struct Bulk Bulk;

/*
 * Begin to add rows to a table, which must be locked, that has so many columns and nothing that
 * only the executor sees to; NULL: somebody has changed it. Triggers are not fired.
 */
extern Bulk *bulk_open(Relation table, int ncolumns);

/* Add a row; what its values point to must last until bulk_close(). */
extern void bulk_add(Bulk *bulk, const Datum *values, const bool *nulls);
extern void bulk_close(Bulk *bulk);

#endif							/* LEADSCORE_BULK_H */
