/*
 * follow.c: sources whose tables are dropped, created, attached and detached.
 *
 * After a table has been dropped, its rows can no longer be read. So an event
 * trigger handles a command that drops tables before the command runs. Other
 * commands are handled afterwards, by the tables that they name.
 *
 * Most commands do not concern us. So the tables that a command touches are first
 * checked here, by index. A table concerns us if it, or a table that it is a
 * partition or child of, has one of our triggers, if it has the name of a table that
 * is or was tracked, or if it is one of our own. Only then are our SQL functions
 * called.
 */
#include "catalog.h"
#include "session_cache.h"
#include "live/delta.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/event_trigger.h"
#include "commands/extension.h"
#include "commands/tablecmds.h"
#include "executor/spi.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(follow_drops);
PG_FUNCTION_INFO_V1(follow_children);

/* Fail unless called by our event trigger on "event"; other events, such as login, have no command. */
static void
check_event_trigger(FunctionCallInfo fcinfo, const char *function, const char *event)
{
	if (!CALLED_AS_EVENT_TRIGGER(fcinfo) || strcmp(((EventTriggerData *) fcinfo->context)->event, event) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" was not called as an event trigger on %s", function, event)));
}

/* Columns of known_source. */
#define KNOWN_SCHEMA_NAME 2
#define KNOWN_TABLE_NAME 3

/* ---------- tables that concern us ---------- */

/* The OID of our trigger function of that name. */
static Oid
our_trigger_function(const char *name)
{
	oidvector  *none = buildoidvector(NULL, 0);

	return GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum(name), PointerGetDatum(none),
						   ObjectIdGetDatum(get_namespace_oid("leadscore", false)));
}

/* Whether a table has one of our triggers. */
static bool
has_our_trigger(Oid table)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table));
	bool		found = false;
	Oid			functions[3];
	Relation	triggers;
	SysScanDesc scan;
	ScanKeyData key;

	if (!HeapTupleIsValid(tuple))
		return false;
	found = ((Form_pg_class) GETSTRUCT(tuple))->relhastriggers;
	ReleaseSysCache(tuple);
	if (!found)
		return false;

	functions[0] = our_trigger_function("record");
	functions[1] = our_trigger_function("record_profile");
	functions[2] = our_trigger_function("record_alias");
	found = false;
	triggers = table_open(TriggerRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(table));
	scan = systable_beginscan(triggers, TriggerRelidNameIndexId, true, NULL, 1, &key);
	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Oid			function = ((Form_pg_trigger) GETSTRUCT(tuple))->tgfoid;

		found = function == functions[0] || function == functions[1] || function == functions[2];
	}
	systable_endscan(scan);
	table_close(triggers, AccessShareLock);
	return found;
}

/* The tables that a table is a partition or child of. */
static List *
parents_of(Oid table)
{
	Relation	inherits = table_open(InheritsRelationId, AccessShareLock);
	List	   *parents = NIL;
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_inherits_inhrelid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(table));
	scan = systable_beginscan(inherits, InheritsRelidSeqnoIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		parents = lappend_oid(parents, ((Form_pg_inherits) GETSTRUCT(tuple))->inhparent);
	systable_endscan(scan);
	table_close(inherits, AccessShareLock);
	return parents;
}

/* Whether a table, or one that it is a partition or child of, has one of our triggers or is our own. */
static bool
concerns_us(Oid table)
{
	ListCell   *cell;

	check_stack_depth();
	if (has_our_trigger(table) || is_our_schema(get_rel_namespace(table)))
		return true;
	foreach(cell, parents_of(table))
		if (concerns_us(lfirst_oid(cell)))
			return true;
	return false;
}

/*
 * Whether a table has the name that a tracked table had when it was tracked.
 * known_source is read by its index, with a current snapshot.
 */
static bool
has_known_name(Oid table)
{
	Oid			known = our_table("known_source");
	Oid			index = our_table("known_source_name_idx");
	char	   *name = get_rel_name(table);
	Relation	relation;
	NameData	key_name;
	ScanKeyData key;
	SysScanDesc scan;
	bool		found = false;
	HeapTuple	tuple;

	if (name == NULL || !OidIsValid(known) || !OidIsValid(index))
		return false;
	namestrcpy(&key_name, name);
	relation = table_open(known, AccessShareLock);
	ScanKeyInit(&key, KNOWN_TABLE_NAME, BTEqualStrategyNumber, F_NAMEEQ, NameGetDatum(&key_name));
	scan = systable_beginscan(relation, index, true, NULL, 1, &key);
	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		Datum		schema = heap_getattr(tuple, KNOWN_SCHEMA_NAME, RelationGetDescr(relation), &isnull);

		found = !isnull && get_namespace_oid(NameStr(*DatumGetName(schema)), true) == get_rel_namespace(table);
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	return found;
}

