-- Shopify as Fivetran brings it. Anna is a customer, Ben has given an address alone.

CREATE SCHEMA shopify;
CREATE TABLE shopify.customer (id bigint PRIMARY KEY, email text, first_name text, state text, currency text, created_at timestamptz DEFAULT '2026-01-01', email_marketing_consent_state text, email_marketing_consent_consent_updated_at timestamptz,
  _fivetran_synced timestamptz DEFAULT now());
CREATE TABLE shopify."order" (id bigint PRIMARY KEY, customer_id bigint, email text, processed_at timestamptz DEFAULT '2026-01-05', created_at timestamptz DEFAULT '2026-01-05', cancelled_at timestamptz, currency text DEFAULT 'EUR',
  total_price double precision, financial_status text, test boolean, _fivetran_deleted boolean, _fivetran_synced timestamptz DEFAULT now());
CREATE TABLE shopify.order_line (id bigint PRIMARY KEY, order_id bigint, product_id bigint, name text, price double precision, quantity numeric);
CREATE TABLE shopify.product (id bigint PRIMARY KEY, title text, product_type text);
CREATE TABLE shopify.transaction (id bigint PRIMARY KEY, order_id bigint, refund_id bigint, amount numeric, kind text, status text, test boolean, created_at timestamptz DEFAULT '2026-01-07');
CREATE INDEX ON shopify.transaction (order_id);
CREATE TABLE shopify.abandoned_checkout (id bigint PRIMARY KEY, customer_id bigint, email text, created_at timestamptz DEFAULT '2026-01-06', completed_at timestamptz, total_price double precision, _fivetran_deleted boolean);

INSERT INTO shopify.customer (id, email, state, currency, email_marketing_consent_state, email_marketing_consent_consent_updated_at) VALUES (1, 'Anna@example.org', 'enabled', 'EUR', 'subscribed', '2026-01-02');
INSERT INTO shopify."order" (id, customer_id, email, total_price, financial_status, cancelled_at, test, _fivetran_deleted) VALUES
  (1, 1, 'anna@example.org', 100, 'partially_refunded', NULL, false, false), (2, NULL, 'ben@example.org', 50, 'paid', NULL, false, NULL), (3, 1, 'anna@example.org', 30, 'voided', '2026-01-06', false, false),
  (4, 1, 'anna@example.org', 1000, 'paid', NULL, true, false), (5, 1, 'anna@example.org', 70, 'pending', NULL, false, false);
INSERT INTO shopify.product VALUES (1, 'boots', 'shoes'), (2, 'cap', 'hats');
INSERT INTO shopify.order_line (id, order_id, product_id, price, quantity) VALUES (1, 1, 1, 30, 2), (2, 1, 2, 40, 1), (3, 2, 1, 50, 1), (4, 4, 1, 1000, 1), (5, 5, 1, 70, 1);
INSERT INTO shopify.transaction (id, order_id, amount, kind, status) VALUES (1, 1, 100, 'sale', 'success'), (2, 1, 10, 'refund', 'success'), (3, 1, 5, 'refund', 'failure');
INSERT INTO shopify.abandoned_checkout (id, customer_id, email, total_price) VALUES (1, NULL, 'ben@example.org', 25);

-- expected
-- customer:1 | cancelled order | 1 | 0
-- customer:1 | newsletter | 1 | 0
-- customer:1 | purchase | 1 | 100
-- customer:1 | refund | 1 | 10
-- customer:1 | shoes | 1 | 60
-- email:ben@example.org | cart | 1 | 25
-- email:ben@example.org | purchase | 1 | 50
-- email:ben@example.org | shoes | 1 | 50
-- customer:1 | profile | {"state": "enabled", "currency": "EUR"}

-- afterwards, the next sync: Ben is a customer, the checkout is completed, an order is paid, another deleted; Anna
-- unsubscribes
MERGE INTO shopify.customer c USING (VALUES (2::bigint, 'ben@example.org', 'subscribed'), (1, 'Anna@example.org', 'unsubscribed')) v (id, email, consent) ON v.id = c.id
WHEN MATCHED THEN UPDATE SET email_marketing_consent_state = v.consent
WHEN NOT MATCHED THEN INSERT (id, email, state, email_marketing_consent_state, email_marketing_consent_consent_updated_at) VALUES (v.id, v.email, 'invited', v.consent, '2026-01-08');
UPDATE shopify.abandoned_checkout SET completed_at = '2026-01-08';
UPDATE shopify."order" SET financial_status = 'paid' WHERE id = 5;
UPDATE shopify."order" SET _fivetran_deleted = true WHERE id = 3;

-- expected
-- customer:1 | purchase | 2 | 170
-- customer:1 | refund | 1 | 10
-- customer:1 | shoes | 2 | 130
-- customer:2 | newsletter | 1 | 0
-- customer:2 | purchase | 1 | 50
-- customer:2 | shoes | 1 | 50
-- customer:2 | profile | {"state": "invited", "currency": null}
