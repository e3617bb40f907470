/*
 * scorecard.c: reads a scorecard document, completely and strictly.
 */
#include "model/scorecard.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(check_scorecard);

/* Look-ups before a decay table is built: scoring one lead does not need one. */
#define DECAY_TABLE_AFTER 512
/* The same in leads, where the tables of all signals are built at once. */
#define SLOW_LEADS 64
/* Factors of ages above this (seven years) are computed each time. */
#define DECAY_TABLE_LIMIT 65536
/* Most factors in all tables of a scorecard: 4 MB. */
#define DECAY_TABLES_LIMIT (8 * DECAY_TABLE_LIMIT)
/* Signals with a higher number are found by binary search. */
#define SIGNAL_IDS_LIMIT 4096

/* Most rules that segments can name: each has a bit. */
#define MOST_SEGMENT_RULES 64

/* ---------- decay ---------- */

static double
decay_compute(const Decay *decay, int32 age)
{
	double		factor = 1;

	if (decay->half_life > 0)
		factor = exp2(-(double) age / decay->half_life);
	if (decay->fades_over > 0)
		factor *= Max(0.0, 1.0 - (double) age / decay->fades_over);
	if (decay->within > 0 && age >= decay->within)
		factor = 0;
	return factor;
}

/* Note what of the tables has changed for what is added up. */
static void
point_to_tables(Scorecard *card)
{
	card->covered_ages = PG_INT32_MAX;
	for (int32 i = 0; i < card->ngroups; i++)
	{
		SignalWeights *group = &card->groups[i];
		const double *any = NULL;

		for (int j = 0; group->adds_up && j < SUMS; j++)
		{
			if (group->sums[j] == NULL)
				continue;
			card->covered_ages = Min(card->covered_ages, group->sums[j]->capacity);
			any = group->factors[j] = group->sums[j]->factors;
		}
		for (int j = 0; j < SUMS; j++)
			if (group->sums[j] == NULL)
				group->factors[j] = any;
	}
}

/* Build or enlarge a table so that it holds an age, if there is room. */
static void
extend_table(Decay *decay, int32 age)
{
	Scorecard  *card = decay->card;
	int32		capacity = Max(4096, decay->capacity);
	double	   *factors;

	while (capacity <= age)
		capacity *= 2;
	if (card->decay_factors - decay->capacity + capacity > DECAY_TABLES_LIMIT)
		return;
	factors = MemoryContextAlloc(card->context, capacity * sizeof(double));
	for (int32 i = 0; i < capacity; i++)
		factors[i] = i < decay->capacity ? decay->factors[i] : decay_compute(decay, i);
	if (decay->capacity > 0)
		pfree(decay->factors);
	card->decay_factors += capacity - decay->capacity;
	decay->factors = factors;
	decay->capacity = capacity;
	point_to_tables(card);
}

/* The same with the tables of all that is added up, for one of SLOW_LEADS leads that need it. */
void
extend_sums(Scorecard *card, int32 age)
{
	card->slow_leads = (card->slow_leads + 1) % SLOW_LEADS;
	if (card->slow_leads == 0 && age < DECAY_TABLE_LIMIT)
		for (int32 i = 0; i < card->ngroups; i++)
			for (int j = 0; card->groups[i].adds_up && j < SUMS; j++)
				if (card->groups[i].sums[j] && card->groups[i].sums[j]->capacity <= age)
					extend_table(card->groups[i].sums[j], age);
}

/* The factor of an age that is not in the table. */
double
decay_factor_slow(Decay *decay, int32 age)
{
	if (decay->misses < DECAY_TABLE_AFTER)
		decay->misses++;
	else if (age < DECAY_TABLE_LIMIT)
		extend_table(decay, age);
	return decay_compute(decay, age);
}

/* ---------- names ---------- */

/* A name in the document and its position. */
typedef struct PlacedName
{
	const char *name;
	int32		index;
} PlacedName;

/* The names of an array's elements, sorted for binary search. */
typedef struct Names
{
	int32		n;
	PlacedName	   *names;
} Names;

/* (the sort can be interrupted: a document can be of any size) */
static int
name_compare(const void *a, const void *b)
{
	CHECK_FOR_INTERRUPTS();
	return strcmp(((const PlacedName *) a)->name, ((const PlacedName *) b)->name);
}

static void
names_init(Names *names, int32 n)
{
	names->n = 0;
	names->names = palloc(Max(n, 1) * sizeof(PlacedName));
}

static void
names_add(Names *names, const char *name)
{
	names->names[names->n] = (PlacedName) {name, names->n};
	names->n++;
}

/* Sort the names; a duplicate is an error. */
static void
names_finish(Names *names, const DocPath *path)
{
	qsort(names->names, names->n, sizeof(PlacedName), name_compare);
	for (int32 i = 1; i < names->n; i++)
		if (strcmp(names->names[i].name, names->names[i - 1].name) == 0)
			doc_fail(path, psprintf("\"%s\" stands there twice.", names->names[i].name),
					 "Leave one of them out, or rename it.");
}

static int32
names_find(const Names *names, const char *name)
{
	PlacedName		key = {name, 0};
	const PlacedName *found = bsearch(&key, names->names, names->n, sizeof(PlacedName), name_compare);

	return found ? found->index : -1;
}

/* ---------- numbers that must be unique ---------- */

