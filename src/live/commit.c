/*
 * commit.c: what a transaction remembers about the leads that it has written, and does
 * before it commits.
 *
 *     triggers ──names──▶ level (of a subtransaction) ──▶ its parent's ──▶ before commit:
 *                                                      1. try rows that were busy once more
 *                                                      2. compare and log segments
 *                                                      3. fire deferred triggers queued by 2
 *                                                      and again, until nothing is left
 *
 * What is remembered belongs to the subtransaction that has written it, and is discarded
 * if that is rolled back. Names of leads are kept in a tuplestore: in work_mem, then on
 * disk.
 *
 * Nothing here waits for another transaction. Each round runs as our owner in its own
 * subtransaction: if it fails, the user's transaction continues with a warning, and
 * refresh_segments() or see_changes() finds the leads later. A cancelled or terminated
 * statement is not such a failure: it ends the transaction.
 *
 * PREPARE TRANSACTION carries out what the transaction has put off, and leaves the rest
 * to the next refresh_segments() or see_changes().
 */
#include "live/commit.h"

#include "attempt.h"
#include "catalog.h"
#include "label.h"
#include "live/alias.h"
#include "live/closure.h"
#include "live/delta.h"
#include "live/fold.h"
#include "live/identity.h"
#include "live/nested.h"
#include "live/profile.h"
#include "live/source.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/partition.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "tcop/pquery.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/tuplesort.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(see_written);
PG_FUNCTION_INFO_V1(leave_to_look);

void		_PG_init(void);

/* Rows that are tried once more before a transaction commits. */
#define MOST_TRIED 10000

/* Up to so many, it pays to look first whether all of them are still busy. */
#define FEW_TRIED 16

/* Names that are compared at a time. */
#define BATCH 10000

/* ---------- names ---------- */

/* A list of names, which may contain duplicates. */
typedef struct Names
{
	Tuplestorestate *store;
	int64		n;
} Names;

static TupleDesc
name_row(void)
{
	static TupleDesc row = NULL;

	if (row == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		row = CreateTemplateTupleDesc(1);
		TupleDescInitEntry(row, 1, "lead_id", TEXTOID, -1, 0);
		finish_row_type(row);
		MemoryContextSwitchTo(old);
	}
	return row;
}

static void
names_add(Names *names, const text *name)
{
	Datum		value = PointerGetDatum(name);
	bool		isnull = false;

	if (names->store == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
		ResourceOwner owner = CurrentResourceOwner;

		CurrentResourceOwner = TopTransactionResourceOwner;	/* a temporary file may outlive the subtransaction */
		names->store = tuplestore_begin_heap(false, false, work_mem);
		CurrentResourceOwner = owner;
		MemoryContextSwitchTo(old);
	}
	tuplestore_putvalues(names->store, name_row(), &value, &isnull);
	names->n++;
}

static void
names_end(Names *names)
{
	if (names->store)
		tuplestore_end(names->store);
	names->store = NULL;
	names->n = 0;
}

static void
names_move(Names *from, Names *to)
{
	if (to->store == NULL)
		*to = *from;
	else if (from->store)
	{
		TupleTableSlot *slot = MakeSingleTupleTableSlot(name_row(), &TTSOpsMinimalTuple);

		tuplestore_rescan(from->store);
		while (tuplestore_gettupleslot(from->store, true, false, slot))
		{
			tuplestore_puttupleslot(to->store, slot);
			to->n++;
		}
		ExecDropSingleTupleTableSlot(slot);
		tuplestore_end(from->store);
	}
	from->store = NULL;
	from->n = 0;
}

/* Names in byte order, without duplicates. */
typedef struct SortedNames
{
	Names	   *names;
	Tuplesortstate *sort;		/* NULL: they were added in order */
	TupleTableSlot *slot;
	MemoryContext batch;		/* holds the names that were returned last */
	text	   *last;
} SortedNames;

static text *
name_in(TupleTableSlot *slot)
{
	bool		isnull;

	return DatumGetTextPP(slot_getattr(slot, 1, &isnull));
}

