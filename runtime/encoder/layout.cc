#include "runtime/encoder/layout.h"

#include <span>

#include <fmt/format.h>

#include "runtime/encoder/family_keys.h"
#include "runtime/encoder/graph.h"

namespace w8a8 {
namespace {

class LayoutBuilder {
 public:
  explicit LayoutBuilder(const EncoderConfig& config) : config_(config), keys_(KeysOf(config)) {}

  CheckpointLayout Build() {
    layout_.anchor = keys_.patch_embed + ".weight";
    layout_.block_stem = keys_.block;
    layout_.computing_stems = keys_.computing_stems;
    AddEmbedding();
    for (int64_t block = 0; block < config_.blocks; ++block) AddBlock(block);
    AddUnreadBlocks();
    if (config_.final_norm) AddNorm("norm", keys_.norm);
    if (config_.pool_norm) AddNorm("pool.norm", keys_.pool_norm);
    if (config_.pool == PoolKind::kAttentionProbe) AddAttentionProbe();
    if (config_.pooler > 0) AddLinear("pooler", {keys_.pooler}, config_.pooler, config_.width);
    if (config_.projection > 0) AddProjection();
    if (config_.classes > 0) {
      const int64_t rows_read = config_.head_input == HeadInput::kPooledAndMean ? 2 : 1;
      AddLinear("head", {keys_.head}, config_.classes, rows_read * config_.width);
    }
    if (config_.distilled_head) {
      AddLinear("head_distilled", {keys_.distillation_head}, config_.classes, config_.width);
    }
    return std::move(layout_);
  }

 private:
  void AddVector(std::string name, std::string key, std::vector<int64_t> shape) {
    layout_.vectors.push_back({std::move(name), {Whole(std::move(key), std::move(shape))}});
  }

  static StoredTensor Whole(std::string key, std::vector<int64_t> shape) {
    const int64_t rows = shape.front();
    return {std::move(key), std::move(shape), 0, rows};
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
    if (config_.variable_grid) {
      patch.channels_last = config_.channels;
    } else {
      patch.weights.front().shape = {width, config_.channels, config_.patch, config_.patch};
    }
    if (!config_.patch_bias) patch.biases.clear();
    if (config_.prefix_tokens > 0) AddPrefix();
    std::vector<int64_t> table = {config_.table_tokens(), width};
    if (keys_.position_rank == 3) table.insert(table.begin(), 1);
    AddVector("position", keys_.position, table);
    if (config_.pre_norm) AddNorm("pre_norm", keys_.pre_norm);
  }

  void AddPrefix() {
    VectorLayout prefix{"prefix", {}};
    std::vector<int64_t> token = {config_.width};
    if (keys_.class_token_rank == 3) token = {1, 1, config_.width};
    prefix.tensors.push_back(Whole(keys_.class_token, token));
    if (config_.prefix_tokens - config_.registers == 2) {
      prefix.tensors.push_back(Whole(keys_.distillation_token, token));
    }
    if (config_.registers > 0) {
      prefix.tensors.push_back(Whole(keys_.register_tokens, {1, config_.registers, config_.width}));
    }
    layout_.vectors.push_back(std::move(prefix));
  }

  LinearLayout& AddSite(int64_t block, std::string_view layer, const std::vector<std::string>& keys,
                        int64_t n, int64_t k) {
    LinearLayout& linear = AddLinear(SiteName(block, layer), keys, n, k);
    linear.site = true;
    return linear;
  }

  void AddBlock(int64_t block) {
    const std::string from = keys_.block + std::to_string(block) + ".";
    const int64_t width = config_.width;
    AddNorm(SiteName(block, "norm1"), from + keys_.norm1);
    std::vector<std::string> qkv;
    for (const std::string& key : keys_.qkv) qkv.push_back(from + key);
    AddSite(block, "attn.qkv", qkv, 3 * width, width);
    layout_.linears.back().bias_optional = keys_.qkv_bias_optional;
    if (!config_.qkv_bias) layout_.linears.back().biases.clear();
    if (keys_.fused_in_proj) {
      layout_.linears.back().weights = {Whole(qkv.front() + "_weight", {3 * width, width})};
      layout_.linears.back().biases = {Whole(qkv.front() + "_bias", {3 * width})};
    }
    if (config_.qk_norm) {
      AddVector(SiteName(block, "attn.q_norm.weight"), from + keys_.q_norm + ".weight", {width});
      AddVector(SiteName(block, "attn.k_norm.weight"), from + keys_.k_norm + ".weight", {width});
    }
    AddSite(block, "attn.proj", {from + keys_.proj}, width, width);
    if (config_.layer_scale) AddVector(SiteName(block, "ls1"), from + keys_.scale1, {width});
    AddNorm(SiteName(block, "norm2"), from + keys_.norm2);
    if (config_.mixture.in(block)) {
      AddMixture(block, from + config_.mixture.stem);
    } else {
      AddSite(block, "mlp.fc1", {from + keys_.fc1}, (config_.gated_mlp ? 2 : 1) * config_.mlp_width,
              width);
      AddSite(block, "mlp.fc2", {from + keys_.fc2}, width, config_.mlp_width);
    }
    if (config_.layer_scale) AddVector(SiteName(block, "ls2"), from + keys_.scale2, {width});
  }

