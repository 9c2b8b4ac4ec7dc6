// Of an encoder inside a model the outputs that the model reads are compared, and no others.
#include "eval/measure/output_tap.h"

#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/base/half.h"

namespace w8a8::test {
namespace {

constexpr int64_t kTokens = 3, kWidth = 2;

// Two images of three tokens, all ones, but for what a run gives as the first token.
std::vector<Half> TokensWithFirst(float first) {
  std::vector<Half> tokens(2 * kTokens * kWidth, ToHalf(1.0f));
  for (int64_t image = 0; image < 2; ++image) {
    for (int64_t c = 0; c < kWidth; ++c) {
      tokens[static_cast<size_t>(image * kTokens * kWidth + c)] = ToHalf(first);
    }
  }
  return tokens;
}

OutputTap::Result Compared(const EncoderConfig& config) {
  const AcceptedClasses no_labels;
  OutputTap tap(1, config, no_labels, nullptr);
  std::vector<Sample> samples(2);
  for (size_t i = 0; i < samples.size(); ++i) {
    const std::string name = "photo " + std::to_string(i);
    samples[i].key = std::make_shared<const SampleKey>(
        SampleKey{.image = {.sha256 = name, .name = name}, .view = 0});
  }
  for (const int arm : {0, 1}) {
    const std::vector<Half> tokens = TokensWithFirst(arm == 0 ? 1.0f : -1.0f);
    const std::vector<Half> pooled(2 * kWidth, ToHalf(arm == 0 ? 2.0f : 3.0f));
    tap.OnOutputs({.worker = 0,
                   .arm = arm,
                   .samples = samples,
                   .tokens = {tokens.data(), 2 * kTokens, kWidth, kWidth},
                   .pooled = {pooled.data(), 2, kWidth, kWidth},
                   .image_embeds = {},
                   .logits = {}});
  }
  return tap.Take();
}

TEST(OutputTap, ComparesEveryTokenAndThePooledOutputOfAnEncoderAlone) {
  const OutputTap::Result result = Compared({});
  EXPECT_FALSE(result.meters.at({1, "tokens"}).Summarize().exact);
  EXPECT_FALSE(result.meters.at({1, "pooled"}).Summarize().exact);
}

TEST(OutputTap, PassesOverTheTokensAndThePooledOutputThatTheModelAroundItDoesNotRead) {
  EncoderConfig config;
  config.unread_tokens = 1;
  config.pooled_unread = true;
  const OutputTap::Result result = Compared(config);
  EXPECT_TRUE(result.meters.at({1, "tokens"}).Summarize().exact);
  EXPECT_FALSE(result.meters.contains({1, "pooled"}));
}

}  // namespace
}  // namespace w8a8::test
