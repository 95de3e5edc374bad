/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * status.c - `status`: what is in force, asked of the kernel
 *
 * A service that is asked for by name (-s, or the configuration) gets its view also when nothing is
 * attached: then what was saved on disk is all there is. Without a name the screen shows every
 * service of this namespace; JSON is of one, so several need a name there.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/base/screen.h"
#include "userspace/cmd/status.h"
#include "userspace/cmd/verbs.h"

struct watch {
	const struct options *o;
	bool line, json, again;
	struct status_view *view[2][SHIFT_MAX_SERVICES]; /* this frame's and the last one's */
	unsigned int views[2];
	struct status_before before[SHIFT_MAX_SERVICES];
	struct status_ramp ramp[SHIFT_MAX_SERVICES];
	int now; /* which of the two is this frame's */
};

static struct status_view *add_view(struct watch *w)
{
	unsigned int n = w->views[w->now];
	struct status_view **v = &w->view[w->now][n];

	if (n == SHIFT_MAX_SERVICES)
		return NULL;
	if (!*v)
		*v = malloc(sizeof(**v));
	if (*v)
		w->views[w->now]++;
	return *v;
}

/* The service that was asked for. It may be known on disk only, or not at all. */
static int view_named(struct watch *w, const struct plane *p, const char *name)
{
	struct status_view *v = add_view(w);
	int id = p->control ? plane_service_by_name(p, name) : -ENOENT;

	if (!v)
		return -ENOMEM;
	if (id >= 0)
		return status_look(p, (uint32_t)id, v);
	status_look_saved(name, v);
	if (p->control)
		status_services(p, v->others, sizeof(v->others));
	return 0;
}

static int view_all(struct watch *w, const struct plane *p)
{
	for (uint32_t id = 0; id < SHIFT_MAX_SERVICES; id++) {
		struct shift_service s;
		struct status_view *v;
		int err;

		if (plane_service(p, id, &s) || !(s.flags & SHIFT_SERVICE_USED))
			continue;
		v = add_view(w);
		err = v ? status_look(p, id, v) : -ENOMEM;
		if (err)
			return err;
	}
	return 0;
}

/* Nothing is loaded and nobody named a service: every one that was saved, or an empty view. JSON is
 * of one: of several that are not attached it says just that. */
static int view_saved(struct watch *w)
{
	char names[SHIFT_MAX_SERVICES][SHIFT_NAME];
	int n = state_services(names, SHIFT_MAX_SERVICES);

	if (w->json && n > 1)
		n = 0;
	for (int i = 0; i < n || !i; i++) {
		struct status_view *v = add_view(w);

		if (!v)
			return -ENOMEM;
		status_look_saved(n ? names[i] : "", v);
	}
	return 0;
}

static void look_at_ramps(struct watch *w)
{
	json_t *answer;
	int err = status_ramp_ask(&answer);

	for (unsigned int i = 0; i < w->views[w->now]; i++) {
		struct status_view *v = w->view[w->now][i];
		struct status_ramp *r = &w->ramp[i];

		status_ramp_drop(r);
		status_ramp_of(answer, err, v->service, r);
		v->ramp = r->is ? r : NULL;
		v->silent = answer ? NULL : r->why;
	}
	json_decref(answer);
}

static int look(struct watch *w)
{
	char configured[SHIFT_NAME * 2];
	const char *name = w->o->service;
	struct plane p;
	int err;

	w->views[w->now] = 0;
	if (!name && configured_service(w->o, configured, sizeof(configured)))
		name = configured;
	err = plane_find(&p);
	if (err && err != -ENOENT)
		goto out;
	if (name)
		err = view_named(w, &p, name);
	else
		err = p.control ? view_all(w, &p) : view_saved(w);
	if (!err && !w->views[w->now])
		err = view_saved(w);
out:
	plane_close(&p);
	if (!err)
		look_at_ramps(w);
	return err;
}

