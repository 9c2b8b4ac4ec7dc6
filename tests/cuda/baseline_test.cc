// The forwards that speed is compared with, on a stand-in for the library: what they leave to it,
// what it refuses, and how far their outputs are from the reference's.
#include "runtime/cuda/baseline.h"

#include <algorithm>
#include <functional>
#include <utility>

#include <gtest/gtest.h>

#include "eval/bench/device_forward.h"
#include "eval/bench/made_encoder.h"
#include "eval/bench/steady_forward.h"
#include "runtime/base/error.h"
#include "runtime/cuda/portable_backend.h"
#include "runtime/fuse_products.h"
#include "tests/cuda/backend_on_device.h"
#include "tests/cuda/device_test.h"
#include "tests/cuda/stand_in_library.h"
#include "tests/support/errors.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

using Kind = LibraryProduct::Kind;
using Log = std::vector<LibraryProduct>;

class Baselines : public DeviceTest {};

// Of an encoder of hash weights: FP16 sums of another order, 60 dB and more; E4M3, whose codes have
// four significant bits, some 25; INT8 30 to 40. A wrong forward has none.
constexpr double kLeastHalfDb = 50, kLeastFp8Db = 15, kLeastInt8Db = 15;
constexpr int64_t kBlocks = 1;
constexpr const char* kOwn = "; attention by our kernels (none in this test)";

EncoderConfig SmallConfig() {
  EncoderConfig config = SmallEncoder().config;
  config.blocks = kBlocks;
  return config;
}

BaselineLibraries LibrariesOf(Log* log, const StandInLibrary::Takes& takes) {
  return {.products = std::make_unique<StandInLibrary>(log, takes),
          .attention = nullptr,
          .no_attention = "none in this test"};
}
bool Everything(const LibraryProduct&) { return true; }
bool Nothing(const LibraryProduct&) { return false; }

int64_t Count(const Log& log, const std::function<bool(const LibraryProduct&)>& is) {
  return std::ranges::count_if(log, is);
}

// The output of the second forward; the first one warms up. Both are equal, though it finds what
// the first one left.
std::vector<Half> OutputOf(const EncoderConfig& config, Backend& backend, int64_t images = 1) {
  const Graph graph = BuildGraph(config);
  const MadeWeights weights(config);
  const std::vector<ForwardVariant> variants{{Precision::kFp16, AttentionPrecision::kFp32}};
  const std::vector<LoweredEncoder> lowered = LowerEncoder(graph, weights, backend, variants);
  SteadyForward forward(lowered[0], backend, images);
  const auto tokens = [&forward] {
    const MatView<const Half> out = forward.Tokens();
    return std::vector<Half>(out.data, out.data + out.rows * out.cols);
  };
  const std::vector<Half> first = tokens();
  forward.Run();
  EXPECT_EQ(Equal(first, tokens()), "");
  return tokens();
}

std::vector<Half> ReferenceOf(const EncoderConfig& config) {
  CudaBackend backend(0);  // by our own products, as the baselines'
  return OutputOf(config, backend);
}
const std::vector<Half>& SmallReference() {
  static const std::vector<Half> reference = ReferenceOf(SmallConfig());
  return reference;
}

double Db(const std::vector<Half>& reference, const std::vector<Half>& actual) {
  const auto count = static_cast<int64_t>(reference.size());
  return SqnrDb({reference.data(), 1, count, count}, {actual.data(), 1, count, count});
}

TEST_F(Baselines, OfFp16LeavesBiasGeluAndResidualToTheLibrary) {
  Log log;
  BaselineBackend baseline(0, BaselineKind::kHalf, LibrariesOf(&log, Everything), nullptr);
  const EncoderConfig config = SmallConfig();
  EXPECT_GT(Db(SmallReference(), OutputOf(config, baseline)), kLeastHalfDb);
  EXPECT_EQ(
      baseline.How(),
      std::string("in products: bias, GELU, residual; by steps of their own: nothing") + kOwn);
  EXPECT_GE(Count(log, [](const auto& p) { return p.gelu; }), 2 * kBlocks);
  EXPECT_GE(Count(log, [](const auto& p) { return p.add; }), 2 * 2 * kBlocks);
  EXPECT_EQ(Count(log, [](const auto& p) { return p.kind != Kind::kHalfToHalf; }), 0);
}

