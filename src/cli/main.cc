#include <fmt/core.h>

#include <cstdio>
#include <cstring>
#include <string_view>

#include "cli/verb.h"

#ifndef BONSAI_VERSION
#define BONSAI_VERSION "unknown"
#endif

namespace bonsai::cli {
namespace {

struct Verb {
  std::string_view name;
  int (*run)(int argc, char** argv);
  std::string_view summary;
};

constexpr Verb kVerbs[] = {
    {"run", RunVerb, "generate text: bonsai run [MODEL.gguf] -p \"Once upon a time\""},
    {"chat", ChatVerb, "talk with a model: bonsai chat MODEL.gguf"},
    {"serve", ServeVerb, "an OpenAI-compatible server with a chat page: bonsai serve MODEL.gguf"},
    {"inspect", InspectVerb, "what a model file holds, and what it needs to run here"},
    {"convert", ConvertVerb, "another weight format: bonsai convert IN.gguf OUT.gguf --type Q1_0"},
    {"tokenize", TokenizeVerb, "text to token ids and back"},
    {"eval", EvalVerb, "measure quality: bonsai eval perplexity MODEL.gguf -f FILE"},
    {"bench", BenchVerb, "measure speed, and how much of the machine's it is: bonsai bench -m MODEL.gguf"},
    {"doctor", DoctorVerb, "what this machine offers, which kernels run, and why it may be slow"},
};

void PrintHelp(std::FILE* out) {
  fmt::print(out,
             "bonsai: run 1-bit language models\n\n"
             "usage: bonsai VERB [options]\n\nverbs:\n");
  for (const Verb& v : kVerbs) fmt::print(out, "  {:<10} {}\n", v.name, v.summary);
  fmt::print(out,
             "\n`bonsai VERB --help` lists a verb's options, with examples. `bonsai run` alone uses the small model\n"
             "that is built in; it needs no file and no network.\n");
}

int Main(int argc, char** argv) {
  const std::string_view name = argc > 1 ? argv[1] : "";
  if (name.empty() || name == "help" || name == "--help" || name == "-h") {
    PrintHelp(name.empty() ? stderr : stdout);
    return name.empty() ? kUsage : kDone;
  }
  if (name == "--version" || name == "version") {
    fmt::print("bonsai {}\n", BONSAI_VERSION);
    return kDone;
  }
  for (const Verb& v : kVerbs)
    if (v.name == name) return v.run(argc - 1, argv + 1);
  fmt::print(stderr, "bonsai: '{}' is not a verb; see 'bonsai --help'\n", name);
  return kUsage;
}

}  // namespace
}  // namespace bonsai::cli

int main(int argc, char** argv) {
  // Everything below returns errors as values; what still throws is a bug or the end of memory.
  try {
    const int code = bonsai::cli::Main(argc, argv);
    if (code != bonsai::cli::kDone || (std::fflush(stdout) == 0 && std::ferror(stdout) == 0)) return code;
    fmt::print(stderr, "bonsai: standard output: cannot be written (is the disk full?)\n");
    return bonsai::cli::kFailed;
  } catch (const std::exception& e) {
    fmt::print(stderr, "bonsai: {}\n", e.what());
    return bonsai::cli::kFailed;
  }
}
