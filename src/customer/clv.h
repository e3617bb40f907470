/*
 * clv.h: the purchases of customers, and the two models of them.
 *
 * A customer is a summary of a timeline: a first purchase, which starts the
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
	double		value;			/* of all repeats */
	int64		customers;		/* number of identical customers */
} Customer;

/* Customers to fit, by ascending repeats. */
typedef struct Customers
{
	const Customer *customers;
	uint32		n;
	double		unit;			/* of time, in days */
} Customers;

/* BG/NBD: when customers buy, and whether they are still alive. */
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

/* Gamma-Gamma: the value of a purchase. */
typedef struct GammaGamma
{
	double		p;
	double		q;
	double		gamma;
} GammaGamma;

extern bool gamma_gamma_fit(const Customers *customers, Fit *fit);
extern double gamma_gamma_expected(const GammaGamma *model, double x, double value);

#endif							/* LEADSCORE_CLV_H */