/* A number in the document and its position. */
typedef struct PlacedNumber
{
	double		number;
	int32		index;
} PlacedNumber;

static int
number_compare(const void *a, const void *b)
{
	const PlacedNumber *x = a;
	const PlacedNumber *y = b;

	CHECK_FOR_INTERRUPTS();
	if (x->number != y->number)
		return (x->number > y->number) - (x->number < y->number);
	return (x->index > y->index) - (x->index < y->index);
}

/* Find the first duplicate number: its index, and that of the earlier one. False if all are unique. */
static bool
find_repeated(PlacedNumber *numbers, int32 n, int32 *second, int32 *first)
{
	bool		found = false;

	qsort(numbers, n, sizeof(PlacedNumber), number_compare);
	for (int32 i = 1; i < n; i++)
		if (numbers[i].number == numbers[i - 1].number && (!found || numbers[i].index < *second))
		{
			found = true;
			*second = numbers[i].index;
			*first = numbers[i - 1].index;
		}
	return found;
}

/* ---------- the document ---------- */

static const char *const card_members[] = {
	"model", "description", "floor", "ceiling", "intercept", "slope", "time_zone", "crm_step", "report",
	"signals", "weights", "rules", "categories", "stages", "grades", "segments", NULL
};
static const char *const signal_members[] = {
	"signal", "signal_id", "subject", "kind", "match", "condition", "description", "label", NULL
};
static const char *const weight_members[] = {
	"weight_id", "signal", "measure", "points", "curve", "half_life", "fades_over", "within",
	"at_least", "below", "max_per_day", "min_points", "max_points", "category", "stage",
	"if_none", "since_signal", NULL
};
static const char *const rule_members[] = {
	"rule", "all_of", "any_of", "none_of", "points", "category", "description", NULL
};
static const char *const condition_members[] = {"signal", "measure", "within", "at_least", "below", NULL};
static const char *const category_members[] = {"category", "min_points", "max_points", NULL};
static const char *const stage_members[] = {"stage", "position", "within", NULL};
static const char *const grade_members[] = {"grade", "min_fit", NULL};
static const char *const segment_members[] = {
	"segment", "position", "min_score", "min_fit", "min_engagement", "hysteresis", "cool_down",
	"above_score", "rules", NULL
};

static const char *const measures[] = {
	"count", "value", "average_value", "active_days", "days_since_last", "days_since_first",
	"present", NULL
};
static const char *const curves[] = {"linear", "log", NULL};
static const char *const subjects[] = {"event", "profile", NULL};

/* A signal of the document during reading. */
typedef struct CardSignal
{
	const char *signal;
	const char *label;			/* or NULL */
	bool		profile;
	int32		signal_id;		/* -1: none */
	PropertyMatcher matcher;
	int32		group;			/* in groups or profiles; -1: no weight yet */
} CardSignal;

/* A document during reading. */
typedef struct CardReader
{
	Scorecard  *card;
	bool		needs_ids;		/* for scoring: event signals must have a signal_id */
	Names		signal_names;
	CardSignal *signals;
	int32		nsignals;
	CardSignal **since;			/* for each weight; NULL: it counts from the beginning */
	Names		category_names;
	CategoryPart *categories;
	int32		(*part_of)[2];	/* of a category, for event and profile weights; -1: none yet */
	Names		stage_names;
	Names		rule_names;
	int			nbits;			/* bits assigned to rules */
	HTAB	   *decays;			/* the distinct decays */
} CardReader;

/* A decay that weights share. */
typedef struct DecayEntry
{
	int32		lengths[3];		/* half_life, fades_over, within: the key */
	Decay	   *decay;
} DecayEntry;

/* Read two bounds; the first must be below the second, or (if "equal") may equal it. */
static void
read_bounds(JsonbContainer *object, const DocPath *path, const char *low_key, double *low,
			const char *high_key, double *high, bool equal)
{
	*low = -INFINITY;
	*high = INFINITY;
	(void) doc_number(object, path, low_key, low);
	(void) doc_number(object, path, high_key, high);
	if (equal ? *low > *high : *low >= *high)
		doc_fail(path, psprintf("%s (%g) is not below %s (%g).", low_key, *low, high_key, *high),
				 psprintf("Make %s smaller, or leave one of the two out.", low_key));
}

static void
read_signals(CardReader *reader, JsonbContainer *document, const DocPath *root)
{
	DocArray	array;

	doc_array(document, root, "signals", &array);
	reader->nsignals = array.n;
	reader->signals = palloc0(Max(array.n, 1) * sizeof(CardSignal));
	reader->card->groups = palloc0(Max(array.n, 1) * sizeof(SignalWeights));
	reader->card->profiles = palloc0(Max(array.n, 1) * sizeof(SignalWeights));
	names_init(&reader->signal_names, array.n);
	for (int i = 0; i < array.n; i++)
	{
		CardSignal *signal = &reader->signals[i];
		DocPath		path;
		JsonbContainer *object = doc_element(&array, i, &path, signal_members);
		char	   *kind;

		signal->signal = doc_string(object, &path, "signal", true);
		names_add(&reader->signal_names, signal->signal);
		signal->profile = doc_choice(object, &path, "subject", subjects, 0) == 1;
		signal->signal_id = -1;
		(void) doc_integer(object, &path, "signal_id", 0, &signal->signal_id);
		kind = doc_string(object, &path, "kind", false);
		if (signal->profile && kind)
			doc_fail(&path, psprintf("A profile signal has the kind \"%s\".", kind),
					 "Kinds belong to events; leave the kind out.");
		(void) doc_comment(object, &path, "description");
		signal->label = doc_label(object, &path, "label");
		property_matcher_compile(&signal->matcher, object, &path);
		signal->group = -1;
	}
	names_finish(&reader->signal_names, &array.path);
}

