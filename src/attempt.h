/*
 * attempt.h: what may fail alone, without the transaction that it is done in.
 */
#ifndef LEADSCORE_ATTEMPT_H
#define LEADSCORE_ATTEMPT_H

/*
 * Do something in a subtransaction. If it fails, that is rolled back, and a
 * WARNING says why: after "failure" (NULL: nothing), with "hint" (NULL: that of
 * the error). A cancelled or terminated statement is no such failure.
 */
extern void attempt(void (*step) (void *argument), void *argument, const char *failure, const char *hint);

#endif							/* LEADSCORE_ATTEMPT_H */
