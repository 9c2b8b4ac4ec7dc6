#include <algorithm>
#include <cmath>
#include <limits>

#include "quant/exponential.h"
#include "quant/numerics.h"
#include "runtime/cpu/scalar_attention.h"

namespace w8a8 {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

bool Attended(const AttentionHeadArgs& args, int64_t key) {
  return args.key_mask == nullptr || args.key_mask[key] != 0;
}

float ScaleOfScores(int64_t head_dim) { return 1.0f / std::sqrt(static_cast<float>(head_dim)); }

// Operands of one head in binary32, so that the inner loops are over floats side by side.
struct FloatHead {
  float* k;       // [head_dim, keys]: turned
  float* v;       // [keys, head_dim]: 0 where nobody attends
  float* scores;  // [keys]
  float* q;       // [head_dim]
  float* out;     // [head_dim]
};

int64_t FloatScratchBytes(int64_t keys, int64_t head_dim) {
  return (2 * keys * head_dim + keys + 2 * head_dim) * int64_t{sizeof(float)};
}

float Operand(Half value, bool bfloat16) {
  const float wide = ToFloat(value);
  return bfloat16 ? ToFloat(ToBFloat16(wide)) : wide;
}

FloatHead LoadHead(const AttentionHeadArgs& args, bool bfloat16) {
  auto* k = static_cast<float*>(args.scratch);
  float* v = k + args.keys * args.head_dim;
  float* scores = v + args.keys * args.head_dim;
  const FloatHead head{k, v, scores, scores + args.keys, scores + args.keys + args.head_dim};
  for (int64_t key = 0; key < args.keys; ++key) {
    for (int64_t d = 0; d < args.head_dim; ++d) {
      const int64_t at = key * args.kv_stride + d;
      k[d * args.keys + key] = Operand(args.k[at], bfloat16);
      v[key * args.head_dim + d] = Attended(args, key) ? Operand(args.v[at], bfloat16) : 0.0f;
    }
  }
  return head;
}

// The exponentials of one query's scores, in `scores`; their sum. The row's maximum is subtracted.
float ExponentialsOf(const AttentionHeadArgs& args, const FloatHead& head) {
  const float scale = ScaleOfScores(args.head_dim);
  std::fill_n(head.scores, args.keys, 0.0f);
  for (int64_t d = 0; d < args.head_dim; ++d) {
    const float* k = head.k + d * args.keys;
    for (int64_t key = 0; key < args.keys; ++key) head.scores[key] += head.q[d] * k[key];
  }
  float maximum = -kInfinity;
  for (int64_t key = 0; key < args.keys; ++key) {
    if (!Attended(args, key)) head.scores[key] = -kInfinity;
    maximum = std::max(maximum, head.scores[key]);
  }
  float sum = 0.0f;
  for (int64_t key = 0; key < args.keys; ++key) {
    head.scores[key] = ExpNonPositive((head.scores[key] - maximum) * scale);
    sum += head.scores[key];
  }
  return sum;
}

template <bool kBFloat16>
void RunFloatHead(const AttentionHeadArgs& args) {
  const FloatHead head = LoadHead(args, kBFloat16);
  for (int64_t query = 0; query < args.queries; ++query) {
    for (int64_t d = 0; d < args.head_dim; ++d) {
      head.q[d] = Operand(args.q[query * args.q_stride + d], kBFloat16);
    }
    const float inv_sum = 1.0f / ExponentialsOf(args, head);
    std::fill_n(head.out, args.head_dim, 0.0f);
    for (int64_t key = 0; key < args.keys; ++key) {
      const float weight = head.scores[key];
      const float p = kBFloat16 ? ToFloat(ToBFloat16(weight)) : weight;
      const float* v = head.v + key * args.head_dim;
      for (int64_t d = 0; d < args.head_dim; ++d) head.out[d] += p * v[d];
    }
    for (int64_t d = 0; d < args.head_dim; ++d) {
      args.out[query * args.out_stride + d] = ToHalf(head.out[d] * inv_sum);
    }
    if (args.probabilities == nullptr) continue;
    float* probabilities = args.probabilities + query * args.probabilities_stride;
    for (int64_t key = 0; key < args.keys; ++key) probabilities[key] = head.scores[key] * inv_sum;
  }
}

// ---- INT8 products ----

// Codes of one head, and what they are worth.
struct CodedHead {
  float* k_scale;  // [keys]
  float* scores;   // [keys]
  int32_t* p;      // [keys]: 0 to 255
  float* v_scale;  // [head_dim]
  float* mean;     // [head_dim]: of the keys; then of no use
  float* values;   // [head_dim]: a row or a part of a column before it is coded
  int8_t* k;       // [keys, head_dim]: of k less its mean over the attended keys
  int8_t* v;       // [keys, head_dim]: by channel
  int8_t* q;       // [head_dim]
};

CodedHead InScratch(const AttentionHeadArgs& args) {
  CodedHead head{};
  head.k_scale = static_cast<float*>(args.scratch);
  head.scores = head.k_scale + args.keys;
  head.p = reinterpret_cast<int32_t*>(head.scores + args.keys);
  head.v_scale = reinterpret_cast<float*>(head.p + args.keys);
  head.mean = head.v_scale + args.head_dim;
  head.values = head.mean + args.head_dim;
  head.k = reinterpret_cast<int8_t*>(head.values + args.head_dim);
  head.v = head.k + args.keys * args.head_dim;
  head.q = head.v + args.keys * args.head_dim;
  return head;
}

int64_t Int8ScratchBytes(int64_t keys, int64_t head_dim) {
  return 3 * (keys + head_dim) * int64_t{sizeof(float)} + (2 * keys + 1) * head_dim;
}

// The per-token quantizer without clip. Returns the scale.
float CodeRow(const float* values, int64_t count, int8_t* codes) {
  float amax = 0.0f;
  for (int64_t d = 0; d < count; ++d) {
    if (IsFiniteBits(values[d])) amax = std::max(amax, Abs(values[d]));
  }
  const ActivationScale scale = TokenScale(amax, kInfinity);
  for (int64_t d = 0; d < count; ++d) codes[d] = ActivationCode(values[d], scale.inv_scale);
  return scale.scale;
}

// In binary64 over the attended keys, ascending; what is not finite adds 0.
float MeanOfKeys(const AttentionHeadArgs& args, int64_t d) {
  double sum = 0.0;
  int64_t attended = 0;
  for (int64_t key = 0; key < args.keys; ++key) {
    if (!Attended(args, key)) continue;
    const float value = ToFloat(args.k[key * args.kv_stride + d]);
    if (IsFiniteBits(value)) sum += double{value};
    ++attended;
  }
  return static_cast<float>(sum / static_cast<double>(attended));
}

void CodeKeys(const AttentionHeadArgs& args, const CodedHead& head) {
  for (int64_t d = 0; d < args.head_dim; ++d) head.mean[d] = MeanOfKeys(args, d);
  for (int64_t key = 0; key < args.keys; ++key) {
    for (int64_t d = 0; d < args.head_dim; ++d) {
      head.values[d] = ToFloat(args.k[key * args.kv_stride + d]) - head.mean[d];
    }
    head.k_scale[key] = CodeRow(head.values, args.head_dim, head.k + key * args.head_dim);
  }
}

// The same quantizer over a channel's attended keys.
void CodeValues(const AttentionHeadArgs& args, const CodedHead& head) {
  for (int64_t d = 0; d < args.head_dim; ++d) {
    float amax = 0.0f;
    for (int64_t key = 0; key < args.keys; ++key) {
      const float value = ToFloat(args.v[key * args.kv_stride + d]);
      if (Attended(args, key) && IsFiniteBits(value)) amax = std::max(amax, Abs(value));
    }
    const ActivationScale scale = TokenScale(amax, kInfinity);
    head.v_scale[d] = scale.scale;
    for (int64_t key = 0; key < args.keys; ++key) {
      const float value = ToFloat(args.v[key * args.kv_stride + d]);
      head.v[key * args.head_dim + d] = ActivationCode(value, scale.inv_scale);
    }
  }
}

// p of all keys; their sum, which is at least 255.
int32_t WeighKeys(const AttentionHeadArgs& args, const CodedHead& head, float q_scale) {
  const float scale = ScaleOfScores(args.head_dim);
  float maximum = -kInfinity;
  for (int64_t key = 0; key < args.keys; ++key) {
    int32_t acc = 0;
    for (int64_t d = 0; d < args.head_dim; ++d) acc += head.q[d] * head.k[key * args.head_dim + d];
    const float score = static_cast<float>(acc) * (q_scale * head.k_scale[key] * scale);
    head.scores[key] = Attended(args, key) ? score : -kInfinity;
    maximum = std::max(maximum, head.scores[key]);
  }
  int32_t sum = 0;
  for (int64_t key = 0; key < args.keys; ++key) {
    const float p = RoundToEven(255.0f * ExpNonPositive(head.scores[key] - maximum));
    head.p[key] = static_cast<int32_t>(p);
    sum += head.p[key];
  }
  return sum;
}

void RunInt8Head(const AttentionHeadArgs& args) {
  const CodedHead head = InScratch(args);
  CodeKeys(args, head);
  CodeValues(args, head);
  for (int64_t query = 0; query < args.queries; ++query) {
    for (int64_t d = 0; d < args.head_dim; ++d) {
      head.values[d] = ToFloat(args.q[query * args.q_stride + d]);
    }
    const float q_scale = CodeRow(head.values, args.head_dim, head.q);
    const auto sum = static_cast<float>(WeighKeys(args, head, q_scale));
    for (int64_t d = 0; d < args.head_dim; ++d) {
      int32_t acc = 0;
      for (int64_t key = 0; key < args.keys; ++key) {
        acc += head.p[key] * head.v[key * args.head_dim + d];
      }
      const float out = static_cast<float>(acc) * head.v_scale[d] / sum;
      args.out[query * args.out_stride + d] = ToHalf(out);
    }
    if (args.probabilities == nullptr) continue;
    float* probabilities = args.probabilities + query * args.probabilities_stride;
    for (int64_t key = 0; key < args.keys; ++key) {
      probabilities[key] = static_cast<float>(head.p[key]) / sum;
    }
  }
}

}  // namespace

const AttentionKernel kScalarFp32Attention = {.name = "FP32, plain loops",
                                              .scratch_bytes = FloatScratchBytes,
                                              .run_head = RunFloatHead<false>};
const AttentionKernel kScalarBf16Attention = {.name = "BF16 operands, plain loops",
                                              .scratch_bytes = FloatScratchBytes,
                                              .run_head = RunFloatHead<true>};
const AttentionKernel kScalarInt8Attention = {
    .name = "INT8, plain loops", .scratch_bytes = Int8ScratchBytes, .run_head = RunInt8Head};

}  // namespace w8a8
