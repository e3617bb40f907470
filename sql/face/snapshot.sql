-- snapshot.sql: the key figures as tables, written by refresh_figures()
--
-- A dashboard reads rows, as often as it likes. Each table is written whole, in one transaction: a reader sees the
-- figures of one refresh, and waits for none.

-- recency, frequency and monetary value

CREATE TABLE leadscore.rfm_lead (
	model text NOT NULL,
	lead_id text NOT NULL,
	last_at timestamptz,
	frequency bigint NOT NULL,
	monetary numeric NOT NULL,
	recency_tile integer NOT NULL,
	frequency_tile integer NOT NULL,
	monetary_tile integer NOT NULL,
	rfm_group text,
	rfm_position integer,
	computed_at timestamptz NOT NULL,
	PRIMARY KEY (model, lead_id)
);

COMMENT ON TABLE leadscore.rfm_lead IS 'recency, frequency and monetary value of every lead that has bought, on every model that has a conversion';
COMMENT ON COLUMN leadscore.rfm_lead.model IS 'the model: its conversion, its cut points';
COMMENT ON COLUMN leadscore.rfm_lead.lead_id IS 'the lead';
COMMENT ON COLUMN leadscore.rfm_lead.last_at IS 'the hour of its last order';
COMMENT ON COLUMN leadscore.rfm_lead.frequency IS 'its orders';
COMMENT ON COLUMN leadscore.rfm_lead.monetary IS 'their value, exact';
COMMENT ON COLUMN leadscore.rfm_lead.recency_tile IS '1 to 5 (most recent), by the cut points of conversion, or by quintiles';
COMMENT ON COLUMN leadscore.rfm_lead.frequency_tile IS '1 to 5 (most orders)';
COMMENT ON COLUMN leadscore.rfm_lead.monetary_tile IS '1 to 5 (most money)';
COMMENT ON COLUMN leadscore.rfm_lead.rfm_group IS 'the first of rfm_groups() whose bounds hold; NULL: none';
COMMENT ON COLUMN leadscore.rfm_lead.rfm_position IS 'the position of the group';
COMMENT ON COLUMN leadscore.rfm_lead.computed_at IS 'when refresh_figures() computed it';

CREATE VIEW leadscore.rfm_grid AS
SELECT r.model, r.recency_tile, r.frequency_tile, count(*) AS leads, sum(r.monetary) AS monetary, min(r.last_at) AS first_last_at, max(r.last_at) AS last_last_at,
	min(r.frequency) AS lowest_frequency, max(r.frequency) AS highest_frequency, max(r.computed_at) AS computed_at
FROM leadscore.rfm_lead r
GROUP BY r.model, r.recency_tile, r.frequency_tile;

COMMENT ON VIEW leadscore.rfm_grid IS 'how many leads each pair of tiles of recency and frequency has';
COMMENT ON COLUMN leadscore.rfm_grid.model IS 'the model';
COMMENT ON COLUMN leadscore.rfm_grid.recency_tile IS '1 to 5 (most recent)';
COMMENT ON COLUMN leadscore.rfm_grid.frequency_tile IS '1 to 5 (most orders)';
COMMENT ON COLUMN leadscore.rfm_grid.leads IS 'leads in both';
COMMENT ON COLUMN leadscore.rfm_grid.monetary IS 'what they have paid, exact';
COMMENT ON COLUMN leadscore.rfm_grid.first_last_at IS 'the earliest hour of a last order among them';
COMMENT ON COLUMN leadscore.rfm_grid.last_last_at IS 'the latest hour of a last order among them';
COMMENT ON COLUMN leadscore.rfm_grid.lowest_frequency IS 'the fewest orders among them';
COMMENT ON COLUMN leadscore.rfm_grid.highest_frequency IS 'the most orders among them';
COMMENT ON COLUMN leadscore.rfm_grid.computed_at IS 'when refresh_figures() computed them';

CREATE FUNCTION leadscore_internal.conversions() RETURNS SETOF leadscore_internal.model_conversion
	LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 2 SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN QUERY SELECT c.* FROM leadscore_internal.model_conversion c;
END
$$;

COMMENT ON FUNCTION leadscore_internal.conversions() IS 'the conversion of each model that has one';

CREATE FUNCTION leadscore_internal.rfm_lead_now() RETURNS SETOF leadscore.rfm_lead
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
	SELECT c.model, r.lead_id, r.last_at, r.frequency, r.monetary, r.recency_tile, r.frequency_tile, r.monetary_tile, r.rfm_group, r.rfm_position, now()
	FROM leadscore_internal.conversions() c
	CROSS JOIN LATERAL leadscore_internal.rfm_tiles(ARRAY[c.signal_id], now(), 5, c.recency_cuts, c.frequency_cuts, c.monetary_cuts) r
