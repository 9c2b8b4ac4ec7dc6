// What a report says of the images that it judges: whose labels they have, whether they are
// different, and whether anything can be judged by the reference at all.
#include <algorithm>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "eval/cli/commands/evaluate_commands.h"
#include "runtime/base/atomic_file.h"
#include "runtime/base/counter_hash.h"
#include "runtime/base/safetensors.h"
#include "runtime/base/setting.h"
#include "tests/arms/random_demo.h"
#include "tests/encoder/small_models.h"
#include "tests/support/environment.h"
#include "tests/support/errors.h"

namespace w8a8::test {
namespace {

namespace fs = std::filesystem;

// 40 drawn images; the model's pooled feature is ranked by made-up embeddings of three classes.
class JudgedImages : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = FolderWithRandomDemo("judged_images");
    for (const fs::directory_entry& entry : fs::directory_iterator(folder_ / "demo/images")) {
      drawn_.push_back(entry.path());
    }
    std::sort(drawn_.begin(), drawn_.end());
    std::vector<float> rows;
    for (uint64_t i = 0; i < 3 * 128; ++i) rows.push_back(HashUniform(5, i));
    SafetensorsWriter writer;
    writer.Add("class_embeddings", Dtype::kF32, {3, 128}, std::span<const float>(rows));
    writer.SetMetadata("classes", R"(["cat", "dog", "big cow"])");
    writer.Write(folder_ / "classes.safetensors");
  }
  // A folder of the drawn images `first` to `last` under `names` in turn.
  static fs::path Images(const std::string& name, size_t first, size_t last,
                         const std::vector<std::string>& folders) {
    for (size_t i = first; i < last; ++i) {
      const fs::path to = folder_ / name / folders[i % folders.size()];
      fs::create_directories(to);
      fs::copy_file(drawn_.at(i), to / drawn_[i].filename());
    }
    return folder_ / name;
  }
  static Options Job(const fs::path& images, const std::string& out) {
    Options options;
    options.model = folder_ / "demo/model";
    options.images = images;
    options.out = folder_ / out;
    options.device = "cpu";
    options.quiet = true;
    options.clip_ranges = {kNoClip};
    return options;
  }
  static Options Compare(const fs::path& images, const std::string& out) {
    Options options = Job(images, out);
    options.command = "compare";
    return options;
  }
  // The demo's tower with a classifier whose row `i` is `scales[i]` times one row; the classes are
  // numbers from `first` where it is given.
  static fs::path WithHead(const std::string& name, const std::vector<float>& scales,
                           std::optional<size_t> first = std::nullopt) {
    const fs::path model = folder_ / name;
    fs::copy(folder_ / "demo/model", model);
    nlohmann::json config{{"model_type", "siglip"},
                          {"architectures", {"SiglipForImageClassification"}}};
    config["vision_config"] = nlohmann::json::parse(ReadFile(model / "config.json"));
    std::vector<float> rows;
    for (size_t i = 0; i < scales.size(); ++i) {
      config["id2label"][std::to_string(i)] =
          first ? std::to_string(*first + i) : fmt::format("LABEL_{}", i);
      for (uint64_t j = 0; j < 128; ++j) rows.push_back(scales[i] * (HashUniform(6, j) - 0.5f));
    }
    WriteFileAtomically(model / "config.json", config.dump());
    EditTensors(model, [&](OwnedTensors& tensors) {
      const auto classes = static_cast<int64_t>(scales.size());
      tensors["classifier.weight"] = Floats({classes, 128}, rows);
      tensors["classifier.bias"] = Zeros({classes});
    });
    return model;
  }
  static nlohmann::json Json(const std::string& file) {
    return nlohmann::json::parse(ReadFile(folder_ / file));
  }
  static std::string Verdict(const std::string& out) {
    return Json(out + "/report.json")["verdict"].dump();
  }

  static inline fs::path folder_;
  static inline std::vector<fs::path> drawn_;
};

TEST_F(JudgedImages, SayOverHowManyOfThemTop1Is) {
  Options options = Compare(Images("plain", 0, 20, {"."}), "partly");
  options.classes = folder_ / "classes.safetensors";
  options.labels = folder_ / "labels.tsv";
  WriteFileAtomically(options.labels, "file\taccepted\n" + drawn_[0].filename().string() +
                                          "\tBIG_cow\nother.png\t1\n");
  RunCompare(options);
  EXPECT_TRUE(Contains(Verdict("partly"), "top-1 is over 1 of 20 images")) << Verdict("partly");
  EXPECT_TRUE(Contains(Verdict("partly"), "1 row of labels.tsv names no image"));
  EXPECT_TRUE(Contains(ReadFile(folder_ / "partly/report.html"), "top-1 is over 1 of 20 images"));
  EXPECT_EQ(Json("partly/report.json")["facts"]["labels"], "the table labels.tsv");
}

TEST_F(JudgedImages, KeepTheirLabelsWhereAClassWasHeldOutOf) {
  Options job = Job(Images("classes", 0, 40, {"cat", "dog"}), "held_out");
  Images("classes", 40, 41, {"big cow"});
  job.classes = folder_ / "classes.safetensors";
  RunWholeJob(job);
  const nlohmann::json report = Json("held_out/report.json");
  EXPECT_TRUE(report["arms"][0]["top1"].is_object());
  EXPECT_TRUE(Contains(report["verdict"].dump(), "no evaluation image is of 1 of the 3 classes"))
      << report["verdict"].dump();
}