static void
read_categories(CardReader *reader, JsonbContainer *document, const DocPath *root)
{
	DocArray	array;

	doc_array(document, root, "categories", &array);
	reader->categories = palloc0(Max(array.n, 1) * sizeof(CategoryPart));
	reader->part_of = palloc(Max(array.n, 1) * sizeof(*reader->part_of));
	memset(reader->part_of, -1, array.n * sizeof(*reader->part_of));
	names_init(&reader->category_names, array.n);
	for (int i = 0; i < array.n; i++)
	{
		CategoryPart *category = &reader->categories[i];
		DocPath		path;
		JsonbContainer *object = doc_element(&array, i, &path, category_members);

		category->category = doc_string(object, &path, "category", true);
		names_add(&reader->category_names, category->category);
		read_bounds(object, &path, "min_points", &category->min_points,
					"max_points", &category->max_points, true);
	}
	names_finish(&reader->category_names, &array.path);
	reader->card->parts = palloc0(Max(2 * array.n, 1) * sizeof(CategoryPart));
}

static void
read_stages(CardReader *reader, JsonbContainer *document, const DocPath *root)
{
	Scorecard  *card = reader->card;
	DocArray	array;
	PlacedNumber *positions;
	int32		second;
	int32		first;

	doc_array(document, root, "stages", &array);
	positions = palloc(Max(array.n, 1) * sizeof(PlacedNumber));
	card->nstages = array.n;
	card->stages = palloc0(Max(array.n, 1) * sizeof(Stage));
	names_init(&reader->stage_names, array.n);
	for (int i = 0; i < array.n; i++)
	{
		Stage	   *stage = &card->stages[i];
		DocPath		path;
		JsonbContainer *object = doc_element(&array, i, &path, stage_members);

		stage->stage = doc_string(object, &path, "stage", true);
		names_add(&reader->stage_names, stage->stage);
		if (!doc_integer(object, &path, "position", PG_INT32_MIN, &stage->position))
			doc_fail(&path, "It has no position.", "Number the stages; a higher position is further along.");
		(void) doc_hours(object, &path, "within", &stage->within);
		positions[i] = (PlacedNumber) {stage->position, i};
	}
	if (find_repeated(positions, array.n, &second, &first))
	{
		DocPath		path = {&array.path, NULL, second};

		doc_fail(&path, psprintf("The position %d is taken by the stage \"%s\".", card->stages[first].position, card->stages[first].stage),
				 "Give each stage a position of its own.");
	}
	pfree(positions);
	names_finish(&reader->stage_names, &array.path);
}

static int
grade_compare(const void *a, const void *b)
{
	double		x = ((const Grade *) a)->min_fit;
	double		y = ((const Grade *) b)->min_fit;

	return (x < y) - (x > y);
}

static void
read_grades(CardReader *reader, JsonbContainer *document, const DocPath *root)
{
	Scorecard  *card = reader->card;
	DocArray	array;
	Names		names;
	PlacedNumber *fits;
	int32		second;
	int32		first;

	doc_array(document, root, "grades", &array);
	fits = palloc(Max(array.n, 1) * sizeof(PlacedNumber));
	card->ngrades = array.n;
	card->grades = palloc0(Max(array.n, 1) * sizeof(Grade));
	names_init(&names, array.n);
	for (int i = 0; i < array.n; i++)
	{
		Grade	   *grade = &card->grades[i];
		DocPath		path;
		JsonbContainer *object = doc_element(&array, i, &path, grade_members);

		grade->grade = doc_string(object, &path, "grade", true);
		names_add(&names, grade->grade);
		grade->min_fit = -INFINITY;
		(void) doc_number(object, &path, "min_fit", &grade->min_fit);
		fits[i] = (PlacedNumber) {grade->min_fit, i};
	}
	if (find_repeated(fits, array.n, &second, &first))
	{
		DocPath		path = {&array.path, NULL, second};

		doc_fail(&path, psprintf("The grade \"%s\" has the same min_fit.", card->grades[first].grade), "Give each grade a min_fit of its own.");
	}
	pfree(fits);
	names_finish(&names, &array.path);
	qsort(card->grades, card->ngrades, sizeof(Grade), grade_compare);
}

static int
segment_compare(const void *a, const void *b)
{
	int32		x = ((const Segment *) a)->position;
	int32		y = ((const Segment *) b)->position;

	return (x > y) - (x < y);
}

