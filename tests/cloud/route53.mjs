// SPDX-License-Identifier: GPL-2.0-only
// route53.mjs - a double of Route 53's API 2013-04-01, as far as one zone's record sets go
//
//   node tests/cloud/route53.mjs --dir DIR [--port N] [--tls]      (rest.mjs has the rest)
//
// DIR gets `credentials` (of long duration), `credentials.session` (temporary, with a token),
// `credentials.reader` (may not change anything), `credentials.wrong` (its secret is another's) and
// `credentials.unknown`. Every signature is made again (sigv4.mjs). Batches are all or nothing, and a
// DELETE must give every value that is stored. Each account has 5 requests in a second.
//
// Faults beside those of rest.mjs, on "list", "change" or "get":
//   throttle (headers), busy (PriorRequestNotComplete), expired, bare (the other shape of
//   InvalidChangeBatch, without an Error in it), race ({"sets": […]}: becomes what is there before the call is looked at),
//   late ({"ms"}: the answer is lost, and the change is made so much later), clock ({"ms"}: ours is
//   ahead by so much), garbage (200 and no XML)
// seed: {"sets": [{name, type, ttl, values, set_id, weight, health_check, extra}], "page_max", "insync_ms",
//   "rate"}; `extra` is XML that the set has besides. state: the sets, and how many changes were made.
import {randomBytes} from 'node:crypto';
import {writeFileSync} from 'node:fs';
import {isIPv4, isIPv6} from 'node:net';
import {join} from 'node:path';
import {Refusal, Tokens, serve} from './rest.mjs';
import {Denied, verify} from './sigv4.mjs';
import {parse, write} from './xml.mjs';

const ZONE = 'Z3M3LMPEXAMPLE';
const ZONE_NAME = 'example.com.';
const NS = 'https://route53.amazonaws.com/doc/2013-04-01/';
const VERSION = '/2013-04-01';

const key = (prefix) => prefix + randomBytes(10).toString('hex').toUpperCase().slice(0, 16);
const secret = () => randomBytes(30).toString('base64');
const accounts = {
	[key('AKIA')]: {secret: secret(), file: 'credentials'},
	[key('ASIA')]: {secret: secret(), token: randomBytes(90).toString('base64'), file: 'credentials.session'},
	[key('AKIB')]: {secret: secret(), reads: true, file: 'credentials.reader'},
};

let sets = [];
let changes = new Map();
let made = 0;
let page_max = 300;
let insync_ms = 1500;
let rate = 5;
let ahead_ms = 0;

// ---- names: kept as \ooo has them, lower case ----

function name_of(text) {
	let out = '';
	for (let i = 0; i < text.length; i++) {
		let c = text[i];
		let octet = c.charCodeAt(0);
		if (c === '\\') {
			const m = /^\\([0-3][0-7][0-7])/.exec(text.slice(i));
			if (!m) throw new Refusal(...error(400, 'InvalidInput', `Invalid escape in '${text}'`));
			octet = parseInt(m[1], 8);
			c = String.fromCharCode(octet);
			i += 3;
			if (c === '.') c = ''; // a dot within a label
		}
		out += /^[A-Za-z0-9_.-]$/.test(c) ? c.toLowerCase() : `\\${octet.toString(8).padStart(3, '0')}`;
	}
	return out.endsWith('.') ? out : `${out}.`;
}

// Route 53's order: by labels from the right, then type, then identifier.
const order = (s) => [s.name.split('.').reverse().join('\u0001'), s.type, s.set_id ?? ''].join('\u0000');
const id_of = (s) => `${s.name}\u0000${s.type}\u0000${s.set_id ?? ''}`;

// ---- answers ----

const request_id = () => randomBytes(16).toString('hex');
const xml = (status, node, headers = {}) => [status, `<?xml version="1.0"?>\n${write(node)}`,
	{'content-type': 'text/xml', 'x-amzn-requestid': request_id(), ...headers}];
const root = (name, children) => [name, children, ` xmlns="${NS}"`];

function error(status, code, message, headers) {
	return xml(status, root('ErrorResponse', [['Error', [['Type', status < 500 ? 'Sender' : 'Receiver'],
		['Code', code], ['Message', message]]], ['RequestId', request_id()]]), headers);
}

function invalid_batch(messages, bare) {
	if (!bare) return error(400, 'InvalidChangeBatch', `[${messages.join(', ')}]`);
	return xml(400, root('InvalidChangeBatch', [['Messages', messages.map((m) => ['Message', m])],
		['RequestId', request_id()]]));
}

