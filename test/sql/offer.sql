\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- Offers: a voucher for each lead that enters a segment; redeemed once, by its lead, in time; and what it has earned.

SELECT publish('{"model": "m",
	"signals": [{"signal": "visit", "kind": "visit"}, {"signal": "order", "kind": "order"}],
	"weights": [{"signal": "visit", "points": 1}],
	"segments": [{"segment": "hot", "position": 1, "min_score": 3}]}');
CREATE FUNCTION visits(lead_id text, n integer) RETURNS void LANGUAGE sql
	AS 'INSERT INTO leadscore.event (lead_id, kind) SELECT lead_id, ''visit'' FROM generate_series(1, n)';
CREATE VIEW issued AS SELECT offer, lead_id, code IS NULL AS held_out, expires_at - issued_at AS valid_for, expired, redeemed_at IS NOT NULL AS redeemed, order_ref, discount
	FROM voucher ORDER BY voucher_id;
CREATE FUNCTION code_of(lead text) RETURNS text LANGUAGE sql AS 'SELECT code FROM leadscore.voucher WHERE lead_id = lead';

-- codes: sixteen digits
SELECT voucher_code() ~ '^([0-9A-HJKMNP-TV-Z]{4}-){3}[0-9A-HJKMNP-TV-Z]{4}$', voucher_code() <> voucher_code();
SELECT count(DISTINCT voucher_code()) FROM generate_series(1, 10000);

-- those who were there before the model was watched get nothing, nor those before the offer
SELECT visits('before', 3);
CALL watch(notify => false);
SELECT visits('early', 3);
INSERT INTO offer (offer, model, segment, kind, discount, valid_for, budget) VALUES ('spring', 'm', 'hot', 'percent', 12.5, '7 days', 3);
SELECT visits('anna', 2);
SELECT * FROM issued;
SELECT visits('anna', 1);
SELECT * FROM issued;

-- once for each lead, whatever it does, and whatever its name
DELETE FROM event WHERE lead_id = 'anna';
SELECT visits('anna', 3);
SELECT identify('anna', 'anna@example.org');
SELECT identify('cookie', 'anna@example.org');
DELETE FROM event WHERE lead_id = 'anna';
SELECT visits('cookie', 5);
SELECT lead_id, from_segment, to_segment FROM segment_change WHERE lead_id ~ 'anna|cookie' ORDER BY change_id;
SELECT * FROM issued;

-- the budget is three
INSERT INTO event (lead_id, kind) SELECT l, 'visit' FROM unnest('{ben,carl,dora,eva}'::text[]) l, generate_series(1, 3);
SELECT lead_id FROM issued;
SELECT count(*) FROM offer_slot;

-- redeemed by another name of the lead, in small letters; not by another, not twice, not late
SELECT refused(ARRAY[
	'SELECT redeem(''XXXX-XXXX-XXXX-XXXX'', ''ben'', ''order 1'')',
	'SELECT redeem(code_of(''ben''), NULL, ''order 1'')',
	'SELECT redeem(code_of(''ben''), ''ben'', ''order 1'', -5)',
	'SELECT redeem(code_of(''ben''), ''ben'', ''order 1'', ''NaN'')',
	'SELECT redeem(code_of(''ben''), ''carl'', ''order 1'')']);
SELECT redeem(lower(code_of('anna')), 'cookie', 'order 1', 80);
SELECT redeem(code_of('ben'), 'ben', 'order 2');
SELECT regexp_replace(r, 'At .*, for', 'At …, for') FROM refused('SELECT redeem(code_of(''ben''), ''ben'', ''order 3'')') r;
UPDATE voucher SET issued_at = now() - interval '8 days', expires_at = '2026-01-01' WHERE lead_id = 'carl';
SELECT refused('SELECT redeem(code_of(''carl''), ''carl'', ''order 3'')');
SELECT expire_vouchers();
SELECT expire_vouchers();
SELECT refused('SELECT redeem(code_of(''carl''), ''carl'', ''order 3'')');
SELECT lead_id, expired, redeemed, order_ref, discount FROM issued;

-- what has expired is there for the next
SELECT visits('fay', 3), visits('gus', 3);
SELECT lead_id FROM issued;

-- a budget that grows and shrinks
UPDATE offer SET budget = 5;
SELECT count(*) FROM offer_slot WHERE slot > 0;
UPDATE offer SET budget = 1;
SELECT count(*) FROM offer_slot WHERE slot > 0;
UPDATE offer SET budget = NULL, unlimited = true;
SELECT visits('hal', 3), visits('ida', 3);
SELECT lead_id FROM issued;
UPDATE offer SET budget = 6, unlimited = false;
SELECT count(*) FROM offer_slot WHERE slot > 0;

-- over
UPDATE offer SET ends_at = now();
SELECT visits('jim', 3);
SELECT count(*) FROM issued WHERE lead_id = 'jim';

