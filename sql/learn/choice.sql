-- choice.sql: what fit() chooses: profile values, half-lives, bands and pairs by the outcomes, and by cross-validation
-- whether they, and which penalty, do better on leads that had no say

-- private functions

CREATE FUNCTION leadscore_internal.held_out_transition(internal, float8[], boolean, boolean, float8[], float8[]) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.held_out_final(internal) RETURNS float8[]
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION leadscore_internal.held_out_transition(internal, float8[], boolean, boolean, float8[], float8[]) IS 'aggregate transition function';
COMMENT ON FUNCTION leadscore_internal.held_out_final(internal) IS 'aggregate final function';

CREATE AGGREGATE leadscore_internal.held_out_loss(features float8[], outcome boolean, held_out boolean, l2s float8[], signs float8[]) (
	SFUNC = leadscore_internal.held_out_transition,
	STYPE = internal,
	SSPACE = 100000,
	FINALFUNC = leadscore_internal.held_out_final,
	PARALLEL = safe
);

COMMENT ON AGGREGATE leadscore_internal.held_out_loss(float8[], boolean, boolean, float8[], float8[])
	IS 'for each penalty: rows held out, their log loss by a fit to the others, and the area under the ROC curve with its error';

-- What fit() has put into a document is described so: the signals of profile values, and pairs. propose() has a
-- category.
CREATE FUNCTION leadscore_internal.is_proposed(description text, category text) RETURNS boolean
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN coalesce(description LIKE 'proposed: %', false) AND category IS DISTINCT FROM 'learned';

COMMENT ON FUNCTION leadscore_internal.is_proposed(text, text) IS 'whether fit() has proposed a rule, or the weight of a signal';

CREATE FUNCTION leadscore_internal.is_proposed_rule(document jsonb, rule jsonb) RETURNS boolean
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	-- one that a segment names stays
	RETURN leadscore_internal.is_proposed(rule ->> 'description', rule ->> 'category')
		AND NOT coalesce(document -> 'segments' @> jsonb_build_array(jsonb_build_object('rules', jsonb_build_array(rule -> 'rule'))), false);

COMMENT ON FUNCTION leadscore_internal.is_proposed_rule(jsonb, jsonb) IS 'whether fit() has proposed a rule, and may take it away again';

-- A signal that was proposed and that nothing uses goes, too.
CREATE FUNCTION leadscore_internal.without_unused(document jsonb) RETURNS jsonb
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT document || jsonb_build_object('signals', (SELECT coalesce(jsonb_agg(s.signal ORDER BY s.n), '[]')
		FROM jsonb_array_elements(nullif(document -> 'signals', 'null')) WITH ORDINALITY AS s (signal, n)
		WHERE NOT coalesce(s.signal ->> 'description' LIKE 'proposed: %', false)
		OR EXISTS (SELECT FROM jsonb_path_query(document, 'lax $.weights[*].signal') u WHERE u = s.signal -> 'signal')
		OR EXISTS (SELECT FROM jsonb_path_query(document, 'lax $.rules[*].*[*].signal') u WHERE u = s.signal -> 'signal')))
$$;

COMMENT ON FUNCTION leadscore_internal.without_unused(jsonb) IS 'a document without signals that were proposed and that no weight and no rule uses';

CREATE FUNCTION leadscore_internal.without_fitted(document jsonb, profile boolean, pairs boolean) RETURNS jsonb
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT leadscore_internal.without_unused(document
		|| jsonb_build_object('weights', (SELECT coalesce(jsonb_agg(w.weight ORDER BY w.n), '[]')
			FROM jsonb_array_elements(nullif(document -> 'weights', 'null')) WITH ORDINALITY AS w (weight, n)
			LEFT JOIN jsonb_to_recordset(nullif(document -> 'signals', 'null')) AS s (signal text, subject text, description text) ON s.signal = w.weight ->> 'signal'
			WHERE NOT (profile AND s.subject IS NOT DISTINCT FROM 'profile' AND leadscore_internal.is_proposed(s.description, w.weight ->> 'category'))))
		|| CASE WHEN pairs AND jsonb_typeof(document -> 'rules') = 'array' THEN jsonb_build_object('rules', (SELECT coalesce(jsonb_agg(r.rule ORDER BY r.n), '[]')
			FROM jsonb_array_elements(document -> 'rules') WITH ORDINALITY AS r (rule, n)
			WHERE NOT leadscore_internal.is_proposed_rule(document, r.rule))) ELSE '{}' END)
$$;

COMMENT ON FUNCTION leadscore_internal.without_fitted(jsonb, boolean, boolean) IS 'a document without what fit() has proposed before';

