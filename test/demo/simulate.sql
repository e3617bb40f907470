-- A shop that never was: 20,000 leads, 400,000 events in the 120 days up to now. The same at every run (but for the
-- end of time): chance is a hash of the row's number.

\ir chance.sql

-- the channels that leads come through, and what they cost
INSERT INTO leadscore.signal (signal, kind, match, description)
SELECT 'from_' || source, 'visit', jsonb_build_object('source', source), 'Came from ' || source
FROM unnest('{search,ads,social}'::text[]) AS source;
INSERT INTO leadscore.channel (channel, signal)
VALUES ('search', 'from_search'), ('ads', 'from_ads'), ('social', 'from_social'), ('email', 'email_click');
INSERT INTO leadscore.spend (channel, day, amount)
SELECT channel, (now() - n * interval '1 day')::date, round((amount * (0.8 + 0.4 * pg_temp.chance(n, 31)))::numeric, 2)
FROM generate_series(0, 119) AS n, (VALUES ('ads', 120), ('social', 55), ('email', 10)) AS s (channel, amount);

INSERT INTO leadscore.lead (lead_id, profile)
SELECT n, jsonb_build_object(
		'country', pg_temp.choice('{DE,DE,DE,DE,AT,CH,FR,NL,PL}', pg_temp.chance(n, 1)),
		'age', 18 + floor(60 * pg_temp.chance(n, 2)),
		'profession', pg_temp.choice('{teacher,engineer,nurse,designer,clerk,student,retired}', pg_temp.chance(n, 3)))
FROM generate_series(1, 20000) AS n;

-- Activity is heavy-tailed: half the leads have 15 events or fewer, one has 1,200. A lead is active from some day
-- day on, up to now or up to another day. The kinds stand in order of seriousness; the keener a lead, the more
-- later ones, and some never go further than a visit, or than a cart.
INSERT INTO leadscore.event (lead_id, kind, occurred_at, value, properties)
SELECT lead,
	kind,
	date_trunc('minute', now()) - interval '120 days' * (1 - begins - (ends - begins) * pg_temp.chance(n, 13)),
	CASE kind WHEN 'purchase' THEN round((8 / (0.03 + pg_temp.chance(n, 14)))::numeric, 2) END,
	jsonb_build_object('device', pg_temp.choice('{mobile,mobile,mobile,desktop,desktop,tablet}', pg_temp.chance(n, 15)))
		|| CASE WHEN kind = 'visit'
			THEN jsonb_build_object('source', pg_temp.choice('{search,search,search,ads,ads,social,direct,direct}', pg_temp.chance(n, 17)))
			ELSE '{}' END
		|| CASE WHEN kind IN ('product_view', 'add_to_cart', 'purchase')
			THEN jsonb_build_object('category', category, 'url', format('/%s/%s', category, 1 + n % 500))
			ELSE '{}' END
FROM generate_series(1, 400000) AS n,
	LATERAL (SELECT 1 + floor(20000 * pg_temp.chance(n, 11) ^ 1.7)::int * 7919 % 20000) AS l (lead),
	LATERAL (SELECT 0.9 * pg_temp.chance(lead, 21), least(1, 0.3 + pg_temp.chance(lead, 22)),
		pg_temp.chance(lead, 23), (ARRAY[0.42, 0.42, 0.90, 0.98, 1, 1, 1])[1 + floor(7 * pg_temp.chance(lead, 24))]) AS a (begins, reach, reserve, depth),
	LATERAL (SELECT begins + (1 - begins) * reach) AS e (ends),
	LATERAL (SELECT ('{visit,product_view,search,email_open,unsubscribe,complaint,social_share,email_click,'
		'newsletter_signup,form_submit,return,add_to_cart,cart_abandoned,purchase}'::text[])
		[1 + width_bucket(depth * pg_temp.chance(n, 12) ^ (0.6 + reserve),
			ARRAY[0.42, 0.70, 0.78, 0.86, 0.862, 0.864, 0.872, 0.90, 0.908, 0.916, 0.919, 0.965, 0.98])]) AS k (kind),
	LATERAL (SELECT pg_temp.choice('{shoes,shirts,coats,bags,toys,books}', pg_temp.chance(n, 16))) AS c (category);
