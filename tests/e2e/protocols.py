#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""
protocols: what tests/e2e/56-protocols needs of packets that no well-behaved stack would send.

	protocols.py serve NAME PORT ADDRESS...   UDP and TCP; a question is a datagram or a line
	protocols.py ask SRC DST PORT SIZE [N]    a question of SIZE bytes by a kernel's UDP socket; its
	                                          answer is of N bytes at least
	protocols.py refused SRC DST PORT         … prints "refused" if an ICMP error says so
	protocols.py pmtu SRC DST PORT FILE       … asks, waits for FILE, prints the path's MTU as it was
	                                          learned
	protocols.py wide SRC DST PORT SIZE       … whose question is too big for the way: prints the MTU
	                                          that it was told, and who answers one that fits
	protocols.py toobig SRC DST MTU QUOTED SPORT QDST DPORT   an ICMP error, v4, with no more than
	                                          eight bytes of the UDP packet that it is about
	protocols.py fragments KIND SRC DST PORT  a client by hand: KIND is udp or tcp; the question comes
	                                          in three fragments in each order; a line for each
	protocols.py answers SRC DST PORT         the same for the answers of UDP
	protocols.py extended KIND SRC DST PORT   … with IP options, or IPv6 extension headers
	protocols.py tun NETNS DEVICE NETNS DEVICE    two TUN devices back to back, until it is ended

An answer says "NAME PEER BYTES" and, as a check of what was asked, its CRC-32.
"""
import errno
import fcntl
import itertools
import os
import select
import socket
import struct
import sys
import threading
import time
import zlib

IP_MTU_DISCOVER, IP_PMTUDISC_DO, IP_MTU = 10, 2, 14
IPV6_MTU_DISCOVER, IPV6_MTU = 23, 24
CLONE_NEWNET = 0x40000000


def is_v6(address):
	return ':' in address


def question(size, n=0):
	"""`size` bytes; the answer shall be `n` long."""
	head = b'want %d ' % n
	return (head + bytes(97 + i % 26 for i in range(size)))[:size - 1] + b'\n'


def answer(name, peer, asked):
	n = int(asked.split(b' ')[1]) if asked.startswith(b'want ') else 0
	text = b'%s %s %d %08x ' % (name.encode(), peer.encode(), len(asked), zlib.crc32(asked))
	return text.ljust(n - 1, b'.') + b'\n'


def judged(text, asked):
	"""NAME and PEER, if the answer is right; else what is wrong."""
	fields = text.decode('ascii', 'replace').split()
	if len(fields) < 4:
		return 'no answer: %r' % text
	if int(fields[2]) != len(asked) or fields[3] != '%08x' % zlib.crc32(asked):
		return 'wrong: %s of %d %08x' % (' '.join(fields[:4]), len(asked), zlib.crc32(asked))
	return '%s %s' % (fields[0], fields[1])


# ---- servers ----

def serve_udp(s, name):
	while True:
		try:
			asked, peer = s.recvfrom(65536)
		except ConnectionError:
			continue # an ICMP error about an answer
		said = answer(name, peer[0], asked)
		if b'order ' in asked[:40]:
			order = asked.split(b'order ')[1][:3].decode()
			mine = s.getsockname()
			send_fragments('udp', mine[0], mine[1], peer[0], peer[1], said, order)
		else:
			s.sendto(said, peer)


def serve_tcp(c, name, peer):
	with c:
		f = c.makefile('rb')
		try:
			while asked := f.readline():
				c.sendall(answer(name, peer, asked))
		except ConnectionError:
			pass # the client by hand ends with a reset


def accept(s, name):
	while True:
		c, peer = s.accept()
		threading.Thread(target=serve_tcp, args=(c, name, peer[0]), daemon=True).start()


def serve(name, port, *addresses):
	load_scapy()
	for address in addresses:
		family = socket.AF_INET6 if is_v6(address) else socket.AF_INET
		udp, tcp = (socket.socket(family, kind) for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM))
		tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
		udp.bind((address, int(port)))
		tcp.bind((address, int(port)))
		tcp.listen(64)
		threading.Thread(target=serve_udp, args=(udp, name), daemon=True).start()
		threading.Thread(target=accept, args=(tcp, name), daemon=True).start()
	print('ready', flush=True)
	threading.Event().wait()


# ---- clients with a kernel ----

def udp_socket(src, dst, port):
	s = socket.socket(socket.AF_INET6 if is_v6(src) else socket.AF_INET, socket.SOCK_DGRAM)
	s.bind((src, 0))
	s.settimeout(5)
	s.connect((dst, int(port)))
	return s


def ask(src, dst, port, size, n='0'):
	s, asked = udp_socket(src, dst, port), question(int(size), int(n))
	s.send(asked)
	try:
		said = s.recv(65536)
	except OSError as e:
		return print('nothing: %s' % e)
	print(judged(said, asked), 'short' if len(said) < int(n) else '')


def refused(src, dst, port):
	s = udp_socket(src, dst, port)
	try:
		s.send(question(40))
		s.recv(1000)
		print('answered')
	except ConnectionRefusedError:
		print('refused')
	except OSError as e:
		print(e)


def pmtu(src, dst, port, path):
	s = udp_socket(src, dst, port)
	if is_v6(src):
		level, option = socket.IPPROTO_IPV6, IPV6_MTU
	else:
		level, option = socket.IPPROTO_IP, IP_MTU
		s.setsockopt(level, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
	s.send(question(40))
	print(s.recv(1000).split()[0].decode(), flush=True)
	until = time.monotonic() + 20
	while not os.path.exists(path) and time.monotonic() < until:
		time.sleep(0.02)
	print(s.getsockopt(level, option))


def wide(src, dst, port, size):
	s, v6 = udp_socket(src, dst, port), is_v6(src)
	level = socket.IPPROTO_IPV6 if v6 else socket.IPPROTO_IP
	s.setsockopt(level, IPV6_MTU_DISCOVER if v6 else IP_MTU_DISCOVER, IP_PMTUDISC_DO)
	s.send(question(int(size)))
	try:
		return print('answered: %r' % s.recv(65536)[:40])
	except OSError as e:
		if e.errno != errno.EMSGSIZE:
			return print(e)
	mtu = s.getsockopt(level, IPV6_MTU if v6 else IP_MTU)
	asked = question(mtu - (48 if v6 else 28))
	s.send(asked)
	print(mtu, judged(s.recv(65536), asked))


# ---- by hand; Scapy takes a second to load and is not for everybody ----

def load_scapy():
	import logging
	logging.getLogger('scapy').setLevel(logging.ERROR)
	import scapy.all
	for name in ('conf', 'send', 'get_if_hwaddr', 'Ether', 'IP', 'IPv6', 'TCP', 'UDP', 'ICMP', 'Raw', 'PadN',
		     'IPv6ExtHdrFragment', 'IPv6ExtHdrHopByHop', 'IPv6ExtHdrDestOpt', 'IPOption_NOP',
		     'IPOption_Router_Alert'):
		globals()[name] = getattr(scapy.all, name)


def cut_in_three(packet, v6):
	"""The three parts of what follows the IP header, as packets."""
	rest = bytes(packet.payload)
	size = (len(rest) // 3 + 7) // 8 * 8
	number = int.from_bytes(os.urandom(4), 'big')
	for at in range(0, 3 * size, size):
		part, more = rest[at:at + size], at < 2 * size
		if v6:
			yield (IPv6(src=packet.src, dst=packet.dst) /
			       IPv6ExtHdrFragment(nh=packet.nh, offset=at // 8, m=more, id=number) /
			       Raw(part))
		else:
			yield IP(src=packet.src, dst=packet.dst, id=number & 0xffff, proto=packet.proto,
				 flags='MF' if more else 0, frag=at // 8) / Raw(part)


def built(kind, src, sport, dst, dport, payload, between=None, **tcp):
	"""A whole packet, its checksums and its header's protocol filled in."""
	ip = IPv6(src=src, dst=dst) if is_v6(src) else IP(src=src, dst=dst)
	if between is not None and not is_v6(src):
		ip.options = between
	elif between is not None:
		ip = ip / between
	l4 = UDP(sport=sport, dport=dport) if kind == 'udp' else TCP(sport=sport, dport=dport, **tcp)
	return ip.__class__(bytes(ip / l4 / Raw(payload)))


