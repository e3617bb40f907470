/*
 * signals.h: the signals that a session keeps between statements.
 */
#ifndef LEADSCORE_SIGNALS_H
#define LEADSCORE_SIGNALS_H

#include "model/signal.h"

/* The current signals; valid until the transaction ends. */
extern const SignalSet *current_signals(void);

#endif							/* LEADSCORE_SIGNALS_H */
