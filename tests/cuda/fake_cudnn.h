// A library in cuDNN's place that computes nothing and remembers what it was told.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <vector>

namespace w8a8::test {

// By the numbers of cudnn_graph.h.
struct FakeDescriptor {
  struct Value {
    int type;
    std::vector<std::byte> bytes;
    int64_t count;
  };
  int kind = 0;
  bool finalized = false;
  std::map<int, Value> attributes = {};

  template <class T>
  std::vector<T> Get(int attribute) const {
    const Value& value = attributes.at(attribute);
    std::vector<T> values(static_cast<size_t>(value.count));
    std::memcpy(values.data(), value.bytes.data(), value.bytes.size());
    return values;
  }
  const FakeDescriptor& At(int attribute) const {
    return *static_cast<const FakeDescriptor*>(Get<void*>(attribute)[0]);
  }
};

// An attention that was described: q, k, v, the output and the scale.
struct FakeOperation {
  std::array<FakeDescriptor, 5> tensors;
};

struct FakeCudnn {
  std::vector<FakeOperation> operations = {};
  int64_t configs = 2;          // that the heuristic offers
  int64_t first_buildable = 1;  // of them: plans of those before cannot be built
  bool takes_operation = true;
  int64_t workspace = 256;
  int execution = 0;  // its status
  int alive = 0;      // descriptors
  int plans = 0;      // that were asked to be built
  void* queue = nullptr;
  // Of the last execution.
  int executed = 0;
  FakeDescriptor plan = {}, pack = {};
  float scale = 0;
};
FakeCudnn& TheFakeCudnn();

}  // namespace w8a8::test
