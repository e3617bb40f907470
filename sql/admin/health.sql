-- health.sql: what a monitor reads: whether all is well, and what mends it
--
-- status lists each open task; health has one row for each thing to look at, whether something is wrong or not, so
-- that a monitor can tell "well" from "not asked". What status knows it counts (the view task); the rest is looked at
-- here. It is read by the minute, on standbys, too: nothing is written, no lock is waited for that a refresh holds,
-- and neither events nor timelines are scanned. It runs as our owner and names no lead, so that a monitor needs no
-- right but to read it.

CREATE FUNCTION leadscore_internal.health_of_tasks() RETURNS TABLE (name text, state text, value numeric, detail text, action text)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT c.name, CASE WHEN t.tasks IS NULL THEN 'ok' ELSE c.state END, coalesce(t.tasks, 0), coalesce(t.detail, c.good), t.action
	FROM (VALUES ('sources', 'error', 'each tracked table is read as it was tracked'),
		('skipped_rows', 'warning', 'no statement of the last week has written rows that cannot be read'),
		('future_rows', 'warning', 'no statement of the last week has written rows of the future'),
		('queries', 'error', 'each table of a query is refreshed'),
		('signals', 'warning', 'the past is counted for each signal'),
		('timelines', 'error', 'our tables are as the extension made them'),
		('transitions', 'warning', 'each lead of the watched models has been looked at'),
		('offers', 'error', 'each offer can issue vouchers')) AS c (name, state, good)
	LEFT JOIN (
		SELECT k.health, count(*) AS tasks,
			string_agg(format('%s %s: %s', k.object, k.name, k.state), '; ' ORDER BY k.n) FILTER (WHERE k.n <= 5) || CASE WHEN count(*) > 5 THEN format('; and %s more', count(*) - 5) ELSE '' END AS detail,
			-- a comment ends with its line
			string_agg(k.action, E'\n; ' ORDER BY k.n) FILTER (WHERE k.n <= 20 AND k.is_first) AS action
		FROM (
			SELECT s.*, row_number() OVER (PARTITION BY s.health ORDER BY s.object, s.name, s.state) AS n,
				row_number() OVER (PARTITION BY s.health, s.action ORDER BY s.object, s.name, s.state) = 1 AS is_first
			FROM leadscore_internal.task s WHERE s.health NOT IN ('pending', 'snapshot', 'models')
		) k
		GROUP BY k.health
	) t ON t.health = c.name
$$;

COMMENT ON FUNCTION leadscore_internal.health_of_tasks() IS 'the rows of health that count rows of status';

CREATE FUNCTION leadscore_internal.health_of_jobs() RETURNS TABLE (name text, state text, value numeric, detail text, action text)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	IF NOT leadscore_internal.has_cron() THEN
		RETURN QUERY SELECT 'jobs', 'ok', NULL::numeric, 'pg_cron is not in this database: the ages of the snapshot and of what is pending tell whether a crontab runs the jobs', NULL;
		RETURN;
	END IF;
	RETURN QUERY
	WITH job AS MATERIALIZED (SELECT * FROM leadscore_internal.cron_jobs()), problem AS MATERIALIZED (SELECT * FROM leadscore_internal.job_problem()),
	waiting AS MATERIALIZED (
		SELECT j.* FROM job j WHERE j.active AND j.last_at IS NULL AND j.scheduled_at > now() - greatest(coalesce(j.every, interval '1 day'), interval '5 minutes')
	), bad AS MATERIALIZED (
		SELECT j.*, CASE WHEN j.last_status = 'failed' THEN format('failed at %s: %s', date_trunc('second', j.last_at), btrim(j.last_message, E' \n'))
			WHEN j.last_at IS NULL THEN 'has never run' ELSE format('has not run since %s', date_trunc('second', j.last_at)) END AS wrong
		FROM job j
		WHERE j.active AND (j.last_status = 'failed' OR j.last_at IS NULL OR j.last_at < now() - greatest(3 * coalesce(j.every, interval '1 day'), interval '5 minutes'))
		AND NOT EXISTS (SELECT FROM waiting w WHERE w.job_id = j.job_id)
	)
	SELECT 'jobs', CASE WHEN count(*) FILTER (WHERE j.active) = 0 THEN 'warning' WHEN bool_and(j.active IS TRUE) THEN 'ok' ELSE 'error' END,
		count(*) FILTER (WHERE j.active IS NOT TRUE)::numeric,
		coalesce(string_agg(format('job "%s" is %s', j.job, CASE WHEN j.job_id IS NULL THEN 'not scheduled' ELSE 'not active' END), '; ') FILTER (WHERE j.active IS NOT TRUE), 'each job is scheduled'),
		nullif(concat_ws('; ', CASE WHEN bool_or(j.job_id IS NULL) THEN 'SELECT * FROM leadscore.schedule()' END,
			string_agg(format('SELECT cron.alter_job(%s, active => true)', j.job_id), '; ') FILTER (WHERE NOT j.active)), '')
	FROM job j
	UNION ALL
	SELECT 'job_setup', CASE WHEN count(*) = 0 THEN 'ok' ELSE 'error' END, count(*), coalesce(string_agg(p.problem, '; '), 'the jobs that are scheduled can run'), string_agg(p.action, E'\n; ')
	FROM problem p
	UNION ALL
	SELECT 'job_runs', CASE WHEN count(*) = 0 THEN 'ok' WHEN bool_and(b.last_at IS NULL) THEN 'warning' ELSE 'error' END, count(*),
		coalesce(string_agg(format('job "%s" %s (%s failures within a day)', b.job, b.wrong, b.failures), '; '),
			(SELECT string_agg(format('job "%s" waits for its first run', w.job), '; ' ORDER BY w.job) FROM waiting w), 'the last run of each job has succeeded'),
		-- the run after it tells; by hand it tells at once
		coalesce((SELECT string_agg(p.action, E'\n; ') FROM problem p), string_agg(b.command, '; '))
	FROM bad b;