const set_node = (s) => ['ResourceRecordSet', [['Name', s.name], ['Type', s.type],
	s.set_id === undefined ? undefined : ['SetIdentifier', s.set_id],
	s.weight === undefined ? undefined : ['Weight', s.weight],
	...(s.extra ? parse(`<E>${s.extra}</E>`).children.map(function node(n) {
		return [n.name, n.children.length ? n.children.map(node) : n.text];
	}) : []),
	s.ttl === undefined ? undefined : ['TTL', s.ttl],
	s.values?.length ? ['ResourceRecords', s.values.map((v) => ['ResourceRecord', [['Value', v]]])] : undefined,
	s.health_check === undefined ? undefined : ['HealthCheckId', s.health_check]]];

const info_node = ({id, at, comment}) => ['ChangeInfo', [['Id', `/change/${id}`],
	['Status', Date.now() >= at + insync_ms ? 'INSYNC' : 'PENDING'],
	['SubmittedAt', new Date(at).toISOString()], comment === undefined ? undefined : ['Comment', comment]]];

// ---- the calls ----

function list(url) {
	const q = url.searchParams;
	if (q.has('type') && !q.has('name'))
		throw new Refusal(...error(400, 'InvalidInput', 'The ResourceRecordSet name is required when a type is given'));
	if (q.has('identifier') && !q.has('type'))
		throw new Refusal(...error(400, 'InvalidInput', 'The type is required when an identifier is given'));
	const start = q.has('name') ? order({name: name_of(q.get('name')), type: q.get('type') ?? '',
		set_id: q.get('identifier') ?? ''}) : '';
	const max = Math.min(Number(q.get('maxitems') ?? 300), 300, page_max);
	if (!(max >= 1)) throw new Refusal(...error(400, 'InvalidInput', 'maxitems must be at least 1'));
	const all = [...sets].sort((a, b) => order(a) < order(b) ? -1 : 1).filter((s) => order(s) >= start);
	const next = all[max];
	return xml(200, root('ListResourceRecordSetsResponse', [
		['ResourceRecordSets', all.slice(0, max).map(set_node)],
		['IsTruncated', next !== undefined],
		next && ['NextRecordName', next.name], next && ['NextRecordType', next.type],
		next?.set_id === undefined ? undefined : ['NextRecordIdentifier', next.set_id],
		['MaxItems', max]]));
}

const SET_ORDER = ['Name', 'Type', 'SetIdentifier', 'Weight', 'Region', 'GeoLocation', 'Failover',
	'MultiValueAnswer', 'TTL', 'ResourceRecords', 'AliasTarget', 'HealthCheckId',
	'TrafficPolicyInstanceId', 'CidrRoutingConfig', 'GeoProximityLocation'];

function malformed(why) {
	return new Refusal(...error(400, 'MalformedInput', why));
}

// The children in the prescribed order, each at most once, as {name: node}.
function members(node, names) {
	let at = -1;
	const found = {};
	for (const child of node.children) {
		const place = names.indexOf(child.name);
		if (place <= at) throw malformed(`Unexpected element ${child.name} in ${node.name}`);
		at = place;
		found[child.name] = child;
	}
	return found;
}

function integer(node, max, what) {
	if (!/^\d+$/.test(node.text) || Number(node.text) > max)
		throw new Refusal(...error(400, 'InvalidInput', `${what} must be between 0 and ${max}`));
	return Number(node.text);
}

function set_of(node) {
	const m = members(node, SET_ORDER);
	if (!m.Name || !m.Type) throw malformed('a record set without Name or Type');
	for (const name of ['Region', 'GeoLocation', 'Failover', 'MultiValueAnswer', 'AliasTarget',
		'TrafficPolicyInstanceId', 'CidrRoutingConfig', 'GeoProximityLocation'])
		if (m[name]) throw malformed(`this double has no ${name}`);
	const values = (m.ResourceRecords?.children ?? []).map((r) => {
		if (r.name !== 'ResourceRecord' || r.children.length !== 1 || r.children[0].name !== 'Value')
			throw malformed('ResourceRecords');
		return r.children[0].text;
	});
	if (m.SetIdentifier && !(m.SetIdentifier.text.length >= 1 && m.SetIdentifier.text.length <= 128))
		throw new Refusal(...error(400, 'InvalidInput', 'SetIdentifier has 1 to 128 characters'));
	return {name: name_of(m.Name.text), type: m.Type.text, set_id: m.SetIdentifier?.text,
		weight: m.Weight && integer(m.Weight, 255, 'Weight'), ttl: m.TTL && integer(m.TTL, 2147483647, 'TTL'),
		values, health_check: m.HealthCheckId?.text};
}

