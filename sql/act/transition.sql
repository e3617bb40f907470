-- transition.sql: leads that change their segment, on the models that are watched
--
-- src/live/transition.c compares and writes; it tells about locks and order.

-- core

CREATE FUNCTION leadscore.next_segment(scorecard jsonb, timeline leadscore.timeline, profile jsonb, at timestamptz, segment text, since timestamptz) RETURNS text
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 100;

COMMENT ON FUNCTION leadscore.next_segment(jsonb, leadscore.timeline, jsonb, timestamptz, text, timestamptz)
	IS 'the segment at an instant of a lead that has been in one since another: hysteresis and cool-down hold it';

-- what is watched

CREATE FUNCTION leadscore_internal.watching_changed() RETURNS trigger
	AS 'MODULE_PATHNAME' LANGUAGE C;

COMMENT ON FUNCTION leadscore_internal.watching_changed() IS 'trigger: tells every session that what is watched has changed';

CREATE TABLE leadscore.watched_model (
	model text PRIMARY KEY REFERENCES leadscore.model ON UPDATE CASCADE ON DELETE CASCADE,
	active boolean NOT NULL DEFAULT true,
	seen boolean NOT NULL DEFAULT false,
	notify boolean NOT NULL DEFAULT true,
	document jsonb,
	looked_at timestamptz
);

COMMENT ON TABLE leadscore.watched_model IS 'the models whose transitions are logged; set by watch() and unwatch()';
COMMENT ON COLUMN leadscore.watched_model.model IS 'the model';
COMMENT ON COLUMN leadscore.watched_model.active IS 'false: it was watched before, and its states are kept';
COMMENT ON COLUMN leadscore.watched_model.seen IS 'whether every lead has been processed since it is watched';
COMMENT ON COLUMN leadscore.watched_model.notify IS 'whether changes send NOTIFY leadscore';
COMMENT ON COLUMN leadscore.watched_model.document IS 'the model when every lead was last compared; NULL: not known';
COMMENT ON COLUMN leadscore.watched_model.looked_at IS 'states from before this instant were part of that comparison; NULL: not known';

CREATE TABLE leadscore.lead_state (
	lead_id text,
	model text,
	segment text,
	since timestamptz NOT NULL,
	tick bigint NOT NULL,
	cause text,
	edition bigint,
	PRIMARY KEY (lead_id, model)
);

COMMENT ON TABLE leadscore.lead_state IS 'the segment of each lead on the watched models';
COMMENT ON COLUMN leadscore.lead_state.lead_id IS 'the lead';
COMMENT ON COLUMN leadscore.lead_state.model IS 'the model';
COMMENT ON COLUMN leadscore.lead_state.segment IS 'the segment, with hysteresis and cool-down; NULL: none';
COMMENT ON COLUMN leadscore.lead_state.since IS 'since when';
COMMENT ON COLUMN leadscore.lead_state.tick IS 'of its last change';
COMMENT ON COLUMN leadscore.lead_state.cause IS 'of its last change; NULL: not known';
COMMENT ON COLUMN leadscore.lead_state.edition IS 'of the model then: a hash of its document; NULL: not known';

-- A row for each lead with a profile, while a model is watched that looks at profiles.
CREATE TABLE leadscore_internal.seen_profile (
	lead_id text PRIMARY KEY,
	profile jsonb
);

COMMENT ON TABLE leadscore_internal.seen_profile IS 'the profile of each lead when its segments were last compared';
COMMENT ON COLUMN leadscore_internal.seen_profile.lead_id IS 'the lead';
COMMENT ON COLUMN leadscore_internal.seen_profile.profile IS 'its profile then';

CREATE TABLE leadscore.segment_change (
	change_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	model text NOT NULL,
	lead_id text NOT NULL,
	from_segment text,
	to_segment text,
	score float8,
	changed_at timestamptz NOT NULL,
	cause text NOT NULL,
	tick bigint NOT NULL
);

CREATE UNIQUE INDEX segment_change_order ON leadscore.segment_change (tick, change_id);
CREATE INDEX segment_change_lead_idx ON leadscore.segment_change (lead_id, model, change_id);

COMMENT ON TABLE leadscore.segment_change IS 'the log: a row for each segment change of a lead on a watched model';
COMMENT ON COLUMN leadscore.segment_change.change_id IS 'number, ascending along the changes of a lead';
COMMENT ON COLUMN leadscore.segment_change.model IS 'the model';
COMMENT ON COLUMN leadscore.segment_change.lead_id IS 'the lead';
COMMENT ON COLUMN leadscore.segment_change.from_segment IS 'the segment that it was in; NULL: none';
COMMENT ON COLUMN leadscore.segment_change.to_segment IS 'the segment that it is in; NULL: none';
COMMENT ON COLUMN leadscore.segment_change.score IS 'its score then; NULL: it is no longer a lead';
COMMENT ON COLUMN leadscore.segment_change.changed_at IS 'when it was found';
COMMENT ON COLUMN leadscore.segment_change.cause IS 'event: an event was added, removed or corrected; load: one older than a day; time: time has passed; model: the model or its signals were changed; profile: its profile was changed; identity: an alias was added or removed; watch: its first segment';
COMMENT ON COLUMN leadscore.segment_change.tick IS 'with change_id, the order in which consumers get it';

