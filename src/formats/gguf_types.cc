#include "formats/gguf_types.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstring>

#include "base/half.h"
#include "formats/gguf_format.h"
#include "formats/i2s.h"
#include "quant/repack.h"

namespace bonsai::formats::gguf {
namespace {

/// One thing that an id may mean.
struct Meaning {
  uint32_t id;
  std::string_view type;  ///< In quant's registry; one that is not there is refused by this name.
  uint64_t weights, bytes;
  uint64_t tail;            ///< Bytes after the rows of a tensor.
  uint64_t scale_at;        ///< Of the fp16 scale within a block of two-bit codes.
  std::string_view stored;  ///< For people; empty when the type's name says it all.
};

constexpr Meaning kMeanings[] = {
    {36, "I2_S", 128, 32, 32, 0, kI2sStored},
    {36, "IQ4_NL_4_4", 32, 18, 0, 0, ""},
    {40, "Q1_0_G32", 32, 6, 0, 0, "Q1_0, group 32, the withdrawn first layout, under id 40"},
    {40, "NVFP4", 64, 36, 0, 0, ""},
    {42, "Q2_0", 64, 18, 0, 0, ""},
    {42, "PQ2_0", 128, 34, 0, 0, "Q2_0, group 128, legacy Prism layout, under id 42"},
    {42, "TQ2_0_G128", 128, 34, 0, 32, "Q2_0, group 128, scale last, under id 42"},
};

bool SameName(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](unsigned char x, unsigned char y) { return std::toupper(x) == std::toupper(y); });
}

/// Bytes that a tensor takes in the file; none when its rows are no whole blocks or the size overflows.
std::optional<uint64_t> FileBytes(const Meaning& m, const TensorInfo& t) {
  uint64_t elements = 1;
  for (const uint64_t d : t.shape) {
    if (d == 0 || elements > (uint64_t{1} << 60) / d) return std::nullopt;
    elements *= d;
  }
  if (t.cols() % m.weights != 0) return std::nullopt;
  return elements / m.weights * m.bytes + m.tail;
}

/// Does every tensor fill its room, but for the padding?
bool FitsAll(const Meaning& m, std::span<const Unresolved> tensors, uint64_t alignment) {
  return std::all_of(tensors.begin(), tensors.end(), [&](const Unresolved& u) {
    const std::optional<uint64_t> bytes = FileBytes(m, *u.tensor);
    return bytes && (*bytes == u.span || AlignUp(*bytes, alignment) == u.span);
  });
}

/// How likely blocks of two-bit codes with an fp16 scale are what they would be.
enum class Look { kNo, kMaybe, kYes };

/// Scales of real models lie within a few powers of two of each other; other bytes read as scales do not, and half of
/// them are negative. A code 3 is legal in some of these formats, but no encoder writes one.
class Sample {
 public:
  explicit Sample(const Meaning& meaning) : m_(meaning) {}
  void Add(std::span<const std::byte> bytes) {
    for (; bytes.size() >= m_.bytes; bytes = bytes.subspan(m_.bytes)) AddBlock(bytes);
  }
  Look Verdict() const {
    if (broken_ || high_ > low_ * 0x1p12f) return Look::kNo;
    return code3_ ? Look::kMaybe : Look::kYes;
  }

 private:
  void AddBlock(std::span<const std::byte> block) {
    uint16_t half;
    std::memcpy(&half, block.data() + m_.scale_at, sizeof half);
    const float d = HalfToFloat(half);
    if (!(d >= 0 && d < 0x1p10f) || std::signbit(d)) broken_ = true;
    if (d > 0) low_ = std::min(low_, d), high_ = std::max(high_, d);
    for (uint64_t i = 0; i < m_.bytes; i++) {
      const auto byte = static_cast<unsigned>(block[i]);
      if (i - m_.scale_at >= 2 && (byte & byte >> 1 & 0x55u) != 0) code3_ = true;  // both bits of a pair
    }
  }
  const Meaning& m_;
  bool broken_ = false, code3_ = false;
  float low_ = 65504, high_ = 0;
};

