// SPDX-License-Identifier: GPL-2.0-only
// google.mjs - a double of Google Cloud DNS v1 and of Google's login for service accounts
//
// Project shift-test, managed zone prod-zone (example.com.). DIR gets account.json, a service
// account's key file whose token_uri is here. The assertion is verified to the letter (signature,
// issuer, audience, scope, times); a Change is made whole or not at all, and only when each of its
// deletions is exactly what is there. /_test/seed: {rrsets, pending: polls until a change is done,
// empty_pages: pages without anything before the first, life: of tokens, s}.
import {generateKeyPairSync, verify} from 'node:crypto';
import {writeFileSync} from 'node:fs';
import {isIPv4, isIPv6} from 'node:net';
import {join} from 'node:path';
import {Refusal, Tokens, serve} from './rest.mjs';

const PROJECT = 'shift-test';
const ZONE = {kind: 'dns#managedZone', name: 'prod-zone', id: '4711', dnsName: 'example.com.',
	description: '', nameServers: ['ns1.example.com.'], visibility: 'public',
	creationTime: '2026-01-01T00:00:00.000Z'};
const EMAIL = 'shift@shift-test.iam.gserviceaccount.com';
const KEY_ID = '0123456789abcdef0123456789abcdef01234567';
const WRITES = ['https://www.googleapis.com/auth/ndev.clouddns.readwrite',
	'https://www.googleapis.com/auth/cloud-platform'];
const GRANT = 'urn:ietf:params:oauth:grant-type:jwt-bearer';

const {publicKey, privateKey} = generateKeyPairSync('rsa', {modulusLength: 2048});
const tokens = new Tokens();
let audiences = [];
let rrsets = [];
let changes = [];
let pending = 1;
let empty_pages = 0;
let life = 3600;

// ---- the login ----

function invalid(description, error = 'invalid_grant') {
	throw new Refusal(400, {error, error_description: description});
}

function part(text) {
	if (!/^[A-Za-z0-9_-]+$/.test(text)) invalid('Invalid JWT: Failed audience check.');
	try {
		return JSON.parse(Buffer.from(text, 'base64url').toString('utf8'));
	} catch {
		return invalid('Bad Request', 'invalid_request');
	}
}

function login(request, body) {
	if (request.headers['content-type']?.split(';')[0] !== 'application/x-www-form-urlencoded')
		invalid('Bad Request', 'invalid_request');
	const form = new URLSearchParams(body);
	if (form.get('grant_type') !== GRANT) invalid('Invalid grant_type', 'unsupported_grant_type');
	const parts = (form.get('assertion') ?? '').split('.');
	if (parts.length !== 3) invalid('Bad Request', 'invalid_request');
	const header = part(parts[0]);
	const claims = part(parts[1]);
	if (header.alg !== 'RS256' || (header.typ !== undefined && header.typ !== 'JWT') ||
	    (header.kid !== undefined && header.kid !== KEY_ID))
		invalid('Invalid JWT Signature.');
	if (!verify('RSA-SHA256', Buffer.from(`${parts[0]}.${parts[1]}`), publicKey,
		Buffer.from(parts[2], 'base64url')))
		invalid('Invalid JWT Signature.');
	if (claims.iss !== EMAIL) invalid('Invalid grant: account not found');
	if (!audiences.includes(claims.aud)) invalid('Invalid JWT: Failed audience check.');
	const now = Date.now() / 1000;
	if (!Number.isInteger(claims.iat) || !Number.isInteger(claims.exp) ||
	    claims.iat > now + 300 || claims.exp < now || claims.exp > claims.iat + 3600)
		invalid('Invalid JWT: Token must be a short-lived token (60 minutes) and in a ' +
			'reasonable timeframe. Check your iat and exp values in the JWT claim.');
	const scopes = (claims.scope ?? '').split(' ');
	if (!scopes.every((one) => WRITES.includes(one))) invalid('Invalid OAuth scope', 'invalid_scope');
	return [200, {access_token: tokens.give('dns', life), expires_in: life, token_type: 'Bearer'}];
}

// ---- record sets ----

function fail(code, reason, message) {
	throw new Refusal(code, {error: {code, message, errors: [{message, domain: 'global', reason}]}});
}

const sorted = (list) => [...list].sort();
const key_of = (set) => `${set.name} ${set.type}`;

// Everything of a set that a deletion has to repeat, as one text.
function essence(set) {
	const items = (set.routingPolicy?.wrr?.items ?? [])
		.map((item) => `${Number(item.weight)} ${sorted(item.rrdatas)}`);
	return JSON.stringify([set.name, set.type, set.ttl, sorted(set.rrdatas ?? []), sorted(items)]);
}

function is_list(value) {
	return Array.isArray(value) && value.length > 0 && value.every((one) => typeof one === 'string');
}

