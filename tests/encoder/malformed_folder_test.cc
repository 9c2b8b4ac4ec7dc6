// Folders whose codes cannot be what their config says are refused with the tensor's name.
#include <gtest/gtest.h>

#include "runtime/encoder/weights.h"
#include "tests/encoder/quantized_models.h"
#include "tests/support/errors.h"

namespace w8a8::test {
namespace {

namespace fs = std::filesystem;

constexpr const char* kStem = "vision_model.encoder.layers.0.mlp.fc2";
constexpr int64_t kOutputs = 64, kInputs = 160;
constexpr Storage kBytes{}, kDense{true, PackedLayout::kDense};
constexpr const char* kToken = R"({"strategy": "token", "dynamic": true})";
constexpr const char* kStatic = R"({"strategy": "tensor"})";
constexpr const char* kEight = R"({"strategy": "channel"})";
constexpr const char* kFour = R"({"strategy": "channel", "num_bits": 4})";
constexpr const char* kThree = R"({"strategy": "channel", "num_bits": 3})";
constexpr const char* kFourGroups = R"({"strategy": "group", "num_bits": 4, "group_size": 32})";
constexpr const char* kFourPoints =
    R"({"strategy": "group", "num_bits": 4, "group_size": 32, "symmetric": false})";

std::string Named(const char* part) { return std::string(kStem) + "." + part; }

struct Folder {
  WeightCodes weight = SmallCodes(kOutputs, kInputs, 8);
  Storage storage = kBytes;
  std::string config = OneGroup("int-quantized", kEight, kToken);
};

Folder FourBits() {
  return {SmallCodes(kOutputs, kInputs, 4), kDense, OneGroup("pack-quantized", kFour)};
}
Folder FourBitGroups() {
  return {SmallCodes(kOutputs, kInputs, 4, 32), kDense, OneGroup("pack-quantized", kFourGroups)};
}
Folder FourBitPoints() {
  return {SmallCodes(kOutputs, kInputs, 4, 32, true), kDense,
          OneGroup("pack-quantized", kFourPoints)};
}

// What is said of fc2 of block 0, codes and plan, after `edit`.
std::string ErrorAfter(const Folder& from, const std::function<void(OwnedTensors&)>& edit) {
  const fs::path folder = TinySiglipFolder("malformed");
  EditTensors(folder, [&](OwnedTensors& tensors) {
    StoreCodes(tensors, kStem, from.weight, from.storage);
    edit(tensors);
  });
  DescribeQuantization(folder, from.config);
  return ErrorOf([&] {
    const EncoderWeights weights(folder, TinySiglip());
    weights.Linear("blocks.0.mlp.fc2");
    weights.StoredSite("blocks.0.mlp.fc2");
  });
}

void Unedited(OwnedTensors& /*tensors*/) {}

TEST(MalformedFolder, TheFoldersThatTheseTestsDamageAreRead) {
  for (const Folder& folder : {Folder(), FourBits(), FourBitGroups(), FourBitPoints()}) {
    EXPECT_EQ(ErrorAfter(folder, Unedited), "no error was thrown");
  }
}

TEST(MalformedFolder, AScaleOfTheWrongShapeIsNamed) {
  const auto with_scale = [](const Folder& folder, std::vector<int64_t> shape) {
    return ErrorAfter(
        folder, [&](OwnedTensors& tensors) { tensors[Named("weight_scale")] = Zeros(shape); });
  };
  for (const auto& shape : {std::vector<int64_t>{32, 1}, {1, 64}, {64, 5}, {0}}) {
    EXPECT_TRUE(Contains(with_scale({}, shape), "fc2.weight_scale' is F32 [")) << shape.size();
  }
  for (const auto& shape : {std::vector<int64_t>{64, 1}, {5, 64}, {64, 6}, {320}, {}}) {
    EXPECT_TRUE(Contains(with_scale(FourBitGroups(), shape), "expected [64, 5]")) << shape.size();
  }
}

TEST(MalformedFolder, AScaleOfIntegersIsNamed) {
  const std::string message = ErrorAfter({}, [](OwnedTensors& tensors) {
    tensors[Named("weight_scale")] = TensorOf(Dtype::kI32, {64, 1}, std::vector<int32_t>(64, 1));
  });
  EXPECT_TRUE(Contains(message, "fc2.weight_scale' is I32 [64, 1], expected")) << message;
}

TEST(MalformedFolder, AMissingZeroPointIsNamed) {
  const std::string message = ErrorAfter(
      FourBitPoints(), [](OwnedTensors& tensors) { tensors.erase(Named("weight_zero_point")); });
  EXPECT_TRUE(Contains(message, "missing: " + Named("weight_zero_point"))) << message;
}

TEST(MalformedFolder, AStrayZeroPointIsNamed) {
  const std::string packed = ErrorAfter(FourBitGroups(), [](OwnedTensors& tensors) {
    tensors[Named("weight_zero_point")] =
        TensorOf(Dtype::kI32, {8, 5}, std::vector<int32_t>(40, 0));
  });
  EXPECT_TRUE(Contains(packed, "fc2.weight_zero_point' is there, but its weights")) << packed;
  const std::string input = ErrorAfter({}, [](OwnedTensors& tensors) {
    tensors[Named("input_zero_point")] = TensorOf(Dtype::kI8, {1}, std::vector<int8_t>{4});
  });
  EXPECT_TRUE(Contains(input, "fc2.input_zero_point' is not 0 at element 0")) << input;
  const std::string output = ErrorAfter({}, [](OwnedTensors& tensors) {
    tensors[Named("output_zero_point")] = TensorOf(Dtype::kI8, {1}, std::vector<int8_t>{4});
  });
  EXPECT_TRUE(Contains(output, "fc2.output_zero_point' is not 0 at element 0")) << output;
}

TEST(MalformedFolder, AZeroPointOfTheWrongShapeOrBeyondTheBitsIsNamed) {
  const std::string unpacked = ErrorAfter(FourBitPoints(), [](OwnedTensors& tensors) {
    tensors[Named("weight_zero_point")] =
        TensorOf(Dtype::kI8, {64, 5}, std::vector<int8_t>(320, 0));
  });
  EXPECT_TRUE(Contains(unpacked, "fc2.weight_zero_point' is I8 [64, 5], expected I32 [8, 5]"))
      << unpacked;
  Folder bytes = FourBitPoints();
  bytes.storage = kBytes;
  bytes.config = OneGroup("int-quantized", kFourPoints, kToken);
  const std::string beyond = ErrorAfter(bytes, [](OwnedTensors& tensors) {
    tensors[Named("weight_zero_point")].bytes[7] = std::byte{9};
  });
  EXPECT_TRUE(Contains(beyond, "fc2.weight_zero_point' holds 9 at element 7")) << beyond;
}

TEST(MalformedFolder, ATruncatedPackIsNamed) {
  const std::string message = ErrorAfter(FourBits(), [](OwnedTensors& tensors) {
    tensors[Named("weight_packed")] =
        TensorOf(Dtype::kI32, {64, 19}, std::vector<int32_t>(64 * 19, 0));
  });
  EXPECT_TRUE(Contains(message, "fc2.weight_packed' is I32 [64, 19], expected I32 [64, 20]"))
      << message;
}

TEST(MalformedFolder, PackedWordsOfAnotherDtypeAreNamed) {
  const std::string message = ErrorAfter(FourBits(), [](OwnedTensors& tensors) {
    tensors[Named("weight_packed")] =
        TensorOf(Dtype::kI64, {64, 20}, std::vector<int64_t>(64 * 20, 0));
  });
  EXPECT_TRUE(Contains(message, "fc2.weight_packed' is I64 [64, 20]")) << message;
}

TEST(MalformedFolder, AWeightShapeThatDisagreesIsNamed) {
  const auto with_shape = [](const OwnedTensor& shape) {
    return ErrorAfter(FourBits(),
                      [&](OwnedTensors& tensors) { tensors[Named("weight_shape")] = shape; });
  };
  const std::string other = with_shape(TensorOf(Dtype::kI64, {2}, std::vector<int64_t>{64, 159}));
  EXPECT_TRUE(Contains(other, "fc2.weight_shape' says [64, 159], expected [64, 160]")) << other;
  const std::string narrow = with_shape(TensorOf(Dtype::kI32, {2}, std::vector<int32_t>{64, 160}));
  EXPECT_TRUE(Contains(narrow, "fc2.weight_shape' is I32 [2], expected I64 [2]")) << narrow;
  const std::string missing =
      ErrorAfter(FourBits(), [](OwnedTensors& tensors) { tensors.erase(Named("weight_shape")); });
  EXPECT_TRUE(Contains(missing, "missing: " + Named("weight_shape"))) << missing;
}

TEST(MalformedFolder, BitsThatNoCodesHaveAreNamed) {
  for (const char* bits : {"1", "9", "16"}) {
    Folder folder;
    folder.config =
        OneGroup("int-quantized",
                 std::string(R"({"strategy": "channel", "num_bits": )") + bits + "}", kToken);
    const std::string message = ErrorAfter(folder, Unedited);
    EXPECT_TRUE(Contains(message, "'" + Named("weight") + "'")) << message;
    EXPECT_TRUE(Contains(message, std::string("int of ") + bits + " bits")) << message;
  }
}

TEST(MalformedFolder, AGroupSizeThatDoesNotDivideIsNamed) {
  Folder weights = FourBitGroups();
  weights.config =
      OneGroup("pack-quantized", R"({"strategy": "group", "num_bits": 4, "group_size": 48})");
  const std::string message = ErrorAfter(weights, Unedited);
  EXPECT_TRUE(Contains(message, "fc2.weight_packed' has 160 inputs, which the group size 48"))
      << message;
  Folder inputs;
  inputs.config = OneGroup("int-quantized", kEight,
                           R"({"strategy": "group", "group_size": 48, "dynamic": true})");
  EXPECT_TRUE(Contains(ErrorAfter(inputs, Unedited), "which the group size 48 does not divide"));
}

TEST(MalformedFolder, BitsBehindTheLastCodeAreNamed) {
  Folder folder = FourBits();
  folder.config = OneGroup("pack-quantized", kThree);
  folder.weight = SmallCodes(kOutputs, kInputs, 3);
  folder.storage.layout = PackedLayout::kAligned;  // 16 words of 10 codes, two bits free in each
  const std::string message = ErrorAfter(folder, [](OwnedTensors& tensors) {
    tensors[Named("weight_packed")].bytes[3] |= std::byte{0x80};
  });
  EXPECT_TRUE(Contains(message, "tensor '" + Named("weight_packed") + "'")) << message;
  EXPECT_TRUE(Contains(message, "the others must be 0")) << message;
}

TEST(MalformedFolder, CodesBeyondTheBitsAreNamed) {
  Folder folder;
  folder.weight = SmallCodes(kOutputs, kInputs, 4);
  folder.config = OneGroup("int-quantized", kFour, kToken);
  const std::string message = ErrorAfter(
      folder, [](OwnedTensors& tensors) { tensors[Named("weight")].bytes[5] = std::byte{8}; });
  EXPECT_TRUE(Contains(message, "fc2.weight' holds 8 at element 5; 4 bits hold -8 to 7"))
      << message;
}

TEST(MalformedFolder, GroupsInTheOrderOfActivationsAreNamed) {
  const auto add_order = [](OwnedTensors& tensors) {
    tensors[Named("weight_g_idx")] =
        TensorOf(Dtype::kI32, {kInputs}, std::vector<int32_t>(kInputs, 0));
  };
  EXPECT_TRUE(Contains(ErrorAfter(FourBitGroups(), add_order), "fc2.weight_g_idx' is I32 [160]"));
  Folder folder = FourBitGroups();
  folder.config = OneGroup("pack-quantized", R"({"strategy": "group", "num_bits": 4,
                                                 "group_size": 32, "actorder": "group"})");
  const std::string message = ErrorAfter(folder, Unedited);
  EXPECT_TRUE(Contains(message, Named("weight_packed"))) << message;
  EXPECT_TRUE(Contains(message, "'actorder' \"group\"")) << message;
  folder.config = OneGroup("pack-quantized", R"({"strategy": "group", "num_bits": 4,
                                                 "group_size": 32, "actorder": "weight"})");
  EXPECT_EQ(ErrorAfter(folder, Unedited), "no error was thrown");
}

