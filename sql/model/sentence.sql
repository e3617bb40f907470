-- sentence.sql: explanations in words: templates, by language
--
-- The script is plain ASCII, and the encoding of a database may lack letters. So German is written here as LaTeX
-- writes it ("a "o "u "s), and deliver() puts the letters in.

CREATE FUNCTION leadscore_internal.sentence_placeholders(template text) RETURNS text[]
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.sentence_filled(wording jsonb, name text, arguments jsonb) RETURNS text
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION leadscore_internal.sentence_placeholders(text) IS 'the names that a template has placeholders for, or an error';
COMMENT ON FUNCTION leadscore_internal.sentence_filled(jsonb, text, jsonb) IS 'a template of a wording, filled in; "n" decides between one and many';

CREATE FUNCTION leadscore_internal.explained(scorecard jsonb, timeline leadscore.timeline, profile jsonb, at timestamptz, wording jsonb,
	OUT signal text, OUT measure text, OUT measured float8, OUT points float8, OUT uncapped_points float8, OUT category text,
	OUT stage text, OUT last_at timestamptz, OUT reason text, OUT weight_id integer, OUT rule text, OUT label text) RETURNS SETOF record
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE ROWS 20;

-- Views name it in their target lists, and it has a cost: so ORDER BY ... LIMIT words reasons for the rows that it
-- returns only.
CREATE FUNCTION leadscore_internal.crm_reasons(scorecard jsonb, timeline leadscore.timeline, profile jsonb, at timestamptz, wording jsonb) RETURNS text[]
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 20;

CREATE FUNCTION leadscore_internal.crm_reasons(model text, timeline leadscore.timeline, profile jsonb, at timestamptz, wording jsonb) RETURNS text[]
	AS 'MODULE_PATHNAME', 'crm_reasons_of_model' LANGUAGE C STABLE PARALLEL SAFE COST 20;

CREATE FUNCTION leadscore_internal.described(scorecard jsonb, wording jsonb, OUT section text, OUT item text, OUT "text" text) RETURNS SETOF record
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 50;

CREATE FUNCTION leadscore_internal.signal_noun(wording jsonb, signal text, label text) RETURNS text
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION leadscore_internal.signal_noun(jsonb, text, text) IS 'what a signal is called: many, if its plural is known';
COMMENT ON FUNCTION leadscore_internal.described(jsonb, jsonb) IS 'what a scorecard says, in words';
COMMENT ON FUNCTION leadscore_internal.explained(jsonb, leadscore.timeline, jsonb, timestamptz, jsonb) IS 'a score, line by line, in words';
COMMENT ON FUNCTION leadscore_internal.crm_reasons(jsonb, leadscore.timeline, jsonb, timestamptz, jsonb) IS 'the three lines that weigh most, in words';
COMMENT ON FUNCTION leadscore_internal.crm_reasons(text, leadscore.timeline, jsonb, timestamptz, jsonb) IS 'the same, by the name of the model, which is read once a query';

CREATE TABLE leadscore_internal.delivered_sentence (
	language text NOT NULL,
	name text NOT NULL,
	template text NOT NULL,
	PRIMARY KEY (language, name)
);

COMMENT ON TABLE leadscore_internal.delivered_sentence IS 'the sentences as the extension brings them: what a dump of sentence leaves out, and which placeholders there are';
COMMENT ON COLUMN leadscore_internal.delivered_sentence.language IS 'en or de';
COMMENT ON COLUMN leadscore_internal.delivered_sentence.name IS 'what is said';
COMMENT ON COLUMN leadscore_internal.delivered_sentence.template IS 'how';

CREATE TABLE leadscore.sentence (
	language text NOT NULL
		CONSTRAINT sentence_language_is_code CHECK ((language ~ '^[A-Za-z]{2,8}([_-][A-Za-z0-9]{1,8})*$') IS NOT FALSE OR leadscore_internal.refuse(
			'sentence language is not a code', to_json(language)::text, 'Write a code such as en, de or pt_BR.')),
	name text NOT NULL,
	template text NOT NULL,
	PRIMARY KEY (language, name)
);

COMMENT ON TABLE leadscore.sentence IS 'how explanations are worded, by language: rows may be changed, and languages added';
COMMENT ON COLUMN leadscore.sentence.language IS 'a code such as en or de: that of the setting leadscore.language';
COMMENT ON COLUMN leadscore.sentence.name IS 'what is said; a name that ends in .one or .many is for one or for any other number of things';
COMMENT ON COLUMN leadscore.sentence.template IS 'how: a placeholder is a percent sign and a name, as in %points; %% is a percent sign';

