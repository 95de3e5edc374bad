/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * status_answers.c - how the arms answer, by the same measure: the time from a client's first data
 * to the first answer, and the connections that ended before it
 */
#include <string.h>

#include "userspace/base/screen.h"
#include "userspace/base/text.h"
#include "userspace/cmd/status.h"

static const uint32_t gates_ms[] = {100, 200, 500};

static json_t *quantile(const __u64 histogram[SHIFT_HISTOGRAM], double q)
{
	double ms = telemetry_quantile_ms(histogram, q);

	return ms < 0 ? json_null() : json_real(ms);
}

json_t *status_quantiles_json(const __u64 histogram[SHIFT_HISTOGRAM])
{
	return json_pack("{s:o, s:o, s:o}", "p50", quantile(histogram, 0.50), "p95",
			 quantile(histogram, 0.95), "p99", quantile(histogram, 0.99));
}

json_t *status_answers_json(const struct shift_answers *a)
{
	static const char *const names[SHIFT_FAILURES] = SHIFT_FAILURE_NAMES;
	json_t *over = json_object(), *failures = json_object();
	char edge[16];

	for (size_t i = 0; i < sizeof(gates_ms) / sizeof(*gates_ms); i++) {
		snprintf(edge, sizeof(edge), "%u", gates_ms[i]);
		json_object_set_new(
			over, edge,
			json_integer((json_int_t)telemetry_over_ms(a->answer, gates_ms[i])));
	}
	for (int i = 0; i < SHIFT_FAILURES; i++)
		json_object_set_new(failures, names[i], json_integer((json_int_t)a->failure[i]));
	return json_pack("{s:I, s:I, s:I, s:o, s:o, s:o}", "answered", (json_int_t)a->answered,
			 "failed", (json_int_t)a->failed, "failed_clients",
			 (json_int_t)a->failed_clients, "failures", failures, "ms",
			 status_quantiles_json(a->answer), "over_ms", over);
}

/* What began is known of an arm only. */
static json_t *with_begun(const struct shift_answers *a)
{
	json_t *j = status_answers_json(a);

	json_object_set_new(j, "begun", json_integer((json_int_t)a->begun));
	return j;
}

json_t *status_arm_json(const struct telemetry_arm *a, bool watched)
{
	json_t *j = with_begun(&a->total), *epochs = json_array();

	json_object_set_new(j, "seen", json_real(watched ? 1.0 / SHIFT_WATCH_ONE_IN : 1));
	json_object_set_new(j, "begun_10s", json_integer((json_int_t)a->begun_10s));
	json_object_set_new(j, "failed_10s", json_integer((json_int_t)a->failed_10s));
	for (unsigned int i = 0; i < a->epochs; i++) {
		json_t *e = with_begun(&a->epoch[i]);

		json_object_set_new(e, "epoch", json_integer((json_int_t)a->epoch[i].epoch));
		json_array_append_new(epochs, e);
	}
	json_object_set_new(j, "epochs", epochs);
	return j;
}

const char *status_milliseconds(const __u64 histogram[SHIFT_HISTOGRAM], double q, char ret[16])
{
	double ms = telemetry_quantile_ms(histogram, q);

	if (ms < 0)
		snprintf(ret, 16, "-");
	else if (ms >= TELEMETRY_OVERFLOW_MS)
		snprintf(ret, 16, ">%.0f", TELEMETRY_OVERFLOW_MS);
	else
		snprintf(ret, 16, ms < 1 ? "%.2f" : ms < 100 ? "%.1f" : "%.0f", ms);
	return ret;
}

static void add_arm(struct table *t, const char *name, const struct shift_answers *a, bool colour)
{
	char begun[32], answered[32], p50[16], p95[16], p99[16], over[32], count[64], failed[160];

	snprintf(count, sizeof(count), "%s", text_count(a->failed, over));
	if (a->failed_clients)
		snprintf(count + strlen(count), sizeof(count) - strlen(count), " of %s",
			 text_count(a->failed_clients, over));
	screen_paint(colour, a->failed ? SCREEN_YELLOW : SCREEN_DIM, count, failed, sizeof(failed));
	table_row(t, "   %s\t%s\t%s\t%s\t%s\t%s\t%s\t%s", name, text_count(a->begun, begun),
		  text_count(a->answered, answered), status_milliseconds(a->answer, 0.50, p50),
		  status_milliseconds(a->answer, 0.95, p95),
		  status_milliseconds(a->answer, 0.99, p99),
		  text_count(telemetry_over_ms(a->answer, 200), over), failed);
}

void status_answers_show(const struct status_view *v, bool colour, FILE *to)
{
	const struct shift_answers *old = &v->arm[SHIFT_ARM_OLD].total;
	const struct shift_answers *new = &v->arm[SHIFT_ARM_NEW].total;
	struct table t = {.dim = colour};
	char name[32];

	if (!old->begun && !new->begun)
		return;
	table_head(&t,
		   "first answer|>seen|>answered|>p50|>p95|>p99 ms|>over 200|>failed of clients");
	snprintf(name, sizeof(name), "old, 1 in %d", SHIFT_WATCH_ONE_IN);
	add_arm(&t, name, old, colour);
	add_arm(&t, "new", new, colour);
	if (table_width(&t) > STATUS_COLUMNS)
		t.gap = 1;
	table_print(&t, to);
	table_free(&t);
}
