#include "eval/run/site_replay.h"

namespace w8a8 {
namespace {

constexpr SlotId kIn = 0;
constexpr SlotId kOut = 1;

// A graph of a single linear layer; the rows are one image's.
Graph SingleLayerGraph(const Weights& weights, const std::string& site, int64_t rows) {
  const LinearParameters parameters = weights.Linear(site);
  Graph graph;
  graph.slots = {Slot{.name = "in", .rows = rows, .cols = parameters.k},
                 Slot{.name = "out", .rows = rows, .cols = parameters.n}};
  graph.nodes = {
      Node{.kind = NodeKind::kLinear, .site = site, .weight = site, .in = kIn, .out = kOut}};
  graph.stages = {Stage{.first_node = 0, .last_node = 1}};
  return graph;
}

}  // namespace

SiteReplay::SiteReplay(const Weights& weights, Backend& backend, const std::string& site,
                       MatView<const Half> rows)
    : site_(site),
      rows_(rows),
      graph_(SingleLayerGraph(weights, site, rows.rows)),
      lowering_(graph_, weights, backend),
      arena_(backend.MakeArena()) {
  expected_ = Run(Precision::kFp16, {});
}

std::vector<Half> SiteReplay::Run(Precision precision, const Plan& plan) {
  const Program program = lowering_.Lower(precision, plan, FakeFlavour::kIdeal);
  arena_->Prepare(program.slots, {.images = 1});
  for (int64_t r = 0; r < rows_.rows; ++r) {
    arena_->Upload(kIn, r, std::as_bytes(rows_.row_span(r)));
  }
  for (const Step& step : program.steps) arena_->Run(step, {});
  const MatView<const Half> out = arena_->HostHalf(kOut);
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
