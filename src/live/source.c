/*
 * source.c: reading the rows of a tracked table as events or profiles: the rows
 * of a statement, one by one, and the rows of whole tables.
 *
 * A whole table is scanned directly, without a query: nothing is planned, and no
 * policy hides a row. A query is used only to find the rows of some leads or kinds,
 * for which there may be an index. Either way, rows are read as the table's owner.
 */
#include "live/source.h"

#include "catalog.h"
#include "label.h"
#include "session_cache.h"
#include "live/delta.h"
#include "live/order_key.h"
#include "live/row_query.h"

#include <ctype.h>

#include "access/detoast.h"
#include "access/htup_details.h"
#include "access/transam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "nodes/makefuncs.h"
#include "parser/parse_coerce.h"
#include "storage/lmgr.h"
#include "tcop/dest.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

/* The mappings that the session has looked up, by trigger. */
typedef struct SourceEntry
{
	Oid			trigger;		/* hash key */
	SessionCache cache;			/* of a Source */
} SourceEntry;

/* Mappings that a session keeps; to keep another one, it forgets all of them. */
#define MAX_SOURCES 256

static HTAB *sources = NULL;

/*
 * A statement must not fail because of the values in a row, and jsonb and text have
 * limits of 256 MB and 1 GB. So values that could come near them are not converted. A
 * row whose properties could become more than 64 MB of jsonb is read as if it had no
 * properties. A lead or kind of a type other than text is read as NULL if its value is
 * larger than 1 MB.
 */
#define MOST_PROPERTY_BYTES (64 * 1024 * 1024)
#define MOST_OUTPUT_BYTES (1024 * 1024)

/* How many bytes a byte can become: a 4-byte element of an enum[] or regclass[] becomes a name of up to 130 bytes. */
#define MOST_GROWTH 34

PG_FUNCTION_INFO_V1(property_type);
PG_FUNCTION_INFO_V1(looks_like_name);
PG_FUNCTION_INFO_V1(has_expression);
PG_FUNCTION_INFO_V1(has_rows);
PG_FUNCTION_INFO_V1(has_events);
PG_FUNCTION_INFO_V1(count_rows);
PG_FUNCTION_INFO_V1(find_rows);
PG_FUNCTION_INFO_V1(lock_source);
PG_FUNCTION_INFO_V1(try_table);

/* ---------- the mapping ---------- */

/* Whether the text output of a type depends only on the value. */
bool
text_is_fixed(Oid type)
{
	switch (type)
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case NUMERICOID:
		case BOOLOID:
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case NAMEOID:
		case UUIDOID:
		case JSONBOID:
			return true;
		default:
			return type_is_enum(type);
	}
}

/*
 * Whether values of a type can be properties: they can be converted to jsonb with no
 * function other than the type's own. A cast to json may belong to any user, and may
 * fail. The text of a json value need not be valid jsonb.
 */
bool
is_property_type(Oid type)
{
	Oid			base = getBaseType(type);
	Oid			element;
	Oid			function;

	/* look through arrays of domains over arrays, down to the innermost element type */
	while (OidIsValid(element = get_element_type(base)))
		base = getBaseType(element);
	return base != JSONOID && get_typtype(base) != TYPTYPE_COMPOSITE &&
		(base < FirstNormalObjectId ||
		 find_coercion_pathway(JSONOID, base, COERCION_EXPLICIT, &function) != COERCION_PATH_FUNC);
}

/* is_property_type(type) */
Datum
property_type(PG_FUNCTION_ARGS)
{
	Oid			type = PG_GETARG_OID(0);

	if (!SearchSysCacheExists1(TYPEOID, ObjectIdGetDatum(type)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("type with OID %u does not exist", type)));
	PG_RETURN_BOOL(is_property_type(type));
}

/* The number of a column; 0 if there is no column of that name. */
static AttrNumber
column_named(TupleDesc row, const char *name)
{
	for (int i = 0; i < row->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(row, i);

		if (!attribute->attisdropped && strcmp(NameStr(attribute->attname), name) == 0)
			return attribute->attnum;
	}
	return 0;
}

/* Whether a text can only be a name: it consists of letters of any alphabet, digits, _ and $. */
static bool
is_name(const char *text)
{
	if (isdigit((unsigned char) *text) || *text == '$' || *text == '\0')
		return false;
	for (; *text != '\0'; text++)
		if ((unsigned char) *text < 0x80 && !isalnum((unsigned char) *text) && *text != '_' && *text != '$')
			return false;
	return true;
}

/* looks_like_name(text) */
Datum
looks_like_name(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(is_name(text_to_cstring(PG_GETARG_TEXT_PP(0))));
}

/* Map an expression in place of a column; false, with the source's problem set, if the text is not an expression. */
static bool
map_expression(Source *source, TupleDesc row, const char *text, ExpressionUse use, SourceColumn *column)
{
	Expression *expression = expression_try(text, row, use, &source->problem);

	if (expression == NULL)
		return false;
	column->expression = expression;
	column->type = expression->type;
	source->pinned_settings |= expression->uses_settings;
	source->last_column = Max(source->last_column, bms_prev_member(expression->columns, -1));
	if (use == AS_CONDITION)
		return true;
	source->expressions = lappend(source->expressions, column);
	return true;
}

/*
 * Map a column, or an expression in its place; false, with the source's problem set,
 * if the text is neither.
 */
