-- The model, by a DBA: signals of categories know the variants that the shop has in each.

SELECT leadscore.publish(jsonb_build_object('model', 'shop',
  'signals', jsonb_build_array(
    '{"signal": "order", "kind": "order"}'::jsonb,
    '{"signal": "order in pounds", "kind": "order", "match": {"currency": "GBP"}}'::jsonb,
    '{"signal": "cart", "kind": "line in cart"}'::jsonb,
    '{"signal": "cancelled order", "kind": "cancelled order"}'::jsonb,
    '{"signal": "refund", "kind": "refund"}'::jsonb,
    '{"signal": "wrapping", "kind": "wrapping"}'::jsonb) ||
    (SELECT jsonb_agg(jsonb_build_object('signal', category, 'kind', 'line', 'condition', condition))
     FROM (
       SELECT category, string_agg('$.variant == ' || variant, ' || ' ORDER BY variant) AS condition
       FROM oracle.category GROUP BY category
     ) c),
  'weights', '[
    {"signal": "order", "measure": "count", "points": 10},
    {"signal": "order", "measure": "value", "points": 0.1, "half_life": "30 days"},
    {"signal": "order in pounds", "measure": "count", "points": 1},
    {"signal": "books", "measure": "count", "points": 3},
    {"signal": "home", "measure": "value", "points": 0.05},
    {"signal": "toys", "measure": "count", "points": 2},
    {"signal": "cart", "measure": "count", "points": 1},
    {"signal": "cancelled order", "measure": "count", "points": -5},
    {"signal": "wrapping", "measure": "count", "points": 1},
    {"signal": "refund", "measure": "value", "points": -0.1}]'::jsonb));
