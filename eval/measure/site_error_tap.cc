#include "eval/measure/site_error_tap.h"

#include <algorithm>
#include <utility>

#include "runtime/base/error.h"
#include "runtime/prepare.h"

namespace w8a8 {
namespace {

std::vector<Half> Flat(MatView<const Half> view) {
  return {view.data, view.data + view.rows * view.cols};
}

// True where the arm's codes are those of numerics.md's own quantizers (other flavours have codes
// of their own, or none).
bool HasOurCodes(const Arm& arm) {
  return arm.precision != Precision::kFake || arm.flavour == FakeFlavour::kIdeal;
}

}  // namespace

SiteErrorTap::SiteErrorTap(std::span<const Arm> runs, std::vector<size_t> watched, int workers,
                           RunningSqnr* running)
    : runs_(runs),
      watched_(std::move(watched)),
      running_(running),
      workers_(static_cast<size_t>(std::max(1, workers))) {}

bool SiteErrorTap::WantsLinear(int arm, const std::string& /*site*/) const {
  return arm == 0 ||
         std::find(watched_.begin(), watched_.end(), static_cast<size_t>(arm)) != watched_.end();
}

void SiteErrorTap::OnLinear(LinearEvent& event) {
  Worker& worker = workers_[static_cast<size_t>(event.worker)];
  if (event.arm == 0) {
    OnReference(event, worker);
    return;
  }
  Measure(event, {static_cast<size_t>(event.arm), View::kPropagated, *event.site}, event.input,
          event.output, worker);
}

void SiteErrorTap::OnReference(LinearEvent& event, Worker& worker) {
  // Of all stages these would be the activations of the whole encoder, 9 GB for InternViT-6B.
  if (worker.stage != event.stage) worker.reference.clear();
  worker.stage = event.stage;
  worker.reference[*event.site] = {Flat(event.input),
                                   Flat(event.output),
                                   {event.owners.begin(), event.owners.end()},
                                   event.input.rows};
  for (const size_t run : watched_) {
    const LinearResult forced = event.RunAs(static_cast<int>(run), {});
    Measure(event, {run, View::kTeacherForced, *event.site}, event.input, forced.output, worker);
  }
}

void SiteErrorTap::Measure(const LinearEvent& event, const SiteKey& key, MatView<const Half> input,
                           MatView<const Half> actual, Worker& worker) {
  const Seen& reference = worker.reference.at(key.site);
  W8A8_CHECK(std::ranges::equal(reference.owners, event.owners));
  const MatView<const Half> expected{reference.output.data(), reference.rows, actual.cols,
                                     actual.cols};
  const MatView<const Half> expected_input{reference.input.data(), reference.rows, input.cols,
                                           input.cols};
  SiteMeters& meters = worker.meters[key];
  const Arm& arm = runs_[key.run];
  const auto planned = arm.plan.sites.find(key.site);
  for (size_t i = 0; i < event.samples.size(); ++i) {
    const SamplePtr& sample = event.samples[i].key;
    const SampleRows own = RowsOf(event, i);
    const auto rows = [&](MatView<const Half> view) { return view.RowRange(own.first, own.count); };
    meters.output.Add(sample, rows(expected), rows(actual));
    if (running_ != nullptr && key.view == View::kPropagated) {
      running_->Add(key.run, key.site, meters.output.records().back());
    }
    const bool quantized = planned != arm.plan.sites.end() && planned->second.input;
    if (!quantized || !HasOurCodes(arm)) continue;
    MeasureInput(sample, planned->second, rows(expected_input), rows(input), meters, worker);
  }
}

// The error of what the codes stand for against what the quantizer would have seen of the
// reference's input: both as the plan transforms rows.
void SiteErrorTap::MeasureInput(const SamplePtr& sample, const SitePlan& plan,
                                MatView<const Half> expected, MatView<const Half> input,
                                SiteMeters& meters, Worker& worker) {
  const auto room = [&input](std::vector<float>& values) {
    values.resize(static_cast<size_t>(input.rows * input.cols));
    return MatView<float>{values.data(), input.rows, input.cols, input.cols};
  };
  const InputScheme scheme{.quantizer = *plan.input,
                           .transform = TransformOf(plan),
                           .rows_per_image = plan.first_row_twice ? input.rows : 0};
  ReferenceRows& rows = worker.rows;
  QuantizeRowsReference(input, scheme, &rows);
  const MatView<float> values = room(worker.values);
  RealValuesOf(rows, values);
  if (scheme.transform.empty()) {
    meters.input.Add(sample, expected, MatView<const float>(values));
  } else {
    const MatView<float> transformed = room(worker.transformed);
    TransformRows(expected, scheme.transform, transformed);
    meters.input.Add(sample, MatView<const float>(transformed), MatView<const float>(values));
  }
  meters.output.AddSaturation(rows.counts.saturated,
                              static_cast<uint64_t>(input.rows * input.cols));
}

SiteErrors SiteErrorTap::Take() {
  SiteErrors merged;
  for (Worker& worker : workers_) {
    MergeResult(merged, worker.meters);
    worker = {};
  }
  return merged;
}

}  // namespace w8a8
