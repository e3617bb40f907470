/*
 * explain.c: explains a lead's score in sentences.
 *
 * A sentence says what has happened ("12 visits"), not what counts ("8.7, as
 * older ones are worth less"), so the lead is appraised twice, the second
 * time with a scorecard without decay. Points are net: the points that a
 * category's limit takes away or adds are shared out among its lines. So all
 * lines, with those of floor and ceiling, sum to the score.
 */
#include "model/appraise.h"
#include "model/phrase.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(explained);
PG_FUNCTION_INFO_V1(crm_reasons);
PG_FUNCTION_INFO_V1(crm_reasons_of_model);

#define MOST_REASONS 3
/* Most signals of a category that a sentence lists; beyond, it names the category. */
#define MOST_MEMBERS 4
/* The product of two above may be infinite. */
#define LARGE_POINTS 1e150

/* A document, compiled for explanations. */
typedef struct Narrated
{
	Scorecard  *card;
	Scorecard  *undecayed;
	Scorecard  *unlimited;		/* without daily limits as well; NULL: the card has none */
} Narrated;

/* How a category's limit changes its lines. */
typedef struct Share
{
	bool		limited;
	bool		at_most;		/* the limit reduces gains, otherwise losses */
	double		limit;
	double		shared;			/* the gains, or losses, before the limit; left: after it */
	double		left;
	double		rest;			/* the part of the limit that they cannot absorb */
} Share;

typedef struct Line
{
	int32		term;			/* a weight, or after those a rule; -1: none */
	int32		part;			/* a category's part, if there is no term; -1: the score's limit */
	double		points;			/* net of limits */
} Line;

/* A lead's score, line by line. */
typedef struct Explanation
{
	Wording		wording;
	Scorecard  *card;
	Appraisal	appraisal;
	Contribution *contributions;
	Contribution *undecayed;
	Contribution *unlimited;	/* or NULL */
	Share	   *shares;			/* for each part */
	Line	   *lines;
	int32		nlines;
} Explanation;

/* ---------- the figures ---------- */

/* A scorecard without decay, and optionally without daily limits. */
static Scorecard *
plainer_card(Jsonb *document, bool limited)
{
	Scorecard  *card = scorecard_compile(document);

	for (int32 i = 0; i < card->nweights; i++)
	{
		card->weights[i].decay = NULL;
		if (!limited)
			card->weights[i].max_per_day = 0;
	}
	for (int32 i = 0; i < card->ngroups; i++)
		card->groups[i].adds_up = false;
	return card;
}

static void *
narrated_compile(Jsonb *document)
{
	Narrated   *narrated = palloc0(sizeof(Narrated));

	narrated->card = scorecard_compile(document);
	narrated->undecayed = plainer_card(document, true);
	for (int32 i = 0; i < narrated->card->nweights && narrated->unlimited == NULL; i++)
		if (narrated->card->weights[i].max_per_day > 0)
			narrated->unlimited = plainer_card(document, false);
	return narrated;
}

static int32
part_of_term(const Scorecard *card, int32 term)
{
	return term < card->nweights ? card->weights[term].part : card->rules[term - card->nweights].part;
}

/* Share out a category's limit: gains are reduced to the maximum, losses to the minimum. */
static Share
share_of(const CategoryPart *part, double gains, double losses)
{
	Share		share = {.limited = true};

	if (gains + losses > part->max_points)
	{
		share.at_most = true;
		share.limit = part->max_points;
		share.shared = gains;
		share.left = Max(0, part->max_points - losses);
		share.rest = Min(0, part->max_points - losses);
	}
	else if (gains + losses < part->min_points)
	{
		share.limit = part->min_points;
		share.shared = losses;
		share.left = Min(0, part->min_points - gains);
		share.rest = Max(0, part->min_points - gains);
	}
	else
		share.limited = false;
	return share;
}

static void
share_out(Explanation *e)
{
	const Scorecard *card = e->card;
	double	   *gains = palloc0(Max(2 * card->nparts, 1) * sizeof(double));
	double	   *losses = gains + card->nparts;

	for (int32 i = 0; i < nterms(card); i++)
	{
		int32		part = part_of_term(card, i);
		double		points = e->contributions[i].points;

		if (part >= 0)
			*(points > 0 ? &gains[part] : &losses[part]) += points;
	}
	e->shares = palloc(Max(card->nparts, 1) * sizeof(Share));
	for (int32 i = 0; i < card->nparts; i++)
		e->shares[i] = share_of(&card->parts[i], gains[i], losses[i]);
}

