/*
 * attempt.h: what may fail alone, without the transaction that it is done in.
 */
#ifndef LEADSCORE_ATTEMPT_H
#define LEADSCORE_ATTEMPT_H

#include "compat.h"

#include "utils/resowner.h"

/*
 * Do something in a subtransaction. If it fails, that is rolled back, and a
 * WARNING says why: after "failure" (NULL: nothing), with "hint" (NULL: that of
 * the error). A cancelled or terminated statement is no such failure.
 */
extern void attempt(void (*step) (void *argument), void *argument, const char *failure, const char *hint);

/*
 * Many small steps, each of which may fail alone. They share one subtransaction
 * until one of them fails, which costs it, and the next step begins another. Nothing
 * may be written before it has been ended. Begins as {0}.
 */
typedef struct Attempts
{
	ResourceOwner outside;
	ResourceOwner inside;		/* NULL: no subtransaction has begun */
	int			sqlstate;		/* of the last failure */
	char	   *message;
} Attempts;

/* Do a step; false if it has failed. A cancelled statement or one without memory is no such failure. */
extern bool attempt_next(Attempts *attempts, void (*step) (void *argument), void *argument);
extern void attempts_end(Attempts *attempts);

#endif							/* LEADSCORE_ATTEMPT_H */