$$;

COMMENT ON FUNCTION leadscore_internal.rfm_lead_now() IS 'the rows of rfm_lead as of now';

-- offers, without names

CREATE TABLE leadscore.offer_figure (
	offer text NOT NULL,
	model text NOT NULL,
	segment text NOT NULL,
	kind text NOT NULL,
	arm text NOT NULL,
	vouchers bigint NOT NULL,
	open bigint NOT NULL,
	redeemed bigint NOT NULL,
	expired bigint NOT NULL,
	revoked bigint NOT NULL,
	leads bigint,
	buyers bigint,
	conversion_rate numeric,
	revenue numeric,
	revenue_per_lead numeric,
	discount numeric,
	unknown_discounts bigint,
	earned numeric,
	first_issued_at timestamptz,
	last_issued_at timestamptz,
	computed_at timestamptz NOT NULL,
	PRIMARY KEY (offer, arm)
);

COMMENT ON TABLE leadscore.offer_figure IS 'what each offer has issued, cost and earned; names no lead and no code';
COMMENT ON COLUMN leadscore.offer_figure.offer IS 'the offer';
COMMENT ON COLUMN leadscore.offer_figure.model IS 'its model';
COMMENT ON COLUMN leadscore.offer_figure.segment IS 'the segment to enter';
COMMENT ON COLUMN leadscore.offer_figure.kind IS 'percent, amount, shipping or gift';
COMMENT ON COLUMN leadscore.offer_figure.arm IS 'voucher, or holdout: leads that get none, for comparison';
COMMENT ON COLUMN leadscore.offer_figure.vouchers IS 'issued; holdout: that would have been';
COMMENT ON COLUMN leadscore.offer_figure.open IS 'that can be redeemed now; holdout: 0';
COMMENT ON COLUMN leadscore.offer_figure.redeemed IS 'that were redeemed';
COMMENT ON COLUMN leadscore.offer_figure.expired IS 'whose time is over, not redeemed and not revoked; holdout: 0';
COMMENT ON COLUMN leadscore.offer_figure.revoked IS 'that were revoked';
COMMENT ON COLUMN leadscore.offer_figure.leads IS 'leads that offer_result() compares; NULL: the model has no conversion';
COMMENT ON COLUMN leadscore.offer_figure.buyers IS 'of them, those that bought while the voucher was valid';
COMMENT ON COLUMN leadscore.offer_figure.conversion_rate IS 'buyers / leads';
COMMENT ON COLUMN leadscore.offer_figure.revenue IS 'the value of their orders, exact';
COMMENT ON COLUMN leadscore.offer_figure.revenue_per_lead IS 'revenue / leads';
COMMENT ON COLUMN leadscore.offer_figure.discount IS 'the cost of redeemed vouchers, as far as it is known';
COMMENT ON COLUMN leadscore.offer_figure.unknown_discounts IS 'redeemed vouchers whose cost is not known';
COMMENT ON COLUMN leadscore.offer_figure.earned IS 'what the voucher brought beside the holdout, less what it cost; NULL: holdout, or there is none to compare with';
COMMENT ON COLUMN leadscore.offer_figure.first_issued_at IS 'when the first was issued; NULL: none was';
COMMENT ON COLUMN leadscore.offer_figure.last_issued_at IS 'when the last was issued';
COMMENT ON COLUMN leadscore.offer_figure.computed_at IS 'when refresh_figures() computed it';

