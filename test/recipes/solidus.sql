-- Solidus 4. Anna has an account, Ben buys as a guest.

CREATE TABLE spree_users (id serial PRIMARY KEY, email varchar, created_at timestamp(6) DEFAULT '2026-01-01');
CREATE UNIQUE INDEX email_idx_unique ON spree_users (email);
CREATE TABLE spree_orders (id serial PRIMARY KEY, number varchar(32), user_id integer, email varchar, guest_token varchar, state varchar, payment_state varchar, total numeric(10, 2) NOT NULL DEFAULT 0,
  item_count integer DEFAULT 0, currency varchar DEFAULT 'EUR', completed_at timestamp, canceled_at timestamp, created_at timestamp(6) DEFAULT '2026-01-05');
CREATE TABLE spree_line_items (id serial PRIMARY KEY, order_id integer, variant_id integer, quantity integer NOT NULL, price numeric(10, 2) NOT NULL);
CREATE INDEX ON spree_line_items (order_id);
CREATE TABLE spree_variants (id serial PRIMARY KEY, product_id integer);
CREATE TABLE spree_products (id serial PRIMARY KEY, name varchar, primary_taxon_id integer);
CREATE TABLE spree_taxons (id serial PRIMARY KEY, name varchar);
CREATE TABLE spree_payments (id serial PRIMARY KEY, order_id integer, amount numeric(10, 2), state varchar);
CREATE TABLE spree_refunds (id serial PRIMARY KEY, payment_id integer, amount numeric(10, 2) NOT NULL, created_at timestamp(6) DEFAULT '2026-01-07');
CREATE INDEX ON spree_refunds (payment_id);

INSERT INTO spree_users (id, email) VALUES (1, 'anna@example.org');
INSERT INTO spree_orders (id, user_id, email, state, payment_state, total, item_count, completed_at, canceled_at) VALUES
  (1, 1, 'anna@example.org', 'complete', 'paid', 100, 3, '2026-01-05', NULL), (2, NULL, 'ben@example.org', 'complete', 'credit_owed', 50, 1, '2026-01-05', NULL),
  (3, 1, 'anna@example.org', 'canceled', 'void', 30, 1, '2026-01-05', '2026-01-06'), (4, NULL, NULL, 'cart', NULL, 20, 1, NULL, NULL);
INSERT INTO spree_variants VALUES (1, 1), (2, 2);
INSERT INTO spree_products VALUES (1, 'boots', 1), (2, 'cap', 2);
INSERT INTO spree_taxons VALUES (1, 'shoes'), (2, 'hats');
INSERT INTO spree_line_items (id, order_id, variant_id, quantity, price) VALUES (1, 1, 1, 2, 30), (2, 1, 2, 1, 40), (3, 2, 2, 1, 50), (4, 4, 1, 1, 20);
INSERT INTO spree_payments (id, order_id, amount, state) VALUES (1, 1, 100, 'completed'), (2, 2, 60, 'completed');
INSERT INTO spree_refunds (id, payment_id, amount) VALUES (1, 2, 10);

-- expected
-- customer:1 | cancelled order | 1 | 0
-- customer:1 | purchase | 1 | 100
-- customer:1 | shoes | 1 | 60
-- email:ben@example.org | purchase | 1 | 50
-- email:ben@example.org | refund | 1 | 10

-- afterwards: Anna logs in with the cart, Ben's order goes to her account, a cancelled order is resumed
UPDATE spree_orders SET user_id = 1, email = 'anna@example.org' WHERE id = 4;
UPDATE spree_orders SET user_id = 1 WHERE id = 2;
UPDATE spree_orders SET state = 'resumed', payment_state = 'paid', canceled_at = NULL WHERE id = 3;
UPDATE spree_products SET primary_taxon_id = 1 WHERE id = 2;

-- expected: all lines that are paid are shoes now, 60 + 40 + 50
-- customer:1 | cart | 1 | 20
-- customer:1 | purchase | 3 | 180
-- customer:1 | refund | 1 | 10
-- customer:1 | shoes | 3 | 150
