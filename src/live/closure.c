/*
 * closure.c: which lead a name counts for.
 *
 *     line ──▶ order ──▶ guest ──▶ account        alias_edge: one step each
 *       └────────┴─────────┴──────────▲           lead_alias: the path, for readers and writers
 *
 * An edge leads from a name to the name that it counts for. Rows of tracked tables have
 * their edges in alias_edge. identify() has its edge in lead_alias itself and, if the
 * lead is an alias of a tracked table, in alias_edge, too. The edge of identify() wins;
 * of several rows the latest wins, then the one with the smallest lead. A writer of a
 * tracked table writes the edges of its rows without waiting for anybody. Then the names
 * are settled: each name's path is walked from edge to edge, and lead_alias gets the end
 * of the path, for the name and for all names whose path leads through it. In a cycle the
 * smallest name is the lead.
 *
 * The names whose edges lead to a name are found without an index of all edges by lead.
 * Mostly the name is their lead, and lead_alias has them. The others, where the name is
 * an alias itself or in a cycle, are in alias_path: above, line and order. An edge that is
 * not settled yet is not found, and need not be: the transaction that has written it settles its name,
 * under a lock on that name and, in share mode, on the one that the edge leads to.
 *
 * Locks. Settling a name locks the name, and all names whose path leads through it, in
 * exclusive mode, and the names on its path in share mode (advisory locks, see
 * identity.c). They are held to the end of the transaction. Every lock is taken
 * conditionally. A name that does not get its locks is left in pending_identity, to be
 * settled later.
 *
 * Why this is correct. The result of settling depends only on the edges as they are now.
 * If an edge commits while another transaction holds the lock on its name, that
 * transaction sees the edge, or a row in pending_identity causes the name to be settled
 * again.
 *
 * Moving. If a name was a lead, what its row holds becomes pending under the name
 * (identity.c). Otherwise its events are in the row of its old lead: move_names() in
 * alias.sql subtracts their sum from the old lead and adds it to the new one.
 */
#include "live/closure.h"

#include "attempt.h"
#include "bulk.h"
#include "catalog.h"
#include "label.h"
#include "lookup.h"
#include "session_cache.h"
#include "live/commit.h"
#include "live/identity.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(settle);

/* Names that are settled at a time. */
#define BATCH 10000

/* From this many names on, those that their edges lead to are read along the indexes, too. */
#define MANY_NAMES 100

/* alias_edge: alias, lead_id, latest, identified; lead_alias: alias, lead_id, tracked; alias_path: alias, lead_id */
#define ALIAS 1
#define LEAD 2
#define LATEST 3
#define IDENTIFIED 4
#define TRACKED 3

/* The state of a name that is locked. */
typedef struct NameNode
{
	text	   *name;
	bool		exclusive;		/* its lock is in exclusive mode */
	text	   *old;			/* the lead that it is an alias of; NULL: it is not an alias */
	bool		was_tracked;	/* because of a tracked table */
	text	   *next;			/* the name that its edge leads to; NULL: it has no edge */
	bool		is_tracked;
	bool		is_flat;		/* the edge is in lead_alias only */
	text	   *path;			/* the name that alias_path has for it; NULL: none */
	text	   *root;			/* the lead that it counts for from now on; NULL: not known yet */
	int			walk;			/* number of the last walk that visited it */
	bool		has_before;		/* "before" has been read */
	List	   *before;			/* names whose edges may lead here, and current aliases of this name */
	struct NameNode *following; /* in the order in which they were first locked */
} NameNode;

typedef struct NodeEntry
{
	Label		name;
	uint32		hash;
	char		status;
	NameNode   *node;
} NodeEntry;

#define SH_PREFIX node
#define SH_ELEMENT_TYPE NodeEntry
#define SH_KEY name
#include "label_table.h"

/* A table of names with its look-ups by alias and, except for alias_edge, by lead. */
typedef struct Steps
{
	Relation	table;
	bool		with_leads;
	bool		sorted;			/* most look-ups come in the order of the names, all locked already */
	bool		is_open;		/* the look-ups are open; not before the table has rows */
	Lookup		by_alias;
	Lookup		by_lead;
} Steps;

typedef struct Closure
{
	node_hash  *nodes;
	NameNode   *first;			/* of all nodes */
	NameNode   *last;
	Steps		edges;
	Steps		aliases;
	Steps		paths;
	int			walks;
	NameNode   *circle;			/* the last one reported by a WARNING */
} Closure;

