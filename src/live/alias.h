/*
 * alias.h: edges of tables that say whose a name is.
 */
#ifndef LEADSCORE_ALIAS_H
#define LEADSCORE_ALIAS_H

#include "postgres.h"

#include "executor/tuptable.h"
#include "utils/tuplestore.h"

/* Remove edges, each packed as remember_owed() was told. The slot is of the store's rows. */
extern void remove_edges(Tuplestorestate *edges, TupleTableSlot *slot);

#endif							/* LEADSCORE_ALIAS_H */
