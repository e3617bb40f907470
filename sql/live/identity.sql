-- identity.sql: anonymous visitors that become known, and people to forget
--
-- A change of an alias moves no lead's row. It takes the alias's own row away, and
-- leaves what is to be moved under the names; src/live/identity.c tells about locks and
-- about changes that wait, src/live/delta.c and src/live/fold.c why writers and those who
-- fold then end up right.

CREATE FUNCTION leadscore_internal.check_lead_id(name text, argument text) RETURNS void
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

COMMENT ON FUNCTION leadscore_internal.check_lead_id(text, text) IS 'refuses what cannot name a lead';

-- locks (src/live/identity.c)

CREATE FUNCTION leadscore_internal.wait_for_names(exclusive text, shared text) RETURNS void
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE;

CREATE FUNCTION leadscore_internal.try_names(exclusive text, shared text) RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE;

CREATE FUNCTION leadscore_internal.try_aliases(lead_id text) RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;

CREATE FUNCTION leadscore_internal.try_leads(names text[]) RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;

CREATE FUNCTION leadscore_internal.line_is_free(names text[]) RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;

COMMENT ON FUNCTION leadscore_internal.wait_for_names(text, text) IS 'locks a name exclusively and another shared; waits for them only where nobody can be waiting for us';
COMMENT ON FUNCTION leadscore_internal.try_names(text, text) IS 'locks a name exclusively and another shared, if they are free';
COMMENT ON FUNCTION leadscore_internal.try_aliases(text) IS 'locks all aliases of a lead, if they are free';
COMMENT ON FUNCTION leadscore_internal.try_leads(text[]) IS 'takes the rows of lead_timeline of some names, if they are free';
COMMENT ON FUNCTION leadscore_internal.line_is_free(text[]) IS 'whether no open transaction has left a change of some names waiting';

-- names as they are now

CREATE FUNCTION leadscore_internal.lead_now(name text) RETURNS text
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;

CREATE FUNCTION leadscore_internal.is_tracked(name text) RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;

CREATE FUNCTION leadscore_internal.has_edges(name text) RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;

CREATE FUNCTION leadscore_internal.has_aliases(name text) RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;

CREATE FUNCTION leadscore_internal.names_are_seen(VARIADIC names text[]) RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;

CREATE FUNCTION leadscore_internal.aliases_are_seen(name text) RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;

COMMENT ON FUNCTION leadscore_internal.lead_now(text) IS 'the lead that a name is an alias of, whatever the snapshot';
COMMENT ON FUNCTION leadscore_internal.is_tracked(text) IS 'whether a name is an alias because a tracked table says so, whatever the snapshot';
COMMENT ON FUNCTION leadscore_internal.has_edges(text) IS 'whether alias_edge has an edge of a name, or one that leads to it, whatever the snapshot';
COMMENT ON FUNCTION leadscore_internal.has_aliases(text) IS 'whether a name has aliases, whatever the snapshot';
COMMENT ON FUNCTION leadscore_internal.names_are_seen(text[]) IS 'whether the snapshot sees whose aliases some names are, and the changes of them that wait, as they are now';
COMMENT ON FUNCTION leadscore_internal.aliases_are_seen(text) IS 'whether the snapshot sees the aliases of a name, and the changes that wait to make some, as they are now';

-- changes that wait

CREATE FUNCTION leadscore_internal.append_change(alias text, lead_id text) RETURNS void
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE;

CREATE FUNCTION leadscore_internal.remove_change(change_id bigint, alias text) RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;

CREATE FUNCTION leadscore_internal.change_waits(alias text, lead_id text, before bigint) RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE;

CREATE FUNCTION leadscore_internal.waiting_lead(alias text) RETURNS text
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;

CREATE FUNCTION leadscore_internal.waiting_changes(first bigint, most bigint)
	RETURNS TABLE (change_id bigint, alias text, lead_id text, look_again boolean)
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE ROWS 100;

CREATE FUNCTION leadscore_internal.is_first_change() RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE;

CREATE FUNCTION leadscore_internal.statement_is_running() RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE;

COMMENT ON FUNCTION leadscore_internal.append_change(text, text) IS 'leaves a change of names in pending_identity';
COMMENT ON FUNCTION leadscore_internal.remove_change(bigint, text) IS 'takes a change of names that is carried out from pending_identity; false: it is not there any more';
COMMENT ON FUNCTION leadscore_internal.change_waits(text, text, bigint) IS 'whether a change waits that must come before another one';
COMMENT ON FUNCTION leadscore_internal.waiting_lead(text) IS 'the lead of the last change of an alias that waits';
COMMENT ON FUNCTION leadscore_internal.waiting_changes(bigint, bigint) IS 'the changes of names that wait, from a number on, at most so many';
COMMENT ON FUNCTION leadscore_internal.is_first_change() IS 'whether the transaction has not looked yet at the changes that wait';
COMMENT ON FUNCTION leadscore_internal.statement_is_running() IS 'whether a statement is writing a source: its events are there, and not yet counted';

-- moving

CREATE FUNCTION leadscore_internal.give_up_row(alias text) RETURNS void
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;

CREATE FUNCTION leadscore_internal.append_delta(name text, delta leadscore.timeline) RETURNS void
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;

