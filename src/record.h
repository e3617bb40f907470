/*
 * record.h: the trigger that keeps timelines true.
 */
#ifndef LEADSCORE_RECORD_H
#define LEADSCORE_RECORD_H

#include "source.h"

/* The signals as of now, kept between statements; they live until the next call. */
extern const SignalSet *current_signals(void);

#endif							/* LEADSCORE_RECORD_H */
