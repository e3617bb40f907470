-- schedule.sql: what is to be run again and again, by pg_cron or by cron

CREATE FUNCTION leadscore_internal.jobs() RETURNS TABLE (job text, command text)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	-- what is not there is not run
	SELECT 'leadscore ' || j.job, format('%s leadscore.%s()', CASE p.prokind WHEN 'p' THEN 'CALL' ELSE 'SELECT' END, p.proname)
	FROM (VALUES (1, 'queries', 'refresh_queries'), (2, 'derive', 'derive'), (3, 'fold', 'fold'), (4, 'changes', 'see_changes'), (5, 'refresh', 'refresh_segments'),
		(6, 'figures', 'refresh_figures'), (7, 'expire', 'expire_vouchers')) AS j (n, job, name)
	JOIN pg_proc p ON p.proname = j.name AND p.pronamespace = 'leadscore'::regnamespace
	WHERE p.pronargs = p.pronargdefaults
	ORDER BY j.n
$$;

COMMENT ON FUNCTION leadscore_internal.jobs() IS 'what schedule() schedules';

CREATE FUNCTION leadscore_internal.cron_line(every interval) RETURNS text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	seconds CONSTANT numeric := extract(epoch FROM every);
	-- by the second from version 1.5 on
	by_second CONSTANT boolean := coalesce((SELECT string_to_array(substring(x.extversion from '^[0-9.]+'), '.')::integer[] >= '{1,5}'
		FROM pg_extension x WHERE x.extname = 'pg_cron'), false);
BEGIN
	RETURN CASE
		WHEN by_second AND seconds IN (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30) THEN seconds::integer || ' seconds'
		WHEN seconds = 60 THEN '* * * * *'
		WHEN seconds IN (120, 180, 240, 300, 360, 600, 720, 900, 1200, 1800) THEN format('*/%s * * * *', (seconds / 60)::integer)
		WHEN seconds = 3600 THEN '0 * * * *'
		WHEN seconds IN (7200, 10800, 14400, 21600, 28800, 43200) THEN format('0 */%s * * *', (seconds / 3600)::integer)
		WHEN seconds = 86400 THEN '0 0 * * *'
		END;
END
$$;

COMMENT ON FUNCTION leadscore_internal.cron_line(interval) IS 'an interval in the format of cron; NULL: cron does not support it';

CREATE FUNCTION leadscore_internal.shell_word(word text) RETURNS text
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
	SELECT '''' || replace(word, '''', E'''\\''''') || '''';
END;

COMMENT ON FUNCTION leadscore_internal.shell_word(text) IS 'a text as one word of a shell';

CREATE FUNCTION leadscore.schedule(every interval DEFAULT '1 minute')
	RETURNS TABLE (job text, schedule text, command text, scheduled boolean)
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	line CONSTANT text := leadscore_internal.cron_line(every);
	here CONSTANT boolean := EXISTS (SELECT FROM pg_extension x WHERE x.extname = 'pg_cron');
BEGIN
	IF line IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'cron cannot run jobs at that interval',
			DETAIL = format('It is %s.', coalesce(every::text, 'NULL')),
			HINT = 'Write minutes that divide an hour, hours that divide a day, or 1 day; with pg_cron 1.5 also seconds that divide a minute.';
	END IF;
	FOR job, command IN SELECT j.job, j.command FROM leadscore_internal.jobs() j LOOP
		-- figures read everything, and change by the hour
		schedule := CASE job WHEN 'leadscore figures' THEN leadscore_internal.cron_line(greatest(every, '1 hour')) ELSE line END;
		scheduled := here;
		IF here THEN
			-- a job of that name is replaced
			EXECUTE 'SELECT cron.schedule($1, $2, $3)' USING job, schedule, command;
		ELSE
			-- in a crontab, % is the end of a line unless it is escaped
			command := replace(format('psql -X -q -p %s -d %s -c %s', current_setting('port'),
				leadscore_internal.shell_word(current_database()::text), leadscore_internal.shell_word(command)), '%', E'\\%');
		END IF;
		RETURN NEXT;
	END LOOP;
	IF NOT here THEN
		RAISE NOTICE USING MESSAGE = 'pg_cron is not in this database: nothing is scheduled',
			DETAIL = 'The rows are lines for a crontab: schedule and command.',
			HINT = 'With shared_preload_libraries = ''pg_cron'' and cron.database_name = ''' || current_database()
				|| ''', CREATE EXTENSION pg_cron and schedule() again. From the database that has pg_cron, cron.schedule_in_database() runs jobs here.';
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore.schedule(interval) IS 'schedules the recurring jobs with pg_cron, or returns the lines for a crontab';

CREATE FUNCTION leadscore.unschedule() RETURNS integer
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	n integer := 0;
BEGIN
	IF EXISTS (SELECT FROM pg_extension x WHERE x.extname = 'pg_cron') THEN
		EXECUTE 'SELECT count(cron.unschedule(j.jobid)) FROM cron.job j WHERE j.jobname = ANY ($1) AND j.database = current_database() AND j.username = current_user'
			INTO n USING ARRAY['leadscore queries', 'leadscore derive', 'leadscore fold', 'leadscore changes', 'leadscore refresh', 'leadscore figures', 'leadscore expire'];
	END IF;
	RETURN n;
END
$$;

COMMENT ON FUNCTION leadscore.unschedule() IS 'removes the jobs of schedule(), and returns how many';
