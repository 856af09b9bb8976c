"""Run it there, wait for it here: remote ETL runs as Airflow tasks."""

__version__ = "0.1.0"
