# Compiler settings and the functions that every folder's CMakeLists.txt uses.
include(cmake/sanitizers.cmake OPTIONAL)

find_program(CCACHE ccache)
if(CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # base_dir and hash_dir: another checkout of the same sources (CI, a fresh clone) hits the same cache.
  set(launcher ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${launcher})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${launcher})
endif()

# -ffp-contract=off: a float result must not depend on whether the compiler found a fused multiply-add.
add_compile_options(-Wall -Wextra -Wshadow -Wnon-virtual-dtor -Wcast-align -ffp-contract=off
                    $<$<COMPILE_LANGUAGE:CXX>:-Wconversion> -ffunction-sections -fdata-sections)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  add_compile_options(-Wno-restrict)  # false alarms on string operator+ (GCC bug 105651)
endif()
add_link_options(-Wl,--gc-sections)
if(BONSAI_WERROR)
  add_compile_options(-Werror)
endif()
add_compile_definitions(FMT_HEADER_ONLY)

find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)

# bonsai_library(folder SOURCES a.cc b.cc DEPS other folders)
# One static library a folder of src/, named bonsai_<folder>. Includes are written from src/: "base/status.h".
function(bonsai_library name)
  cmake_parse_arguments(A "" "" "SOURCES;DEPS;PRIVATE" ${ARGN})
  add_library(bonsai_${name} STATIC ${A_SOURCES})
  target_include_directories(bonsai_${name} PUBLIC ${PROJECT_SOURCE_DIR}/src)
  list(TRANSFORM A_DEPS PREPEND bonsai_)
  target_link_libraries(bonsai_${name} PUBLIC ${A_DEPS} Threads::Threads PRIVATE ${A_PRIVATE})
endfunction()

# bonsai_test(name SOURCES a_test.cc DEPS folders [LABELS data])
# One GoogleTest program; every TEST in it is a ctest. Tests that need BONSAI_TEST_DATA carry the label `data`.
function(bonsai_test name)
  if(NOT BONSAI_TESTS)
    return()
  endif()
  cmake_parse_arguments(A "" "" "SOURCES;DEPS;LABELS" ${ARGN})
  add_executable(${name} ${A_SOURCES})
  list(TRANSFORM A_DEPS PREPEND bonsai_)
  target_link_libraries(${name} PRIVATE ${A_DEPS} GTest::gtest_main)
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR})
  # Paths come through the environment (tests/support.h): in the code they would defeat the compiler cache.
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST PROPERTIES LABELS "${A_LABELS}" TIMEOUT 300
    ENVIRONMENT "BONSAI_SOURCE_DIR=${PROJECT_SOURCE_DIR};BONSAI_TEST_DATA=${BONSAI_TEST_DATA}")
endfunction()

# bonsai_fuzzer(name SOURCES f.cc DEPS folders): a libFuzzer program; corpus in tests/corpus/<name>/.
function(bonsai_fuzzer name)
  if(NOT BONSAI_FUZZ)
    return()
  endif()
  cmake_parse_arguments(A "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${A_SOURCES})
  list(TRANSFORM A_DEPS PREPEND bonsai_)
  target_link_libraries(${name} PRIVATE ${A_DEPS} -fsanitize=fuzzer)
endfunction()

# bonsai_bench(name SOURCES b.cc DEPS folders): a Google Benchmark program.
function(bonsai_bench name)
  cmake_parse_arguments(A "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${A_SOURCES})
  list(TRANSFORM A_DEPS PREPEND bonsai_)
  target_link_libraries(${name} PRIVATE ${A_DEPS} benchmark::benchmark_main)
endfunction()

if(BONSAI_TESTS)
  find_package(GTest REQUIRED)
  include(GoogleTest)
endif()
if(BONSAI_BENCH)
  find_package(benchmark REQUIRED)
endif()
