-- What the benchmark keeps.

CREATE SCHEMA bench;

CREATE TABLE bench.measurement (bar int NOT NULL, contestant text NOT NULL, ms float8 NOT NULL,
	measured_at timestamptz NOT NULL DEFAULT clock_timestamp(), shown boolean NOT NULL DEFAULT false);
CREATE TABLE bench.verdict (id int GENERATED ALWAYS AS IDENTITY, bar int NOT NULL, what text NOT NULL, ours text, beside text, ratio numeric,
	wanted text, met boolean, noise text);

-- the spread is from the fastest to the slowest repeat, in percent of the median
CREATE VIEW bench.median AS
SELECT bar, contestant, percentile_cont(0.5) WITHIN GROUP (ORDER BY ms) AS ms, count(*) AS repeats, min(measured_at) AS first, bool_and(shown) AS shown,
	round(100 * (max(ms) - min(ms))::numeric / percentile_cont(0.5) WITHIN GROUP (ORDER BY ms)::numeric) AS spread
FROM bench.measurement
GROUP BY bar, contestant;

CREATE FUNCTION bench.duration(ms float8) RETURNS text
	IMMUTABLE LANGUAGE sql
RETURN CASE WHEN ms >= 1000 THEN round(ms::numeric / 1000, 2) || ' s' WHEN ms >= 1 THEN round(ms::numeric, 1) || ' ms'
	ELSE round(ms::numeric * 1000) || ' µs' END;
