-- Snowplow's events. A visitor looks around, puts something into the basket and logs in as anna to buy it.

CREATE SCHEMA atomic;
CREATE TABLE atomic.events (app_id varchar(255), platform varchar(255), collector_tstamp timestamp NOT NULL, derived_tstamp timestamp, event varchar(128), event_id char(36) NOT NULL, user_id varchar(255), domain_userid varchar(36), network_userid varchar(38),
  page_urlpath varchar(3000), se_category varchar(1000), se_action varchar(1000), se_label varchar(1000), se_value double precision, tr_orderid varchar(255), tr_total numeric(18, 2), tr_total_base numeric(18, 2),
  ti_orderid varchar(255), ti_sku varchar(255), ti_category varchar(255), ti_price numeric(18, 2), ti_price_base numeric(18, 2), ti_quantity integer);
CREATE INDEX ON atomic.events (collector_tstamp);

INSERT INTO atomic.events (event_id, event, collector_tstamp, derived_tstamp, domain_userid, user_id, page_urlpath) VALUES
  ('1', 'page_view', '2026-01-05 10:00:01', '2026-01-05 10:00', 'd1', NULL, '/'), ('2', 'page_view', '2026-01-05 10:01:01', '2026-01-05 10:01', 'd1', NULL, '/shoes'), ('3', 'page_view', '2026-01-05 10:05:01', '2026-01-05 10:05', 'd1', 'anna', '/checkout'),
  ('4', 'page_view', '2026-01-05 11:00:01', '2026-01-05 11:00', 'd2', NULL, '/'), ('5', 'page_ping', '2026-01-05 11:00:11', '2026-01-05 11:00', 'd2', NULL, '/');
INSERT INTO atomic.events (event_id, event, collector_tstamp, derived_tstamp, domain_userid, user_id, se_category, se_action, se_value) VALUES
  ('6', 'struct', '2026-01-05 10:02:01', '2026-01-05 10:02', 'd1', NULL, 'ecomm', 'add-to-basket', 60), ('7', 'struct', '2026-01-07', '2026-01-07', NULL, 'anna', 'ecomm', 'refund', 10), ('8', 'struct', '2026-01-07', '2026-01-07', 'd2', NULL, 'ecomm', 'subscribe', NULL),
  ('9', 'struct', '2026-01-07', '2026-01-07', 'd2', NULL, 'video', 'play', 1);
INSERT INTO atomic.events (event_id, event, collector_tstamp, derived_tstamp, domain_userid, user_id, tr_orderid, tr_total, tr_total_base) VALUES ('10', 'transaction', '2026-01-05 10:06:01', '2026-01-05 10:06', 'd1', 'anna', 'o1', 110, 100);
INSERT INTO atomic.events (event_id, event, collector_tstamp, derived_tstamp, domain_userid, user_id, ti_orderid, ti_category, ti_price, ti_quantity) VALUES
  ('11', 'transaction_item', '2026-01-05 10:06:01', '2026-01-05 10:06', 'd1', 'anna', 'o1', 'shoes', 30, 2), ('12', 'transaction_item', '2026-01-05 10:06:01', '2026-01-05 10:06', 'd1', 'anna', 'o1', 'hats', 40, 1);

-- expected
-- anna | cart | 1 | 60
-- anna | purchase | 1 | 100
-- anna | refund | 1 | 10
-- anna | shoes | 1 | 60
-- anna | visit | 3 | 0
-- d2 | newsletter | 1 | 0
-- d2 | visit | 1 | 0

-- afterwards: the other one logs in, an order is cancelled, old events are deleted
INSERT INTO atomic.events (event_id, event, collector_tstamp, derived_tstamp, domain_userid, user_id, page_urlpath) VALUES ('13', 'page_view', '2026-01-08', '2026-01-08', 'd2', 'ben', '/');
INSERT INTO atomic.events (event_id, event, collector_tstamp, derived_tstamp, domain_userid, user_id, se_category, se_action) VALUES ('14', 'struct', '2026-01-08', '2026-01-08', 'd1', 'anna', 'ecomm', 'cancel');
DELETE FROM atomic.events WHERE event_id = '1';

-- expected
-- anna | cancelled order | 1 | 0
-- anna | cart | 1 | 60
-- anna | purchase | 1 | 100
-- anna | refund | 1 | 10
-- anna | shoes | 1 | 60
-- anna | visit | 2 | 0
-- ben | newsletter | 1 | 0
-- ben | visit | 2 | 0
