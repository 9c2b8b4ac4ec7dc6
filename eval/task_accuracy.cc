#include "eval/task_accuracy.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "eval/intervals.h"
#include "runtime/base/error.h"

namespace w8a8 {
namespace {

bool AnyAccepted(std::span<const int64_t> classes, std::span<const int64_t> accepted) {
  return std::any_of(classes.begin(), classes.end(), [&](int64_t candidate) {
    return std::find(accepted.begin(), accepted.end(), candidate) != accepted.end();
  });
}

}  // namespace

std::vector<int64_t> TopClasses(std::span<const float> scores, size_t count) {
  std::vector<int64_t> classes(scores.size());
  std::iota(classes.begin(), classes.end(), int64_t{0});
  const auto score = [&](int64_t index) {
    const float value = scores[static_cast<size_t>(index)];
    return std::isnan(value) ? -HUGE_VALF : value;
  };
  const auto is_nan = [&](int64_t index) { return std::isnan(scores[static_cast<size_t>(index)]); };
  const auto better = [&](int64_t a, int64_t b) {
    if (is_nan(a) != is_nan(b)) return is_nan(b);
    if (score(a) != score(b)) return score(a) > score(b);
    return a < b;
  };
  count = std::min(count, classes.size());
  const auto end = classes.begin() + static_cast<std::ptrdiff_t>(count);
  std::partial_sort(classes.begin(), end, classes.end(), better);
  classes.resize(count);
  return classes;
}

void TaskMeter::Add(std::span<const float> scores, std::span<const float> reference,
                    std::span<const int64_t> accepted) {
  W8A8_CHECK(!scores.empty() && scores.size() == reference.size());
  const std::vector<int64_t> best = TopClasses(scores, 5);
  ++images_;
  agree_ += best.front() == TopClasses(reference, 1).front();
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

void TaskMeter::Merge(const TaskMeter& other) {
  images_ += other.images_;
  labelled_ += other.labelled_;
  top1_ += other.top1_;
  top5_ += other.top5_;
  agree_ += other.agree_;
}

TaskAccuracy TaskMeter::Result() const {
  TaskAccuracy result;
  result.images = images_;
  result.labelled = labelled_;
  if (labelled_ > 0) {
    result.top1 = WilsonInterval(top1_, labelled_);
    result.top5 = WilsonInterval(top5_, labelled_);
  }
  if (images_ > 0) result.agreement = WilsonInterval(agree_, images_);
  return result;
}

}  // namespace w8a8
