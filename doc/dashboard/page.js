'use strict';

// Draws the panels from the data in the page. What comes from the database is text wherever it stands: set by
// textContent, or drawn into an SVG by ECharts, and never read as HTML.

const page = JSON.parse(document.getElementById('data').textContent);
const charts = [];

// ---------------------------------------------------------------- words and numbers

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const decimals = (n) => new Intl.NumberFormat('en', { minimumFractionDigits: n, maximumFractionDigits: n });
const isNumber = (value) => typeof value === 'number';
const formats = {
	count: (value) => whole.format(value),
	number: (value) => (Number.isInteger(value) ? whole.format(value) : decimals(Math.abs(value) < 1 ? 3 : 2).format(value)),
	money: (value) => decimals(Math.abs(value) < 1000 ? 2 : 0).format(value),
	share: (value) => `${decimals(1).format(100 * value)} %`,
	points: (value) => `${value > 0 ? '+' : ''}${decimals(2).format(100 * value)}`,
	ratio: (value) => `${decimals(2).format(value)}×`,
	chance: (value) => (value < 0.001 ? '< 0.001' : decimals(3).format(value)),
};

// 2026-11-30T07:48:37.587138+00:00 -> 2026-11-30 07:48
const instant = (text) => String(text).replace(/^(\d{4}-\d\d-\d\d)T(\d\d:\d\d)\S*$/, '$1 $2');

function say(value, format)
{
	if (value === null || value === undefined)
		return '–';
	if (isNumber(value))
		return (formats[format] || formats.number)(value);
	return instant(value);
}

const title = (key) => { const words = key.replaceAll('_', ' '); return words[0].toUpperCase() + words.slice(1); };

// element('p', { class: 'how' }, 'text', node, …)
function element(name, attributes = {}, ...children)
{
	const made = document.createElement(name);

	for (const [key, value] of Object.entries(attributes))
		made.setAttribute(key, value);
	made.append(...children);
	return made;
}

// The comment at the head of a panel's statement: its heading, how to read it, and what to do where it is empty.
function head(sql)
{
	const lines = (sql.match(/^(-- .*\n)*/)[0]).trimEnd().split('\n').map((line) => line.slice(3));
	const [how, empty] = lines.slice(1).join(' ').split(/(?:^| )Empty: /);

	return { heading: lines[0], how, empty: empty || 'There is nothing to show yet.' };
}

// ---------------------------------------------------------------- colours

let theme;

function readTheme()
{
	const style = getComputedStyle(document.documentElement);
	const colour = (name) => style.getPropertyValue(`--${name}`).trim();

	theme = {
		text: colour('text'), quiet: colour('quiet'), grid: colour('grid'), line: colour('line'), panel: colour('panel'),
		accent: colour('accent'), accentText: colour('accent-text'), warm: colour('warm'), bad: colour('bad'),
		heat: [colour('heat-0'), colour('heat-1')],
		series: [1, 2, 3, 4, 5, 6, 7, 8].map((n) => colour(`c${n}`)),
		font: getComputedStyle(document.body).fontFamily,
	};
}

// The segments of some rows in their order, each with the colour that it has in all panels.
const segmentOrder = new Map();

function learnSegments()
{
	for (const name of ['sizes', 'distribution'])
		for (const row of rowsOf(name))
			if (!segmentOrder.has(row.segment))
				segmentOrder.set(row.segment, row.segment_position ?? Infinity);
}

const segments = () => [...segmentOrder].sort((a, b) => a[1] - b[1]).map(([name]) => name);

function segmentColour(name)
{
	const all = segments().filter((segment) => segment !== '(none)');
	const n = all.indexOf(name);

	if (n < 0)
		return theme.quiet;
	// three segments are green, amber and grey; of more, the last one is grey
	return theme.series[n === all.length - 1 && n > 1 ? 2 : n < 2 ? n : (n + 1) % theme.series.length];
}

// ---------------------------------------------------------------- charts

const axis = (more = {}) => ({
	axisLine: { lineStyle: { color: theme.line } }, axisTick: { show: false },
	axisLabel: { color: theme.quiet, hideOverlap: true, ...more.axisLabel }, splitLine: { lineStyle: { color: theme.grid } },
	nameTextStyle: { color: theme.quiet }, ...Object.fromEntries(Object.entries(more).filter(([key]) => key !== 'axisLabel')),
});
const countAxis = (more = {}) => axis({ type: 'value', axisLabel: { formatter: formats.count }, ...more });
const shareAxis = (more = {}) => axis({ type: 'value', axisLabel: { formatter: (value) => `${Math.round(100 * value)} %` }, ...more });
const legend = (names) => ({ data: names, top: 0, left: 0, icon: 'roundRect', itemWidth: 12, itemHeight: 12, selectedMode: false, textStyle: { color: theme.text } });

