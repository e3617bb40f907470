-- The scoring of model.sql as one would write it in plain SQL, over the events. Times are cut to the hour, as ours are.

-- how much something counts that happened then
CREATE FUNCTION bench.decayed(occurred_at timestamptz, half_life_days float8, hour float8) RETURNS float8
	STABLE PARALLEL SAFE LANGUAGE sql
RETURN exp(-0.69314718055994530942 / (24 * half_life_days) * (hour - floor(date_part('epoch', occurred_at) / 3600)));

CREATE FUNCTION bench.younger(occurred_at timestamptz, days int, at timestamptz) RETURNS boolean
	STABLE PARALLEL SAFE LANGUAGE sql
RETURN occurred_at >= at - make_interval(hours => 24 * days - 1);

\set hour '(SELECT hour FROM bench.clock)'
\set at '(SELECT at FROM bench.clock)'

-- Flat: one pass with a sum for each weight. The same model, to the last cap and band.
CREATE VIEW bench.plain_flat AS
SELECT lead_id, greatest(0, least(80,
		  least(15, coalesce(w1, 0)) + least(10, coalesce(w2, 0)) + CASE WHEN w3 >= 50 THEN 5 ELSE 0 END
		+ least(20, coalesce(w4, 0)) + CASE WHEN w5 >= 30 THEN 6 WHEN w5 >= 10 THEN 3 ELSE 0 END
		+ least(30, coalesce(w21, 0)) + least(30, coalesce(w22, 0)) + least(10, coalesce(w24, 0)) + least(5, coalesce(w25, 0))
		+ coalesce(w26, 0))
	+ least(25, least(10, coalesce(w7, 0)) + least(20, coalesce(w8, 0)))
	+ least(10, coalesce(w9, 0)) + least(40, coalesce(w10, 0)) + least(20, coalesce(w11, 0)) + coalesce(w12, 0)
	+ least(10, coalesce(w13, 0)) + least(40, coalesce(w14, 0)) + least(25, coalesce(w15, 0)) + coalesce(w16, 0)
	+ greatest(-15, coalesce(w17, 0)) + coalesce(w18, 0) + least(100, coalesce(w19, 0))
	+ CASE WHEN bench.younger(w20, 14, :at) THEN 10 ELSE 0 END
	+ greatest(-20, coalesce(w23, 0)) + least(8, coalesce(w27, 0)) + coalesce(w28, 0) + least(10, coalesce(w29, 0))
	+ coalesce(w30, 0)) AS score
