// SPDX-License-Identifier: GPL-2.0-only
// azure.mjs - a double of Azure DNS (Resource Manager, 2018-05-01) and of Azure's login
//
// Tenant, client, subscription and zone are fixed (below); DIR gets `secret`, the client's. ETags are
// compared to the letter, If-Match and If-None-Match as the specification has them. /_test/seed:
// {sets: {"A/www": {TTL, ARecords, metadata}}, life: of tokens, s}; /_test/touch: "A/www" gets
// another ETag and metadata; fault kind "touch" or "race" (on change): the same, or another address,
// just before the next change is looked at.
import {randomBytes, randomUUID} from 'node:crypto';
import {writeFileSync} from 'node:fs';
import {isIPv4, isIPv6} from 'node:net';
import {join} from 'node:path';
import {Refusal, Tokens, serve} from './rest.mjs';

const TENANT = '11111111-2222-3333-4444-555555555555';
const CLIENT = '66666666-7777-8888-9999-000000000000';
const SUBSCRIPTION = 'aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee';
const GROUP = 'dns-rg';
const ZONE = 'example.com';
const SCOPE = 'https://management.azure.com/.default';
const API = '2018-05-01';
const secret = `${randomBytes(12).toString('base64url')}~+/=&%`; // all that has to be escaped
const LISTS = {A: ['ARecords', 'ipv4Address', isIPv4], AAAA: ['AAAARecords', 'ipv6Address', isIPv6]};

const tokens = new Tokens();
let sets = new Map(); // "A/www" → {etag, properties}
let life = 3599;

// ---- the login ----

function refuse_login(status, error, number, text) {
	throw new Refusal(status, {error, error_description: `AADSTS${number}: ${text}\r\nTrace ID: ` +
		`${randomUUID()}\r\nCorrelation ID: ${randomUUID()}\r\nTimestamp: 2026-01-01 00:00:00Z`,
	error_codes: [number], timestamp: '2026-01-01 00:00:00Z', trace_id: randomUUID()});
}

function login(request, tenant, body) {
	const form = new URLSearchParams(body);
	if (request.headers['content-type']?.split(';')[0] !== 'application/x-www-form-urlencoded')
		refuse_login(400, 'invalid_request', 900144, 'The request body must be a form.');
	if (tenant !== TENANT)
		refuse_login(400, 'invalid_request', 90002, `Tenant '${tenant}' not found.`);
	if (form.get('grant_type') !== 'client_credentials')
		refuse_login(400, 'unsupported_grant_type', 70003, 'The grant type is not supported.');
	if (form.get('client_id') !== CLIENT)
		refuse_login(400, 'unauthorized_client', 700016, 'Application was not found.');
	if (form.get('client_secret') !== secret)
		refuse_login(401, 'invalid_client', 7000215, 'Invalid client secret provided. Ensure the ' +
			'secret being sent in the request is the client secret value, not the client secret ID.');
	if (form.get('scope') !== SCOPE)
		refuse_login(400, 'invalid_scope', 1002012, 'The provided value for scope is not valid.');
	return [200, {token_type: 'Bearer', expires_in: life, ext_expires_in: life,
		access_token: tokens.give('dns', life)}];
}

// ---- record sets ----

function fail(status, code, message) {
	throw new Refusal(status, {error: {code, message}});
}

const base = `/subscriptions/${SUBSCRIPTION}/resourceGroups/${GROUP}/providers/` +
	`Microsoft.Network/dnszones/${ZONE}`;

function shown(key) {
	const {etag, properties} = sets.get(key);
	const [type, name] = key.split('/');
	return {id: `${base}/${key}`, name, type: `Microsoft.Network/dnszones/${type}`, etag,
		properties: {fqdn: name === '@' ? `${ZONE}.` : `${name}.${ZONE}.`, targetResource: {},
			provisioningState: 'Succeeded', ...properties}};
}

