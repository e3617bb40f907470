/*
 * leadscore.c: the module.
 */
#include "compat.h"

PG_MODULE_MAGIC;
