// A seal at the end of a file: "w8a8-sha256:" and the SHA-256 of all bytes before it. HDF5 readers
// ignore bytes after the end of their data, so a sealed file stays an ordinary HDF5 file; a program
// that rewrites the file drops or buries the seal.
#pragma once

#include <filesystem>
#include <string>

namespace w8a8 {

// What is to be appended to the file.
std::string SealOf(const std::filesystem::path& path);
// False if the file ends in a seal that does not fit its bytes. A file without a seal is true.
bool SealFits(const std::filesystem::path& path);

}  // namespace w8a8
