/*
 * sentence.c: fills in templates of sentences, and writes numbers as a
 * language writes them.
 *
 * The core reads no table: a language's templates are passed as a jsonb
 * object with about a hundred members, which is searched by binary search.
 */
#include "model/sentence.h"

#include <math.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/shortest_dec.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/numeric.h"

PG_FUNCTION_INFO_V1(chosen_language);
PG_FUNCTION_INFO_V1(sentence_placeholders);
PG_FUNCTION_INFO_V1(sentence_filled);

/* Larger numbers are written with an exponent. */
#define MOST_WRITTEN_OUT 1e15

/* ---------- the setting ---------- */

static char *language = NULL;	/* NULL: the setting is not defined yet */

/* A code such as "en", "de_AT" or "pt-BR"; empty: the default. */
static bool
check_language(char **value, void **extra pg_attribute_unused(), GucSource source pg_attribute_unused())
{
	for (const char *c = *value; *c; c++)
		if (!isalnum((unsigned char) *c) && *c != '_' && *c != '-')
		{
			GUC_check_errdetail("A language is a code of letters, such as en, de or pt_BR.");
			return false;
		}
	return true;
}

/*
 * chosen_language(): the setting leadscore.language. It is defined here, not when the library is
 * loaded: PostgreSQL 15 sorts all settings to add one, which would be a fifth of what the library
 * costs a session that writes a single row. In parallel mode no setting can be defined, as its
 * value would be set anew.
 */
Datum
chosen_language(PG_FUNCTION_ARGS)
{
	const char *chosen;

	if (language == NULL && !IsInParallelMode())
		DefineCustomStringVariable("leadscore.language", "The language of explanations.",
								   "Sentences that the table leadscore.sentence does not have in it are English.",
								   &language, "en", PGC_USERSET, 0, check_language, NULL, NULL);
	chosen = language ? language : GetConfigOption("leadscore.language", true, false);
	PG_RETURN_TEXT_P(cstring_to_text(chosen ? chosen : "en"));
}

/* ---------- templates ---------- */

/* The length of a placeholder's name. */
static int
name_length(const char *text, int length)
{
	int			n = 0;

	while (n < length && ((text[n] >= 'a' && text[n] <= 'z') || text[n] == '_'))
		n++;
	return n;
}

/* sentence_placeholders(template): the names in a template, or an error */
Datum
sentence_placeholders(PG_FUNCTION_ARGS)
{
	text	   *template = PG_GETARG_TEXT_PP(0);
	const char *c = VARDATA_ANY(template);
	const char *end = c + VARSIZE_ANY_EXHDR(template);
	ArrayBuildState *names = initArrayResult(TEXTOID, CurrentMemoryContext, false);

	for (; c < end; c++)
	{
		int			n;

		if (*c != '%')
			continue;
		n = name_length(c + 1, end - c - 1);
		if (n > 0)
			accumArrayResult(names, PointerGetDatum(cstring_to_text_with_len(c + 1, n)), false, TEXTOID, CurrentMemoryContext);
		else if (c + 1 == end || c[1] != '%')
			ereport(ERROR,
					(errcode(ERRCODE_CHECK_VIOLATION),
					 errmsg("the template has a percent sign without a name"),
					 errdetail("The template is \"%s\".", text_to_cstring(template)),
					 errhint("Write %%%% for a percent sign.")));
		c += Max(n, 1);
	}
	PG_RETURN_DATUM(makeArrayResult(names, CurrentMemoryContext));
}

static const char *
find_filling(const char *name, int length, int n, const Filling *fillings)
{
	for (int i = 0; i < n; i++)
		if (strncmp(fillings[i].name, name, length) == 0 && fillings[i].name[length] == '\0')
			return fillings[i].text;
	return NULL;
}

static bool
find_template(const Wording *wording, const char *name, JsonbValue *template)
{
	return getKeyJsonValueFromContainer(wording->templates, name, strlen(name), template) && template->type == jbvString;
}

bool
wording_has(const Wording *wording, const char *name)
{
	JsonbValue	template;

	return find_template(wording, name, &template);
}

/* A sign used in numbers, from its template. */
static const char *
number_sign(const Wording *wording, const char *name, const char *otherwise)
{
	JsonbValue	template;

	if (!find_template(wording, name, &template))
		return otherwise;
	return pnstrdup(template.val.string.val, template.val.string.len);
}

void
wording_read(Wording *wording, Jsonb *templates)
{
	if (!JB_ROOT_IS_OBJECT(templates))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a wording is not a JSON object"),
				 errdetail("It has a template for each name of a sentence."),
				 errhint("Pass (SELECT leadscore_internal.wording()).")));
	wording->templates = &templates->root;
	wording->decimal = number_sign(wording, "number.decimal", ".");
	wording->thousands = number_sign(wording, "number.thousands", ",");
}

/*
 * Fill in the placeholders of a template. A placeholder without a filling, from a row older than
 * the library, is left out.
 */