// What is wrong with a set by itself, or with its being where `all` are.
function wrong_with(s, all) {
	const title = `RRSet with DNS name ${s.name}, type ${s.type}`;
	const same_name = all.filter((o) => o.name === s.name);
	const group = same_name.filter((o) => o.type === s.type);
	if (s.name !== ZONE_NAME && !s.name.endsWith(`.${ZONE_NAME}`))
		return `RRSet with DNS name ${s.name} is not permitted in zone ${ZONE_NAME}`;
	if (s.ttl === undefined || !s.values.length) return `Missing field 'TTL' or 'ResourceRecords' in ${title}`;
	if ((s.set_id === undefined) !== (s.weight === undefined))
		return `${title}: SetIdentifier and Weight are given both or not at all`;
	if (new Set(s.values).size !== s.values.length) return `Duplicate Resource Record: '${s.values[0]}'`;
	for (const v of s.values) {
		if (s.type === 'A' && !isIPv4(v))
			return `Invalid Resource Record: 'FATAL problem: ARRDATAIllegalIPv4Address (Value is not a valid IPv4 address) encountered with '${v}''`;
		if (s.type === 'AAAA' && !isIPv6(v))
			return `Invalid Resource Record: 'FATAL problem: AAAARRDATAIllegalIPv6Address (Value is not a valid IPv6 address) encountered with '${v}''`;
	}
	if (group.some((o) => (o.weight === undefined) !== (s.weight === undefined)))
		return `${title}${s.set_id ? `, SetIdentifier ${s.set_id}` : ''} cannot be created as a ` +
			`${s.weight === undefined ? 'weighted' : 'non-weighted'} set exists with the same name and type.`;
	if (group.some((o) => o.ttl !== s.ttl)) return `${title}: all weighted sets must have the same TTL`;
	if (same_name.some((o) => (o.type === 'CNAME') !== (s.type === 'CNAME')))
		return `${title} is not permitted as it conflicts with other records with the same DNS name in zone ${ZONE_NAME}`;
	return undefined;
}

const same = (a, b) => a.ttl === b.ttl && a.weight === b.weight && a.health_check === b.health_check &&
	[...a.values].sort().join('\n') === [...b.values].sort().join('\n');

function apply_one(action, s, all, deleted) {
	const said = `resource record set [name='${s.name}', type='${s.type}'${s.set_id ? `, set identifier='${s.set_id}'` : ''}]`;
	const i = all.findIndex((o) => id_of(o) === id_of(s));
	if (action === 'DELETE') {
		if (deleted.has(id_of(s))) return `The request contains an invalid set of changes for a ${said}`;
		if (i < 0) return `Tried to delete ${said} but it was not found`;
		if (all[i].extra || !same(all[i], s))
			return `Tried to delete ${said} but the values provided do not match the current values`;
		deleted.add(id_of(s));
		all.splice(i, 1);
		return undefined;
	}
	if (action === 'CREATE' && i >= 0) return `Tried to create ${said} but it already exists`;
	if (action !== 'CREATE' && action !== 'UPSERT') throw malformed(`Action ${action}`);
	if (i >= 0) all.splice(i, 1);
	const wrong = wrong_with(s, all);
	if (!wrong) all.push(s);
	return wrong;
}

function change(body, bare) {
	let request;
	try {
		request = parse(body);
	} catch (fault) {
		throw malformed(fault.message);
	}
	if (request.name !== 'ChangeResourceRecordSetsRequest' || request.xmlns !== NS) throw malformed(request.name);
	const inner = members(request, ['ChangeBatch']).ChangeBatch ?? request;
	// AWS's own clients put Comment behind Changes, or before; within a set they keep the order.
	const batch = members(inner, inner.children[0]?.name === 'Changes' ? ['Changes', 'Comment'] : ['Comment', 'Changes']);
	if ((batch.Comment?.text.length ?? 0) > 256) throw malformed('Comment');
	const wanted = (batch.Changes?.children ?? []).map((c) => {
		const m = members(c, ['Action', 'ResourceRecordSet']);
		if (c.name !== 'Change' || !m.Action || !m.ResourceRecordSet) throw malformed(c.name);
		return [m.Action.text, set_of(m.ResourceRecordSet)];
	});
	if (!wanted.length) throw malformed('no changes');
	const all = [...sets];
	const deleted = new Set();
	const wrong = wanted.map(([action, s]) => apply_one(action, s, all, deleted)).filter(Boolean);
	if (wrong.length) throw new Refusal(...invalid_batch(wrong, bare));
	sets = all;
	made++;
	const info = {id: key('C'), at: Date.now(), comment: batch.Comment?.text};
	changes.set(info.id, info);
	return xml(200, root('ChangeResourceRecordSetsResponse', [info_node(info)]));
}

