# libFuzzer with AddressSanitizer for the parsers that PURE names: one target for each
# fuzz/fuzz_*.c. FUZZ_LENGTH is the longest input.
FUZZERS := $(patsubst $(HERE)/fuzz/%.c,$(OUT)/%,$(wildcard $(HERE)/fuzz/fuzz_*.c))

fuzzers: $(FUZZERS)
$(OUT)/fuzz_%: $(HERE)/fuzz/fuzz_%.c $(INPUTS)
	@mkdir -p $(OUT)
	clang $(FLAGS) $(ASAN) -fsanitize=fuzzer -o $@ $< $(PURE)

fuzz: $(FUZZERS)
	for f in $(FUZZERS); do $$f -max_total_time=$(FUZZ_SECONDS) -max_len=$(FUZZ_LENGTH) \
		-timeout=10 -artifact_prefix=$$f- || exit 1; done
