#include "runtime/cuda/cudnn_attention.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "runtime/base/error.h"
#include "runtime/cuda/loaded_library.h"

namespace w8a8 {

// ---- cuDNN's own names and values, of cudnn_graph.h of cuDNN 9 (read in 9.28.1) ----

namespace cudnn {

using Status = int;  // cudnnStatus_t: 0 is CUDNN_STATUS_SUCCESS

enum class Kind : int {  // cudnnBackendDescriptorType_t
  kEngineConfig = 3,
  kHeuristic = 4,
  kPlan = 5,
  kGraph = 15,
  kVariantPack = 16,
  kTensor = 17,
  kSdpaForward = 41,  // since 9.13
};

enum class Type : int {  // cudnnBackendAttributeType_t
  kHandle = 0,
  kDataType = 1,
  kBoolean = 2,
  kInt64 = 3,
  kPointer = 6,
  kHeuristicMode = 8,
  kDescriptor = 15,
};

enum class Attribute : int {  // cudnnBackendAttributeName_t
  kHeuristicMode = 200,
  kHeuristicGraph = 201,
  kHeuristicResults = 202,
  kPlanHandle = 400,
  kPlanEngineConfig = 401,
  kPlanWorkspace = 402,
  kGraphHandle = 800,
  kGraphOperations = 801,
  kTensorAlignment = 900,
  kTensorDataType = 901,
  kTensorDimensions = 902,
  kTensorStrides = 903,
  kTensorId = 906,
  kTensorIsByValue = 908,
  kPackIds = 1000,
  kPackPointers = 1001,
  kPackWorkspace = 1003,
  kSdpaQ = 2800,
  kSdpaK = 2801,
  kSdpaV = 2802,
  kSdpaOut = 2803,
  kSdpaScale = 2805,
};

}  // namespace cudnn

using cudnn::Attribute;
using cudnn::Kind;
using cudnn::Status;
using cudnn::Type;

namespace {

constexpr int kFloatData = 0, kHalfData = 2;  // cudnnDataType_t
constexpr int kModeA = 3;                     // cudnnBackendHeurMode_t: CUDNN_HEUR_MODE_A
constexpr size_t kLeastVersion = 91300;       // cudnnGetVersion(): 10,000 major + 100 minor + patch

// What the tensors of the graph are called.
constexpr int64_t kQId = 1, kKId = 2, kVId = 3, kOutId = 4, kScaleId = 5;

bool LiesOn16Bytes(const MatView<const Half>& rows) {
  return reinterpret_cast<uintptr_t>(rows.data) % 16 == 0 && rows.stride % 8 == 0;
}

}  // namespace

// By the names of the library's functions.
struct CudnnAttention::Functions {
  size_t (*version)() = nullptr;
  Status (*create)(void**) = nullptr;
  Status (*destroy)(void*) = nullptr;
  Status (*set_queue)(void*, Queue) = nullptr;
  Status (*create_descriptor)(Kind, void**) = nullptr;
  Status (*destroy_descriptor)(void*) = nullptr;
  Status (*finalize)(void*) = nullptr;
  Status (*set)(void*, Attribute, Type, int64_t, const void*) = nullptr;
  Status (*get)(void*, Attribute, Type, int64_t, int64_t*, void*) = nullptr;
  Status (*execute)(void*, void*, void*) = nullptr;
  const char* (*words)(Status) = nullptr;
  std::string reason;  // why it cannot be used

  static const Functions& Get() {
    static const Functions functions = Open();
    return functions;
  }

  void Check(Status status, std::string_view what) const {
    if (status != 0) Fail("cuDNN: {}: {} (status {})", what, words(status), status);
  }

 private:
  static Functions Open() {
    Functions f;
    LoadedLibrary library("libcudnn.so.9");
    library.Find("cudnnGetVersion", &f.version);
    library.Find("cudnnCreate", &f.create);
    library.Find("cudnnDestroy", &f.destroy);
    library.Find("cudnnSetStream", &f.set_queue);
    library.Find("cudnnBackendCreateDescriptor", &f.create_descriptor);
    library.Find("cudnnBackendDestroyDescriptor", &f.destroy_descriptor);
    library.Find("cudnnBackendFinalize", &f.finalize);
    library.Find("cudnnBackendSetAttribute", &f.set);
    library.Find("cudnnBackendGetAttribute", &f.get);
    library.Find("cudnnBackendExecute", &f.execute);
    library.Find("cudnnGetErrorString", &f.words);
    f.reason = library.reason();
    if (f.reason.empty() && f.version() < kLeastVersion) {
      f.reason = fmt::format("version {} has no SDPA of one operation; install 9.13 or later",
                             f.version());
    }
    return f;
  }
};

class CudnnAttention::Descriptor {
 public:
  Descriptor(const Functions& library, Kind kind) : library_(&library) {
    library.Check(library.create_descriptor(kind, &pointer_), "making a descriptor");
  }
  Descriptor(Descriptor&& other) noexcept
      : library_(other.library_), pointer_(std::exchange(other.pointer_, nullptr)) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (pointer_ != nullptr) library_->destroy_descriptor(pointer_);
  }

