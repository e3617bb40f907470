/*
 * session_cache.h: what a session keeps between statements, until a table that
 * it was made from changes.
 */
#ifndef LEADSCORE_SESSION_CACHE_H
#define LEADSCORE_SESSION_CACHE_H

#include "compat.h"

#include "executor/spi.h"
#include "lib/ilist.h"

/* Something that is kept. The first two members are set by its owner, the others are private. */
typedef struct SessionCache
{
	const char *name;			/* shown in pg_backend_memory_contexts */
	bool		uses_casts;		/* changes when a cast comes or goes, too */

	bool		listed;			/* in the list of all caches */
	bool		changed;		/* since loading began */
	void	   *value;			/* NULL: not loaded */
	MemoryContext context;		/* holds the value */
	int			ntables;
	int			capacity;
	Oid		   *tables;			/* that the value depends on; the first was named by the caller */
	dlist_node	node;
} SessionCache;

/* Makes the value in the current memory context, which lasts as long as the value does; never NULL. */
typedef void *(*SessionCacheLoad) (SessionCache *cache, void *arg);

/* The value that was made from a table, loaded if it must be; valid until the transaction ends. */
extern void *session_cache_get(SessionCache *cache, Oid table, SessionCacheLoad load, void *arg);

/* While it is loaded: the value depends on another table, too. */
extern void session_cache_depends_on(SessionCache *cache, Oid table);

/* Forget a cache that will not be used again. */
extern void session_cache_forget(SessionCache *cache);

/*
 * The plan of a command, made when it is first wanted, and kept in a static
 * variable for the session; SPI is connected. A command is a line or two, for it
 * stands in the CONTEXT of an error: long queries are functions in sql/.
 */
extern SPIPlanPtr session_plan(SPIPlanPtr *plan, const char *command, int nargs, Oid *types);

#endif							/* LEADSCORE_SESSION_CACHE_H */