static double
net_points(const Explanation *e, int32 term)
{
	int32		part = part_of_term(e->card, term);
	double		points = e->contributions[term].points;
	const Share *share = part < 0 ? NULL : &e->shares[part];

	if (points == 0 || share == NULL || !share->limited || (points > 0) != share->at_most)
		return points;
	/* (exact for round numbers, and without overflow for absurd ones) */
	if (fabs(points) < LARGE_POINTS && fabs(share->left) < LARGE_POINTS)
		return points * share->left / share->shared;
	return points / share->shared * share->left;
}

/* Terms come first, then categories, then the score's limits; in each group, the largest points first. */
static int
line_compare(const void *a, const void *b)
{
	const Line *x = a;
	const Line *y = b;
	int			x_kind = x->term >= 0 ? 0 : x->part >= 0 ? 1 : 2;
	int			y_kind = y->term >= 0 ? 0 : y->part >= 0 ? 1 : 2;

	CHECK_FOR_INTERRUPTS();
	if (x_kind != y_kind)
		return x_kind - y_kind;
	if (fabs(x->points) != fabs(y->points))
		return fabs(x->points) < fabs(y->points) ? 1 : -1;
	return x->term != y->term ? x->term - y->term : x->part - y->part;
}

static void
add_line(Explanation *e, int32 term, int32 part, double points)
{
	e->lines[e->nlines++] = (Line) {term, part, points};
}

static void
find_lines(Explanation *e)
{
	const Scorecard *card = e->card;
	double		points = e->appraisal.engagement + e->appraisal.fit;

	share_out(e);
	e->lines = palloc((nterms(card) + card->nparts + 1) * sizeof(Line));
	e->nlines = 0;
	for (int32 i = 0; i < nterms(card); i++)
		if (e->contributions[i].points != 0 || e->contributions[i].uncapped_points != 0)
			add_line(e, i, -1, net_points(e, i));
	for (int32 i = 0; i < card->nparts; i++)
		if (e->shares[i].rest != 0)
			add_line(e, -1, i, e->shares[i].rest);
	if (e->appraisal.score != points)
		add_line(e, -1, -1, e->appraisal.score - points);
	qsort(e->lines, e->nlines, sizeof(Line), line_compare);
}

static Contribution *
appraised(Scorecard *card, const struct varlena *timeline, Jsonb *profile, int32 hour, Appraisal *appraisal)
{
	Contribution *contributions = palloc(Max(nterms(card), 1) * sizeof(Contribution));

	appraise_lead(card, timeline, profile, hour, hour, appraisal, contributions);
	return contributions;
}

/*
 * Read (scorecard, timeline, profile, at, wording); false if the scorecard, the instant or the
 * wording is NULL. "by_name": the first is the name of a model.
 */
static bool
explain_arguments(FunctionCallInfo fcinfo, Explanation *e, bool by_name)
{
	Narrated   *narrated;
	struct varlena *timeline;
	Jsonb	   *profile;
	int32		hour;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(3) || PG_ARGISNULL(4))
		return false;
	narrated = (by_name ? doc_compiled_of_model : doc_compiled) (fcinfo, 0, narrated_compile);
	timeline = PG_ARGISNULL(1) ? NULL : PG_GETARG_TIMELINE(1);
	profile = PG_ARGISNULL(2) ? NULL : PG_GETARG_JSONB_P(2);
	hour = hour_of(PG_GETARG_TIMESTAMPTZ(3));
	wording_read(&e->wording, PG_GETARG_JSONB_P(4));

	e->card = narrated->card;
	/* (the last one is the scorecard's own) */
	e->unlimited = narrated->unlimited ? appraised(narrated->unlimited, timeline, NULL, hour, &e->appraisal) : NULL;
	e->undecayed = appraised(narrated->undecayed, timeline, NULL, hour, &e->appraisal);
	e->contributions = appraised(e->card, timeline, profile, hour, &e->appraisal);
	find_lines(e);
	return true;
}

/* ---------- the words ---------- */

/* The name of a rule: its description, or its name. */
static const char *
rule_label(const Rule *rule)
{
	return rule->description && *rule->description ? rule->description : rule->rule;
}

