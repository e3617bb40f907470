/*
 * crm.c: the columns of crm_lead.
 *
 * With ORDER BY and LIMIT, the server computes what rows are sorted by for each
 * lead, and other columns that are not cheap only for the rows that it returns.
 * So each column is a call by itself, and the appraisal of the last lead is
 * kept for the next column. For the same reason these functions take the name
 * of a model: what is sorted carries no scorecards.
 */
#include "model/appraise.h"

#include <math.h>

#include "access/htup_details.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/numeric.h"
#include "utils/typcache.h"

PG_FUNCTION_INFO_V1(crm_appraise);
PG_FUNCTION_INFO_V1(crm_score);
PG_FUNCTION_INFO_V1(crm_stays);

/* Timeline and profile together, in bytes, of a lead that is kept; larger ones are appraised for each column. */
#define MOST_KEPT 8192
/* Scores below are rounded by their double: its error is far less than TIE. */
#define MOST_EXACT 1e9
#define TIE 1e-5

/* A scorecard, and the lead that it was last applied to. */
typedef struct CrmCard
{
	Scorecard  *card;
	bool		kept;
	int32		hour;
	Size		timeline_size;
	Size		profile_size;
	Appraisal	appraisal;
	char		bytes[MOST_KEPT];	/* of the timeline, then of the profile */
} CrmCard;

/* The arguments: of a lead, and of what a CRM was told of it. */
enum
{
	MODEL, TIMELINE, PROFILE, AT, CRM_STEP, TOLD
};

/* The columns of crm_state that are read, numbered from 0. */
enum
{
	TOLD_SCORE = 2,
	TOLD_GRADE,
	TOLD_SEGMENT,
	TOLD_STAGE,
	TOLD_DELETED = 10,
	TOLD_POSITION = 13,
	TOLD_COLUMNS
};

/* A row of crm_state. */
typedef struct Told
{
	Datum	   *values;
	bool	   *isnull;
} Told;

static void *
crm_compile(Jsonb *document)
{
	CrmCard    *crm = palloc0(sizeof(CrmCard));

	crm->card = scorecard_compile(document);
	return crm;
}

static bool
is_kept(const CrmCard *crm, const struct varlena *timeline, const Jsonb *profile, int32 hour)
{
	Size		size = timeline ? VARSIZE_ANY(timeline) : 0;
	Size		profile_size = profile ? VARSIZE(profile) : 0;

	return crm->kept && crm->hour == hour && crm->timeline_size == size && crm->profile_size == profile_size &&
		(size == 0 || memcmp(crm->bytes, timeline, size) == 0) &&
		(profile_size == 0 || memcmp(crm->bytes + size, profile, profile_size) == 0);
}

static void
keep(CrmCard *crm, const struct varlena *timeline, const Jsonb *profile, int32 hour)
{
	crm->hour = hour;
	crm->timeline_size = timeline ? VARSIZE_ANY(timeline) : 0;
	crm->profile_size = profile ? VARSIZE(profile) : 0;
	crm->kept = crm->timeline_size + crm->profile_size <= MOST_KEPT;
	if (crm->kept && timeline)
		memcpy(crm->bytes, timeline, crm->timeline_size);
	if (crm->kept && profile)
		memcpy(crm->bytes + crm->timeline_size, profile, crm->profile_size);
}

/* Appraise the lead of the arguments (model, timeline, profile, at); NULL if model or instant are. */
static CrmCard *
appraised(FunctionCallInfo fcinfo)
{
	CrmCard    *crm;
	struct varlena *timeline = PG_ARGISNULL(TIMELINE) ? NULL : PG_GETARG_TIMELINE(TIMELINE);
	Jsonb	   *profile;
	int32		hour;

	if (PG_ARGISNULL(MODEL) || PG_ARGISNULL(AT))
		return NULL;
	crm = doc_compiled_of_model(fcinfo, MODEL, crm_compile);
	profile = PG_ARGISNULL(PROFILE) || crm->card->nprofiles == 0 ? NULL : PG_GETARG_JSONB_P(PROFILE);
	hour = hour_of(PG_GETARG_TIMESTAMPTZ(AT));
	if (!is_kept(crm, timeline, profile, hour))
	{
		crm->kept = false;
		appraise_lead(crm->card, timeline, profile, hour, hour, &crm->appraisal, NULL);
		keep(crm, timeline, profile, hour);
	}
	return crm;
}

