/*
 * phrase.h: what a scorecard measures, in words.
 */
#ifndef LEADSCORE_PHRASE_H
#define LEADSCORE_PHRASE_H

#include "model/scorecard.h"
#include "model/sentence.h"

/* What a signal is called. */
typedef struct Noun
{
	const char *one;
	const char *many;			/* NULL: nobody knows, so sentences say "times" */
	bool		labelled;		/* somebody has named it for people */
} Noun;

extern Noun noun_of(const Wording *wording, const char *signal, const char *label);
extern char *points_in_words(const Wording *wording, double points, NumberStyle style);
extern char *duration_in_words(const Wording *wording, const char *name, int32 hours);
extern char *list_in_words(const Wording *wording, const char *conjunction, int n, char *const *items);

/*
 * What a weight has measured ("12 visits in the last 90 days"), the band that it asks for ("4 or more visits"), and its
 * absence ("no visit"); and what it is worth points for, each time ("each visit").
 */
extern char *measured_in_words(const Wording *wording, const Weight *weight, double measured, NumberStyle style);
extern char *band_in_words(const Wording *wording, const Weight *weight);
extern char *absence_in_words(const Wording *wording, const Weight *weight);
extern char *unit_in_words(const Wording *wording, const Weight *weight);

/* Behind that. */
extern bool has_decay(const Weight *weight);
extern char *daily_limit_in_words(const Wording *wording, const Weight *weight);

extern char *conditions_in_words(const Wording *wording, const Scorecard *card, const Rule *rule);

/* A column of a result. */
extern Datum text_or_null(const char *s, bool *isnull);

#endif							/* LEADSCORE_PHRASE_H */
