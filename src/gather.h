/*
 * gather.h: the timelines of whole tables.
 */
#ifndef LEADSCORE_GATHER_H
#define LEADSCORE_GATHER_H

#include "source.h"

typedef struct Gathering Gathering;

extern Gathering *gather_begin(const SignalSet *signals, bool in_order);
extern void gather_table(Gathering *gathering, Relation relation, Jsonb *mapping, bool with_children,
						 Datum lead_ids, Datum kinds);
extern void gather_complete(Gathering *gathering);
extern bool gather_next(Gathering *gathering, const char **lead_id, int *length, TimelineBuilder **builder);
extern void gather_end(Gathering *gathering);

#endif							/* LEADSCORE_GATHER_H */
