/*
 * order_key.c: values as texts that sort by their bytes like the values, so that
 * alias_edge can find the latest of several rows, whatever the type of the column.
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

/* Only this many bytes of a text are compared. */
#define MOST_TEXT 1000

/* More than the number of digits that a numeric can have before the decimal point. */
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

/* The bits of positive floats sort like the floats, those of negative floats in reverse. */
static Label
float_key(float8 value)
{
	uint64		bits;

	value += 0.0;				/* turns -0 into 0 */
	memcpy(&bits, &value, sizeof(bits));
	if (isnan(value))
		bits = ~UINT64CONST(0) >> 1;
	return unsigned_key(bits >> 63 ? ~bits : bits | UINT64CONST(1) << 63);
}

/*
 * The sign, the position of the first digit, and the digits: 1200 is "3", 500004, "12".
 * For a negative number everything after the sign is complemented, and the key ends with
 * a byte above all digits.
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