CREATE TABLE leadscore_internal.change_clock (
	ahead bigint NOT NULL
);

CREATE UNIQUE INDEX change_clock_one_row ON leadscore_internal.change_clock ((true));

COMMENT ON TABLE leadscore_internal.change_clock IS 'by how much ticks are ahead of transactions'' numbers: one row after a restore, or none';
COMMENT ON COLUMN leadscore_internal.change_clock.ahead IS 'what is added to a transaction''s number';

CREATE FUNCTION leadscore_internal.run_latest(command text, arguments text[]) RETURNS void
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;

COMMENT ON FUNCTION leadscore_internal.run_latest(text, text[]) IS 'runs an UPDATE or DELETE on all that is committed, also at the stricter levels of isolation';

CREATE FUNCTION leadscore_internal.set_clock() RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE;

COMMENT ON FUNCTION leadscore_internal.set_clock() IS 'counts ticks from behind those that there are, if ours would come before some, and says whether';

DO $$
DECLARE
	watched regclass;
BEGIN
	FOREACH watched IN ARRAY ARRAY['leadscore.watched_model', 'leadscore.model_document', 'leadscore_internal.change_clock']::regclass[] LOOP
		-- (when every lead was looked at is noted after each look, and no session keeps that)
		EXECUTE format('CREATE TRIGGER watching_changed AFTER INSERT OR UPDATE%s OR DELETE OR TRUNCATE ON %s'
			' FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.watching_changed()',
			CASE watched WHEN 'leadscore.watched_model'::regclass THEN ' OF model, active, seen, notify, document' ELSE '' END, watched);
		EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER watching_changed', watched);
	END LOOP;
END
$$;

-- what src/live/transition.c reads and writes
--
-- Queries of statements that we run inside a shop's: the planner puts them in
-- place of the call, so they are planned once a session, and an error shows the
-- call alone. For that they have no SET; what their names mean is fixed here.

CREATE FUNCTION leadscore_internal.edition(document jsonb) RETURNS bigint
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT jsonb_hash_extended(document - '{model,description,segments}'::text[]
		|| jsonb_build_object('segments', (SELECT jsonb_agg(s.item - 'segment' ORDER BY s.n) FROM jsonb_array_elements(document -> 'segments') WITH ORDINALITY AS s (item, n))), 0);
END;

COMMENT ON FUNCTION leadscore_internal.edition(jsonb) IS 'tells a model from what it was before an edit, whatever it and its segments are called; NULL: of no document';

CREATE FUNCTION leadscore_internal.models_watched() RETURNS TABLE (model text, card jsonb, seen boolean, card_before jsonb, edition bigint, edition_before bigint)
	LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT d.model, d.card, d.seen, CASE WHEN d.document <> d.card THEN d.document END,
		leadscore_internal.edition(d.card), leadscore_internal.edition(coalesce(d.document, d.card))
	FROM (SELECT w.model, leadscore.scorecard(w.model) AS card, w.seen, w.document FROM leadscore.watched_model w WHERE w.active OFFSET 0) d
	ORDER BY d.model;
END;

COMMENT ON FUNCTION leadscore_internal.models_watched()
	IS 'the models that are watched; card_before: as it was when every lead was looked at last, if it was another; the editions of both';

CREATE FUNCTION leadscore_internal.changes_to_log(models text[], lead_ids text[], from_segments text[], to_segments text[], scores float8[],
	at timestamptz, tick bigint, causes text[], doubts text[], doubted_since timestamptz[], editions bigint[])
	RETURNS TABLE (model text, lead_id text, from_segment text, to_segment text, score float8, changed_at timestamptz, cause_seen text, tick_given bigint, edition bigint)
	LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT d.model, d.lead_id, d.from_segment, d.to_segment, d.score, changes_to_log.at,
		CASE WHEN NOT w.seen THEN 'watch' WHEN d.doubted_since > w.looked_at AND d.doubt IS NOT NULL THEN d.doubt ELSE d.cause END,
		-- along a lead's changes, on all models, ticks do not descend
		greatest(changes_to_log.tick, t.tick), d.edition
	FROM ROWS FROM (unnest(models), unnest(lead_ids), unnest(from_segments), unnest(to_segments), unnest(scores), unnest(causes),
			unnest(doubts), unnest(changes_to_log.doubted_since), unnest(editions))
		WITH ORDINALITY AS d (model, lead_id, from_segment, to_segment, score, cause, doubt, doubted_since, edition, n)
	JOIN leadscore.watched_model w ON w.model = d.model AND w.active
	-- (found at once: a subquery for each lead would be charged as if lead_state had only a few leads)
	LEFT JOIN (
		SELECT s.lead_id, max(s.tick) AS tick FROM leadscore.lead_state s WHERE s.lead_id = ANY (changes_to_log.lead_ids) GROUP BY s.lead_id
	) t ON t.lead_id = d.lead_id
	ORDER BY d.n;
END;

