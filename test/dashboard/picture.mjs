// picture.mjs CHROMIUM PAGE PNG [WIDTH [dark]]: a picture of a page, as long as it is.

import { writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { browse, evaluate, open } from './browser.mjs';

const [program, page, png, width = '1400', dark] = process.argv.slice(2);

await browse(program, async (tab) => {
	await open(tab, pathToFileURL(page).href, { width: Number(width), dark: dark === 'dark' });
	const height = await evaluate(tab, 'document.documentElement.scrollHeight');
	const { data } = await tab.send('Page.captureScreenshot', { captureBeyondViewport: true, clip: { x: 0, y: 0, width: Number(width), height, scale: 1 } });
	writeFileSync(png, Buffer.from(data, 'base64'));
});