TEST_F(Baselines, OfFp8MakesItsCodesInTheStepsBeforeTheProducts) {
  Log log;
  BaselineBackend baseline(0, BaselineKind::kFp8, LibrariesOf(&log, Everything), nullptr);
  const EncoderConfig config = SmallConfig();
  const double db = Db(SmallReference(), OutputOf(config, baseline));
  EXPECT_GT(db, kLeastFp8Db);
  EXPECT_LT(db, kLeastHalfDb);
  EXPECT_EQ(baseline.How(),
            "in products: bias, GELU, residual, E4M3 of GELU; by steps of their own: E4M3 of "
            "attention or others; E4M3 in the step before" +
                std::string(kOwn));
  EXPECT_GE(Count(log, [](const auto& p) { return p.kind == Kind::kFp8ToFp8; }), kBlocks);
  EXPECT_EQ(Count(log, [](const auto& p) { return p.kind == Kind::kHalfToHalf; }), 0);
}

// Each refusal costs its own step and nothing of the output.
TEST_F(Baselines, OfFp8DoWithoutWhatTheLibraryRefuses) {
  const EncoderConfig config = SmallConfig();
  const std::vector<Half> reference = SmallReference();
  const StandInLibrary::Takes takes[] = {
      [](const LibraryProduct& p) { return p.kind != Kind::kFp8ToFp8; },
      [](const LibraryProduct& p) { return !p.gelu; },
      [](const LibraryProduct& p) { return !p.add; },
      [](const LibraryProduct& p) { return p.kind == Kind::kHalfToHalf; }};
  const char* const said[] = {"in products: bias, GELU, residual; ",
                              "by steps of their own: activation",
                              "by steps of their own: residual", "some products in FP16"};
  for (size_t i = 0; i < std::size(takes); ++i) {
    Log log;
    BaselineBackend baseline(0, BaselineKind::kFp8, LibrariesOf(&log, takes[i]), nullptr);
    EXPECT_GT(Db(reference, OutputOf(config, baseline)), i < 3 ? kLeastFp8Db : kLeastHalfDb) << i;
    EXPECT_NE(baseline.How().find(said[i]), std::string::npos) << baseline.How();
  }
}

TEST_F(Baselines, WithALibraryThatTakesNothingHaveTheReferencesBits) {
  const EncoderConfig config = SmallConfig();
  const std::vector<Half> reference = SmallReference();
  for (const auto kind : {BaselineKind::kHalf, BaselineKind::kFp8}) {
    Log log;
    BaselineBackend baseline(0, kind, LibrariesOf(&log, Nothing), nullptr);
    EXPECT_EQ(Equal(reference, OutputOf(config, baseline)), "");
    EXPECT_EQ(baseline.How(),
              "in products: nothing; by steps of their own: activation, residual; some products by "
              "our kernels, the library has none" +
                  std::string(kOwn));
  }
}

TEST_F(Baselines, DoWhatTheLibraryCannotByStepsOfTheirOwn) {
  EncoderConfig config = SmallConfig();
  config.activation = ActivationKind::kGeluErf;
  config.layer_scale = true;
  const std::vector<Half> reference = ReferenceOf(config);
  for (const auto kind : {BaselineKind::kHalf, BaselineKind::kFp8}) {
    Log log;
    BaselineBackend baseline(0, kind, LibrariesOf(&log, Everything), nullptr);
    EXPECT_GT(Db(reference, OutputOf(config, baseline)),
              kind == BaselineKind::kHalf ? kLeastHalfDb : kLeastFp8Db);
    EXPECT_NE(baseline.How().find("by steps of their own: activation, residual"), std::string::npos)
        << baseline.How();
    EXPECT_EQ(Count(log, [](const auto& p) { return p.gelu; }), 0);
    // The pooling's residual alone has no layer scale.
    EXPECT_EQ(Count(log, [](const auto& p) { return p.add; }), 2);
  }
}