TEST(MalformedFolder, AFormatThatContradictsTheTensorsIsNamed) {
  Folder packed = FourBits();
  packed.config = OneGroup("int-quantized", kFour);
  const std::string words = ErrorAfter(packed, Unedited);
  EXPECT_TRUE(Contains(words, "'" + Named("weight_packed") + "' holds packed codes, but no group"))
      << words;
  Folder bytes;
  bytes.config = OneGroup("pack-quantized", kEight, kToken);
  const std::string codes = ErrorAfter(bytes, Unedited);
  EXPECT_TRUE(Contains(codes, "'" + Named("weight") + "' holds INT8 codes, but no group")) << codes;
  const std::string both = ErrorAfter({}, [](OwnedTensors& tensors) {
    tensors[Named("weight_packed")] =
        TensorOf(Dtype::kI32, {64, 40}, std::vector<int32_t>(64 * 40, 0));
  });
  EXPECT_TRUE(Contains(both, "fc2.weight_packed' stands beside a 'weight'")) << both;
}

TEST(MalformedFolder, PackedCodesThatNothingIsSaidOfAreNamed) {
  Folder folder = FourBits();
  folder.config = R"({"quant_method": "compressed-tensors"})";
  const std::string message = ErrorAfter(folder, Unedited);
  EXPECT_TRUE(Contains(message, "fc2.weight_packed' is packed, and no config group")) << message;
}

