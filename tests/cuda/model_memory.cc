#include "tests/cuda/model_memory.h"

#include <algorithm>

#include <fmt/format.h>

#include "runtime/base/error.h"

namespace w8a8::model {
namespace {

constexpr std::byte kPoison{0xd5};  // an FP16 of -93, a code of -43: nothing that looks right

// True if nothing orders the two and they are not of one thread.
bool Races(const Moment& before, const Moment& now) {
  if (before.launch != now.launch || before.launch == 0) return false;
  if (before.block != now.block) return true;
  if (before.barriers != now.barriers) return false;
  if (before.thread == now.thread) return false;
  const bool one_warp = before.thread >= 0 && before.thread / 32 == now.thread / 32;
  return !(one_warp && before.warp_barriers != now.warp_barriers);
}

std::string Name(const Moment& moment) {
  if (moment.launch == 0) return "the host";
  if (moment.thread == kSeveral) return fmt::format("several threads of block {}", moment.block);
  return fmt::format("thread {} of block {}", moment.thread, moment.block);
}

}  // namespace

std::byte* Memory::Add(size_t bytes) {
  Piece piece{std::vector<std::byte>(std::max<size_t>(bytes, 1), kPoison),
              std::vector<Shadow>(bytes)};
  std::byte* begin = piece.bytes.data();
  pieces_.emplace(begin, std::move(piece));
  return begin;
}

void Memory::Remove(const std::byte* begin) { W8A8_CHECK(pieces_.erase(begin) == 1); }

void Memory::Poison(std::byte* begin) {
  Piece& piece = pieces_.at(begin);
  std::ranges::fill(piece.bytes, kPoison);
  std::ranges::fill(piece.shadow, Shadow());
}

Memory::Piece* Memory::Find(const void* at, size_t bytes, size_t* offset) {
  const auto* begin = static_cast<const std::byte*>(at);
  auto piece = pieces_.upper_bound(begin);
  if (piece == pieces_.begin()) return nullptr;
  --piece;
  *offset = static_cast<size_t>(begin - piece->first);
  return *offset + bytes <= piece->second.shadow.size() ? &piece->second : nullptr;
}

std::string Memory::Access(const void* at, size_t bytes, size_t alignment, bool write,
                           const Moment& now) {
  size_t offset = 0;
  Piece* piece = Find(at, bytes, &offset);
  const char* verb = write ? "writes" : "reads";
  if (piece == nullptr) {
    return fmt::format(
        "{} {} {} bytes outside every piece of memory (offset {} from the one before)", Name(now),
        verb, bytes, offset);
  }
  if (reinterpret_cast<uintptr_t>(at) % alignment != 0) {
    return fmt::format("{} {} {} bytes at offset {}, which is not aligned to {}", Name(now), verb,
                       bytes, offset, alignment);
  }
  for (size_t i = offset; i < offset + bytes; ++i) {
    Shadow& byte = piece->shadow[i];
    if (!write && !byte.written) {
      return fmt::format("{} reads byte {} of {}, which nobody wrote", Name(now), i,
                         piece->shadow.size());
    }
    if (byte.written && Races(byte.write, now)) {
      return fmt::format("{} {} byte {}, which {} writes with no barrier between", Name(now), verb,
                         i, Name(byte.write));
    }
    if (write && Races(byte.read, now)) {
      return fmt::format("{} writes byte {}, which {} reads with no barrier between", Name(now), i,
                         Name(byte.read));
    }
    if (write) {
      byte.written = true;
      byte.added = false;
      byte.write = now;
      continue;
    }
    Moment same = byte.read;
    same.thread = now.thread;
    same.warp_barriers = now.warp_barriers;
    const bool other = same == now && byte.read != now;  // of this block, since its last barrier
    byte.read = now;
    if (other) byte.read.thread = kSeveral;
  }
  return "";
}

std::string Memory::Add(const void* at, size_t bytes, const Moment& now) {
  size_t offset = 0;
  Piece* piece = Find(at, bytes, &offset);
  if (piece == nullptr) return Access(at, bytes, 1, true, now);
  for (size_t i = offset; i < offset + bytes; ++i) {
    Shadow& byte = piece->shadow[i];
    if (!byte.written) {
      return fmt::format("{} adds to byte {}, which nobody wrote", Name(now), i);
    }
    if (!byte.added && Races(byte.write, now)) {
      return fmt::format("{} adds to byte {}, which {} writes with no barrier between", Name(now),
                         i, Name(byte.write));
    }
    byte.added = true;
    byte.write = now;
  }
  return "";
}

}  // namespace w8a8::model
