/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * status_show.c - the screen, for people
 *
 * The screen is made for 80 columns, wraps where there are less, and says, from the top: what is in
 * force and by whom; where the program runs; what each arm got; how each backend does; what was
 * lost; what to do next.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/base/screen.h"
#include "userspace/base/text.h"
#include "userspace/cmd/status_inner.h"
#include "userspace/plane/control.h"
#include "userspace/plane/telemetry.h"

#define LEAST_COLUMNS 20

static const char *paint(const struct page *g, const char *code, const char *text, char ret[160])
{
	return screen_paint(g->colour, code, text, ret, 160);
}

/* ---- running text ---- */

static void new_line(struct page *g, unsigned int indent)
{
	fprintf(g->to, "\n%*s", (int)indent, "");
	g->column = indent;
}

void status_words(struct page *g, char *text, unsigned int indent)
{
	char *rest = text, *word;

	while ((word = strsep(&rest, " "))) {
		unsigned int length = screen_length(word), gap = word != text;

		if (g->column > indent && g->column + gap + length > g->columns) {
			new_line(g, indent);
			gap = 0;
		}
		fprintf(g->to, "%s%s", gap ? " " : "", word);
		g->column += gap + length;
	}
}

void status_piece(struct page *g, const char *code, const char *format, ...)
{
	char text[160], clean[160];
	unsigned int length;
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	length = screen_length(screen_clean(text, clean, sizeof(clean)));
	if (g->column && g->column + 3 + length > g->columns)
		new_line(g, 2);
	else if (g->column)
		g->column += (unsigned int)fprintf(g->to, "   ");
	if (g->colour && code)
		fprintf(g->to, "\033[%sm", code);
	status_words(g, clean, 2);
	if (g->colour && code)
		fputs("\033[0m", g->to);
}

void status_end_pieces(struct page *g)
{
	fputc('\n', g->to);
	g->column = 0;
}

static const char *ago(const struct status_view *v, uint64_t at, char ret[32])
{
	return text_duration(v->real > at ? v->real - at : 0, ret);
}

static void put_share(struct page *g)
{
	const struct status_view *v = g->v;
	const char *of = v->affinity == SHIFT_AFFINITY_CLIENT ? "clients" : "connections";
	char a[16], b[16];

	text_weight(v->weight, a);
	text_weight(v->record.weight, b);
	switch (v->source) {
	case SHIFT_FROM_CONFIRM:
		status_piece(g, SCREEN_YELLOW, "%s%% of %s (set to %s%%, not confirmed in time)", a,
			     of, b);
		break;
	case SHIFT_FROM_LEASE:
		status_piece(g, SCREEN_YELLOW, "%s%% of %s (set to %s%%, the keep-alive ended)", a,
			     of, b);
		break;
	case SHIFT_FROM_NEXT:
		status_piece(g, SCREEN_BOLD, "%s%% of %s (as scheduled; before: %s%%)", a, of, b);
		break;
	default:
		status_piece(g, SCREEN_BOLD, "%s%% of %s", a, of);
	}
}

static void put_head(struct page *g)
{
	const struct status_view *v = g->v;
	const struct shift_record *r = &v->record;
	int64_t confirm = status_seconds_left(v, r->confirm_deadline);
	int64_t start = status_seconds_left(v, r->not_before);
	int64_t lease = status_seconds_left(v, r->lease_deadline);
	char a[32], b[32];

	status_piece(g, SCREEN_BOLD, "%s", v->service);
	put_share(g);
	status_piece(g, NULL, "epoch %llu", (unsigned long long)r->epoch);
	status_piece(g, NULL, "authority %s", authority_name(r->authority));
	if (r->mode == SHIFT_MODE_SHADOW)
		status_piece(g, SCREEN_YELLOW, "SHADOW: shifts nothing");
	if (r->latched)
		status_piece(g, SCREEN_RED, "LATCHED by %.*s at %s (%s ago)", SHIFT_NAME,
			     r->latched_by, text_time(r->latched_at, a), ago(v, r->latched_at, b));
	if (v->attached && control_kept(r, v->boot))
		status_piece(g, v->silent ? SCREEN_YELLOW : NULL,
			     v->silent ? "%s%% of all, for %.*s, is not kept: %s"
				       : "kept at %s%% of all by shiftd, for %.*s%s",
			     text_weight(r->overall, b), SHIFT_NAME, r->overall_by,
			     v->silent ? v->silent : "");
	if (confirm >= 0)
		status_piece(g, SCREEN_YELLOW, "confirm: %s left, then %s%%",
			     text_duration((uint64_t)confirm * 1000000000, a),
			     text_weight(r->confirm_weight, b));
	if (start >= 0)
		status_piece(g, NULL, "%s%% in %s", text_weight(r->next_weight, b),
			     text_duration((uint64_t)start * 1000000000, a));
	if (lease >= 0 && r->lease_action == SHIFT_LEASE_FALLBACK)
		status_piece(g, NULL, "keep-alive: %s left, then %s%%",
			     text_duration((uint64_t)lease * 1000000000, a),
			     text_weight(r->lease_weight, b));
	if (r->locked_at)
		status_piece(g, SCREEN_YELLOW, "locked by %.*s (%s ago)%s%.*s", SHIFT_NAME,
			     r->locked_by, ago(v, r->locked_at, a), r->lock_reason[0] ? ": " : "",
			     SHIFT_REASON, r->lock_reason);
	status_end_pieces(g);
}

