\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- What a marketer means: absence, "since", strictly above, rules across signals, days of a time zone. All figures are
-- worked out by hand.

-- ---------- the field's examples ----------

-- visit 1, newsletter 5, cart 10, abandoned cart 15, purchase 25: a visitor who signs up, fills a cart, leaves it, and
-- comes back to buy
SELECT publish('{"model": "shop",
	"signals": [{"signal": "visit", "kind": "visit"}, {"signal": "newsletter", "kind": "newsletter"}, {"signal": "cart", "kind": "cart"},
		{"signal": "abandoned", "kind": "abandoned"}, {"signal": "purchase", "kind": "purchase"}],
	"weights": [{"signal": "visit", "points": 1}, {"signal": "newsletter", "points": 5}, {"signal": "cart", "points": 10}, {"signal": "abandoned", "points": 15},
		{"signal": "purchase", "points": 25}],
	"segments": [{"segment": "high", "position": 1, "above_score": 100}, {"segment": "medium", "position": 2, "min_score": 50}, {"segment": "low", "position": 3}]}');
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('anna', 'visit', '2026-06-01 10:00Z'), ('anna', 'visit', '2026-06-02 10:00Z'), ('anna', 'newsletter', '2026-06-02 10:05Z'),
	('anna', 'cart', '2026-06-02 10:10Z'), ('anna', 'abandoned', '2026-06-02 12:00Z'), ('anna', 'visit', '2026-06-03 10:00Z'), ('anna', 'purchase', '2026-06-03 10:20Z');
-- 3 * 1 + 5 + 10 + 15 + 25 = 58
SELECT score('anna', 'shop', '2026-06-04Z');
SELECT signal, measured, points FROM explain('anna', 'shop', '2026-06-04Z');

-- above 100, 50 to 100, below 50: exactly 100 is medium, as is exactly 50
INSERT INTO event (lead_id, kind, occurred_at) SELECT 'n' || n, 'visit', '2026-06-01Z' FROM (VALUES (49), (50), (99), (100), (101)) v (n), generate_series(1, n);
SELECT lead_id, score, segment FROM lead_score WHERE lead_id LIKE 'n%' ORDER BY score;
-- with min_score beside it, both count
UPDATE segment SET min_score = 101.5 WHERE segment = 'high';
SELECT lead_id, segment FROM lead_score WHERE score > 100;
UPDATE segment SET min_score = NULL WHERE segment = 'high';

-- 5, 2, 10 and 15 on a scale of 1 to 100, and a voucher for those between 80 and 100 that ends in hours
SELECT publish('{"model": "scale", "floor": 1, "ceiling": 100,
	"signals": [{"signal": "mail", "kind": "mail"}, {"signal": "page", "kind": "page"}, {"signal": "form", "kind": "form"}, {"signal": "demo", "kind": "demo"}],
	"weights": [{"signal": "mail", "points": 5}, {"signal": "page", "points": 2}, {"signal": "form", "points": 10}, {"signal": "demo", "points": 15}],
	"segments": [{"segment": "ready", "position": 1, "min_score": 80}, {"segment": "other", "position": 2}]}');
INSERT INTO offer (offer, model, segment, kind, discount, valid_for, starts_at, unlimited) VALUES ('voucher', 'scale', 'ready', 'percent', 10, '4 hours', '2026-01-01Z', true);
CALL watch('scale', notify => false);
-- 5 + 2 * 2 + 10 + 4 * 15 = 79, a page more is 81; nobody has less than 1, and 8 demos are worth 100, not 120
INSERT INTO event (lead_id, kind) SELECT 'berta', unnest(ARRAY['mail', 'page', 'page', 'form', 'demo', 'demo', 'demo', 'demo']);
INSERT INTO event (lead_id, kind) SELECT 'carl', 'demo' FROM generate_series(1, 8);
INSERT INTO lead VALUES ('dora', '{}');
SELECT score('berta', 'scale'), score('carl', 'scale'), score('dora', 'scale');
SELECT lead_id, expires_at - issued_at AS valid_for FROM voucher ORDER BY 1;
INSERT INTO event (lead_id, kind) VALUES ('berta', 'page');
SELECT score('berta', 'scale');
SELECT lead_id, expires_at - issued_at AS valid_for FROM voucher ORDER BY 1;
SELECT unwatch('scale');

