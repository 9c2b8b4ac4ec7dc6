#include "tests/cuda/fake_cudnn.h"

#include <algorithm>

namespace w8a8::test {
namespace {

constexpr int kInt64 = 3;
constexpr int kConfig = 3, kPlan = 5, kSdpa = 41;
constexpr int kResults = 202, kPlanConfig = 401, kPlanWorkspace = 402, kPackPointers = 1001;
constexpr int kConfigIndex = -1;  // of ours alone
constexpr int kSuccess = 0, kNotSupported = 3000;

FakeDescriptor& Of(void* descriptor) { return *static_cast<FakeDescriptor*>(descriptor); }

// Of cudnnBackendAttributeType_t, those that are told.
size_t BytesOf(int type) {
  switch (type) {
    case 1:  // data type
    case 8:  // heuristic mode
      return sizeof(int);
    case 2:
      return sizeof(bool);
    default:  // a handle, an int64, a pointer, a descriptor
      return sizeof(void*);
  }
}

}  // namespace

FakeCudnn& TheFakeCudnn() {
  static FakeCudnn fake;
  return fake;
}

extern "C" {

size_t cudnnGetVersion() { return 91300; }
const char* cudnnGetErrorString(int status) {
  return status == kNotSupported ? "the fake does not" : "another status";
}
int cudnnCreate(void** handle) {
  *handle = &TheFakeCudnn();
  return kSuccess;
}
int cudnnDestroy(void*) { return kSuccess; }
int cudnnSetStream(void*, void* queue) {
  TheFakeCudnn().queue = queue;
  return kSuccess;
}

int cudnnBackendCreateDescriptor(int kind, void** descriptor) {
  *descriptor = new FakeDescriptor{.kind = kind};
  ++TheFakeCudnn().alive;
  return kSuccess;
}
int cudnnBackendDestroyDescriptor(void* descriptor) {
  delete &Of(descriptor);
  --TheFakeCudnn().alive;
  return kSuccess;
}

int cudnnBackendSetAttribute(void* descriptor, int attribute, int type, int64_t count,
                             const void* values) {
  if (Of(descriptor).finalized) return kNotSupported;
  const auto* first = static_cast<const std::byte*>(values);
  const size_t bytes = BytesOf(type) * static_cast<size_t>(count);
  Of(descriptor).attributes[attribute] = {type, {first, first + bytes}, count};
  return kSuccess;
}

int cudnnBackendFinalize(void* descriptor) {
  FakeDescriptor& d = Of(descriptor);
  if (d.kind == kSdpa && !TheFakeCudnn().takes_operation) return kNotSupported;
  if (d.kind == kSdpa) {
    TheFakeCudnn().operations.push_back(
        {{d.At(2800), d.At(2801), d.At(2802), d.At(2803), d.At(2805)}});
  }
  if (d.kind == kPlan) {
    ++TheFakeCudnn().plans;
    if (d.At(kPlanConfig).Get<int64_t>(kConfigIndex)[0] < TheFakeCudnn().first_buildable) {
      return kNotSupported;
    }
  }
  d.finalized = true;
  return kSuccess;
}

int cudnnBackendGetAttribute(void* descriptor, int attribute, int, int64_t most, int64_t* count,
                             void* values) {
  const FakeCudnn& fake = TheFakeCudnn();
  if (!Of(descriptor).finalized) return kNotSupported;
  if (attribute == kPlanWorkspace) {
    *count = 1;
    *static_cast<int64_t*>(values) = fake.workspace;
    return kSuccess;
  }
  if (attribute != kResults) return kNotSupported;
  *count = std::min(most, fake.configs);
  for (int64_t i = 0; i < *count; ++i) {
    FakeDescriptor& config = Of(static_cast<void**>(values)[i]);
    if (config.kind != kConfig) return kNotSupported;
    std::vector<std::byte> bytes(sizeof(i));
    std::memcpy(bytes.data(), &i, sizeof(i));
    config.attributes[kConfigIndex] = {kInt64, bytes, 1};
    config.finalized = true;
  }
  return kSuccess;
}

int cudnnBackendExecute(void*, void* plan, void* pack) {
  FakeCudnn& fake = TheFakeCudnn();
  if (!Of(plan).finalized || !Of(pack).finalized) return kNotSupported;
  if (fake.execution != kSuccess) return fake.execution;
  ++fake.executed;
  fake.plan = Of(plan);
  fake.pack = Of(pack);
  fake.scale = *static_cast<const float*>(Of(pack).Get<void*>(kPackPointers)[4]);
  return kSuccess;
}

}  // extern "C"

}  // namespace w8a8::test