CREATE FUNCTION leadscore_internal.offer_figure_now() RETURNS SETOF leadscore.offer_figure
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
	SELECT o.offer, o.model, o.segment, o.kind, a.arm, n.vouchers, n.open, n.redeemed, n.expired, n.revoked,
		r.leads, r.buyers, r.conversion_rate, r.revenue, r.revenue_per_lead, r.discount, r.unknown_discounts, r.earned,
		n.first_issued_at, n.last_issued_at, now()
	FROM leadscore.offer o
	CROSS JOIN (VALUES ('voucher'), ('holdout')) AS a (arm)
	CROSS JOIN LATERAL (
		SELECT count(*) AS vouchers, count(*) FILTER (WHERE v.code IS NOT NULL AND v.redeemed_at IS NULL AND v.revoked_at IS NULL AND v.expires_at > now()) AS open,
			count(v.redeemed_at) AS redeemed,
			count(*) FILTER (WHERE v.code IS NOT NULL AND v.redeemed_at IS NULL AND v.revoked_at IS NULL AND v.expires_at <= now()) AS expired,
			count(v.revoked_at) AS revoked, min(v.issued_at) AS first_issued_at, max(v.issued_at) AS last_issued_at
		FROM leadscore.voucher v WHERE v.offer = o.offer AND (v.code IS NOT NULL) = (a.arm = 'voucher')
	) n
	-- (offer_result() raises an error where a model has no conversion)
	LEFT JOIN (
		SELECT o.offer, r.*
		FROM leadscore.offer o JOIN leadscore_internal.conversions() c ON c.model = o.model CROSS JOIN LATERAL leadscore.offer_result(o.offer, c.signal) r
	) r ON r.offer = o.offer AND r.arm = a.arm
$$;

COMMENT ON FUNCTION leadscore_internal.offer_figure_now() IS 'the rows of offer_figure as of now';

-- experiments

CREATE TABLE leadscore.experiment_figure (
	experiment text PRIMARY KEY,
	control text NOT NULL,
	treatment text NOT NULL,
	share float8 NOT NULL,
	starts_at timestamptz NOT NULL,
	ends_at timestamptz,
	conversion text NOT NULL,
	control_leads bigint,
	treatment_leads bigint,
	sample_ratio_p float8,
	control_conversions bigint,
	treatment_conversions bigint,
	control_rate float8,
	treatment_rate float8,
	rate_difference float8,
	rate_low float8,
	rate_high float8,
	rate_p float8,
	control_revenue numeric,
	treatment_revenue numeric,
	control_mean float8,
	treatment_mean float8,
	mean_difference float8,
	mean_low float8,
	mean_high float8,
	mean_p float8,
	leads_needed bigint,
	leads_missing bigint,
	crossed bigint,
	computed_at timestamptz NOT NULL
);

COMMENT ON TABLE leadscore.experiment_figure IS 'the result of each experiment that has begun, by the conversion of its control: a row of experiment_result()';
COMMENT ON COLUMN leadscore.experiment_figure.experiment IS 'the experiment';
COMMENT ON COLUMN leadscore.experiment_figure.control IS 'the model to compare with';
COMMENT ON COLUMN leadscore.experiment_figure.treatment IS 'the model to try';
COMMENT ON COLUMN leadscore.experiment_figure.share IS 'the share of leads that get the treatment';
COMMENT ON COLUMN leadscore.experiment_figure.starts_at IS 'when it started';
COMMENT ON COLUMN leadscore.experiment_figure.ends_at IS 'when it ends; NULL: no end';
COMMENT ON COLUMN leadscore.experiment_figure.conversion IS 'the signal that is the conversion of the control';
COMMENT ON COLUMN leadscore.experiment_figure.control_leads IS 'leads of the control that were active while it ran';
COMMENT ON COLUMN leadscore.experiment_figure.treatment_leads IS 'those of the treatment';
COMMENT ON COLUMN leadscore.experiment_figure.sample_ratio_p IS 'how likely so uneven a split is by chance; below 0.001 trust no figure';
COMMENT ON COLUMN leadscore.experiment_figure.control_conversions IS 'leads of the control that converted';
COMMENT ON COLUMN leadscore.experiment_figure.treatment_conversions IS 'those of the treatment';
COMMENT ON COLUMN leadscore.experiment_figure.control_rate IS 'their share';
COMMENT ON COLUMN leadscore.experiment_figure.treatment_rate IS 'the same of the treatment';
COMMENT ON COLUMN leadscore.experiment_figure.rate_difference IS 'treatment_rate - control_rate';
COMMENT ON COLUMN leadscore.experiment_figure.rate_low IS 'the lower end of its 95 % confidence interval';
COMMENT ON COLUMN leadscore.experiment_figure.rate_high IS 'the upper end';
COMMENT ON COLUMN leadscore.experiment_figure.rate_p IS 'how likely such a difference is if there is none';
COMMENT ON COLUMN leadscore.experiment_figure.control_revenue IS 'the value of the control''s conversions, exact';
COMMENT ON COLUMN leadscore.experiment_figure.treatment_revenue IS 'that of the treatment''s';
COMMENT ON COLUMN leadscore.experiment_figure.control_mean IS 'revenue a lead';
COMMENT ON COLUMN leadscore.experiment_figure.treatment_mean IS 'the same of the treatment';
COMMENT ON COLUMN leadscore.experiment_figure.mean_difference IS 'treatment_mean - control_mean';
COMMENT ON COLUMN leadscore.experiment_figure.mean_low IS 'the lower end of its 95 % confidence interval';
COMMENT ON COLUMN leadscore.experiment_figure.mean_high IS 'the upper end';
COMMENT ON COLUMN leadscore.experiment_figure.mean_p IS 'how likely such a difference is if there is none';
COMMENT ON COLUMN leadscore.experiment_figure.leads_needed IS 'leads of both arms together needed to detect a change of the rate by a tenth';
COMMENT ON COLUMN leadscore.experiment_figure.leads_missing IS 'how many of them are missing';
COMMENT ON COLUMN leadscore.experiment_figure.crossed IS 'leads of which an alias has a hash that gives the other arm';
COMMENT ON COLUMN leadscore.experiment_figure.computed_at IS 'when refresh_figures() computed it';

