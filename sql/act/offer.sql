-- offer.sql: vouchers for leads that enter a segment, and what they earn
--
-- src/act/offer.c issues them, with the change that a watched model's log gets.

CREATE FUNCTION leadscore_internal.voucher_code() RETURNS text
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE;

COMMENT ON FUNCTION leadscore_internal.voucher_code() IS 'a new code, of 80 random bits';

CREATE FUNCTION leadscore_internal.voucher_key(offer text, lead_id text) RETURNS text
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION leadscore_internal.voucher_key(text, text) IS 'a hash of an offer, or a salt, and a name, the same on every server: who is held out, and who was forgotten';

CREATE FUNCTION leadscore_internal.is_held_out(offer text, lead_id text, holdout_share numeric) RETURNS boolean
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
	SELECT ('x' || substr(leadscore_internal.voucher_key(offer, lead_id), 1, 8))::bit(32)::bigint < holdout_share * 4294967296;
END;

COMMENT ON FUNCTION leadscore_internal.is_held_out(text, text, numeric) IS 'whether a lead is held out from an offer, to measure what the offer earns; never changes';

-- money, as timelines have it

CREATE FUNCTION leadscore_internal.money(amount numeric, what text) RETURNS numeric
	LANGUAGE plpgsql STRICT SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF amount IN ('NaN', 'Infinity', '-Infinity') THEN
		RAISE EXCEPTION USING ERRCODE = 'numeric_value_out_of_range', MESSAGE = format('%s is not finite', what),
			DETAIL = format('It is %s.', amount), HINT = 'Write an amount of money.';
	END IF;
	IF scale(trim_scale(amount)) > 6 THEN
		RAISE NOTICE USING MESSAGE = format('%s is rounded to six decimals', what), DETAIL = format('%s becomes %s.', amount, round(amount, 6));
		RETURN round(amount, 6);
	END IF;
	RETURN amount;
END
$$;

COMMENT ON FUNCTION leadscore_internal.money(numeric, text) IS 'an amount of money rounded to six decimals, with a NOTICE if that changes it';

CREATE FUNCTION leadscore_internal.to_unit(amount numeric, minor_unit numeric) RETURNS numeric
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
	SELECT round(amount / minor_unit) * minor_unit;
END;

COMMENT ON FUNCTION leadscore_internal.to_unit(numeric, numeric) IS 'an amount of money, rounded to the minor unit';

CREATE TABLE leadscore.offer (
	offer text PRIMARY KEY
		CONSTRAINT offer_not_empty CHECK ((offer <> '') IS NOT FALSE OR leadscore_internal.refuse(
			'offer name is empty', '""', 'Name the offer, such as "spring".')),
	model text NOT NULL,
	segment text NOT NULL,
	kind text NOT NULL DEFAULT 'percent'
		CONSTRAINT offer_kind_known CHECK ((kind IN ('percent', 'amount', 'shipping', 'gift')) IS NOT FALSE OR leadscore_internal.refuse(
			'offer kind is unknown', kind, 'Write percent, amount, shipping or gift.')),
	discount numeric NOT NULL
		CONSTRAINT offer_discount_in_range CHECK ((discount >= 0 AND discount < 'Infinity' AND (kind <> 'percent' OR discount <= 100)) IS NOT FALSE OR leadscore_internal.refuse(
			'offer discount is out of range', discount::text, 'Write percent from 0 to 100, or what a voucher costs the shop, from 0.')),
	valid_for interval NOT NULL
		CONSTRAINT offer_valid_for_positive CHECK ((extract(epoch FROM valid_for) > 0 AND extract(epoch FROM valid_for) <= 1e12) IS NOT FALSE OR leadscore_internal.refuse(
			'offer valid_for is not above zero, or too long', valid_for::text, 'Write a duration such as 7 days.')),
	budget integer
		CONSTRAINT offer_budget_in_range CHECK ((budget BETWEEN 0 AND 10000000) IS NOT FALSE OR leadscore_internal.refuse(
			'offer budget is out of range', budget::text, 'Write the most vouchers that may be open or redeemed, 0 to 10 million.')),
	holdout_share numeric NOT NULL DEFAULT 0
		CONSTRAINT offer_holdout_share_in_range CHECK ((holdout_share BETWEEN 0 AND 1) IS NOT FALSE OR leadscore_internal.refuse(
			'offer holdout_share is out of range', holdout_share::text, 'Write a share from 0 to 1, such as 0.1.')),
	starts_at timestamptz,
	ends_at timestamptz,
	unlimited boolean NOT NULL DEFAULT false,
	max_cost numeric
		CONSTRAINT offer_max_cost_in_range CHECK ((max_cost >= 0 AND max_cost < 'Infinity') IS NOT FALSE OR leadscore_internal.refuse(
			'offer max_cost is out of range', max_cost::text, 'Write the most money that vouchers may cost, from 0.')),
	condition text REFERENCES leadscore.signal ON UPDATE CASCADE,
	again_after interval
		CONSTRAINT offer_again_after_positive CHECK ((extract(epoch FROM again_after) > 0 AND extract(epoch FROM again_after) <= 1e12) IS NOT FALSE OR leadscore_internal.refuse(
			'offer again_after is not above zero, or too long', again_after::text, 'Write a duration such as 90 days, or NULL for once only.')),
	issue_on text[] NOT NULL DEFAULT '{event,time}'
		CONSTRAINT offer_issue_on_known CHECK ((issue_on <@ '{event,time,model,profile,watch,identity,load}'::text[] AND cardinality(issue_on) > 0) IS NOT FALSE OR leadscore_internal.refuse(
			'offer issue_on is empty, or has an unknown cause', issue_on::text, 'Write an array of event, time, model, profile, watch, identity and load.')),
	brake integer
		CONSTRAINT offer_brake_positive CHECK ((brake > 0) IS NOT FALSE OR leadscore_internal.refuse(
			'offer brake is not above zero', brake::text, 'Write the most vouchers that may be issued within an hour, or NULL for no brake.')),
	minor_unit numeric NOT NULL DEFAULT 0.01
		CONSTRAINT offer_minor_unit_in_range CHECK ((minor_unit >= 0.000001 AND minor_unit < 'Infinity') IS NOT FALSE OR leadscore_internal.refuse(
			'offer minor_unit is out of range', minor_unit::text, 'Write the smallest amount of money that can be paid, such as 0.01.')),
	ends_of_day boolean NOT NULL DEFAULT false,
	resumed_at timestamptz,
	CONSTRAINT offer_has_budget CHECK (unlimited OR budget IS NOT NULL OR max_cost IS NOT NULL AND discount > 0 OR leadscore_internal.refuse(
		'offer has no budget', NULL, 'Write budget, or max_cost where each voucher costs something; or set unlimited.')),
	CONSTRAINT offer_unlimited_has_no_budget CHECK (NOT unlimited OR budget IS NULL AND max_cost IS NULL OR leadscore_internal.refuse(
		'offer is unlimited and has a budget', format('budget %s, max_cost %s', coalesce(budget::text, 'NULL'), coalesce(max_cost::text, 'NULL')), 'Set the one or the other.')),
	CONSTRAINT offer_max_cost_not_too_fine CHECK ((budget IS NOT NULL OR kind = 'percent' OR max_cost <= 10000000 * discount) IS NOT FALSE OR leadscore_internal.refuse(
		'offer max_cost is enough for more than 10 million vouchers', max_cost::text, 'Write a budget, too.')),
	CONSTRAINT offer_starts_before_it_ends CHECK ((starts_at < ends_at) IS NOT FALSE OR leadscore_internal.refuse(
		'offer starts_at is not before ends_at', format('starts_at %s, ends_at %s', starts_at, ends_at), 'Swap the two.'))
);

COMMENT ON TABLE leadscore.offer IS 'what a lead gets when it enters a segment of a watched model: one voucher';
COMMENT ON COLUMN leadscore.offer.offer IS 'name';
COMMENT ON COLUMN leadscore.offer.model IS 'the model';
COMMENT ON COLUMN leadscore.offer.segment IS 'the segment to enter';
COMMENT ON COLUMN leadscore.offer.kind IS 'percent of the order, an amount of money, shipping or a gift';
COMMENT ON COLUMN leadscore.offer.discount IS 'percent, or the cost of a redeemed voucher';
COMMENT ON COLUMN leadscore.offer.valid_for IS 'how long a voucher can be redeemed';
COMMENT ON COLUMN leadscore.offer.budget IS 'the most vouchers that may be open or redeemed; NULL: max_cost is the limit, or there is none';
COMMENT ON COLUMN leadscore.offer.holdout_share IS 'the share of leads that get none, for comparison: 0 to 1';
COMMENT ON COLUMN leadscore.offer.starts_at IS 'when it starts to issue vouchers; NULL: at once';
COMMENT ON COLUMN leadscore.offer.ends_at IS 'when it stops to issue vouchers; NULL: no end';
COMMENT ON COLUMN leadscore.offer.unlimited IS 'whether it has no budget; has to be set explicitly';
COMMENT ON COLUMN leadscore.offer.max_cost IS 'the most money that open and redeemed vouchers may cost (of percent only redeemed ones); NULL: budget is the limit';
COMMENT ON COLUMN leadscore.offer.condition IS 'a profile signal that a lead must have to get a voucher, and to redeem it; NULL: none';
COMMENT ON COLUMN leadscore.offer.again_after IS 'how long after a voucher a lead can get another; NULL: never';
COMMENT ON COLUMN leadscore.offer.issue_on IS 'the causes of a segment change for which vouchers are issued';
COMMENT ON COLUMN leadscore.offer.brake IS 'the most vouchers issued within an hour; the next one stops the offer until resume_offer(); NULL: no brake';
COMMENT ON COLUMN leadscore.offer.minor_unit IS 'the smallest amount of money: discounts are rounded to it';
COMMENT ON COLUMN leadscore.offer.ends_of_day IS 'whether vouchers are valid to the end of their last day in the model''s time zone';
COMMENT ON COLUMN leadscore.offer.resumed_at IS 'when resume_offer() was called last; NULL: never';

