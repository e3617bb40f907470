-- clv.sql: customer value: the models are fitted to timelines, and tell what a customer is worth

-- private functions

CREATE FUNCTION leadscore_internal.fit_clv_transition(internal, leadscore.timeline, integer, timestamptz, interval) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.fit_clv_transition(internal, leadscore.timeline, integer, timestamptz, interval, text) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.fit_clv_merge(internal, internal) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.fit_clv_serialize(internal) RETURNS bytea
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.fit_clv_deserialize(bytea, internal) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.fit_clv_final(internal) RETURNS jsonb
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION leadscore_internal.fit_clv_transition(internal, leadscore.timeline, integer, timestamptz, interval) IS 'aggregate transition function';
COMMENT ON FUNCTION leadscore_internal.fit_clv_transition(internal, leadscore.timeline, integer, timestamptz, interval, text) IS 'aggregate transition function';
COMMENT ON FUNCTION leadscore_internal.fit_clv_merge(internal, internal) IS 'aggregate combine function';
COMMENT ON FUNCTION leadscore_internal.fit_clv_serialize(internal) IS 'aggregate serial function';
COMMENT ON FUNCTION leadscore_internal.fit_clv_deserialize(bytea, internal) IS 'aggregate deserial function';
COMMENT ON FUNCTION leadscore_internal.fit_clv_final(internal) IS 'aggregate final function';

CREATE FUNCTION leadscore_internal.check_fit(signal text, until timestamptz) RETURNS integer
	LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	id integer;
BEGIN
	SELECT s.signal_id INTO id FROM leadscore.signal s WHERE s.signal = check_fit.signal AND s.subject = 'event';
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object',
			MESSAGE = format('event signal "%s" does not exist', signal),
			DETAIL = format('There is no row with the signal "%s" and the subject "event" in leadscore.signal.', signal),
			HINT = leadscore_internal.known('event signals'::text, ARRAY(SELECT s.signal FROM leadscore.signal s WHERE s.subject = 'event' ORDER BY 1));
	END IF;
	IF until > now() THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'until is in the future',
			DETAIL = format('It is %s.', until),
			HINT = 'Pass the instant up to which all purchases are known: now(), or one in the past.';
	END IF;
	RETURN id;
END
$$;

COMMENT ON FUNCTION leadscore_internal.check_fit(text, timestamptz) IS 'the number of the signal to fit, or an error';

-- fitting

CREATE AGGREGATE leadscore.fit_clv(timeline leadscore.timeline, signal_id integer, until timestamptz, unit interval) (
	SFUNC = leadscore_internal.fit_clv_transition,
	STYPE = internal,
	SSPACE = 2048,
	FINALFUNC = leadscore_internal.fit_clv_final,
	COMBINEFUNC = leadscore_internal.fit_clv_merge,
	SERIALFUNC = leadscore_internal.fit_clv_serialize,
	DESERIALFUNC = leadscore_internal.fit_clv_deserialize,
	PARALLEL = safe
);

COMMENT ON AGGREGATE leadscore.fit_clv(leadscore.timeline, integer, timestamptz, interval)
	IS 'the parameters of BG/NBD and Gamma-Gamma, fitted to the purchases in timelines';

CREATE AGGREGATE leadscore.fit_clv(timeline leadscore.timeline, signal_id integer, until timestamptz, unit interval, time_zone text) (
	SFUNC = leadscore_internal.fit_clv_transition,
	STYPE = internal,
	SSPACE = 2048,
	FINALFUNC = leadscore_internal.fit_clv_final,
	COMBINEFUNC = leadscore_internal.fit_clv_merge,
	SERIALFUNC = leadscore_internal.fit_clv_serialize,
	DESERIALFUNC = leadscore_internal.fit_clv_deserialize,
	PARALLEL = safe
);

COMMENT ON AGGREGATE leadscore.fit_clv(leadscore.timeline, integer, timestamptz, interval, text)
	IS 'the same, with purchases by the days of a time zone; NULL: UTC';

CREATE FUNCTION leadscore_internal.default_time_zone() RETURNS text
	LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT coalesce((SELECT m.time_zone FROM leadscore.model m WHERE m.model = 'default'),
		(SELECT m.time_zone FROM leadscore.default_model d JOIN leadscore.model m ON m.model = d.model WHERE NOT EXISTS (SELECT FROM leadscore.model n WHERE n.model = 'default')));
