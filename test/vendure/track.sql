-- The shop, tracked by a DBA. Lines count for their order and refunds for their payment; aliases say whose these are.

-- where the events of an order or a payment that changes hands are looked up
CREATE INDEX ON "order" (('order:' || id));
CREATE INDEX ON order_line (('order:' || "orderId"));
CREATE INDEX ON refund (('payment:' || "paymentId"));

SELECT leadscore.track_alias('"order"', alias => '''order:'' || id', lead_id => '''customer:'' || "customerId"');
SELECT leadscore.track_alias('payment', alias => '''payment:'' || id', lead_id => '''order:'' || "orderId"');

SELECT leadscore.track('"order"', lead_id => '''order:'' || id', kind => 'order',
  occurred_at => '"orderPlacedAt" AT TIME ZONE ''Europe/Berlin''',      -- written by the shop, in its local time
  value => '("subTotalWithTax" + "shippingWithTax") / 100.0', properties => '{"currency => \"currencyCode\""}',
  filter => 'state <> ''Cancelled'' AND "orderPlacedAt" IS NOT NULL');
SELECT leadscore.track('"order"', lead_id => '''order:'' || id', kind => 'cancelled order',
  occurred_at => '"updatedAt" AT TIME ZONE ''UTC''',                    -- by now()
  filter => 'state = ''Cancelled''');
SELECT leadscore.track('order_line', lead_id => '''order:'' || "orderId"', kind => 'line',
  occurred_at => '"createdAt" AT TIME ZONE ''UTC''', value => 'quantity * "listPrice" / 100.0',
  properties => '{"variant => \"productVariantId\""}', filter => '"orderPlacedQuantity" > 0 AND quantity > 0');
SELECT leadscore.track('order_line', lead_id => '''order:'' || "orderId"', kind => 'line in cart',
  occurred_at => '"createdAt" AT TIME ZONE ''UTC''', value => 'quantity * "listPrice" / 100.0',
  filter => '"orderPlacedQuantity" = 0 AND quantity > 0');
SELECT leadscore.track('refund', lead_id => '''payment:'' || "paymentId"', kind => 'refund',
  occurred_at => '"createdAt" AT TIME ZONE ''UTC''', value => 'total / 100.0', filter => 'state = ''Settled''');
SELECT leadscore.track_profile('customer', lead_id => '''customer:'' || id', properties => '{title}',
  filter => '"deletedAt" IS NULL');