-- What was proposed, or is another band of a measure, and has no points leaves the card: the others are compared with
-- it.
CREATE FUNCTION leadscore_internal.without_dropped(document jsonb, bins boolean) RETURNS jsonb
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT leadscore_internal.without_unused(document
		|| jsonb_build_object('weights', (SELECT coalesce(jsonb_agg(w.weight ORDER BY w.n), '[]')
			FROM (
				SELECT u.n, u.weight, lag(u.weight - k.band) OVER (ORDER BY u.n) IS NOT DISTINCT FROM u.weight - k.band AS is_further
				FROM jsonb_array_elements(nullif(document -> 'weights', 'null')) WITH ORDINALITY AS u (weight, n),
					(SELECT '{weight_id,points,min_points,max_points,at_least,below}'::text[]) AS k (band)
			) w
			LEFT JOIN jsonb_to_recordset(nullif(document -> 'signals', 'null')) AS s (signal text, subject text, description text) ON s.signal = w.weight ->> 'signal'
			WHERE (w.weight -> 'points')::float8 <> 0 OR coalesce((w.weight ->> 'if_none')::float8, 0) <> 0
			OR NOT (bins AND w.is_further AND s.subject IS DISTINCT FROM 'profile' OR s.subject IS NOT DISTINCT FROM 'profile' AND leadscore_internal.is_proposed(s.description, w.weight ->> 'category'))))
		|| CASE WHEN jsonb_typeof(document -> 'rules') = 'array' THEN jsonb_build_object('rules', (SELECT coalesce(jsonb_agg(r.rule ORDER BY r.n), '[]')
			FROM jsonb_array_elements(document -> 'rules') WITH ORDINALITY AS r (rule, n)
			WHERE (r.rule ->> 'points')::float8 IS DISTINCT FROM 0 OR NOT leadscore_internal.is_proposed_rule(document, r.rule))) ELSE '{}' END)
$$;

COMMENT ON FUNCTION leadscore_internal.without_dropped(jsonb, boolean) IS 'a fitted document without what was proposed and has no points';

-- pairs

-- Conditions of rules have neither half-lives nor limits by the day.
CREATE FUNCTION leadscore_internal.pair_measures(card jsonb) RETURNS jsonb
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT jsonb_build_object('model', 'measures',
		'signals', (SELECT coalesce(jsonb_agg(s.signal ORDER BY s.n), '[]') FROM jsonb_array_elements(nullif(card -> 'signals', 'null')) WITH ORDINALITY AS s (signal, n) WHERE s.signal ->> 'subject' IS DISTINCT FROM 'profile'),
		'weights', (SELECT coalesce(jsonb_agg(m.measure || '{"points": 1}' ORDER BY m.n), '[]') FROM (
			SELECT min(w.n) AS n, jsonb_strip_nulls(jsonb_build_object('signal', w.weight -> 'signal', 'measure', coalesce(w.weight ->> 'measure', 'count'), 'within', w.weight -> 'within')) AS measure
			FROM jsonb_array_elements(nullif(card -> 'weights', 'null')) WITH ORDINALITY AS w (weight, n)
			LEFT JOIN jsonb_to_recordset(nullif(card -> 'signals', 'null')) AS s (signal text, subject text) ON s.signal = w.weight ->> 'signal'
			WHERE s.subject IS DISTINCT FROM 'profile' AND w.weight ->> 'since_signal' IS NULL
			GROUP BY 2) m))
$$;

COMMENT ON FUNCTION leadscore_internal.pair_measures(jsonb) IS 'a scorecard of what the event weights of another measure, for pairs of conditions on it';

CREATE FUNCTION leadscore_internal.with_pairs(scorecard jsonb, q leadscore_internal.question, conversion text, pairs integer, OUT card jsonb, OUT pairs_found jsonb)
	LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	measures CONSTANT jsonb := leadscore_internal.pair_measures(scorecard);
	learned jsonb;
