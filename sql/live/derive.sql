-- derive.sql: behaviours that are not in the log but follow from it
--
-- A pass computes what follows from the events of some leads, and writes the
-- difference to what was derived before: so it can be repeated, and late events
-- correct it. Derived events are rows of a tracked table, so timelines follow
-- by themselves. The leads to look at are those whose events have changed
-- (record() appends them to changed_lead in the transaction that changes them)
-- and those for which the passing of time is enough (derivation_due).

-- session_number

CREATE FUNCTION leadscore.session_number(occurred_at timestamptz, gap interval) RETURNS bigint
	AS 'MODULE_PATHNAME' LANGUAGE C WINDOW IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION leadscore.session_number(occurred_at timestamp, gap interval) RETURNS bigint
	AS 'MODULE_PATHNAME' LANGUAGE C WINDOW IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION leadscore.session_number(timestamptz, interval)
	IS 'window function: numbers sessions from 1, a new one where a row is more than the gap from the row before';
COMMENT ON FUNCTION leadscore.session_number(timestamp, interval)
	IS 'window function: numbers sessions from 1, a new one where a row is more than the gap from the row before';

-- rules

CREATE TABLE leadscore.derivation (
	derivation text PRIMARY KEY
		CONSTRAINT derivation_not_empty CHECK ((derivation <> '') IS NOT FALSE OR leadscore_internal.refuse(
			'derivation name is empty', '""', 'Name the rule, or leave the name out.')),
	behaviour text NOT NULL
		CONSTRAINT derivation_behaviour_known CHECK ((behaviour IN ('visit', 'dwell', 'cart_abandoned', 'returned_visit', 'sequence')) IS NOT FALSE OR leadscore_internal.refuse(
			'behaviour is unknown', behaviour, 'Write visit, dwell, cart_abandoned, returned_visit or sequence.')),
	derived_kind text NOT NULL
		CONSTRAINT derivation_derived_kind_not_empty CHECK ((derived_kind <> '') IS NOT FALSE OR leadscore_internal.refuse(
			'derived_kind is empty', '""', 'Name the kind of the derived events, or leave it out.')),
	kinds text[]
		CONSTRAINT derivation_kinds_not_empty CHECK ((cardinality(kinds) > 0 AND array_position(kinds, NULL) IS NULL) IS NOT FALSE OR leadscore_internal.refuse(
			'kinds are empty', kinds::text, 'Name the kinds of events, or write NULL for any kind.')),
	until_kinds text[]
		CONSTRAINT derivation_until_kinds_not_empty CHECK ((cardinality(until_kinds) > 0 AND array_position(until_kinds, NULL) IS NULL) IS NOT FALSE OR leadscore_internal.refuse(
			'until_kinds are empty', until_kinds::text, 'Name the kinds of events, or write NULL for any kind.')),
	gap interval NOT NULL DEFAULT '30 minutes'
		CONSTRAINT derivation_gap_positive CHECK ((extract(epoch FROM gap) > 0 AND extract(epoch FROM gap) <= 1e11) IS NOT FALSE OR leadscore_internal.refuse(
			'gap is not above zero, or too long', gap::text, 'Write a duration such as 30 minutes.')),
	delay interval,
	cap interval
		CONSTRAINT derivation_cap_positive CHECK ((extract(epoch FROM cap) > 0 AND extract(epoch FROM cap) <= 1e11) IS NOT FALSE OR leadscore_internal.refuse(
			'cap is not above zero, or too long', cap::text, 'Write a duration such as 10 minutes, or NULL for none.')),
	then_kinds text[]
		CONSTRAINT derivation_then_kinds_not_empty CHECK ((cardinality(then_kinds) > 0 AND array_position(then_kinds, NULL) IS NULL) IS NOT FALSE OR leadscore_internal.refuse(
			'then_kinds are empty', then_kinds::text, 'Name the kinds of the second event.')),
	CONSTRAINT derivation_delay_needed CHECK ((delay IS NOT NULL) = (behaviour IN ('cart_abandoned', 'returned_visit', 'sequence')) OR leadscore_internal.refuse(
		format('the delay does not fit the behaviour %s', behaviour), delay::text, 'cart_abandoned, returned_visit and sequence have a delay, the others have none.')),
	CONSTRAINT derivation_delay_positive CHECK ((extract(epoch FROM delay) > 0) IS NOT FALSE OR leadscore_internal.refuse(
		'delay is not above zero', delay::text, 'Write a duration such as 7 days.')),
	CONSTRAINT derivation_delay_not_below_gap CHECK (((behaviour = 'sequence' OR extract(epoch FROM delay) >= extract(epoch FROM gap)) AND extract(epoch FROM delay) <= 1e11) IS NOT FALSE OR leadscore_internal.refuse(
		'delay is shorter than the gap, or too long', format('delay %s, gap %s', delay, gap), 'What ends within a visit is not yet over: write a delay of at least the gap.')),
	CONSTRAINT derivation_until_kinds_needed CHECK (CASE behaviour WHEN 'cart_abandoned' THEN kinds IS NOT NULL AND until_kinds IS NOT NULL
			WHEN 'dwell' THEN kinds IS NOT NULL ELSE until_kinds IS NULL END OR leadscore_internal.refuse(
		format('the kinds do not fit the behaviour %s', behaviour), format('kinds %s, until_kinds %s', coalesce(kinds::text, 'NULL'), coalesce(until_kinds::text, 'NULL')),
		'cart_abandoned has both, dwell has kinds and may have until_kinds, the others have no until_kinds.')),
	CONSTRAINT derivation_then_kinds_needed CHECK (CASE behaviour WHEN 'sequence' THEN kinds IS NOT NULL AND then_kinds IS NOT NULL ELSE then_kinds IS NULL END OR leadscore_internal.refuse(
		format('then_kinds do not fit the behaviour %s', behaviour), format('kinds %s, then_kinds %s', coalesce(kinds::text, 'NULL'), coalesce(then_kinds::text, 'NULL')),
		'sequence has kinds, for the first event, and then_kinds, for the second one; the others have no then_kinds.')),
	CONSTRAINT derivation_then_kinds_apart CHECK ((kinds && then_kinds) IS NOT TRUE OR leadscore_internal.refuse(
		'the kinds of a sequence overlap', format('kinds %s, then_kinds %s', kinds, then_kinds), 'An event is either the first or the second one: name each kind in one of the columns.')),
	CONSTRAINT derivation_cap_needed CHECK (cap IS NULL OR behaviour = 'dwell' OR leadscore_internal.refuse(
		format('the behaviour %s has no cap', behaviour), cap::text, 'Write NULL.'))
);

