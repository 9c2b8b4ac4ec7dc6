// Which files a run would read as images, without reading them.
#pragma once

#include <filesystem>
#include <vector>

namespace w8a8 {

// The files that ListImages(path) would open, whether or not they can be read, in its order. Throws
// Error where it does.
std::vector<std::filesystem::path> ListImagePaths(const std::filesystem::path& path);

}  // namespace w8a8
