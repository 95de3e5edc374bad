/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * status_line.c - the one line, for logs and for tmux
 *
 * With a ramp both arms have their share of errors and the p95 of their first answers, of the
 * ramp's window where shiftd says so, else since attach.
 */
#include <math.h>
#include <string.h>

#include "userspace/base/screen.h"
#include "userspace/base/text.h"
#include "userspace/cmd/status.h"
#include "userspace/plane/telemetry.h"

static const char *text_of(const json_t *j, const char *key)
{
	const char *text = json_string_value(json_object_get(j, key));

	return text ? text : "";
}

struct arm {
	double failed, p95; /* %, ms; NAN: not known */
};

static struct arm arm_of(const struct status_view *v, enum shift_arm_id id)
{
	const json_t *arms = json_object_get(v->ramp->is, "arms");
	const json_t *j = json_object_get(arms, id == SHIFT_ARM_OLD ? "old" : "new");
	const struct shift_answers *all = &v->arm[id].total;
	const json_t *failed = json_object_get(j, "failed"), *p95 = json_object_get(j, "p95_ms");
	double since = telemetry_quantile_ms(all->answer, 0.95);

	if (json_is_object(j))
		return (struct arm){json_is_number(failed) ? json_number_value(failed) : NAN,
				    json_is_number(p95) ? json_number_value(p95) : NAN};
	return (struct arm){all->begun ? 100.0 * (double)all->failed / (double)all->begun : NAN,
			    since < 0 ? NAN : since};
}

static const char *number(double value, const char *unit, char ret[32])
{
	if (isfinite(value))
		snprintf(ret, 32, "%.3g%s", value, unit);
	else
		snprintf(ret, 32, "-");
	return ret;
}

static void put_arms(const struct status_view *v, FILE *to)
{
	struct arm old = arm_of(v, SHIFT_ARM_OLD), new = arm_of(v, SHIFT_ARM_NEW);
	char a[32], b[32];

	fprintf(to, "New: %llu conns %u active %s err; Old: %llu conns %s err; ",
		(unsigned long long)v->stats.connections_new, v->active, number(new.failed, "%", a),
		(unsigned long long)v->stats.connections_old, number(old.failed, "%", b));
	if (isfinite(old.p95) || isfinite(new.p95))
		fprintf(to, "p95: new %s old %s ms; ", number(new.p95, "", a),
			number(old.p95, "", b));
}

/* What the arms got and lost where there is no ramp. */
static void put_counts(const struct status_view *v, FILE *to)
{
	struct shift_backend_stats all = {0};
	uint64_t failed = 0;
	char a[16];

	for (unsigned int i = 0; i < v->backends; i++) {
		failed += v->answers ? v->backend[i].answers.failed
				     : v->backend[i].stats.handshake_failures;
		for (int n = 0; n < SHIFT_HISTOGRAM; n++)
			all.handshake[n] += v->backend[i].stats.handshake[n];
	}
	fprintf(to, "New: %llu conns %u active %llu failed; Old: %llu conns; ",
		(unsigned long long)v->stats.connections_new, v->active, (unsigned long long)failed,
		(unsigned long long)v->stats.connections_old);
	if (telemetry_quantile_ms(all.handshake, 0.95) >= 0)
		fprintf(to, "p95: %s ms; ", status_milliseconds(all.handshake, 0.95, a));
}

static void put_losses(const struct status_view *v, FILE *to)
{
	uint64_t fallen = 0, lost = 0;

	for (int i = 0; i < SHIFT_FALLBACKS; i++)
		fallen += v->stats.fallback[i];
	for (int i = 0; i < SHIFT_VERDICTS; i++)
		lost += v->drops[i];
	if (fallen)
		fprintf(to, "Fallback: %llu; ", (unsigned long long)fallen);
	if (lost)
		fprintf(to, "Lost: %llu; ", (unsigned long long)lost);
}

static void put_ramp(const struct status_view *v, FILE *to)
{
	const json_t *j = v->ramp->is;
	double hold = json_number_value(json_object_get(j, "hold_left_s"));
	char text[400], left[32], next[256];

	if (!v->ramp->live) {
		if (*status_ramp_asleep(v, text, sizeof(text)))
			fprintf(to, "; Ramp: %s", text);
		return;
	}
	fprintf(to, "; Ramp: %s", text_of(j, "state"));
	if (hold > 0)
		fprintf(to, ", %s left", text_duration((uint64_t)(hold * 1e9), left));
	if (json_is_object(json_object_get(j, "frozen")) && !strstr(text_of(j, "reason"), "frozen"))
		fputs(", frozen", to);
	if (*text_of(j, "reason"))
		fprintf(to, ", %s", screen_clean(status_ramp_reason(v->ramp), text, sizeof(text)));
	if (status_ramp_active(v->ramp) && status_ramp_next(v, next, sizeof(next)))
		fprintf(to, "; Next: %s", screen_clean(next, text, sizeof(text)));
}

void status_line(const struct status_view *v, FILE *to)
{
	const json_t *ramp = v->ramp ? v->ramp->is : NULL;
	const json_t *stages = json_object_get(ramp, "stages");
	char a[16], state[160];

	status_state(v, state, sizeof(state));
	fprintf(to, "Shift: %s %s%%", *v->service ? v->service : "-", text_weight(v->weight, a));
	if (json_is_integer(stages) && json_integer_value(json_object_get(ramp, "stage")) > 0)
		fprintf(to, " %d/%d", (int)json_integer_value(json_object_get(ramp, "stage")),
			(int)json_integer_value(stages));
	fputs("; ", to);
	if (v->loaded && ramp)
		put_arms(v, to);
	else if (v->loaded)
		put_counts(v, to);
	if (v->loaded)
		put_losses(v, to);
	fprintf(to, "State: %s", state);
	if (ramp)
		put_ramp(v, to);
	fputc('\n', to);
}
