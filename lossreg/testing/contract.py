"""`LossContract`, made of its groups of checks."""

from __future__ import annotations

from lossreg.testing.definition import DefinitionChecks
from lossreg.testing.documented import DocumentedChecks
from lossreg.testing.entries import EntryChecks
from lossreg.testing.modules import ModuleChecks
from lossreg.testing.parameters import ParameterChecks
from lossreg.testing.references import ReferenceChecks
from lossreg.testing.state import StateChecks
from lossreg.testing.values import ValueChecks

__all__ = ["LossContract"]


class LossContract(
    DefinitionChecks,
    DocumentedChecks,
    ParameterChecks,
    ValueChecks,
    ReferenceChecks,
    ModuleChecks,
    StateChecks,
    EntryChecks,
):
    """What every loss plugin must satisfy: subclass it, name the loss, give a batch.

    Each check is its own test, and each failure names the loss, says what is wrong and what to do.
    Checks of things that a loss does not have (reduction `none`, rows, an example) pass.

    Attributes:
        loss: The name under which the loss is installed.
        params: Parameters to build it with, if the defaults are not enough.
        torch_free: Loading the plugin, as `lossreg list`, `show` and `check` do, does not import
            torch. False by default.
        any_order: The order of the batch's rows does not matter. True by default.
        inert: Parameters that change nothing of this batch, each with the reason.
        original: The class that the loss is a bridge to, such as `monai.losses.DiceCELoss`: its
            values are compared.
        original_params: What its constructor is called with; by default, `params`.

    A method `reference(self, **inputs)` gives the right value of any batch, computed another way. A
    method `after_step(self, module)` calls what the training loop calls of the loss after a step.

    What users of a loss also need to know is declared in its LossDefinition: `compiles`,
    `stateful`, `avoid_when`, `denominator`, `additive`, and for each input `gradient`, `counted`
    and `fill`.
    Skip a check that a loss cannot satisfy by setting it to None, with the reason beside it:

        test_gradient_is_the_slope_of_the_value = None  # rounding has the gradient of identity

    | check | what it checks | declared by |
    |---|---|---|
    | `loads_under_its_name` | the definition has the name of the entry point | |
    | `says_what_it_is` | a summary of one line, a meaning for each input | |
    | `every_parameter_is_described` | each field has a description | |
    | `bounds_hold_on_both_sides` | a value on a bound is as declared, one beyond it is refused | |
    | `every_parameter_is_read` | another value changes the value or a gradient | `inert` |
    | `unknown_parameters_are_refused` | a misspelt parameter is an error | |
    | `schema_is_json` | a JSON schema names every parameter | |
    | `config_round_trips` | config to JSON to config, and to a term in YAML, changes nothing | |
    | `example_loads` | the example is a term of this loss | `example` |
    | `the_formula_has_its_symbols` | each symbol that is explained stands in the formula | \
`symbols` |
    | `the_worked_example_is_true` | value, entries and divisor are those of the loss | `worked` |
    | `loads_without_torch` | loading the plugin does not import torch | `torch_free` |
    | `batch_names_the_inputs` | the batch has the declared inputs | |
    | `the_batch_fits_what_the_definition_says` | dtypes, shapes, domains are as declared | \
`check_shapes`, `check_values` |
    | `value_is_a_finite_scalar` | one finite floating-point number without dimensions | |
    | `gradient_reaches_each_declared_input` | a finite gradient, not all zero | `gradient` |
    | `gradient_is_the_slope_of_the_value` | gradcheck in float64 | `gradient` |
    | `the_value_is_that_of_the_reference` | and the gradients, on two batches | `reference`, \
`original` |
    | `order_of_rows_does_not_matter` | reordered rows only reorder the loss | `any_order` |
    | `it_is_deterministic` | two calls give the same bits, without random numbers | |
    | `compiles` | compiled in one graph, the same value and gradient | `compiles` |
    | `autocast_keeps_the_value` | near float32, or refused with an alternative | `avoid_when` |
    | `inputs_are_not_modified` | no argument is written to | |
    | `state_is_not_modified` | parameters and buffers stay as they are; or, in `eval()` | \
`stateful` |
    | `state_is_kept_in_buffers` | steps of training change no other attribute | `after_step` |
    | `state_dict_round_trips` | saved after three steps and loaded with `weights_only=True`, the \
same next values | `after_step` |
    | `pickles_and_copies` | pickled and deep-copied, the same value | |
    | `moves_to_a_dtype` | float64 in, float64 out | |
    | `moves_to_a_device` | each tensor it holds is a parameter or a buffer | |
    | `tensors_are_made_on_the_inputs_device` | it runs on the device `meta` | |
    | `without_reduction_it_has_the_declared_shape` | as its letters say | `unreduced` |
    | `the_mean_is_its_numerator_over_its_denominator` | reductions are of one unreduced form | \
`denominator` |
    | `the_denominator_is_read_from_what_counts` | only from targets, and adds up | `counted` |
    | `the_sums_of_parts_add_up` | the sums of single rows are the batch's sum | `additive` |
    | `ignored_targets_do_not_count` | with `ignore_index`, as if the row was not there | |
    | `safe_values_are_safe` | with masked entries filled, loss and gradient are finite | `fill` |
    | `masked_entries_do_not_count` | as if they were not there | `fill` |
    """
