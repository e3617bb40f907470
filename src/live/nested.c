/*
 * nested.c: statements that run between those of the user.
 *
 * Extensions such as pg_stat_statements recognize a nested statement because it runs
 * inside a call of ExecutorRun(). Work before a commit runs inside no such call. So it
 * is done by the DestReceiver of the one row of a "SELECT". That query has no query ID,
 * so these extensions do not count it.
 */
#include "live/nested.h"

#include "compat.h"

#include "nodes/pg_list.h"
#include "parser/analyze.h"
#include "tcop/dest.h"
#include "tcop/tcopprot.h"
#include "utils/snapmgr.h"

/* auto_explain shows this text */
static const char *const command = "SELECT /* leadscore, before commit */";

/* Does the work when it receives the row. */
typedef struct Worker
{
	DestReceiver receiver;		/* must be first */
	void		(*work) (void *argument);
	void	   *argument;
} Worker;

static void
startup(DestReceiver *self pg_attribute_unused(), int operation pg_attribute_unused(), TupleDesc row pg_attribute_unused())
{
}

static bool
receive(TupleTableSlot *slot pg_attribute_unused(), DestReceiver *self)
{
	Worker	   *worker = (Worker *) self;

	worker->work(worker->argument);
	return true;
}

static void
end(DestReceiver *self pg_attribute_unused())
{
}

static PlannedStmt *
plan(void)
{
	Query	   *query = parse_analyze_fixedparams(linitial(pg_parse_query(command)), command, NULL, 0, NULL);

	query->queryId = 0;
	return plan_query(query, command);
}

void
run_nested(void (*work) (void *argument), void *argument)
{
	Worker		worker = {{receive, startup, end, end, DestNone}, work, argument};
	QueryDesc  *query;

	/* no extension watches the executor */
	if (ExecutorRun_hook == NULL)
	{
		work(argument);
		return;
	}
	PushActiveSnapshot(GetTransactionSnapshot());
	query = CreateQueryDesc(plan(), command, GetActiveSnapshot(), InvalidSnapshot, &worker.receiver, NULL, NULL, 0);
	ExecutorStart(query, 0);
	run_query(query);
	ExecutorFinish(query);
	ExecutorEnd(query);
	FreeQueryDesc(query);
	PopActiveSnapshot();
}
