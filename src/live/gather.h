/*
 * gather.h: the timelines of whole tables.
 */
#ifndef LEADSCORE_GATHER_H
#define LEADSCORE_GATHER_H

#include "live/source.h"

typedef struct Gathering Gathering;

/* What has become of the rows that were read. */
enum
{
	/* RowFault, then */
	TALLY_COUNTED = ROW_FAULTS,
	TALLY_WITHOUT_SIGNAL,
	TALLY_IN_FUTURE,			/* of those that are counted */
	TALLY_ENTRIES
};

typedef struct RowTally
{
	int64		rows;
	Oid			table;			/* where the first of them is */
	ItemPointerData row;
	char	   *message;		/* what its expression fails with, or NULL */
} RowTally;

extern Gathering *gather_begin(const SignalSet *signals, bool in_order);

/* Count rows from here on: into an array of TALLY_ENTRIES. */
extern void gather_tally(Gathering *gathering, RowTally *tally);
extern void gather_table(Gathering *gathering, Relation relation, Jsonb *mapping, bool with_children,
						 Datum lead_ids, Datum kinds);
extern void gather_complete(Gathering *gathering);
extern bool gather_next(Gathering *gathering, const char **lead_id, int *length, TimelineBuilder **builder);
extern void gather_end(Gathering *gathering);

#endif							/* LEADSCORE_GATHER_H */
