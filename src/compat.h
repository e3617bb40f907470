/*
 * compat.h: differences between PostgreSQL 15 to 19.
 *
 * The only file that looks at PG_VERSION_NUM.
 */
#ifndef LEADSCORE_COMPAT_H
#define LEADSCORE_COMPAT_H

#include "postgres.h"

#include "access/genam.h"
#include "access/tableam.h"
#include "catalog/dependency.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "parser/parse_relation.h"
#include "storage/lock.h"
#include "storage/smgr.h"
#include "utils/acl.h"
#include "utils/jsonb.h"
#include "utils/relcache.h"
#include "utils/tuplestore.h"

/* 16 moved the varlena macros out of postgres.h. */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* 18 added this macro, which precedes a declaration. */
#if PG_VERSION_NUM < 180000
#define pg_noreturn __attribute__((noreturn))
#endif

/* 16 distinguishes kinds of indexes when a row is updated. */
#if PG_VERSION_NUM >= 160000
typedef TU_UpdateIndexes UpdateIndexes;
#define INDEXES_ALL TU_All
#else
typedef bool UpdateIndexes;
#define INDEXES_ALL true
#endif

/* Insert a row into its table's indexes; if "conflict" is not NULL, it reports a duplicate. */
static inline void
insert_index_tuples(ResultRelInfo *result, TupleTableSlot *row, EState *estate, bool update, bool *conflict,
					UpdateIndexes indexes pg_attribute_unused())
{
#if PG_VERSION_NUM >= 190000
	uint32		flags = update ? EIIT_IS_UPDATE : 0;

	if (conflict)
		flags |= EIIT_NO_DUPE_ERROR;
	if (indexes == TU_Summarizing)
		flags |= EIIT_ONLY_SUMMARIZING;
	list_free(ExecInsertIndexTuples(result, estate, flags, row, NIL, conflict));
#elif PG_VERSION_NUM >= 160000
	list_free(ExecInsertIndexTuples(result, row, estate, update, conflict != NULL, conflict, NIL, indexes == TU_Summarizing));
#else
	list_free(ExecInsertIndexTuples(result, row, estate, update, conflict != NULL, conflict, NIL));
#endif
}

/* 18 added an argument, 19 another. */
static inline IndexScanDesc
begin_index_scan(Relation table, Relation index, Snapshot snapshot, int nkeys)
{
#if PG_VERSION_NUM >= 190000
	return index_beginscan(table, index, snapshot, NULL, nkeys, 0, SO_NONE);
#elif PG_VERSION_NUM >= 180000
	return index_beginscan(table, index, snapshot, NULL, nkeys, 0);
#else
	return index_beginscan(table, index, snapshot, nkeys, 0);
#endif
}

/* 19 added an argument to this function and the three that follow. */
static inline TableScanDesc
begin_table_scan(Relation table, Snapshot snapshot)
{
#if PG_VERSION_NUM >= 190000
	return table_beginscan(table, snapshot, 0, NULL, SO_NONE);
#else
	return table_beginscan(table, snapshot, 0, NULL);
#endif
}

static inline IndexFetchTableData *
begin_index_fetch(Relation table)
{
#if PG_VERSION_NUM >= 190000
	return table_index_fetch_begin(table, SO_NONE);
#else
	return table_index_fetch_begin(table);
#endif
}

/* Replace the row at "tid". */
static inline TM_Result
update_tuple(Relation table, ItemPointer tid, TupleTableSlot *row, CommandId command, Snapshot snapshot, bool wait,
			 TM_FailureData *failure, LockTupleMode *lock, UpdateIndexes *indexes)
{
#if PG_VERSION_NUM >= 190000
	return table_tuple_update(table, tid, row, command, 0, snapshot, InvalidSnapshot, wait, failure, lock, indexes);
#else
	return table_tuple_update(table, tid, row, command, snapshot, InvalidSnapshot, wait, failure, lock, indexes);
#endif
}

/* Delete the row at "tid". */
static inline TM_Result
delete_tuple(Relation table, ItemPointer tid, CommandId command, Snapshot snapshot, bool wait, TM_FailureData *failure)
{
#if PG_VERSION_NUM >= 190000
	return table_tuple_delete(table, tid, command, 0, snapshot, InvalidSnapshot, wait, failure);
#else
	return table_tuple_delete(table, tid, command, snapshot, InvalidSnapshot, wait, failure, false);
#endif
}

/* Call it when a row type has all its columns; new in 19. */
static inline void
finish_row_type(TupleDesc row pg_attribute_unused())
{
#if PG_VERSION_NUM >= 190000
	TupleDescFinalize(row);
#endif
}

/* A jsonb value under construction; 19 made it one struct. Initialize with {0}; "result" is the finished value. */
#if PG_VERSION_NUM >= 190000
typedef JsonbInState JsonbBuilder;
#else
typedef struct JsonbBuilder
{
	JsonbParseState *state;
	JsonbValue *result;
} JsonbBuilder;
#endif

