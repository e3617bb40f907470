/*
 * document.c: reading a jsonb configuration document strictly.
 */
#include "model/document.h"
#include "model/duration.h"
#include "session_cache.h"
#include "timeline/timeline.h"

#include "access/detoast.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "datatype/timestamp.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(label_fault);

/* Compiled documents kept per call site and per session: a query over several models needs several. */
#define MAX_COMPILED 8
/* Limit, in bytes, on documents that the session keeps but no query refers to; larger ones are not kept. */
#define MAX_COMPILED_BYTES (8 * 1024 * 1024)

/* ---------- errors ---------- */

/* Append the path below the root, such as weights[3].half_life. */
static void
append_path(StringInfo buf, const DocPath *path)
{
	if (path->parent == NULL)
		return;
	append_path(buf, path->parent);
	if (path->key == NULL)
		appendStringInfo(buf, "[%d]", path->index);
	else
		appendStringInfo(buf, "%s%s", buf->len > 0 ? "." : "", path->key);
}

/* Report an error in the value at a path. */
void
doc_fail(const DocPath *path, const char *problem, const char *hint)
{
	const DocPath *root = path;
	StringInfoData place;

	while (root->parent)
		root = root->parent;
	initStringInfo(&place);
	append_path(&place, path);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid %s document at \"%s\"", root->key, place.len > 0 ? place.data : "$"),
			 errdetail("%s", problem),
			 hint ? errhint("%s", hint) : 0));
}

/* Report an error in a member of an object. */
pg_noreturn static void
member_fail(const DocPath *path, const char *key, const char *problem, const char *hint)
{
	DocPath		member = {path, key, 0};

	doc_fail(&member, problem, hint);
}

static const char *
words_of(const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvString:
			return psprintf("the string \"%s\"",
							excerpt(value->val.string.val, value->val.string.len, 100));
		case jbvNumeric:
			return psprintf("the number %s",
							DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric))));
		case jbvBool:
			return value->val.boolean ? "the boolean true" : "the boolean false";
		case jbvBinary:
			return JsonContainerIsObject(value->val.binary.data) ? "an object" : "an array";
		default:
			return "null";
	}
}

/* ---------- members ---------- */

/* Reject members whose names are not in a NULL-terminated list. */
void
doc_check_members(JsonbContainer *object, const DocPath *path, const char *const *known)
{
	JsonbIterator *it = JsonbIteratorInit(object);
	JsonbValue	v;
	JsonbIteratorToken token;

	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		const char *const *k;

		if (token != WJB_KEY)
			continue;
		for (k = known; *k; k++)
			if ((int) strlen(*k) == v.val.string.len && memcmp(*k, v.val.string.val, v.val.string.len) == 0)
				break;
		if (*k == NULL)
		{
			StringInfoData hint;

			initStringInfo(&hint);
			appendStringInfoString(&hint, "Known members are ");
			for (k = known; *k; k++)
				appendStringInfo(&hint, "%s%s", *k, k[1] ? ", " : ".");
			member_fail(path, excerpt(v.val.string.val, v.val.string.len, 100),
						"There is no such member here.", hint.data);
		}
	}
}

/* A member's value; false if it is absent or null. */
bool
doc_member(JsonbContainer *object, const char *key, JsonbValue *value)
{
	return getKeyJsonValueFromContainer(object, key, strlen(key), value) != NULL &&
		value->type != jbvNull;
}

/* A non-empty string member, or NULL. */
char *
doc_string(JsonbContainer *object, const DocPath *path, const char *key, bool required)
{
	JsonbValue	v;

	if (!doc_member(object, key, &v))
	{
		if (required)
			member_fail(path, key, "It is missing.", "Write a string that is not empty.");
		return NULL;
	}
	if (v.type != jbvString)
		member_fail(path, key, psprintf("It is %s.", words_of(&v)), "Write a string.");
	if (v.val.string.len == 0)
		member_fail(path, key, "It is the empty string.",
					required ? "Write a string that is not empty." : "Leave the member out, or write null.");
	return pnstrdup(v.val.string.val, v.val.string.len);
}

/* A string member that people read, which may be empty; or NULL. */
char *
doc_comment(JsonbContainer *object, const DocPath *path, const char *key)
{
	JsonbValue	v;

	if (!doc_member(object, key, &v))
		return NULL;
	if (v.type != jbvString)
		member_fail(path, key, psprintf("It is %s.", words_of(&v)), "Write a string.");
	return pnstrdup(v.val.string.val, v.val.string.len);
}

