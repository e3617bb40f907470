# 12: the snapshot brought up to date after an hour of new events, beside a materialized view of plain SQL with the same
# indexes. An hour passes for everyone: plain SQL reads the time from bench.clock; our weights lose what an hour takes
# from them, so that as many scores change as would. And what is left of it if scores were known: copied from a table.

sql <<SQL
CREATE MATERIALIZED VIEW IF NOT EXISTS bench.plain_segment AS
SELECT lead_id, score, CASE WHEN score >= 100 THEN 'high' WHEN score >= 25 THEN 'medium' ELSE 'low' END AS segment
FROM bench.plain_flat;
CREATE UNIQUE INDEX IF NOT EXISTS plain_segment_key ON bench.plain_segment (lead_id);
CREATE INDEX IF NOT EXISTS plain_segment_score_idx ON bench.plain_segment (segment, score DESC);

CREATE OR REPLACE FUNCTION bench.pass_hour() RETURNS void
	LANGUAGE sql
BEGIN ATOMIC
	UPDATE bench.clock SET at = at + interval '1 hour', hour = hour + 1;
	UPDATE leadscore.weight SET points = points * 2 ^ (-3600 / extract(epoch FROM half_life)::float8)
	WHERE model = 'bench' AND half_life IS NOT NULL;
	INSERT INTO leadscore.event (lead_id, kind, occurred_at, value, properties)
	SELECT lead_id, kind, now(), value, properties FROM leadscore.event
	WHERE event_id <= (SELECT max(event_id) FROM leadscore.event) ORDER BY event_id DESC LIMIT $EVENTS / (90 * 24) + 1;
END;
SELECT leadscore.refresh_segments(false);
CREATE TABLE IF NOT EXISTS bench.known_score AS SELECT * FROM leadscore.lead_segment;
CREATE MATERIALIZED VIEW IF NOT EXISTS bench.known_segment AS SELECT * FROM bench.known_score;
CREATE UNIQUE INDEX IF NOT EXISTS known_segment_key ON bench.known_segment (lead_id, model);
CREATE INDEX IF NOT EXISTS known_segment_score_idx ON bench.known_segment (model, segment, score DESC);
SQL
hour='SELECT bench.pass_hour()'
contest 'refresh' 'SELECT leadscore.refresh_segments(false)' "$hour"
contest 'refresh, plain SQL' 'REFRESH MATERIALIZED VIEW bench.plain_segment' "$hour"
contest 'refresh, scores known' 'REFRESH MATERIALIZED VIEW bench.known_segment' "$hour"
contest 'refresh concurrently' 'SELECT leadscore.refresh_segments(true)' "$hour"
contest 'refresh concurrently, plain SQL' 'REFRESH MATERIALIZED VIEW CONCURRENTLY bench.plain_segment' "$hour"
race 12
verdict 12 'refresh_segments(false)' 'refresh' 'refresh, plain SQL' 'at least' 10
verdict 12 'refresh, scores known' 'refresh, scores known' 'refresh, plain SQL' 'at least'
verdict 12 'refresh_segments(true)' 'refresh concurrently' 'refresh concurrently, plain SQL' 'at least' 3
