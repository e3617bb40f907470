-- Klaviyo as Fivetran brings it.

CREATE SCHEMA klaviyo;
CREATE TABLE klaviyo.person (id text PRIMARY KEY, email text, first_name text, country text, created timestamptz, updated timestamptz, _fivetran_deleted boolean, _fivetran_synced timestamptz DEFAULT now());
CREATE TABLE klaviyo.metric (id text PRIMARY KEY, name text, integration_id text);
CREATE TABLE klaviyo.event (id text PRIMARY KEY, datetime timestamptz, metric_id text, person_id text, type text, property_value numeric, property_product_category text, _fivetran_deleted boolean, _fivetran_synced timestamptz DEFAULT now());

INSERT INTO klaviyo.person (id, email, country, updated, _fivetran_deleted) VALUES ('K1', 'Anna@example.org', 'Germany', '2026-01-05', false), ('K2', 'ben@example.org', 'France', '2026-01-05', false);
INSERT INTO klaviyo.metric (id, name) VALUES ('M1', 'Placed Order'), ('M2', 'Ordered Product'), ('M3', 'Refunded Order'), ('M4', 'Cancelled Order'), ('M5', 'Started Checkout'), ('M6', 'Subscribed to List'), ('M7', 'Active on Site'), ('M8', 'Opened Email');
INSERT INTO klaviyo.event (id, datetime, metric_id, person_id, property_value, property_product_category) VALUES
  ('E1', '2026-01-05', 'M1', 'K1', 100, NULL), ('E2', '2026-01-05', 'M2', 'K1', 60, 'shoes'), ('E3', '2026-01-05', 'M2', 'K1', 40, 'hats'), ('E4', '2026-01-07', 'M3', 'K1', 10, NULL), ('E5', '2026-01-05', 'M7', 'K1', NULL, NULL), ('E6', '2026-01-05', 'M7', 'K1', NULL, NULL),
  ('E7', '2026-01-05', 'M5', 'K2', 25, NULL), ('E8', '2026-01-05', 'M6', 'K2', NULL, NULL), ('E9', '2026-01-05', 'M8', 'K2', NULL, NULL);

-- expected
-- email:anna@example.org | purchase | 1 | 100
-- email:anna@example.org | refund | 1 | 10
-- email:anna@example.org | shoes | 1 | 60
-- email:anna@example.org | visit | 2 | 0
-- email:ben@example.org | cart | 1 | 25
-- email:ben@example.org | newsletter | 1 | 0
-- email:anna@example.org | profile | {"country": "Germany"}

-- afterwards: an order is cancelled, a person has another address, an event is deleted
INSERT INTO klaviyo.event (id, datetime, metric_id, person_id) VALUES ('E10', '2026-01-08', 'M4', 'K1');
UPDATE klaviyo.person SET email = 'benjamin@example.org', country = 'Italy' WHERE id = 'K2';
UPDATE klaviyo.event SET _fivetran_deleted = true WHERE id = 'E5';

-- expected
-- email:anna@example.org | cancelled order | 1 | 0
-- email:anna@example.org | purchase | 1 | 100
-- email:anna@example.org | refund | 1 | 10
-- email:anna@example.org | shoes | 1 | 60
-- email:anna@example.org | visit | 1 | 0
-- email:benjamin@example.org | cart | 1 | 25
-- email:benjamin@example.org | newsletter | 1 | 0
-- email:benjamin@example.org | profile | {"country": "Italy"}
