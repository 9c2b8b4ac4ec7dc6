// What quantization does to the task: top-1 and top-5 over sets of accepted classes, and how often
// an arm answers as the reference does.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "eval/measure/result_table.h"
#include "eval/run/sample.h"
#include "reports/estimate.h"
#include "runtime/base/half.h"

namespace w8a8 {

// Fewer leave nothing to rank: every arm would have the same top-1 (a regression's single output).
constexpr int64_t kMinClasses = 2;

// The `count` classes of the largest scores, best first; ties to the lower index, NaN below
// everything. Fewer scores than `count`: all of them.
std::vector<int64_t> TopClasses(std::span<const float> scores, size_t count);
std::vector<int64_t> TopClasses(std::span<const double> scores, size_t count);

// What tells an image's input to the encoder from others (a digest): copies have one.
using InputsOfImages = std::map<ImageKey, std::string>;

// Shares of the different inputs; where copies of one differ (in their labels) it counts with their
// mean.
struct TaskAccuracy {
  std::optional<Estimate> top1;       // none without labelled images
  std::optional<Estimate> top5;       // nor with five classes or fewer, all of which it holds
  std::optional<Estimate> agreement;  // none without images whose scores differ in the reference
  uint64_t images = 0, labelled = 0;  // copies too
  uint64_t ranked = 0;                // different inputs in `agreement`
};

// 24 bytes: what a meter keeps of an image.
struct TaskAnswer {
  SamplePtr sample;
  uint32_t marks = 0;  // bits, see task_accuracy.cc

  friend bool operator==(const TaskAnswer& first, const TaskAnswer& second) {
    return *first.sample == *second.sample && first.marks == second.marks;
  }
  friend constexpr auto ColumnsOf(const TaskAnswer*) {
    return std::tuple(Column("sample", &TaskAnswer::sample), Column("marks", &TaskAnswer::marks));
  }
};

// The answers of one arm, one record an image.
class TaskMeter {
 public:
  // Scores of one image (logits, or similarities to class embeddings), as the arm and as the
  // reference computed them, of kMinClasses or more classes. An image without accepted classes
  // counts for agreement only; one whose scores are all equal in the reference does not count for
  // that: it ranks nothing. One call per image.
  void Add(SamplePtr sample, std::span<const float> scores, std::span<const float> reference,
           std::span<const int64_t> accepted);
  void Add(SamplePtr sample, std::span<const double> scores, std::span<const double> reference,
           std::span<const int64_t> accepted);
  void Add(SamplePtr sample, std::span<const Half> scores, std::span<const Half> reference,
           std::span<const int64_t> accepted);

  // The answers of a worker or a run that saw other images; all are in the order of their keys
  // then.
  void Merge(const TaskMeter& other);

  // Fractions with Wilson intervals, every image an input of its own.
  TaskAccuracy Result() const;
  // Each input counted once: a copy is no further trial. `inputs` holds every image.
  TaskAccuracy Result(const InputsOfImages& inputs) const;

  friend bool operator==(const TaskMeter&, const TaskMeter&) = default;
  friend constexpr auto ColumnsOf(const TaskMeter*) {
    return std::tuple(Column("answers", &TaskMeter::answers_));
  }

 private:
  template <class Score>
  void AddScores(SamplePtr sample, std::span<const Score> scores, std::span<const Score> reference,
                 std::span<const int64_t> accepted);

  std::vector<TaskAnswer> answers_;
};

}  // namespace w8a8
