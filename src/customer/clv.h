/*
 * clv.h: what customers buy, and the two models of it.
 *
 * A customer is what remains of a timeline: a first purchase, that starts the
 * clock, and what came after it. A purchase is a day of a time zone with at
 * least one occurrence of the signal.
 */
#ifndef LEADSCORE_CLV_H
#define LEADSCORE_CLV_H

#include "math/maximise.h"

typedef struct Customer
{
	int32		repeats;		/* x: purchases after the first */
	int32		last;			/* t_x: days from the first to the last of them, or 0 */
	int32		age;			/* T: days from the first purchase to the instant */
	double		value;			/* of the repeats together */
	int64		customers;		/* how many are alike */
} Customer;

/* Customers to be fitted, by ascending repeats. */
typedef struct Customers
{
	const Customer *customers;
	uint32		n;
	double		unit;			/* of time, in days */
} Customers;

/* BG/NBD: when they buy, and whether they still do. */
typedef struct BgNbd
{
	double		r;
	double		alpha;
	double		a;
	double		b;
} BgNbd;

extern bool bg_nbd_fit(const Customers *customers, Fit *fit);
extern double bg_nbd_alive(const BgNbd *model, double x, double t_x, double T);
extern double bg_nbd_expected(const BgNbd *model, double x, double T, double t);
extern double bg_nbd_median_wait(const BgNbd *model, double x, double T);

/* Gamma-Gamma: what a purchase is worth. */
typedef struct GammaGamma
{
	double		p;
	double		q;
	double		gamma;
} GammaGamma;

extern bool gamma_gamma_fit(const Customers *customers, Fit *fit);
extern double gamma_gamma_expected(const GammaGamma *model, double x, double value);

#endif							/* LEADSCORE_CLV_H */
