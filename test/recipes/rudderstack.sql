-- RudderStack's tables of a source. Anna visits twice before she logs in as u1; somebody else never does.

CREATE SCHEMA rudder;
CREATE TABLE rudder.identifies (id text PRIMARY KEY, received_at timestamptz NOT NULL, anonymous_id text, user_id text, "timestamp" timestamptz);
CREATE TABLE rudder.users (id text PRIMARY KEY, received_at timestamptz, context_traits_country text);
CREATE TABLE rudder.pages (id text PRIMARY KEY, received_at timestamptz DEFAULT now(), anonymous_id text, user_id text, path text, url text, "timestamp" timestamptz);
CREATE TABLE rudder.tracks (id text PRIMARY KEY, received_at timestamptz DEFAULT now(), anonymous_id text, user_id text, event text, event_text text, "timestamp" timestamptz);
CREATE TABLE rudder.order_completed (id text PRIMARY KEY, received_at timestamptz DEFAULT now(), anonymous_id text, user_id text, order_id text, revenue numeric, total numeric, currency text, products jsonb, "timestamp" timestamptz);
CREATE TABLE rudder.order_cancelled (id text PRIMARY KEY, received_at timestamptz DEFAULT now(), anonymous_id text, user_id text, order_id text, "timestamp" timestamptz);
CREATE TABLE rudder.order_refunded (id text PRIMARY KEY, received_at timestamptz DEFAULT now(), anonymous_id text, user_id text, order_id text, revenue numeric, total numeric, "timestamp" timestamptz);
CREATE TABLE rudder.product_added (id text PRIMARY KEY, received_at timestamptz DEFAULT now(), anonymous_id text, user_id text, product_id text, price numeric, quantity integer, "timestamp" timestamptz);
CREATE TABLE rudder.newsletter_subscribed (id text PRIMARY KEY, received_at timestamptz DEFAULT now(), anonymous_id text, user_id text, "timestamp" timestamptz);

INSERT INTO rudder.pages (id, anonymous_id, user_id, path, "timestamp") VALUES ('p1', 'a1', NULL, '/', '2026-01-05 10:00Z'), ('p2', 'a1', NULL, '/shoes', '2026-01-05 10:01Z'), ('p3', 'a1', 'u1', '/cart', '2026-01-05 10:05Z'), ('p4', 'a2', NULL, '/', '2026-01-05 11:00Z');
INSERT INTO rudder.identifies VALUES ('i1', '2026-01-05 10:03Z', 'a1', 'u1', '2026-01-05 10:03Z');
INSERT INTO rudder.order_completed (id, anonymous_id, user_id, order_id, revenue, total, currency, products, "timestamp") VALUES
  ('t1', 'a1', 'u1', 'o1', 90, 100, 'EUR', '[{"product_id": "1", "category": "shoes", "price": 30, "quantity": 2}, {"product_id": "2", "category": "hats", "price": 40}]', '2026-01-05 10:06Z'),
  ('t2', 'a2', NULL, 'o2', 50, NULL, 'EUR', '[{"product_id": "1", "category": "shoes", "price": 50}]', '2026-01-05 11:01Z');
INSERT INTO rudder.order_refunded (id, anonymous_id, user_id, order_id, total, "timestamp") VALUES ('t3', NULL, 'u1', 'o1', 10, '2026-01-07');
INSERT INTO rudder.order_cancelled (id, anonymous_id, user_id, order_id, "timestamp") VALUES ('t4', 'a2', NULL, 'o2', '2026-01-07');
INSERT INTO rudder.product_added (id, anonymous_id, user_id, product_id, price, quantity, "timestamp") VALUES ('t5', 'a1', NULL, '1', 30, 2, '2026-01-05 10:02Z');
INSERT INTO rudder.newsletter_subscribed (id, anonymous_id, user_id, "timestamp") VALUES ('t6', 'a2', NULL, '2026-01-05');
INSERT INTO rudder.tracks (id, anonymous_id, user_id, event, "timestamp")
  SELECT id, anonymous_id, user_id, 'order_completed', "timestamp" FROM rudder.order_completed UNION ALL SELECT id, anonymous_id, user_id, 'order_refunded', "timestamp" FROM rudder.order_refunded
  UNION ALL SELECT id, anonymous_id, user_id, 'order_cancelled', "timestamp" FROM rudder.order_cancelled UNION ALL SELECT id, anonymous_id, user_id, 'product_added', "timestamp" FROM rudder.product_added
  UNION ALL SELECT id, anonymous_id, user_id, 'newsletter_subscribed', "timestamp" FROM rudder.newsletter_subscribed;
INSERT INTO rudder.users VALUES ('u1', '2026-01-05', 'DE');

-- expected
-- a2 | cancelled order | 1 | 0
-- a2 | newsletter | 1 | 0
-- a2 | purchase | 1 | 50
-- a2 | shoes | 1 | 50
-- a2 | visit | 1 | 0
-- u1 | cart | 1 | 0
-- u1 | purchase | 1 | 100
-- u1 | refund | 1 | 10
-- u1 | shoes | 1 | 60
-- u1 | visit | 3 | 0
-- u1 | profile | {"country": "DE"}

-- afterwards: the other one logs in as u2, an event is sent again and again, and one is deleted
INSERT INTO rudder.identifies VALUES ('i2', '2026-01-08', 'a2', 'u2', '2026-01-08'), ('i3', '2026-01-09', 'a2', 'u2', '2026-01-09');
DELETE FROM rudder.identifies WHERE id = 'i2';
INSERT INTO rudder.tracks (id, anonymous_id, event, "timestamp") VALUES ('t5', 'a1', 'product_added', '2026-01-05') ON CONFLICT (id) DO NOTHING;
DELETE FROM rudder.tracks WHERE event = 'order_cancelled';
UPDATE rudder.users SET context_traits_country = 'AT';

-- expected
-- u1 | cart | 1 | 0
-- u1 | purchase | 1 | 100
-- u1 | refund | 1 | 10
-- u1 | shoes | 1 | 60
-- u1 | visit | 3 | 0
-- u2 | newsletter | 1 | 0
-- u2 | purchase | 1 | 50
-- u2 | shoes | 1 | 50
-- u2 | visit | 1 | 0
-- u1 | profile | {"country": "AT"}
