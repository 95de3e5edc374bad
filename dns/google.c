/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * google.c - Google Cloud DNS: changes.create, which compares by value
 *
 * Owns the protocol of the v1 REST API: one Change deletes exactly the old record set and adds the
 * new one, and the service refuses it (412 conditionNotMet) when the deletion is not what it has,
 * to the TTL and the routing policy. So the comparison is the service's and there is no moment
 * between it and the change.
 *
 * Members with weights are one record set with a `wrr` policy, an item for each. A set that others
 * made may have several addresses in one item: those share a set_id (the least of them), so that
 * the deletion, and the way back, repeat the policy as it was. What this program could not write
 * again (geo, primary-backup, health checks, weights that are no whole numbers) is refused when it
 * is read.
 *
 * How it fails: 401 and 403 are DNS_DENIED, but for the 403s by which Google says "too fast";
 * a refused precondition and a lost answer are decided by reading. Afterwards the set is read back.
 * "done" means that the change was sent to the name servers, not that they serve it: the sweep of
 * the authorities says that.
 *
 * Follows the API's discovery document (dns:v1). Weakness: after a lost
 * answer the change's number is looked for among the newest twenty; of a deletion it is not.
 */
#include "dns/google.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dns/change.h"
#include "dns/cloud.h"
#include "dns/settle.h"
#include "dns/token.h"
#include "dns/value.h"
#include "userspace/conf/config.h"

#define OWN_ENDPOINT "https://dns.googleapis.com"
#define MAX_PAGES    50
#define MS	     1000000
#define PATIENCE_MS  60000

struct google {
	struct cloud cloud;
	struct token *token;
	bool zone_fits;						  /* it is known to hold the name */
	char zone[2 * CONF_TEXT + 3 * CONF_TEXT + 3 * CONF_HOST]; /* the managed zone's URL */
};

static const char *const headers[] = {
	"Content-Type: application/json",
	"Accept: application/json",
	NULL,
};

/* ---- calls ---- */

static void nap(unsigned int ms)
{
	struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * MS};

	nanosleep(&ts, NULL);
}

static enum cloud_outcome call_google(struct google *g, const char *method, const char *url,
				      const char *body, struct http_reply *ret, char *why)
{
	struct cloud_call call = {
		.method = method, .url = url, .headers = headers, .body = body, .reads = !body};
	uint64_t patience_ms = g->cloud.patience_ns ? g->cloud.patience_ns / MS : PATIENCE_MS;
	uint64_t waited = 0;
	enum cloud_outcome out;

	for (unsigned int ms = 500;; ms = ms < 4000 ? 2 * ms : ms) {
		out = token_call(g->token, &g->cloud, &call, google_too_fast, ret, why);
		if (out != CLOUD_DENIED || !google_too_fast(ret))
			break;
		google_words(g->cloud.conf, ret, why);
		out = CLOUD_UNREACHED;
		if (waited + ms > patience_ms)
			break;
		http_reply_free(ret);
		nap(ms);
		waited += ms;
	}
	if (out == CLOUD_DENIED && ret->body)
		google_words(g->cloud.conf, ret, why);
	return out;
}

/* One page; the set when it is on it, as the service wrote it, in *ret_raw. */
static enum dns_changed read_page(struct google *g, const char *url, struct dns_rrset *ret,
				  json_t **ret_raw, char *next, size_t size, char *why)
{
	struct http_reply r = {0};
	enum cloud_outcome out = call_google(g, "GET", url, NULL, &r, why);
	json_t *o = NULL, *set, *list;
	enum dns_changed how = DNS_CHANGED;
	char type[16];
	size_t i;

	if (out != CLOUD_ANSWERED) {
		http_reply_free(&r);
		return settle_outcome(out, true);
	}
	if (r.status == 200)
		o = json_loadb(r.body, r.size, 0, NULL);
	list = json_object_get(o, "rrsets");
	if (r.status != 200 || !o || (list && !json_is_array(list))) {
		if (r.status == 200)
			snprintf(why, DNS_WHY,
				 "Google Cloud DNS: what it answered is no list of "
				 "record sets");
		else
			google_words(g->cloud.conf, &r, why);
		how = DNS_REJECTED;
	}
	for (i = 0; how == DNS_CHANGED && i < json_array_size(list); i++) {
		const char *name, *kind;
		char canonical[DNS_NAME];

		set = json_array_get(list, i);
		name = json_string_value(json_object_get(set, "name"));
		kind = json_string_value(json_object_get(set, "type"));
		if (!name || !kind || dns_name(name, canonical) || strcmp(canonical, ret->name) ||
		    strcmp(kind, dns_type_text(ret->type, type)))
			continue;
		json_decref(*ret_raw);
		*ret_raw = json_incref(set);
		ret->n = 0;
		if (google_rrset(set, ret, why))
			how = DNS_REJECTED;
	}
	snprintf(next, size, "%s",
		 json_is_string(json_object_get(o, "nextPageToken"))
			 ? json_string_value(json_object_get(o, "nextPageToken"))
			 : "");
	json_decref(o);
	http_reply_free(&r);
	return how;
}