function get(id) {
	const info = changes.get(id);
	if (!info) throw new Refusal(...error(404, 'NoSuchChange', `A change with the specified change ID does not exist: ${id}`));
	return xml(200, root('GetChangeResponse', [info_node(info)]));
}

// ---- who asks, and how often ----

function admitted(request, body) {
	let account;
	try {
		account = verify(request, body, accounts, {region: 'us-east-1', service: 'route53'}, Date.now() + ahead_ms);
	} catch (denied) {
		if (!(denied instanceof Denied)) throw denied;
		throw new Refusal(...error(403, denied.code, denied.message));
	}
	const now = Date.now();
	account.times = (account.times ?? []).filter((t) => t > now - 1000);
	if (account.times.length >= rate) throw new Refusal(...error(400, 'Throttling', 'Rate exceeded'));
	account.times.push(now);
	return account;
}

const FAULTS = {
	throttle: (f) => error(f.status ?? 400, 'Throttling', 'Rate exceeded', f.headers),
	busy: () => error(400, 'PriorRequestNotComplete',
		'The request was rejected because Route 53 was still processing a prior request.'),
	expired: () => error(403, 'ExpiredToken', 'The security token included in the request is expired'),
};

function run_call(on, request, url, take, body) {
	const fault = take(on, [...Object.keys(FAULTS), 'race', 'late', 'clock', 'garbage', 'bare']);
	ahead_ms = fault?.kind === 'clock' ? fault.ms : 0;
	const account = admitted(request, body);
	if (fault && FAULTS[fault.kind]) throw new Refusal(...FAULTS[fault.kind](fault));
	if (fault?.kind === 'garbage') return [200, '<html><body>proxy</body>', {'content-type': 'text/html'}];
	if (fault?.kind === 'race') sets = fault.sets.map(seeded);
	if (on === 'get') return get(url.pathname.split('/')[3]);
	if (url.pathname.split('/')[3] !== ZONE)
		throw new Refusal(...error(404, 'NoSuchHostedZone', `No hosted zone found with ID: ${url.pathname.split('/')[3]}`));
	if (on === 'list') return list(url);
	if (account.reads)
		throw new Refusal(...error(403, 'AccessDenied', 'User: arn:aws:iam::123456789012:user/reader is not ' +
			`authorized to perform: route53:ChangeResourceRecordSets on resource: arn:aws:route53:::hostedzone/${ZONE}`));
	if (fault?.kind === 'late') {
		setTimeout(() => change(body), fault.ms);
		request.socket.destroy();
		return [200, ''];
	}
	return change(body, fault?.kind === 'bare');
}

function route(request, url, take) {
	const path = url.pathname;
	const on = request.method === 'GET' && /^\/2013-04-01\/hostedzone\/[A-Z0-9]+\/rrset$/.test(path) ? 'list'
		: request.method === 'POST' && /^\/2013-04-01\/hostedzone\/[A-Z0-9]+\/rrset\/?$/.test(path) ? 'change'
		: request.method === 'GET' && /^\/2013-04-01\/change\/[A-Z0-9]+$/.test(path) ? 'get' : 'other';
	return {on, run(body) {
		if (on === 'other')
			throw new Refusal(...error(404, 'InvalidAction', `no call of ${VERSION}: ${request.method} ${path}`));
		return run_call(on, request, url, take, body);
	}};
}

const seeded = (s) => ({...s, name: name_of(s.name)});

function control(what, value) {
	if (what === 'seed') {
		if (value.sets) sets = value.sets.map(seeded);
		page_max = value.page_max ?? 300;
		insync_ms = value.insync_ms ?? 1500;
		rate = value.rate ?? 5;
		made = 0;
	} else if (what === 'session_ends') {
		for (const a of Object.values(accounts)) if (a.token) a.expires_at = Date.now();
	} else if (what === 'session_lasts') {
		for (const a of Object.values(accounts)) delete a.expires_at;
	} else if (what !== 'state') {
		throw new Error(`no such control: ${what}`);
	}
	return {sets: [...sets].sort((a, b) => order(a) < order(b) ? -1 : 1), made};
}

function write_credentials(dir, file, id, hidden, token) {
	writeFileSync(join(dir, file), `[default]\naws_access_key_id = ${id}\naws_secret_access_key = ${hidden}\n` +
		(token ? `aws_session_token = ${token}\n` : ''), {mode: 0o600});
}

const server = await serve({route, control, tokens: new Tokens()});
for (const [id, a] of Object.entries(accounts)) write_credentials(server.dir, a.file, id, a.secret, a.token);
write_credentials(server.dir, 'credentials.wrong', Object.keys(accounts)[0], secret());
write_credentials(server.dir, 'credentials.unknown', key('AKIA'), secret());
server.ready();
