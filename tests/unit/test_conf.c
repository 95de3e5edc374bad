/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_conf.c - the configuration: what is right is understood, what is wrong is named with its
 * place
 *
 * Run from the root of the tree. The wrong ones are tests/golden/conf/wrong.txt.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "userspace/conf/config.h"

#define GOLDEN "tests/golden/conf/"
#define LINES  128
#define CHARS  256

/* ---- fixtures ---- */

struct text {
	char line[LINES][CHARS];
	unsigned int n;
};

static void read_lines(const char *file, struct text *ret)
{
	FILE *f = fopen(file, "re");

	assert_non_null(f);
	ret->n = 0;
	for (; ret->n < LINES && fgets(ret->line[ret->n], CHARS, f); ret->n++)
		ret->line[ret->n][strcspn(ret->line[ret->n], "\n")] = '\0';
	fclose(f);
}

static char *slurp(const char *file, size_t *ret_size)
{
	FILE *f = fopen(file, "re");
	char *text = malloc(1 << 20);

	assert_non_null(f);
	assert_non_null(text);
	*ret_size = fread(text, 1, 1 << 20, f);
	fclose(f);
	return text;
}

static int parse(const char *text, size_t size, struct config **c, struct conf_errors *errors)
{
	memset(errors, 0, sizeof(*errors));
	*c = NULL;
	return conf_parse("shift.yaml", text, size, c, errors);
}

/* All complaints as wrong.txt has them. */
static void list(const struct conf_errors *errors, char *ret, size_t size)
{
	size_t used = 0;

	ret[0] = '\0';
	for (unsigned int i = 0; i < errors->n && used < size; i++) {
		const struct conf_error *e = &errors->error[i];

		used += (size_t)snprintf(ret + used, size - used, "= %u:%u: %s%s\n", e->at.line,
					 e->at.column, e->warning ? "warning: " : "", e->text);
	}
}

/* The only complaint about `text` must be this. */
static void assert_complaint(const char *text, size_t size, const char *wanted)
{
	struct conf_errors errors;
	struct config *c;
	char got[4096];

	assert_int_equal(parse(text, size, &c, &errors), -EINVAL);
	assert_null(c);
	list(&errors, got, sizeof(got));
	assert_string_equal(got, wanted);
	conf_errors_free(&errors);
}

static void assert_good(const char *file, struct config **c, struct conf_errors *errors)
{
	size_t size;
	char *text = slurp(file, &size);

	if (parse(text, size, c, errors))
		conf_errors_print(errors, stderr);
	assert_non_null(*c);
	assert_int_equal(conf_errors_count(errors), 0);
	free(text);
}

/* ---- the wrong ones ---- */

static void append(char *text, size_t size, const char *line)
{
	size_t used = strlen(text);

	snprintf(text + used, size - used, "%s\n", line);
}

/* base.yaml with the lines from..to replaced; to < from: inserted before `from`. */
static void edit(const struct text *base, unsigned int from, unsigned int to, const char *lines,
		 char *ret, size_t size)
{
	ret[0] = '\0';
	for (unsigned int i = 1; i < from && i <= base->n; i++)
		append(ret, size, base->line[i - 1]);
	strncat(ret, lines, size - strlen(ret) - 1);
	for (unsigned int i = to + 1; i <= base->n; i++)
		append(ret, size, base->line[i - 1]);
}

struct wrong {
	char name[1024];
	unsigned int from, to;
	char lines[2048];
	char wanted[4096];
};

static void read_place(const char *line, struct wrong *w)
{
	char mark = '\0';

	assert_true(sscanf(line, "@ %u%c%u", &w->from, &mark, &w->to) >= 1);
	if (mark == '+')
		w->to = w->from++;
	else if (mark != '-')
		w->to = w->from;
}

