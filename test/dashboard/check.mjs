// check.mjs CHROMIUM PLAN: opens pages in a browser and looks at what is drawn. The plan is JSON, an array of
//   { page, width, dark, rows: { panel: its rows by SQL, or [] }, texts: [texts that the page shows] }
// and what comes out is a line for each complaint. Exits with 1 if there is any.

import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { browse, evaluate, open } from './browser.mjs';

const [program, plan] = process.argv.slice(2);
const complaints = [];

// What is on the page, as the browser has it. (Runs there.)
const look = () => {
	const cells = (section, part) => [...section.querySelectorAll(`table ${part} tr`)].map((tr) => [...tr.children].map((cell) => cell.textContent));
	const panel = (section) => {
		const box = section.querySelector('.chart');
		const svg = box && box.querySelector('svg');
		const { width, height } = (box || section).getBoundingClientRect();
		return {
			heading: section.querySelector('h2').textContent, how: section.querySelector('.how').textContent,
			named: Boolean(document.getElementById(section.getAttribute('aria-labelledby'))), width, height,
			chart: box && { drawnWidth: svg ? svg.getBoundingClientRect().width : 0,
				label: box.getAttribute('aria-label'), role: box.getAttribute('role'), shapes: svg ? svg.querySelectorAll('path, text').length : 0,
				series: svg ? echarts.getInstanceByDom(box).getOption().series.map((s) => (s.links || s.data).map((d) => d.value ?? d)) : [] },
			head: cells(section, 'thead')[0], rows: cells(section, 'tbody'),
			advice: [...section.querySelectorAll('.empty, .problem')].map((p) => p.textContent).join(' '),
			cut: [...section.querySelectorAll('.scroll')].some((s) => s.scrollWidth > s.clientWidth + 1 && !s.closest('details')),
		};
	};
	return {
		panels: Object.fromEntries([...document.querySelectorAll('section')].map((section) => [section.id.replace('panel-', ''), panel(section)])),
		tiles: [...document.querySelectorAll('.tiles li')].map((li) => [...li.children].map((child) => child.textContent)),
		text: document.body.textContent, overflow: document.documentElement.scrollWidth - innerWidth,
		foreign: document.querySelectorAll('img, iframe, object, embed, link:not([rel=icon]), [src], [onerror], [onload]').length,
		scripts: document.querySelectorAll('script').length, hurt: typeof hurt !== 'undefined',
		back: getComputedStyle(document.body).backgroundColor,
	};
};

// Whether a cell shows a value: as a number to the digits that it has, or else as text.
function shows(text, value)
{
	if (value === null || value === undefined)
		return text === '–';
	if (typeof value !== 'number')
		return text === value || text === value.replace(/^(\d{4}-\d\d-\d\d)T(\d\d:\d\d).*$/, '$1 $2');
	const [, digits, decimals = '', unit] = text.match(/^(?:< )?([+-]?[\d,]+)(\.\d+)?( ?%|×)?/) || [];
	const scale = unit?.includes('%') ? 100 : 1;
	return digits !== undefined && Math.abs(Number(digits.replaceAll(',', '') + decimals) - scale * value) <= 0.5001 * 10 ** -Math.max(0, decimals.length - 1);
}

const sum = (values) => values.flat(2).map(Number).filter(Number.isFinite).reduce((a, b) => a + b, 0);
const column = (rows, ...keys) => sum(rows.map((row) => keys.map((key) => row[key] ?? 0)));
const near = (a, b) => Math.abs(a - b) <= 1e-9 * Math.max(1, Math.abs(a), Math.abs(b));

// What the series of a chart add up to, by the rows.
const drawn = {
	sizes: (rows) => column(rows, 'leads'),
	distribution: (rows) => column(rows, 'leads'),
	flow: (rows) => column(rows, 'leads'),
	funnel: (rows) => column(rows, 'leads'),
	rfm: (rows) => column(rows, 'customers') + sum(rows.map((row) => [row.recency - 1, row.frequency - 1])),
	lift: (rows) => column(rows, 'lift', 'captured'),
	drift: (rows) => column(rows, 'psi'),
};

