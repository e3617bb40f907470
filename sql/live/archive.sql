-- archive.sql: a past that no longer needs its events
--
-- What timelines hold of the hours before an instant becomes their base. From then on
-- events before it count for nothing, whether they are there or not, and timelines are
-- the base and the events since:
--
--     timelines = base + events at or after the instant
--
-- A base belongs to the name that the events had, so that it follows that name as its
-- events did.

-- partition_timelines() splits it, too. Nothing but statements writes it, so the server
-- can do the routing.
CREATE TABLE leadscore_internal.timeline_base (
	lead_id text NOT NULL,
	archived_before timestamptz NOT NULL,
	timeline leadscore.timeline NOT NULL
) PARTITION BY RANGE (leadscore.timeline_partition(lead_id, 1024));

-- The default partition: pg_dump carries its rows, as those of any table of an extension, and other partitions can be
-- attached beside it. An index of timeline_base itself would make a second one on each partition that a dump restores.
CREATE TABLE leadscore_internal.timeline_base_whole PARTITION OF leadscore_internal.timeline_base DEFAULT;
CREATE INDEX timeline_base_whole_lead_id_idx ON leadscore_internal.timeline_base_whole (lead_id);
ALTER TABLE leadscore_internal.timeline_base REPLICA IDENTITY FULL;
ALTER TABLE leadscore_internal.timeline_base_whole REPLICA IDENTITY FULL;

COMMENT ON TABLE leadscore_internal.timeline_base IS 'what archived events have counted for; the rows of a name add up';
COMMENT ON COLUMN leadscore_internal.timeline_base.lead_id IS 'the lead, as the events named it';
COMMENT ON COLUMN leadscore_internal.timeline_base.archived_before IS 'the instant of the archive that the row belongs to: it counts if leadscore.archive has that instant';
COMMENT ON COLUMN leadscore_internal.timeline_base.timeline IS 'the hours before the instant';
COMMENT ON TABLE leadscore_internal.timeline_base_whole IS 'the rows of timeline_base while it is not split';
COMMENT ON COLUMN leadscore_internal.timeline_base_whole.lead_id IS 'as in timeline_base';
COMMENT ON COLUMN leadscore_internal.timeline_base_whole.archived_before IS 'as in timeline_base';
COMMENT ON COLUMN leadscore_internal.timeline_base_whole.timeline IS 'as in timeline_base';

-- derive() looks for what happened before an event, which may be long ago.
CREATE TABLE leadscore_internal.archived_event (
	lead_id text NOT NULL,
	kind text NOT NULL,
	occurred_at timestamptz NOT NULL,
	PRIMARY KEY (lead_id, kind)
);

COMMENT ON TABLE leadscore_internal.archived_event IS 'the last archived event of each name and kind, for derive()';
COMMENT ON COLUMN leadscore_internal.archived_event.lead_id IS 'the lead, as the event named it';
COMMENT ON COLUMN leadscore_internal.archived_event.kind IS 'its kind';
COMMENT ON COLUMN leadscore_internal.archived_event.occurred_at IS 'when';

