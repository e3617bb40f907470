/*
 * experiment.c: which leads get the treatment.
 */
#include "compat.h"
#include "encoding.h"

#include "common/sha2.h"
#include "common/cryptohash.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(treated);

/* Add a text to a hash, converted to UTF-8 if possible. */
static bool
hash_text(pg_cryptohash_ctx *hash, text *value)
{
	int			length;
	const char *bytes = utf8_bytes(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value), &length);

	return pg_cryptohash_update(hash, (const uint8 *) bytes, length) >= 0;
}

/*
 * treated(salt, share, lead_id): whether 32 bits of sha256('salt:lead_id'), as
 * a number from 0 up to 1, lie below the share. It is the same on every
 * machine and in every version.
 */
Datum
treated(PG_FUNCTION_ARGS)
{
	pg_cryptohash_ctx *hash = pg_cryptohash_create(PG_SHA256);
	uint8		digest[PG_SHA256_DIGEST_LENGTH];
	uint32		number;

	if (pg_cryptohash_init(hash) < 0 || !hash_text(hash, PG_GETARG_TEXT_PP(0)) ||
		pg_cryptohash_update(hash, (const uint8 *) ":", 1) < 0 || !hash_text(hash, PG_GETARG_TEXT_PP(2)) ||
		pg_cryptohash_final(hash, digest, sizeof(digest)) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not compute the SHA-256 hash of a lead")));
	pg_cryptohash_free(hash);
	number = (uint32) digest[0] << 24 | (uint32) digest[1] << 16 | (uint32) digest[2] << 8 | digest[3];
	PG_RETURN_BOOL(number / 4294967296.0 < PG_GETARG_FLOAT8(1));
}
