/*
 * label_order.c: sorts things by their labels.
 *
 * Labels share a beginning, such as "order:", and the next bytes mostly decide. So these stand
 * beside the pointer to the label, as a number, and few comparisons follow the pointer.
 */
#include "label_order.h"

#include "port/pg_bswap.h"

static inline int
order_compare(const LabelOrder *a, const LabelOrder *b)
{
	int			order;

	if (a->head != b->head)
		return a->head < b->head ? -1 : 1;
	order = label_compare(a->label, b->label);
	return order != 0 ? order : a->place - b->place;
}

#define ST_SORT sort_order
#define ST_ELEMENT_TYPE LabelOrder
#define ST_COMPARE(a, b) order_compare(a, b)
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

/* How many bytes all labels begin with. */
static int
common_beginning(const LabelOrder *order, int n)
{
	Label		first = order[0].label;
	int			length = first.length;

	for (int i = 1; i < n; i++)
	{
		Label		label = order[i].label;
		int			same = 0;

		length = Min(length, label.length);
		while (same < length && label.text[same] == first.text[same])
			same++;
		length = same;
	}
	return length;
}

/* The eight bytes of a label after its first ones, as a number. */
static uint64
head_of(Label label, int after)
{
	uint64		head = 0;

	memcpy(&head, label.text + after, Min(label.length - after, (int) sizeof(head)));
	return pg_ntoh64(head);
}

void
order_labels(LabelOrder *order, int n)
{
	int			beginning = n > 0 ? common_beginning(order, n) : 0;

	for (int i = 0; i < n; i++)
		order[i].head = head_of(order[i].label, beginning);
	sort_order(order, n);
}
