// Bytes that come from outside, file names above all, as text that everybody can decode.
#pragma once

#include <string>
#include <string_view>

namespace w8a8 {

// Every byte that is not part of a UTF-8 sequence (RFC 3629), and every zero byte, as "\xff". What
// is valid stays.
std::string ValidUtf8(std::string_view text);

// ValidUtf8() of a file name, from which the name can be told again: the backslash of a name that
// has "\xff" in it as such becomes "\x5c". Different names stay different.
std::string NameAsText(std::string_view name);

enum class KeepLines { kYes, kNo };
// Control characters (with kNo also the ends of lines) as "\x1b", for a terminal.
std::string WithoutControls(std::string_view text, KeepLines lines);

}  // namespace w8a8
