-- timeline.sql: the type timeline

-- type

CREATE TYPE leadscore.timeline;

CREATE FUNCTION leadscore_internal.timeline_in(cstring) RETURNS leadscore.timeline
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.timeline_out(leadscore.timeline) RETURNS cstring
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.timeline_recv(internal) RETURNS leadscore.timeline
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.timeline_send(leadscore.timeline) RETURNS bytea
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE TYPE leadscore.timeline (
	INPUT = leadscore_internal.timeline_in,
	OUTPUT = leadscore_internal.timeline_out,
	RECEIVE = leadscore_internal.timeline_recv,
	SEND = leadscore_internal.timeline_send,
	STORAGE = external
);

COMMENT ON TYPE leadscore.timeline IS 'a lead''s history: occurrences and value of each signal by UTC hour';
COMMENT ON FUNCTION leadscore_internal.timeline_in(cstring) IS 'timeline from text';
COMMENT ON FUNCTION leadscore_internal.timeline_out(leadscore.timeline) IS 'timeline to text';
COMMENT ON FUNCTION leadscore_internal.timeline_recv(internal) IS 'timeline from the wire';
COMMENT ON FUNCTION leadscore_internal.timeline_send(leadscore.timeline) IS 'timeline to the wire: its bytes as stored';

-- private functions

CREATE FUNCTION leadscore_internal.timeline_eq(leadscore.timeline, leadscore.timeline) RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.timeline_ne(leadscore.timeline, leadscore.timeline) RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.timeline_lt(leadscore.timeline, leadscore.timeline) RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.timeline_le(leadscore.timeline, leadscore.timeline) RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.timeline_gt(leadscore.timeline, leadscore.timeline) RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.timeline_ge(leadscore.timeline, leadscore.timeline) RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.timeline_cmp(leadscore.timeline, leadscore.timeline) RETURNS integer
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.timeline_hash(leadscore.timeline) RETURNS integer
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.timeline_hash_extended(leadscore.timeline, bigint) RETURNS bigint
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.timeline_add(leadscore.timeline, leadscore.timeline) RETURNS leadscore.timeline
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.timeline_subtract(leadscore.timeline, leadscore.timeline) RETURNS leadscore.timeline
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.timeline_plus(leadscore.timeline) RETURNS leadscore.timeline
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.timeline_minus(leadscore.timeline) RETURNS leadscore.timeline
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION leadscore_internal.timeline_eq(leadscore.timeline, leadscore.timeline) IS 'implementation of = operator';
COMMENT ON FUNCTION leadscore_internal.timeline_ne(leadscore.timeline, leadscore.timeline) IS 'implementation of <> operator';
COMMENT ON FUNCTION leadscore_internal.timeline_lt(leadscore.timeline, leadscore.timeline) IS 'implementation of < operator';
COMMENT ON FUNCTION leadscore_internal.timeline_le(leadscore.timeline, leadscore.timeline) IS 'implementation of <= operator';
COMMENT ON FUNCTION leadscore_internal.timeline_gt(leadscore.timeline, leadscore.timeline) IS 'implementation of > operator';
COMMENT ON FUNCTION leadscore_internal.timeline_ge(leadscore.timeline, leadscore.timeline) IS 'implementation of >= operator';
COMMENT ON FUNCTION leadscore_internal.timeline_cmp(leadscore.timeline, leadscore.timeline) IS 'less than, equal or greater, for B-trees';
COMMENT ON FUNCTION leadscore_internal.timeline_hash(leadscore.timeline) IS 'hash';
COMMENT ON FUNCTION leadscore_internal.timeline_hash_extended(leadscore.timeline, bigint) IS 'hash with a seed';
COMMENT ON FUNCTION leadscore_internal.timeline_add(leadscore.timeline, leadscore.timeline) IS 'implementation of + operator';
COMMENT ON FUNCTION leadscore_internal.timeline_subtract(leadscore.timeline, leadscore.timeline) IS 'implementation of - operator';
COMMENT ON FUNCTION leadscore_internal.timeline_plus(leadscore.timeline) IS 'implementation of + operator';
COMMENT ON FUNCTION leadscore_internal.timeline_minus(leadscore.timeline) IS 'implementation of - operator';

-- operators

CREATE OPERATOR leadscore.= (
	LEFTARG = leadscore.timeline, RIGHTARG = leadscore.timeline, FUNCTION = leadscore_internal.timeline_eq,
	COMMUTATOR = OPERATOR(leadscore.=), NEGATOR = OPERATOR(leadscore.<>),
	RESTRICT = eqsel, JOIN = eqjoinsel, HASHES, MERGES
);

CREATE OPERATOR leadscore.<> (
	LEFTARG = leadscore.timeline, RIGHTARG = leadscore.timeline, FUNCTION = leadscore_internal.timeline_ne,
	COMMUTATOR = OPERATOR(leadscore.<>), NEGATOR = OPERATOR(leadscore.=),
	RESTRICT = neqsel, JOIN = neqjoinsel
);

