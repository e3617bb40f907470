-- schedule.sql: what is to be run again and again, by pg_cron or by cron

-- A schema cron may be anybody's: as our owner only the tables of the extension are read.
CREATE FUNCTION leadscore_internal.has_cron() RETURNS boolean
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT count(*) = 2
	FROM pg_extension x JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = x.oid AND d.classid = 'pg_class'::regclass AND d.deptype = 'e'
	JOIN pg_class c ON c.oid = d.objid JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE x.extname = 'pg_cron' AND n.nspname = 'cron' AND c.relkind = 'r' AND c.relname IN ('job', 'job_run_details')
$$;

COMMENT ON FUNCTION leadscore_internal.has_cron() IS 'whether pg_cron is in this database, in a version that logs its runs';

CREATE FUNCTION leadscore_internal.jobs() RETURNS TABLE (job text, command text)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	-- what is not there is not run; a crontab has no log of ours
	SELECT 'leadscore ' || j.job, format('%s leadscore.%s()', CASE p.prokind WHEN 'p' THEN 'CALL' ELSE 'SELECT' END, p.proname)
	FROM (VALUES (1, 'queries', 'refresh_queries'), (2, 'derive', 'derive'), (3, 'fold', 'fold'), (4, 'changes', 'see_changes'), (5, 'refresh', 'refresh_segments'),
		(6, 'figures', 'refresh_figures'), (7, 'expire', 'expire_vouchers'), (8, 'runs', 'prune_runs'), (9, 'events', 'move_events')) AS j (n, job, name)
	JOIN pg_proc p ON p.proname = j.name AND p.pronamespace = 'leadscore'::regnamespace
	WHERE p.pronargs = p.pronargdefaults AND (j.name <> 'prune_runs' OR leadscore_internal.has_cron())
	AND (j.name <> 'move_events' OR EXISTS (SELECT FROM leadscore_internal.event_partitioning))
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

CREATE FUNCTION leadscore_internal.cron_interval(line text) RETURNS interval
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT make_interval(secs => s) FROM unnest('{1,2,3,4,5,6,10,12,15,20,30,60,120,180,240,300,360,600,720,900,1200,1800,3600,7200,10800,14400,21600,28800,43200,86400}'::integer[]) s
	WHERE leadscore_internal.cron_line(make_interval(secs => s)) = line
$$;

COMMENT ON FUNCTION leadscore_internal.cron_interval(text) IS 'the interval of a line of cron_line(); NULL: it is another one';

-- pg_cron does not say since when there is a job; without that, one that waits for its first hour looks like one that
-- never runs

CREATE TABLE leadscore_internal.scheduled_job (
	job_id bigint PRIMARY KEY,
	every interval,
	scheduled_at timestamptz NOT NULL
);

COMMENT ON TABLE leadscore_internal.scheduled_job IS 'since when pg_cron has the jobs of schedule()';
COMMENT ON COLUMN leadscore_internal.scheduled_job.job_id IS 'the job in cron.job';
COMMENT ON COLUMN leadscore_internal.scheduled_job.every IS 'how often it runs';
COMMENT ON COLUMN leadscore_internal.scheduled_job.scheduled_at IS 'when schedule() has given it to pg_cron, or has changed how often it runs';

-- what pg_cron knows of our jobs: its policies show a role nothing but its own

CREATE FUNCTION leadscore_internal.cron_jobs()
	RETURNS TABLE (job text, command text, job_id bigint, username name, every interval, active boolean,
		last_status text, last_message text, last_at timestamptz, failures bigint, scheduled_at timestamptz)
	LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NOT leadscore_internal.has_cron() THEN
		RETURN;
	END IF;
	-- the log has no index but that on runid: only its last rows are read
	RETURN QUERY EXECUTE $q$
		WITH recent AS MATERIALIZED (SELECT d.* FROM cron.job_run_details d ORDER BY d.runid DESC LIMIT 10000)
		SELECT n.job, n.command, j.jobid, j.username::name, leadscore_internal.cron_interval(j.schedule::text), j.active,
			l.status::text, l.return_message::text, l.start_time, f.failures, s.scheduled_at
		FROM leadscore_internal.jobs() n LEFT JOIN cron.job j ON j.jobname = n.job AND j.database = current_database()
		LEFT JOIN leadscore_internal.scheduled_job s ON s.job_id = j.jobid
		LEFT JOIN LATERAL (SELECT r.* FROM recent r WHERE r.jobid = j.jobid AND r.status IN ('succeeded', 'failed') ORDER BY r.runid DESC LIMIT 1) l ON true
		LEFT JOIN LATERAL (SELECT count(*) AS failures FROM recent r WHERE r.jobid = j.jobid AND r.status = 'failed' AND r.start_time > now() - interval '1 day') f ON true
		ORDER BY n.job, j.username::name $q$;
END
$$;

