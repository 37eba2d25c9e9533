// Where the bytes of a model come from: a file, or memory (the built-in model, tests, fuzzers).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/status.h"

namespace bonsai {

/// Random-access bytes of a fixed size. Reads copy; nothing is mapped, so a file that shrinks while it is read gives
/// an error and not a SIGBUS. All methods are thread safe.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  /// For messages: the path as the user gave it, or a description such as "built-in model".
  virtual const std::string& name() const = 0;
  /// Size in bytes when the source was opened.
  virtual uint64_t size() const = 0;
  /// Fills `out` from `offset`. kCorrupt when the range lies outside the source or the file has since shrunk;
  /// kIo when the operating system fails. On error the contents of `out` are unspecified.
  virtual Status ReadAt(uint64_t offset, std::span<std::byte> out) const = 0;
  /// Tells the operating system that the pages of this range will not be read again (a hint; default: nothing).
  virtual void DropCache(uint64_t offset, uint64_t bytes) const;
};

/// Opens a regular file for reading. kNotFound, kIo, or kInvalidArgument for a directory or a device.
Result<std::unique_ptr<ByteSource>> OpenFile(const std::string& path);

/// A view of memory that the caller keeps alive for as long as the source lives.
std::unique_ptr<ByteSource> MemorySource(std::string name, std::span<const std::byte> bytes);

}  // namespace bonsai
