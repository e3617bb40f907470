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

-- private functions

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

COMMENT ON FUNCTION leadscore_internal.month_of(timestamptz, text) IS 'the first day of the month in a time zone';
COMMENT ON FUNCTION leadscore_internal.month_start(date, text) IS 'the first hour that begins on a day of a time zone, or after it has begun';

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

-- the funnel


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

-- attribution

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

SELECT pg_catalog.pg_extension_config_dump('leadscore.spend', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.channel', '');

-- one walk over all leads for each model

CREATE TYPE leadscore_internal.figures AS (
	monthly float8[],
	monthly_revenue numeric[],
	cycle float8[],
	funnel float8[],
	attribution float8[],
	attribution_revenue numeric[],
	days float8[]
);

COMMENT ON TYPE leadscore_internal.figures IS 'key figures of a model; months by their number since December 1969, segments by position and channels by name from 1, 0: none';
COMMENT ON COLUMN leadscore_internal.figures.monthly IS 'month, segment, whether they are new, leads, customers, orders, customers that have ordered more than once';
COMMENT ON COLUMN leadscore_internal.figures.monthly_revenue IS 'the value of the orders';
COMMENT ON COLUMN leadscore_internal.figures.cycle IS 'month, segment, days from the first hour to the first order: a row for each customer';
COMMENT ON COLUMN leadscore_internal.figures.funnel IS 'month, segment, number of the furthest stage, leads';
COMMENT ON COLUMN leadscore_internal.figures.attribution IS '0 (first touch) or 1 (last), month, channel, segment, new customers, orders, new leads';
COMMENT ON COLUMN leadscore_internal.figures.attribution_revenue IS 'the value of the orders';
COMMENT ON COLUMN leadscore_internal.figures.days IS 'for the ends of days what census() has for instants';

CREATE FUNCTION leadscore_internal.figures_transition(internal, jsonb, leadscore.timeline, jsonb, timestamptz, timestamptz[], timestamptz[], integer, integer, integer[], integer[], integer[], integer[], timestamptz[], leadscore.timeline[]) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 50;

CREATE FUNCTION leadscore_internal.figures_final(internal) RETURNS leadscore_internal.figures
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION leadscore_internal.figures_transition(internal, jsonb, leadscore.timeline, jsonb, timestamptz, timestamptz[], timestamptz[], integer, integer, integer[], integer[], integer[], integer[], timestamptz[], leadscore.timeline[])
	IS 'aggregate transition function';
COMMENT ON FUNCTION leadscore_internal.figures_final(internal) IS 'aggregate final function';

CREATE AGGREGATE leadscore_internal.gather_figures(scorecard jsonb, timeline leadscore.timeline, profile jsonb, at timestamptz, months timestamptz[], days timestamptz[],
	conversion_id integer, look_back_hours integer, stage_signals integer[], stages integer[], touch_signals integer[], channels integer[],
	instants timestamptz[], timelines leadscore.timeline[]) (
	SFUNC = leadscore_internal.figures_transition,
	STYPE = internal,
	SSPACE = 65536,
	FINALFUNC = leadscore_internal.figures_final
);

COMMENT ON AGGREGATE leadscore_internal.gather_figures(jsonb, leadscore.timeline, jsonb, timestamptz, timestamptz[], timestamptz[], integer, integer, integer[], integer[], integer[], integer[], timestamptz[], leadscore.timeline[])
	IS 'the key figures of timelines up to an instant, with the instants of events and what each has added to its timeline';

-- (an event of the first hours of 1970 may lie in the year before)
CREATE FUNCTION leadscore_internal.month_number(n integer) RETURNS date
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
	SELECT (date '1969-12-01' + make_interval(months => n))::date;
END;

COMMENT ON FUNCTION leadscore_internal.month_number(integer) IS 'the first day of a month by its number since December 1969';

CREATE FUNCTION leadscore_internal.channel_names() RETURNS TABLE (n bigint, channel text)
	LANGUAGE sql STABLE PARALLEL SAFE ROWS 5 SET search_path = pg_catalog, pg_temp
AS $$
	SELECT row_number() OVER (ORDER BY c.channel), c.channel FROM (SELECT DISTINCT c.channel FROM leadscore.channel c) c
$$;

COMMENT ON FUNCTION leadscore_internal.channel_names() IS 'the channels in the order of their names, numbered from 1';

CREATE FUNCTION leadscore_internal.model_stages(model text) RETURNS TABLE (n bigint, stage text, "position" integer)
	LANGUAGE sql STABLE PARALLEL SAFE ROWS 5 SET search_path = pg_catalog, pg_temp
AS $$
	SELECT row_number() OVER (ORDER BY s.position) - 1, s.stage, s.position FROM leadscore.stage s WHERE s.model = model_stages.model
$$;

COMMENT ON FUNCTION leadscore_internal.model_stages(text) IS 'the stages of a model by position, numbered from 0';

-- A day that has been refreshed on a later one is final. So the last one that there is, and those after it, are
-- computed; the first time the days since the first event, 90 at most.
CREATE FUNCTION leadscore_internal.due_days(model text, time_zone text, OUT first_day date, OUT last_day date, OUT today date, OUT ends timestamptz[])
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	today := (date_trunc('hour', now(), 'UTC') AT TIME ZONE time_zone)::date;
	last_day := (SELECT max(d.day) FROM leadscore.segment_day d WHERE d.model = due_days.model AND d.day <= today);
	first_day := coalesce(last_day, today - 90);
	ends := ARRAY(SELECT leadscore_internal.month_start(first_day + n, time_zone) - interval '1 hour' FROM generate_series(0, today - first_day) n ORDER BY n) || now();
END
$$;

COMMENT ON FUNCTION leadscore_internal.due_days(text, text)
	IS 'the days of segment_day that are to be computed: the first, the last that there is, and today; the last hour of the day before them, then that of each, and now';

-- (a merge join would sort all timelines for the sake of a few leads)
CREATE FUNCTION leadscore_internal.figures_of(model text) RETURNS leadscore_internal.figures
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off SET enable_mergejoin = off
AS $$
DECLARE
	card record;
	this_month date;
	months timestamptz[];
	days timestamptz[];
	stage_signals integer[];
	stages integer[];
	touch_signals integer[];
	channels integer[];
	tied text[];
	result leadscore_internal.figures;
BEGIN
	SELECT c.scorecard, c.conversion_id, c.time_zone, leadscore_internal.duration_hours('look_back'::text, c.look_back, 'Write a duration such as 30 days.'::text) AS look_back INTO card
	FROM leadscore_internal.model_cards() c WHERE c.model = figures_of.model;
	this_month := leadscore_internal.month_of(date_trunc('hour', now(), 'UTC'), card.time_zone);
	months := ARRAY(SELECT leadscore_internal.month_start(leadscore_internal.month_number(n), card.time_zone)
		FROM generate_series(0, (extract(year FROM this_month)::integer - 1970) * 12 + extract(month FROM this_month)::integer) n ORDER BY n);
	days := (leadscore_internal.due_days(figures_of.model, card.time_zone)).ends;
	-- a signal that shows several stages shows the furthest of them
	SELECT array_agg(s.signal_id ORDER BY s.signal_id), array_agg(s.n ORDER BY s.signal_id) INTO stage_signals, stages
	FROM (SELECT g.signal_id, max(t.n)::integer AS n
		FROM leadscore_internal.model_stages(figures_of.model) t
		JOIN leadscore.weight w ON w.model = figures_of.model AND w.stage = t.stage
		JOIN leadscore.signal g ON g.signal = w.signal
		GROUP BY g.signal_id) s;
	SELECT array_agg(g.signal_id ORDER BY g.signal_id, n.n), array_agg(n.n::integer ORDER BY g.signal_id, n.n) INTO touch_signals, channels
	FROM leadscore.channel c JOIN leadscore_internal.channel_names() n ON n.channel = c.channel JOIN leadscore.signal g ON g.signal = c.signal;
	tied := (SELECT leadscore_internal.tied_leads(v.lead_id, v.timeline, card.conversion_id, touch_signals, channels)
		FROM leadscore_internal.visible_lead v WHERE card.conversion_id IS NOT NULL AND touch_signals IS NOT NULL);
	result := (
		SELECT leadscore_internal.gather_figures(card.scorecard, v.timeline, v.profile, now(), months, days, card.conversion_id, card.look_back,
			coalesce(stage_signals, '{}'), coalesce(stages, '{}'), coalesce(touch_signals, '{}'), coalesce(channels, '{}'), m.instants, m.timelines)
		FROM leadscore_internal.visible_lead v LEFT JOIN leadscore_internal.event_moments(tied, touch_signals || card.conversion_id) m ON m.lead_id = v.lead_id);
	RETURN result;
END
$$;

COMMENT ON FUNCTION leadscore_internal.figures_of(text) IS 'the key figures of a model as of now';

-- the rows of each figure

CREATE FUNCTION leadscore_internal.monthly_figure_rows(model text, f leadscore_internal.figures) RETURNS SETOF leadscore.monthly_figure
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
	SELECT monthly_figure_rows.model, leadscore_internal.month_number(c.month), s.segment, c.is_new, c.leads, c.customers,
		round(c.customers::numeric / c.leads, 6), c.orders, c.revenue, round(c.revenue / c.leads, 6), round(c.revenue / nullif(c.orders, 0), 6),
		round(c.repeaters::numeric / nullif(c.customers, 0), 6), s.position, now()
	FROM (
		SELECT f.monthly[i][1]::integer AS month, f.monthly[i][2] AS segment, f.monthly[i][3] = 1 AS is_new, f.monthly[i][4]::bigint AS leads,
			f.monthly[i][5]::bigint AS customers, f.monthly[i][6]::bigint AS orders, f.monthly[i][7]::bigint AS repeaters, f.monthly_revenue[i] AS revenue
		FROM generate_series(1, array_length(f.monthly, 1)) i
	) c
	LEFT JOIN leadscore_internal.card_segments(leadscore.scorecard(monthly_figure_rows.model)) s ON s.n = c.segment
$$;

CREATE FUNCTION leadscore_internal.sales_cycle_rows(model text, f leadscore_internal.figures) RETURNS SETOF leadscore.sales_cycle
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
	SELECT sales_cycle_rows.model, leadscore_internal.month_number(g.month), s.segment, g.customers, g.quartiles[1], g.quartiles[2], g.quartiles[3],
		s.position, g.all_segments, now()
	FROM (
		SELECT c.month, c.segment, count(*) AS customers, percentile_cont(ARRAY[0.25, 0.5, 0.75]) WITHIN GROUP (ORDER BY c.days) AS quartiles,
			grouping(c.segment) = 1 AS all_segments
		FROM (
			SELECT f.cycle[i][1]::integer AS month, f.cycle[i][2] AS segment, f.cycle[i][3] AS days
			FROM generate_series(1, array_length(f.cycle, 1)) i
		) c
		GROUP BY GROUPING SETS ((c.month, c.segment), (c.month))
	) g
	LEFT JOIN leadscore_internal.card_segments(leadscore.scorecard(sales_cycle_rows.model)) s ON s.n = g.segment
$$;

CREATE FUNCTION leadscore_internal.funnel_rows(model text, f leadscore_internal.figures) RETURNS SETOF leadscore.funnel
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
	WITH furthest AS MATERIALIZED (
		SELECT f.funnel[i][1]::integer AS month, f.funnel[i][2] AS segment, f.funnel[i][3] AS stage, f.funnel[i][4]::bigint AS leads
		FROM generate_series(1, array_length(f.funnel, 1)) i
	), counted AS (
		SELECT c.month, c.segment, t.stage, t.position, coalesce(sum(c.leads) FILTER (WHERE c.stage >= t.n), 0)::bigint AS leads
		FROM leadscore_internal.model_stages(funnel_rows.model) t CROSS JOIN furthest c
		GROUP BY c.month, c.segment, t.stage, t.position
	)
	SELECT funnel_rows.model, leadscore_internal.month_number(c.month), s.segment, c.stage, c.position, c.leads,
		round(c.leads::numeric / nullif(first_value(c.leads) OVER w, 0), 6), round(1 - c.leads::numeric / nullif(lag(c.leads) OVER w, 0), 6), s.position, now()
	FROM counted c
	LEFT JOIN leadscore_internal.card_segments(leadscore.scorecard(funnel_rows.model)) s ON s.n = c.segment
	WINDOW w AS (PARTITION BY c.month, c.segment ORDER BY c.position)
$$;

-- What a channel has spent is shared out by the borders of running sums, which lose nothing.
CREATE FUNCTION leadscore_internal.attribution_rows(model text, f leadscore_internal.figures) RETURNS SETOF leadscore.attribution
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
	WITH credited AS MATERIALIZED (
		SELECT CASE c.attribution WHEN 0 THEN 'first' ELSE 'last' END AS attribution, leadscore_internal.month_number(c.month) AS month, n.channel, s.segment,
			c.new_customers, c.orders, c.revenue, c.leads, s.position
		FROM (
			SELECT f.attribution[i][1] AS attribution, f.attribution[i][2]::integer AS month, f.attribution[i][3] AS channel, f.attribution[i][4] AS segment,
				f.attribution[i][5]::bigint AS new_customers, f.attribution[i][6]::bigint AS orders, f.attribution[i][7]::bigint AS leads, f.attribution_revenue[i] AS revenue
			FROM generate_series(1, array_length(f.attribution, 1)) i
		) c
		LEFT JOIN leadscore_internal.card_segments(leadscore.scorecard(attribution_rows.model)) s ON s.n = c.segment
		LEFT JOIN leadscore_internal.channel_names() n ON n.n = c.channel
	), spent AS MATERIALIZED (
		SELECT a.attribution, date_trunc('month', s.day::timestamp)::date AS month, s.channel, sum(s.amount) AS amount,
			-- of days whose margins differ, each has the weight of what it has cost
			CASE WHEN sum(s.amount) FILTER (WHERE s.margin IS NOT NULL) > 0
				THEN sum(s.amount * s.margin) / sum(s.amount) FILTER (WHERE s.margin IS NOT NULL) ELSE avg(s.margin) END AS margin
		FROM leadscore.spend s CROSS JOIN (VALUES ('first'), ('last')) a (attribution)
		WHERE EXISTS (SELECT FROM leadscore_internal.model_conversion c WHERE c.model = attribution_rows.model)
		GROUP BY a.attribution, date_trunc('month', s.day::timestamp)::date, s.channel
	), shared AS (
		SELECT coalesce(c.attribution, s.attribution) AS attribution, coalesce(c.month, s.month) AS month,
			coalesce(c.channel, s.channel) AS channel, c.segment, c.position, coalesce(c.new_customers, 0) AS new_customers, coalesce(c.orders, 0) AS orders,
			coalesce(c.revenue, 0) AS revenue, coalesce(c.leads, 0) AS leads, coalesce(s.amount, 0) AS amount, s.margin,
			-- a month that has brought nobody new has paid for its orders
			CASE WHEN sum(c.new_customers) OVER (PARTITION BY c.attribution, c.month, c.channel) > 0 THEN c.new_customers ELSE c.orders END AS part
		FROM credited c FULL JOIN spent s ON s.attribution = c.attribution AND s.month = c.month AND s.channel = c.channel
	), figure AS (
		SELECT s.*, CASE WHEN sum(s.part) OVER w > 0
			THEN trim_scale(round(s.amount * sum(s.part) OVER up_to / sum(s.part) OVER w, 6) - round(s.amount * (sum(s.part) OVER up_to - s.part) / sum(s.part) OVER w, 6))
			WHEN row_number() OVER up_to = 1 THEN s.amount ELSE 0 END AS spend
		FROM shared s
		WINDOW w AS (PARTITION BY s.attribution, s.month, s.channel), up_to AS (w ORDER BY s.segment)
	)
	SELECT attribution_rows.model, f.attribution, f.month, f.channel, f.segment, f.new_customers, f.orders, f.revenue, f.spend,
		round(f.spend / nullif(f.new_customers, 0), 6), round(f.revenue / nullif(f.spend, 0), 6), f.position,
		f.leads, round(f.revenue * f.margin, 6), round(f.revenue * f.margin, 6) - f.spend, now()
	FROM figure f
$$;

COMMENT ON FUNCTION leadscore_internal.monthly_figure_rows(text, leadscore_internal.figures) IS 'the rows of monthly_figure of a model';
COMMENT ON FUNCTION leadscore_internal.sales_cycle_rows(text, leadscore_internal.figures) IS 'the rows of sales_cycle of a model';
COMMENT ON FUNCTION leadscore_internal.funnel_rows(text, leadscore_internal.figures) IS 'the rows of funnel of a model';
COMMENT ON FUNCTION leadscore_internal.attribution_rows(text, leadscore_internal.figures) IS 'the rows of attribution of a model';

CREATE FUNCTION leadscore_internal.write_segment_days(model text, f leadscore_internal.figures) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	zone CONSTANT text := coalesce((SELECT m.time_zone FROM leadscore.model m WHERE m.model = write_segment_days.model), 'UTC');
	due CONSTANT record := leadscore_internal.due_days(model, zone);
BEGIN
	DELETE FROM leadscore.segment_day d WHERE d.model = write_segment_days.model AND d.day >= due.first_day;
	INSERT INTO leadscore.segment_day (model, day, segment, segment_position, leads, entered, departed, average_score, backfilled)
	SELECT write_segment_days.model, c.day, s.segment, s.position, c.leads, c.entered, c.departed,
		c.score_sum / nullif(c.leads, 0)::float8, c.day < due.today AND c.day IS DISTINCT FROM due.last_day
	FROM (
		-- the first end is that of the day before
		SELECT due.first_day + f.days[i][1]::integer - 2 AS day, f.days[i][2] AS segment, f.days[i][3]::bigint AS leads, f.days[i][4] AS score_sum,
			f.days[i][5]::bigint AS entered, f.days[i][6]::bigint AS departed
		FROM generate_series(1, array_length(f.days, 1)) i
	) c
	LEFT JOIN leadscore_internal.card_segments(leadscore.scorecard(write_segment_days.model)) s ON s.n = c.segment
	WHERE c.day >= due.first_day;
END
$$;

COMMENT ON FUNCTION leadscore_internal.write_segment_days(text, leadscore_internal.figures)
	IS 'writes the days of a model that have passed since it was called last, and today';
