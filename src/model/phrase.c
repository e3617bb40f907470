/*
 * phrase.c: puts what a scorecard measures into words: parts of sentences.
 *
 * Each part is a template of the wording. A template whose name ends in
 * ".label" is for a signal that has no plural: "Placed an order, 12 times"
 * instead of "12 orders".
 */
#include "model/phrase.h"

#include <math.h>

#include "utils/builtins.h"

#define HOURS_A_YEAR 8766
/* From this many hours on, whole days are written as days: 24 hours are not a calendar day. */
#define LEAST_DAYS (2 * HOURS_A_DAY)

/* ---------- names ---------- */

/* Whether a name is one plain word, so that its English plural can be formed; a word like "ordered" has none. */
static bool
is_plain_word(const char *word)
{
	size_t		length = strlen(word);

	return length >= 3 && strspn(word, "abcdefghijklmnopqrstuvwxyz") == length && word[length - 1] != 's' &&
		strcmp(word + length - 2, "ed") != 0;
}

static bool
ends_with_any(const char *word, const char *const *endings)
{
	size_t		length = strlen(word);

	for (; *endings; endings++)
		if (length >= strlen(*endings) && strcmp(word + length - strlen(*endings), *endings) == 0)
			return true;
	return false;
}

static char *
english_plural(const char *word)
{
	static const char *const hissing[] = {"x", "z", "ch", "sh", NULL};
	static const char *const vowel_y[] = {"ay", "ey", "oy", "uy", NULL};
	static const char *const any_y[] = {"y", NULL};

	if (ends_with_any(word, hissing))
		return psprintf("%ses", word);
	if (ends_with_any(word, any_y) && !ends_with_any(word, vowel_y))
		return psprintf("%.*sies", (int) strlen(word) - 1, word);
	return psprintf("%ss", word);
}

Noun
noun_of(const Wording *wording, const char *signal, const char *label)
{
	const char *bar = label ? strchr(label, '|') : NULL;
	Noun		noun = {.labelled = label != NULL};
	char	   *name;

	if (bar)
	{
		noun.one = pnstrdup(label, bar - label);
		noun.many = bar + 1;
		return noun;
	}
	name = pstrdup(label ? label : signal);
	for (char *c = name; label == NULL && *c; c++)
		if (*c == '_')
			*c = ' ';
	noun.one = name;
	if (strcmp(fill_in(wording, "noun.ending", 0, NULL), "s") == 0 && is_plain_word(name))
		noun.many = english_plural(name);
	return noun;
}

/* ---------- numbers of things ---------- */

char *
points_in_words(const Wording *wording, double points, NumberStyle style)
{
	const char *n = number_in_words(wording, points, style);

	return fill_in(wording, plural_name(wording, "points", n), FILLINGS({"n", n}));
}

/* A duration in hours, days or years, by templates whose names begin with "name": "in the last 90 days", "90 days". */
char *
duration_in_words(const Wording *wording, const char *name, int32 hours)
{
	const char *unit = "hours";
	int32		n = hours;
	const char *written;

	if (hours % HOURS_A_YEAR == 0)
	{
		unit = "years";
		n = hours / HOURS_A_YEAR;
	}
	else if (hours % HOURS_A_DAY == 0 && hours >= LEAST_DAYS)
	{
		unit = "days";
		n = hours / HOURS_A_DAY;
	}
	written = number_in_words(wording, n, NUMBER_WHOLE);
	return fill_in(wording, plural_name(wording, psprintf("%s.%s", name, unit), written), FILLINGS({"n", written}));
}

/* "a, b, c", joined by halves, so that a long list does not cost quadratic time */
static char *
comma_list(const Wording *wording, const char *comma, int n, char *const *items)
{
	CHECK_FOR_INTERRUPTS();
	if (n == 1)
		return items[0];
	return fill_in(wording, comma, FILLINGS({"first", comma_list(wording, comma, n / 2, items)},
											{"second", comma_list(wording, comma, n - n / 2, items + n / 2)}));
}

/* "a, b and c"; with semicolons if an item contains a comma */
char *
list_in_words(const Wording *wording, const char *conjunction, int n, char *const *items)
{
	bool		has_comma = false;

	if (n < 2)
		return pstrdup(n == 1 ? items[0] : "");
	for (int i = 0; i < n; i++)
		has_comma = has_comma || strchr(items[i], ',');
	return fill_in(wording, has_comma ? psprintf("%s.semicolon", conjunction) : conjunction,
				   FILLINGS({"first", comma_list(wording, has_comma ? "list.semicolon" : "list.comma", n - 1, items)}, {"second", items[n - 1]}));
}

/* ---------- what is measured ---------- */