-- half are held out; those with a voucher buy for 30, the others for 10, each within it; a voucher costs 4
INSERT INTO offer (offer, model, segment, kind, discount, valid_for, holdout_share, unlimited) VALUES ('half', 'm', 'hot', 'amount', 4, '7 days', 0.5, true);
INSERT INTO event (lead_id, kind) SELECT 'h' || i, 'visit' FROM generate_series(1, 40) i, generate_series(1, 3);
SELECT held_out, count(*) FROM issued WHERE offer = 'half' GROUP BY 1 ORDER BY 1;
SELECT count(*) FROM voucher WHERE offer = 'half' AND is_held_out('half', lead_id, 0.5) <> (code IS NULL);
INSERT INTO event (lead_id, kind, value) SELECT lead_id, 'order', CASE WHEN code IS NULL THEN 10 ELSE 30 END FROM voucher WHERE offer = 'half';
INSERT INTO event (lead_id, kind, value, occurred_at) SELECT lead_id, 'order', 1000, now() - interval '1 day' FROM voucher WHERE offer = 'half';
SELECT count(redeem(code, lead_id, 'o' || lead_id, 30)) FROM voucher WHERE offer = 'half' AND code IS NOT NULL;
SELECT * FROM offer_result('half', 'order');
SELECT earned = leads * (30 - 10 - 4) AS as_by_hand FROM offer_result('half', 'order') WHERE arm = 'voucher';
SELECT * FROM offer_result('spring', 'order');

-- forgotten: the voucher is nobody's, but spent
SELECT source, removed FROM forget('ben') WHERE removed > 0;
SELECT lead_id, redeemed, order_ref FROM issued WHERE offer = 'spring' ORDER BY redeemed DESC, lead_id LIMIT 2;

-- money with more than six decimals is rounded, and said
SET client_min_messages = notice;
UPDATE offer SET discount = 1.23456789 WHERE offer = 'half';
RESET client_min_messages;

SET client_min_messages = notice;
SELECT redeem(v.code, v.lead_id, 'o', 10.12345678) FROM voucher v WHERE v.lead_id = 'fay';
RESET client_min_messages;

-- a budget that is lowered below what is spent: what expires makes that good first
INSERT INTO offer (offer, model, segment, discount, valid_for, budget) VALUES ('low', 'm', 'hot', 5, '1 day', 3);
INSERT INTO event (lead_id, kind) SELECT 'low ' || i, 'visit' FROM generate_series(1, 4) i, generate_series(1, 3);
SELECT count(code) FROM voucher WHERE offer = 'low';
UPDATE offer SET budget = 1 WHERE offer = 'low';
UPDATE voucher SET expires_at = now() WHERE voucher_id = (SELECT min(voucher_id) FROM voucher WHERE offer = 'low');
SELECT expire_vouchers();
SELECT visits('low 5', 3);
UPDATE voucher SET expires_at = now() WHERE offer = 'low';
SELECT expire_vouchers();
INSERT INTO event (lead_id, kind) SELECT 'low ' || i, 'visit' FROM generate_series(6, 9) i, generate_series(1, 3);
SELECT count(code), count(code) FILTER (WHERE NOT expired) AS open FROM voucher WHERE offer = 'low';
UPDATE offer SET ends_at = now() WHERE offer = 'low';

-- visitors that turn out to be one lead: one voucher of all is redeemed, and their purchases count once
INSERT INTO offer (offer, model, segment, kind, discount, valid_for, holdout_share, unlimited) VALUES ('one', 'm', 'hot', 'gift', 2, '1 day', 0.5, true);
INSERT INTO event (lead_id, kind) SELECT 'v' || i, 'visit' FROM generate_series(1, 9) i, generate_series(1, 3);
SELECT lead_id, code IS NULL AS held_out FROM voucher WHERE offer = 'one' ORDER BY lead_id;
SELECT identify(lead_id, 'vera') FROM (SELECT lead_id FROM voucher WHERE offer = 'one' AND code IS NOT NULL ORDER BY lead_id LIMIT 3) v;
CREATE VIEW of_vera AS SELECT v.* FROM voucher v JOIN lead_alias a ON a.alias = v.lead_id WHERE a.lead_id = 'vera' AND offer = 'one';
SELECT redeem(code, 'vera', 'o1', 50) FROM (SELECT code FROM of_vera ORDER BY lead_id LIMIT 1) v;
SELECT refused(ARRAY(SELECT format('SELECT redeem(%L, %L, %L, 50)', code, 'vera', 'o2') FROM of_vera WHERE redeemed_at IS NULL ORDER BY lead_id LIMIT 1));
INSERT INTO event (lead_id, kind, value) VALUES ('vera', 'order', 50);
SELECT * FROM offer_result('one', 'order');
-- in both groups: no witness
SELECT identify(lead_id, 'vera') FROM (SELECT lead_id FROM voucher WHERE offer = 'one' AND code IS NULL ORDER BY lead_id LIMIT 1) v;
SELECT * FROM offer_result('one', 'order');
UPDATE offer SET ends_at = now() WHERE offer = 'one';

