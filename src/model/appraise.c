/*
 * appraise.c: scoring: what a timeline and a profile are worth on a scorecard
 * at an instant.
 *
 * One routine, appraise_lead(), implements score(), appraise(), contributions()
 * and features(), so they cannot disagree. It walks the timeline's signals. Sums,
 * the most common weights, are added up while the hours of their signal are read
 * (add_up.h). If a signal has others, its hours are unpacked once, oldest first;
 * each weight then reads the part of them that lies within its window. Weights
 * that count from the last hour of another signal follow, then the weights that
 * are worth something if nothing happened, and the rules. Most leads have few
 * hours of each signal, so the main cost is mispredicted branches; the code has
 * few branches that are hard to predict.
 */
#include "model/add_up.h"
#include "model/measure.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(score);
PG_FUNCTION_INFO_V1(appraise);
PG_FUNCTION_INFO_V1(contributions);
PG_FUNCTION_INFO_V1(features);
PG_FUNCTION_INFO_V1(next_segment);

/* A scorecard keeps room for this many hours, 1 MB, and so many bytes of a timeline. */
#define MOST_SCRATCH 32768
#define MOST_BYTES (1024 * 1024)

/* The same, not inlined, for rarer cases: it keeps the loop over weights small. */
static pg_noinline bool
measure_apart(const Weight *w, Activity *a, int32 first, double *measured)
{
	return measure(w, a, first, measured);
}

/* Book a weight's points: in its category's part, or in the total of those without a category. */
static inline void
book(const Scorecard *card, const Weight *w, double measured, int32 last_hour, Contribution *contributions)
{
	double		uncapped = worth(w, measured);
	double		points = clamp(uncapped, w->min_points, w->max_points);

	*w->total += points;
	if (contributions)
		contributions[w - card->weights] = (Contribution) {true, measured, uncapped, points, last_hour};
}

/* Book the points of a weight with if_none: 0 if it had something to measure. */
static inline void
book_absence(Scorecard *card, int32 index, double *total, Contribution *contributions)
{
	const Weight *w = &card->weights[index];
	bool		absent = w->happened != card->turn;

	total = w->part >= 0 ? &card->parts[w->part].sum : total;
	*total += absent * w->absent_points;	/* without a branch */
	if (contributions && absent)
	{
		contributions[index].uncapped_points = w->if_none;
		contributions[index].points = w->absent_points;
	}
}

/* ---------- one lead ---------- */

void
read_padded(Scorecard *card, TimelineReader *reader, const struct varlena *timeline)
{
	Size		size = PADDED_SIZE(VARSIZE_ANY_EXHDR(timeline));

	if (unlikely(size > card->bytes_size))
	{
		size = Max(1024, size);
		if (card->bytes)
			pfree(card->bytes);
		card->bytes = NULL;
		card->bytes_size = 0;
		card->bytes = MemoryContextAllocHuge(card->context, size);
		card->bytes_size = size;
	}
	padded_read(reader, card->bytes, timeline);
}

pg_noinline void
scratch_enlarge(Scorecard *card, uint32 n)
{
	Size		capacity = 64;

	while (capacity < n)
		capacity *= 2;
	if (card->scratch_capacity > 0)
	{
		card->ages = repalloc_huge(card->ages, capacity * sizeof(int32));
		card->occurrences = repalloc_huge(card->occurrences, capacity * sizeof(double));
		card->values = repalloc_huge(card->values, capacity * sizeof(double));
		card->day_numbers = repalloc_huge(card->day_numbers, capacity * sizeof(int32));
		card->limited = repalloc_huge(card->limited, capacity * sizeof(double));
	}
	else
	{
		card->ages = MemoryContextAllocHuge(card->context, capacity * sizeof(int32));
		card->occurrences = MemoryContextAllocHuge(card->context, capacity * sizeof(double));
		card->values = MemoryContextAllocHuge(card->context, capacity * sizeof(double));
		card->day_numbers = MemoryContextAllocHuge(card->context, capacity * sizeof(int32));
		card->limited = MemoryContextAllocHuge(card->context, capacity * sizeof(double));
	}
	card->scratch_capacity = capacity;
}

