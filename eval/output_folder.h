// The folder that a run writes into: ours, or fresh, or refused.
#pragma once

#include <filesystem>
#include <string>

namespace w8a8 {

// Makes `folder` (and its parents). A folder that is not empty and does not carry our marker file
// was not written by this tool and is refused: nothing in it is touched.
void PrepareOutputFolder(const std::filesystem::path& folder);

// "./w8a8-<name>" with everything but letters, digits, '.', '-' and '_' replaced.
std::filesystem::path DefaultOutputFolder(const std::string& model_name);

}  // namespace w8a8
