/*
 * query_cache.c: the cache of a function between its calls in one query.
 */
#include "postgres.h"

#include "live/query_cache.h"

#include "utils/memutils.h"
#include "utils/snapmgr.h"

void *
query_cache_get(FunctionCallInfo fcinfo)
{
	QueryCache *cache = fcinfo->flinfo->fn_extra;
	Snapshot	snapshot = GetActiveSnapshot();

	if (cache && cache->xmin == snapshot->xmin && cache->xmax == snapshot->xmax && cache->command == snapshot->curcid &&
		cache->completed == snapshot->snapXactCompletionCount)
		return cache;
	return NULL;
}

void *
query_cache_new(FunctionCallInfo fcinfo, Size size)
{
	QueryCache *cache = fcinfo->flinfo->fn_extra;
	Snapshot	snapshot = GetActiveSnapshot();
	MemoryContext context;

	if (cache)
		MemoryContextDelete(cache->context);
	fcinfo->flinfo->fn_extra = NULL;
	context = AllocSetContextCreate(fcinfo->flinfo->fn_mcxt, "leadscore query", ALLOCSET_DEFAULT_SIZES);
	cache = MemoryContextAllocZero(context, size);
	*cache = (QueryCache) {context, snapshot->xmin, snapshot->xmax, snapshot->snapXactCompletionCount, snapshot->curcid};
	fcinfo->flinfo->fn_extra = cache;
	return cache;
}