/* The fault of a display name, as the end of a sentence, or NULL. A bar may separate singular and plural. */
static const char *
fault_of_label(const char *label, int length)
{
	const char *bar = memchr(label, '|', length);

	for (int i = 0; i < length; i++)
		if ((unsigned char) label[i] < ' ' || label[i] == 0x7F)
			return "has a control character";
	if (bar == NULL)
		return strspn(label, " ") >= (size_t) length ? "is empty" : NULL;
	if (memchr(bar + 1, '|', label + length - bar - 1))
		return "has two bars";
	if (bar == label || bar == label + length - 1)
		return "has nothing on one side of the bar";
	return NULL;
}

/* label_fault(label): the fault of a display name, or NULL */
Datum
label_fault(PG_FUNCTION_ARGS)
{
	char	   *label = text_to_cstring(PG_GETARG_TEXT_PP(0));
	const char *fault = fault_of_label(label, strlen(label));

	if (fault == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(fault));
}

/* A display name member, or NULL. */
char *
doc_label(JsonbContainer *object, const DocPath *path, const char *key)
{
	char	   *label = doc_comment(object, path, key);
	const char *fault = label ? fault_of_label(label, strlen(label)) : NULL;

	if (fault)
		member_fail(path, key, psprintf("It %s.", fault), "Write a name for people, such as \"purchase\" or \"purchase|purchases\".");
	return label;
}

static bool
numeric_is_zero(Numeric number)
{
	return DatumGetInt32(DirectFunctionCall2(numeric_cmp, NumericGetDatum(number),
											 NumericGetDatum(int64_to_numeric(0)))) == 0;
}

/* A number member; false if it is absent. */
bool
doc_number(JsonbContainer *object, const DocPath *path, const char *key, double *number)
{
	JsonbValue	v;

	if (!doc_member(object, key, &v))
		return false;
	if (v.type != jbvNumeric)
		member_fail(path, key, psprintf("It is %s.", words_of(&v)), "Write a number.");
	*number = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow,
												 NumericGetDatum(v.val.numeric)));
	if (!isfinite(*number) || (*number == 0 && !numeric_is_zero(v.val.numeric)))
		member_fail(path, key, "It is too large or too small for double precision.", "Write a number that fits.");
	return true;
}

/* An integer member of at least a given value; false if it is absent. */
bool
doc_integer(JsonbContainer *object, const DocPath *path, const char *key, int32 least, int32 *integer)
{
	double		number;

	if (!doc_number(object, path, key, &number))
		return false;
	if (number != floor(number) || number < least || number > PG_INT32_MAX)
		member_fail(path, key, psprintf("It is the number %.15g.", number),
					psprintf("Write a whole number from %d to %d.", least, PG_INT32_MAX));
	*integer = (int32) number;
	return true;
}

/*
 * Read a text with a type's input function; report its errors with the path.
 * The error is only caught to be raised again, so no subtransaction is needed.
 */
void *
doc_input(const DocPath *path, const char *key, PGFunction input, const char *text, int32 typmod,
		  const char *hint)
{
	MemoryContext context = CurrentMemoryContext;
	volatile Datum result = (Datum) 0;

	PG_TRY();
	{
		result = DirectFunctionCall3(input, CStringGetDatum(text),
									 ObjectIdGetDatum(InvalidOid), Int32GetDatum(typmod));
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_DATA_EXCEPTION &&
			ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION)
			PG_RE_THROW();
		FlushErrorState();
		member_fail(path, key, psprintf("%s.", error->message), hint);
	}
	PG_END_TRY();
	return DatumGetPointer(result);
}

/* An interval from the text of a document: its meaning must not depend on IntervalStyle. */
static Interval *
interval_of_text(const DocPath *path, const char *key, const char *text, const char *hint)
{
	int			style = IntervalStyle;
	Interval   *interval = NULL;

	IntervalStyle = INTSTYLE_POSTGRES;
	PG_TRY();
	{
		interval = doc_input(path, key, interval_in, text, -1, hint);
	}
	PG_FINALLY();
	{
		IntervalStyle = style;
	}
	PG_END_TRY();
	return interval;
}

