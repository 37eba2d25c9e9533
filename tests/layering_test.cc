// Reads every #include under src/ and include/ and fails on an arrow that docs/architecture.md does not draw. The
// tables of that page are the specification: they are parsed here, not repeated.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support.h"

namespace bonsai {
namespace {

namespace fs = std::filesystem;

/// Who may include a third-party header, by how the header's path begins.
struct Owner {
  std::string prefix;
  std::set<std::string> folders;  ///< Empty: see the flags.
  bool everyone = false;
  bool cc_only = false;     ///< In .cc files only.
  bool tests_only = false;  ///< In test code only.
};

struct Rules {
  std::map<std::string, int> rows;  ///< Folder → row; higher rows may include lower ones.
  std::set<std::string> allowed;    ///< "cli→server", inside a row.
  std::set<std::string> refused;    ///< "kernels→formats", although it points down.
  std::vector<Owner> owners;
};

bool EndsWith(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

/// The words in `backticks`.
std::vector<std::string> Ticked(const std::string& text) {
  static const std::regex kTicked("`([^`]+)`");
  std::vector<std::string> words;
  for (std::sregex_iterator it(text.begin(), text.end(), kTicked), end; it != end; ++it) words.push_back((*it)[1]);
  return words;
}

/// The cells of the body of the first markdown table whose header line begins with `header`.
std::vector<std::vector<std::string>> Table(const std::vector<std::string>& lines, const std::string& header) {
  std::vector<std::vector<std::string>> rows;
  auto line = std::find_if(lines.begin(), lines.end(), [&](const std::string& l) { return l.rfind(header, 0) == 0; });
  for (size_t skip = 0; skip < 2 && line != lines.end(); ++skip) ++line;  // the header and the rule under it
  for (; line != lines.end() && line->rfind("| ", 0) == 0; ++line) {
    std::vector<std::string> cells;
    std::istringstream in(line->substr(1));
    for (std::string cell; std::getline(in, cell, '|');) cells.push_back(cell);
    rows.push_back(cells);
  }
  return rows;
}

std::set<std::string> Edges(const std::vector<std::string>& lines, const std::string& begin, const std::string& arrow) {
  std::set<std::string> edges;
  for (const std::string& line : lines) {
    if (line.rfind(begin, 0) != 0) continue;
    for (const std::string& edge : Ticked(line)) {
      const size_t at = edge.find(arrow);
      if (at != std::string::npos) edges.insert(edge.substr(0, at) + "→" + edge.substr(at + arrow.size()));
    }
  }
  return edges;
}

Rules ParseRules(const std::string& page) {
  const std::vector<std::string> lines = Lines(page);
  Rules rules;
  const auto layers = Table(lines, "| row | folders");
  for (size_t i = 0; i < layers.size(); ++i) {
    for (const std::string& folder : Ticked(layers[i].at(1))) rules.rows[folder] = static_cast<int>(layers.size() - i);
  }
  rules.allowed = Edges(lines, "Edges inside a row:", "→");
  rules.refused = Edges(lines, "Edges that point down and are still refused:", "↛");
  for (const auto& cells : Table(lines, "| headers | package")) {
    for (const std::string& prefix : Ticked(cells.at(0))) {
      Owner owner;
      owner.prefix = prefix;
      const std::vector<std::string> names = Ticked(cells.at(3));
      owner.everyone = cells.at(3).find("everyone") != std::string::npos;
      owner.cc_only = cells.at(3).find(".cc files of") != std::string::npos;
      owner.tests_only = std::find(names.begin(), names.end(), "*_test.cc") != names.end();
      if (!owner.tests_only) owner.folders.insert(names.begin(), names.end());
      rules.owners.push_back(owner);
    }
  }
  return rules;
}

/// Of the C library and POSIX. A header of C++ has neither a dot nor a slash.
bool IsSystemHeader(const std::string& header) {
  static const std::set<std::string> kNames = {
      "assert.h", "ctype.h",  "dirent.h", "dlfcn.h",  "errno.h",   "fcntl.h",   "float.h",  "fnmatch.h", "inttypes.h",
      "limits.h", "malloc.h", "math.h",   "poll.h",   "pthread.h", "sched.h",   "signal.h", "stdbool.h", "stddef.h",
      "stdint.h", "stdio.h",  "stdlib.h", "string.h", "strings.h", "termios.h", "time.h",   "unistd.h",  "wchar.h"};
  return header.find_first_of("./") == std::string::npos || kNames.count(header) > 0 || header.rfind("sys/", 0) == 0 ||
         header.rfind("linux/", 0) == 0 || header.rfind("arpa/", 0) == 0 || header.rfind("netinet/", 0) == 0;
}

/// x_test.cc, x_fuzz.cc, and the headers that only these include: test_x.h, x_testing.h.
bool IsTestCode(const std::string& path) {
  static const std::regex kTestCode(R"((.*_(test|fuzz)\.cc)|(test_.*|.*_testing)\.h)");
  return std::regex_match(fs::path(path).filename().string(), kTestCode);
}

/// What is wrong with `path` (from src/) including <header>, or nothing.
std::optional<std::string> CheckThirdParty(const Rules& rules, const std::string& path, const std::string& header) {
  const std::string folder = path.substr(0, path.find('/'));
  for (const Owner& owner : rules.owners) {
    if (header.rfind(owner.prefix, 0) != 0) continue;
    if (owner.tests_only) {
      if (IsTestCode(path)) return std::nullopt;
      return fmt::format("<{}> belongs to tests", header);
    }
    if (owner.folders.count(path) > 0) return std::nullopt;  // a header of ours that passes it on
    if (!owner.everyone && owner.folders.count(folder) == 0) return fmt::format("<{}> is not {}/'s", header, folder);
    if (owner.cc_only && !EndsWith(path, ".cc") && !IsTestCode(path))
      return fmt::format("<{}> only in .cc files", header);
    return std::nullopt;
  }
  if (IsSystemHeader(header)) return std::nullopt;
  return fmt::format("<{}> has no owner in docs/architecture.md", header);
}

/// The same for "header".
std::optional<std::string> CheckOwn(const Rules& rules, const std::string& path, const std::string& header) {
  const std::string from = path.substr(0, path.find('/'));
  if (header.find('/') == std::string::npos) return fmt::format("\"{}\": write the path from src/", header);
  for (const Owner& owner : rules.owners) {
    const bool heavy = owner.cc_only && owner.folders.count(header) > 0;
    if (heavy && !EndsWith(path, ".cc") && !IsTestCode(path)) return fmt::format("\"{}\" only in .cc files", header);
  }
  const std::string to = header.substr(0, header.find('/'));
  if (to == from) return std::nullopt;
  if (to == "tests") {
    if (IsTestCode(path)) return std::nullopt;
    return fmt::format("\"{}\" belongs to tests", header);
  }
  if (to == "bonsai") {
    if (from == "capi") return std::nullopt;
    return fmt::format("\"{}\": only capi/ includes the public header", header);
  }
  if (rules.rows.count(to) == 0) return fmt::format("\"{}\": {}/ is in no row of docs/architecture.md", header, to);
  const std::string edge = from + "→" + to;
  const bool down = rules.rows.at(to) < rules.rows.at(from);
  if ((down && rules.refused.count(edge) == 0) || rules.allowed.count(edge) > 0) return std::nullopt;
  return fmt::format("\"{}\": {} is not drawn", header, edge);
}

/// All violations of one file, as "path:line: what". `path` is from src/.
std::vector<std::string> CheckFile(const Rules& rules, const std::string& path, const std::string& text) {
  static const std::regex kInclude(R"(^\s*#\s*include\s*([<"])([^>"]+)[>"].*)");
  const std::string folder = path.substr(0, path.find('/'));
  if (rules.rows.count(folder) == 0) return {path + ": its folder is in no row of docs/architecture.md"};
  std::vector<std::string> wrong;
  const std::vector<std::string> lines = Lines(text);
  for (size_t i = 0; i < lines.size(); ++i) {
    std::smatch match;
    if (!std::regex_match(lines[i], match, kInclude)) continue;
    const auto what = match[1] == "<" ? CheckThirdParty(rules, path, match[2]) : CheckOwn(rules, path, match[2]);
    if (what) wrong.push_back(fmt::format("{}:{}: {}", path, i + 1, *what));
  }
  return wrong;
}

/// Names, and lengths: a file over 1,000 lines is a room too large to know one's way in.
std::vector<std::string> CheckShape(const std::string& path, const std::string& text) {
  static const std::regex kSnake(R"([a-z0-9_]+(\.[a-z0-9]+)*)");
  std::vector<std::string> wrong;
  const std::string name = fs::path(path).filename().string();
  if (name != "CMakeLists.txt" && !std::regex_match(name, kSnake)) wrong.push_back(path + ": name is not snake_case");
  const auto lines = std::count(text.begin(), text.end(), '\n');
  if (lines > 1000) wrong.push_back(fmt::format("{}: {} lines, over 1,000", path, lines));
  return wrong;
}

Rules RepositoryRules() { return ParseRules(test::ReadFile(test::SourcePath("docs/architecture.md"))); }

/// Regular files below a folder of the repository, as paths from its root, sorted.
std::vector<std::string> Files(const std::string& folder) {
  std::vector<std::string> files;
  const fs::path root = test::SourcePath("");
  if (!fs::exists(root / folder)) return files;
  for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
    if (entry.is_regular_file()) files.push_back(fs::relative(entry.path(), root).string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

bool IsCode(const std::string& path) {
  static const std::set<std::string> kEnds = {".h", ".c", ".cc", ".inc", ".cu", ".cuh"};
  return kEnds.count(fs::path(path).extension().string()) > 0;
}

std::string Join(const std::vector<std::string>& lines) { return fmt::format("{}", fmt::join(lines, "\n")); }

TEST(Layering, SourcesFollowTheTable) {
  const Rules rules = RepositoryRules();
  std::vector<std::string> wrong;
  size_t seen = 0;
  for (const std::string& file : Files("src")) {
    if (!IsCode(file)) continue;
    ++seen;
    const auto found = CheckFile(rules, file.substr(4), test::ReadFile(test::SourcePath(file)));
    wrong.insert(wrong.end(), found.begin(), found.end());
  }
  EXPECT_GT(seen, 20u);
  EXPECT_TRUE(wrong.empty()) << Join(wrong);
}

TEST(Layering, PublicHeadersNeedOnlyC) {
  static const std::regex kInclude(R"(\s*#\s*include\s*(\S+).*)");
  const std::set<std::string> allowed = {"<stdbool.h>", "<stddef.h>", "<stdint.h>"};
  for (const std::string& file : Files("include")) {
    for (const std::string& line : Lines(test::ReadFile(test::SourcePath(file)))) {
      std::smatch match;
      if (!std::regex_match(line, match, kInclude)) continue;
      EXPECT_EQ(allowed.count(match[1]), 1u) << file << ": " << line;
    }
  }
}

TEST(Layering, FilesAreSmallAndSnakeCase) {
  std::vector<std::string> wrong;
  for (const char* folder : {"src", "include", "tests", "bench", "tools", "cmake"}) {
    for (const std::string& file : Files(folder)) {
      const std::string extension = fs::path(file).extension().string();
      if (!IsCode(file) && extension != ".sh" && extension != ".cmake" && extension != ".py") continue;
      const auto found = CheckShape(file, test::ReadFile(test::SourcePath(file)));
      wrong.insert(wrong.end(), found.begin(), found.end());
    }
  }
  EXPECT_TRUE(wrong.empty()) << Join(wrong);
}

// The checks above must be able to fail: here is what they were made to catch.
TEST(LayeringSelfTest, ReadsThePage) {
  const Rules rules = RepositoryRules();
  EXPECT_EQ(rules.rows.size(), 16u);
  EXPECT_EQ(rules.rows.at("base"), 1);
  EXPECT_EQ(rules.rows.at("cli"), 7);
  EXPECT_EQ(rules.rows.at("text"), rules.rows.at("formats"));
  EXPECT_EQ(rules.allowed.size(), 6u);
  EXPECT_EQ(rules.refused.count("kernels→formats"), 1u);
  EXPECT_GE(rules.owners.size(), 16u);
}

TEST(LayeringSelfTest, RefusesWhatIsNotDrawn) {
  const Rules rules = RepositoryRules();
  struct Case {
    const char* path;
    const char* include;
    const char* says;
  };
  const Case cases[] = {
      {"base/a.cc", "#include \"quant/types.h\"", "base→quant is not drawn"},                 // upwards
      {"model/arch/a.cc", "#  include \"engine/engine.h\"", "model→engine is not drawn"},     // from a subfolder
      {"formats/a.cc", "#include \"text/tokenizer.h\"", "formats→text is not drawn"},         // against an edge
      {"sampling/a.h", "#include \"model/model.h\"  // why", "sampling→model is not drawn"},  // same row, no edge
      {"kernels/a.cc", "#include \"formats/gguf.h\"", "kernels→formats is not drawn"},        // down but refused
      {"engine/a.cc", "#include \"engine.h\"", "write the path from src/"},                   // relative
      {"engine/a.cc", "#include \"nowhere/a.h\"", "nowhere/ is in no row"},                   // unknown folder
      {"nowhere/a.cc", "#include <vector>", "in no row"},                                     // file in such a folder
      {"engine/a.cc", "#include \"tests/support.h\"", "belongs to tests"},                    // not a test
      {"engine/a.cc", "#include \"bonsai/bonsai.h\"", "only capi/"},                          // the public header
      {"quant/a.h", "#include <tl/expected.hpp>", "is not quant/'s"},                         // another's library
      {"model/a.cc", "#include <pcre2.h>", "is not model/'s"},
      {"base/a.cc", "#include <immintrin.h>", "is not base/'s"},
      {"server/a.cc", "#include <CLI/CLI.hpp>", "is not server/'s"},
      {"formats/a.h", "#include <nlohmann/json.hpp>", "only in .cc files"},
      {"base/a.h", "#include <nlohmann/json.hpp>", "only in .cc files"},
      {"formats/a.h", "#include \"base/json.h\"", "only in .cc files"},  // it includes nlohmann
      {"server/a.h", "#include <nlohmann/json.hpp>", "only in .cc files"},
      {"formats/a.h", "#include <nlohmann/json_fwd.hpp>", "is not formats/'s"},
      {"base/a.cc", "#include <gtest/gtest.h>", "belongs to tests"},
      {"base/latest_a.h", "#include <gtest/gtest.h>", "belongs to tests"},
      {"base/a.cc", "#include <absl/strings/str_cat.h>", "has no owner"},
      {"base/a.cc", "#include <zlib.h>", "has no owner"},
  };
  for (const Case& c : cases) {
    const auto wrong = CheckFile(rules, c.path, std::string("// first line\n") + c.include + "\n");
    ASSERT_EQ(wrong.size(), 1u) << c.path << " " << c.include;
    EXPECT_NE(wrong[0].find(c.says), std::string::npos) << wrong[0];
  }
}

TEST(LayeringSelfTest, AllowsWhatIsDrawn) {
  const Rules rules = RepositoryRules();
  const char* cases[][2] = {
      {"cli/a.cc", "#include \"server/server.h\""},     {"text/a.cc", "#include \"formats/metadata.h\""},
      {"kernels/a.cc", "#include <immintrin.h>"},       {"kernels/a.cc", "#include \"quant/types.h\""},
      {"formats/a.cc", "#include <nlohmann/json.hpp>"}, {"engine/a_test.cc", "#include \"tests/support.h\""},
      {"engine/a_test.cc", "#include <gtest/gtest.h>"}, {"capi/a.cc", "#include \"bonsai/bonsai.h\""},
      {"kernels/test_a.h", "#include <gtest/gtest.h>"}, {"text/test_a.h", "#include <nlohmann/json.hpp>"},
      {"base/a.cc", "#include <sys/mman.h>"},           {"base/a.h", "//   #include \"cli/cli.h\" in a comment"},
      {"model/arch/a.cc", "#include \"model/b.h\""},    {"base/json.h", "#include <nlohmann/json.hpp>"},
      {"formats/a.cc", "#include \"base/json.h\""},     {"server/a.h", "#include <nlohmann/json_fwd.hpp>"},
  };
  for (const auto& c : cases) EXPECT_EQ(Join(CheckFile(rules, c[0], std::string(c[1]) + "\n")), "");
}

TEST(LayeringSelfTest, RefusesLongFilesAndOtherNames) {
  EXPECT_EQ(CheckShape("src/base/a.cc", std::string(1000, '\n')).size(), 0u);
  EXPECT_EQ(CheckShape("src/base/a.cc", std::string(1001, '\n')).size(), 1u);
  EXPECT_EQ(CheckShape("src/base/FileName.cc", "").size(), 1u);
  EXPECT_EQ(CheckShape("src/base/file-name.cc", "").size(), 1u);
  EXPECT_EQ(CheckShape("src/base/CMakeLists.txt", "").size(), 0u);
}

}  // namespace
}  // namespace bonsai
