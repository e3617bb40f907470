-- Vendure 3. Anna has registered (1), Ben buys as a guest (2).

CREATE TABLE customer (id serial PRIMARY KEY, "createdAt" timestamp NOT NULL DEFAULT '2026-01-01', "deletedAt" timestamp, title varchar, "firstName" varchar, "emailAddress" varchar NOT NULL, "userId" integer);
CREATE TABLE "order" (id serial PRIMARY KEY, "createdAt" timestamp NOT NULL DEFAULT '2026-01-05', "updatedAt" timestamp NOT NULL DEFAULT '2026-01-05', code varchar, state varchar NOT NULL, active boolean NOT NULL, "orderPlacedAt" timestamp,
  "currencyCode" varchar NOT NULL DEFAULT 'EUR', "customerId" integer, "subTotal" integer NOT NULL, "subTotalWithTax" integer NOT NULL, shipping integer NOT NULL DEFAULT 0, "shippingWithTax" integer NOT NULL DEFAULT 0);
CREATE TABLE order_line (id serial PRIMARY KEY, "createdAt" timestamp NOT NULL DEFAULT '2026-01-05', "orderId" integer, "productVariantId" integer, quantity integer NOT NULL, "orderPlacedQuantity" integer NOT NULL DEFAULT 0, "listPrice" integer NOT NULL);
CREATE INDEX ON order_line ("orderId");
CREATE TABLE payment (id serial PRIMARY KEY, "createdAt" timestamp NOT NULL DEFAULT '2026-01-05', amount integer NOT NULL, state varchar NOT NULL, "orderId" integer);
CREATE TABLE refund (id serial PRIMARY KEY, "createdAt" timestamp NOT NULL DEFAULT '2026-01-06', total integer NOT NULL, state varchar NOT NULL, "paymentId" integer NOT NULL);
CREATE INDEX ON refund ("paymentId");
CREATE TABLE facet (id serial PRIMARY KEY, code varchar NOT NULL);
CREATE TABLE facet_value (id serial PRIMARY KEY, code varchar NOT NULL, "facetId" integer);
CREATE TABLE product_variant_facet_values_facet_value ("productVariantId" integer NOT NULL, "facetValueId" integer NOT NULL, PRIMARY KEY ("productVariantId", "facetValueId"));

INSERT INTO customer (id, title, "emailAddress", "userId") VALUES (1, 'Dr', 'anna@example.org', 11), (2, NULL, 'ben@example.org', NULL);
INSERT INTO "order" (id, state, active, "orderPlacedAt", "customerId", "subTotal", "subTotalWithTax", "shippingWithTax") VALUES
  (1, 'Shipped', false, '2026-01-05', 1, 8000, 9500, 500), (2, 'PaymentSettled', false, '2026-01-05', 2, 4000, 5000, 0), (3, 'Cancelled', false, '2026-01-05', 1, 2500, 3000, 0),
  (4, 'AddingItems', true, NULL, 1, 1500, 2000, 0), (5, 'AddingItems', true, NULL, NULL, 1500, 2000, 0), (6, 'PaymentAuthorized', false, '2026-01-05', 2, 6000, 7000, 0);
INSERT INTO facet VALUES (1, 'category'), (2, 'brand');
INSERT INTO facet_value VALUES (1, 'shoes', 1), (2, 'hats', 1), (3, 'adverse', 2);
INSERT INTO product_variant_facet_values_facet_value VALUES (1, 1), (1, 3), (2, 2);
INSERT INTO order_line (id, "orderId", "productVariantId", quantity, "listPrice") VALUES (1, 1, 1, 2, 3000), (2, 1, 2, 1, 3500), (3, 2, 1, 1, 5000), (4, 3, 1, 1, 3000), (5, 4, 1, 1, 2000), (6, 6, 2, 1, 7000);
INSERT INTO payment (id, amount, state, "orderId") VALUES (1, 10000, 'Settled', 1), (2, 5000, 'Settled', 2);
INSERT INTO refund (id, total, state, "paymentId") VALUES (1, 1000, 'Settled', 1), (2, 500, 'Pending', 2);

-- expected
-- customer:1 | cancelled order | 1 | 0
-- customer:1 | cart | 1 | 20
-- customer:1 | purchase | 1 | 100
-- customer:1 | refund | 1 | 10
-- customer:1 | shoes | 1 | 60
-- email:ben@example.org | purchase | 1 | 50
-- email:ben@example.org | shoes | 1 | 50
-- order:5 | cart | 1 | 20
-- customer:1 | profile | {"title": "Dr"}

-- afterwards: Ben registers, his payments and refunds are settled; an anonymous cart becomes Anna's, hers is bought
UPDATE customer SET "userId" = 12 WHERE id = 2;
UPDATE "order" SET state = 'PaymentSettled' WHERE id = 6;
UPDATE refund SET state = 'Settled' WHERE id = 2;
UPDATE "order" SET "customerId" = 1 WHERE id = 5;
UPDATE "order" SET state = 'PaymentSettled', active = false, "orderPlacedAt" = '2026-01-07' WHERE id = 4;
UPDATE order_line SET quantity = 0 WHERE id = 1;

-- expected
-- customer:1 | cancelled order | 1 | 0
-- customer:1 | cart | 1 | 20
-- customer:1 | purchase | 2 | 120
-- customer:1 | refund | 1 | 10
-- customer:1 | shoes | 1 | 20
-- customer:2 | purchase | 2 | 120
-- customer:2 | refund | 1 | 5
-- customer:2 | shoes | 1 | 50
