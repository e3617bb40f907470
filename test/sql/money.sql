\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- Vouchers that a shop can trust: for what happened, bounded, redeemed once for what the order has left, and measured.

SELECT publish('{"model": "m",
	"signals": [{"signal": "visit", "kind": "visit"}, {"signal": "order", "kind": "order"},
		{"signal": "german", "subject": "profile", "match": {"country": "DE"}}, {"signal": "consent", "subject": "profile", "match": {"mail": true}}],
	"weights": [{"signal": "visit", "points": 1}, {"signal": "order", "points": 3}, {"signal": "german", "points": 2}],
	"segments": [{"segment": "hot", "position": 1, "min_score": 5}, {"segment": "warm", "position": 2, "min_score": 2}]}');
CREATE FUNCTION visits(lead_id text, n integer, at timestamptz DEFAULT now()) RETURNS void LANGUAGE sql
	AS 'INSERT INTO leadscore.event (lead_id, kind, occurred_at) SELECT lead_id, ''visit'', at FROM generate_series(1, n)';
CREATE VIEW issued AS SELECT v.offer, v.lead_id, c.cause, c.to_segment FROM voucher v LEFT JOIN segment_change c USING (change_id) ORDER BY voucher_id;
CREATE FUNCTION code_of(lead text, o text) RETURNS text LANGUAGE sql AS 'SELECT code FROM leadscore.voucher WHERE lead_id = lead AND offer = o AND code IS NOT NULL ORDER BY voucher_id DESC LIMIT 1';

-- an offer on a model that nobody watches
SET client_min_messages = notice;
INSERT INTO offer (offer, model, segment, kind, discount, valid_for, budget) VALUES ('spring', 'm', 'hot', 'amount', 5, '7 days', 100);
RESET client_min_messages;
SELECT name, state, action FROM status WHERE object = 'offer';
SELECT visits('early', 5);
CALL watch(notify => false);
SELECT name, state FROM status WHERE object = 'offer';

-- causes: an event of today
SELECT visits('anna', 5);
-- one that is older than a day
SELECT visits('ben', 5, now() - interval '2 days');
-- points, and a threshold
SELECT visits('carl', 4);
UPDATE weight SET points = 2 WHERE signal = 'visit';
SELECT refresh_segments();
UPDATE segment SET min_score = 6 WHERE segment = 'hot';
SELECT visits('dora', 3);
SELECT refresh_segments();
UPDATE segment SET min_score = 5 WHERE segment = 'hot';
UPDATE weight SET points = 1 WHERE signal = 'visit';
SELECT refresh_segments();
SELECT lead_id, from_segment, to_segment, cause FROM segment_change WHERE lead_id IN ('anna', 'ben', 'carl', 'dora') ORDER BY change_id;

-- an edit that nobody has looked at yet is the cause where it makes the difference, also for who has an event
UPDATE weight SET points = 2 WHERE signal = 'visit';
SELECT visits('edit', 3);
SELECT visits('event', 6);
-- ... and where it is taken back before anybody has looked
UPDATE weight SET points = 0.5 WHERE signal = 'visit';
SELECT visits('anna', 1);
UPDATE weight SET points = 1 WHERE signal = 'visit';
SELECT refresh_segments();
SELECT from_segment, to_segment, cause FROM segment_change WHERE lead_id = 'anna' ORDER BY change_id;
SELECT lead_id, from_segment, to_segment, cause FROM segment_change WHERE lead_id IN ('edit', 'event') ORDER BY change_id;

-- what signals count, and a rebuild
INSERT INTO event (lead_id, kind) SELECT 'fay', 'view' FROM generate_series(1, 5);
UPDATE signal SET kind = 'view' WHERE signal = 'visit';
CALL rebuild(signals => '{visit}');
UPDATE signal SET kind = 'visit' WHERE signal = 'visit';
CALL rebuild(signals => '{visit}');
SELECT lead_id, from_segment, to_segment, cause FROM segment_change WHERE lead_id IN ('fay', 'anna') ORDER BY change_id;