COMMENT ON FUNCTION leadscore_internal.cron_jobs() IS 'the jobs of schedule() with their last run, and how many have failed within a day; job_id is NULL: it is not scheduled';

CREATE FUNCTION leadscore_internal.note_scheduled(job_id bigint) RETURNS void
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	INSERT INTO leadscore_internal.scheduled_job AS s (job_id, every, scheduled_at)
	SELECT j.job_id, j.every, now() FROM leadscore_internal.cron_jobs() j WHERE j.job_id = note_scheduled.job_id
	ON CONFLICT ON CONSTRAINT scheduled_job_pkey DO UPDATE SET every = excluded.every, scheduled_at = excluded.scheduled_at
		WHERE s.every IS DISTINCT FROM excluded.every;
	DELETE FROM leadscore_internal.scheduled_job s WHERE NOT EXISTS (SELECT FROM leadscore_internal.cron_jobs() j WHERE j.job_id = s.job_id);
END
$$;

COMMENT ON FUNCTION leadscore_internal.note_scheduled(bigint) IS 'notes since when pg_cron has a job of schedule(), and forgets jobs that are gone';

-- Whether they can run. What a database or a role sets applies to a job as it does to any session; a password that the
-- server wants of a connection by TCP shows only in the log of the runs.

CREATE FUNCTION leadscore_internal.server_setting(name text) RETURNS text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT s.setting FROM pg_settings s WHERE s.name = server_setting.name
$$;

COMMENT ON FUNCTION leadscore_internal.server_setting(text) IS 'a setting; NULL: there is none, or the user may not see it';

CREATE FUNCTION leadscore_internal.server_problem() RETURNS TABLE (problem text, action text)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	libraries CONSTANT text := leadscore_internal.server_setting('shared_preload_libraries'::text);
	reads CONSTANT text := leadscore_internal.server_setting('cron.database_name'::text);
	host CONSTANT text := leadscore_internal.server_setting('cron.host'::text);
	listens CONSTANT text[] := string_to_array(replace(current_setting('listen_addresses'), ' ', ''), ',');
	sockets CONSTANT text[] := string_to_array(replace(leadscore_internal.server_setting('unix_socket_directories'::text), ' ', ''), ',');
	is_reached CONSTANT boolean := CASE WHEN host = '' OR host LIKE '/%' THEN host = ANY (sockets || ''::text)
		ELSE listens && (ARRAY['*', '0.0.0.0', '::', host] || CASE host WHEN 'localhost' THEN '{127.0.0.1,::1}'::text[] ELSE '{}' END) END;
BEGIN
	-- nothing of all this is shown to an owner who may not see it; a standby runs no jobs
	IF libraries IS NULL OR pg_is_in_recovery() THEN
		RETURN;
	ELSIF reads IS NULL THEN
		RETURN QUERY SELECT 'pg_cron does not run: it is not among shared_preload_libraries',
			format('ALTER SYSTEM SET shared_preload_libraries = %s -- then restart the server', concat_ws(', ', nullif(libraries, ''), 'pg_cron'));
	ELSIF reads <> current_database() THEN
		RETURN QUERY SELECT format('pg_cron reads the jobs of another database: %s', reads),
			format('ALTER SYSTEM SET cron.database_name = %L -- then restart the server', current_database());
	ELSIF leadscore_internal.server_setting('cron.use_background_workers'::text) IS DISTINCT FROM 'on'
		AND NOT is_reached THEN
		RETURN QUERY SELECT format('pg_cron connects to "%s", where the server does not listen', host),
			'ALTER SYSTEM SET cron.use_background_workers = on -- then restart the server';
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.server_problem() IS 'why pg_cron cannot run any job here, and what mends it';

CREATE FUNCTION leadscore_internal.default_for(setting text, role name) RETURNS text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	-- the more special one wins; what this session's own role or database sets is not the server's
	SELECT coalesce((
		SELECT substring(c FROM '=(.*)$')
		FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole LEFT JOIN pg_database d ON d.oid = s.setdatabase CROSS JOIN unnest(s.setconfig) c
		WHERE (s.setrole = 0 OR r.rolname = default_for.role) AND (s.setdatabase = 0 OR d.datname = current_database()) AND c LIKE default_for.setting || '=%'
		ORDER BY s.setrole = 0, s.setdatabase = 0 LIMIT 1),
		(SELECT CASE WHEN g.source IN ('configuration file', 'command line', 'environment variable') THEN g.reset_val ELSE g.boot_val END FROM pg_settings g WHERE g.name = default_for.setting))
$$;

COMMENT ON FUNCTION leadscore_internal.default_for(text, name) IS 'what a setting is in a new session of a role in this database';

