-- page.sql: reads every panel and writes the page's data as JSON.
--
--   psql -X -q -f page.sql [-v model=name] [-v seconds=30]
--
-- All of it is one snapshot, READ ONLY: a standby and a role that can only read are enough. A panel that fails, or
-- takes too long, leaves its message, and the others go on.

\set ON_ERROR_STOP on
\encoding UTF8
\pset tuples_only on
\pset format unaligned
\if :{?model} \else \set model '' \endif
\if :{?seconds} \else \set seconds 30 \endif

BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SET LOCAL client_min_messages = error;
SET LOCAL DateStyle = ISO;
SET LOCAL extra_float_digits = 1;
SELECT set_config('statement_timeout', (:'seconds'::int * 1000)::text, true) \g /dev/null

SELECT coalesce(nullif(:'model', ''), (SELECT m.model FROM leadscore.model m WHERE m.model = 'default'),
	(SELECT d.model FROM leadscore.default_model d), (SELECT min(m.model) FROM leadscore.model m), '') AS model \gset
-- what is said about probabilities is said about a model that gives them: this one, or else the one last published
SELECT coalesce((SELECT m.model FROM leadscore.model m WHERE m.model = :'model' AND m.slope IS NOT NULL),
	(SELECT m.model FROM leadscore.model m JOIN leadscore.model_version v ON v.model = m.model WHERE m.slope IS NOT NULL ORDER BY v.published_at DESC LIMIT 1),
	:'model') AS fitted,
	coalesce((SELECT m.time_zone FROM leadscore.model m WHERE m.model = :'model'), 'UTC') AS time_zone \gset
SET LOCAL TimeZone = :'time_zone';
SELECT set_config('dashboard.model', :'model', true), set_config('dashboard.fitted', :'fitted', true) \g /dev/null

-- (a "<" could end the element that the data is in)
SELECT '{' || replace(trim('{}' FROM json_build_object('model', :'model', 'fitted', :'fitted', 'time_zone', :'time_zone',
	'read_at', now(), 'scored_at', (SELECT max(s.scored_at) FROM leadscore.segment_summary s WHERE s.model = :'model'))::text), '<', '\u003c')
	|| ', "panels": {';

\set panel setup
\ir panel.sql
\set panel tiles
\ir panel.sql
\set panel quality
\ir panel.sql
\set panel sizes
\ir panel.sql
\set panel distribution
\ir panel.sql
\set panel flow
\ir panel.sql
\set panel call
\ir panel.sql
\set panel funnel
\ir panel.sql
\set panel rfm
\ir panel.sql
\set panel channels
\ir panel.sql
\set panel calibration
\ir panel.sql
\set panel lift
\ir panel.sql
\set panel drift
\ir panel.sql
\set panel offers
\ir panel.sql
\set panel experiment
\ir panel.sql
\set panel health
\ir panel.sql

COMMIT;
\qecho '"": null}}'
