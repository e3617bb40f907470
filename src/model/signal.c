/*
 * signal.c: finds the signals that an event counts for.
 *
 * signals() passes the configuration as a document:
 *
 *     {"compacted_before": "2026-01-01T00:00:00Z",
 *      "signals": [{"signal_id": 1, "signal": "visit", "kind": "visit",
 *                   "match": {...}, "condition": "$.price > 100"}, ...]}
 *
 * compacted_before is present only after a compact(). Hours before it are kept
 * by the day: all counting by this document treats them alike. archived_before is
 * present only after an archive(): events before it match nothing. While an archive() is
 * at work, archiving_before has its instant, for writers: see append_base() in delta.c.
 */
#include "model/signal.h"

#include "common/hashfn.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(check_condition);

/* A kind of event and its signals: an entry of an open-addressing hash table. */
typedef struct KindEntry
{
	Label		name;
	uint32		hash;
	char		status;
	Signal	   *signals;		/* the chain */
} KindEntry;

#define SH_PREFIX kind
#define SH_ELEMENT_TYPE KindEntry
#define SH_KEY name
#include "label_table.h"

/* ---------- properties ---------- */

/* Constructs that a condition must not contain. */
typedef struct ConditionFaults
{
	bool		reads_time;
	bool		has_variable;
} ConditionFaults;

static void
find_condition_faults(JsonPathItem *item, ConditionFaults *faults)
{
	JsonPathItem part;
	JsonPathItem to;

	check_stack_depth();
	faults->reads_time |= JSONPATH_READS_TIME(item->type);
	faults->has_variable |= item->type == jpiVariable;
	switch (item->type)
	{
		case jpiAnd:
		case jpiOr:
		case jpiEqual:
		case jpiNotEqual:
		case jpiLess:
		case jpiGreater:
		case jpiLessOrEqual:
		case jpiGreaterOrEqual:
		case jpiAdd:
		case jpiSub:
		case jpiMul:
		case jpiDiv:
		case jpiMod:
		case jpiStartsWith:
			jspGetLeftArg(item, &part);
			find_condition_faults(&part, faults);
			jspGetRightArg(item, &part);
			find_condition_faults(&part, faults);
			break;
		case jpiNot:
		case jpiIsUnknown:
		case jpiExists:
		case jpiFilter:
		case jpiPlus:
		case jpiMinus:
			jspGetArg(item, &part);
			find_condition_faults(&part, faults);
			break;
		case jpiLikeRegex:
			jspInitByBuffer(&part, item->base, item->content.like_regex.expr);
			find_condition_faults(&part, faults);
			break;
		case jpiIndexArray:
			for (int i = 0; i < item->content.array.nelems; i++)
			{
				bool		range = jspGetArraySubscript(item, &part, &to, i);

				find_condition_faults(&part, faults);
				if (range)
					find_condition_faults(&to, faults);
			}
			break;
		default:
			break;
	}
	if (jspGetNext(item, &part))
		find_condition_faults(&part, faults);
}

/* Why a jsonpath cannot be a condition, or NULL. */
static const char *
condition_fault(JsonPath *condition, const char **hint)
{
	JsonPathItem item;
	ConditionFaults faults = {0};

	jspInit(&item, condition);
	find_condition_faults(&item, &faults);
	if (faults.has_variable)
	{
		*hint = "Write the value itself in its place.";
		return "It has a variable, which nothing gives a value.";
	}
	if (faults.reads_time)
	{
		*hint = "Compare text in ISO form instead, such as $.day >= \"2026-11-01\".";
		return "It reads dates or times, whose meaning depends on the session's time zone.";
	}
	while (jspGetNext(&item, &item))
		;
	if (item.type == jpiFilter)
	{
		*hint = "Write exists(...) around it, as in exists($.items[*] ? (@.price > 100)).";
		return "It selects values, where a condition must be true or false.";
	}
	return NULL;
}