-- profiles: one that comes, is deleted, and comes with an event
SELECT visits('gus', 3);
INSERT INTO lead VALUES ('gus', '{"country": "DE"}');
SELECT refresh_segments();
DELETE FROM lead WHERE lead_id = 'gus';
SELECT refresh_segments();
INSERT INTO lead VALUES ('gus', '{"country": "DE"}');
SELECT visits('gus', 1);
DELETE FROM lead WHERE lead_id = 'gus';
SELECT refresh_segments();
INSERT INTO lead VALUES ('gina', '{"country": "DE"}');
SELECT visits('gina', 1);
SELECT visits('gina', 2);
SELECT lead_id, from_segment, to_segment, cause FROM segment_change WHERE lead_id IN ('gus', 'gina') ORDER BY change_id;
SELECT lead_id, profile FROM seen_profile ORDER BY 1;
-- a new profile and an edit, each of which would have been enough
SELECT visits('gerd', 4);
UPDATE weight SET points = 2 WHERE signal = 'visit';
INSERT INTO lead VALUES ('gerd', '{"country": "DE"}');
SELECT refresh_segments();
SELECT from_segment, to_segment, cause FROM segment_change WHERE lead_id = 'gerd' ORDER BY change_id;
UPDATE weight SET points = 1 WHERE signal = 'visit';
DELETE FROM lead WHERE lead_id = 'gerd';
SELECT refresh_segments();
SELECT count(*) > 0 AS forgotten FROM forget('gerd');

-- of an alias
SELECT visits('cookie', 3), visits('hal', 3);
SELECT identify('cookie', 'hal');
SELECT lead_id, from_segment, to_segment, cause FROM segment_change WHERE lead_id IN ('cookie', 'hal') ORDER BY change_id;

-- a load that could not be logged by who has done it is none by time: at this level, and while a segment is renamed
-- (isolation/causes)
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT visits('ida', 5, now() - interval '2 days');
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT visits('ike', 5);
COMMIT;
SELECT refresh_segments();
SELECT lead_id, from_segment, to_segment, cause FROM segment_change WHERE lead_id IN ('ida', 'ike') ORDER BY 1;

-- by time alone
INSERT INTO model (model) VALUES ('t');
INSERT INTO weight (model, signal, measure, points, at_least) VALUES ('t', 'visit', 'days_since_last', 1, 1);
INSERT INTO segment (model, segment, position, min_score) VALUES ('t', 'gone', 1, 1);
CALL watch('t', notify => false);
INSERT INTO offer (offer, model, segment, kind, discount, valid_for, budget) VALUES ('back', 't', 'gone', 'amount', 5, '7 days', 100);
SELECT visits('ivy', 1);
-- (four days ago everybody was looked at, three days ago there was the visit)
UPDATE lead_timeline SET timeline = format('{1: %sZ 1}', to_char(now() AT TIME ZONE 'UTC' - interval '3 days', 'YYYY-MM-DD"T"HH24'))::timeline WHERE lead_id = 'ivy';
UPDATE watched_model SET looked_at = now() - interval '4 days' WHERE model = 't';
SELECT refresh_segments();
SELECT * FROM issued WHERE offer = 'back';
SELECT unwatch('t');
UPDATE offer SET ends_at = now() WHERE offer = 'back';

-- all that got a voucher
SELECT * FROM issued WHERE offer = 'spring';

-- a segment that has another name: no transition, and the offer follows
SELECT count(*) AS changes FROM segment_change \gset
UPDATE segment SET segment = 'burning' WHERE segment = 'hot';
SELECT refresh_segments();
SELECT count(*) - :changes AS changes FROM segment_change;
SELECT segment FROM offer WHERE offer = 'spring';
SELECT count(*) FROM segment_change WHERE 'hot' IN (from_segment, to_segment);
SELECT visits('jim', 5);
SELECT * FROM issued WHERE lead_id = 'jim';
UPDATE segment SET segment = CASE segment WHEN 'burning' THEN 'hot' ELSE segment END;
SELECT DISTINCT segment FROM lead_state WHERE model = 'm' AND segment IS NOT NULL ORDER BY 1;

