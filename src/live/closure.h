/*
 * closure.h: whom names count for, by the edges that identify() and tracked tables have made.
 */
#ifndef LEADSCORE_CLOSURE_H
#define LEADSCORE_CLOSURE_H

#include "compat.h"

/*
 * Bring lead_alias up to date for some names and for all whose way leads through
 * them, as the owner of our tables. Names that have to wait are put into "left", which
 * has room for all. Returns how many. "asked": by the user, not for a tracked table.
 */
extern int	settle_names(text **names, int n, text **left, bool asked);

#endif							/* LEADSCORE_CLOSURE_H */
