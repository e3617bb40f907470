/*
 * row_query.h: the rows of some leads or kinds of a table, found by a query.
 */
#ifndef LEADSCORE_ROW_QUERY_H
#define LEADSCORE_ROW_QUERY_H

#include "compat.h"

#include "executor/spi.h"
#include "utils/jsonb.h"
#include "utils/rel.h"

/* Leads for which a query is used that is planned once a session. */
#define FEW_LEADS 100

/* The query for the rows of some leads ($1) and kinds ($2), or NULL: there is none that cannot fail. */
extern char *row_query(Relation relation, Jsonb *mapping, bool by_lead, bool by_kind);

/* Its plan for a few leads, which the session keeps; NULL: there is none. To be called, as its execution, with the settings pinned. */
extern SPIPlanPtr few_leads_plan(Relation relation, Jsonb *mapping);

#endif							/* LEADSCORE_ROW_QUERY_H */