/* Whether the names were added in byte order, as those of one statement are. */
static bool
are_in_order(Names *names)
{
	TupleTableSlot *slots[2] = {MakeSingleTupleTableSlot(name_row(), &TTSOpsMinimalTuple), MakeSingleTupleTableSlot(name_row(), &TTSOpsMinimalTuple)};
	bool		in_order = true;

	tuplestore_rescan(names->store);
	for (int i = 0; in_order && tuplestore_gettupleslot(names->store, true, false, slots[i]); i = 1 - i)
		in_order = TTS_EMPTY(slots[1 - i]) || text_compare(name_in(slots[1 - i]), name_in(slots[i])) <= 0;
	ExecDropSingleTupleTableSlot(slots[0]);
	ExecDropSingleTupleTableSlot(slots[1]);
	tuplestore_rescan(names->store);
	return in_order;
}

static void
sort_of_names(Names *names, SortedNames *sorted)
{
	AttrNumber	column = 1;
	Oid			less = TextLessOperator;
	Oid			collation = C_COLLATION_OID;
	bool		nulls_first = false;

	sorted->names = names;
	sorted->sort = NULL;
	sorted->slot = MakeSingleTupleTableSlot(name_row(), &TTSOpsMinimalTuple);
	sorted->batch = AllocSetContextCreate(CurrentMemoryContext, "leadscore names", ALLOCSET_DEFAULT_SIZES);
	sorted->last = NULL;
	if (are_in_order(names))
		return;
	sorted->sort = tuplesort_begin_heap(name_row(), 1, &column, &less, &collation, &nulls_first, work_mem, NULL, false);
	while (tuplestore_gettupleslot(names->store, true, false, sorted->slot))
		tuplesort_puttupleslot(sorted->sort, sorted->slot);
	tuplesort_performsort(sorted->sort);
}

static void
sort_end(SortedNames *sorted)
{
	ExecDropSingleTupleTableSlot(sorted->slot);
	if (sorted->sort)
		tuplesort_end(sorted->sort);
	MemoryContextDelete(sorted->batch);
}

static bool
next_name(SortedNames *sorted)
{
	return sorted->sort ? tuplesort_gettupleslot(sorted->sort, true, false, sorted->slot, NULL) :
		tuplestore_gettupleslot(sorted->names->store, true, false, sorted->slot);
}

/* Return the next names, at most "most"; frees the names returned last time. */
static int
next_names(SortedNames *sorted, text **names, int most)
{
	int			n = 0;
	MemoryContext old;

	if (sorted->last)
		sorted->last = (text *) PG_DETOAST_DATUM_COPY(PointerGetDatum(sorted->last));
	/* a name that was read from disk was allocated with the batch, and the slot would free it again */
	ExecClearTuple(sorted->slot);
	MemoryContextReset(sorted->batch);
	old = MemoryContextSwitchTo(sorted->batch);
	while (n < most && next_name(sorted))
	{
		text	   *name = name_in(sorted->slot);

		if (sorted->last == NULL || !text_equal(name, sorted->last))
			names[n++] = sorted->last = (text *) PG_DETOAST_DATUM_COPY(PointerGetDatum(name));
	}
	MemoryContextSwitchTo(old);
	return n;
}

/* ---------- levels ---------- */

/* What a subtransaction, or the transaction, remembers. */
typedef struct Level
{
	struct Level *outer;
	int			nest;			/* nesting level of transactions: 1 is the outermost */
	Names		appended;
	Names		profiles;
	Names		edges;			/* names to settle once no statement is running */
	Names		lost_edges;		/* names to settle before the transaction commits */
	Names		owed;			/* edges (alias.c) to remove once no statement is running */
	Names		touched[N_OF_WRITERS];
	List	   *running;		/* of Running */
	List	   *postponed;		/* of PostponedRebuild, in order */
	int64		put_off;		/* first change of names that waits until no statement is running; 0: none */
	int64		waiting;		/* first change of names that waits for any reason; 0: none */
} Level;

/* Running statements of the same kind: there may be several, as a trigger function may run another one. */
typedef struct Running
{
	Statement	statement;
	int			n;
	int			depth;			/* of triggers, where the first of them began */
	bool		overtaken;		/* see is_overtaken() */
} Running;

static void drop_postponed(List *postponed);

static Level *level = NULL;		/* the innermost that remembers something */

/* The level of the current subtransaction; created if there is none. */
static Level *
current_level(void)
{
	int			nest = GetCurrentTransactionNestLevel();

	if (level == NULL || level->nest < nest)
	{
		Level	   *inner = MemoryContextAllocZero(TopTransactionContext, sizeof(Level));

		inner->outer = level;
		inner->nest = nest;
		level = inner;
	}
	return level;
}