// FP16 where its rows are so many, FP8 elsewhere.
TEST_F(Baselines, OfFp8StayFp16AtTheRowsThatTheLibraryRefuses) {
  const EncoderConfig config = SmallConfig();
  const int64_t refused = 2 * config.tokens();
  const auto is_fp8 = [](const LibraryProduct& p) { return p.kind != Kind::kHalfToHalf; };
  const auto takes = [=](const LibraryProduct& p) { return !is_fp8(p) || p.m != refused; };
  const std::unique_ptr<Backend> reference = MakeBackendOnDevice();
  Log log;
  BaselineBackend baseline(0, BaselineKind::kFp8, LibrariesOf(&log, takes), nullptr);
  const auto fp8_of = [&](int64_t rows) {
    return Count(log, [=](const auto& p) { return is_fp8(p) && p.m == rows; });
  };
  OutputOf(config, baseline);
  EXPECT_GT(fp8_of(config.tokens()), 0);
  EXPECT_EQ(baseline.How().find("some products in FP16"), std::string::npos) << baseline.How();
  EXPECT_GT(Db(OutputOf(config, *reference, 2), OutputOf(config, baseline, 2)), kLeastFp8Db);
  EXPECT_EQ(fp8_of(refused), 0);
  EXPECT_NE(baseline.How().find("some products in FP16"), std::string::npos) << baseline.How();
}

// A baseline whose libraries are made when it is opened.
SpeedBaseline Named(const char* name, BaselineKind kind,
                    const std::function<BaselineLibraries()>& libraries) {
  return {.name = name, .unusable_reason = "", .open = [=]() -> SpeedBaseline::Opened {
            auto backend = std::make_unique<BaselineBackend>(0, kind, libraries(), nullptr);
            const BaselineBackend& made = *backend;
            return {std::move(backend), [&made] { return made.How(); }};
          }};
}

std::vector<ForwardResult> MeasureSmall(
    const std::vector<int64_t>& batches, const std::vector<SpeedBaseline>& baselines,
    const EncoderConfig& config = SmallConfig(),
    const std::function<std::unique_ptr<Backend>()>& make_backend = MakeBackendOnDevice) {
  const Graph graph = BuildGraph(config);
  const MadeWeights weights(config);
  return MeasureDeviceForward(
      {.name = "small", .graph = graph, .weights = weights, .all_blocks = kBlocks, .made = true},
      {.kernels = "here", .make_backend = make_backend, .batches = batches, .baselines = baselines},
      1, [](const std::string&) {});
}

// The figures of a batch, beside the reference and the arms.
TEST_F(Baselines, AreMeasuredInTurnsWithTheArmsByTheDevicesClock) {
  Log log;
  const auto libraries = [&log] { return LibrariesOf(&log, Everything); };
  const SpeedBaseline missing{.name = "missing", .unusable_reason = "no such device", .open = {}};
  const std::vector<ForwardResult> results =
      MeasureSmall({2}, {Named("fp16 speed baseline", BaselineKind::kHalf, libraries), missing,
                         Named("fp8 (E4M3) speed baseline", BaselineKind::kFp8, libraries)});
  ASSERT_EQ(results.size(), 7u);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_GT(results[i].ms_per_image, 0) << i;
    EXPECT_EQ(results[i].images, 2);
    EXPECT_EQ(results[i].launched, "graph");
    EXPECT_EQ(results[i].scales, i == 0 ? "" : i == 3 ? "static" : "per-token");
    EXPECT_GT(results[i].sqnr_db.value_or(kLeastInt8Db + 1), kLeastInt8Db) << i;
    EXPECT_EQ(results[i].sqnr_db.has_value(), i > 0);
  }
  for (size_t i = 1; i < 4; ++i) {
    EXPECT_GT(results[i].times_faster_than_fp16_baseline.value_or(0), 0) << i;
    EXPECT_GT(results[i].times_faster_than_fp8_baseline.value_or(0), 0) << i;
    EXPECT_FALSE(results[i].is_baseline);
  }
  EXPECT_EQ(results[4].precision, "fp16 speed baseline");
  EXPECT_TRUE(results[4].how.starts_with("in products: bias, GELU, residual;")) << results[4].how;
  EXPECT_GT(results[4].sqnr_db.value_or(0), kLeastHalfDb);
  EXPECT_EQ(results[5].missing, "no such device");
  EXPECT_EQ(results[5].problem, "");
  EXPECT_EQ(results[5].ms_per_image, 0);
  EXPECT_GT(results[6].sqnr_db.value_or(0), kLeastFp8Db);
  EXPECT_FALSE(results[6].times_faster_than_fp8_baseline.has_value());
}

