# 21: customer value: the fit to the 23,570 customers of CDNOW, beside plain SQL that only finds what is fitted of each (x,
# t_x, T and the value) and does not fit it; the fit to all leads by the signal's name, with what is pending, beside that to their timelines; and
# everybody's forecast, beside everyone's score and the same scan.

if [ -r "${SHARED_DATA:-}/cdnow/transactions.csv.gz" ]; then
    sql <<SQL > /dev/null
CREATE TABLE IF NOT EXISTS bench.cdnow (customer_id int, order_date date, quantity int, amount numeric);
TRUNCATE bench.cdnow;
COPY bench.cdnow FROM PROGRAM 'gzip -dc $SHARED_DATA/cdnow/transactions.csv.gz' (FORMAT csv, HEADER);
CREATE TABLE IF NOT EXISTS bench.cdnow_timeline AS
SELECT customer_id, leadscore.timeline_agg('{"signals": [{"signal_id": 1, "signal": "purchase"}]}', 'purchase', order_date, amount, NULL) AS timeline
FROM bench.cdnow GROUP BY 1;
VACUUM ANALYZE bench.cdnow, bench.cdnow_timeline;
SQL
    contest 'fit of CDNOW' "SELECT leadscore.fit_clv(timeline, 1, '1997-09-30', '7 days') FROM bench.cdnow_timeline"
    contest 'x, t_x and T of CDNOW, plain SQL' "SELECT count(*), sum(x), sum(t_x), sum(t), sum(value) FROM (
        SELECT customer_id, count(*) - 1 AS x, (max(order_date) - min(order_date)) / 7.0 AS t_x, ('1997-09-30' - min(order_date)) / 7.0 AS t,
            sum(amount) FILTER (WHERE order_date > first) AS value
        FROM (SELECT customer_id, order_date, sum(amount) AS amount, min(order_date) OVER (PARTITION BY customer_id) AS first
            FROM bench.cdnow WHERE order_date <= '1997-09-30' GROUP BY 1, 2) d
        GROUP BY 1) c"
    race 21
    verdict 21 'fit of CDNOW, 23,570 customers' 'fit of CDNOW' 'x, t_x and T of CDNOW, plain SQL' 'at most' 0.5
    figure 21 'fit of CDNOW' "(SELECT ms / 1000 FROM bench.median WHERE contestant = 'fit of CDNOW')" ' s' 'at most' 2
else
    skipped 21 'fit of CDNOW' 'SHARED_DATA has no cdnow'
fi

at=$(sql -c 'SELECT at FROM bench.clock')
id=$(sql -c "SELECT signal_id FROM leadscore.signal WHERE signal = 'purchase'")
sql -c "CREATE TABLE IF NOT EXISTS bench.value_model AS SELECT '{\"signal_id\": $id, \"bg_nbd\": {\"r\": 0.25, \"alpha\": 4.8, \"a\": 0.72, \"b\": 2.2}, \"gamma_gamma\": {\"p\": 6.3, \"q\": 3.6, \"gamma\": 15}}'::jsonb AS params" > /dev/null
contest 'fit to all leads' "SELECT leadscore.fit_clv('purchase', '$at')"
contest 'fit to all timelines' "SELECT leadscore.fit_clv(timeline, $id, '$at', '7 days') FROM leadscore.lead_timeline"
contest 'value everyone' "SELECT sum(expected_value) FROM leadscore.lead_timeline, leadscore.clv(timeline, (SELECT params FROM bench.value_model), '1 year', '$at')"
contest 'score everyone beside value' "$(everyone)"
race 21
verdict 21 'fit to all leads' 'fit to all leads' 'fit to all timelines' 'at most' 3
verdict 21 'value everyone' 'value everyone' 'score everyone beside value' 'at most' 4
