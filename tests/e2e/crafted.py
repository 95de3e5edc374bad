#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""
crafted: TCP by hand, for tests/e2e/50-crafted and 55-review.

	crafted.py serve NAME PORT      a server that does what the client says, one command a line
	crafted.py record DEVICE PORT   a line on stdout for each TCP packet that comes in for PORT
	crafted.py client DEVICE MAC    a client without a kernel, driven by lines on stdin
	crafted.py half SRC DST PORT N  a kernel's client: shuts down its side, then reads N bytes
	crafted.py urgent SRC DST PORT  … sends an urgent byte and prints what the server got
	crafted.py fastopen SRC DST PORT    … asks twice with the question in the SYN
	crafted.py reset SRC DST PORT   … is reset by the server
	crafted.py connect SRC SPORT DST DPORT  … connects from a port that others listen on
	crafted.py idle SRC SPORT DST DPORT DONE    … says who answers, then nothing, until it is reset
	                                or there is a file DONE; prints which
	crafted.py twice DEVICE PORT    a backend that answers each SYN with two SYN-ACKs of unlike
	                                numbers; a line with the flags of each packet that comes in

The server's commands: `who` is answered by NAME; `bye` closes first; `reset` resets; `body N` waits for
the client's FIN, sends N bytes and closes; `urgent` answers with the urgent byte that follows. At
the client's FIN it closes.

The client's commands name a connection; each is answered by one line:

	new C SRC SPORT DST DPORT [KEY=VALUE...]   isn=N ttl=N ipopt=HEX tcpopt=HEX of all its packets
	syn C [TEXT]          sends its SYN, with data if there is TEXT; "sent"
	send C FLAGS [TEXT]   flags of SAFRPU; what it may have of numbers is counted; "sent"
	raw C FLAGS SEQ ACK [TEXT]  the same with numbers as they are given
	wait C FLAGS          the next packet with exactly these flags (P counts as none) that was not waited
	                      for yet: "FLAGS SEQ ACK", or "nothing" after 5 s
	quiet C               whatever comes within 0.3 s: its flags, or "nothing"
	ask C TEXT            sends a line and takes the answer's line: the answer, or "nothing"
	num C                 "ISN NEXT-TO-SEND NEXT-TO-RECEIVE"
	ttl C N               of its packets from here on; "set"

