"""The columns of a learning curve: of one network [rows 4+M], of many [... rows 4+M]."""

COLUMNS = ("epoch", "train", "loss", "error")  # own metrics stand behind these
EPOCH, TRAIN, LOSS, ERROR = range(4)
FIRST_METRIC = len(COLUMNS)
