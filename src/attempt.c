/*
 * attempt.c: what may fail alone, without the transaction that it is done in.
 */
#include "postgres.h"

#include "attempt.h"

#include "access/xact.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

/* Say what has failed. */
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

void
attempt(void (*step) (void *argument), void *argument, const char *failure, const char *hint)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;

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
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
			ReThrowError(error);
		warn(error, failure, hint);
		FreeErrorData(error);
	}
	PG_END_TRY();
}
