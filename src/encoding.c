/*
 * encoding.c: the bytes of a name, the same in every database.
 *
 * What is decided by a hash of a name, such as who is held out, is to be the
 * same in every encoding, so the name is hashed as UTF-8. It is decided in
 * triggers, so it must not fail: a name that has no form in UTF-8, and any name
 * in SQL_ASCII, where nobody knows what its bytes mean, is hashed as it is.
 */
#include "encoding.h"

#include "catalog/pg_conversion.h"
#include "catalog/pg_namespace.h"
#include "mb/pg_wchar.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(utf8);

/* The name in UTF-8, allocated if it has other bytes there; or the name itself. */
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
	/* the server's own, whatever the user has put into his search_path */
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

/* utf8(name): its bytes in UTF-8, or as they are where they have no form in it. */
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
