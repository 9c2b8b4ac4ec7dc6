// What stands in an exported folder beside weights and config, and how the folder comes about.
#include <algorithm>
#include <map>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "eval/export/carried_files.h"
#include "eval/export/export_quantized.h"
#include "runtime/base/atomic_file.h"
#include "runtime/encoder/hash_checkpoint.h"
#include "tests/encoder/small_models.h"
#include "tests/support/environment.h"
#include "tests/support/errors.h"

namespace w8a8::test {
namespace {

namespace fs = std::filesystem;

void Export(const fs::path& model, const fs::path& out, ExportScope scope = ExportScope::kWhole) {
  const EncoderConfig config = ReadEncoderConfig(model);
  const Graph graph = BuildGraph(config);
  Plan plan;
  for (const std::string& site : graph.Sites()) plan.sites[site];
  ExportQuantized(EncoderWeights(model, config), graph, plan, model, out, scope);
}

std::map<std::string, std::string> ContentsOf(const fs::path& folder) {
  std::map<std::string, std::string> contents;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_directory()) continue;
    contents[fs::relative(entry.path(), folder).string()] = ReadFile(entry.path());
  }
  return contents;
}

TEST(ExportFolder, CarriesWhatProcessorTokenizerAndCustomCodeRead) {
  const fs::path model = TinySiglipFolder("carried");
  const fs::path cache = ScratchFolder("carried_cache");
  const std::vector<std::string> carried = {"LICENSE",
                                            "additional_chat_templates/tool_use.jinja",
                                            "chat_template.jinja",
                                            "generation_config.json",
                                            "merges.txt",
                                            "modeling_tower.py",
                                            "preprocessor_config.json",
                                            "processor_config.json",
                                            "tokenizer.json",
                                            "tokenizer.model",
                                            "video_preprocessor_config.json"};
  fs::create_directory(model / "additional_chat_templates");
  for (const std::string& name : carried) {
    if (name != "tokenizer.json") WriteText(model / name, "{} " + name);
  }
  WriteText(cache / "blob", "a tokenizer");  // as snapshots of the hub's cache are
  fs::create_symlink(cache / "blob", model / "tokenizer.json");
  for (const char* name :
       {"model.safetensors.index.json", "pytorch_model.bin", "adapter_config.json", "README.md",
        ".gitattributes", "plan.json", "quantize_config.txt.png"}) {
    WriteText(model / name, "{}");
  }
  EXPECT_EQ(CarriedFiles(model), carried);
  const fs::path out = ScratchFolder("carried_out");
  Export(model, out);
  for (const std::string& name : carried) {
    EXPECT_EQ(ReadFile(out / name), ReadFile(model / name)) << name;
    EXPECT_FALSE(fs::is_symlink(out / name)) << name;
  }
  EXPECT_EQ(ContentsOf(out).size(), carried.size() + 4);  // config, weights, scales, plan
}

TEST(ExportFolder, AFailureLeavesTheEarlierExportAsItWas) {
  const fs::path model = TinySiglipFolder("whole");
  const fs::path out = ScratchFolder("whole_out");
  Export(model, out);
  const auto before = ContentsOf(out);
  fs::create_symlink(model / "nowhere", model / "tokenizer.json");
  const std::string message = ErrorOf([&] { Export(model, out); });
  EXPECT_TRUE(Contains(message, "tokenizer.json: the symbolic link points to")) << message;
  EXPECT_EQ(ContentsOf(out), before);
  const fs::path fresh = ScratchFolder("whole_fresh") / "new";
  ErrorOf([&] { Export(model, fresh); });
  EXPECT_FALSE(fs::exists(fresh));
}

TEST(ExportFolder, FilesOfAnEarlierExportGoAndThoseOfPeopleStay) {
  const fs::path model = TinySiglipFolder("stale");
  WriteText(model / "processor_config.json", "{}");
  const fs::path out = ScratchFolder("stale_out");
  Export(model, out);
  WriteText(out / "notes.txt", "mine");
  fs::remove(model / "processor_config.json");
  Export(model, out);
  EXPECT_FALSE(fs::exists(out / "processor_config.json"));
  EXPECT_EQ(ReadFile(out / "notes.txt"), "mine");
}

