/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * keyfile.c - reading and writing generations of keys
 *
 * The parser says where a line is wrong, and never what it holds. Digits are decoded without a
 * table, and whatever held a key is wiped.
 */
#include "wg/keyfile.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "userspace/base/file.h"
#include "userspace/base/ip.h"

#define FILE_MAX  (256 * 1024)
#define LINE_MAX_ 512
#define WORDS	  12
#define KEEP_DUE  8
#define SPI_MIN	  256

struct reader {
	struct keyfile *k;
	unsigned int line;
	unsigned int ways; /* of the last generation */
	char *why;
	size_t size;
};

static int wrong(const struct reader *r, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static int wrong(const struct reader *r, const char *format, ...)
{
	char text[200];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	snprintf(r->why, r->size, "line %u: %s", r->line, text);
	return -EINVAL;
}

/* 0..15, or 16 and more; without a branch on what it is. */
static unsigned int nibble(unsigned int c)
{
	unsigned int is_digit = ((c - '0') | ('9' - c)) >> 31 ^ 1;
	unsigned int is_letter = (((c | 32) - 'a') | ('f' - (c | 32))) >> 31 ^ 1;

	return is_digit * (c - '0') + is_letter * ((c | 32) - 'a' + 10) +
	       (1 - is_digit - is_letter) * 16;
}

/* The bytes of the key, or 0: it is none. */
static size_t parse_hex(const char *text, uint8_t ret[32])
{
	size_t n = strlen(text);
	unsigned int bad = 0;

	if (n > 64 || n % 2)
		return 0;
	for (size_t i = 0; i < n / 2; i++) {
		unsigned int a = nibble((unsigned char)text[2 * i]);
		unsigned int b = nibble((unsigned char)text[2 * i + 1]);

		bad |= (a | b) >> 4;
		ret[i] = (uint8_t)(a << 4 | (b & 15));
	}
	return bad ? 0 : n / 2;
}

static int parse_number(const char *text, int base, uint64_t max, uint64_t *ret)
{
	const char *digits = base == 16 ? "0123456789abcdefABCDEF" : "0123456789";
	unsigned long long n;

	if (base == 16) {
		if (strncmp(text, "0x", 2))
			return -EINVAL;
		text += 2;
	}
	if (!*text || strlen(text) > 15 || strspn(text, digits) != strlen(text))
		return -EINVAL;
	n = strtoull(text, NULL, base);
	if (n > max)
		return -EINVAL;
	*ret = n;
	return 0;
}

/* "2026-11-29T03:00:00Z", and only as it would be written. */
static int parse_time(const char *text, uint64_t *ret)
{
	struct tm tm = {0};
	char again[32];
	char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);
	time_t t;

	if (!end || *end)
		return -EINVAL;
	t = timegm(&tm);
	if (t < 0 || !gmtime_r(&t, &tm) ||
	    !strftime(again, sizeof(again), "%Y-%m-%dT%H:%M:%SZ", &tm) || strcmp(text, again))
		return -EINVAL;
	*ret = (uint64_t)t;
	return 0;
}

static bool is_pair(const struct keyfile_direction *a, const struct keyfile_direction *b)
{
	return !memcmp(a->from, b->from, 16) && !memcmp(a->to, b->to, 16);
}

static int end_generation(const struct reader *r)
{
	return !r->k->n || r->ways == 2 ? 0 : wrong(r, "the generation before it has no two ways");
}