/// Looks at the beginning of every tensor (of the first thousand).
Result<Look> LookAt(const Meaning& m, const ByteSource& source, std::span<const Unresolved> tensors) {
  constexpr uint64_t kLooked = 8192;
  constexpr size_t kMostTensors = 1000;
  Sample sample(m);
  std::vector<std::byte> bytes;
  for (const Unresolved& u : tensors.first(std::min(tensors.size(), kMostTensors))) {
    bytes.resize(std::min(kLooked, *FileBytes(m, *u.tensor)));
    BONSAI_RETURN_IF_ERROR(source.ReadAt(u.tensor->offset, bytes));
    sample.Add(bytes);
  }
  return sample.Verdict();
}

std::string Names(std::span<const Meaning* const> some) {
  std::string names;
  for (const Meaning* m : some) {
    if (!names.empty()) names += m == some.back() ? " or " : ", ";
    names += m->type;
  }
  return names;
}

/// The one meaning that fits, or why there is none.
Result<const Meaning*> Decide(const ByteSource& source, uint32_t id, uint64_t alignment,
                              std::span<const Unresolved> tensors) {
  const std::string& first = tensors.front().tensor->name;
  std::vector<const Meaning*> all, fitting, likely, possible;
  for (const Meaning& m : kMeanings) {
    if (m.id != id) continue;
    all.push_back(&m);
    if (FitsAll(m, tensors, alignment)) fitting.push_back(&m);
  }
  if (fitting.empty())
    return Error(ErrorCode::kCorrupt,
                 "{}: type id {} (first used by tensor {}) may mean {}, but none of them fills the room between the "
                 "tensors; if you know which it is, name it with --weight-type",
                 source.name(), id, Quote(first), Names(all));
  if (fitting.size() == 1) return fitting.front();
  for (const Meaning* m : fitting) {
    BONSAI_ASSIGN(const Look look, LookAt(*m, source, tensors));
    if (look == Look::kYes) likely.push_back(m);
    if (look != Look::kNo) possible.push_back(m);
  }
  if (likely.size() == 1) return likely.front();
  if (likely.empty() && possible.size() == 1) return possible.front();
  return Error(ErrorCode::kUnsupported,
               "{}: type id {} (first used by tensor {}) may mean {}, and the file does not tell which; name it with "
               "--weight-type",
               source.name(), id, Quote(first), Names(possible.empty() ? fitting : possible));
}

/// The meaning that a user named, if it is one of this id.
const Meaning* Named(uint32_t id, const std::string& weight_type) {
  const quant::Type* type = quant::FindByName(weight_type);  // knows other spellings, too
  for (const Meaning& m : kMeanings)
    if (m.id == id && SameName(m.type, type != nullptr ? type->name : std::string_view(weight_type))) return &m;
  return nullptr;
}

}  // namespace

bool IsAmbiguous(uint32_t id) {
  return std::any_of(std::begin(kMeanings), std::end(kMeanings), [id](const Meaning& m) { return m.id == id; });
}

Result<std::vector<uint64_t>> ResolveTypes(const ByteSource& source, uint32_t id, uint64_t alignment,
                                           const std::string& weight_type, std::span<const Unresolved> tensors) {
  const Meaning* meaning = weight_type.empty() ? nullptr : Named(id, weight_type);
  if (meaning == nullptr) {
    BONSAI_ASSIGN(meaning, Decide(source, id, alignment, tensors));
  }
  const quant::Type* type = quant::FindByName(meaning->type);
  std::vector<uint64_t> sizes;
  for (const Unresolved& u : tensors) {
    TensorInfo& t = *u.tensor;
    if (type == nullptr)
      return Error(ErrorCode::kUnsupported, "{}: tensor {} (byte {}): weight type {} ({}) is not supported",
                   source.name(), Quote(t.name), t.offset, id, meaning->type);
    const std::optional<uint64_t> bytes = FileBytes(*meaning, t);
    if (!bytes || *bytes > u.span)
      return Error(ErrorCode::kCorrupt, "{}: tensor {} (byte {}): it does not fit its room of {} bytes as {}",
                   source.name(), Quote(t.name), t.offset, u.span, meaning->type);
    t.stored = meaning->stored;
    sizes.push_back(*bytes);
    if (id == kI2sId) {
      BONSAI_RETURN_IF_ERROR(ReadAsI2s(source, t));
      continue;
    }
    t.type = type;
    t.bytes = *bytes;
  }
  return sizes;
}

}  // namespace bonsai::formats::gguf
