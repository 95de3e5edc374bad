// SPDX-License-Identifier: GPL-2.0-only
// xml.mjs - as much of XML as a request of Route 53's has: elements, text, one default namespace
//
// Strict: what is not that is an error.

const ENTITIES = {amp: '&', lt: '<', gt: '>', quot: '"', apos: "'"};

function unescape(text) {
	return text.replace(/&([^;&]*);?/g, (all, name) => {
		if (name in ENTITIES && all.endsWith(';')) return ENTITIES[name];
		const m = /^#(?:x([0-9a-fA-F]+)|([0-9]+))$/.exec(name);
		if (!m || !all.endsWith(';')) throw new Error(`no entity: ${all}`);
		return String.fromCodePoint(m[1] ? parseInt(m[1], 16) : Number(m[2]));
	});
}

// {name, xmlns, text, children}; text of an element with children must be blank.
export function parse(source) {
	let rest = source.replace(/^\uFEFF?<\?xml [^?]*\?>/, '');
	const stack = [];
	let root;

	while (rest.trim()) {
		const m = /^([^<]*)<(\/?)([A-Za-z][A-Za-z0-9]*)((?: +[a-zA-Z:]+="[^"<]*")*) *(\/?)>/.exec(rest);
		if (!m) throw new Error(`no XML: ${rest.slice(0, 60)}`);
		const [all, text, closes, name, attributes, empty] = m;
		const top = stack.at(-1);
		if (top) top.text += unescape(text);
		else if (text.trim()) throw new Error('text outside of the root');
		rest = rest.slice(all.length);
		if (closes) {
			if (!top || top.name !== name || attributes || empty) throw new Error(`</${name}> closes nothing`);
			if (top.children.length && top.text.trim()) throw new Error(`text beside elements in ${name}`);
			stack.pop();
			continue;
		}
		const node = {name, text: '', children: [], xmlns: / xmlns="([^"]*)"/.exec(attributes)?.[1]};
		if (top) top.children.push(node);
		else if (root) throw new Error('two roots');
		else root = node;
		if (!empty) stack.push(node);
	}
	if (stack.length || !root) throw new Error('not closed');
	return root;
}

export function escape(text) {
	return String(text).replace(/[&<>]/g, (c) => ({'&': '&amp;', '<': '&lt;', '>': '&gt;'})[c]);
}

// ['Name', 'text'] or ['Name', [children]]; undefined children are left out.
export function write(node) {
	if (node === undefined) return '';
	const [name, inner, attributes = ''] = node;
	return `<${name}${attributes}>${Array.isArray(inner) ? inner.map(write).join('') : escape(inner)}</${name}>`;
}
