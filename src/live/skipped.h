/*
 * skipped.h: rows of tracked tables that do not count, by reason.
 */
#ifndef LEADSCORE_SKIPPED_H
#define LEADSCORE_SKIPPED_H

#include "live/source.h"

/* Errors of expressions that are told apart in one statement; others are added to the last. */
#define MAX_ERRORS 8

/* What a statement has skipped. Begins as {0}. */
typedef struct Skips
{
	int64		faults[ROW_FAULTS];
	int64		in_future;		/* these do count, when their time has come */
	TimestampTz soon;			/* where the future begins; 0: not asked yet */
	int			nerrors;
	int			errors[MAX_ERRORS]; /* SQLSTATE */
	int64		failed[MAX_ERRORS];
} Skips;

/* Note a row that was read, as an event or profile or not. */
extern void skips_note(Skips *skips, const Reading *reading, const SourceRow *row, bool is_read);

/* Append what was noted of a table to leadscore_internal.skipped, as our owner. */
extern void skips_write(const Skips *skips, Oid source);

#endif							/* LEADSCORE_SKIPPED_H */
