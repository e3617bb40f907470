# The verdicts as a markdown table, with what one must know to judge them.

spread=$(sql -c 'SELECT round(percentile_cont(0.5) WITHIN GROUP (ORDER BY spread)::numeric) FROM bench.median')
cat <<MARKDOWN
$EVENTS events of $leads leads, 30 weights; $REPEATS repeats in turn, medians.
$(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores, $(awk '/MemTotal/ { printf "%.0f GB", $2 / 1048576 }' /proc/meminfo); $(uname -sr);
PostgreSQL $(sql -c 'SHOW server_version'), shared_buffers $(sql -c 'SHOW shared_buffers'), work_mem $(sql -c 'SHOW work_mem'), jit $(sql -c 'SHOW jit'); $(date -u +%F).
Noise: from the least to the most repeat, in percent of the median: $spread % for the median contestant; each row gives ours / the other's.
Figures are medians of the ratios of each turn. The last three columns: ours by the other's, in time, in what the sessions computed, and in bytes of the log.

MARKDOWN
sql -F ' | ' <<'SQL' | sed 's/^/| /; s/$/ |/'
SELECT 'bar', 'what', 'ours', 'beside', 'figure', 'wanted', 'met', 'noise', 'time', 'computed', 'log'
UNION ALL SELECT '--:', '---', '--:', '---', '--:', '---', '---', '---', '--:', '--:', '--:';
SELECT bar, what, coalesce(ours, ''), coalesce(beside, ''), coalesce(ratio::text, ''), wanted,
	CASE met WHEN true THEN 'met' WHEN false THEN '**missed**' ELSE '' END, coalesce(noise, ''),
	coalesce(time_ratio::text, ''), coalesce(computed_ratio::text, ''), coalesce(logged_ratio::text, '')
FROM bench.verdict ORDER BY bar, id;
SQL
