// bonsai bench and bonsai doctor as a user meets them.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/support.h"

namespace bonsai {
namespace {

using nlohmann::json;

struct Outcome {
  int code = -1;
  std::string out, err;
};

/// Runs `ENVIRONMENT bonsai ARGS` through the shell.
Outcome Bonsai(const std::string& args, const std::string& environment = "") {
  const test::TempDir dir;
  const char* bin = std::getenv("BONSAI_BIN_DIR");
  const std::string command = environment + " " + (bin != nullptr ? bin : "build/bin") + "/bonsai " + args + " >" +
                              (dir / "out") + " 2>" + (dir / "err") + " </dev/null";
  const int status = std::system(command.c_str());
  return {.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1,
          .out = test::ReadFile(dir / "out"),
          .err = test::ReadFile(dir / "err")};
}

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

std::vector<std::string> Cells(const std::string& line, char separator) {
  std::vector<std::string> cells;
  std::istringstream in(line);
  for (std::string cell; std::getline(in, cell, separator);) {
    const size_t a = cell.find_first_not_of(" \""), b = cell.find_last_not_of(" \"");
    cells.push_back(a == std::string::npos ? "" : cell.substr(a, b - a + 1));
  }
  return cells;
}

TEST(BenchTest, JsonHasTheRowsAndTheirStatistics) {
  const Outcome o = Bonsai("bench -p 8 -n 4 -pg 8,4 -d 0,70 -r 2 -o json");
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(o.err, "");
  const json rows = json::parse(o.out);
  ASSERT_EQ(rows.size(), 6u);  // three tests, two depths
  const int want[6][3] = {{8, 0, 0}, {0, 4, 0}, {8, 4, 0}, {8, 0, 70}, {0, 4, 70}, {8, 4, 70}};
  for (size_t i = 0; i < rows.size(); i++) {
    const json& r = rows[i];
    EXPECT_EQ(r["n_prompt"], want[i][0]);
    EXPECT_EQ(r["n_gen"], want[i][1]);
    EXPECT_EQ(r["n_depth"], want[i][2]);
    EXPECT_EQ(r["model_n_params"], 4197120);
    EXPECT_EQ(r["model_filename"], "built-in model");
    EXPECT_EQ(r["type_k"], "f16");
    EXPECT_EQ(r["n_ubatch"], 512);
    ASSERT_EQ(r["samples_ns"].size(), 2u);
    ASSERT_EQ(r["samples_ts"].size(), 2u);
    const double a = r["samples_ts"][0], b = r["samples_ts"][1], tokens = want[i][0] + want[i][1];
    EXPECT_NEAR(r["avg_ts"].get<double>(), (a + b) / 2, 1e-9 * a);
    EXPECT_NEAR(r["stddev_ts"].get<double>(), std::abs(a - b) / std::sqrt(2.0), 1e-9 * a);
    // Nanoseconds are rounded: half of one in at least thousands.
    EXPECT_NEAR(r["samples_ns"][0].get<double>() * a, tokens * 1e9, a);
    const double share = r["bytes_per_token"].get<double>() * (a + b) / 2 / r["read_bytes_per_s"].get<double>();
    EXPECT_GT(share, 0);
    // bytes_per_token is cut to an integer of at least thousands.
    EXPECT_NEAR(r["bandwidth_share"].get<double>(), share, 1e-3 * share);
    EXPECT_GT(r["dot_share"].get<double>(), 0);
    EXPECT_LT(r["dot_share"].get<double>(), 3);  // above 1 only by the noise of a short measurement
  }
  // A token of the built-in model multiplies by every matrix once (the embedding, tied, is the head): 4,194,304
  // weights at 1.125 bits; the cache adds 4 layers · 2 (keys, values) · 2 heads · 64 columns · 2 bytes a position.
  EXPECT_EQ(rows[1]["macs_per_token"], 4194304);
  const uint64_t weights = 4194304 / 8 * 9 / 8;
  EXPECT_EQ(rows[1]["bytes_per_token"], weights + (1 + 2 + 3 + 4) * 2048 / 4);
  EXPECT_EQ(rows[4]["bytes_per_token"], weights + (71 + 72 + 73 + 74) * 2048 / 4);
}

TEST(BenchTest, MarkdownAndLists) {
  const Outcome o =
      Bonsai("bench -p 8,16 -n 0 -ub 4,512 -ctk f16,f32 -t 1 -r 1 -m " + test::SourcePath("models/tiny-q1.gguf"));
  ASSERT_EQ(o.code, 0) << o.err;
  const std::vector<std::string> lines = Lines(o.out);
  ASSERT_GE(lines.size(), 2u + 8);
  const std::vector<std::string> head = Cells(lines[0], '|');
  const std::vector<std::string> want = {"", "model", "size", "params", "backend", "threads", "test", "t/s"};
  ASSERT_GE(head.size(), want.size());
  EXPECT_TRUE(std::equal(want.begin(), want.end(), head.begin())) << lines[0];
  const char* tests[] = {"pp8 ub4", "pp16 ub4", "pp8 ub4 kv f32/f16", "pp16 ub4 kv f32/f16",
                         "pp8",     "pp16",     "pp8 kv f32/f16",     "pp16 kv f32/f16"};
  for (size_t i = 0; i < 8; i++) {
    const std::vector<std::string> cells = Cells(lines[2 + i], '|');
    ASSERT_EQ(cells.size(), head.size()) << lines[2 + i];
    EXPECT_EQ(cells[5], "1");
    EXPECT_EQ(cells[6], tests[i]);
    EXPECT_NE(cells[7].find(" ± 0.00"), std::string::npos) << cells[7];
    EXPECT_GT(std::stod(cells[7]), 0);
  }
}

TEST(BenchTest, CsvAndJsonLines) {
  const Outcome csv = Bonsai("bench -p 8 -n 4 -r 2 -o csv --no-warmup");
  ASSERT_EQ(csv.code, 0) << csv.err;
  const std::vector<std::string> lines = Lines(csv.out);
  ASSERT_EQ(lines.size(), 3u);
  const std::vector<std::string> head = Cells(lines[0], ',');
  const auto column = [&](const char* name) {
    return static_cast<size_t>(std::find(head.begin(), head.end(), name) - head.begin());
  };
  ASSERT_LT(column("avg_ts"), head.size());
  EXPECT_EQ(column("samples_ns"), head.size());  // lists do not fit
  for (size_t i = 1; i < 3; i++) {
    const std::vector<std::string> cells = Cells(lines[i], ',');
    ASSERT_EQ(cells.size(), head.size());
    EXPECT_EQ(cells[column("n_prompt")], i == 1 ? "8" : "0");
    EXPECT_EQ(cells[column("n_gen")], i == 1 ? "0" : "4");
    EXPECT_GT(std::stod(cells[column("avg_ts")]), 0);
  }
  const Outcome jsonl = Bonsai("bench -p 8 -n 4 -r 2 -o jsonl --progress");
  ASSERT_EQ(jsonl.code, 0) << jsonl.err;
  EXPECT_NE(jsonl.err.find("test 2/2 tg4: run 2/2"), std::string::npos) << jsonl.err;
  ASSERT_EQ(Lines(jsonl.out).size(), 2u);
  EXPECT_EQ(json::parse(Lines(jsonl.out)[1])["n_gen"], 4);
}

TEST(BenchTest, WrongUsage) {
  for (const std::string args : {"-p x", "-p 8,-1", "-pg 8", "-pg 8,4,2", "-p 0 -n 0", "-o xml", "-r 0", "-ctk q9"}) {
    const Outcome o = Bonsai("bench " + args);
    EXPECT_EQ(o.code, 2) << args << o.err;
    EXPECT_EQ(o.out, "") << args;
    EXPECT_EQ(Lines(o.err).size(), 1u) << args << ": " << o.err;
  }
  EXPECT_EQ(Bonsai("bench -m /nothing.gguf").code, 1);
}

TEST(DoctorTest, JsonSaysWhatRuns) {
  const Outcome o = Bonsai("doctor --json " + test::SourcePath("models/tiny-q1.gguf"));
  ASSERT_EQ(o.code, 0) << o.err;
  const json j = json::parse(o.out);
  EXPECT_FALSE(j["cpu"]["model"].get<std::string>().empty());
  EXPECT_GT(j["cpu"]["last_level_cache"].get<uint64_t>(), 0u);
  EXPECT_GT(j["ceilings"]["read_bytes_per_s"].get<double>(), 1e8);  // 0.1 GB/s: any machine
  EXPECT_GT(j["ceilings"]["int8_macs_per_s"].get<double>(), 1e8);
  EXPECT_GE(j["threads"]["usable"].get<int>(), 1);
  EXPECT_GT(j["memory"]["total"].get<uint64_t>(), 0u);
  EXPECT_TRUE(j["memory"].contains("huge_pages"));
  EXPECT_EQ(j["isa"]["tables"].back()["name"], "portable");
  EXPECT_EQ(j["isa"]["tables"].back()["usable"], true);
  for (const json& table : j["isa"]["tables"]) {
    EXPECT_EQ(table["usable"].get<bool>(), table["missing"].empty()) << table;
    for (const json& name : table["missing"])  // every bit has a name a user can look up
      EXPECT_EQ(name.get<std::string>().find("CPU bits"), std::string::npos) << table;
  }
  EXPECT_NE(j["kernels"]["Q1_0"]["i8"]["path"], "reference");
  EXPECT_EQ(j["kernels"]["F16"]["i8"]["path"], "float");
  EXPECT_EQ(j["kernels"]["TQ1_0"]["as"], "TQ2_0");
  EXPECT_EQ(j["kernels"]["TQ1_0"]["i8"], j["kernels"]["TQ2_0"]["i8"]);
  EXPECT_FALSE(j["kernels"]["TQ2_0"].contains("as"));
  EXPECT_EQ(j["model"]["largest_context"], j["model"]["trained_context"]);
  EXPECT_EQ(j["model"]["matrices"].size(), 1u);
  EXPECT_TRUE(j["warnings"].is_array());
}

TEST(DoctorTest, WarnsOfAForcedTable) {
  const Outcome o = Bonsai("doctor", "BONSAI_ISA=portable");
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_NE(o.out.find("WARNING"), std::string::npos) << o.out;
  EXPECT_NE(o.out.find("BONSAI_ISA=portable"), std::string::npos) << o.out;
  EXPECT_NE(o.out.find("plain C++ loop"), std::string::npos) << o.out;
}

TEST(DoctorTest, AnUnknownTableIsCode2AndListsThose) {
  for (const std::string verb : {"doctor", "bench -p 8 -n 0"}) {
    const Outcome o = Bonsai(verb, "BONSAI_ISA=nonsense");
    EXPECT_EQ(o.code, 2) << verb;
    EXPECT_EQ(o.out, "") << verb;
    EXPECT_NE(o.err.find("BONSAI_ISA=nonsense"), std::string::npos) << o.err;
    EXPECT_NE(o.err.find("portable"), std::string::npos) << o.err;
  }
}

}  // namespace
}  // namespace bonsai
