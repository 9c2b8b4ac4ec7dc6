#include "tests/cpu/linear_layer.h"

#include "eval/cli/command_line.h"
#include "eval/cli/commands/linear.h"
#include "runtime/base/setting.h"

namespace w8a8::test {

std::string LinearRunner::Run(const LayerTensors& tensors, Flags flags) const {
  SafetensorsWriter writer;
  for (const auto& [name, tensor] : tensors) {
    writer.Add(name, tensor.dtype, tensor.shape, std::span<const std::byte>(tensor.bytes));
  }
  writer.Write(folder_ / "in");
  const std::string in = (folder_ / "in").string(), out = (folder_ / "out").string();
  flags.insert(flags.begin(), {"w8a8-calib", "linear", "--in", in, "--out", out, "--quiet"});
  std::vector<const char*> argv;
  for (const std::string& flag : flags) argv.push_back(flag.c_str());
  try {
    RunLinear(*ParseCommandLine(static_cast<int>(argv.size()), argv.data()));
  } catch (const BadSetting& error) {
    return std::string("usage: ") + error.what();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

SafetensorsFile LinearRunner::Output(const LayerTensors& tensors, const Flags& flags) const {
  EXPECT_EQ(Run(tensors, flags), "") << ::testing::PrintToString(flags);
  return SafetensorsFile(folder_ / "out");
}

}  // namespace w8a8::test
