"""Transforms: the operations on a tensor between its path and a loss.

One closed table. To add a transform, add an entry to `TRANSFORMS` and a case to its test.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING

from lossreg.vocabulary import operations
from lossreg.vocabulary.arguments import (
    COUNT,
    DIM,
    DIMS,
    DIVISOR,
    DTYPE,
    DTYPES,
    INDICES,
    MASK,
    NUMBER,
    OVER,
    PAIR,
    POSITIVE,
    SWITCH,
    WHOLE,
    Argument,
    check_clamp,
    check_flatten,
    check_slice,
)
from lossreg.vocabulary.definition import TransformDefinition
from lossreg.vocabulary.operations import of_masks, over, with_operand

if TYPE_CHECKING:
    from lossreg.vocabulary.routes import Route

__all__ = ["TRANSFORMS", "TransformDefinition", "definition_of", "row_mixers"]


_BY = (Argument("by", NUMBER),)
_OTHER = (Argument("other", NUMBER),)
_MASK = (Argument("mask", MASK),)
_LAST = (Argument("dim", DIM, -1),)
_FIRST = (Argument("dim", DIM, 0),)
_KEEPDIM = Argument("keepdim", SWITCH, default=False)
_OVER = (Argument("dim", OVER, None), _KEEPDIM)

_ENTRIES = (
    TransformDefinition(
        "detach",
        "the tensor outside the graph",
        lambda tensor: tensor.detach(),
        foreign=("stop_gradient", "stop_grad", "no_grad"),
    ),
    TransformDefinition(
        "add", "the sum of both", with_operand(operator.add), _BY, foreign=("plus",), sign="+"
    ),
    TransformDefinition(
        "sub",
        "the tensor minus the other: `{sub: old_logp}`",
        with_operand(operator.sub),
        _BY,
        foreign=("minus", "subtract"),
        sign="-",
    ),
    TransformDefinition(
        "mul",
        "the product of both",
        with_operand(operator.mul),
        _BY,
        foreign=(
            "multiply",
            "scale",
            "times",
            ("neg", "{mul: -1}"),
            ("negate", "{mul: -1}"),
            ("negative", "{mul: -1}"),
        ),
        sign="·",
    ),
    TransformDefinition(
        "div",
        "the tensor divided by the other, a number other than 0 or a tensor",
        with_operand(operator.truediv),
        (Argument("by", DIVISOR),),
        foreign=("divide", "over", ("reciprocal", "{pow: -1}")),
        sign="/",
    ),
    TransformDefinition(
        "pow",
        "the tensor to the power of the other",
        with_operand(operator.pow, "exponent"),
        (Argument("exponent", NUMBER),),
        foreign=("power",),
        sign="^",
    ),
    TransformDefinition(
        "minimum", "the lower of both, entry by entry", operations.minimum, _OTHER, foreign=("min",)
    ),
    TransformDefinition(
        "maximum",
        "the higher of both, entry by entry",
        operations.maximum,
        _OTHER,
        foreign=("max",),
    ),
    TransformDefinition(
        "clamp",
        "entries beyond `min` or `max` set to it: `{clamp: {min: 0.8, max: 1.2}}`",
        operations.clamp,
        (Argument("min", NUMBER, None), Argument("max", NUMBER, None)),
        rule=check_clamp,
        by_name=True,
        foreign=("clip",),
    ),
    TransformDefinition(
        "where",
        "the tensor where the condition, a mask, is true, and the other elsewhere: "
        "`{where: {condition: valid, other: 0}}`",
        operations.where,
        (Argument("condition", MASK), Argument("other", NUMBER)),
        foreign=("masked_fill",),
    ),
    *(
        TransformDefinition(
            name,
            f"a mask: {gives}",
            with_operand(function, "other"),
            _OTHER,
            foreign=foreign,
            sign=sign,
        )
        for name, sign, gives, function, foreign in (
            ("eq", "=", "true where both are equal", operator.eq, ("equal", "equals")),
            ("ne", "≠", "true where they differ", operator.ne, ("not_equal",)),
            ("lt", "<", "true where the tensor is lower", operator.lt, ("less",)),
            ("le", "≤", "true where it is lower or equal", operator.le, ("less_equal",)),
            ("gt", ">", "true where it is higher", operator.gt, ("greater",)),
            ("ge", "≥", "true where it is higher or equal", operator.ge, ("greater_equal",)),
        )
    ),
    *(
        TransformDefinition(
            f"logical_{sign}",
            f"a mask: {gives}",
            of_masks(function),
            _MASK,
            foreign=(sign, f"bitwise_{sign}"),
            sign=sign,
        )
        for sign, gives, function in (
            ("and", "true where both masks are", operator.and_),
            ("or", "true where one of both masks is", operator.or_),
        )
    ),
    TransformDefinition(
        "logical_not",
        "a mask: true where a mask is false",
        operations.opposite,
        foreign=("not", "bitwise_not", "invert"),
    ),
    *(
        TransformDefinition(name, gives, operations.method(name), foreign=foreign)
        for name, gives, foreign in (
            ("exp", "e to the power of each entry", ()),
            ("log", "the natural logarithm of each entry", ("ln",)),
            ("sqrt", "the square root of each entry", ()),
            ("square", "the square of each entry", ()),
            ("abs", "each entry without its sign", ()),
            ("relu", "each entry, or 0 if it is below", ()),
        )
    ),
    TransformDefinition(
        "softplus",
        "log(1 + exp(x)) of each entry",
        operations.softplus,
        foreign=(("logsigmoid", "{mul: -1}, softplus, {mul: -1}"),),
    ),
    TransformDefinition("sigmoid", "numbers between 0 and 1", lambda tensor: tensor.sigmoid()),
    TransformDefinition(
        "softmax",
        "probabilities over a dimension",
        lambda tensor, dim: tensor.softmax(dim),
        _LAST,
        mixes="dim",
    ),
    TransformDefinition(
        "log_softmax",
        "log-probabilities over a dimension",
        lambda tensor, dim: tensor.log_softmax(dim),
        _LAST,
        mixes="dim",
    ),
    TransformDefinition(
        "normalize",
        "divided by its `p`-norm over a dimension, or by `eps` if that is larger",
        operations.normalize,
        (
            Argument("dim", DIM, 1),
            Argument("p", POSITIVE, 2.0),
            Argument("eps", POSITIVE, 1e-12),
        ),
        mixes="dim",
        foreign=("l2_normalize",),
    ),
    *(
        TransformDefinition(
            name, f"{gives} over dimensions, or over all", over(name), _OVER, mixes="dim"
        )
        for name, gives in (
            ("sum", "the sum"),
            ("mean", "the mean"),
            ("amax", "the highest entry"),
            ("amin", "the lowest entry"),
            ("logsumexp", "the logarithm of the sum of exponentials"),
        )
    ),
    TransformDefinition(
        "cat",
        "a list of tensors one after the other along a dimension",
        operations.concatenated,
        _FIRST,
        takes="list",
        foreign=("concat", "concatenate"),
    ),
    TransformDefinition(
        "stack",
        "a list of tensors of one shape along a new dimension",
        operations.stacked,
        _FIRST,
        takes="list",
    ),
    TransformDefinition(
        "unbind",
        "the places of a dimension as a list of tensors",
        lambda tensor, dim: tensor.unbind(dim),
        _FIRST,
        returns="list",
    ),
    TransformDefinition(
        "transpose",
        "two dimensions swapped: `{transpose: [1, 2]}`",
        lambda tensor, dims: tensor.transpose(*dims),
        (Argument("dims", PAIR),),
        foreign=("swapaxes", "swapdims"),
    ),
    TransformDefinition(
        "permute",
        "all dimensions in a new order: `{permute: [0, 3, 1, 2]}`",
        lambda tensor, dims: tensor.permute(dims),
        (Argument("dims", DIMS),),
    ),
    TransformDefinition(
        "flatten",
        "dimensions from start to end as one: `{flatten: [1, 2]}`",
        lambda tensor, start, end: tensor.flatten(start, end),
        (Argument("start", DIM, 0), Argument("end", DIM, -1)),
        rule=check_flatten,
        by_list=True,
    ),
    TransformDefinition(
        "squeeze",
        "a dimension of size 1 removed",
        lambda tensor, dim: tensor.squeeze(dim),
        (Argument("dim", DIM),),
    ),
    TransformDefinition(
        "unsqueeze",
        "a dimension of size 1 added",
        lambda tensor, dim: tensor.unsqueeze(dim),
        (Argument("dim", DIM),),
        foreign=("expand_dims",),
    ),
    TransformDefinition(
        "select",
        "one place of a dimension, which is removed",
        lambda tensor, index, dim: tensor.select(dim, index),
        (Argument("index", WHOLE), Argument("dim", DIM)),
        mixes="dim",
        foreign=("index", "take"),
    ),
    TransformDefinition(
        "slice",
        "part of a dimension, as in Python",
        operations.part,
        (
            Argument("dim", DIM),
            Argument("start", WHOLE, None),
            Argument("end", WHOLE, None),
            Argument("step", COUNT, 1),
        ),
        rule=check_slice,
        mixes="dim",
        foreign=("narrow",),
    ),
    TransformDefinition(
        "gather",
        "the entries at the places of `index`, which has the tensor's sizes but in one dimension: "
        "`{gather: {index: t, dim: 0}}`",
        operations.gather,
        (Argument("index", INDICES), Argument("dim", DIM)),
        foreign=("take_along_dim", "index_select"),
    ),
    TransformDefinition(
        "shift",
        "moved `by` places (to the front if negative); the free places get `fill`",
        operations.shift,
        (Argument("by", WHOLE), Argument("dim", DIM), Argument("fill", NUMBER)),
        mixes="dim",
    ),
    TransformDefinition(
        "one_hot",
        "indicators of class indices, in the dtype of the floating-point tensor that they meet; "
        "zeros where the index is ignored",
        operations.one_hot,
        (Argument("classes", COUNT), Argument("dim", DIM, -1), Argument("ignore", WHOLE, None)),
        follows=True,
    ),
    TransformDefinition(
        "cast",
        f"converted to {', '.join(DTYPES[:-1])} or {DTYPES[-1]}",
        operations.cast,
        (Argument("dtype", DTYPE),),
        foreign=("astype", "to", "type"),
    ),
    TransformDefinition(
        "ones_like", "ones of the same shape", lambda tensor: operations.full_like(tensor, 1)
    ),
    TransformDefinition(
        "zeros_like", "zeros of the same shape", lambda tensor: operations.full_like(tensor, 0)
    ),
    TransformDefinition(
        "full_like",
        "a number in the same shape: `{full_like: 0.9}`",
        operations.full_like,
        (Argument("value", NUMBER),),
        foreign=("fill",),
    ),
    TransformDefinition(
        "arange_like",
        "the places along a dimension as int64: 0, 1, 2 and so on",
        operations.arange_like,
        _FIRST,
        mixes="dim",
        foreign=("arange", "range"),
    ),
)

TRANSFORMS: dict[str, TransformDefinition] = {entry.name: entry for entry in _ENTRIES}
"""Every transform by name: a closed list."""

# What `class_dim` becomes, `{constant: 0.9}` where `full_like` is not enough, a list of paths, and
# `detach` for a list; no config names these.
_HIDDEN = {
    entry.name: entry
    for entry in (
        TransformDefinition(
            "constant",
            "a number in the shape of another argument",
            operations.constant,
            (Argument("value", NUMBER), Argument("beside", NUMBER), Argument("shape", NUMBER)),
        ),
        TransformDefinition(
            "class_probabilities",
            "a number as the probability of each class",
            operations.as_class_probabilities,
            (Argument("value", NUMBER),),
        ),
        TransformDefinition(
            "class_dim",
            "the classes moved to dimension 1",
            operations.with_classes_second,
            (Argument("dim", DIM), Argument("floats_only", SWITCH)),
        ),
        TransformDefinition(
            "number",
            "a number, whatever the tensor is",
            operations.number,
            (Argument("value", NUMBER),),
        ),
        TransformDefinition(
            "listed", "a list of the tensor", lambda tensor: [tensor], returns="list"
        ),
        TransformDefinition(
            "appended",
            "the list with one more tensor at its end",
            lambda tensors, other: [*tensors, other],
            (Argument("other", NUMBER),),
            takes="list",
            returns="list",
        ),
        TransformDefinition(
            "detach_all",
            "a list of the same tensors outside the graph",
            operations.detach_all,
            takes="list",
            returns="list",
        ),
    )
}


def row_mixers(route: Route) -> list[str]:
    """The names of a route's transforms that mix rows, those in arguments included."""
    names = []
    for transform in route.transforms:
        arguments = dict(transform.arguments)
        if definition_of(transform.name).mixes_rows(arguments):
            names.append(transform.name)
        for value in arguments.values():
            if hasattr(value, "transforms"):
                names += row_mixers(value)
    return names


def definition_of(name: str) -> TransformDefinition:
    """A transform of the table, or one that only lossreg itself applies."""
    return TRANSFORMS.get(name) or _HIDDEN[name]
