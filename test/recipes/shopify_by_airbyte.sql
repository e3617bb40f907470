-- Shopify as Airbyte brings it, typed and deduplicated. Anna is a customer, Ben has given an address alone.

CREATE SCHEMA airbyte;
CREATE TABLE airbyte.customers (_airbyte_raw_id varchar NOT NULL, _airbyte_extracted_at timestamptz NOT NULL, _airbyte_meta jsonb NOT NULL DEFAULT '{}', id bigint, email varchar, state varchar, verified_email boolean, email_marketing_consent jsonb, created_at timestamptz);
CREATE TABLE airbyte.orders (_airbyte_raw_id varchar NOT NULL, _airbyte_extracted_at timestamptz NOT NULL, _airbyte_meta jsonb NOT NULL DEFAULT '{}', id bigint, email varchar, customer jsonb, processed_at timestamptz, created_at timestamptz, cancelled_at timestamptz,
  currency varchar, total_price numeric(38, 9), financial_status varchar, test boolean, line_items jsonb);
CREATE TABLE airbyte.products (_airbyte_raw_id varchar NOT NULL, _airbyte_extracted_at timestamptz NOT NULL, id bigint, title varchar, product_type varchar);
CREATE TABLE airbyte.order_refunds (_airbyte_raw_id varchar NOT NULL, _airbyte_extracted_at timestamptz NOT NULL, id bigint, order_id bigint, created_at timestamptz, transactions jsonb);
CREATE TABLE airbyte.abandoned_checkouts (_airbyte_raw_id varchar NOT NULL, _airbyte_extracted_at timestamptz NOT NULL, id bigint, email varchar, customer jsonb, created_at timestamptz, completed_at timestamptz, total_price numeric(38, 9));

INSERT INTO airbyte.customers (_airbyte_raw_id, _airbyte_extracted_at, id, email, state, verified_email, email_marketing_consent) VALUES
  ('c1', '2026-01-10', 1, 'anna@example.org', 'enabled', true, '{"state": "subscribed", "consent_updated_at": "2026-01-02T10:00:00Z"}');
INSERT INTO airbyte.orders (_airbyte_raw_id, _airbyte_extracted_at, id, email, customer, processed_at, cancelled_at, currency, total_price, financial_status, test, line_items) VALUES
  ('o1', '2026-01-10', 1, 'anna@example.org', '{"id": 1, "email": "anna@example.org"}', '2026-01-05', NULL, 'EUR', 100, 'paid', false,
    '[{"id": 11, "product_id": 1, "price": "30.00", "quantity": 2}, {"id": 12, "product_id": 2, "price": "40.00", "quantity": 1}]'),
  ('o2', '2026-01-10', 2, 'ben@example.org', NULL, '2026-01-05', NULL, 'EUR', 50, 'paid', false, '[{"id": 13, "product_id": 1, "price": "50.00", "quantity": 1}]'),
  ('o3', '2026-01-10', 3, 'anna@example.org', '{"id": 1}', '2026-01-05', '2026-01-06', 'EUR', 30, 'voided', false, '[]');
INSERT INTO airbyte.products VALUES ('p1', '2026-01-10', 1, 'boots', 'shoes'), ('p2', '2026-01-10', 2, 'cap', 'hats');
INSERT INTO airbyte.order_refunds VALUES ('r1', '2026-01-10', 1, 1, '2026-01-07', '[{"kind": "refund", "status": "success", "amount": "6.00"}, {"kind": "refund", "status": "success", "amount": "4.00"}, {"kind": "refund", "status": "failure", "amount": "1.00"}]');
INSERT INTO airbyte.abandoned_checkouts VALUES ('a1', '2026-01-10', 1, 'ben@example.org', NULL, '2026-01-06', NULL, 25);

-- expected
-- customer:1 | cancelled order | 1 | 0
-- customer:1 | newsletter | 1 | 0
-- customer:1 | purchase | 1 | 100
-- customer:1 | refund | 1 | 10
-- customer:1 | shoes | 1 | 60
-- email:ben@example.org | cart | 1 | 25
-- email:ben@example.org | purchase | 1 | 50
-- email:ben@example.org | shoes | 1 | 50
-- customer:1 | profile | {"state": "enabled", "verified_email": true}

-- afterwards, the next sync: new rows come in, then the old ones of the same key go
BEGIN;
INSERT INTO airbyte.customers (_airbyte_raw_id, _airbyte_extracted_at, id, email, state, verified_email, email_marketing_consent) VALUES
  ('c2', '2026-01-11', 1, 'anna@example.org', 'disabled', true, '{"state": "unsubscribed", "consent_updated_at": "2026-01-11T10:00:00Z"}'), ('c3', '2026-01-11', 2, 'ben@example.org', 'enabled', false, NULL);
INSERT INTO airbyte.orders (_airbyte_raw_id, _airbyte_extracted_at, id, email, customer, processed_at, currency, total_price, financial_status, test, line_items) VALUES
  ('o4', '2026-01-11', 1, 'anna@example.org', '{"id": 1}', '2026-01-05', 'EUR', 60, 'partially_refunded', false, '[{"id": 11, "product_id": 1, "price": "30.00", "quantity": 2}]');
DELETE FROM airbyte.customers WHERE _airbyte_raw_id = 'c1';
DELETE FROM airbyte.orders WHERE _airbyte_raw_id = 'o1';
UPDATE airbyte.abandoned_checkouts SET completed_at = '2026-01-11';
COMMIT;

-- expected
-- customer:1 | cancelled order | 1 | 0
-- customer:1 | purchase | 1 | 60
-- customer:1 | refund | 1 | 10
-- customer:1 | shoes | 1 | 60
-- customer:2 | purchase | 1 | 50
-- customer:2 | shoes | 1 | 50
-- customer:1 | profile | {"state": "disabled", "verified_email": true}
-- customer:2 | profile | {"state": "enabled", "verified_email": false}