/* Free the room that an unusually long timeline or signal took. */
void
scratch_release(Scorecard *card)
{
	if (card->bytes_size > MOST_BYTES)
	{
		pfree(card->bytes);
		card->bytes = NULL;
		card->bytes_size = 0;
	}
	if (card->scratch_capacity <= MOST_SCRATCH)
		return;
	pfree(card->ages);
	pfree(card->occurrences);
	pfree(card->values);
	pfree(card->day_numbers);
	pfree(card->limited);
	card->scratch_capacity = 0;
}

int32
add_up_slowly(const SignalWeights *group, TimelineReader *reader, int32 hour, int32 known, double *figures)
{
	int32		last = NO_HOUR;

	memset(figures, 0, FIGURES * sizeof(double));
	while (reader->left > 0)
	{
		int64		occurrences;
		int64		value;

		padded_next_entry(reader, &occurrences, &value);
		if (reader->hour > known)
			continue;
		last = reader->hour;
		for (int i = 0; i < SUMS; i++)
			if (group->sums[i])
				figures[i] += (i == FIGURE_VALUE ? (double) value / MILLIONTHS : (double) occurrences) *
					decay_factor(group->sums[i], hour - last);
	}
	return last;
}

/* A weight's signal last occurred "age" hours ago: the lead may have reached a later stage. */
static inline void
reach_stage(const Scorecard *card, const Weight *w, int32 age, Appraisal *appraisal)
{
	const Stage *stage;

	if (w->stage < 0)
		return;
	stage = &card->stages[w->stage];
	if (stage->within != 0 && age >= stage->within)
		return;
	if (appraisal->stage < 0 || stage->position > card->stages[appraisal->stage].position)
		appraisal->stage = w->stage;
}

/* The unpacked hours of a signal. (What is left out need not be cleared.) */
static inline void
activity_begin(Activity *a, const Scorecard *card, int32 first, int32 n, int32 hour)
{
	a->n = n;
	a->hour = hour;
	a->ages = card->ages + first;
	a->occurrences = card->occurrences + first;
	a->values = card->values + first;
	a->card = card;
	a->days_from = n;
	a->max_per_day = 0;
}

/* Record the last hour of a signal. */
static inline void
note_last(const Scorecard *card, SignalWeights *group, int32 last)
{
	group->seen = card->turn;
	group->last_hour = last;
}

/* Mark the conditions on a signal that need a figure, and hold. */
static pg_noinline void
check_conditions(Scorecard *card, const SignalWeights *group, Activity *activity)
{
	for (int32 i = 0; i < group->measured.n; i++)
	{
		Weight	   *condition = &card->conditions[group->measured.items[i]];
		double		measured;

		if (measure_apart(condition, activity, first_within(activity, condition->within), &measured) &&
			condition_holds(condition, measured))
			condition->happened = card->turn;
	}
}

/* Mark the conditions that hold by the last hour of their signal. */
static inline void
check_simple(Scorecard *card, int32 hour)
{
	const Simple *end = card->simple + card->nsimple;
	uint64		turn = card->turn;

	for (const Simple *simple = card->simple; simple < end; simple++)
	{
		bool		happened = (simple->group->seen == turn) & (hour - simple->group->last_hour < simple->within);

		simple->what->happened = turn & -(uint64) happened;	/* without a branch */
	}
}

/*
 * Appraise some weights of a signal whose hours are unpacked. "later": those that count from the
 * last hour of another.
 */
static pg_attribute_always_inline void
appraise_weights(Scorecard *card, const Indexes *weights, bool later, Activity *activity, Appraisal *appraisal, Contribution *contributions)
{
	int32		last_age = activity->ages[activity->n - 1];
	bool		found = false;
	double		measured = 0;

	for (int32 i = 0; i < weights->n; i++)
	{
		Weight	   *w = &card->weights[weights->items[i]];

		CHECK_FOR_INTERRUPTS();
		reach_stage(card, w, last_age, appraisal);
		if (!w->same_figure)
			found = later ? measure_apart(w, activity, first_since(w, activity, card->turn), &measured)
				: measure(w, activity, first_within(activity, w->within), &measured);
		if (!found)
			continue;
		w->happened = card->turn;
		book(card, w, measured, activity->hour - last_age, contributions);
	}
}

