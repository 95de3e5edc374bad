/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/conf/types.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "userspace/base/key.h"
#include "userspace/base/text.h"

/* ---- numbers ---- */

/* Digits alone, up to `max`; false for anything else. */
static bool read_digits(const char *text, uint64_t max, uint64_t *ret)
{
	uint64_t n = 0;

	if (!isdigit((unsigned char)*text))
		return false;
	for (; isdigit((unsigned char)*text); text++) {
		n = n * 10 + (uint64_t)(*text - '0');
		if (n > max)
			return false;
	}
	*ret = n;
	return !*text;
}

static void store(void *ret, uint32_t size, uint64_t value)
{
	uint8_t u8 = (uint8_t)value;
	uint16_t u16 = (uint16_t)value;
	uint32_t u32 = (uint32_t)value;

	if (size == 1)
		memcpy(ret, &u8, 1);
	else if (size == 2)
		memcpy(ret, &u16, 2);
	else if (size == 4)
		memcpy(ret, &u32, 4);
	else if (size == 8)
		memcpy(ret, &value, 8);
}

static int read_integer(const struct field *f, void *ret)
{
	const struct row *row = f->row;
	uint64_t n;

	if (!read_digits(f->node->text, row->max, &n) || n < row->min)
		return field_must(f, "%llu..%llu%s%s", (unsigned long long)row->min,
				  (unsigned long long)row->max, row->unit ? " " : "",
				  row->unit ? row->unit : "");
	store(ret, row->size, n);
	return 0;
}

const struct type type_integer = {"a number", read_integer};

/* 100M: K, M and G are powers of 1024. */
static int read_size(const struct field *f, void *ret)
{
	static const char units[] = "KMG";
	char digits[24];
	size_t n = strlen(f->node->text);
	const char *unit = n ? strchr(units, f->node->text[n - 1]) : NULL;
	unsigned int shift = unit && *unit ? 10 * (unsigned int)(unit - units + 1) : 0;
	uint64_t size;

	snprintf(digits, sizeof(digits), "%.*s", (int)(shift ? n - 1 : n), f->node->text);
	if (n >= sizeof(digits) || !read_digits(digits, f->row->max >> shift, &size) ||
	    size << shift < f->row->min)
		return field_must(f, "%s", f->row->type->want);
	size <<= shift;
	memcpy(ret, &size, sizeof(size));
	return 0;
}

const struct type type_size = {"a number of bytes from 64K to 1024G, such as 100M", read_size};

static int read_share(const struct field *f, void *ret)
{
	int weight = text_parse_weight(f->node->text);
	char lo[16], hi[16];
	uint16_t n;

	if (weight < 0 || (uint64_t)weight < f->row->min || (uint64_t)weight > f->row->max)
		return field_must(f,
				  "%s..%s percent, with at most two decimals, such as 25 or 12.5%%",
				  text_weight((uint32_t)f->row->min, lo),
				  text_weight((uint32_t)f->row->max, hi));
	n = (uint16_t)weight;
	memcpy(ret, &n, sizeof(n));
	return 0;
}

const struct type type_share = {"a share such as 25 or 12.5%", read_share};

const char *conf_duration_text(uint64_t ms, char ret[32])
{
	static const struct {
		uint64_t ms;
		const char *unit;
	} units[] = {{3600000, "h"}, {60000, "m"}, {1000, "s"}, {1, "ms"}};
	size_t used = 0;

	snprintf(ret, 32, "0s");
	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
		uint64_t n = ms / units[i].ms;

		ms %= units[i].ms;
		if (n)
			used += (size_t)snprintf(ret + used, 32 - used, "%llu%s",
						 (unsigned long long)n, units[i].unit);
	}
	return ret;
}

static int read_duration(const struct field *f, void *ret)
{
	char lo[32], hi[32];
	uint64_t ns, ms;

	if (read_digits(f->node->text, UINT64_MAX / 20, &ms))
		return field_bad(f, "needs a unit: ms, s, m or h, such as %ss", f->node->text);
	if (text_parse_duration(f->node->text, &ns))
		return field_must(f, "a duration such as 500ms, 30s, 10m or 2h4m");
	ms = ns / 1000000;
	if (ms < f->row->min || ms > f->row->max)
		return field_must(f, "%s..%s", conf_duration_text(f->row->min, lo),
				  conf_duration_text(f->row->max, hi));
	memcpy(ret, &ms, sizeof(ms));
	return 0;
}

const struct type type_duration = {"a duration such as 500ms, 30s, 10m or 2h4m", read_duration};

/* ---- words ---- */

static int read_enum(const struct field *f, void *ret)
{
	const char *const *names = f->row->names;
	char list[128] = "";
	size_t used = 0;

	for (unsigned int i = 0; names[i]; i++) {
		const char *between = !i ? "" : names[i + 1] ? ", " : " or ";

		used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s", between,
					 names[i]);
		if (strcmp(f->node->text, names[i]))
			continue;
		store(ret, f->row->size, f->row->min + i);
		return 0;
	}
	if (f->row->want)
		return field_must(f, "%s", f->row->want);
	return field_must(f, "%s", list);
}

