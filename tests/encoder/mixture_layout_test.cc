// The tensors of experts under every name and in every orientation, as one set of parameters.
#include <gtest/gtest.h>

#include "runtime/encoder/graph.h"
#include "runtime/encoder/hash_checkpoint.h"
#include "runtime/encoder/layout.h"
#include "runtime/encoder/weights.h"
#include "tests/encoder/mixture_models.h"
#include "tests/encoder/quantized_models.h"
#include "tests/support/environment.h"
#include "tests/support/errors.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

namespace fs = std::filesystem;

const std::string kExpertsStem = std::string(kMixtureBlock) + "mlp.experts.";

std::vector<float> Stored(const fs::path& folder, const std::string& key) {
  return FloatValues(SafetensorsFile(folder / "model.safetensors").Get(key));
}

std::vector<float> Both(std::vector<float> upper, const std::vector<float>& lower) {
  upper.insert(upper.end(), lower.begin(), lower.end());
  return upper;
}

// What the checkpoint of one module each says of the experts, read without the layout.
void ExpectTheExpertsOf(const fs::path& plain, const EncoderWeights& weights) {
  for (int e = 0; e < 3; ++e) {
    const std::string site = "blocks.1.mlp.experts." + std::to_string(e);
    const std::string own = kExpertsStem + std::to_string(e);
    const LinearParameters fc1 = weights.Linear(site + ".fc1");
    const LinearParameters fc2 = weights.Linear(site + ".fc2");
    EXPECT_EQ(fc1.n, 80);
    EXPECT_EQ(fc1.k, 64);
    EXPECT_EQ(fc2.n, 64);
    EXPECT_EQ(fc2.k, 40);
    const auto stored = [&](const char* name) { return Stored(plain, own + name); };
    EXPECT_EQ(Equal(Both(stored(".gate_proj.weight"), stored(".up_proj.weight")), fc1.values), "");
    EXPECT_EQ(Equal(Both(stored(".gate_proj.bias"), stored(".up_proj.bias")), fc1.bias), "");
    EXPECT_EQ(Equal(stored(".down_proj.weight"), fc2.values), "");
    EXPECT_EQ(Equal(stored(".down_proj.bias"), fc2.bias), "");
  }
  EXPECT_EQ(Equal(Stored(plain, std::string(kMixtureBlock) + "mlp.gate.weight"),
                  weights.Vector("blocks.1.mlp.router", "")),
            "");
}

class Spelling : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(All, Spelling,
                         testing::Values("one each", "w1, w3, w2", "vLLM", "fused",
                                         "fused, y = x W"));

TEST_P(Spelling, IsToldByTheTensorsAndGivesTheSameParameters) {
  const fs::path plain = MixtureFolder("spelling_one_each"), folder = MixtureFolder("spelling");
  EditTensors(folder, [](OwnedTensors& tensors) { Respell(tensors, GetParam()); });
  const EncoderConfig config = ReadEncoderConfig(folder);
  EXPECT_EQ(config.mixture.spelling, GetParam());
  EXPECT_TRUE(config.mixture.gated && config.mixture.fc1_bias && config.mixture.fc2_bias);
  const EncoderWeights weights(folder, config);
  ExpectTheExpertsOf(plain, weights);
  EXPECT_TRUE(weights.notes().empty());
}

TEST_P(Spelling, OfMixtralsBlockIsTheSame) {
  const fs::path plain = MixtureFolder("spelling_one_each"), folder = MixtureFolder("spelling");
  EditTensors(folder, [](OwnedTensors& tensors) {
    Respell(tensors, GetParam());
    RenameStem(tensors, ".mlp.experts.", ".block_sparse_moe.experts.");
    RenameStem(tensors, ".mlp.gate.", ".block_sparse_moe.gate.");
  });
  ExpectTheExpertsOf(plain, EncoderWeights(folder, ReadEncoderConfig(folder)));
}

