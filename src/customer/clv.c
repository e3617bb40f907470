/*
 * clv.c: customer lifetime value: the aggregate fit_clv (timelines -> the
 * parameters of the models, as a document) and the function clv (the value of
 * a customer by such a document).
 *
 * Customers are collected in one pass. Identical customers are kept as one
 * entry with a count, and sorted before the fit, so that the fit depends
 * neither on the order of the rows nor on parallel workers.
 */
#include "customer/clv.h"

#include "learn/quality.h"
#include "model/document.h"
#include "model/duration.h"
#include "timeline/local_day.h"
#include "timeline/timeline.h"

#include <math.h>

#include "access/htup_details.h"
#include "access/xact.h"
#include "common/int.h"
#include "libpq/pqformat.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(fit_clv_transition);
PG_FUNCTION_INFO_V1(fit_clv_merge);
PG_FUNCTION_INFO_V1(fit_clv_serialize);
PG_FUNCTION_INFO_V1(fit_clv_deserialize);
PG_FUNCTION_INFO_V1(fit_clv_end_part);
PG_FUNCTION_INFO_V1(fit_clv_add_part);
PG_FUNCTION_INFO_V1(fit_clv_final);
PG_FUNCTION_INFO_V1(clv);

#define FEWEST_CUSTOMERS 50
/* Limits on the parameters of the models; fitted values lie far within them. */
#define SMALLEST_PARAMETER 1e-30
#define LARGEST_PARAMETER 1e30
#define MAX_HOURS 876600		/* of a unit or a horizon: 100 years */
#define MOST_QUIET 30			/* days without a purchase before until, */
#define QUIET_SHARE 0.5			/* or this share of the time before, if it is longer, that raise no warning */
#define MOST_BEHIND 180			/* days from a fit to a forecast that raise none */
#define EPOCH_DAYS (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE)
#define MAX_DAY (TIMELINE_MAX_HOUR / HOURS_A_DAY)
#define NO_DAY PG_INT32_MIN

/* ---------- the purchases of a customer ---------- */

/* An exact sum, like that of compacted hours; it saturates if it overflows. */
static inline int64
add_to_day(int64 sum, int64 more)
{
	int64		result;

	if (pg_add_s64_overflow(sum, more, &result))
		return more > 0 ? PG_INT64_MAX : PG_INT64_MIN;
	return result;
}

/* Ends a day: it is a purchase if there were occurrences. */
static inline void
close_day(Customer *customer, int32 day, int64 occurrences, int64 value, int32 today, int32 *first)
{
	if (occurrences <= 0)
		return;
	if (*first == NO_DAY)
	{
		*customer = (Customer) {.age = today - day, .customers = 1};
		*first = day;
		return;
	}
	customer->repeats++;
	customer->last = day - *first;
	customer->value += (double) value / MILLIONTHS;
}

/*
 * Read the purchases of a signal up to an hour: the days of a time zone with
 * occurrences, and the first of them. False if there is none.
 */
static bool
read_customer(const struct varlena *timeline, int32 signal_id, int32 hour, LocalDays *days, Customer *customer, int32 *first)
{
	TimelineReader reader;
	int32		today = day_of_hour(days, hour);

	*first = NO_DAY;
	timeline_read(&reader, timeline);
	while (timeline_next_signal(&reader))
	{
		bool		wanted = reader.signal_id == signal_id;
		int32		day = NO_DAY;
		int64		occurrences = 0;
		int64		value = 0;

		CHECK_FOR_INTERRUPTS();

		while (reader.left > 0)
		{
			int64		o;
			int64		v;
			int32		this_day;

			timeline_next_entry(&reader, &o, &v);
			if (!wanted)
				continue;
			if (reader.hour > hour)
				break;
			this_day = day_of_hour(days, reader.hour);
			if (this_day != day)
			{
				close_day(customer, day, occurrences, value, today, first);
				day = this_day;
				occurrences = 0;
				value = 0;
			}
			occurrences = add_to_day(occurrences, o);
			value = add_to_day(value, v);
		}
		if (wanted)
		{
			close_day(customer, day, occurrences, value, today, first);
			break;
		}
	}
	return *first != NO_DAY;
}

