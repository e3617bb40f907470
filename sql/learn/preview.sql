-- preview.sql: what a change would do before it is made, and what has changed
-- since

-- private functions

CREATE TYPE leadscore_internal.comparison AS (
	leads bigint,
	moves float8[],
	quantiles float8[],
	movers text[],
	mover_scores float8[]
);

COMMENT ON TYPE leadscore_internal.comparison IS 'the scores of the same leads by two scorecards';
COMMENT ON COLUMN leadscore_internal.comparison.leads IS 'how many leads';
COMMENT ON COLUMN leadscore_internal.comparison.moves IS 'number of the segment before and after, by position (0: none), leads, mean score before and after';
COMMENT ON COLUMN leadscore_internal.comparison.quantiles IS 'scores before and after, from the lowest by tenths of the leads to the highest';
COMMENT ON COLUMN leadscore_internal.comparison.movers IS 'the leads that gain most, then those that lose most';
COMMENT ON COLUMN leadscore_internal.comparison.mover_scores IS 'their scores before and after';

CREATE FUNCTION leadscore_internal.compare_transition(internal, jsonb, jsonb, text, leadscore.timeline, jsonb, timestamptz) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 20;

CREATE FUNCTION leadscore_internal.compare_merge(internal, internal) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.compare_serialize(internal) RETURNS bytea
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.compare_deserialize(bytea, internal) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.compare_final(internal) RETURNS leadscore_internal.comparison
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION leadscore_internal.compare_transition(internal, jsonb, jsonb, text, leadscore.timeline, jsonb, timestamptz) IS 'aggregate transition function';
COMMENT ON FUNCTION leadscore_internal.compare_merge(internal, internal) IS 'aggregate combine function';
COMMENT ON FUNCTION leadscore_internal.compare_serialize(internal) IS 'aggregate serial function';
COMMENT ON FUNCTION leadscore_internal.compare_deserialize(bytea, internal) IS 'aggregate deserial function';
COMMENT ON FUNCTION leadscore_internal.compare_final(internal) IS 'aggregate final function';

CREATE AGGREGATE leadscore_internal.compare(before jsonb, after jsonb, lead_id text, timeline leadscore.timeline, profile jsonb, at timestamptz) (
	SFUNC = leadscore_internal.compare_transition,
	STYPE = internal,
	SSPACE = 8192,
	FINALFUNC = leadscore_internal.compare_final,
	COMBINEFUNC = leadscore_internal.compare_merge,
	SERIALFUNC = leadscore_internal.compare_serialize,
	DESERIALFUNC = leadscore_internal.compare_deserialize,
	PARALLEL = safe
);

COMMENT ON AGGREGATE leadscore_internal.compare(jsonb, jsonb, text, leadscore.timeline, jsonb, timestamptz)
	IS 'the scores of the same leads by two scorecards at an instant';

CREATE FUNCTION leadscore_internal.with_signal_ids(document jsonb) RETURNS jsonb
	LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN jsonb_typeof(document -> 'signals') = 'array' THEN document || jsonb_build_object('signals', (
		-- of what is not known here, nothing has been counted: no timeline has such a number
		SELECT coalesce(jsonb_agg(CASE WHEN jsonb_typeof(d.signal) <> 'object' OR d.signal ->> 'subject' = 'profile' AND s.signal_id IS NULL THEN d.signal
			ELSE d.signal || jsonb_build_object('signal_id', coalesce(s.signal_id, 2147483647 - d.n)) END ORDER BY d.n), '[]')
		FROM jsonb_array_elements(document -> 'signals') WITH ORDINALITY AS d (signal, n)
		LEFT JOIN leadscore.signal s ON s.signal = d.signal ->> 'signal')) ELSE document END
$$;

COMMENT ON FUNCTION leadscore_internal.with_signal_ids(jsonb) IS 'a scorecard document with the numbers that its signals have here';

