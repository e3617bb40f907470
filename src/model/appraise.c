/*
 * appraise.c: scoring: what a timeline and a profile are worth on a scorecard
 * at an instant.
 *
 * One routine, appraise_lead(), implements score(), appraise(), contributions()
 * and features(), so they cannot disagree. It walks the timeline's signals. Most of
 * what can be measured is added up while the hours of a signal are read (add_up.h).
 * If a signal has a weight or condition of another kind, its hours are unpacked once,
 * oldest first; each weight then reads the part of them that lies within its window.
 * Weights that count from the last hour of another signal follow, then the weights
 * that are worth something if nothing happened, and the rules. Most leads have few
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
book_absence(Scorecard *card, int32 index, Contribution *contributions)
{
	const Weight *w = &card->weights[index];
	bool		absent = w->happened != card->turn;

	*w->total += absent * w->absent_points; /* without a branch */
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

/* ---------- the figures of one signal ---------- */

/* add_up_hours() where the tables do not hold all that is looked up. */
static pg_noinline int32
add_up_slowly(const Scorecard *card, const SignalWeights *group, TimelineReader *reader, const Walk *walk, double *figures)
{
	DayCounts	days = day_counts_begin(group);
	int32		last = NO_HOUR;

	memset(figures, 0, FIGURES * sizeof(double));
	while (reader->left > 0)
	{
		int64		occurrences;
		int64		value;
		double		amounts[SUMS];
		int32		age;

		padded_next_entry(reader, &occurrences, &value);
		if (reader->hour > walk->known)
			continue;
		last = reader->hour;
		age = walk->hour - last;
		for (int i = 0; i < FIGURE_VALUE; i++)
			amounts[i] = (double) occurrences;
		amounts[FIGURE_VALUE] = (double) value / MILLIONTHS;
		amounts[FIGURE_LIMITED] = !group->by_day ? 0 :
			count_by_day(&days, day_of_hour(card->days, last) + 1, (double) occurrences, age < group->limited_until, age < group->active_until);
		amounts[FIGURE_LIMITED + 1] = amounts[FIGURE_LIMITED];
		for (int i = 0; i < SUMS; i++)
			if (group->sums[i])
				figures[i] += amounts[i] * decay_factor(group->sums[i], age);
	}
	figures[FIGURE_ACTIVE_DAYS] = days.active;
	return last;
}

/* Add up the rest of a signal's hours, of whatever kind; returns the last known one, or NO_HOUR. */
static pg_attribute_always_inline int32
add_up(const Scorecard *card, const SignalWeights *group, TimelineReader *reader, const Walk *walk, double *figures)
{
	int32		last;

	if (unlikely(!walk->covered))
		last = add_up_slowly(card, group, reader, walk, figures);
	else if (group->by_day)
		last = add_up_hours(card, group, reader, walk, true, figures);
	else
		last = add_up_hours(card, group, reader, walk, false, figures);
	if (group->needs_last_age && last != NO_HOUR)
		figures[FIGURE_SINCE_LAST] = (walk->hour - last) / (double) HOURS_A_DAY;
	return last;
}

/* The same, not inlined, for rarer cases. */
static pg_noinline int32
add_up_apart(const Scorecard *card, const SignalWeights *group, TimelineReader *reader, const Walk *walk, double *figures)
{
	return add_up(card, group, reader, walk, figures);
}