CREATE OPERATOR leadscore.< (
	LEFTARG = leadscore.timeline, RIGHTARG = leadscore.timeline, FUNCTION = leadscore_internal.timeline_lt,
	COMMUTATOR = OPERATOR(leadscore.>), NEGATOR = OPERATOR(leadscore.>=),
	RESTRICT = scalarltsel, JOIN = scalarltjoinsel
);

CREATE OPERATOR leadscore.<= (
	LEFTARG = leadscore.timeline, RIGHTARG = leadscore.timeline, FUNCTION = leadscore_internal.timeline_le,
	COMMUTATOR = OPERATOR(leadscore.>=), NEGATOR = OPERATOR(leadscore.>),
	RESTRICT = scalarlesel, JOIN = scalarlejoinsel
);

CREATE OPERATOR leadscore.> (
	LEFTARG = leadscore.timeline, RIGHTARG = leadscore.timeline, FUNCTION = leadscore_internal.timeline_gt,
	COMMUTATOR = OPERATOR(leadscore.<), NEGATOR = OPERATOR(leadscore.<=),
	RESTRICT = scalargtsel, JOIN = scalargtjoinsel
);

CREATE OPERATOR leadscore.>= (
	LEFTARG = leadscore.timeline, RIGHTARG = leadscore.timeline, FUNCTION = leadscore_internal.timeline_ge,
	COMMUTATOR = OPERATOR(leadscore.<=), NEGATOR = OPERATOR(leadscore.<),
	RESTRICT = scalargesel, JOIN = scalargejoinsel
);

CREATE OPERATOR leadscore.+ (
	LEFTARG = leadscore.timeline, RIGHTARG = leadscore.timeline, FUNCTION = leadscore_internal.timeline_add,
	COMMUTATOR = OPERATOR(leadscore.+)
);

CREATE OPERATOR leadscore.- (
	LEFTARG = leadscore.timeline, RIGHTARG = leadscore.timeline, FUNCTION = leadscore_internal.timeline_subtract
);

CREATE OPERATOR leadscore.+ (RIGHTARG = leadscore.timeline, FUNCTION = leadscore_internal.timeline_plus);

CREATE OPERATOR leadscore.- (RIGHTARG = leadscore.timeline, FUNCTION = leadscore_internal.timeline_minus);

COMMENT ON OPERATOR leadscore.= (leadscore.timeline, leadscore.timeline) IS 'equal';
COMMENT ON OPERATOR leadscore.<> (leadscore.timeline, leadscore.timeline) IS 'not equal';
COMMENT ON OPERATOR leadscore.< (leadscore.timeline, leadscore.timeline) IS 'less, in the order of bytes';
COMMENT ON OPERATOR leadscore.<= (leadscore.timeline, leadscore.timeline) IS 'less or equal, in the order of bytes';
COMMENT ON OPERATOR leadscore.> (leadscore.timeline, leadscore.timeline) IS 'greater, in the order of bytes';
COMMENT ON OPERATOR leadscore.>= (leadscore.timeline, leadscore.timeline) IS 'greater or equal, in the order of bytes';
COMMENT ON OPERATOR leadscore.+ (leadscore.timeline, leadscore.timeline) IS 'add hour by hour';
COMMENT ON OPERATOR leadscore.- (leadscore.timeline, leadscore.timeline) IS 'subtract hour by hour';
COMMENT ON OPERATOR leadscore.+ (NONE, leadscore.timeline) IS 'the timeline itself';
COMMENT ON OPERATOR leadscore.- (NONE, leadscore.timeline) IS 'negate every occurrence and value';

CREATE OPERATOR CLASS leadscore.timeline_ops DEFAULT FOR TYPE leadscore.timeline USING hash AS
	OPERATOR 1 leadscore.= (leadscore.timeline, leadscore.timeline),
	FUNCTION 1 leadscore_internal.timeline_hash(leadscore.timeline),
	FUNCTION 2 leadscore_internal.timeline_hash_extended(leadscore.timeline, bigint);

COMMENT ON OPERATOR CLASS leadscore.timeline_ops USING hash IS 'equality of timelines';

CREATE OPERATOR CLASS leadscore.timeline_ops DEFAULT FOR TYPE leadscore.timeline USING btree AS
	OPERATOR 1 leadscore.< (leadscore.timeline, leadscore.timeline),
	OPERATOR 2 leadscore.<= (leadscore.timeline, leadscore.timeline),
	OPERATOR 3 leadscore.= (leadscore.timeline, leadscore.timeline),
	OPERATOR 4 leadscore.>= (leadscore.timeline, leadscore.timeline),
	OPERATOR 5 leadscore.> (leadscore.timeline, leadscore.timeline),
	FUNCTION 1 leadscore_internal.timeline_cmp(leadscore.timeline, leadscore.timeline),
	FUNCTION 4 (leadscore.timeline, leadscore.timeline) pg_catalog.btequalimage(oid);

COMMENT ON OPERATOR CLASS leadscore.timeline_ops USING btree IS 'order of timelines by their bytes, for sorting and indexes';
