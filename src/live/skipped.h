/*
 * skipped.h: rows of tracked tables that do not count, by reason.
 */
#ifndef LEADSCORE_SKIPPED_H
#define LEADSCORE_SKIPPED_H

#include "live/source.h"

/* SQLSTATEs of failed expressions that a statement counts separately; further ones are added to the last. */
#define MAX_ERRORS 8

/* The rows that a statement has skipped. Initialize it with {0}. */
typedef struct Skips
{
	int64		faults[ROW_FAULTS];
	int64		archived;		/* older than the archive: see collect_statement() */
	int64		in_future;		/* these do count, once their time has come */
	TimestampTz soon;			/* later times are in the future; 0: not computed yet */
	int			nerrors;
	int			errors[MAX_ERRORS]; /* SQLSTATE */
	int64		failed[MAX_ERRORS];
} Skips;

/* Note a row; "is_read" says whether it could be read as an event or profile. */
extern void skips_note(Skips *skips, const Reading *reading, const SourceRow *row, bool is_read);

/* Append the counts of a table to leadscore_internal.skipped, as our owner. */
extern void skips_write(const Skips *skips, Oid source);

#endif							/* LEADSCORE_SKIPPED_H */
