// SPDX-License-Identifier: GPL-2.0-only
// prove_route53.mjs - AWS's own client (@aws-sdk/client-route-53) against the double
import assert from 'node:assert/strict';
import {ChangeResourceRecordSetsCommand, GetChangeCommand, ListResourceRecordSetsCommand, Route53Client,
	waitUntilResourceRecordSetsChanged} from '@aws-sdk/client-route-53';
import {done, test, with_double} from './proof.mjs';

const double = await with_double('route53.mjs');
const ZONE = 'Z3M3LMPEXAMPLE';

function credentials_of(file) {
	const of = (key) => new RegExp(`^${key} = (.*)$`, 'm').exec(double.read(file))?.[1];
	return {accessKeyId: of('aws_access_key_id'), secretAccessKey: of('aws_secret_access_key'),
		sessionToken: of('aws_session_token')};
}

const client_of = (file, more = {}) => new Route53Client({region: 'us-east-1', endpoint: double.base,
	credentials: credentials_of(file), maxAttempts: 1, ...more});
const client = client_of('credentials');
const set = (values, more = {}) => ({Name: 'www.example.com', Type: 'A', TTL: 60,
	ResourceRecords: values.map((Value) => ({Value})), ...more});
const weighted = (value, Weight) => set([value], {Weight, SetIdentifier: `id-${value}`});
const change = (changes, by = client, zone = ZONE) => by.send(new ChangeResourceRecordSetsCommand({
	HostedZoneId: zone, ChangeBatch: {Comment: 'a <proof> & more', Changes: changes}}));
const remove = (ResourceRecordSet) => ({Action: 'DELETE', ResourceRecordSet});
const create = (ResourceRecordSet) => ({Action: 'CREATE', ResourceRecordSet});
const list = (more = {}, by = client) => by.send(new ListResourceRecordSetsCommand({HostedZoneId: ZONE, ...more}));
const refused = (status, name, message) => (error) => {
	assert.equal(error.$metadata.httpStatusCode, status);
	assert.equal(error.name, name);
	if (message) assert.match([error.message, ...(error.messages ?? [])].join(' '), message);
	return true;
};
const now = async () => (await list()).ResourceRecordSets.map((s) => [s.Name, s.SetIdentifier, s.Weight,
	s.ResourceRecords.map((r) => r.Value)]);
const old = {name: 'www.example.com', type: 'A', ttl: 60, values: ['192.0.2.1']};
const seed = (sets, more = {}) => double.steer('seed', {sets, rate: 1000, ...more});

await test('the client lists record sets, a name with octal escapes among them', async () => {
	await seed([old, {...old, name: '*.example.com'}, {...old, type: 'AAAA', values: ['2001:db8::1']}]);
	const got = await list({StartRecordName: 'a.example.com'});
	assert.deepEqual(got.ResourceRecordSets.map((s) => [s.Name, s.Type, s.TTL]),
		[['www.example.com.', 'A', 60], ['www.example.com.', 'AAAA', 60]]);
	assert.equal((await list()).ResourceRecordSets[0].Name, '\\052.example.com.');
	assert.equal(got.IsTruncated, false);
});

await test('the client pages through a long list', async () => {
	await seed(Array.from({length: 7}, (_, i) => ({...old, set_id: `s${i}`, weight: i, values: [`192.0.2.${i}`]})), {page_max: 3});
	const seen = [];
	let next = {};
	do {
		const page = await list(next);
		seen.push(...page.ResourceRecordSets.map((s) => s.SetIdentifier));
		next = page.IsTruncated && {StartRecordName: page.NextRecordName, StartRecordType: page.NextRecordType,
			StartRecordIdentifier: page.NextRecordIdentifier};
	} while (next);
	assert.deepEqual(seen, ['s0', 's1', 's2', 's3', 's4', 's5', 's6']);
});

await test('a batch of DELETE and CREATE is made, is PENDING and then INSYNC', async () => {
	await seed([old], {insync_ms: 400});
	const made = await change([remove(set(['192.0.2.1'])), create(set(['203.0.113.9', '203.0.113.10']))]);
	assert.equal(made.ChangeInfo.Status, 'PENDING');
	assert.match(made.ChangeInfo.Id, /^\/change\/C/);
	assert.equal(made.ChangeInfo.Comment, 'a <proof> & more');
	const got = await client.send(new GetChangeCommand({Id: made.ChangeInfo.Id}));
	assert.equal(got.ChangeInfo.Status, 'PENDING');
	const waited = await waitUntilResourceRecordSetsChanged({client, maxWaitTime: 10, minDelay: 1, maxDelay: 1},
		{Id: made.ChangeInfo.Id});
	assert.equal(waited.state, 'SUCCESS');
	assert.deepEqual(await now(), [['www.example.com.', undefined, undefined, ['203.0.113.9', '203.0.113.10']]]);
});

