// What cuBLASLt is told, by a library in its place: its matrices are column-major, so our weights
// are its A, our rows its B, and all are transposed.
#include "runtime/cuda/cublaslt.h"

#include <memory>

#include <gtest/gtest.h>

#include "tests/cuda/fake_cublaslt.h"
#include "tests/support/errors.h"

namespace w8a8::test {
namespace {

using Kind = LibraryProduct::Kind;

class CublasLtCalls : public testing::Test {
 protected:
  CublasLtCalls() { fake() = {}; }
  ~CublasLtCalls() override { EXPECT_EQ(fake().alive, 0); }
  static FakeCublasLt& fake() { return TheFakeCublasLt(); }

  // One for all tests: its workspace is 32 MiB, each byte of which the model looks after. No two
  // tests have a product of the same sizes, which it would remember.
  static CublasLt& Library() { return *library_; }
  static void SetUpTestSuite() { library_ = std::make_unique<CublasLt>(); }
  static void TearDownTestSuite() { library_.reset(); }

  // The last product that the library ran.
  const FakeProduct& Multiply(const LibraryProduct& product) {
    EXPECT_TRUE(Library().Multiply(nullptr, product));
    return fake().products.back();
  }

  static std::unique_ptr<CublasLt> library_;
  Half x_[1] = {}, weight_[1] = {}, y_[1] = {}, bias_[1] = {};
  float scales_[3] = {};
};

std::unique_ptr<CublasLt> CublasLtCalls::library_;

constexpr int64_t kK = 32;

LibraryProduct Sized(Kind kind) {
  static int64_t n = 32;
  LibraryProduct product;
  product.kind = kind;
  product.m = 5;
  product.n = n += 16;
  product.k = kK;
  product.x_stride = 64;
  product.weight_stride = kK;
  return product;
}

TEST_F(CublasLtCalls, GiveItOurMatricesTransposed) {
  LibraryProduct product = Sized(Kind::kHalfToFloat);
  product.x = x_;
  product.weight = weight_;
  product.y = y_;
  const FakeProduct& told = Multiply(product);
  const auto n = static_cast<uint64_t>(product.n);
  EXPECT_EQ(told.compute, CUBLAS_COMPUTE_32F);
  EXPECT_EQ(told.Get<cublasOperation_t>(CUBLASLT_MATMUL_DESC_TRANSA), CUBLAS_OP_T);
  EXPECT_FALSE(told.Has(CUBLASLT_MATMUL_DESC_TRANSB));
  EXPECT_EQ(told.a, (FakeLayout{CUDA_R_16F, kK, n, kK}));
  EXPECT_EQ(told.b, (FakeLayout{CUDA_R_16F, kK, 5, 64}));
  EXPECT_EQ(told.d, (FakeLayout{CUDA_R_32F, n, 5, product.n}));
  EXPECT_EQ(told.c, told.d);
  EXPECT_EQ(told.a_data, weight_);
  EXPECT_EQ(told.b_data, x_);
  EXPECT_EQ(told.d_data, y_);
  EXPECT_EQ(told.alpha, 1.0f);
  EXPECT_EQ(told.beta, 0.0f);
  EXPECT_FALSE(told.Has(CUBLASLT_MATMUL_DESC_EPILOGUE));
}

TEST_F(CublasLtCalls, KeepIntegersIntegers) {
  const FakeProduct& told = Multiply(Sized(Kind::kCodesToInt32));
  EXPECT_EQ(told.compute, CUBLAS_COMPUTE_32I);
  EXPECT_EQ(told.a.type, CUDA_R_8I);
  EXPECT_EQ(told.b.type, CUDA_R_8I);
  EXPECT_EQ(told.d.type, CUDA_R_32I);
  EXPECT_EQ(told.alpha, 1.0f);
  EXPECT_EQ(told.beta, 0.0f);
}

TEST_F(CublasLtCalls, NameTheEpilogueAndTheBias) {
  for (const bool gelu : {false, true}) {
    for (const bool bias : {false, true}) {
      LibraryProduct product = Sized(Kind::kHalfToHalf);
      product.gelu = gelu;
      product.bias = bias ? bias_ : nullptr;
      const FakeProduct& told = Multiply(product);
      const auto expected = gelu ? (bias ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU)
                                 : CUBLASLT_EPILOGUE_BIAS;
      EXPECT_EQ(told.Has(CUBLASLT_MATMUL_DESC_EPILOGUE), gelu || bias);
      if (gelu || bias) {
        EXPECT_EQ(told.Get<cublasLtEpilogue_t>(CUBLASLT_MATMUL_DESC_EPILOGUE), expected);
      }
      EXPECT_EQ(told.Has(CUBLASLT_MATMUL_DESC_BIAS_POINTER), bias);
      if (!bias) continue;
      EXPECT_EQ(told.Get<const void*>(CUBLASLT_MATMUL_DESC_BIAS_POINTER), bias_);
      EXPECT_EQ(told.Get<int32_t>(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE), CUDA_R_16F);
    }
  }
}

// What algorithms that are timed write is nobody's: the stream is added to once.
TEST_F(CublasLtCalls, AddToTheStreamOnceWhoeverIsTimed) {
  LibraryProduct product = Sized(Kind::kHalfToHalf);
  product.y = y_;
  product.add = true;
  Multiply(product);
  EXPECT_GT(fake().products.size(), 4u);
  int written = 0;
  for (const FakeProduct& told : fake().products) {
    EXPECT_EQ(told.beta, 1.0f);
    EXPECT_EQ(told.c_data, y_);
    written += told.d_data == y_ ? 1 : 0;
  }
  EXPECT_EQ(written, 1);
  EXPECT_EQ(fake().products.back().d_data, y_);
}

TEST_F(CublasLtCalls, GiveFp8ItsScales) {
  LibraryProduct product = Sized(Kind::kFp8ToFp8);
  product.x_scale = &scales_[0];
  product.weight_scale = &scales_[1];
  product.y_inv_scale = &scales_[2];
  const FakeProduct& told = Multiply(product);
  EXPECT_EQ(told.a.type, CUDA_R_8F_E4M3);
  EXPECT_EQ(told.b.type, CUDA_R_8F_E4M3);
  EXPECT_EQ(told.c.type, CUDA_R_16F);
  EXPECT_EQ(told.Get<int8_t>(CUBLASLT_MATMUL_DESC_FAST_ACCUM), 1);
  EXPECT_EQ(told.d.type, CUDA_R_8F_E4M3);
  EXPECT_EQ(told.Get<const void*>(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER), &scales_[1]);
  EXPECT_EQ(told.Get<const void*>(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER), &scales_[0]);
  EXPECT_EQ(told.Get<const void*>(CUBLASLT_MATMUL_DESC_D_SCALE_POINTER), &scales_[2]);
  product.kind = Kind::kFp8ToHalf;
  product.y_inv_scale = nullptr;
  const FakeProduct& half = Multiply(product);
  EXPECT_EQ(half.d.type, CUDA_R_16F);
  EXPECT_FALSE(half.Has(CUBLASLT_MATMUL_DESC_D_SCALE_POINTER));
}

TEST_F(CublasLtCalls, KeepTheFastestAlgorithmWhateverTheRowsWhereSumsHaveOneOrder) {
  LibraryProduct product = Sized(Kind::kHalfToFloat);
  EXPECT_EQ(Multiply(product).algorithm, 1);
  product.m = 7;
  EXPECT_EQ(Multiply(product).algorithm, 1);
  EXPECT_EQ(fake().asked, 1);
}

TEST_F(CublasLtCalls, KeepTheFastestOfEachEpilogueAndItsRowsWhereSpeedIsAll) {
  LibraryProduct product = Sized(Kind::kHalfToHalf);
  Multiply(product);
  Multiply(product);
  EXPECT_EQ(fake().asked, 1);
  product.m = 7;
  Multiply(product);
  product.gelu = true;
  Multiply(product);
  product.gelu = false;
  product.add = true;
  Multiply(product);
  product.bias = bias_;
  Multiply(product);
  EXPECT_EQ(fake().asked, 5);
}

TEST_F(CublasLtCalls, AllowNoSumsOfPartsThatWereRoundedToOutputs) {
  Multiply(Sized(Kind::kHalfToHalf));
  EXPECT_EQ(fake().reductions, uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
}

TEST_F(CublasLtCalls, SayWhereThereIsNoKernel) {
  fake().offered = 0;
  EXPECT_FALSE(Library().Multiply(nullptr, Sized(Kind::kFp8ToFp8)));
  EXPECT_TRUE(fake().products.empty());
}

TEST_F(CublasLtCalls, FailInTheLibrarysWords) {
  LibraryProduct product = Sized(Kind::kHalfToHalf);
  product.y = y_;
  fake().unwritable = y_;
  EXPECT_EQ(ErrorOf([&] { Library().Multiply(nullptr, product); }),
            "cuBLASLt: multiplying: the fake failed (status 13)");
}

}  // namespace
}  // namespace w8a8::test
