# A thin front for CMake: see CMakePresets.json for the other builds (debug, asan, tsan, clang).

PREFIX ?= /usr/local
JOBS := $(shell nproc)

.PHONY: all demo smollm2 test install deps clean

all:
	@command -v cmake >/dev/null && command -v ninja >/dev/null || { echo "cmake or ninja is missing: run 'make deps'" >&2; exit 1; }
	cmake --preset release -DCMAKE_INSTALL_PREFIX=$(PREFIX)
	cmake --build --preset release -j $(JOBS)

demo: deps
	@$(MAKE) --no-print-directory all
	sh tools/demo.sh build/release/dither

# A real model into build/models, for the README's walkthrough and the tests that want one.
smollm2:
	@sh tools/smollm2.sh build/models

test: deps
	@$(MAKE) --no-print-directory all
	ctest --preset release -j $(JOBS)

install: all
	cmake --install build/release

# Says what it installs; does nothing where everything is there.
deps:
	@sh tools/deps.sh

clean:
	rm -rf build