static inline void
push_jsonb(JsonbBuilder *json, JsonbIteratorToken token, JsonbValue *value)
{
#if PG_VERSION_NUM >= 190000
	pushJsonbValue(json, token, value);
#else
	json->result = pushJsonbValue(&json->state, token, value);
#endif
}

/* 16 merged the functions that check ownership into one. */
static inline bool
owns(Oid class, Oid object)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(class, object, GetUserId());
#else
	return class == RelationRelationId ? pg_class_ownercheck(object, GetUserId()) : pg_namespace_ownercheck(object, GetUserId());
#endif
}

/* The same for the functions that check privileges. */
static inline bool
may_use_schema(Oid role, Oid schema)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(NamespaceRelationId, schema, role, ACL_USAGE) == ACLCHECK_OK;
#else
	return pg_namespace_aclcheck(schema, role, ACL_USAGE) == ACLCHECK_OK;
#endif
}

/* Whether a query uses objects that other sessions do not see; 19 has a function for it that finds more. */
static inline bool
reads_temporary(Query *query)
{
#if PG_VERSION_NUM >= 190000
	ObjectAddress object;

	return query_uses_temp_object(query, &object);
#else
	return isQueryUsingTempRelation(query);
#endif
}

/* The index of a table's primary key; 18 added an argument. */
static inline Oid
primary_key_index(Relation table)
{
#if PG_VERSION_NUM >= 180000
	return RelationGetPrimaryKeyIndex(table, false);
#else
	return RelationGetPrimaryKeyIndex(table);
#endif
}

/* Whether this session holds a lock; 17 added an argument. */
static inline bool
lock_is_held(const LOCKTAG *lock, LOCKMODE mode)
{
#if PG_VERSION_NUM >= 170000
	return LockHeldByMe(lock, mode, false);
#else
	return LockHeldByMe(lock, mode);
#endif
}

/*
 * Take a lock without waiting, for the session or for the transaction; false if there is a conflict
 * or the lock table is full. 18 added an argument.
 */
static inline bool
try_lock(const LOCKTAG *lock, LOCKMODE mode, bool session)
{
#if PG_VERSION_NUM >= 180000
	return LockAcquireExtended(lock, mode, session, true, false, NULL, false) != LOCKACQUIRE_NOT_AVAIL;
#else
	return LockAcquireExtended(lock, mode, session, true, false, NULL) != LOCKACQUIRE_NOT_AVAIL;
#endif
}

/* The files of a table that is not temporary; 16 renamed their key, and 17 the number of no session. */
static inline SMgrRelation
files_of(Form_pg_class table)
{
	Oid			tablespace = OidIsValid(table->reltablespace) ? table->reltablespace : MyDatabaseTableSpace;

#if PG_VERSION_NUM >= 170000
	return smgropen((RelFileLocator) {tablespace, MyDatabaseId, table->relfilenode}, INVALID_PROC_NUMBER);
#elif PG_VERSION_NUM >= 160000
	return smgropen((RelFileLocator) {tablespace, MyDatabaseId, table->relfilenode}, InvalidBackendId);
#else
	return smgropen((RelFileNode) {tablespace, MyDatabaseId, table->relfilenode}, InvalidBackendId);
#endif
}

/* The sequence of an identity column; 17 takes the relation itself. */
static inline Oid
identity_sequence(Relation table, AttrNumber column)
{
#if PG_VERSION_NUM >= 170000
	return getIdentitySequence(table, column, false);
#else
	return getIdentitySequence(RelationGetRelid(table), column, false);
#endif
}

/* 17 added jsonpath methods besides .datetime() that read dates and times. */
#if PG_VERSION_NUM >= 170000
#define JSONPATH_READS_TIME(type) \
	((type) == jpiDatetime || (type) == jpiDate || (type) == jpiTime || (type) == jpiTimeTz || \
	 (type) == jpiTimestamp || (type) == jpiTimestampTz)
#else
#define JSONPATH_READS_TIME(type) ((type) == jpiDatetime)
#endif

/* 19 passes the planner the EXPLAIN state. */
#if PG_VERSION_NUM >= 190000
#define plan_query(query, text) pg_plan_query(query, text, 0, NULL, NULL)
#else
#define plan_query(query, text) pg_plan_query(query, text, 0, NULL)
#endif

/* Run a query to its end; 18 removed the execute_once argument. */
#if PG_VERSION_NUM >= 180000
#define run_query(query) ExecutorRun(query, ForwardScanDirection, 0)
#else
#define run_query(query) ExecutorRun(query, ForwardScanDirection, 0, true)
#endif

#endif							/* LEADSCORE_COMPAT_H */