/* *ret_raw: what the caller drops; NULL: there is no such set. */
static enum dns_changed read_set(struct google *g, const char *name, uint16_t type,
				 struct dns_rrset *ret, json_t **ret_raw, char *why)
{
	char url[sizeof(g->zone) + 3 * DNS_NAME + 2048], escaped[3 * DNS_NAME], text[16];
	char page[512] = "", token[3 * sizeof(page)] = "";
	enum dns_changed how = DNS_CHANGED;

	*ret_raw = NULL;
	dns_value_start(ret, name, type);
	if (!dns_value_known(type) || cloud_escape(name, escaped, sizeof(escaped))) {
		snprintf(why, DNS_WHY,
			 "Google Cloud DNS: records of type %s are not ours to change",
			 dns_type_text(type, text));
		return DNS_REJECTED;
	}
	for (unsigned int i = 0; i < MAX_PAGES && how == DNS_CHANGED; i++) {
		if (cloud_escape(page, token, sizeof(token)))
			break;
		snprintf(url, sizeof(url), "%s/rrsets?name=%s&type=%s%s%s", g->zone, escaped,
			 dns_type_text(type, text), token[0] ? "&pageToken=" : "", token);
		how = read_page(g, url, ret, ret_raw, page, sizeof(page), why);
		if (*ret_raw || !page[0])
			return how;
	}
	if (how == DNS_CHANGED) {
		snprintf(why, DNS_WHY, "Google Cloud DNS: its list of record sets has no end");
		how = DNS_REJECTED;
	}
	return how;
}

/*
 * There is no such record set: or is the zone another one? Who may not look at the zone itself is
 * not kept from reading its records.
 */
static enum dns_changed look_at_zone(struct google *g, const char *name, char *why)
{
	struct http_reply r = {0};
	enum cloud_outcome out = call_google(g, "GET", g->zone, NULL, &r, why);
	json_t *o = out == CLOUD_ANSWERED && r.status == 200 ? json_loadb(r.body, r.size, 0, NULL)
							     : NULL;
	const char *text = json_string_value(json_object_get(o, "dnsName"));
	enum dns_changed how = DNS_CHANGED;
	char zone[DNS_NAME];

	if (text && !dns_name(text, zone) && !dns_below(name, zone)) {
		snprintf(why, DNS_WHY,
			 "Google Cloud DNS: %.150s is not in the managed zone %.100s, which is "
			 "%.150s",
			 name, g->cloud.conf->zone, zone);
		how = DNS_REJECTED;
	}
	json_decref(o);
	http_reply_free(&r);
	g->zone_fits = how == DNS_CHANGED;
	return how;
}

static enum dns_changed google_read(void *x, const char *name, uint16_t type, struct dns_rrset *ret,
				    char *why)
{
	struct google *g = x;
	json_t *raw;
	enum dns_changed how = read_set(g, name, type, ret, &raw, why);

	if (how == DNS_CHANGED && !raw && !g->zone_fits)
		how = look_at_zone(g, name, why);
	json_decref(raw);
	return how;
}

static struct settle settle_of(struct google *g)
{
	return (struct settle){"Google Cloud DNS", g, google_read, google_same};
}

/* ---- the change ---- */

static enum dns_changed fit(const struct dns_rrset *old, const struct dns_rrset *fresh, char *why)
{
	const struct dns_rrset *both[] = {old, fresh};
	const char *wrong = NULL;

