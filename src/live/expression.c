/*
 * expression.c: parsing, checking and evaluating the expressions of mappings.
 *
 *     text ──raw_parser──▶ names ──transformExpr──▶ tree ──expression_planner──▶ tree ──▶ ExprState
 *
 * There is no range table: a hook resolves names to columns of one row type. So system
 * columns, whole-row references and other tables are unknown names.
 *
 * Expressions are checked three times. First in the raw parse tree, by names: a literal
 * of a user-defined type would run its input function during transformation. Then before
 * planning: the planner may inline a user-defined function, so that only built-in ones
 * are left. Finally after planning: only then is `'order:' || id` a cast of id, by a
 * function that is immutable or not.
 *
 * A cast of text to timestamp or date is stable for two reasons: DateStyle, which is
 * pinned, and the words now, today, tomorrow and yesterday. It is replaced by a function
 * of ours, which rejects these words.
 */
#include "live/expression.h"

#include "catalog.h"
#include "live/delta.h"
#include "live/source.h"

#include "access/genam.h"
#include "access/sysattr.h"
#include "access/transam.h"
#include "catalog/pg_am.h"
#include "catalog/pg_index.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "parser/parse_expr.h"
#include "parser/parse_func.h"
#include "parser/parse_node.h"
#include "parser/parse_type.h"
#include "parser/parser.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(read_timestamp);
PG_FUNCTION_INFO_V1(read_date);
PG_FUNCTION_INFO_V1(expression_type);
PG_FUNCTION_INFO_V1(expression_columns);
PG_FUNCTION_INFO_V1(expression_has_index);

#define GENERAL_HINT \
	"An expression reads the columns of one row, with functions, operators and casts of PostgreSQL itself " \
	"that are immutable, as for an index."

/* ---------- built-in or user-defined ---------- */

static bool
is_builtin(Oid oid)
{
	return oid < FirstNormalObjectId;
}

/* A type without its domains and arrays. */
static Oid
innermost_type(Oid type)
{
	Oid			base = getBaseType(type);
	Oid			element = get_element_type(base);

	return OidIsValid(element) ? innermost_type(element) : base;
}

/*
 * Whether making a value of a type runs built-in code only. It does not for a domain, or
 * an array of one: its constraints run its owner's code.
 */
static bool
is_made_by_builtin(Oid type)
{
	Oid			element = get_element_type(type);

	return OidIsValid(element) ? is_made_by_builtin(element) : is_builtin(type) || type_is_enum(type);
}

/* ---------- words for the present ---------- */

static bool
is_word_for_present(const char *word, int length)
{
	static const char *const words[] = {"now", "today", "tomorrow", "yesterday"};

	for (Size i = 0; i < lengthof(words); i++)
		if ((int) strlen(words[i]) == length && pg_strncasecmp(word, words[i], length) == 0)
			return true;
	return false;
}

/* Whether a text contains one of the words that stand for the present. */
static bool
names_present(const char *text)
{
	while (*text != '\0')
	{
		int			length = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");

		if (length == 0)
			text++;
		else if (is_word_for_present(text, length))
			return true;
		else
			text += length;
	}
	return false;
}

/* Check that a text stands for the same time whenever it is read. */
static char *
fixed_time(const text *value, const char *type)
{
	char	   *time = text_to_cstring(value);

	if (names_present(time))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_DATETIME_FORMAT),
				 errmsg("invalid input syntax for type %s: \"%s\"", type, time),
				 errdetail("The time that it stands for depends on when it is read.")));
	return time;
}

