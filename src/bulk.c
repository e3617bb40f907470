/*
 * bulk.c: adds many rows to one of our tables, bypassing the executor.
 *
 * Rows are inserted in groups, which takes less WAL. Their index entries follow, index by index,
 * sorted by key, so that the entries of one index page come one after the other.
 */
#include "bulk.h"

#include "label_order.h"

#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/memutils.h"

/* Rows inserted at a time. */
#define AT_ONCE 256

/* Most rows whose index entries are made at a time. */
#define BATCH 10000

/* A row of the batch. */
typedef struct Row
{
	const Datum *values;
	const bool *nulls;
	ItemPointerData place;
} Row;

struct Bulk
{
	Relation	table;
	ResultRelInfo *result;		/* with its indexes open */
	MemoryContext context;		/* holds the rows of a batch */
	MemoryContext scratch;		/* working memory for writing them */
	int			n;				/* rows in the batch */
	int			nwritten;		/* those already in the heap */
	int			capacity;
	Row		   *rows;
	LabelOrder *order;			/* of the rows, for an index */
	TupleTableSlot *slots[AT_ONCE]; /* NULL: not made yet */
};

/* Whether rows can be inserted without the executor. */
static bool
is_plain(Relation table, int ncolumns)
{
	const TupleConstr *constraints = table->rd_att->constr;

	return table->rd_rel->relkind == RELKIND_RELATION && RelationGetNumberOfAttributes(table) == ncolumns &&
		table->rd_rules == NULL && !table->rd_rel->relforcerowsecurity &&
		(constraints == NULL || (constraints->num_check == 0 && !constraints->has_generated_stored));
}

/* The same for the entries of its indexes. */
static bool
are_plain(const ResultRelInfo *result)
{
	for (int i = 0; i < result->ri_NumIndices; i++)
	{
		const IndexInfo *info = result->ri_IndexRelationInfo[i];

		if (info->ii_Expressions != NIL || info->ii_Predicate != NIL || info->ii_ExclusionOps ||
			!result->ri_IndexRelationDescs[i]->rd_index->indimmediate)
			return false;
	}
	return true;
}

static void
free_bulk(Bulk *bulk)
{
	for (int i = 0; i < AT_ONCE && bulk->slots[i]; i++)
		ExecDropSingleTupleTableSlot(bulk->slots[i]);
	ExecCloseIndices(bulk->result);
	MemoryContextDelete(bulk->scratch);
	MemoryContextDelete(bulk->context);
	pfree(bulk->rows);
	pfree(bulk->order);
	pfree(bulk);
}

Bulk *
bulk_open(Relation table, int ncolumns)
{
	Bulk	   *bulk;

	if (!is_plain(table, ncolumns))
		return NULL;
	bulk = palloc0(sizeof(Bulk));
	bulk->table = table;
	bulk->capacity = 16;
	bulk->rows = palloc(bulk->capacity * sizeof(Row));
	bulk->order = palloc(bulk->capacity * sizeof(LabelOrder));
	bulk->context = AllocSetContextCreate(CurrentMemoryContext, "leadscore rows", ALLOCSET_DEFAULT_SIZES);
	bulk->scratch = AllocSetContextCreate(CurrentMemoryContext, "leadscore row", ALLOCSET_DEFAULT_SIZES);
	bulk->result = makeNode(ResultRelInfo);
	InitResultRelInfo(bulk->result, table, 0, NULL, 0);
	ExecOpenIndices(bulk->result, false);
	if (are_plain(bulk->result))
		return bulk;
	free_bulk(bulk);
	return NULL;
}

static void
fill_slot(const Bulk *bulk, TupleTableSlot *slot, const Row *row)
{
	int			columns = RelationGetNumberOfAttributes(bulk->table);

	ExecClearTuple(slot);
	memcpy(slot->tts_values, row->values, columns * sizeof(Datum));
	memcpy(slot->tts_isnull, row->nulls, columns * sizeof(bool));
	ExecStoreVirtualTuple(slot);
}