/* What the last frame saw of the same service. */
static void find_before(struct watch *w, unsigned int i)
{
	const struct status_view *v = w->view[w->now][i];
	struct status_before *b = &w->before[i];

	for (unsigned int n = 0; n < w->views[!w->now]; n++) {
		const struct status_view *was = w->view[!w->now][n];

		if (strcmp(was->service, v->service))
			continue;
		if (!b->view || was->weight != v->weight ||
		    v->stats.connections_old < b->old_base ||
		    v->stats.connections_new < b->new_base) {
			b->old_base = was->stats.connections_old;
			b->new_base = was->stats.connections_new;
		}
		b->view = was;
		return;
	}
	b->view = NULL;
}

static void show_json(const struct status_view *v, FILE *to)
{
	json_t *j = status_json(v);

	json_object_set_new(j, "ramp", v->ramp ? json_incref(v->ramp->is) : json_null());
	json_dumpf(j, to, JSON_COMPACT | JSON_REAL_PRECISION(13));
	fputc('\n', to);
	json_decref(j);
	json_answered();
}

static void show_screens(const struct watch *w, unsigned int rows, FILE *to)
{
	unsigned int n = w->views[w->now];
	struct status_style style = {.colour = use_colour(w->o),
				     .brief = rows,
				     .columns = screen_columns(),
				     .rows = rows && n ? (rows + 1) / n - 1 : 0};

	if (rows && !style.rows)
		style.rows = 1;
	for (unsigned int i = 0; i < n; i++) {
		if (i)
			fputc('\n', to);
		status_screen(w->view[w->now][i], &w->before[i], &style, to);
	}
}

/* On a screen that is watched, what to do next must be seen: then addresses give way, and whatever
 * else does not fit. */
static void show_fitting(const struct watch *w, FILE *to)
{
	unsigned int lines = 0, rows = screen_rows();
	char *text = NULL;
	size_t size;
	FILE *first = open_memstream(&text, &size);

	if (!first)
		return;
	show_screens(w, 0, first);
	fclose(first);
	for (const char *c = text; *c; c++)
		lines += *c == '\n';
	if (rows && lines > rows)
		show_screens(w, rows, to);
	else
		fputs(text, to);
	free(text);
}

static int show(struct watch *w, FILE *to)
{
	int code = EXIT_OK;

	for (unsigned int i = 0; i < w->views[w->now]; i++) {
		const struct status_view *v = w->view[w->now][i];

		if (!v->attached)
			code = EXIT_FAILED;
		find_before(w, i);
		if (w->json)
			show_json(v, to);
		else if (w->line)
			status_line(v, to);
	}
	if (!w->json && !w->line && w->again)
		show_fitting(w, to);
	else if (!w->json && !w->line)
		show_screens(w, 0, to);
	return code;
}

static int frame(void *arg, FILE *to)
{
	struct watch *w = arg;
	int err, code;

	err = look(w);
	if (err)
		return err;
	if (w->json && w->views[w->now] > 1)
		return -E2BIG;
	code = show(w, to);
	w->now = !w->now;
	return code;
}

/* Why there is no frame, as every verb says it. */
static int complain(const struct watch *w, int err)
{
	struct shift_service s;
	struct plane p;
	int code;

	if (err != -E2BIG)
		return open_failed(err);
	code = open_plane(&p);
	if (!code)
		code = -choose_service(&p, w->o, &s);
	plane_close(&p);
	return code > 0 ? code : EXIT_FAILED;
}

int cmd_status(const struct options *o, int argc, char **argv)
{
	static const char *const flags[] = {"--watch", "--line", NULL};
	struct watch w = {.o = o, .json = o->json};
	const char *value;
	int at = 1, what, code;

	while ((what = next_option(argc, argv, &at, flags, &value)) != -2) {
		if (what == -1)
			return usage_error("status takes no argument, not '%s'", value);
		if (what == -3)
			return EXIT_USAGE;
		w.again |= what == 0;
		w.line |= what == 1;
	}
	if (w.line && w.json)
		return usage_error("status: --line or --json, not both");
	if (w.again)
		code = status_watch(frame, &w, !w.line && !w.json);
	else
		code = frame(&w, stdout);
	if (code < 0)
		code = complain(&w, code);
	fflush(stdout);
	for (unsigned int i = 0; i < SHIFT_MAX_SERVICES; i++) {
		free(w.view[0][i]);
		free(w.view[1][i]);
		status_ramp_drop(&w.ramp[i]);
	}
	return code;
}
