#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "quant/plan_file.h"
#include "quant/plan_tensors.h"
#include "runtime/base/atomic_file.h"
#include "runtime/base/counter_hash.h"
#include "runtime/base/error.h"
#include "runtime/base/safetensors.h"
#include "runtime/base/sha256.h"
#include "tests/calib/one_site.h"
#include "tests/support/environment.h"
#include "tests/support/errors.h"

namespace w8a8 {
namespace {

namespace fs = std::filesystem;

using test::ErrorOf;
using test::kSite;
using test::OneSite;

const std::vector<KnownSite> kSites = {
    {kSite, 8, 3}, {"blocks.0.mlp.fc1", 6, 2}, {"blocks.0.mlp.fc2", 4, 5}};

std::shared_ptr<const GivenWeights> Given(int64_t n, int64_t k, int64_t group) {
  WeightCodes weight{.n = n,
                     .k = k,
                     .bits = 4,
                     .scale = {.granularity = Granularity::kGroup, .group_size = group}};
  for (int64_t i = 0; i < n * k; ++i) weight.codes.push_back(static_cast<int8_t>(i % 16 - 8));
  const int64_t scales = n * ((k + group - 1) / group);
  for (int64_t i = 0; i < scales; ++i) {
    weight.scale.values.push_back(0.01f + 0.003f * static_cast<float>(i));
    weight.zero_points.push_back(static_cast<int8_t>(i % 16 - 8));
  }
  FinishCodes("given", weight);
  return std::make_shared<const GivenWeights>(
      GivenWeights{.weight = weight, .bias = std::vector<float>(static_cast<size_t>(n), 0.25f)});
}

// Everything that version 2 can say, at three sites.
Plan EveryKind() {
  Plan plan;
  plan.sites[kSite] = {
      .input = Quantizer{.granularity = Granularity::kGroup, .clip_range = 4.0f, .group_size = 2},
      .weight = WeightSpec{.granularity = Granularity::kGroup,
                           .num_bits = 4,
                           .group_size = 4,
                           .symmetric = false},
      .output = Quantizer::Static(0.05f),
      .smoothing = {1, 2, 3, 4, 0.5f, 0.25f, 0.125f, 0x1.fffffep-3f},
      .rotation = Rotation{.block = 4, .mix = true, .seed = kMaxRotationSeed},
      .given = {Given(3, 8, 4)}};
  plan.sites["blocks.0.mlp.fc1"] = {.input = Quantizer{.granularity = Granularity::kTensor,
                                                       .scale = 0.031f,
                                                       .symmetric = false,
                                                       .zero_point = -128},
                                    .weight = WeightSpec{.convention = WeightConvention::kVllm}};
  plan.sites["blocks.0.mlp.fc2"] = {.input = Quantizer(),
                                    .weight = WeightSpec{.granularity = Granularity::kTensor},
                                    .first_row_twice = true};
  return plan;
}

SitePlan SiteOf(const std::string& value) { return test::SiteOf(value, kSites); }

TEST(PlanVersion2, IsWrittenInTheWordsOfCompressedTensors) {
  const Plan plan = EveryKind();
  EXPECT_EQ(PlanText({"abc", plan}, kSites),
            R"({
  "version": 2,
  "model_sha256": "abc",
  "tensors": {"file": "plan.safetensors", "sha256": ")" +
                Sha256Hex(PlanTensorBytes(plan)) + R"("},
  "sites": {
    "blocks.0.attn.qkv": {"input": {"strategy": "group", "group_size": 2, "dynamic": true, "clip_range": 4.0}, "weight": {"num_bits": 4, "strategy": "group", "group_size": 4, "symmetric": false, "rounding": "given"}, "output": {"strategy": "tensor", "dynamic": false, "scale": 0.05}, "transform": {"smoothing": true, "rotation": {"block": 4, "mix": true, "seed": 9007199254740991}}},
    "blocks.0.mlp.fc1": {"input": {"strategy": "tensor", "dynamic": false, "symmetric": false, "scale": 0.031, "zero_point": -128, "clip_range": null}, "weight": {"num_bits": 8, "strategy": "channel", "symmetric": true, "convention": "vllm"}},
    "blocks.0.mlp.fc2": {"input": {"strategy": "token", "dynamic": true, "clip_range": null}, "weight": {"num_bits": 8, "strategy": "tensor", "symmetric": true}, "first_row_twice": true}
  }
}
)");
}

TEST(PlanVersion2, WhatIsWrittenReadsBackAndIsWrittenAgainInEqualBytes) {
  const fs::path folder = test::ScratchFolder("plan_version_2_test");
  const PlanFile written = {"abc", EveryKind()};
  WritePlan(folder / "plan.json", written, kSites);
  const PlanFile read = ReadPlan(folder / "plan.json", kSites);
  EXPECT_EQ(read.plan, written.plan);
  EXPECT_EQ(PlanSha256(read, kSites), Sha256HexOfFile(folder / "plan.json"));
  EXPECT_EQ(PlanTensorBytes(read.plan), ReadFile(folder / "plan.safetensors"));
}

TEST(PlanVersion2, TheTensorsAreCalledAsThePlanIs) {
  const fs::path folder = test::ScratchFolder("plan_version_2_names_test");
  const PlanFile first = {"", EveryKind()};
  PlanFile second = first;
  second.plan.sites[kSite].smoothing[0] = 7.0f;
  WritePlan(folder / "first.json", first, kSites);
  WritePlan(folder / "second.json", second, kSites);
  EXPECT_TRUE(fs::exists(folder / "first.safetensors"));
  EXPECT_EQ(ReadPlan(folder / "first.json", kSites).plan, first.plan);
  EXPECT_EQ(ReadPlan(folder / "second.json", kSites).plan, second.plan);
  EXPECT_NE(PlanSha256(first, kSites), PlanSha256(second, kSites));
}

// The tensors' name follows from the plan's: "--out model.json" in a model's folder means its
// weights.
TEST(PlanVersion2, TheTensorsReplaceNoFileOfAnotherKind) {
  const fs::path folder = test::ScratchFolder("plan_in_the_way_test");
  SafetensorsWriter model;
  const std::vector<float> bias = {1.0f};  // read by Bytes()
  model.Add<float>("blocks.0.mlp.fc1.bias", Dtype::kF32, {1}, bias);
  for (const std::string& weights : {model.Bytes(), std::string("notes")}) {
    WriteFileAtomically(folder / "model.safetensors", weights);
    const std::string refusal = ErrorOf([&] {
      WritePlan(folder / "model.json", {"", EveryKind()}, kSites);
    });
    EXPECT_NE(refusal.find("model.safetensors, but that file holds none"), std::string::npos)
        << refusal;
    EXPECT_EQ(ReadFile(folder / "model.safetensors"), weights);
    EXPECT_FALSE(fs::exists(folder / "model.json"));
  }
  const std::string same = ErrorOf([&] {
    WritePlan(folder / "plan.safetensors", {"", EveryKind()}, kSites);
  });
  EXPECT_NE(same.find("Name the plan itself NAME.json"), std::string::npos) << same;
  EXPECT_FALSE(fs::exists(folder / "plan.safetensors"));
}

TEST(PlanVersion2, WhatCouldNotBeReadAgainIsNotWritten) {
  const fs::path folder = test::ScratchFolder("plan_nobody_can_run_test");
  for (const float clip_range : {1e-37f, 1e-44f}) {  // 1 / scale overflows; the scale is 0
    Plan plan;
    plan.sites[kSite].input = Quantizer::Static(clip_range / 127.0f);
    const std::string refusal = ErrorOf([&] {
      WritePlan(folder / "plan.json", {"", plan}, kSites);
    });
    EXPECT_NE(refusal.find(std::string("site '") + kSite + "': the static input scale"),
              std::string::npos)
        << refusal;
    EXPECT_FALSE(fs::exists(folder / "plan.json"));
  }
}

TEST(PlanVersion2, APlanThatUsesNothingOfItIsVersion1) {
  Plan plan = EveryKind();
  plan.sites.erase(kSite);
  plan.sites.erase("blocks.0.mlp.fc2");
  EXPECT_EQ(PlanText({"", plan}, kSites).find("{\n  \"version\": 2,"), 0u);
  plan.sites["blocks.0.mlp.fc1"] = {.input = Quantizer::Static(0.5f),
                                    .weight = WeightSpec{.num_bits = 3},
                                    .smoothing = {1, 1, 1, 1, 1, 2}};
  const std::string text = PlanText({"", plan}, kSites);
  EXPECT_EQ(text.find("{\n  \"version\": 1,"), 0u);
  EXPECT_EQ(ParsePlan(text, "plan.json", kSites).plan, plan);
}

TEST(PlanVersion2, EachFieldMeansWhatItSaysAndTheRestMayBeLeftOut) {
  const Quantizer token;
  Quantizer group{.granularity = Granularity::kGroup, .group_size = 3};
  Quantizer asymmetric{.symmetric = false};
  Quantizer fixed = Quantizer::Static(0.5f);
  fixed.symmetric = false;
  const struct {
    std::string value;
    SitePlan expected;
  } cases[] = {
      {R"({"input": null})", {.input = {}}},
      {R"({"input": null, "weight": null})", {.input = {}, .weight = {}}},
      {R"({"input": null, "weight": null, "output": {"scale": 0.5}})",
       {.input = {}, .weight = {}, .output = Quantizer::Static(0.5f)}},
      {R"({"input": {"strategy": "token"}})", {}},
      {R"({"input": {"strategy": "token", "symmetric": false}})", {.input = asymmetric}},
      {R"({"input": {"strategy": "group", "group_size": 3}})", {.input = group}},
      {R"({"input": {"strategy": "tensor", "symmetric": false, "scale": 0.5, "zero_point": 0}})",
       {.input = fixed}},
      {R"({"input": {"strategy": "token"}, "weight": {"strategy": "tensor", "num_bits": 2}})",
       {.weight = WeightSpec{.granularity = Granularity::kTensor, .num_bits = 2}}},
      {R"({"input": {"strategy": "token"}, "weight": {"strategy": "group", "group_size": 5}})",
       {.weight = WeightSpec{.granularity = Granularity::kGroup, .group_size = 5}}},
      {R"({"input": {"strategy": "token"}, "weight": {"symmetric": false}})",
       {.weight = WeightSpec{.symmetric = false}}},
      {R"({"input": {"strategy": "token"}, "weight": {"rounding": "nearest",
           "convention": "vllm"}})",
       {.weight = WeightSpec{.convention = WeightConvention::kVllm}}},
      {R"({"input": {"strategy": "token"}, "smoothing": [1, 1, 1, 1, 1, 1, 1, 2]})",
       {.smoothing = {1, 1, 1, 1, 1, 1, 1, 2}}},
      {R"({"input": {"strategy": "token"}, "transform": {"rotation": {"block": 8}}})",
       {.rotation = Rotation{.block = 8}}},
      {R"({"input": {"strategy": "token"}, "transform": {"smoothing": false}})", {}},
      {R"({"input": {"strategy": "token"}, "first_row_twice": true, "output": null})",
       {.first_row_twice = true}},
  };
  for (const auto& c : cases) EXPECT_EQ(SiteOf(c.value), c.expected) << c.value;
}