/* The nouns of a category's part, if they are few and all have a plural: "visits, views and searches"; else NULL. */
static char *
members_of(const Explanation *e, int32 part, int *n)
{
	char	   *names[MOST_MEMBERS];

	*n = 0;
	for (int32 i = 0; i < nterms(e->card); i++)
	{
		Noun		noun;
		bool		known = false;

		if (part_of_term(e->card, i) != part || (i >= e->card->nweights && e->card->rules[i - e->card->nweights].points == 0))
			continue;
		if (i >= e->card->nweights || e->card->parts[part].profile)
			return NULL;
		noun = noun_of(&e->wording, e->card->weights[i].signal, e->card->weights[i].label);
		if (noun.many == NULL)
			return NULL;
		for (int j = 0; j < *n; j++)
			known = known || strcmp(names[j], noun.many) == 0;
		if (known)
			continue;
		if (*n == MOST_MEMBERS)
			return NULL;
		names[(*n)++] = pstrdup(noun.many);
	}
	return list_in_words(&e->wording, "list.and", *n, names);
}

/* The effect of a category's limit on a line, or "". */
static char *
category_in_words(const Explanation *e, int32 part)
{
	const Share *share = &e->shares[part];
	const char *name = share->at_most ? "category.most" : "category.least";
	int			n;
	char	   *members;

	if (!share->limited)
		return pstrdup("");
	members = members_of(e, part, &n);
	return fill_in(&e->wording, members == NULL ? psprintf("%s.all", name) : plural_name(&e->wording, name, n == 1 ? "1" : ""),
				   FILLINGS({"members", members}, {"category", e->card->parts[part].category},
							{"limit", number_in_words(&e->wording, share->limit, NUMBER_EXACT)}));
}

/* A weight's own limit, or "". */
static char *
limit_in_words(const Explanation *e, const Contribution *c)
{
	if (c->points == c->uncapped_points)
		return pstrdup("");
	return fill_in(&e->wording, "limit", FILLINGS({"n", number_in_words(&e->wording, c->uncapped_points, NUMBER_ROUNDED)}));
}

static const char *
curve_name(const Weight *w)
{
	return w->measure == MEASURE_COUNT ? "curve" : "curve.other";
}

/* What a weight has counted, from when, and how. */
static char *
finding_in_words(const Explanation *e, int32 term, NumberStyle style)
{
	const Wording *wording = &e->wording;
	Weight		w = e->card->weights[term];
	double		measured = e->undecayed[term].measured;

	/* if that signal never occurred, everything counts */
	if (w.since && w.since->seen != e->card->turn)
		w.since = NULL;
	if (!e->contributions[term].active)
		return absence_in_words(wording, &w);
	if (e->unlimited && e->unlimited[term].measured == measured)
		w.max_per_day = 0;		/* the limit had no effect */
	return psprintf("%s%s%s%s", measured_in_words(wording, &w, measured, style), daily_limit_in_words(wording, &w),
					has_decay(&w) ? fill_in(wording, plural_name(wording, "decay", w.measure == MEASURE_COUNT && measured == 1 ? "1" : ""), 0, NULL) : "",
					w.linear || w.banded ? "" : fill_in(wording, curve_name(&w), 0, NULL));
}

/* A line, as a sentence. */
static char *
line_in_words(const Explanation *e, const Line *line, NumberStyle style)
{
	const Wording *wording = &e->wording;
	const Scorecard *card = e->card;
	const char *points = points_in_words(wording, line->points, style);
	const char *what;
	const char *limit = "";

	if (line->term < 0 && line->part < 0)
		return fill_in(wording, line->points < 0 ? "ceiling" : "floor",
					   FILLINGS({"limit", number_in_words(wording, e->appraisal.score, NUMBER_EXACT)}, {"points", points}));
	if (line->term < 0)
		return fill_in(wording, e->shares[line->part].at_most ? "category.most.rest" : "category.least.rest",
					   FILLINGS({"category", card->parts[line->part].category}, {"points", points},
								{"limit", number_in_words(wording, e->shares[line->part].limit, NUMBER_EXACT)}));
	if (line->term < card->nweights)
	{
		what = finding_in_words(e, line->term, style);
		limit = limit_in_words(e, &e->contributions[line->term]);
	}
	else
	{
		const Rule *rule = &card->rules[line->term - card->nweights];

		what = rule_label(rule);
		if (what == rule->rule)
			what = fill_in(wording, "rule", FILLINGS({"rule", what}, {"conditions", conditions_in_words(wording, card, rule)}));
	}
	return fill_in(wording, "line",
				   FILLINGS({"what", what}, {"points", points}, {"limit", limit},
							{"category", part_of_term(card, line->term) < 0 ? "" : category_in_words(e, part_of_term(card, line->term))}));
}

