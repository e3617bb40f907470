/*
 * query_cache.h: what a function keeps from call to call of one query, as long as
 * that reads with the same snapshot.
 */
#ifndef LEADSCORE_QUERY_CACHE_H
#define LEADSCORE_QUERY_CACHE_H

#include "fmgr.h"

/* The first member of what is kept. */
typedef struct QueryCache
{
	MemoryContext context;		/* holds all of it */
	TransactionId xmin,
				xmax;			/* which snapshot it was */
	uint64		completed;
	CommandId	command;
} QueryCache;

/* So many rows of a query are looked up one by one, before all are read. */
#define FEW 8

/* What is kept, or NULL if that is of another snapshot. */
extern void *query_cache_get(FunctionCallInfo fcinfo);

/* Keep so many bytes, which are zero, in place of what was kept. */
extern void *query_cache_new(FunctionCallInfo fcinfo, Size size);

#endif							/* LEADSCORE_QUERY_CACHE_H */
