/*
 * mapping.c: the argument of a tracked table's triggers.
 *
 * These triggers are the registry of sources. A user who may call record() can create
 * one by hand, with any argument. So code that reads the registry trusts nothing: text
 * that track() would not have written is no mapping, and never raises an error. Some
 * errors of jsonb_in() cannot be suppressed by its caller, such as the one for deep
 * nesting. So it is called only for flat texts: an object of strings, arrays of strings,
 * and true.
 */
#include "live/source.h"

#include "model/document.h"

#include <ctype.h>

#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

PG_FUNCTION_INFO_V1(trigger_mapping);

/* More than any mapping needs, and short enough for jsonb. */
#define MAPPING_MAX (1024 * 1024)

/* ---------- the text: each function skips the element in its name, or returns NULL if it is not there ---------- */

static const char *
skip_space(const char *p)
{
	return p + strspn(p, " \t\n\r");
}

/* An escape, after its backslash. jsonb writes numeric escapes only for control characters, and never for NUL. */
static const char *
skip_escape(const char *p)
{
	if (*p == 'u')
		return strncmp(p, "u00", 3) == 0 && (p[3] == '0' || p[3] == '1') && isxdigit((unsigned char) p[4]) &&
			strncmp(p, "u0000", 5) != 0 ? p + 5 : NULL;
	return *p != '\0' && strchr("\"\\/bfnrt", *p) ? p + 1 : NULL;
}

static const char *
skip_string(const char *p)
{
	if (*p++ != '"')
		return NULL;
	while (p && *p != '"')
	{
		if ((unsigned char) *p < ' ')
			return NULL;		/* a control character, or the end of the text */
		p = *p == '\\' ? skip_escape(p + 1) : p + 1;
	}
	return p ? p + 1 : NULL;
}

typedef const char *(*Skip) (const char *p);

/* A list in brackets, of elements that "skip" skips. */
static const char *
skip_list(const char *p, char open, char close, Skip skip)
{
	if (*p != open)
		return NULL;
	p = skip_space(p + 1);
	if (*p == close)
		return p + 1;
	while ((p = skip(p)) != NULL)
	{
		p = skip_space(p);
		if (*p == close)
			return p + 1;
		if (*p != ',')
			return NULL;
		p = skip_space(p + 1);
	}
	return NULL;
}

static const char *
skip_value(const char *p)
{
	if (*p == '[')
		return skip_list(p, '[', ']', skip_string);
	return strncmp(p, "true", 4) == 0 ? p + 4 : skip_string(p);
}

static const char *
skip_member(const char *p)
{
	p = skip_string(p);
	if (p == NULL)
		return NULL;
	p = skip_space(p);
	return *p == ':' ? skip_value(skip_space(p + 1)) : NULL;
}

static bool
is_flat_object(const char *text)
{
	const char *p = strlen(text) <= MAPPING_MAX ? skip_list(skip_space(text), '{', '}', skip_member) : NULL;

	return p && *skip_space(p) == '\0';
}

/* ---------- the mapping ---------- */

static bool
is_text(const JsonbValue *value, const char *text)
{
	return value->val.string.len == (int) strlen(text) && memcmp(value->val.string.val, text, value->val.string.len) == 0;
}

/* Whether properties are an array of names, with no more elements than track() accepts. */
static bool
are_properties(const JsonbValue *value)
{
	JsonbContainer *names = value->type == jbvBinary ? value->val.binary.data : NULL;

	if (names == NULL || !JsonContainerIsArray(names) || JsonContainerSize(names) > MAX_PROPERTIES)
		return false;
	for (uint32 i = 0; i < JsonContainerSize(names); i++)
		if (getIthJsonbValueFromContainer(names, i)->type != jbvString)
			return false;
	return true;
}

/* Whether an object has the members of a mapping. */
static bool
is_mapping(JsonbContainer *object)
{
	static const char *const strings[] = {"lead_id", "kind", "kind_column", "occurred_at", "value", "maintenance", "latest_by", "alias", "filter"};
	JsonbValue	value;

	for (Size i = 0; i < lengthof(strings); i++)
		if (doc_member(object, strings[i], &value) ? value.type != jbvString || value.val.string.len == 0 : i == 0)
			return false;
	if (doc_member(object, "maintenance", &value) && !is_text(&value, "immediate") && !is_text(&value, "deferred"))
		return false;
	if (doc_member(object, "partition", &value) && value.type != jbvBool)
		return false;
	return !doc_member(object, "properties", &value) || are_properties(&value);
}

/* The mapping in a text, or NULL if the text is no mapping. */
static Jsonb *
mapping_in(const char *text)
{
	Jsonb	   *mapping;

	if (!is_flat_object(text))
		return NULL;
	mapping = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
	return is_mapping(&mapping->root) ? mapping : NULL;
}

bool
mapping_has_latest(Jsonb *mapping)
{
	JsonbValue	value;

	return JB_ROOT_IS_OBJECT(mapping) && doc_member(&mapping->root, "latest_by", &value);
}

/* The mapping in the argument of a trigger, or NULL if track() has not written it. */
Jsonb *
mapping_of(Trigger *trigger)
{
	return trigger->tgnargs == 1 ? mapping_in(trigger->tgargs[0]) : NULL;
}

/* trigger_mapping(arguments): the same for pg_trigger.tgargs, where a NUL ends each argument. */
Datum
trigger_mapping(PG_FUNCTION_ARGS)
{
	bytea	   *arguments = PG_GETARG_BYTEA_PP(0);
	int			length = VARSIZE_ANY_EXHDR(arguments);
	char	   *text = pnstrdup(VARDATA_ANY(arguments), length);
	Jsonb	   *mapping = (int) strlen(text) == length - 1 ? mapping_in(text) : NULL;

	if (mapping == NULL)
		PG_RETURN_NULL();
	PG_RETURN_JSONB_P(mapping);
}
