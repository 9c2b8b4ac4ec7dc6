#include "runtime/encoder/graph.h"

#include <algorithm>

#include <fmt/format.h>

#include "runtime/base/error.h"

namespace w8a8 {
namespace {

// Appends nodes stage by stage. A slot is written again only after the last node that reads it, and
// never between a linear node and the next one, so its input and output can be tapped.
class GraphBuilder {
 public:
  // `embedded_tokens`: 0 where the graph begins with pixels.
  GraphBuilder(const EncoderConfig& config, SlotStorage residual, int64_t embedded_tokens)
      : wide_residual_(residual == SlotStorage::kFloat), from_embeds_(embedded_tokens > 0) {
    graph_.config = config;
    const int64_t tokens = from_embeds_ ? embedded_tokens : config.tokens();
    if (from_embeds_) {
      graph_.pixels = AddSlot("inputs_embeds", tokens, config.width, SlotStorage::kFloat);
    } else {
      graph_.pixels = AddSlot("pixels", config.channels, config.image_height * config.image_width,
                              SlotStorage::kFloat);
    }
    graph_.stream = AddSlot("stream", tokens, config.width, residual);
    normed_ = AddSlot("normed", tokens, config.width);
    qkv_ = AddSpacedSlot("qkv", tokens, 3 * config.width);
    attended_ = AddSlot("attended", tokens, config.width);
    branch_ = AddSpacedSlot("branch", tokens, config.width);
    hidden_ = AddSpacedSlot("hidden", tokens, (config.gated_mlp ? 2 : 1) * config.mlp_width);
    activated_ = AddSlot("activated", tokens, config.mlp_width);
    if (config.mixture.experts > 0) AddMixtureSlots(tokens);
  }

  Graph Build() {
    AddEmbedding();
    for (int64_t block = 0; block < graph_.config.blocks; ++block) AddBlock(block);
    AddOutputs();
    if (graph_.config.variable_grid) MarkTokenSlots();
    return std::move(graph_);
  }

 private:
  SlotId AddSlot(const char* name, int64_t rows, int64_t cols,
                 SlotStorage storage = SlotStorage::kHalf) {
    graph_.slots.push_back({name, rows, cols, storage});
    return static_cast<SlotId>(graph_.slots.size() - 1);
  }

  SlotId AddSpacedSlot(const char* name, int64_t rows, int64_t cols) {
    const SlotId slot = AddSlot(name, rows, cols);
    graph_.slot(slot).spaced = true;
    return slot;
  }

  SlotId AddRoutedSlot(const char* name, int64_t rows, int64_t cols) {
    const SlotId slot = AddSlot(name, rows, cols);
    graph_.slot(slot).tokens = SlotRows::kRouted;
    return slot;
  }

  // All experts of all blocks, one after the other.
  void AddMixtureSlots(int64_t tokens) {
    const int64_t width = graph_.config.width;
    const MixtureConfig& mixture = graph_.config.mixture;
    routing_ = AddSlot("routing", tokens, mixture.experts, SlotStorage::kFloat);
    mixed_ = AddSlot("mixed", tokens, width, SlotStorage::kFloat);
    expert_ = {
        .in = AddRoutedSlot("expert_in", tokens, width),
        .hidden = AddRoutedSlot("expert_hidden", tokens, (mixture.gated ? 2 : 1) * mixture.width),
        .activated = AddRoutedSlot("expert_activated", tokens, mixture.width),
        .out = AddRoutedSlot("expert_out", tokens, width)};
    if (mixture.shared_width == 0) return;
    shared_ = {.in = normed_,
               .hidden = AddSpacedSlot("shared_hidden", tokens, 2 * mixture.shared_width),
               .activated = AddSlot("shared_activated", tokens, mixture.shared_width),
               .out = branch_};
  }

  // Pooled rows are one for each image, whatever the number of its tokens; where no image has more
  // than one token, the two are the same.
  void MarkTokenSlots() {
    const int64_t tokens = graph_.slot(graph_.stream).rows;
    for (Slot& slot : graph_.slots) {
      slot.follows = slot.rows == tokens ? GridExtent::kTokenRows : GridExtent::kNone;
    }
    if (from_embeds_) return;
    graph_.slot(graph_.pixels).follows = GridExtent::kPixelCols;
  }