CREATE FUNCTION leadscore_internal.experiment_figure_now() RETURNS SETOF leadscore.experiment_figure
	-- (experiment_result() warns of uneven arms; here sample_ratio_p says so)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off SET client_min_messages = error
AS $$
	SELECT e.experiment, e.control, e.treatment, e.share, e.starts_at, CASE WHEN isfinite(e.ends_at) THEN e.ends_at END, c.signal,
		r.control_leads, r.treatment_leads, r.sample_ratio_p, r.control_conversions, r.treatment_conversions, r.control_rate, r.treatment_rate,
		r.rate_difference, r.rate_low, r.rate_high, r.rate_p, r.control_revenue, r.treatment_revenue, r.control_mean, r.treatment_mean,
		r.mean_difference, r.mean_low, r.mean_high, r.mean_p, r.leads_needed, r.leads_missing, r.crossed, now()
	FROM leadscore.experiment e
	JOIN leadscore_internal.conversions() c ON c.model = e.control
	CROSS JOIN LATERAL leadscore.experiment_result(e.experiment, c.signal) r
	WHERE e.starts_at <= now()
$$;

COMMENT ON FUNCTION leadscore_internal.experiment_figure_now() IS 'the rows of experiment_figure as of now';

-- how good models were

CREATE TABLE leadscore.model_quality (
	model text NOT NULL REFERENCES leadscore.model ON UPDATE CASCADE ON DELETE CASCADE,
	version integer NOT NULL,
	cutoff timestamptz NOT NULL,
	leads bigint NOT NULL,
	conversions bigint NOT NULL,
	auc float8,
	auc_low float8,
	auc_high float8,
	lift_10 float8,
	log_loss float8,
	brier float8,
	computed_at timestamptz NOT NULL,
	PRIMARY KEY (model, version, cutoff)
);

COMMENT ON TABLE leadscore.model_quality IS 'how well what is published predicts its conversion: evaluate() at the beginning of each month whose horizon has closed';
COMMENT ON COLUMN leadscore.model_quality.model IS 'the model';
COMMENT ON COLUMN leadscore.model_quality.version IS 'its version, as in model_version';
COMMENT ON COLUMN leadscore.model_quality.cutoff IS 'the instant up to which was known what leads did: the beginning of a month in the model''s time zone';
COMMENT ON COLUMN leadscore.model_quality.leads IS 'leads that were active within 90 days before';
COMMENT ON COLUMN leadscore.model_quality.conversions IS 'of them, those that converted within the horizon of conversion';
COMMENT ON COLUMN leadscore.model_quality.auc IS 'the area under the ROC curve: how often a converting lead has the higher score; NULL: all converted, or none';
COMMENT ON COLUMN leadscore.model_quality.auc_low IS 'the lower end of its 95 % confidence interval';
COMMENT ON COLUMN leadscore.model_quality.auc_high IS 'the upper end';
COMMENT ON COLUMN leadscore.model_quality.lift_10 IS 'the conversion rate of the best tenth / that of all';
COMMENT ON COLUMN leadscore.model_quality.log_loss IS 'of the probability; NULL: the model has none';
COMMENT ON COLUMN leadscore.model_quality.brier IS 'the mean squared error of the probability; NULL: the model has none';
COMMENT ON COLUMN leadscore.model_quality.computed_at IS 'when refresh_figures() computed it';

