# 29: lines that count for customers by their orders: 1,000 lines inserted whose orders are aliases, beside lines of the
# same kind whose orders are none; an order that changes its customer, among a million lines; and aliases loaded.

lines=$((EVENTS < 1000000 ? EVENTS : 1000000)) orders=$((EVENTS < 1000000 ? EVENTS / 10 : 100000))
sql <<SQL
CREATE SCHEMA aliases;
CREATE TABLE aliases.orders (id int PRIMARY KEY, customer int);
CREATE TABLE aliases.loaded (id int PRIMARY KEY, customer int);
CREATE TABLE aliases.lines (order_id int, at timestamptz DEFAULT '2026-01-01', price numeric);
CREATE TABLE aliases.bare_lines (order_id int, at timestamptz DEFAULT '2026-01-01', price numeric);
CREATE INDEX ON aliases.lines (('order:' || order_id));
CREATE INDEX ON aliases.bare_lines (('bare:' || order_id));
INSERT INTO aliases.orders SELECT i, i % 1000 FROM generate_series(1, $orders) i;
INSERT INTO aliases.lines (order_id, price) SELECT 1 + i % $orders, i % 50 FROM generate_series(1, $lines) i;
INSERT INTO aliases.bare_lines SELECT * FROM aliases.lines;
ANALYZE aliases.orders, aliases.lines, aliases.bare_lines;
DO \$\$
DECLARE
	source record;
BEGIN
	FOR source IN SELECT s.source, quote_ident(s.lead_id) AS key FROM leadscore.source s WHERE s.feeds = 'timeline' AND s.source <> 'leadscore.event'::regclass LOOP
		EXECUTE format('CREATE INDEX ON %s (%s)', source.source, source.key);
	END LOOP;
END \$\$;
SELECT leadscore.track('aliases.lines', lead_id => '''order:'' || order_id', kind => 'purchase', occurred_at => 'at', value => 'price');
SELECT leadscore.track('aliases.bare_lines', lead_id => '''bare:'' || order_id', kind => 'purchase', occurred_at => 'at', value => 'price');
SELECT leadscore.track_alias('aliases.orders', alias => '''order:'' || id', lead_id => '''customer:'' || customer');
SELECT leadscore.track_alias('aliases.loaded', alias => '''loaded:'' || id', lead_id => '''customer:'' || customer');
SELECT leadscore.fold();
SQL

before_each() { sql -c 'SELECT leadscore.fold()' > /dev/null; }
for table in lines bare_lines; do
    contest "insert 1000 $table" "\\set first random(1, $((orders - 1000)))
INSERT INTO aliases.$table (order_id, price) SELECT i, 5 FROM generate_series(:first, :first + 999) i"
done
contest 'change one alias' "\\set id random(1, $orders)
UPDATE aliases.orders SET customer = customer + 1 WHERE id = :id"
race_clients 29 1
leave_race
unset -f before_each
contest 'load aliases' "INSERT INTO aliases.loaded SELECT i, i % 1000 FROM generate_series(1, $orders) i" 'TRUNCATE aliases.loaded'
race 29
verdict 29 'insert 1000 lines whose orders are aliases' 'insert 1000 lines, 1 client' 'insert 1000 bare_lines, 1 client' 'at most' 1.25 computing
figure 29 "change one alias among $lines lines, computed" "SELECT computed FROM bench.median WHERE bar = 29 AND contestant = 'change one alias, 1 client'" ' ms' 'at most' 5
figure 29 'aliases loaded a second, computed' "SELECT $orders / computed * 1000 FROM bench.median WHERE bar = 29 AND contestant = 'load aliases'" '' 'at least' 100000
sql -c "SELECT leadscore.untrack(s) FROM unnest('{aliases.loaded,aliases.orders,aliases.lines,aliases.bare_lines}'::regclass[]) s" -c 'DROP SCHEMA aliases CASCADE' > /dev/null
