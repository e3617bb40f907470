/*
 * encoding.h: the bytes of a name, the same in every database.
 */
#ifndef LEADSCORE_ENCODING_H
#define LEADSCORE_ENCODING_H

#include "compat.h"

extern const char *utf8_bytes(const char *name, int length, int *utf8_length);

#endif							/* LEADSCORE_ENCODING_H */