/* Appraise the weights of a signal that has been added up. */
static inline void
appraise_sums(Scorecard *card, const SignalWeights *group, const double *figures, int32 hour, int32 last,
			  Appraisal *appraisal, Contribution *contributions)
{
	uint64		turn = card->turn;
	int32		age = hour - last;

	for (Weight **next = group->added_up; *next; next++)
	{
		Weight	   *w = *next;

		reach_stage(card, w, age, appraisal);
		if (age >= w->until)
			continue;
		w->happened = turn;
		book(card, w, figures[w->figure], last, contributions);
	}
}

/* Appraise the weights that count from the last hour of another signal, which is known now. */
static pg_noinline void
appraise_waiting(Scorecard *card, int32 hour, Appraisal *appraisal, Contribution *contributions)
{
	for (int32 i = 0; i < card->nwaiting; i++)
	{
		const Waiting *waiting = &card->waiting[i];
		Activity	activity;

		activity_begin(&activity, card, waiting->first, waiting->n, hour);
		appraise_weights(card, &waiting->group->later, true, &activity, appraisal, contributions);
	}
}

static void
appraise_timeline(Scorecard *card, const struct varlena *timeline, int32 hour, int32 known,
				  Appraisal *appraisal, Contribution *contributions)
{
	TimelineReader reader;
	double		figures[FIGURES];
	uint32		ages = card->covered_ages - (hour - known);
	bool		covered;		/* by the factor tables */

	card->nwaiting = 0;
	card->scratch_used = 0;
	read_padded(card, &reader, timeline);
	covered = reader.base <= known && hour - reader.base < card->covered_ages;
	if (unlikely(!covered && reader.base <= known))
		extend_sums(card, hour - reader.base);
	while (padded_next_signal(&reader))
	{
		SignalWeights *group;
		Activity	activity;
		int32		n;
		int32		last;

		CHECK_FOR_INTERRUPTS();
		group = group_of_signal(card, reader.signal_id);
		if (group == NULL)
		{
			last = skip_signal(&reader, known);
			appraisal->last_hour = Max(appraisal->last_hour, last);
			continue;
		}

		if (group->adds_up)
		{
			last = covered ? add_up(group, &reader, hour, known, ages, figures) : add_up_slowly(group, &reader, hour, known, figures);
			if (last == NO_HOUR)
				continue;
			if (group->needs_last_age)
				figures[FIGURE_DAYS] = (hour - last) / (double) HOURS_A_DAY;
			appraisal->last_hour = Max(appraisal->last_hour, last);
			note_last(card, group, last);
			appraise_sums(card, group, figures, hour, last, appraisal, contributions);
			continue;
		}

		n = unpack_signal(card, &reader, hour, known, group->needs_values);
		if (n == 0)
			continue;
		activity_begin(&activity, card, card->scratch_used, n, hour);
		last = hour - activity.ages[activity.n - 1];
		appraisal->last_hour = Max(appraisal->last_hour, last);
		note_last(card, group, last);
		appraise_weights(card, &group->weights, false, &activity, appraisal, contributions);
		if (group->measured.n > 0)
			check_conditions(card, group, &activity);
		if (group->later.n > 0)
		{
			Waiting    *waiting = &card->waiting[card->nwaiting++];

			waiting->group = group;
			waiting->first = card->scratch_used;
			waiting->n = n;
			card->scratch_used += n;
		}
	}

	if (card->nwaiting > 0)
		appraise_waiting(card, hour, appraisal, contributions);
	appraisal->engagement += card->parts[card->nparts].sum;
}

