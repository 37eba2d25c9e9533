#include "formats/gguf_types.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/ascii.h"
#include "base/half.h"
#include "formats/gguf_format.h"
#include "formats/i2s.h"
#include "quant/types.h"

namespace bonsai::formats::gguf {
namespace {

/// What other programs mean by an id. No functions: such a tensor is refused by its type's name.
constexpr quant::Type kForeign[] = {{"IQ4_NL_4_4", 36, 36, 32, 18}, {"NVFP4", 40, 40, 64, 36}};

/// What the table of formats does not tell of one that shares its id.
struct Note {
  std::string_view type, stored;  ///< TensorInfo::stored.
  uint64_t scale_at;              ///< Of the fp16 scale within a block of two-bit codes.
};
constexpr Note kNotes[] = {
    {"I2_S", kI2sStored, 0},
    {"Q1_0_G32", "Q1_0, group 32, the withdrawn first layout, under id 40", 0},
    {"PQ2_0", "Q2_0, group 128, legacy Prism layout, under id 42", 0},
    {"TQ2_0_G128", "Q2_0, group 128, scale last, under id 42", 32},
};
Note NoteOf(const quant::Type& type) {
  for (const Note& note : kNotes)
    if (note.type == type.name) return note;
  return {};
}

/// All that an id may mean, the likeliest first.
std::vector<const quant::Type*> MeaningsOf(uint32_t id) {
  std::vector<const quant::Type*> all = quant::CandidatesFor(id);
  for (const quant::Type& type : kForeign)
    if (type.file_id == id) all.push_back(&type);
  return all;
}

/// Bytes that a tensor takes in the file. Errors as TensorBytes.
Result<uint64_t> BytesAs(const quant::Type& type, const TensorInfo& t) {
  BONSAI_ASSIGN(const uint64_t bytes, TensorBytes(type, t.shape));
  return FileBytes(type, bytes);
}

/// Does every tensor fill its room, but for the padding?
bool FitsAll(const quant::Type& type, std::span<const Unresolved> tensors, uint64_t alignment) {
  return std::all_of(tensors.begin(), tensors.end(), [&](const Unresolved& u) {
    const Result<uint64_t> bytes = BytesAs(type, *u.tensor);
    return bytes && (*bytes == u.span || AlignUp(*bytes, alignment) == u.span);
  });
}

/// How likely blocks of two-bit codes with an fp16 scale are what they would be.
enum class Look { kNo, kMaybe, kYes };

/// Scales of real models lie within a few powers of two of each other; other bytes read as scales do not, and half of
/// them are negative. A code 3 is legal in some of these formats, but no encoder writes one.
class Sample {
 public:
  explicit Sample(const quant::Type& type)
      : block_bytes_(static_cast<size_t>(type.block_bytes)), scale_at_(NoteOf(type).scale_at) {}
  void Add(std::span<const std::byte> bytes) {
    for (; bytes.size() >= block_bytes_; bytes = bytes.subspan(block_bytes_)) AddBlock(bytes);
  }
  Look Verdict() const {
    if (broken_ || high_ > low_ * 0x1p12f) return Look::kNo;
    return code3_ ? Look::kMaybe : Look::kYes;
  }

