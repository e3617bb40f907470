/*
 * catalog.c: finds our tables by name, and tells whether they can have rows.
 */
#include "catalog.h"
#include "session_cache.h"

#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "storage/smgr.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/syscache.h"

/* ---------- our tables ---------- */

/* A table that has been looked up. */
typedef struct NamedTable
{
	const char *name;
	Oid			oid;
} NamedTable;

/* More than we have; any further tables are looked up each time. */
#define MAX_TABLES 64

typedef struct NamedTables
{
	int			n;
	NamedTable	tables[MAX_TABLES];
} NamedTables;

static SessionCache named_tables = {.name = "leadscore tables"};

static void *
load_no_tables(SessionCache *cache pg_attribute_unused(), void *arg pg_attribute_unused())
{
	return palloc0(sizeof(NamedTables));
}

/* Whether a schema is one of ours. */
bool
is_our_schema(Oid schema)
{
	return OidIsValid(schema) &&
		(schema == get_namespace_oid("leadscore", true) || schema == get_namespace_oid("leadscore_internal", true));
}

/*
 * The OID of one of our tables, or InvalidOid if it does not exist. A trigger
 * needs several of them, so the OIDs are cached until one of the tables is
 * renamed, moved, dropped or altered. Names are string literals and are compared
 * by address; a name with two addresses is cached twice.
 */
Oid
our_table(const char *name)
{
	NamedTables *known = session_cache_get(&named_tables, InvalidOid, load_no_tables, NULL);
	Oid			oid;

	for (int i = 0; i < known->n; i++)
		if (known->tables[i].name == name)
			return known->tables[i].oid;
	oid = get_relname_relid(name, get_namespace_oid("leadscore", false));
	if (!OidIsValid(oid))
		oid = get_relname_relid(name, get_namespace_oid("leadscore_internal", true));
	/* the lookup may have processed invalidations, which discard the cached tables */
	known = session_cache_get(&named_tables, InvalidOid, load_no_tables, NULL);
	if (OidIsValid(oid) && known->n < MAX_TABLES)
	{
		session_cache_depends_on(&named_tables, oid);
		known->tables[known->n++] = (NamedTable) {name, oid};
	}
	return oid;
}

/* ---------- whether a table can have rows ---------- */

/* A table without pages has no rows; this check is cheaper than a scan. */
bool
has_pages(Relation table)
{
	return table->rd_rel->relkind != RELKIND_RELATION || RelationGetNumberOfBlocks(table) > 0;
}

/*
 * The storage manager remembers the size that a table had when this session last
 * asked for it or added a block. Asking again is a system call, which can cost as
 * much as an index lookup, so writers ask no more often than they must. Truncation
 * resets the remembered size; a session that holds a lock on the table has
 * processed that invalidation.
 */
static BlockNumber
blocks_known(Relation table)
{
	return RELKIND_HAS_STORAGE(table->rd_rel->relkind) ? RelationGetSmgr(table)->smgr_cached_nblocks[MAIN_FORKNUM] : InvalidBlockNumber;
}

bool
has_block(Relation table, BlockNumber block)
{
	BlockNumber known = blocks_known(table);

	return (BlockNumberIsValid(known) && block < known) || block < RelationGetNumberOfBlocks(table);
}

bool
had_pages(Relation table)
{
	return BlockNumberIsValid(blocks_known(table)) ? blocks_known(table) > 0 : has_pages(table);
}

/* The lock generation: counts ended transactions and failed subtransactions. */
static uint64 locking = 1;

void
forget_looks(void)
{
	locking++;
}

static void
look_again(Look *look)
{
	look->again = look->locking == locking;
	look->locking = locking;
}

Relation
open_once(const char *name, LOCKMODE mode, Look *look)
{
	look_again(look);
	return table_open(our_table(name), look->again ? NoLock : mode);
}

bool
has_pages_once(Relation table, const Look *look)
{
	return look->again ? had_pages(table) : has_pages(table);
}

/*
 * Keeps the lock on the table, so that the next check in this transaction finds it locked. Looks only at its row of
 * pg_class: to open a table for the first time in a session means to read its columns, indexes and constraints.
 */
bool
table_has_pages(const char *name)
{
	Oid			oid = our_table(name);
	HeapTuple	row;
	Form_pg_class table;
	bool		has = true;

	LockRelationOid(oid, AccessShareLock);
	row = SearchSysCache1(RELOID, ObjectIdGetDatum(oid));
	if (!HeapTupleIsValid(row))
		elog(ERROR, "cache lookup failed for relation %u", oid);
	table = (Form_pg_class) GETSTRUCT(row);
	if (table->relkind == RELKIND_RELATION && table->relam == HEAP_TABLE_AM_OID)
		has = smgrnblocks(files_of(table), MAIN_FORKNUM) > 0;
	ReleaseSysCache(row);
	return has;
}

/*
 * Whether there can be an alias. This includes an alias that is being
 * created, once its row is written. Shops without anonymous visitors have
 * none.
 */
bool
aliases_exist(void)
{
	return table_has_pages("lead_alias");
}

static SessionCache rules = {.name = "leadscore rules"};

/* Whether there can be rules of derive(). */
static void *
load_rules(SessionCache *cache, void *arg pg_attribute_unused())
{
	bool	   *exist = palloc(sizeof(bool));

	session_cache_depends_on(cache, our_table("derivation"));
	*exist = table_has_pages("derivation");
	return exist;
}

/*
 * Whether events can be derived from the events of a source. If so, writers of
 * such events note their leads for derive(). Nothing is derived from derived
 * events.
 *
 * A session looks once, and again when a change of the rules has been committed,
 * which invalidates signal. The first derive() after that waits until that change has
 * released its lock, so has invalidated, and then for the holders of ROW EXCLUSIVE
 * locks on lead_timeline, and looks at all leads. A writer takes that lock before it
 * calls this function, and thereby processes invalidations: either derive() waits for
 * it, or it knows of the rule.
 */
bool
is_derived_from(Oid source)
{
	if (!OidIsValid(our_table("derivation")))
		return false;			/* the library may be newer than the extension's objects */
	return *(bool *) session_cache_get(&rules, our_table("signal"), load_rules, NULL) && source != our_table("derived_event");
}

/*
 * Whether pg_restore or psql is loading a dump, judged by the settings that
 * every dump begins with. The dump already contains the rows that triggers
 * would add.
 */
bool
in_restore(void)
{
	return !check_function_bodies && !row_security && namespace_search_path[0] == '\0';
}

/* The owner of our tables. */
Oid
our_owner(void)
{
	Relation	timelines = table_open(our_table("lead_timeline"), AccessShareLock);
	Oid			owner = timelines->rd_rel->relowner;

	table_close(timelines, NoLock);
	return owner;
}