CREATE TRIGGER watching_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON leadscore.offer
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.watching_changed();
ALTER TABLE leadscore.offer ENABLE ALWAYS TRIGGER watching_changed;

-- What is left of budgets. A slot below zero is one that a lowered budget has been overspent by.
CREATE TABLE leadscore_internal.offer_slot (
	offer text,
	slot bigint,
	cost numeric NOT NULL DEFAULT 0,
	PRIMARY KEY (offer, slot)
);

COMMENT ON TABLE leadscore_internal.offer_slot IS 'the rest of budgets: a row for each voucher that can still be issued';
COMMENT ON COLUMN leadscore_internal.offer_slot.offer IS 'the offer';
COMMENT ON COLUMN leadscore_internal.offer_slot.slot IS 'number; below zero: a voucher issued beyond the present budget';

COMMENT ON COLUMN leadscore_internal.offer_slot.cost IS 'the share of max_cost that the voucher takes; 0 for percent';

CREATE SEQUENCE leadscore_internal.offer_slot_seq;

-- What a percentage costs is known when it is redeemed. The money that is left lies in several parts, so that orders need
-- not wait for each other.
CREATE TABLE leadscore_internal.offer_money (
	offer text,
	part bigint,
	amount numeric NOT NULL,
	PRIMARY KEY (offer, part)
);

COMMENT ON TABLE leadscore_internal.offer_money IS 'the rest of max_cost of offers of percent, in parts';
COMMENT ON COLUMN leadscore_internal.offer_money.offer IS 'the offer';
COMMENT ON COLUMN leadscore_internal.offer_money.part IS 'number';
COMMENT ON COLUMN leadscore_internal.offer_money.amount IS 'money';

-- Who meets the brake appends.
CREATE TABLE leadscore_internal.offer_stop (
	offer text NOT NULL,
	stopped_at timestamptz NOT NULL
);

COMMENT ON TABLE leadscore_internal.offer_stop IS 'offers that their brake has stopped, until resume_offer()';
COMMENT ON COLUMN leadscore_internal.offer_stop.offer IS 'the offer';
COMMENT ON COLUMN leadscore_internal.offer_stop.stopped_at IS 'when a voucher beyond the brake was due';

CREATE TRIGGER watching_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON leadscore_internal.offer_stop
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.watching_changed();
ALTER TABLE leadscore_internal.offer_stop ENABLE ALWAYS TRIGGER watching_changed;

CREATE TABLE leadscore.voucher (
	voucher_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	offer text NOT NULL,
	kind text NOT NULL,
	terms numeric NOT NULL,
	lead_id text,
	code text UNIQUE,
	issued_at timestamptz NOT NULL,
	expires_at timestamptz NOT NULL,
	expired boolean NOT NULL DEFAULT false,
	redeemed_at timestamptz,
	order_ref text,
	discount numeric,
	revoked_at timestamptz,
	change_id bigint,
	already leadscore.timeline
);

CREATE INDEX voucher_offer_idx ON leadscore.voucher (offer, issued_at);
CREATE INDEX voucher_lead_id_idx ON leadscore.voucher (lead_id);
CREATE INDEX voucher_order_ref_idx ON leadscore.voucher (order_ref) WHERE order_ref IS NOT NULL;
CREATE INDEX voucher_open_idx ON leadscore.voucher (expires_at) WHERE redeemed_at IS NULL AND NOT expired AND revoked_at IS NULL;

COMMENT ON TABLE leadscore.voucher IS 'vouchers of leads: a code, or none for leads that are held out';
COMMENT ON COLUMN leadscore.voucher.voucher_id IS 'number';
COMMENT ON COLUMN leadscore.voucher.offer IS 'the offer';
COMMENT ON COLUMN leadscore.voucher.kind IS 'the kind of the offer when it was issued';
COMMENT ON COLUMN leadscore.voucher.terms IS 'the offer''s discount when it was issued: percent, or an amount';
COMMENT ON COLUMN leadscore.voucher.lead_id IS 'the lead; NULL: forgotten';
COMMENT ON COLUMN leadscore.voucher.code IS 'the code to redeem it; NULL: the lead is held out';
COMMENT ON COLUMN leadscore.voucher.issued_at IS 'when the lead entered the segment';
COMMENT ON COLUMN leadscore.voucher.expires_at IS 'until when it can be redeemed, or would have been';
COMMENT ON COLUMN leadscore.voucher.expired IS 'whether expire_vouchers() has returned it to the budget';
COMMENT ON COLUMN leadscore.voucher.redeemed_at IS 'when it was redeemed; NULL: it was not';
COMMENT ON COLUMN leadscore.voucher.order_ref IS 'the order that it was redeemed for';
COMMENT ON COLUMN leadscore.voucher.discount IS 'its cost for the shop; NULL: not known, because redeem() was not given the order''s value';
COMMENT ON COLUMN leadscore.voucher.revoked_at IS 'when revoke_vouchers() revoked it; NULL: it was not';
COMMENT ON COLUMN leadscore.voucher.change_id IS 'the row of segment_change for which it was issued; NULL: issued by issue_offer()';
COMMENT ON COLUMN leadscore.voucher.already IS 'what the lead had done on that UTC day before it was issued: not a result of the voucher';

-- An order belongs to one lead, and gives no more than it is worth: its row is locked by who redeems for it.
CREATE TABLE leadscore_internal.voucher_order (
	order_ref text PRIMARY KEY,
	lead_id text NOT NULL,
	discount numeric NOT NULL
);

COMMENT ON TABLE leadscore_internal.voucher_order IS 'the orders for which vouchers were redeemed';
COMMENT ON COLUMN leadscore_internal.voucher_order.order_ref IS 'the order';
COMMENT ON COLUMN leadscore_internal.voucher_order.lead_id IS 'the lead, by the name in the first call of redeem()';
COMMENT ON COLUMN leadscore_internal.voucher_order.discount IS 'the total of its known discounts';

-- what src/act/offer.c reads and writes; queries without SET, as those of transitions.sql

CREATE FUNCTION leadscore_internal.condition_card(signal text) RETURNS jsonb
	LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
	-- a model in which the signal is worth a point
	SELECT jsonb_build_object('model', 'condition', 'signals', jsonb_build_array(
			jsonb_strip_nulls(to_jsonb(s) - 'match') || CASE WHEN s.match IS NULL THEN '{}'::jsonb ELSE jsonb_build_object('match', s.match) END),
		'weights', jsonb_build_array(jsonb_build_object('signal', s.signal, 'points', 1)))
	FROM leadscore.signal s WHERE s.signal = condition_card.signal AND s.subject = 'profile';
END;

COMMENT ON FUNCTION leadscore_internal.condition_card(text) IS 'a scorecard that gives a point to leads with a profile signal; NULL: there is no such signal';

CREATE FUNCTION leadscore_internal.offers_to_issue()
	RETURNS TABLE (offer text, model text, segment text, starts_at timestamptz, ends_at timestamptz, causes text[], again_after interval,
		held_out_below bigint, has_slots boolean, brake integer, resumed_at timestamptz, stopped boolean, has_condition boolean, condition jsonb)
	LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT o.offer, o.model, o.segment, coalesce(o.starts_at, '-infinity'::timestamptz), coalesce(o.ends_at, 'infinity'::timestamptz), o.issue_on, o.again_after,
		ceil(o.holdout_share * 4294967296)::bigint, o.budget IS NOT NULL OR o.max_cost IS NOT NULL AND o.kind <> 'percent', coalesce(o.brake, 0),
		coalesce(o.resumed_at, '-infinity'::timestamptz),
		EXISTS (SELECT FROM leadscore_internal.offer_stop s WHERE s.offer = o.offer), o.condition IS NOT NULL, leadscore_internal.condition_card(o.condition)
	FROM leadscore.offer o JOIN leadscore.watched_model w ON w.model = o.model AND w.active
	WHERE o.ends_at IS NULL OR o.ends_at > statement_timestamp()
	ORDER BY o.offer;