static int take_generation(struct reader *r, char *word[], unsigned int n)
{
	struct keyfile_generation *g = &r->k->generation[r->k->n];
	const struct keyfile_generation *last = r->k->n ? g - 1 : NULL;
	uint64_t id, at;

	if (n != 4 || strcmp(word[2], "send-after"))
		return wrong(r, "must be: generation ID send-after TIME");
	if (end_generation(r))
		return -EINVAL;
	if (r->k->n == KEYFILE_MAX)
		return wrong(r, "more than %u generations", KEYFILE_MAX);
	if (parse_number(word[1], 10, UINT32_MAX, &id) || !id)
		return wrong(r, "the id must be a number from 1 on");
	if (parse_time(word[3], &at))
		return wrong(r, "the time must be as 2026-11-29T03:00:00Z");
	if (last && (id <= last->id || at < last->send_after_s))
		return wrong(r, "ids must rise, and times never fall");
	g->id = (uint32_t)id;
	g->send_after_s = at;
	r->k->n++;
	r->ways = 0;
	return 0;
}

static int take_way(struct reader *r, char *word[], unsigned int n)
{
	struct keyfile_direction *d, *before;
	uint16_t port[2];
	uint64_t spi;
	size_t enc;

	if (n != 10 || strcmp(word[2], "to") || strcmp(word[4], "spi") || strcmp(word[6], "enc") ||
	    strcmp(word[8], "auth"))
		return wrong(r, "must be: from A to B spi 0x… enc HEX auth HEX");
	if (!r->k->n || r->ways == 2)
		return wrong(r, "belongs to no generation, or is its third");
	d = &r->k->generation[r->k->n - 1].way[r->ways];
	if (ip_parse(word[1], d->from, &port[0]) || ip_parse(word[3], d->to, &port[1]) || port[0] ||
	    port[1] || ip_is_v4(d->from) != ip_is_v4(d->to) || !memcmp(d->from, d->to, 16))
		return wrong(r, "from and to must be two addresses of one family");
	if (parse_number(word[5], 16, UINT32_MAX, &spi) || spi < SPI_MIN)
		return wrong(r, "the SPI must be 0x100..0xffffffff");
	d->spi = (uint32_t)spi;
	enc = parse_hex(word[7], d->enc);
	if (enc != 16 && enc != 24 && enc != 32)
		return wrong(r, "enc must be 32, 48 or 64 hexadecimal digits");
	if (r->k->enc_size && r->k->enc_size != enc)
		return wrong(r, "enc must be as long as those before");
	r->k->enc_size = (uint8_t)enc;
	if (parse_hex(word[9], d->auth) != sizeof(d->auth))
		return wrong(r, "auth must be 64 hexadecimal digits");
	before = &r->k->generation[0].way[r->ways];
	if (r->ways == 1 && (memcmp(d->from, (d - 1)->to, 16) || memcmp(d->to, (d - 1)->from, 16)))
		return wrong(r, "the second way must be the first one's way back");
	if (!is_pair(d, before) && !is_pair(d, &r->k->generation[0].way[!r->ways]))
		return wrong(r, "is between other hosts than the generations before");
	r->ways++;
	return 0;
}

static int take_line(struct reader *r, char *line)
{
	char *word[WORDS], *rest = NULL, *w;
	unsigned int n = 0;

	for (w = strtok_r(line, " \t", &rest); w && n < WORDS; w = strtok_r(NULL, " \t", &rest))
		word[n++] = w;
	if (!n || word[0][0] == '#')
		return 0;
	if (!strcmp(word[0], "generation"))
		return take_generation(r, word, n);
	if (!strcmp(word[0], "from"))
		return take_way(r, word, n);
	return wrong(r, "must begin with generation or from");
}

static const struct keyfile_direction *way_of(const struct keyfile *k, unsigned int i)
{
	return &k->generation[i / 2].way[i % 2];
}