  Node& Add(NodeKind kind, std::string weight, SlotId in, SlotId out) {
    Node node;
    node.kind = kind;
    node.weight = std::move(weight);
    node.in = in;
    node.out = out;
    graph_.nodes.push_back(std::move(node));
    return graph_.nodes.back();
  }

  void AddSite(int64_t block, std::string_view layer, SlotId in, SlotId out) {
    const std::string site = SiteName(block, layer);
    Add(NodeKind::kLinear, site, in, out).site = site;
  }

  // The slots of one feed-forward step.
  struct MlpSlots {
    SlotId in = kNoSlot, hidden = kNoSlot, activated = kNoSlot, out = kNoSlot;
  };

  // `stem`: "mlp" or "mlp.experts.3".
  void AddMlp(int64_t block, const std::string& stem, NodeKind activation, const MlpSlots& slots) {
    AddSite(block, stem + ".fc1", slots.in, slots.hidden);
    Add(activation, "", slots.hidden, slots.activated);
    AddSite(block, stem + ".fc2", slots.activated, slots.out);
  }

  // moe.md section 4: the rows of each expert, ascending, into one binary32 sum, which is rounded
  // once.
  void AddMixture(int64_t block) {
    const MixtureConfig& mixture = graph_.config.mixture;
    Add(NodeKind::kRoute, SiteName(block, "mlp.router"), normed_, routing_);
    Add(NodeKind::kClear, "", kNoSlot, mixed_);
    const NodeKind activation = mixture.gated ? NodeKind::kGate : NodeKind::kActivation;
    for (int64_t e = 0; e < mixture.experts; ++e) {
      Node& gather = Add(NodeKind::kGather, "", normed_, expert_.in);
      gather.in2 = routing_;
      gather.expert = e;
      AddMlp(block, ExpertStem(e), activation, expert_);
      Node& mix = Add(NodeKind::kMix, "", expert_.out, mixed_);
      mix.in2 = routing_;
      mix.expert = e;
    }
    if (mixture.shared_width > 0) {
      AddMlp(block, kSharedExpertStem, NodeKind::kGate, shared_);
      Add(NodeKind::kMixShared, SiteName(block, "mlp.shared_gate"), shared_.out, mixed_).in2 =
          normed_;
    }
    Add(NodeKind::kConvert, "", mixed_, branch_);
  }

  void AddAttention(SlotId queries, SlotId keys_values, SlotId out, int64_t first_key_col) {
    Node& node = Add(NodeKind::kAttention, "", queries, out);
    node.in2 = keys_values;
    node.k_col = first_key_col;
    node.v_col = first_key_col + graph_.config.width;
  }

  void EndStage() {
    const int32_t first = graph_.stages.empty() ? 0 : graph_.stages.back().last_node;
    graph_.stages.push_back({first, static_cast<int32_t>(graph_.nodes.size())});
  }

  void AddEmbedding() {
    if (from_embeds_) {
      Add(NodeKind::kConvert, "", graph_.pixels, graph_.stream);
    } else if (graph_.config.pre_norm) {
      Add(NodeKind::kEmbed, "patch_embed", graph_.pixels, normed_);
      const SlotId normed = wide_residual_ ? branch_ : graph_.stream;  // a norm writes FP16
      Add(NodeKind::kNorm, "pre_norm", normed_, normed);
      if (wide_residual_) Add(NodeKind::kConvert, "", normed, graph_.stream);
    } else {
      Add(NodeKind::kEmbed, "patch_embed", graph_.pixels, graph_.stream);
    }
    EndStage();
  }

  void AddBlock(int64_t block) {
    const bool scaled = graph_.config.layer_scale;
    Add(NodeKind::kNorm, SiteName(block, "norm1"), graph_.stream, normed_);
    AddSite(block, "attn.qkv", normed_, qkv_);
    if (graph_.config.qk_norm) {
      Add(NodeKind::kQkNorm, SiteName(block, "attn"), qkv_, qkv_).k_col = graph_.config.width;
    }
    AddAttention(qkv_, qkv_, attended_, graph_.config.width);
    AddSite(block, "attn.proj", attended_, branch_);
    Add(NodeKind::kAdd, scaled ? SiteName(block, "ls1") : "", branch_, graph_.stream);
    Add(NodeKind::kNorm, SiteName(block, "norm2"), graph_.stream, normed_);
    if (graph_.config.mixture.in(block)) {
      AddMixture(block);
    } else {
      AddMlp(block, "mlp", graph_.config.gated_mlp ? NodeKind::kGate : NodeKind::kActivation,
             {.in = normed_, .hidden = hidden_, .activated = activated_, .out = branch_});
    }
    Add(NodeKind::kAdd, scaled ? SiteName(block, "ls2") : "", branch_, graph_.stream);
    EndStage();
  }