// A folder with the plan of EveryKind(), whose files a test then spoils.
struct WrittenPlan {
  explicit WrittenPlan(const std::string& name) : folder(test::ScratchFolder(name)) {
    WritePlan(folder / "plan.json", {"", EveryKind()}, kSites);
  }
  // The tensors of `plan` instead, and their SHA-256 in the plan.
  void Replace(const std::string& bytes) const {
    const fs::path tensors = folder / "plan.safetensors";
    std::string text = ReadFile(folder / "plan.json");
    const std::string old = Sha256HexOfFile(tensors);
    WriteFileAtomically(tensors, bytes);
    text.replace(text.find(old), old.size(), Sha256HexOfFile(tensors));
    WriteFileAtomically(folder / "plan.json", text);
  }
  std::string Message() const {
    return ErrorOf([&] { ReadPlan(folder / "plan.json", kSites); });
  }
  fs::path folder;
};

// The plan's tensors, but `name` as these values of this shape; no shape: without it.
std::string TensorsBut(const std::string& name, Dtype dtype, const std::vector<int64_t>& shape) {
  const fs::path path = test::ScratchFolder("plan_tensors_but") / "all.safetensors";
  WriteFileAtomically(path, PlanTensorBytes(EveryKind()));
  const SafetensorsFile file(path);
  SafetensorsWriter writer;
  for (const auto& [key, tensor] : file.tensors()) {
    if (key != name) writer.Add(key, tensor.dtype, tensor.shape, tensor.bytes);
  }
  size_t bytes = static_cast<size_t>(DtypeBits(dtype)) / 8;
  for (const int64_t extent : shape) bytes *= static_cast<size_t>(extent);
  const std::vector<std::byte> zeros(bytes);
  if (!shape.empty()) writer.Add(name, dtype, shape, zeros);
  return writer.Bytes();
}

