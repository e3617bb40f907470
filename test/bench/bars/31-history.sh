# 31: history and figures: 91 days of segments, the flow of 30 days, and all key figures, beside everyone's score; and
# what a dashboard reads of them, in seconds: at most 5 for 500,000 leads, and 1 for 20,000 (bar 22's shop, made
# anew).

at=$(sql -c 'SELECT at FROM bench.clock')
contest 'score everyone beside history' "$(everyone)"
contest 'history of 91 days' "SELECT * FROM leadscore.segment_history('bench', '$at'::timestamptz - interval '90 days', '$at')"
contest 'flow of 30 days' "SELECT * FROM leadscore.segment_flow('bench', '$at'::timestamptz - interval '30 days', '$at')"
contest 'refresh_figures()' 'SELECT leadscore.refresh_figures()'
race 31
verdict 31 'history of 91 days' 'history of 91 days' 'score everyone beside history' 'at most' 15
verdict 31 'flow of 30 days' 'flow of 30 days' 'score everyone beside history' 'at most' 15
verdict 31 'refresh_figures()' 'refresh_figures()' 'score everyone beside history' 'at most' 20

# page DATABASE LEADS SECONDS: each statement of a dashboard's page, and the sum of their times
page()
{
    local name statement

    while IFS=: read -r name statement; do
        contest "$2 leads, page: $name" "$statement"
    done < test/bench/page
    race 31 "$1"
    figure 31 "a dashboard's statements, $2 leads" "(SELECT sum(ms) / 1000 FROM bench.median WHERE contestant LIKE '$2 leads, page: %')" ' s' 'at most' "$3"
}

sql -c 'SELECT leadscore.refresh_segments(false), leadscore.refresh_figures()' > /dev/null
page "$PGDATABASE" "$leads" 5

sql -c 'DROP DATABASE IF EXISTS shop' -c 'CREATE DATABASE shop'
sql -d shop -c 'CREATE EXTENSION leadscore' > /dev/null
for file in schema model workload shop; do
    sql -d shop -v events=400000 -f "test/bench/$file.sql" > /dev/null
done
sql -d shop -c 'SELECT leadscore.refresh_segments(false), leadscore.refresh_figures()' > /dev/null
page shop 20000 1