CREATE FUNCTION leadscore_internal.stability_index(bands float8[], missing float8, missing_after float8) RETURNS float8
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	-- half a lead in a band where there is none keeps the logarithm finite
	SELECT sum((b.after / t.after - b.before / t.before) * ln((CASE b.after WHEN 0 THEN 0.5 ELSE b.after END / t.after) / (CASE b.before WHEN 0 THEN 0.5 ELSE b.before END / t.before)))
	FROM (
		SELECT bands[i][1] AS before, bands[i][2] AS after FROM generate_series(1, coalesce(array_length(bands, 1), 0)) i
		UNION ALL SELECT missing - missing_after, missing_after WHERE missing > 0
	) b
	CROSS JOIN (
		SELECT nullif(coalesce(sum(bands[i][1]), 0) + missing - missing_after, 0) AS before, nullif(coalesce(sum(bands[i][2]), 0) + missing_after, 0) AS after
		FROM generate_series(1, coalesce(array_length(bands, 1), 0)) i
	) t
$$;

COMMENT ON FUNCTION leadscore_internal.stability_index(float8[], float8, float8)
	IS 'how far two distributions lie apart: the sum of (share after - share before) * ln(share after / share before)';

CREATE FUNCTION leadscore_internal.tell_of_uncounted(document jsonb) RETURNS void
	LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	waiting CONSTANT text[] := ARRAY(
		-- (first what is not counted: a look into the log costs most)
		WITH uncounted AS MATERIALIZED (
			SELECT d.signal, d.kind FROM leadscore_internal.document_signals(document) d
			WHERE d.subject = 'event'
			AND NOT EXISTS (SELECT FROM leadscore.signal s JOIN leadscore_internal.counted_signal c ON c.signal_id = s.signal_id
				WHERE s.signal = d.signal AND c.definition = jsonb_build_object('kind', d.kind, 'match', d.match, 'condition', d.condition))
		)
		SELECT u.signal FROM uncounted u
		WHERE coalesce(to_jsonb(u.kind), 'null') IN (SELECT l.kind FROM leadscore_internal.logged_kinds(ARRAY(SELECT DISTINCT k.kind FROM uncounted k)) l)
		ORDER BY 1);
BEGIN
	IF waiting <> '{}' THEN
		RAISE NOTICE USING MESSAGE = format('past events are not yet counted for %s', array_to_string(waiting, ', ')),
			DETAIL = 'The preview uses the timelines as they are now.',
			HINT = format('Once it is published, CALL leadscore.rebuild(signals => %L) counts them.', waiting);
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.tell_of_uncounted(jsonb) IS 'a NOTICE about signals of a document that past events are not counted for';

-- before it is published

CREATE FUNCTION leadscore_internal.check_preview(document jsonb, model text, at timestamptz) RETURNS void
	LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF document IS NULL OR model IS NULL OR at IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = format('the %s is NULL', CASE WHEN document IS NULL THEN 'document' WHEN model IS NULL THEN 'model' ELSE 'instant' END),
			DETAIL = 'A preview compares a document with a model as of an instant.', HINT = 'Such as leadscore.preview(leadscore.fit(...), ''shop'', now()).';
	END IF;
	PERFORM leadscore_internal.check_scorecard(document);
	PERFORM leadscore_internal.tell_of_uncounted(document);
END
$$;

COMMENT ON FUNCTION leadscore_internal.check_preview(jsonb, text, timestamptz) IS 'refuses what cannot be compared, and tells what is not counted yet';

CREATE FUNCTION leadscore_internal.comparison_rows(before jsonb, after jsonb, c leadscore_internal.comparison)
	RETURNS TABLE (part text, segment_before text, segment_after text, quantile float8, lead_id text, leads bigint,
		score_before float8, score_after float8, change float8)
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE ROWS 50 SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	segments_before CONSTANT text[] := ARRAY(SELECT s.segment FROM jsonb_to_recordset(nullif(before -> 'segments', 'null')) AS s (segment text, position numeric) ORDER BY s.position);
	segments_after CONSTANT text[] := ARRAY(SELECT s.segment FROM jsonb_to_recordset(nullif(after -> 'segments', 'null')) AS s (segment text, position numeric) ORDER BY s.position);