Numbers are taken as they come: the lab loses nothing. What arrives in order is acknowledged at once
but for a FIN, which is acknowledged by the next `send C A`.
"""
import os
import random
import select
import socket
import struct
import sys
import threading
import time

FLAGS = {'F': 1, 'S': 2, 'R': 4, 'P': 8, 'A': 16, 'U': 32}


def flag_bits(text):
	return sum(FLAGS[c] for c in text)


def flag_text(bits, without=''):
	return ''.join(c for c in 'SAFRPU' if bits & FLAGS[c] and c not in without)


def checksum(data):
	if len(data) % 2:
		data += b'\0'
	total = sum(struct.unpack('!%dH' % (len(data) // 2), data))
	while total >> 16:
		total = (total & 0xffff) + (total >> 16)
	return ~total & 0xffff


# ---- packets ----

def pad(options):
	return options + b'\0' * (-len(options) % 4)


def packet(c, flags, seq, ack, payload, options, urgent=0, spoil=False):
	"""The IP packet of connection `c`, with right checksums unless `spoil`."""
	options = pad(options)
	tcp = struct.pack('!HHIIBBHHH', c.sport, c.dport, seq & 0xffffffff, ack & 0xffffffff,
			  (20 + len(options)) // 4 << 4, flags, 65535, 0, urgent) + options + payload
	if c.family == 4:
		pseudo = c.src + c.dst + struct.pack('!BBH', 0, 6, len(tcp))
	else:
		pseudo = c.src + c.dst + struct.pack('!II', len(tcp), 6)
	check = checksum(pseudo + tcp) ^ (0x5555 if spoil else 0)
	tcp = tcp[:16] + struct.pack('!H', check) + tcp[18:]
	if c.family == 6:
		return struct.pack('!IHBB', 6 << 28, len(tcp), 6, c.ttl) + c.src + c.dst + tcp
	length = 20 + len(pad(c.ipopt))
	ip = struct.pack('!BBHHHBBH', 0x40 | length // 4, 0, length + len(tcp),
			 random.randrange(65536), 0x4000, c.ttl, 6, 0) + c.src + c.dst + pad(c.ipopt)
	return ip[:10] + struct.pack('!H', checksum(ip)) + ip[12:] + tcp


class Packet:
	"""A TCP packet read from the wire; None of its fields if it is none."""

	def __init__(self, frame):
		self.tcp = None
		kind, ip = struct.unpack('!H', frame[12:14])[0], frame[14:]
		if kind == 0x800 and ip[9] == 6:
			head = (ip[0] & 15) * 4
			self.family, self.ttl, self.ipopt = 4, ip[8], ip[20:head]
			self.src, self.dst = ip[12:16], ip[16:20]
			tcp = ip[head:struct.unpack('!H', ip[2:4])[0] or len(ip)]
		elif kind == 0x86dd and ip[6] == 6:
			self.family, self.ttl, self.ipopt = 6, ip[7], b''
			self.src, self.dst = ip[8:24], ip[24:40]
			tcp = ip[40:40 + struct.unpack('!H', ip[4:6])[0]] or ip[40:]
		else:
			return
		(self.sport, self.dport, self.seq, self.ack, offset, self.flags, _, _,
		 self.urgent) = struct.unpack('!HHIIBBHHH', tcp[:20])
		self.tcpopt, self.payload = tcp[20:offset // 16 * 4], tcp[offset // 16 * 4:]
		self.tcp = tcp


def packet_socket(device):
	s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
	s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
	s.bind((device, 0))
	return s


def address_text(raw):
	return socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw)


def record(device, port):
	s = packet_socket(device)
	while True:
		frame, where = s.recvfrom(1 << 17)
		if where[2] == socket.PACKET_OUTGOING:
			continue
		p = Packet(frame)
		if not p.tcp or p.dport != port:
			continue
		print('%s %d %s ttl=%d ipopt=%s tcpopt=%s urgent=%d bytes=%d' %
		      (address_text(p.src), p.sport, flag_text(p.flags), p.ttl, p.ipopt.hex(),
		       p.tcpopt.hex(), p.urgent, len(p.payload)), flush=True)


# ---- the client ----

class Connection:
	def __init__(self, src, sport, dst, dport, *more):
		kind = socket.AF_INET6 if ':' in src else socket.AF_INET
		self.family = 6 if ':' in src else 4
		self.src, self.dst = socket.inet_pton(kind, src), socket.inet_pton(kind, dst)
		self.sport, self.dport = int(sport), int(dport)
		given = dict(m.split('=', 1) for m in more)
		self.isn = int(given.get('isn', random.randrange(1 << 32)))
		self.ttl = int(given.get('ttl', 64))
		self.ipopt = bytes.fromhex(given.get('ipopt', ''))
		self.tcpopt = bytes.fromhex(given.get('tcpopt', ''))
		self.spoil = given.get('spoil') == '1'
		self.next = self.isn # to send
		self.want = None # next to receive
		self.seen = []
		self.text = b''

	def is_for(self, p):
		return (p.dst == self.src and p.src == self.dst and p.dport == self.sport and
			p.sport == self.dport)


class Client:
	def __init__(self, device, mac):
		self.socket = packet_socket(device)
		with open('/sys/class/net/%s/address' % device) as f:
			mine = f.read().strip()
		self.macs = bytes.fromhex((mac + mine).replace(':', ''))
		self.connections = {}

	def emit(self, c, flags, seq, ack, payload=b'', options=b''):
		kind = b'\x08\x00' if c.family == 4 else b'\x86\xdd'
		urgent = len(payload) if flags & FLAGS['U'] else 0
		self.socket.send(self.macs + kind +
				 packet(c, flags, seq, ack, payload, options, urgent, c.spoil))

	def take(self, p):
		"""A packet of one of the connections: numbers, text, an acknowledgement."""
		for c in self.connections.values():
			if not c.is_for(p):
				continue
			c.seen.append(p)
			if p.flags & FLAGS['S']:
				c.want = p.seq + 1 & 0xffffffff
			elif p.payload and p.seq == c.want:
				c.want = c.want + len(p.payload) & 0xffffffff
				c.text += p.payload
				self.emit(c, FLAGS['A'], c.next, c.want)
			if p.flags & FLAGS['F'] and p.seq + len(p.payload) & 0xffffffff == c.want:
				c.want = c.want + 1 & 0xffffffff
			return

	def read(self, until):
		"""Takes what comes until then, or one packet."""
		left = until - time.monotonic()
		if left <= 0 or not select.select([self.socket], [], [], left)[0]:
			return False
		frame, where = self.socket.recvfrom(1 << 17)
		if where[2] != socket.PACKET_OUTGOING:
			p = Packet(frame)
			if p.tcp:
				self.take(p)
		return True

	# ---- commands ----

	def do_new(self, name, *how):
		self.connections.pop(name, None)
		c = Connection(*how)
		# a connection of the same tuple before this one gets nothing any more
		for other in [n for n, o in self.connections.items() if o.src == c.src and
			      o.sport == c.sport and o.dst == c.dst and o.dport == c.dport]:
			del self.connections[other]
		self.connections[name] = c
		return 'new'

	def do_syn(self, name, *text):
		c = self.connections[name]
		payload = ' '.join(text).encode()
		self.emit(c, FLAGS['S'], c.isn, 0, payload, c.tcpopt)
		c.next = c.isn + 1 + len(payload) & 0xffffffff
		return 'sent'

	def do_send(self, name, flags, *text):
		c = self.connections[name]
		bits = flag_bits(flags)
		payload = (' '.join(text) + '\n').encode() if text else b''
		self.emit(c, bits, c.next, c.want or 0, payload)
		c.next = c.next + len(payload) + bool(bits & 3) & 0xffffffff
		return 'sent'

	def do_raw(self, name, flags, seq, ack, *text):
		payload = (' '.join(text) + '\n').encode() if text else b''
		self.emit(self.connections[name], flag_bits(flags), int(seq), int(ack), payload)
		return 'sent'

	def do_wait(self, name, flags):
		c = self.connections[name]
		until = time.monotonic() + 5
		while True:
			while c.seen:
				p = c.seen.pop(0)
				if flag_text(p.flags, 'P') == flags:
					return '%s %d %d' % (flags, p.seq, p.ack)
			if not self.read(until):
				return 'nothing'

	def do_quiet(self, name):
		c = self.connections[name]
		c.seen.clear()
		until = time.monotonic() + 0.3
		while self.read(until):
			pass
		return ' '.join(flag_text(p.flags, 'P') for p in c.seen) or 'nothing'

	def do_ask(self, name, *text):
		c = self.connections[name]
		c.text = b''
		self.do_send(name, 'AP', *text)
		until = time.monotonic() + 5
		while b'\n' not in c.text:
			if not self.read(until):
				return 'nothing'
		return c.text.split(b'\n')[0].decode()

	def do_ttl(self, name, ttl):
		self.connections[name].ttl = int(ttl)
		return 'set'

	def do_num(self, name):
		c = self.connections[name]
		return '%d %d %d' % (c.isn, c.next, c.want or 0)

	def run(self):
		for line in sys.stdin:
			verb, *rest = line.split()
			try:
				print(getattr(self, 'do_' + verb)(*rest), flush=True)
			except (KeyError, ValueError, TypeError, AttributeError) as e:
				print('wrong: %r' % e, flush=True)


# ---- clients with a kernel ----

def kernel_socket(src, sport=0):
	s = socket.socket(socket.AF_INET6 if ':' in src else socket.AF_INET)
	s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
	s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
	for limit in socket.SO_RCVTIMEO, socket.SO_SNDTIMEO: # and blocking, as MSG_FASTOPEN wants it
		s.setsockopt(socket.SOL_SOCKET, limit, struct.pack('ll', 20, 0))
	s.bind((src, sport))
	return s


def half(src, dst, port, n):
	s = kernel_socket(src)
	s.connect((dst, int(port)))
	s.sendall(b'body %s\n' % n.encode())
	s.shutdown(socket.SHUT_WR)
	want = bytes(range(251)) * (int(n) // 251)
	got = b''.join(iter(lambda: s.recv(1 << 20), b''))
	print('right' if got == want else 'wrong: %d of %d bytes' % (len(got), len(want)))


def urgent(src, dst, port):
	s = kernel_socket(src)
	s.connect((dst, int(port)))
	f = s.makefile('r')
	s.sendall(b'urgent\n')
	f.readline()
	s.send(b'!', socket.MSG_OOB)
	print(f.readline().strip())


def fastopen(src, dst, port):
	said = []
	for _ in range(2):
		s = kernel_socket(src)
		s.sendto(b'who\n', socket.MSG_FASTOPEN, (dst, int(port)))
		said.append(s.makefile('r').readline().strip())
		s.close()
	print(*said)


def reset(src, dst, port):
	s = kernel_socket(src)
	s.connect((dst, int(port)))
	s.sendall(b'reset\n')
	try:
		print('closed' if not s.recv(1) else 'data')
	except ConnectionResetError:
		print('reset')


def connect(src, sport, dst, dport):
	s = kernel_socket(src, int(sport))
	s.connect((dst, int(dport)))
	s.sendall(b'hello\n')
	print('connected', flush=True)
	s.recv(1)


def idle(src, sport, dst, dport, done):
	s = kernel_socket(src, int(sport))
	s.connect((dst, int(dport)))
	s.sendall(b'who\n')
	print(s.makefile('r').readline().strip(), flush=True)
	while not select.select([s], [], [], 0.05)[0]:
		if os.path.exists(done):
			print('idle')
			return
	try:
		print('closed' if not s.recv(1) else 'data')
	except ConnectionResetError:
		print('reset')


# ---- servers ----

def twice(device, port):
	"""IPv4 and IPv6; the kernel's own answers are somebody else's to stop."""
	s = packet_socket(device)
	while True:
		frame, where = s.recvfrom(1 << 17)
		p = Packet(frame) if where[2] != socket.PACKET_OUTGOING else None
		if not p or not p.tcp or p.dport != port:
			continue
		print(flag_text(p.flags, 'P'), p.ack, flush=True)
		if flag_text(p.flags) == 'S':
			c = Connection(address_text(p.dst), p.dport, address_text(p.src), p.sport)
			for isn in 1000000, 500000000:
				s.send(frame[6:12] + frame[:6] + frame[12:14] +
				       packet(c, flag_bits('SA'), isn, p.seq + 1, b'', b''))


def peer(s, name):
	with s:
		f = s.makefile('rb', buffering=0)
		while line := f.readline():
			verb, *rest = line.decode('ascii', 'replace').split()
			if verb == 'who':
				s.sendall(name.encode() + b'\n')
			elif verb == 'bye':
				return
			elif verb == 'reset':
				s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
				return
			elif verb == 'body':
				while f.read(65536):
					pass
				s.sendall(bytes(range(251)) * (int(rest[0]) // 251))
				return
			elif verb == 'urgent':
				s.sendall(b'ready\n')
				select.select([], [], [s], 5)
				s.sendall(b'urgent ' + s.recv(1, socket.MSG_OOB) + b'\n')


def guarded(s, name):
	try:
		peer(s, name)
	except OSError:
		pass # the client is gone, as the test wants it


def serve(name, port):
	s = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
	s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
	s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
	s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
	s.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 16)
	s.bind(('::', port))
	s.listen(256)
	while True:
		c, _ = s.accept()
		threading.Thread(target=guarded, args=(c, name), daemon=True).start()


def main():
	verb, *rest = sys.argv[1:]
	try:
		if verb == 'serve':
			serve(rest[0], int(rest[1]))
		elif verb == 'record':
			record(rest[0], int(rest[1]))
		elif verb == 'client':
			Client(*rest).run()
		elif verb == 'twice':
			twice(rest[0], int(rest[1]))
		elif verb in ('half', 'urgent', 'fastopen', 'reset', 'connect', 'idle'):
			globals()[verb](*rest)
		else:
			sys.exit(__doc__)
	except (KeyboardInterrupt, BrokenPipeError):
		os._exit(0)


main()