/* Appraise a profile. An unknown profile matches only if a profile without any attributes does. */
void
appraise_profile(Scorecard *card, Jsonb *profile, Appraisal *appraisal, Contribution *contributions)
{
	if (profile && card->nprofiles > 0)
		profile = known_attributes(profile);
	for (int32 i = 0; i < card->nprofiles; i++)
	{
		const SignalWeights *group = &card->profiles[i];

		CHECK_FOR_INTERRUPTS();
		if (profile == NULL ? !group->nobody_matches : !group->any_profile && !property_matcher_matches(&group->matcher, profile))
			continue;
		for (int32 j = 0; j < group->weights.n; j++)
		{
			reach_stage(card, &card->weights[group->weights.items[j]], 0, appraisal);
			book(card, &card->weights[group->weights.items[j]], 1, NO_HOUR, contributions);
		}
		for (int32 j = 0; j < group->conditions.n; j++)
		{
			Weight	   *condition = &card->conditions[group->conditions.items[j]];

			if (condition_holds(condition, 1))
				condition->happened = card->turn;
		}
	}
	appraisal->fit += card->parts[card->nparts + 1].sum;
}

/* Whether a rule holds. All conditions are read: that is cheaper than a branch for each, which cannot be predicted. */
static inline bool
rule_holds(const Scorecard *card, const Rule *rule)
{
	const Weight *conditions = card->conditions;
	uint64		turn = card->turn;
	bool		fails = false;
	bool		any = rule->any_of == rule->none_of;

	for (int32 i = rule->all_of; i < rule->any_of; i++)
		fails |= conditions[i].happened != turn;
	for (int32 i = rule->any_of; i < rule->none_of; i++)
		any |= conditions[i].happened == turn;
	for (int32 i = rule->none_of; i < rule->end; i++)
		fails |= conditions[i].happened == turn;
	return any && !fails;
}

static void
appraise_rules(Scorecard *card, Appraisal *appraisal, Contribution *contributions)
{
	for (int32 i = 0; i < card->nrules; i++)
	{
		const Rule *rule = &card->rules[i];
		bool		holds = rule_holds(card, rule);
		double	   *total = rule->part >= 0 ? &card->parts[rule->part].sum : rule->profile ? &appraisal->fit : &appraisal->engagement;

		CHECK_FOR_INTERRUPTS();
		appraisal->rules |= rule->bit & -(uint64) holds;
		*total += holds * rule->points; /* without a branch */
		if (contributions)
		{
			double		points = holds ? rule->points : 0;

			contributions[card->nweights + i] = (Contribution) {true, holds, points, points, NO_HOUR};
		}
	}
}

void
appraise_begin(Scorecard *card, Appraisal *appraisal)
{
	appraisal->engagement = appraisal->fit = 0;
	appraisal->stage = -1;
	appraisal->last_hour = NO_HOUR;
	appraisal->rules = 0;
	card->turn++;
	for (int32 i = 0; i < card->nparts + 2; i++)
		card->parts[i].sum = 0;
}

void
appraise_end(Scorecard *card, Appraisal *appraisal, Contribution *contributions)
{
	for (int32 i = 0; i < card->absences.n; i++)
		book_absence(card, card->absences.items[i], &appraisal->engagement, contributions);
	appraise_rules(card, appraisal, contributions);

	for (int32 i = 0; i < card->nparts; i++)
	{
		const CategoryPart *part = &card->parts[i];
		double		sum = clamp(part->sum, part->min_points, part->max_points);

		if (part->profile)
			appraisal->fit += sum;
		else
			appraisal->engagement += sum;
	}
	appraisal->score = clamp(appraisal->engagement + appraisal->fit, card->floor, card->ceiling);
}

void
appraise_lead(Scorecard *card, const struct varlena *timeline, Jsonb *profile,
			  int32 hour, int32 known, Appraisal *appraisal, Contribution *contributions)
{
	appraise_begin(card, appraisal);
	if (contributions)
		for (int32 i = 0; i < card->nweights; i++)
			contributions[i] = (Contribution) {.last_hour = NO_HOUR};

	if (timeline)
		appraise_timeline(card, timeline, hour, known, appraisal, contributions);
	check_simple(card, hour);
	scratch_release(card);
	appraise_profile(card, profile, appraisal, contributions);
	appraise_end(card, appraisal, contributions);
}

