\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- Companies beside people: the same table, tracked once more, with the company as the lead.

CREATE TABLE account (account_id integer PRIMARY KEY, employees integer, lead text GENERATED ALWAYS AS ('account:' || account_id) STORED UNIQUE);
CREATE TABLE request (request_id integer PRIMARY KEY, contact text, account_id integer, at timestamptz, worth numeric,
	account text GENERATED ALWAYS AS ('account:' || account_id) STORED);
INSERT INTO account VALUES (7, 1200), (8, 3);
INSERT INTO request VALUES (1, 'anna', 7, '2026-01-01', 100), (2, 'ben', 7, '2026-01-02', 200), (3, 'carl', 8, '2026-01-02', 50), (4, 'dora', NULL, '2026-01-03', 10);
SELECT publish('{"model": "m", "signals": [{"signal": "request", "kind": "request"}, {"signal": "large", "subject": "profile", "condition": "$.employees >= 1000"}],
	"weights": [{"signal": "request", "points": 10}, {"signal": "large", "points": 25}]}');
SELECT track('request', lead_id => 'contact', kind => 'request', occurred_at => 'at', value => 'worth');
SELECT track('request', lead_id => 'account', kind => 'request', occurred_at => 'at', value => 'worth');
SELECT track_profile('account', 'lead', '{employees}');

-- a company has what its people did; a request of no company is its contact's alone
SELECT lead_id, score, fit FROM lead_score WHERE lead_id NOT LIKE 'account:%' ORDER BY 1;
SELECT lead_id, score, fit FROM lead_score WHERE lead_id LIKE 'account:%' ORDER BY 1;
SELECT lead_id, (timeline_entries(timeline)).* FROM lead_timeline WHERE lead_id LIKE 'account:%' ORDER BY 1, 3;
SELECT reason, points FROM explain('account:7', 'm');

-- writes reach both: a request moves to another company, one comes, one goes, a company grows
UPDATE request SET account_id = 8 WHERE request_id = 2;
INSERT INTO request VALUES (5, 'anna', 8, '2026-01-04', 30);
DELETE FROM request WHERE request_id = 3;
UPDATE account SET employees = 5000 WHERE account_id = 8;
SELECT lead_id, score, fit FROM lead_score ORDER BY 1;
-- the person under another name is still one person, and the company has no part in that
SELECT identify('cookie', 'anna');
SELECT score('cookie', 'm') AS anna, score('account:7', 'm') AS company;
SELECT * FROM verify();
CALL rebuild();
SELECT lead_id, score, fit FROM lead_score ORDER BY 1;
-- each way of tracking ends by itself
SELECT count(*) FROM source WHERE source = 'request'::regclass;
SELECT sum(removed) AS removed, sum(remaining) AS remaining FROM forget('account:8') WHERE source = 'request'::regclass;
DELETE FROM request WHERE account_id = 8;
SELECT lead_id, score FROM lead_score ORDER BY 1;
SELECT * FROM verify();
