// SPDX-License-Identifier: GPL-2.0-only
// rest.mjs - what the doubles with bearer tokens share: a server on the loopback, tokens that end,
// faults that can be ordered, and a log of what came.
//
//   node tests/cloud/NAME.mjs --dir DIR [--port N] [--tls]
//
// DIR gets `port`, `dns_port` (its authority), `ca.pem` (with --tls) and the double's own secrets. The tests speak with it under
// /_test/ without a token:
//
//   POST /_test/faults  [{"on": "change", "kind": "status", "status": 503, "times": 2}, …]   replaces all
//                   kind: status (headers, body), lost (the connection is closed instead of
//                   the answer; after: true - when the change has been made), slow (ms), expire
//                   (all tokens end just before), blind (lost, and every later reading is 500)
//   POST /_test/expire  every token that was given out ends now
//   POST /_test/seed    what shall be there (each double's own)        GET /_test/state   what is there
//   GET  /_test/log     [{"on", "method", "url", "headers", "body", "status"}]    DELETE /_test/log
import {execFileSync} from 'node:child_process';
import {randomBytes} from 'node:crypto';
import {readFileSync, writeFileSync} from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import {join} from 'node:path';
import {serve_dns} from './authority.mjs';

export function options() {
	const o = {dir: '.', port: 0, tls: false};
	const words = process.argv.slice(2);
	while (words.length) {
		const word = words.shift();
		if (word === '--tls') o.tls = true;
		else if (word === '--dir') o.dir = words.shift();
		else if (word === '--port') o.port = Number(words.shift());
		else throw new Error(`what is ${word}?`);
	}
	return o;
}

export class Refusal extends Error {
	constructor(status, body, headers = {}) {
		super(`refused with ${status}`);
		Object.assign(this, {status, body, headers});
	}
}

// Bearer tokens: what each was given for, and when it ends.
export class Tokens {
	#given = new Map();

	give(about, seconds) {
		const token = randomBytes(24).toString('base64url');
		this.#given.set(token, {about, ends: Date.now() + seconds * 1000});
		return token;
	}

	// What the token of a request was given for; undefined: there is none that is good.
	of(request) {
		const match = /^Bearer ([A-Za-z0-9_-]+)$/.exec(request.headers.authorization ?? '');
		const found = match && this.#given.get(match[1]);
		return found && found.ends > Date.now() ? found.about : undefined;
	}

	expire() {
		for (const t of this.#given.values()) t.ends = 0;
	}
}

function body_of(request) {
	return new Promise((done, fail) => {
		const parts = [];
		request.on('data', (part) => parts.push(part));
		request.on('end', () => done(Buffer.concat(parts).toString('utf8')));
		request.on('error', fail);
	});
}

function certificate(dir) {
	const key = join(dir, 'tls.key');
	const ca = join(dir, 'ca.pem');
	execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', key,
		'-out', ca, '-days', '2', '-subj', '/CN=localhost',
		'-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost'], {stdio: 'ignore'});
	return {key: readFileSync(key), cert: readFileSync(ca)};
}

// `route(request, url, take)` gives {on, run(body)}; run gives [status, object or undefined, headers], or
// throws a Refusal; `records()` are those of authority.mjs; take(on, kinds) is a fault that was ordered. `control(what, value)` answers /_test/seed, /_test/state and its own.
export async function serve({route, control, tokens, zone, records}) {
	const o = options();
	let faults = [];
	let log = [];

	function fault_for(on, kinds) {
		const f = faults.find((one) => one.times > 0 && kinds.includes(one.kind) &&
			(one.on === on || one.on === 'any'));
		if (f) f.times--;
		return f;
	}

	function send(response, status, value, headers = {}) {
		const text = value === undefined ? '' :
			typeof value === 'string' ? value : JSON.stringify(value);
		const type = typeof value === 'string' ? 'text/plain' : 'application/json; charset=utf-8';
		response.writeHead(status, {...(text ? {'content-type': type} : {}),
			'content-length': Buffer.byteLength(text), ...headers});
		response.end(text);
	}

	async function steer(request, response, what) {
		const text = await body_of(request);
		const value = text ? JSON.parse(text) : undefined;
		if (what === 'faults') {
			faults = value.map((f) => ({times: 1, on: 'any', ...f}));
			send(response, 200, {});
		} else if (what === 'expire') {
			tokens.expire();
			send(response, 200, {});
		} else if (what === 'log') {
			send(response, 200, log);
			if (request.method === 'DELETE') log = [];
		} else {
			send(response, 200, control(what, value) ?? {});
		}
	}

	async function answer(request, response) {
		const url = new URL(request.url, 'http://double.invalid');
		if (url.pathname.startsWith('/_test/')) {
			await steer(request, response, url.pathname.slice(7));
			return;
		}
		const body = await body_of(request);
		const found = route(request, url, fault_for);
		if (fault_for(found.on, ['expire'])) tokens.expire();
		const slow = fault_for(found.on, ['slow']);
		if (slow) await new Promise((done) => setTimeout(done, slow.ms));
		const early = fault_for(found.on, ['status']);
		const lost = early ? undefined : fault_for(found.on, ['lost', 'blind']);
		if (lost?.kind === 'blind')
			faults.push({on: 'read', kind: 'status', status: 500, times: Infinity});
		const entry = {on: found.on, method: request.method, url: request.url,
			body: found.on === 'token' ? '***' : body,
			headers: {...request.headers, authorization: '***'}};
		log.push(entry);
		if (early) {
			entry.status = early.status;
			send(response, early.status, early.body, early.headers);
			return;
		}
		let result;
		if (!lost || lost.after) {
			try {
				result = await found.run(body);
			} catch (refusal) {
				if (!(refusal instanceof Refusal)) throw refusal;
				result = [refusal.status, refusal.body, refusal.headers];
			}
			entry.status = result[0];
		}
		if (lost) {
			entry.lost = true;
			request.socket.destroy();
			return;
		}
		send(response, ...result);
	}

	const run = (request, response) => {
		answer(request, response).catch((error) => {
			console.error(error);
			request.socket.destroy();
		});
	};
	const server = o.tls ? https.createServer(certificate(o.dir), run) : http.createServer(run);
	await new Promise((done) => server.listen(o.port, '127.0.0.1', done));
	const {port} = server.address();
	const dns_port = await serve_dns(zone, records, () => log.length + 1);
	const base = `${o.tls ? 'https' : 'http'}://127.0.0.1:${port}`;
	return {
		dir: o.dir, base, port,
		ready() {
			writeFileSync(join(o.dir, 'dns_port'), `${dns_port}\n`);
			writeFileSync(join(o.dir, 'port'), `${port}\n`);
			console.log(`listening ${port}`);
		},
	};
}
