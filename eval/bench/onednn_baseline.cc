#include "eval/bench/onednn_baseline.h"

#include <algorithm>
#include <vector>

#include <oneapi/dnnl/dnnl.hpp>
#if DNNL_CPU_THREADING_RUNTIME == DNNL_RUNTIME_OMP
#include <omp.h>
#endif

#include "eval/bench/scale_rows.h"
#include "runtime/base/aligned_buffer.h"
#include "runtime/base/counter_hash.h"
#include "runtime/base/half.h"
#include "runtime/cpu/kernels.h"

namespace w8a8 {
namespace {

using Type = dnnl::memory::data_type;
using Tag = dnnl::memory::format_tag;

void UseOneThread() {
#if DNNL_CPU_THREADING_RUNTIME == DNNL_RUNTIME_OMP
  omp_set_num_threads(1);
#endif
}

struct Product {
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};

  dnnl::memory Matrix(int64_t rows, int64_t cols, Type type, Tag tag) const {
    return dnnl::memory({{rows, cols}, type, tag}, engine);
  }

  dnnl::matmul::primitive_desc Describe(const dnnl::memory& a, Type weight_type, int64_t n,
                                        const dnnl::memory* bias, const dnnl::memory& out,
                                        const dnnl::primitive_attr& attributes) const {
    const dnnl::memory::desc weight({a.get_desc().dims()[1], n}, weight_type, Tag::any);
    if (bias == nullptr) {
      return {{a.get_desc(), weight, out.get_desc()}, attributes, engine};
    }
    return {{a.get_desc(), weight, bias->get_desc(), out.get_desc()}, attributes, engine};
  }

  // `plain`, a [k, n] matrix in any order, as the product wants it.
  dnnl::memory Packed(const dnnl::matmul::primitive_desc& chosen, dnnl::memory plain) {
    dnnl::memory packed(chosen.weights_desc(), engine);
    dnnl::reorder(plain, packed).execute(stream, plain, packed);
    stream.wait();
    return packed;
  }
};

template <class T>
T* Values(const dnnl::memory& memory) {
  return static_cast<T*>(memory.get_data_handle());
}

}  // namespace

std::string OneDnnVersion() {
  const dnnl_version_t* version = dnnl_version();
  return std::to_string(version->major) + "." + std::to_string(version->minor) + "." +
         std::to_string(version->patch);
}

struct OneDnnInt8::Impl : Product {
  int64_t rows, n;
  dnnl::memory x, bias, y;
  dnnl::memory weight, weight_partial;
  dnnl::matmul whole, partial;
  std::vector<float> row_scale;
  AlignedBuffer<Half> halves;

  Impl(const QuantizedLinear& layer, int64_t m) : rows(m), n(layer.weight.n) {
    const int64_t k = layer.weight.k;
    x = Matrix(m, k, Type::s8, Tag::ab);
    bias = Matrix(1, n, Type::f32, Tag::ab);
    y = Matrix(m, n, Type::f32, Tag::ab);
    for (int64_t i = 0; i < m * k; ++i) {
      Values<int8_t>(x)[i] = static_cast<int8_t>(CounterHash(5, static_cast<uint64_t>(i)));
    }
    std::ranges::copy(layer.bias, Values<float>(bias));
    row_scale.assign(static_cast<size_t>(m), 0.01f);
    halves.Reserve(m * n);
    dnnl::primitive_attr attributes;
    attributes.set_output_scales(/*mask=*/1 << 1, layer.weight.scale.values);
    // Codes are [n, k]; the product's weights are [k, n].
    const dnnl::memory codes({{k, n}, Type::s8, Tag::ba}, engine,
                             const_cast<int8_t*>(layer.weight.codes.data()));
    const auto of_whole = Describe(x, Type::s8, n, nullptr, y, attributes);
    weight = Packed(of_whole, codes);
    whole = dnnl::matmul(of_whole);
    const auto of_partial = Describe(x, Type::s8, n, &bias, y, attributes);
    weight_partial = Packed(of_partial, codes);
    partial = dnnl::matmul(of_partial);
  }
};

OneDnnInt8::OneDnnInt8(const QuantizedLinear& layer, int64_t rows) {
  UseOneThread();
  impl_ = std::make_unique<Impl>(layer, rows);
}
OneDnnInt8::~OneDnnInt8() = default;

void OneDnnInt8::RunPartial() {
  UseOneThread();
  impl_->partial.execute(impl_->stream, {{DNNL_ARG_SRC, impl_->x},
                                         {DNNL_ARG_WEIGHTS, impl_->weight_partial},
                                         {DNNL_ARG_BIAS, impl_->bias},
                                         {DNNL_ARG_DST, impl_->y}});
  impl_->stream.wait();
}

bool OneDnnInt8::WholeIsUsable() {
#if defined(__x86_64__)
  return std::ranges::any_of(
      All(), [](const Kernels& set) { return set.name == "avx2" && set.supported(); });
#else
  return true;
#endif
}

void OneDnnInt8::RunWhole() {
  UseOneThread();
  impl_->whole.execute(
      impl_->stream,
      {{DNNL_ARG_SRC, impl_->x}, {DNNL_ARG_WEIGHTS, impl_->weight}, {DNNL_ARG_DST, impl_->y}});
  impl_->stream.wait();
  const HalfConversions& half = KernelsInUse().rows->half;
  for (int64_t row = 0; row < impl_->rows; ++row) {
    float* y = Values<float>(impl_->y) + row * impl_->n;
    ScaleAndAddBias(y, Values<float>(impl_->bias), impl_->n,
                    impl_->row_scale[static_cast<size_t>(row)]);
    half.to_half(y, impl_->halves.data() + row * impl_->n, impl_->n);
  }
}

struct OneDnnFloat::Impl : Product {
  dnnl::memory x, y, weight;
  dnnl::matmul product;

  Impl(int64_t m, int64_t n, int64_t k) {
    x = Matrix(m, k, Type::f32, Tag::ab);
    y = Matrix(m, n, Type::f32, Tag::ab);
    const dnnl::memory plain = Matrix(k, n, Type::f32, Tag::ba);
    for (int64_t i = 0; i < m * k; ++i) {
      Values<float>(x)[i] = HashUniform(6, static_cast<uint64_t>(i));
    }
    for (int64_t i = 0; i < n * k; ++i) {
      Values<float>(plain)[i] = HashUniform(7, static_cast<uint64_t>(i));
    }
    dnnl::primitive_attr attributes;
    attributes.set_fpmath_mode(dnnl::fpmath_mode::strict);
    const auto chosen = Describe(x, Type::f32, n, nullptr, y, attributes);
    weight = Packed(chosen, plain);
    product = dnnl::matmul(chosen);
  }
};

OneDnnFloat::OneDnnFloat(int64_t rows, int64_t n, int64_t k) {
  UseOneThread();
  impl_ = std::make_unique<Impl>(rows, n, k);
}
OneDnnFloat::~OneDnnFloat() = default;

void OneDnnFloat::Run() {
  UseOneThread();
  impl_->product.execute(
      impl_->stream,
      {{DNNL_ARG_SRC, impl_->x}, {DNNL_ARG_WEIGHTS, impl_->weight}, {DNNL_ARG_DST, impl_->y}});
  impl_->stream.wait();
}

}  // namespace w8a8
