#include "eval/job/reference_check.h"

#include <gtest/gtest.h>

#include "eval/job/calibration.h"
#include "runtime/encoder/hash_checkpoint.h"
#include "tests/arms/made_session.h"
#include "tests/encoder/small_models.h"
#include "tests/support/environment.h"
#include "tests/support/errors.h"

namespace w8a8::test {
namespace {

constexpr int64_t kWidth = 64;
const char* const kPositions = "vision_model.embeddings.position_embedding.weight";

// MadeSession() with its checkpoint changed by `edit`.
Session EditedSession(const std::string& name, SlotStorage residual,
                      const std::function<void(OwnedTensors&)>& edit) {
  const std::filesystem::path folder = ScratchFolder(name);
  WriteHashCheckpoint(folder, TinySiglip(), Dtype::kF32, /*seed=*/7);
  EditTensors(folder, edit);
  return SessionOf(folder, residual);
}

std::vector<HealthNote> Check(const Session& session, int threads = 1, int64_t batch = 1) {
  MadeImages images(session.config, 6);
  Options options;
  options.threads = threads;
  options.batch = batch;
  return CheckReference(session, images, session.Runner(options));
}

// One channel of every position holds `value`, and no norm lets it drown the others.
std::function<void(OwnedTensors&)> LoudChannel(float value) {
  return [value](OwnedTensors& tensors) {
    std::vector<float> table(16 * kWidth);
    for (size_t i = 0; i < table.size(); ++i) {
      table[i] = i % kWidth == 3 ? value : 0.01f * static_cast<float>(i % 7);
    }
    tensors.at(kPositions) = Floats({16, kWidth}, table);
  };
}

TEST(ReferenceCheck, ASoundReferenceHasNoNotes) {
  EXPECT_TRUE(Check(MadeSession("reference_sound")).empty());
}

TEST(ReferenceCheck, AStreamThatOverflowsIsFoundAndABinary32ResidualMendsIt) {
  const std::vector<HealthNote> half =
      Check(EditedSession("reference_loud", SlotStorage::kHalf, LoudChannel(1e5f)));
  ASSERT_EQ(half.size(), 1u);
  EXPECT_EQ(half[0].level, "warning");
  EXPECT_EQ(half[0].site, "blocks.0.attn.qkv");
  EXPECT_TRUE(Contains(half[0].text, "64 values of the residual stream")) << half[0].text;
  EXPECT_TRUE(Contains(half[0].text, "--residual fp32")) << half[0].text;
  EXPECT_TRUE(
      Check(EditedSession("reference_wide", SlotStorage::kFloat, LoudChannel(1e5f))).empty());
}

TEST(ReferenceCheck, ALayerThatOverflowsIsNamedItself) {
  const std::vector<HealthNote> notes =
      Check(EditedSession("reference_layer", SlotStorage::kHalf, [](OwnedTensors& tensors) {
        tensors.at("vision_model.encoder.layers.1.mlp.fc1.bias") =
            Floats({160}, std::vector<float>(160, 1e5f));
      }));
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_EQ(notes[0].site, "blocks.1.mlp.fc1");
  EXPECT_TRUE(Contains(notes[0].text, "does not mend")) << notes[0].text;
}

// At 60,000 FP16's step is 32: what the blocks add to that channel is lost, while the binary32
// residual keeps it. The layers that read it must care, so the norms' weights favour it.
TEST(ReferenceCheck, DigitsThatAnFp16ResidualLosesAreReportedBySite) {
  const auto drowned = [](OwnedTensors& tensors) {
    std::vector<float> table(16 * kWidth, 3e4f);
    for (size_t i = 0; i < table.size(); ++i) table[i] += 40.0f * static_cast<float>(i % 5);
    tensors.at(kPositions) = Floats({16, kWidth}, table);
  };
  const Session session = EditedSession("reference_digits", SlotStorage::kHalf, drowned);
  const std::vector<HealthNote> notes = Check(session);
  ASSERT_FALSE(notes.empty());
  EXPECT_TRUE(Contains(notes[0].text, "from that of a binary32 residual")) << notes[0].text;
  const std::vector<HealthNote> parallel = Check(session, /*threads=*/3, /*batch=*/2);
  ASSERT_EQ(parallel.size(), notes.size());
  for (size_t i = 0; i < notes.size(); ++i) {
    EXPECT_EQ(parallel[i].site, notes[i].site);
    EXPECT_EQ(parallel[i].text, notes[i].text);
  }
}

TEST(StatisticsFit, RefusesThoseOfAReferenceWithAnotherResidual) {
  const Session session = MadeSession("statistics_fit");
  StatsHeader header;
  header.model_sha256 = session.weights->sha256();
  CheckStatsFit(header, "stats.h5", session, "");
  header.residual = "fp32";
  const std::string error = ErrorOf([&] { CheckStatsFit(header, "stats.h5", session, ""); });
  EXPECT_TRUE(Contains(error, "stats.h5")) << error;
  EXPECT_TRUE(Contains(error, "--residual fp32, but --residual is fp16 here")) << error;
}

}  // namespace
}  // namespace w8a8::test
