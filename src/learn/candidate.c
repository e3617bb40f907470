/*
 * candidate.c: what may tell of an outcome, gathered from leads and coded.
 *
 * A candidate keeps, for each row where there is something to be kept, the row
 * and a number: 12 bytes. When all rows are there each becomes codes of one byte
 * a row: a number's bin, or a level. Bins have about as many rows, but one value
 * that is as frequent is a bin of its own; so is each of few values.
 */
#include "learn/candidate.h"

#include <math.h>

#include "model/appraise.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/fmgrprotos.h"

#define MOST_CANDIDATES 5000
#define MOST_LEVELS 10000		/* that are told apart; of more each is next to unique */
#define MOST_CODED_LEVELS 250
#define LARGEST 1e300

typedef struct Known
{
	Label		key;
	uint32		hash;
	char		status;
	int32		number;
} Known;

#define SH_PREFIX names
#define SH_ELEMENT_TYPE Known
#define SH_KEY key
#include "label_table.h"

struct Gathering
{
	MemoryContext context;
	Scorecard  *measures;
	Contribution *contributions;
	int64		n;
	int64		capacity;
	bool	   *outcomes;
	int64	   *hashes;
	int			n_candidates;
	Candidate **candidates;
	Candidate  *own;
	names_hash *names;
	StringInfoData key;
};

#define ST_SORT sort_numbers
#define ST_ELEMENT_TYPE double
#define ST_COMPARE(a, b) ((*(a) > *(b)) - (*(a) < *(b)))
#define ST_SCOPE static
#define ST_DEFINE
#define ST_CHECK_FOR_INTERRUPTS
#include "lib/sort_template.h"

/* ---------- gathering ---------- */

static Candidate *
new_candidate(Gathering *gathering, CandidateKind kind)
{
	Candidate  *candidate = MemoryContextAllocZero(gathering->context, sizeof(Candidate));

	candidate->kind = kind;
	gathering->candidates[gathering->n_candidates++] = candidate;
	return candidate;
}

Gathering *
gathering_create(MemoryContext context, Scorecard *measures)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	Gathering  *gathering = palloc0(sizeof(Gathering));

	gathering->context = context;
	gathering->measures = measures;
	gathering->contributions = palloc(Max(nterms(measures), 1) * sizeof(Contribution));
	gathering->candidates = palloc((MOST_CANDIDATES + nterms(measures) + 1) * sizeof(Candidate *));
	gathering->names = names_create(context, 256, NULL);
	initStringInfo(&gathering->key);
	for (int i = 0; i < measures->nweights; i++)
		new_candidate(gathering, CANDIDATE_MEASURE)->measure = i;
	MemoryContextSwitchTo(old);
	return gathering;
}

static void
put(Gathering *gathering, Candidate *candidate, double value)
{
	int32		row = (int32) gathering->n;

	if (candidate->n > 0 && candidate->rows[candidate->n - 1] == row)
		return;					/* an element that is there twice */
	if (candidate->n == candidate->capacity)
	{
		candidate->capacity = Max(2 * candidate->capacity, 64);
		candidate->rows = candidate->rows ? repalloc_huge(candidate->rows, candidate->capacity * sizeof(int32))
			: MemoryContextAllocHuge(gathering->context, candidate->capacity * sizeof(int32));
		candidate->values = candidate->values ? repalloc_huge(candidate->values, candidate->capacity * sizeof(double))
			: MemoryContextAllocHuge(gathering->context, candidate->capacity * sizeof(double));
	}
	candidate->rows[candidate->n] = row;
	candidate->values[candidate->n++] = value;
}

/* The number that the key in the buffer has, or will have. */
static int32
number_of_key(Gathering *gathering, int32 next, bool *found)
{
	Label		key = {gathering->key.data, gathering->key.len};
	Known	   *name = names_lookup(gathering->names, key);

	*found = name != NULL;
	if (name == NULL)
	{
		char	   *copy = MemoryContextAlloc(gathering->context, key.length + 1);

		memcpy(copy, key.text, key.length + 1);
		name = names_insert(gathering->names, (Label) {copy, key.length}, found);
		name->number = next;
		*found = false;
	}
	return name->number;
}

static char *
json_of(MemoryContext context, const JsonbValue *value)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	StringInfoData json;

	initStringInfo(&json);
	if (value->type == jbvString)
		escape_json(&json, pnstrdup(value->val.string.val, value->val.string.len));
	else if (value->type == jbvBool)
		appendStringInfoString(&json, value->val.boolean ? "true" : "false");
	else
		appendStringInfoString(&json, DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric))));
	MemoryContextSwitchTo(old);
	return json.data;
}

