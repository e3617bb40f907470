-- change.sql: how scores have moved, and where a lead stands among all
--
-- Scores of the past are by the model and the profiles of today, as score() of a past instant is.

CREATE FUNCTION leadscore.score_change(model text DEFAULT 'default', span interval DEFAULT '1 day', at timestamptz DEFAULT now())
	RETURNS TABLE (lead_id text, score_before float8, score float8, change float8)
	LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 100000 SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	before record;
	after record;
BEGIN
	IF model IS NULL OR span IS NULL OR at IS NULL THEN
		RETURN;
	END IF;
	IF span <= '0' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'span is not above zero',
			DETAIL = format('It is %s.', span), HINT = 'Write how far to look back, such as 1 day.';
	END IF;
	before := leadscore_internal.cards_at(model, at - span);
	after := leadscore_internal.cards_at(model, at);
	RETURN QUERY
	SELECT s.lead_id, s.score_before, s.score, s.score - s.score_before
	FROM (
		SELECT l.lead_id,
			leadscore.score(CASE WHEN leadscore_internal.treated(before.salt, before.share, l.lead_id) THEN before.treatment ELSE before.control END,
				l.timeline, l.profile, score_change.at - score_change.span) AS score_before,
			leadscore.score(CASE WHEN leadscore_internal.treated(after.salt, after.share, l.lead_id) THEN after.treatment ELSE after.control END,
				l.timeline, l.profile, score_change.at) AS score
		FROM leadscore_internal.visible_lead l
		OFFSET 0	-- each score is computed once
	) s;
END
$$;

COMMENT ON FUNCTION leadscore.score_change(text, interval, timestamptz) IS 'how far the score of every lead has moved in the time before an instant';

CREATE FUNCTION leadscore.percentile_rank(lead_id text, model text DEFAULT 'default', at timestamptz DEFAULT now()) RETURNS float8
	LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	lead CONSTANT text := leadscore_internal.lead_named(lead_id);
	cards record;
	own float8;
	rank float8;
BEGIN
	cards := leadscore_internal.cards_at(model, at);
	-- (of a lead that is none there is no row)
	SELECT leadscore.score(CASE WHEN leadscore_internal.treated(cards.salt, cards.share, l.lead_id) THEN cards.treatment ELSE cards.control END,
		l.timeline, l.profile, at) INTO own
	FROM leadscore_internal.visible_lead l WHERE l.lead_id = lead;
	IF own IS NULL THEN
		RETURN NULL;
	END IF;
	SELECT (count(*) FILTER (WHERE s.score < own) + count(*) FILTER (WHERE s.score = own) / 2.0::float8) / count(*) INTO rank
	FROM (
		SELECT leadscore.score(CASE WHEN leadscore_internal.treated(cards.salt, cards.share, l.lead_id) THEN cards.treatment ELSE cards.control END,
			l.timeline, l.profile, at) AS score
		FROM leadscore_internal.visible_lead l
		OFFSET 0
	) s;
	RETURN rank;
END
$$;

COMMENT ON FUNCTION leadscore.percentile_rank(text, text, timestamptz)
	IS 'the share of leads with a lower score, and half of those with the same: 0 to 1; NULL: there is no such lead';

CREATE FUNCTION leadscore.percentile_rank(lead_id bigint, model text DEFAULT 'default', at timestamptz DEFAULT now()) RETURNS float8
	LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
	SELECT leadscore.percentile_rank(percentile_rank.lead_id::text, model, at);
END;

CREATE FUNCTION leadscore.percentile_rank(lead_id uuid, model text DEFAULT 'default', at timestamptz DEFAULT now()) RETURNS float8
	LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
	SELECT leadscore.percentile_rank(percentile_rank.lead_id::text, model, at);
END;

COMMENT ON FUNCTION leadscore.percentile_rank(bigint, text, timestamptz) IS 'the rank of a lead whose id is a number';
COMMENT ON FUNCTION leadscore.percentile_rank(uuid, text, timestamptz) IS 'the rank of a lead whose id is a UUID';

-- ---------- why one score has moved ----------

