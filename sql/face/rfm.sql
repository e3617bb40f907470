-- rfm.sql: what a conversion is, and recency, frequency and monetary value

-- conversions: what is an order to a model

CREATE TABLE leadscore.conversion (
	model text PRIMARY KEY REFERENCES leadscore.model ON UPDATE CASCADE ON DELETE CASCADE,
	signal text NOT NULL REFERENCES leadscore.signal ON UPDATE CASCADE,
	look_back interval
		CONSTRAINT conversion_look_back_positive CHECK ((extract(epoch FROM look_back) > 0 AND extract(epoch FROM look_back) <= 1e12) IS NOT FALSE OR leadscore_internal.refuse(
			'conversion look_back is not above zero, or too long', look_back::text, 'Write a duration such as 30 days, or NULL for no limit.')),
	horizon interval NOT NULL DEFAULT '30 days'
		CONSTRAINT conversion_horizon_positive CHECK ((extract(epoch FROM horizon) > 0 AND extract(epoch FROM horizon) <= 1e9) IS NOT FALSE OR leadscore_internal.refuse(
			'conversion horizon is not above zero, or too long', horizon::text, 'Write a duration such as 30 days.')),
	recency_cuts interval[]
		CONSTRAINT conversion_recency_cuts_descend CHECK ((array_ndims(recency_cuts) = 1 AND cardinality(recency_cuts) = 4 AND array_position(recency_cuts, NULL) IS NULL
			AND recency_cuts[1] > recency_cuts[2] AND recency_cuts[2] > recency_cuts[3] AND recency_cuts[3] > recency_cuts[4] AND recency_cuts[4] > '0') IS NOT FALSE
			OR leadscore_internal.refuse('conversion recency_cuts are not four that descend', recency_cuts::text,
			'Write the longest first, such as ARRAY[''365 days'', ''180 days'', ''90 days'', ''30 days'']::interval[].')),
	frequency_cuts bigint[]
		CONSTRAINT conversion_frequency_cuts_ascend CHECK ((array_ndims(frequency_cuts) = 1 AND cardinality(frequency_cuts) = 4 AND array_position(frequency_cuts, NULL) IS NULL
			AND frequency_cuts[1] < frequency_cuts[2] AND frequency_cuts[2] < frequency_cuts[3] AND frequency_cuts[3] < frequency_cuts[4]) IS NOT FALSE
			OR leadscore_internal.refuse('conversion frequency_cuts are not four that ascend', frequency_cuts::text, 'Write the lowest first, such as ''{2,3,5,10}''.')),
	monetary_cuts numeric[]
		CONSTRAINT conversion_monetary_cuts_ascend CHECK ((array_ndims(monetary_cuts) = 1 AND cardinality(monetary_cuts) = 4 AND array_position(monetary_cuts, NULL) IS NULL
			AND monetary_cuts[1] < monetary_cuts[2] AND monetary_cuts[2] < monetary_cuts[3] AND monetary_cuts[3] < monetary_cuts[4]) IS NOT FALSE
			OR leadscore_internal.refuse('conversion monetary_cuts are not four that ascend', monetary_cuts::text, 'Write the lowest first, such as ''{50,100,250,1000}''.'))
);

COMMENT ON TABLE leadscore.conversion IS 'the signal that is a conversion to a model, for rfm() and the key figures; without a row it is the signal purchase';
COMMENT ON COLUMN leadscore.conversion.model IS 'the model';
COMMENT ON COLUMN leadscore.conversion.signal IS 'an event signal: its occurrences are orders, its value is money';
COMMENT ON COLUMN leadscore.conversion.look_back IS 'how long before an order a touch may lie to be credited with it in attribution; NULL: no limit';
COMMENT ON COLUMN leadscore.conversion.horizon IS 'within what time a conversion is predicted, for model_quality';
COMMENT ON COLUMN leadscore.conversion.recency_cuts IS 'for rfm() and rfm_lead, instead of quintiles: the longest times since the last order for the tiles 2, 3, 4 and 5; NULL: quintiles';
COMMENT ON COLUMN leadscore.conversion.frequency_cuts IS 'the fewest orders for the tiles 2, 3, 4 and 5; NULL: quintiles';
COMMENT ON COLUMN leadscore.conversion.monetary_cuts IS 'the least money for the tiles 2, 3, 4 and 5; NULL: quintiles';

