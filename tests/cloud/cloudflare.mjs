// SPDX-License-Identifier: GPL-2.0-only
// A double of Cloudflare's API v4, as far as records and the HTTP cache go; see dns/cloudflare.c.
//
//   node cloudflare.mjs --token TOKEN --zone ID --name example.com [--expired TOKEN]
//        [--no-purge TOKEN] [--page-max N] [--limit N --window-ms MS] [--port N]
//
// Prints "listening PORT". TOKEN is accepted, --expired is known and out of date, --no-purge may change
// records only. What it is proved by: the provider's own client works against it (prove_cloudflare.mjs).
//
// For the test, without a token, at /_test/…:
//   POST reset        {"records": [{type, name, content, ttl, proxied}]}: these and no faults, no log
//   POST fault        {"kind", "on": "list|batch|purge|record|any", "times": 1, …}, one after the other:
//        throttle     429 and Retry-After (after_s); nothing is done
//        status       an error of that `status`, with `code`; nothing is done
//        unsuccessful 200 with "success": false; nothing is done
//        lost         it is done, and the connection ends without an answer
//        dropped      it is not done, and the connection ends without an answer
//        late         as lost, but done only after `ms`
//        half         of a batch the first `done` operations stay, then `status`
//        slow         the answer comes after `ms`
//        stale        the list is that of before the last change
//        garbage      200, and no JSON
//        meddle       another writer comes first: its `add` (a list of records), `remove` (contents), and
//                     `alter` (from one content to another)
//   GET  log          each request that came: method, path, query, body, status, and the records then
//   GET  records      what is there
import http from 'node:http'
import { randomBytes } from 'node:crypto'
import { isIP } from 'node:net'
import { parseArgs } from 'node:util'

const { values: set } = parseArgs({
	options: {
		token: { type: 'string' },
		expired: { type: 'string', default: '' },
		'no-purge': { type: 'string', default: '' },
		zone: { type: 'string' },
		name: { type: 'string' },
		'page-max': { type: 'string', default: '5000' },
		limit: { type: 'string', default: '1200' },
		'window-ms': { type: 'string', default: '300000' },
		port: { type: 'string', default: '0' },
	},
})

let records = []
let before = []
let faults = []
let log = []
let spent = { since: 0, n: 0, blocked: 0 }
let clock = Date.UTC(2026, 0, 1)

class Refusal extends Error {
	constructor(status, code, message, chain) {
		super(message)
		this.status = status
		this.error = { code, message, ...(chain && { error_chain: chain }) }
	}
}

const id = () => randomBytes(16).toString('hex')
const isId = (text) => typeof text === 'string' && /^[0-9a-f]{32}$/.test(text)
const now = () => new Date((clock += 1000)).toISOString()

// ---- records ----

const KEYS = ['type', 'name', 'content', 'ttl', 'proxied', 'comment', 'tags', 'settings']

function checked(fields, was) {
	for (const key of Object.keys(fields))
		if (!KEYS.includes(key) && key !== 'id')
			throw new Refusal(400, 9207, `Request body is invalid: unknown key ${key}`)
	const r = { proxied: false, comment: null, tags: [], ...was, ...fields }
	if (typeof r.name !== 'string' || r.name.endsWith('.'))
		throw new Refusal(400, 9000, 'DNS name is invalid.')
	if (r.name !== set.name && !r.name.endsWith(`.${set.name}`)) r.name = `${r.name}.${set.name}`
	if (!['A', 'AAAA', 'CNAME', 'TXT'].includes(r.type))
		throw new Refusal(400, 9006, `DNS Record type ${r.type} is invalid.`)
	if (r.type === 'A' && isIP(r.content) !== 4)
		throw new Refusal(400, 9005, 'Content for A record must be a valid IPv4 address.')
	if (r.type === 'AAAA' && isIP(r.content) !== 6)
		throw new Refusal(400, 9005, 'Content for AAAA record must be a valid IPv6 address.')
	if (typeof r.content !== 'string' || r.content === '')
		throw new Refusal(400, 9005, 'Content is invalid.')
	if (typeof r.proxied !== 'boolean') throw new Refusal(400, 9004, 'proxied must be a boolean.')
	if (r.proxied && r.type === 'TXT')
		throw new Refusal(400, 9004, 'This record type cannot be proxied.')
	if (r.proxied) r.ttl = 1
	if (!Number.isInteger(r.ttl) || (r.ttl !== 1 && (r.ttl < 60 || r.ttl > 86400)))
		throw new Refusal(400, 9021, 'Invalid TTL. Must be between 60 and 86400 seconds, or 1 for Automatic.')
	return r
}

