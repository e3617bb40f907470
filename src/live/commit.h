/*
 * commit.h: what a transaction remembers of the leads that it has written, and
 * does before it commits.
 */
#ifndef LEADSCORE_COMMIT_H
#define LEADSCORE_COMMIT_H

#include "live/transition.h"

#include "utils/array.h"
#include "utils/rel.h"

/* A lead's timeline has changed: before the transaction commits, its segment is compared, if a model is watched. */
extern void remember_touched(const text *lead_id, Cause cause);

/* A delta has been appended under a name: before the transaction commits, its lead's row is tried once more. */
extern void remember_appended(const text *name);

/* A change of a lead's profile has been appended: likewise. */
extern void remember_profile(const text *lead_id);

/*
 * The edges of a name have changed: it is settled once no statement is running. If
 * it has only lost some, that is left to before the commit, by when a table that is
 * reloaded has it again.
 */
extern void remember_edges(const text *name, bool lost);

/* Settle now what has been remembered in this subtransaction, unless a statement is running. */
extern void settle_edges(void);

/*
 * Statements that are writing sources. From the BEFORE trigger of a statement to
 * the AFTER trigger that has counted its rows, its events are there and their
 * deltas are not. A table that is tracked in several ways has triggers of each.
 */
typedef struct Statement
{
	Oid			table;
	int			kind;			/* the trigger's event, without when it fires */
	uint64		family;			/* of the mapping: see source.h */
	bool		with_partitions;	/* what is done to partitions belongs to it */
} Statement;

/* The statement that fires a trigger; its partitions are not included. */
struct TriggerData;
extern Statement statement_of(const struct TriggerData *data, uint64 family);

extern void running_begin(Statement statement);
extern void running_end(Statement statement);
extern bool is_running(void);	/* any */

/* The call of a trigger of ours for a statement; an error, if it is none. "tracker" makes such triggers. */
extern struct TriggerData *statement_trigger(FunctionCallInfo fcinfo, const char *function, const char *tracker);

/*
 * What the triggers of a source do that writes the rows of a statement: from BEFORE
 * to AFTER it is noted as running, and "write" is called once, with what the
 * statement has changed or, before a TRUNCATE, for what the table holds.
 */
struct Source;
extern void statement_fired(struct TriggerData *data, void (*write) (struct TriggerData *data, struct Source *source));

/* The statement that is running on a table, or on one that it is a partition of and that includes it; NULL: none. */
extern const Statement *running_on(Relation table, int kind, uint64 family);

/* Whether a statement is running on a partition of a table. */
extern bool is_running_below(Relation table, int kind, uint64 family);

/*
 * A change of names has been appended to pending_identity. It is tried once no
 * statement is running, if one is now, and once more before the transaction
 * commits.
 */
extern void remember_change(int64 change);

/* A rebuild, to be carried out once no statement is running; it lies in memory of its own. */
typedef struct PostponedRebuild
{
	MemoryContext context;
	ArrayType  *lead_ids;		/* NULL: all */
	ArrayType  *signals;		/* NULL: all */
} PostponedRebuild;

extern void postpone(const ArrayType *lead_ids, const ArrayType *signals);

#endif							/* LEADSCORE_COMMIT_H */
