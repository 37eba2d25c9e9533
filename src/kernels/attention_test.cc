// Norm, rotation, the KV cache and attention: each against double precision, then all of them for equal bits whatever
// the batch, the threads and the neighbours in the batch.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "kernels/cpu/select.h"
#include "kernels/ref/ref.h"
#include "kernels/test_util.h"

namespace bonsai::kernels {
namespace {

using namespace test;  // NOLINT(build/namespaces)

struct Case {
  const char* name;
  int32_t heads, kv_heads, k_width, v_width;
  KvType k_type, v_type;
  bool norm, interleaved;
  ActType act = ActType::kF32;
};
constexpr Case kCases[] = {
    {"Mha64F32", 2, 2, 64, 64, KvType::kF32, KvType::kF32, true, false},
    {"Gqa2x80F16", 4, 2, 80, 80, KvType::kF16, KvType::kF16, true, false},
    {"Gqa4x128F16", 8, 2, 128, 128, KvType::kF16, KvType::kF16, true, false},
    {"Gqa12x64NoNormF32", 12, 1, 64, 64, KvType::kF32, KvType::kF32, false, false},
    {"KWidth96VWidth40Interleaved", 4, 2, 96, 40, KvType::kF32, KvType::kF16, false, true},
    {"Gqa3x64Q8", 6, 2, 64, 64, KvType::kQ8_0, KvType::kQ8_0, true, false},
    {"Gqa4x128Q4", 8, 2, 128, 128, KvType::kQ4_0, KvType::kQ4_0, true, false},
    {"Gqa8x96KeysQ8ValuesQ4", 8, 1, 96, 64, KvType::kQ8_0, KvType::kQ4_0, true, false},
    {"Gqa3x64Q8I8", 6, 2, 64, 64, KvType::kQ8_0, KvType::kQ8_0, true, false, ActType::kI8},
    {"Gqa4x128Q4I8", 8, 2, 128, 128, KvType::kQ4_0, KvType::kQ4_0, true, false, ActType::kI8},
    {"Gqa16x128KeysQ8ValuesF16I8", 16, 1, 128, 80, KvType::kQ8_0, KvType::kF16, false, false, ActType::kI8},
    {"Interleaved64F16", 2, 1, 64, 64, KvType::kF16, KvType::kF16, true, true},
    {"Interleaved8F16", 8, 4, 8, 8, KvType::kF16, KvType::kF16, false, true},  // no whole register
    {"KWidth8VWidth24F32", 4, 4, 8, 24, KvType::kF32, KvType::kF32, true, false, ActType::kI8},
};

constexpr int32_t kLayers = 2, kLayer = 1;
constexpr float kEps = 1e-6f;

/// A device with a cache and two sequences in it: A in blocks 3, 0, 4 and B in blocks 1, 2.
class AttentionTest : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    const Case& c = GetParam();
    device_ = MakeDevice(3, c.act);
    store_ = std::move(*device_->NewKvStore({.layers = kLayers,
                                             .kv_heads = c.kv_heads,
                                             .k_width = c.k_width,
                                             .v_width = c.v_width,
                                             .k_type = c.k_type,
                                             .v_type = c.v_type}));
    ASSERT_TRUE(store_->Grow(5));
    q_norm_ = MakeVector(*device_, Randoms(c.k_width, 11));
    k_norm_ = MakeVector(*device_, Randoms(c.k_width, 12));
    spec_ = {.heads = c.heads,
             .kv_heads = c.kv_heads,
             .k_width = c.k_width,
             .v_width = c.v_width,
             .q_norm = c.norm ? q_norm_.get() : nullptr,
             .k_norm = c.norm ? k_norm_.get() : nullptr,
             .eps = kEps,
             .rope_interleaved = c.interleaved};
    for (int32_t i = 0; i < c.k_width / 2; ++i) {
      rope_.inv_freq.push_back(static_cast<float>(std::pow(1e4, -2.0 * i / c.k_width)));
    }
  }

