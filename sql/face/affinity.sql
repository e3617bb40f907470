-- affinity.sql: what leads lean to: categories, brands, and other properties of
-- their events

CREATE FUNCTION leadscore_internal.log_events(kinds text[])
	RETURNS TABLE (lead_id text, kind text, occurred_at timestamptz, properties jsonb)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET row_security = off SET jit = off
AS $$
	SELECT coalesce(a.lead_id, e.lead_id), e.kind, e.occurred_at, e.properties
	FROM (
		SELECT array_agg(s.source ORDER BY s.source::oid, s.mapping) AS sources, array_agg(s.mapping ORDER BY s.source::oid, s.mapping) AS mappings
		FROM leadscore.source s
		WHERE s.feeds = 'timeline'
	) s
	CROSS JOIN LATERAL leadscore_internal.source_events(s.sources, s.mappings, NULL::text[], log_events.kinds) e
	LEFT JOIN leadscore.lead_alias a ON a.alias = e.lead_id
	WHERE log_events.kinds IS NULL OR e.kind = ANY (log_events.kinds)
$$;

COMMENT ON FUNCTION leadscore_internal.log_events(text[]) IS 'the events of all sources, of some kinds or (NULL) of any, by lead';

CREATE FUNCTION leadscore_internal.check_property(property text, n integer DEFAULT 1) RETURNS void
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF property IS NULL OR property = '' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'the property is NULL or empty',
			DETAIL = 'Events are told apart by one of their properties.', HINT = 'Name it, such as ''category''.';
	END IF;
	IF n IS NULL OR n < 1 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'n is not above zero',
			DETAIL = format('It is %s.', coalesce(n::text, 'NULL')), HINT = 'Pass the number of values for which to create signals.';
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.check_property(text, integer) IS 'refuses invalid properties and numbers of values';

CREATE FUNCTION leadscore_internal.check_kinds(kinds text[]) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	unknown CONSTANT text[] := ARRAY(SELECT k FROM unnest(kinds) k EXCEPT SELECT e.kind FROM leadscore_internal.log_events(kinds) e ORDER BY 1);
BEGIN
	IF unknown <> '{}' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'there are no events of a kind',
			DETAIL = format('No event has the kind %s.', array_to_string(unknown, ' or ', 'NULL')), HINT = 'Name kinds that the log has, or none for any.';
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.check_kinds(text[]) IS 'refuses kinds that no event has';

CREATE FUNCTION leadscore.affinity(property text, at timestamptz DEFAULT now(), half_life interval DEFAULT '30 days',
	kinds text[] DEFAULT NULL, prior float8 DEFAULT 1)
	RETURNS TABLE (lead_id text, value text, weight float8, share float8, shop_share float8, affinity float8)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET row_security = off SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	hours CONSTANT float8 := extract(epoch FROM half_life) / 3600;
	present CONSTANT float8 := floor(extract(epoch FROM affinity.at) / 3600);
