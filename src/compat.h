/*
 * compat.h: what differs between the server versions 14 to 18.
 *
 * The only file that looks at PG_VERSION_NUM.
 */
#ifndef LEADSCORE_COMPAT_H
#define LEADSCORE_COMPAT_H

#include "postgres.h"

#include "access/genam.h"
#include "access/tableam.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/relcache.h"

/* 16 moved the varlena macros out of postgres.h. */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* 18 took away this spelling of pg_noreturn, which may also stand behind a declaration. */
#if PG_VERSION_NUM >= 180000
#define pg_attribute_noreturn() __attribute__((noreturn))
#endif

/* 15 brought the one-call set-up of a materialized set-returning function. */
#if PG_VERSION_NUM < 150000
static inline void
InitMaterializedSRF(FunctionCallInfo fcinfo, int flags)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext old;
	TupleDesc	tupdesc;

	if (rsinfo == NULL || !IsA(rsinfo, ReturnSetInfo) ||
		(rsinfo->allowedModes & SFRM_Materialize) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("set-valued function called in context that cannot accept a set")));
	old = MemoryContextSwitchTo(rsinfo->econtext->ecxt_per_query_memory);
	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	rsinfo->returnMode = SFRM_Materialize;
	rsinfo->setResult = tuplestore_begin_heap((rsinfo->allowedModes & SFRM_Materialize_Random) != 0,
											  false, work_mem);
	rsinfo->setDesc = tupdesc;
	MemoryContextSwitchTo(old);
}
#endif

/* 16 tells kinds of indexes apart when a row is updated. */
#if PG_VERSION_NUM >= 160000
typedef TU_UpdateIndexes UpdateIndexes;
#define INDEXES_ALL TU_All
#else
typedef bool UpdateIndexes;
#define INDEXES_ALL true
#endif

/* Insert a row into its table's indexes; with "conflict", a duplicate is noted there. */
static inline void
insert_index_tuples(ResultRelInfo *result, TupleTableSlot *row, EState *estate, bool update, bool *conflict,
					UpdateIndexes indexes pg_attribute_unused())
{
#if PG_VERSION_NUM >= 160000
	list_free(ExecInsertIndexTuples(result, row, estate, update, conflict != NULL, conflict, NIL, indexes == TU_Summarizing));
#else
	list_free(ExecInsertIndexTuples(result, row, estate, update, conflict != NULL, conflict, NIL));
#endif
}

/* 18 added an argument. */
static inline IndexScanDesc
index_begin_scan(Relation table, Relation index, Snapshot snapshot, int nkeys)
{
#if PG_VERSION_NUM >= 180000
	return index_beginscan(table, index, snapshot, NULL, nkeys, 0);
#else
	return index_beginscan(table, index, snapshot, nkeys, 0);
#endif
}

/* 16 made one function of those that ask who owns an object. */
static inline bool
owns(Oid class, Oid object)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(class, object, GetUserId());
#else
	return class == RelationRelationId ? pg_class_ownercheck(object, GetUserId()) : pg_namespace_ownercheck(object, GetUserId());
#endif
}

/* Likewise of those that ask about rights. */
static inline bool
may_use_schema(Oid role, Oid schema)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(NamespaceRelationId, schema, role, ACL_USAGE) == ACLCHECK_OK;
#else
	return pg_namespace_aclcheck(schema, role, ACL_USAGE) == ACLCHECK_OK;
#endif
}

/* 18 added an argument. */
#if PG_VERSION_NUM >= 180000
#define RelationGetPrimaryKeyIndex(relation) RelationGetPrimaryKeyIndex(relation, false)
#endif

/* 17 brought jsonpath methods that read dates and times beside .datetime(). */
#if PG_VERSION_NUM >= 170000
#define JSONPATH_READS_TIME(type) \
	((type) == jpiDatetime || (type) == jpiDate || (type) == jpiTime || (type) == jpiTimeTz || \
	 (type) == jpiTimestamp || (type) == jpiTimestampTz)
#else
#define JSONPATH_READS_TIME(type) ((type) == jpiDatetime)
#endif

#endif							/* LEADSCORE_COMPAT_H */