/* An interval argument in hours, rounded up: above zero, and at most 100 years. */
static int32
hours_argument(const Interval *interval, const char *name, const char *hint)
{
	const char *fault = duration_fault(interval, interval_seconds(interval) <= 366, &hint);

	if (fault || hours_of_interval(interval) > MAX_HOURS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s out of range", name),
				 errdetail("It is %s.", interval_words(interval)),
				 errhint("%s", hint)));
	return hours_of_interval(interval);
}

/* ---------- collecting customers ---------- */

typedef struct FitState
{
	MemoryContext context;
	int32		signal_id;
	int32		hour;			/* end of the period in which purchases count */
	int32		unit;			/* of time, in hours */
	char	   *time_zone;		/* time zone of the days; "": UTC */
	LocalDays  *days;			/* its local days; NULL: UTC days */
	uint32		n;
	uint32		capacity;
	Customer   *customers;
} FitState;

static FitState *
state_create(MemoryContext context, int32 signal_id, int32 hour, int32 unit, const char *time_zone, uint32 capacity)
{
	FitState   *state = MemoryContextAlloc(context, sizeof(FitState));
	MemoryContext old = MemoryContextSwitchTo(context);

	*state = (FitState) {context, signal_id, hour, unit, pstrdup(time_zone), NULL, 0, Max(capacity, 64), NULL};
	if (time_zone[0] != '\0')
		state->days = local_days(time_zone);
	MemoryContextSwitchTo(old);
	state->customers = MemoryContextAllocHuge(context, state->capacity * sizeof(Customer));
	return state;
}

static inline int
customer_compare(const Customer *l, const Customer *r)
{
	if (l->repeats != r->repeats)
		return l->repeats < r->repeats ? -1 : 1;
	if (l->last != r->last)
		return l->last < r->last ? -1 : 1;
	if (l->age != r->age)
		return l->age < r->age ? -1 : 1;
	return l->value < r->value ? -1 : l->value > r->value;
}

#define ST_SORT sort_customers
#define ST_ELEMENT_TYPE Customer
#define ST_COMPARE(a, b) customer_compare(a, b)
#define ST_SCOPE static
#define ST_DEFINE
#define ST_CHECK_FOR_INTERRUPTS
#include "lib/sort_template.h"

/* Sort the customers, and merge identical ones. */
static void
state_compact(FitState *state)
{
	uint32		n = 0;

	sort_customers(state->customers, state->n);
	for (uint32 i = 0; i < state->n; i++)
	{
		if (n > 0 && customer_compare(&state->customers[n - 1], &state->customers[i]) == 0)
			state->customers[n - 1].customers += state->customers[i].customers;
		else
			state->customers[n++] = state->customers[i];
	}
	state->n = n;
}

static void
state_add(FitState *state, const Customer *customer)
{
	if (state->n == state->capacity)
	{
		state_compact(state);
		if (state->n > state->capacity / 4 * 3)
		{
			state->capacity *= 2;
			state->customers = repalloc_huge(state->customers, state->capacity * sizeof(Customer));
		}
	}
	state->customers[state->n++] = *customer;
}

static void
check_alike(const FitState *state, int32 signal_id, int32 hour, int32 unit, const char *time_zone)
{
	if (state->signal_id != signal_id || state->hour != hour || state->unit != unit || strcmp(state->time_zone, time_zone) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("signal_id, until, unit and time_zone of fit_clv() differ between rows"),
				 errdetail("A fit is of one signal, until one instant."),
				 errhint("Pass constants.")));
}