static void
end_touched(Names *touched)
{
	for (int i = 0; i < N_OF_WRITERS; i++)
		names_end(&touched[i]);
}

static void
drop_level(void)
{
	Level	   *dropped = level;

	list_free_deep(dropped->running);
	drop_postponed(dropped->postponed);
	names_end(&dropped->appended);
	names_end(&dropped->profiles);
	names_end(&dropped->edges);
	names_end(&dropped->lost_edges);
	names_end(&dropped->owed);
	end_touched(dropped->touched);
	level = dropped->outer;
	pfree(dropped);
}

/* The earlier of two changes of names; 0: none. */
static int64
first_change(int64 a, int64 b)
{
	return a == 0 ? b : b == 0 ? a : Min(a, b);
}

/* The subtransaction commits: its parent remembers what it has remembered. */
static void
merge_level(void)
{
	Level	   *inner = level;
	MemoryContext old;

	inner->nest--;
	if (inner->outer == NULL || inner->outer->nest < inner->nest)
		return;
	names_move(&inner->appended, &inner->outer->appended);
	names_move(&inner->profiles, &inner->outer->profiles);
	names_move(&inner->edges, &inner->outer->edges);
	names_move(&inner->lost_edges, &inner->outer->lost_edges);
	names_move(&inner->owed, &inner->outer->owed);
	old = MemoryContextSwitchTo(TopTransactionContext);
	inner->outer->running = list_concat(inner->outer->running, inner->running);
	inner->outer->postponed = list_concat(inner->outer->postponed, inner->postponed);
	MemoryContextSwitchTo(old);
	list_free(inner->running);
	list_free(inner->postponed);
	inner->running = inner->postponed = NIL;
	inner->outer->put_off = first_change(inner->outer->put_off, inner->put_off);
	inner->outer->waiting = first_change(inner->outer->waiting, inner->waiting);
	for (int i = 0; i < N_OF_WRITERS; i++)
		names_move(&inner->touched[i], &inner->outer->touched[i]);
	drop_level();
}

void
remember_touched(const text *lead_id, Cause cause)
{
	names_add(&current_level()->touched[cause], lead_id);
}

void
remember_appended(const text *name)
{
	Level	   *l = current_level();

	if (l->appended.n < MOST_TRIED)
		names_add(&l->appended, name);
}

void
remember_profile(const text *lead_id)
{
	Level	   *l = current_level();

	if (l->profiles.n < MOST_TRIED)
		names_add(&l->profiles, lead_id);
}

void
remember_edges(const text *name, bool lost)
{
	Level	   *l = current_level();

	names_add(lost ? &l->lost_edges : &l->edges, name);
}

void
remember_owed(const text *edge)
{
	names_add(&current_level()->owed, edge);
}

/* Leave all names in pending_identity. */
static void
leave_remembered(Names *names)
{
	SortedNames sorted;
	text	  **batch = palloc(BATCH * sizeof(text *));
	int			n;

	sort_of_names(names, &sorted);
	while ((n = next_names(&sorted, batch, BATCH)) > 0)
		append_look_again(batch, n);
	sort_end(&sorted);
	pfree(batch);
}

/* Settle names, as our owner; leave those that have to wait in pending_identity. */
static void
settle_remembered(Names *names)
{
	SortedNames sorted;
	text	  **batch = palloc(BATCH * sizeof(text *));
	text	  **left = palloc(BATCH * sizeof(text *));
	int			n;

	sort_of_names(names, &sorted);
	while ((n = next_names(&sorted, batch, BATCH)) > 0)
		append_look_again(left, settle_names(batch, n, left, false));
	sort_end(&sorted);
	pfree(batch);
	pfree(left);
}

/* Remove the edges that are owed: by now they have been added. */
static void
remove_owed(Names *remembered)
{
	Names		owed = *remembered;
	TupleTableSlot *slot = MakeSingleTupleTableSlot(name_row(), &TTSOpsMinimalTuple);

	*remembered = (Names) {0};
	tuplestore_rescan(owed.store);
	remove_edges(owed.store, slot);
	ExecDropSingleTupleTableSlot(slot);
	names_end(&owed);
}

