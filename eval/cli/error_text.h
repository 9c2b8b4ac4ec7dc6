// Flags in messages: the folders below know what is wrong and by which choice it is mended, the
// command line knows how the value came in and how that choice is made.
#pragma once

#include <string>

#include "runtime/base/setting.h"

namespace w8a8 {

// " Rerun with --residual fp32."
std::string RemedyText(const Remedy& remedy);

// The whole message: what the error says, and how to mend it.
std::string ErrorText(const Error& error);

// Calls `use` with a value that a flag gave; an Error out of it then begins with `origin`
// ("--eval-images ", "--images photos: ") and stays what it is otherwise.
template <class Use>
auto From(const std::string& origin, const Use& use) {
  try {
    return use();
  } catch (const BadSetting& error) {
    throw BadSetting(origin + error.what());
  } catch (const MendableError& error) {
    throw MendableError(origin + error.what(), error.remedy());
  } catch (const Error& error) {
    throw Error(origin + error.what());
  }
}

}  // namespace w8a8
