# What the Makefiles of the folders here have in common. Each sets NAME to its folder's name.
# ARCH is the architecture to build for, OUT the folder for what is built. CC is musl-gcc, which
# builds for this machine, or "zig cc -target ARCH-linux-musl". build.py calls them for the wheel.
NATIVE := $(abspath $(dir $(lastword $(MAKEFILE_LIST))))
TOP := $(abspath $(NATIVE)/..)
HERE := $(NATIVE)/$(NAME)
ARCH ?= $(shell uname -m)
OUT ?= $(TOP)/build/$(NAME)/$(ARCH)
CC := $(if $(filter default,$(origin CC)),musl-gcc,$(CC))
PYTHON ?= python3

SOURCES := $(sort $(wildcard $(HERE)/*.c))
INPUTS := $(SOURCES) $(sort $(wildcard $(HERE)/*.h)) $(HERE)/Makefile $(NATIVE)/build.mk
WARNINGS := -Wall -Wextra -Werror -Wshadow -Wconversion -Wno-sign-conversion -Wvla \
	-Wstrict-prototypes -Wno-unknown-warning-option
STATIC := -Os -ffunction-sections -fdata-sections -fno-asynchronous-unwind-tables \
	-fstack-protector-strong -static -s -Wl,--gc-sections -Wl,-z,noexecstack
ASAN := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all
FUZZ_SECONDS ?= 5

.DEFAULT_GOAL := all

clean:
	rm -rf $(OUT)

.PHONY: all asan fuzzers fuzz clean
