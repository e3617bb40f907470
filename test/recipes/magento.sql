-- Magento 2.4, replicated from MySQL. Anna is a customer, Ben a guest.

CREATE TABLE customer_entity (entity_id integer PRIMARY KEY, website_id smallint, email varchar(255), group_id smallint NOT NULL DEFAULT 1, created_at timestamp DEFAULT '2026-01-01', is_active smallint NOT NULL DEFAULT 1);
CREATE UNIQUE INDEX customer_entity_email_website_id ON customer_entity (email, website_id);
CREATE TABLE sales_order (entity_id integer PRIMARY KEY, state varchar(32), status varchar(32), customer_id integer, customer_email varchar(128), base_grand_total numeric(20, 4), created_at timestamp DEFAULT '2026-01-05', updated_at timestamp DEFAULT '2026-01-06');
CREATE TABLE sales_order_item (item_id integer PRIMARY KEY, order_id integer NOT NULL, parent_item_id integer, product_id integer, base_row_total numeric(20, 4), qty_ordered numeric(12, 4), created_at timestamp DEFAULT '2026-01-05');
CREATE TABLE sales_creditmemo (entity_id integer PRIMARY KEY, order_id integer NOT NULL, base_grand_total numeric(20, 4), state integer, created_at timestamp DEFAULT '2026-01-07');
CREATE INDEX sales_creditmemo_order_id ON sales_creditmemo (order_id);
CREATE TABLE quote (entity_id integer PRIMARY KEY, customer_id integer, customer_email varchar(255), is_active smallint DEFAULT 1, items_count integer DEFAULT 0, base_grand_total numeric(20, 4), created_at timestamp DEFAULT '2026-01-06', updated_at timestamp);
CREATE TABLE newsletter_subscriber (subscriber_id integer PRIMARY KEY, customer_id integer NOT NULL DEFAULT 0, subscriber_email varchar(150), subscriber_status integer NOT NULL DEFAULT 0, change_status_at timestamp);
CREATE TABLE customer_visitor (visitor_id bigint PRIMARY KEY, customer_id integer, session_id varchar(1), last_visit_at timestamp);
CREATE TABLE report_viewed_product_index (index_id bigint PRIMARY KEY, visitor_id integer, customer_id integer, product_id integer NOT NULL, added_at timestamp NOT NULL);
CREATE INDEX ON report_viewed_product_index (visitor_id);
CREATE TABLE catalog_category_product (entity_id integer PRIMARY KEY, category_id integer NOT NULL, product_id integer NOT NULL);
CREATE TABLE catalog_category_entity_varchar (value_id integer PRIMARY KEY, attribute_id smallint NOT NULL, store_id smallint NOT NULL, entity_id integer NOT NULL, value varchar(255));
CREATE TABLE eav_attribute (attribute_id smallint PRIMARY KEY, entity_type_id smallint, attribute_code varchar(255));

INSERT INTO customer_entity (entity_id, website_id, email, group_id) VALUES (1, 1, 'anna@example.org', 2);
INSERT INTO sales_order (entity_id, state, customer_id, customer_email, base_grand_total) VALUES
  (1, 'complete', 1, 'anna@example.org', 100), (2, 'processing', NULL, 'ben@example.org', 50), (3, 'canceled', 1, 'anna@example.org', 30), (4, 'new', 1, 'anna@example.org', 70);
INSERT INTO eav_attribute VALUES (45, 3, 'name'), (120, 3, 'url_key');
INSERT INTO catalog_category_entity_varchar VALUES (1, 45, 0, 10, 'Shoes'), (2, 120, 0, 10, 'shoes'), (3, 120, 0, 11, 'hats'), (4, 120, 1, 10, 'schuhe');
INSERT INTO catalog_category_product VALUES (1, 10, 1), (2, 11, 2), (3, 11, 1);
INSERT INTO sales_order_item (item_id, order_id, parent_item_id, product_id, base_row_total) VALUES (1, 1, NULL, 1, 60), (2, 1, 1, 1, 0), (3, 1, NULL, 2, 40), (4, 2, NULL, 1, 50), (5, 4, NULL, 1, 70);
INSERT INTO sales_creditmemo (entity_id, order_id, base_grand_total, state) VALUES (1, 1, 10, 2), (2, 2, 5, 1);
INSERT INTO quote (entity_id, customer_id, customer_email, is_active, items_count, base_grand_total) VALUES (1, 1, 'anna@example.org', 1, 2, 20), (2, NULL, 'ben@example.org', 1, 1, 25), (3, 1, 'anna@example.org', 0, 1, 30), (4, NULL, NULL, 1, 0, 0);
INSERT INTO newsletter_subscriber VALUES (1, 0, 'ben@example.org', 1, '2026-01-03'), (2, 1, 'anna@example.org', 3, '2026-01-03');
INSERT INTO customer_visitor (visitor_id, customer_id) VALUES (1, 1), (2, NULL);
INSERT INTO report_viewed_product_index (index_id, visitor_id, customer_id, product_id, added_at) VALUES (1, 1, 1, 1, '2026-01-05'), (2, 1, 1, 2, '2026-01-05'), (3, 2, NULL, 1, '2026-01-05');

-- expected
-- customer:1 | cancelled order | 1 | 0
-- customer:1 | cart | 1 | 20
-- customer:1 | purchase | 1 | 100
-- customer:1 | refund | 1 | 10
-- customer:1 | shoes | 1 | 60
-- customer:1 | visit | 2 | 0
-- email:ben@example.org | cart | 1 | 25
-- email:ben@example.org | newsletter | 1 | 0
-- email:ben@example.org | purchase | 1 | 50
-- email:ben@example.org | shoes | 1 | 50
-- visitor:2 | visit | 1 | 0
-- customer:1 | profile | {"group_id": 2}

-- afterwards: Ben registers and logs in, is refunded; Anna's cart is ordered and paid; she subscribes
INSERT INTO customer_entity (entity_id, website_id, email) VALUES (2, 1, 'ben@example.org');
UPDATE customer_visitor SET customer_id = 2 WHERE visitor_id = 2;
UPDATE sales_creditmemo SET state = 2 WHERE entity_id = 2;
UPDATE quote SET is_active = 0 WHERE entity_id = 1;
UPDATE sales_order SET state = 'processing' WHERE entity_id = 4;
UPDATE newsletter_subscriber SET subscriber_status = 1 WHERE subscriber_id = 2;
DELETE FROM sales_order WHERE entity_id = 3;

-- expected
-- customer:1 | newsletter | 1 | 0
-- customer:1 | purchase | 2 | 170
-- customer:1 | refund | 1 | 10
-- customer:1 | shoes | 2 | 130
-- customer:1 | visit | 2 | 0
-- customer:2 | cart | 1 | 25
-- customer:2 | newsletter | 1 | 0
-- customer:2 | purchase | 1 | 50
-- customer:2 | refund | 1 | 5
-- customer:2 | shoes | 1 | 50
-- customer:2 | visit | 1 | 0
-- customer:2 | profile | {"group_id": 1}
