"""The panels of an engine, from the metrics of its catalogue (`servers/<engine>/metrics.py`).

Together they are the union of the engines' official dashboards: an engine has those of them whose
metrics it exports.
"""

from dashboard.panels.engine_latency import LATENCY_PANELS
from dashboard.panels.engine_tokens import TOKEN_PANELS
from dashboard.panels.engine_work import WORK_PANELS

ENGINE_PANELS = (*LATENCY_PANELS, *WORK_PANELS, *TOKEN_PANELS)
