/*
 * profile.h: profiles of leads, and what tables of customers change in them.
 */
#ifndef LEADSCORE_PROFILE_H
#define LEADSCORE_PROFILE_H

#include "live/latest.h"
#include "live/pending.h"

#include "utils/array.h"

/* A lead's row of lead, or that there is none. */
typedef struct Profile
{
	bool		exists;
	Jsonb	   *value;			/* NULL: the row has none */
} Profile;

/*
 * What a statement changes in a profile: keys are removed, then attributes are
 * put in. A profile that something was removed from, and is empty, goes with its
 * row.
 */
typedef struct ProfileChange
{
	ArrayType  *removed;		/* text[]; NULL: no old row names the lead, and its row stays */
	Jsonb	   *attributes;		/* NULL: no row names it now */
	bool		look_again;		/* the row that counts is to be looked up once more, with the lead's row locked: see latest.h */
} ProfileChange;

extern void profile_apply(Profile *profile, const ProfileChange *change);

/* Give a lead the attributes of one of its aliases that it lacks. */
extern void profile_add_alias(Profile *profile, const Profile *alias);

/* The keys of an object that another one (NULL: none) lacks. */
extern ArrayType *keys_without(Jsonb *object, Jsonb *other);

/* ---------- profile_pending.c ---------- */

/* A row of pending_profile. */
typedef struct PendingChange
{
	int64		number;			/* they are applied in this order */
	ItemPointerData row;
	ProfileChange change;
} PendingChange;

typedef struct PendingChanges
{
	int			n;
	int			capacity;
	PendingChange *changes;
	bool		complete;		/* these are all that are committed, or ours */
} PendingChanges;

/* Open pending_profile to read with a snapshot; pending_close() ends it. */
extern void pending_profiles_open(Pending *pending, Snapshot snapshot);

/*
 * What is pending for a lead, in its order, as far as another snapshot sees it,
 * too (NULL: all). With a limit: nothing, if more entries of the index would have
 * to be looked at.
 */
extern PendingChanges pending_changes_of(Pending *pending, const text *lead_id, Snapshot seen, int limit);

/* Apply what is pending for a lead. */
extern void pending_profiles_apply(Pending *pending, const text *lead_id, Profile *profile);

/* ---------- profile_write.c ---------- */

/* What is to be changed in the profile of a lead. */
typedef struct LeadChange
{
	text	   *lead_id;
	ProfileChange change;
	Jsonb	   *keys;			/* where the latest row counts, instead of the change: an object with the keys of the statement's rows */
} LeadChange;

/* Change profiles, each lead once, as the owner of the tables; "latest" (or NULL): where the rows that count are looked up. */
extern void write_profile_changes(LeadChange **changes, int n, Latest *latest);

/*
 * Merge what is pending for some leads, which are in order and each once, into
 * their rows; those that somebody else has are left. "newest": what the
 * transaction's snapshot does not see, too. Returns how many rows of
 * pending_profile have been merged.
 */
extern int64 fold_profiles_of(text **lead_ids, int n, bool newest);

#endif							/* LEADSCORE_PROFILE_H */
