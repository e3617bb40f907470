/*
 * over_time.h: scores a lead at many instants in one walk over its timeline.
 */
#ifndef LEADSCORE_OVER_TIME_H
#define LEADSCORE_OVER_TIME_H

#include "model/appraise.h"

/* Instants at which a weight measures the same: from one to before that of the next run. */
typedef struct Run
{
	int32		first;
	bool		found;
	double		measured;
} Run;

typedef struct OverTime
{
	Scorecard  *card;
	MemoryContext context;
	int32		n;				/* instants */
	int32	   *hours;			/* of the instants, ascending */
	int32		step;			/* hours between two instants; 0: it differs, or is 0 */
	Appraisal  *appraisals;		/* results of the last lead at each instant; stage and last_hour are not set */

	/* while a lead is scored, for each instant */
	int32		first;			/* the first instant at which the lead exists */
	double	   *engagement;
	double	   *parts;			/* nparts rows of n */
	double	   *measured;		/* of one weight */
	bool	   *found;
	int32		n_runs;
	Run		   *runs;			/* of one weight */
	bool	   *conditions;		/* nconditions rows of n: whether each holds */
	bool	   *happened;		/* nweights rows of n: whether each with if_none measured something */
	int32	   *last_hours;		/* ngroups rows of n: of signals that others count from, or NO_HOUR */

	/* of one signal */
	int32		capacity;
	int32	   *signal_hours;
} OverTime;

extern OverTime *over_time_create(MemoryContext context, Scorecard *card, int32 n, const int32 *hours);

/*
 * Appraise a lead at all instants; returns the first instant at which it
 * exists, or n. A lead exists from the first hour of its timeline on; without
 * a timeline it always exists.
 */
extern int32 over_time_lead(OverTime *over, const struct varlena *timeline, Jsonb *profile);

#endif							/* LEADSCORE_OVER_TIME_H */