-- (a signal that does not exist is the foreign key's business)
CREATE FUNCTION leadscore_internal.check_event_signal() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF EXISTS (SELECT FROM leadscore.signal s WHERE s.signal = NEW.signal AND s.subject <> 'event') THEN
		PERFORM leadscore_internal.refuse(format('a %s is shown by an event signal', TG_TABLE_NAME), NEW.signal,
			leadscore_internal.known('event signals'::text, ARRAY(SELECT s.signal FROM leadscore.signal s WHERE s.subject = 'event' ORDER BY 1)));
	END IF;
	RETURN NEW;
END
$$;

COMMENT ON FUNCTION leadscore_internal.check_event_signal() IS 'trigger: refuses profile signals';

CREATE TRIGGER check_event_signal BEFORE INSERT OR UPDATE OF signal ON leadscore.conversion
	FOR EACH ROW EXECUTE FUNCTION leadscore_internal.check_event_signal();

CREATE VIEW leadscore_internal.model_conversion AS
SELECT m.model, s.signal, s.signal_id, c.look_back, coalesce(c.horizon, '30 days') AS horizon, c.recency_cuts, c.frequency_cuts, c.monetary_cuts
FROM leadscore.model m LEFT JOIN leadscore.conversion c ON c.model = m.model
JOIN leadscore.signal s ON s.signal = coalesce(c.signal, 'purchase') AND s.subject = 'event';

COMMENT ON VIEW leadscore_internal.model_conversion IS 'the conversion of each model that has one';
COMMENT ON COLUMN leadscore_internal.model_conversion.model IS 'the model';
COMMENT ON COLUMN leadscore_internal.model_conversion.signal IS 'the signal that is its conversion';
COMMENT ON COLUMN leadscore_internal.model_conversion.signal_id IS 'its number in timelines';
COMMENT ON COLUMN leadscore_internal.model_conversion.look_back IS 'how long before an order a touch counts';
COMMENT ON COLUMN leadscore_internal.model_conversion.horizon IS 'within what time it is predicted';
COMMENT ON COLUMN leadscore_internal.model_conversion.recency_cuts IS 'cut points of recency; NULL: quintiles';
COMMENT ON COLUMN leadscore_internal.model_conversion.frequency_cuts IS 'cut points of frequency; NULL: quintiles';
COMMENT ON COLUMN leadscore_internal.model_conversion.monetary_cuts IS 'cut points of money; NULL: quintiles';

-- groups

CREATE TABLE leadscore.rfm_group (
	rfm_group text PRIMARY KEY
		CONSTRAINT rfm_group_not_empty CHECK ((rfm_group <> '') IS NOT FALSE OR leadscore_internal.refuse(
			'rfm_group name is empty', '""', 'Name the group, such as "champions".')),
	position integer NOT NULL UNIQUE DEFERRABLE,
	min_recency integer, max_recency integer,
	min_frequency integer, max_frequency integer,
	min_monetary integer, max_monetary integer,
	CONSTRAINT rfm_group_bounds_are_quintiles CHECK ((least(min_recency, max_recency, min_frequency, max_frequency, min_monetary, max_monetary) >= 1
		AND greatest(min_recency, max_recency, min_frequency, max_frequency, min_monetary, max_monetary) <= 5
		AND coalesce(min_recency <= max_recency, true) AND coalesce(min_frequency <= max_frequency, true) AND coalesce(min_monetary <= max_monetary, true)) IS NOT FALSE
		OR leadscore_internal.refuse(format('the bounds of rfm_group "%s" are no quintiles', rfm_group),
			concat_ws(', ', min_recency, max_recency, min_frequency, max_frequency, min_monetary, max_monetary), 'Bounds are whole numbers from 1 (worst) to 5 (best), the lower first.'))
);

COMMENT ON TABLE leadscore.rfm_group IS 'the groups of rfm(): the first by position whose bounds hold; while it is empty, those of rfm_groups() apply';
COMMENT ON COLUMN leadscore.rfm_group.rfm_group IS 'name';
COMMENT ON COLUMN leadscore.rfm_group.position IS 'the order in which groups are tried, lowest first';
COMMENT ON COLUMN leadscore.rfm_group.min_recency IS 'the lowest quintile of recency, 1 to 5 (most recent); NULL: any';
COMMENT ON COLUMN leadscore.rfm_group.max_recency IS 'the highest quintile of recency; NULL: any';
COMMENT ON COLUMN leadscore.rfm_group.min_frequency IS 'the lowest quintile of frequency; NULL: any';
COMMENT ON COLUMN leadscore.rfm_group.max_frequency IS 'the highest quintile of frequency; NULL: any';
COMMENT ON COLUMN leadscore.rfm_group.min_monetary IS 'the lowest quintile of money; NULL: any';
COMMENT ON COLUMN leadscore.rfm_group.max_monetary IS 'the highest quintile of money; NULL: any';

CREATE FUNCTION leadscore.rfm_groups() RETURNS SETOF leadscore.rfm_group
	LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT g.* FROM leadscore.rfm_group g
	UNION ALL
	SELECT d.* FROM (VALUES
		('champions', 1, 4, NULL::integer, 4, NULL::integer, 4, NULL::integer),
		('loyal', 2, 3, NULL, 4, NULL, NULL, NULL),
		('recent', 3, 4, NULL, NULL, NULL, NULL, NULL),
		('needs attention', 4, 3, NULL, NULL, NULL, NULL, NULL),
		('at risk', 5, NULL, 2, 3, NULL, NULL, NULL),
		('lost', 6, NULL, NULL, NULL, NULL, NULL, NULL)) d
	WHERE NOT EXISTS (SELECT FROM leadscore.rfm_group)
	ORDER BY 2;
END;

CREATE FUNCTION leadscore_internal.warn_of_no_groups() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM leadscore.rfm_group) THEN
		RAISE NOTICE USING MESSAGE = 'there are no groups of your own to change yet', DETAIL = 'Those of leadscore.rfm_groups() apply.',
			HINT = 'INSERT INTO leadscore.rfm_group SELECT * FROM leadscore.rfm_groups() first.';
	END IF;
	RETURN NULL;