-- awareness, consideration, decision: a segment for each stage
SELECT publish('{"model": "funnel",
	"signals": [{"signal": "blog", "kind": "blog"}, {"signal": "pricing", "kind": "pricing"}, {"signal": "demo", "kind": "demo"}, {"signal": "anything"}],
	"stages": [{"stage": "awareness", "position": 1}, {"stage": "consideration", "position": 2, "within": "30 days"}, {"stage": "decision", "position": 3, "within": "7 days"}],
	"weights": [{"signal": "blog", "points": 1, "stage": "awareness"}, {"signal": "pricing", "points": 3, "stage": "consideration"}, {"signal": "demo", "points": 9, "stage": "decision"}],
	"rules": [{"rule": "decides", "all_of": [{"signal": "demo", "within": "7 days"}]}, {"rule": "considers", "all_of": [{"signal": "pricing", "within": "30 days"}]},
		{"rule": "asleep", "all_of": [{"signal": "anything", "measure": "days_since_last", "at_least": 60}]}],
	"segments": [{"segment": "asleep", "position": 1, "rules": ["asleep"]}, {"segment": "decision", "position": 2, "rules": ["decides"]},
		{"segment": "consideration", "position": 3, "rules": ["considers"]}, {"segment": "awareness", "position": 4}]}');
CALL rebuild();
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('eva', 'blog', '2026-01-01Z'), ('eva', 'pricing', '2026-01-10Z'), ('eva', 'demo', '2026-01-20Z');
SELECT h.at::date, a.stage, a.segment
FROM unnest(ARRAY['2026-01-02Z', '2026-01-10Z', '2026-01-20Z', '2026-01-26 23:00Z', '2026-01-27Z', '2026-02-08 23:00Z', '2026-02-09Z', '2026-03-20 23:00Z', '2026-03-21Z']::timestamptz[]) h (at),
	appraise(scorecard('funnel'), timeline_of('eva'), NULL, h.at) a;

-- ---------- absence ----------

SELECT publish('{"model": "absence", "signals": [{"signal": "visit", "kind": "visit"}, {"signal": "purchase", "kind": "purchase"}],
	"weights": [{"weight_id": 1, "signal": "visit", "measure": "days_since_last", "points": 0, "within": "30 days", "if_none": -20},
		{"weight_id": 2, "signal": "purchase", "points": 25, "if_none": 3, "max_points": 50}],
	"segments": [{"segment": "lapsed", "position": 1, "rules": ["no visit"]}, {"segment": "here", "position": 2}],
	"rules": [{"rule": "no visit", "none_of": [{"signal": "visit", "within": "30 days"}]}]}');
CALL rebuild();
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('fred', 'visit', '2026-03-01 12:30Z'), ('fred', 'purchase', '2026-03-05 08:00Z'), ('gina', 'blog', '2026-03-01Z');
INSERT INTO lead VALUES ('hugo', '{"country": "DE"}'), ('ida', NULL);
-- fred: never anything before March; 3 points for a visitor who has not bought; 25 from his purchase on; and 20 less
-- when his visit is 720 hours old, at 12:00 on 31 March
SELECT h.at, score('fred', 'absence', h.at), (appraise(scorecard('absence'), timeline_of('fred'), NULL, h.at)).segment
FROM unnest(ARRAY['2026-02-28Z', '2026-03-01 12:00Z', '2026-03-05 07:59Z', '2026-03-05 08:00Z', '2026-03-31 11:59Z', '2026-03-31 12:00Z']::timestamptz[]) h (at);
-- leads that have done nothing: with a row of lead, and those that nobody knows
SELECT l.lead_id, l.score, l.engagement, l.fit, l.segment FROM lead_score l WHERE l.model = 'absence' AND l.lead_id IN ('gina', 'hugo', 'ida') ORDER BY 1;
SELECT score('nobody', 'absence'), score(scorecard('absence'), NULL, NULL, now());
SELECT signal, measure, measured, points, uncapped_points, last_at, reason FROM explain('gina', 'absence', '2026-04-01Z');
SELECT weight_id IS NOT NULL AS numbered, signal, measured, points, uncapped_points, last_at, rule FROM contributions(scorecard('absence'), NULL, NULL, now());
SELECT features(scorecard('absence'), timeline_of('fred'), NULL, '2026-03-08 12:00Z'), features(scorecard('absence'), NULL, NULL, now());
-- points for none are limited like all others: here to 2
UPDATE weight SET max_points = 2 WHERE model = 'absence' AND signal = 'purchase';
SELECT signal, points, uncapped_points, reason FROM explain('hugo', 'absence') ORDER BY 1;