static bool
map_column(Source *source, TupleDesc row, const char *text, ExpressionUse use, SourceColumn *column)
{
	AttrNumber	attnum = text ? column_named(row, text) : 0;
	Oid			output;

	if (text == NULL)
		return true;
	if (attnum == 0 && is_name(text))
	{
		source->problem = psprintf("There is no column \"%s\" any more.", text);
		return false;
	}
	/* a json column becomes jsonb as a property, which may fail, so it is evaluated as an expression */
	if (attnum > 0 && use == AS_PROPERTY && getBaseType(TupleDescAttr(row, attnum - 1)->atttypid) == JSONOID)
	{
		text = quote_identifier(text);
		attnum = 0;
	}
	if (attnum > 0 && use != AS_CONDITION)
	{
		column->attnum = attnum;
		column->type = getBaseType(TupleDescAttr(row, attnum - 1)->atttypid);
		source->last_column = Max(source->last_column, column->attnum);
	}
	else if (!map_expression(source, row, attnum > 0 ? quote_identifier(text) : text, use, column))
		return false;
	getTypeOutputInfo(column->type, &output, &column->is_varlena);
	fmgr_info_cxt(output, &column->output, source->context);
	return true;
}

/* Whether a column's type has changed since track() to one that cannot be read. */
static bool
type_has_changed(Source *source, const SourceColumn *column, const Oid *types, int n)
{
	if (column->attnum == 0)
		return false;
	for (int i = 0; i < n; i++)
		if (column->type == types[i])
			return false;
	source->problem = psprintf("A column is now of type %s.", format_type_be(column->type));
	return true;
}

/* How many bytes of jsonb a byte of a column can become. */
static int
growth_of(const SourceColumn *column)
{
	if (!column->is_varlena)
		return 0;
	switch (column->type)
	{
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case JSONBOID:
		case NUMERICOID:
			return 1;
		default:
			return MOST_GROWTH;
	}
}

/*
 * The name of a property; *text is the column or expression that gives its value. If
 * the property is not a column, it has the form "name => expression".
 */
static const char *
property_named(TupleDesc row, const char *property, const char **text)
{
	const char *arrow = column_named(row, property) > 0 ? NULL : strstr(property, "=>");
	int			length = arrow ? arrow - property : 0;

	*text = arrow ? arrow + 2 : property;
	while (length > 0 && isspace((unsigned char) property[length - 1]))
		length--;
	return arrow ? pnstrdup(property, length) : property;
}

/* Map a property; false, with the source's problem set, if it cannot be one. */
static bool
map_property(Source *source, TupleDesc row, const char *text, SourceColumn *column)
{
	if (!map_column(source, row, text, AS_PROPERTY, column))
		return false;
	if (is_property_type(column->type))
		return true;
	source->problem = psprintf("A property is now of type %s.", format_type_be(column->type));
	return false;
}

/* Prepare the call jsonb_build_object(name, value, ...). */
static void
map_properties(Source *source, TupleDesc row, char **properties, int n)
{
	FmgrInfo   *function = palloc0(sizeof(FmgrInfo));
	List	   *arguments = NIL;
	FunctionCallInfo call = palloc0(SizeForFunctionCallInfo(2 * Max(n, 1)));

	source->properties = palloc0(n * sizeof(SourceColumn));
	source->property_growth = palloc(n * sizeof(int));
	for (int i = 0; i < n; i++)
	{
		SourceColumn *column = &source->properties[i];
		Param	   *value = makeNode(Param);
		const char *text;
		const char *name = property_named(row, properties[i], &text);
		Datum		label = CStringGetTextDatum(name);

		if (!map_property(source, row, text, column))
			return;
		source->property_growth[i] = growth_of(column);
		source->pinned_settings |= !text_is_fixed(column->type);
		/* a single jsonb value is the whole object, unless it has a name of its own: "name => expression" */
		if (n == 1 && column->type == JSONBOID && name == properties[i])
			source->whole_properties = true;

		value->paramkind = PARAM_EXEC;
		value->paramtype = column->attnum > 0 ? TupleDescAttr(row, column->attnum - 1)->atttypid : column->type;
		value->paramtypmod = -1;
		arguments = lappend(arguments, makeConst(TEXTOID, -1, InvalidOid, -1, label, false, false));
		arguments = lappend(arguments, value);
		call->args[2 * i].value = label;
	}
	source->nproperties = n;
	fmgr_info_cxt(F_JSONB_BUILD_OBJECT_ANY, function, source->context);
	fmgr_info_set_expr((Node *) makeFuncExpr(F_JSONB_BUILD_OBJECT_ANY, JSONBOID, arguments, InvalidOid,
											 InvalidOid, COERCE_EXPLICIT_CALL), function);
	InitFunctionCallInfoData(*call, function, 2 * n, InvalidOid, NULL, NULL);
	source->build_properties = call;
}

/* Whether the text of a mapping is evaluated as an expression, not read as a column. */
static bool
is_expression(TupleDesc row, const char *text, bool is_property)
{
	AttrNumber	attnum = column_named(row, text);

	if (attnum == 0)
		return !is_name(text);
	return is_property && getBaseType(TupleDescAttr(row, attnum - 1)->atttypid) == JSONOID;
}

static bool
mapping_has_expression(JsonbContainer *mapping, TupleDesc row)
{
	static const char *const members[] = {"lead_id", "kind_column", "occurred_at", "value"};
	DocPath		root = {NULL, "source", 0};
	JsonbValue	value;

	if (doc_member(mapping, "filter", &value))
		return true;
	for (Size i = 0; i < lengthof(members); i++)
	{
		char	   *text = doc_string(mapping, &root, members[i], false);

		if (text && is_expression(row, text, false))
			return true;
	}
	if (!doc_member(mapping, "properties", &value) || value.type != jbvBinary)
		return false;
	for (uint32 i = 0; i < JsonContainerSize(value.val.binary.data); i++)
	{
		JsonbValue *property = getIthJsonbValueFromContainer(value.val.binary.data, i);
		const char *text;

		if (property->type != jbvString)
			continue;
		(void) property_named(row, pnstrdup(property->val.string.val, property->val.string.len), &text);
		if (is_expression(row, text, true))
			return true;
	}
	return false;
}

