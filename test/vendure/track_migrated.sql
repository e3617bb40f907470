-- What the shop's first migration has added, tracked, and told by plain SQL.

SELECT leadscore.track('order_line', lead_id => '''order:'' || "orderId"', kind => 'wrapping',
  occurred_at => '"createdAt" AT TIME ZONE ''UTC''', filter => '"customFieldsWrapping" IS NOT NULL');
SELECT leadscore.untrack('customer');
SELECT leadscore.track_profile('customer', lead_id => '''customer:'' || id',
  properties => '{title,"newsletter => \"customFieldsNewsletter\""}', filter => '"deletedAt" IS NULL');

CREATE OR REPLACE FUNCTION oracle.wrapped_line() RETURNS SETOF order_line STABLE LANGUAGE sql
AS 'SELECT * FROM order_line WHERE "customFieldsWrapping" IS NOT NULL';

CREATE OR REPLACE FUNCTION oracle.profile() RETURNS TABLE (lead_id text, profile jsonb) STABLE LANGUAGE sql
AS $$
  SELECT 'customer:' || id, jsonb_build_object('title', title, 'newsletter', "customFieldsNewsletter")
  FROM customer WHERE "deletedAt" IS NULL
$$;