/* Every key and SPI but once. 192 keys at most: each against each is soon done. */
static int check_distinct(const struct reader *r)
{
	const struct keyfile *k = r->k;

	for (unsigned int i = 0; i < 2 * k->n; i++) {
		const struct keyfile_direction *a = way_of(k, i);

		if (!memcmp(a->enc, a->auth, k->enc_size))
			return wrong(r, "generation %u has one key twice", k->generation[i / 2].id);
		for (unsigned int j = 0; j < i; j++) {
			const struct keyfile_direction *b = way_of(k, j);
			uint32_t x = k->generation[j / 2].id, y = k->generation[i / 2].id;

			if (a->spi == b->spi)
				return wrong(r, "generations %u and %u share an SPI", x, y);
			if (!memcmp(a->enc, b->enc, k->enc_size) || !memcmp(a->auth, b->auth, 32) ||
			    !memcmp(a->enc, b->auth, k->enc_size) ||
			    !memcmp(a->auth, b->enc, k->enc_size))
				return wrong(r, "generations %u and %u share a key", x, y);
		}
	}
	return 0;
}

static int parse_lines(struct reader *r, const char *text, size_t size, char line[LINE_MAX_])
{
	bool begun = false;

	while (size) {
		const char *end = memchr(text, '\n', size);
		size_t n = end ? (size_t)(end - text) : size;
		int err = 0;

		r->line++;
		if (n >= LINE_MAX_ || memchr(text, '\0', n))
			return wrong(r, "is no line of text, or too long");
		memcpy(line, text, n);
		line[n] = '\0';
		if (begun)
			err = take_line(r, line);
		else if (strcmp(line, "shift-static 1"))
			return wrong(r, "must be: shift-static 1");
		begun = true;
		if (err)
			return err;
		n += end ? 1 : 0;
		text += n;
		size -= n;
	}
	r->line++;
	if (!begun)
		return wrong(r, "must be: shift-static 1");
	return end_generation(r) ? -EINVAL : check_distinct(r);
}

int keyfile_parse(const char *text, size_t size, struct keyfile *ret, char *why, size_t why_size)
{
	struct keyfile *k = calloc(1, sizeof(*k));
	struct reader r = {.k = k, .why = why, .size = why_size};
	char line[LINE_MAX_];
	int err;

	if (!k)
		return -ENOMEM;
	err = parse_lines(&r, text, size, line);
	if (!err)
		*ret = *k;
	explicit_bzero(line, sizeof(line));
	keyfile_wipe(k);
	free(k);
	return err;
}

static int read_all(int fd, char *to, size_t room, size_t *ret_n)
{
	size_t n = 0;
	ssize_t got;

	do {
		got = read(fd, to + n, room - n);
		if (got < 0 && errno != EINTR)
			return -errno;
		n += got > 0 ? (size_t)got : 0;
	} while (got && n < room);
	*ret_n = n;
	return n == room ? -EFBIG : 0;
}

int keyfile_read(const char *path, struct keyfile *ret, char *why, size_t size)
{
	char *text = malloc(FILE_MAX), words[256] = "";
	int fd, err;
	size_t n = 0;

	if (!text)
		return -ENOMEM;
	fd = file_open_secret(path, words, sizeof(words));
	err = fd < 0 ? fd : read_all(fd, text, FILE_MAX, &n);
	if (fd >= 0)
		close(fd);
	if (err)
		snprintf(why, size, "%s", words[0] ? words : "");
	else
		err = keyfile_parse(text, n, ret, words, sizeof(words));
	if (err && words[0] && fd >= 0)
		snprintf(why, size, "%s: %s", path, words);
	else if (err && !words[0])
		snprintf(why, size, "%s: %s", path, strerror(-err));
	explicit_bzero(text, FILE_MAX);
	free(text);
	return err;
}

void keyfile_wipe(struct keyfile *k)
{
	explicit_bzero(k, sizeof(*k));
}

/* ---- writing ---- */

