#include "runtime/cpu/float_gemm.h"

#include <algorithm>
#include <compare>
#include <map>

#include <oneapi/dnnl/dnnl.hpp>

#include "runtime/base/error.h"

#if DNNL_CPU_THREADING_RUNTIME == DNNL_RUNTIME_OMP
// Declared here because <omp.h> belongs to the compiler and oneDNN brings its own OpenMP library.
extern "C" void omp_set_num_threads(int threads);
#elif DNNL_CPU_THREADING_RUNTIME != DNNL_RUNTIME_SEQ
#error "oneDNN must be built with OpenMP or sequential: each product runs on its worker's thread."
#endif

namespace w8a8 {
namespace {

// The number of threads is the calling thread's own setting in OpenMP and part of oneDNN's choice
// of blocks, so whichever thread makes a call sets it before (it writes one variable).
void UseOneThread() {
#if DNNL_CPU_THREADING_RUNTIME == DNNL_RUNTIME_OMP
  omp_set_num_threads(1);
#endif
}

// An encoder has some ten shapes, but experts and images of many sizes have as many as there are
// numbers of rows, and each primitive holds code and scratch.
constexpr size_t kMostPrimitives = 128;

struct Shape {
  int64_t m, n, k;
  int64_t a_stride, b_stride, out_stride;
  auto operator<=>(const Shape&) const = default;
};

struct Primitive {
  dnnl::matmul matmul;
  dnnl::memory a, b, out, scratchpad;
};

dnnl::memory::desc Strided(int64_t rows, int64_t cols, int64_t row_stride, int64_t col_stride) {
  return {{rows, cols}, dnnl::memory::data_type::f32, dnnl::memory::dims{row_stride, col_stride}};
}

Primitive MakePrimitive(const Shape& shape, const dnnl::engine& engine) {
  const auto a = Strided(shape.m, shape.k, shape.a_stride, 1);
  const auto b = Strided(shape.k, shape.n, 1, shape.b_stride);
  const auto out = Strided(shape.m, shape.n, shape.out_stride, 1);
  dnnl::primitive_attr attributes;
  // Set explicitly, so that ONEDNN_DEFAULT_FPMATH_MODE has no say.
  attributes.set_fpmath_mode(dnnl::fpmath_mode::strict);
  // Library scratchpads belong to the thread that made the primitive, which need not run it.
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  const dnnl::matmul::primitive_desc chosen({a, b, out}, attributes, engine);
  return {dnnl::matmul(chosen), dnnl::memory(a, engine, DNNL_MEMORY_NONE),
          dnnl::memory(b, engine, DNNL_MEMORY_NONE), dnnl::memory(out, engine, DNNL_MEMORY_NONE),
          dnnl::memory(chosen.scratchpad_desc(), engine)};
}

}  // namespace

FloatWeights::FloatWeights(MatView<const float> weight) : n_(weight.rows), k_(weight.cols) {
  values_.Reserve(n_ * k_);
  for (int64_t row = 0; row < n_; ++row) {
    std::copy_n(weight.row(row), k_, values_.data() + row * k_);
  }
}

struct FloatGemm::Impl {
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  std::map<Shape, Primitive> primitives;

  Primitive& Get(const Shape& shape) {
    const auto found = primitives.find(shape);
    if (found != primitives.end()) return found->second;
    if (primitives.size() >= kMostPrimitives) primitives.clear();
    try {
      return primitives.emplace(shape, MakePrimitive(shape, engine)).first->second;
    } catch (const dnnl::error& error) {
      Fail("oneDNN has no float product of {} x {} x {} (m x n x k): {}.", shape.m, shape.n,
           shape.k, error.what());
    }
  }

  void Run(const Shape& shape, const float* a, const float* b, float* out) {
    UseOneThread();
    Primitive& primitive = Get(shape);
    primitive.a.set_data_handle(const_cast<float*>(a), stream);
    primitive.b.set_data_handle(const_cast<float*>(b), stream);
    primitive.out.set_data_handle(out, stream);
    primitive.matmul.execute(stream, {{DNNL_ARG_SRC, primitive.a},
                                      {DNNL_ARG_WEIGHTS, primitive.b},
                                      {DNNL_ARG_DST, primitive.out},
                                      {DNNL_ARG_SCRATCHPAD, primitive.scratchpad}});
    stream.wait();
  }
};

FloatGemm::FloatGemm() : impl_(std::make_unique<Impl>()) {}
FloatGemm::~FloatGemm() = default;

void FloatGemm::MultiplyTransposed(MatView<const float> a, MatView<const float> b,
                                   MatView<float> out) {
  W8A8_CHECK(a.cols == b.cols && out.rows == a.rows && out.cols == b.rows);
  if (a.rows == 0) return;  // an expert that got none of an image's rows
  impl_->Run({a.rows, b.rows, a.cols, a.stride, b.stride, out.stride}, a.data, b.data, out.data);
}

int64_t FloatGemm::primitives() const { return static_cast<int64_t>(impl_->primitives.size()); }

}  // namespace w8a8