static void put_last_change(struct page *g)
{
	const struct status_view *v = g->v;
	const struct shift_record *r = &v->record;
	char a[32];

	if (!v->attached || !v->has_record || !r->set_by[0])
		return;
	status_piece(g, SCREEN_DIM, "changed by %.*s %s ago%s%.*s", SHIFT_NAME, r->set_by,
		     ago(v, r->set_at, a), r->reason[0] ? ": " : "", SHIFT_REASON, r->reason);
	status_end_pieces(g);
}

/* ---- the tree ---- */

/* The increase a second since the last frame; "" in the first. */
static const char *rate(const struct page *g, uint64_t now, uint64_t then, char ret[24])
{
	double seconds;

	ret[0] = '\0';
	if (!g->before || !g->before->view || now < then)
		return ret;
	seconds = (double)(g->v->taken - g->before->view->taken) / 1e9;
	if (seconds > 0.01)
		snprintf(ret, 24, "%.1f", (double)(now - then) / seconds);
	return ret;
}

static const struct status_backend *backend_before(const struct page *g, uint32_t id)
{
	const struct status_view *b = g->before ? g->before->view : NULL;

	for (unsigned int i = 0; b && i < b->backends; i++) {
		if (b->backend[i].id == id)
			return &b->backend[i];
	}
	return NULL;
}

static void put_interfaces(struct page *g, unsigned int indent)
{
	const struct status_view *v = g->v;
	struct table t = {.width = {indent}};
	char a[32], b[160], hook[64];

	table_head(&t, "||");
	for (unsigned int n = 0; n < v->interfaces; n++) {
		const struct status_interface *i = &v->interface[n];

		if (i->attached)
			paint(g, SCREEN_GREEN, "attached", b);
		else
			paint(g, SCREEN_RED, i->exists ? "NOT ATTACHED" : "GONE", b);
		snprintf(hook, sizeof(hook), "%s%s%s%s", status_hook_names[i->hook & 3],
			 i->xdp	       ? " + xdp "
			 : i->xdp_lost ? ", XDP gone: apply"
				       : "",
			 i->xdp ? status_xdp_names[i->xdp % 3] : "",
			 i->attached && !i->watched ? ", egress gone: apply" : "");
		table_row(&t, "%s%s\t%s\t%s\t%s packets in 10 s", g->branch, i->name, hook, b,
			  text_count(i->packets_10s, a));
	}
	table_print(&t, g->to);
	table_free(&t);
}

static const char *share(uint64_t part, uint64_t whole, char ret[16])
{
	if (whole)
		snprintf(ret, 16, "%.1f%%", 100.0 * (double)part / (double)whole);
	else
		snprintf(ret, 16, "-");
	return ret;
}

static const char *health(const struct page *g, enum status_health h, char ret[160])
{
	switch (h) {
	case STATUS_DOWN:
		return paint(g, SCREEN_RED, "DOWN", ret);
	case STATUS_UP:
		return paint(g, SCREEN_GREEN, "up", ret);
	default:
		return paint(g, SCREEN_DIM, "-", ret);
	}
}