BEGIN
	RETURN QUERY
		WITH moved AS (
			SELECT c.moves[i][1] AS b, c.moves[i][2] AS a, c.moves[i][3]::bigint AS leads, c.moves[i][4] AS score_before, c.moves[i][5] AS score_after
			FROM generate_series(1, array_length(c.moves, 1)) i
		)
		(
			SELECT 'move', segments_before[b.i], segments_after[a.i], NULL::float8, NULL, coalesce(m.leads, 0), m.score_before, m.score_after, m.score_after - m.score_before
			FROM (SELECT i FROM generate_series(1, cardinality(segments_before)) i UNION ALL SELECT 0 WHERE EXISTS (SELECT FROM moved WHERE moved.b = 0)) b
			CROSS JOIN (SELECT i FROM generate_series(1, cardinality(segments_after)) i UNION ALL SELECT 0 WHERE EXISTS (SELECT FROM moved WHERE moved.a = 0)) a
			LEFT JOIN moved m ON m.b = b.i AND m.a = a.i
			ORDER BY nullif(b.i, 0), nullif(a.i, 0)
		) UNION ALL (
			SELECT 'distribution', NULL, NULL, (i - 1) / 10.0, NULL, c.leads, c.quantiles[i][1], c.quantiles[i][2], c.quantiles[i][2] - c.quantiles[i][1]
			FROM generate_series(1, array_length(c.quantiles, 1)) i ORDER BY i
		) UNION ALL (
			SELECT CASE WHEN m.change > 0 THEN 'gain' ELSE 'loss' END, NULL, NULL, NULL, m.lead_id, 1, c.mover_scores[m.i][1], c.mover_scores[m.i][2], m.change
			FROM (SELECT u.lead_id, u.i, c.mover_scores[u.i][2] - c.mover_scores[u.i][1] AS change FROM unnest(c.movers) WITH ORDINALITY AS u (lead_id, i)) m ORDER BY m.i
		);
END
$$;

COMMENT ON FUNCTION leadscore_internal.comparison_rows(jsonb, jsonb, leadscore_internal.comparison) IS 'the rows of preview() that come from a comparison of scores';

CREATE FUNCTION leadscore.preview(document jsonb, model text DEFAULT 'default', at timestamptz DEFAULT now())
	RETURNS TABLE (part text, segment_before text, segment_after text, quantile float8, lead_id text, leads bigint,
		score_before float8, score_after float8, change float8, offer text, vouchers bigint, cost numeric)
	LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 50 SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	before CONSTANT jsonb := leadscore.scorecard(model);
	after CONSTANT jsonb := leadscore_internal.with_signal_ids(document);
	c leadscore_internal.comparison;
BEGIN
	PERFORM leadscore_internal.check_preview(document, model, at);
	c := (SELECT leadscore_internal.compare(before, after, e.lead_id, e.timeline, e.profile, preview.at) FROM leadscore_internal.visible_lead e);
	RETURN QUERY
		SELECT r.*, NULL::text, NULL::bigint, NULL::numeric FROM leadscore_internal.comparison_rows(before, after, c) r
		UNION ALL (
			SELECT 'voucher', NULL, v.segment, NULL, NULL, v.leads, NULL, NULL, NULL, v.offer, v.vouchers,
				CASE WHEN v.kind <> 'percent' OR v.vouchers = 0 THEN v.vouchers * v.discount END
			FROM leadscore_internal.voucher_preview(after, before ->> 'model', preview.at) v
		);
END
$$;

COMMENT ON FUNCTION leadscore.preview(jsonb, text, timestamptz)
	IS 'compares a document with a model for all leads: moves between segments, scores, largest gains and losses, vouchers';

