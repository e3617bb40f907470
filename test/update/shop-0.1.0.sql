-- A dump of a small shop, by version 0.1.0, without comments and owners. score_of_old and timeline_of_old have the
-- scores and timelines of that version.
SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
CREATE SCHEMA leadscore;
CREATE SCHEMA shop;
CREATE EXTENSION IF NOT EXISTS leadscore WITH SCHEMA leadscore;
CREATE TABLE leadscore.lead_timeline_0 (
    lead_id text,
    timeline leadscore.timeline,
    CONSTRAINT lead_timeline_0_leads CHECK ((leadscore.timeline_partition(lead_id, 2) = 0))
)
INHERITS (leadscore.lead_timeline);
COMMENT ON TABLE leadscore.lead_timeline_0 IS 'timelines of the leads with leadscore.timeline_partition(lead_id, 2) = 0';
COMMENT ON COLUMN leadscore.lead_timeline_0.lead_id IS 'the lead';
COMMENT ON COLUMN leadscore.lead_timeline_0.timeline IS 'what it did';
CREATE TABLE leadscore.lead_timeline_1 (
    lead_id text,
    timeline leadscore.timeline,
    CONSTRAINT lead_timeline_1_leads CHECK ((leadscore.timeline_partition(lead_id, 2) = 1))
)
INHERITS (leadscore.lead_timeline);
COMMENT ON TABLE leadscore.lead_timeline_1 IS 'timelines of the leads with leadscore.timeline_partition(lead_id, 2) = 1';
COMMENT ON COLUMN leadscore.lead_timeline_1.lead_id IS 'the lead';
COMMENT ON COLUMN leadscore.lead_timeline_1.timeline IS 'what it did';
CREATE VIEW shop.best AS
 SELECT s.lead_id,
    s.score,
    leadscore.score(s.lead_id, 'orders'::text, now()) AS again
   FROM leadscore.lead_score s
  WHERE (s.model = 'orders'::text);
CREATE VIEW shop.best_gold AS
 SELECT b.lead_id,
    c."from",
    c."to"
   FROM (shop.best b
     JOIN leadscore.segment_change c ON ((c.lead_id = b.lead_id)));
