/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * fixed.c - looks, lets rekey.c decide, and carries that out
 *
 * Owns nothing but a lock while a step lasts: what is installed is asked of the kernel, what is
 * sent with is the SPI that the outgoing policy is bound to, and what was ever installed is in
 * NAME.used. So a step may be ended at any point and the next one goes on. Its order is that of the
 * promises: recorded, installed, and only then sent with; removed last.
 *
 * A key that was recorded and then refused by the kernel is withdrawn, or else a kernel without ESP
 * would use up the file a generation a second; not when the SPI was taken (-EEXIST), where the next
 * generation is the way out.
 */
#include "wg/fixed.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "userspace/base/text.h"
#include "userspace/conf/config.h"
#include "userspace/net/host.h"
#include "wg/keyfile.h"
#include "wg/xfrm.h"

#define BYTE_LIMIT   (1ull << 40) /* far from where CBC's blocks would meet (2^64 of them) */
#define PACKET_LIMIT (1ull << 36)
#define LOCK_TRIES   100 /* of 20 ms */

struct step {
	const struct conf_tunnel *t;
	uint32_t if_id;
	uint64_t now_s;
	char used[512];
	struct keyfile k;
	unsigned int out_way;
	struct rekey_seen seen[KEYFILE_MAX];
	struct rekey_plan plan;
	uint32_t spi, sending;
	struct xfrm_sa *sa;
	size_t n_sa;
	struct fixed_report *report;
	char *why;
	size_t size;
};