/* read_timestamp(text), read_date(text): the casts, restricted to texts that always stand for the same time. */
Datum
read_timestamp(PG_FUNCTION_ARGS)
{
	return DirectFunctionCall3(timestamp_in, CStringGetDatum(fixed_time(PG_GETARG_TEXT_PP(0), "timestamp")),
							   ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
}

Datum
read_date(PG_FUNCTION_ARGS)
{
	return DirectFunctionCall1(date_in, CStringGetDatum(fixed_time(PG_GETARG_TEXT_PP(0), "date")));
}

static Oid
our_reader(Oid type)
{
	Oid			argument = TEXTOID;

	char	   *name = type == DATEOID ? "read_date" : "read_timestamp";

	return LookupFuncName(list_make2(makeString("leadscore_internal"), makeString(name)), 1, &argument, false);
}

/* ---------- parsing ---------- */

/* What is known about an expression before its names are resolved. */
typedef struct RawText
{
	List	   *columns;		/* char * */
	List	   *present;		/* int: locations of constants that name the present */
} RawText;

/* Whether a function or operator is qualified with a schema other than pg_catalog. */
static bool
is_of_others(List *name)
{
	return list_length(name) > 1 && strcmp(strVal(linitial(name)), "pg_catalog") != 0;
}

/*
 * A literal is converted by its type's input function before there is a tree to check. So
 * anything that could give it a user-defined type is refused by name.
 */
static void
refuse_others(Node *node)
{
	const char *what = NULL;

	if (IsA(node, FuncCall) && is_of_others(((FuncCall *) node)->funcname))
		what = psprintf("the function %s", NameListToString(((FuncCall *) node)->funcname));
	else if (IsA(node, A_Expr) && is_of_others(((A_Expr *) node)->name))
		what = psprintf("the operator %s", NameListToString(((A_Expr *) node)->name));
	else if (IsA(node, TypeName) && !is_made_by_builtin(typenameTypeId(NULL, (TypeName *) node)))
		what = psprintf("the type %s", format_type_be(typenameTypeId(NULL, (TypeName *) node)));
	if (what)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("an expression cannot have %s, which is not PostgreSQL's own", what),
				 errhint(GENERAL_HINT)));
}

static bool
look_at_raw(Node *node, RawText *raw)
{
	if (node == NULL)
		return false;
	refuse_others(node);
	if (IsA(node, SubLink))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("an expression cannot have a sub-select"),
				 errhint("It reads the columns of one row. What lies in another table is joined by an alias, or by a query.")));
	if (IsA(node, ColumnRef))
	{
		ColumnRef  *column = (ColumnRef *) node;

		if (list_length(column->fields) != 1 || !IsA(linitial(column->fields), String))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("an expression cannot name \"%s\"", NameListToString(column->fields)),
					 errhint("Name columns without their table.")));
		raw->columns = lappend(raw->columns, pstrdup(strVal(linitial(column->fields))));
	}
	if (IsA(node, A_Const))
	{
		A_Const    *constant = (A_Const *) node;

		if (!constant->isnull && IsA(&constant->val, String) && names_present(constant->val.sval.sval))
			raw->present = lappend_int(raw->present, constant->location);
		return false;
	}
	return raw_expression_tree_walker(node, look_at_raw, raw);
}

/* Parse a text, which must be exactly one expression. */
static Node *
parse_text(const char *text, RawText *raw)
{
	List	   *statements = raw_parser(text, RAW_PARSE_PLPGSQL_EXPR);
	SelectStmt *select = castNode(SelectStmt, linitial_node(RawStmt, statements)->stmt);
	ResTarget  *target = list_length(select->targetList) == 1 ? linitial_node(ResTarget, select->targetList) : NULL;

	if (target == NULL || target->name || select->distinctClause || select->fromClause || select->whereClause ||
		select->groupClause || select->havingClause || select->windowClause || select->sortClause ||
		select->limitOffset || select->limitCount || select->lockingClause || select->withClause || select->op != SETOP_NONE)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("\"%s\" is not one expression", text),
				 errhint("Write what could stand between SELECT and FROM, such as lower(email).")));
	(void) look_at_raw(target->val, raw);
	return target->val;
}

/* Error context callback: report the position in the expression, not in the statement that contains it. */
static void
show_position(void *text)
{
	int			position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(position);
		internalerrquery(text);
	}
}

