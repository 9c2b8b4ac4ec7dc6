#include "eval/export/exported_scales.h"

#include <optional>

#include "eval/export/exported_folder.h"
#include "runtime/base/hdf5_file.h"

namespace w8a8 {
namespace {

std::string RotationText(const Rotation& rotation) {
  std::string text = std::to_string(rotation.block);
  if (rotation.mix) text += ",mix";
  if (rotation.seed != 0) text += ",seed=" + std::to_string(rotation.seed);
  return text;
}

void WriteWeights(Hdf5OutputFile& file, const std::string& group, const WeightCodes& weight) {
  const Scales& scale = weight.scale;
  Hdf5Shape shape{static_cast<int64_t>(scale.values.size())};
  if (scale.granularity == Granularity::kGroup) shape = {weight.n, weight.groups()};
  file.Write(group + "/weight_scale", scale.values, shape);
  file.Write(group + "/weight_code_sum", weight.code_sum);
  if (!weight.zero_points.empty()) {
    file.Write(group + "/weight_zero_point", weight.zero_points, shape);
  }
}

void WritePlanned(Hdf5OutputFile& file, const std::string& group, const SitePlan& plan) {
  if (plan.input && plan.input->is_static()) {
    file.Write(group + "/input_scale", std::vector<float>{plan.input->scale});
    if (!plan.input->symmetric) {
      file.Write(group + "/input_zero_point", std::vector<int32_t>{plan.input->zero_point});
    }
  }
  if (plan.output) file.Write(group + "/output_scale", std::vector<float>{plan.output->scale});
  if (!plan.smoothing.empty()) file.Write(group + "/smoothing", plan.smoothing);
}

void WriteAttributes(Hdf5OutputFile& file, const std::string& group, const ExportedSite& site) {
  const std::optional<Quantizer>& input = site.plan.input;
  const WeightCodes& weight = site.weight;
  file.Attribute(group, "granularity", std::string(input ? NameOf(input->granularity) : "fp16"));
  file.Attribute(group, "clip_range", input ? input->clip_range : kNoClip);
  file.Attribute(group, "num_bits", int64_t{weight.bits});
  if (weight.scale.granularity == Granularity::kGroup) {
    file.Attribute(group, "group_size", weight.scale.group_size);
  }
  if (input && input->group_size > 0) file.Attribute(group, "input_group_size", input->group_size);
  if (input && !input->symmetric) file.Attribute(group, "input_symmetric", int64_t{0});
  if (site.plan.rotation) file.Attribute(group, "rotation", RotationText(*site.plan.rotation));
}

}  // namespace

void WriteScales(const std::filesystem::path& path, const ExportedSites& sites,
                 const std::string& model_sha256, const std::vector<std::string>& carried) {
  Hdf5OutputFile file(path);
  file.Group("/sites");
  file.WriteStrings(kFileList, carried);
  file.Attribute("/", "model_sha256", model_sha256);
  for (const auto& [site, exported] : sites) {
    const std::string group = "/sites/" + site;
    WriteWeights(file, group, exported.weight);
    WritePlanned(file, group, exported.plan);
    WriteAttributes(file, group, exported);
  }
  file.Commit();
}

}  // namespace w8a8
