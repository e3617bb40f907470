/*
 * cholesky.c: Cholesky decomposition, for the Newton steps of fits.
 */
#include "math/cholesky.h"

#include <math.h>

/* Decompose the lower half of an n by n matrix in place, H = L L'; false if it is not positive definite. */
bool
cholesky(double *h, int n)
{
	for (int j = 0; j < n; j++)
	{
		double		pivot = h[j * n + j];

		CHECK_FOR_INTERRUPTS();
		for (int k = 0; k < j; k++)
			pivot -= h[j * n + k] * h[j * n + k];
		/* relative to the original value: rounding alone may leave as much */
		if (!(pivot > 1e-13 * h[j * n + j]) || !isfinite(pivot))
			return false;
		pivot = sqrt(pivot);
		h[j * n + j] = pivot;
		for (int i = j + 1; i < n; i++)
		{
			double		sum = h[i * n + j];

			for (int k = 0; k < j; k++)
				sum -= h[i * n + k] * h[j * n + k];
			h[i * n + j] = sum / pivot;
		}
	}
	return true;
}

/* Solve L L' x = b, in place. L is read along its lines in both directions, as it lies in memory. */
void
cholesky_solve(const double *l, int n, double *x)
{
	int			first = 0;

	/* what b begins with stays 0 at first, such as where it is a column of the identity */
	while (first < n && x[first] == 0)
		first++;
	for (int i = first; i < n; i++)
	{
		double		sum = x[i];

		for (int k = first; k < i; k++)
			sum -= l[i * n + k] * x[k];
		x[i] = sum / l[i * n + i];
	}
	for (int i = n - 1; i >= 0; i--)
	{
		double		solved = x[i] / l[i * n + i];

		x[i] = solved;
		for (int k = 0; k < i; k++)
			x[k] -= l[i * n + k] * solved;
	}
}
