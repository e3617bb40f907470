-- What the extension has made, a line each, without OIDs: the same in any order whether it was created or updated.

SET search_path = pg_catalog;

-- objects and what they depend on
SELECT DISTINCT 'depends', o.identity, d.deptype, d.refobjsubid, r.identity
FROM pg_depend d CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, d.objsubid) o CROSS JOIN LATERAL pg_identify_object(d.refclassid, d.refobjid, 0) r
WHERE (o.identity || ' ' || r.identity) ~ 'leadscore' AND (o.identity || ' ' || r.identity) !~ '(shop[.]|pg_toast|ConstraintTrigger)';

SELECT 'function', p.oid::regprocedure, p.prokind, p.proretset, p.prorettype::regtype, p.proargnames, p.proargmodes, pg_get_expr(p.proargdefaults, 0), p.provolatile, p.proparallel,
	p.proisstrict, p.prosecdef, p.proleakproof, p.procost, p.prorows, p.prosupport, p.prolang, p.probin, p.proconfig, md5(p.prosrc), md5(pg_get_function_sqlbody(p.oid)), p.proacl, obj_description(p.oid, 'pg_proc'),
	i.initprivs
FROM pg_proc p LEFT JOIN pg_init_privs i ON i.objoid = p.oid AND i.classoid = 'pg_proc'::regclass
WHERE p.pronamespace::regnamespace::text ~ '^leadscore';

SELECT 'aggregate', a.aggfnoid::regprocedure, a.aggkind, a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn, a.aggdeserialfn, a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn,
	a.aggfinalmodify, a.aggtranstype::regtype, a.aggtransspace, a.aggmtranstype::regtype, a.aggmtransspace, a.agginitval
FROM pg_aggregate a JOIN pg_proc p ON p.oid = a.aggfnoid WHERE p.pronamespace::regnamespace::text ~ '^leadscore';

SELECT 'relation', c.oid::regclass, c.relkind, c.relpersistence, c.reloptions, c.relreplident, c.relhasrules, c.relrowsecurity, c.relowner::regrole, (SELECT array_agg(a::text ORDER BY a::text) FROM aclexplode(c.relacl) a WHERE a.grantee <> c.relowner), obj_description(c.oid, 'pg_class'),
	i.initprivs, c.oid = ANY (x.extconfig) AS dumped, CASE WHEN c.relkind IN ('v', 'm') THEN md5(pg_get_viewdef(c.oid)) END
FROM pg_class c LEFT JOIN pg_init_privs i ON i.objoid = c.oid AND i.classoid = 'pg_class'::regclass AND i.objsubid = 0 CROSS JOIN pg_extension x
WHERE x.extname = 'leadscore' AND c.relnamespace::regnamespace::text ~ '^leadscore';

SELECT 'column', a.attrelid::regclass, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated, a.attstorage, a.attcompression,
	a.attcollation::regcollation,
	-- (some versions of the server number a column's changes there)
	(SELECT array_agg(o ORDER BY o) FROM unnest(a.attoptions) o WHERE o NOT LIKE 'pg\_attver=%') AS options, a.attacl, pg_get_expr(d.adbin, d.adrelid), col_description(a.attrelid, a.attnum)
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE c.relnamespace::regnamespace::text ~ '^leadscore' AND c.relkind IN ('r', 'v', 'm', 'c', 'S') AND (a.attnum > 0 OR a.attisdropped);

SELECT 'constraint', k.conrelid::regclass, k.conname, k.convalidated, pg_get_constraintdef(k.oid), obj_description(k.oid, 'pg_constraint')
FROM pg_constraint k WHERE k.connamespace::regnamespace::text ~ '^leadscore';

SELECT 'index', pg_get_indexdef(i.indexrelid), i.indisprimary, i.indisunique, i.indisvalid, i.indisreplident
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE c.relnamespace::regnamespace::text ~ '^leadscore';

SELECT 'trigger', pg_get_triggerdef(t.oid), t.tgenabled, obj_description(t.oid, 'pg_trigger')
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE c.relnamespace::regnamespace::text ~ '^leadscore' AND NOT t.tgisinternal;

SELECT 'event trigger', e.evtname, e.evtevent, e.evtfoid::regprocedure, e.evtenabled, e.evttags, obj_description(e.oid, 'pg_event_trigger')
FROM pg_event_trigger e;

SELECT 'type', t.oid::regtype, t.typtype, t.typlen, t.typbyval, t.typcategory, t.typstorage, t.typalign, t.typinput, t.typoutput, t.typreceive, t.typsend, t.typanalyze, t.typacl, obj_description(t.oid, 'pg_type')
FROM pg_type t WHERE t.typnamespace::regnamespace::text ~ '^leadscore';

SELECT 'operator', o.oid::regoperator, o.oprcode, o.oprcom::regoperator, o.oprnegate::regoperator, o.oprcanmerge, o.oprcanhash, o.oprrest, o.oprjoin, obj_description(o.oid, 'pg_operator')
FROM pg_operator o WHERE o.oprnamespace::regnamespace::text ~ '^leadscore';

SELECT 'operator class', c.opcname, m.amname, c.opcdefault, c.opcintype::regtype, obj_description(c.oid, 'pg_opclass')
FROM pg_opclass c JOIN pg_am m ON m.oid = c.opcmethod WHERE c.opcnamespace::regnamespace::text ~ '^leadscore';

SELECT 'sequence', s.seqrelid::regclass, s.seqtypid::regtype, s.seqstart, s.seqincrement, s.seqmax, s.seqmin, s.seqcache, s.seqcycle
FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid WHERE c.relnamespace::regnamespace::text ~ '^leadscore';

SELECT 'schema', n.nspname, n.nspowner::regrole, n.nspacl, obj_description(n.oid, 'pg_namespace'), i.initprivs
FROM pg_namespace n LEFT JOIN pg_init_privs i ON i.objoid = n.oid AND i.classoid = 'pg_namespace'::regclass WHERE n.nspname ~ '^leadscore';

SELECT 'extension', x.extversion, x.extnamespace::regnamespace, (SELECT array_agg(c.oid::regclass || ' ' || coalesce(w.condition, '') ORDER BY c.oid::regclass::text)
	FROM unnest(x.extconfig, x.extcondition) w (oid, condition) JOIN pg_class c ON c.oid = w.oid)
FROM pg_extension x WHERE x.extname = 'leadscore';

SELECT 'rows', s.* FROM leadscore_internal.own_column s;
SELECT 'rows', s.* FROM leadscore.sentence s;
