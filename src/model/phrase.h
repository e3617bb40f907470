/*
 * phrase.h: puts what a scorecard measures into words.
 */
#ifndef LEADSCORE_PHRASE_H
#define LEADSCORE_PHRASE_H

#include "model/scorecard.h"
#include "model/sentence.h"

/* The name of a signal. */
typedef struct Noun
{
	const char *one;
	const char *many;			/* NULL: unknown, so sentences say "times" */
	bool		labelled;		/* the name is a label written for people */
} Noun;

extern Noun noun_of(const Wording *wording, const char *signal, const char *label);
extern char *points_in_words(const Wording *wording, double points, NumberStyle style);
extern char *duration_in_words(const Wording *wording, const char *name, int32 hours);
extern char *list_in_words(const Wording *wording, const char *conjunction, int n, char *const *items);

/*
 * What a weight has measured ("12 visits in the last 90 days"), the band that it requires ("4 or
 * more visits"), its absence ("no visit"), and the unit that earns points ("each visit").
 */
extern char *measured_in_words(const Wording *wording, const Weight *weight, double measured, NumberStyle style);
extern char *band_in_words(const Wording *wording, const Weight *weight);
extern char *absence_in_words(const Wording *wording, const Weight *weight);
extern char *unit_in_words(const Wording *wording, const Weight *weight);

/* Text that follows those. */
extern bool has_decay(const Weight *weight);
extern char *daily_limit_in_words(const Wording *wording, const Weight *weight);

extern char *conditions_in_words(const Wording *wording, const Scorecard *card, const Rule *rule);

/* A column of a result. */
extern Datum text_or_null(const char *s, bool *isnull);

#endif							/* LEADSCORE_PHRASE_H */
