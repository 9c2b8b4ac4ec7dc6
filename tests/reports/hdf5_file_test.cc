// The HDF5 wrapper: what is written is read back in every bit, equal calls give equal bytes, and a
// damaged file is an Error, never a crash.
#include "runtime/base/hdf5_file.h"

#include <unistd.h>

#include <functional>
#include <limits>
#include <string>
#include <vector>

#include <sys/wait.h>

#include "gtest/gtest.h"
#include "runtime/base/atomic_file.h"
#include "runtime/base/counter_hash.h"
#include "runtime/base/error.h"
#include "tests/support/environment.h"

namespace w8a8 {
namespace {

namespace fs = std::filesystem;

template <class T>
std::vector<T> Ramp(size_t count) {
  std::vector<T> values(count);
  for (size_t i = 0; i < count; ++i) {
    if constexpr (std::is_same_v<T, Half>) {
      values[i] = Half{static_cast<uint16_t>(i * 257)};
    } else {
      values[i] = static_cast<T>(CounterHash(3, i));
    }
  }
  return values;
}

// The mark and the hex digits of file_seal.h. Without them a file is whole, only not proven so.
constexpr size_t kSealBytes = 76;

// One of everything.
void WriteSample(const fs::path& path) {
  Hdf5OutputFile file(path);
  file.Group("/empty group");
  file.Write("/sites/blocks.0.attn.qkv/counts", Ramp<uint64_t>(300));
  file.Write("/sites/blocks.0.attn.qkv/rows", Ramp<Half>(24), {2, 3, 4});
  file.Write("/sites/blocks.0.attn.qkv/none", std::vector<float>{}, {0, 4});
  file.WriteStrings("/images/name", std::vector<std::string>{"a.png", "", "größe/写真.jpg"});
  file.Attribute("/sites", "model_sha256", "0123abcd");
  file.Attribute("/", "images", uint64_t{18446744073709551615ull});
  file.Attribute("/", "offset", int64_t{-5});
  file.Attribute("/images/name", "clip_range", std::numeric_limits<float>::infinity());
  file.Attribute("/images/name", "share", 0.1);
  file.Commit();
}

std::string MessageOf(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

template <class T>
class Hdf5Element : public testing::Test {};
using ElementTypes = testing::Types<int8_t, uint8_t, uint16_t, int32_t, uint32_t, int64_t, uint64_t,
                                    float, double, Half>;
TYPED_TEST_SUITE(Hdf5Element, ElementTypes);

TYPED_TEST(Hdf5Element, IsReadBackInEveryBitAndRefusedAsAnotherType) {
  const fs::path path = test::ScratchFolder("hdf5_element") / "x.h5";
  const std::vector<TypeParam> values = Ramp<TypeParam>(60);
  Hdf5OutputFile out(path);
  out.Write("/a/b/values", values, {3, 4, 5});
  out.Commit();

  const Hdf5InputFile in(path);
  EXPECT_EQ(in.ShapeOf("/a/b/values"), (Hdf5Shape{3, 4, 5}));
  EXPECT_EQ(in.Read<TypeParam>("/a/b/values", {3, -1, 5}), values);
  using Other = std::conditional_t<std::is_same_v<TypeParam, Half>, uint16_t, Half>;
  EXPECT_THROW(in.Read<Other>("/a/b/values", {3, 4, 5}), Error);
}

TEST(Hdf5File, GivesBackStringsAttributesAndNames) {
  const fs::path path = test::ScratchFolder("hdf5_sample") / "sample.h5";
  WriteSample(path);
  const Hdf5InputFile file(path);
  EXPECT_EQ(file.Children("/"), (std::vector<std::string>{"empty group", "images", "sites"}));
  EXPECT_TRUE(file.Children("/empty group").empty());
  EXPECT_EQ(file.ReadStrings("/images/name", 3),
            (std::vector<std::string>{"a.png", "", "größe/写真.jpg"}));
  EXPECT_EQ(file.TextAttribute("/sites", "model_sha256"), "0123abcd");
  EXPECT_EQ(file.UnsignedAttribute("/", "images"), 18446744073709551615ull);
  EXPECT_EQ(file.SignedAttribute("/", "offset"), -5);
  EXPECT_EQ(file.RealAttribute("/images/name", "clip_range"),
            std::numeric_limits<double>::infinity());
  EXPECT_EQ(file.RealAttribute("/images/name", "share"), 0.1);
  EXPECT_TRUE(file.Read<float>("/sites/blocks.0.attn.qkv/none", {0, 4}).empty());
  EXPECT_TRUE(file.Has("/sites/blocks.0.attn.qkv"));
  EXPECT_FALSE(file.Has("/sites/blocks.1.attn.qkv/counts"));
  EXPECT_TRUE(file.HasAttribute("/", "images"));
  EXPECT_FALSE(file.HasAttribute("/", "missing"));
}

TEST(Hdf5File, EqualCallsGiveEqualBytesASecondLater) {
  const fs::path folder = test::ScratchFolder("hdf5_bytes");
  WriteSample(folder / "first.h5");
  ::usleep(1'100'000);  // object times, were they on, count whole seconds
  WriteSample(folder / "second, with a longer name.h5");
  EXPECT_EQ(ReadFile(folder / "first.h5"), ReadFile(folder / "second, with a longer name.h5"));
}

TEST(Hdf5File, AppearsOnlyWhenCommitted) {
  const fs::path folder = test::ScratchFolder("hdf5_atomic");
  {
    Hdf5OutputFile file(folder / "x.h5");
    file.Write("/values", std::vector<float>{1, 2});
  }
  EXPECT_TRUE(fs::is_empty(folder));
}

TEST(Hdf5File, ErrorsNameTheFileAndTheObject) {
  const fs::path folder = test::ScratchFolder("hdf5_errors");
  WriteSample(folder / "sample.h5");
  const Hdf5InputFile file(folder / "sample.h5");
  const std::string counts = "/sites/blocks.0.attn.qkv/counts";

  const std::vector<std::pair<std::string, std::function<void()>>> cases = {
      {counts, [&] { file.Read<uint64_t>(counts, {301}); }},
      {counts,
       [&] {
         file.Read<uint64_t>(counts, {300, 1});
       }},
      {counts, [&] { file.Read<uint64_t>(counts, {-1}, 2399); }},
      {counts, [&] { file.ReadStrings(counts); }},
      {"/nothing", [&] { file.Read<float>("/nothing", {1}); }},
      {"/images", [&] { file.Read<float>("/images", {1}); }},
      {counts, [&] { file.Children(counts); }},
      {"'offset'", [&] { file.UnsignedAttribute("/", "offset"); }},
      {"'images'", [&] { file.SignedAttribute("/", "images"); }},
      {"'images'", [&] { file.TextAttribute("/", "images"); }},
      {"'none'", [&] { file.TextAttribute("/", "none"); }},
  };
  for (const auto& [named, action] : cases) {
    const std::string message = MessageOf(action);
    EXPECT_NE(message.find("sample.h5"), std::string::npos) << message;
    EXPECT_NE(message.find(named), std::string::npos) << message;
  }
  EXPECT_THROW(Hdf5InputFile(folder / "absent.h5"), Error);
  EXPECT_THROW(Hdf5InputFile{folder}, Error);
  WriteFileAtomically(folder / "text.h5", "not HDF5");
  EXPECT_THROW(Hdf5InputFile(folder / "text.h5"), Error);
  EXPECT_THROW(Hdf5OutputFile(folder / "no folder" / "x.h5"), Error);
}

// Reads all that WriteSample() wrote; true if nothing threw.
bool ReadsWhole(const fs::path& path) {
  try {
    const Hdf5InputFile file(path);
    for (const std::string& name : file.Children("/")) (void)file.Children("/" + name);
    (void)file.Read<uint64_t>("/sites/blocks.0.attn.qkv/counts", {-1}, 1 << 20);
    (void)file.Read<Half>("/sites/blocks.0.attn.qkv/rows", {-1, -1, -1}, 1 << 20);
    (void)file.ReadStrings("/images/name");
    (void)file.TextAttribute("/sites", "model_sha256");
    (void)file.UnsignedAttribute("/", "images");
    (void)file.RealAttribute("/images/name", "share");
    return true;
  } catch (const Error&) {
    return false;
  }
}

// Runs `action` in a child process: a crash must not take the test with it. -1: it died.
int InChild(const std::function<bool()>& action) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(20);
    ::_exit(action() ? 1 : 0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(Hdf5File, ATruncatedFileIsAnErrorAtEveryLength) {
  const fs::path folder = test::ScratchFolder("hdf5_truncated");
  WriteSample(folder / "whole.h5");
  const std::string whole = ReadFile(folder / "whole.h5");
  for (size_t length = 0; length < whole.size() - kSealBytes; length += 61) {
    WriteFileAtomically(folder / "cut.h5", whole.substr(0, length));
    EXPECT_EQ(InChild([&] { return ReadsWhole(folder / "cut.h5"); }), 0) << length << " bytes";
  }
}

TEST(Hdf5File, EveryDamagedByteIsFound) {
  const fs::path folder = test::ScratchFolder("hdf5_damaged");
  WriteSample(folder / "whole.h5");
  const std::string whole = ReadFile(folder / "whole.h5");
  ASSERT_EQ(InChild([&] { return ReadsWhole(folder / "whole.h5"); }), 1);
  for (size_t i = 0; i < whole.size() - kSealBytes; i += 7) {
    std::string damaged = whole;
    damaged[i] = static_cast<char>(~damaged[i]);
    WriteFileAtomically(folder / "damaged.h5", damaged);
    EXPECT_EQ(InChild([&] { return ReadsWhole(folder / "damaged.h5"); }), 0) << "byte " << i;
  }
}

}  // namespace
}  // namespace w8a8
