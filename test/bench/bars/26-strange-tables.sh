# 26: making and changing tables that have nothing to do with us, beside the same with our event triggers disabled, where 300
# and 600 partitions are tracked; and 800 tables in one transaction.

sql <<'SQL'
CREATE SCHEMA strange;
CREATE TABLE strange.visits (lead text, kind text, at timestamptz) PARTITION BY RANGE (at);
CREATE PROCEDURE strange.partitions(first int, last int) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN first .. last LOOP
		EXECUTE format('CREATE TABLE strange.visits_%s PARTITION OF strange.visits FOR VALUES FROM (%L) TO (%L)', i, timestamptz '2020-01-01' + i * interval '1 day',
			timestamptz '2020-01-01' + (i + 1) * interval '1 day');
		COMMIT;
	END LOOP;
END $$;
CREATE PROCEDURE strange.make(n int) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. n LOOP
		EXECUTE format('CREATE TABLE strange.t%s (id int)', i);
		EXECUTE format('ALTER TABLE strange.t%s ADD COLUMN name text', i);
	END LOOP;
	ROLLBACK;
END $$;
CALL strange.partitions(1, 300);
SELECT leadscore.track('strange.visits', lead_id => 'lead', kind_column => 'kind', occurred_at => 'at');
SQL

# follow YES|NO: the event triggers of ours
follow() { printf 'ALTER EVENT TRIGGER leadscore_follow_children %s; ALTER EVENT TRIGGER leadscore_follow_drops %s' "$1" "$1"; }

for partitions in 300 600; do
    if [ "$partitions" = 600 ]; then
        sql -c 'CALL strange.partitions(301, 600)'
    fi
    contest "100 tables made and changed, $partitions partitions tracked" 'CALL strange.make(100)' "$(follow ENABLE)"
    contest "100 tables made and changed, $partitions partitions tracked, not followed" 'CALL strange.make(100)' "$(follow DISABLE)"
    race 26
    verdict 26 "tables of others, $partitions partitions tracked" "100 tables made and changed, $partitions partitions tracked" \
        "100 tables made and changed, $partitions partitions tracked, not followed" 'at most' 1.5
    # of the 200 commands each
    figure 26 "a CREATE or ALTER TABLE of others, $partitions partitions tracked, takes longer by" \
        "(SELECT max(ms) FILTER (WHERE contestant NOT LIKE '%not followed') - max(ms) FILTER (WHERE contestant LIKE '%not followed') FROM bench.median WHERE bar = 26 AND contestant LIKE '100 tables%$partitions%') / 200" \
        ' ms' 'at most' 1
done
contest '800 tables made and changed' 'CALL strange.make(800)' "$(follow ENABLE)"
contest '800 tables made and changed, not followed' 'CALL strange.make(800)' "$(follow DISABLE)"
race 26
verdict 26 '800 tables of others in one transaction' '800 tables made and changed' '800 tables made and changed, not followed' 'at most' 1.5
sql -c "$(follow ENABLE)" -c "SELECT leadscore.untrack('strange.visits')" -c 'DROP TABLE strange.visits' -c 'DROP SCHEMA strange CASCADE' > /dev/null