END;

COMMENT ON FUNCTION leadscore_internal.default_time_zone() IS 'the time zone of the default model; NULL: UTC, or there is none';

CREATE FUNCTION leadscore.fit_clv(signal text, until timestamptz DEFAULT now(), unit interval DEFAULT '7 days') RETURNS jsonb
	LANGUAGE sql STABLE STRICT PARALLEL SAFE SET jit = off
BEGIN ATOMIC
	SELECT jsonb_build_object('signal', fit_clv.signal)
		|| leadscore.fit_clv(l.timeline, (SELECT leadscore_internal.check_fit(fit_clv.signal, fit_clv.until)), fit_clv.until, fit_clv.unit,
			(SELECT leadscore_internal.default_time_zone()))
	FROM (SELECT) one LEFT JOIN leadscore_internal.visible_lead l ON true;	-- a row at least, whose arguments are checked
END;

COMMENT ON FUNCTION leadscore.fit_clv(text, timestamptz, interval)
	IS 'the parameters of BG/NBD and Gamma-Gamma, fitted to the purchases of all leads';

-- forecasting

CREATE TYPE leadscore.customer_value AS (
	purchases integer,
	last_purchase date,
	probability_alive float8,
	expected_purchases float8,
	average_value float8,
	expected_value float8,
	next_order date
);

COMMENT ON TYPE leadscore.customer_value IS 'what a customer has done, and is expected to do within a horizon';
COMMENT ON COLUMN leadscore.customer_value.purchases IS 'days on which the lead has bought, in the time zone of the parameters';
COMMENT ON COLUMN leadscore.customer_value.last_purchase IS 'the last of these days';
COMMENT ON COLUMN leadscore.customer_value.probability_alive IS 'that the lead is still a customer; the risk of churn is 1 minus this';
COMMENT ON COLUMN leadscore.customer_value.expected_purchases IS 'within the horizon';
COMMENT ON COLUMN leadscore.customer_value.average_value IS 'expected of a purchase; NULL without gamma_gamma';
COMMENT ON COLUMN leadscore.customer_value.expected_value IS 'of the expected purchases; NULL without gamma_gamma';
COMMENT ON COLUMN leadscore.customer_value.next_order IS 'the day by which half of such customers order again, if they are still customers';

CREATE FUNCTION leadscore.clv(timeline leadscore.timeline, params jsonb, horizon interval DEFAULT '1 year', at timestamptz DEFAULT now())
	RETURNS leadscore.customer_value
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 50;

COMMENT ON FUNCTION leadscore.clv(leadscore.timeline, jsonb, interval, timestamptz)
	IS 'the expected value of a customer, by a timeline';

-- An untyped literal means a lead: the parser prefers text.
CREATE FUNCTION leadscore_internal.not_a_timeline(lead_id text) RETURNS text
	LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF lead_id ~ '^[[:space:]]*[{][[:space:]]*[0-9]+[[:space:]]*:[[:space:]]*[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}Z[[:space:]]' THEN
		RAISE EXCEPTION USING ERRCODE = 'ambiguous_function', MESSAGE = 'the lead is written as a timeline',
			DETAIL = format('It is %s, and an untyped literal means the name of a lead.', quote_literal(left(lead_id, 50))),
			HINT = 'Write timeline ''{...}'' for a timeline.';
	END IF;
	RETURN lead_id;
END
$$;

COMMENT ON FUNCTION leadscore_internal.not_a_timeline(text) IS 'the name of a lead, or an error if it is the text of a timeline';

CREATE FUNCTION leadscore.clv(lead_id text, params jsonb, horizon interval DEFAULT '1 year', at timestamptz DEFAULT now())
	RETURNS leadscore.customer_value
	LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT leadscore.clv(leadscore_internal.timeline_of(leadscore_internal.lead_named(leadscore_internal.not_a_timeline(clv.lead_id))),
		params, horizon, at);
END;

COMMENT ON FUNCTION leadscore.clv(text, jsonb, interval, timestamptz) IS 'the expected value of a customer, by the lead';