/* Pin the settings that change the meaning of an expression, so that it is the same in each session. */
static int
pin_meaning(void)
{
	static const char *const settings[][2] = {
		{"standard_conforming_strings", "on"}, {"transform_null_equals", "off"}, {"array_nulls", "on"}
	};
	int			level = NewGUCNestLevel();

	pin_settings();
	for (Size i = 0; i < lengthof(settings); i++)
		(void) set_config_option(settings[i][0], settings[i][1], PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	return level;
}

/* ---------- names ---------- */

static char *
names_of(TupleDesc row)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i < row->natts; i++)
		if (!TupleDescAttr(row, i)->attisdropped)
			appendStringInfo(&names, "%s%s", names.len > 0 ? ", " : "",
							 quote_identifier(NameStr(TupleDescAttr(row, i)->attname)));
	return names.data;
}

/* Parser hook: resolve a name to a column of the row. */
static Node *
find_column(ParseState *state, ColumnRef *reference)
{
	TupleDesc	row = state->p_ref_hook_state;
	const char *name = strVal(linitial(reference->fields));

	for (int i = 0; i < row->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(row, i);
		Var		   *column;

		if (attribute->attisdropped || strcmp(NameStr(attribute->attname), name) != 0)
			continue;
		if (attribute->attgenerated != '\0' && attribute->attgenerated != ATTRIBUTE_GENERATED_STORED)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("column \"%s\" is a virtual generated column", name),
					 errdetail("Triggers do not see what it holds."),
					 errhint("Make it STORED, or write its expression instead.")));
		column = makeVar(1, attribute->attnum, attribute->atttypid, attribute->atttypmod, attribute->attcollation, 0);
		column->location = reference->location;
		return (Node *) column;
	}
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("column \"%s\" does not exist", name),
			 errhint("The columns are: %s.", names_of(row)),
			 parser_errposition(state, reference->location)));
	return NULL;				/* not reached */
}

/* ---------- checks ---------- */

typedef struct Check
{
	ParseState *state;
	RawText    *raw;
	bool		has_column;
	bool		uses_settings;
} Check;

pg_noreturn static void
refuse(Check *check, Node *node, const char *what, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("an expression cannot have %s", what),
			 errhint("%s", hint ? hint : GENERAL_HINT),
			 parser_errposition(check->state, exprLocation(node))));
}

/* A built-in operator handles enums itself; for other user-defined types it runs their code, so they are refused. */
static void
check_arguments(Check *check, Node *node, List *arguments, bool enums)
{
	ListCell   *cell;

	foreach(cell, arguments)
	{
		Oid			type = innermost_type(exprType(lfirst(cell)));

		if (type == RECORDOID || (!is_builtin(type) && !(enums && type_is_enum(type))))
			refuse(check, node, psprintf("a value of type %s here", format_type_be(exprType(lfirst(cell)))),
				   "Cast it to text, if that is the same bytes; an enum can be compared.");
	}
}

static void
check_function(Check *check, Node *node, Oid function)
{
	if (function == our_reader(DATEOID) || function == our_reader(TIMESTAMPOID))
		return;
	if (get_func_retset(function))
		refuse(check, node, "a function that returns a set", NULL);
	if (!is_builtin(function))
		refuse(check, node, psprintf("the function %s, which is not PostgreSQL's own", get_func_name(function)), NULL);
	/* depends on quote_all_identifiers */
	check->uses_settings |= function == F_QUOTE_IDENT;
}

static void
check_operator(Check *check, Node *node, Oid operator)
{
	if (!is_builtin(operator))
		refuse(check, node, psprintf("the operator %s, which is not PostgreSQL's own", get_opname(operator)), NULL);
}

static void
check_result(Check *check, Node *node)
{
	if (!is_made_by_builtin(exprType(node)))
		refuse(check, node, psprintf("a cast to %s", format_type_be(exprType(node))), NULL);
}

/* Whether a type contains times, so that its text can name the present. */
static bool
is_of_times(Oid type)
{
	if (type_is_multirange(type))
		type = get_multirange_range(type);
	if (type_is_range(type))
		type = getBaseType(get_range_subtype(type));
	return TypeCategory(type) == TYPCATEGORY_DATETIME;
}