-- what is not known of a lead is no attribute
SELECT publish('{"model": "known", "signals": [{"signal": "no website", "subject": "profile", "condition": "!exists($.website)"}, {"signal": "no bot", "subject": "profile", "condition": "!($.bot == true)"},
		{"signal": "somebody", "subject": "profile"}, {"signal": "no plan", "kind": "visit", "condition": "!exists($.plan)"}],
	"weights": [{"signal": "no website", "points": 1}, {"signal": "no bot", "points": 10}, {"signal": "somebody", "points": 100}, {"signal": "no plan", "points": 1000}]}');
CALL rebuild();
CREATE SCHEMA own;
CREATE TABLE own.customer (id text PRIMARY KEY, website text, bot boolean);
SELECT track_profile('own.customer', 'id', '{website,bot}');
INSERT INTO own.customer VALUES ('k1', NULL, NULL), ('k2', 'a.example', false), ('k3', NULL, true);
INSERT INTO lead VALUES ('k4', NULL), ('k5', '{}'), ('k6', '{"website": "b.example", "bot": null}');
INSERT INTO event (lead_id, kind, properties) VALUES ('k7', 'visit', NULL), ('k7', 'visit', '{}'), ('k7', 'visit', '{"plan": "pro"}');
SELECT lead_id, score FROM lead_score WHERE model = 'known' AND lead_id LIKE 'k%' ORDER BY 1;
SELECT * FROM verify();

-- ---------- since ----------

-- points since the last purchase: whatever order the signals' numbers have
SELECT publish('{"model": "since", "signals": [{"signal": "purchase", "kind": "purchase"}, {"signal": "page", "kind": "page"}, {"signal": "blog", "kind": "blog"}],
	"weights": [{"signal": "page", "points": 1, "since_signal": "purchase"}, {"signal": "purchase", "points": 100, "since_signal": "page"},
		{"signal": "blog", "measure": "days_since_first", "points": 1, "since_signal": "purchase", "within": "10 days", "if_none": 0.5}]}');
CALL rebuild();
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('jan', 'page', '2026-05-01 09:00Z'), ('jan', 'page', '2026-05-02 09:00Z'), ('jan', 'blog', '2026-05-02 09:00Z'),
	('jan', 'purchase', '2026-05-03 09:30Z'), ('jan', 'page', '2026-05-03 09:59Z'), ('jan', 'page', '2026-05-03 10:00Z'), ('jan', 'blog', '2026-05-04 09:00Z'), ('jan', 'blog', '2026-05-06 09:00Z');
-- before the purchase: 2 pages, and a blog post 23 hours ago: 2 + 23/24. In its hour neither the page nor the purchase
-- came after the other: 0.5 for no post.
-- An hour later a page since; at 9:00 on 5 May a post a day ago, then its first is 3 days old, and at last older than
-- 10 days
SELECT h.at, s.measured, s.points, score('jan', 'since', h.at)
FROM unnest(ARRAY['2026-05-03 08:59Z', '2026-05-03 09:00Z', '2026-05-03 10:00Z', '2026-05-05 09:00Z', '2026-05-07 09:00Z', '2026-05-20 09:00Z']::timestamptz[]) h (at),
	LATERAL (SELECT string_agg(coalesce(c.measured::text, '-'), ' ' ORDER BY c.weight_id) AS measured, string_agg(c.points::text, ' ' ORDER BY c.weight_id) AS points
		FROM contributions(scorecard('since'), timeline_of('jan'), NULL, h.at) c) s;
-- a purchase that is known late, and one that is taken back
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('jan', 'purchase', '2026-05-05 00:10Z');
SELECT score('jan', 'since', '2026-05-05 09:00Z'), score('jan', 'since', '2026-05-07 09:00Z');
DELETE FROM event WHERE lead_id = 'jan' AND kind = 'purchase';
SELECT score('jan', 'since', '2026-05-05 09:00Z');
SELECT * FROM verify();

-- ---------- rules ----------

