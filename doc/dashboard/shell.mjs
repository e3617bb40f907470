// shell.mjs FOLDER: writes head.html and tail.html, between which the data of page.sql go, into a folder.

import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';

const read = (path) => readFileSync(new URL(path, import.meta.url), 'utf8');
const hash = (text) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

const echarts = 'node_modules/echarts/';
const parts = {
	style: read('page.css'),
	echarts: `/*\n${read(echarts + 'NOTICE')}*/\n${read(echarts + 'dist/echarts.min.js')}`,
	page: read('page.js'),
};
for (const [name, text] of Object.entries(parts))
	if (/<\/(script|style)|<!--/i.test(text))
		throw new Error(`${name} would end the element that it is in`);

// Nothing runs but what is written here, and nothing is loaded.
parts.policy = [
	"default-src 'none'",
	`script-src ${hash(parts.echarts)} ${hash(parts.page)}`,
	`style-src ${hash(parts.style)}`,
	'img-src data:',
	"base-uri 'none'",
	"form-action 'none'",
].join('; ');

const [head, tail] = read('page.html').split('{{data}}')
	.map((text) => text.replace(/\{\{(\w+)\}\}/g, (all, name) => parts[name]));
writeFileSync(`${process.argv[2]}/head.html`, head);
writeFileSync(`${process.argv[2]}/tail.html`, tail);