/* has_expression(source, mapping): whether a mapping has an expression, whose evaluation may fail. */
Datum
has_expression(PG_FUNCTION_ARGS)
{
	Jsonb	   *mapping = PG_GETARG_JSONB_P(1);
	Relation	relation = RelationIdGetRelation(PG_GETARG_OID(0));
	bool		found;

	/* dropped meanwhile: reading it raises the error */
	if (relation == NULL)
		PG_RETURN_BOOL(false);
	found = JB_ROOT_IS_OBJECT(mapping) && mapping_has_expression(&mapping->root, RelationGetDescr(relation));
	RelationClose(relation);
	PG_RETURN_BOOL(found);
}

/* Read a mapping, for rows of a type. */
static void
map_source(Source *source, Jsonb *mapping, TupleDesc row)
{
	static const Oid time_types[] = {TIMESTAMPTZOID, TIMESTAMPOID, DATEOID};
	static const Oid value_types[] = {NUMERICOID, INT8OID, INT4OID, INT2OID, FLOAT4OID, FLOAT8OID};
	static const char *const maintenances[] = {"immediate", "deferred", NULL};
	DocPath		root = {NULL, "source", 0};
	JsonbContainer *object;
	JsonbValue	properties;
	char	   *kind;

	if (mapping == NULL || !JB_ROOT_IS_OBJECT(mapping))
	{
		source->problem = "The trigger was not made by leadscore.track().";
		source->is_strange = true;
		return;
	}

	object = &mapping->root;
	source->deferred = doc_choice(object, &root, "maintenance", maintenances, 0) == 1;
	kind = doc_string(object, &root, "kind", false);
	source->constant_kind = kind;
	source->constant_kind_length = kind ? strlen(kind) : 0;
	if (!map_column(source, row, doc_string(object, &root, "lead_id", true), AS_NAME, &source->lead_id) ||
		!map_column(source, row, doc_string(object, &root, "kind_column", false), AS_NAME, &source->kind) ||
		!map_column(source, row, doc_string(object, &root, "occurred_at", false), AS_TIME, &source->occurred_at) ||
		!map_column(source, row, doc_string(object, &root, "value", false), AS_NUMBER, &source->value) ||
		!map_column(source, row, doc_string(object, &root, "latest_by", false), AS_NAME, &source->latest_by) ||
		!map_column(source, row, doc_string(object, &root, "alias", false), AS_NAME, &source->alias) ||
		!map_column(source, row, doc_string(object, &root, "filter", false), AS_CONDITION, &source->filter))
		return;
	if (type_has_changed(source, &source->occurred_at, time_types, lengthof(time_types)) ||
		type_has_changed(source, &source->value, value_types, lengthof(value_types)))
		return;
	source->pinned_settings |= !text_is_fixed(source->lead_id.type) ||
		(is_mapped(&source->kind) && !text_is_fixed(source->kind.type)) ||
		(is_mapped(&source->alias) && !text_is_fixed(source->alias.type));

	if (doc_member(object, "properties", &properties) && properties.type == jbvBinary)
	{
		int			n = JsonContainerSize(properties.val.binary.data);
		char	  **names = palloc(Max(n, 1) * sizeof(char *));

		for (int i = 0; i < n; i++)
		{
			JsonbValue *name = getIthJsonbValueFromContainer(properties.val.binary.data, i);

			names[i] = name->type == jbvString ? pnstrdup(name->val.string.val, name->val.string.len) : "";
		}
		if (n > 0)
			map_properties(source, row, names, n);
	}
}

Source *
source_map(Jsonb *mapping, TupleDesc row, Oid owner)
{
	Source	   *source = palloc0(sizeof(Source));
	Identity	user = switch_to_owner(owner, SECURITY_RESTRICTED_OPERATION);

	source->context = CurrentMemoryContext;
	map_source(source, mapping, row);
	restore_user(user);
	return source;
}

/* A trigger whose mapping is looked up. */
typedef struct SourceTrigger
{
	Trigger    *trigger;
	Relation	relation;
} SourceTrigger;

uint64
source_family(Jsonb *mapping)
{
	Datum		common = DirectFunctionCall2(jsonb_delete, JsonbPGetDatum(mapping), CStringGetTextDatum("partition"));

	return DatumGetUInt64(DirectFunctionCall2(jsonb_hash_extended, common, Int64GetDatum(0)));
}

static void *
load_source(SessionCache *cache pg_attribute_unused(), void *arg)
{
	SourceTrigger *of = arg;
	Jsonb	   *mapping = mapping_of(of->trigger);
	Source	   *source = source_map(mapping, RelationGetDescr(of->relation), of->relation->rd_rel->relowner);

	if (mapping && JB_ROOT_IS_OBJECT(mapping))
		source->family = source_family(mapping);
	return source;
}

static void
forget_sources(void)
{
	HASH_SEQ_STATUS scan;
	SourceEntry *entry;

	hash_seq_init(&scan, sources);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		session_cache_forget(&entry->cache);
		hash_search(sources, &entry->trigger, HASH_REMOVE, NULL);
	}
}