COMMENT ON FUNCTION leadscore_internal.give_up_row(text) IS 'takes the row of a name that becomes an alias away, or leaves an empty delta where a writer has it';
COMMENT ON FUNCTION leadscore_internal.append_delta(text, leadscore.timeline) IS 'leaves a delta under a name';

CREATE FUNCTION leadscore_internal.postpone_rebuild(lead_ids text[], signals text[]) RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE;

COMMENT ON FUNCTION leadscore_internal.postpone_rebuild(text[], text[]) IS 'leaves a rebuild to the trigger that counts the statement that is running, and says whether there is one';

CREATE FUNCTION leadscore_internal.check_not_running(what text) RETURNS void
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;

CREATE FUNCTION leadscore_internal.fold_leads(names text[]) RETURNS bigint
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION leadscore_internal.check_not_running(text) IS 'refuses what cannot be done while a statement is writing a source';
COMMENT ON FUNCTION leadscore_internal.fold_leads(text[]) IS 'merges what is pending under some names, as far as their leads are free';

-- one change
--
-- Names are always looked up by their indexes: a plan that was made while a table was empty is kept for all the pairs of
-- a statement.

CREATE FUNCTION leadscore_internal.change_problem(alias text, lead_id text, OUT code text, OUT message text, OUT detail text, OUT hint text)
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	target CONSTANT text := coalesce(leadscore_internal.lead_now(lead_id), lead_id);
	known CONSTANT text := leadscore_internal.lead_now(alias);
BEGIN
	IF lead_id IS NULL AND known IS NULL THEN
		code := 'undefined_object';
		message := format('"%s" is not an alias', alias);
		detail := 'There is no such row in leadscore.lead_alias.';
		hint := 'Its events count for itself.';
	ELSIF lead_id IS NULL AND leadscore_internal.is_tracked(alias) THEN
		code := 'object_not_in_prerequisite_state';
		message := format('"%s" is an alias by the rows of a tracked table', alias);
		detail := format('It counts for "%s" as long as they say so.', known);
		hint := 'Change the rows: leadscore.source names the tables. identify() wins over them.';
	ELSIF alias IN (target, lead_id) THEN
		code := 'invalid_parameter_value';
		message := format('"%s" cannot be an alias of itself', alias);
		detail := CASE WHEN alias = lead_id THEN 'Alias and lead are the same.' ELSE format('"%s" is an alias of "%s".', lead_id, alias) END;
		hint := 'An alias is another name of a lead.';
	ELSIF known <> target AND NOT leadscore_internal.is_tracked(alias) THEN
		code := 'unique_violation';
		message := format('"%s" is already an alias of another lead', alias);
		detail := format('It counts for "%s".', known);
		hint := format('SELECT leadscore.unidentify(%L) first.', alias);
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.change_problem(text, text) IS 'why a name cannot be made an alias or, without a lead, be given back; nothing, if it can';

-- All of it is read with one snapshot.
CREATE FUNCTION leadscore_internal.moved_timelines(names text[]) RETURNS TABLE (name text, timeline leadscore.timeline)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT n.name, leadscore_internal.difference(leadscore_internal.difference(s.timeline,
		(SELECT leadscore_internal.stored_sum(p.delta) FROM leadscore.pending_delta p WHERE p.lead_id = n.name)),
		(SELECT t.timeline FROM leadscore.lead_timeline t WHERE t.lead_id = n.name))
	FROM unnest(names) n (name) LEFT JOIN leadscore_internal.source_timelines(names, NULL::jsonb, false) s ON s.lead_id = n.name
$$;

COMMENT ON FUNCTION leadscore_internal.moved_timelines(text[])
	IS 'what the rows of leads hold of their aliases: their events, without what is pending under them and without their own rows, which follow them by themselves';

-- A rebuild or compact() that is at work looks once more at the names that are parted meanwhile: it may have found that
-- the alias lacks something, which we count as well. Whether one is at work is looked at after lead_timeline is locked as
-- any writer locks it, and until we end. One that begins later has its own lock first and then waits for all who have
-- that one, before it looks at anything: so either we see that it is at work, or it does not begin before we have ended.
-- What is left in parted_lead when none is at work is nobody's any more: one that has begun since waits for us, so what
-- we see there was parted before it looks at anything, too.
CREATE FUNCTION leadscore_internal.begin_parting(aliases text[], leads text[]) RETURNS boolean
	-- (parted_lead has no index: what is not to be read in order costs enough to be compiled)
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off
AS $$
BEGIN
	IF NOT leadscore_internal.try_sources() THEN
		RETURN false;
	END IF;
	IF leadscore_internal.rebuild_is_at_work() THEN
		INSERT INTO leadscore_internal.parted_lead (lead_id) SELECT DISTINCT n FROM unnest(aliases || leads) n;
	ELSIF pg_relation_size('leadscore_internal.parted_lead'::regclass) > 0 AND current_setting('transaction_isolation') = 'read committed' THEN
		DELETE FROM leadscore_internal.parted_lead p WHERE p.ctid = ANY (ARRAY(SELECT q.ctid FROM leadscore_internal.parted_lead q FOR UPDATE SKIP LOCKED));
	END IF;
	RETURN leadscore_internal.is_seen('SELECT string_agg(m.timeline::text, '','' ORDER BY m.name) FROM leadscore_internal.moved_timelines($1) m'::text, aliases);
END
$$;

