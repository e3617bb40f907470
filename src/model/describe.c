/*
 * describe.c: describes a whole scorecard in sentences: what counts, what
 * limits it, and what follows from the score.
 */
#include "model/phrase.h"

#include <math.h>

#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(described);
PG_FUNCTION_INFO_V1(signal_noun);

/* Writes the result rows: (section, item, text). */
typedef struct Description
{
	ReturnSetInfo *rsinfo;
	Wording		wording;
	const Scorecard *card;
} Description;

static void
put_row(const Description *d, const char *section, const char *item, const char *text)
{
	Datum		values[3];
	bool		nulls[3] = {false};

	CHECK_FOR_INTERRUPTS();
	values[0] = CStringGetTextDatum(fill_in(&d->wording, section, 0, NULL));
	values[1] = CStringGetTextDatum(item);
	values[2] = CStringGetTextDatum(text);
	tuplestore_putvalues(d->rsinfo->setResult, d->rsinfo->setDesc, values, nulls);
}

static char *
number(const Description *d, double n)
{
	return number_in_words(&d->wording, n, NUMBER_EXACT);
}

static char *
points(const Description *d, double n)
{
	return points_in_words(&d->wording, n, NUMBER_EXACT);
}

static const char *
name_of(const Description *d, const Weight *w)
{
	Noun		noun = noun_of(&d->wording, w->signal, w->label);

	return noun.many ? noun.many : noun.one;
}

/* ---------- weights ---------- */

/* How older occurrences count less. */
static char *
decay_in_words(const Description *d, const Weight *w)
{
	char	   *half_life = "";
	char	   *fades_over = "";

	if (!has_decay(w))
		return "";
	if (w->decay->half_life)
		half_life = fill_in(&d->wording, "half_life", FILLINGS({"duration", duration_in_words(&d->wording, "duration", w->decay->half_life)}));
	if (w->decay->fades_over)
		fades_over = fill_in(&d->wording, "fades_over", FILLINGS({"duration", duration_in_words(&d->wording, "duration", w->decay->fades_over)}));
	return psprintf("%s%s", half_life, fades_over);
}

/* A weight's limits, if_none, category and stage. */
static char *
terms_of(const Description *d, const Weight *w)
{
	StringInfoData terms;

	initStringInfo(&terms);
	if (w->max_points < MOST_POINTS)
		appendStringInfoString(&terms, fill_in(&d->wording, "weight.most", FILLINGS({"points", points(d, w->max_points)})));
	if (w->min_points > -MOST_POINTS)
		appendStringInfoString(&terms, fill_in(&d->wording, "weight.least", FILLINGS({"points", points(d, w->min_points)})));
	if (w->has_if_none)
		appendStringInfoString(&terms, fill_in(&d->wording, "weight.none", FILLINGS({"points", points(d, w->if_none)})));
	if (w->category)
		appendStringInfoString(&terms, fill_in(&d->wording, "weight.category", FILLINGS({"category", w->category})));
	if (w->stage_name)
		appendStringInfoString(&terms, fill_in(&d->wording, "weight.stage", FILLINGS({"stage", w->stage_name})));
	return terms.data;
}

static void
put_weight(const Description *d, const Weight *w)
{
	const Wording *wording = &d->wording;
	char	   *what = psprintf("%s%s%s", unit_in_words(wording, w), daily_limit_in_words(wording, w), decay_in_words(d, w));
	bool		is_log = !w->linear && !w->banded;
	char	   *worth = points(d, w->points);

	if (is_log)
		worth = fill_in(wording, "weight.log", FILLINGS({"points", worth}, {"figure", fill_in(wording, psprintf("figure.%s", w->measure_name), 0, NULL)}));
	put_row(d, "section.points", name_of(d, w), fill_in(wording, "weight", FILLINGS({"what", what}, {"points", worth}, {"terms", terms_of(d, w)})));
}

/* ---------- categories, rules, stages ---------- */

/* Add a name to a list unless the list has it. */
static int
add_name(char **names, int n, const char *name)
{
	for (int i = 0; i < n; i++)
		if (strcmp(names[i], name) == 0)
			return n;
	names[n] = pstrdup(name);
	return n + 1;
}

static void
put_category(const Description *d, int32 part)
{
	const Scorecard *card = d->card;
	const CategoryPart *category = &card->parts[part];
	char	  **names = palloc(nterms(card) * sizeof(char *));
	bool		has_least = category->min_points > -MOST_POINTS;
	bool		has_most = category->max_points < MOST_POINTS;
	int			n = 0;

	for (int32 i = 0; i < card->nweights; i++)
		if (card->weights[i].part == part)
			n = add_name(names, n, name_of(d, &card->weights[i]));
	for (int32 i = 0; i < card->nrules; i++)
		if (card->rules[i].part == part)
			n = add_name(names, n, card->rules[i].rule);
	put_row(d, "section.limits", category->category,
			fill_in(&d->wording, has_least && has_most ? "limits.both" : has_most ? "limits.most" : has_least ? "limits.least" : "limits.none",
					FILLINGS({"members", list_in_words(&d->wording, "list.and", n, names)},
							 {"most", has_most ? points(d, category->max_points) : ""},
							 {"least", has_least ? points(d, category->min_points) : ""})));
}

static void
put_rule(const Description *d, const Rule *rule)
{
	char	   *conditions = conditions_in_words(&d->wording, d->card, rule);

	if (rule->description && *rule->description)
		conditions = fill_in(&d->wording, "rule", FILLINGS({"rule", rule->description}, {"conditions", conditions}));
	if (rule->has_points)
		conditions = fill_in(&d->wording, "weight", FILLINGS({"what", conditions}, {"points", points(d, rule->points)},
															 {"terms", rule->category ? fill_in(&d->wording, "weight.category", FILLINGS({"category", rule->category})) : ""}));
	put_row(d, "section.rules", rule->rule, conditions);
}

