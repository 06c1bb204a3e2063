"""Imported by the server that cells are forked from (lib/process.py): what every cell imports, once for all."""

import contextlib
import importlib
import os

os.environ["OMP_NUM_THREADS"] = "1"  # a pool of threads would not survive the fork; each cell sets its own number
with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):  # not between the lines of progress
    from lib import models, training

    models.set_unsloth_up()
    for module in "unsloth trl torch._inductor.compile_fx lib.experiment papermill ipykernel.kernelapp".split():
        importlib.import_module(module)
    with contextlib.suppress(Exception):  # it only saves time: what is wrong with the compiler, a cell says better
        training.warm_compiler()
