/*
 * scorecard.h: a model's document, compiled for scoring.
 *
 * Event weights are grouped by signal. The groups are ordered by signal_id, like
 * the signals of a timeline, so scoring touches only the weights of signals that
 * the lead has.
 *
 *     Scorecard
 *       weights[]     in the document's order
 *       rules[]       in the document's order, each with a range of
 *       conditions[]  measured like weights, but worth nothing by themselves
 *       groups[]      event signals by signal_id   ─┐ each with the numbers
 *       profiles[]    profile signals              ─┘ of its weights and conditions
 *       absences[]    the weights that are worth something if nothing happened
 *       simple[]      conditions that the last hour of a signal decides
 *       decays[]      one for each distinct (half_life, fades_over, window)
 *       parts[]       categories, split into their event and profile part
 *       stages[], grades[] (highest min_fit first), segments[] (by position)
 *
 * A weight that counts from the last hour of another signal (since_signal) waits
 * until the whole timeline has been read, because that signal may come later.
 */
#ifndef LEADSCORE_SCORECARD_H
#define LEADSCORE_SCORECARD_H

#include "model/document.h"
#include "model/signal.h"
#include "timeline/local_day.h"

/* The most that a weight can be worth. */
#define MOST_POINTS 1e290

typedef enum Measure
{
	MEASURE_COUNT,
	MEASURE_VALUE,
	MEASURE_AVERAGE_VALUE,
	MEASURE_ACTIVE_DAYS,
	MEASURE_DAYS_SINCE_LAST,
	MEASURE_DAYS_SINCE_FIRST,
	MEASURE_PRESENT
} Measure;

/*
 * How much an hour counts at each age: a table, built once ages have been
 * looked up often, if the scorecard's tables have room for it. Otherwise the
 * factor is computed each time, to the same bits.
 */
typedef struct Decay
{
	int32		half_life;		/* hours; 0: none */
	int32		fades_over;		/* hours; 0: none */
	int32		within;			/* hours; older ones count nothing; 0: all count */
	int32		capacity;		/* of the table; 0: not built yet */
	int32		misses;			/* look-ups outside the table */
	double	   *factors;		/* by age */
	double	   *spaced;			/* the same by age % step, then by age / step; NULL: not built (see over_time.c) */
	int32		spaced_step;
	int32		spaced_rows;	/* of each remainder */
	int32		spaced_capacity;	/* capacity when it was built */
	struct Scorecard *card;		/* its tables share one limit */
} Decay;

/* What is measured of a signal, and what that is worth. A rule's condition is also one, without points. */
typedef struct Weight
{
	int32		weight_id;
	bool		has_weight_id;
	bool		has_if_none;
	int32		part;			/* of a category, or -1 */
	int32		figure;			/* what is added up for it, if its group adds up */
	int32		stage;			/* index, or -1 */
	Measure		measure;
	bool		banded;
	bool		linear;			/* neither a band nor a curve */
	bool		any_figure;		/* for a condition: one hour in its window is enough */
	bool		same_figure;	/* it measures what the weight before it measures, of its group */
	int32		within;			/* hours; 0: all */
	int32		until;			/* the same; PG_INT32_MAX: all */
	int32		max_per_day;	/* 0: all */
	Decay	   *decay;			/* or NULL */
	struct SignalWeights *since;	/* only hours after the last hour of this signal are measured; NULL: all */
	double	   *total;			/* where its points go: the sum of a part, or of what has no category */
	uint64		happened;		/* the turn in which it measured something */
	double		points;
	double		if_none;		/* points if there is nothing to measure */
	double		absent_points;	/* the same within the weight's limits */
	double		at_least;		/* -inf: no lower bound */
	double		below;			/* +inf: no upper bound */
	double		min_points;
	double		max_points;
	/* for the rows of contributions() */
	const char *signal;
	const char *label;			/* of the signal, or NULL */
	const char *measure_name;
	const char *category;
	const char *stage_name;
} Weight;

/* Indexes of weights, or of conditions. */
typedef struct Indexes
{
	int32		n;
	int32		capacity;
	int32	   *items;
} Indexes;

/* What is added up while the hours of a signal are read. */
enum
{
	FIGURE_COUNT,				/* three sums of occurrences */
	FIGURE_VALUE = 3,			/* one of values */
	FIGURE_LIMITED,				/* two of occurrences, at most so many a day */
	SUMS = 6,
	FIGURE_ACTIVE_DAYS = SUMS,	/* and figures that are no sums */
	FIGURE_SINCE_LAST,
	FIGURES
};

/* The weights and conditions of one signal. */
typedef struct SignalWeights
{
	const char *signal;
	int32		signal_id;		/* of an event signal */
	const char *label;			/* or NULL */
	bool		needs_values;	/* something measures values */
	bool		needs_days;		/* something counts days, or up to a limit per day */
	PropertyMatcher matcher;	/* of a profile signal */
	bool		any_profile;	/* any profile has this signal: it has no matcher */
	bool		nobody_matches; /* an unknown profile has this signal */
	bool		is_start;		/* some weight counts from its last hour */
	bool		needs_last_age; /* something measures days since the last hour */
	bool		adds_up;		/* all that is measured is added up while the hours are read */
	bool		by_day;			/* some of it by the day */
	bool		plain;			/* it adds up and has only sums, some of which may be added up later */
	int32		max_per_day;	/* of FIGURE_LIMITED; 0: there is none */
	int32		limited_until;	/* its window, and that of FIGURE_ACTIVE_DAYS, as Weight.until */
	int32		active_until;
	Decay	   *sums[SUMS];		/* what is added up: NULL: nothing */
	const double *factors[SUMS];	/* its table; if nothing is added up, any */
	Weight	  **added_up;		/* the weights, then NULL */
	Weight	  **added_later;	/* the same of those that count from the last hour of another signal */
	Weight	  **added_conditions;
	Indexes		weights;		/* those that count from the beginning */
	Indexes		later;			/* those that count from the last hour of another signal */
	Indexes		conditions;
	Indexes		measured;		/* those of the conditions that need a figure */

	/* while a lead is scored */
	uint64		seen;			/* the turn that set last_hour */
	int32		last_hour;
	double		figures[FIGURES];	/* if it adds up */
	TimelineReader reader;		/* before its hours, if weights wait until the whole timeline has been read */
} SignalWeights;

