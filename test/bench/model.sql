-- The model of workload W: 30 weights, 10 of them on signals that look into properties.

SELECT leadscore.publish('{
	"model": "bench", "floor": 0,
	"signals": [
		{"signal": "page_view", "kind": "page_view"},
		{"signal": "product_view", "kind": "product_view"},
		{"signal": "email_open", "kind": "email_open"},
		{"signal": "search", "kind": "search"},
		{"signal": "add_to_cart", "kind": "add_to_cart"},
		{"signal": "email_click", "kind": "email_click"},
		{"signal": "video_play", "kind": "video_play"},
		{"signal": "form_submit", "kind": "form_submit"},
		{"signal": "download", "kind": "download"},
		{"signal": "login", "kind": "login"},
		{"signal": "support_ticket", "kind": "support_ticket"},
		{"signal": "purchase", "kind": "purchase"},
		{"signal": "pricing_view", "kind": "page_view", "match": {"url": "/pricing"}},
		{"signal": "demo_view", "kind": "page_view", "match": {"url": "/demo"}},
		{"signal": "careers_view", "kind": "page_view", "match": {"url": "/careers"}},
		{"signal": "docs_view", "kind": "page_view", "condition": "$.url starts with \"/docs\""},
		{"signal": "mobile_view", "kind": "page_view", "match": {"device": "mobile"}},
		{"signal": "shoes_view", "kind": "product_view", "match": {"category": "shoes"}},
		{"signal": "coats_search", "kind": "search", "match": {"category": "coats"}},
		{"signal": "bags_cart", "kind": "add_to_cart", "match": {"category": "bags"}},
		{"signal": "desktop_cart", "kind": "add_to_cart", "match": {"device": "desktop"}},
		{"signal": "desktop_purchase", "kind": "purchase", "match": {"device": "desktop"}}],
	"weights": [
		{"signal": "page_view", "points": 0.5, "half_life": "3 days", "max_points": 15, "category": "web"},
		{"signal": "page_view", "points": 0.1, "half_life": "30 days", "max_points": 10, "category": "web"},
		{"signal": "page_view", "points": 5, "within": "30 days", "at_least": 50, "category": "web"},
		{"signal": "product_view", "points": 1, "half_life": "7 days", "max_points": 20, "category": "web"},
		{"signal": "product_view", "points": 3, "within": "14 days", "at_least": 10, "below": 30, "category": "web"},
		{"signal": "product_view", "points": 6, "within": "14 days", "at_least": 30, "category": "web"},
		{"signal": "email_open", "points": 0.5, "half_life": "14 days", "max_points": 10, "category": "email"},
		{"signal": "email_click", "points": 2, "half_life": "14 days", "max_points": 20, "category": "email"},
		{"signal": "search", "points": 1, "half_life": "7 days", "max_points": 10},
		{"signal": "add_to_cart", "points": 4, "half_life": "5 days", "max_points": 40},
		{"signal": "add_to_cart", "measure": "value", "points": 0.02, "half_life": "10 days", "max_points": 20},
		{"signal": "video_play", "points": 1.5, "half_life": "21 days"},
		{"signal": "video_play", "measure": "value", "points": 0.01, "half_life": "21 days", "max_points": 10},
		{"signal": "form_submit", "points": 8, "half_life": "30 days", "max_points": 40},
		{"signal": "download", "points": 5, "half_life": "45 days", "max_points": 25},
		{"signal": "login", "points": 1, "half_life": "7 days"},
		{"signal": "support_ticket", "points": -3, "half_life": "30 days", "min_points": -15},
		{"signal": "purchase", "points": 20, "half_life": "60 days"},
		{"signal": "purchase", "measure": "value", "points": 0.05, "half_life": "60 days", "max_points": 100},
		{"signal": "purchase", "measure": "days_since_last", "points": 10, "below": 14},
		{"signal": "pricing_view", "points": 5, "half_life": "10 days", "max_points": 30, "category": "web"},
		{"signal": "demo_view", "points": 6, "half_life": "14 days", "max_points": 30, "category": "web"},
		{"signal": "careers_view", "points": -5, "half_life": "60 days", "min_points": -20},
		{"signal": "docs_view", "points": 0.5, "half_life": "20 days", "max_points": 10, "category": "web"},
		{"signal": "mobile_view", "points": 0.2, "half_life": "3 days", "max_points": 5, "category": "web"},
		{"signal": "shoes_view", "points": 0.5, "half_life": "14 days", "category": "web"},
		{"signal": "coats_search", "points": 1, "half_life": "7 days", "max_points": 8},
		{"signal": "bags_cart", "points": 2, "half_life": "14 days"},
		{"signal": "desktop_cart", "points": 1, "half_life": "7 days", "max_points": 10},
		{"signal": "desktop_purchase", "points": 5, "half_life": "60 days"}],
	"categories": [{"category": "web", "max_points": 80}, {"category": "email", "max_points": 25}],
	"segments": [
		{"segment": "high", "position": 1, "min_score": 100},
		{"segment": "medium", "position": 2, "min_score": 25},
		{"segment": "low", "position": 3}]
}');

-- The same with all that a model can ask for beyond weights: local days, absence, "since", rules with points and for a
-- segment, a limit that must be exceeded.
SELECT leadscore.publish(d || '{
	"model": "bench_rules", "time_zone": "America/New_York",
	"rules": [
		{"rule": "left a cart", "all_of": [{"signal": "add_to_cart", "within": "7 days"}], "none_of": [{"signal": "purchase", "within": "7 days"}], "points": 10, "category": "web"},
		{"rule": "reads, never asks", "all_of": [{"signal": "download"}], "none_of": [{"signal": "pricing_view"}, {"signal": "demo_view"}], "points": 5},
		{"rule": "asks often", "any_of": [{"signal": "support_ticket", "at_least": 3}, {"signal": "form_submit", "within": "30 days", "at_least": 2}], "points": -4},
		{"rule": "asleep", "none_of": [{"signal": "page_view", "within": "30 days"}]}],
	"segments": [
		{"segment": "asleep", "position": 1, "rules": ["asleep"]},
		{"segment": "high", "position": 2, "above_score": 100},
		{"segment": "medium", "position": 3, "min_score": 25},
		{"segment": "low", "position": 4}]}'
	|| jsonb_build_object('weights', (SELECT jsonb_agg(w || CASE
			WHEN w ->> 'signal' IN ('login', 'email_open') THEN '{"if_none": -2}'
			WHEN w ->> 'signal' = 'page_view' AND w ? 'half_life' THEN '{"max_per_day": 20}'
			WHEN w ->> 'signal' IN ('product_view', 'search') THEN '{"since_signal": "purchase"}'
			ELSE '{}' END::jsonb ORDER BY n)
		FROM jsonb_array_elements(d -> 'weights') WITH ORDINALITY AS e (w, n))
		|| '[{"signal": "page_view", "measure": "active_days", "points": 0.5, "within": "30 days"}]'))
FROM leadscore.scorecard('bench') d;
