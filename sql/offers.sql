-- offers.sql: vouchers for leads that enter a segment, and what they earn
--
-- src/offer.c issues them, with the change that a watched model's log gets.

CREATE FUNCTION leadscore.voucher_code() RETURNS text
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE;

COMMENT ON FUNCTION leadscore.voucher_code() IS 'a new code, of 80 random bits';

CREATE FUNCTION leadscore.is_held_out(offer text, lead_id text, holdout_share numeric) RETURNS boolean
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
	-- 32 bits of a hash that is the same on every server
	SELECT ('x' || substr(encode(sha256(leadscore.utf8(length(offer) || ' ' || offer || lead_id)), 'hex'), 1, 8))::bit(32)::bigint
		< holdout_share * 4294967296;
END;

COMMENT ON FUNCTION leadscore.is_held_out(text, text, numeric) IS 'whether an offer is kept from a lead, to measure what it earns: the same for ever';

CREATE TABLE leadscore.offer (
	offer text PRIMARY KEY
		CONSTRAINT offer_not_empty CHECK ((offer <> '') IS NOT FALSE OR leadscore.refuse(
			'offer name is empty', '""', 'Name the offer, such as "spring".')),
	model text NOT NULL,
	segment text NOT NULL,
	kind text NOT NULL DEFAULT 'percent'
		CONSTRAINT offer_kind_known CHECK ((kind IN ('percent', 'amount', 'shipping', 'gift')) IS NOT FALSE OR leadscore.refuse(
			'offer kind is unknown', kind, 'Write percent, amount, shipping or gift.')),
	discount numeric NOT NULL
		CONSTRAINT offer_discount_in_range CHECK ((discount >= 0 AND discount < 'Infinity' AND (kind <> 'percent' OR discount <= 100)) IS NOT FALSE OR leadscore.refuse(
			'offer discount is out of range', discount::text, 'Write percent from 0 to 100, or what a voucher costs the shop, from 0.')),
	valid_for interval NOT NULL
		CONSTRAINT offer_valid_for_positive CHECK ((extract(epoch FROM valid_for) > 0 AND extract(epoch FROM valid_for) <= 1e12) IS NOT FALSE OR leadscore.refuse(
			'offer valid_for is not above zero, or too long', valid_for::text, 'Write a duration such as 7 days.')),
	budget integer
		CONSTRAINT offer_budget_in_range CHECK ((budget BETWEEN 0 AND 10000000) IS NOT FALSE OR leadscore.refuse(
			'offer budget is out of range', budget::text, 'Write the most vouchers that may be open or redeemed, 0 to 10 million, or NULL for no limit.')),
	holdout_share numeric NOT NULL DEFAULT 0
		CONSTRAINT offer_holdout_share_in_range CHECK ((holdout_share BETWEEN 0 AND 1) IS NOT FALSE OR leadscore.refuse(
			'offer holdout_share is out of range', holdout_share::text, 'Write a share from 0 to 1, such as 0.1.')),
	starts_at timestamptz NOT NULL DEFAULT '-infinity',
	ends_at timestamptz,
	CONSTRAINT offer_starts_before_it_ends CHECK ((starts_at < ends_at) IS NOT FALSE OR leadscore.refuse(
		'offer starts_at is not before ends_at', format('starts_at %s, ends_at %s', starts_at, ends_at), 'Swap the two.'))
);

COMMENT ON TABLE leadscore.offer IS 'what a lead gets when it enters a segment of a watched model: one voucher';
COMMENT ON COLUMN leadscore.offer.offer IS 'name';
COMMENT ON COLUMN leadscore.offer.model IS 'the model';
COMMENT ON COLUMN leadscore.offer.segment IS 'the segment that is entered';
COMMENT ON COLUMN leadscore.offer.kind IS 'percent of the order, an amount of money, shipping or a gift';
COMMENT ON COLUMN leadscore.offer.discount IS 'percent, or what a redeemed voucher costs the shop';
COMMENT ON COLUMN leadscore.offer.valid_for IS 'how long a voucher can be redeemed';
COMMENT ON COLUMN leadscore.offer.budget IS 'the most vouchers that may be open or redeemed; NULL: no limit';
COMMENT ON COLUMN leadscore.offer.holdout_share IS 'the share of leads that get none, to compare with: 0 to 1';
COMMENT ON COLUMN leadscore.offer.starts_at IS 'from when on vouchers are issued';
COMMENT ON COLUMN leadscore.offer.ends_at IS 'until when vouchers are issued; NULL: no end';