  /// q, k, v of a batch, before and after.
  struct Rows {
    int64_t count = 0;
    std::vector<float> q_in, k_in, v_in;
    std::unique_ptr<Tensor> table, q, k, v;
  };
  Rows Store(std::span<const SequenceRows> sequences, uint64_t seed) {
    const Case& c = GetParam();
    Rows rows;
    for (const SequenceRows& s : sequences) rows.count += s.rows;
    rows.q_in = Randoms(rows.count * c.heads * c.k_width, seed);
    rows.k_in = Randoms(rows.count * c.kv_heads * c.k_width, seed + 1);
    rows.v_in = Randoms(rows.count * c.kv_heads * c.v_width, seed + 2);
    rows.table = MakeTensor(*device_, rows.count, c.k_width);
    rows.q = MakeTensor(*device_, rows.count, int64_t{c.heads} * c.k_width, rows.q_in);
    rows.k = MakeTensor(*device_, rows.count, int64_t{c.kv_heads} * c.k_width, rows.k_in);
    rows.v = MakeTensor(*device_, rows.count, int64_t{c.kv_heads} * c.v_width, rows.v_in);
    device_->RopeTable(rope_, sequences, *rows.table);
    device_->QkNormRopeStore(spec_, *rows.table, *rows.q, *rows.k, *rows.v, View(sequences));
    return rows;
  }
  KvView View(std::span<const SequenceRows> sequences) { return {store_.get(), kLayer, sequences}; }

  /// What the cache holds for a position, as floats.
  std::vector<float> Cached(bool keys, std::span<const int32_t> blocks, int32_t pos, int32_t head) {
    const Case& c = GetParam();
    auto& store = static_cast<cpu::CpuKvStore&>(*store_);
    const int32_t block = blocks[static_cast<size_t>(pos / kKvBlock)];
    return keys ? StoredKey(c.k_type, store.keys(block, kLayer, head), c.k_width, pos % kKvBlock)
                : StoredValue(c.v_type, store.values(block, kLayer, head), c.v_width, pos % kKvBlock);
  }

  /// Checks one normed and rotated head: `got` from `in` at `pos`.
  void ExpectRotated(const float* in, const Vector& gain, int32_t pos, const float* got) {
    const Case& c = GetParam();
    const int64_t n = c.k_width, pairs = n / 2;
    std::vector<double> x(in, in + n);
    double norm_error = 0;
    if (c.norm) {
      double sum = 0;
      for (const double v : x) sum += v * v;
      const float* g = static_cast<const cpu::CpuVector&>(gain).data();
      for (int64_t i = 0; i < n; ++i)
        x[static_cast<size_t>(i)] *= g[i] / std::sqrt(sum / static_cast<double>(n) + kEps);
      norm_error = ((static_cast<double>(n) / 16 + 7) / 2 + 4) * kRound;  // ops_test.cc
    }
    for (int64_t i = 0; i < pairs; ++i) {
      const double angle = pos * static_cast<double>(rope_.inv_freq[static_cast<size_t>(i)]);
      const int64_t ia = c.interleaved ? 2 * i : i, ib = c.interleaved ? 2 * i + 1 : i + pairs;
      const double a = x[static_cast<size_t>(ia)], b = x[static_cast<size_t>(ib)];
      const double cos = std::cos(angle), sin = std::sin(angle);
      // Three roundings: the table, the product, the sum.
      const auto bound = [&](double m) { return 1.01 * (norm_error + 3 * kRound) * m; };
      const double ea = a * cos - b * sin, eb = b * cos + a * sin;
      ASSERT_NEAR(got[ia], ea, bound(std::fabs(a * cos) + std::fabs(b * sin))) << "pos " << pos << " pair " << i;
      ASSERT_NEAR(got[ib], eb, bound(std::fabs(b * cos) + std::fabs(a * sin))) << "pos " << pos << " pair " << i;
    }
  }

  void ExpectAttended(const float* q, std::span<const int32_t> blocks, int32_t pos, int32_t kv_head, float scale,
                      const float* got);

  std::unique_ptr<Device> device_;
  std::unique_ptr<KvStore> store_;
  std::unique_ptr<Vector> q_norm_, k_norm_;
  QkvSpec spec_;
  RopeSpec rope_;
  const std::vector<int32_t> blocks_a_ = {3, 0, 4}, blocks_b_ = {1, 2};
};
INSTANTIATE_TEST_SUITE_P(Cases, AttentionTest, testing::ValuesIn(kCases),
                         [](const auto& tested) { return std::string(tested.param.name); });