TEST(PlanVersion2, TensorsThatDoNotFitAreRefusedByName) {
  const std::string site = kSite;
  const struct {
    std::string name;
    Dtype dtype;
    std::vector<int64_t> shape;
    std::string expected;
  } cases[] = {
      {site + ".codes", Dtype::kI8, {}, "is missing"},
      {site + ".codes", Dtype::kI8, {8, 3}, "expected I8 [3, 8]"},
      {site + ".codes", Dtype::kU8, {3, 8}, "expected I8 [3, 8]"},
      {site + ".codes", Dtype::kI8, {24}, "two dimensions"},
      {site + ".weight_scale", Dtype::kF32, {}, "is missing"},
      {site + ".weight_scale", Dtype::kF32, {3}, "expected F32 [3, 2]"},
      {site + ".weight_scale", Dtype::kF16, {3, 2}, "expected F32 [3, 2]"},
      {site + ".weight_scale", Dtype::kF32, {3, 2}, "weight_scale[0] is 0"},
      {site + ".weight_zero_point", Dtype::kI8, {}, "is missing"},
      {site + ".weight_zero_point", Dtype::kI8, {2, 3}, "expected I8 [3, 2]"},
      {site + ".smoothing", Dtype::kF32, {}, "is missing"},
      {site + ".smoothing", Dtype::kF32, {7}, "expected F32 [8]"},
      {site + ".smoothing", Dtype::kF32, {2, 4}, "one dimension"},
      {site + ".smoothing", Dtype::kF32, {8}, "smoothing"},
      {site + ".bias", Dtype::kF32, {4}, "expected F32 [3]"},
      {"blocks.0.mlp.fc1.bias", Dtype::kF32, {2}, "belongs to nothing"},
      {"blocks.9.mlp.fc1.codes", Dtype::kI8, {2, 2}, "belongs to nothing"},
  };
  for (const auto& c : cases) {
    const WrittenPlan plan("plan_tensors_test");
    plan.Replace(TensorsBut(c.name, c.dtype, c.shape));
    const std::string message = plan.Message();
    EXPECT_NE(message.find(c.expected), std::string::npos) << c.name << "\n" << message;
    EXPECT_NE(message.find(c.name.substr(0, c.name.rfind('.'))), std::string::npos) << message;
  }
}

