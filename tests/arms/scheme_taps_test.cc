// Checks, meters and feature taps on the schemes of numerics.md section 6: events made by hand, so
// that every number of a trace can be wrong once.
#include <cmath>
#include <filesystem>
#include <functional>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "eval/measure/check_tap.h"
#include "eval/measure/feature_tap.h"
#include "eval/measure/site_error_tap.h"
#include "quant/reference_quantizer.h"
#include "runtime/base/counter_hash.h"
#include "runtime/base/sha256.h"
#include "runtime/encoder/graph.h"
#include "runtime/prepare.h"
#include "tests/encoder/small_models.h"
#include "tests/support/environment.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

constexpr int64_t kSamples = 2, kTokens = 16, kRows = kSamples * kTokens, kWidth = 64, kOut = 10;
constexpr const char* kSite = "blocks.0.attn.qkv";

std::vector<Half> RandomHalves(int64_t count, uint64_t seed) {
  std::vector<Half> values;
  for (int64_t i = 0; i < count; ++i) {
    values.push_back(ToHalf(3.0f * HashUniform(seed, static_cast<uint64_t>(i))));
  }
  return values;
}

// A layer that all tokens of two samples reach, with a trace of the test's own.
class SchemeEvent final : public LinearEvent {
 public:
  SchemeEvent() : input_(RandomHalves(kRows * kWidth, 1)), output_(RandomHalves(kRows * kOut, 2)) {
    for (const char* name : {"a.png", "b.png"}) {
      samples_.push_back({std::make_shared<const SampleKey>(
          SampleKey{.image = {.sha256 = Sha256Hex(name), .name = name}})});
    }
    site = &site_;
    samples = samples_;
    input = {input_.data(), kRows, kWidth, kWidth};
    output = {output_.data(), kRows, kOut, kOut};
  }
  LinearResult RunAs(int /*arm*/, const Wanted& /*wanted*/) override { return {output, trace}; }

  std::vector<Half>& outputs() { return output_; }

 private:
  const std::string site_ = kSite;
  std::vector<Sample> samples_;
  std::vector<Half> input_, output_;
};

template <class T>
void Fill(Matrix<T>& matrix, int64_t rows, int64_t cols) {
  matrix = Matrix<T>(rows, cols);
  for (int64_t i = 0; i < rows * cols; ++i) matrix.view().data[i] = static_cast<T>(i % 100);
}

// Everything that a trace can hold: second codes, groups, zero points, output codes.
LinearTrace FullTrace() {
  LinearTrace trace;
  Fill(trace.codes, kRows + kSamples, kWidth);
  Fill(trace.acc, kRows + kSamples, kOut);
  Fill(trace.transformed, kRows, kWidth);
  Fill(trace.output_codes, kRows, kOut);
  trace.input_scale.values.assign(kRows, 0.5f);
  trace.input_scale.zero_points.assign(kRows, -3);
  trace.input_scale.second_values.assign(kSamples, 0.25f);
  trace.weight_code_sum.assign(kOut, 7);
  return trace;
}

Experiment TwinsUnder(const SitePlan& plan) {
  const Plan plans{.sites = {{kSite, plan}}};
  Experiment experiment;
  experiment.runs = {{.name = "fp16", .plan = {}},
                     {.name = "int8/plan", .precision = Precision::kInt8, .plan = plans},
                     {.name = "emulated/plan", .precision = Precision::kEmulated, .plan = plans}};
  experiment.twins = {{.int8 = 1, .emulated = 2}};
  return experiment;
}

using Damage = std::function<void(LinearTrace& trace, std::vector<Half>& output)>;

// What the tap counts where the emulated twin's trace and output are `damage`d.
SiteChecks Compare(const SitePlan& plan, const Damage& damage) {
  const Experiment experiment = TwinsUnder(plan);
  CheckTap tap(experiment, /*workers=*/1);
  SchemeEvent event;
  event.arm = 1;
  event.trace = std::make_shared<LinearTrace>(FullTrace());
  tap.OnLinear(event);
  LinearTrace emulated = FullTrace();
  damage(emulated, event.outputs());
  event.arm = 2;
  event.trace = std::make_shared<LinearTrace>(std::move(emulated));
  tap.OnLinear(event);
  return tap.Take().at({2, kSite});
}

TEST(CheckTap, ComparesEveryNumberOfEveryScheme) {
  const SiteChecks equal = Compare({}, [](LinearTrace&, std::vector<Half>&) {});
  EXPECT_EQ(equal.mismatches(), 0u);
  EXPECT_EQ(equal.codes_compared, uint64_t{(kRows + kSamples) * kWidth + kRows * kOut});
  EXPECT_EQ(equal.scales_compared, uint64_t{2 * kRows + kSamples});
  EXPECT_EQ(equal.transformed_compared, uint64_t{kRows * kWidth});
  EXPECT_EQ(equal.int32_compared, uint64_t{(kRows + kSamples) * kOut});
  EXPECT_EQ(equal.float_outputs_compared, 0u);
}