/* Append what tells scalar values apart. */
static void
append_scalar(StringInfo key, const JsonbValue *value)
{
	if (value->type == jbvString)
	{
		appendStringInfoChar(key, 's');
		appendBinaryStringInfo(key, value->val.string.val, value->val.string.len);
	}
	else if (value->type == jbvBool)
		appendStringInfoString(key, value->val.boolean ? "t" : "f");
	else
		appendStringInfoString(key, DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric))));
}

/* The candidate of an attribute, of a kind; NULL if there are too many. */
static Candidate *
candidate_of(Gathering *gathering, CandidateKind kind, const JsonbValue *attribute, const JsonbValue *element)
{
	bool		found;
	int32		number;
	Candidate  *candidate;

	resetStringInfo(&gathering->key);
	appendStringInfoChar(&gathering->key, 'a' + kind);
	appendBinaryStringInfo(&gathering->key, attribute->val.string.val, attribute->val.string.len);
	if (element)
	{
		appendStringInfoChar(&gathering->key, '\0');
		append_scalar(&gathering->key, element);
	}
	if (gathering->n_candidates >= MOST_CANDIDATES)
	{
		Known	   *name = names_lookup(gathering->names, (Label) {gathering->key.data, gathering->key.len});

		return name ? gathering->candidates[name->number] : NULL;
	}
	number = number_of_key(gathering, gathering->n_candidates, &found);
	if (found)
		return gathering->candidates[number];
	candidate = new_candidate(gathering, kind);
	candidate->attribute = MemoryContextStrdup(gathering->context, pnstrdup(attribute->val.string.val, attribute->val.string.len));
	if (element)
		candidate->element = json_of(gathering->context, element);
	return candidate;
}

static void
put_level(Gathering *gathering, Candidate *candidate, int number, const JsonbValue *value)
{
	bool		found;
	int32		level;

	if (candidate->too_many)
		return;
	resetStringInfo(&gathering->key);
	appendStringInfoChar(&gathering->key, 'v');
	appendBinaryStringInfo(&gathering->key, (char *) &number, sizeof(number));
	append_scalar(&gathering->key, value);
	level = number_of_key(gathering, candidate->n_levels, &found);
	if (!found)
	{
		if (candidate->n_levels == MOST_LEVELS)
		{
			candidate->too_many = true;
			return;
		}
		if (candidate->n_levels == candidate->levels_capacity)
		{
			candidate->levels_capacity = Max(2 * candidate->levels_capacity, 8);
			candidate->levels = candidate->levels ? repalloc(candidate->levels, candidate->levels_capacity * sizeof(char *))
				: MemoryContextAlloc(gathering->context, candidate->levels_capacity * sizeof(char *));
			candidate->level_rows = candidate->level_rows ? repalloc(candidate->level_rows, candidate->levels_capacity * sizeof(int64))
				: MemoryContextAlloc(gathering->context, candidate->levels_capacity * sizeof(int64));
		}
		candidate->levels[candidate->n_levels] = json_of(gathering->context, value);
		candidate->level_rows[candidate->n_levels++] = 0;
	}
	candidate->level_rows[level]++;
	put(gathering, candidate, level);
}

static bool
is_scalar(const JsonbValue *value)
{
	return value->type == jbvString || value->type == jbvBool || value->type == jbvNumeric;
}

static void
put_attribute(Gathering *gathering, const JsonbValue *attribute, JsonbValue *value)
{
	Candidate  *candidate;

	if (value->type == jbvNumeric)
	{
		double		number = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(value->val.numeric)));

		candidate = candidate_of(gathering, CANDIDATE_NUMBER, attribute, NULL);
		if (candidate && fabs(number) < LARGEST)
			put(gathering, candidate, number);
	}
	else if (is_scalar(value))
	{
		candidate = candidate_of(gathering, CANDIDATE_LEVELS, attribute, NULL);
		if (candidate)
		{
			Known	   *name = names_lookup(gathering->names, (Label) {gathering->key.data, gathering->key.len});

			put_level(gathering, candidate, name->number, value);
		}
	}
	else if (value->type == jbvBinary && JsonContainerIsArray(value->val.binary.data))
	{
		JsonbIterator *it = JsonbIteratorInit(value->val.binary.data);
		JsonbIteratorToken token;
		JsonbValue	element;

		while ((token = JsonbIteratorNext(&it, &element, true)) != WJB_DONE)
		{
			CHECK_FOR_INTERRUPTS();
			if (token != WJB_ELEM || !is_scalar(&element))
				continue;
			candidate = candidate_of(gathering, CANDIDATE_ELEMENT, attribute, &element);
			if (candidate)
				put(gathering, candidate, 1);
		}
	}
}