END
$$;

COMMENT ON FUNCTION leadscore_internal.warn_of_no_groups() IS 'trigger: NOTICE that the default groups are not in the table';

CREATE TRIGGER warn_of_no_groups BEFORE UPDATE OR DELETE ON leadscore.rfm_group
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.warn_of_no_groups();

COMMENT ON FUNCTION leadscore.rfm_groups() IS 'the groups that apply: those of the table rfm_group or, while it is empty, default ones';

-- rfm

CREATE FUNCTION leadscore_internal.bought(timeline leadscore.timeline, signal_ids integer[], at timestamptz, OUT orders bigint, OUT revenue numeric, OUT last_at timestamptz)
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 5;

COMMENT ON FUNCTION leadscore_internal.bought(leadscore.timeline, integer[], timestamptz)
	IS 'occurrences, value and last hour of signals up to an instant; NULL: there is no occurrence';

-- Half a place less is the same place, whatever the rounding. (More tiles than leads are refused, but for five.)
CREATE FUNCTION leadscore_internal.tile_shares(leads bigint, n integer) RETURNS float8[]
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT ARRAY(SELECT ((k * leads + n - 1) / n - 0.5::float8) / nullif(leads, 0) FROM generate_series(1, least(n - 1, leads + 4)) k ORDER BY k)
$$;

