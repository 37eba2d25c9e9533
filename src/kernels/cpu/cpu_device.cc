#include "kernels/cpu/cpu_device.h"

#include <algorithm>
#include <cstdlib>
#include <functional>

#include "base/check.h"
#include "base/machine.h"
#include "kernels/cpu/runs_as.h"
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

// Rows of one head that are stored together: a line of f16 keys.
constexpr int32_t kStoreRun = 32;
static_assert(kKvBlock % kStoreRun == 0);

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

/// How the tokens of a batch are cut for TileKernels::many: `count` chunks of `tokens`, the last one shorter. Chunks
/// are equal, so that none pays for its tiles with few tokens (512 tokens in five of 104, not four of 126 and one of
/// 8), but whole octets, which kernels prefer.
struct Chunks {
  int64_t count, tokens;
};
Chunks ChunksOf(const CpuMatrix& w, int64_t rows) {
  if (w.tiles() == nullptr || rows <= w.tiles()->most_singly) return {1, rows};
  const int64_t most = w.tiles()->most_tokens, least = (rows + most - 1) / most;
  const int64_t tokens = std::min(((rows + least - 1) / least + 7) / 8 * 8, most);
  return {(rows + tokens - 1) / tokens, tokens};
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
  const quant::Type& as = RunsAs(*spec.type, spec.cols);
  if (&as != spec.type) return LoadMatrix({&as, spec.rows, spec.cols}, Repacked(*spec.type, as, spec.cols, read));
  const TileKernels* tiles = Tiles(spec);
  if (tiles != nullptr) BONSAI_RETURN_IF_ERROR(tile_scratch_.Fit(*tiles, pool_.threads()));
  return CpuMatrix::Load(spec, KernelsFor(table_, *spec.type), tiles, pool_, read);
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
  if (const int64_t floats = AttendScratchFloats(spec.k_width); floats > kv_scratch_floats_) {
    const auto bytes = static_cast<size_t>(floats * pool_.threads()) * sizeof(float);
    BONSAI_ASSIGN(kv_scratch_, Buffer::Allocate(bytes));
    kv_scratch_floats_ = floats;
  }
  return std::unique_ptr<KvStore>(new CpuKvStore(spec));
}

uint64_t CpuDevice::MatrixBytes(const MatrixSpec& spec) const {
  const MatrixSpec kept = {&RunsAs(*spec.type, spec.cols), spec.rows, spec.cols};
  return CpuMatrix::Bytes(kept, Tiles(kept));
}

uint64_t CpuDevice::TensorBytes(int64_t max_rows, int64_t cols) const { return CpuTensor::Bytes(max_rows, cols); }