COMMENT ON TABLE leadscore.derivation IS 'rules for derive(): which behaviours follow from the log, and how; without rules nothing is derived';
COMMENT ON COLUMN leadscore.derivation.derivation IS 'name; default: the behaviour';
COMMENT ON COLUMN leadscore.derivation.behaviour IS 'visit, dwell, cart_abandoned, returned_visit or sequence';
COMMENT ON COLUMN leadscore.derivation.derived_kind IS 'the kind that the derived events have; default: the behaviour';
COMMENT ON COLUMN leadscore.derivation.kinds IS 'the events that it looks at; NULL: any kind; sequence: the first event';
COMMENT ON COLUMN leadscore.derivation.until_kinds IS 'cart_abandoned: purchases; dwell: what ends a page, NULL: any kind';
COMMENT ON COLUMN leadscore.derivation.gap IS 'a silence longer than this ends a visit';
COMMENT ON COLUMN leadscore.derivation.delay IS 'cart_abandoned: how long a purchase is waited for; returned_visit: the silence; sequence: the longest time between the two events';
COMMENT ON COLUMN leadscore.derivation.cap IS 'dwell: the longest that a page counts; NULL: no limit but the gap';
COMMENT ON COLUMN leadscore.derivation.then_kinds IS 'sequence: the second event';

