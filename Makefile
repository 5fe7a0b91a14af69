# SPDX-License-Identifier: GPL-2.0
# The front door. `make help` lists what there is.

MAKEFLAGS += --no-builtin-rules
SHELL := /bin/bash
B := build

CC ?= gcc
WARN := -std=gnu11 -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Werror
OPT ?= -O2 -g
HOST_CFLAGS := $(WARN) $(OPT) -D_GNU_SOURCE -Iinclude -Ibench -Iharness
HOST_LIBS := -larchive -linih -ljansson -lmd -lz -lm
GUEST_CFLAGS := $(WARN) -O2 -g -D_GNU_SOURCE -Iinclude -Iworkloads -DSHCACHE_GUEST
GUEST_LIBS := -lz -lpthread
SAN := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer

SHARED_SRC := $(wildcard include/*.c)
HOST_SRC := $(SHARED_SRC) $(wildcard bench/*.c harness/*.c)
GUEST_SRC := $(SHARED_SRC) $(wildcard workloads/*.c)
TEST_SRC := $(wildcard tests/unit/test_*.c)

HOST_OBJ := $(HOST_SRC:%.c=$(B)/host/%.o)
LIB_OBJ := $(filter-out %/shbench.o,$(HOST_OBJ))
GUEST_OBJ := $(GUEST_SRC:%.c=$(B)/guest/%.o)
SAN_OBJ := $(filter-out %/shbench.o,$(HOST_SRC:%.c=$(B)/san/%.o))
TESTS := $(TEST_SRC:tests/unit/%.c=$(B)/tests/%)
SAN_TESTS := $(TEST_SRC:tests/unit/%.c=$(B)/tests-san/%)

.PHONY: all
all: shbench $(B)/agent

shbench: $(HOST_OBJ)
	$(CC) $(HOST_CFLAGS) -o $@ $^ $(HOST_LIBS)

$(B)/agent: $(GUEST_OBJ)
	$(CC) -static -o $@ $^ $(GUEST_LIBS)

$(B)/host/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(HOST_CFLAGS) -MMD -MP -c -o $@ $<
$(B)/guest/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(GUEST_CFLAGS) -MMD -MP -c -o $@ $<
$(B)/san/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(HOST_CFLAGS) $(SAN) -MMD -MP -c -o $@ $<

$(B)/fake-qemu: tests/fake-qemu.c $(SHARED_SRC)
	@mkdir -p $(@D)
	$(CC) $(HOST_CFLAGS) -MMD -MP -o $@ $^ -lz
$(B)/tests/%: tests/unit/%.c $(LIB_OBJ)
	@mkdir -p $(@D)
	$(CC) $(HOST_CFLAGS) -Itests -MMD -MP -o $@ $< $(LIB_OBJ) -lcmocka $(HOST_LIBS)
$(B)/tests-san/%: tests/unit/%.c $(SAN_OBJ)
	@mkdir -p $(@D)
	$(CC) $(HOST_CFLAGS) $(SAN) -Itests -MMD -MP -o $@ $< $(SAN_OBJ) -lcmocka $(HOST_LIBS)

.PHONY: tests
tests: $(TESTS) $(SAN_TESTS) $(B)/fake-qemu

.PHONY: clean
clean:
	rm -rf $(B) shbench

-include $(shell find $(B) -name '*.d' 2>/dev/null)