/* ---------- reading ---------- */

/*
 * Whether a table of names has rows; opens the look-ups. If it had none when we began, the
 * transaction that has just released the lock on a name may have added the first one.
 */
static bool
has_steps(Steps *steps)
{
	bool		(*open) (Lookup *, Relation, AttrNumber, Snapshot) = steps->sorted ? lookup_open_sorted : lookup_open;

	if (steps->is_open || !has_pages(steps->table))
		return steps->is_open;
	if (!open(&steps->by_alias, steps->table, ALIAS, SnapshotSelf) ||
		(steps->with_leads && !open(&steps->by_lead, steps->table, LEAD, SnapshotSelf)))
		fail_for_index("alias_edge has an index on alias, lead_alias and alias_path have indexes on alias and on lead_id.");
	return steps->is_open = true;
}

static void
steps_open(Steps *steps, const char *name, bool with_leads, bool sorted)
{
	memset(steps, 0, sizeof(Steps));
	steps->table = table_open(our_table(name), AccessShareLock);
	steps->with_leads = with_leads;
	steps->sorted = sorted;
	(void) has_steps(steps);
}

/* Whether to look into a table of names. */
static bool
may_have(Steps *steps)
{
	return steps->is_open || (!steps->sorted && has_steps(steps));
}

static void
steps_close(Steps *steps)
{
	if (steps->is_open)
	{
		lookup_close(&steps->by_alias);
		lookup_close(&steps->by_lead);
	}
	table_close(steps->table, NoLock);
}

static void
names_open(Closure *c, bool sorted)
{
	steps_open(&c->edges, "alias_edge", false, sorted);
	steps_open(&c->aliases, "lead_alias", true, sorted);
	steps_open(&c->paths, "alias_path", true, sorted);
}

static void
names_close(Closure *c)
{
	steps_close(&c->edges);
	steps_close(&c->aliases);
	steps_close(&c->paths);
}

static text *
text_column(TupleTableSlot *slot, AttrNumber column)
{
	bool		isnull;
	Datum		value = slot_getattr(slot, column, &isnull);

	return isnull ? NULL : (text *) PG_DETOAST_DATUM_COPY(value);
}

static bool
bool_column(TupleTableSlot *slot, AttrNumber column)
{
	bool		isnull;
	Datum		value = slot_getattr(slot, column, &isnull);

	return !isnull && DatumGetBool(value);
}

/*
 * Whether an edge takes precedence over another edge of the same name: the latest one
 * does (NULL is the oldest), then the one with the smallest lead.
 */
static bool
comes_before(const text *lead, const text *latest, const text *than_lead, const text *than_latest)
{
	if (latest == NULL || than_latest == NULL)
	{
		if ((latest == NULL) != (than_latest == NULL))
			return latest != NULL;
	}
	else if (!text_equal(latest, than_latest))
		return text_compare(latest, than_latest) > 0;
	return text_compare(lead, than_lead) < 0;
}

static void
warn_ambiguous(const NameNode *node, const text *other)
{
	ereport(WARNING,
			(errcode(ERRCODE_CARDINALITY_VIOLATION),
			 errmsg("rows of tracked tables say different things of the alias \"%s\"", text_to_cstring(node->name)),
			 errdetail("It counts for \"%s\", and not for \"%s\".", text_to_cstring(node->next), text_to_cstring(other)),
			 errhint("Mend the rows, or track_alias() the table with latest_by.")));
}

/* Find the edge of a name in alias_edge that takes precedence. */
static void
read_edges(Closure *c, NameNode *node)
{
	Lookup	   *lookup = &c->edges.by_alias;
	text	   *latest = NULL;
	text	   *other = NULL;

	lookup_begin(lookup, node->name);
	while (lookup_next(lookup))
	{
		text	   *lead = text_column(lookup->slot, LEAD);
		text	   *its_latest = text_column(lookup->slot, LATEST);
		bool		tracked = !bool_column(lookup->slot, IDENTIFIED);

		if (node->next && !node->is_tracked)
			break;
		if (node->next && tracked && !text_equal(lead, node->next) && latest == NULL && its_latest == NULL)
			other = text_compare(lead, node->next) < 0 ? node->next : lead;
		if (node->next == NULL || !tracked || comes_before(lead, its_latest, node->next, latest))
		{
			node->next = lead;
			node->is_tracked = tracked;
			latest = its_latest;
		}
	}
	if (node->is_tracked && other && latest == NULL)
		warn_ambiguous(node, other);
}

