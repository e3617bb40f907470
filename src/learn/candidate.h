/*
 * candidate.h: what may tell of an outcome, gathered from leads and coded.
 */
#ifndef LEADSCORE_CANDIDATE_H
#define LEADSCORE_CANDIDATE_H

#include "label.h"
#include "model/scorecard.h"

#define MOST_BINS 32				/* of a number that has steps, */
#define FINEST_BINS 128			/* and of one that has a curve */
#define FEWEST_LEADS 10			/* of a level that gets a column */

typedef enum CandidateKind
{
	CANDIDATE_MEASURE,			/* of events: a weight of the scorecard of measures */
	CANDIDATE_NUMBER,			/* an attribute's numbers */
	CANDIDATE_LEVELS,			/* its texts and booleans */
	CANDIDATE_ELEMENT,			/* one element of its arrays */
	CANDIDATE_OWN				/* the points of a card that there is */
} CandidateKind;

typedef struct Candidate
{
	CandidateKind kind;
	int			measure;		/* number of the weight, from 0 */
	const char *attribute;
	const char *element;		/* as JSON */
	/* of each row where there is something: numbers, or numbers of levels */
	int64		n;
	int64		capacity;
	int32	   *rows;
	double	   *values;
	int			n_levels;
	int			levels_capacity;
	const char **levels;		/* as JSON */
	int64	   *level_rows;
	bool		too_many;		/* levels */
	const char *left_out;		/* why, or NULL */

	/* codes: those of bins or levels in use, from 0; then that of other levels, and that of nothing */
	int			n_codes;
	int			n_used;
	int			absent;			/* code, or -1 */
	uint8	   *codes;
	double	   *cuts;			/* of bins from 1 on: the least number */
	double	   *means;			/* of bins */
	int		   *level_of;		/* of codes in use */
	int64	   *counts;			/* rows of each code */
} Candidate;

typedef struct Gathering Gathering;

extern Gathering *gathering_create(MemoryContext context, Scorecard *measures);
extern void gathering_add(Gathering *gathering, const struct varlena *timeline, Jsonb *profile, int32 cutoff, bool outcome, int64 hash, bool has_own, double own);
extern int	gathering_finish(Gathering *gathering, Candidate ***candidates);
extern int64 gathering_rows(const Gathering *gathering, const bool **outcomes, const int64 **hashes);
extern const Weight *gathering_weight(const Gathering *gathering, int measure);

#endif							/* LEADSCORE_CANDIDATE_H */
