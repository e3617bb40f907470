-- figures.sql: key figures, from timelines
--
-- A month begins at 00:00 in the model's time zone. The segment of a lead in a month is the one it was
-- in when the month began: scored as of the last hour before, for a score counts
-- the whole hour that it is asked for. Money is summed as numeric, exactly.

-- marketing

CREATE TABLE leadscore.spend (
	channel text NOT NULL
		CONSTRAINT spend_channel_not_empty CHECK ((channel <> '') IS NOT FALSE OR leadscore_internal.refuse(
			'spend channel is empty', '""', 'Name the channel, such as "search".')),
	day date NOT NULL
		CONSTRAINT spend_day_finite CHECK (isfinite(day) IS NOT FALSE OR leadscore_internal.refuse(
			'spend day is not finite', day::text, 'Write a day.')),
	amount numeric NOT NULL
		CONSTRAINT spend_amount_in_range CHECK ((amount >= 0 AND amount < 1e12) IS NOT FALSE OR leadscore_internal.refuse(
			'spend amount is negative or out of range', amount::text, 'Write an amount of money from 0 to below 10^12.')),
	margin numeric
		CONSTRAINT spend_margin_in_range CHECK ((margin >= 0 AND margin <= 1) IS NOT FALSE OR leadscore_internal.refuse(
			'spend margin is not between 0 and 1', margin::text, 'Write the share of revenue that is left after the cost of goods, such as 0.4.')),
	PRIMARY KEY (channel, day)
);

COMMENT ON TABLE leadscore.spend IS 'the cost of marketing';
COMMENT ON COLUMN leadscore.spend.channel IS 'the channel';
COMMENT ON COLUMN leadscore.spend.day IS 'the UTC day';
COMMENT ON COLUMN leadscore.spend.amount IS 'money; rounded to six decimals';
COMMENT ON COLUMN leadscore.spend.margin IS 'the share of revenue that is left after the cost of goods, 0 to 1; NULL: not known';

CREATE FUNCTION leadscore_internal.round_amount() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF scale(NEW.amount) > 6 THEN
		IF NEW.amount <> round(NEW.amount, 6) THEN
			RAISE NOTICE USING MESSAGE = format('the amount %s is rounded to %s', NEW.amount, round(NEW.amount, 6)),
				DETAIL = 'Money is kept to six decimals.';
		END IF;
		NEW.amount := round(NEW.amount, 6);
	END IF;
	RETURN NEW;
END
$$;

COMMENT ON FUNCTION leadscore_internal.round_amount() IS 'trigger: rounds money to six decimals, with a NOTICE';

CREATE TRIGGER round_amount BEFORE INSERT OR UPDATE OF amount ON leadscore.spend
	FOR EACH ROW EXECUTE FUNCTION leadscore_internal.round_amount();

CREATE TABLE leadscore.channel (
	channel text NOT NULL
		CONSTRAINT channel_not_empty CHECK ((channel <> '') IS NOT FALSE OR leadscore_internal.refuse(
			'channel name is empty', '""', 'Name the channel, such as "search".')),
	signal text NOT NULL REFERENCES leadscore.signal ON UPDATE CASCADE ON DELETE CASCADE,
	PRIMARY KEY (channel, signal)
);

CREATE INDEX channel_signal_idx ON leadscore.channel (signal);

CREATE TRIGGER check_event_signal BEFORE INSERT OR UPDATE OF signal ON leadscore.channel
	FOR EACH ROW EXECUTE FUNCTION leadscore_internal.check_event_signal();

COMMENT ON TABLE leadscore.channel IS 'the signals that show through which channel a lead came';
COMMENT ON COLUMN leadscore.channel.channel IS 'the channel, as in spend';
COMMENT ON COLUMN leadscore.channel.signal IS 'an event signal: its occurrences are touches';

-- private view

-- What belongs to a lead is found in its timeline, by a LATERAL look at it, and
-- never by a join of leads with leads: of views like these the planner knows too
-- little to join them well.

CREATE VIEW leadscore_internal.lead_start AS
SELECT v.lead_id, v.timeline, v.profile, leadscore_internal.timeline_start(v.timeline) AS started_at
FROM leadscore_internal.visible_lead v
WHERE leadscore_internal.timeline_start(v.timeline) <= now();