static NameNode *
known_node(Closure *c, const text *name)
{
	NodeEntry  *entry = node_lookup(c->nodes, text_label(name));

	return entry ? entry->node : NULL;
}

/* Lock a name in exclusive or share mode and make its node, not read yet; NULL: the lock is not available. */
static NameNode *
lock_node(Closure *c, text *name, bool exclusive)
{
	NameNode   *node;
	bool		found;

	if (exclusive ? !try_to_lock_name(name) : !try_to_share_name(name))
		return NULL;
	node = palloc0(sizeof(NameNode));
	node->name = name;
	node->exclusive = exclusive;
	node_insert(c->nodes, text_label(name), &found)->node = node;
	if (c->last)
		c->last->following = node;
	else
		c->first = node;
	c->last = node;
	return node;
}

/* Raise the lock on a name to exclusive mode; false: another transaction holds it, too. */
static bool
own_node(NameNode *node)
{
	node->exclusive = node->exclusive || try_to_lock_name(node->name);
	return node->exclusive;
}

static void
read_path(Closure *c, NameNode *node)
{
	Lookup	   *paths = &c->paths.by_alias;

	lookup_begin(paths, node->name);
	if (lookup_next(paths))
		node->path = text_column(paths->slot, LEAD);
}

/* Read the state of a locked name. */
static void
read_node(Closure *c, NameNode *node)
{
	Lookup	   *aliases = &c->aliases.by_alias;

	if (may_have(&c->edges))
		read_edges(c, node);
	if (may_have(&c->paths))
		read_path(c, node);
	if (!may_have(&c->aliases))
		return;
	lookup_begin(aliases, node->name);
	if (!lookup_next(aliases))
		return;
	node->old = text_column(aliases->slot, LEAD);
	node->was_tracked = bool_column(aliases->slot, TRACKED);
	ExecClearTuple(aliases->slot);
	/* the edge is one of identify() */
	if (!node->was_tracked && (node->next == NULL || node->is_tracked))
	{
		node->next = node->old;
		node->is_tracked = false;
		node->is_flat = true;
	}
}

/* The node of a name, locked in the mode asked for, and read; NULL: the lock is not available. */
static NameNode *
node_of(Closure *c, text *name, bool exclusive)
{
	NameNode   *node = known_node(c, name);

	if (node && (node->exclusive || !exclusive))
		return node;
	if (node)
		return own_node(node) ? node : NULL;
	node = lock_node(c, name, exclusive);
	if (node)
		read_node(c, node);
	return node;
}

/* Names whose edges led to a name when they were settled, and its current aliases. */
static List *
names_before(Closure *c, NameNode *node)
{
	Steps	   *all[2] = {&c->paths, &c->aliases};

	for (int i = 0; !node->has_before && i < 2; i++)
	{
		Lookup	   *lookup = &all[i]->by_lead;

		if (!may_have(all[i]))
			continue;
		lookup_begin(lookup, node->name);
		while (lookup_next(lookup))
		{
			CHECK_FOR_INTERRUPTS();
			node->before = lappend(node->before, text_column(lookup->slot, ALIAS));
		}
	}
	node->has_before = true;
	return node->before;
}

/* ---------- walking ---------- */

/* The smallest name of the cycle that a name is in. */
static NameNode *
smallest_of_circle(Closure *c, NameNode *node)
{
	NameNode   *smallest = node;

	for (NameNode *next = known_node(c, node->next); next != node; next = known_node(c, next->next))
		if (text_compare(next->name, smallest->name) < 0)
			smallest = next;
	if (smallest == c->circle)
		return smallest;
	c->circle = smallest;
	ereport(WARNING,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("aliases lead in a circle: \"%s\" counts for itself", text_to_cstring(smallest->name)),
			 errdetail("It is an alias of \"%s\", which counts for it.", text_to_cstring(smallest->next)),
			 errhint("Mend the rows that say so.")));
	return smallest;
}