	if (!old->n && !fresh->n)
		wrong = "nothing is to be made of nothing";
	if (strcmp(old->name, fresh->name) || old->type != fresh->type)
		wrong = "old and new are not of one name and type";
	if (!dns_value_known(fresh->type))
		wrong = "only A, AAAA and CNAME are ours to change";
	for (unsigned int i = 0; i < 2; i++)
		for (unsigned int j = 1; j < both[i]->n; j++)
			if (both[i]->member[j].weighted != both[i]->member[0].weighted)
				wrong = "either all of a set have a weight, or none";
	if (!wrong)
		return DNS_CHANGED;
	snprintf(why, DNS_WHY, "Google Cloud DNS: %s", wrong);
	return DNS_REJECTED;
}

static bool adds(json_t *change, const struct dns_rrset *fresh)
{
	json_t *set = json_array_get(json_object_get(change, "additions"), 0);
	const char *name = json_string_value(json_object_get(set, "name"));
	const char *kind = json_string_value(json_object_get(set, "type"));
	char canonical[DNS_NAME], why[DNS_WHY], type[16];
	struct dns_rrset r;

	if (!name || !kind || dns_name(name, canonical) || strcmp(canonical, fresh->name) ||
	    strcmp(kind, dns_type_text(fresh->type, type)))
		return false;
	dns_value_start(&r, canonical, fresh->type);
	return !google_rrset(set, &r, why) && google_same(fresh, &r);
}

/* The number of a change whose answer was lost: the newest that adds the new set. It stays "" when
 * there is none to be found, and nobody can wait for it then. */
static void find_id(struct google *g, const struct dns_rrset *fresh, char *id)
{
	char url[sizeof(g->zone) + 128], why[DNS_WHY];
	struct http_reply r = {0};
	const char *text;
	json_t *o = NULL, *list, *change;
	size_t i;

	snprintf(url, sizeof(url),
		 "%s/changes?maxResults=20&sortBy=changeSequence&sortOrder=descending", g->zone);
	if (call_google(g, "GET", url, NULL, &r, why) == CLOUD_ANSWERED && r.status == 200)
		o = json_loadb(r.body, r.size, 0, NULL);
	list = json_object_get(o, "changes");
	json_array_foreach (list, i, change) {
		text = json_string_value(json_object_get(change, "id"));
		if (!text || strlen(text) >= 128 || !adds(change, fresh))
			continue;
		snprintf(id, 128, "%s", text);
		break;
	}
	json_decref(o);
	http_reply_free(&r);
}

static bool take_id(const struct http_reply *r, char *id)
{
	json_t *o = json_loadb(r->body, r->size, 0, NULL);
	const char *text = json_string_value(json_object_get(o, "id"));
	bool good = text && *text && strlen(text) < 128;

	if (good)
		snprintf(id, 128, "%s", text);
	json_decref(o);
	return good;
}

/* One POST. -EAGAIN: the precondition was not met though the value is the same: *exact is how the
 * service writes it. */
static int post(struct google *g, const struct dns_rrset *old, const struct dns_rrset *fresh,
		json_t **exact, char *id, struct dns_rrset *seen, char *why)
{
	char url[sizeof(g->zone) + 16], words[DNS_WHY], *body = google_change(old, fresh, *exact);
	const struct settle s = settle_of(g);
	struct http_reply r = {0};
	enum cloud_outcome out;
	enum dns_changed how;
	json_t *raw = NULL;

	if (!body) {
		snprintf(why, DNS_WHY, "Google Cloud DNS: %s", strerror(ENOMEM));
		return DNS_REJECTED;
	}
	snprintf(url, sizeof(url), "%s/changes", g->zone);
	out = call_google(g, "POST", url, body, &r, why);
	free(body);
	if (out == CLOUD_LOST || (out == CLOUD_ANSWERED && r.status == 200)) {
		enum settle_said said = r.status ? SETTLE_FAILED : SETTLE_NOTHING;

		if (out == CLOUD_ANSWERED)
			said = take_id(&r, id) ? SETTLE_DONE : SETTLE_NOTHING;
		http_reply_free(&r);
		how = settle(&s, old, fresh, said, seen, why);
		if (how == DNS_CHANGED && !id[0] && fresh->n)
			find_id(g, fresh, id);
		return how;
	}
	if (out != CLOUD_ANSWERED) {
		http_reply_free(&r);
		return settle_outcome(out, false);
	}
	google_words(g->cloud.conf, &r, words);
	/* 404: of the zone, or of the set that is to be deleted. */
	if (r.status != 404 && r.status != 409 && r.status != 412) {
		http_reply_free(&r);
		snprintf(why, DNS_WHY, "%s", words);
		return DNS_REJECTED;
	}
	http_reply_free(&r);
	how = read_set(g, old->name, old->type, seen, &raw, why);
	if (how == DNS_CHANGED && google_same(old, seen)) {
		snprintf(why, DNS_WHY, "%s", words);
		if (raw && !*exact) {
			*exact = raw;
			return -EAGAIN;
		}
		how = DNS_REJECTED;
	} else if (how == DNS_CHANGED) {
		how = settle_stale(&s, seen, why);
	}
	json_decref(raw);
	return how;
}

