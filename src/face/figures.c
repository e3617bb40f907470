/*
 * figures.c: what key figures find in a timeline.
 */
#include "learn/wide_sum.h"
#include "model/appraise.h"

#include "access/htup_details.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(bought);

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

/* (timeline, signal_id, at): occurrences, value and last hour of a signal up to an instant; NULL if it has not occurred */
Datum
bought(PG_FUNCTION_ARGS)
{
	int32		signal_id = PG_GETARG_INT32(1);
	int32		known = hour_of(PG_GETARG_TIMESTAMPTZ(2));
	int64		orders = 0;
	int32		last = NO_HOUR;
	WideSum		revenue = {.scale = MONEY_SCALE};
	Datum		values[3];
	bool		nulls[3] = {false, false, false};
	TimelineReader reader;

	timeline_read(&reader, PG_GETARG_TIMELINE(0));
	while (timeline_next_signal(&reader))
		while (reader.left > 0)
		{
			int64		occurrences;
			int64		value;

			timeline_next_entry(&reader, &occurrences, &value);
			if (reader.signal_id != signal_id || reader.hour > known)
				continue;
			orders += occurrences;
			wide_add(&revenue, value);
			if (occurrences > 0)
				last = reader.hour;
		}
	if (orders <= 0 || last == NO_HOUR)
		PG_RETURN_NULL();
	values[0] = Int64GetDatum(orders);
	values[1] = wide_total(&revenue);
	values[2] = TimestampTzGetDatum(instant_of(last));
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(row_of_call(fcinfo), values, nulls)));
}