CREATE FUNCTION leadscore_internal.try_change(alias text, lead_id text) RETURNS boolean
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	target text := lead_id;
BEGIN
	IF NOT leadscore_internal.try_names(alias, lead_id) THEN
		RETURN false;
	END IF;
	IF lead_id IS NULL THEN
		RETURN leadscore_internal.names_are_seen(VARIADIC ARRAY[alias]) AND leadscore_internal.aliases_are_seen(alias) AND leadscore_internal.begin_parting(ARRAY[alias], ARRAY[coalesce(leadscore_internal.lead_now(alias), alias)]);
	END IF;
	-- while its name is locked, the lead stays what it is: a lead, or an alias of that one
	target := coalesce(leadscore_internal.lead_now(lead_id), lead_id);
	-- its aliases go with it: a transaction that changes one of them has locked its name
	RETURN (target = lead_id OR leadscore_internal.try_names(alias, target)) AND leadscore_internal.try_aliases(alias)
		AND leadscore_internal.names_are_seen(VARIADIC ARRAY[alias, lead_id, target]) AND leadscore_internal.aliases_are_seen(alias);
END
$$;

-- What identify() says of a name stands in lead_alias alone, as long as the lead is none's alias by a tracked table.
CREATE FUNCTION leadscore_internal.identified_lead(name text) RETURNS text
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
AS $$
DECLARE
	lead CONSTANT text := leadscore_internal.lead_now(name);
BEGIN
	IF lead IS NULL OR leadscore_internal.is_tracked(name) THEN
		RETURN name;
	END IF;
	RETURN coalesce((SELECT e.lead_id FROM leadscore_internal.alias_edge e WHERE e.alias = name AND e.identified), lead);
END
$$;

COMMENT ON FUNCTION leadscore_internal.identified_lead(text) IS 'the lead that identify() made a name an alias of, or the name itself';

