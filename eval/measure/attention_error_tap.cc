#include "eval/measure/attention_error_tap.h"

#include <algorithm>
#include <utility>

#include "runtime/base/error.h"

namespace w8a8 {
namespace {

void AddSamples(const AttentionEvent& event, MatView<const Half> expected,
                MatView<const Half> actual, ErrorMeter& meter) {
  const int64_t rows = expected.rows / static_cast<int64_t>(event.samples.size());
  for (size_t i = 0; i < event.samples.size(); ++i) {
    const int64_t first = static_cast<int64_t>(i) * rows;
    meter.Add(event.samples[i].key, expected.RowRange(first, rows), actual.RowRange(first, rows));
  }
}

}  // namespace

AttentionErrorTap::AttentionErrorTap(std::vector<size_t> watched, int workers)
    : watched_(std::move(watched)), workers_(static_cast<size_t>(std::max(1, workers))) {}

bool AttentionErrorTap::WantsAttention(int arm) const {
  if (arm == 0) return !watched_.empty();
  return std::ranges::find(watched_, static_cast<size_t>(arm)) != watched_.end();
}

void AttentionErrorTap::OnAttention(AttentionEvent& event) {
  Worker& worker = workers_[static_cast<size_t>(event.worker)];
  const MatView<const Half> output = event.output;
  W8A8_CHECK(output.stride == output.cols);
  const auto meter = [&](size_t run, View view) -> ErrorMeter& {
    return worker.meters[{run, view, event.block}];
  };
  if (event.arm == 0) {
    worker.reference.assign(output.data, output.data + output.rows * output.cols);
    for (const size_t run : watched_) {
      AddSamples(event, output, event.RunAs(static_cast<int>(run)),
                 meter(run, View::kTeacherForced));
    }
    return;
  }
  W8A8_CHECK(std::ssize(worker.reference) == output.rows * output.cols);
  const MatView<const Half> expected{worker.reference.data(), output.rows, output.cols,
                                     output.cols};
  AddSamples(event, expected, output, meter(static_cast<size_t>(event.arm), View::kPropagated));
}

AttentionErrors AttentionErrorTap::Take() {
  AttentionErrors merged;
  for (Worker& worker : workers_) {
    MergeResult(merged, worker.meters);
    worker = {};
  }
  return merged;
}

}  // namespace w8a8