/* A condition that the last hour of its signal decides: it happened if that lies within a window. */
typedef struct Simple
{
	const SignalWeights *group;
	uint32		condition;
	int32		within;			/* hours */
} Simple;

/* A category's event or profile part, limited by itself. */
typedef struct CategoryPart
{
	const char *category;
	bool		profile;
	double		min_points;
	double		max_points;
} CategoryPart;

typedef struct Stage
{
	const char *stage;
	int32		position;
	int32		within;			/* hours; 0: no limit */
} Stage;

typedef struct Grade
{
	const char *grade;
	double		min_fit;
} Grade;

/* Conditions of a rule that share a word of Scorecard.held: a bit for each. */
typedef struct RuleWord
{
	int32		word;
	uint64		all_of;
	uint64		any_of;
	uint64		none_of;
} RuleWord;

/* A condition across signals. */
typedef struct Rule
{
	const char *rule;
	const char *description;	/* or NULL */
	const char *category;		/* or NULL */
	double		points;			/* 0: it only defines segments */
	bool		has_points;
	bool		profile;		/* it concerns only profiles, so its points are fit */
	int32		part;			/* of a category, or -1 */
	double	   *total;			/* where its points go, as those of a weight */
	uint64		bit;			/* in Appraisal.rules; 0: no segment names it */
	/* conditions[]: from all_of on, those that must all hold; then the "any", then the "none" conditions */
	int32		all_of;
	int32		any_of;
	int32		none_of;
	int32		end;
	int32		nwords;			/* the same as bits */
	RuleWord   *words;
} Rule;

typedef struct Segment
{
	const char *segment;
	int32		position;
	uint64		rules;			/* bits of the rules that must hold */
	double		above_score;
	double		min_score;
	double		min_fit;
	double		min_engagement;
	double		hysteresis;		/* points */
	int32		cool_down;		/* hours; 0: none */
} Segment;

typedef struct Scorecard
{
	double		floor;
	double		ceiling;
	bool		has_probability;
	double		intercept;
	double		slope;

	LocalDays  *days;			/* of a time zone; NULL: UTC days */

	int32		nweights;
	int32		nrules;
	int32		nconditions;
	int32		ngroups;
	int32		nprofiles;
	int32		nparts;
	int32		nstages;
	int32		ngrades;
	int32		nsegments;
	int32		nsimple;
	Weight	   *weights;
	Rule	   *rules;
	Weight	   *conditions;
	Indexes		absences;
	Simple	   *simple;
	SignalWeights *groups;
	SignalWeights *profiles;
	CategoryPart *parts;
	Stage	   *stages;
	Grade	   *grades;
	Segment    *segments;

	/* the group of each signal_id below nsignal_ids, or NULL */
	int32		nsignal_ids;
	SignalWeights **group_of;
	int32		decay_factors;	/* in the tables of all decays */
	int32		covered_ages;	/* all tables of what is added up have the factors of ages below this */
	int32		slow_leads;		/* scored while they had not */

	MemoryContext context;		/* holds all of it */
	ResultRow	row;			/* of appraise() */

	/* while a lead is scored */
	uint64		turn;			/* the number of the lead */
	double	   *totals;			/* points of each part, then of events and profiles without a category */
	int32		nheld;			/* words */
	uint64	   *held;			/* a bit for each condition that holds */
	int32		nlater;
	SignalWeights **later;		/* signals whose weights wait */

	/* room for a timeline's bytes, and for the hours of one signal */
	uint8	   *bytes;
	Size		bytes_size;
	int32		scratch_capacity;
	int32	   *ages;
	double	   *occurrences;
	double	   *values;
	int32	   *day_numbers;
	double	   *limited;
} Scorecard;

/* The number of terms: weights, then rules. */
static inline int32
nterms(const Scorecard *card)
{
	return card->nweights + card->nrules;
}

/* Note that a condition holds, and whether one does. */
static inline void
note_condition(Scorecard *card, uint32 condition, bool holds)
{
	card->held[condition / 64] |= (uint64) holds << condition % 64;
}

static inline bool
condition_noted(const Scorecard *card, uint32 condition)
{
	return card->held[condition / 64] >> condition % 64 & 1;
}

extern void *scorecard_compile(Jsonb *document);
extern Scorecard *scorecard_compile_in(MemoryContext context, Datum document);
extern double decay_factor_slow(Decay *decay, int32 age);
extern void extend_sums(Scorecard *card, int32 age);

/* The decay factor of an hour that is "age" (>= 0) hours old. */
static inline double
decay_factor(Decay *decay, int32 age)
{
	if (likely(age < decay->capacity))
		return decay->factors[age];
	return decay_factor_slow(decay, age);
}

#endif							/* LEADSCORE_SCORECARD_H */
