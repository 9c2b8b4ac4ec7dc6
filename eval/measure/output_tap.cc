#include "eval/measure/output_tap.h"

#include <algorithm>

namespace w8a8 {
namespace {

constexpr size_t kTokens = 0, kPooled = 1;  // in kOutputNames

void CountNonFinite(const ImageKey& image, MatView<const Half> values, OutputTap::Result& result) {
  uint64_t count = 0;
  for (int64_t row = 0; row < values.rows; ++row) {
    for (const Half value : values.row_span(row)) count += IsFinite(value) ? 0 : 1;
  }
  if (count > 0) result.nonfinite_reference[image] += count;
}

// FNV-1a of the values' patterns. Digests of outputs are added up, in any order.
uint64_t Digest(size_t output, MatView<const Half> values) {
  uint64_t digest = 0xcbf29ce484222325u + output;
  for (int64_t row = 0; row < values.rows; ++row) {
    for (const Half value : values.row_span(row)) digest = (digest ^ value.bits) * 0x100000001b3u;
  }
  return digest;
}

}  // namespace

OutputTap::OutputTap(int workers, const EncoderConfig& config, const AcceptedClasses& accepted,
                     const ClassEmbeddings* classes)
    : unread_tokens_(config.unread_tokens),
      pooled_unread_(config.pooled_unread),
      accepted_(accepted),
      classes_(classes),
      workers_(static_cast<size_t>(std::max(1, workers))) {}

void OutputTap::OnOutputs(const OutputEvent& event) {
  Worker& worker = workers_[static_cast<size_t>(event.worker)];
  const std::array<MatView<const Half>, kOutputNames.size()> outputs{
      event.tokens, event.pooled, event.image_embeds, event.logits};
  for (size_t o = 0; o < outputs.size(); ++o) {
    if (o == kPooled && pooled_unread_) continue;
    if (outputs[o].rows > 0) AddOutput(event, o, outputs[o], worker);
  }
  const MatView<const Half> ranked = classes_ == nullptr ? event.logits : event.embedding();
  const int64_t ranks = classes_ == nullptr ? ranked.cols : classes_->classes();
  if (ranked.rows > 0 && ranks >= kMinClasses) AddTasks(event, ranked, worker);
}

void OutputTap::AddOutput(const OutputEvent& event, size_t output, MatView<const Half> actual,
                          Worker& worker) const {
  Result& result = worker.result;
  const auto run = static_cast<size_t>(event.arm);
  std::vector<Half>& kept = worker.reference[output];
  if (run == 0) kept.assign(actual.data, actual.data + actual.rows * actual.cols);
  const MatView<const Half> expected{kept.data(), actual.rows, actual.cols, actual.cols};
  const int64_t rows = actual.rows / static_cast<int64_t>(event.samples.size());
  const int64_t unread = output == kTokens ? unread_tokens_ : 0;
  for (size_t i = 0; i < event.samples.size(); ++i) {
    const Sample& sample = event.samples[i];
    const int64_t first = static_cast<int64_t>(i) * rows;
    const MatView<const Half> read = actual.RowRange(first + unread, rows - unread);
    if (run == 0) {
      CountNonFinite(sample.key->image, read, result);
      result.reference_digests[sample.key->image] += Digest(output, read);
    } else {
      result.meters[{run, kOutputNames[output]}].Add(
          sample.key, expected.RowRange(first + unread, rows - unread), read);
    }
  }
}

void OutputTap::AddTasks(const OutputEvent& event, MatView<const Half> ranked,
                         Worker& worker) const {
  const auto run = static_cast<size_t>(event.arm);
  if (run == 0) worker.ranked.assign(ranked.data, ranked.data + ranked.rows * ranked.cols);
  const MatView<const Half> expected{worker.ranked.data(), ranked.rows, ranked.cols, ranked.cols};
  for (size_t i = 0; i < event.samples.size(); ++i) {
    const Sample& sample = event.samples[i];
    const auto row = static_cast<int64_t>(i);
    if (!sample.whole) continue;
    AddTask(sample.key, expected.row_span(row), ranked.row_span(row), worker.result.tasks[run]);
  }
}

void OutputTap::AddTask(const SamplePtr& sample, std::span<const Half> expected,
                        std::span<const Half> actual, TaskMeter& task) const {
  const auto found = accepted_.find(sample->image.name);
  const std::vector<int64_t> accepted =
      found == accepted_.end() ? std::vector<int64_t>{} : found->second;
  if (classes_ == nullptr) {
    task.Add(sample, actual, expected, accepted);
    return;
  }
  const std::vector<double> scores = classes_->Cosines(actual);
  const std::vector<double> reference = classes_->Cosines(expected);
  task.Add(sample, std::span<const double>(scores), std::span<const double>(reference), accepted);
}

OutputTap::Result OutputTap::Take() {
  Result merged;
  for (Worker& worker : workers_) {
    MergeResult(merged, worker.result);
    worker = {};
  }
  return merged;
}

}  // namespace w8a8
