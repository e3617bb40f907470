/*
 * partition_events.c: rows that move between leadscore.event and its children.
 *
 * A move deletes rows from one of these tables and inserts them into another, in one
 * statement. So no snapshot ever sees them twice or not at all, and no timeline changes.
 * The tables are noted as being moved, on the subtransaction, and record() takes no
 * notice of statements on them. Tables with triggers of others are not moved, so no
 * statement of a user runs in between.
 */
#include "live/commit.h"

#include "commands/trigger.h"
#include "utils/array.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(begin_move);
PG_FUNCTION_INFO_V1(end_move);

/* Call "note" for the move of each table of an array. */
static void
for_each_table(ArrayType *tables, void (*note) (Statement statement))
{
	Datum	   *oids;
	int			n;

	deconstruct_array(tables, REGCLASSOID, sizeof(Oid), true, TYPALIGN_INT, &oids, NULL, &n);
	for (int i = 0; i < n; i++)
		note((Statement) {.table = DatumGetObjectId(oids[i]), .kind = STATEMENT_MOVE});
}

/* begin_move(tables): from now on record() takes no notice of statements on these tables. */
Datum
begin_move(PG_FUNCTION_ARGS)
{
	for_each_table(PG_GETARG_ARRAYTYPE_P(0), running_begin);
	PG_RETURN_VOID();
}

/* end_move(tables): the end of what begin_move() has begun. */
Datum
end_move(PG_FUNCTION_ARGS)
{
	for_each_table(PG_GETARG_ARRAYTYPE_P(0), running_end);
	PG_RETURN_VOID();
}