/* The bits of the rules that a segment requires. */
static uint64
read_segment_rules(CardReader *reader, JsonbContainer *object, const DocPath *path)
{
	DocArray	array;
	uint64		bits = 0;

	doc_array(object, path, "rules", &array);
	for (int i = 0; i < array.n; i++)
	{
		DocPath		element;
		char	   *name = doc_string_element(&array, i, &element);
		int32		found = names_find(&reader->rule_names, name);
		Rule	   *rule;

		if (found < 0)
			doc_fail(&element, psprintf("There is no rule \"%s\" in the document.", name), "Add it to the document's rules.");
		rule = &reader->card->rules[found];
		if (rule->bit == 0)
		{
			if (reader->nbits == MOST_SEGMENT_RULES)
				doc_fail(&element, psprintf("Segments name more than %d rules.", MOST_SEGMENT_RULES), "Join rules into one, or leave some out.");
			rule->bit = UINT64CONST(1) << reader->nbits++;
		}
		bits |= rule->bit;
	}
	return bits;
}

static void
read_segments(CardReader *reader, JsonbContainer *document, const DocPath *root)
{
	Scorecard  *card = reader->card;
	DocArray	array;
	Names		names;
	PlacedNumber *positions;
	int32		second;
	int32		first;

	doc_array(document, root, "segments", &array);
	positions = palloc(Max(array.n, 1) * sizeof(PlacedNumber));
	card->nsegments = array.n;
	card->segments = palloc0(Max(array.n, 1) * sizeof(Segment));
	names_init(&names, array.n);
	for (int i = 0; i < array.n; i++)
	{
		Segment    *segment = &card->segments[i];
		DocPath		path;
		JsonbContainer *object = doc_element(&array, i, &path, segment_members);

		segment->segment = doc_string(object, &path, "segment", true);
		names_add(&names, segment->segment);
		if (!doc_integer(object, &path, "position", PG_INT32_MIN, &segment->position))
			doc_fail(&path, "It has no position.", "Number the segments; the first that holds is a lead's.");
		segment->above_score = segment->min_score = segment->min_fit = segment->min_engagement = -INFINITY;
		(void) doc_number(object, &path, "above_score", &segment->above_score);
		(void) doc_number(object, &path, "min_score", &segment->min_score);
		(void) doc_number(object, &path, "min_fit", &segment->min_fit);
		(void) doc_number(object, &path, "min_engagement", &segment->min_engagement);
		if (doc_number(object, &path, "hysteresis", &segment->hysteresis) && segment->hysteresis < 0)
			doc_fail(&path, "The hysteresis is negative.", "Write a number of points from 0.");
		(void) doc_hours(object, &path, "cool_down", &segment->cool_down);
		segment->rules = read_segment_rules(reader, object, &path);
		positions[i] = (PlacedNumber) {segment->position, i};
	}
	if (find_repeated(positions, array.n, &second, &first))
	{
		DocPath		path = {&array.path, NULL, second};

		doc_fail(&path, psprintf("The position %d is taken by the segment \"%s\".", card->segments[first].position, card->segments[first].segment),
				 "Give each segment a position of its own.");
	}
	pfree(positions);
	names_finish(&names, &array.path);
	qsort(card->segments, card->nsegments, sizeof(Segment), segment_compare);
}

/* The category's part for event or profile weights, created on first use. */
static int32
category_part(CardReader *reader, int32 category, bool profile)
{
	Scorecard  *card = reader->card;
	CategoryPart *wanted = &reader->categories[category];

	if (reader->part_of[category][profile] < 0)
	{
		card->parts[card->nparts] = *wanted;
		card->parts[card->nparts].profile = profile;
		reader->part_of[category][profile] = card->nparts++;
	}
	return reader->part_of[category][profile];
}

/* A decay, shared by all that have the same. */
static Decay *
shared_decay(CardReader *reader, int32 half_life, int32 fades_over, int32 within)
{
	int32		key[3] = {half_life, fades_over, within};
	bool		found;
	DecayEntry *entry = hash_search(reader->decays, key, HASH_ENTER, &found);

	if (!found)
	{
		entry->decay = palloc0(sizeof(Decay));
		entry->decay->half_life = half_life;
		entry->decay->fades_over = fades_over;
		entry->decay->within = within;
		entry->decay->card = reader->card;
	}
	return entry->decay;
}

static void
add_index(Indexes *indexes, int32 index)
{
	if (indexes->n == indexes->capacity)
	{
		indexes->capacity = Max(2, 2 * indexes->capacity);
		indexes->items = indexes->items ? repalloc(indexes->items, indexes->capacity * sizeof(int32))
			: palloc(indexes->capacity * sizeof(int32));
	}
	indexes->items[indexes->n++] = index;
}

/* The group of a signal, created on first use. */
static SignalWeights *
group_of(CardReader *reader, CardSignal *signal)
{
	Scorecard  *card = reader->card;
	SignalWeights *groups = signal->profile ? card->profiles : card->groups;
	SignalWeights *group;

	if (signal->group >= 0)
		return &groups[signal->group];
	signal->group = signal->profile ? card->nprofiles++ : card->ngroups++;
	group = &groups[signal->group];
	group->signal = signal->signal;
	group->signal_id = signal->signal_id;
	group->label = signal->label;
	group->matcher = signal->matcher;
	group->any_profile = signal->profile && !signal->matcher.match && !signal->matcher.condition;
	group->nobody_matches = signal->profile && !group->any_profile && property_matcher_matches_nothing(&signal->matcher);
	return group;
}

static int
group_compare(const void *a, const void *b)
{
	int32		x = ((const SignalWeights *) a)->signal_id;
	int32		y = ((const SignalWeights *) b)->signal_id;

	return (x > y) - (x < y);
}

