// browser.mjs: a headless Chromium, told what to do over its debugging pipe.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export async function browse(program, work)
{
	const profile = mkdtempSync(join(tmpdir(), 'chromium-'));
	const chromium = spawn(program, ['--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--hide-scrollbars',
		`--user-data-dir=${profile}`, '--remote-debugging-pipe'], { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] });
	const ended = new Promise((resolve) => chromium.once('exit', resolve));
	const waiting = new Map();
	const listeners = [];
	let number = 0, rest = '';

	chromium.stdio[4].setEncoding('utf8').on('data', (text) => {
		const messages = (rest + text).split('\0');
		rest = messages.pop();
		for (const message of messages.map((json) => JSON.parse(json))) {
			const { resolve, reject } = waiting.get(message.id) || {};
			waiting.delete(message.id);
			if (message.error && reject)
				reject(new Error(message.error.message));
			else if (resolve)
				resolve(message.result);
			else
				listeners.forEach((listener) => listener(message));
		}
	});
	ended.then(() => waiting.forEach(({ reject }) => reject(new Error('Chromium has ended'))));

	const send = (method, params = {}, sessionId = undefined) => new Promise((resolve, reject) => {
		waiting.set(++number, { resolve, reject });
		chromium.stdio[3].write(`${JSON.stringify({ id: number, method, params, sessionId })}\0`);
	});

	try {
		const { targetId } = await send('Target.createTarget', { url: 'about:blank' });
		const { sessionId } = await send('Target.attachToTarget', { targetId, flatten: true });
		return await work({
			send: (method, params) => send(method, params, sessionId),
			on: (method, listener) => listeners.push((message) => message.method === method && listener(message.params)),
			next: (method) => new Promise((resolve) => listeners.push((message) => message.method === method && resolve(message.params))),
		});
	} finally {
		send('Browser.close').catch(() => {});
		await ended;
		rmSync(profile, { recursive: true, force: true, maxRetries: 10 });
	}
}

// open(tab, url, { width, height, dark }): loads a page, and says what it asked for and complained about.
export async function open(tab, url, { width, height = 900, dark = false })
{
	const asked = [], complaints = [];

	tab.on('Network.requestWillBeSent', ({ request }) => asked.push(request.url));
	tab.on('Runtime.exceptionThrown', ({ exceptionDetails }) => complaints.push(exceptionDetails.exception?.description || exceptionDetails.text));
	tab.on('Runtime.consoleAPICalled', ({ type, args }) => complaints.push(`${type}: ${args.map((arg) => arg.value).join(' ')}`));
	tab.on('Log.entryAdded', ({ entry }) => complaints.push(entry.text));
	for (const domain of ['Page', 'Runtime', 'Network', 'Log'])
		await tab.send(`${domain}.enable`);
	await tab.send('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: 1, mobile: width < 600 });
	await tab.send('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value: dark ? 'dark' : 'light' }] });
	const loaded = tab.next('Page.loadEventFired');
	await tab.send('Page.navigate', { url });
	await loaded;
	// (charts follow the size of the window in the frame after it)
	await evaluate(tab, `(async () => {
		do await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))); while (innerWidth !== ${width});
	})()`);
	return { asked, complaints };
}

export async function evaluate(tab, expression)
{
	const { result, exceptionDetails } = await tab.send('Runtime.evaluate', { expression, returnByValue: true, awaitPromise: true });

	if (exceptionDetails)
		throw new Error(exceptionDetails.exception?.description || exceptionDetails.text);
	return result.value;
}
