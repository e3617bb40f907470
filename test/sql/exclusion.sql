\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- Leads that are scored for nobody: staff, bots, people who object. Their timelines are kept all the same.

SELECT publish('{"model": "m",
	"signals": [{"signal": "visit", "kind": "visit"}, {"signal": "purchase", "kind": "purchase"}, {"signal": "german", "subject": "profile", "match": {"country": "DE"}}],
	"weights": [{"signal": "visit", "points": 1}, {"signal": "german", "points": 5}],
	"segments": [{"segment": "hot", "position": 1, "min_score": 3}]}');
SELECT publish('{"model": "b", "signals": [{"signal": "visit", "kind": "visit"}], "weights": [{"signal": "visit", "points": 2}]}');
INSERT INTO experiment VALUES ('spring', 'm', 'b', 0.5, now() - interval '100 days', NULL, 'salt');
INSERT INTO offer (offer, model, segment, kind, discount, valid_for, budget, issue_on) VALUES ('ten', 'm', 'hot', 'amount', 10, '7 days', 100, '{event,load,time}');
CALL watch('m', notify => false);

-- Sixty customers, 'lead 1' to 'lead 60', visit 1 to 60 times and buy, once or again; 'bot' visits 100 times, 'staff'
-- has a profile alone, 'owner' does both.
INSERT INTO event (lead_id, kind, occurred_at, properties) SELECT 'lead ' || n, 'visit', now() - interval '40 days' - i * interval '1 hour', '{"page": "shoes"}' FROM generate_series(1, 60) n, generate_series(1, n) i;
INSERT INTO event (lead_id, kind, occurred_at, value) SELECT 'lead ' || n, 'purchase', now() - (n + 7 * i) * interval '1 day', n FROM generate_series(1, 60) n, generate_series(0, n % 4) i;
INSERT INTO event (lead_id, kind, occurred_at, properties) SELECT l, 'visit', now() - interval '41 days', '{"page": "hats"}' FROM unnest('{bot,owner}'::text[]) l, generate_series(1, 100);
INSERT INTO event (lead_id, kind, occurred_at, value) SELECT l, 'purchase', now() - interval '1 day', 1000 FROM unnest('{bot,owner}'::text[]) l;
INSERT INTO lead VALUES ('staff', '{"country": "DE"}'), ('owner', '{"country": "DE"}'), ('lead 3', '{"country": "DE"}');
SELECT identify('phone', 'owner'), identify('cookie', 'lead 3');
SELECT refresh_segments(), refresh_crm() > 0 AS told;

-- every list, and which of the three are in it
CREATE FUNCTION lists() RETURNS TABLE (list text, leads bigint, wrong text[]) LANGUAGE plpgsql AS $$
DECLARE
	part text[];
BEGIN
	PERFORM leadscore.refresh_segments(), leadscore.refresh_crm();
	FOREACH part SLICE 1 IN ARRAY ARRAY[
		['lead_score', 'SELECT lead_id FROM lead_score WHERE model = ''m'''],
		['an experiment', 'SELECT lead_id FROM lead_score WHERE model = ''spring'''],
		['lead_segment', 'SELECT lead_id FROM lead_segment WHERE model = ''m'''],
		['top', 'SELECT lead_id FROM top(1000, ''m'')'],
		['top of an experiment', 'SELECT lead_id FROM top(1000, ''spring'')'],
		['lead_state', 'SELECT lead_id FROM lead_state WHERE segment IS NOT NULL'],
		['crm_lead', 'SELECT lead_id FROM crm_lead WHERE model = ''m'''],
		['crm_changes', 'SELECT lead_id FROM crm_changes() WHERE model = ''m'' AND NOT deleted'],
		['rfm', 'SELECT lead_id FROM rfm(''m'')'],
		['affinity', 'SELECT DISTINCT lead_id FROM affinity(''page'')'],
		['training_set', 'SELECT lead_id FROM training_set(scorecard(''m''), ''purchase'', ''30 days'', ARRAY[now() - interval ''31 days''], NULL)'],
		['explain', 'SELECT DISTINCT l FROM (SELECT lead_id AS l FROM lead_timeline UNION SELECT lead_id FROM lead) x, explain(x.l, ''m'')'],
		['score_history', 'SELECT DISTINCT l FROM (SELECT lead_id AS l FROM lead_timeline UNION SELECT lead_id FROM lead) x, score_history(x.l, ''m'')'],
		['score', 'SELECT l FROM (SELECT lead_id AS l FROM lead_timeline UNION SELECT lead_id FROM lead) x WHERE score(x.l, ''m'') IS NOT NULL'],
		['score by experiment', 'SELECT l FROM (SELECT lead_id AS l FROM lead_timeline UNION SELECT lead_id FROM lead) x WHERE score(x.l, ''spring'') IS NOT NULL']]
	LOOP
		list := part[1];
		EXECUTE format('SELECT count(*), array_agg(l ORDER BY l) FILTER (WHERE l ~ ''bot|staff|owner'') FROM (%s) t (l)', part[2]) INTO leads, wrong;
		RETURN NEXT;
	END LOOP;