await test('a DELETE of what is not there any more is refused, and nothing of its batch is done', async () => {
	await seed([old]);
	const before = await now();
	await assert.rejects(change([remove(set(['192.0.2.7'])), create(set(['203.0.113.9']))]),
		refused(400, 'InvalidChangeBatch', /values provided do not match/));
	await assert.rejects(change([remove(set(['192.0.2.1'], {TTL: 61})), create(set(['203.0.113.9']))]),
		refused(400, 'InvalidChangeBatch', /values provided do not match/));
	await assert.rejects(change([remove(weighted('192.0.2.1', 1)), create(set(['203.0.113.9']))]),
		refused(400, 'InvalidChangeBatch', /not found/));
	await assert.rejects(change([create(set(['203.0.113.9']))]), refused(400, 'InvalidChangeBatch', /already exists/));
	await assert.rejects(change([remove(set(['192.0.2.1'])), create(set(['203.0.113.999']))]),
		refused(400, 'InvalidChangeBatch', /not a valid IPv4/));
	assert.deepEqual(await now(), before);
	assert.equal((await double.steer('state')).made, 0);
});

await test('a plain set becomes weighted ones in one batch, and in no other way', async () => {
	await seed([old]);
	await assert.rejects(change([create(weighted('203.0.113.1', 40))]),
		refused(400, 'InvalidChangeBatch', /non-weighted set exists/));
	await change([remove(set(['192.0.2.1'])), create(weighted('203.0.113.1', 40)), create(weighted('203.0.113.2', 60))]);
	assert.deepEqual(await now(), [['www.example.com.', 'id-203.0.113.1', 40, ['203.0.113.1']],
		['www.example.com.', 'id-203.0.113.2', 60, ['203.0.113.2']]]);
	await assert.rejects(change([remove(weighted('203.0.113.1', 41))]), refused(400, 'InvalidChangeBatch'));
});

// This client finds no code in it; those for Python and Go read it as InvalidChangeBatch, and so do we.
await test('the other shape of a refused batch is an error to the client, too', async () => {
	await seed([old]);
	await double.steer('faults', [{on: 'change', kind: 'bare'}]);
	await assert.rejects(change([create(set(['203.0.113.9']))]), (error) => error.$metadata.httpStatusCode === 400);
	assert.equal((await double.steer('state')).made, 0);
});

await test('temporary credentials work until they end', async () => {
	const temporary = client_of('credentials.session');
	await seed([old]);
	assert.equal((await list({}, temporary)).ResourceRecordSets.length, 1);
	await double.steer('session_ends', {});
	await assert.rejects(list({}, temporary), refused(403, 'ExpiredToken'));
	await double.steer('session_lasts', {});
});

await test('a wrong secret, an unknown key, a wrong clock and a missing right are refused', async () => {
	await assert.rejects(list({}, client_of('credentials.wrong')), refused(403, 'SignatureDoesNotMatch', /does not match/));
	await assert.rejects(list({}, client_of('credentials.unknown')), refused(403, 'InvalidClientTokenId'));
	await assert.rejects(list({}, client_of('credentials', {systemClockOffset: -3600000})),
		refused(403, 'SignatureDoesNotMatch', /Signature expired/));
	await assert.rejects(list({}, client_of('credentials', {systemClockOffset: 3600000})),
		refused(403, 'SignatureDoesNotMatch', /not yet current/));
	await assert.rejects(list({}, client_of('credentials', {region: 'eu-west-1'})),
		refused(403, 'SignatureDoesNotMatch', /scoped/));
	await assert.rejects(change([create(set(['203.0.113.9']))], client_of('credentials.reader')), refused(403, 'AccessDenied'));
});

await test('an unknown zone and an unknown change are refused', async () => {
	await assert.rejects(change([create(set(['203.0.113.9']))], client, 'Z0NOTHERE'), refused(404, 'NoSuchHostedZone'));
	await assert.rejects(client.send(new GetChangeCommand({Id: 'C0NOTHERE'})), refused(404, 'NoSuchChange'));
});

await test('six requests in a second are one too many', async () => {
	await seed([old], {rate: 5});
	await new Promise((ended) => setTimeout(ended, 1100));
	const all = await Promise.allSettled(Array.from({length: 6}, () => list()));
	const bad = all.filter((r) => r.status === 'rejected');
	assert.equal(bad.length, 1);
	refused(400, 'Throttling', /Rate exceeded/)(bad[0].reason);
});

done();
