/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/conf/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "userspace/base/file.h"
#include "userspace/conf/schema.h"

#define MAX_SIZE (1024 * 1024)

static const struct conf_at nowhere;

void conf_free(struct config *c)
{
	if (!c)
		return;
	while (c->lists) {
		struct conf_list *next = c->lists->next;

		free(c->lists);
		c->lists = next;
	}
	free(c->text);
	free(c);
}

static struct config *make(const char *name, const char *text, size_t size)
{
	struct config *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	snprintf(c->file, sizeof(c->file), "%s", name);
	c->text = malloc(size + 1);
	if (!c->text) {
		conf_free(c);
		return NULL;
	}
	if (size)
		memcpy(c->text, text, size);
	c->text[size] = '\0';
	c->text_size = size;
	return c;
}

/* Nobody keeps the config: its text goes to the complaints, which show lines of it. */
static void hand_over_text(struct config *c, struct conf_errors *errors)
{
	free(errors->text);
	errors->text = c->text;
	errors->text_size = c->text_size;
	errors->config = NULL;
	c->text = NULL;
}

/* Which one of several is there. */
static void tell_kinds(struct config *c)
{
	for (unsigned int i = CONF_RFC2136; i < CONF_PROVIDERS; i++)
		if (c->dns.provider.given[i])
			c->dns.provider.kind = i;
	for (unsigned int i = 0; i < c->n_gates; i++) {
		struct conf_gate *g = &c->gates[i];

		g->kind = g->json_given		? CONF_GATE_JSON
			  : g->prometheus_given ? CONF_GATE_PROMETHEUS
			  : g->n_argv		? CONF_GATE_EXEC
						: CONF_GATE_KERNEL;
		if (g->kind == CONF_GATE_KERNEL)
			g->interval_ms = CONF_KERNEL_INTERVAL_MS;
	}
	for (unsigned int i = 0; i < c->n_notifies; i++)
		for (unsigned int k = 0; k < CONF_NOTIFIES; k++)
			if (c->notifies[i].given[k])
				c->notifies[i].kind = k;
}

int conf_parse(const char *name, const char *text, size_t size, struct config **ret,
	       struct conf_errors *errors)
{
	struct yaml_node *root = NULL;
	struct config *c;

	snprintf(errors->file, sizeof(errors->file), "%s", name);
	if (size > MAX_SIZE) {
		conf_complain(errors, false, nowhere, NULL, "is larger than 1 MiB");
		return -EINVAL;
	}
	c = make(name, text, size);
	if (!c) {
		conf_complain(errors, false, nowhere, NULL, "%s", strerror(ENOMEM));
		return -ENOMEM;
	}
	if (!yaml_parse(c->text, size, &root, errors)) {
		schema_read(root, c, errors);
		tell_kinds(c);
		schema_complete(c, errors);
		schema_across(c, errors);
	}
	yaml_free(root);
	if (conf_errors_count(errors)) {
		hand_over_text(c, errors);
		conf_free(c);
		return -EINVAL;
	}
	errors->config = c;
	*ret = c;
	return 0;
}

/* The whole file, of at most one byte more than is allowed. */
static int read_all(int fd, char **ret, size_t *ret_size)
{
	char *text = malloc(MAX_SIZE + 1);
	size_t size = 0;

	if (!text)
		return -ENOMEM;
	while (size <= MAX_SIZE) {
		ssize_t n = read(fd, text + size, MAX_SIZE + 1 - size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int err = -errno;

			free(text);
			return err;
		}
		if (!n)
			break;
		size += (size_t)n;
	}
	*ret = text;
	*ret_size = size;
	return 0;
}

int conf_load(const char *file, struct config **ret, struct conf_errors *errors)
{
	char why[CONF_TEXT - 64], *text = NULL;
	size_t size = 0;
	int fd, err;

	snprintf(errors->file, sizeof(errors->file), "%s", file);
	fd = file_open_safe(file, why, sizeof(why));
	if (fd < 0 && why[0]) {
		conf_complain(errors, false, nowhere, NULL, "%s%s", why,
			      fd == -EPERM ? ": whoever can change this file commands this host"
					   : "");
		return fd;
	}
	err = fd < 0 ? fd : read_all(fd, &text, &size);
	if (fd >= 0)
		close(fd);
	if (err) {
		conf_complain(errors, false, nowhere, NULL, "cannot be read: %s", strerror(-err));
		return err;
	}
	err = conf_parse(file, text, size, ret, errors);
	free(text);
	return err;
}