TEST_P(Spelling, NeedsNoBiases) {
  const fs::path folder = MixtureFolder("spelling_bare");
  EditTensors(folder, [](OwnedTensors& tensors) {
    Respell(tensors, GetParam());
    std::erase_if(tensors, [](const auto& entry) {
      return Contains(entry.first, ".experts.") && entry.first.ends_with("bias");
    });
  });
  const EncoderConfig config = ReadEncoderConfig(folder);
  EXPECT_FALSE(config.mixture.fc1_bias || config.mixture.fc2_bias);
  EXPECT_TRUE(EncoderWeights(folder, config).Linear("blocks.1.mlp.experts.2.fc1").bias.empty());
}

TEST_P(Spelling, SaysWhereAnExporterTakesItsExpertsFrom) {
  const std::string spelling = GetParam();
  const fs::path folder = MixtureFolder("spelling_source");
  EditTensors(folder, [](OwnedTensors& tensors) { Respell(tensors, GetParam()); });
  const EncoderWeights weights(folder, ReadEncoderConfig(folder));
  const LinearSource fc1 = weights.Source("blocks.1.mlp.experts.2.fc1");
  const LinearSource fc2 = weights.Source("blocks.1.mlp.experts.2.fc2");
  const std::string own = kExpertsStem + "2.";
  const bool mixtral = spelling == "w1, w3, w2";
  EXPECT_EQ(fc1.stems, (mixtral ? std::vector<std::string>{own + "w1", own + "w3"}
                                : std::vector<std::string>{own + "gate_proj", own + "up_proj"}));
  EXPECT_EQ(fc2.stems, std::vector<std::string>{own + (mixtral ? "w2" : "down_proj")});
  EXPECT_EQ(fc1.rows, (std::vector<int64_t>{40, 40}));
  EXPECT_EQ(fc2.rows, std::vector<int64_t>{64});
  const bool vllm = spelling == "vLLM", fused = spelling.starts_with("fused");
  EXPECT_EQ(fc1.stacks.size(), vllm || fused ? 2u : 0u);
  if (vllm) {
    EXPECT_EQ(fc1.stacks.front(), kExpertsStem + "w13_weight");
  }
  if (fused) {
    EXPECT_EQ(fc2.stacks, (std::vector<std::string>{kExpertsStem + "down_proj",
                                                    kExpertsStem + "down_proj_bias"}));
  }
}

// Of the two tensors one is square, and the other one tells.
TEST(FusedPair, IsToldByThePairWhereOneTensorFitsBothWays) {
  for (const int64_t hidden : {32, 64}) {
    EncoderConfig config = TinyMixture();
    config.mixture.width = hidden;
    const fs::path folder = MixtureFolder("fused_square", config);
    const std::vector<float> down = Stored(folder, kExpertsStem + "1.down_proj.weight");
    const auto gate_up = Both(Stored(folder, kExpertsStem + "1.gate_proj.weight"),
                              Stored(folder, kExpertsStem + "1.up_proj.weight"));
    for (const char* spelling : {"fused", "fused, y = x W"}) {
      const fs::path fused = MixtureFolder("fused_square_pair", config);
      EditTensors(fused, [&](OwnedTensors& tensors) { Respell(tensors, spelling); });
      const EncoderConfig read = ReadEncoderConfig(fused);
      EXPECT_EQ(read.mixture.spelling, spelling) << hidden;
      const EncoderWeights weights(fused, read);
      EXPECT_EQ(Equal(gate_up, weights.Linear("blocks.1.mlp.experts.1.fc1").values), "");
      EXPECT_EQ(Equal(down, weights.Linear("blocks.1.mlp.experts.1.fc2").values), "");
    }
  }
}

TEST(FusedPair, OfMixedOrientationsIsRefused) {
  const fs::path folder = MixtureFolder("fused_mixed");
  EditTensors(folder, [](OwnedTensors& tensors) {
    Respell(tensors, "fused");
    tensors[kExpertsStem + "down_proj"].shape = {3, 40, 64};
  });
  const std::string message = ErrorOf([&] { ReadEncoderConfig(folder); });
  EXPECT_TRUE(Contains(message, "gate_up_proj' has shape [3, 80, 64]")) << message;
  EXPECT_TRUE(Contains(message, "down_proj' [3, 40, 64]")) << message;
}

