-- tombstone.sql: hashes of the names of forgotten people, where a second beginning would cost money
--
-- A tombstone counts as a voucher of every offer that was issued when the person was forgotten: see
-- name_had() in src/act/offer.c and check_redeemable().

CREATE TABLE leadscore_internal.tombstone (
	key text PRIMARY KEY,
	forgotten_at timestamptz NOT NULL
);

COMMENT ON TABLE leadscore_internal.tombstone IS 'salted hashes of the names of people that forget() has removed';
COMMENT ON COLUMN leadscore_internal.tombstone.key IS 'voucher_key() of the salt and a name';
COMMENT ON COLUMN leadscore_internal.tombstone.forgotten_at IS 'when the person was forgotten';

-- Made with the first tombstone, for a dump brings its own. Nobody is given rights to it: with it, names can be tried.
CREATE TABLE leadscore_internal.tombstone_salt (
	only_row boolean PRIMARY KEY DEFAULT true
		CONSTRAINT tombstone_salt_only_row CHECK (only_row),
	salt text NOT NULL
);

COMMENT ON TABLE leadscore_internal.tombstone_salt IS 'the secret that is hashed with each name';
COMMENT ON COLUMN leadscore_internal.tombstone_salt.only_row IS 'true: there is one row';
COMMENT ON COLUMN leadscore_internal.tombstone_salt.salt IS 'random';

CREATE FUNCTION leadscore_internal.tombstone_keys(names text[]) RETURNS SETOF text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT leadscore_internal.voucher_key(s.salt, n.name) FROM leadscore_internal.tombstone_salt s CROSS JOIN unnest(names) AS n (name)
$$;

COMMENT ON FUNCTION leadscore_internal.tombstone_keys(text[]) IS 'the hashes of some names; none, if there is no salt yet';

CREATE FUNCTION leadscore_internal.forgotten_at(names text[]) RETURNS timestamptz
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT max(t.forgotten_at) FROM leadscore_internal.tombstone t WHERE t.key IN (SELECT k FROM leadscore_internal.tombstone_keys(names) k)
$$;

COMMENT ON FUNCTION leadscore_internal.forgotten_at(text[]) IS 'when a person was forgotten last, by any of its names; NULL: there is no tombstone';

-- Readers learn it of leads that are there again, and of nobody else.
CREATE FUNCTION leadscore_internal.came_again(lead_id text) RETURNS boolean
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT leadscore_internal.timeline_of(came_again.lead_id) IS NOT NULL
		AND leadscore_internal.forgotten_at(leadscore_internal.names_of(came_again.lead_id)) IS NOT NULL
$$;

COMMENT ON FUNCTION leadscore_internal.came_again(text) IS 'whether a lead that has done something has been forgotten before';

CREATE FUNCTION leadscore_internal.anybody_forgotten() RETURNS boolean
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT EXISTS (SELECT FROM leadscore_internal.tombstone)
$$;

COMMENT ON FUNCTION leadscore_internal.anybody_forgotten() IS 'false: there are no tombstones, and came_again() need not be asked';

CREATE FUNCTION leadscore_internal.keeps_tombstones() RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE;

COMMENT ON FUNCTION leadscore_internal.keeps_tombstones() IS 'the setting leadscore.keep_tombstones';

CREATE FUNCTION leadscore_internal.leave_tombstones(names text[]) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NOT leadscore_internal.keeps_tombstones() THEN
		DELETE FROM leadscore_internal.tombstone t WHERE t.key IN (SELECT k FROM leadscore_internal.tombstone_keys(names) k);
		RETURN;
	END IF;
	-- (forget() holds the lock of derivations, so nobody else makes the salt)
	INSERT INTO leadscore_internal.tombstone_salt (salt)
	SELECT gen_random_uuid()::text WHERE NOT EXISTS (SELECT FROM leadscore_internal.tombstone_salt);
	INSERT INTO leadscore_internal.tombstone AS t (key, forgotten_at)
	SELECT k, clock_timestamp() FROM leadscore_internal.tombstone_keys(names) k ORDER BY 1
	ON CONFLICT ON CONSTRAINT tombstone_pkey DO UPDATE SET forgotten_at = excluded.forgotten_at;
END
$$;

COMMENT ON FUNCTION leadscore_internal.leave_tombstones(text[]) IS 'leaves a tombstone for each name of a person or, where the setting leadscore.keep_tombstones is off, removes those';

CREATE FUNCTION leadscore.drop_tombstone(lead_id text) RETURNS boolean
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM leadscore_internal.check_lead_id(lead_id, 'lead_id'::text);
	DELETE FROM leadscore_internal.tombstone t WHERE t.key IN (SELECT k FROM leadscore_internal.tombstone_keys(ARRAY[drop_tombstone.lead_id]) k);
	RETURN FOUND;
END
$$;

COMMENT ON FUNCTION leadscore.drop_tombstone(text) IS 'removes the tombstone of a name, which is then taken for somebody new; false: there was none';

CREATE FUNCTION leadscore.prune_tombstones(before timestamptz) RETURNS bigint
	LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	-- (one that is being written is a new one, and is not waited for)
	WITH gone AS (
		DELETE FROM leadscore_internal.tombstone t
		WHERE t.key IN (SELECT o.key FROM leadscore_internal.tombstone o WHERE o.forgotten_at < prune_tombstones.before FOR UPDATE SKIP LOCKED)
		RETURNING 1)
	SELECT count(*) FROM gone
$$;

COMMENT ON FUNCTION leadscore.prune_tombstones(timestamptz) IS 'removes the tombstones of people who were forgotten before an instant, and returns how many';

SELECT pg_catalog.pg_extension_config_dump('leadscore_internal.tombstone', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore_internal.tombstone_salt', '');
