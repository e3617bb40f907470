/*
 * learn.c: what was known at an instant of the past, and what happened after
 * it.
 */
#include "learn/quality.h"
#include "learn/wide_sum.h"
#include "model/appraise.h"

#include <math.h>

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "libpq/pqformat.h"
#include "utils/array.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(timeline_before);
PG_FUNCTION_INFO_V1(timeline_first_hour);
PG_FUNCTION_INFO_V1(timeline_last_hour);
PG_FUNCTION_INFO_V1(timeline_start);
PG_FUNCTION_INFO_V1(timeline_total);
PG_FUNCTION_INFO_V1(outcome);
PG_FUNCTION_INFO_V1(past_score);
PG_FUNCTION_INFO_V1(past_probability);
PG_FUNCTION_INFO_V1(past_features);
PG_FUNCTION_INFO_V1(past_measures);
PG_FUNCTION_INFO_V1(past_points);
PG_FUNCTION_INFO_V1(assess_transition);
PG_FUNCTION_INFO_V1(assess_merge);
PG_FUNCTION_INFO_V1(assess_serialize);
PG_FUNCTION_INFO_V1(assess_deserialize);
PG_FUNCTION_INFO_V1(assess_end_part);
PG_FUNCTION_INFO_V1(assess_add_part);
PG_FUNCTION_INFO_V1(assess_final);
PG_FUNCTION_INFO_V1(tally_transition);
PG_FUNCTION_INFO_V1(tally_merge);

/* (timeline, at): the part of the timeline before the hour of the instant */
Datum
timeline_before(PG_FUNCTION_ARGS)
{
	int32		hour = hour_of(PG_GETARG_TIMESTAMPTZ(1));
	TimelineEntry *entries;
	uint32		n = timeline_decode(PG_GETARG_TIMELINE(0), &entries);
	uint32		kept = 0;

	for (uint32 i = 0; i < n; i++)
		if (entries[i].hour < hour)
			entries[kept++] = entries[i];
	PG_RETURN_POINTER(timeline_encode(entries, kept));
}

/*
 * (timeline, signal_id, since, until): the first hour in which a signal occurred
 * (any signal, if signal_id is NULL), from the hour of since until before the
 * hour of until
 */
Datum
timeline_first_hour(PG_FUNCTION_ARGS)
{
	int32		from = PG_ARGISNULL(2) ? PG_INT32_MIN : hour_of(PG_GETARG_TIMESTAMPTZ(2));
	int32		to = PG_ARGISNULL(3) ? PG_INT32_MAX : hour_of(PG_GETARG_TIMESTAMPTZ(3));
	int32		first = to;
	TimelineReader reader;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	timeline_read(&reader, PG_GETARG_TIMELINE(0));
	while (timeline_next_signal(&reader))
	{
		bool		asked = PG_ARGISNULL(1) || reader.signal_id == PG_GETARG_INT32(1);

		while (reader.left > 0)
		{
			int64		occurrences;
			int64		value;

			timeline_next_entry(&reader, &occurrences, &value);
			if (asked && occurrences > 0 && reader.hour >= from && reader.hour < first)
				first = reader.hour;
		}
	}
	if (first == to)
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(instant_of(first));
}

/* (timeline): the hour of the first entry, or NULL if there is none */
Datum
timeline_start(PG_FUNCTION_ARGS)
{
	struct varlena *timeline = PG_GETARG_TIMELINE(0);
	TimelineReader reader;

	if (timeline_is_empty(timeline))
		PG_RETURN_NULL();
	timeline_read(&reader, timeline);
	PG_RETURN_TIMESTAMPTZ(instant_of(reader.base));
}

