// Tensors of experts that a config does not account for, by name; also those that no token needs.
#include <cstring>
#include <limits>

#include <gtest/gtest.h>

#include "runtime/encoder/weights.h"
#include "tests/encoder/mixture_models.h"
#include "tests/support/errors.h"

namespace w8a8::test {
namespace {

namespace fs = std::filesystem;

using Edit = std::function<void(OwnedTensors&)>;

const std::string kMlp = std::string(kMixtureBlock) + "mlp.";

std::string ErrorOfReading(const fs::path& folder, const Edit& edit) {
  EditTensors(folder, edit);
  return ErrorOf([&] {
    const EncoderWeights weights(folder, ReadEncoderConfig(folder));
    for (int e = 0; e < 3; ++e) {
      weights.Linear("blocks.1.mlp.experts." + std::to_string(e) + ".fc1");
      weights.Linear("blocks.1.mlp.experts." + std::to_string(e) + ".fc2");
    }
    weights.Vector("blocks.1.mlp.router", "");
  });
}

std::string ErrorOfEdit(const Edit& edit) {
  return ErrorOfReading(MixtureFolder("mixture_refused"), edit);
}

std::string ErrorOfTensor(const std::string& key, const std::vector<int64_t>& shape) {
  return ErrorOfEdit([&](OwnedTensors& tensors) { tensors[key] = Zeros(shape); });
}

void PutInfinity(OwnedTensor& tensor, size_t element) {
  const float value = std::numeric_limits<float>::infinity();
  std::memcpy(tensor.bytes.data() + element * sizeof value, &value, sizeof value);
}

TEST(MixtureRefusals, AnUneditedFolderIsRead) {
  EXPECT_EQ(ErrorOfEdit([](OwnedTensors&) {}), "no error was thrown");
}

TEST(MixtureRefusals, ABlockIsDenseOrHasExperts) {
  const std::string both = ErrorOfTensor(kMlp + "fc1.weight", {160, 64});
  EXPECT_TRUE(Contains(both, kMlp + "fc1.weight' is of a dense MLP")) << both;
  const std::string key = "vision_model.encoder.layers.0.mlp.experts.0.gate_proj.weight";
  const std::string stray = ErrorOfTensor(key, {40, 64});
  EXPECT_TRUE(Contains(stray, key + "' belongs to an expert")) << stray;
  EXPECT_TRUE(Contains(stray, "'num_experts'")) << stray;
}

TEST(MixtureRefusals, AnExpertBeyondTheLastIsNamed) {
  const std::string key = kMlp + "experts.3.up_proj.weight";
  const std::string message = ErrorOfTensor(key, {40, 64});
  EXPECT_TRUE(Contains(message, key + "' belongs to expert 3, but by config.json there are 0 to 2"))
      << message;
  const std::string zeros = ErrorOfTensor(kMlp + "experts.00.up_proj.weight", {40, 64});
  EXPECT_TRUE(Contains(zeros, "experts.00.up_proj.weight' is part of the computation")) << zeros;
}

TEST(MixtureRefusals, ExpertsWithoutACountAreNamed) {
  const fs::path folder = MixtureFolder("mixture_uncounted");
  const std::string message = ErrorOf([&] { const EncoderWeights weights(folder, TinySiglip()); });
  EXPECT_TRUE(Contains(message, "belongs to an expert")) << message;
  EXPECT_TRUE(Contains(message, "'num_experts'")) << message;
}

TEST(MixtureRefusals, MissingTensorsAreNamed) {
  for (const std::string key : {"experts.2.down_proj.weight", "experts.1.up_proj.bias",
                                "experts.0.gate_proj.weight", "gate.weight"}) {
    const std::string message =
        ErrorOfEdit([&](OwnedTensors& tensors) { tensors.erase(kMlp + key); });
    EXPECT_TRUE(Contains(message, "missing: " + kMlp + key)) << message;
  }
}

TEST(MixtureRefusals, MisshapenTensorsAreNamed) {
  for (const std::string key : {"experts.2.down_proj.weight", "gate.weight"}) {
    const std::string message = ErrorOfTensor(kMlp + key, {5, 7});
    EXPECT_TRUE(Contains(message, kMlp + key + "' has shape [5, 7]")) << message;
  }
}

TEST(MixtureRefusals, ValuesThatAreNotFiniteAreNamedWithTheirPlaceInTheStack) {
  const std::string alone = ErrorOfEdit([](OwnedTensors& tensors) {
    PutInfinity(tensors.at(kMlp + "experts.2.down_proj.weight"), 7);
  });
  EXPECT_TRUE(Contains(alone, "experts.2.down_proj.weight' holds inf at element 7")) << alone;
  const std::string router =
      ErrorOfEdit([](OwnedTensors& tensors) { PutInfinity(tensors.at(kMlp + "gate.weight"), 3); });
  EXPECT_TRUE(Contains(router, "gate.weight' holds inf at element 3")) << router;
  constexpr size_t kPlace = 2 * 64 * 40 + 7;
  for (const char* spelling : {"fused", "fused, y = x W"}) {
    const std::string stack = ErrorOfEdit([&](OwnedTensors& tensors) {
      Respell(tensors, spelling);
      PutInfinity(tensors.at(kMlp + "experts.down_proj"), kPlace);
    });
    EXPECT_TRUE(Contains(stack, "experts.down_proj' holds inf at element 5127")) << stack;
  }
}

TEST(MixtureRefusals, OtherRoutersAreNamed) {
  for (const std::string key :
       {"gate.bias", "gate.e_score_correction_bias", "experts.e_score_correction_bias"}) {
    const std::string message = ErrorOfTensor(kMlp + key, {3});
    EXPECT_TRUE(Contains(message, kMlp + key + "' is of a router with a bias")) << message;
  }
}

TEST(MixtureRefusals, SharedExpertsThatAreNotReadAreNamed) {
  const std::string plural = ErrorOfTensor(kMlp + "shared_experts.gate_proj.weight", {8, 64});
  EXPECT_TRUE(Contains(plural, "shared_experts.gate_proj.weight' is of shared experts")) << plural;
  const std::string unstated = ErrorOfTensor(kMlp + "shared_expert.gate_proj.weight", {8, 64});
  EXPECT_TRUE(Contains(unstated, "'shared_expert_intermediate_size'")) << unstated;
}

TEST(MixtureRefusals, TwoSpellingsAtOnceAreNamed) {
  const std::string message = ErrorOfTensor(kMlp + "experts.gate_up_proj", {3, 80, 64});
  EXPECT_TRUE(Contains(message, "named in two ways")) << message;
  EXPECT_TRUE(Contains(message, "experts.gate_up_proj'")) << message;
}

TEST(MixtureRefusals, UnknownNamesAreNamedWithThoseThatAreRead) {
  const std::string message = ErrorOfEdit([](OwnedTensors& tensors) {
    RenameStem(tensors, ".gate_proj.", ".v1.");
    RenameStem(tensors, ".up_proj.", ".v2.");
    RenameStem(tensors, ".down_proj.", ".v3.");
  });
  EXPECT_TRUE(Contains(message, "experts.0.v1.bias' belongs to experts under names that are not"))
      << message;
  EXPECT_TRUE(Contains(message, "w13_weight and w2_weight")) << message;
}

TEST(MixtureRefusals, APlainExpertHasBiases) {
  EncoderConfig config = TinyMixture();
  config.mixture.gated = false;
  config.mixture.spelling = "plain";
  const std::string message =
      ErrorOfReading(MixtureFolder("mixture_plain", config),
                     [](OwnedTensors& tensors) { tensors.erase(kMlp + "experts.1.fc2.bias"); });
  EXPECT_TRUE(Contains(message, "missing: " + kMlp + "experts.1.fc2.bias")) << message;
}

TEST(MixtureRefusals, AStackOfAnotherCountOrDtypeIsNamed) {
  const std::string count = ErrorOfEdit([](OwnedTensors& tensors) {
    Respell(tensors, "vLLM");
    tensors[kMlp + "experts.w2_weight"] = Zeros({2, 64, 40});
  });
  EXPECT_TRUE(Contains(count, "w2_weight' has shape [2, 64, 40], expected [3, 64, 40]")) << count;
  const std::string codes = ErrorOfEdit([](OwnedTensors& tensors) {
    Respell(tensors, "vLLM");
    tensors[kMlp + "experts.w2_weight"] = {Dtype::kI8, {3, 64, 40}, std::vector<std::byte>(7680)};
  });
  EXPECT_TRUE(Contains(codes, "w2_weight' has dtype I8")) << codes;
}

}  // namespace
}  // namespace w8a8::test
