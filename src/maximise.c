/*
 * maximise.c: the maximum of a log likelihood, by Newton's method.
 *
 * All parameters are positive, so the search goes by their logarithms, where
 * it does not matter in which units the data are. A step solves
 * (H + damping · I) step = gradient, with H the observed information: with the
 * damping that it takes to make that positive definite and the likelihood rise
 * (Levenberg and Marquardt), and with none near the maximum. The search has
 * ended when a full step would be a tiny part of the standard errors.
 *
 * A likelihood may have no maximum, but rise to a limit, as parameters go to
 * zero or without end: where customers do not differ in something, say. The
 * limit is as good a model as any. It has been reached where the likelihood is
 * flat and a full step would still be long, or is not to be had; then there are
 * no standard errors.
 */
#include "maximise.h"

#include <math.h>

#define MAX_STEPS 500
#define LONGEST_STEP 2.0		/* of a logarithm */
#define FARTHEST 30.0			/* from the start */
#define FLAT 1e-3				/* slope by a logarithm */
#define LONG 0.5				/* step of a logarithm */
#define DECREMENT 1e-12			/* the square of a step, in standard errors */

typedef double Matrix[MAX_PARAMETERS][MAX_PARAMETERS];

/* Cholesky's factor of a matrix, in its lower triangle; false if it is not positive definite. */
static bool
factorise(int n, Matrix a)
{
	for (int i = 0; i < n; i++)
		for (int j = 0; j <= i; j++)
		{
			double		sum = a[i][j];

			for (int k = 0; k < j; k++)
				sum -= a[i][k] * a[j][k];
			if (i != j)
				a[i][j] = sum / a[j][j];
			else if (sum > 0)
				a[i][i] = sqrt(sum);
			else
				return false;	/* not a number, too */
		}
	return true;
}

/* Solve (factor · its transpose) x = b, in place. */
static void
solve(int n, Matrix factor, double *x)
{
	for (int i = 0; i < n; i++)
	{
		for (int k = 0; k < i; k++)
			x[i] -= factor[i][k] * x[k];
		x[i] /= factor[i][i];
	}
	for (int i = n - 1; i >= 0; i--)
	{
		for (int k = i + 1; k < n; k++)
			x[i] -= factor[k][i] * x[k];
		x[i] /= factor[i][i];
	}
}

/* The log likelihood with its gradient and information, by the logarithms. */
static double
by_logarithms(LogLikelihood likelihood, const void *data, int n, const double *parameters,
			  double *gradient, Matrix information)
{
	Matrix		hessian = {{0}};
	double		result;

	memset(gradient, 0, n * sizeof(double));
	result = likelihood(parameters, data, gradient, hessian);
	for (int i = 0; i < n; i++)
	{
		gradient[i] *= parameters[i];
		for (int j = 0; j <= i; j++)
			information[i][j] = information[j][i] = -hessian[i][j] * parameters[i] * parameters[j];
		information[i][i] -= gradient[i];
	}
	return result;
}

/* Search from one place on. */
static bool
climb(LogLikelihood likelihood, const void *data, int n, const double *start, Fit *fit)
{
	double	   *at = fit->parameters;
	double		gradient[MAX_PARAMETERS];
	Matrix		information;
	double		damping = 0;

	memcpy(at, start, n * sizeof(double));
	fit->at_limit = false;
	fit->log_likelihood = by_logarithms(likelihood, data, n, at, gradient, information);
	for (int step = 0; step < MAX_STEPS; step++)
	{
		Matrix		factor;
		double		move[MAX_PARAMETERS];
		double		tried[MAX_PARAMETERS];
		double		tried_gradient[MAX_PARAMETERS];
		Matrix		tried_information;
		double		tried_likelihood;
		double		scale = 0;
		double		longest = 0;
		double		decrement = 0;
		bool		flat = true;

		CHECK_FOR_INTERRUPTS();
		memcpy(factor, information, sizeof(Matrix));
		for (int i = 0; i < n; i++)
		{
			scale = Max(scale, fabs(information[i][i]));
			flat = flat && fabs(gradient[i]) < FLAT;
		}
		if (flat)
			damping = 0;
		for (int i = 0; i < n; i++)
			factor[i][i] += damping;
		if (!factorise(n, factor))
		{
			if (flat)
				return fit->at_limit = true;
			if (!isfinite(scale) || damping > 1e6 * scale)
				return false;
			damping = Max(4 * damping, 1e-4 * scale);
			continue;
		}
		memcpy(move, gradient, n * sizeof(double));
		solve(n, factor, move);
		for (int i = 0; i < n; i++)
		{
			longest = Max(longest, fabs(move[i]));
			decrement += move[i] * gradient[i];
		}
		if (flat && longest > LONG)
			return fit->at_limit = true;

		if (damping == 0 && decrement < DECREMENT)
		{
			for (int i = 0; i < n; i++)
			{
				double		column[MAX_PARAMETERS] = {0};

				column[i] = 1;
				solve(n, factor, column);
				/* the delta method: a logarithm's error is the parameter's, relative to it */
				fit->standard_errors[i] = at[i] * sqrt(column[i]);
				if (!isfinite(fit->standard_errors[i]))
					return false;
			}
			return isfinite(fit->log_likelihood);
		}

		for (int i = 0; i < n; i++)
			tried[i] = at[i] * exp(longest > LONGEST_STEP ? move[i] * LONGEST_STEP / longest : move[i]);
		tried_likelihood = by_logarithms(likelihood, data, n, tried, tried_gradient, tried_information);

		/* what a small step gains may drown in rounding, and where it is flat steps are small */
		if (flat || tried_likelihood >= fit->log_likelihood - 1e-12 * fabs(fit->log_likelihood))
		{
			memcpy(at, tried, n * sizeof(double));
			memcpy(gradient, tried_gradient, n * sizeof(double));
			memcpy(information, tried_information, sizeof(Matrix));
			fit->log_likelihood = tried_likelihood;
			damping = damping > 1e-6 * scale ? damping / 10 : 0;
			for (int i = 0; i < n; i++)
				if (!(fabs(log(at[i] / start[i])) < FARTHEST))
					return false;
		}
		else
			damping = Max(4 * damping, 1e-4 * scale);
	}
	return false;
}

bool
maximise(LogLikelihood likelihood, const void *data, int n, const double starts[][MAX_PARAMETERS], int nstarts, Fit *fit)
{
	bool		found = false;

	for (int i = 0; i < nstarts; i++)
	{
		Fit			this;

		if (!climb(likelihood, data, n, starts[i], &this))
		{
			if (!found)
				*fit = this;	/* to say where the search ended */
			continue;
		}
		if (!found || this.log_likelihood > fit->log_likelihood)
			*fit = this;
		found = true;
		if (!this.at_limit)
			break;
	}
	return found;
}
