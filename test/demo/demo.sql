-- What the extension does with the events just loaded. Expects :milliseconds, the time that took.
-- Scores are as of now, or as of the last event where that is long past.

\pset footer off
\pset null ''
\set model ecommerce

CREATE FUNCTION pg_temp.must(holds boolean, what text) RETURNS text
	LANGUAGE plpgsql
AS $$
BEGIN
	IF holds IS NOT TRUE THEN
		RAISE EXCEPTION 'the demo failed: %', what;
	END IF;
	RETURN 'yes';
END
$$;

SELECT to_char(count(*), 'FM999,999,999') AS events,
	to_char(count(DISTINCT lead_id), 'FM999,999,999') AS leads,
	min(occurred_at)::timestamp(0) AS first,
	max(occurred_at)::timestamp(0) AS last,
	to_char(count(*) * 1000.0 / :milliseconds, 'FM999,999,999') AS "events a second"
FROM leadscore.event;

SELECT pg_temp.must(last IS NOT NULL, 'there are no events'),
	live, date_trunc('second', CASE WHEN live THEN now() ELSE last END) AS at
FROM (SELECT max(occurred_at), max(occurred_at) > now() - interval '30 days' FROM leadscore.event) AS e (last, live) \gset
\set as_of 'as of ' :at

-- Kinds that the model knows nothing of get a signal and a modest weight each.
SELECT array_agg(DISTINCT kind ORDER BY kind) AS new_kinds, count(*) > 0 AS has_new_kinds
FROM leadscore.event
WHERE kind NOT IN (SELECT s.kind FROM leadscore.signal AS s WHERE s.kind IS NOT NULL) \gset

\if :has_new_kinds
\echo '== new signals: the model has none for the kinds' :new_kinds
\echo 'Each gets one: 2 points, half of them gone after 14 days, at most 10 occurrences a day and 20 points in all.'
WITH new AS (
	SELECT jsonb_agg(jsonb_build_object('signal', kind, 'kind', kind, 'description', 'Added by the demo')) AS signals,
		jsonb_agg(jsonb_build_object('signal', kind, 'measure', 'count', 'points', 2, 'half_life', '14 days',
			'max_per_day', 10, 'max_points', 20)) AS weights
	FROM unnest(:'new_kinds'::text[]) AS kind
)
SELECT leadscore.publish(scorecard || jsonb_build_object(
		'signals', scorecard -> 'signals' || signals, 'weights', scorecard -> 'weights' || weights)) AS model
FROM new, leadscore.scorecard(:'model') \gset
CALL leadscore.rebuild();
\endif

CREATE TEMPORARY VIEW appraised AS
SELECT lead_id, a.*
FROM leadscore.current_timeline
LEFT JOIN leadscore.current_profile USING (lead_id),
	leadscore.appraise((SELECT leadscore.scorecard(:'model')), timeline, profile, :'at') AS a;

\echo
\echo '== the top leads,' :as_of
SELECT lead_id AS lead, round(score::numeric, 1) AS score, round(engagement::numeric, 1) AS engagement, fit, stage,
	segment, last_active::timestamp AS "last active (hour)"
FROM appraised
ORDER BY appraised.score DESC, lead_id
LIMIT 10;

SELECT lead_id AS top FROM appraised ORDER BY score DESC, lead_id LIMIT 1 \gset
\echo '== why lead' :top 'has this score'
WITH reasons AS (
	SELECT * FROM leadscore.explain(:'top', :'model', :'at')
)
SELECT signal, measure, round(measured::numeric, 2) AS measured, round(points::numeric, 3) AS points, category, reason
FROM (
	SELECT 1 AS part, signal, measure, measured, points, category, reason FROM reasons
	UNION ALL
	SELECT 2, '= score', NULL, NULL, sum(points), NULL, NULL FROM reasons
) AS lines
ORDER BY part, lines.points DESC;

\echo '== does explain() add up to score(), for every lead?'
SELECT count(*) AS leads, max(deviation) AS "largest deviation", pg_temp.must(max(deviation) < 1e-9, 'it does not') AS "adds up"
FROM (
	SELECT abs(score - (SELECT sum(points) FROM leadscore.explain(lead_id, :'model', :'at'))) AS deviation
	FROM appraised
) AS d;

