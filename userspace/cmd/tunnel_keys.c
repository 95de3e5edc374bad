/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * tunnel_keys.c - `tunnel keys`: new keys for a static IPsec tunnel, to be copied to its other end
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "userspace/base/text.h"
#include "userspace/cmd/tunnel.h"
#include "wg/keyfile.h"

#define SECOND 1000000000ull

struct wish {
	unsigned int count;
	uint64_t lead_ns, spacing_ns;
};

/* The two hosts: the configuration's, else those of the keys that are there. */
static int ends_of(const struct conf_tunnel *t, const char *path, uint32_t a[4], uint32_t b[4])
{
	struct keyfile *k;
	char why[200];
	int err;

	if (t->fixed.local.family) {
		memcpy(a, t->fixed.local.ip, sizeof(t->fixed.local.ip));
		memcpy(b, t->fixed.remote.ip, sizeof(t->fixed.remote.ip));
		return 0;
	}
	k = calloc(1, sizeof(*k));
	if (!k)
		return -ENOMEM;
	err = keyfile_read(path, k, why, sizeof(why));
	if (!err && k->n) {
		memcpy(a, k->generation[0].way[0].from, sizeof(k->generation[0].way[0].from));
		memcpy(b, k->generation[0].way[0].to, sizeof(k->generation[0].way[0].to));
	} else {
		err = -ENOENT;
	}
	keyfile_wipe(k);
	free(k);
	return err;
}

static int extend(const struct conf_tunnel *t, const struct wish *w, const struct options *o)
{
	static const uint8_t sizes[] = {16, 24, 32};
	uint64_t after = (uint64_t)time(NULL) + w->lead_ns / SECOND;
	char path[CONF_TEXT], why[300] = "", at[32];
	uint32_t a[4], b[4];

	if (t->fixed.key_file[0])
		snprintf(path, sizeof(path), "%s", t->fixed.key_file);
	else
		snprintf(path, sizeof(path), "/etc/shift/%s.keys", t->name);
	if (ends_of(t, path, a, b)) {
		say("%s: which hosts? Give static local and remote in the configuration", t->name);
		return EXIT_USAGE;
	}
	if (keyfile_extend(path, a, b, sizes[t->fixed.cipher], w->count, after,
			   w->spacing_ns / SECOND, why, sizeof(why))) {
		say("%s: %s", t->name, why);
		return EXIT_FAILED;
	}
	if (o->json) {
		print_json(json_pack("{s:i, s:s, s:i, s:I}", "schema", 1, "file", path, "added",
				     (int)w->count, "send_after_s", (json_int_t)after));
		return EXIT_OK;
	}
	printf("%s: %u new, the first to be sent with from %s on\n", path, w->count,
	       text_time(after * SECOND, at));
	printf("copy it to the other host before then (it is secret), and there and here: shiftctl "
	       "tunnel apply %s\n",
	       t->name);
	return EXIT_OK;
}

int tunnel_keys(const struct options *o, int argc, char **argv)
{
	static const char *const flags[] = {"--count=", "--lead=", "--spacing=", NULL};
	struct wish w = {16, 600 * SECOND, 86400 * SECOND};
	const struct conf_tunnel *t;
	char *name = NULL, *end = NULL;
	struct tunnels all;
	const char *value;
	int at = 1, code, found;

	while ((found = next_option(argc, argv, &at, flags, &value)) != -2) {
		if (found == -3)
			return EXIT_USAGE;
		if (found == 0)
			w.count = (unsigned int)strtoul(value, &end, 10);
		if (found == 0 && (*end || !w.count || w.count > 32))
			return usage_error("--count=%s: must be 1..32", value);
		if (found == 1 && text_parse_duration(value, &w.lead_ns))
			return usage_error("--lead=%s: must be a duration such as 10m", value);
		if (found == 2 && (text_parse_duration(value, &w.spacing_ns) || !w.spacing_ns))
			return usage_error("--spacing=%s: must be a duration such as 24h", value);
		if (found == -1 && name)
			return usage_error("tunnel keys: one tunnel at a time");
		if (found == -1)
			name = (char *)value;
	}
	if (!name)
		return usage_error("tunnel keys: of which tunnel?");
	code = tunnels_open(o, &all, EXIT_USAGE);
	if (code)
		return code;
	code = tunnels_choose(&all, &name, 1, EXIT_USAGE);
	t = code ? NULL : conf_tunnel(all.config, name);
	if (t && !t->fixed.given) {
		say("%s is no static IPsec tunnel", name);
		code = EXIT_USAGE;
	} else if (t) {
		code = extend(t, &w, o);
	}
	tunnels_close(&all);
	return code;
}
