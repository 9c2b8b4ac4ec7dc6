// What differs between two artifacts of one kind.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "eval/cli/artifacts/items.h"

namespace w8a8 {

struct Difference {
  std::string where;  // items.h
  std::string a, b;   // what stands there; "-" where there is nothing
  std::string how;    // of arrays: how many elements differ, the first, by how much at most
};

struct ArtifactComparison {
  uint64_t compared = 0;                // values: of either side
  std::vector<Difference> differences;  // those in .json files first
};

// Throws Error if the two are of different kinds (a plan and a report), or one is damaged.
ArtifactComparison CompareArtifacts(const std::filesystem::path& a, const std::filesystem::path& b,
                                    RunFacts run);

}  // namespace w8a8
