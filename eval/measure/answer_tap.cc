#include "eval/measure/answer_tap.h"

#include <algorithm>
#include <span>

#include "eval/measure/task_accuracy.h"

namespace w8a8 {
namespace {

int64_t BestClass(std::span<const Half> output, const ClassEmbeddings* classes) {
  if (classes != nullptr) {
    const std::vector<double> cosines = classes->Cosines(output);
    return TopClasses(std::span<const double>(cosines), 1).front();
  }
  std::vector<float> logits(output.size());
  ToFloat(output, logits);
  return TopClasses(std::span<const float>(logits), 1).front();
}

}  // namespace

AnswerTap::AnswerTap(int run, const ClassEmbeddings* classes, int workers)
    : run_(run), classes_(classes), workers_(static_cast<size_t>(std::max(1, workers))) {}

void AnswerTap::OnOutputs(const OutputEvent& event) {
  if (event.arm != 0 && event.arm != run_) return;
  const MatView<const Half> output = classes_ == nullptr ? event.logits : event.embedding();
  const int64_t ranks = classes_ == nullptr ? output.cols : classes_->classes();
  if (output.rows == 0 || ranks < kMinClasses) return;
  for (size_t i = 0; i < event.samples.size(); ++i) {
    const Sample& sample = event.samples[i];
    if (!sample.whole) continue;
    const int64_t best = BestClass(output.row_span(static_cast<int64_t>(i)), classes_);
    Answer& answer = workers_[static_cast<size_t>(event.worker)][sample.key->image];
    (event.arm == 0 ? answer.reference : answer.arm) = best;
  }
}

void Answer::Merge(const Answer& other) {
  reference = std::max(reference, other.reference);
  arm = std::max(arm, other.arm);
}

Answers AnswerTap::Take() {
  Answers merged;
  for (Answers& worker : workers_) {
    MergeResult(merged, worker);
    worker.clear();
  }
  return merged;
}

}  // namespace w8a8
