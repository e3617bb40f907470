/*
 * duration.h: intervals that are counted in whole hours.
 */
#ifndef LEADSCORE_DURATION_H
#define LEADSCORE_DURATION_H

#include "compat.h"

#include "utils/timestamp.h"

extern double interval_seconds(const Interval *interval);
extern char *interval_words(const Interval *interval);
extern const char *duration_fault(const Interval *interval, bool is_bare_number, const char **hint);
extern int32 hours_of_interval(const Interval *interval);

#endif							/* LEADSCORE_DURATION_H */