FROM (
	SELECT lead_id,
		sum(0.5 * bench.decayed(occurred_at, 3, :hour)) FILTER (WHERE kind = 'page_view') AS w1,
		sum(0.1 * bench.decayed(occurred_at, 30, :hour)) FILTER (WHERE kind = 'page_view') AS w2,
		count(*) FILTER (WHERE kind = 'page_view' AND bench.younger(occurred_at, 30, :at)) AS w3,
		sum(bench.decayed(occurred_at, 7, :hour)) FILTER (WHERE kind = 'product_view') AS w4,
		count(*) FILTER (WHERE kind = 'product_view' AND bench.younger(occurred_at, 14, :at)) AS w5,
		sum(0.5 * bench.decayed(occurred_at, 14, :hour)) FILTER (WHERE kind = 'email_open') AS w7,
		sum(2 * bench.decayed(occurred_at, 14, :hour)) FILTER (WHERE kind = 'email_click') AS w8,
		sum(bench.decayed(occurred_at, 7, :hour)) FILTER (WHERE kind = 'search') AS w9,
		sum(4 * bench.decayed(occurred_at, 5, :hour)) FILTER (WHERE kind = 'add_to_cart') AS w10,
		sum(0.02 * value::float8 * bench.decayed(occurred_at, 10, :hour)) FILTER (WHERE kind = 'add_to_cart') AS w11,
		sum(1.5 * bench.decayed(occurred_at, 21, :hour)) FILTER (WHERE kind = 'video_play') AS w12,
		sum(0.01 * value::float8 * bench.decayed(occurred_at, 21, :hour)) FILTER (WHERE kind = 'video_play') AS w13,
		sum(8 * bench.decayed(occurred_at, 30, :hour)) FILTER (WHERE kind = 'form_submit') AS w14,
		sum(5 * bench.decayed(occurred_at, 45, :hour)) FILTER (WHERE kind = 'download') AS w15,
		sum(bench.decayed(occurred_at, 7, :hour)) FILTER (WHERE kind = 'login') AS w16,
		sum(-3 * bench.decayed(occurred_at, 30, :hour)) FILTER (WHERE kind = 'support_ticket') AS w17,
		sum(20 * bench.decayed(occurred_at, 60, :hour)) FILTER (WHERE kind = 'purchase') AS w18,
		sum(0.05 * value::float8 * bench.decayed(occurred_at, 60, :hour)) FILTER (WHERE kind = 'purchase') AS w19,
		max(occurred_at) FILTER (WHERE kind = 'purchase') AS w20,
		sum(5 * bench.decayed(occurred_at, 10, :hour)) FILTER (WHERE kind = 'page_view' AND properties ->> 'url' = '/pricing') AS w21,
		sum(6 * bench.decayed(occurred_at, 14, :hour)) FILTER (WHERE kind = 'page_view' AND properties ->> 'url' = '/demo') AS w22,
		sum(-5 * bench.decayed(occurred_at, 60, :hour)) FILTER (WHERE kind = 'page_view' AND properties ->> 'url' = '/careers') AS w23,
		sum(0.5 * bench.decayed(occurred_at, 20, :hour)) FILTER (WHERE kind = 'page_view' AND properties ->> 'url' LIKE '/docs%') AS w24,
		sum(0.2 * bench.decayed(occurred_at, 3, :hour)) FILTER (WHERE kind = 'page_view' AND properties ->> 'device' = 'mobile') AS w25,
		sum(0.5 * bench.decayed(occurred_at, 14, :hour)) FILTER (WHERE kind = 'product_view' AND properties ->> 'category' = 'shoes') AS w26,
		sum(bench.decayed(occurred_at, 7, :hour)) FILTER (WHERE kind = 'search' AND properties ->> 'category' = 'coats') AS w27,
		sum(2 * bench.decayed(occurred_at, 14, :hour)) FILTER (WHERE kind = 'add_to_cart' AND properties ->> 'category' = 'bags') AS w28,
		sum(bench.decayed(occurred_at, 7, :hour)) FILTER (WHERE kind = 'add_to_cart' AND properties ->> 'device' = 'desktop') AS w29,
		sum(5 * bench.decayed(occurred_at, 60, :hour)) FILTER (WHERE kind = 'purchase' AND properties ->> 'device' = 'desktop') AS w30
	FROM leadscore.event
	GROUP BY lead_id
) AS e;