static enum dns_changed google_apply(void *x, const struct dns_rrset *old,
				     const struct dns_rrset *fresh, char *id,
				     struct dns_rrset *seen, char *why)
{
	struct google *g = x;
	json_t *exact = NULL;
	int how = fit(old, fresh, why);

	id[0] = '\0';
	if (how != DNS_CHANGED)
		return how;
	how = post(g, old, fresh, &exact, id, seen, why);
	if (how == -EAGAIN)
		how = post(g, old, fresh, &exact, id, seen, why);
	json_decref(exact);
	return how;
}

static void google_show(void *x, const struct dns_rrset *old, const struct dns_rrset *fresh,
			FILE *to)
{
	struct google *g = x;
	char url[sizeof(g->zone) + 16], why[DNS_WHY], *body;

	if (fit(old, fresh, why) != DNS_CHANGED) {
		fprintf(to, "nothing: %s\n", why);
		return;
	}
	snprintf(url, sizeof(url), "%s/changes", g->zone);
	body = google_change(old, fresh, NULL);
	if (body)
		dns_value_show(to, "POST", url, headers, body);
	free(body);
}

static int google_done(void *x, const char *id, char *why)
{
	struct google *g = x;
	char url[sizeof(g->zone) + 512], escaped[400];
	struct http_reply r = {0};
	const char *status;
	json_t *o;
	int err;

	if (cloud_escape(id, escaped, sizeof(escaped)))
		return -EINVAL;
	snprintf(url, sizeof(url), "%s/changes/%s", g->zone, escaped);
	switch (call_google(g, "GET", url, NULL, &r, why)) {
	case CLOUD_ANSWERED:
		break;
	case CLOUD_DENIED:
		http_reply_free(&r);
		return -EACCES;
	default:
		http_reply_free(&r);
		return -EHOSTUNREACH;
	}
	o = r.status == 200 ? json_loadb(r.body, r.size, 0, NULL) : NULL;
	status = json_string_value(json_object_get(o, "status"));
	if (status && !strcmp(status, "done")) {
		err = 0;
	} else if (status && !strcmp(status, "pending")) {
		err = -EAGAIN;
	} else {
		google_words(g->cloud.conf, &r, why);
		err = r.status == 404 ? -ENOENT : -EPROTO;
	}
	json_decref(o);
	http_reply_free(&r);
	return err;
}

static void google_close(void *x)
{
	struct google *g = x;

	if (!g)
		return;
	token_close(g->token);
	free(g);
}

static int google_open(const struct conf_provider *c, const char *name, void **ret, char *why)
{
	char project[3 * sizeof(c->project)], zone[3 * sizeof(c->zone)];
	struct google *g = calloc(1, sizeof(*g));
	int err;

	(void)name;
	if (!g)
		return -ENOMEM;
	g->cloud = (struct cloud){.title = "Google Cloud DNS", .conf = c};
	if (cloud_escape(c->project, project, sizeof(project)) ||
	    cloud_escape(c->zone, zone, sizeof(zone))) {
		google_close(g);
		return -EINVAL;
	}
	snprintf(g->zone, sizeof(g->zone), "%s/dns/v1/projects/%s/managedZones/%s",
		 cloud_endpoint(c, OWN_ENDPOINT), project, zone);
	err = token_open_google(&g->cloud, c->key_file, &g->token, why);
	if (err) {
		google_close(g);
		return err;
	}
	*ret = g;
	return 0;
}

const struct dns_provider_class dns_google = {
	.name = "google",
	.title = "Google Cloud DNS",
	.atomic = true,
	.weights = true,
	.open = google_open,
	.close = google_close,
	.read = google_read,
	.show = google_show,
	.apply = google_apply,
	.done = google_done,
};