/* Find the lead that a name counts for; NULL: another transaction is changing a name on the path. */
static NameNode *
walk(Closure *c, NameNode *node)
{
	int			number = ++c->walks;

	while (node->next)
	{
		CHECK_FOR_INTERRUPTS();
		if (node->walk == number)
			return smallest_of_circle(c, node);
		node->walk = number;
		node = node_of(c, node->next, false);
		if (node == NULL)
			return NULL;
	}
	return node;
}

/* Whether the transaction's snapshot sees some names as they are now; always true at READ COMMITTED. */
static bool
all_are_seen(List *nodes)
{
	text	  **names;
	int			n = 0;
	ListCell   *cell;

	if (!IsolationUsesXactSnapshot())
		return true;
	names = palloc(list_length(nodes) * sizeof(text *));
	foreach(cell, nodes)
		names[n++] = ((NameNode *) lfirst(cell))->name;
	return edges_are_seen(names, n);
}

/*
 * Find all names whose path leads through a name, itself first. "strays" are its current
 * aliases whose path no longer leads through it. False: another transaction is changing
 * one of them.
 */
static bool
find_along(Closure *c, NameNode *node, List **along, List **strays)
{
	*along = list_make1(node);
	*strays = NIL;
	node->walk = ++c->walks;
	/* the list grows during the loop */
	for (int i = 0; i < list_length(*along); i++)
	{
		NameNode   *to = list_nth(*along, i);
		ListCell   *cell;

		foreach(cell, names_before(c, to))
		{
			NameNode   *from = node_of(c, lfirst(cell), true);

			if (from == NULL)
				return false;
			if (from->next == NULL || !text_equal(from->next, to->name))
				*strays = lappend(*strays, from);
			else if (from->walk != node->walk)
			{
				from->walk = node->walk;
				*along = lappend(*along, from);
			}
		}
	}
	return true;
}

/* Set the lead that some names count for; NULL: not known. */
static void
set_roots(List *nodes, text *root)
{
	ListCell   *cell;

	foreach(cell, nodes)
		((NameNode *) lfirst(cell))->root = root;
}

/*
 * Find the lead that a name counts for, and all names whose path leads through it; false:
 * it did not get its locks, or the transaction's snapshot does not see these names as
 * they are now.
 *
 * An alias never points to another alias. The end of the path may still be an alias,
 * because its own edge has gone and it has yet to be settled: then it is settled at once.
 * So are the strays of a name that becomes an alias itself.
 */
static bool
find_root(Closure *c, NameNode *node)
{
	NameNode   *root;
	List	   *along;
	List	   *strays;
	ListCell   *cell;

	if (!own_node(node) || (root = walk(c, node)) == NULL)
		return false;
	if (root->old && root != node && root->root == NULL && !find_root(c, root))
		return false;
	if (node->root)
		return true;
	if (!find_along(c, node, &along, &strays) || !all_are_seen(along))
		return false;
	set_roots(along, root->name);
	foreach(cell, root == node ? NIL : strays)
	{
		NameNode   *stray = lfirst(cell);

		if (stray->root == NULL && stray->old && text_equal(stray->old, node->name) && !find_root(c, stray))
		{
			set_roots(along, NULL);
			return false;
		}
	}
	return true;
}

/* ---------- writing ---------- */

/* Names whose lead changes in the same manner, as arrays. */
typedef struct Change
{
	int			n;
	Datum	   *names;
	Datum	   *old;
	Datum	   *leads;			/* the name itself: it is no longer an alias */
	Datum	   *tracked;
} Change;

static Change
change_create(int most)
{
	Size		size = Max(most, 1) * sizeof(Datum);

	return (Change) {0, MemoryContextAllocHuge(CurrentMemoryContext, size), MemoryContextAllocHuge(CurrentMemoryContext, size),
		MemoryContextAllocHuge(CurrentMemoryContext, size), MemoryContextAllocHuge(CurrentMemoryContext, size)};
}

static void
change_add(Change *change, const NameNode *node)
{
	int			i = change->n++;

	change->names[i] = PointerGetDatum(node->name);
	change->old[i] = PointerGetDatum(node->old);
	change->leads[i] = PointerGetDatum(node->root);
	change->tracked[i] = BoolGetDatum(node->is_tracked);
}

static Datum
text_array(Datum *elements, int n)
{
	return PointerGetDatum(construct_array(elements, n, TEXTOID, -1, false, TYPALIGN_INT));
}

static Datum
bool_array(Datum *elements, int n)
{
	return PointerGetDatum(construct_array(elements, n, BOOLOID, 1, true, TYPALIGN_CHAR));
}