SELECT publish('{"model": "rules",
	"signals": [{"signal": "download", "kind": "download"}, {"signal": "pricing", "kind": "pricing"}, {"signal": "cart", "kind": "cart"}, {"signal": "purchase", "kind": "purchase"},
		{"signal": "mail", "kind": "mail"}, {"signal": "german", "subject": "profile", "match": {"country": "DE"}}, {"signal": "boss", "subject": "profile", "match": {"boss": true}}],
	"categories": [{"category": "intent", "max_points": 12}],
	"weights": [{"signal": "mail", "points": 1, "category": "intent"}],
	"rules": [{"rule": "only reads", "all_of": [{"signal": "download"}], "none_of": [{"signal": "pricing"}], "points": 5, "description": "Downloaded, but never opened pricing"},
		{"rule": "left a cart", "all_of": [{"signal": "cart", "within": "7 days"}], "none_of": [{"signal": "purchase", "within": "7 days"}], "points": 10, "category": "intent"},
		{"rule": "warm", "all_of": [{"signal": "mail", "at_least": 2}], "any_of": [{"signal": "cart"}, {"signal": "german"}], "points": 3},
		{"rule": "target", "any_of": [{"signal": "german"}, {"signal": "boss"}], "points": 7},
		{"rule": "spender", "all_of": [{"signal": "purchase", "measure": "value", "at_least": 100, "below": 1000}]}],
	"grades": [{"grade": "A", "min_fit": 7}, {"grade": "B"}],
	"segments": [{"segment": "spender", "position": 1, "rules": ["spender"]}, {"segment": "cart", "position": 2, "rules": ["left a cart", "target"], "min_score": 15}, {"segment": "rest", "position": 3}]}');
CALL rebuild();
INSERT INTO lead VALUES ('lea', '{"country": "DE"}'), ('max', '{"boss": true, "country": "AT"}');
INSERT INTO event (lead_id, kind, occurred_at, value) VALUES ('lea', 'download', '2026-07-01 10:00Z', NULL), ('lea', 'mail', '2026-07-02 10:00Z', NULL), ('lea', 'mail', '2026-07-03 10:00Z', NULL),
	('lea', 'cart', '2026-07-04 10:00Z', NULL), ('lea', 'pricing', '2026-07-05 10:00Z', NULL), ('lea', 'purchase', '2026-07-06 10:00Z', 60), ('lea', 'purchase', '2026-07-20 10:00Z', 40);
-- 1 July: 5 and 7 for Germany. 2: a mail, 13. 3: two mails, 2 + 3 + 5 + 7 = 17. 4: a cart, intent 2 + 10 = 12: 27. 5:
-- pricing, 5 less.
-- 6: bought, 10 less: 2 + 3 + 7 = 12, also when the cart is older than 7 days. 20: spent 100.
SELECT a.at, (a.a).score, (a.a).engagement, (a.a).fit, (a.a).grade, (a.a).segment
FROM (SELECT h AS at, appraise(scorecard('rules'), timeline_of('lea'), '{"country": "DE"}', h + interval '10 hours') AS a
	FROM unnest(ARRAY['2026-06-30Z', '2026-07-01Z', '2026-07-02Z', '2026-07-03Z', '2026-07-04Z', '2026-07-05Z', '2026-07-06Z', '2026-07-11Z', '2026-07-20Z']::timestamptz[]) h) a;
SELECT signal, rule, measured, points, category, reason FROM explain('lea', 'rules', '2026-07-04 10:00Z');
-- 3 mails more: intent is at most 12
INSERT INTO event (lead_id, kind, occurred_at) SELECT 'lea', 'mail', '2026-07-04 11:00Z' FROM generate_series(1, 3);
SELECT signal, rule, points, category, reason FROM explain('lea', 'rules', '2026-07-04 11:00Z');
SELECT lead_id, score, fit, grade, segment FROM lead_score WHERE model = 'rules' AND lead_id IN ('max', 'hugo', 'gina') ORDER BY 1;
SELECT features(scorecard('rules'), timeline_of('lea'), NULL, '2026-07-04 10:00Z');
SELECT reasons FROM (SELECT crm_reasons(scorecard('rules'), timeline_of('lea'), '{"country": "DE"}', '2026-07-04 10:00Z', wording()) AS reasons) r;

-- a model of rules alone is watched, and has offers; a band of a rule that includes 0 does not hold for none
SELECT publish('{"model": "only rules", "signals": [{"signal": "cart", "kind": "cart"}, {"signal": "purchase", "kind": "purchase"}],
	"rules": [{"rule": "cart", "all_of": [{"signal": "cart", "within": "7 days"}], "none_of": [{"signal": "purchase", "within": "7 days"}]}, {"rule": "few carts", "all_of": [{"signal": "cart", "below": 2}]}],
	"segments": [{"segment": "cart", "position": 1, "rules": ["cart"]}]}');
