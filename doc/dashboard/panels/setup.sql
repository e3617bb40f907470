-- What is missing
-- Each line is a step that some panels wait for, with the statement that does it.
SELECT problem, action, panels
FROM (
	SELECT (SELECT count(*) FROM leadscore.model m WHERE m.model = :'model') = 0 AS no_model,
		(SELECT string_agg(m.model, ', ' ORDER BY m.model) FROM leadscore.model m) AS models,
		NOT EXISTS (SELECT FROM leadscore.lead_timeline) AND NOT EXISTS (SELECT FROM leadscore.pending_delta) AS no_events,
		(SELECT count(*) FROM (SELECT FROM leadscore.lead_timeline LIMIT 2) l) = 1 AS one_lead,
		NOT EXISTS (SELECT FROM leadscore.segment s WHERE s.model = :'model') AS no_segments,
		NOT EXISTS (SELECT FROM leadscore.stage s WHERE s.model = :'model') AS no_stages,
		NOT EXISTS (SELECT FROM leadscore.model m WHERE m.model = :'fitted' AND m.slope IS NOT NULL) AS no_probability,
		NOT EXISTS (SELECT FROM leadscore.watched_model w WHERE w.model = :'model') AS unwatched,
		NOT EXISTS (SELECT FROM leadscore.segment_day) AND NOT EXISTS (SELECT FROM leadscore.monthly_figure) AS no_figures,
		(SELECT NOT c.relispopulated FROM pg_catalog.pg_class c WHERE c.oid = 'leadscore.lead_segment'::regclass) AS no_snapshot
) f
CROSS JOIN LATERAL (VALUES
	(1, no_model AND models IS NULL, 'There is no model yet.', 'SELECT leadscore.publish(leadscore.template(''ecommerce''));', '{*}'::text[]),
	(1, no_model AND models IS NOT NULL, format('There is no model %s.', :'model'), 'MODEL=... make dashboard, with one of: ' || models, '{*}'),
	(2, no_events AND NOT no_model, 'Nothing has been counted yet: there are no events.',
		'SELECT leadscore.track(''shop.orders'', lead_id => ''customer_id'', kind => ''purchase'', occurred_at => ''placed_at'', value => ''total'');', '{*}'),
	(3, one_lead, 'There is one lead only. Shares, tenths and quality need many.',
		'SELECT * FROM leadscore.source;', '{rfm,calibration,lift,quality,drift}'),
	(4, no_segments AND NOT no_model, 'The model has no segments.',
		format('INSERT INTO leadscore.segment (model, segment, position, min_score) VALUES (%L, ''high'', 1, 100), (%1$L, ''low'', 2, NULL);', :'model'),
		'{tiles,sizes,flow,offers}'),
	(5, no_stages AND NOT no_model, 'The model has no stages.',
		format('INSERT INTO leadscore.stage (model, stage, position) VALUES (%L, ''awareness'', 1), (%1$L, ''decision'', 2); UPDATE leadscore.weight SET stage = ...;', :'model'),
		'{funnel}'),
	(6, no_snapshot AND NOT no_model, 'The snapshot has never been refreshed.', 'SELECT leadscore.refresh_segments();', '{tiles,distribution,call}'),
	(7, no_figures AND NOT no_model, 'The figures have never been computed.', 'SELECT leadscore.refresh_figures();',
		'{tiles,quality,sizes,funnel,rfm,channels,offers,experiment}'),
	(8, no_probability AND NOT no_model, 'No model gives a probability. Learn one from past conversions.',
		format('SELECT leadscore.publish(leadscore.fit(leadscore.scorecard(%L) || ''{"model": "learnt"}'', ''purchase'', ''30 days'', ARRAY[now() - interval ''60 days'', now() - interval ''30 days'']));', :'model'),
		'{calibration}'),
	(9, unwatched AND NOT no_model AND NOT no_segments, 'The model is not watched, so no offer can issue vouchers.',
		format('CALL leadscore.watch(%L);', :'model'), '{offers}')
) s (position, holds, problem, action, panels)
WHERE s.holds
ORDER BY s.position
