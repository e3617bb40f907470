// grafana.mjs DASHBOARD [FROM TO MODEL]: without more, checks a dashboard by the compiler against Grafana's own
// types, and its panels' options against those of each kind of panel. With more, writes its statements, a line of
// JSON each, with Grafana's macros and variables replaced as Grafana does.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const [file, from, to, model] = process.argv.slice(2);
const dashboard = JSON.parse(readFileSync(file, 'utf8'));

function expand(sql)
{
	const quoted = (text) => `'${text.replaceAll("'", "''")}'`;
	const done = sql
		.replace(/\$__timeFilter\(((?:[^()]|\([^()]*\))*)\)/g, (all, column) => `${column} BETWEEN ${quoted(from)} AND ${quoted(to)}`)
		.replace(/\$__timeFrom\(\)/g, quoted(from)).replace(/\$__timeTo\(\)/g, quoted(to))
		.replace(/\$\{model:sqlstring\}/g, quoted(model));

	if (/\$(__|\{)/.test(done))
		throw new Error(`a macro or variable is not known: ${done}`);
	return done;
}

if (model !== undefined) {
	const statements = [...dashboard.panels.flatMap((panel) => panel.targets.map((target) => [panel.title, target.rawSql])),
		...dashboard.templating.list.map((variable) => [variable.name, variable.query])];
	statements.forEach(([name, sql]) => console.log(JSON.stringify([name, expand(sql)])));
	process.exit();
}

const kinds = { stat: 'Stat', timeseries: 'TimeSeries', barchart: 'BarChart', table: 'Table' };
const options = (kind) => `@grafana/schema/dist/esm/raw/composable/${kind}/panelcfg/x/${kinds[kind]}PanelCfg_types.gen`;
const source = [
	"import type { Dashboard } from '@grafana/schema';",
	...Object.keys(kinds).map((kind) => `import type { Options as ${kinds[kind]} } from '${options(kind)}';`),
	// (JSON has the values of enums, not their names)
	'type Json<T> = T extends string ? `${T}` : T extends object ? { [K in keyof T]: Json<T[K]> } : T;',
	`export const dashboard: Json<Dashboard> = ${JSON.stringify(dashboard, null, '\t')};`,
	...dashboard.panels.map((panel) => `export const panel_${panel.id}: Json<Partial<${kinds[panel.type]}>> = ${JSON.stringify(panel.options)};`),
].join('\n');
const folder = mkdtempSync(join(import.meta.dirname ?? new URL('.', import.meta.url).pathname, 'check-'));

try {
	writeFileSync(join(folder, 'dashboard.ts'), source);
	execFileSync(process.execPath, [join(folder, '../node_modules/typescript/bin/tsc'), '--noEmit', '--strict', '--skipLibCheck', '--module', 'nodenext', '--moduleResolution', 'nodenext',
		join(folder, 'dashboard.ts')], { stdio: 'inherit' });
} catch {
	process.exitCode = 1;
} finally {
	rmSync(folder, { recursive: true });
}