TEST(MalformedFolder, AStaticScaleThatIsMissingOrStrayIsNamed) {
  Folder folder;
  folder.config = OneGroup("int-quantized", kEight, kStatic, kStatic);
  const std::string missing = ErrorAfter(
      folder, [](OwnedTensors& tensors) { tensors[Named("input_scale")] = Floats({1}, {0.5f}); });
  EXPECT_TRUE(Contains(missing, "missing: " + Named("output_scale"))) << missing;
  const std::string vector = ErrorAfter(folder, [](OwnedTensors& tensors) {
    tensors[Named("input_scale")] = Zeros({160});
    tensors[Named("output_scale")] = Floats({1}, {0.5f});
  });
  EXPECT_TRUE(Contains(vector, "fc2.input_scale' is F32 [160], expected [1]")) << vector;
  for (const char* name : {"input_scale", "output_scale"}) {
    const std::string stray = ErrorAfter(
        {}, [name](OwnedTensors& tensors) { tensors[Named(name)] = Floats({1}, {0.5f}); });
    EXPECT_TRUE(Contains(stray, Named(name) + "' is there, but by the configs its")) << stray;
  }
}

TEST(MalformedFolder, ZeroIsAStaticScaleOfBothSidesOnly) {
  Folder folder;
  folder.config = OneGroup("int-quantized", kEight, kStatic);
  const std::string message = ErrorAfter(
      folder, [](OwnedTensors& tensors) { tensors[Named("input_scale")] = Floats({1}, {0.0f}); });
  EXPECT_TRUE(Contains(message, "fc2.input_scale' holds the scale 0")) << message;
}

