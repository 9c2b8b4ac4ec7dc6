#include "reports/html_cards.h"

#include <algorithm>
#include <cmath>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "reports/card_plots.h"
#include "reports/html_rows.h"
#include "reports/png_image.h"
#include "reports/text.h"
#include "runtime/base/half.h"

namespace w8a8::html {
namespace {

constexpr size_t kGalleryMaps = 4;
constexpr size_t kLoudestSites = 5;

const SiteCard* CardOf(const Report& report, SiteRef site) {
  for (const SiteCard& card : report.cards) {
    if (card.site == site) return &card;
  }
  return nullptr;
}

const PlanChoice* ChoiceOf(const Report& report, SiteRef site) {
  for (const PlanChoice& choice : report.plan_choices) {
    if (choice.site == site) return &choice;
  }
  return nullptr;
}

// Guiltiest first, on the reference's input.
std::vector<SiteRef> SitesByGuilt(const Report& report) {
  std::vector<SiteRef> sites;
  const std::optional<ArmRef> arm = ChosenArm(report, Precision::kInt8);
  if (!arm) return sites;
  for (const size_t i : WorstSites(report, *arm, View::kTeacherForced, report.sites.size())) {
    sites.push_back(report.sites[i].site);
  }
  return sites;
}

Data MapData(const OutlierMap& map) {
  if (map.absmax.empty()) return Data(false);
  Data data;
  data.set("png", OutlierMapPng(map));
  data.set("image", Shown(map.image));
  data.set("tokens_per_row", fmt::format("{}", map.tokens_per_row));
  data.set("channels_per_column", fmt::format("{}", map.channels_per_column));
  data.set("pooled", map.tokens_per_row > 1 || map.channels_per_column > 1);
  return data;
}

std::string LoudestChannels(const SiteCard& card) {
  std::string text;
  for (size_t i = 0; i < card.top_channel.size(); ++i) {
    text += fmt::format("{}{}: {}", i == 0 ? "" : ", ", card.top_channel[i],
                        FormatShort(card.top_channel_absmax[i]));
  }
  return text;
}

void AddFigures(const Report& report, const SiteCard& card, Data& row) {
  const PlanChoice* choice = ChoiceOf(report, card.site);
  if (choice != nullptr) {
    row.set("layer", choice->layer.empty() ? std::string(NameOf(choice->granularity))
                                           : Shown(choice->layer).string_value());
    row.set("rule", Shown(choice->rule));
  }
  row.set("calibrated", !card.bin_edge.empty());
  row.set("absmax", FormatShort(card.absmax));
  row.set("channels", FormatCount(static_cast<uint64_t>(card.channels)));
  row.set("loudest", LoudestChannels(card));
  row.set("median", FormatShort(card.channel_absmax_median));
  const double loudest = card.top_channel_absmax.empty() ? kUndefined : card.top_channel_absmax[0];
  row.set("ratio", FormatShort(loudest / card.channel_absmax_median));
  row.set("has_codes", !card.code_count.empty());
  const bool shifted = choice != nullptr && choice->zero_point;
  const int zero_code = shifted ? static_cast<int>(*choice->zero_point) : 0;
  const CodeUse use = CodeUseOf(card, zero_code);
  row.set("codes_used", fmt::format("{} of {}", use.used, card.code_count.size()));
  row.set("zero_code", fmt::format("{}", zero_code));
  row.set("codes_zero", FormatShare(use.zeros));
  row.set("codes_end", FormatShort(100 * use.ends));
  row.set("codes_bits", FormatDb(use.entropy_bits));
  const std::optional<ArmRef> arm = ChosenArm(report, Precision::kInt8);
  for (const SiteReport& site : report.sites) {
    if (site.arm != arm || site.site != card.site || site.view != View::kPropagated) continue;
    row.set("saturation", FormatShort(100 * site.saturation));
  }
}

Data CardRow(const Report& report, const SiteCard& card) {
  const std::string& site = report[card.site];
  const PlanChoice* choice = ChoiceOf(report, card.site);
  Data row;
  row.set("site", Shown(site));
  row.set("place", fmt::format("{}", card.site.index));
  AddFigures(report, card, row);
  row.set("distribution", PlotData(DistributionPlot(card, site, choice)));
  row.set("clip_error", PlotData(ClipErrorPlot(card, site, choice)));
  row.set("channel_strip", PlotData(ChannelPlot(card, site)));
  row.set("position_strip", PlotData(PositionPlot(card, site)));
  row.set("code_use", PlotData(CodePlot(card, site)));
  row.set("map", MapData(card.map));
  return row;
}

}  // namespace

Data CardRows(const Report& report) {
  std::set<SiteRef> shown;  // a card is reached from its site's row
  for (const SiteReport& row : report.sites) shown.insert(row.site);
  List rows;
  for (const SiteCard& card : report.cards) {
    if (shown.contains(card.site)) rows.push_back(CardRow(report, card));
  }
  return Data(rows);
}

Data MapRows(const Report& report) {
  List rows;
  for (const SiteRef site : SitesByGuilt(report)) {
    const SiteCard* card = CardOf(report, site);
    if (card == nullptr || card->map.absmax.empty()) continue;
    Data row;
    row.set("site", Shown(report[site]));
    row.set("place", fmt::format("{}", site.index));
    row.set("map", MapData(card->map));
    rows.push_back(row);
    if (rows.size() == kGalleryMaps) break;
  }
  return Data(rows);
}

Data ReferenceRows(const Report& report) {
  std::vector<const SiteCard*> loudest;
  for (const SiteCard& card : report.cards) {
    if (std::isfinite(card.absmax)) loudest.push_back(&card);
  }
  std::stable_sort(loudest.begin(), loudest.end(),
                   [](const SiteCard* a, const SiteCard* b) { return a->absmax > b->absmax; });
  loudest.resize(std::min(loudest.size(), kLoudestSites));
  List rows;
  for (const SiteCard* card : loudest) {
    Data row;
    row.set("site", Shown(report[card->site]));
    row.set("absmax", FormatShort(card->absmax));
    row.set("headroom", fmt::format("{:.0f}", static_cast<double>(kMaxHalf) / card->absmax));
    row.set("channel", card->top_channel.empty() ? "–" : fmt::format("{}", card->top_channel[0]));
    row.set("ratio", FormatShort(card->absmax / card->channel_absmax_median));
    rows.push_back(row);
  }
  return Data(rows);
}

Data KeepRows(const Report& report) {
  List rows;
  for (const SiteRef site : SitesByGuilt(report)) {
    Data row;
    // As plan.json spells it; the names of real sites need no escapes.
    row.set("line", Shown(nlohmann::ordered_json(ValidUtf8(report[site])).dump() + ": null"));
    row.set("beyond", rows.size() >= kLoudestSites);
    rows.push_back(row);
  }
  return Data(rows);
}

}  // namespace w8a8::html
