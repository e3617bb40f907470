/*
 * catalog.h: what a session keeps of the configuration between statements.
 *
 * Only the trigger and fold() use it; the core takes its configuration as an
 * argument.
 */
#ifndef LEADSCORE_CATALOG_H
#define LEADSCORE_CATALOG_H

#include "signal.h"

extern Oid	our_table(const char *name);

/* The signals as of now; valid until the next call. */
extern const SignalSet *current_signals(void);

/* Whether any alias is known. */
extern bool aliases_exist(void);

#endif							/* LEADSCORE_CATALOG_H */
