/*
 * distribution.c: probabilities of the normal and Student's distribution.
 */
#include "compat.h"

#include <math.h>

PG_FUNCTION_INFO_V1(normal_tails);
PG_FUNCTION_INFO_V1(student_tails);
PG_FUNCTION_INFO_V1(student_bound);

#define MOST_TERMS 10000
#define TINY 1e-300				/* replaces a denominator of 0 */

/*
 * The incomplete beta function's continued fraction (Abramowitz and Stegun,
 * Handbook of Mathematical Functions, 26.5.8), evaluated from the front
 * (Lentz, Applied Optics 15, 1976). Converges quickly for x < (a + 1) / (a + b + 2).
 */
static double
beta_fraction(double a, double b, double x)
{
	double		c = 1;
	double		d = 1 - (a + b) * x / (a + 1);
	double		fraction;

	d = 1 / (fabs(d) < TINY ? TINY : d);
	fraction = d;
	for (int m = 1; m <= MOST_TERMS; m++)
	{
		double		even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
		double		odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
		double		factor;

		d = 1 + even * d;
		d = 1 / (fabs(d) < TINY ? TINY : d);
		c = 1 + even / c;
		c = fabs(c) < TINY ? TINY : c;
		fraction *= c * d;
		d = 1 + odd * d;
		d = 1 / (fabs(d) < TINY ? TINY : d);
		c = 1 + odd / c;
		c = fabs(c) < TINY ? TINY : c;
		factor = c * d;
		fraction *= factor;
		if (fabs(factor - 1) < 1e-16)
			break;
	}
	return fraction;
}

/* P(|T| > t) of Student's distribution: I_x(df / 2, 1 / 2) at x = df / (df + t²) (26.7.1). */
static double
tails_of_student(double t, double df)
{
	double		a = df / 2;
	double		x = df / (df + t * t);
	double		front;

	if (df > 1e7)				/* indistinguishable from normal; the logarithms of gamma functions would cancel */
		return erfc(t / sqrt(2));
	if (t == 0)
		return 1;
	if (isinf(t))
		return 0;
	/* ln(1 - x) and ln x from t itself: neither loses digits */
	front = exp(lgamma(a + 0.5) - lgamma(a) - lgamma(0.5) - a * log1p(t * t / df) - 0.5 * log1p(df / (t * t)));
	if (x < (a + 1) / (a + 2.5))
		return front * beta_fraction(a, 0.5, x) / a;
	return 1 - front * beta_fraction(0.5, a, t * t / (df + t * t)) / 0.5;
}

/* (z): P(|Z| > z) of the normal distribution */
Datum
normal_tails(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(erfc(fabs(PG_GETARG_FLOAT8(0)) / sqrt(2)));
}

/* (t, degrees of freedom): P(|T| > t); NULL without degrees of freedom */
Datum
student_tails(PG_FUNCTION_ARGS)
{
	double		t = PG_GETARG_FLOAT8(0);
	double		df = PG_GETARG_FLOAT8(1);

	if (isnan(t) || !(df > 0))
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(tails_of_student(fabs(t), df));
}

/* (probability, degrees of freedom): the t that |T| exceeds with that probability; NULL outside 0 to 1 */
Datum
student_bound(PG_FUNCTION_ARGS)
{
	double		p = PG_GETARG_FLOAT8(0);
	double		df = PG_GETARG_FLOAT8(1);
	double		low = 0;
	double		high = 1;

	if (!(p > 0 && p < 1) || !(df > 0))
		PG_RETURN_NULL();
	while (tails_of_student(high, df) > p && high < 1e300)
		high *= 2;
	for (int i = 0; i < 200 && high - low > 1e-15 * high; i++)
	{
		double		middle = (low + high) / 2;

		if (tails_of_student(middle, df) > p)
			low = middle;
		else
			high = middle;
	}
	PG_RETURN_FLOAT8((low + high) / 2);
}
