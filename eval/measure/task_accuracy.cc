#include "eval/measure/task_accuracy.h"

#include <algorithm>
#include <cmath>
#include <numeric>

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

}  // namespace

std::vector<int64_t> TopClasses(std::span<const float> scores, size_t count) {
  return Best(scores, count);
}

std::vector<int64_t> TopClasses(std::span<const double> scores, size_t count) {
  return Best(scores, count);
}

void TaskMeter::Add(std::span<const float> scores, std::span<const float> reference,
                    std::span<const int64_t> accepted) {
  AddScores(scores, reference, accepted);
}

void TaskMeter::Add(std::span<const double> scores, std::span<const double> reference,
                    std::span<const int64_t> accepted) {
  AddScores(scores, reference, accepted);
}

template <class Score>
void TaskMeter::AddScores(std::span<const Score> scores, std::span<const Score> reference,
                          std::span<const int64_t> accepted) {
  W8A8_CHECK(std::ssize(scores) >= kMinClasses && scores.size() == reference.size());
  const std::vector<int64_t> best = TopClasses(scores, kTopFive);
  ++images_;
  if (AllEqual(reference)) {
    ++tied_;
  } else {
    agree_ += best.front() == TopClasses(reference, 1).front();
  }
  if (accepted.empty()) return;
  ++labelled_;
  top1_ += AnyAccepted({best.data(), 1}, accepted);
  if (scores.size() <= kTopFive) return;
  ++labelled5_;
  top5_ += AnyAccepted(best, accepted);
}

void TaskMeter::Add(std::span<const Half> scores, std::span<const Half> reference,
                    std::span<const int64_t> accepted) {
  std::vector<float> scores_float(scores.size()), reference_float(reference.size());
  ToFloat(scores, scores_float);
  ToFloat(reference, reference_float);
  Add(std::span<const float>(scores_float), std::span<const float>(reference_float), accepted);
}

TaskAccuracy TaskMeter::Result() const { return Result(images_, labelled_); }

TaskAccuracy TaskMeter::Result(uint64_t different, uint64_t different_labelled) const {
  TaskAccuracy result;
  result.images = images_;
  result.labelled = labelled_;
  if (labelled_ > 0) {
    result.top1 = WilsonInterval(top1_, labelled_, different_labelled);
  }
  if (labelled5_ > 0) result.top5 = WilsonInterval(top5_, labelled5_, different_labelled);
  if (const uint64_t ranked = images_ - tied_; ranked > 0) {
    result.agreement = WilsonInterval(agree_, ranked, std::min(different, ranked));
  }
  return result;
}

}  // namespace w8a8