/* Read which signal is measured, and how. Returns the signal. */
static CardSignal *
read_measure(CardReader *reader, JsonbContainer *object, const DocPath *path, Weight *w)
{
	DocPath		member = {path, "signal", 0};
	CardSignal *signal;
	int32		found;

	w->signal = doc_string(object, path, "signal", true);
	found = names_find(&reader->signal_names, w->signal);
	if (found < 0)
		doc_fail(&member, psprintf("There is no signal \"%s\" in the document.", w->signal),
				 "Add it to the document's signals.");
	signal = &reader->signals[found];
	w->label = signal->label;
	if (reader->needs_ids && !signal->profile && signal->signal_id < 0)
		doc_fail(&member, psprintf("The signal \"%s\" has no signal_id.", w->signal),
				 "Score with leadscore.scorecard(model), or publish() the document first.");

	w->measure = doc_choice(object, path, "measure", measures,
							signal->profile ? MEASURE_PRESENT : MEASURE_COUNT);
	w->measure_name = measures[w->measure];
	if (signal->profile != (w->measure == MEASURE_PRESENT))
	{
		member.key = "measure";
		doc_fail(&member, psprintf("The measure \"%s\" does not fit the %s signal \"%s\".",
								   w->measure_name, subjects[signal->profile], w->signal),
				 signal->profile ? "Profile signals are measured by present."
				 : "Event signals are measured by count, value, average_value, active_days, days_since_last or days_since_first.");
	}
	(void) doc_hours(object, path, "within", &w->within);
	w->until = w->within == 0 ? PG_INT32_MAX : w->within;
	read_bounds(object, path, "at_least", &w->at_least, "below", &w->below, false);
	if (w->measure == MEASURE_VALUE || w->measure == MEASURE_AVERAGE_VALUE)
		group_of(reader, signal)->needs_values = true;
	if (w->measure == MEASURE_ACTIVE_DAYS)
		group_of(reader, signal)->needs_days = true;
	if (w->measure == MEASURE_DAYS_SINCE_LAST)
		group_of(reader, signal)->needs_last_age = true;
	return signal;
}

/* The category's part of a weight or rule, or -1. */
static int32
read_category(CardReader *reader, JsonbContainer *object, const DocPath *path, bool profile, const char **name)
{
	DocPath		member = {path, "category", 0};
	int32		found;

	*name = doc_string(object, path, "category", false);
	if (*name == NULL)
		return -1;
	found = names_find(&reader->category_names, *name);
	if (found < 0)
		doc_fail(&member, psprintf("There is no category \"%s\" in the document.", *name),
				 "Add it to the document's categories.");
	return category_part(reader, found, profile);
}

/* The signal from whose last hour a weight counts, or NULL. */
static CardSignal *
read_since(CardReader *reader, JsonbContainer *object, const DocPath *path, const CardSignal *signal)
{
	DocPath		member = {path, "since_signal", 0};
	char	   *name = doc_string(object, path, "since_signal", false);
	CardSignal *since;
	int32		found;

	if (name == NULL)
		return NULL;
	found = names_find(&reader->signal_names, name);
	if (found < 0)
		doc_fail(&member, psprintf("There is no signal \"%s\" in the document.", name), "Add it to the document's signals.");
	since = &reader->signals[found];
	if (since == signal)
		doc_fail(&member, psprintf("It is \"%s\", the signal that the weight measures.", name),
				 "Name another signal, such as the purchase that the weight counts from.");
	if (since->profile || signal->profile)
		doc_fail(&member, psprintf("\"%s\" is a profile signal, which has no hours.", since->profile ? name : signal->signal),
				 since->profile ? "Name an event signal." : "Leave the member out.");
	if (reader->needs_ids && since->signal_id < 0)
		doc_fail(&member, psprintf("The signal \"%s\" has no signal_id.", name),
				 "Score with leadscore.scorecard(model), or publish() the document first.");
	return since;
}

/* Read the points of a weight if nothing happened. */
static void
read_absence(CardReader *reader, JsonbContainer *object, const DocPath *path, int32 index)
{
	DocPath		member = {path, "if_none", 0};
	Weight	   *w = &reader->card->weights[index];

	w->has_if_none = doc_number(object, path, "if_none", &w->if_none);
	if (!w->has_if_none)
		return;
	if (w->measure == MEASURE_PRESENT)
		doc_fail(&member, psprintf("The profile signal \"%s\" is measured by present, which is never none.", w->signal),
				 "Give points to a profile signal with the opposite condition, such as !exists($.website).");
	w->absent_points = Min(Max(w->if_none, w->min_points), w->max_points);
	add_index(&reader->card->absences, index);
}

