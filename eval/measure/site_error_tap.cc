#include "eval/measure/site_error_tap.h"

#include <algorithm>
#include <array>
#include <iterator>
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

MatView<const Half> ViewOf(const std::vector<Half>& values, int64_t rows, int64_t cols) {
  return {values.data(), rows, cols, cols};
}

// The rows of `wanted`, which are among those of `owners`; both ascend.
std::vector<Half> RowsAt(MatView<const Half> view, std::span<const RowOwner> owners,
                         std::span<const RowOwner> wanted) {
  std::vector<Half> rows;
  rows.reserve(wanted.size() * static_cast<size_t>(view.cols));
  size_t at = 0;
  for (const RowOwner& owner : wanted) {
    while (owners[at] != owner) ++at;
    const std::span<const Half> row = view.row_span(static_cast<int64_t>(at));
    rows.insert(rows.end(), row.begin(), row.end());
  }
  return rows;
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
  // Of all stages these would be the activations of the whole encoder, 9 GB for InternViT-6B; and
  // of an expert that the reference gives nothing in this batch they would be another batch's.
  const SamplePtr& batch = event.samples.front().key;
  if (worker.stage != event.stage || worker.batch != batch) worker.reference.clear();
  worker.stage = event.stage;
  worker.batch = batch;
  if (event.arm == 0) {
    OnReference(event, worker);
  } else {
    OnArm(event, worker);
  }
}

void SiteErrorTap::OnReference(LinearEvent& event, Worker& worker) {
  worker.reference[*event.site] = {Flat(event.input),
                                   Flat(event.output),
                                   {event.owners.begin(), event.owners.end()},
                                   event.input.rows};
  for (const size_t run : watched_) {
    const LinearResult forced = event.RunAs(static_cast<int>(run), {});
    Measure(event, {run, View::kTeacherForced, *event.site},
            {event.owners, event.input, event.output, event.input, forced.output}, worker);
  }
}

void SiteErrorTap::OnArm(const LinearEvent& event, Worker& worker) {
  const SiteKey key{static_cast<size_t>(event.arm), View::kPropagated, *event.site};
  const auto seen = worker.reference.find(key.site);
  if (seen == worker.reference.end()) {
    W8A8_CHECK(!event.owners.empty());
    return;
  }
  const Seen& reference = seen->second;
  const MatView<const Half> input = ViewOf(reference.input, reference.rows, event.input.cols);
  const MatView<const Half> output = ViewOf(reference.output, reference.rows, event.output.cols);
  if (std::ranges::equal(reference.owners, event.owners)) {
    return Measure(event, key, {event.owners, input, output, event.input, event.output}, worker);
  }
  std::vector<RowOwner> both;
  std::ranges::set_intersection(reference.owners, event.owners, std::back_inserter(both));
  if (both.empty()) return;
  const std::array<std::vector<Half>, 4> rows{
      RowsAt(input, reference.owners, both), RowsAt(output, reference.owners, both),
      RowsAt(event.input, event.owners, both), RowsAt(event.output, event.owners, both)};
  const auto view = [&](size_t i, int64_t cols) { return ViewOf(rows[i], std::ssize(both), cols); };
  Measure(
      event, key,
      {both, view(0, input.cols), view(1, output.cols), view(2, input.cols), view(3, output.cols)},
      worker);
}

void SiteErrorTap::Measure(const LinearEvent& event, const SiteKey& key, const Pairs& pairs,
                           Worker& worker) {
  SiteMeters& meters = worker.meters[key];
  const Arm& arm = runs_[key.run];
  const auto planned = arm.plan.sites.find(key.site);
  for (size_t i = 0; i < event.samples.size(); ++i) {
    const SamplePtr& sample = event.samples[i].key;
    const SampleRows own = pairs.owners.empty() ? RowsOf(event, i) : RowsOf(pairs.owners, i);
    if (own.count == 0) continue;
    const auto rows = [&](MatView<const Half> view) { return view.RowRange(own.first, own.count); };
    meters.output.Add(sample, rows(pairs.expected), rows(pairs.actual));
    if (running_ != nullptr && key.view == View::kPropagated) {
      running_->Add(key.run, key.site, meters.output.records().back());
    }
    const bool quantized = planned != arm.plan.sites.end() && planned->second.input;
    if (!quantized || !HasOurCodes(arm)) continue;
    MeasureInput(sample, planned->second, rows(pairs.expected_input), rows(pairs.input), meters,
                 worker);
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