BEGIN
	PERFORM leadscore_internal.check_property(property, 1);
	PERFORM leadscore_internal.duration_hours('half_life'::text, half_life, 'Write a duration such as 30 days.'::text);
	IF half_life IS NULL OR (prior >= 0 AND prior < 'Infinity') IS NOT TRUE THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'half_life is NULL, or prior is below zero',
			DETAIL = format('half_life is %s, prior is %s.', coalesce(half_life::text, 'NULL'), coalesce(prior::text, 'NULL')),
			HINT = 'For example: half_life => ''30 days'', prior => 1.';
	END IF;
	RETURN QUERY
	WITH event AS (
		SELECT e.lead_id, e.properties ->> affinity.property AS value, (present - floor(extract(epoch FROM e.occurred_at) / 3600)) / hours AS age
		FROM leadscore_internal.log_events(affinity.kinds) e
		WHERE e.properties ->> affinity.property IS NOT NULL AND date_trunc('hour', e.occurred_at, 'UTC') <= affinity.at
		AND (NOT (SELECT leadscore_internal.anybody_excluded()) OR NOT leadscore_internal.is_excluded(e.lead_id))
	), leaning AS MATERIALIZED (
		-- what is more than a hundred half-lives old is nothing
		SELECT e.lead_id, e.value, sum(power(2::float8, - e.age)) AS weight
		FROM event e
		WHERE e.age < 100
		GROUP BY e.lead_id, e.value
	), shop AS (
		SELECT l.value, sum(l.weight) / sum(sum(l.weight)) OVER () AS share FROM leaning l GROUP BY l.value
	)
	SELECT l.lead_id, l.value, l.weight, l.weight / t.total, s.share,
		(l.weight + affinity.prior * s.share) / (t.total + affinity.prior) / s.share
	FROM leaning l
	JOIN (SELECT o.lead_id, sum(o.weight) AS total FROM leaning o GROUP BY o.lead_id) t ON t.lead_id = l.lead_id
	JOIN shop s ON s.value = l.value
	WHERE s.share > 0 AND t.total > 0
	ORDER BY l.lead_id, 6 DESC, l.value;
	IF NOT FOUND THEN
		PERFORM leadscore_internal.check_kinds(affinity.kinds);
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore.affinity(text, timestamptz, interval, text[], float8)
	IS 'how much more (above 1) or less a lead leans to each value of a property than the shop''s leads do together';

CREATE FUNCTION leadscore.make_signals(property text, kind text DEFAULT NULL, n integer DEFAULT 20)
	RETURNS TABLE (signal text, value jsonb, events bigint, made boolean)
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET row_security = off SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	kinds CONSTANT text[] := CASE WHEN make_signals.kind IS NOT NULL THEN ARRAY[make_signals.kind] END;
	candidate record;
	known record;
BEGIN
	PERFORM leadscore_internal.check_property(property, n);
	FOR candidate IN
		SELECT concat_ws(' ', make_signals.kind, make_signals.property || ': ' || CASE
				-- 42 and "42" are two values
				WHEN jsonb_typeof(v.value) = 'string' AND v.value #>> '{}' ~ '^(-?[0-9.]+([eE][-+]?[0-9]+)?|true|false)$' THEN v.value::text
				ELSE v.value #>> '{}' END) AS signal,
			v.value, count(*) AS events
		FROM leadscore_internal.log_events(kinds) e
		CROSS JOIN LATERAL (SELECT e.properties -> make_signals.property AS value) v
		WHERE jsonb_typeof(v.value) IN ('string', 'number', 'boolean') AND octet_length(v.value::text) <= 200
		GROUP BY v.value
		ORDER BY 3 DESC, 1
		LIMIT n
	LOOP
		signal := candidate.signal;
		value := candidate.value;
		events := candidate.events;
		INSERT INTO leadscore.signal (signal, kind, match, description)
		VALUES (signal, make_signals.kind, jsonb_build_object(property, value), format('%s of %s', coalesce(make_signals.kind, 'anything'), value #>> '{}'))
		ON CONFLICT (signal) DO NOTHING;
		made := FOUND;
		SELECT s.kind, s.match, s.condition, s.subject INTO known FROM leadscore.signal s WHERE s.signal = candidate.signal;
		IF (known.kind, known.match, known.condition::text, known.subject) IS DISTINCT FROM (make_signals.kind, jsonb_build_object(property, value), NULL::text, 'event'::text) THEN
			RAISE EXCEPTION USING ERRCODE = 'duplicate_object', MESSAGE = format('there is another signal "%s"', signal),
				DETAIL = format('It is an %s signal, its kind is %s, it matches %s, its condition is %s.', known.subject, coalesce(known.kind, 'NULL'),
					coalesce(known.match::text, 'anything'), coalesce(known.condition::text, 'none')),
				HINT = 'Rename it.';
		END IF;
		RETURN NEXT;
	END LOOP;
	IF NOT FOUND THEN
		PERFORM leadscore_internal.check_kinds(kinds);
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore.make_signals(text, text, integer)
	IS 'makes a signal of each of the n most frequent values of a property, so that models can weigh them';
