#include "eval/measure/site_detail_tap.h"

#include <algorithm>

#include "quant/numerics.h"

namespace w8a8 {
namespace {

constexpr uint16_t kMagnitude = 0x7fff;  // the pattern without its sign; larger means larger

int64_t CellsOf(int64_t extent, int64_t per_cell) { return (extent + per_cell - 1) / per_cell; }

void AddCounts(const std::vector<uint64_t>& from, std::vector<uint64_t>& to) {
  if (from.empty()) return;
  to.resize(kInt8Values);
  for (size_t i = 0; i < kInt8Values; ++i) to[i] += from[i];
}

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
  if (const std::optional<size_t> run = experiment.ChosenInt8Run()) {
    int8_run_ = static_cast<int>(*run);
  }
}

bool SiteDetailTap::WantsLinear(int arm, const std::string& site) const {
  if (arm == 0) return true;
  return int8_run_ == arm && experiment_.runs[static_cast<size_t>(arm)].plan.sites.contains(site);
}

void SiteDetailTap::OnLinear(LinearEvent& event) {
  Seen& seen = workers_[static_cast<size_t>(event.worker)][*event.site];
  if (event.arm == 0) {
    OfferMap(event, seen);
    return;
  }
  std::vector<uint64_t>& counts = seen.detail.code_count;
  counts.resize(kInt8Values);
  const MatView<const int8_t> codes = event.trace->codes.view();
  for (int64_t r = 0; r < codes.rows; ++r) {
    for (const int8_t code : codes.row_span(r)) ++counts[static_cast<size_t>(code - kLowestInt8)];
  }
}

void SiteDetailTap::OfferMap(const LinearEvent& event, Seen& seen) const {
  for (size_t i = 0; i < event.images->size(); ++i) {
    const ImageId& image = (*event.images)[i];
    if (!image.whole) continue;
    std::pair<std::string, std::string> key(image.sha256, image.name);
    if (!seen.detail.map.absmax.empty() && seen.image <= key) continue;
    const int64_t first = static_cast<int64_t>(i) * event.rows_per_image;
    seen.detail.map = MapOf(event.input.RowRange(first, event.rows_per_image), image.name);
    seen.image = std::move(key);
  }
}

std::map<std::string, SiteDetail> SiteDetailTap::Take() {
  Worker merged;
  for (Worker& worker : workers_) {
    for (auto& [site, seen] : worker) {
      Seen& into = merged[site];
      AddCounts(seen.detail.code_count, into.detail.code_count);
      const bool first = into.detail.map.absmax.empty() || seen.image < into.image;
      if (!first || seen.detail.map.absmax.empty()) continue;
      into.image = seen.image;
      into.detail.map = std::move(seen.detail.map);
    }
    worker.clear();
  }
  std::map<std::string, SiteDetail> details;
  for (auto& [site, seen] : merged) details[site] = std::move(seen.detail);
  return details;
}

}  // namespace w8a8
