/*
 * query_cache.h: the cache of a function between its calls in one query, valid as long
 * as the query reads with the same snapshot.
 */
#ifndef LEADSCORE_QUERY_CACHE_H
#define LEADSCORE_QUERY_CACHE_H

#include "fmgr.h"

/* The first member of every such cache. */
typedef struct QueryCache
{
	MemoryContext context;		/* holds all of it */
	TransactionId xmin,
				xmax;			/* these and the next two identify the snapshot */
	uint64		completed;
	CommandId	command;
} QueryCache;

/* A query looks up so many rows one by one before it reads all of them. */
#define FEW 8

/* The cache, or NULL if there is none for the active snapshot. */
extern void *query_cache_get(FunctionCallInfo fcinfo);

/* Replace the cache by a new one of so many bytes, all zero after the first member. */
extern void *query_cache_new(FunctionCallInfo fcinfo, Size size);

#endif							/* LEADSCORE_QUERY_CACHE_H */