static void
check_constant(Check *check, Const *constant)
{
	Oid			type = innermost_type(constant->consttype);

	if (constant->constisnull)
		return;
	if (!is_made_by_builtin(constant->consttype))
		refuse(check, (Node *) constant, psprintf("a constant of type %s", format_type_be(constant->consttype)), NULL);
	switch (type)
	{
		case REGPROCOID:
		case REGPROCEDUREOID:
		case REGOPEROID:
		case REGOPERATOROID:
		case REGCLASSOID:
		case REGTYPEOID:
		case REGROLEOID:
		case REGNAMESPACEOID:
		case REGCONFIGOID:
		case REGDICTIONARYOID:
		case REGCOLLATIONOID:
			refuse(check, (Node *) constant, "the name of an object", NULL);
		default:
			break;
	}
	if (is_of_times(type) && list_member_int(check->raw->present, constant->location))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("an expression cannot name the present"),
				 errdetail("A row would be counted otherwise today than tomorrow."),
				 errhint(GENERAL_HINT),
				 parser_errposition(check->state, constant->location)));
}

static bool
check_node(Node *node, Check *check)
{
	if (node == NULL)
		return false;
	switch (nodeTag(node))
	{
		case T_Var:
			check->has_column = true;
			break;
		case T_Const:
			check_constant(check, (Const *) node);
			break;
		case T_FuncExpr:
			check_function(check, node, ((FuncExpr *) node)->funcid);
			check_arguments(check, node, ((FuncExpr *) node)->args, false);
			break;
		case T_OpExpr:
		case T_DistinctExpr:
		case T_NullIfExpr:
			check_operator(check, node, ((OpExpr *) node)->opno);
			check_arguments(check, node, ((OpExpr *) node)->args, true);
			break;
		case T_ScalarArrayOpExpr:
			check_operator(check, node, ((ScalarArrayOpExpr *) node)->opno);
			check_arguments(check, node, ((ScalarArrayOpExpr *) node)->args, true);
			break;
		case T_MinMaxExpr:
			check_arguments(check, node, ((MinMaxExpr *) node)->args, true);
			break;
		case T_CoerceViaIO:
			check_arguments(check, node, list_make1(((CoerceViaIO *) node)->arg), true);
			check_result(check, node);
			check->uses_settings |= !text_is_fixed(getBaseType(exprType((Node *) ((CoerceViaIO *) node)->arg)));
			break;
		case T_SubscriptingRef:
			check_arguments(check, node, list_make1(((SubscriptingRef *) node)->refexpr), false);
			break;
		case T_CoerceToDomain:
			refuse(check, node, "a cast to a domain", "Cast it to the type below the domain.");
		case T_ArrayCoerceExpr:
		case T_ArrayExpr:
			check_result(check, node);
			break;
		case T_RelabelType:
		case T_BoolExpr:
		case T_CaseExpr:
		case T_CaseWhen:
		case T_CaseTestExpr:
		case T_CoalesceExpr:
		case T_CollateExpr:
		case T_NullTest:
		case T_BooleanTest:
		case T_List:
			break;
		case T_SQLValueFunction:
			refuse(check, node, "a function of the session or the present", NULL);
		default:
			refuse(check, node, "what is written there", NULL);
	}
	return expression_tree_walker(node, check_node, check);
}

/* Refuse what the parser accepts for EXPR_KIND_OTHER. */
static void
check_state(ParseState *state)
{
	const char *what = state->p_hasAggs ? "an aggregate" : state->p_hasWindowFuncs ? "a window function" :
		state->p_hasTargetSRFs ? "a function that returns a set" : NULL;

	if (what)
		ereport(ERROR,
				(errcode(state->p_hasTargetSRFs ? ERRCODE_FEATURE_NOT_SUPPORTED :
						 state->p_hasAggs ? ERRCODE_GROUPING_ERROR : ERRCODE_WINDOWING_ERROR),
				 errmsg("an expression cannot have %s", what),
				 errhint(GENERAL_HINT)));
}