COMMENT ON FUNCTION leadscore_internal.changes_to_log(text[], text[], text[], text[], float8[], timestamptz, bigint, text[], text[], timestamptz[], bigint[])
	IS 'changes of segments as rows of segment_change, of models that are still watched';

-- a model that is gone, or has another name

CREATE FUNCTION leadscore_internal.model_gone() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM leadscore_internal.check_trigger(TG_RELID, 'leadscore.watched_model'::regclass);
	IF TG_OP = 'DELETE' THEN
		-- the cascade of a model that nobody watches: it makes nobody wait
		IF NOT EXISTS (SELECT FROM gone_models) THEN
			RETURN NULL;
		END IF;
	END IF;
	-- by then, transactions that know the model have ended
	LOCK TABLE leadscore.lead_state IN SHARE ROW EXCLUSIVE MODE;
	-- (what they have written is newer than our snapshot may be)
	IF TG_OP = 'UPDATE' THEN
		PERFORM leadscore_internal.run_latest(c.command, ARRAY[OLD.model, NEW.model])
		FROM (VALUES ('UPDATE leadscore.lead_state s SET model = $1[2] WHERE s.model = $1[1]'::text),
			('UPDATE leadscore.segment_change c SET model = $1[2] WHERE c.model = $1[1]')) AS c (command);
	ELSE
		PERFORM leadscore_internal.run_latest(c.command, '{}'::text[])
		FROM (VALUES ('DELETE FROM leadscore.lead_state s WHERE NOT EXISTS (SELECT FROM leadscore.watched_model w WHERE w.model = s.model)'::text),
			('DELETE FROM leadscore.segment_change c WHERE NOT EXISTS (SELECT FROM leadscore.watched_model w WHERE w.model = c.model)')) AS c (command);
	END IF;
	RETURN NULL;
END
$$;

COMMENT ON FUNCTION leadscore_internal.model_gone() IS 'trigger: states and changes go with their model, and are renamed with it';

CREATE TRIGGER model_gone AFTER DELETE ON leadscore.watched_model REFERENCING OLD TABLE AS gone_models
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.model_gone();
CREATE TRIGGER models_gone AFTER TRUNCATE ON leadscore.watched_model
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.model_gone();
CREATE TRIGGER model_renamed AFTER UPDATE OF model ON leadscore.watched_model
	FOR EACH ROW WHEN (OLD.model <> NEW.model) EXECUTE FUNCTION leadscore_internal.model_gone();

-- looking at leads

CREATE TABLE leadscore_internal.worker (
	only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row)
);

COMMENT ON TABLE leadscore_internal.worker IS 'has a row where shards of distributed tables lie: leads whose events may lie elsewhere are compared by the coordinator';
COMMENT ON COLUMN leadscore_internal.worker.only_row IS 'true';

CREATE FUNCTION leadscore_internal.see_leads(lead_ids text[], cause text) RETURNS text[]
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;

COMMENT ON FUNCTION leadscore_internal.see_leads(text[], text) IS 'logs which leads have changed their segment, and returns those that the transaction has logged before; their rows of lead_timeline must be held';

CREATE FUNCTION leadscore_internal.see_written() RETURNS void
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp;

COMMENT ON FUNCTION leadscore_internal.see_written() IS 'logs segment changes of the leads that the transaction has written, without waiting for its end';

CREATE FUNCTION leadscore_internal.leave_to_look() RETURNS void
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE;

COMMENT ON FUNCTION leadscore_internal.leave_to_look() IS 'leaves the leads that the subtransaction has written to the next look, which compares all';

CREATE FUNCTION leadscore_internal.lock_lead_rows(lead_ids text[], wait boolean) RETURNS text[]
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;

COMMENT ON FUNCTION leadscore_internal.lock_lead_rows(text[], boolean)
	IS 'locks rows of lead_timeline, made where there are none, and says which; not to wait: passes over those that somebody else has';

CREATE FUNCTION leadscore_internal.release_timelines(VARIADIC lead_ids text[]) RETURNS void
	LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
	DELETE FROM leadscore.lead_timeline t
	WHERE t.lead_id = ANY (lead_ids) AND t.timeline OPERATOR(leadscore.=) '{}'::leadscore.timeline
$$;

COMMENT ON FUNCTION leadscore_internal.release_timelines(text[]) IS 'removes rows of lead_timeline that are empty; they must be held';

-- What profiles leads had is kept, to know when a change is a profile's.
CREATE FUNCTION leadscore_internal.leads_with_new_profile(after text) RETURNS TABLE (lead_id text)
	LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT coalesce(p.lead_id, s.lead_id) COLLATE "C"
	FROM (SELECT q.lead_id, q.profile FROM leadscore.current_profile q
		WHERE q.lead_id COLLATE "C" > after AND NOT EXISTS (SELECT FROM leadscore.lead_alias a WHERE a.alias = q.lead_id)
		AND (NOT (SELECT leadscore_internal.anybody_excluded()) OR NOT leadscore_internal.is_excluded(q.lead_id))
		AND (NOT (SELECT EXISTS (SELECT FROM leadscore_internal.worker)) OR NOT EXISTS (SELECT FROM leadscore.lead_alias a WHERE a.lead_id = q.lead_id))) p
	FULL JOIN (SELECT q.lead_id, q.profile FROM leadscore_internal.seen_profile q WHERE q.lead_id COLLATE "C" > after) s ON s.lead_id = p.lead_id
	WHERE (p.lead_id IS NULL OR s.lead_id IS NULL OR p.profile IS DISTINCT FROM s.profile)
	AND (SELECT EXISTS (SELECT FROM leadscore.watched_model w JOIN leadscore_internal.signal_use e ON e.model = w.model
		JOIN leadscore.signal g ON g.signal = e.signal AND g.subject = 'profile' WHERE w.active));
