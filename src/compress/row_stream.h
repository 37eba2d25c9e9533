// All rows of a model's tensors in pieces: read and worked on by several threads at once, handed over in order, with a
// bound on the memory in flight.
//
//   RowStreamer streamer(file, {.threads = 4}, "the count was cancelled");
//   for (const formats::TensorInfo& t : file.tensors()) BONSAI_RETURN_IF_ERROR(streamer.Stream(t, work, take));
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
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

struct RunOptions {
  int threads = 1;
  bool drop_cache = false;  ///< Let the operating system forget the input's pages as they are read.
  /// Called with bytes of input read so far and in total, from the calling thread; false stops (kCancelled).
  std::function<bool(uint64_t done, uint64_t total)> progress;
};

/// Streams the tensors of one file, one at a time, each once. Not thread safe.
class RowStreamer {
 public:
  /// `cancelled` is what the error says when options.progress stops the work. The file must outlive the streamer.
  RowStreamer(const formats::ModelFile& file, const RunOptions& options, std::string cancelled);

  /// Calls work(piece, index) for each piece, from all threads, index being the piece's place among those in flight
  /// (below kPiecesInFlight, never shared at one time); then take(piece, index), in order, from the calling thread,
  /// which may use what work left under that index. Ends with the first error.
  Status Stream(const formats::TensorInfo& tensor, const std::function<Status(Piece& piece, size_t index)>& work,
                const std::function<Status(const Piece& piece, size_t index)>& take);

 private:
  Status Report(const Piece& piece);

  const formats::ModelFile& file_;
  const RunOptions options_;
  const std::string cancelled_;
  uint64_t total_ = 0, done_ = 0;  // bytes of all tensors
  ThreadPool pool_;
};

}  // namespace bonsai::compress