/* Whether what is measured is a whole number. */
static bool
is_whole(const Weight *weight)
{
	return weight->measure == MEASURE_ACTIVE_DAYS || (weight->measure == MEASURE_COUNT && weight->decay == NULL);
}

static bool
is_amount(const Weight *weight)
{
	return weight->measure == MEASURE_VALUE || weight->measure == MEASURE_AVERAGE_VALUE;
}

static bool
has_band(const Weight *weight)
{
	return !isinf(weight->at_least) || !isinf(weight->below);
}

/*
 * Fill in a template about a signal. Its name gets ".window" if there is a window and the figure
 * does not come last, and ".label" if the signal has no plural.
 */
static char *
about(const Wording *wording, const char *name, const Noun *noun, const char *what, const char *window)
{
	const char *windowed = psprintf("%s.window", name);
	const char *behind = window;
	const char *labelled;

	if (wording_has(wording, windowed))
	{
		name = *window ? windowed : name;
		behind = "";
	}
	labelled = psprintf("%s.label", name);
	return psprintf("%s%s",
					fill_in(wording, noun->many == NULL && wording_has(wording, labelled) ? labelled : name,
							FILLINGS({"what", what}, {"window", window}, {"noun", noun->one},
									 {"nouns", noun->many ? noun->many : noun->one}, {"label", noun->one})),
					behind);
}

/* " in the last 90 days, counted since the last purchase" */
static char *
window_in_words(const Wording *wording, const Weight *weight)
{
	const char *window = weight->within ? duration_in_words(wording, "window", weight->within) : "";
	Noun		since;

	if (weight->since == NULL)
		return pstrdup(window);
	since = noun_of(wording, weight->since->signal, weight->since->label);
	return psprintf("%s%s", window, about(wording, weight->within ? "since.counted" : "since", &since, "", ""));
}

/* A number of things, exactly. */
static char *
number_of(const Wording *wording, const char *name, const Noun *noun, double number, NumberStyle style)
{
	const char *n = number_in_words(wording, number, style);

	return fill_in(wording, plural_name(wording, name, n),
				   FILLINGS({"n", n}, {"noun", noun->one}, {"nouns", noun->many ? noun->many : noun->one}, {"label", noun->one}));
}

/* A range of numbers: "4 or more visits", "at most 3 visits", "2 to 3 visits", "less than 100", "50 to under 100". */
static char *
range(const Wording *wording, const char *name, const Noun *noun, const Weight *weight)
{
	double		from = weight->at_least;
	double		below = weight->below;
	double		to = ceil(below) - 1;
	const char *kind;
	const char *written[3];

	if (is_whole(weight) && to >= Max(ceil(from), 1))
	{
		from = Max(ceil(from), 1);
		if (from == to)
			return number_of(wording, name, noun, from, NUMBER_EXACT);
		kind = isinf(to) ? "from" : from <= 1 ? "most" : "between";
	}
	else
	{
		/* nothing but an amount is below zero */
		if (from <= 0 && !is_amount(weight))
			from = -INFINITY;
		if (isinf(from) && isinf(below))
		{
			from = weight->measure == MEASURE_COUNT ? 1 : 0;
			kind = "from";
		}
		else
			kind = isinf(below) ? "from" : isinf(from) ? "below" : "span";
	}
	written[0] = isinf(from) ? "" : number_in_words(wording, from, NUMBER_EXACT);
	written[1] = isinf(to) ? "" : number_in_words(wording, to, NUMBER_EXACT);
	written[2] = isinf(below) ? "" : number_in_words(wording, below, NUMBER_EXACT);
	return fill_in(wording, plural_name(wording, psprintf("%s.%s", name, kind), written[strcmp(kind, "most") == 0 ? 1 : isinf(from) ? 2 : 0]),
				   FILLINGS({"from", written[0]}, {"to", written[1]}, {"below", written[2]},
							{"noun", noun->one}, {"nouns", noun->many ? noun->many : noun->one}, {"label", noun->one}));
}

/* The age of an occurrence. */
static char *
age_in_words(const Wording *wording, const Noun *noun, double days, NumberStyle style)
{
	if (days < 1)
		return number_of(wording, days == 0 ? "hours.none" : "hours", noun, rint(days * HOURS_A_DAY), NUMBER_WHOLE);
	return number_of(wording, "days", noun, style == NUMBER_WHOLE ? floor(days) : days, style);
}

/* The measure of a weight whose figure is already in words. */
static char *
measure_of(const Wording *wording, const Weight *weight, const Noun *noun, const char *what)
{
	const char *window = window_in_words(wording, weight);

	switch (weight->measure)
	{
		case MEASURE_COUNT:
			return psprintf("%s%s", what, window);
		case MEASURE_PRESENT:
			return fill_in(wording, noun->labelled ? "present" : "present.name", FILLINGS({"label", noun->one}));
		default:
			return about(wording, weight->measure_name, noun, what, window);
	}
}