END;

COMMENT ON FUNCTION leadscore_internal.leads_with_new_profile(text) IS 'the leads after a name whose profile is another than when they were compared; none, if no watched model uses profiles';

CREATE FUNCTION leadscore_internal.leads_to_see(after text, n integer) RETURNS text[]
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET row_security = off SET jit = off
AS $$
	SELECT coalesce(array_agg(f.lead_id ORDER BY f.lead_id), '{}')
	FROM (
		SELECT DISTINCT c.lead_id COLLATE "C" AS lead_id
		FROM leadscore.watched_model w
		CROSS JOIN LATERAL (SELECT leadscore.scorecard(w.model) AS card OFFSET 0) d
		CROSS JOIN LATERAL (
			SELECT coalesce(s.lead_id, l.lead_id) AS lead_id
			FROM (
				SELECT t.lead_id, t.timeline, CASE WHEN (SELECT EXISTS (SELECT FROM leadscore.pending_profile) OR EXISTS (SELECT FROM leadscore.lead_alias))
					THEN nullif(leadscore_internal.with_pending_profile(t.lead_id, p.profile, p.lead_id IS NOT NULL), 'null') ELSE p.profile END AS profile
				FROM leadscore.current_timeline t LEFT JOIN leadscore.lead p ON p.lead_id = t.lead_id
				WHERE t.lead_id COLLATE "C" > after
				UNION ALL
				SELECT p.lead_id, NULL, p.profile
				FROM leadscore.current_profile p
				WHERE p.lead_id COLLATE "C" > after
				AND NOT EXISTS (SELECT FROM leadscore.current_timeline t WHERE t.lead_id = p.lead_id)
				AND NOT EXISTS (SELECT FROM leadscore.lead_alias a WHERE a.alias = p.lead_id)
			) l
			FULL JOIN (SELECT o.lead_id, o.segment, o.since FROM leadscore.lead_state o
				WHERE o.model = w.model AND o.segment IS NOT NULL AND o.lead_id COLLATE "C" > after) s
			ON s.lead_id = l.lead_id
			WHERE s.segment IS DISTINCT FROM CASE WHEN l.lead_id IS NOT NULL
				AND (NOT (SELECT leadscore_internal.anybody_excluded()) OR NOT leadscore_internal.is_excluded(l.lead_id))
				THEN leadscore.next_segment(d.card, l.timeline, l.profile, clock_timestamp(), s.segment, s.since) END
			-- a worker leaves leads to its coordinator that have aliases, or nothing here any more
			AND (NOT (SELECT EXISTS (SELECT FROM leadscore_internal.worker))
				OR CASE WHEN l.lead_id IS NOT NULL THEN NOT EXISTS (SELECT FROM leadscore.lead_alias a WHERE a.lead_id = l.lead_id)
					ELSE EXISTS (SELECT FROM leadscore.lead_alias a WHERE a.alias = s.lead_id) OR leadscore_internal.is_excluded(s.lead_id) END)
		) c
		WHERE w.active
		UNION
		SELECT p.lead_id FROM leadscore_internal.leads_with_new_profile(after) p
		ORDER BY 1
		LIMIT n
	) f
$$;

COMMENT ON FUNCTION leadscore_internal.leads_to_see(text, integer) IS 'the next leads, in the order of their bytes, that seem to be in another segment, or to have another profile, than when they were compared';

CREATE FUNCTION leadscore_internal.see_batch(lead_ids text[], cause text, wait boolean) RETURNS text[]
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	held CONSTANT text[] := leadscore_internal.lock_lead_rows(lead_ids, wait);
	left_over CONSTANT text[] := leadscore_internal.see_leads(held, cause);
BEGIN
	PERFORM leadscore_internal.release_timelines(VARIADIC held);
	RETURN left_over || ARRAY(SELECT unnest(lead_ids) EXCEPT SELECT unnest(held));
END
$$;

COMMENT ON FUNCTION leadscore_internal.see_batch(text[], text, boolean)
	IS 'logs which leads have changed their segment, and returns the ones that it skipped: another session holds them, or the transaction has logged them before';

