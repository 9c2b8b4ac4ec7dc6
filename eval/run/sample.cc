#include "eval/run/sample.h"

#include <unordered_map>

namespace w8a8 {

std::vector<int64_t> CountCopies(std::span<const std::string> names) {
  std::unordered_map<std::string, int64_t> counts;
  std::vector<int64_t> copies;
  copies.reserve(names.size());
  for (const std::string& name : names) copies.push_back(counts[name]++);
  return copies;
}

}  // namespace w8a8
