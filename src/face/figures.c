/*
 * figures.c: the key figures that are computed from timelines: the aggregate figures, in one pass over all leads.
 *
 * A month is a range of hours. A lead is appraised at the last hour of each month, and now. So a month begins with the
 * segment at the end of the previous one. At the ends of days, too, the leads of each segment are counted, by the same
 * walk: most ends of months are ends of days.
 *
 *     months      | 0        | 1        | 2   ... now
 *     days               |   |   |   |
 *     instants          0  1   2   3              4
 */
#include "face/census.h"
#include "face/journey.h"
#include "learn/quality.h"
#include "learn/wide_sum.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(bought);
PG_FUNCTION_INFO_V1(figures_transition);
PG_FUNCTION_INFO_V1(figures_final);

/* The row type that a function returns, kept for its call site. */
static TupleDesc
row_of_call(FunctionCallInfo fcinfo)
{
	if (fcinfo->flinfo->fn_extra == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
		TupleDesc	row;

		if (get_call_result_type(fcinfo, NULL, &row) != TYPEFUNC_COMPOSITE)
			elog(ERROR, "return type must be a row type");
		fcinfo->flinfo->fn_extra = BlessTupleDesc(row);
		MemoryContextSwitchTo(old);
	}
	return fcinfo->flinfo->fn_extra;
}

/*
 * (timeline, signal_ids, at): occurrences, value and last hour of some signals up to an instant; NULL if none has
 * occurred
 */
Datum
bought(PG_FUNCTION_ARGS)
{
	ArrayType  *signal_ids = PG_GETARG_ARRAYTYPE_P(1);
	const int32 *ids = (const int32 *) ARR_DATA_PTR(signal_ids);
	int			n = ARR_HASNULL(signal_ids) ? 0 : ArrayGetNItems(ARR_NDIM(signal_ids), ARR_DIMS(signal_ids));
	int32		known = hour_of(PG_GETARG_TIMESTAMPTZ(2));
	int64		orders = 0;
	int32		last = NO_HOUR;
	WideSum		revenue = {.scale = MONEY_SCALE};
	Datum		values[3];
	bool		nulls[3] = {false, false, false};
	TimelineReader reader;

	timeline_read(&reader, PG_GETARG_TIMELINE(0));
	while (timeline_next_signal(&reader))
	{
		int			wanted = 0;

		while (wanted < n && ids[wanted] != reader.signal_id)
			wanted++;
		while (reader.left > 0)
		{
			int64		occurrences;
			int64		value;

			timeline_next_entry(&reader, &occurrences, &value);
			if (wanted == n || reader.hour > known)
				continue;
			orders += occurrences;
			wide_add(&revenue, value);
			if (occurrences > 0)
				last = Max(last, reader.hour);
		}
	}
	if (orders <= 0 || last == NO_HOUR)
		PG_RETURN_NULL();
	values[0] = Int64GetDatum(orders);
	values[1] = wide_total(&revenue);
	values[2] = TimestampTzGetDatum(instant_of(last));
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(row_of_call(fcinfo), values, nulls)));
}

/* ---------- the aggregate figures ---------- */

/* The figures of a segment at the start of a month, or of the leads that came in the month. */
typedef struct MonthCell
{
	int64		leads;
	int64		customers;
	int64		orders;
	int64		repeaters;
	WideSum		revenue;
} MonthCell;

/* What a channel is credited with. */
typedef struct ChannelCell
{
	int64		new_customers;
	int64		orders;
	int64		leads;
	WideSum		revenue;
} ChannelCell;

/* Segments and channels are numbered from 1; 0 is none. */
typedef struct Month
{
	MonthCell  *segments;		/* of leads from earlier months, then one cell for leads that came in this one */
	int64	   *stages;			/* one for each segment and stage */
	ChannelCell *channels[ATTRIBUTIONS];	/* one for each segment and channel */
} Month;

/* A first purchase. */
typedef struct Cycle
{
	int32		month;
	int32		segment;
	double		days;
} Cycle;

typedef struct Figures
{
	MemoryContext context;
	OverTime   *over;
	int32		segments;		/* including none */
	int32		now;			/* hour */
	int32		n_months;
	int32	   *months;			/* the first hour of each */
	int32	   *month_ends;		/* the instant that ends each */
	int32	   *days;			/* the instant that ends each */
	Census	   *census;			/* of the days */
	int32		look_back;		/* hours; PG_INT32_MAX: unlimited */
	int32		n_stages;
	int32		n_stage_signals;
	int32	   *stage_signals;	/* ascending signal_ids */
	int32	   *stages;			/* the number of each one's furthest stage, from 0 */
	Month	  **of_month;		/* NULL: no lead in this month */
	int32		n_cycles;
	int32		cycle_capacity;
	Cycle	   *cycles;

	/* of one lead */
	int32		start;
	int32		furthest;		/* stage, or -1 */
	Journey		journey;
} Figures;

