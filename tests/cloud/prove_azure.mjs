// SPDX-License-Identifier: GPL-2.0-only
// prove_azure.mjs - Azure's own client (@azure/arm-dns) against the double
import assert from 'node:assert/strict';
import {DnsManagementClient} from '@azure/arm-dns';
import {done, test, with_double} from './proof.mjs';

const double = await with_double('azure.mjs');
const TENANT = '11111111-2222-3333-4444-555555555555';
const CLIENT = '66666666-7777-8888-9999-000000000000';
const SUBSCRIPTION = 'aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee';
const WWW = ['dns-rg', 'example.com', 'www'];
const secret = double.read('secret').trimEnd();

// The client credentials of RFC 6749 4.4, asked of the double's login.
function credential(client_secret, tenant = TENANT) {
	return {async getToken() {
		const answer = await fetch(`${double.base}/${tenant}/oauth2/v2.0/token`, {method: 'POST',
			body: new URLSearchParams({grant_type: 'client_credentials', client_id: CLIENT,
				client_secret, scope: 'https://management.azure.com/.default'})});
		const o = await answer.json();
		if (!answer.ok) throw new Error(`${o.error}: ${o.error_description}`);
		return {token: o.access_token, expiresOnTimestamp: Date.now() + o.expires_in * 1000};
	}};
}

function client_of(client_secret, subscription = SUBSCRIPTION, tenant = TENANT) {
	return new DnsManagementClient(credential(client_secret, tenant), subscription,
		{endpoint: double.base, retryOptions: {maxRetries: 0}});
}

const {recordSets, zones} = client_of(secret);
const a = (...list) => ({aRecords: list.map((ipv4Address) => ({ipv4Address}))});
const addresses = (set) => set.aRecords.map((one) => one.ipv4Address);
const refused = (status, code) => (error) => {
	assert.equal(error.statusCode, status);
	assert.equal(error.code, code);
	return true;
};

await double.steer('seed', {sets: {'A/www': {TTL: 60, ARecords: [{ipv4Address: '192.0.2.10'}],
	metadata: {owner: 'web'}}}});

await test('the client reads the zone and a record set with its ETag', async () => {
	assert.equal((await zones.get('dns-rg', 'example.com')).name, 'example.com');
	const set = await recordSets.get(...WWW, 'A');
	assert.deepEqual(addresses(set), ['192.0.2.10']);
	assert.equal(set.ttl, 60);
	assert.equal(set.fqdn, 'www.example.com.');
	assert.deepEqual(set.metadata, {owner: 'web'});
	assert.match(set.etag, /^[0-9a-f-]{36}$/);
});

await test('a change that names the ETag is made, and gives a new one', async () => {
	const {etag} = await recordSets.get(...WWW, 'A');
	const set = await recordSets.createOrUpdate(...WWW, 'A', {ttl: 60, ...a('203.0.113.10')},
		{ifMatch: etag});
	assert.deepEqual(addresses(set), ['203.0.113.10']);
	assert.notEqual(set.etag, etag);
	assert.equal(set.metadata, undefined);
});

await test('a stale ETag is refused and nothing is changed', async () => {
	const before = await recordSets.get(...WWW, 'A');
	const stale = {ifMatch: '00000000-0000-0000-0000-000000000000'};
	await assert.rejects(recordSets.createOrUpdate(...WWW, 'A', {ttl: 5, ...a('192.0.2.1')}, stale),
		refused(412, 'PreconditionFailed'));
	await assert.rejects(recordSets.delete(...WWW, 'A', stale), refused(412, 'PreconditionFailed'));
	await assert.rejects(recordSets.update(...WWW, 'A', {ttl: 5}, stale),
		refused(412, 'PreconditionFailed'));
	assert.deepEqual(await recordSets.get(...WWW, 'A'), before);
});

await test('a new set is made only where there is none', async () => {
	const only = {ifNoneMatch: '*'};
	await assert.rejects(recordSets.createOrUpdate(...WWW, 'A', {ttl: 60, ...a('192.0.2.1')}, only),
		refused(412, 'PreconditionFailed'));
	const set = await recordSets.createOrUpdate('dns-rg', 'example.com', '@', 'AAAA',
		{ttl: 30, aaaaRecords: [{ipv6Address: '2001:db8::10'}]}, only);
	assert.equal(set.fqdn, 'example.com.');
	const names = [];
	for await (const one of recordSets.listByDnsZone('dns-rg', 'example.com'))
		names.push(`${one.name} ${one.type.split('/').at(-1)}`);
	assert.deepEqual(names.sort(), ['@ AAAA', 'www A']);
});

await test('of two changes with one ETag one is refused', async () => {
	const {etag} = await recordSets.get(...WWW, 'A');
	const results = await Promise.allSettled(['198.51.100.1', '198.51.100.2'].map((ip) =>
		recordSets.createOrUpdate(...WWW, 'A', {ttl: 60, ...a(ip)}, {ifMatch: etag})));
	assert.deepEqual(results.map((one) => one.status).sort(), ['fulfilled', 'rejected']);
});

await test('PATCH changes what it names', async () => {
	const set = await recordSets.update(...WWW, 'A', {metadata: {run: '42'}});
	assert.deepEqual(set.metadata, {run: '42'});
	assert.equal(addresses(set).length, 1);
});

await test('a set is deleted, and then it is not there', async () => {
	const {etag} = await recordSets.get(...WWW, 'A');
	await recordSets.delete(...WWW, 'A', {ifMatch: etag});
	await assert.rejects(recordSets.get(...WWW, 'A'), refused(404, 'NotFound'));
	await recordSets.delete(...WWW, 'A');
});

await test('what is no record set is refused', async () => {
	await assert.rejects(recordSets.createOrUpdate(...WWW, 'A', {ttl: 60, ...a('192.0.2.999')}),
		refused(400, 'BadRequest'));
	await assert.rejects(recordSets.get('dns-rg', 'example.org', 'www', 'A'),
		refused(404, 'ParentResourceNotFound'));
	await assert.rejects(recordSets.get('other-rg', 'example.com', 'www', 'A'),
		refused(404, 'ResourceGroupNotFound'));
});

await test('wrong credentials are refused at the login', async () => {
	await assert.rejects(client_of('wrong').recordSets.get(...WWW, 'A'), /invalid_client: AADSTS7000215/);
	await assert.rejects(client_of(secret, SUBSCRIPTION, 'nobody').recordSets.get(...WWW, 'A'),
		/AADSTS90002/);
});

await test('a subscription that is not the client\'s is refused', async () => {
	await assert.rejects(client_of(secret, 'other').recordSets.get(...WWW, 'A'),
		refused(403, 'AuthorizationFailed'));
});

await test('a token that has ended is refused', async () => {
	await double.steer('expire', {});
	await assert.rejects(zones.get('dns-rg', 'example.com'), refused(401, 'ExpiredAuthenticationToken'));
});

await test('too many requests are told with a time to wait', async () => {
	await double.steer('faults', [{on: 'zone', kind: 'status', status: 429, headers: {'retry-after': '7'},
		body: {error: {code: 'TooManyRequests', message: 'wait'}}}]);
	await assert.rejects(client_of(secret).zones.get('dns-rg', 'example.com'), (error) => {
		assert.equal(error.statusCode, 429);
		assert.equal(error.response.headers.get('retry-after'), '7');
		return true;
	});
});

done();
