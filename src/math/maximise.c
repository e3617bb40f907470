/*
 * maximise.c: the maximum of a log likelihood, by Newton's method.
 *
 * All parameters are positive, so the search works on their logarithms. This makes
 * it independent of the units of the data. A step solves
 * (H + damping · I) step = gradient, where H is the observed information. The
 * damping is as large as needed to make the matrix positive definite and the
 * likelihood rise (Levenberg and Marquardt), and zero near the maximum. The search
 * ends when a full step would be a tiny part of the standard errors.
 *
 * A likelihood may have no maximum, but approach a limit as parameters go to zero
 * or infinity, for example if customers do not differ in some respect. The limit
 * is a valid model. It has been reached if the likelihood is flat and a full step
 * would still be long, or does not exist; then there are no standard errors.
 */
#include "math/maximise.h"

#include "math/cholesky.h"

#include <math.h>

#define MAX_STEPS 500
#define LONGEST_STEP 2.0		/* of a logarithm */
#define FARTHEST 30.0			/* from the start */
#define FLAT 1e-3				/* slope by a logarithm, below which a step's gain is no evidence */
#define FLAT_EACH 1e-7			/* the same per observation; with very many, rounding alone causes as much */
#define LONG 0.5				/* step of a logarithm */
#define DECREMENT 1e-12			/* the square of a step, in standard errors */

/* The log likelihood, with its gradient and information by the logarithms of the parameters. */
static double
by_logarithms(LogLikelihood likelihood, const void *data, int n, const double *parameters,
			  double *gradient, double *information)
{
	double		hessian[MAX_PARAMETERS][MAX_PARAMETERS] = {{0}};
	double		result;

	memset(gradient, 0, n * sizeof(double));
	result = likelihood(parameters, data, gradient, hessian);
	for (int i = 0; i < n; i++)
	{
		gradient[i] *= parameters[i];
		for (int j = 0; j <= i; j++)
			information[i * n + j] = -hessian[i][j] * parameters[i] * parameters[j];
		information[i * n + i] -= gradient[i];
	}
	return result;
}

/* Compute them from the decomposed information by the logarithms; false if an error is not finite. */
static bool
find_standard_errors(Fit *fit, const double *factor, int n)
{
	for (int i = 0; i < n; i++)
	{
		double		column[MAX_PARAMETERS] = {0};

		column[i] = 1;
		cholesky_solve(factor, n, column);
		/* delta method: the error of a logarithm is the relative error of the parameter */
		fit->standard_errors[i] = fit->parameters[i] * sqrt(column[i]);
		if (!isfinite(fit->standard_errors[i]))
			return false;
	}
	return true;
}

/* Whether the parameters are farther from the start than any meaningful ones. */
static bool
is_far(const double *at, const double *start, int n)
{
	for (int i = 0; i < n; i++)
		if (!(fabs(log(at[i] / start[i])) < FARTHEST))
			return true;
	return false;
}

/* Search from one starting point. */
static bool
climb(LogLikelihood likelihood, const void *data, double observations, int n, const double *start, Fit *fit)
{
	double	   *at = fit->parameters;
	double		gradient[MAX_PARAMETERS];
	double		information[MAX_PARAMETERS * MAX_PARAMETERS];
	double		damping = 0;
	double		flat_slope = Max(FLAT, FLAT_EACH * observations);

	memcpy(at, start, n * sizeof(double));
	fit->at_limit = false;
	fit->log_likelihood = by_logarithms(likelihood, data, n, at, gradient, information);
	for (int step = 0; step < MAX_STEPS; step++)
	{
		double		factor[MAX_PARAMETERS * MAX_PARAMETERS];
		double		move[MAX_PARAMETERS];
		double		tried[MAX_PARAMETERS];
		double		tried_gradient[MAX_PARAMETERS];
		double		tried_information[MAX_PARAMETERS * MAX_PARAMETERS];
		double		tried_likelihood;
		double		scale = 0;
		double		longest = 0;
		double		decrement = 0;
		bool		flat = true;

		CHECK_FOR_INTERRUPTS();
		memcpy(factor, information, n * n * sizeof(double));
		for (int i = 0; i < n; i++)
		{
			scale = Max(scale, fabs(information[i * n + i]));
			flat = flat && fabs(gradient[i]) < flat_slope;
		}
		if (flat)
			damping = 0;
		for (int i = 0; i < n; i++)
			factor[i * n + i] += damping;
		if (!cholesky(factor, n))
		{
			if (flat)
				return fit->at_limit = isfinite(fit->log_likelihood);
			if (!isfinite(scale) || damping > 1e6 * scale)
				return false;
			damping = Max(4 * damping, 1e-4 * scale);
			continue;
		}
		memcpy(move, gradient, n * sizeof(double));
		cholesky_solve(factor, n, move);
		for (int i = 0; i < n; i++)
		{
			longest = Max(longest, fabs(move[i]));
			decrement += move[i] * gradient[i];
		}
		if (flat && longest > LONG)
			return fit->at_limit = isfinite(fit->log_likelihood);

		if (damping == 0 && decrement < DECREMENT)
			return find_standard_errors(fit, factor, n) && isfinite(fit->log_likelihood);

		for (int i = 0; i < n; i++)
			tried[i] = at[i] * exp(longest > LONGEST_STEP ? move[i] * LONGEST_STEP / longest : move[i]);
		tried_likelihood = by_logarithms(likelihood, data, n, tried, tried_gradient, tried_information);

		/* rounding may hide the gain of a small step */
		if (tried_likelihood >= fit->log_likelihood - (flat ? flat_slope : 1e-12 * fabs(fit->log_likelihood)))
		{
			memcpy(at, tried, n * sizeof(double));
			memcpy(gradient, tried_gradient, n * sizeof(double));
			memcpy(information, tried_information, n * n * sizeof(double));
			fit->log_likelihood = tried_likelihood;
			damping = damping > 1e-6 * scale ? damping / 10 : 0;
			if (is_far(at, start, n))
				return false;
		}
		else if (flat)
			return false;
		else
			damping = Max(4 * damping, 1e-4 * scale);
	}
	return false;
}

bool
maximise(LogLikelihood likelihood, const void *data, double observations, int n,
		 const double starts[][MAX_PARAMETERS], int nstarts, Fit *fit)
{
	bool		found = false;

	for (int i = 0; i < nstarts; i++)
	{
		Fit			this = {0};

		if (!climb(likelihood, data, observations, n, starts[i], &this))
		{
			if (!found)
				*fit = this;	/* to report where the search ended */
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
