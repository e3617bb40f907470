/*
 * latest.c: the row of a customer table that counts, if several rows name one lead:
 * the row with the greatest value in the column latest_by. NULL is below all other
 * values. Among rows with the same value, the one with the smallest attributes
 * counts, in the order of jsonb. Without latest_by a lead has one row.
 *
 * Rows are found by an index that begins with the lead's column, in the table, its
 * partitions and its children, as far as these have triggers of the mapping and are
 * not being truncated. If the next column of the index is latest_by, the scan stops
 * after the row that counts.
 *
 * The scan uses SnapshotSelf at every isolation level: it sees rows that are committed
 * now and rows that the transaction has written itself.
 *
 * Lock. The caller holds the lock on the lead's row in table lead, which store.c has
 * taken, until the end of its transaction. So a transaction that is changing customer
 * rows of the lead at this moment does not hold that lock, and has appended look_again
 * to pending_profile. The lead is looked up again when that entry is merged, after the
 * other transaction has committed. Until then its changes may or may not be seen.
 */
#include "live/latest.h"

#include "attempt.h"
#include "catalog.h"
#include "label.h"
#include "session_cache.h"
#include "live/commit.h"
#include "live/delta.h"
#include "live/source.h"

#include "access/genam.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_am.h"
#include "catalog/pg_index.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/typcache.h"

PG_FUNCTION_INFO_V1(latest_profile);

/* A table to look up rows in. */
typedef struct Member
{
	Relation	table;
	Relation	index;
	Source	   *source;
	IndexScanDesc scan;
	TupleTableSlot *slot;
	RegProcedure equality;
	Oid			collation;		/* of latest_by */
	FmgrInfo   *compare;		/* values of latest_by */
	bool		by_value;
	int16		length;
	bool		in_order;		/* the next index column is latest_by, scanned from the greatest value down */
	ScanDirection direction;
} Member;

struct Latest
{
	MemoryContext context;
	bool		ready;
	int			nmembers;
	Member	   *members;
};

/* ---------- tables ---------- */

/*
 * The tables of a family: the ancestors of a table and all their descendants. With a
 * mapping (not NULL), also all tables that are tracked with it, because a table that is
 * being removed may already have left the family.
 */
static List *
family_of_table(Oid table, Jsonb *mapping)
{
	static SPIPlanPtr plan = NULL;
	MemoryContext context = CurrentMemoryContext;
	Oid			types[2] = {OIDOID, JSONBOID};
	Datum		values[2] = {ObjectIdGetDatum(table), JsonbPGetDatum(mapping)};
	char		nulls[2] = {' ', mapping ? ' ' : 'n'};
	List	   *members = NIL;

	SPI_connect();
	session_plan(&plan, "SELECT leadscore_internal.profile_tables($1, $2)", 2, types);
	if (SPI_execute_plan(plan, values, nulls, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not find the family of a table");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;
		Oid			member = DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull));
		MemoryContext old = MemoryContextSwitchTo(context);

		members = lappend_oid(members, member);
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	return members;
}

/* Whether a table has triggers of a mapping, so that its rows count. */
static bool
has_triggers_of(Relation table, uint64 family)
{
	for (int i = 0; table->trigdesc && i < table->trigdesc->numtriggers; i++)
	{
		Trigger    *trigger = &table->trigdesc->triggers[i];
		Jsonb	   *mapping = TRIGGER_FOR_INSERT(trigger->tgtype) && trigger->tgnargs == 1 ? mapping_of(trigger) : NULL;

		if (mapping && source_family(mapping) == family)
			return true;
	}
	return false;
}

/* Whether an index covers all rows of a table and begins with the lead. */
static bool
begins_with(Relation index, const SourceColumn *lead_id)
{
	Form_pg_index form = index->rd_index;

	return form->indisvalid && index->rd_rel->relam == BTREE_AM_OID && RelationGetIndexPredicate(index) == NIL &&
		(lead_id->expression ? expression_is_indexed(lead_id->expression, index, 0)
		 : form->indkey.values[0] == lead_id->attnum);
}

