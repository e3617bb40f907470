-- identity.sql: anonymous visitors that become known, and people to forget
--
-- A change of an alias takes the rows of both names in lead_timeline, in the
-- order of their keys, before it moves anything; src/delta.c tells why writers
-- then end up right.

CREATE FUNCTION leadscore.check_lead_id(name text, argument text) RETURNS void
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF name IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = format('%s is NULL', argument),
			DETAIL = 'Leads and aliases have names.', HINT = 'Name a lead.';
	END IF;
	IF octet_length(name) NOT BETWEEN 1 AND 1024 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('%s is empty or too long', argument),
			DETAIL = format('It has %s bytes.', octet_length(name)), HINT = 'A lead is named by 1 to 1024 bytes.';
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore.check_lead_id(text, text) IS 'refuses what cannot name a lead';

CREATE FUNCTION leadscore.hold_timelines(VARIADIC lead_ids text[]) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	lead text;
BEGIN
	-- from here on nobody splits it, or puts it together
	LOCK TABLE ONLY leadscore.lead_timeline IN ROW EXCLUSIVE MODE;
	IF leadscore.table_of_lead(''::text) = 'leadscore.lead_timeline'::regclass THEN
		INSERT INTO leadscore.lead_timeline AS t (lead_id, timeline)
		SELECT l.lead_id, '{}'::leadscore.timeline
		FROM (SELECT DISTINCT unnest(lead_ids) AS lead_id) l
		ORDER BY l.lead_id COLLATE "C"
		ON CONFLICT (lead_id) DO UPDATE SET timeline = t.timeline;
		RETURN;
	END IF;
	FOR lead IN SELECT l.lead_id FROM (SELECT DISTINCT unnest(lead_ids) AS lead_id) l ORDER BY l.lead_id COLLATE "C" LOOP
		EXECUTE format('INSERT INTO %s AS t (lead_id, timeline) VALUES ($1, ''{}'')'
			' ON CONFLICT (lead_id) DO UPDATE SET timeline = t.timeline', leadscore.table_of_lead(lead)) USING lead;
	END LOOP;
END
$$;

COMMENT ON FUNCTION leadscore.hold_timelines(text[]) IS 'locks rows of lead_timeline, in the order of their keys, made where there are none';

CREATE FUNCTION leadscore.release_timelines(VARIADIC lead_ids text[]) RETURNS void
	LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
	DELETE FROM leadscore.lead_timeline t
	WHERE t.lead_id = ANY (lead_ids) AND t.timeline OPERATOR(leadscore.=) '{}'::leadscore.timeline
$$;

COMMENT ON FUNCTION leadscore.release_timelines(text[]) IS 'removes rows of lead_timeline that are empty';

CREATE FUNCTION leadscore.hold_names(VARIADIC names text[]) RETURNS void
	LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	-- identify(), unidentify() and forget() of the same names come one after the other
	SELECT leadscore.hold_lock('name ' || n.name)
	FROM (SELECT DISTINCT unnest(names) AS name ORDER BY 1) n
$$;

COMMENT ON FUNCTION leadscore.hold_names(text[]) IS 'keeps other changes of the same names waiting until the transaction ends';