char *
fill_in(const Wording *wording, const char *name, int n, const Filling *fillings)
{
	JsonbValue	template;
	StringInfoData words;
	const char *c;
	const char *end;

	if (!find_template(wording, name, &template))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("there is no sentence \"%s\"", name),
				 errdetail("Sentences have names, and templates by language."),
				 errhint("SELECT name, template FROM leadscore.sentence WHERE language = 'en' lists them.")));
	initStringInfo(&words);
	c = template.val.string.val;
	end = c + template.val.string.len;
	while (c < end)
	{
		const char *percent = memchr(c, '%', end - c);
		const char *filling;
		int			length;

		if (percent == NULL)
			percent = end;
		appendBinaryStringInfo(&words, c, percent - c);
		if (percent == end)
			break;
		length = name_length(percent + 1, end - percent - 1);
		filling = length > 0 ? find_filling(percent + 1, length, n, fillings) : "%";
		if (filling)
			appendStringInfoString(&words, filling);
		c = percent + 1 + (length > 0 ? length : 1);
	}
	return words.data;
}

/* The name of the template for a number of things, as written: with ".one" or ".many" appended if both exist. */
const char *
plural_name(const Wording *wording, const char *name, const char *n)
{
	bool		one = strcmp(n, "1") == 0 || strcmp(n, "-1") == 0;
	const char *numbered = psprintf("%s.%s", name, one ? "one" : "many");

	return wording_has(wording, numbered) ? numbered : name;
}

/* ---------- numbers ---------- */

/* The digits of a number, rounded, with a decimal point. */
static char *
digits(double number, NumberStyle style)
{
	char		shortest[DOUBLE_SHORTEST_DECIMAL_LEN];
	char	   *written;

	if (style == NUMBER_EXACT || fabs(number) >= MOST_WRITTEN_OUT)
	{
		double_to_shortest_decimal_buf(number, shortest);
		return pstrdup(shortest);
	}
	if (style == NUMBER_WHOLE)
		written = psprintf("%.0f", round(number));
	else if (style == NUMBER_AMOUNT)
	{
		written = psprintf("%.2f", number);
		if (strcmp(written + strlen(written) - 3, ".00") == 0)
			written[strlen(written) - 3] = '\0';
	}
	else
	{
		written = psprintf(fabs(number) < 0.95 ? "%.2f" : "%.1f", number);
		for (char *last = written + strlen(written) - 1; *last == '0' || *last == '.'; last--)
		{
			bool		point = *last == '.';

			*last = '\0';
			if (point)
				break;
		}
	}
	return strcmp(written, "-0") == 0 ? pstrdup("0") : written;
}

/* A number as the language writes it. */
char *
number_in_words(const Wording *wording, double number, NumberStyle style)
{
	const char *c = digits(number, style);
	int			whole;
	StringInfoData words;

	if (number != 0 && strcmp(c, "0") == 0 && style != NUMBER_WHOLE)
		return fill_in(wording, "number.tiny", 0, NULL);
	initStringInfo(&words);
	if (*c == '-')
		appendStringInfoChar(&words, *c++);
	whole = strspn(c, "0123456789");
	for (int left = whole; left > 0; left--)
	{
		if (left % 3 == 0 && left != whole)
			appendStringInfoString(&words, wording->thousands);
		appendStringInfoChar(&words, *c++);
	}
	if (*c == '.')
	{
		appendStringInfoString(&words, wording->decimal);
		c++;
	}
	appendStringInfoString(&words, c);
	return words.data;
}

/* ---------- for SQL ---------- */

/* The text for a member of an object: a string as it is, a number as the language writes it. */
static const char *
filling_text(const Wording *wording, const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvString:
			return pnstrdup(value->val.string.val, value->val.string.len);
		case jbvNumeric:
			return number_in_words(wording, DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(value->val.numeric))), NUMBER_ROUNDED);
		case jbvBool:
			return value->val.boolean ? "true" : "false";
		case jbvBinary:
			return JsonbToCString(NULL, value->val.binary.data, value->val.binary.len);
		default:
			return "";
	}
}

/*
 * sentence_filled(wording, name, arguments): fills in a template with the members of an object. If
 * there are templates for singular and plural, the member "n" decides.
 */
Datum
sentence_filled(PG_FUNCTION_ARGS)
{
	Wording		wording;
	const char *name = text_to_cstring(PG_GETARG_TEXT_PP(1));
	Jsonb	   *arguments = PG_GETARG_JSONB_P(2);
	JsonbIterator *it = JsonbIteratorInit(&arguments->root);
	Filling    *fillings = palloc(Max(JB_ROOT_COUNT(arguments), 1) * sizeof(Filling));
	int			n = 0;
	const char *number;
	JsonbValue	v;
	JsonbIteratorToken token;

	wording_read(&wording, PG_GETARG_JSONB_P(0));
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
		if (token == WJB_KEY)
			fillings[n].name = pnstrdup(v.val.string.val, v.val.string.len);
		else if (token == WJB_VALUE && JB_ROOT_IS_OBJECT(arguments))
		{
			fillings[n].text = filling_text(&wording, &v);
			n++;
		}
	number = find_filling("n", 1, n, fillings);
	PG_RETURN_TEXT_P(cstring_to_text(fill_in(&wording, plural_name(&wording, name, number ? number : ""), n, fillings)));
}