// (rich text is drawn, not HTML)
const tooltip = (formatter, trigger = 'item') => ({
	trigger, formatter, renderMode: 'richText', confine: true, backgroundColor: theme.panel, borderColor: theme.line,
	textStyle: { color: theme.text, fontSize: 12 }, axisPointer: { type: trigger === 'axis' ? 'line' : 'none', lineStyle: { color: theme.quiet } },
});

// rows of (key, segment, leads) -> one series for each segment, over the keys
function bySegment(rows, key, keys, make)
{
	return segments().filter((segment) => rows.some((row) => row.segment === segment)).reverse().map((segment) => {
		const found = new Map(rows.filter((row) => row.segment === segment).map((row) => [row[key], row.leads]));
		return { name: segment, data: keys.map((value) => found.get(value) ?? 0), color: segmentColour(segment), ...make(segment) };
	});
}

const listed = (points) => points.map((point) => `${point.seriesName}: ${formats.count(point.value)}`).reverse().join('\n');

function drawSizes(rows)
{
	const days = [...new Set(rows.map((row) => row.day))];
	const series = bySegment(rows, 'day', days, (segment) => ({
		type: 'line', stack: 'all', showSymbol: false, lineStyle: { width: 1.5 }, areaStyle: { opacity: 0.75 }, emphasis: { disabled: true },
	}));

	return {
		legend: legend(series.map((s) => s.name).reverse()),
		grid: { left: 8, right: 24, top: 40, bottom: 4, containLabel: true },
		tooltip: tooltip((points) => `${points[0].axisValue}\n${listed(points)}`, 'axis'),
		xAxis: axis({ type: 'category', data: days, boundaryGap: false, axisLabel: { formatter: (day) => day.slice(5) } }),
		yAxis: countAxis(), series,
	};
}

function drawDistribution(rows)
{
	const width = rows[0].width;
	const low = Math.min(...rows.map((row) => row.score_from));
	const high = Math.max(...rows.map((row) => row.score_from));
	const label = (n) => String(+(low + n * width).toFixed(2));
	const names = Array.from({ length: Math.round((high - low) / width) + 1 }, (_, n) => label(n));
	const placed = rows.map((row) => ({ ...row, bar: label(Math.round((row.score_from - low) / width)) }));
	const series = bySegment(placed, 'bar', names, () => ({ type: 'bar', stack: 'all', barCategoryGap: '12%', emphasis: { disabled: true } }));

	return {
		legend: legend(series.map((s) => s.name).reverse()),
		grid: { left: 8, right: 24, top: 40, bottom: 4, containLabel: true },
		tooltip: tooltip((points) => `from ${points[0].axisValue}\n${listed(points.filter((point) => point.value))}`, 'axis'),
		xAxis: axis({ type: 'category', data: names }), yAxis: countAxis(), series,
	};
}

function drawFlow(rows)
{
	const order = ['(new)', ...segments()];
	const names = (key) => [...new Set(rows.map((row) => row[key]))].sort((a, b) => order.indexOf(a) - order.indexOf(b));
	const total = (key, name) => rows.filter((row) => row[key] === name).reduce((sum, row) => sum + row.leads, 0);
	const nodes = (key, side, depth) => names(key).map((name) => ({
		name: `${key} ${name}`, depth, itemStyle: { color: segmentColour(name) },
		label: { position: side, formatter: () => `${name}\n${formats.count(total(key, name))}` },
	}));

	return {
		tooltip: tooltip((point) => (point.dataType === 'edge' ? `${point.data.from} → ${point.data.to}: ${formats.count(point.value)}` : formats.count(point.value))),
		series: [{
			type: 'sankey', left: 78, right: 78, top: 14, bottom: 14, nodeGap: 22, nodeWidth: 14, draggable: false, layoutIterations: 0, emphasis: { focus: 'adjacency' },
			data: [...nodes('from_segment', 'left', 0), ...nodes('to_segment', 'right', 1)],
			links: rows.map((row) => ({ source: `from_segment ${row.from_segment}`, target: `to_segment ${row.to_segment}`, value: row.leads, from: row.from_segment, to: row.to_segment })),
			label: { color: theme.text, fontSize: 12, lineHeight: 15 }, lineStyle: { color: 'source', opacity: 0.35, curveness: 0.5 },
		}],
	};
}

