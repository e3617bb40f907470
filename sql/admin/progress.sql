-- progress.sql: how far the commands have come that take long: see progress.c

CREATE FUNCTION leadscore_internal.begin_progress(command text, object oid) RETURNS void
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.report_progress(command text, phase text, done bigint, total bigint) RETURNS void
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.end_progress(command text) RETURNS void
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.progress_names(class integer, OUT command text, OUT phase text)
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION leadscore_internal.begin_progress(text, oid) IS 'a command begins whose progress is shown; part of another one it is not';
COMMENT ON FUNCTION leadscore_internal.report_progress(text, text, bigint, bigint) IS 'in which phase a command is, and how far; done NULL: it is not counted';
COMMENT ON FUNCTION leadscore_internal.end_progress(text) IS 'a command has ended';
COMMENT ON FUNCTION leadscore_internal.progress_names(integer) IS 'what the class of a lock stands for; NULL: nothing';

CREATE FUNCTION leadscore_internal.progress_object(command text, object oid) RETURNS text
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN object = 0 THEN NULL
		WHEN command IN ('fit', 'propose') THEN (SELECT s.signal FROM leadscore.signal s WHERE s.signal_id = object::bigint)
		ELSE object::regclass::text END
$$;

COMMENT ON FUNCTION leadscore_internal.progress_object(text, oid) IS 'what a command works on, by the number that stands in its lock';

-- all locks of one moment; while a session replaces one, both are there
CREATE VIEW leadscore.progress AS
WITH lock AS MATERIALIZED (
	SELECT l.pid, l.classid::bigint AS first, l.objid::bigint AS second, l.objsubid::integer AS class
	FROM pg_locks l
	WHERE l.locktype = 'advisory' AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()) AND l.objsubid >= 255
)
SELECT c.pid, c.command, leadscore_internal.progress_object(c.command, c.first::oid) AS object, c.phase, f.done, nullif(f.total, 0) AS total,
	timestamptz '2000-01-01 00:00Z' + c.second * interval '1 second' AS started_at
FROM (
	SELECT DISTINCT ON (l.pid) l.*, n.command, n.phase
	FROM lock l CROSS JOIN LATERAL leadscore_internal.progress_names(l.class) n
	WHERE n.command IS NOT NULL
	ORDER BY l.pid, l.class
) c
LEFT JOIN (
	SELECT l.pid, max(l.first) AS done, max(l.second) AS total FROM lock l WHERE l.class = 255 GROUP BY l.pid
) f ON f.pid = c.pid;

COMMENT ON VIEW leadscore.progress IS 'how far the commands have come that run now and take long';
COMMENT ON COLUMN leadscore.progress.pid IS 'the process of the session, or of its parallel worker';
COMMENT ON COLUMN leadscore.progress.command IS 'rebuild, compact, refresh_segments, track, fit or propose';
COMMENT ON COLUMN leadscore.progress.object IS 'the table, or the conversion of a fit or a proposal; NULL: all';
COMMENT ON COLUMN leadscore.progress.phase IS 'what it does now';
COMMENT ON COLUMN leadscore.progress.done IS 'how many units of the phase are done; NULL: they are not counted';
COMMENT ON COLUMN leadscore.progress.total IS 'how many there are, or about; NULL: it is not known';
COMMENT ON COLUMN leadscore.progress.started_at IS 'when the command began';