  template <class T>
  void Set(Attribute attribute, Type type, const T* values, size_t count) {
    library_->Check(library_->set(pointer_, attribute, type, static_cast<int64_t>(count), values),
                    fmt::format("attribute {}", static_cast<int>(attribute)));
  }
  template <class T>
  void Set(Attribute attribute, Type type, const T& value) {
    Set(attribute, type, &value, 1);
  }
  void Set(Attribute attribute, const Descriptor& value) {
    Set(attribute, Type::kDescriptor, value.pointer_);
  }
  bool TryFinalize() { return library_->finalize(pointer_) == 0; }
  void Finalize(std::string_view what) { library_->Check(library_->finalize(pointer_), what); }
  void* pointer() const { return pointer_; }

 private:
  const Functions* library_;
  void* pointer_ = nullptr;
};

// A plan keeps what it was made of.
struct CudnnAttention::Plan {
  std::vector<Descriptor> parts;
  std::optional<Descriptor> plan = {};  // none: the library has no kernel
  int64_t workspace_bytes = 0;
};

std::string CudnnAttention::UnavailableReason() { return Functions::Get().reason; }

CudnnAttention::CudnnAttention() : library_(Functions::Get()) {
  if (!library_.reason.empty()) Fail("cuDNN: {}", library_.reason);
  library_.Check(library_.create(&handle_), "opening the library");
}

CudnnAttention::~CudnnAttention() {
  plans_.clear();
  library_.destroy(handle_);
}

std::string CudnnAttention::name() const {
  const size_t version = library_.version();
  return fmt::format("cuDNN {}.{}", version / 10000, version / 100 % 100);
}

CudnnAttention::Descriptor CudnnAttention::TensorOf(int64_t id, const std::array<int64_t, 4>& dims,
                                                    const std::array<int64_t, 4>& strides) const {
  Descriptor tensor(library_, Kind::kTensor);
  tensor.Set(Attribute::kTensorId, Type::kInt64, id);
  tensor.Set(Attribute::kTensorDataType, Type::kDataType, kHalfData);
  tensor.Set(Attribute::kTensorAlignment, Type::kInt64, int64_t{16});
  tensor.Set(Attribute::kTensorDimensions, Type::kInt64, dims.data(), dims.size());
  tensor.Set(Attribute::kTensorStrides, Type::kInt64, strides.data(), strides.size());
  tensor.Finalize("a tensor");
  return tensor;
}

// A value of the host's, read when the plan is run.
CudnnAttention::Descriptor CudnnAttention::ScaleTensor() const {
  constexpr std::array<int64_t, 4> kOne{1, 1, 1, 1};
  Descriptor tensor(library_, Kind::kTensor);
  tensor.Set(Attribute::kTensorId, Type::kInt64, kScaleId);
  tensor.Set(Attribute::kTensorDataType, Type::kDataType, kFloatData);
  tensor.Set(Attribute::kTensorAlignment, Type::kInt64, int64_t{16});
  tensor.Set(Attribute::kTensorDimensions, Type::kInt64, kOne.data(), kOne.size());
  tensor.Set(Attribute::kTensorStrides, Type::kInt64, kOne.data(), kOne.size());
  tensor.Set(Attribute::kTensorIsByValue, Type::kBoolean, true);
  tensor.Finalize("the scale");
  return tensor;
}

// A graph of one operation over strided views: image, head, row, channel.
std::unique_ptr<CudnnAttention::Plan> CudnnAttention::MakePlan(const Shape& shape) const {
  const auto [images, heads, head_dim, queries, keys, q, k, v, out] = shape;
  auto plan = std::make_unique<Plan>();
  const auto strides = [d = head_dim](int64_t rows, int64_t stride) {
    return std::array<int64_t, 4>{rows * stride, d, stride, 1};
  };
  const std::array<int64_t, 4> of_queries{images, heads, queries, head_dim};
  const std::array<int64_t, 4> of_keys{images, heads, keys, head_dim};
  plan->parts.push_back(TensorOf(kQId, of_queries, strides(queries, q)));
  plan->parts.push_back(TensorOf(kKId, of_keys, strides(keys, k)));
  plan->parts.push_back(TensorOf(kVId, of_keys, strides(keys, v)));
  plan->parts.push_back(TensorOf(kOutId, of_queries, strides(queries, out)));
  plan->parts.push_back(ScaleTensor());
  Descriptor operation(library_, Kind::kSdpaForward);
  constexpr std::array kNames{Attribute::kSdpaQ, Attribute::kSdpaK, Attribute::kSdpaV,
                              Attribute::kSdpaOut, Attribute::kSdpaScale};
  for (size_t i = 0; i < kNames.size(); ++i) operation.Set(kNames[i], plan->parts[i]);
  if (!operation.TryFinalize()) return plan;
  Descriptor graph(library_, Kind::kGraph);
  graph.Set(Attribute::kGraphHandle, Type::kHandle, handle_);
  graph.Set(Attribute::kGraphOperations, operation);
  plan->parts.push_back(std::move(operation));
  if (!graph.TryFinalize()) return plan;
  plan->parts.push_back(std::move(graph));
  BuildPlan(plan.get());
  return plan;
}