function drawFunnel(rows)
{
	const most = Math.max(...rows.map((row) => row.leads));

	return {
		grid: { left: 8, right: 16, top: 4, bottom: 4, containLabel: true },
		tooltip: tooltip((point) => `${rows[point.dataIndex].stage}: ${formats.count(point.value)}`),
		xAxis: { type: 'value', max: most, show: false },
		yAxis: axis({ type: 'category', inverse: true, data: rows.map((row) => row.stage), axisLine: { show: false }, axisLabel: { color: theme.text, width: 110, overflow: 'truncate' } }),
		series: [{
			type: 'bar', barWidth: '62%', color: theme.accent, showBackground: true, backgroundStyle: { color: theme.grid, borderRadius: 4 }, itemStyle: { borderRadius: 4 },
			data: rows.map((row) => ({
				value: row.leads,
				label: {
					show: true, position: row.leads > most / 2 ? 'insideLeft' : 'right', color: row.leads > most / 2 ? theme.accentText : theme.text,
					formatter: () => `${formats.count(row.leads)}${isNumber(row.went_on) ? `  (${formats.share(row.went_on)})` : ''}`,
				},
			})),
		}],
	};
}

function drawRfm(rows)
{
	const tiles = Math.max(5, ...rows.map((row) => Math.max(row.recency, row.frequency)));
	const names = Array.from({ length: tiles }, (_, n) => String(n + 1));
	const most = Math.max(...rows.map((row) => row.customers));

	return {
		grid: { left: 8, right: 12, top: 24, bottom: 24, containLabel: true },
		tooltip: tooltip((point) => `recency ${point.value[0] + 1}, frequency ${point.value[1] + 1}\n${formats.count(point.value[2])} customers\nrevenue ${formats.money(point.data.revenue)}`),
		xAxis: axis({ type: 'category', data: names, name: 'recency →', nameLocation: 'middle', nameGap: 24, splitLine: { show: false } }),
		yAxis: axis({ type: 'category', data: names, name: 'frequency ↑', nameTextStyle: { color: theme.quiet, align: 'left' }, splitLine: { show: false } }),
		visualMap: { show: false, min: 0, max: most, inRange: { color: theme.heat } },
		series: [{
			type: 'heatmap', itemStyle: { borderColor: theme.panel, borderWidth: 2, borderRadius: 4 },
			data: rows.map((row) => ({
				value: [row.recency - 1, row.frequency - 1, row.customers], revenue: row.revenue,
				label: { show: true, color: row.customers > most / 2 ? theme.accentText : theme.text, formatter: () => formats.count(row.customers) },
			})),
		}],
	};
}

function whisker(api, low, high, colour)
{
	const [x, top] = api.coord([api.value(0), high]);
	const bottom = api.coord([api.value(0), low])[1];
	const line = (x1, y1, x2, y2) => ({ type: 'line', shape: { x1, y1, x2, y2 }, style: { stroke: colour, lineWidth: 1.5 } });

	return { type: 'group', children: [line(x, top, x, bottom), line(x - 4, top, x + 4, top), line(x - 4, bottom, x + 4, bottom)] };
}

function drawCalibration(rows)
{
	const most = Math.max(0.01, ...rows.map((row) => Math.max(row.predicted, row.observed_high ?? row.observed)));
	const end = Math.ceil(most * 20) / 20;
	const data = rows.map((row) => [row.predicted, row.observed, row.observed_low ?? row.observed, row.observed_high ?? row.observed]);

	return {
		grid: { left: 8, right: 24, top: 28, bottom: 24, containLabel: true },
		tooltip: tooltip((point) => `predicted ${formats.share(point.value[0])}\nobserved ${formats.share(point.value[1])}`),
		xAxis: shareAxis({ min: 0, max: end, name: 'predicted', nameLocation: 'middle', nameGap: 26 }),
		yAxis: shareAxis({ min: 0, max: end, name: 'observed', nameTextStyle: { color: theme.quiet, align: 'left' } }),
		series: [
			{ type: 'line', silent: true, showSymbol: false, data: [[0, 0], [end, end]], lineStyle: { type: 'dashed', color: theme.quiet, width: 1 } },
			{ type: 'custom', silent: true, data, renderItem: (params, api) => whisker(api, api.value(2), api.value(3), theme.accent) },
			{ type: 'scatter', data, symbolSize: 9, color: theme.accent },
		],
	};
}

