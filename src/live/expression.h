/*
 * expression.h: SQL expressions over the columns of one row, which a mapping may have in
 * place of a column.
 *
 * An expression is stored as text, in the arguments of the triggers, so no object of the
 * shop depends on it and it makes no migration fail. It is parsed when a session first
 * uses it, and again when the table has changed. So its meaning must depend on nothing
 * but the row: it consists of functions, operators and casts of pg_catalog, and is
 * immutable once the planner has simplified it, like the expressions of an index.
 */
#ifndef LEADSCORE_EXPRESSION_H
#define LEADSCORE_EXPRESSION_H

#include "attempt.h"
#include "compat.h"

#include "access/tupdesc.h"
#include "executor/tuptable.h"
#include "nodes/bitmapset.h"
#include "nodes/execnodes.h"

/* The use of an expression's value. */
typedef enum ExpressionUse
{
	AS_NAME,					/* of a lead, an alias, a kind: a text, a whole number, a uuid, an enum ... */
	AS_TIME,					/* timestamptz, timestamp (read as UTC) or date */
	AS_NUMBER,
	AS_PROPERTY,				/* what jsonb can represent; json becomes jsonb */
	AS_CONDITION				/* boolean */
} ExpressionUse;

/* An expression for the rows of a type. It lives in the memory context that it was made in. */
typedef struct Expression
{
	Node	   *tree;			/* planned; its columns have varno 1, as in an index */
	Oid			type;			/* of the value, without domains */
	Bitmapset  *columns;		/* attribute numbers of the columns that it reads */
	bool		uses_settings;	/* its value depends on settings that pin_settings() pins */
	ExprState  *state;
	ExprContext *context;
} Expression;

/*
 * Make an expression, or raise an error that says what is wrong with its text. The
 * current user must be the owner of the table: reading a literal of a user-defined type
 * can run functions of its owner.
 */
extern Expression *expression_make(const char *text, TupleDesc row, ExpressionUse use);

/* The same, but returns NULL and sets *problem instead of raising an error. */
extern Expression *expression_try(const char *text, TupleDesc row, ExpressionUse use, const char **problem);

/* Its value for a row, in the current memory context. It may raise an error: see attempt_next(). */
extern Datum expression_value(Expression *expression, TupleTableSlot *slot, bool *isnull);

/* Whether a column of an index, counted from 0, holds the value of an expression. */
extern bool expression_is_indexed(const Expression *expression, Relation index, int column);

#endif							/* LEADSCORE_EXPRESSION_H */
