-- schema.sql: whether the schemas are safe to install into
--
-- What we do as our owner calls functions of the schema leadscore. Whoever can
-- create objects in it, or has left some there, must be trusted as our owner is.

-- leadscore holds what a user calls or reads; the rest lies in a schema of its own. One of that name that is there
-- already is an error.

CREATE SCHEMA leadscore_internal;

COMMENT ON SCHEMA leadscore_internal IS 'what the functions and views of leadscore are made of; it may change in any version';

DO $$
DECLARE
	schema pg_catalog.pg_namespace;
	created pg_catalog.pg_namespace;
	owner pg_catalog.pg_roles;
	others pg_catalog.text;
BEGIN
	SELECT n.* INTO STRICT schema FROM pg_catalog.pg_namespace n WHERE n.nspname OPERATOR(pg_catalog.=) 'leadscore'::pg_catalog.name;
	SELECT r.* INTO STRICT owner FROM pg_catalog.pg_roles r WHERE r.oid OPERATOR(pg_catalog.=) schema.nspowner;
	IF NOT owner.rolsuper AND owner.rolname OPERATOR(pg_catalog.<>) current_user THEN
		RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
			MESSAGE = pg_catalog.format('schema leadscore belongs to role "%s"', owner.rolname),
			DETAIL = 'Its owner can create functions in it that would be called with the rights of the extension''s owner.',
			HINT = 'ALTER SCHEMA leadscore OWNER TO CURRENT_USER, or drop the schema: CREATE EXTENSION makes it.';
	END IF;

	-- ours is made with the default privileges of the installer
	FOR created IN SELECT n.* FROM pg_catalog.pg_namespace n WHERE n.nspname OPERATOR(pg_catalog.=) ANY (ARRAY['leadscore', 'leadscore_internal']::pg_catalog.name[])
		ORDER BY n.nspname USING OPERATOR(pg_catalog.<)
	LOOP
		SELECT pg_catalog.string_agg(coalesce(pg_catalog.quote_ident(r.rolname), 'PUBLIC'::pg_catalog.text), ', '::pg_catalog.text ORDER BY r.rolname) INTO others
		FROM pg_catalog.aclexplode(created.nspacl) a LEFT JOIN pg_catalog.pg_roles r ON r.oid OPERATOR(pg_catalog.=) a.grantee
		WHERE a.privilege_type OPERATOR(pg_catalog.=) 'CREATE'::pg_catalog.text AND a.grantee OPERATOR(pg_catalog.<>) created.nspowner
		AND r.rolsuper IS NOT TRUE AND r.rolname IS DISTINCT FROM current_user;
		IF others IS NOT NULL THEN
			RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
				MESSAGE = pg_catalog.format('others may create objects in schema %s', created.nspname),
				DETAIL = pg_catalog.format('The privilege CREATE is granted to %s, whose functions would be called with the rights of the extension''s owner.', others),
				HINT = CASE WHEN created.nspname OPERATOR(pg_catalog.=) schema.nspname
					THEN pg_catalog.format('CREATE SCHEMA IF NOT EXISTS leadscore, REVOKE CREATE ON SCHEMA leadscore FROM %s, then CREATE EXTENSION.', others)
					ELSE pg_catalog.format('ALTER DEFAULT PRIVILEGES REVOKE CREATE ON SCHEMAS FROM %s, then CREATE EXTENSION.', others) END;
		END IF;
	END LOOP;
END
$$;

CREATE FUNCTION leadscore_internal.our_schemas() RETURNS oid[]
	LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT ARRAY['leadscore', 'leadscore_internal']::regnamespace[]::oid[]
$$;

COMMENT ON FUNCTION leadscore_internal.our_schemas() IS 'the schemas in which our tables lie';
