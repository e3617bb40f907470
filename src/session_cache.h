/*
 * session_cache.h: caches that a session keeps between statements, until a
 * table that they were made from changes.
 */
#ifndef LEADSCORE_SESSION_CACHE_H
#define LEADSCORE_SESSION_CACHE_H

#include "compat.h"

#include "executor/spi.h"
#include "lib/ilist.h"

/* A cached value. The owner sets the first two members, the others are private. */
typedef struct SessionCache
{
	const char *name;			/* shown in pg_backend_memory_contexts */
	bool		uses_casts;		/* a created or dropped cast invalidates it, too */

	bool		listed;			/* in the list of all caches */
	bool		changed;		/* an invalidation arrived since loading began */
	void	   *value;			/* NULL: not loaded */
	MemoryContext context;		/* holds the value */
	int			ntables;
	int			capacity;
	Oid		   *tables;			/* tables that the value depends on; the caller named the first */
	dlist_node	node;
} SessionCache;

/* Makes the value in the current memory context, which lives as long as the value; never returns NULL. */
typedef void *(*SessionCacheLoad) (SessionCache *cache, void *arg);

/* The value made from a table, loaded if necessary; valid until the transaction ends. */
extern void *session_cache_get(SessionCache *cache, Oid table, SessionCacheLoad load, void *arg);

/* Call while loading: the value depends on another table, too. */
extern void session_cache_depends_on(SessionCache *cache, Oid table);

/* Discard a cache that is no longer needed. */
extern void session_cache_forget(SessionCache *cache);

/*
 * The plan of a command: prepared on first use and kept in a static variable for
 * the session. SPI must be connected. Keep commands to a line or two, because
 * they appear in the CONTEXT of errors; long queries are functions in sql/.
 */
extern SPIPlanPtr session_plan(SPIPlanPtr *plan, const char *command, int nargs, Oid *types);

#endif							/* LEADSCORE_SESSION_CACHE_H */