int32
segment_number(const Scorecard *card, const Appraisal *appraisal, const char *current, int64 stayed)
{
	for (int32 i = 0; i < card->nsegments; i++)
	{
		const Segment *s = &card->segments[i];
		double		slack = 0;

		if (current && strcmp(current, s->segment) == 0)
		{
			if (stayed < s->cool_down * USECS_PER_HOUR)
				return i + 1;
			slack = s->hysteresis;
		}
		if (appraisal->score >= s->min_score - slack && appraisal->score > s->above_score - slack &&
			appraisal->fit >= s->min_fit - slack && appraisal->engagement >= s->min_engagement - slack &&
			(appraisal->rules & s->rules) == s->rules)
			return i + 1;
	}
	return 0;
}

/* The log odds of a conversion: ln(p / (1 - p)). */
double
logit_of(const Scorecard *card, const Appraisal *appraisal)
{
	return card->intercept + card->slope * (appraisal->engagement + appraisal->fit);
}

double
probability_of(const Scorecard *card, const Appraisal *appraisal)
{
	return 1 / (1 + exp(-logit_of(card, appraisal)));
}

/* ---------- SQL functions: (scorecard, timeline, profile, at) ---------- */

bool
appraise_arguments(FunctionCallInfo fcinfo, Scorecard **card, Appraisal *appraisal,
				   Contribution **contributions)
{
	struct varlena *timeline;
	Jsonb	   *profile = NULL;
	int32		hour;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(3))
		return false;
	*card = doc_compiled(fcinfo, 0, scorecard_compile);
	timeline = PG_ARGISNULL(1) ? NULL : PG_GETARG_TIMELINE(1);
	if (!PG_ARGISNULL(2) && (*card)->nprofiles > 0)
		profile = PG_GETARG_JSONB_P(2);
	if (contributions)
		*contributions = palloc(Max(nterms(*card), 1) * sizeof(Contribution));
	hour = hour_of(PG_GETARG_TIMESTAMPTZ(3));
	appraise_lead(*card, timeline, profile, hour, hour, appraisal, contributions ? *contributions : NULL);
	return true;
}

static Datum
instant_datum(int32 hour, bool *isnull)
{
	*isnull = hour == NO_HOUR;
	return *isnull ? (Datum) 0 : TimestampTzGetDatum(instant_of(hour));
}

static Datum
text_datum(const char *s, bool *isnull)
{
	*isnull = s == NULL;
	return s ? CStringGetTextDatum(s) : (Datum) 0;
}

/* The score alone. */
Datum
score(PG_FUNCTION_ARGS)
{
	Scorecard  *card;
	Appraisal	appraisal;

	if (!appraise_arguments(fcinfo, &card, &appraisal, NULL))
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(appraisal.score);
}

const char *
grade_of(const Scorecard *card, const Appraisal *appraisal)
{
	for (int32 i = 0; i < card->ngrades; i++)
		if (appraisal->fit >= card->grades[i].min_fit)
			return card->grades[i].grade;
	return NULL;
}

Datum
appraisal_row(Scorecard *card, const Appraisal *appraisal, FunctionCallInfo fcinfo)
{
	int32		segment = segment_number(card, appraisal, NULL, 0);
	Datum		values[9];
	bool		nulls[9] = {0};

	values[0] = Float8GetDatum(appraisal->score);
	values[1] = Float8GetDatum(appraisal->engagement);
	values[2] = Float8GetDatum(appraisal->fit);
	nulls[3] = !card->has_probability;
	values[3] = Float8GetDatum(probability_of(card, appraisal));
	values[4] = text_datum(grade_of(card, appraisal), &nulls[4]);
	values[5] = text_datum(appraisal->stage < 0 ? NULL : card->stages[appraisal->stage].stage, &nulls[5]);
	values[6] = text_datum(segment == 0 ? NULL : card->segments[segment - 1].segment, &nulls[6]);
	values[7] = instant_datum(appraisal->last_hour, &nulls[7]);
	nulls[8] = segment == 0;
	values[8] = Int32GetDatum(segment == 0 ? 0 : card->segments[segment - 1].position);
	return HeapTupleGetDatum(heap_form_tuple(result_row(&card->row, fcinfo, card->context), values, nulls));
}

