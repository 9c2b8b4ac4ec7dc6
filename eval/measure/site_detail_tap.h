// What the report's cards show of the evaluation images: a map of each site's input for one image,
// and the codes that the chosen INT8 arm used.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "eval/measure/experiment.h"
#include "eval/measure/result_table.h"
#include "eval/run/tap.h"
#include "reports/site_card.h"

namespace w8a8 {

// No map is larger: 108 maps of 96 x 192 cells are about 1 MB of PNG in the page.
constexpr int64_t kMapRows = 96;
constexpr int64_t kMapColumns = 192;

constexpr auto ColumnsOf(const OutlierMap*) {
  using M = OutlierMap;
  return std::tuple(Column("image", &M::image), Column("tokens_per_row", &M::tokens_per_row),
                    Column("channels_per_column", &M::channels_per_column),
                    Column("rows", &M::rows), Column("columns", &M::columns),
                    Column("absmax", &M::absmax));
}

struct SiteDetail {
  std::vector<uint64_t> code_count;  // [256] from code -128 on; empty: FP16 input
  ImageKey image;                    // whose map it is
  OutlierMap map;

  void Merge(const SiteDetail& other);
  friend bool operator==(const SiteDetail&, const SiteDetail&) = default;
  friend constexpr auto ColumnsOf(const SiteDetail*) {
    return std::tuple(Column("code_count", &SiteDetail::code_count),
                      Column("image", &SiteDetail::image), Column("map", &SiteDetail::map));
  }
  friend std::string ProblemOf(const SiteDetail& detail);
};

using SiteDetails = std::map<std::string, SiteDetail>;  // by site

class SiteDetailTap final : public Tap {
 public:
  // Maps are of run 0, for the image of smallest key that has rows there: the same for any order of
  // images. An expert's has a row for each token that came to it.
  // Codes are of the chosen int8 run, if the experiment has one.
  SiteDetailTap(const Experiment& experiment, int workers);

  bool WantsLinear(int arm, const std::string& site) const override;
  bool WantsTrace(int arm) const override { return int8_run_ == arm; }
  void OnLinear(LinearEvent& event) override;

  SiteDetails Take();

 private:
  void OfferMap(const LinearEvent& event, SiteDetail& detail) const;

  const Experiment& experiment_;
  std::optional<int> int8_run_;
  std::vector<SiteDetails> workers_;
};

// The largest magnitude of each cell; at most kMapRows x kMapColumns cells. A value that is not
// finite stays in its cell.
OutlierMap MapOf(MatView<const Half> input, const std::string& image);

}  // namespace w8a8
