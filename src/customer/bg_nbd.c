/*
 * bg_nbd.c: the BG/NBD model of repeat purchases.
 *
 * P. S. Fader, B. G. S. Hardie, K. L. Lee, "Counting Your Customers" the Easy
 * Way, Marketing Science 24 (2005) 275-284. A customer who is alive buys at
 * random at a rate lambda, and drops out after any repeat purchase with
 * probability p. Across customers, lambda is Gamma(r, alpha) and p is Beta(a,
 * b). The data on a customer are x repeat purchases, the time t_x of the last
 * of them, and the time T since the first purchase.
 */
#include "customer/clv.h"

#include <float.h>
#include <math.h>

#define NEGLIGIBLE 40.0			/* terms smaller by exp of this are negligible */
#define MOST_TERMS 100000		/* of a sum, or points on one side of an integral: a few hundred are enough */
#define NARROW 1e-7				/* a peak width whose square is lost in rounding */

/* ---------- fitting ---------- */

/*
 * Rising factorial of v: ln(Gamma(v + x) / Gamma(v)) with its first two
 * derivatives, added up as x grows. The sum keeps its digits if v is large;
 * the difference of two lgamma() would not.
 */
typedef struct Rising
{
	double		v;
	double		logarithm;
	double		first;
	double		second;
} Rising;

static inline void
rise(Rising *rising, int32 i)
{
	double		term = rising->v + i;

	rising->logarithm += log(term);
	rising->first += 1 / term;
	rising->second -= 1 / (term * term);
}

/*
 * ln(1 + exp(odds)), and the share of exp(odds) in 1 + exp(odds), without the
 * loss of digits that exp() of a large number causes.
 */
static inline double
log_of_sum(double odds, double *share)
{
	double		smaller = exp(-fabs(odds));

	*share = odds > 0 ? 1 / (1 + smaller) : smaller / (1 + smaller);
	return Max(odds, 0) + log1p(smaller);
}

/*
 * Equation (6), as a sum of logarithms:
 *
 *     ln L = A1 + A2 + ln(exp(A3) + [x > 0] exp(A4))
 *     A1 = ln Gamma(r + x) / Gamma(r) + r ln alpha
 *     A2 = ln Gamma(b + x) / Gamma(b) - ln Gamma(a + b + x) / Gamma(a + b)
 *     A3 = -(r + x) ln(alpha + T)
 *     A4 = ln a - ln(b + x - 1) - (r + x) ln(alpha + t_x)
 *
 * (Fader and Hardie, Overcoming the BG/NBD Model's #NUM! Error Problem, 2013).
 */
