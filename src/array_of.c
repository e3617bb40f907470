/*
 * array_of.c: arrays of values.
 */
#include "array_of.h"

#include "utils/array.h"
#include "utils/lsyscache.h"

Datum
array_of(Datum *values, bool *nulls, int n, Oid type)
{
	int			lower = 1;
	int16		length;
	bool		by_value;
	char		align;

	get_typlenbyvalalign(type, &length, &by_value, &align);
	return PointerGetDatum(construct_md_array(values, nulls, 1, &n, &lower, type, length, by_value, align));
}
