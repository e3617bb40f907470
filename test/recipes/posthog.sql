-- PostHog's batch export. Anna has two devices; the other visitor has no person yet.

CREATE SCHEMA posthog;
CREATE TABLE posthog.events (uuid varchar(200) PRIMARY KEY, event varchar(200), properties jsonb, elements jsonb, set jsonb, set_once jsonb, distinct_id varchar(200), team_id integer, ip varchar(200), site_url varchar(200), "timestamp" timestamptz);
CREATE TABLE posthog.persons (team_id bigint, distinct_id text, person_id text, properties jsonb, person_distinct_id_version bigint, person_version bigint, created_at timestamptz, updated_at timestamptz, is_deleted boolean, PRIMARY KEY (team_id, distinct_id));

INSERT INTO posthog.persons (team_id, distinct_id, person_id, properties, person_distinct_id_version, person_version, is_deleted) VALUES
  (1, 'phone', 'p1', '{"$geoip_country_code": "DE"}', 0, 1, false), (1, 'laptop', 'p1', '{"$geoip_country_code": "AT"}', 0, 2, false);
INSERT INTO posthog.events (uuid, event, properties, distinct_id, team_id, "timestamp") VALUES
  ('1', '$pageview', '{"$pathname": "/"}', 'phone', 1, '2026-01-05 10:00Z'), ('2', '$pageview', '{"$pathname": "/shoes"}', 'laptop', 1, '2026-01-05 10:01Z'), ('3', '$autocapture', '{}', 'laptop', 1, '2026-01-05 10:01Z'),
  ('4', 'Product Added', '{"price": 30}', 'laptop', 1, '2026-01-05 10:02Z'),
  ('5', 'Order Completed', '{"revenue": "100.00", "products": [{"category": "shoes", "price": 30, "quantity": 2}, {"category": "hats", "price": 40}]}', 'laptop', 1, '2026-01-05 10:03Z'),
  ('6', 'Order Completed', '{"revenue": 50, "products": [{"category": "shoes", "price": 50}]}', 'tablet', 1, '2026-01-05 11:00Z'), ('7', 'Order Refunded', '{"revenue": 10}', 'phone', 1, '2026-01-07'),
  ('8', 'Newsletter Subscribed', '{}', 'tablet', 1, '2026-01-07'), ('9', 'Order Completed', '{"revenue": "free"}', 'tablet', 1, '2026-01-07');

-- expected: an order whose revenue is no number is skipped
-- person:p1 | cart | 1 | 30
-- person:p1 | purchase | 1 | 100
-- person:p1 | refund | 1 | 10
-- person:p1 | shoes | 1 | 60
-- person:p1 | visit | 2 | 0
-- tablet | newsletter | 1 | 0
-- tablet | purchase | 1 | 50
-- tablet | shoes | 1 | 50
-- person:p1 | profile | {"country": "AT"}

-- afterwards: the tablet has a person of its own; the phone was somebody else's; a wrong event is mended
INSERT INTO posthog.persons (team_id, distinct_id, person_id, properties, person_distinct_id_version, person_version, is_deleted) VALUES (1, 'tablet', 'p2', '{"$geoip_country_code": "FR"}', 0, 1, false);
UPDATE posthog.persons SET person_id = 'p2', person_distinct_id_version = 1 WHERE distinct_id = 'phone';
UPDATE posthog.events SET properties = '{"revenue": 20}' WHERE uuid = '9';
INSERT INTO posthog.events (uuid, event, properties, distinct_id, team_id, "timestamp") VALUES ('10', 'Order Cancelled', '{}', 'tablet', 1, '2026-01-08');

-- expected
-- person:p1 | cart | 1 | 30
-- person:p1 | purchase | 1 | 100
-- person:p1 | shoes | 1 | 60
-- person:p1 | visit | 1 | 0
-- person:p2 | cancelled order | 1 | 0
-- person:p2 | newsletter | 1 | 0
-- person:p2 | purchase | 2 | 70
-- person:p2 | refund | 1 | 10
-- person:p2 | shoes | 1 | 50
-- person:p2 | visit | 1 | 0
-- person:p1 | profile | {"country": "AT"}
-- status | source | posthog.events | skipped rows (an expression fails: SQLSTATE 22P02): 1
