/*
 * array_of.h: arrays of values.
 */
#ifndef LEADSCORE_ARRAY_OF_H
#define LEADSCORE_ARRAY_OF_H

#include "compat.h"

/* An array of one dimension; "nulls" may be NULL: none. */
extern Datum array_of(Datum *values, bool *nulls, int n, Oid type);

#endif							/* LEADSCORE_ARRAY_OF_H */
