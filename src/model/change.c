/*
 * change.c: the names of a scorecard's weights, for sentences about changes.
 */
#include "model/phrase.h"

#include "funcapi.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(weights_in_words);

/* weights_in_words(scorecard, wording): weight_id, noun, nouns, band, absence, since_noun */
Datum
weights_in_words(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Scorecard  *card = doc_compiled(fcinfo, 0, scorecard_compile);
	Wording		wording;

	InitMaterializedSRF(fcinfo, 0);
	wording_read(&wording, PG_GETARG_JSONB_P(1));
	for (int32 i = 0; i < card->nweights; i++)
	{
		const Weight *w = &card->weights[i];
		Noun		noun = noun_of(&wording, w->signal, w->label);
		Datum		values[6];
		bool		nulls[6];

		CHECK_FOR_INTERRUPTS();
		nulls[0] = !w->has_weight_id;
		values[0] = Int32GetDatum(w->weight_id);
		values[1] = text_or_null(noun.one, &nulls[1]);
		values[2] = text_or_null(noun.many, &nulls[2]);
		values[3] = text_or_null(w->banded ? band_in_words(&wording, w) : NULL, &nulls[3]);
		values[4] = text_or_null(w->has_if_none ? absence_in_words(&wording, w) : NULL, &nulls[4]);
		values[5] = text_or_null(w->since ? noun_of(&wording, w->since->signal, w->since->label).one : NULL, &nulls[5]);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
