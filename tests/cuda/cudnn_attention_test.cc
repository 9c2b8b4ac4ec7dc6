// What cuDNN is told, by a library in its place; attributes by their numbers in cudnn_graph.h.
#include "runtime/cuda/cudnn_attention.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "tests/cuda/device_memory.h"
#include "tests/cuda/fake_cudnn.h"
#include "tests/support/errors.h"

namespace w8a8::test {
namespace {

constexpr int kPlanConfig = 401, kPlanHandle = 400, kAlignment = 900, kDataType = 901, kDims = 902,
              kStrides = 903, kId = 906, kByValue = 908, kIds = 1000, kPointers = 1001,
              kWorkspace = 1003;
constexpr int64_t kImages = 2, kHeads = 3, kHeadDim = 72, kTokens = 5, kWidth = kHeads * kHeadDim;

class CudnnCalls : public testing::Test {
 protected:
  CudnnCalls() {
    fake() = {};
    library_ = std::make_unique<CudnnAttention>();
  }
  ~CudnnCalls() override {
    library_.reset();
    EXPECT_EQ(fake().alive, 0);
  }
  static FakeCudnn& fake() { return TheFakeCudnn(); }

  // Of packed queries, keys and values.
  BatchAttentionArgs Args() const {
    const int64_t rows = kImages * kTokens;
    return {.precision = AttentionPrecision::kFp32,
            .q = {qkv_.data(), rows, kWidth, 3 * kWidth},
            .k = {qkv_.data() + kWidth, rows, kWidth, 3 * kWidth},
            .v = {qkv_.data() + 2 * kWidth, rows, kWidth, 3 * kWidth},
            .out = {out_.data(), rows, kWidth, kWidth},
            .images = kImages,
            .heads = kHeads,
            .head_dim = kHeadDim};
  }

  DeviceArray<Half> qkv_{static_cast<size_t>(kImages * kTokens * 3 * kWidth)};
  DeviceArray<Half> out_{static_cast<size_t>(kImages * kTokens * kWidth)};
  std::unique_ptr<CudnnAttention> library_;
};

TEST_F(CudnnCalls, GiveItItsOperandsAndTheScale) {
  ASSERT_TRUE(library_->Attend(nullptr, Args()));
  EXPECT_EQ(fake().executed, 1);
  EXPECT_EQ(fake().pack.Get<int64_t>(kIds), (std::vector<int64_t>{1, 2, 3, 4, 5}));
  const std::vector<void*> pointers = fake().pack.Get<void*>(kPointers);
  EXPECT_EQ(pointers[0], qkv_.data());
  EXPECT_EQ(pointers[1], qkv_.data() + kWidth);
  EXPECT_EQ(pointers[2], qkv_.data() + 2 * kWidth);
  EXPECT_EQ(pointers[3], out_.data());
  EXPECT_EQ(fake().scale, 1.0f / std::sqrt(72.0f));
  EXPECT_NE(fake().pack.Get<void*>(kWorkspace)[0], nullptr);
  EXPECT_EQ(fake().plan.Get<void*>(kPlanHandle)[0], &fake());
}

TEST_F(CudnnCalls, TakeTheFirstConfigurationThatCanBeBuiltAndKeepIt) {
  ASSERT_TRUE(library_->Attend(nullptr, Args()));
  EXPECT_EQ(fake().plans, 2);
  ASSERT_TRUE(library_->Attend(nullptr, Args()));
  EXPECT_EQ(fake().plans, 2);
  BatchAttentionArgs fewer = Args();  // one image is another plan
  fewer.images = 1;
  for (MatView<const Half>* rows : {&fewer.q, &fewer.k, &fewer.v}) rows->rows = kTokens;
  fewer.out.rows = kTokens;
  ASSERT_TRUE(library_->Attend(nullptr, fewer));
  EXPECT_EQ(fake().plans, 4);
  EXPECT_EQ(library_->name(), "cuDNN 9.13");
}

TEST_F(CudnnCalls, SayWhereThereIsNoKernel) {
  fake().first_buildable = fake().configs;
  EXPECT_FALSE(library_->Attend(nullptr, Args()));
  fake().takes_operation = false;
  BatchAttentionArgs other = Args();
  other.heads = 1;
  EXPECT_FALSE(library_->Attend(nullptr, other));
  EXPECT_EQ(fake().executed, 0);
}

TEST_F(CudnnCalls, FailInTheLibrarysWords) {
  fake().execution = 3000;
  EXPECT_EQ(ErrorOf([&] { library_->Attend(nullptr, Args()); }),
            "cuDNN: attention: the fake does not (status 3000)");
}

TEST_F(CudnnCalls, LeaveWhatItIsNotAskedForToOthers) {
  const uint8_t mask[kImages * kTokens] = {};
  std::vector<BatchAttentionArgs> cases(5, Args());
  cases[0].precision = AttentionPrecision::kBf16;
  cases[1].key_mask = mask;
  cases[2].probabilities.data = reinterpret_cast<float*>(out_.data());
  cases[3].head_dim = 36;
  cases[4].q.data += 1;
  for (const BatchAttentionArgs& args : cases) EXPECT_FALSE(library_->Attend(nullptr, args));
  EXPECT_EQ(fake().plans, 0);
}

TEST_F(CudnnCalls, DescribeHeadsOfPackedRowsByTheirStrides) {
  ASSERT_TRUE(library_->Attend(nullptr, Args()));
  ASSERT_EQ(fake().operations.size(), 1u);
  const FakeOperation& operation = fake().operations[0];
  const std::vector<int64_t> dims{kImages, kHeads, kTokens, kHeadDim};
  const int64_t stride = 3 * kWidth;
  for (int i = 0; i < 5; ++i) {
    const FakeDescriptor& tensor = operation.tensors[static_cast<size_t>(i)];
    EXPECT_EQ(tensor.Get<int64_t>(kId)[0], i + 1);
    EXPECT_EQ(tensor.Get<int64_t>(kAlignment)[0], 16);
    EXPECT_EQ(tensor.Get<int>(kDataType)[0], i < 4 ? 2 : 0);  // FP16, binary32
    EXPECT_EQ(tensor.attributes.contains(kByValue), i == 4);
    EXPECT_EQ(tensor.Get<int64_t>(kDims), i < 4 ? dims : std::vector<int64_t>(4, 1));
    if (i == 4) continue;
    const int64_t row = i < 3 ? stride : kWidth;
    EXPECT_EQ(tensor.Get<int64_t>(kStrides),
              (std::vector<int64_t>{kTokens * row, kHeadDim, row, 1}));
  }
  EXPECT_EQ(fake().plan.attributes.at(kPlanConfig).count, 1);
}

}  // namespace
}  // namespace w8a8::test
