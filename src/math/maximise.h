/*
 * maximise.h: the maximum of a log likelihood.
 */
#ifndef LEADSCORE_MAXIMISE_H
#define LEADSCORE_MAXIMISE_H

#include "compat.h"

#define MAX_PARAMETERS 4

/*
 * The log likelihood at some parameters, with its gradient and its second
 * derivatives.
 */
typedef double (*LogLikelihood) (const double *parameters, const void *data,
								 double *gradient, double hessian[][MAX_PARAMETERS]);

/* The result of a fit. */
typedef struct Fit
{
	double		parameters[MAX_PARAMETERS];
	bool		at_limit;		/* the likelihood has no maximum but approaches this; no standard errors */
	double		standard_errors[MAX_PARAMETERS];
	double		log_likelihood;
} Fit;

/*
 * Fit n positive parameters to so many observations. Tries several starting points, the next one
 * only if no maximum was found from those before. False if none leads to a maximum or a limit;
 * the parameters are then those at which a search ended.
 */
extern bool maximise(LogLikelihood likelihood, const void *data, double observations, int n,
					 const double starts[][MAX_PARAMETERS], int nstarts, Fit *fit);

#endif							/* LEADSCORE_MAXIMISE_H */
