# The whole of bonsai.cpp in a few words; `make help` lists them. CMakePresets.json has the finer choices.
BUILD ?= build/release
PRESET ?= release
# More arguments for cmake, say CMAKE_ARGS=-DBONSAI_WERROR=ON.
CMAKE_ARGS ?=
PROMPT ?= Once upon a time
SOAK_SECONDS ?= 600
SOAK_REPEATS ?= 20

# The targets below build on each other in order, whatever -j says; ninja does the parallel work.
.NOTPARALLEL:
.DEFAULT_GOAL := help
.PHONY: help setup configure build run test bench format soak clean

help:  ## This list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 10

setup:  ## Install the Debian or Ubuntu packages that are missing
	@tools/setup.sh build test

# CMake runs again by itself when its files change; what may change here is the list of arguments.
configure:
	@cmake --preset $(PRESET) -B $(BUILD) $(CMAKE_ARGS) >/dev/null

build: configure  ## Build everything (in BUILD, default build/release)
	cmake --build $(BUILD)

run: setup configure  ## Install, build, and write a story with the model that ships
	cmake --build $(BUILD) --target bonsai
	$(BUILD)/bin/bonsai run -p "$(PROMPT)" -n 200

test: setup  ## Install, build, and run the tests
	@$(MAKE) --no-print-directory build
	ctest --test-dir $(BUILD) --output-on-failure --no-tests=error -j $$(nproc)

bench:  ## Install, build, and run the benchmarks
	@tools/setup.sh build test bench
	@$(MAKE) --no-print-directory configure CMAKE_ARGS="$(CMAKE_ARGS) -DBONSAI_BENCH=ON"
	cmake --build $(BUILD) --target benchmarks
	@for b in $$(find $(BUILD) -name '*_bench' -type f -perm -u+x | sort); do echo "== $$b"; $$b || exit 1; done

format:  ## Format every source file in place
	@tools/format.sh

soak:  ## Fuzz each reader for SOAK_SECONDS (600), then repeat every test, with large crowds, SOAK_REPEATS (20) times
	@tools/setup.sh build test dev
	cmake --preset fuzz && cmake --build --preset fuzz
	tools/fuzz.sh build/fuzz $(SOAK_SECONDS)
	@$(MAKE) --no-print-directory build
	BONSAI_SOAK=1 ctest --test-dir $(BUILD) --output-on-failure --no-tests=error -j $$(nproc) --repeat until-fail:$(SOAK_REPEATS)

clean:  ## Delete every build directory
	rm -rf build