/* Settle the names whose edges have changed so far. */
static void
settle_now(Names *remembered)
{
	Names		names = *remembered;
	Identity	user = switch_to_owner(our_owner(), 0);

	*remembered = (Names) {0};
	settle_remembered(&names);
	names_end(&names);
	restore_user(user);
}

void
settle_edges(void)
{
	Level	   *l = current_level();

	if (l->edges.store && !is_running())
		settle_now(&l->edges);
}

/* ---------- statements that are running ---------- */

Statement
statement_of(const TriggerData *data, uint64 family)
{
	return (Statement) {
		.table = RelationGetRelid(data->tg_relation),
		.kind = data->tg_event & TRIGGER_EVENT_OPMASK,
		.family = family
	};
}

static bool
same_statement(const Statement *a, const Statement *b)
{
	return a->table == b->table && a->kind == b->kind && a->family == b->family;
}

static Running *
find_running(Level *l, const Statement *statement)
{
	ListCell   *cell;

	foreach(cell, l->running)
	{
		Running    *running = lfirst(cell);

		if (same_statement(&running->statement, statement))
			return running;
	}
	return NULL;
}

/* How deep the current trigger is: 1 is fired by a statement of the user's. */
static int
trigger_depth(void)
{
	return DatumGetInt32(DirectFunctionCall1(pg_trigger_depth, (Datum) 0));
}

void
running_begin(Statement statement)
{
	Level	   *l = current_level();
	Running    *running = find_running(l, &statement);

	if (running == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);

		running = palloc(sizeof(Running));
		*running = (Running) {.statement = statement, .depth = trigger_depth()};
		l->running = lappend(l->running, running);
		MemoryContextSwitchTo(old);
	}
	running->n++;
}

bool
is_running(void)
{
	for (Level *l = level; l; l = l->outer)
		if (l->running != NIL)
			return true;
	return false;
}

bool
is_last_running(void)
{
	int			n = 0;

	for (Level *l = level; l; l = l->outer)
	{
		ListCell   *cell;

		if (l->owed.store)
			return false;
		foreach(cell, l->running)
			n += ((Running *) lfirst(cell))->n;
	}
	return n <= 1;
}

bool
statement_is_transaction(void)
{
	if (IsTransactionBlock() || ActivePortal == NULL || trigger_depth() > 1)
		return false;
	switch (ActivePortal->commandTag)
	{
		case CMDTAG_INSERT:
		case CMDTAG_UPDATE:
		case CMDTAG_DELETE:
		case CMDTAG_MERGE:
		case CMDTAG_COPY:
			return true;
		default:				/* a function, procedure or DO block may run other statements */
			return false;
	}
}

/*
 * Whether statements further out are running on the tables of a mapping; "mark" notes them
 * as overtaken. (Those of the same depth are parts of one statement, such as an upsert.)
 */
static bool
find_outer(const Statement *statement, bool mark)
{
	int			depth = trigger_depth();
	bool		found = false;

	for (Level *l = level; l; l = l->outer)
	{
		ListCell   *cell;

		foreach(cell, l->running)
		{
			Running    *running = lfirst(cell);

			if (running->statement.family != statement->family || running->depth >= depth)
				continue;
			found = true;
			running->overtaken |= mark;
		}
	}
	return found;
}

bool
runs_inside(Statement statement)
{
	return find_outer(&statement, false);
}

bool
is_overtaken(Statement statement)
{
	for (Level *l = level; l; l = l->outer)
	{
		Running    *running = find_running(l, &statement);

		if (running)
			return running->overtaken;
	}
	return false;
}

const Statement *
running_on(Relation table, int kind, uint64 family)
{
	Oid			oid = RelationGetRelid(table);
	List	   *ancestors = NIL;	/* looked up only when needed */

	for (Level *l = level; l; l = l->outer)
	{
		ListCell   *cell;

		foreach(cell, l->running)
		{
			const Statement *statement = &((Running *) lfirst(cell))->statement;

			if (statement->kind != kind || statement->family != family)
				continue;
			if (statement->table == oid)
				return statement;
			if (statement->with_partitions && table->rd_rel->relispartition)
			{
				if (ancestors == NIL)
					ancestors = get_partition_ancestors(oid);
				if (list_member_oid(ancestors, statement->table))
					return statement;
			}
		}
	}
	return NULL;
}

