#include "runtime/base/json_depth.h"

#include "runtime/base/atomic_file.h"
#include "runtime/base/error.h"

namespace w8a8 {

void CheckJsonDepth(std::string_view text, const std::string& name) {
  constexpr int kDeepest = 64;
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      in_string = c != '"';
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kDeepest) {
        Fail("{}: its JSON nests deeper than {} levels, which no file of this kind does.", name,
             kDeepest);
      }
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
}

std::string ReadJsonText(const std::filesystem::path& path, size_t max_bytes) {
  std::string text = ReadFile(path, max_bytes);
  CheckJsonDepth(text, path.string());
  return text;
}

}  // namespace w8a8
