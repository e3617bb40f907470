# 20: an insert of one row on a model that is watched, beside the same where it is not. No lead changes its segment: the
# model is that of the other bars, and everybody is in its last segment. Beside it, for information, the same model with a
# profile signal: timeline, state and profile are then looked up each time.

make_writers
sql -c "SELECT leadscore.publish(leadscore.scorecard('bench') || '{\"model\": \"still\",
            \"segments\": [{\"segment\": \"a\", \"position\": 1, \"min_score\": 1e9}, {\"segment\": \"b\", \"position\": 2, \"min_score\": 1e8}, {\"segment\": \"c\", \"position\": 3}]}')" \
    -c "SELECT leadscore.publish(jsonb_insert(jsonb_insert(leadscore.scorecard('still') || '{\"model\": \"still with profiles\"}',
            '{signals,0}', '{\"signal\": \"german\", \"subject\": \"profile\", \"match\": {\"country\": \"DE\"}}'),
            '{weights,0}', '{\"signal\": \"german\", \"points\": 1}'))" > /dev/null
before_each()
{
    sql -c 'SELECT leadscore.unwatch(model) FROM leadscore.watched_model WHERE active' > /dev/null
    case $1 in
        *', watched,'*) sql -c "CALL leadscore.watch('still')" ;;
        *', watched with profiles,'*) sql -c "CALL leadscore.watch('still with profiles')" ;;
    esac
}
for watched in 'not watched' watched 'watched with profiles'; do
    contest "insert, $watched" "\\set lead random(1, :leads)
INSERT INTO bench.immediate (lead_id, kind, occurred_at, properties) VALUES (:lead::text, 'email_open', now(), '{\"device\": \"mobile\"}')" synchronous_commit=off
done
for clients in 1 2; do
    race_clients 20 $clients
    of="$clients client$([ $clients = 1 ] || echo s)"
    verdict 20 "insert one row, not durable, watched, $of" "insert, watched, $of" "insert, not watched, $of" 'at most' 1.10
done
leave_race
unset -f before_each
sql -c "DELETE FROM leadscore.model WHERE model LIKE 'still%'"
