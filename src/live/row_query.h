/*
 * row_query.h: the rows of some leads or kinds of a table, found by a query.
 */
#ifndef LEADSCORE_ROW_QUERY_H
#define LEADSCORE_ROW_QUERY_H

#include "compat.h"

#include "executor/spi.h"
#include "utils/jsonb.h"
#include "utils/rel.h"

/* Up to so many leads are looked up by a query that is planned once per session. */
#define FEW_LEADS 100

/* The query for the rows of some leads ($1) and kinds ($2); NULL: every such query could fail. */
extern char *row_query(Relation relation, Jsonb *mapping, bool by_lead, bool by_kind);

/*
 * The plan of that query for a few leads, which the session keeps; NULL: there is none.
 * Call this and execute the plan with pinned settings.
 */
extern SPIPlanPtr few_leads_plan(Relation relation, Jsonb *mapping);

#endif							/* LEADSCORE_ROW_QUERY_H */