bool
is_running_below(Relation table, int kind, uint64 family)
{
	for (Level *l = level; l; l = l->outer)
	{
		ListCell   *cell;

		foreach(cell, l->running)
		{
			const Statement *statement = &((Running *) lfirst(cell))->statement;

			if (statement->kind == kind && statement->family == family && get_rel_relispartition(statement->table) &&
				list_member_oid(get_partition_ancestors(statement->table), RelationGetRelid(table)))
				return true;
		}
	}
	return false;
}

static void *
copy_value(const void *value)
{
	return value ? DatumGetPointer(datumCopy(PointerGetDatum(value), false, -1)) : NULL;
}

void
postpone(const ArrayType *lead_ids, const ArrayType *signals)
{
	Level	   *l = current_level();
	MemoryContext context = AllocSetContextCreate(TopTransactionContext, "leadscore postponed", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	PostponedRebuild *copy = palloc(sizeof(PostponedRebuild));

	copy->context = context;
	copy->lead_ids = copy_value(lead_ids);
	copy->signals = copy_value(signals);
	MemoryContextSwitchTo(TopTransactionContext);
	l->postponed = lappend(l->postponed, copy);
	MemoryContextSwitchTo(old);
}

void
remember_change(int64 change)
{
	Level	   *l = current_level();

	l->waiting = first_change(l->waiting, change);
	if (is_running())
		l->put_off = first_change(l->put_off, change);
}

static void
drop_postponed(List *postponed)
{
	ListCell   *cell;

	foreach(cell, postponed)
		MemoryContextDelete(((PostponedRebuild *) lfirst(cell))->context);
	list_free(postponed);
}

/* End a statement, if it was noted: a table without our BEFORE triggers notes none. */
void
running_end(Statement statement)
{
	for (Level *l = level; l; l = l->outer)
	{
		Running    *running = find_running(l, &statement);

		if (running)
		{
			if (--running->n == 0)
			{
				l->running = list_delete_ptr(l->running, running);
				pfree(running);
			}
			break;
		}
	}
	/* what a subtransaction has put off is carried out in it; what outer ones have put off was requested since */
	while (level && (level->owed.store || level->edges.store || level->postponed || level->put_off) && !is_running())
	{
		List	   *postponed = level->postponed;
		int64		put_off = level->put_off;

		level->postponed = NIL;
		level->put_off = 0;
		if (level->owed.store)
			remove_owed(&level->owed);
		if (level->edges.store)
			settle_now(&level->edges);
		if (put_off)
			carry_out_changes(put_off, PG_INT64_MAX);
		carry_out_rebuilds(postponed);
		drop_postponed(postponed);
	}
}

TriggerData *
statement_trigger(FunctionCallInfo fcinfo, const char *function, const char *tracker)
{
	TriggerData *data = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_STATEMENT(data->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" was not called as a statement trigger", function),
				 errhint("Use leadscore.%s() to create the triggers of a table.", tracker)));
	return data;
}

/* A call of a StatementWriter. */
typedef struct WriterCall
{
	StatementWriter write;
	TriggerData *data;
	Source	   *source;
} WriterCall;

static void
call_writer(void *argument)
{
	WriterCall *call = argument;

	call->write(call->data, call->source);
}

void
write_rows_of(TriggerData *data, Source *source, StatementWriter write)
{
	WriterCall	call = {write, data, source};

	run_with_attempts(call_writer, &call);
}

void
statement_fired(TriggerData *data, StatementWriter write)
{
	Source	   *source = source_of_trigger(data->tg_trigger, data->tg_relation);
	Statement	statement = statement_of(data, source->family);
	bool		truncates = statement.kind == TRIGGER_EVENT_TRUNCATE;
	bool		before = TRIGGER_FIRED_BEFORE(data->tg_event);

	if (before)
		running_begin(statement);
	/*
	 * Rows that TRUNCATE removes are only there before it. Until it ends, other statements on the
	 * table do not count.
	 */
	if (before == truncates && (truncates || running_on(data->tg_relation, TRIGGER_EVENT_TRUNCATE, statement.family) == NULL))
	{
		write_rows_of(data, source, write);
		(void) find_outer(&statement, true);
	}
	if (!before)
		running_end(statement);
}

/* ---------- before commit ---------- */