/*
 * Read the months and the days, and find the instants at which leads are appraised: the ends of both, in order, each
 * once.
 */
static void
read_calendar(Figures *f, ArrayType *months, ArrayType *days, Scorecard *card)
{
	int32		n_days;
	int32	   *day_hours = hours_of_instants(days, &n_days);
	int32	   *starts = hours_of_instants(months, &f->n_months);
	int32	   *ends = palloc(Max(f->n_months, 1) * sizeof(int32));
	int32	   *hours = palloc(Max(f->n_months + n_days, 1) * sizeof(int32));
	int32		n = 0;

	if (f->n_months == 0 || f->now < starts[f->n_months - 1])
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the months of gather_figures do not end with the present one"),
				 errdetail("There are %d months.", f->n_months),
				 errhint("Pass the beginning of each month up to that of the instant.")));
	f->months = MemoryContextAlloc(f->context, f->n_months * sizeof(int32));
	memcpy(f->months, starts, f->n_months * sizeof(int32));
	f->month_ends = MemoryContextAlloc(f->context, f->n_months * sizeof(int32));
	f->days = MemoryContextAlloc(f->context, Max(n_days, 1) * sizeof(int32));
	for (int32 m = 0; m < f->n_months; m++)
		ends[m] = m + 1 < f->n_months ? starts[m + 1] - 1 : f->now;
	for (int32 m = 0, d = 0; m < f->n_months || d < n_days; n++)
	{
		bool		is_month = d == n_days || (m < f->n_months && ends[m] <= day_hours[d]);

		hours[n] = is_month ? ends[m] : day_hours[d];
		while (m < f->n_months && ends[m] == hours[n])
			f->month_ends[m++] = n;
		while (d < n_days && day_hours[d] == hours[n])
			f->days[d++] = n;
	}
	f->over = over_time_create(f->context, card, n, hours);
	f->census = census_create(f->context, n_days, f->segments);
}

/*
 * (state, scorecard, timeline, profile, at, months, days, conversion_id, look_back, stage_signals, stages,
 * touch_signals, channels, instants, timelines)
 */
static Figures *
figures_create(FunctionCallInfo fcinfo, MemoryContext context)
{
	Figures    *f = MemoryContextAllocZero(context, sizeof(Figures));
	Scorecard  *card = scorecard_compile_in(context, PG_GETARG_DATUM(1));
	int32		n;

	for (int i = 4; i < 13; i++)
		if (i != 7 && i != 8 && PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("argument %d of gather_figures is NULL", i),
					 errdetail("Only timeline, profile, conversion and look-back may be NULL."),
					 errhint("Pass empty arrays where there is nothing.")));
	f->context = context;
	f->segments = card->nsegments + 1;
	f->now = hour_of(PG_GETARG_TIMESTAMPTZ(4));
	read_calendar(f, PG_GETARG_ARRAYTYPE_P(5), PG_GETARG_ARRAYTYPE_P(6), card);
	f->of_month = MemoryContextAllocZero(context, f->n_months * sizeof(Month *));
	f->look_back = PG_ARGISNULL(8) ? PG_INT32_MAX : PG_GETARG_INT32(8);
	f->stage_signals = journey_numbers(PG_GETARG_ARRAYTYPE_P(9), context, PG_INT32_MAX, &f->n_stage_signals);
	f->stages = journey_numbers(PG_GETARG_ARRAYTYPE_P(10), context, PG_INT16_MAX, &n);
	f->n_stage_signals = Min(f->n_stage_signals, n);
	for (int32 i = 0; i < n; i++)
		f->n_stages = Max(f->n_stages, f->stages[i] + 1);
	journey_configure(&f->journey, context, PG_ARGISNULL(7) ? -1 : PG_GETARG_INT32(7), PG_GETARG_ARRAYTYPE_P(11), PG_GETARG_ARRAYTYPE_P(12));
	return f;
}

