# 32: an event of a lead with five years' daily activity in eleven signals (a timeline of 20 kB), beside one of a lead
# with ten events; and the same while a model is watched. No lead changes its segment.

make_writers
sql <<'SQL'
INSERT INTO bench.immediate (lead_id, kind, occurred_at, properties)
SELECT 'long', k.kind, now() - d * interval '1 day', k.properties::jsonb
FROM generate_series(1, 1825) d, (VALUES ('page_view', '{"url": "/pricing", "device": "mobile"}'), ('product_view', '{"category": "shoes"}'), ('email_open', '{}'),
	('search', '{"category": "coats"}'), ('email_click', '{}'), ('login', '{}'), ('download', '{}')) k (kind, properties);
INSERT INTO bench.immediate (lead_id, kind, occurred_at) SELECT 'short', 'page_view', now() - d * interval '1 day' FROM generate_series(1, 10) d;
SELECT leadscore.publish(leadscore.scorecard('bench') || '{"model": "still",
	"segments": [{"segment": "a", "position": 1, "min_score": 1e9}, {"segment": "b", "position": 2, "min_score": 1e8}, {"segment": "c", "position": 3}]}') \g /dev/null
SQL
before_each()
{
    fold_all
    sql -c 'SELECT leadscore.unwatch(model) FROM leadscore.watched_model WHERE active' > /dev/null
    if [[ $1 == *', watched,'* ]]; then
        sql -c "CALL leadscore.watch('still')"
    fi
}
for watched in '' ', watched'; do
    for lead in short long; do
        contest "insert, $lead timeline$watched" "${insert_row/TABLE/immediate}" synchronous_commit=off
        statements[-1]=${statements[-1]//:lead::text/"'$lead'"}
    done
done
race_clients 32 1
leave_race
unset -f before_each
for watched in '' ', watched'; do
    long="insert, long timeline$watched, 1 client" short="insert, short timeline$watched, 1 client"
    verdict 32 "an event of a large timeline$watched" "$long" "$short" 'at most' 1.5 computing
    figure 32 "an event of a large timeline$watched: log, times that of a short one" "SELECT logged FROM bench.ratios('$long', '$short')" '' 'at most' 3
done
sql -c "DELETE FROM leadscore.model WHERE model = 'still'"
fold_all
