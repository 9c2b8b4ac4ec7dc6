// A bound on how deeply a JSON text nests, for before it is parsed: the library copies, prints and
// compares values recursively, so that 100,000 brackets (200 kB) end in a stack overflow.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

namespace w8a8 {

// Throws Error naming `name` if arrays and objects nest deeper than 64 levels. The text need not be
// valid JSON.
void CheckJsonDepth(std::string_view text, const std::string& name);

// ReadFile() of a JSON file whose depth has been checked: how every such file is read.
std::string ReadJsonText(const std::filesystem::path& path, size_t max_bytes = size_t{64} << 20);

}  // namespace w8a8
