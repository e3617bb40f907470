/*
 * document.h: reading a jsonb configuration document strictly.
 *
 * Every reader reports errors with the path of the value
 * ("weights[3].half_life"). A member that is null counts as absent.
 */
#ifndef LEADSCORE_DOCUMENT_H
#define LEADSCORE_DOCUMENT_H

#include "compat.h"
#include "timeline/local_day.h"

#include "access/tupdesc.h"
#include "datatype/timestamp.h"
#include "utils/jsonb.h"

/* A place in a document; the root has no parent and names the document. */
typedef struct DocPath
{
	const struct DocPath *parent;
	const char *key;			/* the member, or NULL for an element */
	int			index;			/* the element */
} DocPath;

/* An array of objects in a document; an absent one has no elements. */
typedef struct DocArray
{
	JsonbContainer *container;
	int			n;
	DocPath		path;
} DocArray;

pg_noreturn extern void doc_fail(const DocPath *path, const char *problem, const char *hint);

extern void doc_check_members(JsonbContainer *object, const DocPath *path, const char *const *known);
extern bool doc_member(JsonbContainer *object, const char *key, JsonbValue *value);
extern char *doc_string(JsonbContainer *object, const DocPath *path, const char *key, bool required);
extern char *doc_comment(JsonbContainer *object, const DocPath *path, const char *key);
extern char *doc_label(JsonbContainer *object, const DocPath *path, const char *key);
extern bool doc_number(JsonbContainer *object, const DocPath *path, const char *key, double *number);
extern bool doc_integer(JsonbContainer *object, const DocPath *path, const char *key,
						int32 least, int32 *integer);
extern bool doc_hours(JsonbContainer *object, const DocPath *path, const char *key, int32 *hours);
extern LocalDays *doc_time_zone(JsonbContainer *object, const DocPath *path, const char *key);
extern Jsonb *doc_object(JsonbContainer *object, const DocPath *path, const char *key);
extern void doc_array(JsonbContainer *object, const DocPath *path, const char *key, DocArray *array);
extern JsonbContainer *doc_element(const DocArray *array, int index, DocPath *path,
								   const char *const *known);
extern char *doc_string_element(const DocArray *array, int index, DocPath *path);
extern void *doc_input(const DocPath *path, const char *key, PGFunction input, const char *text,
					   int32 typmod, const char *hint);

extern int	doc_choice(JsonbContainer *object, const DocPath *path, const char *key,
					   const char *const *choices, int otherwise);

/* compiled documents, cached per call site */
typedef void *(*DocCompile) (Jsonb *document);
extern void *doc_compiled(FunctionCallInfo fcinfo, int argument, DocCompile compile);
extern void *doc_compiled_of_model(FunctionCallInfo fcinfo, int argument, DocCompile compile);

/* The type of the rows that a function returns, cached with the compiled document. */
typedef struct ResultRow
{
	TupleDesc	type;
	Oid			function;
} ResultRow;

extern TupleDesc result_row(ResultRow *row, FunctionCallInfo fcinfo, MemoryContext context);

#endif							/* LEADSCORE_DOCUMENT_H */
