\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
\set SHOW_CONTEXT never
-- Customer value: which purchases are counted, what makes no sense, and what is left out. The figures themselves are
-- tested against other methods and real customers in test/t/080_clv.pl.

INSERT INTO leadscore.signal (signal, kind) VALUES ('browse', 'browse'), ('purchase', 'purchase');
INSERT INTO leadscore.signal (signal, subject, match) VALUES ('german', 'profile', '{"country": "DE"}');

-- 400 customers: each buys at random, at a rate of one's own, and leaves at random after a purchase; the values differ
-- between customers and within them
CREATE FUNCTION chance(c int, k int) RETURNS float8
	LANGUAGE sql
BEGIN ATOMIC
	SELECT (('x' || substr(md5(c || '/' || k), 1, 8))::bit(32)::bigint + 0.5) / 4294967296;
END;
CREATE TEMP TABLE customer AS
SELECT c, timeline_sum(format('{1: %1$sZ 3; 2: %1$sZ 1 %2$s}', to_char(timestamp '2023-01-01 10:00' + day * interval '1 day', 'YYYY-MM-DD"T"HH24'),
	round((40 * ln(chance(c, 5000 + k) * chance(c, 9000 + k)) / ln(chance(c, -3) * chance(c, -4)))::numeric, 2))::timeline) AS timeline
