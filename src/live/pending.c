/*
 * pending.c: the rows of pending_delta by name.
 *
 *     a writer without the row lock ──▶ pending_delta ──▶ the transaction that holds it
 *
 * Rows are appended under the name in the event, without a lock on a lead. Only the
 * transaction that holds the lock on the lead's row in lead_timeline takes them: it adds
 * them to that row and removes them. So no two transactions take the same delta. Readers
 * add the pending deltas to the lead's row. With one snapshot they see each delta in one
 * place or the other.
 */
#include "live/pending.h"

#include "catalog.h"
#include "timeline/timeline.h"

#include "access/table.h"
#include "miscadmin.h"
#include "utils/memutils.h"

void
pending_open_table(Pending *pending, const char *name, AttrNumber column, Snapshot snapshot, Look *look)
{
	Relation	table = look ? open_once(name, AccessShareLock, look) : table_open(our_table(name), AccessShareLock);

	memset(pending, 0, sizeof(Pending));
	if (!(look ? has_pages_once(table, look) : has_pages(table)) && !must_look(snapshot))
	{
		table_close(table, NoLock);
		return;
	}
	pending->table = table;
	pending->may_look_up = lookup_open(&pending->by_name, table, column, snapshot);
}

void
pending_open(Pending *pending, Snapshot snapshot, Look *look)
{
	pending_open_table(pending, "pending_delta", 1, snapshot, look);
}

void
pending_close(Pending *pending)
{
	if (pending->table == NULL)
		return;
	lookup_close(&pending->by_name);
	table_close(pending->table, NoLock);
	pending->table = NULL;
}

bool
pending_exist_for(Pending *pending, const text *name)
{
	bool		any;

	if (pending->table == NULL)
		return false;
	lookup_begin(&pending->by_name, name);
	any = lookup_next(&pending->by_name);
	ExecClearTuple(pending->by_name.slot);
	return any;
}

TimelineBuilder *
pending_add(Pending *pending, const text *name, TimelineBuilder *builder, bool *any)
{
	*any = false;
	if (pending->table == NULL)
		return builder;
	lookup_begin(&pending->by_name, name);
	while (lookup_next(&pending->by_name))
	{
		bool		isnull;

		CHECK_FOR_INTERRUPTS();
		*any = true;
		builder = timeline_builder_add_timeline(builder, DatumGetTimeline(slot_getattr(pending->by_name.slot, 2, &isnull)), 1);
	}
	ExecClearTuple(pending->by_name.slot);
	return builder;
}

PendingRows
pending_find(Pending *pending, const text *name, Snapshot seen, int limit)
{
	PendingRows found = {0};
	int			capacity = 0;
	int			looked_at = 0;
	bool		is_there;
	Lookup	   *lookup = &pending->by_name;

	lookup_begin(lookup, name);
	while ((limit == 0 || looked_at++ < limit) && lookup_next_entry(lookup, &is_there))
	{
		bool		isnull;

		CHECK_FOR_INTERRUPTS();
		if (!is_there ||
			(seen && !table_tuple_satisfies_snapshot(pending->table, lookup->slot, seen)))
			continue;
		if (found.n == capacity)
		{
			capacity = Max(8, capacity * 2);
			found.rows = found.rows ? repalloc_huge(found.rows, capacity * sizeof(ItemPointerData)) : palloc(capacity * sizeof(ItemPointerData));
			found.deltas = found.deltas ? repalloc_huge(found.deltas, capacity * sizeof(struct varlena *)) : palloc(capacity * sizeof(struct varlena *));
		}
		found.rows[found.n] = lookup->slot->tts_tid;
		found.deltas[found.n++] = (struct varlena *) PG_DETOAST_DATUM_COPY(slot_getattr(lookup->slot, 2, &isnull));
	}
	ExecClearTuple(lookup->slot);
	return found;
}

struct varlena *
pending_take(Store *store, PendingRows *found, int i)
{
	return store_remove(store, &found->rows[i]) ? found->deltas[i] : NULL;
}
