#include "eval/run/tap.h"

#include <algorithm>

namespace w8a8 {

SampleRows RowsOf(const LinearEvent& event, size_t sample) {
  if (event.owners.empty()) {
    const auto samples = static_cast<int64_t>(event.samples.size());
    const int64_t count = event.input.rows / samples;
    return {.first = static_cast<int64_t>(sample) * count, .count = count};
  }
  return RowsOf(event.owners, sample);
}

SampleRows RowsOf(std::span<const RowOwner> owners, size_t sample) {
  const auto before = [](const RowOwner& owner, const RowOwner& other) {
    return owner.sample < other.sample;
  };
  const auto [own, end] =
      std::equal_range(owners.begin(), owners.end(),
                       RowOwner{.sample = static_cast<decltype(RowOwner::sample)>(sample)}, before);
  SampleRows rows{.first = own - owners.begin(), .count = end - own};
  for (auto owner = own; owner != end; ++owner) rows.tokens.push_back(owner->token);
  return rows;
}

}  // namespace w8a8
