-- Variables: inputs, seed, module.
\set ON_ERROR_STOP 1
\set VERBOSITY verbose
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS leadscore;

CREATE OR REPLACE FUNCTION fuzz_text(bigint, bigint, text[]) RETURNS text AS :'module' LANGUAGE C STRICT;
CREATE OR REPLACE FUNCTION fuzz_bytes(bigint, bigint, bytea[]) RETURNS text AS :'module' LANGUAGE C STRICT;
CREATE OR REPLACE FUNCTION fuzz_state(bigint, bigint, bytea[]) RETURNS text AS :'module' LANGUAGE C STRICT;
CREATE OR REPLACE FUNCTION fuzz_scorecard(bigint, bigint, text[]) RETURNS text AS :'module' LANGUAGE C STRICT;
CREATE OR REPLACE FUNCTION fuzz_signals(bigint, bigint, text[]) RETURNS text AS :'module' LANGUAGE C STRICT;

-- timelines to begin with: none, one hour, extremes, many hours, many signals
CREATE TEMP TABLE sample AS
SELECT t::leadscore.timeline FROM unnest(ARRAY['{}', '{1: 2026-11-21T13Z 2 49.9, 2026-11-21T15Z 1; 4: 2026-11-22T00Z 1}', '{0: 1970-01-01T00Z 1}',
	'{0: 1970-01-01T00Z 9223372036854775807 -9223372036854.775808; 2147483647: 9999-12-31T23Z -9223372036854775808 9223372036854.775807}']) t
UNION ALL
SELECT leadscore.timeline_agg('{"signals": [{"signal_id": 1, "kind": "a"}, {"signal_id": 300}, {"signal_id": 70000, "kind": "b"}]}', CASE i % 3 WHEN 0 THEN 'a' ELSE 'b' END,
	'2026-01-01'::timestamptz + (i * i * n) * interval '1 hour', CASE i % 4 WHEN 0 THEN i * 1.1 END, NULL)
FROM generate_series(1, 30, 4) n, generate_series(1, n) i GROUP BY n;

-- documents to begin with: the templates with the ids that publish() would give, and a small one with every member
CREATE TEMP TABLE card AS
SELECT jsonb_set(t, '{signals}', (SELECT jsonb_agg(s || jsonb_build_object('signal_id', n)) FROM jsonb_array_elements(t -> 'signals') WITH ORDINALITY e (s, n)))::text AS document
FROM (SELECT leadscore.template(x) AS t FROM unnest('{ecommerce,funnel,fit_and_engagement}'::text[]) x) t
UNION ALL
SELECT '{"model": "m", "description": "d", "floor": -100, "ceiling": 100, "intercept": -1, "slope": 0.1,
 "signals": [{"signal": "a", "signal_id": 1, "subject": "event", "kind": "a", "match": {"x": 1, "y": {"z": [1]}}, "condition": "$.p > 1", "description": "d"},
  {"signal": "b", "signal_id": 2}, {"signal": "c", "subject": "profile", "match": {"a": 1}, "condition": "$.age >= 18"}],
 "weights": [{"weight_id": 1, "signal": "a", "measure": "count", "points": 1, "curve": "log", "half_life": "14 days", "fades_over": "30 days", "within": "90 days",
   "max_per_day": 5, "min_points": 0, "max_points": 20, "category": "k", "stage": "s"},
  {"signal": "b", "measure": "value", "points": 2.5, "at_least": 1, "below": 3, "category": "k"}, {"signal": "b", "measure": "average_value", "points": 1},
  {"signal": "b", "measure": "active_days", "points": 1}, {"signal": "b", "measure": "days_since_last", "points": -1}, {"signal": "b", "measure": "days_since_first", "points": 1},
  {"signal": "c", "measure": "present", "points": 5, "category": "k", "stage": "u"}],
 "categories": [{"category": "k", "min_points": -10, "max_points": 30}], "stages": [{"stage": "s", "position": 1, "within": "90 days"}, {"stage": "u", "position": 2}],
 "grades": [{"grade": "A", "min_fit": 5}, {"grade": "B"}], "segments": [{"segment": "h", "position": 1, "min_score": 10, "min_fit": 1, "min_engagement": 1}, {"segment": "l", "position": 2}]}';

\pset format unaligned
\pset tuples_only on
\echo -n 'text:       '
SELECT fuzz_text(:inputs, :seed, array_agg(t::text)) FROM sample;
\echo -n 'bytes:      '
SELECT fuzz_bytes(:inputs, :seed, array_agg(leadscore_internal.timeline_send(t))) FROM sample;
\echo -n 'states:     '
SELECT fuzz_state(:inputs, :seed, array_agg(leadscore_internal.timeline_send(t))) FROM sample;
\echo -n 'scorecards: '
SELECT fuzz_scorecard(:inputs, :seed, array_agg(document)) FROM card;
\echo -n 'signals:    '
SELECT fuzz_signals(:inputs, :seed, ARRAY['{"compacted_before": "2026-01-02T00:00:00Z", "signals": [{"signal_id": 1, "signal": "visit", "kind": "visit"}, {"signal_id": 2, "kind": "purchase", "match": {"a": 1}, "condition": "$.a > 0"}, {"signal_id": 3}]}',
	'{"signals": []}', '{"signals": [{"signal_id": 7, "match": {"a": {"b": [1]}}, "condition": "exists($.a.b[*] ? (@ > 2))"}]}']);
