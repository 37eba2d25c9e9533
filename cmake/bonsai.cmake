# Compiler settings and the functions that every folder's CMakeLists.txt uses.
include(cmake/sanitizers.cmake)

find_program(CCACHE ccache)
if(CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # base_dir and hash_dir: another checkout of the same sources (CI, a fresh clone) hits the same cache.
  set(launcher ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${launcher})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${launcher})
endif()

# -ffp-contract=off: a float result must not depend on whether the compiler found a fused multiply-add.
# Designated initialisers leave out fields on purpose: the rest takes its default.
add_compile_options(-Wall -Wextra -Wno-missing-field-initializers -Wshadow -Wnon-virtual-dtor -Wcast-align -ffp-contract=off
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

# What the functions below collect, so that a build can ask for these alone.
add_custom_target(thread_tests)
add_custom_target(fuzzers)
add_custom_target(benchmarks)

# bonsai_library(folder SOURCES a.cc b.cc DEPS other folders)
# One static library a folder of src/, named bonsai_<folder>. Includes are written from src/: "base/status.h".
function(bonsai_library name)
  cmake_parse_arguments(A "" "" "SOURCES;DEPS;PRIVATE" ${ARGN})
  add_library(bonsai_${name} STATIC ${A_SOURCES})
  target_include_directories(bonsai_${name} PUBLIC ${PROJECT_SOURCE_DIR}/src)
  list(TRANSFORM A_DEPS PREPEND bonsai_)
  target_link_libraries(bonsai_${name} PUBLIC ${A_DEPS} Threads::Threads PRIVATE ${A_PRIVATE})
endfunction()

# bonsai_test(name SOURCES a_test.cc DEPS folders [LABELS data threads])
# One GoogleTest program; every TEST in it is a ctest. Tests that need BONSAI_TEST_DATA carry the label `data`; tests
# in which threads share data carry `threads`: those run under ThreadSanitizer too.
function(bonsai_test name)
  if(NOT BONSAI_TESTS)
    return()
  endif()
  cmake_parse_arguments(A "" "" "SOURCES;DEPS;LABELS" ${ARGN})
  add_executable(${name} ${A_SOURCES})
  list(TRANSFORM A_DEPS PREPEND bonsai_)
  target_link_libraries(${name} PRIVATE ${A_DEPS} GTest::gtest_main)
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR})
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST NO_PRETTY_VALUES PROPERTIES TIMEOUT 300)
  # gtest_discover_tests flattens lists, so properties that are lists are set by a file that ctest reads after its own.
  # Paths come through the environment (tests/support.h): in the code they would defeat the compiler cache.
  set(properties ${CMAKE_CURRENT_BINARY_DIR}/${name}_properties.cmake)
  file(WRITE ${properties} "foreach(test IN LISTS ${name}_TESTS)
  set_tests_properties(\"\${test}\" PROPERTIES LABELS \"${A_LABELS}\"
    ENVIRONMENT \"BONSAI_SOURCE_DIR=${PROJECT_SOURCE_DIR};BONSAI_TEST_DATA=${BONSAI_TEST_DATA};BONSAI_BIN_DIR=${PROJECT_BINARY_DIR}/bin\")
endforeach()\n")
  set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES ${properties})
  if("threads" IN_LIST A_LABELS)
    add_dependencies(thread_tests ${name})
  endif()
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
  add_dependencies(fuzzers ${name})
endfunction()

# bonsai_bench(name SOURCES b.cc DEPS folders): a Google Benchmark program.
function(bonsai_bench name)
  cmake_parse_arguments(A "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${A_SOURCES})
  list(TRANSFORM A_DEPS PREPEND bonsai_)
  target_link_libraries(${name} PRIVATE ${A_DEPS} benchmark::benchmark_main)
  add_dependencies(benchmarks ${name})
endfunction()

if(BONSAI_TESTS)
  find_package(GTest REQUIRED)
  include(GoogleTest)
endif()
if(BONSAI_BENCH)
  find_package(benchmark REQUIRED)
endif()