/* The mapping of a trigger, looked up when it is first used after a change. */
Source *
source_of_trigger(Trigger *trigger, Relation relation)
{
	SourceTrigger of = {trigger, relation};
	SourceEntry *entry;
	bool		found;

	if (sources == NULL)
	{
		HASHCTL		ctl = {.keysize = sizeof(Oid), .entrysize = sizeof(SourceEntry), .hcxt = TopMemoryContext};

		sources = hash_create("leadscore sources", 16, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	if (hash_get_num_entries(sources) >= MAX_SOURCES && hash_search(sources, &trigger->tgoid, HASH_FIND, NULL) == NULL)
		forget_sources();
	entry = hash_search(sources, &trigger->tgoid, HASH_ENTER, &found);
	if (!found)					/* whether values can be properties depends on casts: see is_property_type() */
		entry->cache = (SessionCache) {.name = "leadscore source", .uses_casts = true};
	return session_cache_get(&entry->cache, RelationGetRelid(relation), load_source, &of);
}

/*
 * Whether a source cannot be read; if so, a WARNING names the consequence. A writer of
 * rows gets no warning that the table has changed: the user who changed it has been
 * warned, and the view status reports it.
 */
bool
source_has_problem(Source *source, Relation relation, bool is_written, const char *consequence)
{
	if (source->problem && consequence && (!is_written || source->is_strange))
		ereport(WARNING,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("leadscore cannot read table \"%s\": %s", RelationGetRelationName(relation), consequence),
				 errdetail("%s", source->problem),
				 errhint("Call leadscore.untrack(), track the table again with the columns of today, then CALL leadscore.rebuild().")));
	return source->problem != NULL;
}

/* Make the text output of every type depend only on the value. */
void
pin_settings(void)
{
	static const char *const settings[][2] = {
		{"search_path", "pg_catalog, pg_temp"}, {"TimeZone", "UTC"}, {"DateStyle", "ISO, MDY"}, {"IntervalStyle", "postgres"},
		{"extra_float_digits", "1"}, {"bytea_output", "hex"}, {"lc_monetary", "C"}, {"quote_all_identifiers", "off"}
	};

	for (Size i = 0; i < lengthof(settings); i++)
		(void) set_config_option(settings[i][0], settings[i][1], PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
}

/* ---------- rows ---------- */

/* A column as text; false if it is NULL, or too large for its type. */
static bool
read_text(SourceColumn *column, TupleTableSlot *slot, const char **text, int *length)
{
	bool		isnull;
	Datum		value = column_value(column, slot, &isnull);

	if (isnull)
		return false;
	switch (column->type)
	{
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
			{
				struct varlena *v = PG_DETOAST_DATUM_PACKED(value);

				*text = VARDATA_ANY(v);
				*length = VARSIZE_ANY_EXHDR(v);
				if (column->type == BPCHAROID)
					*length = bpchartruelen((char *) *text, *length);
				return true;
			}
		case INT8OID:
			{
				char	   *buffer = palloc(MAXINT8LEN + 1);

				*length = pg_lltoa(DatumGetInt64(value), buffer);
				*text = buffer;
				return true;
			}
		case INT4OID:
			{
				char	   *buffer = palloc(12);

				*length = pg_ltoa(DatumGetInt32(value), buffer);
				*text = buffer;
				return true;
			}
		default:
			if (column->is_varlena && toast_raw_datum_size(value) > MOST_OUTPUT_BYTES)
				return false;
			*text = OutputFunctionCall(&column->output, value);
			*length = strlen(*text);
			return true;
	}
}

/* A column as an instant; a time without time zone is read as UTC. */
static bool
read_instant(SourceColumn *column, TupleTableSlot *slot, TimestampTz *instant)
{
	bool		isnull;
	Datum		value = column_value(column, slot, &isnull);

	if (isnull)
		return false;
	if (column->type == DATEOID)
	{
		DateADT		date = DatumGetDateADT(value);

		if (DATE_NOT_FINITE(date) || date < -POSTGRES_EPOCH_JDATE || date > 10000 * 366)
			return false;
		*instant = (int64) date * USECS_PER_DAY;
	}
	else
		*instant = DatumGetTimestampTz(value);	/* a timestamp is the same number */
	return true;
}

/* A column as a value in millionths; false if it is not a finite number below 10^12. */
static bool
read_value(SourceColumn *column, TupleTableSlot *slot, int64 *millionths)
{
	bool		isnull;
	Datum		value;
	int64		whole;

	*millionths = 0;
	if (!is_mapped(column))
		return true;
	value = column_value(column, slot, &isnull);
	if (isnull)
		return true;
	switch (column->type)
	{
		case NUMERICOID:
			return numeric_to_millionths(DatumGetNumeric(value), millionths);
		case FLOAT4OID:
			return numeric_to_millionths(DatumGetNumeric(DirectFunctionCall1(float4_numeric, value)), millionths);
		case FLOAT8OID:
			return numeric_to_millionths(DatumGetNumeric(DirectFunctionCall1(float8_numeric, value)), millionths);
		case INT2OID:
			whole = DatumGetInt16(value);
			break;
		case INT4OID:
			whole = DatumGetInt32(value);
			break;
		case INT8OID:
			whole = DatumGetInt64(value);
			break;
		default:
			return false;
	}
	if (whole <= -VALUE_LIMIT || whole >= VALUE_LIMIT)
		return false;
	*millionths = whole * MILLIONTHS;
	return true;
}

/* Whether properties stay far below the limits of jsonb. */
static bool
properties_fit(SourceRow *row)
{
	Source	   *source = row->source;
	Size		most = 0;

	for (int i = 0; i < source->nproperties; i++)
	{
		bool		isnull;
		Datum		value = column_value(&source->properties[i], row->slot, &isnull);

		if (!isnull && source->property_growth[i] > 0)
			most += toast_raw_datum_size(value) * source->property_growth[i];
	}
	return most <= MOST_PROPERTY_BYTES;
}

/* The row's properties as an object, or NULL. */
static Jsonb *
read_properties(void *arg)
{
	SourceRow  *row = arg;
	Source	   *source = row->source;
	Datum		value;
	bool		isnull;

	if (source->nproperties == 0 || !properties_fit(row))
		return NULL;
	if (source->whole_properties)
	{
		Jsonb	   *properties;

		value = column_value(&source->properties[0], row->slot, &isnull);
		if (isnull)
			return NULL;
		properties = DatumGetJsonbP(value);
		return JB_ROOT_IS_OBJECT(properties) ? properties : NULL;
	}

	for (int i = 0; i < source->nproperties; i++)
	{
		NullableDatum *argument = &source->build_properties->args[2 * i + 1];

		argument->value = column_value(&source->properties[i], row->slot, &argument->isnull);
	}
	source->build_properties->isnull = false;
	return DatumGetJsonbP(FunctionCallInvoke(source->build_properties));
}

/* The arguments of evaluate_row(). */
typedef struct RowEvaluation
{
	Source	   *source;
	TupleTableSlot *slot;
	bool		passes;			/* the row passes the filter */
} RowEvaluation;

static void
evaluate(SourceColumn *column, TupleTableSlot *slot)
{
	column->value.value = expression_value(column->expression, slot, &column->value.isnull);
}

/* Evaluate the expressions of a mapping for a row: first the filter and, if the row passes it, the others. */
static void
evaluate_row(void *argument)
{
	RowEvaluation *row = argument;
	Source	   *source = row->source;
	ListCell   *cell;

	if (source->filter.expression)
		evaluate(&source->filter, row->slot);
	row->passes = source->filter.expression == NULL ||
		(!source->filter.value.isnull && DatumGetBool(source->filter.value.value));
	foreach(cell, row->passes ? source->expressions : NIL)
		evaluate(lfirst(cell), row->slot);
}

/* Begin to read a row; false, with its fault set, if it does not pass the filter or an expression fails. */
static bool
begin_row(Reading *reading, TupleTableSlot *slot, SourceRow *row)
{
	Source	   *source = reading->source;
	RowEvaluation evaluation = {source, slot, true};

	row->source = source;
	row->slot = slot;
	slot_getsomeattrs(slot, source->last_column);
	if (source->expressions == NIL && source->filter.expression == NULL)
		return true;
	row->fault = ROW_FAILED;
	if (!attempt_next(&reading->attempts, evaluate_row, &evaluation))
		return false;
	row->fault = ROW_FILTERED;
	return evaluation.passes;
}

static bool
read_lead_id(SourceRow *row)
{
	return read_text(&row->source->lead_id, row->slot, &row->lead_id, &row->lead_id_length) &&
		row->lead_id_length > 0 && row->lead_id_length <= LEAD_ID_MAX;
}

/*
 * Read a row as a profile: returns its attributes, or NULL if it has none (the fault is
 * then ROW_FAULTS), names no lead, does not pass the filter, or an expression fails.
 */
Jsonb *
source_read_profile(Reading *reading, TupleTableSlot *slot, SourceRow *row)
{
	if (!begin_row(reading, slot, row))
		return NULL;
	row->fault = read_lead_id(row) ? ROW_FAULTS : ROW_WITHOUT_LEAD;
	return row->fault == ROW_FAULTS ? read_properties(row) : NULL;
}

/* Read a row as an alias of a lead; false if it is none, or if the alias is the lead itself. */
bool
source_read_alias(Reading *reading, TupleTableSlot *slot, AliasRow *alias)
{
	Source	   *source = reading->source;
	SourceRow  *row = &alias->row;

	if (!begin_row(reading, slot, row))
		return false;
	row->fault = ROW_WITHOUT_LEAD;
	if (!is_mapped(&source->alias) || !read_lead_id(row) || !read_text(&source->alias, slot, &alias->alias.text, &alias->alias.length) ||
		alias->alias.length == 0 || alias->alias.length > LEAD_ID_MAX)
		return false;
	alias->lead = (Label) {row->lead_id, row->lead_id_length};
	alias->latest = (Label) {NULL, 0};
	if (is_mapped(&source->latest_by))
	{
		bool		isnull;
		Datum		value = column_value(&source->latest_by, slot, &isnull);

		if (!isnull)
			alias->latest = order_key(source->latest_by.type, value);
	}
	return !label_equal(alias->alias, alias->lead);
}

static bool
is_no_event(SourceRow *row, RowFault fault)
{
	row->fault = fault;
	return false;
}

/*
 * Read a row as an event; false if it cannot be scored: no lead (NULL, empty
 * or over LEAD_ID_MAX bytes), no kind, no time in the years 1970 to 9999, or a
 * value that is not a number below 10^12; or if it does not pass the filter, or an
 * expression fails. Such rows are skipped, so that the user's statement does not fail.
 */
bool
source_read(Reading *reading, TupleTableSlot *slot, SourceRow *row)
{
	Source	   *source = reading->source;

	if (!begin_row(reading, slot, row))
		return false;
	if (!is_mapped(&source->occurred_at) || !read_instant(&source->occurred_at, slot, &row->occurred_at) ||
		!hour_is_valid(row->occurred_at))
		return is_no_event(row, ROW_WITHOUT_TIME);
	if (!read_value(&source->value, slot, &row->event.value))
		return is_no_event(row, ROW_WITHOUT_VALUE);
	if (!read_lead_id(row))
		return is_no_event(row, ROW_WITHOUT_LEAD);

	row->event.kind = source->constant_kind;
	row->event.kind_length = source->constant_kind_length;
	if (row->event.kind == NULL &&
		(!is_mapped(&source->kind) || !read_text(&source->kind, slot, &row->event.kind, &row->event.kind_length) ||
		 row->event.kind_length == 0))
		return is_no_event(row, ROW_WITHOUT_KIND);

	row->event.hour = hour_of(row->occurred_at);
	row->event.fetch_properties = read_properties;
	row->event.row = row;
	return true;
}

/* ---------- whole tables ---------- */

/* Reads a table and passes its rows to "consume". */
typedef struct TableReader
{
	DestReceiver receiver;		/* must be first; for queries */
	Jsonb	   *mapping;
	Oid			owner;			/* of the table */
	Reading		reading;		/* with the mapping for the current row type */
	SourceConsumer consume;
	void	   *argument;
} TableReader;

static void
no_such_table(Oid table)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_TABLE),
			 errmsg("relation with OID %u does not exist", table)));
}