/* ---------- immutability ---------- */

/* The first part that is not immutable, for the hint. */
typedef struct Culprit
{
	Oid			function;		/* for a cast, its types are in from and to */
	Oid			from;
	Oid			to;
} Culprit;

static bool
is_mutable(Oid function, void *context)
{
	if (func_volatile(function) == PROVOLATILE_IMMUTABLE)
		return false;
	((Culprit *) context)->function = function;
	return true;
}

static bool
find_mutable(Node *node, Culprit *culprit)
{
	if (node == NULL)
		return false;
	if (check_functions_in_node(node, is_mutable, culprit))
	{
		if (IsA(node, CoerceViaIO))
		{
			culprit->from = exprType((Node *) ((CoerceViaIO *) node)->arg);
			culprit->to = ((CoerceViaIO *) node)->resulttype;
		}
		else if (IsA(node, FuncExpr) && list_length(((FuncExpr *) node)->args) == 1)
		{
			culprit->from = exprType(linitial(((FuncExpr *) node)->args));
			culprit->to = exprType(node);
		}
		return true;
	}
	return expression_tree_walker(node, find_mutable, culprit);
}

static bool
is_time(Oid type)
{
	return type == TIMESTAMPTZOID || type == TIMESTAMPOID || type == DATEOID;
}

static void
refuse_mutable(Node *tree)
{
	Culprit		culprit = {0};
	const char *hint = GENERAL_HINT;

	(void) find_mutable(tree, &culprit);
	if (culprit.to == TIMESTAMPTZOID)
		hint = "Write ::timestamp AT TIME ZONE 'UTC' instead of ::timestamptz, "
			"with the time zone in which the time is written.";
	else if (is_time(culprit.from))
		hint = "Write AT TIME ZONE 'UTC' to make a timestamp of a timestamptz, or the other way round, "
			"and compare times with times.";
	else if (type_is_enum(culprit.from))
		hint = "An enum can be compared, or be the whole expression; its text can be renamed.";
	else if (culprit.function == F_CONCAT || culprit.function == F_CONCAT_WS || culprit.function == F_FORMAT_TEXT_ANY)
		hint = "Write || and coalesce() instead.";
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
			 errmsg("an expression must be immutable"),
			 OidIsValid(culprit.from) && OidIsValid(culprit.to) ?
			 errdetail("The cast from %s to %s depends on more than the row, such as the settings of a session.",
					   format_type_be(culprit.from), format_type_be(culprit.to)) :
			 OidIsValid(culprit.function) ?
			 errdetail("The function %s depends on more than the row, such as the settings of a session.",
					   get_func_name(culprit.function)) :
			 errdetail("It depends on more than the row."),
			 errhint("%s", hint)));
}

/* Replace casts of text to timestamp or date with calls of our own functions. */
static Node *
replace_casts(Node *node, void *context)
{
	CoerceViaIO *cast = (CoerceViaIO *) node;

	if (node == NULL)
		return NULL;
	if (IsA(node, CoerceViaIO) && (cast->resulttype == TIMESTAMPOID || cast->resulttype == DATEOID) &&
		IsBinaryCoercible(getBaseType(exprType((Node *) cast->arg)), TEXTOID))
	{
		Node	   *argument = replace_casts((Node *) cast->arg, context);

		((Check *) context)->uses_settings = true;	/* DateStyle */
		return (Node *) makeFuncExpr(our_reader(cast->resulttype), cast->resulttype, list_make1(argument), InvalidOid,
									 exprCollation(argument), COERCE_EXPLICIT_CALL);
	}
	return expression_tree_mutator(node, replace_casts, context);
}

/* ---------- uses of an expression ---------- */

static bool
is_name_type(Oid type)
{
	switch (type)
	{
		case JSONOID:
		case JSONBOID:
			return false;
		default:
			return text_is_fixed(type);
	}
}