END
$$;

COMMENT ON FUNCTION leadscore_internal.health_of_jobs() IS 'the rows of health about pg_cron';

-- What the jobs do may take three times as long as is between two of them; without pg_cron nobody knows how often it
-- is to be done.
CREATE FUNCTION leadscore_internal.patience(job text) RETURNS interval
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce((SELECT greatest(3 * min(j.every), interval '10 minutes') FROM leadscore_internal.cron_jobs() j WHERE j.job = patience.job AND j.active), interval '2 days')
$$;

COMMENT ON FUNCTION leadscore_internal.patience(text) IS 'how old what a job brings up to date may be before health says so';

CREATE FUNCTION leadscore_internal.health_of_ages() RETURNS TABLE (name text, state text, value numeric, detail text, action text)
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	refreshed CONSTANT timestamptz := (SELECT s.refreshed_at FROM leadscore_internal.snapshot_state s);
	problem text;
	limit_of_snapshot CONSTANT interval := leadscore_internal.patience('leadscore refresh'::text);
	limit_of_pending CONSTANT interval := leadscore_internal.patience('leadscore fold'::text);
	waiting record;
BEGIN
	-- a refresh that is not concurrent keeps readers out
	IF NOT leadscore_internal.try_table('leadscore.lead_segment'::regclass, false) THEN
		RETURN QUERY SELECT 'snapshot', 'ok', NULL::numeric, 'is being refreshed', NULL;
	ELSE
		problem := (SELECT t.state FROM leadscore_internal.task t WHERE t.health = 'snapshot');
		RETURN QUERY SELECT 'snapshot', CASE WHEN problem IS NOT NULL THEN 'error' WHEN refreshed < now() - limit_of_snapshot THEN 'warning' ELSE 'ok' END,
			round(extract(epoch FROM now() - refreshed), 3), coalesce('the snapshot ' || problem, 'seconds since the snapshot was refreshed: ' || round(extract(epoch FROM now() - refreshed)), 'the snapshot was never refreshed'),
			CASE WHEN problem IS NOT NULL OR refreshed < now() - limit_of_snapshot THEN 'SELECT leadscore.refresh_segments()' END;
	END IF;
	SELECT (SELECT min(p.since) FROM leadscore.pending_delta p) AS since, (SELECT count(*) FROM leadscore.pending_delta) AS deltas,
		(SELECT count(*) FROM (SELECT FROM leadscore.pending_profile UNION ALL SELECT FROM leadscore_internal.pending_identity LIMIT 10001) p) AS others,
		(SELECT count(*) FROM (SELECT FROM leadscore_internal.changed_lead LIMIT 100001) c) AS changed INTO waiting;
	RETURN QUERY SELECT 'pending', CASE WHEN waiting.since < now() - limit_of_pending OR waiting.others > 10000 OR waiting.changed > 100000 THEN 'warning' ELSE 'ok' END,
		coalesce(round(extract(epoch FROM now() - waiting.since), 3), 0), format('seconds since the oldest of %s pending deltas was written', waiting.deltas),
		nullif(concat_ws('; ', CASE WHEN waiting.since < now() - limit_of_pending OR waiting.others > 10000 THEN 'SELECT leadscore.fold()' END,
			CASE WHEN waiting.changed > 100000 THEN 'SELECT * FROM leadscore.derive()' END), '');