CREATE FUNCTION leadscore_internal.fill_derivation() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM leadscore_internal.check_trigger(TG_RELID, 'leadscore.derivation'::regclass);
	IF TG_OP = 'INSERT' THEN
		NEW.derivation := coalesce(NEW.derivation, NEW.behaviour);
		NEW.derived_kind := coalesce(NEW.derived_kind, NEW.behaviour);
	END IF;
	IF leadscore_internal.in_restore() THEN
		RETURN NEW;
	END IF;
	IF NEW.derived_kind IS NOT NULL AND leadscore_internal.log_has(NEW.derived_kind, false) THEN
		RAISE NOTICE USING MESSAGE = format('there are events of the kind "%s" already', NEW.derived_kind),
			DETAIL = 'Signals of that kind count both: the events of the log, and those that derive() finds.',
			HINT = format('UPDATE leadscore.derivation SET derived_kind = %L WHERE derivation = %L keeps them apart.', 'derived_' || NEW.derived_kind, NEW.derivation);
	END IF;
	IF TG_OP = 'UPDATE' THEN
		RETURN NEW;
	END IF;
	CASE NEW.behaviour
	WHEN 'dwell' THEN
		NEW.kinds := coalesce(NEW.kinds, '{product_view}');
		NEW.cap := coalesce(NEW.cap, '10 minutes');
	WHEN 'cart_abandoned' THEN
		NEW.kinds := coalesce(NEW.kinds, '{add_to_cart}');
		NEW.until_kinds := coalesce(NEW.until_kinds, '{purchase}');
		NEW.delay := coalesce(NEW.delay, greatest('1 hour', NEW.gap));
	WHEN 'returned_visit' THEN
		NEW.delay := coalesce(NEW.delay, greatest('30 days', NEW.gap));
	WHEN 'sequence' THEN
		NEW.delay := coalesce(NEW.delay, '7 days');
	ELSE
	END CASE;
	RETURN NEW;
END
$$;

COMMENT ON FUNCTION leadscore_internal.fill_derivation() IS 'trigger: fills in what a rule leaves out; a NOTICE if the log already has events of its kind';

CREATE TRIGGER fill_derivation BEFORE INSERT OR UPDATE OF derived_kind ON leadscore.derivation
	FOR EACH ROW EXECUTE FUNCTION leadscore_internal.fill_derivation();

-- what is derived, and what is to be looked at

CREATE TABLE leadscore.derived_event (
	derived_event_id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
	lead_id text NOT NULL,
	kind text NOT NULL,
	occurred_at timestamptz NOT NULL,
	value numeric,
	properties jsonb,
	derivation text NOT NULL
);

CREATE INDEX derived_event_lead_id_idx ON leadscore.derived_event (lead_id, occurred_at);

COMMENT ON TABLE leadscore.derived_event IS 'the events that derive() has found; tracked from the start; do not write to it by hand';
COMMENT ON COLUMN leadscore.derived_event.derived_event_id IS 'number, assigned';
COMMENT ON COLUMN leadscore.derived_event.lead_id IS 'the lead';
COMMENT ON COLUMN leadscore.derived_event.kind IS 'the rule''s derived_kind';
COMMENT ON COLUMN leadscore.derived_event.occurred_at IS 'when';
COMMENT ON COLUMN leadscore.derived_event.value IS 'seconds: how long the visit was, the page was looked at, the lead was silent, or the second event came after the first; NULL for cart_abandoned';
COMMENT ON COLUMN leadscore.derived_event.properties IS 'visit: the number of events; dwell: those of the page''s event';
COMMENT ON COLUMN leadscore.derived_event.derivation IS 'the rule that it follows from';

-- deferred: a pass locks no timeline, so it cannot deadlock with those who write events
SELECT leadscore_internal.create_triggers('leadscore.derived_event', '{"lead_id": "lead_id", "kind_column": "kind",
	"occurred_at": "occurred_at", "value": "value", "properties": ["properties"], "maintenance": "deferred"}', 'record');

CREATE TABLE leadscore_internal.derivation_due (
	lead_id text PRIMARY KEY,
	due_at timestamptz NOT NULL
);

CREATE INDEX derivation_due_due_at_idx ON leadscore_internal.derivation_due (due_at);

COMMENT ON TABLE leadscore_internal.derivation_due IS 'leads for which time alone will bring an event';
COMMENT ON COLUMN leadscore_internal.derivation_due.lead_id IS 'the lead';
COMMENT ON COLUMN leadscore_internal.derivation_due.due_at IS 'the first instant at which something may';

CREATE TABLE leadscore_internal.derivation_state (
	only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
	derived_until timestamptz NOT NULL
);