  void AddOutputs() {
    graph_.tokens = graph_.stream;
    if (graph_.config.final_norm) {
      Add(NodeKind::kNorm, "norm", graph_.stream, normed_);
      graph_.tokens = normed_;
    } else if (wide_residual_) {
      Add(NodeKind::kConvert, "", graph_.stream, normed_);
      graph_.tokens = normed_;
    }
    AddPooling();
    if (graph_.config.projection > 0) {
      graph_.image_embeds = AddSlot("image_embeds", 1, graph_.config.projection);
      Add(NodeKind::kLinear, "projection", graph_.pooled, graph_.image_embeds);
    }
    if (graph_.config.classes > 0) AddClassifier();
    EndStage();
  }

  SlotId AddHeadInput() {
    const EncoderConfig& config = graph_.config;
    if (config.head_input == HeadInput::kPooled) return graph_.pooled;
    const SlotId mean = AddSlot("patch_mean", 1, config.width);
    Add(NodeKind::kMeanRows, "", graph_.tokens, mean).row = config.prefix_tokens;
    if (config.head_input == HeadInput::kMeanOfPatches) return mean;
    const SlotId both = AddSlot("pooled_and_mean", 1, 2 * config.width);
    Add(NodeKind::kConcat, "", graph_.pooled, both).in2 = mean;
    return both;
  }

  void AddClassifier() {
    const SlotId read = AddHeadInput();
    W8A8_CHECK(read != kNoSlot);
    graph_.logits = AddSlot("logits", 1, graph_.config.classes);
    Add(NodeKind::kLinear, "head", read, graph_.logits);
    if (!graph_.config.distilled_head) return;
    const SlotId token = AddSlot("distilled", 1, graph_.config.width);
    const SlotId class_logits = graph_.logits;
    const SlotId distilled_logits = AddSlot("distilled_logits", 1, graph_.config.classes);
    graph_.logits = AddSlot("mean_logits", 1, graph_.config.classes);
    Add(NodeKind::kSelectRow, "", graph_.tokens, token).row = 1;
    Add(NodeKind::kLinear, "head_distilled", token, distilled_logits);
    Add(NodeKind::kAverage, "", class_logits, graph_.logits).in2 = distilled_logits;
  }

  void AddPooling() {
    const EncoderConfig& config = graph_.config;
    if (config.pool == PoolKind::kNone) return;
    if (config.pool == PoolKind::kAttentionProbe) return AddAttentionProbe();
    graph_.pooled = AddSlot("pooled", 1, config.width);
    if (config.pool == PoolKind::kFirstToken) {
      Add(NodeKind::kSelectRow, "", graph_.tokens, graph_.pooled).row = 0;
    } else {
      Add(NodeKind::kMeanRows, "", graph_.tokens, graph_.pooled).row = config.prefix_tokens;
    }
    if (config.pool_norm) {
      const SlotId normed = AddSlot("pooled_normed", 1, config.width);
      Add(NodeKind::kNorm, "pool.norm", graph_.pooled, normed);
      graph_.pooled = normed;
    }
    if (config.pooler > 0) AddPooler();
  }

  void AddPooler() {
    const SlotId dense = AddSlot("pooler_dense", 1, graph_.config.pooler);
    const SlotId pooled = AddSlot("pooler", 1, graph_.config.pooler);
    Add(NodeKind::kLinear, "pooler", graph_.pooled, dense);
    Add(NodeKind::kTanh, "", dense, pooled);
    graph_.pooled = pooled;
  }

