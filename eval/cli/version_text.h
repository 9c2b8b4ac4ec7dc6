// What this binary is and what this machine lets it use.
#pragma once

#include <string>

namespace w8a8 {

std::string VersionText();  // lines for people
std::string VersionJson();  // one object

}  // namespace w8a8