static Month *
month_cells(Figures *f, int32 number)
{
	Month	   *month = f->of_month[number];

	if (month)
		return month;
	month = f->of_month[number] = MemoryContextAllocZero(f->context, sizeof(Month));
	month->segments = MemoryContextAllocZero(f->context, (f->segments + 1) * sizeof(MonthCell));
	for (int32 i = 0; i <= f->segments; i++)
		month->segments[i].revenue.scale = MONEY_SCALE;
	month->stages = MemoryContextAllocZero(f->context, Max(f->segments * f->n_stages, 1) * sizeof(int64));
	for (int a = 0; a < ATTRIBUTIONS; a++)
	{
		month->channels[a] = MemoryContextAllocZero(f->context, f->segments * f->journey.n_channels * sizeof(ChannelCell));
		for (int32 i = 0; i < f->segments * f->journey.n_channels; i++)
			month->channels[a][i].revenue.scale = MONEY_SCALE;
	}
	return month;
}

/* The month of an hour, which is not before the first. */
static int32
month_of_hour(const Figures *f, int32 hour)
{
	int32		low = 0;
	int32		high = f->n_months - 1;

	while (low < high)
	{
		int32		middle = (low + high + 1) / 2;

		if (f->months[middle] <= hour)
			low = middle;
		else
			high = middle - 1;
	}
	return low;
}

/* ---------- one lead ---------- */

/* Read a lead's orders, touches and furthest stage up to now, with the moments of its events, if there are any. */
static void
read_figures(Figures *f, const struct varlena *timeline, ArrayType *instants, ArrayType *timelines)
{
	TimelineReader reader;
	int32		stage = 0;

	f->furthest = -1;
	journey_begin(&f->journey);
	timeline_read(&reader, timeline);
	f->start = reader.base;
	while (timeline_next_signal(&reader))
	{
		bool		occurred = false;

		CHECK_FOR_INTERRUPTS();
		journey_signal(&f->journey, reader.signal_id);
		while (reader.left > 0)
		{
			int64		occurrences;
			int64		value;

			timeline_next_entry(&reader, &occurrences, &value);
			if (reader.hour > f->now)
				continue;
			occurred |= occurrences > 0;
			journey_entry(&f->journey, reader.hour, occurrences, value);
		}
		while (stage < f->n_stage_signals && f->stage_signals[stage] < reader.signal_id)
			stage++;
		if (occurred && stage < f->n_stage_signals && f->stage_signals[stage] == reader.signal_id)
			f->furthest = Max(f->furthest, f->stages[stage]);
	}
	journey_end(&f->journey, instants, timelines);
}

/* The segment of a lead before an hour; 0 if it was in none, or not yet a lead. */
static int32
segment_before(Figures *f, const struct varlena *timeline, Jsonb *profile, int32 hour)
{
	Appraisal	appraisal;

	if (f->start >= hour)
		return 0;
	appraise_lead(f->over->card, timeline, profile, hour - 1, hour - 1, &appraisal, NULL);
	return segment_number(f->over->card, &appraisal, NULL, 0);
}

/* Add to a sum of the state: a sum of more than 64 bits is allocated in the state's context. */
static void
add_revenue(const Figures *f, WideSum *sum, int64 value)
{
	MemoryContext old = MemoryContextSwitchTo(f->context);

	wide_add(sum, value);
	MemoryContextSwitchTo(old);
}

static ChannelCell *
channel_cell(Figures *f, int32 month, int attribution, int32 channel, int32 segment)
{
	return &month_cells(f, month)->channels[attribution][segment * f->journey.n_channels + channel];
}

/* Count the channels that brought a lead, its orders and its first order. */
static void
add_orders(Figures *f, const struct varlena *timeline, Jsonb *profile, int32 came)
{
	int32		channels[ATTRIBUTIONS];
	bool		has_bought = false;

	journey_channels(&f->journey, f->start, (Moment) {came + 1 < f->n_months ? f->months[came + 1] : PG_INT32_MAX, HOUR_BEGINS}, channels);
	for (int a = 0; a < ATTRIBUTIONS; a++)
		channel_cell(f, came, a, channels[a], 0)->leads++;

	for (int32 i = 0; i < f->journey.n_orders; i++)
	{
		const Order *order = &f->journey.orders[i];
		int32		hour = order->moment.hour;
		int32		month = month_of_hour(f, hour);
		int32		segment = segment_before(f, timeline, profile, hour);
		bool		is_first = !has_bought && order->occurrences > 0;

		CHECK_FOR_INTERRUPTS();
		journey_channels(&f->journey, f->look_back == PG_INT32_MAX ? PG_INT32_MIN : hour - f->look_back + 1, (Moment) {hour, order->moment.at + 1}, channels);
		for (int a = 0; a < ATTRIBUTIONS; a++)
		{
			ChannelCell *cell = channel_cell(f, month, a, channels[a], segment);

			cell->new_customers += is_first;
			cell->orders += order->occurrences;
			add_revenue(f, &cell->revenue, order->value);
		}
		if (is_first)
		{
			has_bought = true;
			make_room(f->context, f->cycles, f->n_cycles, f->cycle_capacity);
			f->cycles[f->n_cycles++] = (Cycle) {month, segment, (hour - f->start) / (double) HOURS_A_DAY};
		}
	}
}

