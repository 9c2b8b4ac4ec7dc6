// The folder that an export is written into.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace w8a8 {

constexpr const char* kScalesFile = "scales.h5";  // marks a folder as an export's
constexpr const char* kFileList = "/files";       // in it: what the source's folder gave

// Makes `out`, and has the file group of this thread remove what an earlier export left there and
// this one, which takes over the files `carried`, does not replace. config.json goes first: without
// it a folder is not finished. Throws Error for a file, and for a folder that holds what no export
// wrote.
void PrepareFolder(const std::filesystem::path& out, const std::vector<std::string>& carried);

}  // namespace w8a8
