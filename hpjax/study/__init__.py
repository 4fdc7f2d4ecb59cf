"""In which order do ask, train, report, tell and record happen?"""

from hpjax.study.loop import play, run
from hpjax.study.reports import Report, parted
from hpjax.study.study_state import Callbacks, Progress
from hpjax.study.together import merged, together

__all__ = ["Callbacks", "Progress", "Report", "merged", "parted", "play", "run", "together"]
