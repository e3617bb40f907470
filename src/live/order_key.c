/*
 * order_key.c: values as texts whose bytes have the order of the values, so that
 * alias_edge can say which of several rows is the latest, whatever its type.
 */
#include "live/order_key.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

/* Bytes of a text that matter. */
#define MOST_TEXT 1000

/* Digits before the point that a numeric can have, and more. */
#define MOST_DIGITS 500000

static Label
unsigned_key(uint64 value)
{
	char	   *key = psprintf("%016llx", (unsigned long long) value);

	return (Label) {key, 16};
}

static Label
integer_key(int64 value)
{
	return unsigned_key((uint64) value ^ (UINT64CONST(1) << 63));
}

/* The bits of positive floats have their order, those of negative ones the reverse. */
static Label
float_key(float8 value)
{
	uint64		bits;

	value += 0.0;				/* of -0 makes 0 */
	memcpy(&bits, &value, sizeof(bits));
	if (isnan(value))
		bits = ~UINT64CONST(0) >> 1;
	return unsigned_key(bits >> 63 ? ~bits : bits | UINT64CONST(1) << 63);
}

/*
 * Sign, where the first digit stands, and the digits: 1200 is "3", 500004, "12".
 * Of a negative number everything but the sign is turned round, and a byte above all digits
 * ends it.
 */
static Label
numeric_key(Datum value)
{
	char	   *text = DatumGetCString(DirectFunctionCall1(numeric_out, value));
	bool		negative = *text == '-';
	char	   *p = text + negative;
	char	   *point = strchr(p, '.');
	int			whole = point ? (int) (point - p) : (int) strlen(p);
	int			skipped = 0;
	StringInfoData key;

	initStringInfo(&key);
	if (*p == 'N' || *p == 'I')
		appendStringInfoChar(&key, *p == 'N' ? '5' : negative ? '0' : '4');
	else if (strspn(p, "0.") == strlen(p))
		appendStringInfoChar(&key, '2');
	else
	{
		for (char *digit = p; *digit == '0' || *digit == '.'; digit++)
			skipped += *digit == '0';
		appendStringInfo(&key, "%c%06d", negative ? '1' : '3', MOST_DIGITS + whole - skipped);
		for (char *digit = p; *digit; digit++)
			if (*digit != '.' && skipped-- <= 0)
				appendStringInfoChar(&key, *digit);
		while (key.data[key.len - 1] == '0' && key.len > 8)
			key.data[--key.len] = '\0';
		if (negative)
		{
			for (int i = 1; i < key.len; i++)
				key.data[i] = '0' + '9' - key.data[i];
			appendStringInfoChar(&key, '~');
		}
	}
	return (Label) {key.data, key.len};
}

static Label
text_key(Datum value)
{
	struct varlena *text = PG_DETOAST_DATUM_PACKED(value);

	return (Label) {VARDATA_ANY(text), pg_mbcliplen(VARDATA_ANY(text), VARSIZE_ANY_EXHDR(text), MOST_TEXT)};
}

static Label
uuid_key(Datum value)
{
	char	   *text = DatumGetCString(DirectFunctionCall1(uuid_out, value));

	return (Label) {text, strlen(text)};
}

Label
order_key(Oid type, Datum value)
{
	switch (type)
	{
		case INT2OID:
			return integer_key(DatumGetInt16(value));
		case INT4OID:
			return integer_key(DatumGetInt32(value));
		case DATEOID:
			return integer_key(DatumGetDateADT(value));
		case INT8OID:
		case TIMEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return integer_key(DatumGetInt64(value));
		case FLOAT4OID:
			return float_key(DatumGetFloat4(value));
		case FLOAT8OID:
			return float_key(DatumGetFloat8(value));
		case NUMERICOID:
			return numeric_key(value);
		case UUIDOID:
			return uuid_key(value);
		default:
			return text_key(value);
	}
}
