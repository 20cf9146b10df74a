"""The catalogue of panels as Grafana dashboards: `dashboards()` gives each file's text."""

from dashboard.grafana.boards import dashboards

__all__ = ["dashboards"]