CREATE TRIGGER watching_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON leadscore.offer
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.watching_changed();
ALTER TABLE leadscore.offer ENABLE ALWAYS TRIGGER watching_changed;

-- What is left of budgets. A slot below zero is one that a lowered budget has been overspent by.
CREATE TABLE leadscore.offer_slot (
	offer text,
	slot bigint,
	PRIMARY KEY (offer, slot)
);

COMMENT ON TABLE leadscore.offer_slot IS 'what is left of budgets: a row for each voucher that is still to be had';
COMMENT ON COLUMN leadscore.offer_slot.offer IS 'the offer';
COMMENT ON COLUMN leadscore.offer_slot.slot IS 'number; below zero: a voucher that was issued beyond the budget of now';

CREATE SEQUENCE leadscore.offer_slot_seq;

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
	UNIQUE (offer, lead_id)
);

CREATE INDEX voucher_lead_id_idx ON leadscore.voucher (lead_id);
CREATE INDEX voucher_open_idx ON leadscore.voucher (expires_at) WHERE redeemed_at IS NULL AND NOT expired;

COMMENT ON TABLE leadscore.voucher IS 'what leads have been offered: a code, or nothing, for comparison';
COMMENT ON COLUMN leadscore.voucher.voucher_id IS 'number';
COMMENT ON COLUMN leadscore.voucher.offer IS 'the offer';
COMMENT ON COLUMN leadscore.voucher.kind IS 'the offer''s when it was issued';
COMMENT ON COLUMN leadscore.voucher.terms IS 'the offer''s discount when it was issued: percent, or an amount';
COMMENT ON COLUMN leadscore.voucher.lead_id IS 'the lead; NULL: forgotten';
COMMENT ON COLUMN leadscore.voucher.code IS 'what the lead shows to redeem it; NULL: the lead is held out';
COMMENT ON COLUMN leadscore.voucher.issued_at IS 'when the lead entered the segment';
COMMENT ON COLUMN leadscore.voucher.expires_at IS 'until when it can be redeemed, or would have been';
COMMENT ON COLUMN leadscore.voucher.expired IS 'whether expire_vouchers() has given it back to the budget';
COMMENT ON COLUMN leadscore.voucher.redeemed_at IS 'when it was redeemed; NULL: it was not';
COMMENT ON COLUMN leadscore.voucher.order_ref IS 'the order that it was redeemed for';
COMMENT ON COLUMN leadscore.voucher.discount IS 'what it has cost the shop; NULL: not known, for redeem() was not told the order''s value';

-- what src/offer.c issues; queries without SET, as those of transitions.sql

CREATE FUNCTION leadscore.offers_entered(models text[], lead_ids text[], from_segments text[], to_segments text[], at timestamptz)
	RETURNS TABLE (offer text, kind text, discount numeric, budget integer, valid_for interval, lead_id text, holdout boolean)
	LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT o.offer, o.kind, o.discount, o.budget, o.valid_for, c.lead_id, leadscore.is_held_out(o.offer, c.lead_id, o.holdout_share)
	FROM ROWS FROM (unnest(models), unnest(lead_ids), unnest(from_segments), unnest(to_segments)) AS c (model, lead_id, "from", "to")
	-- whoever is new to a model that has just been watched was there before
	JOIN leadscore.watched_model w ON w.model = c.model AND w.active AND (w.seen OR c."from" IS NOT NULL)
	JOIN leadscore.offer o ON o.model = c.model AND o.segment = c."to" AND at >= o.starts_at AND (o.ends_at IS NULL OR at < o.ends_at)
	WHERE NOT EXISTS (SELECT FROM leadscore.voucher v WHERE v.offer = o.offer
		AND (v.lead_id = c.lead_id OR v.lead_id = ANY (ARRAY(SELECT a.alias FROM leadscore.lead_alias a WHERE a.lead_id = c.lead_id))));
