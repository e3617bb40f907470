# 7: INSERT of 1,000 rows and COPY of many, beside a table without a trigger and one with a statement trigger in PL/pgSQL.

make_writers
batches=100 copied=$((EVENTS / 10 > 0 ? EVENTS / 10 : 1))
sql <<SQL
DROP TABLE IF EXISTS bench.batch;
CREATE TABLE bench.batch AS
SELECT (row_number() OVER ()) / 1000 AS batch, lead_id, kind, value, properties
FROM (SELECT * FROM leadscore.event WHERE event_id % greatest($EVENTS / ($batches * 1000), 1) = 0 LIMIT $batches * 1000) e;
CREATE INDEX ON bench.batch (batch);
VACUUM ANALYZE bench.batch;
COPY (SELECT lead_id, kind, occurred_at, value, properties FROM leadscore.event ORDER BY event_id DESC LIMIT $copied) TO '$WORKSPACE/copied';
SQL
for table in no_trigger immediate deferred statement_trigger; do
    [ $table = deferred ] && [ "$deferred" = 0 ] && continue
    contest "insert 1000, $table" "\\set batch random(0, $((batches - 1)))
INSERT INTO bench.$table (lead_id, kind, occurred_at, value, properties)
SELECT lead_id, kind, now(), value, properties FROM bench.batch WHERE batch = :batch"
done
race_clients 7 1
[ -n "$QUICK" ] || race_clients 7 2
leave_race
for table in no_trigger immediate deferred statement_trigger; do
    [ $table = deferred ] && [ "$deferred" = 0 ] && continue
    contest "copy, $table" "COPY bench.$table (lead_id, kind, occurred_at, value, properties) FROM '$WORKSPACE/copied'"
done
race 7

for what in 'insert 1000, TABLE, 1 client' 'insert 1000, TABLE, 2 clients' 'copy, TABLE'; do
    [ -n "$QUICK" ] && [[ $what = *'2 clients' ]] && continue
    said=${what/copy/copy $copied}
    verdict 7 "${said/TABLE/immediate}" "${what/TABLE/immediate}" "${what/TABLE/no_trigger}" 'at most' 2.3
    verdict 7 "${said/TABLE/immediate}" "${what/TABLE/immediate}" "${what/TABLE/statement_trigger}" 'at least' 1
    if [ "$deferred" = 0 ]; then
        skipped 7 "${said/TABLE/deferred}" 'track() knows no deferred maintenance'
    else
        verdict 7 "${said/TABLE/deferred}" "${what/TABLE/deferred}" "${what/TABLE/no_trigger}" 'at most' 1.3
    fi
done