def send_fragments(kind, src, sport, dst, dport, payload, order, out=None, **tcp):
	parts = list(cut_in_three(built(kind, src, sport, dst, dport, payload, **tcp), is_v6(src)))
	for digit in order:
		if out:
			out(parts[int(digit)])
		else:
			send(parts[int(digit)], verbose=0)


class Hand:
	"""A client on eth0; its kernel must be made to keep still."""

	def __init__(self, kind, src, dst, port):
		self.kind, self.src, self.dst, self.dport = kind, src, dst, int(port)
		self.socket = conf.L2socket(iface='eth0')
		mac = os.environ['ROUTER_MAC']
		self.ether = Ether(src=get_if_hwaddr('eth0'), dst=mac,
				   type=0x86dd if is_v6(src) else 0x800)
		self.number = 1000
		self.want = 0
		self.sport = 0
		self.between = None

	def out(self, packet):
		self.socket.send(self.ether / packet)

	def take(self, patience=3):
		"""The next packet for this port, whole datagrams put together; None after a while."""
		until, parts = time.monotonic() + patience, {}
		while (left := until - time.monotonic()) > 0:
			if not select.select([self.socket], [], [], left)[0]:
				return None
			p = self.socket.recv()
			ip = p and (p.getlayer(IPv6) if is_v6(self.src) else p.getlayer(IP))
			if not ip or ip.dst != self.src or ip.src != self.dst:
				continue
			ip = self.whole(ip, parts)
			l4 = ip and ip.getlayer(UDP if self.kind == 'udp' else TCP)
			if l4 and l4.dport == self.sport:
				return l4
		return None

	def whole(self, ip, parts):
		if is_v6(self.src):
			f = ip.getlayer(IPv6ExtHdrFragment)
			if not f:
				return ip
			offset, more, number, kind = f.offset * 8, f.m, f.id, f.nh
			data = bytes(f.payload)
		elif ip.frag or ip.flags.MF:
			offset, more, number, kind = ip.frag * 8, ip.flags.MF, ip.id, ip.proto
			data = bytes(ip.payload)
		else:
			return ip
		got = parts.setdefault(number, {})
		got[offset] = data
		if not more:
			got['end'] = offset + len(data)
		bodies = [got[k] for k in sorted(k for k in got if k != 'end')]
		if 'end' not in got or sum(map(len, bodies)) < got['end']:
			return None
		head = (IPv6(src=ip.src, dst=ip.dst, nh=kind) if is_v6(self.src)
			else IP(src=ip.src, dst=ip.dst, proto=kind))
		return head.__class__(bytes(head / Raw(b''.join(bodies))))

	def tcp(self, flags, payload=b''):
		self.out(built('tcp', self.src, self.sport, self.dst, self.dport, payload, self.between,
			       flags=flags, seq=self.number, ack=self.want, window=60000))

	def connect(self):
		self.sport = 1024 + int.from_bytes(os.urandom(2), 'big') % 60000
		self.number = int.from_bytes(os.urandom(3), 'big')
		if self.kind == 'udp':
			return True
		self.want = 0
		self.tcp('S')
		said = self.take()
		if not said or said.flags != 'SA':
			return False
		self.number += 1
		self.want = said.seq + 1
		self.tcp('A')
		return True

	def ask(self, asked, order=None):
		"""What the answer says of the question, sent whole or in an order of three parts."""
		tcp = {} if self.kind == 'udp' else dict(flags='PA', seq=self.number, ack=self.want,
							 window=60000)
		if order:
			send_fragments(self.kind, self.src, self.sport, self.dst, self.dport, asked, order,
				       self.out, **tcp)
		else:
			self.out(built(self.kind, self.src, self.sport, self.dst, self.dport, asked,
				       self.between, **tcp))
		while (said := self.take()) is not None:
			text = bytes(said.payload)
			if self.kind == 'udp' or b'\n' in text:
				return judged(text, asked)
		return 'nothing'

	def end(self, asked):
		if self.kind == 'tcp':
			self.number += len(asked)
			self.tcp('RA')