typedef struct Changes
{
	Change		made;			/* new aliases, which were leads */
	Change		renamed;		/* they follow their old lead, or only was_tracked has changed */
	Change		moved;
	Change		kept;			/* edges of identify() that lead_alias no longer holds */
	Change		paths_added;	/* rows of alias_path; "leads" are the names that the edges lead to */
	Change		paths_removed;
	bool		done;
} Changes;

static void
run(SPIPlanPtr *plan, const char *command, int nargs, const Change *change, bool with_old)
{
	Oid			types[4] = {TEXTARRAYOID, TEXTARRAYOID, BOOLARRAYOID, TEXTARRAYOID};
	Datum		values[4] = {text_array(change->names, change->n), text_array(change->leads, change->n), bool_array(change->tracked, change->n)};

	if (with_old)
		values[3] = text_array(change->old, change->n);
	session_plan(plan, command, nargs, types);
	if (SPI_execute_plan(*plan, values, NULL, false, 0) < 0)
		elog(ERROR, "could not run \"%s\"", command);
}

/* Move the events of names from one lead to another; this reads tracked tables. */
static void
move(void *argument)
{
	static SPIPlanPtr plan = NULL;
	Changes    *changes = argument;
	bool		isnull;

	SPI_connect();
	run(&plan, "SELECT leadscore_internal.move_names($1, $2, $3, $4)", 4, &changes->moved, true);
	changes->done = SPI_processed == 1 && DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
}

/* Whether no trigger has anything to do for new rows of lead_alias: ours note them for derive(), if that has rules. */
static bool
nothing_fires(Relation aliases)
{
	TriggerDesc *triggers = aliases->trigdesc;

	if (triggers == NULL)
		return true;
	for (int i = 0; i < triggers->numtriggers; i++)
		if (strncmp(triggers->triggers[i].tgname, "alias_changed_", strlen("alias_changed_")) != 0)
			return false;
	return !table_has_pages("derivation");
}

/* Add new aliases past the executor; false: somebody has changed the table, or a trigger has something to do. */
static bool
add_aliases_in_bulk(const Change *made)
{
	Relation	aliases = table_open(our_table("lead_alias"), RowExclusiveLock);
	Bulk	   *bulk = nothing_fires(aliases) ? bulk_open(aliases, 3) : NULL;
	bool		is_plain = bulk != NULL;
	const bool	nulls[3] = {false, false, false};

	for (int i = 0; is_plain && i < made->n; i++)
	{
		Datum		values[3] = {made->names[i], made->leads[i], made->tracked[i]};

		bulk_add(bulk, values, nulls);
	}
	if (is_plain)
		bulk_close(bulk);
	table_close(aliases, NoLock);
	CommandCounterIncrement();
	return is_plain;
}

static void
make(const Change *made)
{
	static SPIPlanPtr plan = NULL;

	if (made->n == 0)
		return;
	if (!add_aliases_in_bulk(made))
	{
		SPI_connect();
		run(&plan, "SELECT leadscore_internal.make_aliases($1, $2, $3)", 3, made, false);
		SPI_finish();
	}
	/* lead_alias must have the aliases before their rows of lead_timeline are read: see give_up_rows() */
	give_up_rows((text **) made->names, made->n);
}

/* Write edges of identify() to alias_edge if they are now part of a longer path. */
static void
keep_edges(const Change *kept)
{
	static SPIPlanPtr plan = NULL;

	if (kept->n == 0)
		return;
	SPI_connect();
	run(&plan, "SELECT leadscore_internal.keep_edges($1, $2, $3, $4)", 4, kept, true);
	SPI_finish();
}

static void
write_paths(const Change *removed, const Change *added)
{
	static SPIPlanPtr remove = NULL;
	static SPIPlanPtr add = NULL;

	if (removed->n == 0 && added->n == 0)
		return;
	SPI_connect();
	if (removed->n > 0)
		run(&remove, "SELECT leadscore_internal.remove_paths($1)", 1, removed, false);
	if (added->n > 0)
		run(&add, "SELECT leadscore_internal.add_paths($1, $2)", 2, added, false);
	SPI_finish();
}

static void
rename_aliases(const Change *renamed)
{
	static SPIPlanPtr plan = NULL;

	if (renamed->n == 0)
		return;
	SPI_connect();
	run(&plan, "SELECT leadscore_internal.point_aliases($1, $2, $3)", 3, renamed, false);
	SPI_finish();
}

