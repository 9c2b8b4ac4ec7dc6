// What this binary is and what this machine lets it use.
#pragma once

#include <string>

namespace w8a8 {

std::string ToolVersion();  // "0.1.0"
// Lines for people, or one JSON object.
std::string VersionText(bool json);

}  // namespace w8a8
