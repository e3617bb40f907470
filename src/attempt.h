/*
 * attempt.h: steps that may fail without failing the surrounding transaction.
 */
#ifndef LEADSCORE_ATTEMPT_H
#define LEADSCORE_ATTEMPT_H

#include "compat.h"

#include "utils/resowner.h"

/*
 * Run a step in a subtransaction. If it fails, roll the subtransaction back and
 * emit a WARNING with the error message, prefixed with "failure" (NULL: no
 * prefix), and with "hint" (NULL: the hint of the error). Cancellation and
 * termination are rethrown.
 */
extern void attempt(void (*step) (void *argument), void *argument, const char *failure, const char *hint);

/*
 * Many small steps, each of which may fail alone. They share one subtransaction
 * until a step fails: the failure rolls that subtransaction back, and the next step
 * begins a new one. Do not write anything before attempts_end(). Initialize with
 * {0}.
 */
typedef struct Attempts
{
	int			nest;			/* nesting level of transactions outside */
	ResourceOwner outside;
	ResourceOwner inside;		/* NULL: no subtransaction has begun */
	int			sqlstate;		/* of the last failure */
	char	   *message;
} Attempts;

/* Run a step; false if it has failed. Cancellation and running out of memory are rethrown. */
extern bool attempt_next(Attempts *attempts, void (*step) (void *argument), void *argument);
extern void attempts_end(Attempts *attempts);

/*
 * Do work that makes attempts. If it fails between two of them, roll back the subtransaction
 * that they share, and rethrow: the handler that catches the error, such as a PL/pgSQL block,
 * rolls back one subtransaction only and takes it for its own.
 */
extern void run_with_attempts(void (*work) (void *argument), void *argument);

#endif							/* LEADSCORE_ATTEMPT_H */
