// All rows of a tensor in pieces: read and worked on by several threads at once, handed over in order, with a bound on
// the memory in flight.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/status.h"
#include "base/thread_pool.h"
#include "formats/model_file.h"

namespace bonsai::compress {

/// Rows [first, first + rows) of a tensor on their way.
struct Piece {
  uint64_t first = 0, rows = 0;
  std::vector<std::byte> stored;  ///< As ModelFile::ReadRows gives them.
  std::vector<std::byte> made;    ///< What the worker made of them.
};

/// Stored bytes that a piece has at most, unless one row has more.
inline constexpr uint64_t kPieceBytes = uint64_t{2} << 20;
/// Pieces that are in memory together.
inline constexpr size_t kPiecesInFlight = 16;
/// Rows of more stored bytes are refused (kUnsupported): they would break the bound. Real ones have up to 600 KB.
inline constexpr uint64_t kMaxRowBytes = uint64_t{8} << 20;

/// Calls work(piece, index) for each piece, from all threads of the pool, index being the piece's place among those in
/// flight (below kPiecesInFlight, never shared at one time); then take(piece), in order, from the calling thread. Ends
/// with the first error. Pages of the file that have been read are dropped from the cache when `drop_cache`.
Status StreamRows(const formats::ModelFile& file, const formats::TensorInfo& tensor, ThreadPool& pool, bool drop_cache,
                  const std::function<Status(Piece& piece, size_t index)>& work,
                  const std::function<Status(const Piece& piece)>& take);

}  // namespace bonsai::compress
