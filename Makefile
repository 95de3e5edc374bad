# make          build/shiftctl, shiftd and what they start (and build/traffic, the lab's test traffic)
# make demo     a cutover under checked traffic, on this machine        (root; installs what it needs)
# make check    every test                                              (root; installs what it needs)
# make bench    side by side with plain routing, nftables, HAProxy, dnsperf, dig   (root; minutes, alone)
# make bench-packet                     what the program costs per packet, in ns          (root; a minute, alone)
# make soak, make ramp-kill, make asan, make matrix, make fuzz    longer proofs
# make install, make clean

CC     ?= gcc
CLANG  ?= clang
PREFIX ?= /usr/local
B      := build

WARN   := -Wall -Wextra -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes -Wwrite-strings
CFLAGS ?= -O2 -g
override CFLAGS += -std=gnu11 $(WARN) $(if $(WERROR),-Werror) -D_GNU_SOURCE -I. -isystem /usr/include/libnl3 -MMD -MP
LDFLAGS ?= -Wl,-O1,--as-needed,-z,relro,-z,now
# With SANITIZE=1 take another folder: make B=build-asan SANITIZE=1 build-asan/shiftd
ifdef SANITIZE
override CFLAGS += -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -O1
override LDFLAGS += -fsanitize=address,undefined
endif
BPFFLAGS := -O2 -g -target bpf -mcpu=v3 -Wall -Wextra -Wno-unused-parameter -Wno-pass-failed \
	-Werror -I. -I/usr/include/$(shell uname -m)-linux-gnu

