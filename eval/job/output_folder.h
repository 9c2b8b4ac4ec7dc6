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

// The marker file's text; empty if there is none. WriteMarker() keeps its first line, which makes
// the folder ours, and puts `lines` under it.
std::string ReadMarker(const std::filesystem::path& folder);
void WriteMarker(const std::filesystem::path& folder, const std::string& lines);

}  // namespace w8a8
