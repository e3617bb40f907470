/*
 * bulk.c: adds many rows to one of our tables, bypassing the executor.
 *
 * Rows are inserted in groups, which takes less WAL. Their index entries follow, index by index,
 * sorted by key, so that the entries of one index page come one after the other.
 */
#include "bulk.h"

#include "label.h"

#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "port/pg_bswap.h"
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

/* A row's place in the order of an index. Keys share a beginning, such as "order:"; their next bytes mostly decide. */
typedef struct Order
{
	uint64		head;			/* those bytes, as a number */
	const text *key;
	int			row;
} Order;

/* Equal keys go by the place of their rows, as they do in the index. */
static inline int
order_compare(const Order *a, const Order *b)
{
	int			order;

	if (a->head != b->head)
		return a->head < b->head ? -1 : 1;
	order = text_compare(a->key, b->key);
	return order != 0 ? order : a->row - b->row;
}

#define ST_SORT sort_order
#define ST_ELEMENT_TYPE Order
#define ST_COMPARE(a, b) order_compare(a, b)
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

struct Bulk
{
	Relation	table;
	EState	   *estate;
	ResultRelInfo *result;		/* with its indexes open */
	MemoryContext context;		/* holds the rows of a batch */
	MemoryContext scratch;		/* working memory for writing them */
	int			n;				/* rows in the batch */
	int			nwritten;		/* those already in the heap */
	int			capacity;
	Row		   *rows;
	Order	   *order;			/* of the rows, for an index */
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
	FreeExecutorState(bulk->estate);
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
	bulk->order = palloc(bulk->capacity * sizeof(Order));
	bulk->context = AllocSetContextCreate(CurrentMemoryContext, "leadscore rows", ALLOCSET_DEFAULT_SIZES);
	bulk->scratch = AllocSetContextCreate(CurrentMemoryContext, "leadscore row", ALLOCSET_DEFAULT_SIZES);
	bulk->estate = CreateExecutorState();
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

/* How many bytes all keys begin with. */
static int
common_beginning(const Order *order, int n)
{
	Label		first = text_label(order[0].key);
	int			length = first.length;

	for (int i = 1; i < n; i++)
	{
		Label		key = text_label(order[i].key);
		int			same = 0;

		length = Min(length, key.length);
		while (same < length && key.text[same] == first.text[same])
			same++;
		length = same;
	}
	return length;
}

/* The eight bytes of a key after its first ones, as a number. */
static uint64
head_of(const text *key, int after)
{
	Label		label = text_label(key);
	uint64		head = 0;

	memcpy(&head, label.text + after, Min(label.length - after, (int) sizeof(head)));
	return pg_ntoh64(head);
}

/* Sort the rows for an index, approximately: by the bytes of its first column. */
static void
sort_for(Bulk *bulk, Relation index)
{
	int			column = index->rd_index->indkey.values[0] - 1;
	bool		by_text = column >= 0 && TupleDescAttr(RelationGetDescr(bulk->table), column)->atttypid == TEXTOID;
	int			beginning;

	for (int i = 0; i < bulk->n; i++)
	{
		by_text = by_text && !bulk->rows[i].nulls[column];
		bulk->order[i].row = i;
		bulk->order[i].key = by_text ? (const text *) DatumGetPointer(bulk->rows[i].values[column]) : NULL;
	}
	if (!by_text)
		return;
	beginning = common_beginning(bulk->order, bulk->n);
	for (int i = 0; i < bulk->n; i++)
		bulk->order[i].head = head_of(bulk->order[i].key, beginning);
	sort_order(bulk->order, bulk->n);
}

/* Insert the entries of one index. */
static void
write_entries(Bulk *bulk, Relation index, IndexInfo *info)
{
	Datum		values[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS];

	sort_for(bulk, index);
	for (int i = 0; i < bulk->n; i++)
	{
		Row		   *row = &bulk->rows[bulk->order[i].row];

		CHECK_FOR_INTERRUPTS();
		fill_slot(bulk, bulk->slots[0], row);
		FormIndexDatum(info, bulk->slots[0], bulk->estate, values, nulls);
		(void) index_insert(index, values, nulls, &row->place, bulk->table,
							index->rd_index->indisunique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO, false, info);
		ResetPerTupleExprContext(bulk->estate);
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
	old = MemoryContextSwitchTo(GetPerTupleMemoryContext(bulk->estate));
	for (int i = 0; i < bulk->result->ri_NumIndices; i++)
		if (bulk->result->ri_IndexRelationDescs[i]->rd_index->indisready)
			write_entries(bulk, bulk->result->ri_IndexRelationDescs[i], bulk->result->ri_IndexRelationInfo[i]);
	MemoryContextSwitchTo(old);
	ExecClearTuple(bulk->slots[0]);
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
		bulk->order = repalloc(bulk->order, bulk->capacity * sizeof(Order));
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
