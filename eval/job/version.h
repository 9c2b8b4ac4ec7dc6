// Which tool this is.
#pragma once

#include <string>

namespace w8a8 {

std::string ToolVersion();  // "0.1.0"

}  // namespace w8a8
