-- describe.sql: a model as a page

CREATE FUNCTION leadscore_internal.date_in_words(wording jsonb, at timestamptz) RETURNS text
	LANGUAGE sql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT leadscore_internal.sentence_filled(wording, 'date'::text, jsonb_build_object('day', extract(day FROM at)::text,
		'month', wording ->> ('month.' || extract(month FROM at)), 'year', extract(year FROM at)::text))
$$;

COMMENT ON FUNCTION leadscore_internal.date_in_words(jsonb, timestamptz) IS 'the day of an instant in the session''s time zone, as a language writes it';

CREATE FUNCTION leadscore_internal.signal_in_words(wording jsonb, signal jsonb) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT string_agg(leadscore_internal.sentence_filled(wording, p.name, signal), '' ORDER BY p.place)
	FROM (VALUES
		(1, CASE WHEN signal ->> 'subject' = 'profile' THEN 'signal.profile'::text WHEN signal ? 'kind' THEN 'signal.kind' ELSE 'signal.any' END, true),
		(2, 'signal.match', signal ? 'match'),
		(3, 'signal.condition', signal ? 'condition'),
		(4, 'signal.description', nullif(signal ->> 'description', '') IS NOT NULL)) AS p (place, name, holds)
	WHERE p.holds
$$;

COMMENT ON FUNCTION leadscore_internal.signal_in_words(jsonb, jsonb) IS 'what a signal of a document takes, in words';

CREATE FUNCTION leadscore.describe(model text DEFAULT 'default') RETURNS TABLE (section text, item text, "text" text)
	LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE ROWS 50 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	card CONSTANT jsonb := leadscore.scorecard(describe.model);
	wording CONSTANT jsonb := leadscore_internal.wording();
BEGIN
	RETURN QUERY
	SELECT d.section, d.item, d.words
	FROM (
		SELECT 1 AS part, i.place, wording ->> 'section.model' AS section, wording ->> ('item.' || i.item) AS item, i.words
		FROM (VALUES (1, 'name'::text, card ->> 'model'), (2, 'description', nullif(card ->> 'description', '')),
			(3, 'time_zone', leadscore_internal.sentence_filled(wording, 'time_zone'::text, jsonb_build_object('zone', coalesce(card ->> 'time_zone', 'UTC'))))) AS i (place, item, words)
		WHERE i.words IS NOT NULL
		UNION ALL
		SELECT CASE WHEN c.section = wording ->> 'section.model' THEN 1 ELSE 3 END, 100 + c.place, c.section, c.item, c.words
		FROM leadscore_internal.described(card, wording) WITH ORDINALITY AS c (section, item, words, place)
		UNION ALL
		SELECT 2, s.place, wording ->> 'section.signals', leadscore_internal.signal_noun(wording, s.signal ->> 'signal', s.signal ->> 'label'), leadscore_internal.signal_in_words(wording, s.signal)
		FROM jsonb_array_elements(card -> 'signals') WITH ORDINALITY AS s (signal, place)
		UNION ALL
		SELECT 4, -v.version, wording ->> 'section.versions', v.version::text,
			leadscore_internal.sentence_filled(wording, 'version'::text, jsonb_build_object('date', leadscore_internal.date_in_words(wording, v.published_at), 'by', v.published_by))
		FROM leadscore.model_version v WHERE v.model = card ->> 'model'
	) d
	ORDER BY d.part, d.place;
END
$$;

COMMENT ON FUNCTION leadscore.describe(text) IS 'a model in words, for people: what counts, what it is worth, what follows, and its versions';