SELECT leadscore_internal.deliver('en'::text, name, english), leadscore_internal.deliver('de'::text, name, german)
FROM (VALUES
	('change.and', '%first; %second', '%first; %second'),
	('change.new.one', '%n new %noun', '%n %noun mehr'),
	('change.new.many', '%n new %nouns', '%n %nouns mehr'),
	('change.new.label.one', '%label, once more', '%label, noch einmal'),
	('change.new.label.many', '%label, %n more times', '%label, noch %n-mal'),
	('change.value', 'new %nouns worth %n', 'weitere %nouns im Wert von %n'),
	('change.value.label', '%label, worth %n more', '%label, im Wert von weiteren %n'),
	('change.less.one', '%n %noun taken back', '%n %noun weniger'),
	('change.less.many', '%n %nouns taken back', '%n %nouns weniger'),
	('change.less.label.one', '%label, taken back once', '%label, einmal weniger'),
	('change.less.label.many', '%label, taken back %n times', '%label, %n-mal weniger'),
	('change.left.one', '%n %noun has left the window', '%n %noun liegt nicht mehr im Zeitraum'),
	('change.left.many', '%n %nouns have left the window', '%n %nouns liegen nicht mehr im Zeitraum'),
	('change.left.label.one', '%label, once, has left the window', '%label, einmal, liegt nicht mehr im Zeitraum'),
	('change.left.label.many', '%label, %n times, has left the window', '%label, %n-mal, liegt nicht mehr im Zeitraum'),
	('change.since', 'counted anew since the last "%noun"', 'neu gez"ahlt seit dem letzten Mal "%noun"'),
	('change.decay', 'older ones worth less', '"altere z"ahlen weniger'),
	('change.time', 'time has gone by', 'es ist Zeit vergangen'),
	('change.reached', 'now %what', 'jetzt %what'),
	('change.lost', 'no longer %what', 'nicht mehr %what'),
	('change.limit', 'limited to %points', 'begrenzt auf %points'),
	('change.category', 'all of "%category" is limited together', '"%category" ist insgesamt begrenzt'),
	('change.rule.on', '"%rule" holds now', '"%rule" trifft jetzt zu'),
	('change.rule.off', '"%rule" no longer holds', '"%rule" trifft nicht mehr zu'),
	('change.freed', 'a limit no longer applies', 'eine Grenze greift nicht mehr'),
	('change.model', 'scored by the model "%model" since', 'seitdem nach dem Modell "%model" bewertet')
) AS s (name, english, german);

CREATE FUNCTION leadscore_internal.weights_in_words(scorecard jsonb, wording jsonb,
	OUT weight_id integer, OUT noun text, OUT nouns text, OUT band text, OUT absence text, OUT since_noun text) RETURNS SETOF record
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 20;

COMMENT ON FUNCTION leadscore_internal.weights_in_words(jsonb, jsonb) IS 'what the weights of a scorecard are called: their signals, bands and absences';

-- A lead's score at one end, with what the weights measured: of those that are worth nothing, too.
CREATE FUNCTION leadscore_internal.score_lines(card jsonb, timeline leadscore.timeline, profile jsonb, at timestamptz, wording jsonb)
	RETURNS TABLE (key text, signal text, measure text, rule text, category text, points float8, reason text, weight_id integer, measured float8, raw_points float8, uncapped_points float8)
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	WITH line AS (
		SELECT coalesce('weight ' || e.weight_id, 'rule ' || e.rule, 'category ' || e.category, 'limit') AS key, sum(e.points) AS points, min(e.reason) AS reason
		FROM leadscore_internal.explained(card, timeline, profile, at, wording) e
		GROUP BY 1
	), term AS (
		SELECT coalesce('weight ' || c.weight_id, 'rule ' || c.rule) AS key, c.* FROM leadscore.contributions(card, timeline, profile, at) c
	)
	SELECT coalesce(t.key, l.key), t.signal, t.measure, t.rule, coalesce(t.category, substring(l.key, '^category (.*)')), coalesce(l.points, 0), l.reason,
		t.weight_id, t.measured, t.points, t.uncapped_points
	FROM line l FULL JOIN term t ON t.key = l.key
