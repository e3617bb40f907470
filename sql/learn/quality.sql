-- quality.sql: how good scores and probabilities are: aggregates for any table

-- private functions

CREATE FUNCTION leadscore_internal.ranking_transition(internal, float8, boolean) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.ranking_merge(internal, internal) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.ranking_serialize(internal) RETURNS bytea
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.ranking_deserialize(bytea, internal) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.roc_auc_final(internal) RETURNS float8
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.roc_auc_error_final(internal) RETURNS float8
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.average_precision_final(internal) RETURNS float8
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.ks_final(internal) RETURNS float8
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.gains_final(internal) RETURNS float8[]
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.bands_final(internal) RETURNS float8[]
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.fine_bands_final(internal) RETURNS float8[]
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.log_loss_transition(internal, float8, boolean) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.brier_transition(internal, float8, boolean) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.mean_loss_merge(internal, internal) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.mean_loss_serialize(internal) RETURNS bytea
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.mean_loss_deserialize(bytea, internal) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.mean_loss_final(internal) RETURNS float8
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION leadscore_internal.ranking_transition(internal, float8, boolean) IS 'aggregate transition function';
COMMENT ON FUNCTION leadscore_internal.ranking_merge(internal, internal) IS 'aggregate combine function';
COMMENT ON FUNCTION leadscore_internal.ranking_serialize(internal) IS 'aggregate serial function';
COMMENT ON FUNCTION leadscore_internal.ranking_deserialize(bytea, internal) IS 'aggregate deserial function';
COMMENT ON FUNCTION leadscore_internal.roc_auc_final(internal) IS 'aggregate final function';
COMMENT ON FUNCTION leadscore_internal.roc_auc_error_final(internal) IS 'aggregate final function';
COMMENT ON FUNCTION leadscore_internal.average_precision_final(internal) IS 'aggregate final function';
COMMENT ON FUNCTION leadscore_internal.ks_final(internal) IS 'aggregate final function';
COMMENT ON FUNCTION leadscore_internal.gains_final(internal) IS 'aggregate final function';
COMMENT ON FUNCTION leadscore_internal.bands_final(internal) IS 'aggregate final function';
COMMENT ON FUNCTION leadscore_internal.fine_bands_final(internal) IS 'aggregate final function';
COMMENT ON FUNCTION leadscore_internal.log_loss_transition(internal, float8, boolean) IS 'aggregate transition function';
COMMENT ON FUNCTION leadscore_internal.brier_transition(internal, float8, boolean) IS 'aggregate transition function';
COMMENT ON FUNCTION leadscore_internal.mean_loss_merge(internal, internal) IS 'aggregate combine function';
COMMENT ON FUNCTION leadscore_internal.mean_loss_serialize(internal) IS 'aggregate serial function';
COMMENT ON FUNCTION leadscore_internal.mean_loss_deserialize(bytea, internal) IS 'aggregate deserial function';
COMMENT ON FUNCTION leadscore_internal.mean_loss_final(internal) IS 'aggregate final function';

-- aggregates: the first seven share their state, so that several of them in one
-- query rank the rows once

CREATE AGGREGATE leadscore.roc_auc(score float8, outcome boolean) (
	SFUNC = leadscore_internal.ranking_transition,
	STYPE = internal,
	SSPACE = 1024,
	FINALFUNC = leadscore_internal.roc_auc_final,
	COMBINEFUNC = leadscore_internal.ranking_merge,
	SERIALFUNC = leadscore_internal.ranking_serialize,
	DESERIALFUNC = leadscore_internal.ranking_deserialize,
	PARALLEL = safe
);

CREATE AGGREGATE leadscore.roc_auc_error(score float8, outcome boolean) (
	SFUNC = leadscore_internal.ranking_transition,
	STYPE = internal,
	SSPACE = 1024,
	FINALFUNC = leadscore_internal.roc_auc_error_final,
	COMBINEFUNC = leadscore_internal.ranking_merge,
	SERIALFUNC = leadscore_internal.ranking_serialize,
	DESERIALFUNC = leadscore_internal.ranking_deserialize,
	PARALLEL = safe
);

CREATE AGGREGATE leadscore.average_precision(score float8, outcome boolean) (
	SFUNC = leadscore_internal.ranking_transition,
	STYPE = internal,
	SSPACE = 1024,
	FINALFUNC = leadscore_internal.average_precision_final,
	COMBINEFUNC = leadscore_internal.ranking_merge,
	SERIALFUNC = leadscore_internal.ranking_serialize,
	DESERIALFUNC = leadscore_internal.ranking_deserialize,
	PARALLEL = safe
);

