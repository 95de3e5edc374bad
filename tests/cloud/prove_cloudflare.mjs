// SPDX-License-Identifier: GPL-2.0-only
// Does Cloudflare's own client work against the double? Then the double speaks the provider's protocol,
// and what our client does against it counts. Prints "ok - " and "not ok - "; exit code 1 with any of the
// latter.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import assert from 'node:assert/strict'
import Cloudflare from 'cloudflare'

const zone_id = '023e105f4ecef8ad9ca31a8372d0c353'
const www = 'www.example.com'
const double = spawn(process.execPath, [new URL('cloudflare.mjs', import.meta.url).pathname,
	'--token', 'good-token', '--expired', 'old-token', '--no-purge', 'records-token',
	'--zone', zone_id, '--name', 'example.com', '--page-max', '3'],
{ stdio: ['ignore', 'pipe', 'inherit'] })
const [line] = await once(createInterface({ input: double.stdout }), 'line')
const root = `http://127.0.0.1:${line.split(' ')[1]}`
const client = (apiToken, maxRetries = 0) =>
	new Cloudflare({ apiToken, baseURL: `${root}/client/v4`, maxRetries })
const cf = client('good-token')

const post = (what, body) =>
	fetch(`${root}/_test/${what}`, { method: 'POST', body: JSON.stringify(body) })
const A = (content, more) => ({ type: 'A', name: www, content, ttl: 60, proxied: false, ...more })
const reset = (...contents) => post('reset', { records: contents.map((c) => A(c)) })

async function contents() {
	const found = []
	for await (const r of cf.dns.records.list({ zone_id, name: { exact: www }, type: 'A' }))
		found.push(r.content)
	return found.sort()
}

async function byContent(content) {
	for await (const r of cf.dns.records.list({ zone_id, name: { exact: www } }))
		if (r.content === content) return r
	throw new Error(`no record of ${content}`)
}

// The client's own class of error, with its status and Cloudflare's code.
async function refused(call, status, code) {
	const e = await assert.rejects(call, Cloudflare.APIError).then(() => call().catch((x) => x))
	assert.equal(e.status, status)
	assert.equal(e.errors[0].code, code)
}