$$;

COMMENT ON FUNCTION leadscore_internal.score_lines(jsonb, leadscore.timeline, jsonb, timestamptz, jsonb)
	IS 'a score, line by line, by keys that are the same at each instant: weights, rules, what categories and the score''s limits do';

-- What has happened to what a weight measures, from one hour to another.
CREATE FUNCTION leadscore_internal.events_of_change(weight jsonb, signals jsonb, timeline leadscore.timeline, since timestamptz, until timestamptz,
	OUT occurrences numeric, OUT value numeric, OUT departed numeric, OUT restarted boolean)
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	number CONSTANT integer := (SELECT (s ->> 'signal_id')::integer FROM jsonb_array_elements(signals) s WHERE s ->> 'signal' = weight ->> 'signal' AND s ->> 'subject' IS DISTINCT FROM 'profile');
	start_number CONSTANT integer := (SELECT (s ->> 'signal_id')::integer FROM jsonb_array_elements(signals) s WHERE s ->> 'signal' = weight ->> 'since_signal');
	within CONSTANT interval := leadscore_internal.duration_hours('within'::text, (weight ->> 'within')::interval, ''::text) * interval '1 hour';
	hour CONSTANT interval := '1 hour';
	start timestamptz;
BEGIN
	SELECT max(e.hour) INTO start FROM leadscore.timeline_entries(timeline) e WHERE e.signal_id = start_number AND e.hour > since AND e.hour <= until;
	restarted := start IS NOT NULL;
	-- (bounds are the first hour in, and the first one out)
	SELECT t.occurrences, t.value INTO occurrences, value
	FROM leadscore_internal.timeline_total(timeline, number, greatest(since, start) + hour, until + hour) t WHERE number IS NOT NULL;
	SELECT t.occurrences INTO departed
	FROM leadscore_internal.timeline_total(timeline, number, since - within + hour, least(since, until - within) + hour) t WHERE number IS NOT NULL AND within IS NOT NULL AND NOT restarted;
	occurrences := coalesce(occurrences, 0);
	value := coalesce(value, 0);
	departed := coalesce(departed, 0);
END
$$;

COMMENT ON FUNCTION leadscore_internal.events_of_change(jsonb, jsonb, leadscore.timeline, timestamptz, timestamptz)
	IS 'between two hours: what is new for a weight, what has left its window, and whether it counts anew';

CREATE FUNCTION leadscore_internal.weight_change(weight jsonb, words jsonb, happened jsonb, before jsonb, after jsonb, wording jsonb) RETURNS text[]
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	names CONSTANT jsonb := jsonb_build_object('noun', words -> 'noun', 'nouns', words -> 'nouns', 'label', words -> 'noun');
	form CONSTANT text := CASE WHEN words ->> 'nouns' IS NULL THEN '.label' ELSE '' END;
	measure CONSTANT text := before ->> 'measure';
	restarted CONSTANT boolean := (happened ->> 'restarted')::boolean;
	was_measured CONSTANT boolean := before ->> 'measured' IS NOT NULL;
	is_measured CONSTANT boolean := after ->> 'measured' IS NOT NULL;
	-- (in its band a weight is worth its points, else nothing)
	was_in CONSTANT boolean := was_measured AND (before ->> 'uncapped_points')::float8 <> 0;
	is_in CONSTANT boolean := is_measured AND (after ->> 'uncapped_points')::float8 <> 0;
	said text[] := '{}';
