/*
 * attempt.c: steps that may fail without failing the surrounding transaction.
 */
#include "postgres.h"

#include "attempt.h"

#include "access/xact.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

/* Report the failure as a WARNING. */
static void
warn(const ErrorData *error, const char *failure, const char *hint)
{
	if (hint == NULL)
		hint = error->hint;
	ereport(WARNING,
			(errcode(error->sqlerrcode),
			 errmsg("%s%s%s", failure ? failure : "", failure ? ": " : "", error->message),
			 error->detail ? errdetail_internal("%s", error->detail) : 0,
			 hint ? errhint("%s", hint) : 0));
}

/* Roll back all subtransactions that are nested more deeply. */
static void
roll_back_to(int nest)
{
	while (GetCurrentTransactionNestLevel() > nest)
		RollbackAndReleaseCurrentSubTransaction();
}

void
attempt(void (*step) (void *argument), void *argument, const char *failure, const char *hint)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	int			nest = GetCurrentTransactionNestLevel();

	BeginInternalSubTransaction(NULL);
	PG_TRY();
	{
		step(argument);
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		roll_back_to(nest);
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
			ReThrowError(error);
		warn(error, failure, hint);
		FreeErrorData(error);
	}
	PG_END_TRY();
}

/* Switch back to the outer context and resource owner after the subtransaction has ended. */
static void
leave(Attempts *attempts, MemoryContext context)
{
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = attempts->outside;
	attempts->inside = NULL;
}

/* Record why a step failed. Errors that the step did not cause are rethrown. */
static void
note_failure(Attempts *attempts, ErrorData *error)
{
	int			category = ERRCODE_TO_CATEGORY(error->sqlerrcode);

	if (category == ERRCODE_OPERATOR_INTERVENTION || category == ERRCODE_INSUFFICIENT_RESOURCES)
		ReThrowError(error);
	attempts->sqlstate = error->sqlerrcode;
	attempts->message = pstrdup(error->message ? error->message : "");
	FreeErrorData(error);
}

bool
attempt_next(Attempts *attempts, void (*step) (void *argument), void *argument)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool done = false;

	if (attempts->inside == NULL)
	{
		attempts->nest = GetCurrentTransactionNestLevel();
		attempts->outside = CurrentResourceOwner;
		BeginInternalSubTransaction(NULL);
		attempts->inside = CurrentResourceOwner;
		MemoryContextSwitchTo(context);
	}
	/* resources that the caller opens between the steps belong to the outer resource owner */
	CurrentResourceOwner = attempts->inside;
	PG_TRY();
	{
		step(argument);
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = attempts->outside;
		done = true;
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		roll_back_to(attempts->nest);
		leave(attempts, context);
		note_failure(attempts, error);
	}
	PG_END_TRY();
	return done;
}

void
attempts_end(Attempts *attempts)
{
	MemoryContext context = CurrentMemoryContext;

	if (attempts->inside == NULL)
		return;
	CurrentResourceOwner = attempts->inside;
	ReleaseCurrentSubTransaction();
	leave(attempts, context);
}

void
run_with_attempts(void (*work) (void *argument), void *argument)
{
	int			nest = GetCurrentTransactionNestLevel();

	PG_TRY();
	{
		work(argument);
	}
	PG_CATCH();
	{
		roll_back_to(nest);
		PG_RE_THROW();
	}
	PG_END_TRY();
}