CREATE FUNCTION leadscore_internal.job_problem() RETURNS TABLE (problem text, action text)
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	WITH job AS MATERIALIZED (
		SELECT j.*, r.oid IS NOT NULL AS is_role, r.rolcanlogin, p.oid AS called
		FROM leadscore_internal.cron_jobs() j LEFT JOIN pg_roles r ON r.rolname = j.username
		JOIN pg_proc p ON p.pronamespace = 'leadscore'::regnamespace AND j.command = format('%s leadscore.%s()', CASE p.prokind WHEN 'p' THEN 'CALL' ELSE 'SELECT' END, p.proname)
		WHERE j.job_id IS NOT NULL
	), role AS (SELECT DISTINCT j.username FROM job j WHERE j.is_role)
	SELECT p.problem, p.action FROM leadscore_internal.server_problem() p WHERE EXISTS (SELECT FROM job)
	UNION ALL
	SELECT format('the role "%s" of the job "%s" does not exist', j.username, j.job), format('SELECT cron.unschedule(%s)', j.job_id) FROM job j WHERE NOT j.is_role
	UNION ALL
	SELECT DISTINCT format('the role "%s" of the jobs may not log in', j.username), format('ALTER ROLE %I LOGIN', j.username) FROM job j WHERE NOT j.rolcanlogin
	UNION ALL
	SELECT DISTINCT format('the role "%s" may not do what its jobs do', j.username), format('SELECT leadscore.grant_admin(%L)', quote_ident(j.username))
	FROM job j WHERE j.is_role AND NOT has_function_privilege(j.username, j.called, 'EXECUTE')
	UNION ALL
	SELECT format('%s is "%s" for the role "%s" of the jobs, which need "%s"', s.setting, v.value, r.username, s.needed), format('ALTER ROLE %I IN DATABASE %I SET %s = %L', r.username, current_database(), s.setting, s.needed)
	FROM role r CROSS JOIN (VALUES ('default_transaction_isolation', 'read committed'), ('default_transaction_read_only', 'off')) AS s (setting, needed)
	CROSS JOIN LATERAL (SELECT leadscore_internal.default_for(s.setting, r.username) AS value) v
	WHERE v.value NOT IN (s.needed, 'read uncommitted')
$$;

COMMENT ON FUNCTION leadscore_internal.job_problem() IS 'why the scheduled jobs, or some of them, cannot run, and what mends it';

CREATE FUNCTION leadscore.prune_runs(keep interval DEFAULT '2 days') RETURNS bigint
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	n bigint := 0;
BEGIN
	IF keep IS NULL OR keep < interval '0' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'keep is NULL or below zero',
			DETAIL = 'It says for how long runs of the jobs stay in cron.job_run_details.', HINT = 'Write a duration such as 2 days.';
	END IF;
	IF leadscore_internal.has_cron() THEN
		-- (pg_cron shows a role its own runs; that of a run that never ended has no end)
		EXECUTE 'DELETE FROM cron.job_run_details d WHERE d.database = current_database() AND d.command = ANY ($1) AND coalesce(d.end_time, d.start_time) < now() - $2'
			USING ARRAY(SELECT j.command FROM leadscore_internal.jobs() j), keep;
		GET DIAGNOSTICS n = ROW_COUNT;
	END IF;
	RETURN n;
END
$$;

COMMENT ON FUNCTION leadscore.prune_runs(interval) IS 'removes old runs of the jobs of schedule() from the log of pg_cron, and returns how many';

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
	job_id bigint;
	one record;
BEGIN
	IF line IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'cron cannot run jobs at that interval',
			DETAIL = format('It is %s.', coalesce(every::text, 'NULL')),
			HINT = 'Write minutes that divide an hour, hours that divide a day, or 1 day; with pg_cron 1.5 also seconds that divide a minute.';
	END IF;
	FOR job, command IN SELECT j.job, j.command FROM leadscore_internal.jobs() j LOOP
		-- figures read everything, and change by the hour; events are moved by the day
		schedule := leadscore_internal.cron_line(greatest(every, CASE job WHEN 'leadscore figures' THEN interval '1 hour' WHEN 'leadscore events' THEN interval '1 day' END));
		scheduled := here;
		IF here THEN
			-- a job of that name is replaced
			EXECUTE 'SELECT cron.schedule($1, $2, $3)' INTO job_id USING job, schedule, command;
			PERFORM leadscore_internal.note_scheduled(job_id);
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
	FOR one IN SELECT p.problem, p.action FROM leadscore_internal.job_problem() p LOOP
		RAISE WARNING USING MESSAGE = format('scheduled jobs cannot run: %s', one.problem), HINT = one.action;
	END LOOP;
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
			INTO n USING ARRAY['leadscore queries', 'leadscore derive', 'leadscore fold', 'leadscore changes', 'leadscore refresh', 'leadscore figures', 'leadscore expire', 'leadscore runs', 'leadscore events'];
	END IF;
	RETURN n;
END
$$;

COMMENT ON FUNCTION leadscore.unschedule() IS 'removes the jobs of schedule(), and returns how many';