FROM (SELECT c, k, (c % 100 + sum(CASE WHEN k > 0 THEN ln(chance(c, k)) / ln(chance(c, -1)) * 20 ELSE 0 END) OVER w)::int AS day,
		bool_and(k = 0 OR chance(c, 1000 + k) > chance(c, -2) ^ 2) OVER (w ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS alive
	FROM generate_series(1, 400) c, generate_series(0, 60) k WINDOW w AS (PARTITION BY c ORDER BY k)) b
WHERE day <= 400 AND alive IS NOT FALSE
GROUP BY c;
CREATE FUNCTION rounded(params jsonb) RETURNS jsonb
	LANGUAGE sql
BEGIN ATOMIC
	SELECT jsonb_object_agg(model.key, CASE jsonb_typeof(model.value)
		WHEN 'object' THEN (SELECT jsonb_object_agg(p.key, round(p.value::numeric, 3)) FROM jsonb_each(model.value - 'standard_errors') p) ELSE model.value END)
	FROM jsonb_each(params) model;
END;
SELECT rounded(fit_clv(timeline, 2, '2024-02-05 13:00Z', '7 days')) FROM customer;

-- ---------- which purchases are counted ----------

-- hours of one UTC day are one purchase (3rd: 1 + 1, 4th: none are left, 5th: a value alone), other signals are none, and so is what comes after the hour
CREATE TEMP TABLE counted AS
SELECT '{1: 2023-12-01T00Z 1; 2: 2024-01-01T09Z 2 30, 2024-01-03T10Z 1 4, 2024-01-03T23Z 1 6.5, 2024-01-04T01Z 1 7, 2024-01-04T02Z -1 -7, 2024-01-05T02Z 0 99, 2024-01-11T12Z 1 20; 3: 2024-01-20T00Z 1}'::timeline AS t,
	'{"signal_id": 2, "unit": "1 day", "bg_nbd": {"r": 1, "alpha": 1, "a": 1, "b": 1}, "gamma_gamma": {"p": 2, "q": 3, "gamma": 10}}'::jsonb AS params;
-- 2 repeats, x = 2, T = 10 days, worth 30.5: 2 (10 + 30.5) / (2 · 2 + 3 - 1) = 13.5. As t_x = T, alive is 1 / (1 + a / (b + x - 1)) = 2/3.
-- Next: (1 + 10)(2^(1/3) - 1) = 2.86 days, the 14th.
SELECT c.purchases, c.last_purchase, round(c.probability_alive::numeric, 9) AS alive, round(c.expected_purchases::numeric, 9) AS expected,
	c.average_value, round(c.expected_value::numeric, 9) AS value, c.next_order
FROM counted, clv(t, params, '1 day', '2024-01-11 12:59Z') c;
-- an hour before, and as of days on which there was less
SELECT at, c.purchases, c.last_purchase, round(c.probability_alive::numeric, 9) AS alive, c.average_value
FROM counted, unnest('{2024-01-11 11:59Z,2024-01-03 09:00Z,2024-01-01 09:00Z,2024-01-01 08:59:59Z,1960-01-01,-infinity}'::timestamptz[]) at, clv(t, params, '1 day', at) c;
-- nobody leaves without a repeat purchase, and much later there is hardly anybody who has had one
SELECT at, c.purchases, round(c.probability_alive::numeric, 6) AS alive, round(c.expected_purchases::numeric, 9) AS expected, c.next_order
FROM counted, unnest('{2024-02-01,9999-12-31,infinity}'::timestamptz[]) at, clv(t, params, '1 year', at) c;
-- by the hour and by the day (as after a compaction) it is the same
SELECT clv(t, params, '1 day', '2024-01-11 12:59Z') = clv(coarsen(t, '2024-01-11'), params, '1 day', '2024-01-11 12:59Z') AS same FROM counted;
-- ... to the bit: 0.1 + 0.2 is not 0.3 in binary, so the values of a day are added up before they are made binary
SELECT clv(d, params, '1 day', '2024-01-11') = clv(coarsen(d, '2024-01-11'), params, '1 day', '2024-01-11') AS same, (clv(d, params, '1 day', '2024-01-11')).average_value
FROM counted, LATERAL (SELECT '{2: 2024-01-01T09Z 1, 2024-01-03T10Z 1 0.1, 2024-01-03T23Z 1 0.2}'::timeline) s (d);
SELECT fit_clv(t, 2, '2024-02-05', '7 days') = fit_clv(coarsen(t, '2024-02-05'), 2, '2024-02-05', '7 days') AS same
FROM (SELECT timeline + coalesce((SELECT timeline_sum(format('{2: %sZ 0 0.1}', to_char(hour AT TIME ZONE 'UTC' + interval '5 hours', 'YYYY-MM-DD"T"HH24'))::timeline)
	FROM timeline_entries(timeline) WHERE signal_id = 2), '{}') FROM customer) s (t);
-- more than a day has room for is much, as it is of occurrences
SELECT (clv('{2: 2024-01-01T09Z 1, 2024-01-03T10Z 1 9000000000000, 2024-01-03T11Z 1 9000000000000}'::timeline, params, '1 day', '2024-01-11')).average_value FROM counted;
-- days are those of UTC, whatever the time zone of the session; it matters for an instant that is written without one
SET TimeZone = 'Europe/Berlin';
SELECT c.purchases, c.last_purchase, c.next_order FROM counted, clv(t, params, '1 day', '2024-01-11 12:59Z') c;
SELECT until, fit_clv(timeline, 2, until, '7 days') ->> 'until' AS read, fit_clv(timeline, 2, until, '7 days') = (SELECT fit_clv(timeline, 2, '2024-02-05 00:00Z', '7 days') FROM customer) AS same
FROM customer, unnest('{2024-02-05 00:00Z,2024-02-05}'::timestamptz[]) until GROUP BY until ORDER BY until DESC;
SET TimeZone = 'UTC';
-- what cannot be known: not a customer, NULL
SELECT clv('{1: 2023-12-01T00Z 1}'::timeline, params) IS NULL AS other_signal, clv('{}'::timeline, params) IS NULL AS empty,
	clv(NULL::timeline, params) IS NULL AS nothing, clv(t, NULL) IS NULL AS params, clv(t, params, NULL) IS NULL AS horizon,
	clv(t, params, '1 day', NULL) IS NULL AS at, clv(NULL::text, params) IS NULL AS lead
FROM counted;
-- values: without gamma_gamma none; customers without a value are worth what all are, p gamma / (q - 1) = 10; that is not finite for q = 1
SELECT (clv(t, params - 'gamma_gamma', '1 day', '2024-02-01')).average_value IS NULL AS none,
	(clv('{2: 2024-01-01T00Z 1 7, 2024-01-09T00Z 1}'::timeline, params, '1 day', '2024-02-01')).average_value AS "of all",
	(clv('{2: 2024-01-01T00Z 1 7, 2024-01-09T00Z 1 -5}'::timeline, params, '1 day', '2024-02-01')).average_value AS "of all",
	(clv('{2: 2024-01-01T00Z 1 7}'::timeline, params, '1 day', '2024-02-01')).average_value AS "of all",
	(clv('{2: 2024-01-01T00Z 1 7}'::timeline, jsonb_set(params, '{gamma_gamma,q}', '1'), '1 day', '2024-02-01')).average_value IS NULL AS infinite
FROM counted;
-- a longer horizon has more purchases, less than in proportion; the longest is 100 years
SELECT h, round(c.expected_purchases::numeric, 6) AS expected FROM counted, unnest('{1 hour,1 day,10 days,1 year,100 years}'::interval[]) h, clv(t, params, h, '2024-01-11 12:00Z') c;

-- ---------- parameters beyond the ordinary ----------

-- Ever so many purchases are expected, which takes no longer. Who leaves after any of them with a probability that may be anything
-- from 0 to 1 (a = b = 1) makes ln y + psi(1 + s) + 0.577215664901533 - (1 - y^-s) / s + ln(1 + 1 / y) … of them: the integral of
-- (1 - (1 + p y)^-s) / p over p, y = t / alpha, where 1 / y is nothing. psi is the logarithm for s of 1e9 and more, and -0.289039896592188 for 1.2
SET statement_timeout = '60s';
CREATE FUNCTION expected(params text, purchases text DEFAULT '{2: 2024-01-01T00Z 1}') RETURNS float8
	LANGUAGE sql
BEGIN ATOMIC
	SELECT (clv(purchases::timeline, format('{"signal_id": 2, "unit": "1 day", "bg_nbd": {%s}}', params)::jsonb, '1 year', '2024-01-01')).expected_purchases;
END;
SELECT s, abs(expected(format('"r": %s, "alpha": %s, "a": 1, "b": 1', s, alpha)) / (ln(y) + psi + 0.577215664901533 - CASE WHEN s < 1 THEN (1 - y ^ -s) / s ELSE 0 END) - 1) < 1e-10 AS right
FROM (VALUES (1e9::float8, 1::float8, ln(1e9) + 5e-10), (1e30, 1, ln(1e30)), (0.2, 1e-18, -0.289039896592188)) v (s, alpha, psi), LATERAL (SELECT 365.25 / alpha) o (y);
-- Everybody leaves never (3 of 4) or at once (a = 1e-18, b = 3e-18): s y purchases, or 1 - (1 + y)^-s; by the sum, and by
-- integration. Then p = 1/4 for certain: (1 - (1 + y / 4)^-s) 4
SELECT alpha, round(expected(format('"r": 1, "alpha": %s, "a": 1e-18, "b": 3e-18', alpha))::numeric, 9) AS either, round(((3 * y + 1 - 1 / (1 + y)) / 4)::numeric, 9) AS right,
	round(expected(format('"r": 1, "alpha": %s, "a": 1e12, "b": 3e12', alpha))::numeric, 9) AS known, round((expected(format('"r": 1, "alpha": %s, "a": 1e20, "b": 3e20', alpha)))::numeric, 9) AS known,
	round(((1 - 1 / (1 + y / 4)) * 4)::numeric, 9) AS right
FROM unnest('{100,1}'::float8[]) alpha, LATERAL (SELECT 365.25 / alpha) o (y);
-- ... and a repeat purchase today leaves 1 / (1 + a / b) alive, however small b is
SELECT round((clv(timeline '{2: 2024-01-01T00Z 1, 2024-01-02T00Z 1}', '{"signal_id": 2, "bg_nbd": {"r": 1, "alpha": 1, "a": 3e-18, "b": 1e-18}}', '1 year', '2024-01-02')).probability_alive::numeric, 9) AS alive;
-- parameters beyond all reason are refused, and those at the limits give something
SELECT expected('"r": 1e300, "alpha": 1e-300, "a": 1, "b": 1');
SELECT expected('"r": 1, "alpha": 1e-320, "a": 1, "b": 1');
SELECT c.expected_purchases > 0 AS expected, c.average_value IS NULL AS average, c.expected_value IS NULL AS value
FROM counted, unnest('{1e30,1e-30}'::float8[]) gamma, clv(t, jsonb_set(jsonb_set(params, '{bg_nbd,b}', '9'), '{gamma_gamma,gamma}', to_jsonb(gamma)), '100 years', '2024-01-11') c;
RESET statement_timeout;

-- ---------- by the lead, with aliases and pending deltas ----------

INSERT INTO leadscore.event (lead_id, kind, occurred_at, value) VALUES ('anna', 'purchase', '2024-01-01', 9), ('a2', 'purchase', '2024-01-05', 20), ('anna', 'browse', '2024-01-06', NULL);
SELECT identify('a2', 'anna');
SELECT purchases, last_purchase FROM counted, clv('anna', params, '1 year', '2024-02-01');
SELECT purchases, last_purchase FROM counted, clv('a2', params);
SELECT clv('nobody', params) IS NULL AS unknown FROM counted;
-- money with more than six decimals is rounded to six: 2 (10 + 20 + 10.123457) / (2 · 2 + 3 - 1)
INSERT INTO leadscore.event (lead_id, kind, occurred_at, value) VALUES ('anna', 'purchase', '2024-01-20', 10.1234567);
SELECT average_value, (10 + 20 + 10.123457) / 3 AS right FROM counted, clv('anna', params, '1 year', '2024-02-01');
-- nobody but anna has bought, so there is too little to fit
SELECT fit_clv('purchase');

-- ---------- what cannot be fitted ----------

SELECT fit_clv(timeline, 2, '2024-02-05', '7 days') FROM customer WHERE c < 50;
SELECT fit_clv(timeline, 2, '2024-02-05', '7 days') #> '{bg_nbd,customers}' AS enough FROM customer WHERE c <= 50;
SELECT fit_clv(timeline, 2, '2024-02-05', '7 days') FROM customer WHERE false;
SELECT fit_clv(NULL, 2, '2024-02-05', '7 days') FROM customer;
SELECT fit_clv(timeline, 7, '2024-02-05', '7 days') FROM customer;
SELECT fit_clv(timeline, 2, '2022-12-31 23:59Z', '7 days') FROM customer;
-- only those who have bought once
SELECT fit_clv('{2: 2024-01-01T00Z 1 5}', 2, '2024-02-05', '7 days') FROM customer;
-- ... or more than once a day
SELECT fit_clv('{2: 2024-01-01T00Z 1 5, 2024-01-01T05Z 2}', 2, '2024-02-05', '7 days') FROM customer;
-- everybody alike: the likelihood rises to a limit, in which the rate m and the probability p to leave are the same for all, and has no
-- maximum. With x = 2, t_x = 20/7 and T = 5 weeks it is (m (1 - p))^2 exp(-m T) + m^2 p (1 - p) exp(-m t_x), for each of the 400.
\set VERBOSITY terse
SET client_min_messages = notice;
CREATE TEMP TABLE alike AS
SELECT fit_clv('{2: 2024-01-01T00Z 1, 2024-01-11T00Z 1, 2024-01-21T00Z 1}', 2, '2024-02-05', '7 days') AS params FROM customer;
SELECT params -> 'bg_nbd' ? 'standard_errors' AS errors, round((params -> 'bg_nbd' ->> 'log_likelihood')::numeric, 1) AS fitted,
	(SELECT round(max(400 * ln((m * (1 - p)) ^ 2 * exp(-m * 5) + m ^ 2 * p * (1 - p) * exp(-m * 20 / 7)))::numeric, 1)
	FROM generate_series(1, 200) i, generate_series(1, 99) j, LATERAL (SELECT i / 100.0::float8, j / 100.0::float8) g (m, p)) AS limit
FROM alike;
-- so it is with so many that the slope of the likelihood is never next to nothing, as there is a little for each of them
SELECT abs((many.params #> '{bg_nbd,log_likelihood}')::float8 / (alike.params #> '{bg_nbd,log_likelihood}')::float8 - 1000) < 1e-3 AS same
FROM alike, (SELECT fit_clv('{2: 2024-01-01T00Z 1, 2024-01-11T00Z 1, 2024-01-21T00Z 1}', 2, '2024-02-05', '7 days') AS params FROM generate_series(1, 400000)) many;
\set VERBOSITY default
-- no values, too few above zero, and values that do not differ
SET client_min_messages = notice;
SELECT fit_clv(t, 2, '2024-02-05', '7 days') ? 'gamma_gamma' AS value
FROM (SELECT timeline_sum(format('{2: %sZ 1}', to_char(hour AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24'))::timeline) FROM customer, timeline_entries(timeline) WHERE signal_id = 2 GROUP BY c) v (t);
SELECT fit_clv(t, 2, '2024-02-05', '7 days') ? 'gamma_gamma' AS value
FROM (SELECT timeline_sum(format('{2: %sZ 1 %s}', to_char(hour AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24'), CASE WHEN c % 10 = 0 THEN value ELSE -value END)::timeline) FROM customer, timeline_entries(timeline) WHERE signal_id = 2 GROUP BY c) v (t);
\set VERBOSITY terse
SELECT fit_clv(t, 2, '2024-02-05', '7 days') ? 'gamma_gamma' AS value
FROM (SELECT timeline_sum(format('{2: %sZ 1 9.99}', to_char(hour AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24'))::timeline) FROM customer, timeline_entries(timeline) WHERE signal_id = 2 GROUP BY c) v (t);
\set VERBOSITY default
SET client_min_messages = warning;

-- ---------- arguments that make no sense ----------

SELECT fit_clv('nosuch');
SELECT fit_clv('german');
SELECT fit_clv('purchase', '2999-01-01');
SELECT fit_clv('purchase', now(), '-7 days');
SELECT fit_clv(NULL) IS NULL AS signal, fit_clv('purchase', NULL) IS NULL AS until, fit_clv('purchase', now(), NULL) IS NULL AS unit;
SELECT fit_clv(timeline, NULL, '2024-02-05', '7 days') FROM customer;
SELECT fit_clv(timeline, 2, NULL, '7 days') FROM customer;
SELECT fit_clv(timeline, 2, '2024-02-15', NULL) FROM customer;
SELECT fit_clv(timeline, 2, 'infinity', '7 days') FROM customer;
SELECT fit_clv(timeline, 2, '2024-02-15', '0') FROM customer;
SELECT fit_clv(timeline, 2, '2024-02-15', '101 years') FROM customer;
SELECT fit_clv(timeline, 2, '2024-02-15', c * interval '1 day') FROM customer;
SELECT clv(t, params, '0', '2024-02-01') FROM counted;
SELECT clv(t, params, '-1 day', '2024-02-01') FROM counted;
SELECT clv(t, params, '101 years', '2024-02-01') FROM counted;

-- documents
SELECT clv(t, '[]', '1 year', '2024-02-01') FROM counted;
SELECT clv(t, '{}', '1 year', '2024-02-01') FROM counted;
SELECT clv(t, params - 'bg_nbd', '1 year', '2024-02-01') FROM counted;
SELECT clv(t, params || '{"units": "1 day"}', '1 year', '2024-02-01') FROM counted;
SELECT clv(t, params || '{"unit": "0"}', '1 year', '2024-02-01') FROM counted;
SELECT clv(t, params || '{"unit": "200 years"}', '1 year', '2024-02-01') FROM counted;
SELECT clv(t, params || '{"bg_nbd": 5}', '1 year', '2024-02-01') FROM counted;
SELECT clv(t, params #- '{bg_nbd,b}', '1 year', '2024-02-01') FROM counted;
SELECT clv(t, jsonb_set(params, '{bg_nbd,a}', '-1'), '1 year', '2024-02-01') FROM counted;
SELECT clv(t, jsonb_set(params, '{bg_nbd,a}', '"1"'), '1 year', '2024-02-01') FROM counted;
SELECT clv(t, jsonb_set(params, '{bg_nbd,s}', '1'), '1 year', '2024-02-01') FROM counted;
SELECT clv(t, jsonb_set(params, '{gamma_gamma,q}', '0'), '1 year', '2024-02-01') FROM counted;

-- ---------- many at once ----------

-- several documents in one query
SELECT count(*), count(DISTINCT round(c.expected_purchases::numeric, 9))
FROM counted, generate_series(1, 20) r, clv(t, jsonb_set(params, '{bg_nbd,r}', to_jsonb(r)), '1 year', '2024-02-01') c;
-- a fit for each group, and in a window that grows: when a fit has been asked for, more customers may come
SELECT c % 2 AS half, fit_clv(timeline, 2, '2024-02-05', '7 days') -> 'bg_nbd' -> 'customers' AS customers FROM customer GROUP BY 1 ORDER BY 1;
SELECT DISTINCT ON (half) half, rounded(fit) -> 'bg_nbd' ->> 'customers' AS customers, fit = (SELECT fit_clv(timeline, 2, '2024-02-05', '7 days') FROM customer) AS "of all"
FROM (SELECT c % 2, fit_clv(timeline, 2, '2024-02-05', '7 days') OVER (ORDER BY c % 2) FROM customer) w (half, fit) ORDER BY half;

-- An untyped literal means a lead: the text of a timeline is refused there, rather than taken for a lead that nobody knows.
SELECT (clv(timeline '{2: 2024-01-01T09Z 2 30}', params, '1 day', '2024-01-11')).purchases FROM counted;
SELECT refused($$SELECT clv('{2: 2024-01-01T09Z 2 30}', '{"signal_id": 2, "bg_nbd": {"r": 1, "alpha": 1, "a": 1, "b": 1}}')$$);
SELECT refused($$SELECT clv(E' {\t2 :2024-01-01T09Z 2}', '{"signal_id": 2, "bg_nbd": {"r": 1, "alpha": 1, "a": 1, "b": 1}}')$$);
-- leads of other names in braces are leads
SELECT lead, clv(lead, params) IS NULL AS nobody FROM counted, unnest(ARRAY['{}', '{6F9619FF-8B86-D011-B42D-00CF4FC964FF}', '{1: x}', NULL]) lead;

-- Purchases of thirteen months, and until two years later: all customers seem lost, and it says so. So does a
-- forecast far behind the fit, once a statement.
SELECT (fit_clv(timeline, 2, '2026-02-05', '7 days') #>> '{bg_nbd,customers}')::int AS fitted FROM customer;
CREATE TABLE in_time AS SELECT fit_clv(timeline, 2, '2024-02-05', '7 days') AS params FROM customer;
SELECT count(c) AS customers, sum(c.expected_purchases) < 50 AS all_lost FROM customer, in_time, clv(timeline, params, '1 year', '2026-02-05') c;
SELECT count(c) AS customers, sum(c.expected_purchases) > 500 AS alive FROM customer, in_time, clv(timeline, params, '1 year', '2024-02-05') c;
SELECT count(c) AS customers FROM customer, in_time, clv(timeline, params, '1 year', '2024-06-05') c;
-- another text than a fit writes means nothing
SELECT count(c) AS customers FROM customer, in_time, clv(timeline, params || '{"until": "then"}', '1 year', '2026-02-05') c;
