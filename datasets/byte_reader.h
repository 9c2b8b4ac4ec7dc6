// Bounds-checked reads from the bytes of an image file that nobody vouches for.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "runtime/base/error.h"

namespace w8a8 {

// Why one file gives no image. Caught where files are read: the file is skipped and the reason goes
// into the report.
class UnreadableImage : public Error {
 public:
  using Error::Error;
};

using FileBytes = std::span<const uint8_t>;

// Every read past the end throws UnreadableImage("truncated ...").
class ByteReader {
 public:
  enum class Order { kBig, kLittle };

  ByteReader(FileBytes bytes, Order order) : bytes_(bytes), order_(order) {}

  size_t size() const { return bytes_.size(); }
  Order order() const { return order_; }

  uint8_t U8(size_t at) const { return Slice(at, 1)[0]; }
  uint16_t U16(size_t at) const { return static_cast<uint16_t>(Read(at, 2)); }
  uint32_t U32(size_t at) const { return static_cast<uint32_t>(Read(at, 4)); }

  FileBytes Slice(size_t at, size_t count) const {
    if (at > bytes_.size() || count > bytes_.size() - at) {
      throw UnreadableImage("truncated: the file ends inside a header");
    }
    return bytes_.subspan(at, count);
  }
  bool Matches(size_t at, std::string_view text) const {
    if (at > bytes_.size() || text.size() > bytes_.size() - at) return false;
    for (size_t i = 0; i < text.size(); ++i) {
      if (bytes_[at + i] != static_cast<uint8_t>(text[i])) return false;
    }
    return true;
  }

 private:
  uint64_t Read(size_t at, size_t count) const {
    uint64_t value = 0;
    const FileBytes bytes = Slice(at, count);
    for (size_t i = 0; i < count; ++i) {
      const size_t shift = order_ == Order::kBig ? count - 1 - i : i;
      value |= static_cast<uint64_t>(bytes[i]) << (8 * shift);
    }
    return value;
  }

  FileBytes bytes_;
  Order order_;
};

}  // namespace w8a8