/* (timeline): the last hour of any signal, or NULL if there is none */
Datum
timeline_last_hour(PG_FUNCTION_ARGS)
{
	int32		last = NO_HOUR;
	TimelineReader reader;

	timeline_read(&reader, PG_GETARG_TIMELINE(0));
	while (timeline_next_signal(&reader))
		while (reader.left > 0)
		{
			int64		occurrences;
			int64		value;

			timeline_next_entry(&reader, &occurrences, &value);
			last = Max(last, reader.hour);
		}
	if (last == NO_HOUR)
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(instant_of(last));
}

/*
 * (timeline, signal_id, since, until): occurrences and value of a signal from
 * the hour of "since" until before the hour of "until" (NULL: no bound); 0 if
 * there are none. The same as sum() over the rows of timeline_entries().
 */
Datum
timeline_total(PG_FUNCTION_ARGS)
{
	int32		since = PG_ARGISNULL(2) ? PG_INT32_MIN : hour_of(PG_GETARG_TIMESTAMPTZ(2));
	int32		until = PG_ARGISNULL(3) ? PG_INT32_MAX : hour_of(PG_GETARG_TIMESTAMPTZ(3));
	WideSum		occurred = {.scale = 0};
	WideSum		worth = {.scale = MONEY_SCALE};
	TupleDesc	type;
	Datum		values[2];
	bool		nulls[2] = {false, false};
	TimelineReader reader;

	if (get_call_result_type(fcinfo, NULL, &type) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (!PG_ARGISNULL(0) && !PG_ARGISNULL(1))
	{
		timeline_read(&reader, PG_GETARG_TIMELINE(0));
		while (timeline_next_signal(&reader))
		{
			CHECK_FOR_INTERRUPTS();
			while (reader.left > 0)
			{
				int64		occurrences;
				int64		value;

				timeline_next_entry(&reader, &occurrences, &value);
				if (reader.signal_id != PG_GETARG_INT32(1) || reader.hour < since || reader.hour >= until)
					continue;
				wide_add(&occurred, occurrences);
				wide_add(&worth, value);
			}
		}
	}
	values[0] = wide_total(&occurred);
	values[1] = wide_total(&worth);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(type), values, nulls)));
}

/*
 * (timeline, signal_id, cutoff, horizon_hours, active_hours): the first hour
 * of a signal within the horizon that begins at the cutoff's hour; infinity
 * if there is none. NULL if active_hours is not NULL and nothing occurred in
 * that many hours before the cutoff.
 */
Datum
outcome(PG_FUNCTION_ARGS)
{
	int32		signal_id;
	int32		cutoff;
	int32		first;
	int32		end;
	int32		active_from;
	bool		active = PG_ARGISNULL(4);
	TimelineReader reader;

	if (PG_ARGISNULL(1) || PG_ARGISNULL(2) || PG_ARGISNULL(3))
		PG_RETURN_NULL();
	signal_id = PG_GETARG_INT32(1);
	cutoff = hour_of(PG_GETARG_TIMESTAMPTZ(2));
	first = end = (int32) Min((int64) cutoff + PG_GETARG_INT32(3), PG_INT32_MAX);
	active_from = active ? cutoff : (int32) Max((int64) cutoff - PG_GETARG_INT32(4), PG_INT32_MIN);
	if (!PG_ARGISNULL(0))
	{
		timeline_read(&reader, PG_GETARG_TIMELINE(0));
		while (timeline_next_signal(&reader))
		{
			int32		wanted = reader.signal_id == signal_id ? cutoff : PG_INT32_MAX;

			while (reader.left > 0)
			{
				int64		occurrences;
				int64		value;

				timeline_next_entry(&reader, &occurrences, &value);
				if (reader.hour < cutoff)
					active |= reader.hour >= active_from && occurrences > 0;
				else if (reader.hour >= wanted && reader.hour < first && occurrences > 0)
					first = reader.hour;
			}
		}
	}
	if (!active)
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(first < end ? instant_of(first) : DT_NOEND);
}