-- asked for: of loads and edits, too; preview says what an edit would cost
UPDATE offer SET ends_at = now();
INSERT INTO offer (offer, model, segment, kind, discount, valid_for, max_cost, issue_on) VALUES ('all', 'm', 'hot', 'amount', 5, '7 days', 12, '{event,load,model,profile,identity}');
INSERT INTO offer (offer, model, segment, kind, discount, valid_for, budget, issue_on) VALUES ('percent', 'm', 'hot', 'percent', 10, '7 days', 9, '{model}');
INSERT INTO offer (offer, model, segment, kind, discount, valid_for, budget) VALUES ('plain', 'm', 'hot', 'amount', 5, '7 days', 100);
SELECT visits('kim', 4), visits('lea', 4), visits('lou', 4), visits('max', 3);
SELECT part, segment_after, leads, offer, vouchers, cost
FROM preview(jsonb_set(scorecard('m'), '{segments}', '[{"segment": "hot", "position": 1, "min_score": 4}, {"segment": "warm", "position": 2, "min_score": 2}]'), 'm') WHERE part = 'voucher';
SELECT lead_id, segment FROM lead_state WHERE model = 'm' AND segment = 'warm' ORDER BY 1;
UPDATE segment SET min_score = 4 WHERE segment = 'hot';
SELECT refresh_segments();
SELECT * FROM issued WHERE offer IN ('all', 'percent', 'plain') ORDER BY offer, lead_id;
-- twelve is enough for two of five
SELECT sum(terms) FROM voucher WHERE offer = 'all';
SELECT offer, count(*), sum(cost) FROM offer_slot WHERE offer IN ('all', 'percent', 'plain') GROUP BY 1 ORDER BY 1;
UPDATE offer SET max_cost = 23 WHERE offer = 'all';
SELECT count(*), sum(cost) FROM offer_slot WHERE offer = 'all';
UPDATE offer SET max_cost = 7 WHERE offer = 'all';
SELECT count(*) FILTER (WHERE slot < 0) AS debts, count(*) FILTER (WHERE slot > 0) AS slots FROM offer_slot WHERE offer = 'all';
UPDATE offer SET ends_at = now() WHERE ends_at IS NULL;

-- those who were there before the offer: issue_offer()
INSERT INTO offer (offer, model, segment, kind, discount, valid_for, budget, condition) VALUES ('there', 'm', 'hot', 'amount', 5, '7 days', 4, 'consent');
SELECT issue_offer('there');
INSERT INTO lead SELECT l, '{"mail": true}' FROM unnest('{anna,ben,carl,event,early}'::text[]) l;
SELECT issue_offer('there', 2);
SELECT lead_id FROM voucher WHERE offer = 'there' ORDER BY 1;
SELECT issue_offer('there', 1), issue_offer('there');
SELECT lead_id, change_id FROM voucher WHERE offer = 'there' ORDER BY 1;
SELECT count(*) FROM offer_slot WHERE offer = 'there';

-- the condition holds when a lead enters, and when it redeems
UPDATE offer SET budget = 100 WHERE offer = 'there';
INSERT INTO lead VALUES ('ned', '{"mail": true}'), ('nora', '{"mail": false}'), ('olga', NULL);
SELECT visits('ned', 5), visits('nora', 5), visits('olga', 5), visits('otto', 5);
SELECT lead_id FROM voucher WHERE offer = 'there' AND lead_id IN ('ned', 'nora', 'olga', 'otto');
UPDATE lead SET profile = '{}' WHERE lead_id = 'ned';
SELECT refused($$SELECT redeem(code_of('ned', 'there'), 'ned', 'order of ned', 100)$$);
UPDATE lead SET profile = '{"mail": true}' WHERE lead_id = 'ned';
SELECT redeem(code_of('ned', 'there'), 'ned', 'order of ned', 100);
UPDATE signal SET signal = 'agrees' WHERE signal = 'consent';
SELECT condition FROM offer WHERE offer = 'there';
UPDATE offer SET ends_at = now() WHERE offer = 'there';

-- again after a while, and not before
INSERT INTO offer (offer, model, segment, kind, discount, valid_for, budget, again_after) VALUES ('again', 'm', 'hot', 'amount', 5, '7 days', 100, '30 days');
SELECT visits('pam', 5);
DELETE FROM event WHERE lead_id = 'pam';
SELECT visits('pam', 5);
SELECT count(*) FROM voucher WHERE offer = 'again' AND lead_id = 'pam';
UPDATE voucher SET issued_at = issued_at - interval '31 days', expires_at = expires_at - interval '31 days' WHERE offer = 'again' AND lead_id = 'pam';
DELETE FROM event WHERE lead_id = 'pam';
SELECT visits('pam', 5);
SELECT count(*) FROM voucher WHERE offer = 'again' AND lead_id = 'pam';

