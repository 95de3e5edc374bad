#!/usr/bin/env python3
"""slow_tun.py NAME MS: a TUN device behind which every IPv4 address answers echoes and takes TCP
connections, MS milliseconds later; for as long as it runs."""
import fcntl
import os
import struct
import sys
import time


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def answer(packet):
    head = (packet[0] & 15) * 4
    source, target, body = packet[12:16], packet[16:20], packet[head:]
    if packet[0] >> 4 != 4:
        return None
    if packet[9] == 1 and body[0] == 8:
        body = b"\0\0\0\0" + body[4:]
        body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
    elif packet[9] == 6 and body[13] & 0x3F == 2:  # SYN
        near, far, seq = struct.unpack("!HHI", body[:8])
        body = struct.pack("!HHIIBBHHH", far, near, 1, (seq + 1) & 0xFFFFFFFF, 0x50, 0x12, 65535, 0, 0)
        pseudo = target + source + struct.pack("!BBH", 0, 6, len(body))
        body = body[:16] + struct.pack("!H", checksum(pseudo + body)) + body[18:]
    else:
        return None
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0, 64, packet[9], 0) + target + source
    return ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:] + body


device = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(device, 0x400454CA, struct.pack("16sH22x", sys.argv[1].encode(), 0x1001))  # TUNSETIFF
while True:
    reply = answer(os.read(device, 2048))
    if reply:
        time.sleep(float(sys.argv[2]) / 1000)
        os.write(device, reply)
