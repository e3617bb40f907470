/*
 * progress.h: how far the commands have come that take long, for other sessions to see.
 *
 * All of this does nothing where no command has begun that tells of its progress.
 */
#ifndef LEADSCORE_PROGRESS_H
#define LEADSCORE_PROGRESS_H

#include "compat.h"

/* How often rows are told of. */
#define PROGRESS_ROWS 16384

/* A command goes over to a phase, of whose units nothing is done yet. */
extern void progress_phase(const char *command, const char *phase);

/* So many more units of a phase are done; it may begin again from none. */
extern void progress_advance(const char *phase, int64 done);
extern void progress_restart(const char *phase);

#endif							/* LEADSCORE_PROGRESS_H */
