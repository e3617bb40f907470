/*
 * bins.c: supervised binning: merges the fine bands of a measure into the
 * fewest bands that still predict an outcome.
 *
 * Each way to merge adjacent bands is rated by the log likelihood of the
 * outcome with one probability per band, less ln(n) / 2 for each band (G.
 * Schwarz, The Annals of Statistics 6, 1978): an additional band must explain
 * more than chance would. Dynamic programming over the last band finds the
 * best way: without constraints, with conversion rates that only rise, and
 * with rates that only fall. Monotone bands are preferred if they keep nearly
 * all of the gain of unconstrained ones.
 */
#include "compat.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "utils/array.h"

PG_FUNCTION_INFO_V1(merge_bands);

#define MOST_BANDS 200			/* fine bands: the work grows with their cube */
#define FEWEST_ROWS 10			/* in a band, */
#define SMALLEST_SHARE 0.01		/* and as a share of all rows */
#define MONOTONE_KEEPS 0.95		/* of the gain, to be preferred */

typedef struct Bands
{
	int			n;
	double	   *rows[2];		/* by outcome, in all bands before each; n + 1 of them */
	double		smallest;		/* rows that a band needs */
	double		price;			/* per band */
} Bands;

/* A way to merge: its worth, and where each band begins. */
typedef struct Merged
{
	double		worth;
	int			n;
	int		   *begins;
} Merged;

/* The rows of an outcome in a range of fine bands. */
static inline double
rows_in(const Bands *bands, int outcome, int from, int to)
{
	return bands->rows[outcome][to] - bands->rows[outcome][from];
}

static inline double
rate_of(const Bands *bands, int from, int to)
{
	double		converted = rows_in(bands, 1, from, to);

	return converted / (converted + rows_in(bands, 0, from, to));
}

/* The log likelihood of a band, less its price; -infinity if it is too small. */
static double
worth_of(const Bands *bands, int from, int to)
{
	double		others = rows_in(bands, 0, from, to);
	double		converted = rows_in(bands, 1, from, to);
	double		all = others + converted;

	if (all < bands->smallest && !(from == 0 && to == bands->n))
		return -INFINITY;
	return (others > 0 ? others * log(others / all) : 0) + (converted > 0 ? converted * log(converted / all) : 0) - bands->price;
}

/*
 * The best way to merge with rates that rise (direction 1), fall (-1) or are
 * unconstrained (0). best[from, to] is that of the bands up to "to" whose
 * last begins at "from"; before[from, to] is where the one before it begins.
 */
static Merged
merge(const Bands *bands, int direction)
{
	int			n = bands->n;
	int			width = n + 1;
	double	   *best = palloc(width * width * sizeof(double));
	int		   *before = palloc(width * width * sizeof(int));
	Merged		merged = {.worth = -INFINITY};
	int			from = 0;
	int			to = n;

	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		for (int j = i + 1; j <= n; j++)
		{
			double		worth = worth_of(bands, i, j);

			best[i * width + j] = i == 0 ? worth : -INFINITY;
			before[i * width + j] = -1;
			if (worth == -INFINITY)
				continue;
			for (int k = 0; k < i; k++)
			{
				double		sum = best[k * width + i] + worth;

				if (sum > best[i * width + j] &&
					(direction == 0 || direction * (rate_of(bands, i, j) - rate_of(bands, k, i)) > 0))
				{
					best[i * width + j] = sum;
					before[i * width + j] = k;
				}
			}
		}
	}
	for (int i = 0; i < n; i++)
		if (best[i * width + n] > merged.worth)
		{
			merged.worth = best[i * width + n];
			from = i;
		}
	merged.begins = palloc(n * sizeof(int));
	while (from >= 0)
	{
		int			previous = before[from * width + to];

		merged.begins[merged.n++] = from;	/* the last band first */
		to = from;
		from = previous;
	}
	return merged;
}

/* (fine bands as {rows without a conversion, with one, lower border}) -> fewer bands, in the same form */
Datum
merge_bands(PG_FUNCTION_ARGS)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(0);
	const double *fine;
	Bands		bands = {0};
	double		n;
	double		alone;
	Merged		free;
	Merged		rising;
	Merged		falling;
	Merged		chosen;
	Datum		(*values)[3];
	int			sizes[2];
	int			lower[2] = {1, 1};

	if (ARR_NDIM(array) != 2 || ARR_DIMS(array)[1] != 3 || ARR_DIMS(array)[0] > MOST_BANDS || ARR_HASNULL(array))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid fine bands"),
				 errdetail("They are at most %d rows of three numbers, none of them NULL.", MOST_BANDS)));
	fine = (const double *) ARR_DATA_PTR(array);
	bands.n = ARR_DIMS(array)[0];
	for (int outcome = 0; outcome < 2; outcome++)
		bands.rows[outcome] = palloc0((bands.n + 1) * sizeof(double));
	for (int i = 0; i < bands.n; i++)
	{
		if (!(fine[i * 3] >= 0 && fine[i * 3 + 1] >= 0 && fine[i * 3] + fine[i * 3 + 1] > 0))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("invalid fine bands"),
					 errdetail("Band %d has no rows.", i + 1)));
		for (int outcome = 0; outcome < 2; outcome++)
			bands.rows[outcome][i + 1] = bands.rows[outcome][i] + fine[i * 3 + outcome];
	}
	n = bands.rows[0][bands.n] + bands.rows[1][bands.n];
	bands.smallest = Max(FEWEST_ROWS, SMALLEST_SHARE * n);
	bands.price = log(n) / 2;

	alone = worth_of(&bands, 0, bands.n);
	free = merge(&bands, 0);
	rising = merge(&bands, 1);
	falling = merge(&bands, -1);
	chosen = rising.worth >= falling.worth ? rising : falling;
	if (chosen.worth - alone < MONOTONE_KEEPS * (free.worth - alone))
		chosen = free;

	values = palloc(chosen.n * sizeof(*values));
	for (int i = 0; i < chosen.n; i++)
	{
		int			from = chosen.begins[chosen.n - 1 - i];
		int			to = i + 1 < chosen.n ? chosen.begins[chosen.n - 2 - i] : bands.n;

		values[i][0] = Float8GetDatum(rows_in(&bands, 0, from, to));
		values[i][1] = Float8GetDatum(rows_in(&bands, 1, from, to));
		values[i][2] = Float8GetDatum(fine[from * 3 + 2]);
	}
	sizes[0] = chosen.n;
	sizes[1] = 3;
	PG_RETURN_ARRAYTYPE_P(construct_md_array(&values[0][0], NULL, 2, sizes, lower,
											 FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}
