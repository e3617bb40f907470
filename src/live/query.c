/*
 * query.c: tables that are kept equal to a query.
 *
 * A query is stored as text in which every name is qualified, as in a view's
 * definition, so its meaning does not depend on the search_path of a refresh. Text has
 * no dependencies that could block a migration of the shop.
 *
 * A refresh runs as the table's owner, in a security-restricted operation, with
 * fixed settings. It locks the table in SHARE ROW EXCLUSIVE mode until the end of the
 * transaction, and takes its snapshot once it holds the lock. So the refreshes of a
 * table run one after the other, and each sees what the previous one wrote.
 */
#include "array_of.h"
#include "catalog.h"
#include "session_cache.h"
#include "live/delta.h"
#include "live/source.h"

#include "access/table.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "parser/analyze.h"
#include "parser/parser.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(qualified_query);
PG_FUNCTION_INFO_V1(note_query);
PG_FUNCTION_INFO_V1(refresh_query);

/* ---------- the text of a query ---------- */

/* Report an error position as one in the query, not in the statement that the user sent. */
static void
tell_position(void *query)
{
	int			position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(position);
		internalerrquery((char *) query);
	}
}

static Query *
analyze_query(const char *text)
{
	ErrorContextCallback context = {.previous = error_context_stack, .callback = tell_position, .arg = unconstify(char *, text)};
	List	   *statements;
	Query	   *query = NULL;

	error_context_stack = &context;
	statements = raw_parser(text, RAW_PARSE_DEFAULT);
	if (list_length(statements) == 1)
		query = parse_analyze_fixedparams(linitial_node(RawStmt, statements), text, NULL, 0, NULL);
	error_context_stack = context.previous;
	return query;
}

/* qualified_query(query): the query with every name qualified, resolved by the caller's search_path. */
Datum
qualified_query(PG_FUNCTION_ARGS)
{
	const char *written = text_to_cstring(PG_GETARG_TEXT_PP(0));
	Query	   *query = analyze_query(written);
	char	   *qualified;
	int			settings;

	if (query == NULL || query->commandType != CMD_SELECT || query->hasModifyingCTE)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the query is not one SELECT"),
				 errdetail("The table is kept equal to the rows that it gives."),
				 errhint("Write one SELECT, VALUES or TABLE, which writes nothing, without a semicolon.")));
	if (reads_temporary(query))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("the query reads a temporary table or view"),
				 errdetail("Other sessions could not refresh its table."),
				 errhint("Read tables and views of the database.")));
	settings = NewGUCNestLevel();
	pin_settings();
	qualified = pg_get_querydef(query, false);
	AtEOXact_GUC(false, settings);
	PG_RETURN_TEXT_P(cstring_to_text(qualified));
}

/* ---------- the registry ---------- */

/* Call a function of ours as our owner. Returns its result as text, or NULL, in the current memory context. */
static char *
call_as_owner(SPIPlanPtr *plan, const char *command, int nargs, Oid *types, Datum *arguments)
{
	Identity	user = switch_to_owner(our_owner(), 0);
	MemoryContext context = CurrentMemoryContext;
	char	   *result;

	SPI_connect();
	if (SPI_execute_plan(session_plan(plan, command, nargs, types), arguments, NULL, false, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not look up a query");
	result = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	if (result)
		result = MemoryContextStrdup(context, result);
	SPI_finish();
	restore_user(user);
	return result;
}

/* note_query(target, query, key): only the table's owner may give it a query, because the query runs as the owner. */
Datum
note_query(PG_FUNCTION_ARGS)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[3] = {OIDOID, TEXTOID, TEXTARRAYOID};
	Datum		arguments[3] = {PG_GETARG_DATUM(0), PG_GETARG_DATUM(1), PG_GETARG_DATUM(2)};
	Oid			target = PG_GETARG_OID(0);

	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(target)) || !owns(RelationRelationId, target))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, get_rel_name(target) ? get_rel_name(target) : "?");
	(void) call_as_owner(&plan, "SELECT leadscore_internal.insert_query($1, $2, $3)", 3, types, arguments);
	PG_RETURN_VOID();
}

/* ---------- refreshing ---------- */

/* Check that the table has a column of the same name and type as a column of its query. */
static void
check_column(Relation target, Form_pg_attribute column)
{
	TupleDesc	row = RelationGetDescr(target);
	const char *name = NameStr(column->attname);
	const char *table = relation_name(target);
	const char *type = format_type_with_typemod(column->atttypid, column->atttypmod);

	for (int i = 0; i < row->natts; i++)
	{
		Form_pg_attribute present = TupleDescAttr(row, i);

		if (present->attisdropped || strcmp(NameStr(present->attname), name) != 0)
			continue;
		if (present->atttypid == column->atttypid && present->atttypmod == column->atttypmod)
			return;
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of the query is now of type %s", name, type),
				 errdetail("In the table %s it is of type %s.", table, format_type_with_typemod(present->atttypid, present->atttypmod)),
				 errhint("ALTER TABLE %s ALTER COLUMN %s TYPE %s, or DROP TABLE it and track_query() again.", table, quote_identifier(name), type)));
	}
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("the table lacks the column \"%s\" of its query", name),
			 errdetail("The columns of %s are not those that track_query() made it with.", table),
			 errhint("ALTER TABLE %s ADD COLUMN %s %s, or DROP TABLE it and track_query() again.", table, quote_identifier(name), type)));
}

