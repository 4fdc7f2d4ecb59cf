"""What is done where nothing is said: the space, the methods, the limits."""

# The space that is searched when none is given.
SPACE = {
    "learning_rate": {"log_uniform": [3e-4, 3e-2]},
    "depth": {"int_uniform": [1, 2]},
    "width_1": {"log_int_uniform": [16, 256]},
    "width_2": {"log_int_uniform": [16, 256], "when": {"depth": [2]}},
    "activation": {"choice": ["relu", "tanh"]},
    "l2": {"log_uniform": [1e-6, 1e-2]},
}


METHOD_NAMES = ("random", "bayes", "tpe", "genetic", "hyperband", "bohb")  # compared when none are


TRIALS = 64  # of a study that names no limit


FIRST_RUNG = 81  # networks of halving's first rung where trials are not named
BUDGET = 30  # networks at full fidelity that every study may cost where nothing is said