END;

COMMENT ON FUNCTION leadscore.offers_entered(text[], text[], text[], text[], timestamptz) IS 'what leads are offered that have changed their segment';

CREATE FUNCTION leadscore.slots_wanted(models text[], lead_ids text[], from_segments text[], to_segments text[], at timestamptz)
	RETURNS TABLE (offer text, wanted bigint)
	LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT e.offer, count(*) FILTER (WHERE NOT e.holdout)
	FROM leadscore.offers_entered(models, lead_ids, from_segments, to_segments, at) e
	WHERE e.budget IS NOT NULL
	GROUP BY e.offer;
END;

COMMENT ON FUNCTION leadscore.slots_wanted(text[], text[], text[], text[], timestamptz) IS 'how much of offers'' budgets leads would take that have changed their segment';

CREATE FUNCTION leadscore.vouchers_to_issue(models text[], lead_ids text[], from_segments text[], to_segments text[], at timestamptz, taken text[])
	RETURNS TABLE (offer text, kind text, terms numeric, lead_id text, holdout boolean, expires_at timestamptz)
	LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT e.offer, e.kind, e.discount, e.lead_id, e.holdout, at + e.valid_for
	FROM (
		SELECT n.*, row_number() OVER (PARTITION BY n.offer, n.holdout ORDER BY n.lead_id) AS n
		FROM leadscore.offers_entered(models, lead_ids, from_segments, to_segments, at) n
	) e
	LEFT JOIN (SELECT t.offer, count(*) AS n FROM unnest(taken) AS t (offer) GROUP BY t.offer) g ON g.offer = e.offer
	WHERE e.budget IS NULL OR CASE
		-- whoever is held out takes nothing, but from a budget that is not used up
		WHEN e.holdout THEN g.n IS NOT NULL OR EXISTS (SELECT FROM leadscore.offer_slot s WHERE s.offer = e.offer AND s.slot > 0)
		ELSE e.n <= g.n END;
END;

COMMENT ON FUNCTION leadscore.vouchers_to_issue(text[], text[], text[], text[], timestamptz, text[])
	IS 'vouchers for leads that have changed their segment; taken: the offer of each slot that was taken for them';

-- money, as timelines have it

CREATE FUNCTION leadscore.money(amount numeric, what text) RETURNS numeric
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

COMMENT ON FUNCTION leadscore.money(numeric, text) IS 'an amount of money with at most six decimals: what has more is rounded, and said';

-- offers that are made, changed and deleted

CREATE FUNCTION leadscore.check_offer() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF leadscore.in_restore() THEN
		RETURN NEW;
	END IF;
	IF TG_OP = 'DELETE' THEN
		IF EXISTS (SELECT FROM leadscore.voucher v WHERE v.offer = OLD.offer) THEN
			RAISE EXCEPTION USING ERRCODE = 'foreign_key_violation', MESSAGE = format('offer "%s" has vouchers', OLD.offer),
				DETAIL = 'They could not be redeemed any more, nor their result be measured.',
				HINT = 'UPDATE leadscore.offer SET ends_at = now() ends it.';
		END IF;
		RETURN OLD;
	END IF;
	IF TG_OP = 'UPDATE' AND NEW.offer <> OLD.offer THEN
		RAISE EXCEPTION USING ERRCODE = 'feature_not_supported', MESSAGE = format('offer "%s" cannot be renamed', OLD.offer),
			DETAIL = 'Its name decides who is held out.', HINT = 'End it with ends_at, and make another.';
	END IF;
	IF (TG_OP = 'INSERT' OR NEW.model <> OLD.model OR NEW.segment <> OLD.segment)
		AND NOT EXISTS (SELECT FROM leadscore.segment s WHERE s.model = NEW.model AND s.segment = NEW.segment) THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object',
			MESSAGE = format('model "%s" has no segment "%s"', NEW.model, NEW.segment),
			DETAIL = format('The offer "%s" names it.', NEW.offer),
			HINT = leadscore.known('segments'::text, ARRAY(SELECT format('%s (%s)', s.segment, s.model) FROM leadscore.segment s ORDER BY s.model, s.position));
	END IF;
	NEW.discount := leadscore.money(NEW.discount, 'the discount'::text);
	RETURN NEW;