/* (state, timeline, signal_id, until, unit [, time_zone]) -> state */
Datum
fit_clv_transition(PG_FUNCTION_ARGS)
{
	FitState   *state = PG_ARGISNULL(0) ? NULL : (FitState *) PG_GETARG_POINTER(0);
	MemoryContext context = aggregate_context(fcinfo);
	Customer	customer;
	int32		signal_id;
	int32		hour;
	int32		unit;
	int32		first;
	const char *time_zone = "";

	if (PG_ARGISNULL(2) || PG_ARGISNULL(3) || PG_ARGISNULL(4))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", PG_ARGISNULL(2) ? "signal_id" : PG_ARGISNULL(3) ? "until" : "unit"),
				 errdetail("It says which purchases are fitted."),
				 errhint("Pass the number of the signal in leadscore.signal, the end of what is known, and the unit of time.")));
	if (!hour_is_valid(PG_GETARG_TIMESTAMPTZ(3)))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_FIELD_OVERFLOW),
				 errmsg("until out of range"),
				 errdetail("It is %s.", timestamptz_to_str(PG_GETARG_TIMESTAMPTZ(3))),
				 errhint("Pass the instant up to which all purchases are known: now(), or one in the past.")));
	signal_id = PG_GETARG_INT32(2);
	hour = hour_of(PG_GETARG_TIMESTAMPTZ(3));
	unit = hours_argument(PG_GETARG_INTERVAL_P(4), "unit", "Pass an interval above zero, such as '7 days'.");
	if (PG_NARGS() > 5 && !PG_ARGISNULL(5))
		time_zone = text_to_cstring(PG_GETARG_TEXT_PP(5));
	if (state == NULL)
		state = state_create(context, signal_id, hour, unit, time_zone, 0);
	check_alike(state, signal_id, hour, unit, time_zone);
	if (!PG_ARGISNULL(1) && read_customer(PG_GETARG_TIMELINE(1), signal_id, hour, state->days, &customer, &first))
		state_add(state, &customer);
	PG_RETURN_POINTER(state);
}

/* (state, state) -> state */
Datum
fit_clv_merge(PG_FUNCTION_ARGS)
{
	MemoryContext context = aggregate_context(fcinfo);
	FitState   *state = PG_ARGISNULL(0) ? NULL : (FitState *) PG_GETARG_POINTER(0);
	FitState   *other = PG_ARGISNULL(1) ? NULL : (FitState *) PG_GETARG_POINTER(1);

	if (other == NULL)
	{
		if (state == NULL)
			PG_RETURN_NULL();
		PG_RETURN_POINTER(state);
	}
	if (state == NULL)
		state = state_create(context, other->signal_id, other->hour, other->unit, other->time_zone, other->n);
	check_alike(state, other->signal_id, other->hour, other->unit, other->time_zone);
	for (uint32 i = 0; i < other->n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		state_add(state, &other->customers[i]);
	}
	PG_RETURN_POINTER(state);
}

/* state -> bytea */
Datum
fit_clv_serialize(PG_FUNCTION_ARGS)
{
	FitState   *state = (FitState *) PG_GETARG_POINTER(0);
	StringInfoData buf;

	state_compact(state);
	pq_begintypsend(&buf);
	pq_sendint32(&buf, state->signal_id);
	pq_sendint32(&buf, state->hour);
	pq_sendint32(&buf, state->unit);
	pq_send_ascii_string(&buf, state->time_zone);
	for (uint32 i = 0; i < state->n; i++)
	{
		const Customer *c = &state->customers[i];

		pq_sendint32(&buf, c->repeats);
		pq_sendint32(&buf, c->last);
		pq_sendint32(&buf, c->age);
		pq_sendfloat8(&buf, c->value);
		pq_sendint64(&buf, c->customers);
	}
	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}

/* bytea -> state; trusts the bytes as little as timeline_recv does */
Datum
fit_clv_deserialize(PG_FUNCTION_ARGS)
{
	StringInfoData buf;
	FitState   *state;
	int32		head[3];
	const char *time_zone;

	(void) aggregate_context(fcinfo);
	message_of(&buf, PG_GETARG_BYTEA_PP(0));
	for (int i = 0; i < 3; i++)
		head[i] = (int32) pq_getmsgint(&buf, 4);
	time_zone = pq_getmsgrawstring(&buf);
	state = state_create(CurrentMemoryContext, head[0], head[1], head[2], time_zone, 0);
	while (buf.cursor < buf.len)
	{
		Customer	c;

		CHECK_FOR_INTERRUPTS();
		c.repeats = (int32) pq_getmsgint(&buf, 4);
		c.last = (int32) pq_getmsgint(&buf, 4);
		c.age = (int32) pq_getmsgint(&buf, 4);
		c.value = pq_getmsgfloat8(&buf);
		c.customers = pq_getmsgint64(&buf);
		if (state->unit <= 0 || c.repeats < 0 || c.last < c.repeats || c.age < c.last || !isfinite(c.value) || c.customers <= 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
					 errmsg("invalid bytes for the state of fit_clv()")));
		state_add(state, &c);
	}
	PG_RETURN_POINTER(state);
}

