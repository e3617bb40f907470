/*
 * appraise.h: what a timeline and a profile are worth on a scorecard.
 */
#ifndef LEADSCORE_APPRAISE_H
#define LEADSCORE_APPRAISE_H

#include "model/scorecard.h"

#define NO_HOUR PG_INT32_MIN

/* What one weight, or rule, came to. */
typedef struct Contribution
{
	bool		active;			/* false: nothing to measure, worth if_none or 0 */
	double		measured;
	double		uncapped_points;
	double		points;
	int32		last_hour;		/* of the signal within the weight's window, or NO_HOUR */
} Contribution;

/* What a lead came to. */
typedef struct Appraisal
{
	double		engagement;
	double		fit;
	double		score;
	uint64		rules;			/* that hold, by their bits */
	int32		stage;			/* index, or -1 */
	int32		last_hour;		/* of any signal, or NO_HOUR */
} Appraisal;

/*
 * Score a lead at an hour, of which the hours up to "known" (not after
 * "hour") are known: all, or those before it. Timeline and profile may be
 * NULL. Where "contributions" is not NULL it has room for one entry a weight,
 * and behind them one a rule.
 */
extern void appraise_lead(Scorecard *card, const struct varlena *timeline, Jsonb *profile,
						  int32 hour, int32 known, Appraisal *appraisal, Contribution *contributions);

/*
 * The steps of appraise_lead(): a turn begins, timeline and profile are
 * booked, and then what needs all of it: absence, rules, limits.
 */
extern void appraise_begin(Scorecard *card, Appraisal *appraisal);
extern void appraise_profile(Scorecard *card, Jsonb *profile, Appraisal *appraisal, Contribution *contributions);
extern void appraise_end(Scorecard *card, Appraisal *appraisal, Contribution *contributions);

/*
 * The number of the first segment by position whose conditions hold, counted
 * from 1, or 0. A lead that has been in a segment ("current", or NULL) for so
 * many microseconds leaves it for one of a higher position, or for none, only
 * when its cool-down is over and its hysteresis does not hold it.
 */
extern int32 segment_number(const Scorecard *card, const Appraisal *appraisal, const char *current, int64 stayed);

/* Of a conversion, where the scorecard has intercept and slope. */
extern double logit_of(const Scorecard *card, const Appraisal *appraisal);
extern double probability_of(const Scorecard *card, const Appraisal *appraisal);

/*
 * Read the arguments (scorecard, timeline, profile, at) of an SQL function and
 * appraise; false if the scorecard or the instant is NULL.
 */
extern bool appraise_arguments(FunctionCallInfo fcinfo, Scorecard **card, Appraisal *appraisal,
							   Contribution **contributions);

/* What each weight measured and whether each rule holds, as a float8[]. */
extern Datum measured_array(const Scorecard *card, const Contribution *contributions);

/* The function score(scorecard, timeline, profile, at). */
extern Datum score(PG_FUNCTION_ARGS);

#endif							/* LEADSCORE_APPRAISE_H */