static const char *usable(const struct page *g, char ret[160])
{
	unsigned int n = status_usable_backends(g->v);
	const char *code = n ? SCREEN_YELLOW : SCREEN_RED;
	char text[32];

	if (n == g->v->backends)
		code = SCREEN_GREEN;
	snprintf(text, sizeof(text), "%u of %u usable", n, g->v->backends);
	return paint(g, code, text, ret);
}

/*
 * "Of all" is since attach, under every share there was. While watching, "seen now" is of what came
 * since the share last changed or the watch began, and may be held against the share that is asked.
 */
static void put_arms(struct page *g, unsigned int indent)
{
	const struct status_view *v = g->v, *b = g->before ? g->before->view : NULL;
	uint64_t old = v->stats.connections_old, new = v->stats.connections_new;
	uint64_t old_seen = old - (b ? g->before->old_base : 0);
	uint64_t new_seen = new - (b ? g->before->new_base : 0);
	char c[32], s[16], w[16], bytes[16], r[24], up[160];
	struct table t = {.width = {indent}, .dim = g->colour};

	table_head(&t, b ? "||>connections|>seen now|>asked|>per s|>active|>bytes"
			 : "||>connections|>of all|>asked|>|>active|>bytes");
	table_row(&t, "%sold\t%s\t%s\t%s\t%s%%\t%s", g->branch, health(g, v->old_health, up),
		  text_count(old, c), share(old_seen, old_seen + new_seen, s),
		  text_weight(SHIFT_WEIGHT_MAX - v->weight, w),
		  rate(g, old, b ? b->stats.connections_old : 0, r));
	table_row(&t, "%snew\t%s\t%s\t%s\t%s%%\t%s\t%u\t%s", g->last, usable(g, up),
		  text_count(new, c), share(new_seen, old_seen + new_seen, s),
		  text_weight(v->weight, w), rate(g, new, b ? b->stats.connections_new : 0, r),
		  v->active, screen_bytes(v->new_bytes, bytes));
	table_print(&t, g->to);
	table_free(&t);
}

/* The backend's address, if it has just one. */
static const struct status_address *only_address(const struct status_view *v, unsigned int backend)
{
	const struct status_address *found = NULL;

	for (unsigned int i = 0; i < v->addresses; i++) {
		if (v->address[i].backend != backend)
			continue;
		if (found || v->address[i].no_route)
			return NULL;
		found = &v->address[i];
	}
	return found;
}

/* Below its backend's row, as many to a line as there is room for. */
static void add_addresses(const struct page *g, struct table *t, unsigned int backend)
{
	const char *trunk = backend + 1 == g->v->backends ? "   " : g->trunk;
	char line[STATUS_COLUMNS * 4], piece_of[96], painted[160];
	unsigned int column = 0;
	size_t used = 0;

	for (unsigned int i = 0; i < g->v->addresses; i++) {
		const struct status_address *a = &g->v->address[i];
		unsigned int length;
		char text[64];

		if (a->backend != backend)
			continue;
		snprintf(piece_of, sizeof(piece_of), "%s%s",
			 text_address(a->address, a->port, text), a->no_route ? " NO ROUTE" : "");
		length = (unsigned int)strlen(piece_of);
		if (column && column + 2 + length > g->columns) {
			table_line(t, line);
			column = 0;
		}
		if (!column) {
			used = (size_t)snprintf(line, sizeof(line), "   %s   ", trunk);
			column = 9;
		} else {
			used += (size_t)snprintf(line + used, sizeof(line) - used, "  ");
			column += 2;
		}
		column += length;
		used += (size_t)snprintf(
			line + used, sizeof(line) - used, "%s",
			paint(g, a->no_route ? SCREEN_RED : SCREEN_DIM, piece_of, painted));
	}
	if (column)
		table_line(t, line);
}

