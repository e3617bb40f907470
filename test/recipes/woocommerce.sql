-- WooCommerce 8 and MailPoet, replicated from MySQL. Anna is a user, Ben buys as a guest.

CREATE TABLE wp_users (id bigint PRIMARY KEY, user_login varchar(60), user_email varchar(100), user_registered timestamp DEFAULT '2026-01-01');
CREATE INDEX user_email ON wp_users (('email:' || lower(user_email)));
CREATE TABLE wp_wc_orders (id bigint PRIMARY KEY, status varchar(20), currency varchar(10) DEFAULT 'EUR', type varchar(20), tax_amount numeric(26, 8), total_amount numeric(26, 8), customer_id bigint, billing_email varchar(320),
  date_created_gmt timestamp DEFAULT '2026-01-05', date_updated_gmt timestamp DEFAULT '2026-01-06', parent_order_id bigint);
CREATE INDEX parent_order_id ON wp_wc_orders (parent_order_id);
CREATE TABLE wp_wc_order_product_lookup (order_item_id bigint PRIMARY KEY, order_id bigint NOT NULL, product_id bigint NOT NULL, variation_id bigint NOT NULL DEFAULT 0, customer_id bigint, date_created timestamp,
  product_qty integer NOT NULL, product_net_revenue double precision NOT NULL, product_gross_revenue double precision NOT NULL DEFAULT 0);
CREATE TABLE wp_terms (term_id bigint PRIMARY KEY, name varchar(200), slug varchar(200));
CREATE TABLE wp_term_taxonomy (term_taxonomy_id bigint PRIMARY KEY, term_id bigint, taxonomy varchar(32));
CREATE TABLE wp_term_relationships (object_id bigint, term_taxonomy_id bigint, PRIMARY KEY (object_id, term_taxonomy_id));
CREATE TABLE wp_wc_customer_lookup (customer_id bigint PRIMARY KEY, user_id bigint UNIQUE, email varchar(100), country char(2), city varchar(100));
CREATE TABLE wp_mailpoet_subscribers (id integer PRIMARY KEY, wp_user_id bigint, email varchar(150) UNIQUE, status varchar(12), confirmed_at timestamp, created_at timestamp, deleted_at timestamp);

INSERT INTO wp_users (id, user_email) VALUES (7, 'anna@example.org');
INSERT INTO wp_wc_orders (id, status, type, total_amount, customer_id, billing_email, parent_order_id) VALUES
  (1, 'wc-completed', 'shop_order', 100, 7, 'anna@example.org', 0), (2, 'wc-processing', 'shop_order', 50, 0, 'Ben@example.org', 0), (3, 'wc-cancelled', 'shop_order', 30, 7, 'anna@example.org', 0),
  (4, 'wc-checkout-draft', 'shop_order', 20, 0, 'ben@example.org', 0), (5, 'wc-completed', 'shop_order_refund', -10, NULL, NULL, 1);
INSERT INTO wp_terms VALUES (1, 'Shoes', 'shoes'), (2, 'Hats', 'hats'), (3, 'simple', 'simple');
INSERT INTO wp_term_taxonomy VALUES (1, 1, 'product_cat'), (2, 2, 'product_cat'), (3, 3, 'product_type');
INSERT INTO wp_term_relationships VALUES (101, 1), (101, 3), (102, 2), (102, 3);
INSERT INTO wp_wc_order_product_lookup (order_item_id, order_id, product_id, product_qty, product_net_revenue) VALUES (1, 1, 101, 2, 60), (2, 1, 102, 1, 40), (3, 2, 101, 1, 50), (4, 3, 101, 1, 30), (5, 5, 101, -1, -10);
INSERT INTO wp_wc_customer_lookup VALUES (1, 7, 'anna@example.org', 'DE', 'Berlin'), (2, NULL, 'ben@example.org', 'FR', 'Lyon');
INSERT INTO wp_mailpoet_subscribers (id, email, status, confirmed_at, created_at) VALUES (1, 'ben@example.org', 'subscribed', '2026-01-02', '2026-01-01'), (2, 'anna@example.org', 'unsubscribed', '2026-01-02', '2026-01-01'),
  (3, 'eve@example.org', 'unconfirmed', NULL, '2026-01-01');

-- expected
-- customer:7 | cancelled order | 1 | 0
-- customer:7 | purchase | 1 | 100
-- customer:7 | refund | 1 | 10
-- customer:7 | shoes | 1 | 60
-- email:ben@example.org | cart | 1 | 20
-- email:ben@example.org | newsletter | 1 | 0
-- email:ben@example.org | purchase | 1 | 50
-- email:ben@example.org | shoes | 1 | 50
-- customer:7 | profile | {"city": "Berlin", "country": "DE"}

-- afterwards: Ben registers and buys, Anna gets the rest back and subscribes
INSERT INTO wp_users (id, user_email) VALUES (8, 'ben@example.org');
UPDATE wp_wc_customer_lookup SET user_id = 8 WHERE customer_id = 2;
UPDATE wp_wc_orders SET status = 'wc-processing', customer_id = 8 WHERE id = 4;
INSERT INTO wp_wc_order_product_lookup (order_item_id, order_id, product_id, product_qty, product_net_revenue) VALUES (6, 4, 101, 1, 20);
UPDATE wp_wc_orders SET status = 'wc-refunded' WHERE id = 1;
INSERT INTO wp_wc_orders (id, status, type, total_amount, parent_order_id) VALUES (6, 'wc-completed', 'shop_order_refund', -90, 1);
UPDATE wp_mailpoet_subscribers SET status = 'subscribed' WHERE id = 2;

-- expected
-- customer:7 | cancelled order | 1 | 0
-- customer:7 | newsletter | 1 | 0
-- customer:7 | purchase | 1 | 100
-- customer:7 | refund | 2 | 100
-- customer:7 | shoes | 1 | 60
-- customer:8 | newsletter | 1 | 0
-- customer:8 | purchase | 2 | 70
-- customer:8 | shoes | 2 | 70
-- customer:8 | profile | {"city": "Lyon", "country": "FR"}
