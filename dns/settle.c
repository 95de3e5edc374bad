/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * settle.c - how a change ended, decided by reading what is there
 */
#include "dns/settle.h"

#include <string.h>
#include <time.h>

#define FIRST_MS  100 /* before the second look; doubled before each further one */
#define FAILED_MS 800
#define LAST_MS	  3200

static void nap(unsigned int ms)
{
	struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

	nanosleep(&ts, NULL);
}

enum dns_changed settle_stale(const struct settle *s, const struct dns_rrset *seen, char *why)
{
	char text[256];

	snprintf(why, DNS_WHY, "%s: what is there is %s", s->title,
		 dns_rrset_text(seen, text, sizeof(text)));
	return DNS_STALE;
}

enum dns_changed settle_outcome(enum cloud_outcome out, bool reads)
{
	switch (out) {
	case CLOUD_DENIED:
		return DNS_DENIED;
	case CLOUD_UNREACHED:
		return DNS_UNREACHED;
	default:
		return reads ? DNS_UNREACHED : DNS_UNCERTAIN;
	}
}

static enum dns_changed unread(const struct settle *s, enum settle_said said, char *why)
{
	char words[DNS_WHY];

	snprintf(words, sizeof(words), "%s", why);
	snprintf(why, DNS_WHY, "%.60s: %s, and it could not be read: %.350s", s->title,
		 said == SETTLE_DONE ? "changed" : "no answer", words);
	return DNS_UNCERTAIN;
}

enum dns_changed settle(const struct settle *s, const struct dns_rrset *old,
			const struct dns_rrset *fresh, enum settle_said said,
			struct dns_rrset *seen, char *why)
{
	unsigned int last = said == SETTLE_FAILED ? FAILED_MS : LAST_MS;
	char words[DNS_WHY];

	snprintf(words, sizeof(words), "%s", why);
	for (unsigned int ms = FIRST_MS; ms <= 2 * last; ms *= 2) {
		if (s->read(s->x, fresh->name, fresh->type, seen, why) != DNS_CHANGED)
			return unread(s, said, why);
		if (s->same(fresh, seen))
			return DNS_CHANGED;
		if (said != SETTLE_DONE && !s->same(old, seen))
			return settle_stale(s, seen, why);
		if (ms <= last)
			nap(ms);
	}
	if (said == SETTLE_DONE) {
		settle_stale(s, seen, why);
		return DNS_UNCERTAIN;
	}
	snprintf(why, DNS_WHY, "%.400s; what was there is there: nothing was changed", words);
	return DNS_UNREACHED;
}