TEST_P(AttentionTest, NormRotationAndStorageWithinBound) {
  const Case& c = GetParam();
  // Positions cross a block border in A; B starts far in its second block.
  const SequenceRows sequences[] = {{.first_row = 0, .rows = 4, .pos = 62, .blocks = blocks_a_},
                                    {.first_row = 4, .rows = 1, .pos = 100, .blocks = blocks_b_}};
  const Rows rows = Store(sequences, 100);
  // What storing makes of a head, in any slot: token_test.cc has the bounds.
  const auto stored_key = [](KvType type, const float* x, int32_t width) {
    std::vector<std::byte> block(KvBytes(type, size_t{kKvBlock} * static_cast<size_t>(width)));
    ref::StoreKeys(type, x, 0, 1, width, 5, block.data());
    return StoredKey(type, block.data(), width, 5);
  };
  const auto stored_value = [](KvType type, const float* x, int32_t width) {
    std::vector<std::byte> block(KvBytes(type, size_t{kKvBlock} * static_cast<size_t>(width)));
    ref::StoreValues(type, x, 0, 1, width, 5, block.data());
    return StoredValue(type, block.data(), width, 5);
  };
  for (int32_t row = 0; row < 5; ++row) {
    const std::vector<int32_t>& blocks = row < 4 ? blocks_a_ : blocks_b_;
    const int32_t pos = row < 4 ? 62 + row : 100;
    for (int32_t h = 0; h < c.heads; ++h) {
      ExpectRotated(&rows.q_in[static_cast<size_t>((row * c.heads + h) * c.k_width)], *q_norm_, pos,
                    RowOf(*rows.q, row) + h * c.k_width);
    }
    for (int32_t h = 0; h < c.kv_heads; ++h) {
      const float* key = RowOf(*rows.k, row) + h * c.k_width;
      ExpectRotated(&rows.k_in[static_cast<size_t>((row * c.kv_heads + h) * c.k_width)], *k_norm_, pos, key);
      ASSERT_EQ(Cached(true, blocks, pos, h), stored_key(c.k_type, key, c.k_width));
      const float* value = &rows.v_in[static_cast<size_t>((row * c.kv_heads + h) * c.v_width)];
      ASSERT_EQ(Cached(false, blocks, pos, h), stored_value(c.v_type, value, c.v_width));
    }
  }
}

void AttentionTest::ExpectAttended(const float* q, std::span<const int32_t> blocks, int32_t pos, int32_t kv_head,
                                   float scale, const float* got) {
  const Case& c = GetParam();
  const int32_t keys = pos + 1;
  std::vector<double> scores, query(q, q + c.k_width);
  const bool i8 = c.act == ActType::kI8 && KvBlockWidth(c.k_type) > 1;
  for (int64_t b = 0; i8 && b < c.k_width; b += kKvGroup) {
    int8_t codes[kKvGroup];
    const double d = quant::QuantizeGroupI8(q + b, kKvGroup, codes);
    for (int64_t i = 0; i < kKvGroup; ++i) query[static_cast<size_t>(b + i)] = codes[i] * d;
  }
  double magnitude = 0;  // largest Σ|q·k|·scale
  for (int32_t j = 0; j < keys; ++j) {
    const std::vector<float> k = Cached(true, blocks, j, kv_head);
    double score = 0, sum = 0;
    for (size_t d = 0; d < k.size(); ++d) {
      score += query[d] * k[d] * scale, sum += std::fabs(query[d] * k[d] * scale);
    }
    scores.push_back(score), magnitude = std::max(magnitude, sum);
  }
  const auto [low, high] = std::minmax_element(scores.begin(), scores.end());
  const double range = *high - *low, max = *high;
  double total = 0;
  std::vector<double> out(static_cast<size_t>(c.v_width)), out_magnitude(static_cast<size_t>(c.v_width));
  for (int32_t j = 0; j < keys; ++j) {
    const double p = std::exp(scores[static_cast<size_t>(j)] - max);
    const std::vector<float> v = Cached(false, blocks, j, kv_head);
    total += p;
    for (size_t d = 0; d < v.size(); ++d) out[d] += p * v[d], out_magnitude[d] += p * std::fabs(v[d]);
  }
  // A score: one rounding an element (int8: two a group of 32, and the rounding of k in this test), one for the scale.
  // A weight: its score's error, the rounding of score - max (at most the range), two roundings' worth for Exp, two for
  // quantised values (weight · scale; the rounding of v in this test); and for each block that rescales it again a
  // difference, an Exp and a product. The error counts twice, above and below the division. Then the additions: below
  // 8 a block's sum and one a block, above one a key; and two for the division.
  const double n = keys, blocks_seen = std::ceil(n / kKvBlock);
  const double roundings = i8 ? 2.0 * static_cast<double>(c.k_width / kKvGroup) + 1 : c.k_width;
  const double weight = (roundings + 1) * magnitude + range + 4 + blocks_seen * (range + 3);
  const double bound = 1.01 * kRound * (2 * weight + 8 + blocks_seen + n + 2);
  for (size_t d = 0; d < out.size(); ++d) {
    ASSERT_NEAR(got[d], out[d] / total, bound * out_magnitude[d] / total) << "pos " << pos << " element " << d;
  }
}