INSERT INTO offer (offer, model, segment, kind, discount, valid_for, starts_at, unlimited) VALUES ('come back', 'only rules', 'cart', 'percent', 5, '1 day', '2026-01-01Z', true);
CALL watch('only rules', notify => false);
INSERT INTO event (lead_id, kind) VALUES ('nina', 'cart'), ('otto', 'purchase'), ('otto', 'cart');
INSERT INTO event (lead_id, kind) VALUES ('nina', 'purchase');
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('paul', 'cart', now() - interval '8 days');
SELECT lead_id, from_segment, to_segment, score, cause FROM segment_change WHERE model = 'only rules' ORDER BY change_id;
SELECT lead_id FROM voucher WHERE offer = 'come back';
SELECT c.rule, c.measured FROM contributions(scorecard('only rules'), NULL, NULL, now()) c;
-- an edit of a rule is seen as one of the model
UPDATE rule SET all_of = '[{"signal": "cart", "within": "9 days"}]' WHERE model = 'only rules' AND rule = 'cart';
SELECT refresh_segments();
SELECT lead_id, to_segment, cause FROM segment_change WHERE model = 'only rules' AND lead_id = 'paul';
SELECT unwatch('only rules');

-- names follow: of a signal into rules, of a rule into segments; what is named stays
UPDATE signal SET signal = 'basket' WHERE signal = 'cart';
UPDATE rule SET rule = 'basket' WHERE model = 'only rules' AND rule = 'cart';
SELECT scorecard('only rules') -> 'rules' AS rules, scorecard('only rules') -> 'segments' AS segments;
UPDATE signal SET signal = 'cart' WHERE signal = 'basket';
SELECT refused(ARRAY['DELETE FROM rule WHERE rule = ''basket''', 'DELETE FROM signal WHERE signal = ''german''', 'UPDATE signal SET subject = ''event'' WHERE signal = ''boss''']);
UPDATE model SET model = 'rules 2' WHERE model = 'only rules';
SELECT scorecard('rules 2') -> 'segments' -> 0 -> 'rules' AS rules;
DELETE FROM model WHERE model = 'rules 2';
SELECT count(*) FROM rule WHERE model = 'rules 2';

-- a document comes back as it is; versions and differences know all of it
SELECT count(*) FROM diff(scorecard('rules'), (SELECT document FROM model_version WHERE model = 'rules' ORDER BY version DESC LIMIT 1));
SELECT scorecard('rules') = (SELECT scorecard(publish(scorecard('rules')))) AS same;
UPDATE rule SET points = 6 WHERE model = 'rules' AND rule = 'only reads';
UPDATE weight SET if_none = 2, since_signal = 'purchase' WHERE model = 'rules' AND signal = 'mail';
UPDATE segment SET above_score = 40, rules = NULL WHERE model = 'rules' AND segment = 'cart';
UPDATE model SET time_zone = 'Europe/Berlin' WHERE model = 'rules';
DELETE FROM rule WHERE model = 'rules' AND rule = 'left a cart';
SELECT part, name, change, member, value_before, value_after FROM diff((SELECT document FROM model_version WHERE model = 'rules' ORDER BY version LIMIT 1), scorecard('rules'));
SELECT part, segment_before, segment_after, leads FROM preview((SELECT document FROM model_version WHERE model = 'rules' ORDER BY version LIMIT 1), 'rules', '2026-07-04 11:00Z') WHERE part = 'move' AND leads > 0;
SELECT restore_version('rules', 1);
SELECT score('lea', 'rules', '2026-07-04 10:00Z'), (SELECT time_zone FROM model WHERE model = 'rules');

-- ---------- all in one model: explained points add up, at any hour ----------

SELECT publish('{"model": "all", "floor": -6, "ceiling": 12, "time_zone": "America/St_Johns",
	"signals": [{"signal": "visit", "kind": "visit"}, {"signal": "page", "kind": "page"}, {"signal": "cart", "kind": "cart"}, {"signal": "purchase", "kind": "purchase"},
		{"signal": "german", "subject": "profile", "match": {"country": "DE"}}, {"signal": "no website", "subject": "profile", "condition": "!exists($.website)"}],
	"categories": [{"category": "c", "max_points": 9, "min_points": -4}, {"category": "d", "max_points": 2.5}],
	"stages": [{"stage": "s", "position": 1, "within": "5 days"}],
	"weights": [{"signal": "visit", "points": 0.7, "half_life": "3 days", "category": "c"}, {"signal": "visit", "measure": "active_days", "points": 1.1, "within": "9 days", "if_none": -7},
		{"signal": "page", "points": 1, "max_per_day": 2, "since_signal": "purchase", "category": "c", "stage": "s"}, {"signal": "page", "points": 3, "curve": "log", "since_signal": "cart", "if_none": 2, "max_points": 5},
		{"signal": "purchase", "measure": "value", "points": 0.1, "fades_over": "20 days", "since_signal": "visit"}, {"signal": "no website", "points": 2, "category": "d"}],
	"rules": [{"rule": "r", "all_of": [{"signal": "cart", "within": "4 days"}], "none_of": [{"signal": "purchase", "within": "4 days"}], "points": 6.5, "category": "c"},
		{"rule": "f", "any_of": [{"signal": "german"}], "none_of": [{"signal": "no website"}], "points": 4.25, "category": "d"}, {"rule": "g", "none_of": [{"signal": "page", "within": "2 days"}], "points": -3}],
	"segments": [{"segment": "up", "position": 1, "above_score": 5, "rules": ["r"]}, {"segment": "down", "position": 2}]}');