/* The next case; false at the end. */
static bool next_case(FILE *f, struct wrong *w)
{
	char line[1024];
	bool began = false;

	memset(w, 0, sizeof(*w));
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		if (began && !line[0])
			return true;
		if (line[0] == '@') {
			read_place(line, w);
			began = true;
		} else if (!began) {
			snprintf(w->name, sizeof(w->name), "%s", line);
		} else {
			append(line[0] == '=' && line[1] == ' ' ? w->wanted : w->lines,
			       line[0] == '=' && line[1] == ' ' ? sizeof(w->wanted)
								: sizeof(w->lines),
			       line);
		}
	}
	return began;
}

static void every_wrong_file_is_told_what_is_wrong_where(void **state)
{
	static struct text base;
	static struct wrong w;
	static char text[32768], got[4096];
	unsigned int cases = 0, bad = 0;
	struct conf_errors errors;
	struct config *c;
	FILE *f = fopen(GOLDEN "wrong.txt", "re");

	(void)state;
	assert_non_null(f);
	read_lines(GOLDEN "base.yaml", &base);
	while (next_case(f, &w)) {
		edit(&base, w.from, w.to, w.lines, text, sizeof(text));
		parse(text, strlen(text), &c, &errors);
		list(&errors, got, sizeof(got));
		if (strcmp(got, w.wanted)) {
			print_error("%s\nwanted:\n%sgot:\n%s\n", w.name, w.wanted, got);
			bad++;
		}
		conf_errors_free(&errors);
		conf_free(c);
		cases++;
	}
	fclose(f);
	assert_int_equal(bad, 0);
	assert_true(cases >= 80);
}

