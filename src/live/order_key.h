/*
 * order_key.h: values as texts that sort by their bytes like the values.
 */
#ifndef LEADSCORE_ORDER_KEY_H
#define LEADSCORE_ORDER_KEY_H

#include "label.h"

/* The key of a value, in the current memory context; is_ordered() must accept the type. */
extern Label order_key(Oid type, Datum value);

#endif							/* LEADSCORE_ORDER_KEY_H */