CREATE FUNCTION leadscore.diff(before jsonb, after jsonb)
	RETURNS TABLE (part text, name text, change text, member text, value_before jsonb, value_after jsonb)
	LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 20 SET search_path = pg_catalog, pg_temp SET IntervalStyle = 'postgres'
AS $$
	WITH side AS (
		SELECT true AS after, jsonb_strip_nulls(diff.after) AS document UNION ALL SELECT false, jsonb_strip_nulls(diff.before)
	), item AS (
		SELECT s.after, 'model' AS part, 1 AS place, s.document ->> 'model' AS name, '' AS key,
			s.document - '{signals,weights,rules,categories,stages,grades,segments,report}'::text[] AS item
		FROM side s WHERE s.document IS NOT NULL
		UNION ALL
		SELECT s.after, p.part, p.place, e.item ->> p.part, e.item ->> p.part, p.defaults || (e.item - 'signal_id')
		FROM side s
		CROSS JOIN (VALUES ('signal', 2, 'signals', '{"subject": "event"}'::jsonb), ('rule', 4, 'rules', '{}'), ('category', 5, 'categories', '{}'), ('stage', 6, 'stages', '{}'), ('grade', 7, 'grades', '{}'), ('segment', 8, 'segments', '{}')) p (part, place, list, defaults)
		CROSS JOIN LATERAL jsonb_array_elements(CASE jsonb_typeof(s.document -> p.list) WHEN 'array' THEN s.document -> p.list END) e (item)
		UNION ALL
		-- weights are the same by their number, if both documents have it for the signal, else in the order of those of a signal and measure
		SELECT w.after, 'weight', 3, w.item ->> 'signal', CASE WHEN w.numbered THEN 'number ' || (w.item ->> 'weight_id')
				ELSE jsonb_build_array(w.item -> 'signal', w.item -> 'measure', row_number() OVER (PARTITION BY w.after, w.numbered, w.item -> 'signal', w.item -> 'measure' ORDER BY w.n))::text END,
			w.item - 'weight_id'
		FROM (
			SELECT s.after, e.n, jsonb_build_object('curve', 'linear', 'measure', CASE WHEN EXISTS (
						SELECT FROM jsonb_array_elements(CASE jsonb_typeof(s.document -> 'signals') WHEN 'array' THEN s.document -> 'signals' END) g
						WHERE g ->> 'signal' = e.item ->> 'signal' AND g ->> 'subject' = 'profile') THEN 'present' ELSE 'count' END) || e.item AS item,
				count(*) OVER (PARTITION BY e.item ->> 'weight_id', e.item ->> 'signal') = 2 AND e.item ? 'weight_id' AS numbered
			FROM side s CROSS JOIN LATERAL jsonb_array_elements(CASE jsonb_typeof(s.document -> 'weights') WHEN 'array' THEN s.document -> 'weights' END) WITH ORDINALITY AS e (item, n)
		) w
	), pair AS (
		SELECT coalesce(a.part, b.part) AS part, coalesce(a.place, b.place) AS place, coalesce(a.name, b.name) AS name, coalesce(a.key, b.key) AS key, b.item AS b, a.item AS a
		FROM (SELECT * FROM item i WHERE i.after) a FULL JOIN (SELECT * FROM item i WHERE NOT i.after) b ON a.part = b.part AND a.key = b.key
	)
	SELECT p.part, p.name, CASE WHEN p.b IS NULL THEN 'added' WHEN p.a IS NULL THEN 'removed' ELSE 'changed' END, m.member,
		CASE WHEN p.a IS NULL THEN p.b ELSE p.b -> m.member END, CASE WHEN p.b IS NULL THEN p.a ELSE p.a -> m.member END
	FROM pair p
	CROSS JOIN LATERAL (
		SELECT NULL AS member WHERE p.a IS NULL OR p.b IS NULL
		UNION ALL
		SELECT k FROM (SELECT jsonb_object_keys(p.a) AS k UNION SELECT jsonb_object_keys(p.b)) k
		WHERE p.a IS NOT NULL AND p.b IS NOT NULL AND p.a -> k IS DISTINCT FROM p.b -> k
		AND NOT (k IN ('half_life', 'fades_over', 'within') AND p.a ? k AND p.b ? k AND (p.a ->> k)::interval = (p.b ->> k)::interval)
	) m
	WHERE diff.before IS NOT NULL AND diff.after IS NOT NULL
	ORDER BY p.place, p.name, p.key, m.member