function admit(all, r) {
	const others = all.filter((o) => o.id !== r.id && o.name.toLowerCase() === r.name.toLowerCase())
	if (others.some((o) => o.type === r.type && o.content === r.content))
		throw new Refusal(400, 81058, 'An identical record already exists.')
	if (r.type === 'CNAME' && others.some((o) => ['A', 'AAAA', 'CNAME'].includes(o.type)))
		throw new Refusal(400, 81053, 'An A, AAAA, or CNAME record with that host already exists.')
	if (r.type !== 'CNAME' && others.some((o) => o.type === 'CNAME'))
		throw new Refusal(400, 81054, 'A CNAME record with that host already exists.')
}

function find(all, wanted) {
	const i = isId(wanted) ? all.findIndex((o) => o.id === wanted) : -1
	if (i < 0) throw new Refusal(404, 81044, 'Record does not exist.')
	return i
}

const operations = {
	deletes(all, o) {
		return all.splice(find(all, o.id), 1)[0]
	},
	patches(all, o) {
		const i = find(all, o.id)
		const r = { ...checked(o, all[i]), modified_on: now() }
		admit(all, r)
		return (all[i] = r)
	},
	puts(all, o) {
		const i = find(all, o.id)
		const { id: same, created_on } = all[i]
		const r = { ...checked(o, {}), id: same, created_on, modified_on: now() }
		admit(all, r)
		return (all[i] = r)
	},
	posts(all, o) {
		const at = now()
		const r = { ...checked(o, {}), id: id(), proxiable: true, created_on: at, modified_on: at }
		admit(all, r)
		all.push(r)
		return r
	},
}

// All of it or nothing, in Cloudflare's order, whatever that of the body; `only`: the first of them stay.
function batch(body, only) {
	const all = records.map((r) => ({ ...r }))
	const result = {}
	let n = 0
	for (const key of Object.keys(body))
		if (!(key in operations)) throw new Refusal(400, 9207, `Request body is invalid: unknown key ${key}`)
	for (const [key, work] of Object.entries(operations)) {
		if (body[key] !== undefined && !Array.isArray(body[key]))
			throw new Refusal(400, 9207, `Request body is invalid: ${key} is no list`)
		result[key] = []
		for (const o of body[key] ?? []) {
			if (n++ === only) return [all, result]
			result[key].push(work(all, o))
		}
	}
	if (n === 0) throw new Refusal(400, 9207, 'Request body is invalid: nothing to do')
	if (n > 200) throw new Refusal(400, 9208, 'Too many operations in this batch.')
	return [all, result]
}

function become(all) {
	before = records
	records = all
}

// ---- what is asked ----

function list(query, source) {
	const max = Number(set['page-max'])
	const page = Number(query.get('page') ?? 1)
	const perPage = Math.min(Number(query.get('per_page') ?? 100), max)
	if (!Number.isInteger(page) || page < 1 || !Number.isInteger(perPage) || perPage < 1)
		throw new Refusal(400, 9002, 'Invalid page.')
	for (const key of query.keys())
		if (!['page', 'per_page', 'name.exact', 'name', 'type', 'content.exact'].includes(key))
			throw new Refusal(400, 1004, `Unknown query parameter ${key}`)
	const name = query.get('name.exact') ?? query.get('name')
	const found = source.filter((r) =>
		(!name || r.name.toLowerCase() === name.toLowerCase()) &&
		(!query.get('type') || r.type === query.get('type')) &&
		(!query.get('content.exact') || r.content === query.get('content.exact')))
	const result = found.slice((page - 1) * perPage, page * perPage)
	return {
		result,
		result_info: {
			page,
			per_page: perPage,
			count: result.length,
			total_count: found.length,
			total_pages: Math.ceil(found.length / perPage),
		},
	}
}

const PURGES = ['purge_everything', 'files', 'hosts', 'tags', 'prefixes']