-- What a look vouches for. Transactions that compare leads hold lead_state (ROW EXCLUSIVE) to their end. A look sees
-- all that was written by those that had ended when it began. The holders of now may know a model as it was before an
-- edit that we see, and we do not see what they have not committed: it is younger than their transactions. Documents,
-- clock and holders are read in this order: a transaction that is not among the holders takes the lock later, and
-- writes later.
CREATE FUNCTION leadscore_internal.watched_documents() RETURNS jsonb
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	-- (an edit and its reverse leave the document, but not its version)
	documents CONSTANT jsonb := (SELECT jsonb_object_agg(w.model, jsonb_build_object('document', d.document, 'version', d.xmin::text))
		FROM leadscore.watched_model w JOIN leadscore.model_document d ON d.model = w.model WHERE w.active);
	begun CONSTANT timestamptz := clock_timestamp();
	oldest CONSTANT timestamptz := (
		SELECT min(coalesce(a.xact_start, '-infinity'))
		FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
		WHERE l.locktype = 'relation' AND l.relation = 'leadscore.lead_state'::regclass AND l.mode = 'RowExclusiveLock' AND l.pid IS DISTINCT FROM pg_backend_pid()
		AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()));
BEGIN
	RETURN jsonb_build_object('models', coalesce(documents, '{}'), 'looked_at', least(begun, oldest));
END
$$;

COMMENT ON FUNCTION leadscore_internal.watched_documents() IS 'the models that are watched, as a look begins, and since when it can miss what others write';

CREATE FUNCTION leadscore_internal.look_completed(documents jsonb) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET row_security = off SET jit = off
AS $$
DECLARE
	models text[];
	profiles text[];
	held text[];
