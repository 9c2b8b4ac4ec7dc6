// Taps on a layer that only some tokens of each sample reach, as an expert's: events made by hand.
#include <array>
#include <filesystem>
#include <map>
#include <memory>

#include <gtest/gtest.h>

#include "eval/measure/feature_tap.h"
#include "eval/measure/site_error_tap.h"
#include "eval/measure/statistics_tap.h"
#include "runtime/base/sha256.h"
#include "runtime/encoder/graph.h"
#include "tests/encoder/small_models.h"
#include "tests/support/environment.h"

namespace w8a8::test {
namespace {

constexpr int64_t kTokens = 16, kWidth = 64, kOutputs = 192;
constexpr const char* kSite = "blocks.0.attn.qkv";

// Row r is filled with values of its own.
std::vector<Half> Rows(int64_t rows, int64_t cols, float offset) {
  std::vector<Half> values;
  for (int64_t i = 0; i < rows * cols; ++i) {
    values.push_back(ToHalf(static_cast<float>(i / cols) + offset));
  }
  return values;
}

// Of three samples the first sends tokens 3 and 5, the second none, the third 0, 3 and 15.
class RoutedEvent final : public LinearEvent {
 public:
  RoutedEvent()
      : input_(Rows(5, kWidth, 1.0f)), output_(Rows(5, kOutputs, 1.0f)), forced_(output_) {
    for (const char* name : {"a.png", "b.png", "c.png"}) {
      samples_.push_back({std::make_shared<const SampleKey>(
          SampleKey{.image = {.sha256 = Sha256Hex(name), .name = name}})});
    }
    site = &site_;
    samples = samples_;
    owners = owners_;
    input = {input_.data(), 5, kWidth, kWidth};
    output = {output_.data(), 5, kOutputs, kOutputs};
  }
  LinearResult RunAs(int /*arm*/, const Wanted& /*wanted*/) override {
    return {{forced_.data(), 5, kOutputs, kOutputs}, {}};
  }

  std::vector<Half>& forced() { return forced_; }

 private:
  const std::string site_ = kSite;
  std::vector<Sample> samples_;
  const std::vector<RowOwner> owners_ = {{0, 3}, {0, 5}, {2, 0}, {2, 3}, {2, 15}};
  std::vector<Half> input_, output_, forced_;
};

Graph TinyGraph() { return BuildGraph(TinySiglip(), SlotStorage::kHalf); }

TEST(RowOwners, TellTheRowsAndTokensOfEachSample) {
  const RoutedEvent event;
  EXPECT_EQ(RowsOf(event, 0).first, 0);
  EXPECT_EQ(RowsOf(event, 0).tokens, (std::vector<int32_t>{3, 5}));
  EXPECT_EQ(RowsOf(event, 1).count, 0);
  EXPECT_EQ(RowsOf(event, 2).first, 2);
  EXPECT_EQ(RowsOf(event, 2).count, 3);
  EXPECT_EQ(RowsOf(event, 2).tokens, (std::vector<int32_t>{0, 3, 15}));
}

TEST(RowOwners, AreEveryTokenInTurnWhereNoneAreGiven) {
  RoutedEvent event;
  event.owners = {};
  const std::vector<Half> dense = Rows(3 * kTokens, kWidth, 0.0f);
  event.input = {dense.data(), 3 * kTokens, kWidth, kWidth};
  const SampleRows rows = RowsOf(event, 2);
  EXPECT_EQ(rows.first, 2 * kTokens);
  EXPECT_EQ(rows.count, kTokens);
  EXPECT_TRUE(rows.tokens.empty());
}

TEST(RowOwners, StatisticsCountARowAtThePlaceOfItsToken) {
  StatisticsTap tap(TinyGraph(), /*workers=*/1, /*seed=*/3);
  RoutedEvent event;
  tap.OnLinear(event);
  const SiteStatistics statistics = tap.Take().at(kSite);
  EXPECT_EQ(statistics.Rows(), 5u);
  std::vector<uint64_t> expected(kTokens);
  expected[0] = expected[5] = expected[15] = 1;
  expected[3] = 2;
  EXPECT_EQ(statistics.position_count, expected);
  EXPECT_EQ(statistics.position_absmax[3], 4.0f);  // rows hold 1 to 5; token 3 has rows 0 and 3
}

TEST(RowOwners, ErrorsOfASampleAreThoseOfItsRows) {
  const std::vector<Arm> runs = {{.name = "fp16", .plan = {}},
                                 {.name = "int8", .precision = Precision::kInt8, .plan = {}}};
  SiteErrorTap tap(runs, {1}, /*workers=*/1);
  RoutedEvent event;
  event.forced()[3 * kOutputs] = ToHalf(4.5f);  // row 3 is sample 2's and holds 4
  tap.OnLinear(event);
  const auto meters = tap.Take();
  std::map<std::string, ImageError> records;
  for (const ImageError& record : meters.at({1, View::kTeacherForced, kSite}).output.records()) {
    records[record.sample->image.name] = record;
  }
  ASSERT_EQ(records.size(), 2u) << "b.png has no row there";
  EXPECT_EQ(records["a.png"].compared, uint64_t{2 * kOutputs});
  EXPECT_EQ(records["a.png"].sum_error_sq, 0.0);
  EXPECT_EQ(records["c.png"].compared, uint64_t{3 * kOutputs});
  EXPECT_EQ(records["c.png"].sum_error_sq, 0.25);
}

TEST(RowOwners, FeaturesStandAtThePlaceOfTheirTokenAndZerosElsewhere) {
  const Graph graph = TinyGraph();
  FeatureStore store;
  FeatureTap tap(graph, Arm{}, {.layers = {}, .sites = {kSite}}, &store);
  RoutedEvent event;
  for (const Sample& sample : event.samples) store.AddSample(*sample.key);
  tap.OnLinear(event);
  const std::filesystem::path path = ScratchFolder("row_owners") / "features.safetensors";
  SafetensorsWriter writer;
  store.AddTo(writer);
  writer.Write(path);
  const SafetensorsFile file(path);
  const TensorView& input = file.Get(std::string("taps.") + kSite + ".input");
  ASSERT_EQ(input.shape, (std::vector<int64_t>{3, kTokens, kWidth}));
  const std::vector<float> values = FloatValues(input);
  std::array<std::array<float, kTokens>, 3> expected{};
  expected[0][3] = 1.0f;
  expected[0][5] = 2.0f;
  expected[2][0] = 3.0f;
  expected[2][3] = 4.0f;
  expected[2][15] = 5.0f;
  for (size_t row = 0; row < 3 * kTokens; ++row) {
    EXPECT_EQ(values[row * kWidth], expected[row / kTokens][row % kTokens]) << row;
  }
}

}  // namespace
}  // namespace w8a8::test