END
$$;

COMMENT ON FUNCTION leadscore_internal.health_of_ages() IS 'the rows of health about the snapshot and what is pending';

-- Figures of the server's statistics: the sizes are those of the last VACUUM or ANALYZE, and a standby has no count
-- of dead rows.
CREATE FUNCTION leadscore_internal.size_of(of_table oid) RETURNS numeric
	LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
	SELECT (greatest(c.relpages, 0) + coalesce(greatest(t.relpages, 0), 0)
			+ (SELECT coalesce(sum(greatest(x.relpages, 0)), 0) FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid WHERE i.indrelid = c.oid))::numeric * current_setting('block_size')::integer
	FROM pg_class c LEFT JOIN pg_class t ON t.oid = c.reltoastrelid
	WHERE c.oid = of_table
$$;

COMMENT ON FUNCTION leadscore_internal.size_of(oid) IS 'the bytes of a table with its indexes and what is out of line, as of its last VACUUM or ANALYZE';

CREATE FUNCTION leadscore_internal.our_sizes() RETURNS TABLE (name text, bytes numeric, live bigint, dead bigint)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT c.oid::regclass::text, leadscore_internal.size_of(c.oid), pg_stat_get_live_tuples(c.oid), pg_stat_get_dead_tuples(c.oid)
	FROM pg_class c
	WHERE c.relkind IN ('r', 'm') AND (c.relnamespace = ANY (leadscore_internal.our_schemas()) OR c.oid IN (SELECT s.name FROM leadscore_internal.split_tables() s))
$$;

COMMENT ON FUNCTION leadscore_internal.our_sizes() IS 'our tables with their indexes and what is out of line in bytes, and their rows that live and that are dead';

CREATE FUNCTION leadscore_internal.health_of_sizes() RETURNS TABLE (name text, state text, value numeric, detail text, action text)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH size AS MATERIALIZED (SELECT s.*, s.dead > 10000 AND s.dead > s.live AS is_bloated FROM leadscore_internal.our_sizes() s)
	SELECT 'size', 'ok', sum(s.bytes), 'bytes of our tables as of their last VACUUM; the largest: ' || (
		SELECT string_agg(format('%s %s', l.name, pg_size_pretty(l.bytes)), ', ' ORDER BY l.bytes DESC, l.name) FROM (SELECT * FROM size m ORDER BY m.bytes DESC, m.name LIMIT 3) l), NULL
	FROM size s
	UNION ALL
	SELECT 'bloat', CASE WHEN bool_or(s.is_bloated) THEN 'warning' ELSE 'ok' END, coalesce(round(max(s.dead / nullif(s.live + s.dead, 0)::numeric) FILTER (WHERE s.dead > 10000), 4), 0),
		coalesce(string_agg(format('%s has %s dead rows and %s others: autovacuum does not keep up, or an old transaction holds it back', s.name, s.dead, s.live), '; ') FILTER (WHERE s.is_bloated),
			'no table of ours has more dead rows than others'),
		string_agg('VACUUM ' || s.name, '; ') FILTER (WHERE s.is_bloated)
	FROM size s
$$;

COMMENT ON FUNCTION leadscore_internal.health_of_sizes() IS 'the rows of health about the sizes of our tables';

-- By the statistics of the columns that have the times of events: the share of the rows that are archived is that of
-- the values that are listed as common, and of the borders between equal parts of the others.
CREATE FUNCTION leadscore_internal.archived_shares() RETURNS TABLE (source regclass, bytes numeric, oldest timestamptz, share float8)
	-- (statistics are read as the text that these settings make of them)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO, MDY'
