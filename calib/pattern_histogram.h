// The exact distribution of FP16 values: one counter for each of the 65,536 patterns.
//
// Nothing has to be guessed beforehand, merging is addition and order does not matter; abs-max,
// percentiles and the error of any clip are computed afterwards, exactly. 256 KiB each, 768 KiB
// where read from a file or past 2^32 values.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "quant/numerics.h"
#include "runtime/base/half.h"

namespace w8a8 {

struct NonFiniteCounts {
  uint64_t nan = 0;
  uint64_t inf = 0;  // of either sign
  friend bool operator==(const NonFiniteCounts&, const NonFiniteCounts&) = default;
};

// How often a magnitude occurred, with either sign.
struct MagnitudeCount {
  float magnitude = 0.0f;  // finite, >= 0
  uint64_t count = 0;      // > 0
};

class PatternHistogram {
 public:
  static constexpr int64_t kPatterns = 65536;

  PatternHistogram() : recent_(kPatterns, 0) {}
  // `counts` has kPatterns elements, indexed by pattern.
  explicit PatternHistogram(std::vector<uint64_t> counts);

  void Add(std::span<const Half> values);
  // The counters [kPatterns], for a caller who counts `values` more by himself; until the next
  // call.
  uint32_t* CountersFor(uint64_t values);
  // Values that were counted elsewhere: kPatterns elements, indexed by pattern.
  void AddCounted(std::span<const uint64_t> counts);
  // Throws Error if a counter would pass 2^64 - 1 (only a damaged file can bring that about).
  void Merge(const PatternHistogram& other);

  std::vector<uint64_t> counts() const;  // indexed by pattern
  uint64_t Total() const;                // every value, finite or not
  NonFiniteCounts NonFinite() const;

  // Everything below is about the finite values only, and 0 where there are none.

  float AbsMax() const;
  FiniteRange Range() const;  // {min(0, smallest), max(0, largest)}
  // The smallest magnitude m with count(|x| <= m) >= percent / 100 * finite count (nearest rank, no
  // interpolation: the result is a value that occurred). `percent` in (0, 100].
  float AbsPercentile(double percent) const;
  // Mean of (x - scale * code)^2 by numerics.md section 2, per-tensor with scale = clip / 127; the
  // squares and their sum in binary64, in ascending order of magnitude. `clip` > 0.
  double MeanSquaredError(float clip) const;

  // The magnitudes that occurred, ascending.
  std::vector<MagnitudeCount> Magnitudes() const;

 private:
  uint64_t CountOf(uint32_t pattern) const {
    return recent_[pattern] + (older_.empty() ? 0 : older_[pattern]);
  }
  void MoveToOlder();  // all that recent_ counted

  // Counted since the last move, in half the bytes: between two images a forward drives the
  // counters out of the caches, and they come back in half the time.
  std::vector<uint32_t> recent_;
  uint64_t recent_total_ = 0;
  std::vector<uint64_t> older_;  // empty: nothing was moved yet
};

// The same for magnitudes taken once, for a search over many clips.
double MeanSquaredError(std::span<const MagnitudeCount> magnitudes, float clip);

// into[i] += from[i] for every i; throws Error on overflow. Equal sizes.
void AddCounts(std::span<const uint64_t> from, std::span<uint64_t> into);

}  // namespace w8a8