static void
reserve_row(Gathering *gathering)
{
	if (gathering->n < gathering->capacity)
		return;
	if (gathering->n >= PG_INT32_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many rows to learn from"),
				 errdetail("There are more than %d.", PG_INT32_MAX),
				 errhint("Take fewer cutoffs, or a lead_filter.")));
	gathering->capacity = Max(2 * gathering->capacity, 1024);
	gathering->outcomes = gathering->outcomes ? repalloc_huge(gathering->outcomes, gathering->capacity * sizeof(bool))
		: MemoryContextAllocHuge(gathering->context, gathering->capacity * sizeof(bool));
	gathering->hashes = gathering->hashes ? repalloc_huge(gathering->hashes, gathering->capacity * sizeof(int64))
		: MemoryContextAllocHuge(gathering->context, gathering->capacity * sizeof(int64));
}

/* Add a row: what was known of a lead before the hour of the cutoff, and what came. */
void
gathering_add(Gathering *gathering, const struct varlena *timeline, Jsonb *profile, int32 cutoff, bool outcome, int64 hash, bool has_own, double own)
{
	reserve_row(gathering);
	if (gathering->measures->nweights > 0)
	{
		Appraisal	appraisal;

		appraise_lead(gathering->measures, timeline, NULL, cutoff, cutoff - 1, &appraisal, gathering->contributions);
		for (int i = 0; i < gathering->measures->nweights; i++)
			if (gathering->contributions[i].active)
				put(gathering, gathering->candidates[i], gathering->contributions[i].measured);
	}
	if (profile && JB_ROOT_IS_OBJECT(profile))
	{
		JsonbIterator *it = JsonbIteratorInit(&profile->root);
		JsonbValue	key;
		JsonbValue	value;

		(void) JsonbIteratorNext(&it, &key, true);
		while (JsonbIteratorNext(&it, &key, true) == WJB_KEY)
		{
			CHECK_FOR_INTERRUPTS();
			(void) JsonbIteratorNext(&it, &value, true);
			put_attribute(gathering, &key, &value);
		}
	}
	if (has_own)
	{
		if (gathering->own == NULL)
			gathering->own = new_candidate(gathering, CANDIDATE_OWN);
		put(gathering, gathering->own, own);
	}
	gathering->outcomes[gathering->n] = outcome;
	gathering->hashes[gathering->n++] = hash;
}

/* ---------- coding ---------- */

/* The shortest decimal number above one and not above another. */
static double
nice_between(double low, double high)
{
	for (int digits = 1; digits <= 17; digits++)
	{
		double		middle = low + (high - low) / 2;
		char		text[64];
		double		number;

		for (int i = 0; i < 2; i++)
		{
			snprintf(text, sizeof(text), "%.*g", digits, i == 0 ? high : middle);
			number = strtod(text, NULL);
			if (number > low && number <= high)
				return number == 0 ? 0 : number;
		}
	}
	return high;
}

/*
 * Cut sorted numbers into bins: the index that each begins at. Bins are finer
 * towards both ends, where numbers lie far apart.
 */
static int
cut(const double *sorted, int64 n, int most, int64 *begins)
{
	int64		distinct = 0;
	int			bins = 0;
	int			next = 1;

	for (int64 i = 0; i < n && distinct <= most; i++)
		distinct += i == 0 || sorted[i] != sorted[i - 1];
	for (int64 i = 0; i < n; i++)
	{
		double		wanted = n * (1 - cos(M_PI * next / most)) / 2;

		if (i % 1024 == 0)
			CHECK_FOR_INTERRUPTS();
		if (i > 0 && sorted[i] == sorted[i - 1])
			continue;
		if (i > 0 && distinct > most && i < wanted)
			continue;
		begins[bins++] = i;
		while (next < most && n * (1 - cos(M_PI * next / most)) / 2 <= i)
			next++;
		if (bins == most)
			break;
	}
	return bins;
}

static void
code_numbers(Gathering *gathering, Candidate *candidate, int most)
{
	int64		n = candidate->n;
	double	   *sorted = MemoryContextAllocHuge(CurrentMemoryContext, Max(n, 1) * sizeof(double));
	int64		begins[MOST_CODED_LEVELS];
	int			bins;

	memcpy(sorted, candidate->values, n * sizeof(double));
	sort_numbers(sorted, n);
	bins = cut(sorted, n, most, begins);
	candidate->n_used = bins;
	candidate->absent = n < gathering->n ? bins : -1;
	candidate->n_codes = bins + (n < gathering->n);
	candidate->cuts = palloc0((bins + 1) * sizeof(double));
	candidate->means = palloc0((bins + 1) * sizeof(double));
	for (int b = 0; b < bins; b++)
	{
		int64		end = b + 1 < bins ? begins[b + 1] : n;

		for (int64 i = begins[b]; i < end; i++)
			candidate->means[b] += sorted[i] / (end - begins[b]);
		candidate->cuts[b] = b == 0 ? sorted[0] : nice_between(sorted[begins[b] - 1], sorted[begins[b]]);
	}
	memset(candidate->codes, bins, gathering->n);
	for (int64 i = 0; i < n; i++)
	{
		int			low = 0;
		int			high = bins - 1;

		if (i % 1024 == 0)
			CHECK_FOR_INTERRUPTS();
		while (low < high)
		{
			int			middle = (low + high + 1) / 2;

			if (candidate->values[i] >= candidate->cuts[middle])
				low = middle;
			else
				high = middle - 1;
		}
		candidate->codes[candidate->rows[i]] = low;
	}
	pfree(sorted);
}