 private:
  void AddBlock(std::span<const std::byte> block) {
    uint16_t half;
    std::memcpy(&half, block.data() + scale_at_, sizeof half);
    const float d = HalfToFloat(half);
    if (!(d >= 0 && d < 0x1p10f) || std::signbit(d)) broken_ = true;
    if (d > 0) low_ = std::min(low_, d), high_ = std::max(high_, d);
    for (uint64_t i = 0; i < block_bytes_; i++) {
      const auto byte = static_cast<unsigned>(block[i]);
      if (i - scale_at_ >= 2 && (byte & byte >> 1 & 0x55u) != 0) code3_ = true;  // both bits of a pair
    }
  }
  const size_t block_bytes_, scale_at_;
  bool broken_ = false, code3_ = false;
  float low_ = 65504, high_ = 0;
};

/// Looks at the beginning of every tensor (of the first thousand).
Result<Look> LookAt(const quant::Type& type, const ByteSource& source, std::span<const Unresolved> tensors) {
  constexpr uint64_t kLooked = 8192;
  constexpr size_t kMostTensors = 1000;
  Sample sample(type);
  std::vector<std::byte> bytes;
  for (const Unresolved& u : tensors.first(std::min(tensors.size(), kMostTensors))) {
    bytes.resize(std::min(kLooked, *BytesAs(type, *u.tensor)));
    BONSAI_RETURN_IF_ERROR(source.ReadAt(u.tensor->offset, bytes));
    sample.Add(bytes);
  }
  return sample.Verdict();
}

std::string Names(std::span<const quant::Type* const> some) {
  std::string names;
  for (const quant::Type* type : some) {
    if (!names.empty()) names += type == some.back() ? " or " : ", ";
    names += type->name;
  }
  return names;
}

/// The one meaning that fits, or why there is none.
Result<const quant::Type*> Decide(const ByteSource& source, uint32_t id, uint64_t alignment,
                                  std::span<const Unresolved> tensors) {
  const std::string& first = tensors.front().tensor->name;
  const std::vector<const quant::Type*> all = MeaningsOf(id);
  std::vector<const quant::Type*> fitting, likely, possible;
  for (const quant::Type* type : all)
    if (FitsAll(*type, tensors, alignment)) fitting.push_back(type);
  if (fitting.empty())
    return Error(ErrorCode::kCorrupt,
                 "{}: type id {} (first used by tensor {}) may mean {}, but none of them fills the room between the "
                 "tensors; if you know which it is, name it with --weight-type",
                 source.name(), id, Quote(first), Names(all));
  if (fitting.size() == 1) return fitting.front();
  for (const quant::Type* type : fitting) {
    BONSAI_ASSIGN(const Look look, LookAt(*type, source, tensors));
    if (look == Look::kYes) likely.push_back(type);
    if (look != Look::kNo) possible.push_back(type);
  }
  if (likely.size() == 1) return likely.front();
  if (likely.empty() && possible.size() == 1) return possible.front();
  return Error(ErrorCode::kUnsupported,
               "{}: type id {} (first used by tensor {}) may mean {}, and the file does not tell which; name it with "
               "--weight-type",
               source.name(), id, Quote(first), Names(possible.empty() ? fitting : possible));
}

/// The meaning that a user named, if it is one of this id.
const quant::Type* Named(uint32_t id, const std::string& weight_type) {
  const quant::Type* named = quant::FindByName(weight_type);  // knows other spellings, too
  for (const quant::Type* type : MeaningsOf(id))
    if (type == named || EqualIgnoringCase(type->name, weight_type)) return type;
  return nullptr;
}

}  // namespace

bool IsAmbiguous(uint32_t id) { return MeaningsOf(id).size() > 1; }

Result<std::vector<uint64_t>> ResolveTypes(const ByteSource& source, uint32_t id, uint64_t alignment,
                                           const std::string& weight_type, std::span<const Unresolved> tensors) {
  const quant::Type* type = weight_type.empty() ? nullptr : Named(id, weight_type);
  if (type == nullptr) {
    BONSAI_ASSIGN(type, Decide(source, id, alignment, tensors));
  }
  std::vector<uint64_t> sizes;
  for (const Unresolved& u : tensors) {
    TensorInfo& t = *u.tensor;
    if (type->decode == nullptr)
      return Error(ErrorCode::kUnsupported, "{}: tensor {} (byte {}): weight type {} ({}) is not supported",
                   source.name(), Quote(t.name), t.offset, id, type->name);
    const Result<uint64_t> bytes = BytesAs(*type, t);
    if (!bytes || *bytes > u.span)
      return Error(ErrorCode::kCorrupt, "{}: tensor {} (byte {}): it does not fit its room of {} bytes as {}",
                   source.name(), Quote(t.name), t.offset, u.span, type->name);
    t.stored = NoteOf(*type).stored;
    sizes.push_back(*bytes);
    if (IsI2s(*type)) {
      BONSAI_RETURN_IF_ERROR(ReadAsI2s(source, t));
      continue;
    }
    t.type = type;
    t.bytes = *bytes;
  }
  return sizes;
}

}  // namespace bonsai::formats::gguf