static bool
any_has_our_trigger(List *tables)
{
	ListCell   *cell;

	foreach(cell, tables)
		if (has_our_trigger(lfirst_oid(cell)))
			return true;
	return false;
}

/* Call one of our functions, as the owner of the extension. */
static void
call_as_owner(SPIPlanPtr *plan, const char *command, Oid type, Datum argument)
{
	Identity	user = switch_to_owner(our_owner(), 0);

	SPI_connect();
	if (SPI_execute_plan(session_plan(plan, command, 1, &type), &argument, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not follow what a command did to a table");
	SPI_finish();
	restore_user(user);
}

/* ---------- before tables are dropped ---------- */

/*
 * Take the rows of a table out of the timelines. The table is locked in
 * AccessExclusiveLock mode, as the command itself will lock it, until the end of the
 * transaction. So other transactions that used it have ended, and it keeps its name.
 */
static void
drop_table(Oid table)
{
	static SPIPlanPtr plan = NULL;

	if (any_has_our_trigger(find_all_inheritors(table, AccessExclusiveLock, NULL)))
		call_as_owner(&plan, "SELECT leadscore_internal.follow_drop($1)", REGCLASSOID, ObjectIdGetDatum(table));
}

/* Lock tables that are dropped with their schema or owner. */
static void
lock_tables(List *tables)
{
	ListCell   *cell;

	foreach(cell, tables)
	{
		Oid			table = lfirst_oid(cell);

		if (get_rel_relispartition(table))
			LockRelationOid(get_partition_parent(table, true), AccessExclusiveLock);
		LockRelationOid(table, AccessExclusiveLock);
	}
}

/* Take the rows of locked tables out; a table may have been dropped while we waited for the locks. */
static void
drop_tables(List *tables)
{
	ListCell   *cell;

	foreach(cell, tables)
		if (SearchSysCacheExists1(RELOID, ObjectIdGetDatum(lfirst_oid(cell))))
			drop_table(lfirst_oid(cell));
}

/* The tables that a query finds for a schema or a role, with the latest snapshot. */
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

/* Without the privilege to drop an object, do nothing here: the command itself raises the error. */

/*
 * Lock the table that a name refers to, in AccessExclusiveLock mode, until the end of
 * the transaction. As in DROP TABLE, the parent of a partition is locked first. The
 * name may refer to another table by the time we get the lock; once we have it, the
 * name stays.
 */
static Oid
lock_table_to_drop(List *name)
{
	RangeVar   *range = makeRangeVarFromNameList(name);
	Oid			table;
	Oid			parent;

	for (;;)
	{
		char		kind;

		table = RangeVarGetRelid(range, NoLock, true);
		kind = OidIsValid(table) ? get_rel_relkind(table) : '\0';
		if ((kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE) ||
			(!owns(RelationRelationId, table) && !owns(NamespaceRelationId, get_rel_namespace(table))))
			return InvalidOid;
		parent = get_rel_relispartition(table) ? get_partition_parent(table, true) : InvalidOid;
		if (OidIsValid(parent))
			LockRelationOid(parent, AccessExclusiveLock);
		LockRelationOid(table, AccessExclusiveLock);
		if (RangeVarGetRelid(range, NoLock, true) == table)
			return table;
		UnlockRelationOid(table, AccessExclusiveLock);
		if (OidIsValid(parent))
			UnlockRelationOid(parent, AccessExclusiveLock);
	}
}

static void
drop_named_table(List *name)
{
	Oid			table = lock_table_to_drop(name);

	if (OidIsValid(table))
		drop_table(table);
}

/*
 * Take the rows of the tables of a schema out. The schema may be renamed while we
 * wait for the locks on its tables, because ALTER SCHEMA takes no lock that we could
 * wait for. So its name is looked up again when we have all the locks.
 */
static void
drop_schema(const char *name)
{
	for (;;)
	{
		Oid			schema = get_namespace_oid(name, true);
		List	   *tables;

		if (!OidIsValid(schema) || !owns(NamespaceRelationId, schema))
			return;
		/* a transaction that creates a table in the schema has locked it until its end */
		LockDatabaseObject(NamespaceRelationId, schema, 0, AccessExclusiveLock);
		tables = tables_of("SELECT c.oid FROM pg_catalog.pg_class c WHERE c.relnamespace OPERATOR(pg_catalog.=) $1"
						   " AND c.relkind OPERATOR(pg_catalog.=) ANY ('{r,p}') ORDER BY 1", schema);
		lock_tables(tables);
		AcceptInvalidationMessages();
		if (get_namespace_oid(name, true) == schema)
		{
			drop_tables(tables);
			return;
		}
		UnlockDatabaseObject(NamespaceRelationId, schema, 0, AccessExclusiveLock);
	}
}

/* The tables of a role and those in its schemas, which are dropped with it. */
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

/* A subscription changes or ends: only now can we find the sources that it has filled. */
static void
note_subscriptions(void)
{
	static SPIPlanPtr plan = NULL;

	call_as_owner(&plan, "SELECT leadscore_internal.note_subscribed() WHERE $1", BOOLOID, BoolGetDatum(true));
}

/* Event trigger before DROP TABLE, DROP SCHEMA, DROP OWNED and commands that take a table out of a subscription. */
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
				drop_named_table((List *) lfirst(cell));
			else if (drop->removeType == OBJECT_SCHEMA)
				drop_schema(strVal(lfirst(cell)));
		}
	}
	else if (IsA(command, DropSubscriptionStmt) || IsA(command, AlterSubscriptionStmt))
		note_subscriptions();
	else if (IsA(command, DropOwnedStmt))
	{
		foreach(cell, ((DropOwnedStmt *) command)->roles)
		{
			List	   *tables = tables_of_role(lfirst(cell));

			lock_tables(tables);
			drop_tables(tables);
		}
	}
	return (Datum) 0;
}