static void
read_weight(CardReader *reader, JsonbContainer *object, const DocPath *path, int32 index)
{
	Weight	   *w = &reader->card->weights[index];
	DocPath		member = {path, "stage", 0};
	CardSignal *signal;
	int32		half_life = 0;
	int32		fades_over = 0;

	w->has_weight_id = doc_integer(object, path, "weight_id", 1, &w->weight_id);
	signal = read_measure(reader, object, path, w);
	if (!doc_number(object, path, "points", &w->points))
		doc_fail(path, "It has no points.", "Say what the weight is worth.");
	w->linear = doc_choice(object, path, "curve", curves, 0) == 0;
	(void) doc_hours(object, path, "half_life", &half_life);
	(void) doc_hours(object, path, "fades_over", &fades_over);
	(void) doc_integer(object, path, "max_per_day", 1, &w->max_per_day);
	if (half_life || fades_over)
		w->decay = shared_decay(reader, half_life, fades_over, 0);
	w->banded = !isinf(w->at_least) || !isinf(w->below);
	w->linear = w->linear && !w->banded;
	read_bounds(object, path, "min_points", &w->min_points, "max_points", &w->max_points, true);
	/* limited, so that sums stay finite */
	w->min_points = Max(w->min_points, -MOST_POINTS);
	w->max_points = Min(w->max_points, MOST_POINTS);
	w->part = read_category(reader, object, path, signal->profile, &w->category);
	w->stage = -1;
	w->stage_name = doc_string(object, path, "stage", false);
	if (w->stage_name)
	{
		w->stage = names_find(&reader->stage_names, w->stage_name);
		if (w->stage < 0)
			doc_fail(&member, psprintf("There is no stage \"%s\" in the document.", w->stage_name),
					 "Add it to the document's stages.");
	}
	read_absence(reader, object, path, index);
	if (w->max_per_day > 0)
		group_of(reader, signal)->needs_days = true;
	reader->since[index] = read_since(reader, object, path, signal);
	add_index(reader->since[index] ? &group_of(reader, signal)->later : &group_of(reader, signal)->weights, index);
	if (reader->since[index])
		group_of(reader, reader->since[index])->is_start = true;
}

static void
read_weights(CardReader *reader, JsonbContainer *document, const DocPath *root)
{
	Scorecard  *card = reader->card;
	DocArray	array;
	int32	   *ids;
	int			nids = 0;

	doc_array(document, root, "weights", &array);
	card->nweights = array.n;
	card->weights = palloc0(Max(array.n, 1) * sizeof(Weight));
	reader->since = palloc0(Max(array.n, 1) * sizeof(CardSignal *));
	ids = palloc(Max(array.n, 1) * sizeof(int32));
	for (int i = 0; i < array.n; i++)
	{
		DocPath		path;
		JsonbContainer *object = doc_element(&array, i, &path, weight_members);

		read_weight(reader, object, &path, i);
		if (card->weights[i].has_weight_id)
			ids[nids++] = card->weights[i].weight_id;
	}

	qsort(ids, nids, sizeof(int32), int32_compare);
	for (int i = 1; i < nids; i++)
		if (ids[i] == ids[i - 1])
			doc_fail(&array.path, psprintf("The weight_id %d stands there twice.", ids[i]),
					 "Leave it out of the new weight; publish() assigns one.");
}

/* ---------- rules ---------- */

/* Add the conditions of one list of a rule; returns whether they concern only profiles. */
static bool
read_conditions(CardReader *reader, JsonbContainer *object, const DocPath *path, const char *list)
{
	Scorecard  *card = reader->card;
	DocArray	array;
	bool		profile = true;

	doc_array(object, path, list, &array);
	card->conditions = card->conditions ? repalloc(card->conditions, Max(card->nconditions + array.n, 1) * sizeof(Weight))
		: palloc(Max(array.n, 1) * sizeof(Weight));
	for (int i = 0; i < array.n; i++)
	{
		DocPath		element;
		JsonbContainer *condition = doc_element(&array, i, &element, condition_members);
		Weight	   *w = &card->conditions[card->nconditions];
		CardSignal *signal;

		memset(w, 0, sizeof(Weight));
		signal = read_measure(reader, condition, &element, w);
		w->any_figure = isinf(w->at_least) && isinf(w->below) && w->measure != MEASURE_AVERAGE_VALUE;
		if (!w->any_figure)
			add_index(&group_of(reader, signal)->measured, card->nconditions);
		add_index(&group_of(reader, signal)->conditions, card->nconditions++);
		profile = profile && signal->profile;
	}
	return profile;
}

/* The bits of a rule's conditions. */
static void
find_words(Rule *rule)
{
	int32		first = rule->all_of / 64;

	rule->nwords = (rule->end - 1) / 64 - first + 1;
	rule->words = palloc0(rule->nwords * sizeof(RuleWord));
	for (int32 i = 0; i < rule->nwords; i++)
		rule->words[i].word = first + i;
	for (int32 i = rule->all_of; i < rule->end; i++)
	{
		RuleWord   *word = &rule->words[i / 64 - first];
		uint64	   *mask = i < rule->any_of ? &word->all_of : i < rule->none_of ? &word->any_of : &word->none_of;

		*mask |= UINT64CONST(1) << i % 64;
	}
}

static void
read_rule(CardReader *reader, JsonbContainer *object, const DocPath *path, Rule *rule)
{
	Scorecard  *card = reader->card;

	rule->rule = doc_string(object, path, "rule", true);
	rule->description = doc_comment(object, path, "description");
	rule->has_points = doc_number(object, path, "points", &rule->points);
	if (fabs(rule->points) > MOST_POINTS)
		rule->points = rule->points > 0 ? MOST_POINTS : -MOST_POINTS;
	rule->profile = true;
	rule->all_of = card->nconditions;
	rule->profile &= read_conditions(reader, object, path, "all_of");
	rule->any_of = card->nconditions;
	rule->profile &= read_conditions(reader, object, path, "any_of");
	rule->none_of = card->nconditions;
	rule->profile &= read_conditions(reader, object, path, "none_of");
	rule->end = card->nconditions;
	if (rule->all_of == rule->end)
		doc_fail(path, "It has no conditions.", "Write at least one of all_of, any_of and none_of, each an array of conditions.");
	rule->part = read_category(reader, object, path, rule->profile, &rule->category);
	find_words(rule);
}