uint64_t CpuDevice::ActBytes(int64_t max_rows, int64_t cols) const {
  // The consumers are not known: as if they had every layout of the table. That is 15% more than one layout takes, and
  // what a file of mixed formats does take.
  std::vector<const TileKernels*> tiles;
  for (const quant::Type& type : quant::Types()) {
    const TileKernels* own = act_ == ActType::kI8 ? TilesFor(table_, type, cols) : nullptr;
    if (own != nullptr) tiles.push_back(own);
  }
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

void CpuDevice::FinishRow(const Vector* gain, float eps, int64_t t, CpuAct& out) const {
  BONSAI_CHECK(gain == nullptr || gain->size() == out.cols());
  if (gain != nullptr) token_.rms_norm(out.row(t), Cpu(*gain).data(), eps, out.cols(), out.row(t));
  out.FinishPart(token_, t, 0, out.cols());
}

void CpuDevice::Glu(const GluSpec& spec, const Tensor& gate, const Tensor& up, int64_t rows, Act& out) {
  BONSAI_CHECK(gate.cols() == up.cols() && gate.cols() == out.cols());
  BONSAI_CHECK(rows <= gate.max_rows() && rows <= up.max_rows() && rows <= out.max_rows());
  // In parts of a row: one token's 12,288 columns are worth several threads.
  constexpr int64_t kPart = 2048;
  static_assert(kPart % quant::kActGroup == 0);
  const int64_t parts = (gate.cols() + kPart - 1) / kPart;
  const auto glu = spec.fn == GateFn::kRelu2 ? token_.relu2_glu : token_.swiglu;
  ForEach(rows * parts, [&](int64_t item) {
    const int64_t t = item / parts, first = item % parts * kPart, count = std::min(kPart, gate.cols() - first);
    glu(Cpu(gate).row(t) + first, Cpu(up).row(t) + first, count, Cpu(out).row(t) + first);
    if (spec.norm == nullptr) Cpu(out).FinishPart(token_, t, first, count);
  });
  if (spec.norm == nullptr) return;
  ForEach(rows, [&](int64_t t) { FinishRow(spec.norm, spec.eps, t, Cpu(out)); });
}

void CpuDevice::MatMul(std::span<const Product> group, const Act& x, int64_t rows) {
  targets_.clear();
  for (const Product& p : group) {
    targets_.push_back(TargetOf(p, rows, false));
  }
  Multiply(targets_, Prepared(x), rows);
}

void CpuDevice::MatMulAdd(const Product& product, const Act& x, int64_t rows) {
  const Target target = TargetOf(product, rows, true);
  Multiply({&target, 1}, Prepared(x), rows);
}

CpuDevice::Target CpuDevice::TargetOf(const Product& p, int64_t rows, bool add) {
  BONSAI_CHECK(p.out->cols() == p.w->spec().rows && rows <= p.out->max_rows());
  BONSAI_CHECK(p.bias == nullptr || p.bias->size() == p.w->spec().rows);
  const float* bias = p.bias != nullptr ? Cpu(*p.bias).data() : nullptr;
  return {&Cpu(*p.w), Cpu(*p.out).row(0), p.out->cols(), p.scale, bias, add};
}

void CpuDevice::Multiply(std::span<const Target> targets, CpuAct& x, int64_t rows) {
  BONSAI_CHECK(rows <= x.max_rows());
  int64_t total = 0;  // the bands of all targets × chunks of tokens, numbered through
  bool tiled = false;
  for (const Target& target : targets) {
    BONSAI_CHECK(target.w->spec().cols == x.cols() && (x.has_i8() || !TakesI8(*target.w)));
    BONSAI_CHECK(target.w->tiles() == nullptr || x.FindForm(*target.w->tiles()) != nullptr);
    total += target.w->bands() * ChunksOf(*target.w, rows).count;
    tiled = tiled || target.w->tiles() != nullptr;
  }
  if (tiled) PrepareTiles(targets, x, rows);
  Parallel([&](int thread, int threads) {
    const Slice slice = SliceOf(static_cast<size_t>(total), thread, threads);
    auto begin = static_cast<int64_t>(slice.begin), end = static_cast<int64_t>(slice.end);
    for (const Target& target : targets) {
      const int64_t count = target.w->bands() * ChunksOf(*target.w, rows).count;
      const int64_t first = std::clamp<int64_t>(begin, 0, count), last = std::clamp<int64_t>(end, 0, count);
      begin -= count, end -= count;
      if (first == last) continue;
      if (target.w->tiles() == nullptr) {
        MultiplyRows(target, x, rows, first * kBandRows, std::min(last * kBandRows, target.w->spec().rows));
      } else if (rows <= target.w->tiles()->most_singly) {
        MultiplyOneByOne(target, x, rows, first, last);
      } else {
        MultiplyMany(target, x, rows, first, last, tile_scratch_.Of(thread));
      }
    }
  });
}

void CpuDevice::PrepareTiles(std::span<const Target> targets, CpuAct& x, int64_t rows) {
  const auto needed = [&](const TileForm& form) {
    if (rows > form.kernels->most_singly && form.kernels->sum_groups == nullptr) return false;  // takes plain codes
    return std::any_of(targets.begin(), targets.end(), [&](const Target& target) {
      return target.w->tiles() != nullptr && TileForm::Same(*form.kernels, *target.w->tiles());
    });
  };
  if (std::none_of(x.forms().begin(), x.forms().end(), needed)) return;
  Parallel([&](int thread, int threads) {
    for (TileForm& form : x.forms()) {
      if (!needed(form)) continue;
      const bool singly = rows <= form.kernels->most_singly;
      const Slice slice = SliceOf(static_cast<size_t>(singly ? x.groups() : rows), thread, threads);
      const auto begin = static_cast<int64_t>(slice.begin), end = static_cast<int64_t>(slice.end);
      if (singly) {
        for (int64_t t = 0; t < rows; ++t) x.MakeTables(form, t, begin, end);
      } else {
        for (int64_t t = begin; t < end; ++t) x.SumGroups(form, t);
      }
    }
  });
}

/// Sums y of rows [first, first + count) of the weights for one token → the target's output.
void CpuDevice::StoreRows(const Target& target, int64_t token, int64_t first, int64_t count, const float* y) {
  float* out = target.out + token * target.stride + first;
  for (int64_t r = 0; r < count; ++r) {
    float value = y[r] * target.scale;  // times 1 changes no bit
    if (target.bias != nullptr) value += target.bias[first + r];
    out[r] = target.add ? out[r] + value : value;
  }
}

void CpuDevice::StoreBand(const Target& target, int64_t token, int64_t band, const float* y) {
  const int64_t first = band * kBandRows;
  StoreRows(target, token, first, std::min(kBandRows, target.w->spec().rows - first), y);
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

void CpuDevice::MultiplyMany(const Target& target, const CpuAct& x, int64_t rows, int64_t first, int64_t last,
                             TileScratch::Slice scratch) {
  const CpuMatrix& w = *target.w;
  const TileKernels& tiles = *w.tiles();
  const TileForm& form = *x.FindForm(tiles);
  const int64_t step = ChunksOf(w, rows).tokens;
  for (int64_t item = first, bands; item < last; item += bands) {
    const int64_t t = item / w.bands() * step, tokens = std::min(step, rows - t), band = item % w.bands();
    bands = std::min({tiles.most_bands, w.bands() - band, last - item});
    tiles.many(w.band(band), bands, w.groups(), x.i8_rows(t), x.sums(form, t), tokens, scratch.work, scratch.y);
    for (int64_t i = 0; i < tokens; ++i) {  // a row of the output at a time: rows can lie 16 KiB apart
      for (int64_t b = 0; b < bands; ++b) {
        StoreBand(target, t + i, band + b, scratch.y + (b * tokens + i) * kBandRows);
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
      for (int64_t t = 0; t < tokens; ++t) StoreRows(target, t0 + t, r0, tile_rows, tile[t]);
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
    const Target target = {.w = &Cpu(head), .out = host_logits.data() + first * vocab, .stride = vocab};
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
  // An item is a head × a run of rows whose keys lie side by side, so that a line of stored keys is written once.
  runs_.clear();
  for (const SequenceRows& s : kv.sequences) {
    for (int32_t r = 0, n; r < s.rows; r += n) {
      n = std::min(kStoreRun - (s.pos + r) % kStoreRun, s.rows - r);
      runs_.push_back({s.first_row + r, n, s.pos + r, s.blocks});
    }
  }
  const int64_t heads = spec.heads + spec.kv_heads;
  ForEach(static_cast<int64_t>(runs_.size()) * heads, [&](int64_t item) {
    const SequenceRows& run = runs_[static_cast<size_t>(item / heads)];
    auto head = static_cast<int32_t>(item % heads);
    const bool query = head < spec.heads;
    if (!query) head -= spec.heads;
    for (int64_t row = run.first_row; row < run.first_row + run.rows; ++row) {
      norm_and_rotate(Cpu(query ? q : k).row(row) + head * dk, query ? spec.q_norm : spec.k_norm, row);
    }
    if (query) return;
    const int32_t block = run.blocks[static_cast<size_t>(run.pos / kKvBlock)], slot = run.pos % kKvBlock;
    ref::StoreKeys(stored.k_type, Cpu(k).row(run.first_row) + head * dk, k.cols(), run.rows, dk, slot,
                   store.keys(block, kv.layer, head));
    ref::StoreValues(stored.v_type, Cpu(v).row(run.first_row) + head * dv, v.cols(), run.rows, dv, slot,
                     store.values(block, kv.layer, head));
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