AS $$
	SELECT t.source, leadscore_internal.size_of(t.source::oid), v.oldest, v.share
	FROM (
		SELECT DISTINCT ON (s.source) s.source, coalesce(p.most_common_vals::text::text[], '{}') AS common, coalesce(p.most_common_freqs, '{}') AS shares,
			coalesce(p.histogram_bounds::text::text[], '{}') AS bounds
		FROM leadscore_internal.source_trigger s JOIN pg_class c ON c.oid = s.source AND c.relkind = 'r' JOIN pg_namespace n ON n.oid = c.relnamespace
		JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname::text = s.occurred_at AND a.atttypid IN ('timestamptz'::regtype, 'timestamp'::regtype, 'date'::regtype)
		JOIN pg_stats p ON p.schemaname = n.nspname AND p.tablename = c.relname AND p.attname = a.attname AND NOT p.inherited
		WHERE s.feeds = 'timeline'
		ORDER BY s.source, s.trigger_prefix
	) t
	CROSS JOIN LATERAL (
		SELECT min(w.at) AS oldest, coalesce(sum(w.share) FILTER (WHERE w.at < (SELECT r.archived_before FROM leadscore.archive r)), 0) AS share
		FROM (
			SELECT u.at::timestamptz, u.share FROM unnest(t.common, t.shares) AS u (at, share)
			UNION ALL
			SELECT b::timestamptz, (1 - (SELECT coalesce(sum(f), 0) FROM unnest(t.shares) f)) / cardinality(t.bounds) FROM unnest(t.bounds) b
		) w
	) v
$$;

COMMENT ON FUNCTION leadscore_internal.archived_shares() IS 'of each table with events: its size, about the oldest event, and which share of its rows is archived';

CREATE FUNCTION leadscore_internal.health_of_archive() RETURNS TABLE (name text, state text, value numeric, detail text, action text)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH stored AS MATERIALIZED (
		SELECT s.source::text AS source, s.oldest, round(s.bytes * s.share::numeric) AS bytes FROM leadscore_internal.archived_shares() s
	)
	SELECT 'archive', 'ok', CASE WHEN count(r.*) > 0 THEN (SELECT sum(s.bytes) FROM stored s) END,
		concat_ws('; ', coalesce('bytes, about, of events before ' || max(r.archived_before) || ', which may be deleted', 'no events are archived'),
			(SELECT 'the most are in ' || string_agg(format('%s: %s', m.source, pg_size_pretty(m.bytes)), ', ' ORDER BY m.bytes DESC, m.source)
				FROM (SELECT * FROM stored s WHERE s.bytes > 0 ORDER BY s.bytes DESC, s.source LIMIT 3) m),
			(SELECT 'the oldest event is about of ' || min(s.oldest) FROM stored s)), NULL
	FROM leadscore.archive r
$$;

COMMENT ON FUNCTION leadscore_internal.health_of_archive() IS 'the row of health about events that may be deleted';

CREATE FUNCTION leadscore_internal.health_of_models() RETURNS TABLE (name text, state text, value numeric, detail text, action text)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	RETURN QUERY
	SELECT 'models', CASE WHEN m.models = 0 THEN 'warning' WHEN t.state IS NOT NULL THEN 'error' ELSE 'ok' END, m.models,
		CASE WHEN m.models = 0 THEN 'there is no model: nothing is scored' ELSE coalesce(t.state, 'there are models to score by') END,
		CASE WHEN m.models = 0 THEN 'SELECT leadscore.publish(leadscore.template(''ecommerce'')) -- or a model of your own' ELSE t.action END
	FROM (SELECT count(*)::numeric AS models FROM leadscore.model) m LEFT JOIN leadscore_internal.task t ON t.health = 'models';
	RETURN QUERY
	WITH finding AS MATERIALIZED (
		SELECT m.model, f.* FROM leadscore.model m CROSS JOIN LATERAL leadscore_internal.document_findings(leadscore.scorecard(m.model)) f
	)
	SELECT 'lint', CASE WHEN count(*) = 0 THEN 'ok' WHEN bool_or(f.severity = 'error') THEN 'error' ELSE 'warning' END, count(*)::numeric,
		coalesce((SELECT string_agg(format('%s: %s %s', l.model, l.object, l.problem), '; ') FROM (SELECT * FROM finding d ORDER BY d.severity, d.model, d.object, d.problem LIMIT 5) l), 'lint() finds nothing in the models'),
		(SELECT string_agg(coalesce((
				-- the last version that was well, of the last few
				SELECT format('SELECT leadscore.restore_version(%L, %s) -- or mend it: SELECT * FROM leadscore.lint(%L)', d.model, v.version, d.model)
				FROM (SELECT o.* FROM leadscore.model_version o WHERE o.model = d.model ORDER BY o.version DESC LIMIT 10) v
				WHERE NOT EXISTS (SELECT FROM leadscore_internal.document_findings(v.document)) ORDER BY v.version DESC LIMIT 1),
			format('SELECT * FROM leadscore.lint(%L) -- says what to change', d.model)), E'\n; ' ORDER BY d.model)
		FROM (SELECT DISTINCT l.model FROM finding l) d)
	FROM finding f;
