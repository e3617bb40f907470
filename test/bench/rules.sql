-- The model of model.sql with all that a model can ask for beyond weights: local days, absence, "since", rules with
-- points and for a segment, a limit that must be exceeded.
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