-- By kind: a sum for each kind that a lead has, of a CASE by kind; the commonest kind first. The same model too.
CREATE VIEW bench.plain_by_kind AS
SELECT lead_id, greatest(0, least(80, sum(web)) + least(25, sum(email)) + sum(other)) AS score
FROM (
	SELECT lead_id,
		CASE kind
			WHEN 'page_view' THEN least(15, a) + least(10, b) + least(30, coalesce(d, 0)) + least(30, coalesce(e, 0))
				+ least(10, coalesce(f, 0)) + least(5, coalesce(c, 0)) + CASE WHEN n >= 50 THEN 5 ELSE 0 END
			WHEN 'product_view' THEN least(20, a) + coalesce(c, 0) + CASE WHEN n >= 30 THEN 6 WHEN n >= 10 THEN 3 ELSE 0 END
			ELSE 0 END AS web,
		CASE kind WHEN 'email_open' THEN least(10, a) WHEN 'email_click' THEN least(20, a) ELSE 0 END AS email,
		CASE kind
			WHEN 'page_view' THEN greatest(-20, coalesce(g, 0))
			WHEN 'search' THEN least(10, a) + least(8, coalesce(c, 0))
			WHEN 'add_to_cart' THEN least(40, a) + least(20, b) + coalesce(c, 0) + least(10, coalesce(d, 0))
			WHEN 'video_play' THEN a + least(10, b)
			WHEN 'form_submit' THEN least(40, a)
			WHEN 'download' THEN least(25, a)
			WHEN 'login' THEN a
			WHEN 'support_ticket' THEN greatest(-15, a)
			WHEN 'purchase' THEN a + least(100, b) + coalesce(c, 0) + CASE WHEN bench.younger(last, 14, :at) THEN 10 ELSE 0 END
			ELSE 0 END AS other
	FROM (
		SELECT lead_id, kind,
			sum(CASE kind
				WHEN 'page_view' THEN 0.5 * bench.decayed(occurred_at, 3, :hour)
				WHEN 'product_view' THEN bench.decayed(occurred_at, 7, :hour)
				WHEN 'email_open' THEN 0.5 * bench.decayed(occurred_at, 14, :hour)
				WHEN 'search' THEN bench.decayed(occurred_at, 7, :hour)
				WHEN 'add_to_cart' THEN 4 * bench.decayed(occurred_at, 5, :hour)
				WHEN 'email_click' THEN 2 * bench.decayed(occurred_at, 14, :hour)
				WHEN 'video_play' THEN 1.5 * bench.decayed(occurred_at, 21, :hour)
				WHEN 'form_submit' THEN 8 * bench.decayed(occurred_at, 30, :hour)
				WHEN 'download' THEN 5 * bench.decayed(occurred_at, 45, :hour)
				WHEN 'login' THEN bench.decayed(occurred_at, 7, :hour)
				WHEN 'support_ticket' THEN -3 * bench.decayed(occurred_at, 30, :hour)
				WHEN 'purchase' THEN 20 * bench.decayed(occurred_at, 60, :hour) END) AS a,
			sum(CASE kind
				WHEN 'page_view' THEN 0.1 * bench.decayed(occurred_at, 30, :hour)
				WHEN 'add_to_cart' THEN 0.02 * value::float8 * bench.decayed(occurred_at, 10, :hour)
				WHEN 'video_play' THEN 0.01 * value::float8 * bench.decayed(occurred_at, 21, :hour)
				WHEN 'purchase' THEN 0.05 * value::float8 * bench.decayed(occurred_at, 60, :hour) END) AS b,
			sum(CASE kind
				WHEN 'page_view' THEN CASE WHEN properties ->> 'device' = 'mobile' THEN 0.2 * bench.decayed(occurred_at, 3, :hour) END
				WHEN 'product_view' THEN CASE WHEN properties ->> 'category' = 'shoes' THEN 0.5 * bench.decayed(occurred_at, 14, :hour) END
				WHEN 'search' THEN CASE WHEN properties ->> 'category' = 'coats' THEN bench.decayed(occurred_at, 7, :hour) END
				WHEN 'add_to_cart' THEN CASE WHEN properties ->> 'category' = 'bags' THEN 2 * bench.decayed(occurred_at, 14, :hour) END
				WHEN 'purchase' THEN CASE WHEN properties ->> 'device' = 'desktop' THEN 5 * bench.decayed(occurred_at, 60, :hour) END
				END) AS c,
			sum(CASE kind
				WHEN 'page_view' THEN CASE WHEN properties ->> 'url' = '/pricing' THEN 5 * bench.decayed(occurred_at, 10, :hour) END
				WHEN 'add_to_cart' THEN CASE WHEN properties ->> 'device' = 'desktop' THEN bench.decayed(occurred_at, 7, :hour) END
				END) AS d,
			sum(6 * bench.decayed(occurred_at, 14, :hour)) FILTER (WHERE kind = 'page_view' AND properties ->> 'url' = '/demo') AS e,
			sum(0.5 * bench.decayed(occurred_at, 20, :hour)) FILTER (WHERE kind = 'page_view' AND properties ->> 'url' LIKE '/docs%') AS f,
			sum(-5 * bench.decayed(occurred_at, 60, :hour)) FILTER (WHERE kind = 'page_view' AND properties ->> 'url' = '/careers') AS g,
			count(CASE kind WHEN 'page_view' THEN bench.younger(occurred_at, 30, :at) OR NULL
				WHEN 'product_view' THEN bench.younger(occurred_at, 14, :at) OR NULL END) AS n,
			max(occurred_at) AS last
		FROM leadscore.event
		GROUP BY lead_id, kind
	) AS k
) AS s
GROUP BY lead_id;