/*
 * Appraise what was known at the cutoff: the hours before its own, with ages
 * as of it. Arguments: (scorecard, timeline, profile, cutoff). False if the
 * scorecard or the cutoff is NULL.
 */
static bool
appraise_past(FunctionCallInfo fcinfo, Scorecard **card, Appraisal *appraisal, Contribution **contributions)
{
	int32		cutoff;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(3))
		return false;
	*card = doc_compiled(fcinfo, 0, scorecard_compile);
	cutoff = hour_of(PG_GETARG_TIMESTAMPTZ(3));
	if (contributions)
		*contributions = palloc(Max(nterms(*card), 1) * sizeof(Contribution));
	appraise_lead(*card, PG_ARGISNULL(1) ? NULL : PG_GETARG_TIMELINE(1),
				  PG_ARGISNULL(2) || (*card)->nprofiles == 0 ? NULL : PG_GETARG_JSONB_P(2),
				  cutoff, cutoff - 1, appraisal, contributions ? *contributions : NULL);
	return true;
}

/* the score at the cutoff */
Datum
past_score(PG_FUNCTION_ARGS)
{
	Scorecard  *card;
	Appraisal	appraisal;

	if (!appraise_past(fcinfo, &card, &appraisal, NULL))
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(appraisal.score);
}

/* the probability at the cutoff; NULL if the scorecard has none */
Datum
past_probability(PG_FUNCTION_ARGS)
{
	Scorecard  *card;
	Appraisal	appraisal;

	if (!appraise_past(fcinfo, &card, &appraisal, NULL) || !card->has_probability)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(probability_of(card, &appraisal));
}

/* the features at the cutoff, in the form of features() */
Datum
past_features(PG_FUNCTION_ARGS)
{
	Scorecard  *card;
	Appraisal	appraisal;
	Contribution *contributions;

	if (!appraise_past(fcinfo, &card, &appraisal, &contributions))
		PG_RETURN_NULL();
	PG_RETURN_DATUM(measured_array(card, contributions));
}

