/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * fuzz_notify.c - a template and what fills it in: bounded, and always JSON that says the same
 *
 * The first byte chooses event, end and kind of service; then the template, the reason and the
 * subject, with a zero between.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "userspace/conf/utf8.h"
#include "userspace/ctl/notify_inner.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* It is JSON, and the text that `path` leads to is `want` (NULL: any). */
static void check(char *body, const char *member, const char *want)
{
	json_t *j = body ? json_loads(body, 0, NULL) : NULL;
	const char *text = member ? json_string_value(json_object_get(j, member)) : NULL;

	if (!j || (want && (!text || strcmp(text, want))))
		abort();
	json_decref(j);
	free(body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct notify_entry e;
	struct notify_incident incident = {.id = "abc"};
	enum conf_notify_kind kind;
	const char *template, *status;
	char why[130], *text;

	if (!size || !(text = calloc(1, size + 3)))
		return 0;
	memcpy(text, data + 1, size - 1);
	memset(&e, 0, sizeof(e));
	e.event = (enum notice_event)(data[0] % NOTICES);
	e.over = data[0] & 64;
	kind = (enum conf_notify_kind)(data[0] / NOTICES % CONF_NOTIFIES);
	template = text;
	utf8_show(template + strlen(template) + 1, e.reason, sizeof(e.reason));
	utf8_show("api", e.service, sizeof(e.service));
	if (strlen(template) + 1 < size)
		utf8_show(template + strlen(template) + 1 +
				  strlen(template + strlen(template) + 1) + 1,
			  e.subject, sizeof(e.subject));
	if (notify_template_check(template, why, sizeof(why)))
		template = NULL;
	notify_render(&e, kind, template);
	if (strlen(e.text) >= NOTIFY_TEXT)
		abort();
	check(notify_body_slack(&e), "text", e.text);
	check(notify_body_webhook(&e), "text", e.text);
	if (notify_pages(&e))
		check(notify_body_pagerduty(&e, "key", "host"), "routing_key", "key");
	if (notify_page(&incident, &e, &status) != NOTIFY_PAGE_NOTHING)
		check(notify_body_statuspage(&e, "c1", data[0] & 128, status), NULL, NULL);
	free(text);
	return 0;
}
