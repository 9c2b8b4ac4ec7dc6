#include "runtime/base/file_seal.h"

#include <span>
#include <string>
#include <string_view>

#include "runtime/base/mapped_file.h"
#include "runtime/base/sha256.h"

namespace w8a8 {
namespace {

constexpr std::string_view kMark = "w8a8-sha256:";
constexpr size_t kSealBytes = kMark.size() + 64;

}  // namespace

std::string SealOf(const std::filesystem::path& path) {
  return std::string(kMark) + Sha256HexOfFile(path);
}

bool SealFits(const std::filesystem::path& path) {
  const MappedFile file(path);
  const std::span<const std::byte> bytes = file.bytes();
  if (bytes.size() <= kSealBytes) return true;
  const std::string_view seal(
      reinterpret_cast<const char*>(bytes.data() + bytes.size() - kSealBytes), kSealBytes);
  if (!seal.starts_with(kMark)) return true;
  return seal.substr(kMark.size()) == Sha256Hex(bytes.first(bytes.size() - kSealBytes));
}

}  // namespace w8a8