SELECT pg_catalog.pg_extension_config_dump('leadscore_internal.timeline_base_whole', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore_internal.archived_event', '');

CREATE FUNCTION leadscore_internal.counted(timeline leadscore.timeline, signals jsonb) RETURNS leadscore.timeline
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION leadscore_internal.counted(leadscore.timeline, jsonb) IS 'a timeline as events would make it today: of the signals that there are, and compacted';

CREATE FUNCTION leadscore_internal.check_archive(before timestamptz) RETURNS timestamptz
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	present CONSTANT timestamptz := (SELECT a.archived_before FROM leadscore.archive a);
	waiting text[];
	instant timestamptz;
BEGIN
	PERFORM leadscore_internal.check_before(before, 'archive'::text, 'Events before an instant are to be archived.'::text,
		'New events would not be counted. Pass an instant before which no events come any more'::text, '13 months'::text);
	-- hours that compact() has put together stay together
	instant := leadscore_internal.compacted_day(before);
	IF instant < present THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'events are archived to a later instant already',
			DETAIL = format('Those before %s are.', present),
			HINT = 'While the events still exist, DELETE FROM leadscore.archive and CALL leadscore.rebuild() count them again.';
	END IF;
	waiting := ARRAY(SELECT w.signal FROM leadscore_internal.signals_waiting(NULL::text[]) w ORDER BY 1);
	IF waiting <> '{}' AND instant IS DISTINCT FROM present THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = format('past events are not yet counted for %s', array_to_string(waiting, ', ')),
			DETAIL = 'Archived events cannot be counted later.',
			HINT = format('CALL leadscore.rebuild(signals => %L) counts them.', waiting);
	END IF;
	RETURN instant;
END
$$;

COMMENT ON FUNCTION leadscore_internal.check_archive(timestamptz) IS 'the instant to archive before, which begins a day, or an error';

CREATE FUNCTION leadscore_internal.begin_archive(before timestamptz) RETURNS boolean
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	instant CONSTANT timestamptz := leadscore_internal.check_archive(before);
BEGIN
	IF instant = (SELECT a.archived_before FROM leadscore.archive a) AND NOT EXISTS (SELECT FROM leadscore_internal.archiving) THEN
		RETURN false;
	END IF;
	INSERT INTO leadscore_internal.archiving AS a (archiving_before) VALUES (instant)
	ON CONFLICT ((true)) DO UPDATE SET archiving_before = excluded.archiving_before;
	RETURN true;
END
$$;

COMMENT ON FUNCTION leadscore_internal.begin_archive(timestamptz) IS 'has writers keep for the base what they write of the hours to archive; false: nothing is to be archived';

CREATE FUNCTION leadscore_internal.keep_last_events(before timestamptz) RETURNS void
	LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
	WITH source AS (
		SELECT array_agg(s.source) AS sources, array_agg(s.mapping) AS mappings
		FROM leadscore.source s
		WHERE s.feeds = 'timeline' AND EXISTS (SELECT FROM leadscore.derivation)
	)
	INSERT INTO leadscore_internal.archived_event AS a (lead_id, kind, occurred_at)
	SELECT e.lead_id, e.kind, max(e.occurred_at)
	FROM source s CROSS JOIN LATERAL leadscore_internal.source_events(s.sources, s.mappings, NULL::text[], NULL::text[]) e
	WHERE e.occurred_at < before AND e.occurred_at >= coalesce((SELECT r.archived_before FROM leadscore.archive r), '-infinity')
	GROUP BY e.lead_id, e.kind
	ON CONFLICT (lead_id, kind) DO UPDATE SET occurred_at = excluded.occurred_at
$$;

COMMENT ON FUNCTION leadscore_internal.keep_last_events(timestamptz) IS 'keeps the last event of each kind before an instant, if there are rules of derive()';

-- One statement, so that one snapshot sees events, timelines, and what writers have kept for the base: that is among
-- the events that it sees, and what is committed later is not. So the base is what this snapshot says, and what comes
-- later.

CREATE FUNCTION leadscore_internal.keep_base(before timestamptz) RETURNS bigint
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET row_security = off SET jit = off
AS $$
DECLARE
	unaccounted bigint;
BEGIN
	PERFORM leadscore_internal.report_progress('archive'::text, 'reading'::text, 0::bigint, (
		SELECT leadscore_internal.rows_estimated(array_agg(s.source)) FROM leadscore_internal.source_trigger s WHERE s.feeds = 'timeline' AND NOT s.mapping ? 'partition'));
	-- forget() takes it before it deletes: it comes before the snapshot, or finds the new base. So does derive().
	PERFORM leadscore_internal.lock_derivations();
	PERFORM leadscore_internal.lock_sources();
	LOCK TABLE leadscore.lead_timeline IN ACCESS SHARE MODE;
	PERFORM leadscore_internal.keep_last_events(before);
	WITH superseded AS (
		DELETE FROM leadscore_internal.timeline_base
	), named AS MATERIALIZED (
		SELECT s.lead_id, leadscore.timeline_before(s.timeline, before) AS timeline
		FROM leadscore_internal.source_timelines(NULL::text[], NULL::jsonb, false) s
	), led AS (
		SELECT coalesce(a.lead_id, n.lead_id) AS lead_id, leadscore_internal.stored_sum(n.timeline) AS timeline
		FROM named n LEFT JOIN leadscore.lead_alias a ON a.alias = n.lead_id
		GROUP BY 1
	),
	-- what timelines hold, and events do not say
	unaccounted AS MATERIALIZED (
		SELECT coalesce(t.lead_id, l.lead_id) AS lead_id, leadscore_internal.difference(t.timeline, l.timeline) AS timeline
		FROM (SELECT c.lead_id, leadscore.timeline_before(c.timeline, before) AS timeline FROM leadscore.current_timeline c OFFSET 0) t
		FULL JOIN led l ON l.lead_id = t.lead_id
		WHERE coalesce(t.timeline, '{}') OPERATOR(leadscore.<>) coalesce(l.timeline, '{}')
	), kept AS (
		INSERT INTO leadscore_internal.timeline_base (lead_id, archived_before, timeline)
		SELECT b.lead_id, before, b.timeline
		FROM (TABLE named UNION ALL TABLE unaccounted) b
		WHERE b.timeline OPERATOR(leadscore.<>) '{}'
	)
	SELECT count(*) INTO unaccounted FROM unaccounted;
	INSERT INTO leadscore.archive AS a (archived_before) VALUES (before)
	ON CONFLICT ((true)) DO UPDATE SET archived_before = excluded.archived_before;
	DELETE FROM leadscore_internal.archiving;
	RETURN unaccounted;
END
$$;

COMMENT ON FUNCTION leadscore_internal.keep_base(timestamptz) IS 'makes what timelines hold of the hours before an instant their base; returns how many leads hold more or less than events say';

CREATE FUNCTION leadscore_internal.tell_of_unaccounted(leads bigint) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF leads > 0 THEN
		RAISE NOTICE USING MESSAGE = format('leads whose archived hours differ from their events: %s', leads),
			DETAIL = 'What their timelines hold is kept.', HINT = 'That is so where events were purged before, unseen by triggers.';
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.tell_of_unaccounted(bigint) IS 'NOTICE of leads that keep what no event says';

CREATE PROCEDURE leadscore.archive(before timestamptz)
	LANGUAGE plpgsql
AS $$
DECLARE
	instant pg_catalog.timestamptz;
	unaccounted bigint;
BEGIN
	PERFORM leadscore_internal.check_archive(before);
	PERFORM leadscore_internal.check_read_committed('archive()'::pg_catalog.text, 'passed over'::pg_catalog.text);
	IF leadscore_internal.in_transaction_block() THEN
		PERFORM leadscore_internal.refuse_block('archive()'::pg_catalog.text);
	END IF;
	COMMIT;
	PERFORM leadscore_internal.begin_progress('archive'::pg_catalog.text, 0::pg_catalog.oid),
		leadscore_internal.report_progress('archive'::pg_catalog.text, 'waiting for another rebuild'::pg_catalog.text, NULL::pg_catalog.int8, NULL::pg_catalog.int8);
	PERFORM leadscore_internal.lock_rebuild(false);
	COMMIT;
	IF leadscore_internal.begin_archive(before) THEN
		instant := (SELECT a.archiving_before FROM leadscore_internal.archiving a);
		PERFORM leadscore_internal.take_parted();
		COMMIT;
		PERFORM leadscore_internal.report_progress('archive'::pg_catalog.text, 'waiting for writers'::pg_catalog.text, NULL::pg_catalog.int8, NULL::pg_catalog.int8);
		PERFORM leadscore_internal.wait_for_writers();
		COMMIT;
		unaccounted := leadscore_internal.keep_base(instant);
		COMMIT;
		CALL leadscore_internal.correct_parted('archive'::pg_catalog.text, NULL::pg_catalog.jsonb, true);
		IF pg_catalog.to_regclass('pg_temp.leadscore_correction') IS NOT NULL THEN
			DROP TABLE pg_temp.leadscore_correction;
		END IF;
		PERFORM leadscore_internal.tell_of_unaccounted(unaccounted);
	END IF;
	PERFORM leadscore_internal.unlock_rebuild();
	PERFORM leadscore_internal.end_progress('archive'::pg_catalog.text);
END
$$;

COMMENT ON PROCEDURE leadscore.archive(timestamptz)
	IS 'keeps what events before the day of an instant have counted for, so that they may be deleted, while writers go on';

CREATE FUNCTION leadscore_internal.drop_former_base() RETURNS void
	LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	LOCK TABLE leadscore.lead_timeline IN ACCESS SHARE MODE;
	DELETE FROM leadscore_internal.timeline_base b
	WHERE b.archived_before NOT IN (SELECT a.archived_before FROM leadscore.archive a UNION ALL SELECT a.archiving_before FROM leadscore_internal.archiving a);
	DELETE FROM leadscore_internal.archived_event e WHERE NOT EXISTS (SELECT FROM leadscore.archive)
$$;

COMMENT ON FUNCTION leadscore_internal.drop_former_base() IS 'removes what is left of an archive that was taken back';

CREATE FUNCTION leadscore_internal.forget_base(names text[]) RETURNS bigint
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	-- those that were deleted are in timelines, too, until a rebuild
	signals CONSTANT jsonb := jsonb_set(leadscore.signals(), '{signals}', (SELECT coalesce(jsonb_agg(jsonb_build_object('signal_id', i.signal_id)), '[]')
		FROM (SELECT d.signal_id FROM leadscore_internal.signal_definition d UNION SELECT c.signal_id FROM leadscore_internal.counted_signal c) i));
	removed bigint;
BEGIN
	INSERT INTO leadscore.pending_delta (lead_id, delta)
	SELECT b.lead_id, leadscore_internal.difference(NULL::leadscore.timeline, leadscore_internal.stored_sum(leadscore_internal.counted(b.timeline, signals)))
	FROM leadscore_internal.timeline_base b
	WHERE b.lead_id = ANY (names) AND b.archived_before = (SELECT a.archived_before FROM leadscore.archive a)
	GROUP BY b.lead_id;
	DELETE FROM leadscore_internal.archived_event e WHERE e.lead_id = ANY (names);
	DELETE FROM leadscore_internal.timeline_base b WHERE b.lead_id = ANY (names);
	GET DIAGNOSTICS removed = ROW_COUNT;
	RETURN removed;
END
$$;

COMMENT ON FUNCTION leadscore_internal.forget_base(text[]) IS 'takes the base of some names out of their timelines, and says how many rows it had';
