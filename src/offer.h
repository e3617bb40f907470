/*
 * offer.h: vouchers for leads that enter a segment.
 */
#ifndef LEADSCORE_OFFER_H
#define LEADSCORE_OFFER_H

#include "compat.h"

#include "datatype/timestamp.h"
#include "utils/snapshot.h"

/*
 * Issue what is offered to leads that have changed their segment at an instant:
 * arrays of models, lead_ids, segments before and after. SPI must be connected;
 * all is read as of "now", which may be newer than the transaction's snapshot.
 */
extern void issue_vouchers(const Datum changes[4], TimestampTz at, Snapshot now);

#endif							/* LEADSCORE_OFFER_H */