COMMENT ON VIEW leadscore_internal.lead_start IS 'leads that have done something, and since when';
COMMENT ON COLUMN leadscore_internal.lead_start.lead_id IS 'the lead';
COMMENT ON COLUMN leadscore_internal.lead_start.timeline IS 'what it did';
COMMENT ON COLUMN leadscore_internal.lead_start.profile IS 'who it is';
COMMENT ON COLUMN leadscore_internal.lead_start.started_at IS 'the first hour of any signal';

CREATE FUNCTION leadscore_internal.month_of(instant timestamptz, time_zone text) RETURNS date
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
	SELECT date_trunc('month', instant AT TIME ZONE time_zone)::date;
END;

CREATE FUNCTION leadscore_internal.month_start(month date, time_zone text) RETURNS timestamptz
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
	-- the first hour that begins in it: in a zone that is half an hour off, the one around midnight belongs to the day
	-- before
	SELECT date_trunc('hour', (month::timestamp AT TIME ZONE time_zone) + interval '59 minutes 59.999999 seconds', 'UTC');
END;

CREATE FUNCTION leadscore_internal.months_since(instant timestamptz, time_zone text) RETURNS TABLE (month date, begins_at timestamptz, next_at timestamptz)
	LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE ROWS 12 SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN QUERY
	SELECT g.month::date, leadscore_internal.month_start(g.month::date, time_zone), leadscore_internal.month_start((g.month + interval '1 month')::date, time_zone)
	FROM generate_series(leadscore_internal.month_of(instant, time_zone)::timestamp, leadscore_internal.month_of(now(), time_zone)::timestamp, '1 month') AS g (month);
END
$$;

COMMENT ON FUNCTION leadscore_internal.months_since(timestamptz, text) IS 'the months of a time zone from that of an instant to the present one, and when they and the next ones begin';
COMMENT ON FUNCTION leadscore_internal.month_of(timestamptz, text) IS 'the first day of the month in a time zone';
COMMENT ON FUNCTION leadscore_internal.month_start(date, text) IS 'the first hour that begins on a day of a time zone, or after it has begun';

-- Asked for once a group. (Its cost is that of a look-up in few rows; a query in the view would be charged for every
-- lead.)
CREATE FUNCTION leadscore_internal.segment_position(model text, segment text) RETURNS integer
	LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE COST 1 SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN (SELECT s.position FROM leadscore.segment s WHERE s.model = segment_position.model AND s.segment = segment_position.segment);
END
$$;

COMMENT ON FUNCTION leadscore_internal.segment_position(text, text) IS 'the position of a segment of a model; NULL: there is none';

-- conversion, revenue, orders

CREATE TABLE leadscore.monthly_figure (
	model text NOT NULL,
	month date NOT NULL,
	segment text,
	is_new boolean,
	leads bigint,
	customers bigint,
	conversion_rate numeric,
	orders bigint,
	revenue numeric,
	revenue_per_lead numeric,
	average_order_value numeric,
	repeat_rate numeric,
	segment_position integer,
	computed_at timestamptz NOT NULL
);

COMMENT ON TABLE leadscore.monthly_figure IS 'conversion rate, revenue, order value and repeat rate, by month and by the segment when the month began';
COMMENT ON COLUMN leadscore.monthly_figure.model IS 'the model: its segments, its conversion';
COMMENT ON COLUMN leadscore.monthly_figure.month IS 'the first day of the month in the model''s time zone';
COMMENT ON COLUMN leadscore.monthly_figure.segment IS 'the segment when the month began; NULL: none, or not yet a lead';
COMMENT ON COLUMN leadscore.monthly_figure.is_new IS 'whether their first activity was in this month';
COMMENT ON COLUMN leadscore.monthly_figure.leads IS 'leads that had done something by the end of the month';
COMMENT ON COLUMN leadscore.monthly_figure.customers IS 'leads that bought in the month';
COMMENT ON COLUMN leadscore.monthly_figure.conversion_rate IS 'customers / leads';
COMMENT ON COLUMN leadscore.monthly_figure.orders IS 'orders of the month';
COMMENT ON COLUMN leadscore.monthly_figure.revenue IS 'their value, exact';
COMMENT ON COLUMN leadscore.monthly_figure.revenue_per_lead IS 'revenue / leads';
COMMENT ON COLUMN leadscore.monthly_figure.average_order_value IS 'revenue / orders; NULL without orders';
COMMENT ON COLUMN leadscore.monthly_figure.repeat_rate IS 'share of the customers that have ordered more than once; NULL without customers';
COMMENT ON COLUMN leadscore.monthly_figure.segment_position IS 'the position of the segment';
COMMENT ON COLUMN leadscore.monthly_figure.computed_at IS 'when refresh_figures() computed it';