/* An interval member in whole hours, rounded up; false if it is absent. */
bool
doc_hours(JsonbContainer *object, const DocPath *path, const char *key, int32 *hours)
{
	static const char *const hint = "Write a duration such as \"14 days\" or \"36 hours\".";
	char	   *text;
	Interval   *interval;
	const char *fault;
	const char *advice = hint;
	JsonbValue	v;

	if (!doc_member(object, key, &v))
		return false;
	if (v.type != jbvString)
		member_fail(path, key, psprintf("It is %s.", words_of(&v)), hint);
	text = pnstrdup(v.val.string.val, v.val.string.len);
	interval = interval_of_text(path, key, text, hint);
	fault = duration_fault(interval, strspn(text, "0123456789. ") == strlen(text), &advice);
	if (fault)
		member_fail(path, key, psprintf("The interval \"%s\" %s.", text, fault), advice);
	*hours = hours_of_interval(interval);
	return true;
}

/* A member that names a time zone: the local days of that zone, or NULL. */
LocalDays *
doc_time_zone(JsonbContainer *object, const DocPath *path, const char *key)
{
	char	   *name = doc_string(object, path, key, false);
	const char *fault = name ? time_zone_fault(name) : NULL;

	if (fault)
		member_fail(path, key, psprintf("It is \"%s\". %s", name, fault),
					"Write a name from pg_timezone_names, such as \"Europe/Berlin\", or leave it out for UTC.");
	return name ? local_days(name) : NULL;
}

/* An object member, or NULL. */
Jsonb *
doc_object(JsonbContainer *object, const DocPath *path, const char *key)
{
	JsonbValue	v;

	if (!doc_member(object, key, &v))
		return NULL;
	if (v.type != jbvBinary || !JsonContainerIsObject(v.val.binary.data))
		member_fail(path, key, psprintf("It is %s.", words_of(&v)), "Write an object.");
	return JsonbValueToJsonb(&v);
}

/* A member that is one of a NULL-terminated list of words: its position; "otherwise" if it is absent. */
int
doc_choice(JsonbContainer *object, const DocPath *path, const char *key,
		   const char *const *choices, int otherwise)
{
	char	   *word = doc_string(object, path, key, false);
	StringInfoData hint;

	if (word == NULL)
		return otherwise;
	for (int i = 0; choices[i]; i++)
		if (strcmp(word, choices[i]) == 0)
			return i;
	initStringInfo(&hint);
	appendStringInfoString(&hint, "Write one of ");
	for (int i = 0; choices[i]; i++)
		appendStringInfo(&hint, "%s%s", choices[i], choices[i + 1] ? ", " : ".");
	member_fail(path, key, psprintf("It is \"%s\".", word), hint.data);
}

/* An array member. */
void
doc_array(JsonbContainer *object, const DocPath *path, const char *key, DocArray *array)
{
	JsonbValue	v;

	memset(array, 0, sizeof(*array));
	array->path = (DocPath) {path, key, 0};
	if (!doc_member(object, key, &v))
		return;
	if (v.type != jbvBinary || !JsonContainerIsArray(v.val.binary.data))
		doc_fail(&array->path, psprintf("It is %s.", words_of(&v)), "Write an array.");
	array->container = v.val.binary.data;
	array->n = JsonContainerSize(v.val.binary.data);
}

/* An element of an array, which must be an object with known members only. */
JsonbContainer *
doc_element(const DocArray *array, int index, DocPath *path, const char *const *known)
{
	JsonbValue *v = getIthJsonbValueFromContainer(array->container, index);

	CHECK_FOR_INTERRUPTS();
	*path = (DocPath) {&array->path, NULL, index};
	if (v->type != jbvBinary || !JsonContainerIsObject(v->val.binary.data))
		doc_fail(path, psprintf("It is %s.", words_of(v)), "Write an object.");
	doc_check_members(v->val.binary.data, path, known);
	return v->val.binary.data;
}

/* An element of an array, which must be a non-empty string. */
char *
doc_string_element(const DocArray *array, int index, DocPath *path)
{
	JsonbValue *v = getIthJsonbValueFromContainer(array->container, index);

	CHECK_FOR_INTERRUPTS();
	*path = (DocPath) {&array->path, NULL, index};
	if (v->type != jbvString)
		doc_fail(path, psprintf("It is %s.", words_of(v)), "Write a string.");
	if (v->val.string.len == 0)
		doc_fail(path, "It is the empty string.", "Write a string that is not empty.");
	return pnstrdup(v->val.string.val, v->val.string.len);
}

