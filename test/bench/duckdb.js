// Bar 16: the scoring of plain.sql (flat) in DuckDB. Prints bar, contestant and milliseconds, tab-separated, and after
// that the sum of all scores.
// Arguments: the events as CSV, the hour to score at, the number of repeats.

const { DuckDBInstance } = require('@duckdb/node-api');
const [csv, hour, repeats] = process.argv.slice(2);

const decayed = (days) => `exp(-0.69314718055994530942 / ${24 * days} * (${hour} - hour))`;
const sum = (name, points, days, condition) => `sum(${points} * ${decayed(days)}) FILTER (WHERE ${condition}) AS ${name}`;
const kind = (name, more) => `kind = '${name}'` + (more ? ` AND ${more}` : '');

const query = `
SELECT sum(score) FROM (
	SELECT lead_id, greatest(0, least(80,
			least(15, coalesce(w1, 0)) + least(10, coalesce(w2, 0)) + CASE WHEN w3 >= 50 THEN 5 ELSE 0 END
			+ least(20, coalesce(w4, 0)) + CASE WHEN w5 >= 30 THEN 6 WHEN w5 >= 10 THEN 3 ELSE 0 END
			+ least(30, coalesce(w21, 0)) + least(30, coalesce(w22, 0)) + least(10, coalesce(w24, 0)) + least(5, coalesce(w25, 0))
			+ coalesce(w26, 0))
		+ least(25, least(10, coalesce(w7, 0)) + least(20, coalesce(w8, 0)))
		+ least(10, coalesce(w9, 0)) + least(40, coalesce(w10, 0)) + least(20, coalesce(w11, 0)) + coalesce(w12, 0)
		+ least(10, coalesce(w13, 0)) + least(40, coalesce(w14, 0)) + least(25, coalesce(w15, 0)) + coalesce(w16, 0)
		+ greatest(-15, coalesce(w17, 0)) + coalesce(w18, 0) + least(100, coalesce(w19, 0))
		+ CASE WHEN w20 > ${hour} - 14 * 24 THEN 10 ELSE 0 END
		+ greatest(-20, coalesce(w23, 0)) + least(8, coalesce(w27, 0)) + coalesce(w28, 0) + least(10, coalesce(w29, 0))
		+ coalesce(w30, 0)) AS score
	FROM (SELECT lead_id,
		${sum('w1', 0.5, 3, kind('page_view'))},
		${sum('w2', 0.1, 30, kind('page_view'))},
		count(*) FILTER (WHERE ${kind('page_view', `hour > ${hour} - 30 * 24`)}) AS w3,
		${sum('w4', 1, 7, kind('product_view'))},
		count(*) FILTER (WHERE ${kind('product_view', `hour > ${hour} - 14 * 24`)}) AS w5,
		${sum('w7', 0.5, 14, kind('email_open'))},
		${sum('w8', 2, 14, kind('email_click'))},
		${sum('w9', 1, 7, kind('search'))},
		${sum('w10', 4, 5, kind('add_to_cart'))},
		${sum('w11', '0.02 * value', 10, kind('add_to_cart'))},
		${sum('w12', 1.5, 21, kind('video_play'))},
		${sum('w13', '0.01 * value', 21, kind('video_play'))},
		${sum('w14', 8, 30, kind('form_submit'))},
		${sum('w15', 5, 45, kind('download'))},
		${sum('w16', 1, 7, kind('login'))},
		${sum('w17', -3, 30, kind('support_ticket'))},
		${sum('w18', 20, 60, kind('purchase'))},
		${sum('w19', '0.05 * value', 60, kind('purchase'))},
		max(hour) FILTER (WHERE ${kind('purchase')}) AS w20,
		${sum('w21', 5, 10, kind('page_view', "url = '/pricing'"))},
		${sum('w22', 6, 14, kind('page_view', "url = '/demo'"))},
		${sum('w23', -5, 60, kind('page_view', "url = '/careers'"))},
		${sum('w24', 0.5, 20, kind('page_view', "starts_with(url, '/docs')"))},
		${sum('w25', 0.2, 3, kind('page_view', "device = 'mobile'"))},
		${sum('w26', 0.5, 14, kind('product_view', "category = 'shoes'"))},
		${sum('w27', 1, 7, kind('search', "category = 'coats'"))},
		${sum('w28', 2, 14, kind('add_to_cart', "category = 'bags'"))},
		${sum('w29', 1, 7, kind('add_to_cart', "device = 'desktop'"))},
		${sum('w30', 5, 60, kind('purchase', "device = 'desktop'"))}
		FROM event GROUP BY lead_id) e) s`;

async function main() {
	const connection = await (await DuckDBInstance.create(':memory:')).connect();
	await connection.run(`CREATE TABLE event AS SELECT * FROM read_csv('${csv}', header = true, columns = {
		'lead_id': 'VARCHAR', 'kind': 'VARCHAR', 'hour': 'INTEGER', 'value': 'DOUBLE', 'url': 'VARCHAR', 'device': 'VARCHAR', 'category': 'VARCHAR'})`);
	let sum;
	for (let i = 0; i < repeats; i++)
		for (const threads of [1, 2]) {
			await connection.run(`SET threads = ${threads}`);
			const began = process.hrtime.bigint();
			const rows = await (await connection.runAndReadAll(query)).getRows();
			const ms = Number(process.hrtime.bigint() - began) / 1e6;
			console.log([16, threads === 1 ? 'DuckDB, 1 thread' : 'DuckDB, 2 threads', ms].join('\t'));
			sum = rows[0][0];
		}
	console.log(`sum ${sum}`);
}

main().catch((error) => { console.error(error.message); process.exit(1); });