/* state -> bytea */
Datum
fit_clv_end_part(PG_FUNCTION_ARGS)
{
	return end_part(fcinfo, fit_clv_serialize);
}

/* (state, bytea) -> state */
Datum
fit_clv_add_part(PG_FUNCTION_ARGS)
{
	return add_part(fcinfo, fit_clv_deserialize, fit_clv_merge);
}

/* ---------- the document ---------- */

static void
push_key(JsonbBuilder *json, const char *key)
{
	JsonbValue	v = {.type = jbvString};

	v.val.string.val = unconstify(char *, key);
	v.val.string.len = strlen(key);
	push_jsonb(json, WJB_KEY, &v);
}

static void
push_string(JsonbBuilder *json, const char *key, const char *string)
{
	JsonbValue	v = {.type = jbvString};

	push_key(json, key);
	v.val.string.val = unconstify(char *, string);
	v.val.string.len = strlen(string);
	push_jsonb(json, WJB_VALUE, &v);
}

static void
push_numeric(JsonbBuilder *json, const char *key, Numeric number)
{
	JsonbValue	v = {.type = jbvNumeric};

	push_key(json, key);
	v.val.numeric = number;
	push_jsonb(json, WJB_VALUE, &v);
}

static void
push_number(JsonbBuilder *json, const char *key, double number)
{
	push_numeric(json, key, DatumGetNumeric(DirectFunctionCall1(float8_numeric, Float8GetDatum(number))));
}

static const char *const bg_nbd_names[] = {"r", "alpha", "a", "b", NULL};
static const char *const gamma_gamma_names[] = {"p", "q", "gamma", NULL};

/* The parameters with their names, for a message. */
static char *
parameters_text(const char *const *names, const Fit *fit)
{
	StringInfoData text;

	initStringInfo(&text);
	for (int i = 0; names[i]; i++)
		appendStringInfo(&text, "%s%s %.4g", i > 0 ? ", " : "", names[i], fit->parameters[i]);
	return text.data;
}

/* One model: its number of customers, log likelihood, parameters and standard errors. */
static void
push_fit(JsonbBuilder *json, const char *model, int64 customers, const char *const *names, const Fit *fit)
{
	push_key(json, model);
	push_jsonb(json, WJB_BEGIN_OBJECT, NULL);
	push_numeric(json, "customers", int64_to_numeric(customers));
	push_number(json, "log_likelihood", fit->log_likelihood);
	for (int i = 0; names[i]; i++)
		push_number(json, names[i], fit->parameters[i]);
	if (!fit->at_limit)
	{
		push_key(json, "standard_errors");
		push_jsonb(json, WJB_BEGIN_OBJECT, NULL);
		for (int i = 0; names[i]; i++)
			push_number(json, names[i], fit->standard_errors[i]);
		push_jsonb(json, WJB_END_OBJECT, NULL);
	}
	push_jsonb(json, WJB_END_OBJECT, NULL);
	if (fit->at_limit)
		ereport(NOTICE,
				(errmsg("%s has no standard errors", model),
				 errdetail("The likelihood has no maximum, and rises to a limit; the search ended at %s.", parameters_text(names, fit)),
				 errhint("Customers do not differ in something, or are too few to show it. The parameters are good for forecasts.")));
}

/* An hour in ISO 8601. */
static char *
hour_text(int32 hour)
{
	int			year;
	int			month;
	int			day;

	j2date(hour / HOURS_A_DAY + UNIX_EPOCH_JDATE, &year, &month, &day);
	return psprintf("%04d-%02d-%02dT%02d:00:00Z", year, month, day, hour % HOURS_A_DAY);
}