/* Whether the next column of an index is latest_by, in the default order of its type. */
static bool
goes_on_with(Relation index, const SourceColumn *column, Oid collation)
{
	Oid			family;

	if (column->attnum == 0 || index->rd_index->indnkeyatts < 2 || index->rd_index->indkey.values[1] != column->attnum || index->rd_indcollation[1] != collation)
		return false;
	family = get_opclass_family(GetDefaultOpClass(column->type, BTREE_AM_OID));
	return index->rd_opfamily[1] == family;
}

static void
open_index(Member *member, Oid oid)
{
	Source	   *source = member->source;
	Relation	index = index_open(oid, AccessShareLock);

	if (!begins_with(index, &source->lead_id) ||
		(member->index && !goes_on_with(index, &source->latest_by, member->collation)))
	{
		index_close(index, AccessShareLock);
		return;
	}
	if (member->index)
		index_close(member->index, NoLock);
	member->index = index;
	/* with a single jsonb column each row has its own keys, and we need the keys of all rows */
	member->in_order = goes_on_with(index, &source->latest_by, member->collation) && !source->whole_properties;
	member->direction = member->in_order && !(index->rd_indoption[1] & INDOPTION_DESC) ? BackwardScanDirection : ForwardScanDirection;
	member->equality = get_opcode(get_opfamily_member(index->rd_opfamily[0], index->rd_opcintype[0], index->rd_opcintype[0], BTEqualStrategyNumber));
}

/* How values of latest_by are compared; false if they cannot be. */
static bool
set_order(Member *member)
{
	const SourceColumn *latest_by = &member->source->latest_by;
	TypeCacheEntry *type = lookup_type_cache(latest_by->type, TYPECACHE_CMP_PROC_FINFO);

	member->compare = &type->cmp_proc_finfo;
	member->by_value = type->typbyval;
	member->length = type->typlen;
	member->collation = TupleDescAttr(RelationGetDescr(member->table), latest_by->attnum - 1)->attcollation;
	return OidIsValid(type->cmp_proc_finfo.fn_oid);
}

/* Open a table's index; false if no index fits. */
static bool
open_member(Member *member, Jsonb *mapping)
{
	Source	   *source = source_map(mapping, RelationGetDescr(member->table), member->table->rd_rel->relowner);
	ListCell   *cell;

	member->source = source;
	if (source->problem || (source->latest_by.attnum != 0 && !set_order(member)))
		return false;
	foreach(cell, RelationGetIndexList(member->table))
		open_index(member, lfirst_oid(cell));
	if (member->index == NULL)
		return false;
	member->scan = begin_index_scan(member->table, member->index, SnapshotSelf, 1);
	member->slot = table_slot_create(member->table, NULL);
	return true;
}

/* Open a table of the family if its rows count; false if we cannot lock it now, or if no index fits. */
static bool
add_member(Latest *latest, Oid oid, Jsonb *mapping, uint64 family)
{
	Relation	table;
	Member	   *member = &latest->members[latest->nmembers];

	if (!ConditionalLockRelationOid(oid, AccessShareLock))
		return false;
	table = try_table_open(oid, NoLock);
	if (table == NULL)
		return true;
	if (table->rd_rel->relkind != RELKIND_RELATION || RELATION_IS_OTHER_TEMP(table) || !has_triggers_of(table, family) ||
		running_on(table, TRIGGER_EVENT_TRUNCATE, family))
	{
		table_close(table, NoLock);
		return true;
	}
	memset(member, 0, sizeof(Member));
	member->table = table;
	latest->nmembers++;
	return open_member(member, mapping);
}

Latest *
latest_open(Oid table, Jsonb *mapping, List *excluded)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "leadscore latest rows", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Latest	   *latest = palloc0(sizeof(Latest));
	List	   *members = list_difference_oid(family_of_table(table, excluded ? mapping : NULL), excluded);
	ListCell   *cell;

	latest->context = context;
	latest->ready = true;
	latest->members = palloc(Max(list_length(members), 1) * sizeof(Member));
	foreach(cell, members)
		latest->ready = latest->ready && add_member(latest, lfirst_oid(cell), mapping, source_family(mapping));
	MemoryContextSwitchTo(old);
	return latest;
}

