#include <algorithm>
#include <charconv>
#include <cmath>
#include <string>

#include <nlohmann/json.hpp>

#include "quant/plan_file.h"
#include "quant/plan_tensors.h"
#include "runtime/base/atomic_file.h"
#include "runtime/base/error.h"
#include "runtime/base/file_group.h"
#include "runtime/base/sha256.h"

namespace w8a8 {
namespace {

// Where the tensors of the plan at `path` lie.
std::filesystem::path TensorsBeside(std::filesystem::path path) {
  return path.replace_extension(".safetensors");
}

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

std::string InputText(const std::optional<Quantizer>& given) {
  if (!given) return "null";
  const Quantizer& input = *given;
  const bool fixed = input.is_static(), grouped = input.granularity == Granularity::kGroup;
  std::string text = fmt::format(R"({{"strategy": "{}")", StrategyOf(input.granularity));
  if (grouped) text += fmt::format(R"(, "group_size": {})", input.group_size);
  text += fmt::format(R"(, "dynamic": {})", !fixed);
  if (!input.symmetric) text += R"(, "symmetric": false)";
  if (fixed) text += R"(, "scale": )" + Number(input.scale);
  if (fixed && !input.symmetric) text += fmt::format(R"(, "zero_point": {})", input.zero_point);
  const std::string clip = std::isinf(input.clip_range) ? "null" : Number(input.clip_range);
  return text + fmt::format(R"(, "clip_range": {}}})", clip);
}

std::string WeightText(const SitePlan& site) {
  if (!site.weight) return "null";
  const WeightSpec& spec = *site.weight;
  const bool grouped = spec.granularity == Granularity::kGroup;
  std::string text = fmt::format(R"({{"num_bits": {}, "strategy": "{}")", spec.num_bits,
                                 StrategyOf(spec.granularity));
  if (grouped) text += fmt::format(R"(, "group_size": {})", spec.group_size);
  text += fmt::format(R"(, "symmetric": {})", spec.symmetric);
  if (site.given.value) text += R"(, "rounding": "given")";
  if (spec.convention != WeightConvention::kNative) {
    text += fmt::format(R"(, "convention": "{}")", NameOf(spec.convention));
  }
  return text + "}";
}

std::string SmoothingText(const std::vector<float>& smoothing) {
  std::string text;
  for (const float s : smoothing) text += (text.empty() ? "" : ", ") + Number(s);
  return "[" + text + "]";
}

std::string TransformText(const SitePlan& site) {
  std::string text;
  if (!site.smoothing.empty()) text = R"("smoothing": true)";
  if (site.rotation) {
    text += fmt::format(R"({}"rotation": {{"block": {}, "mix": {}, "seed": {}}})",
                        text.empty() ? "" : ", ", site.rotation->block, site.rotation->mix,
                        site.rotation->seed);
  }
  return text.empty() ? "" : fmt::format(R"(, "transform": {{{}}})", text);
}

std::string SiteText(const SitePlan& site, int version) {
  std::string text =
      fmt::format(R"({{"input": {}, "weight": {})", InputText(site.input), WeightText(site));
  if (version == 1) {
    if (!site.smoothing.empty()) text += R"(, "smoothing": )" + SmoothingText(site.smoothing);
    return text + "}";
  }
  if (site.output) {
    text += fmt::format(R"(, "output": {{"strategy": "tensor", "dynamic": false, "scale": {}}})",
                        Number(site.output->scale));
  }
  text += TransformText(site);
  if (site.first_row_twice) text += R"(, "first_row_twice": true)";
  return text + "}";
}

bool FitsVersion1(const SitePlan& site) {
  const bool input =
      site.input && site.input->symmetric && site.input->granularity != Granularity::kGroup;
  const bool weight = site.weight && site.weight->granularity == Granularity::kChannel &&
                      site.weight->symmetric &&
                      site.weight->convention == WeightConvention::kNative;
  return input && weight && !site.output && !site.rotation && !site.first_row_twice &&
         !site.given.value;
}

int VersionOf(const Plan& plan) {
  const bool first = std::all_of(plan.sites.begin(), plan.sites.end(),
                                 [](const auto& site) { return FitsVersion1(site.second); });
  return first ? 1 : 2;
}

// The name follows from the plan's, so that nobody chose it: a model's weights may lie there.
void CheckTensorsPlace(const std::filesystem::path& plan, const std::filesystem::path& tensors) {
  if (tensors == plan) {
    Fail("{}: the plan's tensors get this name, beside it. Name the plan itself NAME.json.",
         plan.string());
  }
  std::error_code ignored;
  if (!std::filesystem::exists(tensors, ignored) || HoldsPlanTensors(tensors)) return;
  Fail(
      "{}: the plan has tensors, which go into {}, but that file holds none of a plan and would be "
      "lost. Choose another name for the plan, or remove that file first.",
      plan.string(), tensors.string());
}

// What nobody could run, ReadPlan() refuses: a clip range of 1e-37 gives a scale without a
// reciprocal.
void CheckSites(const std::filesystem::path& path, const Plan& plan,
                std::span<const KnownSite> sites) {
  for (const KnownSite& known : sites) {
    const auto planned = plan.sites.find(known.site);
    if (planned == plan.sites.end() || known.channels == 0) continue;
    CheckSitePlan(fmt::format("{}: site '{}'", path.string(), known.site), planned->second,
                  known.channels);
  }
}

struct PlanFiles {
  std::string text;
  std::string tensors;  // bytes of the file beside it; empty: there is none
};

PlanFiles FilesOf(const PlanFile& file, std::span<const KnownSite> sites,
                  const std::string& tensors_name) {
  const int version = VersionOf(file.plan);
  PlanFiles files;
  if (version > 1) files.tensors = PlanTensorBytes(file.plan);
  std::string& text = files.text;
  text = fmt::format("{{\n  \"version\": {},\n", version);
  if (!file.model_sha256.empty()) {
    text += fmt::format("  \"model_sha256\": {},\n", Quoted(file.model_sha256));
  }
  if (!files.tensors.empty()) {
    text += fmt::format("  \"tensors\": {{\"file\": {}, \"sha256\": \"{}\"}},\n",
                        Quoted(tensors_name), Sha256Hex(files.tensors));
  }
  text += "  \"sites\": {";
  size_t planned = 0;
  const char* separator = "\n";
  for (const KnownSite& known : sites) {
    const auto at = file.plan.sites.find(known.site);
    const bool is_planned = at != file.plan.sites.end();
    text += fmt::format("{}    {}: {}", separator, Quoted(known.site),
                        is_planned ? SiteText(at->second, version) : "null");
    planned += is_planned ? 1 : 0;
    separator = ",\n";
  }
  W8A8_CHECK(planned == file.plan.sites.size());
  text += "\n  }\n}\n";
  return files;
}

}  // namespace

std::string PlanText(const PlanFile& file, std::span<const KnownSite> sites) {
  return FilesOf(file, sites, kPlanTensorsFile).text;
}

std::string PlanSha256(const PlanFile& file, std::span<const KnownSite> sites) {
  return Sha256Hex(PlanText(file, sites));
}

void WritePlan(const std::filesystem::path& path, const PlanFile& file,
               std::span<const KnownSite> sites) {
  const std::filesystem::path beside = TensorsBeside(path);
  const PlanFiles files = FilesOf(file, sites, beside.filename().string());
  if (!files.tensors.empty()) CheckTensorsPlace(path, beside);
  CheckSites(path, file.plan, sites);
  FileGroup both;
  if (!files.tensors.empty()) WriteFileAtomically(beside, files.tensors);
  WriteFileAtomically(path, files.text);
  both.Commit();
}

void CopyPlan(const std::filesystem::path& from, const std::filesystem::path& to) {
  std::string text = ReadFile(from);
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  const auto pointer = nlohmann::json::json_pointer("/tensors/file");
  FileGroup both;
  if (json.is_object() && json.contains(pointer) && json[pointer].is_string()) {
    const std::string name = json[pointer];
    const std::filesystem::path tensors = from.parent_path() / name;
    const size_t at = text.find(Quoted(name), text.find("\"tensors\""));
    if (std::filesystem::exists(tensors) && at != text.npos) {
      WriteFileAtomically(TensorsBeside(to),
                          ReadFile(tensors, std::filesystem::file_size(tensors)));
      text.replace(at, Quoted(name).size(), Quoted(TensorsBeside(to).filename().string()));
    }
  }
  WriteFileAtomically(to, text);
  both.Commit();
}

}  // namespace w8a8