function check_data(type, data, where) {
	const good = {A: isIPv4, AAAA: isIPv6, CNAME: (name) => name.endsWith('.')}[type];
	if (good && !good(data)) fail(400, 'invalid', `Invalid value for '${where}': '${data}'`);
}

// Is it a record set at all?
function check(set, where) {
	if (typeof set?.name !== 'string' || !set.name.endsWith('.') ||
	    !`.${set.name}`.endsWith(`.${ZONE.dnsName}`))
		fail(400, 'invalid', `Invalid value for '${where}.name': '${set?.name}'`);
	if (typeof set.type !== 'string' || !/^[A-Z]+$/.test(set.type))
		fail(400, 'invalid', `Invalid value for '${where}.type': '${set.type}'`);
	if (!Number.isInteger(set.ttl) || set.ttl < 0)
		fail(400, 'invalid', `Invalid value for '${where}.ttl': '${set.ttl}'`);
	const lists = [];
	if (set.routingPolicy) {
		const items = set.routingPolicy.wrr?.items;
		if (set.rrdatas?.length || !Array.isArray(items) || !items.length)
			fail(400, 'invalid', `Invalid value for '${where}.routingPolicy'`);
		for (const item of items) {
			if (typeof item.weight !== 'number' || item.weight < 0)
				fail(400, 'invalid', `Invalid value for '${where}.routingPolicy.wrr.items'`);
			lists.push(item.rrdatas);
		}
	} else {
		lists.push(set.rrdatas);
	}
	for (const list of lists) {
		if (!is_list(list) || new Set(list).size !== list.length)
			fail(400, 'required', `The '${where}.rrdata' parameter is required but was missing.`);
		for (const data of list) check_data(set.type, data, `${where}.rrdata`);
	}
}

// As the service shows a set.
function shown(set) {
	const o = {kind: 'dns#resourceRecordSet', name: set.name, type: set.type, ttl: set.ttl,
		signatureRrdatas: []};
	if (set.routingPolicy) {
		o.routingPolicy = {kind: 'dns#rRSetRoutingPolicy', wrr: {
			kind: 'dns#rRSetRoutingPolicyWrrPolicy',
			items: set.routingPolicy.wrr.items.map((item) => ({
				kind: 'dns#rRSetRoutingPolicyWrrPolicyWrrPolicyItem',
				weight: item.weight, rrdatas: item.rrdatas, signatureRrdatas: []})),
		}};
	} else {
		o.rrdatas = set.rrdatas;
	}
	return o;
}

function change(body) {
	let asked;
	try {
		asked = JSON.parse(body);
	} catch {
		fail(400, 'parseError', 'Parse Error');
	}
	const {additions = [], deletions = []} = asked;
	for (const key of Object.keys(asked))
		if (!['additions', 'deletions', 'kind'].includes(key))
			fail(400, 'invalid', `Unknown name "${key}"`);
	if (!additions.length && !deletions.length)
		fail(400, 'required', "The 'entity.change' parameter is required but was missing.");
	deletions.forEach((set, i) => check(set, `entity.change.deletions[${i}]`));
	additions.forEach((set, i) => check(set, `entity.change.additions[${i}]`));
	const left = new Map(rrsets.map((set) => [key_of(set), set]));
	deletions.forEach((set, i) => {
		const there = left.get(key_of(set));
		const where = `entity.change.deletions[${i}]`;
		if (!there)
			fail(404, 'notFound',
				`The '${where}' resource named '${set.name} (${set.type})' does not exist.`);
		if (essence(there) !== essence(set))
			fail(412, 'conditionNotMet', `Precondition not met for '${where}'`);
		left.delete(key_of(set));
	});
	additions.forEach((set, i) => {
		if (left.has(key_of(set)))
			fail(409, 'alreadyExists', `The 'entity.change.additions[${i}]' resource named ` +
				`'${set.name} (${set.type})' already exists.`);
		const others = [...left.values()].filter((one) => one.name === set.name);
		if (others.some((one) => (one.type === 'CNAME') !== (set.type === 'CNAME')))
			fail(400, 'cnameResourceRecordSetConflict', 'The resource record set ' +
				`'entity.change.additions[${i}]' is invalid because a CNAME cannot have siblings.`);
		left.set(key_of(set), set);
	});
	rrsets = [...left.values()];
	const made = {kind: 'dns#change', id: String(changes.length + 1), status: 'pending',
		startTime: new Date().toISOString(), additions: additions.map(shown),
		deletions: deletions.map(shown), polls: 0};
	changes.push(made);
	return [200, public_of(made)];
}

function public_of({polls, ...rest}) {
	return {...rest, status: polls >= pending ? 'done' : 'pending'};
}

function change_of(id) {
	const found = changes.find((one) => one.id === id);
	if (!found) fail(404, 'notFound', `The 'parameters.changeId' resource named '${id}' does not exist.`);
	found.polls++;
	return [200, public_of(found)];
}

