// The files of the source tree that its rules are about.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace w8a8::test {

// C++ and CUDA sources and headers under calib, datasets, eval, quant, reports, runtime and tests,
// relative to `root`, sorted.
std::vector<std::string> SourceFiles(const std::filesystem::path& root);

// Those, and the scripts, CMake files and documents: all text that is written by hand.
std::vector<std::string> TextFiles(const std::filesystem::path& root);

}  // namespace w8a8::test