\echo '== the segments,' :as_of
\if :live
SELECT leadscore.refresh_segments() \g /dev/null
SELECT segment, leads, round(100 * share::numeric, 1) AS percent, round(lowest_score::numeric, 1) AS "lowest score",
	round(average_score::numeric, 1) AS "average", round(highest_score::numeric, 1) AS "highest score"
FROM leadscore.segment_summary
ORDER BY position;
\else
SELECT segment, count(*) AS leads, round(100 * count(*) / sum(count(*)) OVER (), 1) AS percent,
	round(min(score)::numeric, 1) AS "lowest score", round(avg(score)::numeric, 1) AS "average",
	round(max(score)::numeric, 1) AS "highest score"
FROM appraised
GROUP BY segment
ORDER BY avg(appraised.score) DESC;
\endif

\echo '== an order, inserted by plain SQL, lifts its lead at once'
SELECT count(*) > 0 AS any_lower
FROM appraised
WHERE score <= (SELECT max(min_score) - 1 FROM leadscore.segment WHERE model = :'model') \gset
\if :any_lower

-- The lead that lacks least to its next segment, but a point. An order is worth 25 points at the very least.
SELECT lead_id AS lead, segment AS segment_before, min_score - score <= 25 AS in_reach,
	CASE WHEN lead_id ~ '^[1-9][0-9]{0,17}$' THEN 'bigint' ELSE 'text' END AS key_type
FROM appraised, (SELECT min_score FROM leadscore.segment WHERE model = :'model') AS s
WHERE min_score - score >= 1
ORDER BY min_score - score, lead_id
LIMIT 1 \gset

CREATE SCHEMA shop;
CREATE TABLE shop.orders (
	order_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	customer_id :key_type NOT NULL,
	placed_at timestamptz NOT NULL,
	total numeric NOT NULL);
\set its_score 'SELECT lead_id AS lead, round(score::numeric, 2) AS score, segment FROM appraised WHERE lead_id = ' :'lead' ';'

\set ECHO queries
\o /dev/null
SELECT leadscore.track('shop.orders', lead_id => 'customer_id', kind => 'purchase', occurred_at => 'placed_at', value => 'total');
\o
:its_score
INSERT INTO shop.orders (customer_id, placed_at, total) VALUES (:'lead', :'at', 79.90);
:its_score
\set ECHO none
SELECT pg_temp.must(segment <> :'segment_before' OR NOT :'in_reach', 'the order did not change the segment')
FROM appraised
WHERE lead_id = :'lead' \g /dev/null

\else
\echo '(Every lead is in the highest segment as it is.)'
\echo
\endif

\echo '== does every stored timeline equal the one computed anew from the events?'
SELECT count(*) AS "leads that differ", pg_temp.must(count(*) = 0, 'some differ') AS "all equal"
FROM leadscore.verify();

\echo '== how the scores are distributed,' :as_of
\pset format unaligned
\pset tuples_only on
-- about 25 bars, the outermost of which take whatever lies beyond 99 % of the leads
WITH middle AS (
	SELECT percentile_disc(0.005) WITHIN GROUP (ORDER BY score) AS low, percentile_disc(0.995) WITHIN GROUP (ORDER BY score) AS high
	FROM appraised
), scale AS (
	SELECT width, floor(low / width)::int AS first, floor(high / width)::int AS last
	FROM middle, unnest('{1,2,5,10,20,50,100,200,500,1000,10000,100000}'::int[]) AS width
	WHERE width >= (high - low) / 25
	ORDER BY width
	LIMIT 1
), bar AS (
	SELECT greatest(first, least(last, floor(score / width)))::int AS bar, count(*) AS leads FROM appraised, scale GROUP BY bar
)
SELECT format('%15s  %s %s',
	CASE bar
		WHEN nullif(first, last) THEN 'below ' || (bar + 1) * width
		WHEN last THEN bar * width || ' and more'
		ELSE bar * width || ' to ' || (bar + 1) * width
	END,
	repeat('#', ceil(60.0 * leads / max(leads) OVER ())::int), coalesce(leads, 0))
FROM scale CROSS JOIN generate_series(first, last) AS every (bar)
LEFT JOIN bar USING (bar)
ORDER BY bar;