# The two commands. shiftctl has the verbs that must start in a millisecond; shiftctl-apply has
# those that read the configuration or load programs, and is started by shiftctl.
COMMON := $(wildcard userspace/base/*.c) userspace/cmd/cmd.c \
	$(addprefix userspace/net/,netlink.c tc.c route.c reserve.c conntrack.c nic.c xdp.c) \
	$(addprefix userspace/plane/,bpfsys.c control.c plane.c state.c telemetry.c flows.c maglev.c \
	sync.c sync_picture.c sync_backends.c sync_leave.c sync_clients.c attach.c short.c pins.c \
	hostlock.c hostports.c clients.c clients_saved.c arrivals.c)
WAYS := userspace/plane/ways.c
LIGHT := $(COMMON) userspace/plane/reset.c userspace/shiftctl.c $(wildcard userspace/cmd/status*.c) \
	$(addprefix userspace/cmd/,weight.c rollback.c flipped.c conns.c history.c history_read.c detach.c pin.c pin_list.c top.c \
	ramp.c freeze.c daemon.c) userspace/api/socket_client.c userspace/ctl/journal_read.c
HEAVY := $(COMMON) $(WAYS) $(wildcard userspace/conf/*.c) userspace/plane/load.c \
	userspace/plane/grow.c userspace/shiftctl_apply.c \
	$(addprefix userspace/net/,host.c resolve.c filters.c sockets.c sysctl.c) \
	$(wildcard userspace/net/firewall*.c userspace/cmd/doctor*.c) \
	$(addprefix userspace/cmd/,apply.c apply_clock.c apply_attach.c apply_xdp.c apply_talk.c wish.c complain.c plan.c plan_measure.c) $(wildcard userspace/cmd/explain*.c)
# shiftctl-tunnel has the verbs about tunnels, started by shiftctl as well; shiftd watches them.
TUNNELS := $(COMMON) $(WAYS) $(wildcard userspace/conf/*.c wg/*.c userspace/cmd/tunnel*.c userspace/cmd/latency*.c) \
	userspace/cmd/complain.c \
	$(addprefix userspace/net/,host.c resolve.c sockets.c sysctl.c dial.c)
DAEMON := $(filter-out userspace/cmd/%,$(TUNNELS)) $(wildcard userspace/ctl/*.c userspace/api/*.c) \
	$(wildcard dns/*.c) $(addprefix userspace/cmd/,cmd.c complain.c daemon.c dns_report.c tunnel_report.c) \
	$(addprefix userspace/net/,http.c http_call.c public.c links.c) \
	$(addprefix userspace/plane/,sync_follow.c spare.c) \
	$(addprefix userspace/cmd/status_,look.c json.c answers.c next.c) userspace/shiftd_page.c userspace/shiftd.c
# shiftctl-dns has the verbs about records and resolvers, and about health.
DNS := $(COMMON) $(wildcard userspace/conf/*.c dns/*.c userspace/cmd/dns*.c) userspace/cmd/complain.c \
	$(addprefix userspace/ctl/,health.c ask.c checks_plane.c) userspace/net/dial.c $(wildcard userspace/cmd/health*.c) \
	$(addprefix userspace/net/,host.c resolve.c sockets.c sysctl.c http.c http_call.c public.c)
# shiftctl-check has drain, preflight, report and flowlog.
CHECK := $(COMMON) $(wildcard userspace/conf/*.c userspace/cmd/drain*.c userspace/cmd/preflight*.c userspace/cmd/report*.c) \
	$(addprefix userspace/cmd/,complain.c flowlog.c) $(addprefix userspace/ctl/,journal_read.c points_read.c) \
	$(addprefix userspace/net/,host.c resolve.c sockets.c sysctl.c public.c sockdiag.c talk.c)
TRAFFIC := $(wildcard tools/traffic*.c)

objs = $(patsubst %.c,$(B)/%.o,$(wildcard $(1)))

LIGHT_LIBS := -lmnl -ljansson
HEAVY_LIBS := -lbpf -lmnl -lfyaml -ljansson
TUNNEL_LIBS := -lnl-route-3 -lnl-3 -lmnl -lfyaml -ljansson -lm
CHECK_LIBS := -lssl -lcrypto -lmnl -lfyaml -ljansson -lm
DNS_LIBS := -lldns -lcurl -lexpat -lssl -lcrypto -lmnl -lfyaml -ljansson -lm

.PHONY: all tests fuzz demo check bench bench-packet soak soak-runbook ramp-kill asan matrix install clean deps format

all: deps $(B)/shiftctl $(B)/shiftctl-apply $(B)/shiftctl-tunnel $(B)/shiftctl-dns \
	$(B)/shiftctl-check $(B)/shiftd $(B)/traffic

# Nothing to install is the usual case and costs a few milliseconds.
deps:
	@tools/deps build

$(B)/shiftctl: $(call objs,$(LIGHT))
	$(CC) $(LDFLAGS) -o $@ $^ $(LIGHT_LIBS)

$(B)/shiftctl-apply: $(call objs,$(HEAVY)) $(B)/bpf/object.o
	$(CC) $(LDFLAGS) -o $@ $^ $(HEAVY_LIBS)

$(B)/shiftctl-tunnel: $(call objs,$(TUNNELS) userspace/shiftctl_tunnel.c)
	$(CC) $(LDFLAGS) -o $@ $^ $(TUNNEL_LIBS)

$(B)/shiftctl-dns: $(call objs,$(DNS) userspace/shiftctl_dns.c)
	$(CC) $(LDFLAGS) -o $@ $^ $(DNS_LIBS)

$(B)/shiftctl-check: $(call objs,$(CHECK) userspace/shiftctl_check.c)
	$(CC) $(LDFLAGS) -o $@ $^ $(CHECK_LIBS)

$(B)/shiftd: $(call objs,$(DAEMON)) $(B)/userspace/api/page_object.o
	$(CC) $(LDFLAGS) -o $@ $^ $(TUNNEL_LIBS) $(DNS_LIBS)

$(B)/traffic: $(call objs,$(TRAFFIC))
	$(CC) $(LDFLAGS) -o $@ $^

$(B)/tests/%.o: tests/%.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -c -o $@ $<

$(B)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -c -o $@ $<

$(B)/spawn: $(B)/tools/spawn.o
	$(CC) $(LDFLAGS) -o $@ $^

$(B)/bench_socket: $(B)/tools/bench_socket.o
	$(CC) $(LDFLAGS) -o $@ $^

# ---- the kernel's side ----

BPF_PARTS := $(wildcard bpf/*.h)

$(B)/bpf/%.bpf.o: bpf/%.bpf.c $(BPF_PARTS) Makefile
	@mkdir -p $(@D)
	$(CLANG) $(BPFFLAGS) -c -o $@ $<
	llvm-strip -g $@

# The object is carried inside shiftctl-apply, so that nothing has to be found at run time.
$(B)/bpf/object.o: userspace/plane/object.S $(B)/bpf/shift_tc.bpf.o
	$(CC) -c -I$(B) -o $@ $<

# The dashboard is carried inside shiftd likewise.
$(B)/userspace/api/page_object.o: userspace/api/page_object.S userspace/api/page.html
	@mkdir -p $(@D)
	$(CC) -c -I. -o $@ $<

-include $(shell [ -d $(B) ] && find $(B) -name '*.d')

# ---- tests ----

UNIT := $(patsubst tests/unit/test_%.c,$(B)/tests/unit_%,$(wildcard tests/unit/test_*.c))
# All of our code but the mains, for whatever a test wants of it.
PARTS := $(filter-out userspace/shift%.c,$(sort $(LIGHT) $(HEAVY) $(TUNNELS) $(DNS) $(CHECK) $(DAEMON)))

$(B)/tests/parts.a: $(call objs,$(PARTS)) $(B)/bpf/object.o $(B)/userspace/api/page_object.o
	@mkdir -p $(@D)
	@rm -f $@
	ar rcs $@ $^

$(B)/tests/unit_%: $(B)/tests/unit/test_%.o $(B)/tests/parts.a
	$(CC) $(LDFLAGS) -o $@ $^ -lcmocka $(HEAVY_LIBS) $(TUNNEL_LIBS) $(DNS_LIBS)

$(B)/tests/bpf_tables: $(call objs,$(wildcard tests/bpf/*.c))
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ -lbpf

# A file system that hangs, for the tests.
$(B)/tests/hang: $(B)/tests/e2e/hang.o
	$(CC) $(LDFLAGS) -o $@ $^

# Spoofed SYNs and datagrams, for the tests.
$(B)/tests/flood: $(B)/tests/e2e/flood.o
	$(CC) $(LDFLAGS) -o $@ $^

DRIVERS := $(addprefix $(B)/tests/,ike_drive dns_drive checks_drive page_drive vm_wireguard vm_xfrm)

tests: all $(UNIT) $(DRIVERS) $(B)/tests/bpf_tables $(B)/tests/hang $(B)/tests/flood $(B)/bpf/variant.bpf.o

# What the tests of IKE and of the kernels drive our modules with.
$(B)/tests/ike_drive: $(B)/tests/e2e/ike_drive.o $(B)/tests/parts.a
	$(CC) $(LDFLAGS) -o $@ $^ $(TUNNEL_LIBS)

# What the tests of health drive the daemon's part of it with.
$(B)/tests/checks_drive: $(B)/tests/e2e/checks_drive.o $(B)/tests/parts.a
	$(CC) $(LDFLAGS) -o $@ $^ $(TUNNEL_LIBS) $(DNS_LIBS)

# What the tests of the providers drive them with.
$(B)/tests/dns_drive: $(B)/tests/e2e/dns_drive.o $(call objs,$(DNS))
	$(CC) $(LDFLAGS) -o $@ $^ $(DNS_LIBS)

# The dashboard and the socket, fed from files.
$(B)/tests/page_drive: $(B)/tests/e2e/page_drive.o $(B)/tests/parts.a
	$(CC) $(LDFLAGS) -o $@ $^ $(TUNNEL_LIBS)

$(B)/tests/vm_%: $(B)/tests/vm/%_kernel.o $(B)/tests/parts.a
	$(CC) $(LDFLAGS) -o $@ $^ $(TUNNEL_LIBS)

# The same program compiled for another instruction set: what an upgrade looks like.
$(B)/bpf/variant.bpf.o: bpf/shift_tc.bpf.c $(BPF_PARTS) Makefile
	$(CLANG) $(subst -mcpu=v3,-mcpu=v2,$(BPFFLAGS)) -DSHIFT_BUILD=2 -c -o $@ $<
	llvm-strip -g $@

demo:
	@tools/deps build demo
	@$(MAKE) --no-print-directory -s -j$$(nproc) all
	@tools/demo

# The providers' own clients, by the lock file.
CLIENTS := tests/cloud/node_modules/.package-lock.json

$(CLIENTS): tests/cloud/package-lock.json
	@echo "installing the providers' own clients (npm)" >&2
	cd tests/cloud && npm ci --silent --no-progress
	@touch $@

check:
	@tools/deps build check
	@$(MAKE) --no-print-directory -s -j$$(nproc) WERROR=1 tests $(CLIENTS)
	@tests/check

bench:
	@tools/deps build bench
	@$(MAKE) --no-print-directory -s -j$$(nproc) all $(B)/spawn $(B)/bench_socket $(B)/bench_dns $(BENCH_PACKET)
	@code=0; $(B)/bench_packet --json $(B)/bench-packet.json || code=$$?; echo; \
		$(B)/bench_dns --json $(B)/bench-dns.json || code=$$?; echo; \
		tools/bench --json $(B)/bench.json || code=$$?; exit $$code

BENCH_PACKET := $(B)/bench_packet $(B)/bpf/shift_tc.bpf.o $(B)/tools/bench_packet_tc.bpf.o \
	$(B)/tools/bench_packet_xdp.bpf.o

bench-packet:
	@tools/deps build bench
	@$(MAKE) --no-print-directory -s -j$$(nproc) $(BENCH_PACKET)
	@$(B)/bench_packet --json $(B)/bench-packet.json

# The DNS engine beside dnsperf and a loop of dig.
$(B)/bench_dns: $(B)/tools/bench_dns.o $(B)/tests/parts.a
	$(CC) $(LDFLAGS) -o $@ $^ $(DNS_LIBS)

$(B)/bench_packet: $(call objs,tools/bench_packet.c $(wildcard tools/bench_packet_*.c))
	$(CC) $(LDFLAGS) -o $@ $^ -lbpf

$(B)/tools/bench_packet_tc.bpf.o: tools/bench_packet.bpf.c tools/bench_packet.h Makefile
	@mkdir -p $(@D)
	$(CLANG) $(BPFFLAGS) -c -o $@ $<
	llvm-strip -g $@

$(B)/tools/bench_packet_xdp.bpf.o: tools/bench_packet.bpf.c tools/bench_packet.h Makefile
	@mkdir -p $(@D)
	$(CLANG) $(BPFFLAGS) -DBENCH_XDP -c -o $@ $<
	llvm-strip -g $@

soak: tests
	@tools/deps check
	@tests/soak/all $(MINUTES)

# The runbook's thresholds with its own times: 45 minutes.
soak-runbook: tests
	@tools/deps check
	@tests/soak/runbook

ramp-kill: tests
	@tools/deps check
	@tests/soak/ramp-kill

# The daemon and what the tests drive its parts with, watched for leaks and errors.
asan: tests
	@tools/deps check
	@$(MAKE) --no-print-directory -s -j$$(nproc) B=build-asan SANITIZE=1 \
		$(addprefix build-asan/,shiftd shiftctl shiftctl-check tests/checks_drive tests/page_drive)
	@ln -sf ../build/shiftctl-apply build-asan/shiftctl-apply
	@tests/asan

# Feeds each parser until something breaks; SECONDS of it each.
FUZZ := $(B)/fuzz/conf $(B)/fuzz/dns $(B)/fuzz/http $(B)/fuzz/netlink $(B)/fuzz/notify $(B)/fuzz/probe $(B)/fuzz/route53 \
	$(B)/fuzz/sources $(B)/fuzz/tsig $(B)/fuzz/vici $(B)/fuzz/xfrm
FUZZED := $(addprefix userspace/base/,key.c file.c ip.c text.c)

$(B)/fuzz/conf: $(wildcard userspace/conf/*.c) $(wildcard userspace/base/*.c) \
	$(addprefix userspace/net/,host.c resolve.c route.c netlink.c)
$(B)/fuzz/dns: $(wildcard dns/message*.c)
$(B)/fuzz/http: userspace/api/http_parse.c userspace/api/socket_call.c
$(B)/fuzz/netlink: $(wildcard wg/wireguard*.c) $(FUZZED)
$(B)/fuzz/notify: userspace/ctl/notify_text.c userspace/conf/utf8.c userspace/base/text.c userspace/base/ip.c
$(B)/fuzz/tsig: dns/tsig.c dns/wire.c userspace/base/file.c
$(B)/fuzz/probe: wg/probe_packet.c userspace/base/ip.c
$(B)/fuzz/route53: $(wildcard dns/route53_*.c dns/message*.c userspace/net/http*.c) $(FUZZED) \
	$(addprefix dns/,cloud.c record.c value.c wire.c) userspace/base/loop.c userspace/net/public.c
$(B)/fuzz/sources: userspace/ctl/sources_read.c
$(B)/fuzz/vici: wg/vici.c $(wildcard wg/charon*.c) $(FUZZED)
$(B)/fuzz/xfrm: wg/xfrm.c wg/xfrm_events.c wg/keyfile.c userspace/base/whole.c $(FUZZED)

$(FUZZ): $(B)/fuzz/%: tests/fuzz/fuzz_%.c Makefile
	@mkdir -p $(B)/fuzz/corpus-$*
	$(CLANG) -g -O1 -std=gnu11 -D_GNU_SOURCE -I. -fsanitize=fuzzer,address,undefined -o $@ \
		$(filter %.c,$^) -lfyaml -lmnl $(if $(filter http notify sources,$*),-ljansson) $(if $(filter dns tsig route53,$*),-lldns -lcrypto) \
		$(if $(filter route53,$*),-lcurl -lexpat)

fuzz: $(FUZZ)
	@for f in $(FUZZ); do echo "# $$f"; \
		$$f -max_total_time=$(or $(SECONDS),60) -max_len=4096 -print_final_stats=1 \
			$(B)/fuzz/corpus-$${f##*/} tests/golden/conf || exit 1; done

