// SPDX-License-Identifier: GPL-2.0-only
// proof.mjs - runs a proof against a double over TLS, since the official clients send tokens only there
//
//   const double = await with_double('google.mjs');
//   await test('what it proves', async () => { … assert … });
//   done();
//
// The script is started a second time with the double's certificate trusted by the whole process.
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {mkdtempSync, readFileSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {createInterface} from 'node:readline';

let failed = 0;

async function start_both(name) {
	const dir = mkdtempSync(join(tmpdir(), 'shift-proof.'));
	const double = spawn(process.execPath,
		[new URL(name, import.meta.url).pathname, '--dir', dir, '--tls'],
		{stdio: ['ignore', 'pipe', 'inherit']});
	process.on('exit', () => {
		double.kill();
		rmSync(dir, {recursive: true, force: true});
	});
	await once(createInterface({input: double.stdout}), 'line');
	const self = spawn(process.execPath, [process.argv[1]], {stdio: 'inherit',
		env: {...process.env, SHIFT_DOUBLE: dir, NODE_EXTRA_CA_CERTS: join(dir, 'ca.pem')}});
	const [code] = await once(self, 'exit');
	process.exit(code ?? 1);
}

export async function with_double(name) {
	const dir = process.env.SHIFT_DOUBLE;
	if (!dir) await start_both(name);
	const port = readFileSync(join(dir, 'port'), 'utf8').trim();
	const base = `https://127.0.0.1:${port}`;
	const steer = async (what, value, method) => {
		const answer = await fetch(`${base}/_test/${what}`, value === undefined ?
			{method: method ?? 'GET'} : {method: 'POST', body: JSON.stringify(value)});
		if (!answer.ok) throw new Error(`${what}: ${answer.status}`);
		return answer.json();
	};
	return {dir, base, host: `127.0.0.1:${port}`, steer,
		read: (file) => readFileSync(join(dir, file), 'utf8')};
}

export async function test(name, run) {
	try {
		await run();
		console.log(`ok - ${name}`);
	} catch (error) {
		failed++;
		console.log(`not ok - ${name}`);
		for (const line of String(error.stack ?? error).split('\n').slice(0, 12))
			console.log(`#   ${line}`);
	}
}

export function done() {
	process.exit(failed ? 1 : 0);
}