TEST_P(AttentionTest, WithinBoundForSeveralSequencesAndBlocks) {
  const Case& c = GetParam();
  // Histories first, then one batch with the last rows of both, B before A.
  const SequenceRows a0[] = {{.first_row = 0, .rows = 121, .pos = 0, .blocks = blocks_a_}};
  const SequenceRows b0[] = {{.first_row = 0, .rows = 63, .pos = 0, .blocks = blocks_b_}};
  Store(a0, 1), Store(b0, 4);
  const SequenceRows batch[] = {{.first_row = 0, .rows = 3, .pos = 63, .blocks = blocks_b_},
                                {.first_row = 3, .rows = 12, .pos = 121, .blocks = blocks_a_}};
  const Rows rows = Store(batch, 7);
  const auto out = MakeAct(*device_, rows.count, int64_t{c.heads} * c.v_width, {});
  const float scale = 1.5f / std::sqrt(static_cast<float>(c.k_width));
  device_->Attend(spec_, scale, *rows.q, View(batch), *out);
  for (int32_t row = 0; row < rows.count; ++row) {
    for (int32_t h = 0; h < c.heads; ++h) {
      ExpectAttended(RowOf(*rows.q, row) + h * c.k_width, row < 3 ? blocks_b_ : blocks_a_,
                     row < 3 ? 63 + row : 118 + row, h / (c.heads / c.kv_heads), scale,
                     RowOf(*out, row) + h * c.v_width);
    }
  }
}

TEST_P(AttentionTest, NormOverAllHeads) {
  const Case& c = GetParam();
  const SequenceRows batch[] = {{.first_row = 0, .rows = 19, .pos = 0, .blocks = blocks_a_},
                                {.first_row = 19, .rows = 1, .pos = 0, .blocks = blocks_b_}};
  const Rows rows = Store(batch, 7);
  const int64_t cols = int64_t{c.heads} * c.v_width;
  const TestMatrix m = MakeMatrix(*device_, "Q8_0", 1, cols, 1);  // takes int8 where the device has it
  const auto gain = MakeVector(*device_, Randoms(cols, 9));
  const auto plain = MakeAct(*device_, rows.count, cols, {}), want = MakeAct(*device_, rows.count, cols, {m.w.get()}),
             got = MakeAct(*device_, rows.count, cols, {m.w.get()});
  device_->Attend(spec_, 0.2f, *rows.q, View(batch), *plain);
  const auto copy = MakeTensor(*device_, rows.count, cols);
  for (int64_t t = 0; t < rows.count; ++t) std::copy_n(RowOf(*plain, t), cols, RowOf(*copy, t));
  device_->RmsNorm(*copy, *gain, kEps, rows.count, *want);
  spec_.out_norm = gain.get();
  device_->Attend(spec_, 0.2f, *rows.q, View(batch), *got);
  for (int64_t t = 0; t < rows.count; ++t) {
    ASSERT_EQ(std::memcmp(RowOf(*got, t), RowOf(*want, t), static_cast<size_t>(cols) * sizeof(float)), 0) << t;
    if (c.act != ActType::kI8) continue;
    const I8Rows a = CpuActOf(*got).i8_rows(t), b = CpuActOf(*want).i8_rows(t);
    ASSERT_EQ(std::memcmp(a.q, b.q, static_cast<size_t>(cols)), 0) << t;
    ASSERT_EQ(std::memcmp(a.scales, b.scales, static_cast<size_t>(quant::ActGroups(cols)) * sizeof(float)), 0) << t;
  }
}

