#include "eval/cli/artifacts/difference.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>
#include <string_view>

#include "eval/cli/artifacts/artifact.h"
#include "eval/cli/artifacts/items.h"
#include "runtime/base/error.h"

namespace w8a8 {
namespace {

// NaN equals NaN here: both mean that there is no number.
bool Same(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

std::string HowNumbersDiffer(const std::vector<double>& a, const std::vector<double>& b) {
  size_t count = 0, first = 0;
  double most = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if (Same(a[i], b[i])) continue;
    if (count++ == 0) first = i;
    const double distance = std::fabs(a[i] - b[i]);
    if (!(distance <= most)) most = distance;  // NaN: one of the two is no number
  }
  if (count == 0) {
    const bool same_bits = std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0;
    return same_bits ? "only digits beyond binary64 differ" : "only signs of zero or of NaN differ";
  }
  if (a.size() == 1) return fmt::format("{:g}, {:g}", a[0], b[0]);
  return fmt::format("{} of {} differ by at most {:g}; the first, [{}]: {:g}, {:g}", count,
                     a.size(), most, first, a[first], b[first]);
}

Difference Describe(const std::string& where, const Item* a, const Item* b) {
  Difference difference{where, a == nullptr ? "-" : a->text, b == nullptr ? "-" : b->text, ""};
  if (a == nullptr || b == nullptr || a->text != b->text) return difference;
  if (a->numbers == nullptr || b->numbers == nullptr) {
    difference.how = "other bytes";
    return difference;
  }
  const std::vector<double> in_a = a->numbers(), in_b = b->numbers();
  W8A8_CHECK(in_a.size() == in_b.size());
  difference.how = HowNumbersDiffer(in_a, in_b);
  return difference;
}

// The places of the chosen INT8 arm in report.json, "arms/int8/plan/", in either of two reports.
std::set<std::string> ChosenInt8Arms(const Items& items) {
  constexpr std::string_view kArms = "arms/", kChosen = "/chosen";
  std::set<std::string> arms;
  for (const auto& [where, item] : items) {
    if (!where.ends_with(kChosen) || item.text != "true") continue;
    const size_t begin = where.find(kArms);
    if (begin == where.npos) continue;
    const std::string whole = where.substr(0, where.size() - kChosen.size());
    const auto precision = items.find(whole + "/precision");
    if (precision == items.end() || precision->second.text != "\"int8\"") continue;
    arms.insert(whole.substr(begin) + "/");
  }
  return arms;
}

// What a reader asks first comes first: the verdict, the chosen INT8 arm, the plan. report.h5
// repeats what report.json says, in more words.
int Rank(const Difference& difference, const std::set<std::string>& chosen) {
  const size_t file = difference.where.find(": ");
  const bool json =
      file != std::string::npos && difference.where.substr(0, file).ends_with(".json");
  if (file != std::string::npos && !json) return 5;
  const std::string place =
      file == std::string::npos ? difference.where : difference.where.substr(file + 2);
  const auto is_prefix = [&](const std::string& prefix) { return place.starts_with(prefix); };
  if (is_prefix("verdict/")) return 0;
  if (std::any_of(chosen.begin(), chosen.end(), is_prefix)) return 1;
  if (is_prefix("plan_choices/")) return 2;
  return is_prefix("sites/") ? 3 : 4;
}

const Item* FindItem(const Items& items, const std::string& where) {
  const auto found = items.find(where);
  return found == items.end() ? nullptr : &found->second;
}

}  // namespace

ArtifactComparison CompareArtifacts(const std::filesystem::path& a, const std::filesystem::path& b,
                                    RunFacts run) {
  const ArtifactKind kind_a = RecognizeArtifact(a), kind_b = RecognizeArtifact(b);
  if (kind_a != kind_b) {
    Fail("{} is {}, {} is {}: only two of a kind can be compared.", a.string(),
         ArtifactName(kind_a), b.string(), ArtifactName(kind_b));
  }
  const Items items_a = ItemsOf(a, run), items_b = ItemsOf(b, run);
  std::set<std::string> places;
  for (const auto& [where, item] : items_a) places.insert(where);
  for (const auto& [where, item] : items_b) places.insert(where);
  ArtifactComparison comparison;
  comparison.compared = places.size();
  for (const std::string& where : places) {
    const Item* in_a = FindItem(items_a, where);
    const Item* in_b = FindItem(items_b, where);
    if (in_a != nullptr && in_b != nullptr && in_a->digest == in_b->digest) continue;
    comparison.differences.push_back(Describe(where, in_a, in_b));
  }
  std::set<std::string> chosen = ChosenInt8Arms(items_a);
  chosen.merge(ChosenInt8Arms(items_b));
  std::stable_sort(comparison.differences.begin(), comparison.differences.end(),
                   [&](const Difference& left, const Difference& right) {
                     return Rank(left, chosen) < Rank(right, chosen);
                   });
  return comparison;
}

}  // namespace w8a8
