// Rules that every file of the source tree keeps.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace w8a8::test {

constexpr int64_t kMostLines = 400;
constexpr int64_t kMostFunctionLines = 40;  // outside the tests, whose tables may be longer

// One sentence for every breach under `root`: a source of more than kMostLines lines, a header
// without #pragma once, a path of one machine, work left for later, a source that no CMakeLists.txt
// beside it lists, a flag of the command line named below eval/cli, a function of more than
// kMostFunctionLines lines, a bare number as the tolerance of a test.
std::vector<std::string> SourceRuleBreaches(const std::filesystem::path& root);

}  // namespace w8a8::test
