// The include rule of the source tree: which folder may include which, and where the headers of
// each library may be seen.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace w8a8::test {

// One sentence for every breach under `root`: an #include "..." or a CMake DEPENDS along an edge
// that is not allowed, a library's header outside its folders, an include that its folder's DEPENDS
// do not reach, an include that names no file.
std::vector<std::string> IncludeRuleBreaches(const std::filesystem::path& root);

}  // namespace w8a8::test