  // h = proj(attention(probe, tokens)); pooled = h + mlp(norm(h)).
  void AddAttentionProbe() {
    const EncoderConfig& config = graph_.config;
    const SlotId probe = AddSlot("probe", 1, config.width);
    const SlotId query = AddSlot("pool_query", 1, config.width);
    const int64_t tokens = graph_.slot(graph_.tokens).rows;
    const SlotId keys_values = AddSpacedSlot("pool_kv", tokens, 2 * config.width);
    const SlotId attended = AddSlot("pool_attended", 1, config.width);
    const SlotId normed = AddSlot("pool_normed", 1, config.width);
    const SlotId hidden = AddSlot("pool_hidden", 1, config.mlp_width);
    const SlotId activated = AddSlot("pool_activated", 1, config.mlp_width);
    const SlotId branch = AddSlot("pool_branch", 1, config.width);
    graph_.pooled = AddSlot("pooled", 1, config.width);
    Add(NodeKind::kBroadcast, "pool.probe", kNoSlot, probe);
    Add(NodeKind::kLinear, "pool.q", probe, query);
    Add(NodeKind::kLinear, "pool.kv", graph_.tokens, keys_values);
    AddAttention(query, keys_values, attended, 0);
    Add(NodeKind::kLinear, "pool.proj", attended, graph_.pooled);
    Add(NodeKind::kNorm, "pool.norm", graph_.pooled, normed);
    Add(NodeKind::kLinear, "pool.fc1", normed, hidden);
    Add(NodeKind::kActivation, "", hidden, activated);
    Add(NodeKind::kLinear, "pool.fc2", activated, branch);
    Add(NodeKind::kAdd, "", branch, graph_.pooled);
  }

  const bool wide_residual_;
  const bool from_embeds_;
  Graph graph_;
  SlotId normed_, qkv_, attended_, branch_, hidden_, activated_;
  SlotId routing_ = kNoSlot, mixed_ = kNoSlot;  // where blocks have experts
  MlpSlots expert_, shared_;
};

}  // namespace

std::string SiteName(int64_t block, std::string_view layer) {
  return fmt::format("blocks.{}.{}", block, layer);
}

std::string ExpertStem(int64_t expert) { return fmt::format("mlp.experts.{}", expert); }

std::vector<std::string> Graph::Sites() const {
  std::vector<std::string> sites;
  for (const Node& node : nodes) {
    if (!node.site.empty()) sites.push_back(node.site);
  }
  return sites;
}

const Slot& Graph::InputSlotOf(const std::string& site) const {
  const auto node = std::find_if(nodes.begin(), nodes.end(),
                                 [&site](const Node& candidate) { return candidate.site == site; });
  W8A8_CHECK(node != nodes.end());
  return slot(node->in);
}

int64_t Graph::InputsOf(const std::string& site) const { return InputSlotOf(site).cols; }

bool Graph::IsRouted(const std::string& site) const {
  return InputSlotOf(site).tokens == SlotRows::kRouted;
}

std::map<std::string, int> Graph::StagesOfSites() const {
  std::map<std::string, int> found;
  for (size_t stage = 0; stage < stages.size(); ++stage) {
    for (int32_t i = stages[stage].first_node; i < stages[stage].last_node; ++i) {
      const std::string& site = nodes[static_cast<size_t>(i)].site;
      if (!site.empty()) found[site] = static_cast<int>(stage);
    }
  }
  return found;
}

std::vector<Slot> AtGrid(std::vector<Slot> slots, const EncoderConfig& config, PatchGrid grid) {
  if (!grid.given()) return slots;
  W8A8_CHECK(config.variable_grid && grid.patches() >= 1 && grid.patches() <= config.patches());
  for (Slot& slot : slots) {
    if (slot.follows == GridExtent::kTokenRows) slot.rows = grid.patches() + config.prefix_tokens;
    if (slot.follows == GridExtent::kPixelCols) {
      slot.cols = grid.patches() * config.patch * config.patch;
    }
  }
  return slots;
}

Graph BuildGraph(const EncoderConfig& config, SlotStorage residual) {
  return GraphBuilder(config, residual, 0).Build();
}

Graph BuildGraphFromEmbeds(const EncoderConfig& config, int64_t tokens, SlotStorage residual) {
  W8A8_CHECK(tokens > 0);
  return GraphBuilder(config, residual, tokens).Build();
}

}  // namespace w8a8
