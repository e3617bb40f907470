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

/* What a fit came to. */
typedef struct Fit
{
	double		parameters[MAX_PARAMETERS];
	bool		at_limit;		/* the likelihood has no maximum, and rises to this; no standard errors */
	double		standard_errors[MAX_PARAMETERS];
	double		log_likelihood;
} Fit;

/*
 * Fit n positive parameters to so many observations, beginning at several places: at the next one only
 * if there was no maximum to be found. False if there is none at all; then the
 * parameters are those where a search has ended.
 */
extern bool maximise(LogLikelihood likelihood, const void *data, double observations, int n,
					 const double starts[][MAX_PARAMETERS], int nstarts, Fit *fit);

#endif							/* LEADSCORE_MAXIMISE_H */