COMMENT ON FUNCTION leadscore_internal.tile_shares(bigint, integer) IS 'the places that end each of n tiles but the last, as shares for percentile_disc()';

CREATE FUNCTION leadscore_internal.buyers_here(signal_ids integer[], at timestamptz)
	RETURNS TABLE (lead_id text, last_at timestamptz, frequency bigint, monetary numeric)
	LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT v.lead_id, (t.bought).last_at, (t.bought).orders, (t.bought).revenue
	FROM leadscore_internal.visible_lead v
	CROSS JOIN LATERAL (SELECT leadscore_internal.bought(v.timeline, signal_ids, buyers_here.at) AS bought OFFSET 0) t
	WHERE (t.bought).orders > 0;
END;

COMMENT ON FUNCTION leadscore_internal.buyers_here(integer[], timestamptz) IS 'recency, frequency and monetary value of the leads that have bought';

-- (On a coordinator of Citus; called with max_parallel_workers_per_gather = 0, for a parallel worker could not ask.
-- Where nobody is asked, buyers_here() is read in parallel all the same.)
CREATE FUNCTION leadscore_internal.buyers_of_workers(signal_ids integer[], at timestamptz)
	RETURNS TABLE (lead_id text, last_at timestamptz, frequency bigint, monetary numeric)
	LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN QUERY
	SELECT b.lead_id, b.last_at, b.frequency, b.monetary
	FROM leadscore_internal.ask('whole_buyers_here(d.request)'::text, jsonb_build_object('signal_ids', signal_ids, 'at', at))
		AS b (lead_id text, last_at timestamptz, frequency bigint, monetary numeric)
	UNION ALL
	SELECT l.lead_id, (t.bought).last_at, (t.bought).orders, (t.bought).revenue
	FROM leadscore_internal.joined_leads() l
	CROSS JOIN LATERAL (SELECT leadscore_internal.bought(l.timeline, signal_ids, buyers_of_workers.at) AS bought OFFSET 0) t
	WHERE (t.bought).orders > 0;
END
$$;

COMMENT ON FUNCTION leadscore_internal.buyers_of_workers(integer[], timestamptz) IS 'buyers_here() of all workers';