// At the batch where it fails, and nowhere else.
TEST_F(Baselines, ThatFailCostTheirOwnLineAndNoOther) {
  class Broken final : public AttentionLibrary {
   public:
    std::string name() const override { return "a broken one"; }
    bool Attend(Queue, const BatchAttentionArgs&) override { Fail("attention is broken"); }
  };
  Log log;
  const auto at_one_image = [&log] {
    return LibrariesOf(&log, [](const LibraryProduct& p) {
      if (p.m == 2 * SmallConfig().tokens()) Fail("{} rows are too many", p.m);
      return true;
    });
  };
  const auto without_attention = [&log] {
    BaselineLibraries libraries = LibrariesOf(&log, Everything);
    libraries.attention = std::make_unique<Broken>();
    return libraries;
  };
  const auto unopened = []() -> BaselineLibraries { Fail("it does not open"); };
  const std::vector<ForwardResult> results =
      MeasureSmall({1, 2}, {Named("fp16 of one image", BaselineKind::kHalf, at_one_image),
                            Named("fp16 without attention", BaselineKind::kHalf, without_attention),
                            Named("fp8 unopened", BaselineKind::kFp8, unopened)});
  ASSERT_EQ(results.size(), 14u);
  for (size_t i = 0; i < results.size(); ++i) {
    const bool measured = i % 7 < 4 || i == 4;
    EXPECT_EQ(results[i].ms_per_image > 0, measured) << i << results[i].problem;
    EXPECT_EQ(results[i].problem.empty(), measured) << i;
    EXPECT_EQ(results[i].times_faster_than_fp16.has_value(), measured && i % 7 > 0) << i;
  }
  EXPECT_NE(results[11].problem.find("rows are too many"), std::string::npos);
  EXPECT_EQ(results[5].problem, "attention is broken");
  EXPECT_EQ(results[13].problem, "it does not open");
  EXPECT_TRUE(results[1].times_faster_than_fp16_baseline.has_value());
  EXPECT_FALSE(results[8].times_faster_than_fp16_baseline.has_value());
}

// Errors that the levels above must find: products without what is asked of them.
class WithoutGelu final : public ProductLibrary {
 public:
  explicit WithoutGelu(Log* log) : library_(log, Everything) {}
  bool fits_graphs() const override { return false; }
  bool Multiply(Queue queue, const LibraryProduct& product) override {
    LibraryProduct wrong = product;
    wrong.gelu = false;
    return library_.Multiply(queue, wrong);
  }

 private:
  StandInLibrary library_;
};
class WithoutHalfTheInputs final : public CudaProducts {
 public:
  bool Product(Queue queue, const ProductArgs& args) override {
    ProductArgs wrong = args;
    wrong.k /= 2;
    LaunchProduct(queue, wrong);
    return true;
  }
  bool FloatProduct(Queue, const FloatProductArgs&) override { return false; }
};

// Layer scales leave blocks, right or wrong, little of their rows.
class BaselinesAndArms : public Baselines, public testing::WithParamInterface<bool> {
 protected:
  static EncoderConfig Config() {
    EncoderConfig config = SmallConfig();
    config.layer_scale = GetParam();
    return config;
  }
};