// Of q, k and v, which are one layer.
TEST(MalformedFolder, PartsThatDisagreeAreNamedBoth) {
  const auto error_of = [](const std::string& config, int v_bits,
                           const std::function<void(OwnedTensors&)>& edit) {
    const fs::path folder = TinySiglipFolder("malformed_parts");
    EditTensors(folder, [&](OwnedTensors& tensors) {
      for (const std::string part : {"q_proj", "k_proj", "v_proj"}) {
        const int bits = part == "v_proj" ? v_bits : 8;
        StoreCodes(tensors, kAttention + part, SmallCodes(64, 64, bits), kBytes);
        tensors[kAttention + part + ".input_scale"] = Floats({1}, {0.5f});
        tensors[kAttention + part + ".output_scale"] = Floats({1}, {0.25f});
      }
      edit(tensors);
    });
    DescribeQuantization(folder, config);
    return ErrorOfReading(folder);
  };
  const std::string both = OneGroup("int-quantized", kEight, kStatic, kStatic);
  EXPECT_EQ(error_of(both, 8, Unedited), "no error was thrown");
  for (const std::string name : {"input_scale", "output_scale"}) {
    const std::string message = error_of(both, 8, [&](OwnedTensors& tensors) {
      tensors[kAttention + ("k_proj." + name)] = Floats({1}, {0.75f});
    });
    EXPECT_TRUE(Contains(message, "k_proj." + name + "' holds 0.75 where '")) << message;
    EXPECT_TRUE(Contains(message, "q_proj." + name + "' holds")) << message;
  }
  const std::string bits = error_of(
      R"({"quant_method": "compressed-tensors", "format": "int-quantized", "config_groups": {
          "a": {"targets": ["re:.*v_proj$"], "weights": {"strategy": "channel", "num_bits": 4},
                "input_activations": {"strategy": "tensor"},
                "output_activations": {"strategy": "tensor"}},
          "b": {"targets": ["Linear"], "weights": {"strategy": "channel"},
                "input_activations": {"strategy": "tensor"},
                "output_activations": {"strategy": "tensor"}}}})",
      4, Unedited);
  EXPECT_TRUE(Contains(bits, "v_proj.weight' is stored as weights of 4 bits")) << bits;
  EXPECT_TRUE(Contains(bits, "q_proj.weight' as weights of 8 bits")) << bits;
}

}  // namespace
}  // namespace w8a8::test