BEGIN
	card := scorecard;
	pairs_found := '[]';
	learned := (
		SELECT leadscore_internal.learn(measures, e.timeline, e.profile, e.cutoff, e.outcome < 'infinity', hashtextextended(e.lead_id, 0),
			NULL::float8, NULL::integer, pairs, NULL::float8, NULL::integer, 1::float8, false)
		FROM leadscore_internal.examples(q) e);
	learned := jsonb_build_object('terms', jsonb_path_query_array(learned, 'lax $.terms[*] ? (exists(@.both))'));
	IF learned = '{"terms": []}' THEN
		RETURN;
	END IF;
	learned := leadscore_internal.learned_document('{"model": "pairs"}'::jsonb, measures, learned, conversion);
	pairs_found := (SELECT coalesce(jsonb_agg(r.rule - 'category' || jsonb_build_object('points', 0, 'description', 'proposed: two conditions that hold together') ORDER BY r.n), '[]')
		FROM jsonb_array_elements(learned -> 'rules') WITH ORDINALITY AS r (rule, n)
		WHERE NOT EXISTS (SELECT FROM jsonb_array_elements(nullif(scorecard -> 'rules', 'null')) o WHERE o -> 'rule' = r.rule -> 'rule'));
	card := card || jsonb_build_object('rules', coalesce(nullif(scorecard -> 'rules', 'null'), '[]') || pairs_found,
		'signals', coalesce(nullif(scorecard -> 'signals', 'null'), '[]') || (SELECT coalesce(jsonb_agg(s.signal ORDER BY s.n), '[]')
			FROM jsonb_array_elements(learned -> 'signals') WITH ORDINALITY AS s (signal, n)
			WHERE NOT EXISTS (SELECT FROM jsonb_array_elements(nullif(scorecard -> 'signals', 'null')) o WHERE o -> 'signal' = s.signal -> 'signal')));
	card := leadscore_internal.without_unused(card);
END
$$;

COMMENT ON FUNCTION leadscore_internal.with_pairs(jsonb, leadscore_internal.question, text, integer) IS 'a scorecard with rules for pairs of conditions that gain, without points as yet';

-- choosing

CREATE FUNCTION leadscore_internal.chosen_card(scorecard jsonb, q leadscore_internal.question, conversion text, l2 float8, profile boolean, bins boolean, decay text, pairs integer,
	OUT card jsonb, OUT chosen jsonb)
	LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	choice record;
BEGIN
	card := scorecard;
	chosen := '{}';
	IF profile THEN
		choice := leadscore_internal.with_profile(card, q);
		chosen := chosen || jsonb_build_object('profile', choice.proposed);
		card := choice.card;
	END IF;
	IF bins THEN
		card := leadscore_internal.measured_once(card);
	END IF;
	IF decay = 'learn' THEN
		choice := leadscore_internal.learn_decay(card, q, l2);
		chosen := chosen || jsonb_build_object('decay', choice.decay);
		card := choice.card;
	END IF;
	IF bins THEN
		choice := leadscore_internal.with_bands(card, q);
		chosen := chosen || jsonb_build_object('bins', choice.bins);
		card := choice.card;
	END IF;
	IF pairs > 0 THEN
		choice := leadscore_internal.with_pairs(card, q, conversion, pairs);
		chosen := chosen || jsonb_build_object('pairs', choice.pairs_found);
		card := choice.card;
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.chosen_card(jsonb, leadscore_internal.question, text, float8, boolean, boolean, text, integer)
	IS 'a scorecard with the profile values, half-lives, bands and pairs that the outcomes speak for, and how they were chosen';

CREATE FUNCTION leadscore_internal.wanted_signs(card jsonb) RETURNS float8[]
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	-- a weight's worth has the sign of its points, so all factors are to be positive
	SELECT array_agg(CASE WHEN t.unit <> 0 THEN 1 ELSE 0 END ORDER BY t.n) FROM leadscore_internal.card_terms(card) t
$$;

COMMENT ON FUNCTION leadscore_internal.wanted_signs(jsonb) IS 'the signs of the factors of a card''s points that keep theirs';

-- Each fold is judged by what the others say, bands and half-lives included.
CREATE FUNCTION leadscore_internal.cross_validated(scorecard jsonb, q leadscore_internal.question, conversion text, l2s float8[], keep_signs boolean, profile boolean, bins boolean, decay text, pairs integer)
	RETURNS TABLE (l2 float8, log_loss float8, auc float8, auc_error float8)
	LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 10 SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	folds CONSTANT integer := 4;
	card jsonb;
	bare jsonb;
	signs float8[];
	figures float8[];
	all_figures float8[] := '{}';
BEGIN
	FOR fold IN 0 .. folds - 1 LOOP
		q.part := fold;
		card := (leadscore_internal.chosen_card(scorecard, q, conversion, CASE cardinality(l2s) WHEN 1 THEN l2s[1] ELSE 1 END, profile, bins, decay, pairs)).card;
		bare := leadscore_internal.unbounded(card);
		signs := CASE WHEN keep_signs THEN leadscore_internal.wanted_signs(card) END;
		q.part := NULL;
		figures := (SELECT leadscore_internal.held_out_loss(leadscore_internal.past_points(bare, e.timeline, e.profile, e.cutoff), e.outcome < 'infinity',
				NOT leadscore_internal.takes_part(e.lead_id, fold, NULL::float8), l2s, signs)
			FROM leadscore_internal.examples(q) e);
		IF figures IS NULL THEN
			RETURN;
		END IF;
		all_figures := all_figures || figures;
	END LOOP;
	RETURN QUERY
	SELECT l2s[i], sum(all_figures[f * n + i][2]) / sum(all_figures[f * n + i][1]), avg(nullif(all_figures[f * n + i][3], 'NaN')),
		sqrt(sum(nullif(all_figures[f * n + i][4], 'NaN') ^ 2)) / count(nullif(all_figures[f * n + i][4], 'NaN'))
	FROM (SELECT cardinality(l2s) AS n) s CROSS JOIN generate_series(0, folds - 1) f CROSS JOIN LATERAL generate_series(1, s.n) i
	GROUP BY i ORDER BY i;
