/*
 * progress.h: progress reporting of long-running commands, visible to other sessions.
 *
 * These functions do nothing unless a command that reports its progress is running.
 */
#ifndef LEADSCORE_PROGRESS_H
#define LEADSCORE_PROGRESS_H

#include "compat.h"

/* Rows between two progress reports. */
#define PROGRESS_ROWS 16384

/* Begin a phase of a command; none of its units are done yet. */
extern void progress_phase(const char *command, const char *phase);

/* Report more finished units of a phase; progress_restart() sets the count back to 0. */
extern void progress_advance(const char *phase, int64 done);
extern void progress_restart(const char *phase);

#endif							/* LEADSCORE_PROGRESS_H */