TEST(MixtureLayout, PlainExpertsAndASharedOneAreRead) {
  EncoderConfig config = TinyMixture();
  config.mixture.gated = false;
  config.mixture.spelling = "plain";
  config.mixture.shared_width = 24;
  config.mixture.in_block = {true, true};
  const fs::path folder = MixtureFolder("plain_and_shared", config);
  const EncoderConfig read = ReadEncoderConfig(folder);
  EXPECT_EQ(read.mixture.spelling, "plain");
  EXPECT_FALSE(read.mixture.gated);
  const EncoderWeights weights(folder, read);
  const std::string mlp = std::string(kMixtureBlock) + "mlp.";
  EXPECT_EQ(Equal(Stored(folder, kExpertsStem + "1.fc1.weight"),
                  weights.Linear("blocks.1.mlp.experts.1.fc1").values),
            "");
  const LinearParameters shared = weights.Linear("blocks.1.mlp.shared_expert.fc1");
  EXPECT_EQ(Equal(Both(Stored(folder, mlp + "shared_expert.gate_proj.weight"),
                       Stored(folder, mlp + "shared_expert.up_proj.weight")),
                  shared.values),
            "");
  EXPECT_TRUE(shared.bias.empty());
  EXPECT_EQ(weights.Linear("blocks.1.mlp.shared_expert.fc2").k, 24);
  EXPECT_EQ(Equal(Stored(folder, mlp + "shared_expert_gate.weight"),
                  weights.Vector("blocks.1.mlp.shared_gate", "")),
            "");
}

TEST(MixtureLayout, HasTheSitesOfTheGraph) {
  EncoderConfig config = TinyMixture();
  config.mixture.shared_width = 24;
  std::vector<std::string> sites;
  for (const LinearLayout& linear : LayoutOf(config).linears) {
    if (linear.site) sites.push_back(linear.stem);
  }
  EXPECT_EQ(BuildGraph(config).Sites(), sites);
}

TEST(MixtureLayout, SitesStandInTheOrderOfTheExpertsAndTheSharedOneLast) {
  EncoderConfig config = TinyMixture();
  config.mixture.shared_width = 24;
  std::vector<std::string> sites;
  for (const LinearLayout& linear : LayoutOf(config).linears) {
    if (linear.site && linear.stem.starts_with("blocks.1.mlp")) sites.push_back(linear.stem);
  }
  const std::string expert = "blocks.1.mlp.experts.", shared = "blocks.1.mlp.shared_expert.";
  EXPECT_EQ(sites, (std::vector<std::string>{expert + "0.fc1", expert + "0.fc2", expert + "1.fc1",
                                             expert + "1.fc2", expert + "2.fc1", expert + "2.fc2",
                                             shared + "fc1", shared + "fc2"}));
}

TEST(MixtureLayout, OfViTStandsUnderMlpThoughItsDenseLayersDoNot) {
  const fs::path folder = ScratchFolder("mixture_vit");
  WriteHashCheckpoint(folder, R"({"model_type": "vit", "hidden_size": 64, "intermediate_size": 96,
      "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32, "patch_size": 8,
      "num_experts": 3, "num_experts_per_tok": 1, "mlp_only_layers": [0]})",
                      Dtype::kF32, /*seed=*/1);
  const EncoderWeights weights(folder, ReadEncoderConfig(folder));
  EXPECT_EQ(weights.Source("blocks.0.mlp.fc1").stems.front(), "encoder.layer.0.intermediate.dense");
  EXPECT_EQ(weights.Source("blocks.1.mlp.experts.2.fc1").stems.front(),
            "encoder.layer.1.mlp.experts.2.fc1");
}