END
$$;

COMMENT ON FUNCTION leadscore_internal.cross_validated(jsonb, leadscore_internal.question, text, float8[], boolean, boolean, boolean, text, integer)
	IS 'for each penalty, how well fits to three folds of leads predict the fourth; no rows: there is too little to learn from';

CREATE FUNCTION leadscore_internal.sample_for_choices(q leadscore_internal.question) RETURNS leadscore_internal.question
	LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	fewest CONSTANT integer := 20;
	n bigint;
	converted bigint;
BEGIN
	SELECT count(*), count(*) FILTER (WHERE e.outcome < 'infinity') INTO n, converted FROM leadscore_internal.examples(q) e;
	IF converted < fewest OR converted = n THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'there is too little to choose by',
			DETAIL = format('Of %s leads at the cutoffs %s converted within the horizon.', n, converted),
			HINT = format('Cross-validation needs %s conversions at least, and leads that did not convert: choose other cutoffs or a longer horizon, or give l2, bins, decay and pairs.', fewest);
	END IF;
	q.share := least(1, greatest(20000.0 / n, 500.0 / converted));
	RETURN q;
END
$$;

COMMENT ON FUNCTION leadscore_internal.sample_for_choices(leadscore_internal.question) IS 'the question, of some 20,000 leads or more: enough to choose by; or an error';

-- One after the other: half-lives, bands, pairs, each if what it adds to the best so far does better.
CREATE FUNCTION leadscore_internal.choose(scorecard jsonb, q leadscore_internal.question, conversion text, keep_signs boolean, profile boolean,
	INOUT l2 float8, INOUT bins boolean, INOUT decay text, INOUT pairs integer, OUT report jsonb)
	LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	l2s CONSTANT float8[] := CASE WHEN l2 IS NULL THEN '{3000,1000,300,100,30,10,3,1,0.3}'::float8[] ELSE ARRAY[l2] END;
	additions CONSTANT jsonb[] := ARRAY['{}'::jsonb] || CASE WHEN decay IS NULL THEN '{"decay": "learn"}'::jsonb END
		|| CASE WHEN bins IS NULL THEN '{"bins": true}'::jsonb END || CASE WHEN pairs IS NULL THEN '{"pairs": 5}'::jsonb END;
	addition jsonb;
	trial jsonb;
	best jsonb := jsonb_build_object('bins', coalesce(bins, false), 'decay', coalesce(decay, 'keep'), 'pairs', coalesce(pairs, 0));
	choices jsonb := '[]';
	one jsonb;
BEGIN
	q := leadscore_internal.sample_for_choices(q);
	FOREACH addition IN ARRAY array_remove(additions, NULL) LOOP
		trial := best || addition;
		FOR one IN
			SELECT trial || to_jsonb(c) FROM leadscore_internal.cross_validated(scorecard, q, conversion, l2s, keep_signs, profile,
				(trial -> 'bins')::boolean, trial ->> 'decay', (trial -> 'pairs')::integer) c
		LOOP
			choices := choices || one;
			IF best -> 'log_loss' IS NULL OR one -> 'log_loss' < best -> 'log_loss' THEN
				best := one;
			END IF;
		END LOOP;
	END LOOP;
	IF best -> 'log_loss' IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'there is too little to choose by',
			DETAIL = 'In one of the four folds of leads are all that convert.', HINT = 'Choose other cutoffs or a longer horizon, or give l2, bins, decay and pairs.';
	END IF;
	l2 := (best -> 'l2')::float8;
	bins := (best -> 'bins')::boolean;
	decay := best ->> 'decay';
	pairs := (best -> 'pairs')::integer;
	report := jsonb_build_object('choices', choices, 'auc_cross_validated', best -> 'auc', 'auc_error', best -> 'auc_error', 'log_loss_cross_validated', best -> 'log_loss');
END
$$;

COMMENT ON FUNCTION leadscore_internal.choose(jsonb, leadscore_internal.question, text, boolean, boolean, INOUT float8, INOUT boolean, INOUT text, INOUT integer)
	IS 'what cross-validation chooses of all that is NULL, and all that was tried';