function checkPanel(say, name, panel, rows)
{
	if (!panel.heading || !panel.how || !panel.named)
		say(`${name} has no heading, or does not say how to read it`);
	if (rows.length === 0) {
		if (panel.advice.length < 20)
			say(`${name} is empty, and does not say what to do: "${panel.advice}"`);
		return;
	}
	if (panel.advice)
		say(`${name} complains: ${panel.advice}`);
	if (panel.chart && (panel.chart.shapes < Math.min(rows.length, 10) || panel.height < 200 || panel.width < 200 || panel.chart.drawnWidth < panel.width - 1))
		say(`${name} is not drawn: ${panel.chart.shapes} shapes, ${panel.width} by ${panel.height}`);
	if (panel.chart && (panel.chart.role !== 'img' || !panel.chart.label.includes(panel.heading)))
		say(`${name} is not named for screen readers`);
	if (drawn[name] && !near(sum(panel.chart.series), drawn[name](rows)))
		say(`${name} draws ${sum(panel.chart.series)}, and SQL says ${drawn[name](rows)}`);
	if (panel.rows.length !== rows.length && name !== 'health')
		say(`${name} has ${panel.rows.length} rows, and SQL says ${rows.length}`);
	// tables of our own have their own columns; of all others each cell is compared
	if (panel.chart)
		rows.forEach((row, n) => Object.entries(row).forEach(([key, value]) => {
			const text = panel.rows[n]?.[panel.head.findIndex((heading) => heading.toLowerCase().replaceAll(' ', '_') === key)];
			if (!shows(text ?? '', value))
				say(`${name} shows "${text}" as ${key} of row ${n + 1}, and SQL says ${value}`);
		}));
	else
		rows.forEach((row, n) => Object.entries(row).filter(([, value]) => typeof value === 'number' || name === 'call').forEach(([key, value]) => {
			if (value !== null && !(panel.rows[n] || []).some((cell) => [cell, ...cell.split(/\n| to /)].some((line) => shows(line, value) || shows(`${line.replace(/ points$/, '')} %`, value))))
				say(`${name} shows ${value} nowhere in row ${n + 1} (${key})`);
		}));
}

function checkPage(say, seen, { rows, texts = [], width, dark })
{
	for (const [name, panel] of Object.entries(seen.panels))
		checkPanel(say, name, panel, rows[name] || []);
	for (const name of Object.keys(rows).filter((name) => !['setup', 'tiles', 'quality'].includes(name) && !seen.panels[name]))
		say(`${name} is missing`);
	for (const row of rows.tiles || [])
		if (!seen.tiles.some(([label, value]) => label === row.tile && shows(value, row.value)))
			say(`no tile shows ${row.tile}: ${row.value}`);
	for (const row of rows.quality || [])
		if (!seen.tiles.some(([, value]) => shows(value, row.auc)))
			say(`no tile shows the AUC ${row.auc}`);
	for (const text of texts)
		if (!seen.text.includes(text))
			say(`the page does not show "${text}"`);
	if (seen.overflow > 0)
		say(`the page is ${seen.overflow} wider than the window`);
	for (const [name, panel] of Object.entries(seen.panels))
		if (panel.cut && width > 1000)
			say(`a table of ${name} is cut off`);
	if (seen.foreign || seen.hurt || seen.scripts !== 3)
		say('something of the data has become a part of the page');
	if ((Math.max(...seen.back.match(/\d+/g).slice(0, 3)) < 128) !== Boolean(dark))
		say(`the background is ${seen.back}`);
}

await browse(program, async (tab) => {
	for (const visit of JSON.parse(readFileSync(plan, 'utf8'))) {
		const url = pathToFileURL(visit.page).href;
		const say = (what) => complaints.push(`${visit.page.split('/').pop()} at ${visit.width}: ${what}`);
		const { asked, complaints: said } = await open(tab, url, visit);

		try {
			checkPage(say, await evaluate(tab, `(${look})()`), visit);
		} catch (error) {
			say(error.message);
		}
		said.forEach((what) => say(`the console says: ${what}`));
		asked.filter((what) => what !== url && !what.startsWith('data:')).forEach((what) => say(`asks for ${what}`));
	}
});
console.log(complaints.slice(0, 30).join('\n'));
process.exit(complaints.length ? 1 : 0);
