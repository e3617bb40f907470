-- What leadscore must say of the shop, in plain SQL: joins of the shop's tables as they are now.

CREATE SCHEMA oracle;

CREATE VIEW oracle.category AS
SELECT v.id AS variant, f.code AS category
FROM product_variant v
JOIN product_facet_values_facet_value p ON p."productId" = v."productId"
JOIN facet_value f ON f.id = p."facetValueId";

-- Columns that come with a migration. (Functions, because a view would keep the shop from dropping its column again.)
CREATE FUNCTION oracle.wrapped_line() RETURNS SETOF order_line STABLE LANGUAGE sql
AS 'SELECT * FROM order_line WHERE false';

-- what counts, row by row
CREATE VIEW oracle.event (lead_id, signal, occurred_at, value) AS
WITH placed AS (
  SELECT *, coalesce('customer:' || "customerId", 'order:' || id) AS lead,
    ("subTotalWithTax" + "shippingWithTax") / 100.0 AS total, "orderPlacedAt" AT TIME ZONE 'Europe/Berlin' AS placed_at
  FROM "order"
)
SELECT lead, signal, placed_at, total
FROM placed, (VALUES ('order'), ('order in pounds')) s (signal)
WHERE state <> 'Cancelled' AND placed_at IS NOT NULL AND (signal = 'order' OR "currencyCode" = 'GBP')
UNION ALL
SELECT lead, 'cancelled order', "updatedAt" AT TIME ZONE 'UTC', NULL FROM placed WHERE state = 'Cancelled'
UNION ALL
SELECT p.lead, CASE WHEN l."orderPlacedQuantity" = 0 THEN 'cart' ELSE c.category END, l."createdAt" AT TIME ZONE 'UTC',
  l.quantity * l."listPrice" / 100.0
FROM placed p JOIN order_line l ON l."orderId" = p.id JOIN oracle.category c ON c.variant = l."productVariantId"
WHERE l.quantity > 0
UNION ALL
SELECT p.lead, 'refund', r."createdAt" AT TIME ZONE 'UTC', r.total / 100.0
FROM placed p JOIN payment y ON y."orderId" = p.id JOIN refund r ON r."paymentId" = y.id
WHERE r.state = 'Settled'
UNION ALL
SELECT p.lead, 'wrapping', l."createdAt" AT TIME ZONE 'UTC', NULL
FROM placed p JOIN oracle.wrapped_line() l ON l."orderId" = p.id;

CREATE VIEW oracle.entry AS
SELECT lead_id, signal, date_trunc('hour', occurred_at, 'UTC') AS hour,
  count(*) AS occurrences, coalesce(sum(value), 0) AS value
FROM oracle.event GROUP BY 1, 2, 3;

CREATE VIEW oracle.counted_entry AS
SELECT t.lead_id, s.signal, e.hour, e.occurrences, coalesce(e.value, 0) AS value
FROM leadscore.current_timeline t, leadscore.timeline_entries(t.timeline) e JOIN leadscore.signal s USING (signal_id);

-- by the points of model.sql
CREATE VIEW oracle.score AS
SELECT lead_id, sum(CASE signal
    WHEN 'order' THEN 10 * occurrences +
      0.1 * value * power(2, -extract(epoch FROM date_trunc('hour', now(), 'UTC') - hour) / (30 * 86400))
    WHEN 'order in pounds' THEN occurrences
    WHEN 'books' THEN 3 * occurrences
    WHEN 'home' THEN 0.05 * value
    WHEN 'toys' THEN 2 * occurrences
    WHEN 'cart' THEN occurrences
    WHEN 'cancelled order' THEN -5 * occurrences
    WHEN 'wrapping' THEN occurrences
    WHEN 'refund' THEN -0.1 * value
  END)::float8 AS score
FROM oracle.entry GROUP BY lead_id;

CREATE FUNCTION oracle.profile() RETURNS TABLE (lead_id text, profile jsonb) STABLE LANGUAGE sql
AS $$ SELECT 'customer:' || id, jsonb_build_object('title', title) FROM customer WHERE "deletedAt" IS NULL $$;

-- none
CREATE VIEW oracle.difference AS
SELECT 'verify()' AS says, lead_id, stored::text AS is, expected::text FROM leadscore.verify()
UNION ALL
SELECT 'timelines', lead_id, to_jsonb(i)::text, to_jsonb(e)::text
FROM oracle.counted_entry i FULL JOIN oracle.entry e USING (lead_id, signal, hour)
WHERE (i.occurrences, i.value) IS DISTINCT FROM (e.occurrences, e.value)
UNION ALL
SELECT 'scores', lead_id, leadscore.score(lead_id, 'shop')::text, score::text
FROM oracle.score WHERE NOT abs(leadscore.score(lead_id, 'shop') - score) <= 1e-6
UNION ALL
SELECT 'profiles', lead_id, i.profile::text, e.profile::text
FROM leadscore.current_profile i FULL JOIN oracle.profile() e USING (lead_id)
WHERE i.profile IS DISTINCT FROM e.profile;