SELECT pg_catalog.pg_extension_config_dump('leadscore.monthly_figure', '');

CREATE FUNCTION leadscore_internal.monthly_figure_now() RETURNS SETOF leadscore.monthly_figure
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
WITH lead AS MATERIALIZED (
	SELECT s.lead_id, s.timeline, s.profile, s.started_at FROM leadscore_internal.lead_start s
), month AS (
	-- the present month ends with the present hour
	SELECT z.time_zone, g.month, g.begins_at, g.next_at, least(g.next_at, now() + interval '1 hour') AS ends_at
	FROM (SELECT min(l.started_at) AS started_at FROM lead l) s
	CROSS JOIN (SELECT DISTINCT c.time_zone FROM leadscore_internal.model_cards() c) z
	CROSS JOIN LATERAL leadscore_internal.months_since(s.started_at, z.time_zone) g
)
SELECT c.model, m.month, f.segment, f.is_new, f.leads, f.customers,
	round(f.customers::numeric / f.leads, 6) AS conversion_rate,
	f.orders::bigint AS orders,
	f.revenue,
	round(f.revenue / f.leads, 6) AS revenue_per_lead,
	round(f.revenue / nullif(f.orders, 0), 6) AS average_order_value,
	round(f.repeaters::numeric / nullif(f.customers, 0), 6) AS repeat_rate,
	leadscore_internal.segment_position(c.model, f.segment) AS segment_position,
	now() AS computed_at
FROM leadscore_internal.model_cards() c
JOIN month m ON m.time_zone = c.time_zone
-- (a month at a time, so that its few groups are known to be few)
CROSS JOIN LATERAL (
	SELECT s.segment, s.is_new, count(*) AS leads, count(*) FILTER (WHERE s.orders > 0) AS customers,
		sum(s.orders) AS orders, sum(s.revenue) AS revenue, count(*) FILTER (WHERE s.orders > 0 AND s.orders_so_far > 1) AS repeaters
	FROM (
		SELECT l.started_at >= m.begins_at AS is_new, t.occurrences AS orders, t.value AS revenue,
			(leadscore_internal.timeline_total(l.timeline, c.conversion_id, NULL, m.ends_at)).occurrences AS orders_so_far,
			CASE WHEN l.started_at < m.begins_at
				THEN (leadscore.appraise(c.scorecard, l.timeline, l.profile, m.begins_at - interval '1 hour')).segment END AS segment
		FROM lead l CROSS JOIN LATERAL leadscore_internal.timeline_total(l.timeline, c.conversion_id, m.begins_at, m.ends_at) t
		WHERE l.started_at < m.next_at
	) s
	GROUP BY s.segment, s.is_new
) f
WHERE c.conversion_id IS NOT NULL
$$;

COMMENT ON FUNCTION leadscore_internal.monthly_figure_now() IS 'the rows of monthly_figure as of now';

-- the sales cycle

CREATE TABLE leadscore.sales_cycle (
	model text NOT NULL,
	month date NOT NULL,
	segment text,
	customers bigint,
	lower_quartile float8,
	median float8,
	upper_quartile float8,
	segment_position integer,
	all_segments boolean,
	computed_at timestamptz NOT NULL
);