CREATE FUNCTION leadscore.check_aliases_seen(VARIADIC names text[]) RETURNS void
	LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
	SELECT leadscore.check_seen('The aliases of one of the names'::text,
		'SELECT string_agg(format(''%L %L'', alias, lead_id), '','' ORDER BY alias)
			FROM leadscore.lead_alias WHERE alias = ANY ($1) OR lead_id = ANY ($1)'::text, names)
$$;

COMMENT ON FUNCTION leadscore.check_aliases_seen(text[]) IS 'a serialization failure, if aliases of the names have changed since the snapshot';

CREATE FUNCTION leadscore.identify(alias text, lead_id text) RETURNS text
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	target text := lead_id;
	known text;
BEGIN
	PERFORM leadscore.check_lead_id(alias, 'alias'::text);
	PERFORM leadscore.check_lead_id(lead_id, 'lead_id'::text);
	PERFORM leadscore.hold_names(VARIADIC ARRAY[alias, lead_id]);
	PERFORM leadscore.check_aliases_seen(VARIADIC ARRAY[alias, lead_id]);

	-- while we wait for a name, it can become an alias itself
	LOOP
		known := coalesce((SELECT a.lead_id FROM leadscore.lead_alias a WHERE a.alias = identify.lead_id), identify.lead_id);
		EXIT WHEN known = target;
		target := known;
		PERFORM leadscore.hold_names(VARIADIC ARRAY[target]);
		PERFORM leadscore.check_aliases_seen(VARIADIC ARRAY[target]);
	END LOOP;
	IF alias = target THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('"%s" cannot be an alias of itself', alias),
			DETAIL = CASE WHEN alias = lead_id THEN 'Alias and lead are the same.' ELSE format('"%s" is an alias of "%s".', lead_id, alias) END,
			HINT = 'An alias is another name of a lead.';
	END IF;
	SELECT a.lead_id INTO known FROM leadscore.lead_alias a WHERE a.alias = identify.alias;
	IF FOUND THEN
		IF known = target THEN
			RETURN target;
		END IF;
		RAISE EXCEPTION USING ERRCODE = 'unique_violation', MESSAGE = format('"%s" is already an alias of another lead', alias),
			DETAIL = format('It counts for "%s".', known), HINT = format('SELECT leadscore.unidentify(%L) first.', alias);
	END IF;

	IF target <> lead_id THEN
		RAISE NOTICE USING MESSAGE = format('"%s" is itself an alias: "%s" now counts for "%s"', lead_id, alias, target);
	END IF;

	PERFORM leadscore.hold_timelines(VARIADIC ARRAY[alias, target]);
	INSERT INTO leadscore.lead_alias (alias, lead_id) VALUES (alias, target);
	-- aliases of the alias go with it
	UPDATE leadscore.lead_alias a SET lead_id = target WHERE a.lead_id = identify.alias;
	UPDATE leadscore.lead_timeline t SET timeline = leadscore.add_delta(t.lead_id, t.timeline, o.timeline, true)
	FROM leadscore.lead_timeline o
	WHERE t.lead_id = target AND o.lead_id = identify.alias;
	DELETE FROM leadscore.lead_timeline t WHERE t.lead_id = identify.alias;
	PERFORM leadscore.see_leads(ARRAY[alias, target], 'identity'::text);
	PERFORM leadscore.release_timelines(VARIADIC ARRAY[target]);
	RETURN target;
END
$$;

COMMENT ON FUNCTION leadscore.identify(text, text) IS 'makes a name an alias of a lead: its past and future events count for the lead';

CREATE FUNCTION leadscore.unidentify(alias text) RETURNS text
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	known text;
	own leadscore.timeline;
BEGIN
	PERFORM leadscore.check_lead_id(alias, 'alias'::text);
	-- what a timeline lacks stays with the lead, where a rebuild that is at work would not look for it
	PERFORM leadscore.hold_rebuild(shared => true);
	PERFORM leadscore.hold_names(VARIADIC ARRAY[alias]);
	PERFORM leadscore.check_aliases_seen(VARIADIC ARRAY[alias]);
	SELECT a.lead_id INTO known FROM leadscore.lead_alias a WHERE a.alias = unidentify.alias;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('"%s" is not an alias', alias),
			DETAIL = 'There is no such row in leadscore.lead_alias.', HINT = 'Its events count for itself.';
	END IF;

	PERFORM leadscore.hold_sources();
	PERFORM leadscore.hold_timelines(VARIADIC ARRAY[alias, known]);
	-- the events of the alias itself, without what is pending: that follows the alias by itself
	own := leadscore.difference(
		(SELECT t.timeline FROM leadscore.source_timelines(ARRAY[alias], NULL::jsonb, false) t),
		(SELECT leadscore.stored_sum(p.delta) FROM leadscore.pending_delta p WHERE p.lead_id = unidentify.alias));
	DELETE FROM leadscore.lead_alias a WHERE a.alias = unidentify.alias;
	UPDATE leadscore.lead_timeline t
	SET timeline = CASE t.lead_id WHEN known THEN leadscore.difference(t.timeline, own) ELSE leadscore.add_delta(t.lead_id, t.timeline, own, true) END
	WHERE t.lead_id IN (known, unidentify.alias);
	PERFORM leadscore.see_leads(ARRAY[alias, known], 'identity'::text);
	PERFORM leadscore.release_timelines(VARIADIC ARRAY[known, alias]);
	RETURN known;
END
$$;

COMMENT ON FUNCTION leadscore.unidentify(text) IS 'gives an alias its events back: they count for itself again';

CREATE FUNCTION leadscore.forget(lead_id text, tracked boolean DEFAULT false)
	RETURNS TABLE (source regclass, removed bigint, remaining bigint)
	-- the text of a lead's column is to be what the triggers read: see pin_settings() in src/source.c
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO, MDY' SET IntervalStyle = 'postgres'
	SET extra_float_digits = 1 SET bytea_output = 'hex' SET lc_monetary = 'C' SET quote_all_identifiers = off
AS $$
#variable_conflict use_variable
DECLARE
	lead text;
	known text;
	names text[];
	name text;
	rows record;
	timelines bigint;
	leads bigint;
BEGIN
	PERFORM leadscore.check_lead_id(lead_id, 'lead_id'::text);
	-- a pass of derive() that has read these events already would bring back what follows from them
	PERFORM leadscore.hold_derivations();
	lead := coalesce((SELECT a.lead_id FROM leadscore.lead_alias a WHERE a.alias = forget.lead_id), lead_id);
	PERFORM leadscore.hold_names(VARIADIC ARRAY[lead, lead_id]);
	-- while we wait for a name, it can become an alias
	LOOP
		known := coalesce((SELECT a.lead_id FROM leadscore.lead_alias a WHERE a.alias = forget.lead_id), lead_id);
		EXIT WHEN known = lead;
		lead := known;
		PERFORM leadscore.hold_names(VARIADIC ARRAY[lead]);
	END LOOP;
	names := ARRAY(SELECT a.alias FROM leadscore.lead_alias a WHERE a.lead_id = lead) || lead;
	SELECT count(*) INTO timelines FROM leadscore.lead_timeline t WHERE t.lead_id = lead;
	SELECT count(*) INTO leads FROM leadscore.lead l WHERE l.lead_id = ANY (names);

	-- customers last: other tables may refer to them
	FOR rows IN SELECT s.source, s.lead_id AS key, max(s.feeds) = 'timeline' AS first FROM leadscore.source s
			GROUP BY 1, 2 ORDER BY 3 DESC, 1 LOOP
		source := rows.source;
		removed := 0;
		IF NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = rows.source AND a.attname::text = rows.key AND a.attnum > 0 AND NOT a.attisdropped) THEN
			RAISE WARNING USING MESSAGE = format('the rows of %s stay as they are', rows.source),
				DETAIL = format('There is no column "%s" any more, which was to name the lead.', rows.key),
				HINT = format('Look there yourself; SELECT leadscore.untrack(%L), then track() it again.', rows.source);
			remaining := NULL;
			RETURN NEXT;
			CONTINUE;
		END IF;
		IF tracked OR rows.source = 'leadscore.event'::regclass THEN
			EXECUTE format('DELETE FROM %s WHERE %s = ANY ($1)', rows.source, leadscore.column_text(rows.source, rows.key)) USING names;
			GET DIAGNOSTICS removed = ROW_COUNT;
		END IF;
		remaining := leadscore.count_rows(rows.source, jsonb_build_object('lead_id', rows.key), names);
		RETURN NEXT;
	END LOOP;

	-- what is left elsewhere is derived from again
	source := 'leadscore.derived_event';
	DELETE FROM leadscore.derived_event d WHERE d.lead_id = ANY (names);
	GET DIAGNOSTICS removed = ROW_COUNT;
	remaining := 0;
	IF removed > 0 THEN
		RETURN NEXT;
	END IF;
	DELETE FROM leadscore.derivation_due d WHERE d.lead_id = ANY (names);
	INSERT INTO leadscore.changed_lead (lead_id) SELECT unnest(names) WHERE pg_relation_size('leadscore.derivation') > 0;

	-- the name stays, for CRMs that have yet to be told
	source := 'leadscore.crm_state';
	PERFORM leadscore.hold_crm();
	UPDATE leadscore.crm_state s
	SET score = NULL, grade = NULL, segment = NULL, stage = NULL, probability = NULL, reason_1 = NULL, reason_2 = NULL, reason_3 = NULL,
		deleted = true, change_id = nextval('leadscore.crm_change_id_seq'), changed_at = clock_timestamp()
	WHERE s.lead_id = ANY (names);
	GET DIAGNOSTICS remaining = ROW_COUNT;
	removed := 0;
	IF remaining > 0 THEN
		RETURN NEXT;
	END IF;

	source := 'leadscore.lead_alias';
	removed := cardinality(names) - 1;
	remaining := 0;
	FOREACH name IN ARRAY names LOOP
		IF name <> lead THEN
			PERFORM leadscore.unidentify(name);
		END IF;
	END LOOP;
	RETURN NEXT;

	source := 'leadscore.lead';
	DELETE FROM leadscore.lead l WHERE l.lead_id = ANY (names);
	removed := leads;
	RETURN NEXT;

	-- timelines follow their events: what remains of them is what remains there
	PERFORM leadscore.fold(NULL::bigint);
	source := 'leadscore.lead_timeline';
	SELECT count(*) INTO remaining FROM leadscore.lead_timeline t WHERE t.lead_id = ANY (names);
	removed := greatest(timelines - remaining, 0);
	RETURN NEXT;

	-- whoever still has events is still a lead, in a segment
	source := 'leadscore.segment_change';
	IF remaining = 0 THEN
		DELETE FROM leadscore.lead_state s WHERE s.lead_id = ANY (names);
		DELETE FROM leadscore.segment_change c WHERE c.lead_id = ANY (names);
		GET DIAGNOSTICS removed = ROW_COUNT;
		RETURN NEXT;
		-- what has been offered and earned stays true, but nobody's
		source := 'leadscore.voucher';
		UPDATE leadscore.voucher v SET lead_id = NULL, order_ref = NULL WHERE v.lead_id = ANY (names);
		GET DIAGNOSTICS removed = ROW_COUNT;
		RETURN NEXT;
	ELSE
		removed := 0;
		SELECT count(*) INTO remaining FROM leadscore.segment_change c WHERE c.lead_id = ANY (names);
		RETURN NEXT;
		source := 'leadscore.voucher';
		SELECT count(*) INTO remaining FROM leadscore.voucher v WHERE v.lead_id = ANY (names);
		RETURN NEXT;
	END IF;

	source := 'leadscore.lead_segment';
	removed := 0;
	remaining := 0;
	-- (before its first refresh it cannot be read)
	IF (SELECT c.relispopulated FROM pg_class c WHERE c.oid = 'leadscore.lead_segment'::regclass) THEN
		SELECT count(*) INTO remaining FROM leadscore.lead_segment g WHERE g.lead_id = ANY (names);
	END IF;
	RETURN NEXT;
END
$$;

COMMENT ON FUNCTION leadscore.forget(text, boolean)
	IS 'removes a person, under all names, from our tables and, where asked, from tracked ones, and says how many rows';
