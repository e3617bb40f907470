/*
 * row_query.c: the rows of some leads or kinds of a table, found by a query.
 *
 * When an alias changes its lead, its rows move along, so every table of events is
 * queried for the rows of one name. Finding the condition that an index supports and
 * planning the query take ten times as long as running it, so a session keeps the
 * plan. The plan depends on the columns and indexes of the table and its children. It
 * is made again after a relcache invalidation of one of them.
 */
#include "live/row_query.h"

#include "catalog.h"
#include "session_cache.h"
#include "live/delta.h"
#include "live/source.h"

#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

/* Plans that a session keeps; to keep another one, it forgets all of them. */
#define MAX_PLANS 256

/* The query that is kept for a table and a mapping. */
typedef struct KeptQuery
{
	const char *table;			/* its qualified name, as in the query */
	SPIPlanPtr	plan;			/* NULL: there is no query */
	MemoryContextCallback end;	/* frees the plan with the memory context of this struct */
} KeptQuery;

typedef struct QueryKey
{
	uint64		mapping;		/* hashed */
	uint64		table;
} QueryKey;

typedef struct QueryEntry
{
	QueryKey	key;
	SessionCache cache;			/* of a KeptQuery */
} QueryEntry;

static HTAB *queries = NULL;

char *
row_query(Relation relation, Jsonb *mapping, bool by_lead, bool by_kind)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[4] = {REGCLASSOID, JSONBOID, BOOLOID, BOOLOID};
	Datum		arguments[4] = {ObjectIdGetDatum(RelationGetRelid(relation)), JsonbPGetDatum(mapping),
	BoolGetDatum(by_lead), BoolGetDatum(by_kind)};
	MemoryContext context = CurrentMemoryContext;
	char	   *condition;
	char	   *query = NULL;

	SPI_connect();
	session_plan(&plan, "SELECT leadscore_internal.row_condition($1, $2, $3, $4)", 4, types);
	if (SPI_execute_plan(plan, arguments, NULL, true, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not make the condition of a source");
	condition = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	if (condition)
		query = MemoryContextStrdup(context, psprintf("SELECT * FROM %s WHERE %s", relation_name(relation), condition));
	SPI_finish();
	return query;
}

/* The arguments of load_query(). */
typedef struct QueryOf
{
	Relation	relation;
	Jsonb	   *mapping;
} QueryOf;

static void
free_plan(void *plan)
{
	(void) SPI_freeplan(plan);
}

/* Prepare a query as the table's owner, as the rows are read. */
static SPIPlanPtr
prepare(const char *query, Oid owner)
{
	Oid			types[2] = {TEXTARRAYOID, TEXTARRAYOID};
	Identity	before = switch_to_owner(owner, SECURITY_RESTRICTED_OPERATION);
	SPIPlanPtr	plan;

	SPI_connect();
	/* a generic plan: it is made once and does not depend on the names */
	plan = SPI_prepare_cursor(query, 2, types, CURSOR_OPT_GENERIC_PLAN);
	if (plan == NULL || SPI_keepplan(plan) != 0)
		elog(ERROR, "could not prepare \"%s\"", query);
	SPI_finish();
	restore_user(before);
	return plan;
}

static void *
load_query(SessionCache *cache, void *argument)
{
	QueryOf *of = argument;
	KeptQuery  *kept = palloc0(sizeof(KeptQuery));
	const char *query;
	ListCell   *cell;

	/* register the dependencies before reading anything that an invalidation could change */
	foreach(cell, find_all_inheritors(RelationGetRelid(of->relation), NoLock, NULL))
		session_cache_depends_on(cache, lfirst_oid(cell));
	kept->table = pstrdup(relation_name(of->relation));
	query = row_query(of->relation, of->mapping, true, false);
	if (query)
	{
		kept->plan = prepare(query, of->relation->rd_rel->relowner);
		kept->end = (MemoryContextCallback) {free_plan, kept->plan, NULL};
		MemoryContextRegisterResetCallback(CurrentMemoryContext, &kept->end);
	}
	return kept;
}

static void
forget_queries(void)
{
	HASH_SEQ_STATUS scan;
	QueryEntry *entry;

	hash_seq_init(&scan, queries);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		session_cache_forget(&entry->cache);
		hash_search(queries, &entry->key, HASH_REMOVE, NULL);
	}
}

static QueryEntry *
entry_of(Relation relation, Jsonb *mapping)
{
	QueryKey	key = {
		.mapping = DatumGetUInt64(DirectFunctionCall2(jsonb_hash_extended, JsonbPGetDatum(mapping), Int64GetDatum(0))),
		.table = RelationGetRelid(relation)
	};
	QueryEntry *entry;
	bool		found;

	if (queries == NULL)
	{
		HASHCTL		ctl = {.keysize = sizeof(QueryKey), .entrysize = sizeof(QueryEntry), .hcxt = TopMemoryContext};

		queries = hash_create("leadscore queries", 16, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	if (hash_get_num_entries(queries) >= MAX_PLANS && hash_search(queries, &key, HASH_FIND, NULL) == NULL)
		forget_queries();
	entry = hash_search(queries, &key, HASH_ENTER, &found);
	if (!found)
		entry->cache = (SessionCache) {.name = "leadscore query", .uses_casts = true};
	return entry;
}

SPIPlanPtr
few_leads_plan(Relation relation, Jsonb *mapping)
{
	QueryOf of = {relation, mapping};
	QueryEntry *entry = entry_of(relation, mapping);
	KeptQuery  *kept = session_cache_get(&entry->cache, RelationGetRelid(relation), load_query, &of);

	/* renaming a schema does not invalidate its tables */
	if (strcmp(kept->table, relation_name(relation)) != 0)
	{
		session_cache_forget(&entry->cache);
		entry->cache = (SessionCache) {.name = "leadscore query", .uses_casts = true};
		kept = session_cache_get(&entry->cache, RelationGetRelid(relation), load_query, &of);
	}
	return kept->plan;
}