  void AddUnreadBlocks() {
    const size_t linears = layout_.linears.size(), vectors = layout_.vectors.size();
    for (int64_t block = 0; block < config_.unread_blocks; ++block) {
      AddBlock(config_.blocks + block);
    }
    for (LinearLayout& linear : std::span(layout_.linears).subspan(linears)) {
      linear.site = false;
      linear.unread = true;
    }
    for (VectorLayout& vector : std::span(layout_.vectors).subspan(vectors)) vector.unread = true;
  }

  void AddMixture(int64_t block, const std::string& from) {
    const MixtureConfig& mixture = config_.mixture;
    const int64_t width = config_.width, shared = mixture.shared_width;
    AddVector(SiteName(block, "mlp.router"), from + "gate.weight", {mixture.experts, width});
    for (int64_t e = 0; e < mixture.experts; ++e) AddExpert(block, from + "experts.", e);
    if (shared == 0) return;
    const std::string stem = from + "shared_expert.", site = kSharedExpertStem;
    AddSite(block, site + ".fc1", {stem + "gate_proj", stem + "up_proj"}, 2 * shared, width)
        .biases.clear();
    AddSite(block, site + ".fc2", {stem + "down_proj"}, width, shared).biases.clear();
    AddVector(SiteName(block, "mlp.shared_gate"), from + "shared_expert_gate.weight", {1, width});
  }

  void AddExpert(int64_t block, const std::string& from, int64_t expert) {
    const MixtureConfig& mixture = config_.mixture;
    const ExpertKeys& keys = ExpertKeysOf(mixture);
    const std::string own = fmt::format("{}{}.", from, expert);
    std::vector<std::string> up = keys.fc1, down = {keys.fc2};
    if (keys.stacked) {  // llm-compressor's names for what it takes out of a stack
      up = {"gate_proj", "up_proj"};
      down = {"down_proj"};
    }
    for (std::string& name : up) name.insert(0, own);
    down.front().insert(0, own);
    const int64_t rows = (mixture.gated ? 2 : 1) * mixture.width;
    LinearLayout& fc1 = AddSite(block, ExpertStem(expert) + ".fc1", up, rows, config_.width);
    if (keys.stacked) TakeFromStack(fc1, expert, from + keys.fc1.front(), from + keys.fc1_bias);
    if (keys.stacked) fc1.alone = std::move(up);
    if (!mixture.fc1_bias) fc1.biases.clear();
    LinearLayout& fc2 =
        AddSite(block, ExpertStem(expert) + ".fc2", down, config_.width, mixture.width);
    if (keys.stacked) TakeFromStack(fc2, expert, from + keys.fc2, from + keys.fc2_bias);
    if (keys.stacked) fc2.alone = std::move(down);
    if (!mixture.fc2_bias) fc2.biases.clear();
  }

  void TakeFromStack(LinearLayout& linear, int64_t expert, const std::string& key,
                     const std::string& bias) const {
    const int64_t experts = config_.mixture.experts;
    const bool transposed = ExpertKeysOf(config_.mixture).transposed;
    const int64_t rows = transposed ? linear.k : linear.n;
    const int64_t columns = transposed ? linear.n : linear.k;
    linear.weights = {{.key = key,
                       .shape = {experts, rows, columns},
                       .first_row = expert * rows,
                       .rows = rows,
                       .transposed = transposed,
                       .row_dims = 2}};
    linear.biases = {{.key = bias,
                      .shape = {experts, linear.n},
                      .first_row = expert * linear.n,
                      .rows = linear.n,
                      .row_dims = 2}};
  }

  void AddProjection() {
    LinearLayout& linear =
        AddLinear("projection", {keys_.projection}, config_.projection, config_.width);
    linear.biases.clear();
    if (!keys_.projection_transposed) return;
    linear.weights = {Whole(keys_.projection, {config_.width, config_.projection})};
    linear.weights.front().transposed = true;
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

std::string FullKey(const std::string& prefix, const std::string& key) {
  if (key.front() != kBesideTower) return prefix + key;
  const size_t dot = prefix.size() < 2 ? std::string::npos : prefix.rfind('.', prefix.size() - 2);
  return (dot == std::string::npos ? "" : prefix.substr(0, dot + 1)) + key.substr(1);
}

CheckpointLayout LayoutOf(const EncoderConfig& config) { return LayoutBuilder(config).Build(); }

}  // namespace w8a8
