// Files that are wrong in one way each, and the sentence that refuses them.
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "runtime/base/safetensors.h"
#include "tests/support/environment.h"
#include "tests/support/errors.h"
#include "tests/support/safetensors_bytes.h"

namespace w8a8 {
namespace {

namespace fs = std::filesystem;
using test::SafetensorsBytes;

struct Corrupt {
  std::string what;
  std::string file;
  std::string sentence;  // part of the message
};

// `fields` inside the only tensor, 'a'.
std::string OneTensor(const std::string& fields, size_t data_bytes) {
  return SafetensorsBytes("{\"a\":{" + fields + "}}", data_bytes);
}

std::string Repeat(const std::string& text, int times) {
  std::string result;
  for (int i = 0; i < times; ++i) result += text;
  return result;
}

std::string LengthOnly(uint64_t length, const std::string& rest) {
  std::string file = SafetensorsBytes("", 0) + rest;
  std::memcpy(file.data(), &length, sizeof(length));
  return file;
}

const std::string kGood = R"("dtype":"F32","shape":[2],"data_offsets":[0,8])";

std::vector<Corrupt> WrongContainers() {
  return {
      {"empty", "", "is empty (0 bytes)"},
      {"short", "1234567", "is 7 bytes long, too short"},
      {"header over the format's bound", LengthOnly(100'000'001, "{}"),
       "announce a header of 100000001 bytes, more than the 100000000 that the format allows"},
      {"header length 2^64 - 1", LengthOnly(~0ull, "{}"), "18446744073709551615 bytes"},
      {"header longer than the file", LengthOnly(3, "{}"), "more than the 2 bytes that follow"},
      {"no header", LengthOnly(0, "{}"), "does not begin with '{'"},
      {"white space first", SafetensorsBytes(" {}", 0), "does not begin with '{'"},
      {"byte order mark first", SafetensorsBytes("\xef\xbb\xbf{}", 0), "does not begin with '{'"},
      {"an array", SafetensorsBytes("[]", 0), "does not begin with '{'"},
      {"zero byte after the object", SafetensorsBytes(std::string("{}\0x", 4), 0),
       "zero byte at byte 2"},
      {"text after the object", SafetensorsBytes("{} x", 0), "not valid JSON at byte"},
      {"object not closed", SafetensorsBytes("{\"a\":{" + kGood + "}", 8), "not valid JSON"},
      {"a comment", SafetensorsBytes("{/**/}", 0), "not valid JSON"},
      {"not UTF-8", SafetensorsBytes("{\"\xff\":{" + kGood + "}}", 8), "UTF-8"},
      {"overlong UTF-8", SafetensorsBytes("{\"\xc0\x80\":{" + kGood + "}}", 8), "UTF-8"},
      {"lone surrogate", SafetensorsBytes(R"({"\ud800":{)" + kGood + "}}", 8), "surrogate"},
      {"truncated", OneTensor(kGood, 7),
       "is 1 bytes shorter than its header says (7 of 8 data bytes)"},
      {"trailing byte", OneTensor(kGood, 9), "has 1 bytes after its last tensor"},
      {"data without tensors", SafetensorsBytes("{}", 4), "has 4 bytes after its last tensor"},
      {"git-lfs pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:00\n",
       "git lfs pull"},
      {"zip (PyTorch)", "PK\x03\x04 0123456789", "safetensors.torch.save_file"},
      {"pickle", std::string("\x80\x02}q\x01(X\x05\x00", 9), "safetensors.torch.save_file"},
      {"HDF5", "\x89HDF\r\n\x1a\n 0123", "is an HDF5 file"},
      {"GGUF", "GGUF 0123456789", "is a GGUF file"},
      {"web page", "<!DOCTYPE html><html>", "web page"},
      {"JSON", R"({"model_type":"siglip"})", "not a safetensors file"},
  };
}

std::vector<Corrupt> WrongNames() {
  const std::string tensor = "{" + kGood + "}";
  return {
      {"name twice", SafetensorsBytes("{\"a\":" + tensor + ",\"a\":" + tensor + "}", 8),
       "the name 'a' appears twice"},
      {"name twice, once escaped",
       SafetensorsBytes("{\"a\":" + tensor + ",\"\\u0061\":" + tensor + "}", 8),
       "the name 'a' appears twice"},
      {"empty name", SafetensorsBytes("{\"\":" + tensor + "}", 8), "empty name"},
      {"metadata as tensor", SafetensorsBytes("{\"__metadata__\":" + tensor + "}", 8),
       "__metadata__ entry 'shape' holds an array"},
      {"metadata twice", SafetensorsBytes(R"({"__metadata__":{},"__metadata__":{}})", 0),
       "the name '__metadata__' appears twice"},
      {"metadata key twice", SafetensorsBytes(R"({"__metadata__":{"k":"1","k":"2"}})", 0),
       "__metadata__ entry 'k' appears twice"},
      {"metadata number", SafetensorsBytes(R"({"__metadata__":{"k":1}})", 0),
       "__metadata__ entry 'k' holds the number 1"},
      {"metadata string", SafetensorsBytes(R"({"__metadata__":"k"})", 0),
       "header entry '__metadata__' holds the string 'k'"},
      {"tensor is a number", SafetensorsBytes(R"({"a":1})", 0), "entry 'a' holds the number 1"},
      {"tensor is null", SafetensorsBytes(R"({"a":null})", 0), "entry 'a' holds null"},
      {"tensor is an array", SafetensorsBytes(R"({"a":[]})", 0), "entry 'a' holds an array"},
      {"field twice", OneTensor(kGood + R"(,"shape":[2])", 8), "field 'shape' appears twice"},
      {"unknown field twice", OneTensor(kGood + R"(,"x":1,"x":1)", 8), "'x' appears twice"},
      {"escape sequences in a name", SafetensorsBytes(R"({"\u001b[31m":1})", 0),
       "entry '?[31m' holds"},
  };
}

std::vector<Corrupt> WrongFields() {
  return {
      {"no dtype", OneTensor(R"("shape":[2],"data_offsets":[0,8])", 8), "lacks the field 'dtype'"},
      {"no shape", OneTensor(R"("dtype":"F32","data_offsets":[0,8])", 8),
       "lacks the field 'shape'"},
      {"no offsets", OneTensor(R"("dtype":"F32","shape":[2])", 8),
       "lacks the field 'data_offsets'"},
      {"unknown dtype", OneTensor(R"("dtype":"F31","shape":[2],"data_offsets":[0,8])", 8),
       "tensor 'a' has the unknown dtype 'F31'"},
      {"dtype in lower case", OneTensor(R"("dtype":"f32","shape":[2],"data_offsets":[0,8])", 8),
       "unknown dtype 'f32'"},
      {"dtype a number", OneTensor(R"("dtype":32,"shape":[2],"data_offsets":[0,8])", 8),
       "field 'dtype' holds the number 32"},
      {"shape a number", OneTensor(R"("dtype":"F32","shape":2,"data_offsets":[0,8])", 8),
       "field 'shape' holds the number 2"},
      {"shape of strings", OneTensor(R"("dtype":"F32","shape":["2"],"data_offsets":[0,8])", 8),
       "field 'shape' holds the string '2'"},
      {"shape nested", OneTensor(R"("dtype":"F32","shape":[[2]],"data_offsets":[0,8])", 8),
       "field 'shape' holds an array"},
      {"shape an object", OneTensor(R"("dtype":"F32","shape":{},"data_offsets":[0,8])", 8),
       "field 'shape' holds an object"},
      {"rank 33",
       OneTensor("\"dtype\":\"F32\",\"shape\":[2" + Repeat(",1", 32) + "],\"data_offsets\":[0,8]",
                 8),
       "has more than 32 dimensions"},
      {"one offset", OneTensor(R"("dtype":"F32","shape":[2],"data_offsets":[8])", 8),
       "data_offsets holds 1 numbers, not two"},
      {"three offsets", OneTensor(R"("dtype":"F32","shape":[2],"data_offsets":[0,4,8])", 8),
       "holds more than two numbers"},
      {"nested too deep", OneTensor(kGood + ",\"x\":" + Repeat("[", 7) + Repeat("]", 7), 8),
       "nested deeper than 8 levels"},
      {"nested a million deep", OneTensor(kGood + ",\"x\":" + Repeat("[", 1'000'000), 8),
       "nested deeper than 8 levels"},
  };
}

std::vector<Corrupt> WrongNumbers() {
  const auto shape = [](const std::string& extent) {
    return OneTensor("\"dtype\":\"F32\",\"shape\":[" + extent + "],\"data_offsets\":[0,8]", 8);
  };
  const auto offsets = [](const std::string& numbers) {
    return OneTensor("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[" + numbers + "]", 8);
  };
  return {
      {"negative extent", shape("-2"), "holds -2, which is not a whole number"},
      {"negative zero", shape("-0"), "not a whole number"},
      {"fraction", shape("2.0"), "holds 2.0, which is not a whole number"},
      {"exponent", shape("2e0"), "holds 2e0, which is not a whole number"},
      {"extent 2^63", shape("9223372036854775808"), "from 0 to 2^63 - 1"},
      {"extent 2^64", shape("18446744073709551616"), "from 0 to 2^63 - 1"},
      {"leading zero", shape("02"), "not valid JSON"},
      {"product overflows", shape("4294967296,4294967296"), "do not fit 63 bits"},
      {"product times bits overflows", shape("1152921504606846976"), "do not fit 63 bits"},
      {"overflow beside a zero extent", shape("0,4294967296,4294967296"), "do not fit 63 bits"},
      {"shape and offsets disagree", shape("3"), "of shape [3] takes 12 bytes, but data_offsets"},
      {"empty tensor with bytes", shape("0"), "takes 0 bytes"},
      {"begin after end", offsets("8,0"), "claims bytes 8 to 0"},
      {"hole at the start", offsets("4,12"), "but the tensor before it ends at 0"},
      {"offset beyond 2^53",
       OneTensor(R"("dtype":"U8","shape":[9007199254740993],"data_offsets":[0,9007199254740992])",
                 8),
       "takes 9007199254740993 bytes, but data_offsets [0, 9007199254740992]"},
      {"offset beyond the file",
       OneTensor(R"("dtype":"U8","shape":[9007199254740993],"data_offsets":[0,9007199254740993])",
                 8),
       "9007199254740985 bytes shorter"},
      {"half a byte", OneTensor(R"("dtype":"F4","shape":[3],"data_offsets":[0,2])", 2),
       "is 12 bits long, not a whole number of bytes"},
      {"three quarters of a byte",
       OneTensor(R"("dtype":"F6_E2M3","shape":[1],"data_offsets":[0,1])", 1), "is 6 bits long"},
  };
}

std::vector<Corrupt> WrongLayouts() {
  const auto two = [](const std::string& first, const std::string& second, size_t data_bytes) {
    const std::string start = R"({"dtype":"U8","shape":[4],"data_offsets":[)";
    return SafetensorsBytes("{\"a\":" + start + first + "]},\"b\":" + start + second + "]}}",
                            data_bytes);
  };
  return {
      {"overlap", two("0,4", "3,7", 7), "tensor 'b' claims bytes 3 to 7"},
      {"same place", two("0,4", "0,4", 4),
       "claims bytes 0 to 4, but the tensor before it ends at 4"},
      {"hole", two("0,4", "5,9", 9), "tensor 'b' claims bytes 5 to 9"},
      {"hole, out of order", two("5,9", "0,4", 9), "tensor 'a' claims bytes 5 to 9"},
  };
}

TEST(CorruptSafetensors, IsRefusedWithTheRightSentence) {
  const fs::path path = test::ScratchFolder("corrupt") / "model.safetensors";
  size_t count = 0;
  for (const auto& list :
       {WrongContainers(), WrongNames(), WrongFields(), WrongNumbers(), WrongLayouts()}) {
    for (const Corrupt& corrupt : list) {
      std::ofstream(path, std::ios::binary) << corrupt.file;
      const std::string message = test::ErrorOf([&] { const SafetensorsFile file(path); });
      EXPECT_TRUE(message.starts_with(path.string() + ": ")) << corrupt.what << ": " << message;
      EXPECT_TRUE(test::Contains(message, corrupt.sentence)) << corrupt.what << ": " << message;
      ++count;
    }
  }
  EXPECT_GT(count, 70u);
}

TEST(CorruptSafetensors, TooManyTensorsAreRefused) {
  std::string header = "{";
  for (int i = 0; i <= 1'000'000; ++i) {
    header += (i == 0 ? "\"" : ",\"") + std::to_string(i) +
              R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]})";
  }
  const fs::path path = test::ScratchFolder("corrupt") / "model.safetensors";
  std::ofstream(path, std::ios::binary) << SafetensorsBytes(header + "}", 0);
  const std::string message = test::ErrorOf([&] { const SafetensorsFile file(path); });
  EXPECT_TRUE(test::Contains(message, "lists more than 1000000 tensors")) << message;
}

