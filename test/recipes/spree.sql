-- Spree 5. Anna has an account, Ben buys as a guest, with another spelling of his address.

CREATE TABLE spree_users (id bigserial PRIMARY KEY, email varchar, accepts_email_marketing boolean NOT NULL DEFAULT false, deleted_at timestamp, created_at timestamp DEFAULT '2026-01-01');
CREATE UNIQUE INDEX email_idx_unique ON spree_users (email);
CREATE TABLE spree_orders (id bigserial PRIMARY KEY, number varchar(32), user_id bigint, email varchar, state varchar, payment_state varchar, total numeric(10, 2) NOT NULL DEFAULT 0,
  item_count integer DEFAULT 0, currency varchar DEFAULT 'EUR', completed_at timestamp, canceled_at timestamp, created_at timestamp DEFAULT '2026-01-05');
CREATE TABLE spree_line_items (id bigserial PRIMARY KEY, order_id bigint, variant_id bigint, quantity integer NOT NULL, price numeric(10, 2) NOT NULL);
CREATE INDEX ON spree_line_items (order_id);
CREATE TABLE spree_variants (id bigserial PRIMARY KEY, product_id bigint);
CREATE TABLE spree_products_taxons (id bigserial PRIMARY KEY, product_id bigint, taxon_id bigint, position integer);
CREATE TABLE spree_taxons (id bigserial PRIMARY KEY, name varchar);
CREATE TABLE spree_payments (id bigserial PRIMARY KEY, order_id bigint, amount numeric(10, 2), state varchar);
CREATE TABLE spree_refunds (id bigserial PRIMARY KEY, payment_id bigint, amount numeric(10, 2) NOT NULL, created_at timestamp DEFAULT '2026-01-07');
CREATE INDEX ON spree_refunds (payment_id);
CREATE TABLE spree_newsletter_subscribers (id bigserial PRIMARY KEY, email varchar NOT NULL, user_id bigint, verified_at timestamp);
CREATE UNIQUE INDEX ON spree_newsletter_subscribers (email);

INSERT INTO spree_users (id, email, accepts_email_marketing) VALUES (1, 'anna@example.org', true);
INSERT INTO spree_orders (id, user_id, email, state, payment_state, total, item_count, completed_at, canceled_at) VALUES
  (1, 1, 'anna@example.org', 'complete', 'paid', 100, 3, '2026-01-05', NULL), (2, NULL, 'Ben@Example.org', 'complete', 'paid', 50, 1, '2026-01-05', NULL),
  (3, 1, 'anna@example.org', 'canceled', 'void', 30, 1, '2026-01-05', '2026-01-06'), (4, 1, 'anna@example.org', 'address', NULL, 20, 1, NULL, NULL),
  (5, 1, NULL, 'cart', NULL, 0, 0, NULL, NULL), (6, NULL, 'ben@example.org', 'complete', 'balance_due', 70, 1, '2026-01-05', NULL);
INSERT INTO spree_variants VALUES (1, 1), (2, 2);
INSERT INTO spree_taxons VALUES (1, 'shoes'), (2, 'hats'), (3, 'sale');
INSERT INTO spree_products_taxons (product_id, taxon_id, position) VALUES (1, 3, 2), (1, 1, 1), (2, 2, 1);
INSERT INTO spree_line_items (id, order_id, variant_id, quantity, price) VALUES (1, 1, 1, 2, 30), (2, 1, 2, 1, 40), (3, 2, 1, 1, 50), (4, 4, 1, 1, 20), (5, 6, 1, 1, 70);
INSERT INTO spree_payments (id, order_id, amount, state) VALUES (1, 1, 100, 'completed'), (2, 2, 50, 'completed');
INSERT INTO spree_refunds (id, payment_id, amount) VALUES (1, 1, 10);
INSERT INTO spree_newsletter_subscribers (email, verified_at) VALUES ('ben@example.org', '2026-01-03'), ('eve@example.org', NULL);

-- expected
-- customer:1 | cancelled order | 1 | 0
-- customer:1 | cart | 1 | 20
-- customer:1 | purchase | 1 | 100
-- customer:1 | refund | 1 | 10
-- customer:1 | shoes | 1 | 60
-- email:ben@example.org | newsletter | 1 | 0
-- email:ben@example.org | purchase | 1 | 50
-- email:ben@example.org | shoes | 1 | 50
-- customer:1 | profile | {"accepts_email_marketing": true}

-- afterwards: the cart is bought, Ben registers and pays, is refunded, and a line is taken out of Anna's order
UPDATE spree_orders SET state = 'complete', payment_state = 'paid', completed_at = '2026-01-09' WHERE id = 4;
INSERT INTO spree_users (id, email) VALUES (2, 'ben@example.org');
UPDATE spree_orders SET payment_state = 'paid' WHERE id = 6;
INSERT INTO spree_refunds (id, payment_id, amount) VALUES (2, 2, 5);
DELETE FROM spree_line_items WHERE id = 1;
UPDATE spree_orders SET total = 40 WHERE id = 1;
UPDATE spree_newsletter_subscribers SET verified_at = '2026-01-09' WHERE email = 'eve@example.org';

-- expected
-- customer:1 | cancelled order | 1 | 0
-- customer:1 | purchase | 2 | 60
-- customer:1 | refund | 1 | 10
-- customer:1 | shoes | 1 | 20
-- customer:2 | newsletter | 1 | 0
-- customer:2 | purchase | 2 | 120
-- customer:2 | refund | 1 | 5
-- customer:2 | shoes | 2 | 120
-- email:eve@example.org | newsletter | 1 | 0
