/*
 * encoding.c: the bytes of a name, the same in every database.
 *
 * Decisions made by hashing a name, such as whether a lead is held out, must be
 * the same in every encoding, so the name is hashed as UTF-8. Triggers make
 * these decisions, so the conversion must not fail: a name that cannot be
 * converted to UTF-8, and any name in SQL_ASCII, where the meaning of its bytes
 * is unknown, is hashed as it is.
 */
#include "encoding.h"

#include "catalog/pg_conversion.h"
#include "catalog/pg_namespace.h"
#include "mb/pg_wchar.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(utf8);

/* The name in UTF-8: newly allocated if its bytes differ there, otherwise the name itself. */
const char *
utf8_bytes(const char *name, int length, int *utf8_length)
{
	int			encoding = GetDatabaseEncoding();
	Oid			conversion = InvalidOid;
	Size		size = (Size) length * MAX_CONVERSION_GROWTH + 1;
	unsigned char *converted;

	*utf8_length = length;
	if (encoding == PG_UTF8 || encoding == PG_SQL_ASCII || size > MaxAllocSize)
		return name;
	/* the conversion of pg_catalog, whatever the user's search_path is */
	conversion = FindDefaultConversion(PG_CATALOG_NAMESPACE, encoding, PG_UTF8);
	if (!OidIsValid(conversion))
		return name;
	converted = palloc(size);
	if (pg_do_encoding_conversion_buf(conversion, encoding, PG_UTF8, (unsigned char *) unconstify(char *, name), length,
									  converted, size, true) != length)
	{
		pfree(converted);
		return name;
	}
	*utf8_length = strlen((char *) converted);
	return (char *) converted;
}

/* utf8(name): its bytes in UTF-8, or unchanged if it cannot be converted. */
Datum
utf8(PG_FUNCTION_ARGS)
{
	text	   *name = PG_GETARG_TEXT_PP(0);
	int			length;
	const char *bytes = utf8_bytes(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name), &length);
	bytea	   *result = palloc(length + VARHDRSZ);

	SET_VARSIZE(result, length + VARHDRSZ);
	memcpy(VARDATA(result), bytes, length);
	PG_RETURN_BYTEA_P(result);
}