/* The hour that hour_text() wrote; false if it is another text. */
static bool
read_hour_text(const char *text, int32 *hour)
{
	int			year;
	int			month;
	int			day;
	int			hour_of_day;
	int			length = 0;

	if (text == NULL || sscanf(text, "%4d-%2d-%2dT%2d:00:00Z%n", &year, &month, &day, &hour_of_day, &length) != 4 || length != (int) strlen(text))
		return false;
	*hour = (date2j(year, month, day) - UNIX_EPOCH_JDATE) * HOURS_A_DAY + hour_of_day;
	return true;
}

/*
 * If "until" is long after the last purchase, perhaps the data end there, and customers only
 * seem lost.
 */
static void
warn_of_quiet(const FitState *state)
{
	int32		longest = 0;
	int32		quiet = PG_INT32_MAX;

	for (uint32 i = 0; i < state->n; i++)
	{
		longest = Max(longest, state->customers[i].age);
		quiet = Min(quiet, state->customers[i].age - state->customers[i].last);
	}
	if (quiet > MOST_QUIET && quiet > QUIET_SHARE * (longest - quiet))
		ereport(WARNING,
				(errmsg("nobody has bought in the %d days before until", quiet),
				 errdetail("All purchases lie in %d days before that. If the data end there, customers seem lost that are not.", longest - quiet),
				 errhint("Pass until => '%s', where the purchases end.", hour_text((state->hour / HOURS_A_DAY - quiet + 1) * HOURS_A_DAY))));
}

/* state -> document */
Datum
fit_clv_final(PG_FUNCTION_ARGS)
{
	FitState   *state = PG_ARGISNULL(0) ? NULL : (FitState *) PG_GETARG_POINTER(0);
	Customers	customers;
	int64		n = 0;
	int64		repeating = 0;
	int64		paying = 0;
	Fit			fit;
	JsonbBuilder json = {0};

	if (state)
	{
		state_compact(state);
		customers = (Customers) {state->customers, state->n, state->unit / (double) HOURS_A_DAY};
		for (uint32 i = 0; i < state->n; i++)
		{
			const Customer *c = &state->customers[i];

			n += c->customers;
			repeating += c->repeats > 0 ? c->customers : 0;
			paying += c->repeats > 0 && c->value > 0 ? c->customers : 0;
		}
	}
	if (n < FEWEST_CUSTOMERS)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("too few customers for a fit"),
				 errdetail("There are " INT64_FORMAT ", and a fit needs at least %d.", n, FEWEST_CUSTOMERS),
				 errhint("A customer is a lead with a purchase up to the instant; see that the signal counts purchases.")));
	if (repeating == 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("no customer has bought again"),
				 errdetail("None of the " INT64_FORMAT " customers has bought on more than one day.", n),
				 errhint("Repeat purchases are learned from customers that have bought again; fit a longer period.")));
	warn_of_quiet(state);
	if (!bg_nbd_fit(&customers, &fit))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("the fit of the repeat purchases did not converge"),
				 errdetail("Of " INT64_FORMAT " customers " INT64_FORMAT " have bought again; the search ended at %s.",
						   n, repeating, parameters_text(bg_nbd_names, &fit)),
				 errhint("Fit more customers, or a longer time.")));

	push_jsonb(&json, WJB_BEGIN_OBJECT, NULL);
	push_numeric(&json, "signal_id", int64_to_numeric(state->signal_id));
	push_string(&json, "until", hour_text(state->hour));
	push_string(&json, "unit", state->unit % HOURS_A_DAY == 0 ?
				psprintf("%d days", state->unit / HOURS_A_DAY) : psprintf("%d hours", state->unit));
	if (state->days)
		push_string(&json, "time_zone", state->time_zone);
	push_fit(&json, "bg_nbd", n, bg_nbd_names, &fit);
	if (paying < FEWEST_CUSTOMERS)
		ereport(NOTICE,
				(errmsg("the value of purchases is not fitted"),
				 errdetail("There are " INT64_FORMAT " customers whose repeat purchases have a value above zero, and a fit needs at least %d.",
						   paying, FEWEST_CUSTOMERS)));
	else if (gamma_gamma_fit(&customers, &fit))
		push_fit(&json, "gamma_gamma", paying, gamma_gamma_names, &fit);
	else
		ereport(WARNING,
				(errmsg("the fit of the value of purchases did not converge"),
				 errdetail("The search ended at %s; the document has no gamma_gamma.", parameters_text(gamma_gamma_names, &fit)),
				 errhint("Fit more customers, or a longer time.")));
	push_jsonb(&json, WJB_END_OBJECT, NULL);
	PG_RETURN_JSONB_P(JsonbValueToJsonb(json.result));
}

