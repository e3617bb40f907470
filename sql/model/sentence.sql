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

-- how numbers are written

SELECT leadscore_internal.deliver(language, name, template)
FROM (VALUES
	('en', 'number.decimal', '.'),
	('de', 'number.decimal', ','),
	('en', 'number.thousands', ','),
	('de', 'number.thousands', '.'),
	('en', 'number.tiny', 'almost 0'),
	('de', 'number.tiny', 'fast 0'),
	('en', 'points.one', '%n point'),
	('en', 'points.many', '%n points'),
	('de', 'points.one', '%n Punkt'),
	('de', 'points.many', '%n Punkte')
) AS s (language, name, template);

SELECT pg_catalog.pg_extension_config_dump('leadscore.sentence',
	'WHERE (language, name, template) NOT IN (SELECT d.language, d.name, d.template FROM leadscore_internal.delivered_sentence d)');
-- (nothing of it; but pg_dump reads it)
SELECT pg_catalog.pg_extension_config_dump('leadscore_internal.delivered_sentence', 'WHERE false');