function drawLift(rows)
{
	const names = ['lift', 'buyers captured'];

	return {
		legend: legend(names),
		grid: { left: 8, right: 8, top: 40, bottom: 24, containLabel: true },
		tooltip: tooltip((points) => `tenth ${points[0].axisValue}\nlift ${formats.ratio(points[0].value)}\ncaptured ${formats.share(points[1].value)}`, 'axis'),
		xAxis: axis({ type: 'category', data: rows.map((row) => String(row.decile)), name: 'tenth of the leads, best first', nameLocation: 'middle', nameGap: 26 }),
		yAxis: [axis({ type: 'value', axisLabel: { formatter: (value) => `${value}×` } }), shareAxis({ min: 0, max: 1, splitLine: { show: false } })],
		series: [
			{
				name: names[0], type: 'bar', color: theme.series[0], data: rows.map((row) => row.lift), barCategoryGap: '25%', itemStyle: { borderRadius: [3, 3, 0, 0] },
				markLine: { silent: true, symbol: 'none', label: { show: false }, lineStyle: { color: theme.quiet, type: 'dashed' }, data: [{ yAxis: 1 }] },
			},
			{ name: names[1], type: 'line', color: theme.series[1], yAxisIndex: 1, data: rows.map((row) => row.captured), symbolSize: 6 },
		],
	};
}

function drawDrift(rows)
{
	const names = rows.map((row) => (row.measure ? `${row.signal}, ${row.measure.replaceAll('_', ' ')}` : row.signal));
	const colour = (psi) => (psi > 0.25 ? theme.bad : psi > 0.1 ? theme.series[1] : theme.series[2]);

	return {
		grid: { left: 8, right: 110, top: 4, bottom: 4, containLabel: true },
		tooltip: tooltip((point) => `${names[point.dataIndex]}\n${say(rows[point.dataIndex].mean_from)} → ${say(rows[point.dataIndex].mean_to)} on average`),
		xAxis: axis({ type: 'value', min: 0, max: (range) => Math.max(0.3, range.max), axisLabel: { show: false }, splitLine: { show: false } }),
		yAxis: axis({ type: 'category', inverse: true, data: names, axisLabel: { color: theme.text, width: 150, overflow: 'truncate' } }),
		series: [{
			type: 'bar', barCategoryGap: '30%',
			data: rows.map((row) => ({
				value: row.psi, itemStyle: { color: colour(row.psi), borderRadius: [0, 3, 3, 0] },
				label: { show: true, position: 'right', color: theme.text, backgroundColor: theme.panel, padding: 2, formatter: () => `${decimals(2).format(row.psi)} ${row.verdict}` },
			})),
			markLine: { silent: true, symbol: 'none', label: { show: false }, lineStyle: { color: theme.quiet, type: 'dashed' }, data: [{ xAxis: 0.1 }, { xAxis: 0.25 }] },
		}],
	};
}

// ---------------------------------------------------------------- tables

// columns: [key, heading, format]; without them, all of the rows' own
function table(rows, caption, columns, kind = '')
{
	const all = columns || Object.keys(rows[0]).map((key) => [key, title(key)]);
	const isRight = ([key]) => rows.some((row) => isNumber(row[key]));
	const cell = (row, column) => {
		const [key, heading, format] = column;
		const value = row[key];
		const made = element('td', { 'data-label': heading }, format === 'action' ? '' : say(value, format));

		if (format === 'action' && value)
			made.append(element('code', {}, value));
		if (format === 'state')
			made.classList.add('state', `state-${value}`);
		if (format === 'wide' || format === 'whole')
			made.classList.add(format);
		if (isRight(column))
			made.classList.add('number');
		return made;
	};

	return element('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': `${caption}, table` },
		element('table', { class: kind },
			element('caption', {}, caption),
			element('thead', {}, element('tr', {}, ...all.map((column) => element('th', { scope: 'col', class: isRight(column) ? 'number' : '' }, column[1])))),
			element('tbody', {}, ...rows.map((row) => element('tr', {}, ...all.map((column) => cell(row, column)))))));
}

