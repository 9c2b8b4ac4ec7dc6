// The memory that a model of a block may touch, byte by byte: who wrote it and who read it last, so
// that reads of nothing and races are found.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace w8a8::model {

// A moment of a thread: two of one launch are ordered if a barrier of the block, or of a warp that
// they share, lies between.
struct Moment {
  uint32_t launch = 0;  // 0: the host
  uint32_t block = 0;
  uint32_t barriers = 0;       // of the block, met before
  uint32_t warp_barriers = 0;  // of the warp, met before
  int32_t thread = -1;         // kSeveral: more than one
  friend bool operator==(const Moment&, const Moment&) = default;
};
constexpr int32_t kSeveral = -2;

class Memory {
 public:
  std::byte* Add(size_t bytes);
  void Remove(const std::byte* begin);

  // What is wrong with an access at `now`; empty: nothing. Remembers it.
  std::string Access(const void* at, size_t bytes, size_t alignment, bool write, const Moment& now);
  // The same of an addition that no other addition can disturb.
  std::string Add(const void* at, size_t bytes, const Moment& now);

  // Poisons again, as between two blocks that share a processor's memory.
  void Poison(std::byte* begin);

 private:
  struct Shadow {
    bool written = false;
    bool added = false;  // the last write was an atomic one
    Moment write, read;
  };
  struct Piece {
    std::vector<std::byte> bytes;  // 16-byte aligned by operator new
    std::vector<Shadow> shadow;
  };
  Piece* Find(const void* at, size_t bytes, size_t* offset);

  std::map<const std::byte*, Piece> pieces_;
};

}  // namespace w8a8::model
