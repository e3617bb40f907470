-- Medusa 2. Anna has an account (cus_1), Ben buys as a guest (cus_2).

CREATE TABLE customer (id text PRIMARY KEY, company_name text, first_name text, email text, has_account boolean NOT NULL DEFAULT false, created_at timestamptz NOT NULL DEFAULT '2026-01-01', deleted_at timestamptz);
CREATE UNIQUE INDEX "IDX_customer_email_has_account_unique" ON customer (email, has_account) WHERE deleted_at IS NULL;
CREATE TYPE order_status_enum AS ENUM ('pending', 'completed', 'draft', 'archived', 'canceled', 'requires_action');
CREATE TABLE "order" (id text PRIMARY KEY, display_id serial, customer_id text, version integer NOT NULL DEFAULT 1, status order_status_enum NOT NULL DEFAULT 'pending', is_draft_order boolean NOT NULL DEFAULT false,
  email text, currency_code text NOT NULL DEFAULT 'eur', created_at timestamptz NOT NULL DEFAULT '2026-01-05', deleted_at timestamptz, canceled_at timestamptz);
CREATE TABLE order_transaction (id text PRIMARY KEY, order_id text NOT NULL, amount numeric NOT NULL, currency_code text NOT NULL DEFAULT 'eur', reference text, reference_id text, created_at timestamptz NOT NULL DEFAULT '2026-01-05', deleted_at timestamptz);
CREATE INDEX ON order_transaction (order_id);
CREATE TABLE order_item (id text PRIMARY KEY, order_id text NOT NULL, version integer NOT NULL, item_id text NOT NULL, quantity numeric NOT NULL, unit_price numeric, deleted_at timestamptz);
CREATE TABLE order_line_item (id text PRIMARY KEY, title text NOT NULL, product_id text, product_type text, product_collection text, unit_price numeric NOT NULL, created_at timestamptz NOT NULL DEFAULT '2026-01-05');
CREATE TABLE cart (id text PRIMARY KEY, customer_id text, email text, created_at timestamptz NOT NULL DEFAULT '2026-01-06', completed_at timestamptz, deleted_at timestamptz);

INSERT INTO customer (id, email, has_account, company_name) VALUES ('cus_1', 'anna@example.org', true, 'Acme'), ('cus_2', 'ben@example.org', false, NULL);
INSERT INTO "order" (id, customer_id, email, status, canceled_at) VALUES ('order_1', 'cus_1', 'anna@example.org', 'pending', NULL), ('order_2', 'cus_2', 'ben@example.org', 'completed', NULL),
  ('order_3', 'cus_1', 'anna@example.org', 'canceled', '2026-01-06');
INSERT INTO order_transaction (id, order_id, amount, reference) VALUES ('ordtrx_1', 'order_1', 100, 'capture'), ('ordtrx_2', 'order_2', 50, 'capture'), ('ordtrx_3', 'order_1', -10, 'refund');
INSERT INTO order_line_item (id, title, product_type, unit_price) VALUES ('ordli_1', 'boots', 'shoes', 30), ('ordli_2', 'cap', 'hats', 40), ('ordli_3', 'boots', 'shoes', 50), ('ordli_4', 'boots', 'shoes', 30);
-- (the first order has been edited: only its second version counts)
UPDATE "order" SET version = 2 WHERE id = 'order_1';
INSERT INTO order_item (id, order_id, version, item_id, quantity, unit_price) VALUES ('orditem_1', 'order_1', 1, 'ordli_1', 1, 30), ('orditem_2', 'order_1', 2, 'ordli_1', 2, 30), ('orditem_3', 'order_1', 2, 'ordli_2', 1, NULL),
  ('orditem_4', 'order_2', 1, 'ordli_3', 1, NULL), ('orditem_5', 'order_3', 1, 'ordli_4', 1, NULL);
INSERT INTO cart (id, customer_id, email, completed_at) VALUES ('cart_1', 'cus_1', 'anna@example.org', NULL), ('cart_2', 'cus_1', 'anna@example.org', '2026-01-05'), ('cart_3', NULL, 'Ben@example.org', NULL);

-- expected
-- customer:cus_1 | cancelled order | 1 | 0
-- customer:cus_1 | cart | 1 | 0
-- customer:cus_1 | purchase | 1 | 100
-- customer:cus_1 | refund | 1 | 10
-- customer:cus_1 | shoes | 1 | 60
-- email:ben@example.org | cart | 1 | 0
-- email:ben@example.org | purchase | 1 | 50
-- email:ben@example.org | shoes | 1 | 50
-- customer:cus_1 | profile | {"has_account": true, "company_name": "Acme"}

-- afterwards: Ben registers: a customer of its own; his order is edited, a capture is taken back, Anna's cart is
-- completed
INSERT INTO customer (id, email, has_account, created_at) VALUES ('cus_3', 'ben@example.org', true, '2026-01-07');
UPDATE "order" SET version = 2 WHERE id = 'order_2';
INSERT INTO order_item (id, order_id, version, item_id, quantity) VALUES ('orditem_6', 'order_2', 2, 'ordli_3', 3);
UPDATE order_transaction SET deleted_at = '2026-01-07' WHERE id = 'ordtrx_1';
INSERT INTO order_transaction (id, order_id, amount, reference) VALUES ('ordtrx_4', 'order_2', 100, 'capture');
UPDATE cart SET completed_at = '2026-01-07' WHERE id = 'cart_1';

-- expected
-- customer:cus_1 | cancelled order | 1 | 0
-- customer:cus_1 | refund | 1 | 10
-- customer:cus_1 | shoes | 1 | 60
-- customer:cus_3 | cart | 1 | 0
-- customer:cus_3 | purchase | 2 | 150
-- customer:cus_3 | shoes | 1 | 150