END;

COMMENT ON FUNCTION leadscore_internal.offers_to_issue() IS 'the offers on models that are watched, as a session keeps them';

CREATE FUNCTION leadscore_internal.vouchers_to_issue(offer text, lead_ids text[], held_out boolean[], change_ids bigint[], already leadscore.timeline[], at timestamptz)
	RETURNS TABLE (offer_of text, kind text, terms numeric, lead_id text, code text, issued_at timestamptz, expires_at timestamptz, change_id bigint, done leadscore.timeline)
	LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT o.offer, o.kind, CASE o.kind WHEN 'percent' THEN o.discount ELSE leadscore_internal.to_unit(o.discount, o.minor_unit) END,
		n.lead_id, CASE WHEN NOT n.held_out THEN leadscore_internal.voucher_code() END, vouchers_to_issue.at,
		CASE WHEN o.ends_of_day THEN (date_trunc('day', (vouchers_to_issue.at + o.valid_for) AT TIME ZONE z.time_zone) + interval '1 day') AT TIME ZONE z.time_zone
			ELSE vouchers_to_issue.at + o.valid_for END,
		n.change_id, n.already
	FROM leadscore.offer o
	CROSS JOIN LATERAL (SELECT coalesce((SELECT m.time_zone FROM leadscore.model m WHERE m.model = o.model), 'UTC') AS time_zone) z
	CROSS JOIN ROWS FROM (unnest(lead_ids), unnest(vouchers_to_issue.held_out), unnest(change_ids), unnest(vouchers_to_issue.already))
		AS n (lead_id, held_out, change_id, already)
	WHERE o.offer = vouchers_to_issue.offer;
END;

COMMENT ON FUNCTION leadscore_internal.vouchers_to_issue(text, text[], boolean[], bigint[], leadscore.timeline[], timestamptz) IS 'rows of voucher for leads that get one, or are held out';

-- offers that are made, changed and deleted
--
-- Conditions on an offer's vouchers are checked before the statement, and again when transactions that were issuing
-- some have ended: see fill_slots().

CREATE FUNCTION leadscore_internal.check_offer_gone(name text) RETURNS void
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM leadscore_internal.check_seen('The vouchers of the offer'::text,
		'SELECT count(*)::text FROM leadscore.voucher v WHERE v.offer = $1[1]'::text, ARRAY[name]);
	IF EXISTS (SELECT FROM leadscore.voucher v WHERE v.offer = name) THEN
		RAISE EXCEPTION USING ERRCODE = 'foreign_key_violation', MESSAGE = format('offer "%s" has vouchers', name),
			DETAIL = 'They could no longer be redeemed, and their result could not be measured.',
			HINT = 'UPDATE leadscore.offer SET ends_at = now() ends it.';
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.check_offer_gone(text) IS 'the error of an offer that is deleted and has vouchers';

CREATE FUNCTION leadscore_internal.check_counted(o leadscore.offer) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF o.max_cost IS NOT NULL AND EXISTS (SELECT FROM leadscore.voucher v
			WHERE v.offer = o.offer AND (v.kind = 'percent') <> (o.kind = 'percent') AND v.code IS NOT NULL AND NOT v.expired AND v.revoked_at IS NULL) THEN
		RAISE EXCEPTION USING ERRCODE = 'feature_not_supported', MESSAGE = format('offer "%s" has vouchers that max_cost cannot be counted for', o.offer),
			DETAIL = 'The cost of a percentage is known when it is redeemed, the cost of other kinds when they are issued.',
			HINT = 'Make another offer.';
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.check_counted(leadscore.offer) IS 'the error of an offer with max_cost that has vouchers of another sort than it issues now';

CREATE FUNCTION leadscore_internal.check_offer() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	-- infinite instants, which clients' types lack, are written as none (also those of a dump of an earlier layout)
	IF TG_OP <> 'DELETE' THEN
		NEW.starts_at := nullif(NEW.starts_at, '-infinity');
		NEW.ends_at := nullif(NEW.ends_at, 'infinity');
	END IF;
	IF leadscore_internal.in_restore() THEN
		RETURN NEW;
	END IF;
	IF TG_OP = 'DELETE' THEN
		PERFORM leadscore_internal.check_offer_gone(OLD.offer);
		RETURN OLD;
	END IF;
	IF TG_OP = 'UPDATE' AND NEW.offer <> OLD.offer THEN
		RAISE EXCEPTION USING ERRCODE = 'feature_not_supported', MESSAGE = format('offer "%s" cannot be renamed', OLD.offer),
			DETAIL = 'Its name decides who is held out.', HINT = 'End it with ends_at, and create another one.';
	END IF;
	IF (TG_OP = 'INSERT' OR NEW.model <> OLD.model OR NEW.segment <> OLD.segment)
		AND NOT EXISTS (SELECT FROM leadscore.segment s WHERE s.model = NEW.model AND s.segment = NEW.segment) THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object',
			MESSAGE = format('model "%s" has no segment "%s"', NEW.model, NEW.segment),
			DETAIL = format('The offer "%s" names it.', NEW.offer),
			HINT = leadscore_internal.known('segments'::text, ARRAY(SELECT format('%s (%s)', s.segment, s.model) FROM leadscore.segment s ORDER BY s.model, s.position));
	END IF;
	IF (TG_OP = 'INSERT' OR NEW.condition IS DISTINCT FROM OLD.condition) AND NEW.condition IS NOT NULL
		AND NOT EXISTS (SELECT FROM leadscore.signal s WHERE s.signal = NEW.condition AND s.subject = 'profile') THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('profile signal "%s" does not exist', NEW.condition),
			DETAIL = format('The condition of the offer "%s" names it.', NEW.offer),
			HINT = leadscore_internal.known('profile signals'::text, ARRAY(SELECT s.signal FROM leadscore.signal s WHERE s.subject = 'profile' ORDER BY 1));
	END IF;
	PERFORM leadscore_internal.check_counted(NEW);
	NEW.discount := leadscore_internal.money(NEW.discount, 'the discount'::text);
	IF NEW.kind <> 'percent' AND NEW.minor_unit > 0 AND NEW.discount <> leadscore_internal.to_unit(NEW.discount, NEW.minor_unit) THEN
		RAISE NOTICE USING MESSAGE = 'the discount is rounded to minor_unit',
			DETAIL = format('%s becomes %s.', NEW.discount, leadscore_internal.to_unit(NEW.discount, NEW.minor_unit));
		NEW.discount := leadscore_internal.to_unit(NEW.discount, NEW.minor_unit);
	END IF;
	RETURN NEW;
END
$$;

COMMENT ON FUNCTION leadscore_internal.check_offer() IS 'trigger: an offer has a segment and, if any, a condition, and stays if it has vouchers';

CREATE TRIGGER check_offer BEFORE INSERT OR UPDATE OR DELETE ON leadscore.offer
	FOR EACH ROW EXECUTE FUNCTION leadscore_internal.check_offer();

CREATE FUNCTION leadscore_internal.offer_restored() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	-- dumped by a version in which no budget meant no limit
	NEW.unlimited := leadscore_internal.in_restore();
	RETURN NEW;
END
$$;

COMMENT ON FUNCTION leadscore_internal.offer_restored() IS 'trigger: an offer without a budget that comes from a dump is unlimited';

CREATE TRIGGER offer_restored BEFORE INSERT ON leadscore.offer
	FOR EACH ROW WHEN (NEW.budget IS NULL AND NEW.max_cost IS NULL AND NOT NEW.unlimited) EXECUTE FUNCTION leadscore_internal.offer_restored();
-- (a restore leaves out other triggers of tables that refer to others)
ALTER TABLE leadscore.offer ENABLE ALWAYS TRIGGER offer_restored;

