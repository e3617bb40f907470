/*
 * learner.h: what propose() learns with: rows, columns, what is to be chosen.
 */
#ifndef LEADSCORE_LEARNER_H
#define LEADSCORE_LEARNER_H

#include "learn/additive.h"
#include "learn/candidate.h"

#define FOLDS 4
#define SURE 1.0				/* standard errors that a choice has to be better than one with fewer columns, */
#define VERY_SURE 2.0			/* and one with pairs than one without */
#define MOST_TRIED 16			/* choices without pairs */
#define MOST_PRODUCTS 300		/* pairs of tests that a card is made of */

typedef enum ColumnKind
{
	COLUMN_STEP,				/* at least a bin's cut */
	COLUMN_LEVEL,
	COLUMN_ABSENT,
	COLUMN_LINE,
	COLUMN_LOG,
	COLUMN_OWN
} ColumnKind;

/* A condition on one candidate: code from "code" on (but not absent), or that code. */
typedef struct Test
{
	int			candidate;
	ColumnKind	kind;
	int			code;
} Test;

/* Two tests that hold together. */
typedef struct Product
{
	Test		tests[2];
	double		points;			/* in log odds, */
	double		weight;			/* and how much they matter */
} Product;

typedef struct Products
{
	int			n;
	Product		products[MOST_PRODUCTS];
} Products;

/* A column: a test, or two that hold together. */
typedef struct Column
{
	bool		is_product;
	Test		test;
	Test		other;
} Column;

/* Rows that are learned from, or a sample of them. */
typedef struct Set
{
	int64		n;
	const int64 *rows;			/* of a sample: which; or NULL */
	bool	   *outcomes;
	uint64	   *hashes;			/* of leads */
	uint8	   *folds;
	uint8	  **codes;			/* by candidate */
} Set;

/* What is to be chosen. */
typedef struct Choice
{
	bool		standard;		/* all columns are standardised */
	int			bins;			/* of a number; 0: none but curves */
	bool		lines;
	bool		logs;
	bool		windows;
	bool		decays;
	double		l2;
	double		loss;
	double	   *logits;			/* of rows that had no say */
} Choice;

/* What is chosen: the mean of the choices that are as good as the best, as far as chance allows to tell; and pairs. */
typedef struct Mixture
{
	int			n;
	Choice		choices[MOST_TRIED];	/* the best first */
	Choice		widest;			/* with all candidates that one of them has */
	int			rounds;			/* of pairs */
	double		loss;
	double	   *logits;			/* of rows that had no say */
} Mixture;

typedef struct Learner
{
	Gathering  *gathering;
	int			max_weights;	/* 0: any number */
	int			max_pairs;		/* in a round */
	double		l2;				/* NaN: chosen */
	int			bins;			/* -1: chosen */
	double		slope;			/* of a point */
	bool		round;

	int			n_candidates;
	Candidate **candidates;
	bool	   *is_used;
	Set			all;
	Set			sample;
	int			n_tried;
	Choice		tried[MOST_TRIED];
	StringInfoData choices;		/* as JSON */
	int			n_choices;
} Learner;

/* A design under construction. */
typedef struct Builder
{
	Design		design;
	Column	   *columns;		/* the first is the design's second, after the intercept */
	int			n_columns;
	int			capacity;
} Builder;

/* A model told in few 0/1 columns. */
typedef struct Card
{
	Builder		builder;
	double	   *beta;			/* of each column; the intercept is 0 */
	bool	   *is_kept;
	int			n_kept;			/* without the intercept and a card's own points */
} Card;

typedef struct Grids Grids;

/* columns.c */
extern void make_sets(Learner *learner);
extern void limit_candidates(Learner *learner);
extern bool is_number(const Candidate *candidate);
extern bool takes(const Learner *learner, const Choice *choice, int c);
extern bool holds(const Candidate *candidate, const Test *test, int code);
extern bool own_moments(const Candidate *candidate, double *mean, double *deviation);
extern int	group_bins(const Candidate *candidate, int most, uint8 *group_of);
extern int	count_columns(const Learner *learner, const Choice *choice);
extern void build(Builder *builder, const Learner *learner, const Set *set, const Choice *choice);
extern void build_card(Builder *builder, const Learner *learner, const Set *set, const Choice *choice, const Products *products);
extern void add_curves(const Builder *builder, const double *beta, double share, double *curves);

/* choose.c */
extern void choose(Learner *learner, Mixture *chosen);
extern void note_choice(Learner *learner, const Choice *choice, int pairs);
extern void start_fit(Problem *problem, const Builder *builder, const Set *set, double l2, double **beta);
extern double advantage(const Set *set, const double *logits, const double *others);
extern void append_number(StringInfo json, double number);
extern double figure_of(PGFunction final, const Set *set, const double *logits);

/* mixture.c */
extern void mix(const Learner *learner, Mixture *mixture);
extern void mixture_finish(const Learner *learner, Mixture *mixture);
extern double *fit_mixture(const Learner *learner, const Mixture *mixture, const Set *set, double small, double *logits, double **fold_logits);

/* pairs.c */
extern Grids *fit_pairs(const Learner *learner, const Mixture *mixture, const double *curves, double *logits);
extern void grids_tell(const Grids *grids, const Learner *learner, int64 n, double *curves, Products *products);
extern void choose_pairs(Learner *learner, Mixture *best);

/* coarsen.c */
extern void make_card(Card *card, const Learner *learner, const Choice *choice, const double *curves, const Products *products, const double *logits);
extern bool is_own(const Card *card, int column);
extern void round_points(Card *card, double unit);
extern bool line_through(const double *targets, const double *scores, int64 n, double *intercept, double *slope);

#endif							/* LEADSCORE_LEARNER_H */