COMMENT ON TABLE leadscore.sales_cycle IS 'days from the first touch to the first purchase, by month of the purchase and by the segment just before it';
COMMENT ON COLUMN leadscore.sales_cycle.model IS 'the model: its segments, its conversion';
COMMENT ON COLUMN leadscore.sales_cycle.month IS 'the month of the first purchase';
COMMENT ON COLUMN leadscore.sales_cycle.segment IS 'the segment in the hour before it; NULL: none, or nothing had been done before';
COMMENT ON COLUMN leadscore.sales_cycle.customers IS 'leads that bought for the first time';
COMMENT ON COLUMN leadscore.sales_cycle.lower_quartile IS 'a quarter of them took at most so many days';
COMMENT ON COLUMN leadscore.sales_cycle.median IS 'half of them did';
COMMENT ON COLUMN leadscore.sales_cycle.upper_quartile IS 'three quarters of them did';
COMMENT ON COLUMN leadscore.sales_cycle.segment_position IS 'the position of the segment';
COMMENT ON COLUMN leadscore.sales_cycle.all_segments IS 'true: the row of all segments of the month together';
COMMENT ON COLUMN leadscore.sales_cycle.computed_at IS 'when refresh_figures() computed it';

SELECT pg_catalog.pg_extension_config_dump('leadscore.sales_cycle', '');

CREATE FUNCTION leadscore_internal.sales_cycle_now() RETURNS SETOF leadscore.sales_cycle
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
SELECT f.model, f.month, f.segment, count(*) AS customers,
	percentile_cont(0.25) WITHIN GROUP (ORDER BY f.days) AS lower_quartile,
	percentile_cont(0.5) WITHIN GROUP (ORDER BY f.days) AS median,
	percentile_cont(0.75) WITHIN GROUP (ORDER BY f.days) AS upper_quartile,
	leadscore_internal.segment_position(f.model, f.segment) AS segment_position,
	grouping(f.segment) = 1 AS all_segments, now() AS computed_at
FROM (
	SELECT c.model, leadscore_internal.month_of(o.bought_at, c.time_zone) AS month, (extract(epoch FROM o.bought_at - s.started_at) / 86400)::float8 AS days,
		CASE WHEN s.started_at < o.bought_at
			THEN (leadscore.appraise(c.scorecard, s.timeline, s.profile, o.bought_at - interval '1 hour')).segment END AS segment
	FROM leadscore_internal.model_cards() c
	CROSS JOIN leadscore_internal.lead_start s
	CROSS JOIN LATERAL (
		SELECT leadscore.timeline_first_hour(s.timeline, c.conversion_id, NULL, now() + interval '1 hour') AS bought_at OFFSET 0
	) o
	WHERE c.conversion_id IS NOT NULL AND o.bought_at IS NOT NULL
) f
GROUP BY GROUPING SETS ((f.model, f.month, f.segment), (f.model, f.month))
$$;

COMMENT ON FUNCTION leadscore_internal.sales_cycle_now() IS 'the rows of sales_cycle as of now';

-- the funnel

CREATE FUNCTION leadscore_internal.model_stages() RETURNS TABLE (model text, stage text, "position" integer)
	LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 5 SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN QUERY SELECT s.model, s.stage, s.position FROM leadscore.stage s;
END
$$;

CREATE FUNCTION leadscore_internal.stage_signals() RETURNS TABLE (model text, signal_id integer, "position" integer)
	LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 10 SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN QUERY
	SELECT s.model, g.signal_id, max(s.position)
	FROM leadscore.stage s
	JOIN leadscore.weight w ON w.model = s.model AND w.stage = s.stage
	JOIN leadscore.signal g ON g.signal = w.signal
	GROUP BY s.model, g.signal_id;
END
$$;

COMMENT ON FUNCTION leadscore_internal.model_stages() IS 'the stages of all models';
COMMENT ON FUNCTION leadscore_internal.stage_signals() IS 'the furthest stage that each signal shows, of each model';

CREATE TABLE leadscore.funnel (
	model text NOT NULL,
	month date NOT NULL,
	segment text,
	stage text,
	position integer,
	leads bigint,
	share numeric,
	drop_off numeric,
	segment_position integer,
	computed_at timestamptz NOT NULL
);