/* ---------- compiled documents ---------- */

/*
 * A compiled document. The session keeps the most recently used ones, keyed by
 * content, so there is nothing to invalidate. They are limited in number and in
 * bytes. A document that a running query refers to is not removed.
 */
typedef struct CompiledDocument
{
	struct CompiledDocument *next;
	MemoryContext context;		/* holds all of it */
	DocCompile	compile;
	struct varlena *document;	/* the source as passed in, compressed if it was */
	Size		size;
	void	   *compiled;
	int			references;		/* number of call sites */
} CompiledDocument;

/* fn_extra points to it: the documents of one call site, most recently used first. */
typedef struct CallSite
{
	int			n;
	bool		constant;		/* the argument cannot change in this query */
	CompiledDocument *documents[MAX_COMPILED];
	text	   *models[MAX_COMPILED];	/* whose documents they are; NULL: not known */
	MemoryContextCallback release;
} CallSite;

static CompiledDocument *session_documents = NULL;

static bool
same_document(const CompiledDocument *entry, const struct varlena *document)
{
	return entry->size == VARSIZE_ANY(document) && memcmp(entry->document, document, entry->size) == 0;
}

/* Of the documents that no query refers to, remove the least recently used ones above the limits; "kept" stays. */
static void
trim_session_documents(const CompiledDocument *kept)
{
	int			unused = 0;
	Size		bytes = 0;

	for (CompiledDocument **link = &session_documents, *entry; (entry = *link) != NULL;)
	{
		Size		size = MemoryContextMemAllocated(entry->context, true);

		if (entry == kept || entry->references > 0)
			link = &entry->next;
		else if (unused < MAX_COMPILED && bytes + size <= MAX_COMPILED_BYTES)
		{
			unused++;
			bytes += size;
			link = &entry->next;
		}
		else
		{
			*link = entry->next;
			MemoryContextDelete(entry->context);
		}
	}
}

/* A query has ended: release the references of its call site. (Documents may have grown since they were compiled.) */
static void
release_call_site(void *arg)
{
	CallSite   *site = arg;

	for (int i = 0; i < site->n; i++)
		site->documents[i]->references--;
	trim_session_documents(NULL);
}