matrix: tests
	@tools/deps check
	@tests/vm/matrix $(B)/tests/bpf_tables

install: all
	install -D -m 755 $(B)/shiftctl $(DESTDIR)$(PREFIX)/sbin/shiftctl
	install -D -m 755 $(B)/shiftctl-apply $(DESTDIR)$(PREFIX)/libexec/shift/shiftctl-apply
	install -D -m 755 $(B)/shiftctl-tunnel $(DESTDIR)$(PREFIX)/libexec/shift/shiftctl-tunnel
	install -D -m 755 $(B)/shiftctl-dns $(DESTDIR)$(PREFIX)/libexec/shift/shiftctl-dns
	install -D -m 755 $(B)/shiftctl-check $(DESTDIR)$(PREFIX)/libexec/shift/shiftctl-check
	install -D -m 755 $(B)/shiftd $(DESTDIR)$(PREFIX)/sbin/shiftd
	for unit in systemd/*; do \
		install -D -m 644 $$unit $(DESTDIR)/etc/systemd/system/$${unit##*/} && \
		sed -i 's|/usr/local|$(PREFIX)|' $(DESTDIR)/etc/systemd/system/$${unit##*/} || exit 1; \
	done
	install -D -m 644 README.md $(DESTDIR)$(PREFIX)/share/doc/shift/README.md
	install -m 644 examples/* $(DESTDIR)$(PREFIX)/share/doc/shift
	install -d -m 755 $(DESTDIR)/etc/shift

clean:
	rm -rf $(B) build-asan

format:
	clang-format -i $$(git ls-files '*.c' '*.h')