/* ---------- after tables are created and altered ---------- */

/* The tables that the command has created or altered, as the server has collected them. */
static List *
collected_tables(void)
{
	LOCAL_FCINFO(fcinfo, 0);
	ReturnSetInfo result = {.type = T_ReturnSetInfo, .allowedModes = SFRM_Materialize, .returnMode = SFRM_ValuePerCall};
	List	   *tables = NIL;
	FmgrInfo	function;
	TupleTableSlot *slot;

	result.econtext = CreateStandaloneExprContext();
	fmgr_info(F_PG_EVENT_TRIGGER_DDL_COMMANDS, &function);
	InitFunctionCallInfoData(*fcinfo, &function, 0, InvalidOid, NULL, (Node *) &result);
	(void) FunctionCallInvoke(fcinfo);
	slot = MakeSingleTupleTableSlot(result.setDesc, &TTSOpsMinimalTuple);
	while (tuplestore_gettupleslot(result.setResult, true, false, slot))
	{
		slot_getsomeattrs(slot, 2);
		if (!slot->tts_isnull[0] && !slot->tts_isnull[1] && DatumGetObjectId(slot->tts_values[0]) == RelationRelationId)
			tables = list_append_unique_oid(tables, DatumGetObjectId(slot->tts_values[1]));
	}
	ExecDropSingleTupleTableSlot(slot);
	tuplestore_end(result.setResult);
	FreeExprContext(result.econtext, true);
	return tables;
}

/*
 * The tables that a command has touched. If it attaches or detaches a partition,
 * that is the partition only, not its parent with all other partitions: the command
 * names it, and once it is detached nothing else does.
 */
static List *
touched_tables(Node *command)
{
	List	   *partitions = NIL;
	ListCell   *cell;

	if (IsA(command, AlterTableStmt))
		foreach(cell, ((AlterTableStmt *) command)->cmds)
		{
			AlterTableCmd *part = lfirst_node(AlterTableCmd, cell);
			Oid			table = InvalidOid;

			if (part->subtype == AT_AttachPartition || part->subtype == AT_DetachPartition || part->subtype == AT_DetachPartitionFinalize)
				table = RangeVarGetRelid(((PartitionCmd *) part->def)->name, NoLock, true);
			if (OidIsValid(table))
				partitions = lappend_oid(partitions, table);
		}
	return partitions ? partitions : collected_tables();
}

static Datum
oid_array(List *oids)
{
	ArrayBuildState *array = initArrayResult(OIDOID, CurrentMemoryContext, false);
	ListCell   *cell;

	foreach(cell, oids)
		array = accumArrayResult(array, ObjectIdGetDatum(lfirst_oid(cell)), false, OIDOID, CurrentMemoryContext);
	return makeArrayResult(array, CurrentMemoryContext);
}

/* Event trigger after CREATE TABLE, CREATE TABLE AS, ALTER TABLE and similar commands. */
Datum
follow_children(PG_FUNCTION_ARGS)
{
	static SPIPlanPtr plan = NULL;
	List	   *concerning = NIL;
	ListCell   *cell;

	check_event_trigger(fcinfo, "follow_children", "ddl_command_end");
	if (in_restore() || creating_extension)
		return (Datum) 0;

	foreach(cell, touched_tables(((EventTriggerData *) fcinfo->context)->parsetree))
		if (concerns_us(lfirst_oid(cell)) || has_known_name(lfirst_oid(cell)))
			concerning = lappend_oid(concerning, lfirst_oid(cell));
	if (concerning)
		call_as_owner(&plan, "SELECT leadscore_internal.follow_tables($1)", OIDARRAYOID, oid_array(concerning));
	return (Datum) 0;
}
