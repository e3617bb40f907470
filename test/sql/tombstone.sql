\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- Tombstones: who is forgotten and comes again is not taken for somebody new where that costs money.
SELECT publish('{"model": "m", "signals": [{"signal": "visit", "kind": "visit"}, {"signal": "purchase", "kind": "purchase"}], "weights": [{"signal": "visit", "points": 1}],
	"segments": [{"segment": "hot", "position": 1, "min_score": 5}, {"segment": "cold", "position": 2}]}');
CALL watch('m', notify => false);
CREATE FUNCTION visits(lead text) RETURNS bigint LANGUAGE sql AS $$ WITH i AS (INSERT INTO event (lead_id, kind) SELECT lead, 'visit' FROM generate_series(1, 5) RETURNING 1) SELECT count(*) FROM i $$;
SELECT visits('anna'), identify('anna cookie', 'anna');
SELECT count(*) > 0 AS forgotten FROM forget('anna');
-- nothing of the names is in it, and the hash of one server is not that of another
SELECT count(*), bool_or(key ~ 'anna') AS named, bool_and(length(key) = 64) AS hashes FROM tombstone;
SELECT count(*) FROM tombstone t WHERE t.key IN (SELECT encode(sha256(convert_to(p || n, 'UTF8')), 'hex') FROM unnest('{"",m,0 }'::text[]) p, unnest('{anna,anna cookie}'::text[]) n);
SELECT count(*) FROM tombstone t JOIN unnest('{anna,anna cookie}'::text[]) n ON t.key = (SELECT encode(sha256(convert_to(format('%s %s%s', length(salt), salt, n), 'UTF8')), 'hex') FROM tombstone_salt);

-- an offer that began after that: she gets no voucher, under whatever name; a stranger does
INSERT INTO offer (offer, model, segment, kind, discount, valid_for, budget) VALUES ('once', 'm', 'hot', 'amount', 5, '7 days', 100);
INSERT INTO offer (offer, model, segment, kind, discount, valid_for, budget, again_after) VALUES ('again', 'm', 'hot', 'amount', 5, '7 days', 100, '30 days');
SELECT visits('anna'), visits('anna cookie'), visits('stranger');
SELECT offer, lead_id FROM voucher ORDER BY 1, 2;
SELECT issue_offer('once'), issue_offer('again');
SELECT vouchers_due('once', '{anna,anna cookie,new}', now()), vouchers_due('again', '{anna,anna cookie,new}', now()), vouchers_due('again', '{anna,new}', now() + interval '31 days');
-- a tombstone is a voucher of that day: after again_after she gets another, and where there is none never
UPDATE tombstone SET forgotten_at = forgotten_at - interval '31 days';
SELECT issue_offer('once'), issue_offer('again');
SELECT offer, lead_id FROM voucher WHERE lead_id <> 'stranger' ORDER BY 1, 2;
UPDATE tombstone SET forgotten_at = now();

-- a new visitor has got a voucher, and turns out to be her: it is one too many
SELECT visits('new visitor');
SELECT identify('new visitor', 'anna');
SELECT regexp_replace(refused(format('SELECT redeem(%L, ''anna'', ''order 1'', 100)', (SELECT code FROM voucher WHERE lead_id = 'new visitor' AND offer = 'once'))), ' of 20.*', ' of ...');
-- one that she had got before that is hers, as long as events keep her a lead
CREATE TABLE public.orders (id integer PRIMARY KEY, customer text, placed timestamptz);
INSERT INTO public.orders SELECT i, 'ben', now() FROM generate_series(1, 5) i;
SELECT track('public.orders', lead_id => 'customer', kind => 'visit', occurred_at => 'placed');
SELECT visits('ben');
SELECT source, remaining FROM forget('ben') WHERE remaining > 0 ORDER BY 1;
SELECT discount FROM redeem((SELECT code FROM voucher WHERE lead_id = 'ben' AND offer = 'once'), 'ben', 'order 2', 100);

-- who does count as somebody new
SELECT drop_tombstone('anna cookie'), drop_tombstone('anna cookie'), drop_tombstone('nobody');
SELECT issue_offer('once');
SELECT lead_id FROM voucher WHERE offer = 'once' AND lead_id LIKE 'anna%';
SELECT prune_tombstones(now() - interval '1 day'), prune_tombstones(NULL), (SELECT count(*) FROM tombstone);
SELECT prune_tombstones('infinity'), (SELECT count(*) FROM tombstone), issue_offer('once');
SELECT refused(ARRAY['SELECT drop_tombstone(NULL)', 'SELECT drop_tombstone('''')']);

-- a setting: nothing is kept, and what was kept of a person before is removed
SELECT count(*) > 0 AS forgotten FROM forget('anna');
SELECT count(*) FROM tombstone;
SELECT visits('anna');
SET leadscore.keep_tombstones = off;
SELECT count(*) > 0 AS forgotten FROM forget('anna');
SELECT count(*) FROM tombstone WHERE key IN (SELECT tombstone_keys('{anna}'));
SELECT visits('anna');
SELECT count(*) FROM voucher WHERE lead_id = 'anna' AND offer = 'once';
SET leadscore.keep_tombstones = perhaps;
RESET leadscore.keep_tombstones;

-- experiments leave them out: what they did is known in part
INSERT INTO experiment VALUES ('e', 'm', 'm', 0.5, now() - interval '1 hour', NULL, 'salt');
TRUNCATE event;
DROP TABLE public.orders;
DELETE FROM lead_alias;
SELECT count(visits('lead ' || n)) FROM generate_series(1, 100) n;
SELECT control_leads + treatment_leads AS leads FROM experiment_result('e', 'purchase', at => now() + interval '1 hour');
SELECT count(*) > 0 AS forgotten FROM generate_series(1, 10) n, forget('lead ' || n);
SELECT count(visits('lead ' || n)) FROM generate_series(1, 5) n;
SELECT identify('cookie', 'lead 1');
SELECT control_leads + treatment_leads AS leads FROM experiment_result('e', 'purchase', at => now() + interval '1 hour');
SELECT drop_tombstone('lead 1');
SELECT control_leads + treatment_leads AS leads FROM experiment_result('e', 'purchase', at => now() + interval '1 hour');
-- a reader learns of nobody who is not there
CREATE ROLE regress_tombstone_reader;
CREATE ROLE regress_tombstone_admin;
SELECT grant_reader('regress_tombstone_reader'), grant_admin('regress_tombstone_admin');
SET ROLE regress_tombstone_reader;
SELECT leadscore_internal.came_again('lead 2') AS there, leadscore_internal.came_again('lead 7') AS gone, leadscore_internal.came_again('lead 50') AS other;
SELECT control_leads + treatment_leads AS leads FROM leadscore.experiment_result('e', 'purchase', at => now() + interval '1 hour');
SELECT refused(ARRAY['SELECT * FROM leadscore_internal.tombstone', 'SELECT * FROM leadscore_internal.tombstone_salt', 'SELECT leadscore_internal.forgotten_at(''{lead 7}'')', 'SELECT leadscore.drop_tombstone(''lead 7'')', 'SELECT leadscore.prune_tombstones(now())']);
SET ROLE regress_tombstone_admin;
SELECT count(*) > 0 AS forgotten FROM leadscore.forget('lead 50');
SELECT leadscore.drop_tombstone('lead 50');
SELECT refused('SELECT * FROM leadscore_internal.tombstone_salt');
RESET ROLE;
DROP OWNED BY regress_tombstone_admin, regress_tombstone_reader;
DROP ROLE regress_tombstone_admin, regress_tombstone_reader;