CREATE TABLE shop.customer (
    id text NOT NULL,
    country text
);
CREATE TABLE shop.orders (
    id integer NOT NULL,
    customer text,
    placed_at timestamp with time zone,
    total numeric,
    items integer
);
CREATE TABLE shop.score_of_old (
    model text,
    lead_id text,
    score double precision
);
CREATE TABLE shop.timeline_of_old (
    lead_id text,
    timeline text
);
CREATE TABLE shop.visit (
    visitor text,
    at timestamp with time zone NOT NULL
)
PARTITION BY RANGE (at);
CREATE TABLE shop.visit_1 (
    visitor text,
    at timestamp with time zone NOT NULL
);
CREATE TABLE shop.visit_2 (
    visitor text,
    at timestamp with time zone NOT NULL
);
ALTER TABLE ONLY shop.visit ATTACH PARTITION shop.visit_1 FOR VALUES FROM ('2026-01-01 00:00:00+00') TO ('2026-07-01 00:00:00+00');
ALTER TABLE ONLY shop.visit ATTACH PARTITION shop.visit_2 DEFAULT;
COPY leadscore.model (model, description, floor, ceiling, intercept, slope) FROM stdin;
ecommerce	An online shop: what leads look at, put in the cart and buy, less what puts them off. Interest fades, orders stay. Scores may be negative; 50 is medium, 100 is high.	\N	\N	\N	\N
orders	\N	\N	\N	\N	\N
\.
COPY leadscore.category (model, category, min_points, max_points) FROM stdin;
ecommerce	browsing	\N	30
ecommerce	email	\N	15
ecommerce	loyalty	\N	50
ecommerce	warnings	-60	\N
ecommerce	profile	\N	15
\.
COPY leadscore.change_clock (ahead) FROM stdin;
\.
COPY leadscore.change_consumer (consumer, tick, change_id, given_tick, given_id, taken_tick, taken_id, taken_by) FROM stdin;
\.
COPY leadscore.changed_lead (lead_id) FROM stdin;
c5
\.
COPY leadscore.signal (signal, signal_id, subject, kind, match, condition, description) FROM stdin;
product_view	2	event	product_view	\N	\N	Looked at a product
search	3	event	search	\N	\N	Searched the site
mobile_activity	4	event	\N	{"device": "mobile"}	\N	Did anything on a phone: any kind of event whose device is mobile
newsletter_signup	5	event	newsletter_signup	\N	\N	Signed up for the newsletter
email_open	6	event	email_open	\N	\N	Opened an email
email_click	7	event	email_click	\N	\N	Followed a link in an email
form_submit	8	event	form_submit	\N	\N	Sent a form, such as a question or a callback request
social_share	9	event	social_share	\N	\N	Shared something on a social network
add_to_cart	10	event	add_to_cart	\N	\N	Put a product in the cart
cart_abandoned	11	event	cart_abandoned	\N	\N	Left with a full cart: wanted to buy, may yet do so
purchase	12	event	purchase	\N	\N	Placed an order; the value is the order's total
return	13	event	return	\N	\N	Sent goods back
complaint	14	event	complaint	\N	\N	Complained
unsubscribe	15	event	unsubscribe	\N	\N	Left the mailing list
any_activity	16	event	\N	\N	\N	Did anything at all: shows how long a lead has been silent
country_de	17	profile	\N	{"country": "DE"}	\N	Is in Germany (an example: put your own market here)
age_25_to_44	18	profile	\N	\N	($."age" >= 25 && $."age" < 45)	Is 25 to 44 years old (an example of an age band)
age_45_to_64	19	profile	\N	\N	($."age" >= 45 && $."age" < 65)	Is 45 to 64 years old (an example of an age band)
profession_designer	20	profile	\N	{"profession": "designer"}	\N	Works as a designer (an example of a profession)
order	21	event	order	\N	\N	\N
large order	22	event	order	\N	($."items" > 2)	\N
german	23	profile	\N	{"country": "DE"}	\N	\N
visit	1	event	visit	\N	\N	\N
\.
COPY leadscore.channel (channel, signal) FROM stdin;
\.
COPY leadscore.compaction (compacted_before, finished) FROM stdin;
\.
COPY leadscore.conversion (model, signal) FROM stdin;
ecommerce	purchase
\.
COPY leadscore.counted_signal (signal_id, definition) FROM stdin;
1	{"kind": "visit", "match": null, "condition": null}
2	{"kind": "product_view", "match": null, "condition": null}
3	{"kind": "search", "match": null, "condition": null}
4	{"kind": null, "match": {"device": "mobile"}, "condition": null}
5	{"kind": "newsletter_signup", "match": null, "condition": null}
6	{"kind": "email_open", "match": null, "condition": null}
7	{"kind": "email_click", "match": null, "condition": null}
8	{"kind": "form_submit", "match": null, "condition": null}
9	{"kind": "social_share", "match": null, "condition": null}
10	{"kind": "add_to_cart", "match": null, "condition": null}
11	{"kind": "cart_abandoned", "match": null, "condition": null}
12	{"kind": "purchase", "match": null, "condition": null}
13	{"kind": "return", "match": null, "condition": null}
14	{"kind": "complaint", "match": null, "condition": null}
15	{"kind": "unsubscribe", "match": null, "condition": null}
16	{"kind": null, "match": null, "condition": null}
21	{"kind": "order", "match": null, "condition": null}
22	{"kind": "order", "match": null, "condition": "($.\\"items\\" > 2)"}
\.
COPY leadscore.crm_state (model, lead_id, score, grade, segment, stage, probability, reason_1, reason_2, reason_3, deleted, change_id, changed_at) FROM stdin;
\.
COPY leadscore.derivation (derivation, behaviour, derived_kind, kinds, until_kinds, gap, delay, cap) FROM stdin;
visit	visit	visit	{visit,cart}	\N	00:30:00	\N	\N
\.
COPY leadscore.derivation_due (lead_id, due_at) FROM stdin;
c5	2026-07-12 00:00:00+00
c4	2026-07-10 00:00:00+00
c2	2026-07-06 00:00:00+00
c3	2026-07-08 00:00:00+00
c1	2026-07-04 00:00:00+00
c0	2026-07-02 00:00:00+00
\.
COPY leadscore.derivation_state (only_row, derived_until) FROM stdin;
t	2026-07-01 00:00:00+00
\.
COPY leadscore.derived_event (derived_event_id, lead_id, kind, occurred_at, value, properties, derivation) FROM stdin;
1	c0	visit	2026-06-01 00:00:00+00	0	{"events": 1}	visit
2	c1	visit	2026-06-02 00:00:00+00	0	{"events": 1}	visit
3	c1	visit	2026-06-22 00:00:00+00	0	{"events": 1}	visit
4	c2	visit	2026-06-24 00:00:00+00	0	{"events": 1}	visit
5	c3	visit	2026-06-26 00:00:00+00	0	{"events": 1}	visit
6	c4	visit	2026-06-28 00:00:00+00	0	{"events": 1}	visit
7	c5	visit	2026-06-30 00:00:00+00	0	{"events": 1}	visit
8	x	visit	2026-05-06 11:00:00+00	1200	{"events": 2}	visit
\.
COPY leadscore.event (event_id, lead_id, kind, occurred_at, value, properties, dedup_key) FROM stdin;
1	c1	purchase	2026-05-05 10:00:00+00	99.5	{"sku": "a"}	k1
2	x	visit	2026-05-06 11:00:00+00	\N	\N	k2
3	x	cart	2026-05-06 11:20:00+00	20	\N	\N
\.
COPY leadscore.experiment (experiment, control, treatment, share, starts_at, ends_at, salt, description) FROM stdin;
spring	ecommerce	orders	0.5	2026-05-01 00:00:00+00	\N	f7bac9b9-b7f5-4318-91d9-a98d7e4ba674	\N
\.
COPY leadscore.grade (model, grade, min_fit) FROM stdin;
\.
COPY leadscore.lead (lead_id, profile) FROM stdin;
c0	{"country": "DE"}
c1	{"country": "FR"}
c2	{"country": "DE"}
by hand	{"vip": true, "country": "DE"}
c3	{"vip": true}
\.
COPY leadscore.lead_alias (alias, lead_id) FROM stdin;
anonymous	c0
\.
COPY leadscore.lead_state (lead_id, model, segment, since, tick) FROM stdin;
c0	orders	gold	2026-11-30 14:48:37.634328+00	869
c1	orders	silver	2026-11-30 14:48:37.634328+00	869
c2	orders	gold	2026-11-30 14:48:37.634328+00	869
c3	orders	silver	2026-11-30 14:48:37.634328+00	869
c5	orders	gold	2026-11-30 14:48:37.829743+00	873
\.
COPY leadscore.lead_timeline (lead_id, timeline) FROM stdin;
\.
COPY leadscore.lead_timeline_0 (lead_id, timeline) FROM stdin;
c2	{1: 2026-06-24T00Z 1, 2026-07-06T00Z 1; 16: 2026-03-01T14Z 1 20, 2026-03-02T18Z 1 60, 2026-03-03T22Z 1 100, 2026-03-05T02Z 1 140, 2026-03-06T06Z 1 180, 2026-06-24T00Z 1, 2026-07-06T00Z 1; 21: 2026-03-01T14Z 1 20, 2026-03-02T18Z 1 60, 2026-03-03T22Z 1 100, 2026-03-05T02Z 1 140, 2026-03-06T06Z 1 180; 22: 2026-03-05T02Z 1 140, 2026-03-06T06Z 1 180}
c3	{1: 2026-06-26T00Z 1, 2026-07-08T00Z 1; 16: 2026-03-01T21Z 1 30, 2026-03-03T01Z 1 70, 2026-03-04T05Z 1 110, 2026-03-05T09Z 1 150, 2026-03-06T13Z 1 190, 2026-06-26T00Z 1, 2026-07-08T00Z 1; 21: 2026-03-01T21Z 1 30, 2026-03-03T01Z 1 70, 2026-03-04T05Z 1 110, 2026-03-05T09Z 1 150, 2026-03-06T13Z 1 190; 22: 2026-03-01T21Z 1 30, 2026-03-06T13Z 1 190}
\.
COPY leadscore.lead_timeline_1 (lead_id, timeline) FROM stdin;
c4	{1: 2026-06-28T00Z 1, 2026-07-10T00Z 1; 16: 2026-06-28T00Z 1, 2026-07-10T00Z 1}
c1	{1: 2026-06-22T00Z 1, 2026-07-04T00Z 1; 12: 2026-05-05T10Z 1 99.5; 16: 2026-03-01T07Z 1 10, 2026-03-02T11Z 1 50, 2026-03-03T15Z 1 90, 2026-03-04T19Z 1 130, 2026-03-05T23Z 1 170, 2026-05-05T10Z 1 99.5, 2026-06-22T00Z 1, 2026-07-04T00Z 1; 21: 2026-03-01T07Z 1 10, 2026-03-02T11Z 1 50, 2026-03-03T15Z 1 90, 2026-03-04T19Z 1 130, 2026-03-05T23Z 1 170; 22: 2026-03-03T15Z 1 90, 2026-03-04T19Z 1 130}
x	{1: 2026-05-06T11Z 1; 16: 2026-05-06T11Z 2 20}
c0	{1: 2026-07-02T00Z 1, 2026-07-14T00Z 1; 16: 2026-03-02T04Z 1 40, 2026-03-03T08Z 1 80, 2026-03-04T12Z 1 120, 2026-03-05T16Z 1 160, 2026-03-06T20Z 1 200, 2026-07-02T00Z 1, 2026-07-14T00Z 1; 21: 2026-03-02T04Z 1 40, 2026-03-03T08Z 1 80, 2026-03-04T12Z 1 120, 2026-03-05T16Z 1 160, 2026-03-06T20Z 1 200; 22: 2026-03-02T04Z 1 40, 2026-03-03T08Z 1 80}
c5	{1: 2026-06-30T00Z 1, 2026-07-12T00Z 1; 16: 2026-06-30T00Z 1, 2026-07-12T00Z 1, 2026-11-30T11Z 4 40; 21: 2026-11-30T11Z 4 40; 22: 2026-11-30T11Z 4 40}
\.
COPY leadscore.model_version (model, version, document, report, published_by, published_at) FROM stdin;
ecommerce	1	{"model": "ecommerce", "grades": [], "stages": [{"stage": "awareness", "within": "180 days", "position": 1}, {"stage": "consideration", "within": "90 days", "position": 2}, {"stage": "decision", "within": "30 days", "position": 3}], "signals": [{"kind": "visit", "signal": "visit", "subject": "event", "signal_id": 1, "description": "Came to the site"}, {"kind": "product_view", "signal": "product_view", "subject": "event", "signal_id": 2, "description": "Looked at a product"}, {"kind": "search", "signal": "search", "subject": "event", "signal_id": 3, "description": "Searched the site"}, {"match": {"device": "mobile"}, "signal": "mobile_activity", "subject": "event", "signal_id": 4, "description": "Did anything on a phone: any kind of event whose device is mobile"}, {"kind": "newsletter_signup", "signal": "newsletter_signup", "subject": "event", "signal_id": 5, "description": "Signed up for the newsletter"}, {"kind": "email_open", "signal": "email_open", "subject": "event", "signal_id": 6, "description": "Opened an email"}, {"kind": "email_click", "signal": "email_click", "subject": "event", "signal_id": 7, "description": "Followed a link in an email"}, {"kind": "form_submit", "signal": "form_submit", "subject": "event", "signal_id": 8, "description": "Sent a form, such as a question or a callback request"}, {"kind": "social_share", "signal": "social_share", "subject": "event", "signal_id": 9, "description": "Shared something on a social network"}, {"kind": "add_to_cart", "signal": "add_to_cart", "subject": "event", "signal_id": 10, "description": "Put a product in the cart"}, {"kind": "cart_abandoned", "signal": "cart_abandoned", "subject": "event", "signal_id": 11, "description": "Left with a full cart: wanted to buy, may yet do so"}, {"kind": "purchase", "signal": "purchase", "subject": "event", "signal_id": 12, "description": "Placed an order; the value is the order's total"}, {"kind": "return", "signal": "return", "subject": "event", "signal_id": 13, "description": "Sent goods back"}, {"kind": "complaint", "signal": "complaint", "subject": "event", "signal_id": 14, "description": "Complained"}, {"kind": "unsubscribe", "signal": "unsubscribe", "subject": "event", "signal_id": 15, "description": "Left the mailing list"}, {"signal": "any_activity", "subject": "event", "signal_id": 16, "description": "Did anything at all: shows how long a lead has been silent"}, {"match": {"country": "DE"}, "signal": "country_de", "subject": "profile", "signal_id": 17, "description": "Is in Germany (an example: put your own market here)"}, {"signal": "age_25_to_44", "subject": "profile", "condition": "($.\\"age\\" >= 25 && $.\\"age\\" < 45)", "signal_id": 18, "description": "Is 25 to 44 years old (an example of an age band)"}, {"signal": "age_45_to_64", "subject": "profile", "condition": "($.\\"age\\" >= 45 && $.\\"age\\" < 65)", "signal_id": 19, "description": "Is 45 to 64 years old (an example of an age band)"}, {"match": {"profession": "designer"}, "signal": "profession_designer", "subject": "profile", "signal_id": 20, "description": "Works as a designer (an example of a profession)"}], "weights": [{"curve": "linear", "stage": "awareness", "points": 1, "signal": "visit", "measure": "count", "category": "browsing", "half_life": "30 days", "weight_id": 1, "max_per_day": 3}, {"curve": "linear", "stage": "consideration", "points": 2, "signal": "product_view", "measure": "count", "category": "browsing", "half_life": "14 days", "weight_id": 2, "max_per_day": 5}, {"curve": "linear", "stage": "consideration", "points": 2, "signal": "search", "measure": "count", "category": "browsing", "weight_id": 3, "fades_over": "30 days", "max_per_day": 3}, {"curve": "linear", "points": 1, "signal": "mobile_activity", "within": "30 days", "measure": "active_days", "category": "browsing", "weight_id": 4, "max_points": 5}, {"curve": "linear", "stage": "awareness", "points": 5, "signal": "newsletter_signup", "measure": "count", "weight_id": 5, "max_points": 5}, {"curve": "linear", "stage": "awareness", "points": 1, "signal": "email_open", "measure": "count", "category": "email", "half_life": "30 days", "weight_id": 6, "max_points": 5, "max_per_day": 1}, {"curve": "linear", "stage": "consideration", "points": 3, "signal": "email_click", "measure": "count", "category": "email", "half_life": "30 days", "weight_id": 7, "max_per_day": 2}, {"curve": "linear", "stage": "consideration", "points": 8, "signal": "form_submit", "measure": "count", "half_life": "60 days", "weight_id": 8, "max_points": 16, "max_per_day": 1}, {"curve": "linear", "stage": "awareness", "points": 4, "signal": "social_share", "measure": "count", "half_life": "60 days", "weight_id": 9, "max_points": 12, "max_per_day": 1}, {"curve": "linear", "stage": "decision", "points": 10, "signal": "add_to_cart", "measure": "count", "half_life": "14 days", "weight_id": 10, "max_points": 30, "max_per_day": 2}, {"curve": "linear", "stage": "decision", "points": 15, "signal": "cart_abandoned", "measure": "count", "weight_id": 11, "fades_over": "30 days", "max_points": 30, "max_per_day": 1}, {"curve": "linear", "stage": "decision", "points": 25, "signal": "purchase", "measure": "count", "weight_id": 12}, {"curve": "log", "points": 3, "signal": "purchase", "measure": "value", "category": "loyalty", "half_life": "180 days", "weight_id": 13, "max_points": 25}, {"below": 4, "curve": "linear", "points": 10, "signal": "purchase", "within": "90 days", "measure": "count", "at_least": 2, "category": "loyalty", "weight_id": 14}, {"curve": "linear", "points": 20, "signal": "purchase", "within": "90 days", "measure": "count", "at_least": 4, "category": "loyalty", "weight_id": 15}, {"below": 100, "curve": "linear", "points": 5, "signal": "purchase", "measure": "average_value", "at_least": 50, "category": "loyalty", "weight_id": 16}, {"below": 250, "curve": "linear", "points": 10, "signal": "purchase", "measure": "average_value", "at_least": 100, "category": "loyalty", "weight_id": 17}, {"curve": "linear", "points": 15, "signal": "purchase", "measure": "average_value", "at_least": 250, "category": "loyalty", "weight_id": 18}, {"below": 30, "curve": "linear", "points": 10, "signal": "purchase", "measure": "days_since_last", "at_least": 0, "category": "loyalty", "weight_id": 19}, {"below": 90, "curve": "linear", "points": 5, "signal": "purchase", "measure": "days_since_last", "at_least": 30, "category": "loyalty", "weight_id": 20}, {"below": 180, "curve": "linear", "points": 2, "signal": "purchase", "measure": "days_since_last", "at_least": 90, "category": "loyalty", "weight_id": 21}, {"curve": "linear", "points": -20, "signal": "cart_abandoned", "within": "30 days", "measure": "count", "at_least": 3, "category": "warnings", "weight_id": 22}, {"curve": "linear", "points": -10, "signal": "return", "measure": "count", "category": "warnings", "half_life": "180 days", "weight_id": 23}, {"curve": "linear", "points": -15, "signal": "complaint", "measure": "count", "category": "warnings", "half_life": "90 days", "weight_id": 24}, {"curve": "linear", "points": -15, "signal": "unsubscribe", "measure": "count", "category": "warnings", "weight_id": 25, "min_points": -15}, {"below": 120, "curve": "linear", "points": -10, "signal": "any_activity", "measure": "days_since_last", "at_least": 60, "category": "warnings", "weight_id": 26}, {"below": 240, "curve": "linear", "points": -20, "signal": "any_activity", "measure": "days_since_last", "at_least": 120, "category": "warnings", "weight_id": 27}, {"curve": "linear", "points": -40, "signal": "any_activity", "measure": "days_since_last", "at_least": 240, "category": "warnings", "weight_id": 28}, {"curve": "linear", "points": 10, "signal": "country_de", "measure": "present", "category": "profile", "weight_id": 29}, {"curve": "linear", "points": 5, "signal": "age_25_to_44", "measure": "present", "category": "profile", "weight_id": 30}, {"curve": "linear", "points": 3, "signal": "age_45_to_64", "measure": "present", "category": "profile", "weight_id": 31}, {"curve": "linear", "points": 5, "signal": "profession_designer", "measure": "present", "category": "profile", "weight_id": 32}], "segments": [{"segment": "high", "position": 1, "min_score": 100}, {"segment": "medium", "position": 2, "min_score": 50}, {"segment": "low", "position": 3}], "categories": [{"category": "browsing", "max_points": 30}, {"category": "email", "max_points": 15}, {"category": "loyalty", "max_points": 50}, {"category": "profile", "max_points": 15}, {"category": "warnings", "min_points": -60}], "description": "An online shop: what leads look at, put in the cart and buy, less what puts them off. Interest fades, orders stay. Scores may be negative; 50 is medium, 100 is high."}	\N	postgres	2026-11-30 14:48:35.492831+00
orders	1	{"model": "orders", "grades": [], "stages": [], "signals": [{"kind": "visit", "signal": "visit", "subject": "event", "signal_id": 1}, {"kind": "order", "signal": "order", "subject": "event", "signal_id": 21}, {"kind": "order", "signal": "large order", "subject": "event", "condition": "($.\\"items\\" > 2)", "signal_id": 22}, {"match": {"country": "DE"}, "signal": "german", "subject": "profile", "signal_id": 23}], "weights": [{"curve": "linear", "points": 2, "signal": "order", "measure": "count", "half_life": "30 days", "weight_id": 33}, {"curve": "linear", "points": 3, "signal": "large order", "measure": "count", "weight_id": 34, "max_points": 9}, {"curve": "linear", "points": 1.5, "signal": "german", "measure": "present", "weight_id": 35}, {"curve": "linear", "points": 0.5, "signal": "visit", "measure": "count", "weight_id": 36}], "segments": [{"segment": "gold", "position": 1, "min_score": 8}, {"segment": "silver", "position": 2, "min_score": 2}], "categories": []}	\N	postgres	2026-11-30 14:48:35.708263+00
\.
COPY leadscore.offer (offer, model, segment, kind, discount, valid_for, budget, holdout_share, starts_at, ends_at) FROM stdin;
ten	orders	gold	percent	10	90 days	5	0	-infinity	\N
free	orders	silver	percent	5	90 days	\N	0.5	-infinity	\N
\.
COPY leadscore.offer_slot (offer, slot) FROM stdin;
ten	2
ten	3
ten	4
ten	5
\.
COPY leadscore.pending_delta (lead_id, delta) FROM stdin;
anonymous	{1: 2026-06-01T00Z 1; 16: 2026-06-01T00Z 1}
c1	{1: 2026-06-02T00Z 1; 16: 2026-06-02T00Z 1}
c0	{1: 2026-06-01T00Z 1; 16: 2026-06-01T00Z 1}
c1	{1: 2026-06-02T00Z 1, 2026-06-22T00Z 1; 16: 2026-06-02T00Z 1, 2026-06-22T00Z 1}
c2	{1: 2026-06-24T00Z 1; 16: 2026-06-24T00Z 1}
c3	{1: 2026-06-26T00Z 1; 16: 2026-06-26T00Z 1}
c4	{1: 2026-06-28T00Z 1; 16: 2026-06-28T00Z 1}
c5	{1: 2026-06-30T00Z 1; 16: 2026-06-30T00Z 1}
x	{1: 2026-05-06T11Z 1 1200; 16: 2026-05-06T11Z 1 1200}
\.
COPY leadscore.rfm_group (rfm_group, "position", min_recency, max_recency, min_frequency, max_frequency, min_monetary, max_monetary) FROM stdin;
\.
COPY leadscore.segment (model, segment, "position", min_score, min_fit, min_engagement, hysteresis, cool_down) FROM stdin;
ecommerce	high	1	100	\N	\N	\N	\N
ecommerce	medium	2	50	\N	\N	\N	\N
ecommerce	low	3	\N	\N	\N	\N	\N
orders	gold	1	8	\N	\N	\N	\N
orders	silver	2	2	\N	\N	\N	\N
\.
COPY leadscore.segment_change (change_id, model, lead_id, "from", "to", score, changed_at, cause, tick) FROM stdin;
1	orders	c0	\N	gold	8.519062287919354	2026-11-30 14:48:37.634328+00	watch	869
2	orders	c1	\N	silver	7.018680779031956	2026-11-30 14:48:37.634328+00	watch	869
3	orders	c2	\N	gold	8.518807092642747	2026-11-30 14:48:37.634328+00	watch	869
4	orders	c3	\N	silver	7.018934260346842	2026-11-30 14:48:37.634328+00	watch	869
5	orders	c5	\N	gold	17.976928426676714	2026-11-30 14:48:37.829743+00	event	873
\.
COPY leadscore.snapshot_state (only_row, first_refreshed_at) FROM stdin;
t	2026-11-30 14:48:37.91028+00
\.
COPY leadscore.spend (channel, day, amount) FROM stdin;
ads	2026-05-01	120
\.
COPY leadscore.stage (model, stage, "position", within) FROM stdin;
ecommerce	awareness	1	180 days
ecommerce	consideration	2	90 days
ecommerce	decision	3	30 days
\.
COPY leadscore.voucher (voucher_id, offer, kind, terms, lead_id, code, issued_at, expires_at, expired, redeemed_at, order_ref, discount) FROM stdin;
1	ten	percent	10	c5	8X4K-WA2F-24ZX-YFKP	2026-11-30 14:48:37.829743+00	2027-02-28 14:48:37.829743+00	f	\N	\N	\N
\.
COPY leadscore.watched_model (model, active, seen, notify) FROM stdin;
orders	t	t	f
\.
COPY leadscore.weight (weight_id, model, signal, measure, points, curve, half_life, fades_over, within, at_least, below, max_per_day, min_points, max_points, category, stage) FROM stdin;
1	ecommerce	visit	count	1	linear	30 days	\N	\N	\N	\N	3	\N	\N	browsing	awareness
2	ecommerce	product_view	count	2	linear	14 days	\N	\N	\N	\N	5	\N	\N	browsing	consideration
3	ecommerce	search	count	2	linear	\N	30 days	\N	\N	\N	3	\N	\N	browsing	consideration
4	ecommerce	mobile_activity	active_days	1	linear	\N	\N	30 days	\N	\N	\N	\N	5	browsing	\N
5	ecommerce	newsletter_signup	count	5	linear	\N	\N	\N	\N	\N	\N	\N	5	\N	awareness
6	ecommerce	email_open	count	1	linear	30 days	\N	\N	\N	\N	1	\N	5	email	awareness
7	ecommerce	email_click	count	3	linear	30 days	\N	\N	\N	\N	2	\N	\N	email	consideration
8	ecommerce	form_submit	count	8	linear	60 days	\N	\N	\N	\N	1	\N	16	\N	consideration
9	ecommerce	social_share	count	4	linear	60 days	\N	\N	\N	\N	1	\N	12	\N	awareness
10	ecommerce	add_to_cart	count	10	linear	14 days	\N	\N	\N	\N	2	\N	30	\N	decision
11	ecommerce	cart_abandoned	count	15	linear	\N	30 days	\N	\N	\N	1	\N	30	\N	decision
12	ecommerce	purchase	count	25	linear	\N	\N	\N	\N	\N	\N	\N	\N	\N	decision
13	ecommerce	purchase	value	3	log	180 days	\N	\N	\N	\N	\N	\N	25	loyalty	\N
14	ecommerce	purchase	count	10	linear	\N	\N	90 days	2	4	\N	\N	\N	loyalty	\N
15	ecommerce	purchase	count	20	linear	\N	\N	90 days	4	\N	\N	\N	\N	loyalty	\N
16	ecommerce	purchase	average_value	5	linear	\N	\N	\N	50	100	\N	\N	\N	loyalty	\N
17	ecommerce	purchase	average_value	10	linear	\N	\N	\N	100	250	\N	\N	\N	loyalty	\N
18	ecommerce	purchase	average_value	15	linear	\N	\N	\N	250	\N	\N	\N	\N	loyalty	\N
19	ecommerce	purchase	days_since_last	10	linear	\N	\N	\N	0	30	\N	\N	\N	loyalty	\N
20	ecommerce	purchase	days_since_last	5	linear	\N	\N	\N	30	90	\N	\N	\N	loyalty	\N
21	ecommerce	purchase	days_since_last	2	linear	\N	\N	\N	90	180	\N	\N	\N	loyalty	\N
22	ecommerce	cart_abandoned	count	-20	linear	\N	\N	30 days	3	\N	\N	\N	\N	warnings	\N
23	ecommerce	return	count	-10	linear	180 days	\N	\N	\N	\N	\N	\N	\N	warnings	\N
24	ecommerce	complaint	count	-15	linear	90 days	\N	\N	\N	\N	\N	\N	\N	warnings	\N
25	ecommerce	unsubscribe	count	-15	linear	\N	\N	\N	\N	\N	\N	-15	\N	warnings	\N
26	ecommerce	any_activity	days_since_last	-10	linear	\N	\N	\N	60	120	\N	\N	\N	warnings	\N
27	ecommerce	any_activity	days_since_last	-20	linear	\N	\N	\N	120	240	\N	\N	\N	warnings	\N
28	ecommerce	any_activity	days_since_last	-40	linear	\N	\N	\N	240	\N	\N	\N	\N	warnings	\N
29	ecommerce	country_de	present	10	linear	\N	\N	\N	\N	\N	\N	\N	\N	profile	\N
30	ecommerce	age_25_to_44	present	5	linear	\N	\N	\N	\N	\N	\N	\N	\N	profile	\N
31	ecommerce	age_45_to_64	present	3	linear	\N	\N	\N	\N	\N	\N	\N	\N	profile	\N
32	ecommerce	profession_designer	present	5	linear	\N	\N	\N	\N	\N	\N	\N	\N	profile	\N
33	orders	order	count	2	linear	30 days	\N	\N	\N	\N	\N	\N	\N	\N	\N
34	orders	large order	count	3	linear	\N	\N	\N	\N	\N	\N	\N	9	\N	\N
35	orders	german	present	1.5	linear	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N
36	orders	visit	count	0.5	linear	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N
\.
COPY shop.customer (id, country) FROM stdin;
c0	DE
c1	FR
c2	DE
\.
COPY shop.orders (id, customer, placed_at, total, items) FROM stdin;
1	c1	2026-03-01 07:00:00+00	10	1
2	c2	2026-03-01 14:00:00+00	20	2
3	c3	2026-03-01 21:00:00+00	30	3
4	c0	2026-03-02 04:00:00+00	40	4
5	c1	2026-03-02 11:00:00+00	50	0
6	c2	2026-03-02 18:00:00+00	60	1
7	c3	2026-03-03 01:00:00+00	70	2
8	c0	2026-03-03 08:00:00+00	80	3
9	c1	2026-03-03 15:00:00+00	90	4
10	c2	2026-03-03 22:00:00+00	100	0
11	c3	2026-03-04 05:00:00+00	110	1
12	c0	2026-03-04 12:00:00+00	120	2
13	c1	2026-03-04 19:00:00+00	130	3
14	c2	2026-03-05 02:00:00+00	140	4
15	c3	2026-03-05 09:00:00+00	150	0
16	c0	2026-03-05 16:00:00+00	160	1
17	c1	2026-03-05 23:00:00+00	170	2
18	c2	2026-03-06 06:00:00+00	180	3
19	c3	2026-03-06 13:00:00+00	190	4
20	c0	2026-03-06 20:00:00+00	200	0
21	c5	2026-11-30 11:48:37.827223+00	10	3
22	c5	2026-11-30 11:48:37.827223+00	10	3
23	c5	2026-11-30 11:48:37.827223+00	10	3
24	c5	2026-11-30 11:48:37.827223+00	10	3
\.
COPY shop.score_of_old (model, lead_id, score) FROM stdin;
ecommerce	c5	1.9543199368684918
ecommerce	c4	1.8660659830736148
ecommerce	c2	11.701334321901712
ecommerce	c3	1.7817974362806785
ecommerce	c1	50.831934030291194
ecommerce	x	0.554250899322522
ecommerce	c0	11
ecommerce	by hand	10
orders	c5	1
orders	c4	1
orders	c2	9.138842307374492
orders	c3	7.643161960127345
orders	c1	8.634551666598504
orders	x	1
orders	c0	9.14751082102701
orders	by hand	1.5
\.
COPY shop.timeline_of_old (lead_id, timeline) FROM stdin;
c5	{1: 2026-06-30T00Z 2, 2026-07-12T00Z 1; 16: 2026-06-30T00Z 2, 2026-07-12T00Z 1, 2026-11-30T11Z 4 40; 21: 2026-11-30T11Z 4 40; 22: 2026-11-30T11Z 4 40}
c4	{1: 2026-06-28T00Z 2, 2026-07-10T00Z 1; 16: 2026-06-28T00Z 2, 2026-07-10T00Z 1}
c2	{1: 2026-06-24T00Z 2, 2026-07-06T00Z 1; 16: 2026-03-01T14Z 1 20, 2026-03-02T18Z 1 60, 2026-03-03T22Z 1 100, 2026-03-05T02Z 1 140, 2026-03-06T06Z 1 180, 2026-06-24T00Z 2, 2026-07-06T00Z 1; 21: 2026-03-01T14Z 1 20, 2026-03-02T18Z 1 60, 2026-03-03T22Z 1 100, 2026-03-05T02Z 1 140, 2026-03-06T06Z 1 180; 22: 2026-03-05T02Z 1 140, 2026-03-06T06Z 1 180}
c3	{1: 2026-06-26T00Z 2, 2026-07-08T00Z 1; 16: 2026-03-01T21Z 1 30, 2026-03-03T01Z 1 70, 2026-03-04T05Z 1 110, 2026-03-05T09Z 1 150, 2026-03-06T13Z 1 190, 2026-06-26T00Z 2, 2026-07-08T00Z 1; 21: 2026-03-01T21Z 1 30, 2026-03-03T01Z 1 70, 2026-03-04T05Z 1 110, 2026-03-05T09Z 1 150, 2026-03-06T13Z 1 190; 22: 2026-03-01T21Z 1 30, 2026-03-06T13Z 1 190}
c1	{1: 2026-06-02T00Z 2, 2026-06-22T00Z 2, 2026-07-04T00Z 1; 12: 2026-05-05T10Z 1 99.5; 16: 2026-03-01T07Z 1 10, 2026-03-02T11Z 1 50, 2026-03-03T15Z 1 90, 2026-03-04T19Z 1 130, 2026-03-05T23Z 1 170, 2026-05-05T10Z 1 99.5, 2026-06-02T00Z 2, 2026-06-22T00Z 2, 2026-07-04T00Z 1; 21: 2026-03-01T07Z 1 10, 2026-03-02T11Z 1 50, 2026-03-03T15Z 1 90, 2026-03-04T19Z 1 130, 2026-03-05T23Z 1 170; 22: 2026-03-03T15Z 1 90, 2026-03-04T19Z 1 130}
x	{1: 2026-05-06T11Z 2 1200; 16: 2026-05-06T11Z 3 1220}
c0	{1: 2026-06-01T00Z 2, 2026-07-02T00Z 1, 2026-07-14T00Z 1; 16: 2026-03-02T04Z 1 40, 2026-03-03T08Z 1 80, 2026-03-04T12Z 1 120, 2026-03-05T16Z 1 160, 2026-03-06T20Z 1 200, 2026-06-01T00Z 2, 2026-07-02T00Z 1, 2026-07-14T00Z 1; 21: 2026-03-02T04Z 1 40, 2026-03-03T08Z 1 80, 2026-03-04T12Z 1 120, 2026-03-05T16Z 1 160, 2026-03-06T20Z 1 200; 22: 2026-03-02T04Z 1 40, 2026-03-03T08Z 1 80}
\.
COPY shop.visit_1 (visitor, at) FROM stdin;
c1	2026-06-22 00:00:00+00
c2	2026-06-24 00:00:00+00
c3	2026-06-26 00:00:00+00
c4	2026-06-28 00:00:00+00
c5	2026-06-30 00:00:00+00
anonymous	2026-06-01 00:00:00+00
c1	2026-06-02 00:00:00+00
\.
COPY shop.visit_2 (visitor, at) FROM stdin;
c0	2026-07-02 00:00:00+00
c1	2026-07-04 00:00:00+00
c2	2026-07-06 00:00:00+00
c3	2026-07-08 00:00:00+00
c4	2026-07-10 00:00:00+00
c5	2026-07-12 00:00:00+00
c0	2026-07-14 00:00:00+00
\.
SELECT pg_catalog.setval('leadscore.crm_change_id_seq', 1, false);
SELECT pg_catalog.setval('leadscore.derived_event_derived_event_id_seq', 8, true);
SELECT pg_catalog.setval('leadscore.event_event_id_seq', 3, true);
SELECT pg_catalog.setval('leadscore.offer_slot_seq', 5, true);
SELECT pg_catalog.setval('leadscore.segment_change_change_id_seq', 5, true);
SELECT pg_catalog.setval('leadscore.signal_signal_id_seq', 24, true);
SELECT pg_catalog.setval('leadscore.voucher_voucher_id_seq', 1, true);
SELECT pg_catalog.setval('leadscore.weight_weight_id_seq', 36, true);
ALTER TABLE ONLY leadscore.lead_timeline_0
    ADD CONSTRAINT lead_timeline_0_pkey PRIMARY KEY (lead_id);
