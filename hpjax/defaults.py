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


def table_space(examples: int) -> dict:
    """The space that the estimators search when none is given: what pays on most tables of so many examples.

    Numbers become learned waves (Gorishniy et al. 2022), AdamW's rate falls with half a cosine, dropout and decay are searched.
    """
    return {
        "learning_rate": {"log_uniform": [3e-4, 1e-2]},
        "depth": {"int_uniform": [1, 3]},
        "width": {"choice": [64, 192]},
        "dropout": {"uniform": [0.0, 0.5]},
        "weight_decay": {"log_uniform": [1e-4, 1.0]},
        "frequency_scale": {"log_uniform": [0.03, 3.0]},
        "embedding": "periodic",
        "frequencies": 16,
        "embedding_width": 8,
        "optimizer": "adamw",
        "schedule": "cosine",
        **({"batch_size": 256 if examples >= 20_000 else 128} if examples >= 5_000 else {}),
    }


METHOD_NAMES = ("random", "bayes", "tpe", "genetic", "hyperband", "bohb")  # compared when none are

# Data.
TEST_SHARE = 0.2  # of all examples, held out for the test
TEST_SEED = 42  # of the draw of these
VALIDATION_SHARE = 0.2  # of the development part, validated on where there is one fold

# Limits.
EPOCHS = 20  # of a network that lives to the end
HYPERBAND_EPOCHS = 81  # the same, under hyperband
FIRST_RUNG = 81  # networks of halving's first rung where trials are not named
TRIALS = 64  # of a study that names no limit
EXPECTED_TRIALS = 1000  # that a study without a limit of trials is planned for
LEVELS = 5  # of a grid, per range
ANY_BATCH = 2**20  # trials asked for at once where search and plan do not care

# What comes after a study, and many of them.
SEEDS = 10  # studies of each method of a comparison
BUDGET = 30  # networks at full fidelity that every study of a comparison may cost
CONFIRMED = 5  # trials that are trained again
FRESH_SEEDS = 5  # of each of them
CANDIDATES = 256  # trials that an ensemble is chosen from
MEMBERS = 32  # the most of an ensemble
SHOWN = 10  # rows of a table of trials