-- What a dump brings was right once; in its place may lie what the extension has brought.
CREATE FUNCTION leadscore_internal.check_sentence() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	unknown text[];
	allowed text[];
BEGIN
	IF leadscore_internal.in_restore() THEN
		IF TG_OP = 'INSERT' THEN
			UPDATE leadscore.sentence s SET template = NEW.template WHERE s.language = NEW.language AND s.name = NEW.name;
			IF FOUND THEN
				RETURN NULL;
			END IF;
		END IF;
		RETURN NEW;
	END IF;
	SELECT array_agg(DISTINCT p) INTO allowed
	FROM leadscore_internal.delivered_sentence d CROSS JOIN unnest(leadscore_internal.sentence_placeholders(d.template)) p
	WHERE d.language = 'en' AND regexp_replace(d.name, '[.](one|many)$'::text, ''::text) = regexp_replace(NEW.name, '[.](one|many)$'::text, ''::text);
	IF NOT EXISTS (SELECT FROM leadscore_internal.delivered_sentence d WHERE d.language = 'en' AND d.name = NEW.name) THEN
		RAISE EXCEPTION USING ERRCODE = 'check_violation', MESSAGE = format('nothing says the sentence "%s"', NEW.name),
			DETAIL = 'The names are those of the English sentences.',
			HINT = 'SELECT name, template FROM leadscore.sentence WHERE language = ''en'' lists them.';
	END IF;
	IF allowed && '{noun,nouns,label}' THEN
		allowed := ARRAY(SELECT DISTINCT a FROM unnest(allowed || '{noun,nouns,label}') a);
	END IF;
	SELECT array_agg(p) INTO unknown FROM unnest(leadscore_internal.sentence_placeholders(NEW.template)) p WHERE p <> ALL (coalesce(allowed, '{}'));
	IF unknown IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'check_violation', MESSAGE = format('the sentence "%s" has no placeholder %%%s', NEW.name, unknown[1]),
			DETAIL = format('The template is "%s".', NEW.template),
			HINT = CASE WHEN allowed IS NULL THEN 'It has no placeholders. Write %% for a percent sign.'
				ELSE format('It has %s. Write %%%% for a percent sign.', (SELECT string_agg('%' || a, ', ' ORDER BY a) FROM unnest(allowed) a)) END;
	END IF;
	RETURN NEW;
END
$$;

COMMENT ON FUNCTION leadscore_internal.check_sentence() IS 'trigger: refuses templates with placeholders that nothing stands for';

CREATE TRIGGER check_sentence BEFORE INSERT OR UPDATE ON leadscore.sentence
	FOR EACH ROW EXECUTE FUNCTION leadscore_internal.check_sentence();