// The first that can be built of the configurations that the library's own ranking offers.
void CudnnAttention::BuildPlan(Plan* plan) const {
  constexpr int64_t kMost = 8;
  Descriptor heuristic(library_, Kind::kHeuristic);
  heuristic.Set(Attribute::kHeuristicGraph, plan->parts.back());
  heuristic.Set(Attribute::kHeuristicMode, Type::kHeuristicMode, kModeA);
  if (!heuristic.TryFinalize()) return;
  std::vector<Descriptor> configs;
  std::vector<void*> pointers;
  for (int64_t i = 0; i < kMost; ++i) {
    configs.emplace_back(library_, Kind::kEngineConfig);
    pointers.push_back(configs.back().pointer());
  }
  int64_t count = 0;
  library_.Check(library_.get(heuristic.pointer(), Attribute::kHeuristicResults, Type::kDescriptor,
                              kMost, &count, pointers.data()),
                 "asking for configurations");
  for (int64_t i = 0; i < std::min(count, kMost); ++i) {
    Descriptor built(library_, Kind::kPlan);
    built.Set(Attribute::kPlanHandle, Type::kHandle, handle_);
    built.Set(Attribute::kPlanEngineConfig, configs[static_cast<size_t>(i)]);
    if (!built.TryFinalize()) continue;
    int64_t values = 0;
    library_.Check(library_.get(built.pointer(), Attribute::kPlanWorkspace, Type::kInt64, 1,
                                &values, &plan->workspace_bytes),
                   "asking for the workspace");
    plan->plan.emplace(std::move(built));
    break;
  }
  for (Descriptor& config : configs) plan->parts.push_back(std::move(config));
}

const CudnnAttention::Plan& CudnnAttention::PlanFor(const Shape& shape) {
  std::unique_ptr<Plan>& plan = plans_[shape];
  if (plan == nullptr) plan = MakePlan(shape);
  return *plan;
}

void CudnnAttention::Execute(const Plan& plan, const BatchAttentionArgs& args,
                             std::byte* workspace) {
  const float scale = 1.0f / std::sqrt(static_cast<float>(args.head_dim));
  constexpr std::array kIds{kQId, kKId, kVId, kOutId, kScaleId};
  const std::array<const void*, 5> pointers{args.q.data, args.k.data, args.v.data, args.out.data,
                                            &scale};
  Descriptor pack(library_, Kind::kVariantPack);
  pack.Set(Attribute::kPackIds, Type::kInt64, kIds.data(), kIds.size());
  pack.Set(Attribute::kPackPointers, Type::kPointer, pointers.data(), pointers.size());
  pack.Set(Attribute::kPackWorkspace, Type::kPointer, workspace);
  pack.Finalize("the operands");
  library_.Check(library_.execute(handle_, plan.plan->pointer(), pack.pointer()), "attention");
}

bool CudnnAttention::Attend(Queue queue, const BatchAttentionArgs& args) {
  const bool plain = args.precision == AttentionPrecision::kFp32 && args.key_mask == nullptr &&
                     args.probabilities.data == nullptr && args.head_dim % 8 == 0;
  const MatView<const Half> out{args.out.data, args.out.rows, args.out.cols, args.out.stride};
  if (!plain || !LiesOn16Bytes(args.q) || !LiesOn16Bytes(args.k) || !LiesOn16Bytes(args.v) ||
      !LiesOn16Bytes(out)) {
    return false;
  }
  const std::lock_guard lock(mutex_);
  const Plan& plan = PlanFor({args.images, args.heads, args.head_dim, args.q.rows / args.images,
                              args.k.rows / args.images, args.q.stride, args.k.stride,
                              args.v.stride, args.out.stride});
  if (!plan.plan) return false;
  library_.Check(library_.set_queue(handle_, queue), "choosing a queue");
  Execute(plan, args, workspaces_[queue].Reserve(std::max<int64_t>(plan.workspace_bytes, 1)));
  return true;
}

}  // namespace w8a8