/* Count the months since a lead came. */
static void
add_months(Figures *f, int32 came)
{
	int64		orders_so_far = 0;
	int32		next = 0;

	for (int32 m = came; m < f->n_months; m++)
	{
		int32		end = m + 1 < f->n_months ? f->months[m + 1] : PG_INT32_MAX;
		int32		number = m == came ? f->segments : segment_number(f->over->card, &f->over->appraisals[f->month_ends[m - 1]], NULL, 0);
		MonthCell  *cell = &month_cells(f, m)->segments[number];
		int64		orders = 0;

		for (; next < f->journey.n_orders && f->journey.orders[next].moment.hour < end; next++)
		{
			orders += f->journey.orders[next].occurrences;
			add_revenue(f, &cell->revenue, f->journey.orders[next].value);
		}
		orders_so_far += orders;
		cell->leads++;
		cell->orders += orders;
		if (orders > 0)
		{
			cell->customers++;
			cell->repeaters += orders_so_far > 1;
		}
	}
}

/* Count a lead at the end of each day; an appraisal: at each it is the same. */
static void
add_days(Figures *f, int32 came, const Appraisal *same)
{
	int32		before = -1;

	for (int32 d = 0; d < f->census->rows; d++)
		if (f->days[d] >= came)
			census_count(f->census, d, f->over->card, same ? same : &f->over->appraisals[f->days[d]], &before);
}

static void
add_lead(Figures *f, const struct varlena *timeline, Jsonb *profile, ArrayType *instants, ArrayType *timelines)
{
	Scorecard  *card = f->over->card;
	int32		came;

	if (timeline == NULL || timeline_is_empty(timeline))
	{
		Appraisal	same;

		appraise_lead(card, NULL, profile, f->now, f->now, &same, NULL);
		add_days(f, 0, &same);
		return;
	}
	came = over_time_lead(f->over, timeline, profile);
	if (came == f->over->n)
		return;
	add_days(f, came, NULL);
	read_figures(f, timeline, instants, timelines);
	came = month_of_hour(f, f->start);
	if (f->furthest >= 0)
		month_cells(f, came)->stages[segment_number(card, &f->over->appraisals[f->month_ends[came]], NULL, 0) * f->n_stages + f->furthest]++;
	if (f->journey.conversion >= 0)
	{
		add_months(f, came);
		add_orders(f, timeline, profile, came);
	}
}

/*
 * (state, scorecard, timeline, profile, ...) -> state; all but timeline, profile, instants and timelines are those of
 * the first row
 */
Datum
figures_transition(PG_FUNCTION_ARGS)
{
	MemoryContext context = aggregate_context(fcinfo);
	Figures    *f = PG_ARGISNULL(0) ? NULL : (Figures *) PG_GETARG_POINTER(0);

	if (f == NULL)
	{
		if (PG_ARGISNULL(1))
			PG_RETURN_NULL();
		f = figures_create(fcinfo, context);
	}
	add_lead(f, PG_ARGISNULL(2) ? NULL : PG_GETARG_TIMELINE(2), PG_ARGISNULL(3) || f->over->card->nprofiles == 0 ? NULL : PG_GETARG_JSONB_P(3),
			 PG_ARGISNULL(13) ? NULL : PG_GETARG_ARRAYTYPE_P(13), PG_ARGISNULL(14) ? NULL : PG_GETARG_ARRAYTYPE_P(14));
	PG_RETURN_POINTER(f);
}

/* ---------- the result ---------- */

/* A matrix of figures that grows by rows, with a column of money beside it. */
typedef struct Matrix
{
	int			columns;
	int			rows;
	int			capacity;
	Datum	   *figures;
	Datum	   *money;
} Matrix;

