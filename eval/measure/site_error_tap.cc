#include "eval/measure/site_error_tap.h"

#include <algorithm>
#include <utility>

#include "quant/reference_quantizer.h"
#include "runtime/base/error.h"

namespace w8a8 {
namespace {

std::vector<Half> Flat(MatView<const Half> view) {
  return {view.data, view.data + view.rows * view.cols};
}

// True where the arm's codes are those of numerics.md section 2 (other flavours have codes of their
// own, or none).
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
    MeasureInput(sample, *planned->second.input, rows(expected_input), rows(input), meters, worker);
  }
}

void SiteErrorTap::MeasureInput(const SamplePtr& sample, const Quantizer& quantizer,
                                MatView<const Half> expected, MatView<const Half> input,
                                SiteMeters& meters, Worker& worker) {
  const ReferenceRows rows = QuantizeRowsReference(input, {.quantizer = quantizer});
  worker.values.resize(rows.codes.size());
  for (int64_t r = 0; r < input.rows; ++r) {
    for (int64_t c = 0; c < input.cols; ++c) {
      const auto at = static_cast<size_t>(r * input.cols + c);
      worker.values[at] = Quantizer::RealOf(rows.codes[at], rows.scales.At(r, c));
    }
  }
  meters.input.Add(sample, expected,
                   MatView<const float>{worker.values.data(), input.rows, input.cols, input.cols});
  meters.output.AddSaturation(rows.counts.saturated, rows.codes.size());
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
