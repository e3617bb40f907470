/*
 * label.h: the name of a lead or kind, as the key of a hash table.
 */
#ifndef LEADSCORE_LABEL_H
#define LEADSCORE_LABEL_H

#include "compat.h"

#include "common/hashfn.h"

/* A string that need not end with a zero byte. */
typedef struct Label
{
	const char *text;
	int			length;
} Label;

static inline uint32
label_hash(Label label)
{
	return hash_bytes((const unsigned char *) label.text, label.length);
}

static inline bool
label_equal(Label a, Label b)
{
	return a.length == b.length && memcmp(a.text, b.text, a.length) == 0;
}

/* In the order of bytes. */
static inline int
label_compare(Label a, Label b)
{
	int			order = memcmp(a.text, b.text, Min(a.length, b.length));

	return order != 0 ? order : (a.length > b.length) - (a.length < b.length);
}

static inline Label
text_label(const text *name)
{
	return (Label) {VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name)};
}

static inline bool
text_equal(const text *x, const text *y)
{
	return label_equal(text_label(x), text_label(y));
}

static inline int
text_compare(const text *x, const text *y)
{
	return label_compare(text_label(x), text_label(y));
}

/* Of two text *, for qsort(). */
static inline int
text_pointer_compare(const void *a, const void *b)
{
	return text_compare(*(text *const *) a, *(text *const *) b);
}

/* Sort names and remove duplicates. Returns how many are left. */
static inline int
sort_names(text **names, int n)
{
	int			distinct = 0;

	qsort(names, n, sizeof(text *), text_pointer_compare);
	for (int i = 0; i < n; i++)
		if (distinct == 0 || !text_equal(names[i], names[distinct - 1]))
			names[distinct++] = names[i];
	return distinct;
}

#endif							/* LEADSCORE_LABEL_H */