-- a person who is forgotten and comes again gets no second one, under whatever name; a stranger does
SELECT identify('pam cookie', 'pam');
SELECT source, removed FROM forget('pam') WHERE removed > 0;
SELECT visits('pam', 5), visits('pam cookie', 5), visits('stranger', 5);
SELECT lead_id FROM voucher WHERE offer = 'again';
SELECT count(*) FROM tombstone WHERE key ~ 'pam';
UPDATE offer SET ends_at = now() WHERE offer = 'again';

-- the brake
INSERT INTO offer (offer, model, segment, kind, discount, valid_for, unlimited, brake) VALUES ('braked', 'm', 'hot', 'amount', 20, '7 days', true, 3);
SELECT visits('b1', 5), visits('b2', 5);
INSERT INTO event (lead_id, kind) SELECT 'bad ' || i, 'visit' FROM generate_series(1, 20) i, generate_series(1, 5);
SELECT count(*) FROM voucher WHERE offer = 'braked';
SELECT visits('b3', 5);
SELECT count(*) FROM voucher WHERE offer = 'braked';
SELECT name, state, action FROM status WHERE object = 'offer' AND name = 'braked';
SELECT refused('SELECT issue_offer(''braked'')');
SELECT revoke_vouchers('braked', now() - interval '1 hour'), revoke_vouchers('braked');
SELECT regexp_replace(r, 'At .*,', 'At …,') FROM refused($$SELECT redeem(code_of('b1', 'braked'), 'b1', 'order of b1', 100)$$) r;
SELECT resume_offer('braked');
SELECT name FROM status WHERE object = 'offer' AND name = 'braked';
-- whose voucher was revoked may get another
DELETE FROM event WHERE lead_id = 'b1';
SELECT visits('b1', 5), visits('b4', 5), visits('b5', 5), visits('b6', 5);
SELECT lead_id, revoked_at IS NOT NULL AS revoked FROM voucher WHERE offer = 'braked' ORDER BY voucher_id;
SELECT resume_offer('braked');
UPDATE offer SET ends_at = now() WHERE offer = 'braked';

-- revoked vouchers are there for the next
INSERT INTO offer (offer, model, segment, kind, discount, valid_for, budget) VALUES ('few', 'm', 'hot', 'amount', 15, '7 days', 2);
SELECT visits('f1', 5), visits('f2', 5), visits('f3', 5);
SELECT revoke_vouchers('few');
SELECT visits('f4', 5);
SELECT lead_id, revoked_at IS NOT NULL AS revoked FROM voucher WHERE offer = 'few' ORDER BY voucher_id;
UPDATE offer SET ends_at = now() WHERE offer = 'few';

-- 15 off and 50 % off an order of 20: 20 together
INSERT INTO offer (offer, model, segment, kind, discount, valid_for, budget) VALUES ('15 off', 'm', 'hot', 'amount', 15, '7 days', 20), ('half', 'm', 'hot', 'percent', 50, '7 days', 20),
	('third', 'm', 'hot', 'percent', 33.3333, '7 days', 20), ('gift', 'm', 'hot', 'gift', 4, '7 days', 20);
