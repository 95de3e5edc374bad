/* SPDX-License-Identifier: GPL-2.0-only */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bpf/check.h"
#include "tests/bpf/host.h"
#include "tests/bpf/story.h"

#define WORDS 24

void story_new_numbers(struct story *s)
{
	uint32_t n = s->rig->next_client * 7919 + ++s->turn * 104729;

	s->client.isn = n * 2654435761u;
	s->server.isn = (n + 1) * 2246822519u;
	s->client.next = s->client.isn;
	s->server.next = s->server.isn;
	s->client.seen = 0;
	s->server.seen = 0;
}

void story_client(struct story *s, enum rig_backend backend, double from, double to)
{
	s->backend = backend;
	s->client_end = rig_client(s->rig, s->v6, (uint32_t)(from * SHIFT_RANKS / 100),
				   (uint32_t)(to * SHIFT_RANKS / 100), backend);
	s->placed = false;
	story_new_numbers(s);
}

void story_begin(struct story *s, struct rig *rig, const struct net *net, bool v6)
{
	memset(s, 0, sizeof(*s));
	s->rig = rig;
	s->net = net;
	s->v6 = v6;
	s->listener = s->connection = s->other = -1;
	rig_reset(rig, &rig_usual);
	story_client(s, RIG_AZURE, 25, 50);
	wire_drain(net);
}

void story_end(struct story *s)
{
	host_close(s->other);
	host_close(s->connection);
	host_close(s->listener);
	net_sysctl("ipv4/tcp_syncookies", "1");
}

void story_fail(struct story *s, const char *format, ...)
{
	char text[300];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	check_fail("line %d: %s", s->line, text);
	s->over = true;
}

double story_seconds(const char *text)
{
	double sum = 0;

	do {
		char *unit;
		double n = strtod(text, &unit);

		if (unit == text)
			return -1;
		if (!strncmp(unit, "ms", 2))
			sum += n / 1000;
		else if (*unit == 's')
			sum += n;
		else if (*unit == 'm')
			sum += n * 60;
		else if (*unit == 'h')
			sum += n * 3600;
		else
			return -1;
		text = unit + (strncmp(unit, "ms", 2) ? 1 : 2);
	} while (*text);
	return sum;
}

struct end story_nat(const struct story *s, const struct shift_flow_ref *place)
{
	const struct rig_target *t = rig_target_of(s->rig, place->target);
	struct end e = {.port = (uint16_t)(RIG_PORT_LO + place->index)};

	if (t)
		memcpy(e.ip, t->nat.ip, sizeof(e.ip));
	return e;
}

struct end story_target(const struct story *s, const struct shift_flow_ref *place)
{
	const struct rig_target *t = rig_target_of(s->rig, place->target);
	struct end none = {.port = 0};

	return t ? t->address : none;
}

struct shift_flow *story_record(struct story *s)
{
	if (!s->placed)
		return NULL;
	return &s->rig->slots[s->place.target][s->place.index];
}

static void tell_line(struct story *s, char *line)
{
	char *word[WORDS], *rest = NULL;
	int words = 0;

	line[strcspn(line, "#")] = 0;
	for (char *w = strtok_r(line, " \t", &rest); w; w = strtok_r(NULL, " \t", &rest)) {
		if (words == WORDS) {
			story_fail(s, "too many words");
			return;
		}
		word[words++] = w;
	}
	if (!words)
		return;
	if (!strcmp(word[0], "client") || !strcmp(word[0], "backend"))
		story_packet(s, word, words);
	else
		story_line(s, word, words);
}

void tell(struct story *s, const char *format, ...)
{
	char text[8192], *line, *rest = text;
	va_list args;

	va_start(args, format);
	if (vsnprintf(text, sizeof(text), format, args) >= (int)sizeof(text))
		abort();
	va_end(args);
	while (!s->over && (line = strsep(&rest, "\n"))) {
		char copy[256];

		s->line++;
		snprintf(copy, sizeof(copy), "%s", line);
		tell_line(s, line);
		if (s->over)
			check_fail("line %d was: %s", s->line, copy);
	}
}

void tell_all(struct rig *rig, const struct net *net, const char *chapter, const struct tale *tales,
	      size_t n)
{
	static struct story s;

	for (size_t i = 0; i < n; i++) {
		for (int v6 = 0; v6 < 2; v6++) {
			if (tales[i].only && tales[i].only != (v6 ? 6 : 4))
				continue;
			if (!check_begin("%s: %s, IPv%d", chapter, tales[i].name, v6 ? 6 : 4))
				continue;
			story_begin(&s, rig, net, v6);
			if (tales[i].text)
				tell(&s, "%s", tales[i].text);
			if (tales[i].more && !s.over)
				tales[i].more(&s);
			story_end(&s);
			check_end();
		}
	}
}
