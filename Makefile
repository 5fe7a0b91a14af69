# SPDX-License-Identifier: GPL-2.0
# The front door. `make help` lists what there is.

MAKEFLAGS += --no-builtin-rules
SHELL := /bin/bash
# make V=1 shows the command lines.
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-6s %s\n' $(1) $@)
B := build

ifeq ($(origin CC),default)
CC := gcc
endif
WARN := -std=gnu11 -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Werror
OPT ?= -O2 -g
HOST_CFLAGS := $(WARN) $(OPT) -D_GNU_SOURCE -Iinclude -Ibench -Iharness
HOST_LIBS := -larchive -linih -ljansson -lmd -lz -lm
GUEST_CFLAGS := $(WARN) -O2 -g -D_GNU_SOURCE -Iinclude -Iworkloads -DSHCACHE_GUEST
GUEST_LIBS := -lz -lpthread
SAN := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer

SHARED_SRC := $(wildcard include/*.c)
HOST_SRC := $(SHARED_SRC) $(wildcard bench/*.c harness/*.c)
GUEST_SRC := $(SHARED_SRC) $(filter-out workloads/clonex-main.c,$(wildcard workloads/*.c))
CLONEX_SRC := $(wildcard workloads/clonex*.c) workloads/ring.c
TEST_SRC := $(wildcard tests/unit/test_*.c)

HOST_OBJ := $(HOST_SRC:%.c=$(B)/host/%.o)
LIB_OBJ := $(filter-out %/shbench.o,$(HOST_OBJ))
GUEST_OBJ := $(GUEST_SRC:%.c=$(B)/guest/%.o)
CLONEX_OBJ := $(CLONEX_SRC:%.c=$(B)/guest/%.o)
SAN_OBJ := $(filter-out %/shbench.o,$(HOST_SRC:%.c=$(B)/san/%.o))
TESTS := $(TEST_SRC:tests/unit/%.c=$(B)/tests/%)
SAN_TESTS := $(TEST_SRC:tests/unit/%.c=$(B)/tests-san/%)
# Interleaving models of the protocols in mm/shcache.c.
MODELS := $(foreach m,models models2 models3,"tests/models/run.sh $(m)")

.PHONY: all
all: shbench $(B)/agent $(B)/clonex $(B)/insn-profile.so

shbench: $(HOST_OBJ)
	$(call say,LD)
	$(Q)$(CC) $(HOST_CFLAGS) -o $@ $^ $(HOST_LIBS)

$(B)/agent: $(GUEST_OBJ)
	$(call say,LD)
	$(Q)$(CC) -static -o $@ $^ $(GUEST_LIBS)

# Loaded by QEMU, which has the functions it calls.
$(B)/insn-profile.so: harness/plugin/insn-profile.c
	@mkdir -p $(@D)
	$(call say,LD)
	$(Q)$(CC) $(WARN) -O2 -g -D_GNU_SOURCE -fPIC -fvisibility=hidden -shared -o $@ $<

# Runs anywhere, on its own.
$(B)/clonex: $(CLONEX_OBJ)
	$(call say,LD)
	$(Q)$(CC) -static -o $@ $^

$(B)/host/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(HOST_CFLAGS) -MMD -MP -c -o $@ $<
$(B)/guest/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(GUEST_CFLAGS) -MMD -MP -c -o $@ $<
$(B)/san/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(HOST_CFLAGS) $(SAN) -MMD -MP -c -o $@ $<

$(B)/fake-qemu: tests/fake-qemu.c $(SHARED_SRC)
	@mkdir -p $(@D)
	$(call say,LD)
	$(Q)$(CC) $(HOST_CFLAGS) -MMD -MP -o $@ $^ -lz
$(B)/tests/%: tests/unit/%.c $(LIB_OBJ)
	@mkdir -p $(@D)
	$(call say,LD)
	$(Q)$(CC) $(HOST_CFLAGS) -Itests -MMD -MP -o $@ $< $(LIB_OBJ) -lcmocka $(HOST_LIBS)
$(B)/tests-san/%: tests/unit/%.c $(SAN_OBJ)
	@mkdir -p $(@D)
	$(call say,LD)
	$(Q)$(CC) $(HOST_CFLAGS) $(SAN) -Itests -MMD -MP -o $@ $< $(SAN_OBJ) -lcmocka $(HOST_LIBS)
# The plugin that it loads calls its functions.
$(B)/tests/test_profile $(B)/tests-san/test_profile: HOST_LIBS += -rdynamic
$(B)/tests-vm/%: tests/vm/%.c $(LIB_OBJ)
	@mkdir -p $(@D)
	$(call say,LD)
	$(Q)$(CC) $(HOST_CFLAGS) -MMD -MP -o $@ $< $(LIB_OBJ) -lcmocka $(HOST_LIBS)

.PHONY: tests
tests: $(TESTS) $(SAN_TESTS) $(B)/fake-qemu $(B)/agent

# --- what people type -----------------------------------------------------------------------------------------------------
# Packages come first and nothing may be compiled before them, so these targets call make again for the rest.
J := -j$(shell nproc)
PLAN ?= shcache
KERNEL ?= base
RUN ?= last
MIN ?= 30
TOTALS := $(B)/totals

.PHONY: help
help:
	@echo 'make bench         set up, build the kernels, measure the series against its base (PLAN=shcache), table and plots in results/runs/'
	@echo 'make nightly       the series against its base, with a gate that tests itself; adds to the history (ARGS=--shard 1/4 ...)'
	@echo 'make check         all tests: unit tests, then boots (first time: builds kernels)'
	@echo 'make check-unit    unit tests only, plain and with ASan and UBSan; no VM'
	@echo 'make check-vm      boots only'
	@echo 'make check-hazard  the hazard tests, on the patched kernel and its debug build'
	@echo 'make canaries      the hazard tests on kernels with one rule of the series removed: each must be caught'
	@echo 'make torture       all tests of the series in turn, with new seeds, on the measured and the debug kernel (MIN=30, SEED=n)'
	@echo 'make patches-check the kernel series: applies, style, builds and warns of nothing after each patch, boots (ARGS=--boot ...)'
	@echo 'make plots         draw the plots of a stored run again (RUN=last), without a VM'
	@echo 'make profile       in which functions the instructions of faults, COW breaks and a read are, with the series and without (ARGS=--only SECTION)'
	@echo 'make doctor        what is there, what is missing, how long a run will take'
	@echo 'make shell         a shell in a guest with the trees mounted (KERNEL=base)'
	@echo 'make deps          install missing packages (as root), or say which'
	@echo 'make all           only compile'

.PHONY: deps
deps:
	@sh harness/deps.sh

# Exit code 1 says that something costs more than on the baseline: a result here, not an error.
.PHONY: bench
bench: deps
	@$(MAKE) --no-print-directory $(J) all
	./shbench run $(PLAN) || test $$? -eq 1

# Exit code 1: something regressed; 3: the run is invalid, for instance because its gate failed.
.PHONY: nightly
nightly: deps
	@$(MAKE) --no-print-directory $(J) all
	./shbench run nightly $(ARGS)

.PHONY: check-unit
check-unit: deps
	@$(MAKE) --no-print-directory $(J) all tests
	@rm -f $(TOTALS)
	@tests/run.sh --totals $(TOTALS) $(TESTS) $(SAN_TESTS) $(MODELS)
	@tests/run.sh --sum $(TOTALS)

.PHONY: check-vm
check-vm: deps
	@$(MAKE) --no-print-directory $(J) all tests
	@rm -f $(TOTALS)
	@$(MAKE) --no-print-directory vm-tests
	@tests/run.sh --sum $(TOTALS)

.PHONY: vm-tests
# A slice of torture: of one seed that is always the same, and of a fresh one, which the command line tells.
SLICE := ./shbench torture -k shcache-6.12/shcache
vm-tests: FRESH := $(shell shuf -i 2-1000000 -n 1)
vm-tests: $(B)/tests-vm/test_smoke
	@rm -rf $(B)/vm-results
	@SHCACHE_RESULTS=$(B)/vm-results tests/run.sh --totals $(TOTALS) "./shbench test smoke" $(B)/tests-vm/test_smoke \
		"./shbench test hazard" "./shbench test hazard-btrfs" "./shbench test smoke-debug" "$(SLICE) --minutes 1.5 --seed 1" "$(SLICE) --minutes 1.5 --seed $(FRESH)"

# All tests are run even when some fail; the sum decides.
.PHONY: check
check: deps
	@$(MAKE) --no-print-directory $(J) all tests
	@rm -f $(TOTALS)
	-@tests/run.sh --totals $(TOTALS) $(TESTS) $(SAN_TESTS) $(MODELS)
	-@$(MAKE) --no-print-directory vm-tests
	@tests/run.sh --sum $(TOTALS)

# MIN minutes; exit code 1: something failed. The report is a run's summary.md.
.PHONY: torture
torture: deps
	@$(MAKE) --no-print-directory $(J) all
	./shbench torture --minutes $(MIN) $(if $(SEED),--seed $(SEED)) $(ARGS)

# Not part of `check`: their kernels take long to build.
.PHONY: check-hazard canaries
check-hazard: deps
	@$(MAKE) --no-print-directory $(J) all
	@rm -f $(TOTALS)
	@SHCACHE_RESULTS=$(B)/vm-results tests/run.sh --totals $(TOTALS) "./shbench test hazard" "./shbench test hazard-btrfs" "./shbench test hazard-debug" "./shbench test hazard-btrfs-debug" "./shbench test hazard-nokmem"
	@tests/run.sh --sum $(TOTALS)

canaries: deps
	@$(MAKE) --no-print-directory $(J) all
	@rm -f $(TOTALS)
	@SHCACHE_RESULTS=$(B)/vm-results tests/run.sh --totals $(TOTALS) "./shbench test canary-control" "./shbench test canary-harness" "./shbench test canary-errors" "./shbench test canary" "./shbench test canary-btrfs"
	@tests/run.sh --sum $(TOTALS)

.PHONY: patches-check
patches-check: deps
	@$(MAKE) --no-print-directory $(J) all
	@tests/patches-check.sh $(ARGS)

.PHONY: plots
plots:
	./shbench plots $(RUN)

# Exact counts, of which each table is worth nothing if they do not add up to what is measured: exit code 3.
.PHONY: profile
profile: deps
	@$(MAKE) --no-print-directory $(J) all
	./shbench profile profile $(ARGS)

.PHONY: doctor
doctor:
	@[ -x shbench ] || $(MAKE) --no-print-directory $(J) all
	@./shbench doctor

.PHONY: shell
shell: deps
	@$(MAKE) --no-print-directory $(J) all
	./shbench shell $(KERNEL)

.PHONY: clean
clean:
	rm -rf $(B) shbench

-include $(shell find $(B) -name '*.d' 2>/dev/null)