/* The check of the column condition: true, or an error. */
Datum
check_condition(PG_FUNCTION_ARGS)
{
	const char *hint;
	const char *fault = condition_fault((JsonPath *) PG_DETOAST_DATUM(PG_GETARG_DATUM(0)), &hint);

	if (fault)
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("signal condition is not a stable predicate"),
				 errdetail("The condition is %s. %s",
						   DatumGetCString(DirectFunctionCall1(jsonpath_out, PG_GETARG_DATUM(0))), fault),
				 errhint("%s", hint)));
	PG_RETURN_BOOL(true);
}

/*
 * Most conditions compare properties with constants. Such a condition, and a match whose members are
 * all scalars, is compiled to tests, which cost a look-up of the property each. A test holds exactly
 * if jsonpath says true (JsonPathBool in jsonpath_exec.c): in a conjunction of comparisons it does not
 * matter which of the others are false and which unknown.
 */
static PropertyTest *
add_test(PropertyMatcher *matcher, Label name, JsonPathItemType comparison, bool unwraps)
{
	PropertyTest *test;

	matcher->tests = matcher->tests ? repalloc(matcher->tests, (matcher->ntests + 1) * sizeof(PropertyTest))
		: palloc(sizeof(PropertyTest));
	test = &matcher->tests[matcher->ntests++];
	*test = (PropertyTest) {name, comparison, {0}, unwraps};
	return test;
}

/* Add a test for each member of match; false if a member is no scalar. */
static bool
test_match(PropertyMatcher *matcher)
{
	JsonbIterator *it = JsonbIteratorInit(&matcher->match->root);
	JsonbValue	v;
	JsonbIteratorToken token;
	Label		name = {0};

	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			name = (Label) {v.val.string.val, v.val.string.len};
		else if (token == WJB_VALUE && v.type == jbvBinary)
			return false;
		else if (token == WJB_VALUE)
			add_test(matcher, name, jpiEqual, false)->constant = v;
	}
	return true;
}

/* Read a constant of a jsonpath; false if the item is something else. */
static bool
read_constant(JsonPathItem *item, JsonbValue *constant)
{
	if (jspHasNext(item))
		return false;
	switch (item->type)
	{
		case jpiNull:
			constant->type = jbvNull;
			return true;
		case jpiBool:
			constant->type = jbvBool;
			constant->val.boolean = jspGetBool(item);
			return true;
		case jpiNumeric:
			constant->type = jbvNumeric;
			constant->val.numeric = jspGetNumeric(item);
			return true;
		case jpiString:
			constant->type = jbvString;
			constant->val.string.val = jspGetString(item, &constant->val.string.len);
			return true;
		default:
			return false;
	}
}

/* Whether jsonpath compares strings by their bytes: for other than equality, it converts them to UTF-8. */
static bool
compares_bytes(JsonPathItemType comparison)
{
	return comparison == jpiEqual || comparison == jpiStartsWith ||
		GetDatabaseEncoding() == PG_UTF8 || GetDatabaseEncoding() == PG_SQL_ASCII;
}

/* Add a test for each comparison $.property with a constant; false if the condition says anything else. */
static bool
test_condition(PropertyMatcher *matcher, JsonPathItem *item)
{
	JsonPathItem left;
	JsonPathItem key;
	JsonPathItem right;
	JsonbValue	constant;
	Label		name;

	check_stack_depth();
	if (jspHasNext(item))
		return false;
	switch (item->type)
	{
		case jpiAnd:
			jspGetLeftArg(item, &left);
			jspGetRightArg(item, &right);
			return test_condition(matcher, &left) && test_condition(matcher, &right);
		case jpiEqual:
		case jpiNotEqual:
		case jpiLess:
		case jpiGreater:
		case jpiLessOrEqual:
		case jpiGreaterOrEqual:
		case jpiStartsWith:
			jspGetLeftArg(item, &left);
			jspGetRightArg(item, &right);
			if (left.type != jpiRoot || !jspGetNext(&left, &key) || key.type != jpiKey || jspHasNext(&key) ||
				!read_constant(&right, &constant) || (constant.type == jbvString && !compares_bytes(item->type)))
				return false;
			name.text = jspGetString(&key, &name.length);
			add_test(matcher, name, item->type, true)->constant = constant;
			return true;
		default:
			return false;
	}
}

