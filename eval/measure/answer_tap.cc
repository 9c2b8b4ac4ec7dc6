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
  const MatView<const Half> output = classes_ == nullptr ? event.logits : event.pooled;
  if (output.rows == 0) return;
  for (size_t i = 0; i < event.images->size(); ++i) {
    const ImageId& image = (*event.images)[i];
    if (!image.whole) continue;
    const int64_t best = BestClass(output.row_span(static_cast<int64_t>(i)), classes_);
    Answer& answer = workers_[static_cast<size_t>(event.worker)][image.image];
    (event.arm == 0 ? answer.reference : answer.arm) = best;
  }
}

std::map<int64_t, AnswerTap::Answer> AnswerTap::Take() {
  std::map<int64_t, Answer> merged;
  for (auto& worker : workers_) {
    for (const auto& [image, answer] : worker) {
      Answer& into = merged[image];
      into.reference = std::max(into.reference, answer.reference);
      into.arm = std::max(into.arm, answer.arm);
    }
    worker.clear();
  }
  return merged;
}

}  // namespace w8a8
