-- Odoo 17. Anna works for the company Acme (1), Ben (3) is a customer by himself.

CREATE TABLE res_partner (id serial PRIMARY KEY, name varchar, email varchar, email_normalized varchar, parent_id integer,
  commercial_partner_id integer, lang varchar, is_company boolean, active boolean, create_date timestamp DEFAULT '2026-01-01', write_date timestamp);
CREATE TABLE sale_order (id serial PRIMARY KEY, name varchar, partner_id integer NOT NULL, website_id integer, state varchar, date_order timestamp,
  amount_total numeric, currency_rate numeric, create_date timestamp DEFAULT '2026-01-01', write_date timestamp DEFAULT '2026-01-02');
CREATE INDEX sale_order_partner_id_index ON sale_order (partner_id);
CREATE TABLE product_category (id serial PRIMARY KEY, name varchar, complete_name varchar);
CREATE TABLE product_template (id serial PRIMARY KEY, categ_id integer);
CREATE TABLE product_product (id serial PRIMARY KEY, product_tmpl_id integer);
CREATE TABLE sale_order_line (id serial PRIMARY KEY, order_id integer, order_partner_id integer, product_id integer, product_uom_qty numeric,
  price_subtotal numeric, display_type varchar);
CREATE TABLE account_move (id serial PRIMARY KEY, partner_id integer, move_type varchar, state varchar, invoice_date date, amount_total_signed numeric);
CREATE INDEX account_move_partner_id_index ON account_move (partner_id);
CREATE TABLE mailing_contact (id serial PRIMARY KEY, email varchar, email_normalized varchar);
CREATE TABLE mailing_subscription (id serial PRIMARY KEY, contact_id integer, list_id integer, opt_out boolean, create_date timestamp DEFAULT '2026-01-01');
CREATE INDEX ON mailing_subscription (contact_id);
CREATE TABLE website_visitor (id serial PRIMARY KEY, access_token varchar, partner_id integer);
CREATE TABLE website_track (id serial PRIMARY KEY, visitor_id integer, url text, visit_datetime timestamp);
CREATE INDEX website_track_visitor_id_index ON website_track (visitor_id);

INSERT INTO res_partner (id, email_normalized, parent_id, commercial_partner_id, lang, is_company, active) VALUES
  (1, 'office@acme.example', NULL, 1, 'en_US', true, true), (2, 'anna@acme.example', 1, 1, 'de_DE', false, true), (3, 'ben@example.org', NULL, 3, 'de_DE', false, true);
INSERT INTO sale_order (id, partner_id, website_id, state, date_order, amount_total, currency_rate) VALUES
  (1, 2, 1, 'sale', '2026-01-05', 110, 1.1), (2, 1, NULL, 'sale', '2026-01-06', 50, 1), (3, 3, 1, 'draft', '2026-01-07', 20, 1), (4, 3, 1, 'cancel', '2026-01-07', 30, 1),
  (5, 3, NULL, 'draft', '2026-01-07', 40, 1);
INSERT INTO product_category VALUES (1, 'shoes'), (2, 'hats');
INSERT INTO product_template VALUES (1, 1), (2, 2);
INSERT INTO product_product VALUES (1, 1), (2, 2);
INSERT INTO sale_order_line (id, order_id, order_partner_id, product_id, price_subtotal, display_type) VALUES
  (1, 1, 2, 1, 66, NULL), (2, 1, 2, 2, 44, NULL), (3, 2, 1, 1, 50, NULL), (4, 3, 3, 1, 20, NULL), (5, 1, 2, NULL, 0, 'line_note');
INSERT INTO account_move (partner_id, move_type, state, invoice_date, amount_total_signed) VALUES
  (2, 'out_refund', 'posted', '2026-01-08', -10), (1, 'out_invoice', 'posted', '2026-01-08', 110), (1, 'out_refund', 'draft', '2026-01-08', -5);
INSERT INTO mailing_contact (id, email_normalized) VALUES (1, 'ben@example.org'), (2, 'eve@example.org');
INSERT INTO mailing_subscription (contact_id, list_id, opt_out) VALUES (1, 1, false), (1, 2, true), (2, 1, NULL);
INSERT INTO website_visitor (id, access_token, partner_id) VALUES (1, '2', 2), (2, 'abc', NULL);
INSERT INTO website_track (visitor_id, url, visit_datetime) VALUES (1, '/shop', '2026-01-05 10:00'), (1, '/cart', '2026-01-05 10:01'), (2, '/shop', '2026-01-05 11:00');

-- expected: purchases are 110 / 1.1 + 50, shoes 66 / 1.1 + 50
-- customer:1 | purchase | 2 | 150
-- customer:1 | refund | 1 | 10
-- customer:1 | shoes | 2 | 110
-- customer:1 | visit | 2 | 0
-- customer:3 | cancelled order | 1 | 0
-- customer:3 | cart | 1 | 20
-- customer:3 | newsletter | 1 | 0
-- email:eve@example.org | newsletter | 1 | 0
-- visitor:2 | visit | 1 | 0
-- customer:1 | profile | {"lang": "en_US", "is_company": true}

-- afterwards: the cart is bought, an order is cancelled, the visitor logs in as Ben, Ben unsubscribes, Eve registers,
-- Anna leaves Acme
UPDATE sale_order SET state = 'sale', date_order = '2026-01-09' WHERE id = 3;
UPDATE sale_order SET state = 'cancel' WHERE id = 2;
UPDATE website_visitor SET partner_id = 3 WHERE id = 2;
UPDATE mailing_subscription SET opt_out = true WHERE contact_id = 1;
INSERT INTO res_partner (id, email_normalized, commercial_partner_id, lang, is_company, active) VALUES (4, 'eve@example.org', 4, 'fr_FR', false, true);
UPDATE res_partner SET parent_id = NULL, commercial_partner_id = 2 WHERE id = 2;
DELETE FROM account_move WHERE move_type = 'out_refund' AND state = 'posted';

-- expected
-- customer:1 | cancelled order | 1 | 0
-- customer:2 | purchase | 1 | 100
-- customer:2 | shoes | 1 | 60
-- customer:2 | visit | 2 | 0
-- customer:3 | cancelled order | 1 | 0
-- customer:3 | purchase | 1 | 20
-- customer:3 | shoes | 1 | 20
-- customer:3 | visit | 1 | 0
-- customer:4 | newsletter | 1 | 0
-- customer:4 | profile | {"lang": "fr_FR", "is_company": false}
