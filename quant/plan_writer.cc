#include <charconv>
#include <cmath>
#include <string>

#include <nlohmann/json.hpp>

#include "quant/plan_file.h"
#include "runtime/base/atomic_file.h"
#include "runtime/base/error.h"
#include "runtime/base/sha256.h"

namespace w8a8 {
namespace {

std::string Quoted(const std::string& text) { return nlohmann::json(text).dump(); }

// The shortest decimal that rounds to `value`; "4.0", not "4".
std::string Number(float value) {
  W8A8_CHECK(std::isfinite(value));
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof(digits), value).ptr;
  std::string text(digits, end);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

std::string InputText(const Quantizer& input) {
  const std::string clip = std::isinf(input.clip_range) ? "null" : Number(input.clip_range);
  if (!input.is_static()) {
    return fmt::format(R"({{"strategy": "token", "dynamic": true, "clip_range": {}}})", clip);
  }
  return fmt::format(R"({{"strategy": "tensor", "dynamic": false, "scale": {}, "clip_range": {}}})",
                     Number(input.scale), clip);
}

std::string SiteText(const SitePlan& site) {
  W8A8_CHECK(site.input && site.weight && !site.output && !site.given.value);  // version 1
  W8A8_CHECK(site.weight->granularity == Granularity::kChannel);
  std::string text = fmt::format(
      R"({{"input": {}, "weight": {{"num_bits": {}, "strategy": "channel", "symmetric": true}})",
      InputText(*site.input), site.weight->num_bits);
  if (!site.smoothing.empty()) {
    text += R"(, "smoothing": [)";
    for (size_t i = 0; i < site.smoothing.size(); ++i) {
      text += (i > 0 ? ", " : "") + Number(site.smoothing[i]);
    }
    text += "]";
  }
  return text + "}";
}

}  // namespace

std::string PlanText(const PlanFile& file, std::span<const KnownSite> sites) {
  std::string text = "{\n  \"version\": 1,\n";
  if (!file.model_sha256.empty()) {
    text += fmt::format("  \"model_sha256\": {},\n", Quoted(file.model_sha256));
  }
  text += "  \"sites\": {";
  size_t planned = 0;
  const char* separator = "\n";
  for (const KnownSite& known : sites) {
    const auto at = file.plan.sites.find(known.site);
    const bool is_planned = at != file.plan.sites.end();
    text += fmt::format("{}    {}: {}", separator, Quoted(known.site),
                        is_planned ? SiteText(at->second) : "null");
    planned += is_planned ? 1 : 0;
    separator = ",\n";
  }
  W8A8_CHECK(planned == file.plan.sites.size());
  return text + "\n  }\n}\n";
}

std::string PlanSha256(const PlanFile& file, std::span<const KnownSite> sites) {
  return Sha256Hex(PlanText(file, sites));
}

void WritePlan(const std::filesystem::path& path, const PlanFile& file,
               std::span<const KnownSite> sites) {
  WriteFileAtomically(path, PlanText(file, sites));
}

}  // namespace w8a8
