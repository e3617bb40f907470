/*
 * row_query.c: the rows of some leads or kinds of a table, found by a query.
 *
 * An alias that changes its lead takes its rows along, so for each of them every
 * table of events is asked for the rows of one name. To find out which condition
 * an index serves, and to plan the query, takes ten times as long as to run it. So
 * a session keeps the plan. It depends on the columns and indexes of the table and
 * its children, whose relcache invalidations have it made again.
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

/* Plans that a session keeps; when there are more, it begins anew. */
#define MAX_PLANS 256

/* What is kept of a table and a mapping. */
typedef struct KeptQuery
{
	const char *table;			/* its name, which is in the query */
	SPIPlanPtr	plan;			/* NULL: there is no query */
	MemoryContextCallback end;	/* frees the plan with the memory that this lies in */
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

/* What a kept query is made from. */
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

/* Parsing is the table's owner's, as reading is. */
static SPIPlanPtr
prepare(const char *query, Oid owner)
{
	Oid			types[2] = {TEXTARRAYOID, TEXTARRAYOID};
	Identity	before = switch_to_owner(owner, SECURITY_RESTRICTED_OPERATION);
	SPIPlanPtr	plan;

	SPI_connect();
	/* the same plan whatever the names, which is made once */
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

	/* before anything is read that an invalidation could change */
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

	/* a schema's new name is no invalidation of its tables */
	if (strcmp(kept->table, relation_name(relation)) != 0)
	{
		session_cache_forget(&entry->cache);
		entry->cache = (SessionCache) {.name = "leadscore query", .uses_casts = true};
		kept = session_cache_get(&entry->cache, RelationGetRelid(relation), load_query, &of);
	}
	return kept->plan;
}