const callColumns = [['lead', 'Lead'], ['name', 'Name'], ['score', 'Score', 'count'], ['segment', 'Segment'], ['stage', 'Stage'], ['last_active', 'Last active', 'whole'], ['because', 'Because', 'wide']];
const channelColumns = [['channel', 'Channel'], ['new_customers', 'New', 'count'], ['orders', 'Orders', 'count'], ['revenue', 'Revenue', 'money'], ['spend', 'Spend', 'money'], ['cac', 'CAC', 'money'], ['roas', 'ROAS', 'number']];
const offerColumns = [['offer', 'Offer'], ['arm', 'Group'], ['leads', 'Leads', 'count'], ['redeemed', 'Redeemed', 'count'], ['conversion_rate', 'Bought', 'share'], ['revenue_per_lead', 'A lead spent', 'money'], ['discount', 'Discounts', 'money'], ['earned', 'Earned', 'money']];

function experimentTable(rows, caption)
{
	return table(rows.map((row) => ({
		experiment: row.experiment,
		models: `${row.control}\n${row.treatment}`,
		leads: `${say(row.control_leads)}\n${say(row.treatment_leads)}`,
		bought: `${say(row.control_rate, 'share')}\n${say(row.treatment_rate, 'share')}`,
		difference: isNumber(row.rate_difference) ? `${say(row.rate_difference, 'points')} points\n${say(row.rate_low, 'points')} to ${say(row.rate_high, 'points')}` : null,
		p: row.rate_p, missing: row.leads_missing,
	})), caption, [['experiment', 'Experiment'], ['models', 'Control, treatment'], ['leads', 'Leads', 'whole'], ['bought', 'Bought', 'whole'], ['difference', 'Difference (95 %)', 'whole'], ['p', 'p', 'chance'], ['missing', 'Leads missing', 'count']], 'cards');
}

// What is well needs no lines of its own.
function healthTable(rows, caption)
{
	const wrong = rows.filter((row) => row.state !== 'ok');
	const well = rows.length - wrong.length;

	return element('div', {},
		...(wrong.length ? [table(wrong, caption, [['name', 'Name'], ['state', 'State', 'state'], ['detail', 'Detail', 'wide'], ['action', 'Action', 'action']], 'cards')] : []),
		element('p', { class: 'fine' }, wrong.length ? `The other ${well} checks are fine.` : `All ${well} checks are fine.`));
}

// Without names, there is no column for them.
const callTable = (rows, caption) => table(rows, caption, callColumns.filter(([key]) => key !== 'name' || rows.some((row) => row.name)), 'cards');

// ---------------------------------------------------------------- panels

const layout = [
	{ name: 'sizes', width: 6, draw: drawSizes },
	{ name: 'distribution', width: 6, draw: drawDistribution },
	{ name: 'call', width: 8, make: callTable },
	{ name: 'flow', width: 4, draw: drawFlow, tall: true },
	{ name: 'funnel', width: 4, draw: drawFunnel },
	{ name: 'rfm', width: 3, draw: drawRfm },
	{ name: 'channels', width: 5, make: (rows, caption) => table(rows, caption, channelColumns) },
	{ name: 'calibration', width: 4, draw: drawCalibration },
	{ name: 'lift', width: 4, draw: drawLift },
	{ name: 'drift', width: 4, draw: drawDrift },
	{ name: 'offers', width: 6, make: (rows, caption) => table(rows, caption, offerColumns, 'cards') },
	{ name: 'experiment', width: 6, make: experimentTable },
	{ name: 'health', width: 12, make: healthTable, details: true },
];

const panelOf = (name) => page.panels[name] || { rows: [], answer: { sql: '', error: 'The panel was not read.' } };
const rowsOf = (name) => panelOf(name).rows;

// What to do about a panel that has nothing to draw: what is missing in general, or else what its error or its head
// says.
function advice(name)
{
	const { answer } = panelOf(name);
	const steps = rowsOf('setup').filter((step) => step.panels.includes('*') || step.panels.includes(name));

	if (steps.length)
		return steps.slice(0, 1).map((step) => element('p', { class: 'empty' }, step.problem, element('code', { class: 'action' }, step.action)));
	if (answer.error)
		return [element('p', { class: 'problem' }, [answer.error, answer.detail].filter(Boolean).join('. '), ...(answer.hint ? [element('code', { class: 'action' }, answer.hint)] : []))];
	return [element('p', { class: 'empty' }, head(answer.sql).empty)];
}