END
$$;

COMMENT ON FUNCTION leadscore_internal.health_of_models() IS 'the rows of health about the models';

-- What an area is above a half is what a model can tell. A quarter of it may be chance, or the season; more is not,
-- if even the upper end of the interval is below.
CREATE FUNCTION leadscore_internal.health_of_quality() RETURNS TABLE (name text, state text, value numeric, detail text, action text)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH last AS (
		SELECT DISTINCT ON (q.model) q.* FROM leadscore.model_quality q WHERE q.auc IS NOT NULL ORDER BY q.model, q.version DESC, q.cutoff DESC
	), lost AS (
		SELECT l.model, l.cutoff, l.auc, b.auc AS before
		FROM last l CROSS JOIN LATERAL (SELECT avg(q.auc) AS auc FROM leadscore.model_quality q WHERE q.model = l.model AND q.version = l.version AND q.cutoff < l.cutoff) b
		WHERE l.auc_high - 0.5 < 0.75 * (b.auc - 0.5)
	)
	SELECT 'quality', CASE WHEN count(*) = 0 THEN 'ok' ELSE 'warning' END, count(*)::numeric,
		coalesce(string_agg(format('%s predicts worse than it did: an area of %s at %s, and of %s before', l.model, round(l.auc::numeric, 3), l.cutoff::date, round(l.before::numeric, 3)), '; ' ORDER BY l.model),
			'no model predicts much worse than it did'),
		string_agg(format('SELECT leadscore.propose(%L, %L, model => %L) -- and publish() what it returns, or see what has changed: stability_report()', c.signal, c.horizon, l.model), E'\n; ' ORDER BY l.model)
	FROM lost l LEFT JOIN leadscore_internal.model_conversion c ON c.model = l.model
$$;

COMMENT ON FUNCTION leadscore_internal.health_of_quality() IS 'the row of health about models that have lost their power to predict';

-- Kinds are those that tables are tracked with and, where a column has them, the common ones by its statistics.
CREATE FUNCTION leadscore_internal.kinds_uncounted() RETURNS TABLE (kind text)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT w.kind
	FROM (
		SELECT s.kind FROM leadscore.source s WHERE s.feeds = 'timeline' AND s.kind IS NOT NULL
		UNION
		SELECT k.kind
		FROM leadscore.source s JOIN pg_class c ON c.oid = s.source JOIN pg_namespace n ON n.oid = c.relnamespace
		JOIN pg_stats t ON t.schemaname = n.nspname AND t.tablename = c.relname AND t.attname::text = s.kind_column
		CROSS JOIN LATERAL unnest(t.most_common_vals::text::text[]) AS k (kind)
		WHERE s.feeds = 'timeline'
	) w
	WHERE w.kind <> ''
	AND NOT EXISTS (SELECT FROM leadscore.signal g WHERE g.subject = 'event' AND (g.kind = w.kind OR g.kind IS NULL))
	AND NOT EXISTS (SELECT FROM leadscore.derivation d WHERE d.kinds IS NULL OR w.kind = ANY (d.kinds || d.until_kinds || d.then_kinds))
	ORDER BY 1
$$;

COMMENT ON FUNCTION leadscore_internal.kinds_uncounted() IS 'kinds of events that no signal takes and nothing is derived from';

