// SPDX-License-Identifier: GPL-2.0-only
// sigv4.mjs - is this request signed as AWS wants it? The signature is made again from what came.
//
// AWS Signature Version 4, in the Authorization header only.
import {createHash, createHmac, timingSafeEqual} from 'node:crypto';

const SKEW_MS = 5 * 60 * 1000;
const sha256 = (data) => createHash('sha256').update(data).digest('hex');
const hmac = (key, data) => createHmac('sha256', key).update(data).digest();
const encode = (text) => encodeURIComponent(text).replace(/[!'()*]/g,
	(c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);

export class Denied extends Error {
	constructor(code, message) {
		super(message);
		this.code = code;
	}
}

// Each segment is encoded once more than it was sent, as for all services but S3.
function canonical_path(path) {
	return path.split('/').map(encode).join('/');
}

function canonical_query(query) {
	if (!query) return '';
	return query.split('&').map((pair) => {
		const [key, ...value] = pair.split('=');
		return [encode(decodeURIComponent(key)), encode(decodeURIComponent(value.join('=')))];
	}).sort((a, b) => a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : a[1] < b[1] ? -1 : a[1] > b[1] ? 1 : 0)
		.map((pair) => pair.join('=')).join('&');
}

function header_values(request, name) {
	const values = [];
	for (let i = 0; i < request.rawHeaders.length; i += 2)
		if (request.rawHeaders[i].toLowerCase() === name)
			values.push(request.rawHeaders[i + 1].trim().replace(/ +/g, ' '));
	return values;
}

function time_of(stamp) {
	const m = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(stamp ?? '');
	if (!m) throw new Denied('IncompleteSignature', `Date must be in ISO-8601 'basic format'. Got '${stamp}'.`);
	return Date.UTC(m[1], m[2] - 1, m[3], m[4], m[5], m[6]);
}

function check_time(stamp, now) {
	const show = (ms) => new Date(ms).toISOString().replace(/[-:]|\.\d+/g, '');
	const at = time_of(stamp);
	if (at < now - SKEW_MS)
		throw new Denied('SignatureDoesNotMatch', `Signature expired: ${stamp} is now earlier than ` +
			`${show(now - SKEW_MS)} (${show(now)} - 5 min.)`);
	if (at > now + SKEW_MS)
		throw new Denied('SignatureDoesNotMatch', `Signature not yet current: ${stamp} is still later than ` +
			`${show(now + SKEW_MS)} (${show(now)} + 5 min.)`);
}

function parts_of(request) {
	const authorization = request.headers.authorization;
	if (!authorization) throw new Denied('MissingAuthenticationToken', 'Missing Authentication Token');
	const m = /^AWS4-HMAC-SHA256 Credential=([^, ]+), ?SignedHeaders=([^, ]+), ?Signature=([0-9a-f]{64})$/
		.exec(authorization);
	if (!m) throw new Denied('IncompleteSignature', 'Authorization header is not of the form that is wanted.');
	const scope = m[1].split('/');
	if (scope.length !== 5) throw new Denied('IncompleteSignature', 'Credential must have exactly 5 slash-delimited elements');
	return {key: scope[0], date: scope[1], region: scope[2], service: scope[3], end: scope[4],
		scope: scope.slice(1).join('/'), headers: m[2].split(';'), signature: m[3]};
}

function check_scope(p, stamp, {region, service}) {
	if (p.region !== region)
		throw new Denied('SignatureDoesNotMatch', `Credential should be scoped to a valid region, not '${p.region}'.`);
	if (p.service !== service)
		throw new Denied('SignatureDoesNotMatch', `Credential should be scoped to correct service: '${service}'.`);
	if (p.end !== 'aws4_request' || p.date !== stamp.slice(0, 8))
		throw new Denied('SignatureDoesNotMatch', 'Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP');
}

function check_signed_headers(request, p) {
	const sorted = [...p.headers].sort();
	const named = request.rawHeaders.filter((_, i) => i % 2 === 0).map((n) => n.toLowerCase());
	if (p.headers.join(';') !== sorted.join(';') || new Set(p.headers).size !== p.headers.length)
		throw new Denied('SignatureDoesNotMatch', 'SignedHeaders are not sorted');
	for (const name of ['host', ...named.filter((n) => n.startsWith('x-amz-'))])
		if (!p.headers.includes(name))
			throw new Denied('SignatureDoesNotMatch', `'${name}' must be a 'SignedHeader' in the AWS Authorization.`);
	for (const name of p.headers)
		if (!named.includes(name))
			throw new Denied('SignatureDoesNotMatch', `the signed header '${name}' was not sent`);
	if (named.filter((n) => n === 'x-amz-date').length !== 1)
		throw new Denied('IncompleteSignature', 'X-Amz-Date must be there once');
}

// The account that signed it; `accounts`: {AKID: {secret, token, expires_at, …}}.
export function verify(request, body, accounts, about, now = Date.now()) {
	const p = parts_of(request);
	const stamp = request.headers['x-amz-date'];
	const [path, query] = request.url.split(/\?(.*)/s);
	const payload = sha256(body);
	const account = accounts[p.key];

	check_time(stamp, now);
	if (!account) throw new Denied('InvalidClientTokenId', 'The security token included in the request is invalid.');
	if ((account.token ?? undefined) !== request.headers['x-amz-security-token'])
		throw new Denied('InvalidClientTokenId', 'The security token included in the request is invalid.');
	check_scope(p, stamp, about);
	check_signed_headers(request, p);
	const claimed = request.headers['x-amz-content-sha256'];
	if (claimed !== undefined && claimed !== payload)
		throw new Denied('SignatureDoesNotMatch', 'x-amz-content-sha256 is not that of the body');
	const canonical = [request.method, canonical_path(path), canonical_query(query),
		...p.headers.map((name) => `${name}:${header_values(request, name).join(',')}`), '',
		p.headers.join(';'), payload].join('\n');
	const to_sign = ['AWS4-HMAC-SHA256', stamp, p.scope, sha256(canonical)].join('\n');
	const key = [p.date, p.region, p.service, p.end].reduce(hmac, `AWS4${account.secret}`);
	if (!timingSafeEqual(hmac(key, to_sign), Buffer.from(p.signature, 'hex')))
		throw new Denied('SignatureDoesNotMatch', 'The request signature we calculated does not match the ' +
			'signature you provided. Check your AWS Secret Access Key and signing method. Consult the ' +
			`service documentation for details.\n\nThe Canonical String for this request should have been\n'${canonical}'\n\n` +
			`The String-to-Sign should have been\n'${to_sign}'\n`);
	if (account.expires_at !== undefined && account.expires_at <= now)
		throw new Denied('ExpiredToken', 'The security token included in the request is expired');
	return account;
}
