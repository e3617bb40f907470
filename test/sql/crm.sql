\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- crm_lead: leads as a CRM takes them over, and what has changed since a change.
SELECT publish('{"model": "shop", "intercept": -2, "slope": 0.1, "floor": 0, "ceiling": 100,
	"signals": [{"signal": "visit", "kind": "visit"}, {"signal": "order", "kind": "order", "label": "order|orders"}, {"signal": "complaint", "kind": "complaint", "label": "complaint|complaints"},
		{"signal": "german", "subject": "profile", "match": {"country": "DE"}, "label": "lives in Germany"}, {"signal": "tiny", "kind": "visit"}],
	"weights": [{"signal": "visit", "points": 1, "stage": "looks"}, {"signal": "order", "points": 20, "stage": "buys"}, {"signal": "order", "measure": "value", "points": 0.1}, {"signal": "complaint", "points": -15},
		{"signal": "german", "points": 10}, {"signal": "tiny", "points": 0.1}],
	"stages": [{"stage": "looks", "position": 1}, {"stage": "buys", "position": 2}],
	"grades": [{"grade": "A", "min_fit": 10}, {"grade": "B"}],
	"segments": [{"segment": "high", "position": 1, "min_score": 20}, {"segment": "low", "position": 2}]}');
INSERT INTO event (lead_id, kind, occurred_at, value) VALUES ('anna', 'visit', '2026-01-01', NULL), ('anna', 'order', '2026-01-02', 54), ('anna', 'complaint', '2026-01-03', NULL),
	('ben', 'visit', '2026-01-01', NULL), ('ben', 'visit', '2026-01-02', NULL);
INSERT INTO lead VALUES ('anna', '{"country": "DE"}'), ('carla', NULL);
-- anna: 1 + 20 + 5.4 - 15 + 10 + 0.1 = 21.5; the reasons are the three lines of explain() that weigh most; what is less than half a point is none
SELECT model, lead_id, score, grade, segment, stage, probability, reason_1, reason_2, reason_3 FROM crm_lead ORDER BY lead_id;
SELECT refresh_crm(), refresh_crm();
SELECT change_id, model, lead_id, score, segment, reason_1, deleted FROM crm_changes();
SELECT lead_id, l.changed_at = c.changed_at AS same FROM crm_lead l JOIN crm_changes() c USING (lead_id) ORDER BY 1;
-- since a change: ben orders, carla goes, dora comes
INSERT INTO event (lead_id, kind, occurred_at, value) VALUES ('ben', 'order', '2026-01-02', 0), ('dora', 'visit', '2026-01-02', NULL);
DELETE FROM lead WHERE lead_id = 'carla';
SELECT lead_id, changed_at = now() AS is_new FROM crm_lead ORDER BY 1;
SELECT refresh_crm();
SELECT change_id, lead_id, score, segment, stage, reason_1, reason_2, deleted FROM crm_changes(3);
SELECT change_id, lead_id FROM crm_changes(3, 2);
SELECT count(*) FROM crm_changes(6);
-- a weight changes, and only whom it changes is told
UPDATE weight SET points = -16 WHERE signal = 'complaint';
SELECT refresh_crm();
SELECT change_id, lead_id, score, reason_2 FROM crm_changes(6);
-- who comes back is told again
INSERT INTO lead VALUES ('carla', NULL);
SELECT refresh_crm();
SELECT change_id, lead_id, score, deleted FROM crm_changes(7);
-- what was told, with the deleted ones taken away, is what there is
DELETE FROM lead WHERE lead_id = 'carla';
SELECT refresh_crm();
CREATE TABLE told AS SELECT model, lead_id, score, grade, segment, stage, probability, reason_1, reason_2, reason_3 FROM crm_changes() WHERE NOT deleted;
CREATE TABLE live AS SELECT model, lead_id, score, grade, segment, stage, probability, reason_1, reason_2, reason_3 FROM crm_lead;
SELECT (SELECT count(*) FROM live) AS leads, (SELECT count(*) FROM (TABLE told EXCEPT ALL TABLE live) d) AS too_many, (SELECT count(*) FROM (TABLE live EXCEPT ALL TABLE told) d) AS missing;
-- NULL: all
SELECT count(*) FROM crm_changes(NULL, NULL);
-- who is forgotten: nothing but the name remains, until all CRMs have been told
SELECT * FROM forget('ben') WHERE source = 'leadscore_internal.crm_state'::regclass;
SELECT change_id, model, lead_id, score, grade, segment, stage, probability, reason_1, reason_2, reason_3, deleted FROM crm_changes(9);
SELECT refresh_crm();
SELECT crm_forget(9), crm_forget(10), crm_forget(NULL);
SELECT lead_id, deleted FROM crm_changes();
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT refresh_crm();
ROLLBACK;