CREATE FUNCTION leadscore_internal.health_of_kinds() RETURNS TABLE (name text, state text, value numeric, detail text, action text)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT 'kinds', CASE WHEN count(*) = 0 THEN 'ok' ELSE 'warning' END, count(*)::numeric,
		coalesce('no signal counts events of the kind ' || string_agg(quote_literal(k.kind), ', ') FILTER (WHERE k.n <= 10), 'each common kind of events is counted by some signal'),
		string_agg(format('INSERT INTO leadscore.signal (signal, kind) VALUES (%L, %L); CALL leadscore.rebuild(signals => %L)', k.kind, k.kind, ARRAY[k.kind]), '; ') FILTER (WHERE k.n <= 10)
	FROM (SELECT u.kind, row_number() OVER (ORDER BY u.kind) AS n FROM leadscore_internal.kinds_uncounted() u) k
$$;

COMMENT ON FUNCTION leadscore_internal.health_of_kinds() IS 'the row of health about events that nothing counts';

CREATE FUNCTION leadscore_internal.health_of_version() RETURNS TABLE (name text, state text, value numeric, detail text, action text)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT 'version', CASE WHEN a.default_version <> x.extversion THEN 'warning' ELSE 'ok' END, CASE WHEN a.default_version <> x.extversion THEN 1 ELSE 0 END,
		CASE WHEN a.default_version <> x.extversion THEN format('version %s is in use, and %s is installed', x.extversion, a.default_version) ELSE format('version %s is in use', x.extversion) END,
		CASE WHEN a.default_version <> x.extversion THEN 'ALTER EXTENSION leadscore UPDATE' END
	FROM pg_extension x LEFT JOIN pg_available_extensions a ON a.name = x.extname
	WHERE x.extname = 'leadscore'
$$;

COMMENT ON FUNCTION leadscore_internal.health_of_version() IS 'the row of health about the version of the extension';

CREATE FUNCTION leadscore_internal.health_checks() RETURNS TABLE (name text, state text, value numeric, detail text, action text)
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER ROWS 20 SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
BEGIN
	RETURN QUERY SELECT * FROM leadscore_internal.health_of_tasks();
	RETURN QUERY SELECT * FROM leadscore_internal.health_of_jobs();
	RETURN QUERY SELECT * FROM leadscore_internal.health_of_ages();
	RETURN QUERY SELECT * FROM leadscore_internal.health_of_sizes();
	RETURN QUERY SELECT * FROM leadscore_internal.health_of_archive();
	RETURN QUERY SELECT * FROM leadscore_internal.health_of_models();
	RETURN QUERY SELECT * FROM leadscore_internal.health_of_quality();
	RETURN QUERY SELECT * FROM leadscore_internal.health_of_kinds();
	RETURN QUERY SELECT * FROM leadscore_internal.health_of_version();
END
$$;

COMMENT ON FUNCTION leadscore_internal.health_checks() IS 'the rows of health';

CREATE VIEW leadscore.health AS
SELECT h.name, h.state, h.value, h.detail, h.action
FROM leadscore_internal.health_checks() h;

COMMENT ON VIEW leadscore.health IS 'whether all is well: one row for each thing that a monitor looks at';
COMMENT ON COLUMN leadscore.health.name IS 'what is looked at';
COMMENT ON COLUMN leadscore.health.state IS 'ok, warning or error';
COMMENT ON COLUMN leadscore.health.value IS 'its figure: how many things are wrong, seconds, bytes or a share; NULL: it is not known';
COMMENT ON COLUMN leadscore.health.detail IS 'what is wrong, or what the figure means';
COMMENT ON COLUMN leadscore.health.action IS 'the statement that mends it; NULL: there is nothing to mend';

-- Prometheus

CREATE FUNCTION leadscore_internal.metric_label(value text) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT '"' || replace(replace(replace(coalesce(value, ''), E'\\', E'\\\\'), '"', E'\\"'), E'\n', E'\\n') || '"'
$$;

COMMENT ON FUNCTION leadscore_internal.metric_label(text) IS 'a text as the value of a label in Prometheus'' text format';

