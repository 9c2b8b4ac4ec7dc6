#include "eval/measure/site_detail_tap.h"

#include <algorithm>

#include <fmt/format.h>

#include "quant/numerics.h"

namespace w8a8 {
namespace {

constexpr uint16_t kMagnitude = 0x7fff;  // the pattern without its sign; larger means larger

int64_t CellsOf(int64_t extent, int64_t per_cell) { return (extent + per_cell - 1) / per_cell; }

}  // namespace

OutlierMap MapOf(MatView<const Half> input, const std::string& image) {
  OutlierMap map;
  map.image = image;
  map.tokens_per_row = CellsOf(input.rows, kMapRows);
  map.channels_per_column = CellsOf(input.cols, kMapColumns);
  map.rows = CellsOf(input.rows, map.tokens_per_row);
  map.columns = CellsOf(input.cols, map.channels_per_column);
  map.absmax.resize(static_cast<size_t>(map.rows * map.columns));
  for (int64_t r = 0; r < input.rows; ++r) {
    Half* const cells = map.absmax.data() + r / map.tokens_per_row * map.columns;
    for (int64_t c = 0; c < input.cols; ++c) {
      Half& cell = cells[c / map.channels_per_column];
      const auto magnitude = static_cast<uint16_t>(input.row(r)[c].bits & kMagnitude);
      cell.bits = std::max(cell.bits, magnitude);
    }
  }
  return map;
}

SiteDetailTap::SiteDetailTap(const Experiment& experiment, int workers)
    : experiment_(experiment), workers_(static_cast<size_t>(std::max(1, workers))) {
  if (const std::optional<size_t> run = experiment.ChosenRun(Precision::kInt8)) {
    int8_run_ = static_cast<int>(*run);
  }
}

bool SiteDetailTap::WantsLinear(int arm, const std::string& site) const {
  if (arm == 0) return true;
  if (int8_run_ != arm) return false;
  const Plan& plan = experiment_.runs[static_cast<size_t>(arm)].plan;
  const auto planned = plan.sites.find(site);
  return planned != plan.sites.end() && planned->second.input;
}

void SiteDetailTap::OnLinear(LinearEvent& event) {
  SiteDetail& detail = workers_[static_cast<size_t>(event.worker)][*event.site];
  if (event.arm == 0) {
    OfferMap(event, detail);
    return;
  }
  if (!event.trace) return;  // FP16 weights
  std::vector<uint64_t>& counts = detail.code_count;
  counts.resize(kInt8Values);
  const MatView<const int8_t> codes = event.trace->codes.view();
  for (int64_t r = 0; r < codes.rows; ++r) {
    for (const int8_t code : codes.row_span(r)) ++counts[static_cast<size_t>(code - kLowestInt8)];
  }
}

void SiteDetailTap::OfferMap(const LinearEvent& event, SiteDetail& detail) const {
  for (size_t i = 0; i < event.samples.size(); ++i) {
    if (!event.samples[i].whole) continue;
    const ImageKey& image = event.samples[i].key->image;
    if (!detail.map.absmax.empty() && detail.image <= image) continue;
    const SampleRows rows = RowsOf(event, i);
    if (rows.count == 0) continue;
    detail.map = MapOf(event.input.RowRange(rows.first, rows.count), image.name);
    detail.image = image;
  }
}

void SiteDetail::Merge(const SiteDetail& other) {
  code_count.resize(std::max(code_count.size(), other.code_count.size()));
  for (size_t i = 0; i < other.code_count.size(); ++i) code_count[i] += other.code_count[i];
  if (other.map.absmax.empty()) return;
  if (!map.absmax.empty() && image <= other.image) return;
  image = other.image;
  map = other.map;
}

std::string ProblemOf(const SiteDetail& detail) {
  if (!detail.code_count.empty() && detail.code_count.size() != kInt8Values) {
    return fmt::format("counts {} codes, not {}", detail.code_count.size(), kInt8Values);
  }
  const OutlierMap& map = detail.map;
  const bool fits = map.rows >= 0 && map.rows <= kMapRows && map.columns >= 0 &&
                    map.columns <= kMapColumns && map.tokens_per_row > 0 &&
                    map.channels_per_column > 0 && std::ssize(map.absmax) == map.rows * map.columns;
  return fits ? "" : "has a map that is not its own size";
}

SiteDetails SiteDetailTap::Take() {
  SiteDetails merged;
  for (SiteDetails& worker : workers_) {
    MergeResult(merged, worker);
    worker.clear();
  }
  return merged;
}

}  // namespace w8a8
