-- lint.sql: what is probably not meant in a model
--
-- A check is a function of the document, but for what only data can tell: whether
-- a signal has ever counted anything, and why not. publish() tells the findings,
-- so none may take long: of tables the first rows are read.

-- weights

CREATE FUNCTION leadscore_internal.document_weights(document jsonb)
	RETURNS TABLE (name text, n bigint, signal text, measure text, points float8, curve text, half_life interval, fades_over interval, within interval,
		at_least float8, below float8, max_per_day numeric, min_points float8, max_points float8, category text, stage text, if_none float8, since_signal text)
	LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 20 SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('weight %sof "%s"', d.weight_id || ' ', d.signal), d.n, d.signal, coalesce(d.measure, CASE s.subject WHEN 'profile' THEN 'present' ELSE 'count' END), d.points,
		coalesce(d.curve, 'linear'), d.half_life, d.fades_over, d.within, d.at_least, d.below, d.max_per_day, d.min_points, d.max_points, d.category, d.stage, d.if_none, d.since_signal
	FROM ROWS FROM (jsonb_to_recordset(nullif(document -> 'weights', 'null'))
		AS (weight_id numeric, signal text, measure text, points float8, curve text, half_life interval, fades_over interval, within interval,
			at_least float8, below float8, max_per_day numeric, min_points float8, max_points float8, category text, stage text, if_none float8, since_signal text))
		WITH ORDINALITY AS d (weight_id, signal, measure, points, curve, half_life, fades_over, within,
			at_least, below, max_per_day, min_points, max_points, category, stage, if_none, since_signal, n)
	LEFT JOIN leadscore_internal.document_signals(document) s ON s.signal = d.signal
$$;

COMMENT ON FUNCTION leadscore_internal.document_weights(jsonb) IS 'the weights of a scorecard document as rows, with what they are called';

CREATE FUNCTION leadscore_internal.lint_weights(document jsonb) RETURNS TABLE (severity text, object text, problem text, hint text)
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	WITH weight AS MATERIALIZED (
		-- what a weight measures, and all that it is; durations of the same length are the same
		SELECT w.*, w.at_least IS NOT NULL OR w.below IS NOT NULL AS is_band, m.measured, to_jsonb(ROW(m.measured, w.points, w.curve, w.at_least, w.below,
			w.min_points, w.max_points, w.category, w.stage, w.if_none)) AS whole
		FROM leadscore_internal.document_weights(document) w
		CROSS JOIN LATERAL (SELECT to_jsonb(ROW(w.signal, w.measure, extract(epoch FROM w.half_life), extract(epoch FROM w.fades_over), extract(epoch FROM w.within),
			w.max_per_day, w.since_signal)) AS measured) m
	)
	SELECT 'warning', b.name, format('is the same as %s, so the points count twice', (array_agg(a.name ORDER BY a.n))[1]), 'Delete one of them, or double the points of the other.'
	FROM weight a JOIN weight b ON b.whole = a.whole AND b.n > a.n
	GROUP BY b.n, b.name
	UNION ALL
	SELECT 'warning', w.name, format('%s has no effect on %s', CASE WHEN w.half_life IS NOT NULL THEN 'half_life' ELSE 'fades_over' END, w.measure),
		'Only count and value decay. Write NULL, or within for a window.'
	FROM weight w WHERE w.measure NOT IN ('count', 'value') AND (w.half_life IS NOT NULL OR w.fades_over IS NOT NULL)
	UNION ALL
	SELECT 'warning', w.name, format('max_per_day has no effect on %s', w.measure), 'It limits occurrences, for the measure count. Write NULL, or max_points for a limit.'
	FROM weight w WHERE w.measure <> 'count' AND w.max_per_day IS NOT NULL
	UNION ALL
	SELECT 'warning', b.name, format('its band overlaps that of %s, so both count there', string_agg(a.name, ', ' ORDER BY a.n)), 'Let each band begin where the one before it ends: below 5, at_least 5.'
	FROM weight a JOIN weight b ON b.measured = a.measured AND b.n > a.n AND b.whole <> a.whole
	WHERE a.is_band AND b.is_band AND coalesce(a.at_least, '-Infinity') < coalesce(b.below, 'Infinity') AND coalesce(b.at_least, '-Infinity') < coalesce(a.below, 'Infinity')
	-- the steps of what propose() has learned add up
	AND (a.category = 'learned' AND b.category = 'learned') IS NOT TRUE
	GROUP BY b.n, b.name