/* Compile the members match and condition of an object. */
void
property_matcher_compile(PropertyMatcher *matcher, JsonbContainer *object, const DocPath *path)
{
	char	   *condition = doc_string(object, path, "condition", false);

	memset(matcher, 0, sizeof(PropertyMatcher));
	matcher->match = doc_object(object, path, "match");
	if (matcher->match && !(matcher->match_is_tested = test_match(matcher)))
		matcher->ntests = 0;
	if (condition)
	{
		DocPath		member = {path, "condition", 0};
		JsonPathItem item;
		const char *hint;
		const char *fault;
		int			ntests = matcher->ntests;

		matcher->condition = doc_input(path, "condition", jsonpath_in, condition, -1,
									   "Write a jsonpath predicate such as $.price > 100.");
		fault = condition_fault(matcher->condition, &hint);
		if (fault)
			doc_fail(&member, fault, hint);
		jspInit(&item, matcher->condition);
		matcher->condition_is_tested = (matcher->condition->header & JSONPATH_LAX) != 0 && test_condition(matcher, &item);
		if (!matcher->condition_is_tested)
			matcher->ntests = ntests;
	}
}

/* -1, 0 or 1, as jsonpath orders two scalars of one type. */
static int
compare_scalars(const JsonbValue *a, const JsonbValue *b)
{
	switch (a->type)
	{
		case jbvString:
			return label_compare((Label) {a->val.string.val, a->val.string.len}, (Label) {b->val.string.val, b->val.string.len});
		case jbvNumeric:
			return DatumGetInt32(DirectFunctionCall2(numeric_cmp, NumericGetDatum(a->val.numeric), NumericGetDatum(b->val.numeric)));
		case jbvBool:
			return (int) a->val.boolean - (int) b->val.boolean;
		default:
			return 0;			/* null */
	}
}

static bool
starts_with(const JsonbValue *whole, const JsonbValue *beginning)
{
	return whole->type == jbvString && whole->val.string.len >= beginning->val.string.len &&
		memcmp(whole->val.string.val, beginning->val.string.val, beginning->val.string.len) == 0;
}

/* Whether a value compares so with the test's constant: compareItems() and executeStartsWith() of jsonpath. */
static bool
value_passes(const PropertyTest *test, const JsonbValue *value)
{
	int			order;

	if (test->comparison == jpiStartsWith)
		return starts_with(value, &test->constant);
	if (value->type != test->constant.type)
		return test->comparison == jpiNotEqual && (value->type == jbvNull || test->constant.type == jbvNull);
	if (test->comparison == jpiEqual && value->type == jbvString)
		return value->val.string.len == test->constant.val.string.len && starts_with(value, &test->constant);
	order = compare_scalars(value, &test->constant);
	switch (test->comparison)
	{
		case jpiEqual:
			return order == 0;
		case jpiNotEqual:
			return order != 0;
		case jpiLess:
			return order < 0;
		case jpiGreater:
			return order > 0;
		case jpiLessOrEqual:
			return order <= 0;
		default:
			return order >= 0;
	}
}

/* A property that has been looked up: several signals of a kind often ask for the same one. */
typedef struct PropertyLookup
{
	Label		name;			/* NULL: none yet */
	bool		is_there;
	JsonbValue	value;
} PropertyLookup;

static void
look_up(PropertyLookup *lookup, JsonbContainer *properties, Label name)
{
	if (lookup->name.text && label_equal(lookup->name, name))
		return;
	lookup->name = name;
	lookup->is_there = getKeyJsonValueFromContainer(properties, name.text, name.length, &lookup->value) != NULL;
}