CREATE FUNCTION leadscore_internal.rfm_tiles(signal_ids integer[], at timestamptz, n integer, recency_cuts interval[], frequency_cuts bigint[], monetary_cuts numeric[],
	everywhere boolean DEFAULT false)
	RETURNS TABLE (lead_id text, last_at timestamptz, frequency bigint, monetary numeric,
		recency_tile integer, frequency_tile integer, monetary_tile integer, rfm_group text, rfm_position integer)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
	WITH bought AS MATERIALIZED (
		SELECT h.lead_id, h.last_at, h.frequency, h.monetary FROM leadscore_internal.buyers_here(signal_ids, rfm_tiles.at) h WHERE NOT everywhere
		UNION ALL
		SELECT w.lead_id, w.last_at, w.frequency, w.monetary FROM leadscore_internal.buyers_of_workers(signal_ids, rfm_tiles.at) w WHERE everywhere
	), share AS MATERIALIZED (
		SELECT leadscore_internal.tile_shares(count(*), 5) AS fifths, leadscore_internal.tile_shares(count(*), n) AS parts FROM bought
	), border AS MATERIALIZED (
		SELECT percentile_disc((SELECT s.fifths FROM share s)) WITHIN GROUP (ORDER BY b.last_at) AS r5,
			percentile_disc((SELECT s.fifths FROM share s)) WITHIN GROUP (ORDER BY b.frequency) AS f5,
			percentile_disc((SELECT s.fifths FROM share s)) WITHIN GROUP (ORDER BY b.monetary) AS m5,
			percentile_disc((SELECT s.parts FROM share s)) WITHIN GROUP (ORDER BY b.last_at) AS r,
			percentile_disc((SELECT s.parts FROM share s)) WITHIN GROUP (ORDER BY b.frequency) AS f,
			percentile_disc((SELECT s.parts FROM share s)) WITHIN GROUP (ORDER BY b.monetary) AS m
		FROM bought b
	), less AS (
		-- (a border is the last one of the lower tile: what equals it is in that, too)
		SELECT b.*, b.last_at - interval '1 microsecond' AS r, b.frequency - 1 AS f, b.monetary - 0.000001 AS m FROM bought b
	), cut AS MATERIALIZED (
		SELECT l.lead_id, l.last_at, l.frequency, l.monetary,
			CASE WHEN recency_cuts IS NULL THEN 1 + width_bucket(l.r, o.r5) ELSE 5 - width_bucket(extract(epoch FROM rfm_tiles.at) - extract(epoch FROM l.last_at),
				ARRAY(SELECT extract(epoch FROM c) FROM unnest(recency_cuts) c ORDER BY 1)) END AS r5,
			1 + CASE WHEN frequency_cuts IS NULL THEN width_bucket(l.f, o.f5) ELSE width_bucket(l.frequency, frequency_cuts) END AS f5,
			1 + CASE WHEN monetary_cuts IS NULL THEN width_bucket(l.m, o.m5) ELSE width_bucket(l.monetary, monetary_cuts) END AS m5,
			CASE WHEN n <> 5 THEN 1 + width_bucket(l.r, o.r) END AS r, CASE WHEN n <> 5 THEN 1 + width_bucket(l.f, o.f) END AS f, CASE WHEN n <> 5 THEN 1 + width_bucket(l.m, o.m) END AS m
		FROM less l CROSS JOIN border o
	), grouped AS MATERIALIZED (
		-- a combination of tiles has one group, and there are 125 at most
		SELECT k.r5, k.f5, k.m5, g.rfm_group, g.position
		FROM (SELECT DISTINCT c.r5, c.f5, c.m5 FROM cut c) k
		LEFT JOIN LATERAL (
			SELECT g.rfm_group, g.position FROM leadscore.rfm_groups() g
			WHERE k.r5 BETWEEN coalesce(g.min_recency, 1) AND coalesce(g.max_recency, 5)
			AND k.f5 BETWEEN coalesce(g.min_frequency, 1) AND coalesce(g.max_frequency, 5)
			AND k.m5 BETWEEN coalesce(g.min_monetary, 1) AND coalesce(g.max_monetary, 5)
			ORDER BY g.position LIMIT 1
		) g ON true
	)
	SELECT c.lead_id, c.last_at, c.frequency, c.monetary,
		coalesce(c.r, c.r5), coalesce(c.f, c.f5), coalesce(c.m, c.m5),
		g.rfm_group, g.position
	FROM cut c JOIN grouped g ON g.r5 = c.r5 AND g.f5 = c.f5 AND g.m5 = c.m5
$$;

COMMENT ON FUNCTION leadscore_internal.rfm_tiles(integer[], timestamptz, integer, interval[], bigint[], numeric[], boolean)
	IS 'recency, frequency and monetary value by signals, in n tiles; five have the cut points, if there are any, and the groups always; everywhere: of all workers';

CREATE FUNCTION leadscore_internal.rfm_checked(signals text[], at timestamptz, n integer, recency_cuts interval[], frequency_cuts bigint[], monetary_cuts numeric[],
	everywhere boolean DEFAULT false)
	RETURNS TABLE (lead_id text, last_at timestamptz, frequency bigint, monetary numeric,
		recency_tile integer, frequency_tile integer, monetary_tile integer, rfm_group text)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	signal_ids CONSTANT integer[] := ARRAY(SELECT (s ->> 'signal_id')::integer
		FROM jsonb_array_elements(leadscore_internal.signals_named(rfm_checked.signals) -> 'signals') s);
	leads bigint;