SELECT visits('r1', 5), visits('r2', 5), visits('r3', 5), visits('r4', 5);
SELECT redeem(code_of('r1', '15 off'), 'r1', 'o1', 20);
SELECT redeem(code_of('r1', 'half'), 'r1', 'o1', 20);
SELECT refused($$SELECT redeem(code_of('r1', 'third'), 'r1', 'o1', 20)$$);
SELECT refused($$SELECT redeem(code_of('r1', 'gift'), 'r1', 'o2', 3.99)$$);
SELECT redeem(code_of('r1', 'gift'), 'r1', 'o2', 4);
SELECT refused($$SELECT redeem(code_of('r1', 'third'), 'r1', 'o3', 0)$$);
-- rounded to what can be paid; without the order's value no cap is checked
SELECT redeem(code_of('r1', 'third'), 'r1', 'o3', 99.99);
UPDATE offer SET minor_unit = 0.05 WHERE offer = 'third';
SELECT redeem(code_of('r2', 'third'), 'r2', 'o5', 99.99);
SELECT redeem(code_of('r2', '15 off'), 'r2', 'o6');
SELECT redeem(code_of('r2', 'half'), 'r2', 'o6');
-- asked once more; as people type it; and cancelled
SELECT redeem(code_of('r1', 'half'), 'r1', 'o1', 20), redeem(code_of('r1', 'half'), 'r1', 'o1');
SELECT redeem('  ' || lower(replace(code_of('r3', '15 off'), '-', ' ')) || E'\t', 'r3', 'o7', 100);
SELECT redeem(replace(code_of('r3', 'half'), '-', ''), 'r3', 'o8', 100);
SELECT unredeem(lower(code_of('r1', '15 off')), 'o1'), unredeem(code_of('r1', '15 off'), 'o1'), unredeem(code_of('r1', 'gift'), 'o1');
SELECT redeem(code_of('r1', '15 off'), 'r1', 'o1', 20);
SELECT unredeem(code_of('r3', 'half'), 'o8');
SELECT count(*) FROM voucher_order WHERE order_ref = 'o8';
SELECT redeem(code_of('r3', 'half'), 'r3', 'o9', 100);
-- an order belongs to one lead, by all its names
SELECT identify('r3 cookie', 'r3');
SELECT redeem(code_of('r3', 'gift'), 'r3 cookie', 'o9', 100);
SELECT refused($$SELECT redeem(code_of('r4', 'gift'), 'r4', 'o9', 100)$$);
SELECT offer, lead_id, order_ref, discount FROM voucher WHERE redeemed_at IS NOT NULL AND order_ref ~ '^o\d' ORDER BY order_ref, voucher_id;
SELECT order_ref, discount FROM voucher_order WHERE order_ref ~ '^o\d' ORDER BY 1;

-- what a percentage costs is known when it is redeemed: money is counted then
INSERT INTO offer (offer, model, segment, kind, discount, valid_for, max_cost) VALUES ('tenth', 'm', 'hot', 'percent', 10, '7 days', 20);
SELECT count(*), sum(amount) FROM offer_money WHERE offer = 'tenth';
SELECT visits('t' || i, 5) FROM generate_series(1, 5) i;
SELECT redeem(code_of('t1', 'tenth'), 't1', 't1', 70), redeem(code_of('t2', 'tenth'), 't2', 't2', 90);
SELECT sum(amount) FROM offer_money WHERE offer = 'tenth';
SELECT refused($$SELECT redeem(code_of('t3', 'tenth'), 't3', 't3', 41)$$);
SELECT redeem(code_of('t3', 'tenth'), 't3', 't3', 40);
SELECT unredeem(code_of('t2', 'tenth'), 't2');
SELECT redeem(code_of('t4', 'tenth'), 't4', 't4', 55);
SELECT sum(amount) FROM offer_money WHERE offer = 'tenth';
UPDATE offer SET max_cost = 30 WHERE offer = 'tenth';
SELECT sum(amount) FROM offer_money WHERE offer = 'tenth';
SELECT sum(discount) FROM voucher WHERE offer = 'tenth';
UPDATE offer SET ends_at = now() WHERE ends_at IS NULL;

-- to the end of the day
INSERT INTO offer (offer, model, segment, kind, discount, valid_for, budget, ends_of_day) VALUES ('days', 'm', 'hot', 'amount', 1, '3 days', 9, true);
SELECT visits('day', 5);
SELECT expires_at = date_trunc('day', issued_at, 'UTC') + interval '4 days' FROM voucher WHERE offer = 'days';
UPDATE offer SET ends_at = now() WHERE offer = 'days';

-- the purchase that brings a lead in is no result
INSERT INTO offer (offer, model, segment, kind, discount, valid_for, unlimited, holdout_share) VALUES ('result', 'm', 'hot', 'amount', 1, '7 days', true, 0.5);
INSERT INTO event (lead_id, kind, value) SELECT 'buyer ' || i, 'order', 100 FROM generate_series(1, 10) i, generate_series(1, 2);
SELECT count(code) AS vouchers, count(*) - count(code) AS held_out FROM voucher WHERE offer = 'result';
SELECT arm, leads, buyers, revenue FROM offer_result('result', 'order');
INSERT INTO event (lead_id, kind, value) SELECT lead_id, 'order', 7 FROM voucher WHERE offer = 'result' AND code IS NOT NULL;
SELECT arm, leads, buyers, revenue FROM offer_result('result', 'order');

