/*
 * session_cache.c: caches that a session keeps between statements.
 *
 * The server has ten slots for relcache callbacks, for all extensions together,
 * and a session that needs an eleventh ends with a FATAL error. So the library
 * has one callback, which marks the caches that depend on the changed table.
 *
 * A value is loaded in a child of the caller's memory context, and is kept once
 * it is complete: an error during loading leaves the cache unloaded and leaks no
 * memory. An invalidation that arrives during loading marks the cache as
 * changed: this caller still gets the value, and the next one loads it again. A
 * replaced value may still be in use further up the call stack, so its memory is
 * freed only when the transaction ends.
 */
#include "session_cache.h"

#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

static dlist_head caches = DLIST_STATIC_INIT(caches);

static bool
depends_on(const SessionCache *cache, Oid table)
{
	for (int i = 0; i < cache->ntables; i++)
		if (cache->tables[i] == table)
			return true;
	return false;
}

/* The relcache callback: a table has changed, or (InvalidOid) any table. */
static void
table_changed(Datum arg pg_attribute_unused(), Oid table)
{
	dlist_iter	i;

	dlist_foreach(i, &caches)
	{
		SessionCache *cache = dlist_container(SessionCache, node, i.cur);

		if (table == InvalidOid || depends_on(cache, table))
			cache->changed = true;
	}
}

/* The syscache callback: a cast was created or dropped. */
static void
cast_changed(Datum arg pg_attribute_unused(), int cache_id pg_attribute_unused(), uint32 hash pg_attribute_unused())
{
	dlist_iter	i;

	dlist_foreach(i, &caches)
	{
		SessionCache *cache = dlist_container(SessionCache, node, i.cur);

		cache->changed = cache->changed || cache->uses_casts;
	}
}

/* Register a cache for invalidations. */
static void
list_cache(SessionCache *cache)
{
	static bool registered = false;

	if (!registered)
	{
		CacheRegisterRelcacheCallback(table_changed, (Datum) 0);
		registered = true;
		CacheRegisterSyscacheCallback(CASTSOURCETARGET, cast_changed, (Datum) 0);
	}
	if (!cache->listed)
		dlist_push_tail(&caches, &cache->node);
	cache->listed = true;
}

/* Drop the value. Its memory lasts until the transaction ends, since callers further up may still use it. */
static void
discard(SessionCache *cache)
{
	if (cache->context)
		MemoryContextSetParent(cache->context, TopTransactionContext);
	cache->context = NULL;
	cache->value = NULL;
}

void
session_cache_depends_on(SessionCache *cache, Oid table)
{
	if (cache->ntables == cache->capacity)
	{
		int			capacity = Max(1, 2 * cache->capacity);

		cache->tables = cache->tables ? repalloc(cache->tables, capacity * sizeof(Oid))
			: MemoryContextAlloc(TopMemoryContext, capacity * sizeof(Oid));
		cache->capacity = capacity;
	}
	cache->tables[cache->ntables++] = table;
}

void *
session_cache_get(SessionCache *cache, Oid table, SessionCacheLoad load, void *arg)
{
	MemoryContext context;
	MemoryContext old;
	void	   *value;

	if (cache->value && !cache->changed && cache->tables[0] == table)
		return cache->value;

	list_cache(cache);
	discard(cache);
	cache->ntables = 0;
	session_cache_depends_on(cache, table);
	cache->changed = false;		/* an invalidation from here on sets it */
	context = AllocSetContextCreate(CurrentMemoryContext, "leadscore cache", ALLOCSET_SMALL_SIZES);
	MemoryContextSetIdentifier(context, cache->name);
	old = MemoryContextSwitchTo(context);
	value = load(cache, arg);
	MemoryContextSwitchTo(old);
	MemoryContextSetParent(context, TopMemoryContext);
	discard(cache);				/* loading may have called this function recursively */
	cache->context = context;
	cache->value = value;
	return value;
}

void
session_cache_forget(SessionCache *cache)
{
	discard(cache);
	if (cache->listed)
		dlist_delete(&cache->node);
	if (cache->tables)
		pfree(cache->tables);
	memset(cache, 0, sizeof(SessionCache));
}

SPIPlanPtr
session_plan(SPIPlanPtr *plan, const char *command, int nargs, Oid *types)
{
	if (*plan == NULL)
	{
		SPIPlanPtr	prepared = SPI_prepare(command, nargs, types);

		if (prepared == NULL || SPI_keepplan(prepared) != 0)
			elog(ERROR, "could not prepare \"%s\"", command);
		*plan = prepared;
	}
	return *plan;
}