/* Allow a table to be locked as by SELECT: only for roles that may SELECT from it, and for our owner. */
static void
check_may_select(Oid table)
{
	char	   *name = get_rel_name(table);

	if (name == NULL)
		no_such_table(table);
	if (GetUserId() != our_owner() && pg_class_aclcheck(table, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, name);
}

/* Allow a whole table to be read: only for roles that may read all of its rows, and for our owner. */
static void
check_may_read(Oid table)
{
	check_may_select(table);
	if (GetUserId() != our_owner() && !owns(RelationRelationId, table) &&
		check_enable_rls(table, InvalidOid, true) == RLS_ENABLED)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("row-level security hides rows of table \"%s\"", get_rel_name(table)),
				 errdetail("Whole tables are read only for roles that may see all of their rows."),
				 errhint("Use a role to which its policies do not apply.")));
}

/*
 * Open a table in ACCESS SHARE mode to read the whole table. The caller's rights are
 * checked before it is locked, so a role without rights on the table neither waits for
 * its lock nor makes others wait for it.
 */
Relation
source_open(Oid table)
{
	Relation	relation;

	check_may_read(table);
	relation = try_table_open(table, AccessShareLock);
	if (relation == NULL)
		no_such_table(table);	/* it was dropped while we waited for the lock */
	return relation;
}

