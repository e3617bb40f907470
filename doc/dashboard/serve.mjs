// serve.mjs FILE PORT [ADDRESS]: serves the page on loopback, or on another address, but under the names of loopback
// only (a container's published port). A browser reads it anew every minute, unless it asks for /?still.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';

const [file, port, address = '127.0.0.1'] = process.argv.slice(2);

createServer((request, response) => {
	const path = request.url.split('?')[0];

	// (a name of somebody else's that points here is not ours to answer)
	if (!/^(127\.0\.0\.1|localhost|\[::1\])(:\d+)?$/.test(request.headers.host || '')) {
		response.writeHead(403).end();
	} else if (path !== '/' || !['GET', 'HEAD'].includes(request.method)) {
		response.writeHead(404).end();
	} else {
		response.writeHead(200, {
			'Content-Type': 'text/html; charset=utf-8',
			'Cache-Control': 'no-store',
			'Content-Security-Policy': "frame-ancestors 'none'",
			'X-Content-Type-Options': 'nosniff',
			...(request.url.endsWith('?still') ? {} : { Refresh: '60' }),
		});
		response.end(request.method === 'HEAD' ? '' : readFileSync(file));
	}
}).listen(Number(port), address, function () {
	console.log(`http://127.0.0.1:${this.address().port}/ is read anew every minute; http://127.0.0.1:${this.address().port}/?still is not.`);
});