TEST(CheckTap, FindsOneWrongNumberOfEachKind) {
  const Damage damages[] = {
      [](LinearTrace& trace, auto&) { trace.codes.view().row(kRows + 1)[3] ^= 1; },
      [](LinearTrace& trace, auto&) { trace.output_codes.view().row(2)[1] ^= 1; },
      [](LinearTrace& trace, auto&) { trace.acc.view().row(kRows)[0] += 1; },
      [](LinearTrace& trace, auto&) { trace.transformed.view().row(4)[5] += 0.5f; },
      [](LinearTrace& trace, auto&) { trace.input_scale.values[3] = 0.75f; },
      [](LinearTrace& trace, auto&) { trace.input_scale.zero_points[3] = 0; },
      [](LinearTrace& trace, auto&) { trace.input_scale.second_values[1] = 0.5f; },
      [](LinearTrace&, auto& output) { output[7].bits ^= 1; }};
  for (const Damage& damage : damages) EXPECT_EQ(Compare({}, damage).mismatches(), 1u);
}

TEST(CheckTap, CountsWhatAllSamplesOfABatchShareOnceForEachOfThem) {
  const SiteChecks checks =
      Compare({}, [](LinearTrace& trace, auto&) { trace.weight_code_sum[2] = 0; });
  EXPECT_EQ(checks.code_sums_compared, uint64_t{kSamples * kOut});
  EXPECT_EQ(checks.mismatches(), uint64_t{kSamples});
}

TEST(CheckTap, FindsWhatOneSideLacks) {
  EXPECT_GT(Compare({}, [](LinearTrace& trace, auto&) { trace.codes = {}; }).mismatches(), 0u);
  EXPECT_GT(Compare({}, [](LinearTrace& trace, auto&) { trace.output_codes = {}; }).mismatches(),
            0u);
  EXPECT_GT(Compare({}, [](LinearTrace& trace, auto&) { trace.transformed = {}; }).mismatches(),
            0u);
  EXPECT_GT(Compare({}, [](LinearTrace& trace, auto&) { trace.input_scale.zero_points = {}; })
                .mismatches(),
            0u);
}

// No proof of bits, and said so: other counts, and a bound of their own.
TEST(CheckTap, CountsWeightOnlyOutputsApart) {
  SitePlan weight_only;
  weight_only.input.reset();
  const SiteChecks near =
      Compare(weight_only, [](LinearTrace&, auto& output) { output[7].bits ^= 1; });
  EXPECT_EQ(near.mismatches(), 0u);
  EXPECT_EQ(near.outputs_compared + near.codes_compared + near.int32_compared, 0u);
  EXPECT_EQ(near.float_outputs_compared, uint64_t{kRows * kOut});
  const SiteChecks far = Compare(weight_only, [](LinearTrace&, auto& output) {
    output[7] = ToHalf(ToFloat(output[7]) + 0.1f);
    output[9] = ToHalf(std::nanf(""));
  });
  EXPECT_EQ(far.float_output_mismatches, 2u);
}

TEST(CheckTap, LetsAFloatOutputsCodeMoveByOne) {
  SitePlan plan;
  plan.input.reset();
  plan.output = Quantizer::Static(0.125f);
  const auto moved = [&](float by) {
    return Compare(
        plan, [by](LinearTrace&, auto& output) { output[7] = ToHalf(ToFloat(output[7]) + by); });
  };
  EXPECT_EQ(moved(0.125f).mismatches(), 0u);
  EXPECT_EQ(moved(0.25f).mismatches(), 1u);
}

TEST(FloatsAgree, WithinTwoUnitsOfTheValueOrOfItsRow) {
  EXPECT_TRUE(FloatsAgree(1.0f, 1.0f + 0x1p-9f, 0.0f));
  EXPECT_FALSE(FloatsAgree(1.0f, 1.0f + 0x1p-8f, 0.0f));
  EXPECT_TRUE(FloatsAgree(0x1p-12f, -0x1p-12f, 1.0f));
  EXPECT_FALSE(FloatsAgree(0x1p-12f, -0x1p-12f, 0x1p-6f));
  EXPECT_TRUE(FloatsAgree(HUGE_VALF, HUGE_VALF, 1.0f));
  EXPECT_FALSE(FloatsAgree(HUGE_VALF, -HUGE_VALF, 1.0f));
  EXPECT_TRUE(FloatsAgree(std::nanf(""), -std::nanf(""), 1.0f));
  EXPECT_FALSE(FloatsAgree(std::nanf(""), 1.0f, 1.0f));
}