static int say(const struct step *s, int err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static int say(const struct step *s, int err, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(s->why, s->size, format, ap);
	va_end(ap);
	return err;
}

static void note(struct step *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void note(struct step *s, const char *format, ...)
{
	char *to = s->report->done;
	size_t at = strlen(to), room = sizeof(s->report->done);
	va_list ap;

	if (at && at + 2 < room)
		at += (size_t)snprintf(to + at, room - at, "; ");
	va_start(ap, format);
	vsnprintf(to + at, room - at, format, ap);
	va_end(ap);
	s->report->changed = true;
}

/* ---- what there is ---- */

static void key_path(const struct conf_tunnel *t, char *ret, size_t size)
{
	if (t->fixed.key_file[0])
		snprintf(ret, size, "%s", t->fixed.key_file);
	else
		snprintf(ret, size, "/etc/shift/%s.keys", t->name);
}

static int read_keys(struct step *s)
{
	static const uint8_t size_of[] = {
		[CONF_AES128_CBC] = 16, [CONF_AES192_CBC] = 24, [CONF_AES256_CBC] = 32};
	unsigned int wanted = size_of[s->t->fixed.cipher % 3];
	char path[CONF_TEXT];
	int err;

	key_path(s->t, path, sizeof(path));
	err = keyfile_read(path, &s->k, s->why, s->size);
	if (err)
		return err;
	if (!s->k.n)
		return say(s, -ENOKEY, "%s: has no generation", path);
	if (s->k.enc_size != wanted)
		return say(s, -EINVAL, "%s: its keys are of %u bits, the cipher's of %u", path,
			   s->k.enc_size * 8u, wanted * 8);
	return 0;
}

static int find_out_way(struct step *s)
{
	const struct conf_static *f = &s->t->fixed;
	const struct keyfile_direction *way = s->k.generation[0].way;
	char a[64], b[64];
	struct host h;
	bool here[2];
	int err;

	text_address(way[0].from, 0, a);
	text_address(way[0].to, 0, b);
	for (unsigned int i = 0; f->local.family && i < 2; i++) {
		s->out_way = i;
		if (!memcmp(way[i].from, f->local.ip, 16) && !memcmp(way[i].to, f->remote.ip, 16))
			return 0;
	}
	if (f->local.family)
		return say(s, -EINVAL,
			   "the key file is for %s and %s, the configuration names others", a, b);
	err = host_read(NULL, 0, &h);
	if (err)
		return say(s, err, "this host's addresses: %s", strerror(-err));
	here[0] = host_address(&h, way[0].from) != NULL;
	here[1] = host_address(&h, way[1].from) != NULL;
	host_free(&h);
	if (here[0] == here[1])
		return say(s, -EADDRNOTAVAIL,
			   "%s of the key file's %s and %s is an address of this host",
			   here[0] ? "each" : "neither", a, b);
	s->out_way = here[1];
	return 0;
}

static const struct keyfile_direction *way(const struct step *s, unsigned int i, bool out)
{
	return &s->k.generation[i].way[out ? s->out_way : !s->out_way];
}

static bool is_of(const struct xfrm_sa *sa, const struct keyfile_direction *d)
{
	return sa->spi == d->spi && !memcmp(sa->dst, d->to, 16) && !memcmp(sa->src, d->from, 16);
}

static bool is_ours(const struct step *s, const struct xfrm_sa *sa)
{
	return sa->cipher[0] && sa->if_id == s->if_id && sa->reqid == xfrm_reqid(s->if_id);
}

static bool over(uint64_t value, uint64_t limit)
{
	return limit && value >= limit;
}

static bool is_worn(const struct step *s, const struct xfrm_sa *sa, bool out)
{
	uint64_t since = out ? sa->added_s : sa->first_s;

	return over(sa->bytes, sa->byte_soft) || over(sa->packets, sa->packet_soft) ||
	       (since && sa->time_soft_s && since + sa->time_soft_s <= s->now_s);
}

static void look_at_sa(struct step *s, const struct xfrm_sa *sa)
{
	bool out = !memcmp(sa->src, way(s, 0, true)->from, 16);
	struct fixed_report *r = s->report;

	*(out ? &r->out_packets : &r->in_packets) += sa->packets;
	*(out ? &r->out_bytes : &r->in_bytes) += sa->bytes;
	r->replayed += sa->replayed;
	r->failed += sa->failed;
	r->receiving += !out;
	for (unsigned int i = 0; i < s->k.n; i++) {
		struct rekey_seen *seen = &s->seen[i];

		if (!is_of(sa, way(s, i, out)))
			continue;
		seen->worn |= is_worn(s, sa, out);
		if (out) {
			seen->out_installed = true;
		} else {
			seen->in_installed = true;
			seen->in_packets = sa->packets;
			seen->in_first_s = sa->first_s;
		}
	}
}

static int look(struct step *s)
{
	int err = xfrm_sa_list(s->if_id, &s->sa, &s->n_sa);

	if (!err)
		err = xfrm_policy_spi(s->if_id, &s->spi);
	if (err)
		return say(s, err, "the kernel's SAs: %s", strerror(-err));
	err = used_look(s->used, &s->k, s->out_way, s->seen);
	if (err)
		return say(s, err, "%s: %s", s->used,
			   err == -EBADMSG ? "is damaged: it says which keys must not be used again"
					   : strerror(-err));
	for (size_t i = 0; i < s->n_sa; i++) {
		if (is_ours(s, &s->sa[i]))
			look_at_sa(s, &s->sa[i]);
	}
	for (unsigned int i = 0; s->spi && i < s->k.n; i++) {
		if (way(s, i, true)->spi == s->spi)
			s->sending = s->k.generation[i].id;
	}
	return 0;
}

static bool is_strange(const struct step *s, struct rekey_memory *m)
{
	uint64_t unknown = 0;

	return m && !xfrm_stat_of("XfrmInNoStates", &unknown) &&
	       rekey_strange(m, s->report->in_packets, unknown, rekey_more(&s->k, s->seen),
			     s->now_s);
}

/* ---- what follows ---- */

static unsigned int index_of(const struct step *s, uint32_t id)
{
	unsigned int i = 0;

	while (i + 1 < s->k.n && s->k.generation[i].id != id)
		i++;
	return i;
}

static int install(struct step *s, uint32_t id, bool out)
{
	unsigned int i = index_of(s, id);
	const struct keyfile_generation *g = &s->k.generation[i];
	const struct keyfile_direction *d = way(s, i, out);
	uint64_t life = s->t->fixed.lifetime_ms / 1000;
	struct xfrm_sa sa = {
		.spi = d->spi,
		.reqid = xfrm_reqid(s->if_id),
		.if_id = s->if_id,
		.enc_size = s->k.enc_size,
		.outbound = out,
		.byte_hard = BYTE_LIMIT,
		.byte_soft = BYTE_LIMIT / 4 * 3,
		.packet_hard = PACKET_LIMIT,
		.packet_soft = PACKET_LIMIT / 4 * 3,
		.time_hard_s = life,
		.time_soft_s = life * 9 / 10,
	};
	char words[160] = "";
	int err;

	memcpy(sa.src, d->from, 16);
	memcpy(sa.dst, d->to, 16);
	err = used_record(s->used, g, out, d);
	if (err)
		return say(s, err, "%s: %s", s->used, strerror(-err));
	memcpy(sa.enc, d->enc, sizeof(sa.enc));
	memcpy(sa.auth, d->auth, sizeof(sa.auth));
	err = xfrm_sa_add(&sa, words, sizeof(words));
	explicit_bzero(&sa, sizeof(sa));
	if (!err)
		return 0;
	if (err != -EEXIST)
		used_withdraw(s->used, g, out, d);
	return say(s, err, "generation %" PRIu32 " (%s): %s", id, out ? "out" : "in", words);
}

static int install_all(struct step *s, bool dry)
{
	const struct rekey_plan *p = &s->plan;
	int err = 0;

	for (unsigned int i = 0; !err && i < p->n_install; i++) {
		err = dry ? 0 : install(s, p->install_in[i], false);
		if (!err) {
			note(s, "receives with %" PRIu32, p->install_in[i]);
			s->report->receiving += !dry;
		}
	}
	if (!err && p->install_out && !dry)
		err = install(s, p->send, true);
	return err;
}

static int set_policies(struct step *s, bool dry)
{
	unsigned int i = index_of(s, s->plan.send);
	const struct keyfile_direction *d = way(s, i, true);
	int count, err = 0;

	count = xfrm_policy_count(s->if_id);
	if (count < 0)
		return say(s, count, "the kernel's policies: %s", strerror(-count));
	if (s->plan.send_changed)
		note(s, "sends with %" PRIu32, s->plan.send);
	if (count < 6)
		note(s, "%d policies", 6 - count);
	if (!dry)
		err = xfrm_policy_set(d->from, d->to, s->if_id, d->spi, s->why, s->size);
	s->report->policies = dry ? count : 6;
	return err;
}

static bool is_removed(const struct step *s, const struct xfrm_sa *sa)
{
	for (unsigned int i = 0; i < s->k.n; i++) {
		if (!is_of(sa, way(s, i, false)) && !is_of(sa, way(s, i, true)))
			continue;
		for (unsigned int j = 0; j < s->plan.n_remove; j++) {
			if (s->plan.remove[j] == s->k.generation[i].id)
				return true;
		}
		return false;
	}
	/* Of a generation that the file has no more. */
	for (unsigned int i = 0; i < s->k.n; i++) {
		if (s->seen[i].in_first_s &&
		    s->seen[i].in_first_s + s->t->fixed.overlap_ms / 1000 <= s->now_s)
			return true;
	}
	return false;
}

static int remove_old(struct step *s, bool dry)
{
	int first = 0;

	for (size_t i = 0; i < s->n_sa; i++) {
		const struct xfrm_sa *sa = &s->sa[i];
		int err;

		if (!is_ours(s, sa) || !is_removed(s, sa))
			continue;
		err = dry ? 0 : xfrm_sa_remove(sa);
		if (!err)
			note(s, "removed SA %#" PRIx32, sa->spi);
		else if (err != -ESRCH && !first)
			first = say(s, err, "SA %#" PRIx32 ": %s", sa->spi, strerror(-err));
	}
	return first;
}

static int carry_out(struct step *s, bool dry)
{
	struct fixed_report *r = s->report;
	int err = install_all(s, dry);

	if (!err && s->plan.send)
		err = set_policies(s, dry);
	if (!err)
		err = remove_old(s, dry);
	r->sending = s->plan.send && !err ? s->plan.send : s->sending;
	r->spare = s->plan.spare;
	r->next_s = s->plan.next_s;
	if (!err && s->plan.send)
		r->worn = s->seen[index_of(s, s->plan.send)].worn;
	if (err || s->plan.send)
		return err;
	r->sending = 0;
	return say(s, -ENOKEY, "no generation of keys is left: extend the key file, on both hosts");
}

static int take_lock(const char *state_dir, const char *name, int *ret)
{
	char path[512];
	int fd, busy = 0;

	if (mkdir(state_dir, 0700) && errno != EEXIST)
		return -errno;
	if ((size_t)snprintf(path, sizeof(path), "%s/%s.lock", state_dir, name) >= sizeof(path))
		return -ENAMETOOLONG;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	for (unsigned int i = 0; i < LOCK_TRIES && (busy = flock(fd, LOCK_EX | LOCK_NB)); i++)
		nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
	if (busy) {
		int err = errno == EWOULDBLOCK ? -EBUSY : -errno;

		close(fd);
		return err;
	}
	*ret = fd;
	return 0;
}

int fixed_step(const struct conf_tunnel *t, uint32_t if_id, const char *state_dir, uint64_t now_s,
	       bool dry, struct rekey_memory *memory, struct fixed_report *ret, char *why,
	       size_t size)
{
	struct fixed_report report = {0};
	struct step *s = calloc(1, sizeof(*s));
	int err, lock = -1;

	if (!s)
		return -ENOMEM;
	*s = (struct step){.t = t,
			   .if_id = if_id,
			   .now_s = now_s,
			   .report = &report,
			   .why = why,
			   .size = size};
	snprintf(s->used, sizeof(s->used), "%s/%s.used", state_dir, t->name);
	err = take_lock(state_dir, t->name, &lock);
	if (err)
		say(s, err, "%s: %s", state_dir,
		    err == -EBUSY ? "another command is at this tunnel" : strerror(-err));
	err = err ? err : read_keys(s);
	err = err ? err : find_out_way(s);
	err = err ? err : look(s);
	if (!err) {
		rekey_decide(&s->k, s->seen, s->sending, is_strange(s, memory),
			     t->fixed.overlap_ms / 1000, now_s, &s->plan);
		err = carry_out(s, dry);
		if (!err || err == -ENOKEY)
			*ret = report;
	}
	if (lock >= 0)
		close(lock);
	free(s->sa);
	explicit_bzero(s, sizeof(*s));
	free(s);
	return err;
}

int fixed_ends(const struct conf_tunnel *t, uint32_t ret_local[4], uint32_t ret_remote[4],
	       char *why, size_t size)
{
	struct step *s;
	int err = 0;

	if (t->fixed.local.family) {
		memcpy(ret_local, t->fixed.local.ip, 16);
		memcpy(ret_remote, t->fixed.remote.ip, 16);
		return 0;
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	*s = (struct step){.t = t, .why = why, .size = size};
	err = read_keys(s);
	err = err ? err : find_out_way(s);
	if (!err) {
		memcpy(ret_local, way(s, 0, true)->from, 16);
		memcpy(ret_remote, way(s, 0, true)->to, 16);
	}
	explicit_bzero(s, sizeof(*s));
	free(s);
	return err;
}

int fixed_down(uint32_t if_id, char *why, size_t size)
{
	struct xfrm_sa *sa = NULL;
	size_t n = 0;
	int err = if_id ? xfrm_policy_remove(if_id) : -EINVAL, failed;

	failed = err ? 0 : xfrm_sa_list(if_id, &sa, &n);
	err = err ? err : failed;
	for (size_t i = 0; i < n; i++) {
		if (sa[i].reqid != xfrm_reqid(if_id))
			continue;
		failed = xfrm_sa_remove(&sa[i]);
		if (failed && failed != -ESRCH && !err)
			err = failed;
	}
	free(sa);
	if (err)
		snprintf(why, size, "SAs and policies: %s", strerror(-err));
	return err;
}
