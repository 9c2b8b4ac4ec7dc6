#include "tests/arms/made_mixture.h"

#include <cmath>

#include "runtime/base/counter_hash.h"
#include "runtime/base/error.h"

namespace w8a8::test {
namespace {

std::vector<float> HashValues(int64_t count, const std::string& name, float amplitude) {
  std::vector<float> values;
  for (int64_t i = 0; i < count; ++i) {
    values.push_back(amplitude * HashUniform(HashText(name), static_cast<uint64_t>(i)));
  }
  return values;
}

}  // namespace

EncoderConfig MadeMixtureConfig() {
  EncoderConfig config;
  config.family = "siglip";
  config.name = "made mixture";
  config.width = 48;
  config.mlp_width = 64;
  config.heads = 2;
  config.blocks = 2;
  config.image_height = config.image_width = 16;  // 3 x 16 x 16 values are 16 tokens of 48
  config.patch = 4;
  config.pool = PoolKind::kMean;
  config.mixture = {.experts = 5,
                    .chosen = 2,
                    .renormalized = true,
                    .gated = false,
                    .width = 40,
                    .shared_width = 0,
                    .in_block = {true, true}};
  return config;
}

EncoderConfig MadeGatedMixtureConfig() {
  EncoderConfig config = MadeMixtureConfig();
  config.activation = ActivationKind::kSilu;
  config.mixture.gated = true;
  config.mixture.shared_width = 24;
  config.mixture.in_block = {true, false};
  return config;
}

MadeMixtureWeights::MadeMixtureWeights(const Graph& graph) : config_(graph.config) {
  for (const Node& node : graph.nodes) {
    if (node.kind != NodeKind::kLinear) continue;
    sizes_[node.weight] = {graph.slot(node.out).cols, graph.slot(node.in).cols};
  }
}

LinearParameters MadeMixtureWeights::Linear(const std::string& stem) const {
  const auto [n, k] = sizes_.at(stem);
  return {.n = n,
          .k = k,
          .values = HashValues(n * k, stem, std::sqrt(3.0f / static_cast<float>(k))),
          .bias = HashValues(n, stem + ".bias", 0.1f)};
}

// Channel 0 behind the norm before a router is 8 for every token, and the unreached expert's row
// has -100 there.
std::vector<float> MadeMixtureWeights::Vector(const std::string& stem, const char* part) const {
  const std::string name = stem + "." + part;
  const bool router = stem.ends_with("router");
  std::vector<float> values =
      HashValues(router ? config_.mixture.experts * config_.width : config_.width, name, 0.5f);
  if (router) {
    for (int64_t e = 0; e < config_.mixture.experts; ++e) {
      values[static_cast<size_t>(e * config_.width)] = e == kUnreachedExpert ? -100.0f : 0.0f;
    }
  }
  if (name.ends_with("norm2.weight")) values[0] = 0.0f;
  if (name.ends_with("norm2.bias")) values[0] = 8.0f;
  return values;
}

const EncoderWeights& MadeMixtureWeights::checkpoint() const {
  throw Error("made weights come from no checkpoint");
}

MadeMixture::MadeMixture(const EncoderConfig& config)
    : graph(BuildGraphFromEmbeds(config, kMixtureTokens)), weights(graph) {}

std::vector<std::string> MadeMixture::UnreachedSites() const {
  std::vector<std::string> sites;
  for (int64_t block = 0; block < graph.config.blocks; ++block) {
    if (!graph.config.mixture.in(block)) continue;
    for (const char* layer : {".fc1", ".fc2"}) {
      sites.push_back(SiteName(block, ExpertStem(kUnreachedExpert) + layer));
    }
  }
  return sites;
}

}  // namespace w8a8::test