CREATE FUNCTION leadscore_internal.samples() RETURNS TABLE (metric text, labels text, value numeric)
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
#variable_conflict use_column
BEGIN
	RETURN QUERY SELECT 'leadscore_info', 'version=' || leadscore_internal.metric_label(x.extversion), 1::numeric FROM pg_extension x WHERE x.extname = 'leadscore';
	RETURN QUERY
	SELECT s.metric, 'check=' || leadscore_internal.metric_label(h.name), s.value
	FROM leadscore_internal.health_checks() h
	CROSS JOIN LATERAL (VALUES ('leadscore_health', array_position('{ok,warning,error}'::text[], h.state)::numeric - 1), ('leadscore_health_figure', h.value)) AS s (metric, value);
	RETURN QUERY
	SELECT s.metric, 'table=' || leadscore_internal.metric_label(t.name), s.value
	FROM (SELECT * FROM leadscore_internal.our_sizes() a WHERE a.bytes >= 1048576 OR a.name IN ('leadscore.lead_timeline', 'leadscore.pending_delta')) t
	CROSS JOIN LATERAL (VALUES ('leadscore_table_bytes', t.bytes), ('leadscore_table_dead_rows', t.dead::numeric)) AS s (metric, value)
	ORDER BY t.name;
	RETURN QUERY
	SELECT 'leadscore_skipped_rows', format('source=%s,reason=%s', leadscore_internal.metric_label(k.source::text), leadscore_internal.metric_label(k.reason)), k.rows::numeric
	FROM leadscore.skipped_row k ORDER BY 2;
	RETURN QUERY
	SELECT s.metric, format('job=%s,role=%s', leadscore_internal.metric_label(j.job), leadscore_internal.metric_label(j.username::text)), s.value
	FROM leadscore_internal.cron_jobs() j
	CROSS JOIN LATERAL (VALUES ('leadscore_job_failures', j.failures::numeric), ('leadscore_job_last_run_timestamp_seconds', round(extract(epoch FROM j.last_at), 3))) AS s (metric, value)
	WHERE j.job_id IS NOT NULL;
	RETURN QUERY
	SELECT s.metric, format('pid="%s",command=%s,object=%s,phase=%s', p.pid, leadscore_internal.metric_label(p.command), leadscore_internal.metric_label(p.object), leadscore_internal.metric_label(p.phase)), s.value
	FROM leadscore.progress p
	CROSS JOIN LATERAL (VALUES ('leadscore_progress_done', p.done::numeric), ('leadscore_progress_total', p.total::numeric)) AS s (metric, value);
END
$$;

COMMENT ON FUNCTION leadscore_internal.samples() IS 'what metrics() tells, a row for each line';

CREATE FUNCTION leadscore.metrics() RETURNS text
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT string_agg(format(E'# HELP %s %s\n# TYPE %s gauge\n%s', m.metric, m.help, m.metric, s.lines), '' ORDER BY m.n)
	FROM (VALUES (1, 'leadscore_info', 'The version of the extension, as a label.'),
		(2, 'leadscore_health', 'The state of each row of leadscore.health: 0 ok, 1 warning, 2 error.'),
		(3, 'leadscore_health_figure', 'The value of each row of leadscore.health.'),
		(4, 'leadscore_table_bytes', 'Bytes of lead_timeline, pending_delta and the tables of leadscore above 1 MB, with indexes, as of the last VACUUM or ANALYZE.'),
		(5, 'leadscore_table_dead_rows', 'Dead rows of these tables, by the statistics of the server.'),
		(6, 'leadscore_skipped_rows', 'Rows of tracked tables that statements have written and that are not counted, or not yet.'),
		(7, 'leadscore_job_failures', 'Failed runs of each job of leadscore.schedule() within a day.'),
		(8, 'leadscore_job_last_run_timestamp_seconds', 'When the last run of each job that has ended began.'),
		(9, 'leadscore_progress_done', 'What commands that run now have done, in the unit of their phase.'),
		(10, 'leadscore_progress_total', 'What commands that run now are to do, in the unit of their phase.')) AS m (n, metric, help)
	JOIN (
		SELECT o.metric, string_agg(format(E'%s{%s} %s\n', o.metric, o.labels, o.value), '' ORDER BY o.n) AS lines
		FROM leadscore_internal.samples() WITH ORDINALITY AS o (metric, labels, value, n)
		WHERE o.value IS NOT NULL
		GROUP BY o.metric
	) s ON s.metric = m.metric
$$;

COMMENT ON FUNCTION leadscore.metrics() IS 'figures for a monitor, in the text format of Prometheus';
