// What quantization does to the task: top-1 and top-5 over sets of accepted classes, and how often
// an arm answers as the reference does.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <tuple>
#include <vector>

#include "eval/measure/result_table.h"
#include "reports/estimate.h"
#include "runtime/base/half.h"

namespace w8a8 {

// Fewer leave nothing to rank: every arm would have the same top-1 (a regression's single output).
constexpr int64_t kMinClasses = 2;

// The `count` classes of the largest scores, best first; ties to the lower index, NaN below
// everything. Fewer scores than `count`: all of them.
std::vector<int64_t> TopClasses(std::span<const float> scores, size_t count);
std::vector<int64_t> TopClasses(std::span<const double> scores, size_t count);

struct TaskAccuracy {
  std::optional<Estimate> top1;       // none without labelled images
  std::optional<Estimate> top5;       // nor with five classes or fewer, all of which it holds
  std::optional<Estimate> agreement;  // none without images whose scores differ in the reference
  uint64_t images = 0, labelled = 0;
};

// Counts of one arm. Integers only: merging is addition.
class TaskMeter {
 public:
  // Scores of one image (logits, or similarities to class embeddings), as the arm and as the
  // reference computed them, of kMinClasses or more classes. An image without accepted classes
  // counts for agreement only; one whose scores are all equal in the reference does not count for
  // that: it ranks nothing.
  void Add(std::span<const float> scores, std::span<const float> reference,
           std::span<const int64_t> accepted);
  void Add(std::span<const double> scores, std::span<const double> reference,
           std::span<const int64_t> accepted);
  void Add(std::span<const Half> scores, std::span<const Half> reference,
           std::span<const int64_t> accepted);
  // Fractions with Wilson intervals.
  TaskAccuracy Result() const;
  // With the intervals of as many trials as there are images of different bytes, in all and with a
  // label: a copy is no further trial. Each is at least 1 where there are images of its kind.
  TaskAccuracy Result(uint64_t different, uint64_t different_labelled) const;

  friend bool operator==(const TaskMeter&, const TaskMeter&) = default;
  friend constexpr auto ColumnsOf(const TaskMeter*) {
    using M = TaskMeter;
    return std::tuple(Column("images", &M::images_), Column("labelled", &M::labelled_),
                      Column("tied", &M::tied_), Column("labelled5", &M::labelled5_),
                      Column("top1", &M::top1_), Column("top5", &M::top5_),
                      Column("agree", &M::agree_));
  }

 private:
  template <class Score>
  void AddScores(std::span<const Score> scores, std::span<const Score> reference,
                 std::span<const int64_t> accepted);

  uint64_t images_ = 0, labelled_ = 0;
  uint64_t tied_ = 0;       // images that the reference does not rank
  uint64_t labelled5_ = 0;  // labelled ones with more than five classes
  uint64_t top1_ = 0, top5_ = 0, agree_ = 0;
};

}  // namespace w8a8