/* Coerce the value to a type that fits its use, or raise an error. */
static Node *
coerce(ParseState *state, Node *node, ExpressionUse use)
{
	static const char *const wanted[] = {
		[AS_NAME] = "be a lead, kind or alias", [AS_TIME] = "be a time", [AS_NUMBER] = "be a value",
		[AS_PROPERTY] = "be a property", [AS_CONDITION] = "be a filter"
	};
	static const char *const hints[] = {
		[AS_NAME] = "Write an expression of type text, of a number or uuid; of jsonb, the text of a member by ->>.",
		[AS_TIME] = "Write an expression of type timestamptz, timestamp (read as UTC) or date.",
		[AS_NUMBER] = "Write an expression of a numeric type, such as (payload ->> 'price')::numeric.",
		[AS_PROPERTY] = "Cast it to jsonb, or to text.",
		[AS_CONDITION] = "Write a condition, such as state = 'paid'."
	};
	Oid			type = getBaseType(exprType(node));
	bool		fits = false;

	if (type == UNKNOWNOID)
	{
		node = coerce_type(state, node, UNKNOWNOID, use == AS_CONDITION ? BOOLOID : TEXTOID, -1,
						   COERCION_IMPLICIT, COERCE_IMPLICIT_CAST, -1);
		type = exprType(node);
	}
	if (use == AS_PROPERTY && type == JSONOID)
	{
		node = coerce_to_target_type(state, node, type, JSONBOID, -1, COERCION_EXPLICIT, COERCE_EXPLICIT_CAST, -1);
		type = JSONBOID;
	}
	switch (use)
	{
		case AS_NAME:
			/* a user-defined type that is binary coercible to text, such as citext, counts as text */
			if (!is_builtin(type) && IsBinaryCoercible(type, TEXTOID))
			{
				node = (Node *) makeRelabelType((Expr *) node, TEXTOID, -1, exprCollation(node), COERCE_IMPLICIT_CAST);
				type = TEXTOID;
			}
			fits = is_name_type(type);
			break;
		case AS_TIME:
			fits = is_time(type);
			break;
		case AS_NUMBER:
			fits = type == NUMERICOID || type == INT2OID || type == INT4OID || type == INT8OID ||
				type == FLOAT4OID || type == FLOAT8OID;
			break;
		case AS_PROPERTY:
			fits = is_property_type(type);
			break;
		case AS_CONDITION:
			fits = type == BOOLOID;
			break;
	}
	if (!fits)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("an expression of type %s cannot %s", format_type_be(type), wanted[use]),
				 errhint("%s", hints[use])));
	return node;
}

/* ---------- making an expression ---------- */

static Node *
plan_text(const char *text, TupleDesc row, ExpressionUse use, bool *uses_settings)
{
	RawText		raw = {NIL, NIL};
	ParseState *state = make_parsestate(NULL);
	Check		check = {.state = state, .raw = &raw};
	Node	   *tree = parse_text(text, &raw);

	state->p_sourcetext = text;
	state->p_pre_columnref_hook = find_column;
	state->p_ref_hook_state = row;
	tree = transformExpr(state, tree, EXPR_KIND_OTHER);
	check_state(state);
	tree = coerce(state, tree, use);
	assign_expr_collations(state, tree);
	(void) check_node(tree, &check);
	tree = (Node *) expression_planner((Expr *) replace_casts(tree, &check));
	if (contain_mutable_functions(tree))
		refuse_mutable(tree);
	(void) check_node(tree, &check);
	if (!check.has_column && (use == AS_NAME || use == AS_TIME))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the expression \"%s\" reads no column", text),
				 errdetail("It is the same for all rows."),
				 errhint("Within an expression, \"double\" quotes are for names of columns, and 'single' ones for texts.")));
	*uses_settings = check.uses_settings;
	free_parsestate(state);
	return tree;
}

