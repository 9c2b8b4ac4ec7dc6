#include "runtime/encoder/layout.h"

#include <numeric>

#include "runtime/base/error.h"
#include "runtime/encoder/graph.h"

namespace w8a8 {
namespace {

// A family's key stems. An empty stem: the family has no such tensor.
struct FamilyKeys {
  std::string patch_embed, class_token, position, pre_norm, norm, pool_norm, head;
  std::string block;  // followed by the block's number and a dot
  std::string norm1, norm2, proj, fc1, fc2, scale1, scale2, q_norm, k_norm;
  std::vector<std::string> qkv;  // one fused stem, or q, k, v
  bool leading_one = false;      // the position table is [1, tokens, width]
  bool qkv_bias_optional = false;
  std::vector<std::string> computing_stems;
};

FamilyKeys SiglipKeys() {
  FamilyKeys keys;
  keys.patch_embed = "embeddings.patch_embedding";
  keys.position = "embeddings.position_embedding.weight";
  keys.norm = "post_layernorm";
  keys.block = "encoder.layers.";
  keys.norm1 = "layer_norm1";
  keys.norm2 = "layer_norm2";
  keys.qkv = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"};
  keys.proj = "self_attn.out_proj";
  keys.fc1 = "mlp.fc1";
  keys.fc2 = "mlp.fc2";
  keys.computing_stems = {"embeddings.class_embedding", "pre_layrnorm."};
  return keys;
}

FamilyKeys TimmKeys() {
  FamilyKeys keys;
  keys.patch_embed = "patch_embed.proj";
  keys.class_token = "cls_token";
  keys.position = "pos_embed";
  keys.pre_norm = "norm_pre";
  keys.norm = "norm";
  keys.pool_norm = "fc_norm";
  keys.head = "head";
  keys.block = "blocks.";
  keys.norm1 = "norm1";
  keys.norm2 = "norm2";
  keys.qkv = {"attn.qkv"};
  keys.proj = "attn.proj";
  keys.fc1 = "mlp.fc1";
  keys.fc2 = "mlp.fc2";
  keys.scale1 = "ls1.gamma";
  keys.scale2 = "ls2.gamma";
  keys.leading_one = true;
  keys.qkv_bias_optional = true;
  keys.computing_stems = {"norm.",     "norm_pre.",   "fc_norm.",   "reg_token", "dist_token",
                          "head_dist", "pre_logits.", "attn_pool.", "rope"};
  return keys;
}

FamilyKeys KeysOf(const EncoderConfig& config) {
  if (config.family == "siglip") return SiglipKeys();
  W8A8_CHECK(config.family == "timm-vit");
  return TimmKeys();
}

class LayoutBuilder {
 public:
  explicit LayoutBuilder(const EncoderConfig& config) : config_(config), keys_(KeysOf(config)) {}

  CheckpointLayout Build() {
    layout_.anchor = keys_.patch_embed + ".weight";
    layout_.block_stem = keys_.block;
    layout_.computing_stems = keys_.computing_stems;
    AddEmbedding();
    for (int64_t block = 0; block < config_.blocks; ++block) AddBlock(block);
    if (config_.final_norm) AddNorm("norm", keys_.norm);
    if (config_.pool_norm) AddNorm("pool.norm", keys_.pool_norm);
    if (config_.pool == PoolKind::kAttentionProbe) AddAttentionProbe();
    if (config_.classes > 0) AddLinear("head", {keys_.head}, config_.classes, config_.width);
    return std::move(layout_);
  }

 private:
  void AddVector(std::string name, std::string key, std::vector<int64_t> shape) {
    const int64_t rows = shape.front();
    layout_.vectors.push_back(
        {std::move(name), StoredTensor{std::move(key), std::move(shape), 0, rows}});
  }

  void AddNorm(const std::string& name, const std::string& key) {
    AddVector(name + ".weight", key + ".weight", {config_.width});
    if (config_.norm == NormKind::kLayerNorm) {
      AddVector(name + ".bias", key + ".bias", {config_.width});
    }
  }

