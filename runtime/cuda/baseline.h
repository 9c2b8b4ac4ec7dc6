// What the speed of arms is compared with: forwards of FP16, or of FP8 by static scales, by a
// library's products with all that it can do in their epilogues. Nobody reports errors of these as
// an arm's; their steps are not numerics.md's.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "runtime/backend.h"
#include "runtime/cuda/attention_library.h"
#include "runtime/cuda/cuda_kernels.h"
#include "runtime/cuda/cuda_weights.h"
#include "runtime/cuda/device_memory.h"
#include "runtime/cuda/device_vectors.h"
#include "runtime/cuda/product_library.h"

namespace w8a8 {

enum class BaselineKind : uint8_t { kHalf, kFp8 };

// What happened in the forwards of a baseline.
enum class BaselineNote : uint8_t {
  kBias,         // in the product
  kGelu,         // likewise
  kResidual,     // likewise
  kActivation,   // a step of its own: another function than GELU's tanh form, or no such kernel
  kAdd,          // a step of its own: layer scale, or no such kernel
  kProduct,      // of sizes that the library has no kernel for
  kHalfProduct,  // of sizes that FP8 does not take, or the library not in FP8
  kCodesBefore,  // E4M3 of inputs by the step that makes them
  kCodesInGelu,  // by the product before
  kCodesApart,   // by a pass of their own
  kAttention,    // by the library
  kOwnAttention,
  kCount
};

class BaselineNotes {
 public:
  void Add(BaselineNote note) {
    found_[static_cast<size_t>(note)].store(true, std::memory_order_relaxed);
  }
  bool Has(BaselineNote note) const {
    return found_[static_cast<size_t>(note)].load(std::memory_order_relaxed);
  }
  // Of products: "in products: bias, GELU, residual; by steps of their own: nothing".
  std::string Text() const;

 private:
  std::array<std::atomic<bool>, static_cast<size_t>(BaselineNote::kCount)> found_ = {};
};

// FP16 weights, and E4M3 of the same with one scale for all.
class BaselineWeights final : public CudaFloats {
 public:
  BaselineWeights(Queue queue, MatView<const float> weight, bool fp8);

  const uint8_t* codes() const { return codes_.data(); }  // [n, PaddedCodes(k)]; nullptr: none
  const float* weight_scale() const { return scales_.data(); }
  // Of the layer's inputs; 0 until they were seen.
  float input_scale() const { return input_scale_.load(); }
  const float* input_scale_on_device() const { return scales_.data() + 1; }
  const float* input_inv_scale_on_device() const { return scales_.data() + 2; }
  // The first call decides.
  void SetInputAmax(Queue queue, float amax) const;
  bool has_fp8() const { return codes_.capacity() > 0; }
  // Whether the library has FP8 products of so many rows; those that it has none of stay FP16.
  // None: it was not asked.
  std::optional<bool> Fp8Answer(int64_t rows) const;
  void SetFp8Answer(int64_t rows, bool taken) const;
  bool takes_fp8(int64_t rows) const { return has_fp8() && Fp8Answer(rows).value_or(true); }

 private:
  DeviceMemory<uint8_t> codes_;
  DeviceMemory<float> scales_;  // of the weights, of the inputs, and its reciprocal
  mutable std::mutex mutex_;
  mutable std::atomic<float> input_scale_ = 0.0f;
  mutable std::map<int64_t, bool> answers_;  // by rows
};

struct BaselineLibraries {
  std::unique_ptr<ProductLibrary> products;
  std::unique_ptr<AttentionLibrary> attention;  // nullptr: our kernels
  std::string no_attention;                     // why
};

// Lowers and runs FP16 programs alone. The first run of a program finds the static scales of FP8,
// and of each number of rows which products the library has in FP8.
class BaselineBackend final : public Backend {
 public:
  // `products`: of what no baseline is about (patches); nullptr: the kernels for every GPU.
  BaselineBackend(int device_index, BaselineKind kind, BaselineLibraries libraries,
                  std::unique_ptr<CudaProducts> products);

  PackedPtr PackFloat(MatView<const float> weight, FloatOperands operands) override;
  PackedPtr PackInt8(const QuantizedLinear& linear, int64_t group) override;      // never
  PackedPtr PackEmulated(const QuantizedLinear& linear, int64_t group) override;  // never
  std::unique_ptr<Arena> MakeArena() override;

  // How the forwards so far were made, for people.
  std::string How() const;

  // For its arenas.
  BaselineKind kind() const { return kind_; }
  ProductLibrary& library() { return *libraries_.products; }
  AttentionLibrary* attention() { return libraries_.attention.get(); }  // nullptr: none
  BaselineNotes& notes() { return notes_; }
  const Half* Bias(Queue queue, const FloatsPtr& values);  // nullptr where there is none

 private:
  struct HalfVector {
    FloatsPtr owner;
    DeviceMemory<Half> values;
  };

  const int device_index_;
  const BaselineKind kind_;
  const BaselineLibraries libraries_;
  const std::unique_ptr<CudaProducts> products_;
  DeviceVectors vectors_;
  BaselineNotes notes_;
  std::mutex mutex_;
  std::map<const void*, HalfVector> biases_;
};

}  // namespace w8a8
