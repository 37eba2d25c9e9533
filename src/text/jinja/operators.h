// What operators, indices and iteration do to values: Python's rules. Errors are kInvalidArgument.
#pragma once

#include "text/jinja/ast.h"

namespace bonsai::text::jinja {

/// All but and, or, not. Integers of more than 64 bits are errors.
Result<Value> Apply(Operator op, const Value& a, const Value& b, Budget& budget);
Result<Value> Negate(const Value& v);

/// An integer of a list or text, from the end when negative; a key of a dictionary. Undefined when there is none.
Value Index(const Value& v, const Value& key, Budget& budget);
/// v[begin:end:step]; undefined or none: left out.
Result<Value> Slice(const Value& v, const Value& begin, const Value& end, const Value& step, Budget& budget);
/// The elements of a list, keys of a dictionary, characters of a text; none of the undefined.
Result<List> Elements(const Value& v, Budget& budget);
/// A list or dictionary that templates may make: not too deep, without namespaces, macros or loops.
Result<Value> Made(List list, Budget& budget);
Result<Value> Made(Dict dict, Budget& budget);

}  // namespace bonsai::text::jinja