/* The whole appraisal: (score, engagement, fit, probability, grade, stage, segment, last_active, segment_position). */
Datum
appraise(PG_FUNCTION_ARGS)
{
	Scorecard  *card;
	Appraisal	appraisal;

	if (!appraise_arguments(fcinfo, &card, &appraisal, NULL))
		PG_RETURN_NULL();
	PG_RETURN_DATUM(appraisal_row(card, &appraisal, fcinfo));
}

/* The points of each weight, in the document's order, then of each rule. */
Datum
contributions(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Scorecard  *card;
	Appraisal	appraisal;
	Contribution *contributions;

	InitMaterializedSRF(fcinfo, 0);
	if (!appraise_arguments(fcinfo, &card, &appraisal, &contributions))
		return (Datum) 0;
	for (int32 i = 0; i < nterms(card); i++)
	{
		const Weight *w = i < card->nweights ? &card->weights[i] : NULL;
		const Rule *rule = w ? NULL : &card->rules[i - card->nweights];
		const Contribution *c = &contributions[i];
		Datum		values[10];
		bool		nulls[10] = {0};

		CHECK_FOR_INTERRUPTS();
		nulls[0] = w == NULL || !w->has_weight_id;
		values[0] = nulls[0] ? (Datum) 0 : Int32GetDatum(w->weight_id);
		values[1] = text_datum(w ? w->signal : NULL, &nulls[1]);
		values[2] = text_datum(w ? w->measure_name : NULL, &nulls[2]);
		nulls[3] = !c->active;
		values[3] = Float8GetDatum(c->measured);
		values[4] = Float8GetDatum(c->points);
		values[5] = Float8GetDatum(c->uncapped_points);
		values[6] = text_datum(w ? w->category : rule->category, &nulls[6]);
		values[7] = text_datum(w ? w->stage_name : NULL, &nulls[7]);
		values[8] = instant_datum(c->last_hour, &nulls[8]);
		values[9] = text_datum(rule ? rule->rule : NULL, &nulls[9]);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/*
 * What each weight measured, in the document's order, NULL where there was nothing to measure; then
 * 1 or 0 for each rule.
 */
Datum
measured_array(const Scorecard *card, const Contribution *contributions)
{
	int			n = nterms(card);
	Datum	   *values = palloc(Max(n, 1) * sizeof(Datum));
	bool	   *nulls = palloc(Max(n, 1) * sizeof(bool));
	int			lower = 1;

	for (int32 i = 0; i < n; i++)
	{
		nulls[i] = !contributions[i].active;
		values[i] = Float8GetDatum(contributions[i].measured);
	}
	return PointerGetDatum(construct_md_array(values, nulls, 1, &n, &lower,
											  FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

Datum
features(PG_FUNCTION_ARGS)
{
	Scorecard  *card;
	Appraisal	appraisal;
	Contribution *parts;

	if (!appraise_arguments(fcinfo, &card, &appraisal, &parts))
		PG_RETURN_NULL();
	PG_RETURN_DATUM(measured_array(card, parts));
}

/*
 * next_segment(scorecard, timeline, profile, at, segment, since): the next
 * segment of a lead that has been in "segment" (NULL: in none) since an instant
 * (NULL: forever).
 */
Datum
next_segment(PG_FUNCTION_ARGS)
{
	Scorecard  *card;
	Appraisal	appraisal;
	const char *current = PG_ARGISNULL(4) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(4));
	int64		stayed = PG_INT64_MAX;
	int32		segment;

	if (!appraise_arguments(fcinfo, &card, &appraisal, NULL))
		PG_RETURN_NULL();
	if (!PG_ARGISNULL(5) && pg_sub_s64_overflow(PG_GETARG_TIMESTAMPTZ(3), PG_GETARG_TIMESTAMPTZ(5), &stayed))
		stayed = PG_GETARG_TIMESTAMPTZ(5) < 0 ? PG_INT64_MAX : PG_INT64_MIN;	/* either is infinite */
	segment = segment_number(card, &appraisal, current, stayed);
	if (segment == 0)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(card->segments[segment - 1].segment));
}