/* ---------- SQL functions: (scorecard, timeline, profile, at, wording) ---------- */

/* The columns of a line that come from its weight. */
static void
put_weight(const Explanation *e, int32 term, Datum *values, bool *nulls)
{
	const Weight *w = &e->card->weights[term];
	const Contribution *c = &e->contributions[term];

	values[0] = text_or_null(w->signal, &nulls[0]);
	values[1] = text_or_null(w->measure_name, &nulls[1]);
	nulls[2] = !c->active;
	values[2] = Float8GetDatum(c->measured);
	values[5] = text_or_null(w->category, &nulls[5]);
	values[6] = text_or_null(w->stage_name, &nulls[6]);
	nulls[7] = c->last_hour == NO_HOUR;
	values[7] = nulls[7] ? (Datum) 0 : TimestampTzGetDatum(instant_of(c->last_hour));
	nulls[9] = !w->has_weight_id;
	values[9] = Int32GetDatum(w->weight_id);
	values[11] = text_or_null(noun_of(&e->wording, w->signal, w->label).one, &nulls[11]);
}

/*
 * explained(...): signal, measure, measured, points, uncapped_points, category, stage, last_at, reason,
 * weight_id, rule, label; in order.
 */
Datum
explained(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Explanation e;

	InitMaterializedSRF(fcinfo, 0);
	if (!explain_arguments(fcinfo, &e, false))
		return (Datum) 0;
	for (int32 i = 0; i < e.nlines; i++)
	{
		const Line *line = &e.lines[i];
		Datum		values[12] = {0};
		bool		nulls[12];

		CHECK_FOR_INTERRUPTS();
		memset(nulls, true, sizeof(nulls));
		if (line->term >= 0 && line->term < e.card->nweights)
			put_weight(&e, line->term, values, nulls);
		else if (line->term >= 0)
		{
			const Rule *rule = &e.card->rules[line->term - e.card->nweights];

			nulls[2] = false;
			values[2] = Float8GetDatum(1);
			values[5] = text_or_null(rule->category, &nulls[5]);
			values[10] = text_or_null(rule->rule, &nulls[10]);
			values[11] = text_or_null(rule_label(rule), &nulls[11]);
		}
		else if (line->part >= 0)
			values[5] = text_or_null(e.card->parts[line->part].category, &nulls[5]);
		nulls[3] = false;
		values[3] = Float8GetDatum(line->points);
		nulls[4] = line->term < 0;
		values[4] = line->term < 0 ? (Datum) 0 : Float8GetDatum(e.contributions[line->term].uncapped_points);
		values[8] = text_or_null(line_in_words(&e, line, NUMBER_ROUNDED), &nulls[8]);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* The lines with the most points, rounded to integers; lines that round to 0 are left out. */
static Datum
reasons(FunctionCallInfo fcinfo, bool by_name)
{
	Explanation e;
	Datum		words[MOST_REASONS];
	int			n = 0;

	if (!explain_arguments(fcinfo, &e, by_name))
		return PointerGetDatum(construct_empty_array(TEXTOID));
	for (int32 i = 0; i < e.nlines && n < MOST_REASONS && e.lines[i].term >= 0; i++)
		if (fabs(e.lines[i].points) >= 0.5)
			words[n++] = CStringGetTextDatum(line_in_words(&e, &e.lines[i], NUMBER_WHOLE));
	return PointerGetDatum(construct_array(words, n, TEXTOID, -1, false, TYPALIGN_INT));
}

/* crm_reasons(scorecard, ...) */
Datum
crm_reasons(PG_FUNCTION_ARGS)
{
	return reasons(fcinfo, false);
}

/* crm_reasons(model, ...) */
Datum
crm_reasons_of_model(PG_FUNCTION_ARGS)
{
	return reasons(fcinfo, true);
}