/* The document, compiled. */
typedef struct ClvModel
{
	int32		signal_id;
	double		unit;			/* of time, in days */
	LocalDays  *days;			/* of a time zone; NULL: UTC days */
	bool		has_until;
	int32		until;			/* hour up to which purchases were known */
	TimestampTz warned_at;		/* beginning of the last statement that was warned */
	BgNbd		bg_nbd;
	bool		has_value;
	GammaGamma	gamma_gamma;
	MemoryContext context;		/* holds all of it */
	ResultRow	row;			/* of clv() */
} ClvModel;

/* The parameters of one model, all within their limits; false if the document has none. */
static bool
read_parameters(JsonbContainer *document, const DocPath *root, const char *model, const char *const *names, double *parameters)
{
	static const char *const notes[] = {"customers", "log_likelihood", "standard_errors"};
	Jsonb	   *object = doc_object(document, root, model);
	DocPath		path = {root, model, 0};
	const char *known[lengthof(notes) + MAX_PARAMETERS + 1];
	int			n = 0;

	if (object == NULL)
		return false;
	for (; names[n]; n++)
		known[n] = names[n];
	for (int i = 0; i < (int) lengthof(notes); i++)
		known[n + i] = notes[i];
	known[n + lengthof(notes)] = NULL;
	doc_check_members(&object->root, &path, known);
	for (int i = 0; i < n; i++)
	{
		DocPath		member = {&path, names[i], 0};

		if (!doc_number(&object->root, &path, names[i], &parameters[i]))
			doc_fail(&member, "It is missing.", "Write a number above zero, or take the document from fit_clv().");
		if (parameters[i] <= 0)
			doc_fail(&member, psprintf("It is the number %.15g.", parameters[i]), "Write a number above zero.");
		if (parameters[i] < SMALLEST_PARAMETER || parameters[i] > LARGEST_PARAMETER)
			doc_fail(&member, psprintf("It is the number %.15g.", parameters[i]), "Write a number from 1e-30 to 1e30.");
	}
	return true;
}

static void *
clv_model_compile(Jsonb *document)
{
	static const char *const known[] = {"signal", "signal_id", "until", "unit", "time_zone", "bg_nbd", "gamma_gamma", NULL};
	DocPath		root = {NULL, "customer value", 0};
	DocPath		id = {&root, "signal_id", 0};
	DocPath		unit = {&root, "unit", 0};
	DocPath		bg_nbd = {&root, "bg_nbd", 0};
	ClvModel   *model = palloc0(sizeof(ClvModel));
	double		parameters[MAX_PARAMETERS];
	int32		hours = 7 * HOURS_A_DAY;

	if (!JB_ROOT_IS_OBJECT(document))
		doc_fail(&root, "It is no object.", "Take the document from fit_clv().");
	doc_check_members(&document->root, &root, known);
	doc_comment(&document->root, &root, "signal");
	model->has_until = read_hour_text(doc_comment(&document->root, &root, "until"), &model->until);
	if (!doc_integer(&document->root, &root, "signal_id", 0, &model->signal_id))
		doc_fail(&id, "It is missing.", "Write the number of the signal in leadscore.signal, or take the document from fit_clv().");
	if (doc_hours(&document->root, &root, "unit", &hours) && hours > MAX_HOURS)
		doc_fail(&unit, "It is longer than 100 years.", "Write a unit of time such as \"7 days\".");
	model->unit = hours / (double) HOURS_A_DAY;
	model->days = doc_time_zone(&document->root, &root, "time_zone");
	if (!read_parameters(&document->root, &root, "bg_nbd", bg_nbd_names, parameters))
		doc_fail(&bg_nbd, "It is missing.", "Take the document from fit_clv().");
	model->bg_nbd = (BgNbd) {parameters[0], parameters[1], parameters[2], parameters[3]};
	model->has_value = read_parameters(&document->root, &root, "gamma_gamma", gamma_gamma_names, parameters);
	if (model->has_value)
		model->gamma_gamma = (GammaGamma) {parameters[0], parameters[1], parameters[2]};
	model->context = CurrentMemoryContext;
	return model;
}