$$;

COMMENT ON FUNCTION leadscore.diff(jsonb, jsonb) IS 'the differences between two scorecard documents';

-- drift

CREATE FUNCTION leadscore_internal.past_measures(scorecard jsonb, timeline leadscore.timeline, profile jsonb, at timestamptz) RETURNS float8[]
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 100;

COMMENT ON FUNCTION leadscore_internal.past_measures(jsonb, leadscore.timeline, jsonb, timestamptz)
	IS 'the score, then the features, by what was known before an instant';

CREATE TYPE leadscore_internal.measure_tally AS (
	leads_from bigint,
	leads_to bigint,
	measured_from bigint,
	measured_to bigint,
	mean_from float8,
	mean_to float8,
	bands float8[]
);

COMMENT ON TYPE leadscore_internal.measure_tally IS 'one measure of leads at two instants';
COMMENT ON COLUMN leadscore_internal.measure_tally.leads_from IS 'the leads at the first instant';
COMMENT ON COLUMN leadscore_internal.measure_tally.leads_to IS 'the leads at the second';
COMMENT ON COLUMN leadscore_internal.measure_tally.measured_from IS 'those of which something was measured at the first';
COMMENT ON COLUMN leadscore_internal.measure_tally.measured_to IS 'and at the second';
COMMENT ON COLUMN leadscore_internal.measure_tally.mean_from IS 'their mean at the first; NULL: there are none';
COMMENT ON COLUMN leadscore_internal.measure_tally.mean_to IS 'and at the second';
COMMENT ON COLUMN leadscore_internal.measure_tally.bands IS 'those of the first and of the second in bands, as fine_bands() makes them; NULL: there are none';

CREATE FUNCTION leadscore_internal.tally_measures_transition(internal, float8[], boolean) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.tally_measures_final(internal) RETURNS leadscore_internal.measure_tally[]
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION leadscore_internal.tally_measures_transition(internal, float8[], boolean) IS 'aggregate transition function';
COMMENT ON FUNCTION leadscore_internal.tally_measures_final(internal) IS 'aggregate final function';

CREATE AGGREGATE leadscore_internal.tally_measures(measures float8[], after boolean) (
	SFUNC = leadscore_internal.tally_measures_transition,
	STYPE = internal,
	SSPACE = 65536,
	FINALFUNC = leadscore_internal.tally_measures_final
);

COMMENT ON AGGREGATE leadscore_internal.tally_measures(float8[], boolean) IS 'each of several measures at two instants';

CREATE FUNCTION leadscore.stability_report(model text DEFAULT 'default', since timestamptz DEFAULT now() - interval '30 days', until timestamptz DEFAULT now(),
	active_within interval DEFAULT '90 days', share float8 DEFAULT 1)
	RETURNS TABLE (weight_id integer, signal text, measure text, leads_from bigint, leads_to bigint, measured_from bigint, measured_to bigint,
		mean_from float8, mean_to float8, psi float8, verdict text, rule text)
	LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 30 SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	card CONSTANT jsonb := leadscore.scorecard(model);
	active_hours integer;