static bool
test_holds(const PropertyTest *test, JsonbContainer *properties, PropertyLookup *lookup)
{
	JsonbContainer *array;

	look_up(lookup, properties, test->name);
	if (!lookup->is_there)
		return false;
	if (lookup->value.type != jbvBinary || !test->unwraps || !JsonContainerIsArray(lookup->value.val.binary.data))
		return value_passes(test, &lookup->value);
	array = lookup->value.val.binary.data;
	for (uint32 i = 0; i < JsonContainerSize(array); i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (value_passes(test, getIthJsonbValueFromContainer(array, i)))
			return true;
	}
	return false;
}

/*
 * Like properties @@ condition; an error or NULL counts as no match. jsonpath
 * itself suppresses most errors, except for a property nested too deeply for
 * the stack and text that is too complex for a regular expression. Only memory
 * is held where these errors arise, so they can be caught without a
 * subtransaction.
 */
static bool
condition_holds(JsonPath *condition, Jsonb *properties)
{
	MemoryContext context = CurrentMemoryContext;
	LOCAL_FCINFO(call, 2);
	volatile bool result = false;

	InitFunctionCallInfoData(*call, NULL, 2, InvalidOid, NULL, NULL);
	call->args[0].value = JsonbPGetDatum(properties);
	call->args[0].isnull = false;
	call->args[1].value = PointerGetDatum(condition);
	call->args[1].isnull = false;
	PG_TRY();
	{
		result = DatumGetBool(jsonb_path_match_opr(call)) && !call->isnull;
	}
	PG_CATCH();
	{
		int			code = geterrcode();

		if (ERRCODE_TO_CATEGORY(code) != ERRCODE_DATA_EXCEPTION && ERRCODE_TO_CATEGORY(code) != ERRCODE_PROGRAM_LIMIT_EXCEEDED)
			PG_RE_THROW();
		MemoryContextSwitchTo(context);
		FlushErrorState();
	}
	PG_END_TRY();
	return result;
}

/* Whether properties match; "lookup" is kept for the next matcher of the same properties. */
static bool
matches(const PropertyMatcher *matcher, Jsonb *properties, PropertyLookup *lookup)
{
	if (!JB_ROOT_IS_OBJECT(properties))
		return false;

	for (int i = 0; i < matcher->ntests; i++)
		if (!test_holds(&matcher->tests[i], &properties->root, lookup))
			return false;
	if (matcher->match && !matcher->match_is_tested)
	{
		JsonbIterator *have = JsonbIteratorInit(&properties->root);
		JsonbIterator *want = JsonbIteratorInit(&matcher->match->root);

		if (!JsonbDeepContains(&have, &want))
			return false;
	}
	return matcher->condition == NULL || matcher->condition_is_tested || condition_holds(matcher->condition, properties);
}

bool
property_matcher_matches(const PropertyMatcher *matcher, Jsonb *properties)
{
	PropertyLookup lookup = {0};

	return matches(matcher, properties, &lookup);
}

/* Whether a matcher accepts unknown properties, which are treated as {}. */
bool
property_matcher_matches_nothing(const PropertyMatcher *matcher)
{
	return property_matcher_matches(matcher, DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum("{}"))));
}

/* A profile as it is matched: without its null attributes, which come from columns that are NULL. */
Jsonb *
known_attributes(Jsonb *profile)
{
	JsonbIterator *it;
	JsonbBuilder json = {0};
	JsonbValue	key;
	JsonbValue	value;
	uint32		n = JB_ROOT_COUNT(profile);
	uint32		first = 0;

	if (!JB_ROOT_IS_OBJECT(profile))
		return profile;
	while (first < n && !JBE_ISNULL(profile->root.children[n + first]))
		first++;
	if (first == n)
		return profile;

	it = JsonbIteratorInit(&profile->root);
	push_jsonb(&json, WJB_BEGIN_OBJECT, NULL);
	(void) JsonbIteratorNext(&it, &key, true);
	while (JsonbIteratorNext(&it, &key, true) == WJB_KEY)
	{
		(void) JsonbIteratorNext(&it, &value, true);
		if (value.type == jbvNull)
			continue;
		push_jsonb(&json, WJB_KEY, &key);
		push_jsonb(&json, WJB_VALUE, &value);
	}
	push_jsonb(&json, WJB_END_OBJECT, NULL);
	return JsonbValueToJsonb(json.result);
}