COMMENT ON TABLE leadscore_internal.derivation_state IS 'the state of derive(): one row, or none before the first call';
COMMENT ON COLUMN leadscore_internal.derivation_state.only_row IS 'true';
COMMENT ON COLUMN leadscore_internal.derivation_state.derived_until IS 'the instant of the last pass';

-- private functions

CREATE FUNCTION leadscore_internal.lock_derivations() RETURNS void
	LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT leadscore_internal.lock_by_name('derive'::text)
$$;

COMMENT ON FUNCTION leadscore_internal.lock_derivations() IS 'keeps other passes of derive() and changes of its rules waiting until the transaction ends';

CREATE FUNCTION leadscore_internal.derivations_changed() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM leadscore_internal.check_trigger(TG_RELID, 'leadscore.derivation'::regclass);
	IF NOT leadscore_internal.in_restore() THEN
		PERFORM leadscore_internal.lock_derivations();
		INSERT INTO leadscore_internal.changed_lead VALUES (NULL);
	END IF;
	RETURN NULL;
END
$$;

COMMENT ON FUNCTION leadscore_internal.derivations_changed() IS 'trigger: the next derive() looks at all leads';

CREATE TRIGGER derivations_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON leadscore.derivation
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.derivations_changed();

-- a session remembers whether there are rules
CREATE TRIGGER signals_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON leadscore.derivation
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.signals_changed();
ALTER TABLE leadscore.derivation ENABLE ALWAYS TRIGGER signals_changed;

CREATE FUNCTION leadscore_internal.alias_changed() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM leadscore_internal.check_trigger(TG_RELID, 'leadscore.lead_alias'::regclass);
	-- its pages, as record() asks, not its rows: a snapshot may be older than the first rule
	IF leadscore_internal.in_restore() OR pg_relation_size('leadscore.derivation') = 0 THEN
		RETURN NULL;
	END IF;
	IF TG_OP <> 'INSERT' THEN
		INSERT INTO leadscore_internal.changed_lead SELECT unnest(ARRAY[o.alias, o.lead_id]) FROM leadscore_old o;
	END IF;
	IF TG_OP <> 'DELETE' THEN
		INSERT INTO leadscore_internal.changed_lead SELECT unnest(ARRAY[n.alias, n.lead_id]) FROM leadscore_new n;
	END IF;
	RETURN NULL;
END
$$;

COMMENT ON FUNCTION leadscore_internal.alias_changed() IS 'trigger: what was derived of both names is to be looked at again';

CREATE TRIGGER alias_changed_insert AFTER INSERT ON leadscore.lead_alias REFERENCING NEW TABLE AS leadscore_new
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.alias_changed();
CREATE TRIGGER alias_changed_update AFTER UPDATE ON leadscore.lead_alias REFERENCING NEW TABLE AS leadscore_new OLD TABLE AS leadscore_old
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.alias_changed();
CREATE TRIGGER alias_changed_delete AFTER DELETE ON leadscore.lead_alias REFERENCING OLD TABLE AS leadscore_old
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.alias_changed();

CREATE FUNCTION leadscore_internal.source_events(sources regclass[], mappings jsonb[], lead_ids text[], kinds text[],
	OUT lead_id text, OUT kind text, OUT occurred_at timestamptz, OUT value numeric, OUT properties jsonb) RETURNS SETOF record
	AS 'MODULE_PATHNAME' LANGUAGE C STABLE ROWS 100000;

COMMENT ON FUNCTION leadscore_internal.source_events(regclass[], jsonb[], text[], text[])
	IS 'the rows of some tables as events; lead_ids and kinds say which are wanted, but more may come';

CREATE FUNCTION leadscore_internal.duration(length interval) RETURNS interval
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT extract(epoch FROM length) * '1 second'::interval
$$;

COMMENT ON FUNCTION leadscore_internal.duration(interval) IS 'the same length in seconds alone, a month being 30 days and a year 365.25 days';

-- One statement, so that one snapshot sees the sources, their events, the
-- aliases, what was derived before, and which leads to look at: a transaction
-- that commits meanwhile is seen by the next pass, whole.