/* the score at the cutoff, then the features */
Datum
past_measures(PG_FUNCTION_ARGS)
{
	Scorecard  *card;
	Appraisal	appraisal;
	Contribution *contributions;
	Datum	   *values;
	bool	   *nulls;
	int			n;
	int			lower = 1;

	if (!appraise_past(fcinfo, &card, &appraisal, &contributions))
		PG_RETURN_NULL();
	n = nterms(card) + 1;
	values = palloc(n * sizeof(Datum));
	nulls = palloc0(n * sizeof(bool));
	values[0] = Float8GetDatum(appraisal.score);
	for (int i = 1; i < n; i++)
	{
		nulls[i] = !contributions[i - 1].active;
		values[i] = Float8GetDatum(contributions[i - 1].measured);
	}
	PG_RETURN_ARRAYTYPE_P(construct_md_array(values, nulls, 1, &n, &lower, FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/* the points of each weight, then of each rule, at the cutoff */
Datum
past_points(PG_FUNCTION_ARGS)
{
	Scorecard  *card;
	Appraisal	appraisal;
	Contribution *contributions;
	Datum	   *values;

	if (!appraise_past(fcinfo, &card, &appraisal, &contributions))
		PG_RETURN_NULL();
	values = palloc(Max(nterms(card), 1) * sizeof(Datum));
	for (int32 i = 0; i < nterms(card); i++)
		values[i] = Float8GetDatum(contributions[i].points);
	PG_RETURN_ARRAYTYPE_P(construct_array(values, nterms(card), FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/* ---------- the aggregate assess (scorecard, timeline, profile, cutoff, converted) ---------- */

/* Its state. */
typedef struct Assessment
{
	Scorecard  *card;			/* NULL in a state that only merges other states */
	Ranking    *ranking;
	MeanLoss	log_loss;
	MeanLoss	brier;
} Assessment;

static Assessment *
assessment_create(MemoryContext context)
{
	Assessment *assessment = MemoryContextAllocZero(context, sizeof(Assessment));

	assessment->ranking = ranking_create(context);
	return assessment;
}

/* (state, scorecard, timeline, profile, cutoff, converted) -> state; the scorecard is that of the first row */
Datum
assess_transition(PG_FUNCTION_ARGS)
{
	MemoryContext context = aggregate_context(fcinfo);
	Assessment *assessment = PG_ARGISNULL(0) ? assessment_create(context) : (Assessment *) PG_GETARG_POINTER(0);
	Appraisal	appraisal;
	bool		converted;
	int32		cutoff;

	if (PG_ARGISNULL(1) || PG_ARGISNULL(4) || PG_ARGISNULL(5))
		PG_RETURN_POINTER(assessment);
	if (assessment->card == NULL)
		assessment->card = scorecard_compile_in(context, PG_GETARG_DATUM(1));
	cutoff = hour_of(PG_GETARG_TIMESTAMPTZ(4));
	converted = PG_GETARG_BOOL(5);
	appraise_lead(assessment->card, PG_ARGISNULL(2) ? NULL : PG_GETARG_TIMELINE(2),
				  PG_ARGISNULL(3) || assessment->card->nprofiles == 0 ? NULL : PG_GETARG_JSONB_P(3),
				  cutoff, cutoff - 1, &appraisal, NULL);
	ranking_put(assessment->ranking, converted, appraisal.score);
	if (assessment->card->has_probability)
	{
		logit_loss_put(&assessment->log_loss, logit_of(assessment->card, &appraisal), converted);
		brier_put(&assessment->brier, probability_of(assessment->card, &appraisal), converted);
	}
	PG_RETURN_POINTER(assessment);
}

/* (state, state) -> state */
Datum
assess_merge(PG_FUNCTION_ARGS)
{
	MemoryContext context = aggregate_context(fcinfo);
	Assessment *assessment = PG_ARGISNULL(0) ? assessment_create(context) : (Assessment *) PG_GETARG_POINTER(0);

	if (!PG_ARGISNULL(1))
	{
		Assessment *other = (Assessment *) PG_GETARG_POINTER(1);

		ranking_add(assessment->ranking, other->ranking);
		mean_loss_add(&assessment->log_loss, &other->log_loss);
		mean_loss_add(&assessment->brier, &other->brier);
	}
	PG_RETURN_POINTER(assessment);
}

/* state -> bytea */
Datum
assess_serialize(PG_FUNCTION_ARGS)
{
	Assessment *assessment = (Assessment *) PG_GETARG_POINTER(0);
	StringInfoData buf;

	pq_begintypsend(&buf);
	mean_loss_send(&buf, &assessment->log_loss);
	mean_loss_send(&buf, &assessment->brier);
	ranking_send(&buf, assessment->ranking);
	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}

/* bytea -> state */
Datum
assess_deserialize(PG_FUNCTION_ARGS)
{
	Assessment *assessment;
	StringInfoData buf;

	(void) aggregate_context(fcinfo);
	message_of(&buf, PG_GETARG_BYTEA_PP(0));
	assessment = palloc0(sizeof(Assessment));
	mean_loss_receive(&buf, &assessment->log_loss);
	mean_loss_receive(&buf, &assessment->brier);
	assessment->ranking = ranking_receive(&buf);
	pq_getmsgend(&buf);
	PG_RETURN_POINTER(assessment);
}

/* state -> bytea */
Datum
assess_end_part(PG_FUNCTION_ARGS)
{
	return end_part(fcinfo, assess_serialize);
}

/* (state, bytea) -> state */
Datum
assess_add_part(PG_FUNCTION_ARGS)
{
	return add_part(fcinfo, assess_deserialize, assess_merge);
}

/* One figure of a state. */
Datum
state_figure(PGFunction final, void *state, bool *isnull)
{
	LOCAL_FCINFO(call, 1);
	Datum		result;

	InitFunctionCallInfoData(*call, NULL, 1, InvalidOid, NULL, NULL);
	call->args[0] = (NullableDatum) {PointerGetDatum(state), false};
	result = final(call);
	*isnull = call->isnull;
	return result;
}

/* state -> (leads, conversions, auc, auc_error, average_precision, ks, log_loss, brier, tenths) */
Datum
assess_final(PG_FUNCTION_ARGS)
{
	Assessment *assessment = PG_ARGISNULL(0) ? assessment_create(CurrentMemoryContext) : (Assessment *) PG_GETARG_POINTER(0);
	Ranking    *ranking = assessment->ranking;
	Datum		values[9];
	bool		nulls[9] = {false};
	TupleDesc	row;

	values[0] = Int64GetDatum(ranking->of[0].n + ranking->of[1].n);
	values[1] = Int64GetDatum(ranking->of[1].n);
	values[2] = state_figure(roc_auc_final, ranking, &nulls[2]);
	values[3] = state_figure(roc_auc_error_final, ranking, &nulls[3]);
	values[4] = state_figure(average_precision_final, ranking, &nulls[4]);
	values[5] = state_figure(ks_final, ranking, &nulls[5]);
	values[6] = state_figure(mean_loss_final, &assessment->log_loss, &nulls[6]);
	values[7] = state_figure(mean_loss_final, &assessment->brier, &nulls[7]);
	values[8] = state_figure(gains_final, ranking, &nulls[8]);
	if (get_call_result_type(fcinfo, NULL, &row) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(row), values, nulls)));
}

/* ---------- the aggregate tally (place) ---------- */

#define MOST_PLACES 1000000

/* The state, with room for a place. */
static ArrayType *
tally_with(ArrayType *state, int64 place)
{
	int			n = ArrayGetNItems(ARR_NDIM(state), ARR_DIMS(state));
	Datum	   *counts;

	if (place <= n)
		return state;
	counts = palloc0(place * sizeof(Datum));
	for (int i = 0; i < n; i++)
		counts[i] = Int64GetDatum(((int64 *) ARR_DATA_PTR(state))[i]);
	return construct_array(counts, place, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE);
}

/* The state of a call. An aggregate may change it where it is. */
static ArrayType *
tally_of(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(0))
		return construct_empty_array(INT8OID);
	return AggCheckCallContext(fcinfo, NULL) ? PG_GETARG_ARRAYTYPE_P(0) : PG_GETARG_ARRAYTYPE_P_COPY(0);
}

/* (state, place) -> state; NULL is not counted */
Datum
tally_transition(PG_FUNCTION_ARGS)
{
	ArrayType  *state = tally_of(fcinfo);

	if (!PG_ARGISNULL(1))
	{
		int64		place = PG_GETARG_INT64(1);

		if (place < 1 || place > MOST_PLACES)
			ereport(ERROR,
					(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					 errmsg("place %lld is out of range", (long long) place),
					 errdetail("Places are numbers from 1 to %d.", MOST_PLACES)));
		state = tally_with(state, place);
		((int64 *) ARR_DATA_PTR(state))[place - 1]++;
	}
	PG_RETURN_ARRAYTYPE_P(state);
}

/* (state, state) -> state */
Datum
tally_merge(PG_FUNCTION_ARGS)
{
	ArrayType  *state = tally_of(fcinfo);

	if (!PG_ARGISNULL(1))
	{
		ArrayType  *other = PG_GETARG_ARRAYTYPE_P(1);
		int			n = ArrayGetNItems(ARR_NDIM(other), ARR_DIMS(other));

		state = tally_with(state, n);
		for (int i = 0; i < n; i++)
			((int64 *) ARR_DATA_PTR(state))[i] += ((int64 *) ARR_DATA_PTR(other))[i];
	}
	PG_RETURN_ARRAYTYPE_P(state);
}
