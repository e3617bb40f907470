/*
 * additive.h: logistic regression on columns that are functions of codes.
 */
#ifndef LEADSCORE_ADDITIVE_H
#define LEADSCORE_ADDITIVE_H

#include "compat.h"

#define MOST_CODES 256
#define MOST_COLUMNS 1000

/* A variable: a code for each row, and columns, each a number for each code. */
typedef struct Variable
{
	const uint8 *codes;
	int			n_codes;
	int			n_columns;
	double	   *table;			/* n_columns by n_codes */
	double	   *raw;			/* share of l2 that each column's penalty has */
	double	   *fixed;			/* and what it has besides */
} Variable;

/* Rows, and the columns that they are fitted by: the intercept is 0, then those of each variable. */
typedef struct Design
{
	int64		n;
	const bool *outcomes;
	int			n_variables;
	int			n_columns;		/* with the intercept */
	Variable   *variables;
	int		   *first;			/* column of each variable */
} Design;

/* What the codes of a variable are in one of its columns. */
static inline const double *
column_values(const Design *design, int variable, int column)
{
	const Variable *v = &design->variables[variable];

	return v->table + (column - design->first[variable]) * v->n_codes;
}

/* What some rows have to be fitted: which take part, what the penalty is. */
typedef struct Problem
{
	const Design *design;
	const uint8 *folds;			/* of each row */
	int			left_out;		/* fold, or -1 */
	double	   *penalties;		/* of each column */
} Problem;

extern void design_finish(Design *design);
extern void set_penalties(Problem *problem, double l2);
extern double *hessian_at(const Problem *problem, const double *beta);
extern double *factor_of(const Problem *problem, const double *hessian);
extern void fit_additive(const Problem *problem, const double *factor, double small, double *beta);
extern void spread(const Design *design, const double *beta, double *rows);
extern void collect(const Design *design, const double *rows, double *columns);
extern void weigh_columns(const Design *design, const double *weights, double *hessian);
extern double log_loss_of(const bool *outcomes, const double *logits, int64 n);
extern double starting_intercept(const Problem *problem);

#endif							/* LEADSCORE_ADDITIVE_H */