void
latest_close(Latest *latest)
{
	for (int i = 0; i < latest->nmembers; i++)
	{
		Member	   *member = &latest->members[i];

		if (member->scan)
		{
			index_endscan(member->scan);
			ExecDropSingleTupleTableSlot(member->slot);
		}
		if (member->index)
			index_close(member->index, NoLock);
		table_close(member->table, NoLock);
	}
	MemoryContextDelete(latest->context);
}

bool
latest_is_ready(const Latest *latest)
{
	return latest->ready;
}

/* ---------- rows ---------- */

/* The row that counts among those read so far. */
typedef struct Best
{
	LatestRow	row;
	NullableDatum latest_by;
} Best;

/* A value to be made from its text. */
typedef struct Conversion
{
	Oid			type;
	char	   *text;
	Datum		value;
	bool		done;
} Conversion;

static void
convert(void *argument)
{
	Conversion *c = argument;
	Oid			input;
	Oid			parameter;

	getTypeInputInfo(c->type, &input, &parameter);
	c->value = OidInputFunctionCall(input, c->text, parameter, -1);
	c->done = true;
}

static bool
is_integer(const char *text, int64 least, int64 most, int64 *value)
{
	char	   *end;

	errno = 0;
	*value = strtoll(text, &end, 10);
	return errno == 0 && end != text && *end == '\0' && *value >= least && *value <= most;
}

/*
 * The value of the lead's column, from the text that was made of such a value; false if
 * the text does not fit, because the type of the column has changed since.
 */
static bool
key_of(const Member *member, const text *lead_id, Datum *key)
{
	Conversion	c = {.type = member->source->lead_id.type};
	int64		integer;

	*key = PointerGetDatum(lead_id);
	if (c.type == TEXTOID || c.type == VARCHAROID || c.type == BPCHAROID)
		return true;
	c.text = text_to_cstring(lead_id);
	switch (c.type)
	{
		case INT2OID:
			c.done = is_integer(c.text, PG_INT16_MIN, PG_INT16_MAX, &integer);
			c.value = Int16GetDatum((int16) integer);
			break;
		case INT4OID:
			c.done = is_integer(c.text, PG_INT32_MIN, PG_INT32_MAX, &integer);
			c.value = Int32GetDatum((int32) integer);
			break;
		case INT8OID:
			c.done = is_integer(c.text, PG_INT64_MIN, PG_INT64_MAX, &integer);
			c.value = Int64GetDatum(integer);
			break;
		case UUIDOID:
			if (strlen(c.text) == 36 && strspn(c.text, "0123456789abcdef-") == 36)
				convert(&c);
			break;
		default:
			attempt(convert, &c, "a lead cannot be looked up", NULL);
	}
	*key = c.value;
	return c.done;
}

/* Compare a row with the best one so far: above zero if the row counts instead. */
static int
compare_row(const Member *member, const Best *best, NullableDatum latest_by, Jsonb *attributes)
{
	int			order = best->latest_by.isnull - latest_by.isnull;

	if (best->row.attributes == NULL)
		return 1;
	if (order == 0 && !latest_by.isnull)
		order = DatumGetInt32(FunctionCall2Coll(member->compare, member->collation, latest_by.value, best->latest_by.value));
	return order != 0 ? order : compareJsonbContainers(&best->row.attributes->root, &attributes->root);
}

/* Whether no later row in index order can count. */
static bool
is_behind(const Member *member, const Best *best, NullableDatum latest_by)
{
	return member->in_order && best->row.attributes && !best->latest_by.isnull &&
		(latest_by.isnull ||
		 DatumGetInt32(FunctionCall2Coll(member->compare, member->collation, latest_by.value, best->latest_by.value)) < 0);
}

/*
 * Look at the row in the slot; false if the rows after it need not be read. Reading it
 * allocates in "scratch", which is then reset.
 */