BEGIN
	IF model IS NULL OR since IS NULL OR until IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = format('the argument "%s" is NULL', CASE WHEN model IS NULL THEN 'model' WHEN since IS NULL THEN 'since' ELSE 'until' END),
			DETAIL = 'The report compares a model''s scores as of two instants.', HINT = 'Such as leadscore.stability_report(''shop'', now() - interval ''30 days'', now()).';
	END IF;
	IF NOT (since < until) OR NOT isfinite(since) OR NOT isfinite(until) THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'since is not before until',
			DETAIL = format('The instants are %s and %s.', since, until), HINT = 'Write the earlier first.';
	END IF;
	IF NOT coalesce(share > 0 AND share <= 1, false) THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'share is not above 0 and at most 1',
			DETAIL = format('It is %s.', coalesce(share::text, 'NULL')), HINT = 'Write the share of leads to compare, such as 0.1 for a tenth of them, or 1 for all.';
	END IF;
	active_hours := leadscore_internal.duration_hours('active_within'::text, active_within, 'Write a duration such as 90 days, or NULL for all leads.'::text);
	RETURN QUERY
		WITH tally AS (
			SELECT m.*
			FROM (
				SELECT leadscore_internal.tally_measures(leadscore_internal.past_measures(card, e.timeline, e.profile, c.at), c.after) AS measures
				FROM leadscore_internal.visible_lead e CROSS JOIN (VALUES (false, since), (true, until)) AS c (after, at)
				-- (52 bits of a hash)
				WHERE (share = 1 OR (hashtextextended(e.lead_id, 0) & 4503599627370495) < share * 4503599627370496)
				AND leadscore_internal.outcome(e.timeline, -1, c.at, 1, active_hours) IS NOT NULL
			) x
			CROSS JOIN LATERAL unnest(x.measures) WITH ORDINALITY AS m (leads_from, leads_to, measured_from, measured_to, mean_from, mean_to, bands, n)
		)
		SELECT (w.term -> 'weight_id')::integer, w.term ->> 'signal', w.term ->> 'measure', t.leads_from, t.leads_to, t.measured_from, t.measured_to, t.mean_from, t.mean_to, p.psi,
			CASE WHEN p.psi < 0.1 THEN 'stable' WHEN p.psi < 0.25 THEN 'shifted' WHEN p.psi IS NOT NULL THEN 'unstable' END, w.rule
		FROM tally t
		LEFT JOIN leadscore_internal.card_terms(card) w ON w.n + 1 = t.n
		CROSS JOIN LATERAL (SELECT leadscore_internal.stability_index(t.bands, (t.leads_from + t.leads_to - t.measured_from - t.measured_to)::float8, (t.leads_to - t.measured_to)::float8) AS psi) p
		ORDER BY t.n;
END
$$;

COMMENT ON FUNCTION leadscore.stability_report(text, timestamptz, timestamptz, interval, float8)
	IS 'how much the scores and measures have shifted between two instants, of all leads or of a share of them, always the same';

-- versions

CREATE TABLE leadscore.model_version (
	model text NOT NULL,
	version integer NOT NULL,
	document jsonb NOT NULL,
	report jsonb,
	published_by text NOT NULL DEFAULT session_user,
	published_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	PRIMARY KEY (model, version)
);

COMMENT ON TABLE leadscore.model_version IS 'versions of models: one for each publish(), and for each transaction that edits rows, if something has changed';
COMMENT ON COLUMN leadscore.model_version.model IS 'the model; it may be gone';
COMMENT ON COLUMN leadscore.model_version.version IS 'counts from 1 for each model';
COMMENT ON COLUMN leadscore.model_version.document IS 'the model, whole, as scorecard() gave it then';
COMMENT ON COLUMN leadscore.model_version.report IS 'the report of fit(), if the document had one';
COMMENT ON COLUMN leadscore.model_version.published_by IS 'the user who had logged in';
COMMENT ON COLUMN leadscore.model_version.published_at IS 'when';

SELECT pg_catalog.pg_extension_config_dump('leadscore.model_version', '');

-- A transaction makes at most one version of a model: the state that it leaves behind, if it differs from the last version.
-- keep_documents() has locked the model until the end of the transaction, so no two transactions draw the same number.

