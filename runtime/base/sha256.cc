#include "runtime/base/sha256.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>
#include <vector>

#include <openssl/evp.h>

#include "runtime/base/error.h"

namespace w8a8 {
namespace {

class Hasher {
 public:
  Hasher() : context_(EVP_MD_CTX_new(), &EVP_MD_CTX_free) {
    W8A8_CHECK(context_ && EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1);
  }
  void Add(const void* data, size_t size) {
    W8A8_CHECK(EVP_DigestUpdate(context_.get(), data, size) == 1);
  }
  std::string Hex() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned int size = 0;
    W8A8_CHECK(EVP_DigestFinal_ex(context_.get(), digest.data(), &size) == 1);
    std::string hex;
    for (unsigned int i = 0; i < size; ++i) hex += fmt::format("{:02x}", digest.at(i));
    return hex;
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

}  // namespace

std::string Sha256Hex(std::span<const std::byte> bytes) {
  Hasher hasher;
  hasher.Add(bytes.data(), bytes.size());
  return hasher.Hex();
}

std::string Sha256Hex(const std::string& text) {
  return Sha256Hex(std::as_bytes(std::span(text.data(), text.size())));
}

std::string Sha256HexOfFile(const std::filesystem::path& path) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) Fail("{}: cannot be opened for reading: {}.", path.string(), std::strerror(errno));
  Hasher hasher;
  std::vector<char> piece(size_t{1} << 20);
  while (file) {
    file.read(piece.data(), static_cast<std::streamsize>(piece.size()));
    hasher.Add(piece.data(), static_cast<size_t>(file.gcount()));
  }
  if (file.bad()) Fail("{}: reading failed part-way.", path.string());
  return hasher.Hex();
}

}  // namespace w8a8