$$;

COMMENT ON FUNCTION leadscore_internal.lint_weights(jsonb) IS 'what is probably not meant in the weights of a document';

-- caps

CREATE FUNCTION leadscore_internal.document_categories(document jsonb) RETURNS TABLE (category text, min_points float8, max_points float8)
	LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 5 SET search_path = pg_catalog, pg_temp
AS $$
	SELECT c.category, c.min_points, c.max_points
	FROM jsonb_to_recordset(nullif(document -> 'categories', 'null')) AS c (category text, min_points float8, max_points float8)
$$;

COMMENT ON FUNCTION leadscore_internal.document_categories(jsonb) IS 'the categories of a scorecard document as rows';

CREATE FUNCTION leadscore_internal.document_rules(document jsonb) RETURNS TABLE (rule text, points float8, category text)
	LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 5 SET search_path = pg_catalog, pg_temp
AS $$
	SELECT r.rule, r.points, r.category
	FROM jsonb_to_recordset(nullif(document -> 'rules', 'null')) AS r (rule text, points float8, category text)
$$;

COMMENT ON FUNCTION leadscore_internal.document_rules(jsonb) IS 'the rules of a scorecard document as rows, without their conditions';

CREATE FUNCTION leadscore_internal.lint_caps(document jsonb) RETURNS TABLE (severity text, object text, problem text, hint text)
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	-- what one occurrence, or being in a band, would be worth (a logarithm grows slowly, and reaches any cap
	-- only in the end)
	WITH part AS (
		SELECT w.name, w.points, least(w.max_points, c.max_points) AS most, greatest(w.min_points, c.min_points) AS least,
			c.max_points <= w.max_points IS NOT FALSE AND c.max_points IS NOT NULL AS by_category, w.category
		FROM leadscore_internal.document_weights(document) w LEFT JOIN leadscore_internal.document_categories(document) c ON c.category = w.category
		WHERE w.curve = 'linear' OR w.at_least IS NOT NULL OR w.below IS NOT NULL
		UNION ALL
		SELECT format('rule "%s"', r.rule), r.points, c.max_points, c.min_points, true, r.category
		FROM leadscore_internal.document_rules(document) r JOIN leadscore_internal.document_categories(document) c ON c.category = r.category
	)
	SELECT 'warning', p.name, format('has %s points, of which %s lets %s count', p.points,
			CASE WHEN p.points < 0 THEN 'min_points' WHEN p.by_category THEN format('the category "%s"', p.category) ELSE 'max_points' END,
			CASE WHEN p.points < 0 THEN least ELSE greatest(p.most, 0) END),
		'Bring the points and the limit together.'
	FROM part p
	WHERE p.points > 0 AND p.points > p.most OR p.points < 0 AND p.points < p.least
$$;

COMMENT ON FUNCTION leadscore_internal.lint_caps(jsonb) IS 'points of a document that a limit makes vain';

-- segments

CREATE FUNCTION leadscore_internal.highest_sums(document jsonb) RETURNS TABLE (fit float8, engagement float8, score float8)
	LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 1 SET search_path = pg_catalog, pg_temp