-- Uncapped: one sum of a CASE by kind. Faster, and wrong for this model: caps, bands, categories and the floor are left
-- out, for it cannot limit what it adds up. It shows how little of the time they cost plain SQL.
CREATE VIEW bench.plain_uncapped AS
SELECT lead_id, sum(CASE kind
	WHEN 'page_view' THEN 0.5 * bench.decayed(occurred_at, 3, :hour) + 0.1 * bench.decayed(occurred_at, 30, :hour)
		+ CASE properties ->> 'url' WHEN '/pricing' THEN 5 * bench.decayed(occurred_at, 10, :hour)
			WHEN '/demo' THEN 6 * bench.decayed(occurred_at, 14, :hour)
			WHEN '/careers' THEN -5 * bench.decayed(occurred_at, 60, :hour)
			WHEN '/docs/start' THEN 0.5 * bench.decayed(occurred_at, 20, :hour)
			WHEN '/docs/api' THEN 0.5 * bench.decayed(occurred_at, 20, :hour)
			ELSE 0 END
		+ CASE WHEN properties ->> 'device' = 'mobile' THEN 0.2 * bench.decayed(occurred_at, 3, :hour) ELSE 0 END
	WHEN 'product_view' THEN bench.decayed(occurred_at, 7, :hour)
		+ CASE WHEN properties ->> 'category' = 'shoes' THEN 0.5 * bench.decayed(occurred_at, 14, :hour) ELSE 0 END
	WHEN 'email_open' THEN 0.5 * bench.decayed(occurred_at, 14, :hour)
	WHEN 'search' THEN bench.decayed(occurred_at, 7, :hour) * CASE WHEN properties ->> 'category' = 'coats' THEN 2 ELSE 1 END
	WHEN 'add_to_cart' THEN 4 * bench.decayed(occurred_at, 5, :hour) + 0.02 * value::float8 * bench.decayed(occurred_at, 10, :hour)
		+ CASE WHEN properties ->> 'category' = 'bags' THEN 2 * bench.decayed(occurred_at, 14, :hour) ELSE 0 END
		+ CASE WHEN properties ->> 'device' = 'desktop' THEN bench.decayed(occurred_at, 7, :hour) ELSE 0 END
	WHEN 'email_click' THEN 2 * bench.decayed(occurred_at, 14, :hour)
	WHEN 'video_play' THEN (1.5 + 0.01 * value::float8) * bench.decayed(occurred_at, 21, :hour)
	WHEN 'form_submit' THEN 8 * bench.decayed(occurred_at, 30, :hour)
	WHEN 'download' THEN 5 * bench.decayed(occurred_at, 45, :hour)
	WHEN 'login' THEN bench.decayed(occurred_at, 7, :hour)
	WHEN 'support_ticket' THEN -3 * bench.decayed(occurred_at, 30, :hour)
	WHEN 'purchase' THEN bench.decayed(occurred_at, 60, :hour)
		* (20 + 0.05 * value::float8 + CASE WHEN properties ->> 'device' = 'desktop' THEN 5 ELSE 0 END)
	END) AS score
FROM leadscore.event
GROUP BY lead_id;

