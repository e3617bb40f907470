/*
 * sentence.h: fills in templates of sentences.
 *
 * A wording is a jsonb object that maps names of sentences to templates in one
 * language; leadscore_internal.wording() builds it. A template is text with
 * placeholders: a percent sign and a name ("%points"). "%%" is a percent sign.
 */
#ifndef LEADSCORE_SENTENCE_H
#define LEADSCORE_SENTENCE_H

#include "compat.h"

#include "lib/stringinfo.h"

typedef struct Wording
{
	JsonbContainer *templates;
	const char *decimal;		/* point or comma */
	const char *thousands;		/* between groups of three digits */
} Wording;

/* The text for a placeholder. */
typedef struct Filling
{
	const char *name;
	const char *text;
} Filling;

/* How a number is rounded. */
typedef enum NumberStyle
{
	NUMBER_EXACT,				/* as configured */
	NUMBER_ROUNDED,				/* to tenths, small ones to hundredths */
	NUMBER_AMOUNT,				/* to hundredths, which are written unless the number is whole */
	NUMBER_WHOLE
} NumberStyle;

#define FILLINGS(...) lengthof(((const Filling[]) {__VA_ARGS__})), (const Filling[]) {__VA_ARGS__}

extern void wording_read(Wording *wording, Jsonb *templates);
extern bool wording_has(const Wording *wording, const char *name);
extern char *fill_in(const Wording *wording, const char *name, int n, const Filling *fillings);
extern const char *plural_name(const Wording *wording, const char *name, const char *n);
extern char *number_in_words(const Wording *wording, double number, NumberStyle style);

#endif							/* LEADSCORE_SENTENCE_H */