std::vector<SitePlan> InputSchemes() {
  std::vector<SitePlan> plans(5);
  plans[1].input = Quantizer{.symmetric = false};
  plans[2].input = Quantizer{.granularity = Granularity::kGroup, .group_size = 24};
  plans[3].rotation = Rotation{.block = 64, .seed = 5};
  plans[3].smoothing.assign(kWidth, 2.0f);
  plans[4].first_row_twice = true;
  return plans;
}

// The input's error is that of the codes against what the quantizer saw: the power of the two is
// worked out here, element by element.
TEST(SiteErrorTap, MeasuresTheInputAsThePlansQuantizerSeesIt) {
  for (const SitePlan& plan : InputSchemes()) {
    const std::vector<Arm> runs = {
        {.name = "fp16", .plan = {}},
        {.name = "int8", .precision = Precision::kInt8, .plan = {.sites = {{kSite, plan}}}}};
    SiteErrorTap tap(runs, {1}, /*workers=*/1);
    SchemeEvent event;
    tap.OnLinear(event);
    const SiteMeters meters = tap.Take().at({1, View::kTeacherForced, kSite});
    double error = 0;
    for (int64_t image = 0; image < kSamples; ++image) {
      const ReferenceRows rows =
          QuantizeRowsReference(event.input.RowRange(image * kTokens, kTokens),
                                {.quantizer = *plan.input,
                                 .transform = TransformOf(plan),
                                 .rows_per_image = plan.first_row_twice ? kTokens : 0});
      for (int64_t i = 0; i < kTokens * kWidth; ++i) {
        const auto at = static_cast<size_t>(i);
        const ActivationScale scale = rows.scales.At(i / kWidth, i % kWidth);
        float real = static_cast<float>(rows.codes[at] - scale.zero_point) * scale.scale;
        if (plan.first_row_twice && i < kWidth) {
          real += static_cast<float>(rows.codes[static_cast<size_t>(kTokens * kWidth + i)]) *
                  rows.scales.second_values[0];
        }
        const double difference = double{real} - double{rows.values[at]};
        error += difference * difference;
      }
    }
    double measured = 0;
    for (const ImageError& record : meters.input.records()) measured += record.sum_error_sq;
    EXPECT_GT(measured, 0.0);
    EXPECT_NEAR(measured, error, RoundingBound(kRows * kWidth, error));
  }
}

TEST(FeatureTap, WritesWhatASchemeHas) {
  const Graph graph = BuildGraph(TinySiglip(), SlotStorage::kHalf);
  FeatureStore store;
  FeatureTap tap(graph, Arm{}, {.layers = {}, .sites = {kSite}}, &store);
  SchemeEvent event;
  LinearTrace trace = FullTrace();
  trace.acc = Matrix<int32_t>(3 * (kRows + kSamples), kOut);
  for (int64_t row = 0; row < 3 * (kRows + kSamples); ++row) {
    std::fill_n(trace.acc.view().row(row), kOut, static_cast<int32_t>(row));
  }
  trace.input_scale.values.assign(3 * kRows, 0.5f);
  trace.input_scale.groups = 3;
  trace.input_scale.values[3 * 17 + 1] = 4.0f;
  event.trace = std::make_shared<LinearTrace>(std::move(trace));
  for (const Sample& sample : event.samples) store.AddSample(*sample.key);
  tap.OnLinear(event);
  const std::filesystem::path path = ScratchFolder("scheme_taps") / "features.safetensors";
  SafetensorsWriter writer;
  store.AddTo(writer);
  writer.Write(path);
  const SafetensorsFile file(path);
  const auto shape = [&](const char* name) {
    return file.Get(std::string("taps.") + kSite + "." + name).shape;
  };
  using Shape = std::vector<int64_t>;
  EXPECT_EQ(shape("codes"), (Shape{kSamples, kTokens, kWidth}));
  EXPECT_EQ(shape("transformed"), (Shape{kSamples, kTokens, kWidth}));
  EXPECT_EQ(shape("output_codes"), (Shape{kSamples, kTokens, kOut}));
  EXPECT_EQ(shape("input_scale"), (Shape{kSamples, kTokens, 3}));
  EXPECT_EQ(shape("input_zero_point"), (Shape{kSamples, kTokens}));
  EXPECT_EQ(shape("second_codes"), (Shape{kSamples, kWidth}));
  EXPECT_EQ(shape("second_input_scale"), (Shape{kSamples}));
  EXPECT_EQ(shape("acc"), (Shape{kSamples, 3, kTokens, kOut}));
  const auto site = std::string("taps.") + kSite;
  EXPECT_EQ(FloatValues(file.Get(site + ".input_scale"))[(16 + 1) * 3 + 1], 4.0f);
  // Sample 1, group 2, token 5: row 2 * 34 + 16 + 5 of the trace.
  const std::vector<int32_t> acc = Int32Values(file.Get(site + ".acc"));
  EXPECT_EQ(acc[((1 * 3 + 2) * kTokens + 5) * kOut], 2 * (kRows + kSamples) + 21);
}

}  // namespace
}  // namespace w8a8::test