static void bytes_that_are_no_text_are_refused_with_their_place(void **state)
{
	static const struct {
		const char *text;
		size_t size;
		const char *wanted;
	} table[] = {
		{"service: a\0b", 12, "= 1:11: a zero byte: this is no text file\n"},
		{"a\n\0", 3, "= 2:1: a zero byte: this is no text file\n"},
		{"service: \xff", 10, "= 1:10: is no UTF-8: save the file as UTF-8\n"},
		{"service: k\xe4se", 13, "= 1:11: is no UTF-8: save the file as UTF-8\n"},
		{"a: \xc0\x80", 5, "= 1:4: is no UTF-8: save the file as UTF-8\n"},
		{"a: \xed\xa0\x80", 6, "= 1:4: is no UTF-8: save the file as UTF-8\n"},
		{"a: \xf4\x90\x80\x80", 7, "= 1:4: is no UTF-8: save the file as UTF-8\n"},
		{"a: \xe2\x82", 5, "= 1:4: is no UTF-8: save the file as UTF-8\n"},
		{"\xff\xfe"
		 "a\0",
		 4, "= 1:1: is no UTF-8: save the file as UTF-8\n"},
		{"\xc3\xa4\xc3\xa4 \x1b[31m", 10,
		 "= 1:4: the control character U+001B: remove it\n"},
		{"a: \xc2\x9b", 5, "= 1:4: the control character U+009B: remove it\n"},
		{"a: \xe2\x80\xae", 6, "= 1:4: the control character U+202E: remove it\n"},
		{"a: b\rc: d", 9, "= 1:5: a carriage return: end lines with a line feed\n"},
		{"", 0, "= 1:1: is empty: begin with `service: NAME`\n"},
		{"---\n", 4, "= 1:1: is empty: begin with `service: NAME`\n"},
		{"\xef\xbb\xbf", 3, "= 1:1: is empty: begin with `service: NAME`\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
		assert_complaint(table[i].text, table[i].size, table[i].wanted);
}

static void a_file_above_one_mebibyte_is_refused(void **state)
{
	char *text = malloc((1 << 20) + 1);

	(void)state;
	assert_non_null(text);
	memset(text, '\n', (1 << 20) + 1);
	assert_complaint(text, (1 << 20) + 1, "= 0:0: is larger than 1 MiB\n");
	assert_complaint(text, 1 << 20, "= 1:1: is empty: begin with `service: NAME`\n");
	free(text);
}

static void a_text_of_many_pieces_is_read_whole(void **state)
{
	static const char wanted[] = "hook: must be auto, tc or xdp, is \"a";
	char text[128] = "hook: \"a";
	struct conf_errors errors;
	struct config *c;

	(void)state;
	for (int i = 0; i < 20; i++)
		strcat(text, "\\\\b");
	strcat(text, " c\"\n");
	assert_int_equal(parse(text, strlen(text), &c, &errors), -EINVAL);
	assert_memory_equal(errors.error[errors.n - 1].text, wanted, sizeof(wanted) - 1);
	assert_string_equal(errors.error[errors.n - 1].text + sizeof(wanted) - 1,
			    "\\b\\b\\b\\b\\b\\b\\b\\b\\b\\b\\b\\b\\b\\b\\b\\b\\b\\b\\b\\b c\"");
	conf_errors_free(&errors);
}

static void aliases_cannot_blow_a_file_up(void **state)
{
	char text[1024] = "a: &a0 [x, x, x, x, x, x, x, x]\n", line[128];
	struct conf_errors errors;
	unsigned int aliases = 0;
	struct config *c;

	(void)state;
	for (int i = 1; i < 10; i++) {
		snprintf(line, sizeof(line), "b%d: &a%d [*a%d, *a%d, *a%d]\n", i, i, i - 1, i - 1,
			 i - 1);
		strncat(text, line, sizeof(text) - strlen(text) - 1);
	}
	assert_int_equal(parse(text, strlen(text), &c, &errors), -EINVAL);
	for (unsigned int i = 0; i < errors.n; i++)
		aliases +=
			strstr(errors.error[i].text, "a YAML alias: write the value out") != NULL;
	assert_int_equal(aliases, 27);
	conf_errors_free(&errors);
}

/* ---- several errors ---- */

static void all_errors_are_found_in_one_run_in_file_order(void **state)
{
	static const char text[] = "hook: tcx\n"
				   "backends:\n"
				   "  - {name: a, target: 52.1.2.3, weight: -3}\n"
				   "  - {name: a, target: 52.1.2.4:443, wieght: 1}\n"
				   "service: -x\n"
				   "listen: [203.0.113.10:443]\n"
				   "nat: {addresses: [203.0.113.10], ports: 9-5}\n"
				   "hook: tc\n";
	static const char wanted[] =
		"= 1:1: interfaces: is missing: must be a list such as [eth0]\n"
		"= 1:7: hook: must be auto, tc or xdp, is tcx\n"
		"= 3:23: backends[0].target: needs a port: ADDRESS:PORT or NAME:PORT, such as "
		"52.1.2.3:443 or \"[2001:db8:1::3]:443\", is 52.1.2.3\n"
		"= 3:41: backends[0].weight: must be 0..1000, is -3\n"
		"= 4:12: backends[1].name: backend a is there twice: it is entry 0 too\n"
		"= 4:37: backends[1].wieght: there is no such key: did you mean weight?\n"
		"= 5:10: service: must be a name of at most 31 letters, digits, '.', '_' or '-', "
		"beginning with a letter, digit or '_', is -x\n"
		"= 7:41: nat.ports: begins above its end: must be 5-9, is 9-5\n"
		"= 8:1: hook: is there twice: line 1 has it already\n";

	(void)state;
	assert_complaint(text, sizeof(text) - 1, wanted);
}

static void the_first_errors_of_the_file_are_kept_when_there_are_too_many(void **state)
{
	char text[8192] = "listen: [";
	struct conf_errors errors;
	struct config *c;

	(void)state;
	for (int i = 0; i < 70; i++)
		strcat(text, "x, ");
	strcat(text, "]\n");
	assert_int_equal(parse(text, strlen(text), &c, &errors), -EINVAL);
	assert_int_equal(errors.n, CONF_MAX_ERRORS);
	/* 64 elements, the list's own length, and four keys that are missing */
	assert_int_equal(conf_errors_count(&errors), 69);
	assert_int_equal(errors.left_out, 5);
	assert_string_equal(
		errors.error[0].text,
		"service: is missing: must be a name of at most 31 letters, digits, '.', "
		"'_' or '-', beginning with a letter, digit or '_'");
	for (unsigned int i = 1; i < errors.n; i++)
		assert_true(errors.error[i].at.column >= errors.error[i - 1].at.column);
	conf_errors_free(&errors);
}

static void a_complaint_is_printed_with_its_line_and_a_caret(void **state)
{
	static const char text[] =
		"service: \"\xc3\xa4\"\nhook:   tcx # no \xe2\x80\xa6\nrole: [\n";
	static const char good[] = "service: \"\xc3\xa4\"\nhook:   tcx # no \xe2\x80\xa6\n";
	struct conf_errors errors;
	struct config *c;
	char *got = NULL;
	size_t size;
	FILE *f;

	(void)state;
	assert_complaint(text, sizeof(text) - 1,
			 "= 4:1: is no YAML: flow sequence without a closing bracket\n");
	assert_int_equal(parse(good, sizeof(good) - 1, &c, &errors), -EINVAL);
	f = open_memstream(&got, &size);
	conf_errors_print(&errors, f);
	fclose(f);
	assert_non_null(strstr(got,
			       "shift.yaml:1:10: service: must be a name of at most 31 letters, "
			       "digits, '.', '_' or '-', beginning with a letter, digit or "
			       "'_', is \xc3\xa4\n"
			       "  service: \"\xc3\xa4\"\n"
			       "           ^\n"));
	assert_non_null(strstr(got, "shift.yaml:2:9: hook: must be auto, tc or xdp, is tcx\n"
				    "  hook:   tcx # no \xe2\x80\xa6\n"
				    "          ^\n"));
	free(got);
	conf_errors_free(&errors);
}

/* ---- the right ones ---- */

static void the_base_of_the_wrong_ones_is_right_and_understood(void **state)
{
	struct conf_errors errors;
	struct config *c;
	char text[64];

	(void)state;
	assert_good(GOLDEN "base.yaml", &c, &errors);
	assert_int_equal(errors.n, 0);
	assert_string_equal(c->service, "api");
	assert_true(c->leader && c->on_boot_restore && c->bypass_given && c->authority_given);
	assert_int_equal(c->n_listens, 2);
	assert_int_equal(c->listens[1].port, 443);
	assert_int_equal(c->listens[1].protocol, 6);
	assert_string_equal(conf_address_text(&c->listens[1].address, text), "2001:db8::10");
	assert_string_equal(conf_address_text(&c->bypass[0], text), "198.51.100.0/24");
	assert_string_equal(c->interfaces[0].name, "eth0");
	assert_int_equal(c->port_lo, 20000);
	assert_int_equal(c->port_hi, 59999);
	assert_int_equal(c->ports_at.line, 12);
	assert_int_equal(c->n_backends, 3);
	assert_string_equal(c->backends[0].name, "aws");
	assert_int_equal(c->backends[0].weight, 40);
	assert_int_equal(c->backends[0].client_address, CONF_CLIENT_HIDDEN);
	assert_string_equal(c->backends[1].host, "lb.azure.example");
	assert_int_equal(c->backends[1].address.family, 0);
	assert_int_equal(c->backends[1].port, 443);
	assert_int_equal(c->backends[2].address.family, 6);
	assert_int_equal(c->timeouts.tcp_established, (2 * 60 + 4) * 60000);
	assert_int_equal(c->timeouts.tcp_closing, 240000);
	assert_true(c->dns.given);
	assert_int_equal(c->dns.n_fresh, 2);
	assert_string_equal(conf_address_text(&c->dns.fresh[1].address, text), "52.1.2.4");
	assert_int_equal(c->dns.ttl_ms, 60000);
	assert_int_equal(c->n_stages, 3);
	assert_int_equal(c->stages[1].weight, 1250);
	assert_int_equal(c->stages[2].hold_ms, 2 * 3600000);
	assert_int_equal(c->n_gates, 4);
	assert_string_equal(c->gates[1].url.host, "api.example");
	assert_string_equal(c->gates[1].via, "aws");
	assert_int_equal(c->gates[1].arm, CONF_ARM_NEW);
	assert_string_equal(c->tunnels[0].backup, "two");
	assert_string_equal(c->tunnels[0].interface.name, "wg-one");
	conf_errors_free(&errors);
	conf_free(c);
}

static void clients_are_allowed_and_denied_by_network(void **state)
{
	static const char text[] = "service: api\n"
				   "listen: [203.0.113.10:443]\n"
				   "interfaces: [eth0]\n"
				   "bypass: [198.51.100.0/25]\n"
				   "clients:\n"
				   "  allow: [198.51.100.0/24, \"2001:db8::/32\", 0.0.0.0/1]\n"
				   "  deny: [198.51.100.128/25]\n"
				   "client_flows: 500\n"
				   "nat: {addresses: [203.0.113.10]}\n"
				   "backends: [{name: aws, target: 52.1.2.3:443}]\n";
	struct conf_errors errors;
	struct config *c;
	char shown[64];

	(void)state;
	assert_int_equal(parse(text, sizeof(text) - 1, &c, &errors), 0);
	assert_int_equal(errors.n, 0);
	assert_int_equal(c->n_allow, 3);
	assert_string_equal(conf_address_text(&c->allow[1], shown), "2001:db8::/32");
	assert_int_equal(c->n_deny, 1);
	assert_string_equal(conf_address_text(&c->deny[0], shown), "198.51.100.128/25");
	assert_int_equal(c->client_flows, 500);
	conf_errors_free(&errors);
	conf_free(c);
}

static void what_is_absent_has_its_default(void **state)
{
	static const char text[] = "service: api\n"
				   "listen: [203.0.113.10:443]\n"
				   "interfaces: [eth0]\n"
				   "nat: {addresses: [203.0.113.10]}\n"
				   "backends: [{name: aws, target: 52.1.2.3:443}]\n";
	struct conf_errors errors;
	struct config *c;

	(void)state;
	assert_int_equal(parse(text, sizeof(text) - 1, &c, &errors), 0);
	assert_int_equal(errors.n, 0);
	assert_false(c->leader || c->on_boot_restore || c->bypass_given || c->authority_given);
	assert_int_equal(c->hook, CONF_HOOK_AUTO);
	assert_int_equal(c->affinity, 0);
	assert_int_equal(c->authority, 1);
	assert_int_equal(c->on_unable, 0);
	assert_int_equal(c->port_lo, 20000);
	assert_int_equal(c->port_hi, 59999);
	assert_int_equal(c->backends[0].weight, 1);
	assert_int_equal(c->backends[0].client_address, CONF_CLIENT_UNSTATED);
	assert_int_equal(c->timeouts.tcp_half_open, 60000);
	assert_int_equal(c->timeouts.udp, 120000);
	assert_int_equal(c->timeouts.port_quarantine, 60000);
	assert_false(c->dns.given);
	assert_int_equal(c->ramp_at.line, 0);
	conf_errors_free(&errors);
	conf_free(c);
}

static void the_specification_s_sample_is_right(void **state)
{
	struct conf_errors errors;
	struct config *c;

	(void)state;
	assert_good(GOLDEN "spec.yaml", &c, &errors);
	assert_int_equal(errors.n, 1); /* its public key is a placeholder */
	assert_true(errors.error[0].warning);
	assert_int_equal(c->n_backends, 4);
	assert_int_equal(c->n_gates, 4);
	conf_errors_free(&errors);
	conf_free(c);
}

static void the_examples_are_right(void **state)
{
	static const char *const examples[] = {"examples/shift.yaml", "examples/ike-aws.yaml",
					       "examples/ike-azure.yaml", "examples/ike-gcp.yaml"};
	struct conf_errors errors;
	struct config *c;

	(void)state;
	for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
		assert_good(examples[i], &c, &errors);
		assert_int_equal(errors.n, 0);
		conf_errors_free(&errors);
		conf_free(c);
	}
}

static void other_ways_to_write_the_same_are_right(void **state)
{
	static const char *const texts[] = {
		/* a byte order mark, carriage returns, JSON, a document's marks */
		"\xef\xbb\xbfservice: a\r\nlisten: [203.0.113.10:443]\r\ninterfaces: [eth0]\r\n"
		"nat: {addresses: [203.0.113.10]}\r\n"
		"backends: [{name: b, target: 52.1.2.3:443}]\r\n",
		"{\"service\": \"a\", \"listen\": [\"203.0.113.10:443/udp\"],"
		" \"interfaces\": [\"eth0\"], \"nat\": {\"addresses\": [\"203.0.113.10\"]},"
		" \"backends\": [{\"name\": \"b\", \"target\": \"52.1.2.3:443\", \"weight\": 1}]}",
		"---\nservice: \"on\"\nlisten:\n- 203.0.113.10:443\ninterfaces: ['eth0']\n"
		"nat:\n  addresses:\n  - 203.0.113.10\n"
		"backends:\n- name: b\n  target: \"lb.example.:443\""
		"\n...\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		struct conf_errors errors;
		struct config *c;

		if (parse(texts[i], strlen(texts[i]), &c, &errors))
			conf_errors_print(&errors, stderr);
		assert_non_null(c);
		conf_errors_free(&errors);
		conf_free(c);
	}
}

static void durations_are_written_as_they_are_read(void **state)
{
	char text[32];

	(void)state;
	assert_string_equal(conf_duration_text(0, text), "0s");
	assert_string_equal(conf_duration_text(500, text), "500ms");
	assert_string_equal(conf_duration_text(7440000, text), "2h4m");
	assert_string_equal(conf_duration_text(61001, text), "1m1s1ms");
}

/* ---- from a file ---- */

static void a_file_that_others_can_write_is_not_read(void **state)
{
	char name[] = "/tmp/test_conf.XXXXXX", wanted[256];
	struct conf_errors errors = {0};
	struct config *c = NULL;
	int fd = mkstemp(name);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "service: a\n", 11), 11);
	assert_int_equal(fchmod(fd, 0664), 0);
	assert_int_equal(conf_load(name, &c, &errors), -EPERM);
	snprintf(wanted, sizeof(wanted),
		 "%s can be written by its group: whoever can change this "
		 "file commands this host",
		 name);
	assert_string_equal(errors.error[0].text, wanted);
	conf_errors_free(&errors);
	assert_int_equal(fchmod(fd, 0600), 0);
	assert_int_equal(conf_load(name, &c, &errors), -EINVAL); /* read, and wrong */
	assert_int_equal(errors.n, 4);
	conf_errors_free(&errors);
	assert_int_equal(unlink(name), 0);
	close(fd);
	assert_int_equal(conf_load(name, &c, &errors), -ENOENT);
	assert_string_equal(errors.error[0].text, "cannot be read: No such file or directory");
	conf_errors_free(&errors);
	assert_int_equal(conf_load("/tmp", &c, &errors), -EINVAL);
	assert_string_equal(errors.error[0].text, "/tmp is no regular file");
	conf_errors_free(&errors);
	assert_null(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_wrong_file_is_told_what_is_wrong_where),
		cmocka_unit_test(bytes_that_are_no_text_are_refused_with_their_place),
		cmocka_unit_test(a_file_above_one_mebibyte_is_refused),
		cmocka_unit_test(a_text_of_many_pieces_is_read_whole),
		cmocka_unit_test(aliases_cannot_blow_a_file_up),
		cmocka_unit_test(all_errors_are_found_in_one_run_in_file_order),
		cmocka_unit_test(the_first_errors_of_the_file_are_kept_when_there_are_too_many),
		cmocka_unit_test(a_complaint_is_printed_with_its_line_and_a_caret),
		cmocka_unit_test(the_base_of_the_wrong_ones_is_right_and_understood),
		cmocka_unit_test(clients_are_allowed_and_denied_by_network),
		cmocka_unit_test(what_is_absent_has_its_default),
		cmocka_unit_test(the_specification_s_sample_is_right),
		cmocka_unit_test(the_examples_are_right),
		cmocka_unit_test(other_ways_to_write_the_same_are_right),
		cmocka_unit_test(durations_are_written_as_they_are_read),
		cmocka_unit_test(a_file_that_others_can_write_is_not_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