TEST(SoftmaxTest, KnownAnswers) {
  // Equal scores average; a key whose score is larger by 200 wins alone, also across blocks and in either order.
  const float q = 1;
  for (const float second : {0.0f, 200.0f, -200.0f}) {
    const float k[] = {0.0f, second}, v[] = {1.0f, 3.0f};
    const float expected = second == 0 ? 2.0f : second > 0 ? 3.0f : 1.0f;
    for (const bool together : {true, false}) {
      float out = 0;
      AttendQuery query = {.q = &q, .out = &out, .max = -INFINITY};
      for (int i = 0; i < (together ? 1 : 2); ++i) {
        float keys[kKvBlock], values[kKvBlock];
        query.visible = together ? 2 : 1;
        ref::StoreKeys(KvType::kF32, k + i, 1, query.visible, 1, 0, reinterpret_cast<std::byte*>(keys));
        ref::StoreValues(KvType::kF32, v + i, 1, query.visible, 1, 0, reinterpret_cast<std::byte*>(values));
        ref::AttendBlock({KvType::kF32, KvType::kF32, reinterpret_cast<std::byte*>(keys),
                          reinterpret_cast<std::byte*>(values), 1, 1, nullptr},
                         1.0f, &query, 1);
      }
      EXPECT_EQ(out / query.sum, expected);
    }
  }
}

/// Two attention layers over a stream of rows: everything that could depend on how the rows were batched.
class Net {
 public:
  static constexpr int32_t kWidth = 256, kHeads = 6, kKvHeads = 2, kHead = 96;
  Net(int threads, ActType act, KvType kv, const std::string& isa = "") : device_(MakeDevice(threads, act, isa)) {
    Device& d = *device_;
    wq_ = MakeMatrix(d, "Q1_0", kHeads * kHead, kWidth, 1).w;
    wk_ = MakeMatrix(d, "Q1_0", kKvHeads * kHead, kWidth, 2).w;
    wv_ = MakeMatrix(d, "Q8_0", kKvHeads * kHead, kWidth, 3).w;
    wo_ = MakeMatrix(d, "Q8_0", kWidth, kHeads * kHead, 4).w;
    gain_ = MakeVector(d, Randoms(kWidth, 5));
    head_gain_ = MakeVector(d, Randoms(kHead, 6));
    store_ = std::move(*d.NewKvStore({2, kKvHeads, kHead, kHead, kv, kv}));
    EXPECT_TRUE(store_->Grow(8));
    for (int i = 0; i < kHead / 2; ++i) rope_.inv_freq.push_back(1.0f / static_cast<float>(1 + i));
  }
  /// Output rows for input rows x [T, kWidth].
  std::vector<float> Run(const std::vector<float>& x, std::span<const SequenceRows> sequences) {
    Device& d = *device_;
    const auto rows = static_cast<int64_t>(x.size()) / kWidth;
    const auto h = MakeTensor(d, rows, kWidth, x), table = MakeTensor(d, rows, kHead);
    const auto q = MakeTensor(d, rows, kHeads * kHead), k = MakeTensor(d, rows, kKvHeads * kHead),
               v = MakeTensor(d, rows, kKvHeads * kHead);
    const auto in = MakeAct(d, rows, kWidth, {wq_.get(), wv_.get()}),
               out = MakeAct(d, rows, kHeads * kHead, {wo_.get()});
    const QkvSpec spec = {kHeads, kKvHeads, kHead, kHead, head_gain_.get(), head_gain_.get(), nullptr, 1e-6f};
    d.RopeTable(rope_, sequences, *table);
    for (int32_t layer = 0; layer < 2; ++layer) {
      const KvView view = {store_.get(), layer, sequences};
      const Product qkv[] = {{wq_.get(), q.get()}, {wk_.get(), k.get()}, {wv_.get(), v.get()}};
      d.RmsNorm(*h, *gain_, 1e-6f, rows, *in);
      d.MatMul(qkv, *in, rows);
      d.QkNormRopeStore(spec, *table, *q, *k, *v, view);
      d.Attend(spec, 0.11f, *q, view, *out);
      d.MatMulAdd({wo_.get(), h.get()}, *out, rows);
    }
    return Values(*h, rows);
  }