END
$$;
CREATE FUNCTION figures() RETURNS TABLE (figure text, n numeric) LANGUAGE sql AS $$
	SELECT 'segment_summary', sum(leads) FROM leadscore.segment_summary WHERE model = 'm'
	UNION ALL SELECT 'monthly_figure', sum(orders) FROM leadscore_internal.monthly_figure_rows('m', leadscore_internal.figures_of('m'))
	UNION ALL SELECT 'evaluate', leads FROM leadscore.evaluate(leadscore.scorecard('m'), 'purchase', '30 days', ARRAY[now() - interval '31 days'], NULL)
	UNION ALL SELECT 'preview', sum(leads) FROM leadscore.preview(leadscore.scorecard('m')) WHERE part = 'move'
	UNION ALL SELECT 'fit_clv', (leadscore.fit_clv('purchase') #>> '{bg_nbd,customers}')::numeric
	UNION ALL SELECT 'experiment_result', control_leads + treatment_leads FROM leadscore.experiment_result('spring', 'purchase')
	UNION ALL SELECT 'offer_result', sum(leads) FROM leadscore.offer_result('ten', 'purchase')
$$;
SELECT * FROM lists();
SELECT * FROM figures();
SELECT lead_id FROM voucher WHERE lead_id ~ 'bot|staff|owner' ORDER BY 1;

-- Excluded: by its name, by an alias, and one that has a profile only. They leave their segment at once, and every list
-- at its next look; nothing else changes.
INSERT INTO excluded_lead VALUES ('bot', 'crawls'), ('staff', 'works here'), ('phone', 'objects');
SELECT lead_id, from_segment, to_segment, cause FROM segment_change WHERE lead_id ~ 'bot|staff|owner' AND cause = 'identity' ORDER BY lead_id;
SELECT * FROM lists();
SELECT * FROM figures();
SELECT score('bot', 'm') AS bot, score('phone', 'm') AS phone, score('owner', 'm') AS owner, score('staff', 'm') AS staff, score('cookie', 'm') AS cookie, score('bot', 'spring') AS bot_in_spring, (clv('owner', fit_clv('purchase'), '1 year')).*;
-- asked for many names, and for aliases among them
SELECT n AS name, is_excluded(n) FROM unnest('{lead 1,lead 2,lead 3,lead 4,lead 5,lead 6,lead 7,lead 8,lead 9,cookie,phone,owner,bot,staff,nobody}'::text[]) n OFFSET 8;
SELECT count(*) AS pending_looks FROM (SELECT refresh_segments()) r, leads_to_see('', 100) l WHERE l <> '{}';
SELECT count(*) AS wrong FROM verify();

-- New events of them count in their timelines, and for nobody: no transition, no voucher, not even by an offer to all
-- who are there.
SELECT count(*) AS changes FROM segment_change \gset
INSERT INTO event (lead_id, kind) SELECT l, 'visit' FROM unnest('{bot,staff,phone,owner}'::text[]) l, generate_series(1, 10);
DELETE FROM event WHERE lead_id = 'bot' AND occurred_at < now() - interval '2 days';
SELECT refresh_segments();
SELECT count(*) - :changes AS changes FROM segment_change;
INSERT INTO offer (offer, model, segment, kind, discount, valid_for, budget) VALUES ('twenty', 'm', 'hot', 'amount', 20, '7 days', 100);
SELECT issue_offer('twenty');
SELECT lead_id FROM voucher WHERE offer = 'twenty' AND lead_id ~ 'bot|staff|owner';
-- nor one whose exclusion no transaction has seen yet, as it came from a replica
SET session_replication_role = replica;
INSERT INTO excluded_lead VALUES ('lead 60');
RESET session_replication_role;
SELECT segment FROM lead_state WHERE lead_id = 'lead 60' AND model = 'm';
INSERT INTO offer (offer, model, segment, kind, discount, valid_for, budget) VALUES ('thirty', 'm', 'hot', 'amount', 30, '7 days', 100);
SELECT issue_offer('thirty');
SELECT count(*) FROM voucher WHERE offer = 'thirty' AND lead_id = 'lead 60';
SELECT refresh_segments();
SELECT segment, cause FROM lead_state WHERE lead_id = 'lead 60' AND model = 'm';
DELETE FROM excluded_lead WHERE lead_id = 'lead 60';
SELECT count(*) AS wrong FROM verify();
SELECT lead_id, sum(occurrences) FROM lead_timeline, timeline_entries(timeline) WHERE lead_id ~ 'bot|staff|owner' GROUP BY 1 ORDER BY 1;

-- One name is enough, whichever it is, and whenever it became one of the lead's.
SELECT identify('tablet', 'lead 7');
INSERT INTO excluded_lead VALUES ('tablet');
SELECT score('lead 7', 'm') AS lead, score('tablet', 'm') AS alias;
INSERT INTO excluded_lead VALUES ('lead 8');
SELECT identify('lead 8', 'lead 9');
SELECT score('lead 8', 'm') AS alias, score('lead 9', 'm') AS lead, count(*) FILTER (WHERE lead_id IN ('lead 7', 'lead 9')) AS listed FROM lead_score WHERE model = 'm';
SELECT unidentify('lead 8');
SELECT score('lead 8', 'm') AS excluded, score('lead 9', 'm') AS lead;

-- What is taken back has not happened; an UPDATE lets one in and another out; who is no longer excluded is what it was,
-- and in its segment again, without a voucher.
BEGIN;
INSERT INTO excluded_lead VALUES ('lead 10');
SELECT score('lead 10', 'm');
ROLLBACK;
SELECT score('lead 10', 'm');
UPDATE excluded_lead SET lead_id = 'lead 10' WHERE lead_id = 'lead 8';
SELECT score('lead 8', 'm') AS lead_8, score('lead 10', 'm') AS lead_10;
SELECT count(*) AS vouchers FROM voucher \gset
DELETE FROM excluded_lead WHERE lead_id <> 'staff';
SELECT lead_id, segment, cause FROM lead_state WHERE model = 'm' AND cause = 'identity' ORDER BY 1;
SELECT count(*) - :vouchers AS issued FROM voucher;
TRUNCATE excluded_lead;
SELECT * FROM lists();

-- Who objects is forgotten, and the objection is not.
INSERT INTO excluded_lead VALUES ('owner', 'objects');
SELECT source, removed, remaining FROM forget('owner') WHERE source::text ~ 'event|excluded';
SELECT lead_id, reason FROM excluded_lead;
INSERT INTO event (lead_id, kind) VALUES ('owner', 'visit');
SELECT score('owner', 'm');
-- top() has a way of its own where nobody has a profile
DELETE FROM lead;
SELECT count(*) AS leads, count(*) FILTER (WHERE lead_id = 'owner') AS excluded FROM top(1000, 'm');

-- bad input
SELECT refused(ARRAY['INSERT INTO excluded_lead VALUES ('''')', 'INSERT INTO excluded_lead VALUES (repeat(''x'', 1025))', 'INSERT INTO excluded_lead VALUES (''owner'')']);

-- A reader need not know why, nor be in a role that may exclude; policies on excluded_lead hold nobody in.
CREATE ROLE regress_reader;
CREATE ROLE regress_admin;
SELECT grant_reader('regress_reader'), grant_admin('regress_admin');
ALTER TABLE excluded_lead ENABLE ROW LEVEL SECURITY;
SET ROLE regress_reader;
SELECT count(*) AS seen, (SELECT count(*) FROM lead_score WHERE model = 'm' AND lead_id = 'owner') AS listed, score('owner', 'm') FROM excluded_lead;
SELECT refused('INSERT INTO excluded_lead VALUES (''lead 1'')');
RESET ROLE;
ALTER TABLE excluded_lead DISABLE ROW LEVEL SECURITY;
SET ROLE regress_admin;
INSERT INTO excluded_lead VALUES ('lead 12');
SELECT score('lead 12', 'm');
RESET ROLE;
SELECT lead_id, from_segment, to_segment, cause FROM segment_change ORDER BY change_id DESC LIMIT 1;
DELETE FROM excluded_lead WHERE lead_id = 'lead 12';
DROP OWNED BY regress_reader, regress_admin;
DROP ROLE regress_reader, regress_admin;