TEST_F(JudgedImages, AreOfTheClassThatANumberNamesAndSayWhichThatIs) {
  Options options = Compare(Images("numbers", 0, 4, {"1", "2"}), "by_name");
  options.model = WithHead("numbered_from_1", {1.0f, -1.0f, 0.5f}, 1);
  RunCompare(options);
  EXPECT_TRUE(Contains(Verdict("by_name"), "'1' is the class of that name, index 0"));
  options.model = WithHead("numbered_from_0", {1.0f, -1.0f, 0.5f}, 0);
  options.out = folder_ / "by_either";
  RunCompare(options);
  EXPECT_FALSE(Contains(Verdict("by_either"), "of that name"));
}

TEST_F(JudgedImages, AreToldApartFromThoseThatServedCalibration) {
  Options job = Job(Images("calibrated", 0, 20, {"a"}), "overlap");
  job.eval_images = Images("judged", 15, 40, {"b"});
  fs::rename(fs::path(job.eval_images) / "b" / drawn_[15].filename(),
             fs::path(job.eval_images) / "b/renamed.png");
  RunWholeJob(job);
  EXPECT_TRUE(Contains(Verdict("overlap"), "5 of the 25 images judged took part in calibration"))
      << Verdict("overlap");
}

TEST_F(JudgedImages, CountOnceWhereTheyAreOneToTheEncoder) {
  const fs::path folder = folder_ / "copies";
  fs::create_directories(folder);
  for (int i = 0; i < 20; ++i) fs::copy_file(drawn_[0], folder / fmt::format("{}.png", i));
  EXPECT_EQ(RunCompare(Compare(folder, "same")), 0);
  EXPECT_EQ(Json("same/report.json")["verdict"]["ship"], "undecided");
  EXPECT_EQ(Json("same/report.json")["facts"]["images"]["evaluation_different"], 1);
  EXPECT_TRUE(Contains(Verdict("same"), "only 1 of the 20 images differ"));
}

TEST_F(JudgedImages, AreNotJudgedByAReferenceThatIsNotFinite) {
  const fs::path model = folder_ / "overflows";
  fs::copy(folder_ / "demo/model", model);
  EditTensors(model, [](OwnedTensors& tensors) {
    OwnedTensor& bias = tensors.at("vision_model.encoder.layers.0.mlp.fc2.bias");
    std::vector<float> large(static_cast<size_t>(bias.shape[0]), 70000.0f);
    bias = Floats(bias.shape, large);
  });
  Options options = Compare(folder_ / "demo/images", "overflow");
  options.model = model;
  options.max_images = 4;
  EXPECT_TRUE(Contains(ErrorOf([&] { RunCompare(options); }), "not finite on 4 of 4 images"));
  EXPECT_EQ(Json("overflow/report.json")["verdict"]["ship"], "no");
}

TEST_F(JudgedImages, AreJudgedByTheirFeaturesWhereOneOutputRanksNothing) {
  Options options = Compare(folder_ / "demo/images", "regression");
  options.model = WithHead("regression_model", {1.0f});
  options.clip_range = 0.05f;
  options.max_images = 20;
  RunCompare(options);
  const nlohmann::json report = Json("regression/report.json");
  EXPECT_EQ(report["verdict"]["ship"], "no");
  EXPECT_TRUE(Contains(Verdict("regression"), "the pooled feature")) << Verdict("regression");
  for (const nlohmann::json& arm : report["arms"]) EXPECT_TRUE(arm["agreement"].is_null());
  options.labels = folder_ / "any.tsv";
  EXPECT_TRUE(Contains(ErrorOf([&] { RunCompare(options); }), "the model's head has one output"));
}

TEST_F(JudgedImages, AreJudgedByTheirFeaturesWhereAllRowsOfTheHeadAreEqual) {
  Options options = Compare(folder_ / "demo/images", "equal_rows");
  options.model = WithHead("equal_rows_model", {1.0f, 1.0f, 1.0f});
  options.clip_range = 0.05f;
  options.max_images = 20;
  RunCompare(options);
  EXPECT_EQ(Json("equal_rows/report.json")["verdict"]["ship"], "no");
}

TEST_F(JudgedImages, AreSaidNotToBeToldApartByTheReference) {
  Options options = Compare(folder_ / "demo/images", "one_answer");
  options.model = WithHead("one_answer_model", {0.0f, 0.0f, 0.0f});
  options.max_images = 20;
  EditTensors(options.model, [](OwnedTensors& tensors) {
    tensors.at("classifier.bias") = Floats({3}, {0, 1, 0});
  });
  RunCompare(options);
  EXPECT_TRUE(Contains(Verdict("one_answer"), "answer is the same for all 20 images: class 1"));
  EXPECT_FALSE(Contains(Verdict("one_answer"), "do not depend on the image"));
  EditTensors(options.model, [](OwnedTensors& tensors) {
    OwnedTensor& patches = tensors.at("vision_model.embeddings.patch_embedding.weight");
    std::fill(patches.bytes.begin(), patches.bytes.end(), std::byte{0});
  });
  options.out = folder_ / "no_image";
  RunCompare(options);
  EXPECT_TRUE(Contains(Verdict("no_image"), "outputs are the same for all 20 images"));
}

TEST_F(JudgedImages, AreRefusedWithLabelsThatNothingAnswersTo) {
  Options options = Compare(folder_ / "demo/images", "unanswered");
  options.labels = folder_ / "any.tsv";
  EXPECT_THROW(RunCompare(options), BadSetting);
  EXPECT_TRUE(Contains(ErrorOf([&] { RunCompare(options); }), "the model has no classifier"));
}

}  // namespace
}  // namespace w8a8::test
