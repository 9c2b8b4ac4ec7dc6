// Reading compressed-tensors' quantization_config; github.com/vllm-project/compressed-tensors,
// quantization/quant_config.py and quant_args.py.
#include <nlohmann/json.hpp>

#include "runtime/base/error.h"
#include "runtime/encoder/config_readers.h"

namespace w8a8 {
namespace {

// The fields that weights and inputs share.
void CheckEightBitSymmetric(const JsonFields& arguments, const std::string& what) {
  const bool right = arguments.Int("num_bits", 8, 1, 64) == 8 &&
                     arguments.Text("type", "int") == "int" && arguments.Bool("symmetric", true);
  if (!right) {
    Fail(
        "{}: the {} of 'quantization_config' are not symmetric 8-bit integers; only those are "
        "read.",
        arguments.file(), what);
  }
}

void CheckGroup(const JsonFields& group, const std::string& name) {
  const std::optional<JsonFields> weights = group.Object("weights");
  const std::optional<JsonFields> inputs = group.Object("input_activations");
  if (!weights || !inputs) {
    Fail(
        "{}: group '{}' of 'quantization_config' does not quantize both weights and inputs; only "
        "W8A8 is read.",
        group.file(), name);
  }
  if (group.Has("output_activations")) {
    Fail("{}: group '{}' of 'quantization_config' quantizes outputs, which is not supported.",
         group.file(), name);
  }
  CheckEightBitSymmetric(*weights, "weights");
  CheckEightBitSymmetric(*inputs, "input_activations");
  if (weights->Text("strategy", "tensor") != "channel") {
    Fail("{}: group '{}' quantizes weights by '{}'; only 'channel' is read.", group.file(), name,
         weights->Text("strategy", "tensor"));
  }
  const std::string strategy = inputs->Text("strategy", "tensor");
  const bool dynamic = inputs->Bool("dynamic", false);
  if (!(strategy == "token" && dynamic) && !(strategy == "tensor" && !dynamic)) {
    Fail(
        "{}: group '{}' quantizes inputs by '{}' ({}); only dynamic 'token' and static 'tensor' "
        "are read.",
        group.file(), name, strategy, dynamic ? "dynamic" : "static");
  }
}

}  // namespace

void CheckQuantizationConfig(const JsonFields& config) {
  const std::optional<JsonFields> quantization = config.Object("quantization_config");
  if (!quantization) return;
  const std::string method = quantization->Text("quant_method", "");
  const std::string format = quantization->Text("format", "");
  if (method != "compressed-tensors" || format != "int-quantized") {
    Fail(
        "{}: 'quantization_config' is '{}' in the format '{}'; only 'compressed-tensors' in the "
        "format 'int-quantized' is read.",
        config.file(), method, format);
  }
  const std::optional<JsonFields> groups = quantization->Object("config_groups");
  if (!groups) return;
  for (const auto& [name, value] : groups->raw().items()) {
    CheckGroup(*groups->Object(name.c_str()), name);
  }
}

}  // namespace w8a8