function purge(body) {
	const keys = Object.keys(body)
	if (keys.length !== 1 || !PURGES.includes(keys[0]))
		throw new Refusal(400, 1094, 'Request must contain exactly one of the "purge_everything", "files", "tags", "hosts" or "prefixes"')
	if (keys[0] === 'purge_everything' ? body.purge_everything !== true
		: !Array.isArray(body[keys[0]]) || body[keys[0]].length < 1 || body[keys[0]].length > 100)
		throw new Refusal(400, 1101, `Unable to purge, ${keys[0]} is invalid`)
	if (keys[0] === 'hosts')
		for (const host of body.hosts)
			if (host !== set.name && !String(host).endsWith(`.${set.name}`))
				throw new Refusal(400, 1016, 'Unable to purge, all hosts must belong to the zone.')
	return { result: { id: set.zone } }
}

function bearer(headers) {
	const sent = headers.authorization
	if (sent === undefined)
		throw new Refusal(400, 9106, 'Missing X-Auth-Key, X-Auth-Email or Authorization headers')
	const token = /^Bearer ([\x21-\x7e]+)$/.exec(sent)?.[1]
	if (!token)
		throw new Refusal(400, 6003, 'Invalid request headers',
			[{ code: 6111, message: 'Invalid format for Authorization header' }])
	if (set.expired && token === set.expired) throw new Refusal(403, 10000, 'Authentication error')
	if (token !== set.token && token !== set['no-purge'])
		throw new Refusal(403, 9109, 'Invalid access token')
	return token
}

// 1,200 requests in five minutes, and then none for five minutes.
function limit() {
	const at = Date.now()
	const window = Number(set['window-ms'])
	if (at >= spent.since + window) spent = { ...spent, since: at, n: 0 }
	if (at < spent.blocked || ++spent.n > Number(set.limit)) {
		if (at >= spent.blocked) spent.blocked = at + window
		const refusal = new Refusal(429, 971, 'Please wait and consider throttling your request speed')
		refusal.after = Math.max(1, Math.ceil((spent.blocked - at) / 1000))
		throw refusal
	}
}

function kindOf(method, path) {
	if (path[0] === 'purge_cache') return 'purge'
	if (path[1] === 'batch') return 'batch'
	return method === 'GET' && path.length === 1 ? 'list' : 'record'
}

function parsed(req, text) {
	if (req.method === 'GET' || req.method === 'DELETE') return {}
	if (!/^application\/json\b/.test(req.headers['content-type'] ?? ''))
		throw new Refusal(415, 6000, 'Content-Type must be application/json')
	let body
	try {
		body = JSON.parse(text)
	} catch {
		throw new Refusal(400, 9207, 'Request body is invalid.')
	}
	if (body === null || typeof body !== 'object' || Array.isArray(body))
		throw new Refusal(400, 9207, 'Request body is invalid.')
	return body
}

function route(method, path, query, body, token, fault) {
	const [what, which] = path
	if (what === 'purge_cache' && method === 'POST' && path.length === 1) {
		if (token === set['no-purge']) throw new Refusal(403, 10000, 'Authentication error')
		return purge(body)
	}
	if (what !== 'dns_records' || path.length > 2)
		throw new Refusal(404, 7000, 'No route for that URI')
	if (method === 'GET' && !which) return list(query, fault?.kind === 'stale' ? before : records)
	const all = records.map((r) => ({ ...r }))
	let result
	if (method === 'POST' && which === 'batch') {
		const [made, made_result] = batch(body, fault?.kind === 'half' ? fault.done : undefined)
		become(made)
		if (fault?.kind === 'half')
			throw new Refusal(fault.status ?? 500, fault.code ?? 1000, 'the batch ended half-way')
		return { result: made_result }
	}
	if (method === 'POST' && !which) result = operations.posts(all, body)
	else if (method === 'GET') return { result: all[find(all, which)] }
	else if (method === 'PATCH') result = operations.patches(all, { ...body, id: which })
	else if (method === 'PUT') result = operations.puts(all, { ...body, id: which })
	else if (method === 'DELETE') result = { id: operations.deletes(all, { id: which }).id }
	else throw new Refusal(405, 10405, 'Method not allowed')
	become(all)
	return { result }
}

