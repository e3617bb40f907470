/*
 * quality.h: measures of quality, and their states.
 */
#ifndef LEADSCORE_QUALITY_H
#define LEADSCORE_QUALITY_H

#include "compat.h"

#include <math.h>

#include "lib/stringinfo.h"

/* The scores of one outcome. */
typedef struct Scores
{
	double	   *values;
	int64		n;
	int64		capacity;
	bool		sorted;			/* ascending */
} Scores;

/* The scores by outcome, those without a conversion first; or before and after a change. */
typedef struct Ranking
{
	MemoryContext context;
	Scores		of[2];
} Ranking;

/* The state of a mean: a compensated sum (Neumaier, ZAMM 54, 1974), so that the order of rows hardly matters. */
typedef struct MeanLoss
{
	int64		n;
	double		sum;
	double		compensation;
} MeanLoss;

extern Ranking *ranking_create(MemoryContext context);
extern void ranking_reserve(Ranking *ranking, Scores *scores, int64 more);
extern void ranking_add(Ranking *ranking, const Ranking *other);
extern void ranking_sort(Ranking *ranking);
extern void ranking_send(StringInfo buf, Ranking *ranking);
extern Ranking *ranking_receive(StringInfo buf);
extern void log_loss_put(MeanLoss *loss, double probability, bool outcome);
extern void logit_loss_put(MeanLoss *loss, double logit, bool outcome);
extern void brier_put(MeanLoss *loss, double probability, bool outcome);
extern void mean_loss_add(MeanLoss *loss, const MeanLoss *other);
extern void mean_loss_send(StringInfo buf, const MeanLoss *loss);
extern void mean_loss_receive(StringInfo buf, MeanLoss *loss);

/* of aggregates */
extern void message_of(StringInfo buf, bytea *bytes);
extern MemoryContext aggregate_context(FunctionCallInfo fcinfo);
extern Datum end_part(FunctionCallInfo fcinfo, PGFunction serialize);
extern Datum add_part(FunctionCallInfo fcinfo, PGFunction deserialize, PGFunction merge);

pg_noreturn extern void refuse_nan(void);

static inline void
ranking_put(Ranking *ranking, int kind, double score)
{
	Scores	   *scores = &ranking->of[kind];

	if (unlikely(isnan(score)))
		refuse_nan();
	if (scores->n == scores->capacity)
		ranking_reserve(ranking, scores, 1);
	scores->sorted = scores->n == 0 || (scores->sorted && score >= scores->values[scores->n - 1]);
	scores->values[scores->n++] = score;
}

/* Figures of such a state, their only argument; NULL if undefined. */
extern Datum roc_auc_final(PG_FUNCTION_ARGS);
extern Datum roc_auc_error_final(PG_FUNCTION_ARGS);
extern Datum average_precision_final(PG_FUNCTION_ARGS);
extern Datum ks_final(PG_FUNCTION_ARGS);
extern Datum gains_final(PG_FUNCTION_ARGS);
extern Datum fine_bands_final(PG_FUNCTION_ARGS);
extern Datum mean_loss_final(PG_FUNCTION_ARGS);

/* One of them, of a state. */
extern Datum state_figure(PGFunction final, void *state, bool *isnull);

#endif							/* LEADSCORE_QUALITY_H */