// What a PUT may say.
function checked(type, body) {
	let o;
	try {
		o = JSON.parse(body);
	} catch {
		fail(400, 'InvalidRequestContent', 'The request content was invalid and could not be parsed.');
	}
	const p = o.properties ?? {};
	const allowed = ['TTL', 'metadata', 'targetResource', type === 'CNAME' ? 'CNAMERecord' : LISTS[type][0]];
	for (const key of Object.keys(p))
		if (!allowed.includes(key))
			fail(400, 'BadRequest', `The record set of type ${type} may not have '${key}'.`);
	if (!Number.isInteger(p.TTL) || p.TTL < 1 || p.TTL > 2147483647)
		fail(400, 'BadRequest', 'The value of TTL is not valid.');
	if (type === 'CNAME') {
		if (typeof p.CNAMERecord?.cname !== 'string') fail(400, 'BadRequest', 'CNAMERecord is missing.');
		return p;
	}
	const [list, field, good] = LISTS[type];
	if (!Array.isArray(p[list]) || !p[list].length)
		fail(400, 'BadRequest', `'${list}' must have records.`);
	const texts = p[list].map((one) => one[field]);
	if (!texts.every((one) => typeof one === 'string' && good(one)))
		fail(400, 'BadRequest', `A record of '${list}' is not valid.`);
	if (new Set(texts).size !== texts.length)
		fail(400, 'BadRequest', `The record set has '${list}' that are the same.`);
	return p;
}

// The two conditions of the specification; `there` may be undefined.
function condition(request, there) {
	const match = request.headers['if-match'];
	const none = request.headers['if-none-match'];
	const unmet = (which) => fail(412, 'PreconditionFailed',
		`The condition in the ${which} header was not satisfied. The current was ` +
		`'${there?.etag ?? ''}'.`);
	if (match !== undefined && (!there || (match !== '*' && match !== there.etag))) unmet('If-Match');
	if (none === '*' && there) unmet('If-None-Match');
}

function write(key, type, request, body, patch) {
	const there = sets.get(key);
	condition(request, there);
	if (patch && !there) fail(404, 'NotFound', `The resource record '${key.split('/')[1]}' does not exist.`);
	const properties = patch ?
		{...there.properties, ...JSON.parse(body).properties} : checked(type, body);
	const name = key.split('/')[1];
	for (const other of sets.keys()) {
		const [kind, named] = other.split('/');
		if (named === name && kind !== type && (kind === 'CNAME' || type === 'CNAME'))
			fail(409, 'Conflict', 'A CNAME may not be beside other records.');
	}
	sets.set(key, {etag: randomUUID(), properties});
	return [there ? 200 : 201, shown(key)];
}

function remove(key, request) {
	const there = sets.get(key);
	if (!there) return [204];
	condition(request, there);
	sets.delete(key);
	return [200];
}

function touch(key, race) {
	const there = sets.get(key);
	if (!there) return;
	there.etag = randomUUID();
	if (race) there.properties = {...there.properties, ARecords: [{ipv4Address: '198.51.100.99'}]};
	else there.properties = {...there.properties, metadata: {touched: 'yes'}};
}

function set_call(request, type, name, take) {
	const key = `${type}/${name}`;
	switch (request.method) {
	case 'GET':
		return ['read', () => sets.has(key) ? [200, shown(key)] : fail(404, 'NotFound',
			`The resource record '${name}' does not exist in resource group '${GROUP}'.`)];
	case 'PUT':
	case 'PATCH':
	case 'DELETE':
		return ['change', (body) => {
			const other = take();
			if (other) touch(key, other.kind === 'race');
			if (request.method === 'DELETE') return remove(key, request);
			if (request.headers['content-type']?.split(';')[0] !== 'application/json')
				fail(415, 'UnsupportedMediaType', 'The content type is not supported.');
			return write(key, type, request, body, request.method === 'PATCH');
		}];
	default:
		return ['unknown', () => fail(405, 'MethodNotAllowed', request.method)];
	}
}

