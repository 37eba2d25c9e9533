// One answer: the logits' bits of a whole model do not depend on the instruction set, on how a prompt is cut into
// batches, on what else is in a batch, or on the number of threads.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "kernels/cpu_info.h"
#include "model/model.h"
#include "tests/synthetic.h"

namespace bonsai {
namespace {

using kernels::KvType;

constexpr int32_t kTokens = 70;  // more than one KV block
constexpr int32_t kPieces[] = {1, 2, 7, 16, 64};

/// Tokens of two different sequences.
int32_t TokenAt(int sequence, int32_t pos) { return (pos * 37 + pos * pos % 11 + sequence * 101) % 256; }

/// A model on a device of its own. BONSAI_ISA is set while that is made.
struct Runner {
  Runner(const formats::ModelFile& file, const std::string& isa, int threads, KvType kv_type, int64_t max_rows) {
    ::setenv("BONSAI_ISA", isa.c_str(), 1);
    auto made = kernels::NewCpuDevice({.threads = threads});
    ::unsetenv("BONSAI_ISA");
    EXPECT_TRUE(made) << made.error().message();
    device = std::move(*made);
    auto loaded = model::Model::Load(file, *device, {.max_rows = max_rows});
    EXPECT_TRUE(loaded) << loaded.error().message();
    model = std::move(*loaded);
    auto store = device->NewKvStore(model::KvSpecOf(model->config(), kv_type, kv_type));
    EXPECT_TRUE(store && (*store)->Grow(6));
    kv = std::move(*store);
  }

  /// One batch: `rows` tokens from `pos` on of each of the sequences [first, last). Appends to logits[sequence].
  void Forward(int32_t pos, int32_t rows, int first, int last, std::vector<float>* logits) {
    static constexpr int32_t kBlocks[2][3] = {{4, 0, 3}, {1, 5, 2}};
    std::vector<int32_t> tokens;
    std::vector<kernels::SequenceRows> parts;
    for (int s = first; s < last; ++s) {
      parts.push_back(
          {.first_row = static_cast<int32_t>(tokens.size()), .rows = rows, .pos = pos, .blocks = kBlocks[s]});
      for (int32_t i = 0; i < rows; ++i) tokens.push_back(TokenAt(s, pos + i));
    }
    model->Forward({.tokens = tokens, .sequences = parts}, *kv);
    std::vector<int32_t> all(tokens.size());
    for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<int32_t>(i);
    const auto vocab = static_cast<size_t>(model->config().vocab);
    std::vector<float> out(all.size() * vocab);
    EXPECT_TRUE(model->Logits(all, out));
    const auto part = static_cast<ptrdiff_t>(static_cast<size_t>(rows) * vocab);
    auto next = out.begin();
    for (int s = first; s < last; ++s, next += part) logits[s].insert(logits[s].end(), next, next + part);
  }

  std::unique_ptr<kernels::Device> device;
  std::unique_ptr<model::Model> model;
  std::unique_ptr<kernels::KvStore> kv;
};

struct Case {
  const char* weights;
  KvType kv_type;
  const char* arch = "qwen3";
  int32_t head_width = 64;
};
std::string NameOf(const testing::TestParamInfo<Case>& c) {
  std::string name = std::string(c.param.arch) + "_" + c.param.weights + "_kv_";
  name += std::string(kernels::KvTypeName(c.param.kv_type)) + "_x" + std::to_string(c.param.head_width);
  std::erase_if(name, [](char letter) { return letter == '-' || letter == '.'; });
  return name;
}

class OneAnswerTest : public testing::TestWithParam<Case> {};

TEST_P(OneAnswerTest, WhateverRunsIt) {
  const std::string bytes = test::BuildGguf({.arch = GetParam().arch,
                                             .d_model = 256,
                                             .k_width = GetParam().head_width,
                                             .v_width = GetParam().head_width,
                                             .d_ff = 768,
                                             .type = GetParam().weights,
                                             .extras = true});
  const auto file = test::OpenBytes(bytes);
  ASSERT_TRUE(file) << file.error().message();

  // Token by token, one sequence after the other, one thread, portable code.
  std::vector<float> expected[2];
  for (int s = 0; s < 2; ++s) {
    Runner runner(**file, "portable", 1, GetParam().kv_type, 1);
    for (int32_t pos = 0; pos < kTokens; ++pos) runner.Forward(pos, 1, s, s + 1, expected);
  }
  ASSERT_NE(expected[0], expected[1]);

  const auto cpu = kernels::DescribeCpu();
  ASSERT_TRUE(cpu) << cpu.error().message();
  for (const kernels::IsaInfo& isa : cpu->isas) {
    if (!isa.usable) continue;
    for (const int32_t piece : kPieces) {
      for (const int sequences : {1, 2}) {
        const int threads = sequences == 1 ? 3 : 2;
        Runner runner(**file, isa.name, threads, GetParam().kv_type, piece * sequences);
        std::vector<float> logits[2];
        for (int32_t pos = 0; pos < kTokens; pos += piece) {
          runner.Forward(pos, std::min(piece, kTokens - pos), 0, sequences, logits);
        }
        for (int s = 0; s < sequences; ++s) {
          // Not EXPECT_EQ: a failure would print 21,000 floats.
          const auto differs = std::mismatch(logits[s].begin(), logits[s].end(), expected[s].begin());
          ASSERT_TRUE(differs.first == logits[s].end())
              << isa.name << ", pieces of " << piece << ", sequence " << s << " of " << sequences << ": logit "
              << differs.first - logits[s].begin() << " is " << *differs.first << ", not " << *differs.second;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Formats, OneAnswerTest,
    testing::Values(Case{"Q1_0", KvType::kF16}, Case{"Q1_0", KvType::kQ8_0}, Case{"Q1_0", KvType::kQ4_0},
                    Case{"Q1_0", KvType::kF32}, Case{"Q2_0", KvType::kF16}, Case{"PQ2_0", KvType::kF16},
                    Case{"TQ2_0", KvType::kF16}, Case{"Q8_0", KvType::kF16}, Case{"F16", KvType::kF16},
                    Case{"BF16", KvType::kF16}, Case{"F32", KvType::kF16}, Case{"TQ1_0", KvType::kF16},
                    Case{"PTQ1_0", KvType::kF16}, Case{"Q4_0", KvType::kF16}, Case{"Q4_1", KvType::kF16},
                    Case{"Q1_0", KvType::kF16, "qwen2"}, Case{"F16", KvType::kF16, "llama"},
                    Case{"F32", KvType::kF16, "llama", 8}, Case{"TQ2_0", KvType::kF16, "bitnet-b1.58"},
                    Case{"F32", KvType::kF16, "bitnet-b1.58"}),
    NameOf);

}  // namespace
}  // namespace bonsai