static bool
look_at_row(Member *member, Reading *reading, const text *lead_id, Best *best, MemoryContext scratch)
{
	MemoryContext context = MemoryContextSwitchTo(scratch);
	SourceRow	row;
	Jsonb	   *attributes = source_read_profile(reading, member->slot, &row);
	AttrNumber	column = member->source->latest_by.attnum;
	NullableDatum latest_by = {.isnull = true};
	bool		goes_on = true;

	if (column != 0)
		latest_by.value = slot_getattr(member->slot, column, &latest_by.isnull);
	/* values that are equal by the column's type or collation may name different leads */
	if (attributes && label_equal(text_label(lead_id), (Label) {row.lead_id, row.lead_id_length}))
	{
		goes_on = !is_behind(member, best, latest_by);
		MemoryContextSwitchTo(context);
		if (best->row.keys == NULL)
			best->row.keys = DatumGetJsonbPCopy(JsonbPGetDatum(attributes));
		else if (member->source->whole_properties)
			best->row.keys = DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(best->row.keys), JsonbPGetDatum(attributes)));
		if (compare_row(member, best, latest_by, attributes) > 0)
		{
			best->row.attributes = DatumGetJsonbPCopy(JsonbPGetDatum(attributes));
			best->latest_by = latest_by;
			if (!latest_by.isnull)
				best->latest_by.value = datumCopy(member->length == -1 ? PointerGetDatum(PG_DETOAST_DATUM(latest_by.value)) : latest_by.value,
												  member->by_value, member->length);
		}
	}
	MemoryContextSwitchTo(context);
	MemoryContextReset(scratch);
	return goes_on;
}

/* Look at the rows of a lead in one table, as its owner. */
static void
look_into(Latest *latest, Member *member, const text *lead_id, Best *best, MemoryContext scratch)
{
	MemoryContext context = CurrentMemoryContext;
	Identity	user = switch_to_owner(member->table->rd_rel->relowner, SECURITY_RESTRICTED_OPERATION);
	Reading		reading = {.source = member->source};
	int			settings = -1;
	ScanKeyData key;
	Datum		value;

	if (member->source->pinned_settings)
	{
		settings = NewGUCNestLevel();
		pin_settings();
	}
	if (!key_of(member, lead_id, &value))
		value = 0;
	ScanKeyEntryInitialize(&key, 0, 1, BTEqualStrategyNumber, InvalidOid, member->index->rd_indcollation[0], member->equality, value);
	/* a scan may allocate at any time, and keeps the memory */
	MemoryContextSwitchTo(latest->context);
	index_rescan(member->scan, &key, 1, NULL, 0);
	while (index_getnext_slot(member->scan, member->direction, member->slot))
	{
		bool		goes_on;

		CHECK_FOR_INTERRUPTS();
		MemoryContextSwitchTo(context);
		goes_on = look_at_row(member, &reading, lead_id, best, scratch);
		MemoryContextSwitchTo(latest->context);
		if (!goes_on)
			break;
	}
	reading_end(&reading);
	ExecClearTuple(member->slot);
	MemoryContextSwitchTo(context);
	if (settings >= 0)
		AtEOXact_GUC(false, settings);
	restore_user(user);
}

LatestRow
latest_row(Latest *latest, const text *lead_id)
{
	Best		best = {.latest_by.isnull = true};
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "leadscore row", ALLOCSET_SMALL_SIZES);

	for (int i = 0; i < latest->nmembers; i++)
		look_into(latest, &latest->members[i], lead_id, &best, scratch);
	MemoryContextDelete(scratch);
	return best.row;
}

/*
 * latest_profile(source, mapping, lead_id, OUT keys, OUT attributes): the row that
 * counts for a lead.
 */
Datum
latest_profile(PG_FUNCTION_ARGS)
{
	Latest	   *latest;
	LatestRow	row;
	TupleDesc	type;
	Datum		values[2];
	bool		nulls[2];

	if (get_call_result_type(fcinfo, NULL, &type) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "latest_profile() does not return a row");
	latest = latest_open(PG_GETARG_OID(0), PG_GETARG_JSONB_P(1), NIL);
	if (!latest_is_ready(latest))
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("the rows of a lead cannot be looked up in table \"%s\" now", get_rel_name(PG_GETARG_OID(0))),
				 errdetail("Somebody has locked it, or it has lost its index.")));
	row = latest_row(latest, PG_GETARG_TEXT_PP(2));
	latest_close(latest);
	values[0] = JsonbPGetDatum(row.keys);
	nulls[0] = row.keys == NULL;
	values[1] = JsonbPGetDatum(row.attributes);
	nulls[1] = row.attributes == NULL;
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(type), values, nulls)));
}