END
$$;

COMMENT ON FUNCTION leadscore.check_offer() IS 'trigger: an offer has a segment, and stays if it has vouchers';

CREATE TRIGGER check_offer BEFORE INSERT OR UPDATE OR DELETE ON leadscore.offer
	FOR EACH ROW EXECUTE FUNCTION leadscore.check_offer();

CREATE FUNCTION leadscore.fill_slots(name text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	budget CONSTANT integer := (SELECT o.budget FROM leadscore.offer o WHERE o.offer = name);
	spent bigint;
BEGIN
	-- nobody issues or gives back while we count
	LOCK TABLE leadscore.offer_slot IN SHARE ROW EXCLUSIVE MODE;
	SELECT count(*) INTO spent FROM leadscore.voucher v WHERE v.offer = name AND v.code IS NOT NULL AND NOT v.expired;
	DELETE FROM leadscore.offer_slot s WHERE s.offer = name;
	INSERT INTO leadscore.offer_slot (offer, slot)
	SELECT name, sign(budget - spent) * nextval('leadscore.offer_slot_seq') FROM generate_series(1, abs(budget - spent));
END
$$;

COMMENT ON FUNCTION leadscore.fill_slots(text) IS 'makes what is left of an offer''s budget anew';

CREATE FUNCTION leadscore.offer_changed() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM leadscore.check_trigger(TG_RELID, 'leadscore.offer'::regclass);
	IF NOT leadscore.in_restore() THEN
		IF TG_OP = 'UPDATE' THEN
			PERFORM leadscore.check_read_committed('A change of a budget'::text, 'overlooked'::text);
		END IF;
		PERFORM leadscore.fill_slots(CASE TG_OP WHEN 'DELETE' THEN OLD.offer ELSE NEW.offer END);
	END IF;
	RETURN NULL;
END
$$;

COMMENT ON FUNCTION leadscore.offer_changed() IS 'trigger: an offer''s slots follow its budget';

CREATE TRIGGER offer_made AFTER INSERT OR DELETE ON leadscore.offer
	FOR EACH ROW EXECUTE FUNCTION leadscore.offer_changed();
CREATE TRIGGER offer_changed AFTER UPDATE ON leadscore.offer
	FOR EACH ROW WHEN (OLD.budget IS DISTINCT FROM NEW.budget) EXECUTE FUNCTION leadscore.offer_changed();

CREATE FUNCTION leadscore.offers_renamed() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM leadscore.check_trigger(TG_RELID, 'leadscore.model'::regclass);
	UPDATE leadscore.offer o SET model = NEW.model WHERE o.model = OLD.model;
	RETURN NULL;
END
$$;

COMMENT ON FUNCTION leadscore.offers_renamed() IS 'trigger: offers follow their model to its new name';

-- by its name after the triggers of foreign keys, which rename the segments
CREATE TRIGGER offers_renamed AFTER UPDATE OF model ON leadscore.model
	FOR EACH ROW WHEN (OLD.model <> NEW.model) EXECUTE FUNCTION leadscore.offers_renamed();

-- redeem, expire

CREATE FUNCTION leadscore.names_of(lead_id text) RETURNS text[]
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT ARRAY(SELECT a.alias FROM leadscore.lead_alias a WHERE a.lead_id = l.lead) || l.lead
	FROM (SELECT coalesce((SELECT a.lead_id FROM leadscore.lead_alias a WHERE a.alias = names_of.lead_id), names_of.lead_id) AS lead) l
$$;

COMMENT ON FUNCTION leadscore.names_of(text) IS 'all names of a lead, by any of them';

CREATE FUNCTION leadscore.redeem(code text, lead_id text, order_ref text, order_value numeric DEFAULT NULL,
	OUT offer text, OUT kind text, OUT discount numeric)
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	voucher leadscore.voucher;
	names text[];
	amount CONSTANT numeric := leadscore.money(order_value, 'the value of the order'::text);
BEGIN
	IF redeem.code IS NULL OR redeem.lead_id IS NULL OR redeem.order_ref IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'redeem() needs a code, a lead and an order',
			DETAIL = 'A voucher is for one lead, and for one order.', HINT = 'For example: SELECT leadscore.redeem(''7QX2-...'', ''anna'', ''order 17'').';
	END IF;
	IF amount < 0 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'the value of the order is negative',
			DETAIL = format('It is %s.', amount), HINT = 'Pass what the order is worth before the discount.';
	END IF;
	SELECT v.* INTO voucher FROM leadscore.voucher v WHERE v.code = upper(redeem.code);
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = 'there is no such voucher',
			DETAIL = format('The code is "%s".', left(redeem.code, 40)), HINT = 'Codes look like 7QX2-0K9M-4DPA-ZZ1C.';
	END IF;
	-- another name of the lead will do, but no other lead's
	names := leadscore.names_of(redeem.lead_id);
	IF (voucher.lead_id = ANY (names)) IS NOT TRUE THEN
		RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege', MESSAGE = 'the voucher belongs to another lead',
			DETAIL = format('It is not for "%s".', left(redeem.lead_id, 100)), HINT = 'A voucher cannot be passed on.';
	END IF;
	-- two at once: the second waits here until the first has committed; of visitors that were found out to be one lead, each may have got one
	PERFORM FROM leadscore.voucher v WHERE v.offer = voucher.offer AND v.lead_id = ANY (names) ORDER BY v.voucher_id FOR UPDATE;
	SELECT v.* INTO STRICT voucher FROM leadscore.voucher v WHERE v.voucher_id = voucher.voucher_id;
	IF voucher.redeemed_at IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'unique_violation', MESSAGE = 'the voucher has been redeemed already',
			DETAIL = format('At %s, for "%s".', voucher.redeemed_at, left(voucher.order_ref, 100)), HINT = 'A voucher can be redeemed once.';
	END IF;
	IF EXISTS (SELECT FROM leadscore.voucher v WHERE v.offer = voucher.offer AND v.lead_id = ANY (names) AND v.redeemed_at IS NOT NULL) THEN
		RAISE EXCEPTION USING ERRCODE = 'unique_violation', MESSAGE = 'the lead has redeemed a voucher of this offer already',
			DETAIL = format('It got another as "%s", before it was known by one name.', left(voucher.lead_id, 100)), HINT = 'A lead can redeem one voucher of an offer.';
	END IF;
	IF voucher.expired OR voucher.expires_at <= clock_timestamp() THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = 'the voucher has expired',
			DETAIL = format('It was valid until %s.', voucher.expires_at), HINT = 'A voucher is valid for as long as the offer says.';
	END IF;

	offer := voucher.offer;
	kind := voucher.kind;
	discount := CASE WHEN kind = 'percent' THEN round(amount * voucher.terms / 100, 6)
		WHEN kind = 'amount' THEN least(voucher.terms, amount) ELSE voucher.terms END;
	UPDATE leadscore.voucher v SET redeemed_at = clock_timestamp(), order_ref = redeem.order_ref, discount = redeem.discount
	WHERE v.voucher_id = voucher.voucher_id;
END
$$;

COMMENT ON FUNCTION leadscore.redeem(text, text, text, numeric)
	IS 'settles a voucher for a lead''s order, once, and says what it is worth; NULL: percent of a value that is not known';

CREATE FUNCTION leadscore.expire_vouchers() RETURNS bigint
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
	-- whoever changes a budget has ended, and his budget is seen, or waits for us
	LOCK TABLE leadscore.offer_slot IN ROW EXCLUSIVE MODE;
	WITH late AS MATERIALIZED (
		SELECT v.voucher_id FROM leadscore.voucher v
		WHERE v.redeemed_at IS NULL AND NOT v.expired AND v.expires_at <= clock_timestamp()
		FOR UPDATE SKIP LOCKED
	), gone AS (
		UPDATE leadscore.voucher v SET expired = true FROM late l WHERE v.voucher_id = l.voucher_id
		RETURNING v.offer, v.code
	), back AS MATERIALIZED (
		SELECT g.offer, count(*) AS n
		FROM gone g JOIN leadscore.offer o ON o.offer = g.offer
		WHERE g.code IS NOT NULL AND o.budget IS NOT NULL
		GROUP BY g.offer
	), debt AS MATERIALIZED (
		-- what a lowered budget was overspent by is made good first
		SELECT b.offer, s.slot
		FROM back b CROSS JOIN LATERAL (
			SELECT s.slot FROM leadscore.offer_slot s WHERE s.offer = b.offer AND s.slot < 0
			ORDER BY s.slot LIMIT b.n FOR UPDATE SKIP LOCKED) s
	), paid AS (
		DELETE FROM leadscore.offer_slot s USING debt d WHERE s.offer = d.offer AND s.slot = d.slot RETURNING s.offer
	), filled AS (
		INSERT INTO leadscore.offer_slot (offer, slot)
		SELECT b.offer, nextval('leadscore.offer_slot_seq')
		FROM back b CROSS JOIN LATERAL generate_series(1, b.n - (SELECT count(*) FROM paid p WHERE p.offer = b.offer))
	)
	SELECT count(*) FILTER (WHERE g.code IS NOT NULL) FROM gone g;
$$;

COMMENT ON FUNCTION leadscore.expire_vouchers() IS 'gives vouchers that nobody has redeemed in time back to the budget, and says how many';

-- what an offer has earned
--
-- Both groups entered the same segment, and chance has parted them: what those
-- with a voucher have spent more than those without is what the voucher did.

CREATE FUNCTION leadscore.offer_result(offer text, signal text)
	RETURNS TABLE ("group" text, leads bigint, redeemed bigint, buyers bigint, conversion_rate numeric, revenue numeric,
		revenue_per_lead numeric, discount numeric, unknown_discounts bigint, earned numeric)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	number integer;
BEGIN
	IF NOT EXISTS (SELECT FROM leadscore.offer o WHERE o.offer = offer_result.offer) THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('offer "%s" does not exist', offer),
			DETAIL = 'There is no such row in leadscore.offer.',
			HINT = leadscore.known('offers'::text, ARRAY(SELECT o.offer FROM leadscore.offer o ORDER BY 1));
	END IF;
	SELECT s.signal_id INTO number FROM leadscore.signal s WHERE s.signal = offer_result.signal AND s.subject = 'event';
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('event signal "%s" does not exist', signal),
			DETAIL = 'It tells what is a purchase, and its value what was paid.',
			HINT = leadscore.known('event signals'::text, ARRAY(SELECT s.signal FROM leadscore.signal s WHERE s.subject = 'event' ORDER BY 1));
	END IF;
	RETURN QUERY
	WITH lead AS (
		-- of those who are forgotten, nobody knows what they bought; visitors that are known by one name now are one lead, and no witness if in both groups
		SELECT coalesce(a.lead_id, v.lead_id) AS lead_id, bool_and(v.code IS NOT NULL) AS treated, min(v.issued_at) AS issued_at, max(v.expires_at) AS expires_at,
			count(v.redeemed_at) AS redeemed, coalesce(sum(v.discount), 0) AS discount, count(*) FILTER (WHERE v.redeemed_at IS NOT NULL AND v.discount IS NULL) AS unknown
		FROM leadscore.voucher v LEFT JOIN leadscore.lead_alias a ON a.alias = v.lead_id
		WHERE v.offer = offer_result.offer AND v.lead_id IS NOT NULL
		GROUP BY 1
		HAVING bool_and(v.code IS NOT NULL) = bool_or(v.code IS NOT NULL)
	), bought AS (
		SELECT l.*, p.occurrences, p.value
		FROM lead l
		CROSS JOIN LATERAL (
			SELECT coalesce(sum(e.occurrences), 0) AS occurrences, coalesce(sum(e.value), 0) AS value
			FROM leadscore.current_timeline t CROSS JOIN LATERAL leadscore.timeline_entries(t.timeline) e
			WHERE t.lead_id = l.lead_id AND e.signal_id = number
			-- of days that are compacted, hours are not known any more
			AND e.hour >= date_trunc(CASE WHEN l.issued_at < (SELECT c.compacted_before FROM leadscore.compaction c) THEN 'day' ELSE 'hour' END, l.issued_at, 'UTC')
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

SELECT pg_catalog.pg_extension_config_dump('leadscore.offer', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.offer_slot', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.offer_slot_seq', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.voucher', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.voucher_voucher_id_seq', '');
