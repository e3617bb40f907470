/*
 * offer.h: vouchers for leads that enter a segment.
 */
#ifndef LEADSCORE_OFFER_H
#define LEADSCORE_OFFER_H

#include "model/scorecard.h"

#include "datatype/timestamp.h"
#include "utils/snapshot.h"

/* An offer on a model that is watched, as a session keeps it. */
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
	bool		has_slots;		/* there is a budget of pieces */
	int32		brake;			/* 0: none */
	TimestampTz resumed_at;
	bool		stopped;
	bool		has_condition;
	Scorecard  *condition;		/* NULL: nobody can meet it */
} Offer;

typedef struct Offers
{
	int			n;
	Offer	   *offers;			/* in the order of their names */
} Offers;

/* Read them into the memory that lasts; SPI must be connected. */
extern void offers_read(Offers *offers, MemoryContext context, Snapshot now);

/* Whether vouchers of an offer are due at an instant to those who enter a segment, or are in it. */
extern bool offer_is_for(const Offer *offer, const text *model, const char *segment, TimestampTz at);

/* Whether a profile meets the condition of an offer. */
extern bool offer_is_met(const Offer *offer, Jsonb *profile);

/* Who is to get a voucher. */
typedef struct Recipient
{
	text	   *lead_id;
	int64		change_id;		/* 0: issue_offer() */
	struct varlena *already;	/* what the lead has done in the last day, as long as one can be; NULL: nothing */
	bool		held_out;
} Recipient;

/* What a lead has done since the UTC day began; NULL: nothing. */
extern struct varlena *done_lately(const struct varlena *timeline, TimestampTz at);

/*
 * Issue vouchers of an offer to leads whose rows of lead_timeline are ours, at
 * most so many, and say how many. offer_slot is locked as writers lock it, SPI is
 * connected; all is read as of "now", which may be newer than the transaction's
 * snapshot. The array is used up.
 */
extern int64 issue_vouchers(const Offer *offer, Recipient *leads, int n, int64 most, TimestampTz at, Snapshot now);

/*
 * Let our statements be planned for look-ups by index, whatever is known of the
 * tables, and days be UTC's. AtEOXact_GUC(false, what is returned) ends it.
 */
extern int	pin_plans(void);

/* Make the setting leadscore.keep_tombstones known. */
extern void define_keep_tombstones(void);

#endif							/* LEADSCORE_OFFER_H */
