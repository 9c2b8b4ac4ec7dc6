// What the embedded demo fills in on a command line.
#pragma once

#include "eval/cli/options.h"

namespace w8a8 {

// Without --model: the demo model, its class embeddings unless --classes says otherwise, and for
// each of --images and --eval-images that is missing the demo's. With --model nothing is filled in:
// the demo's drawings say nothing about the inputs of another model. Says on stderr what was taken,
// unless --quiet.
Options WithDemo(Options options);

}  // namespace w8a8