// inspect does not know how many inputs a layer has; none is what a plan without smoothing says.
TEST(PlanVersion2, SmoothingOfNoInputsIsRefusedWhereTheirNumberIsNotKnown) {
  const std::vector<KnownSite> unknown = {{.site = kSite}};
  const std::string list = OneSite(R"({"input": {"strategy": "token"}, "smoothing": []})");
  const std::string message = ErrorOf([&] { ParsePlan(list, "plan.json", unknown); });
  EXPECT_NE(message.find("'smoothing' is []; expected a list of numbers"), std::string::npos)
      << message;
  SafetensorsWriter writer;
  const std::string name = std::string(kSite) + ".smoothing";
  writer.Add<float>(name, Dtype::kF32, {0}, {});
  const fs::path folder = test::ScratchFolder("plan_smooths_nothing_test");
  writer.Write(folder / "plan.safetensors");
  const fs::path path = folder / "plan.safetensors";
  PlanTensors tensors(path, Sha256HexOfFile(path));
  EXPECT_NE(ErrorOf([&] { tensors.Smoothing("plan.json", kSite, 0); }).find("F32 [0]; expected"),
            std::string::npos);
}

TEST(PlanVersion2, AnotherPlansTensorsAndNoneAreRefused) {
  const WrittenPlan plan("plan_other_tensors_test");
  EXPECT_EQ(plan.Message(), "no error was thrown");
  WriteFileAtomically(plan.folder / "plan.safetensors",
                      TensorsBut(std::string(kSite) + ".bias", Dtype::kF32, {3}));
  EXPECT_NE(plan.Message().find("its sha256 is"), std::string::npos) << plan.Message();
  fs::remove(plan.folder / "plan.safetensors");
  EXPECT_NE(plan.Message().find("plan.safetensors"), std::string::npos) << plan.Message();
}

// The text with one byte, or a few, changed by the counter hash.
std::string Mutated(std::string text, uint64_t seed) {
  static constexpr std::string_view kBytes = "0123456789-.eE{}[]\":,tfn \x01\xff";
  for (uint64_t change = 0; change <= CounterHash(seed, 0) % 3; ++change) {
    const size_t at = CounterHash(seed, 4 * change + 1) % text.size();
    const char byte = kBytes[CounterHash(seed, 4 * change + 2) % kBytes.size()];
    switch (CounterHash(seed, 4 * change + 3) % 4) {
      case 0:
        text[at] = byte;
        break;
      case 1:
        text.insert(at, 1, byte);
        break;
      case 2:
        text.erase(at, 1 + CounterHash(seed, 99) % 20);
        break;
      default:
        text.insert(at, text.substr(CounterHash(seed, 98) % text.size(), 12));
    }
    if (text.empty()) return "{";
  }
  return text;
}

TEST(PlanVersion2, ADamagedPlanIsRefusedOrReadAsWhatItSays) {
  const WrittenPlan plan("plan_mutation_test");
  const std::string name = (plan.folder / "plan.json").string();
  const std::string text = ReadFile(name);
  size_t read = 0;
  for (uint64_t seed = 0; seed < 4000; ++seed) {
    const std::string mutated = Mutated(text, seed);
    try {
      const PlanFile file = ParsePlan(mutated, name, kSites);
      ++read;
      WritePlan(plan.folder / "again.json", file, kSites);
      ASSERT_EQ(ReadPlan(plan.folder / "again.json", kSites).plan, file.plan) << mutated;
    } catch (const Error&) {
    }
  }
  EXPECT_GT(read, 10u);  // changed blanks and digits
}

}  // namespace
}  // namespace w8a8