/* Add a hint if an object that the query reads has been dropped or changed. */
static void
tell_changed(void *table)
{
	if (ERRCODE_TO_CATEGORY(geterrcode()) == ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION)
		errhint("What the query reads has changed since track_query(). Undo that, or DROP TABLE %s and track_query() again.", (char *) table);
}

/* Check that the table has all columns of its query; returns their names, text[]. SPI must be connected. */
static Datum
check_columns(Relation target, const char *query)
{
	ErrorContextCallback context = {.previous = error_context_stack, .callback = tell_changed, .arg = unconstify(char *, relation_name(target))};
	SPIPlanPtr	plan;
	CachedPlanSource *source;
	TupleDesc	row;
	Datum	   *names;

	error_context_stack = &context;
	plan = SPI_prepare(query, 0, NULL);
	error_context_stack = context.previous;
	if (plan == NULL)
		elog(ERROR, "could not prepare the query of %s", RelationGetRelationName(target));
	source = linitial(SPI_plan_get_plan_sources(plan));
	row = source->resultDesc;
	names = palloc(row->natts * sizeof(Datum));
	for (int i = 0; i < row->natts; i++)
	{
		check_column(target, TupleDescAttr(row, i));
		names[i] = CStringGetTextDatum(NameStr(TupleDescAttr(row, i)->attname));
	}
	return array_of(names, NULL, row->natts, TEXTOID);
}

/* Report what is wrong with the rows of the query, with the key of one of them. */
static void
tell_fault(void)
{
	char	   *key = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	bool		isnull;
	bool		without_key = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull));

	ereport(ERROR,
			(errcode(without_key ? ERRCODE_NOT_NULL_VIOLATION : ERRCODE_CARDINALITY_VIOLATION),
			 errmsg(without_key ? "the query gives a row with NULL in its key" : "the query gives several rows with the same key"),
			 errdetail("The key is %s.", key),
			 without_key ? errhint("Leave such rows out, or put another value there with coalesce().")
			 : errhint("Add columns to the key, or make one row of several with GROUP BY.")));
}

/* Make a table equal to a query. The caller has pinned the settings and locked the table. */
static void
write_differences(Relation target, const char *query)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[3] = {REGCLASSOID, TEXTOID, TEXTARRAYOID};
	Datum		arguments[3] = {ObjectIdGetDatum(RelationGetRelid(target)), CStringGetTextDatum(query), 0};
	Identity	user = switch_to_owner(target->rd_rel->relowner, SECURITY_RESTRICTED_OPERATION);
	char	   *statement;

	SPI_connect();
	arguments[2] = check_columns(target, query);
	statement = call_as_owner(&plan, "SELECT leadscore_internal.difference_statement($1, $2, $3)", 3, types, arguments);
	if (SPI_execute(statement, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not refresh %s", RelationGetRelationName(target));
	if (SPI_processed > 0)
		tell_fault();
	SPI_finish();
	restore_user(user);
}

/* How often, and how long in between, a lock is tried. */
#define LOCK_ATTEMPTS 100
#define LOCK_PAUSE 10000		/* microseconds */

/* Lock a table unless another session keeps it locked for a second: autovacuum needs less, as a rule. */
static bool
lock_soon(Oid table)
{
	for (int i = 0; !ConditionalLockRelationOid(table, ShareRowExclusiveLock); i++)
	{
		if (i == LOCK_ATTEMPTS)
			return false;
		pg_usleep(LOCK_PAUSE);
		CHECK_FOR_INTERRUPTS();
	}
	return true;
}

/*
 * refresh_query(target, wait): SHARE ROW EXCLUSIVE conflicts with other writers, but
 * not with readers. Returns false if there is nothing to refresh or, without "wait",
 * if another session keeps a conflicting lock.
 */
Datum
refresh_query(PG_FUNCTION_ARGS)
{
	static SPIPlanPtr look_up = NULL;
	static SPIPlanPtr note = NULL;
	Oid			types[2] = {OIDOID, TIMESTAMPTZOID};
	Datum		arguments[2] = {PG_GETARG_DATUM(0), 0};
	Oid			target = PG_GETARG_OID(0);
	char	   *query = call_as_owner(&look_up, "SELECT leadscore_internal.query_of($1)", 1, types, arguments);
	Relation	relation;
	int			settings;

	if (query == NULL)
		PG_RETURN_BOOL(false);
	if (PG_GETARG_BOOL(1))
		LockRelationOid(target, ShareRowExclusiveLock);
	else if (!lock_soon(target))
		PG_RETURN_BOOL(false);
	/* it may have been dropped while we waited for the lock */
	if (get_rel_relkind(target) != RELKIND_RELATION)
		PG_RETURN_BOOL(false);

	relation = table_open(target, NoLock);
	settings = NewGUCNestLevel();
	pin_settings();
	(void) set_config_option("row_security", "on", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	arguments[1] = TimestampTzGetDatum(GetCurrentTimestamp());
	write_differences(relation, query);
	AtEOXact_GUC(false, settings);
	table_close(relation, NoLock);
	(void) call_as_owner(&note, "SELECT leadscore_internal.query_refreshed($1, $2)", 2, types, arguments);
	PG_RETURN_BOOL(true);
}
