#include "eval/measure/task_accuracy.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "eval/measure/intervals.h"
#include "runtime/base/error.h"

namespace w8a8 {
namespace {

bool AnyAccepted(std::span<const int64_t> classes, std::span<const int64_t> accepted) {
  return std::any_of(classes.begin(), classes.end(), [&](int64_t candidate) {
    return std::find(accepted.begin(), accepted.end(), candidate) != accepted.end();
  });
}

template <class Score>
std::vector<int64_t> Best(std::span<const Score> scores, size_t count) {
  std::vector<int64_t> classes(scores.size());
  std::iota(classes.begin(), classes.end(), int64_t{0});
  const auto better = [&](int64_t a, int64_t b) {
    const Score left = scores[static_cast<size_t>(a)], right = scores[static_cast<size_t>(b)];
    if (std::isnan(left) != std::isnan(right)) return std::isnan(right);
    if (left > right || left < right) return left > right;
    return a < b;
  };
  count = std::min(count, classes.size());
  const auto end = classes.begin() + static_cast<std::ptrdiff_t>(count);
  std::partial_sort(classes.begin(), end, classes.end(), better);
  classes.resize(count);
  return classes;
}

template <class Score>
bool AllEqual(std::span<const Score> scores) {
  return std::all_of(scores.begin(), scores.end(),
                     [&](Score score) { return score == scores.front(); });
}

constexpr size_t kTopFive = 5;

// The marks of an image. `kLabelled5`: it has a label, and there are more than five classes.
constexpr uint32_t kRanked = 1, kAgrees = 2, kLabelled = 4, kTop1 = 8, kLabelled5 = 16, kTop5 = 32;

bool AnsweredBefore(const TaskAnswer& first, const TaskAnswer& second) {
  return *first.sample < *second.sample;
}

// A share over different inputs.
class Share {
 public:
  // Another answer for an input.
  void Add(const std::string& input, bool success) {
    Outcomes& outcomes = of_input_[input];
    ++outcomes.images;
    outcomes.successes += success ? 1 : 0;
  }
  uint64_t inputs() const { return of_input_.size(); }
  // None without any input.
  std::optional<Estimate> Wilson() const {
    if (of_input_.empty()) return std::nullopt;
    double sum = 0;
    for (const auto& [input, outcomes] : of_input_) {
      sum += static_cast<double>(outcomes.successes) / static_cast<double>(outcomes.images);
    }
    return WilsonInterval(sum, of_input_.size());
  }

 private:
  struct Outcomes {
    uint64_t images = 0, successes = 0;
  };
  std::map<std::string, Outcomes> of_input_;
};

}  // namespace

std::vector<int64_t> TopClasses(std::span<const float> scores, size_t count) {
  return Best(scores, count);
}

std::vector<int64_t> TopClasses(std::span<const double> scores, size_t count) {
  return Best(scores, count);
}

void TaskMeter::Add(SamplePtr sample, std::span<const float> scores,
                    std::span<const float> reference, std::span<const int64_t> accepted) {
  AddScores(std::move(sample), scores, reference, accepted);
}

void TaskMeter::Add(SamplePtr sample, std::span<const double> scores,
                    std::span<const double> reference, std::span<const int64_t> accepted) {
  AddScores(std::move(sample), scores, reference, accepted);
}

template <class Score>
void TaskMeter::AddScores(SamplePtr sample, std::span<const Score> scores,
                          std::span<const Score> reference, std::span<const int64_t> accepted) {
  W8A8_CHECK(std::ssize(scores) >= kMinClasses && scores.size() == reference.size());
  const std::vector<int64_t> best = TopClasses(scores, kTopFive);
  uint32_t marks = 0;
  const auto mark = [&](uint32_t bit, bool holds) { marks |= holds ? bit : 0; };
  mark(kRanked, !AllEqual(reference));
  mark(kAgrees, best.front() == TopClasses(reference, 1).front());
  mark(kLabelled, !accepted.empty());
  mark(kTop1, AnyAccepted({best.data(), 1}, accepted));
  mark(kLabelled5, !accepted.empty() && scores.size() > kTopFive);
  mark(kTop5, AnyAccepted(best, accepted));
  answers_.push_back({std::move(sample), marks});
}

void TaskMeter::Add(SamplePtr sample, std::span<const Half> scores, std::span<const Half> reference,
                    std::span<const int64_t> accepted) {
  std::vector<float> scores_float(scores.size()), reference_float(reference.size());
  ToFloat(scores, scores_float);
  ToFloat(reference, reference_float);
  Add(std::move(sample), std::span<const float>(scores_float),
      std::span<const float>(reference_float), accepted);
}

void TaskMeter::Merge(const TaskMeter& other) {
  answers_.insert(answers_.end(), other.answers_.begin(), other.answers_.end());
  std::sort(answers_.begin(), answers_.end(), AnsweredBefore);
}

TaskAccuracy TaskMeter::Result() const {
  InputsOfImages inputs;
  for (const TaskAnswer& answer : answers_) {
    inputs.emplace(answer.sample->image, std::to_string(inputs.size()));
  }
  return Result(inputs);
}

TaskAccuracy TaskMeter::Result(const InputsOfImages& inputs) const {
  Share agreement, top1, top5;
  TaskAccuracy result;
  for (const TaskAnswer& answer : answers_) {
    const auto found = inputs.find(answer.sample->image);
    W8A8_CHECK(found != inputs.end());
    const auto has = [&](uint32_t bit) { return (answer.marks & bit) != 0; };
    ++result.images;
    result.labelled += has(kLabelled) ? 1 : 0;
    if (has(kRanked)) agreement.Add(found->second, has(kAgrees));
    if (has(kLabelled)) top1.Add(found->second, has(kTop1));
    if (has(kLabelled5)) top5.Add(found->second, has(kTop5));
  }
  result.ranked = agreement.inputs();
  result.agreement = agreement.Wilson();
  result.top1 = top1.Wilson();
  result.top5 = top5.Wilson();
  return result;
}

}  // namespace w8a8
