// For a mistyped name: the known one that was probably meant.
#pragma once

#include <string>
#include <vector>

namespace w8a8 {

// The name of least edit distance (insert, delete, replace or swap neighbours: 1 each) to
// `unknown`, if it takes at most a third of its letters; else "". The first of several equal ones.
std::string Nearest(const std::string& unknown, const std::vector<std::string>& names);

}  // namespace w8a8