-- The same where tracked tables say whose the alias, its lead or some that count for it are.
CREATE FUNCTION leadscore_internal.change_edges(alias text, lead_id text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
AS $$
DECLARE
	names text[] := ARRAY[alias];
BEGIN
	IF lead_id IS NULL THEN
		UPDATE leadscore.lead_alias a SET tracked = true WHERE a.alias = change_edges.alias;
		DELETE FROM leadscore_internal.alias_edge e WHERE e.alias = change_edges.alias AND e.identified;
	ELSE
		-- what identify() has made its aliases become aliases of the same lead
		names := names
			|| ARRAY(SELECT a.alias FROM leadscore.lead_alias a WHERE a.lead_id = change_edges.alias AND NOT a.tracked
				AND NOT EXISTS (SELECT FROM leadscore_internal.alias_edge e WHERE e.alias = a.alias AND e.identified AND e.lead_id <> change_edges.alias))
			|| ARRAY(SELECT p.alias FROM leadscore_internal.alias_path p WHERE p.lead_id = change_edges.alias
				AND EXISTS (SELECT FROM leadscore_internal.alias_edge e WHERE e.alias = p.alias AND e.identified));
		DELETE FROM leadscore_internal.alias_edge e WHERE e.alias = ANY (names) AND e.identified;
		INSERT INTO leadscore_internal.alias_edge (alias, lead_id, identified)
		SELECT n, l, true FROM unnest(names) n CROSS JOIN leadscore_internal.identified_lead(change_edges.lead_id) l WHERE n <> l;
	END IF;
	PERFORM leadscore_internal.settle(names, true);
END
$$;

COMMENT ON FUNCTION leadscore_internal.change_edges(text, text) IS 'make_change() by edges';

CREATE FUNCTION leadscore_internal.make_change(alias text, lead_id text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
AS $$
DECLARE
	target CONSTANT text := coalesce(leadscore_internal.lead_now(lead_id), lead_id);
	known CONSTANT text := leadscore_internal.lead_now(alias);
	own leadscore.timeline;
BEGIN
	IF lead_id IS NOT NULL AND known IS NOT NULL AND NOT leadscore_internal.is_tracked(alias) THEN
		RETURN;
	END IF;
	IF target <> lead_id THEN
		RAISE NOTICE USING MESSAGE = format('"%s" is itself an alias: "%s" now counts for "%s"', lead_id, alias, target);
	END IF;
	IF leadscore_internal.has_edges(alias) OR leadscore_internal.is_tracked(alias) OR target <> lead_id AND leadscore_internal.identified_lead(lead_id) <> target THEN
		PERFORM leadscore_internal.change_edges(alias, lead_id);
	ELSIF lead_id IS NULL THEN
		own := (SELECT m.timeline FROM leadscore_internal.moved_timelines(ARRAY[alias]) m);
		DELETE FROM leadscore.lead_alias a WHERE a.alias = make_change.alias;
		PERFORM leadscore_internal.append_delta(known, leadscore_internal.difference('{}'::leadscore.timeline, own));
		PERFORM leadscore_internal.append_delta(alias, own);
	ELSE
		-- first the alias, then its row: see give_up() in src/live/identity.c
		INSERT INTO leadscore.lead_alias (alias, lead_id) VALUES (alias, target);
		PERFORM leadscore_internal.give_up_row(alias);
		IF leadscore_internal.has_aliases(alias) THEN
			UPDATE leadscore.lead_alias a SET lead_id = target WHERE a.lead_id = make_change.alias;
		END IF;
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.begin_parting(text[], text[]) IS 'what names that are to be parted from their leads need: that the sources stay, and that rebuilds know of it; false: they are to wait';
COMMENT ON FUNCTION leadscore_internal.try_change(text, text) IS 'takes what a change of names needs to be made, if all of it is free';
COMMENT ON FUNCTION leadscore_internal.make_change(text, text) IS 'makes an alias or, without a lead, gives it back; all that it needs is ours, and nothing is wrong with it';

-- changes that wait, and those that may have to

CREATE FUNCTION leadscore_internal.carry_out_one(change_id bigint, alias text, lead_id text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	problem record;
BEGIN
	IF leadscore_internal.change_waits(alias, lead_id, change_id) OR NOT leadscore_internal.try_change(alias, lead_id)
		OR NOT leadscore_internal.remove_change(change_id, alias) THEN
		RETURN;
	END IF;
	SELECT * INTO problem FROM leadscore_internal.change_problem(alias, lead_id);
	IF problem.code IS NULL THEN
		PERFORM leadscore_internal.make_change(alias, lead_id);
	ELSE
		-- it has been made otherwise meanwhile
		RAISE WARNING USING ERRCODE = problem.code, MESSAGE = problem.message, DETAIL = problem.detail, HINT = problem.hint;
	END IF;
END
$$;

CREATE FUNCTION leadscore_internal.look_again(change_ids bigint[], aliases text[]) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	-- the rows are those that were there before the names were settled: who has come since has left one more
	waiting CONSTANT text[] := leadscore_internal.settle(aliases, false);
BEGIN
	PERFORM leadscore_internal.remove_change(c.change_id, c.alias) FROM unnest(change_ids, aliases) c (change_id, alias) WHERE c.alias <> ALL (waiting);
END
$$;

COMMENT ON FUNCTION leadscore_internal.look_again(bigint[], text[]) IS 'settles names whose edges have changed, as far as they get their locks';

CREATE FUNCTION leadscore_internal.carry_out(first bigint, most bigint) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	waiting record;
BEGIN
	IF leadscore_internal.statement_is_running() OR pg_relation_size('leadscore_internal.pending_identity'::regclass) = 0 THEN
		RETURN;
	END IF;
	BEGIN
		PERFORM leadscore_internal.look_again(array_agg(w.change_id), array_agg(w.alias))
		FROM leadscore_internal.waiting_changes(first, most) w WHERE w.look_again HAVING count(*) > 0;
		PERFORM leadscore_internal.carry_out_one(w.change_id, w.alias, w.lead_id) FROM leadscore_internal.waiting_changes(first, most) w WHERE NOT w.look_again;
	EXCEPTION WHEN OTHERS THEN
		-- one of them cannot be carried out: the others are
		FOR waiting IN SELECT w.* FROM leadscore_internal.waiting_changes(first, most) w LOOP
			BEGIN
				IF waiting.look_again THEN
					PERFORM leadscore_internal.look_again(ARRAY[waiting.change_id], ARRAY[waiting.alias]);
				ELSE
					PERFORM leadscore_internal.carry_out_one(waiting.change_id, waiting.alias, waiting.lead_id);
				END IF;
			EXCEPTION WHEN OTHERS THEN
				RAISE WARNING USING ERRCODE = SQLSTATE, MESSAGE = format('the change of "%s" waits: %s', waiting.alias, SQLERRM),
					HINT = 'Mend the cause; SELECT leadscore.fold() then carries it out.';
			END;
		END LOOP;
	END;
END
$$;

CREATE FUNCTION leadscore_internal.change_name(alias text, lead_id text, alone boolean) RETURNS text
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	running CONSTANT boolean := leadscore_internal.statement_is_running();
	problem record;
BEGIN
	IF NOT running AND leadscore_internal.is_first_change() THEN
		PERFORM leadscore_internal.carry_out(NULL::bigint, 100::bigint);
	END IF;
	IF NOT leadscore_internal.change_waits(alias, lead_id, NULL::bigint) AND leadscore_internal.try_change(alias, lead_id) THEN
		SELECT * INTO problem FROM leadscore_internal.change_problem(alias, lead_id);
		IF problem.code IS NOT NULL AND alone THEN
			RAISE EXCEPTION USING ERRCODE = problem.code, MESSAGE = problem.message, DETAIL = problem.detail, HINT = problem.hint;
		ELSIF problem.code IS NOT NULL THEN
			RAISE WARNING USING ERRCODE = problem.code, MESSAGE = problem.message, DETAIL = problem.detail, HINT = problem.hint;
			RETURN 'refused';
		END IF;
		IF NOT running THEN
			PERFORM leadscore_internal.make_change(alias, lead_id);
			RETURN 'made';
		END IF;
	END IF;
	PERFORM leadscore_internal.append_change(alias, lead_id);
	RETURN CASE WHEN running THEN 'put off' ELSE 'waits' END;
END
$$;

COMMENT ON FUNCTION leadscore_internal.carry_out_one(bigint, text, text) IS 'carries a change of names out that waits, if it can be now';
COMMENT ON FUNCTION leadscore_internal.carry_out(bigint, bigint) IS 'carries out changes of names that wait, from a number on, at most so many, as far as they get their locks';
COMMENT ON FUNCTION leadscore_internal.change_name(text, text, boolean)
	IS 'makes a change of names or leaves it waiting, and says what has become of it; one that cannot be is an error alone, else a warning';

-- the functions that users call

-- (untyped literals are text to the parser, so what is meant for the arrays below comes here; '{...}' without a comma
-- is how some systems write a UUID)
CREATE FUNCTION leadscore.identify(alias text, lead_id text) RETURNS text
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	made boolean;
BEGIN
	IF alias ~ '^[[:space:]]*[{].*,.*[}][[:space:]]*$' AND lead_id ~ '^[[:space:]]*[{].*,.*[}][[:space:]]*$' THEN
		RAISE EXCEPTION USING ERRCODE = 'ambiguous_function', MESSAGE = 'the names are written as arrays',
			DETAIL = format('They are %s and %s, and an untyped literal means one name.', quote_literal(left(alias, 50)), quote_literal(left(lead_id, 50))),
			HINT = 'Write ''{...}''::text[] for many pairs, or identify(ARRAY[alias], ARRAY[lead_id]) if these are names.';
	END IF;
	PERFORM leadscore_internal.check_lead_id(alias, 'alias'::text);
	PERFORM leadscore_internal.check_lead_id(lead_id, 'lead_id'::text);
	PERFORM leadscore_internal.wait_for_names(alias, lead_id);
	made := leadscore_internal.change_name(alias, lead_id, true) = 'made';
	PERFORM leadscore_internal.send_changes_of_names(ARRAY[alias], ARRAY[lead_id]);
	IF made THEN
		RETURN leadscore_internal.lead_now(alias);
	END IF;
	RETURN coalesce(leadscore_internal.lead_now(lead_id), lead_id);
END
$$;

COMMENT ON FUNCTION leadscore.identify(text, text) IS 'makes a name an alias of a lead: its past and future events count for the lead';

CREATE FUNCTION leadscore.identify(aliases text[], lead_ids text[]) RETURNS bigint
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	pair record;
	changed text[] := '{}';
	leads text[] := '{}';
BEGIN
	IF cardinality(aliases) <> cardinality(lead_ids) THEN
		RAISE EXCEPTION USING ERRCODE = 'array_subscript_error', MESSAGE = 'aliases and lead_ids differ in number',
			DETAIL = format('There are %s aliases and %s leads.', cardinality(aliases), cardinality(lead_ids)), HINT = 'Each alias needs its lead at the same position.';
	END IF;
	FOR pair IN SELECT u.alias, u.lead_id FROM unnest(aliases, lead_ids) AS u (alias, lead_id) LOOP
		IF octet_length(pair.alias) BETWEEN 1 AND 1024 AND octet_length(pair.lead_id) BETWEEN 1 AND 1024 THEN
			IF leadscore_internal.change_name(pair.alias, pair.lead_id, false) IN ('made', 'put off') THEN
				changed := changed || pair.alias;
				leads := leads || pair.lead_id;
			END IF;
		ELSE
			BEGIN
				PERFORM leadscore_internal.check_lead_id(pair.alias, 'alias'::text);
				PERFORM leadscore_internal.check_lead_id(pair.lead_id, 'lead_id'::text);
			EXCEPTION WHEN null_value_not_allowed OR invalid_parameter_value THEN
				RAISE WARNING USING ERRCODE = SQLSTATE, MESSAGE = SQLERRM;
			END;
		END IF;
	END LOOP;
	PERFORM leadscore_internal.send_changes_of_names(changed, leads);
	RETURN cardinality(changed);
END
$$;

COMMENT ON FUNCTION leadscore.identify(text[], text[])
	IS 'identify() for many pairs: impossible ones are skipped with a warning, those that others are changing are queued; returns how many were made';

CREATE FUNCTION leadscore.unidentify(alias text) RETURNS text
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	known text;
BEGIN
	PERFORM leadscore_internal.check_lead_id(alias, 'alias'::text);
	PERFORM leadscore_internal.wait_for_names(alias, NULL::text);
	known := coalesce(leadscore_internal.waiting_lead(alias), leadscore_internal.lead_now(alias));
	PERFORM leadscore_internal.change_name(alias, NULL::text, true);
	PERFORM leadscore_internal.send_changes_of_names(ARRAY[alias], ARRAY[NULL]::text[], known);
	RETURN known;
END
$$;

COMMENT ON FUNCTION leadscore.unidentify(text) IS 'undoes identify(): the alias''s events count for itself again; NULL: another transaction is making the alias, and its lead is not known yet';

-- All that others could still do in the name of a person is kept from them until we end: changes of the names, and
-- writing what is known of their segments. What somebody has left waiting for us to end is nobody's yet.
CREATE FUNCTION leadscore_internal.lock_person(lead_id text) RETURNS text[]
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	lead text;
	names text[];
	known text[];
	free boolean;
	busy text;
BEGIN
	PERFORM leadscore_internal.wait_for_names(lead_id, NULL::text);
	-- a transaction that has just ended lets its locks go one after the other
	FOR attempt IN 1 .. 20 LOOP
		busy := NULL;
		known := '{}';
		free := leadscore_internal.try_names(lead_id, NULL::text);
		-- what waits for nobody is part of what is known of the person
		PERFORM leadscore_internal.carry_out(NULL::bigint, NULL::bigint) WHERE free;
		lead := coalesce(leadscore_internal.lead_now(lead_id), lead_id);
		free := free AND leadscore_internal.try_names(lead, NULL::text);
		-- nobody makes an alias of a lead that is locked; one that has been given back before we had its lock is none any more
		LOOP
			names := ARRAY(SELECT a.alias FROM leadscore.lead_alias a WHERE a.lead_id = lead ORDER BY 1) || lead;
			EXIT WHEN NOT free OR names = known;
			free := leadscore_internal.try_aliases(lead);
			known := names;
		END LOOP;
		-- in this order: a change that is committed after the one look is not missed by the other
		IF NOT free OR NOT leadscore_internal.line_is_free(names)
			OR EXISTS (SELECT FROM leadscore_internal.pending_identity p WHERE p.alias = ANY (names) OR p.lead_id = ANY (names)) THEN
			busy := 'the names of "%s" are being changed by another transaction';
		ELSIF NOT leadscore_internal.names_are_seen(VARIADIC names) OR NOT leadscore_internal.aliases_are_seen(lead) THEN
			RAISE EXCEPTION USING ERRCODE = 'serialization_failure', MESSAGE = 'could not serialize access due to concurrent update',
				DETAIL = format('The names of "%s" have changed.', lead_id), HINT = 'The transaction might succeed if retried.';
		ELSIF NOT leadscore_internal.try_leads(names) THEN
			busy := 'the events of "%s" are being changed by another transaction';
		ELSIF (SELECT count(*) FROM leadscore.lead l WHERE l.lead_id = ANY (names))
			<> (SELECT count(*) FROM (SELECT FROM leadscore.lead l WHERE l.lead_id = ANY (names) FOR UPDATE SKIP LOCKED) l) THEN
			busy := 'the profile of "%s" is being changed by another transaction';
		END IF;
		EXIT WHEN busy IS NULL;
		PERFORM pg_sleep(0.01);
	END LOOP;
	IF busy IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'lock_not_available', MESSAGE = format(busy, lead_id),
			DETAIL = 'What it does could not be forgotten.', HINT = 'Try again when it has ended.';
	END IF;
	RETURN names;
END
$$;

COMMENT ON FUNCTION leadscore_internal.lock_person(text)
	IS 'all names of a person, the lead last: until the transaction ends nobody changes them, or writes their segments; an error, if somebody does now';

CREATE FUNCTION leadscore_internal.try_unidentify(alias text) RETURNS boolean
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NOT leadscore_internal.try_change(alias, NULL::text) THEN
		RETURN false;
	END IF;
	PERFORM leadscore_internal.make_change(alias, NULL::text);
	RETURN true;
END
$$;

COMMENT ON FUNCTION leadscore_internal.try_unidentify(text) IS 'unidentify() of an alias, if it gets what it needs';

CREATE FUNCTION leadscore_internal.delete_rows(source regclass, key text, names text[]) RETURNS bigint
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	removed bigint;
BEGIN
	IF NOT leadscore_internal.is_term_for_column(source::oid, key) THEN
		-- (in a condition an expression could fail)
		EXECUTE format('DELETE FROM %s t USING leadscore_internal.find_rows($1, $2, $3) f WHERE t.tableoid = f.of_table AND t.ctid = f.place', source)
			USING source, jsonb_build_object('lead_id', key), names;
	ELSE
		-- bytes decide, as they do in our keys, whatever the column's collation takes for equal
		EXECUTE format(CASE WHEN leadscore_internal.equal_may_differ(source, key) THEN 'DELETE FROM %s WHERE %2$s = ANY ($1) AND (%2$s)::text COLLATE "C" = ANY ($1)'
			ELSE 'DELETE FROM %s WHERE %s = ANY ($1)' END, source, leadscore_internal.column_text(source, key)) USING names;
	END IF;
	GET DIAGNOSTICS removed = ROW_COUNT;
	RETURN removed;
END
$$;

COMMENT ON FUNCTION leadscore_internal.delete_rows(regclass, text, text[]) IS 'deletes the rows of a table that belong to some leads, and says how many; as the caller';

-- A shop's transaction may be waiting for rows that we have deleted already: we do not wait so long that the server looks
-- for deadlocks, and ends that.
CREATE FUNCTION leadscore_internal.delete_free_rows(source regclass, key text, names text[]) RETURNS bigint
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	patience CONSTANT text := current_setting('lock_timeout');
	removed bigint;
BEGIN
	PERFORM set_config('lock_timeout', least(nullif(l.setting::integer, 0), greatest(d.setting::integer / 10, 1))::text, true)
	FROM pg_settings l CROSS JOIN pg_settings d WHERE l.name = 'lock_timeout' AND d.name = 'deadlock_timeout';
	BEGIN
		removed := leadscore_internal.delete_rows(source, key, names);
	EXCEPTION WHEN lock_not_available THEN
		RAISE EXCEPTION USING ERRCODE = 'lock_not_available', MESSAGE = format('rows of %s are being changed by another transaction', source),
			DETAIL = 'They are to be deleted.', HINT = 'Try again when it has ended.';
	END;
	PERFORM set_config('lock_timeout', patience, true);
	RETURN removed;
END
$$;

COMMENT ON FUNCTION leadscore_internal.delete_free_rows(regclass, text, text[]) IS 'delete_rows(), or an error if somebody else is changing them';

CREATE FUNCTION leadscore.forget(lead_id text, tracked boolean DEFAULT false)
	RETURNS TABLE (source regclass, removed bigint, remaining bigint)
	-- the text of a lead's column is to be what the triggers read: see pin_settings() in src/live/source.c
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO, MDY' SET IntervalStyle = 'postgres'
	SET extra_float_digits = 1 SET bytea_output = 'hex' SET lc_monetary = 'C' SET quote_all_identifiers = off
AS $$
#variable_conflict use_variable
DECLARE
	names text[];
	name text;
	lead text;
	rows record;
	problem text;
	timelines bigint;
	leads bigint;
BEGIN
	PERFORM leadscore_internal.check_lead_id(lead_id, 'lead_id'::text);
	PERFORM leadscore_internal.check_not_running('forget()'::text);
	names := leadscore_internal.lock_person(lead_id);
	lead := names[cardinality(names)];
	-- a pass of derive() that has read these events already would bring back what follows from them
	PERFORM leadscore_internal.lock_derivations();
	timelines := (leadscore_internal.timeline_of(lead) IS NOT NULL)::integer;
	SELECT count(*) INTO leads FROM (
		SELECT l.lead_id FROM leadscore.lead l WHERE l.lead_id = ANY (names)
		UNION
		SELECT p.lead_id FROM leadscore.pending_profile p WHERE p.lead_id = ANY (names)) l;

	-- customers last: other tables may refer to them
	FOR rows IN SELECT s.source, k.key, max(s.feeds) = 'timeline' AS first
			FROM leadscore.source s CROSS JOIN LATERAL (VALUES (s.lead_id), (s.alias)) k (key)
			WHERE k.key IS NOT NULL GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LOOP
		source := rows.source;
		removed := 0;
		problem := leadscore_internal.source_problem(rows.source, jsonb_build_object('lead_id', rows.key));
		IF problem IS NOT NULL THEN
			RAISE WARNING USING MESSAGE = format('the rows of %s stay as they are', rows.source),
				DETAIL = CASE WHEN leadscore_internal.is_term_for_column(rows.source::oid, rows.key)
					THEN format('There is no column "%s" any more, which was to name the lead.', rows.key) ELSE problem || '.' END,
				HINT = format('Look there yourself; SELECT leadscore.untrack(%L), then track() it again.', rows.source);
			remaining := NULL;
			RETURN NEXT;
			CONTINUE;
		END IF;
		IF rows.source = 'leadscore.event'::regclass THEN
			removed := leadscore_internal.delete_rows(rows.source, rows.key, names);
		ELSIF tracked THEN
			removed := leadscore_internal.delete_free_rows(rows.source, rows.key, names);
		END IF;
		remaining := leadscore_internal.count_rows(rows.source, jsonb_build_object('lead_id', rows.key), names);
		RETURN NEXT;
	END LOOP;

	source := 'leadscore_internal.timeline_base';
	removed := leadscore_internal.forget_base(names);
	remaining := 0;
	IF removed > 0 THEN
		RETURN NEXT;
	END IF;
	-- what is left elsewhere is derived from again
	source := 'leadscore.derived_event';
	DELETE FROM leadscore.derived_event d WHERE d.lead_id = ANY (names);
	GET DIAGNOSTICS removed = ROW_COUNT;
	remaining := 0;
	IF removed > 0 THEN
		RETURN NEXT;
	END IF;
	DELETE FROM leadscore_internal.derivation_due d WHERE d.lead_id = ANY (names);
	INSERT INTO leadscore_internal.changed_lead (lead_id) SELECT unnest(names) WHERE pg_relation_size('leadscore.derivation') > 0;

	-- the name stays, for CRMs that have yet to be told
	source := 'leadscore_internal.crm_state';
	PERFORM leadscore_internal.lock_crm_numbers();
	UPDATE leadscore_internal.crm_state s
	SET score = NULL, grade = NULL, segment = NULL, segment_position = NULL, stage = NULL, probability = NULL, reason_1 = NULL, reason_2 = NULL, reason_3 = NULL,
		deleted = true, change_id = nextval('leadscore_internal.crm_change_id_seq'), changed_at = clock_timestamp()
	WHERE s.lead_id = ANY (names);
	GET DIAGNOSTICS remaining = ROW_COUNT;
	removed := 0;
	IF remaining > 0 THEN
		RETURN NEXT;
	END IF;

	source := 'leadscore.lead_alias';
	FOREACH name IN ARRAY names LOOP
		IF name <> lead AND NOT leadscore_internal.try_unidentify(name) THEN
			RAISE EXCEPTION USING ERRCODE = 'lock_not_available', MESSAGE = format('the alias "%s" cannot be given back now', name),
				DETAIL = 'A tracked table is being changed by another transaction or, above read committed, events of the alias have been added since this one began.',
				HINT = 'Try again when that has ended.';
		END IF;
	END LOOP;
	-- as long as rows of tracked tables say so, a name stays an alias
	remaining := (SELECT count(*) FROM leadscore.lead_alias a WHERE a.alias = ANY (names));
	removed := cardinality(names) - 1 - remaining;
	RETURN NEXT;

	source := 'leadscore.lead';
	-- what somebody is merging now is waited for, and then deleted from lead
	DELETE FROM leadscore.pending_profile p WHERE p.lead_id = ANY (names);
	DELETE FROM leadscore.lead l WHERE l.lead_id = ANY (names);
	removed := leads;
	RETURN NEXT;

	-- timelines follow their events: what remains of them is what remains there
	PERFORM leadscore_internal.fold_leads(names);
	-- rows that were made to be held; fold_leads() has nothing to do where nothing is pending
	DELETE FROM leadscore.lead_timeline t WHERE t.lead_id = ANY (names) AND t.timeline OPERATOR(leadscore.=) '{}'::leadscore.timeline;
	-- (a rebuild that is at work wants them, and takes them with it)
	IF NOT leadscore_internal.rebuild_is_at_work() THEN
		DELETE FROM leadscore_internal.parted_lead p WHERE p.ctid = ANY (ARRAY(SELECT q.ctid FROM leadscore_internal.parted_lead q WHERE q.lead_id = ANY (names) FOR UPDATE SKIP LOCKED));
	END IF;
	source := 'leadscore.lead_timeline';
	SELECT count(*) INTO remaining FROM (
		SELECT FROM leadscore.lead_timeline t WHERE t.lead_id = ANY (names)
		UNION ALL
		SELECT FROM leadscore.pending_delta p WHERE p.lead_id = ANY (names)) r;
	removed := greatest(timelines - remaining, 0);
	RETURN NEXT;

	PERFORM leadscore_internal.leave_tombstones(names);
	-- a person that still has events is still a lead, in a segment
	source := 'leadscore.segment_change';
	IF remaining = 0 THEN
		PERFORM leadscore_internal.lock_vouchers(lead, names);
		DELETE FROM leadscore.lead_state s WHERE s.lead_id = ANY (names);
		DELETE FROM leadscore_internal.seen_profile s WHERE s.lead_id = ANY (names);
		DELETE FROM leadscore.segment_change c WHERE c.lead_id = ANY (names);
		GET DIAGNOSTICS removed = ROW_COUNT;
		RETURN NEXT;
		-- what has been offered and earned stays true, but nobody's
		source := 'leadscore.voucher';
		DELETE FROM leadscore_internal.voucher_order o WHERE o.lead_id = ANY (names);
		UPDATE leadscore.voucher v SET lead_id = NULL, order_ref = NULL, already = NULL WHERE v.lead_id = ANY (names);
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

	-- (a snapshot, which is written again; a session that is writing it now has read the person's rows)
	source := 'leadscore.rfm_lead';
	PERFORM leadscore_internal.lock_figures();
	removed := 0;
	remaining := 0;
	DELETE FROM leadscore.rfm_lead r WHERE r.lead_id = ANY (names);
	GET DIAGNOSTICS removed = ROW_COUNT;
	RETURN NEXT;

	source := 'leadscore.lead_segment';
	remaining := 0;
	-- (on a coordinator of Citus, a part of it is a table; a worker knows whose rows it has are not whole)
	DELETE FROM leadscore_internal.split_segment s WHERE s.lead_id = ANY (names);
	GET DIAGNOSTICS removed = ROW_COUNT;
	DELETE FROM leadscore_internal.split_lead s WHERE s.lead_id = ANY (names);
	-- (before its first refresh it cannot be read)
	IF (SELECT c.relispopulated FROM pg_class c WHERE c.oid = 'leadscore.lead_segment'::regclass) THEN
		SELECT count(*) INTO remaining FROM leadscore.lead_segment g WHERE g.lead_id = ANY (names);
	END IF;
	RETURN NEXT;

	RETURN QUERY SELECT w.source, w.removed, w.remaining FROM leadscore_internal.forget_on_workers(lead, tracked) w;
END
$$;

COMMENT ON FUNCTION leadscore.forget(text, boolean)
	IS 'removes a person, under all names, from leadscore and optionally from tracked tables, and reports how many rows';

-- fold() where somebody has changed pending_delta, such as by a trigger

CREATE FUNCTION leadscore_internal.fold_by_statements() RETURNS bigint
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	pending record;
	folded record;
	moved leadscore.timeline;
	n bigint := 0;
BEGIN
	FOR pending IN
		SELECT DISTINCT p.lead_id AS name, a.lead_id AS lead, coalesce(a.lead_id, p.lead_id) COLLATE "C" AS key
		FROM leadscore.pending_delta p LEFT JOIN leadscore.lead_alias a ON a.alias = p.lead_id
		ORDER BY 3, 1
	LOOP
		CONTINUE WHEN pending.lead IS NOT NULL AND NOT leadscore_internal.try_names(pending.name, NULL::text);
		-- a writer in between would wait for this transaction: rows are locked as writers take them
		PERFORM leadscore_internal.lock_lead_rows(ARRAY[pending.name, coalesce(pending.lead, pending.name)], true);
		WITH taken AS (DELETE FROM leadscore.pending_delta p WHERE p.lead_id = pending.name RETURNING p.delta)
		SELECT count(*) AS n, leadscore_internal.stored_sum(t.delta) AS delta INTO folded FROM taken t;
		n := n + folded.n;
		-- after what is pending: a writer who makes an alias's row commits it together with an empty delta
		moved := NULL;
		IF pending.lead IS NOT NULL THEN
			DELETE FROM leadscore.lead_timeline t WHERE t.lead_id = pending.name RETURNING t.timeline INTO moved;
		END IF;
		PERFORM leadscore_internal.add_by_statement(coalesce(pending.lead, pending.name),
			leadscore_internal.difference(folded.delta, leadscore_internal.difference(NULL::leadscore.timeline, moved)));
	END LOOP;
	RETURN n;
END
$$;

COMMENT ON FUNCTION leadscore_internal.fold_by_statements() IS 'fold() where somebody has changed pending_delta; waits for others who write the same rows';
