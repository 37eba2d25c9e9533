// Writes the model of script_model.h to a file, for tests that are not written in C++.
#include <cstdio>
#include <fstream>

#include "tests/script_model.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: make_script_model OUT.gguf\n", stderr);
    return 2;
  }
  std::ofstream out(argv[1], std::ios::binary);
  out << bonsai::test::BuildScriptModel();
  return out.flush() ? 0 : 1;
}