/* Insert the rows added since the last call. */
static void
write_rows(Bulk *bulk)
{
	int			n = bulk->n - bulk->nwritten;
	MemoryContext old;

	CHECK_FOR_INTERRUPTS();
	if (n == 0)
		return;
	old = MemoryContextSwitchTo(bulk->scratch);
	for (int i = 0; i < n; i++)
		fill_slot(bulk, bulk->slots[i], &bulk->rows[bulk->nwritten + i]);
	table_multi_insert(bulk->table, bulk->slots, n, GetCurrentCommandId(true), 0, NULL);
	for (int i = 0; i < n; i++)
		bulk->rows[bulk->nwritten + i].place = bulk->slots[i]->tts_tid;
	bulk->nwritten = bulk->n;
	MemoryContextSwitchTo(old);
	MemoryContextReset(bulk->scratch);
}

/* Sort the rows for an index, approximately: by the bytes of its first column; equal keys by place, as in the index. */
static void
sort_for(Bulk *bulk, Relation index)
{
	int			column = index->rd_index->indkey.values[0] - 1;
	bool		by_text = TupleDescAttr(RelationGetDescr(bulk->table), column)->atttypid == TEXTOID;

	for (int i = 0; i < bulk->n; i++)
	{
		by_text = by_text && !bulk->rows[i].nulls[column];
		bulk->order[i].place = i;
		if (by_text)
			bulk->order[i].label = text_label((const text *) DatumGetPointer(bulk->rows[i].values[column]));
	}
	if (by_text)
		order_labels(bulk->order, bulk->n);
}

/* Insert the entries of one index. Its columns are columns of the table: see are_plain(). */
static void
write_entries(Bulk *bulk, Relation index, IndexInfo *info)
{
	IndexUniqueCheck check = index->rd_index->indisunique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO;
	Datum		values[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS];

	sort_for(bulk, index);
	for (int i = 0; i < bulk->n; i++)
	{
		Row		   *row = &bulk->rows[bulk->order[i].place];

		CHECK_FOR_INTERRUPTS();
		for (int j = 0; j < info->ii_NumIndexAttrs; j++)
		{
			int			column = info->ii_IndexAttrNumbers[j] - 1;

			values[j] = row->values[column];
			nulls[j] = row->nulls[column];
		}
		(void) index_insert(index, values, nulls, &row->place, bulk->table, check, false, info);
	}
}

/* Write a batch. */
static void
write_batch(Bulk *bulk)
{
	MemoryContext old;

	if (bulk->n == 0)
		return;
	write_rows(bulk);
	old = MemoryContextSwitchTo(bulk->scratch);
	for (int i = 0; i < bulk->result->ri_NumIndices; i++)
		if (bulk->result->ri_IndexRelationDescs[i]->rd_index->indisready)
		{
			write_entries(bulk, bulk->result->ri_IndexRelationDescs[i], bulk->result->ri_IndexRelationInfo[i]);
			MemoryContextReset(bulk->scratch);
		}
	MemoryContextSwitchTo(old);
	bulk->n = bulk->nwritten = 0;
	MemoryContextReset(bulk->context);
}

void
bulk_add(Bulk *bulk, const Datum *values, const bool *nulls)
{
	int			columns = RelationGetNumberOfAttributes(bulk->table);
	int			slot = bulk->n - bulk->nwritten;
	Row		   *row;
	Datum	   *copy = MemoryContextAlloc(bulk->context, columns * (sizeof(Datum) + sizeof(bool)));

	if (bulk->n == bulk->capacity)
	{
		bulk->capacity *= 2;
		bulk->rows = repalloc(bulk->rows, bulk->capacity * sizeof(Row));
		bulk->order = repalloc(bulk->order, bulk->capacity * sizeof(LabelOrder));
	}
	row = &bulk->rows[bulk->n++];
	row->values = memcpy(copy, values, columns * sizeof(Datum));
	row->nulls = memcpy(copy + columns, nulls, columns * sizeof(bool));
	if (bulk->slots[slot] == NULL)
		bulk->slots[slot] = table_slot_create(bulk->table, NULL);
	if (bulk->n == BATCH)
		write_batch(bulk);
	else if (slot + 1 == AT_ONCE)
		write_rows(bulk);
}

void
bulk_close(Bulk *bulk)
{
	write_batch(bulk);
	free_bulk(bulk);
}