/* The attribute numbers of the columns in a tree. */
static Bitmapset *
columns_of(Node *tree)
{
	Bitmapset  *offset = NULL;
	Bitmapset  *columns = NULL;
	int			i = -1;

	pull_varattnos(tree, 1, &offset);
	while ((i = bms_next_member(offset, i)) >= 0)
		columns = bms_add_member(columns, i + FirstLowInvalidHeapAttributeNumber);
	return columns;
}

Expression *
expression_make(const char *text, TupleDesc row, ExpressionUse use)
{
	Expression *expression = palloc0(sizeof(Expression));
	int			settings = pin_meaning();
	ErrorContextCallback position = {
		.previous = error_context_stack, .callback = show_position, .arg = unconstify(char *, text)
	};

	error_context_stack = &position;
	expression->tree = plan_text(text, row, use, &expression->uses_settings);
	error_context_stack = position.previous;
	expression->type = getBaseType(exprType(expression->tree));
	expression->columns = columns_of(expression->tree);
	expression->state = ExecInitExpr((Expr *) expression->tree, NULL);
	expression->context = CreateStandaloneExprContext();
	AtEOXact_GUC(false, settings);
	return expression;
}

Datum
expression_value(Expression *expression, TupleTableSlot *slot, bool *isnull)
{
	expression->context->ecxt_scantuple = slot;
	return ExecEvalExpr(expression->state, expression->context, isnull);
}

/* ---------- catching errors ---------- */

typedef struct Making
{
	const char *text;
	TupleDesc	row;
	ExpressionUse use;
	Expression *expression;
	List	   *columns;		/* char *: set by list_columns() */
} Making;

static void
make(void *argument)
{
	Making	   *making = argument;

	making->expression = expression_make(making->text, making->row, making->use);
}

Expression *
expression_try(const char *text, TupleDesc row, ExpressionUse use, const char **problem)
{
	Making		making = {.text = text, .row = row, .use = use};
	Attempts	attempts = {0};

	if (!attempt_next(&attempts, make, &making))
	{
		*problem = psprintf("The expression \"%s\" cannot be evaluated: %s.", text, attempts.message);
		return NULL;
	}
	attempts_end(&attempts);
	return making.expression;
}

/* ---------- functions for other files and SQL ---------- */

bool
expression_is_indexed(const Expression *expression, Relation index, int column)
{
	List	   *expressions = RelationGetIndexExpressions(index);
	int			n = 0;

	if (index->rd_index->indkey.values[column] != 0)
		return false;
	for (int i = 0; i < column; i++)
		n += index->rd_index->indkey.values[i] == 0;
	return equal(list_nth(expressions, n), expression->tree);
}

/*
 * Make an expression for the rows of a table. Takes no lock on the table: so a query of
 * the state of all sources neither waits for their owners nor blocks them.
 */
static Expression *
make_for_table(Relation table, const char *text, ExpressionUse use)
{
	Identity	user = switch_to_owner(table->rd_rel->relowner, SECURITY_RESTRICTED_OPERATION);
	Expression *expression = expression_make(text, CreateTupleDescCopyConstr(RelationGetDescr(table)), use);

	restore_user(user);
	return expression;
}

static Relation
refer_to(Oid oid)
{
	Relation	relation = RelationIdGetRelation(oid);

	if (relation == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", oid)));
	return relation;
}

/* expression_type(source, expression, used_as): the type of its value; raises an error if it is not valid. */
Datum
expression_type(PG_FUNCTION_ARGS)
{
	static const char *const uses[] = {
		[AS_NAME] = "name", [AS_TIME] = "time", [AS_NUMBER] = "number", [AS_PROPERTY] = "property", [AS_CONDITION] = "condition"
	};
	char	   *used_as = text_to_cstring(PG_GETARG_TEXT_PP(2));
	Relation	relation = refer_to(PG_GETARG_OID(0));
	Expression *expression = NULL;

	for (Size i = 0; i < lengthof(uses); i++)
		if (strcmp(uses[i], used_as) == 0)
			expression = make_for_table(relation, text_to_cstring(PG_GETARG_TEXT_PP(1)), (ExpressionUse) i);
	if (expression == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("an expression cannot be used as \"%s\"", used_as)));
	RelationClose(relation);
	PG_RETURN_OID(expression->type);
}