CREATE FUNCTION leadscore_internal.keep_version(name text, report jsonb) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	made CONSTANT jsonb := coalesce(nullif(current_setting('leadscore.versions_made', true), ''), '{}');
	card CONSTANT jsonb := coalesce((SELECT d.document FROM leadscore.model_document d WHERE d.model = name), leadscore_internal.make_document(name));
	last leadscore.model_version;
BEGIN
	SELECT v.* INTO last FROM leadscore.model_version v WHERE v.model = name ORDER BY v.version DESC LIMIT 1;
	IF card IS NULL OR report IS NULL AND last.document = card THEN
		RETURN;
	END IF;
	-- replace the version that this transaction has made before
	IF last.version = (made ->> name)::integer THEN
		report := coalesce(report, last.report);
		DELETE FROM leadscore.model_version v WHERE v.model = name AND v.version = last.version;
		SELECT v.* INTO last FROM leadscore.model_version v WHERE v.model = name ORDER BY v.version DESC LIMIT 1;
	END IF;
	IF last.version IS NULL OR report IS NOT NULL AND report IS DISTINCT FROM last.report OR EXISTS (SELECT FROM leadscore.diff(last.document, card)) THEN
		INSERT INTO leadscore.model_version (model, version, document, report) VALUES (name, coalesce(last.version, 0) + 1, card, report);
		PERFORM set_config('leadscore.versions_made', (made || jsonb_build_object(name, coalesce(last.version, 0) + 1))::text, true);
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.keep_version(text, jsonb) IS 'adds a version of a model to model_version, if it has changed';

CREATE FUNCTION leadscore_internal.document_changed() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM leadscore_internal.check_trigger(TG_RELID, 'leadscore.model_document'::regclass);
	IF NOT leadscore_internal.in_restore() THEN
		PERFORM leadscore_internal.keep_version(NEW.model, NULL::jsonb);
	END IF;
	RETURN NULL;
END
$$;

COMMENT ON FUNCTION leadscore_internal.document_changed() IS 'trigger, at commit: edited rows make a version of their model';

CREATE CONSTRAINT TRIGGER document_changed AFTER INSERT OR UPDATE ON leadscore.model_document
	DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION leadscore_internal.document_changed();

CREATE FUNCTION leadscore.restore_version(model text, version integer DEFAULT NULL, redefine boolean DEFAULT false) RETURNS text
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	versions CONSTANT integer[] := ARRAY(SELECT v.version FROM leadscore.model_version v WHERE v.model = restore_version.model ORDER BY 1 DESC);
	card CONSTANT jsonb := leadscore_internal.make_document(model);
	wanted integer := version;
	document jsonb;
BEGIN
	-- (the edits of this transaction have no version yet)
	IF wanted IS NULL THEN
		SELECT v.version INTO wanted FROM leadscore.model_version v
		WHERE v.model = restore_version.model AND (card IS NULL OR EXISTS (SELECT FROM leadscore.diff(v.document, card)))
		ORDER BY 1 DESC LIMIT 1;
	END IF;
	SELECT v.document || CASE WHEN v.report IS NULL THEN '{}' ELSE jsonb_build_object('report', v.report) END INTO document
	FROM leadscore.model_version v WHERE v.model = restore_version.model AND v.version = wanted;
	IF document IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object',
			MESSAGE = CASE WHEN wanted IS NULL THEN format('model "%s" has no version other than the present one', coalesce(model, 'NULL')) ELSE format('model "%s" has no version %s', model, wanted) END,
			DETAIL = 'There is no such row in leadscore.model_version.',
			HINT = leadscore_internal.known('versions'::text, versions::text[]);
	END IF;
	RETURN leadscore.publish(document, redefine);
END
$$;

COMMENT ON FUNCTION leadscore.restore_version(text, integer, boolean) IS 'publishes an earlier version again, by default the last that differs from the present model';
