/*
 * profile.h: profiles of leads, and the changes that tables of customers make to them.
 */
#ifndef LEADSCORE_PROFILE_H
#define LEADSCORE_PROFILE_H

#include "live/latest.h"
#include "live/pending.h"

#include "utils/array.h"

/* A lead's row in lead, if it has one. */
typedef struct Profile
{
	bool		exists;
	Jsonb	   *value;			/* NULL: the row has no profile */
} Profile;

/*
 * What a statement changes in a profile: first keys are removed, then attributes are
 * added. If a removal leaves the profile empty, its row is deleted.
 */
typedef struct ProfileChange
{
	ArrayType  *removed;		/* text[]; NULL: no old row names the lead, and its row in lead stays */
	Jsonb	   *attributes;		/* NULL: no new row names the lead */
	bool		look_again;		/* look up the row that counts again, under the lock on the lead's row: see latest.h */
} ProfileChange;

extern void profile_apply(Profile *profile, const ProfileChange *change);

/* Add to the profile of a lead the attributes of one of its aliases that the lead lacks. */
extern void profile_add_alias(Profile *profile, const Profile *alias);

/* The keys of an object that are missing in the other one; NULL: all keys. */
extern ArrayType *keys_without(Jsonb *object, Jsonb *other);

/* ---------- profile_pending.c ---------- */

/* A row of pending_profile. */
typedef struct PendingChange
{
	int64		number;			/* change_id; changes are applied in this order */
	ItemPointerData row;
	ProfileChange change;
} PendingChange;

typedef struct PendingChanges
{
	int			n;
	int			capacity;
	PendingChange *changes;
	bool		complete;		/* these are all changes that are committed or our own */
} PendingChanges;

/*
 * Whether row-level security on lead applies to the caller; an error without SELECT on lead. A
 * user with that right may see pending changes, too. A policy checks the rows of lead only, so
 * a user subject to one sees only these rows.
 */
extern bool profiles_are_hidden(void);

/* Open pending_profile for reading with a snapshot; pending_close() closes it. */
extern void pending_profiles_open(Pending *pending, Snapshot snapshot);

/*
 * The changes that are pending for a lead, in the order of their numbers. If "seen" is
 * not NULL, only those that this snapshot sees, too. If the index has more entries for
 * the lead than "limit" (0: no limit), none is returned.
 */
extern PendingChanges pending_changes_of(Pending *pending, const text *lead_id, Snapshot seen, int limit);

/* Apply the pending changes of a lead. */
extern void pending_profiles_apply(Pending *pending, const text *lead_id, Profile *profile);

/* ---------- profile_write.c ---------- */

/* A change to be made to the profile of a lead. */
typedef struct LeadChange
{
	text	   *lead_id;
	ProfileChange change;
	Jsonb	   *keys;			/* used if the latest row counts: an object with the keys of the statement's rows */
} LeadChange;

/* Change profiles, each lead once, as the owner of the tables; "latest" (or NULL) looks up the rows that count. */
extern void write_profile_changes(LeadChange **changes, int n, Latest *latest);

/*
 * Merge the pending changes of some leads into their rows in lead. The leads are
 * sorted and distinct. A lead whose row another transaction has locked is skipped.
 * "newest": also merge changes that the transaction's snapshot does not see. Returns
 * the number of rows of pending_profile that have been merged.
 */
extern int64 fold_profiles_of(text **lead_ids, int n, bool newest);

/* Whether others are writing the rows of all these leads. */
extern bool profiles_are_busy(text **lead_ids, int n);

#endif							/* LEADSCORE_PROFILE_H */
