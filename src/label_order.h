/*
 * label_order.h: sorts things by their labels.
 */
#ifndef LEADSCORE_LABEL_ORDER_H
#define LEADSCORE_LABEL_ORDER_H

#include "label.h"

/* One of many things that are sorted. */
typedef struct LabelOrder
{
	uint64		head;			/* see order_labels() */
	Label		label;
	int			place;			/* where it was; equal labels keep their order */
} LabelOrder;

/* Sort by the bytes of the labels. */
extern void order_labels(LabelOrder *order, int n);

#endif							/* LEADSCORE_LABEL_ORDER_H */
