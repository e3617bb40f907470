-- Segment's tables of a source. Anna visits twice before she logs in as u1; somebody else never does.

CREATE SCHEMA site;
CREATE TABLE site.identifies (id text PRIMARY KEY, received_at timestamptz NOT NULL, anonymous_id text, user_id text, "timestamp" timestamptz);
CREATE TABLE site.users (id text PRIMARY KEY, received_at timestamptz, plan text, industry text);
CREATE TABLE site.pages (id text PRIMARY KEY, received_at timestamptz DEFAULT now(), anonymous_id text, user_id text, path text, url text, "timestamp" timestamptz);
CREATE TABLE site.tracks (id text PRIMARY KEY, received_at timestamptz DEFAULT now(), anonymous_id text, user_id text, event text, event_text text, "timestamp" timestamptz);
CREATE TABLE site.order_completed (id text PRIMARY KEY, received_at timestamptz DEFAULT now(), anonymous_id text, user_id text, order_id text, revenue numeric, total numeric, currency text, products text, "timestamp" timestamptz);
CREATE TABLE site.order_cancelled (id text PRIMARY KEY, received_at timestamptz DEFAULT now(), anonymous_id text, user_id text, order_id text, "timestamp" timestamptz);
CREATE TABLE site.order_refunded (id text PRIMARY KEY, received_at timestamptz DEFAULT now(), anonymous_id text, user_id text, order_id text, revenue numeric, total numeric, "timestamp" timestamptz);
CREATE TABLE site.product_added (id text PRIMARY KEY, received_at timestamptz DEFAULT now(), anonymous_id text, user_id text, product_id text, price numeric, quantity integer, "timestamp" timestamptz);
CREATE TABLE site.newsletter_subscribed (id text PRIMARY KEY, received_at timestamptz DEFAULT now(), anonymous_id text, user_id text, "timestamp" timestamptz);

INSERT INTO site.pages (id, anonymous_id, user_id, path, "timestamp") VALUES ('p1', 'a1', NULL, '/', '2026-01-05 10:00Z'), ('p2', 'a1', NULL, '/shoes', '2026-01-05 10:01Z'), ('p3', 'a1', 'u1', '/cart', '2026-01-05 10:05Z'), ('p4', 'a2', NULL, '/', '2026-01-05 11:00Z');
INSERT INTO site.identifies VALUES ('i1', '2026-01-05 10:03Z', 'a1', 'u1', '2026-01-05 10:03Z');
INSERT INTO site.order_completed (id, anonymous_id, user_id, order_id, revenue, total, currency, products, "timestamp") VALUES
  ('t1', 'a1', 'u1', 'o1', 90, 100, 'EUR', '[{"product_id": "1", "category": "shoes", "price": 30, "quantity": 2}, {"product_id": "2", "category": "hats", "price": 40}]', '2026-01-05 10:06Z'),
  ('t2', 'a2', NULL, 'o2', 50, NULL, 'EUR', '[{"product_id": "1", "category": "shoes", "price": 50}]', '2026-01-05 11:01Z');
INSERT INTO site.order_refunded (id, anonymous_id, user_id, order_id, total, "timestamp") VALUES ('t3', NULL, 'u1', 'o1', 10, '2026-01-07');
INSERT INTO site.order_cancelled (id, anonymous_id, user_id, order_id, "timestamp") VALUES ('t4', 'a2', NULL, 'o2', '2026-01-07');
INSERT INTO site.product_added (id, anonymous_id, user_id, product_id, price, quantity, "timestamp") VALUES ('t5', 'a1', NULL, '1', 30, 2, '2026-01-05 10:02Z');
INSERT INTO site.newsletter_subscribed (id, anonymous_id, user_id, "timestamp") VALUES ('t6', 'a2', NULL, '2026-01-05');
INSERT INTO site.tracks (id, anonymous_id, user_id, event, "timestamp")
  SELECT id, anonymous_id, user_id, 'order_completed', "timestamp" FROM site.order_completed UNION ALL SELECT id, anonymous_id, user_id, 'order_refunded', "timestamp" FROM site.order_refunded
  UNION ALL SELECT id, anonymous_id, user_id, 'order_cancelled', "timestamp" FROM site.order_cancelled UNION ALL SELECT id, anonymous_id, user_id, 'product_added', "timestamp" FROM site.product_added
  UNION ALL SELECT id, anonymous_id, user_id, 'newsletter_subscribed', "timestamp" FROM site.newsletter_subscribed;
INSERT INTO site.users VALUES ('u1', '2026-01-05', 'free', 'retail');

-- expected
-- a2 | cancelled order | 1 | 0
-- a2 | newsletter | 1 | 0
-- a2 | purchase | 1 | 50
-- a2 | shoes | 1 | 50
-- a2 | visit | 1 | 0
-- u1 | cart | 1 | 60
-- u1 | purchase | 1 | 100
-- u1 | refund | 1 | 10
-- u1 | shoes | 1 | 60
-- u1 | visit | 3 | 0
-- u1 | profile | {"plan": "free", "industry": "retail"}

-- afterwards: the other one logs in as u2; Anna's first device turns out to be u3's, who has logged in there since
INSERT INTO site.identifies VALUES ('i2', '2026-01-08', 'a2', 'u2', '2026-01-08'), ('i3', '2026-01-09', 'a1', 'u3', '2026-01-09');
INSERT INTO site.pages (id, anonymous_id, user_id, path, "timestamp") VALUES ('p5', 'a2', 'u2', '/', '2026-01-08');
DELETE FROM site.order_cancelled;
INSERT INTO site.users VALUES ('u1', '2026-01-08', 'paid', 'retail') ON CONFLICT (id) DO UPDATE SET plan = excluded.plan;

-- expected
-- u1 | purchase | 1 | 100
-- u1 | refund | 1 | 10
-- u1 | shoes | 1 | 60
-- u1 | visit | 1 | 0
-- u2 | newsletter | 1 | 0
-- u2 | purchase | 1 | 50
-- u2 | shoes | 1 | 50
-- u2 | visit | 2 | 0
-- u3 | cart | 1 | 60
-- u3 | visit | 2 | 0
-- u1 | profile | {"plan": "paid", "industry": "retail"}