CREATE FUNCTION leadscore_internal.derive_once(until timestamptz, everybody boolean)
	RETURNS TABLE (derivation text, added bigint, removed bigint, unknown_kinds text[])
	LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
	WITH changed AS (
		DELETE FROM leadscore_internal.changed_lead c WHERE everybody OR c.lead_id IS NOT NULL RETURNING c.lead_id
	), touched AS MATERIALIZED (
		SELECT c.lead_id FROM changed c WHERE NOT everybody
		UNION
		SELECT d.lead_id FROM leadscore_internal.derivation_due d WHERE NOT everybody AND d.due_at <= until
	), lead AS MATERIALIZED (
		SELECT t.lead_id FROM touched t
		UNION
		SELECT a.lead_id FROM leadscore.lead_alias a JOIN touched t ON t.lead_id = a.alias
	), name AS MATERIALIZED (
		SELECT l.lead_id FROM lead l
		UNION
		SELECT a.alias FROM leadscore.lead_alias a JOIN lead l ON l.lead_id = a.lead_id
	), rule AS MATERIALIZED (
		SELECT r.derivation, r.behaviour, r.derived_kind, r.kinds, r.until_kinds, r.then_kinds,
			leadscore_internal.duration(r.gap) AS gap, leadscore_internal.duration(r.delay) AS delay, leadscore_internal.duration(r.cap) AS cap
		FROM leadscore.derivation r
	), source AS MATERIALIZED (
		SELECT array_agg(s.source) AS sources, array_agg(s.mapping) AS mappings
		FROM leadscore.source s
		WHERE s.feeds = 'timeline' AND EXISTS (SELECT FROM rule)
	), wanted_kind AS MATERIALIZED (
		-- the kinds that rules look at; NULL: any
		SELECT CASE WHEN bool_and(r.kinds IS NOT NULL AND (r.until_kinds IS NOT NULL OR r.behaviour <> 'dwell'))
			THEN (SELECT array_agg(DISTINCT k) FROM rule o CROSS JOIN LATERAL unnest(o.kinds || o.until_kinds || o.then_kinds) k) END AS kinds
		FROM rule r
	), archive AS MATERIALIZED (
		SELECT coalesce((SELECT a.archived_before FROM leadscore.archive a), '-infinity') AS archived_before
	), last_event AS (
		-- of the archived past, of which the next events may be the second step
		SELECT e.* FROM leadscore_internal.archived_event e WHERE everybody
		UNION ALL
		SELECT e.* FROM name n JOIN leadscore_internal.archived_event e ON e.lead_id = n.lead_id WHERE NOT everybody
	), event AS MATERIALIZED (
		SELECT coalesce(a.lead_id, e.lead_id) AS lead_id, e.kind, e.occurred_at, e.properties
		FROM (
			SELECT e.lead_id, e.kind, e.occurred_at, e.properties
			FROM source s CROSS JOIN wanted_kind k
			CROSS JOIN LATERAL leadscore_internal.source_events(s.sources, s.mappings, CASE WHEN NOT everybody THEN ARRAY(SELECT n.lead_id FROM name n) END, k.kinds) e
			WHERE e.occurred_at >= (SELECT r.archived_before FROM archive r)
			UNION ALL
			SELECT e.lead_id, e.kind, e.occurred_at, NULL FROM last_event e
			WHERE e.occurred_at < (SELECT r.archived_before FROM archive r) AND EXISTS (SELECT FROM rule)
		) e
		LEFT JOIN leadscore.lead_alias a ON a.alias = e.lead_id
		WHERE everybody OR e.lead_id IN (SELECT n.lead_id FROM name n)
	),
	-- visits, and the silence before them
	activity AS (
		SELECT r.derivation, r.behaviour, r.derived_kind, r.delay, e.lead_id, e.occurred_at,
			leadscore.session_number(e.occurred_at, r.gap) OVER w AS session, lag(e.occurred_at) OVER w AS previous
		FROM rule r JOIN event e ON r.kinds IS NULL OR e.kind = ANY (r.kinds)
		WHERE r.behaviour IN ('visit', 'returned_visit') AND e.occurred_at <= until
		WINDOW w AS (PARTITION BY r.derivation, e.lead_id ORDER BY e.occurred_at)
	),
	-- pages, with the next instant at which something happens
	page AS (
		SELECT r.derivation, r.derived_kind, r.gap, r.cap, e.lead_id, e.occurred_at, e.properties,
			e.kind = ANY (r.kinds) AS is_page,
			first_value(e.occurred_at) OVER (PARTITION BY r.derivation, e.lead_id ORDER BY e.occurred_at
				GROUPS BETWEEN 1 FOLLOWING AND 1 FOLLOWING) AS next
		FROM rule r JOIN event e ON r.until_kinds IS NULL OR e.kind = ANY (r.kinds) OR e.kind = ANY (r.until_kinds)
		WHERE r.behaviour = 'dwell' AND e.occurred_at <= until
	),
	-- instants with carts and purchases, and the next such instant
	cart AS (
		SELECT r.derivation, r.derived_kind, r.delay, e.lead_id, e.occurred_at,
			bool_or(e.kind = ANY (r.kinds)) AND NOT bool_or(e.kind = ANY (r.until_kinds)) AS is_open,
			lead(e.occurred_at) OVER (PARTITION BY r.derivation, e.lead_id ORDER BY e.occurred_at) AS next
		FROM rule r JOIN event e ON e.kind = ANY (r.kinds) OR e.kind = ANY (r.until_kinds)
		WHERE r.behaviour = 'cart_abandoned' AND e.occurred_at <= until
		GROUP BY r.derivation, r.derived_kind, r.delay, e.lead_id, e.occurred_at
	), waiting AS MATERIALIZED (
		SELECT c.derivation, c.derived_kind, c.lead_id, c.occurred_at + c.delay AS abandoned_at
		FROM cart c
		WHERE c.is_open AND (c.next - c.occurred_at > c.delay) IS NOT FALSE
	),
	-- instants with first and second events, and such an instant before
	step AS (
		SELECT r.derivation, r.derived_kind, r.delay, e.lead_id, e.occurred_at, bool_or(e.kind = ANY (r.then_kinds)) AS is_second,
			lag(e.occurred_at) OVER w AS previous, lag(bool_or(e.kind = ANY (r.kinds))) OVER w AS is_after_first
		FROM rule r JOIN event e ON e.kind = ANY (r.kinds) OR e.kind = ANY (r.then_kinds)
		WHERE r.behaviour = 'sequence' AND e.occurred_at <= until
		GROUP BY r.derivation, r.derived_kind, r.delay, e.lead_id, e.occurred_at
		WINDOW w AS (PARTITION BY r.derivation, e.lead_id ORDER BY e.occurred_at)
	), wanted AS MATERIALIZED (
		SELECT d.*, row_number() OVER (PARTITION BY d.lead_id, d.derivation, d.kind, d.occurred_at, d.value, d.properties) AS n
		FROM (
			SELECT a.lead_id, a.derivation, a.derived_kind AS kind, min(a.occurred_at) AS occurred_at,
				trim_scale(extract(epoch FROM max(a.occurred_at) - min(a.occurred_at))) AS value, jsonb_build_object('events', count(*)) AS properties
			FROM activity a
			WHERE a.behaviour = 'visit'
			GROUP BY a.lead_id, a.derivation, a.derived_kind, a.session
			UNION ALL
			SELECT a.lead_id, a.derivation, a.derived_kind, a.occurred_at, trim_scale(extract(epoch FROM a.occurred_at - a.previous)), NULL
			FROM activity a
			WHERE a.behaviour = 'returned_visit' AND a.occurred_at - a.previous > a.delay
			UNION ALL
			SELECT p.lead_id, p.derivation, p.derived_kind, p.occurred_at, trim_scale(extract(epoch FROM least(p.next - p.occurred_at, p.cap))), p.properties
			FROM page p
			WHERE p.is_page AND p.next - p.occurred_at <= p.gap
			UNION ALL
			SELECT w.lead_id, w.derivation, w.derived_kind, w.abandoned_at, NULL, NULL
			FROM waiting w
			WHERE w.abandoned_at <= until
			UNION ALL
			SELECT s.lead_id, s.derivation, s.derived_kind, s.occurred_at, trim_scale(extract(epoch FROM s.occurred_at - s.previous)), NULL
			FROM step s
			WHERE s.is_second AND s.is_after_first AND s.occurred_at - s.previous <= s.delay
		) d
		WHERE d.occurred_at >= (SELECT r.archived_before FROM archive r)
	), present AS MATERIALIZED (
		SELECT d.*, row_number() OVER (PARTITION BY d.lead_id, d.derivation, d.kind, d.occurred_at, d.value, d.properties) AS n
		-- (not an OR, which would read all of the table in any case)
		FROM (
			SELECT d.* FROM leadscore.derived_event d WHERE everybody
			UNION ALL
			SELECT d.* FROM lead l JOIN leadscore.derived_event d ON d.lead_id = l.lead_id WHERE NOT everybody
		) d
		WHERE d.occurred_at >= (SELECT r.archived_before FROM archive r)
	), difference AS MATERIALIZED (
		SELECT p.derived_event_id, w.lead_id, w.kind, w.occurred_at, w.value, w.properties, w.derivation
		FROM wanted w FULL JOIN present p
		ON p.lead_id = w.lead_id AND p.derivation = w.derivation AND p.kind = w.kind AND p.occurred_at = w.occurred_at
			AND coalesce(p.value, -1) = coalesce(w.value, -1) AND coalesce(p.properties, 'null') = coalesce(w.properties, 'null') AND p.n = w.n
		WHERE w.lead_id IS NULL OR p.lead_id IS NULL
	), gone AS (
		DELETE FROM leadscore.derived_event d USING difference x
		WHERE d.derived_event_id = x.derived_event_id
		RETURNING d.derivation
	), come AS (
		INSERT INTO leadscore.derived_event (lead_id, kind, occurred_at, value, properties, derivation)
		SELECT x.lead_id, x.kind, x.occurred_at, x.value, x.properties, x.derivation
		FROM difference x
		WHERE x.derived_event_id IS NULL
		ORDER BY x.lead_id, x.occurred_at
		RETURNING derivation
	),
	-- when time alone will bring something
	due AS MATERIALIZED (
		SELECT f.lead_id, min(f.due_at) AS due_at
		FROM (
			SELECT w.lead_id, w.abandoned_at AS due_at FROM waiting w WHERE w.abandoned_at > until
			UNION ALL
			SELECT e.lead_id, e.occurred_at FROM event e WHERE e.occurred_at > until
		) f
		GROUP BY f.lead_id
	), no_longer_due AS (
		DELETE FROM leadscore_internal.derivation_due d
		USING (
			SELECT d.lead_id FROM leadscore_internal.derivation_due d WHERE everybody
			UNION ALL
			SELECT l.lead_id FROM lead l WHERE NOT everybody
		) l
		WHERE d.lead_id = l.lead_id AND NOT EXISTS (SELECT FROM due f WHERE f.lead_id = d.lead_id)
	), newly_due AS (
		INSERT INTO leadscore_internal.derivation_due AS d (lead_id, due_at)
		SELECT f.lead_id, f.due_at FROM due f
		ON CONFLICT (lead_id) DO UPDATE SET due_at = excluded.due_at WHERE d.due_at <> excluded.due_at
	)
	SELECT r.derivation, (SELECT count(*) FROM come c WHERE c.derivation = r.derivation), (SELECT count(*) FROM gone g WHERE g.derivation = r.derivation),
		CASE WHEN everybody THEN ARRAY(SELECT k FROM unnest(r.kinds || r.until_kinds || r.then_kinds) k EXCEPT SELECT e.kind FROM event e ORDER BY 1) END
	FROM (
		SELECT r.derivation, r.kinds, r.until_kinds, r.then_kinds FROM rule r
		UNION ALL
		SELECT DISTINCT g.derivation, NULL::text[], NULL::text[], NULL::text[] FROM gone g WHERE g.derivation NOT IN (SELECT r.derivation FROM rule r)
	) r
	ORDER BY r.derivation
