// A test of kernels, on whatever it was linked with.
#pragma once

#include <gtest/gtest.h>

#include "tests/cuda/device_memory.h"
#include "tests/support/environment.h"

namespace w8a8::test {

// Skips, loudly, where there is nothing to run kernels on.
class DeviceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!DeviceMissing().empty()) W8A8_SKIP_OR_FAIL("cuda", DeviceMissing());
  }
};

}  // namespace w8a8::test
