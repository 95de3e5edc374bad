// SPDX-License-Identifier: GPL-2.0-only
// authority.mjs - the authoritative server of a double: what its API has is what it answers (UDP)
//
// `records()` gives [{name, type, ttl, choices: [{weight, data: [text, …]}]}]; of several choices one
// is drawn by weight for each answer. The zone's serial counts the changes, by `serial()`.
import dgram from 'node:dgram';
import {isIPv4} from 'node:net';

const TYPES = {A: 1, NS: 2, CNAME: 5, SOA: 6, AAAA: 28};

function wire_name(name) {
	const parts = name.split('.').filter(Boolean)
		.map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)]));
	return Buffer.concat([...parts, Buffer.from([0])]);
}

function v6(text) {
	const [head, tail] = text.split('::').map((half) => half.split(':').filter(Boolean));
	const words = tail === undefined ? head :
		[...head, ...Array(8 - head.length - tail.length).fill('0'), ...tail];
	const ret = Buffer.alloc(16);
	words.forEach((word, i) => ret.writeUInt16BE(parseInt(word, 16), 2 * i));
	return ret;
}

function rdata(type, text) {
	if (type === TYPES.A && isIPv4(text)) return Buffer.from(text.split('.').map(Number));
	return type === TYPES.AAAA ? v6(text) : wire_name(text);
}

function record(name, type, ttl, data) {
	const fixed = Buffer.alloc(10);
	fixed.writeUInt16BE(type, 0);
	fixed.writeUInt16BE(1, 2);
	fixed.writeUInt32BE(ttl, 4);
	fixed.writeUInt16BE(data.length, 8);
	return Buffer.concat([wire_name(name), fixed, data]);
}

function soa(zone, serial) {
	const numbers = Buffer.alloc(20);
	[serial, 3600, 600, 86400, 5].forEach((n, i) => numbers.writeUInt32BE(n, 4 * i));
	return record(zone, TYPES.SOA, 300,
		Buffer.concat([wire_name(`ns1.${zone}`), wire_name(`hostmaster.${zone}`), numbers]));
}

function draw(choices) {
	const sum = choices.reduce((total, one) => total + one.weight, 0);
	let at = Math.random() * sum;
	return choices.find((one) => (at -= one.weight) < 0) ?? choices.at(-1);
}

// The question's name in lower case, its type, and where it ends.
function question(message) {
	const labels = [];
	let at = 12;
	while (message[at]) {
		labels.push(message.toString('latin1', at + 1, at + 1 + message[at]).toLowerCase());
		at += 1 + message[at];
	}
	return {name: `${labels.join('.')}.`, type: message.readUInt16BE(at + 1), end: at + 5};
}

function answer(message, zone, records, serial) {
	const {name, type, end} = question(message);
	const inside = `.${name}`.endsWith(`.${zone}`);
	const named = inside ? records.filter((one) => one.name === name) : [];
	const found = named.filter((one) => TYPES[one.type] === type || one.type === 'CNAME');
	const answers = found.flatMap((one) => draw(one.choices).data
		.map((text) => record(name, TYPES[one.type], one.ttl, rdata(TYPES[one.type], text))));
	if (inside && type === TYPES.SOA && name === zone) answers.push(soa(zone, serial));
	if (inside && type === TYPES.NS && name === zone)
		answers.push(record(zone, TYPES.NS, 300, wire_name(`ns1.${zone}`)));
	const negative = inside && !answers.length ? [soa(zone, serial)] : [];
	const extra = message.readUInt16BE(10) ?
		[Buffer.from([0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0])] : [];
	const header = Buffer.from(message.subarray(0, 12));
	const exists = named.length || name === zone;
	header[2] = 0x80 | (message[2] & 0x79) | (inside ? 4 : 0);
	header[3] = inside ? (exists ? 0 : 3) : 5;
	[1, answers.length, negative.length, extra.length]
		.forEach((count, i) => header.writeUInt16BE(count, 4 + 2 * i));
	return Buffer.concat([header, message.subarray(12, end), ...answers, ...negative, ...extra]);
}

// The port that it answers on.
export async function serve_dns(zone, records, serial) {
	const socket = dgram.createSocket('udp4');
	socket.on('message', (message, from) => {
		if (message.length > 16)
			socket.send(answer(message, zone, records(), serial()), from.port, from.address);
	});
	await new Promise((done) => socket.bind(0, '127.0.0.1', done));
	return socket.address().port;
}
