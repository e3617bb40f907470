/*
 * compat.h: what differs between the server versions 14 to 18.
 *
 * The only file that looks at PG_VERSION_NUM.
 */
#ifndef LEADSCORE_COMPAT_H
#define LEADSCORE_COMPAT_H

#include "postgres.h"

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

/* 16 added an argument. */
static inline void
eval_plan_qual_init(EPQState *epq, EState *estate)
{
#if PG_VERSION_NUM >= 160000
	EvalPlanQualInit(epq, estate, NULL, NIL, -1, NIL);
#else
	EvalPlanQualInit(epq, estate, NULL, NIL, -1);
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