-- a dump of 0.1.0 knows no unlimited: there it was to have no budget
BEGIN;
SET LOCAL check_function_bodies = off;
SET LOCAL row_security = off;
SELECT set_config('search_path', '', true);
INSERT INTO leadscore.offer (offer, model, segment, kind, discount, valid_for, budget) VALUES ('old', 'm', 'hot', 'amount', 5, '1 day', NULL), ('older', 'm', 'hot', 'amount', 5, '1 day', 7);
SELECT offer, budget, unlimited FROM leadscore.offer WHERE offer LIKE 'old%' ORDER BY 1;
ROLLBACK;

-- refused
SELECT refused(ARRAY[
	'INSERT INTO offer (offer, model, segment, discount, valid_for) VALUES (''x'', ''m'', ''hot'', 5, ''1 day'')',
	'INSERT INTO offer (offer, model, segment, kind, discount, valid_for, max_cost) VALUES (''x'', ''m'', ''hot'', ''gift'', 0, ''1 day'', 10)',
	'INSERT INTO offer (offer, model, segment, discount, valid_for, budget, unlimited) VALUES (''x'', ''m'', ''hot'', 5, ''1 day'', 5, true)',
	'INSERT INTO offer (offer, model, segment, discount, valid_for, budget) VALUES (''x'', ''m'', ''hot'', 5, ''1 day'', -1)',
	'INSERT INTO offer (offer, model, segment, discount, valid_for, max_cost) VALUES (''x'', ''m'', ''hot'', 5, ''1 day'', -1)',
	'INSERT INTO offer (offer, model, segment, discount, valid_for, max_cost) VALUES (''x'', ''m'', ''hot'', 5, ''1 day'', ''NaN'')',
	'INSERT INTO offer (offer, model, segment, kind, discount, valid_for, max_cost) VALUES (''x'', ''m'', ''hot'', ''amount'', 0.01, ''1 day'', 1e9)',
	'INSERT INTO offer (offer, model, segment, discount, valid_for, budget, condition) VALUES (''x'', ''m'', ''hot'', 5, ''1 day'', 5, ''visit'')',
	'INSERT INTO offer (offer, model, segment, discount, valid_for, budget, condition) VALUES (''x'', ''m'', ''hot'', 5, ''1 day'', 5, ''nothing'')',
	'INSERT INTO offer (offer, model, segment, discount, valid_for, budget, again_after) VALUES (''x'', ''m'', ''hot'', 5, ''1 day'', 5, ''0'')',
	'INSERT INTO offer (offer, model, segment, discount, valid_for, budget, issue_on) VALUES (''x'', ''m'', ''hot'', 5, ''1 day'', 5, ''{event,whim}'')',
	'INSERT INTO offer (offer, model, segment, discount, valid_for, budget, issue_on) VALUES (''x'', ''m'', ''hot'', 5, ''1 day'', 5, ''{}'')',
	'INSERT INTO offer (offer, model, segment, discount, valid_for, budget, brake) VALUES (''x'', ''m'', ''hot'', 5, ''1 day'', 5, 0)',
	'INSERT INTO offer (offer, model, segment, discount, valid_for, budget, minor_unit) VALUES (''x'', ''m'', ''hot'', 5, ''1 day'', 5, 0)',
	'UPDATE offer SET kind = ''amount'' WHERE offer = ''tenth''',
	'DELETE FROM signal WHERE signal = ''agrees''',
	'SELECT issue_offer(''nobody'')',
	'SELECT issue_offer(NULL)',
	'SELECT issue_offer(''result'', 0)',
	'SELECT issue_offer(''back'')',
	'SELECT revoke_vouchers(''nobody'')',
	'SELECT resume_offer(NULL)',
	'SELECT unredeem(NULL, ''o1'')',
	'SELECT unredeem(''XXXX-XXXX-XXXX-XXXX'', ''o1'')',
	'SELECT redeem('''', ''r4'', ''o11'')',
	'SELECT voucher_with(NULL)']);
SELECT r FROM refused('SELECT issue_offer(''spring'')') r WHERE r !~ '^ +It starts';
SELECT r FROM refused($$SELECT redeem(code_of('r4', 'gift'), 'r3', 'o11', 100)$$) r;
