#include "runtime/encoder/graph.h"

#include <set>

#include <gtest/gtest.h>

#include "tests/encoder/small_models.h"

namespace w8a8::test {
namespace {

// A ViT with a class token and a classifier, as timm has it.
EncoderConfig TinyVit() {
  EncoderConfig config = TinySiglip();
  config.family = "timm-vit";
  config.prefix_tokens = 1;
  config.pool = PoolKind::kFirstToken;
  config.classes = 10;
  return config;
}

std::vector<NodeKind> KindsOf(const Graph& graph, const Stage& stage) {
  std::vector<NodeKind> kinds;
  for (int32_t i = stage.first_node; i < stage.last_node; ++i) {
    kinds.push_back(graph.nodes[static_cast<size_t>(i)].kind);
  }
  return kinds;
}

TEST(Graph, SitesAreTheFourLinearLayersOfEachBlockInOrder) {
  const std::vector<std::string> expected = {
      "blocks.0.attn.qkv", "blocks.0.attn.proj", "blocks.0.mlp.fc1", "blocks.0.mlp.fc2",
      "blocks.1.attn.qkv", "blocks.1.attn.proj", "blocks.1.mlp.fc1", "blocks.1.mlp.fc2"};
  EXPECT_EQ(BuildGraph(TinySiglip()).Sites(), expected);
  EXPECT_EQ(BuildGraph(TinyVit()).Sites(), expected);
}

TEST(Graph, StagesAreTheEmbeddingEachBlockAndTheOutputs) {
  const Graph graph = BuildGraph(TinyVit());
  ASSERT_EQ(graph.stages.size(), 4u);
  EXPECT_EQ(KindsOf(graph, graph.stages[0]), std::vector<NodeKind>{NodeKind::kEmbed});
  const std::vector<NodeKind> block = {
      NodeKind::kNorm, NodeKind::kLinear, NodeKind::kAttention,  NodeKind::kLinear, NodeKind::kAdd,
      NodeKind::kNorm, NodeKind::kLinear, NodeKind::kActivation, NodeKind::kLinear, NodeKind::kAdd};
  EXPECT_EQ(KindsOf(graph, graph.stages[1]), block);
  EXPECT_EQ(KindsOf(graph, graph.stages[2]), block);
  const std::vector<NodeKind> outputs = {NodeKind::kNorm, NodeKind::kSelectRow, NodeKind::kLinear};
  EXPECT_EQ(KindsOf(graph, graph.stages[3]), outputs);
  EXPECT_EQ(graph.stages.back().last_node, static_cast<int32_t>(graph.nodes.size()));
}

TEST(Graph, OutputSlotsHaveTheShapesOfTheModel) {
  const Graph graph = BuildGraph(TinyVit());
  EXPECT_EQ(graph.slot(graph.tokens).rows, 17);  // 4 x 4 patches and the class token
  EXPECT_EQ(graph.slot(graph.tokens).cols, 64);
  EXPECT_EQ(graph.slot(graph.pooled).rows, 1);
  EXPECT_EQ(graph.slot(graph.logits).cols, 10);
  EXPECT_EQ(graph.slot(graph.pixels).cols, 32 * 32);
}

TEST(Graph, AttentionProbeReadsOneQueryAndTheTokensKeysAndValues) {
  const Graph graph = BuildGraph(TinySiglip());
  const Stage last = graph.stages.back();
  const Node* attention = nullptr;
  for (int32_t i = last.first_node; i < last.last_node; ++i) {
    const Node& node = graph.nodes[static_cast<size_t>(i)];
    if (node.kind == NodeKind::kAttention) attention = &node;
  }
  ASSERT_NE(attention, nullptr);
  EXPECT_EQ(graph.slot(attention->in).rows, 1);
  EXPECT_EQ(graph.slot(attention->in2).rows, 16);
  EXPECT_EQ(graph.slot(attention->in2).cols, 128);
  EXPECT_EQ(attention->q_col, 0);
  EXPECT_EQ(attention->k_col, 0);
  EXPECT_EQ(attention->v_col, 64);
  EXPECT_EQ(graph.nodes.back().kind, NodeKind::kAdd);
  EXPECT_EQ(graph.nodes.back().out, graph.pooled);
}

TEST(Graph, LinearNodesNeverWriteTheirOwnInputAndShapesAgree) {
  for (const EncoderConfig& config : {TinySiglip(), TinyVit()}) {
    const Graph graph = BuildGraph(config);
    for (const Node& node : graph.nodes) {
      if (node.kind != NodeKind::kLinear) continue;
      EXPECT_NE(node.in, node.out) << node.weight;
      EXPECT_EQ(graph.slot(node.in).rows, graph.slot(node.out).rows) << node.weight;
    }
  }
}

TEST(Graph, EveryNodeReadsASlotThatWasWrittenBefore) {
  for (const EncoderConfig& config : {TinySiglip(), TinyVit()}) {
    const Graph graph = BuildGraph(config);
    std::set<SlotId> written = {graph.pixels};
    for (const Node& node : graph.nodes) {
      for (const SlotId slot : {node.in, node.in2}) {
        EXPECT_TRUE(slot == kNoSlot || written.contains(slot)) << node.weight;
      }
      written.insert(node.out);
    }
  }
}

TEST(Graph, BetweenStagesOnlyTheStreamIsAlive) {
  const Graph graph = BuildGraph(TinySiglip());
  for (const Stage& stage : graph.stages) {
    std::set<SlotId> written = {graph.pixels, graph.stream};
    for (int32_t i = stage.first_node; i < stage.last_node; ++i) {
      const Node& node = graph.nodes[static_cast<size_t>(i)];
      for (const SlotId slot : {node.in, node.in2}) {
        EXPECT_TRUE(slot == kNoSlot || written.contains(slot)) << node.weight;
      }
      written.insert(node.out);
    }
  }
}

// The fields for families that have no reader yet change nodes, not the builder.
TEST(Graph, PreNormLayerScaleAndQkNormAreNodesOfTheSameGraph) {
  EncoderConfig config = TinyVit();
  config.pre_norm = true;
  config.layer_scale = true;
  config.qk_norm = true;
  config.norm = NormKind::kRmsNorm;
  const Graph graph = BuildGraph(config);
  EXPECT_EQ(KindsOf(graph, graph.stages[0]),
            (std::vector<NodeKind>{NodeKind::kEmbed, NodeKind::kNorm}));
  EXPECT_EQ(graph.nodes[1].out, graph.stream);
  const Node& qk_norm = graph.nodes[static_cast<size_t>(graph.stages[1].first_node + 2)];
  EXPECT_EQ(qk_norm.kind, NodeKind::kQkNorm);
  EXPECT_EQ(qk_norm.weight, "blocks.0.attn");
  EXPECT_EQ(qk_norm.k_col, 64);
  EXPECT_EQ(graph.nodes[static_cast<size_t>(graph.stages[1].last_node - 1)].weight, "blocks.0.ls2");
}

TEST(Graph, AGatedMlpIsTwiceAsWideBeforeItsGate) {
  EncoderConfig config = TinyVit();
  config.gated_mlp = true;
  const Graph graph = BuildGraph(config);
  const Node& fc1 = graph.nodes[static_cast<size_t>(graph.stages[1].first_node + 6)];
  const Node& gate = graph.nodes[static_cast<size_t>(graph.stages[1].first_node + 7)];
  EXPECT_EQ(fc1.site, "blocks.0.mlp.fc1");
  EXPECT_EQ(graph.slot(fc1.out).cols, 2 * config.mlp_width);
  EXPECT_EQ(gate.kind, NodeKind::kGate);
  EXPECT_EQ(graph.slot(gate.out).cols, config.mlp_width);
}

TEST(Graph, TheLogitsOfADistilledModelAreTheMeanOfTwoClassifiers) {
  EncoderConfig config = TinyVit();
  config.prefix_tokens = 2;
  config.distilled_head = true;
  const Graph graph = BuildGraph(config);
  const std::vector<NodeKind> outputs = {NodeKind::kNorm,   NodeKind::kSelectRow,
                                         NodeKind::kLinear, NodeKind::kSelectRow,
                                         NodeKind::kLinear, NodeKind::kAverage};
  EXPECT_EQ(KindsOf(graph, graph.stages.back()), outputs);
  EXPECT_EQ(graph.nodes.back().out, graph.logits);
  EXPECT_EQ(graph.slot(graph.logits).cols, config.classes);
}

TEST(Graph, AProjectionMakesTheImageEmbeddingBesideThePooledOutput) {
  EncoderConfig config = TinyVit();
  config.classes = 0;
  config.projection = 24;
  const Graph graph = BuildGraph(config);
  EXPECT_EQ(graph.nodes.back().weight, "projection");
  EXPECT_EQ(graph.slot(graph.image_embeds).cols, 24);
  EXPECT_EQ(graph.slot(graph.pooled).cols, config.width);
}

TEST(Graph, APoolerReplacesThePooledOutput) {
  EncoderConfig config = TinyVit();
  config.classes = 0;
  config.pooler = 40;
  const Graph graph = BuildGraph(config);
  EXPECT_EQ(graph.nodes.back().kind, NodeKind::kTanh);
  EXPECT_EQ(graph.slot(graph.pooled).cols, 40);
}

TEST(Graph, AClassifierReadsTheMeanOfThePatchesAloneOrBesideThePooledOutput) {
  EncoderConfig config = TinyVit();
  config.prefix_tokens = 4;
  config.registers = 3;
  config.head_input = HeadInput::kMeanOfPatches;
  const Graph alone = BuildGraph(config);
  const Node& head = alone.nodes.back();
  EXPECT_TRUE(head.weight == "head" && head.out == alone.logits && head.in != alone.pooled);
  EXPECT_EQ(alone.nodes[alone.nodes.size() - 2].kind, NodeKind::kMeanRows);
  EXPECT_EQ(alone.nodes[alone.nodes.size() - 2].row, 4);
  config.head_input = HeadInput::kPooledAndMean;
  const Graph beside = BuildGraph(config);
  EXPECT_EQ(beside.slot(beside.nodes.back().in).cols, 2 * config.width);
  EXPECT_EQ(beside.nodes[beside.nodes.size() - 2].in, beside.pooled);
}

TEST(Graph, OnlyTheStreamIsWideWithABinary32Residual) {
  for (const bool final_norm : {true, false}) {
    EncoderConfig config = TinyVit();
    config.pre_norm = true;
    config.final_norm = final_norm;
    const Graph graph = BuildGraph(config, SlotStorage::kFloat);
    for (SlotId id = 0; id < static_cast<SlotId>(graph.slots.size()); ++id) {
      const bool wide = graph.slot(id).storage == SlotStorage::kFloat;
      EXPECT_EQ(wide, id == graph.pixels || id == graph.stream) << graph.slot(id).name;
    }
    EXPECT_EQ(KindsOf(graph, graph.stages[0]),
              (std::vector<NodeKind>{NodeKind::kEmbed, NodeKind::kNorm, NodeKind::kConvert}));
    EXPECT_NE(graph.tokens, graph.stream);
    for (const Node& node : graph.nodes) {
      const bool writes_stream = node.out == graph.stream;
      const bool may = node.kind == NodeKind::kConvert || node.kind == NodeKind::kAdd;
      EXPECT_TRUE(!writes_stream || may) << node.weight;
    }
  }
}

// As many tokens as there are pooled rows (1) or channels (3): what the slots must not be told
// apart by.
TEST(Graph, OfAVariableGridKnowsItsTokenSlotsForAnyNumberOfTokens) {
  for (const int64_t tokens : {1, 3, 4, 256}) {
    EncoderConfig config = TinySiglip();
    config.family = "siglip2";
    config.variable_grid = true;
    SetMaxPatches(tokens, &config);
    ASSERT_EQ(config.tokens(), tokens);
    const Graph pixels = BuildGraph(config);
    EXPECT_EQ(pixels.slot(pixels.stream).follows, GridExtent::kTokenRows) << tokens;
    EXPECT_EQ(pixels.slot(pixels.pixels).follows, GridExtent::kPixelCols) << tokens;
    if (tokens > 1) {
      EXPECT_EQ(pixels.slot(pixels.pooled).follows, GridExtent::kNone);
    }
  }
}

}  // namespace
}  // namespace w8a8::test
