/*
 * order_key.h: values as texts whose bytes have the order of the values.
 */
#ifndef LEADSCORE_ORDER_KEY_H
#define LEADSCORE_ORDER_KEY_H

#include "label.h"

/* The key of a value of a type that is_ordered() knows, in the current memory context. */
extern Label order_key(Oid type, Datum value);

#endif							/* LEADSCORE_ORDER_KEY_H */
