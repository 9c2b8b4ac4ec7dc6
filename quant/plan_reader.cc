#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "quant/plan_file.h"
#include "quant/plan_site_reader.h"
#include "quant/plan_tensors.h"
#include "runtime/base/atomic_file.h"
#include "runtime/base/error.h"
#include "runtime/base/json_fields.h"
#include "runtime/base/names.h"

namespace w8a8 {
namespace {

// One object of the file; messages begin with its place, "plan.json: site 'x', input".
using Fields = JsonView<FloatJson>;

constexpr size_t kMaxPlanBytes = size_t{256} << 20;  // smoothing vectors for 1,000 wide sites

const KnownSite& KnownSiteOf(const std::string& site, const std::string& name,
                             std::span<const KnownSite> sites) {
  std::vector<std::string> names;
  for (const KnownSite& known : sites) {
    if (known.site == site) return known;
    names.push_back(known.site);
  }
  Fail("{}: site '{}' does not exist in this model, which has {} sites.{}", name,
       site.substr(0, 64), sites.size(), DidYouMean(site.substr(0, 64), names));
}

int ParseVersion(const Fields& version) {
  if (version.raw() == 1) return 1;
  if (version.raw() != 2) version.Refuse("1 or 2, which this build reads");
  return 2;
}

void RefuseFolds(const Fields& fields) {
  const std::optional<Fields> folds = fields.Object("folds");
  if (!folds || folds->raw().empty()) return;
  Fail("{}: 'folds' asks for '{}', which is not in this version.", fields.file(),
       folds->Members().front().first.substr(0, 64));
}

// The file of tensors that the plan `name` has beside it.
std::optional<PlanTensors> OpenTensors(const Fields& fields, const std::string& name) {
  const std::optional<Fields> tensors = fields.Object("tensors");
  if (!tensors) return std::nullopt;
  tensors->AllowOnly({"file", "sha256"});
  const Fields file = tensors->At("file");
  const std::filesystem::path given = file.Text();
  if (given != given.filename() || given.empty() || given == "." || given == "..") {
    file.Refuse("the name of a file that lies beside the plan");
  }
  const std::string sha256 = tensors->At("sha256").Text();
  return PlanTensors(std::filesystem::path(name).parent_path() / given, sha256);
}

}  // namespace

PlanFile ParsePlan(std::string_view text, const std::string& name,
                   std::span<const KnownSite> sites) {
  const auto json = ParseJson<FloatJson>(text, name, DoubledKeys::kRefused);
  const Fields fields(json, name, "");
  const int version = ParseVersion(fields.At("version"));
  std::optional<PlanTensors> tensors;
  if (version == 1) {
    fields.AllowOnly({"version", "model_sha256", "sites"});
  } else {
    fields.AllowOnly({"version", "model_sha256", "sites", "folds", "tensors"});
    RefuseFolds(fields);
    tensors = OpenTensors(fields, name);
  }
  const PlanContext context{.version = version, .tensors = tensors ? &*tensors : nullptr};
  PlanFile file;
  file.model_sha256 = fields.Text("model_sha256", "");
  for (const auto& [site, value] : fields.At("sites").Members()) {
    const KnownSite& known = KnownSiteOf(site, name, sites);
    if (value.raw().is_null()) continue;
    const std::string place = fmt::format("{}: site '{}'", name, site);
    file.plan.sites[site] = ParseSitePlan(Fields(value.raw(), place, ""), known, context);
  }
  if (tensors) tensors->RefuseStray();
  return file;
}

PlanFile ReadPlan(const std::filesystem::path& path, std::span<const KnownSite> sites) {
  return ParsePlan(ReadFile(path, kMaxPlanBytes), path.string(), sites);
}

void CheckPlanModel(const PlanFile& file, const std::string& name,
                    const std::string& model_sha256) {
  if (file.model_sha256.empty() || file.model_sha256 == model_sha256) return;
  Fail(
      "{}: was made for the model with sha256 {}, but this one has {}. Make a plan for this model, "
      "or remove model_sha256 from the plan if it is meant for both.",
      name, file.model_sha256, model_sha256);
}

}  // namespace w8a8
