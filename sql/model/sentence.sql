-- sentence.sql: explanations in words: templates, by language
--
-- The script is plain ASCII, and the encoding of a database may lack letters. So German is written here as LaTeX writes it
-- ("a "o "u "s), and deliver() puts the letters in.

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

-- Views name it in their target lists, and it has a cost: so ORDER BY ... LIMIT words reasons for the rows that it returns only.
CREATE FUNCTION leadscore_internal.crm_reasons(scorecard jsonb, timeline leadscore.timeline, profile jsonb, at timestamptz, wording jsonb) RETURNS text[]
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 20;

COMMENT ON FUNCTION leadscore_internal.explained(jsonb, leadscore.timeline, jsonb, timestamptz, jsonb) IS 'a score, line by line, in words';
COMMENT ON FUNCTION leadscore_internal.crm_reasons(jsonb, leadscore.timeline, jsonb, timestamptz, jsonb) IS 'the three lines that weigh most, in words';

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

CREATE FUNCTION leadscore_internal.wording() RETURNS jsonb
	LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	language CONSTANT text := coalesce(nullif(current_setting('leadscore.language'::text, true), ''), 'en');
BEGIN
	-- of one name the last counts
	RETURN (
		SELECT jsonb_object_agg(s.name, s.template ORDER BY s.place)
		FROM (
			SELECT d.name, d.template, 0 AS place FROM leadscore_internal.delivered_sentence d WHERE d.language = 'en'
			UNION ALL
			SELECT o.name, o.template, l.place
			FROM (VALUES ('en', 1), (substring(language, '^[A-Za-z]+'), 2), (language, 3)) AS l (language, place)
			JOIN leadscore.sentence o ON o.language = l.language
		) s);
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
	('list.and', '%first and %second', '%first und %second'),
	('list.or', '%first or %second', '%first oder %second'),
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
	('since.counted', ', counted since the last %noun', ', gez"ahlt seit dem letzten Mal "%noun"'),
	('since.counted.label', ', counted since the last "%label"', ', gez"ahlt seit dem letzten Mal "%label"')
) AS s (name, english, german);

-- how many: of a signal with a plural, of one without, of days and hours, and amounts

SELECT leadscore_internal.deliver('en'::text, name, english), leadscore_internal.deliver('de'::text, name, german)
FROM (VALUES
	('count.one', '%n %noun', '%n %noun'),
	('count.many', '%n %nouns', '%n %nouns'),
	('count.from', '%from or more %nouns', '%from oder mehr %nouns'),
	('count.most', 'at most %to %nouns', 'h"ochstens %to %nouns'),
	('count.between', '%from to %to %nouns', '%from bis %to %nouns'),
	('count.below', 'fewer than %below %nouns', 'weniger als %below %nouns'),
	('count.span', 'at least %from and fewer than %below %nouns', 'mindestens %from und weniger als %below %nouns'),
	('times.one', '%label, once', '%label, einmal'),
	('times.many', '%label, %n times', '%label, %n-mal'),
	('times.from', '%label, %from or more times', '%label, %from-mal oder "ofter'),
	('times.most', '%label, at most %to times', '%label, h"ochstens %to-mal'),
	('times.between', '%label, %from to %to times', '%label, %from- bis %to-mal'),
	('times.below', '%label, fewer than %below times', '%label, weniger als %below-mal'),
	('times.span', '%label, at least %from and fewer than %below times', '%label, mindestens %from- und weniger als %below-mal'),
	('days.one', '%n day', '%n Tag'),
	('days.many', '%n days', '%n Tagen'),
	('days.from', '%from or more days', '%from oder mehr Tagen'),
	('days.most', 'at most %to days', 'h"ochstens %to Tagen'),
	('days.between', '%from to %to days', '%from bis %to Tagen'),
	('days.below', 'less than %below days', 'weniger als %below Tagen'),
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
	('days_since_last.label', '%label, last %what ago', '%label, zuletzt vor %what'),
	('days_since_first', 'first %noun %what ago', '%noun, zum ersten Mal vor %what'),
	('days_since_first.label', '%label, first %what ago', '%label, zum ersten Mal vor %what'),
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
	('decay', ', older ones worth less', ', "altere z"ahlen weniger'),
	('curve', ', each further one worth less', ', jedes weitere Mal weniger wert'),
	('curve.other', ', each further one worth less than the one before', ', mit abnehmendem Zuwachs')
) AS s (name, english, german);

-- a line, and what has limited it

SELECT leadscore_internal.deliver('en'::text, name, english), leadscore_internal.deliver('de'::text, name, german)
FROM (VALUES
	('line', '%what: %points%limit%category', '%what: %points%limit%category'),
	('limit', ' (%n without the limit)', ' (%n ohne die Grenze)'),
	('category.most.one', '; %members count %limit at most in all', '; %members z"ahlen insgesamt h"ochstens %limit'),
	('category.most.many', '; %members count %limit at most together', '; %members z"ahlen zusammen h"ochstens %limit'),
	('category.most.all', '; all of "%category" counts %limit at most together', '; "%category" z"ahlt insgesamt h"ochstens %limit'),
	('category.least.one', '; %members count %limit at least in all', '; %members z"ahlen insgesamt mindestens %limit'),
	('category.least.many', '; %members count %limit at least together', '; %members z"ahlen zusammen mindestens %limit'),
	('category.least.all', '; all of "%category" counts %limit at least together', '; "%category" z"ahlt insgesamt mindestens %limit'),
	('category.most.rest', 'all of "%category" counts %limit at most: %points', '"%category" z"ahlt insgesamt h"ochstens %limit: %points'),
	('category.least.rest', 'all of "%category" counts %limit at least: %points', '"%category" z"ahlt insgesamt mindestens %limit: %points'),
	('ceiling', 'the score is %limit at most: %points', 'der Score ist h"ochstens %limit: %points'),
	('floor', 'the score is %limit at least: %points', 'der Score ist mindestens %limit: %points')
) AS s (name, english, german);

SELECT pg_catalog.pg_extension_config_dump('leadscore.sentence',
	'WHERE (language, name, template) NOT IN (SELECT d.language, d.name, d.template FROM leadscore_internal.delivered_sentence d)');
-- (nothing of it; but pg_dump reads it)
SELECT pg_catalog.pg_extension_config_dump('leadscore_internal.delivered_sentence', 'WHERE false');