TEST(UnusualSafetensors, IsReadAsTheReferenceReadsIt) {
  const std::vector<std::string> files = {
      SafetensorsBytes("{}", 0),
      SafetensorsBytes("{}  \n", 0),
      SafetensorsBytes(R"({"__metadata__":{}})", 0),
      SafetensorsBytes("{ \"a\" : {" + kGood + "}\r\n}", 8),
      OneTensor(kGood + R"(,"x":{"y":[1,-2.5,null,{"z":true}]},"w":"text")", 8),
      OneTensor(R"("data_offsets":[0,3],"shape":[2,2,1],"dtype":"F6_E3M2")", 3),
      OneTensor(R"("dtype":"F4","shape":[4],"data_offsets":[0,2])", 2),
      OneTensor(R"("dtype":"F64","shape":[0,9007199254740993],"data_offsets":[0,0])", 0),
  };
  const fs::path path = test::ScratchFolder("unusual") / "model.safetensors";
  for (const std::string& file : files) {
    std::ofstream(path, std::ios::binary) << file;
    EXPECT_NO_THROW(SafetensorsFile{path}) << file.substr(8);
  }
}

TEST(MissingSafetensors, IsAnErrorAndNeverAHang) {
  const fs::path folder = test::ScratchFolder("missing");
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  fs::create_symlink("nowhere", folder / "dangling");
  const auto message = [&](const char* name) {
    return test::ErrorOf([&] { const SafetensorsFile file(folder / name); });
  };
  EXPECT_TRUE(test::Contains(message("pipe"), "is a pipe")) << message("pipe");
  EXPECT_TRUE(test::Contains(message("."), "is a folder")) << message(".");
  EXPECT_TRUE(test::Contains(message("nothing"), "No such file")) << message("nothing");
  EXPECT_TRUE(test::Contains(message("dangling"), "symbolic link to a file that does not exist"));
}

}  // namespace
}  // namespace w8a8
