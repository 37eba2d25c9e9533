#include "compress/row_stream.h"

#include <algorithm>
#include <atomic>
#include <utility>
#include <vector>

namespace bonsai::compress {

RowStreamer::RowStreamer(const formats::ModelFile& file, const RunOptions& options, std::string cancelled)
    : file_(file), options_(options), cancelled_(std::move(cancelled)), pool_(options.threads) {
  for (const formats::TensorInfo& t : file.tensors()) total_ += t.bytes;
}

Status RowStreamer::Report(const Piece& piece) {
  done_ += piece.stored.size();
  if (options_.progress && !options_.progress(done_, total_)) return Error(ErrorCode::kCancelled, "{}", cancelled_);
  return {};
}

Status RowStreamer::Stream(const formats::TensorInfo& tensor,
                           const std::function<Status(Piece& piece, size_t index)>& work,
                           const std::function<Status(const Piece& piece, size_t index)>& take) {
  const uint64_t rows = tensor.rows(), row_bytes = tensor.bytes / rows;
  if (row_bytes > kMaxRowBytes)
    return Error(ErrorCode::kUnsupported, "{}: tensor {}: a row of {} bytes is longer than {}", file_.name(),
                 formats::Quote(tensor.name), row_bytes, kMaxRowBytes);
  const uint64_t step = std::max<uint64_t>(1, kPieceBytes / row_bytes);
  std::vector<Piece> pieces(kPiecesInFlight);
  std::vector<Status> statuses(kPiecesInFlight);
  const auto handle = [&](size_t i) -> Status {
    Piece& piece = pieces[i];
    piece.stored.resize(piece.rows * row_bytes);
    BONSAI_RETURN_IF_ERROR(file_.ReadRows(tensor, piece.first, piece.rows, piece.stored));
    if (options_.drop_cache) file_.DropCache(tensor, piece.first, piece.rows);
    return work(piece, i);
  };
  for (uint64_t row = 0; row < rows;) {
    size_t count = 0;
    for (; count < pieces.size() && row < rows; count++) {
      pieces[count].first = row;
      pieces[count].rows = std::min(step, rows - row);
      row += pieces[count].rows;
    }
    std::atomic<size_t> next = 0;
    pool_.Run([&](int, int) {
      for (size_t i = next.fetch_add(1); i < count; i = next.fetch_add(1)) statuses[i] = handle(i);
    });
    for (size_t i = 0; i < count; i++) {
      BONSAI_RETURN_IF_ERROR(statuses[i]);
      BONSAI_RETURN_IF_ERROR(Report(pieces[i]));
      BONSAI_RETURN_IF_ERROR(take(pieces[i], i));
    }
  }
  return {};
}

}  // namespace bonsai::compress
