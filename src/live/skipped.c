/*
 * skipped.c: rows of tracked tables that do not count, by reason.
 *
 * A statement appends a row for each reason. These rows are never updated, so writers
 * do not wait for each other. fold() merges them, and the view skipped_row adds them up.
 */
#include "live/skipped.h"

#include "catalog.h"
#include "session_cache.h"
#include "live/delta.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* A time is in the future only if it is later than now by more than this, because clocks differ. */
#define TOLERANCE (5 * SECS_PER_MINUTE * USECS_PER_SEC)

static void
note_error(Skips *skips, int sqlstate)
{
	int			i = 0;

	while (i < skips->nerrors && skips->errors[i] != sqlstate)
		i++;
	i = Min(i, MAX_ERRORS - 1);
	if (i == skips->nerrors)
		skips->errors[skips->nerrors++] = sqlstate;
	skips->failed[i]++;
}

void
skips_note(Skips *skips, const Reading *reading, const SourceRow *row, bool is_read)
{
	if (!is_read)
	{
		skips->faults[row->fault]++;
		if (row->fault == ROW_FAILED)
			note_error(skips, reading->attempts.sqlstate);
		return;
	}
	if (!is_mapped(&reading->source->occurred_at))
		return;
	if (skips->soon == 0)
		skips->soon = GetCurrentTransactionStartTimestamp() + TOLERANCE;
	if (row->occurred_at > skips->soon)
		skips->in_future++;
}

/* Reasons, with the number of rows of each. */
typedef struct Reasons
{
	int			n;
	Datum		names[ROW_FAULTS + MAX_ERRORS + 2];
	Datum		rows[ROW_FAULTS + MAX_ERRORS + 2];
} Reasons;

static void
add_reason(Reasons *reasons, const char *name, int64 rows)
{
	if (rows == 0)
		return;
	reasons->names[reasons->n] = CStringGetTextDatum(name);
	reasons->rows[reasons->n++] = Int64GetDatum(rows);
}

static void
append(Oid source, Reasons *reasons)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[3] = {OIDOID, TEXTARRAYOID, INT8ARRAYOID};
	Datum		values[3];
	Identity	user = switch_to_owner(our_owner(), 0);

	values[0] = ObjectIdGetDatum(source);
	values[1] = PointerGetDatum(construct_array(reasons->names, reasons->n, TEXTOID, -1, false, TYPALIGN_INT));
	values[2] = PointerGetDatum(construct_array(reasons->rows, reasons->n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
												TYPALIGN_DOUBLE));
	SPI_connect();
	session_plan(&plan, "SELECT leadscore_internal.note_skipped($1, $2, $3)", 3, types);
	if (SPI_execute_plan(plan, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not note what was skipped");
	SPI_finish();
	restore_user(user);
}

void
skips_write(const Skips *skips, Oid source)
{
	Reasons		reasons = {0};

	add_reason(&reasons, "no lead", skips->faults[ROW_WITHOUT_LEAD]);
	add_reason(&reasons, "no kind", skips->faults[ROW_WITHOUT_KIND]);
	add_reason(&reasons, "no time", skips->faults[ROW_WITHOUT_TIME]);
	add_reason(&reasons, "no value", skips->faults[ROW_WITHOUT_VALUE]);
	for (int i = 0; i < skips->nerrors; i++)
		add_reason(&reasons, psprintf("an expression fails: SQLSTATE %s", unpack_sql_state(skips->errors[i])),
				   skips->failed[i]);
	add_reason(&reasons, "archived", skips->archived);
	add_reason(&reasons, "in the future", skips->in_future);
	if (reasons.n > 0)
		append(source, &reasons);
}
