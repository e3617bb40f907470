/*
 * expression.h: what a mapping says instead of a column: an expression of SQL
 * over the columns of one row.
 *
 * It is kept as text, in the argument of the triggers, so no object of the shop's
 * depends on it and no migration fails for it. It is parsed when a session first
 * uses it, and again when the table has changed. So its meaning may depend on
 * nothing but the row: it is made of functions, operators and casts of pg_catalog,
 * and immutable once the planner has simplified it, as those of an index are.
 */
#ifndef LEADSCORE_EXPRESSION_H
#define LEADSCORE_EXPRESSION_H

#include "attempt.h"
#include "compat.h"

#include "access/tupdesc.h"
#include "executor/tuptable.h"
#include "nodes/bitmapset.h"
#include "nodes/execnodes.h"

/* What the value of an expression is used as. */
typedef enum ExpressionUse
{
	AS_NAME,					/* of a lead, an alias, a kind: a text, a whole number, a uuid, an enum ... */
	AS_TIME,					/* timestamptz, timestamp (read as UTC) or date */
	AS_NUMBER,
	AS_PROPERTY,				/* what jsonb has a form for; json becomes jsonb */
	AS_CONDITION				/* boolean */
} ExpressionUse;

/* An expression for the rows of a type. It lives in the memory context that it was made in. */
typedef struct Expression
{
	Node	   *tree;			/* as planned; its columns are those of relation 1, as in an index */
	Oid			type;			/* of the value, below any domain */
	Bitmapset  *columns;		/* the numbers of the columns that it reads */
	bool		uses_settings;	/* its value depends on settings that pin_settings() pins */
	ExprState  *state;
	ExprContext *context;
} Expression;

/*
 * Make an expression, or raise an error that says what is wrong with its text. This is
 * done as the current user, who has to be the table's owner: types of others can run
 * functions of theirs where a literal is read.
 */
extern Expression *expression_make(const char *text, TupleDesc row, ExpressionUse use);

/* The same, with what is wrong in *problem instead, and then NULL. */
extern Expression *expression_try(const char *text, TupleDesc row, ExpressionUse use, const char **problem);

/* Its value for a row, in the current memory context. It may fail: see attempt_next(). */
extern Datum expression_value(Expression *expression, TupleTableSlot *slot, bool *isnull);

/* Whether a column of an index, counted from 0, has the value of an expression. */
extern bool expression_is_indexed(const Expression *expression, Relation index, int column);

#endif							/* LEADSCORE_EXPRESSION_H */