function draw(panel, box)
{
	const chart = echarts.getInstanceByDom(box) || echarts.init(box, null, { renderer: 'svg' });

	chart.setOption({ animation: false, textStyle: { fontFamily: theme.font, color: theme.text }, ...panel.draw(rowsOf(panel.name)) }, true);
	return chart;
}

function show(panel)
{
	const { answer, rows } = panelOf(panel.name);
	const { heading, how } = head(answer.sql);
	const id = `panel-${panel.name}`;
	const section = element('section', { id, class: `w${panel.width}`, 'aria-labelledby': `${id}-heading` },
		element('h2', { id: `${id}-heading` }, heading || panel.name), element('p', { class: 'how' }, how));

	document.getElementById('panels').append(section);
	if (answer.error || rows.length === 0) {
		section.append(...advice(panel.name));
	} else if (panel.draw) {
		const box = element('div', { class: `chart${panel.tall ? ' tall' : ''}`, role: 'img', 'aria-label': `${heading}. ${how} The table that follows has the numbers.` });
		section.append(box);
		try {
			charts.push({ panel, box, chart: draw(panel, box) });
		} catch (error) {
			box.replaceWith(element('p', { class: 'problem' }, `The chart cannot be drawn: ${error.message}. The table has the numbers.`));
		}
	} else {
		section.append(panel.make(rows, heading));
	}
	const hasTable = rows.length > 0 && (panel.draw || panel.details);
	section.append(element('details', {}, element('summary', {}, hasTable ? 'Table and statement' : 'Statement'),
		...(hasTable ? [table(rows, heading)] : []), element('pre', { tabindex: 0 }, answer.sql)));
}

function tile(label, value, note)
{
	return element('li', {}, element('span', { class: 'label' }, label), element('span', { class: 'value' }, value), element('span', { class: 'note' }, note || ''));
}

function showTiles()
{
	const [quality] = rowsOf('quality');
	const list = element('ul', { class: 'tiles', id: 'panel-tiles', 'aria-label': head(panelOf('tiles').answer.sql).heading },
		...rowsOf('tiles').map((row) => tile(row.tile, say(row.value, row.format), isNumber(row.before) ? `month before ${say(row.before, row.format)}` : row.note)));
	const step = element('li', { id: 'panel-quality' }, element('span', { class: 'label' }, 'Model quality (AUC)'));

	if (rowsOf('tiles').length === 0)
		list.append(element('li', {}, element('span', { class: 'label' }, 'Key figures'), ...advice('tiles')));
	if (quality)
		step.append(element('span', { class: 'value' }, decimals(3).format(quality.auc)),
			element('span', { class: 'note' }, `of ${quality.model}; ${decimals(3).format(quality.auc_low)} to ${decimals(3).format(quality.auc_high)}; top tenth ${formats.ratio(quality.lift_10)}`));
	else
		step.append(...advice('quality'));
	list.append(step);
	document.getElementById('panels').append(list);
}

// ---------------------------------------------------------------- the page

function redraw()
{
	readTheme();
	for (const { panel, box, chart } of charts) {
		draw(panel, box);
		chart.resize();
	}
}

// On paper the charts are light, and as wide as the paper.
function forPaper(isPaper)
{
	document.documentElement.classList.toggle('paper', isPaper);
	redraw();
	for (const { box, chart } of charts) {
		const svg = box.querySelector('svg');
		if (isPaper)
			svg.setAttribute('viewBox', `0 0 ${chart.getWidth()} ${chart.getHeight()}`);
		else
			svg.removeAttribute('viewBox');
	}
}

readTheme();
learnSegments();
document.title = page.model ? `leadscore: ${page.model}` : 'leadscore';
document.getElementById('model').textContent = page.model ? `Model ${page.model}` : 'No model';
document.getElementById('time').textContent = [page.scored_at ? `scored as of ${instant(page.scored_at)}` : '', `read ${instant(page.read_at)} ${page.time_zone}`].filter(Boolean).join(' · ');
showTiles();
layout.forEach(show);
document.getElementById('foot').textContent = `The statements of this page took ${decimals(1).format(Object.values(page.panels).reduce((sum, panel) => sum + (panel ? panel.answer.milliseconds : 0), 0) / 1000)} s.`;

const resized = new ResizeObserver((boxes) => boxes.forEach(({ target }) => echarts.getInstanceByDom(target)?.resize()));
charts.forEach(({ box }) => resized.observe(box));
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw);
addEventListener('beforeprint', () => forPaper(true));
addEventListener('afterprint', () => forPaper(false));
