/*
 * label_table.h: a hash table keyed by label (lib/simplehash.h). Include it once
 * for each table, after defining its SH_PREFIX, SH_ELEMENT_TYPE and SH_KEY.
 * Besides its key, an element has a uint32 hash and a char status.
 */
#define SH_KEY_TYPE Label
#define SH_HASH_KEY(tb, key) label_hash(key)
#define SH_EQUAL(tb, a, b) label_equal(a, b)
#define SH_STORE_HASH
#define SH_GET_HASH(tb, a) ((a)->hash)
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"
