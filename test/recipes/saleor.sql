-- Saleor 3. Anna has an account, Ben buys as a guest.

CREATE TABLE account_user (id serial PRIMARY KEY, email varchar(254) UNIQUE NOT NULL, is_active boolean NOT NULL DEFAULT true, is_confirmed boolean NOT NULL DEFAULT true,
  language_code varchar(35) NOT NULL DEFAULT 'en', date_joined timestamptz DEFAULT now());
CREATE TABLE order_order (id uuid PRIMARY KEY, number integer, user_id integer, user_email varchar(254) NOT NULL, status varchar(32), charge_status varchar(32),
  created_at timestamptz DEFAULT '2026-01-05', updated_at timestamptz DEFAULT '2026-01-06', currency varchar(3) DEFAULT 'EUR', total_gross_amount numeric(20, 3));
CREATE TABLE order_orderline (id uuid PRIMARY KEY, order_id uuid, variant_id integer, created_at timestamptz DEFAULT '2026-01-05', quantity integer, total_price_gross_amount numeric(20, 3));
CREATE INDEX ON order_orderline (order_id);
CREATE TABLE order_ordergrantedrefund (id serial PRIMARY KEY, created_at timestamptz DEFAULT '2026-01-07', amount_value numeric(20, 3), order_id uuid, status varchar(128));
CREATE INDEX ON order_ordergrantedrefund (order_id);
CREATE TABLE product_category (id serial PRIMARY KEY, name varchar(250), slug varchar(255));
CREATE TABLE product_product (id serial PRIMARY KEY, category_id integer);
CREATE TABLE product_productvariant (id serial PRIMARY KEY, product_id integer);
CREATE TABLE checkout_checkout (token uuid PRIMARY KEY, created_at timestamptz DEFAULT '2026-01-08', last_change timestamptz DEFAULT now(), user_id integer, email varchar(254), total_gross_amount numeric(20, 3));

INSERT INTO account_user (id, email, language_code) VALUES (1, 'anna@example.org', 'de');
INSERT INTO order_order (id, user_id, user_email, status, charge_status, total_gross_amount) VALUES
  ('00000000-0000-0000-0000-000000000001', 1, 'anna@example.org', 'fulfilled', 'full', 100), ('00000000-0000-0000-0000-000000000002', NULL, 'ben@example.org', 'unfulfilled', 'full', 50),
  ('00000000-0000-0000-0000-000000000003', 1, 'anna@example.org', 'canceled', 'none', 30), ('00000000-0000-0000-0000-000000000004', NULL, 'ben@example.org', 'unfulfilled', 'none', 20);
INSERT INTO product_category VALUES (1, 'Shoes', 'shoes'), (2, 'Hats', 'hats');
INSERT INTO product_product VALUES (1, 1), (2, 2);
INSERT INTO product_productvariant VALUES (1, 1), (2, 2);
INSERT INTO order_orderline (id, order_id, variant_id, quantity, total_price_gross_amount) VALUES
  ('00000000-0000-0000-0000-00000000000a', '00000000-0000-0000-0000-000000000001', 1, 2, 60), ('00000000-0000-0000-0000-00000000000b', '00000000-0000-0000-0000-000000000001', 2, 1, 40),
  ('00000000-0000-0000-0000-00000000000c', '00000000-0000-0000-0000-000000000002', 1, 1, 50), ('00000000-0000-0000-0000-00000000000d', '00000000-0000-0000-0000-000000000004', 1, 1, 20);
INSERT INTO order_ordergrantedrefund (amount_value, order_id, status) VALUES
  (10, '00000000-0000-0000-0000-000000000001', 'success'), (5, '00000000-0000-0000-0000-000000000001', 'failure');
INSERT INTO checkout_checkout (token, user_id, email, total_gross_amount) VALUES
  ('00000000-0000-0000-0000-0000000000c1', 1, 'anna@example.org', 15), ('00000000-0000-0000-0000-0000000000c2', NULL, 'ben@example.org', 25), ('00000000-0000-0000-0000-0000000000c3', NULL, NULL, 5);

-- expected
-- customer:1 | cancelled order | 1 | 0
-- customer:1 | cart | 1 | 15
-- customer:1 | purchase | 1 | 100
-- customer:1 | refund | 1 | 10
-- customer:1 | shoes | 1 | 60
-- email:ben@example.org | cart | 1 | 25
-- email:ben@example.org | purchase | 1 | 50
-- email:ben@example.org | shoes | 1 | 50
-- customer:1 | profile | {"is_confirmed": true, "language_code": "de"}

-- afterwards: Ben registers, and pays; his checkout is completed; Anna's order is refunded in full and cancelled
INSERT INTO account_user (id, email) VALUES (2, 'ben@example.org');
UPDATE order_order SET charge_status = 'full' WHERE number IS NULL AND id = '00000000-0000-0000-0000-000000000004';
DELETE FROM checkout_checkout WHERE token = '00000000-0000-0000-0000-0000000000c2';
UPDATE order_ordergrantedrefund SET status = 'success', amount_value = 90 WHERE status = 'failure';
UPDATE order_order SET status = 'canceled' WHERE id = '00000000-0000-0000-0000-000000000001';

-- expected
-- customer:1 | cancelled order | 2 | 0
-- customer:1 | cart | 1 | 15
-- customer:1 | refund | 2 | 100
-- customer:2 | purchase | 2 | 70
-- customer:2 | shoes | 2 | 70
-- customer:2 | profile | {"is_confirmed": true, "language_code": "en"}