/* Remember both leads of names that have been moved: what is pending for them has changed. */
static void
touch(const Change *moved)
{
	for (int i = 0; i < moved->n && segments_logged(); i++)
	{
		remember_touched((text *) DatumGetPointer(moved->old[i]), CAUSE_IDENTITY);
		remember_touched((text *) DatumGetPointer(moved->leads[i]), CAUSE_IDENTITY);
	}
}

/* The lead that a name counts for when all changes are written. */
static const text *
lead_of(Closure *c, const text *name)
{
	NameNode   *node = known_node(c, name);

	return node && node->root ? node->root : name;
}

/* Collect what changes of a name in alias_path. */
static void
find_path(Changes *changes, const NameNode *node)
{
	const text *path = node->next && !text_equal(node->next, node->root) ? node->next : NULL;

	if (path == NULL ? node->path == NULL : node->path && text_equal(path, node->path))
		return;
	if (node->path)
		change_add(&changes->paths_removed, node);
	if (path)
	{
		change_add(&changes->paths_added, node);
		changes->paths_added.leads[changes->paths_added.n - 1] = PointerGetDatum(path);
	}
}

/* Collect the changes to write. */
static Changes
find_changes(Closure *c)
{
	int			most = c->nodes->members;
	Changes		changes = {change_create(most), change_create(most), change_create(most), change_create(most), change_create(most), change_create(most), true};

	for (NameNode *node = c->first; node; node = node->following)
	{
		bool		is_alias = node->root && !text_equal(node->root, node->name);

		if (node->root)
			find_path(&changes, node);
		if (node->root == NULL || (node->old == NULL && !is_alias))
			continue;
		if (node->is_flat && !text_equal(node->next, node->root))
			change_add(&changes.kept, node);
		if (node->old == NULL)
			change_add(&changes.made, node);
		else if (text_equal(lead_of(c, node->old), node->root))
		{
			if (!text_equal(node->old, node->root) || node->was_tracked != node->is_tracked)
				change_add(&changes.renamed, node);
		}
		else
			change_add(&changes.moved, node);
	}
	return changes;
}

/*
 * Read the state of locked nodes, from one on. The names mostly come in order, so each
 * index is walked along instead of descended for each name. The locks ensure that nobody
 * else changes the state of a name in the meantime.
 */
static void
read_along(Closure *c, NameNode *from, bool with_before)
{
	names_open(c, true);
	for (NameNode *node = from; node; node = node->following)
	{
		CHECK_FOR_INTERRUPTS();
		read_node(c, node);
		if (with_before)
			(void) names_before(c, node);
	}
	names_close(c);
}

/* Lock the names that the edges of the nodes lead to, as far as the locks are free, and read them likewise. */
static void
read_next(Closure *c)
{
	node_hash  *next = node_create(CurrentMemoryContext, MANY_NAMES, NULL);
	text	  **names = palloc(c->nodes->members * sizeof(text *));
	NameNode   *last = c->last;
	int			n = 0;

	for (NameNode *node = c->first; node; node = node->following)
	{
		bool		found = true;

		if (node->next && known_node(c, node->next) == NULL)
			(void) node_insert(next, text_label(node->next), &found);
		if (!found)
			names[n++] = node->next;
	}
	n = sort_names(names, n);
	for (int i = 0; i < n; i++)
		(void) lock_node(c, names[i], false);
	if (last)
		read_along(c, last->following, false);
}

/* Lock the names to settle, then read their state. NULL: the lock on that name is not available. */
static NameNode **
read_names(Closure *c, text **names, int n)
{
	NameNode  **nodes = palloc(n * sizeof(NameNode *));

	for (int i = 0; i < n; i++)
	{
		nodes[i] = known_node(c, names[i]);
		if (nodes[i] == NULL)
			nodes[i] = lock_node(c, names[i], true);
	}
	read_along(c, c->first, true);
	if (n >= MANY_NAMES)
		read_next(c);			/* the next ones of few names are read when they are walked to */
	return nodes;
}

/*
 * Settle some names; put those that have to wait into "left". Moving reads tables and
 * aliases, which could make a serializable transaction fail: it leaves moves to other
 * transactions, unless the user asked for them.
 */
