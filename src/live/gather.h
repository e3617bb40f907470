/*
 * gather.h: the timelines of whole tables.
 */
#ifndef LEADSCORE_GATHER_H
#define LEADSCORE_GATHER_H

#include "live/source.h"

typedef struct Gathering Gathering;

/* Outcomes of the rows that were read. */
enum
{
	/* the values of RowFault come first */
	TALLY_COUNTED = ROW_FAULTS,
	TALLY_WITHOUT_SIGNAL,
	TALLY_ARCHIVED,
	TALLY_IN_FUTURE,			/* among the counted rows */
	TALLY_ENTRIES
};

typedef struct RowTally
{
	int64		rows;
	Oid			table;			/* table and TID of the first such row */
	ItemPointerData row;
	char	   *message;		/* the error of its expression, or NULL */
} RowTally;

extern Gathering *gather_begin(const SignalSet *signals, bool in_order);

/* Tally the rows that are read from now on, in an array of TALLY_ENTRIES elements. */
extern void gather_tally(Gathering *gathering, RowTally *tally);
extern void gather_table(Gathering *gathering, Relation relation, Jsonb *mapping, bool with_children,
						 Datum lead_ids, Datum kinds);
extern void gather_complete(Gathering *gathering);
extern bool gather_next(Gathering *gathering, const char **lead_id, int *length, TimelineBuilder **builder);
extern void gather_end(Gathering *gathering);

#endif							/* LEADSCORE_GATHER_H */