const struct type type_enum = {"a word", read_enum};

/* What other readers of YAML take for something else than a text. */
static const char *not_a_text(const char *text)
{
	static const char *const booleans[] = {"true", "false", "yes", "no", "on", "off", "y", "n"};
	unsigned int year, month, day;
	int end = 0;

	for (size_t i = 0; i < sizeof(booleans) / sizeof(*booleans); i++)
		if (!strcasecmp(text, booleans[i]))
			return "a boolean";
	if (!strcasecmp(text, "null"))
		return "nothing";
	if (sscanf(text, "%4u-%2u-%2u%n", &year, &month, &day, &end) == 3 && !text[end])
		return "a date";
	return NULL;
}

static int read_name(const struct field *f, void *ret)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				      "0123456789._-";
	const char *text = f->node->text, *other;

	if (!text[0] || text[strspn(text, allowed)] || text[0] == '-' || text[0] == '.' ||
	    strlen(text) >= CONF_NAME)
		return field_must(f, "%s", f->row->type->want);
	other = f->node->quoted ? NULL : not_a_text(text);
	if (other)
		return field_bad(f, "%s is %s to most readers of YAML: write \"%s\"", text, other,
				 text);
	snprintf(ret, CONF_NAME, "%s", text);
	return 0;
}

const struct type type_name = {
	"a name of at most 31 letters, digits, '.', '_' or '-', beginning with a letter, digit or "
	"'_'",
	read_name};

/* A text is kept where the row has room for it. */
static int keep(const struct field *f, void *ret)
{
	if (!f->row->size)
		return 0;
	if (strlen(f->node->text) >= f->row->size)
		return field_bad(f, "must be shorter than %u bytes", f->row->size);
	snprintf(ret, f->row->size, "%s", f->node->text);
	return 0;
}

static int read_any(const struct field *f, void *ret)
{
	if (!f->node->text[0])
		return field_bad(f, "must not be empty");
	return keep(f, ret);
}

const struct type type_text = {"a text", read_any};

static int read_path(const struct field *f, void *ret)
{
	if (f->node->text[0] != '/')
		return field_must(f, "%s", f->row->type->want);
	if (f->node->text[strlen(f->node->text) - 1] == '/')
		return field_must(f, "a file, not a folder");
	return keep(f, ret);
}

const struct type type_path = {"the full path of a file, such as /etc/shift/tsig.key", read_path};

static int read_key(const struct field *f, void *ret)
{
	struct conf_peer *p = ret;

	if (!key_parse(f->node->text, p->public_key)) {
		p->public_key_at = f->node->at;
		return 0;
	}
	/* Examples have it, and a file may be checked before the other side's key is known. */
	if (!strcmp(f->node->text, "\xe2\x80\xa6") || !strcmp(f->node->text, "...")) {
		p->placeholder = true;
		conf_complain(f->errors, true, f->node->at, f->path,
			      "is a placeholder: put what `wg pubkey` printed on the other side");
		return 0;
	}
	return field_must(f, "%s", f->row->type->want);
}

const struct type type_key = {"a WireGuard public key: 44 characters of base64", read_key};

/* What strongSwan takes: words of letters and digits with '-' between them. */
static int read_proposal(const struct field *f, void *ret)
{
	struct conf_proposal *p = ret;
	const char *text = f->node->text;

	if (!text[0] || text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-_")] ||
	    strlen(text) >= sizeof(p->text))
		return field_must(f, "%s", f->row->type->want);
	p->at = f->node->at;
	snprintf(p->text, sizeof(p->text), "%s", text);
	return 0;
}

const struct type type_proposal = {"algorithms such as aes256-sha384-ecp384", read_proposal};

static int read_boolean(const struct field *f, void *ret)
{
	bool yes = !strcmp(f->node->text, "true");

	if (f->node->quoted || (!yes && strcmp(f->node->text, "false") != 0))
		return field_must(f, "true or false");
	memcpy(ret, &yes, sizeof(yes));
	return 0;
}

const struct type type_boolean = {"true or false", read_boolean};

/* ---- ports ---- */

static int read_ports(const struct field *f, void *ret)
{
	const char *text = f->node->text, *dash = strchr(text, '-');
	char low[8] = "";
	uint64_t lo, hi;
	uint16_t ports[2];

	if (dash && dash - text < (ptrdiff_t)sizeof(low))
		snprintf(low, sizeof(low), "%.*s", (int)(dash - text), text);
	if (!dash || !read_digits(low, 65535, &lo) || !read_digits(dash + 1, 65535, &hi))
		return field_must(f, "%s", f->row->want);
	if (lo > hi)
		return field_bad(f, "begins above its end: must be %llu-%llu, is %s",
				 (unsigned long long)hi, (unsigned long long)lo, text);
	if (lo < 1024)
		return field_bad(f,
				 "must begin at 1024 or above: ports below belong to services, "
				 "is %s",
				 text);
	ports[0] = (uint16_t)lo;
	ports[1] = (uint16_t)hi;
	memcpy(ret, ports, sizeof(ports));
	return 0;
}

const struct type type_ports = {"a range of ports such as 20000-59999", read_ports};