/* Try rows once more: the transaction that held the row lock may have ended. */
static void
try_once_more(Names *names, int64 (*fold) (text **names, int n, bool newest))
{
	SortedNames sorted;
	text	  **batch = palloc(MOST_TRIED * sizeof(text *));

	sort_of_names(names, &sorted);
	(void) fold(batch, next_names(&sorted, batch, MOST_TRIED), true);
	sort_end(&sorted);
}

/* Whether the rows of a few names are all still busy. Then there is no need to try them, in a subtransaction. */
static bool
are_still_busy(Names *names, bool (*are_busy) (text **names, int n))
{
	text	   *few[FEW_TRIED];
	int			n = 0;
	TupleTableSlot *slot;

	if (names->n > FEW_TRIED)
		return false;
	slot = MakeSingleTupleTableSlot(name_row(), &TTSOpsMinimalTuple);
	tuplestore_rescan(names->store);
	while (tuplestore_gettupleslot(names->store, true, false, slot))
	{
		bool		isnull;

		few[n++] = (text *) PG_DETOAST_DATUM_COPY(slot_getattr(slot, 1, &isnull));
	}
	ExecDropSingleTupleTableSlot(slot);
	return are_busy(few, n);
}

static void
try_again(Names *names)
{
	try_once_more(names, fold_names);
}

static void
try_profiles_again(Names *names)
{
	try_once_more(names, fold_profiles_of);
}

/* Compare the leads that have been touched, cause by cause. */
static void
compare_touched(Names *touched)
{
	text	  **batch = palloc(BATCH * sizeof(text *));

	for (Cause cause = 0; cause < N_OF_WRITERS; cause++)
	{
		SortedNames sorted;
		int			n;

		if (touched[cause].store == NULL)
			continue;
		sort_of_names(&touched[cause], &sorted);
		while ((n = next_names(&sorted, batch, BATCH)) > 0)
			see_touched(batch, n, cause);
		sort_end(&sorted);
	}
}

/* A task for some names before the transaction commits. */
typedef struct Step
{
	void		(*run) (Names *names);
	Names	   *names;
	bool		done;
} Step;

/* Run the task as our owner, then fire the deferred triggers that it has queued, as the user. */
static void
run_as_owner(void *argument)
{
	Step	   *step = argument;
	Identity	user = switch_to_owner(our_owner(), 0);
	int			settings = NewGUCNestLevel();

	pin_settings();
	PushActiveSnapshot(GetTransactionSnapshot());
	step->run(step->names);
	PopActiveSnapshot();
	AtEOXact_GUC(false, settings);
	restore_user(user);
	AfterTriggerFireDeferred();
	step->done = true;
}

/* Run a task; an error becomes a warning, as it must not fail the user's transaction. */
static bool
run_step(void (*run) (Names *), Names *names, const char *failure, const char *hint)
{
	Step		step = {run, names, false};

	attempt(run_as_owner, &step, failure, hint);
	return step.done;
}

static bool
is_touched(void)
{
	for (int i = 0; i < N_OF_WRITERS; i++)
		if (level->touched[i].store)
			return true;
	return false;
}

/* Take the names touched so far from the level. */
static void
take_touched(Names *touched)
{
	memcpy(touched, level->touched, sizeof(level->touched));
	memset(level->touched, 0, sizeof(level->touched));
}

/*
 * see_written(): compare the leads that this subtransaction has touched so far, before
 * refresh_segments() or see_changes() compares all leads, so that the logged cause is the
 * write.
 */
Datum
see_written(PG_FUNCTION_ARGS)
{
	Names		touched[N_OF_WRITERS];

	if (level == NULL || level->nest < GetCurrentTransactionNestLevel() || !is_touched())
		PG_RETURN_VOID();
	take_touched(touched);
	compare_touched(touched);
	end_touched(touched);
	PG_RETURN_VOID();
}

/* leave_to_look(): what this subtransaction has written so far is merged and compared by the next look. */
Datum
leave_to_look(PG_FUNCTION_ARGS)
{
	if (level && level->nest == GetCurrentTransactionNestLevel())
	{
		names_end(&level->appended);
		end_touched(level->touched);
	}
	PG_RETURN_VOID();
}

/* Try changes of names once more: the transactions that held the locks on the names may have ended. */
static void
try_changes(Names *names pg_attribute_unused())
{
	int64		first = level->waiting;

	level->waiting = level->put_off = 0;
	carry_out_changes(first, MOST_TRIED);
}

