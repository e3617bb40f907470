// picture.mjs CHROMIUM PAGE PNG [WIDTH [light|dark [HEIGHT [SCALE]]]]: a picture of a page, as long as it is or of
// its beginning. The README's: make demo, then picture.mjs chromium PAGE doc/dashboard/dashboard.png 1500 light 1892
// 0.62

import { writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { browse, evaluate, open } from './browser.mjs';

const [program, page, png, width = '1400', scheme, most = Infinity, scale = 1] = process.argv.slice(2);

await browse(program, async (tab) => {
	await open(tab, pathToFileURL(page).href, { width: Number(width), dark: scheme === 'dark' });
	const height = Math.min(Number(most), await evaluate(tab, 'document.documentElement.scrollHeight'));
	const { data } = await tab.send('Page.captureScreenshot', { captureBeyondViewport: true, clip: { x: 0, y: 0, width: Number(width), height, scale: Number(scale) } });
	writeFileSync(png, Buffer.from(data, 'base64'));
});
