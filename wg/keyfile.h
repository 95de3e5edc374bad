/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * keyfile.h - the keys of a static IPsec tunnel, and the order in which they come into use
 *
 * One file, the same on both hosts, has generations of keys; each has an id, a random key and SPI
 * per direction and the time from which both sides shall send with it:
 *
 *   shift-static 1
 *   generation 7 send-after 2026-11-29T03:00:00Z
 *   from 192.0.2.1 to 192.0.2.2 spi 0x1f2e3d4c enc HEX auth HEX
 *   from 192.0.2.2 to 192.0.2.1 spi 0x2f2e3d4c enc HEX auth HEX
 *
 * A host installs the SAs that receive for every generation it never installed before; it sends
 * with the newest generation that is due or that its peer was seen to send with; and takes an old
 * one away when the newer one was received with for `overlap`. So neither side has to be told what
 * the other did, and a host that lost its SAs in a reboot goes on with the next generation: an id
 * once installed is never installed again, which is kept on disk before the kernel has it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wg/xfrm.h"

#define KEYFILE_MAX 64

struct keyfile_direction {
	uint32_t from[4], to[4];
	uint32_t spi; /* host order, 256.. */
	uint8_t enc[32], auth[32];
};

struct keyfile_generation {
	uint32_t id;	       /* 1.., rising in the file */
	uint64_t send_after_s; /* CLOCK_REALTIME */
	struct keyfile_direction way[2];
};

struct keyfile {
	struct keyfile_generation generation[KEYFILE_MAX];
	unsigned int n;
	uint8_t enc_size; /* 16, 24 or 32, the same everywhere */
};

/* From memory: 0; -EINVAL with "line 3: …" in `why` and no byte of a key. */
int keyfile_parse(const char *text, size_t size, struct keyfile *ret, char *why, size_t why_size);
/* From a file that only root may read. Also -EINVAL when a key or SPI is there twice. */
int keyfile_read(const char *path, struct keyfile *ret, char *why, size_t size);
/* Appends `count` new random generations between two hosts (temp + fsync + rename, 0600), ids after
 * the last, the first sending from `send_after_s`, the others `spacing_s` later each. `path` need
 * not exist. Drops what is older than the last 8 that are due. */
int keyfile_extend(const char *path, const uint32_t a[4], const uint32_t b[4], uint8_t enc_size,
		   unsigned int count, uint64_t send_after_s, uint64_t spacing_s, char *why,
		   size_t size);
void keyfile_wipe(struct keyfile *k);

/* ---- what to do next; pure ---- */

struct rekey_seen {
	uint32_t id;
	bool in_installed, out_installed; /* in the kernel now */
	uint64_t in_packets;		  /* received with it */
	bool used;			  /* was installed once, on disk */
};

struct rekey_plan {
	uint32_t
		install_in[KEYFILE_MAX]; /* ids, in this order; each to be recorded as used first */
	unsigned int n_install;
	uint32_t send; /* the generation to send with; 0: none is left: the tunnel is down until the
			  file has a new one */
	bool send_changed;
	uint32_t remove[KEYFILE_MAX];
	unsigned int n_remove;
	uint64_t next_s;    /* CLOCK_REALTIME when this would differ by itself; 0: never */
	unsigned int spare; /* generations that are left after the one in use */
};

/* `sending`: the id in use for sending, 0: none; `send_since_s`: since when. */
void rekey_decide(const struct keyfile *k, const struct rekey_seen *seen, uint32_t sending,
		  uint64_t send_since_s, uint64_t overlap_s, uint64_t now_s,
		  struct rekey_plan *ret);

/* ---- ids that were installed, on disk ---- */

/* The file `path` holds "id sha256-of-the-keys" lines. Records and fsyncs before it returns.
 * -EEXIST: this id, or these keys under another id, were used. */
int used_record(const char *path, const struct keyfile_generation *g);
/* 1, 0, −errno. */
int used_has(const char *path, const struct keyfile_generation *g);