ALTER TABLE ONLY leadscore.lead_timeline_1
    ADD CONSTRAINT lead_timeline_1_pkey PRIMARY KEY (lead_id);
ALTER TABLE ONLY shop.customer
    ADD CONSTRAINT customer_pkey PRIMARY KEY (id);
ALTER TABLE ONLY shop.orders
    ADD CONSTRAINT orders_pkey PRIMARY KEY (id);
CREATE TRIGGER leadscore_1_delete AFTER DELETE ON shop.customer REFERENCING OLD TABLE AS leadscore_old FOR EACH STATEMENT EXECUTE FUNCTION leadscore.record_profile('{"lead_id": "id", "properties": ["country"]}');
CREATE TRIGGER leadscore_1_delete AFTER DELETE ON shop.orders REFERENCING OLD TABLE AS leadscore_old FOR EACH STATEMENT EXECUTE FUNCTION leadscore.record('{"kind": "order", "value": "total", "lead_id": "customer", "properties": ["items"], "occurred_at": "placed_at"}');
CREATE TRIGGER leadscore_1_delete AFTER DELETE ON shop.visit REFERENCING OLD TABLE AS leadscore_old FOR EACH STATEMENT EXECUTE FUNCTION leadscore.record('{"kind": "visit", "lead_id": "visitor", "maintenance": "deferred", "occurred_at": "at"}');
CREATE TRIGGER leadscore_1_delete AFTER DELETE ON shop.visit_1 REFERENCING OLD TABLE AS leadscore_old FOR EACH STATEMENT EXECUTE FUNCTION leadscore.record('{"kind": "visit", "lead_id": "visitor", "partition": true, "maintenance": "deferred", "occurred_at": "at"}');
CREATE TRIGGER leadscore_1_delete AFTER DELETE ON shop.visit_2 REFERENCING OLD TABLE AS leadscore_old FOR EACH STATEMENT EXECUTE FUNCTION leadscore.record('{"kind": "visit", "lead_id": "visitor", "partition": true, "maintenance": "deferred", "occurred_at": "at"}');
CREATE TRIGGER leadscore_1_insert AFTER INSERT ON shop.customer REFERENCING NEW TABLE AS leadscore_new FOR EACH STATEMENT EXECUTE FUNCTION leadscore.record_profile('{"lead_id": "id", "properties": ["country"]}');
CREATE TRIGGER leadscore_1_insert AFTER INSERT ON shop.orders REFERENCING NEW TABLE AS leadscore_new FOR EACH STATEMENT EXECUTE FUNCTION leadscore.record('{"kind": "order", "value": "total", "lead_id": "customer", "properties": ["items"], "occurred_at": "placed_at"}');
CREATE TRIGGER leadscore_1_insert AFTER INSERT ON shop.visit REFERENCING NEW TABLE AS leadscore_new FOR EACH STATEMENT EXECUTE FUNCTION leadscore.record('{"kind": "visit", "lead_id": "visitor", "maintenance": "deferred", "occurred_at": "at"}');
CREATE TRIGGER leadscore_1_insert AFTER INSERT ON shop.visit_1 REFERENCING NEW TABLE AS leadscore_new FOR EACH STATEMENT EXECUTE FUNCTION leadscore.record('{"kind": "visit", "lead_id": "visitor", "partition": true, "maintenance": "deferred", "occurred_at": "at"}');
CREATE TRIGGER leadscore_1_insert AFTER INSERT ON shop.visit_2 REFERENCING NEW TABLE AS leadscore_new FOR EACH STATEMENT EXECUTE FUNCTION leadscore.record('{"kind": "visit", "lead_id": "visitor", "partition": true, "maintenance": "deferred", "occurred_at": "at"}');
CREATE TRIGGER leadscore_1_truncate BEFORE TRUNCATE ON shop.customer FOR EACH STATEMENT EXECUTE FUNCTION leadscore.record_profile('{"lead_id": "id", "properties": ["country"]}');
CREATE TRIGGER leadscore_1_truncate BEFORE TRUNCATE ON shop.orders FOR EACH STATEMENT EXECUTE FUNCTION leadscore.record('{"kind": "order", "value": "total", "lead_id": "customer", "properties": ["items"], "occurred_at": "placed_at"}');
CREATE TRIGGER leadscore_1_truncate BEFORE TRUNCATE ON shop.visit FOR EACH STATEMENT EXECUTE FUNCTION leadscore.record('{"kind": "visit", "lead_id": "visitor", "maintenance": "deferred", "occurred_at": "at"}');
CREATE TRIGGER leadscore_1_truncate BEFORE TRUNCATE ON shop.visit_1 FOR EACH STATEMENT EXECUTE FUNCTION leadscore.record('{"kind": "visit", "lead_id": "visitor", "partition": true, "maintenance": "deferred", "occurred_at": "at"}');
CREATE TRIGGER leadscore_1_truncate BEFORE TRUNCATE ON shop.visit_2 FOR EACH STATEMENT EXECUTE FUNCTION leadscore.record('{"kind": "visit", "lead_id": "visitor", "partition": true, "maintenance": "deferred", "occurred_at": "at"}');
CREATE TRIGGER leadscore_1_update AFTER UPDATE ON shop.customer REFERENCING OLD TABLE AS leadscore_old NEW TABLE AS leadscore_new FOR EACH STATEMENT EXECUTE FUNCTION leadscore.record_profile('{"lead_id": "id", "properties": ["country"]}');
CREATE TRIGGER leadscore_1_update AFTER UPDATE ON shop.orders REFERENCING OLD TABLE AS leadscore_old NEW TABLE AS leadscore_new FOR EACH STATEMENT EXECUTE FUNCTION leadscore.record('{"kind": "order", "value": "total", "lead_id": "customer", "properties": ["items"], "occurred_at": "placed_at"}');
CREATE TRIGGER leadscore_1_update AFTER UPDATE ON shop.visit REFERENCING OLD TABLE AS leadscore_old NEW TABLE AS leadscore_new FOR EACH STATEMENT EXECUTE FUNCTION leadscore.record('{"kind": "visit", "lead_id": "visitor", "maintenance": "deferred", "occurred_at": "at"}');
CREATE TRIGGER leadscore_1_update AFTER UPDATE ON shop.visit_1 REFERENCING OLD TABLE AS leadscore_old NEW TABLE AS leadscore_new FOR EACH STATEMENT EXECUTE FUNCTION leadscore.record('{"kind": "visit", "lead_id": "visitor", "partition": true, "maintenance": "deferred", "occurred_at": "at"}');
CREATE TRIGGER leadscore_1_update AFTER UPDATE ON shop.visit_2 REFERENCING OLD TABLE AS leadscore_old NEW TABLE AS leadscore_new FOR EACH STATEMENT EXECUTE FUNCTION leadscore.record('{"kind": "visit", "lead_id": "visitor", "partition": true, "maintenance": "deferred", "occurred_at": "at"}');