BEGIN
	IF measure = 'value' AND (happened ->> 'value')::numeric > 0 THEN
		said := said || leadscore_internal.sentence_filled(wording, 'change.value' || form, names || jsonb_build_object('n', happened -> 'value'));
	ELSIF (happened ->> 'occurrences')::numeric <> 0 THEN
		said := said || leadscore_internal.sentence_filled(wording, CASE WHEN (happened ->> 'occurrences')::numeric < 0 THEN 'change.less' || form
			WHEN words ->> 'nouns' IS NULL AND NOT was_measured THEN 'times' ELSE 'change.new' || form END, names || jsonb_build_object('n', abs((happened ->> 'occurrences')::numeric)));
	END IF;
	IF restarted THEN
		said := said || leadscore_internal.sentence_filled(wording, 'change.since'::text, jsonb_build_object('noun', words -> 'since_noun'));
	ELSIF (happened ->> 'departed')::numeric > 0 THEN
		said := said || leadscore_internal.sentence_filled(wording, 'change.left' || form, names || jsonb_build_object('n', happened -> 'departed'));
	END IF;
	IF NOT restarted AND was_measured AND is_measured AND measure IN ('count', 'value') AND weight ?| '{half_life,fades_over}' THEN
		said := said || leadscore_internal.sentence_filled(wording, 'change.decay'::text, '{}'::jsonb);
	ELSIF said = '{}' AND measure LIKE 'days_since_%' THEN
		said := said || leadscore_internal.sentence_filled(wording, 'change.time'::text, '{}'::jsonb);
	END IF;
	IF words ->> 'band' IS NOT NULL AND is_in <> was_in THEN
		said := said || leadscore_internal.sentence_filled(wording, CASE WHEN is_in THEN 'change.reached' ELSE 'change.lost' END, jsonb_build_object('what', words -> 'band'));
	END IF;
	IF words ->> 'absence' IS NOT NULL AND was_measured AND NOT is_measured THEN
		said := said || leadscore_internal.sentence_filled(wording, 'change.reached'::text, jsonb_build_object('what', words -> 'absence'));
	END IF;
	IF after -> 'raw_points' <> after -> 'uncapped_points' THEN
		said := said || leadscore_internal.sentence_filled(wording, 'change.limit'::text,
			jsonb_build_object('points', leadscore_internal.sentence_filled(wording, 'points'::text, jsonb_build_object('n', after -> 'raw_points'))));
	ELSIF before -> 'raw_points' <> before -> 'uncapped_points' THEN
		said := said || leadscore_internal.sentence_filled(wording, 'change.freed'::text, '{}'::jsonb);
	END IF;
	RETURN said;
END
$$;

COMMENT ON FUNCTION leadscore_internal.weight_change(jsonb, jsonb, jsonb, jsonb, jsonb, jsonb) IS 'why a weight is worth something else than before, in sentences';

CREATE FUNCTION leadscore_internal.change_in_words(card jsonb, timeline leadscore.timeline, since timestamptz, until timestamptz, before jsonb, after jsonb, wording jsonb) RETURNS text
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	line CONSTANT jsonb := coalesce(after, before);
	weight CONSTANT jsonb := (SELECT w FROM jsonb_array_elements(card -> 'weights') w WHERE w -> 'weight_id' = line -> 'weight_id');
	said text[] := '{}';
	words text;
BEGIN
	IF weight IS NOT NULL THEN
		SELECT leadscore_internal.weight_change(weight, to_jsonb(w), to_jsonb(h), before, after, wording) INTO said
		FROM leadscore_internal.weights_in_words(card, wording) w
		CROSS JOIN leadscore_internal.events_of_change(weight, card -> 'signals', timeline, since, until) h
		WHERE w.weight_id = (weight ->> 'weight_id')::integer;
	ELSIF line ->> 'rule' IS NOT NULL AND before -> 'raw_points' <> after -> 'raw_points' THEN
		said := ARRAY[leadscore_internal.sentence_filled(wording, CASE WHEN after -> 'raw_points' <> '0' THEN 'change.rule.on' ELSE 'change.rule.off' END, jsonb_build_object('rule', line -> 'rule'))];
	ELSIF line ->> 'rule' IS NULL THEN
		-- what a category or the score's limit takes away or adds
		said := ARRAY[coalesce(after ->> 'reason', leadscore_internal.sentence_filled(wording, 'change.freed'::text, '{}'::jsonb))];
	END IF;
	-- its points, or what it is left of them
	IF line ->> 'key' ~ '^(weight|rule) ' AND (before -> 'points' <> before -> 'raw_points' OR after -> 'points' <> after -> 'raw_points') THEN
		said := said || leadscore_internal.sentence_filled(wording, 'change.category'::text, jsonb_build_object('category', line -> 'category'));
	END IF;
	FOR i IN 1 .. cardinality(said) LOOP
		words := CASE i WHEN 1 THEN said[1] ELSE leadscore_internal.sentence_filled(wording, 'change.and'::text, jsonb_build_object('first', words, 'second', said[i])) END;
	END LOOP;
	RETURN words;
