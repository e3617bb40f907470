# 23: a checkout: an order, three lines of it, a payment, and the order is paid, in one transaction. Three tables are tracked,
# beside the same tables with the same keys that are not. The lines are inserted one by one, or by one statement.

sql -c 'DROP DATABASE IF EXISTS checkout' -c 'CREATE DATABASE checkout'
sql -d checkout -f test/bench/schema.sql -c 'CREATE EXTENSION leadscore' > /dev/null
sql -d checkout > /dev/null <<'SQL'
SELECT leadscore.publish('{
	"model": "shop", "floor": 0,
	"signals": [
		{"signal": "order", "kind": "placed"},
		{"signal": "paid order", "kind": "paid"},
		{"signal": "line", "kind": "line"},
		{"signal": "payment", "kind": "payment"}],
	"weights": [
		{"signal": "order", "points": -5, "half_life": "7 days"},
		{"signal": "paid order", "points": 10, "half_life": "60 days"},
		{"signal": "line", "points": 1, "half_life": "30 days", "max_points": 30},
		{"signal": "payment", "measure": "value", "points": 0.1, "half_life": "90 days"}],
	"segments": [
		{"segment": "high", "position": 1, "min_score": 50},
		{"segment": "low", "position": 2}]
}');
SQL
for arm in tracked untracked; do
    sql -d checkout -v arm=$arm -v customers=20000 -f test/bench/checkout.sql
done
sql -d checkout -c "SELECT leadscore.track('tracked.ord', lead_id => 'customer_id', kind_column => 'status', occurred_at => 'ordered_at', value => 'total')" \
    -c "SELECT leadscore.track('tracked.line', lead_id => 'customer_id', kind => 'line', occurred_at => 'added_at', value => 'amount')" \
    -c "SELECT leadscore.track('tracked.payment', lead_id => 'customer_id', kind => 'payment', occurred_at => 'paid_at', value => 'amount')" > /dev/null
sql -d checkout -c 'VACUUM ANALYZE'    # no checkpoint, after which the log would get each page whole, once

# checkout ARM 'one by one'|'at once'
checkout()
{
    printf '%s\n' '\set customer random(1, 20000)' 'BEGIN;' \
        "INSERT INTO $1.ord (customer_id, status, total) VALUES (:customer, 'placed', 59.70) RETURNING order_id \\gset"
    if [ "$2" = 'one by one' ]; then
        printf "INSERT INTO $1.line (order_id, customer_id, product, quantity, amount) VALUES (:order_id, :customer, '%s', 1, 19.90);\n" shoes shirt socks
    else
        printf '%s\n' "INSERT INTO $1.line (order_id, customer_id, product, quantity, amount) VALUES (:order_id, :customer, 'shoes', 1, 19.90)," \
            "(:order_id, :customer, 'shirt', 1, 19.90), (:order_id, :customer, 'socks', 1, 19.90);"
    fi
    printf '%s\n' "INSERT INTO $1.payment (order_id, customer_id, amount) VALUES (:order_id, :customer, 59.70);" \
        "UPDATE $1.ord SET status = 'paid' WHERE order_id = :order_id;" 'COMMIT'
}

for lines in 'one by one' 'at once'; do
    for arm in tracked untracked; do
        contest "checkout, lines $lines, $arm" "$(checkout $arm "$lines")" synchronous_commit=on
    done
done
for clients in 1 $([ -n "$QUICK" ] || echo 2); do
    race_clients 23 $clients checkout
    of="$clients client$([ $clients = 1 ] || echo s)"
    for lines in 'one by one' 'at once'; do
        verdict 23 "checkout, lines $lines, $of" "checkout, lines $lines, tracked, $of" "checkout, lines $lines, untracked, $of" 'at most' 1.3 work
    done
done
leave_race
[ "$(sql -d checkout -c 'SELECT count(*) FROM leadscore.verify()')" = 0 ] || die 'The timelines of checkouts do not equal the orders.'
sql -c 'DROP DATABASE checkout'
