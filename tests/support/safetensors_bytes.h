// Safetensors files put together by hand, right or wrong.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace w8a8::test {

// The 8-byte length of `header`, the header and `data_bytes` zero bytes.
inline std::string SafetensorsBytes(std::string_view header, size_t data_bytes) {
  const uint64_t length = header.size();
  std::string file(sizeof(length), '\0');
  std::memcpy(file.data(), &length, sizeof(length));
  file += header;
  file.append(data_bytes, '\0');
  return file;
}

}  // namespace w8a8::test