function change_list(query) {
	const order = query.get('sortOrder') ?? 'ascending';
	if (!['ascending', 'descending'].includes(order) ||
	    (query.get('sortBy') ?? 'changeSequence') !== 'changeSequence')
		fail(400, 'invalid', "Invalid value for 'parameters.sortBy' or 'parameters.sortOrder'.");
	const all = changes.map(public_of);
	if (order === 'descending') all.reverse();
	return [200, {kind: 'dns#changesListResponse',
		changes: all.slice(0, Number(query.get('maxResults') ?? 100))}];
}

function list(query) {
	const name = query.get('name');
	const type = query.get('type');
	const page = query.get('pageToken');
	if (type && !name)
		fail(400, 'invalid', "The 'parameters.type' parameter needs 'parameters.name'.");
	const number = page ? Number(Buffer.from(page, 'base64').toString()) : 0;
	if (number < empty_pages)
		return [200, {kind: 'dns#resourceRecordSetsListResponse', rrsets: [],
			nextPageToken: Buffer.from(String(number + 1).padStart(4, '0')).toString('base64')}];
	return [200, {kind: 'dns#resourceRecordSetsListResponse', rrsets: rrsets
		.filter((set) => (!name || set.name === name) && (!type || set.type === type)).map(shown)}];
}

// ---- the server ----

function zone_call(request, url, rest) {
	const at = `${request.method} /${rest.join('/')}`;
	if (at === 'GET /') return ['zone', () => [200, ZONE]];
	if (at === 'GET /rrsets') return ['read', () => list(url.searchParams)];
	if (at === 'POST /changes') return ['change', change];
	if (at === 'GET /changes')
		return ['changes', () => change_list(url.searchParams)];
	if (request.method === 'GET' && rest[0] === 'changes' && rest.length === 2)
		return ['done', () => change_of(rest[1])];
	return ['unknown', () => fail(404, 'notFound', 'Not Found')];
}

function api(request, url) {
	const [, , , , project, , zone, ...rest] = url.pathname.split('/').map(decodeURIComponent);
	if (project !== PROJECT)
		return ['unknown', () => fail(403, 'forbidden', 'Forbidden')];
	if (zone === undefined)
		return ['zone', () => [200, {kind: 'dns#managedZonesListResponse', managedZones: [ZONE]}]];
	if (zone !== ZONE.name && zone !== ZONE.id)
		return ['read', () => fail(404, 'notFound',
			`The 'parameters.managedZone' resource named '${zone}' does not exist.`)];
	return zone_call(request, url, rest);
}

function route(request, url) {
	if (request.method === 'POST' && url.pathname === '/token')
		return {on: 'token', run: (body) => login(request, body)};
	const at = /^\/dns\/v1\/projects\/[^/]+\/managedZones(\/|$)/.test(url.pathname);
	const [on, run] = at ? api(request, url) : ['unknown', () => fail(404, 'notFound', 'Not Found')];
	return {on, run: (body) => {
		if (!tokens.of(request))
			throw new Refusal(401, {error: {code: 401, message: 'Request had invalid authentication ' +
				'credentials. Expected OAuth 2 access token, login cookie or other valid ' +
				'authentication credential.', errors: [{message: 'Invalid Credentials',
				domain: 'global', reason: 'authError', location: 'Authorization',
				locationType: 'header'}], status: 'UNAUTHENTICATED'}},
			{'www-authenticate': 'Bearer realm="https://accounts.google.com/", error="invalid_token"'});
		if (request.method === 'POST' &&
		    request.headers['content-type']?.split(';')[0] !== 'application/json')
			fail(400, 'badRequest', 'The body must be JSON');
		return run(body);
	}};
}

function control(what, value) {
	if (what === 'state') return {rrsets, changes};
	if (what !== 'seed') throw new Error(`no such control: ${what}`);
	({rrsets = rrsets, pending = pending, empty_pages = 0, life = 3600} = value);
	if (value.rrsets) changes = [];
	return {};
}

// For the authority.
const records = () => rrsets.map(({name, type, ttl, rrdatas, routingPolicy}) => ({name, type, ttl,
	choices: routingPolicy ?
		routingPolicy.wrr.items.map((item) => ({weight: item.weight, data: item.rrdatas})) :
		[{weight: 1, data: rrdatas}]}));

const double = await serve({route, control, tokens, zone: ZONE.dnsName, records});
// Google's own clients always name Google's own address, which the real login knows as itself.
audiences = [`${double.base}/token`, 'https://oauth2.googleapis.com/token'];
writeFileSync(join(double.dir, 'account.json'), JSON.stringify({
	type: 'service_account', project_id: PROJECT, private_key_id: KEY_ID,
	private_key: privateKey.export({type: 'pkcs8', format: 'pem'}), client_email: EMAIL,
	client_id: '100000000000000000001', auth_uri: 'https://accounts.google.com/o/oauth2/auth',
	token_uri: `${double.base}/token`, universe_domain: 'googleapis.com'}, null, 2), {mode: 0o600});
double.ready();