const list = (type) => [200, {value: [...sets.keys()]
	.filter((key) => !type || key.startsWith(`${type}/`)).map(shown)}];

function api(request, url, take) {
	const path = url.pathname.split('/').map(decodeURIComponent);
	const [, subscriptions, subscription, groups, group, providers, namespace, zones, zone, type, name] = path;
	const fixed = [subscriptions, groups, providers, namespace, zones].join('/').toLowerCase();
	if (fixed !== 'subscriptions/resourcegroups/providers/microsoft.network/dnszones')
		return ['unknown', () => fail(404, 'NotFound', 'Not found')];
	if (url.searchParams.get('api-version') !== API)
		return ['unknown', () => fail(400, 'InvalidApiVersionParameter', 'The api-version is invalid.')];
	if (subscription !== SUBSCRIPTION)
		return ['unknown', () => fail(403, 'AuthorizationFailed',
			`The client '${CLIENT}' does not have authorization to perform action ` +
			`'Microsoft.Network/dnszones/read' over scope '/subscriptions/${subscription}'.`)];
	if (group?.toLowerCase() !== GROUP)
		return ['read', () => fail(404, 'ResourceGroupNotFound',
			`Resource group '${group}' could not be found.`)];
	if (zone?.toLowerCase() !== ZONE)
		return ['read', () => fail(404, path.length > 9 ? 'ParentResourceNotFound' : 'ResourceNotFound',
			`The Resource 'Microsoft.Network/dnszones/${zone}' under resource group '${group}' was not found.`)];
	if (type === undefined)
		return ['zone', () => [200, {id: base, name: ZONE, type: 'Microsoft.Network/dnszones',
			location: 'global', etag: 'z', properties: {numberOfRecordSets: sets.size}}]];
	if (type === 'recordsets' || type === 'all') return ['read', () => list()];
	if (!(type in LISTS) && type !== 'CNAME')
		return ['unknown', () => fail(400, 'BadRequest', `no records of type ${type} here`)];
	if (name === undefined) return ['read', () => list(type)];
	return set_call(request, type, name, take);
}

function route(request, url, take) {
	const at = /^\/([^/]+)\/oauth2\/v2\.0\/token$/.exec(url.pathname);
	if (request.method === 'POST' && at)
		return {on: 'token', run: (body) => login(request, at[1], body)};
	const [on, run] = api(request, url, () => take(on, ['touch', 'race']));
	return {on, run: (body) => {
		if (!tokens.of(request))
			throw new Refusal(401, {error: {code: 'ExpiredAuthenticationToken',
				message: 'The access token has expired or is not valid.'}},
			{'www-authenticate': 'Bearer authorization_uri="https://login.microsoftonline.com/", ' +
				'error="invalid_token"'});
		return run(body);
	}};
}

function control(what, value) {
	if (what === 'state')
		return Object.fromEntries([...sets].map(([key, set]) => [key, set]));
	if (what === 'touch') {
		touch(value, false);
		return {};
	}
	if (what !== 'seed') throw new Error(`no such control: ${what}`);
	if (value.sets)
		sets = new Map(Object.entries(value.sets)
			.map(([key, properties]) => [key, {etag: randomUUID(), properties}]));
	life = value.life ?? 3599;
	return {};
}

// For the authority.
const records = () => [...sets].map(([key, {properties: p}]) => {
	const [type, name] = key.split('/');
	const data = type === 'CNAME' ? [p.CNAMERecord.cname] :
		(p[LISTS[type][0]] ?? []).map((one) => one[LISTS[type][1]]);
	return {name: name === '@' ? `${ZONE}.` : `${name}.${ZONE}.`, type, ttl: p.TTL,
		choices: [{weight: 1, data}]};
});

const double = await serve({route, control, tokens, zone: `${ZONE}.`, records});
writeFileSync(join(double.dir, 'secret'), `${secret}\n`, {mode: 0o600});
double.ready();
