#include "runtime/base/utf8.h"

#include <cctype>
#include <cstddef>

#include <fmt/format.h>

namespace w8a8 {
namespace {

// The length of the UTF-8 sequence that starts at text[at], or 0 if it is none: overlong forms,
// surrogates and values above U+10FFFF are none (RFC 3629).
size_t SequenceLength(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u;
  };
  const unsigned lead = byte(at);
  if (lead < 0x80) return lead == 0 ? 0 : 1;
  const size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(at + i) & 0xc0u) != 0x80u) return 0;
  }
  const unsigned second = byte(at + 1);
  const bool overlong = (lead == 0xe0 && second < 0xa0) || (lead == 0xf0 && second < 0x90);
  const bool excluded = (lead == 0xed && second > 0x9f) || (lead == 0xf4 && second > 0x8f);
  return overlong || excluded ? 0 : length;
}

std::string Escaped(char byte) {
  return fmt::format("\\x{:02x}", static_cast<unsigned char>(byte));
}

// Whether text[at] begins what Escaped() gives.
bool LooksEscaped(std::string_view text, size_t at) {
  const auto is_hex = [&](size_t i) {
    return i < text.size() && std::isxdigit(static_cast<unsigned char>(text[i])) != 0;
  };
  return text.substr(at).starts_with("\\x") && is_hex(at + 2) && is_hex(at + 3);
}

}  // namespace

std::string ValidUtf8(std::string_view text) {
  std::string valid;
  valid.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const size_t length = SequenceLength(text, at);
    if (length > 0) {
      valid += text.substr(at, length);
    } else {
      valid += Escaped(text[at]);
    }
    at += length > 0 ? length : 1;
  }
  return valid;
}

std::string NameAsText(std::string_view name) {
  std::string unambiguous;
  for (size_t at = 0; at < name.size(); ++at) {
    if (LooksEscaped(name, at)) {
      unambiguous += Escaped(name[at]);
    } else {
      unambiguous += name[at];
    }
  }
  return ValidUtf8(unambiguous);
}

std::string WithoutControls(std::string_view text, KeepLines lines) {
  std::string shown;
  for (size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    // U+0080 to U+009F are two bytes.
    const bool long_control =
        c == '\xc2' && at + 1 < text.size() && static_cast<unsigned char>(text[at + 1]) <= 0x9f;
    if (long_control) {
      shown += Escaped(c) + Escaped(text[++at]);
      continue;
    }
    const bool control = static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
    if (control && !(c == '\n' && lines == KeepLines::kYes)) {
      shown += Escaped(c);
    } else {
      shown += c;
    }
  }
  return shown;
}

}  // namespace w8a8