static void add_backend(const struct page *g, struct table *t, unsigned int i, bool beside)
{
	const struct status_backend *b = &g->v->backend[i], *before = backend_before(g, b->id);
	const struct status_address *a = beside ? only_address(g->v, i) : NULL;
	char address[72] = "", up[160], c[32], f[160], r[24], p50[16], p95[16], p99[16];
	uint64_t then = before ? before->stats.connections : ~0ull;

	if (a)
		text_address(a->address, a->port, address);
	if (beside)
		strcat(address, "\t");
	text_count(b->stats.handshake_failures, c);
	paint(g, b->stats.handshake_failures ? SCREEN_YELLOW : SCREEN_DIM, c, f);
	table_row(t, "   %s%s\t%s%s\t%u\t%s\t%s\t%u\t%s\t%s\t%s\t%s",
		  i + 1 == g->v->backends ? g->last : g->branch, b->name, address,
		  b->draining  ? paint(g, SCREEN_YELLOW, "drain", up)
		  : b->breaker ? paint(g, SCREEN_RED, "BREAKER", up)
			       : health(g, b->health, up),
		  b->weight, text_count(b->stats.connections, c),
		  rate(g, b->stats.connections, then, r), b->active,
		  status_milliseconds(b->stats.handshake, 0.50, p50),
		  status_milliseconds(b->stats.handshake, 0.95, p95),
		  status_milliseconds(b->stats.handshake, 0.99, p99), f);
	if (!a && !g->brief)
		add_addresses(g, t, i);
}

/* With the addresses in a column of their own, if that fits. */
static void put_backends(struct page *g)
{
	bool rates = g->before && g->before->view, beside = false;
	char head[128];
	struct table t;

	for (unsigned int i = 0; i < g->v->backends && !g->brief; i++)
		beside |= only_address(g->v, i) != NULL;
	for (;;) {
		t = (struct table){.dim = g->colour};
		snprintf(head, sizeof(head),
			 "%s|health|>weight|>new|>%s|>active|>p50|>p95|>p99 ms|>failed",
			 beside ? "|address" : "", rates ? "per s" : "");
		table_head(&t, head);
		for (unsigned int i = 0; i < g->v->backends; i++)
			add_backend(g, &t, i, beside);
		if (table_width(&t) > g->columns)
			t.gap = 1;
		if (!beside || table_width(&t) <= g->columns)
			break;
		table_free(&t);
		beside = false;
	}
	table_print(&t, g->to);
	table_free(&t);
}

/* ---- below the tree ---- */

static void put_counts(struct page *g, const char *title, const char *code, const uint64_t *count,
		       const char *const *names, int n)
{
	bool any = false;
	char c[32];

	for (int i = 0; i < n; i++) {
		if (!count[i])
			continue;
		if (!any)
			status_piece(g, code, "%s", title);
		any = true;
		status_piece(g, code, "%s %s", text_count(count[i], c), names[i]);
	}
	if (any)
		status_end_pieces(g);
}

static void put_losses(struct page *g)
{
	static const char *const verdicts[] = SHIFT_VERDICT_NAMES;
	static const char *const fallbacks[] = SHIFT_FALLBACK_NAMES;
	uint64_t fallback[SHIFT_FALLBACKS];
	char c[32];

	for (int i = 0; i < SHIFT_FALLBACKS; i++)
		fallback[i] = g->v->stats.fallback[i];
	put_counts(g, "served by old instead:", SCREEN_YELLOW, fallback, fallbacks,
		   SHIFT_FALLBACKS);
	put_counts(g, "packets lost on these interfaces:", SCREEN_RED, g->v->drops, verdicts,
		   SHIFT_VERDICTS);
	if (g->v->stats.bypassed)
		status_piece(g, SCREEN_DIM, "bypassed: %s", text_count(g->v->stats.bypassed, c));
	if (g->v->pins)
		status_piece(g, SCREEN_DIM, "%u pin%s", g->v->pins, g->v->pins == 1 ? "" : "s");
	if (g->v->pins_suspended)
		status_piece(g, SCREEN_YELLOW, "%u suspended by the rollback",
			     g->v->pins_suspended);
	if (g->v->stats.bypassed || g->v->pins)
		status_end_pieces(g);
}

static void put_next(struct page *g)
{
	bool back = status_ramp_has_back(g->v->ramp);
	char next[256], text[272];

	status_next(g->v, next, sizeof(next));
	snprintf(text, sizeof(text), "next: %s", next);
	status_words(g, text, 6);
	status_end_pieces(g);
	if (g->v->attached && g->v->weight && !strstr(next, "rollback")) {
		snprintf(text, sizeof(text), "undo: %sshiftctl rollback%s%s",
			 back ? "shiftctl ramp back (one stage), " : "", back ? " (all)" : "",
			 g->v->record.authority == SHIFT_AUTHORITY_NEW
				 ? " (later writes are NOT on old)"
				 : "");
		status_words(g, text, 6);
		status_end_pieces(g);
	}
}