CALL rebuild();
SELECT setseed(0.25);
INSERT INTO event (lead_id, kind, occurred_at, value)
SELECT 'r' || floor(random() * 12), (ARRAY['visit', 'page', 'page', 'cart', 'purchase'])[1 + floor(random() * 5)::int], '2026-03-01Z'::timestamptz + random() * interval '30 days', round((random() * 100)::numeric, 2)
FROM generate_series(1, 400);
INSERT INTO lead SELECT 'r' || i, CASE i % 3 WHEN 0 THEN '{"country": "DE", "website": "x"}'::jsonb WHEN 1 THEN '{"country": "DE", "website": null}' END FROM generate_series(0, 13) i;
SELECT count(*) AS explained, count(*) FILTER (WHERE abs(e.points - e.score) > 1e-9) AS wrong, count(DISTINCT e.score) > 100 AS differ, min(e.score), max(e.score), max(e.lines) AS most_lines
FROM (
	SELECT l.lead_id, h.at, score(l.lead_id, 'all', h.at) AS score, (SELECT coalesce(sum(x.points), 0) FROM explain(l.lead_id, 'all', h.at) x) AS points, (SELECT count(*) FROM explain(l.lead_id, 'all', h.at) x) AS lines
	FROM (SELECT 'r' || i AS lead_id FROM generate_series(0, 13) i) l, generate_series('2026-02-27Z'::timestamptz, '2026-04-05Z', '37 hours') h (at)
) e;
-- what the view, the functions and the snapshot say is the same
SELECT count(*), count(*) FILTER (WHERE l.score <> score(l.lead_id, 'all', now()) OR l.score <> (SELECT t.score FROM top(1000, 'all', now()) t WHERE t.lead_id = l.lead_id)) AS wrong FROM lead_score l WHERE l.model = 'all';

-- ---------- learning ----------

-- Of 100 leads, 60 have visited in August. Of these 6 buy in September, and 20 of the other 40. So not to have visited
-- multiplies the odds by (20 / 20) / (6 / 54) = 9:
-- the coefficient is ln 9, and at 20 points for twice the odds it is worth 20 * ln 9 / ln 2 = 63.398500 points; the
-- intercept is ln (6 / 54) = -2.197225.
CREATE FUNCTION learning(weights jsonb, rules jsonb) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('model', 'l', 'signals', '[{"signal": "buy"}, {"signal": "look"}]'::jsonb, 'weights', weights, 'rules', rules) $$;
INSERT INTO signal (signal, kind) VALUES ('look', 'look'), ('buy', 'buy');
INSERT INTO event (lead_id, kind, occurred_at) SELECT 'learn' || i, k, at
FROM generate_series(1, 100) i, LATERAL (VALUES ('look', '2024-08-20Z'::timestamptz, i <= 60), ('other', '2024-08-20Z', true), ('buy', '2024-09-02Z', i <= 6 OR i BETWEEN 61 AND 80)) e (k, at, has) WHERE has;
INSERT INTO lead SELECT 'learn' || i FROM generate_series(1, 100) i;
CREATE FUNCTION fitted(document jsonb, keep_signs boolean DEFAULT false, round_to float8 DEFAULT NULL) RETURNS jsonb LANGUAGE sql AS $$
	SELECT fit(with_signal_ids(document), 'buy', '7 days', '{2024-09-01Z}', l2 => 0, keep_signs => fitted.keep_signs, round_to => fitted.round_to) $$;