/* expression_columns(expression): the names of the columns that it reads; NULL if it is not an expression. */
static void
list_columns(void *argument)
{
	int			settings = pin_meaning();
	Making	   *making = argument;
	RawText		raw = {NIL, NIL};

	(void) parse_text(making->text, &raw);
	making->columns = raw.columns;
	AtEOXact_GUC(false, settings);
}

Datum
expression_columns(PG_FUNCTION_ARGS)
{
	Making		making = {.text = text_to_cstring(PG_GETARG_TEXT_PP(0))};
	Attempts	attempts = {0};
	ArrayBuildState *names = initArrayResult(TEXTOID, CurrentMemoryContext, false);
	ListCell   *cell;

	if (!attempt_next(&attempts, list_columns, &making))
		PG_RETURN_NULL();
	attempts_end(&attempts);
	foreach(cell, making.columns)
		names = accumArrayResult(names, CStringGetTextDatum(lfirst(cell)), false, TEXTOID, CurrentMemoryContext);
	PG_RETURN_DATUM(makeArrayResult(names, CurrentMemoryContext));
}

/* ---------- indexes ---------- */

/* Whether different values of the only column give different values of the expression, or NULL. */
static bool
is_one_to_one(Node *node)
{
	switch (nodeTag(node))
	{
		case T_Var:
			return true;
		case T_RelabelType:
			return is_one_to_one((Node *) ((RelabelType *) node)->arg);
		case T_CoerceViaIO:
			return is_one_to_one((Node *) ((CoerceViaIO *) node)->arg);
		case T_NullIfExpr:
			return is_one_to_one(linitial(((NullIfExpr *) node)->args)) && IsA(lsecond(((NullIfExpr *) node)->args), Const);
		case T_OpExpr:
			{
				Node	   *left = linitial(((OpExpr *) node)->args);
				Node	   *right = llast(((OpExpr *) node)->args);

				return ((OpExpr *) node)->opfuncid == F_TEXTCAT &&
					((IsA(left, Const) && is_one_to_one(right)) || (IsA(right, Const) && is_one_to_one(left)));
			}
		default:
			return false;
	}
}

/* Whether a non-partial index begins with an expression or, if is_unique, ensures that its values are unique. */
static bool
has_values_of(Relation index, const Expression *expression, bool is_unique)
{
	Form_pg_index form = index->rd_index;
	bool		reads_one = bms_membership(expression->columns) == BMS_SINGLETON;
	AttrNumber	column = reads_one ? bms_singleton_member(expression->columns) : 0;

	if (!form->indisvalid || index->rd_rel->relam != BTREE_AM_OID || RelationGetIndexPredicate(index) != NIL)
		return false;
	if (!is_unique)
		return expression_is_indexed(expression, index, 0);
	return form->indisunique && form->indimmediate && form->indnkeyatts == 1 &&
		(expression_is_indexed(expression, index, 0) ||
		 (column > 0 && form->indkey.values[0] == column && is_one_to_one(expression->tree)));
}

/*
 * expression_has_index(table, expression, is_unique): whether an index finds rows by an
 * expression, or ensures that its values are unique.
 */
Datum
expression_has_index(PG_FUNCTION_ARGS)
{
	Relation	relation = refer_to(PG_GETARG_OID(0));
	Expression *expression = make_for_table(relation, text_to_cstring(PG_GETARG_TEXT_PP(1)), AS_NAME);
	ListCell   *cell;
	bool		found = false;

	foreach(cell, RelationGetIndexList(relation))
	{
		Relation	index = refer_to(lfirst_oid(cell));

		found = found || has_values_of(index, expression, PG_GETARG_BOOL(2));
		RelationClose(index);
	}
	RelationClose(relation);
	PG_RETURN_BOOL(found);
}
