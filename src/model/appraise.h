/*
 * appraise.h: what a timeline and a profile are worth on a scorecard.
 */
#ifndef LEADSCORE_APPRAISE_H
#define LEADSCORE_APPRAISE_H

#include "model/scorecard.h"

#define NO_HOUR PG_INT32_MIN

/* The result of one weight or rule. */
typedef struct Contribution
{
	bool		active;			/* false: nothing to measure, worth if_none or 0 */
	double		measured;
	double		uncapped_points;
	double		points;
	int32		last_hour;		/* of the signal within the weight's window, or NO_HOUR */
} Contribution;

/* The result for a lead. */
typedef struct Appraisal
{
	double		engagement;
	double		fit;
	double		score;
	uint64		rules;			/* bits of the rules that hold */
	int32		stage;			/* index, or -1 */
	int32		last_hour;		/* of any signal, or NO_HOUR */
} Appraisal;

/*
 * Score a lead at an hour, given its hours up to "known" (not after "hour"):
 * up to that hour, or only those before it. Timeline and profile may be NULL.
 * "contributions", if not NULL, has room for one entry per weight, followed
 * by one per rule.
 */
extern void appraise_lead(Scorecard *card, const struct varlena *timeline, Jsonb *profile,
						  int32 hour, int32 known, Appraisal *appraisal, Contribution *contributions);

/*
 * The steps of appraise_lead(): begin a turn, book the timeline and the
 * profile, then book what depends on all of it: absence, rules, limits.
 */
extern void appraise_begin(Scorecard *card, Appraisal *appraisal);
extern void appraise_profile(Scorecard *card, Jsonb *profile, Appraisal *appraisal, Contribution *contributions);
extern void appraise_end(Scorecard *card, Appraisal *appraisal, Contribution *contributions);

/*
 * The number, from 1, of the first segment by position whose conditions hold,
 * or 0. A lead that has been in a segment ("current", or NULL) for this many
 * microseconds moves to one of a higher position, or to none, only when its
 * cool-down is over and its hysteresis does not hold it.
 */
extern int32 segment_number(const Scorecard *card, const Appraisal *appraisal, const char *current, int64 stayed);

/* The probability of a conversion, if the scorecard has intercept and slope. */
extern double logit_of(const Scorecard *card, const Appraisal *appraisal);
extern double probability_of(const Scorecard *card, const Appraisal *appraisal);

/* The grade of a lead, or NULL. */
extern const char *grade_of(const Scorecard *card, const Appraisal *appraisal);

/* An appraisal as the row that an SQL function returns. */
extern Datum appraisal_row(Scorecard *card, const Appraisal *appraisal, FunctionCallInfo fcinfo);

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