// Under 'vision_config', which is all that SiglipVisionModel.from_pretrained() reads of the config
// of a SiglipModel.
TEST(ExportFolder, AWholeModelTellsItsVisionClassTooThatItIsQuantized) {
  const fs::path model = TinySiglipFolder("vision_class");
  auto vision = nlohmann::json::parse(ReadFile(model / "config.json"));
  vision = vision.contains("vision_config") ? vision["vision_config"] : vision;
  vision["model_type"] = "siglip_vision_model";
  WriteText(model / "config.json",
            nlohmann::json{{"model_type", "siglip"}, {"vision_config", vision}}.dump());
  EditTensors(model, [](OwnedTensors& tensors) {
    tensors["text_model.encoder.layers.0.mlp.fc1.weight"] = Zeros({4, 4});
  });
  const fs::path out = ScratchFolder("vision_class_out");
  Export(model, out);
  const auto config = nlohmann::json::parse(ReadFile(out / "config.json"));
  const auto target = [](const nlohmann::json& quantized) -> std::string {
    return quantized.at("quantization_config").at("config_groups").at("group_0").at("targets")[0];
  };
  EXPECT_EQ(target(config), R"(re:(?:.*\.)?vision_model\.(?:vision_model\.)?encoder\.layers\.0\.)"
                            R"(self_attn\.out_proj$)");
  EXPECT_EQ(target(config.at("vision_config")),
            R"(re:(?:.*\.)?encoder\.layers\.0\.self_attn\.out_proj$)");
}

// A W4A16 text tower: its layers have no ".weight".
TEST(ExportFolder, PackedLayersOfATextTowerAreNotFoundByTheTargets) {
  for (const char* stored : {".weight_packed", ".compressed", ".weight"}) {
    const fs::path model = TinySiglipFolder("packed_text");
    const auto vision = nlohmann::json::parse(ReadFile(model / "config.json"));
    WriteText(model / "config.json",
              nlohmann::json{{"model_type", "siglip"},
                             {"vision_config", vision.value("vision_config", vision)}}
                  .dump());
    EditTensors(model, [stored](OwnedTensors& tensors) {
      tensors[std::string("text_model.encoder.layers.0.mlp.fc1") + stored] = Zeros({4, 4});
    });
    const fs::path out = ScratchFolder("packed_text_out");
    Export(model, out);
    const auto config = nlohmann::json::parse(ReadFile(out / "config.json"));
    const std::string target =
        config.at("quantization_config").at("config_groups").at("group_0").at("targets")[0];
    EXPECT_TRUE(target.starts_with(R"(re:(?:.*\.)?vision_model\.)")) << stored << target;
  }
}

TEST(ExportFolder, AStaleRecordOfTheVisionConfigGoes) {
  const fs::path model = TinySiglipFolder("stale_record");
  auto vision = nlohmann::json::parse(ReadFile(model / "config.json"));
  vision = vision.value("vision_config", vision);
  vision["model_type"] = "siglip_vision_model";
  vision["vision_use_head"] = false;
  vision["quantization_config"] = {{"quant_method", "gptq"}};
  WriteText(model / "config.json",
            nlohmann::json{{"model_type", "gemma3"}, {"vision_config", vision}}.dump());
  EditTensors(model, [](OwnedTensors& tensors) {
    OwnedTensors moved;
    for (auto& [key, tensor] : tensors) {
      if (!key.starts_with("vision_model.head.")) moved["vision_tower." + key] = std::move(tensor);
    }
    tensors = std::move(moved);
  });
  const fs::path out = ScratchFolder("stale_record_out");
  Export(model, out);
  const auto config = nlohmann::json::parse(ReadFile(out / "config.json"));
  EXPECT_FALSE(config.at("vision_config").contains("quantization_config"));
  EXPECT_TRUE(EncoderWeights(out, ReadEncoderConfig(out)).quantized());
}

