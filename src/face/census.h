/*
 * census.h: how many leads each segment has at instants.
 */
#ifndef LEADSCORE_CENSUS_H
#define LEADSCORE_CENSUS_H

#include "model/over_time.h"

#include "utils/array.h"

/* A segment at an instant. */
typedef struct Cell
{
	int64		leads;
	int64		entered;
	int64		departed;
	double		sum;			/* of the leads' scores */
} Cell;

typedef struct Census
{
	OverTime   *over;			/* NULL: leads are appraised elsewhere, or the state is only merged into */
	int32		rows;			/* instants */
	int32		columns;		/* no segment, then each segment */
	Cell	   *cells;			/* rows by columns */
} Census;

extern Census *census_create(MemoryContext context, int32 rows, int32 columns);
extern void census_count(Census *census, int32 row, const Scorecard *card, const Appraisal *appraisal, int32 *before);
extern Datum census_figures(const Census *census, bool *isnull);
extern int32 *hours_of_instants(ArrayType *instants, int32 *n);

#endif							/* LEADSCORE_CENSUS_H */
