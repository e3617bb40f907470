/*
 * crm.c: why a lead has its score, in words.
 */
#include "model/appraise.h"

#include <math.h>

#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/numeric.h"
#include "utils/varlena.h"

PG_FUNCTION_INFO_V1(crm_reasons);

#define MOST_REASONS 3

/* What one signal has contributed. */
typedef struct Reason
{
	const char *signal;			/* or the rule */
	const char *description;	/* or NULL */
	double		points;			/* a whole number */
	char	   *text;			/* the same, as numeric writes it */
} Reason;

/* Whether a reason comes before another: by its points, whatever their sign, then by the signal's name. */
static bool
weighs_more(const Reason *reason, const Reason *other)
{
	if (fabs(reason->points) != fabs(other->points))
		return fabs(reason->points) > fabs(other->points);
	return varstr_cmp(reason->signal, strlen(reason->signal), other->signal, strlen(other->signal),
					  DEFAULT_COLLATION_OID) < 0;
}

/* Add what something came to, rounded, to the reasons that weigh most. */
static int
add_reason(Reason *reasons, int n, const char *signal, const char *description, double sum)
{
	Reason		reason = {signal, description, 0, NULL};
	Datum		rounded;
	int			place;

	if (fabs(sum) < 0.4)
		return n;				/* it rounds to 0, without the detour */
	rounded = DirectFunctionCall2(numeric_round, DirectFunctionCall1(float8_numeric, Float8GetDatum(sum)), Int32GetDatum(0));
	reason.points = DatumGetFloat8(DirectFunctionCall1(numeric_float8, rounded));
	if (reason.points == 0)
		return n;
	for (place = n; place > 0 && weighs_more(&reason, &reasons[place - 1]); place--)
		if (place < MOST_REASONS)
			reasons[place] = reasons[place - 1];
	if (place == MOST_REASONS)
		return n;
	reason.text = DatumGetCString(DirectFunctionCall1(numeric_out, rounded));
	reasons[place] = reason;
	return Min(n + 1, MOST_REASONS);
}

static double
sum_of(const Indexes *weights, const Contribution *contributions)
{
	double		sum = 0;

	for (int32 i = 0; i < weights->n; i++)
		sum += contributions[weights->items[i]].points;
	return sum;
}

/* Add what the weights of some signals came to, each signal rounded by itself. */
static int
add_signals(Reason *reasons, int n, const SignalWeights *signals, int32 nsignals, const Contribution *contributions)
{
	for (int32 i = 0; i < nsignals; i++)
	{
		const SignalWeights *signal = &signals[i];

		CHECK_FOR_INTERRUPTS();
		n = add_reason(reasons, n, signal->signal, signal->description,
					   sum_of(&signal->weights, contributions) + sum_of(&signal->later, contributions));
	}
	return n;
}

/* crm_reasons(scorecard, timeline, profile, at): the signals and rules that weigh most, in words */
Datum
crm_reasons(PG_FUNCTION_ARGS)
{
	Scorecard  *card;
	Appraisal	appraisal;
	Contribution *contributions;
	Reason		reasons[MOST_REASONS];
	Datum		words[MOST_REASONS];
	int			n;

	if (!appraise_arguments(fcinfo, &card, &appraisal, &contributions))
		PG_RETURN_ARRAYTYPE_P(construct_empty_array(TEXTOID));
	n = add_signals(reasons, 0, card->groups, card->ngroups, contributions);
	n = add_signals(reasons, n, card->profiles, card->nprofiles, contributions);
	for (int32 i = 0; i < card->nrules; i++)
		n = add_reason(reasons, n, card->rules[i].rule, card->rules[i].description, contributions[card->nweights + i].points);
	for (int i = 0; i < n; i++)
		words[i] = CStringGetTextDatum(psprintf("%s (%s%s)", reasons[i].description ? reasons[i].description : reasons[i].signal,
												reasons[i].points > 0 ? "+" : "", reasons[i].text));
	PG_RETURN_ARRAYTYPE_P(construct_array(words, n, TEXTOID, -1, false, TYPALIGN_INT));
}