// SigLIP's pooling head as INT8, in a group that neither the vision class nor a lone tower sees.
TEST(ExportFolder, CodesOutsideTheBlocksAreFloatsWhereNoGroupNamesThem) {
  const fs::path model = TinySiglipFolder("int8_head");
  auto vision = nlohmann::json::parse(ReadFile(model / "config.json"));
  vision = vision.value("vision_config", vision);
  vision["model_type"] = "siglip_vision_model";
  const nlohmann::json inputs = {
      {"num_bits", 8}, {"type", "int"}, {"strategy", "token"}, {"dynamic", true}};
  const nlohmann::json group = {{"targets", {R"(re:.*head\.mlp\.fc1$)"}},
                                {"weights", {{"num_bits", 8}, {"strategy", "channel"}}},
                                {"input_activations", inputs}};
  const nlohmann::json record = {{"quant_method", "compressed-tensors"},
                                 {"format", "int-quantized"},
                                 {"config_groups", {{"group_0", group}}}};
  WriteText(model / "config.json", nlohmann::json{{"model_type", "siglip"},
                                                  {"vision_config", vision},
                                                  {"quantization_config", record}}
                                       .dump());
  const std::string stem = "vision_model.head.mlp.fc1";
  EditTensors(model, [&stem](OwnedTensors& tensors) {
    OwnedTensor& weight = tensors[stem + ".weight"];
    weight.dtype = Dtype::kI8;
    weight.bytes.assign(size_t{160} * 64, std::byte{3});
    std::vector<float> scales(160, 0.5f);
    scales[1] = 0.25f;
    tensors[stem + ".weight_scale"] = Floats({160, 1}, scales);
  });
  const EncoderWeights original(model, ReadEncoderConfig(model));
  for (const ExportScope scope : {ExportScope::kWhole, ExportScope::kTowerOnly}) {
    const fs::path out = ScratchFolder("int8_head_out");
    Export(model, out, scope);
    const OwnedTensors tensors = ReadTensors(out / "model.safetensors");
    EXPECT_EQ(tensors.at(stem + ".weight").dtype, Dtype::kF32);
    EXPECT_FALSE(tensors.contains(stem + ".weight_scale"));
    const auto config = nlohmann::json::parse(ReadFile(out / "config.json"));
    const auto ignored = config.at("quantization_config").at("ignore");
    EXPECT_TRUE(std::count(ignored.begin(), ignored.end(), stem) == 1) << ignored;
    const EncoderWeights copy(out, ReadEncoderConfig(out));
    EXPECT_EQ(copy.Linear("pool.fc1").values, original.Linear("pool.fc1").values);
    EXPECT_EQ(copy.Linear("pool.fc1").values[64], 0.75f);
    EXPECT_TRUE(copy.notes().empty()) << copy.notes().front();
  }
}

TEST(ExportFolder, TheTowerAloneIsACheckpointOfItsVisionClass) {
  const fs::path model = TinySiglipFolder("alone");
  auto vision = nlohmann::json::parse(ReadFile(model / "config.json"));
  vision = vision.contains("vision_config") ? vision["vision_config"] : vision;
  vision["model_type"] = "siglip_vision_model";
  vision["vision_use_head"] = false;
  WriteText(model / "config.json",
            nlohmann::json{{"model_type", "gemma3"}, {"vision_config", vision}}.dump());
  WriteText(model / "hf_quant_config.json", R"({"quantization": {"quant_algo": "FP8"}})");
  EditTensors(model, [](OwnedTensors& tensors) {
    OwnedTensors moved;
    for (auto& [key, tensor] : tensors) {
      if (!key.starts_with("vision_model.head.")) moved["vision_tower." + key] = std::move(tensor);
    }
    moved["language_model.model.layers.0.mlp.up_proj.weight"] = Zeros({4, 4});
    tensors = std::move(moved);
  });
  EXPECT_TRUE(Contains(WhyTowerOnly(model), "hf_quant_config.json"));
  const fs::path out = ScratchFolder("alone_out");
  Export(model, out, ExportScope::kTowerOnly);
  const auto config = nlohmann::json::parse(ReadFile(out / "config.json"));
  EXPECT_EQ(config.at("architectures"), nlohmann::json({"SiglipVisionModel"}));
  EXPECT_EQ(config.at("quantization_config").at("quant_method"), "compressed-tensors");
  for (const auto& [key, tensor] : ReadTensors(out / "model.safetensors")) {
    EXPECT_TRUE(key.starts_with("vision_model.")) << key;
  }
  const EncoderConfig read = ReadEncoderConfig(out);
  EXPECT_TRUE(EncoderWeights(out, read).quantized());
}

TEST(ExportFolder, AModelThatIsItsOwnTowerAndQuantizedOtherwiseIsRefusedBeforeAnyWork) {
  const fs::path model = ScratchFolder("lone_gptq");
  WriteText(model / "config.json",
            R"({"model_type": "vit", "quantization_config": {"quant_method": "gptq"}})");
  const std::string message = ErrorOf([&] { WhyTowerOnly(model); });
  EXPECT_TRUE(Contains(message, "the model is quantized by 'gptq'")) << message;
  EXPECT_FALSE(Contains(message, "The tower alone")) << message;
}

}  // namespace
}  // namespace w8a8::test