 private:
  std::unique_ptr<Device> device_;
  std::unique_ptr<Matrix> wq_, wk_, wv_, wo_;
  std::unique_ptr<Vector> gain_, head_gain_;
  std::unique_ptr<KvStore> store_;
  RopeSpec rope_;
};

std::vector<float> Cut(const std::vector<float>& x, int64_t first, int64_t rows) {
  return {x.begin() + first * Net::kWidth, x.begin() + (first + rows) * Net::kWidth};
}

TEST(OneAnswerTest, BatchSizeAndThreadsChangeNoBit) {
  constexpr int32_t kRows = 70;  // crosses a KV block

  const std::vector<float> x = Randoms(int64_t{kRows} * Net::kWidth, 20);
  const std::vector<int32_t> blocks = {2, 0};
  for (const auto& [act, kv] : {std::pair(ActType::kI8, KvType::kF16), std::pair(ActType::kF32, KvType::kF32),
                                std::pair(ActType::kI8, KvType::kQ8_0), std::pair(ActType::kI8, KvType::kQ4_0),
                                std::pair(ActType::kF32, KvType::kQ8_0)}) {
    std::vector<float> reference;
    for (const int threads : {1, 2, 3}) {
      for (const int32_t batch : {1, 2, 7, 16, kRows}) {
        Net net(threads, act, kv);
        std::vector<float> all;
        for (int32_t pos = 0; pos < kRows; pos += batch) {
          const int32_t n = std::min(batch, kRows - pos);
          const SequenceRows rows = {.first_row = 0, .rows = n, .pos = pos, .blocks = blocks};
          const std::vector<float> out = net.Run(Cut(x, pos, n), {&rows, 1});
          all.insert(all.end(), out.begin(), out.end());
        }
        if (reference.empty()) reference = all;
        ASSERT_EQ(std::memcmp(all.data(), reference.data(), all.size() * sizeof(float)), 0)
            << threads << " threads, batch " << batch;
      }
    }
    for (const float v : reference) ASSERT_TRUE(std::isfinite(v));
  }
}

TEST(OneAnswerTest, InstructionSetsChangeNoBit) {
  constexpr int32_t kRows = 70;
  const std::vector<float> x = Randoms(int64_t{kRows} * Net::kWidth, 21);
  const std::vector<int32_t> blocks = {1, 3};
  const SequenceRows rows = {.first_row = 0, .rows = kRows, .pos = 0, .blocks = blocks};
  for (const auto& [act, kv] : {std::pair(ActType::kI8, KvType::kF16), std::pair(ActType::kF32, KvType::kF16),
                                std::pair(ActType::kI8, KvType::kQ8_0), std::pair(ActType::kF32, KvType::kQ4_0)}) {
    const std::vector<float> want = Net(2, act, kv, "portable").Run(x, {&rows, 1});
    for (const KernelTable* table : AllKernelTables()) {
      if ((table->needs & ~DetectCpuBits()) != 0) continue;
      EXPECT_EQ(Net(2, act, kv, table->name).Run(x, {&rows, 1}), want) << table->name << " " << KvTypeName(kv);
    }
  }
}

TEST(OneAnswerTest, NeighboursInABatchChangeNoBit) {
  const std::vector<float> xa = Randoms(100 * Net::kWidth, 30), xb = Randoms(70 * Net::kWidth, 31);
  const std::vector<int32_t> blocks_a = {5, 1}, blocks_b = {0, 7};
  const SequenceRows a = {.first_row = 0, .rows = 100, .pos = 0, .blocks = blocks_a};
  const SequenceRows b = {.first_row = 0, .rows = 70, .pos = 0, .blocks = blocks_b};
  Net alone(2, ActType::kI8, KvType::kF16);
  const std::vector<float> out_a = alone.Run(xa, {&a, 1}), out_b = alone.Run(xb, {&b, 1});
  std::vector<float> x = xb;
  x.insert(x.end(), xa.begin(), xa.end());
  const SequenceRows both[] = {{.first_row = 70, .rows = 100, .pos = 0, .blocks = blocks_a}, b};
  Net together(3, ActType::kI8, KvType::kF16);
  const std::vector<float> out = together.Run(x, both);
  EXPECT_EQ(Cut(out, 70, 100), out_a);
  EXPECT_EQ(Cut(out, 0, 70), out_b);
}

}  // namespace
}  // namespace bonsai::kernels