static Datum *
next_row(Matrix *matrix)
{
	if (matrix->rows == matrix->capacity)
	{
		matrix->capacity = Max(2 * matrix->capacity, 256);
		matrix->figures = matrix->figures ? repalloc_huge(matrix->figures, (Size) matrix->capacity * matrix->columns * sizeof(Datum))
			: palloc_extended((Size) matrix->capacity * matrix->columns * sizeof(Datum), MCXT_ALLOC_HUGE);
		matrix->money = matrix->money ? repalloc_huge(matrix->money, (Size) matrix->capacity * sizeof(Datum))
			: palloc_extended((Size) matrix->capacity * sizeof(Datum), MCXT_ALLOC_HUGE);
	}
	return matrix->figures + (Size) matrix->rows++ * matrix->columns;
}

static Datum
array_of_figures(const Matrix *matrix, bool *isnull)
{
	int			sizes[2] = {matrix->rows, matrix->columns};
	int			lower[2] = {1, 1};

	*isnull = matrix->rows == 0;
	return *isnull ? (Datum) 0 :
		PointerGetDatum(construct_md_array(matrix->figures, NULL, 2, sizes, lower, FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

static Datum
array_of_money(const Matrix *matrix, bool *isnull)
{
	*isnull = matrix->rows == 0;
	return *isnull ? (Datum) 0 : PointerGetDatum(construct_array(matrix->money, matrix->rows, NUMERICOID, -1, false, TYPALIGN_INT));
}

static void
put_row(Matrix *matrix, const double *figures)
{
	Datum	   *row = next_row(matrix);

	for (int i = 0; i < matrix->columns; i++)
		row[i] = Float8GetDatum(figures[i]);
}

static void
put_month(const Figures *f, int32 m, Matrix *monthly, Matrix *funnel, Matrix *attribution)
{
	const Month *month = f->of_month[m];

	for (int32 s = 0; s <= f->segments; s++)
	{
		const MonthCell *cell = &month->segments[s];
		bool		is_new = s == f->segments;

		if (cell->leads == 0)
			continue;
		put_row(monthly, (double[]) {m, is_new ? 0 : s, is_new, cell->leads, cell->customers, cell->orders, cell->repeaters});
		monthly->money[monthly->rows - 1] = wide_total(&cell->revenue);
	}
	for (int32 i = 0; i < f->segments * f->n_stages; i++)
		if (month->stages[i] > 0)
			put_row(funnel, (double[]) {m, i / f->n_stages, i % f->n_stages, month->stages[i]});
	for (int a = 0; a < ATTRIBUTIONS; a++)
		for (int32 i = 0; i < f->segments * f->journey.n_channels; i++)
		{
			const ChannelCell *cell = &month->channels[a][i];

			if (cell->leads == 0 && cell->orders == 0 && cell->new_customers == 0 && cell->revenue.low == 0 && cell->revenue.high == NULL)
				continue;
			put_row(attribution, (double[]) {a, m, i % f->journey.n_channels, i / f->journey.n_channels, cell->new_customers, cell->orders, cell->leads});
			attribution->money[attribution->rows - 1] = wide_total(&cell->revenue);
		}
}

/*
 * state -> (monthly, monthly_revenue, cycle, funnel, attribution, attribution_revenue, days); months, stages and
 * attributions (first, last) by number from 0, segments and channels from 1 (0: none)
 */
Datum
figures_final(PG_FUNCTION_ARGS)
{
	Figures    *f = PG_ARGISNULL(0) ? NULL : (Figures *) PG_GETARG_POINTER(0);
	Matrix		monthly = {.columns = 7};
	Matrix		cycle = {.columns = 3};
	Matrix		funnel = {.columns = 4};
	Matrix		attribution = {.columns = 7};
	Datum		values[7];
	bool		nulls[7];
	TupleDesc	row;

	if (f == NULL)
		PG_RETURN_NULL();
	for (int32 m = 0; m < f->n_months; m++)
		if (f->of_month[m])
			put_month(f, m, &monthly, &funnel, &attribution);
	for (int32 i = 0; i < f->n_cycles; i++)
		put_row(&cycle, (double[]) {f->cycles[i].month, f->cycles[i].segment, f->cycles[i].days});
	values[0] = array_of_figures(&monthly, &nulls[0]);
	values[1] = array_of_money(&monthly, &nulls[1]);
	values[2] = array_of_figures(&cycle, &nulls[2]);
	values[3] = array_of_figures(&funnel, &nulls[3]);
	values[4] = array_of_figures(&attribution, &nulls[4]);
	values[5] = array_of_money(&attribution, &nulls[5]);
	values[6] = census_figures(f->census, &nulls[6]);
	if (get_call_result_type(fcinfo, NULL, &row) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(row), values, nulls)));
}