-- Used while the extension is created or updated. What a shop has changed stays.
CREATE FUNCTION leadscore_internal.deliver(language text, name text, template text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	words text := template;
	letter record;
BEGIN
	FOR letter IN SELECT * FROM (VALUES ('"a'::text, 'c3a4'::text, 'ae'::text), ('"o', 'c3b6', 'oe'), ('"u', 'c3bc', 'ue'),
		('"A', 'c384', 'Ae'), ('"O', 'c396', 'Oe'), ('"U', 'c39c', 'Ue'), ('"s', 'c39f', 'ss')) AS l (written, utf8, without) LOOP
		CONTINUE WHEN language <> 'de' OR position(letter.written IN words) = 0;
		BEGIN
			words := replace(words, letter.written, convert_from(decode(letter.utf8, 'hex'), 'UTF8'));
		EXCEPTION WHEN OTHERS THEN
			words := replace(words, letter.written, letter.without);
		END;
	END LOOP;
	INSERT INTO leadscore_internal.delivered_sentence AS d (language, name, template) VALUES (deliver.language, deliver.name, words)
	ON CONFLICT ON CONSTRAINT delivered_sentence_pkey DO UPDATE SET template = excluded.template;
	INSERT INTO leadscore.sentence (language, name, template) VALUES (deliver.language, deliver.name, words);
END
$$;

COMMENT ON FUNCTION leadscore_internal.deliver(text, text, text) IS 'brings a sentence with the extension';

-- The templates of a language together, so that an explanation need not gather them.
CREATE TABLE leadscore_internal.wording_document (
	language text PRIMARY KEY,
	templates jsonb NOT NULL
);

COMMENT ON TABLE leadscore_internal.wording_document IS 'the sentences of each language, with those of its main language and English where it has none; maintained by triggers on sentence';
COMMENT ON COLUMN leadscore_internal.wording_document.language IS 'the language';
COMMENT ON COLUMN leadscore_internal.wording_document.templates IS 'the template of each name';

CREATE FUNCTION leadscore_internal.keep_wordings() RETURNS void
	LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	-- one after the other, each seeing those before it
	SELECT leadscore_internal.lock_by_name('wording'::text);

	DELETE FROM leadscore_internal.wording_document w
	WHERE NOT EXISTS (SELECT FROM leadscore.sentence s WHERE s.language = w.language)
	AND NOT EXISTS (SELECT FROM leadscore_internal.delivered_sentence d WHERE d.language = w.language);

	INSERT INTO leadscore_internal.wording_document AS w (language, templates)
	SELECT l.language, (
		-- of one name the last counts
		SELECT jsonb_object_agg(t.name, t.template ORDER BY t.language = l.language, t.language <> 'en', t.own)
		FROM (
			SELECT d.language, d.name, d.template, false AS own FROM leadscore_internal.delivered_sentence d
			UNION ALL
			SELECT s.language, s.name, s.template, true FROM leadscore.sentence s
		) t
		WHERE t.language IN ('en', substring(l.language, '^[A-Za-z]+'), l.language))
	FROM (SELECT s.language FROM leadscore.sentence s UNION SELECT d.language FROM leadscore_internal.delivered_sentence d) l
	ON CONFLICT (language) DO UPDATE SET templates = excluded.templates WHERE w.templates <> excluded.templates;
$$;

COMMENT ON FUNCTION leadscore_internal.keep_wordings() IS 'brings wording_document up to date';

CREATE FUNCTION leadscore_internal.sentences_changed() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM leadscore_internal.keep_wordings();
	RETURN NULL;
END
$$;

COMMENT ON FUNCTION leadscore_internal.sentences_changed() IS 'trigger: keeps wording_document up to date';

CREATE FUNCTION leadscore_internal.chosen_language() RETURNS text
	AS 'MODULE_PATHNAME' LANGUAGE C STABLE PARALLEL SAFE;

COMMENT ON FUNCTION leadscore_internal.chosen_language() IS 'the setting leadscore.language';

CREATE FUNCTION leadscore_internal.wording() RETURNS jsonb
	LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	chosen CONSTANT text := leadscore_internal.chosen_language();
	templates jsonb;
BEGIN
	SELECT w.templates INTO templates FROM leadscore_internal.wording_document w WHERE w.language = chosen;
	IF NOT FOUND THEN
		SELECT w.templates INTO templates FROM leadscore_internal.wording_document w
		WHERE w.language IN (substring(chosen, '^[A-Za-z]+'), 'en') ORDER BY w.language = 'en' LIMIT 1;
	END IF;
	-- not compressed, as it is stored: it is read for each lead
	RETURN templates || '{}';
END
$$;

COMMENT ON FUNCTION leadscore_internal.wording() IS 'the templates of the language that is set, else of its main language (de for de_AT), else English';

CREATE FUNCTION leadscore_internal.say(name text, arguments jsonb DEFAULT '{}') RETURNS text
	LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT leadscore_internal.sentence_filled(leadscore_internal.wording(), say.name, say.arguments)
$$;

COMMENT ON FUNCTION leadscore_internal.say(text, jsonb) IS 'a sentence in the language that is set; numbers are rounded and written as it writes them';

-- numbers, and what makes a list

SELECT leadscore_internal.deliver('en'::text, name, english), leadscore_internal.deliver('de'::text, name, german)
FROM (VALUES
	('number.decimal', '.', ','),
	('number.thousands', ',', '.'),
	('number.tiny', 'almost 0', 'fast 0'),
	('noun.ending', 's', ''),
	('list.comma', '%first, %second', '%first, %second'),
	('list.semicolon', '%first; %second', '%first; %second'),
	('list.and', '%first and %second', '%first und %second'),
	('list.or', '%first or %second', '%first oder %second'),
	('list.and.semicolon', '%first; and %second', '%first; und %second'),
	('list.or.semicolon', '%first; or %second', '%first; oder %second'),
	('list.either', '(%what)', '(%what)'),
	('not', 'not: %what', 'nicht: %what'),
	('points.one', '%n point', '%n Punkt'),
	('points.many', '%n points', '%n Punkte')
) AS s (name, english, german);

-- how long: a length, and the time up to now

SELECT leadscore_internal.deliver('en'::text, name, english), leadscore_internal.deliver('de'::text, name, german)
FROM (VALUES
	('duration.hours.one', '%n hour', '%n Stunde'),
	('duration.hours.many', '%n hours', '%n Stunden'),
	('duration.days.one', '%n day', '%n Tag'),
	('duration.days.many', '%n days', '%n Tage'),
	('duration.years.one', '%n year', '%n Jahr'),
	('duration.years.many', '%n years', '%n Jahre'),
	('window.hours.one', ' in the last hour', ' in der letzten Stunde'),
	('window.hours.many', ' in the last %n hours', ' in den letzten %n Stunden'),
	('window.days.one', ' in the last day', ' am letzten Tag'),
	('window.days.many', ' in the last %n days', ' in den letzten %n Tagen'),
	('window.years.one', ' in the last year', ' im letzten Jahr'),
	('window.years.many', ' in the last %n years', ' in den letzten %n Jahren'),
	('since', ' since the last %noun', ' seit dem letzten Mal "%noun"'),
	('since.label', ' since the last "%label"', ' seit dem letzten Mal "%label"'),
	('since.counted', ', counted since the last %noun', ', seit dem letzten Mal "%noun"'),
	('since.counted.label', ', counted since the last "%label"', ', seit dem letzten Mal "%label"')
) AS s (name, english, german);

-- how many: of a signal with a plural, of one without, of days and hours, and amounts

SELECT leadscore_internal.deliver('en'::text, name, english), leadscore_internal.deliver('de'::text, name, german)
FROM (VALUES
	('count.one', '%n %noun', '%n %noun'),
	('count.many', '%n %nouns', '%n %nouns'),
	('count.from.one', 'at least one %noun', 'mindestens 1 %noun'),
	('count.from.many', '%from or more %nouns', '%from oder mehr %nouns'),
	('count.most.one', 'at most %to %noun', 'h"ochstens %to %noun'),
	('count.most.many', 'at most %to %nouns', 'h"ochstens %to %nouns'),
	('count.between', '%from to %to %nouns', '%from bis %to %nouns'),
	('count.below.one', 'less than %below %noun', 'weniger als %below %noun'),
	('count.below.many', 'fewer than %below %nouns', 'weniger als %below %nouns'),
	('count.span', 'at least %from and fewer than %below %nouns', 'mindestens %from und weniger als %below %nouns'),
	('times.one', '%label, once', '%label, einmal'),
	('times.many', '%label, %n times', '%label, %n-mal'),
	('times.from.one', '%label, at least once', '%label, mindestens einmal'),
	('times.from.many', '%label, %from or more times', '%label, %from-mal oder "ofter'),
	('times.most.one', '%label, at most once', '%label, h"ochstens einmal'),
	('times.most.many', '%label, at most %to times', '%label, h"ochstens %to-mal'),
	('times.between', '%label, %from to %to times', '%label, %from- bis %to-mal'),
	('times.below.one', '%label, less than once', '%label, weniger als einmal'),
	('times.below.many', '%label, fewer than %below times', '%label, weniger als %below-mal'),
	('times.span', '%label, at least %from and fewer than %below times', '%label, mindestens %from- und weniger als %below-mal'),
	('days.one', '%n day', '%n Tag'),
	('days.many', '%n days', '%n Tagen'),
	('days.from.one', 'at least one day', 'mindestens 1 Tag'),
	('days.from.many', '%from or more days', '%from oder mehr Tagen'),
	('days.most.one', 'at most %to day', 'h"ochstens %to Tag'),
	('days.most.many', 'at most %to days', 'h"ochstens %to Tagen'),
	('days.between', '%from to %to days', '%from bis %to Tagen'),
	('days.below.one', 'less than %below day', 'weniger als %below Tag'),
	('days.below.many', 'less than %below days', 'weniger als %below Tagen'),
	('days.span', '%from to under %below days', '%from bis unter %below Tagen'),
	('hours.none', 'less than an hour', 'weniger als einer Stunde'),
	('hours.one', '%n hour', '%n Stunde'),
	('hours.many', '%n hours', '%n Stunden'),
	('amount.from', '%from or more', '%from oder mehr'),
	('amount.below', 'less than %below', 'weniger als %below'),
	('amount.span', '%from to under %below', '%from bis unter %below')
) AS s (name, english, german);

-- what was measured, or was not there

SELECT leadscore_internal.deliver('en'::text, name, english), leadscore_internal.deliver('de'::text, name, german)
FROM (VALUES
	('value', '%nouns worth %what', '%nouns im Wert von %what'),
	('value.label', '%label, worth %what in total', '%label, im Wert von insgesamt %what'),
	('average_value', '%nouns worth %what on average', '%nouns im Wert von durchschnittlich %what'),
	('average_value.label', '%label, worth %what on average', '%label, im Wert von durchschnittlich %what'),
	('active_days', '%nouns on %what', '%nouns an %what'),
	('active_days.label', '%label, on %what', '%label, an %what'),
	('days_since_last', 'last %noun %what ago', '%noun, zuletzt vor %what'),
	('days_since_last.window', 'last %noun%window, %what ago', '%noun, zuletzt vor %what (gez"ahlt%window)'),
	('days_since_last.label', '%label, last time %what ago', '%label, zuletzt vor %what'),
	('days_since_last.window.label', '%label, last time%window, %what ago', '%label, zuletzt vor %what (gez"ahlt%window)'),
	('days_since_first', 'first %noun %what ago', '%noun, zum ersten Mal vor %what'),
	('days_since_first.window', 'first %noun%window, %what ago', '%noun, zum ersten Mal vor %what (gez"ahlt%window)'),
	('days_since_first.label', '%label, first time %what ago', '%label, zum ersten Mal vor %what'),
	('days_since_first.window.label', '%label, first time%window, %what ago', '%label, zum ersten Mal vor %what (gez"ahlt%window)'),
	('present', '%label', '%label'),
	('present.name', 'the profile matches "%label"', 'das Profil passt zu "%label"'),
	('none', 'no %noun', 'ohne %noun'),
	('none.label', '%label, not once', '%label, kein einziges Mal'),
	('none.ever', 'no %noun so far', 'bisher ohne %noun'),
	('none.ever.label', '%label, not once so far', '%label, bisher kein einziges Mal')
) AS s (name, english, german);

-- how it counts

SELECT leadscore_internal.deliver('en'::text, name, english), leadscore_internal.deliver('de'::text, name, german)
FROM (VALUES
	('a_day', ', at most %n a day counted', ', h"ochstens %n pro Tag gez"ahlt'),
	('decay.one', ', worth less over time', ', mit der Zeit weniger wert'),
	('decay.many', ', older ones worth less', ', "altere z"ahlen weniger'),
	('curve', ', each further one worth less', ', jedes weitere Mal weniger wert'),
	('curve.other', ', rising ever more slowly', ', immer langsamer steigend')
) AS s (name, english, german);

-- a line, and what has limited it

SELECT leadscore_internal.deliver('en'::text, name, english), leadscore_internal.deliver('de'::text, name, german)
FROM (VALUES
	('line', '%what: %points%limit%category', '%what: %points%limit%category'),
	('rule', '%rule (%conditions)', '%rule (%conditions)'),
	('limit', ' (%n without the limit)', ' (%n ohne die Grenze)'),
	('category.most.one', '; %members count %limit at most in all', '; %members z"ahlen insgesamt h"ochstens %limit'),
	('category.most.many', '; %members count %limit at most together', '; %members z"ahlen zusammen h"ochstens %limit'),
	('category.most.all', '; everything in "%category" counts %limit at most together', '; "%category" z"ahlt insgesamt h"ochstens %limit'),
	('category.least.one', '; %members count %limit at least in all', '; %members z"ahlen insgesamt mindestens %limit'),
	('category.least.many', '; %members count %limit at least together', '; %members z"ahlen zusammen mindestens %limit'),
	('category.least.all', '; everything in "%category" counts %limit at least together', '; "%category" z"ahlt insgesamt mindestens %limit'),
	('category.most.rest', 'everything in "%category" counts %limit at most together: %points', '"%category" z"ahlt insgesamt h"ochstens %limit: %points'),
	('category.least.rest', 'everything in "%category" counts %limit at least together: %points', '"%category" z"ahlt insgesamt mindestens %limit: %points'),
	('ceiling', 'the score is never above %limit: %points', 'der Score ist nie "uber %limit: %points'),
	('floor', 'the score is never below %limit: %points', 'der Score ist nie unter %limit: %points')
) AS s (name, english, german);

-- describe(): what counts

SELECT leadscore_internal.deliver('en'::text, name, english), leadscore_internal.deliver('de'::text, name, german)
FROM (VALUES
	('each.count', 'each %noun', 'je %noun'),
	('each.count.label', '%label, each time', '%label, jedes Mal'),
	('each.value', '%nouns, for each 1.00 of their value', '%nouns, je 1,00 ihres Werts'),
	('each.value.label', '%label, for each 1.00 of the value', '%label, je 1,00 des Werts'),
	('each.average_value', '%nouns, for each 1.00 of their average value', '%nouns, je 1,00 ihres durchschnittlichen Werts'),
	('each.average_value.label', '%label, for each 1.00 of the average value', '%label, je 1,00 des durchschnittlichen Werts'),
	('each.active_days', '%nouns, for each day with at least one', '%nouns, je aktivem Tag'),
	('each.active_days.label', '%label, for each day with it', '%label, je aktivem Tag'),
	('each.days_since_last', 'for each day since the last %noun', '%noun, je Tag seit dem letzten Mal'),
	('each.days_since_last.window', 'for each day since the last %noun%window', '%noun, je Tag seit dem letzten Mal (gez"ahlt%window)'),
	('each.days_since_last.label', '%label, for each day since the last time', '%label, je Tag seit dem letzten Mal'),
	('each.days_since_last.window.label', '%label, for each day since the last time%window', '%label, je Tag seit dem letzten Mal (gez"ahlt%window)'),
	('each.days_since_first', 'for each day since the first %noun', '%noun, je Tag seit dem ersten Mal'),
	('each.days_since_first.window', 'for each day since the first %noun%window', '%noun, je Tag seit dem ersten Mal (gez"ahlt%window)'),
	('each.days_since_first.label', '%label, for each day since the first time', '%label, je Tag seit dem ersten Mal'),
	('each.days_since_first.window.label', '%label, for each day since the first time%window', '%label, je Tag seit dem ersten Mal (gez"ahlt%window)'),
	('half_life', ', worth half as much every %duration', ', alle %duration nur noch halb so viel wert'),
	('fades_over', ', fading to nothing over %duration', ', "uber %duration bis auf nichts verblassend'),
	('weight', '%what: %points%terms', '%what: %points%terms'),
	('weight.log', '%points times the natural logarithm of (1 + %figure)', '%points mal dem nat"urlichen Logarithmus von (1 + %figure)'),
	('figure.count', 'number', 'Anzahl'),
	('figure.value', 'value', 'Wert'),
	('figure.average_value', 'average value', 'durchschnittlicher Wert'),
	('figure.active_days', 'days', 'Tage'),
	('figure.days_since_last', 'days', 'Tage'),
	('figure.days_since_first', 'days', 'Tage'),
	('weight.most', '; never above %points', '; nie "uber %points'),
	('weight.least', '; never below %points', '; nie unter %points'),
	('weight.none', '; %points if there is none', '; %points, wenn es nichts davon gibt'),
	('weight.category', '; limited together with everything in "%category"', '; begrenzt zusammen mit allem aus "%category"'),
	('weight.stage', '; shows the stage "%stage"', '; zeigt die Stufe "%stage"')
) AS s (name, english, german);

-- describe(): limits, and what follows from the score

SELECT leadscore_internal.deliver('en'::text, name, english), leadscore_internal.deliver('de'::text, name, german)
FROM (VALUES
	('limits.most', '%members: together never above %most', '%members: zusammen nie "uber %most'),
	('limits.least', '%members: together never below %least', '%members: zusammen nie unter %least'),
	('limits.both', '%members: together never below %least and never above %most', '%members: zusammen nie unter %least und nie "uber %most'),
	('limits.none', '%members: no limit', '%members: keine Grenze'),
	('stage', 'shown by %members%window', 'gezeigt durch %members%window'),
	('stage.none', 'shown by nothing', 'durch nichts gezeigt'),
	('otherwise', 'otherwise: %what', 'sonst: %what'),
	('segment.all', 'everybody', 'alle'),
	('segment.others', 'all others', 'alle "Ubrigen'),
	('segment.score', 'a score of %n or more', 'ein Score von mindestens %n'),
	('segment.above', 'a score above %n', 'ein Score "uber %n'),
	('segment.fit', '%n or more points from the profile (fit)', 'mindestens %n Punkte aus dem Profil (Fit)'),
	('segment.engagement', '%n or more points from events (engagement)', 'mindestens %n Punkte aus Ereignissen (Engagement)'),
	('segment.rule', 'the rule "%rule"', 'die Regel "%rule"'),
	('segment.hysteresis', '; left only when %points short of that', '; verlassen erst, wenn %points dazu fehlen'),
	('segment.cool_down', '; kept for %duration at least', '; mindestens %duration lang behalten'),
	('score.both', 'the sum of all points, never below %least and never above %most', 'die Summe aller Punkte, nie unter %least und nie "uber %most'),
	('score.most', 'the sum of all points, never above %most', 'die Summe aller Punkte, nie "uber %most'),
	('score.least', 'the sum of all points, never below %least', 'die Summe aller Punkte, nie unter %least'),
	('score.free', 'the sum of all points', 'die Summe aller Punkte'),
	('probability', '1 / (1 + exp(-(%intercept + %slope * points)))', '1 / (1 + exp(-(%intercept + %slope * Punkte)))')
) AS s (name, english, german);

-- describe(): the model, its signals and its versions

SELECT leadscore_internal.deliver('en'::text, name, english), leadscore_internal.deliver('de'::text, name, german)
FROM (VALUES
	('section.model', 'Model', 'Modell'),
	('section.signals', 'Signals', 'Signale'),
	('section.points', 'Points', 'Punkte'),
	('section.limits', 'Limits', 'Grenzen'),
	('section.rules', 'Rules', 'Regeln'),
	('section.stages', 'Stages', 'Stufen'),
	('section.grades', 'Grades', 'Noten'),
	('section.segments', 'Segments', 'Segmente'),
	('section.versions', 'Versions', 'Versionen'),
	('item.name', 'name', 'Name'),
	('item.description', 'purpose', 'Zweck'),
	('item.score', 'score', 'Score'),
	('item.probability', 'probability of a conversion', 'Wahrscheinlichkeit einer Conversion'),
	('item.time_zone', 'time zone', 'Zeitzone'),
	('time_zone', 'days begin at midnight in %zone', 'Tage beginnen um Mitternacht in %zone'),
	('signal.kind', 'events of the kind "%kind"', 'Ereignisse der Art "%kind"'),
	('signal.any', 'events of any kind', 'Ereignisse jeder Art'),
	('signal.profile', 'profiles', 'Profile'),
	('signal.match', ' that contain %match', ' mit %match'),
	('signal.condition', ' for which %condition', ', wenn %condition'),
	('signal.description', '; %description', '; %description'),
	('version', 'since %date, by %by', 'seit dem %date, von %by'),
	('date', '%day %month %year', '%day. %month %year'),
	('month.1', 'January', 'Januar'),
	('month.2', 'February', 'Februar'),
	('month.3', 'March', 'M"arz'),
	('month.4', 'April', 'April'),
	('month.5', 'May', 'Mai'),
	('month.6', 'June', 'Juni'),
	('month.7', 'July', 'Juli'),
	('month.8', 'August', 'August'),
	('month.9', 'September', 'September'),
	('month.10', 'October', 'Oktober'),
	('month.11', 'November', 'November'),
	('month.12', 'December', 'Dezember')
) AS s (name, english, german);

-- (from here on, so that the sentences above are gathered once)
CREATE TRIGGER keep_wordings AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON leadscore.sentence
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.sentences_changed();
ALTER TABLE leadscore.sentence ENABLE ALWAYS TRIGGER keep_wordings;
SELECT leadscore_internal.keep_wordings();

SELECT pg_catalog.pg_extension_config_dump('leadscore.sentence',
	'WHERE (language, name, template) NOT IN (SELECT d.language, d.name, d.template FROM leadscore_internal.delivered_sentence d)');
-- (nothing of it; but pg_dump reads it)
SELECT pg_catalog.pg_extension_config_dump('leadscore_internal.delivered_sentence', 'WHERE false');
