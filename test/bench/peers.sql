-- What any statement trigger with a transition table costs.
CREATE FUNCTION bench.nothing() RETURNS trigger
	LANGUAGE plpgsql
AS $$
BEGIN
	RETURN NULL;
END
$$;

CREATE TRIGGER nothing AFTER INSERT ON bench.nothing REFERENCING NEW TABLE AS new_rows
	FOR EACH STATEMENT EXECUTE FUNCTION bench.nothing();

-- What a user would write instead of record(): a number a lead, kept by a trigger in PL/pgSQL. It cannot be explained, and
-- a change of weights needs a rescan.

CREATE TABLE bench.row_trigger_score (lead_id text PRIMARY KEY, score float8 NOT NULL);
CREATE TABLE bench.statement_trigger_score (lead_id text PRIMARY KEY, score float8 NOT NULL);
INSERT INTO bench.row_trigger_score SELECT lead_id, 0 FROM leadscore.lead_timeline;
INSERT INTO bench.statement_trigger_score SELECT lead_id, 0 FROM leadscore.lead_timeline;

-- What an event adds to the number: the points of every weight that counts, as of a fixed instant, so that the sum can
-- be read as one that decays. It has one half-life for all, no caps, no bands.
CREATE FUNCTION bench.points(kind text, occurred_at timestamptz, value numeric, properties jsonb) RETURNS float8
	IMMUTABLE LANGUAGE sql
RETURN exp(0.69314718055994530942 / (14 * 86400) * date_part('epoch', occurred_at - '2026-01-01Z'::timestamptz)) * CASE kind
	WHEN 'page_view' THEN 0.6
		+ CASE properties ->> 'url' WHEN '/pricing' THEN 5 WHEN '/demo' THEN 6 WHEN '/careers' THEN -5 WHEN '/docs/start' THEN 0.5 WHEN '/docs/api' THEN 0.5 ELSE 0 END
		+ CASE WHEN properties ->> 'device' = 'mobile' THEN 0.2 ELSE 0 END
	WHEN 'product_view' THEN 1 + CASE WHEN properties ->> 'category' = 'shoes' THEN 0.5 ELSE 0 END
	WHEN 'email_open' THEN 0.5
	WHEN 'search' THEN 1 + CASE WHEN properties ->> 'category' = 'coats' THEN 1 ELSE 0 END
	WHEN 'add_to_cart' THEN 4 + 0.02 * value::float8 + CASE WHEN properties ->> 'category' = 'bags' THEN 2 ELSE 0 END
		+ CASE WHEN properties ->> 'device' = 'desktop' THEN 1 ELSE 0 END
	WHEN 'email_click' THEN 2
	WHEN 'video_play' THEN 1.5 + 0.01 * value::float8
	WHEN 'form_submit' THEN 8
	WHEN 'download' THEN 5
	WHEN 'login' THEN 1
	WHEN 'support_ticket' THEN -3
	WHEN 'purchase' THEN 20 + 0.05 * value::float8 + CASE WHEN properties ->> 'device' = 'desktop' THEN 5 ELSE 0 END
	ELSE 0 END;

CREATE FUNCTION bench.row_trigger() RETURNS trigger
	LANGUAGE plpgsql
AS $$
BEGIN
	INSERT INTO bench.row_trigger_score AS s VALUES (NEW.lead_id, bench.points(NEW.kind, NEW.occurred_at, NEW.value, NEW.properties))
	ON CONFLICT (lead_id) DO UPDATE SET score = s.score + excluded.score;
	RETURN NULL;
END
$$;

CREATE TRIGGER score AFTER INSERT ON bench.row_trigger FOR EACH ROW EXECUTE FUNCTION bench.row_trigger();

CREATE FUNCTION bench.statement_trigger() RETURNS trigger
	LANGUAGE plpgsql
AS $$
BEGIN
	INSERT INTO bench.statement_trigger_score AS s
	SELECT n.lead_id, sum(bench.points(n.kind, n.occurred_at, n.value, n.properties)) FROM new_rows n GROUP BY n.lead_id ORDER BY n.lead_id
	ON CONFLICT (lead_id) DO UPDATE SET score = s.score + excluded.score;
	RETURN NULL;
END
$$;

CREATE TRIGGER score AFTER INSERT ON bench.statement_trigger REFERENCING NEW TABLE AS new_rows
	FOR EACH STATEMENT EXECUTE FUNCTION bench.statement_trigger();

-- The same number as a view that pg_ivm maintains, where that is installed. The view begins empty, which favours it.
SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_ivm') AS ivm \gset
\if :ivm
CREATE EXTENSION pg_ivm;
SELECT pgivm.create_immv('bench.pg_ivm_score', 'SELECT lead_id, sum(bench.points(kind, occurred_at, value, properties)) AS score FROM bench.pg_ivm GROUP BY lead_id');
\endif