SELECT pg_catalog.pg_extension_config_dump('leadscore.rfm_lead', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.offer_figure', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.experiment_figure', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.model_quality', '');

-- A cutoff that has closed is evaluated once for each version, if there were leads: monthly_figure has their first
-- month. The latest come first, a few in each refresh, so that no refresh takes long.
CREATE FUNCTION leadscore_internal.write_model_quality(n integer) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET jit = off SET client_min_messages = error
AS $$
DECLARE
	due record;
BEGIN
	FOR due IN
		WITH published AS (
			SELECT c.model, c.signal, c.horizon, coalesce(m.time_zone, 'UTC') AS time_zone,
				(SELECT max(v.version) FROM leadscore.model_version v WHERE v.model = c.model) AS version
			FROM leadscore_internal.model_conversion c JOIN leadscore.model m ON m.model = c.model
		)
		SELECT p.model, p.signal, p.horizon, p.version, i.cutoff
		FROM published p
		CROSS JOIN LATERAL generate_series(0, 11) ago
		CROSS JOIN LATERAL (SELECT (leadscore_internal.month_of(now(), p.time_zone) - make_interval(months => ago))::date AS month) o
		CROSS JOIN LATERAL (SELECT leadscore_internal.month_start(o.month, p.time_zone) AS cutoff) i
		WHERE p.version IS NOT NULL AND i.cutoff + p.horizon <= now()
		AND o.month > (SELECT min(f.month) FROM leadscore.monthly_figure f WHERE f.model = p.model)
		AND NOT EXISTS (SELECT FROM leadscore.model_quality q WHERE q.model = p.model AND q.version = p.version AND q.cutoff = i.cutoff)
		ORDER BY i.cutoff DESC, p.model
		LIMIT n
	LOOP
		INSERT INTO leadscore.model_quality (model, version, cutoff, leads, conversions, auc, auc_low, auc_high, lift_10, log_loss, brier, computed_at)
		SELECT due.model, due.version, due.cutoff, e.leads, e.conversions, e.auc, e.auc_low, e.auc_high, e.lift_10, e.log_loss, e.brier, now()
		FROM leadscore.evaluate(leadscore.scorecard(due.model), due.signal, due.horizon, ARRAY[due.cutoff]) e;
	END LOOP;
END
$$;

COMMENT ON FUNCTION leadscore_internal.write_model_quality(integer) IS 'evaluates published models at cutoffs that have closed, n at most';

-- all of them

CREATE FUNCTION leadscore_internal.lock_figures() RETURNS void
	LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT leadscore_internal.lock_by_name('figures'::text)
$$;

COMMENT ON FUNCTION leadscore_internal.lock_figures() IS 'keeps other calls of refresh_figures() waiting until the transaction ends';

CREATE FUNCTION leadscore.refresh_figures() RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET row_security = off SET jit = off
AS $$
DECLARE
	model text;
	figures leadscore_internal.figures;
BEGIN
	-- one at a time: the next one replaces what this one has committed
	PERFORM leadscore_internal.lock_figures();
	DELETE FROM leadscore.monthly_figure;
	DELETE FROM leadscore.sales_cycle;
	DELETE FROM leadscore.funnel;
	DELETE FROM leadscore.attribution;
	FOR model IN SELECT m.model FROM leadscore.model m ORDER BY 1 LOOP
		figures := leadscore_internal.figures_of(model);
		PERFORM leadscore_internal.write_segment_days(model, figures);
		INSERT INTO leadscore.monthly_figure SELECT r.* FROM leadscore_internal.monthly_figure_rows(model, figures) r;
		INSERT INTO leadscore.sales_cycle SELECT r.* FROM leadscore_internal.sales_cycle_rows(model, figures) r;
		INSERT INTO leadscore.funnel SELECT r.* FROM leadscore_internal.funnel_rows(model, figures) r;
		INSERT INTO leadscore.attribution SELECT r.* FROM leadscore_internal.attribution_rows(model, figures) r;
	END LOOP;
	DELETE FROM leadscore.rfm_lead;
	INSERT INTO leadscore.rfm_lead SELECT r.* FROM leadscore_internal.rfm_lead_now() r;
	DELETE FROM leadscore.offer_figure;
	INSERT INTO leadscore.offer_figure SELECT r.* FROM leadscore_internal.offer_figure_now() r;
	DELETE FROM leadscore.experiment_figure;
	INSERT INTO leadscore.experiment_figure SELECT r.* FROM leadscore_internal.experiment_figure_now() r;
	PERFORM leadscore_internal.write_model_quality(3);
END
$$;

COMMENT ON FUNCTION leadscore.refresh_figures() IS 'computes the key figures, and the days of segment_day that have passed, and writes them for dashboards';
