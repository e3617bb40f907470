/*
 * gamma_gamma.c: the Gamma-Gamma model of the value of a purchase.
 *
 * P. S. Fader, B. G. S. Hardie, The Gamma-Gamma Model of Monetary Value, 2013.
 * The value of a purchase is Gamma(p, nu); across customers, nu is Gamma(q,
 * gamma). The data on a customer are the mean value z of x purchases. The
 * model assumes that it is independent of how often the customer buys.
 */
#include "customer/clv.h"

#include <math.h>

/* ---------- fitting ---------- */

/* The first and second derivative of lgamma(), for v > 0. */
static void
digamma(double v, double *first, double *second)
{
	double		w;

	*first = *second = 0;
	while (v < 10)
	{
		*first -= 1 / v;
		*second += 1 / (v * v);
		v += 1;
	}
	/* Abramowitz and Stegun, 6.3.18 and 6.4.12 */
	w = 1 / (v * v);
	*first += log(v) - 0.5 / v -
		w * (1.0 / 12 - w * (1.0 / 120 - w * (1.0 / 252 - w * (1.0 / 240 - w * (1.0 / 132 - w * (691.0 / 32760 - w / 12))))));
	*second += 1 / v + w / 2 +
		w / v * (1.0 / 6 - w * (1.0 / 30 - w * (1.0 / 42 - w * (1.0 / 30 - w * (5.0 / 66 - w * (691.0 / 2730 - w * 7.0 / 6))))));
}

/* Whether a customer is used: it has a mean value above zero. */
static inline bool
has_value(const Customer *c)
{
	return c->repeats > 0 && c->value > 0;
}

/*
 * Equation (1a):
 *
 *     ln L = ln Gamma(px + q) - ln Gamma(px) - ln Gamma(q)
 *            + q ln gamma + (px - 1) ln z + px ln x - (px + q) ln(gamma + xz)
 *
 * xz is the sum of the values. Functions of x alone are computed once for each x.
 */
static double
log_likelihood(const double *parameters, const void *data, double *gradient, double hessian[][MAX_PARAMETERS])
{
	const Customers *all = data;
	double		p = parameters[0];
	double		q = parameters[1];
	double		gamma = parameters[2];
	int32		of = 0;			/* the x of the values below */
	double		logarithm = 0;
	double		psi_pxq = 0;
	double		psi_px = 0;
	double		psi_q;
	double		psi2_pxq = 0;
	double		psi2_px = 0;
	double		psi2_q;
	double		lgamma_q = lgamma(q);
	double		sum = 0;

	digamma(q, &psi_q, &psi2_q);
	for (uint32 i = 0; i < all->n; i++)
	{
		const Customer *c = &all->customers[i];
		double		n = (double) c->customers;
		double		x = c->repeats;
		double		both;		/* gamma + xz */
		double		log_both;
		double		log_value;

		if (i % 4096 == 0)
			CHECK_FOR_INTERRUPTS();
		if (!has_value(c))
			continue;
		if (of != c->repeats)
		{
			of = c->repeats;
			logarithm = lgamma(p * x + q) - lgamma(p * x) - lgamma_q + q * log(gamma) + log(x);
			digamma(p * x + q, &psi_pxq, &psi2_pxq);
			digamma(p * x, &psi_px, &psi2_px);
		}
		both = gamma + c->value;
		log_both = log(both);
		log_value = log(c->value);

		/* (px - 1) ln z + px ln x = (px - 1) ln(xz) + ln x */
		sum += n * (logarithm + (p * x - 1) * log_value - (p * x + q) * log_both);
		gradient[0] += n * x * (psi_pxq - psi_px + log_value - log_both);
		gradient[1] += n * (psi_pxq - psi_q + log(gamma) - log_both);
		gradient[2] += n * (q / gamma - (p * x + q) / both);
		hessian[0][0] += n * x * x * (psi2_pxq - psi2_px);
		hessian[1][0] += n * x * psi2_pxq;
		hessian[1][1] += n * (psi2_pxq - psi2_q);
		hessian[2][0] -= n * x / both;
		hessian[2][1] += n * (1 / gamma - 1 / both);
		hessian[2][2] += n * ((p * x + q) / (both * both) - q / (gamma * gamma));
	}
	return sum;
}

/* Fit p, q, gamma; false if there is no maximum. */
bool
gamma_gamma_fit(const Customers *customers, Fit *fit)
{
	double		value = 0;
	double		repeats = 0;
	double		mean;

	for (uint32 i = 0; i < customers->n; i++)
		if (has_value(&customers->customers[i]))
		{
			value += (double) customers->customers[i].customers * customers->customers[i].value;
			repeats += (double) customers->customers[i].customers * customers->customers[i].repeats;
		}

	/* p gamma / (q - 1) is the mean value */
	mean = value / repeats;
	return maximise(log_likelihood, customers, repeats, 3,
					(const double[][MAX_PARAMETERS]) {{1, 3, 2 * mean}, {5, 3, 0.4 * mean}, {25, 1.5, 0.02 * mean}}, 3, fit);
}

/* ---------- forecasting ---------- */

/*
 * The expected average value of a purchase of a customer who has spent
 * "value" in x repeat purchases (equation 5); NaN if it has no expectation.
 */
double
gamma_gamma_expected(const GammaGamma *m, double x, double value)
{
	double		shape;

	if (!(value > 0))
		x = value = 0;
	shape = m->p * x + m->q - 1;
	return shape > 0 ? m->p * (m->gamma + value) / shape : NAN;
}