/* The prefix of the template names for a weight's figures. */
static const char *
figure_name(const Weight *weight, const Noun *noun)
{
	if (weight->measure == MEASURE_COUNT)
		return noun->many ? "count" : "times";
	return is_amount(weight) ? "amount" : "days";
}

char *
measured_in_words(const Wording *wording, const Weight *weight, double measured, NumberStyle style)
{
	Noun		noun = noun_of(wording, weight->signal, weight->label);
	const char *figure;

	if (has_band(weight))
		return band_in_words(wording, weight);
	if (weight->measure == MEASURE_DAYS_SINCE_LAST || weight->measure == MEASURE_DAYS_SINCE_FIRST)
		figure = age_in_words(wording, &noun, measured, style);
	else if (is_amount(weight))
		figure = number_in_words(wording, measured, NUMBER_AMOUNT);
	else
		figure = number_of(wording, figure_name(weight, &noun), &noun, measured, NUMBER_WHOLE);
	return measure_of(wording, weight, &noun, figure);
}

char *
band_in_words(const Wording *wording, const Weight *weight)
{
	Noun		noun = noun_of(wording, weight->signal, weight->label);

	return measure_of(wording, weight, &noun,
					  weight->measure == MEASURE_PRESENT ? "" : range(wording, figure_name(weight, &noun), &noun, weight));
}

char *
absence_in_words(const Wording *wording, const Weight *weight)
{
	Noun		noun = noun_of(wording, weight->signal, weight->label);

	return about(wording, weight->within == 0 && weight->since == NULL ? "none.ever" : "none", &noun, "", window_in_words(wording, weight));
}

char *
unit_in_words(const Wording *wording, const Weight *weight)
{
	Noun		noun = noun_of(wording, weight->signal, weight->label);

	if (has_band(weight) || weight->measure == MEASURE_PRESENT)
		return band_in_words(wording, weight);
	return about(wording, psprintf("each.%s", weight->measure_name), &noun, "", window_in_words(wording, weight));
}

/* ---------- after the measure ---------- */

/* Whether older occurrences count less. */
bool
has_decay(const Weight *weight)
{
	return weight->decay && (weight->measure == MEASURE_COUNT || weight->measure == MEASURE_VALUE);
}

char *
daily_limit_in_words(const Wording *wording, const Weight *weight)
{
	if (weight->max_per_day == 0 || weight->measure != MEASURE_COUNT)
		return pstrdup("");
	return fill_in(wording, "a_day", FILLINGS({"n", number_in_words(wording, weight->max_per_day, NUMBER_WHOLE)}));
}

/* ---------- rules ---------- */

/* A condition, or its negation. */
static char *
condition_in_words(const Wording *wording, const Weight *condition, bool holds)
{
	bool		happened = !has_band(condition) && condition->measure != MEASURE_PRESENT;
	Weight		once = *condition;
	char	   *words;

	if (happened && !holds)
		return absence_in_words(wording, condition);
	if (happened)
	{
		once.measure = MEASURE_COUNT;
		once.measure_name = "count";
		once.at_least = 1;
		once.decay = NULL;
	}
	words = band_in_words(wording, &once);
	return holds ? words : fill_in(wording, "not", FILLINGS({"what", words}));
}

/* A rule's conditions: all, any, none. */
char *
conditions_in_words(const Wording *wording, const Scorecard *card, const Rule *rule)
{
	char	  **parts = palloc((rule->end - rule->all_of + 1) * sizeof(char *));
	char	  **any = palloc((rule->end - rule->all_of + 1) * sizeof(char *));
	int			nany = 0;
	int			n = 0;

	for (int32 i = rule->all_of; i < rule->any_of; i++)
		parts[n++] = condition_in_words(wording, &card->conditions[i], true);
	for (int32 i = rule->any_of; i < rule->none_of; i++)
		any[nany++] = condition_in_words(wording, &card->conditions[i], true);
	if (nany > 0)
	{
		parts[n] = list_in_words(wording, "list.or", nany, any);
		if (nany > 1 && rule->end - rule->all_of > nany)
			parts[n] = fill_in(wording, "list.either", FILLINGS({"what", parts[n]}));
		n++;
	}
	for (int32 i = rule->none_of; i < rule->end; i++)
		parts[n++] = condition_in_words(wording, &card->conditions[i], false);
	return list_in_words(wording, "list.and", n, parts);
}

Datum
text_or_null(const char *s, bool *isnull)
{
	*isnull = s == NULL;
	return s ? CStringGetTextDatum(s) : (Datum) 0;
}
