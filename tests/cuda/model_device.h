// What a test may do to the model of a device.
#pragma once

namespace w8a8::model {

// As if memory that comes to lie elsewhere went unnoticed.
void FreezeGeneration(bool frozen);

}  // namespace w8a8::model