static double
log_likelihood(const double *parameters, const void *data, double *gradient, double hessian[][MAX_PARAMETERS])
{
	const Customers *all = data;
	double		r = parameters[0];
	double		alpha = parameters[1];
	double		a = parameters[2];
	double		b = parameters[3];
	double		log_alpha = log(alpha);
	double		log_a = log(a);
	Rising		of_r = {.v = r};
	Rising		of_b = {.v = b};
	Rising		of_ab = {.v = a + b};
	int32		x = 0;
	double		sum = 0;

	for (uint32 i = 0; i < all->n; i++)
	{
		const Customer *c = &all->customers[i];
		double		n = (double) c->customers;
		double		at_T = alpha + c->age / all->unit;
		double		log_T = log(at_T);
		double		dead = 0;	/* the share of A4 in the sum of both */
		double		more = 0;	/* ln of the sum, less A3 */
		double		by_t = 0;	/* 1 / (alpha + t_x) */
		double		log_t = 0;
		double		rx = r + c->repeats;
		double		rate;		/* 1 / (alpha + T or t_x), weighted by the shares */

		if (i % 4096 == 0)
			CHECK_FOR_INTERRUPTS();
		for (; x < c->repeats; x++)
		{
			if (x % 4096 == 4095)
				CHECK_FOR_INTERRUPTS();
			rise(&of_r, x);
			rise(&of_b, x);
			rise(&of_ab, x);
		}

		if (x > 0)
		{
			double		at_t = alpha + c->last / all->unit;

			log_t = log(at_t);
			by_t = 1 / at_t;
			more = log_of_sum(log_a - log(b + (x - 1)) + rx * (log_T - log_t), &dead);
		}
		sum += n * (of_r.logarithm + r * log_alpha + of_b.logarithm - of_ab.logarithm - rx * log_T + more);

		rate = (1 - dead) / at_T + dead * by_t;
		gradient[0] += n * (of_r.first + log_alpha - (1 - dead) * log_T - dead * log_t);
		gradient[1] += n * (r / alpha - rx * rate);
		gradient[2] += n * (dead / a - of_ab.first);
		gradient[3] += n * (of_b.first - of_ab.first);

		hessian[0][0] += n * of_r.second;
		hessian[1][0] += n * (1 / alpha - rate);
		hessian[1][1] += n * (rx * ((1 - dead) / (at_T * at_T) + dead * by_t * by_t) - r / (alpha * alpha));
		hessian[2][2] -= n * (of_ab.second + dead / (a * a));
		hessian[3][2] -= n * of_ab.second;
		hessian[3][3] += n * (of_b.second - of_ab.second);
		if (x > 0)
		{
			/* A4' - A3': the curvature of the logarithm of the sum depends on it */
			const double bend[4] = {log_T - log_t, rx * (1 / at_T - by_t), 1 / a, -1 / (b + (x - 1))};

			gradient[3] += n * dead * bend[3];
			hessian[3][3] += n * dead * bend[3] * bend[3];
			for (int j = 0; j < 4; j++)
				for (int k = 0; k <= j; k++)
					hessian[j][k] += n * dead * (1 - dead) * bend[j] * bend[k];
		}
	}
	return sum;
}

/* Fit r, alpha, a, b; false if there is no maximum. */
bool
bg_nbd_fit(const Customers *customers, Fit *fit)
{
	double		repeats = 0;
	double		time = 0;
	double		mean;

	for (uint32 i = 0; i < customers->n; i++)
	{
		repeats += (double) customers->customers[i].customers * customers->customers[i].repeats;
		time += (double) customers->customers[i].customers * customers->customers[i].age / customers->unit;
	}

	/* start from the observed repeat rate, with different spreads of the customers' rates */
	mean = time / repeats;
	return maximise(log_likelihood, customers, repeats, 4,
					(const double[][MAX_PARAMETERS]) {{1, mean, 1, 3}, {0.2, 0.2 * mean, 1, 3}, {5, 5 * mean, 0.3, 0.3}}, 3, fit);
}

/* ---------- forecasting ---------- */

/*
 * The probability that a customer is still alive (Fader and Hardie, Computing
 * P(alive) Using the BG/NBD Model, 2008). Without a repeat purchase the
 * customer had no opportunity to drop out.
 */
double
bg_nbd_alive(const BgNbd *m, double x, double t_x, double T)
{
	if (x == 0)
		return 1;
	return 1 / (1 + exp(log(m->a) - log(m->b + (x - 1)) + (m->r + x) * log((m->alpha + T) / (m->alpha + t_x))));
}

/*
 * The expected number of purchases by T + t of a customer who is alive at T:
 * equation (10) without its denominator, which is the probability above.
 *
 * Its Gaussian hypergeometric function is not used: it loses its digits if a is
 * near 1, where the equation is 0 / 0. If no customer dropped out, the number of
 * purchases K would be negative binomial, with shape s = r + x and odds
 * y = t / (alpha + T). Purchase j + 1 takes place if the customer did not drop
 * out after one of the j before it, which has the probability
 * q(j) = prod (b + x + i) / (a + b + x + i), i < j. So the expected number is
 *
 *     sum over k > 0 of P(K = k) · (q(0) + … + q(k - 1))
 *
 * in which all terms are positive.
 */