function faultOf(kind) {
	const i = faults.findIndex((f) => f.on === 'any' || f.on === kind)
	if (i < 0) return undefined
	const fault = faults[i]
	if (--fault.times <= 0) faults.splice(i, 1)
	return fault
}

// What a fault does instead of the work.
function refuseBy(fault) {
	if (fault?.kind === 'throttle') {
		const refusal = new Refusal(429, 971, 'Please wait and consider throttling your request speed')
		refusal.after = fault.after_s ?? 1
		throw refusal
	}
	if (fault?.kind === 'status') throw new Refusal(fault.status, fault.code ?? 1000, 'as the test wants')
	if (fault?.kind === 'unsuccessful') throw new Refusal(200, fault.code ?? 1000, 'as the test wants')
}

function meddle({ add = [], remove = [], alter = {} }) {
	const all = records.filter((r) => !remove.includes(r.content)).map((r) => ({ ...r }))
	for (const r of all) r.content = alter[r.content] ?? r.content
	for (const r of add) operations.posts(all, r)
	become(all)
}

function answer(res, status, envelope, headers = {}) {
	const text = JSON.stringify(envelope)
	res.writeHead(status, { 'Content-Type': 'application/json', ...headers })
	res.end(text)
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

async function serve(req, res, text) {
	const url = new URL(req.url, 'http://double')
	const parts = url.pathname.split('/').slice(1)
	const entry = { method: req.method, path: url.pathname, query: url.search, body: text, status: 0 }
	let status = 200
	let envelope
	const headers = {}
	let fault
	log.push(entry)
	try {
		const prefix = parts.slice(0, 3).join('/')
		if (prefix !== 'client/v4/zones') throw new Refusal(404, 7000, 'No route for that URI')
		const token = bearer(req.headers)
		limit()
		if (!isId(parts[3]))
			throw new Refusal(404, 7003, `Could not route to ${url.pathname}, perhaps your object identifier is invalid?`)
		if (parts[3] !== set.zone) throw new Refusal(403, 10000, 'Authentication error')
		const path = parts.slice(4)
		fault = faultOf(kindOf(req.method, path))
		refuseBy(fault)
		if (fault?.kind === 'dropped') return req.socket.destroy()
		if (fault?.kind === 'meddle') meddle(fault)
		const body = parsed(req, text)
		if (fault?.kind === 'late') {
			setTimeout(() => route(req.method, path, url.searchParams, body, token), fault.ms)
			return req.socket.destroy()
		}
		const done = route(req.method, path, url.searchParams, body, token, fault)
		envelope = { ...done, success: true, errors: [], messages: [] }
		if (fault?.kind === 'lost') return req.socket.destroy()
		if (fault?.kind === 'slow') await sleep(fault.ms)
	} catch (e) {
		if (!(e instanceof Refusal)) throw e
		status = e.status
		envelope = { result: null, success: false, errors: [e.error], messages: [] }
		if (e.after !== undefined) headers['Retry-After'] = String(e.after)
	} finally {
		entry.status = status
		entry.records = records.map((r) => `${r.name} ${r.type} ${r.content}`)
	}
	if (fault?.kind === 'garbage') {
		res.writeHead(200, { 'Content-Type': 'text/html' })
		return res.end('<html>a page of somebody else</html>')
	}
	answer(res, status, envelope, headers)
}

function control(req, res, text) {
	const what = req.url.slice('/_test/'.length)
	if (req.method === 'GET' && what === 'log') return answer(res, 200, log)
	if (req.method === 'GET' && what === 'records') return answer(res, 200, records)
	const body = JSON.parse(text)
	if (what === 'reset') {
		records = []
		for (const r of body.records ?? []) operations.posts(records, r)
		before = records
		faults = []
		log = []
		spent = { since: 0, n: 0, blocked: 0 }
	} else if (what === 'fault') {
		faults.push({ on: 'any', times: 1, ...body })
	} else {
		return answer(res, 404, {})
	}
	answer(res, 200, {})
}

const server = http.createServer((req, res) => {
	const chunks = []
	req.on('data', (c) => chunks.push(c))
	req.on('end', () => {
		const text = Buffer.concat(chunks).toString()
		if (req.url.startsWith('/_test/')) control(req, res, text)
		else serve(req, res, text)
	})
})
server.listen(Number(set.port), '127.0.0.1', () => console.log(`listening ${server.address().port}`))
