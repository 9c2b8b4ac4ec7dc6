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

}  // namespace

std::vector<int64_t> TopClasses(std::span<const float> scores, size_t count) {
  return Best(scores, count);
}

std::vector<int64_t> TopClasses(std::span<const double> scores, size_t count) {
  return Best(scores, count);
}

void TaskMeter::Add(std::span<const float> scores, std::span<const float> reference,
                    std::span<const int64_t> accepted) {
  W8A8_CHECK(!scores.empty() && scores.size() == reference.size());
  AddRanked(TopClasses(scores, 5), TopClasses(reference, 1).front(), accepted);
}

void TaskMeter::Add(std::span<const double> scores, std::span<const double> reference,
                    std::span<const int64_t> accepted) {
  W8A8_CHECK(!scores.empty() && scores.size() == reference.size());
  AddRanked(TopClasses(scores, 5), TopClasses(reference, 1).front(), accepted);
}

void TaskMeter::AddRanked(const std::vector<int64_t>& best, int64_t reference_best,
                          std::span<const int64_t> accepted) {
  ++images_;
  agree_ += best.front() == reference_best;
  if (accepted.empty()) return;
  ++labelled_;
  top1_ += AnyAccepted({best.data(), 1}, accepted);
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
    result.top5 = WilsonInterval(top5_, labelled_, different_labelled);
  }
  if (images_ > 0) result.agreement = WilsonInterval(agree_, images_, different);
  return result;
}

}  // namespace w8a8