/* The session's compiled form of a document, compiled if it has none; moved to the front of the list. */
static CompiledDocument *
session_document(const struct varlena *document, DocCompile compile)
{
	CompiledDocument **link;
	CompiledDocument *entry;
	MemoryContext context;
	MemoryContext old;

	for (link = &session_documents; (entry = *link) != NULL; link = &entry->next)
	{
		if (entry->compile == compile && same_document(entry, document))
		{
			*link = entry->next;
			entry->next = session_documents;
			session_documents = entry;
			return entry;
		}
	}

	/* a child of the caller's context until it is complete */
	context = AllocSetContextCreate(CurrentMemoryContext, "leadscore document", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	entry = palloc0(sizeof(CompiledDocument));
	entry->context = context;
	entry->compile = compile;
	entry->size = VARSIZE_ANY(document);
	entry->document = memcpy(palloc(entry->size), document, entry->size);
	entry->compiled = compile(DatumGetJsonbPCopy(PointerGetDatum(document)));
	MemoryContextSwitchTo(old);
	MemoryContextSetParent(context, TopMemoryContext);
	entry->next = session_documents;
	session_documents = entry;
	trim_session_documents(entry);
	return entry;
}

/*
 * Whether an argument is a constant. A parameter is not: PL/pgSQL keeps an
 * expression, with our fn_extra in it, while its variables change.
 */
static bool
argument_is_constant(const FmgrInfo *flinfo, int argument)
{
	Node	   *expression = flinfo->fn_expr;

	return expression && IsA(expression, FuncExpr) && argument < list_length(((FuncExpr *) expression)->args) &&
		IsA(list_nth(((FuncExpr *) expression)->args, argument), Const);
}

/* The call site of a function, made at its first call. "argument" is that of its document, or -1. */
static CallSite *
call_site(FmgrInfo *flinfo, int argument)
{
	CallSite   *site = flinfo->fn_extra;

	if (site)
		return site;
	site = MemoryContextAllocZero(flinfo->fn_mcxt, sizeof(CallSite));
	site->constant = argument >= 0 && argument_is_constant(flinfo, argument);
	site->release.func = release_call_site;
	site->release.arg = site;
	MemoryContextRegisterResetCallback(flinfo->fn_mcxt, &site->release);
	flinfo->fn_extra = site;
	return site;
}

/* Move a document of a call site to the front; returns its compiled form. */
static inline void *
use_document(CallSite *site, int i)
{
	CompiledDocument *entry = site->documents[i];
	text	   *model = site->models[i];

	if (i > 0)
	{
		memmove(&site->documents[1], &site->documents[0], i * sizeof(CompiledDocument *));
		memmove(&site->models[1], &site->models[0], i * sizeof(text *));
		site->documents[0] = entry;
		site->models[0] = model;
	}
	return entry->compiled;
}

/* Add a document to a call site; returns its compiled form. */
static void *
add_document(CallSite *site, struct varlena *document, text *model, DocCompile compile)
{
	CompiledDocument *entry = session_document(document, compile);

	if (site->n == MAX_COMPILED)
		site->documents[--site->n]->references--;
	site->documents[site->n] = entry;
	site->models[site->n] = model;
	entry->references++;
	return use_document(site, site->n++);
}

/*
 * The compiled form of a document argument.
 *
 * A constant is looked up at the first call. Any other argument, such as a
 * scalar sub-select or a column, is compared byte by byte with the compiled
 * documents; an equal address proves nothing. A compressed document, as from
 * model_document, is compared in compressed form: it is never decompressed,
 * and only a quarter of the bytes is read.
 */
void *
doc_compiled(FunctionCallInfo fcinfo, int argument, DocCompile compile)
{
	CallSite   *site = call_site(fcinfo->flinfo, argument);
	struct varlena *document;

	if (site->constant && site->n > 0)
		return site->documents[0]->compiled;
	document = PG_GETARG_RAW_VARLENA_P(argument);
	if (VARATT_IS_EXTERNAL(document))
		document = detoast_external_attr(document);
	for (int i = 0; i < site->n; i++)
		if (same_document(site->documents[i], document))
			return use_document(site, i);
	return add_document(site, document, NULL, compile);
}

/* A model's document, by a query. */
static struct varlena *
document_of_model(Datum model)
{
	static SPIPlanPtr plan = NULL;
	Oid			type = TEXTOID;
	struct varlena *document;
	bool		isnull;

	SPI_connect();
	session_plan(&plan, "SELECT leadscore.scorecard($1)", 1, &type);
	if (SPI_execute_plan(plan, &model, NULL, true, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not read a scorecard");
	document = (struct varlena *) DatumGetPointer(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	if (isnull)
		elog(ERROR, "could not read a scorecard");
	document = (struct varlena *) DatumGetPointer(SPI_datumTransfer(PointerGetDatum(document), false, -1));
	SPI_finish();
	return VARATT_IS_EXTERNAL(document) ? detoast_external_attr(document) : document;
}

/*
 * The compiled document of the model that an argument names. It is read once a
 * query: so this is for the functions of views, whose rows then carry a name
 * instead of a document.
 */
void *
doc_compiled_of_model(FunctionCallInfo fcinfo, int argument, DocCompile compile)
{
	CallSite   *site = call_site(fcinfo->flinfo, -1);
	text	   *model = PG_GETARG_TEXT_PP(argument);
	text	   *kept;

	for (int i = 0; i < site->n; i++)
		if (VARSIZE_ANY_EXHDR(model) == VARSIZE_ANY_EXHDR(site->models[i]) &&
			memcmp(VARDATA_ANY(model), VARDATA_ANY(site->models[i]), VARSIZE_ANY_EXHDR(model)) == 0)
			return use_document(site, i);
	kept = memcpy(MemoryContextAlloc(fcinfo->flinfo->fn_mcxt, VARSIZE_ANY(model)), model, VARSIZE_ANY(model));
	return add_document(site, document_of_model(PointerGetDatum(model)), kept, compile);
}

/* The type of the rows that a function returns; it is kept in "context", which holds "row". */
TupleDesc
result_row(ResultRow *row, FunctionCallInfo fcinfo, MemoryContext context)
{
	if (row->function != fcinfo->flinfo->fn_oid)	/* the extension may have been created again */
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		if (get_call_result_type(fcinfo, NULL, &row->type) != TYPEFUNC_COMPOSITE)
			elog(ERROR, "return type must be a row type");
		row->type = BlessTupleDesc(row->type);
		row->function = fcinfo->flinfo->fn_oid;
		MemoryContextSwitchTo(old);
	}
	return row->type;
}
