-- panel.sql: runs panels/:panel.sql, for page.sql, and writes its rows, or its error, as a member of a JSON object.

\set query `cat panels/:panel.sql`
SELECT set_config('dashboard.query', :'query', true) \g /dev/null
DO $$
DECLARE
	query CONSTANT text := current_setting('dashboard.query');
	began CONSTANT timestamptz := clock_timestamp();
	found json;
	message text;
	detail text;
	hint text;
BEGIN
	BEGIN
		EXECUTE format('SELECT coalesce(json_agg(p), ''[]'') FROM (%s) p',
			replace(replace(query, ':''model''', quote_literal(current_setting('dashboard.model'))), ':''fitted''', quote_literal(current_setting('dashboard.fitted'))) || E'\n')
		INTO found;
	EXCEPTION WHEN OTHERS OR query_canceled THEN
		GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	END;
	PERFORM set_config('dashboard.result', json_strip_nulls(json_build_object('sql', query, 'error', message, 'detail', detail, 'hint', hint,
		'milliseconds', round(1000 * extract(epoch FROM clock_timestamp() - began))))::text, true),
		set_config('dashboard.rows', coalesce(found::text, '[]'), true);
END
$$;
SELECT replace(format('%s: {"answer": %s, "rows": %s},', to_json(:'panel'::text), current_setting('dashboard.result'), current_setting('dashboard.rows')), '<', '\u003c');