AS $$
	WITH part AS (
		SELECT w.measure = 'present' AS is_fit, w.category, greatest(0, w.if_none, CASE
			WHEN w.measure = 'present' OR w.at_least IS NOT NULL OR w.below IS NOT NULL THEN greatest(least(w.points, w.max_points), w.min_points)
			WHEN w.points > 0 OR w.measure IN ('value', 'average_value') THEN coalesce(w.max_points, 'Infinity')
			ELSE w.min_points END) AS most
		FROM leadscore_internal.document_weights(document) w
		UNION ALL
		-- (a rule's points go to one of the two sums: to either, then)
		SELECT f, r.category, greatest(0, r.points) FROM leadscore_internal.document_rules(document) r CROSS JOIN (VALUES (true), (false)) AS v (f)
	), highest AS (
		SELECT coalesce(sum(s.most) FILTER (WHERE s.is_fit), 0) AS fit, coalesce(sum(s.most) FILTER (WHERE NOT s.is_fit), 0) AS engagement
		FROM (
			SELECT p.is_fit, CASE WHEN p.category IS NULL THEN sum(p.most) ELSE greatest(least(sum(p.most), max(c.max_points)), max(c.min_points)) END AS most
			FROM part p LEFT JOIN leadscore_internal.document_categories(document) c ON c.category = p.category
			GROUP BY p.is_fit, p.category
		) s
	)
	SELECT h.fit, h.engagement, greatest(least(h.fit + h.engagement, (document ->> 'ceiling')::float8), (document ->> 'floor')::float8) FROM highest h
$$;

COMMENT ON FUNCTION leadscore_internal.highest_sums(jsonb) IS 'what no lead can be above on a document: sums of its highest points, which may lie higher than any lead comes';

CREATE FUNCTION leadscore_internal.lint_crm_step(document jsonb) RETURNS TABLE (severity text, object text, problem text, hint text)
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT 'warning', format('model "%s"', document ->> 'model'), CASE WHEN d.step < 1 THEN format('crm_step of %s is no less than 1: a CRM gets whole numbers', d.step)
			ELSE format('crm_step of %s is never reached: scores lie between %s and %s', d.step, d.floor, d.most) END,
		'Write a step that a salesperson would notice, such as 5 where scores go to 100.'
	FROM (
		SELECT (document ->> 'crm_step')::float8 AS step, (document ->> 'floor')::float8 AS floor, h.score AS most FROM leadscore_internal.highest_sums(document) h
	) d
	WHERE d.step > 0 AND d.step < 1 OR d.step > greatest(d.most, d.floor) - d.floor
$$;

COMMENT ON FUNCTION leadscore_internal.lint_crm_step(jsonb) IS 'a crm_step of a document that means nothing';

CREATE FUNCTION leadscore_internal.document_segments(document jsonb)
	RETURNS TABLE (segment text, n bigint, min_score float8, above_score float8, min_fit float8, min_engagement float8, rules text[])
	LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 5 SET search_path = pg_catalog, pg_temp
AS $$
	-- what the floor gives to everybody is no condition
	SELECT s.segment, row_number() OVER (ORDER BY s.position), CASE WHEN (s.min_score <= f.floor) IS NOT TRUE THEN s.min_score END,
		CASE WHEN (s.above_score < f.floor) IS NOT TRUE THEN s.above_score END, s.min_fit, s.min_engagement, nullif(s.rules, '{}')
	FROM jsonb_to_recordset(nullif(document -> 'segments', 'null'))
		AS s (segment text, position numeric, min_score float8, above_score float8, min_fit float8, min_engagement float8, rules text[])
	CROSS JOIN (SELECT (document ->> 'floor')::float8 AS floor) f
$$;

COMMENT ON FUNCTION leadscore_internal.document_segments(jsonb) IS 'the segments of a scorecard document as rows, in the order in which they are tried, with the conditions that can fail';

CREATE FUNCTION leadscore_internal.lint_segments(document jsonb) RETURNS TABLE (severity text, object text, problem text, hint text)
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	WITH segment AS MATERIALIZED (
		SELECT s.*, num_nonnulls(s.min_score, s.above_score, s.min_fit, s.min_engagement, s.rules) = 0 AS is_for_all
		FROM leadscore_internal.document_segments(document) s
	), reached AS (
		SELECT s.*, (SELECT a.segment FROM segment a WHERE a.is_for_all AND a.n < s.n ORDER BY a.n LIMIT 1) AS behind,
			-- one before it, all of whose conditions follow from its own
			(SELECT a.segment FROM segment a WHERE a.n < s.n AND NOT a.is_for_all
				AND (a.min_score IS NULL OR (greatest(s.min_score, s.above_score) >= a.min_score) IS TRUE)
				AND (a.above_score IS NULL OR (s.min_score > a.above_score OR s.above_score >= a.above_score) IS TRUE)
				AND (a.min_fit IS NULL OR (s.min_fit >= a.min_fit) IS TRUE)
				AND (a.min_engagement IS NULL OR (s.min_engagement >= a.min_engagement) IS TRUE)
				AND (a.rules IS NULL OR (s.rules @> a.rules) IS TRUE)
				ORDER BY a.n LIMIT 1) AS taken_by,
			CASE WHEN h.score < s.min_score OR h.score <= s.above_score THEN format('a score of %s', coalesce('more than ' || CASE WHEN s.above_score >= s.min_score IS NOT FALSE THEN s.above_score END, s.min_score::text))
				WHEN h.fit < s.min_fit THEN format('a fit of %s', s.min_fit)
				WHEN h.engagement < s.min_engagement THEN format('an engagement of %s', s.min_engagement) END AS asks_for,
			CASE WHEN h.score < s.min_score OR h.score <= s.above_score THEN h.score WHEN h.fit < s.min_fit THEN h.fit ELSE h.engagement END AS most
		FROM segment s CROSS JOIN leadscore_internal.highest_sums(document) h
	)
	SELECT 'error', format('segment "%s"', s.segment), format('takes every lead, so none comes to those after it: %s',
			(SELECT string_agg(format('"%s"', l.segment), ', ' ORDER BY l.n) FROM segment l WHERE l.n > s.n)), 'Give it the last position.'
	FROM reached s WHERE s.is_for_all AND s.behind IS NULL AND EXISTS (SELECT FROM segment l WHERE l.n > s.n)
	UNION ALL
	SELECT 'error', format('segment "%s"', s.segment), CASE WHEN s.asks_for IS NOT NULL THEN format('is never reached: it asks for %s, and the model gives %s at most', s.asks_for, s.most)
			ELSE format('is never reached: who meets its conditions is in "%s" before', s.taken_by) END,
		CASE WHEN s.asks_for IS NOT NULL THEN 'Ask for less, or give more points.' ELSE 'Let it come first, or change the conditions.' END
	FROM reached s WHERE s.behind IS NULL AND (s.asks_for IS NOT NULL OR s.taken_by IS NOT NULL)
$$;

COMMENT ON FUNCTION leadscore_internal.lint_segments(jsonb) IS 'segments of a document that no lead can be in';

-- signals

CREATE FUNCTION leadscore_internal.source_sample(source regclass, mapping jsonb, kind text) RETURNS SETOF jsonb
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE ROWS 200;

COMMENT ON FUNCTION leadscore_internal.source_sample(regclass, jsonb, text)
	IS 'the properties of events of a kind (NULL: any), 200 at most, among the first 10,000 rows of a table and its children';

CREATE FUNCTION leadscore_internal.property_types(kind text, subject text) RETURNS TABLE (property text, types text[])
	LANGUAGE plpgsql SECURITY DEFINER ROWS 20 SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	samples jsonb[] := '{}';
	s record;
BEGIN
	IF subject = 'profile' THEN
		samples := ARRAY(SELECT p.profile FROM leadscore.current_profile p WHERE p.profile IS NOT NULL LIMIT 1000);
	ELSE
		FOR s IN SELECT t.source, t.mapping FROM leadscore_internal.source_trigger t
				WHERE t.feeds = 'timeline' AND NOT t.mapping ? 'partition' AND (t.kind = property_types.kind) IS NOT FALSE LOOP
			IF leadscore_internal.source_problem(s.source, s.mapping) IS NULL AND leadscore_internal.try_table(s.source, false) THEN
				samples := samples || ARRAY(SELECT e FROM leadscore_internal.source_sample(s.source, s.mapping, property_types.kind) e WHERE e IS NOT NULL);
			END IF;
		END LOOP;
	END IF;
	RETURN QUERY
	SELECT e.key, array_agg(DISTINCT jsonb_typeof(e.value))
	FROM unnest(samples) p CROSS JOIN LATERAL jsonb_each(p) e
	WHERE e.value <> 'null'
	GROUP BY e.key;
END
$$;

COMMENT ON FUNCTION leadscore_internal.property_types(text, text) IS 'the properties of events of a kind (NULL: any), or those of profiles, in the first rows, with the JSON types that they have';

CREATE FUNCTION leadscore_internal.properties_asked(match jsonb, condition jsonpath) RETURNS TABLE (property text, type text)
	LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 3 SET search_path = pg_catalog, pg_temp
AS $$
	SELECT e.key, jsonb_typeof(e.value) FROM jsonb_each(match) e
	UNION
	-- (the text of a jsonpath has all keys quoted)
	SELECT c[1], CASE WHEN c[2] = '"' THEN 'string' WHEN c[2] IS NOT NULL THEN 'number' END
	FROM regexp_matches(condition::text, E'[$][.]"([^"\\\\]+)"(?: (?:==|!=|<>|<=|>=|<|>) ("|-?[0-9]))?', 'g') c
$$;

COMMENT ON FUNCTION leadscore_internal.properties_asked(jsonb, jsonpath) IS 'the properties that a signal looks at, and the JSON types that it compares them with; NULL: any';

CREATE FUNCTION leadscore_internal.why_never(subject text, kind text, match jsonb, condition jsonpath, OUT problem text, OUT hint text)
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	things CONSTANT text := CASE WHEN subject = 'profile' THEN 'profile' WHEN kind IS NULL THEN 'event' ELSE format('event of the kind "%s"', kind) END;
	asked record;
BEGIN
	IF subject = 'event' AND leadscore_internal.log_has(kind, true) IS NOT TRUE THEN
		problem := format('has never counted anything: no %s is found', things);
		hint := 'Compare the spelling with that of your events.';
		RETURN;
	END IF;
	SELECT a.property, a.type, t.types INTO asked
	FROM leadscore_internal.properties_asked(match, condition) a LEFT JOIN leadscore_internal.property_types(kind, subject) t ON t.property = a.property
	WHERE t.types IS NULL OR a.type <> ALL (t.types)
	ORDER BY t.types IS NOT NULL, 1 LIMIT 1;
	IF NOT FOUND THEN
		problem := format('has never counted anything: no %s has met its match or condition', things);
		hint := CASE subject WHEN 'profile' THEN 'Look at some profiles, and change the signal.' ELSE 'Look at some events, and change the signal.' END;
	ELSIF asked.types IS NULL THEN
		problem := format('has never counted anything: no %s is found that has the property "%s"', things, asked.property);
		hint := CASE subject WHEN 'profile' THEN 'Compare the spelling with that of your profiles.' ELSE 'Compare the spelling with that of your events.' END;
	ELSE
		problem := format('has never counted anything: it compares the property "%s" with a %s, and each %s has a %s there', asked.property,
			replace(asked.type, 'string', 'text'), things, replace(array_to_string(asked.types, ' or a '), 'string', 'text'));
		hint := 'Compare it with a value of its own type: "42" is text, 42 a number.';
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.why_never(text, text, jsonb, jsonpath) IS 'why a signal may have counted nothing, by the first rows';

-- Most signals are found in the first rows: all rows are read for the others only, and once for all of these.

CREATE FUNCTION leadscore_internal.signals_unmet(signal_ids integer[], n bigint) RETURNS integer[]
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
	SELECT ARRAY(
		SELECT unnest(signal_ids)
		EXCEPT
		SELECT m.signal_id
		FROM (SELECT t.timeline FROM leadscore.current_timeline t WHERE signal_ids <> '{}' LIMIT n) t
		CROSS JOIN LATERAL (
			SELECT u.signal_id FROM unnest(signal_ids) u (signal_id)
			WHERE leadscore.timeline_first_hour(t.timeline, u.signal_id, '-infinity'::timestamptz, 'infinity'::timestamptz) IS NOT NULL
			OFFSET 0	-- so that the timelines are the outer side of the join
		) m)
$$;

COMMENT ON FUNCTION leadscore_internal.signals_unmet(integer[], bigint) IS 'those of some event signals that have counted nothing in the first n timelines (NULL: in all)';

CREATE FUNCTION leadscore_internal.profile_signals_unmet(signals jsonb[], n bigint) RETURNS jsonb[]
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
	WITH met AS (
		SELECT DISTINCT c.signal
		FROM (SELECT p.profile FROM leadscore.current_profile p WHERE p.profile IS NOT NULL AND signals <> '{}' LIMIT n) p
		CROSS JOIN LATERAL leadscore.contributions((SELECT jsonb_build_object('model', 'm', 'signals', to_jsonb(signals), 'weights',
				(SELECT jsonb_agg(jsonb_build_object('signal', s ->> 'signal', 'points', 1)) FROM unnest(signals) s))),
			NULL::leadscore.timeline, p.profile, now()) c
		WHERE c.points > 0
	)
	SELECT ARRAY(SELECT s FROM unnest(signals) s WHERE s ->> 'signal' NOT IN (SELECT m.signal FROM met m))
$$;

COMMENT ON FUNCTION leadscore_internal.profile_signals_unmet(jsonb[], bigint) IS 'those of some profile signals that none of the first n profiles has (NULL: of all)';

CREATE FUNCTION leadscore_internal.signals_never_met(document jsonb) RETURNS TABLE (signal text, subject text, kind text, match jsonb, condition jsonpath)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	event_ids integer[] := '{}';
	profile_signals jsonb[] := '{}';
BEGIN
	IF EXISTS (SELECT FROM leadscore.current_timeline) THEN
		-- what waits for a rebuild is told by status
		event_ids := ARRAY(SELECT s.signal_id FROM leadscore_internal.document_signals(document) d JOIN leadscore.signal s ON s.signal = d.signal
			WHERE d.subject = 'event' AND d.signal NOT IN (SELECT w.signal FROM leadscore_internal.signals_waiting(ARRAY[d.signal]) w));
		event_ids := leadscore_internal.signals_unmet(leadscore_internal.signals_unmet(event_ids, 1000::bigint), NULL::bigint);
	END IF;
	IF EXISTS (SELECT FROM leadscore.current_profile p WHERE p.profile IS NOT NULL) THEN
		profile_signals := ARRAY(SELECT jsonb_strip_nulls(jsonb_build_object('signal', d.signal, 'subject', 'profile', 'condition', d.condition::text))
				|| CASE WHEN d.match IS NULL THEN '{}' ELSE jsonb_build_object('match', d.match) END
			FROM leadscore_internal.document_signals(document) d WHERE d.subject = 'profile');
		profile_signals := leadscore_internal.profile_signals_unmet(leadscore_internal.profile_signals_unmet(profile_signals, 1000::bigint), NULL::bigint);
	END IF;
	RETURN QUERY
	SELECT d.signal, d.subject, CASE d.subject WHEN 'event' THEN d.kind END, d.match, d.condition
	FROM leadscore_internal.document_signals(document) d LEFT JOIN leadscore.signal s ON s.signal = d.signal
	WHERE CASE d.subject WHEN 'event' THEN s.signal_id = ANY (event_ids)
		ELSE EXISTS (SELECT FROM unnest(profile_signals) p WHERE p ->> 'signal' = d.signal) END;
END
$$;

COMMENT ON FUNCTION leadscore_internal.signals_never_met(jsonb) IS 'the signals of a document that no event, or no profile, has met, though there are some';

CREATE FUNCTION leadscore_internal.lint_signals(document jsonb) RETURNS TABLE (severity text, object text, problem text, hint text)
	LANGUAGE sql SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
	SELECT 'warning', format('signal "%s"', d.signal), CASE d.subject WHEN 'profile' THEN 'takes every lead: it has neither match nor condition'
			ELSE 'counts every event: it has neither kind nor match nor condition' END, 'Say what it is to take.'
	FROM leadscore_internal.document_signals(document) d
	WHERE d.kind IS NULL AND coalesce(d.match, '{}') = '{}' AND d.condition IS NULL
	-- when, and on how many days, a lead did anything at all may well be asked
	AND (d.subject = 'profile' OR EXISTS (SELECT FROM leadscore_internal.document_weights(document) w
		WHERE w.signal = d.signal AND w.measure NOT IN ('active_days', 'days_since_last', 'days_since_first')))
	UNION ALL
	SELECT 'warning', format('signal "%s"', n.signal), y.problem, y.hint
	FROM leadscore_internal.signals_never_met(document) n CROSS JOIN LATERAL leadscore_internal.why_never(n.subject, n.kind, n.match, n.condition) y
	UNION ALL
	SELECT 'warning', format('signal "%s"', d.signal), format('has the label of the signal "%s"', min(o.signal)), 'Give each a label of its own, so that explanations tell them apart.'
	FROM leadscore_internal.document_signals(document) d JOIN leadscore_internal.document_signals(document) o ON o.label = d.label AND o.n < d.n
	GROUP BY d.signal
$$;

COMMENT ON FUNCTION leadscore_internal.lint_signals(jsonb) IS 'what is probably not meant in the signals of a document';

-- all of it

CREATE FUNCTION leadscore_internal.document_findings(document jsonb) RETURNS TABLE (severity text, object text, problem text, hint text)
	LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp SET extra_float_digits = 1
AS $$
	SELECT * FROM leadscore_internal.lint_segments(document)
	UNION ALL SELECT * FROM leadscore_internal.lint_weights(document)
	UNION ALL SELECT * FROM leadscore_internal.lint_caps(document)
	UNION ALL SELECT * FROM leadscore_internal.lint_crm_step(document)
$$;

COMMENT ON FUNCTION leadscore_internal.document_findings(jsonb) IS 'what lint() finds in a document alone, without the data';

CREATE FUNCTION leadscore.lint(model text DEFAULT 'default') RETURNS TABLE (severity text, object text, problem text, hint text)
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET jit = off SET extra_float_digits = 1
AS $$
#variable_conflict use_column
DECLARE
	name CONSTANT text := leadscore_internal.model_named(lint.model);
	document CONSTANT jsonb := leadscore.scorecard(name);
BEGIN
	RETURN QUERY
	SELECT f.severity, f.object, f.problem, f.hint
	FROM (
		SELECT * FROM leadscore_internal.document_findings(document)
		UNION ALL SELECT * FROM leadscore_internal.lint_signals(document)
		UNION ALL
		SELECT 'warning', format('model "%s"', name), format('has almost the name of the experiment "%s"; each has rows of its own in lead_score', e.experiment), 'Rename one of them.'
		FROM leadscore.experiment e WHERE lower(btrim(e.experiment)) = lower(btrim(name))
	) f (severity, object, problem, hint)
	WHERE name IS NOT NULL
	ORDER BY f.severity, f.object, f.problem;
END
$$;

COMMENT ON FUNCTION leadscore.lint(text) IS 'what is probably not meant in a model: no rows, if nothing is found';

CREATE FUNCTION leadscore_internal.tell_of_findings(model text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	finding record;
BEGIN
	-- one NOTICE for all that is to be mended in the same way
	FOR finding IN
		SELECT array_agg(l.object ORDER BY l.object, l.problem) AS objects, (array_agg(l.problem ORDER BY l.object, l.problem))[1] AS problem, l.hint
		FROM leadscore.lint(tell_of_findings.model) l
		GROUP BY l.severity, l.hint
		ORDER BY l.severity, l.hint
	LOOP
		RAISE NOTICE USING MESSAGE = finding.objects[1] || ' ' || finding.problem
				|| CASE WHEN cardinality(finding.objects) > 1 THEN format('; and %s more: %s%s', cardinality(finding.objects) - 1,
					array_to_string(finding.objects[2:4], ', '), CASE WHEN cardinality(finding.objects) > 4 THEN ', ...' END) ELSE '' END,
			HINT = format('%s SELECT * FROM leadscore.lint(%L) lists all.', finding.hint, tell_of_findings.model);
	END LOOP;
END
$$;

COMMENT ON FUNCTION leadscore_internal.tell_of_findings(text) IS 'NOTICEs about what lint() finds in a model';