static void
read_rules(CardReader *reader, JsonbContainer *document, const DocPath *root)
{
	Scorecard  *card = reader->card;
	DocArray	array;

	doc_array(document, root, "rules", &array);
	card->nrules = array.n;
	card->rules = palloc0(Max(array.n, 1) * sizeof(Rule));
	names_init(&reader->rule_names, array.n);
	for (int i = 0; i < array.n; i++)
	{
		DocPath		path;
		JsonbContainer *object = doc_element(&array, i, &path, rule_members);

		read_rule(reader, object, &path, &card->rules[i]);
		names_add(&reader->rule_names, card->rules[i].rule);
	}
	names_finish(&reader->rule_names, &array.path);
	card->nheld = (card->nconditions + 63) / 64;
	card->held = palloc0(Max(card->nheld, 1) * sizeof(uint64));
}

/* ---------- the whole document ---------- */

/* Mark the weights that measure what the one before them measures, as adjoining bands do. */
static void
mark_same_figures(const CardReader *reader, const Indexes *weights)
{
	for (int32 i = 1; i < weights->n; i++)
	{
		int32		index = weights->items[i];
		int32		before = weights->items[i - 1];
		Weight	   *w = &reader->card->weights[index];
		const Weight *x = &reader->card->weights[before];

		w->same_figure = w->measure == x->measure && w->within == x->within && w->max_per_day == x->max_per_day &&
			w->decay == x->decay && reader->since[index] == reader->since[before];
	}
}

/* Find room for a sum among those of a group from "first" to "last"; -1: there is none. */
static int32
find_sum(SignalWeights *group, int32 first, int32 last, Decay *decay)
{
	for (int32 i = first; i <= last; i++)
	{
		if (group->sums[i] == NULL)
			group->sums[i] = decay;
		if (group->sums[i] == decay)
			return i;
	}
	return -1;
}

/* Whether a group has, or now gets, one value of what all its figures of a kind must share. */
static bool
shares(int32 *shared, int32 wanted)
{
	if (*shared == 0)
		*shared = wanted;
	return *shared == wanted;
}

/* Which figure of its group a weight measures; -1: none. */
static int32
find_figure(CardReader *reader, SignalWeights *group, const Weight *w)
{
	Decay	   *decay = shared_decay(reader, w->decay ? w->decay->half_life : 0, w->decay ? w->decay->fades_over : 0, w->within);

	switch (w->measure)
	{
		case MEASURE_COUNT:
			if (w->max_per_day == 0)
				return find_sum(group, FIGURE_COUNT, FIGURE_VALUE - 1, decay);
			if (!shares(&group->max_per_day, w->max_per_day) || !shares(&group->limited_until, w->until))
				return -1;
			group->by_day = true;
			return find_sum(group, FIGURE_LIMITED, SUMS - 1, decay);
		case MEASURE_VALUE:
			return find_sum(group, FIGURE_VALUE, FIGURE_VALUE, decay);
		case MEASURE_ACTIVE_DAYS:
			group->by_day = true;
			return shares(&group->active_until, w->until) ? FIGURE_ACTIVE_DAYS : -1;
		case MEASURE_DAYS_SINCE_LAST:
			return FIGURE_SINCE_LAST;
		default:
			return -1;
	}
}

/* Find the figures of some of a group's weights or conditions; the result ends with NULL. */
static Weight **
find_figures(CardReader *reader, SignalWeights *group, const Indexes *indexes, Weight *weights)
{
	Weight	  **found = palloc0((indexes->n + 1) * sizeof(Weight *));

	for (int32 i = 0; group->adds_up && i < indexes->n; i++)
	{
		found[i] = &weights[indexes->items[i]];
		found[i]->figure = find_figure(reader, group, found[i]);
		group->adds_up = found[i]->figure >= 0;
	}
	return found;
}

/* Have all that a signal's weights and conditions measure added up while its hours are read, if that can be done. */
static void
find_sums(CardReader *reader, SignalWeights *group)
{
	group->adds_up = true;
	group->added_up = find_figures(reader, group, &group->weights, reader->card->weights);
	group->added_later = find_figures(reader, group, &group->later, reader->card->weights);
	group->added_conditions = find_figures(reader, group, &group->measured, reader->card->conditions);
	group->plain = group->adds_up && !group->by_day && group->measured.n == 0;
	for (int32 i = 0; i < group->weights.n; i++)
	{
		const Weight *w = &reader->card->weights[group->weights.items[i]];

		group->plain = group->plain && w->figure < SUMS && w->stage < 0;
	}
	for (int i = 0; i < SUMS; i++)
		if (group->sums[i])
			return;
	group->sums[0] = shared_decay(reader, 0, 0, 0); /* at least one: the loop looks factors up */
}

/* List the conditions that the last hour of a signal decides. */
static void
find_simple(Scorecard *card)
{
	card->simple = palloc(Max(card->nconditions, 1) * sizeof(Simple));
	for (int i = 0; i < card->ngroups; i++)
	{
		const Indexes *conditions = &card->groups[i].conditions;

		for (int32 j = 0; j < conditions->n; j++)
			if (card->conditions[conditions->items[j]].any_figure)
				card->simple[card->nsimple++] = (Simple) {&card->groups[i], conditions->items[j], card->conditions[conditions->items[j]].until};
	}
}

