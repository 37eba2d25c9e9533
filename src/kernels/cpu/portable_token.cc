// What a token needs besides matrix products, in portable C++: the functions of ref/.
#include "kernels/cpu/isa.h"
#include "kernels/ref/ref.h"
#include "quant/act_i8.h"

namespace bonsai::kernels {

const TokenKernels kPortableTokenKernels = {0,           ref::AttendBlock, ref::RmsNorm,
                                            ref::SwiGlu, ref::Relu2Glu,    quant::QuantizeRowI8};

}  // namespace bonsai::kernels