/* Read on until the next hour of the signal is after another hour. */
static void
skip_hours(TimelineReader *reader, int32 hour)
{
	while (reader->left > 0)
	{
		TimelineReader next = *reader;
		int64		occurrences;
		int64		value;

		padded_next_entry(&next, &occurrences, &value);
		if (next.hour > hour)
			return;
		*reader = next;
	}
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
activity_begin(Activity *a, const Scorecard *card, int32 n, int32 hour)
{
	a->n = n;
	a->hour = hour;
	a->ages = card->ages;
	a->occurrences = card->occurrences;
	a->values = card->values;
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

/* Note the conditions on a signal that need a figure, and hold. */
static pg_noinline void
check_conditions(Scorecard *card, const SignalWeights *group, Activity *activity)
{
	for (int32 i = 0; i < group->measured.n; i++)
	{
		const Weight *condition = &card->conditions[group->measured.items[i]];
		double		measured;

		note_condition(card, group->measured.items[i],
					   measure_apart(condition, activity, first_within(activity, condition->within), &measured) &&
					   condition_holds(condition, measured));
	}
}

/* The same, of a signal that has been added up. */
static inline void
check_sums(Scorecard *card, const SignalWeights *group, int32 age)
{
	for (Weight **next = group->added_conditions; *next; next++)
	{
		const Weight *condition = *next;

		note_condition(card, condition - card->conditions,
					   (age < condition->until) & condition_holds(condition, group->figures[condition->figure]));
	}
}

/* Note the conditions that hold by the last hour of their signal. */
static inline void
check_simple(Scorecard *card, int32 hour)
{
	const Simple *end = card->simple + card->nsimple;
	uint64		turn = card->turn;

	/* (& is no branch, which could not be predicted) */
	for (const Simple *simple = card->simple; simple < end; simple++)
		note_condition(card, simple->condition,
					   (simple->group->seen == turn) & (hour - simple->group->last_hour < simple->within));
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

/* Book the points of a weight of a signal that has been added up, and last occurred "age" hours ago. */
static inline void
book_sum(const Scorecard *card, Weight *w, const double *figures, int32 age, int32 last_hour, Contribution *contributions)
{
	if (age >= w->until)
		return;
	w->happened = card->turn;
	book(card, w, figures[w->figure], last_hour, contributions);
}

/*
 * Appraise the weights that count from the last hour of another signal, which is known now. Most leads do not have
 * that signal; then all hours count, and have been added up.
 */
static void
appraise_later_sums(Scorecard *card, const SignalWeights *group, const Walk *walk, Appraisal *appraisal, Contribution *contributions)
{
	int32		age = walk->hour - group->last_hour;
	const SignalWeights *since = NULL;
	double		since_figures[FIGURES];
	int32		since_last = NO_HOUR;

	for (Weight **next = group->added_later; *next; next++)
	{
		Weight	   *w = *next;
		bool		all = w->since->seen != card->turn;

		if (!all && w->since != since)
		{
			TimelineReader reader = group->reader;

			since = w->since;
			skip_hours(&reader, since->last_hour);
			since_last = add_up_apart(card, group, &reader, walk, since_figures);
		}
		reach_stage(card, w, age, appraisal);
		if (all || since_last != NO_HOUR)
			book_sum(card, w, all ? group->figures : since_figures, age, group->last_hour, contributions);
	}
}

static pg_noinline void
appraise_later(Scorecard *card, const Walk *walk, Appraisal *appraisal, Contribution *contributions)
{
	for (int32 i = 0; i < card->nlater; i++)
	{
		SignalWeights *group = card->later[i];
		Activity	activity;

		if (group->seen != card->turn)	/* all its hours are later than the last known one */
			continue;
		if (group->adds_up)
		{
			appraise_later_sums(card, group, walk, appraisal, contributions);
			continue;
		}
		activity_begin(&activity, card, unpack_signal(card, &group->reader, walk->hour, walk->known, group->needs_values), walk->hour);
		appraise_weights(card, &group->later, true, &activity, appraisal, contributions);
	}
}

/* Appraise a signal whose hours are unpacked; returns its last hour, or NO_HOUR. */
static int32
appraise_unpacked(Scorecard *card, const SignalWeights *group, TimelineReader *reader, const Walk *walk,
				  Appraisal *appraisal, Contribution *contributions)
{
	Activity	activity;
	int32		n = unpack_signal(card, reader, walk->hour, walk->known, group->needs_values);

	if (n == 0)
		return NO_HOUR;
	activity_begin(&activity, card, n, walk->hour);
	appraise_weights(card, &group->weights, false, &activity, appraisal, contributions);
	check_conditions(card, group, &activity);
	return walk->hour - activity.ages[n - 1];
}

/* Appraise the reader's signal, of whatever kind; returns its last hour, or NO_HOUR. */
static pg_noinline int32
appraise_signal(Scorecard *card, SignalWeights *group, TimelineReader *reader, const Walk *walk,
				Appraisal *appraisal, Contribution *contributions)
{
	int32		last;

	if (!group->adds_up)
		return appraise_unpacked(card, group, reader, walk, appraisal, contributions);
	last = add_up(card, group, reader, walk, group->figures);
	if (last == NO_HOUR)
		return NO_HOUR;
	for (Weight **next = group->added_up; *next; next++)
	{
		reach_stage(card, *next, walk->hour - last, appraisal);
		book_sum(card, *next, group->figures, walk->hour - last, last, contributions);
	}
	check_sums(card, group, walk->hour - last);
	return last;
}

static void
appraise_timeline(Scorecard *card, const struct varlena *timeline, int32 hour, int32 known,
				  Appraisal *appraisal, Contribution *contributions)
{
	TimelineReader reader;
	Walk		walk = {hour, known, card->covered_ages - (hour - known), false};
	bool		plain;			/* signals are appraised here, if they are plain */
	int32		last_hour = NO_HOUR;

	card->nlater = 0;
	read_padded(card, &reader, timeline);
	if (likely(reader.base <= known))
	{
		walk.covered = hour - reader.base < card->covered_ages && known < local_days_until(card->days);
		if (unlikely(!walk.covered))
			extend_sums(card, hour - reader.base);
	}
	plain = walk.covered && contributions == NULL;
	while (padded_next_signal(&reader))
	{
		SignalWeights *group;
		int32		last;

		CHECK_FOR_INTERRUPTS();
		group = group_of_signal(card, reader.signal_id);
		if (group == NULL)
		{
			last = skip_signal(&reader, known);
			last_hour = Max(last_hour, last);
			continue;
		}
		if (group->later.n > 0)
		{
			group->reader = reader;
			card->later[card->nlater++] = group;
		}
		if (likely(group->plain && plain))
		{
			last = add_up_hours(card, group, &reader, &walk, false, group->figures);
			if (likely(last != NO_HOUR))
				for (Weight **next = group->added_up; *next; next++)
					book_sum(card, *next, group->figures, hour - last, last, NULL);
		}
		else
			last = appraise_signal(card, group, &reader, &walk, appraisal, contributions);
		if (last == NO_HOUR)
			continue;
		last_hour = Max(last_hour, last);
		note_last(card, group, last);
	}

	if (card->nlater > 0)
		appraise_later(card, &walk, appraisal, contributions);
	appraisal->last_hour = Max(appraisal->last_hour, last_hour);
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
			int32		condition = group->conditions.items[j];

			note_condition(card, condition, condition_holds(&card->conditions[condition], 1));
		}
	}
}

/* Whether a rule holds. */
static inline bool
rule_holds(const Scorecard *card, const Rule *rule)
{
	uint64		fails = 0;
	uint64		any = rule->any_of == rule->none_of;

	for (int32 i = 0; i < rule->nwords; i++)
	{
		const RuleWord *word = &rule->words[i];
		uint64		held = card->held[word->word];

		fails |= (word->all_of & ~held) | (word->none_of & held);
		any |= word->any_of & held;
	}
	return any != 0 && fails == 0;
}

static void
appraise_rules(Scorecard *card, Appraisal *appraisal, Contribution *contributions)
{
	for (int32 i = 0; i < card->nrules; i++)
	{
		const Rule *rule = &card->rules[i];
		bool		holds = rule_holds(card, rule);

		CHECK_FOR_INTERRUPTS();
		appraisal->rules |= rule->bit & -(uint64) holds;
		*rule->total += holds * rule->points;	/* without a branch */
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
	appraisal->stage = -1;
	appraisal->last_hour = NO_HOUR;
	appraisal->rules = 0;
	card->turn++;
	for (int32 i = 0; i < card->nparts + 2; i++)
		card->totals[i] = 0;
	for (int32 i = 0; i < card->nheld; i++)
		card->held[i] = 0;
}

void
appraise_end(Scorecard *card, Appraisal *appraisal, Contribution *contributions)
{
	for (int32 i = 0; i < card->absences.n; i++)
		book_absence(card, card->absences.items[i], contributions);
	appraise_rules(card, appraisal, contributions);

	appraisal->engagement = card->totals[card->nparts];
	appraisal->fit = card->totals[card->nparts + 1];
	for (int32 i = 0; i < card->nparts; i++)
	{
		const CategoryPart *part = &card->parts[i];
		double		sum = clamp(card->totals[i], part->min_points, part->max_points);

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
	if (unlikely(card->bytes_size > MOST_BYTES || card->scratch_capacity > MOST_SCRATCH))
		scratch_release(card);
	if (card->nprofiles > 0)
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
