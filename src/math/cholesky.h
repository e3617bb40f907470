/*
 * cholesky.h: symmetric positive definite systems of equations.
 */
#ifndef LEADSCORE_CHOLESKY_H
#define LEADSCORE_CHOLESKY_H

#include "compat.h"

extern bool cholesky(double *h, int n);
extern void cholesky_solve(const double *l, int n, double *x);

#endif							/* LEADSCORE_CHOLESKY_H */