static int
settle_some(text **names, int n, text **left, bool asked)
{
	Closure		c = {.nodes = node_create(CurrentMemoryContext, n, NULL)};
	Changes		changes;
	NameNode  **nodes;
	int			nleft = 0;

	nodes = read_names(&c, names, n);
	names_open(&c, false);
	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (nodes[i] && nodes[i]->root == NULL)
			(void) find_root(&c, nodes[i]);
	}
	names_close(&c);
	for (int i = 0; i < n; i++)
		if (nodes[i] == NULL || nodes[i]->root == NULL)
			left[nleft++] = names[i];

	changes = find_changes(&c);
	if (!asked && IsolationIsSerializable())
		changes.done = changes.moved.n == 0 && changes.renamed.n == 0 && changes.paths_removed.n == 0;
	else if (changes.moved.n > 0)
	{
		changes.done = false;
		attempt(move, &changes, "names cannot be moved now", "SELECT leadscore.fold() tries it again.");
	}
	if (!changes.done)
	{
		memcpy(left, names, n * sizeof(text *));
		return n;
	}
	keep_edges(&changes.kept);
	write_paths(&changes.paths_removed, &changes.paths_added);
	rename_aliases(&changes.renamed);
	make(&changes.made);
	touch(&changes.moved);
	CommandCounterIncrement();
	return nleft;
}

int
settle_names(text **names, int n, text **left, bool asked)
{
	/* at REPEATABLE READ and above, a name that the snapshot does not see as it is must not delay others */
	int			size = IsolationUsesXactSnapshot() ? 1 : BATCH;
	int			nleft = 0;

	for (int first = 0; first < n; first += size)
	{
		MemoryContext batch = AllocSetContextCreate(CurrentMemoryContext, "leadscore closure", ALLOCSET_DEFAULT_SIZES);
		MemoryContext old = MemoryContextSwitchTo(batch);

		nleft += settle_some(names + first, Min(size, n - first), left + nleft, asked);
		MemoryContextSwitchTo(old);
		MemoryContextDelete(batch);
	}
	return nleft;
}

/*
 * settle_new_edges() spares most names of a load to be read once more, after their edges have been
 * written. It does what settle_names() would do then, under the same locks: an edge of another
 * transaction that is not seen yet is followed by the attempt to settle its name.
 */
static void
settle_some_new(NewEdge *edges, int n)
{
	Closure		c = {.nodes = node_create(CurrentMemoryContext, n, NULL)};
	NameNode  **nodes = palloc(n * sizeof(NameNode *));
	Changes		changes;

	for (int i = 0; i < n; i++)
		nodes[i] = lock_node(&c, edges[i].alias, true);
	read_along(&c, c.first, true);
	for (int i = 0; i < n; i++)
	{
		NameNode   *node = nodes[i];

		edges[i].is_settled = node && node->next == NULL && node->old == NULL && node->path == NULL && node->before == NIL;
		if (!edges[i].is_settled)
			continue;
		node->next = edges[i].lead;
		node->is_tracked = true;
	}
	read_next(&c);
	for (int i = 0; i < n; i++)
	{
		NameNode   *lead = edges[i].is_settled ? known_node(&c, edges[i].lead) : NULL;

		edges[i].is_settled = lead && lead->next == NULL && lead->old == NULL;
		if (edges[i].is_settled)
			nodes[i]->root = lead->name;
	}
	changes = find_changes(&c);
	make(&changes.made);
}

void
settle_new_edges(NewEdge *edges, int n)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "leadscore closure", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);

	settle_some_new(edges, n);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/* ---------- for SQL ---------- */

/*
 * settle(names, wait): call settle_names(), and return the names that have to wait.
 * "wait": leave these in pending_identity, too.
 */
Datum
settle(PG_FUNCTION_ARGS)
{
	Datum	   *names;
	text	  **left;
	int			n;
	int			nleft;

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), TEXTOID, -1, false, TYPALIGN_INT, &names, NULL, &n);
	for (int i = 0; i < n; i++)
		names[i] = PointerGetDatum(DatumGetTextPP(names[i]));
	left = palloc(Max(n, 1) * sizeof(text *));
	nleft = settle_names((text **) names, n, left, PG_GETARG_BOOL(1));
	if (PG_GETARG_BOOL(1))
		append_look_again(left, nleft);
	PG_RETURN_DATUM(text_array((Datum *) left, nleft));
}