/* ---- when nothing runs ---- */

static void put_saved(struct page *g)
{
	const struct state *s = &g->v->state;
	char a[32], b[32], path[120] = "?";

	status_piece(g, SCREEN_BOLD, "%s", *g->v->service ? g->v->service : "no service");
	status_piece(g, SCREEN_RED, "NOT ATTACHED");
	if (g->v->others[0])
		status_piece(g, SCREEN_YELLOW, "attached here: %s", g->v->others);
	else
		status_piece(g, NULL, "every connection stays with this host");
	status_end_pieces(g);
	if (g->v->unreadable) {
		state_path(g->v->service, path, sizeof(path));
		status_piece(g, SCREEN_RED, "saved: %s %s", path,
			     g->v->unreadable == -EBADMSG ? "is damaged"
							  : strerror(-g->v->unreadable));
		status_end_pieces(g);
	}
	if (!g->v->saved)
		return;
	status_piece(g, NULL, "saved: %s%%", text_weight(s->weight, a));
	status_piece(g, NULL, "epoch %llu", (unsigned long long)s->epoch);
	status_piece(g, NULL, "authority %s", authority_name(s->authority));
	if (s->latched)
		status_piece(g, SCREEN_RED, "LATCHED by %s at %s", s->latched_by,
			     text_time(s->latched_at, a));
	if (s->locked_at)
		status_piece(g, SCREEN_YELLOW, "locked by %s (%s ago)%s%s", s->locked_by,
			     ago(g->v, s->locked_at, b), s->lock_reason[0] ? ": " : "",
			     s->lock_reason);
	if (g->v->loaded)
		status_piece(g, SCREEN_DIM, "apply goes on with it");
	else if (s->authority == SHIFT_AUTHORITY_NEW)
		status_piece(g, SCREEN_DIM, "apply brings it back");
	else
		status_piece(g, SCREEN_DIM, "after apply, on_boot decides about the share");
	status_end_pieces(g);
}

/* ---- all of it ---- */

static void put_top(struct page *g)
{
	if (g->v->attached)
		put_head(g);
	else
		put_saved(g);
	status_ramp_show(g);
}

static void put_middle(struct page *g)
{
	unsigned int indent = 6;

	put_last_change(g);
	status_ramp_gates(g);
	if (!g->v->loaded)
		return;
	for (unsigned int i = 0; i < g->v->interfaces; i++) {
		if (strlen(g->v->interface[i].name) + 3 > indent)
			indent = (unsigned int)strlen(g->v->interface[i].name) + 3;
	}
	put_interfaces(g, indent);
	put_arms(g, indent);
	if (g->v->backends)
		put_backends(g);
	status_answers_show(g->v, g->colour, g->to);
	put_losses(g);
}

void status_screen(const struct status_view *v, const struct status_before *before,
		   const struct status_style *style, FILE *to)
{
	static void (*const put[3])(struct page *) = {put_top, put_middle, put_next};
	bool utf8 = screen_utf8();
	struct page g = {.v = v,
			 .before = before,
			 .branch = utf8 ? "├─ " : "|- ",
			 .last = utf8 ? "└─ " : "`- ",
			 .trunk = utf8 ? "│  " : "|  ",
			 .colour = style->colour,
			 .brief = style->brief,
			 .columns = STATUS_COLUMNS,
			 .wide = style->columns,
			 .to = to};
	char *part[3] = {NULL};
	size_t size;

	if (style->columns && style->columns < STATUS_COLUMNS)
		g.columns = style->columns < LEAST_COLUMNS ? LEAST_COLUMNS : style->columns;
	for (int i = 0; i < 3; i++) {
		if (style->rows)
			g.to = open_memstream(&part[i], &size);
		if (!g.to)
			break;
		put[i](&g);
		if (style->rows)
			fclose(g.to);
	}
	if (part[2])
		screen_fit(part, style->rows, to);
	for (int i = 0; i < 3; i++)
		free(part[i]);
}