const tests = {
	async 'a list of seven records comes in pages of three'() {
		const all = Array.from({ length: 7 }, (_, i) => `192.0.2.${i + 1}`)
		await reset(...all)
		assert.deepEqual(await contents(), all)
	},
	async 'a record is created, with an id, and read by it'() {
		await reset()
		const made = await cf.dns.records.create({ zone_id, ...A('192.0.2.1') })
		assert.match(made.id, /^[0-9a-f]{32}$/)
		const got = await cf.dns.records.get(made.id, { zone_id })
		assert.deepEqual([got.content, got.ttl, got.proxied], ['192.0.2.1', 60, false])
	},
	async 'a record is edited in place and overwritten'() {
		await reset('192.0.2.1')
		const { id } = await byContent('192.0.2.1')
		const edited = await cf.dns.records.edit(id, { zone_id, ...A('203.0.113.1') })
		assert.deepEqual([edited.id, edited.content], [id, '203.0.113.1'])
		const put = await cf.dns.records.update(id, { zone_id, ...A('203.0.113.2', { ttl: 300 }) })
		assert.deepEqual([put.id, put.content, put.ttl], [id, '203.0.113.2', 300])
	},
	async 'a record is deleted once'() {
		await reset('192.0.2.1', '192.0.2.2')
		const { id } = await byContent('192.0.2.1')
		assert.equal((await cf.dns.records.delete(id, { zone_id })).id, id)
		assert.deepEqual(await contents(), ['192.0.2.2'])
		await refused(() => cf.dns.records.delete(id, { zone_id }), 404, 81044)
	},
	async 'a batch deletes, edits and creates'() {
		await reset('192.0.2.1', '192.0.2.2')
		const [one, two] = [await byContent('192.0.2.1'), await byContent('192.0.2.2')]
		const done = await cf.dns.records.batch({
			zone_id,
			deletes: [{ id: one.id }],
			patches: [{ id: two.id, ...A('203.0.113.2') }],
			posts: [A('203.0.113.1'), A('203.0.113.3')],
		})
		assert.equal(done.patches[0].id, two.id)
		assert.equal(done.posts.length, 2)
		assert.deepEqual(await contents(), ['203.0.113.1', '203.0.113.2', '203.0.113.3'])
	},
	async 'a batch with one wrong operation changes nothing'() {
		await reset('192.0.2.1', '192.0.2.2')
		const one = await byContent('192.0.2.1')
		await refused(() => cf.dns.records.batch({
			zone_id,
			patches: [{ id: one.id, ...A('203.0.113.1') }],
			posts: [A('192.0.2.2')],
		}), 400, 81058)
		assert.deepEqual(await contents(), ['192.0.2.1', '192.0.2.2'])
	},
	async 'an identical record, a CNAME beside, a wrong address and a TTL of 5 are refused'() {
		await reset('192.0.2.1')
		const create = (r) => () => cf.dns.records.create({ zone_id, ...r })
		await refused(create(A('192.0.2.1')), 400, 81058)
		await refused(create({ type: 'CNAME', name: www, content: 'a.example.net', ttl: 60 }), 400, 81053)
		await refused(create(A('192.0.2.999')), 400, 9005)
		await refused(create(A('192.0.2.2', { ttl: 5 })), 400, 9021)
	},
	async 'a proxied record has the automatic TTL'() {
		await reset()
		const made = await cf.dns.records.create({ zone_id, ...A('192.0.2.1', { proxied: true }) })
		assert.deepEqual([made.ttl, made.proxied], [1, true])
	},
	async 'the cache is emptied of a host and of everything, and of two things at once not'() {
		await reset()
		assert.equal((await cf.cache.purge({ zone_id, hosts: [www] })).id, zone_id)
		assert.equal((await cf.cache.purge({ zone_id, purge_everything: true })).id, zone_id)
		await refused(() => cf.cache.purge({ zone_id, hosts: [www], tags: ['a'] }), 400, 1094)
		await refused(() => cf.cache.purge({ zone_id, hosts: ['www.example.net'] }), 400, 1016)
	},
	async 'a wrong, an expired and no token are refused, and one for records may not empty the cache'() {
		await reset('192.0.2.1')
		const list = (token) => () => client(token).dns.records.list({ zone_id })
		await refused(list('good-tokenx'), 403, 9109)
		await refused(list('good-toke'), 403, 9109)
		await refused(list('old-token'), 403, 10000)
		await refused(() => client('records-token').cache.purge({ zone_id, purge_everything: true }), 403, 10000)
		await client('records-token').dns.records.create({ zone_id, ...A('192.0.2.2') })
		const bare = await fetch(`${root}/client/v4/zones/${zone_id}/dns_records`)
		assert.equal(bare.status, 400)
	},
	async 'another zone and no zone are refused'() {
		await refused(() => cf.dns.records.list({ zone_id: 'f'.repeat(32) }), 403, 10000)
		await refused(() => cf.dns.records.list({ zone_id: 'example' }), 404, 7003)
	},
	async 'the client waits for Retry-After and then gets through'() {
		await reset('192.0.2.1')
		await post('fault', { kind: 'throttle', on: 'list', times: 2, after_s: 1 })
		const began = Date.now()
		await client('good-token', 3).dns.records.list({ zone_id })
		assert.ok(Date.now() - began >= 2000)
	},
}

for (const [name, test] of Object.entries(tests)) {
	try {
		await test()
		console.log(`ok - prove_cloudflare: ${name}`)
	} catch (e) {
		console.log(`not ok - prove_cloudflare: ${name}`)
		console.log(String(e.stack).replace(/^/gm, '#   '))
		process.exitCode = 1
	}
}
double.kill()
