#include "tests/runtime/golden_case.h"

#include <algorithm>
#include <cstdio>

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include "runtime/base/counter_hash.h"
#include "runtime/encoder/hash_checkpoint.h"
#include "tests/encoder/small_models.h"
#include "tests/support/environment.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

Dtype DtypeOf(const std::string& name) {
  return name == "F32" ? Dtype::kF32 : name == "F16" ? Dtype::kF16 : Dtype::kBF16;
}

std::vector<float> Sampled(const std::vector<float>& values, size_t stride) {
  std::vector<float> sampled;
  for (size_t i = 0; i < values.size(); i += stride) sampled.push_back(values[i]);
  return sampled;
}

bool IsWhole(const std::string& tensor) {
  return tensor == "pooler_output" || tensor == "image_embeds" || tensor == "logits";
}

// Models that drop the class token read the rows behind it: of each image its last rows, so that
// there are `elements` in all.
std::vector<float> PatchesOf(const TensorView& tokens, int64_t elements) {
  const std::vector<float> all = FloatValues(tokens);
  const auto per_image = static_cast<std::ptrdiff_t>(all.size()) / tokens.shape[0];
  const std::ptrdiff_t wanted = elements / tokens.shape[0];
  std::vector<float> patches;
  for (std::ptrdiff_t image = 1; image <= tokens.shape[0]; ++image) {
    const auto end = all.begin() + image * per_image;
    patches.insert(patches.end(), end - wanted, end);
  }
  return patches;
}

// The tower as it stands in a vision-language model: under its prefix, in two shards, beside the
// language model and a block that this model does not read.
void MoveInside(const std::filesystem::path& model, const std::string& prefix) {
  EditTensors(model, [&](OwnedTensors& tensors) {
    OwnedTensors inside;
    for (auto& [key, tensor] : tensors) inside[prefix + key] = std::move(tensor);
    inside[prefix + "encoder.layers.7.mlp.fc1.weight"] = Zeros({2, 2});
    inside["model.language_model.layers.0.mlp.up_proj.weight"] = Zeros({3, 5});
    inside["zzz.weight"] = Zeros({1});
    tensors = std::move(inside);
  });
  SplitIntoShards(model, prefix + "encoder.layers.1");
}

}  // namespace

GoldenCase::GoldenCase(const std::string& case_name)
    : name(case_name),
      golden(GoldenFolder() / "encoder" / (name + ".safetensors")),
      folder(ScratchFolder("family_" + name)) {
  WriteHashCheckpoint(model, Metadata("config"), DtypeOf(Metadata("dtype")),
                      std::stoull(Metadata("seed")));
  if (golden.metadata().contains("prefix")) MoveInside(model, Metadata("prefix"));
  const bool states_channels = golden.metadata().contains("channels");
  const std::vector<int64_t> shape = {
      std::stoll(Metadata("images")), states_channels ? std::stoll(Metadata("channels")) : 3,
      std::stoll(Metadata("height")), std::stoll(Metadata("width"))};
  std::vector<float> values(static_cast<size_t>(shape[0] * shape[1] * shape[2] * shape[3]));
  for (size_t i = 0; i < values.size(); ++i) values[i] = HashUniform(HashText("pixels"), i);
  WritePixels(pixels, shape, values);
}

GoldenCase::~GoldenCase() { std::filesystem::remove_all(folder); }

SafetensorsFile GoldenCase::Run(Precision precision, const std::vector<std::string>& sites,
                                SlotStorage residual) const {
  Options options = EncodeOptions(model, pixels, precision,
                                  folder / fmt::format("{}.safetensors", NameOf(precision)));
  options.taps = sites;
  options.residual = residual;
  return Encode(options);
}

double GoldenCase::WorstShareOfTorch(const SafetensorsFile& features) const {
  const auto errors = nlohmann::json::parse(Metadata("errors"));
  const size_t stride = std::stoull(Metadata("stride"));
  double worst = 0;
  for (const auto& [tensor, expected] : golden.tensors()) {
    const std::vector<float> values = golden.metadata().contains("prefix")
                                          ? PatchesOf(features.Get(tensor), expected.elements())
                                          : FloatValues(features.Get(tensor));
    const double ours =
        RelativeL2(Doubles(FloatValues(expected)), Sampled(values, IsWhole(tensor) ? 1 : stride));
    const double torch = errors.at(tensor).at("torch_fp16");
    std::printf("%s %s: %.2e, torch FP16 %.2e, ratio %.2f\n", name.c_str(), tensor.c_str(), ours,
                torch, ours / torch);
    worst = std::max(worst, ours / torch);
  }
  return worst;
}

}  // namespace w8a8::test
