-- What a shop has beside the workload's events and the model bench: a second model, profiles, stages, channels, an experiment.
-- Timelines come last; nothing is analyzed.

SELECT leadscore.publish(leadscore.template('ecommerce'));
INSERT INTO leadscore.lead
SELECT n::text, jsonb_build_object('country', (ARRAY['DE', 'FR', 'US'])[1 + n % 3], 'age', 18 + n % 60)
FROM generate_series(1, :events / 20) n;
INSERT INTO leadscore.signal (signal, subject, match) VALUES ('german', 'profile', '{"country": "DE"}');
INSERT INTO leadscore.weight (model, signal, points) VALUES ('bench', 'german', 5);
INSERT INTO leadscore.stage (model, stage, position) VALUES ('bench', 'looks', 1), ('bench', 'buys', 2);
UPDATE leadscore.weight SET stage = CASE signal WHEN 'purchase' THEN 'buys' ELSE 'looks' END
WHERE model = 'bench' AND signal IN ('purchase', 'page_view');
INSERT INTO leadscore.conversion VALUES ('bench', 'purchase');
INSERT INTO leadscore.channel VALUES ('search', 'search'), ('mail', 'email_click');
INSERT INTO leadscore.spend SELECT 'search', current_date - n, 10 FROM generate_series(1, 60) n;
INSERT INTO leadscore.experiment (experiment, control, treatment, starts_at) VALUES ('try', 'bench', 'ecommerce', now() - interval '60 days');
CREATE TABLE customer (id text PRIMARY KEY, name text);
INSERT INTO customer SELECT n::text, 'name ' || n FROM generate_series(1, :events / 20) n;
CALL leadscore.rebuild();