-- Join + exp: the weights in a table, joined to the events. The same model.
CREATE TABLE bench.rule AS
SELECT w.weight_id AS rule, s.kind, s.match, CASE WHEN s.condition IS NOT NULL THEN '/docs%' END AS url, w.measure, w.points,
	coalesce(-ln(2) / (extract(epoch FROM w.half_life) / 3600)::float8, 0) AS rate,
	coalesce(extract(epoch FROM w.within) / 3600, 1e9)::float8 AS hours,
	w.at_least, w.below, w.min_points, w.max_points, w.category
FROM leadscore.weight w JOIN leadscore.signal s USING (signal)
WHERE w.model = 'bench';
ALTER TABLE bench.rule ADD PRIMARY KEY (rule);
ANALYZE bench.rule;

CREATE VIEW bench.plain_join AS
SELECT s.lead_id, greatest(0, sum(least(s.points, c.max_points))) AS score
FROM (
	SELECT m.lead_id, r.category,
		sum(CASE WHEN at_least IS NULL AND below IS NULL THEN least(greatest(m.measured * r.points, r.min_points), r.max_points)
			WHEN CASE r.measure WHEN 'days_since_last' THEN m.last / 24 ELSE m.measured END >= coalesce(r.at_least, '-Infinity')
				AND CASE r.measure WHEN 'days_since_last' THEN m.last / 24 ELSE m.measured END < coalesce(r.below, 'Infinity')
			THEN r.points ELSE 0 END) AS points
	FROM (
		SELECT e.lead_id, r.rule,
			sum(CASE r.measure WHEN 'value' THEN e.value::float8 ELSE 1 END
				* exp(r.rate * (:hour - floor(date_part('epoch', e.occurred_at) / 3600)))) AS measured,
			min(:hour - floor(date_part('epoch', e.occurred_at) / 3600)) AS last
		FROM leadscore.event e
		JOIN bench.rule r ON r.kind = e.kind AND (r.match IS NULL OR e.properties @> r.match)
			AND (r.url IS NULL OR e.properties ->> 'url' LIKE r.url)
			AND :hour - floor(date_part('epoch', e.occurred_at) / 3600) < r.hours
		GROUP BY e.lead_id, r.rule
	) AS m
	JOIN bench.rule r USING (rule)
	GROUP BY m.lead_id, r.category
) AS s
LEFT JOIN leadscore.category c ON c.model = 'bench' AND c.category = s.category
GROUP BY s.lead_id;

-- The largest relative deviation of each from ours, over every lead.
CREATE FUNCTION bench.uncapped(card jsonb) RETURNS jsonb
	IMMUTABLE LANGUAGE sql
RETURN card - 'floor' || jsonb_build_object('weights', (
	SELECT jsonb_agg(w - '{min_points,max_points,category}'::text[]) FROM jsonb_array_elements(card -> 'weights') AS w WHERE w ? 'half_life'));

CREATE VIEW bench.deviation AS
WITH card AS MATERIALIZED (
	SELECT c AS exact, bench.uncapped(c) AS uncapped FROM leadscore.scorecard('bench') AS c
), peer AS (
	SELECT 'flat' AS contestant, lead_id, score FROM bench.plain_flat
	UNION ALL SELECT 'by kind', lead_id, score FROM bench.plain_by_kind
	UNION ALL SELECT 'join', lead_id, score FROM bench.plain_join
	UNION ALL SELECT 'uncapped', lead_id, score FROM bench.plain_uncapped
)
SELECT contestant, count(*) AS leads, max(abs(score - ours) / greatest(1, abs(ours))) AS deviation
FROM (
	SELECT p.contestant, p.score,
		leadscore.score(CASE p.contestant WHEN 'uncapped' THEN uncapped ELSE exact END, t.timeline, NULL, :at) AS ours
	FROM card, peer p LEFT JOIN leadscore.lead_timeline t USING (lead_id)
) AS d
GROUP BY contestant;
