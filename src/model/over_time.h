/*
 * over_time.h: what a lead is worth at many instants, in one walk over its timeline.
 */
#ifndef LEADSCORE_OVER_TIME_H
#define LEADSCORE_OVER_TIME_H

#include "model/appraise.h"

typedef struct OverTime
{
	Scorecard  *card;
	MemoryContext context;
	int32		n;				/* instants */
	int32	   *hours;			/* of them, ascending */
	Appraisal  *appraisals;		/* what the last lead came to at each; stage and last_hour are not set */

	/* while a lead is scored, for each instant */
	int32		first;			/* the first instant at which there is the lead */
	double	   *engagement;
	double	   *parts;			/* nparts rows of n */
	double	   *measured;		/* of one weight */
	bool	   *found;
	bool	   *conditions;		/* nconditions rows of n: those that hold */
	bool	   *happened;		/* nweights rows of n: those with if_none that measured something */
	int32	   *last_hours;		/* ngroups rows of n: of signals from which others count, or NO_HOUR */

	/* of one signal */
	int32		capacity;
	int32	   *signal_hours;
} OverTime;

extern OverTime *over_time_create(MemoryContext context, Scorecard *card, int32 n, const int32 *hours);

/*
 * Appraise a lead at all instants; returns the first at which it is there, or
 * n. It is there from the first hour of its timeline on, and always if it has
 * none.
 */
extern int32 over_time_lead(OverTime *over, const struct varlena *timeline, Jsonb *profile);

#endif							/* LEADSCORE_OVER_TIME_H */