-- hours that are compacted count by the day
INSERT INTO offer (offer, model, segment, discount, valid_for, unlimited) VALUES ('day', 'm', 'hot', 5, '2 hours', true);
SELECT visits('dan', 3);
UPDATE voucher SET issued_at = '2026-01-10 12:30Z', expires_at = '2026-01-10 14:30Z' WHERE lead_id = 'dan' AND offer = 'day';
INSERT INTO event (lead_id, kind, value, occurred_at) VALUES ('dan', 'order', 1, '2026-01-10 11:00Z'), ('dan', 'order', 10, '2026-01-10 13:00Z'), ('dan', 'order', 100, '2026-01-11 13:00Z');
SELECT revenue FROM offer_result('day', 'order') WHERE arm = 'voucher';
CALL compact('2026-01-12Z');
SELECT revenue FROM offer_result('day', 'order') WHERE arm = 'voucher';

-- a voucher is worth what was promised
UPDATE offer SET discount = 1, kind = 'gift' WHERE offer = 'day';
SELECT visits('dea', 3);
UPDATE offer SET discount = 50, kind = 'percent' WHERE offer = 'day';
SELECT kind, discount FROM redeem((SELECT code FROM voucher WHERE lead_id = 'dea' AND offer = 'day'), 'dea', 'order of dea', 100);

-- a model that is renamed takes its offers along, as does a segment; one that is gone is said
UPDATE model SET model = 'n';
SELECT DISTINCT model FROM offer;
SELECT visits('dirk', 3);
SELECT count(*) FROM voucher WHERE lead_id = 'dirk';
UPDATE segment SET segment = 'heiß';
SELECT DISTINCT segment FROM offer;
DELETE FROM segment;
SELECT name, state, action FROM status WHERE object = 'offer';
UPDATE offer SET ends_at = now() WHERE offer = 'day';
SELECT name, state FROM status WHERE object = 'offer' AND name = 'day';
INSERT INTO segment (model, segment, position, min_score) VALUES ('n', 'hot', 1, 3);
UPDATE offer SET segment = 'hot';
UPDATE model SET model = 'm';

-- a budget is counted as of now
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT refused('UPDATE offer SET budget = 4 WHERE offer = ''low''');
ROLLBACK;

-- refused
SELECT refused(ARRAY[
	'INSERT INTO offer (offer, model, segment, discount, valid_for, budget) VALUES (''x'', ''m'', ''cold'', 5, ''1 day'', 5)',
	'INSERT INTO offer (offer, model, segment, discount, valid_for, budget) VALUES ('''', ''m'', ''hot'', 5, ''1 day'', 5)',
	'INSERT INTO offer (offer, model, segment, kind, discount, valid_for, budget) VALUES (''x'', ''m'', ''hot'', ''free'', 5, ''1 day'', 5)',
	'INSERT INTO offer (offer, model, segment, discount, valid_for, budget) VALUES (''x'', ''m'', ''hot'', 101, ''1 day'', 5)',
	'INSERT INTO offer (offer, model, segment, discount, valid_for, budget) VALUES (''x'', ''m'', ''hot'', -1, ''1 day'', 5)',
	'INSERT INTO offer (offer, model, segment, discount, valid_for, budget) VALUES (''x'', ''m'', ''hot'', 5, ''-1 day'', 5)',
	'INSERT INTO offer (offer, model, segment, discount, valid_for, budget) VALUES (''x'', ''m'', ''hot'', 5, ''1 day'', -1)',
	'INSERT INTO offer (offer, model, segment, discount, valid_for, holdout_share, budget) VALUES (''x'', ''m'', ''hot'', 5, ''1 day'', 1.1, 5)',
	'INSERT INTO offer (offer, model, segment, discount, valid_for, starts_at, ends_at, budget) VALUES (''x'', ''m'', ''hot'', 5, ''1 day'', ''2026-01-02'', ''2026-01-01'', 5)',
	'UPDATE offer SET offer = ''y''',
	'DELETE FROM offer WHERE offer = ''half''',
	'SELECT offer_result(''nobody'', ''order'')',
	'SELECT offer_result(''half'', ''nothing'')',
	'SELECT schedule(''7 minutes'')',
	'SELECT schedule(NULL)',
	'SELECT schedule(''-1 minute'')']);
INSERT INTO offer (offer, model, segment, discount, valid_for, budget) VALUES ('none', 'm', 'hot', 5, '1 day', 7);
DELETE FROM offer WHERE offer = 'none';
SELECT count(*) FROM offer_slot WHERE offer = 'none';
