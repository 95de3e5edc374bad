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
 * The order in which they come into use is told at the head of rekey.c.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEYFILE_MAX 64

struct keyfile_direction {
	uint32_t from[4], to[4];
	uint32_t spi; /* host order, 256.. */
	uint8_t enc[32], auth[32];
};

struct keyfile_generation {
	uint32_t id;	       /* 1.., rising in the file */
	uint64_t send_after_s; /* CLOCK_REALTIME; never falling in the file */
	struct keyfile_direction way[2];
};

struct keyfile {
	struct keyfile_generation generation[KEYFILE_MAX];
	unsigned int n;
	uint8_t enc_size; /* 16, 24 or 32, the same everywhere */
};

/* From memory: 0; -EINVAL with "line 3: …" in `why` and no byte of a key. Also -EINVAL when a key
 * or SPI is there twice, or two generations are not between the same two hosts. */
int keyfile_parse(const char *text, size_t size, struct keyfile *ret, char *why, size_t why_size);
/* From a file that only root may read. The caller wipes *ret. */
int keyfile_read(const char *path, struct keyfile *ret, char *why, size_t size);
/* Appends `count` new random generations between two hosts (temp + fsync + rename, 0600), ids after
 * the last, the first sending from `send_after_s`, the others `spacing_s` later each. `path` need
 * not exist: then the first id is the minutes since 1970, so that a file made anew never has an id
 * that was used. Drops what is older than the last 8 that are due. -ENOSPC: it would be more than
 * KEYFILE_MAX. */
int keyfile_extend(const char *path, const uint32_t a[4], const uint32_t b[4], uint8_t enc_size,
		   unsigned int count, uint64_t send_after_s, uint64_t spacing_s, char *why,
		   size_t size);
void keyfile_wipe(struct keyfile *k);

/* ---- what to do next; pure ---- */

/* In-SAs are made for the generation that is sent with and as many after it. */
#define REKEY_AHEAD 3

struct rekey_seen {
	bool in_installed, out_installed; /* in the kernel now */
	bool used_in, used_out;		  /* was installed once, on disk */
	bool worn;	     /* the soft limit of one of its SAs is reached: take the next */
	uint64_t in_packets; /* received with it */
	uint64_t in_first_s; /* CLOCK_REALTIME of the first of them; 0: none yet */
};

struct rekey_plan {
	/* Ids, in this order; each to be recorded as used before. */
	uint32_t install_in[KEYFILE_MAX];
	unsigned int n_install;
	uint32_t send; /* the generation to send with; 0: none is left: the tunnel is down until the
			  file has a new one */
	bool install_out; /* its SA is to be made */
	bool send_changed;
	uint32_t remove[KEYFILE_MAX]; /* both SAs of these */
	unsigned int n_remove;
	uint64_t next_s;    /* CLOCK_REALTIME when this would differ by itself; 0: never */
	unsigned int spare; /* generations that are left after the one in use */
};

/* What one look leaves to the next, zeroed before the first; kept by who looks each second. */
struct rekey_memory {
	bool known;
	uint64_t in_packets, unknown;
	uint64_t heard_s;     /* when something was last received */
	unsigned int strange; /* looks since, at which packets with an unknown SPI had come */
	unsigned int widened; /* how often that was acted upon since */
};

/* Is it time to look further ahead: does nothing come but packets with unknown SPIs? `in_packets`:
 * received with all generations; `unknown`: XfrmInNoStates; `more`: there is something to look
 * ahead to. Each time that it did not help, the next takes twice as long. */
bool rekey_strange(struct rekey_memory *m, uint64_t in_packets, uint64_t unknown, bool more,
		   uint64_t now_s);
/* Has the file generations that no SA was ever made of to receive with? */
bool rekey_more(const struct keyfile *k, const struct rekey_seen *seen);

/*
 * `seen` of each generation of the file, in its order; `sending`: the id in use, 0: none.
 * `strange`: nothing is received, and packets with an SPI that no SA here has arrive: the peer
 * may be ahead of what is installed.
 */
void rekey_decide(const struct keyfile *k, const struct rekey_seen *seen, uint32_t sending,
		  bool strange, uint64_t overlap_s, uint64_t now_s, struct rekey_plan *ret);

/* ---- ids that were installed, on disk ---- */

/*
 * The file `path` holds lines "ID in|out SHA256-of-the-keys". Records and fsyncs, the folder too,
 * before it returns. -EEXIST: this id, or these keys under another id, were used in that direction;
 * -EBADMSG: the file is damaged, and so nothing may be installed.
 */
int used_record(const char *path, const struct keyfile_generation *g, bool out,
		const struct keyfile_direction *d);
/* Takes the last record back, of an SA that the kernel refused to make. */
int used_withdraw(const char *path, const struct keyfile_generation *g, bool out,
		  const struct keyfile_direction *d);
/* For all of a file: sets used_in and used_out of `seen`. `out_way`: which of way[] goes out.
 * 0 or −errno; no file: none was used. */
int used_look(const char *path, const struct keyfile *k, unsigned int out_way,
	      struct rekey_seen *seen);
