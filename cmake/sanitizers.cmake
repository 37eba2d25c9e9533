# BONSAI_SANITIZE: a comma-separated list for -fsanitize=, applied to every object and link. "address,undefined" and
# "thread" are what CI runs. Empty (the default): none.
set(BONSAI_SANITIZE "" CACHE STRING "Sanitizers for every object: address,undefined or thread")

# Fuzz builds: coverage counters in every object, not only in the fuzzers, or libFuzzer is blind inside the libraries.
set(sanitizers "${BONSAI_SANITIZE}")
if(BONSAI_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "BONSAI_FUZZ needs clang: cmake --preset fuzz, or -DCMAKE_CXX_COMPILER=clang++-14")
  endif()
  set(sanitizers "fuzzer-no-link,${sanitizers}")
  string(REGEX REPLACE ",$" "" sanitizers "${sanitizers}")
endif()

if(sanitizers)
  # -fno-sanitize-recover: undefined behaviour ends the program with an error instead of a line that nobody reads.
  add_compile_options(-fsanitize=${sanitizers} -fno-sanitize-recover=all -fno-omit-frame-pointer -g1)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    add_compile_options(-Wno-maybe-uninitialized)  # false alarms in libstdc++'s headers once they are instrumented
  endif()
  if(BONSAI_SANITIZE)
    add_link_options(-fsanitize=${BONSAI_SANITIZE})
  endif()
endif()