/* A score as round(score::numeric) gives it. */
static Datum
rounded(double score)
{
	double		whole = floor(fabs(score) + 0.5);

	if (fabs(score) < MOST_EXACT && fabs(whole - fabs(score)) < 0.5 - TIE)
		return NumericGetDatum(int64_to_numeric((int64) (score < 0 ? -whole : whole)));
	return DirectFunctionCall2(numeric_round, DirectFunctionCall1(float8_numeric, Float8GetDatum(score)), Int32GetDatum(0));
}

static Told
told_row(HeapTupleHeader row)
{
	TupleDesc	type = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(row), HeapTupleHeaderGetTypMod(row));
	HeapTupleData tuple = {.t_len = HeapTupleHeaderGetDatumLength(row), .t_data = row};
	Told		told = {palloc(type->natts * sizeof(Datum)), palloc(type->natts * sizeof(bool))};

	if (type->natts < TOLD_COLUMNS)
		elog(ERROR, "crm_state has lost a column");
	heap_deform_tuple(&tuple, type, told.values, told.isnull);
	ReleaseTupleDesc(type);
	return told;
}

/* Whether a text column is this name; both may be NULL. */
static bool
is_name(const Told *told, int column, const char *name)
{
	const text *value;

	if (name == NULL || told->isnull[column])
		return name == NULL && told->isnull[column];
	value = DatumGetTextPP(told->values[column]);
	return VARSIZE_ANY_EXHDR(value) == strlen(name) && memcmp(VARDATA_ANY(value), name, strlen(name)) == 0;
}

/*
 * Whether what a CRM was told is near enough: the same grade, segment and stage, and a score that
 * is less than crm_step away. (Whole numbers that differ do so by 1.)
 */
static bool
stays(const CrmCard *crm, const Told *told, Datum score, double crm_step)
{
	const Scorecard *card = crm->card;
	const Appraisal *appraisal = &crm->appraisal;
	int32		number;
	const Segment *segment;
	Datum		difference;

	if (told->isnull[TOLD_DELETED] || DatumGetBool(told->values[TOLD_DELETED]) || told->isnull[TOLD_SCORE])
		return false;
	number = segment_number(card, appraisal, NULL, 0);
	segment = number > 0 ? &card->segments[number - 1] : NULL;
	if (!is_name(told, TOLD_GRADE, grade_of(card, appraisal)) ||
		!is_name(told, TOLD_SEGMENT, segment ? segment->segment : NULL) ||
		!is_name(told, TOLD_STAGE, appraisal->stage < 0 ? NULL : card->stages[appraisal->stage].stage) ||
		(segment ? told->isnull[TOLD_POSITION] || DatumGetInt32(told->values[TOLD_POSITION]) != segment->position : !told->isnull[TOLD_POSITION]))
		return false;
	difference = DirectFunctionCall1(numeric_abs, DirectFunctionCall2(numeric_sub, told->values[TOLD_SCORE], score));
	return DatumGetFloat8(DirectFunctionCall1(numeric_float8, difference)) < Max(crm_step, 1);
}

/* The score that a CRM is shown: as it was told, if that stays, else as it is now. */
static Datum
shown_score(FunctionCallInfo fcinfo, const CrmCard *crm, bool *stayed)
{
	Datum		now = rounded(crm->appraisal.score);
	Told		told;

	*stayed = false;
	if (PG_ARGISNULL(TOLD))
		return now;
	told = told_row(PG_GETARG_HEAPTUPLEHEADER(TOLD));
	*stayed = stays(crm, &told, now, PG_ARGISNULL(CRM_STEP) ? 0 : PG_GETARG_FLOAT8(CRM_STEP));
	return *stayed ? datumCopy(told.values[TOLD_SCORE], false, -1) : now;
}

/* ---------- SQL functions: (model, timeline, profile, at, crm_step, what a CRM was told) ---------- */

/* appraise(), by the name of the model */
Datum
crm_appraise(PG_FUNCTION_ARGS)
{
	CrmCard    *crm = appraised(fcinfo);

	if (crm == NULL)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(appraisal_row(crm->card, &crm->appraisal, fcinfo));
}

/* Whether what a CRM was told stays; false if it was told nothing. */
Datum
crm_stays(PG_FUNCTION_ARGS)
{
	CrmCard    *crm = appraised(fcinfo);
	bool		stayed = false;

	if (crm)
		(void) shown_score(fcinfo, crm, &stayed);
	PG_RETURN_BOOL(stayed);
}

/* The score that a CRM is shown. */
Datum
crm_score(PG_FUNCTION_ARGS)
{
	CrmCard    *crm = appraised(fcinfo);
	bool		stayed;

	if (crm == NULL)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(shown_score(fcinfo, crm, &stayed));
}