static double
expected_by_sum(double s, double y, double a, double b)
{
	double		z = y / (1 + y);
	double		probability = exp(-s * log1p(y));	/* of k purchases */
	double		stays = 1;		/* q(k - 1) */
	double		purchases = 1;	/* q(0) + … + q(k - 1) */
	double		sum = 0;

	for (int i = 1; i <= MOST_TERMS; i++)
	{
		double		k = i;
		double		term;
		double		ratio;

		CHECK_FOR_INTERRUPTS();
		probability *= z * (s + (k - 1)) / k;
		term = probability * purchases;
		sum += term;

		/* the remaining terms are less than a geometric series, once they decrease */
		ratio = Max(z, z * (s + k) / (k + 1)) * (k + 1) / k;
		if (ratio < 1 && term * ratio <= 1e-16 * sum * (1 - ratio))
			return sum;
		stays *= (b + (k - 1)) / (a + b + (k - 1));
		purchases += stays;
	}
	return NAN;
}

/* The same for a customer whose p is known: (1 - (1 + p y)^-s) / p. */
static double
expected_if_known(double s, double y, double p)
{
	return p < DBL_MIN ? s * y : -expm1(-s * log1p(p * y)) / p;
}

/*
 * The same by integration over p, for when the sum has too many terms: the mean
 * of the above, weighted by the density Beta(a, b) of p. With
 * v = ln(p / (1 - p)) the density is w = p^a (1 - p)^b without its constant. All
 * functions are smooth and decrease exponentially, so equidistant points give the
 * mean to full precision (the trapezoidal rule on the real line; L. N. Trefethen,
 * J. A. C. Weideman, SIAM Review 56 (2014) 385-458). The points go from the peak of w to
 * both sides. Where w decreases slowly, from some point on it is exp(a v) or
 * exp(-b v) and the other factor is constant, so the rest is a geometric series.
 * The range is finite, and a peak too narrow for the steps is treated as a
 * point. So there are few points, and their number has a limit.
 */
static double
expected_by_integral(double s, double y, double a, double b)
{
	double		width = sqrt(1 / a + 1 / b);	/* of the peak */
	double		step = Min(0.25, width / 2);
	double		from = -NEGLIGIBLE - log1p(b) - log1p(y * (1 + s));
	double		to = NEGLIGIBLE + log1p(a);
	double		peak = Max(from, Min(to, log(a) - log(b)));
	double		highest = 0;
	double		weights = 0;
	double		sum = 0;

	if (width < NARROW)
		return expected_if_known(s, y, 1 / (1 + b / a));

	for (int side = -1; side <= 1; side += 2)
	{
		bool		ended = false;

		for (double i = Max(side, 0); !ended; i++)
		{
			double		v = peak + side * i * step;
			double		ln_p = v < 0 ? v - log1p(exp(v)) : -log1p(exp(-v));
			double		ln_q = v < 0 ? -log1p(exp(v)) : -v - log1p(exp(-v));	/* of 1 - p */
			double		ln_w = a * ln_p + b * ln_q;
			double		w;

			CHECK_FOR_INTERRUPTS();
			if (i > MOST_TERMS)
				return NAN;
			if (side < 0 && i == 0)
				highest = ln_w;
			w = exp(ln_w - highest);
			if (side < 0 ? v <= from : v >= to)
			{
				w /= -expm1((side < 0 ? -a : -b) * step);
				ended = true;
			}
			else				/* to the left the other factor grows, but no faster than exp(-v) */
				ended = ln_w - highest + (side < 0 ? peak - v : 0) < -NEGLIGIBLE;
			weights += w;
			sum += w * expected_if_known(s, y, exp(ln_p));
		}
	}
	return sum / weights;
}

/* The same for the model, by the sum or the integral; infinite or NaN if the parameters are unreasonable. */
double
bg_nbd_expected(const BgNbd *m, double x, double T, double t)
{
	double		s = m->r + x;
	double		y = t / (m->alpha + T);

	if (!isfinite((1 + s) * y))
		return INFINITY;
	/* below this, the sum has a few hundred terms, the first above 1e-270 */
	return (s + 40) * y < 600 ? expected_by_sum(s, y, m->a, m->b + x) : expected_by_integral(s, y, m->a, m->b + x);
}

/*
 * The time within which half of the customers like this one, if alive, buy:
 * where (alpha + T)^s / (alpha + T + t)^s, with s = r + x, is one half.
 */
double
bg_nbd_median_wait(const BgNbd *m, double x, double T)
{
	return (m->alpha + T) * expm1(M_LN2 / (m->r + x));
}
