// A fold is one Weights around another: every arm, the replay of one layer and the exporter take it
// without a word of their own.
#include <array>
#include <map>
#include <memory>

#include <gtest/gtest.h>

#include "eval/export/export_quantized.h"
#include "eval/run/runner.h"
#include "eval/run/site_replay.h"
#include "runtime/base/counter_hash.h"
#include "tests/arms/made_session.h"
#include "tests/support/environment.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

constexpr const char* kQkv = "blocks.0.attn.qkv";
constexpr const char* kProj = "blocks.0.attn.proj";

// The value rows of a block times 2, and what reads them times `proj_factor`. For 1/2 the encoder
// computes the same, and powers of two change no rounding.
class ScaledValues final : public Weights {
 public:
  ScaledValues(const EncoderWeights& base, float proj_factor)
      : base_(base), proj_factor_(proj_factor) {}

  LinearParameters Linear(const std::string& stem) const override {
    LinearParameters layer = base_.Linear(stem);
    if (stem == kQkv) {
      const auto first_row = static_cast<size_t>(layer.n / 3 * 2);
      Scale(std::span(layer.values).subspan(first_row * static_cast<size_t>(layer.k)), 2.0f);
      Scale(std::span(layer.bias).subspan(first_row), 2.0f);
    }
    if (stem == kProj) Scale(layer.values, proj_factor_);
    return layer;
  }
  std::vector<float> Vector(const std::string& stem, const char* part) const override {
    return base_.Vector(stem, part);
  }
  const EncoderWeights& checkpoint() const override { return base_; }

 private:
  static void Scale(std::span<float> values, float factor) {
    for (float& value : values) value *= factor;
  }

  const EncoderWeights& base_;
  const float proj_factor_;
};

class OutputsTap final : public Tap {
 public:
  bool WantsLinear(int /*arm*/, const std::string& /*site*/) const override { return false; }
  void OnOutputs(const OutputEvent& event) override {
    std::vector<Half>& tokens = outputs[event.arm];
    tokens.insert(tokens.end(), event.tokens.data,
                  event.tokens.data + event.tokens.rows * event.tokens.cols);
  }

  std::map<int, std::vector<Half>> outputs;  // tokens of all images, by arm
};

Plan EverySite(const Session& session) {
  Plan plan;
  for (const std::string& site : session.graph.Sites()) plan.sites[site] = {};
  return plan;
}

std::map<int, std::vector<Half>> OutputsOf(const Session& session, const Weights& weights) {
  const std::array arms = {
      Arm{.name = "fp16", .precision = Precision::kFp16, .plan = {}},
      Arm{.name = "fake", .precision = Precision::kFake, .plan = EverySite(session)},
      Arm{.name = "int8", .precision = Precision::kInt8, .plan = EverySite(session)}};
  MadeImages images(session.config, 2);
  OutputsTap outputs;
  const std::array<Tap*, 1> taps{&outputs};
  RunnerOptions options{.make_backend = session.make_backend, .progress = {}};
  RunArms(session.graph, weights, arms, images, taps, options);
  return outputs.outputs;
}

TEST(FoldedWeights, EveryArmRunsTheFold) {
  const Session session = MadeSession("folded_arms");
  const auto plain = OutputsOf(session, *session.weights);
  const auto folded = OutputsOf(session, ScaledValues(*session.weights, 0.5f));
  const auto wrong = OutputsOf(session, ScaledValues(*session.weights, 1.0f));
  ASSERT_EQ(plain.size(), 3u);
  for (const auto& [arm, expected] : plain) {
    EXPECT_EQ(Equal(expected, folded.at(arm)), "") << arm;
    EXPECT_NE(Equal(expected, wrong.at(arm)), "") << arm;
  }
}

// Half the weights on twice the input.
TEST(FoldedWeights, AReplayedLayerIsTheFoldedOne) {
  const Session session = MadeSession("folded_replay");
  const std::unique_ptr<Backend> backend = session.make_backend();
  const ScaledValues folded(*session.weights, 0.5f);
  const auto error_of = [&](const Weights& weights, float factor) {
    std::vector<Half> rows;
    for (uint64_t i = 0; i < 4 * 64; ++i) rows.push_back(ToHalf(factor * HashUniform(5, i)));
    return SiteReplay(weights, *backend, kProj, {rows.data(), 4, 64, 64}).TeacherForcedError({});
  };
  EXPECT_GT(error_of(*session.weights, 1.0f), 0.0);
  EXPECT_EQ(error_of(folded, 2.0f), error_of(*session.weights, 1.0f));
  EXPECT_NE(error_of(folded, 1.0f), error_of(*session.weights, 1.0f));
}

TEST(FoldedWeights, TheExporterWritesTheFoldedCodes) {
  const Session session = MadeSession("folded_export");
  const std::filesystem::path folder = ScratchFolder("folded_export_out") / "quantized";
  const ScaledValues folded(*session.weights, 0.5f);
  ExportQuantized(folded, session.graph, EverySite(session),
                  session.weights->files().front().parent_path(), folder);
  const LinearParameters exported = EncoderWeights(folder, ReadEncoderConfig(folder)).Linear(kProj);
  const WeightCodes plain =
      Prepare(kProj, session.weights->Linear(kProj), {}, FakeFlavour::kIdeal).layer.weight;
  EXPECT_EQ(Equal(plain.codes, exported.codes->codes), "");
  for (size_t row = 0; row < exported.codes->scale.values.size(); ++row) {
    EXPECT_EQ(exported.codes->scale.values[row], 0.5f * plain.scale.values[row]) << row;
  }
}

}  // namespace
}  // namespace w8a8::test
