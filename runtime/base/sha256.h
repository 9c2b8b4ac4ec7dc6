// SHA-256 of bytes and files, as lower-case hex.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>

namespace w8a8 {

std::string Sha256Hex(std::span<const std::byte> bytes);
std::string Sha256Hex(const std::string& text);
// Reads the file in pieces; throws Error if it cannot be read.
std::string Sha256HexOfFile(const std::filesystem::path& path);

}  // namespace w8a8
