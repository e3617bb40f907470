/*
 * closure.h: which lead a name counts for, by the edges of identify() and of tracked
 * tables.
 */
#ifndef LEADSCORE_CLOSURE_H
#define LEADSCORE_CLOSURE_H

#include "compat.h"

/*
 * Bring lead_alias up to date for some names and for all names whose path leads through
 * them, as the owner of our tables. Puts names that have to wait into "left", which must
 * have room for all names, and returns their number. "asked": by the user, not for a
 * tracked table.
 */
extern int	settle_names(text **names, int n, text **left, bool asked);

/* An edge of a tracked table that is about to be written, the only one of its name there. */
typedef struct NewEdge
{
	text	   *alias;
	text	   *lead;
	bool		is_settled;
} NewEdge;

/*
 * Settle the names of new edges, in the order of the names, where that is easily done: a name
 * that had neither an edge nor aliases becomes an alias of one that is none. Sets is_settled.
 */
extern void settle_new_edges(NewEdge *edges, int n);

#endif							/* LEADSCORE_CLOSURE_H */