COMMENT ON TABLE leadscore.funnel IS 'how far leads have come, by the month of their first touch and their segment at its end';
COMMENT ON COLUMN leadscore.funnel.model IS 'the model of the stages';
COMMENT ON COLUMN leadscore.funnel.month IS 'the month of their first touch';
COMMENT ON COLUMN leadscore.funnel.segment IS 'the segment in the last hour of that month, or now, if it has not yet ended; NULL: none';
COMMENT ON COLUMN leadscore.funnel.stage IS 'the stage';
COMMENT ON COLUMN leadscore.funnel.position IS 'a higher one is further along';
COMMENT ON COLUMN leadscore.funnel.leads IS 'leads that have ever reached it, or a later one';
COMMENT ON COLUMN leadscore.funnel.share IS 'leads / leads of the first stage';
COMMENT ON COLUMN leadscore.funnel.drop_off IS 'the share of the previous stage that has not reached it; NULL for the first';
COMMENT ON COLUMN leadscore.funnel.segment_position IS 'the position of the segment';
COMMENT ON COLUMN leadscore.funnel.computed_at IS 'when refresh_figures() computed it';

SELECT pg_catalog.pg_extension_config_dump('leadscore.funnel', '');

CREATE FUNCTION leadscore_internal.funnel_now() RETURNS SETOF leadscore.funnel
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
WITH came AS (
	SELECT m.model, leadscore_internal.month_of(l.started_at, m.time_zone) AS month, r.position,
		(leadscore.appraise(m.scorecard, l.timeline, l.profile,
			least(leadscore_internal.month_start((leadscore_internal.month_of(l.started_at, m.time_zone) + interval '1 month')::date, m.time_zone) - interval '1 hour', now()))).segment
	FROM leadscore_internal.model_cards() m
	CROSS JOIN leadscore_internal.lead_start l
	CROSS JOIN LATERAL (
		SELECT max(s.position) AS position
		FROM leadscore.timeline_entries(l.timeline) e JOIN leadscore_internal.stage_signals() s ON s.signal_id = e.signal_id AND s.model = m.model
		WHERE e.occurrences > 0 AND e.hour <= now()
	) r
	WHERE r.position IS NOT NULL
), furthest AS (
	-- (counted before stages are joined, so that a lead is looked at once, not for each stage)
	SELECT c.model, c.month, c.segment, c.position, count(*) AS leads FROM came c GROUP BY c.model, c.month, c.segment, c.position
), counted AS (
	SELECT s.model, f.month, f.segment, s.stage, s.position, coalesce(sum(f.leads) FILTER (WHERE f.position >= s.position), 0)::bigint AS leads
	FROM leadscore_internal.model_stages() s JOIN furthest f ON f.model = s.model
	GROUP BY s.model, f.month, f.segment, s.stage, s.position
)
SELECT c.model, c.month, c.segment, c.stage, c.position, c.leads,
	round(c.leads::numeric / nullif(first_value(c.leads) OVER w, 0), 6) AS share,
	round(1 - c.leads::numeric / nullif(lag(c.leads) OVER w, 0), 6) AS drop_off,
	leadscore_internal.segment_position(c.model, c.segment) AS segment_position,
	now() AS computed_at
FROM counted c
WINDOW w AS (PARTITION BY c.model, c.month, c.segment ORDER BY c.position)
$$;

COMMENT ON FUNCTION leadscore_internal.funnel_now() IS 'the rows of funnel as of now';

-- attribution

-- What a channel has spent is shared out by the borders of running sums, which
-- lose nothing.

CREATE FUNCTION leadscore_internal.touch_signals() RETURNS TABLE (signal_id integer, channel text)
	LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 5 SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN QUERY SELECT g.signal_id, c.channel FROM leadscore.channel c JOIN leadscore.signal g ON g.signal = c.signal;
END
$$;

COMMENT ON FUNCTION leadscore_internal.touch_signals() IS 'the signals that show a channel, by their numbers';

CREATE TABLE leadscore.attribution (
	model text NOT NULL,
	attribution text,
	month date NOT NULL,
	channel text,
	segment text,
	new_customers bigint,
	orders bigint,
	revenue numeric,
	spend numeric,
	acquisition_cost numeric,
	return_on_spend numeric,
	segment_position integer,
	leads bigint,
	margin numeric,
	profit numeric,
	computed_at timestamptz NOT NULL
);

