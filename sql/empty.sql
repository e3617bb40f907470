-- empty.sql: the schema must be empty

DO $$
DECLARE
	others pg_catalog.text;
BEGIN
	-- relations, types, functions, operators, and privileges that are to be granted on what is made: all depend on
	-- the schema
	SELECT pg_catalog.string_agg(o.object, ', '::pg_catalog.text) INTO others
	FROM (
		SELECT DISTINCT pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid) AS object
		FROM pg_catalog.pg_depend d
		WHERE d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_namespace'::pg_catalog.regclass::pg_catalog.oid
		AND d.refobjid OPERATOR(pg_catalog.=) 'leadscore'::pg_catalog.regnamespace::pg_catalog.oid
		AND d.classid OPERATOR(pg_catalog.=) ANY (ARRAY['pg_catalog.pg_class', 'pg_catalog.pg_type', 'pg_catalog.pg_proc', 'pg_catalog.pg_operator',
			'pg_catalog.pg_opclass', 'pg_catalog.pg_opfamily', 'pg_catalog.pg_default_acl']::pg_catalog.regclass[]::pg_catalog.oid[])
		ORDER BY 1
		LIMIT 10
	) o;
	IF others IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = 'schema leadscore is not empty',
			DETAIL = pg_catalog.format('It has: %s.', others),
			HINT = 'Move these objects to another schema, or drop them.';
	END IF;
END
$$;