/* Sort the groups, and mark those that weights count from. */
static void
finish_groups(CardReader *reader, const DocPath *root)
{
	Scorecard  *card = reader->card;

	qsort(card->groups, card->ngroups, sizeof(SignalWeights), group_compare);
	for (int i = 1; reader->needs_ids && i < card->ngroups; i++)
		if (card->groups[i].signal_id == card->groups[i - 1].signal_id)
			doc_fail(root, psprintf("Two signals have the signal_id %d.", card->groups[i].signal_id),
					 "Take the signals from leadscore.scorecard(model).");

	card->nsignal_ids = reader->needs_ids && card->ngroups > 0 ?
		Min(card->groups[card->ngroups - 1].signal_id + 1, SIGNAL_IDS_LIMIT) : 0;
	card->group_of = palloc0(Max(card->nsignal_ids, 1) * sizeof(SignalWeights *));
	for (int i = 0; i < card->ngroups; i++)
	{
		SignalWeights *group = &card->groups[i];

		find_sums(reader, group);
		mark_same_figures(reader, &group->weights);
		mark_same_figures(reader, &group->later);
		if (group->signal_id >= 0 && group->signal_id < card->nsignal_ids)
			card->group_of[group->signal_id] = group;
	}

	find_simple(card);
	point_to_tables(card);

	for (int32 i = 0; i < card->nweights; i++)
	{
		SignalWeights key = {.signal_id = reader->since[i] ? reader->since[i]->signal_id : -1};

		if (reader->since[i] == NULL || !reader->needs_ids)
			continue;
		card->weights[i].since = bsearch(&key, card->groups, card->ngroups, sizeof(SignalWeights), group_compare);
	}
	card->later = palloc(Max(card->ngroups, 1) * sizeof(SignalWeights *));
}

/* Where the points of a weight or rule go. */
static double *
total_of(Scorecard *card, int32 part, bool profile)
{
	return &card->totals[part >= 0 ? part : card->nparts + profile];
}

static Scorecard *
read_card(Jsonb *document, bool needs_ids)
{
	DocPath		root = {NULL, "scorecard", 0};
	Scorecard  *card = palloc0(sizeof(Scorecard));
	CardReader	reader = {.card = card, .needs_ids = needs_ids};
	HASHCTL		ctl = {.keysize = sizeof(((DecayEntry *) 0)->lengths), .entrysize = sizeof(DecayEntry), .hcxt = CurrentMemoryContext};
	JsonbContainer *object = &document->root;
	bool		has_intercept;
	bool		has_slope;
	double		crm_step;

	card->context = CurrentMemoryContext;
	if (!JB_ROOT_IS_OBJECT(document))
		doc_fail(&root, "It is not an object.", "Pass (SELECT leadscore.scorecard('default')).");
	doc_check_members(object, &root, card_members);

	(void) doc_string(object, &root, "model", !needs_ids);
	(void) doc_comment(object, &root, "description");
	(void) doc_object(object, &root, "report");
	read_bounds(object, &root, "floor", &card->floor, "ceiling", &card->ceiling, false);
	has_intercept = doc_number(object, &root, "intercept", &card->intercept);
	has_slope = doc_number(object, &root, "slope", &card->slope);
	card->has_probability = has_intercept && has_slope;
	card->days = doc_time_zone(object, &root, "time_zone");
	if (doc_number(object, &root, "crm_step", &crm_step) && crm_step < 0)
		doc_fail(&root, psprintf("crm_step (%g) is below zero.", crm_step), "Write how far a score moves before a CRM is told, from 0.");

	read_signals(&reader, object, &root);
	read_categories(&reader, object, &root);
	read_stages(&reader, object, &root);
	read_grades(&reader, object, &root);
	reader.decays = hash_create("leadscore decays", 64, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	read_weights(&reader, object, &root);
	read_rules(&reader, object, &root);
	read_segments(&reader, object, &root);
	finish_groups(&reader, &root);
	hash_destroy(reader.decays);
	card->totals = palloc0((card->nparts + 2) * sizeof(double));
	for (int32 i = 0; i < card->nweights; i++)
		card->weights[i].total = total_of(card, card->weights[i].part, card->weights[i].measure == MEASURE_PRESENT);
	for (int32 i = 0; i < card->nrules; i++)
		card->rules[i].total = total_of(card, card->rules[i].part, card->rules[i].profile);
	return card;
}

/* Compile a scorecard document for scoring, in the current memory context. */
void *
scorecard_compile(Jsonb *document)
{
	return read_card(document, true);
}

/* Compile one that lives as long as a memory context. */
Scorecard *
scorecard_compile_in(MemoryContext context, Datum document)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	Scorecard  *card = scorecard_compile((Jsonb *) PG_DETOAST_DATUM_COPY(document));

	MemoryContextSwitchTo(old);
	return card;
}

/* Check a document before publication: true, or an error that names the path. */
Datum
check_scorecard(PG_FUNCTION_ARGS)
{
	(void) read_card(PG_GETARG_JSONB_P(0), false);
	PG_RETURN_BOOL(true);
}
