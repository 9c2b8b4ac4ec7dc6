#include "eval/job/version.h"

namespace w8a8 {

std::string ToolVersion() { return W8A8_VERSION; }

}  // namespace w8a8