END
$$;

COMMENT ON FUNCTION leadscore_internal.change_in_words(jsonb, leadscore.timeline, timestamptz, timestamptz, jsonb, jsonb, jsonb) IS 'why a line of a score is worth something else than before';

CREATE FUNCTION leadscore.explain_change(lead_id text, model text DEFAULT 'default', since timestamptz DEFAULT now() - interval '7 days', until timestamptz DEFAULT now())
	RETURNS TABLE (signal text, measure text, rule text, points_before float8, points float8, change float8, reason text)
	LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 20 SET search_path = pg_catalog, pg_temp SET extra_float_digits = 1 SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	lead CONSTANT text := leadscore_internal.lead_named(lead_id);
	model_before text;
	model_after text;
	timeline leadscore.timeline;
	profile jsonb;
	wording CONSTANT jsonb := leadscore_internal.wording();
BEGIN
	IF lead IS NULL OR model IS NULL OR since IS NULL OR until IS NULL THEN
		RETURN;
	END IF;
	PERFORM leadscore_internal.check_span('explain_change'::text, since, until);
	model_before := leadscore_internal.serving_model(model, lead, since);
	model_after := leadscore_internal.serving_model(model, lead, until);
	timeline := leadscore_internal.timeline_of(lead);
	SELECT p.profile INTO profile FROM leadscore.current_profile p WHERE p.lead_id = lead;
	RETURN QUERY
	SELECT coalesce(a.signal, b.signal), coalesce(a.measure, b.measure), coalesce(a.rule, b.rule), coalesce(b.points, 0), coalesce(a.points, 0), coalesce(a.points, 0) - coalesce(b.points, 0),
		CASE WHEN model_before <> model_after THEN leadscore_internal.sentence_filled(wording, 'change.model'::text, jsonb_build_object('model', model_after))
			ELSE leadscore_internal.change_in_words(leadscore.scorecard(model_after), timeline, date_trunc('hour', since, 'UTC'), date_trunc('hour', until, 'UTC'), to_jsonb(b), to_jsonb(a), wording) END
	FROM leadscore_internal.score_lines(leadscore.scorecard(model_before), timeline, profile, since, wording) b
	FULL JOIN leadscore_internal.score_lines(leadscore.scorecard(model_after), timeline, profile, until, wording) a ON a.key = b.key
	WHERE coalesce(a.points, 0) <> coalesce(b.points, 0)
	ORDER BY abs(coalesce(a.points, 0) - coalesce(b.points, 0)) DESC, coalesce(a.key, b.key);
END
$$;

COMMENT ON FUNCTION leadscore.explain_change(text, text, timestamptz, timestamptz) IS 'why a lead''s score has moved between two instants, line by line: the changes add up to the difference';

CREATE FUNCTION leadscore.explain_change(lead_id bigint, model text DEFAULT 'default', since timestamptz DEFAULT now() - interval '7 days', until timestamptz DEFAULT now())
	RETURNS TABLE (signal text, measure text, rule text, points_before float8, points float8, change float8, reason text)
	LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT * FROM leadscore.explain_change(explain_change.lead_id::text, model, since, until);
END;

CREATE FUNCTION leadscore.explain_change(lead_id uuid, model text DEFAULT 'default', since timestamptz DEFAULT now() - interval '7 days', until timestamptz DEFAULT now())
	RETURNS TABLE (signal text, measure text, rule text, points_before float8, points float8, change float8, reason text)
	LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT * FROM leadscore.explain_change(explain_change.lead_id::text, model, since, until);
END;

COMMENT ON FUNCTION leadscore.explain_change(bigint, text, timestamptz, timestamptz) IS 'explain_change() of a lead whose id is a number';
COMMENT ON FUNCTION leadscore.explain_change(uuid, text, timestamptz, timestamptz) IS 'explain_change() of a lead whose id is a UUID';
