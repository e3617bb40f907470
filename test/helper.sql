-- What every SQL test begins with: fixed settings, whatever the server has, and functions that show what is refused.
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, MDY';
SET IntervalStyle = 'postgres';
SET extra_float_digits = 1;
SET bytea_output = 'hex';
SET search_path = public, leadscore, leadscore_internal;

-- The SQLSTATE, message, detail and hint of a statement that must fail.
CREATE FUNCTION refused(command text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	message text;
	detail text;
	hint text;
BEGIN
	EXECUTE command;
	RETURN NEXT 'ACCEPTED: ' || command;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN NEXT SQLSTATE || ' ' || message;
	IF detail <> '' THEN
		RETURN NEXT '      ' || detail;
	END IF;
	IF hint <> '' THEN
		RETURN NEXT '      ' || hint;
	END IF;
END
$$;

-- The same for several statements.
CREATE FUNCTION refused(commands text[]) RETURNS SETOF text LANGUAGE sql
	AS 'SELECT r FROM unnest(commands) WITH ORDINALITY AS c (command, n), refused(c.command) r ORDER BY n';