TEST_P(BaselinesAndArms, HaveNoSpeedWhereTheyAreWrong) {
  Log log;
  const auto libraries = [&log] {
    BaselineLibraries wrong = LibrariesOf(&log, Nothing);
    wrong.products = std::make_unique<WithoutGelu>(&log);
    return wrong;
  };
  const std::vector<ForwardResult> results = MeasureSmall(
      {1}, {Named("fp16 speed baseline", BaselineKind::kHalf, libraries)}, Config(),
      [] { return std::make_unique<CudaBackend>(0, std::make_unique<WithoutHalfTheInputs>()); });
  ASSERT_EQ(results.size(), 5u);
  EXPECT_GT(results[0].ms_per_image, 0);
  for (size_t i = 1; i < results.size(); ++i) {
    EXPECT_TRUE(results[i].sqnr_db.has_value()) << i;
    EXPECT_TRUE(Contains(results[i].problem, "dB from the reference's")) << i;
    EXPECT_EQ(results[i].ms_per_image, 0) << i;
    EXPECT_FALSE(results[i].times_faster_than_fp16 || results[i].times_faster_than_fp16_baseline);
  }
}

TEST_P(BaselinesAndArms, HaveNoProblemWhereTheyAreRight) {
  Log log;
  const auto libraries = [&log] { return LibrariesOf(&log, Everything); };
  for (const ForwardResult& result :
       MeasureSmall({1},
                    {Named("fp16 speed baseline", BaselineKind::kHalf, libraries),
                     Named("fp8 (E4M3) speed baseline", BaselineKind::kFp8, libraries)},
                    Config())) {
    EXPECT_EQ(result.problem, "") << result.precision;
  }
}

INSTANTIATE_TEST_SUITE_P(LayerScales, BaselinesAndArms, testing::Bool());

// The arm beside them that leaves most to a product: fc1's stores codes of its activation.
TEST_F(Baselines, StandBesideStaticScalesOfEverySite) {
  const EncoderConfig config = SmallConfig();
  const Graph graph = BuildGraph(config);
  const MadeWeights weights(config);
  const std::unique_ptr<Backend> backend = MakeBackendOnDevice();
  const std::vector<ForwardVariant> half{{Precision::kFp16, AttentionPrecision::kFp32}};
  const std::vector<LoweredEncoder> reference = LowerEncoder(graph, weights, *backend, half);
  const Plan plan = StaticPlan(SteadyForward(reference[0], *backend).InputAmax());
  EXPECT_EQ(plan.sites.size(), graph.Sites().size());
  for (const auto& [site, of_site] : plan.sites) {
    EXPECT_GT(of_site.input->scale, 0) << site;
    EXPECT_TRUE(of_site.input->is_static()) << site;
  }
  const std::vector<ForwardVariant> variants{{Precision::kInt8, AttentionPrecision::kFp32, &plan}};
  const std::vector<SlotId> kept{graph.stream, graph.tokens};
  const std::vector<LoweredEncoder> lowered = LowerEncoder(graph, weights, *backend, variants);
  int64_t with_codes = 0;
  for (const Program& stage : lowered[0].stages) {
    with_codes += std::ranges::count(ProductFusions(stage, kept), ProductFusion::kCodes);
  }
  EXPECT_EQ(with_codes, kBlocks);
}

// Attention of a library in the place of ours; of every second one it has no kernel.
TEST_F(Baselines, TakeTheLibrarysAttentionWhereItHasOne) {
  class EverySecond final : public AttentionLibrary {
   public:
    std::string name() const override { return "a stand-in"; }
    bool Attend(Queue queue, const BatchAttentionArgs& args) override {
      EXPECT_EQ(args.probabilities.data, nullptr);
      if (++asked_ % 2 == 0) return false;
      LaunchAttention(queue, args);
      return true;
    }

   private:
    int asked_ = 0;
  };
  Log log;
  BaselineLibraries libraries = LibrariesOf(&log, Nothing);
  libraries.attention = std::make_unique<EverySecond>();
  libraries.no_attention = "";
  BaselineBackend baseline(0, BaselineKind::kHalf, std::move(libraries), nullptr);
  const EncoderConfig config = SmallConfig();
  EXPECT_EQ(Equal(SmallReference(), OutputOf(config, baseline)), "");
  EXPECT_TRUE(baseline.How().ends_with("attention by a stand-in, where it has none by our kernels"))
      << baseline.How();
}

}  // namespace
}  // namespace w8a8::test