SELECT f -> 'report' -> 'leads' AS leads, round((f -> 'intercept')::numeric, 6) AS intercept, round((f #> '{report,rules,0,coefficient}')::numeric, 6) AS coefficient, round((f #> '{rules,0,points}')::numeric, 6) AS points,
	f #> '{report,rules,0,rule}' AS rule, f #> '{rules,1}' AS other, jsonb_array_length(f #> '{report,rules}') AS fitted
FROM fitted(learning('[]', '[{"rule": "new", "none_of": [{"signal": "look"}], "points": 5}, {"rule": "for a segment", "all_of": [{"signal": "look"}]}]')) f;
-- the same of a weight that has points for absence alone; rounded; and with its signs kept, where they are wrong
SELECT round((f -> 'intercept')::numeric, 6) AS intercept, f #> '{weights,0,points}' AS points, round((f #> '{weights,0,if_none}')::numeric, 6) AS if_none, f #> '{report,weights,0,if_none_before}' AS before,
	round((f #> '{report,weights,0,coefficient}')::numeric, 6) AS coefficient
FROM fitted(learning('[{"signal": "look", "points": 0, "if_none": 2}]', '[]')) f;
SELECT f #> '{weights,0,if_none}' AS if_none, f #> '{rules,0,points}' AS points FROM fitted(learning('[{"signal": "look", "points": 0, "if_none": 2}]', '[{"rule": "same", "all_of": [{"signal": "look", "within": "1 day"}], "points": 1}]'), round_to => 5) f;
SELECT f #> '{weights,0,if_none}' AS if_none, f #> '{report,weights,0,dropped}' AS dropped FROM fitted(learning('[{"signal": "look", "points": 0, "if_none": -2}]', '[]'), keep_signs => true) f;
SELECT f #> '{rules,0,points}' AS points, f #> '{report,rules,0,dropped}' AS dropped FROM fitted(learning('[]', '[{"rule": "new", "none_of": [{"signal": "look"}], "points": -5}]'), keep_signs => true) f;
-- points and if_none of one weight keep their ratio: one look is worth as much more than none as the fit says
SELECT round((f #> '{weights,0,points}')::numeric / (f #> '{weights,0,if_none}')::numeric, 6) AS ratio, round(((f #> '{weights,0,if_none}')::numeric - (f #> '{weights,0,points}')::numeric), 6) AS difference
FROM fitted(learning('[{"signal": "look", "points": 1, "if_none": 4}]', '[]')) f;
SELECT signal, measure, rule, leads_with, rate_with, points, verdict
FROM signal_report(with_signal_ids(learning('[{"signal": "look", "points": 1}]', '[{"rule": "new", "none_of": [{"signal": "look"}], "points": 5}, {"rule": "for a segment", "all_of": [{"signal": "look"}]}]')), 'buy', '7 days', '{2024-09-01Z}');
SELECT auc FROM evaluate(with_signal_ids(learning('[]', '[{"rule": "new", "none_of": [{"signal": "look"}], "points": 5}]')), 'buy', '7 days', '{2024-09-01Z}');
SELECT t.features, count(*) FROM training_set(with_signal_ids(learning('[{"signal": "look", "points": 1}]', '[{"rule": "new", "none_of": [{"signal": "look"}]}]')), 'buy', '7 days', '{2024-09-01Z}') t GROUP BY 1 ORDER BY 1;
SELECT publish(learning('[{"signal": "look", "points": 1}]', '[{"rule": "new", "none_of": [{"signal": "look"}], "points": 5}]') || '{"signals": [{"signal": "look", "kind": "look"}]}');
SELECT signal, rule, leads_to, measured_to, mean_from, mean_to FROM stability_report('l', '2024-08-25Z', '2024-09-01Z');

-- ---------- what makes no sense is refused, in rows as in documents ----------

\pset format unaligned
\pset tuples_only on
SELECT refused(format('SELECT publish(%L)', '{"model": "x", "signals": [{"signal": "a"}, {"signal": "b"}, {"signal": "p", "subject": "profile"}], "stages": [], ' || d || '}'))
FROM unnest(ARRAY[
	'"time_zone": "Europe/Berlim"', '"time_zone": "EST5XYZ"', '"time_zone": 1',
	'"weights": [{"signal": "a", "points": 1, "since_signal": "c"}]', '"weights": [{"signal": "a", "points": 1, "since_signal": "a"}]', '"weights": [{"signal": "a", "points": 1, "since_signal": "p"}]',
	'"weights": [{"signal": "p", "points": 1, "since_signal": "a"}]', '"weights": [{"signal": "p", "points": 1, "if_none": 1}]', '"weights": [{"signal": "a", "points": 1, "if_none": "1"}]',
	'"rules": [{"rule": "r"}]', '"rules": [{"rule": "r", "all_of": []}]', '"rules": [{"rule": "r", "all_of": [{"signal": "c"}]}]', '"rules": [{"rule": "r", "any_of": [{"signal": "a"}, {"signal": "p", "measure": "count"}]}]',
	'"rules": [{"rule": "r", "none_of": [{"signal": "a", "half_life": "1 day"}]}]', '"rules": [{"rule": "r", "all_of": {"signal": "a"}}]', '"rules": [{"rule": "r", "all_of": [{"signal": "a", "at_least": 3, "below": 3}]}]',
	'"rules": [{"rule": "r", "all_of": [{"signal": "a", "within": "1 minute"}]}]', '"rules": [{"rule": "r", "all_of": [{"signal": "a"}], "category": "c"}]', '"rules": [{"rule": "r", "all_of": [{"signal": "a"}], "stage": "s"}]',
	'"rules": [{"rule": "r", "all_of": [{"signal": "a"}]}, {"rule": "r", "all_of": [{"signal": "b"}]}]', '"segments": [{"segment": "s", "position": 1, "rules": ["r"]}]', '"segments": [{"segment": "s", "position": 1, "rules": [1]}]',
	'"segments": [{"segment": "s", "position": 1, "above_score": "x"}]']) d;
-- 64 rules can be named by segments
SELECT refused(format('SELECT publish(%L)', (SELECT jsonb_build_object('model', 'x', 'signals', '[{"signal": "a"}]'::jsonb, 'rules', jsonb_agg(jsonb_build_object('rule', 'r' || i, 'all_of', '[{"signal": "a"}]'::jsonb)),
	'segments', jsonb_build_array(jsonb_build_object('segment', 's', 'position', 1, 'rules', jsonb_agg('r' || i)))) FROM generate_series(1, 65) i)));
SELECT refused(ARRAY[
	'UPDATE model SET time_zone = ''Europe/Berlim'' WHERE model = ''all''', 'UPDATE weight SET since_signal = ''c'' WHERE model = ''all'' AND signal = ''visit''',
	'UPDATE weight SET since_signal = signal WHERE model = ''all'' AND signal = ''visit''', 'UPDATE weight SET since_signal = ''german'' WHERE model = ''all'' AND signal = ''visit''',
	'UPDATE weight SET since_signal = ''visit'' WHERE model = ''all'' AND signal = ''no website''', 'UPDATE weight SET if_none = 1 WHERE model = ''all'' AND signal = ''no website''',
	'UPDATE weight SET if_none = ''NaN'' WHERE model = ''all'' AND signal = ''visit''',
	'INSERT INTO rule (model, rule) VALUES (''all'', ''x'')', 'INSERT INTO rule (model, rule, all_of) VALUES (''all'', ''x'', ''[{"signal": "nothing"}]'')',
	'INSERT INTO rule (model, rule, all_of) VALUES (''none'', ''x'', ''[{"signal": "visit"}]'')', 'INSERT INTO rule (model, rule, any_of) VALUES (''all'', ''x'', ''[{"signal": "german", "measure": "value"}]'')',
	'INSERT INTO rule (model, rule, all_of, category) VALUES (''all'', ''x'', ''[{"signal": "visit"}]'', ''nothing'')', 'UPDATE rule SET points = ''Infinity'' WHERE rule = ''r''',
	'INSERT INTO rule (model, rule, all_of) VALUES (''all'', '''', ''[{"signal": "visit"}]'')', 'UPDATE segment SET rules = ''{r,nothing}'' WHERE model = ''all''', 'UPDATE segment SET above_score = ''NaN'' WHERE model = ''all''']);
\pset tuples_only off
\pset format aligned
-- a band that includes 0 says so
SET client_min_messages = notice;
SELECT publish('{"model": "bands", "signals": [{"signal": "visit", "kind": "visit"}, {"signal": "page", "kind": "page"}],
	"weights": [{"signal": "visit", "points": 1, "below": 3}, {"signal": "visit", "points": 2, "at_least": 3}, {"signal": "page", "points": 1, "at_least": 0, "below": 5}, {"signal": "page", "measure": "days_since_last", "points": 1, "below": 7},
		{"signal": "page", "measure": "active_days", "points": 1, "below": 2, "if_none": 1}],
	"rules": [{"rule": "r", "all_of": [{"signal": "visit", "below": 3}]}]}');
UPDATE weight SET at_least = 1 WHERE model = 'bands' AND signal = 'page' AND measure = 'count';
UPDATE weight SET at_least = 0 WHERE model = 'bands' AND signal = 'page' AND measure = 'count';
