-- evenly spread in 0 <= chance < 1, for row n; each use has its own salt
CREATE FUNCTION pg_temp.chance(n bigint, salt bigint) RETURNS float8
	IMMUTABLE LANGUAGE sql
RETURN (hashint8extended(n, salt) & ((1::bigint << 52) - 1)) / (1::bigint << 52)::float8;

CREATE FUNCTION pg_temp.choice(choices text[], chance float8) RETURNS text
	IMMUTABLE LANGUAGE sql
RETURN choices[1 + floor(chance * cardinality(choices))];