static int put_way(FILE *f, const struct keyfile_direction *d, size_t enc)
{
	char text[2][INET6_ADDRSTRLEN];

	for (unsigned int i = 0; i < 2; i++) {
		const uint32_t *a = i ? d->to : d->from;

		if (!inet_ntop(ip_is_v4(a) ? AF_INET : AF_INET6, ip_is_v4(a) ? &a[3] : a, text[i],
			       sizeof(text[i])))
			return -errno;
	}
	fprintf(f, "from %s to %s spi 0x%08" PRIx32 " enc ", text[0], text[1], d->spi);
	for (size_t i = 0; i < enc; i++)
		fprintf(f, "%02x", d->enc[i]);
	fputs(" auth ", f);
	for (size_t i = 0; i < sizeof(d->auth); i++)
		fprintf(f, "%02x", d->auth[i]);
	return fputc('\n', f) == EOF ? -EIO : 0;
}

static int put_all(FILE *f, const struct keyfile *k)
{
	fputs("shift-static 1\n", f);
	for (unsigned int i = 0; i < k->n; i++) {
		const struct keyfile_generation *g = &k->generation[i];
		time_t t = (time_t)g->send_after_s;
		char at[32];
		struct tm tm;

		if (!gmtime_r(&t, &tm) || !strftime(at, sizeof(at), "%Y-%m-%dT%H:%M:%SZ", &tm))
			return -ERANGE;
		fprintf(f, "generation %" PRIu32 " send-after %s\n", g->id, at);
		if (put_way(f, &g->way[0], k->enc_size) || put_way(f, &g->way[1], k->enc_size))
			return -EIO;
	}
	return ferror(f) ? -EIO : 0;
}

static int sync_folder(const char *path)
{
	char folder[4096];
	const char *slash = strrchr(path, '/');
	int fd, err = 0;

	snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - path) + 1 : 1,
		 slash ? path : ".");
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd))
		err = -errno;
	if (fd >= 0)
		close(fd);
	return err;
}