COMMENT ON TABLE leadscore.attribution IS 'the cost and return of each channel, by first and by last touch, and by segment';
COMMENT ON COLUMN leadscore.attribution.model IS 'the model of the conversion';
COMMENT ON COLUMN leadscore.attribution.attribution IS 'first: an order counts for the lead''s first touch; last: for the last one before it';
COMMENT ON COLUMN leadscore.attribution.month IS 'the month of the order, and of the spend';
COMMENT ON COLUMN leadscore.attribution.channel IS 'the channel; NULL: orders without a touch before them';
COMMENT ON COLUMN leadscore.attribution.segment IS 'the segment in the hour before the order; NULL: none, nothing had been done before, or there was no order';
COMMENT ON COLUMN leadscore.attribution.new_customers IS 'leads with their first order';
COMMENT ON COLUMN leadscore.attribution.orders IS 'orders';
COMMENT ON COLUMN leadscore.attribution.revenue IS 'their value, exact';
COMMENT ON COLUMN leadscore.attribution.spend IS 'the cost of the channel in the month, distributed over the segments by new customers';
COMMENT ON COLUMN leadscore.attribution.acquisition_cost IS 'spend / new customers (CAC); NULL without any';
COMMENT ON COLUMN leadscore.attribution.return_on_spend IS 'revenue / spend (ROAS); NULL without spend';
COMMENT ON COLUMN leadscore.attribution.segment_position IS 'the position of the segment';
COMMENT ON COLUMN leadscore.attribution.leads IS 'leads whose first hour lies in the month, by their first or last touch until it ends; they were in no segment before';
COMMENT ON COLUMN leadscore.attribution.margin IS 'what is left of the revenue: revenue * the margin of spend; NULL: spend has none';
COMMENT ON COLUMN leadscore.attribution.profit IS 'margin - spend; NULL without a margin';
COMMENT ON COLUMN leadscore.attribution.computed_at IS 'when refresh_figures() computed it';

SELECT pg_catalog.pg_extension_config_dump('leadscore.attribution', '');

