-- What the benchmark keeps.

CREATE SCHEMA bench;

-- What a turn of a contestant took: milliseconds by the clock, milliseconds that its sessions computed, and bytes of the server's log.
-- Of a race of clients, those of a transaction.
CREATE TABLE bench.measurement (bar int NOT NULL, contestant text NOT NULL, ms float8 NOT NULL, computed float8, logged float8,
	measured_at timestamptz NOT NULL DEFAULT clock_timestamp(), shown boolean NOT NULL DEFAULT false);
CREATE TABLE bench.verdict (id int GENERATED ALWAYS AS IDENTITY, bar int NOT NULL, what text NOT NULL, ours text, beside text, ratio numeric,
	wanted text, met boolean, noise text, time_ratio numeric, computed_ratio numeric, logged_ratio numeric);

-- in percent of the median, from the least to the most
CREATE FUNCTION bench.spread(lowest float8, median float8, highest float8) RETURNS numeric
	IMMUTABLE LANGUAGE sql
RETURN round(100 * (highest - lowest)::numeric / nullif(median, 0)::numeric);

CREATE VIEW bench.median AS
SELECT m.*, bench.spread(m.lowest, m.ms, m.highest) AS spread, bench.spread(m.lowest_computed, m.computed, m.highest_computed) AS computed_spread
FROM (
	SELECT bar, contestant, percentile_cont(0.5) WITHIN GROUP (ORDER BY ms) AS ms, min(ms) AS lowest, max(ms) AS highest,
		percentile_cont(0.5) WITHIN GROUP (ORDER BY computed) AS computed, min(computed) AS lowest_computed, max(computed) AS highest_computed,
		percentile_cont(0.5) WITHIN GROUP (ORDER BY logged) AS logged,
		count(*) AS repeats, min(measured_at) AS first, bool_and(shown) AS shown
	FROM bench.measurement
	GROUP BY bar, contestant
) m;

-- Contestants run in turn: what slows the machine down slows down those of one turn alike.
CREATE VIEW bench.turn AS
SELECT contestant, row_number() OVER (PARTITION BY contestant ORDER BY measured_at) AS turn, ms, computed, logged
FROM bench.measurement;

-- one contestant's figures by another's, each turn by itself: the medians
CREATE FUNCTION bench.ratios(ours text, beside text, OUT ms float8, OUT computed float8, OUT logged float8)
	STABLE LANGUAGE sql
BEGIN ATOMIC
	SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY o.ms / nullif(b.ms, 0)),
		percentile_cont(0.5) WITHIN GROUP (ORDER BY o.computed / nullif(b.computed, 0)),
		percentile_cont(0.5) WITHIN GROUP (ORDER BY o.logged / nullif(b.logged, 0))
	FROM bench.turn o JOIN bench.turn b ON b.turn = o.turn
	WHERE o.contestant = ratios.ours AND b.contestant = ratios.beside;
END;

-- What this session has computed, in milliseconds up to when it was last given a processor, and where the log ends.
CREATE FUNCTION bench.reading(OUT computed float8, OUT logged numeric)
	VOLATILE LANGUAGE sql
BEGIN ATOMIC
	SELECT split_part(pg_read_file('/proc/self/schedstat'), ' ', 1)::float8 / 1e6, pg_current_wal_insert_lsn() - '0/0'::pg_lsn;
END;

-- What the sessions of a race of clients had computed when they had ended so many transactions.
CREATE UNLOGGED TABLE bench.mark (session int NOT NULL, transactions bigint NOT NULL, computed float8 NOT NULL);

CREATE FUNCTION bench.mark(transactions bigint) RETURNS void
	VOLATILE LANGUAGE plpgsql
AS $$
BEGIN
	INSERT INTO bench.mark SELECT pg_backend_pid(), mark.transactions, r.computed FROM bench.reading() r;
END
$$;

-- milliseconds of a transaction, from the first mark to the last
CREATE VIEW bench.marked AS
SELECT sum(m.computed) / nullif(sum(m.transactions), 0) AS computed
FROM (
	SELECT max(computed) - min(computed) AS computed, max(transactions) - min(transactions) AS transactions
	FROM bench.mark GROUP BY session
) m;

CREATE FUNCTION bench.duration(ms float8) RETURNS text
	IMMUTABLE LANGUAGE sql
RETURN CASE WHEN ms >= 1000 THEN round(ms::numeric / 1000, 2) || ' s' WHEN ms >= 1 THEN round(ms::numeric, 1) || ' ms'
	ELSE round(ms::numeric * 1000) || ' µs' END;