CREATE FUNCTION leadscore_internal.fill_slots(name text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	o leadscore.offer;
	cost numeric;
	spent bigint;
	spent_money numeric;
	left_money numeric;
	n bigint;
	parts CONSTANT integer := 16;
BEGIN
	-- nobody issues, redeems for a percentage or gives back while we count; those that did have ended
	LOCK TABLE leadscore_internal.offer_slot IN SHARE ROW EXCLUSIVE MODE;
	DELETE FROM leadscore_internal.offer_slot s WHERE s.offer = name;
	DELETE FROM leadscore_internal.offer_money m WHERE m.offer = name;
	SELECT f.* INTO o FROM leadscore.offer f WHERE f.offer = name;
	IF NOT FOUND THEN
		PERFORM leadscore_internal.check_offer_gone(name);
		DELETE FROM leadscore_internal.offer_stop s WHERE s.offer = name;
		RETURN;
	END IF;
	PERFORM leadscore_internal.check_counted(o);
	cost := CASE o.kind WHEN 'percent' THEN 0 ELSE o.discount END;
	-- (one that is redeemed for less than it was worth may become open again)
	SELECT count(*), coalesce(sum(CASE v.kind WHEN 'percent' THEN coalesce(v.discount, 0) ELSE v.terms END), 0) INTO spent, spent_money
	FROM leadscore.voucher v WHERE v.offer = name AND v.code IS NOT NULL AND NOT v.expired AND v.revoked_at IS NULL;
	left_money := o.max_cost - spent_money;
	n := least(o.budget - spent, floor(left_money / nullif(cost, 0)));
	INSERT INTO leadscore_internal.offer_slot (offer, slot, cost)
	SELECT name, sign(n) * nextval('leadscore_internal.offer_slot_seq'), cost FROM generate_series(1, abs(n));
	IF o.kind = 'percent' AND left_money > 0 THEN
		INSERT INTO leadscore_internal.offer_money (offer, part, amount)
		SELECT name, nextval('leadscore_internal.offer_slot_seq'), p.amount
		FROM (
			SELECT CASE WHEN i > 1 THEN round(left_money / parts, 6) ELSE left_money - (parts - 1) * round(left_money / parts, 6) END AS amount
			FROM generate_series(1, parts) i
		) p
		WHERE p.amount > 0;
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.fill_slots(text) IS 'computes the rest of an offer''s budget and max_cost again';

CREATE FUNCTION leadscore_internal.offer_changed() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM leadscore_internal.check_trigger(TG_RELID, 'leadscore.offer'::regclass);
	IF NOT leadscore_internal.in_restore() THEN
		IF TG_OP = 'UPDATE' THEN
			PERFORM leadscore_internal.check_read_committed('A change of a budget'::text, 'overlooked'::text);
		END IF;
		PERFORM leadscore_internal.fill_slots(CASE TG_OP WHEN 'DELETE' THEN OLD.offer ELSE NEW.offer END);
		IF TG_OP = 'INSERT' AND NOT EXISTS (SELECT FROM leadscore.watched_model w WHERE w.model = NEW.model AND w.active) THEN
			RAISE NOTICE USING MESSAGE = format('model "%s" is not watched: the offer "%s" issues no vouchers', NEW.model, NEW.offer),
				HINT = format('CALL leadscore.watch(%L) watches it.', NEW.model);
		END IF;
	END IF;
	RETURN NULL;
END
$$;

COMMENT ON FUNCTION leadscore_internal.offer_changed() IS 'trigger: an offer''s slots follow its budget';

CREATE TRIGGER offer_made AFTER INSERT OR DELETE ON leadscore.offer
	FOR EACH ROW EXECUTE FUNCTION leadscore_internal.offer_changed();
CREATE TRIGGER offer_changed AFTER UPDATE ON leadscore.offer
	FOR EACH ROW WHEN ((OLD.budget, OLD.max_cost, OLD.kind, OLD.discount) IS DISTINCT FROM (NEW.budget, NEW.max_cost, NEW.kind, NEW.discount))
	EXECUTE FUNCTION leadscore_internal.offer_changed();

CREATE FUNCTION leadscore_internal.offers_renamed() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM leadscore_internal.check_trigger(TG_RELID, 'leadscore.model'::regclass);
	UPDATE leadscore.offer o SET model = NEW.model WHERE o.model = OLD.model;
	RETURN NULL;
END
$$;

COMMENT ON FUNCTION leadscore_internal.offers_renamed() IS 'trigger: offers follow their model to its new name';

-- by its name after the triggers of foreign keys, which rename the segments
CREATE TRIGGER offers_renamed AFTER UPDATE OF model ON leadscore.model
	FOR EACH ROW WHEN (OLD.model <> NEW.model) EXECUTE FUNCTION leadscore_internal.offers_renamed();

CREATE FUNCTION leadscore_internal.segment_renamed() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM leadscore_internal.check_trigger(TG_RELID, 'leadscore.segment'::regclass);
	-- the model's row first, then lead_state: the order in which a model is renamed or deleted
	PERFORM FROM leadscore.watched_model w WHERE w.model = NEW.model FOR NO KEY UPDATE;
	IF FOUND THEN
		-- by then, transactions that know the segment by its old name have ended
		LOCK TABLE leadscore.lead_state IN SHARE ROW EXCLUSIVE MODE;
		-- (what they have written is newer than our snapshot may be)
		PERFORM leadscore_internal.run_latest(c.command, ARRAY[NEW.model, OLD.segment, NEW.segment])
		FROM (VALUES ('UPDATE leadscore.lead_state s SET segment = $1[3] WHERE s.model = $1[1] AND s.segment = $1[2]'::text),
			('UPDATE leadscore.segment_change c SET from_segment = $1[3] WHERE c.model = $1[1] AND c.from_segment = $1[2]'),
			('UPDATE leadscore.segment_change c SET to_segment = $1[3] WHERE c.model = $1[1] AND c.to_segment = $1[2]')) AS c (command);
		UPDATE leadscore.watched_model w SET document = jsonb_set(w.document, '{segments}', (
			SELECT coalesce(jsonb_agg(CASE e.item ->> 'segment' WHEN OLD.segment THEN e.item || jsonb_build_object('segment', NEW.segment) ELSE e.item END ORDER BY e.n), '[]')
			FROM jsonb_array_elements(w.document -> 'segments') WITH ORDINALITY AS e (item, n)))
		WHERE w.model = NEW.model AND w.document IS NOT NULL;
	END IF;
	UPDATE leadscore.offer o SET segment = NEW.segment WHERE o.model = NEW.model AND o.segment = OLD.segment;
	RETURN NULL;
END
$$;

COMMENT ON FUNCTION leadscore_internal.segment_renamed() IS 'trigger: states, the log and offers follow a segment to its new name';

CREATE TRIGGER segment_renamed AFTER UPDATE OF segment ON leadscore.segment
	FOR EACH ROW WHEN (OLD.segment <> NEW.segment AND OLD.model = NEW.model) EXECUTE FUNCTION leadscore_internal.segment_renamed();

-- issue, brake, revoke

CREATE FUNCTION leadscore_internal.offer_named(name text) RETURNS leadscore.offer
	LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	o leadscore.offer;
BEGIN
	SELECT f.* INTO o FROM leadscore.offer f WHERE f.offer = name;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = CASE WHEN name IS NULL THEN 'null_value_not_allowed' ELSE 'undefined_object' END,
			MESSAGE = CASE WHEN name IS NULL THEN 'offer is NULL' ELSE format('offer "%s" does not exist', name) END,
			DETAIL = 'There is no such row in leadscore.offer.',
			HINT = leadscore_internal.known('offers'::text, ARRAY(SELECT f.offer FROM leadscore.offer f ORDER BY 1));
	END IF;
	RETURN o;
END
$$;

COMMENT ON FUNCTION leadscore_internal.offer_named(text) IS 'an offer, or the error that it does not exist';

CREATE FUNCTION leadscore_internal.issue_to(offer text, lead_ids text[], most bigint) RETURNS bigint
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;

COMMENT ON FUNCTION leadscore_internal.issue_to(text, text[], bigint)
	IS 'issues vouchers of an offer to leads that are in its segment; their rows of lead_timeline must be held';

CREATE FUNCTION leadscore.issue_offer(offer text, n integer DEFAULT NULL) RETURNS bigint
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off SET enable_nestloop = off
AS $$
DECLARE
	o CONSTANT leadscore.offer := leadscore_internal.offer_named(offer);
	most CONSTANT bigint := coalesce(n, 9223372036854775807);
	size CONSTANT integer := least(10000, greatest(100, most));
	page text[] := '{}';
	held text[];
	lead text;
	issued bigint := 0;
BEGIN
	IF n < 1 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'the number of vouchers to issue is not above zero',
			DETAIL = format('It is %s.', n), HINT = 'Write a whole number from 1, or NULL for all leads in the segment.';
	END IF;
	IF NOT EXISTS (SELECT FROM leadscore.watched_model w WHERE w.model = o.model AND w.active) THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = format('model "%s" is not watched', o.model),
			DETAIL = 'It is not known which leads are in its segments.', HINT = format('CALL leadscore.watch(%L) watches it.', o.model);
	END IF;
	IF o.starts_at > clock_timestamp() OR o.ends_at <= clock_timestamp() THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = format('offer "%s" issues no vouchers now', offer),
			DETAIL = format('It starts at %s and ends at %s.', coalesce(o.starts_at::text, 'any time'), coalesce(o.ends_at::text, 'no time')), HINT = 'UPDATE leadscore.offer changes that.';
	END IF;
	IF EXISTS (SELECT FROM leadscore_internal.offer_stop s WHERE s.offer = o.offer) THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = format('offer "%s" is stopped by its brake', offer),
			DETAIL = format('More than %s vouchers were due within an hour.', o.brake), HINT = format('SELECT leadscore.resume_offer(%L) resumes it.', offer);
	END IF;
	FOR lead IN
		SELECT s.lead_id FROM leadscore.lead_state s
		WHERE s.model = o.model AND s.segment = o.segment
		AND NOT EXISTS (SELECT FROM leadscore.voucher v WHERE v.offer = o.offer AND v.lead_id = s.lead_id AND v.revoked_at IS NULL
			AND (o.again_after IS NULL OR v.issued_at > clock_timestamp() - o.again_after))
		ORDER BY s.since, s.lead_id
	LOOP
		page := page || lead;
		IF cardinality(page) >= size THEN
			held := leadscore_internal.lock_lead_rows(page, false);
			issued := issued + leadscore_internal.issue_to(o.offer, held, most - issued);
			PERFORM leadscore_internal.release_timelines(VARIADIC held);
			page := '{}';
			EXIT WHEN issued >= most;
		END IF;
	END LOOP;
	IF page <> '{}' THEN
		held := leadscore_internal.lock_lead_rows(page, false);
		issued := issued + leadscore_internal.issue_to(o.offer, held, most - issued);
		PERFORM leadscore_internal.release_timelines(VARIADIC held);
	END IF;
	RETURN issued;
END
$$;

COMMENT ON FUNCTION leadscore.issue_offer(text, integer)
	IS 'issues vouchers to leads that are in the offer''s segment already, those first that are in it longest, and says how many';

CREATE FUNCTION leadscore.resume_offer(offer text) RETURNS void
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	o CONSTANT leadscore.offer := leadscore_internal.offer_named(offer);
BEGIN
	UPDATE leadscore.offer f SET resumed_at = clock_timestamp() WHERE f.offer = o.offer;
	DELETE FROM leadscore_internal.offer_stop s WHERE s.offer = o.offer;
END
$$;

COMMENT ON FUNCTION leadscore.resume_offer(text) IS 'resumes an offer that was stopped by its brake; the brake starts counting again';

CREATE FUNCTION leadscore_internal.give_back(offer text, n bigint) RETURNS void
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
	WITH debt AS MATERIALIZED (
		-- what a lowered budget was overspent by is made good first
		SELECT s.offer, s.slot FROM leadscore_internal.offer_slot s WHERE s.offer = give_back.offer AND s.slot < 0
		ORDER BY s.slot LIMIT n FOR UPDATE SKIP LOCKED
	), paid AS (
		DELETE FROM leadscore_internal.offer_slot s USING debt d WHERE s.offer = d.offer AND s.slot = d.slot RETURNING s.offer
	)
	INSERT INTO leadscore_internal.offer_slot (offer, slot, cost)
	SELECT o.offer, nextval('leadscore_internal.offer_slot_seq'), CASE o.kind WHEN 'percent' THEN 0 ELSE o.discount END
	FROM leadscore.offer o CROSS JOIN LATERAL generate_series(1, give_back.n - (SELECT count(*) FROM paid))
	WHERE o.offer = give_back.offer AND (o.budget IS NOT NULL OR o.max_cost IS NOT NULL AND o.kind <> 'percent')
$$;

COMMENT ON FUNCTION leadscore_internal.give_back(text, bigint) IS 'returns the slots of vouchers that will not be redeemed to the budget; offer_slot must be locked';

-- A voucher that took less of max_cost than one takes now gives nothing back: a change of the offer counts anew.
CREATE FUNCTION leadscore_internal.takes_slot(o leadscore.offer, v leadscore.voucher) RETURNS boolean
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT v.code IS NOT NULL AND (o.max_cost IS NULL OR v.kind = 'percent' OR v.terms >= o.discount)
$$;

COMMENT ON FUNCTION leadscore_internal.takes_slot(leadscore.offer, leadscore.voucher) IS 'whether an open voucher that goes leaves room for another';

CREATE FUNCTION leadscore.revoke_vouchers(offer text, since timestamptz DEFAULT NULL) RETURNS bigint
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	o leadscore.offer := leadscore_internal.offer_named(offer);
	revoked bigint;
	room bigint;
BEGIN
	-- a transaction that changes a budget has ended, and the budget is seen, or it waits for us
	LOCK TABLE leadscore_internal.offer_slot IN ROW EXCLUSIVE MODE;
	o := leadscore_internal.offer_named(offer);
	WITH open AS MATERIALIZED (
		SELECT v.voucher_id FROM leadscore.voucher v
		WHERE v.offer = o.offer AND v.redeemed_at IS NULL AND NOT v.expired AND v.revoked_at IS NULL AND (since IS NULL OR v.issued_at >= since)
		FOR UPDATE SKIP LOCKED
	), gone AS (
		UPDATE leadscore.voucher v SET revoked_at = clock_timestamp() FROM open p WHERE v.voucher_id = p.voucher_id RETURNING v AS voucher
	)
	SELECT count((g.voucher).code), count(*) FILTER (WHERE leadscore_internal.takes_slot(o, g.voucher)) INTO revoked, room FROM gone g;
	PERFORM leadscore_internal.give_back(o.offer, room);
	RETURN revoked;
END
$$;

COMMENT ON FUNCTION leadscore.revoke_vouchers(text, timestamptz)
	IS 'takes vouchers back that are open, all or those issued since an instant, and says how many; not those that somebody is redeeming';

CREATE FUNCTION leadscore.expire_vouchers() RETURNS bigint
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
	-- a transaction that changes a budget has ended, and the budget is seen, or it waits for us
	LOCK TABLE leadscore_internal.offer_slot IN ROW EXCLUSIVE MODE;
	WITH late AS MATERIALIZED (
		SELECT v.voucher_id FROM leadscore.voucher v
		WHERE v.redeemed_at IS NULL AND NOT v.expired AND v.revoked_at IS NULL AND v.expires_at <= clock_timestamp()
		FOR UPDATE SKIP LOCKED
	), gone AS (
		UPDATE leadscore.voucher v SET expired = true FROM late l WHERE v.voucher_id = l.voucher_id
		RETURNING v AS voucher
	), by_offer AS MATERIALIZED (
		SELECT o.offer, count((g.voucher).code) AS expired, count(*) FILTER (WHERE leadscore_internal.takes_slot(o, g.voucher)) AS room
		FROM gone g JOIN leadscore.offer o ON o.offer = (g.voucher).offer
		GROUP BY o.offer
	), back AS MATERIALIZED (
		SELECT b.expired, leadscore_internal.give_back(b.offer, b.room) FROM by_offer b
	)
	SELECT coalesce(sum(b.expired), 0)::bigint FROM back b;
$$;

COMMENT ON FUNCTION leadscore.expire_vouchers() IS 'returns expired vouchers to their budgets, and returns how many';

-- redeem

CREATE FUNCTION leadscore_internal.names_of(lead_id text) RETURNS text[]
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT ARRAY(SELECT a.alias FROM leadscore.lead_alias a WHERE a.lead_id = l.lead ORDER BY 1) || l.lead
	FROM (SELECT coalesce((SELECT a.lead_id FROM leadscore.lead_alias a WHERE a.alias = names_of.lead_id), names_of.lead_id) AS lead) l
$$;

COMMENT ON FUNCTION leadscore_internal.names_of(text) IS 'all names of a lead, by any of them; the last is the lead''s own';

CREATE FUNCTION leadscore_internal.voucher_with(code text) RETURNS leadscore.voucher
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	voucher leadscore.voucher;
BEGIN
	-- as people type it: without spaces, dashes and case
	SELECT v.* INTO voucher FROM leadscore.voucher v
	WHERE v.code = regexp_replace(upper(regexp_replace(voucher_with.code, '[[:space:]-]', '', 'g')), '(.{4})(?=.)', E'\\1-', 'g');
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = 'there is no such voucher',
			DETAIL = format('The code is "%s".', left(voucher_with.code, 40)), HINT = 'Codes look like 7QX2-0K9M-4DPA-ZZ1C.';
	END IF;
	RETURN voucher;
END
$$;

COMMENT ON FUNCTION leadscore_internal.voucher_with(text) IS 'the voucher with a code, or the error that there is none';

CREATE FUNCTION leadscore_internal.check_voucher_owner(voucher leadscore.voucher, lead_id text, names text[]) RETURNS void
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	-- another name of the lead will do, but no other lead's
	IF (voucher.lead_id = ANY (names)) IS NOT TRUE THEN
		RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege', MESSAGE = 'the voucher belongs to another lead',
			DETAIL = format('It is not for "%s".', left(lead_id, 100)), HINT = 'A voucher cannot be passed on.';
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.check_voucher_owner(leadscore.voucher, text, text[]) IS 'the error of a voucher of another lead than the one with these names';

CREATE FUNCTION leadscore_internal.lock_order(order_ref text, lead_id text, names text[]) RETURNS numeric
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	o leadscore_internal.voucher_order;
BEGIN
	LOOP
		-- who redeems for the same order waits here until we have ended
		INSERT INTO leadscore_internal.voucher_order (order_ref, lead_id, discount) VALUES (order_ref, lead_id, 0)
		ON CONFLICT ON CONSTRAINT voucher_order_pkey DO NOTHING;
		IF FOUND THEN
			-- vouchers of orders that were not kept yet; not as they were before we have waited
			PERFORM leadscore_internal.check_seen('The vouchers of the order'::text,
				'SELECT string_agg(v.voucher_id::text, '','' ORDER BY v.voucher_id) FROM leadscore.voucher v WHERE v.order_ref = $1[1]'::text, ARRAY[order_ref]);
			UPDATE leadscore_internal.voucher_order r SET lead_id = coalesce(v.lead_id, r.lead_id), discount = coalesce(v.discount, 0)
			FROM (SELECT (array_agg(v.lead_id))[1] AS lead_id, sum(v.discount) AS discount FROM leadscore.voucher v WHERE v.order_ref = lock_order.order_ref) v
			WHERE r.order_ref = lock_order.order_ref;
		END IF;
		SELECT r.* INTO o FROM leadscore_internal.voucher_order r WHERE r.order_ref = lock_order.order_ref FOR UPDATE;
		-- (its last voucher may have been taken back, or its lead forgotten, since we have tried to insert it)
		EXIT WHEN FOUND;
	END LOOP;
	IF o.lead_id <> ALL (names) THEN
		RAISE EXCEPTION USING ERRCODE = 'unique_violation', MESSAGE = 'the order belongs to another lead',
			DETAIL = format('A voucher of another lead was redeemed for "%s".', left(lock_order.order_ref, 100)),
			HINT = 'Pass the order''s own number.';
	END IF;
	RETURN o.discount;
END
$$;

COMMENT ON FUNCTION leadscore_internal.lock_order(text, text, text[]) IS 'locks an order, which belongs to one lead, and returns its discounts so far';

-- All vouchers of a lead, of whatever offer, in the order of their numbers: so transactions that redeem several, or take
-- some back, wait for each other at the first one, in whatever order they name them.
CREATE FUNCTION leadscore_internal.wait_for_vouchers(names text[]) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM FROM leadscore.voucher v WHERE v.lead_id = ANY (names) ORDER BY v.voucher_id FOR UPDATE;
END
$$;

COMMENT ON FUNCTION leadscore_internal.wait_for_vouchers(text[]) IS 'locks all vouchers of a lead; waits for transactions that redeem one';

-- For forget(), which locks rows that redeem() comes to one after the other: it waits for none while it has others.
CREATE FUNCTION leadscore_internal.lock_vouchers(lead_id text, names text[]) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	FOR attempt IN 1 .. 20 LOOP
		BEGIN
			PERFORM FROM leadscore.voucher v WHERE v.lead_id = ANY (names) FOR UPDATE NOWAIT;
			-- (seen after the vouchers are ours: what redeem() has committed has made orders, and it makes no more)
			PERFORM FROM leadscore_internal.voucher_order o WHERE o.lead_id = ANY (names) FOR UPDATE NOWAIT;
			RETURN;
		EXCEPTION WHEN lock_not_available THEN
			-- (leaving the block has released all locks)
			PERFORM pg_sleep(0.01);
		END;
	END LOOP;
	RAISE EXCEPTION USING ERRCODE = 'lock_not_available', MESSAGE = format('a voucher of "%s" is being redeemed by another transaction', lead_id),
		DETAIL = 'What it does could not be forgotten.', HINT = 'Try again when it has ended.';
END
$$;

COMMENT ON FUNCTION leadscore_internal.lock_vouchers(text, text[]) IS 'locks all vouchers and orders of a person; an error, if another transaction is redeeming one';

CREATE FUNCTION leadscore_internal.check_redeemable(voucher leadscore.voucher, names text[]) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	o leadscore.offer;
	lead CONSTANT text := names[cardinality(names)];
	forgotten_at CONSTANT timestamptz := leadscore_internal.forgotten_at(names);
BEGIN
	IF voucher.revoked_at IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = 'the voucher has been revoked',
			DETAIL = format('At %s, by revoke_vouchers().', voucher.revoked_at), HINT = 'The shop has revoked it.';
	END IF;
	SELECT f.* INTO STRICT o FROM leadscore.offer f WHERE f.offer = voucher.offer;
	IF EXISTS (SELECT FROM leadscore.voucher v WHERE v.offer = voucher.offer AND v.lead_id = ANY (names) AND v.redeemed_at IS NOT NULL
			AND (o.again_after IS NULL OR v.issued_at < voucher.issued_at + o.again_after AND voucher.issued_at < v.issued_at + o.again_after)) THEN
		RAISE EXCEPTION USING ERRCODE = 'unique_violation', MESSAGE = 'the lead has redeemed a voucher of this offer already',
			DETAIL = format('It got another as "%s", before it was known by one name.', left(voucher.lead_id, 100)), HINT = 'A lead can redeem one voucher of an offer.';
	END IF;
	-- issued to a new name of a person who had been forgotten before: see tombstone.sql
	IF voucher.issued_at >= forgotten_at AND (o.again_after IS NULL OR voucher.issued_at < forgotten_at + o.again_after) THEN
		RAISE EXCEPTION USING ERRCODE = 'unique_violation', MESSAGE = 'the lead has been forgotten, and gets no voucher as somebody new',
			DETAIL = format('One of its names has a tombstone of %s.', forgotten_at), HINT = 'leadscore.drop_tombstone() removes it.';
	END IF;
	IF voucher.expired OR voucher.expires_at <= clock_timestamp() THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = 'the voucher has expired',
			DETAIL = format('It was valid until %s.', voucher.expires_at), HINT = 'A voucher is valid for as long as the offer says.';
	END IF;
	IF o.condition IS NOT NULL AND coalesce(leadscore.score(leadscore_internal.condition_card(o.condition), NULL::leadscore.timeline,
			(SELECT p.profile FROM leadscore.current_profile p WHERE p.lead_id = lead), clock_timestamp()), 0) < 1 THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = 'the lead does not meet the condition of the offer',
			DETAIL = format('The profile of "%s" does not have the signal "%s".', left(lead, 100), o.condition), HINT = 'The voucher can be redeemed once it does.';
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.check_redeemable(leadscore.voucher, text[]) IS 'the error of a voucher that cannot be redeemed';

CREATE FUNCTION leadscore_internal.discount_of(voucher leadscore.voucher, amount numeric, already numeric) RETURNS numeric
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	minor_unit CONSTANT numeric := (SELECT o.minor_unit FROM leadscore.offer o WHERE o.offer = voucher.offer);
	rest CONSTANT numeric := amount - already;
	wanted CONSTANT numeric := leadscore_internal.to_unit(CASE voucher.kind WHEN 'percent' THEN amount * voucher.terms / 100 ELSE voucher.terms END, minor_unit);
BEGIN
	-- shipping and gifts cannot be given in part
	IF rest <= 0 OR voucher.kind IN ('shipping', 'gift') AND rest < wanted THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = 'the order is too small for the voucher',
			DETAIL = format('Of %s, %s is left; the voucher is worth %s.', amount, rest, wanted), HINT = 'All discounts of an order together are at most its value.';
	END IF;
	-- (the order's value is not known: no cap is checked)
	RETURN least(wanted, rest);
END
$$;

COMMENT ON FUNCTION leadscore_internal.discount_of(leadscore.voucher, numeric, numeric)
	IS 'what a voucher is worth for an order of a value (NULL: not known) whose other vouchers are worth an amount; NULL: not known';

CREATE FUNCTION leadscore_internal.take_money(name text, amount numeric) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	taken numeric;
	busy boolean;
	place record;
BEGIN
	IF amount IS NULL OR (SELECT o.max_cost IS NULL FROM leadscore.offer o WHERE o.offer = name) THEN
		RETURN;
	END IF;
	FOR attempt IN 1 .. 20 LOOP
		BEGIN
			taken := 0;
			WHILE taken < amount LOOP
				-- what another order has taken, and has not committed, is not waited for
				SELECT m.part, m.amount INTO place FROM leadscore_internal.offer_money m WHERE m.offer = name ORDER BY m.amount DESC LIMIT 1 FOR UPDATE SKIP LOCKED;
				EXIT WHEN NOT FOUND;
				DELETE FROM leadscore_internal.offer_money m WHERE m.offer = name AND m.part = place.part;
				taken := taken + place.amount;
			END LOOP;
			IF taken >= amount THEN
				INSERT INTO leadscore_internal.offer_money (offer, part, amount)
				SELECT name, nextval('leadscore_internal.offer_slot_seq'), taken - amount WHERE taken > amount;
				RETURN;
			END IF;
			busy := EXISTS (SELECT FROM leadscore_internal.offer_money m WHERE m.offer = name);
			RAISE SQLSTATE 'LS001';
		EXCEPTION WHEN SQLSTATE 'LS001' THEN
			NULL;	-- leaving the block has put back what was taken: another order may need less
		END;
		EXIT WHEN NOT busy;
		PERFORM pg_sleep(0.01);
	END LOOP;
	IF busy THEN
		RAISE EXCEPTION USING ERRCODE = 'lock_not_available', MESSAGE = format('other orders are using the money of the offer "%s"', name),
			DETAIL = format('The voucher is worth %s; %s of max_cost is left beside them.', amount, taken), HINT = 'Try again when they have ended: they may put some back.';
	END IF;
	RAISE EXCEPTION USING ERRCODE = 'configuration_limit_exceeded', MESSAGE = format('offer "%s" has no money left for this order', name),
		DETAIL = format('The voucher is worth %s; %s of max_cost is left.', amount, taken), HINT = 'UPDATE leadscore.offer SET max_cost raises it.';
END
$$;

COMMENT ON FUNCTION leadscore_internal.take_money(text, numeric) IS 'takes an amount of the max_cost of an offer of percent; offer_slot must be locked';

CREATE FUNCTION leadscore.redeem(code text, lead_id text, order_ref text, order_value numeric DEFAULT NULL,
	OUT offer text, OUT kind text, OUT discount numeric)
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	voucher leadscore.voucher;
	names text[];
	already numeric;
	amount CONSTANT numeric := leadscore_internal.money(order_value, 'the value of the order'::text);
BEGIN
	IF redeem.code IS NULL OR redeem.lead_id IS NULL OR redeem.order_ref IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'redeem() needs a code, a lead and an order',
			DETAIL = 'A voucher is for one lead, and for one order.', HINT = 'For example: SELECT leadscore.redeem(''7QX2-...'', ''anna'', ''order 17'').';
	END IF;
	IF amount < 0 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'the value of the order is negative',
			DETAIL = format('It is %s.', amount), HINT = 'Pass what the order is worth before the discount.';
	END IF;
	voucher := leadscore_internal.voucher_with(redeem.code);
	names := leadscore_internal.names_of(redeem.lead_id);
	PERFORM leadscore_internal.check_voucher_owner(voucher, redeem.lead_id, names);
	IF voucher.kind = 'percent' THEN
		-- a transaction that changes max_cost has ended, and is seen, or it waits for us
		LOCK TABLE leadscore_internal.offer_slot IN ROW EXCLUSIVE MODE;
	END IF;
	-- two at once: the second waits here until the first has committed; of visitors that were found out to be one lead, each may have got one
	PERFORM leadscore_internal.wait_for_vouchers(names);
	SELECT v.* INTO STRICT voucher FROM leadscore.voucher v WHERE v.voucher_id = voucher.voucher_id;
	-- (the lead may have been forgotten while we have waited)
	PERFORM leadscore_internal.check_voucher_owner(voucher, redeem.lead_id, names);
	IF leadscore_internal.names_of(redeem.lead_id) <> names THEN
		RAISE EXCEPTION USING ERRCODE = 'lock_not_available', MESSAGE = format('the names of "%s" have changed', left(redeem.lead_id, 100)),
			DETAIL = 'Another transaction has made or given back an alias while this one has waited.', HINT = 'Try again.';
	END IF;
	PERFORM leadscore_internal.check_seen('The names of the lead'::text,
		'SELECT string_agg(n, '','' ORDER BY n) FROM unnest(leadscore_internal.names_of($1[1])) n'::text, ARRAY[redeem.lead_id]);
	already := leadscore_internal.lock_order(redeem.order_ref, redeem.lead_id, names);
	offer := voucher.offer;
	kind := voucher.kind;
	IF voucher.redeemed_at IS NOT NULL THEN
		IF voucher.order_ref = redeem.order_ref THEN
			-- asked once more, such as after a lost connection
			discount := voucher.discount;
			RETURN;
		END IF;
		RAISE EXCEPTION USING ERRCODE = 'unique_violation', MESSAGE = 'the voucher has been redeemed already',
			DETAIL = format('At %s, for "%s".', voucher.redeemed_at, left(voucher.order_ref, 100)), HINT = 'A voucher can be redeemed once.';
	END IF;
	PERFORM leadscore_internal.check_redeemable(voucher, names);
	discount := leadscore_internal.discount_of(voucher, amount, already);
	IF kind = 'percent' THEN
		PERFORM leadscore_internal.take_money(offer, discount);
	END IF;
	UPDATE leadscore.voucher v SET redeemed_at = clock_timestamp(), order_ref = redeem.order_ref, discount = redeem.discount
	WHERE v.voucher_id = voucher.voucher_id;
	UPDATE leadscore_internal.voucher_order r SET discount = r.discount + coalesce(redeem.discount, 0) WHERE r.order_ref = redeem.order_ref;
END
$$;

COMMENT ON FUNCTION leadscore.redeem(text, text, text, numeric)
	IS 'settles a voucher for a lead''s order, once, and says what it is worth; NULL: percent of a value that is not known';

CREATE FUNCTION leadscore.unredeem(code text, order_ref text) RETURNS boolean
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	voucher leadscore.voucher;
BEGIN
	IF unredeem.code IS NULL OR unredeem.order_ref IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'unredeem() needs a code and an order',
			DETAIL = 'A voucher was redeemed for one order.', HINT = 'For example: SELECT leadscore.unredeem(''7QX2-...'', ''order 17'').';
	END IF;
	voucher := leadscore_internal.voucher_with(unredeem.code);
	-- as redeem() locks: max_cost, the vouchers of the lead, the order
	LOCK TABLE leadscore_internal.offer_slot IN ROW EXCLUSIVE MODE;
	PERFORM leadscore_internal.wait_for_vouchers(leadscore_internal.names_of(voucher.lead_id));
	PERFORM FROM leadscore_internal.voucher_order r WHERE r.order_ref = unredeem.order_ref FOR UPDATE;
	SELECT v.* INTO voucher FROM leadscore.voucher v
	WHERE v.voucher_id = voucher.voucher_id AND v.redeemed_at IS NOT NULL AND v.order_ref = unredeem.order_ref FOR UPDATE;
	IF NOT FOUND THEN
		RETURN false;
	END IF;
	UPDATE leadscore.voucher v SET redeemed_at = NULL, order_ref = NULL, discount = NULL WHERE v.voucher_id = voucher.voucher_id;
	UPDATE leadscore_internal.voucher_order r SET discount = r.discount - coalesce(voucher.discount, 0) WHERE r.order_ref = unredeem.order_ref;
	DELETE FROM leadscore_internal.voucher_order r
	WHERE r.order_ref = unredeem.order_ref AND NOT EXISTS (SELECT FROM leadscore.voucher v WHERE v.order_ref = unredeem.order_ref);
	INSERT INTO leadscore_internal.offer_money (offer, part, amount)
	SELECT o.offer, nextval('leadscore_internal.offer_slot_seq'), voucher.discount
	FROM leadscore.offer o WHERE o.offer = voucher.offer AND voucher.kind = 'percent' AND o.max_cost IS NOT NULL AND voucher.discount > 0;
	RETURN true;
END
$$;

COMMENT ON FUNCTION leadscore.unredeem(text, text) IS 'undoes redeem() for a cancelled order: the voucher is open again; false: it is not redeemed for that order';

-- what a change would cost

CREATE FUNCTION leadscore_internal.vouchers_due(offer text, lead_ids text[], at timestamptz, profiles jsonb[] DEFAULT NULL) RETURNS bigint
	LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	o CONSTANT leadscore.offer := leadscore_internal.offer_named(offer);
	n bigint;
BEGIN
	IF o.starts_at > at OR o.ends_at <= at OR EXISTS (SELECT FROM leadscore_internal.offer_stop s WHERE s.offer = o.offer) THEN
		RETURN 0;
	END IF;
	SELECT count(*) INTO n
	FROM unnest(lead_ids, profiles) AS l (lead_id, profile)
	WHERE NOT leadscore_internal.is_held_out(o.offer, l.lead_id, o.holdout_share)
	AND NOT EXISTS (SELECT FROM (
			SELECT coalesce(a.lead_id, v.lead_id) AS lead_id FROM leadscore.voucher v LEFT JOIN leadscore.lead_alias a ON a.alias = v.lead_id
			WHERE v.offer = o.offer AND v.revoked_at IS NULL AND (o.again_after IS NULL OR v.issued_at + o.again_after > at)) h WHERE h.lead_id = l.lead_id)
	AND (NOT (SELECT leadscore_internal.anybody_forgotten()) OR NOT EXISTS (
		SELECT FROM leadscore_internal.forgotten_at(leadscore_internal.names_of(l.lead_id)) AS f (forgotten_at)
		WHERE f.forgotten_at IS NOT NULL AND (o.again_after IS NULL OR f.forgotten_at + o.again_after > at)))
	AND (o.condition IS NULL OR leadscore.score(leadscore_internal.condition_card(o.condition), NULL::leadscore.timeline,
		CASE WHEN profiles IS NULL THEN (SELECT p.profile FROM leadscore.current_profile p WHERE p.lead_id = l.lead_id) ELSE l.profile END, at) >= 1);
	RETURN least(n, o.brake,
		CASE WHEN o.budget IS NOT NULL OR o.max_cost IS NOT NULL AND o.kind <> 'percent'
			THEN (SELECT count(*) FROM leadscore_internal.offer_slot s WHERE s.offer = o.offer AND s.slot > 0) END);
END
$$;

COMMENT ON FUNCTION leadscore_internal.vouchers_due(text, text[], timestamptz, jsonb[])
	IS 'how many vouchers would be issued to leads that enter an offer''s segment together; with these profiles, or (NULL) those that they have here';

CREATE FUNCTION leadscore_internal.vouchers_for_entering(model text, at timestamptz, lead_ids text[], segments text[], profiles jsonb[] DEFAULT NULL)
	RETURNS TABLE (offer text, segment text, kind text, discount numeric, leads bigint, vouchers bigint)
	LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
	WITH entering AS (
		SELECT n.segment, array_agg(n.lead_id) AS lead_ids, CASE WHEN profiles IS NOT NULL THEN array_agg(n.profile) END AS profiles
		FROM unnest(lead_ids, segments, profiles) AS n (lead_id, segment, profile)
		GROUP BY n.segment
	)
	SELECT o.offer, o.segment, o.kind, o.discount, coalesce(cardinality(n.lead_ids), 0)::bigint,
		-- an edit of the model issues vouchers of offers that ask for it
		CASE WHEN 'model' = ANY (o.issue_on) AND w.model IS NOT NULL THEN leadscore_internal.vouchers_due(o.offer, coalesce(n.lead_ids, '{}'), at, n.profiles) ELSE 0 END
	FROM leadscore.offer o
	LEFT JOIN leadscore.watched_model w ON w.model = o.model AND w.active
	LEFT JOIN entering n ON n.segment = o.segment
	WHERE o.model = vouchers_for_entering.model AND (o.ends_at > at) IS NOT FALSE
	ORDER BY o.offer
$$;

COMMENT ON FUNCTION leadscore_internal.vouchers_for_entering(text, timestamptz, text[], text[], jsonb[])
	IS 'how many vouchers of each offer of a model would be issued, if leads entered these segments because of an edit';

CREATE FUNCTION leadscore_internal.voucher_preview(document jsonb, model text, at timestamptz)
	RETURNS TABLE (offer text, segment text, kind text, discount numeric, leads bigint, vouchers bigint)
	LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
	SELECT v.offer, v.segment, v.kind, v.discount, v.leads, v.vouchers
	FROM (
		-- as the next look would see them
		SELECT array_agg(n.lead_id) AS lead_ids, array_agg(n.segment) AS segments
		FROM (
			SELECT e.lead_id, s.segment AS segment_before, leadscore.next_segment(document, e.timeline, e.profile, at, s.segment, s.since) AS segment
			FROM leadscore_internal.visible_lead e LEFT JOIN leadscore.lead_state s ON s.lead_id = e.lead_id AND s.model = voucher_preview.model
			WHERE EXISTS (SELECT FROM leadscore.offer o WHERE o.model = voucher_preview.model)
			-- (a worker leaves leads with aliases to its coordinator)
			AND (NOT (SELECT EXISTS (SELECT FROM leadscore_internal.worker)) OR NOT EXISTS (SELECT FROM leadscore.lead_alias a WHERE a.lead_id = e.lead_id))
			OFFSET 0
		) n
		WHERE n.segment IS DISTINCT FROM n.segment_before
	) e
	CROSS JOIN LATERAL leadscore_internal.vouchers_for_entering(voucher_preview.model, at, e.lead_ids, e.segments) v
$$;

COMMENT ON FUNCTION leadscore_internal.voucher_preview(jsonb, text, timestamptz) IS 'how many vouchers of each offer of a model would be issued if a document replaced the model';

-- what an offer has earned
--
-- Both groups entered the same segment, and chance has parted them: what those
-- with a voucher have spent more than those without is what the voucher did.

CREATE FUNCTION leadscore.offer_result(offer text, signal text)
	RETURNS TABLE (arm text, leads bigint, redeemed bigint, buyers bigint, conversion_rate numeric, revenue numeric,
		revenue_per_lead numeric, discount numeric, unknown_discounts bigint, earned numeric)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	number integer;
BEGIN
	PERFORM leadscore_internal.offer_named(offer);
	SELECT s.signal_id INTO number FROM leadscore.signal s WHERE s.signal = offer_result.signal AND s.subject = 'event';
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('event signal "%s" does not exist', signal),
			DETAIL = 'Its occurrences are purchases, and its values are revenue.',
			HINT = leadscore_internal.known('event signals'::text, ARRAY(SELECT s.signal FROM leadscore.signal s WHERE s.subject = 'event' ORDER BY 1));
	END IF;
	RETURN QUERY
	WITH lead AS (
		-- of those who are forgotten, nobody knows what they bought; visitors that are known by one name now are one lead, and no witness if in both groups
		SELECT coalesce(a.lead_id, v.lead_id) AS lead_id, bool_and(v.code IS NOT NULL) AS treated, min(v.issued_at) AS issued_at, max(v.expires_at) AS expires_at,
			count(v.redeemed_at) AS redeemed, coalesce(sum(v.discount), 0) AS discount, count(*) FILTER (WHERE v.redeemed_at IS NOT NULL AND v.discount IS NULL) AS unknown,
			(array_agg(v.already ORDER BY v.issued_at))[1] AS already
		FROM leadscore.voucher v LEFT JOIN leadscore.lead_alias a ON a.alias = v.lead_id
		WHERE v.offer = offer_result.offer AND v.lead_id IS NOT NULL AND v.revoked_at IS NULL
		AND (NOT (SELECT leadscore_internal.anybody_excluded()) OR NOT leadscore_internal.is_excluded(v.lead_id))
		GROUP BY 1
		HAVING bool_and(v.code IS NOT NULL) = bool_or(v.code IS NOT NULL)
	), bought AS (
		SELECT l.*, CASE WHEN p.occurrences > 0 THEN p.occurrences ELSE 0 END AS occurrences, CASE WHEN p.occurrences > 0 THEN p.value ELSE 0 END AS value
		FROM lead l
		CROSS JOIN LATERAL (
			-- the purchase that brought a lead in is no result: what it had done by then is left out
			SELECT coalesce(sum(e.sign * e.occurrences), 0) AS occurrences, coalesce(sum(e.sign * e.value), 0) AS value
			FROM (
				SELECT 1 AS sign, c.* FROM leadscore.current_timeline t CROSS JOIN LATERAL leadscore.timeline_entries(t.timeline) c WHERE t.lead_id = l.lead_id
				UNION ALL
				SELECT -1, c.* FROM leadscore.timeline_entries(l.already) c
			) e
			WHERE e.signal_id = number
			-- of days that are compacted, hours are not known any more
			AND e.hour >= CASE WHEN l.issued_at < (SELECT c.compacted_before FROM leadscore.compaction c) THEN leadscore_internal.compacted_day(l.issued_at)
				ELSE date_trunc('hour', l.issued_at, 'UTC') END
			AND e.hour < l.expires_at
		) p
	), grouped AS (
		SELECT g.treated, count(l.treated) AS leads, coalesce(sum(l.redeemed), 0)::bigint AS redeemed, count(*) FILTER (WHERE l.occurrences > 0) AS buyers,
			coalesce(sum(l.value), 0) AS revenue, coalesce(sum(l.discount), 0) AS discount, coalesce(sum(l.unknown), 0)::bigint AS unknown
		FROM (VALUES (true), (false)) AS g (treated) LEFT JOIN bought l ON l.treated = g.treated
		GROUP BY g.treated
	)
	SELECT CASE WHEN g.treated THEN 'voucher' ELSE 'holdout' END, g.leads, g.redeemed, g.buyers,
		round(g.buyers / nullif(g.leads, 0)::numeric, 4), g.revenue, round(g.revenue / nullif(g.leads, 0), 6), g.discount, g.unknown,
		CASE WHEN g.treated THEN round(g.revenue - g.leads * (h.revenue / nullif(h.leads, 0)) - g.discount, 6) END
	FROM grouped g JOIN grouped h ON NOT h.treated
	ORDER BY g.treated DESC;
END
$$;

COMMENT ON FUNCTION leadscore.offer_result(text, text)
	IS 'what leads with a voucher bought while it was valid, beside those held out; earned: what the voucher brought, less what it cost';

-- Writers try the locks on what they write before they commit: a vacuum must not lock it to give its last pages back.
DO $$
DECLARE
	name regclass;
BEGIN
	FOREACH name IN ARRAY ARRAY['leadscore.lead_state', 'leadscore.segment_change', 'leadscore_internal.seen_profile', 'leadscore_internal.offer_slot', 'leadscore.voucher', 'leadscore_internal.offer_stop']::regclass[] LOOP
		EXECUTE format('ALTER TABLE %s SET (vacuum_truncate = off)', name);
	END LOOP;
END
$$;

SELECT pg_catalog.pg_extension_config_dump('leadscore.offer', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore_internal.offer_slot', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore_internal.offer_slot_seq', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore_internal.offer_money', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore_internal.offer_stop', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore_internal.voucher_order', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.voucher', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.voucher_voucher_id_seq', '');
