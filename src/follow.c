/*
 * follow.c: sources whose tables are dropped, made, attached and detached.
 *
 * Once a trigger can tell us that a table has gone, its rows can no longer be
 * read; so we look at a command that drops tables before it is carried out. Of
 * other commands we look at what has become of the tables that they name.
 */
#include "catalog.h"
#include "delta.h"

#include "access/relation.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "commands/event_trigger.h"
#include "executor/spi.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(follow_drops);
PG_FUNCTION_INFO_V1(follow_children);

/* Refuse to be called but by an event trigger of ours; others, such as those on login, have no command. */
static void
check_event_trigger(FunctionCallInfo fcinfo, const char *function, const char *event)
{
	if (!CALLED_AS_EVENT_TRIGGER(fcinfo) || strcmp(((EventTriggerData *) fcinfo->context)->event, event) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" was not called as an event trigger on %s", function, event)));
}

static bool
have_triggers(List *tables)
{
	ListCell   *cell;
	bool		found = false;

	foreach(cell, tables)
	{
		Relation	table = try_relation_open(lfirst_oid(cell), NoLock);

		found = found || (table && table->trigdesc);
		if (table)
			relation_close(table, NoLock);
	}
	return found;
}

/*
 * Take tables out of the timelines. Each is locked, as the command will lock it,
 * before we look what is tracked: what others do to it has ended by then.
 */
static void
drop_tables(List *tables)
{
	Identity	user = become(our_owner(), 0);
	ListCell   *cell;

	SPI_connect();
	foreach(cell, tables)
	{
		Oid			type = OIDOID;
		Oid			table = lfirst_oid(cell);
		Datum		argument = ObjectIdGetDatum(table);

		if (get_rel_relispartition(table))
			LockRelationOid(get_partition_parent(table, true), AccessExclusiveLock);
		LockRelationOid(table, AccessExclusiveLock);
		if (!have_triggers(find_all_inheritors(table, AccessExclusiveLock, NULL)))
			continue;
		if (SPI_execute_with_args("SELECT leadscore.follow_drop($1::pg_catalog.regclass)", 1, &type, &argument, NULL, false, 0) != SPI_OK_SELECT)
			elog(ERROR, "could not follow the drop of a table");
	}
	SPI_finish();
	become_again(user);
}

/* The tables that a query selects, of a schema or a role, as of now. */
static List *
tables_of(const char *query, Oid owner)
{
	MemoryContext context = CurrentMemoryContext;
	List	   *tables = NIL;
	Oid			type = OIDOID;
	Datum		argument = ObjectIdGetDatum(owner);

	SPI_connect();
	PushActiveSnapshot(GetLatestSnapshot());
	if (SPI_execute_with_args(query, 1, &type, &argument, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not look for tables");
	PopActiveSnapshot();
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		bool		isnull;
		Datum		table = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 1, &isnull);
		MemoryContext old = MemoryContextSwitchTo(context);

		tables = lappend_oid(tables, DatumGetObjectId(table));
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	return tables;
}

/* Who may not drop something is told so by the command itself. */

static List *
table_to_drop(List *name)
{
	Oid			table = RangeVarGetRelid(makeRangeVarFromNameList(name), NoLock, true);
	char		kind = OidIsValid(table) ? get_rel_relkind(table) : '\0';

	if ((kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE) ||
		(!owns(RelationRelationId, table) && !owns(NamespaceRelationId, get_rel_namespace(table))))
		return NIL;
	return list_make1_oid(table);
}

static List *
tables_of_schema(const char *name)
{
	Oid			schema = get_namespace_oid(name, true);

	if (!OidIsValid(schema) || !owns(NamespaceRelationId, schema))
		return NIL;
	/* whoever is making a table in it holds it */
	LockDatabaseObject(NamespaceRelationId, schema, 0, AccessExclusiveLock);
	return tables_of("SELECT c.oid FROM pg_catalog.pg_class c WHERE c.relnamespace OPERATOR(pg_catalog.=) $1"
					 " AND c.relkind OPERATOR(pg_catalog.=) ANY ('{r,p}') ORDER BY 1", schema);
}

/* Of a role: its tables, and those in its schemas, which go with them. */
static List *
tables_of_role(RoleSpec *name)
{
	Oid			role = get_rolespec_oid(name, true);

	if (!OidIsValid(role) || !has_privs_of_role(GetUserId(), role))
		return NIL;
	return tables_of("SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace"
					 " WHERE (c.relowner OPERATOR(pg_catalog.=) $1 OR n.nspowner OPERATOR(pg_catalog.=) $1)"
					 " AND c.relkind OPERATOR(pg_catalog.=) ANY ('{r,p}') ORDER BY 1", role);
}

/* Event trigger, before DROP TABLE, DROP SCHEMA and DROP OWNED. */
Datum
follow_drops(PG_FUNCTION_ARGS)
{
	Node	   *command;
	ListCell   *cell;

	check_event_trigger(fcinfo, "follow_drops", "ddl_command_start");
	if (in_restore())
		return (Datum) 0;

	command = ((EventTriggerData *) fcinfo->context)->parsetree;
	if (IsA(command, DropStmt))
	{
		DropStmt   *drop = (DropStmt *) command;

		foreach(cell, drop->objects)
		{
			if (drop->removeType == OBJECT_TABLE)
				drop_tables(table_to_drop((List *) lfirst(cell)));
			else if (drop->removeType == OBJECT_SCHEMA)
				drop_tables(tables_of_schema(strVal(lfirst(cell))));
		}
	}
	else if (IsA(command, DropOwnedStmt))
	{
		foreach(cell, ((DropOwnedStmt *) command)->roles)
			drop_tables(tables_of_role(lfirst(cell)));
	}
	return (Datum) 0;
}

/* The partitions that a command has detached: they are named in it, and nowhere else any more. */
static Datum
detached_tables(Node *command)
{
	ArrayBuildState *tables = initArrayResult(OIDOID, CurrentMemoryContext, false);
	ListCell   *cell;

	if (!IsA(command, AlterTableStmt))
		return makeArrayResult(tables, CurrentMemoryContext);
	foreach(cell, ((AlterTableStmt *) command)->cmds)
	{
		AlterTableCmd *part = lfirst_node(AlterTableCmd, cell);
		Oid			table = InvalidOid;

		if (part->subtype == AT_DetachPartition || part->subtype == AT_DetachPartitionFinalize)
			table = RangeVarGetRelid(((PartitionCmd *) part->def)->name, NoLock, true);
		if (OidIsValid(table))
			tables = accumArrayResult(tables, ObjectIdGetDatum(table), false, OIDOID, CurrentMemoryContext);
	}
	return makeArrayResult(tables, CurrentMemoryContext);
}

/* Event trigger, after CREATE TABLE, ALTER TABLE and their kin. */
Datum
follow_children(PG_FUNCTION_ARGS)
{
	Oid			type = OIDARRAYOID;
	Datum		detached;
	Identity	user;

	check_event_trigger(fcinfo, "follow_children", "ddl_command_end");
	if (in_restore())
		return (Datum) 0;

	detached = detached_tables(((EventTriggerData *) fcinfo->context)->parsetree);
	user = become(our_owner(), 0);
	SPI_connect();
	if (SPI_execute_with_args("SELECT leadscore.follow_tables($1)", 1, &type, &detached, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not follow partitions and children");
	SPI_finish();
	become_again(user);
	return (Datum) 0;
}
