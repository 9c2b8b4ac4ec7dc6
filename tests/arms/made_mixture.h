// A small mixture of experts with hash weights, from what enters block 0 on, ready to run.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "runtime/encoder/graph.h"
#include "runtime/encoder/weights.h"

namespace w8a8::test {

// No token of any image chooses it: every token's logit there is far below the others.
constexpr int64_t kUnreachedExpert = 2;
constexpr int64_t kMixtureTokens = 16;

// Two blocks of five experts, two of which run for a token. Images of MadeImages fit its 16 tokens.
EncoderConfig MadeMixtureConfig();
// The same with gated experts, a shared one, and dense layers in block 1.
EncoderConfig MadeGatedMixtureConfig();

// Parameters of any graph by the counter hash of their names.
class MadeMixtureWeights final : public Weights {
 public:
  explicit MadeMixtureWeights(const Graph& graph);

  LinearParameters Linear(const std::string& stem) const override;
  std::vector<float> Vector(const std::string& stem, const char* part) const override;
  const EncoderWeights& checkpoint() const override;

 private:
  const EncoderConfig config_;
  std::map<std::string, std::pair<int64_t, int64_t>> sizes_;  // N and K by stem
};

struct MadeMixture {
  explicit MadeMixture(const EncoderConfig& config);

  // Sites of the expert that no token reaches, of every block.
  std::vector<std::string> UnreachedSites() const;

  Graph graph;
  MadeMixtureWeights weights;
};

}  // namespace w8a8::test