/* The text is made in memory first, so that stdio's own buffer never holds a key. */
static int save(const char *path, const char *text, size_t n, char *why, size_t size)
{
	char fresh[4096];
	int fd, err = 0;
	size_t done = 0;

	if ((size_t)snprintf(fresh, sizeof(fresh), "%s.XXXXXX", path) >= sizeof(fresh))
		return -ENAMETOOLONG;
	fd = mkostemp(fresh, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = file_check_secret(fresh, why, size);
	while (!err && done < n) {
		ssize_t put = write(fd, text + done, n - done);

		if (put < 0 && errno != EINTR)
			err = -errno;
		done += put > 0 ? (size_t)put : 0;
	}
	if (!err && (fchmod(fd, 0600) || fsync(fd)))
		err = -errno;
	close(fd);
	if (!err && rename(fresh, path))
		err = -errno;
	if (err)
		unlink(fresh);
	return err ? err : sync_folder(path);
}

static int write_file(const char *path, const struct keyfile *k, char *why, size_t size)
{
	char *text = malloc(FILE_MAX);
	FILE *f = text ? fmemopen(text, FILE_MAX, "w") : NULL;
	int err = f ? 0 : -ENOMEM;
	long n = 0;

	if (f) {
		setvbuf(f, NULL, _IONBF, 0);
		err = put_all(f, k);
		n = ftell(f);
		fclose(f);
	}
	if (!err)
		err = save(path, text, (size_t)n, why, size);
	if (text)
		explicit_bzero(text, FILE_MAX);
	free(text);
	return err;
}

static int fill_random(void *to, size_t size)
{
	uint8_t *at = to;

	while (size) {
		ssize_t n = getrandom(at, size, 0);

		if (n < 0 && errno != EINTR)
			return -errno;
		at += n > 0 ? n : 0;
		size -= n > 0 ? (size_t)n : 0;
	}
	return 0;
}

static int new_spi(const struct keyfile *k, uint32_t *ret)
{
	for (;;) {
		uint32_t spi;
		bool taken = false;
		int err = fill_random(&spi, sizeof(spi));

		if (err)
			return err;
		for (unsigned int i = 0; i < 2 * k->n; i++)
			taken |= way_of(k, i)->spi == spi;
		if (!taken && spi >= SPI_MIN) {
			*ret = spi;
			return 0;
		}
	}
}

static int add_generation(struct keyfile *k, const uint32_t a[4], const uint32_t b[4], uint32_t id,
			  uint64_t send_after_s)
{
	struct keyfile_generation *g = &k->generation[k->n];
	int err = 0;

	memset(g, 0, sizeof(*g));
	k->n++;
	for (unsigned int i = 0; i < 2 && !err; i++) {
		struct keyfile_direction *d = &g->way[i];

		memcpy(d->from, i ? b : a, 16);
		memcpy(d->to, i ? a : b, 16);
		err = new_spi(k, &d->spi);
		err = err ? err : fill_random(d->enc, k->enc_size);
		err = err ? err : fill_random(d->auth, sizeof(d->auth));
	}
	g->id = id;
	g->send_after_s = send_after_s;
	return err;
}

static void drop_old(struct keyfile *k, uint64_t now_s)
{
	unsigned int due = 0, drop;

	while (due < k->n && k->generation[due].send_after_s <= now_s)
		due++;
	drop = due > KEEP_DUE ? due - KEEP_DUE : 0;
	memmove(k->generation, k->generation + drop, (k->n - drop) * sizeof(k->generation[0]));
	k->n -= drop;
}

static int extend(struct keyfile *k, const uint32_t a[4], const uint32_t b[4], unsigned int count,
		  uint64_t send_after_s, uint64_t spacing_s, char *why, size_t size)
{
	const struct keyfile_generation *last = k->n ? &k->generation[k->n - 1] : NULL;
	uint32_t id = last ? last->id : (uint32_t)(time(NULL) / 60);
	int err = 0;

	if (last && (memcmp(last->way[0].from, a, 16) || memcmp(last->way[0].to, b, 16)) &&
	    (memcmp(last->way[0].from, b, 16) || memcmp(last->way[0].to, a, 16))) {
		snprintf(why, size, "the file is between other hosts");
		return -EINVAL;
	}
	if (last && send_after_s < last->send_after_s) {
		snprintf(why, size,
			 "generation %" PRIu32 " is due later than the new ones would be",
			 last->id);
		return -EINVAL;
	}
	if (last && last->id > UINT32_MAX - count)
		return -ERANGE;
	drop_old(k, (uint64_t)time(NULL));
	if (!count || count > KEYFILE_MAX - k->n) {
		snprintf(why, size, "a file holds %u generations at most, this one has %u",
			 KEYFILE_MAX, k->n);
		return -ENOSPC;
	}
	for (unsigned int i = 0; i < count && !err; i++)
		err = add_generation(k, a, b, id + (last != NULL) + i,
				     send_after_s + i * spacing_s);
	return err;
}

int keyfile_extend(const char *path, const uint32_t a[4], const uint32_t b[4], uint8_t enc_size,
		   unsigned int count, uint64_t send_after_s, uint64_t spacing_s, char *why,
		   size_t size)
{
	struct keyfile k = {0};
	int err;

	why[0] = '\0';
	if ((enc_size != 16 && enc_size != 24 && enc_size != 32) || !memcmp(a, b, 16) ||
	    ip_is_v4(a) != ip_is_v4(b))
		return -EINVAL;
	err = keyfile_read(path, &k, why, size);
	if (err == -ENOENT) {
		why[0] = '\0';
		err = 0;
	}
	if (!err && k.n && k.enc_size != enc_size) {
		snprintf(why, size, "%s: its keys are of %u bits", path, k.enc_size * 8u);
		err = -EINVAL;
	}
	k.enc_size = enc_size;
	if (!err)
		err = extend(&k, a, b, count, send_after_s, spacing_s, why, size);
	if (!err)
		err = write_file(path, &k, why, size);
	if (err && !why[0])
		snprintf(why, size, "%s: %s", path, strerror(-err));
	keyfile_wipe(&k);
	return err;
}