/* ---------- the value of a customer ---------- */

/* Warn, once a statement, of an instant far behind what the parameters are fitted to. */
static void
warn_of_distance(ClvModel *model, int32 hour)
{
	if (!model->has_until || (int64) hour - model->until <= MOST_BEHIND * HOURS_A_DAY || model->warned_at == GetCurrentStatementStartTimestamp())
		return;
	model->warned_at = GetCurrentStatementStartTimestamp();
	ereport(WARNING,
			(errmsg("the instant lies %d days after the data that the parameters were fitted to", (hour - model->until) / HOURS_A_DAY),
			 errdetail("If the data end at %s, customers seem lost that are not.", hour_text(model->until)),
			 errhint("Pass at => '%s', or fit the parameters anew.", hour_text(model->until))));
}

/*
 * clv(timeline, params, horizon, at) -> (purchases, last_purchase, probability_alive,
 * expected_purchases, average_value, expected_value, next_order), or NULL for a lead without a
 * purchase
 */
Datum
clv(PG_FUNCTION_ARGS)
{
	ClvModel   *model = doc_compiled(fcinfo, 1, clv_model_compile);
	double		t = hours_argument(PG_GETARG_INTERVAL_P(2), "horizon", "Pass an interval above zero and of at most 100 years, such as '1 year'.") /
		(double) HOURS_A_DAY / model->unit;
	int32		hour = hour_of(PG_GETARG_TIMESTAMPTZ(3));
	Customer	customer;
	int32		first;
	double		T;
	double		alive;
	double		expected;
	double		average = NAN;
	double		next;
	Datum		values[7];
	bool		nulls[7] = {0};

	warn_of_distance(model, hour);
	if (!read_customer(PG_GETARG_TIMELINE(0), model->signal_id, hour, model->days, &customer, &first))
		PG_RETURN_NULL();

	T = customer.age / model->unit;
	alive = bg_nbd_alive(&model->bg_nbd, customer.repeats, customer.last / model->unit, T);
	expected = alive * bg_nbd_expected(&model->bg_nbd, customer.repeats, T, t);
	if (!isfinite(expected))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("the parameters of bg_nbd are out of range"),
				 errdetail("The expected purchases of a customer are not a finite number."),
				 errhint("Take the document from fit_clv().")));
	if (model->has_value)
		average = gamma_gamma_expected(&model->gamma_gamma, customer.repeats, customer.value);
	next = first + customer.age + ceil(bg_nbd_median_wait(&model->bg_nbd, customer.repeats, T) * model->unit);

	values[0] = Int32GetDatum(customer.repeats + 1);
	values[1] = DateADTGetDatum(first + customer.last - EPOCH_DAYS);
	values[2] = Float8GetDatum(alive);
	values[3] = Float8GetDatum(expected);
	nulls[4] = !isfinite(average);
	nulls[5] = !isfinite(expected * average);
	values[4] = Float8GetDatum(average);
	values[5] = Float8GetDatum(expected * average);
	nulls[6] = !(next <= MAX_DAY);
	values[6] = DateADTGetDatum(nulls[6] ? 0 : (DateADT) next - EPOCH_DAYS);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(result_row(&model->row, fcinfo, model->context), values, nulls)));
}