const char *
relation_name(Relation relation)
{
	return quote_qualified_identifier(get_namespace_name(RelationGetNamespace(relation)), RelationGetRelationName(relation));
}

static void
reader_map(TableReader *reader, TupleDesc row)
{
	reading_end(&reader->reading);
	reader->reading.source = source_map(reader->mapping, row, reader->owner);
}

static void
reader_startup(DestReceiver *self, int operation pg_attribute_unused(), TupleDesc row)
{
	reader_map((TableReader *) self, row);
}

static bool
reader_receive(TupleTableSlot *slot, DestReceiver *self)
{
	TableReader *reader = (TableReader *) self;

	return reader->reading.source->problem || reader->consume(&reader->reading, slot, reader->argument);
}

static void
reader_shutdown(DestReceiver *self)
{
	reading_end(&((TableReader *) self)->reading);
}

static void
reader_destroy(DestReceiver *self pg_attribute_unused())
{
}

/*
 * Whether there are only a few leads, as when an alias changes its lead; the plan is then
 * kept. It may be made while the table is still empty, so sequential scans are disabled.
 */
static bool
is_few(Datum lead_ids, Datum kinds)
{
	ArrayType  *leads = lead_ids ? DatumGetArrayTypeP(lead_ids) : NULL;

	if (leads == NULL || kinds || ArrayGetNItems(ARR_NDIM(leads), ARR_DIMS(leads)) > FEW_LEADS)
		return false;
	(void) set_config_option("enable_seqscan", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("jit", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	return true;
}

/*
 * Read the rows of some leads and kinds by a query, as the table's owner; false if there
 * is no query. SPI must not be connected.
 */
static bool
read_by_query(TableReader *reader, Relation relation, Datum lead_ids, Datum kinds)
{
	Datum		values[2] = {lead_ids, kinds};
	Oid			types[2] = {TEXTARRAYOID, TEXTARRAYOID};
	SPIExecuteOptions options = {.params = makeParamList(2), .read_only = true, .dest = &reader->receiver};
	bool		few = is_few(lead_ids, kinds);
	SPIPlanPtr	plan = few ? few_leads_plan(relation, reader->mapping) : NULL;
	char	   *query = few ? NULL : row_query(relation, reader->mapping, lead_ids != 0, kinds != 0);
	Identity	before;

	if (plan == NULL && query == NULL)
		return false;
	for (int i = 0; i < 2; i++)
		options.params->params[i] = (ParamExternData) {values[i], values[i] == 0, PARAM_FLAG_CONST, TEXTARRAYOID};
	reader->receiver.receiveSlot = reader_receive;
	reader->receiver.rStartup = reader_startup;
	reader->receiver.rShutdown = reader_shutdown;
	reader->receiver.rDestroy = reader_destroy;
	reader->receiver.mydest = DestTuplestore;
	before = switch_to_owner(reader->owner, SECURITY_RESTRICTED_OPERATION);
	SPI_connect();
	if (plan == NULL && (plan = SPI_prepare(query, 2, types)) == NULL)
		elog(ERROR, "could not prepare \"%s\"", query);
	if (SPI_execute_plan_extended(plan, &options) != SPI_OK_SELECT)
		elog(ERROR, "could not read the rows of some leads");
	SPI_finish();
	restore_user(before);
	return true;
}

/* Read one table, without its children, as its owner; false if no more rows are wanted. */
static bool
read_one_table(TableReader *reader, Relation relation, Snapshot snapshot)
{
	Identity	before;
	TupleTableSlot *slot;
	TableScanDesc scan;
	bool		more = true;

	/* a partitioned table has no rows of its own */
	if (!RELKIND_HAS_STORAGE(relation->rd_rel->relkind) || RELATION_IS_OTHER_TEMP(relation))
		return true;
	reader_map(reader, RelationGetDescr(relation));
	if (reader->reading.source->problem)
		return true;

	before = switch_to_owner(relation->rd_rel->relowner, SECURITY_RESTRICTED_OPERATION);
	slot = table_slot_create(relation, NULL);
	scan = begin_table_scan(relation, snapshot);
	while (more && table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		more = reader->consume(&reader->reading, slot, reader->argument);
	}
	reading_end(&reader->reading);
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	restore_user(before);
	return more;
}

/* Whether a table's owner can query it: the privilege may have been revoked, and policies may apply to the owner. */
static bool
may_query(Oid owner, Relation relation)
{
	return may_use_schema(owner, RelationGetNamespace(relation)) &&
		pg_class_aclcheck(RelationGetRelid(relation), owner, ACL_SELECT) == ACLCHECK_OK &&
		check_enable_rls(RelationGetRelid(relation), owner, true) != RLS_ENABLED;
}

/* A table to read, and which of its rows. */
typedef struct TableToRead
{
	TableReader *reader;
	Relation	relation;
	bool		with_children;
	Datum		lead_ids;
	Datum		kinds;
} TableToRead;

static void
read_tables(void *argument)
{
	TableToRead *read = argument;
	ListCell   *cell;
	bool		more = true;

	if ((read->lead_ids || read->kinds) && read->with_children && may_query(read->reader->owner, read->relation) &&
		read_by_query(read->reader, read->relation, read->lead_ids, read->kinds))
		return;
	if (!read->with_children)
	{
		(void) read_one_table(read->reader, read->relation, GetActiveSnapshot());
		return;
	}
	foreach(cell, find_all_inheritors(RelationGetRelid(read->relation), AccessShareLock, NULL))
	{
		Relation	child = table_open(lfirst_oid(cell), NoLock);

		more = more && read_one_table(read->reader, child, GetActiveSnapshot());
		table_close(child, NoLock);
	}
}

/*
 * Read the rows of a table with the active snapshot, and pass each to "consume", which
 * runs as the table's owner, until it returns false. lead_ids and kinds (text[], or 0
 * for all) say which rows are wanted; other rows may be passed, too.
 */
void
source_read_table(Relation relation, Jsonb *mapping, bool with_children, Datum lead_ids, Datum kinds,
				  const char *consequence, SourceConsumer consume, void *argument)
{
	Oid			owner = relation->rd_rel->relowner;
	TableReader reader = {.mapping = mapping, .owner = owner, .consume = consume, .argument = argument};
	TableToRead read = {&reader, relation, with_children, lead_ids, kinds};
	int			settings;

	if (!RELKIND_HAS_STORAGE(relation->rd_rel->relkind) && relation->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a table", RelationGetRelationName(relation))));
	reader_map(&reader, RelationGetDescr(relation));
	if (source_has_problem(reader.reading.source, relation, false, consequence))
		return;

	settings = NewGUCNestLevel();
	pin_settings();
	run_with_attempts(read_tables, &read);
	AtEOXact_GUC(false, settings);
}

/*
 * Whether a table or a child of it has any row; no code of the table's owner is run.
 * All of them stay locked in ACCESS SHARE mode until the transaction ends, as if a
 * query had read them.
 */
bool
table_has_rows(Oid table_oid)
{
	ListCell   *cell;
	bool		found = false;

	LockRelationOid(table_oid, AccessShareLock);	/* find_all_inheritors() locks the children only */
	foreach(cell, find_all_inheritors(table_oid, AccessShareLock, NULL))
	{
		Relation	table = table_open(lfirst_oid(cell), NoLock);

		if (!found && RELKIND_HAS_STORAGE(table->rd_rel->relkind) && !RELATION_IS_OTHER_TEMP(table))
		{
			TupleTableSlot *slot = table_slot_create(table, NULL);
			TableScanDesc scan = begin_table_scan(table, GetActiveSnapshot());

			found = table_scan_getnextslot(scan, ForwardScanDirection, slot);
			table_endscan(scan);
			ExecDropSingleTupleTableSlot(slot);
		}
		table_close(table, NoLock);
	}
	return found;
}

Datum
has_rows(PG_FUNCTION_ARGS)
{
	Oid			table = PG_GETARG_OID(0);

	table_close(source_open(table), NoLock);
	PG_RETURN_BOOL(table_has_rows(table));
}

/* How many rows has_events() reads at most. */
#define MAX_ROWS_SEARCHED 10000

typedef struct KindSearch
{
	const text *kind;			/* NULL: any */
	int			rows;
	bool		found;
	MemoryContext row_context;
} KindSearch;

static bool
search_row(Reading *reading, TupleTableSlot *slot, void *argument)
{
	KindSearch *search = argument;
	MemoryContext old = MemoryContextSwitchTo(search->row_context);
	SourceRow	row;

	search->found = source_read(reading, slot, &row) &&
		(search->kind == NULL || label_equal(text_label(search->kind), (Label) {row.event.kind, row.event.kind_length}));
	MemoryContextSwitchTo(old);
	MemoryContextReset(search->row_context);
	return !search->found && ++search->rows < MAX_ROWS_SEARCHED;
}

/*
 * has_events(source, mapping, kind): whether a table or a child of it has an
 * event of a kind (NULL: of any). Returns NULL if the first MAX_ROWS_SEARCHED rows have
 * none, and there may be more.
 */
Datum
has_events(PG_FUNCTION_ARGS)
{
	KindSearch	search = {.kind = PG_ARGISNULL(2) ? NULL : PG_GETARG_TEXT_PP(2)};
	Relation	relation;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	relation = source_open(PG_GETARG_OID(0));
	search.row_context = AllocSetContextCreate(CurrentMemoryContext, "leadscore row", ALLOCSET_DEFAULT_SIZES);
	source_read_table(relation, PG_GETARG_JSONB_P(1), true, 0, 0, "its rows are left out", search_row, &search);
	MemoryContextDelete(search.row_context);
	table_close(relation, NoLock);
	if (!search.found && search.rows == MAX_ROWS_SEARCHED)
		PG_RETURN_NULL();
	PG_RETURN_BOOL(search.found);
}

/* A search for the rows of some leads. */
typedef struct RowSearch
{
	Datum	   *lead_ids;		/* text */
	int			nlead_ids;
	int64		n;
	ReturnSetInfo *result;		/* where they are listed, or NULL */
	MemoryContext row_context;
} RowSearch;

static bool
is_of_leads(const RowSearch *search, const SourceRow *row)
{
	for (int i = 0; i < search->nlead_ids; i++)
		if (label_equal(text_label(DatumGetTextPP(search->lead_ids[i])), (Label) {row->lead_id, row->lead_id_length}))
			return true;
	return false;
}

static bool
search_lead(Reading *reading, TupleTableSlot *slot, void *argument)
{
	RowSearch  *search = argument;
	MemoryContext old = MemoryContextSwitchTo(search->row_context);
	SourceRow	row;

	if (begin_row(reading, slot, &row) && read_lead_id(&row) && is_of_leads(search, &row))
	{
		Datum		values[2] = {ObjectIdGetDatum(slot->tts_tableOid), PointerGetDatum(&slot->tts_tid)};
		bool		nulls[2] = {false, false};

		search->n++;
		if (search->result)
			tuplestore_putvalues(search->result->setResult, search->result->setDesc, values, nulls);
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(search->row_context);
	return true;
}

/*
 * Search a table and its children for the rows of some leads. The caller must have
 * the right to read them, but they are read as the table's owner: a query could run
 * functions of the owner, such as those of its indexes, with the caller's rights. To
 * list the rows, no query is used, because its result has no tableoid and ctid.
 */
static int64
search_leads(Oid table, Jsonb *mapping, Datum lead_ids, ReturnSetInfo *result)
{
	Relation	relation = source_open(table);
	RowSearch	search = {.result = result};

	deconstruct_array(DatumGetArrayTypeP(lead_ids), TEXTOID, -1, false, TYPALIGN_INT,
					  &search.lead_ids, NULL, &search.nlead_ids);
	search.row_context = AllocSetContextCreate(CurrentMemoryContext, "leadscore row", ALLOCSET_DEFAULT_SIZES);
	source_read_table(relation, mapping, true, result ? 0 : lead_ids, 0, "its rows are left out", search_lead, &search);
	MemoryContextDelete(search.row_context);
	table_close(relation, NoLock);
	return search.n;
}

/* count_rows(source, mapping, lead_ids): how many rows of a table and its children belong to some leads. */
Datum
count_rows(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(search_leads(PG_GETARG_OID(0), PG_GETARG_JSONB_P(1), PG_GETARG_DATUM(2), NULL));
}

/* find_rows(source, mapping, lead_ids) -> setof (of_table, place): the tables and ctids of these rows. */
Datum
find_rows(PG_FUNCTION_ARGS)
{
	InitMaterializedSRF(fcinfo, 0);
	(void) search_leads(PG_GETARG_OID(0), PG_GETARG_JSONB_P(1), PG_GETARG_DATUM(2),
						(ReturnSetInfo *) fcinfo->resultinfo);
	return (Datum) 0;
}

/*
 * lock_source(table): lock the table and its children in ACCESS SHARE mode until the
 * end of the transaction, so that none of them is truncated, dropped or detached: a
 * snapshot does not protect against these.
 */
Datum
lock_source(PG_FUNCTION_ARGS)
{
	Oid			table = PG_GETARG_OID(0);

	if (SearchSysCacheExists1(RELOID, ObjectIdGetDatum(table)))
	{
		check_may_select(table);
		LockRelationOid(table, AccessShareLock);
	}
	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(table)))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to concurrent update"),
				 errdetail("A source has been dropped."),
				 errhint("The transaction might succeed if retried.")));
	(void) find_all_inheritors(table, AccessShareLock, NULL);
	PG_RETURN_VOID();
}

/*
 * try_table(table, written): without waiting, lock a table and its children in ACCESS
 * SHARE mode or, if "written", the table alone in ROW EXCLUSIVE mode, until the
 * transaction ends. False if a lock is not available, or a table has been dropped.
 */
Datum
try_table(PG_FUNCTION_ARGS)
{
	Oid			table = PG_GETARG_OID(0);
	bool		written = PG_GETARG_BOOL(1);
	ListCell   *cell;

	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(table)))
		PG_RETURN_BOOL(false);
	check_may_select(table);
	foreach(cell, written ? list_make1_oid(table) : find_all_inheritors(table, NoLock, NULL))
	{
		Oid			member = lfirst_oid(cell);

		if (!ConditionalLockRelationOid(member, written ? RowExclusiveLock : AccessShareLock) ||
			!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(member)))
			PG_RETURN_BOOL(false);
	}
	PG_RETURN_BOOL(true);
}