BEGIN
	-- Models that were edited meanwhile wait for the next look; those that are seen through an older snapshot may have been.
	IF current_setting('transaction_isolation') <> 'read committed' THEN
		RETURN;
	END IF;
	-- A session that renames or deletes a model or a segment locks its row of watched_model, then waits for sessions
	-- that compare leads. We do not wait for it while we hold lead_state.
	LOCK TABLE leadscore.lead_state IN ROW EXCLUSIVE MODE;
	models := ARRAY(SELECT w.model FROM leadscore.watched_model w JOIN leadscore.model_document d ON d.model = w.model
		WHERE w.active AND w.seen AND d.xmin::text = documents #>> ARRAY['models', d.model, 'version'] FOR NO KEY UPDATE OF w SKIP LOCKED);
	-- (profiles are kept for all models together)
	IF EXISTS (SELECT FROM leadscore.watched_model w JOIN leadscore.model_document d USING (model)
			WHERE w.active AND w.seen AND w.model <> ALL (models) AND w.document IS DISTINCT FROM d.document) THEN
		RETURN;
	END IF;
	-- (a statement, be it of no row, makes all sessions compile the models anew)
	IF EXISTS (SELECT FROM leadscore.watched_model w WHERE w.active AND w.seen AND w.model = ANY (models)
			AND w.document IS DISTINCT FROM documents #> ARRAY['models', w.model, 'document']) THEN
		-- Since the edit, comparisons have not kept profiles. The look vouches for the present ones: they are kept
		-- together with its documents, while nobody else compares these leads.
		profiles := ARRAY(SELECT p.lead_id FROM leadscore_internal.leads_with_new_profile('') p);
		held := leadscore_internal.lock_lead_rows(profiles, false);
		IF cardinality(held) = cardinality(profiles) THEN
			UPDATE leadscore.watched_model w SET document = documents #> ARRAY['models', w.model, 'document']
			WHERE w.active AND w.seen AND w.model = ANY (models) AND w.document IS DISTINCT FROM documents #> ARRAY['models', w.model, 'document'];
			PERFORM leadscore_internal.see_leads(held, 'time');
		END IF;
		PERFORM leadscore_internal.release_timelines(VARIADIC held);
		IF cardinality(held) <> cardinality(profiles) THEN
			RETURN;
		END IF;
	END IF;
	UPDATE leadscore.watched_model w SET looked_at = greatest(w.looked_at, (documents ->> 'looked_at')::timestamptz)
	WHERE w.active AND w.seen AND w.model = ANY (models);
END
$$;

COMMENT ON FUNCTION leadscore_internal.look_completed(jsonb) IS 'records that every lead was compared by these models: later changes have other causes';

-- A procedure that commits must not SET anything: every name is qualified.

CREATE PROCEDURE leadscore_internal.look(cause text)
	LANGUAGE plpgsql
AS $$
DECLARE
	-- a coordinator compares the leads that its workers cannot
	is_coordinator CONSTANT boolean := leadscore_internal.has_distributed() AND EXISTS (SELECT FROM leadscore.watched_model w WHERE w.active);
	may_commit CONSTANT boolean := NOT is_coordinator AND NOT leadscore_internal.in_transaction_block();
	documents CONSTANT pg_catalog.jsonb := leadscore_internal.watched_documents();
	page pg_catalog.text[];
	n CONSTANT integer := 100000;
	size CONSTANT integer := 10000;
	after pg_catalog.text := '';
	busy pg_catalog.text[] := '{}';
	done pg_catalog.int8 := 0;
	borrowed pg_catalog.text[];
BEGIN
	IF is_coordinator THEN
		borrowed := leadscore_internal.borrow_split_leads();
	END IF;
	LOOP
		PERFORM leadscore_internal.report_progress('refresh_segments'::pg_catalog.text, 'comparing'::pg_catalog.text, done, NULL::pg_catalog.int8);
		page := leadscore_internal.leads_to_see(after, n);
		FOR i IN 0 .. pg_catalog.cardinality(page) OPERATOR(pg_catalog./) size LOOP
			-- who waits for nobody, and is the last to come, is in no circle
			busy := busy OPERATOR(pg_catalog.||) leadscore_internal.see_batch(page[i OPERATOR(pg_catalog.*) size OPERATOR(pg_catalog.+) 1 :
				(i OPERATOR(pg_catalog.+) 1) OPERATOR(pg_catalog.*) size], cause, wait => false);
			IF may_commit THEN
				COMMIT;
			END IF;
		END LOOP;
		done := done OPERATOR(pg_catalog.+) pg_catalog.cardinality(page);
		EXIT WHEN pg_catalog.cardinality(page) OPERATOR(pg_catalog.<) n;
		after := page[n];
	END LOOP;
	IF cause OPERATOR(pg_catalog.=) 'watch' THEN
		-- nobody may be left out; who has one lead at a time is in no circle either
		FOR i IN 1 .. pg_catalog.cardinality(busy) LOOP
			PERFORM leadscore_internal.see_batch(busy[i : i], cause, wait => true);
			IF may_commit THEN
				COMMIT;
			END IF;
		END LOOP;
		busy := '{}';
	END IF;
	IF busy OPERATOR(pg_catalog.=) '{}'::pg_catalog.text[] THEN
		PERFORM leadscore_internal.look_completed(documents);
	END IF;
	IF is_coordinator THEN
		PERFORM leadscore_internal.return_split_leads(borrowed);
	END IF;
END
$$;

COMMENT ON PROCEDURE leadscore_internal.look(text) IS 'compares every lead on the watched models, a batch per transaction';

CREATE PROCEDURE leadscore.see_changes()
	LANGUAGE plpgsql
AS $$
BEGIN
	PERFORM leadscore_internal.on_workers('CALL leadscore.see_changes()'::pg_catalog.text);
	PERFORM leadscore_internal.hand_over_states(NULL::pg_catalog.text[]);
	-- (a state that a transaction has written is compared by later ones)
	IF NOT leadscore_internal.in_transaction_block() THEN
		COMMIT;
	END IF;
	PERFORM leadscore.fold(NULL::pg_catalog.int8);
	PERFORM leadscore_internal.see_written();
	CALL leadscore_internal.look('time'::pg_catalog.text);
END
$$;

COMMENT ON PROCEDURE leadscore.see_changes()
	IS 'sees which leads have changed their segment on models that are watched, as refresh_segments() does, but commits after each 10,000';

-- watch, unwatch

CREATE FUNCTION leadscore_internal.begin_watching(name text, notify boolean) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	INSERT INTO leadscore.watched_model AS w (model, notify) VALUES (name, begin_watching.notify)
	ON CONFLICT (model) DO UPDATE SET notify = excluded.notify, active = true, seen = w.active AND w.seen,
		document = CASE WHEN w.active AND w.seen THEN w.document END;
END
$$;

CREATE FUNCTION leadscore_internal.finish_watching(name text, documents jsonb) RETURNS void
	LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	UPDATE leadscore.watched_model SET seen = true, document = documents #> ARRAY['models', name, 'document'], looked_at = (documents ->> 'looked_at')::timestamptz
	WHERE model = name AND active AND NOT seen
$$;

CREATE FUNCTION leadscore_internal.end_watching(name text) RETURNS boolean
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	UPDATE leadscore.watched_model w SET active = false WHERE w.model = name AND w.active;
	IF NOT FOUND THEN
		RETURN false;
	END IF;
	PERFORM leadscore_internal.send('end_watching(d.document ->> ''model'')'::text, jsonb_build_object('model', name)) WHERE leadscore_internal.has_distributed();
	RETURN true;
END
$$;

COMMENT ON FUNCTION leadscore_internal.begin_watching(text, boolean) IS 'from its commit on, writers watch a model';
COMMENT ON FUNCTION leadscore_internal.finish_watching(text, jsonb) IS 'notes that every lead has been looked at, by a model as it was when that began';
COMMENT ON FUNCTION leadscore_internal.end_watching(text) IS 'a model is no longer watched, on all servers in this transaction; false: it was not';

CREATE PROCEDURE leadscore.watch(model text DEFAULT 'default', notify boolean DEFAULT true)
	LANGUAGE plpgsql
AS $$
DECLARE
	name CONSTANT pg_catalog.text := leadscore_internal.model_named(model);
	documents pg_catalog.jsonb;
BEGIN
	IF name IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'model is NULL',
			DETAIL = 'There is nothing to watch.', HINT = 'Name a model.';
	END IF;
	PERFORM leadscore_internal.check_read_committed('watch()'::pg_catalog.text, 'passed over'::pg_catalog.text);
	IF leadscore_internal.in_transaction_block() THEN
		PERFORM leadscore_internal.refuse_block('watch()'::pg_catalog.text);
	END IF;
	PERFORM leadscore_internal.check_no_leads() WHERE leadscore_internal.has_distributed();
	PERFORM leadscore_internal.on_workers(pg_catalog.format('CALL leadscore.watch(%L, false)', name));
	PERFORM leadscore_internal.begin_watching(name, coalesce(notify, true));
	COMMIT;
	PERFORM leadscore_internal.wait_for_writers();
	COMMIT;
	documents := leadscore_internal.watched_documents();
	CALL leadscore_internal.look('watch'::pg_catalog.text);
	-- (this unlocks lead_state before we wait for the model's row)
	COMMIT;
	PERFORM leadscore_internal.finish_watching(name, documents);
END
$$;

COMMENT ON PROCEDURE leadscore.watch(text, boolean) IS 'logs the present segment of all leads on a model, and from then on every segment change';

CREATE FUNCTION leadscore.unwatch(model text DEFAULT 'default') RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	name CONSTANT text := leadscore_internal.model_named(model);
BEGIN
	IF NOT leadscore_internal.end_watching(name) THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('model "%s" is not watched', name),
			DETAIL = 'Its transitions are not logged.',
			HINT = leadscore_internal.known('watched models'::text, ARRAY(SELECT w.model FROM leadscore.watched_model w WHERE w.active ORDER BY 1));
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore.unwatch(text) IS 'ends watching a model; its log stays, and continues when it is watched again';

-- consumers

CREATE TABLE leadscore.change_consumer (
	consumer text PRIMARY KEY
		CONSTRAINT change_consumer_not_empty CHECK ((consumer <> '') IS NOT FALSE OR leadscore_internal.refuse(
			'consumer name is empty', '""', 'Name who takes changes, such as "crm".')),
	tick bigint NOT NULL DEFAULT 0,
	change_id bigint NOT NULL DEFAULT 0,
	given_tick bigint NOT NULL DEFAULT 0,
	given_id bigint NOT NULL DEFAULT 0,
	taken_tick bigint NOT NULL DEFAULT 0,
	taken_id bigint NOT NULL DEFAULT 0,
	taken_by xid8
);

COMMENT ON TABLE leadscore.change_consumer IS 'the consumers of changes, and how far each has read';
COMMENT ON COLUMN leadscore.change_consumer.consumer IS 'name';
COMMENT ON COLUMN leadscore.change_consumer.tick IS 'of the last change that it has acknowledged';
COMMENT ON COLUMN leadscore.change_consumer.change_id IS 'the last change that it has acknowledged';
COMMENT ON COLUMN leadscore.change_consumer.given_tick IS 'of the last change that was ever delivered to it';
COMMENT ON COLUMN leadscore.change_consumer.given_id IS 'the last change that was ever delivered to it';
COMMENT ON COLUMN leadscore.change_consumer.taken_tick IS 'of the last change that it took in its last call';
COMMENT ON COLUMN leadscore.change_consumer.taken_id IS 'the last change that it took in its last call';
COMMENT ON COLUMN leadscore.change_consumer.taken_by IS 'the transaction of that call';

CREATE FUNCTION leadscore_internal.change_horizon() RETURNS bigint
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint + coalesce((SELECT c.ahead FROM leadscore_internal.change_clock c), 0)
$$;

COMMENT ON FUNCTION leadscore_internal.change_horizon() IS 'the tick below which no transaction is writing any more';

CREATE FUNCTION leadscore.take_changes(consumer text, n integer DEFAULT 100)
	RETURNS TABLE (change_id bigint, model text, lead_id text, from_segment text, to_segment text, score float8, changed_at timestamptz, cause text)
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	place leadscore.change_consumer;
BEGIN
	IF consumer IS NULL OR n IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'take_changes() needs a consumer and a number',
			DETAIL = 'Each consumer gets every change, in turn.', HINT = 'For example: SELECT * FROM leadscore.take_changes(''crm'', 100).';
	END IF;
	IF n < 1 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'the number of changes to take is not above zero',
			DETAIL = format('It is %s.', n), HINT = 'Write a whole number from 1.';
	END IF;
	IF leadscore_internal.set_clock() AND current_setting('transaction_isolation') <> 'read committed' THEN
		-- our snapshot may lack what writers have written before we locked them out
		RETURN;
	END IF;
	INSERT INTO leadscore.change_consumer AS c (consumer) VALUES (take_changes.consumer) ON CONFLICT ON CONSTRAINT change_consumer_pkey DO NOTHING;
	-- another session that takes for the same consumer waits until we have acknowledged, or not
	SELECT c.* INTO STRICT place FROM leadscore.change_consumer c WHERE c.consumer = take_changes.consumer FOR NO KEY UPDATE;
	RETURN QUERY
	WITH given AS MATERIALIZED (
		SELECT c.*
		FROM leadscore.segment_change c
		WHERE (c.tick, c.change_id) > (place.tick, place.change_id)
		-- nobody is writing any more below the oldest transaction that runs
		AND c.tick < leadscore_internal.change_horizon()
		ORDER BY c.tick, c.change_id
		LIMIT take_changes.n
	), noted AS (
		UPDATE leadscore.change_consumer c
		SET taken_tick = l.tick, taken_id = l.change_id, taken_by = pg_current_xact_id(),
			given_tick = f.tick, given_id = f.change_id
		FROM (SELECT g.tick, g.change_id FROM given g UNION ALL VALUES (place.tick, place.change_id) ORDER BY 1 DESC, 2 DESC LIMIT 1) l,
			LATERAL (VALUES (l.tick, l.change_id), (place.given_tick, place.given_id) ORDER BY 1 DESC, 2 DESC LIMIT 1) f (tick, change_id)
		WHERE c.consumer = take_changes.consumer
	)
	SELECT g.change_id, g.model, g.lead_id, g.from_segment, g.to_segment, g.score, g.changed_at, g.cause
	FROM given g
	ORDER BY g.tick, g.change_id;
END
$$;

COMMENT ON FUNCTION leadscore.take_changes(text, integer)
	IS 'the next changes that a consumer has not acknowledged, those of a lead in their order; again and again until it does';

CREATE FUNCTION leadscore.acknowledge_changes(consumer text, change_id bigint DEFAULT NULL) RETURNS void
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	place leadscore.change_consumer;
	done record;
BEGIN
	SELECT c.* INTO place FROM leadscore.change_consumer c WHERE c.consumer = acknowledge_changes.consumer FOR NO KEY UPDATE;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('consumer "%s" does not exist', consumer),
			DETAIL = 'It has not taken any changes.',
			HINT = leadscore_internal.known('consumers'::text, ARRAY(SELECT c.consumer FROM leadscore.change_consumer c ORDER BY 1));
	END IF;
	IF acknowledge_changes.change_id IS NULL AND place.taken_by IS DISTINCT FROM pg_current_xact_id() THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = 'no changes to acknowledge were named',
			DETAIL = format('Consumer "%s" was not given any in this transaction; its last ones may be in work in another session.', consumer),
			HINT = 'Pass the change_id of the last row that take_changes() has returned.';
	END IF;
	IF acknowledge_changes.change_id IS NULL THEN
		SELECT place.taken_tick AS tick, place.taken_id AS change_id INTO done;
	ELSIF acknowledge_changes.change_id = place.given_id THEN
		SELECT place.given_tick AS tick, place.given_id AS change_id INTO done;
	ELSE
		SELECT c.tick, c.change_id INTO done FROM leadscore.segment_change c WHERE c.change_id = acknowledge_changes.change_id;
		IF NOT FOUND AND acknowledge_changes.change_id <= pg_sequence_last_value('leadscore.segment_change_change_id_seq') THEN
			-- of a lead that was forgotten meanwhile: those before it come again
			RETURN;
		END IF;
		IF NOT FOUND OR (done.tick, done.change_id) > (place.given_tick, place.given_id) THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('change %s was not given to consumer "%s"', acknowledge_changes.change_id, consumer),
				DETAIL = CASE place.given_id WHEN 0 THEN 'It has taken none.' ELSE format('The last that it has taken is %s.', place.given_id) END,
				HINT = 'Acknowledge the change_id of a row that take_changes() has returned: it and those before it.';
		END IF;
	END IF;
	UPDATE leadscore.change_consumer c SET tick = done.tick, change_id = done.change_id
	WHERE c.consumer = acknowledge_changes.consumer AND (done.tick, done.change_id) > (c.tick, c.change_id);
END
$$;

COMMENT ON FUNCTION leadscore.acknowledge_changes(text, bigint)
	IS 'a consumer has dealt with a change and those that it was given before; NULL: with all that it was given in this transaction';

CREATE FUNCTION leadscore.drop_consumer(consumer text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	DELETE FROM leadscore.change_consumer c WHERE c.consumer = drop_consumer.consumer;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('consumer "%s" does not exist', consumer),
			DETAIL = 'There is no such row in leadscore.change_consumer.',
			HINT = leadscore_internal.known('consumers'::text, ARRAY(SELECT c.consumer FROM leadscore.change_consumer c ORDER BY 1));
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore.drop_consumer(text) IS 'removes a consumer and its position';

CREATE FUNCTION leadscore.prune_changes(before timestamptz) RETURNS bigint
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	n bigint;
BEGIN
	-- the last of each lead stays: what is left still tells where everybody is; rows of a person who is being forgotten go
	-- with that
	DELETE FROM leadscore.segment_change g
	WHERE g.change_id IN (
		SELECT c.change_id FROM leadscore.segment_change c
		WHERE c.changed_at < before
		AND NOT EXISTS (SELECT FROM leadscore.change_consumer r WHERE (c.tick, c.change_id) > (r.tick, r.change_id))
		AND EXISTS (SELECT FROM leadscore.segment_change l WHERE l.lead_id = c.lead_id AND l.model = c.model AND l.change_id > c.change_id)
		FOR UPDATE OF c SKIP LOCKED);
	GET DIAGNOSTICS n = ROW_COUNT;
	RETURN n;
END
$$;

COMMENT ON FUNCTION leadscore.prune_changes(timestamptz)
	IS 'deletes changes older than an instant that every consumer has acknowledged, save the last of each lead, and says how many';

SELECT pg_catalog.pg_extension_config_dump('leadscore.watched_model', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.lead_state', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore_internal.seen_profile', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.segment_change', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.segment_change_change_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore_internal.change_clock', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.change_consumer', '');