static void
put_stage(const Description *d, int32 stage)
{
	const Scorecard *card = d->card;
	char	  **names = palloc(Max(card->nweights, 1) * sizeof(char *));
	int			n = 0;

	for (int32 i = 0; i < card->nweights; i++)
		if (card->weights[i].stage == stage)
			n = add_name(names, n, name_of(d, &card->weights[i]));
	put_row(d, "section.stages", card->stages[stage].stage,
			fill_in(&d->wording, n == 0 ? "stage.none" : "stage",
					FILLINGS({"members", list_in_words(&d->wording, "list.or", n, names)},
							 {"window", card->stages[stage].within ? duration_in_words(&d->wording, "window", card->stages[stage].within) : ""})));
}

/* ---------- what follows from the score ---------- */

/* An item; unless it is the first, it reads "otherwise: ...". */
static char *
after_others(const Description *d, bool first, char *what)
{
	return first ? what : fill_in(&d->wording, "otherwise", FILLINGS({"what", what}));
}

static void
add_condition(const Description *d, char **conditions, int *n, const char *name, double least)
{
	if (!isinf(least))
		conditions[(*n)++] = fill_in(&d->wording, name, FILLINGS({"n", number(d, least)}));
}

static void
put_segment(const Description *d, int32 index)
{
	const Segment *s = &d->card->segments[index];
	char	  **conditions = palloc((4 + d->card->nrules) * sizeof(char *));
	char	   *what;
	int			n = 0;

	add_condition(d, conditions, &n, "segment.score", s->min_score);
	add_condition(d, conditions, &n, "segment.above", s->above_score);
	add_condition(d, conditions, &n, "segment.fit", s->min_fit);
	add_condition(d, conditions, &n, "segment.engagement", s->min_engagement);
	for (int32 i = 0; i < d->card->nrules; i++)
		if (d->card->rules[i].bit & s->rules)
			conditions[n++] = fill_in(&d->wording, "segment.rule", FILLINGS({"rule", d->card->rules[i].rule}));
	what = n == 0 ? fill_in(&d->wording, index == 0 ? "segment.all" : "segment.others", 0, NULL)
		: after_others(d, index == 0, list_in_words(&d->wording, "list.and", n, conditions));
	if (s->hysteresis > 0)
		what = psprintf("%s%s", what, fill_in(&d->wording, "segment.hysteresis", FILLINGS({"points", points(d, s->hysteresis)})));
	if (s->cool_down > 0)
		what = psprintf("%s%s", what, fill_in(&d->wording, "segment.cool_down", FILLINGS({"duration", duration_in_words(&d->wording, "duration", s->cool_down)})));
	put_row(d, "section.segments", s->segment, what);
}

static void
put_grade(const Description *d, int32 index)
{
	const Grade *grade = &d->card->grades[index];

	put_row(d, "section.grades", grade->grade,
			isinf(grade->min_fit) ? fill_in(&d->wording, index == 0 ? "segment.all" : "segment.others", 0, NULL)
			: after_others(d, index == 0, fill_in(&d->wording, "segment.fit", FILLINGS({"n", number(d, grade->min_fit)}))));
}

static void
put_score(const Description *d)
{
	const Scorecard *card = d->card;
	bool		has_floor = !isinf(card->floor);
	bool		has_ceiling = !isinf(card->ceiling);

	put_row(d, "section.model", fill_in(&d->wording, "item.score", 0, NULL),
			fill_in(&d->wording, has_floor && has_ceiling ? "score.both" : has_ceiling ? "score.most" : has_floor ? "score.least" : "score.free",
					FILLINGS({"least", has_floor ? number(d, card->floor) : ""}, {"most", has_ceiling ? number(d, card->ceiling) : ""})));
	if (card->has_probability)
		put_row(d, "section.model", fill_in(&d->wording, "item.probability", 0, NULL),
				fill_in(&d->wording, "probability", FILLINGS({"intercept", number(d, card->intercept)}, {"slope", number(d, card->slope)})));
}

/* described(scorecard, wording): section, item, text; in order */
Datum
described(PG_FUNCTION_ARGS)
{
	Description d = {.rsinfo = (ReturnSetInfo *) fcinfo->resultinfo};
	const Scorecard *card;

	InitMaterializedSRF(fcinfo, 0);
	card = d.card = doc_compiled(fcinfo, 0, scorecard_compile);
	wording_read(&d.wording, PG_GETARG_JSONB_P(1));
	put_score(&d);
	for (int32 i = 0; i < card->nweights; i++)
		put_weight(&d, &card->weights[i]);
	for (int32 i = 0; i < card->nparts; i++)
		put_category(&d, i);
	for (int32 i = 0; i < card->nrules; i++)
		put_rule(&d, &card->rules[i]);
	for (int32 i = 0; i < card->nstages; i++)
		put_stage(&d, i);
	for (int32 i = 0; i < card->ngrades; i++)
		put_grade(&d, i);
	for (int32 i = 0; i < card->nsegments; i++)
		put_segment(&d, i);
	return (Datum) 0;
}

/* signal_noun(wording, signal, label): the name of a signal; its plural if it has one */
Datum
signal_noun(PG_FUNCTION_ARGS)
{
	Wording		wording;
	Noun		noun;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	wording_read(&wording, PG_GETARG_JSONB_P(0));
	noun = noun_of(&wording, text_to_cstring(PG_GETARG_TEXT_PP(1)), PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2)));
	PG_RETURN_TEXT_P(cstring_to_text(noun.many ? noun.many : noun.one));
}