static const int64 *sizes_of_levels;	/* for compare_levels(), during one qsort() */

static int
compare_levels(const void *a, const void *b)
{
	int			i = *(const int *) a;
	int			j = *(const int *) b;

	if (sizes_of_levels[i] != sizes_of_levels[j])
		return sizes_of_levels[i] > sizes_of_levels[j] ? -1 : 1;
	return i - j;
}

static void
code_levels(Gathering *gathering, Candidate *candidate)
{
	int		   *order = palloc(Max(candidate->n_levels, 1) * sizeof(int));
	uint8	   *code_of = palloc(Max(candidate->n_levels, 1));
	int			used = 0;
	int			other;

	for (int i = 0; i < candidate->n_levels; i++)
		order[i] = i;
	sizes_of_levels = candidate->level_rows;
	qsort(order, candidate->n_levels, sizeof(int), compare_levels);
	while (used < candidate->n_levels && used < MOST_CODED_LEVELS && candidate->level_rows[order[used]] >= FEWEST_LEADS)
		used++;
	other = used;
	for (int i = 0; i < candidate->n_levels; i++)
		code_of[order[i]] = Min(i, other);
	candidate->n_used = used;
	candidate->level_of = order;
	candidate->absent = candidate->n < gathering->n && !candidate->too_many ? used + 1 : -1;
	candidate->n_codes = used + 2;
	memset(candidate->codes, used + 1, gathering->n);
	for (int64 i = 0; i < candidate->n; i++)
		candidate->codes[candidate->rows[i]] = code_of[(int) candidate->values[i]];
	if (candidate->too_many || (used == 0 && candidate->n_levels * 2 > candidate->n))
		candidate->left_out = "a value a lead";
	else if (used < 2 && candidate->absent < 0 && candidate->n_levels > used)
		candidate->left_out = "no value with enough leads";
	pfree(code_of);
}

/* An element is there or not. */
static void
code_element(Gathering *gathering, Candidate *candidate)
{
	candidate->n_codes = 2;
	candidate->n_used = 2;
	candidate->absent = -1;
	memset(candidate->codes, 0, gathering->n);
	for (int64 i = 0; i < candidate->n; i++)
		candidate->codes[candidate->rows[i]] = 1;
	if (candidate->n < FEWEST_LEADS)
		candidate->left_out = "too few leads";
}

static void
count_codes(Gathering *gathering, Candidate *candidate)
{
	candidate->counts = palloc0((candidate->n_codes + 1) * sizeof(int64));
	for (int64 i = 0; i < gathering->n; i++)
		candidate->counts[candidate->codes[i]]++;
}

/* Code all candidates; the rows and numbers that they kept are given back. */
int
gathering_finish(Gathering *gathering, Candidate ***candidates)
{
	/* lines are as straight as bins are fine; among few candidates that costs little */
	int			bins = Max(MOST_BINS, Min(FINEST_BINS, FINEST_BINS * MOST_BINS / Max(gathering->n_candidates, 1)));

	for (int i = 0; i < gathering->n_candidates; i++)
	{
		Candidate  *candidate = gathering->candidates[i];

		CHECK_FOR_INTERRUPTS();
		candidate->codes = MemoryContextAllocHuge(CurrentMemoryContext, Max(gathering->n, 1));
		if (candidate->kind == CANDIDATE_ELEMENT)
			code_element(gathering, candidate);
		else if (candidate->kind == CANDIDATE_LEVELS)
			code_levels(gathering, candidate);
		else
			code_numbers(gathering, candidate, candidate->kind == CANDIDATE_OWN ? 200 : bins);
		count_codes(gathering, candidate);
		/* their rows and numbers are codes now */
		if (candidate->rows)
		{
			pfree(candidate->rows);
			pfree(candidate->values);
			candidate->rows = NULL;
			candidate->values = NULL;
		}
	}
	*candidates = gathering->candidates;
	return gathering->n_candidates;
}

int64
gathering_rows(const Gathering *gathering, const bool **outcomes, const int64 **hashes)
{
	*outcomes = gathering->outcomes;
	*hashes = gathering->hashes;
	return gathering->n;
}

const Weight *
gathering_weight(const Gathering *gathering, int measure)
{
	return &gathering->measures->weights[measure];
}
