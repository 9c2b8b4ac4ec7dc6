#include "eval/run/site_replay.h"

#include "eval/run/single_layer.h"

namespace w8a8 {
namespace {

Graph GraphOf(const LinearParameters& layer, const std::string& site, int64_t rows) {
  return SingleLayerGraph(site, rows, layer.k, layer.n);
}

}  // namespace
SiteReplay::SiteReplay(const Weights& weights, Backend& backend, const std::string& site,
                       MatView<const Half> rows)
    : site_(site),
      rows_(rows),
      graph_(GraphOf(weights.Linear(site), site, rows.rows)),
      lowering_(graph_, weights, backend),
      arena_(backend.MakeArena()) {
  expected_ = Run(Precision::kFp16, {});
}

std::vector<Half> SiteReplay::Run(Precision precision, const Plan& plan) {
  const Program program = lowering_.Lower(precision, plan, FakeFlavour::kIdeal);
  arena_->Prepare(program.slots, {.images = 1});
  for (int64_t r = 0; r < rows_.rows; ++r) {
    arena_->Upload(Lowering::kLayerIn, r, std::as_bytes(rows_.row_span(r)));
  }
  for (const Step& step : program.steps) arena_->Run(step, {});
  const MatView<const Half> out = arena_->HostHalf(Lowering::kLayerOut);
  return {out.data, out.data + out.rows * out.cols};
}

double SiteReplay::TeacherForcedError(const SitePlan& plan) {
  const std::vector<Half> actual = Run(Precision::kInt8, {.sites = {{site_, plan}}});
  double difference = 0;
  double power = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    const double expected = ToFloat(expected_[i]);
    const double d = static_cast<double>(ToFloat(actual[i])) - expected;
    difference += d * d;
    power += expected * expected;
  }
  return power > 0 ? difference / power : 0.0;
}

}  // namespace w8a8