  LinearLayout& AddLinear(std::string stem, const std::vector<std::string>& keys, int64_t n,
                          int64_t k) {
    LinearLayout linear;
    linear.stem = std::move(stem);
    linear.n = n;
    linear.k = k;
    const int64_t rows = n / static_cast<int64_t>(keys.size());
    for (const std::string& key : keys) {
      linear.weights.push_back({key + ".weight", {rows, k}, 0, rows});
      linear.biases.push_back({key + ".bias", {rows}, 0, rows});
    }
    layout_.linears.push_back(std::move(linear));
    return layout_.linears.back();
  }

  void AddEmbedding() {
    const int64_t width = config_.width;
    LinearLayout& patch = AddLinear("patch_embed", {keys_.patch_embed}, width,
                                    config_.channels * config_.patch * config_.patch);
    patch.weights.front().shape = {width, config_.channels, config_.patch, config_.patch};
    if (config_.class_token) AddVector("class_token", keys_.class_token, {1, 1, width});
    std::vector<int64_t> table = {config_.tokens(), width};
    if (keys_.leading_one) table.insert(table.begin(), 1);
    AddVector("position", keys_.position, table);
    if (config_.pre_norm) AddNorm("pre_norm", keys_.pre_norm);
  }

  void AddSite(int64_t block, const char* layer, const std::vector<std::string>& keys, int64_t n,
               int64_t k) {
    AddLinear(SiteName(block, layer), keys, n, k).site = true;
  }

  void AddBlock(int64_t block) {
    const std::string from = keys_.block + std::to_string(block) + ".";
    const int64_t width = config_.width;
    AddNorm(SiteName(block, "norm1"), from + keys_.norm1);
    std::vector<std::string> qkv;
    for (const std::string& key : keys_.qkv) qkv.push_back(from + key);
    AddSite(block, "attn.qkv", qkv, 3 * width, width);
    layout_.linears.back().bias_optional = keys_.qkv_bias_optional;
    if (config_.qk_norm) {
      AddVector(SiteName(block, "attn.q_norm.weight"), from + keys_.q_norm + ".weight", {width});
      AddVector(SiteName(block, "attn.k_norm.weight"), from + keys_.k_norm + ".weight", {width});
    }
    AddSite(block, "attn.proj", {from + keys_.proj}, width, width);
    if (config_.layer_scale) AddVector(SiteName(block, "ls1"), from + keys_.scale1, {width});
    AddNorm(SiteName(block, "norm2"), from + keys_.norm2);
    AddSite(block, "mlp.fc1", {from + keys_.fc1}, config_.mlp_width, width);
    AddSite(block, "mlp.fc2", {from + keys_.fc2}, width, config_.mlp_width);
    if (config_.layer_scale) AddVector(SiteName(block, "ls2"), from + keys_.scale2, {width});
  }

  // in_proj holds the rows of q, k and v.
  void AddAttentionProbe() {
    const int64_t width = config_.width;
    AddVector("pool.probe", "head.probe", {1, 1, width});
    LinearLayout& query = AddLinear("pool.q", {"head.attention.in_proj"}, width, width);
    query.weights = {{"head.attention.in_proj_weight", {3 * width, width}, 0, width}};
    query.biases = {{"head.attention.in_proj_bias", {3 * width}, 0, width}};
    LinearLayout& kv = AddLinear("pool.kv", {"head.attention.in_proj"}, 2 * width, width);
    kv.weights = {{"head.attention.in_proj_weight", {3 * width, width}, width, 2 * width}};
    kv.biases = {{"head.attention.in_proj_bias", {3 * width}, width, 2 * width}};
    AddLinear("pool.proj", {"head.attention.out_proj"}, width, width);
    AddNorm("pool.norm", "head.layernorm");
    AddLinear("pool.fc1", {"head.mlp.fc1"}, config_.mlp_width, width);
    AddLinear("pool.fc2", {"head.mlp.fc2"}, width, config_.mlp_width);
  }

  const EncoderConfig& config_;
  FamilyKeys keys_;
  CheckpointLayout layout_;
};

}  // namespace

CheckpointLayout LayoutOf(const EncoderConfig& config) { return LayoutBuilder(config).Build(); }

}  // namespace w8a8