$$;

COMMENT ON FUNCTION leadscore_internal.derive_once(timestamptz, boolean) IS 'one pass of derive(), over everybody or those who are to be looked at';

-- derive

CREATE FUNCTION leadscore_internal.wait_for_rules() RETURNS void
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE;

COMMENT ON FUNCTION leadscore_internal.wait_for_rules() IS 'waits for the transactions that are changing the rules of derive() now';

CREATE FUNCTION leadscore_internal.are_all_due(until timestamptz, everybody boolean) RETURNS boolean
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT everybody OR EXISTS (SELECT FROM leadscore_internal.changed_lead c WHERE c.lead_id IS NULL)
		OR NOT EXISTS (SELECT FROM leadscore_internal.derivation_state s WHERE s.derived_until <= coalesce(until, clock_timestamp()))
$$;

COMMENT ON FUNCTION leadscore_internal.are_all_due(timestamptz, boolean) IS 'whether a pass of derive() has to look at all leads';

CREATE FUNCTION leadscore.derive(until timestamptz DEFAULT NULL, everybody boolean DEFAULT false)
	RETURNS TABLE (derivation text, added bigint, removed bigint)
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET row_security = off SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	instant timestamptz;
	all_of_them boolean;
	waited boolean;
	known text[];
	unknown_kinds text[];
