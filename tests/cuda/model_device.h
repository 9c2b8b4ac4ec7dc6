// What a test may do to the model of a device.
#pragma once

namespace w8a8::model {

// As if memory that is let go of went unnoticed.
void HideReleases(bool hidden);

}  // namespace w8a8::model