TEST(MixtureCodes, OfAnExpertsTwoModulesAreOneSite) {
  const fs::path folder = MixtureFolder("mixture_codes");
  EditTensors(folder, [](OwnedTensors& tensors) {
    QuantizeStem(tensors, kExpertsStem + "1.gate_proj", 40, 64);
    QuantizeStem(tensors, kExpertsStem + "1.up_proj", 40, 64);
    QuantizeStem(tensors, kExpertsStem + "1.down_proj", 64, 40);
  });
  const EncoderWeights weights(folder, ReadEncoderConfig(folder));
  EXPECT_TRUE(weights.quantized());
  const LinearParameters fc1 = weights.Linear("blocks.1.mlp.experts.1.fc1");
  ASSERT_TRUE(fc1.codes);
  EXPECT_EQ(fc1.codes->n, 80);
  EXPECT_EQ(Equal(Both(Scales(40), Scales(40)), fc1.codes->scale.values), "");
  EXPECT_EQ(fc1.bias.size(), 80u);
  EXPECT_TRUE(weights.StoredSite("blocks.1.mlp.experts.1.fc2"));
  EXPECT_FALSE(weights.StoredSite("blocks.1.mlp.experts.0.fc1"));
}

TEST(MixtureCodes, PackedOnesOfEveryExpertTellTheSpelling) {
  const fs::path folder = MixtureFolder("mixture_packed");
  EditTensors(folder, [](OwnedTensors& tensors) {
    Respell(tensors, "w1, w3, w2");
    for (int e = 0; e < 3; ++e) {
      const std::string own = kExpertsStem + std::to_string(e);
      const Storage packed{.packed = true};
      StoreCodes(tensors, own + ".w1", SmallCodes(40, 64, 4), packed);
      StoreCodes(tensors, own + ".w3", SmallCodes(40, 64, 4), packed);
      StoreCodes(tensors, own + ".w2", SmallCodes(64, 40, 4), packed);
    }
  });
  DescribeQuantization(folder, OneGroup("pack-quantized", R"({"num_bits": 4})"));
  const EncoderWeights weights(folder, ReadEncoderConfig(folder));
  const LinearParameters fc1 = weights.Linear("blocks.1.mlp.experts.0.fc1");
  ASSERT_TRUE(fc1.codes);
  EXPECT_EQ(fc1.codes->bits, 4);
}

// LLM-Compressor's recipes name the router in 'ignore'.
TEST(MixtureCodes, AreCoveredByTargetsAndIgnoredByTheirModulesNames) {
  const auto notes = [](const std::string& targets, const std::string& ignore) {
    const fs::path folder = MixtureFolder("mixture_targets");
    EditTensors(folder, [](OwnedTensors& tensors) {
      for (const char* name : {"gate_proj", "up_proj"}) {
        QuantizeStem(tensors, kExpertsStem + "0." + name, 40, 64);
      }
    });
    DescribeQuantization(
        folder, R"({"quant_method": "compressed-tensors", "format": "int-quantized", "ignore": [)" +
                    ignore + R"(], "config_groups": {"group_0": {"targets": [)" + targets +
                    R"(], "weights": {"num_bits": 8, "strategy": "channel"},
                       "input_activations": {"num_bits": 8, "strategy": "token", "dynamic": true}}}})");
    return EncoderWeights(folder, ReadEncoderConfig(folder)).notes();
  };
  EXPECT_TRUE(notes("\"Linear\"", "\"re:.*mlp.gate$\"").empty());
  EXPECT_TRUE(notes(R"("re:.*mlp\\.experts\\.[0-9]+\\.(gate|up|down)_proj$")", "").empty());
  const std::vector<std::string> ignored = notes("\"Linear\"", "\"re:.*experts.0.*\"");
  ASSERT_EQ(ignored.size(), 1u);
  EXPECT_TRUE(Contains(ignored.front(), "2 module(s)")) << ignored.front();
  const std::vector<std::string> other = notes("\"re:.*experts.1.gate_proj\"", "");
  ASSERT_EQ(other.size(), 1u);
  EXPECT_TRUE(Contains(other.front(), "targets it")) << other.front();
}

}  // namespace
}  // namespace w8a8::test