def orders():
	return (''.join(order) for order in itertools.permutations('012'))


def fragments(kind, src, dst, port):
	load_scapy()
	hand = Hand(kind, src, dst, port)
	for order in orders():
		asked = question(4000)
		print(order, hand.ask(asked, order) if hand.connect() else 'not connected', flush=True)
		hand.end(asked)


def answers(src, dst, port):
	load_scapy()
	hand = Hand('udp', src, dst, port)
	for order in orders():
		hand.connect()
		asked = b'want 4000 order ' + order.encode() + b' please\n'
		print(order, hand.ask(asked), flush=True)


def extended(kind, src, dst, port):
	load_scapy()
	hand = Hand(kind, src, dst, port)
	if is_v6(src):
		pad = PadN(optdata=b'\0' * 4)
		hand.between = IPv6ExtHdrHopByHop(options=[pad]) / IPv6ExtHdrDestOpt(options=[pad])
	else:
		hand.between = [IPOption_Router_Alert(), IPOption_NOP(), IPOption_NOP(), IPOption_NOP(),
				IPOption_NOP()]
	asked = question(40)
	print(hand.ask(asked) if hand.connect() else 'not connected')
	hand.end(asked)


def toobig(src, dst, mtu, quoted, sport, qdst, dport):
	load_scapy()
	inner = bytes(IP(src=quoted, dst=qdst, flags='DF') /
		      UDP(sport=int(sport), dport=int(dport)) / Raw(b'x' * 1400))[:28]
	send(IP(src=src, dst=dst) / ICMP(type=3, code=4, nexthopmtu=int(mtu)) / Raw(inner), verbose=0)


# ---- two TUN devices ----

def tun_device(namespace, name):
	with open('/proc/self/ns/net') as home, open(namespace) as there:
		setns(there.fileno())
		fd = os.open('/dev/net/tun', os.O_RDWR)
		fcntl.ioctl(fd, 0x400454ca, struct.pack('16sH22x', name.encode(), 0x1001)) # TUN, no header
		setns(home.fileno())
	return fd


def setns(fd):
	import ctypes
	if ctypes.CDLL(None, use_errno=True).setns(fd, CLONE_NEWNET):
		raise OSError(ctypes.get_errno(), 'setns')


def tun(namespace, name, namespace2, name2):
	ends = [tun_device(namespace, name), tun_device(namespace2, name2)]
	print('ready', flush=True)
	while True:
		for fd in select.select(ends, [], [])[0]:
			try:
				os.write(ends[1 - ends.index(fd)], os.read(fd, 65536))
			except OSError:
				pass # the device is down


def main():
	verb, *rest = sys.argv[1:]
	if verb not in ('serve', 'ask', 'refused', 'pmtu', 'wide', 'toobig', 'fragments', 'answers',
			'extended', 'tun'):
		sys.exit(__doc__)
	globals()[verb](*rest)


main()