/* ---------- signals ---------- */

/*
 * A text such as 2026-01-01T00:00:00Z as an hour, or -1. Only one spelling is accepted, so
 * that its meaning cannot depend on a session's settings.
 */
static int32
read_hour(const char *text)
{
	if (strlen(text) == strlen("2026-01-01T00:00:00Z") &&
		strspn(text, "0123456789") == 4 && strspn(text + 5, "0123456789") == 2 &&
		strspn(text + 8, "0123456789") == 2 && text[4] == '-' && text[7] == '-' &&
		text[10] == 'T' && strspn(text + 11, "0123456789") == 2 && strcmp(text + 13, ":00:00Z") == 0)
	{
		int			year = atoi(text);
		int			month = atoi(text + 5);
		int			day = atoi(text + 8);

		if (year >= 1970 && month >= 1 && month <= MONTHS_PER_YEAR &&
			day >= 1 && day <= day_tab[isleap(year)][month - 1] && atoi(text + 11) < HOURS_A_DAY)
			return (date2j(year, month, day) - UNIX_EPOCH_JDATE) * HOURS_A_DAY + atoi(text + 11);
	}
	return -1;
}

/* The member compacted_before as an hour, 0 if it is absent. */
static int32
read_compacted_before(JsonbContainer *object, const DocPath *path, LocalDays *days)
{
	char	   *text = doc_string(object, path, "compacted_before", false);
	DocPath		member = {path, "compacted_before", 0};
	int32		hour;

	if (text == NULL)
		return 0;
	hour = read_hour(text);
	if (hour >= 0 && day_start_of_hour(days, hour) == hour)
		return hour;
	doc_fail(&member, psprintf("It is \"%s\".", excerpt(text, strlen(text), 100)),
			 days ? "Write the first hour of a day of the time zone, in UTC."
			 : "Write the beginning of a UTC day from 1970 on, such as \"2026-01-01T00:00:00Z\".");
}

/* The member archived_before or archiving_before as an hour, 0 if it is absent. */
static int32
read_archived_before(JsonbContainer *object, const DocPath *path, const char *name)
{
	char	   *text = doc_string(object, path, name, false);
	DocPath		member = {path, name, 0};
	int32		hour;

	if (text == NULL)
		return 0;
	hour = read_hour(text);
	if (hour < 0)
		doc_fail(&member, psprintf("It is \"%s\".", excerpt(text, strlen(text), 100)),
				 "Write an hour from 1970 on, in UTC, such as \"2026-01-01T00:00:00Z\".");
	return hour;
}