CREATE AGGREGATE leadscore.ks(score float8, outcome boolean) (
	SFUNC = leadscore_internal.ranking_transition,
	STYPE = internal,
	SSPACE = 1024,
	FINALFUNC = leadscore_internal.ks_final,
	COMBINEFUNC = leadscore_internal.ranking_merge,
	SERIALFUNC = leadscore_internal.ranking_serialize,
	DESERIALFUNC = leadscore_internal.ranking_deserialize,
	PARALLEL = safe
);

CREATE AGGREGATE leadscore_internal.gains(score float8, outcome boolean) (
	SFUNC = leadscore_internal.ranking_transition,
	STYPE = internal,
	SSPACE = 1024,
	FINALFUNC = leadscore_internal.gains_final,
	COMBINEFUNC = leadscore_internal.ranking_merge,
	SERIALFUNC = leadscore_internal.ranking_serialize,
	DESERIALFUNC = leadscore_internal.ranking_deserialize,
	PARALLEL = safe
);

CREATE AGGREGATE leadscore_internal.bands(score float8, outcome boolean) (
	SFUNC = leadscore_internal.ranking_transition,
	STYPE = internal,
	SSPACE = 1024,
	FINALFUNC = leadscore_internal.bands_final,
	COMBINEFUNC = leadscore_internal.ranking_merge,
	SERIALFUNC = leadscore_internal.ranking_serialize,
	DESERIALFUNC = leadscore_internal.ranking_deserialize,
	PARALLEL = safe
);

CREATE AGGREGATE leadscore_internal.fine_bands(score float8, outcome boolean) (
	SFUNC = leadscore_internal.ranking_transition,
	STYPE = internal,
	SSPACE = 1024,
	FINALFUNC = leadscore_internal.fine_bands_final,
	COMBINEFUNC = leadscore_internal.ranking_merge,
	SERIALFUNC = leadscore_internal.ranking_serialize,
	DESERIALFUNC = leadscore_internal.ranking_deserialize,
	PARALLEL = safe
);

CREATE AGGREGATE leadscore.log_loss(probability float8, outcome boolean) (
	SFUNC = leadscore_internal.log_loss_transition,
	STYPE = internal,
	SSPACE = 64,
	FINALFUNC = leadscore_internal.mean_loss_final,
	COMBINEFUNC = leadscore_internal.mean_loss_merge,
	SERIALFUNC = leadscore_internal.mean_loss_serialize,
	DESERIALFUNC = leadscore_internal.mean_loss_deserialize,
	PARALLEL = safe
);

CREATE AGGREGATE leadscore.brier(probability float8, outcome boolean) (
	SFUNC = leadscore_internal.brier_transition,
	STYPE = internal,
	SSPACE = 64,
	FINALFUNC = leadscore_internal.mean_loss_final,
	COMBINEFUNC = leadscore_internal.mean_loss_merge,
	SERIALFUNC = leadscore_internal.mean_loss_serialize,
	DESERIALFUNC = leadscore_internal.mean_loss_deserialize,
	PARALLEL = safe
);

COMMENT ON AGGREGATE leadscore.roc_auc(float8, boolean) IS 'the area under the ROC curve: how often a converting lead has the higher score';
COMMENT ON AGGREGATE leadscore.roc_auc_error(float8, boolean) IS 'the standard error of roc_auc()';
COMMENT ON AGGREGATE leadscore.average_precision(float8, boolean) IS 'the area under the precision-recall curve, step by step';
COMMENT ON AGGREGATE leadscore.ks(float8, boolean) IS 'how far the score distributions of both outcomes lie apart at the most';
COMMENT ON AGGREGATE leadscore_internal.gains(float8, boolean) IS 'rows, conversions, lowest, highest and mean score of each tenth of the rows';
COMMENT ON AGGREGATE leadscore_internal.bands(float8, boolean) IS 'rows without and with a conversion in each of at most five bands of scores';
COMMENT ON AGGREGATE leadscore_internal.fine_bands(float8, boolean) IS 'rows without and with a conversion, and the lower border, of each of about twenty bands of scores';
COMMENT ON AGGREGATE leadscore.log_loss(float8, boolean) IS 'the mean of minus the natural logarithm of the probability that the outcome was given';
COMMENT ON AGGREGATE leadscore.brier(float8, boolean) IS 'the mean squared distance of the probability from the outcome';
