// SPDX-License-Identifier: GPL-2.0-only
// prove_google.mjs - Google's own client (@google-cloud/dns, google-auth-library) against the double
import assert from 'node:assert/strict';
import {generateKeyPairSync} from 'node:crypto';
import {DNS} from '@google-cloud/dns';
import {JWT} from 'google-auth-library';
import {done, test, with_double} from './proof.mjs';

const double = await with_double('google.mjs');
const account = JSON.parse(double.read('account.json'));
const name = 'www.example.com.';
const OLD = {name, type: 'A', ttl: 60, rrdatas: ['192.0.2.10']};
const weighted = (a, b) => ({name, type: 'A', ttl: 60, routingPolicy: {wrr: {items: [
	{weight: a, rrdatas: ['192.0.2.10']}, {weight: b, rrdatas: ['203.0.113.10']}]}}});

// The client signs its own assertion; only the address that it is sent to is the double's.
function client_of(credentials) {
	const auth = new JWT({email: credentials.client_email, key: credentials.private_key,
		keyId: credentials.private_key_id, scopes: [
			'https://www.googleapis.com/auth/ndev.clouddns.readwrite',
			'https://www.googleapis.com/auth/cloud-platform']});
	auth.transporter.interceptors.request.add({resolved: async (config) => {
		assert.equal(String(config.url), 'https://oauth2.googleapis.com/token');
		config.url = new URL(`${double.base}/token`);
		return config;
	}});
	const dns = new DNS({projectId: 'shift-test', apiEndpoint: double.host, authClient: auth});
	return {dns, zone: dns.zone('prod-zone')};
}

const {dns, zone} = client_of(account);
const record = (set) => zone.record(set.type, {name: set.name, ttl: set.ttl, data: set.rrdatas,
	routingPolicy: set.routingPolicy});
const there = async () => (await double.steer('state')).rrsets;
const refused = (code, reason) => (error) => {
	assert.equal(error.code, code);
	assert.equal(error.errors[0].reason, reason);
	return true;
};

await double.steer('seed', {rrsets: [OLD], pending: 2});

await test('the client logs in with its own assertion and finds the zone', async () => {
	const [zones] = await dns.getZones();
	assert.deepEqual(zones.map((one) => one.name ?? one.id), ['prod-zone']);
	const [metadata] = await zone.getMetadata();
	assert.equal(metadata.dnsName, 'example.com.');
});

await test('the client reads a record set', async () => {
	const [records] = await zone.getRecords({name, type: 'A'});
	assert.equal(records.length, 1);
	assert.deepEqual(records[0].data, ['192.0.2.10']);
	assert.equal(records[0].metadata.ttl, 60);
});

await test('a change is pending, then done', async () => {
	const fresh = {...OLD, rrdatas: ['203.0.113.10', '203.0.113.11']};
	const [change] = await zone.createChange({delete: record(OLD), add: record(fresh)});
	const states = [change.metadata.status];
	while (states.at(-1) === 'pending') states.push((await change.getMetadata())[0].status);
	assert.deepEqual(states, ['pending', 'pending', 'done']);
	const [changes] = await zone.getChanges({sort: 'desc', maxResults: 1, autoPaginate: false});
	assert.deepEqual(changes.map((one) => one.id), [change.id]);
	const [records] = await zone.getRecords({name, type: 'A'});
	assert.deepEqual(records[0].data, ['203.0.113.10', '203.0.113.11']);
});

await test('a deletion that is not what is there is refused and nothing is changed', async () => {
	const before = await there();
	await assert.rejects(zone.createChange({delete: record(OLD), add: record({...OLD, ttl: 5})}),
		refused(412, 'conditionNotMet'));
	assert.deepEqual(await there(), before);
});

await test('a set that is there already, or not at all, is told', async () => {
	const other = {...OLD, name: 'other.example.com.'};
	await assert.rejects(zone.createChange({add: record(OLD)}), refused(409, 'alreadyExists'));
	await assert.rejects(zone.createChange({delete: record(other)}), refused(404, 'notFound'));
});

await test('of two changes at once one is refused whole', async () => {
	await double.steer('seed', {rrsets: [OLD]});
	const results = await Promise.allSettled(['203.0.113.1', '203.0.113.2'].map((data) =>
		zone.createChange({delete: record(OLD), add: record({...OLD, rrdatas: [data]})})));
	assert.deepEqual(results.map((one) => one.status).sort(), ['fulfilled', 'rejected']);
	assert.equal((await there()).length, 1);
});

await test('a set with weights is made, read and deleted only with its routing policy', async () => {
	await double.steer('seed', {rrsets: [OLD]});
	const change = (from, to) => zone.createChange({delete: record(from), add: record(to)});
	await change(OLD, weighted(90, 10));
	const [records] = await zone.getRecords({name, type: 'A'});
	assert.deepEqual(records[0].metadata.routingPolicy.wrr.items.map((one) => one.weight), [90, 10]);
	await assert.rejects(change(OLD, weighted(1, 2)), refused(412, 'conditionNotMet'));
	await assert.rejects(change(weighted(90, 11), OLD), refused(412, 'conditionNotMet'));
	await change(weighted(90, 10), weighted(50, 50));
	await change(weighted(50, 50), OLD);
});

await test('a zone that does not exist is told', async () => {
	await assert.rejects(dns.zone('nozone').getRecords({name}), refused(404, 'notFound'));
});

await test('an assertion signed with another key is refused', async () => {
	const {privateKey} = generateKeyPairSync('rsa', {modulusLength: 2048});
	const wrong = {...account, private_key: privateKey.export({type: 'pkcs8', format: 'pem'})};
	await assert.rejects(client_of(wrong).zone.getRecords({name}), /invalid_grant/);
});

await test('an account that is unknown is refused', async () => {
	const wrong = {...account, client_email: 'nobody@shift-test.iam.gserviceaccount.com'};
	await assert.rejects(client_of(wrong).zone.getRecords({name}), /invalid_grant/);
});

await test('a token that has ended is refused', async () => {
	const answer = await fetch(`${double.base}/dns/v1/projects/shift-test/managedZones/prod-zone`,
		{headers: {authorization: 'Bearer none'}});
	assert.equal(answer.status, 401);
	await double.steer('expire', {});
	const [records] = await zone.getRecords({name, type: 'A'}).catch((error) => {
		assert.equal(error.code, 401);
		return [null];
	});
	assert.equal(records, null);
});

done();