BEGIN
	IF n IS NULL OR n < 1 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'rfm() needs a number of tiles above zero',
			DETAIL = format('n is %s.', coalesce(n::text, 'NULL')), HINT = 'Five is usual.';
	END IF;
	RETURN QUERY
	SELECT r.lead_id, r.last_at, r.frequency, r.monetary, r.recency_tile, r.frequency_tile, r.monetary_tile, r.rfm_group
	FROM leadscore_internal.rfm_tiles(signal_ids, rfm_checked.at, n, recency_cuts, frequency_cuts, monetary_cuts, everywhere) r
	ORDER BY r.lead_id;
	GET DIAGNOSTICS leads = ROW_COUNT;
	IF leads BETWEEN 1 AND n - 1 AND (n <> 5 OR recency_cuts IS NULL OR frequency_cuts IS NULL OR monetary_cuts IS NULL) THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'there are more tiles than leads',
			DETAIL = format('n is %s; %s leads have bought by then.', n, leads), HINT = 'Ask for fewer tiles.';
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.rfm_checked(text[], timestamptz, integer, interval[], bigint[], numeric[], boolean)
	IS 'what rfm() returns: rfm_tiles() by the names of signals, with at least as many leads as tiles';

CREATE FUNCTION leadscore.rfm(signals text[], at timestamptz DEFAULT now(), n integer DEFAULT 5)
	RETURNS TABLE (lead_id text, last_at timestamptz, frequency bigint, monetary numeric,
		recency_tile integer, frequency_tile integer, monetary_tile integer, rfm_group text)
	LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT r.lead_id, r.last_at, r.frequency, r.monetary, r.recency_tile, r.frequency_tile, r.monetary_tile, r.rfm_group
	FROM leadscore_internal.rfm_checked(signals, at, n, NULL::interval[], NULL::bigint[], NULL::numeric[]) r
	ORDER BY r.lead_id;
END;

CREATE FUNCTION leadscore_internal.conversion_of(model text) RETURNS SETOF leadscore_internal.model_conversion
	LANGUAGE plpgsql STABLE ROWS 1 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	-- an experiment has the conversion of its control
	name CONSTANT text := leadscore_internal.model_named(coalesce((SELECT e.control FROM leadscore.experiment e WHERE e.experiment = conversion_of.model), model));
BEGIN
	RETURN QUERY SELECT c.* FROM leadscore_internal.model_conversion c WHERE c.model = name;
	IF NOT FOUND AND name IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('model "%s" has no conversion', name),
			DETAIL = 'There is neither a row for it in leadscore.conversion nor a signal purchase.',
			HINT = format('INSERT INTO leadscore.conversion (model, signal) VALUES (%L, ...).', name);
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.conversion_of(text) IS 'a model''s conversion; of an experiment that of its control';

CREATE FUNCTION leadscore.rfm(model text DEFAULT 'default', at timestamptz DEFAULT now(), n integer DEFAULT 5)
	RETURNS TABLE (lead_id text, last_at timestamptz, frequency bigint, monetary numeric,
		recency_tile integer, frequency_tile integer, monetary_tile integer, rfm_group text)
	LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT r.lead_id, r.last_at, r.frequency, r.monetary, r.recency_tile, r.frequency_tile, r.monetary_tile, r.rfm_group
	FROM leadscore_internal.conversion_of(rfm.model) c
	CROSS JOIN LATERAL leadscore_internal.rfm_checked(ARRAY[c.signal], at, n, c.recency_cuts, c.frequency_cuts, c.monetary_cuts) r
	ORDER BY r.lead_id;
END;

COMMENT ON FUNCTION leadscore.rfm(text[], timestamptz, integer) IS 'recency, frequency and monetary value of all leads that have bought, in n tiles that keep equals together, and the group';
COMMENT ON FUNCTION leadscore.rfm(text, timestamptz, integer) IS 'the same for the conversion of a model; five tiles have its cut points';

SELECT pg_catalog.pg_extension_config_dump('leadscore.conversion', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.rfm_group', '');
