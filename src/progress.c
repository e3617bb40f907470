/*
 * progress.c: progress reporting of long-running commands.
 *
 *     a command ──▶ two advisory locks, whose keys are the figures ──▶ pg_locks ──▶ the view progress
 *
 * The lock table is in shared memory. Every session can read it, also on a standby, and the server
 * removes a session's locks however the session ends. (The server's own progress reporting has a
 * fixed list of commands. It is reset by commands that run inside ours, such as the ANALYZE of a
 * REFRESH, and by a failed subtransaction.)
 *
 * Locks: session-level, in ACCESS SHARE mode, which conflicts with no mode that anybody takes, and
 * of classes that SQL cannot take. So nobody waits for them, and they survive the commits of a
 * procedure. If the command fails, the callbacks below release them. The new lock is taken before
 * the old one is released, so a reader sees one or both, never none.
 */
#include "progress.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(begin_progress);
PG_FUNCTION_INFO_V1(report_progress);
PG_FUNCTION_INFO_V1(end_progress);
PG_FUNCTION_INFO_V1(progress_names);

/*
 * The lock keys are two 32-bit numbers and a 16-bit class:
 *
 *     object, start in seconds since 2000, CLASS_COMMAND + 16 * command + phase
 *     done, total, CLASS_FIGURES                    values above 2^32 - 1 are capped
 */
#define CLASS_FIGURES 255
#define CLASS_COMMAND 256

static const char *const commands[] = {"rebuild", "compact", "refresh_segments", "track", "fit", "propose", "archive"};
static const char *const phases[] = {"beginning", "folding", "waiting for another rebuild", "waiting for writers", "reading", "correcting",
	"writing", "refreshing", "comparing", "choosing", "fitting", "judging"};

typedef struct HeldLock
{
	bool		held;
	LOCKTAG		tag;
} HeldLock;

/* The outermost command of this session, if one is running: commands inside it are part of it. */
static struct
{
	bool		runs;
	int			nest_level;		/* of the (sub)transaction that began it */
	int			command;
	int			phase;
	int64		done;
	int64		total;
	HeldLock	what;
	HeldLock	figures;
}			current;

static void
release(HeldLock *lock)
{
	if (lock->held)
		(void) LockRelease(&lock->tag, AccessShareLock, true);
	lock->held = false;
}

/* Replace one lock with another. If the lock table is full, the command holds none. */
static void
replace(HeldLock *lock, uint32 first, uint32 second, uint16 class)
{
	HeldLock	former = *lock;

	SET_LOCKTAG_ADVISORY(lock->tag, MyDatabaseId, first, second, class);
	if (former.held && memcmp(&former.tag, &lock->tag, sizeof(LOCKTAG)) == 0)
		return;
	lock->held = try_lock(&lock->tag, AccessShareLock, true);
	release(&former);
}

static void
stop(void)
{
	release(&current.what);
	release(&current.figures);
	current.runs = false;
}

static void
transaction_ended(XactEvent event, void *arg pg_attribute_unused())
{
	if (current.runs && (event == XACT_EVENT_ABORT || event == XACT_EVENT_PARALLEL_ABORT))
		stop();
}

static void
subtransaction_ended(SubXactEvent event, SubTransactionId id pg_attribute_unused(), SubTransactionId parent pg_attribute_unused(), void *arg pg_attribute_unused())
{
	if (current.runs && event == SUBXACT_EVENT_ABORT_SUB && GetCurrentTransactionNestLevel() <= current.nest_level)
		stop();
}

static int
number_of(const char *name, const char *const *names, int n)
{
	for (int i = 0; i < n; i++)
		if (strcmp(names[i], name) == 0)
			return i;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("\"%s\" has no progress", name),
			 errdetail("It is neither a command nor a phase of one that is shown.")));
}

static void
show_figures(void)
{
	replace(&current.figures, (uint32) Min(current.done, PG_UINT32_MAX), (uint32) Min(current.total, PG_UINT32_MAX), CLASS_FIGURES);
}

static void
show_phase(const char *phase)
{
	current.phase = number_of(phase, phases, lengthof(phases));
	replace(&current.what, current.what.tag.locktag_field2, current.what.tag.locktag_field3, CLASS_COMMAND + 16 * current.command + current.phase);
}

/*
 * begin_progress(command, object): begin to report a command, unless it runs inside another one.
 * "object": a table or a number, 0 for none.
 */
Datum
begin_progress(PG_FUNCTION_ARGS)
{
	static bool registered = false;
	uint32		now = (uint32) (GetCurrentTimestamp() / USECS_PER_SEC);

	if (current.runs)
		PG_RETURN_VOID();
	if (!registered)
	{
		RegisterXactCallback(transaction_ended, NULL);
		RegisterSubXactCallback(subtransaction_ended, NULL);
		registered = true;
	}
	current.command = number_of(text_to_cstring(PG_GETARG_TEXT_PP(0)), commands, lengthof(commands));
	current.nest_level = GetCurrentTransactionNestLevel();
	current.runs = true;
	current.phase = 0;
	replace(&current.what, PG_GETARG_OID(1), now, CLASS_COMMAND + 16 * current.command);
	PG_RETURN_VOID();
}

/* Whether this command is the one reported. */
static bool
is_current(const char *command)
{
	return current.runs && strcmp(commands[current.command], command) == 0;
}

/* report_progress(command, phase, done, total): report a phase; done NULL: its work is not counted. */
Datum
report_progress(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || !is_current(text_to_cstring(PG_GETARG_TEXT_PP(0))))
		PG_RETURN_VOID();
	release(&current.figures);
	current.done = PG_ARGISNULL(2) ? 0 : Max(PG_GETARG_INT64(2), 0);
	current.total = PG_ARGISNULL(3) ? 0 : Max(PG_GETARG_INT64(3), 0);
	show_phase(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	if (!PG_ARGISNULL(2))
		show_figures();
	PG_RETURN_VOID();
}

/* end_progress(command): the command has ended. */
Datum
end_progress(PG_FUNCTION_ARGS)
{
	if (is_current(text_to_cstring(PG_GETARG_TEXT_PP(0))))
		stop();
	PG_RETURN_VOID();
}

void
progress_phase(const char *command, const char *phase)
{
	if (!is_current(command))
		return;
	current.done = current.total = 0;
	show_phase(phase);
	show_figures();
}

static bool
is_in(const char *phase)
{
	return current.runs && strcmp(phases[current.phase], phase) == 0;
}

void
progress_advance(const char *phase, int64 done)
{
	if (!is_in(phase))
		return;
	current.done += done;
	show_figures();
}

void
progress_restart(const char *phase)
{
	progress_advance(phase, -current.done);
}

/* progress_names(class) -> (command, phase): decodes a lock's class. */
Datum
progress_names(PG_FUNCTION_ARGS)
{
	int32		code = PG_GETARG_INT32(0) - CLASS_COMMAND;
	TupleDesc	row;
	Datum		values[2];
	bool		nulls[2] = {false, false};

	if (code < 0 || code / 16 >= (int32) lengthof(commands) || code % 16 >= (int32) lengthof(phases))
		PG_RETURN_NULL();
	if (get_call_result_type(fcinfo, NULL, &row) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	values[0] = CStringGetTextDatum(commands[code / 16]);
	values[1] = CStringGetTextDatum(phases[code % 16]);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(row), values, nulls)));
}
