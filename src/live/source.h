/*
 * source.h: how the rows of a tracked table are read as events.
 *
 * The mapping is the one argument of the table's triggers, a JSON object:
 *
 *     {"lead_id": "customer_id", "kind": "purchase", "occurred_at": "placed_at",
 *      "value": "total", "properties": ["channel", "device"]}
 *
 * "kind_column" replaces "kind" if a column holds the kind. A table of customers has
 * neither, nor a time: its rows are profiles. A table of aliases has "alias": each of
 * its rows makes this name an alias of the lead. If several rows name the same lead or
 * alias, the row with the greatest value in the column "latest_by" counts. Only rows
 * for which "filter", a condition, is true count.
 *
 * A text that is not the name of a column is an expression over the row: "lower(email)"
 * or, as a property with its own name, "price => (payload ->> 'price')::numeric".
 * With "maintenance": "deferred", record() appends to pending_delta.
 * "partition": true marks the triggers of a partition or child table, whose rows are
 * read through its parent.
 */
#ifndef LEADSCORE_SOURCE_H
#define LEADSCORE_SOURCE_H

#include "attempt.h"
#include "label.h"
#include "live/expression.h"
#include "model/signal.h"

#include "executor/tuptable.h"
#include "utils/rel.h"
#include "utils/reltrigger.h"

/* Properties that a source can have. */
#define MAX_PROPERTIES 50

/* One column of the mapping, or an expression in its place. */
typedef struct SourceColumn
{
	AttrNumber	attnum;			/* 0: not mapped, or an expression */
	Expression *expression;		/* NULL: none */
	NullableDatum value;		/* of the expression, for the current row */
	Oid			type;			/* base type */
	bool		is_varlena;		/* its text can be of any length */
	FmgrInfo	output;			/* for types that are not read directly */
} SourceColumn;

/* A mapping. A trigger's mapping is looked up once per session, and again when its table has changed. */
typedef struct Source
{
	MemoryContext context;		/* owns the memory of all pointers */
	const char *problem;		/* why rows cannot be read, or NULL */
	bool		is_strange;		/* the trigger was not made by track() */
	uint64		family;			/* hash of what the mappings of a source and its partitions have in common */
	AttrNumber	last_column;	/* the highest column number that is read */
	SourceColumn filter;
	SourceColumn lead_id;
	SourceColumn kind;
	SourceColumn occurred_at;
	SourceColumn value;
	SourceColumn latest_by;
	SourceColumn alias;
	const char *constant_kind;
	int			constant_kind_length;
	bool		whole_properties;	/* one jsonb column is the object itself */
	bool		deferred;		/* append to pending_delta instead */
	bool		pinned_settings;	/* the text of some column depends on settings, so they are pinned */
	int			nproperties;
	SourceColumn *properties;
	int		   *property_growth;	/* how many bytes of jsonb a byte of the column can become; 0: always small */
	List	   *expressions;	/* the columns (SourceColumn *) that are expressions, except the filter */
	FunctionCallInfo build_properties;	/* jsonb_build_object(name, value, ...) */
} Source;

/* Why a row is not an event. */
typedef enum RowFault
{
	ROW_FILTERED,				/* it does not pass the filter */
	ROW_FAILED,					/* an expression fails */
	ROW_WITHOUT_TIME,
	ROW_WITHOUT_VALUE,
	ROW_WITHOUT_LEAD,
	ROW_WITHOUT_KIND,
	ROW_FAULTS
} RowFault;

/* A row, read as an event. */
typedef struct SourceRow
{
	Source	   *source;
	TupleTableSlot *slot;
	RowFault	fault;			/* if it is not an event */
	const char *lead_id;
	int			lead_id_length;
	TimestampTz occurred_at;
	Event		event;
} SourceRow;

/* A row, read as an alias of a lead. */
typedef struct AliasRow
{
	SourceRow	row;
	Label		alias;
	Label		lead;
	Label		latest;			/* orders several rows of an alias, compared by bytes; text NULL: no value */
} AliasRow;

/*
 * The state of reading some rows. Initialize it with {source}, and call reading_end()
 * before anything is written: see attempt_next().
 */
typedef struct Reading
{
	Source	   *source;
	Attempts	attempts;
} Reading;

/* Receives a row of a table; returns false if it wants no more. Runs as the table's owner. */
typedef bool (*SourceConsumer) (Reading *reading, TupleTableSlot *slot, void *argument);

extern bool is_property_type(Oid type);

/* Whether the text output of a type depends only on the value. */
extern bool text_is_fixed(Oid type);

/* The argument of a trigger, or NULL if the trigger was not made by track(). */
extern Jsonb *mapping_of(Trigger *trigger);

/* The hash of what the mappings of a source and its partitions have in common. */
extern uint64 source_family(Jsonb *mapping);

/* Whether a mapping says that the latest of several rows of a lead counts. */
extern bool mapping_has_latest(Jsonb *mapping);

/* Look up a mapping for rows of a type, in the current memory context; "owner" is the owner of their table. */
extern Source *source_map(Jsonb *mapping, TupleDesc row, Oid owner);

extern Source *source_of_trigger(Trigger *trigger, Relation relation);
extern bool source_has_problem(Source *source, Relation relation, bool is_written, const char *consequence);
extern bool source_read(Reading *reading, TupleTableSlot *slot, SourceRow *row);
extern Jsonb *source_read_profile(Reading *reading, TupleTableSlot *slot, SourceRow *row);
extern bool source_read_alias(Reading *reading, TupleTableSlot *slot, AliasRow *row);

static inline void
reading_end(Reading *reading)
{
	attempts_end(&reading->attempts);
}

/* Whether a column is in the mapping. */
static inline bool
is_mapped(const SourceColumn *column)
{
	return column->attnum > 0 || column->expression;
}

/* Its value for a row that has been read. */
static inline Datum
column_value(const SourceColumn *column, TupleTableSlot *slot, bool *isnull)
{
	if (column->attnum > 0)
		return slot_getattr(slot, column->attnum, isnull);
	*isnull = column->value.isnull;
	return column->value.value;
}

extern void pin_settings(void);
extern const char *relation_name(Relation relation);
extern bool table_has_rows(Oid table_oid);
extern Relation source_open(Oid table);
extern void source_read_table(Relation relation, Jsonb *mapping, bool with_children, Datum lead_ids, Datum kinds,
							  const char *consequence, SourceConsumer consume, void *argument);

#endif							/* LEADSCORE_SOURCE_H */
