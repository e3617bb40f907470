/*
 * commit.h: what a transaction remembers about the leads that it has written, and does
 * before it commits.
 */
#ifndef LEADSCORE_COMMIT_H
#define LEADSCORE_COMMIT_H

#include "live/transition.h"

#include "utils/array.h"
#include "utils/rel.h"

/* A lead's timeline has changed: compare its segment before the transaction commits, if a model is watched. */
extern void remember_touched(const text *lead_id, Cause cause);

/* A delta has been appended under a name: try its lead's row once more before the transaction commits. */
extern void remember_appended(const text *name);

/* A change of a lead's profile has been appended: try its row once more before the transaction commits. */
extern void remember_profile(const text *lead_id);

/*
 * The edges of a name have changed: settle it once no statement is running. If the name
 * has only lost edges, settle it before the commit: by then, a table that is reloaded has
 * added them again.
 */
extern void remember_edges(const text *name, bool lost);

/* Settle the names remembered in this subtransaction now, unless a statement is running. */
extern void settle_edges(void);

/*
 * Statements that are writing sources. Between a statement's BEFORE trigger and the AFTER
 * trigger that counts its rows, the events are in the table, but their deltas are not
 * written yet. A table that is tracked in several ways has triggers for each.
 */
typedef struct Statement
{
	Oid			table;
	int			kind;			/* the event of the trigger, without its timing; or STATEMENT_MOVE */
	uint64		family;			/* of the mapping: see source.h */
	bool		with_partitions;	/* it includes what is done to partitions */
} Statement;

/* Rows of a table are moved between it and others (partition_events.c): no event of a trigger has this number. */
#define STATEMENT_MOVE (-1)

/* The statement that fires a trigger; its partitions are not included. */
struct TriggerData;
extern Statement statement_of(const struct TriggerData *data, uint64 family);

extern void running_begin(Statement statement);
extern void running_end(Statement statement);
extern bool is_running(void);	/* whether any statement is running */

/* Whether no more than one statement is running: what its trigger writes need not wait for others. */
extern bool is_last_running(void);

/*
 * A statement that a trigger runs while another one on the same tables is running is
 * counted before it. So the rows that the other has written may have been changed since.
 */
extern bool runs_inside(Statement statement);	/* whether it is such a statement */
extern bool is_overtaken(Statement statement);	/* whether one has been counted before it */

/* An edge is to be removed that the other statement has yet to add: remove it once no statement is running. */
extern void remember_owed(const text *edge);

/* Whether the transaction consists of the statement whose trigger is running. */
extern bool statement_is_transaction(void);

/* The TriggerData of a call as a statement trigger; raises an error if it is none. "tracker" creates such triggers. */
extern struct TriggerData *statement_trigger(FunctionCallInfo fcinfo, const char *function, const char *tracker);

/*
 * The work of a source's statement triggers. The statement is noted as running from its
 * BEFORE to its AFTER trigger. "write" is called once, with what the statement has
 * changed or, before a TRUNCATE, for what the table holds.
 */
struct Source;
typedef void (*StatementWriter) (struct TriggerData *data, struct Source *source);
extern void statement_fired(struct TriggerData *data, StatementWriter write);

/* Call a function that reads the statement's rows: if it fails, see run_with_attempts(). */
extern void write_rows_of(struct TriggerData *data, struct Source *source, StatementWriter write);

/* The statement running on a table, or on a partitioned parent whose statement includes it; NULL: none. */
extern const Statement *running_on(Relation table, int kind, uint64 family);

/* Whether a statement is running on a partition of a table. */
extern bool is_running_below(Relation table, int kind, uint64 family);

/*
 * A change of names has been appended to pending_identity. If a statement is running now,
 * try the change once none is running. In any case, try it once more before the
 * transaction commits.
 */
extern void remember_change(int64 change);

/* A rebuild to carry out once no statement is running; it has its own memory context. */
typedef struct PostponedRebuild
{
	MemoryContext context;
	ArrayType  *lead_ids;		/* NULL: all */
	ArrayType  *signals;		/* NULL: all */
} PostponedRebuild;

extern void postpone(const ArrayType *lead_ids, const ArrayType *signals);

#endif							/* LEADSCORE_COMMIT_H */
