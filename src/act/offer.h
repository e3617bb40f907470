/*
 * offer.h: vouchers for leads that enter a segment.
 */
#ifndef LEADSCORE_OFFER_H
#define LEADSCORE_OFFER_H

#include "model/scorecard.h"

#include "datatype/timestamp.h"
#include "utils/snapshot.h"

/* An offer on a watched model, as cached by a session. */
typedef struct Offer
{
	text	   *offer;
	text	   *model;
	const char *segment;
	TimestampTz starts_at;
	TimestampTz ends_at;
	int			causes;			/* 1 << cause */
	Interval   *again_after;	/* NULL: never */
	int64		held_out_below;
	bool		has_slots;		/* the budget is a number of vouchers */
	int32		brake;			/* 0: none */
	TimestampTz resumed_at;
	bool		stopped;
	bool		has_condition;
	Scorecard  *condition;		/* NULL: no lead can meet it */
} Offer;

typedef struct Offers
{
	int			n;
	Offer	   *offers;			/* ordered by name */
} Offers;

/* Read them into "context"; SPI must be connected. */
extern void offers_read(Offers *offers, MemoryContext context, Snapshot now);

/* Whether an offer is open at an instant for leads that enter a segment or are in it. */
extern bool offer_is_for(const Offer *offer, const text *model, const char *segment, TimestampTz at);

/* Whether a profile meets the condition of an offer. */
extern bool offer_is_met(const Offer *offer, Jsonb *profile);

/* A lead to issue a voucher to. */
typedef struct Recipient
{
	text	   *lead_id;
	int64		change_id;		/* 0: issued by issue_offer() */
	struct varlena *already;	/* the lead's events of the longest possible last day; NULL: none */
	bool		held_out;
} Recipient;

/* A lead's events of the last day, taken at its longest (25 hours); NULL: none. */
extern struct varlena *done_lately(const struct varlena *timeline, TimestampTz at);

/*
 * Issue at most so many vouchers of an offer to leads; returns the number issued. The caller
 * holds the locks on the leads' rows of lead_timeline and a ROW EXCLUSIVE lock on offer_slot
 * until the transaction ends, and has connected SPI. Everything is read with the snapshot
 * "now", which may be newer than the transaction's. Overwrites the array.
 */
extern int64 issue_vouchers(const Offer *offer, Recipient *leads, int n, int64 most, TimestampTz at, Snapshot now);

/*
 * Make the planner use index look-ups for our statements, whatever the tables' statistics,
 * and set the time zone to UTC. Returns the GUC nest level; AtEOXact_GUC(false, level)
 * restores the settings.
 */
extern int	pin_plans(void);

#endif							/* LEADSCORE_OFFER_H */
