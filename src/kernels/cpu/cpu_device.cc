#include "kernels/cpu/cpu_device.h"

#include <algorithm>
#include <cstdlib>
#include <functional>

#include "base/check.h"
#include "base/machine.h"
#include "kernels/cpu/select.h"
#include "kernels/ref/ref.h"

namespace bonsai::kernels {
namespace cpu {
namespace {

// Handles made by this device are its own classes: ops.h forbids mixing devices.
const CpuMatrix& Cpu(const Matrix& m) { return static_cast<const CpuMatrix&>(m); }
const CpuVector& Cpu(const Vector& v) { return static_cast<const CpuVector&>(v); }
const CpuTensor& Cpu(const Tensor& t) { return static_cast<const CpuTensor&>(t); }
CpuTensor& Cpu(Tensor& t) { return static_cast<CpuTensor&>(t); }
CpuAct& Cpu(Act& a) { return static_cast<CpuAct&>(a); }
/// Products fill in the forms of their input that only they need.
CpuAct& Prepared(const Act& a) { return const_cast<CpuAct&>(static_cast<const CpuAct&>(a)); }

// A product is cut in tiles of weight rows × tokens: 64 rows of 4,096 Q1_0 weights are 36 KiB and 16 tokens of int8
// 64 KiB, so both stay in L2 while they are multiplied with each other.
constexpr int64_t kTileTokens = 16;

bool FitsBatch(std::span<const SequenceRows> sequences, const Tensor& t) {
  return std::all_of(sequences.begin(), sequences.end(), [&](const SequenceRows& s) {
    return s.first_row >= 0 && s.rows >= 0 && s.pos >= 0 && int64_t{s.first_row} + s.rows <= t.max_rows();
  });
}

int64_t TotalRows(std::span<const SequenceRows> sequences) {
  int64_t rows = 0;
  for (const SequenceRows& s : sequences) rows += s.rows;
  return rows;
}

/// Where row i (counted through the sequences in order) of a batch is.
struct RowPlace {
  int64_t row;
  int32_t pos;
  const SequenceRows* sequence;
};
RowPlace PlaceOf(std::span<const SequenceRows> sequences, int64_t i) {
  size_t s = 0;
  while (i >= sequences[s].rows) i -= sequences[s++].rows;
  return {sequences[s].first_row + i, sequences[s].pos + static_cast<int32_t>(i), &sequences[s]};
}

}  // namespace

template <class Fn>
void CpuDevice::ForEach(int64_t n, Fn&& fn) {
  if (n == 1) return fn(0);
  Parallel([&](int thread, int threads) {
    const Slice slice = SliceOf(static_cast<size_t>(n), thread, threads);
    for (size_t i = slice.begin; i < slice.end; ++i) fn(static_cast<int64_t>(i));
  });
}

std::string CpuDevice::name() const {
  const int threads = pool_.threads();
  return fmt::format("CPU ({}, {} {})", table_.name, threads, threads == 1 ? "thread" : "threads");
}

Result<std::unique_ptr<Matrix>> CpuDevice::LoadMatrix(const MatrixSpec& spec, const ReadRowsFn& read) {
  return CpuMatrix::Load(spec, KernelsFor(table_, *spec.type), Tiles(spec), pool_, read);
}

Result<std::unique_ptr<Vector>> CpuDevice::LoadVector(std::span<const float> values) {
  return std::unique_ptr<Vector>(new CpuVector(values));
}

Result<std::unique_ptr<Tensor>> CpuDevice::NewTensor(int64_t max_rows, int64_t cols) {
  return CpuTensor::Make(max_rows, cols);
}

Result<std::unique_ptr<Act>> CpuDevice::NewAct(int64_t max_rows, int64_t cols,
                                               std::span<const Matrix* const> consumers) {
  bool with_i8 = false;
  std::vector<const TileKernels*> tiles;
  for (const Matrix* w : consumers) {
    BONSAI_CHECK(w->spec().cols == cols);
    with_i8 = with_i8 || TakesI8(Cpu(*w));
    if (Cpu(*w).tiles() != nullptr) tiles.push_back(Cpu(*w).tiles());
  }
  return CpuAct::Make(max_rows, cols, with_i8, tiles);
}

Result<std::unique_ptr<KvStore>> CpuDevice::NewKvStore(const KvSpec& spec) {
  BONSAI_RETURN_IF_ERROR(spec.Check());
  const int64_t floats = int64_t{kKvBlock} * (spec.k_width + spec.v_width);
  if (floats > kv_scratch_floats_) {
    const auto bytes = static_cast<size_t>(floats * pool_.threads()) * sizeof(float);
    BONSAI_ASSIGN(kv_scratch_, Buffer::Allocate(bytes));
    kv_scratch_floats_ = floats;
  }
  return std::unique_ptr<KvStore>(new CpuKvStore(spec));
}

uint64_t CpuDevice::MatrixBytes(const MatrixSpec& spec) const { return CpuMatrix::Bytes(spec, Tiles(spec)); }

uint64_t CpuDevice::TensorBytes(int64_t max_rows, int64_t cols) const { return CpuTensor::Bytes(max_rows, cols); }

uint64_t CpuDevice::ActBytes(int64_t max_rows, int64_t cols) const {
  // The consumers are not known: as if they had every layout of the table. That is 15% more than one layout takes, and
  // what a file of mixed formats does take.
  std::vector<const TileKernels*> tiles;
  if (act_ == ActType::kI8) tiles = TilesOf(table_);
  return CpuAct::Bytes(max_rows, cols, act_ == ActType::kI8, tiles);
}

void CpuDevice::Embed(const Matrix& table, std::span<const int32_t> tokens, Tensor& out) {
  const MatrixSpec& spec = table.spec();
  BONSAI_CHECK(spec.cols == out.cols() && static_cast<int64_t>(tokens.size()) <= out.max_rows());
  for (size_t t = 0; t < tokens.size(); ++t) {
    BONSAI_CHECK(tokens[t] >= 0 && tokens[t] < spec.rows);
    Cpu(table).Decode(tokens[t], Cpu(out).row(static_cast<int64_t>(t)));
  }
}

void CpuDevice::RmsNorm(const Tensor& x, const Vector& gain, float eps, int64_t rows, Act& out) {
  BONSAI_CHECK(x.cols() == gain.size() && x.cols() == out.cols() && rows <= x.max_rows() && rows <= out.max_rows());
  ForEach(rows, [&](int64_t t) {
    token_.rms_norm(Cpu(x).row(t), Cpu(gain).data(), eps, x.cols(), Cpu(out).row(t));
    Cpu(out).FinishPart(token_, t, 0, x.cols());
  });
}

void CpuDevice::SwiGlu(const Tensor& gate, const Tensor& up, int64_t rows, Act& out) {
  BONSAI_CHECK(gate.cols() == up.cols() && gate.cols() == out.cols());
  BONSAI_CHECK(rows <= gate.max_rows() && rows <= up.max_rows() && rows <= out.max_rows());
  // In parts of a row: one token's 12,288 columns are worth several threads.
  constexpr int64_t kPart = 2048;
  static_assert(kPart % quant::kActGroup == 0);
  const int64_t parts = (gate.cols() + kPart - 1) / kPart;
  ForEach(rows * parts, [&](int64_t item) {
    const int64_t t = item / parts, first = item % parts * kPart, count = std::min(kPart, gate.cols() - first);
    token_.swiglu(Cpu(gate).row(t) + first, Cpu(up).row(t) + first, count, Cpu(out).row(t) + first);
    Cpu(out).FinishPart(token_, t, first, count);
  });
}

void CpuDevice::MatMul(std::span<const Product> group, const Act& x, int64_t rows) {
  targets_.clear();
  for (const Product& p : group) {
    BONSAI_CHECK(p.out->cols() == p.w->spec().rows && rows <= p.out->max_rows());
    targets_.push_back({&Cpu(*p.w), Cpu(*p.out).row(0), p.out->cols(), false});
  }
  Multiply(targets_, Prepared(x), rows);
}

void CpuDevice::MatMulAdd(const Matrix& w, const Act& x, int64_t rows, Tensor& y) {
  BONSAI_CHECK(y.cols() == w.spec().rows && rows <= y.max_rows());
  const Target target = {&Cpu(w), Cpu(y).row(0), y.cols(), true};
  Multiply({&target, 1}, Prepared(x), rows);
}

void CpuDevice::Multiply(std::span<const Target> targets, CpuAct& x, int64_t rows) {
  BONSAI_CHECK(rows <= x.max_rows());
  int64_t total = 0;  // the bands of all targets, numbered through
  bool tiled = false;
  for (const Target& target : targets) {
    BONSAI_CHECK(target.w->spec().cols == x.cols() && (x.has_i8() || !TakesI8(*target.w)));
    BONSAI_CHECK(target.w->tiles() == nullptr || x.FindForm(*target.w->tiles()) != nullptr);
    total += target.w->bands();
    tiled = tiled || target.w->tiles() != nullptr;
  }
  if (tiled) PrepareTiles(targets, x, rows);
  Parallel([&](int thread, int threads) {
    const Slice slice = SliceOf(static_cast<size_t>(total), thread, threads);
    auto begin = static_cast<int64_t>(slice.begin), end = static_cast<int64_t>(slice.end);
    for (const Target& target : targets) {
      const int64_t count = target.w->bands();
      const int64_t first = std::clamp<int64_t>(begin, 0, count), last = std::clamp<int64_t>(end, 0, count);
      begin -= count, end -= count;
      if (first == last) continue;
      if (target.w->tiles() == nullptr) {
        MultiplyRows(target, x, rows, first * kBandRows, std::min(last * kBandRows, target.w->spec().rows));
      } else if (rows <= kMostSingly) {
        MultiplyOneByOne(target, x, rows, first, last);
      } else {
        MultiplyMany(target, x, rows, first, last);
      }
    }
  });
}

void CpuDevice::PrepareTiles(std::span<const Target> targets, CpuAct& x, int64_t rows) {
  const auto needed = [&](const TileForm& form) {
    return std::any_of(targets.begin(), targets.end(), [&](const Target& target) {
      return target.w->tiles() != nullptr && TileForm::Same(*form.kernels, *target.w->tiles());
    });
  };
  Parallel([&](int thread, int threads) {
    const auto count = static_cast<size_t>(rows <= kMostSingly ? x.groups() : rows);
    const Slice slice = SliceOf(count, thread, threads);
    const auto begin = static_cast<int64_t>(slice.begin), end = static_cast<int64_t>(slice.end);
    for (TileForm& form : x.forms()) {
      if (!needed(form)) continue;
      if (rows <= kMostSingly) {
        for (int64_t t = 0; t < rows; ++t) x.MakeTables(form, t, begin, end);
      } else {
        for (int64_t t = begin; t < end; ++t) x.Regroup(form, t);
      }
    }
  });
}

/// Band results y [rows of the band] for one token → the target's output.
void CpuDevice::StoreBand(const Target& target, int64_t token, int64_t band, const float* y) {
  const int64_t first = band * kBandRows;
  const int64_t count = std::min(kBandRows, target.w->spec().rows - first);
  float* out = target.out + token * target.stride + first;
  for (int64_t r = 0; r < count; ++r) out[r] = target.add ? out[r] + y[r] : y[r];
}

void CpuDevice::MultiplyOneByOne(const Target& target, const CpuAct& x, int64_t rows, int64_t first, int64_t last) {
  const CpuMatrix& w = *target.w;
  const TileForm& form = *x.FindForm(*w.tiles());
  constexpr int64_t kBandsATime = 16;
  float y[kBandsATime * kBandRows];
  for (int64_t band = first; band < last; band += kBandsATime) {
    const int64_t bands = std::min(kBandsATime, last - band);
    for (int64_t t = 0; t < rows; ++t) {
      w.tiles()->one(w.band(band), bands, w.groups(), x.tables(form, t), x.i8_rows(t).scales, y);
      for (int64_t b = 0; b < bands; ++b) StoreBand(target, t, band + b, y + b * kBandRows);
    }
  }
}

void CpuDevice::MultiplyMany(const Target& target, const CpuAct& x, int64_t rows, int64_t first, int64_t last) {
  const CpuMatrix& w = *target.w;
  const TileKernels& tiles = *w.tiles();
  const TileForm& form = *x.FindForm(tiles);
  // Results of one band, or of fewer tokens and several: 32 KiB, in L1 or L2. Each chunk of tokens expands every tile
  // again, 2% of its products, so chunks are equal: 512 tokens in five of 108 and not in four of 126 and a wasteful one
  // of 8.
  constexpr int64_t kMostTokens = 126, kTokens = 6;  // tile kernels take 6 tokens a time
  float y[kMostTokens * kBandRows];
  const int64_t bands_a_time = tiles.many_bands != nullptr ? tiles.most_bands : 1;
  const int64_t most = std::max(kMostTokens / bands_a_time / kTokens * kTokens, kTokens);
  BONSAI_CHECK(most * bands_a_time <= kMostTokens);
  const int64_t chunks = (rows + most - 1) / most;
  const int64_t step = ((rows + chunks - 1) / chunks + kTokens - 1) / kTokens * kTokens;
  for (int64_t t = 0; t < rows; t += step) {
    const int64_t tokens = std::min(step, rows - t);
    for (int64_t band = first; band < last; band += bands_a_time) {
      const int64_t bands = std::min(bands_a_time, last - band);
      if (tiles.many_bands != nullptr) {
        tiles.many_bands(w.band(band), bands, w.groups(), x.regrouped_rows(form, t), x.sums(form, t), tokens, y);
      } else {
        tiles.many(w.band(band), w.groups(), x.regrouped_rows(form, t), x.sums(form, t), tokens, y);
      }
      for (int64_t i = 0; i < bands * tokens; ++i) {
        StoreBand(target, t + i % tokens, band + i / tokens, y + i * kBandRows);
      }
    }
  }
}

void CpuDevice::MultiplyRows(const Target& target, const CpuAct& x, int64_t rows, int64_t first, int64_t last) const {
  const CpuMatrix& w = *target.w;
  const MatrixSpec& spec = w.spec();
  const bool i8 = TakesI8(w);
  float tile[kTileTokens][kBandRows];
  float y[kTileTokens];
  for (int64_t r0 = first; r0 < last; r0 += kBandRows) {
    const int64_t tile_rows = std::min(kBandRows, last - r0);
    for (int64_t t0 = 0; t0 < rows; t0 += kTileTokens) {
      const int64_t tokens = std::min(kTileTokens, rows - t0);
      if (!i8) w.kernels().f32(*spec.type, w.rows(r0, tile_rows), x.f32_rows(t0), tokens, tile[0]);
      for (int64_t r = 0; i8 && r < tile_rows; ++r) {
        w.kernels().i8(*spec.type, w.row(r0 + r), spec.cols, x.i8_rows(t0), tokens, y);
        for (int64_t t = 0; t < tokens; ++t) tile[t][r] = y[t];
      }
      for (int64_t t = 0; t < tokens; ++t) {
        float* out = target.out + (t0 + t) * target.stride + r0;
        for (int64_t r = 0; r < tile_rows; ++r) out[r] = target.add ? out[r] + tile[t][r] : tile[t][r];
      }
    }
  }
}

Status CpuDevice::Logits(const Tensor& x, const Vector& gain, float eps, std::span<const int32_t> rows,
                         const Matrix& head, Act& scratch, std::span<float> host_logits) {
  const int64_t vocab = head.spec().rows, count = static_cast<int64_t>(rows.size());
  BONSAI_CHECK(host_logits.size() == rows.size() * static_cast<size_t>(vocab));
  BONSAI_CHECK(x.cols() == gain.size() && x.cols() == scratch.cols());
  for (int64_t first = 0; first < count; first += scratch.max_rows()) {
    const int64_t n = std::min(scratch.max_rows(), count - first);
    ForEach(n, [&](int64_t i) {
      const int32_t row = rows[static_cast<size_t>(first + i)];
      BONSAI_CHECK(row >= 0 && row < x.max_rows());
      token_.rms_norm(Cpu(x).row(row), Cpu(gain).data(), eps, x.cols(), Cpu(scratch).row(i));
      Cpu(scratch).FinishPart(token_, i, 0, x.cols());
    });
    const Target target = {&Cpu(head), host_logits.data() + first * vocab, vocab, false};
    Multiply({&target, 1}, Cpu(scratch), n);
  }
  return {};
}

void CpuDevice::RopeTable(const RopeSpec& rope, std::span<const SequenceRows> sequences, Tensor& table) {
  BONSAI_CHECK(static_cast<int64_t>(rope.inv_freq.size()) * 2 == table.cols() && FitsBatch(sequences, table));
  ForEach(TotalRows(sequences), [&](int64_t i) {
    const RowPlace place = PlaceOf(sequences, i);
    ref::RopeAngles(rope, place.pos, Cpu(table).row(place.row));
  });
}

void CpuDevice::QkNormRopeStore(const QkvSpec& spec, const Tensor& rope_table, Tensor& q, Tensor& k, const Tensor& v,
                                const KvView& kv) {
  const int64_t dk = spec.k_width, dv = spec.v_width;
  const KvSpec& stored = kv.store->spec();
  BONSAI_CHECK(rope_table.cols() == dk && q.cols() == spec.heads * dk && k.cols() == spec.kv_heads * dk);
  BONSAI_CHECK(v.cols() == spec.kv_heads * dv && stored.k_width == dk && stored.v_width == dv);
  BONSAI_CHECK(stored.kv_heads == spec.kv_heads && FitsBatch(kv.sequences, rope_table));
  BONSAI_CHECK(FitsBatch(kv.sequences, q) && FitsBatch(kv.sequences, k) && FitsBatch(kv.sequences, v));
  auto& store = static_cast<CpuKvStore&>(*kv.store);
  const auto norm_and_rotate = [&](float* head, const Vector* gain, int64_t row) {
    if (gain != nullptr) token_.rms_norm(head, Cpu(*gain).data(), spec.eps, dk, head);
    ref::RopeRotate(Cpu(rope_table).row(row), dk, spec.rope_interleaved, head);
  };
  // One item a head: the query heads of a row, then its KV heads.
  const int64_t heads = spec.heads + spec.kv_heads;
  ForEach(TotalRows(kv.sequences) * heads, [&](int64_t item) {
    const RowPlace place = PlaceOf(kv.sequences, item / heads);
    auto head = static_cast<int32_t>(item % heads);
    if (head < spec.heads) return norm_and_rotate(Cpu(q).row(place.row) + head * dk, spec.q_norm, place.row);
    head -= spec.heads;
    float* key = Cpu(k).row(place.row) + head * dk;
    norm_and_rotate(key, spec.k_norm, place.row);
    const int32_t block = place.sequence->blocks[static_cast<size_t>(place.pos / kKvBlock)];
    const auto slot = static_cast<size_t>(place.pos % kKvBlock);
    std::byte* keys = store.keys(block, kv.layer, head) + KvBytes(stored.k_type, slot * static_cast<size_t>(dk));
    std::byte* values = store.values(block, kv.layer, head) + KvBytes(stored.v_type, slot * static_cast<size_t>(dv));
    ref::KvFromFloat(stored.k_type, key, dk, keys);
    ref::KvFromFloat(stored.v_type, Cpu(v).row(place.row) + head * dv, dv, values);
  });
}

}  // namespace cpu

Result<std::unique_ptr<Device>> NewCpuDevice(const CpuOptions& options) {
  const char* isa = std::getenv("BONSAI_ISA");
  BONSAI_ASSIGN(const KernelTable* table, SelectKernels(isa != nullptr ? isa : "", DetectCpuBits()));
  if (options.threads < 0) return Error(ErrorCode::kInvalidArgument, "threads: {} is negative", options.threads);
  const int threads = options.threads == 0 ? UsableCpus() : options.threads;
  return std::unique_ptr<Device>(new cpu::CpuDevice(*table, threads, options.act));
}

}  // namespace bonsai::kernels