/* Compile a signals() document, in the current memory context. */
void *
signal_set_compile(Jsonb *document)
{
	static const char *const members[] = {"signals", "compacted_before", "time_zone", "archived_before", "archiving_before", NULL};
	static const char *const signal_members[] = {"signal_id", "signal", "kind", "match", "condition", NULL};
	DocPath		root = {NULL, "signals", 0};
	SignalSet  *set = palloc0(sizeof(SignalSet));
	DocArray	array;
	int32	   *ids;

	if (!JB_ROOT_IS_OBJECT(document))
		doc_fail(&root, "It is not an object.", "Pass (SELECT leadscore.signals()).");
	doc_check_members(&document->root, &root, members);
	set->days = doc_time_zone(&document->root, &root, "time_zone");
	set->compacted_before = read_compacted_before(&document->root, &root, set->days);
	set->archived_before = read_archived_before(&document->root, &root, "archived_before");
	set->archiving_before = read_archived_before(&document->root, &root, "archiving_before");
	doc_array(&document->root, &root, "signals", &array);

	set->matched = palloc(Max(array.n, 1) * sizeof(int32));
	set->kinds = kind_create(CurrentMemoryContext, Max(array.n, 8), NULL);
	set->nids = array.n;
	set->ids = ids = palloc(Max(array.n, 1) * sizeof(int32));
	for (int i = 0; i < array.n; i++)
	{
		DocPath		path;
		JsonbContainer *object = doc_element(&array, i, &path, signal_members);
		Signal	   *signal = palloc0(sizeof(Signal));
		char	   *kind = doc_string(object, &path, "kind", false);
		Signal	  **chain = &set->any_kind;

		if (!doc_integer(object, &path, "signal_id", 0, &signal->signal_id))
			doc_fail(&path, "It has no signal_id.", "Pass (SELECT leadscore.signals()).");
		ids[i] = signal->signal_id;
		property_matcher_compile(&signal->matcher, object, &path);
		signal->looks_inside = signal->matcher.match || signal->matcher.condition;
		signal->matches_nothing = property_matcher_matches_nothing(&signal->matcher);
		if (kind)
		{
			Label		name = {kind, strlen(kind)};
			bool		found;
			KindEntry  *entry = kind_insert(set->kinds, name, &found);

			if (!found)
				entry->signals = NULL;
			chain = &entry->signals;
		}
		signal->next = *chain;
		*chain = signal;
	}

	qsort(ids, array.n, sizeof(int32), int32_compare);
	for (int i = 1; i < array.n; i++)
		if (ids[i] == ids[i - 1])
			doc_fail(&array.path, psprintf("The signal_id %d stands there twice.", ids[i]),
					 "Give each signal a signal_id of its own.");
	return set;
}

/* Find the signals that an event matches, archived or not: see signal_set_match(). */
static int
match(const SignalSet *set, const Event *event)
{
	Label		name = {event->kind, event->kind_length};
	KindEntry  *entry = kind_lookup(set->kinds, name);
	const Signal *chains[2] = {entry ? entry->signals : NULL, set->any_kind};
	Jsonb	   *properties = NULL;
	PropertyLookup lookup;
	bool		fetched = false;
	int			n = 0;

	lookup.name.text = NULL;

	for (int i = 0; i < 2; i++)
	{
		for (const Signal *signal = chains[i]; signal; signal = signal->next)
		{
			if (signal->looks_inside)
			{
				CHECK_FOR_INTERRUPTS();
				if (!fetched)
					properties = event->fetch_properties(event->row);
				fetched = true;
				if (properties == NULL ? !signal->matches_nothing : !matches(&signal->matcher, properties, &lookup))
					continue;
			}
			set->matched[n++] = signal->signal_id;
		}
	}
	return n;
}

/* Find the signals that an event counts for: puts them into set->matched[] and returns their number. */
int
signal_set_match(const SignalSet *set, const Event *event)
{
	return event->hour < set->archived_before ? 0 : match(set, event);
}

uint64
signal_set_archived(const SignalSet *set, const Event *event)
{
	int			n = event->hour < set->archived_before ? match(set, event) : 0;
	uint64		hash;

	if (n == 0)
		return 0;
	hash = hash_bytes_extended((const unsigned char *) set->matched, n * sizeof(int32), event->value);
	return hash_combine64(hash, signal_set_hour(set, event->hour)) | 1;
}

/* Count an event, "sign" times, for every signal that it matches. The builder may move. */
TimelineBuilder *
signal_set_count(const SignalSet *set, const Event *event, int64 sign, TimelineBuilder *builder)
{
	int			n = signal_set_match(set, event);
	int32		hour = signal_set_hour(set, event->hour);

	for (int i = 0; i < n; i++)
		builder = timeline_builder_add(builder, set->matched[i], hour, sign, sign * event->value);
	return builder;
}
