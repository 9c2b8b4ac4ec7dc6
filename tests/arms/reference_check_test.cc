#include "eval/job/reference_check.h"

#include <gtest/gtest.h>

#include "eval/cli/error_text.h"
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

std::vector<ReferenceNote> Check(const Session& session, int threads = 1, int64_t batch = 1) {
  MadeImages images(session.config, 6);
  return CheckReference(session, images, session.Runner({.threads = threads, .batch = batch}));
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
  const std::vector<ReferenceNote> half =
      Check(EditedSession("reference_loud", SlotStorage::kHalf, LoudChannel(1e5f)));
  ASSERT_EQ(half.size(), 1u);
  const HealthNote& note = half[0].note;
  EXPECT_EQ(note.level, "warning");
  EXPECT_EQ(note.site, "blocks.0.attn.qkv");
  EXPECT_TRUE(Contains(note.text, "64 values of the residual stream")) << note.text;
  EXPECT_EQ(RemedyText(half[0].remedy.value()), " Rerun with --residual fp32.");
  EXPECT_TRUE(
      Check(EditedSession("reference_wide", SlotStorage::kFloat, LoudChannel(1e5f))).empty());
}

TEST(ReferenceCheck, ALayerThatOverflowsIsNamedItself) {
  const std::vector<ReferenceNote> notes =
      Check(EditedSession("reference_layer", SlotStorage::kHalf, [](OwnedTensors& tensors) {
        tensors.at("vision_model.encoder.layers.1.mlp.fc1.bias") =
            Floats({160}, std::vector<float>(160, 1e5f));
      }));
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_EQ(notes[0].note.site, "blocks.1.mlp.fc1");
  EXPECT_TRUE(Contains(notes[0].note.text, "does not mend")) << notes[0].note.text;
  EXPECT_FALSE(notes[0].remedy);
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
  const std::vector<ReferenceNote> notes = Check(session);
  ASSERT_FALSE(notes.empty());
  const std::string& first = notes[0].note.text;
  EXPECT_TRUE(Contains(first, "from that of a binary32 residual")) << first;
  EXPECT_EQ(RemedyText(notes[0].remedy.value()), " Rerun with --residual fp32.");
  const std::vector<ReferenceNote> parallel = Check(session, /*threads=*/3, /*batch=*/2);
  ASSERT_EQ(parallel.size(), notes.size());
  for (size_t i = 0; i < notes.size(); ++i) {
    EXPECT_EQ(parallel[i].note.site, notes[i].note.site);
    EXPECT_EQ(parallel[i].note.text, notes[i].note.text);
  }
}

TEST(StatisticsFit, RefusesThoseOfAReferenceWithAnotherResidual) {
  const Session session = MadeSession("statistics_fit");
  StatsHeader header;
  header.model_sha256 = session.weights->sha256();
  CheckStatsFit(header, "stats.h5", session, "");
  header.residual = "fp32";
  try {
    CheckStatsFit(header, "stats.h5", session, "");
    FAIL() << "was not refused";
  } catch (const Error& error) {
    const std::string text = ErrorText(error);
    EXPECT_TRUE(Contains(text,
                         "stats.h5: statistics of a reference whose residual is fp32, but it "
                         "is fp16 here"))
        << text;
    EXPECT_TRUE(Contains(text, "Rerun with --residual fp32.")) << text;
  }
}

}  // namespace
}  // namespace w8a8::test