BEGIN
	PERFORM leadscore_internal.check_read_committed('derive()'::text, 'passed over'::text);
	IF NOT isfinite(derive.until) OR derive.everybody IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'derive() needs an instant',
			DETAIL = format('until is %s, everybody is %s.', coalesce(derive.until::text, 'NULL'), coalesce(derive.everybody::text, 'NULL')),
			HINT = 'SELECT * FROM leadscore.derive() derives what follows as of now.';
	END IF;
	-- Writers that do not know of a rule have not noted their leads, so we wait until all sessions have been told of
	-- the rules, and then for those that are writing. We do so without the lock, because one of them may wait for it, to
	-- forget() somebody or to change a rule. If rules have changed meanwhile, we begin again (three attempts at most).
	FOR attempt IN 1 .. 3 LOOP
		known := ARRAY(SELECT DISTINCT c.xmin::text FROM leadscore_internal.changed_lead c WHERE c.lead_id IS NULL);
		waited := leadscore_internal.are_all_due(derive.until, derive.everybody);
		IF waited THEN
			PERFORM leadscore_internal.wait_for_rules();
			PERFORM leadscore_internal.wait_for_writers();
		END IF;
		BEGIN
			PERFORM leadscore_internal.lock_derivations();
			-- now, not when the transaction began: another pass may have come since
			instant := coalesce(derive.until, clock_timestamp());
			all_of_them := leadscore_internal.are_all_due(instant, derive.everybody);
			EXIT WHEN NOT all_of_them
				OR waited AND NOT EXISTS (SELECT FROM leadscore_internal.changed_lead c WHERE c.lead_id IS NULL AND c.xmin::text <> ALL (known));
			IF attempt = 3 THEN
				PERFORM leadscore_internal.wait_for_writers();
				EXIT;
			END IF;
			RAISE SQLSTATE 'LS001';
		EXCEPTION WHEN SQLSTATE 'LS001' THEN
			NULL;	-- leaving the block has released the lock
		END;
	END LOOP;
	IF all_of_them OR EXISTS (SELECT FROM leadscore_internal.changed_lead) OR EXISTS (SELECT FROM leadscore_internal.derivation_due d WHERE d.due_at <= instant) THEN
		PERFORM leadscore_internal.lock_sources();
		FOR derivation, added, removed, unknown_kinds IN SELECT * FROM leadscore_internal.derive_once(instant, all_of_them) LOOP
			IF unknown_kinds <> '{}' THEN
				RAISE NOTICE USING MESSAGE = format('no event has the kind %s', array_to_string(unknown_kinds, ' or ')),
					DETAIL = format('The rule %s looks at it.', derivation);
			END IF;
			RETURN NEXT;
		END LOOP;
	ELSE
		RETURN QUERY SELECT r.derivation, 0::bigint, 0::bigint FROM leadscore.derivation r ORDER BY 1;
	END IF;
	INSERT INTO leadscore_internal.derivation_state AS s (derived_until) VALUES (instant)
	ON CONFLICT (only_row) DO UPDATE SET derived_until = excluded.derived_until;
END
$$;

COMMENT ON FUNCTION leadscore.derive(timestamptz, boolean)
	IS 'updates derived_event to the log as of an instant, and returns how many events of each rule were added and removed';

SELECT pg_catalog.pg_extension_config_dump('leadscore.derivation', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.derived_event', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.derived_event_derived_event_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore_internal.derivation_due', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore_internal.derivation_state', '');