/*
 * All subtransactions have ended, so the outermost level has everything that was left
 * until no statement is running. (Rebuilds are left only if somebody has dropped the
 * trigger that would have carried them out.)
 */
static void
carry_out_postponed(void)
{
	if (level == NULL)
		return;
	list_free_deep(level->running);
	level->running = NIL;
	if (level->owed.store)
		(void) run_step(remove_owed, &level->owed, "names of tracked tables could not be brought up to date",
						"CALL leadscore.rebuild() does it, once the cause is mended.");
	while (level->edges.store || level->lost_edges.store)
	{
		Names	   *from = level->edges.store ? &level->edges : &level->lost_edges;
		Names		names = *from;

		*from = (Names) {0};
		if (!run_step(settle_remembered, &names, "names of tracked tables cannot be brought up to date now", "SELECT leadscore.fold() tries it again."))
			(void) run_step(leave_remembered, &names, "names of tracked tables could not be brought up to date",
							"CALL leadscore.rebuild() does it, once the cause is mended.");
		names_end(&names);
	}
	if (level->waiting)
		(void) run_step(try_changes, NULL, "changes of names could not be carried out", "SELECT leadscore.fold() carries them out.");
	if (level->postponed)
	{
		List	   *postponed = level->postponed;

		level->postponed = NIL;
		PushActiveSnapshot(GetTransactionSnapshot());
		carry_out_rebuilds(postponed);
		PopActiveSnapshot();
		drop_postponed(postponed);
	}
}

static void
do_before_commit(void *argument pg_attribute_unused())
{
	carry_out_postponed();
	while (level && (level->appended.store || level->profiles.store || is_touched()))
	{
		Names		appended = level->appended;
		Names		profiles = level->profiles;
		Names		touched[N_OF_WRITERS];

		CHECK_FOR_INTERRUPTS();
		level->appended = (Names) {0};
		if (appended.store && !are_still_busy(&appended, names_are_busy))
			(void) run_step(try_again, &appended, "pending deltas could not be merged",
					 "SELECT leadscore.fold() merges them; scores are right either way.");
		names_end(&appended);

		level->profiles = (Names) {0};
		if (profiles.store && !are_still_busy(&profiles, profiles_are_busy))
			(void) run_step(try_profiles_again, &profiles, "pending profiles could not be merged",
					 "SELECT leadscore.fold() merges them; scores are right either way.");
		names_end(&profiles);

		if (is_touched())
		{
			take_touched(touched);
			(void) run_step(compare_touched, touched, "segment changes could not be logged",
					 "CALL leadscore.see_changes() finds them, once the cause is mended.");
			end_touched(touched);
		}
	}
}

static void
do_before_prepare(void *argument pg_attribute_unused())
{
	carry_out_postponed();
}

/* Whether the transaction has left anything to do before it commits or is prepared. */
static bool
anything_left(void)
{
	return level && (level->running || level->edges.store || level->lost_edges.store || level->waiting || level->postponed ||
					 level->appended.store || level->profiles.store || is_touched());
}

static void
at_transaction(XactEvent event, void *arg pg_attribute_unused())
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			if (anything_left())
				run_nested(do_before_commit, NULL);
			break;
		case XACT_EVENT_PRE_PREPARE:
			if (anything_left())
				run_nested(do_before_prepare, NULL);
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PREPARE:
			while (level)
				drop_level();
			forget_locked_names();
			forget_looks();
			break;
		case XACT_EVENT_ABORT:
			forget_locked_names();
			forget_looks();
			level = NULL;		/* memory and files are released with the transaction */
			break;
		default:
			break;
	}
}

static void
at_subtransaction(SubXactEvent event, SubTransactionId mine pg_attribute_unused(),
				  SubTransactionId parent pg_attribute_unused(), void *arg pg_attribute_unused())
{
	int			nest = GetCurrentTransactionNestLevel();

	if (event == SUBXACT_EVENT_PRE_COMMIT_SUB && level && level->nest == nest)
		merge_level();
	else if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		while (level && level->nest >= nest)
			drop_level();
		forget_looks();
	}
}

/* Called when the module is loaded. */
void
_PG_init(void)
{
	RegisterXactCallback(at_transaction, NULL);
	RegisterSubXactCallback(at_subtransaction, NULL);
}