CREATE FUNCTION leadscore_internal.attribution_now() RETURNS SETOF leadscore.attribution
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
WITH bought AS (
	SELECT c.model, o.occurrences AS orders, o.value AS revenue, leadscore_internal.month_of(o.hour, c.time_zone) AS month, t.channels,
		o.hour = min(o.hour) FILTER (WHERE o.occurrences > 0) OVER (PARTITION BY c.model, s.lead_id) AS is_first,
		CASE WHEN s.started_at < o.hour THEN (leadscore.appraise(c.scorecard, s.timeline, s.profile, o.hour - interval '1 hour')).segment END AS segment
	FROM leadscore_internal.model_cards() c
	CROSS JOIN leadscore_internal.lead_start s
	CROSS JOIN LATERAL leadscore.timeline_entries(s.timeline) o
	CROSS JOIN LATERAL (
		-- of the first touch, and of the last before the order
		SELECT ARRAY[(array_agg(t.channel ORDER BY e.hour, t.channel))[1], (array_agg(t.channel ORDER BY e.hour DESC, t.channel))[1]] AS channels
		FROM leadscore.timeline_entries(s.timeline) e JOIN leadscore_internal.touch_signals() t ON t.signal_id = e.signal_id
		WHERE e.occurrences > 0 AND e.hour <= o.hour AND (e.hour > o.hour - c.look_back) IS NOT FALSE
	) t
	WHERE o.signal_id = c.conversion_id AND o.hour <= now()
), came AS (
	-- before their first hour they were in no segment
	SELECT c.model, leadscore_internal.month_of(s.started_at, c.time_zone) AS month, t.channels
	FROM leadscore_internal.model_cards() c
	CROSS JOIN leadscore_internal.lead_start s
	CROSS JOIN LATERAL (
		SELECT ARRAY[(array_agg(t.channel ORDER BY e.hour, t.channel))[1], (array_agg(t.channel ORDER BY e.hour DESC, t.channel))[1]] AS channels
		FROM leadscore.timeline_entries(s.timeline) e JOIN leadscore_internal.touch_signals() t ON t.signal_id = e.signal_id
		WHERE e.occurrences > 0 AND e.hour <= now()
		AND e.hour < leadscore_internal.month_start((leadscore_internal.month_of(s.started_at, c.time_zone) + interval '1 month')::date, c.time_zone)
	) t
	WHERE c.conversion_id IS NOT NULL
), credited AS (
	SELECT f.model, f.attribution, f.month, f.channel, f.segment,
		sum(f.new_customers)::bigint AS new_customers, sum(f.orders)::bigint AS orders, sum(f.revenue) AS revenue, sum(f.leads)::bigint AS leads
	FROM (
		SELECT b.model, a.attribution, b.month, b.channels[a.n] AS channel, b.segment,
			count(*) FILTER (WHERE b.is_first) AS new_customers, sum(b.orders) AS orders, sum(b.revenue) AS revenue, 0 AS leads
		FROM bought b CROSS JOIN (VALUES (1, 'first'), (2, 'last')) a (n, attribution)
		GROUP BY b.model, a.attribution, b.month, b.channels[a.n], b.segment
		UNION ALL
		SELECT m.model, a.attribution, m.month, m.channels[a.n], NULL, 0, 0, 0, count(*)
		FROM came m CROSS JOIN (VALUES (1, 'first'), (2, 'last')) a (n, attribution)
		GROUP BY m.model, a.attribution, m.month, m.channels[a.n]
	) f
	GROUP BY f.model, f.attribution, f.month, f.channel, f.segment
), spent AS (
	SELECT c.model, a.attribution, date_trunc('month', s.day::timestamp)::date AS month, s.channel, sum(s.amount) AS amount,
		-- a margin of days that differ is theirs by what they have cost
		CASE WHEN sum(s.amount) FILTER (WHERE s.margin IS NOT NULL) > 0
			THEN sum(s.amount * s.margin) / sum(s.amount) FILTER (WHERE s.margin IS NOT NULL) ELSE avg(s.margin) END AS margin
	FROM leadscore.spend s CROSS JOIN leadscore_internal.model_cards() c CROSS JOIN (VALUES ('first'), ('last')) a (attribution)
	WHERE c.conversion_id IS NOT NULL
	GROUP BY c.model, a.attribution, date_trunc('month', s.day::timestamp)::date, s.channel
), shared AS (
	SELECT coalesce(c.model, s.model) AS model, coalesce(c.attribution, s.attribution) AS attribution, coalesce(c.month, s.month) AS month,
		coalesce(c.channel, s.channel) AS channel, c.segment,
		coalesce(c.new_customers, 0) AS new_customers, coalesce(c.orders, 0) AS orders, coalesce(c.revenue, 0) AS revenue, coalesce(s.amount, 0) AS amount,
		coalesce(c.leads, 0) AS leads, s.margin,
		-- a month that has brought nobody new has paid for its orders
		CASE WHEN sum(c.new_customers) OVER (PARTITION BY c.model, c.attribution, c.month, c.channel) > 0 THEN c.new_customers ELSE c.orders END AS part
	FROM credited c FULL JOIN spent s ON s.model = c.model AND s.attribution = c.attribution AND s.month = c.month AND s.channel = c.channel
), figure AS (
	SELECT s.*, CASE WHEN sum(s.part) OVER w > 0
		THEN trim_scale(round(s.amount * sum(s.part) OVER up_to / sum(s.part) OVER w, 6) - round(s.amount * (sum(s.part) OVER up_to - s.part) / sum(s.part) OVER w, 6))
		WHEN row_number() OVER up_to = 1 THEN s.amount ELSE 0 END AS spend
	FROM shared s
	WINDOW w AS (PARTITION BY s.model, s.attribution, s.month, s.channel), up_to AS (w ORDER BY s.segment)
)
SELECT f.model, f.attribution, f.month, f.channel, f.segment, f.new_customers, f.orders, f.revenue, f.spend,
	round(f.spend / nullif(f.new_customers, 0), 6) AS acquisition_cost,
	round(f.revenue / nullif(f.spend, 0), 6) AS return_on_spend,
	leadscore_internal.segment_position(f.model, f.segment) AS segment_position,
	f.leads, round(f.revenue * f.margin, 6) AS margin, round(f.revenue * f.margin, 6) - f.spend AS profit, now() AS computed_at
FROM figure f
$$;

COMMENT ON FUNCTION leadscore_internal.attribution_now() IS 'the rows of attribution as of now';

SELECT pg_catalog.pg_extension_config_dump('leadscore.spend', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.channel', '');
